/* SPDX-License-Identifier: Apache-2.0 */
/* A group coordinator's core in a world of its own: a clock, a log that keeps what was committed, requests.
 */
#ifndef SLUICE_TESTS_UNIT_BROKER_GROUP_FIXTURE_H
#define SLUICE_TESTS_UNIT_BROKER_GROUP_FIXTURE_H

#include <stdio.h>
#include <string.h>

#include "broker/core/group.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"
#include "tests/lib/unit.h"

#define WORLD_ASKS_MAX 512
#define WORLD_LOG_MAX  (1 << 20)
#define WORLD_NAME_MAX 96

/* One request and what became of it. */
struct ask {
    struct group_call call;
    struct arena arena;
    union {
        struct kafka_join_group_request join;
        struct kafka_sync_group_request sync;
        struct kafka_heartbeat_request heartbeat;
        struct kafka_leave_group_request leave;
        struct kafka_offset_commit_request commit;
        struct kafka_offset_fetch_request_group fetch;
    } in;
    union {
        struct kafka_join_group_response join;
        struct kafka_sync_group_response sync;
        struct kafka_leave_group_response leave;
        struct kafka_offset_commit_response commit;
        struct kafka_offset_fetch_response_group fetch;
        struct kafka_describe_groups_response_group describe;
    } out;
    union {
        struct kafka_join_group_request_protocol protocol;
        struct kafka_sync_group_request_assignment assignments[2];
        struct kafka_leave_group_request_member member;
        struct kafka_offset_commit_request_topic commit;
    } part;
    struct kafka_offset_commit_request_partition offset;
    struct kafka_offset_commit_response_topic topic_out;
    struct kafka_offset_commit_response_partition offset_out;
    char member_id[WORLD_NAME_MAX];
    bool answered;
};

struct world {
    struct groups *g;
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
    w->alloc = (struct core_alloc){.ctx = w, .resize = world_resize};
    w->settings = (struct group_settings){.session_min_ms = 1000,
                                          .session_max_ms = 60000,
                                          .initial_delay_ms = 0,
                                          .size_max = 100,
                                          .metadata_max = 16,
                                          .commit_timeout_ms = 5000,
                                          .retention_ms = 3600000,
                                          .retention_check_ms = 600000};
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
        ck_assert(call->settled && !ask->answered); /* exactly once */
        ask->answered = true;
        w->answered++;
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
        ASSERT(w->log_len + (size_t)write.len <= WORLD_LOG_MAX);
        memcpy(w->log + w->log_len, write.p, (size_t)write.len);
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

static void world_pass(struct world *w, uint64_t ms)
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

/* What a new coordinator makes of the log. */
static struct groups *world_load(struct world *w)
{
    struct groups *g = groups_new(&w->alloc, &w->settings, 2);
    struct reader r = reader_over(w->log, w->log_len);

    groups_set_time(g, w->now_us, (int64_t)(w->now_us / 1000));
    while (reader_left(&r) > 0) {
        struct bytes key = world_part(&r), value = world_part(&r);
        ck_assert_int_eq(groups_replay(g, key, value), OK);
    }
    groups_loaded(g);
    return g;
}

/* Everybody who waits is told, nothing is left, and a new coordinator knows what this one had committed. */
static void world_end(struct world *w)
{
    uint64_t sum = groups_check(w->g);
    struct groups *next = world_load(w);

    ck_assert_uint_eq(groups_check(next), sum);
    groups_free(next);
    w->pending_count = 0;
    groups_end(w->g);
    world_settle(w);
    ck_assert_int_eq(w->answered, w->asks_count);
    groups_free(w->g);
    ck_assert_int_eq(w->bytes, 0);
    for (int i = 0; i < w->asks_count; i++) {
        arena_free(&w->asks[i]->arena);
        free(w->asks[i]);
    }
    free(w->log);
}

/* -- requests -- */

static struct ask *ask_new(struct world *w, enum group_call_type type, int16_t version)
{
    struct ask *ask = calloc(1, sizeof(*ask));

    ASSERT(w->asks_count < WORLD_ASKS_MAX);
    w->asks[w->asks_count++] = ask;
    arena_init(&ask->arena, NULL, 0, 1 << 20);
    ask->call = (struct group_call){.type = type,
                                    .version = version,
                                    .group_id = STR_LIT("g"),
                                    .client_id = STR_LIT("c"),
                                    .client_host = STR_LIT("/h"),
                                    .request = &ask->in,
                                    .response = &ask->out,
                                    .arena = &ask->arena};
    return ask;
}

static struct ask *ask_send(struct world *w, struct ask *ask)
{
    groups_call(w->g, &ask->call);
    world_settle(w);
    return ask;
}

/* member_id "" asks for one; instance: NULL for dynamic members; metadata: what it subscribes to. */
static struct ask *join_as(struct world *w, int16_t version, const char *member_id, const char *instance,
                           const char *metadata)
{
    struct ask *ask = ask_new(w, GROUP_CALL_JOIN, version);

    snprintf(ask->member_id, sizeof(ask->member_id), "%s", member_id);
    kafka_join_group_request_init(&ask->in.join);
    kafka_join_group_response_init(&ask->out.join);
    ask->in.join.group_id = ask->call.group_id;
    ask->in.join.session_timeout_ms = 10000;
    ask->in.join.rebalance_timeout_ms = 20000;
    ask->in.join.member_id = str_from(ask->member_id);
    ask->in.join.group_instance_id = str_from(instance);
    ask->in.join.protocol_type = STR_LIT("consumer");
    ask->part.protocol.name = STR_LIT("range");
    ask->part.protocol.metadata = (struct bytes){(const uint8_t *)metadata, (int32_t)strlen(metadata)};
    ask->in.join.protocols = &ask->part.protocol;
    ask->in.join.protocols_count = 1;
    return ask_send(w, ask);
}

static struct ask *sync_as(struct world *w, const char *member_id, int32_t generation, const char *other)
{
    struct ask *ask = ask_new(w, GROUP_CALL_SYNC, 3);

    snprintf(ask->member_id, sizeof(ask->member_id), "%s", member_id);
    kafka_sync_group_request_init(&ask->in.sync);
    kafka_sync_group_response_init(&ask->out.sync);
    ask->in.sync.group_id = ask->call.group_id;
    ask->in.sync.generation_id = generation;
    ask->in.sync.member_id = str_from(ask->member_id);
    ask->part.assignments[0].member_id = str_from(ask->member_id);
    ask->part.assignments[0].assignment = (struct bytes){(const uint8_t *)"mine", 4};
    ask->part.assignments[1].member_id = str_from(other ? other : "");
    ask->part.assignments[1].assignment = (struct bytes){(const uint8_t *)"theirs", 6};
    ask->in.sync.assignments = ask->part.assignments;
    ask->in.sync.assignments_count = 2;
    return ask_send(w, ask);
}

static struct ask *heartbeat_as(struct world *w, const char *member_id, int32_t generation)
{
    struct ask *ask = ask_new(w, GROUP_CALL_HEARTBEAT, 3);

    snprintf(ask->member_id, sizeof(ask->member_id), "%s", member_id);
    ask->in.heartbeat.group_id = ask->call.group_id;
    ask->in.heartbeat.generation_id = generation;
    ask->in.heartbeat.member_id = str_from(ask->member_id);
    ask->in.heartbeat.group_instance_id = STR_NULL;
    return ask_send(w, ask);
}

static struct ask *leave_as(struct world *w, const char *member_id)
{
    struct ask *ask = ask_new(w, GROUP_CALL_LEAVE, 0);

    snprintf(ask->member_id, sizeof(ask->member_id), "%s", member_id);
    ask->in.leave.group_id = ask->call.group_id;
    ask->in.leave.member_id = str_from(ask->member_id);
    return ask_send(w, ask);
}

static struct ask *commit_as(struct world *w, const char *member_id, int32_t generation, int64_t offset)
{
    struct ask *ask = ask_new(w, GROUP_CALL_COMMIT, 7);

    snprintf(ask->member_id, sizeof(ask->member_id), "%s", member_id);
    kafka_offset_commit_request_init(&ask->in.commit);
    ask->in.commit.group_id = ask->call.group_id;
    ask->in.commit.generation_id_or_member_epoch = generation;
    ask->in.commit.member_id = str_from(ask->member_id);
    ask->in.commit.topics = &ask->part.commit;
    ask->in.commit.topics_count = 1;
    ask->part.commit.name = STR_LIT("t");
    ask->part.commit.partitions = &ask->offset;
    ask->part.commit.partitions_count = 1;
    ask->offset.committed_offset = offset;
    ask->offset.committed_leader_epoch = -1;
    ask->offset.committed_metadata = STR_LIT("");
    ask->out.commit.topics = &ask->topic_out;
    ask->out.commit.topics_count = 1;
    ask->topic_out.partitions = &ask->offset_out;
    ask->topic_out.partitions_count = 1;
    return ask_send(w, ask);
}

/* The committed offset of t-0, -1 when there is none. */
static inline int64_t offset_of(struct world *w)
{
    struct ask *ask = ask_new(w, GROUP_CALL_FETCH, 8);

    ask->in.fetch.group_id = ask->call.group_id;
    ask->in.fetch.topics_count = -1;
    ask_send(w, ask);
    ck_assert(ask->answered && ask->call.error == KAFKA_NONE);
    return ask->out.fetch.topics_count == 0 ? -1 : ask->out.fetch.topics[0].partitions[0].committed_offset;
}

static inline struct ask *describe_group(struct world *w)
{
    struct ask *ask = ask_send(w, ask_new(w, GROUP_CALL_DESCRIBE, 5));

    ck_assert(ask->answered);
    return ask;
}

static struct ask *delete_group(struct world *w)
{
    return ask_send(w, ask_new(w, GROUP_CALL_DELETE, 2));
}

#endif
