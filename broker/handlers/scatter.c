/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/handlers/scatter.h"

#include "common/base/assert.h"

struct scatter_hop {
    struct env_msg msg;
    struct env_msg cancel;
    struct scatter *scatter;
    struct shard *owner, *home;
    struct scatter_list parts;
    uint32_t waiting; /* the owner's */
    struct scatter_hop *next;
};

void scatter_init(struct scatter *scatter, struct request *rq,
                  bool (*run)(struct shard *owner, struct scatter_part *part, struct partition *p),
                  void (*finish)(struct scatter *scatter))
{
    *scatter = (struct scatter){.rq = rq, .run = run, .finish = finish};
}

static struct scatter_hop *hop_to(struct scatter *scatter, unsigned shard)
{
    struct shard *home = scatter->rq->shard;
    struct shard *owner = home->broker->shards[shard];
    struct scatter_hop *hop = scatter->hops;

    while (hop && hop->owner != owner)
        hop = hop->next;
    if (hop)
        return hop;
    hop = arena_calloc(&scatter->rq->arena, 1, sizeof(*hop));
    if (!hop)
        return NULL;
    *hop = (struct scatter_hop){.scatter = scatter, .owner = owner, .home = home, .next = scatter->hops};
    scatter->hops = hop;
    return hop;
}

static void list_append(struct scatter_list *list, struct scatter_part *part)
{
    if (list->last)
        list->last->next = part;
    else
        list->first = part;
    list->last = part;
}

bool scatter_add(struct scatter *scatter, struct scatter_part *part, const struct partition_place *place)
{
    bool own = place->route->shard == scatter->rq->shard->index;
    struct scatter_hop *hop = own ? NULL : hop_to(scatter, place->route->shard);

    if (!own && !hop)
        return false;
    *part = (struct scatter_part){
        .scatter = scatter, .hop = hop, .topic_id = place->topic->id, .index = place->state->index};
    list_append(own ? &scatter->own : &hop->parts, part);
    return true;
}

static void settled(struct scatter *scatter)
{
    ASSERT(scatter->waiting > 0);
    if (--scatter->waiting == 0)
        scatter->finish(scatter);
}

static void hop_home(struct env_msg *msg)
{
    settled(CONTAINER_OF(msg, struct scatter_hop, msg)->scatter);
}

static void hop_settled(struct scatter_hop *hop)
{
    ASSERT(hop->waiting > 0);
    if (--hop->waiting > 0)
        return;
    hop->msg.fn = hop_home;
    env_post(hop->home->env, &hop->msg);
}

static bool part_run(struct shard *owner, struct scatter_part *part)
{
    return part->scatter->run(owner, part, shard_partition(owner, part->topic_id, part->index));
}

/* On the owner. The count starts at one, so that parts that settle at once do not send the hop home early. */
static void hop_run(struct env_msg *msg)
{
    struct scatter_hop *hop = CONTAINER_OF(msg, struct scatter_hop, msg);

    hop->waiting = 1;
    for (struct scatter_part *part = hop->parts.first; part; part = part->next)
        if (part_run(hop->owner, part))
            hop->waiting++;
    hop_settled(hop);
}

void scatter_run(struct scatter *scatter)
{
    struct shard *home = scatter->rq->shard;

    scatter->waiting = 1;
    for (struct scatter_hop *hop = scatter->hops; hop; hop = hop->next) {
        scatter->waiting++;
        shard_count(home, request_hops, 1);
        hop->msg.fn = hop_run;
        env_post(hop->owner->env, &hop->msg);
    }
    for (struct scatter_part *part = scatter->own.first; part; part = part->next)
        if (part_run(home, part))
            scatter->waiting++;
    settled(scatter);
}

static void cancel_home(struct env_msg *msg)
{
    settled(CONTAINER_OF(msg, struct scatter_hop, cancel)->scatter);
}

static void cancel_all(struct scatter *scatter, const struct scatter_list *parts)
{
    for (struct scatter_part *part = parts->first; part; part = part->next)
        scatter->cancel(part);
}

/* On the owner. Mail arrives in order: the hop has run. It may be home again; then nothing waits here. */
static void cancel_run(struct env_msg *msg)
{
    struct scatter_hop *hop = CONTAINER_OF(msg, struct scatter_hop, cancel);

    cancel_all(hop->scatter, &hop->parts);
    msg->fn = cancel_home;
    env_post(hop->home->env, msg);
}

void scatter_abandon(struct scatter *scatter)
{
    if (!scatter->cancel)
        return;
    scatter->waiting++;
    for (struct scatter_hop *hop = scatter->hops; hop; hop = hop->next) {
        scatter->waiting++;
        hop->cancel.fn = cancel_run;
        env_post(hop->owner->env, &hop->cancel);
    }
    cancel_all(scatter, &scatter->own);
    settled(scatter);
}

void scatter_part_done(struct scatter_part *part)
{
    if (part->hop)
        hop_settled(part->hop);
    else
        settled(part->scatter);
}
