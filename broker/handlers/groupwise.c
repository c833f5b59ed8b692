/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/handlers/groupwise.h"

#include "broker/shard/connection.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"

#define PART_ARENA_BYTES METADATA_ARENA_BYTES /* what a group's members said, not what the request says */

static void finish(struct scatter *scatter)
{
    struct groupwise *op = CONTAINER_OF(scatter, struct groupwise, scatter);
    struct request *rq = op->rq;

    op->finish(op);
    for (int32_t i = 0; i < op->parts_count; i++)
        arena_free(&op->parts[i].arena);
    request_reply_end(rq);
}

/* On the owner. */
static void on_done(struct group_request *request)
{
    scatter_part_done(&CONTAINER_OF(request, struct groupwise_part, request)->scatter);
}

static bool run(struct shard *owner, struct scatter_part *scatter_part, struct partition *p)
{
    struct groupwise_part *part = CONTAINER_OF(scatter_part, struct groupwise_part, scatter);

    return group_submit(coordinator_find(owner, scatter_part->topic_id, scatter_part->index), &part->request);
}

struct groupwise *groupwise_begin(struct request *rq, int32_t parts_max, void *request, void *response,
                                  void (*finish_op)(struct groupwise *op))
{
    struct groupwise *op = arena_calloc(&rq->arena, 1, sizeof(*op));
    struct groupwise_part *parts = arena_calloc(&rq->arena, (size_t)parts_max, sizeof(*parts));

    if (!op || !parts || !request || !response) {
        request_refuse(rq, "out of memory");
        return NULL;
    }
    *op = (struct groupwise){.rq = rq,
                             .parts = parts,
                             .parts_max = parts_max,
                             .request = request,
                             .response = response,
                             .finish = finish_op};
    scatter_init(&op->scatter, rq, run, finish);
    return op;
}

static struct groupwise_part *new_part(struct groupwise *op, enum group_call_type type, struct str group_id,
                                       const void *request, void *response)
{
    struct groupwise_part *part = &op->parts[op->parts_count];

    ASSERT(op->parts_count < op->parts_max);
    op->parts_count++;
    arena_init(&part->arena, NULL, 0, PART_ARENA_BYTES);
    part->request.done = on_done;
    part->request.call = (struct group_call){.type = type,
                                             .version = op->rq->header.api_version,
                                             .group_id = group_id,
                                             .client_id = op->rq->header.client_id,
                                             .client_host = str_from(op->rq->conn->peer),
                                             .request = request,
                                             .response = response,
                                             .arena = &part->arena};
    return part;
}

static void send_to(struct groupwise *op, struct groupwise_part *part, const struct image_topic *topic,
                    int32_t index)
{
    struct partition_place place;
    int16_t error = partition_place_find(op->rq->shard, true, STR_NULL, topic->id, index, &place);

    if (error != KAFKA_NONE)
        part->request.call.error = KAFKA_NOT_COORDINATOR;
    else if (!scatter_add(&op->scatter, &part->scatter, &place))
        part->request.call.error = KAFKA_UNKNOWN_SERVER_ERROR;
}

void groupwise_add(struct groupwise *op, enum group_call_type type, struct str group_id, const void *request,
                   void *response)
{
    const struct image_topic *topic = image_topic_by_name(op->rq->shard->image, STR_LIT(GROUP_TOPIC));
    struct groupwise_part *part = new_part(op, type, group_id, request, response);

    if (topic)
        send_to(op, part, topic, coordinator_partition_of(group_id, topic->partitions_count));
    else
        part->request.call.error = KAFKA_NOT_COORDINATOR;
}

void groupwise_add_failed(struct groupwise *op, int16_t error)
{
    new_part(op, GROUP_CALL_COUNT, STR_LIT(""), NULL, NULL)->request.call.error = error;
}

static bool leads(const struct shard *shard, const struct image_topic *topic, int32_t index)
{
    const struct image_partition *state = image_partition(shard->image, topic, index);

    return state && state->leader == shard->broker->broker_id;
}

int32_t groupwise_partitions(struct shard *shard)
{
    const struct image_topic *topic = image_topic_by_name(shard->image, STR_LIT(GROUP_TOPIC));
    int32_t count = 0;

    for (int32_t i = 0; topic && i < topic->partitions_count; i++)
        count += leads(shard, topic, i);
    return count;
}

void groupwise_add_all(struct groupwise *op, enum group_call_type type, const void *request,
                       void *(*response)(struct groupwise *op, int32_t i))
{
    struct shard *shard = op->rq->shard;
    const struct image_topic *topic = image_topic_by_name(shard->image, STR_LIT(GROUP_TOPIC));

    for (int32_t i = 0; topic && i < topic->partitions_count; i++)
        if (leads(shard, topic, i))
            send_to(op, new_part(op, type, STR_LIT(""), request, response(op, op->parts_count)), topic, i);
}

void groupwise_run(struct groupwise *op)
{
    scatter_run(&op->scatter);
}

void groupwise_one(struct request *rq, enum group_call_type type, struct str group_id, void *request,
                   void *response, void (*finish_op)(struct groupwise *op))
{
    struct groupwise *op = groupwise_begin(rq, 1, request, response, finish_op);

    if (!op)
        return;
    groupwise_add(op, type, group_id, request, response);
    groupwise_run(op);
}
