/* SPDX-License-Identifier: Apache-2.0 */
/* Every message of every API in every version, filled at random: what was encoded decodes, and encodes again
 * to the same bytes. */
#include "proto/kafka/messages.h"
#include "proto/kafka/random.h"
#include "tests/lib/unit.h"

#include <stdio.h>
#include <string.h>

#define ARENA_BYTES  (8u << 20)
#define ROUNDS       40
#define ELEMENTS_MAX 60

struct bench {
    struct arena arena;
    struct writer writer;
};

static void bench_open(struct bench *bench)
{
    arena_init(&bench->arena, NULL, 0, ARENA_BYTES);
    writer_init(&bench->writer, NULL, 256, ARENA_BYTES);
}

static void bench_close(struct bench *bench)
{
    writer_free(&bench->writer);
    arena_free(&bench->arena);
}

static void *random_message(struct bench *bench, size_t index, int16_t version, uint64_t seed)
{
    struct kafka_random x = {.arena = &bench->arena, .elements_left = ELEMENTS_MAX};
    prng_seed(&x.prng, seed);
    void *message = arena_calloc(&bench->arena, 1, kafka_message_types[index].size);
    ck_assert_ptr_nonnull(message);
    kafka_message_random[index](&x, version, message);
    return message;
}

static void encode_random(struct bench *bench, size_t index, int16_t version, uint64_t seed)
{
    const struct kafka_message_type *type = &kafka_message_types[index];
    type->encode(&bench->writer, version, random_message(bench, index, version, seed));
    ck_assert_msg(bench->writer.err == OK, "%s v%d: encode: %s", type->name, version,
                  err_name(bench->writer.err));
    ck_assert_msg(writer_total(&bench->writer) == writer_pos(&bench->writer), "nothing is spliced here");
}

static void *decode_all(struct bench *bench, const struct kafka_message_type *type, int16_t version,
                        const uint8_t *p, size_t len)
{
    struct reader r = reader_over(p, len);
    void *message = arena_alloc(&bench->arena, type->size);
    enum err err = type->decode(&r, &bench->arena, version, message);
    ck_assert_msg(err == OK, "%s v%d: decode: %s", type->name, version, err_name(err));
    ck_assert_msg(reader_left(&r) == 0, "%s v%d: %zu bytes left", type->name, version, reader_left(&r));
    return message;
}

static void check_round_trip(size_t index, int16_t version, uint64_t seed)
{
    const struct kafka_message_type *type = &kafka_message_types[index];
    struct bench first, second;
    bench_open(&first);
    bench_open(&second);
    encode_random(&first, index, version, seed);
    const struct iobuf *bytes = first.writer.buf;
    void *message = decode_all(&second, type, version, bytes ? bytes->data : NULL, writer_pos(&first.writer));
    type->encode(&second.writer, version, message);
    ck_assert_msg(second.writer.err == OK, "%s v%d: encode again", type->name, version);
    ck_assert_uint_eq(writer_pos(&second.writer), writer_pos(&first.writer));
    if (bytes)
        ck_assert_msg(memcmp(bytes->data, second.writer.buf->data, bytes->len) == 0,
                      "%s v%d seed %llu: bytes differ", type->name, version, (unsigned long long)seed);
    bench_close(&second);
    bench_close(&first);
}

START_TEST(random_messages_survive_a_round_trip_in_every_version)
{
    for (size_t i = 0; i < kafka_message_types_count; i++) {
        for (int16_t version = kafka_message_types[i].min; version <= kafka_message_types[i].max; version++) {
            for (uint64_t round = 0; round < ROUNDS; round++)
                check_round_trip(i, version, i * 1000003 + (uint64_t)version * 1009 + round);
        }
    }
}
END_TEST

/* The prefix is copied to memory of exactly its size, so that the address sanitizer sees any read past it. */
static void check_prefix(const struct kafka_message_type *type, int16_t version, const uint8_t *p, size_t len)
{
    struct bench bench;
    bench_open(&bench);
    uint8_t *copy = malloc(len ? len : 1);
    memcpy(copy, p, len);
    struct reader r = reader_over(copy, len);
    void *message = arena_alloc(&bench.arena, type->size);
    enum err err = type->decode(&r, &bench.arena, version, message);
    ck_assert_msg(err != OK, "%s v%d: a prefix of %zu bytes decodes", type->name, version, len);
    free(copy);
    bench_close(&bench);
}

START_TEST(every_strict_prefix_is_refused)
{
    for (size_t i = 0; i < kafka_message_types_count; i++) {
        const struct kafka_message_type *type = &kafka_message_types[i];
        for (int16_t version = type->min; version <= type->max; version++) {
            struct bench bench;
            bench_open(&bench);
            encode_random(&bench, i, version, i + 7);
            size_t len = writer_pos(&bench.writer);
            for (size_t cut = 0; cut < len; cut++)
                check_prefix(type, version, bench.writer.buf->data, cut);
            bench_close(&bench);
        }
    }
}
END_TEST

/* Any result will do, as long as nothing is read or allocated beyond bounds; a message that decodes must
 * encode. */
static void check_flipped(const struct kafka_message_type *type, int16_t version, uint8_t *p, size_t len,
                          struct prng *prng)
{
    struct bench bench;
    bench_open(&bench);
    size_t at = prng_below(prng, len);
    uint8_t before = p[at];
    p[at] = (uint8_t)prng_next(prng);
    struct reader r = reader_over(p, len);
    void *message = arena_alloc(&bench.arena, type->size);
    if (type->decode(&r, &bench.arena, version, message) == OK) {
        type->encode(&bench.writer, version, message);
        ck_assert_msg(bench.writer.err == OK, "%s v%d: decoded but does not encode: %s", type->name, version,
                      err_name(bench.writer.err));
    }
    p[at] = before;
    bench_close(&bench);
}

START_TEST(damaged_messages_are_refused_or_encode_again)
{
    struct prng prng;
    prng_seed(&prng, 42);
    for (size_t i = 0; i < kafka_message_types_count; i++) {
        const struct kafka_message_type *type = &kafka_message_types[i];
        for (int16_t version = type->min; version <= type->max; version++) {
            struct bench bench;
            bench_open(&bench);
            encode_random(&bench, i, version, i + 11);
            size_t len = writer_pos(&bench.writer);
            for (int round = 0; len > 0 && round < 100; round++)
                check_flipped(type, version, bench.writer.buf->data, len, &prng);
            bench_close(&bench);
        }
    }
}
END_TEST

START_TEST(versions_outside_the_range_are_refused)
{
    for (size_t i = 0; i < kafka_message_types_count; i++) {
        const struct kafka_message_type *type = &kafka_message_types[i];
        const int16_t outside[] = {-1, (int16_t)(type->min - 1), (int16_t)(type->max + 1), INT16_MAX};
        for (size_t k = 0; k < sizeof outside / sizeof outside[0]; k++) {
            struct bench bench;
            bench_open(&bench);
            uint8_t zeros[64] = {0};
            struct reader r = reader_over(zeros, sizeof zeros);
            void *message = arena_alloc(&bench.arena, type->size);
            ck_assert_int_eq(type->decode(&r, &bench.arena, outside[k], message), ERR_VERSION);
            type->encode(&bench.writer, outside[k], message);
            ck_assert_int_eq(bench.writer.err, ERR_VERSION);
            bench_close(&bench);
        }
    }
}
END_TEST

static void add(TCase *tcase)
{
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, random_messages_survive_a_round_trip_in_every_version);
    tcase_add_test(tcase, every_strict_prefix_is_refused);
    tcase_add_test(tcase, damaged_messages_are_refused_or_encode_again);
    tcase_add_test(tcase, versions_outside_the_range_are_refused);
}

SLUICE_TEST_MAIN("kafka_roundtrip", add)
