/* SPDX-License-Identifier: Apache-2.0 */
/* DescribeGroups: state and members of classic groups. */
#include "broker/handlers/groupwise.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

#define MESSAGE_VERSION 6

static void finish(struct groupwise *op)
{
    struct kafka_describe_groups_response *response = op->response;

    for (int32_t i = 0; i < op->parts_count; i++) {
        int16_t error = op->parts[i].request.call.error;
        response->groups[i].error_code = error;
        if (error != KAFKA_NONE && op->rq->header.api_version >= MESSAGE_VERSION)
            response->groups[i].error_message = str_from(kafka_error_text(error));
    }
    groupwise_encode(op, describe_groups, response);
}

static void begin_group(struct kafka_describe_groups_response_group *out, struct str group_id)
{
    kafka_describe_groups_response_group_init(out);
    out->group_id = group_id;
    out->group_state = out->protocol_type = out->protocol_data = STR_LIT("");
}

void handle_describe_groups(struct request *rq)
{
    struct kafka_describe_groups_request *request = request_decode(rq, describe_groups);

    if (!request)
        return;
    int32_t count = MAX(request->groups_count, 0);
    struct kafka_describe_groups_response *response = arena_calloc(&rq->arena, 1, sizeof(*response));
    struct kafka_describe_groups_response_group *groups =
        arena_calloc(&rq->arena, (size_t)count, sizeof(*groups));
    struct groupwise *op = groupwise_begin(rq, count, request, groups ? response : NULL, finish);
    if (!op)
        return;
    response->groups = groups;
    response->groups_count = count;
    for (int32_t i = 0; i < count; i++) {
        begin_group(&groups[i], request->groups[i]);
        groupwise_add(op, GROUP_CALL_DESCRIBE, request->groups[i], request, &groups[i]);
    }
    groupwise_run(op);
}
