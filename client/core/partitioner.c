/* SPDX-License-Identifier: Apache-2.0 */
/* Where a record with a key goes: the same partition that every other Kafka client chooses for it. */
#include "client/core/client.h"

#define MURMUR2_SEED  0x9747b28cu /* Kafka's */
#define MURMUR2_MIX   0x5bd1e995u
#define MURMUR2_SHIFT 24

static uint32_t mix(uint32_t k)
{
    k *= MURMUR2_MIX;
    k ^= k >> MURMUR2_SHIFT;
    return k * MURMUR2_MIX;
}

static uint32_t word_le(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint32_t client_murmur2(const void *data, size_t len)
{
    const uint8_t *p = data;
    uint32_t h = MURMUR2_SEED ^ (uint32_t)len;
    size_t tail = len % 4;
    for (const uint8_t *end = p + (len - tail); p < end; p += 4)
        h = h * MURMUR2_MIX ^ mix(word_le(p));
    if (tail > 0) {
        for (size_t i = 0; i < tail; i++)
            h ^= (uint32_t)p[i] << (8 * i);
        h *= MURMUR2_MIX;
    }
    h ^= h >> 13;
    h *= MURMUR2_MIX;
    return h ^ h >> 15;
}

int32_t client_key_partition(struct bytes key, int32_t partitions)
{
    uint32_t hash = client_murmur2(key.p, (size_t)key.len);
    return (int32_t)((hash & INT32_MAX) % (uint32_t)partitions);
}
