/* SPDX-License-Identifier: Apache-2.0 */
/* ListOffsets: the offset for a time or a special position (facts, trap T6). */
#include "broker/handlers/handler.h"
#include "broker/handlers/partwise.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

#define READ_COMMITTED 1
#define EPOCH_VERSION  4 /* the first with leader epochs */

static int32_t lookup_begin(const void *in, void *out)
{
    const struct kafka_list_offsets_request_partition *asked = in;
    struct kafka_list_offsets_response_partition *answer = out;

    kafka_list_offsets_response_partition_init(answer);
    answer->partition_index = asked->partition_index;
    return asked->partition_index;
}

static void lookup_fail(void *out, int16_t error)
{
    ((struct kafka_list_offsets_response_partition *)out)->error_code = error;
}

static bool lookup_seek(const void *request, const void *in, struct partition *p,
                        struct partition_lookup *lookup)
{
    const struct kafka_list_offsets_request *all = request;
    const struct kafka_list_offsets_request_partition *asked = in;

    lookup->timestamp = asked->timestamp;
    lookup->read_committed = all->isolation_level == READ_COMMITTED;
    lookup->replica_id = all->replica_id;
    lookup->current_leader_epoch = asked->current_leader_epoch;
    return partition_list_offset(p, lookup);
}

static void lookup_found(const struct partition_lookup *lookup, void *out)
{
    struct kafka_list_offsets_response_partition *answer = out;

    answer->error_code = lookup->error;
    answer->offset = lookup->offset;
    answer->timestamp = lookup->found_timestamp;
    answer->leader_epoch = lookup->leader_epoch;
}

static void forget_epochs(struct kafka_list_offsets_response *response)
{
    for (int32_t t = 0; t < response->topics_count; t++)
        for (int32_t p = 0; p < response->topics[t].partitions_count; p++)
            response->topics[t].partitions[p].leader_epoch = -1;
}

static void lookup_finish(struct request *rq, void *response)
{
    if (rq->header.api_version < EPOCH_VERSION)
        forget_epochs(response);
    request_respond(rq, list_offsets, response);
}

static const struct partwise_api api = {
    .in_size = sizeof(struct kafka_list_offsets_request_partition),
    .out_size = sizeof(struct kafka_list_offsets_response_partition),
    .begin = lookup_begin,
    .fail = lookup_fail,
    .seek = lookup_seek,
    .found = lookup_found,
    .finish = lookup_finish,
};

void handle_list_offsets(struct request *rq)
{
    struct kafka_list_offsets_request *request = request_decode(rq, list_offsets);
    struct kafka_list_offsets_response *response;

    if (!request)
        return;
    response = arena_calloc(&rq->arena, 1, sizeof(*response));
    struct partwise *op = partwise_begin(rq, &api, request, response);
    if (!op)
        return;
    kafka_list_offsets_response_init(response);
    response->topics_count = MAX(request->topics_count, 0);
    response->topics = arena_calloc(&rq->arena, (size_t)response->topics_count, sizeof(*response->topics));
    bool ok = response->topics != NULL;
    for (int32_t t = 0; ok && t < response->topics_count; t++) {
        const struct kafka_list_offsets_request_topic *topic = &request->topics[t];
        struct kafka_list_offsets_response_topic *out = &response->topics[t];
        out->name = topic->name;
        out->partitions_count = MAX(topic->partitions_count, 0);
        out->partitions = partwise_topic(op, topic->name, topic->partitions, out->partitions_count);
        ok = out->partitions != NULL;
    }
    partwise_run(op, ok);
}
