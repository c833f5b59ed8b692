/* SPDX-License-Identifier: Apache-2.0 */
/* Kafka's records of __consumer_offsets: made, and applied. */
#include <string.h>

#include "broker/core/group_consumer.h"
#include "broker/core/group_internal.h"
#include "broker/core/group_write.h"
#include "common/base/mutant.h"
#include "proto/kafka/gen/group_metadata_record.h"
#include "proto/kafka/gen/offset_commit_record.h"

#define TYPE_OFFSET_OLD      0 /* like TYPE_OFFSET */
#define TYPE_OFFSET          1
#define TYPE_GROUP           2
#define OFFSET_VALUE_VERSION 3
#define GROUP_VALUE_VERSION  3
#define TOMBSTONES_PER_WRITE                                                                                 \
    1000 /* of 250 bytes and a group id each: below any sensible max.message.bytes                           \
          */
#define WRITE_BYTES_MAX INT32_MAX

/* -- making -- */

void write_begin(struct groups *g)
{
    writer_reset(&g->out, NULL, 256, WRITE_BYTES_MAX);
    g->out_count = 0;
}

static void offset_key(struct groups *g, const struct group *group, struct str topic, int32_t partition)
{
    struct kafka_offset_commit_record_key key = {.group = group->id, .topic = topic, .partition = partition};
    size_t at = write_part_begin(g);

    writer_i16(&g->out, TYPE_OFFSET);
    kafka_offset_commit_record_key_encode(&g->out, TYPE_OFFSET, &key);
    write_part_end(g, at);
}

void write_offset(struct groups *g, const struct group *group, struct str topic,
                  const struct group_offset *offset)
{
    struct kafka_offset_commit_record_value value;

    offset_key(g, group, topic, offset->partition);
    kafka_offset_commit_record_value_init(&value);
    value.offset = offset->offset;
    value.leader_epoch = offset->leader_epoch;
    value.metadata = offset->metadata;
    value.commit_timestamp = offset->commit_ms;
    size_t at = write_part_begin(g);
    writer_i16(&g->out, OFFSET_VALUE_VERSION);
    kafka_offset_commit_record_value_encode(&g->out, OFFSET_VALUE_VERSION, &value);
    write_part_end(g, at);
    g->out_count++;
}

void write_offset_gone(struct groups *g, struct group *group, struct str topic, int32_t partition)
{
    if (g->out_count == TOMBSTONES_PER_WRITE) {
        write_end(g, WRITE_RECORDS, group, NULL);
        write_begin(g);
    }
    offset_key(g, group, topic, partition);
    write_no_value(g);
}

static void group_key(struct groups *g, const struct group *group)
{
    struct kafka_group_metadata_record_key key = {.group = group->id};
    size_t at = write_part_begin(g);

    writer_i16(&g->out, TYPE_GROUP);
    kafka_group_metadata_record_key_encode(&g->out, TYPE_GROUP, &key);
    write_part_end(g, at);
}

static struct bytes not_null(struct bytes b)
{
    return b.len < 0 ? (struct bytes){(const uint8_t *)"", 0} : b;
}

static void fill_member(const struct group *group, const struct member *member,
                        struct kafka_group_metadata_record_value_member *out)
{
    kafka_group_metadata_record_value_member_init(out);
    out->member_id = member->id;
    out->group_instance_id = member->instance_id;
    out->client_id = member->client_id;
    out->client_host = member->client_host;
    out->rebalance_timeout = member->rebalance_timeout_ms;
    out->session_timeout = member->session_timeout_ms;
    out->subscription = not_null(member_metadata(member, group->protocol));
    out->assignment = not_null(member->assignment);
}

void write_group_value(struct groups *g, const struct group *group,
                       const struct kafka_group_metadata_record_value *value)
{
    group_key(g, group);
    size_t at = write_part_begin(g);
    writer_i16(&g->out, GROUP_VALUE_VERSION);
    kafka_group_metadata_record_value_encode(&g->out, GROUP_VALUE_VERSION, value);
    write_part_end(g, at);
    g->out_count++;
}

void write_group(struct groups *g, const struct group *group)
{
    size_t size = (size_t)group->members_count * sizeof(struct kafka_group_metadata_record_value_member);
    struct kafka_group_metadata_record_value value;

    kafka_group_metadata_record_value_init(&value);
    value.protocol_type = group->protocol_type.len < 0 ? STR_LIT("") : group->protocol_type;
    value.generation = group->generation;
    value.protocol = group->protocol;
    value.leader = group->leader;
    value.current_state_timestamp = group->state_ms;
    value.members = size > 0 ? group_alloc(g, size) : NULL;
    list_for_each (it, &group->members)
        fill_member(group, CONTAINER_OF(it, struct member, link), &value.members[value.members_count++]);
    write_group_value(g, group, &value);
    group_release(g, value.members, size);
}

void write_group_gone(struct groups *g, const struct group *group)
{
    group_key(g, group);
    write_no_value(g);
}

uint64_t write_end(struct groups *g, enum write_type type, struct group *group, struct group_call *call)
{
    size_t len = writer_pos(&g->out);

    ASSERT(g->out.err == OK);
    if (g->out_count == 0)
        return 0;
    struct write *write = group_alloc(g, sizeof(*write) + len);
    memcpy(write->bytes, g->out.buf->data, len);
    write->type = type;
    write->group = group;
    write->call = call;
    write->out = (struct coordinator_write){
        .seq = ++g->last_seq, .p = write->bytes, .len = (int32_t)len, .count = g->out_count};
    if (call)
        call->deadline_us = g->now_us + (uint64_t)g->settings->commit_timeout_ms * 1000;
    group->writes++;
    group->record_writes += type == WRITE_RECORDS;
    list_push_back(&g->writes_new, &write->link);
    g->out_count = 0;
    return write->out.seq;
}

uint64_t write_end_txn(struct groups *g, struct group *group, struct group_call *call, int64_t producer_id,
                       int16_t producer_epoch)
{
    uint64_t seq = write_end(g, WRITE_TXN, group, call);

    if (seq == 0)
        return 0;
    struct write *write = CONTAINER_OF(g->writes_new.prev, struct write, link);
    write->out.transactional = true;
    write->out.producer_id = producer_id;
    write->out.producer_epoch = producer_epoch;
    return seq;
}

/* -- applying -- */

static enum err replay_offset(struct groups *g, struct reader *key, struct bytes value)
{
    struct kafka_offset_commit_record_key k;
    struct kafka_offset_commit_record_value v;

    if (kafka_offset_commit_record_key_decode(key, &g->replaying, TYPE_OFFSET, &k) != OK)
        return ERR_MALFORMED;
    group_txn_superseded(g, k.group, k.topic, k.partition);
    if (value.len < 0) {
        struct group *group = group_find(g, k.group);
        if (group)
            group_offset_remove(g, group, k.topic, k.partition);
        return OK;
    }
    struct reader r = reader_over(value.p, (size_t)value.len);
    enum err err = kafka_offset_commit_record_value_decode(&r, &g->replaying, reader_i16(&r), &v);
    if (err != OK)
        return err == ERR_VERSION ? err : ERR_MALFORMED;
    struct group_offset offset = {.partition = k.partition,
                                  .leader_epoch = v.leader_epoch,
                                  .offset = v.offset,
                                  .commit_ms = v.commit_timestamp,
                                  .expire_ms = v.expire_timestamp,
                                  .metadata = v.metadata};
    group_offset_put(g, group_find_or_make(g, k.group), k.topic, &offset);
    return OK;
}

static void replay_member(struct groups *g, struct group *group,
                          const struct kafka_group_metadata_record_value_member *in)
{
    struct member *member = member_add(g, group, in->member_id, in->group_instance_id);
    struct member_protocol protocol = {group->protocol, in->subscription};

    group_str_set(g, &member->client_id, in->client_id);
    group_str_set(g, &member->client_host, in->client_host);
    member->session_timeout_ms = MAX(in->session_timeout, 1);
    member->rebalance_timeout_ms =
        in->rebalance_timeout > 0 ? in->rebalance_timeout : member->session_timeout_ms;
    member_set_protocols(g, member, &protocol, 1);
    group_bytes_set(g, &member->assignment, in->assignment);
}

static void drop_members(struct groups *g, struct group *group)
{
    while (!list_empty(&group->members))
        member_remove(g, group, CONTAINER_OF(group->members.next, struct member, link));
}

/* A live group's tombstone was written while it was empty; whoever has joined since stays. */
static void replay_group_gone(struct groups *g, struct str id)
{
    struct group *group = group_find(g, id);

    if (!group)
        return;
    group->stored = false;
    if (!g->loading && !group->upgrading)
        return;
    drop_members(g, group);
    group->state = GROUP_EMPTY;
    group_drop_if_void(g, group);
}

static enum err replay_group(struct groups *g, struct reader *key, struct bytes value)
{
    struct kafka_group_metadata_record_key k;
    struct kafka_group_metadata_record_value v;

    if (kafka_group_metadata_record_key_decode(key, &g->replaying, TYPE_GROUP, &k) != OK)
        return ERR_MALFORMED;
    if (value.len < 0) {
        replay_group_gone(g, k.group);
        return OK;
    }
    struct reader r = reader_over(value.p, (size_t)value.len);
    enum err err = kafka_group_metadata_record_value_decode(&r, &g->replaying, reader_i16(&r), &v);
    if (err != OK)
        return err == ERR_VERSION ? err : ERR_MALFORMED;
    struct group *group = group_find_or_make(g, k.group);
    drop_members(g, group);
    group->generation = MUTANT(FORGET_GENERATION) ? 0 : v.generation;
    group_str_set(g, &group->protocol_type, v.protocol_type.len > 0 ? v.protocol_type : STR_NULL);
    group_str_set(g, &group->protocol, v.protocol);
    group->state_ms = v.current_state_timestamp;
    for (int32_t i = 0; i < v.members_count; i++)
        replay_member(g, group, &v.members[i]);
    group_str_set(g, &group->leader, v.leader);
    group->state = v.members_count > 0 ? GROUP_STABLE : GROUP_EMPTY;
    group->stored = true;
    group->untold = false;
    return OK;
}

enum err groups_replay(struct groups *g, struct bytes key, struct bytes value)
{
    struct reader r = reader_over(key.p, (size_t)MAX(key.len, 0));
    int16_t type = reader_i16(&r);
    enum err err;

    arena_reset(&g->replaying);
    if (r.err != OK)
        return ERR_MALFORMED;
    if (type == TYPE_OFFSET || type == TYPE_OFFSET_OLD)
        err = replay_offset(g, &r, value);
    else if (type == TYPE_GROUP)
        err = replay_group(g, &r, value);
    else
        err = cgroup_replay(g, type, &r, value);
    return err;
}

static struct bytes next_part(struct reader *r)
{
    int32_t len = reader_i32(r);

    return len < 0 ? BYTES_NULL : (struct bytes){reader_raw(r, (size_t)len), len};
}

void write_apply(struct groups *g, const struct write *write)
{
    struct reader r = reader_over(write->out.p, (size_t)write->out.len);

    for (int32_t i = 0; i < write->out.count; i++) {
        struct bytes key = next_part(&r), value = next_part(&r);
        enum err err = groups_replay(g, key, value);
        ASSERT(err == OK && r.err == OK); /* we made it ourselves */
    }
}
