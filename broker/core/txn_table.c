/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "broker/core/txn_internal.h"

/* -- memory -- */

void *txn_alloc(struct txns *t, size_t size)
{
    void *p = core_resize(t->alloc, NULL, 0, size);

    ASSERT(p != NULL);
    memset(p, 0, size);
    return p;
}

void txn_release(struct txns *t, void *p, size_t size)
{
    if (p)
        core_resize(t->alloc, p, size, 0);
}

static struct str str_own(struct txns *t, struct str s)
{
    if (s.len <= 0)
        return STR_LIT("");
    char *p = txn_alloc(t, (size_t)s.len);
    memcpy(p, s.p, (size_t)s.len);
    return (struct str){p, s.len};
}

static void str_drop(struct txns *t, struct str s)
{
    if (s.len > 0)
        txn_release(t, (void *)(uintptr_t)s.p, (size_t)s.len);
}

/* -- the table -- */

static uint64_t hash_of(struct str id)
{
    return hash_bytes(id.p, (uint64_t)id.len, 0x74786e);
}

struct txn *txn_find(const struct txns *t, struct str id)
{
    struct txn *txn = map_get(&t->by_hash, hash_of(id));

    while (txn && !str_eq(txn->id, id))
        txn = txn->next;
    return txn;
}

struct txn *txn_find_or_make(struct txns *t, struct str id)
{
    struct txn *txn = txn_find(t, id);

    if (txn)
        return txn;
    txn = txn_alloc(t, sizeof(*txn));
    txn->hash = hash_of(id);
    txn->id = str_own(t, id);
    txn->image = (struct txn_image){.producer_id = NO_ID,
                                    .previous_id = NO_ID,
                                    .next_id = NO_ID,
                                    .epoch = NO_EPOCH,
                                    .state = TXN_EMPTY,
                                    .start_ms = -1,
                                    .update_ms = -1};
    txn->last_epoch = NO_EPOCH;
    list_init(&txn->waiting);
    list_init(&txn->ready);
    txn->next = map_get(&t->by_hash, txn->hash);
    bool put = map_put(&t->by_hash, txn->hash, txn);
    ASSERT(put);
    t->count++;
    return txn;
}

static void unlink_txn(struct txns *t, struct txn *txn)
{
    struct txn *at = map_get(&t->by_hash, txn->hash);

    if (at == txn && !txn->next) {
        map_remove(&t->by_hash, txn->hash);
    } else if (at == txn) {
        map_put(&t->by_hash, txn->hash, txn->next); /* replaces: takes no memory */
    } else {
        while (at->next != txn)
            at = at->next;
        at->next = txn->next;
    }
    t->count--;
}

static void drop_partitions(struct txns *t, struct txn *txn)
{
    struct txn_image *image = &txn->image;

    for (int32_t i = 0; i < image->partitions_count; i++)
        str_drop(t, image->partitions[i].topic);
    txn_release(t, image->partitions, (size_t)image->partitions_count * sizeof(*image->partitions));
    txn_release(t, txn->marked, (size_t)image->partitions_count * sizeof(*txn->marked));
    if (txn->token != 0)
        map_remove(&t->by_token, txn->token);
    list_remove(&txn->ready);
    txn->marked = NULL;
    txn->token = 0;
    image->partitions = NULL;
    image->partitions_count = 0;
}

void txn_drop(struct txns *t, struct txn *txn)
{
    ASSERT(!txn->pending && list_empty(&txn->waiting));
    unlink_txn(t, txn);
    heap_remove(&t->timers, &txn->timer);
    drop_partitions(t, txn);
    str_drop(t, txn->id);
    txn_release(t, txn, sizeof(*txn));
}

void txn_each(const struct txns *t, void (*each)(void *ctx, struct txn *txn), void *ctx)
{
    uint32_t pos = 0;
    uint64_t key;
    void *value;

    while (map_next(&t->by_hash, &pos, &key, &value))
        for (struct txn *txn = value; txn; txn = txn->next)
            each(ctx, txn);
}

/* -- partitions -- */

int txn_partition_cmp(const struct txn_partition *a, const struct txn_partition *b)
{
    int order = str_cmp(a->topic, b->topic);

    return order != 0 ? order : (a->index > b->index) - (a->index < b->index);
}

/* Heap sort: no worst case, no memory. */
static void sift_down(struct txn_partition *p, int32_t root, int32_t count)
{
    for (int32_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && txn_partition_cmp(&p[child], &p[child + 1]) < 0)
            child++;
        if (txn_partition_cmp(&p[root], &p[child]) >= 0)
            return;
        struct txn_partition swap = p[root];
        p[root] = p[child];
        p[child] = swap;
    }
}

void txn_sort_partitions(struct txn_partition *p, int32_t count)
{
    for (int32_t root = count / 2 - 1; root >= 0; root--)
        sift_down(p, root, count);
    for (int32_t end = count - 1; end > 0; end--) {
        struct txn_partition swap = p[0];
        p[0] = p[end];
        p[end] = swap;
        sift_down(p, 0, end);
    }
}

void txn_set_partitions(struct txns *t, struct txn *txn, const struct txn_partition *partitions,
                        int32_t count)
{
    struct txn_image *image = &txn->image;

    drop_partitions(t, txn);
    if (count == 0)
        return;
    image->partitions = txn_alloc(t, (size_t)count * sizeof(*image->partitions));
    image->partitions_count = count;
    for (int32_t i = 0; i < count; i++)
        image->partitions[i] = (struct txn_partition){str_own(t, partitions[i].topic), partitions[i].index};
    txn_sort_partitions(image->partitions, count);
}

int32_t txn_find_partition(const struct txn *txn, const struct txn_partition *partition)
{
    const struct txn_image *image = &txn->image;
    int32_t low = 0, high = image->partitions_count;

    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        int order = txn_partition_cmp(&image->partitions[middle], partition);
        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}
