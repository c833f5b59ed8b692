/* SPDX-License-Identifier: Apache-2.0 */
/* Golden scripts for controller/core: see README.md for the commands. The log around the core is real as far
 * as it matters: what is proposed is decoded from its bytes and applied to the committed image, whose hash
 * the core compares with its own plan. */
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "tests/core/controller_world.h"

/* --- the log --- */

struct uuid world_topic_id(const struct world *world, const char *name)
{
    for (int i = world->topics_count - 1; i >= 0; i--) {
        if (strcmp(world->topics[i].name, name) == 0)
            return world->topics[i].id;
    }
    return (struct uuid){{0}};
}

static void remember_topic(struct world *world, const struct meta_topic *topic)
{
    ASSERT(world->topics_count < WORLD_TOPICS_MAX);
    str_copy(topic->name, world->topics[world->topics_count].name, sizeof(world->topics[0].name));
    world->topics[world->topics_count++].id = topic->topic_id;
}

static void propose(struct world *world, const struct core_effect *effect, FILE *out)
{
    struct reader r = reader_over(effect->records->data, effect->records->len);
    struct meta_record record;
    ASSERT(world->inflight_count < WORLD_INFLIGHT_MAX);
    world->inflight[world->inflight_count].token = effect->token;
    world->inflight[world->inflight_count++].records = iobuf_ref(effect->records);
    fprintf(out, "propose %d\n", (int)effect->token);
    int32_t count = 0;
    for (; reader_left(&r) > 0; count++) {
        ASSERT(meta_record_decode(&r, &world->arena, &record) == OK);
        if (record.type == META_TOPIC)
            remember_topic(world, &record.topic);
        print_record(world, &record, out);
    }
    ASSERT(count == effect->records_count);
}

static void apply(struct world *world, const struct iobuf *records)
{
    struct reader r = reader_over(records->data, records->len);
    struct image_edit *edit = image_edit_begin(world->image);
    struct meta_record record;
    while (reader_left(&r) > 0) {
        ASSERT(meta_record_decode(&r, &world->arena, &record) == OK);
        ASSERT(image_edit_apply(edit, &record) == OK);
    }
    struct image *former = world->image;
    world->image = image_edit_commit(edit, image_index(former) + 1, world->term);
    image_unref(former);
}

void world_commit(struct world *world, int count, FILE *out)
{
    for (; count > 0 && world->inflight_count > 0; count--) {
        uint64_t token = world->inflight[0].token;
        apply(world, world->inflight[0].records);
        iobuf_unref(world->inflight[0].records);
        memmove(&world->inflight[0], &world->inflight[1],
                sizeof(world->inflight[0]) * (size_t)--world->inflight_count);
        world_effects(world, core_committed(&world->core, world->now_us, token, world->image), out);
    }
}

void world_drop_inflight(struct world *world)
{
    for (int i = 0; i < world->inflight_count; i++)
        iobuf_unref(world->inflight[i].records);
    world->inflight_count = 0;
}

void world_effects(struct world *world, const struct core_effects *effects, FILE *out)
{
    for (uint32_t i = 0; i < effects->count; i++) {
        const struct core_effect *effect = &effects->items[i];
        if (effect->type == FX_PROPOSE) {
            propose(world, effect, out);
        } else if (effect->type == FX_REPLY) {
            print_reply(world, effect->token, &effect->reply, out);
        } else if (effect->type == FX_UNCLEAN) {
            fprintf(out, "unclean partition %d led by %d\n", effect->partition, effect->broker_id);
        } else {
            fprintf(out, "probe %d\n", effect->broker_id);
            world->probes[effect->broker_id % WORLD_BROKERS_MAX] = effect->token;
        }
    }
    core_check(&world->core);
    if (!world->hold)
        world_commit(world, world->inflight_count, out);
}

/* --- time and leadership --- */

/* time MS: moves on, stopping at each deadline on the way */
static void run_time(struct world *world, const struct script_line *line, FILE *out)
{
    uint64_t end = world->now_us + strtoull(line->words[1], NULL, 10) * 1000;
    while (core_deadline(&world->core) <= end) {
        world->now_us = MAX(world->now_us, core_deadline(&world->core));
        world_effects(world, core_tick(&world->core, world->now_us), out);
    }
    world->now_us = end;
}

static void run_lead(struct world *world, const struct script_line *line, FILE *out)
{
    (void)line;
    world->term++;
    world_effects(world, core_activate(&world->core, world->now_us, 1000, world->image, world->term), out);
}

/* lose [commit]: leadership is lost; what was in flight is lost too, or (commit) makes it into the log all
 * the same */
static void run_lose(struct world *world, const struct script_line *line, FILE *out)
{
    for (int i = 0; i < world->inflight_count && script_flag(line, "commit"); i++)
        apply(world, world->inflight[i].records);
    world_drop_inflight(world);
    world_effects(world, core_deactivate(&world->core, world->now_us), out);
}

static void run_hold(struct world *world, const struct script_line *line, FILE *out)
{
    (void)line;
    (void)out;
    world->hold = true;
}

/* commit [N]: the oldest N, or all, after which proposals commit at once again */
static void run_commit(struct world *world, const struct script_line *line, FILE *out)
{
    int count = line->count > 1 ? atoi(line->words[1]) : world->inflight_count;
    world_commit(world, count, out);
    world->hold = world->inflight_count > 0;
}

static void run_show(struct world *world, const struct script_line *line, FILE *out)
{
    for (int i = 1; i < line->count; i++)
        print_topic(world, world->image, line->words[i], out);
}

static void run_brokers(struct world *world, const struct script_line *line, FILE *out)
{
    (void)line;
    print_brokers(world->image, out);
}

static const struct {
    const char *name;
    int words_min;
    void (*run)(struct world *world, const struct script_line *line, FILE *out);
} commands[] = {
    {"time", 2, run_time},     {"lead", 1, run_lead}, {"lose", 1, run_lose},       {"hold", 1, run_hold},
    {"commit", 1, run_commit}, {"show", 2, run_show}, {"brokers", 1, run_brokers},
};

static bool run_own(struct world *world, const struct script_line *line, FILE *out)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(commands[i].name, line->words[0]) != 0 || line->count < commands[i].words_min)
            continue;
        commands[i].run(world, line, out);
        return true;
    }
    return false;
}

static void run(void *ctx, const struct script_line *line, FILE *out)
{
    struct world *world = ctx;
    if (line->count > 0 && !run_own(world, line, out) && !run_broker(world, line, out) &&
        !run_admin(world, line, out))
        fprintf(out, "unknown command\n");
    core_check(&world->core);
    arena_reset(&world->arena);
}

static void *start(void)
{
    struct world *world = calloc(1, sizeof(*world));
    struct core_config config = core_config_defaults();
    config.node_id = 100;
    config.cluster_id = (struct uuid){{7}};
    config.seed = 1;
    arena_init(&world->arena, NULL, 0, 16 << 20);
    world->image = image_new();
    core_init(&world->core, &config);
    return world;
}

static uint64_t hash(void *ctx)
{
    return core_hash(&((struct world *)ctx)->core);
}

static void stop(void *ctx)
{
    struct world *world = ctx;
    world_drop_inflight(world);
    core_free(&world->core);
    image_unref(world->image);
    arena_free(&world->arena);
    free(world);
}

int main(int argc, char **argv)
{
    static const struct script_world world = {start, run, hash, stop};
    return script_main(argc, argv, &world);
}
