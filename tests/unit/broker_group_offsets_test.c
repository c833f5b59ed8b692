/* SPDX-License-Identifier: Apache-2.0 */
/* Committed offsets: who may commit in a transaction and when that counts, what OffsetDelete takes, what is
 * refused one partition at a time, and what becomes of offsets whose topic is deleted. */
#include "tests/unit/broker_consumer_group_asks.h"

#define PRODUCER 77

static struct world w;

static void setup(void)
{
    world_init(&w);
}

static void teardown(void)
{
    world_end(&w);
}

/* Kafka's consumer protocol, version 0: subscribes to one topic of one letter. */
static const char READS_T[] = "\0\0\0\0\0\1\0\1t\xff\xff\xff\xff",
                  READS_U[] = "\0\0\0\0\0\1\0\1u\xff\xff\xff\xff";

/* A group with one member that has synced, its id in id. */
static void member_of(char *id, const char *subscription, size_t len)
{
    struct ask *ask = join_bytes(&w, 3, "", subscription, len);

    ck_assert(ask->answered && ask->call.error == KAFKA_NONE);
    str_copy(ask->out.join.member_id, id, WORLD_NAME_MAX);
    sync_as(&w, id, 1, NULL);
    world_commit_all(&w);
}

static struct ask *txn_commit_as(const char *member_id, int32_t generation, int64_t offset)
{
    struct ask *ask = ask_new(&w, GROUP_CALL_TXN_COMMIT, 5);
    struct kafka_txn_offset_commit_request *in = &ask->in.txn_commit;

    ask_name(ask, member_id);
    kafka_txn_offset_commit_request_init(in);
    in->group_id = ask->call.group_id;
    in->producer_id = PRODUCER;
    in->member_id = str_from(ask->member_id);
    in->generation_id = generation;
    in->topics = &ask->part.txn_commit;
    in->topics_count = 1;
    ask->part.txn_commit.name = STR_LIT("t");
    ask->part.txn_commit.partitions = &ask->txn_offset;
    ask->part.txn_commit.partitions_count = 1;
    ask->txn_offset.committed_offset = offset;
    ask->txn_offset.committed_leader_epoch = -1;
    ask->txn_offset.committed_metadata = STR_LIT("");
    ask->out.txn_commit.topics = &ask->txn_topic_out;
    ask->out.txn_commit.topics_count = 1;
    ask->txn_topic_out.partitions = &ask->txn_offset_out;
    ask->txn_topic_out.partitions_count = 1;
    return ask_send(&w, ask);
}

static struct ask *offset_delete(const char *topic)
{
    struct ask *ask = ask_new(&w, GROUP_CALL_OFFSET_DELETE, 0);

    ask->in.offset_delete.group_id = ask->call.group_id;
    ask->out.offset_delete.topics = &ask->delete_topic_out;
    ask->out.offset_delete.topics_count = 1;
    ask->delete_topic_out.name = str_from(topic);
    ask->delete_topic_out.partitions = &ask->delete_out;
    ask->delete_topic_out.partitions_count = 1;
    return ask_send(&w, ask);
}

static int16_t decided(struct ask *ask)
{
    world_commit_all(&w);
    ck_assert(ask->answered);
    return ask->call.error;
}

/* What a reader is told that asks for offsets no transaction may change (KIP-447). */
static int16_t stable_error(void)
{
    struct ask *ask = ask_new(&w, GROUP_CALL_FETCH, 8);
    struct kafka_offset_fetch_request_group_topic topic;
    int32_t partition = 0;

    kafka_offset_fetch_request_group_init(&ask->in.fetch);
    ask->call.stable = true;
    ask->in.fetch.group_id = ask->call.group_id;
    ask->in.fetch.topics = &topic;
    ask->in.fetch.topics_count = 1;
    topic = (struct kafka_offset_fetch_request_group_topic){
        .name = STR_LIT("t"), .partition_indexes = &partition, .partition_indexes_count = 1};
    ask_send(&w, ask);
    ck_assert(ask->answered && ask->call.error == KAFKA_NONE);
    return ask->out.fetch.topics[0].partitions[0].error_code;
}

/* -- transactions -- */

START_TEST(an_offset_of_a_transaction_counts_with_its_marker)
{
    ck_assert_int_eq(decided(txn_commit_as("", -1, 5)), KAFKA_NONE);
    ck_assert_int_eq(offset_of(&w), -1);
    ck_assert_int_eq(stable_error(), KAFKA_UNSTABLE_OFFSET_COMMIT);
    world_mark(&w, PRODUCER + 1, true); /* another's */
    ck_assert_int_eq(offset_of(&w), -1);
    world_mark(&w, PRODUCER, _i == 0);
    ck_assert_int_eq(offset_of(&w), _i == 0 ? 5 : -1);
    ck_assert_int_eq(stable_error(), KAFKA_NONE);
}
END_TEST

START_TEST(a_new_coordinator_knows_what_is_pending)
{
    decided(txn_commit_as("", -1, 5));
    struct groups *next = world_load(&w), *old = w.g;
    w.g = next;
    ck_assert_int_eq(offset_of(&w), -1);
    ck_assert_int_eq(stable_error(), KAFKA_UNSTABLE_OFFSET_COMMIT);
    groups_marked(next, PRODUCER, true);
    ck_assert_int_eq(offset_of(&w), 5);
    groups_end(next);
    groups_free(next);
    w.g = old;
}
END_TEST

START_TEST(of_two_commits_the_last_in_the_log_counts)
{
    decided(txn_commit_as("", -1, 5));
    decided(commit_as(&w, "", -1, 9));
    world_mark(&w, PRODUCER, true); /* its offset stands before the other */
    ck_assert_int_eq(offset_of(&w), 9);
}
END_TEST

/* What waits is run later: the marker of its transaction may stand in the log by then, and nothing would ever
 * end the one that it would begin. */
START_TEST(a_commit_in_a_transaction_does_not_wait_for_a_round)
{
    struct ask *enter = enter_as(&w, "a", "t");

    ck_assert(!enter->answered && w.pending_count == 1);
    struct ask *ask = txn_commit_as("", -1, 5);
    ck_assert(ask->answered);
    ck_assert_int_eq(ask->call.error, KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
    world_mark(&w, PRODUCER, false);
    ck_assert_int_eq(decided(enter), KAFKA_NONE);
    ck_assert_int_eq(stable_error(), KAFKA_NONE);
}
END_TEST

START_TEST(a_refused_transactional_commit_leaves_nothing)
{
    struct ask *ask = txn_commit_as("", -1, 5);

    world_decide(&w, KAFKA_NOT_ENOUGH_REPLICAS);
    ck_assert_int_eq(ask->call.error, KAFKA_COORDINATOR_NOT_AVAILABLE);
    ck_assert_int_eq(stable_error(), KAFKA_NONE);
    world_mark(&w, PRODUCER, true);
    ck_assert_int_eq(offset_of(&w), -1);
}
END_TEST

START_TEST(fenced_members_commit_nothing_in_transactions)
{
    char id[WORLD_NAME_MAX];

    ck_assert_int_eq(decided(txn_commit_as("x", 1, 5)), KAFKA_ILLEGAL_GENERATION);
    member_of(id, READS_T, sizeof(READS_T) - 1);
    ck_assert_int_eq(decided(txn_commit_as("x", 1, 5)), KAFKA_UNKNOWN_MEMBER_ID);
    ck_assert_int_eq(decided(txn_commit_as(id, 0, 5)), KAFKA_ILLEGAL_GENERATION);
    ck_assert_int_eq(decided(txn_commit_as(id, 2, 5)), KAFKA_ILLEGAL_GENERATION);
    world_mark(&w, PRODUCER, true);
    ck_assert_int_eq(offset_of(&w), -1);
    ck_assert_int_eq(decided(txn_commit_as(id, 1, 5)), KAFKA_NONE);
    world_mark(&w, PRODUCER, true);
    ck_assert_int_eq(offset_of(&w), 5);
}
END_TEST

/* Clients know no REBALANCE_IN_PROGRESS here: a member whose generation has no assignment yet may commit. */
START_TEST(a_rebalance_does_not_refuse_transactional_commits)
{
    char id[WORLD_NAME_MAX];
    struct ask *ask = join_bytes(&w, 3, "", READS_T, sizeof(READS_T) - 1);

    str_copy(ask->out.join.member_id, id, WORLD_NAME_MAX);
    ck_assert(str_eq_z(describe_group(&w)->out.describe.group_state, "CompletingRebalance"));
    ck_assert_int_eq(decided(commit_as(&w, id, 1, 5)), KAFKA_REBALANCE_IN_PROGRESS);
    ck_assert_int_eq(decided(txn_commit_as(id, 1, 5)), KAFKA_NONE);
    world_mark(&w, PRODUCER, true);
    ck_assert_int_eq(offset_of(&w), 5);
}
END_TEST

/* -- OffsetDelete -- */

START_TEST(offsets_are_deleted_unless_somebody_reads_the_topic)
{
    char id[WORLD_NAME_MAX];
    struct ask *ask;

    ck_assert_int_eq(decided(offset_delete("t")), KAFKA_GROUP_ID_NOT_FOUND);
    member_of(id, _i == 0 ? READS_T : READS_U, sizeof(READS_T) - 1);
    ck_assert_int_eq(decided(commit_as(&w, id, 1, 5)), KAFKA_NONE);
    ask = offset_delete("t");
    ck_assert_int_eq(decided(ask), KAFKA_NONE);
    ck_assert_int_eq(ask->delete_out.error_code, _i == 0 ? KAFKA_GROUP_SUBSCRIBED_TO_TOPIC : KAFKA_NONE);
    ck_assert_int_eq(offset_of(&w), _i == 0 ? 5 : -1);
    leave_as(&w, id);
    ask = offset_delete("t");
    ck_assert_int_eq(decided(ask), KAFKA_NONE);
    ck_assert_int_eq(ask->delete_out.error_code, KAFKA_NONE);
    ck_assert_int_eq(offset_of(&w), -1);
}
END_TEST

START_TEST(subscriptions_that_cannot_be_read_keep_their_offsets)
{
    char id[WORLD_NAME_MAX];

    member_of(id, "\0\0\x7f\xff\xff\xff\0", 7); /* a name list that is not there */
    decided(commit_as(&w, id, 1, 5));
    struct ask *ask = offset_delete("t");
    ck_assert_int_eq(decided(ask), KAFKA_NONE);
    ck_assert_int_eq(ask->delete_out.error_code, KAFKA_GROUP_SUBSCRIBED_TO_TOPIC);
    ck_assert_int_eq(offset_of(&w), 5);
}
END_TEST

/* -- what is refused, and expiry -- */

START_TEST(metadata_that_is_too_long_is_refused_for_its_partition)
{
    decided(commit_as(&w, "", -1, 4));
    struct ask *ask = ask_new(&w, GROUP_CALL_COMMIT, 7);
    struct kafka_offset_commit_request *in = &ask->in.commit;
    kafka_offset_commit_request_init(in);
    in->group_id = ask->call.group_id;
    in->member_id = STR_LIT("");
    in->topics = &ask->part.commit;
    in->topics_count = 1;
    ask->part.commit = (struct kafka_offset_commit_request_topic){
        .name = STR_LIT("t"), .partitions = &ask->offset, .partitions_count = 1};
    ask->offset.committed_offset = 5;
    ask->offset.committed_metadata = STR_LIT("longer than sixteen bytes");
    ask->out.commit.topics = &ask->topic_out;
    ask->topic_out.partitions = &ask->offset_out;
    ask->out.commit.topics_count = ask->topic_out.partitions_count = 1;
    ask_send(&w, ask);
    ck_assert_int_eq(decided(ask), KAFKA_NONE);
    ck_assert_int_eq(ask->offset_out.error_code, KAFKA_OFFSET_METADATA_TOO_LARGE);
    ck_assert_int_eq(offset_of(&w), 4);
}
END_TEST

#define LONG_ID    32000
#define LONG_COUNT 2000 /* each repeats the id in its key */
#define LONG_BYTES (32 << 20)

START_TEST(a_commit_does_not_grow_with_what_its_request_repeats)
{
    static char id[LONG_ID];
    static struct kafka_offset_commit_request_partition in[LONG_COUNT];
    static struct kafka_offset_commit_response_partition out[LONG_COUNT];
    struct ask *ask = ask_new(&w, GROUP_CALL_COMMIT, 7);

    memset(id, 'g', sizeof(id));
    for (int i = 0; i < LONG_COUNT; i++)
        in[i].committed_metadata = STR_LIT("");
    kafka_offset_commit_request_init(&ask->in.commit);
    ask->call.group_id = ask->in.commit.group_id = (struct str){id, LONG_ID};
    ask->in.commit.member_id = STR_LIT("");
    ask->in.commit.topics = &ask->part.commit;
    ask->out.commit.topics = &ask->topic_out;
    ask->part.commit = (struct kafka_offset_commit_request_topic){
        .name = STR_LIT("t"), .partitions = in, .partitions_count = LONG_COUNT};
    ask->topic_out.partitions = out;
    ask->topic_out.partitions_count = LONG_COUNT;
    ask->in.commit.topics_count = ask->out.commit.topics_count = 1;
    ask_send(&w, ask);
    ck_assert_int_eq(w.pending_count, 1);
    ck_assert_int_lt(w.pending[0].len, LONG_BYTES);
    ck_assert_int_eq(out[0].error_code, KAFKA_NONE);
    ck_assert_int_eq(out[LONG_COUNT - 1].error_code, KAFKA_INVALID_COMMIT_OFFSET_SIZE);
    world_decide(&w, KAFKA_MESSAGE_TOO_LARGE);
    ck_assert_int_eq(ask->call.error, KAFKA_INVALID_COMMIT_OFFSET_SIZE);
}
END_TEST

START_TEST(a_commit_too_large_for_the_log_is_refused_as_kafka_does)
{
    struct ask *ask = commit_as(&w, "", -1, 4);

    world_decide(&w, KAFKA_MESSAGE_TOO_LARGE);
    ck_assert_int_eq(ask->call.error, KAFKA_INVALID_COMMIT_OFFSET_SIZE);
    ck_assert_int_eq(offset_of(&w), -1);
}
END_TEST

/* Its tombstone would stand behind the commit, and be the last word. */
START_TEST(an_offset_does_not_expire_while_a_transaction_is_about_to_change_it)
{
    decided(commit_as(&w, "", -1, 4));
    world_pass(&w, 3500000);
    decided(txn_commit_as("", -1, 9));
    world_pass(&w, 800000); /* retention is looked at */
    world_commit_all(&w);
    world_mark(&w, PRODUCER, _i == 0);
    ck_assert_int_eq(offset_of(&w), _i == 0 ? 9 : 4);
    world_pass(&w, 4300000); /* then as any other */
    world_commit_all(&w);
    ck_assert_int_eq(offset_of(&w), -1);
}
END_TEST

/* The group lives on: what nobody in it reads expires, what somebody reads does not. */
START_TEST(only_offsets_that_nobody_reads_expire_in_a_stable_group)
{
    char id[WORLD_NAME_MAX];

    member_of(id, _i == 0 ? READS_T : READS_U, sizeof(READS_T) - 1);
    decided(commit_as(&w, id, 1, 5));
    for (int i = 0; i < 900; i++) {
        world_pass(&w, 5000);
        arena_free(&heartbeat_as(&w, id, 1)->arena);
        free(w.asks[--w.asks_count]);
        w.answered--;
    }
    world_commit_all(&w);
    ck_assert_int_eq(offset_of(&w), _i == 0 ? 5 : -1);
}
END_TEST

/* -- topics that are deleted -- */

START_TEST(a_topic_of_the_same_name_begins_anew)
{
    decided(commit_as(&w, "", -1, 5));
    groups_topic_gone(w.g, STR_LIT("u"));
    world_settle(&w);
    world_commit_all(&w);
    ck_assert_int_eq(offset_of(&w), 5);
    groups_topic_gone(w.g, STR_LIT("t"));
    world_settle(&w);
    ck_assert_int_eq(offset_of(&w), 5); /* until it is written */
    world_commit_all(&w);
    ck_assert_int_eq(offset_of(&w), -1);
    ck_assert_uint_eq(groups_count(w.g), 0);
}
END_TEST

START_TEST(what_was_pending_of_a_deleted_topic_never_counts)
{
    decided(txn_commit_as("", -1, 5));
    groups_topic_gone(w.g, STR_LIT("t"));
    world_settle(&w);
    world_commit_all(&w);
    ck_assert_int_eq(stable_error(), KAFKA_NONE);
    world_mark(&w, PRODUCER, true);
    ck_assert_int_eq(offset_of(&w), -1);
}
END_TEST

START_TEST(a_topic_deleted_while_nobody_looked_is_forgotten_later)
{
    decided(commit_as(&w, "", -1, 5));
    world_set_topic(&w.metadata, 0, "t", 0);
    world_pass(&w, 599000);
    world_commit_all(&w);
    ck_assert_int_eq(offset_of(&w), 5);
    world_pass(&w, 700000);
    world_commit_all(&w);
    ck_assert_int_eq(offset_of(&w), -1);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, an_offset_of_a_transaction_counts_with_its_marker, 0, 2);
    tcase_add_test(tcase, a_new_coordinator_knows_what_is_pending);
    tcase_add_test(tcase, of_two_commits_the_last_in_the_log_counts);
    tcase_add_test(tcase, a_commit_in_a_transaction_does_not_wait_for_a_round);
    tcase_add_test(tcase, a_refused_transactional_commit_leaves_nothing);
    tcase_add_test(tcase, fenced_members_commit_nothing_in_transactions);
    tcase_add_test(tcase, a_rebalance_does_not_refuse_transactional_commits);
    tcase_add_loop_test(tcase, offsets_are_deleted_unless_somebody_reads_the_topic, 0, 2);
    tcase_add_test(tcase, subscriptions_that_cannot_be_read_keep_their_offsets);
    tcase_add_test(tcase, metadata_that_is_too_long_is_refused_for_its_partition);
    tcase_add_test(tcase, a_commit_does_not_grow_with_what_its_request_repeats);
    tcase_add_test(tcase, a_commit_too_large_for_the_log_is_refused_as_kafka_does);
    tcase_add_loop_test(tcase, an_offset_does_not_expire_while_a_transaction_is_about_to_change_it, 0, 2);
    tcase_add_loop_test(tcase, only_offsets_that_nobody_reads_expire_in_a_stable_group, 0, 2);
    tcase_add_test(tcase, a_topic_of_the_same_name_begins_anew);
    tcase_add_test(tcase, what_was_pending_of_a_deleted_topic_never_counts);
    tcase_add_test(tcase, a_topic_deleted_while_nobody_looked_is_forgotten_later);
}

SLUICE_TEST_MAIN("broker_group_offsets", add)
