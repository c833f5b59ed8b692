/* SPDX-License-Identifier: Apache-2.0 */
/* The end of transactions: EndTxn, aborts of our own, markers, completion. */
#include "broker/core/txn_internal.h"
#include "common/base/mutant.h"

#define SERVER_BUMP 1 /* an abort of our own fences the producer */
#define SERVER_BUMP_V2                                                                                       \
    2 /* and is not to be taken for the end that the client asked for, which bumps by one */

/* -- markers -- */

static void mark(struct txns *t, struct txn *txn, int32_t at)
{
    if (txn->marked[at])
        return;
    txn->marked[at] = true;
    if (++txn->marked_count == txn->image.partitions_count)
        txn_complete(t, txn);
}

void txn_markers_due(struct txns *t, struct txn *txn)
{
    int32_t count = txn->image.partitions_count;

    ASSERT(txn_preparing(txn) && txn->token == 0);
    if (count == 0) {
        txn_complete(t, txn);
        return;
    }
    txn->token = ++t->last_token;
    txn->marked = txn_alloc(t, (size_t)count * sizeof(*txn->marked));
    txn->marked_count = 0;
    bool put = map_put(&t->by_token, txn->token, txn);
    ASSERT(put);
    list_push_back(&t->ready, &txn->ready);
    if (MUTANT(MARK_SOME_PARTITIONS) && count > 1)
        mark(t, txn, 0);
}

bool txns_take_markers(struct txns *t, struct txn_markers *ret)
{
    if (list_empty(&t->ready))
        return false;
    struct txn *txn = CONTAINER_OF(t->ready.next, struct txn, ready);
    bool skip = MUTANT(MARK_SOME_PARTITIONS) && txn->image.partitions_count > 1;
    list_remove(&txn->ready);
    *ret = (struct txn_markers){.token = txn->token,
                                .id = txn->id,
                                .producer_id = txn->image.producer_id,
                                .producer_epoch = txn->image.epoch,
                                .commit = txn->image.state == TXN_PREPARE_COMMIT,
                                .bumped = txn->image.client_version >= 2,
                                .partitions = txn->image.partitions + skip,
                                .partitions_count = txn->image.partitions_count - skip};
    return true;
}

void txns_marker_done(struct txns *t, uint64_t token, struct str topic, int32_t index)
{
    struct txn_partition asked = {topic, index};
    struct txn *txn = map_get(&t->by_token, token);

    if (!txn || txn->marked_count == txn->image.partitions_count)
        return;
    int32_t at = txn_find_partition(txn, &asked);
    if (at >= 0)
        mark(t, txn, at);
}

/* Every marker is in its log: the id is free for the next transaction. */
void txn_complete(struct txns *t, struct txn *txn)
{
    struct txn_image next = txn->image;

    ASSERT(txn_preparing(txn) && !txn->pending);
    next.state = txn->image.state == TXN_PREPARE_COMMIT ? TXN_COMPLETE_COMMIT : TXN_COMPLETE_ABORT;
    next.partitions = NULL;
    next.partitions_count = 0;
    if (next.next_id >= 0) {
        next.previous_id = next.producer_id;
        next.producer_id = next.next_id;
        next.next_id = NO_ID;
        next.epoch = 0;
    }
    txn_write(t, txn, &next, NULL);
}

/* -- aborts of our own -- */

void txn_abort(struct txns *t, struct txn *txn, struct txn_call *call)
{
    struct txn_image next = txn->image;
    int32_t epoch = next.epoch + (next.client_version >= 2 ? SERVER_BUMP_V2 : SERVER_BUMP);

    ASSERT(txn->image.state == TXN_ONGOING && !txn->pending);
    next.state = TXN_PREPARE_ABORT;
    if (!MUTANT(DROP_FENCING))
        next.epoch = (int16_t)MIN(epoch, EPOCH_LAST);
    txn_write(t, txn, &next, NULL)->last_epoch = NO_EPOCH;
    if (call)
        txn_wait(t, txn, call);
}

/* -- EndTxn -- */

/* The outcome goes to the log; with version 2 the epoch rises, or another id takes over. */
static void prepare(struct txns *t, struct txn *txn, struct txn_call *call)
{
    struct txn_image next = txn->image;
    bool begun = txn->image.state == TXN_ONGOING;

    if (call->v2 && next.epoch >= EPOCH_USED_UP) {
        if (call->fresh_id < 0) {
            call->needs_id = true;
            txn_settle(t, call, KAFKA_NONE);
            return;
        }
        next.next_id = call->fresh_id;
    }
    next.state = call->commit ? TXN_PREPARE_COMMIT : TXN_PREPARE_ABORT;
    next.client_version = call->v2 ? 2 : 0;
    if (!begun) {
        next.start_ms = t->wall_ms;
        next.partitions = NULL;
        next.partitions_count = 0;
    }
    if (call->v2)
        next.epoch = MUTANT(END_KEEPS_EPOCH) ? next.epoch : (int16_t)(next.epoch + 1);
    txn_write(t, txn, &next, MUTANT(END_BEFORE_LOG) ? NULL : call)->last_epoch =
        call->v2 ? txn->image.epoch : NO_EPOCH;
    call->producer_id = next.next_id >= 0 ? next.next_id : next.producer_id;
    call->producer_epoch = next.next_id >= 0 ? 0 : next.epoch;
    if (MUTANT(END_BEFORE_LOG))
        txn_settle(t, call, KAFKA_NONE);
}

static void done_before(struct txns *t, struct txn *txn, struct txn_call *call)
{
    call->producer_id = txn->image.producer_id;
    call->producer_epoch = txn->image.epoch;
    txn_settle(t, call, KAFKA_NONE);
}

/* The transaction is as the client wants it: repeated; or it asks for what cannot be any more. */
static void finish_v1(struct txns *t, struct txn *txn, struct txn_call *call)
{
    enum txn_state state = txn->image.state;
    bool same = call->commit ? state == TXN_PREPARE_COMMIT || state == TXN_COMPLETE_COMMIT
                             : state == TXN_PREPARE_ABORT || state == TXN_COMPLETE_ABORT;

    if (txn->image.producer_id != call->producer_id)
        txn_settle(t, call, KAFKA_INVALID_PRODUCER_ID_MAPPING);
    else if (!txn_is_epoch(txn, call))
        txn_settle(t, call, KAFKA_PRODUCER_FENCED);
    else if (state == TXN_ONGOING)
        prepare(t, txn, call);
    else if (!same)
        txn_settle(t, call, KAFKA_INVALID_TXN_STATE);
    else if (txn_preparing(txn))
        txn_wait(t, txn, call);
    else
        done_before(t, txn, call);
}

/* Does the client repeat the request that bumped its epoch (or gave it another id)? */
static bool is_retry(const struct txn *txn, const struct txn_call *call)
{
    const struct txn_image *image = &txn->image;

    if (image->producer_id == call->producer_id && call->producer_epoch == image->epoch - 1)
        return image->state == TXN_PREPARE_COMMIT || image->state == TXN_PREPARE_ABORT ||
               ((image->state == TXN_COMPLETE_COMMIT || image->state == TXN_COMPLETE_ABORT) &&
                image->epoch < EPOCH_LAST);
    return image->state >= TXN_COMPLETE_COMMIT && image->previous_id == call->producer_id &&
           call->producer_epoch == EPOCH_USED_UP && image->epoch == 0;
}

static void repeat_v2(struct txns *t, struct txn *txn, struct txn_call *call)
{
    enum txn_state state = txn->image.state;
    bool committed = state == TXN_PREPARE_COMMIT || state == TXN_COMPLETE_COMMIT;

    if (committed != call->commit)
        txn_settle(t, call, KAFKA_INVALID_TXN_STATE);
    else if (txn_preparing(txn))
        txn_wait(t, txn, call);
    else
        done_before(t, txn, call);
}

static void finish_v2(struct txns *t, struct txn *txn, struct txn_call *call)
{
    if (is_retry(txn, call))
        repeat_v2(t, txn, call);
    else if (txn->image.producer_id != call->producer_id)
        txn_settle(t, call, KAFKA_INVALID_PRODUCER_ID_MAPPING);
    else if (!txn_is_epoch(txn, call) || txn_preparing(txn))
        txn_settle(t, call, KAFKA_PRODUCER_FENCED);
    else if (txn->image.state == TXN_ONGOING || !call->commit)
        prepare(t, txn, call);
    else
        txn_settle(t, call, KAFKA_INVALID_TXN_STATE); /* nothing to commit */
}

void txn_finish(struct txns *t, struct txn_call *call)
{
    struct txn *txn = txn_find(t, call->id);

    if (!txn)
        txn_settle(t, call, KAFKA_INVALID_PRODUCER_ID_MAPPING);
    else if (txn->pending)
        txn_wait(t, txn, call);
    else if (call->v2)
        finish_v2(t, txn, call);
    else
        finish_v1(t, txn, call);
}
