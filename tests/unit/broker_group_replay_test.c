/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of members that come again, late: those of the past are refused and keep nobody alive, those of
 * the present do what they did before. */
#include "tests/unit/broker_consumer_group_asks.h"

static struct world w;

static void setup(void)
{
    world_init(&w);
}

static void teardown(void)
{
    groups_check(w.g);
    world_end(&w);
}

static int16_t error_of(const struct ask *ask)
{
    ck_assert(ask->answered);
    return ask->call.error;
}

static struct ask *done(struct ask *ask)
{
    world_commit_all(&w);
    ck_assert_int_eq(error_of(ask), KAFKA_NONE);
    return ask;
}

/* A classic member alone in a generation. */
static int32_t join_alone(char *id)
{
    struct ask *joined = join_as(&w, 3, id, NULL, "m");

    ck_assert_int_eq(error_of(joined), KAFKA_NONE);
    snprintf(id, WORLD_NAME_MAX, "%.*s", joined->out.join.member_id.len, joined->out.join.member_id.p);
    done(sync_as(&w, id, joined->out.join.generation_id, NULL));
    return joined->out.join.generation_id;
}

static int32_t members(void)
{
    return describe_group(&w)->out.describe.members_count;
}

START_TEST(a_commit_of_the_past_changes_nothing)
{
    char id[WORLD_NAME_MAX] = "";
    int32_t first = join_alone(id);

    done(commit_as(&w, id, first, 5));
    int32_t second = join_alone(id);
    ck_assert_int_gt(second, first);
    done(commit_as(&w, id, second, 9));
    ck_assert_int_eq(error_of(commit_as(&w, id, first, 5)), KAFKA_ILLEGAL_GENERATION);
    ck_assert_int_eq(offset_of(&w), 9);
}
END_TEST

/* As Kafka has it: nothing tells it from one that its member means. */
START_TEST(a_commit_of_this_generation_that_comes_again_counts_again)
{
    char id[WORLD_NAME_MAX] = "";
    int32_t generation = join_alone(id);

    done(commit_as(&w, id, generation, 5));
    done(commit_as(&w, id, generation, 9));
    done(commit_as(&w, id, generation, 5));
    ck_assert_int_eq(offset_of(&w), 5);
}
END_TEST

START_TEST(heartbeats_and_syncs_of_the_past_keep_nobody_alive)
{
    char id[WORLD_NAME_MAX] = "";
    int32_t first = join_alone(id);

    join_alone(id);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(members(), 1);
        ck_assert_int_eq(error_of(heartbeat_as(&w, id, first)), KAFKA_ILLEGAL_GENERATION);
        ck_assert_int_eq(error_of(sync_as(&w, id, first, NULL)), KAFKA_ILLEGAL_GENERATION);
        ck_assert_int_eq(error_of(commit_as(&w, id, first, 5)), KAFKA_ILLEGAL_GENERATION);
        world_pass(&w, 2600); /* 10.4 s of a session of 10 */
    }
    ck_assert_int_eq(members(), 0);
    ck_assert_int_eq(error_of(heartbeat_as(&w, id, first)), KAFKA_UNKNOWN_MEMBER_ID);
}
END_TEST

START_TEST(a_join_without_an_id_leaves_nobody_behind)
{
    char id[WORLD_NAME_MAX] = "";
    int32_t generation = join_alone(id);

    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(error_of(join_as(&w, 5, "", NULL, "m")), KAFKA_MEMBER_ID_REQUIRED);
    ck_assert_int_eq(members(), 1);
    for (int i = 0; i < 3; i++) { /* the group goes on all the while */
        world_pass(&w, 5000);
        ck_assert_int_eq(error_of(heartbeat_as(&w, id, generation)), KAFKA_NONE);
    }
    ck_assert_int_eq(error_of(leave_as(&w, id)), KAFKA_NONE); /* nobody is waited for any more */
    world_commit_all(&w);
    ck_assert_int_eq(members(), 0);
    ck_assert(str_eq_z(describe_group(&w)->out.describe.group_state, "Empty"));
}
END_TEST

START_TEST(a_join_that_comes_again_makes_no_second_member)
{
    char id[WORLD_NAME_MAX] = "";

    join_alone(id);
    int32_t generation = join_alone(id);
    ck_assert_int_eq(members(), 1);
    ck_assert_int_eq(error_of(leave_as(&w, id)), KAFKA_NONE);
    world_commit_all(&w);
    ck_assert_int_eq(error_of(join_as(&w, 3, id, NULL, "m")), KAFKA_UNKNOWN_MEMBER_ID);
    ck_assert_int_eq(error_of(leave_as(&w, id)), KAFKA_UNKNOWN_MEMBER_ID);
    ck_assert_int_eq(members(), 0);
    ck_assert_int_eq(error_of(heartbeat_as(&w, id, generation)), KAFKA_UNKNOWN_MEMBER_ID);
}
END_TEST

/* -- KIP-848 -- */

/* Member "a" at epoch 3; returns with what it has. */
static void enter_thrice(struct tp_list *owned)
{
    take_assigned(done(enter_as(&w, "a", "t")), owned);
    world_set_topic(&w.metadata, 1, "u", 1);
    done(beat_as(&w, (struct beat){.id = "a", .epoch = 1, .topic = "u"}));
    struct ask *ask = done(beat_as(&w, (struct beat){.id = "a", .epoch = 1, .owned = &(struct tp_list){0}}));
    ck_assert_int_eq(ask->out.consumer.member_epoch, 2);
    done(beat_as(&w, (struct beat){.id = "a", .epoch = 2, .topic = "t"}));
    ask = done(beat_as(&w, (struct beat){.id = "a", .epoch = 2, .owned = &(struct tp_list){0}}));
    ck_assert_int_eq(ask->out.consumer.member_epoch, 3);
}

START_TEST(a_commit_of_a_past_epoch_changes_nothing)
{
    struct tp_list owned;

    enter_thrice(&owned);
    done(commit_as_version(&w, 9, "a", 3, 9));
    for (int32_t epoch = 1; epoch < 3; epoch++)
        ck_assert_int_eq(error_of(commit_as_version(&w, 9, "a", epoch, 5)), KAFKA_STALE_MEMBER_EPOCH);
    ck_assert_int_eq(offset_of(&w), 9);
}
END_TEST

START_TEST(heartbeats_of_past_epochs_keep_nobody_alive)
{
    struct tp_list owned;

    enter_thrice(&owned);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(error_of(beat_as(&w, (struct beat){.id = "a", .epoch = 1, .owned = &owned})),
                         KAFKA_FENCED_MEMBER_EPOCH);
        ck_assert_int_eq(error_of(commit_as_version(&w, 9, "a", 2, 5)), KAFKA_STALE_MEMBER_EPOCH);
        world_pass(&w, 2600);
    }
    world_commit_all(&w);
    ck_assert_int_eq(error_of(beat_as(&w, (struct beat){.id = "a", .epoch = 3})), KAFKA_UNKNOWN_MEMBER_ID);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_commit_of_the_past_changes_nothing);
    tcase_add_test(tcase, a_commit_of_this_generation_that_comes_again_counts_again);
    tcase_add_test(tcase, heartbeats_and_syncs_of_the_past_keep_nobody_alive);
    tcase_add_test(tcase, a_join_without_an_id_leaves_nobody_behind);
    tcase_add_test(tcase, a_join_that_comes_again_makes_no_second_member);
    tcase_add_test(tcase, a_commit_of_a_past_epoch_changes_nothing);
    tcase_add_test(tcase, heartbeats_of_past_epochs_keep_nobody_alive);
}

SLUICE_TEST_MAIN("broker_group_replay", add)
