/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/cluster/shared.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"

#define BITS 5

/* `used` has a bit per occupied slot, `subs` a bit where the slot holds a node instead of an object. A bucket
 * (level TRIE_LEVELS) holds `used` objects. */
struct trie_node {
    atomic_uint refs;
    uint32_t used, subs;
    void *slots[];
};

STATIC_ASSERT(TRIE_LEVELS *BITS >= 64, "every bit of a key is used before objects share a bucket");

void shared_init(struct shared *item, uint64_t key, uint64_t hash)
{
    atomic_init(&item->refs, 1);
    item->key = key;
    item->hash = hash;
}

struct shared *shared_ref(struct shared *item)
{
    uint32_t before = atomic_fetch_add_explicit(&item->refs, 1, memory_order_relaxed);
    ASSERT(before > 0);
    return item;
}

void shared_unref(struct shared *item, const struct shared_type *type)
{
    if (!item)
        return;
    uint32_t before = atomic_fetch_sub_explicit(&item->refs, 1, memory_order_acq_rel);
    ASSERT(before > 0);
    if (before == 1)
        type->destroy(item);
}

/* --- nodes --- */

static uint32_t bit_of(uint64_t key, uint32_t level)
{
    ASSERT(level < TRIE_LEVELS);
    return 1u << (key >> (level * BITS) & 31);
}

static uint32_t node_len(const struct trie_node *node, uint32_t level)
{
    return level == TRIE_LEVELS ? node->used : (uint32_t)__builtin_popcount(node->used);
}

static uint32_t place(const struct trie_node *node, uint32_t bit)
{
    return (uint32_t)__builtin_popcount(node->used & (bit - 1));
}

static struct trie_node *node_new(uint32_t len)
{
    struct trie_node *node = malloc(sizeof(*node) + len * sizeof(void *));
    if (!node)
        return NULL;
    atomic_init(&node->refs, 1);
    node->used = node->subs = 0;
    return node;
}

static bool is_unique(const struct trie_node *node)
{
    return atomic_load_explicit(&node->refs, memory_order_acquire) == 1;
}

/* True when the i-th slot of node holds a node. */
static bool slot_is_node(const struct trie_node *node, uint32_t level, uint32_t i)
{
    if (level == TRIE_LEVELS || node->subs == 0)
        return false;
    uint32_t used = node->used;
    for (; i > 0; i--)
        used &= used - 1;
    return (node->subs & used & -used) != 0;
}

static void ref_slots(const struct trie_node *node, uint32_t level)
{
    for (uint32_t i = 0; i < node_len(node, level); i++) {
        if (slot_is_node(node, level, i))
            atomic_fetch_add_explicit(&((struct trie_node *)node->slots[i])->refs, 1, memory_order_relaxed);
        else
            shared_ref(node->slots[i]);
    }
}

static void node_unref(struct trie_node *node, uint32_t level, const struct shared_type *type)
{
    if (!node || atomic_fetch_sub_explicit(&node->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t i = 0; i < node_len(node, level); i++) {
        if (slot_is_node(node, level, i))
            node_unref(node->slots[i], level + 1, type);
        else
            shared_unref(node->slots[i], type);
    }
    free(node);
}

/* Replaces *link by a node of the same content that nobody else holds. */
static bool make_unique(struct trie_node **link, uint32_t level, const struct shared_type *type)
{
    struct trie_node *node = *link;
    if (is_unique(node))
        return true;
    uint32_t len = node_len(node, level);
    struct trie_node *copy = node_new(len);
    if (!copy)
        return false;
    copy->used = node->used;
    copy->subs = node->subs;
    memcpy(copy->slots, node->slots, len * sizeof(void *));
    ref_slots(copy, level);
    node_unref(node, level, type);
    *link = copy;
    return true;
}

/* Replaces the unique *link by a copy with one slot more (value at `at`) or, value NULL, one less; references
 * move along. */
static bool resize(struct trie_node **link, uint32_t level, uint32_t at, void *value)
{
    struct trie_node *node = *link;
    ASSERT(is_unique(node));
    uint32_t len = node_len(node, level), keep = value ? at : at + 1;
    struct trie_node *copy = node_new(value ? len + 1 : len - 1);
    if (!copy)
        return false;
    copy->used = node->used;
    copy->subs = node->subs;
    memcpy(copy->slots, node->slots, at * sizeof(void *));
    memcpy(copy->slots + at + (value ? 1 : 0), node->slots + keep, (len - keep) * sizeof(void *));
    if (value)
        copy->slots[at] = value;
    free(node);
    *link = copy;
    return true;
}

/* --- lookup --- */

static bool same(const struct shared *item, const struct shared_type *type, uint64_t key, const void *lookup)
{
    return item->key == key && type->compare(item, lookup) == 0;
}

static uint32_t bucket_find(const struct trie_node *bucket, const struct shared_type *type, uint64_t key,
                            const void *lookup)
{
    uint32_t i = 0;
    while (i < bucket->used && !same(bucket->slots[i], type, key, lookup))
        i++;
    return i;
}

struct shared *trie_get(const struct trie *trie, const struct shared_type *type, uint64_t key,
                        const void *lookup)
{
    const struct trie_node *node = trie->root;
    for (uint32_t level = 0; node && level < TRIE_LEVELS; level++) {
        uint32_t bit = bit_of(key, level);
        if (!(node->used & bit))
            return NULL;
        void *slot = node->slots[place(node, bit)];
        if (!(node->subs & bit))
            return same(slot, type, key, lookup) ? slot : NULL;
        node = slot;
    }
    if (!node)
        return NULL;
    uint32_t i = bucket_find(node, type, key, lookup);
    return i < node->used ? node->slots[i] : NULL;
}

/* --- insert --- */

static struct trie_node *node_of_one(uint32_t level, void *value, uint64_t key)
{
    struct trie_node *node = node_new(1);
    if (!node)
        return NULL;
    node->used = level == TRIE_LEVELS ? 1 : bit_of(key, level);
    node->slots[0] = value;
    return node;
}

/* A node at `level` that holds both objects, whose keys agree above it. References are taken over on success.
 */
static struct trie_node *node_of_two(uint32_t level, struct shared *a, struct shared *b)
{
    if (level < TRIE_LEVELS && bit_of(a->key, level) == bit_of(b->key, level)) {
        struct trie_node *below = node_of_two(level + 1, a, b);
        struct trie_node *node = below ? node_of_one(level, below, a->key) : NULL;
        if (node)
            node->subs = node->used;
        else
            free(below);
        return node;
    }
    struct trie_node *node = node_new(2);
    if (!node)
        return NULL;
    bool swap = level < TRIE_LEVELS && bit_of(a->key, level) > bit_of(b->key, level);
    node->used = level == TRIE_LEVELS ? 2 : bit_of(a->key, level) | bit_of(b->key, level);
    node->slots[0] = swap ? b : a;
    node->slots[1] = swap ? a : b;
    return node;
}

static enum err put_bucket(struct trie_node **link, const struct shared_type *type, struct shared *item,
                           bool *added)
{
    uint32_t i = bucket_find(*link, type, item->key, type->lookup(item));
    if (!make_unique(link, TRIE_LEVELS, type))
        return ERR_NOMEM;
    if (i < (*link)->used) {
        shared_unref((*link)->slots[i], type);
        (*link)->slots[i] = item;
        return OK;
    }
    if (!resize(link, TRIE_LEVELS, i, item))
        return ERR_NOMEM;
    (*link)->used++;
    *added = true;
    return OK;
}

static enum err put_new_slot(struct trie_node **link, uint32_t level, struct shared *item)
{
    uint32_t bit = bit_of(item->key, level);
    if (!resize(link, level, place(*link, bit), item))
        return ERR_NOMEM;
    (*link)->used |= bit;
    return OK;
}

/* The slot holds another object: replace it, or push both one level down. */
static enum err put_over(struct trie_node *node, uint32_t level, const struct shared_type *type,
                         struct shared *item, bool *added)
{
    uint32_t bit = bit_of(item->key, level), at = place(node, bit);
    struct shared *there = node->slots[at];
    if (same(there, type, item->key, type->lookup(item))) {
        node->slots[at] = item;
        shared_unref(there, type);
        return OK;
    }
    struct trie_node *below = node_of_two(level + 1, there, item);
    if (!below)
        return ERR_NOMEM;
    node->slots[at] = below;
    node->subs |= bit;
    *added = true;
    return OK;
}

static enum err put_at(struct trie_node **link, uint32_t level, const struct shared_type *type,
                       struct shared *item, bool *added)
{
    if (level == TRIE_LEVELS)
        return put_bucket(link, type, item, added);
    if (!make_unique(link, level, type))
        return ERR_NOMEM;
    uint32_t bit = bit_of(item->key, level);
    if (!((*link)->used & bit)) {
        *added = true;
        return put_new_slot(link, level, item);
    }
    if ((*link)->subs & bit) {
        struct trie_node **below = (struct trie_node **)&(*link)->slots[place(*link, bit)];
        return put_at(below, level + 1, type, item, added);
    }
    return put_over(*link, level, type, item, added);
}

enum err trie_put(struct trie *trie, const struct shared_type *type, struct shared *item)
{
    bool added = false;
    enum err err;
    if (trie->root) {
        err = put_at(&trie->root, 0, type, item, &added);
    } else {
        trie->root = node_of_one(0, item, item->key);
        err = trie->root ? OK : ERR_NOMEM;
        added = true;
    }
    if (err == OK && added)
        trie->count++;
    return err;
}

/* --- remove --- */

static enum err remove_bucket(struct trie_node **link, const struct shared_type *type, uint64_t key,
                              const void *lookup)
{
    uint32_t i = bucket_find(*link, type, key, lookup);
    if (i == (*link)->used)
        return ERR_NOT_FOUND;
    if (!make_unique(link, TRIE_LEVELS, type))
        return ERR_NOMEM;
    struct shared *gone = (*link)->slots[i];
    if (!resize(link, TRIE_LEVELS, i, NULL))
        return ERR_NOMEM;
    (*link)->used--;
    shared_unref(gone, type);
    return OK;
}

static enum err remove_slot(struct trie_node **link, uint32_t level, uint32_t bit,
                            const struct shared_type *type)
{
    uint32_t at = place(*link, bit);
    struct shared *gone = (*link)->slots[at];
    if (!resize(link, level, at, NULL))
        return ERR_NOMEM;
    (*link)->used &= ~bit;
    shared_unref(gone, type);
    return OK;
}

/* A node below that is down to one object gives it to its parent, so that the trie's depth follows its size.
 */
static void pull_up(struct trie_node *node, uint32_t level, uint32_t bit)
{
    void **slot = &node->slots[place(node, bit)];
    struct trie_node *below = *slot;
    if (node_len(below, level + 1) != 1 || (level + 1 < TRIE_LEVELS && below->subs != 0))
        return;
    ASSERT(is_unique(below));
    *slot = below->slots[0];
    node->subs &= ~bit;
    free(below);
}

static enum err remove_at(struct trie_node **link, uint32_t level, const struct shared_type *type,
                          uint64_t key, const void *lookup)
{
    if (level == TRIE_LEVELS)
        return remove_bucket(link, type, key, lookup);
    uint32_t bit = bit_of(key, level);
    if (!((*link)->used & bit))
        return ERR_NOT_FOUND;
    if (!make_unique(link, level, type))
        return ERR_NOMEM;
    void **slot = &(*link)->slots[place(*link, bit)];
    if (!((*link)->subs & bit))
        return same(*slot, type, key, lookup) ? remove_slot(link, level, bit, type) : ERR_NOT_FOUND;
    enum err err = remove_at((struct trie_node **)slot, level + 1, type, key, lookup);
    if (err == OK)
        pull_up(*link, level, bit);
    return err;
}

enum err trie_remove(struct trie *trie, const struct shared_type *type, uint64_t key, const void *lookup)
{
    if (!trie->root)
        return ERR_NOT_FOUND;
    enum err err = remove_at(&trie->root, 0, type, key, lookup);
    if (err != OK)
        return err;
    trie->count--;
    if (trie->root->used == 0) {
        node_unref(trie->root, 0, type);
        trie->root = NULL;
    }
    return OK;
}

/* --- edit in place --- */

static enum err own_slot(void **slot, const struct shared_type *type, struct shared **ret_item)
{
    struct shared *item = *slot;
    if (atomic_load_explicit(&item->refs, memory_order_acquire) != 1) {
        struct shared *copy = type->copy(item);
        if (!copy)
            return ERR_NOMEM;
        ASSERT(copy->key == item->key);
        *slot = copy;
        shared_unref(item, type);
    }
    *ret_item = *slot;
    return OK;
}

enum err trie_edit(struct trie *trie, const struct shared_type *type, uint64_t key, const void *lookup,
                   struct shared **ret_item)
{
    if (!trie_get(trie, type, key, lookup))
        return ERR_NOT_FOUND;
    struct trie_node **link = &trie->root;
    for (uint32_t level = 0;; level++) {
        if (!make_unique(link, level, type))
            return ERR_NOMEM;
        struct trie_node *node = *link;
        if (level == TRIE_LEVELS)
            return own_slot(&node->slots[bucket_find(node, type, key, lookup)], type, ret_item);
        uint32_t bit = bit_of(key, level);
        void **slot = &node->slots[place(node, bit)];
        if (!(node->subs & bit))
            return own_slot(slot, type, ret_item);
        link = (struct trie_node **)slot;
    }
}

struct trie trie_share(const struct trie *trie)
{
    if (trie->root)
        atomic_fetch_add_explicit(&trie->root->refs, 1, memory_order_relaxed);
    return *trie;
}

void trie_drop(struct trie *trie, const struct shared_type *type)
{
    node_unref(trie->root, 0, type);
    *trie = (struct trie){0};
}

/* --- iteration --- */

void trie_iter_init(struct trie_iter *iter, const struct trie *trie)
{
    *iter = (struct trie_iter){.depth = trie->root ? 0 : -1};
    iter->nodes[0] = trie->root;
}

struct shared *trie_iter_next(struct trie_iter *iter)
{
    while (iter->depth >= iter->base) {
        uint32_t level = (uint32_t)iter->depth;
        const struct trie_node *node = iter->nodes[level];
        uint32_t i = iter->at[level]++;
        if (i == node_len(node, level)) {
            iter->depth--;
        } else if (slot_is_node(node, level, i)) {
            iter->depth++;
            iter->nodes[iter->depth] = node->slots[i];
            iter->at[iter->depth] = 0;
        } else {
            return node->slots[i];
        }
    }
    return NULL;
}

/* --- difference: both versions are walked side by side; a subtree that is the same node in both is skipped
 * whole --- */

struct diff {
    const struct shared_type *type;
    trie_diff_each each;
    void *ctx;
};

/* What one version holds in one slot: nothing, an object, or a node. */
struct slot {
    void *p;
    bool node;
};

static struct slot slot_at(const struct trie_node *node, uint32_t bit)
{
    if (!(node->used & bit))
        return (struct slot){NULL, false};
    return (struct slot){node->slots[place(node, bit)], (node->subs & bit) != 0};
}

static bool emit(const struct diff *diff, bool swapped, struct shared *a, struct shared *b)
{
    return a == b || (swapped ? diff->each(diff->ctx, b, a) : diff->each(diff->ctx, a, b));
}

/* Everything in `many` (nothing, an object or a node at `level`) against at most one object. */
static bool diff_with_one(const struct diff *diff, struct slot many, struct shared *one, uint32_t level,
                          bool swapped)
{
    struct trie_iter iter = {.depth = (int32_t)level, .base = (int32_t)level};
    iter.nodes[level] = many.p;
    struct shared *item = many.node ? trie_iter_next(&iter) : many.p;
    while (item) {
        bool pair = one && same(item, diff->type, one->key, diff->type->lookup(one));
        if (!emit(diff, swapped, item, pair ? one : NULL))
            return false;
        if (pair)
            one = NULL;
        item = many.node ? trie_iter_next(&iter) : NULL;
    }
    return emit(diff, swapped, NULL, one);
}

static bool diff_buckets(const struct diff *diff, const struct trie_node *a, const struct trie_node *b)
{
    for (uint32_t i = 0; i < a->used; i++) {
        struct shared *item = a->slots[i];
        uint32_t at = bucket_find(b, diff->type, item->key, diff->type->lookup(item));
        if (!emit(diff, false, item, at < b->used ? b->slots[at] : NULL))
            return false;
    }
    for (uint32_t i = 0; i < b->used; i++) {
        struct shared *item = b->slots[i];
        if (bucket_find(a, diff->type, item->key, diff->type->lookup(item)) == a->used &&
            !emit(diff, false, NULL, item))
            return false;
    }
    return true;
}

static bool diff_slots(const struct diff *diff, struct slot a, struct slot b, uint32_t level);

static bool diff_nodes(const struct diff *diff, const struct trie_node *a, const struct trie_node *b,
                       uint32_t level)
{
    if (level == TRIE_LEVELS)
        return diff_buckets(diff, a, b);
    for (uint32_t left = a->used | b->used; left != 0; left &= left - 1) {
        uint32_t bit = left & -left;
        if (!diff_slots(diff, slot_at(a, bit), slot_at(b, bit), level + 1))
            return false;
    }
    return true;
}

static bool diff_slots(const struct diff *diff, struct slot a, struct slot b, uint32_t level)
{
    if (a.p == b.p)
        return true;
    if (a.node && b.node)
        return diff_nodes(diff, a.p, b.p, level);
    return b.node ? diff_with_one(diff, b, a.p, level, true) : diff_with_one(diff, a, b.p, level, false);
}

bool trie_diff(const struct trie *older, const struct trie *newer, const struct shared_type *type,
               trie_diff_each each, void *ctx)
{
    struct diff diff = {.type = type, .each = each, .ctx = ctx};
    struct slot a = {older->root, older->root != NULL}, b = {newer->root, newer->root != NULL};
    return diff_slots(&diff, a, b, 0);
}
