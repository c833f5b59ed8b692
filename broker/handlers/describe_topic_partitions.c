/* SPDX-License-Identifier: Apache-2.0 */
/* DescribeTopicPartitions: topics in order of their names, page by page (facts, trap T14). */
#include <stdlib.h>

#include "broker/handlers/handler.h"
#include "broker/handlers/topic_lookup.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

#define PARTITIONS_MAX 2000 /* max.request.partition.size.limit */

struct page {
    struct request *rq;
    struct kafka_describe_topic_partitions_response response;
    struct str *names; /* sorted */
    int32_t names_count, names_room;
    int32_t left; /* partitions that still fit the page */
    bool failed;
};

static int compare_names(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static bool add_name(void *ctx, const struct image_topic *topic)
{
    struct page *page = ctx;

    if (page->names_count == page->names_room)
        return false;
    page->names[page->names_count++] = topic->name;
    return true;
}

/* The names asked for, or all of them, sorted. */
static void collect_names(struct page *page, const struct kafka_describe_topic_partitions_request *request)
{
    const struct image *image = page->rq->shard->image;
    bool all = request->topics_count == 0;

    page->names_room = all ? (int32_t)image_topic_count(image) : request->topics_count;
    page->names = arena_calloc(&page->rq->arena, (size_t)page->names_room, sizeof(*page->names));
    page->failed = !page->names;
    if (page->failed)
        return;
    if (all)
        image_each_topic(image, add_name, page);
    else
        for (int32_t i = 0; i < request->topics_count; i++)
            page->names[page->names_count++] = request->topics[i].name;
    qsort(page->names, (size_t)page->names_count, sizeof(*page->names), compare_names);
}

static void fill_offline(struct page *page, struct kafka_describe_topic_partitions_response_partition *out,
                         const struct image_partition *state)
{
    out->offline_replicas = arena_calloc(&page->rq->arena, (size_t)state->replicas_count, sizeof(int32_t));
    page->failed |= !out->offline_replicas;
    for (int32_t i = 0; !page->failed && i < state->replicas_count; i++) {
        const struct image_broker *broker = image_broker(page->rq->shard->image, state->replicas[i]);
        if (!broker || broker->fenced)
            out->offline_replicas[out->offline_replicas_count++] = state->replicas[i];
    }
}

static void fill_partition(struct page *page, struct kafka_describe_topic_partitions_response_partition *out,
                           const struct image_partition *state)
{
    kafka_describe_topic_partitions_response_partition_init(out);
    out->partition_index = state->index;
    out->error_code = state->leader >= 0 ? KAFKA_NONE : KAFKA_LEADER_NOT_AVAILABLE;
    out->leader_id = state->leader;
    out->leader_epoch = state->leader_epoch;
    out->replica_nodes = (int32_t *)(uintptr_t)state->replicas; /* read only by the encoder */
    out->replica_nodes_count = state->replicas_count;
    out->isr_nodes = (int32_t *)(uintptr_t)state->isr;
    out->isr_nodes_count = state->isr_count;
    out->eligible_leader_replicas = (int32_t *)(uintptr_t)state->elr;
    out->eligible_leader_replicas_count = state->elr_count;
    out->last_known_elr = (int32_t *)(uintptr_t)state->last_known_elr;
    out->last_known_elr_count = state->last_known_elr_count;
    fill_offline(page, out, state);
}

static void set_cursor(struct page *page, struct str name, int32_t index)
{
    page->response.has_next_cursor = true;
    page->response.next_cursor.topic_name = name;
    page->response.next_cursor.partition_index = index;
}

/* Adds one topic from partition `from` on. False: the page is full. */
static bool add_topic(struct page *page, struct str name, int32_t from)
{
    const struct image *image = page->rq->shard->image;
    const struct image_topic *topic = image_topic_by_name(image, name);

    if (page->left == 0) {
        set_cursor(page, name, from);
        return false;
    }
    struct kafka_describe_topic_partitions_response_topic *out =
        &page->response.topics[page->response.topics_count++];
    kafka_describe_topic_partitions_response_topic_init(out);
    out->name = name;
    if (!topic) {
        out->error_code =
            topic_name_valid(name) ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION : KAFKA_INVALID_TOPIC_EXCEPTION;
        return true;
    }
    out->topic_id = topic->id;
    out->is_internal = topic_is_internal(topic->name);
    int32_t end = MIN(topic->partitions_count, from + page->left);
    out->partitions = arena_calloc(&page->rq->arena, (size_t)MAX(end - from, 0), sizeof(*out->partitions));
    page->failed |= !out->partitions;
    for (int32_t i = from; i < end && !page->failed; i++)
        fill_partition(page, &out->partitions[out->partitions_count++], image_partition(image, topic, i));
    page->left -= MAX(end - from, 0);
    if (end < topic->partitions_count)
        set_cursor(page, name, end);
    return end >= topic->partitions_count;
}

static void fill_page(struct page *page, const struct kafka_describe_topic_partitions_request *request)
{
    const struct kafka_describe_topic_partitions_request_cursor *cursor =
        request->has_cursor ? &request->cursor : NULL;

    page->response.topics =
        arena_calloc(&page->rq->arena, (size_t)page->names_count, sizeof(*page->response.topics));
    page->failed |= !page->response.topics;
    for (int32_t i = 0; i < page->names_count && !page->failed; i++) {
        int order = cursor ? str_cmp(page->names[i], cursor->topic_name) : 1;
        if (order < 0)
            continue;
        if (!add_topic(page, page->names[i], order == 0 ? cursor->partition_index : 0))
            return;
    }
}

void handle_describe_topic_partitions(struct request *rq)
{
    struct kafka_describe_topic_partitions_request *request = request_decode(rq, describe_topic_partitions);
    struct page page = {.rq = rq};

    if (!request)
        return;
    if (request->has_cursor && request->cursor.partition_index < 0) {
        request_refuse(rq, "negative partition in a cursor");
        return;
    }
    rq->arena.cap_bytes = METADATA_ARENA_BYTES;
    kafka_describe_topic_partitions_response_init(&page.response);
    page.left = MIN(MAX(request->response_partition_limit, 1), PARTITIONS_MAX);
    collect_names(&page, request);
    if (!page.failed)
        fill_page(&page, request);
    if (page.failed)
        request_refuse(rq, "out of memory");
    else
        request_respond(rq, describe_topic_partitions, &page.response);
}
