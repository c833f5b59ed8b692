/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/kafka/random.h"

#include "common/base/assert.h"

#define ARRAY_MAX      3
#define LONG_BYTES_MAX 300 /* above 127, so that lengths of two bytes come up */

uint64_t kafka_random_below(struct kafka_random *x, uint64_t bound)
{
    return prng_below(&x->prng, bound);
}

bool kafka_random_value(struct kafka_random *x)
{
    return !x->skeleton;
}

bool kafka_random_tag(struct kafka_random *x)
{
    return !x->skeleton && kafka_random_bool(x);
}

bool kafka_random_poke(struct kafka_random *x)
{
    if (!x->skeleton || x->poke < 0 || x->poke-- > 0)
        return false;
    x->poked = true;
    return true;
}

int32_t kafka_random_count(struct kafka_random *x, bool nullable)
{
    if (x->skeleton)
        return 1;
    if (nullable && kafka_random_below(x, 4) == 0)
        return -1;
    int32_t count = (int32_t)kafka_random_below(x, ARRAY_MAX + 1);
    count = MIN(count, x->elements_left);
    x->elements_left -= count;
    return count;
}

void *kafka_random_room(struct kafka_random *x, int32_t count, size_t size)
{
    if (count <= 0)
        return NULL;
    void *room = arena_calloc(x->arena, (size_t)count, size);
    ASSERT(room);
    return room;
}

/* Uniform, or near an edge: small, or all ones in a prefix. */
static uint64_t bits(struct kafka_random *x)
{
    uint64_t any = prng_next(&x->prng);
    switch (kafka_random_below(x, 4)) {
    case 0: return any % 4;
    case 1: return UINT64_MAX - any % 4;
    case 2: return any >> (1 + kafka_random_below(x, 63));
    default: return any;
    }
}

bool kafka_random_bool(struct kafka_random *x)
{
    return (prng_next(&x->prng) & 1) != 0;
}

int8_t kafka_random_i8(struct kafka_random *x)
{
    return (int8_t)bits(x);
}

int16_t kafka_random_i16(struct kafka_random *x)
{
    return (int16_t)bits(x);
}

uint16_t kafka_random_u16(struct kafka_random *x)
{
    return (uint16_t)bits(x);
}

int32_t kafka_random_i32(struct kafka_random *x)
{
    return (int32_t)bits(x);
}

uint32_t kafka_random_u32(struct kafka_random *x)
{
    return (uint32_t)bits(x);
}

int64_t kafka_random_i64(struct kafka_random *x)
{
    return (int64_t)bits(x);
}

double kafka_random_f64(struct kafka_random *x)
{
    return (double)kafka_random_i32(x) / 8;
}

struct uuid kafka_random_uuid(struct kafka_random *x)
{
    struct uuid id = {{0}};
    if (kafka_random_below(x, 4) > 0) {
        for (size_t i = 0; i < sizeof id.b; i++)
            id.b[i] = (uint8_t)prng_next(&x->prng);
    }
    return id;
}

struct bytes kafka_random_bytes(struct kafka_random *x, bool nullable)
{
    if (nullable && kafka_random_below(x, 4) == 0)
        return BYTES_NULL;
    uint64_t bound = kafka_random_below(x, 16) == 0 ? LONG_BYTES_MAX : 12;
    int32_t len = (int32_t)kafka_random_below(x, bound);
    uint8_t *p = kafka_random_room(x, len, 1);
    for (int32_t i = 0; i < len; i++)
        p[i] = (uint8_t)prng_next(&x->prng);
    return (struct bytes){p, len};
}

struct str kafka_random_str(struct kafka_random *x, bool nullable)
{
    struct bytes view = kafka_random_bytes(x, nullable);
    return (struct str){(const char *)view.p, view.len};
}

struct kafka_records kafka_random_records(struct kafka_random *x, bool nullable)
{
    struct bytes view = kafka_random_bytes(x, nullable);
    return (struct kafka_records){.p = view.p, .len = view.len};
}

int8_t *kafka_random_i8s(struct kafka_random *x, bool nullable, int32_t *ret_count)
{
    *ret_count = kafka_random_count(x, nullable);
    int8_t *items = kafka_random_room(x, *ret_count, sizeof *items);
    for (int32_t i = 0; i < *ret_count; i++)
        items[i] = kafka_random_i8(x);
    return items;
}

int16_t *kafka_random_i16s(struct kafka_random *x, bool nullable, int32_t *ret_count)
{
    *ret_count = kafka_random_count(x, nullable);
    int16_t *items = kafka_random_room(x, *ret_count, sizeof *items);
    for (int32_t i = 0; i < *ret_count; i++)
        items[i] = kafka_random_i16(x);
    return items;
}

int32_t *kafka_random_i32s(struct kafka_random *x, bool nullable, int32_t *ret_count)
{
    *ret_count = kafka_random_count(x, nullable);
    int32_t *items = kafka_random_room(x, *ret_count, sizeof *items);
    for (int32_t i = 0; i < *ret_count; i++)
        items[i] = kafka_random_i32(x);
    return items;
}

int64_t *kafka_random_i64s(struct kafka_random *x, bool nullable, int32_t *ret_count)
{
    *ret_count = kafka_random_count(x, nullable);
    int64_t *items = kafka_random_room(x, *ret_count, sizeof *items);
    for (int32_t i = 0; i < *ret_count; i++)
        items[i] = kafka_random_i64(x);
    return items;
}

struct str *kafka_random_strs(struct kafka_random *x, bool nullable, int32_t *ret_count)
{
    *ret_count = kafka_random_count(x, nullable);
    struct str *items = kafka_random_room(x, *ret_count, sizeof *items);
    for (int32_t i = 0; i < *ret_count; i++)
        items[i] = kafka_random_str(x, false);
    return items;
}
