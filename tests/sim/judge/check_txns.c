/* SPDX-License-Identifier: Apache-2.0 */
/* Transactions: all or nothing, no circles, no input twice: I10, I11. */
#include <stdlib.h>

#include "common/base/assert.h"
#include "tests/sim/judge/check_int.h"

static bool txn_is_decided(const struct txn *txn)
{
    bool committed = txn->end != NULL && txn->end->type == HIST_OK && !(txn->end->flags & HIST_F_ABORT);
    return committed || txn->seen; /* of an unknown outcome, one visible write decides */
}

static void check_torn(struct check *check)
{
    for (size_t i = 0; i < check->history->count; i++) {
        const struct history_record *record = &check->history->records[i];
        if (record->op != HIST_SEND || record->type != HIST_INVOKE || record->txn == 0)
            continue;
        const struct send *send = check_send(check, record->value);
        const struct key_state *key = check_key(check, record->key);
        if (send->invoke != record || !send_is_acked(send) || send->polled)
            continue;
        if (send->end->offset < key->log_start || !txn_is_decided(check_txn(check, record->txn)))
            continue;
        if (send->end->offset <= key->polled_max || key->has_final)
            check_violates(check, VIOLATION_TORN_TXN, send->end, "transaction %llx is visible without it",
                           (unsigned long long)record->txn);
    }
}

/* -- circles over "read what the other wrote": what is left when all transactions that nobody left depends on
 * are taken away -- */

struct edges {
    struct edge {
        struct txn *reader, *writer;
    } * at;
    size_t count, cap;
};

static void edges_add(struct edges *edges, struct txn *reader, struct txn *writer)
{
    if (edges->count == edges->cap) {
        edges->cap = MAX((size_t)64, edges->cap * 2);
        edges->at = realloc(edges->at, edges->cap * sizeof(edges->at[0]));
        ASSERT(edges->at != NULL);
    }
    edges->at[edges->count++] = (struct edge){.reader = reader, .writer = writer};
    writer->readers_left++;
}

static void edges_collect(struct check *check, struct edges *edges)
{
    for (size_t i = 0; i < check->history->count; i++) {
        const struct history_record *record = &check->history->records[i];
        if (record->op != HIST_POLL || record->type != HIST_OK || record->txn == 0)
            continue;
        const struct send *send = check_send(check, record->value);
        if (send != NULL && send->invoke->txn != 0 && send->invoke->txn != record->txn)
            edges_add(edges, check_txn(check, record->txn), check_txn(check, send->invoke->txn));
    }
}

static int edges_order(const void *a, const void *b)
{
    uint32_t x = ((const struct edge *)a)->reader->index, y = ((const struct edge *)b)->reader->index;
    return x < y ? -1 : x > y;
}

static void edges_of(const struct edges *edges, uint32_t reader, size_t *ret_from, size_t *ret_to)
{
    size_t low = 0, high = edges->count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (edges->at[mid].reader->index < reader)
            low = mid + 1;
        else
            high = mid;
    }
    *ret_from = low;
    while (low < edges->count && edges->at[low].reader->index == reader)
        low++;
    *ret_to = low;
}

/* Takes away transactions that no one left has read from, again and again. Returns how many edges remain. */
static size_t edges_peel(struct check *check, const struct edges *edges)
{
    struct txn **queue = malloc((check->txns.count + 1) * sizeof(struct txn *));
    size_t head = 0, tail = 0, left = edges->count;
    uint32_t pos = 0;
    uint64_t id;
    void *value;
    ASSERT(queue != NULL);
    while (map_next(&check->txns, &pos, &id, &value))
        if (((struct txn *)value)->readers_left == 0)
            queue[tail++] = value;
    while (head < tail) {
        size_t from, to;
        edges_of(edges, queue[head++]->index, &from, &to);
        left -= to - from;
        for (; from < to; from++)
            if (--edges->at[from].writer->readers_left == 0)
                queue[tail++] = edges->at[from].writer;
    }
    free(queue);
    return left;
}

static void check_circles(struct check *check)
{
    struct edges edges = {.at = NULL};
    edges_collect(check, &edges);
    if (edges.count > 0) {
        qsort(edges.at, edges.count, sizeof(edges.at[0]), edges_order);
        size_t left = edges_peel(check, &edges);
        if (left > 0)
            check_violates(check, VIOLATION_G1C, NULL, "%zu reads form circles", left);
    }
    free(edges.at);
}

static bool txn_is_committed(struct check *check, uint64_t id)
{
    const struct txn *txn = check_txn(check, id);
    return txn->end != NULL && txn->end->type == HIST_OK && !(txn->end->flags & HIST_F_ABORT);
}

static void check_inputs(struct check *check)
{
    struct map seen;
    map_init(&seen);
    for (size_t i = 0; i < check->history->count; i++) {
        const struct history_record *record = &check->history->records[i];
        if (record->op != HIST_CONSUMED || (record->txn != 0 && !txn_is_committed(check, record->txn)))
            continue;
        uint64_t where[3] = {record->key, record->aux, (uint64_t)record->offset};
        uint64_t id = hash_bytes(where, sizeof(where), 17);
        const struct history_record *before = map_get(&seen, id);
        if (before != NULL && before->offset == record->offset && before->key == record->key)
            check_violates(check, VIOLATION_CONSUMED_TWICE, record, "group %llx",
                           (unsigned long long)record->aux);
        bool ok = map_put(&seen, id, (void *)(uintptr_t)record);
        ASSERT(ok);
    }
    map_free(&seen);
}

void check_txns(struct check *check)
{
    check_torn(check);
    check_circles(check);
    check_inputs(check);
}
