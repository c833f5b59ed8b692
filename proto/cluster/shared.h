/* SPDX-License-Identifier: Apache-2.0 */
/* What the versions of an image share: immutable, reference-counted objects, and two persistent containers of
 * them. A container is edited in place where its nodes are held by nobody else (count 1 all the way from the
 * root), and copied along the path where they are shared; so an edit costs O(change) and never shows in
 * another version. Internal to proto/cluster. */
#ifndef SLUICE_PROTO_CLUSTER_SHARED_H
#define SLUICE_PROTO_CLUSTER_SHARED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"

/* First member of every shared object. */
struct shared {
    atomic_uint refs;
    uint64_t key;  /* place in a trie; equal objects have equal keys */
    uint64_t hash; /* of the content */
};

/* What a container must know about its objects. */
struct shared_type {
    /* Order of an object against a looked-up key (0: the same); tries ask only for equality. */
    int (*compare)(const struct shared *item, const void *lookup);
    const void *(*lookup)(const struct shared *item);  /* the key to compare others with */
    struct shared *(*copy)(const struct shared *item); /* for trie_edit(); NULL: never edited */
    void (*destroy)(struct shared *item);              /* frees it and what it holds */
};

void shared_init(struct shared *item, uint64_t key, uint64_t hash);     /* one reference */
struct shared *shared_ref(struct shared *item);                         /* the same item */
void shared_unref(struct shared *item, const struct shared_type *type); /* NULL is allowed */

/* --- hash trie: 32-way, by the bits of the key from the low end; full collisions end in a bucket --- */

struct trie_node;
struct trie {
    struct trie_node *root;
    uint32_t count;
};

#define TRIE_LEVELS 13 /* of 5 bits; the level below is the bucket */

struct trie trie_share(const struct trie *trie);                   /* another version: O(1) */
void trie_drop(struct trie *trie, const struct shared_type *type); /* it is empty afterwards */

/* Borrowed; NULL: none. */
struct shared *trie_get(const struct trie *trie, const struct shared_type *type, uint64_t key,
                        const void *lookup);

/* Inserts or replaces; takes over the caller's reference on success only. ERR_NOMEM. */
enum err trie_put(struct trie *trie, const struct shared_type *type, struct shared *item);

/* OK, ERR_NOT_FOUND, ERR_NOMEM. */
enum err trie_remove(struct trie *trie, const struct shared_type *type, uint64_t key, const void *lookup);

/* The object, made the trie's own (copied when it is shared), to be changed in place (never its key). OK,
 * ERR_NOT_FOUND, ERR_NOMEM. */
enum err trie_edit(struct trie *trie, const struct shared_type *type, uint64_t key, const void *lookup,
                   struct shared **ret_item);

/* Calls each for every object that is in only one version or differs by identity, in time proportional to the
 * difference. False: stopped by each. */
typedef bool (*trie_diff_each)(void *ctx, struct shared *older, struct shared *newer);
bool trie_diff(const struct trie *older, const struct trie *newer, const struct shared_type *type,
               trie_diff_each each, void *ctx);

/* Resumable iteration over a version that the caller holds: trie_iter_next() gives NULL at the end. */
struct trie_iter {
    const struct trie_node *nodes[TRIE_LEVELS + 1];
    uint32_t at[TRIE_LEVELS + 1];
    int32_t depth, base; /* at the end when depth < base */
};
void trie_iter_init(struct trie_iter *iter, const struct trie *trie);
struct shared *trie_iter_next(struct trie_iter *iter);

/* --- sorted array, for few objects: an edit copies the pointers when shared --- */

struct sorted_rep;
struct sorted {
    struct sorted_rep *rep; /* NULL: empty */
};

/* As their counterparts of the trie; positions count from 0. */
struct sorted sorted_share(const struct sorted *sorted);
void sorted_drop(struct sorted *sorted, const struct shared_type *type);
uint32_t sorted_count(const struct sorted *sorted);
struct shared *sorted_at(const struct sorted *sorted, uint32_t i);
struct shared *sorted_get(const struct sorted *sorted, const struct shared_type *type, const void *lookup);
enum err sorted_put(struct sorted *sorted, const struct shared_type *type,
                    struct shared *item); /* as trie_put */
enum err sorted_remove(struct sorted *sorted, const struct shared_type *type, const void *lookup);

#endif
