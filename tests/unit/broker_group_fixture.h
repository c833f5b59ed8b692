/* SPDX-License-Identifier: Apache-2.0 */
/* A group coordinator's core in a world of its own: a clock, a log that keeps what was committed, requests.
 */
#ifndef SLUICE_TESTS_UNIT_BROKER_GROUP_FIXTURE_H
#define SLUICE_TESTS_UNIT_BROKER_GROUP_FIXTURE_H

#include <string.h>

#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "tests/lib/unit.h"
#include "tests/unit/broker_group_ask.h"
#include "tests/unit/broker_group_topics.h"

#define WORLD_ASKS_MAX  512
#define WORLD_LOG_MAX   (1 << 17)
#define WORLD_NAME_MAX  96
#define WORLD_SPANS_MAX 512

/* What is no plain record in the log: a producer's transactional ones, or its marker (from == to). */
struct world_span {
    size_t from, to;
    int64_t producer_id;
    bool commit;
};

struct world {
    struct groups *g;
    struct world_topics metadata;
    struct core_alloc alloc;
    struct group_settings settings;
    int64_t bytes; /* held by the core */
    uint64_t now_us;
    struct ask *asks[WORLD_ASKS_MAX];
    int asks_count, answered;
    /* Writes that were taken and not decided; then what was committed, as it would stand in the log. */
    struct coordinator_write pending[64];
    int pending_count;
    uint8_t *log;
    size_t log_len;
    struct world_span spans[WORLD_SPANS_MAX];
    int spans_count;
};

static void *world_resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
    struct world *w = ctx;

    w->bytes += (int64_t)new_size - (int64_t)old_size;
    if (new_size > 0)
        return realloc(old, new_size);
    free(old);
    return NULL;
}

static void world_init(struct world *w)
{
    memset(w, 0, sizeof(*w));
    w->metadata.view =
        (struct group_topics){&w->metadata, world_by_name, world_by_id, world_each, world_version};
    world_set_topic(&w->metadata, 0, "t", 4);
    w->alloc = (struct core_alloc){.ctx = w, .resize = world_resize};
    w->settings = (struct group_settings){.session_min_ms = 1000,
                                          .session_max_ms = 60000,
                                          .initial_delay_ms = 0,
                                          .size_max = 100,
                                          .metadata_max = 16,
                                          .commit_timeout_ms = 5000,
                                          .retention_ms = 3600000,
                                          .retention_check_ms = 600000,
                                          .topics = &w->metadata.view,
                                          .consumer_session_ms = 10000,
                                          .consumer_heartbeat_ms = 3000,
                                          .consumer_size_max = 100,
                                          .consumer_upgrade = true,
                                          .consumer_downgrade = true};
    w->now_us = 1000000;
    w->log = malloc(WORLD_LOG_MAX);
    w->g = groups_new(&w->alloc, &w->settings, 1);
    groups_set_time(w->g, w->now_us, (int64_t)(w->now_us / 1000));
    groups_loaded(w->g);
}

/* Takes the effects. */
static void world_settle(struct world *w)
{
    struct group_call *call;
    struct coordinator_write write;

    while (groups_take_write(w->g, &write)) {
        ASSERT(w->pending_count < 64);
        w->pending[w->pending_count++] = write;
    }
    while ((call = groups_take_settled(w->g)) != NULL) {
        struct ask *ask = CONTAINER_OF(call, struct ask, call);
        ASSERT(call->settled && !ask->answered); /* exactly once */
        ask->answered = true;
        w->answered++;
    }
}

static void world_span_add(struct world *w, struct world_span span)
{
    ASSERT(w->spans_count < WORLD_SPANS_MAX);
    w->spans[w->spans_count++] = span;
}

/* The oldest write reaches the high watermark, or the log refuses it. */
static void world_decide(struct world *w, int16_t error)
{
    if (w->pending_count == 0)
        return;
    struct coordinator_write write = w->pending[0];
    memmove(w->pending, w->pending + 1, (size_t)--w->pending_count * sizeof(write));
    if (error == KAFKA_NONE) {
        ASSERT(w->log_len + (size_t)write.len <= WORLD_LOG_MAX);
        memcpy(w->log + w->log_len, write.p, (size_t)write.len);
        if (write.transactional)
            world_span_add(
                w, (struct world_span){w->log_len, w->log_len + (size_t)write.len, write.producer_id, false});
        w->log_len += (size_t)write.len;
        groups_committed(w->g, write.seq);
    } else {
        groups_failed(w->g, write.seq, write.seq, error);
    }
    world_settle(w);
}

static inline void world_commit_all(struct world *w)
{
    while (w->pending_count > 0)
        world_decide(w, KAFKA_NONE);
}

/* The producer's marker is committed behind all that is. */
static inline void world_mark(struct world *w, int64_t producer_id, bool commit)
{
    world_span_add(w, (struct world_span){w->log_len, w->log_len, producer_id, commit});
    groups_marked(w->g, producer_id, commit);
    world_settle(w);
}

static inline void world_pass(struct world *w, uint64_t ms)
{
    uint64_t end = w->now_us + ms * 1000;

    while (groups_deadline(w->g) <= end) {
        w->now_us = MAX(w->now_us, groups_deadline(w->g));
        groups_set_time(w->g, w->now_us, (int64_t)(w->now_us / 1000));
        groups_tick(w->g);
        world_settle(w);
    }
    w->now_us = end;
    groups_set_time(w->g, w->now_us, (int64_t)(w->now_us / 1000));
}

static struct bytes world_part(struct reader *r)
{
    int32_t len = reader_i32(r);

    return len < 0 ? BYTES_NULL : (struct bytes){reader_raw(r, (size_t)len), len};
}

/* The markers that stand at pos, and the span that begins or goes on there, NULL: none. */
static const struct world_span *world_span_at(const struct world *w, struct groups *g, size_t pos, int *at)
{
    for (; *at < w->spans_count && w->spans[*at].to <= pos; ++*at) {
        const struct world_span *span = &w->spans[*at];
        if (span->from == span->to)
            groups_marked(g, span->producer_id, span->commit);
    }
    return *at < w->spans_count && w->spans[*at].from <= pos ? &w->spans[*at] : NULL;
}

/* What a new coordinator makes of the log. */
static struct groups *world_load(struct world *w)
{
    struct groups *g = groups_new(&w->alloc, &w->settings, 2);
    struct reader r = reader_over(w->log, w->log_len);

    groups_set_time(g, w->now_us, (int64_t)(w->now_us / 1000));
    int at = 0;
    while (reader_left(&r) > 0) {
        const struct world_span *span = world_span_at(w, g, w->log_len - reader_left(&r), &at);
        struct bytes key = world_part(&r), value = world_part(&r);
        enum err err =
            span ? groups_replay_txn(g, span->producer_id, key, value) : groups_replay(g, key, value);
        ASSERT(err == OK);
    }
    world_span_at(w, g, w->log_len, &at);
    groups_loaded(g);
    return g;
}

/* Everybody who waits is told, nothing is left, and a new coordinator knows what this one had committed. */
static void world_end(struct world *w)
{
    uint64_t sum = groups_check(w->g);
    struct groups *next = world_load(w);

    ASSERT(groups_check(next) == sum);
    groups_free(next);
    w->pending_count = 0;
    groups_end(w->g);
    world_settle(w);
    ASSERT(w->answered == w->asks_count);
    groups_free(w->g);
    ASSERT(w->bytes == 0);
    for (int i = 0; i < w->asks_count; i++) {
        arena_free(&w->asks[i]->arena);
        free(w->asks[i]);
    }
    free(w->log);
}

#endif
