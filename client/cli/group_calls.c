/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/group_calls.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "proto/kafka/error.h"

#define OFFSET_FETCH_VERSION 9 /* the last that goes by names */
#define LIST_OFFSETS_VERSION 10

/* -- rows -- */

static struct group_row *row_find(struct group_rows *rows, struct str topic, int32_t partition)
{
    for (int32_t i = 0; i < rows->count; i++)
        if (rows->items[i].partition == partition && str_eq_z(topic, rows->items[i].topic))
            return &rows->items[i];
    return NULL;
}

struct group_row *group_row_of(struct group_rows *rows, struct str topic, int32_t partition)
{
    struct group_row *row = row_find(rows, topic, partition);
    char *name = row ? NULL : strndup(topic.p, (size_t)topic.len);
    if (row || !name)
        return row;
    row = realloc(rows->items, (size_t)(rows->count + 1) * sizeof(*row));
    if (!row) {
        free(name);
        return NULL;
    }
    rows->items = row;
    row = &rows->items[rows->count++];
    *row = (struct group_row){.topic = name,
                              .partition = partition,
                              .committed = GROUP_NO_OFFSET,
                              .start = GROUP_NO_OFFSET,
                              .end = GROUP_NO_OFFSET,
                              .found = GROUP_NO_OFFSET};
    return row;
}

static int by_name(const void *a, const void *b)
{
    const struct group_row *x = a, *y = b;
    int order = strcmp(x->topic, y->topic);
    return order != 0 ? order : (x->partition > y->partition) - (x->partition < y->partition);
}

void group_rows_sort(struct group_rows *rows)
{
    if (rows->count > 0)
        qsort(rows->items, (size_t)rows->count, sizeof(*rows->items), by_name);
}

void group_rows_free(struct group_rows *rows)
{
    for (int32_t i = 0; i < rows->count; i++) {
        free(rows->items[i].topic);
        free(rows->items[i].member);
    }
    free(rows->items);
    *rows = (struct group_rows){0};
}

/* -- the coordinator -- */

struct finding {
    struct session *s;
    const char *group;
    int32_t node;
};

static int on_found(void *ctx, const struct client_reply *reply)
{
    struct finding *f = ctx;
    const struct kafka_find_coordinator_response *response = reply->message;
    bool batch = response->coordinators_count > 0;
    int16_t error = batch ? response->coordinators[0].error_code : response->error_code;
    if (error != KAFKA_NONE)
        return cli_fail(f->s->cli, (struct client_failure){ERR_REJECTED, error}, NULL,
                        "cannot find the coordinator of group '%s'", f->group);
    f->node = batch ? response->coordinators[0].node_id : response->node_id;
    return EXIT_OK;
}

int group_find_coordinator(struct session *s, const char *group, int32_t *ret_node)
{
    struct finding f = {.s = s, .group = group};
    struct str key = str_from(group);
    struct kafka_find_coordinator_request request;
    struct session_call call = {.api_key = KAFKA_API_FIND_COORDINATOR,
                                .message = &request,
                                .repeatable = true,
                                .what = "cannot find the group's coordinator",
                                .on_reply = on_found,
                                .ctx = &f};
    kafka_find_coordinator_request_init(&request);
    request.coordinator_keys = &key;
    request.coordinator_keys_count = 1;
    int code = session_call(s, &call);
    *ret_node = f.node;
    return code;
}

/* -- committed offsets -- */

struct fetching {
    struct session *s;
    const char *group;
    struct group_rows *rows;
};

static int on_committed(void *ctx, const struct client_reply *reply)
{
    struct fetching *f = ctx;
    const struct kafka_offset_fetch_response *response = reply->message;
    const struct kafka_offset_fetch_response_group *group =
        response->groups_count == 1 ? &response->groups[0] : NULL;
    if (!group || group->error_code != KAFKA_NONE)
        return cli_fail(
            f->s->cli,
            (struct client_failure){ERR_REJECTED, group ? group->error_code : KAFKA_UNKNOWN_SERVER_ERROR},
            NULL, "cannot read the offsets of group '%s'", f->group);
    for (int32_t t = 0; t < group->topics_count; t++)
        for (int32_t i = 0; i < group->topics[t].partitions_count; i++) {
            struct group_row *row =
                group_row_of(f->rows, group->topics[t].name, group->topics[t].partitions[i].partition_index);
            if (row)
                row->committed = group->topics[t].partitions[i].committed_offset;
        }
    return EXIT_OK;
}

int group_committed(struct session *s, int32_t node, const char *group, struct group_rows *rows)
{
    struct fetching f = {s, group, rows};
    struct kafka_offset_fetch_request request;
    struct kafka_offset_fetch_request_group asked;
    struct session_call call = {.api_key = KAFKA_API_OFFSET_FETCH,
                                .version_max = OFFSET_FETCH_VERSION,
                                .message = &request,
                                .repeatable = true,
                                .to_node = true,
                                .node = node,
                                .what = "cannot read the group's offsets",
                                .on_reply = on_committed,
                                .ctx = &f};
    kafka_offset_fetch_request_init(&request);
    kafka_offset_fetch_request_group_init(&asked);
    asked.group_id = str_from(group);
    asked.topics_count = -1;
    request.groups = &asked;
    request.groups_count = 1;
    return session_call(s, &call);
}

/* -- offsets of logs -- */

struct timing {
    struct session *s;
    struct group_rows *rows;
    size_t field;
};

static int64_t *field_of(struct group_row *row, size_t field)
{
    return (int64_t *)((char *)row + field);
}

static int on_times(void *ctx, const struct client_reply *reply)
{
    struct timing *t = ctx;
    const struct kafka_list_offsets_response *response = reply->message;
    for (int32_t i = 0; i < response->topics_count; i++)
        for (int32_t k = 0; k < response->topics[i].partitions_count; k++) {
            const struct kafka_list_offsets_response_partition *one = &response->topics[i].partitions[k];
            struct group_row *row = row_find(t->rows, response->topics[i].name, one->partition_index);
            if (one->error_code != KAFKA_NONE)
                return cli_fail(t->s->cli, (struct client_failure){ERR_REJECTED, one->error_code}, NULL,
                                "partition %d of topic '%.*s'", one->partition_index,
                                response->topics[i].name.len, response->topics[i].name.p);
            if (row)
                *field_of(row, t->field) = one->offset;
        }
    return EXIT_OK;
}

/* All rows whose leader is `node`, in one request. */
static int ask_node(struct timing *t, int32_t node, const int32_t *leaders, int64_t timestamp)
{
    size_t count = (size_t)t->rows->count;
    struct kafka_list_offsets_request request;
    struct kafka_list_offsets_request_topic *topics = calloc(count, sizeof(*topics));
    struct kafka_list_offsets_request_partition *partitions = calloc(count, sizeof(*partitions));
    struct session_call call = {.api_key = KAFKA_API_LIST_OFFSETS,
                                .version_max = LIST_OFFSETS_VERSION,
                                .message = &request,
                                .repeatable = true,
                                .to_node = true,
                                .node = node,
                                .what = "cannot read the ends of the logs",
                                .on_reply = on_times,
                                .ctx = t};
    ASSERT(topics && partitions);
    kafka_list_offsets_request_init(&request);
    request.replica_id = -1;
    request.topics = topics;
    for (int32_t i = 0; i < t->rows->count; i++) {
        if (leaders[i] != node)
            continue;
        struct kafka_list_offsets_request_topic *topic = &topics[request.topics_count++];
        kafka_list_offsets_request_partition_init(&partitions[i]);
        partitions[i].partition_index = t->rows->items[i].partition;
        partitions[i].current_leader_epoch = -1;
        partitions[i].timestamp = timestamp;
        topic->name = str_from(t->rows->items[i].topic);
        topic->partitions = &partitions[i];
        topic->partitions_count = 1;
    }
    int code = session_call(t->s, &call);
    free(topics);
    free(partitions);
    return code;
}

static int find_leaders(struct session *s, const struct group_rows *rows, int32_t *leaders)
{
    for (int32_t i = 0; i < rows->count; i++) {
        struct client_topic *topic;
        int code = session_topic_if_any(s, rows->items[i].topic, &topic);
        if (code != EXIT_OK)
            return code;
        leaders[i] = topic ? client_topic_leader(topic, rows->items[i].partition) : -1;
    }
    return EXIT_OK;
}

int group_times(struct session *s, struct group_rows *rows, int64_t timestamp, size_t field)
{
    struct timing t = {s, rows, field};
    int32_t *leaders = calloc((size_t)rows->count + 1, sizeof(*leaders));
    ASSERT(leaders);
    int code = find_leaders(s, rows, leaders);
    for (int32_t i = 0; i < rows->count && code == EXIT_OK; i++) {
        bool asked = leaders[i] < 0;
        for (int32_t k = 0; k < i; k++)
            asked = asked || leaders[k] == leaders[i];
        if (!asked)
            code = ask_node(&t, leaders[i], leaders, timestamp);
    }
    free(leaders);
    return code;
}
