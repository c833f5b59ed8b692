/* SPDX-License-Identifier: Apache-2.0 */
/* FindCoordinator: the broker that leads the key's partition of the coordinator's topic. The topic is made
 * when the first key is asked for; clients are told COORDINATOR_NOT_AVAILABLE meanwhile and ask again (facts,
 * trap T3). */
#include "broker/handlers/auto_create.h"
#include "broker/handlers/endpoints.h"
#include "broker/handlers/handler.h"
#include "broker/shard/group_coordinator.h"
#include "broker/shard/txn_coordinator.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

#define BATCH_VERSION   4
#define KEY_GROUP       0
#define KEY_TRANSACTION 1

/* The broker that leads a partition, as this client reaches it. */
static int16_t leader_of(const struct request *rq, const struct image_topic *topic, int32_t index,
                         const struct image_broker **ret_broker, const struct meta_endpoint **ret_endpoint)
{
    const struct image *image = rq->shard->image;
    const struct image_partition *state = image_partition(image, topic, index);
    const struct image_broker *broker =
        state && state->leader >= 0 ? image_broker(image, state->leader) : NULL;
    const struct meta_endpoint *endpoint = broker && !broker->fenced ? endpoint_for(rq, broker) : NULL;

    if (!endpoint)
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    *ret_broker = broker;
    *ret_endpoint = endpoint;
    return KAFKA_NONE;
}

static int16_t find(struct request *rq, int8_t type, struct str key, const struct image_broker **ret_broker,
                    const struct meta_endpoint **ret_endpoint)
{
    struct str name = STR_LIT(GROUP_TOPIC);

    if (type == KEY_TRANSACTION)
        name = STR_LIT(TXN_TOPIC);
    else if (type != KEY_GROUP)
        return KAFKA_INVALID_REQUEST;
    if (type == KEY_TRANSACTION && key.len <= 0)
        return KAFKA_INVALID_REQUEST;
    const struct image_topic *topic = image_topic_by_name(rq->shard->image, name);
    if (!topic) {
        auto_create_internal(rq->shard, name);
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    }
    return leader_of(rq, topic, coordinator_partition_of(key, topic->partitions_count), ret_broker,
                     ret_endpoint);
}

static void fill(struct request *rq, int8_t type, struct str key,
                 struct kafka_find_coordinator_response_coordinator *out)
{
    const struct image_broker *broker;
    const struct meta_endpoint *endpoint;

    kafka_find_coordinator_response_coordinator_init(out);
    out->key = key;
    out->node_id = -1;
    out->port = -1;
    out->error_code = find(rq, type, key, &broker, &endpoint);
    out->error_message = STR_NULL;
    if (out->error_code != KAFKA_NONE) {
        out->error_message = str_from(kafka_error_text(out->error_code));
        return;
    }
    out->node_id = broker->id;
    out->host = endpoint->host;
    out->port = endpoint->port;
}

static void answer_one(struct request *rq, const struct kafka_find_coordinator_request *request)
{
    struct kafka_find_coordinator_response response;
    struct kafka_find_coordinator_response_coordinator one;

    kafka_find_coordinator_response_init(&response);
    fill(rq, request->key_type, request->key, &one);
    response.error_code = one.error_code;
    response.error_message = one.error_message;
    response.node_id = one.node_id;
    response.host = one.host;
    response.port = one.port;
    request_respond(rq, find_coordinator, &response);
}

static void answer_batch(struct request *rq, const struct kafka_find_coordinator_request *request)
{
    struct kafka_find_coordinator_response response;
    size_t count = (size_t)MAX(request->coordinator_keys_count, 0);

    kafka_find_coordinator_response_init(&response);
    response.coordinators = arena_calloc(&rq->arena, count, sizeof(*response.coordinators));
    if (!response.coordinators) {
        request_refuse(rq, "out of memory");
        return;
    }
    for (size_t i = 0; i < count; i++)
        fill(rq, request->key_type, request->coordinator_keys[i],
             &response.coordinators[response.coordinators_count++]);
    request_respond(rq, find_coordinator, &response);
}

void handle_find_coordinator(struct request *rq)
{
    struct kafka_find_coordinator_request *request = request_decode(rq, find_coordinator);

    if (!request)
        return;
    if (rq->header.api_version >= BATCH_VERSION)
        answer_batch(rq, request);
    else
        answer_one(rq, request);
}
