/* SPDX-License-Identifier: Apache-2.0 */
/* FindCoordinator: this version coordinates no groups and no transactions yet and says so:
 * COORDINATOR_NOT_AVAILABLE, for each key. The API is advertised because librdkafka reads the features of a
 * broker from it (facts §2). */
#include "broker/handlers/handler.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

#define BATCH_VERSION 4

static void fill(struct kafka_find_coordinator_response_coordinator *out, struct str key)
{
    kafka_find_coordinator_response_coordinator_init(out);
    out->key = key;
    out->node_id = -1;
    out->port = -1;
    out->error_code = KAFKA_COORDINATOR_NOT_AVAILABLE;
    out->error_message = str_from(kafka_error_text(KAFKA_COORDINATOR_NOT_AVAILABLE));
}

void handle_find_coordinator(struct request *rq)
{
    struct kafka_find_coordinator_request *request = request_decode(rq, find_coordinator);
    struct kafka_find_coordinator_response response;

    if (!request)
        return;
    kafka_find_coordinator_response_init(&response);
    if (rq->header.api_version >= BATCH_VERSION) {
        response.coordinators = arena_calloc(&rq->arena, (size_t)MAX(request->coordinator_keys_count, 0),
                                             sizeof(*response.coordinators));
        for (int32_t i = 0; response.coordinators && i < request->coordinator_keys_count; i++)
            fill(&response.coordinators[response.coordinators_count++], request->coordinator_keys[i]);
    } else {
        response.node_id = -1;
        response.port = -1;
        response.host = STR_LIT("");
        response.error_code = KAFKA_COORDINATOR_NOT_AVAILABLE;
    }
    request_respond(rq, find_coordinator, &response);
}
