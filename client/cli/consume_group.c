/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/consume_group.h"

#include <stdlib.h>

#include "common/base/assert.h"

#define LEAVE_US 5000000

static void *resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
    if (new_size > 0)
        return realloc(old, new_size);
    free(old);
    return NULL;
}

static void handle(struct consume_group *cg, const struct client_group_event *event)
{
    switch (event->type) {
    case CLIENT_GROUP_ASSIGNED: cg->assigned(cg->ctx, event->partitions, event->partitions_count); return;
    case CLIENT_GROUP_REVOKED: cg->revoked(cg->ctx, event->partitions, event->partitions_count); return;
    case CLIENT_GROUP_LEFT: cg->left = true; return;
    case CLIENT_GROUP_FAILED:
        cg->left = true;
        cg->failed(cg->ctx, event->failure);
        return;
    }
}

static void go_on(struct consume_group *cg)
{
    uint64_t now_us = client_driver_now_us(cg->s->driver);
    struct client_group_event event;

    client_group_turn(cg->group, now_us);
    while (client_group_next(cg->group, &event)) {
        handle(cg, &event);
        client_group_turn(cg->group, now_us);
    }
    uint64_t due_us = client_group_deadline(cg->group);
    if (due_us != CLIENT_NEVER)
        env_timer_set(cg->s->env, &cg->timer, due_us);
    client_driver_kick(cg->s->driver);
}

static void on_timer(struct env_timer *timer)
{
    go_on(CONTAINER_OF(timer, struct consume_group, timer));
}

bool consume_group_start(struct consume_group *cg, struct session *s, const struct consume_group_name *name,
                         struct client_topic *topic)
{
    static const struct core_alloc alloc = {.resize = resize};
    struct client_group_config config;

    client_group_config_init(&config);
    config.group_id = str_from(name->group);
    config.instance_id = str_from(name->instance);
    config.protocol = name->protocol;
    cg->s = s;
    cg->group = client_group_new(s->client, &alloc, &config, &topic, 1);
    if (!cg->group)
        return false;
    env_timer_init(&cg->timer, on_timer);
    go_on(cg);
    return true;
}

void consume_group_reply(struct consume_group *cg, const struct client_reply *reply)
{
    if (!cg->group || !client_group_owns(cg->group, reply->tag))
        return;
    client_group_reply(cg->group, client_driver_now_us(cg->s->driver), reply);
    go_on(cg);
}

void consume_group_position(struct consume_group *cg, const struct client_topic *topic, int32_t partition,
                            int64_t position)
{
    if (cg->group)
        client_group_position(cg->group, topic, partition, position);
}

static void on_late(struct env_timer *timer)
{
    /* the loop looks at the clock */
}

void consume_group_stop(struct consume_group *cg)
{
    struct env_timer late;

    if (!cg->group)
        return;
    uint64_t end_us = env_now_us(cg->s->env) + LEAVE_US;
    env_timer_init(&late, on_late);
    env_timer_set(cg->s->env, &late, end_us);
    client_group_leave(cg->group, client_driver_now_us(cg->s->driver));
    go_on(cg);
    while (!cg->left && env_now_us(cg->s->env) < end_us)
        cg->s->cli->world->env_turn(cg->s->env);
    env_timer_cancel(cg->s->env, &late);
    env_timer_cancel(cg->s->env, &cg->timer);
    client_group_free(cg->group);
    cg->group = NULL;
}
