/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/calls.h"

#define NODES_MAX 1024

struct brokers {
    int32_t nodes[NODES_MAX];
    int32_t count;
};

static int on_brokers(void *ctx, const struct client_reply *reply)
{
    struct brokers *brokers = ctx;
    const struct kafka_metadata_response *response = reply->message;
    for (int32_t i = 0; i < response->brokers_count && brokers->count < NODES_MAX; i++)
        brokers->nodes[brokers->count++] = response->brokers[i].node_id;
    return EXIT_OK;
}

int calls_every_broker(struct session *s, const struct session_call *call)
{
    struct brokers brokers = {.count = 0};
    struct kafka_metadata_request request;
    struct session_call metadata = {.api_key = KAFKA_API_METADATA,
                                    .message = &request,
                                    .repeatable = true,
                                    .what = "cannot list brokers",
                                    .on_reply = on_brokers,
                                    .ctx = &brokers};
    struct session_call one = *call;
    kafka_metadata_request_init(&request);
    int code = session_call(s, &metadata);
    one.to_node = true;
    for (int32_t i = 0; i < brokers.count && code == EXIT_OK; i++) {
        one.node = brokers.nodes[i];
        code = session_call(s, &one);
    }
    return code;
}

int calls_describe_quorum(struct session *s, int (*on_reply)(void *ctx, const struct client_reply *reply),
                          void *ctx)
{
    struct kafka_describe_quorum_request request;
    struct kafka_describe_quorum_request_topic topic;
    struct kafka_describe_quorum_request_partition partition = {0};
    struct session_call call = {.api_key = KAFKA_API_DESCRIBE_QUORUM,
                                .message = &request,
                                .repeatable = true,
                                .what = "cannot describe the quorum",
                                .on_reply = on_reply,
                                .ctx = ctx};
    kafka_describe_quorum_request_init(&request);
    kafka_describe_quorum_request_topic_init(&topic);
    topic.topic_name = STR_LIT("__cluster_metadata");
    topic.partitions = &partition;
    topic.partitions_count = 1;
    request.topics = &topic;
    request.topics_count = 1;
    return session_call(s, &call);
}
