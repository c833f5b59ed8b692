/* SPDX-License-Identifier: Apache-2.0 */
/* Offsets committed in transactions: written at once, pending until the transaction's marker stands behind
 * them in the log (KIP-98). Of several commits of one partition's offset the last in the log counts, whenever
 * its marker comes. */
#include <string.h>

#include "broker/core/group_consumer.h"
#include "broker/core/group_internal.h"
#include "common/base/mutant.h"
#include "proto/kafka/gen/offset_commit_record.h"
#include "proto/kafka/gen/txn_offset_commit.h"

#define TYPE_OFFSET 1

struct pending_offset {
    uint64_t order; /* in the log */
    struct str group, topic;
    struct group_offset offset;
};

/* What one producer's open transaction holds. */
struct pending_txn {
    int64_t producer_id;
    struct pending_offset *offsets;
    int32_t count, cap;
};

/* -- the table -- */

static void offset_free(struct groups *g, struct pending_offset *pending)
{
    group_str_drop(g, &pending->group);
    group_str_drop(g, &pending->topic);
    group_str_drop(g, &pending->offset.metadata);
}

static void txn_free(struct groups *g, struct pending_txn *txn)
{
    for (int32_t i = 0; i < txn->count; i++)
        offset_free(g, &txn->offsets[i]);
    group_release(g, txn->offsets, (size_t)txn->cap * sizeof(*txn->offsets));
    group_release(g, txn, sizeof(*txn));
}

static bool is_for(const struct pending_offset *pending, struct str group, struct str topic,
                   int32_t partition)
{
    return pending->offset.partition == partition && str_eq(pending->topic, topic) &&
           str_eq(pending->group, group);
}

static void txn_supersede(struct groups *g, struct pending_txn *txn, struct str group, struct str topic,
                          int32_t partition, uint64_t before)
{
    int32_t kept = 0;

    for (int32_t i = 0; i < txn->count; i++) {
        struct pending_offset *pending = &txn->offsets[i];
        if (pending->order < before && is_for(pending, group, topic, partition))
            offset_free(g, pending);
        else
            txn->offsets[kept++] = *pending;
    }
    txn->count = kept;
}

/* Something later in the log than `before` says where the group stands. */
static void supersede(struct groups *g, struct str group, struct str topic, int32_t partition,
                      uint64_t before)
{
    uint32_t pos = 0;
    uint64_t key;
    void *value;

    while (map_next(&g->pending_txns, &pos, &key, &value))
        txn_supersede(g, value, group, topic, partition, before);
}

void group_txn_superseded(struct groups *g, struct str group, struct str topic, int32_t partition)
{
    if (g->pending_txns.count > 0)
        supersede(g, group, topic, partition, UINT64_MAX);
}

bool group_txn_pending(const struct groups *g, struct str group, struct str topic, int32_t partition)
{
    uint32_t pos = 0;
    uint64_t key;
    void *value;

    while (g->pending_txns.count > 0 && !MUTANT(IGNORE_PENDING_OFFSETS) &&
           map_next(&g->pending_txns, &pos, &key, &value)) {
        const struct pending_txn *txn = value;
        for (int32_t i = 0; i < txn->count; i++)
            if (is_for(&txn->offsets[i], group, topic, partition))
                return true;
    }
    return false;
}

void group_txns_drop_all(struct groups *g)
{
    uint32_t pos = 0;
    uint64_t key;
    void *value;

    while (map_next(&g->pending_txns, &pos, &key, &value))
        txn_free(g, value);
    map_free(&g->pending_txns);
}

/* -- the log -- */

static void put(struct groups *g, int64_t producer_id, const struct kafka_offset_commit_record_key *k,
                const struct kafka_offset_commit_record_value *v)
{
    struct pending_txn *txn = map_get(&g->pending_txns, (uint64_t)producer_id);

    if (!txn) {
        txn = group_alloc(g, sizeof(*txn));
        txn->producer_id = producer_id;
        bool done = map_put(&g->pending_txns, (uint64_t)producer_id, txn);
        ASSERT(done);
    }
    txn->offsets = group_grow(g, txn->offsets, &txn->cap, txn->count + 1, sizeof(*txn->offsets));
    txn->offsets[txn->count++] = (struct pending_offset){.order = ++g->last_order,
                                                         .group = group_str(g, k->group),
                                                         .topic = group_str(g, k->topic),
                                                         .offset = {.partition = k->partition,
                                                                    .leader_epoch = v->leader_epoch,
                                                                    .offset = v->offset,
                                                                    .commit_ms = v->commit_timestamp,
                                                                    .expire_ms = v->expire_timestamp,
                                                                    .metadata = group_str(g, v->metadata)}};
}

enum err groups_replay_txn(struct groups *g, int64_t producer_id, struct bytes key, struct bytes value)
{
    struct kafka_offset_commit_record_key k;
    struct kafka_offset_commit_record_value v;
    struct reader r = reader_over(key.p, (size_t)MAX(key.len, 0));
    int16_t type = reader_i16(&r);

    arena_reset(&g->replaying);
    if (r.err != OK || type < 0)
        return ERR_MALFORMED;
    if (type > TYPE_OFFSET || value.len < 0)
        return ERR_VERSION; /* nothing else is written in transactions */
    if (kafka_offset_commit_record_key_decode(&r, &g->replaying, TYPE_OFFSET, &k) != OK)
        return ERR_MALFORMED;
    r = reader_over(value.p, (size_t)value.len);
    enum err err = kafka_offset_commit_record_value_decode(&r, &g->replaying, reader_i16(&r), &v);
    if (err != OK)
        return err == ERR_VERSION ? err : ERR_MALFORMED;
    put(g, producer_id, &k, &v);
    return OK;
}

void group_txns_forget_topic(struct groups *g, struct str topic)
{
    uint32_t pos = 0;
    uint64_t key;
    void *value;

    while (map_next(&g->pending_txns, &pos, &key, &value)) {
        const struct pending_txn *txn = value;
        for (int32_t i = 0; i < txn->count; i++) {
            const struct pending_offset *pending = &txn->offsets[i];
            if (!str_eq(pending->topic, topic))
                continue;
            struct group *group = group_find_or_make(g, pending->group);
            write_begin(g);
            write_offset_gone(g, group, topic, pending->offset.partition);
            write_end(g, WRITE_RECORDS, group, NULL);
        }
    }
}

static struct bytes next_part(struct reader *r)
{
    int32_t len = reader_i32(r);

    return len < 0 ? BYTES_NULL : (struct bytes){reader_raw(r, (size_t)len), len};
}

void group_txn_apply(struct groups *g, const struct write *write)
{
    struct reader r = reader_over(write->out.p, (size_t)write->out.len);

    for (int32_t i = 0; i < write->out.count; i++) {
        struct bytes key = next_part(&r), value = next_part(&r);
        enum err err = groups_replay_txn(g, write->out.producer_id, key, value);
        ASSERT(err == OK && r.err == OK); /* we made it ourselves */
    }
}

void groups_marked(struct groups *g, int64_t producer_id, bool commit)
{
    struct pending_txn *txn = map_remove(&g->pending_txns, (uint64_t)producer_id);

    if (!txn)
        return;
    commit = commit || MUTANT(KEEP_ABORTED_OFFSETS);
    for (int32_t i = 0; commit && i < txn->count && !MUTANT(LOSE_PENDING_COMMIT); i++) {
        struct pending_offset *pending = &txn->offsets[i];
        group_offset_put(g, group_find_or_make(g, pending->group), pending->topic, &pending->offset);
        supersede(g, pending->group, pending->topic, pending->offset.partition, pending->order);
    }
    txn_free(g, txn);
}

/* -- TxnOffsetCommit -- */

/* A member of this generation, or a producer that names none (before KIP-447, or on its own). */
static int16_t check(struct groups *g, struct group *group,
                     const struct kafka_txn_offset_commit_request *request)
{
    bool names =
        request->generation_id >= 0 || request->member_id.len > 0 || request->group_instance_id.len > 0;

    if (!names)
        return KAFKA_NONE;
    if (!group)
        return KAFKA_ILLEGAL_GENERATION;
    if (group->consumer)
        return cgroup_check_epoch(g, group, request->member_id, request->group_instance_id,
                                  request->generation_id, KAFKA_ILLEGAL_GENERATION);
    return offsets_check_member(g, group, request->member_id, request->group_instance_id,
                                request->generation_id);
}

static void commit_one(struct groups *g, struct group *group, struct str topic,
                       const struct kafka_txn_offset_commit_request_partition *in, int16_t *error)
{
    struct group_offset offset = {.partition = in->partition_index,
                                  .leader_epoch = in->committed_leader_epoch,
                                  .offset = in->committed_offset,
                                  .metadata = in->committed_metadata};

    if (*error == KAFKA_NONE)
        *error = offsets_write(g, group, topic, &offset);
}

void group_txn_commit(struct groups *g, struct group_call *call)
{
    const struct kafka_txn_offset_commit_request *request = call->request;
    struct kafka_txn_offset_commit_response *response = call->response;
    struct group *group = group_find(g, request->group_id);
    int16_t error = check(g, group, request);

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
    if (write_end_txn(g, group, call, request->producer_id, request->producer_epoch) == 0)
        settle(g, call, KAFKA_NONE); /* every partition has an error of its own */
    group_drop_if_void(g, group);
}
