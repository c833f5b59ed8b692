/* SPDX-License-Identifier: Apache-2.0 */
/* A transaction coordinator's core in a world of its own: a clock, a log that keeps what was committed,
 * calls, markers under way. */
#ifndef SLUICE_TESTS_UNIT_BROKER_TXN_FIXTURE_H
#define SLUICE_TESTS_UNIT_BROKER_TXN_FIXTURE_H

#include <string.h>

#include "broker/core/txn.h"
#include "common/base/assert.h"
#include "common/base/wire.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"
#include "tests/lib/unit.h"

#define WORLD_ASKS_MAX   512
#define WORLD_LOG_FIRST  4096 /* bytes of room; doubles */
#define WORLD_ID         STR_LIT("id")
#define WORLD_PARTITIONS 3
#define WORLD_TIMEOUT_MS 10000

struct ask {
    struct txn_call call;
    struct arena arena;
    int16_t errors[WORLD_PARTITIONS];
    struct kafka_describe_transactions_response_transaction_state described;
    bool answered;
};

struct world {
    struct txns *t;
    struct core_alloc alloc;
    struct txn_settings settings;
    int64_t bytes; /* held by the core */
    uint64_t now_us;
    struct ask *asks[WORLD_ASKS_MAX];
    int asks_count, answered;
    struct coordinator_write pending[64]; /* taken and not decided */
    int pending_count;
    struct txn_markers markers; /* the newest that were taken; token 0: none */
    int32_t marker_indexes[WORLD_PARTITIONS];
    int64_t next_id;
    uint8_t *log;
    size_t log_len, log_room;
};

static const struct txn_partition world_partitions[WORLD_PARTITIONS] = {
    {{"a", 1}, 0}, {{"a", 1}, 1}, {{"b", 1}, 0}};

static inline void make_room(struct world *w, size_t len)
{
    if (w->log_room - w->log_len < len)
        w->log = realloc(w->log, w->log_room = 2 * (w->log_room + len));
}

static void *world_resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
    struct world *w = ctx;

    w->bytes += (int64_t)new_size - (int64_t)old_size;
    if (new_size > 0)
        return realloc(old, new_size);
    free(old);
    return NULL;
}

static void world_clock(struct world *w, struct txns *t)
{
    txns_set_time(t, w->now_us, (int64_t)(w->now_us / 1000));
}

static void world_init(struct world *w)
{
    memset(w, 0, sizeof(*w));
    w->alloc = (struct core_alloc){.ctx = w, .resize = world_resize};
    w->settings = (struct txn_settings){
        .timeout_max_ms = 60000, .expiration_ms = 3600000, .expiry_check_ms = 600000, .wait_ms = 1000};
    w->now_us = 1000000;
    w->next_id = 100;
    w->log = malloc(w->log_room = WORLD_LOG_FIRST);
    w->t = txns_new(&w->alloc, &w->settings);
    world_clock(w, w->t);
    txns_loaded(w->t);
}

static void world_settle(struct world *w);

static void world_answered(struct world *w, struct ask *ask)
{
    ASSERT(ask->call.settled && !ask->answered); /* exactly once */
    if (ask->call.needs_id) {
        ask->call.settled = false;
        ask->call.fresh_id = w->next_id++;
        txns_call(w->t, &ask->call);
        return;
    }
    ask->answered = true;
    w->answered++;
}

/* Takes the effects. */
static void world_settle(struct world *w)
{
    struct coordinator_write write;
    struct txn_markers markers;
    struct txn_call *call;

    while (txns_take_markers(w->t, &markers)) {
        w->markers = markers;
        for (int32_t i = 0; i < markers.partitions_count; i++)
            w->marker_indexes[i] = markers.partitions[i].index;
    }
    while ((call = txns_take_settled(w->t)) != NULL)
        world_answered(w, CONTAINER_OF(call, struct ask, call));
    while (txns_take_write(w->t, &write)) {
        ASSERT(w->pending_count < 64);
        w->pending[w->pending_count++] = write;
    }
}

/* The oldest write reaches the high watermark, or the log refuses it. */
static void world_decide(struct world *w, int16_t error)
{
    if (w->pending_count == 0)
        return;
    struct coordinator_write write = w->pending[0];
    memmove(w->pending, w->pending + 1, (size_t)--w->pending_count * sizeof(write));
    if (error == KAFKA_NONE) {
        make_room(w, (size_t)write.len);
        memcpy(w->log + w->log_len, write.p, (size_t)write.len);
        w->log_len += (size_t)write.len;
        txns_committed(w->t, write.seq);
    } else {
        txns_failed(w->t, write.seq, write.seq, error);
    }
    world_settle(w);
}

static void world_commit_all(struct world *w)
{
    while (w->pending_count > 0)
        world_decide(w, KAFKA_NONE);
}

static void world_mark_all(struct world *w)
{
    for (int32_t i = 0; i < WORLD_PARTITIONS && w->markers.token != 0; i++)
        txns_marker_done(w->t, w->markers.token, world_partitions[i].topic, world_partitions[i].index);
    world_settle(w);
}

static void world_pass(struct world *w, uint64_t ms)
{
    uint64_t end = w->now_us + ms * 1000;

    while (txns_deadline(w->t) <= end) {
        w->now_us = MAX(w->now_us, txns_deadline(w->t));
        world_clock(w, w->t);
        txns_tick(w->t);
        world_settle(w);
    }
    w->now_us = end;
    world_clock(w, w->t);
}

static struct ask *world_ask(struct world *w, enum txn_call_type type)
{
    struct ask *ask = calloc(1, sizeof(*ask));

    ASSERT(w->asks_count < WORLD_ASKS_MAX);
    w->asks[w->asks_count++] = ask;
    arena_init(&ask->arena, NULL, 0, 1 << 20);
    ask->call = (struct txn_call){.type = type,
                                  .id = WORLD_ID,
                                  .producer_id = -1,
                                  .producer_epoch = -1,
                                  .fresh_id = -1,
                                  .timeout_ms = WORLD_TIMEOUT_MS,
                                  .arena = &ask->arena};
    return ask;
}

static void world_call(struct world *w, struct ask *ask)
{
    txns_call(w->t, &ask->call);
    world_settle(w);
}

/* What DescribeTransactions says; the state's number, TXN_DEAD: it is not known. */
static enum txn_state world_state(struct world *w,
                                  struct kafka_describe_transactions_response_transaction_state *ret)
{
    struct ask *ask = world_ask(w, TXN_CALL_DESCRIBE);

    ask->call.response = &ask->described;
    world_call(w, ask);
    if (ret)
        *ret = ask->described;
    if (ask->call.error != KAFKA_NONE)
        return TXN_DEAD;
    for (int state = 0; state < TXN_STATE_COUNT; state++)
        if (str_eq_z(ask->described.transaction_state, txn_state_name((enum txn_state)state)))
            return (enum txn_state)state;
    return TXN_STATE_COUNT;
}

static struct bytes world_part(struct reader *r)
{
    int32_t len = reader_i32(r);

    return len < 0 ? BYTES_NULL : (struct bytes){reader_raw(r, (size_t)len), len};
}

/* What a new coordinator makes of the log. */
static struct txns *world_load(struct world *w)
{
    struct txns *t = txns_new(&w->alloc, &w->settings);
    struct reader r = reader_over(w->log, w->log_len);

    world_clock(w, t);
    while (reader_left(&r) > 0) {
        struct bytes key = world_part(&r), value = world_part(&r);
        ASSERT(txns_replay(t, key, value) == OK);
    }
    return t;
}

/* Everybody who waits is told, nothing is left, and a new coordinator knows what this one had committed. */
static void world_end(struct world *w)
{
    uint64_t sum = txns_check(w->t);
    struct txns *next = world_load(w);

    ASSERT(txns_check(next) == sum);
    txns_free(next);
    w->pending_count = 0;
    txns_end(w->t);
    world_settle(w);
    ASSERT(w->answered == w->asks_count);
    txns_free(w->t);
    ASSERT(w->bytes == 0);
    for (int i = 0; i < w->asks_count; i++) {
        arena_free(&w->asks[i]->arena);
        free(w->asks[i]);
    }
    free(w->log);
}

#endif
