/* SPDX-License-Identifier: Apache-2.0 */
/* Replicas after the end: equal below the high watermark, and holding all that was acknowledged: I16. */
#include "common/base/assert.h"
#include "tests/sim/judge/check_int.h"

#define NODES_MAX 64

/* What one replica holds at one place. */
struct place {
    const struct history_record *first;
    uint64_t nodes; /* who has it */
};

struct replicas {
    struct check *check;
    struct map places; /* (key, offset) -> struct place */
    struct map spans;  /* (key, node) -> record */
};

static uint64_t place_id(uint32_t key, int64_t offset)
{
    uint64_t parts[2] = {key, (uint64_t)offset};
    return hash_bytes(parts, sizeof(parts), 29);
}

static uint64_t span_id(uint32_t key, int node)
{
    return ((uint64_t)key << 8 | (uint64_t)node) + 1;
}

static void see_replica(struct replicas *replicas, const struct history_record *record)
{
    uint64_t id = place_id(record->key, record->offset);
    struct place *place = map_get(&replicas->places, id);
    if (place == NULL) {
        place = check_alloc(replicas->check, sizeof(*place));
        place->first = record;
        bool ok = map_put(&replicas->places, id, place);
        ASSERT(ok);
    }
    const struct history_record *first = place->first;
    if (first->value != record->value || first->epoch != record->epoch || first->aux != record->aux)
        check_violates(replicas->check, VIOLATION_DIVERGENCE, record,
                       "node %d: value %llx, epoch %d, sum %llx", first->node,
                       (unsigned long long)first->value, first->epoch, (unsigned long long)first->aux);
    place->nodes |= 1ull << (record->node % NODES_MAX);
}

/* Everybody whose span covers a place must hold it. */
static void see_holes(struct replicas *replicas, const struct history_record *record,
                      const struct place *place)
{
    for (int node = 0; node < NODES_MAX; node++) {
        const struct history_record *span = map_get(&replicas->spans, span_id(record->key, node));
        if (span == NULL || (place->nodes & 1ull << node))
            continue;
        if (record->offset >= span->offset && (uint64_t)record->offset < span->value)
            check_violates(replicas->check, VIOLATION_DIVERGENCE, record, "node %d does not hold it", node);
    }
}

static void see_acked(struct replicas *replicas, const struct history_record *record)
{
    const struct send *send = check_send(replicas->check, record->value);
    if (send->invoke != record || !send_is_acked(send) || (record->flags & HIST_F_WEAK) || record->txn != 0)
        return;
    int64_t offset = send->end->offset;
    const struct key_state *key = check_key(replicas->check, record->key);
    if (offset < 0 || offset < key->log_start)
        return;
    const struct place *place = map_get(&replicas->places, place_id(record->key, offset));
    for (int node = 0; node < NODES_MAX; node++) {
        const struct history_record *span = map_get(&replicas->spans, span_id(record->key, node));
        if (span == NULL || offset < span->offset)
            continue;
        if (place == NULL || !(place->nodes & 1ull << node) || place->first->value != record->value)
            check_violates(replicas->check, VIOLATION_LOST_WRITE, send->end, "replica %d does not hold it",
                           node);
    }
}

void check_replicas(struct check *check)
{
    struct replicas replicas = {.check = check};
    map_init(&replicas.places);
    map_init(&replicas.spans);
    const struct history *history = check->history;
    for (size_t i = 0; i < history->count; i++) {
        const struct history_record *record = &history->records[i];
        if (record->op == HIST_REPLICA) {
            see_replica(&replicas, record);
        } else if (record->op == HIST_REPLICA_SPAN) {
            bool ok = map_put(&replicas.spans, span_id(record->key, record->node % NODES_MAX),
                              (void *)(uintptr_t)record);
            ASSERT(ok);
        }
    }
    for (size_t i = 0; i < history->count && replicas.spans.count > 0; i++) {
        const struct history_record *record = &history->records[i];
        const struct place *place = NULL;
        if (record->op == HIST_REPLICA)
            place = map_get(&replicas.places, place_id(record->key, record->offset));
        if (place != NULL && place->first == record)
            see_holes(&replicas, record, place);
        if (record->op == HIST_SEND && record->type == HIST_INVOKE)
            see_acked(&replicas, record);
    }
    map_free(&replicas.places);
    map_free(&replicas.spans);
}
