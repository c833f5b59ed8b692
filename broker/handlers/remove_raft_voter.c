/* SPDX-License-Identifier: Apache-2.0 */
/* RemoveRaftVoter (KIP-853): a controller leaves the quorum; the active controller does it. */
#include "broker/handlers/forward.h"
#include "broker/handlers/handler.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

#define ADMIN_TIMEOUT_MS 30000 /* the request names none */

static void fail(struct request *rq, int16_t error)
{
    struct kafka_remove_raft_voter_response response;

    kafka_remove_raft_voter_response_init(&response);
    response.error_code = error;
    response.error_message = str_from(kafka_error_text(error));
    request_respond(rq, remove_raft_voter, &response);
}

void handle_remove_raft_voter(struct request *rq)
{
    struct reader peek = rq->body;
    struct kafka_remove_raft_voter_request request;

    if (kafka_remove_raft_voter_request_decode(&peek, &rq->arena, rq->header.api_version, &request) != OK)
        request_refuse(rq, "cannot decode remove_raft_voter request");
    else
        forward_request(rq, ADMIN_TIMEOUT_MS, fail);
}
