/* SPDX-License-Identifier: Apache-2.0 */
/* Life of the core: leadership, commits, effects. */
#include "controller/core/core.h"

#include <string.h>

#include "controller/core/internal.h"
#include "proto/cluster/feature_table.h"

STATIC_ASSERT(CORE_ENTRY_RECORDS <= META_ENTRY_RECORDS_MAX,
              "a cut entry stays below what a replayer accepts");
STATIC_ASSERT(CORE_PARTITIONS_PER_REQUEST_MAX < META_ENTRY_RECORDS_MAX,
              "one create request fits in one entry");

#define EVENT_BYTES_MAX                                                                                      \
    (256u << 20) /* effects of one event: an answer to each waiter, an entry for each cut of a plan */
#define MEMORY_BYTES_MAX (64u << 20) /* sessions */

struct core_config core_config_defaults(void)
{
    return (struct core_config){
        .node_id = 0,
        .session_us = 3000000,
        .suspect_window_us = 500000,
        .num_partitions = 1,
        .default_replication_factor = 1,
        .auto_rebalance = true,
        .rebalance_us = 300000000,
        .imbalance_percent = 10,
        .request_bytes_max = 64u << 20,
    };
}

void core_init(struct core *core, const struct core_config *config)
{
    ASSERT(config->session_us > 0 && config->request_bytes_max > 0);
    ASSERT(!uuid_is_zero(config->cluster_id));
    *core = (struct core){.config = *config, .balance_us = UINT64_MAX};
    list_init(&core->waiters);
    list_init(&core->done);
    list_init(&core->free_sessions);
    map_init(&core->sessions);
    map_init(&core->words);
    arena_init(&core->word_memory, NULL, 0, MEMORY_BYTES_MAX);
    heap_init(&core->deadlines);
    prng_seed(&core->prng, config->seed);
    arena_init(&core->memory, NULL, 0, MEMORY_BYTES_MAX);
    arena_init(&core->event, core->event_first, sizeof(core->event_first), EVENT_BYTES_MAX);
}

bool core_is_active(const struct core *core)
{
    return core->active;
}

/* --- effects --- */

static void free_commands(struct list *list)
{
    list_for_each_safe (it, next, list) {
        struct command *command = CONTAINER_OF(it, struct command, link);
        struct arena arena = command->arena; /* the command lies in it */
        list_remove(it);
        arena_free(&arena);
    }
}

static void release_records(struct core *core)
{
    for (uint32_t i = 0; i < core->effects.count; i++)
        iobuf_unref(core->effects.items[i].records);
}

void event_begin(struct core *core, uint64_t now_us)
{
    ASSERT(core->effects.count <= core->effects.cap);
    release_records(core);
    free_commands(&core->done);
    ASSERT(list_empty(&core->done));
    core->effects = (struct core_effects){0};
    arena_reset(&core->event);
    core->now_us = MAX(core->now_us, now_us);
}

static bool grow_effects(struct core *core)
{
    struct core_effects *effects = &core->effects;
    uint32_t cap = effects->cap ? effects->cap * 2 : 16;
    struct core_effect *items = arena_calloc(&core->event, cap, sizeof(*items));
    if (!items)
        return false;
    if (effects->count > 0)
        memcpy(items, effects->items, effects->count * sizeof(*items));
    effects->items = items;
    effects->cap = cap;
    return true;
}

struct core_effect *effect_add(struct core *core, enum core_effect_type type, uint64_t token)
{
    struct core_effects *effects = &core->effects;
    if (effects->count == effects->cap && !grow_effects(core))
        return NULL;
    ASSERT(effects->count < effects->cap);
    struct core_effect *effect = &effects->items[effects->count++];
    *effect = (struct core_effect){.type = type, .token = token};
    return effect;
}

STATIC_ASSERT(16 * sizeof(struct core_effect) < 8192,
              "the first effects fit in the core itself: a refusal needs no memory");

void core_free(struct core *core)
{
    event_begin(core, 0);
    free_commands(&core->waiters);
    image_unref(core->committed);
    image_unref(core->latest);
    map_free(&core->sessions);
    words_clear(core);
    map_free(&core->words);
    arena_free(&core->word_memory);
    heap_free(&core->deadlines);
    arena_free(&core->memory);
    arena_free(&core->event);
    core->committed = core->latest = NULL;
    core->active = false;
}

/* --- leadership --- */

static void plan_cluster(struct plan *plan, int64_t wall_ms)
{
    if (!uuid_is_zero(image_cluster_id(plan_image(plan))))
        return;
    struct meta_record record = {.type = META_CLUSTER, .cluster = {plan->core->config.cluster_id, wall_ms}};
    plan_record(plan, &record);
    for (size_t i = 0; i < features_count; i++) {
        struct meta_record feature = {.type = META_FEATURE,
                                      .feature = {str_from(features[i].name), features[i].initial}};
        if (features[i].initial > 0)
            plan_record(plan, &feature);
    }
}

struct controller_search {
    const struct meta_controller *wanted;
    bool found;
};

static bool match_controller(void *ctx, const struct meta_controller *controller)
{
    struct controller_search *search = ctx;
    search->found = controller->node_id == search->wanted->node_id &&
                    controller->port == search->wanted->port &&
                    str_eq(controller->host, search->wanted->host);
    return !search->found;
}

static void plan_controllers(struct plan *plan)
{
    for (int32_t i = 0; i < plan->core->config.controllers_count; i++) {
        struct controller_search search = {.wanted = &plan->core->config.controllers[i]};
        image_each_controller(plan_image(plan), match_controller, &search);
        if (search.found)
            continue;
        struct meta_record record = {.type = META_CONTROLLER, .controller = *search.wanted};
        plan_record(plan, &record);
    }
}

void core_set_controllers(struct core *core, const struct meta_controller *controllers, int32_t count)
{
    ASSERT(!core->active);
    core->config.controllers = controllers;
    core->config.controllers_count = count;
}

const struct core_effects *core_controllers(struct core *core, uint64_t now_us,
                                            const struct meta_controller *controllers, int32_t count)
{
    struct plan plan;
    ASSERT(core->active);
    event_begin(core, now_us);
    core->config.controllers = controllers;
    core->config.controllers_count = count;
    plan_begin(&plan, core);
    plan_controllers(&plan);
    plan_end(&plan); /* out of memory: they are published by the next leader */
    return &core->effects;
}

const struct core_effects *core_activate(struct core *core, uint64_t now_us, int64_t wall_ms,
                                         struct image *image, uint64_t term)
{
    ASSERT(!core->active && list_empty(&core->waiters));
    ASSERT(core->proposed_token == core->committed_token);
    ASSERT(core->committed == NULL && core->latest == NULL && core_live_brokers(core) == 0);
    ASSERT(term > core->term || core->term == 0);
    event_begin(core, now_us);
    core->active = true;
    core->term = term;
    core->committed = image_ref(image);
    core->latest = image_ref(image);
    enum err err = sessions_grant_all(core);
    struct plan plan;
    plan_begin(&plan, core);
    plan.err = err;
    plan_cluster(&plan, wall_ms);
    plan_controllers(&plan);
    plan_may_cut(&plan);
    plan_review(&plan, NODE_NONE);
    if (plan_end(&plan) != OK)
        return core_deactivate(core,
                               now_us); /* out of memory: a leader that cannot see its brokers is none */
    balance_arm(core);
    return &core->effects;
}

static void answer(struct command *command, int16_t error, uint64_t index)
{
    struct core *core = command->core;
    ASSERT(command->waits_for > 0 && command->plan.edit == NULL);
    reply_set(core, &command->reply, error, index);
    list_remove(&command->link);
    list_push_back(&core->done, &command->link);
    struct core_effect *effect = effect_add(core, FX_REPLY, command->token);
    ASSERT(effect != NULL); /* the event's arena holds an effect per waiter, see below */
    effect->reply = command->reply;
}

STATIC_ASSERT((uint64_t)CORE_WAITERS_MAX * 4 * sizeof(struct core_effect) < EVENT_BYTES_MAX / 2,
              "all waiters can be answered in one event, even if the list of effects grows by copying");

/* Answers the waiters up to a token; what they rest on is committed at index. */
static void answer_up_to(struct core *core, uint64_t token, uint64_t index)
{
    while (!list_empty(&core->waiters)) {
        struct command *command = CONTAINER_OF(core->waiters.next, struct command, link);
        if (command->waits_for > token)
            return;
        ASSERT(core->waiters_count > 0);
        if (command->committed)
            command->committed(command, index);
        core->waiters_count--;
        answer(command, KAFKA_NONE, index);
    }
}

const struct core_effects *core_deactivate(struct core *core, uint64_t now_us)
{
    event_begin(core, now_us);
    core->active = false;
    while (!list_empty(&core->waiters)) {
        struct command *command = CONTAINER_OF(core->waiters.next, struct command, link);
        core->waiters_count--;
        answer(command, command->proposed ? KAFKA_REQUEST_TIMED_OUT : KAFKA_NOT_CONTROLLER, 0);
    }
    core->committed_token = core->proposed_token; /* tokens of lost proposals are never used again */
    image_unref(core->committed);
    image_unref(core->latest);
    core->committed = core->latest = NULL;
    sessions_clear(core);
    words_clear(core);
    balance_stop(core);
    ASSERT(core->waiters_count == 0 && core_deadline(core) == UINT64_MAX);
    return &core->effects;
}

static void replace_image(struct image **slot, struct image *image)
{
    ASSERT(*slot != NULL && image != NULL);
    struct image *former = *slot;
    *slot = image_ref(image);
    image_unref(former);
}

const struct core_effects *core_committed(struct core *core, uint64_t now_us, uint64_t token,
                                          struct image *image)
{
    event_begin(core, now_us);
    if (!core->active || token <= core->committed_token)
        return &core->effects; /* of a former period of leadership */
    ASSERT(token == core->committed_token + 1 && token <= core->proposed_token);
    ASSERT(image_index(image) > image_index(core->committed));
    core->committed_token = token;
    replace_image(&core->committed, image);
    if (token == core->proposed_token) {
        ASSERT(image_hash(core->latest) == image_hash(image)); /* what was planned is what was committed */
        replace_image(&core->latest, image);
    }
    answer_up_to(core, token, image_index(image));
    balance_arm(core);
    return &core->effects;
}
