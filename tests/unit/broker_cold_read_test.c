/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that wait for the disk, on real sockets: a Fetch of what is not in the page cache, and ListOffsets
 * by time, while the partition is cut, deleted, led by another broker, or the connection closes. And requests
 * for very many partitions, which once closed the connection for want of memory. */
#include <string.h>

#include "broker/shard/connection.h"
#include "broker/shard/partition.h"
#include "common/base/arena.h"
#include "common/base/assert.h"
#include "common/env/env_ops.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"
#include "tests/lib/broker_rig.h"
#include "tests/lib/unit.h"

#define FETCH_VERSION 11
#define LIST_VERSION  1 /* the fewest bytes for a partition */
#define FIRST_MS      1700000000000
#define HELD_MAX      8
#define OTHER_BROKER  2

/* A disk that is asked for everything and takes its time: until the test lets it go on. */
struct slow_disk {
    const struct env_ops *fast;
    const struct env_file_ops *fast_file;
    struct env_ops ops;
    struct env_disk_ops disk;
    struct env_file_ops file;
    bool cold;
    struct env_file *files[HELD_MAX];
    struct env_io *reads[HELD_MAX];
    struct env_work *works[HELD_MAX];
    int reads_count, works_count;
};

static struct rig rig;
static struct slow_disk slow;

static bool slow_cached(struct env_file *file, uint64_t offset, size_t len)
{
    return !slow.cold;
}

static void slow_submit(struct env_file *file, struct env_io *io)
{
    if (!slow.cold || io->op != ENV_IO_READ) {
        slow.fast_file->submit(file, io);
        return;
    }
    ck_assert_int_lt(slow.reads_count, HELD_MAX);
    slow.files[slow.reads_count] = file;
    slow.reads[slow.reads_count++] = io;
}

static enum err slow_open(struct env *env, const char *path, int flags, struct env_file **ret_file)
{
    enum err err = slow.fast->disk->file_open(env, path, flags, ret_file);

    if (err != OK)
        return err;
    if (!slow.fast_file) {
        slow.fast_file = (*ret_file)->ops;
        slow.file = *slow.fast_file;
        slow.file.cached = slow_cached;
        slow.file.submit = slow_submit;
    }
    (*ret_file)->ops = &slow.file;
    return OK;
}

static void slow_work(struct env *env, struct env_work *w)
{
    if (!slow.cold) {
        slow.fast->work_submit(env, w);
        return;
    }
    ck_assert_int_lt(slow.works_count, HELD_MAX);
    slow.works[slow.works_count++] = w;
}

static void slow_down(void)
{
    memset(&slow, 0, sizeof(slow));
    slow.fast = rig.env->ops;
    slow.ops = *slow.fast;
    slow.disk = *slow.fast->disk;
    slow.disk.file_open = slow_open;
    slow.ops.disk = &slow.disk;
    slow.ops.work_submit = slow_work;
    rig.env->ops = &slow.ops;
}

static bool waits(void *ctx)
{
    return slow.reads_count + slow.works_count == *(int *)ctx;
}

/* The disk answers. */
static void let_go(void)
{
    slow.cold = false;
    for (int i = 0; i < slow.reads_count; i++)
        slow.fast_file->submit(slow.files[i], slow.reads[i]);
    for (int i = 0; i < slow.works_count; i++)
        slow.fast->work_submit(rig.env, slow.works[i]);
    slow.reads_count = slow.works_count = 0;
}

/* -- requests -- */

static void produce(struct rig_client *client, int32_t partition, int64_t timestamp_ms)
{
    const struct record_in record = {
        .timestamp_ms = timestamp_ms, .key = BYTES_NULL, .value = {(const uint8_t *)"value", 5}};
    ck_assert_int_eq(rig_produce(client, partition, &record), KAFKA_NONE);
}

/* Partitions [first, first + count) from offset 0. */
static void send_fetch(struct rig_client *client, int32_t first, int32_t count)
{
    struct kafka_fetch_request_partition *parts = calloc((size_t)count, sizeof(*parts));
    struct kafka_fetch_request_topic topic;
    struct kafka_fetch_request request;
    struct writer w;

    kafka_fetch_request_init(&request);
    kafka_fetch_request_topic_init(&topic);
    for (int32_t i = 0; i < count; i++) {
        kafka_fetch_request_partition_init(&parts[i]);
        parts[i].partition = first + i;
        parts[i].partition_max_bytes = 1 << 20;
    }
    topic.topic = STR_LIT("t");
    topic.partitions = parts;
    topic.partitions_count = count;
    request.topics = &topic;
    request.topics_count = 1;
    request.max_wait_ms = 20000;
    request.min_bytes = 1;
    request.session_epoch = -1;
    rig_request_begin(&w, KAFKA_API_FETCH, FETCH_VERSION, 2);
    kafka_fetch_request_encode(&w, FETCH_VERSION, &request);
    rig_request_end(&w);
    rig_send_writer(client, &w);
    writer_free(&w);
    free(parts);
}

static void send_list(struct rig_client *client, int32_t first, int32_t count, int64_t timestamp)
{
    struct kafka_list_offsets_request_partition *parts = calloc((size_t)count, sizeof(*parts));
    struct kafka_list_offsets_request_topic topic;
    struct kafka_list_offsets_request request;
    struct writer w;

    kafka_list_offsets_request_init(&request);
    kafka_list_offsets_request_topic_init(&topic);
    for (int32_t i = 0; i < count; i++) {
        kafka_list_offsets_request_partition_init(&parts[i]);
        parts[i].partition_index = first + i;
        parts[i].timestamp = timestamp;
        parts[i].current_leader_epoch = -1;
    }
    topic.name = STR_LIT("t");
    topic.partitions = parts;
    topic.partitions_count = count;
    request.replica_id = -1;
    request.topics = &topic;
    request.topics_count = 1;
    rig_request_begin(&w, KAFKA_API_LIST_OFFSETS, LIST_VERSION, 3);
    kafka_list_offsets_request_encode(&w, LIST_VERSION, &request);
    rig_request_end(&w);
    rig_send_writer(client, &w);
    writer_free(&w);
    free(parts);
}

/* What a reply says of its partitions, in sum. */
struct said {
    int32_t partitions, errors;
    int16_t error; /* the last */
    int64_t bytes, offset;
};

static struct said fetched(struct rig_client *client)
{
    struct arena arena;
    struct kafka_fetch_response reply;
    struct said said = {.error = KAFKA_NONE};
    struct reader body = rig_expect(client, KAFKA_API_FETCH, FETCH_VERSION, 2);

    arena_init(&arena, NULL, 0, 8 << 20);
    ck_assert_int_eq(kafka_fetch_response_decode(&body, &arena, FETCH_VERSION, &reply), OK);
    ck_assert_int_eq(reply.error_code, KAFKA_NONE);
    for (int32_t i = 0; i < reply.topics[0].partitions_count; i++) {
        const struct kafka_fetch_response_partition *part = &reply.topics[0].partitions[i];
        said.partitions++;
        said.errors += part->error_code != KAFKA_NONE;
        said.error = part->error_code;
        said.bytes += MAX(part->records.len, 0);
    }
    arena_free(&arena);
    rig_reply_drop(client);
    return said;
}

static struct said listed(struct rig_client *client)
{
    struct arena arena;
    struct kafka_list_offsets_response reply;
    struct said said = {.error = KAFKA_NONE};
    struct reader body = rig_expect(client, KAFKA_API_LIST_OFFSETS, LIST_VERSION, 3);

    arena_init(&arena, NULL, 0, 8 << 20);
    ck_assert_int_eq(kafka_list_offsets_response_decode(&body, &arena, LIST_VERSION, &reply), OK);
    for (int32_t i = 0; i < reply.topics[0].partitions_count; i++) {
        const struct kafka_list_offsets_response_partition *part = &reply.topics[0].partitions[i];
        said.partitions++;
        said.errors += part->error_code != KAFKA_NONE;
        said.error = part->error_code;
        said.offset = part->offset;
    }
    arena_free(&arena);
    rig_reply_drop(client);
    return said;
}

/* -- what comes between -- */

enum meanwhile { NOTHING, CUT, DELETED, CLOSED, MEANWHILE_COUNT };

static void happen(enum meanwhile what, struct rig_client *client, unsigned shards)
{
    int32_t count = (int32_t)shards;
    struct partition *p = rig_partition(&rig, "t", count - 1);
    struct partition_view view;

    if (what == CUT) {
        rig_topic_led_by(&rig, "t", count, OTHER_BROKER, 1);
        ck_assert(partition_follower_diverged(p, 1, 0, 1));
        partition_get(p, &view);
        ck_assert_int_eq(view.log_end, 1);
    } else if (what == DELETED) {
        rig_topic_removed(&rig, "t", count);
    } else if (what == CLOSED) {
        env_conn_close(client->conn);
        rig_until_closed(client);
    }
    rig_settle(&rig);
}

/* Three batches on the last shard's partition, of which nothing is in memory. */
static struct rig_client *begin(unsigned shards)
{
    const char *const sets[] = {"log.tail.cache.bytes=0", "log.retention.ms=-1", NULL};

    rig_start(&rig, shards, sets);
    slow_down();
    rig_topic(&rig, "t", (int32_t)shards);
    struct rig_client *client = rig_connect(&rig);
    for (int i = 0; i < 3; i++)
        produce(client, (int32_t)shards - 1, FIRST_MS + i * 1000);
    slow.cold = true;
    return client;
}

/* The request and what it took of the budget. */
static bool is_gone(void *ctx)
{
    return rig.shared.budget.by_owner[BUDGET_REQUESTS] == 0 &&
           rig.shared.budget.by_owner[BUDGET_COLD_READS] == 0;
}

START_TEST(a_fetch_that_waits_for_the_disk)
{
    enum meanwhile what = (enum meanwhile)(_i % MEANWHILE_COUNT);
    unsigned shards = 1 + (unsigned)_i / MEANWHILE_COUNT;
    int one = 1;
    struct rig_client *client = begin(shards);

    send_fetch(client, (int32_t)shards - 1, 1);
    rig_until(&rig, waits, &one);
    happen(what, client, shards);
    ck_assert_int_eq(slow.reads_count, 1);
    ck_assert_int_gt(rig.shared.budget.by_owner[BUDGET_COLD_READS], 0);
    let_go();
    if (what == CLOSED) {
        rig_until(&rig, is_gone, NULL);
    } else {
        struct said said = fetched(client);
        ck_assert_int_eq(said.partitions, 1);
        ck_assert_int_eq(said.error, what == NOTHING ? KAFKA_NONE : KAFKA_NOT_LEADER_OR_FOLLOWER);
        ck_assert_int_eq(said.bytes > 0, what == NOTHING);
    }
    ck_assert_int_eq(rig.shared.budget.by_owner[BUDGET_COLD_READS], 0);
    rig_stop(&rig);
}
END_TEST

START_TEST(a_lookup_by_time_that_waits_for_the_disk)
{
    enum meanwhile what = (enum meanwhile)(_i % MEANWHILE_COUNT);
    unsigned shards = 1 + (unsigned)_i / MEANWHILE_COUNT;
    int one = 1;
    struct rig_client *client = begin(shards);

    send_list(client, (int32_t)shards - 1, 1, FIRST_MS + 500);
    rig_until(&rig, waits, &one);
    happen(what, client, shards);
    if (what == CLOSED) /* not only when the disk answers */
        rig_until(&rig, is_gone, NULL);
    if (what == NOTHING)
        let_go();
    if (what != CLOSED) {
        struct said said = listed(client);
        ck_assert_int_eq(said.partitions, 1);
        ck_assert_int_eq(said.error, what == NOTHING ? KAFKA_NONE : KAFKA_NOT_LEADER_OR_FOLLOWER);
        ck_assert_int_eq(said.offset, what == NOTHING ? 1 : -1);
    }
    let_go();
    rig_settle(&rig);
    rig_stop(&rig);
}
END_TEST

START_TEST(a_lookup_finds_first_last_and_none)
{
    struct rig_client *client = begin(2);

    slow.cold = false;
    send_list(client, 1, 1, 0);
    ck_assert_int_eq(listed(client).offset, 0);
    send_list(client, 1, 1, FIRST_MS + 2000);
    ck_assert_int_eq(listed(client).offset, 2);
    send_list(client, 1, 1, FIRST_MS + 2001);
    ck_assert_int_eq(listed(client).offset, -1);
    send_list(client, 1, 1, -3);
    ck_assert_int_eq(listed(client).offset, 2);
    send_list(client, 1, 1, -1);
    ck_assert_int_eq(listed(client).offset, 3);
    send_list(client, 0, 1, FIRST_MS);
    ck_assert_int_eq(listed(client).offset, -1);
    rig_stop(&rig);
}
END_TEST

/* A connection was once closed with "out of memory": what a partition takes in the arena was bound too low.
 */
START_TEST(requests_for_very_many_partitions_are_answered)
{
    static const int32_t counts[] = {400, 3000};
    const char *const sets[] = {"log.retention.ms=-1", NULL};
    int32_t count = counts[_i / 2];
    struct said said;

    rig_start(&rig, 1 + (unsigned)_i % 2, sets);
    rig_topic(&rig, "t", 400);
    struct rig_client *client = rig_connect(&rig);
    for (int32_t p = 0; p < 400; p += 57)
        produce(client, p, FIRST_MS);
    send_fetch(client, 0, count);
    said = fetched(client);
    ck_assert_int_eq(said.partitions, count);
    ck_assert_int_eq(said.errors, count - 400);
    ck_assert_int_gt(said.bytes, 0);
    send_list(client, 0, count, FIRST_MS);
    said = listed(client);
    ck_assert_int_eq(said.partitions, count);
    ck_assert_int_eq(said.errors, count - 400);
    send_list(client, 0, count, -2);
    said = listed(client);
    ck_assert_int_eq(said.errors, count - 400);
    rig_stop(&rig);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_set_timeout(tcase, 120); /* the disk may be busy */
    tcase_add_loop_test(tcase, a_fetch_that_waits_for_the_disk, 0, 2 * MEANWHILE_COUNT);
    tcase_add_loop_test(tcase, a_lookup_by_time_that_waits_for_the_disk, 0, 2 * MEANWHILE_COUNT);
    tcase_add_test(tcase, a_lookup_finds_first_last_and_none);
    tcase_add_loop_test(tcase, requests_for_very_many_partitions_are_answered, 0, 4);
}

SLUICE_TEST_MAIN("broker_cold_read", add)
