/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/map.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"

#define MAP_CAP_MIN 16

void map_init(struct map *map)
{
    *map = (struct map){0};
}

void map_free(struct map *map)
{
    free(map->slots);
    map_init(map);
}

/* Spreads every key bit over the low bits (the finalizer of a 64-bit multiply-xorshift mix). */
static uint64_t mix(uint64_t key)
{
    key ^= key >> 32;
    key *= 0xd6e8feb86659fd93u;
    key ^= key >> 32;
    key *= 0xd6e8feb86659fd93u;
    return key ^ (key >> 32);
}

/* The slot of key, or the empty slot where it would go. The table always has an empty slot. */
static uint32_t find(const struct map *map, uint64_t key)
{
    uint32_t mask = map->cap - 1;
    uint32_t i = (uint32_t)mix(key) & mask;
    while (map->slots[i].value != NULL && map->slots[i].key != key)
        i = (i + 1) & mask;
    return i;
}

void *map_get(const struct map *map, uint64_t key)
{
    return map->count ? map->slots[find(map, key)].value : NULL;
}

static bool grow(struct map *map)
{
    struct map bigger = {.count = map->count, .cap = map->cap ? map->cap * 2 : MAP_CAP_MIN};
    bigger.slots = calloc(bigger.cap, sizeof(*bigger.slots));
    if (!bigger.slots)
        return false;
    for (uint32_t i = 0; i < map->cap; i++)
        if (map->slots[i].value)
            bigger.slots[find(&bigger, map->slots[i].key)] = map->slots[i];
    free(map->slots);
    *map = bigger;
    return true;
}

bool map_put(struct map *map, uint64_t key, void *value)
{
    ASSERT(value != NULL);
    if (((uint64_t)map->count + 1) * 4 > (uint64_t)map->cap * 3 && !grow(map))
        return false;
    struct map_slot *slot = &map->slots[find(map, key)];
    map->count += slot->value == NULL;
    *slot = (struct map_slot){key, value};
    return true;
}

/* Moves later members of the probe run back into the hole, so that no tombstones are needed. */
static void close_hole(struct map *map, uint32_t hole)
{
    uint32_t mask = map->cap - 1;
    for (uint32_t i = (hole + 1) & mask; map->slots[i].value != NULL; i = (i + 1) & mask) {
        uint32_t home = (uint32_t)mix(map->slots[i].key) & mask;
        if (((i - home) & mask) < ((i - hole) & mask))
            continue;
        map->slots[hole] = map->slots[i];
        hole = i;
    }
    map->slots[hole].value = NULL;
}

void *map_remove(struct map *map, uint64_t key)
{
    if (map->count == 0)
        return NULL;
    uint32_t i = find(map, key);
    void *value = map->slots[i].value;
    if (value) {
        close_hole(map, i);
        map->count--;
    }
    return value;
}

bool map_next(const struct map *map, uint32_t *pos, uint64_t *ret_key, void **ret_value)
{
    for (; *pos < map->cap; (*pos)++) {
        const struct map_slot *slot = &map->slots[*pos];
        if (!slot->value)
            continue;
        *ret_key = slot->key;
        *ret_value = slot->value;
        (*pos)++;
        return true;
    }
    return false;
}

struct sip {
    uint64_t a, b, c, d;
};

static inline uint64_t rotl(uint64_t v, int n)
{
    return (v << n) | (v >> (64 - n));
}

static inline void sip_round(struct sip *s)
{
    s->a += s->b;
    s->c += s->d;
    s->b = rotl(s->b, 13) ^ s->a;
    s->d = rotl(s->d, 16) ^ s->c;
    s->a = rotl(s->a, 32);
    s->c += s->b;
    s->a += s->d;
    s->b = rotl(s->b, 17) ^ s->c;
    s->d = rotl(s->d, 21) ^ s->a;
    s->c = rotl(s->c, 32);
}

static inline void sip_word(struct sip *s, uint64_t word)
{
    s->d ^= word;
    sip_round(s);
    s->a ^= word;
}

/* SipHash-1-3 (Aumasson and Bernstein): keyed, so that a peer cannot craft colliding names. */
uint64_t hash_bytes(const void *p, uint64_t len, uint64_t seed)
{
    uint64_t key2 = mix(seed ^ 0x9e3779b97f4a7c15u), word, left = len;
    struct sip s = {seed ^ 0x736f6d6570736575u, key2 ^ 0x646f72616e646f6du, seed ^ 0x6c7967656e657261u,
                    key2 ^ 0x7465646279746573u};
    const uint8_t *at = p;
    for (; left >= 8; at += 8, left -= 8) {
        memcpy(&word, at, 8);
        sip_word(&s, word);
    }
    word = len << 56;
    for (uint64_t i = 0; i < left; i++)
        word |= (uint64_t)at[i] << (8 * i);
    sip_word(&s, word);
    s.c ^= 0xff;
    sip_round(&s);
    sip_round(&s);
    sip_round(&s);
    return s.a ^ s.b ^ s.c ^ s.d;
}
