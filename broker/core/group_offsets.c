/* SPDX-License-Identifier: Apache-2.0 */
/* Committed offsets: the table, OffsetCommit, OffsetFetch, OffsetDelete, expiry. */
#include <string.h>

#include "broker/core/group_consumer.h"
#include "broker/core/group_internal.h"
#include "common/base/mutant.h"
#include "common/base/probe.h"
#include "proto/kafka/gen/offset_commit.h"
#include "proto/kafka/gen/offset_delete.h"
#include "proto/kafka/gen/offset_fetch.h"

/* -- the table -- */

/* The place of name, or where it belongs. */
static int32_t topic_place(const struct group *group, struct str name, bool *ret_found)
{
    int32_t low = 0, high = group->topics_count;

    *ret_found = false;
    while (low < high) {
        int32_t middle = low + (high - low) / 2, order = str_cmp(group->topics[middle].name, name);
        if (order == 0)
            *ret_found = true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct group_topic *group_topic_find(const struct group *group, struct str name)
{
    bool found;
    int32_t at = topic_place(group, name, &found);

    return found ? &group->topics[at] : NULL;
}

static struct group_topic *topic_make(struct groups *g, struct group *group, struct str name)
{
    bool found;
    int32_t at = topic_place(group, name, &found);

    if (found)
        return &group->topics[at];
    group->topics =
        group_grow(g, group->topics, &group->topics_cap, group->topics_count + 1, sizeof(*group->topics));
    struct group_topic *topic = &group->topics[at];
    memmove(topic + 1, topic, (size_t)(group->topics_count - at) * sizeof(*topic));
    *topic = (struct group_topic){.name = group_str(g, name)};
    group->topics_count++;
    return topic;
}

static int32_t offset_place(const struct group_topic *topic, int32_t partition)
{
    int32_t low = 0, high = topic->count;

    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (topic->offsets[middle].partition < partition)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct group_offset *offset_find(const struct group_topic *topic, int32_t partition)
{
    int32_t at = topic ? offset_place(topic, partition) : 0;

    return topic && at < topic->count && topic->offsets[at].partition == partition ? &topic->offsets[at]
                                                                                   : NULL;
}

void group_offset_put(struct groups *g, struct group *group, struct str name,
                      const struct group_offset *offset)
{
    struct group_topic *topic = topic_make(g, group, name);
    int32_t at = offset_place(topic, offset->partition);

    if (at == topic->count || topic->offsets[at].partition != offset->partition) {
        topic->offsets =
            group_grow(g, topic->offsets, &topic->cap, topic->count + 1, sizeof(*topic->offsets));
        memmove(&topic->offsets[at + 1], &topic->offsets[at],
                (size_t)(topic->count - at) * sizeof(*topic->offsets));
        topic->offsets[at].metadata = STR_NULL;
        topic->count++;
        g->offsets_count++;
    }
    struct str metadata = topic->offsets[at].metadata;
    group_str_set(g, &metadata, offset->metadata);
    topic->offsets[at] = *offset;
    topic->offsets[at].metadata = metadata;
}

static void topic_drop(struct groups *g, struct group *group, struct group_topic *topic)
{
    int32_t at = (int32_t)(topic - group->topics);

    ASSERT(topic->count == 0);
    group_release(g, topic->offsets, (size_t)topic->cap * sizeof(*topic->offsets));
    group_str_drop(g, &topic->name);
    memmove(topic, topic + 1, (size_t)(group->topics_count - at - 1) * sizeof(*topic));
    if (--group->topics_count == 0) {
        group_release(g, group->topics, (size_t)group->topics_cap * sizeof(*group->topics));
        group->topics = NULL;
        group->topics_cap = 0;
    }
}

void group_offset_remove(struct groups *g, struct group *group, struct str name, int32_t partition)
{
    struct group_topic *topic = group_topic_find(group, name);
    struct group_offset *offset = offset_find(topic, partition);

    if (!offset)
        return;
    group_str_drop(g, &offset->metadata);
    memmove(offset, offset + 1, (size_t)(topic->offsets + topic->count - offset - 1) * sizeof(*offset));
    g->offsets_count--;
    if (--topic->count == 0)
        topic_drop(g, group, topic);
}

void group_offsets_clear(struct groups *g, struct group *group)
{
    while (group->topics_count > 0) {
        struct group_topic *topic = &group->topics[group->topics_count - 1];
        for (int32_t i = 0; i < topic->count; i++)
            group_str_drop(g, &topic->offsets[i].metadata);
        g->offsets_count -= (uint64_t)topic->count;
        topic->count = 0;
        topic_drop(g, group, topic);
    }
}

/* -- OffsetCommit -- */

#define MEMBER_EPOCH_VERSION                                                                                 \
    9 /* OffsetCommit; before it members of the consumer protocol cannot say who they are */

static int16_t check_consumer_commit(struct groups *g, struct group *group, const struct group_call *call)
{
    const struct kafka_offset_commit_request *request = call->request;
    const struct cmember *member = cmember_find(group->consumer, request->member_id);

    if (member && !member->classic && call->version < MEMBER_EPOCH_VERSION)
        return KAFKA_UNSUPPORTED_VERSION;
    return cgroup_check_epoch(g, group, request->member_id, request->group_instance_id,
                              request->generation_id_or_member_epoch, KAFKA_STALE_MEMBER_EPOCH);
}

int16_t offsets_check_member(struct groups *g, struct group *group, struct str id, struct str instance_id,
                             int32_t generation)
{
    struct member *member = NULL;
    int16_t error = member_check(group, id, instance_id, &member);

    if (error != KAFKA_NONE)
        return error;
    if (generation != group->generation && !MUTANT(STALE_GENERATION)) {
        PROBE(GROUP_STALE_COMMIT);
        return KAFKA_ILLEGAL_GENERATION;
    }
    member_alive(g, group, member);
    return KAFKA_NONE;
}

/* The group's id, which may be long, stands in every record: a small request makes a large write. */
#define COMMIT_BYTES_MAX (16 << 20)

int16_t offsets_write(struct groups *g, struct group *group, struct str topic, struct group_offset *offset)
{
    offset->commit_ms = g->wall_ms;
    offset->expire_ms = -1;
    if (offset->metadata.len < 0)
        offset->metadata = STR_LIT("");
    if (offset->metadata.len > g->settings->metadata_max)
        return KAFKA_OFFSET_METADATA_TOO_LARGE;
    if (writer_pos(&g->out) >= COMMIT_BYTES_MAX)
        return KAFKA_INVALID_COMMIT_OFFSET_SIZE;
    write_offset(g, group, topic, offset);
    return KAFKA_NONE;
}

/* Who may commit: a member of this generation, or anybody while the group has no members. */
static int16_t check_commit(struct groups *g, struct group *group, const struct group_call *call)
{
    const struct kafka_offset_commit_request *request = call->request;
    bool simple = request->generation_id_or_member_epoch < 0;

    if (!group && !simple)
        return call->version >= MEMBER_EPOCH_VERSION ? KAFKA_GROUP_ID_NOT_FOUND : KAFKA_ILLEGAL_GENERATION;
    if (!group)
        return KAFKA_NONE;
    if (group->consumer)
        return check_consumer_commit(g, group, call);
    if (simple && group->state == GROUP_EMPTY)
        return KAFKA_NONE;
    int16_t error = offsets_check_member(g, group, request->member_id, request->group_instance_id,
                                         request->generation_id_or_member_epoch);
    return error == KAFKA_NONE && group->state == GROUP_COMPLETING ? KAFKA_REBALANCE_IN_PROGRESS : error;
}

static void commit_one(struct groups *g, struct group *group, struct str topic,
                       const struct kafka_offset_commit_request_partition *in, int16_t *error)
{
    struct group_offset offset = {.partition = in->partition_index,
                                  .leader_epoch = in->committed_leader_epoch,
                                  .offset = in->committed_offset,
                                  .metadata = in->committed_metadata};

    if (*error == KAFKA_NONE)
        *error = offsets_write(g, group, topic, &offset);
}

void group_commit(struct groups *g, struct group_call *call)
{
    const struct kafka_offset_commit_request *request = call->request;
    struct kafka_offset_commit_response *response = call->response;
    struct group *group = group_find(g, request->group_id);
    int16_t error = check_commit(g, group, call);

    if (error != KAFKA_NONE) {
        settle(g, call, error);
        return;
    }
    if (!group)
        group = group_find_or_make(g, request->group_id);
    write_begin(g);
    for (int32_t i = 0; i < request->topics_count; i++)
        for (int32_t k = 0; k < request->topics[i].partitions_count; k++)
            commit_one(g, group, request->topics[i].name, &request->topics[i].partitions[k],
                       &response->topics[i].partitions[k].error_code);
    if (write_end(g, WRITE_RECORDS, group, call) == 0)
        settle(g, call, KAFKA_NONE); /* every partition has an error of its own */
    group_drop_if_void(g, group);
}

/* -- OffsetFetch -- */

static bool fetch_partition(const struct groups *g, struct group_call *call, struct str name,
                            const struct group_topic *topic, int32_t partition,
                            struct kafka_offset_fetch_response_group_topic_partition *out)
{
    const struct group_offset *offset = offset_find(topic, partition);

    kafka_offset_fetch_response_group_topic_partition_init(out);
    out->partition_index = partition;
    if (call->stable && group_txn_pending(g, call->group_id, name, partition)) {
        out->error_code = KAFKA_UNSTABLE_OFFSET_COMMIT;
        offset = NULL;
    }
    out->committed_offset = offset ? offset->offset : -1;
    out->committed_leader_epoch = offset ? offset->leader_epoch : -1;
    out->metadata = call_str(call, offset ? offset->metadata : STR_LIT(""));
    return out->metadata.len >= 0;
}

static bool fetch_topic(const struct groups *g, struct group_call *call, const struct group *group,
                        const struct kafka_offset_fetch_request_group_topic *in,
                        struct kafka_offset_fetch_response_group_topic *out)
{
    const struct group_topic *topic = group ? group_topic_find(group, in->name) : NULL;

    out->name = in->name;
    out->topic_id = in->topic_id;
    out->partitions =
        arena_calloc(call->arena, (size_t)MAX(in->partition_indexes_count, 0), sizeof(*out->partitions));
    if (!out->partitions)
        return false;
    for (int32_t i = 0; i < in->partition_indexes_count; i++)
        if (!fetch_partition(g, call, in->name, topic, in->partition_indexes[i],
                             &out->partitions[out->partitions_count++]))
            return false;
    return true;
}

static bool fetch_named(const struct groups *g, struct group_call *call, const struct group *group)
{
    const struct kafka_offset_fetch_request_group *request = call->request;
    struct kafka_offset_fetch_response_group *response = call->response;

    response->topics = arena_calloc(call->arena, (size_t)request->topics_count, sizeof(*response->topics));
    for (int32_t i = 0; response->topics && i < request->topics_count; i++)
        if (!fetch_topic(g, call, group, &request->topics[i], &response->topics[response->topics_count++]))
            return false;
    return response->topics != NULL;
}

static bool fetch_all_of(const struct groups *g, struct group_call *call, const struct group_topic *topic,
                         struct kafka_offset_fetch_response_group_topic *out)
{
    out->name = call_str(call, topic->name);
    out->partitions = arena_calloc(call->arena, (size_t)topic->count, sizeof(*out->partitions));
    if (!out->partitions || out->name.len < 0)
        return false;
    for (int32_t i = 0; i < topic->count; i++)
        if (!fetch_partition(g, call, topic->name, topic, topic->offsets[i].partition,
                             &out->partitions[out->partitions_count++]))
            return false;
    return true;
}

static bool fetch_all(const struct groups *g, struct group_call *call, const struct group *group)
{
    struct kafka_offset_fetch_response_group *response = call->response;
    int32_t count = group ? group->topics_count : 0;

    response->topics = arena_calloc(call->arena, (size_t)count, sizeof(*response->topics));
    for (int32_t i = 0; response->topics && i < count; i++)
        if (!fetch_all_of(g, call, &group->topics[i], &response->topics[response->topics_count++]))
            return false;
    return response->topics != NULL;
}

/* A member of the consumer protocol says who it is, and must be that (KIP-848). */
static int16_t check_fetch(struct groups *g, struct group *group,
                           const struct kafka_offset_fetch_request_group *request)
{
    bool anybody = request->member_id.len <= 0 && request->member_epoch < 0;

    if (anybody || !group || !group->consumer)
        return KAFKA_NONE;
    return cgroup_check_epoch(g, group, request->member_id, STR_NULL, request->member_epoch,
                              KAFKA_STALE_MEMBER_EPOCH);
}

void group_fetch(struct groups *g, struct group_call *call)
{
    const struct kafka_offset_fetch_request_group *request = call->request;
    struct kafka_offset_fetch_response_group *response = call->response;
    struct group *group = group_find(g, request->group_id);
    int16_t error = check_fetch(g, group, request);

    if (error != KAFKA_NONE) {
        settle(g, call, error);
        return;
    }
    bool ok = request->topics_count < 0 ? fetch_all(g, call, group) : fetch_named(g, call, group);

    if (!ok) {
        response->topics = NULL;
        response->topics_count = 0;
    }
    settle(g, call, ok ? KAFKA_NONE : KAFKA_UNKNOWN_SERVER_ERROR);
}

/* -- subscriptions -- */

/* Kafka's consumer protocol: int16 version, then topic names. */
static bool metadata_names(struct bytes metadata, struct str topic)
{
    struct reader r = reader_over(metadata.p, (size_t)MAX(metadata.len, 0));

    reader_i16(&r);
    int32_t count = reader_i32(&r);
    for (int32_t i = 0; i < count && r.err == OK; i++) {
        int16_t len = reader_i16(&r);
        const uint8_t *name = len >= 0 ? reader_raw(&r, (size_t)len) : NULL;
        if (name && str_eq((struct str){(const char *)name, len}, topic))
            return true;
    }
    return r.err != OK;
}

bool group_subscribes(const struct group *group, struct str topic)
{
    if (group->consumer && cgroup_subscribes(group->consumer, topic))
        return true;
    list_for_each (it, &group->members) {
        const struct member *member = CONTAINER_OF(it, struct member, link);
        for (int32_t i = 0; i < member->protocols_count; i++)
            if (metadata_names(member->protocols[i].metadata, topic))
                return true;
    }
    return false;
}

/* -- OffsetDelete -- */

static void delete_topic(struct groups *g, struct group *group,
                         struct kafka_offset_delete_response_topic *topic)
{
    bool subscribed = !group_has_nobody(group) && group_subscribes(group, topic->name);

    for (int32_t i = 0; i < topic->partitions_count; i++) {
        struct kafka_offset_delete_response_partition *out = &topic->partitions[i];
        if (subscribed)
            out->error_code = KAFKA_GROUP_SUBSCRIBED_TO_TOPIC;
        else if (out->error_code == KAFKA_NONE &&
                 offset_find(group_topic_find(group, topic->name), out->partition_index))
            write_offset_gone(g, group, topic->name, out->partition_index);
    }
}

void group_offset_delete(struct groups *g, struct group_call *call)
{
    const struct kafka_offset_delete_request *request = call->request;
    struct kafka_offset_delete_response *response = call->response;
    struct group *group = group_find(g, request->group_id);

    if (!group) {
        settle(g, call, KAFKA_GROUP_ID_NOT_FOUND);
        return;
    }
    if (group->state != GROUP_EMPTY && !str_eq_z(group->protocol_type, CONSUMER_PROTOCOL)) {
        settle(g, call, KAFKA_NON_EMPTY_GROUP);
        return;
    }
    write_begin(g);
    for (int32_t i = 0; i < response->topics_count; i++)
        delete_topic(g, group, &response->topics[i]);
    if (write_end(g, WRITE_RECORDS, group, call) == 0)
        settle(g, call, KAFKA_NONE);
}

/* -- expiry -- */

/* From when its retention counts; -1: it is in use. */
static int64_t idle_since_ms(const struct group *group, struct str topic, const struct group_offset *offset)
{
    bool consumer = str_eq_z(group->protocol_type, CONSUMER_PROTOCOL);

    if (group_has_nobody(group))
        return group->protocol_type.len > 0 && group->state_ms >= 0 ? MAX(group->state_ms, offset->commit_ms)
                                                                    : offset->commit_ms;
    if ((group->consumer || (group->state == GROUP_STABLE && consumer)) && !group_subscribes(group, topic))
        return offset->commit_ms;
    return -1;
}

static bool expired(const struct groups *g, const struct group *group, struct str topic,
                    const struct group_offset *offset)
{
    int64_t since_ms = idle_since_ms(group, topic, offset);

    if (since_ms < 0)
        return false;
    if (offset->expire_ms >= 0)
        return offset->expire_ms <= g->wall_ms;
    return g->wall_ms - since_ms >= g->settings->retention_ms;
}

/* Its topic was deleted while no coordinator looked. A commit that has just come may know more than our
 * metadata does. */
static bool orphaned(const struct groups *g, bool known, const struct group_offset *offset)
{
    return !known && g->wall_ms - offset->commit_ms >= g->settings->retention_check_ms;
}

static int64_t expire_topic(struct groups *g, struct group *group, const struct group_topic *topic)
{
    const struct group_topics *topics = g->settings->topics;
    struct group_topic_view view;
    bool known = topics->by_name(topics->ctx, topic->name, &view);
    int64_t gone = 0;

    for (int32_t i = 0; i < topic->count; i++) {
        if (!orphaned(g, known, &topic->offsets[i]) && !expired(g, group, topic->name, &topic->offsets[i]))
            continue;
        if (group_txn_pending(g, group->id, topic->name, topic->offsets[i].partition))
            continue; /* the tombstone would be the last word, whatever the marker says */
        write_offset_gone(g, group, topic->name, topic->offsets[i].partition);
        gone++;
    }
    return gone;
}

static void expire_group(void *ctx, struct group *group)
{
    struct groups *g = ctx;
    int64_t gone = 0, had = 0;

    if (group->writes > 0 || group->round_seq != 0)
        return; /* next time */
    write_begin(g);
    for (int32_t i = 0; i < group->topics_count; i++) {
        had += group->topics[i].count;
        gone += expire_topic(g, group, &group->topics[i]);
    }
    bool idle = group_has_nobody(group) && list_empty(&group->pending_members);
    if (idle && gone == had && group->consumer) {
        write_cgroup_gone(g, group);
        group_round_begin(g, group, NULL);
        return;
    }
    if (idle && gone == had && group->stored)
        write_group_gone(g, group);
    write_end(g, WRITE_RECORDS, group, NULL);
}

void groups_expire_offsets(struct groups *g)
{
    g->retention_due_us = g->now_us + (uint64_t)g->settings->retention_check_ms * 1000;
    groups_each(g, expire_group, g);
}

/* -- topics that were deleted (Kafka: onPartitionsDeleted) -- */

struct topic_gone {
    struct groups *g;
    struct str name;
};

static void forget_topic(void *ctx, struct group *group)
{
    const struct topic_gone *gone = ctx;
    const struct group_topic *topic = group_topic_find(group, gone->name);

    if (!topic)
        return;
    write_begin(gone->g);
    for (int32_t i = 0; i < topic->count; i++)
        write_offset_gone(gone->g, group, gone->name, topic->offsets[i].partition);
    write_end(gone->g, WRITE_RECORDS, group, NULL);
}

void groups_topic_gone(struct groups *g, struct str topic)
{
    struct topic_gone gone = {g, topic};

    ASSERT(!g->loading && topic.len > 0);
    groups_each(g, forget_topic, &gone);
    group_txns_forget_topic(g, topic);
}
