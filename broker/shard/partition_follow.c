/* SPDX-License-Identifier: Apache-2.0 */
/* Replication, both sides: what a leader makes of a follower's fetch, and what a follower makes of the
 * answer. */
#include "broker/shard/partition_internal.h"
#include "common/base/assert.h"
#include "common/base/mutant.h"
#include "common/base/probe.h"
#include "common/batch/batch.h"
#include "proto/kafka/error.h"

/* -- leader -- */

/* KIP-595 style: our end of the follower's last epoch (or of the nearest older one) tells whether its log
 * agrees with ours up to fetch_offset. */
bool partition_diverges(struct partition *p, int64_t fetch_offset, int32_t last_fetched_epoch,
                        int32_t *ret_epoch, int64_t *ret_end_offset)
{
    *ret_epoch = -1;
    *ret_end_offset = -1;
    if (last_fetched_epoch < 0 || MUTANT(NO_DIVERGENCE_CHECK))
        return false;
    epoch_cache_end(plog_epochs(p->log), last_fetched_epoch, p->core.log_end, ret_epoch, ret_end_offset);
    if (*ret_epoch < last_fetched_epoch)
        PROBE(EPOCH_NEVER_SEEN);
    if (*ret_end_offset < fetch_offset)
        PROBE(LOG_DIVERGED);
    bool unknown = *ret_epoch < last_fetched_epoch && !MUTANT(UNKNOWN_EPOCH_ACCEPTED);
    return unknown || *ret_end_offset < fetch_offset;
}

/* A follower without any epoch holds nothing; only an empty log at the very start of ours agrees with ours
 * for sure. One that ends there with an epoch older than all that we know may have ended so otherwise than we
 * did, below our start: it agrees once it has said that it begins there, too. */
static bool agrees(struct partition *p, int32_t broker_id, int64_t fetch_offset, int32_t last_fetched_epoch)
{
    int32_t epoch;
    int64_t end_offset;
    if (fetch_offset < p->core.log_start || fetch_offset > p->core.log_end)
        return false;
    if (last_fetched_epoch < 0)
        return fetch_offset == p->core.log_start;
    if (last_fetched_epoch < epoch_cache_earliest(plog_epochs(p->log)) &&
        replica_start_of(&p->core, broker_id) < p->core.log_start)
        return false;
    return !partition_diverges(p, fetch_offset, last_fetched_epoch, &epoch, &end_offset);
}

int16_t partition_follower_fetched(struct partition *p, int32_t broker_id, int64_t broker_epoch,
                                   int64_t fetch_offset, int64_t durable_offset, int32_t current_leader_epoch,
                                   int32_t last_fetched_epoch)
{
    struct replica_event event = {.type = EV_FETCHED};
    int16_t error = partition_check_leader(p, current_leader_epoch);
    if (error != KAFKA_NONE)
        return error;
    if (!agrees(p, broker_id, fetch_offset, last_fetched_epoch))
        return KAFKA_NONE;
    event.fetched.broker_id = broker_id;
    event.fetched.broker_epoch = broker_epoch;
    event.fetched.registered_epoch = p->host->broker_epoch(p->host->ctx, broker_id);
    event.fetched.position = fetch_offset;
    event.fetched.durable = durable_offset;
    event.fetched.leader_epoch = current_leader_epoch;
    return partition_step(p, &event);
}

void partition_follower_start(struct partition *p, int32_t broker_id, int64_t log_start)
{
    replica_note_start(&p->core, broker_id, log_start);
    if (!list_empty(&p->waits_start))
        partition_settle_soon(p);
}

/* -- follower -- */

bool partition_fetch_state(struct partition *p, struct partition_fetch_state *ret_state)
{
    if (p->core.role != REPLICA_FOLLOWER)
        return false;
    *ret_state = (struct partition_fetch_state){.leader = p->core.leader,
                                                .leader_epoch = p->core.leader_epoch,
                                                .fetch_offset = p->core.log_end,
                                                .durable_offset = partition_back_durable(p),
                                                .log_start = p->core.log_start,
                                                .last_fetched_epoch = epoch_cache_latest(plog_epochs(p->log)),
                                                .syncing = p->want_sync || plog_syncing(p->log)};
    return true;
}

static bool follows(const struct partition *p, int32_t leader_epoch)
{
    return p->core.role == REPLICA_FOLLOWER && p->core.leader_epoch == leader_epoch;
}

/* An empty log takes the batch that holds its end although that begins earlier (the leader's log start may
 * lie inside a batch). */
static enum err start_inside(struct partition *p, const uint8_t *batch)
{
    struct replica_event event = {.type = EV_TRUNCATED, .offset = batch_base_offset(batch)};
    enum err err = plog_restart(p->log, event.offset);
    if (err)
        return err;
    partition_step(p, &event);
    return OK;
}

/* The first gap of a log that had none: the leader's topic was compacted once. It is taken at the next fetch,
 * when a restart would know of it. */
static enum err check_batch(struct partition *p, const uint8_t *batch, int64_t expected)
{
    bool gap = batch_base_offset(batch) > expected && !p->gaps;
    if (gap)
        partition_expect_gaps(p, true);
    return batch_base_offset(batch) < expected || gap || batch_leader_epoch(batch) < 0 ? ERR_CORRUPT : OK;
}

/* Length of the leading batches that are whole, good, in order and not of an epoch that we have not heard of
 * (KAFKA-18723). */
static int32_t usable(struct partition *p, const uint8_t *records, int32_t len, int64_t expected,
                      enum err *ret_err)
{
    int32_t at = 0;
    size_t size;
    *ret_err = OK;
    while (len - at >= BATCH_HEADER_BYTES) {
        const uint8_t *batch = records + at;
        int found = batch_peek(batch, (size_t)(len - at), &size);
        if (found == OK && size > (size_t)(len - at))
            break; /* the rest did not fit into the reply */
        if (found == OK)
            found = batch_verify(batch, size);
        if (found == OK)
            found = check_batch(p, batch, expected);
        if (found != OK) {
            *ret_err = ERR_CORRUPT;
            break;
        }
        if (batch_leader_epoch(batch) > p->core.leader_epoch)
            break;
        expected = batch_next_offset(batch);
        at += (int32_t)size;
    }
    return at;
}

static enum err append_usable(struct partition *p, const uint8_t *records, int32_t len)
{
    enum err bad;
    int64_t expected = p->core.log_end;
    if (len >= BATCH_HEADER_BYTES && p->core.log_start == p->core.log_end &&
        batch_base_offset(records) >= 0 && batch_base_offset(records) < expected &&
        batch_last_offset(records) >= expected)
        expected = batch_base_offset(records);
    int32_t good = usable(p, records, len, expected, &bad);
    if (good == 0)
        return bad;
    if (partition_disk_full(p))
        return ERR_NO_SPACE;
    int64_t start = p->core.log_start;
    enum err err = expected < p->core.log_end ? start_inside(p, records) : OK;
    if (err == OK)
        err = plog_append(p->log, records, (uint32_t)good);
    if (err) {
        if (plog_failed(p->log))
            partition_fail(p, err);
        return err;
    }
    struct replica_event event = {.type = EV_APPENDED, .offset = plog_end(p->log)};
    partition_step(p, &event);
    partition_flush_appended(p, batch_base_offset(records));
    partition_settle_soon(p);
    return start > p->core.log_start ? partition_move_start(p, MIN(start, p->core.log_end)) : OK;
}

/* Moves log and core; offset <= log end. */
enum err partition_move_start(struct partition *p, int64_t offset)
{
    struct replica_event event = {.type = EV_LOG_START, .offset = offset};
    enum err err = plog_set_start(p->log, offset);
    if (err == OK && offset == plog_end(p->log)) /* nothing is left: the file with it may go, too */
        err = plog_roll_now(p->log);
    if (err) {
        partition_fail(p, err);
        return err;
    }
    partition_step(p, &event);
    partition_persist(p, p->core.synced_end, false);
    partition_trim_later(p);
    return OK;
}

/* The log begins anew at offset, empty. */
static void restart(struct partition *p, int64_t offset, enum replica_event_type type)
{
    struct replica_event event = {.type = type, .offset = offset};
    PARTITION_LOG(p, WARN, "partition.restarted", F_I64("from", p->core.log_end), F_I64("at", offset));
    enum err err = plog_restart(p->log, offset);
    if (err) {
        partition_fail(p, err);
        return;
    }
    partition_step(p, &event);
    partition_persist(p, p->core.synced_end, false);
    p->want_sync = true;
    partition_settle_soon(p);
}

/* Whether the log is empty and of no epoch, and begins above the leader's: it was cut below its own log
 * start, or a former leader's log began there. What the leader has below would be missing here for ever, and
 * the leader cannot tell such a replica's log from one that diverges. */
static bool begins_too_high(const struct partition *p, int64_t leader_log_start)
{
    return leader_log_start >= 0 && leader_log_start < p->core.log_start &&
           p->core.log_start == p->core.log_end && epoch_cache_latest(plog_epochs(p->log)) < 0;
}

/* Whether all that we have lies below the leader's log start, and what the leader has there lies across our
 * end: a former leader's tail that nobody can compare any more (the epochs that told it from the leader's log
 * are deleted there), and that other batches have taken the place of. */
static bool is_deleted_there(const struct partition *p, const uint8_t *records, int32_t len,
                             int64_t leader_log_start)
{
    return leader_log_start == p->core.log_end && p->core.log_start < p->core.log_end &&
           len >= BATCH_HEADER_BYTES && batch_base_offset(records) < p->core.log_end &&
           batch_last_offset(records) >= p->core.log_end;
}

enum err partition_follower_append(struct partition *p, int32_t leader_epoch, const uint8_t *records,
                                   int32_t len, struct iobuf *owner, int64_t leader_high_watermark,
                                   int64_t leader_log_start)
{
    struct replica_event event = {.type = EV_LEADER_HW, .offset = leader_high_watermark};
    partition_write_out(p);
    if (!follows(p, leader_epoch))
        return OK;
    if (begins_too_high(p, leader_log_start)) {
        restart(p, leader_log_start, EV_TRUNCATED);
        return OK;
    }
    if (is_deleted_there(p, records, len, leader_log_start)) {
        restart(p, leader_log_start, EV_LOG_START);
        return OK;
    }
    enum err err = len > 0 ? append_usable(p, records, len) : OK;
    if (err)
        return err;
    partition_step(p, &event);
    int64_t start = MIN(leader_log_start, p->core.high_watermark);
    return start > p->core.log_start ? partition_move_start(p, start) : OK;
}

/* The recovery point is lowered for good before the data goes: a restart that knows the old one would miss
 * what was cut on purpose, and take the torn end of what was written since for damage. */
static bool point_lowered(struct partition *p, int64_t offset)
{
    struct manifest *manifest = p->host->manifest;
    if (manifest == NULL || p->core.synced_end <= offset || MUTANT(TRUNCATE_TO_HIGH_WATERMARK))
        return true;
    if (offset < p->cut_to) {
        p->cut_to = offset;
        partition_persist(p, p->core.synced_end, false);
        p->cut_mark = manifest_mark(manifest);
    }
    return manifest_reached(manifest, p->cut_mark);
}

/* False: not yet, the leader will say it again. */
static bool cut(struct partition *p, int64_t offset, const char *why)
{
    struct replica_event event = {.type = EV_TRUNCATED};
    if (!point_lowered(p, offset))
        return false;
    if (offset < p->core.log_end)
        PARTITION_LOG(p, INFO, "partition.truncated", F_I64("from", p->core.log_end), F_I64("to", offset),
                      F_I64("high_watermark", p->core.high_watermark), F_STR("reason", why));
    partition_persist(p, MIN(p->core.synced_end, offset), false);
    p->cut_to = INT64_MAX;
    enum err err = plog_truncate(p->log, offset, &event.offset);
    if (err) {
        partition_fail(p, err);
        return true;
    }
    if (event.offset < p->core.log_end)
        partition_step(p, &event);
    partition_tell_damage(p); /* the way to the cut may have met some */
    partition_persist(p, p->core.synced_end, false);
    p->want_sync = true;
    partition_settle_soon(p);
    return true;
}

/* True: the epochs are the batches' now, or the log failed. */
static bool took_epochs(struct partition *p, enum err err, bool renewed)
{
    if (err)
        partition_fail(p, err);
    if (renewed)
        PARTITION_LOG(p, WARN, "partition.epochs_rebuilt", F_I64("log_end", p->core.log_end));
    return err != OK || renewed;
}

/* What is committed would be cut: not because of a wrong digit in our checkpoint. */
static bool doubt_epochs(struct partition *p, int64_t offset)
{
    bool renewed = false;
    if (offset >= p->core.high_watermark)
        return false;
    enum err err = plog_epochs_doubt(p->log, NULL, p->core.log_end, &renewed);
    return took_epochs(p, err, renewed);
}

bool partition_follower_diverged(struct partition *p, int32_t leader_epoch, int32_t epoch, int64_t end_offset)
{
    partition_write_out(p);
    if (!follows(p, leader_epoch) || epoch < 0 || end_offset < 0)
        return true;
    int64_t end = epoch_cache_divergence(plog_epochs(p->log), epoch, end_offset, p->core.log_end);
    return doubt_epochs(p, end) || cut(p, end, "diverging epoch");
}

/* Our last epoch is one that the leader has not come to: there never was such a one, a digit of the
 * checkpoint is wrong. True: the epochs are the batches' now. */
static bool renew_epochs(struct partition *p)
{
    bool renewed = false;
    if (epoch_cache_latest(plog_epochs(p->log)) <= p->core.leader_epoch)
        return false;
    enum err err = plog_epochs_renew(p->log, &renewed);
    return took_epochs(p, err, renewed);
}

bool partition_follower_out_of_range(struct partition *p, int32_t leader_epoch, int64_t leader_log_start,
                                     int64_t leader_log_end)
{
    partition_write_out(p);
    if (!follows(p, leader_epoch) || leader_log_start < 0 || leader_log_end < leader_log_start)
        return true;
    if (renew_epochs(p))
        return true;
    if (leader_log_end < p->core.log_end)
        return cut(p, leader_log_end, "the leader's log is shorter");
    if (leader_log_start > p->core.log_end) /* else: resume where we are */
        restart(p, leader_log_start, EV_LOG_START);
    return true;
}

void partition_set_fetch_hook(struct partition *p, void (*fn)(void *ctx, struct partition *p), void *ctx)
{
    p->hook = fn;
    p->hook_ctx = ctx;
}
