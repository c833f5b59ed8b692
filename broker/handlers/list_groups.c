/* SPDX-License-Identifier: Apache-2.0 */
/* ListGroups: what this broker coordinates. */
#include "broker/handlers/groupwise.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

/* All parts' groups in one array. */
static bool join_lists(struct request *rq, const struct kafka_list_groups_response *lists, int32_t count,
                       struct kafka_list_groups_response *response)
{
    size_t total = 0;

    for (int32_t i = 0; i < count; i++)
        total += (size_t)lists[i].groups_count;
    rq->arena.cap_bytes = METADATA_ARENA_BYTES;
    response->groups = arena_calloc(&rq->arena, total, sizeof(*response->groups));
    if (!response->groups)
        return false;
    for (int32_t i = 0; i < count; i++)
        for (int32_t k = 0; k < lists[i].groups_count; k++)
            response->groups[response->groups_count++] = lists[i].groups[k];
    return true;
}

/* A partition that is loading makes the list incomplete, which is said; one that left us is not ours to list.
 */
static int16_t worst_error(const struct groupwise *op)
{
    for (int32_t i = 0; i < op->parts_count; i++) {
        int16_t error = op->parts[i].request.call.error;
        if (error != KAFKA_NONE && error != KAFKA_NOT_COORDINATOR)
            return error;
    }
    return KAFKA_NONE;
}

static void finish(struct groupwise *op)
{
    struct kafka_list_groups_response response;

    kafka_list_groups_response_init(&response);
    response.error_code = worst_error(op);
    if (!join_lists(op->rq, op->response, op->parts_count, &response))
        response.error_code = KAFKA_UNKNOWN_SERVER_ERROR;
    groupwise_encode(op, list_groups, &response);
}

static void *list_of(struct groupwise *op, int32_t i)
{
    return (struct kafka_list_groups_response *)op->response + i;
}

void handle_list_groups(struct request *rq)
{
    struct kafka_list_groups_request *request = request_decode(rq, list_groups);

    if (!request)
        return;
    int32_t count = groupwise_partitions(rq->shard);
    rq->arena.cap_bytes = METADATA_ARENA_BYTES; /* a part for each partition, whatever the request's size */
    struct kafka_list_groups_response *lists = arena_calloc(&rq->arena, (size_t)count, sizeof(*lists));
    struct groupwise *op = groupwise_begin(rq, count, request, lists, finish);
    if (!op)
        return;
    groupwise_add_all(op, GROUP_CALL_LIST, request, list_of);
    groupwise_run(op);
}
