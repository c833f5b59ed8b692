/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/handlers/endpoints.h"

#include "broker/shard/connection.h"

const struct meta_endpoint *endpoint_for(const struct request *rq, const struct image_broker *broker)
{
    for (int32_t i = 0; i < broker->endpoints_count; i++)
        if (str_eq_z(broker->endpoints[i].name, rq->conn->listener->name))
            return &broker->endpoints[i];
    return NULL;
}

struct walk {
    const struct request *rq;
    bool with_fenced;
    bool (*each)(void *ctx, const struct image_broker *broker, const struct meta_endpoint *endpoint);
    void *ctx;
};

static bool visit(void *ctx, const struct image_broker *broker)
{
    const struct walk *walk = ctx;
    const struct meta_endpoint *endpoint = endpoint_for(walk->rq, broker);

    if (!endpoint || (broker->fenced && !walk->with_fenced))
        return true;
    return walk->each(walk->ctx, broker, endpoint);
}

void endpoints_each(const struct request *rq, bool with_fenced,
                    bool (*each)(void *ctx, const struct image_broker *broker,
                                 const struct meta_endpoint *endpoint),
                    void *ctx)
{
    struct walk walk = {rq, with_fenced, each, ctx};

    image_each_broker(rq->shard->image, visit, &walk);
}

int32_t controller_for_clients(const struct request *rq)
{
    int32_t self = rq->shard->broker->broker_id;
    const struct image_broker *broker = image_broker(rq->shard->image, self);

    return broker && !broker->fenced ? self : -1;
}

struct str cluster_id_text(struct request *rq)
{
    struct uuid id = image_cluster_id(rq->shard->image);
    char *text = uuid_is_zero(id) ? NULL : arena_alloc(&rq->arena, UUID_TEXT_MAX);

    if (!text)
        return STR_NULL;
    uuid_format(id, text);
    return str_from(text);
}
