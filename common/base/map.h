/* SPDX-License-Identifier: Apache-2.0 */
/* Open-addressing hash map from a 64-bit key to a pointer, for hot integer keys. Cold maps by string use
 * uthash in their own .c file. */
#ifndef SLUICE_BASE_MAP_H
#define SLUICE_BASE_MAP_H

#include <stdbool.h>
#include <stdint.h>

struct map_slot {
    uint64_t key;
    void *value; /* NULL: empty */
};

struct map {
    struct map_slot *slots;
    uint32_t count, cap; /* cap is 0 or a power of two */
};

/* An empty map takes no memory. */
void map_init(struct map *map);
void map_free(struct map *map);                     /* values are the caller's */
void *map_get(const struct map *map, uint64_t key); /* NULL when absent */

/* Inserts or replaces; value must not be NULL. Returns false only when memory is out (map unchanged). */
bool map_put(struct map *map, uint64_t key, void *value);
void *map_remove(struct map *map, uint64_t key); /* the removed value, or NULL */

/* Iteration: start with *pos = 0; false at the end. The map must not change meanwhile (except map_remove of
 * the key just given is NOT allowed). */
bool map_next(const struct map *map, uint32_t *pos, uint64_t *ret_key, void **ret_value);

/* 64-bit hash of bytes for string keys; seed against crafted collisions. */
uint64_t hash_bytes(const void *p, uint64_t len, uint64_t seed);

#endif
