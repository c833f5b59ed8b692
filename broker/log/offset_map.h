/* SPDX-License-Identifier: Apache-2.0 */
/* Key -> newest offset, for compaction: 24 bytes a key whatever its length. A key is known by a keyed 128-bit
 * hash (SipHash-2-4 with 128 bits of output, the key drawn at random per map), so that nobody can make two
 * keys collide and one value disappear. Memory is taken once. */
#ifndef SLUICE_BROKER_OFFSET_MAP_H
#define SLUICE_BROKER_OFFSET_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/types.h"

#define OFFSET_MAP_SLOT_BYTES 24

struct offset_slot {
    uint64_t hash[2];
    int64_t offset_plus_1; /* 0: empty */
};

struct offset_map {
    struct offset_slot *slots;
    uint32_t cap, count, count_max;
    uint64_t key[2];
    int64_t latest; /* newest offset put, -1: none */
};

/* Room for keys_max keys, less when that takes more than budget_bytes. ERR_NOMEM. */
enum err offset_map_init(struct offset_map *map, uint64_t keys_max, uint64_t budget_bytes,
                         const uint64_t key[2]);
void offset_map_free(struct offset_map *map);

/* Offsets must rise from call to call. False: the map is full, the key is not in; latest says how far it got.
 */
bool offset_map_put(struct offset_map *map, struct bytes key, int64_t offset);

/* Newest offset of the key, -1: unknown. */
int64_t offset_map_get(const struct offset_map *map, struct bytes key);

/* The hash itself, for its test. */
void offset_map_hash(const uint64_t key[2], const void *p, size_t len, uint64_t ret_hash[2]);

#endif
