/* SPDX-License-Identifier: Apache-2.0 */
/* OffsetFetch: one group up to version 7, several from 8; names up to 9, topic ids from 10. */
#include "broker/handlers/groupwise.h"
#include "broker/handlers/topic_name.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

#define GROUP_ERROR_VERSION 2
#define GROUPS_VERSION      8
#define TOPIC_ID_VERSION    10

/* -- one group (1-7): the parts of the newer form are used within -- */

static void old_partition(const struct kafka_offset_fetch_response_group_topic_partition *in, int16_t error,
                          struct kafka_offset_fetch_response_topic_partition *out)
{
    kafka_offset_fetch_response_topic_partition_init(out);
    out->partition_index = in->partition_index;
    out->committed_offset = in->committed_offset;
    out->committed_leader_epoch = in->committed_leader_epoch;
    out->metadata = in->metadata;
    out->error_code = error;
}

static bool old_topic(struct request *rq, const struct kafka_offset_fetch_response_group_topic *in,
                      struct kafka_offset_fetch_response_topic *out)
{
    kafka_offset_fetch_response_topic_init(out);
    out->name = in->name;
    out->partitions = arena_calloc(&rq->arena, (size_t)in->partitions_count, sizeof(*out->partitions));
    for (int32_t i = 0; out->partitions && i < in->partitions_count; i++)
        old_partition(&in->partitions[i], in->partitions[i].error_code,
                      &out->partitions[out->partitions_count++]);
    return out->partitions != NULL;
}

/* Version 1 has no place for the group's error: every partition carries it. */
static bool old_failed_topic(struct request *rq, const struct kafka_offset_fetch_request_topic *in,
                             int16_t error, struct kafka_offset_fetch_response_topic *out)
{
    const struct kafka_offset_fetch_response_group_topic_partition nothing = {
        .committed_offset = -1, .committed_leader_epoch = -1, .metadata = STR_LIT("")};

    kafka_offset_fetch_response_topic_init(out);
    out->name = in->name;
    out->partitions =
        arena_calloc(&rq->arena, (size_t)MAX(in->partition_indexes_count, 0), sizeof(*out->partitions));
    for (int32_t i = 0; out->partitions && i < in->partition_indexes_count; i++) {
        old_partition(&nothing, error, &out->partitions[out->partitions_count]);
        out->partitions[out->partitions_count++].partition_index = in->partition_indexes[i];
    }
    return out->partitions != NULL;
}

static void finish_old(struct groupwise *op)
{
    struct request *rq = op->rq;
    const struct kafka_offset_fetch_request *request = op->request;
    const struct kafka_offset_fetch_response_group *group = op->response;
    int16_t error = groupwise_error(op);
    bool per_partition = error != KAFKA_NONE && rq->header.api_version < GROUP_ERROR_VERSION;
    int32_t count = per_partition ? MAX(request->topics_count, 0) : error ? 0 : group->topics_count;
    struct kafka_offset_fetch_response response;

    kafka_offset_fetch_response_init(&response);
    response.error_code = error;
    response.topics = arena_calloc(&rq->arena, (size_t)count, sizeof(*response.topics));
    for (int32_t t = 0; response.topics && t < count; t++) {
        struct kafka_offset_fetch_response_topic *out = &response.topics[response.topics_count];
        response.topics_count += per_partition ? old_failed_topic(rq, &request->topics[t], error, out)
                                               : old_topic(rq, &group->topics[t], out);
    }
    groupwise_encode(op, offset_fetch, &response);
}

static bool widen(struct request *rq, const struct kafka_offset_fetch_request *request,
                  struct kafka_offset_fetch_request_group *group)
{
    kafka_offset_fetch_request_group_init(group);
    group->group_id = request->group_id;
    group->topics_count = request->topics_count;
    group->topics = arena_calloc(&rq->arena, (size_t)MAX(request->topics_count, 0), sizeof(*group->topics));
    for (int32_t t = 0; group->topics && t < request->topics_count; t++) {
        group->topics[t].name = request->topics[t].name;
        group->topics[t].partition_indexes = request->topics[t].partition_indexes;
        group->topics[t].partition_indexes_count = request->topics[t].partition_indexes_count;
    }
    return group->topics != NULL;
}

static void fetch_one(struct request *rq, struct kafka_offset_fetch_request *request)
{
    struct kafka_offset_fetch_request_group *group = arena_calloc(&rq->arena, 1, sizeof(*group));
    struct kafka_offset_fetch_response_group *response = arena_calloc(&rq->arena, 1, sizeof(*response));
    bool ok = group && widen(rq, request, group);
    struct groupwise *op = groupwise_begin(rq, 1, ok ? request : NULL, response, finish_old);

    if (!op)
        return;
    groupwise_add(op, GROUP_CALL_FETCH, group->group_id, group, response);
    op->parts[0].request.call.stable = request->require_stable;
    groupwise_run(op);
}

/* -- several groups (8 and later) -- */

/* Ids of topics named by the log, for "all topics". */
static void put_ids(const struct request *rq, struct kafka_offset_fetch_response_group *group)
{
    for (int32_t t = 0; t < group->topics_count; t++) {
        const struct image_topic *topic = image_topic_by_name(rq->shard->image, group->topics[t].name);
        if (topic)
            group->topics[t].topic_id = topic->id;
    }
}

/* A topic whose id nobody knows: said so for each partition. */
static void mark_unknown(const struct kafka_offset_fetch_request_group *asked,
                         struct kafka_offset_fetch_response_group *group)
{
    for (int32_t t = 0; t < MIN(asked->topics_count, group->topics_count); t++)
        for (int32_t i = 0; asked->topics[t].name.len <= 0 && i < group->topics[t].partitions_count; i++)
            group->topics[t].partitions[i].error_code = KAFKA_UNKNOWN_TOPIC_ID;
}

static void finish(struct groupwise *op)
{
    const struct kafka_offset_fetch_request *request = op->request;
    struct kafka_offset_fetch_response *response = op->response;

    for (int32_t i = 0; i < op->parts_count; i++) {
        struct kafka_offset_fetch_response_group *group = &response->groups[i];
        group->error_code = op->parts[i].request.call.error;
        if (op->rq->header.api_version < TOPIC_ID_VERSION)
            continue;
        if (request->groups[i].topics_count < 0)
            put_ids(op->rq, group);
        else
            mark_unknown(&request->groups[i], group);
    }
    groupwise_encode(op, offset_fetch, response);
}

static void name_topics(struct request *rq, struct kafka_offset_fetch_request_group *group)
{
    const struct image_topic *topic;

    for (int32_t t = 0; t < group->topics_count; t++)
        topic_name_resolve(rq, true, group->topics[t].topic_id, &group->topics[t].name, &topic);
}

static void fetch_groups(struct request *rq, struct kafka_offset_fetch_request *request)
{
    int32_t count = MAX(request->groups_count, 0);
    struct kafka_offset_fetch_response *response = arena_calloc(&rq->arena, 1, sizeof(*response));
    struct kafka_offset_fetch_response_group *groups =
        arena_calloc(&rq->arena, (size_t)count, sizeof(*groups));
    struct groupwise *op = groupwise_begin(rq, count, request, groups ? response : NULL, finish);

    if (!op)
        return;
    kafka_offset_fetch_response_init(response);
    response->groups = groups;
    response->groups_count = count;
    for (int32_t i = 0; i < count; i++) {
        kafka_offset_fetch_response_group_init(&groups[i]);
        groups[i].group_id = request->groups[i].group_id;
        if (rq->header.api_version >= TOPIC_ID_VERSION)
            name_topics(rq, &request->groups[i]);
        groupwise_add(op, GROUP_CALL_FETCH, request->groups[i].group_id, &request->groups[i], &groups[i]);
        op->parts[i].request.call.stable = request->require_stable;
    }
    groupwise_run(op);
}

void handle_offset_fetch(struct request *rq)
{
    struct kafka_offset_fetch_request *request = request_decode(rq, offset_fetch);

    if (!request)
        return;
    if (rq->header.api_version >= GROUPS_VERSION)
        fetch_groups(rq, request);
    else
        fetch_one(rq, request);
}
