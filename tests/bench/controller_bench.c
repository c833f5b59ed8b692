/* SPDX-License-Identifier: Apache-2.0 */
/* A hundred thousand partitions (three replicas on three brokers) in the controller's core and image: what a
 * controller needs of memory and time. Prints a line per figure, with the bound it must keep; exit status 1
 * when one does not. PARTITIONS=N in the environment measures another size. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "controller/core/core.h"
#include "proto/kafka/api.h"
#include "proto/kafka/gen/create_topics.h"

#define BROKERS      3
#define PER_TOPIC    1000
#define INFLIGHT_MAX 1024
#define LOOKUPS      100000

struct bench {
    struct core core;
    struct image *image;
    struct iobuf *inflight[INFLIGHT_MAX];
    uint64_t tokens[INFLIGHT_MAX];
    int count;
    uint64_t entry_bytes; /* of what was committed since it was set to 0 */
    int failures;
};

static double seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double resident_mib(void)
{
    long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file && fscanf(file, "%ld %ld", &pages, &resident) != 2)
        resident = 0;
    if (file)
        fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

static void figure(struct bench *b, const char *what, double value, double max, const char *unit)
{
    bool good = value <= max;
    printf("%-52s %10.2f %s (at most %.0f)%s\n", what, value, unit, max, good ? "" : "  TOO MUCH");
    b->failures += !good;
}

/* --- a log that commits at once --- */

static void take(struct bench *b, const struct core_effects *effects)
{
    for (uint32_t i = 0; i < effects->count; i++) {
        if (effects->items[i].type != FX_PROPOSE)
            continue;
        ASSERT(b->count < INFLIGHT_MAX);
        b->tokens[b->count] = effects->items[i].token;
        b->inflight[b->count++] = iobuf_ref(effects->items[i].records);
    }
}

static void apply(struct bench *b, struct iobuf *records)
{
    struct arena arena;
    arena_init(&arena, NULL, 0, 64 << 20);
    struct reader r = reader_over(records->data, records->len);
    struct image_edit *edit = image_edit_begin(b->image);
    struct meta_record record;
    b->entry_bytes += records->len;
    while (reader_left(&r) > 0) {
        ASSERT(meta_record_decode(&r, &arena, &record) == OK);
        ASSERT(image_edit_apply(edit, &record) == OK);
    }
    struct image *former = b->image;
    b->image = image_edit_commit(edit, image_index(former) + 1, 1);
    image_unref(former);
    iobuf_unref(records);
    arena_free(&arena);
}

static void commit_all(struct bench *b)
{
    for (int i = 0; i < b->count; i++) {
        apply(b, b->inflight[i]);
        take(b, core_committed(&b->core, 0, b->tokens[i], b->image));
    }
    b->count = 0;
}

static void heartbeat(struct bench *b, int32_t id, uint64_t now_us)
{
    struct rpc_heartbeat_request request = {.broker_id = id,
                                            .broker_epoch = image_broker(b->image, id)->epoch,
                                            .metadata_index = image_index(b->image)};
    take(b, core_heartbeat(&b->core, now_us, 2, &request));
    commit_all(b);
}

static void bring_up(struct bench *b, int32_t id)
{
    struct meta_endpoint endpoint = {.name = STR_LIT("P"), .host = STR_LIT("h"), .port = 1};
    struct rpc_register_broker_request request = {.broker_id = id,
                                                  .incarnation_id = {{1, (uint8_t)id}},
                                                  .directory_id = {{(uint8_t)id}},
                                                  .rack = STR_NULL,
                                                  .endpoints = &endpoint,
                                                  .endpoints_count = 1,
                                                  .clean_start = true};
    take(b, core_register_broker(&b->core, 0, 1, &request));
    commit_all(b);
    heartbeat(b, id, 0);
}

static void create_topic(struct bench *b, int number, int32_t partitions)
{
    char name[16];
    struct kafka_create_topics_request_topic topic;
    kafka_create_topics_request_topic_init(&topic);
    snprintf(name, sizeof(name), "topic-%d", number);
    topic.name = str_from(name);
    topic.num_partitions = partitions;
    topic.replication_factor = BROKERS;
    struct kafka_create_topics_request request = {.topics = &topic, .topics_count = 1};
    take(b, core_admin(&b->core, 0, 3, KAFKA_API_CREATE_TOPICS, 7, &request));
    commit_all(b);
}

/* --- what is measured --- */

static void fail_over(struct bench *b)
{
    double t0 = seconds();
    heartbeat(b, 2, 2000000);
    heartbeat(b, 3, 2000000);
    double t1 = seconds();
    b->entry_bytes = 0;
    take(b, core_tick(&b->core, 3000000));
    double t2 = seconds();
    commit_all(b);
    double t3 = seconds();
    figure(b, "two heartbeats", (t1 - t0) * 1e3, 5, "ms");
    figure(b, "failover of one broker: planning", (t2 - t1) * 1e3, 1000, "ms");
    figure(b, "failover of one broker: planning and applying", (t3 - t1) * 1e3, 1000, "ms");
    printf("%-52s %10.2f MiB\n", "failover of one broker: records", (double)b->entry_bytes / (1 << 20));
}

static void take_over(struct bench *b)
{
    take(b, core_deactivate(&b->core, 3000000));
    double t0 = seconds();
    take(b, core_activate(&b->core, 3000001, 1, b->image, 2));
    commit_all(b);
    figure(b, "new controller active", (seconds() - t0) * 1e3, 1000, "ms");
}

static struct iobuf *write_snapshot(struct bench *b)
{
    struct image_cursor *cursor = image_cursor_new(b->image);
    struct writer w;
    bool done = false;
    double t0 = seconds(), longest = 0;
    writer_init(&w, NULL, 1 << 20, 256u << 20);
    while (!done) {
        double from = seconds();
        ASSERT(image_cursor_write(cursor, &w, 64 << 10, &done) == OK);
        double took = seconds() - from;
        longest = took > longest ? took : longest;
    }
    image_cursor_free(cursor);
    figure(b, "snapshot written (in pieces)", (seconds() - t0) * 1e3, 2000, "ms");
    figure(b, "snapshot: longest piece", longest * 1e3, 20, "ms");
    struct iobuf *snapshot = writer_take(&w);
    writer_free(&w);
    printf("%-52s %10.2f MiB\n", "snapshot", (double)snapshot->len / (1 << 20));
    return snapshot;
}

static void load_snapshot(struct bench *b)
{
    struct iobuf *snapshot = write_snapshot(b);
    double t0 = seconds();
    struct image_edit *edit = image_edit_begin_empty();
    struct reader r = reader_over(snapshot->data, snapshot->len);
    struct arena arena;
    struct meta_record record;
    arena_init(&arena, NULL, 0, 256 << 20);
    while (reader_left(&r) > 0) {
        ASSERT(meta_record_decode(&r, &arena, &record) == OK);
        ASSERT(image_edit_apply(edit, &record) == OK);
        arena_reset(&arena);
    }
    struct image *loaded = image_edit_commit(edit, image_index(b->image), 1);
    figure(b, "snapshot loaded", (seconds() - t0) * 1e3, 2000, "ms");
    ASSERT(image_hash(loaded) == image_hash(b->image));
    image_unref(loaded);
    arena_free(&arena);
    iobuf_unref(snapshot);
}

static bool count_change(void *ctx, const struct image_topic *topic, const struct image_partition *before,
                         const struct image_partition *after)
{
    (void)topic;
    (void)before;
    (void)after;
    ++*(int *)ctx;
    return true;
}

/* What a broker does with one changed partition among all. */
static void one_change(struct bench *b)
{
    struct image *before = image_ref(b->image);
    b->entry_bytes = 0;
    create_topic(b, 999999, 1);
    int changes = 0;
    double t0 = seconds();
    for (int i = 0; i < 1000; i++)
        image_diff_partitions(before, b->image, count_change, &changes);
    figure(b, "delta of one new topic: finding it", (seconds() - t0) * 1e3, 20, "us");
    figure(b, "delta of one new topic: bytes to a broker", (double)b->entry_bytes, 500, "bytes");
    ASSERT(changes == 1000);
    image_unref(before);
}

static void look_up(struct bench *b)
{
    uint64_t sum = 0;
    double t0 = seconds();
    for (int i = 0; i < LOOKUPS; i++) {
        const struct image_topic *topic = image_topic_by_name(b->image, STR_LIT("topic-7"));
        sum += (uint64_t)image_partition(b->image, topic, i % topic->partitions_count)->leader;
    }
    ASSERT(sum > 0);
    figure(b, "lookup of a topic and a partition", (seconds() - t0) * 1e9 / LOOKUPS, 5000, "ns");
}

int main(void)
{
    static struct bench b;
    const char *wanted = getenv("PARTITIONS");
    int total = wanted ? atoi(wanted) : 100000;
    struct core_config config = core_config_defaults();
    config.cluster_id = (struct uuid){{1}};
    b.image = image_new();
    core_init(&b.core, &config);
    take(&b, core_activate(&b.core, 0, 1, b.image, 1));
    commit_all(&b);
    for (int32_t id = 1; id <= BROKERS; id++)
        bring_up(&b, id);
    double before = resident_mib(), t0 = seconds();
    for (int made = 0; made < total; made += PER_TOPIC)
        create_topic(&b, made / PER_TOPIC, total - made < PER_TOPIC ? total - made : PER_TOPIC);
    printf("%d partitions, %d replicas each, created in %.2f s\n", total, BROKERS, seconds() - t0);
    figure(&b, "resident memory of image and core", resident_mib() - before, 300, "MiB");
    look_up(&b);
    one_change(&b);
    fail_over(&b);
    take_over(&b);
    load_snapshot(&b);
    figure(&b, "resident memory after all of it", resident_mib(), 300, "MiB");
    core_free(&b.core);
    image_unref(b.image);
    return b.failures > 0;
}
