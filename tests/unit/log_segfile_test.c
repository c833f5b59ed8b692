/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/log/segfile.h"
#include "tests/lib/mem_env.h"
#include "tests/lib/unit.h"

#define PATH "/d/file"

static const struct segfile_limits limits = {.frame_max = 70000, .allocate_bytes = 0};
static const struct segfile_limits limits_ahead = {.frame_max = 70000, .allocate_bytes = 8192};
static const struct segfile_info info = {.kind = SEGFILE_TEST, .a = 7, .b = 9};

struct fixture {
    struct mem_world *world;
    struct mem_env *m;
    struct env *env;
};

static struct fixture setup(void)
{
    struct fixture f;
    f.world = mem_world_new(1);
    f.m = mem_env_new(f.world);
    f.env = mem_env_env(f.m);
    ck_assert_int_eq(env_mkdir(f.env, "/d"), OK);
    return f;
}

struct seen {
    uint64_t count, sum;
    uint64_t offsets[64];
};

static enum err see(void *ctx, const struct segframe *frame)
{
    struct seen *seen = ctx;
    ck_assert_uint_eq(frame->a, seen->count);
    ck_assert_uint_eq(frame->b, seen->count * 3);
    for (uint32_t i = 0; i < frame->len; i++)
        ck_assert_uint_eq(((const uint8_t *)frame->data)[i], (uint8_t)(seen->count + i + 1));
    if (seen->count < ARRAY_LEN(seen->offsets))
        seen->offsets[seen->count] = frame->offset;
    seen->count++;
    seen->sum += frame->len;
    return OK;
}

static void put(struct segfile *sf, uint64_t number, uint32_t len)
{
    uint8_t data[2000];
    ASSERT(len <= sizeof(data));
    for (uint32_t i = 0; i < len; i++)
        data[i] = (uint8_t)(number + i + 1);
    struct segframe frame = {.type = 1, .a = number, .b = number * 3, .data = data, .len = len};
    ck_assert_int_eq(segfile_append(sf, &frame, 1), OK);
}

/* Scans PATH anew. */
static struct segfile_tail scan(struct fixture *f, struct seen *seen)
{
    struct segfile sf;
    struct segfile_tail tail;
    *seen = (struct seen){0};
    ck_assert_int_eq(segfile_open(f->env, PATH, true, SEGFILE_TEST, &limits, &sf), OK);
    ck_assert_int_eq(segfile_scan(&sf, see, seen, &tail), OK);
    segfile_close(&sf);
    return tail;
}

START_TEST(frames_come_back_in_order_whatever_their_size)
{
    struct fixture f = setup();
    struct segfile sf;
    struct seen seen;
    ck_assert_int_eq(segfile_create(f.env, PATH, &info, &limits_ahead, &sf), OK);
    for (uint64_t i = 0; i < 300; i++)
        put(&sf, i, (uint32_t)(i * 7 % 1500));
    uint64_t end = sf.size;
    segfile_close(&sf);
    struct segfile_tail tail = scan(&f, &seen);
    ck_assert_uint_eq(seen.count, 300);
    ck_assert_int_eq(tail.kind, SEGTAIL_CLEAN);
    ck_assert_uint_eq(tail.end, end);
    ck_assert_int_eq(segfile_open(f.env, PATH, true, SEGFILE_TEST, &limits, &sf), OK);
    ck_assert_uint_eq(sf.info.a, 7);
    ck_assert_uint_eq(sf.info.b, 9);
    segfile_close(&sf);
    ck_assert_int_eq(segfile_open(f.env, PATH, true, SEGFILE_MANIFEST, &limits, &sf), ERR_MISMATCH);
    ck_assert_int_eq(segfile_create(f.env, PATH, &info, &limits, &sf), ERR_EXISTS);
    mem_world_free(f.world);
}
END_TEST

START_TEST(a_file_cut_at_any_byte_gives_a_prefix_and_can_be_continued)
{
    struct fixture f = setup();
    struct segfile sf;
    struct seen all, seen;
    ck_assert_int_eq(segfile_create(f.env, PATH, &info, &limits, &sf), OK);
    for (uint64_t i = 0; i < 12; i++)
        put(&sf, i, (uint32_t)(i * 5));
    uint64_t end = sf.size;
    segfile_close(&sf);
    scan(&f, &all);
    struct mem_disk *disk = mem_env_save(f.m);
    for (uint64_t size = SEGFILE_HEADER_SIZE; size <= end; size++) {
        mem_env_restore(f.m, disk);
        mem_env_resize(f.m, PATH, size);
        struct segfile_tail tail = scan(&f, &seen);
        uint64_t whole = 0;
        while (whole < 12 && (whole + 1 < 12 ? all.offsets[whole + 1] : end) <= size)
            whole++;
        ck_assert_uint_eq(seen.count, whole);
        ck_assert_int_ne(tail.kind, SEGTAIL_DAMAGED);
        ck_assert_int_eq(segfile_open(f.env, PATH, true, SEGFILE_TEST, &limits, &sf), OK);
        ck_assert_int_eq(segfile_scan(&sf, see, &(struct seen){0}, &tail), OK);
        ck_assert_int_eq(segfile_cut_wait(&sf), OK);
        put(&sf, whole, 33);
        segfile_close(&sf);
        tail = scan(&f, &seen);
        ck_assert_uint_eq(seen.count, whole + 1);
        ck_assert_int_eq(tail.kind, SEGTAIL_CLEAN);
    }
    mem_disk_free(disk);
    mem_world_free(f.world);
}
END_TEST

START_TEST(a_short_or_empty_header_is_a_file_that_never_stood)
{
    struct fixture f = setup();
    struct segfile sf;
    ck_assert_int_eq(segfile_create(f.env, PATH, &info, &limits, &sf), OK);
    segfile_close(&sf);
    for (uint64_t size = 0; size < SEGFILE_HEADER_SIZE; size++) {
        mem_env_resize(f.m, PATH, size);
        ck_assert_int_eq(segfile_open(f.env, PATH, true, SEGFILE_TEST, &limits, &sf), ERR_TRUNCATED);
        mem_env_resize(f.m, PATH, 0);
    }
    mem_env_resize(f.m, PATH, 4096);
    ck_assert_int_eq(segfile_open(f.env, PATH, true, SEGFILE_TEST, &limits, &sf), ERR_TRUNCATED);
    mem_world_free(f.world);
}
END_TEST

START_TEST(a_flipped_bit_before_a_good_frame_is_damage)
{
    struct fixture f = setup();
    struct segfile sf;
    struct seen seen;
    uint64_t size;
    ck_assert_int_eq(segfile_create(f.env, PATH, &info, &limits, &sf), OK);
    for (uint64_t i = 0; i < 6; i++)
        put(&sf, i, 21);
    segfile_close(&sf);
    scan(&f, &seen);
    uint64_t last = seen.offsets[5];
    for (uint64_t at = SEGFILE_HEADER_SIZE; at < last; at++) {
        if ((at - SEGFILE_HEADER_SIZE) % segfile_frame_size(21) >= SEGFRAME_HEADER_SIZE + 21)
            continue; /* padding carries nothing */
        mem_env_bytes(f.m, PATH, &size)[at] ^= 0x10;
        struct segfile_tail tail = scan(&f, &seen);
        ck_assert_int_eq(tail.kind, SEGTAIL_DAMAGED);
        ck_assert_uint_eq(seen.count, (at - SEGFILE_HEADER_SIZE) / segfile_frame_size(21));
        mem_env_bytes(f.m, PATH, &size)[at] ^= 0x10;
    }
    for (uint64_t at = 0; at < SEGFILE_HEADER_SIZE; at++) {
        mem_env_bytes(f.m, PATH, &size)[at] ^= 0x01;
        ck_assert_int_eq(segfile_open(f.env, PATH, true, SEGFILE_TEST, &limits, &sf), ERR_CORRUPT);
        mem_env_bytes(f.m, PATH, &size)[at] ^= 0x01;
    }
    mem_world_free(f.world);
}
END_TEST

START_TEST(a_bad_last_frame_is_torn_unless_a_witness_says_it_was_durable)
{
    struct fixture f = setup();
    struct segfile sf;
    struct seen seen;
    uint64_t size;
    ck_assert_int_eq(segfile_create(f.env, PATH, &info, &limits, &sf), OK);
    for (uint64_t i = 0; i < 4; i++)
        put(&sf, i, 21);
    uint64_t last = sf.size - 60;
    mem_env_bytes(f.m, PATH, &size)[last] ^= 1;
    ck_assert_int_eq(scan(&f, &seen).kind, SEGTAIL_TORN);
    ck_assert_uint_eq(seen.count, 3);
    mem_env_bytes(f.m, PATH, &size)[last] ^= 1;
    segfile_synced(&sf, sf.size);
    ck_assert_int_eq(segfile_note(&sf), OK);
    uint64_t noted = sf.size;
    ck_assert_int_eq(segfile_note(&sf), OK);
    ck_assert_uint_eq(sf.size, noted);
    ck_assert_int_eq(scan(&f, &seen).kind, SEGTAIL_CLEAN);
    ck_assert_uint_eq(seen.count, 4);
    mem_env_bytes(f.m, PATH, &size)[last] ^= 1;
    ck_assert_int_eq(scan(&f, &seen).kind, SEGTAIL_DAMAGED);
    segfile_close(&sf);
    mem_world_free(f.world);
}
END_TEST

START_TEST(lost_unsynced_sectors_before_kept_ones_are_a_torn_tail)
{
    int torn = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct mem_world *world = mem_world_new(seed);
        struct fixture f = {.world = world, .m = mem_env_new(world)};
        struct segfile sf;
        struct seen seen;
        f.env = mem_env_env(f.m);
        env_mkdir(f.env, "/d");
        ck_assert_int_eq(segfile_create(f.env, PATH, &info, seed % 2 ? &limits : &limits_ahead, &sf), OK);
        uint64_t durable = seed % 9;
        for (uint64_t i = 0; i < 20; i++) {
            if (i == durable) {
                ck_assert_int_eq(env_file_sync_wait(sf.file), OK);
                ck_assert_int_eq(env_dir_sync_wait(f.env, "/d"), OK);
                segfile_synced(&sf, sf.size);
            }
            put(&sf, i, (uint32_t)(seed * i % 1400));
        }
        mem_env_crash(f.m, MEM_MIX);
        segfile_close(&sf);
        mem_env_restart(f.m);
        struct segfile_tail tail = scan(&f, &seen);
        ck_assert_int_ne(tail.kind, SEGTAIL_DAMAGED);
        ck_assert_uint_ge(seen.count, durable);
        torn += tail.valid_after != 0;
        mem_world_free(world);
    }
    ck_assert_int_gt(torn, 10); /* the case itself must have come up */
}
END_TEST

START_TEST(a_failed_write_is_final)
{
    struct fixture f = setup();
    struct segfile sf;
    struct segframe frame = {.type = 1, .data = "x", .len = 1};
    ck_assert_int_eq(segfile_create(f.env, PATH, &info, &limits, &sf), OK);
    struct segframe big = {.type = 1, .data = "", .len = limits.frame_max + 1};
    ck_assert_int_eq(segfile_append(&sf, &big, 1), ERR_TOO_LARGE);
    mem_env_fail_write_after(f.m, 1);
    ck_assert_int_eq(segfile_append(&sf, &frame, 1), ERR_IO);
    mem_env_restart(f.m);
    ck_assert_int_eq(segfile_append(&sf, &frame, 1), ERR_IO);
    segfile_close(&sf);
    mem_world_free(f.world);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, frames_come_back_in_order_whatever_their_size);
    tcase_add_test(tcase, a_file_cut_at_any_byte_gives_a_prefix_and_can_be_continued);
    tcase_add_test(tcase, a_short_or_empty_header_is_a_file_that_never_stood);
    tcase_add_test(tcase, a_flipped_bit_before_a_good_frame_is_damage);
    tcase_add_test(tcase, a_bad_last_frame_is_torn_unless_a_witness_says_it_was_durable);
    tcase_add_test(tcase, lost_unsynced_sectors_before_kept_ones_are_a_torn_tail);
    tcase_add_test(tcase, a_failed_write_is_final);
}

SLUICE_TEST_MAIN("log_segfile", add)
