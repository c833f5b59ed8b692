/* SPDX-License-Identifier: Apache-2.0 */
/* DeleteGroups: groups without members, and their offsets. */
#include "broker/handlers/groupwise.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

static void finish(struct groupwise *op)
{
    struct kafka_delete_groups_response *response = op->response;

    for (int32_t i = 0; i < op->parts_count; i++)
        response->results[i].error_code = op->parts[i].request.call.error;
    groupwise_encode(op, delete_groups, response);
}

void handle_delete_groups(struct request *rq)
{
    struct kafka_delete_groups_request *request = request_decode(rq, delete_groups);

    if (!request)
        return;
    int32_t count = MAX(request->groups_names_count, 0);
    struct kafka_delete_groups_response *response = arena_calloc(&rq->arena, 1, sizeof(*response));
    struct kafka_delete_groups_response_result *results =
        arena_calloc(&rq->arena, (size_t)count, sizeof(*results));
    struct groupwise *op = groupwise_begin(rq, count, request, results ? response : NULL, finish);
    if (!op)
        return;
    response->results = results;
    response->results_count = count;
    for (int32_t i = 0; i < count; i++) {
        results[i].group_id = request->groups_names[i];
        groupwise_add(op, GROUP_CALL_DELETE, request->groups_names[i], request, results);
    }
    groupwise_run(op);
}
