/* SPDX-License-Identifier: Apache-2.0 */
/* DescribeCluster: cluster id and brokers. Controllers (endpoint type 2) are not reachable by Kafka clients
 * here. */
#include "broker/handlers/endpoints.h"
#include "broker/handlers/handler.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

#define ENDPOINT_BROKERS     1
#define ENDPOINT_CONTROLLERS 2

struct building {
    struct kafka_describe_cluster_response response;
    int32_t room;
};

static bool add_broker(void *ctx, const struct image_broker *broker, const struct meta_endpoint *endpoint)
{
    struct building *b = ctx;

    if (b->response.brokers_count == b->room)
        return false;
    struct kafka_describe_cluster_response_broker *out = &b->response.brokers[b->response.brokers_count++];
    kafka_describe_cluster_response_broker_init(out);
    out->broker_id = broker->id;
    out->host = endpoint->host;
    out->port = endpoint->port;
    out->rack = broker->rack;
    out->is_fenced = broker->fenced;
    return true;
}

static void refuse_type(struct kafka_describe_cluster_response *response, int8_t type)
{
    bool known = type == ENDPOINT_CONTROLLERS;

    response->error_code = known ? KAFKA_MISMATCHED_ENDPOINT_TYPE : KAFKA_UNSUPPORTED_ENDPOINT_TYPE;
    response->error_message =
        str_from(known ? "this is a broker; controllers are described by `sluice cluster describe`"
                       : "endpoint type must be 1, brokers");
}

void handle_describe_cluster(struct request *rq)
{
    struct kafka_describe_cluster_request *request = request_decode(rq, describe_cluster);
    struct building b = {.room = (int32_t)image_broker_count(rq->shard->image)};

    if (!request)
        return;
    kafka_describe_cluster_response_init(&b.response);
    b.response.endpoint_type = request->endpoint_type;
    b.response.cluster_id = cluster_id_text(rq);
    if (b.response.cluster_id.len < 0)
        b.response.cluster_id = STR_LIT("");
    b.response.controller_id = controller_for_clients(rq);
    b.response.brokers = arena_calloc(&rq->arena, (size_t)b.room, sizeof(*b.response.brokers));
    if (!b.response.brokers) {
        request_refuse(rq, "out of memory");
        return;
    }
    if (request->endpoint_type != ENDPOINT_BROKERS)
        refuse_type(&b.response, request->endpoint_type);
    else
        endpoints_each(rq, request->include_fenced_brokers, add_broker, &b);
    request_respond(rq, describe_cluster, &b.response);
}
