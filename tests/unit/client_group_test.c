/* SPDX-License-Identifier: Apache-2.0 */
/* A group's member by itself: this file is its client. Calls are caught here and answered by hand. */
#include <stdlib.h>
#include <string.h>

#include "client/core/group_internal.h"
#include "client/core/group_protocol.h"
#include "tests/lib/unit.h"

#define TAG        40
#define SECOND     1000000ull
#define PARTITIONS 4
#define WALKS      300
#define STEPS      400

static struct client client;
static struct client_topic *topic;
static struct client_group *group;
static struct core_alloc alloc;
static uint64_t now_us;
static struct client_request called[CALL_COUNT];  /* as long as group->busy[] */
static bool held[PARTITIONS];                     /* what the owner was told that it has */
static int32_t assigned, revoked, left, given_up; /* events */
static struct client_failure failure;
static bool no_memory;

/* -- the client -- */

enum err client_call(struct client *c, uint64_t at_us, const struct client_request *request)
{
    ck_assert_ptr_eq(c, &client);
    if (no_memory)
        return ERR_NOMEM;
    called[request->tag - TAG] = *request;
    return OK;
}

const char *client_topic_name(const struct client_topic *t)
{
    return t->name;
}

int32_t client_topic_partitions(const struct client_topic *t)
{
    return t->partitions_count;
}

struct client_topic *client_topic_by_id(const struct client *c, struct uuid id)
{
    return uuid_eq(id, topic->id) ? topic : NULL;
}

static void *resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
    if (new_size > 0)
        return realloc(old, new_size);
    free(old);
    return NULL;
}

/* -- the owner -- */

static void take_event(const struct client_group_event *event)
{
    for (int32_t i = 0; i < event->partitions_count; i++) {
        int32_t p = event->partitions[i].partition;
        ck_assert(held[p] == (event->type == CLIENT_GROUP_REVOKED));
        held[p] = event->type == CLIENT_GROUP_ASSIGNED;
    }
    assigned += event->type == CLIENT_GROUP_ASSIGNED;
    revoked += event->type == CLIENT_GROUP_REVOKED;
    left += event->type == CLIENT_GROUP_LEFT;
    given_up += event->type == CLIENT_GROUP_FAILED;
    if (event->type == CLIENT_GROUP_FAILED)
        failure = event->failure;
}

static void turn(void)
{
    struct client_group_event event;

    client_group_turn(group, now_us);
    while (client_group_next(group, &event)) {
        take_event(&event);
        client_group_turn(group, now_us);
    }
}

static void pass(uint64_t for_us)
{
    now_us += for_us;
    turn();
}

static void begin_as(enum client_group_protocol protocol, struct str instance)
{
    struct client_group_config config;

    memset(held, 0, sizeof(held));
    assigned = revoked = left = given_up = 0;
    now_us = SECOND;
    no_memory = false;
    prng_seed(&client.prng, 7);
    topic = calloc(1, sizeof(*topic) + 2);
    topic->name[0] = 't';
    topic->partitions_count = PARTITIONS;
    topic->id.b[0] = 9;
    alloc.resize = resize;
    client_group_config_init(&config);
    config.group_id = STR_LIT("g");
    config.instance_id = instance;
    config.protocol = protocol;
    config.commit_ms = 0;
    config.tag = TAG;
    group = client_group_new(&client, &alloc, &config, &topic, 1);
    turn();
}

static void end(void)
{
    client_group_free(group);
    free(topic);
}

/* -- the coordinator -- */

static void reply(enum group_call call, const void *message, enum err err)
{
    struct client_reply r = {.tag = TAG + call, .message = message, .failure = {.err = err}};

    ck_assert(group->busy[call]);
    client_group_reply(group, now_us, &r);
    turn();
}

static void lost(enum group_call call)
{
    reply(call, NULL, ERR_UNKNOWN_OUTCOME);
}

static void answer_find(int16_t error)
{
    struct kafka_find_coordinator_response_coordinator one = {.node_id = 3, .error_code = error};
    struct kafka_find_coordinator_response r = {.coordinators = &one, .coordinators_count = 1};

    reply(CALL_FIND, &r, OK);
}

/* Partitions of a bit set. */
static int32_t list(uint32_t set, int32_t *ret)
{
    int32_t count = 0;

    for (int32_t p = 0; p < PARTITIONS; p++)
        if (set >> p & 1)
            ret[count++] = p;
    return count;
}

#define NOT_TOLD UINT32_MAX

static void answer_beat(int16_t error, int32_t epoch, uint32_t set)
{
    int32_t partitions[PARTITIONS];
    struct kafka_consumer_group_heartbeat_response_topic_partitions one = {.topic_id = topic->id,
                                                                           .partitions = partitions};
    struct kafka_consumer_group_heartbeat_response r;

    kafka_consumer_group_heartbeat_response_init(&r);
    r.error_code = error;
    r.member_epoch = epoch;
    r.heartbeat_interval_ms = 1000;
    r.has_assignment = set != NOT_TOLD;
    one.partitions_count = r.has_assignment ? list(set, partitions) : 0;
    r.assignment.topic_partitions = &one;
    r.assignment.topic_partitions_count = one.partitions_count > 0;
    reply(CALL_HEARTBEAT, &r, OK);
}

static void answer_offsets(int16_t error, int64_t offset)
{
    struct kafka_offset_fetch_response_group_topic_partition p[PARTITIONS];
    struct kafka_offset_fetch_response_group_topic t = {.name = STR_LIT("t"), .partitions = p};
    struct kafka_offset_fetch_response_group g = {.topics = &t, .topics_count = 1, .error_code = error};
    struct kafka_offset_fetch_response r = {.groups = &g, .groups_count = 1};

    memset(p, 0, sizeof(p));
    for (int32_t i = 0; i < PARTITIONS; i++) {
        p[i].partition_index = i;
        p[i].committed_offset = offset;
    }
    t.partitions_count = PARTITIONS;
    reply(CALL_OFFSETS, &r, OK);
}

static void answer_commit(int16_t error)
{
    struct kafka_offset_commit_response_partition p = {.error_code = error};
    struct kafka_offset_commit_response_topic t = {.partitions = &p, .partitions_count = 1};
    struct kafka_offset_commit_response r = {.topics = &t, .topics_count = 1};

    reply(CALL_COMMIT, &r, OK);
}

static void answer_join(int16_t error, const char *id, int32_t generation)
{
    struct kafka_join_group_response r;

    kafka_join_group_response_init(&r);
    r.error_code = error;
    r.member_id = str_from(id);
    r.generation_id = generation;
    reply(CALL_JOIN, &r, OK);
}

static void answer_sync(int16_t error, uint32_t set)
{
    int32_t partitions[PARTITIONS];
    struct group_assigned_topic one = {.topic = STR_LIT("t"), .partitions = partitions};
    struct group_assignment assignment = {.topics = &one, .topics_count = 1};
    struct kafka_sync_group_response r;
    struct writer w;

    kafka_sync_group_response_init(&r);
    one.partitions_count = list(set, partitions);
    writer_init(&w, NULL, 64, 4096);
    group_assignment_encode(&w, &assignment);
    r.error_code = error;
    r.assignment = (struct bytes){w.buf->data, (int32_t)writer_pos(&w)};
    reply(CALL_SYNC, &r, OK);
    writer_free(&w);
}

static void answer_classic_beat(int16_t error)
{
    struct kafka_heartbeat_response r = {.error_code = error};

    reply(CALL_HEARTBEAT, &r, OK);
}

static void answer_leave(void)
{
    static const union {
        struct kafka_leave_group_response classic;
        struct kafka_consumer_group_heartbeat_response consumer;
    } r;

    reply(CALL_LEAVE, &r, OK);
}

/* -- what was asked -- */

static const struct kafka_consumer_group_heartbeat_request *beat(void)
{
    ck_assert(group->busy[CALL_HEARTBEAT]);
    ck_assert_int_eq(called[CALL_HEARTBEAT].api_key, KAFKA_API_CONSUMER_GROUP_HEARTBEAT);
    return called[CALL_HEARTBEAT].message;
}

static const struct kafka_offset_commit_request *commit(void)
{
    ck_assert(group->busy[CALL_COMMIT]);
    return called[CALL_COMMIT].message;
}

/* A consumer member that has these partitions, at epoch 1, all at offset 10. */
static void member_with(uint32_t set, struct str instance)
{
    begin_as(CLIENT_GROUP_CONSUMER, instance);
    answer_find(KAFKA_NONE);
    answer_beat(KAFKA_NONE, 1, set);
    answer_offsets(KAFKA_NONE, 10);
    answer_beat(KAFKA_NONE, 1, NOT_TOLD);
    ck_assert_int_eq(assigned, 1);
}

static void classic_with(uint32_t set)
{
    begin_as(CLIENT_GROUP_CLASSIC, STR_NULL);
    answer_find(KAFKA_NONE);
    answer_join(KAFKA_MEMBER_ID_REQUIRED, "m", -1);
    answer_join(KAFKA_NONE, "m", 1);
    answer_sync(KAFKA_NONE, set);
    answer_offsets(KAFKA_NONE, 10);
    ck_assert_int_eq(assigned, 1);
}

/* -- the consumer protocol -- */

START_TEST(it_joins_with_everything_and_tells_what_it_has_once_it_reads)
{
    begin_as(CLIENT_GROUP_CONSUMER, STR_NULL);
    answer_find(KAFKA_NONE);
    ck_assert_int_eq(called[CALL_HEARTBEAT].node, 3);
    ck_assert_int_eq(beat()->member_epoch, 0);
    ck_assert_int_eq(beat()->member_id.len, 22);
    ck_assert_int_eq(beat()->subscribed_topic_names_count, 1);
    ck_assert_int_eq(beat()->topic_partitions_count, 0);
    ck_assert_int_gt(beat()->rebalance_timeout_ms, 0);
    answer_beat(KAFKA_NONE, 4, 0x5);
    const struct kafka_offset_fetch_request *asked = called[CALL_OFFSETS].message;
    ck_assert_int_eq(asked->groups[0].member_epoch, 4);
    ck_assert_int_eq(asked->groups[0].topics_count, 2);
    ck_assert_int_eq(assigned, 0); /* nobody reads before it is known where */
    answer_offsets(KAFKA_NONE, 10);
    ck_assert(held[0] && !held[1] && held[2] && !held[3]);
    ck_assert_int_eq(beat()->topic_partitions_count, 2);
    ck_assert_int_eq(beat()->subscribed_topic_names_count, -1); /* as before */
    answer_beat(KAFKA_NONE, 4, NOT_TOLD);
    pass(SECOND);
    ck_assert_int_eq(beat()->topic_partitions_count, -1);
    end();
}
END_TEST

START_TEST(it_gives_up_and_commits_before_it_says_so_and_before_it_takes_more)
{
    member_with(0x3, STR_NULL);
    client_group_position(group, topic, 1, 15);
    pass(SECOND);
    answer_beat(KAFKA_NONE, 1, 0x5); /* 1 goes, 2 comes */
    ck_assert(revoked == 1 && held[0] && !held[1] && !held[2]);
    ck_assert_int_eq(commit()->topics_count, 1);
    ck_assert_int_eq(commit()->topics[0].partitions[0].committed_offset, 15);
    client_group_position(group, topic, 1, 17); /* too late */
    pass(SECOND);                               /* heard of meanwhile, and still the owner */
    ck_assert_int_eq(beat()->topic_partitions_count, -1);
    answer_beat(KAFKA_NONE, 1, NOT_TOLD);
    answer_commit(KAFKA_NONE);
    ck_assert(group->busy[CALL_OFFSETS] && !held[2]);
    ck_assert_int_eq(beat()->topic_partitions_count, 2); /* 0, and 2, which will be read in a moment */
    answer_beat(KAFKA_NONE, 2, NOT_TOLD);
    answer_offsets(KAFKA_NONE, 20);
    ck_assert(held[0] && held[2]);
    ck_assert_int_eq(client_group_generation(group), 2);
    end();
}
END_TEST

START_TEST(a_commit_that_the_epoch_overtook_is_made_again)
{
    member_with(0x1, STR_NULL);
    client_group_position(group, topic, 0, 15);
    pass(SECOND);
    answer_beat(KAFKA_NONE, 1, 0);
    ck_assert_int_eq(commit()->generation_id_or_member_epoch, 1);
    answer_commit(KAFKA_STALE_MEMBER_EPOCH);
    ck_assert_int_eq(beat()->topic_partitions_count, 1); /* not given up yet */
    answer_beat(KAFKA_NONE, 2, 0);
    pass(SECOND);
    ck_assert_int_eq(commit()->generation_id_or_member_epoch, 2);
    answer_commit(KAFKA_NONE);
    answer_beat(KAFKA_NONE, 2, NOT_TOLD);
    ck_assert_int_eq(beat()->topic_partitions_count, 0);
    end();
}
END_TEST

START_TEST(after_an_answer_that_got_lost_it_says_everything)
{
    member_with(0x3, STR_NULL);
    pass(SECOND);
    lost(CALL_HEARTBEAT);
    pass(SECOND);
    ck_assert(group->busy[CALL_FIND] && held[0] && held[1]);
    answer_find(KAFKA_NONE);
    ck_assert_int_eq(beat()->member_epoch, 1);
    ck_assert_int_eq(beat()->topic_partitions_count, 2);
    ck_assert_int_eq(beat()->subscribed_topic_names_count, 1);
    ck_assert_int_eq(revoked, 0);
    end();
}
END_TEST

START_TEST(a_fenced_member_stops_and_joins_again_and_commits_nothing_of_before)
{
    member_with(0x3, STR_NULL);
    char id[GROUP_ID_MAX];
    strcpy(id, group->member_id);
    client_group_position(group, topic, 0, 15);
    int32_t generation = -1;
    ck_assert_int_eq(client_group_committing(group, topic, 0, &generation), -1);
    client_group_commit(group, now_us);
    ck_assert_int_eq(client_group_committing(group, topic, 0, &generation), 15);
    ck_assert_int_eq(generation, group->generation);
    ck_assert_int_eq(client_group_committing(group, topic, 1, &generation), -1);
    pass(SECOND);
    answer_beat(_i == 0 ? KAFKA_FENCED_MEMBER_EPOCH : KAFKA_UNKNOWN_MEMBER_ID, 0, NOT_TOLD);
    ck_assert(revoked == 1 && !held[0] && !held[1]);
    ck_assert_int_eq(beat()->member_epoch, 0);
    ck_assert(str_eq_z(beat()->member_id, id));
    answer_beat(KAFKA_NONE, 5, 0x1);
    answer_offsets(KAFKA_NONE, 30);
    answer_commit(KAFKA_NONE); /* of the life before */
    ck_assert_int_eq(client_group_committed(group, topic, 0), 30);
    client_group_commit(group, now_us);
    ck_assert(!group->busy[CALL_COMMIT]);
    end();
}
END_TEST

START_TEST(it_leaves_for_good_or_for_a_while)
{
    member_with(0x1, _i == 0 ? STR_NULL : STR_LIT("i"));
    client_group_position(group, topic, 0, 15);
    client_group_leave(group, now_us);
    turn();
    ck_assert_int_eq(commit()->topics_count, 1);
    answer_commit(KAFKA_NONE);
    const struct kafka_consumer_group_heartbeat_request *request = called[CALL_LEAVE].message;
    ck_assert_int_eq(request->member_epoch, _i == 0 ? -1 : -2);
    ck_assert_int_eq(left, 0);
    answer_leave();
    ck_assert_int_eq(left, 1);
    ck_assert(client_group_idle(group));
    end();
}
END_TEST

START_TEST(a_name_that_is_still_taken_is_asked_for_again)
{
    begin_as(CLIENT_GROUP_CONSUMER, STR_LIT("i"));
    answer_find(KAFKA_NONE);
    answer_beat(KAFKA_UNRELEASED_INSTANCE_ID, 0, NOT_TOLD);
    ck_assert(!group->busy[CALL_HEARTBEAT]);
    ck_assert_uint_eq(client_group_deadline(group), now_us + SECOND);
    pass(SECOND);
    answer_beat(KAFKA_NONE, 1, 0x1);
    ck_assert(group->busy[CALL_OFFSETS]);
    end();
}
END_TEST

START_TEST(a_group_that_cannot_be_joined_is_told_one_that_is_gone_is_joined_again)
{
    begin_as(CLIENT_GROUP_CONSUMER, STR_NULL);
    answer_find(KAFKA_NONE);
    answer_beat(KAFKA_GROUP_ID_NOT_FOUND, 0, NOT_TOLD);
    ck_assert_int_eq(given_up, 1);
    ck_assert_int_eq(failure.kafka_error, KAFKA_GROUP_ID_NOT_FOUND);
    end();
    member_with(0x1, STR_NULL);
    pass(SECOND);
    answer_beat(KAFKA_GROUP_ID_NOT_FOUND, 0, NOT_TOLD);
    ck_assert_int_eq(given_up, 0);
    ck_assert_int_eq(beat()->member_epoch, 0);
    end();
}
END_TEST

START_TEST(brokers_that_do_not_know_the_protocol_end_it)
{
    begin_as(CLIENT_GROUP_CONSUMER, STR_NULL);
    answer_find(KAFKA_NONE);
    reply(CALL_HEARTBEAT, NULL, ERR_VERSION);
    ck_assert_int_eq(given_up, 1);
    ck_assert_int_eq(failure.err, ERR_VERSION);
    end();
}
END_TEST

/* -- the classic protocol -- */

START_TEST(everything_is_given_back_before_the_next_generation)
{
    classic_with(0x3);
    client_group_position(group, topic, 1, 15);
    pass(3 * SECOND);
    answer_classic_beat(KAFKA_REBALANCE_IN_PROGRESS);
    ck_assert(revoked == 1 && !held[0] && !held[1]);
    ck_assert_int_eq(commit()->generation_id_or_member_epoch, 1);
    answer_commit(KAFKA_NONE);
    const struct kafka_join_group_request *join = called[CALL_JOIN].message;
    ck_assert(str_eq_z(join->member_id, "m"));
    answer_join(KAFKA_NONE, "m", 2);
    answer_sync(KAFKA_NONE, 0xc);
    answer_offsets(KAFKA_NONE, 10);
    ck_assert(held[2] && held[3] && !held[0]);
    end();
}
END_TEST

START_TEST(a_commit_of_an_old_generation_is_not_taken_for_one_of_the_new)
{
    classic_with(0x1);
    client_group_position(group, topic, 0, 15);
    client_group_commit(group, now_us);
    pass(3 * SECOND);
    answer_classic_beat(KAFKA_ILLEGAL_GENERATION);
    answer_join(KAFKA_NONE, "m", 2);
    answer_sync(KAFKA_NONE, 0xf); /* more than the commit has places for */
    answer_offsets(KAFKA_NONE, 40);
    answer_commit(KAFKA_NONE);
    for (int32_t p = 0; p < PARTITIONS; p++)
        ck_assert_int_eq(client_group_committed(group, topic, p), 40);
    end();
}
END_TEST

START_TEST(a_heartbeat_that_got_lost_before_a_generation_does_not_disturb_it)
{
    classic_with(0x1);
    pass(3 * SECOND);
    client_group_position(group, topic, 0, 15);
    client_group_commit(group, now_us);
    answer_commit(KAFKA_ILLEGAL_GENERATION);
    answer_join(KAFKA_NONE, "m", 2);
    lost(CALL_HEARTBEAT);
    ck_assert_int_eq(group->state, GROUP_SYNC);
    answer_sync(KAFKA_NONE, 0x1);
    answer_offsets(KAFKA_NONE, 10);
    ck_assert_int_eq(assigned, 2);
    end();
}
END_TEST

/* It would count: the new generation is ours, the partition perhaps another one's. */
START_TEST(what_could_not_be_committed_in_its_generation_is_not_in_the_next)
{
    classic_with(0x3);
    client_group_position(group, topic, 1, 15);
    pass(3 * SECOND);
    answer_classic_beat(KAFKA_REBALANCE_IN_PROGRESS);
    lost(CALL_COMMIT);
    pass(SECOND);
    answer_find(KAFKA_NONE);
    answer_join(KAFKA_NONE, "m", 2);
    client_group_leave(group, now_us);
    answer_sync(KAFKA_NONE, 0x1);
    ck_assert(!group->busy[CALL_COMMIT] && group->busy[CALL_LEAVE]);
    end();
}
END_TEST

START_TEST(a_coordinator_that_cannot_is_not_asked_again_at_once)
{
    begin_as(CLIENT_GROUP_CLASSIC, STR_NULL);
    answer_find(KAFKA_NONE);
    for (int i = 0; i < 3; i++) {
        answer_join(KAFKA_COORDINATOR_NOT_AVAILABLE, "", -1);
        ck_assert(!group->busy[CALL_FIND] && !group->busy[CALL_JOIN]);
        ck_assert_uint_gt(client_group_deadline(group), now_us + SECOND / 10);
        pass(SECOND);
        answer_find(KAFKA_NONE);
    }
    end();
}
END_TEST

START_TEST(a_commit_in_a_group_that_is_gone_leads_back_into_it)
{
    classic_with(0x1);
    client_group_position(group, topic, 0, 15);
    client_group_commit(group, now_us);
    answer_commit(KAFKA_GROUP_ID_NOT_FOUND);
    answer_join(KAFKA_NONE, "m", 2);
    ck_assert_int_eq(group->state, GROUP_SYNC);
    answer_sync(KAFKA_NONE, 0x1);
    answer_offsets(KAFKA_NONE, 10);
    ck_assert_int_eq(assigned, 2);
    end();
}
END_TEST

/* -- every answer in every state -- */

static const int16_t errors[] = {KAFKA_NONE,
                                 KAFKA_NONE,
                                 KAFKA_NONE,
                                 KAFKA_NOT_COORDINATOR,
                                 KAFKA_COORDINATOR_NOT_AVAILABLE,
                                 KAFKA_COORDINATOR_LOAD_IN_PROGRESS,
                                 KAFKA_UNKNOWN_MEMBER_ID,
                                 KAFKA_ILLEGAL_GENERATION,
                                 KAFKA_REBALANCE_IN_PROGRESS,
                                 KAFKA_FENCED_MEMBER_EPOCH,
                                 KAFKA_STALE_MEMBER_EPOCH,
                                 KAFKA_UNKNOWN_TOPIC_OR_PARTITION,
                                 KAFKA_UNRELEASED_INSTANCE_ID};

static bool seen[2][GROUP_OVER + 1][CALL_COUNT][ARRAY_LEN(errors) + 1];

static bool of_classic(int16_t error)
{
    return error != KAFKA_FENCED_MEMBER_EPOCH && error != KAFKA_STALE_MEMBER_EPOCH &&
           error != KAFKA_UNRELEASED_INSTANCE_ID && error != KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
}

static bool of_consumer(enum group_call call, int16_t error)
{
    if (error == KAFKA_REBALANCE_IN_PROGRESS)
        return false;
    if (error == KAFKA_UNRELEASED_INSTANCE_ID)
        return call == CALL_HEARTBEAT;
    return error != KAFKA_UNKNOWN_TOPIC_OR_PARTITION || call == CALL_COMMIT;
}

static void answer(enum group_call call, int16_t error, struct prng *prng)
{
    static int32_t epoch;

    epoch++;
    switch (call) {
    case CALL_FIND: answer_find(KAFKA_NONE); return;
    case CALL_JOIN: answer_join(error, "m", epoch); return;
    case CALL_SYNC: answer_sync(error, (uint32_t)prng_below(prng, 16)); return;
    case CALL_OFFSETS: answer_offsets(error, (int64_t)prng_below(prng, 1000)); return;
    case CALL_COMMIT: answer_commit(error); return;
    case CALL_LEAVE: answer_leave(); return;
    case CALL_HEARTBEAT: break;
    case CALL_COUNT: return;
    }
    if (group->config.protocol == CLIENT_GROUP_CLASSIC)
        answer_classic_beat(error);
    else
        answer_beat(error, epoch, prng_below(prng, 2) ? NOT_TOLD : (uint32_t)prng_below(prng, 16));
}

/* One of the calls on their way is answered, or its answer is lost. */
static void answer_some(struct prng *prng)
{
    bool classic = group->config.protocol == CLIENT_GROUP_CLASSIC;
    enum group_call call = (enum group_call)prng_below(prng, CALL_COUNT);
    size_t at = prng_below(prng, ARRAY_LEN(errors) + 1);

    if (!group->busy[call])
        return;
    if (at < ARRAY_LEN(errors) && !(classic ? of_classic(errors[at]) : of_consumer(call, errors[at])))
        at = 0;
    seen[classic][group->state][call][at] = true;
    if (at == ARRAY_LEN(errors))
        lost(call);
    else
        answer(call, errors[at], prng);
}

/* Commits name only what the owner has, or has just given back. */
static void check_commit(void)
{
    if (!group->busy[CALL_COMMIT])
        return;
    const struct kafka_offset_commit_request *request = called[CALL_COMMIT].message;
    ck_assert_int_gt(request->topics_count, 0);
    ck_assert_int_le(request->topics_count, PARTITIONS);
    ck_assert_int_gt(request->generation_id_or_member_epoch, 0);
}

/* It never waits for nothing. */
static void check_alive(void)
{
    if (group->state == GROUP_OVER)
        return;
    ck_assert_msg(client_group_deadline(group) != CLIENT_NEVER || !client_group_idle(group),
                  "state %d of protocol %d", (int)group->state, (int)group->config.protocol);
    int32_t has = 0;
    for (int32_t p = 0; p < PARTITIONS; p++)
        has += held[p];
    ck_assert_int_le(has, group->mine_count);
}

static void step(struct prng *prng)
{
    uint64_t due_us = client_group_deadline(group);

    switch (prng_below(prng, 8)) {
    case 0:
        client_group_position(group, topic, (int32_t)prng_below(prng, PARTITIONS),
                              (int64_t)prng_below(prng, 1000));
        break;
    case 1: client_group_commit(group, now_us); break;
    case 2: pass(prng_below(prng, SECOND)); break;
    case 3:
        no_memory = prng_below(prng, 10) == 0;
        pass(due_us != CLIENT_NEVER && due_us > now_us ? due_us - now_us : 0);
        no_memory = false;
        break;
    default: answer_some(prng);
    }
    check_commit();
    check_alive();
}

static void go_home(void)
{
    client_group_leave(group, now_us);
    turn();
    for (int i = 0; i < 200 && group->state != GROUP_OVER; i++) {
        struct prng prng;
        prng_seed(&prng, 1);
        uint64_t due_us = client_group_deadline(group);
        for (int call = 0; call < CALL_COUNT && group->state != GROUP_OVER; call++)
            if (group->busy[call])
                answer((enum group_call)call, KAFKA_NONE, &prng);
        if (due_us != CLIENT_NEVER && due_us > now_us)
            pass(due_us - now_us);
        else
            turn();
    }
    ck_assert_int_eq(left + given_up, 1);
}

START_TEST(whatever_is_answered_it_goes_on_and_can_leave)
{
    enum client_group_protocol protocol = (enum client_group_protocol)_i;
    struct prng prng;

    prng_seed(&prng, (uint64_t)_i + 1);
    memset(seen, 0, sizeof(seen));
    for (int walk = 0; walk < WALKS; walk++) {
        begin_as(protocol, walk % 3 == 0 ? STR_LIT("i") : STR_NULL);
        for (int i = 0; i < STEPS && group->state != GROUP_OVER; i++)
            step(&prng);
        go_home();
        end();
    }
    bool classic = protocol == CLIENT_GROUP_CLASSIC;
    for (size_t at = 0; at <= ARRAY_LEN(errors); at++) { /* the walks went where it matters */
        bool fits = at == ARRAY_LEN(errors) ||
                    (classic ? of_classic(errors[at]) : of_consumer(CALL_HEARTBEAT, errors[at]));
        ck_assert_msg(!fits || seen[classic][GROUP_MEMBER][CALL_HEARTBEAT][at], "heartbeat, error %zu", at);
        ck_assert_msg(!fits || errors[MIN(at, ARRAY_LEN(errors) - 1)] == KAFKA_UNRELEASED_INSTANCE_ID ||
                          seen[classic][GROUP_GIVING_UP][CALL_COMMIT][at],
                      "commit while giving up, error %zu", at);
    }
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, it_joins_with_everything_and_tells_what_it_has_once_it_reads);
    tcase_add_test(tcase, it_gives_up_and_commits_before_it_says_so_and_before_it_takes_more);
    tcase_add_test(tcase, a_commit_that_the_epoch_overtook_is_made_again);
    tcase_add_test(tcase, after_an_answer_that_got_lost_it_says_everything);
    tcase_add_loop_test(tcase, a_fenced_member_stops_and_joins_again_and_commits_nothing_of_before, 0, 2);
    tcase_add_loop_test(tcase, it_leaves_for_good_or_for_a_while, 0, 2);
    tcase_add_test(tcase, a_name_that_is_still_taken_is_asked_for_again);
    tcase_add_test(tcase, a_group_that_cannot_be_joined_is_told_one_that_is_gone_is_joined_again);
    tcase_add_test(tcase, brokers_that_do_not_know_the_protocol_end_it);
    tcase_add_test(tcase, everything_is_given_back_before_the_next_generation);
    tcase_add_test(tcase, a_commit_of_an_old_generation_is_not_taken_for_one_of_the_new);
    tcase_add_test(tcase, a_heartbeat_that_got_lost_before_a_generation_does_not_disturb_it);
    tcase_add_test(tcase, what_could_not_be_committed_in_its_generation_is_not_in_the_next);
    tcase_add_test(tcase, a_coordinator_that_cannot_is_not_asked_again_at_once);
    tcase_add_test(tcase, a_commit_in_a_group_that_is_gone_leads_back_into_it);
    tcase_add_loop_test(tcase, whatever_is_answered_it_goes_on_and_can_leave, 0, 2);
}

SLUICE_TEST_MAIN("client_group", add)
