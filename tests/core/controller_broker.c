/* SPDX-License-Identifier: Apache-2.0 */
/* Commands of scripts that are brokers' requests. */
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "tests/core/controller_world.h"

static int32_t broker_id(const struct script_line *line)
{
    return atoi(line->words[1]);
}

/* The epoch under which the broker is registered now, -1: not at all. */
static int64_t epoch_of(const struct world *world, int32_t id)
{
    const struct image_broker *broker = image_broker(world->image, id);
    return broker ? broker->epoch : -1;
}

static struct uuid small_uuid(int64_t high, int64_t low)
{
    return (struct uuid){{(uint8_t)high, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, (uint8_t)low}};
}

/* register ID [rack=R] [incarnation=N] [dir=N] [unclean | power-lost] [foreign] */
static void run_register(struct world *world, const struct script_line *line, FILE *out)
{
    int32_t id = broker_id(line);
    struct meta_endpoint endpoint = {
        .name = STR_LIT("PLAINTEXT"), .host = STR_LIT("127.0.0.1"), .port = (uint16_t)(9090 + id)};
    struct rpc_register_broker_request request = {
        .broker_id = id,
        .cluster_id = script_flag(line, "foreign") ? small_uuid(99, 99) : (struct uuid){{0}},
        .incarnation_id = small_uuid(id, script_number(line, "incarnation", 1)),
        .directory_id = small_uuid(id, script_number(line, "dir", 1)),
        .rack = str_from(script_value(line, "rack")),
        .endpoints = &endpoint,
        .endpoints_count = 1,
        .clean_start = !script_flag(line, "unclean") && !script_flag(line, "power-lost"),
        .synced_kept = script_flag(line, "power-lost"),
        .previous_broker_epoch = -1,
        .min_isr = (int32_t)script_number(line, "min-isr", 0),
    };
    world_effects(world, core_register_broker(&world->core, world->now_us, ++world->next_token, &request),
                  out);
}

/* heartbeat ID [epoch=N] [index=N] [fence] [shutdown] */
static void run_heartbeat(struct world *world, const struct script_line *line, FILE *out)
{
    struct rpc_heartbeat_request request = {
        .broker_id = broker_id(line),
        .broker_epoch = script_number(line, "epoch", epoch_of(world, broker_id(line))),
        .metadata_index = (uint64_t)script_number(line, "index", (int64_t)image_index(world->image)),
        .want_fence = script_flag(line, "fence"),
        .want_shutdown = script_flag(line, "shutdown"),
    };
    world_effects(world, core_heartbeat(&world->core, world->now_us, ++world->next_token, &request), out);
}

/* alter ID TOPIC PARTITION isr=1,2 [members=epochs] [leader_epoch=N] [partition_epoch=N] [broker_epoch=N]
 * [recovering] [gives-way] [leave|lost|end=EPOCH,OFFSET]; epochs default to those of the committed image */
static void run_alter(struct world *world, const struct script_line *line, FILE *out)
{
    int64_t isr[16], epochs[16], end[2];
    int32_t ids[16], index = atoi(line->words[3]);
    int count = MAX(script_numbers(line, "isr", isr, 16), 0),
        known = script_numbers(line, "members", epochs, 16);
    for (int i = 0; i < count; i++) {
        ids[i] = (int32_t)isr[i];
        epochs[i] = i < known ? epochs[i] : epoch_of(world, ids[i]);
    }
    struct uuid topic_id = world_topic_id(world, line->words[2]);
    const struct image_topic *topic = image_topic_by_id(world->image, topic_id);
    const struct image_partition *p = topic ? image_partition(world->image, topic, index) : NULL;
    struct rpc_alter_partition partition = {
        .topic_id = topic_id,
        .index = index,
        .leader_epoch = (int32_t)script_number(line, "leader_epoch", p ? p->leader_epoch : 0),
        .partition_epoch = (int32_t)script_number(line, "partition_epoch", p ? p->partition_epoch : 0),
        .recovering = script_flag(line, "recovering"),
        .isr = ids,
        .isr_epochs = epochs,
        .isr_count = count,
        .leave = script_flag(line, "leave") || script_flag(line, "lost"),
        .lost_data = script_flag(line, "lost"),
        .gives_way = script_flag(line, "gives-way"),
    };
    if (script_numbers(line, "end", end, 2) == 2) {
        partition.leave = partition.tells_end = true;
        partition.end_epoch = (int32_t)end[0];
        partition.end_offset = end[1];
    }
    struct rpc_alter_partition_request request = {
        .broker_id = broker_id(line),
        .broker_epoch = script_number(line, "broker_epoch", epoch_of(world, broker_id(line))),
        .partitions = &partition,
        .partitions_count = 1,
    };
    world_effects(world, core_alter_partition(&world->core, world->now_us, ++world->next_token, &request),
                  out);
}

/* producer-ids ID */
static void run_producer_ids(struct world *world, const struct script_line *line, FILE *out)
{
    struct rpc_producer_ids_request request = {
        broker_id(line), script_number(line, "epoch", epoch_of(world, broker_id(line)))};
    world_effects(world, core_producer_ids(&world->core, world->now_us, ++world->next_token, &request), out);
}

/* close ID */
static void run_close(struct world *world, const struct script_line *line, FILE *out)
{
    world_effects(world, core_connection_closed(&world->core, world->now_us, broker_id(line)), out);
}

/* probe ID refused|open: answers the last probe of that broker */
static void run_probe(struct world *world, const struct script_line *line, FILE *out)
{
    uint64_t token = world->probes[broker_id(line) % WORLD_BROKERS_MAX];
    world_effects(world, core_probe_done(&world->core, world->now_us, token, script_flag(line, "refused")),
                  out);
}

/* up ID ...: registers and unfences brokers, without printing */
static void run_up(struct world *world, const struct script_line *line, FILE *out)
{
    char *ignored = NULL;
    size_t size;
    FILE *quiet = open_memstream(&ignored, &size);
    (void)out;
    for (int i = 1; i < line->count; i++) {
        struct script_line one = {.words = {line->words[0], line->words[i]}, .count = 2};
        run_register(world, &one, quiet);
        run_heartbeat(world, &one, quiet);
    }
    fclose(quiet);
    free(ignored);
}

struct beat {
    struct world *world;
    FILE *out;
};

static bool beat_one(void *ctx, const struct image_broker *broker)
{
    struct beat *beat = ctx;
    struct world *world = beat->world;
    struct rpc_heartbeat_request request = {
        .broker_id = broker->id, .broker_epoch = broker->epoch, .metadata_index = image_index(world->image)};
    if (!broker->fenced)
        world_effects(world, core_heartbeat(&world->core, world->now_us, ++world->next_token, &request),
                      beat->out);
    return true;
}

/* live MS: time passes, unfenced brokers are heard from every second; prints what the time alone causes */
static void run_live(struct world *world, const struct script_line *line, FILE *out)
{
    uint64_t end = world->now_us + strtoull(line->words[1], NULL, 10) * 1000;
    char *ignored = NULL;
    size_t size;
    FILE *quiet = open_memstream(&ignored, &size);
    while (world->now_us < end) {
        struct image *base = image_ref(world->image);
        world->now_us = MIN(world->now_us + 1000000, end);
        image_each_broker(base, beat_one, &(struct beat){world, quiet});
        image_unref(base);
        if (core_deadline(&world->core) <= world->now_us)
            world_effects(world, core_tick(&world->core, world->now_us), out);
    }
    fclose(quiet);
    free(ignored);
}

static const struct {
    const char *name;
    int words_min;
    void (*run)(struct world *world, const struct script_line *line, FILE *out);
} commands[] = {
    {"register", 2, run_register},
    {"heartbeat", 2, run_heartbeat},
    {"alter", 5, run_alter},
    {"producer-ids", 2, run_producer_ids},
    {"close", 2, run_close},
    {"probe", 3, run_probe},
    {"up", 2, run_up},
    {"live", 2, run_live},
};

bool run_broker(struct world *world, const struct script_line *line, FILE *out)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(commands[i].name, line->words[0]) != 0 || line->count < commands[i].words_min)
            continue;
        commands[i].run(world, line, out);
        return true;
    }
    return false;
}
