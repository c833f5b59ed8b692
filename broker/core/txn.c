/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/txn.h"

#include <string.h>

#include "broker/core/txn_internal.h"
#include "common/base/mutant.h"

#define REPLAY_ARENA_BYTES (64u << 20) /* of one record, which is at most a batch */
#define BIT(state)         (1u << (state))

/* What may follow each state (the table in txn.h). */
static const uint8_t follows[TXN_STATE_COUNT] = {
    [TXN_EMPTY] = BIT(TXN_ONGOING) | BIT(TXN_PREPARE_ABORT) | BIT(TXN_EMPTY) | BIT(TXN_DEAD),
    [TXN_ONGOING] = BIT(TXN_ONGOING) | BIT(TXN_PREPARE_COMMIT) | BIT(TXN_PREPARE_ABORT),
    [TXN_PREPARE_COMMIT] = BIT(TXN_COMPLETE_COMMIT),
    [TXN_PREPARE_ABORT] = BIT(TXN_COMPLETE_ABORT),
    [TXN_COMPLETE_COMMIT] = BIT(TXN_ONGOING) | BIT(TXN_PREPARE_ABORT) | BIT(TXN_EMPTY) | BIT(TXN_DEAD),
    [TXN_COMPLETE_ABORT] = BIT(TXN_ONGOING) | BIT(TXN_PREPARE_ABORT) | BIT(TXN_EMPTY) | BIT(TXN_DEAD),
    [TXN_DEAD] = 0,
};

bool txn_may_follow(enum txn_state from, enum txn_state to)
{
    return (follows[from] & BIT(to)) != 0;
}

const char *txn_state_name(enum txn_state state)
{
    static const char *const names[TXN_STATE_COUNT] = {
        [TXN_EMPTY] = "Empty",
        [TXN_ONGOING] = "Ongoing",
        [TXN_PREPARE_COMMIT] = "PrepareCommit",
        [TXN_PREPARE_ABORT] = "PrepareAbort",
        [TXN_COMPLETE_COMMIT] = "CompleteCommit",
        [TXN_COMPLETE_ABORT] = "CompleteAbort",
        [TXN_DEAD] = "Dead",
    };

    ASSERT(state < TXN_STATE_COUNT);
    return names[state];
}

/* -- life -- */

struct txns *txns_new(const struct core_alloc *alloc, const struct txn_settings *settings)
{
    struct txns *t = core_resize(alloc, NULL, 0, sizeof(*t));

    if (!t)
        return NULL;
    *t = (struct txns){
        .alloc = alloc, .settings = settings, .loading = true, .expiry_due_us = TXNS_NO_DEADLINE};
    map_init(&t->by_hash);
    map_init(&t->by_token);
    heap_init(&t->timers);
    list_init(&t->writes_new);
    list_init(&t->writes);
    list_init(&t->settled);
    list_init(&t->ready);
    arena_init(&t->replaying, NULL, 0, REPLAY_ARENA_BYTES);
    return t;
}

static struct txn *any_txn(struct txns *t)
{
    uint32_t pos = 0;
    uint64_t key;
    void *value;

    return map_next(&t->by_hash, &pos, &key, &value) ? value : NULL;
}

void txns_free(struct txns *t)
{
    struct txn *txn;

    ASSERT(list_empty(&t->settled) && list_empty(&t->writes) && list_empty(&t->writes_new));
    while ((txn = any_txn(t)) != NULL)
        txn_drop(t, txn);
    map_free(&t->by_hash);
    map_free(&t->by_token);
    heap_free(&t->timers);
    writer_free(&t->out);
    arena_free(&t->replaying);
    core_resize(t->alloc, t, sizeof(*t), 0);
}

void txns_set_time(struct txns *t, uint64_t now_us, int64_t wall_ms)
{
    ASSERT(now_us >= t->now_us);
    t->now_us = now_us;
    t->wall_ms = wall_ms;
}

static void begin_time(void *ctx, struct txn *txn)
{
    struct txns *t = ctx;

    if (txn_preparing(txn))
        txn_markers_due(t, txn);
    txn_due(t, txn);
}

void txns_loaded(struct txns *t)
{
    ASSERT(t->loading);
    t->loading = false;
    txn_each(t, begin_time, t);
    t->expiry_due_us = t->now_us + (uint64_t)t->settings->expiry_check_ms * 1000;
}

/* -- calls -- */

static void start(struct txns *t, struct txn_call *call)
{
    static void (*const handlers[TXN_CALL_COUNT])(struct txns *, struct txn_call *) = {
        [TXN_CALL_INIT] = txn_init,  [TXN_CALL_ADD] = txn_add,           [TXN_CALL_VERIFY] = txn_verify,
        [TXN_CALL_END] = txn_finish, [TXN_CALL_DESCRIBE] = txn_describe, [TXN_CALL_LIST] = txns_list,
    };

    handlers[call->type](t, call);
}

void txns_call(struct txns *t, struct txn_call *call)
{
    ASSERT(!call->settled && call->type < TXN_CALL_COUNT);
    list_init(&call->link);
    call->needs_id = false;
    call->deadline_us = t->now_us + (uint64_t)t->settings->wait_ms * 1000;
    if (t->loading)
        txn_settle(t, call, KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
    else if (call->type != TXN_CALL_LIST && call->id.len <= 0)
        txn_settle(t, call, KAFKA_INVALID_REQUEST);
    else
        start(t, call);
}

void txn_settle(struct txns *t, struct txn_call *call, int16_t error)
{
    ASSERT(!call->settled);
    call->settled = true;
    call->error = error;
    list_push_back(&t->settled, &call->link);
}

void txn_wait(struct txns *t, struct txn *txn, struct txn_call *call)
{
    if (call->deadline_us <= t->now_us) {
        txn_settle(t, call, KAFKA_CONCURRENT_TRANSACTIONS);
        return;
    }
    list_push_back(&txn->waiting, &call->link);
    txn_due(t, txn);
}

/* Those that waited are made again, in their order; the txn may be gone afterwards. */
static void go_on(struct txns *t, struct list *calls)
{
    while (!list_empty(calls)) {
        struct txn_call *call = CONTAINER_OF(calls->next, struct txn_call, link);
        list_remove(&call->link);
        start(t, call);
    }
}

/* -- writes -- */

/* What clients are told when the log refuses a write (Kafka's mapping). */
static int16_t refusal(int16_t error)
{
    switch (error) {
    case KAFKA_NOT_LEADER_OR_FOLLOWER:
    case KAFKA_KAFKA_STORAGE_ERROR: return KAFKA_NOT_COORDINATOR;
    case KAFKA_NOT_ENOUGH_REPLICAS:
    case KAFKA_NOT_ENOUGH_REPLICAS_AFTER_APPEND:
    case KAFKA_UNKNOWN_TOPIC_OR_PARTITION:
    case KAFKA_REQUEST_TIMED_OUT: return KAFKA_COORDINATOR_NOT_AVAILABLE;
    case KAFKA_MESSAGE_TOO_LARGE:
    case KAFKA_RECORD_LIST_TOO_LARGE: return KAFKA_UNKNOWN_SERVER_ERROR;
    default: return error;
    }
}

static void write_free(struct txns *t, struct txn_write *write)
{
    list_remove(&write->link);
    txn_release(t, write, sizeof(*write) + (size_t)write->out.len);
}

/* The record counts: what it says is so, and what follows from it begins. False: the txn is gone. */
static bool write_committed(struct txns *t, struct txn *txn, const struct txn_write *write)
{
    if (write->state == TXN_DEAD) {
        txn_drop(t, txn);
        return false;
    }
    txn_write_apply(t, write);
    txn->last_epoch = write->last_epoch;
    txn->retry_us = 0;
    if (txn_preparing(txn))
        txn_markers_due(t, txn);
    return true;
}

/* Nothing happened. What must happen is tried again. */
static bool write_refused(struct txns *t, struct txn *txn)
{
    if (!txn->known) {
        txn_drop(t, txn);
        return false;
    }
    txn->retry_us = t->now_us + RETRY_WRITE_US;
    return true;
}

static void write_over(struct txns *t, struct txn_write *write, int16_t error)
{
    struct txn *txn = write->txn;
    struct list calls;

    list_init(&calls);
    if (write->call)
        txn_settle(t, write->call, error == KAFKA_NONE ? KAFKA_NONE : refusal(error));
    list_splice_back(&calls, &txn->waiting);
    txn->pending = NULL;
    bool lives = error == KAFKA_NONE ? write_committed(t, txn, write) : write_refused(t, txn);
    write_free(t, write);
    if (lives)
        txn_due(t, txn);
    go_on(t, &calls);
}

static struct txn_write *first_write(const struct txns *t)
{
    return list_empty(&t->writes) ? NULL : CONTAINER_OF(t->writes.next, struct txn_write, link);
}

void txns_committed(struct txns *t, uint64_t seq)
{
    struct txn_write *write;

    while ((write = first_write(t)) != NULL && write->out.seq <= seq)
        write_over(t, write, KAFKA_NONE);
}

/* From the first one on each time: whoever goes on may write again. */
void txns_failed(struct txns *t, uint64_t first, uint64_t last, int16_t error)
{
    ASSERT(first <= last && error != KAFKA_NONE);
    for (uint64_t seq = first; seq <= last; seq++) {
        list_for_each (it, &t->writes) {
            struct txn_write *write = CONTAINER_OF(it, struct txn_write, link);
            if (write->out.seq != seq)
                continue;
            write_over(t, write, error);
            break;
        }
    }
}

bool txns_take_write(struct txns *t, struct coordinator_write *ret)
{
    if (list_empty(&t->writes_new))
        return false;
    struct txn_write *write = CONTAINER_OF(t->writes_new.next, struct txn_write, link);
    list_remove(&write->link);
    list_push_back(&t->writes, &write->link);
    *ret = write->out;
    return true;
}

struct txn_call *txns_take_settled(struct txns *t)
{
    if (list_empty(&t->settled))
        return NULL;
    struct txn_call *call = CONTAINER_OF(t->settled.next, struct txn_call, link);
    list_remove(&call->link);
    return call;
}

/* -- time -- */

static uint64_t timeout_due(const struct txns *t, const struct txn *txn)
{
    if (txn->image.state != TXN_ONGOING || txn->pending)
        return TXNS_NO_DEADLINE;
    int64_t left_ms = txn->image.start_ms + txn->image.timeout_ms - t->wall_ms;
    uint64_t due = t->now_us + (uint64_t)MAX(left_ms, 0) * 1000;

    return MAX(due, txn->retry_us);
}

static uint64_t next_due(const struct txns *t, const struct txn *txn)
{
    uint64_t due = timeout_due(t, txn);

    if (!list_empty(&txn->waiting))
        due = MIN(due, CONTAINER_OF(txn->waiting.next, struct txn_call, link)->deadline_us);
    if (txn_preparing(txn) && txn->retry_us > 0 && !txn->pending)
        due = MIN(due, txn->retry_us);
    return due;
}

void txn_due(struct txns *t, struct txn *txn)
{
    uint64_t due = t->loading ? TXNS_NO_DEADLINE : next_due(t, txn);

    if (txn->timer.slot != 0 && txn->timer.key == due)
        return;
    heap_remove(&t->timers, &txn->timer);
    if (due == TXNS_NO_DEADLINE)
        return;
    bool put = heap_insert(&t->timers, &txn->timer, due);
    ASSERT(put);
}

static void give_up_waiting(struct txns *t, struct txn *txn)
{
    while (!list_empty(&txn->waiting)) {
        struct txn_call *call = CONTAINER_OF(txn->waiting.next, struct txn_call, link);
        if (call->deadline_us > t->now_us)
            return;
        list_remove(&call->link);
        txn_settle(t, call, KAFKA_CONCURRENT_TRANSACTIONS);
    }
}

static void tick(struct txns *t, struct txn *txn)
{
    give_up_waiting(t, txn);
    if (timeout_due(t, txn) <= t->now_us)
        txn_abort(t, txn, NULL);
    else if (txn_preparing(txn) && !txn->pending && txn->retry_us > 0 && txn->retry_us <= t->now_us)
        txn_complete(t, txn);
    txn_due(t, txn);
}

static void expire(void *ctx, struct txn *txn)
{
    struct txns *t = ctx;
    bool idle = txn_may_follow(txn->image.state, TXN_DEAD) && !txn->pending && txn->known;

    if (idle && t->wall_ms - txn->image.update_ms >= t->settings->expiration_ms)
        txn_write_gone(t, txn);
}

void txns_tick(struct txns *t)
{
    struct heap_node *node;

    while ((node = heap_min(&t->timers)) != NULL && node->key <= t->now_us) {
        heap_remove(&t->timers, node);
        tick(t, CONTAINER_OF(node, struct txn, timer));
    }
    if (t->expiry_due_us > t->now_us)
        return;
    t->expiry_due_us = t->now_us + (uint64_t)t->settings->expiry_check_ms * 1000;
    txn_each(t, expire, t);
}

uint64_t txns_deadline(const struct txns *t)
{
    const struct heap_node *node = heap_min(&t->timers);

    return node ? MIN(t->expiry_due_us, node->key) : t->expiry_due_us;
}

/* -- the end -- */

static void end_txn(void *ctx, struct txn *txn)
{
    struct txns *t = ctx;

    while (!list_empty(&txn->waiting)) {
        struct txn_call *call = CONTAINER_OF(txn->waiting.next, struct txn_call, link);
        list_remove(&call->link);
        txn_settle(t, call, KAFKA_NOT_COORDINATOR);
    }
}

static void end_writes(struct txns *t, struct list *writes)
{
    while (!list_empty(writes)) {
        struct txn_write *write = CONTAINER_OF(writes->next, struct txn_write, link);
        if (write->call)
            txn_settle(t, write->call, KAFKA_NOT_COORDINATOR);
        write->txn->pending = NULL;
        write_free(t, write);
    }
}

void txns_end(struct txns *t)
{
    txn_each(t, end_txn, t);
    end_writes(t, &t->writes);
    end_writes(t, &t->writes_new);
}
