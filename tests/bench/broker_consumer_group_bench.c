/* SPDX-License-Identifier: Apache-2.0 */
/* What groups of the consumer protocol cost the core, without a log or a network: heartbeats of ten thousand
 * groups, and a hundred members that join one after the other and share a thousand partitions, until all have
 * what they shall have. */
#include <time.h>

#include "tests/unit/broker_consumer_group_asks.h"

#define GROUPS     10000
#define HEARTBEATS 1000000
#define MEMBERS    100
#define PARTITIONS 1000

static uint64_t now_ns(void)
{
    struct timespec at;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at);
    return (uint64_t)at.tv_sec * 1000000000 + (uint64_t)at.tv_nsec;
}

static void tell(const char *what, uint64_t count, uint64_t began_ns)
{
    uint64_t took_ns = now_ns() - began_ns;

    printf("%-52s %8llu  %9.3f ms  %8.1f ns each\n", what, (unsigned long long)count, (double)took_ns / 1e6,
           (double)took_ns / (double)count);
}

/* Sends it; what it writes is committed at once. */
static int16_t call_now(struct world *w, struct kafka_consumer_group_heartbeat_request *request,
                        struct kafka_consumer_group_heartbeat_response *response, struct arena *arena)
{
    struct group_call call = {.type = GROUP_CALL_CONSUMER_HEARTBEAT,
                              .version = 1,
                              .group_id = request->group_id,
                              .client_id = STR_LIT("c"),
                              .client_host = STR_LIT("/h"),
                              .request = request,
                              .response = response,
                              .arena = arena};
    struct coordinator_write write;

    kafka_consumer_group_heartbeat_response_init(response);
    groups_call(w->g, &call);
    while (groups_take_write(w->g, &write))
        groups_committed(w->g, write.seq);
    while (groups_take_settled(w->g) != NULL) {
    }
    ASSERT(call.settled);
    return call.error;
}

struct topic_partition {
    struct kafka_consumer_group_heartbeat_request_topic_partition topic;
    int32_t partitions[PARTITIONS];
};

static void first_beat(struct kafka_consumer_group_heartbeat_request *request, struct str group,
                       struct str member, struct str *topic)
{
    kafka_consumer_group_heartbeat_request_init(request);
    request->group_id = group;
    request->member_id = member;
    request->rebalance_timeout_ms = 45000;
    request->subscribed_topic_names = topic;
    request->subscribed_topic_names_count = 1;
    request->topic_partitions_count = 0;
}

static void bench_heartbeats(void)
{
    static char names[GROUPS][16];
    struct kafka_consumer_group_heartbeat_request request;
    struct kafka_consumer_group_heartbeat_response response;
    struct str topic = STR_LIT("t");
    struct arena arena;
    struct world w;

    world_init(&w);
    w.settings.consumer_session_ms = 45000;
    arena_init(&arena, NULL, 0, 1 << 24);
    uint64_t began_ns = now_ns();
    for (int i = 0; i < GROUPS; i++) {
        snprintf(names[i], sizeof(names[i]), "g%d", i);
        first_beat(&request, str_from(names[i]), STR_LIT("member"), &topic);
        int16_t error = call_now(&w, &request, &response, &arena);
        ASSERT(error == KAFKA_NONE && response.member_epoch == 1);
        arena_reset(&arena);
    }
    tell("first heartbeats of as many groups", GROUPS, began_ns);
    kafka_consumer_group_heartbeat_request_init(&request);
    request.subscribed_topic_names_count = request.topic_partitions_count = -1;
    request.member_id = STR_LIT("member");
    request.member_epoch = 1;
    began_ns = now_ns();
    for (int i = 0; i < HEARTBEATS; i++) {
        request.group_id = str_from(names[i % GROUPS]);
        int16_t error = call_now(&w, &request, &response, &arena);
        ASSERT(error == KAFKA_NONE);
        if (i % GROUPS != 0)
            continue;
        arena_reset(&arena);
        w.now_us += 5000000;
        groups_set_time(w.g, w.now_us, 1000);
        groups_tick(w.g);
    }
    tell("heartbeats of 10000 groups", HEARTBEATS, began_ns);
    arena_free(&arena);
    groups_end(w.g);
    groups_free(w.g);
    free(w.log);
}

struct sim_member {
    char id[16];
    int32_t epoch;
    struct topic_partition owned;
};

/* One heartbeat that says what the member owns. Whether its answer told something new. */
static bool beat_member(struct world *w, struct sim_member *m, struct str *topic)
{
    struct kafka_consumer_group_heartbeat_request request;
    struct kafka_consumer_group_heartbeat_response response;
    struct arena arena;

    arena_init(&arena, NULL, 0, 1 << 24);
    first_beat(&request, STR_LIT("g"), str_from(m->id), topic);
    request.member_epoch = m->epoch;
    request.topic_partitions = &m->owned.topic;
    m->owned.topic.topic_id = world_topic_id(0);
    m->owned.topic.partitions = m->owned.partitions;
    request.topic_partitions_count = m->owned.topic.partitions_count > 0;
    int16_t error = call_now(w, &request, &response, &arena);
    ASSERT(error == KAFKA_NONE);
    bool changed = m->epoch != response.member_epoch;
    int32_t count = 0;
    if (response.has_assignment && response.assignment.topic_partitions_count > 0) {
        count = response.assignment.topic_partitions[0].partitions_count;
        memcpy(m->owned.partitions, response.assignment.topic_partitions[0].partitions,
               (size_t)count * sizeof(int32_t));
    }
    changed = changed || count != m->owned.topic.partitions_count;
    m->owned.topic.partitions_count = count;
    m->epoch = response.member_epoch;
    arena_free(&arena);
    return changed;
}

static void bench_rebalance(void)
{
    static struct sim_member members[MEMBERS];
    struct str topic = STR_LIT("t");
    uint64_t beats = 0;
    struct world w;

    world_init(&w);
    world_set_topic(&w.metadata, 0, "t", PARTITIONS);
    uint64_t began_ns = now_ns();
    for (int i = 0; i < MEMBERS; i++) {
        snprintf(members[i].id, sizeof(members[i].id), "m%02d", i);
        beat_member(&w, &members[i], &topic);
    }
    tell("100 members join a group of 1000 partitions", MEMBERS, began_ns);
    began_ns = now_ns();
    for (bool moving = true; moving;) {
        moving = false;
        for (int i = 0; i < MEMBERS; i++, beats++)
            moving = beat_member(&w, &members[i], &topic) || moving;
    }
    tell("their heartbeats until all have their share", beats, began_ns);
    for (int i = 0; i < MEMBERS; i++)
        ASSERT(members[i].owned.topic.partitions_count == PARTITIONS / MEMBERS);
    groups_end(w.g);
    groups_free(w.g);
    free(w.log);
}

int main(void)
{
    bench_heartbeats();
    bench_rebalance();
    (void)beat_as;
    (void)describe_group;
    (void)delete_group;
    (void)heartbeat_as;
    (void)leave_as;
    (void)commit_as;
    (void)world_decide;
    (void)world_load;
    (void)world_pass;
    (void)world_end;
    return 0;
}
