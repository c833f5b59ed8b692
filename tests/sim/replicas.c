/* SPDX-License-Identifier: Apache-2.0 */
/* After the end: reads the logs of all replicas straight from the simulated disks and writes down what they
 * hold. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/base/crc32c.h"
#include "common/batch/record.h"
#include "tests/sim/run_int.h"

#define PLAIN_BYTES_MAX (16u << 20)

struct dump {
    struct cluster *cluster;
    struct node *node;
    struct batch_scratch scratch;
    uint32_t key;
    int64_t end; /* high watermark */
    char dir[64];
};

static void dump_record(struct dump *dump, const struct record *record, int32_t epoch)
{
    if (record->offset >= dump->end || record->value.len < 8)
        return;
    cluster_record(dump->cluster,
                   (struct history_record){.type = HIST_OK,
                                           .op = HIST_REPLICA,
                                           .key = dump->key,
                                           .node = dump->node->id,
                                           .offset = record->offset,
                                           .value = load_be64(record->value.p),
                                           .epoch = epoch,
                                           .aux = crc32c(0, record->value.p, (size_t)record->value.len)});
}

static void dump_batches(struct dump *dump, const uint8_t *p, size_t len)
{
    while (len >= BATCH_HEADER_BYTES) {
        struct batch_iter it;
        struct record record;
        size_t size = batch_size(p);
        if (size < BATCH_HEADER_BYTES || size > len || batch_base_offset(p) >= dump->end)
            return;
        if (!(batch_attributes(p) & BATCH_CONTROL) && batch_iter_init(&it, p, &dump->scratch) == OK)
            while (batch_iter_next(&it, &record))
                dump_record(dump, &record, batch_leader_epoch(p));
        p += size;
        len -= size;
    }
}

static bool dump_file(void *ctx, const char *path, uint64_t size)
{
    struct dump *dump = ctx;
    size_t len = strlen(path);
    if (len < 4 || strcmp(path + len - 4, ".log") != 0 || size == 0)
        return true;
    uint8_t *bytes = malloc(size);
    ASSERT(bytes != NULL);
    size_t got = 0;
    if (disk_peek(dump->node->process, path, 0, bytes, size, &got) == OK)
        dump_batches(dump, bytes, got);
    free(bytes);
    return true;
}

void replicas_dump(struct cluster *cluster, int topic, int partition, uint64_t brokers)
{
    struct dump dump = {
        .cluster = cluster, .key = cluster_key(topic, partition), .end = cluster->ends[topic][partition]};
    int rc = batch_scratch_init(&dump.scratch, PLAIN_BYTES_MAX, 0);
    ASSERT(rc == OK);
    snprintf(dump.dir, sizeof(dump.dir), "/data/t%d-%d", topic, partition);
    for (int i = 0; i < cluster->options.brokers; i++) {
        if (!(brokers & 1ull << i))
            continue;
        dump.node = cluster_node(cluster, ROLE_BROKER, i);
        cluster_record(cluster, (struct history_record){.type = HIST_OK,
                                                        .op = HIST_REPLICA_SPAN,
                                                        .key = dump.key,
                                                        .node = dump.node->id,
                                                        .offset = 0,
                                                        .value = (uint64_t)dump.end});
        disk_walk(dump.node->process, dump.dir, dump_file, &dump);
    }
    batch_scratch_free(&dump.scratch);
}
