/* SPDX-License-Identifier: Apache-2.0 */
/* LeaveGroup: members, of any kind, leave a classic group. */
#include "broker/handlers/groupwise.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

static void finish(struct groupwise *op)
{
    struct kafka_leave_group_response *response = op->response;

    response->error_code = groupwise_error(op);
    groupwise_encode(op, leave_group, response);
}

void handle_leave_group(struct request *rq)
{
    struct kafka_leave_group_request *request = request_decode(rq, leave_group);
    struct kafka_leave_group_response *response;

    if (!request)
        return;
    response = arena_calloc(&rq->arena, 1, sizeof(*response));
    if (response)
        kafka_leave_group_response_init(response);
    groupwise_one(rq, GROUP_CALL_LEAVE, request->group_id, request, response, finish);
}
