/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of the members of group "g", each sent at once. */
#ifndef SLUICE_TESTS_UNIT_BROKER_GROUP_ASKS_H
#define SLUICE_TESTS_UNIT_BROKER_GROUP_ASKS_H

#include "tests/unit/broker_group_fixture.h"

static struct ask *ask_new(struct world *w, enum group_call_type type, int16_t version)
{
    struct ask *ask = calloc(1, sizeof(*ask));

    ASSERT(w->asks_count < WORLD_ASKS_MAX);
    w->asks[w->asks_count++] = ask;
    arena_init(&ask->arena, NULL, 0, 1 << 20);
    ask->call = (struct group_call){.type = type,
                                    .version = version,
                                    .group_id = STR_LIT("g"),
                                    .client_id = STR_LIT("c"),
                                    .client_host = STR_LIT("/h"),
                                    .request = &ask->in,
                                    .response = &ask->out,
                                    .arena = &ask->arena};
    return ask;
}

static void ask_name(struct ask *ask, const char *member_id)
{
    str_copy(str_from(member_id), ask->member_id, sizeof(ask->member_id));
}

static struct ask *ask_send(struct world *w, struct ask *ask)
{
    groups_call(w->g, &ask->call);
    world_settle(w);
    return ask;
}

/* member_id "" asks for one; instance: NULL for dynamic members; metadata: what it subscribes to. */
static struct ask *join_with(struct world *w, int16_t version, const char *member_id, const char *instance,
                             const char *metadata, size_t metadata_len)
{
    struct ask *ask = ask_new(w, GROUP_CALL_JOIN, version);

    ask_name(ask, member_id);
    kafka_join_group_request_init(&ask->in.join);
    kafka_join_group_response_init(&ask->out.join);
    ask->in.join.group_id = ask->call.group_id;
    ask->in.join.session_timeout_ms = 10000;
    ask->in.join.rebalance_timeout_ms = 20000;
    ask->in.join.member_id = str_from(ask->member_id);
    ask->in.join.group_instance_id = str_from(instance);
    ask->in.join.protocol_type = STR_LIT("consumer");
    ask->part.protocol.name = STR_LIT("range");
    ask->part.protocol.metadata = (struct bytes){(const uint8_t *)metadata, (int32_t)metadata_len};
    ask->in.join.protocols = &ask->part.protocol;
    ask->in.join.protocols_count = 1;
    return ask_send(w, ask);
}

static inline struct ask *join_as(struct world *w, int16_t version, const char *member_id,
                                  const char *instance, const char *metadata)
{
    return join_with(w, version, member_id, instance, metadata, strlen(metadata));
}

static inline struct ask *join_bytes(struct world *w, int16_t version, const char *member_id,
                                     const char *metadata, size_t metadata_len)
{
    return join_with(w, version, member_id, NULL, metadata, metadata_len);
}

static struct ask *sync_with(struct world *w, const char *member_id, int32_t generation, const char *other,
                             struct bytes mine)
{
    struct ask *ask = ask_new(w, GROUP_CALL_SYNC, 3);

    ask_name(ask, member_id);
    kafka_sync_group_request_init(&ask->in.sync);
    kafka_sync_group_response_init(&ask->out.sync);
    ask->in.sync.group_id = ask->call.group_id;
    ask->in.sync.generation_id = generation;
    ask->in.sync.member_id = str_from(ask->member_id);
    ask->part.assignments[0].member_id = str_from(ask->member_id);
    ask->part.assignments[0].assignment = mine;
    ask->part.assignments[1].member_id = str_from(other ? other : "");
    ask->part.assignments[1].assignment = (struct bytes){(const uint8_t *)"theirs", 6};
    ask->in.sync.assignments = ask->part.assignments;
    ask->in.sync.assignments_count = 2;
    return ask_send(w, ask);
}

static inline struct ask *sync_as(struct world *w, const char *member_id, int32_t generation,
                                  const char *other)
{
    return sync_with(w, member_id, generation, other, (struct bytes){(const uint8_t *)"mine", 4});
}

static inline struct ask *sync_bytes(struct world *w, const char *member_id, int32_t generation,
                                     const char *mine, int32_t len)
{
    return sync_with(w, member_id, generation, NULL, (struct bytes){(const uint8_t *)mine, len});
}

static struct ask *heartbeat_as(struct world *w, const char *member_id, int32_t generation)
{
    struct ask *ask = ask_new(w, GROUP_CALL_HEARTBEAT, 3);

    ask_name(ask, member_id);
    ask->in.heartbeat.group_id = ask->call.group_id;
    ask->in.heartbeat.generation_id = generation;
    ask->in.heartbeat.member_id = str_from(ask->member_id);
    ask->in.heartbeat.group_instance_id = STR_NULL;
    return ask_send(w, ask);
}

static struct ask *leave_as(struct world *w, const char *member_id)
{
    struct ask *ask = ask_new(w, GROUP_CALL_LEAVE, 0);

    ask_name(ask, member_id);
    ask->in.leave.group_id = ask->call.group_id;
    ask->in.leave.member_id = str_from(ask->member_id);
    return ask_send(w, ask);
}

static struct ask *commit_as_version(struct world *w, int16_t version, const char *member_id,
                                     int32_t generation, int64_t offset)
{
    struct ask *ask = ask_new(w, GROUP_CALL_COMMIT, version);

    ask_name(ask, member_id);
    kafka_offset_commit_request_init(&ask->in.commit);
    ask->in.commit.group_id = ask->call.group_id;
    ask->in.commit.generation_id_or_member_epoch = generation;
    ask->in.commit.member_id = str_from(ask->member_id);
    ask->in.commit.topics = &ask->part.commit;
    ask->in.commit.topics_count = 1;
    ask->part.commit.name = STR_LIT("t");
    ask->part.commit.partitions = &ask->offset;
    ask->part.commit.partitions_count = 1;
    ask->offset.committed_offset = offset;
    ask->offset.committed_leader_epoch = -1;
    ask->offset.committed_metadata = STR_LIT("");
    ask->out.commit.topics = &ask->topic_out;
    ask->out.commit.topics_count = 1;
    ask->topic_out.partitions = &ask->offset_out;
    ask->topic_out.partitions_count = 1;
    return ask_send(w, ask);
}

static inline struct ask *commit_as(struct world *w, const char *member_id, int32_t generation,
                                    int64_t offset)
{
    return commit_as_version(w, 7, member_id, generation, offset);
}

/* The committed offset of t-0, -1 when there is none. */
static inline int64_t offset_of(struct world *w)
{
    struct ask *ask = ask_new(w, GROUP_CALL_FETCH, 8);

    kafka_offset_fetch_request_group_init(&ask->in.fetch);
    ask->in.fetch.group_id = ask->call.group_id;
    ask->in.fetch.topics_count = -1;
    ask_send(w, ask);
    ASSERT(ask->answered && ask->call.error == KAFKA_NONE);
    return ask->out.fetch.topics_count == 0 ? -1 : ask->out.fetch.topics[0].partitions[0].committed_offset;
}

static inline struct ask *describe_group(struct world *w)
{
    struct ask *ask = ask_send(w, ask_new(w, GROUP_CALL_DESCRIBE, 5));

    ck_assert(ask->answered);
    return ask;
}

static inline struct ask *delete_group(struct world *w)
{
    return ask_send(w, ask_new(w, GROUP_CALL_DELETE, 2));
}

#endif
