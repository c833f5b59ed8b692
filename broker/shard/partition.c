/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/shard/partition.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/log/plog_compact.h"
#include "broker/log/plog_torn.h"
#include "broker/shard/partition_internal.h"
#include "common/base/assert.h"
#include "common/base/mutant.h"
#include "common/base/probe.h"
#include "common/obs/flight.h"
#include "proto/kafka/error.h"

#define INDEX_TEXT_MAX 13 /* "-2147483648" and the zero */
#define TXNS_KEPT      64 /* by a follower, before it looks for those that are decided */

/* -- effects -- */

void partition_settle_soon(struct partition *p)
{
    env_defer(p->host->env, &p->settle);
}

static void wake(struct partition *p, enum partition_reader reader)
{
    p->wake[reader] = true;
    partition_settle_soon(p);
}

static void fx_role(struct partition *p, const struct replica_effect *fx)
{
    wake(p, READER_CONSUMER);
    wake(p, READER_FOLLOWER);
    p->hook_due = true;
    p->cut_to = INT64_MAX; /* this leader may want it elsewhere, or not at all */
    partition_await_gaps(p);
    if (p->log)
        partition_maintain_later(p);
}

static void fx_epoch_start(struct partition *p, const struct replica_effect *fx)
{
    enum err err = plog_assign_epoch(p->log, fx->epoch, fx->offset);
    if (MUTANT(FORGET_DUPLICATES))
        producer_state_clear(plog_producers(p->log));
    if (err)
        partition_fail(p, err);
}

/* Who asks what is stable forgets what is decided; a follower may be asked by nobody. */
static void forget_decided(struct partition *p, int64_t high_watermark)
{
    struct producer_state *producers = p->log ? plog_producers(p->log) : NULL;
    if (producers && p->core.role == REPLICA_FOLLOWER && producers->txns_count >= TXNS_KEPT)
        producer_state_first_unstable(producers, high_watermark);
}

static void fx_high_watermark(struct partition *p, const struct replica_effect *fx)
{
    wake(p, READER_CONSUMER);
    forget_decided(p, fx->offset);
    partition_maintain_moved(p);
    if (!env_timer_armed(&p->persist))
        env_timer_set(p->host->env, &p->persist, env_now_us(p->host->env) + PARTITION_PERSIST_US);
}

static void fx_alter(struct partition *p, const struct replica_effect *fx)
{
    int32_t ids[REPLICA_MEMBERS_MAX];
    int64_t epochs[REPLICA_MEMBERS_MAX];
    const struct partition_host *host = p->host;
    struct rpc_alter_partition request = {.topic_id = p->topic_id,
                                          .index = p->index,
                                          .leader_epoch = p->core.leader_epoch,
                                          .partition_epoch = fx->epoch,
                                          .isr = ids,
                                          .isr_epochs = epochs,
                                          .gives_way = fx->gives_way};
    request.isr_count = replica_isr_list(&p->core, fx->isr, ids, epochs);
    for (int32_t i = 0; i < request.isr_count; i++)
        if (ids[i] == host->broker_id)
            epochs[i] = host->broker_epoch(host->ctx, host->broker_id);
    host->alter_partition(host->ctx, p, &request);
}

/* The timer may stand earlier than needed (it looks again then), so that appends and fetches rarely touch it.
 */
static void arm_deadline(struct partition *p)
{
    uint64_t due = replica_deadline(&p->core);
    if (due == REPLICA_NO_DEADLINE)
        return;
    if (!env_timer_armed(&p->deadline) || due < p->deadline.node.key)
        env_timer_set(p->host->env, &p->deadline, due);
}

/* Fetches and syncs speak of what is written. For all else, and for a leader that gives way, the log ends
 * where its last append ended. */
static bool asks_for_end(const struct partition *p, enum replica_event_type type)
{
    if (type == EV_APPENDED || type == EV_FAILED)
        return false;
    return (type != EV_FETCHED && type != EV_SYNCED) || p->core.yield.asked;
}

int16_t partition_step(struct partition *p, struct replica_event *event)
{
    static void (*const carry_out[])(struct partition *, const struct replica_effect *) = {
        [FX_ROLE] = fx_role,
        [FX_EPOCH_START] = fx_epoch_start,
        [FX_HIGH_WATERMARK] = fx_high_watermark,
        [FX_ALTER] = fx_alter,
    };
    struct replica_effects fx;
    if (p->unwritten && asks_for_end(p, event->type))
        partition_write_out(p);
    event->now_us = env_now_us(p->host->env);
    if (p->host->flight)
        flight_note(p->host->flight, event->now_us, event->type, p->index, event->offset, p->core.log_end,
                    p->core.high_watermark);
    int16_t error = replica_step(&p->core, event, &fx);
    for (int32_t i = 0; i < fx.count; i++)
        carry_out[fx.list[i].type](p, &fx.list[i]);
    arm_deadline(p);
    return error;
}

static void deadline_passed(struct env_timer *timer)
{
    struct partition *p = CONTAINER_OF(timer, struct partition, deadline);
    struct replica_event event = {.type = EV_TICK};
    if (replica_deadline(&p->core) <= env_now_us(p->host->env))
        partition_step(p, &event);
    else
        arm_deadline(p);
}

void partition_fail(struct partition *p, enum err err)
{
    struct replica_event event = {.type = EV_FAILED};
    if (p->core.failed)
        return;
    p->failed_due = true;
    p->failed_err = err;
    if (p->log)
        partition_persist(p, plog_synced_end(p->log), false);
    PARTITION_LOG(p, ERROR, "partition.failed", F_ERR("error", err), F_I64("log_end", p->core.log_end));
    partition_step(p, &event);
}

int16_t partition_check_leader(const struct partition *p, int32_t current_leader_epoch)
{
    if (p->core.failed)
        return KAFKA_KAFKA_STORAGE_ERROR;
    int16_t error = replica_check_epoch(&p->core, current_leader_epoch);
    if (error == KAFKA_FENCED_LEADER_EPOCH)
        PROBE(STALE_EPOCH_REFUSED);
    if (error == KAFKA_UNKNOWN_LEADER_EPOCH)
        PROBE(UNKNOWN_EPOCH_REFUSED);
    if (error != KAFKA_NONE)
        return error;
    if (p->core.role == REPLICA_LEADER)
        return KAFKA_NONE;
    PROBE(NOT_LEADER_REFUSED);
    return KAFKA_NOT_LEADER_OR_FOLLOWER;
}

/* -- end of the turn -- */

void partition_note_synced(struct partition *p)
{
    int64_t synced_end = MIN(plog_synced_end(p->log), p->core.log_end);
    if (synced_end <= p->core.synced_end)
        return;
    struct replica_event event = {.type = EV_SYNCED, .offset = synced_end};
    partition_step(p, &event);
    p->hook_due = p->core.role == REPLICA_FOLLOWER;
    partition_settle_soon(p);
}

static void log_synced(void *ctx, int64_t synced_end, enum err err)
{
    struct partition *p = ctx;
    if (err)
        partition_fail(p, err);
    else
        partition_note_synced(p);
}

static void start_sync(struct partition *p)
{
    p->want_sync = false;
    if (p->core.failed)
        return;
    partition_flush_asked(p);
    plog_sync(p->log);
    if (plog_failed(p->log) == OK)
        partition_note_synced(p); /* there may have been nothing to do */
}

static void wake_watches(struct partition *p, enum partition_reader reader)
{
    struct list due;
    p->wake[reader] = false;
    list_init(&due);
    list_splice_back(&due, &p->watches[reader]);
    while (!list_empty(&due)) {
        struct partition_watch *watch = CONTAINER_OF(due.next, struct partition_watch, link);
        list_remove(&watch->link);
        watch->fn(watch);
    }
}

static void settle(struct env_task *task)
{
    struct partition *p = CONTAINER_OF(task, struct partition, settle);
    partition_write_out(p);
    if (p->want_sync)
        start_sync(p);
    if (!p->unwritten)
        env_task_cancel(&p->settle); /* what these two left to do is done below */
    if (p->core.failed)
        partition_mends_end(p);
    if (p->core.failed)
        partition_waits_fail(p, KAFKA_KAFKA_STORAGE_ERROR);
    else if (p->core.role != REPLICA_LEADER)
        partition_waits_fail(p, KAFKA_NOT_LEADER_OR_FOLLOWER);
    else
        partition_waits_settle(p);
    for (int i = 0; i < READER_COUNT; i++)
        if (p->wake[i])
            wake_watches(p, i);
    bool hook_due = p->hook_due, failed_due = p->failed_due;
    p->hook_due = p->failed_due = false;
    if (hook_due && p->hook)
        p->hook(p->hook_ctx, p);
    if (failed_due)
        partition_back_later(p);
    if (failed_due)
        p->host->failed(p->host->ctx, p, p->failed_err); /* last: the host may close p */
}

/* -- what survives -- */

void partition_persist(struct partition *p, int64_t recovery_point, bool clean)
{
    struct manifest_entry entry = {.topic_id = p->topic_id,
                                   .index = p->index,
                                   .recovery_point = MIN(recovery_point, p->cut_to),
                                   .high_watermark = p->core.high_watermark,
                                   .log_start = p->core.log_start,
                                   .cleaned_to = p->log ? plog_cleaned_to(p->log) : 0,
                                   .gaps = p->gaps,
                                   .clean = clean,
                                   .distrust = p->log && plog_failed(p->log) != OK};
    env_timer_cancel(p->host->env, &p->persist);
    if (p->host->manifest && p->log)
        manifest_put(p->host->manifest, &entry);
}

static void persist_due(struct env_timer *timer)
{
    struct partition *p = CONTAINER_OF(timer, struct partition, persist);
    partition_persist(p, p->core.synced_end, false);
}

/* -- opening -- */

static struct plog_config log_config(const struct partition *p)
{
    return (struct plog_config){.segment_bytes = p->config.segment_bytes,
                                .segment_ms = p->config.segment_ms,
                                .segment_jitter_ms = p->config.segment_jitter_ms,
                                .segment_index_bytes = p->config.segment_index_bytes,
                                .index_interval_bytes = p->config.index_interval_bytes,
                                .producer_expiry_us = p->host->producer_expiry_us,
                                .may_have_gaps = p->gaps};
}

static struct partition *new_partition(const struct partition_host *host, const struct image_topic *topic,
                                       int32_t index, const struct partition_config *config)
{
    struct partition *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return NULL;
    p->host = host;
    p->topic_id = topic->id;
    p->index = index;
    p->config = *config;
    p->topic_len = topic->name.len;
    p->name = malloc((size_t)p->topic_len + INDEX_TEXT_MAX);
    if (p->name == NULL) {
        free(p);
        return NULL;
    }
    snprintf(p->name, (size_t)p->topic_len + INDEX_TEXT_MAX, "%.*s-%" PRId32, p->topic_len, topic->name.p,
             index);
    list_init(&p->waits_written);
    list_init(&p->waits_synced);
    list_init(&p->waits_high);
    list_init(&p->waits_start);
    list_init(&p->lookups);
    list_init(&p->mends);
    list_init(&p->watches[READER_CONSUMER]);
    list_init(&p->watches[READER_FOLLOWER]);
    env_task_init(&p->settle, settle);
    env_timer_init(&p->deadline, deadline_passed);
    env_timer_init(&p->persist, persist_due);
    partition_flush_init(p);
    partition_trim_init(p);
    partition_maintain_init(p);
    list_init(&p->cleaning.link);
    p->cut_to = INT64_MAX;
    partition_back_init(p);
    return p;
}

/* A directory with our name that holds another topic's data, or nobody's, is set aside, never deleted. It may
 * be what is left of ours: the mark of doubt is there first. */
static enum err set_aside(struct partition *p)
{
    char from[PLOG_DIR_MAX + 1], to[PLOG_DIR_MAX + 32];
    uint32_t random;
    env_random(p->host->env, &random, sizeof(random));
    snprintf(from, sizeof(from), "%s/%s", p->host->data_dir, p->name);
    snprintf(to, sizeof(to), "%s.quarantined-x%08" PRIx32, from, random);
    PARTITION_LOG(p, WARN, "partition.quarantined", F_STR("directory", to),
                  F_STR("reason", "the directory belongs to another topic id"));
    enum err err = plog_doubt_note(p->host->env, p->host->data_dir, p->name);
    return err ? err : env_rename(p->host->env, from, to);
}

enum err partition_open_log(struct partition *p, const struct manifest_entry *known,
                            struct plog_report *report)
{
    struct plog_setup setup = {.env = p->host->env,
                               .tail_cache = p->host->tail_cache,
                               .handles = p->host->handles,
                               .data_dir = p->host->data_dir,
                               .name = p->name,
                               .topic_id = p->topic_id,
                               .config = log_config(p),
                               .clean = known->clean,
                               .recovery_point = known->recovery_point,
                               .power_lost = p->host->power_lost || known->power_lost,
                               .sync_failed = known->distrust,
                               .log_start = known->log_start,
                               .cleaned_to = known->cleaned_to,
                               .keep_segments = p->back.tries > 0,
                               .synced = log_synced,
                               .learned = partition_learned,
                               .damaged = partition_damaged,
                               .ctx = p,
                               .writes = p->host->log_writes};
    enum err err = plog_open(&setup, &p->log, report);
    if (err != ERR_MISMATCH)
        return err;
    err = set_aside(p);
    return err ? err : plog_open(&setup, &p->log, report);
}

static void report_open(struct partition *p, const struct plog_report *report)
{
    p->cut_bytes = report->cut_bytes;
    p->missing_synced = report->missing_from >= 0 || report->damages > 0 || report->cut_good || report->doubt;
    p->back.marked = report->doubt;
    p->back.shorter = report->missing_from >= 0 || report->doubt;
    p->back.holed = report->damages > 0;
    if (report->damages > 0)
        PARTITION_LOG(p, ERROR, "partition.damaged", F_STR("first", report->damage),
                      F_I64("ranges", report->damages));
    if (report->missing_from >= 0)
        PARTITION_LOG(p, ERROR, "partition.synced_data_missing", F_I64("log_end", report->missing_from));
    if (report->cut_bytes > 0)
        PARTITION_LOG(p, WARN, "partition.torn_tail_cut", F_I64("bytes", report->cut_bytes),
                      F_BOOL("good_batches_among_them", report->cut_good),
                      F_I64("log_end", plog_end(p->log)));
    if (report->rebuilt_epochs)
        PARTITION_LOG(p, WARN, "partition.epochs_rebuilt", F_I64("log_end", plog_end(p->log)));
}

static void init_core(struct partition *p, const struct manifest_entry *known)
{
    struct replica_setup setup = {.broker_id = p->host->broker_id,
                                  .lag_time_max_us = p->host->replica_lag_time_max_us,
                                  .answer_due = p->core.answer_due};
    if (p->log) {
        setup.log_start = plog_start(p->log);
        setup.log_end = plog_end(p->log);
        setup.synced_end = plog_synced_end(p->log);
        setup.high_watermark = known->high_watermark;
    }
    replica_init(&p->core, &setup);
}

void partition_start_log(struct partition *p, const struct manifest_entry *known,
                         const struct plog_report *report)
{
    init_core(p, known);
    report_open(p, report);
    partition_persist(p, p->core.synced_end, false);
    p->want_sync = plog_synced_end(p->log) < plog_end(p->log);
    if (p->want_sync)
        partition_settle_soon(p);
}

/* The manifest knows the log, and its directory is gone, although the page cache was kept since: not every
 * sync is in the manifest at once, so that its recovery point says nothing. */
static void note_vanished(const struct partition *p, const struct manifest_entry *known,
                          struct plog_report *report)
{
    if (report->created && !p->host->power_lost && !known->power_lost && report->missing_from < 0)
        report->missing_from = plog_end(p->log);
}

/* A log that cannot be opened is no reason to refuse the partition: it is offline, tried again later, and the
 * broker runs and says so. */
enum err partition_open(const struct partition_host *host, const struct image_topic *topic, int32_t index,
                        const struct partition_config *config, struct partition **ret_partition)
{
    struct manifest_entry known = {0};
    struct plog_report report;
    ASSERT(topic->name.len > 0 && topic->name.len < PARTITION_TOPIC_MAX);
    struct partition *p = new_partition(host, topic, index, config);
    if (p == NULL)
        return ERR_NOMEM;
    bool is_known = host->manifest && manifest_get(host->manifest, topic->id, index, &known);
    p->gaps = config->compacted || known.gaps || known.cleaned_to > 0;
    enum err err = partition_open_log(p, &known, &report);
    if (err == ERR_NOMEM) {
        free(p->name);
        free(p);
        return err;
    }
    if (err) {
        init_core(p, &known);
        PARTITION_LOG(p, ERROR, "partition.open_failed", F_ERR("error", err), F_STR("where", report.damage));
        partition_fail(p, err);
    } else {
        if (is_known)
            note_vanished(p, &known, &report);
        partition_start_log(p, &known, &report);
        if (p->missing_synced && !MUTANT(LOSS_IGNORED))
            partition_back_doubt(p);
    }
    *ret_partition = p;
    return OK;
}

static void free_partition(struct partition *p)
{
    env_timer_cancel(p->host->env, &p->deadline);
    env_timer_cancel(p->host->env, &p->persist);
    env_timer_cancel(p->host->env, &p->flush);
    env_timer_cancel(p->host->env, &p->trim);
    env_timer_cancel(p->host->env, &p->maintain);
    env_timer_cancel(p->host->env, &p->back.timer);
    env_task_cancel(&p->settle);
    free(replica_give_members(&p->core, NULL, 0));
    free(p->name);
    free(p);
}

/* Waits and watches learn that we are no leader any more. */
static void let_go(struct partition *p)
{
    partition_waits_fail(p, p->core.failed ? KAFKA_KAFKA_STORAGE_ERROR : KAFKA_NOT_LEADER_OR_FOLLOWER);
    partition_mends_end(p);
    wake_watches(p, READER_CONSUMER);
    wake_watches(p, READER_FOLLOWER);
    p->core.members_count = 0;
}

bool partition_close(struct partition *p, bool clean)
{
    partition_write_out(p);
    bool kept = !p->core.failed; /* perhaps just now: nobody was told */
    let_go(p);
    partition_forget_compaction(p);
    if (p->log && clean && !p->core.failed) {
        enum err err = plog_close_clean(p->log);
        if (err == OK)
            p->core.synced_end = p->core.log_end;
        else if (err != ERR_BUSY)
            PARTITION_LOG(p, ERROR, "partition.close_failed", F_ERR("error", err));
        partition_persist(p, p->core.synced_end, err == OK);
        kept = err == OK || p->config.sync_before_ack;
    }
    if (p->log)
        plog_close(p->log);
    free_partition(p);
    return kept;
}

void partition_delete(struct partition *p)
{
    let_go(p);
    partition_forget_compaction(p);
    if (p->host->manifest)
        manifest_remove(p->host->manifest, p->topic_id, p->index);
    if (p->back.marked)
        plog_doubt_clear(p->host->env, p->host->data_dir, p->name);
    if (p->log)
        plog_delete(p->log);
    free_partition(p);
}

/* -- state from the image -- */

static bool make_room(struct partition *p, int32_t replicas_count)
{
    if (replicas_count <= p->core.members_cap)
        return true;
    struct replica_member *members = calloc((size_t)replicas_count, sizeof(*members));
    if (members == NULL)
        return false;
    free(replica_give_members(&p->core, members, replicas_count));
    return true;
}

/* Once a log may have gaps it may for ever, and a later start must know. */
void partition_expect_gaps(struct partition *p, bool gaps)
{
    if (!gaps || p->gaps)
        return;
    p->gaps = true;
    if (p->log == NULL)
        return;
    struct plog_config log = log_config(p);
    plog_set_config(p->log, &log);
    partition_persist(p, p->core.synced_end, false);
}

static bool same_limits(const struct partition_config *a, const struct partition_config *b)
{
    return a->retention_ms == b->retention_ms && a->retention_bytes == b->retention_bytes &&
           a->retention_messages == b->retention_messages && a->deletes == b->deletes &&
           a->compacted == b->compacted && a->segment_ms == b->segment_ms &&
           a->max_compaction_lag_ms == b->max_compaction_lag_ms;
}

static void apply_config(struct partition *p, const struct partition_config *config)
{
    struct replica_event event = {.type = EV_CONFIG};
    bool same = same_limits(&p->config, config);
    bool same_flush = p->config.flush_messages == config->flush_messages &&
                      p->config.flush_ms == config->flush_ms &&
                      p->config.sync_before_ack == config->sync_before_ack;
    p->config = *config;
    if (!same_flush)
        partition_flush_config(p);
    partition_expect_gaps(p, config->compacted);
    event.config.min_isr = MAX(config->min_insync_replicas, 1);
    event.config.sync_before_ack = config->sync_before_ack;
    if (p->log) {
        struct plog_config log = log_config(p);
        plog_set_config(p->log, &log);
        if (!same)
            partition_maintain_soon(p);
    }
    partition_step(p, &event);
}

void partition_apply(struct partition *p, const struct image_partition *state,
                     const struct partition_config *config)
{
    struct replica_event event = {.type = EV_STATE};
    ASSERT(state->index == p->index);
    ASSERT(state->replicas_count <= REPLICA_MEMBERS_MAX);
    partition_write_out(p);
    if (!make_room(p, state->replicas_count)) {
        partition_fail(p, ERR_NOMEM);
        return;
    }
    apply_config(p, config);
    if (partition_back_holds(p, state))
        return;
    event.state.leader = state->leader;
    event.state.leader_epoch = state->leader_epoch;
    event.state.partition_epoch = state->partition_epoch;
    event.state.replicas = state->replicas;
    event.state.replicas_count = state->replicas_count;
    event.state.isr = state->isr;
    event.state.isr_count = state->isr_count;
    event.state.yields = state->yields;
    partition_step(p, &event);
    if (MUTANT(TRUNCATE_TO_HIGH_WATERMARK))
        partition_follower_out_of_range(p, p->core.leader_epoch, p->core.log_start, p->core.high_watermark);
    if (config->sync_before_ack && p->core.synced_end < p->core.log_end)
        p->want_sync = true; /* what was written without may have been appended under another promise */
    partition_settle_soon(p);
}

void partition_alter_done(struct partition *p, int16_t error)
{
    struct replica_event event = {.type = EV_ALTERED, .error = error};
    partition_step(p, &event);
}

/* -- figures -- */

struct uuid partition_topic_id(const struct partition *p)
{
    return p->topic_id;
}

struct str partition_topic(const struct partition *p)
{
    return (struct str){p->name, p->topic_len};
}

int32_t partition_index(const struct partition *p)
{
    return p->index;
}

void partition_get(const struct partition *p, struct partition_view *ret_view)
{
    const struct replica *core = &p->core;
    *ret_view =
        (struct partition_view){.is_leader = core->role == REPLICA_LEADER,
                                .is_follower = core->role == REPLICA_FOLLOWER,
                                .offline = core->failed,
                                .leader = core->leader,
                                .leader_epoch = core->leader_epoch,
                                .partition_epoch = core->partition_epoch,
                                .log_start = core->log_start,
                                .log_end = p->unwritten ? plog_end(p->log) : core->log_end,
                                .synced_end = core->synced_end,
                                .high_watermark = core->high_watermark,
                                .last_stable_offset = partition_last_stable((struct partition *)(uintptr_t)p),
                                .isr_count = replica_isr_count(core),
                                .replicas_count = core->members_count,
                                .cut_bytes = p->cut_bytes,
                                .missing_synced = p->missing_synced};
}

uint64_t partition_size_bytes(const struct partition *p)
{
    return p->log ? plog_size_bytes(p->log) : 0;
}
