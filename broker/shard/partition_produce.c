/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/shard/partition_internal.h"
#include "common/base/assert.h"
#include "common/base/mutant.h"
#include "common/base/probe.h"
#include "common/batch/recompress.h"
#include "common/batch/validate.h"
#include "proto/kafka/error.h"

/* -- waits -- */

static void finish(struct partition_wait *wait, int16_t error)
{
    partition_wait_cancel(wait);
    wait->done(wait, error);
}

void partition_wait_cancel(struct partition_wait *wait)
{
    if (wait->partition == NULL)
        return;
    list_remove(&wait->link);
    env_timer_cancel(wait->partition->host->env, &wait->timer);
    wait->partition = NULL;
}

static void timed_out(struct env_timer *timer)
{
    PROBE(WAIT_TIMED_OUT);
    finish(CONTAINER_OF(timer, struct partition_wait, timer), KAFKA_REQUEST_TIMED_OUT);
}

static struct partition_wait *first_of(struct list *waits)
{
    return list_empty(waits) ? NULL : CONTAINER_OF(waits->next, struct partition_wait, link);
}

/* Whoever was promised no more than the write. No timer runs for them. */
static void settle_written(struct partition *p)
{
    struct partition_wait *wait;
    while ((wait = first_of(&p->waits_written)) != NULL && wait->need_offset <= p->core.log_end) {
        list_remove(&wait->link);
        wait->partition = NULL;
        wait->done(wait, KAFKA_NONE);
    }
}

void partition_waits_fail(struct partition *p, int16_t error)
{
    struct partition_wait *wait;
    settle_written(p);
    while ((wait = first_of(&p->waits_written)) != NULL)
        finish(wait, error);
    while ((wait = first_of(&p->waits_start)) != NULL)
        finish(wait, error);
    while ((wait = first_of(&p->waits_synced)) != NULL || (wait = first_of(&p->waits_high)) != NULL) {
        PROBE(WAIT_DEPOSED);
        finish(wait, MUTANT(ACK_WHEN_DEPOSED) ? KAFKA_NONE : error);
    }
    partition_lookups_fail(p, error);
}

void partition_waits_settle(struct partition *p)
{
    struct partition_wait *wait;
    settle_written(p);
    while ((wait = first_of(&p->waits_start)) != NULL && wait->need_offset <= replica_low_watermark(&p->core))
        finish(wait, KAFKA_NONE);
    while ((wait = first_of(&p->waits_synced)) != NULL && wait->need_offset <= p->core.synced_end)
        finish(wait, KAFKA_NONE);
    while ((wait = first_of(&p->waits_high)) != NULL && wait->need_offset <= p->core.high_watermark) {
        bool enough = replica_maximal_isr_count(&p->core) >= replica_min_isr(&p->core);
        finish(wait, enough ? KAFKA_NONE : KAFKA_NOT_ENOUGH_REPLICAS_AFTER_APPEND);
    }
}

static void queue(struct partition *p, struct list *waits, struct partition_wait *wait, int64_t need_offset)
{
    struct list *at = waits->prev; /* a duplicate may need less than the newest does */
    wait->partition = p;
    wait->need_offset = need_offset;
    while (at != waits && CONTAINER_OF(at, struct partition_wait, link)->need_offset > need_offset)
        at = at->prev;
    list_add_between(&wait->link, at, at->next);
    env_timer_init(&wait->timer, timed_out);
}

static void add_wait(struct partition *p, struct list *waits, struct partition_wait *wait,
                     int64_t need_offset, int32_t timeout_ms)
{
    struct env *env = p->host->env;
    queue(p, waits, wait, need_offset);
    env_timer_set(env, &wait->timer, env_now_us(env) + (uint64_t)MAX(timeout_ms, 0) * 1000);
}

bool partition_await_start(struct partition *p, int64_t log_start, int32_t timeout_ms,
                           struct partition_wait *wait)
{
    wait->partition = NULL;
    if (log_start <= replica_low_watermark(&p->core))
        return false;
    add_wait(p, &p->waits_start, wait, log_start, timeout_ms);
    return true;
}

/* acks=0 and, where acknowledgments follow the append, acks=1: for the end of the turn. */
static bool promise_written(struct partition *p, struct partition_wait *wait, int64_t need_offset)
{
    if (need_offset <= p->core.log_end || wait == NULL)
        return true;
    queue(p, &p->waits_written, wait, need_offset);
    return false;
}

/* Is the promise of acks for need_offset kept already? Else wait is queued. */
static bool promise(struct partition *p, const struct partition_append *request, struct partition_wait *wait,
                    int64_t need_offset)
{
    bool sync = p->config.sync_before_ack;
    if (request->acks == 0 || (request->acks == 1 && !sync) || MUTANT(ACK_BEFORE_ISR))
        return promise_written(p, wait, need_offset);
    if (request->acks == 1 && need_offset <= p->core.synced_end)
        return true;
    if (request->acks == -1 && need_offset <= p->core.high_watermark &&
        replica_maximal_isr_count(&p->core) >= replica_min_isr(&p->core))
        return true;
    ASSERT(wait != NULL);
    add_wait(p, request->acks == 1 || MUTANT(ALL_AS_ONE) ? &p->waits_synced : &p->waits_high, wait,
             need_offset, request->timeout_ms);
    return false;
}

/* -- append -- */

/* A client that has several requests on the way sends a batch before it hears that the one in front of it was
 * refused. If what stood in the way is gone by then, the second is told that it leaves a gap, which a client
 * may take for lost records: librdkafka gives up, or gives all that is unanswered new numbers and thereby
 * writes some of it twice. And where nothing is known of the producer, the second would be taken without the
 * first. So for a while after a refusal, and after the change of the leader, a gap is one that closes. */
#define GAP_CLOSES_US (5 * 1000000ull)

void partition_await_gaps(struct partition *p)
{
    p->await_gaps_until_us = env_now_us(p->host->env) + GAP_CLOSES_US;
}

static int16_t refuse_for_now(struct partition *p, int16_t error)
{
    partition_await_gaps(p);
    return error;
}

static bool lacks_replicas(const struct partition *p, const struct partition_append *request)
{
    return request->acks == -1 && replica_isr_count(&p->core) < replica_min_isr(&p->core);
}

static int16_t admit(struct partition *p, const struct partition_append *request)
{
    if (request->acks < -1 || request->acks > 1)
        return KAFKA_INVALID_REQUIRED_ACKS;
    int16_t error = partition_check_leader(p, request->current_leader_epoch);
    if (MUTANT(FOLLOWER_TAKES_WRITES) && p->core.role == REPLICA_FOLLOWER)
        return KAFKA_NONE;
    if (error != KAFKA_NONE)
        return error;
    if (request->acks == 1 && !replica_takes_own_word(&p->core)) {
        PROBE(OWN_WORD_REFUSED);
        return refuse_for_now(p, KAFKA_NOT_LEADER_OR_FOLLOWER); /* in a moment */
    }
    return KAFKA_NONE;
}

static struct batch_rules rules_of(const struct partition *p, const struct partition_append *request)
{
    return (struct batch_rules){.now_ms = env_wall_ms(p->host->env),
                                .before_max_ms = p->config.timestamp_before_max_ms,
                                .after_max_ms = p->config.timestamp_after_max_ms,
                                .max_message_bytes = p->config.max_message_bytes,
                                .segment_bytes = p->config.segment_bytes,
                                .append_time = p->config.log_append_time,
                                .compacted = p->config.compacted,
                                .zstd_allowed = !request->no_zstd,
                                .internal = request->internal};
}

static struct producer_batch producer_of(const uint8_t *batch)
{
    return (struct producer_batch){.producer_id = batch_producer_id(batch),
                                   .producer_epoch = batch_producer_epoch(batch),
                                   .first_sequence = batch_base_sequence(batch),
                                   .last_sequence = batch_last_sequence(batch),
                                   .offset_delta = batch_last_offset_delta(batch),
                                   .last_offset = -1,
                                   .transactional = batch_is_transactional(batch)};
}

/* Only a transaction that its coordinator knows of begins here: it could never end otherwise (KIP-890). */
static int16_t check_txn(struct partition *p, const struct partition_append *request, const uint8_t *batch)
{
    int64_t producer_id = batch_producer_id(batch);
    if (!batch_is_transactional(batch) || partition_txn_is_open(p, producer_id, batch_producer_epoch(batch)))
        return KAFKA_NONE;
    if (producer_state_open_txn(plog_producers(p->log), producer_id) >= 0)
        return KAFKA_CONCURRENT_TRANSACTIONS; /* the one before waits for its marker */
    if (request->internal)
        return KAFKA_NONE; /* its coordinator has asked */
    return request->guard && partition_txn_holds(p, request->guard) ? KAFKA_NONE : KAFKA_INVALID_TXN_STATE;
}

/* Whether this batch waits for one that its client repeats. */
static bool gap_closes(struct partition *p, const struct producer_batch *asked)
{
    return env_now_us(p->host->env) < p->await_gaps_until_us &&
           producer_state_gap(plog_producers(p->log), asked);
}

/* What is known of a batch's producer. KAFKA_NONE with *ret_need 0: append it; > 0: a duplicate that ended
 * there. */
static int16_t deduplicate(struct partition *p, const struct partition_append *request, const uint8_t *batch,
                           struct partition_appended *ret, int64_t *ret_need)
{
    struct producer_batch original, asked = producer_of(batch);
    *ret_need = 0;
    if (asked.producer_id < 0 || batch_is_control(batch))
        return KAFKA_NONE;
    if (request->internal) /* a coordinator's: its sequence is that of its own log */
        return producer_state_epoch(plog_producers(p->log), asked.producer_id) > asked.producer_epoch
                   ? KAFKA_INVALID_PRODUCER_EPOCH
                   : check_txn(p, request, batch);
    if (!MUTANT(SEQUENCE_GAPS) && gap_closes(p, &asked)) {
        PROBE(GAP_AWAITED);
        ret->message = "batches of this producer are missing in front of this one, since they were refused a "
                       "moment ago: repeat them first";
        return KAFKA_NOT_ENOUGH_REPLICAS;
    }
    switch (producer_state_judge(plog_producers(p->log), &asked, &original)) {
    case PRODUCER_FENCED: return KAFKA_INVALID_PRODUCER_EPOCH;
    case PRODUCER_TXN_OPEN: return KAFKA_INVALID_TXN_STATE;
    case PRODUCER_OUT_OF_ORDER:
        if (MUTANT(SEQUENCE_GAPS))
            break;
        PROBE(SEQUENCE_REFUSED);
        return KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER;
    case PRODUCER_DUPLICATE:
        if (MUTANT(DUPLICATES_APPENDED))
            break;
        PROBE(DUPLICATE_ANSWERED);
        ret->base_offset = original.last_offset - original.offset_delta;
        if (p->config.log_append_time)
            ret->log_append_time_ms = original.timestamp_ms;
        *ret_need = original.last_offset + 1;
        return KAFKA_NONE;
    case PRODUCER_APPEND: break;
    }
    return check_txn(p, request, batch);
}

/* The same, and whether there are replicas enough. A duplicate is in the log: that it was refused before its
 * append would be wrong. Where another one may lead by now, that one knows the producer better: what it took
 * meanwhile looks like a gap here, and its transactions like none. */
static int16_t judge(struct partition *p, const struct partition_append *request, const uint8_t *batch,
                     struct partition_appended *ret, int64_t *ret_need)
{
    int16_t error = deduplicate(p, request, batch, ret, ret_need);
    if (error != KAFKA_NONE && request->in_doubt) {
        PROBE(PRODUCER_NOT_JUDGED);
        ret->message =
            "no controller has confirmed this leader for a while, and another one may lead: ask for "
            "the metadata and send again";
        return KAFKA_NOT_LEADER_OR_FOLLOWER;
    }
    if (error != KAFKA_NONE || !lacks_replicas(p, request))
        return error;
    if (*ret_need > 0)
        return KAFKA_NOT_ENOUGH_REPLICAS_AFTER_APPEND;
    PROBE(MIN_ISR_REFUSED);
    return refuse_for_now(p, KAFKA_NOT_ENOUGH_REPLICAS);
}

static int16_t write_batch(struct partition *p, uint8_t *batch, uint32_t len, struct iobuf *owner,
                           struct partition_appended *ret)
{
    enum err err = plog_append_kept(p->log, batch, len, owner);
    if (err && plog_failed(p->log) == OK) /* out of memory: nothing happened, the client tries again */
        return refuse_for_now(p, KAFKA_KAFKA_STORAGE_ERROR);
    if (err) {
        partition_fail(p, err);
        return KAFKA_KAFKA_STORAGE_ERROR;
    }
    ret->base_offset = batch_base_offset(batch);
    p->unwritten = true;
    partition_settle_soon(p);
    return KAFKA_NONE;
}

static int16_t refused(struct partition_appended *ret, const struct batch_verdict *verdict)
{
    ret->message = verdict->message;
    ret->record_errors = verdict->errors;
    ret->record_errors_count = verdict->errors_count;
    return verdict->error;
}

/* Puts the topic's codec on an accepted batch. KAFKA_NONE: *ret_batch is the batch to append; when it is a
 * new one, *ret_own holds it. */
static int16_t store_as(struct partition *p, const struct batch_rules *rules, struct batch_verdict *verdict,
                        uint8_t **ret_batch, struct iobuf **ret_own)
{
    const struct batch_target target = {.as_produced = !p->config.recompress,
                                        .codec = (enum codec)p->config.codec,
                                        .level = p->config.codec_level};
    *ret_own = NULL;
    if (!batch_must_recompress(*ret_batch, &target))
        return KAFKA_NONE;
    int err = batch_recompress(*ret_batch, verdict, &target, p->host->scratch, p->host->env->pool, ret_own);
    if (err)
        return err == ERR_TOO_LARGE ? KAFKA_MESSAGE_TOO_LARGE : KAFKA_UNKNOWN_SERVER_ERROR;
    *ret_batch = (*ret_own)->data;
    if (MUTANT(RECOMPRESS_FORGETS_PRODUCER))
        batch_set_producer(*ret_batch, -1, -1, -1);
    return batch_size_error((*ret_own)->len, rules, verdict);
}

static int16_t append_batch(struct partition *p, const struct partition_append *request,
                            struct partition_appended *ret, int64_t *ret_need)
{
    struct batch_verdict verdict;
    uint8_t *batch = request->records;
    struct batch_rules rules = rules_of(p, request);
    struct iobuf *own;
    if (batch_validate(batch, (size_t)request->len, &rules, p->host->scratch, &verdict) != BATCH_OK)
        return refused(ret, &verdict);
    int16_t error = judge(p, request, batch, ret, ret_need);
    if (error != KAFKA_NONE || *ret_need > 0)
        return error;
    error = store_as(p, &rules, &verdict, &batch, &own);
    if (error == KAFKA_NONE) {
        batch_assign(batch, plog_end(p->log), MUTANT(NO_EPOCH_STAMP) ? 0 : p->core.leader_epoch, &rules,
                     &verdict);
        *ret_need = batch_next_offset(batch);
        ret->log_append_time_ms = rules.append_time ? rules.now_ms : -1;
        error = write_batch(p, batch, (uint32_t)batch_size(batch), own ? own : request->owner, ret);
    } else if (verdict.error != BATCH_OK) {
        refused(ret, &verdict);
    }
    if (own)
        iobuf_unref(own);
    return error;
}

void partition_append(struct partition *p, const struct partition_append *request,
                      struct partition_wait *wait, struct partition_appended *ret)
{
    int64_t need = 0;
    *ret = (struct partition_appended){
        .base_offset = -1, .log_append_time_ms = -1, .log_start = p->core.log_start};
    if (wait)
        wait->partition = NULL;
    ret->error = admit(p, request);
    if (ret->error == KAFKA_NONE && partition_disk_full(p)) {
        ret->error = refuse_for_now(p, KAFKA_KAFKA_STORAGE_ERROR);
        ret->message = "the disk of this broker is full (log.dir.free.min.bytes): delete topics or shorten "
                       "retention; reading goes on";
    }
    if (ret->error == KAFKA_NONE)
        ret->error = append_batch(p, request, ret, &need);
    if (ret->error != KAFKA_NONE) {
        ret->base_offset = -1;
        ret->log_append_time_ms = -1;
        return;
    }
    ret->waits = !promise(p, request, wait, need);
}

void partition_append_wait(struct partition *p, const struct partition_append *request,
                           struct partition_wait *wait, int64_t need_offset, struct partition_appended *ret)
{
    wait->partition = NULL;
    ret->waits = !promise(p, request, wait, need_offset);
}
