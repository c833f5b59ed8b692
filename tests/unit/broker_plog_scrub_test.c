/* SPDX-License-Identifier: Apache-2.0 */
/* A pass over a log meets every flipped bit, and nothing else. */
#include "broker/log/plog_damage.h"
#include "broker/log/plog_internal.h"
#include "broker/log/plog_scrub.h"
#include "common/base/prng.h"
#include "tests/unit/broker_plog_fixture.h"

#define SEGMENT 60000

static struct plog_fixture f;

static void start(int batches, int value_len)
{
    fixture_start(&f, SEGMENT, 3);
    ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
    for (int i = 0; i < batches; i++) {
        f.epoch = i / 20;
        ck_assert_int_eq(fixture_append(&f, 1 + i % 3, value_len + i % 50), OK);
    }
}

static void read_done(struct env_io *io, enum err err)
{
}

/* Returns how many ranges were found; *ret_bytes: read. */
static int pass(int64_t *ret_bytes)
{
    struct plog_scrub scrub = {0};
    uint64_t offset;
    uint32_t len;
    int found = 0;
    *ret_bytes = 0;
    while (plog_scrub_next(f.log, &scrub, &offset, &len) == OK) {
        struct env_io io;
        struct plog_damage damage;
        int64_t bad;
        uint8_t *bytes = malloc(len);
        env_file_read_async(scrub.file, offset, bytes, len, &io, read_done);
        fixture_run(&f);
        *ret_bytes += len;
        if (plog_scrub_take(f.log, &scrub, bytes, len, &bad) == ERR_CORRUPT) {
            ck_assert_int_eq(plog_damage_search(f.log, bad, &damage), OK);
            ck_assert_int_eq(damage.offset, bad);
            found++;
        }
        free(bytes);
    }
    plog_scrub_end(&scrub);
    return found;
}

START_TEST(a_good_log_is_read_once_and_marked)
{
    int64_t bytes;
    start(300, 300);
    fixture_close(&f, true);
    ck_assert_int_eq(fixture_open(&f, true, 0, 0), OK);
    ck_assert_int_gt(f.log->segments_count, 3);
    ck_assert_int_eq(pass(&bytes), 0);
    ck_assert_int_eq(bytes, (int64_t)plog_size_bytes(f.log));
    for (int32_t i = 0; i < f.log->segments_count; i++)
        ck_assert_uint_eq(plog_ranges_end(&f.log->segments[i].verified, 0), f.log->segments[i].size);
    fixture_stop(&f);
}
END_TEST

/* Any bit of any batch, those outside of the checksum included. */
START_TEST(every_flipped_bit_is_met)
{
    struct prng prng;
    int64_t bytes;
    prng_seed(&prng, (uint64_t)_i);
    start(120, 200);
    for (int round = 0; round < 40; round++) {
        char path[128];
        uint64_t size;
        int32_t s = (int32_t)prng_below(&prng, (uint64_t)f.log->segments_count);
        struct plog_segment *seg = &f.log->segments[s];
        uint8_t *file = mem_env_bytes(f.mem, fixture_path(seg->base_offset, ".log", path), &size);
        uint64_t at = prng_below(&prng, seg->size), bit = prng_below(&prng, 8);
        if (at == seg->size)
            continue;
        file[at] ^= (uint8_t)(1 << bit);
        if (pass(&bytes) != 1)
            ck_abort_msg("segment %d byte %llu bit %llu was not met", s, (unsigned long long)at,
                         (unsigned long long)bit);
        ck_assert_int_eq(pass(&bytes), 0); /* it is known */
        file[at] ^= (uint8_t)(1 << bit);
        f.log->damages_count = 0; /* mended, so to say */
    }
    fixture_stop(&f);
}
END_TEST

/* All that is there is good: a closed segment has lost its last batches (_i: all of them). */
START_TEST(a_segment_without_its_end_is_met)
{
    int64_t bytes, at, next;
    start(300, 300);
    struct plog_segment *seg = &f.log->segments[_i];
    at = seg->base_offset;
    next = seg[1].base_offset;
    char path[128];
    uint64_t size, keep = 0;
    const uint8_t *file = mem_env_bytes(f.mem, fixture_path(at, ".log", path), &size);
    for (int i = 0; i < 10 * _i; i++) {
        at = batch_next_offset(file + keep);
        keep += batch_size(file + keep);
    }
    fixture_close(&f, true);
    mem_env_resize(f.mem, path, keep);
    ck_assert_int_eq(fixture_open(&f, true, 0, 0), OK);
    ck_assert_int_eq(pass(&bytes), 1);
    const struct plog_damage *damage = plog_damage_at(f.log, at, false);
    ck_assert_int_eq(damage->offset, at);
    ck_assert_int_eq(damage->end, next);
    ck_assert_int_eq(pass(&bytes), 0); /* it is known */
    ck_assert_int_eq(bytes, (int64_t)plog_size_bytes(f.log));
    fixture_stop(&f);
}
END_TEST

START_TEST(a_log_that_changes_meanwhile_is_not_misjudged)
{
    struct plog_scrub scrub = {0};
    uint64_t offset;
    uint32_t len;
    int64_t bad, end;
    int steps = 0;
    start(300, 300);
    while (plog_scrub_next(f.log, &scrub, &offset, &len) == OK) {
        size_t got;
        uint8_t *bytes = malloc(len);
        ck_assert_int_eq(env_file_read(scrub.file, offset, bytes, len, &got), OK);
        if (++steps == 2) {
            ck_assert_int_eq(plog_truncate(f.log, plog_start(f.log) + 20, &end), OK);
            f.epoch = 99;
            for (int i = 0; i < 10; i++)
                ck_assert_int_eq(fixture_append(&f, 2, 111), OK);
        }
        ck_assert_int_eq(plog_scrub_take(f.log, &scrub, bytes, len, &bad), OK);
        free(bytes);
    }
    ck_assert_int_ge(steps, 2);
    plog_scrub_end(&scrub);
    fixture_stop(&f);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, a_good_log_is_read_once_and_marked);
    tcase_add_loop_test(tcase, every_flipped_bit_is_met, 0, 6);
    tcase_add_loop_test(tcase, a_segment_without_its_end_is_met, 0, 2);
    tcase_add_test(tcase, a_log_that_changes_meanwhile_is_not_misjudged);
}

SLUICE_TEST_MAIN("broker_plog_scrub", add)
