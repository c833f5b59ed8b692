/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/log/offset_map.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"

#define FILL_PERCENT 75 /* probes stay short */
#define KEYS_MIN     16

STATIC_ASSERT(sizeof(struct offset_slot) == OFFSET_MAP_SLOT_BYTES, "what the budget is counted in");

/* -- SipHash-2-4, 128 bits (Aumasson and Bernstein) -- */

static uint64_t rotl(uint64_t v, int n)
{
    return v << n | v >> (64 - n);
}

static void sip_rounds(uint64_t v[4], int rounds)
{
    while (rounds-- > 0) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotl(v[1], 13) ^ v[0];
        v[3] = rotl(v[3], 16) ^ v[2];
        v[0] = rotl(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = rotl(v[1], 17) ^ v[2];
        v[3] = rotl(v[3], 21) ^ v[0];
        v[2] = rotl(v[2], 32);
    }
}

static void sip_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_rounds(v, 2);
    v[0] ^= word;
}

static uint64_t load_le64(const uint8_t *p, size_t len)
{
    uint64_t word = 0;
    for (size_t i = 0; i < len; i++)
        word |= (uint64_t)p[i] << (8 * i);
    return word;
}

void offset_map_hash(const uint64_t key[2], const void *data, size_t len, uint64_t ret_hash[2])
{
    const uint8_t *p = data;
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d ^ 0xee,
                     key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573};
    size_t left = len;
    for (; left >= 8; left -= 8, p += 8)
        sip_word(v, load_le64(p, 8));
    sip_word(v, (uint64_t)len << 56 | load_le64(p, left));
    v[2] ^= 0xee;
    sip_rounds(v, 4);
    ret_hash[0] = v[0] ^ v[1] ^ v[2] ^ v[3];
    v[1] ^= 0xdd;
    sip_rounds(v, 4);
    ret_hash[1] = v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* -- the table -- */

enum err offset_map_init(struct offset_map *map, uint64_t keys_max, uint64_t budget_bytes,
                         const uint64_t key[2])
{
    uint64_t most = MIN(budget_bytes / OFFSET_MAP_SLOT_BYTES, UINT32_MAX / 2);
    uint64_t cap = MIN(MAX(keys_max, KEYS_MIN), UINT32_MAX / 2) * 100 / FILL_PERCENT + 1;
    cap = MAX(MIN(cap, most), KEYS_MIN);
    *map = (struct offset_map){.cap = (uint32_t)cap, .key = {key[0], key[1]}, .latest = -1};
    map->count_max = (uint32_t)(cap * FILL_PERCENT / 100);
    map->slots = calloc(cap, sizeof(*map->slots));
    return map->slots ? OK : ERR_NOMEM;
}

void offset_map_free(struct offset_map *map)
{
    free(map->slots);
    map->slots = NULL;
}

/* The key's slot, or the empty one where it would go. */
static struct offset_slot *find(const struct offset_map *map, struct bytes key, uint64_t hash[2])
{
    ASSERT(key.len >= 0);
    offset_map_hash(map->key, key.p, (size_t)key.len, hash);
    uint32_t at = (uint32_t)(((hash[0] >> 32) * map->cap) >> 32);
    for (;;) {
        struct offset_slot *slot = &map->slots[at];
        if (slot->offset_plus_1 == 0 || (slot->hash[0] == hash[0] && slot->hash[1] == hash[1]))
            return slot;
        at = at + 1 < map->cap ? at + 1 : 0;
    }
}

bool offset_map_put(struct offset_map *map, struct bytes key, int64_t offset)
{
    uint64_t hash[2];
    ASSERT(offset > map->latest);
    struct offset_slot *slot = find(map, key, hash);
    if (slot->offset_plus_1 == 0) {
        if (map->count == map->count_max)
            return false;
        map->count++;
        slot->hash[0] = hash[0];
        slot->hash[1] = hash[1];
    }
    slot->offset_plus_1 = offset + 1;
    map->latest = offset;
    return true;
}

int64_t offset_map_get(const struct offset_map *map, struct bytes key)
{
    uint64_t hash[2];
    return find(map, key, hash)->offset_plus_1 - 1;
}
