/* SPDX-License-Identifier: Apache-2.0 */
/* DescribeTransactions, ListTransactions, figures and the check of the whole. */
#include <string.h>

#include "broker/core/txn_internal.h"
#include "proto/kafka/gen/describe_transactions.h"
#include "proto/kafka/gen/list_transactions.h"

static struct str copy(struct txn_call *call, struct str s)
{
    char *p = arena_copy(call->arena, s.p, (size_t)MAX(s.len, 0));

    return p ? (struct str){p, s.len} : STR_NULL;
}

static bool fill_topics(struct txn_call *call, const struct txn_image *image,
                        struct kafka_describe_transactions_response_transaction_state *out)
{
    size_t count = (size_t)image->partitions_count;
    int32_t *indexes = arena_calloc(call->arena, count, sizeof(*indexes));

    out->topics = arena_calloc(call->arena, count, sizeof(*out->topics));
    if (!indexes || !out->topics)
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct txn_partition *p = &image->partitions[i];
        indexes[i] = p->index;
        if (i == 0 || !str_eq(p->topic, image->partitions[i - 1].topic)) {
            out->topics[out->topics_count].topic = copy(call, p->topic);
            if (out->topics[out->topics_count].topic.len < 0)
                return false;
            out->topics[out->topics_count++].partitions = &indexes[i];
        }
        out->topics[out->topics_count - 1].partitions_count++;
    }
    return true;
}

void txn_describe(struct txns *t, struct txn_call *call)
{
    struct kafka_describe_transactions_response_transaction_state *out = call->response;
    const struct txn *txn = txn_find(t, call->id);

    if (!txn || !txn->known) {
        txn_settle(t, call, KAFKA_TRANSACTIONAL_ID_NOT_FOUND);
        return;
    }
    const struct txn_image *image = &txn->image;
    out->transaction_state = str_from(txn_state_name(image->state));
    out->transaction_timeout_ms = image->timeout_ms;
    out->transaction_start_time_ms = image->start_ms;
    out->producer_id = image->producer_id;
    out->producer_epoch = image->epoch;
    bool ok = fill_topics(call, image, out);
    if (!ok)
        out->topics_count = 0;
    txn_settle(t, call, ok ? KAFKA_NONE : KAFKA_UNKNOWN_SERVER_ERROR);
}

/* -- ListTransactions -- */

struct listing {
    struct txns *t;
    struct txn_call *call;
    bool full; /* memory is out */
};

static bool wanted_state(const struct kafka_list_transactions_request *request, enum txn_state state)
{
    for (int32_t i = 0; i < request->state_filters_count; i++)
        if (str_eq_z(request->state_filters[i], txn_state_name(state)))
            return true;
    return request->state_filters_count <= 0;
}

static bool wanted_producer(const struct kafka_list_transactions_request *request, int64_t producer_id)
{
    for (int32_t i = 0; i < request->producer_id_filters_count; i++)
        if (request->producer_id_filters[i] == producer_id)
            return true;
    return request->producer_id_filters_count <= 0;
}

/* duration_filter: those that have run for longer (KIP-994). */
static bool wanted_duration(const struct listing *listing,
                            const struct kafka_list_transactions_request *request,
                            const struct txn_image *image)
{
    if (request->duration_filter < 0)
        return true;
    return image->start_ms >= 0 && listing->t->wall_ms - image->start_ms > request->duration_filter;
}

static void list_one(void *ctx, struct txn *txn)
{
    struct listing *listing = ctx;
    const struct kafka_list_transactions_request *request = listing->call->request;
    struct kafka_list_transactions_response *out = listing->call->response;

    if (!txn->known || listing->full || !wanted_state(request, txn->image.state) ||
        !wanted_producer(request, txn->image.producer_id) || !wanted_duration(listing, request, &txn->image))
        return;
    struct kafka_list_transactions_response_transaction_state *one =
        &out->transaction_states[out->transaction_states_count];
    one->transactional_id = copy(listing->call, txn->id);
    one->producer_id = txn->image.producer_id;
    one->transaction_state = str_from(txn_state_name(txn->image.state));
    listing->full = one->transactional_id.len < 0;
    out->transaction_states_count += !listing->full;
}

void txns_list(struct txns *t, struct txn_call *call)
{
    struct kafka_list_transactions_response *out = call->response;
    struct listing listing = {.t = t, .call = call};

    out->transaction_states = arena_calloc(call->arena, t->count, sizeof(*out->transaction_states));
    listing.full = out->transaction_states == NULL;
    txn_each(t, list_one, &listing);
    txn_settle(t, call, listing.full ? KAFKA_UNKNOWN_SERVER_ERROR : KAFKA_NONE);
}

/* -- figures -- */

uint32_t txns_count(const struct txns *t)
{
    return t->count;
}

struct checking {
    const struct txns *t;
    uint64_t sum;
    uint32_t count;
};

static void check_one(void *ctx, struct txn *txn)
{
    struct checking *checking = ctx;
    const struct txn_image *image = &txn->image;
    bool preparing = txn_preparing(txn);

    ASSERT(image->state < TXN_DEAD);
    ASSERT(txn->known || txn->pending);
    ASSERT(!txn->known || (image->producer_id >= 0 && image->epoch >= 0));
    ASSERT(image->state == TXN_ONGOING || preparing || image->partitions_count == 0);
    ASSERT(preparing || (txn->token == 0 && !txn->marked));
    ASSERT(list_empty(&txn->waiting) || txn->pending || preparing);
    /* Nothing hangs: whatever is decided is on its way, or somebody will look. */
    ASSERT(!preparing || checking->t->loading || txn->pending || txn->retry_us > 0 ||
           txn->marked_count < image->partitions_count);
    ASSERT(image->state != TXN_ONGOING || checking->t->loading || txn->pending || txn->timer.slot != 0);
    ASSERT(image->next_id < 0 || preparing);
    checking->count++;
    if (!txn->known)
        return;
    uint64_t words[4] = {hash_bytes(txn->id.p, (uint64_t)txn->id.len, 1), (uint64_t)image->producer_id,
                         (uint64_t)(uint16_t)image->epoch << 8 | image->state,
                         (uint64_t)image->partitions_count};
    checking->sum += hash_bytes(words, sizeof(words), 2);
}

uint64_t txns_check(const struct txns *t)
{
    struct checking checking = {.t = t};

    txn_each(t, check_one, &checking);
    ASSERT(checking.count == t->count);
    return checking.sum;
}
