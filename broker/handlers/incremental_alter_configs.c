/* SPDX-License-Identifier: Apache-2.0 */
/* IncrementalAlterConfigs: decided by the controller. */
#include "broker/handlers/forward.h"
#include "broker/handlers/handler.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

#define CONFIGS_TIMEOUT_MS 30000 /* the request has none of its own */

static void fail(struct request *rq, int16_t error)
{
    struct kafka_incremental_alter_configs_request *request = request_decode(rq, incremental_alter_configs);
    struct kafka_incremental_alter_configs_response response;

    if (!request)
        return;
    kafka_incremental_alter_configs_response_init(&response);
    response.responses =
        arena_calloc(&rq->arena, (size_t)MAX(request->resources_count, 0), sizeof(*response.responses));
    for (int32_t i = 0; response.responses && i < request->resources_count; i++) {
        struct kafka_incremental_alter_configs_response_response *out =
            &response.responses[response.responses_count++];
        kafka_incremental_alter_configs_response_response_init(out);
        out->resource_type = request->resources[i].resource_type;
        out->resource_name = request->resources[i].resource_name;
        out->error_code = error;
        out->error_message = str_from(kafka_error_text(error));
    }
    request_respond(rq, incremental_alter_configs, &response);
}

void handle_incremental_alter_configs(struct request *rq)
{
    struct reader peek = rq->body; /* forwarded whole: decoded only to refuse what is malformed */
    struct kafka_incremental_alter_configs_request request;

    if (kafka_incremental_alter_configs_request_decode(&peek, &rq->arena, rq->header.api_version, &request) !=
        OK)
        request_refuse(rq, "cannot decode incremental_alter_configs request");
    else
        forward_request(rq, CONFIGS_TIMEOUT_MS, fail);
}
