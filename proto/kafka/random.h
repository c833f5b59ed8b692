/* SPDX-License-Identifier: Apache-2.0 */
/* For tests only (kafka_random_dep): random messages that a given version can carry, the same ones for the
 * same seed. */
#ifndef SLUICE_PROTO_KAFKA_RANDOM_H
#define SLUICE_PROTO_KAFKA_RANDOM_H

#include "common/base/arena.h"
#include "common/base/prng.h"
#include "proto/kafka/codec.h"

/* Memory comes from the arena, which must be large enough: running out asserts. */
struct kafka_random {
    struct prng prng;
    struct arena *arena;
    int32_t elements_left; /* a budget that keeps messages small; arrays are empty when it is used up */
    int32_t poke;  /* with skeleton: the field to set among those that the version lacks, in order, from 0; -1
                      none */
    bool poked;    /* set when that field was met */
    bool skeleton; /* nothing random: one element in each array of structs, every struct present, the rest at
                      defaults */
};

/* Fills m, a struct of the message's type. */
typedef void kafka_random_fn(struct kafka_random *x, int16_t version, void *m);

/* Parallel to kafka_message_types. */
extern kafka_random_fn *const kafka_message_random[];

/* What the generated functions are made of. Extremes of each type come up often; null only where nullable. */
bool kafka_random_value(struct kafka_random *x); /* fill a plain field? */
bool kafka_random_tag(struct kafka_random *x);   /* fill a tagged plain field? */
bool kafka_random_poke(struct kafka_random *x);  /* set this field, which the version lacks? */
uint64_t kafka_random_below(struct kafka_random *x, uint64_t bound);
int32_t kafka_random_count(struct kafka_random *x, bool nullable);
void *kafka_random_room(struct kafka_random *x, int32_t count, size_t size);
bool kafka_random_bool(struct kafka_random *x);
int8_t kafka_random_i8(struct kafka_random *x);
int16_t kafka_random_i16(struct kafka_random *x);
uint16_t kafka_random_u16(struct kafka_random *x);
int32_t kafka_random_i32(struct kafka_random *x);
uint32_t kafka_random_u32(struct kafka_random *x);
int64_t kafka_random_i64(struct kafka_random *x);
double kafka_random_f64(struct kafka_random *x);
struct uuid kafka_random_uuid(struct kafka_random *x);
struct str kafka_random_str(struct kafka_random *x, bool nullable);
struct bytes kafka_random_bytes(struct kafka_random *x, bool nullable);
struct kafka_records kafka_random_records(struct kafka_random *x, bool nullable);
int8_t *kafka_random_i8s(struct kafka_random *x, bool nullable, int32_t *ret_count);
int16_t *kafka_random_i16s(struct kafka_random *x, bool nullable, int32_t *ret_count);
int32_t *kafka_random_i32s(struct kafka_random *x, bool nullable, int32_t *ret_count);
int64_t *kafka_random_i64s(struct kafka_random *x, bool nullable, int32_t *ret_count);
struct str *kafka_random_strs(struct kafka_random *x, bool nullable, int32_t *ret_count);

#endif
