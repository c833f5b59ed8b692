/* SPDX-License-Identifier: Apache-2.0 */
/* What the group core costs, without a log or a network: loading a million offsets, heartbeats of ten
 * thousand groups, commits, a rebalance of a hundred members. One line each: what, count, nanoseconds for
 * one. */
#include <time.h>

#include "tests/unit/broker_group_asks.h"

#define OFFSETS    1000000
#define GROUPS     10000
#define HEARTBEATS 1000000
#define MEMBERS    100
#define COMMITS    200000

static uint64_t now_ns(void)
{
    struct timespec at;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at);
    return (uint64_t)at.tv_sec * 1000000000 + (uint64_t)at.tv_nsec;
}

static void tell(const char *what, uint64_t count, uint64_t began_ns)
{
    uint64_t took_ns = now_ns() - began_ns;

    printf("%-44s %8llu  %9.3f ms  %8.1f ns each\n", what, (unsigned long long)count, (double)took_ns / 1e6,
           (double)took_ns / (double)count);
}

/* Of group i/100, topic "topic", partition i%100, as OffsetCommit writes them. */
static void replay_one(struct groups *g, int i)
{
    uint8_t key[64], value[64];
    char group[24];
    int len = snprintf(group, sizeof(group), "group-%d", i / 100);
    uint8_t *k = key, *v = value;

    store_be16(k, 1);
    store_be16(k + 2, (uint16_t)len);
    memcpy(k + 4, group, (size_t)len);
    k += 4 + len;
    store_be16(k, 5);
    memcpy(k + 2, "topic", 5);
    store_be32(k + 7, (uint32_t)(i % 100));
    k += 11;
    store_be16(v, 3);
    store_be64(v + 2, (uint64_t)i);
    store_be32(v + 10, UINT32_MAX);
    store_be16(v + 14, 0);
    store_be64(v + 16, 1000);
    v += 24;
    enum err err = groups_replay(g, (struct bytes){key, (int32_t)(k - key)},
                                 (struct bytes){value, (int32_t)(v - value)});
    ASSERT(err == OK);
}

static void bench_load(void)
{
    struct world w;

    world_init(&w);
    struct groups *g = groups_new(&w.alloc, &w.settings, 1);
    groups_set_time(g, w.now_us, 1000);
    uint64_t began_ns = now_ns();
    for (int i = 0; i < OFFSETS; i++)
        replay_one(g, i);
    tell("load offsets", OFFSETS, began_ns);
    ASSERT(groups_offset_count(g) == OFFSETS);
    printf("%-44s %8lld bytes each\n", "memory of a loaded offset", (long long)(w.bytes / OFFSETS));
    groups_free(g);
    groups_end(w.g);
    groups_free(w.g);
    free(w.log);
}

/* A call of a group of its own, answered at once or with the log's word. */
static void call_now(struct world *w, struct group_call *call)
{
    struct coordinator_write write;

    list_init(&call->link);
    call->settled = false;
    groups_call(w->g, call);
    while (groups_take_write(w->g, &write))
        groups_committed(w->g, write.seq);
    while (groups_take_settled(w->g) != NULL) {
    }
    ASSERT(call->settled);
}

static void bench_heartbeats(void)
{
    static char names[GROUPS][16], ids[GROUPS][WORLD_NAME_MAX];
    struct world w;

    world_init(&w);
    for (int i = 0; i < GROUPS; i++) {
        struct ask *ask;
        w.asks_count = 0;
        snprintf(names[i], sizeof(names[i]), "g%d", i);
        ask = ask_new(&w, GROUP_CALL_JOIN, 3);
        kafka_join_group_request_init(&ask->in.join);
        kafka_join_group_response_init(&ask->out.join);
        ask->call.group_id = ask->in.join.group_id = str_from(names[i]);
        ask->in.join.session_timeout_ms = ask->in.join.rebalance_timeout_ms = 45000;
        ask->in.join.member_id = STR_LIT("");
        ask->in.join.group_instance_id = STR_NULL;
        ask->in.join.protocol_type = STR_LIT("consumer");
        ask->part.protocol.name = STR_LIT("range");
        ask->part.protocol.metadata = (struct bytes){(const uint8_t *)"m", 1};
        ask->in.join.protocols = &ask->part.protocol;
        ask->in.join.protocols_count = 1;
        call_now(&w, &ask->call);
        snprintf(ids[i], sizeof(ids[i]), "%.*s", ask->out.join.member_id.len, ask->out.join.member_id.p);
        ask->call.type = GROUP_CALL_SYNC;
        kafka_sync_group_request_init(&ask->in.sync);
        kafka_sync_group_response_init(&ask->out.sync);
        ask->in.sync.group_id = str_from(names[i]);
        ask->in.sync.generation_id = 1;
        ask->in.sync.member_id = str_from(ids[i]);
        call_now(&w, &ask->call);
        ASSERT(ask->call.error == KAFKA_NONE);
        arena_free(&ask->arena);
        free(ask);
    }
    uint64_t began_ns = now_ns();
    struct kafka_heartbeat_request heartbeat = {.generation_id = 1, .group_instance_id = STR_NULL};
    for (int i = 0; i < HEARTBEATS; i++) {
        int at = i % GROUPS;
        struct group_call call = {
            .type = GROUP_CALL_HEARTBEAT, .group_id = str_from(names[at]), .request = &heartbeat};
        heartbeat.group_id = call.group_id;
        heartbeat.member_id = str_from(ids[at]);
        if (at == 0) {
            w.now_us += 3000000;
            groups_set_time(w.g, w.now_us, 1000);
            groups_tick(w.g);
        }
        call_now(&w, &call);
        ASSERT(call.error == KAFKA_NONE);
    }
    tell("heartbeats of 10000 groups", HEARTBEATS, began_ns);
    groups_end(w.g);
    groups_free(w.g);
    free(w.log);
}

static void bench_rebalance(void)
{
    static char ids[MEMBERS][WORLD_NAME_MAX];
    struct world w;
    struct ask *joins[MEMBERS];

    world_init(&w);
    w.settings.initial_delay_ms = 10;
    for (int i = 0; i < MEMBERS; i++)
        joins[i] = join_as(&w, 3, "", NULL, "a subscription of a few dozen bytes, as real ones are");
    uint64_t began_ns = now_ns();
    world_pass(&w, 30);
    for (int i = 0; i < MEMBERS; i++) {
        ASSERT(joins[i]->answered);
        snprintf(ids[i], sizeof(ids[i]), "%.*s", joins[i]->out.join.member_id.len,
                 joins[i]->out.join.member_id.p);
        sync_as(&w, ids[i], 1, NULL);
    }
    world_commit_all(&w);
    tell("one rebalance of 100 members, per member", MEMBERS, began_ns);
    world_end(&w);
}

static void bench_commits(void)
{
    struct world w;

    world_init(&w);
    struct ask *ask = commit_as(&w, "", -1, 1);
    world_commit_all(&w);
    uint64_t began_ns = now_ns();
    for (int i = 0; i < COMMITS; i++) {
        ask->offset.committed_offset = i;
        ask->offset_out.error_code = KAFKA_NONE;
        call_now(&w, &ask->call);
    }
    tell("commits of one partition", COMMITS, began_ns);
    ASSERT(offset_of(&w) == COMMITS - 1);
    groups_end(w.g);
    groups_free(w.g);
    free(w.log);
}

int main(void)
{
    bench_load();
    bench_heartbeats();
    bench_commits();
    bench_rebalance();
    (void)describe_group;
    (void)delete_group;
    (void)heartbeat_as;
    (void)leave_as;
    return 0;
}
