/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/shard/shard_image.h"

#include <stdlib.h>

#include "broker/config.h"
#include "broker/metadata/topic_settings.h"
#include "broker/shard/connection.h"
#include "broker/shard/control.h"
#include "broker/shard/coordinator.h"
#include "broker/shard/fetcher.h"
#include "broker/shard/partition_repair.h"
#include "broker/shard/repair.h"
#include "common/base/assert.h"
#include "common/obs/log.h"

struct image_mail {
    struct env_msg msg;
    struct shard *shard;
    struct image_step *step;
};

struct image_step *image_step_new(struct image *image, uint32_t changes_max)
{
    struct image_step *step = malloc(sizeof(*step) + changes_max * sizeof(step->changes[0]));

    if (!step)
        return NULL;
    atomic_init(&step->refs, 1);
    step->image = image_ref(image);
    step->defaults_changed = step->topics_gone = false;
    step->changes_count = 0;
    return step;
}

void image_step_unref(struct image_step *step)
{
    if (atomic_fetch_sub_explicit(&step->refs, 1, memory_order_acq_rel) != 1)
        return;
    image_unref(step->image);
    free(step);
}

static void on_image_mail(struct env_msg *msg)
{
    struct image_mail *mail = CONTAINER_OF(msg, struct image_mail, msg);
    struct shard *shard = mail->shard;
    struct image_step *step = mail->step;

    free(mail);
    shard_apply_image(shard, step);
    image_step_unref(step);
}

bool shard_post_image(struct shard *shard, struct image_step *step)
{
    struct image_mail *mail = malloc(sizeof(*mail));

    if (!mail)
        return false;
    atomic_fetch_add_explicit(&step->refs, 1, memory_order_relaxed);
    *mail = (struct image_mail){.msg = {.fn = on_image_mail}, .shard = shard, .step = step};
    env_post(shard->env, &mail->msg);
    return true;
}

/* -- partitions -- */

static bool has_replica(const struct image_partition *state, int32_t broker_id)
{
    for (int32_t i = 0; state && i < state->replicas_count; i++)
        if (state->replicas[i] == broker_id)
            return true;
    return false;
}

static void open_route(struct shard *shard, struct image *image, struct route *route,
                       const struct image_topic *topic)
{
    struct partition_config config;
    enum err err;

    topic_settings_resolve(image, shard->broker->config, topic->name, &config);
    err = partition_open(&shard->host, topic, route->index, &config, &route->partition);
    if (err != OK) {
        shard_note_failed(shard, route, true);
        LOG(shard->broker->log, ERROR, "partition.open_failed", F_VIEW("topic", topic->name),
            F_I64("partition", route->index), F_STR("error", err_text(err)));
        route->partition = NULL;
        return;
    }
    shard_note_failed(shard, route, false);
    route->opening = ++shard->openings;
    fetchers_add(shard->fetchers, route->partition);
    if (partition_damages(route->partition) > 0)
        repairer_add(shard->repairer, route->partition);
}

static void apply_route(struct shard *shard, struct image *image, struct route *route,
                        const struct image_topic *topic, const struct image_partition *state)
{
    struct partition_config config;

    if (!route->partition)
        open_route(shard, image, route, topic);
    if (!route->partition)
        return;
    topic_settings_resolve(image, shard->broker->config, topic->name, &config);
    partition_apply(route->partition, state, &config);
    shard_recount(shard, route);
    fetchers_changed(shard->fetchers, route->partition);
    coordinator_route_changed(shard, route);
}

/* The replica left this broker: with its topic, or by reassignment. */
static void drop_route(struct shard *shard, struct uuid topic_id, int32_t index)
{
    struct route *route = route_find(&shard->routes, topic_id, index);

    if (!route)
        return;
    if (route->partition) {
        coordinator_route_closing(route);
        fetchers_remove(shard->fetchers, route->partition);
        partition_delete(route->partition);
        route->partition = NULL;
    }
    shard_note_failed(shard, route, false); /* what is not here any more is not left in doubt */
    shard_recount(shard, route);
    route_remove(&shard->routes, topic_id, index);
}

static void apply_change(struct shard *shard, struct image *image, const struct route_change *change)
{
    const struct image_topic *topic = image_topic_by_id(image, change->topic_id);
    const struct image_partition *state = topic ? image_partition(image, topic, change->index) : NULL;

    if (!has_replica(state, shard->broker->broker_id)) {
        drop_route(shard, change->topic_id, change->index);
        return;
    }
    struct route *route = route_put(&shard->routes, change->topic_id, change->index, change->shard);
    ASSERT(route); /* a few bytes at the metadata's pace: without them the broker cannot go on */
    if (change->shard == shard->index)
        apply_route(shard, image, route, topic, state);
}

void shard_apply_again(struct shard *shard, struct uuid topic_id, int32_t index)
{
    struct route *route = route_find(&shard->routes, topic_id, index);
    const struct image_topic *topic = image_topic_by_id(shard->image, topic_id);
    const struct image_partition *state = topic ? image_partition(shard->image, topic, index) : NULL;

    if (route && route->partition && state)
        apply_route(shard, shard->image, route, topic, state);
    control_shard_applied(shard->broker->control, shard->index, image_index(shard->image),
                          shard->failed_partitions);
}

static void refresh_config(void *ctx, struct route *route)
{
    struct shard *shard = ctx;
    const struct image_topic *topic = image_topic_by_id(shard->image, route->topic_id);
    const struct image_partition *state = topic ? image_partition(shard->image, topic, route->index) : NULL;

    if (route->partition && state)
        apply_route(shard, shard->image, route, topic, state);
}

/* -- topics that were deleted: coordinators of groups forget them -- */

struct deletion {
    struct shard *shard;
    struct str topic;
};

static void tell_coordinator(void *ctx, struct route *route)
{
    const struct deletion *deletion = ctx;

    coordinator_topic_gone(route, deletion->topic);
}

static bool on_difference(void *ctx, const struct image_topic *topic, const struct image_partition *before,
                          const struct image_partition *after)
{
    struct deletion *deletion = ctx;

    if (!after && before->index == 0) { /* partitions only go with their topic */
        deletion->topic = topic->name;
        route_each(&deletion->shard->routes, tell_coordinator, deletion);
    }
    return true;
}

/* Those that wait for up_to or less. */
static void wake_image_waits(struct shard *shard, uint64_t up_to)
{
    struct list due;

    list_init(&due);
    list_for_each_safe (it, tmp, &shard->image_waits) {
        struct image_wait *wait = CONTAINER_OF(it, struct image_wait, link);
        if (wait->index > up_to)
            continue;
        list_remove(it);
        list_push_back(&due, it);
    }
    while (!list_empty(&due)) {
        struct image_wait *wait = CONTAINER_OF(due.next, struct image_wait, link);
        list_remove(&wait->link);
        wait->fn(wait);
    }
}

void shard_end_image_waits(struct shard *shard)
{
    wake_image_waits(shard, UINT64_MAX);
}

void shard_apply_image(struct shard *shard, struct image_step *step)
{
    struct image *before = shard->image;

    if (shard->stopping)
        return;
    shard->image = image_ref(step->image); /* partitions look brokers up in it while they change */
    for (uint32_t i = 0; i < step->changes_count; i++)
        apply_change(shard, step->image, &step->changes[i]);
    if (step->topics_gone)
        image_diff_partitions(before, step->image, on_difference, &(struct deletion){.shard = shard});
    image_unref(before);
    if (step->defaults_changed || !shard->serving)
        throttles_configure(&shard->broker->replication_in, &shard->broker->replication_out, shard->image,
                            shard->broker->broker_id);
    if (step->defaults_changed)
        route_each(&shard->routes, refresh_config, shard);
    fetchers_image_changed(shard->fetchers);
    wake_image_waits(shard, image_index(shard->image));
    control_shard_applied(shard->broker->control, shard->index, image_index(shard->image),
                          shard->failed_partitions);
    if (!shard->serving) {
        shard->serving = true;
        connection_serve_all(shard);
    }
}

void shard_wait_image(struct shard *shard, struct image_wait *wait)
{
    list_init(&wait->link);
    if (wait->index <= image_index(shard->image))
        wait->fn(wait);
    else
        list_push_back(&shard->image_waits, &wait->link);
}
