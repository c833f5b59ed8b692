/* SPDX-License-Identifier: Apache-2.0 */
/* A data directory that has lost its manifest, or a partition's directory, or was written by a later version:
 * what can be found again is, and what cannot is told. */
#include "broker/log/data_dir.h"
#include "common/base/crc32c.h"
#include "tests/unit/broker_fixture.h"

#define MANIFEST    DATA_DIR "/" MANIFEST_NAME
#define ORDERS      DATA_DIR "/orders-0"
#define HEADER_SIZE 64 /* of a framed file: version at 4, checksum of what precedes it at 60 */

struct fixture {
    struct mem_world *world;
    struct broker b;
    struct partition_config config;
    int leaves;
    bool lost_data;
};

static struct fixture f;

static void on_leave(void *ctx, struct partition *p, const struct rpc_alter_partition *request)
{
    f.leaves++;
    f.lost_data = request->lost_data;
}

static void seconds(unsigned n)
{
    mem_world_run(f.world, mem_world_now_us(f.world) + n * 1000000ull);
}

/* Forty records, synced and acknowledged; the process is killed, or stops cleanly. */
static void begin(bool clean)
{
    struct waiter w;
    memset(&f, 0, sizeof(f));
    f.world = mem_world_new(17);
    f.config = fixture_config();
    broker_start(&f.b, f.world, 1);
    f.b.host.leave = on_leave;
    broker_open(&f.b, &f.config);
    broker_apply(&f.b, 1, 3, 4, 2, 1, &f.config);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(produce(&f.b, 4, 0, &w).error, KAFKA_NONE);
    seconds(1);
    ck_assert_int_eq(view_of(&f.b).synced_end, 40);
    broker_close(&f.b, clean);
    seconds(1);
}

static void end(void)
{
    broker_stop(&f.b);
    seconds(1);
    mem_world_free(f.world);
}

static int64_t readable(void)
{
    struct partition_read_result result;
    struct partition_read request = {.max_bytes = 1 << 20,
                                     .at_least_one = true,
                                     .replica_id = -1,
                                     .current_leader_epoch = -1,
                                     .last_fetched_epoch = -1};
    partition_read(f.b.p, &request, &result);
    int64_t next = 0;
    ck_assert_int_le(result.pieces_count, 1);
    for (int32_t at = 0; at < result.bytes; at += (int32_t)batch_size(result.pieces[0].p + at)) {
        ck_assert_int_eq(batch_base_offset(result.pieces[0].p + at), next);
        next = batch_next_offset(result.pieces[0].p + at);
    }
    partition_read_release(&result);
    return next;
}

/* _i: whether the stop was clean. */
START_TEST(a_lost_manifest_costs_a_scan_and_no_record)
{
    struct waiter w;
    uint64_t size;
    begin(_i);
    ck_assert_int_eq(env_unlink(f.b.env, MANIFEST), OK);
    broker_open(&f.b, &f.config);
    ck_assert_int_eq(view_of(&f.b).log_end, 40);
    ck_assert(!view_of(&f.b).missing_synced);
    broker_apply(&f.b, 1, 4, 5, 2, 1, &f.config);
    seconds(1);
    ck_assert_int_eq(view_of(&f.b).synced_end, 40); /* as far as this process has synced it again */
    ck_assert_int_eq(readable(), 40);
    ck_assert_int_eq(produce(&f.b, 4, 1, &w).error, KAFKA_NONE);
    seconds(1);
    broker_close(&f.b, true);
    ck_assert_ptr_nonnull(mem_env_bytes(f.b.mem, MANIFEST, &size)); /* and there is one again */
    broker_open(&f.b, &f.config);
    ck_assert_int_eq(view_of(&f.b).log_end, 44);
    end();
}
END_TEST

/* The manifest names the partition, the disk does not: that is a loss, not a new log. */
START_TEST(a_directory_that_vanished_is_told_as_lost)
{
    begin(_i);
    ck_assert_int_eq(env_rename(f.b.env, ORDERS, DATA_DIR "/elsewhere"), OK);
    broker_open(&f.b, &f.config);
    ck_assert_int_eq(view_of(&f.b).log_end, 0);
    ck_assert(view_of(&f.b).missing_synced);
    broker_apply(&f.b, 1, 3, 4, 2, 1, &f.config);
    ck_assert(!view_of(&f.b).is_leader);
    ck_assert_int_eq(f.leaves, 1);
    ck_assert(f.lost_data);
    partition_leave_done(f.b.p, KAFKA_NONE);
    broker_apply(&f.b, 1, 4, 5, 2, 1, &f.config); /* the controllers know, and have nobody better */
    ck_assert(view_of(&f.b).is_leader);
    end();
}
END_TEST

/* -- the whole directory -- */

static struct data_dir *open_dir(void)
{
    static const struct uuid cluster = {{1, 2, 3}};
    char message[DATA_DIR_MESSAGE_MAX];
    struct data_dir *dir;
    ck_assert_msg(data_dir_open(f.b.env, DATA_DIR, 4, cluster, &dir, message) == OK, "%s", message);
    return dir;
}

static void close_dir(struct data_dir *dir, bool clean)
{
    ck_assert_int_eq(data_dir_close(dir, clean), OK);
    seconds(1);
}

/* What was synced once is not known: neither this start nor one that follows it unregistered may say that all
 * was kept. */
START_TEST(a_start_without_its_manifest_is_unclean_until_it_is_registered)
{
    memset(&f, 0, sizeof(f));
    f.world = mem_world_new(17);
    broker_start(&f.b, f.world, 1);
    struct data_dir *dir = open_dir();
    ck_assert(!data_dir_synced_kept(dir)); /* a new one has nothing to keep */
    manifest_trust(dir->manifest);
    close_dir(dir, true);
    dir = open_dir();
    ck_assert(data_dir_clean_start(dir) && data_dir_synced_kept(dir));
    close_dir(dir, true);
    ck_assert_int_eq(env_unlink(f.b.env, MANIFEST), OK);
    for (int i = 0; i < 3; i++) { /* killed, and stopped, before anybody heard of it */
        dir = open_dir();
        ck_assert(!data_dir_clean_start(dir));
        ck_assert(!data_dir_synced_kept(dir));
        close_dir(dir, i == 1);
    }
    dir = open_dir();
    manifest_trust(dir->manifest);
    close_dir(dir, false);
    dir = open_dir();
    ck_assert(data_dir_clean_start(dir) && data_dir_synced_kept(dir)); /* killed: the page cache is whole */
    close_dir(dir, true);
    batch_scratch_free(&f.b.scratch);
    mem_world_free(f.world);
}
END_TEST

/* A manifest of a version to come is refused, not taken for damage, and left as it is. */
START_TEST(a_manifest_of_a_later_version_is_refused_and_left_alone)
{
    struct manifest *manifest;
    struct manifest_report report;
    uint64_t size, after;
    begin(true);
    uint8_t *bytes = mem_env_bytes(f.b.mem, MANIFEST, &size);
    ck_assert_uint_gt(size, HEADER_SIZE);
    store_be16(bytes + 4, load_be16(bytes + 4) + 1);
    store_be32(bytes + 60, crc32c(0, bytes, 60));
    ck_assert_int_eq(manifest_open(f.b.env, DATA_DIR, &manifest, &report), ERR_VERSION);
    bytes = mem_env_bytes(f.b.mem, MANIFEST, &after);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_uint_eq(after, size);
    store_be16(bytes + 4, load_be16(bytes + 4) - 1);
    store_be32(bytes + 60, crc32c(0, bytes, 60));
    broker_open(&f.b, &f.config);
    ck_assert_int_eq(view_of(&f.b).synced_end, 40);
    end();
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_loop_test(tcase, a_lost_manifest_costs_a_scan_and_no_record, 0, 2);
    tcase_add_loop_test(tcase, a_directory_that_vanished_is_told_as_lost, 0, 2);
    tcase_add_test(tcase, a_start_without_its_manifest_is_unclean_until_it_is_registered);
    tcase_add_test(tcase, a_manifest_of_a_later_version_is_refused_and_left_alone);
}

SLUICE_TEST_MAIN("broker_manifest_lost", add)
