/* SPDX-License-Identifier: Apache-2.0 */
/* The classic group's state machine: every state meets every event; what was committed survives a failover.
 */
#include "tests/unit/broker_group_asks.h"

#include "proto/kafka/gen/offset_commit_record.h"

/* Two members, a (the leader) and b. */
struct pair {
    char a[WORLD_NAME_MAX], b[WORLD_NAME_MAX];
    int32_t generation;
    struct ask *join_a, *join_b;
};

static struct world w;

/* Version 3 joins at once under an id that comes with the answer. */
static void keep_id(char *to, const struct ask *joined)
{
    ck_assert(joined->answered);
    ck_assert_int_eq(joined->call.error, KAFKA_NONE);
    snprintf(to, WORLD_NAME_MAX, "%.*s", joined->out.join.member_id.len, joined->out.join.member_id.p);
}

static struct pair completing(void)
{
    struct pair pair;

    pair.join_a = join_as(&w, 3, "", NULL, "m");
    keep_id(pair.a, pair.join_a);
    pair.join_b = join_as(&w, 3, "", NULL, "m");
    ck_assert(!pair.join_b->answered);
    pair.join_a = join_as(&w, 3, pair.a, NULL, "m");
    keep_id(pair.b, pair.join_b);
    ck_assert(pair.join_a->answered);
    ck_assert_int_eq(pair.join_a->out.join.members_count, 2);
    ck_assert_int_eq(pair.join_b->out.join.members_count, 0);
    pair.generation = pair.join_b->out.join.generation_id;
    return pair;
}

static struct pair stable(void)
{
    struct pair pair = completing();
    struct ask *b = sync_as(&w, pair.b, pair.generation, NULL);
    struct ask *a = sync_as(&w, pair.a, pair.generation, pair.b);

    ck_assert(!a->answered && !b->answered); /* not before the log has it */
    world_commit_all(&w);
    ck_assert(a->answered && b->answered);
    ck_assert_int_eq(a->out.sync.assignment.len, 4);
    ck_assert_int_eq(b->out.sync.assignment.len, 6);
    return pair;
}

static struct pair preparing(void)
{
    struct pair pair = stable();

    pair.join_a = join_as(&w, 3, pair.a, NULL, "other");
    ck_assert(!pair.join_a->answered);
    return pair;
}

static struct pair empty(void)
{
    struct pair pair = stable();

    leave_as(&w, pair.a);
    leave_as(&w, pair.b);
    world_commit_all(&w);
    return pair;
}

static struct pair nothing(void)
{
    return (struct pair){.a = "a", .b = "b", .generation = 1};
}

static void expect_state(const char *state)
{
    ck_assert_msg(str_eq_z(describe_group(&w)->out.describe.group_state, state), "not %s", state);
}

#define WAITS 1000 /* no answer yet */

static int16_t error_of(const struct ask *ask)
{
    return ask->answered ? ask->call.error : WAITS;
}

/* Every state and every event; the error, or WAITS. */
START_TEST(every_state_answers_every_event)
{
    static const struct {
        const char *name;
        struct pair (*reach)(void);
        int16_t heartbeat, heartbeat_old, sync, sync_old, commit, commit_old, commit_simple, leave, remove,
            join;
    } rows[] = {
        {"Dead", nothing, 25, 25, 25, 25, 22, 22, WAITS, 25, 69, 25},
        {"Empty", empty, 25, 25, 25, 25, 25, 25, WAITS, 25, WAITS, 25},
        {"PreparingRebalance", preparing, 27, 22, 27, 22, WAITS, 22, 25, 0, 68, 0},
        {"CompletingRebalance", completing, 0, 22, WAITS, 22, 27, 22, 25, 0, 68, 0},
        {"Stable", stable, 0, 22, 0, 22, WAITS, 22, 25, 0, 68, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (int event = 0; event < 10; event++) {
            world_init(&w);
            struct pair pair = rows[i].reach();
            int32_t generation = pair.generation;
            struct ask *ask = NULL;
            expect_state(rows[i].name);
            uint64_t before = groups_check(w.g);
            switch (event) {
            case 0: ask = heartbeat_as(&w, pair.b, generation); break;
            case 1: ask = heartbeat_as(&w, pair.b, generation + 7); break;
            case 2: ask = sync_as(&w, pair.b, generation, NULL); break;
            case 3: ask = sync_as(&w, pair.b, generation - 1, NULL); break;
            case 4: ask = commit_as(&w, pair.b, generation, 5); break;
            case 5: ask = commit_as(&w, pair.b, generation + 1, 5); break;
            case 6: ask = commit_as(&w, "", -1, 5); break;
            case 7: ask = leave_as(&w, pair.b); break;
            case 8: ask = delete_group(&w); break;
            case 9: ask = join_as(&w, 3, pair.b, NULL, "m"); break;
            }
            const int16_t expected[] = {
                rows[i].heartbeat,  rows[i].heartbeat_old, rows[i].sync,  rows[i].sync_old, rows[i].commit,
                rows[i].commit_old, rows[i].commit_simple, rows[i].leave, rows[i].remove,   rows[i].join};
            ck_assert_msg(error_of(ask) == expected[event], "%s, event %d: %d, not %d", rows[i].name, event,
                          error_of(ask), expected[event]);
            if (error_of(ask) != KAFKA_NONE && error_of(ask) != WAITS) { /* refused: nothing has changed */
                expect_state(rows[i].name);
                ck_assert_uint_eq(groups_check(w.g), before);
                ck_assert_int_eq(w.pending_count, 0);
            }
            world_commit_all(&w);
            world_end(&w);
        }
    }
}
END_TEST

START_TEST(strangers_are_refused_in_every_state)
{
    struct pair (*const reach[])(void) = {nothing, empty, preparing, completing, stable};

    for (size_t i = 0; i < ARRAY_LEN(reach); i++) {
        world_init(&w);
        struct pair pair = reach[i]();
        ck_assert_int_eq(heartbeat_as(&w, "x", pair.generation)->call.error, KAFKA_UNKNOWN_MEMBER_ID);
        ck_assert_int_eq(sync_as(&w, "x", pair.generation, NULL)->call.error, KAFKA_UNKNOWN_MEMBER_ID);
        ck_assert_int_eq(leave_as(&w, "x")->call.error, KAFKA_UNKNOWN_MEMBER_ID);
        ck_assert_int_eq(join_as(&w, 5, "x", NULL, "m")->call.error, KAFKA_UNKNOWN_MEMBER_ID);
        world_commit_all(&w);
        world_end(&w);
    }
}
END_TEST

START_TEST(an_offset_counts_when_the_log_has_it)
{
    world_init(&w);
    struct pair pair = stable();
    struct ask *ask = commit_as(&w, pair.a, pair.generation, 42);
    ck_assert_int_eq(offset_of(&w), -1);
    ck_assert(!ask->answered);
    world_decide(&w, KAFKA_NONE);
    ck_assert(ask->answered && ask->call.error == KAFKA_NONE);
    ck_assert_int_eq(offset_of(&w), 42);
    ask = commit_as(&w, pair.a, pair.generation, 43);
    world_decide(&w, KAFKA_NOT_ENOUGH_REPLICAS);
    ck_assert_int_eq(ask->call.error, KAFKA_COORDINATOR_NOT_AVAILABLE);
    ck_assert_int_eq(offset_of(&w), 42);
    world_end(&w);
}
END_TEST

START_TEST(a_commit_that_takes_too_long_may_still_count)
{
    world_init(&w);
    struct pair pair = stable();
    struct ask *ask = commit_as(&w, pair.a, pair.generation, 42);
    world_pass(&w, 6000);
    ck_assert_int_eq(error_of(ask), KAFKA_COORDINATOR_NOT_AVAILABLE);
    ck_assert_int_eq(offset_of(&w), -1);
    world_commit_all(&w);
    ck_assert_int_eq(offset_of(&w), 42);
    world_end(&w);
}
END_TEST

START_TEST(a_refused_assignment_starts_another_rebalance)
{
    world_init(&w);
    struct pair pair = completing();
    struct ask *a = sync_as(&w, pair.a, pair.generation, pair.b);
    world_decide(&w, KAFKA_NOT_ENOUGH_REPLICAS);
    ck_assert_int_eq(error_of(a), KAFKA_COORDINATOR_NOT_AVAILABLE);
    expect_state("PreparingRebalance");
    world_end(&w);
}
END_TEST

START_TEST(an_assignment_of_the_past_is_not_handed_out)
{
    world_init(&w);
    struct pair pair = completing();
    struct ask *a = sync_as(&w, pair.a, pair.generation, pair.b);
    struct ask *again = join_as(&w, 3, pair.b, NULL, "other"); /* before the log has it */
    ck_assert_int_eq(error_of(a), KAFKA_REBALANCE_IN_PROGRESS);
    world_commit_all(&w);
    expect_state("PreparingRebalance");
    ck_assert(!again->answered);
    world_end(&w);
}
END_TEST

START_TEST(silent_members_are_dropped)
{
    world_init(&w);
    struct pair pair = stable();
    for (int i = 0; i < 3; i++) {
        world_pass(&w, 4000);
        heartbeat_as(&w, pair.a, pair.generation);
    }
    expect_state("PreparingRebalance"); /* b fell silent */
    struct ask *a = join_as(&w, 3, pair.a, NULL, "m");
    ck_assert(a->answered);
    ck_assert_int_eq(a->out.join.members_count, 1);
    world_pass(&w, 60000);
    world_commit_all(&w);
    expect_state("Empty");
    world_end(&w);
}
END_TEST

START_TEST(a_rebalance_waits_no_longer_than_its_time_out)
{
    world_init(&w);
    struct pair pair = preparing(); /* a waits, b only heartbeats */
    for (int i = 0; i < 4; i++) {
        ck_assert(!pair.join_a->answered);
        ck_assert_int_eq(heartbeat_as(&w, pair.b, pair.generation)->call.error, KAFKA_REBALANCE_IN_PROGRESS);
        world_pass(&w, 5001);
    }
    ck_assert(pair.join_a->answered);
    ck_assert_int_eq(pair.join_a->out.join.generation_id, pair.generation + 1);
    ck_assert_int_eq(pair.join_a->out.join.members_count, 1);
    world_end(&w);
}
END_TEST

START_TEST(the_first_rebalance_waits_for_more_members)
{
    world_init(&w);
    w.settings.initial_delay_ms = 3000;
    struct ask *a = join_as(&w, 3, "", NULL, "m");
    world_pass(&w, 2000);
    struct ask *b = join_as(&w, 3, "", NULL, "m");
    world_pass(&w, 2000);
    ck_assert(!a->answered && !b->answered); /* extended, since b came */
    world_pass(&w, 2000);
    ck_assert(a->answered && b->answered);
    ck_assert_int_eq(a->out.join.generation_id, 1);
    world_end(&w);
}
END_TEST

START_TEST(a_new_member_needs_an_id_first)
{
    char id[WORLD_NAME_MAX];

    world_init(&w);
    struct ask *ask = join_as(&w, 5, "", NULL, "m");
    ck_assert_int_eq(error_of(ask), KAFKA_MEMBER_ID_REQUIRED);
    snprintf(id, sizeof(id), "%.*s", ask->out.join.member_id.len, ask->out.join.member_id.p);
    ask = join_as(&w, 5, id, NULL, "m");
    ck_assert_int_eq(error_of(ask), KAFKA_NONE);
    ck_assert_int_eq(ask->out.join.generation_id, 1);
    join_as(&w, 5, "", NULL, "m");
    world_pass(&w, 11000); /* that one never came back; and the first fell silent */
    world_commit_all(&w);
    expect_state("Empty");
    world_end(&w);
}
END_TEST

START_TEST(a_static_member_comes_back_without_a_rebalance)
{
    char id[WORLD_NAME_MAX];

    world_init(&w);
    struct ask *ask = join_as(&w, 5, "", "s", "m");
    keep_id(id, ask);
    sync_as(&w, id, 1, NULL);
    world_commit_all(&w);
    expect_state("Stable");
    ask = join_as(&w, 9, "", "s", "m");
    ck_assert(!ask->answered);
    world_commit_all(&w);
    ck_assert_int_eq(error_of(ask), KAFKA_NONE);
    ck_assert_int_eq(ask->out.join.generation_id, 1);
    ck_assert(ask->out.join.skip_assignment);
    expect_state("Stable");
    ask = ask_new(&w, GROUP_CALL_HEARTBEAT, 3); /* the old one */
    ask->in.heartbeat.group_id = STR_LIT("g");
    ask->in.heartbeat.generation_id = 1;
    ask->in.heartbeat.member_id = str_from(id);
    ask->in.heartbeat.group_instance_id = STR_LIT("s");
    ask_send(&w, ask);
    ck_assert_int_eq(error_of(ask), KAFKA_FENCED_INSTANCE_ID);
    world_end(&w);
}
END_TEST

START_TEST(bad_requests_change_nothing)
{
    world_init(&w);
    w.settings.size_max = 2;
    struct pair pair = stable();
    ck_assert_int_eq(join_as(&w, 3, "", NULL, "m")->call.error, KAFKA_GROUP_MAX_SIZE_REACHED);
    struct ask *ask = ask_new(&w, GROUP_CALL_HEARTBEAT, 3);
    ask->call.group_id = STR_LIT("");
    ask_send(&w, ask);
    ck_assert_int_eq(error_of(ask), KAFKA_INVALID_GROUP_ID);
    w.settings.session_min_ms = 20000;
    ck_assert_int_eq(join_as(&w, 3, pair.a, NULL, "m")->call.error, KAFKA_INVALID_SESSION_TIMEOUT);
    ask = commit_as(&w, pair.a, pair.generation, 1);
    world_commit_all(&w);
    expect_state("Stable");
    ck_assert_int_eq(heartbeat_as(&w, pair.a, pair.generation)->call.error, KAFKA_NONE);
    world_end(&w);
}
END_TEST

#define MANY_PROTOCOLS 1000

/* Choosing one compares each with each, of each member. */
START_TEST(a_member_with_more_protocols_than_there_are_is_refused)
{
    static struct kafka_join_group_request_protocol protocols[MANY_PROTOCOLS];
    static char names[MANY_PROTOCOLS][WORLD_NAME_MAX];

    world_init(&w);
    struct ask *ask = ask_new(&w, GROUP_CALL_JOIN, 3);
    for (int i = 0; i < MANY_PROTOCOLS; i++) {
        snprintf(names[i], sizeof(names[i]), "p%d", i);
        protocols[i] = (struct kafka_join_group_request_protocol){.name = str_from(names[i]),
                                                                  .metadata = {(const uint8_t *)"m", 1}};
    }
    kafka_join_group_request_init(&ask->in.join);
    kafka_join_group_response_init(&ask->out.join);
    ask->in.join.group_id = ask->call.group_id;
    ask->in.join.session_timeout_ms = 10000;
    ask->in.join.member_id = STR_LIT("");
    ask->in.join.group_instance_id = STR_NULL;
    ask->in.join.protocol_type = STR_LIT("consumer");
    ask->in.join.protocols = protocols;
    ask->in.join.protocols_count = MANY_PROTOCOLS;
    ask_send(&w, ask);
    ck_assert(ask->answered);
    ck_assert_int_eq(ask->call.error, KAFKA_INCONSISTENT_GROUP_PROTOCOL);
    ck_assert_uint_eq(groups_count(w.g), 0);
    world_end(&w);
}
END_TEST

START_TEST(a_new_coordinator_goes_on_where_the_old_one_was)
{
    world_init(&w);
    struct pair pair = stable();
    commit_as(&w, pair.a, pair.generation, 42);
    world_commit_all(&w);
    struct groups *next = world_load(&w), *old = w.g;
    w.g = next;
    expect_state("Stable");
    ck_assert_int_eq(offset_of(&w), 42);
    ck_assert_int_eq(heartbeat_as(&w, pair.b, pair.generation)->call.error, KAFKA_NONE);
    struct ask *sync = sync_as(&w, pair.b, pair.generation, NULL);
    ck_assert_int_eq(sync->out.sync.assignment.len, 6);
    groups_end(next);
    groups_free(next);
    w.g = old;
    world_end(&w);
}
END_TEST

START_TEST(offsets_of_idle_groups_expire)
{
    world_init(&w);
    struct pair pair = stable();
    commit_as(&w, pair.a, pair.generation, 42);
    world_commit_all(&w);
    leave_as(&w, pair.a);
    leave_as(&w, pair.b);
    world_commit_all(&w);
    world_pass(&w, 3000000);
    world_commit_all(&w);
    ck_assert_int_eq(offset_of(&w), 42);
    world_pass(&w, 1300000);
    world_commit_all(&w);
    ck_assert_int_eq(offset_of(&w), -1);
    ck_assert_uint_eq(groups_count(w.g), 0);
    world_end(&w);
}
END_TEST

START_TEST(deleting_takes_group_and_offsets)
{
    world_init(&w);
    struct pair pair = stable();
    commit_as(&w, pair.a, pair.generation, 42);
    world_commit_all(&w);
    leave_as(&w, pair.a);
    leave_as(&w, pair.b);
    struct ask *ask = delete_group(&w);
    ck_assert(!ask->answered);
    world_commit_all(&w);
    ck_assert_int_eq(error_of(ask), KAFKA_NONE);
    ck_assert_uint_eq(groups_count(w.g), 0);
    ck_assert_uint_eq(groups_offset_count(w.g), 0);
    world_end(&w);
}
END_TEST

START_TEST(deleting_waits_for_commits_on_their_way)
{
    world_init(&w);
    struct ask *commit = commit_as(&w, "", -1, 42);
    world_commit_all(&w);
    ck_assert_int_eq(error_of(commit), KAFKA_NONE);
    commit = commit_as(&w, "", -1, 43);
    struct ask *ask = delete_group(&w), *again = delete_group(&w);
    ck_assert(!ask->answered && !commit->answered);
    world_commit_all(&w);
    ck_assert_int_eq(error_of(commit), KAFKA_NONE);
    ck_assert_int_eq(error_of(ask), KAFKA_NONE);
    ck_assert_int_eq(error_of(again), KAFKA_GROUP_ID_NOT_FOUND);
    ck_assert_uint_eq(groups_count(w.g), 0);
    ck_assert_uint_eq(groups_offset_count(w.g), 0);
    world_end(&w);
}
END_TEST

START_TEST(deleting_does_not_wait_for_ever)
{
    world_init(&w);
    commit_as(&w, "", -1, 42);
    struct ask *ask = delete_group(&w);
    ck_assert(!ask->answered);
    world_pass(&w, 60000);
    ck_assert_int_eq(error_of(ask), KAFKA_COORDINATOR_NOT_AVAILABLE);
    world_commit_all(&w);
    ck_assert_int_eq(offset_of(&w), 42);
    world_end(&w);
}
END_TEST

START_TEST(records_are_kafkas)
{
    static const uint8_t expected[] = {
        0,   0,   0,   12,  0, 1, 0, 1, 'g', 0, 1, 't', 0, 0,
        0,   0,                                                 /* key: type 1, group, topic, partition */
        0,   0,   0,   24,  0, 3, 0, 0, 0,   0, 0, 0,   0, 42,  /* value: version 3, offset */
        255, 255, 255, 255, 0, 0, 0, 0, 0,   0, 0, 0,   3, 232, /* leader epoch, metadata, commit time */
    };
    world_init(&w);
    commit_as(&w, "", -1, 42);
    world_commit_all(&w);
    ck_assert_uint_eq(w.log_len, sizeof(expected));
    ck_assert_mem_eq(w.log, expected, sizeof(expected));
    world_end(&w);
}
END_TEST

START_TEST(records_of_others_are_skipped_or_refused)
{
    struct bytes value = {(const uint8_t *)"\0\0", 2};

    world_init(&w);
    ck_assert_int_eq(groups_replay(w.g, (struct bytes){(const uint8_t *)"\0\143", 2}, value), ERR_VERSION);
    ck_assert_int_eq(groups_replay(w.g, (struct bytes){(const uint8_t *)"\0", 1}, value), ERR_MALFORMED);
    ck_assert_int_eq(groups_replay(w.g, (struct bytes){(const uint8_t *)"\0\1\0", 3}, value), ERR_MALFORMED);
    ck_assert_uint_eq(groups_count(w.g), 0);
    world_end(&w);
}
END_TEST

START_TEST(keys_hash_like_javas_strings)
{
    static const struct {
        const char *key;
        int32_t partition; /* of 50: abs(hashCode) % 50 */
    } rows[] = {{"", 0},          {"g", 3},
                {"my-group", 12}, {"console-consumer-1", 24},
                {"\xc3\xa4", 28}, {"\xf0\x9f\x98\x80", 49}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        ck_assert_msg(coordinator_partition_of(str_from(rows[i].key), 50) == rows[i].partition, "%s: %d",
                      rows[i].key, coordinator_partition_of(str_from(rows[i].key), 50));
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, every_state_answers_every_event);
    tcase_add_test(tcase, strangers_are_refused_in_every_state);
    tcase_add_test(tcase, an_offset_counts_when_the_log_has_it);
    tcase_add_test(tcase, a_commit_that_takes_too_long_may_still_count);
    tcase_add_test(tcase, a_refused_assignment_starts_another_rebalance);
    tcase_add_test(tcase, an_assignment_of_the_past_is_not_handed_out);
    tcase_add_test(tcase, silent_members_are_dropped);
    tcase_add_test(tcase, a_rebalance_waits_no_longer_than_its_time_out);
    tcase_add_test(tcase, the_first_rebalance_waits_for_more_members);
    tcase_add_test(tcase, a_new_member_needs_an_id_first);
    tcase_add_test(tcase, a_static_member_comes_back_without_a_rebalance);
    tcase_add_test(tcase, bad_requests_change_nothing);
    tcase_add_test(tcase, a_member_with_more_protocols_than_there_are_is_refused);
    tcase_add_test(tcase, a_new_coordinator_goes_on_where_the_old_one_was);
    tcase_add_test(tcase, offsets_of_idle_groups_expire);
    tcase_add_test(tcase, deleting_takes_group_and_offsets);
    tcase_add_test(tcase, deleting_waits_for_commits_on_their_way);
    tcase_add_test(tcase, deleting_does_not_wait_for_ever);
    tcase_add_test(tcase, records_are_kafkas);
    tcase_add_test(tcase, records_of_others_are_skipped_or_refused);
    tcase_add_test(tcase, keys_hash_like_javas_strings);
}

SLUICE_TEST_MAIN("broker_group", add)
