/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/shard/group_coordinator.h"

#include <stdlib.h>

#include "broker/config.h"
#include "common/base/assert.h"
#include "common/base/mutant.h"
#include "common/batch/marker.h"

struct group_core {
    struct core_alloc alloc;
    struct group_settings settings;
    struct groups *groups;
    struct shard *shard;
    struct group_topics topics;
    uint64_t bytes; /* held by the core */
};

static void *resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
    struct group_core *core = ctx;
    void *p = NULL;

    if (new_size == 0)
        free(old);
    else
        p = realloc(old, new_size);
    if (p || new_size == 0)
        core->bytes += new_size - old_size;
    return p;
}

/* -- the metadata, as the core asks about it -- */

static void view_of(const struct image_topic *topic, struct group_topic_view *ret)
{
    ret->id = topic->id;
    ret->name = topic->name;
    ret->partitions = topic->partitions_count;
    ret->internal = topic->name.len > 2 && topic->name.p[0] == '_' && topic->name.p[1] == '_';
}

static bool topic_by_name(void *ctx, struct str name, struct group_topic_view *ret)
{
    const struct image_topic *topic = image_topic_by_name(((struct shard *)ctx)->image, name);

    if (topic)
        view_of(topic, ret);
    return topic != NULL;
}

static bool topic_by_id(void *ctx, struct uuid id, struct group_topic_view *ret)
{
    const struct image_topic *topic = image_topic_by_id(((struct shard *)ctx)->image, id);

    if (topic)
        view_of(topic, ret);
    return topic != NULL;
}

struct each_topic {
    bool (*each)(void *arg, const struct group_topic_view *topic);
    void *arg;
};

static bool on_topic(void *ctx, const struct image_topic *topic)
{
    const struct each_topic *to = ctx;
    struct group_topic_view view;

    view_of(topic, &view);
    return to->each(to->arg, &view);
}

static void topics_each(void *ctx, bool (*each)(void *arg, const struct group_topic_view *topic), void *arg)
{
    struct each_topic to = {each, arg};

    image_each_topic(((struct shard *)ctx)->image, on_topic, &to);
}

static uint64_t topics_version(void *ctx)
{
    return image_index(((struct shard *)ctx)->image);
}

static void consumer_settings(struct group_core *core, const struct broker_config *config)
{
    int policy = config->group_consumer_migration_policy;

    core->topics = (struct group_topics){.ctx = core->shard,
                                         .by_name = topic_by_name,
                                         .by_id = topic_by_id,
                                         .each = topics_each,
                                         .version = topics_version};
    core->settings.topics = &core->topics;
    core->settings.consumer_session_ms = config->group_consumer_session_timeout_ms;
    core->settings.consumer_heartbeat_ms = config->group_consumer_heartbeat_interval_ms;
    core->settings.consumer_size_max = config->group_consumer_max_size;
    core->settings.consumer_upgrade = policy == GROUP_MIGRATION_UPGRADE || policy == GROUP_MIGRATION_BOTH;
    core->settings.consumer_downgrade = policy == GROUP_MIGRATION_DOWNGRADE || policy == GROUP_MIGRATION_BOTH;
}

static void *group_open(struct shard *shard, struct coordinator *c, int32_t leader_epoch)
{
    const struct broker_config *config = shard->broker->config;
    struct group_core *core = calloc(1, sizeof(*core));
    uint64_t seed;

    if (!core)
        return NULL;
    core->alloc = (struct core_alloc){.ctx = core, .resize = resize};
    core->settings = (struct group_settings){
        .session_min_ms = config->group_min_session_timeout_ms,
        .session_max_ms = config->group_max_session_timeout_ms,
        .initial_delay_ms = config->group_initial_rebalance_delay_ms,
        .size_max = config->group_max_size,
        .metadata_max = config->offset_metadata_max_bytes,
        .commit_timeout_ms = config->offsets_commit_timeout_ms,
        .retention_ms = config->offsets_retention_minutes * 60000,
        .retention_check_ms = config->offsets_retention_check_interval_ms,
    };
    core->shard = shard;
    consumer_settings(core, config);
    env_random(shard->env, &seed, sizeof(seed));
    core->groups = groups_new(&core->alloc, &core->settings, seed);
    if (!core->groups) {
        free(core);
        return NULL;
    }
    groups_set_time(core->groups, env_now_us(shard->env), env_wall_ms(shard->env));
    return core;
}

static struct groups *groups_of(const void *core)
{
    return ((const struct group_core *)core)->groups;
}

static enum err group_replay(void *core, const uint8_t *batch, const struct record *record)
{
    struct marker marker;

    if (batch_is_control(batch)) {
        if (marker_parse(batch, &marker) == OK)
            groups_marked(groups_of(core), batch_producer_id(batch), marker.type == MARKER_COMMIT);
        return OK;
    }
    if (batch_is_transactional(batch))
        return groups_replay_txn(groups_of(core), batch_producer_id(batch), record->key, record->value);
    return groups_replay(groups_of(core), record->key, record->value);
}

static void group_loaded(void *core)
{
    groups_loaded(groups_of(core));
}

static void group_set_time(void *core, uint64_t now_us, int64_t wall_ms)
{
    groups_set_time(groups_of(core), now_us, wall_ms);
}

static void group_tick(void *core)
{
    groups_tick(groups_of(core));
}

static uint64_t group_deadline(const void *core)
{
    return groups_deadline(groups_of(core));
}

static bool group_take_write(void *core, struct coordinator_write *ret)
{
    return groups_take_write(groups_of(core), ret);
}

static void group_committed(void *core, uint64_t seq)
{
    groups_committed(groups_of(core), seq);
}

static void group_failed(void *core, uint64_t first, uint64_t last, int16_t error)
{
    groups_failed(groups_of(core), first, last, error);
}

static void group_marked(void *core, int64_t producer_id, bool commit)
{
    groups_marked(groups_of(core), producer_id, commit);
}

static void group_topic_gone(void *core, struct str topic)
{
    groups_topic_gone(groups_of(core), topic);
}

static void group_deliver(void *core)
{
    struct group_call *call;

    while ((call = groups_take_settled(groups_of(core))) != NULL) {
        struct group_request *request = CONTAINER_OF(call, struct group_request, call);
        request->done(request);
    }
}

static void group_close(void *ctx)
{
    struct group_core *core = ctx;

    groups_end(core->groups);
    group_deliver(core);
    groups_free(core->groups);
    ASSERT(core->bytes == 0);
    free(core);
}

const struct coordinator_type group_coordinator_type = {
    .topic = GROUP_TOPIC,
    .open = group_open,
    .replay = group_replay,
    .loaded = group_loaded,
    .set_time = group_set_time,
    .tick = group_tick,
    .deadline = group_deadline,
    .take_write = group_take_write,
    .committed = group_committed,
    .failed = group_failed,
    .marked = group_marked,
    .topic_gone = group_topic_gone,
    .deliver = group_deliver,
    .close = group_close,
};

bool group_submit(struct coordinator *c, struct group_request *request)
{
    struct group_core *core = coordinator_enter(c, &request->call.error);

    if (!core)
        return false;
    groups_call(core->groups, &request->call);
    coordinator_touched(c);
    return true;
}

void group_each_position(struct coordinator *c,
                         void (*each)(void *ctx, const struct group_position *position), void *ctx)
{
    const struct group_core *core = coordinator_core(c, &group_coordinator_type);

    if (core)
        groups_each_position(core->groups, each, ctx);
}
