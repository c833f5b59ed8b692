/* SPDX-License-Identifier: Apache-2.0 */
/* ListPartitionReassignments: the moves under way, of all topics or of those named. */
#include <string.h>

#include "controller/core/config_change.h"
#include "proto/kafka/gen/list_partition_reassignments.h"

typedef struct kafka_list_partition_reassignments_response_topic topic_out;

struct listing {
    struct command *command;
    struct kafka_list_partition_reassignments_response *response;
    int32_t room; /* topics allocated */
};

static bool is_moving(const struct image_partition *p)
{
    return p && p->adding_count + p->removing_count > 0;
}

static int32_t *copy_ids(struct command *command, const int32_t *ids, int32_t count)
{
    int32_t *copy = command_alloc(command, (size_t)count, sizeof(*copy));
    if (copy && count > 0)
        memcpy(copy, ids, (size_t)count * sizeof(*copy));
    return copy;
}

static void add_partition(struct listing *l, topic_out *out, const struct image_partition *p)
{
    struct kafka_list_partition_reassignments_response_partition *result =
        &out->partitions[out->partitions_count];
    kafka_list_partition_reassignments_response_partition_init(result);
    result->partition_index = p->index;
    result->replicas = copy_ids(l->command, p->replicas, p->replicas_count);
    result->adding_replicas = copy_ids(l->command, p->adding, p->adding_count);
    result->removing_replicas = copy_ids(l->command, p->removing, p->removing_count);
    if (!result->replicas || !result->adding_replicas || !result->removing_replicas)
        return; /* out of memory sticks in the plan */
    result->replicas_count = p->replicas_count;
    result->adding_replicas_count = p->adding_count;
    result->removing_replicas_count = p->removing_count;
    out->partitions_count++;
}

/* Room for one more topic with `partitions` results, NULL when memory is out. */
static topic_out *add_topic(struct listing *l, struct str name, int32_t partitions)
{
    if (l->response->topics_count == l->room) {
        int32_t room = l->room ? l->room * 2 : 8;
        topic_out *grown = command_alloc(l->command, (size_t)room, sizeof(*grown));
        if (!grown)
            return NULL;
        if (l->room > 0)
            memcpy(grown, l->response->topics, (size_t)l->room * sizeof(*grown));
        l->response->topics = grown;
        l->room = room;
    }
    topic_out *out = &l->response->topics[l->response->topics_count];
    kafka_list_partition_reassignments_response_topic_init(out);
    out->name = command_str(l->command, name);
    out->partitions = command_alloc(l->command, (size_t)partitions, sizeof(*out->partitions));
    if (!out->partitions)
        return NULL;
    l->response->topics_count++;
    return out;
}

static void list_partition(struct listing *l, topic_out **out, const struct image_topic *topic, int32_t index,
                           int32_t room)
{
    const struct image_partition *p = image_partition(plan_image(&l->command->plan), topic, index);
    if (!is_moving(p))
        return;
    if (!*out)
        *out = add_topic(l, topic->name, room);
    if (*out)
        add_partition(l, *out, p);
}

static bool list_topic(void *ctx, const struct image_topic *topic)
{
    struct listing *l = ctx;
    topic_out *out = NULL;
    for (int32_t i = 0; i < topic->partitions_count; i++)
        list_partition(l, &out, topic, i, topic->partitions_count);
    return l->command->plan.err == OK;
}

static void list_named(struct listing *l,
                       const struct kafka_list_partition_reassignments_request_topic *wanted)
{
    topic_out *out = NULL;
    const struct image_topic *topic = image_topic_by_name(plan_image(&l->command->plan), wanted->name);
    for (int32_t i = 0; topic && i < wanted->partition_indexes_count; i++)
        list_partition(l, &out, topic, wanted->partition_indexes[i], wanted->partition_indexes_count);
}

void list_reassignments(struct command *command, const void *request)
{
    const struct kafka_list_partition_reassignments_request *wanted = request;
    struct listing l = {.command = command};
    l.response = command_alloc(command, 1, sizeof(*l.response));
    if (!l.response)
        return;
    kafka_list_partition_reassignments_response_init(l.response);
    if (wanted->topics_count < 0)
        image_each_topic(plan_image(&command->plan), list_topic, &l);
    for (int32_t i = 0; i < wanted->topics_count; i++)
        list_named(&l, &wanted->topics[i]);
    command->reply.admin.response = l.response;
}
