/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/handlers/partwise.h"

#include "common/base/assert.h"
#include "proto/kafka/error.h"

struct partwise_part {
    struct scatter_part scatter;
    const void *in;
    void *out;
    union {
        struct partition_wait wait;
        struct partition_lookup lookup; /* of an API that seeks */
    };
};

static void finish(struct scatter *scatter)
{
    struct partwise *op = CONTAINER_OF(scatter, struct partwise, scatter);

    op->api->finish(scatter->rq, op->response);
}

static void waited(struct partition_wait *wait, int16_t error)
{
    struct partwise_part *part = CONTAINER_OF(wait, struct partwise_part, wait);
    const struct partwise *op = CONTAINER_OF(part->scatter.scatter, struct partwise, scatter);

    if (error != KAFKA_NONE)
        op->api->fail(part->out, error);
    scatter_part_done(&part->scatter);
}

static void sought(struct partition_lookup *lookup)
{
    struct partwise_part *part = CONTAINER_OF(lookup, struct partwise_part, lookup);
    const struct partwise *op = CONTAINER_OF(part->scatter.scatter, struct partwise, scatter);

    op->api->found(lookup, part->out);
    scatter_part_done(&part->scatter);
}

static bool seek(const struct partwise *op, struct partwise_part *part, struct partition *p)
{
    part->lookup.done = sought;
    bool waits = op->api->seek(op->request, part->in, p, &part->lookup);
    if (!waits)
        op->api->found(&part->lookup, part->out);
    return waits;
}

static void cancel(struct scatter_part *scatter_part)
{
    struct partwise_part *part = CONTAINER_OF(scatter_part, struct partwise_part, scatter);
    const struct partwise *op = CONTAINER_OF(scatter_part->scatter, struct partwise, scatter);

    if (!partition_lookup_cancel(&part->lookup))
        return;
    op->api->fail(part->out, KAFKA_REQUEST_TIMED_OUT);
    scatter_part_done(scatter_part);
}

static void abandoned(struct request *rq)
{
    struct partwise *op = rq->op;

    scatter_abandon(&op->scatter);
}

static bool run(struct shard *owner, struct scatter_part *scatter_part, struct partition *p)
{
    struct partwise_part *part = CONTAINER_OF(scatter_part, struct partwise_part, scatter);
    const struct partwise *op = CONTAINER_OF(scatter_part->scatter, struct partwise, scatter);

    if (!p) {
        op->api->fail(part->out, KAFKA_NOT_LEADER_OR_FOLLOWER);
        return false;
    }
    if (op->api->seek)
        return seek(op, part, p);
    op->api->run(op->request, part->in, part->out, p);
    part->wait.done = waited;
    return op->api->wait && op->api->wait(op->request, part->out, p, &part->wait);
}

struct partwise *partwise_begin(struct request *rq, const struct partwise_api *api, const void *request,
                                void *response)
{
    struct partwise *op = response ? arena_calloc(&rq->arena, 1, sizeof(*op)) : NULL;

    if (!op) {
        request_refuse(rq, "out of memory");
        return NULL;
    }
    scatter_init(&op->scatter, rq, run, finish);
    op->api = api;
    op->request = request;
    op->response = response;
    rq->op = op;
    if (api->seek) {
        op->scatter.cancel = cancel;
        rq->abandoned = abandoned;
    }
    return op;
}

void *partwise_topic(struct partwise *op, struct str topic, const void *in, int32_t count)
{
    struct request *rq = op->scatter.rq;
    const struct partwise_api *api = op->api;
    struct partwise_part *parts = arena_calloc(&rq->arena, (size_t)count, sizeof(*parts));
    uint8_t *outs = arena_calloc(&rq->arena, (size_t)count, api->out_size);

    if (!parts || !outs)
        return NULL;
    for (int32_t i = 0; i < count; i++) {
        struct partwise_part *part = &parts[i];
        struct partition_place place;
        part->in = (const uint8_t *)in + (size_t)i * api->in_size;
        part->out = outs + (size_t)i * api->out_size;
        int32_t index = api->begin(part->in, part->out);
        int16_t error = partition_place_find(rq->shard, false, topic, (struct uuid){0}, index, &place);
        if (error != KAFKA_NONE)
            api->fail(part->out, error);
        else if (!scatter_add(&op->scatter, &part->scatter, &place))
            return NULL;
    }
    return outs;
}

void partwise_run(struct partwise *op, bool ok)
{
    if (ok)
        scatter_run(&op->scatter);
    else
        request_refuse(op->scatter.rq, "out of memory");
}
