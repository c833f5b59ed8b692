/* SPDX-License-Identifier: Apache-2.0 */
/* AddRaftVoter (KIP-853): a controller joins the quorum; the active controller does it. */
#include "broker/handlers/forward.h"
#include "broker/handlers/handler.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

#define UNDO_MS 6000 /* the controller may take back what it began when the time is up */

static void fail(struct request *rq, int16_t error)
{
    struct kafka_add_raft_voter_response response;

    kafka_add_raft_voter_response_init(&response);
    response.error_code = error;
    response.error_message = str_from(kafka_error_text(error));
    request_respond(rq, add_raft_voter, &response);
}

void handle_add_raft_voter(struct request *rq)
{
    struct reader peek = rq->body; /* forwarded whole: only the time-out is looked at */
    struct kafka_add_raft_voter_request request;

    if (kafka_add_raft_voter_request_decode(&peek, &rq->arena, rq->header.api_version, &request) != OK)
        request_refuse(rq, "cannot decode add_raft_voter request");
    else
        forward_request(rq, MIN(MAX(request.timeout_ms, 0), INT32_MAX - UNDO_MS) + UNDO_MS, fail);
}
