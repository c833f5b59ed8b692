/* SPDX-License-Identifier: Apache-2.0 */
/* Groups of the consumer protocol (KIP-848): joining, balancing, revoking before assigning, fencing, static
 * members, patterns, commits, and their way from and to the classic protocol. */
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

/* The call is answered once its records are in the log. */
static struct ask *done(struct ask *ask, int16_t error)
{
    groups_check(w.g);
    world_commit_all(&w);
    groups_check(w.g);
    ck_assert(ask->answered);
    ck_assert_int_eq(ask->call.error, error);
    return ask;
}

static int32_t epoch_of(const struct ask *ask)
{
    return ask->out.consumer.member_epoch;
}

START_TEST(the_first_member_gets_everything_once_it_is_written)
{
    struct ask *ask = enter_as(&w, "a", "t");

    ck_assert(!ask->answered);
    done(ask, KAFKA_NONE);
    ck_assert_int_eq(epoch_of(ask), 1);
    ck_assert_int_eq(assigned_count(ask), 4);
    ck_assert_int_eq(ask->out.consumer.heartbeat_interval_ms, 3000);
    ask = beat_as(&w, (struct beat){.id = "a", .epoch = 1});
    ck_assert(ask->answered); /* nothing new: nothing to write */
    ck_assert_int_eq(assigned_count(ask), -1);
}
END_TEST

START_TEST(a_partition_moves_only_after_it_was_given_up)
{
    struct tp_list a, b;
    struct ask *ask = done(enter_as(&w, "a", "t"), KAFKA_NONE);

    take_assigned(ask, &a);
    ask = done(enter_as(&w, "b", "t"), KAFKA_NONE);
    ck_assert_int_eq(assigned_count(ask), 0); /* its half is still a's */
    ck_assert_int_eq(epoch_of(ask), 2);
    ask = done(beat_as(&w, (struct beat){.id = "a", .epoch = 1, .owned = &a}), KAFKA_NONE);
    ck_assert_int_eq(assigned_count(ask), 2);
    ck_assert_int_eq(epoch_of(ask), 1); /* not before it has revoked */
    take_assigned(ask, &b);
    ask = done(beat_as(&w, (struct beat){.id = "b", .epoch = 2}), KAFKA_NONE);
    ck_assert_int_eq(assigned_count(ask), -1);
    ask = done(beat_as(&w, (struct beat){.id = "a", .epoch = 1, .owned = &a}), KAFKA_NONE);
    ck_assert_int_eq(epoch_of(ask), 1); /* still owns them */
    ask = done(beat_as(&w, (struct beat){.id = "a", .epoch = 1, .owned = &b}), KAFKA_NONE);
    ck_assert_int_eq(epoch_of(ask), 2);
    ask = done(beat_as(&w, (struct beat){.id = "b", .epoch = 2}), KAFKA_NONE);
    ck_assert_int_eq(assigned_count(ask), 2);
    ask = describe_consumer_group(&w);
    ck_assert(str_eq_z(ask->out.consumer_describe.group_state, "Stable"));
    ck_assert_int_eq(ask->out.consumer_describe.members_count, 2);
    ck_assert_int_eq(ask->out.consumer_describe.group_epoch, 2);
}
END_TEST

START_TEST(who_does_not_revoke_in_time_is_out)
{
    struct ask *ask = done(enter_as(&w, "a", "t"), KAFKA_NONE);
    struct tp_list a;

    take_assigned(ask, &a);
    done(enter_as(&w, "b", "t"), KAFKA_NONE);
    done(beat_as(&w, (struct beat){.id = "a", .epoch = 1, .owned = &a}), KAFKA_NONE);
    for (int i = 0; i < 7; i++) { /* 21 s: longer than its rebalance time-out, but it lives */
        world_pass(&w, 3000);
        world_commit_all(&w);
        ask = beat_as(&w, (struct beat){.id = "a", .epoch = 1, .owned = &a});
        done(beat_as(&w, (struct beat){.id = "b", .epoch = 2}), KAFKA_NONE);
    }
    done(ask, KAFKA_UNKNOWN_MEMBER_ID);
    ask = done(beat_as(&w, (struct beat){.id = "b", .epoch = 3}), KAFKA_NONE);
    ck_assert_int_eq(epoch_of(ask), 3);
}
END_TEST

START_TEST(a_silent_member_is_out_and_its_partitions_go_on)
{
    done(enter_as(&w, "a", "t"), KAFKA_NONE);
    done(enter_as(&w, "b", "t"), KAFKA_NONE);
    world_pass(&w, 6000);
    done(beat_as(&w, (struct beat){.id = "b", .epoch = 2}), KAFKA_NONE);
    world_pass(&w, 6000);
    world_commit_all(&w);
    struct ask *ask = done(beat_as(&w, (struct beat){.id = "b", .epoch = 2}), KAFKA_NONE);
    ck_assert_int_eq(assigned_count(ask), 4);
    done(beat_as(&w, (struct beat){.id = "a", .epoch = 1}), KAFKA_UNKNOWN_MEMBER_ID);
}
END_TEST

START_TEST(epochs_fence_heartbeats_and_commits)
{
    struct tp_list owned = {.count = 0};

    done(enter_as(&w, "a", "t"), KAFKA_NONE);
    done(beat_as(&w, (struct beat){.id = "a", .epoch = 7}), KAFKA_FENCED_MEMBER_EPOCH);
    done(beat_as(&w, (struct beat){.id = "x", .epoch = 1}), KAFKA_UNKNOWN_MEMBER_ID);
    struct ask *ask = commit_as(&w, "a", 7, 10);
    ck_assert(ask->answered);
    ck_assert_int_eq(ask->call.error, KAFKA_UNSUPPORTED_VERSION);
    ask = commit_as_version(&w, 9, "a", 7, 10);
    ck_assert_int_eq(ask->call.error, KAFKA_STALE_MEMBER_EPOCH);
    ask = commit_as_version(&w, 9, "x", 1, 10);
    ck_assert_int_eq(ask->call.error, KAFKA_UNKNOWN_MEMBER_ID);
    ask = commit_as_version(&w, 9, "", -1, 10);
    ck_assert_int_eq(ask->call.error, KAFKA_UNKNOWN_MEMBER_ID);
    ck_assert_int_eq(offset_of(&w), -1); /* nothing was written */
    done(commit_as_version(&w, 9, "a", 1, 10), KAFKA_NONE);
    ck_assert_int_eq(offset_of(&w), 10);
    /* An answer that got lost: the epoch before, with no more than it may own. */
    done(beat_as(&w, (struct beat){.id = "a", .epoch = 0, .topic = "u"}), KAFKA_NONE);
    ask = done(beat_as(&w, (struct beat){.id = "a", .epoch = 1, .owned = &owned}), KAFKA_NONE);
    ck_assert_int_eq(epoch_of(ask), 2);
    done(beat_as(&w, (struct beat){.id = "a", .epoch = 1}), KAFKA_FENCED_MEMBER_EPOCH);
}
END_TEST

START_TEST(a_refused_write_changes_nothing)
{
    struct ask *ask = enter_as(&w, "a", "t"), *second = enter_as(&w, "b", "t");

    ck_assert(!ask->answered && !second->answered); /* one at a time */
    world_decide(&w, KAFKA_NOT_ENOUGH_REPLICAS);
    ck_assert(ask->answered && !second->answered);
    ck_assert_int_eq(ask->call.error, KAFKA_COORDINATOR_NOT_AVAILABLE);
    done(second, KAFKA_NONE);
    ck_assert_int_eq(assigned_count(second), 4);
    ck_assert_int_eq(epoch_of(second), 1);
    done(beat_as(&w, (struct beat){.id = "a", .epoch = 1}), KAFKA_UNKNOWN_MEMBER_ID);
}
END_TEST

START_TEST(a_group_that_was_refused_is_none)
{
    struct ask *ask = enter_as(&w, "a", "t");

    world_decide(&w, KAFKA_NOT_ENOUGH_REPLICAS);
    ck_assert(ask->answered);
    ck_assert_uint_eq(groups_count(w.g), 0);
    done(beat_as(&w, (struct beat){.id = "a", .epoch = 1}), KAFKA_GROUP_ID_NOT_FOUND);
}
END_TEST

START_TEST(malformed_first_heartbeats_are_refused)
{
    static const struct {
        struct beat beat;
        int16_t error;
    } rows[] = {
        {{.id = "", .topic = "t"}, KAFKA_INVALID_REQUEST},
        {{.id = "a"}, KAFKA_INVALID_REQUEST},
        {{.id = "a", .topic = "t", .instance = ""}, KAFKA_INVALID_REQUEST},
        {{.id = "a", .epoch = -2}, KAFKA_INVALID_REQUEST},
        {{.id = "a", .epoch = -3}, KAFKA_INVALID_REQUEST},
        {{.id = "a", .topic = "t", .assignor = "mine"}, KAFKA_UNSUPPORTED_ASSIGNOR},
        {{.id = "a", .regex = "t("}, KAFKA_INVALID_REGULAR_EXPRESSION},
        {{.id = "a", .epoch = 3}, KAFKA_GROUP_ID_NOT_FOUND},
        {{.id = "a", .epoch = -1}, KAFKA_GROUP_ID_NOT_FOUND},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ask *ask = beat_as(&w, rows[i].beat);
        ck_assert_msg(ask->answered && ask->call.error == rows[i].error, "row %zu: %d", i, ask->call.error);
        ck_assert_uint_eq(groups_count(w.g), 0);
    }
}
END_TEST

/* Ids are made of what clients call themselves, and stand in records: as a string of the protocol. */
START_TEST(a_client_with_the_longest_name_gets_an_id)
{
    static char name[32767];
    struct ask *ask = ask_new(&w, GROUP_CALL_CONSUMER_HEARTBEAT, 0);
    struct kafka_consumer_group_heartbeat_request *in = &ask->in.consumer;

    memset(name, 'n', sizeof(name));
    kafka_consumer_group_heartbeat_request_init(in);
    kafka_consumer_group_heartbeat_response_init(&ask->out.consumer);
    ask->call.client_id = (struct str){name, sizeof(name)};
    in->group_id = ask->call.group_id;
    in->member_id = STR_LIT("");
    in->instance_id = in->rack_id = in->subscribed_topic_regex = in->server_assignor = STR_NULL;
    in->rebalance_timeout_ms = 20000;
    ask->names[0] = STR_LIT("t");
    in->subscribed_topic_names = ask->names;
    in->subscribed_topic_names_count = 1;
    in->topic_partitions_count = 0;
    ask_send(&w, ask);
    ck_assert_int_eq(w.pending_count, 1);
    ck_assert_int_le(ask->out.consumer.member_id.len, (int)sizeof(name));
    world_decide(&w, KAFKA_NOT_ENOUGH_REPLICAS); /* the world's log is small */
    ck_assert_int_eq(ask->call.error, KAFKA_COORDINATOR_NOT_AVAILABLE);
}
END_TEST

START_TEST(a_full_group_takes_nobody)
{
    w.settings.consumer_size_max = 1;
    done(enter_as(&w, "a", "t"), KAFKA_NONE);
    done(enter_as(&w, "b", "t"), KAFKA_GROUP_MAX_SIZE_REACHED);
    done(enter_as(&w, "a", "t"), KAFKA_NONE);
}
END_TEST

START_TEST(topics_that_change_bump_the_epoch)
{
    struct ask *ask = done(enter_as(&w, "a", "t"), KAFKA_NONE);

    world_set_topic(&w.metadata, 1, "other", 3); /* not ours */
    ask = done(beat_as(&w, (struct beat){.id = "a", .epoch = 1}), KAFKA_NONE);
    ck_assert_int_eq(epoch_of(ask), 1);
    world_set_topic(&w.metadata, 0, "t", 6);
    ask = done(beat_as(&w, (struct beat){.id = "a", .epoch = 1}), KAFKA_NONE);
    ck_assert_int_eq(epoch_of(ask), 2);
    ck_assert_int_eq(assigned_count(ask), 6);
    world_set_topic(&w.metadata, 0, "t", 0); /* deleted */
    ask = done(beat_as(&w, (struct beat){.id = "a", .epoch = 2, .owned = &(struct tp_list){.count = 0}}),
               KAFKA_NONE);
    ck_assert_int_eq(epoch_of(ask), 3);
    ck_assert_int_eq(assigned_count(ask), 0);
}
END_TEST

START_TEST(patterns_subscribe_to_what_matches)
{
    world_set_topic(&w.metadata, 1, "t-2", 3);
    world_set_topic(&w.metadata, 2, "__t", 5);
    struct ask *ask = done(beat_as(&w, (struct beat){.id = "a", .regex = "[_t].*"}), KAFKA_NONE);
    ck_assert_int_eq(assigned_count(ask), 7);
    world_pass(&w, 8000);
    world_set_topic(&w.metadata, 3, "t-3", 2);
    ask = done(beat_as(&w, (struct beat){.id = "a", .epoch = 1}), KAFKA_NONE);
    ck_assert_int_eq(assigned_count(ask), 9);
    ck_assert_int_eq(epoch_of(ask), 2);
    ask = done(beat_as(&w, (struct beat){.id = "a", .epoch = 2, .regex = "t-.*"}), KAFKA_NONE);
    ck_assert_int_eq(assigned_count(ask), 5);
}
END_TEST

START_TEST(a_static_member_comes_back_to_what_it_had)
{
    struct ask *ask = done(beat_as(&w, (struct beat){.id = "a", .instance = "i", .topic = "t"}), KAFKA_NONE);

    ck_assert_int_eq(assigned_count(ask), 4);
    done(beat_as(&w, (struct beat){.id = "b", .instance = "i", .topic = "t"}), KAFKA_UNRELEASED_INSTANCE_ID);
    ask = done(beat_as(&w, (struct beat){.id = "a", .instance = "i", .epoch = -2}), KAFKA_NONE);
    ck_assert_int_eq(epoch_of(ask), -2);
    done(beat_as(&w, (struct beat){.id = "a", .instance = "i", .epoch = 1}), KAFKA_FENCED_MEMBER_EPOCH);
    ask = done(beat_as(&w, (struct beat){.id = "b", .instance = "i", .topic = "t"}), KAFKA_NONE);
    ck_assert_int_eq(epoch_of(ask), 1); /* nobody else had to know */
    ck_assert_int_eq(assigned_count(ask), 4);
    done(beat_as(&w, (struct beat){.id = "a", .instance = "i", .epoch = 1}), KAFKA_FENCED_INSTANCE_ID);
}
END_TEST

START_TEST(an_empty_group_can_be_deleted_and_a_live_one_not)
{
    done(enter_as(&w, "a", "t"), KAFKA_NONE);
    done(commit_as_version(&w, 9, "a", 1, 5), KAFKA_NONE);
    done(delete_group(&w), KAFKA_NON_EMPTY_GROUP);
    done(exit_as(&w, "a"), KAFKA_NONE);
    ck_assert(str_eq_z(describe_consumer_group(&w)->out.consumer_describe.group_state, "Empty"));
    done(commit_as_version(&w, 9, "", -1, 6), KAFKA_NONE); /* an administrator's */
    done(delete_group(&w), KAFKA_NONE);
    ck_assert_uint_eq(groups_count(w.g), 0);
}
END_TEST

/* Kafka's consumer protocol, version 1: subscribes to "t", owns what is given. */
static const char SUBSCRIPTION[] = "\0\1\0\0\0\1\0\1t\0\0\0\0\0\0\0\0";

static struct ask *join_classic(const char *id)
{
    return join_bytes(&w, 5, id, SUBSCRIPTION, sizeof(SUBSCRIPTION) - 1);
}

/* A classic group with one member that has synced, its id in id. */
static void classic_group_of(char *id, int32_t generation)
{
    struct ask *ask = done(join_classic(""), KAFKA_MEMBER_ID_REQUIRED);

    str_copy(ask->out.join.member_id, id, WORLD_NAME_MAX);
    ask = done(join_classic(id), KAFKA_NONE);
    done(sync_bytes(&w, id, generation,
                    "\0\1\0\0\0\1\0\1t\0\0\0\4\0\0\0\0\0\0\0\1\0\0\0\2\0\0\0\3\xff\xff\xff\xff", 33),
         KAFKA_NONE);
}

static void classic_group(char *id)
{
    classic_group_of(id, 1);
}

START_TEST(a_classic_group_is_upgraded_by_its_first_new_member_and_back)
{
    char id[WORLD_NAME_MAX];
    classic_group(id);
    struct ask *ask = done(enter_as(&w, "b", "t"), KAFKA_NONE);

    ck_assert_int_eq(epoch_of(ask), 2);
    ck_assert_int_eq(assigned_count(ask), 0); /* all is still the classic member's */
    ck_assert_int_eq(describe_consumer_group(&w)->out.consumer_describe.members_count, 2);
    done(heartbeat_as(&w, id, 1), KAFKA_REBALANCE_IN_PROGRESS);
    ask = done(join_classic(id), KAFKA_NONE); /* owns nothing any more: eager */
    ck_assert_int_eq(ask->out.join.generation_id, 2);
    ask = done(sync_as(&w, id, 2, NULL), KAFKA_NONE);
    ck_assert_int_eq(ask->out.sync.assignment.len, 2 + 4 + 3 + 4 + 2 * 4 + 4); /* two partitions */
    done(heartbeat_as(&w, id, 2), KAFKA_NONE);
    ask = done(beat_as(&w, (struct beat){.id = "b", .epoch = 2}), KAFKA_NONE);
    ck_assert_int_eq(assigned_count(ask), 2);
    done(commit_as(&w, id, 1, 7), KAFKA_ILLEGAL_GENERATION);
    done(commit_as(&w, id, 2, 7), KAFKA_NONE);
    done(exit_as(&w, "b"), KAFKA_NONE); /* only the classic member is left */
    ask = describe_group(&w);
    ck_assert(str_eq_z(ask->out.describe.group_state, "PreparingRebalance"));
    ck_assert_int_eq(describe_consumer_group(&w)->call.error, KAFKA_GROUP_ID_NOT_FOUND);
    done(heartbeat_as(&w, id, 3), KAFKA_REBALANCE_IN_PROGRESS);
    ask = done(join_classic(id), KAFKA_NONE);
    ck_assert_int_eq(ask->out.join.generation_id, 4);
    ck_assert_int_eq(offset_of(&w), 7);
}
END_TEST

START_TEST(an_empty_group_takes_either_protocol)
{
    char id[WORLD_NAME_MAX];

    done(enter_as(&w, "a", "t"), KAFKA_NONE);
    done(exit_as(&w, "a"), KAFKA_NONE); /* epoch 2 */
    classic_group_of(id, 3);            /* no number comes twice: members of before cannot be meant */
    done(leave_as(&w, id), KAFKA_NONE);
    ck_assert(str_eq_z(describe_group(&w)->out.describe.group_state, "Empty"));
    struct ask *ask = done(enter_as(&w, "a", "t"), KAFKA_NONE);
    ck_assert_int_eq(assigned_count(ask), 4);
    ck_assert_int_gt(epoch_of(ask), 3);
}
END_TEST

/* And does not try again by itself for as long as the log refuses. */
START_TEST(who_would_have_a_group_change_its_protocol_hears_that_the_log_refused)
{
    char id[WORLD_NAME_MAX];

    done(enter_as(&w, "a", "t"), KAFKA_NONE);
    done(exit_as(&w, "a"), KAFKA_NONE);
    struct ask *ask = join_as(&w, 3, "", NULL, "m"), *second = join_as(&w, 3, "", NULL, "m");
    world_decide(&w, KAFKA_NOT_ENOUGH_REPLICAS);
    ck_assert(ask->answered && !second->answered); /* it tries in its turn */
    ck_assert_int_eq(ask->call.error, KAFKA_COORDINATOR_NOT_AVAILABLE);
    world_decide(&w, KAFKA_NOT_ENOUGH_REPLICAS);
    ck_assert_int_eq(second->call.error, KAFKA_COORDINATOR_NOT_AVAILABLE);
    ck_assert_int_eq(w.pending_count, 0);
    classic_group_of(id, 3);
    ask = enter_as(&w, "b", "t");
    world_decide(&w, KAFKA_NOT_ENOUGH_REPLICAS);
    ck_assert_int_eq(ask->call.error, KAFKA_COORDINATOR_NOT_AVAILABLE);
    ck_assert_int_eq(w.pending_count, 0);
    done(heartbeat_as(&w, id, 3), KAFKA_NONE); /* a classic group as before */
}
END_TEST

START_TEST(an_id_that_was_handed_out_does_not_bar_the_other_protocol)
{
    done(join_classic(""), KAFKA_MEMBER_ID_REQUIRED);
    struct ask *ask = done(enter_as(&w, "a", "t"), KAFKA_NONE);
    ck_assert_int_eq(assigned_count(ask), 4);
}
END_TEST

START_TEST(members_that_are_about_to_join_again_keep_what_they_read_through_an_upgrade)
{
    char id[WORLD_NAME_MAX], other[WORLD_NAME_MAX];

    classic_group(id);
    str_copy(done(join_classic(""), KAFKA_MEMBER_ID_REQUIRED)->out.join.member_id, other, sizeof(other));
    struct ask *waits = join_classic(other); /* the group prepares its next generation */
    ck_assert(!waits->answered);
    struct ask *ask = done(enter_as(&w, "b", "t"), KAFKA_NONE);
    ck_assert_int_eq(assigned_count(ask), 0);
    done(commit_as(&w, id, 1, 7), KAFKA_NONE); /* all is still the first one's */
    ask = done(join_classic(id), KAFKA_NONE);  /* gave it up */
    ask = done(beat_as(&w, (struct beat){.id = "b", .epoch = 2}), KAFKA_NONE);
    ck_assert_int_gt(assigned_count(ask), 0);
}
END_TEST

/* The same, owning all of "t" when it joins. */
static const char OWNS_ALL[] = "\0\1\0\0\0\1\0\1t\0\0\0\0\0\0\0\1\0\1t\0\0\0\4"
                               "\0\0\0\0\0\0\0\1\0\0\0\2\0\0\0\3";
static const char HALF[] = "\0\1\0\0\0\1\0\1t\0\0\0\2\0\0\0\0\0\0\0\1\xff\xff\xff\xff";

/* A cooperative member reads on until it is told otherwise: an assignment that a rebalance overtook on its
 * way to the log was told to nobody. */
START_TEST(an_assignment_that_nobody_was_told_takes_nothing_from_its_members)
{
    char id[WORLD_NAME_MAX], other[WORLD_NAME_MAX];

    classic_group(id);
    done(join_bytes(&w, 5, id, OWNS_ALL, sizeof(OWNS_ALL) - 1), KAFKA_NONE);
    struct ask *sync = sync_bytes(&w, id, 2, HALF, sizeof(HALF) - 1);
    ck_assert(!sync->answered);
    struct ask *ask = join_classic("");
    str_copy(ask->out.join.member_id, other, sizeof(other));
    ck_assert(!join_classic(other)->answered);
    ck_assert_int_eq(sync->call.error, KAFKA_REBALANCE_IN_PROGRESS);
    if (_i == 0)
        world_commit_all(&w);
    else
        world_decide(&w, KAFKA_NOT_ENOUGH_REPLICAS);
    ask = done(enter_as(&w, "b", "t"), KAFKA_NONE);
    ck_assert_int_eq(assigned_count(ask), 0);
}
END_TEST

START_TEST(malformed_classic_members_bar_the_upgrade)
{
    struct ask *ask = join_as(&w, 3, "", NULL, "not what Kafka says");

    done(ask, KAFKA_NONE);
    done(enter_as(&w, "b", "t"), KAFKA_GROUP_ID_NOT_FOUND);
    ck_assert_int_eq(describe_group(&w)->out.describe.members_count, 1);
    ask = join_as(&w, 3, "", NULL, "x");
    ck_assert(!ask->answered || ask->call.error != KAFKA_UNKNOWN_SERVER_ERROR);
}
END_TEST

START_TEST(a_policy_may_forbid_the_upgrade)
{
    char id[WORLD_NAME_MAX];

    w.settings.consumer_upgrade = false;
    classic_group(id);
    done(enter_as(&w, "b", "t"), KAFKA_GROUP_ID_NOT_FOUND);
    done(heartbeat_as(&w, id, 1), KAFKA_NONE);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, the_first_member_gets_everything_once_it_is_written);
    tcase_add_test(tcase, a_partition_moves_only_after_it_was_given_up);
    tcase_add_test(tcase, who_does_not_revoke_in_time_is_out);
    tcase_add_test(tcase, a_silent_member_is_out_and_its_partitions_go_on);
    tcase_add_test(tcase, epochs_fence_heartbeats_and_commits);
    tcase_add_test(tcase, a_refused_write_changes_nothing);
    tcase_add_test(tcase, a_group_that_was_refused_is_none);
    tcase_add_test(tcase, malformed_first_heartbeats_are_refused);
    tcase_add_test(tcase, a_client_with_the_longest_name_gets_an_id);
    tcase_add_test(tcase, a_full_group_takes_nobody);
    tcase_add_test(tcase, topics_that_change_bump_the_epoch);
    tcase_add_test(tcase, patterns_subscribe_to_what_matches);
    tcase_add_test(tcase, a_static_member_comes_back_to_what_it_had);
    tcase_add_test(tcase, an_empty_group_can_be_deleted_and_a_live_one_not);
    tcase_add_test(tcase, a_classic_group_is_upgraded_by_its_first_new_member_and_back);
    tcase_add_test(tcase, an_empty_group_takes_either_protocol);
    tcase_add_test(tcase, who_would_have_a_group_change_its_protocol_hears_that_the_log_refused);
    tcase_add_test(tcase, an_id_that_was_handed_out_does_not_bar_the_other_protocol);
    tcase_add_test(tcase, members_that_are_about_to_join_again_keep_what_they_read_through_an_upgrade);
    tcase_add_loop_test(tcase, an_assignment_that_nobody_was_told_takes_nothing_from_its_members, 0, 2);
    tcase_add_test(tcase, malformed_classic_members_bar_the_upgrade);
    tcase_add_test(tcase, a_policy_may_forbid_the_upgrade);
}

SLUICE_TEST_MAIN("broker_consumer_group", add)
