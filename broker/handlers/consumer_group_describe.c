/* SPDX-License-Identifier: Apache-2.0 */
/* ConsumerGroupDescribe: state, members and assignments of groups of the consumer protocol (KIP-848). */
#include "broker/handlers/consumer_feature.h"
#include "broker/handlers/groupwise.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

static void finish(struct groupwise *op)
{
    struct kafka_consumer_group_describe_response *response = op->response;

    for (int32_t i = 0; i < op->parts_count; i++) {
        int16_t error = op->parts[i].request.call.error;
        response->groups[i].error_code = error;
        if (error != KAFKA_NONE)
            response->groups[i].error_message = str_from(kafka_error_text(error));
    }
    groupwise_encode(op, consumer_group_describe, response);
}

static void begin_group(struct kafka_consumer_group_describe_response_group *out, struct str group_id)
{
    kafka_consumer_group_describe_response_group_init(out);
    out->group_id = group_id;
    out->group_state = out->assignor_name = STR_LIT("");
}

void handle_consumer_group_describe(struct request *rq)
{
    struct kafka_consumer_group_describe_request *request = request_decode(rq, consumer_group_describe);

    if (!request)
        return;
    int32_t count = MAX(request->group_ids_count, 0);
    struct kafka_consumer_group_describe_response *response = arena_calloc(&rq->arena, 1, sizeof(*response));
    struct kafka_consumer_group_describe_response_group *groups =
        arena_calloc(&rq->arena, (size_t)count, sizeof(*groups));
    struct groupwise *op = groupwise_begin(rq, count, request, groups ? response : NULL, finish);
    if (!op)
        return;
    response->groups = groups;
    response->groups_count = count;
    for (int32_t i = 0; i < count; i++) {
        begin_group(&groups[i], request->group_ids[i]);
        if (consumer_protocol_on(rq))
            groupwise_add(op, GROUP_CALL_CONSUMER_DESCRIBE, request->group_ids[i], request, &groups[i]);
        else
            groupwise_add_failed(op, KAFKA_UNSUPPORTED_VERSION);
    }
    groupwise_run(op);
}
