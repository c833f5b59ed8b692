/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/arena.h"

#include <string.h>

#include "tests/lib/unit.h"

START_TEST(small_allocations_come_from_the_callers_buffer)
{
    _Alignas(16) uint8_t first[256];
    struct arena arena;
    arena_init(&arena, first, sizeof(first), 1024);
    uint8_t *a = arena_alloc(&arena, 10), *b = arena_alloc(&arena, 10);
    ck_assert_ptr_eq(a, first);
    ck_assert_ptr_eq(b, first + 16);
    ck_assert_ptr_null(arena.blocks);
    arena_free(&arena);
}
END_TEST

START_TEST(every_pointer_is_aligned_to_16_bytes)
{
    uint8_t first[100];
    struct arena arena;
    arena_init(&arena, first + 1, sizeof(first) - 1, 1 << 20);
    for (size_t size = 0; size < 600; size++) {
        void *p = arena_alloc(&arena, size);
        ck_assert_ptr_nonnull(p);
        ck_assert_uint_eq((uintptr_t)p % 16, 0);
        memset(p, 0xee, size);
    }
    arena_free(&arena);
}
END_TEST

START_TEST(cap_bounds_first_and_blocks_together)
{
    uint8_t first[512];
    struct arena arena;
    arena_init(&arena, first, sizeof(first), 8192);
    ck_assert_ptr_null(arena_alloc(&arena, 8192));
    ck_assert_ptr_nonnull(arena_alloc(&arena, 4096));
    ck_assert_ptr_null(arena_alloc(&arena, 4096));
    ck_assert_uint_le(arena.used_bytes, 8192);
    arena_free(&arena);
}
END_TEST

START_TEST(size_zero_gives_distinct_pointers)
{
    struct arena arena;
    arena_init(&arena, NULL, 0, 4096);
    void *a = arena_alloc(&arena, 0), *b = arena_alloc(&arena, 0);
    ck_assert_ptr_nonnull(a);
    ck_assert_ptr_ne(a, b);
    arena_free(&arena);
}
END_TEST

START_TEST(calloc_refuses_an_overflowing_product_and_zeroes)
{
    uint8_t first[64];
    struct arena arena;
    memset(first, 0xff, sizeof(first));
    arena_init(&arena, first, sizeof(first), 4096);
    ck_assert_ptr_null(arena_calloc(&arena, SIZE_MAX / 2, 4));
    uint8_t *p = arena_calloc(&arena, 4, 8);
    for (int i = 0; i < 32; i++)
        ck_assert_uint_eq(p[i], 0);
    arena_free(&arena);
}
END_TEST

START_TEST(reset_returns_to_the_first_buffer)
{
    _Alignas(16) uint8_t first[64];
    struct arena arena;
    arena_init(&arena, first, sizeof(first), 1 << 16);
    ck_assert_ptr_nonnull(arena_copy(&arena, "hello", 6));
    ck_assert_ptr_nonnull(arena_alloc(&arena, 5000));
    ck_assert_ptr_nonnull(arena.blocks);
    arena_reset(&arena);
    ck_assert_ptr_null(arena.blocks);
    ck_assert_ptr_eq(arena_alloc(&arena, 1), first);
    arena_free(&arena);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, small_allocations_come_from_the_callers_buffer);
    tcase_add_test(tcase, every_pointer_is_aligned_to_16_bytes);
    tcase_add_test(tcase, cap_bounds_first_and_blocks_together);
    tcase_add_test(tcase, size_zero_gives_distinct_pointers);
    tcase_add_test(tcase, calloc_refuses_an_overflowing_product_and_zeroes);
    tcase_add_test(tcase, reset_returns_to_the_first_buffer);
}

SLUICE_TEST_MAIN("base_arena", add)
