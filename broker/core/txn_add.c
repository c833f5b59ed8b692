/* SPDX-License-Identifier: Apache-2.0 */
/* Partitions join a transaction, and partition leaders ask whether they belong to it. */
#include <string.h>

#include "broker/core/txn_internal.h"

/* KAFKA_NONE: it is this producer's turn. */
static int16_t check_producer(const struct txn *txn, const struct txn_call *call)
{
    if (txn->image.producer_id != call->producer_id)
        return KAFKA_INVALID_PRODUCER_ID_MAPPING;
    return txn_is_epoch(txn, call) ? KAFKA_NONE : KAFKA_PRODUCER_FENCED;
}

/* The txn for a call that needs it settled; NULL: the call has its answer, or waits. */
static struct txn *txn_for(struct txns *t, struct txn_call *call)
{
    struct txn *txn = txn_find(t, call->id);
    int16_t error = KAFKA_NONE;

    if (!txn || !txn->known) { /* whoever says "none" is not the producer that is on its way to the log */
        txn_settle(t, call, KAFKA_INVALID_PRODUCER_ID_MAPPING);
        return NULL;
    }
    if (txn->pending) { /* first: the producer may be on its way to another id or epoch */
        txn_wait(t, txn, call);
        return NULL;
    }
    error = check_producer(txn, call);
    if (error != KAFKA_NONE) {
        txn_settle(t, call, error);
        return NULL;
    }
    if (txn_preparing(txn)) {
        txn_wait(t, txn, call);
        return NULL;
    }
    return txn;
}

static bool has_all(const struct txn *txn, const struct txn_call *call)
{
    for (int32_t i = 0; i < call->partitions_count; i++)
        if (txn_find_partition(txn, &call->partitions[i]) < 0)
            return false;
    return true;
}

/* Sorted, each once: a request may name one as often as it likes. Returns how many are left. */
static int32_t form_partitions(struct txn_partition *p, int32_t count)
{
    int32_t kept = 0;

    txn_sort_partitions(p, count);
    for (int32_t i = 0; i < count; i++)
        if (kept == 0 || txn_partition_cmp(&p[kept - 1], &p[i]) != 0)
            p[kept++] = p[i];
    return kept;
}

static void write_ongoing(struct txns *t, struct txn *txn, struct txn_call *call)
{
    struct txn_image next = txn->image;
    bool goes_on = txn->image.state == TXN_ONGOING;
    int32_t had = goes_on ? txn->image.partitions_count : 0;
    size_t size = (size_t)(had + call->partitions_count) * sizeof(*next.partitions);

    next.partitions = txn_alloc(t, size);
    next.partitions_count = had;
    if (had > 0)
        memcpy(next.partitions, txn->image.partitions, (size_t)had * sizeof(*next.partitions));
    for (int32_t i = 0; i < call->partitions_count; i++)
        if (!(goes_on && txn_find_partition(txn, &call->partitions[i]) >= 0))
            next.partitions[next.partitions_count++] = call->partitions[i];
    next.partitions_count = form_partitions(next.partitions, next.partitions_count);
    next.state = TXN_ONGOING;
    next.client_version = call->v2 ? 2 : 0;
    if (!goes_on)
        next.start_ms = t->wall_ms;
    txn_write(t, txn, &next, call)->last_epoch = NO_EPOCH;
    txn_release(t, next.partitions, size);
}

void txn_add(struct txns *t, struct txn_call *call)
{
    struct txn *txn = txn_for(t, call);

    if (!txn)
        return;
    if (txn->image.state == TXN_ONGOING && has_all(txn, call))
        txn_settle(t, call, KAFKA_NONE);
    else
        write_ongoing(t, txn, call);
}

void txn_verify(struct txns *t, struct txn_call *call)
{
    struct txn *txn = txn_for(t, call);

    if (!txn)
        return;
    for (int32_t i = 0; i < call->partitions_count; i++) {
        bool ongoing = txn->image.state == TXN_ONGOING && txn_find_partition(txn, &call->partitions[i]) >= 0;
        call->errors[i] = ongoing    ? KAFKA_NONE
                          : call->v2 ? KAFKA_TRANSACTION_ABORTABLE
                                     : KAFKA_INVALID_TXN_STATE;
    }
    txn_settle(t, call, KAFKA_NONE);
}
