/* SPDX-License-Identifier: Apache-2.0 */
/* From "earliest", "latest" or a time to an offset: ListOffsets. */
#include "client/core/internal.h"
#include "proto/kafka/error.h"

#define LIST_OFFSETS_VERSION_MIN 1
#define LIST_OFFSETS_VERSION_MAX 8
#define TIMESTAMP_LATEST         (-1)
#define TIMESTAMP_EARLIEST       (-2)

struct lookup_call {
    struct client_call_state call;
    struct client_partition *partition;
    uint32_t generation;
};

static int64_t timestamp_of(struct client_start start)
{
    switch (start.from) {
    case CLIENT_FROM_EARLIEST: return TIMESTAMP_EARLIEST;
    case CLIENT_FROM_TIME: return start.value;
    default: return TIMESTAMP_LATEST;
    }
}

static const void *lookup_build(struct client *client, struct client_call_state *base, int16_t version,
                                struct arena *arena)
{
    const struct client_partition *partition = CONTAINER_OF(base, struct lookup_call, call)->partition;
    struct kafka_list_offsets_request *request = arena_alloc(arena, sizeof(*request));
    struct kafka_list_offsets_request_topic *topic = arena_alloc(arena, sizeof(*topic));
    struct kafka_list_offsets_request_partition *in = arena_alloc(arena, sizeof(*in));
    if (!request || !topic || !in)
        return NULL;
    kafka_list_offsets_request_init(request);
    kafka_list_offsets_request_topic_init(topic);
    kafka_list_offsets_request_partition_init(in);
    request->replica_id = -1;
    request->isolation_level = client->config.consumer.read_committed;
    request->topics = topic;
    request->topics_count = 1;
    topic->name = (struct str){partition->topic->name, (int32_t)partition->topic->name_len};
    topic->partitions = in;
    topic->partitions_count = 1;
    in->partition_index = partition->index;
    in->current_leader_epoch = partition->leader_epoch;
    in->timestamp = timestamp_of(partition->in.start);
    return request;
}

static const struct kafka_list_offsets_response_partition *answer_for(
    const struct kafka_list_offsets_response *response)
{
    if (response->topics_count != 1 || response->topics[0].partitions_count != 1)
        return NULL;
    return &response->topics[0].partitions[0];
}

/* We stood where one broker's log did not reach, and the one that answers now has records in front of that:
 * leaders delete at their own pace, and after a change of the leader a log may begin further in front. Before
 * what was read is read again, the position is asked for once more. */
static bool stays(struct client_partition *partition, int64_t offset)
{
    if (partition->in.start.from != CLIENT_FROM_EARLIEST || offset >= partition->in.moved_from ||
        partition->in.stayed)
        return false;
    partition->in.position = partition->in.moved_from;
    partition->in.moved_from = -1;
    return true;
}

/* No record is as young as the time asked for: the end of the log it is. */
static void found(struct client_partition *partition, int64_t offset)
{
    if (offset < 0 && partition->in.start.from == CLIENT_FROM_TIME) {
        partition->in.start.from = CLIENT_FROM_LATEST;
        return;
    }
    partition->in.stayed = stays(partition, offset);
    if (!partition->in.stayed)
        partition->in.position = MAX(offset, 0);
    partition->in.state = CLIENT_IN_FETCH;
    partition->in.failures = 0;
}

static void lookup_done(struct client *client, struct client_call_state *base,
                        const struct client_answer *answer)
{
    struct lookup_call *call = CONTAINER_OF(base, struct lookup_call, call);
    struct client_partition *partition = call->partition;
    bool current = partition->in.generation == call->generation;
    client_give(client, call, sizeof(*call));
    if (!current)
        return;
    partition->in.busy = false;
    const struct kafka_list_offsets_response_partition *in =
        answer->err == OK ? answer_for(answer->message) : NULL;
    if (in && in->error_code == KAFKA_NONE) {
        found(partition, in->offset);
    } else if (answer->err == ERR_VERSION) {
        client_in_fail(client, partition, client_failure_of(ERR_VERSION, 0));
    } else if (in && !kafka_error_retriable(in->error_code)) {
        client_in_fail(client, partition, client_failure_of(OK, in->error_code));
    } else {
        client_in_retry(client, partition);
        client_refresh(client);
    }
}

void client_in_lookup(struct client *client, struct client_partition *partition)
{
    struct client_peer *peer = client_peer_of(client, partition->leader, CLIENT_PEER_COMMON);
    struct lookup_call *call = peer ? client_take(client, sizeof(*call)) : NULL;
    if (!call) {
        client_in_retry(client, partition);
        client_refresh(client);
        return;
    }
    call->call = (struct client_call_state){.api_key = KAFKA_API_LIST_OFFSETS,
                                            .version_min = LIST_OFFSETS_VERSION_MIN,
                                            .version_max = LIST_OFFSETS_VERSION_MAX,
                                            .timeout_us = client->config.request_timeout_us,
                                            .build = lookup_build,
                                            .done = lookup_done};
    call->partition = partition;
    call->generation = partition->in.generation;
    partition->in.busy = true;
    client_peer_queue(client, peer, &call->call);
}
