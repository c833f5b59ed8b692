/* SPDX-License-Identifier: Apache-2.0 */
/* After the end: reads the logs of all replicas straight from the simulated disks and writes down what they
 * hold. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/broker.h"
#include "broker/core/epoch_cache.h"
#include "broker/log/manifest.h"
#include "broker/shard/partition_internal.h"
#include "common/base/assert.h"
#include "common/base/crc32c.h"
#include "common/batch/batch.h"
#include "common/batch/record.h"
#include "tests/sim/counted.h"
#include "tests/sim/nodes.h"
#include "tests/sim/observe.h"
#include "tests/sim/run_int.h"

#define BATCH_MAGIC_AT 16
#define EPOCH_AT       12 /* byte of the header of a batch */

#define PARTITION_DIR_MAX 64

struct dump {
    struct cluster *cluster;
    struct node *node;
    int topic, partition;
    int64_t end; /* high watermark */
    char dir[PARTITION_DIR_MAX];
    int64_t expected;                /* base offset of the next batch; -1: the name of the first file tells */
    int64_t noted;                   /* the last record of the coordinators' topics */
    bool damaged, only_look, within; /* within: the log may begin within its first batch */
    struct epoch_cache *epochs;      /* as the checkpoint has them; NULL: not asked */
};

static bool is_log(const char *path)
{
    size_t len = strlen(path);
    return len > 4 && strcmp(path + len - 4, ".log") == 0;
}

/* The directory of a file of a partition. dir: PARTITION_DIR_MAX bytes. */
static void directory_of(const char *path, char *dir)
{
    snprintf(dir, PARTITION_DIR_MAX, "%.*s", (int)(strrchr(path, '/') - path), path);
}

static struct history_record record_of(const struct dump *dump, enum history_what what, int64_t offset,
                                       int32_t epoch)
{
    struct history_record record =
        cluster_note(HISTORY_REPLICA, dump->node->id, dump->topic, dump->partition);
    record.what = (uint8_t)what;
    record.call = 1; /* the only round of comparison */
    record.offset = offset;
    record.epoch = epoch;
    return record;
}

static void note(struct dump *dump, enum history_what what, int64_t offset, int32_t epoch, int64_t arg)
{
    struct history_record record = record_of(dump, what, offset, epoch);
    record.arg = arg;
    cluster_record(dump->cluster, record);
}

/* A record's key in the history: negative for a tombstone; 0 for none, and for markers. */
static int64_t key_number(const uint8_t *batch, const struct record *record)
{
    if (record->key.len < 0 || batch_is_control(batch))
        return 0;
    int64_t number = 1 + (int64_t)(crc32c(0, record->key.p, (size_t)record->key.len) >> 1);
    return record->value.len < 0 ? -number : number;
}

static void note_record(struct dump *dump, const uint8_t *batch, const struct record *record)
{
    struct history_record note = record_of(dump, HISTORY_BATCH, record->offset, batch_leader_epoch(batch));
    uint32_t crc = crc32c(0, record->key.p, (size_t)MAX(record->key.len, 0));
    crc = crc32c(crc, record->value.p, (size_t)MAX(record->value.len, 0));
    note.flags = HISTORY_COMPACTED;
    note.arg = crc32c(crc, record->headers.p, (size_t)record->headers.len);
    note.arg2 = key_number(batch, record);
    note.txn = batch_is_transactional(batch);
    cluster_record(dump->cluster, note);
}

/* Of a compacted topic records are compared, not batches: those that two replicas both have are the same. */
static void dump_records(struct dump *dump, const uint8_t *batch)
{
    struct batch_iter it;
    struct record record;
    struct batch_scratch scratch;
    enum err err = (enum err)batch_scratch_init(&scratch, 16u << 20, 0);
    ASSERT(err == OK);
    if (batch_iter_init(&it, batch, &scratch) == OK)
        while (batch_iter_next(&it, &record)) {
            /* their groups go on: while a compacted segment takes the place of several, these are still there
             */
            if (dump->topic > CLUSTER_TXN_TOPIC && record.offset <= dump->noted)
                continue;
            dump->noted = record.offset;
            note_record(dump, batch, &record);
        }
    batch_scratch_free(&scratch);
}

static bool is_compacted(const struct dump *dump)
{
    return dump->topic == dump->cluster->options.compact_topic || dump->topic > CLUSTER_TXN_TOPIC;
}

/* Whether the checkpoint of epochs speaks against a batch. The newest epochs may not be in it yet. */
static bool is_contradicted(const struct epoch_cache *epochs, int64_t base, int32_t epoch)
{
    if (epochs == NULL || epochs->count == 0)
        return false;
    int32_t known = epoch_cache_at(epochs, base);
    bool older = base < epochs->entries[epochs->count - 1].start_offset;
    return known > epoch || (older && known != EPOCH_NONE && known < epoch);
}

/* On the rotten disk: zeros are room for what comes, everything else is to be a batch. No checksum covers its
 * base offset, which is to be the next one, or above it where there may be gaps. */
static bool is_rotten(struct dump *dump, const uint8_t *p, size_t len)
{
    size_t size = batch_size(p);
    int64_t base = batch_base_offset(p);
    if (dump->node != dump->cluster->rotten || (base == 0 && size == BATCH_PREFIX_BYTES))
        return false;
    if (size < BATCH_HEADER_BYTES || size > len || batch_verify(p, size) != OK)
        return true;
    bool before = base < dump->expected && !(dump->within && batch_next_offset(p) > dump->expected);
    bool gap = base > dump->expected;
    bool far = base > dump->end + INT32_MAX;
    bool bad = before || far || (gap && !is_compacted(dump)) ||
               is_contradicted(dump->epochs, base, batch_leader_epoch(p));
    dump->expected = batch_next_offset(p);
    dump->within = false;
    return bad;
}

static void dump_batches(struct dump *dump, const uint8_t *p, size_t len)
{
    while (len >= BATCH_HEADER_BYTES && !dump->damaged) {
        size_t size = batch_size(p);
        dump->damaged = is_rotten(dump, p, len);
        if (size < BATCH_HEADER_BYTES || size > len || batch_base_offset(p) >= dump->end)
            return;
        if (!dump->only_look && is_compacted(dump))
            dump_records(dump, p);
        else if (!dump->only_look)
            note(dump, HISTORY_BATCH, batch_base_offset(p), batch_leader_epoch(p), crc32c(0, p, size));
        p += size;
        len -= size;
    }
}

static bool dump_file(void *ctx, const char *path, uint64_t size)
{
    struct dump *dump = ctx;
    if (!is_log(path) || size == 0)
        return true;
    uint8_t *bytes = malloc(size);
    ASSERT(bytes != NULL);
    size_t got = 0;
    if (dump->expected < 0) {
        dump->expected = strtoll(strrchr(path, '/') + 1, NULL, 10);
        dump->within = true;
    }
    if (disk_peek(dump->node->process, path, 0, bytes, size, &got) == OK)
        dump_batches(dump, bytes, got);
    free(bytes);
    return true;
}

static bool has_damage(struct dump *dump)
{
    dump->only_look = true;
    dump->damaged = false;
    dump->expected = -1;
    disk_walk(dump->node->process, dump->dir, dump_file, dump);
    dump->only_look = false;
    return dump->damaged;
}

static void *resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
    if (new_size > 0)
        return realloc(old, new_size);
    free(old);
    return NULL;
}

/* The same, and whether the checkpoint of epochs agrees with the batches: a bit that flips there shows when
 * the broker starts again, as a batch that it cannot trust. */
static bool has_damage_or_doubt(struct dump *dump)
{
    char path[128], text[4096];
    const struct core_alloc alloc = {.resize = resize};
    struct epoch_cache epochs;
    size_t len = 0;
    snprintf(path, sizeof(path), "%s/leader-epoch-checkpoint", dump->dir);
    epoch_cache_init(&epochs, &alloc);
    bool doubt = disk_peek(dump->node->process, path, 0, text, sizeof(text), &len) == OK &&
                 epoch_cache_parse(&epochs, text, (uint32_t)len) != OK;
    dump->epochs = &epochs;
    doubt = doubt || has_damage(dump);
    dump->epochs = NULL;
    epoch_cache_free(&epochs);
    return doubt;
}

bool replicas_are_damaged(struct cluster *cluster)
{
    struct dump dump = {.cluster = cluster, .node = cluster->rotten, .end = INT64_MAX / 2};
    bool damaged = false;
    if (dump.node == NULL)
        return false;
    for (dump.topic = 0; dump.topic < cluster->options.topics; dump.topic++)
        for (dump.partition = 0; dump.partition < cluster->options.partitions; dump.partition++) {
            snprintf(dump.dir, sizeof(dump.dir), "/data/t%d-%d", dump.topic, dump.partition);
            damaged = damaged || has_damage_or_doubt(&dump);
        }
    return damaged;
}

/* A segment behind this one that holds a batch. */
struct later {
    struct process *process;
    const char *path;
    bool found;
};

static bool look_later(void *ctx, const char *path, uint64_t size)
{
    struct later *later = ctx;
    bool same = strlen(path) == strlen(later->path);
    if (is_log(path) && size > 0 && same && strcmp(path, later->path) > 0)
        later->found = replicas_data_end(later->process, path) > 0;
    return !later->found;
}

/* Whether the batches of a log file that end at `end` are the last of their log. */
static bool ends_log(struct process *process, const char *path, uint64_t end)
{
    char dir[PARTITION_DIR_MAX];
    struct later later = {.process = process, .path = path};
    if (end < replicas_data_end(process, path))
        return false;
    directory_of(path, dir);
    disk_walk(process, dir, look_later, &later);
    return !later.found;
}

/* What the manifest of a running broker says of one partition. */
struct known_synced {
    char dir[PARTITION_DIR_MAX];
    int64_t end;
};

static void look_synced(void *ctx, struct partition *partition)
{
    struct known_synced *known = ctx;
    struct str topic = partition_topic(partition);
    struct manifest_entry entry;
    char dir[PARTITION_DIR_MAX];
    snprintf(dir, sizeof(dir), "/data/%.*s-%d", (int)topic.len, topic.p, partition->index);
    if (strcmp(dir, known->dir) == 0 &&
        manifest_get(partition->host->manifest, partition->topic_id, partition->index, &entry))
        known->end = entry.recovery_point;
}

/* Whether no death can make the batch look like a write that was torn: the manifest knows it as synced, and
 * what it knows cannot be lost. */
static bool is_known_synced(struct node *node, const char *path, const uint8_t *header)
{
    struct known_synced known = {.end = -1};
    bool stays = node->cluster->options.no_power_cuts || disk_is_durable(node->process, "/data/manifest");
    if (node_broker(node) == NULL || !stays)
        return false;
    directory_of(path, known.dir);
    broker_each_replica(node_broker(node), look_synced, &known);
    return known.end >= batch_next_offset(header);
}

struct copy {
    struct process *process;
    const uint8_t *header;
    bool found;
};

static bool look_for_copy(void *ctx, const char *path, uint64_t size)
{
    struct copy *copy = ctx;
    uint8_t header[BATCH_HEADER_BYTES];
    size_t got = 0;
    uint64_t end = is_log(path) ? size : 0;
    for (uint64_t at = 0; at < end && !copy->found; at += batch_size(header)) {
        enum err err = disk_peek(copy->process, path, at, header, sizeof(header), &got);
        if (err != OK || got < sizeof(header) || batch_size(header) < BATCH_HEADER_BYTES)
            break;
        copy->found = memcmp(header, copy->header, sizeof(header)) == 0;
    }
    return !copy->found;
}

/* Whether another broker holds the batch as well. */
static bool has_copy(const struct node *node, const char *path, const uint8_t *header)
{
    char dir[PARTITION_DIR_MAX];
    struct copy copy = {.header = header};
    directory_of(path, dir);
    for (int i = 0; i < node->cluster->options.brokers && !copy.found; i++) {
        const struct node *other = cluster_node(node->cluster, ROLE_BROKER, i);
        copy.process = other->process;
        if (other != node)
            disk_walk(copy.process, dir, look_for_copy, &copy);
    }
    return copy.found;
}

/* Not what nobody else holds; not the leader epoch in a batch's header; and in the newest batch of a log only
 * once the manifest knows it as synced: before that a power cut makes it look exactly like a write that was
 * torn, and it is cut (docs/known-gaps.md, 79). A replica that leads then has lost it: a rotten disk and a
 * cut of the power at once are more than the last replica in sync survives. With a good batch behind it there
 * is evidence, and that must do. */
bool replicas_may_flip(void *node, const char *path, uint64_t offset)
{
    uint8_t header[BATCH_HEADER_BYTES];
    struct process *process = ((struct node *)node)->process;
    size_t got = 0;
    for (uint64_t at = 0; at <= offset; at += batch_size(header)) {
        enum err err = disk_peek(process, path, at, header, sizeof(header), &got);
        if (err != OK || got < sizeof(header) || batch_size(header) < BATCH_HEADER_BYTES)
            return true;
        if (offset >= at + EPOCH_AT && offset < at + EPOCH_AT + sizeof(int32_t))
            return false;
        if (is_log(path) && offset < at + batch_size(header))
            return has_copy(node, path, header) &&
                   (!ends_log(process, path, at + batch_size(header)) || is_known_synced(node, path, header));
    }
    return true;
}

uint64_t replicas_data_end(struct process *process, const char *path)
{
    uint8_t header[BATCH_HEADER_BYTES];
    size_t got = 0;
    for (uint64_t at = 0;; at += batch_size(header)) {
        enum err err = disk_peek(process, path, at, header, sizeof(header), &got);
        if (err != OK || got < sizeof(header) || batch_size(header) < BATCH_HEADER_BYTES ||
            header[BATCH_MAGIC_AT] != 2)
            return at;
    }
}

struct rot {
    struct process *process;
    int64_t offset;
    bool done;
};

static bool rot_file(void *ctx, const char *path, uint64_t size)
{
    struct rot *rot = ctx;
    uint8_t header[BATCH_HEADER_BYTES];
    uint64_t end = is_log(path) ? replicas_data_end(rot->process, path) : 0;
    for (uint64_t at = 0; at < MIN(end, size) && !rot->done; at += batch_size(header)) {
        size_t got = 0;
        if (disk_peek(rot->process, path, at, header, sizeof(header), &got) != OK || got < sizeof(header))
            break;
        if (batch_base_offset(header) <= rot->offset && rot->offset < batch_next_offset(header))
            rot->done = disk_flip_at(rot->process, path, at + batch_size(header) - 1, 1);
    }
    return !rot->done;
}

bool replicas_rot(struct process *process, int topic, int partition, int64_t offset)
{
    char dir[PARTITION_DIR_MAX];
    struct rot rot = {.process = process, .offset = offset};
    snprintf(dir, sizeof(dir), "/data/t%d-%d", topic, partition);
    disk_walk(process, dir, rot_file, &rot);
    return rot.done;
}

/* Where the log of the workload's topics began when it was read at the end; the coordinators' own never move.
 */
static int64_t start_of(const struct dump *dump, int broker)
{
    const struct cluster *cluster = dump->cluster;
    if (dump->topic > CLUSTER_TXN_TOPIC)
        return 0;
    int64_t start = dump->topic == CLUSTER_TXN_TOPIC
                        ? 0
                        : counted_start(cluster->counted, broker, dump->topic, dump->partition);
    return MAX(start, cluster->starts[dump->topic][dump->partition]);
}

/* What was set aside, or is being deleted, has a dot in its directory's name. */
static bool is_no_swap(void *ctx, const char *path, uint64_t size)
{
    bool *settled = ctx;
    const char *file = strrchr(path, '/');
    *settled = strchr(path, '.') < file || strstr(file, ".swap") == NULL;
    return *settled;
}

bool replicas_settled(struct cluster *cluster)
{
    bool settled = true;
    for (int i = 0; i < cluster->options.brokers && settled; i++)
        disk_walk(cluster_node(cluster, ROLE_BROKER, i)->process, "/data", is_no_swap, &settled);
    return settled;
}

void replicas_dump(struct cluster *cluster, int topic, int partition, uint64_t brokers)
{
    char name[CLUSTER_TOPIC_NAME_MAX];
    cluster_topic_name(topic, name);
    /* what the last reader saw; more may have come since */
    int64_t read = topic > CLUSTER_TXN_TOPIC ? 0 : cluster->ends[topic][partition];
    struct dump dump = {.cluster = cluster,
                        .topic = topic,
                        .partition = partition,
                        .end = MAX(read, cluster_high_watermark(cluster, name, partition))};
    snprintf(dump.dir, sizeof(dump.dir), "/data/%s-%d", name, partition);
    for (int i = 0; i < cluster->options.brokers; i++) {
        if (!(brokers & 1ull << i))
            continue;
        dump.node = cluster_node(cluster, ROLE_BROKER, i);
        if (dump.node == cluster->rotten && has_damage(&dump))
            continue; /* nobody has read there since the bit flipped, so nobody knows */
        dump.damaged = false;
        note(&dump, HISTORY_LOG_START, start_of(&dump, i), -1, 0);
        dump.expected = dump.noted = -1;
        note(&dump, HISTORY_HIGH_WATERMARK, dump.end, -1, 0);
        disk_walk(dump.node->process, dump.dir, dump_file, &dump);
    }
}
