/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/handlers/txnwise.h"

#include "common/base/assert.h"

#define PART_ARENA_BYTES METADATA_ARENA_BYTES /* what the log holds, not what the request says */

static void finish(struct scatter *scatter)
{
    struct txnwise *op = CONTAINER_OF(scatter, struct txnwise, scatter);
    struct request *rq = op->rq;

    op->finish(op);
    for (int32_t i = 0; i < op->parts_count; i++)
        arena_free(&op->parts[i].arena);
    request_reply_end(rq);
}

/* On the owner. */
static void on_done(struct txn_request *request)
{
    scatter_part_done(&CONTAINER_OF(request, struct txnwise_part, request)->scatter);
}

static bool run(struct shard *owner, struct scatter_part *scatter_part, struct partition *p)
{
    struct txnwise_part *part = CONTAINER_OF(scatter_part, struct txnwise_part, scatter);

    return txn_submit(owner, scatter_part->topic_id, scatter_part->index, &part->request);
}

struct txnwise *txnwise_begin(struct request *rq, int32_t parts_max, void *request, void *response,
                              void (*finish_op)(struct txnwise *op))
{
    struct txnwise *op = arena_calloc(&rq->arena, 1, sizeof(*op));
    struct txnwise_part *parts = arena_calloc(&rq->arena, (size_t)parts_max, sizeof(*parts));

    if (!op || !parts || !request || !response) {
        request_refuse(rq, "out of memory");
        return NULL;
    }
    *op = (struct txnwise){.rq = rq,
                           .parts = parts,
                           .parts_max = parts_max,
                           .request = request,
                           .response = response,
                           .finish = finish_op};
    scatter_init(&op->scatter, rq, run, finish);
    return op;
}

static struct txnwise_part *new_part(struct txnwise *op, enum txn_call_type type, struct str id)
{
    struct txnwise_part *part = &op->parts[op->parts_count];

    ASSERT(op->parts_count < op->parts_max);
    op->parts_count++;
    arena_init(&part->arena, NULL, 0, PART_ARENA_BYTES);
    part->request.done = on_done;
    part->request.call = (struct txn_call){.type = type,
                                           .id = id,
                                           .producer_id = -1,
                                           .producer_epoch = -1,
                                           .fresh_id = -1,
                                           .arena = &part->arena};
    return part;
}

static void send_to(struct txnwise *op, struct txnwise_part *part, const struct image_topic *topic,
                    int32_t index)
{
    struct partition_place place;
    int16_t error = partition_place_find(op->rq->shard, true, STR_NULL, topic->id, index, &place);

    if (error != KAFKA_NONE)
        part->request.call.error = KAFKA_NOT_COORDINATOR;
    else if (!scatter_add(&op->scatter, &part->scatter, &place))
        part->request.call.error = KAFKA_UNKNOWN_SERVER_ERROR;
}

struct txn_call *txnwise_add(struct txnwise *op, enum txn_call_type type, struct str id)
{
    const struct image_topic *topic = image_topic_by_name(op->rq->shard->image, STR_LIT(TXN_TOPIC));
    struct txnwise_part *part = new_part(op, type, id);

    if (id.len <= 0)
        part->request.call.error = KAFKA_INVALID_REQUEST;
    else if (topic)
        send_to(op, part, topic, coordinator_partition_of(id, topic->partitions_count));
    else
        part->request.call.error = KAFKA_NOT_COORDINATOR;
    return &part->request.call;
}

static bool leads(const struct shard *shard, const struct image_topic *topic, int32_t index)
{
    const struct image_partition *state = image_partition(shard->image, topic, index);

    return state && state->leader == shard->broker->broker_id;
}

int32_t txnwise_partitions(struct shard *shard)
{
    const struct image_topic *topic = image_topic_by_name(shard->image, STR_LIT(TXN_TOPIC));
    int32_t count = 0;

    for (int32_t i = 0; topic && i < topic->partitions_count; i++)
        count += leads(shard, topic, i);
    return count;
}

void txnwise_add_all(struct txnwise *op, enum txn_call_type type)
{
    struct shard *shard = op->rq->shard;
    const struct image_topic *topic = image_topic_by_name(shard->image, STR_LIT(TXN_TOPIC));

    for (int32_t i = 0; topic && i < topic->partitions_count; i++)
        if (leads(shard, topic, i))
            send_to(op, new_part(op, type, STR_LIT("")), topic, i);
}

void txnwise_run(struct txnwise *op)
{
    scatter_run(&op->scatter);
}
