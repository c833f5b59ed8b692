/* SPDX-License-Identifier: Apache-2.0 */
/* InitProducerId with a transactional id: whoever asks becomes the producer, the one before it is fenced. */
#include "broker/core/txn_internal.h"
#include "common/base/mutant.h"

static void needs_id(struct txns *t, struct txn_call *call)
{
    call->needs_id = true;
    txn_settle(t, call, KAFKA_NONE);
}

static void answer(struct txn_call *call, const struct txn_image *image)
{
    call->producer_id = image->producer_id;
    call->producer_epoch = image->epoch;
}

static void write_empty(struct txns *t, struct txn *txn, struct txn_image *next, struct txn_call *call,
                        int16_t last_epoch)
{
    next->state = TXN_EMPTY;
    next->timeout_ms = call->timeout_ms;
    next->start_ms = -1;
    next->partitions = NULL;
    next->partitions_count = 0;
    txn_write(t, txn, next, call)->last_epoch = last_epoch;
    answer(call, next);
}

/* A transactional id that nobody has used. */
static void init_new(struct txns *t, struct txn_call *call)
{
    struct txn_image next = {.previous_id = NO_ID, .next_id = NO_ID};

    if (call->fresh_id < 0) {
        needs_id(t, call);
        return;
    }
    next.producer_id = call->fresh_id;
    write_empty(t, txn_find_or_make(t, call->id), &next, call, NO_EPOCH);
}

/* The epochs of this producer id are used up: another id begins at 0. */
static void rotate(struct txns *t, struct txn *txn, struct txn_call *call, int16_t last_epoch)
{
    struct txn_image next = txn->image;

    if (call->fresh_id < 0) {
        needs_id(t, call);
        return;
    }
    next.previous_id = txn->image.producer_id;
    next.producer_id = call->fresh_id;
    next.epoch = 0;
    write_empty(t, txn, &next, call, last_epoch);
}

static void bump(struct txns *t, struct txn *txn, struct txn_call *call, int16_t last_epoch)
{
    struct txn_image next = txn->image;

    if (next.epoch >= EPOCH_USED_UP) {
        rotate(t, txn, call, last_epoch);
        return;
    }
    if (!MUTANT(DROP_FENCING))
        next.epoch++;
    write_empty(t, txn, &next, call, last_epoch);
}

/* KIP-360: a producer that names itself must be the one that we know, or repeat the question that bumped it.
 */
static void init_known(struct txns *t, struct txn *txn, struct txn_call *call)
{
    const struct txn_image *image = &txn->image;

    if (call->producer_id == image->producer_id && call->producer_epoch == image->epoch) {
        bump(t, txn, call, image->epoch);
    } else if (txn->last_epoch != NO_EPOCH && call->producer_epoch == txn->last_epoch) {
        answer(call, image);
        txn_settle(t, call, KAFKA_NONE);
    } else {
        txn_settle(t, call, KAFKA_PRODUCER_FENCED);
    }
}

/* Its own id, or the one before it whose last answer may have been lost. */
static bool may_be_ours(const struct txn_image *image, const struct txn_call *call)
{
    return call->producer_id == image->producer_id ||
           (call->producer_id == image->previous_id && call->producer_epoch >= EPOCH_USED_UP);
}

static void init_ongoing(struct txns *t, struct txn *txn, struct txn_call *call)
{
    if (call->producer_id >= 0 && call->producer_epoch != txn->image.epoch) {
        txn_settle(t, call, KAFKA_PRODUCER_FENCED);
        return;
    }
    call->producer_id = NO_ID; /* it has shown who it is; its epoch will be another one */
    txn_abort(t, txn, call);
}

void txn_init(struct txns *t, struct txn_call *call)
{
    struct txn *txn = txn_find(t, call->id);

    if (call->timeout_ms <= 0 || call->timeout_ms > t->settings->timeout_max_ms)
        txn_settle(t, call, KAFKA_INVALID_TRANSACTION_TIMEOUT);
    else if (!txn)
        init_new(t, call);
    else if (txn->pending || txn_preparing(txn))
        txn_wait(t, txn, call);
    else if (call->producer_id >= 0 && !may_be_ours(&txn->image, call))
        txn_settle(t, call, KAFKA_PRODUCER_FENCED);
    else if (txn->image.state == TXN_ONGOING)
        init_ongoing(t, txn, call);
    else if (call->producer_id >= 0)
        init_known(t, txn, call);
    else
        bump(t, txn, call, NO_EPOCH);
}
