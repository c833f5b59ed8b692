/* SPDX-License-Identifier: Apache-2.0 */
/* Kafka's records of consumer groups: made, and applied. */
#include <string.h>

#include "broker/core/group_consumer.h"
#include "broker/core/group_write.h"
#include "common/base/mutant.h"
#include "proto/kafka/gen/consumer_group_current_member_assignment_record.h"
#include "proto/kafka/gen/consumer_group_member_metadata_record.h"
#include "proto/kafka/gen/consumer_group_metadata_record.h"
#include "proto/kafka/gen/consumer_group_regular_expression_record.h"
#include "proto/kafka/gen/consumer_group_target_assignment_member_record.h"
#include "proto/kafka/gen/consumer_group_target_assignment_metadata_record.h"

#define TYPE_EPOCH        3
#define TYPE_PARTITIONS   4 /* of earlier versions of Kafka: nothing in it that we need */
#define TYPE_METADATA     5
#define TYPE_TARGET_EPOCH 6
#define TYPE_TARGET       7
#define TYPE_CURRENT      8
#define TYPE_REGEX        16
#define VALUE_VERSION     0

/* A key that names a group, or a group and something in it. */
#define write_key(g, type, name, ...)                                                                        \
    do {                                                                                                     \
        struct kafka_##name##_key key_ = {__VA_ARGS__};                                                      \
        size_t at_ = write_part_begin(g);                                                                    \
        writer_i16(&(g)->out, (type));                                                                       \
        kafka_##name##_key_encode(&(g)->out, (type), &key_);                                                 \
        write_part_end((g), at_);                                                                            \
    } while (0)

#define write_value(g, name, value)                                                                          \
    do {                                                                                                     \
        size_t at_ = write_part_begin(g);                                                                    \
        writer_i16(&(g)->out, VALUE_VERSION);                                                                \
        kafka_##name##_value_encode(&(g)->out, VALUE_VERSION, (value));                                      \
        write_part_end((g), at_);                                                                            \
        (g)->out_count++;                                                                                    \
    } while (0)

/* -- making -- */

void write_cgroup_epoch(struct groups *g, const struct group *group, int32_t epoch, int64_t hash)
{
    struct kafka_consumer_group_metadata_record_value value = {.epoch = epoch, .metadata_hash = hash};

    write_key(g, TYPE_EPOCH, consumer_group_metadata_record, .group_id = group->id);
    write_value(g, consumer_group_metadata_record, &value);
}

void write_cgroup_regex(struct groups *g, const struct group *group, const struct cregex *regex)
{
    struct kafka_consumer_group_regular_expression_record_value value = {.topics = regex->topics,
                                                                         .topics_count = regex->topics_count,
                                                                         .version = regex->version,
                                                                         .timestamp = regex->timestamp_ms};

    write_key(g, TYPE_REGEX, consumer_group_regular_expression_record, .group_id = group->id,
              .regular_expression = regex->regex);
    write_value(g, consumer_group_regular_expression_record, &value);
}

void write_cgroup_regex_gone(struct groups *g, const struct group *group, struct str regex)
{
    write_key(g, TYPE_REGEX, consumer_group_regular_expression_record, .group_id = group->id,
              .regular_expression = regex);
    write_no_value(g);
}

void write_cgroup_target_epoch(struct groups *g, const struct group *group, int32_t epoch)
{
    struct kafka_consumer_group_target_assignment_metadata_record_value value = {.assignment_epoch = epoch};

    write_key(g, TYPE_TARGET_EPOCH, consumer_group_target_assignment_metadata_record, .group_id = group->id);
    write_value(g, consumer_group_target_assignment_metadata_record, &value);
}

void write_cmember_metadata(struct groups *g, const struct group *group, const struct cmember *member)
{
    struct kafka_consumer_group_member_metadata_record_value value;

    kafka_consumer_group_member_metadata_record_value_init(&value);
    value.instance_id = member->instance_id;
    value.rack_id = member->rack_id;
    value.client_id = member->client_id;
    value.client_host = member->client_host;
    value.subscribed_topic_names = member->topics;
    value.subscribed_topic_names_count = member->topics_count;
    value.subscribed_topic_regex = member->regex;
    value.rebalance_timeout_ms = member->rebalance_timeout_ms;
    value.server_assignor = member->assignor;
    value.has_classic_member_metadata = member->classic;
    if (member->classic) {
        value.classic_member_metadata.session_timeout_ms = member->session_timeout_ms;
        value.classic_member_metadata.supported_protocols = (void *)member->protocols;
        value.classic_member_metadata.supported_protocols_count = member->protocols_count;
    }
    write_key(g, TYPE_METADATA, consumer_group_member_metadata_record, .group_id = group->id,
              .member_id = member->id);
    write_value(g, consumer_group_member_metadata_record, &value);
}

/* Every record has a struct of its own for "a topic and partitions"; they look alike. */
struct record_topic {
    int32_t *partitions;
    int32_t partitions_count;
    struct uuid topic_id;
};

#define SAME_AS_RECORD_TOPIC(type)                                                                           \
    STATIC_ASSERT(sizeof(struct record_topic) == sizeof(struct type) &&                                      \
                      offsetof(struct record_topic, topic_id) == offsetof(struct type, topic_id) &&          \
                      offsetof(struct record_topic, partitions) == offsetof(struct type, partitions) &&      \
                      offsetof(struct record_topic, partitions_count) ==                                     \
                          offsetof(struct type, partitions_count),                                           \
                  "one function reads and writes them all")
SAME_AS_RECORD_TOPIC(kafka_consumer_group_current_member_assignment_record_value_topic_partitions);
SAME_AS_RECORD_TOPIC(kafka_consumer_group_target_assignment_member_record_value_topic_partition);
STATIC_ASSERT(sizeof(struct member_protocol) ==
                  sizeof(struct kafka_consumer_group_member_metadata_record_value_protocol),
              "protocols are written as they are");

/* In g->writing. */
static struct record_topic *topics_of(struct groups *g, const struct tp_set *set, int32_t *ret_count)
{
    int32_t count = tp_set_topics(set), at = 0;
    struct record_topic *topics = arena_calloc(&g->writing, (size_t)count, sizeof(*topics));
    int32_t *partitions = arena_calloc(&g->writing, (size_t)set->count, sizeof(*partitions));

    ASSERT(topics && partitions);
    for (int32_t i = 0, end; i < set->count; i = end) {
        end = tp_set_run(set, i);
        topics[at++] = (struct record_topic){&partitions[i], end - i, set->v[i].topic};
        for (int32_t k = i; k < end; k++)
            partitions[k] = set->v[k].partition;
    }
    *ret_count = count;
    return topics;
}

void write_cmember_target(struct groups *g, const struct group *group, struct str id,
                          const struct tp_set *set)
{
    struct kafka_consumer_group_target_assignment_member_record_value value = {.topic_partitions = NULL};

    arena_reset(&g->writing);
    value.topic_partitions = (void *)topics_of(g, set, &value.topic_partitions_count);
    write_key(g, TYPE_TARGET, consumer_group_target_assignment_member_record, .group_id = group->id,
              .member_id = id);
    write_value(g, consumer_group_target_assignment_member_record, &value);
}

void write_cmember_current(struct groups *g, const struct group *group, const struct cmember *member)
{
    struct kafka_consumer_group_current_member_assignment_record_value value = {
        .member_epoch = member->epoch,
        .previous_member_epoch = member->previous_epoch,
        .state = (int8_t)member->state};

    arena_reset(&g->writing);
    value.assigned_partitions = (void *)topics_of(g, &member->assigned, &value.assigned_partitions_count);
    value.partitions_pending_revocation =
        (void *)topics_of(g, &member->revoking, &value.partitions_pending_revocation_count);
    write_key(g, TYPE_CURRENT, consumer_group_current_member_assignment_record, .group_id = group->id,
              .member_id = member->id);
    write_value(g, consumer_group_current_member_assignment_record, &value);
}

void write_cmember_gone(struct groups *g, const struct group *group, struct str id)
{
    write_key(g, TYPE_CURRENT, consumer_group_current_member_assignment_record, .group_id = group->id,
              .member_id = id);
    write_no_value(g);
    write_key(g, TYPE_TARGET, consumer_group_target_assignment_member_record, .group_id = group->id,
              .member_id = id);
    write_no_value(g);
    write_key(g, TYPE_METADATA, consumer_group_member_metadata_record, .group_id = group->id,
              .member_id = id);
    write_no_value(g);
}

void write_cgroup_gone(struct groups *g, const struct group *group)
{
    const struct cgroup *cg = group->consumer;

    list_for_each (it, &cg->members)
        write_cmember_gone(g, group, CONTAINER_OF(it, struct cmember, link)->id);
    for (int32_t i = 0; i < cg->regexes_count; i++)
        write_cgroup_regex_gone(g, group, cg->regexes[i].regex);
    write_key(g, TYPE_TARGET_EPOCH, consumer_group_target_assignment_metadata_record, .group_id = group->id);
    write_no_value(g);
    write_key(g, TYPE_EPOCH, consumer_group_metadata_record, .group_id = group->id);
    write_no_value(g);
}

/* -- applying -- */

/* Decodes a key into `key`, and a value, unless it is a tombstone, into `v`; leaves the function with the
 * error. */
#define read_key(name, type, r, k)                                                                           \
    do {                                                                                                     \
        if (kafka_##name##_key_decode((r), &g->replaying, (type), (k)) != OK)                                \
            return ERR_MALFORMED;                                                                            \
    } while (0)

#define read_value(name, value, v)                                                                           \
    do {                                                                                                     \
        struct reader r_ = reader_over((value).p, (size_t)(value).len);                                      \
        enum err err_ = kafka_##name##_value_decode(&r_, &g->replaying, reader_i16(&r_), (v));               \
        if (err_ != OK)                                                                                      \
            return err_ == ERR_VERSION ? err_ : ERR_MALFORMED;                                               \
    } while (0)

static struct cgroup *cgroup_of(const struct groups *g, struct str id)
{
    struct group *group = group_find(g, id);

    return group ? group->consumer : NULL;
}

static struct cmember *member_for(struct groups *g, struct str group_id, struct str member_id,
                                  struct group **ret_group)
{
    struct group *group = group_find_or_make(g, group_id);

    *ret_group = group;
    return cmember_make(g, cgroup_make(g, group), member_id);
}

static struct cmember *member_if_any(const struct groups *g, struct str group_id, struct str member_id)
{
    struct cgroup *cg = cgroup_of(g, group_id);

    return cg ? cmember_find(cg, member_id) : NULL;
}

static enum err replay_epoch(struct groups *g, struct reader *key, struct bytes value)
{
    struct kafka_consumer_group_metadata_record_key k;
    struct kafka_consumer_group_metadata_record_value v;
    struct group *group;

    read_key(consumer_group_metadata_record, TYPE_EPOCH, key, &k);
    if (value.len < 0) {
        group = group_find(g, k.group_id);
        if (group)
            cgroup_drop(g, group);
        return OK;
    }
    read_value(consumer_group_metadata_record, value, &v);
    group = group_find_or_make(g, k.group_id);
    cgroup_make(g, group)->epoch = MUTANT(FORGET_MEMBER_EPOCHS) && g->loading ? 1 : v.epoch;
    group->consumer->metadata_hash = v.metadata_hash;
    return OK;
}

static enum err replay_target_epoch(struct groups *g, struct reader *key, struct bytes value)
{
    struct kafka_consumer_group_target_assignment_metadata_record_key k;
    struct kafka_consumer_group_target_assignment_metadata_record_value v;

    read_key(consumer_group_target_assignment_metadata_record, TYPE_TARGET_EPOCH, key, &k);
    if (value.len < 0)
        return OK; /* the group goes with its epoch */
    read_value(consumer_group_target_assignment_metadata_record, value, &v);
    cgroup_make(g, group_find_or_make(g, k.group_id))->target_epoch =
        MUTANT(FORGET_MEMBER_EPOCHS) && g->loading ? 1 : v.assignment_epoch;
    return OK;
}

static void take_classic(struct groups *g, struct cmember *member,
                         const struct kafka_consumer_group_member_metadata_record_value *v)
{
    member->classic = v->has_classic_member_metadata;
    member->session_timeout_ms = member->classic ? v->classic_member_metadata.session_timeout_ms : 0;
    protocols_set(g, &member->protocols, &member->protocols_count,
                  member->classic ? (void *)v->classic_member_metadata.supported_protocols : NULL,
                  member->classic ? MAX(v->classic_member_metadata.supported_protocols_count, 0) : 0);
}

static enum err replay_metadata(struct groups *g, struct reader *key, struct bytes value)
{
    struct kafka_consumer_group_member_metadata_record_key k;
    struct kafka_consumer_group_member_metadata_record_value v;
    struct group *group;

    read_key(consumer_group_member_metadata_record, TYPE_METADATA, key, &k);
    struct cmember *member = member_if_any(g, k.group_id, k.member_id);
    if (value.len < 0) {
        if (member)
            cmember_remove(g, cgroup_of(g, k.group_id), member);
        return OK;
    }
    read_value(consumer_group_member_metadata_record, value, &v);
    member = member_for(g, k.group_id, k.member_id, &group);
    group_str_set(g, &member->instance_id, v.instance_id);
    group_str_set(g, &member->rack_id, v.rack_id);
    group_str_set(g, &member->client_id, v.client_id);
    group_str_set(g, &member->client_host, v.client_host);
    strs_set(g, &member->topics, &member->topics_count, v.subscribed_topic_names,
             MAX(v.subscribed_topic_names_count, 0));
    group_str_set(g, &member->regex, v.subscribed_topic_regex);
    group_str_set(g, &member->assignor, v.server_assignor);
    member->rebalance_timeout_ms = v.rebalance_timeout_ms;
    take_classic(g, member, &v);
    cmember_alive(g, group, member);
    return OK;
}

static void take_set(struct groups *g, struct tp_set *to, const struct record_topic *topics, int32_t count)
{
    struct tp_set set = {NULL, 0};
    size_t total = 0;

    for (int32_t i = 0; i < count; i++)
        total += (size_t)MAX(topics[i].partitions_count, 0);
    set.v = arena_calloc(&g->replaying, total, sizeof(*set.v));
    ASSERT(set.v);
    for (int32_t i = 0; i < count; i++)
        for (int32_t k = 0; k < topics[i].partitions_count; k++)
            set.v[set.count++] = (struct tp){topics[i].topic_id, topics[i].partitions[k]};
    tp_set_form(&set);
    tp_set_store(g, to, &set);
}

static enum err replay_target(struct groups *g, struct reader *key, struct bytes value)
{
    struct kafka_consumer_group_target_assignment_member_record_key k;
    struct kafka_consumer_group_target_assignment_member_record_value v = {.topic_partitions = NULL};
    struct group *group;

    read_key(consumer_group_target_assignment_member_record, TYPE_TARGET, key, &k);
    struct cmember *member = member_if_any(g, k.group_id, k.member_id);
    if (value.len >= 0) {
        read_value(consumer_group_target_assignment_member_record, value, &v);
        member = member_for(g, k.group_id, k.member_id, &group);
    }
    if (member)
        take_set(g, &member->target, (const void *)v.topic_partitions, v.topic_partitions_count);
    return OK;
}

static enum cmember_state state_of(int8_t state)
{
    return state == CMEMBER_UNREVOKED || state == CMEMBER_UNRELEASED ? (enum cmember_state)state
                                                                     : CMEMBER_STABLE;
}

static void watch_revocation(struct groups *g, struct group *group, struct cmember *member)
{
    if (member->state != CMEMBER_UNREVOKED) {
        member->revoke_due_us = 0;
        return;
    }
    member->revoke_due_us = g->now_us + (uint64_t)MAX(member->rebalance_timeout_ms, 1) * 1000;
    group_due(g, group, member->revoke_due_us);
}

static enum err replay_current(struct groups *g, struct reader *key, struct bytes value)
{
    struct kafka_consumer_group_current_member_assignment_record_key k;
    struct kafka_consumer_group_current_member_assignment_record_value v = {.member_epoch = 0};
    struct group *group = NULL;

    read_key(consumer_group_current_member_assignment_record, TYPE_CURRENT, key, &k);
    struct cmember *member = member_if_any(g, k.group_id, k.member_id);
    if (value.len >= 0) {
        read_value(consumer_group_current_member_assignment_record, value, &v);
        member = member_for(g, k.group_id, k.member_id, &group);
    }
    if (!member)
        return OK;
    member->epoch = v.member_epoch;
    member->previous_epoch = v.previous_member_epoch;
    member->state = state_of(v.state);
    take_set(g, &member->assigned, (const void *)v.assigned_partitions, v.assigned_partitions_count);
    take_set(g, &member->revoking, (const void *)v.partitions_pending_revocation,
             v.partitions_pending_revocation_count);
    if (group)
        watch_revocation(g, group, member);
    return OK;
}

static enum err replay_regex(struct groups *g, struct reader *key, struct bytes value)
{
    struct kafka_consumer_group_regular_expression_record_key k;
    struct kafka_consumer_group_regular_expression_record_value v;

    read_key(consumer_group_regular_expression_record, TYPE_REGEX, key, &k);
    if (value.len < 0) {
        struct cgroup *cg = cgroup_of(g, k.group_id);
        if (cg)
            cregex_remove(g, cg, k.regular_expression);
        return OK;
    }
    read_value(consumer_group_regular_expression_record, value, &v);
    struct cregex *regex =
        cregex_make(g, cgroup_make(g, group_find_or_make(g, k.group_id)), k.regular_expression);
    strs_set(g, &regex->topics, &regex->topics_count, v.topics, MAX(v.topics_count, 0));
    regex->version = v.version;
    regex->timestamp_ms = v.timestamp;
    return OK;
}

enum err cgroup_replay(struct groups *g, int16_t type, struct reader *key, struct bytes value)
{
    switch (type) {
    case TYPE_EPOCH: return replay_epoch(g, key, value);
    case TYPE_METADATA: return replay_metadata(g, key, value);
    case TYPE_TARGET_EPOCH: return replay_target_epoch(g, key, value);
    case TYPE_TARGET: return replay_target(g, key, value);
    case TYPE_CURRENT: return replay_current(g, key, value);
    case TYPE_REGEX: return replay_regex(g, key, value);
    case TYPE_PARTITIONS: return OK;
    default: return ERR_VERSION;
    }
}
