/* SPDX-License-Identifier: Apache-2.0 */
/* SyncGroup: waits at the group's coordinator until the leader's assignment is in the log. */
#include "broker/handlers/groupwise.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

static void finish(struct groupwise *op)
{
    struct kafka_sync_group_response *response = op->response;

    if (groupwise_error(op) != KAFKA_NONE)
        kafka_sync_group_response_init(response);
    response->error_code = groupwise_error(op);
    groupwise_encode(op, sync_group, response);
}

void handle_sync_group(struct request *rq)
{
    struct kafka_sync_group_request *request = request_decode(rq, sync_group);
    struct kafka_sync_group_response *response;

    if (!request)
        return;
    response = arena_calloc(&rq->arena, 1, sizeof(*response));
    if (response)
        kafka_sync_group_response_init(response);
    groupwise_one(rq, GROUP_CALL_SYNC, request->group_id, request, response, finish);
}
