/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "broker/core/producer_state.h"
#include "common/base/crc32c.h"
#include "common/base/prng.h"
#include "common/base/wire.h"
#include "tests/lib/unit.h"

#define EXPIRY_US 1000

static void *resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
    if (new_size > 0)
        return realloc(old, new_size);
    free(old);
    return NULL;
}

static struct core_alloc alloc = {.resize = resize};

/* A batch of count records whose first has the given sequence; base: its first offset. */
static struct producer_batch batch_of(int64_t id, int16_t epoch, int32_t first, int32_t count, int64_t base)
{
    return (struct producer_batch){.producer_id = id,
                                   .producer_epoch = epoch,
                                   .first_sequence = first,
                                   .last_sequence = producer_sequence_add(first, count - 1),
                                   .offset_delta = count - 1,
                                   .last_offset = base + count - 1,
                                   .timestamp_ms = base * 10};
}

static void update(struct producer_state *state, struct producer_batch batch, uint64_t now_us)
{
    ck_assert_int_eq(producer_state_update(state, &batch, now_us), OK);
    producer_state_check(state);
}

static enum producer_verdict judge(const struct producer_state *state, int64_t id, int16_t epoch,
                                   int32_t first, int32_t count)
{
    struct producer_batch original, batch = batch_of(id, epoch, first, count, 1000);
    return producer_state_judge(state, &batch, &original);
}

START_TEST(every_question_has_kafkas_answer)
{
    static const struct {
        int16_t epoch;
        int32_t first, count;
        enum producer_verdict verdict;
        int64_t original_last;
    } rows[] = {
        /* the last five batches are sequences 10-11, 12-13, ... 18-19 at the same offsets, epoch 3 */
        {3, 20, 2, PRODUCER_APPEND, -1},       {3, 20, 7, PRODUCER_APPEND, -1},
        {3, 18, 2, PRODUCER_DUPLICATE, 19},    {3, 10, 2, PRODUCER_DUPLICATE, 11},
        {3, 8, 2, PRODUCER_OUT_OF_ORDER, -1},  {3, 18, 3, PRODUCER_OUT_OF_ORDER, -1},
        {3, 21, 1, PRODUCER_OUT_OF_ORDER, -1}, {3, 0, 1, PRODUCER_OUT_OF_ORDER, -1},
        {2, 20, 2, PRODUCER_FENCED, -1},       {2, 18, 2, PRODUCER_FENCED, -1},
        {4, 0, 2, PRODUCER_APPEND, -1},        {4, 20, 2, PRODUCER_OUT_OF_ORDER, -1},
    };
    struct producer_state state;
    producer_state_init(&state, &alloc, EXPIRY_US);
    for (int32_t i = 0; i < 10; i++)
        update(&state, batch_of(77, 3, i * 2, 2, i * 2), 1);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct producer_batch original = {.last_offset = -1},
                              batch = batch_of(77, rows[i].epoch, rows[i].first, rows[i].count, 500);
        ck_assert_int_eq(producer_state_judge(&state, &batch, &original), rows[i].verdict);
        ck_assert_int_eq(original.last_offset, rows[i].original_last);
    }
    ck_assert_int_eq(judge(&state, 78, 0, 12345, 1), PRODUCER_APPEND); /* unknown: any sequence */
    producer_state_free(&state);
}
END_TEST

static bool leaves_gap(const struct producer_state *state, int64_t id, int16_t epoch, int32_t first)
{
    struct producer_batch batch = batch_of(id, epoch, first, 1, 1000);
    return producer_state_gap(state, &batch);
}

START_TEST(only_what_lies_ahead_leaves_a_gap)
{
    struct producer_state state;
    producer_state_init(&state, &alloc, EXPIRY_US);
    update(&state, batch_of(77, 3, 10, 2, 0), 1);
    update(&state, batch_of(79, 0, INT32_MAX - 1, 2, 2), 1);
    ck_assert(!leaves_gap(&state, 77, 3, 12));
    ck_assert(leaves_gap(&state, 77, 3, 13));
    ck_assert(!leaves_gap(&state, 77, 3, 10)); /* a duplicate */
    ck_assert(!leaves_gap(&state, 77, 3, 2));
    ck_assert(!leaves_gap(&state, 77, 2, 13)); /* fenced */
    ck_assert(!leaves_gap(&state, 77, 4, 0));
    ck_assert(leaves_gap(&state, 77, 4, 12));
    ck_assert(!leaves_gap(&state, 78, 0, 0));
    ck_assert(leaves_gap(&state, 78, 0, 1));  /* unknown */
    ck_assert(!leaves_gap(&state, 79, 0, 0)); /* numbers have wrapped */
    ck_assert(leaves_gap(&state, 79, 0, 1));
    ck_assert(!leaves_gap(&state, 79, 0, INT32_MAX));
    producer_state_free(&state);
}
END_TEST

START_TEST(sequences_wrap_after_int32_max)
{
    struct producer_state state;
    producer_state_init(&state, &alloc, EXPIRY_US);
    ck_assert_int_eq(producer_sequence_add(INT32_MAX, 1), 0);
    ck_assert_int_eq(producer_sequence_add(INT32_MAX - 1, 1), INT32_MAX);
    ck_assert_int_eq(producer_sequence_add(INT32_MAX - 1, 5), 3);
    update(&state, batch_of(1, 0, INT32_MAX - 1, 4, 0), 1); /* ..., MAX, 0, 1 */
    ck_assert_int_eq(judge(&state, 1, 0, 2, 1), PRODUCER_APPEND);
    ck_assert_int_eq(judge(&state, 1, 0, INT32_MAX - 1, 4), PRODUCER_DUPLICATE);
    ck_assert_int_eq(judge(&state, 1, 0, INT32_MAX, 1), PRODUCER_OUT_OF_ORDER);
    uint8_t snapshot[256];
    ck_assert_uint_le(producer_snapshot_size(&state), sizeof(snapshot));
    producer_snapshot_encode(&state, snapshot);
    ck_assert_int_eq(producer_snapshot_decode(&state, snapshot, producer_snapshot_size(&state), 1), OK);
    ck_assert_int_eq(judge(&state, 1, 0, INT32_MAX - 1, 4), PRODUCER_DUPLICATE);
    producer_state_free(&state);
}
END_TEST

START_TEST(silent_producers_are_forgotten)
{
    struct producer_state state;
    struct producer_batch last;
    producer_state_init(&state, &alloc, EXPIRY_US);
    for (int64_t id = 0; id < 50; id++)
        update(&state, batch_of(id, 0, 0, 1, id), (uint64_t)id);
    ck_assert_uint_eq(state.count, 50);
    for (int i = 0; i < 10; i++) /* a little with each call */
        ck_assert_int_eq(producer_state_reserve(&state, EXPIRY_US + 9), OK);
    ck_assert_uint_eq(state.count, 40);
    producer_state_check(&state);
    ck_assert(!producer_state_last(&state, 9, &last));
    ck_assert(producer_state_last(&state, 10, &last));
    for (int64_t id = 10; id < 50; id++)
        ck_assert(producer_state_last(&state, id, &last) && last.last_offset == id);
    producer_state_free(&state);
}
END_TEST

START_TEST(truncation_takes_batches_back_or_asks_for_a_rebuild)
{
    struct producer_state state;
    struct producer_batch last;
    producer_state_init(&state, &alloc, EXPIRY_US);
    for (int32_t i = 0; i < 4; i++)
        update(&state, batch_of(1, 0, i, 1, i), 1);
    ck_assert(producer_state_truncate(&state, 10));
    ck_assert(producer_state_truncate(&state, 2));
    ck_assert(producer_state_last(&state, 1, &last));
    ck_assert_int_eq(last.last_offset, 1);
    ck_assert_int_eq(judge(&state, 1, 0, 2, 1), PRODUCER_APPEND);
    ck_assert(!producer_state_truncate(&state, 0)); /* what came before these batches is not known */
    producer_state_free(&state);
}
END_TEST

START_TEST(a_snapshot_comes_back_and_damage_is_noticed)
{
    struct producer_state state, back;
    producer_state_init(&state, &alloc, EXPIRY_US);
    producer_state_init(&back, &alloc, EXPIRY_US);
    for (int32_t i = 0; i < 300; i++)
        update(&state, batch_of(i % 37 * 1000003, (int16_t)(i % 3), i, 1 + i % 4, i * 10), (uint64_t)i);
    uint64_t size = producer_snapshot_size(&state);
    uint8_t *bytes = malloc(size);
    producer_snapshot_encode(&state, bytes);
    ck_assert_int_eq(producer_snapshot_decode(&back, bytes, size, 5), OK);
    producer_state_check(&back);
    ck_assert_uint_eq(producer_state_hash(&back), producer_state_hash(&state));
    for (uint64_t i = 0; i < size; i++) {
        bytes[i] ^= 0x10;
        ck_assert_int_ne(producer_snapshot_decode(&back, bytes, size, 5), OK);
        ck_assert_uint_eq(back.count, 0);
        bytes[i] ^= 0x10;
        ck_assert_int_ne(producer_snapshot_decode(&back, bytes, i, 5), OK);
    }
    free(bytes);
    producer_state_free(&state);
    producer_state_free(&back);
}
END_TEST

/* Kafka's own file ends after its entries; written here by hand. */
START_TEST(a_snapshot_of_kafka_is_read)
{
    static const uint8_t entries[] = {
        0,    0,    0,    1,                                        /* one producer */
        0,    0,    0,    0,    0,    0,    0x10, 0x00, 0, 7,       /* id 4096, epoch 7 */
        0,    0,    0,    9,                                        /* last sequence */
        0,    0,    0,    0,    0,    0,    0,    99,   0, 0, 0, 4, /* last offset, delta */
        0,    0,    1,    0x8b, 0xcf, 0xe5, 0x68, 0,                /* timestamp */
        0xff, 0xff, 0xff, 0xff,                                     /* coordinator epoch */
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,             /* no open transaction */
    };
    uint8_t file[6 + sizeof(entries)] = {0, 1};
    struct producer_state state;
    struct producer_batch last;
    uint32_t crc = crc32c(0, entries, sizeof(entries));
    memcpy(file + 6, entries, sizeof(entries));
    store_be32(file + 2, crc);
    producer_state_init(&state, &alloc, EXPIRY_US);
    ck_assert_int_eq(producer_snapshot_decode(&state, file, sizeof(file), 1), OK);
    ck_assert(producer_state_last(&state, 4096, &last));
    ck_assert_int_eq(last.first_sequence, 5);
    ck_assert_int_eq(last.last_sequence, 9);
    ck_assert_int_eq(last.last_offset, 99);
    ck_assert_int_eq(last.producer_epoch, 7);
    file[1] = 2;
    ck_assert_int_eq(producer_snapshot_decode(&state, file, sizeof(file), 1), ERR_VERSION);
    producer_state_free(&state);
}
END_TEST

/* The table against arrays indexed by producer id. */
START_TEST(it_agrees_with_plain_arrays)
{
    struct producer_state state;
    int64_t last_offset[64];
    uint64_t used[64];
    struct prng prng;
    prng_seed(&prng, 99);
    memset(last_offset, -1, sizeof(last_offset));
    memset(used, 0, sizeof(used));
    producer_state_init(&state, &alloc, 400);
    for (int step = 1; step < 5000; step++) {
        uint64_t now = (uint64_t)step;
        int64_t id = (int64_t)prng_below(&prng, 64);
        ck_assert_int_eq(producer_state_reserve(&state, now), OK);
        update(&state, batch_of(id * 7919, 0, (int32_t)step, 1, step), now);
        last_offset[id] = step;
        used[id] = now;
        for (int i = 0; i < 64 && step % 50 == 0; i++) {
            struct producer_batch last;
            bool known = producer_state_last(&state, i * 7919, &last);
            ck_assert(known || used[i] == 0 || used[i] + 400 <= now); /* only silent ones may be gone */
            ck_assert(!known || last.last_offset == last_offset[i]);
        }
    }
    producer_state_free(&state);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, every_question_has_kafkas_answer);
    tcase_add_test(tcase, only_what_lies_ahead_leaves_a_gap);
    tcase_add_test(tcase, sequences_wrap_after_int32_max);
    tcase_add_test(tcase, silent_producers_are_forgotten);
    tcase_add_test(tcase, truncation_takes_batches_back_or_asks_for_a_rebuild);
    tcase_add_test(tcase, a_snapshot_comes_back_and_damage_is_noticed);
    tcase_add_test(tcase, a_snapshot_of_kafka_is_read);
    tcase_add_test(tcase, it_agrees_with_plain_arrays);
}

SLUICE_TEST_MAIN("broker_producer_state", add)
