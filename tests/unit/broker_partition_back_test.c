/* SPDX-License-Identifier: Apache-2.0 */
/* A replica whose log failed comes back by itself, and one that lost data does not lead as if nothing had
 * happened. */
#include "broker/log/disk_guard.h"
#include "broker/shard/partition_internal.h"
#include "broker/shard/partition_repair.h"
#include "tests/unit/broker_fixture.h"

struct fixture {
    struct mem_world *world;
    struct broker b;
    struct partition_config config;
    int leaves, reopened;
    struct rpc_alter_partition last; /* leave */
    int32_t leader, epoch;           /* as the controllers have it */
};

static struct fixture *the; /* hooks have the broker as their context */

static void on_leave(void *ctx, struct partition *p, const struct rpc_alter_partition *request)
{
    the->leaves++;
    the->last = *request;
    ck_assert(request->leave);
}

static void state(struct fixture *f, int32_t leader, int32_t epoch)
{
    f->leader = leader;
    f->epoch = epoch;
    broker_apply(&f->b, leader, epoch, epoch + 1, 2, leader == 1 ? 1 : 2, &f->config);
}

static void on_reopened(void *ctx, struct partition *p)
{
    the->reopened++;
    state(the, the->leader, the->epoch);
}

static void seconds(struct fixture *f, unsigned n)
{
    mem_world_run(f->world, mem_world_now_us(f->world) + n * 1000000ull);
}

static void hooks(struct fixture *f)
{
    f->b.host.leave = on_leave;
    f->b.host.reopened = on_reopened;
}

static void setup(struct fixture *f, bool sync_before_ack)
{
    memset(f, 0, sizeof(*f));
    the = f;
    f->world = mem_world_new(13);
    f->config = fixture_config();
    f->config.sync_before_ack = sync_before_ack;
    broker_start(&f->b, f->world, 1);
    hooks(f);
    broker_open(&f->b, &f->config);
    state(f, 1, 3);
}

static void teardown(struct fixture *f)
{
    broker_stop(&f->b);
    seconds(f, 1);
    mem_world_free(f->world);
}

START_TEST(after_a_failed_sync_the_log_is_opened_again_and_what_was_not_synced_written_again)
{
    struct fixture f;
    struct waiter w;
    setup(&f, true);
    produce(&f.b, 4, 1, &w);
    seconds(&f, 1);
    ck_assert_int_eq(w.error, KAFKA_NONE);
    mem_env_fail_sync_after(f.b.mem, 1);
    produce(&f.b, 5, 1, &w);
    mem_world_run(f.world, mem_world_now_us(f.world) + 100000);
    ck_assert_int_eq(w.error, KAFKA_KAFKA_STORAGE_ERROR);
    ck_assert_int_eq(f.leaves, 1); /* leadership is to move at once */
    ck_assert_int_eq(f.last.leader_epoch, 3);
    ck_assert(!f.last.lost_data);
    mem_env_repair(f.b.mem);
    seconds(&f, 3);
    ck_assert_int_eq(f.reopened, 0); /* nobody has answered: the old epoch must not go on with other data */
    ck_assert(view_of(&f.b).offline);
    partition_leave_done(f.b.p, KAFKA_UNKNOWN_SERVER_ERROR);
    seconds(&f, 3);
    ck_assert_int_eq(f.leaves, 2); /* said again */
    partition_leave_done(f.b.p, KAFKA_NONE);
    state(&f, 2, 4); /* the other one leads */
    seconds(&f, 3);
    ck_assert_int_eq(f.reopened, 1);
    ck_assert(view_of(&f.b).is_follower);
    ck_assert_int_eq(view_of(&f.b).log_end, 9); /* written again */
    state(&f, 1, 5);
    ck_assert(view_of(&f.b).is_leader);
    produce(&f.b, 2, 1, &w);
    seconds(&f, 1);
    ck_assert_int_eq(w.error, KAFKA_NONE);
    ck_assert_int_eq(view_of(&f.b).synced_end, 11);
    teardown(&f);
}
END_TEST

START_TEST(the_only_replica_leads_on_in_a_new_epoch)
{
    struct fixture f;
    struct waiter w;
    setup(&f, true);
    mem_env_fail_write_after(f.b.mem, 1);
    ck_assert_int_eq(produce(&f.b, 5, 1, &w).error, KAFKA_KAFKA_STORAGE_ERROR);
    mem_world_run(f.world, mem_world_now_us(f.world) + 1000);
    partition_leave_done(f.b.p, KAFKA_NONE);
    state(&f, 1, 4);
    seconds(&f, 10); /* the disk still fails: tried again, ever more rarely */
    mem_env_repair(f.b.mem);
    seconds(&f, 30);
    ck_assert_int_ge(f.reopened, 1);
    ck_assert(view_of(&f.b).is_leader);
    produce(&f.b, 2, 1, &w);
    seconds(&f, 1);
    ck_assert_int_eq(w.error, KAFKA_NONE);
    ck_assert_int_eq(view_of(&f.b).synced_end, 2);
    teardown(&f);
}
END_TEST

START_TEST(what_was_acknowledged_unsynced_and_is_gone_is_told_as_lost)
{
    struct fixture f;
    struct waiter w;
    uint64_t size;
    setup(&f, false);
    ck_assert_int_eq(produce(&f.b, 5, 1, &w).error, KAFKA_NONE); /* flush.messages is high: acknowledged */
    ck_assert_int_eq(view_of(&f.b).high_watermark, 5);
    mem_env_fail_write_after(f.b.mem, 1);
    ck_assert_int_eq(produce(&f.b, 1, 1, &w).error, KAFKA_KAFKA_STORAGE_ERROR);
    mem_world_run(f.world, mem_world_now_us(f.world) + 1000);
    mem_env_repair(f.b.mem);
    mem_env_bytes(f.b.mem, DATA_DIR "/orders-0/00000000000000000000.log", &size)[80] ^=
        1; /* not on the disk */
    partition_leave_done(f.b.p, KAFKA_NONE);
    state(&f, 1, 4);
    seconds(&f, 3);
    ck_assert_int_eq(f.reopened, 1);
    ck_assert_int_eq(view_of(&f.b).log_end, 0);
    ck_assert(!view_of(&f.b).is_leader); /* the controllers do not know of the loss yet */
    ck_assert_int_eq(f.leaves, 2);
    ck_assert(f.last.lost_data);
    ck_assert_int_eq(f.last.leader_epoch, 4);
    partition_leave_done(f.b.p, KAFKA_NONE);
    state(&f, 1, 5);
    ck_assert(view_of(&f.b).is_leader);
    teardown(&f);
}
END_TEST

START_TEST(after_a_restart_under_the_same_boot_a_failed_sync_is_not_forgotten)
{
    struct fixture f;
    struct waiter w;
    setup(&f, true);
    produce(&f.b, 4, 1, &w);
    seconds(&f, 1);
    mem_env_fail_sync_after(f.b.mem, 1);
    produce(&f.b, 5, 1, &w);
    mem_world_run(f.world, mem_world_now_us(f.world) + 100000);
    struct manifest_entry entry;
    ck_assert(manifest_get(f.b.manifest, fixture_topic_id, 0, &entry));
    ck_assert(entry.distrust);
    ck_assert_int_eq(entry.recovery_point, 4);
    mem_env_crash(f.b.mem, MEM_KEEP);
    broker_close(&f.b, false);
    mem_env_restart(f.b.mem);
    broker_open(&f.b, &f.config);
    ck_assert_int_eq(view_of(&f.b).synced_end, 4);
    seconds(&f, 1);
    ck_assert_int_eq(view_of(&f.b).synced_end, 9);
    ck_assert(manifest_get(f.b.manifest, fixture_topic_id, 0, &entry));
    ck_assert(!entry.distrust); /* it was written again */
    teardown(&f);
}
END_TEST

START_TEST(a_log_that_lost_synced_data_leads_only_when_the_controllers_know)
{
    struct fixture f;
    struct waiter w;
    uint64_t size;
    setup(&f, true);
    for (int i = 0; i < 3; i++)
        produce(&f.b, 4, 0, &w);
    seconds(&f, 1);
    broker_close(&f.b, true);
    uint8_t *bytes = mem_env_bytes(f.b.mem, DATA_DIR "/orders-0/00000000000000000000.log", &size);
    bytes[size - 1] ^= 1;
    broker_open(&f.b, &f.config);
    ck_assert(view_of(&f.b).missing_synced);
    ck_assert_int_eq(view_of(&f.b).log_end, 12);
    state(&f, 1, 3);
    ck_assert(!view_of(&f.b).is_leader && !view_of(&f.b).offline);
    ck_assert_int_eq(produce(&f.b, 1, 1, &w).error, KAFKA_NOT_LEADER_OR_FOLLOWER);
    ck_assert_int_eq(f.leaves, 1);
    ck_assert(f.last.lost_data);
    state(&f, 1, 3);
    ck_assert_int_eq(f.leaves, 1); /* one at a time */
    partition_leave_done(f.b.p, KAFKA_NONE);
    state(&f, 1, 4);
    ck_assert(view_of(&f.b).is_leader);
    teardown(&f);
}
END_TEST

/* An epoch that the controllers began before they heard of the loss counted on this replica. */
START_TEST(being_elected_meanwhile_does_not_end_the_doubt)
{
    struct fixture f;
    struct waiter w;
    uint64_t size;
    setup(&f, true);
    produce(&f.b, 4, 0, &w);
    seconds(&f, 1);
    broker_close(&f.b, true);
    uint8_t *bytes = mem_env_bytes(f.b.mem, DATA_DIR "/orders-0/00000000000000000000.log", &size);
    bytes[size - 1] ^= 1;
    f.b.host.again = on_reopened;
    broker_open(&f.b, &f.config);
    state(&f, 1, 3);
    ck_assert_int_eq(f.leaves, 1);
    state(&f, 1, 4); /* elected again before the word arrived */
    ck_assert(!view_of(&f.b).is_leader);
    partition_leave_done(f.b.p, KAFKA_FENCED_LEADER_EPOCH);
    seconds(&f, 2);
    ck_assert_int_eq(f.leaves, 2);
    ck_assert_int_eq(f.last.leader_epoch, 4);
    state(&f, 1, 5); /* the epoch that this word began is heard of before its answer */
    ck_assert(!view_of(&f.b).is_leader);
    partition_leave_done(f.b.p, KAFKA_NONE);
    ck_assert(view_of(&f.b).is_leader);
    teardown(&f);
}
END_TEST

START_TEST(while_nobody_is_complete_the_end_of_the_log_is_told_again_and_again)
{
    struct fixture f;
    struct waiter w;
    int32_t replicas[] = {1, 2};
    setup(&f, true);
    produce(&f.b, 4, 1, &w);
    seconds(&f, 1);
    struct image_partition nobody = {
        .leader = -1, .leader_epoch = 4, .partition_epoch = 5, .replicas = replicas, .replicas_count = 2};
    partition_apply(f.b.p, &nobody, &f.config);
    ck_assert_int_eq(f.leaves, 1);
    ck_assert(f.last.tells_end && !f.last.lost_data);
    ck_assert_int_eq(f.last.leader_epoch, 4);
    ck_assert_int_eq(f.last.end_epoch, 3);
    ck_assert_int_eq(f.last.end_offset, 4);
    partition_leave_done(f.b.p, KAFKA_NONE);
    seconds(&f, 2);
    ck_assert_int_eq(f.leaves, 2); /* the controllers may be others by now */
    partition_leave_done(f.b.p, KAFKA_NOT_CONTROLLER);
    seconds(&f, 2);
    ck_assert_int_eq(f.leaves, 3);
    partition_leave_done(f.b.p, KAFKA_NONE);
    state(&f, 1, 5);
    ck_assert(view_of(&f.b).is_leader);
    seconds(&f, 3);
    ck_assert_int_eq(f.leaves, 3);
    teardown(&f);
}
END_TEST

START_TEST(a_directory_that_is_set_aside_may_have_been_ours_and_is_told_as_lost)
{
    struct fixture f;
    struct waiter w;
    setup(&f, true);
    produce(&f.b, 4, 1, &w);
    seconds(&f, 1);
    struct manifest_entry entry = {.topic_id = fixture_topic_id}; /* as if it knew of no sync yet */
    manifest_put(f.b.manifest, &entry);
    broker_close(&f.b, false);
    ck_assert_int_eq(env_unlink(f.b.env, DATA_DIR "/orders-0/partition.metadata"), OK);
    broker_open(&f.b, &f.config);
    ck_assert_int_eq(view_of(&f.b).log_end, 0);
    ck_assert(view_of(&f.b).missing_synced);
    state(&f, 1, 3);
    ck_assert(!view_of(&f.b).is_leader);
    ck_assert(f.last.lost_data);
    broker_close(&f.b, false); /* killed before anybody heard of it */
    broker_open(&f.b, &f.config);
    ck_assert(view_of(&f.b).missing_synced);
    teardown(&f);
}
END_TEST

/* No descriptor, no permission, an error of the disk: the replica is there, offline, and says so; its files
 * stay as they are, and it comes back by itself once it can. */
START_TEST(a_log_that_cannot_be_opened_is_offline_and_tried_again)
{
    struct fixture f;
    struct waiter w;
    struct partition_fetch_state fetch;
    struct image_topic topic = fixture_topic();
    setup(&f, true);
    produce(&f.b, 5, 1, &w);
    seconds(&f, 1);
    partition_close(f.b.p, true);
    mem_env_limit_files(f.b.mem, mem_env_open_files(f.b.mem));
    ck_assert_int_eq(partition_open(&f.b.host, &topic, 0, &f.config, &f.b.p), OK);
    state(&f, 1, 4);
    seconds(&f, 1);
    ck_assert(view_of(&f.b).offline && !view_of(&f.b).is_leader);
    ck_assert_int_eq(f.b.failed, ERR_FD_LIMIT); /* the shard counts and names it */
    ck_assert_int_ge(f.leaves, 1);              /* and the controllers know */
    ck_assert_int_eq(produce(&f.b, 1, 1, &w).error, KAFKA_KAFKA_STORAGE_ERROR);
    ck_assert(!partition_fetch_state(f.b.p, &fetch));
    partition_leave_done(f.b.p, KAFKA_NONE);
    state(&f, 1, 5); /* nobody else may lead */
    partition_leave_done(f.b.p, KAFKA_NONE);
    int leaves = f.leaves;
    seconds(&f, 120);
    ck_assert_int_gt(f.leaves, leaves); /* somebody else may by now */
    partition_leave_done(f.b.p, KAFKA_NONE);
    state(&f, 2, 6);
    seconds(&f, 120);
    ck_assert_int_eq(f.reopened, 0);
    mem_env_limit_files(f.b.mem, 0);
    seconds(&f, 60);
    ck_assert_int_eq(f.reopened, 1);
    ck_assert(view_of(&f.b).is_follower && !view_of(&f.b).offline);
    ck_assert_int_eq(view_of(&f.b).log_end, 5);
    teardown(&f);
}
END_TEST

START_TEST(a_follower_that_came_back_with_a_hole_is_durable_below_it_until_it_is_mended)
{
    struct fixture f;
    struct waiter w;
    uint64_t size;
    struct partition_fetch_state fetch;
    setup(&f, true);
    for (int i = 0; i < 3; i++)
        produce(&f.b, 4, 0, &w);
    seconds(&f, 1);
    broker_close(&f.b, true);
    uint8_t *bytes = mem_env_bytes(f.b.mem, DATA_DIR "/orders-0/00000000000000000000.log", &size), good[512];
    size_t batch = batch_size(bytes);
    ck_assert_uint_le(batch, sizeof(good));
    memcpy(good, bytes + batch, batch);
    bytes[batch + 70] ^= 1; /* below the recovery point: seen when it is read */
    struct manifest_entry entry = {.topic_id = fixture_topic_id, .recovery_point = 0};
    manifest_put(f.b.manifest, &entry);
    broker_open(&f.b, &f.config);
    ck_assert_int_eq(partition_damages(f.b.p), 1);
    state(&f, 2, 4);
    seconds(&f, 1);
    ck_assert(partition_fetch_state(f.b.p, &fetch));
    ck_assert_int_eq(fetch.fetch_offset, 12);
    ck_assert_int_eq(fetch.durable_offset, 4);
    struct partition_repair_reply reply = {.offset = 4,
                                           .leader_epoch = 4,
                                           .from_leader = true,
                                           .high_watermark = 12,
                                           .records = good,
                                           .len = (int32_t)batch};
    int64_t end;
    ck_assert_int_eq(partition_repair_take(f.b.p, &reply, &end), OK);
    ck_assert(partition_fetch_state(f.b.p, &fetch));
    ck_assert_int_eq(fetch.durable_offset, 4); /* not before what was mended is synced */
    seconds(&f, 1);
    ck_assert(partition_fetch_state(f.b.p, &fetch));
    ck_assert_int_eq(fetch.durable_offset, 12);
    teardown(&f);
}
END_TEST

START_TEST(an_answer_to_the_former_log_is_not_taken_for_one_to_the_new)
{
    struct fixture f;
    struct waiter w;
    setup(&f, true);
    broker_apply(&f.b, 1, 4, 5, 2, 2, &f.config);
    produce(&f.b, 1, 1, &w);
    seconds(&f, 11);
    ck_assert_int_eq(f.b.alters, 1); /* the other replica is silent: a smaller ISR is proposed */
    mem_env_fail_sync_after(f.b.mem, 1);
    produce(&f.b, 1, 1, &w);
    seconds(&f, 1);
    mem_env_repair(f.b.mem);
    partition_leave_done(f.b.p, KAFKA_NONE);
    state(&f, 2, 5);
    seconds(&f, 3);
    ck_assert_int_eq(f.reopened, 1);
    broker_apply(&f.b, 1, 6, 7, 2, 2, &f.config);
    produce(&f.b, 1, 1, &w);
    seconds(&f, 11);
    ck_assert_int_eq(f.b.alters, 1); /* one at a time, whatever became of the log between */
    partition_alter_done(f.b.p, KAFKA_INELIGIBLE_REPLICA);
    seconds(&f, 2);
    ck_assert_int_eq(f.b.alters, 2);
    ck_assert_int_eq(f.b.alter_partition_epoch, 7);
    partition_alter_done(f.b.p, KAFKA_NONE);
    teardown(&f);
}
END_TEST

START_TEST(a_full_disk_refuses_new_records_only_and_for_as_long_as_it_is_full)
{
    struct fixture f;
    struct waiter w;
    struct disk_guard guard;
    setup(&f, true);
    disk_guard_init(&guard, DATA_DIR, 5000);
    f.b.host.guard = &guard;
    ck_assert_int_eq(produce(&f.b, 2, 1, &w).error, KAFKA_NONE);
    seconds(&f, 1);
    mem_env_set_free(f.b.mem, 4000);
    struct partition_appended refused = produce(&f.b, 2, 1, &w);
    ck_assert_int_eq(refused.error, KAFKA_KAFKA_STORAGE_ERROR);
    ck_assert_ptr_nonnull(strstr(refused.message, "full"));
    ck_assert(view_of(&f.b).is_leader && !view_of(&f.b).offline);
    struct partition_read request = {.max_bytes = 1000,
                                     .at_least_one = true,
                                     .replica_id = -1,
                                     .current_leader_epoch = -1,
                                     .last_fetched_epoch = -1};
    struct partition_read_result result;
    partition_read(f.b.p, &request, &result);
    ck_assert_int_eq(result.error, KAFKA_NONE);
    ck_assert_int_gt(result.bytes, 0);
    partition_read_release(&result);
    int64_t low;
    ck_assert_int_eq(partition_delete_records(f.b.p, 1, &low), KAFKA_NONE);
    mem_env_set_free(f.b.mem, 1ull << 40);
    seconds(&f, 1);
    ck_assert_int_eq(produce(&f.b, 2, 1, &w).error, KAFKA_NONE);
    seconds(&f, 1);
    ck_assert_int_eq(view_of(&f.b).synced_end, 4);
    teardown(&f);
}
END_TEST

/* -- counted on for what the former log held -- */

/* Replica 2 leads in epoch 4. */
static void follow(struct fixture *f, int32_t partition_epoch, int32_t isr_count)
{
    static const int32_t replicas[] = {1, 2}, isr[] = {2, 1};
    struct image_partition state = {.leader = 2,
                                    .leader_epoch = 4,
                                    .partition_epoch = partition_epoch,
                                    .replicas = replicas,
                                    .replicas_count = 2,
                                    .isr = isr,
                                    .isr_count = isr_count};
    partition_apply(f->b.p, &state, &f->config);
}

static void follow_again(void *ctx, struct partition *p)
{
    the->reopened++;
    follow(the, 5, 1);
}

/* Of a topic that is not synced before it is acknowledged: five records were acknowledged, and told to the
 * leader as held; then the log failed, and is back without them. */
static void come_back_shorter(struct fixture *f)
{
    struct waiter w;
    uint64_t size;
    setup(f, false);
    f->b.host.reopened = follow_again;
    ck_assert_int_eq(produce(&f->b, 5, 1, &w).error, KAFKA_NONE);
    follow(f, 5, 1); /* not in sync; replica 2 is about to propose it */
    partition_fail(f->b.p, ERR_IO);
    mem_env_bytes(f->b.mem, DATA_DIR "/orders-0/00000000000000000000.log", &size)[80] ^= 1;
    seconds(f, 3);
    ck_assert_int_eq(f->reopened, 1);
    ck_assert_int_eq(view_of(&f->b).log_end, 0);
    ck_assert_int_eq(f->leaves, 0);
}

/* The proposal may have waited for a controller all that time. */
START_TEST(let_in_for_what_the_former_log_held_it_leaves_and_does_not_lead)
{
    struct fixture f;
    come_back_shorter(&f);
    follow(&f, 6, 2);
    ck_assert_int_eq(f.leaves, 1);
    ck_assert(f.last.lost_data);
    ck_assert_int_eq(f.last.leader_epoch, 4);
    state(&f, 1, 6); /* replica 2 died at once */
    ck_assert(!view_of(&f.b).is_leader);
    partition_leave_done(f.b.p, KAFKA_FENCED_LEADER_EPOCH);
    seconds(&f, 2);
    ck_assert_int_eq(f.leaves, 2);
    ck_assert(f.last.lost_data);
    ck_assert_int_eq(f.last.leader_epoch, 6);
    teardown(&f);
}
END_TEST

START_TEST(once_it_holds_all_that_again_it_may_be_let_in)
{
    struct fixture f;
    come_back_shorter(&f);
    struct iobuf *batch = make_batch(5, 50, 1700000000000, -1, -1, -1);
    batch_set_base_offset(batch->data, 0);
    batch_set_leader_epoch(batch->data, 3);
    ck_assert_int_eq(partition_follower_append(f.b.p, 4, batch->data, (int32_t)batch->len, batch, 5, 0), OK);
    iobuf_unref(batch);
    follow(&f, 6, 2);
    ck_assert_int_eq(f.leaves, 0);
    state(&f, 1, 6);
    ck_assert(view_of(&f.b).is_leader);
    teardown(&f);
}
END_TEST

START_TEST(a_last_known_leader_that_lacks_synced_data_says_so_before_it_tells_its_end)
{
    struct fixture f;
    struct waiter w;
    static const int32_t replicas[] = {1, 2};
    setup(&f, false);
    produce(&f.b, 4, 1, &w);
    seconds(&f, 1);
    struct manifest_entry entry = {.topic_id = fixture_topic_id, .recovery_point = 9};
    manifest_put(f.b.manifest, &entry);
    broker_close(&f.b, false);
    broker_open(&f.b, &f.config);
    ck_assert(view_of(&f.b).missing_synced);
    struct image_partition nobody = {.leader = -1,
                                     .leader_epoch = 4,
                                     .partition_epoch = 4,
                                     .replicas = replicas,
                                     .replicas_count = 2,
                                     .last_known_elr = replicas,
                                     .last_known_elr_count = 1};
    partition_apply(f.b.p, &nobody, &f.config);
    ck_assert_int_eq(f.leaves, 1);
    ck_assert(f.last.lost_data && !f.last.tells_end);
    nobody.partition_epoch = 5;
    nobody.last_known_elr_count = 0;
    partition_apply(f.b.p, &nobody, &f.config);
    partition_leave_done(f.b.p, KAFKA_NONE);
    seconds(&f, 2);
    ck_assert_int_eq(f.leaves, 2);
    ck_assert(f.last.tells_end);
    ck_assert_int_eq(f.last.end_offset, 4);
    state(&f, 1, 5); /* it is the longest all the same */
    ck_assert(view_of(&f.b).is_leader);
    teardown(&f);
}
END_TEST

START_TEST(a_loss_is_said_after_the_word_that_was_under_way)
{
    struct fixture f;
    struct waiter w;
    uint64_t size;
    setup(&f, false);
    ck_assert_int_eq(produce(&f.b, 5, 1, &w).error, KAFKA_NONE);
    broker_apply(&f.b, 2, 4, 5, 2, 2, &f.config);
    f.leader = 2;
    f.epoch = 4;
    partition_fail(f.b.p, ERR_IO);
    mem_env_bytes(f.b.mem, DATA_DIR "/orders-0/00000000000000000000.log", &size)[80] ^= 1;
    seconds(&f, 3);
    ck_assert_int_eq(f.reopened, 1);
    ck_assert_int_eq(f.leaves, 1); /* that it failed; the answer is under way */
    ck_assert(!f.last.lost_data);
    partition_leave_done(f.b.p, KAFKA_NONE);
    seconds(&f, 2);
    ck_assert_int_eq(f.leaves, 2);
    ck_assert(f.last.lost_data);
    teardown(&f);
}
END_TEST

START_TEST(no_end_is_clean_whose_last_write_failed)
{
    struct fixture f;
    struct waiter w;
    setup(&f, false);
    struct iobuf *batch = make_batch(1, 50, 1700000000000, -1, -1, -1);
    append_batch(&f.b, batch, 1, &w);
    iobuf_unref(batch);
    mem_env_fail_write_after(f.b.mem, 1);
    ck_assert(!partition_close(f.b.p, true));
    f.b.p = NULL;
    mem_env_repair(f.b.mem);
    manifest_close(f.b.manifest, false);
    teardown(&f);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, a_log_that_cannot_be_opened_is_offline_and_tried_again);
    tcase_add_test(tcase, an_answer_to_the_former_log_is_not_taken_for_one_to_the_new);
    tcase_add_test(tcase, a_full_disk_refuses_new_records_only_and_for_as_long_as_it_is_full);
    tcase_add_test(tcase, after_a_failed_sync_the_log_is_opened_again_and_what_was_not_synced_written_again);
    tcase_add_test(tcase, the_only_replica_leads_on_in_a_new_epoch);
    tcase_add_test(tcase, what_was_acknowledged_unsynced_and_is_gone_is_told_as_lost);
    tcase_add_test(tcase, after_a_restart_under_the_same_boot_a_failed_sync_is_not_forgotten);
    tcase_add_test(tcase, a_log_that_lost_synced_data_leads_only_when_the_controllers_know);
    tcase_add_test(tcase, a_follower_that_came_back_with_a_hole_is_durable_below_it_until_it_is_mended);
    tcase_add_test(tcase, being_elected_meanwhile_does_not_end_the_doubt);
    tcase_add_test(tcase, while_nobody_is_complete_the_end_of_the_log_is_told_again_and_again);
    tcase_add_test(tcase, let_in_for_what_the_former_log_held_it_leaves_and_does_not_lead);
    tcase_add_test(tcase, once_it_holds_all_that_again_it_may_be_let_in);
    tcase_add_test(tcase, a_last_known_leader_that_lacks_synced_data_says_so_before_it_tells_its_end);
    tcase_add_test(tcase, a_loss_is_said_after_the_word_that_was_under_way);
    tcase_add_test(tcase, no_end_is_clean_whose_last_write_failed);
    tcase_add_test(tcase, a_directory_that_is_set_aside_may_have_been_ours_and_is_told_as_lost);
}

SLUICE_TEST_MAIN("broker_partition_back", add)
