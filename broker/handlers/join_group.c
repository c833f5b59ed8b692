/* SPDX-License-Identifier: Apache-2.0 */
/* JoinGroup: waits at the group's coordinator until the next generation stands. */
#include "broker/handlers/groupwise.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

#define NULL_PROTOCOL_VERSION 7

static void finish(struct groupwise *op)
{
    struct kafka_join_group_response *response = op->response;

    response->error_code = groupwise_error(op);
    if (response->error_code != KAFKA_NONE) {
        struct str member_id = response->member_id;
        kafka_join_group_response_init(response);
        response->error_code = groupwise_error(op);
        response->member_id = member_id.len < 0 ? STR_LIT("") : member_id;
        response->leader = STR_LIT("");
        response->protocol_name = op->rq->header.api_version < NULL_PROTOCOL_VERSION ? STR_LIT("") : STR_NULL;
    }
    groupwise_encode(op, join_group, response);
}

void handle_join_group(struct request *rq)
{
    struct kafka_join_group_request *request = request_decode(rq, join_group);
    struct kafka_join_group_response *response;

    if (!request)
        return;
    response = arena_calloc(&rq->arena, 1, sizeof(*response));
    if (response)
        kafka_join_group_response_init(response);
    groupwise_one(rq, GROUP_CALL_JOIN, request->group_id, request, response, finish);
}
