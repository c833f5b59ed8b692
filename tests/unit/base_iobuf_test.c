/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/iobuf.h"

#include <pthread.h>
#include <string.h>

#include "tests/lib/unit.h"

#define KEEP_BYTES (1 << 20)

START_TEST(caps_are_the_next_power_of_two_from_256_bytes)
{
    struct iobuf_pool *pool = iobuf_pool_new(KEEP_BYTES);
    static const size_t sizes[][2] = {{0, 256},   {1, 256},     {256, 256},
                                      {257, 512}, {4096, 4096}, {2097152, 2097152}};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct iobuf *buf = iobuf_get(pool, sizes[i][0]);
        ck_assert_uint_eq(buf->cap, sizes[i][1]);
        ck_assert_uint_eq(buf->len, 0);
        ck_assert_uint_eq((uintptr_t)buf->data % 16, 0);
        memset(buf->data, 0x5a, buf->cap);
        iobuf_unref(buf);
    }
    iobuf_pool_drop(pool);
}
END_TEST

START_TEST(steady_use_goes_to_malloc_once)
{
    struct iobuf_pool *pool = iobuf_pool_new(KEEP_BYTES);
    for (int i = 0; i < 100; i++)
        iobuf_unref(iobuf_get(pool, 1000));
    ck_assert_uint_eq(iobuf_pool_mallocs(pool), 1);
    ck_assert_uint_eq(iobuf_pool_bytes_out(pool), 0);
    iobuf_pool_drop(pool);
}
END_TEST

START_TEST(memory_stays_out_until_the_last_reference)
{
    struct iobuf_pool *pool = iobuf_pool_new(KEEP_BYTES);
    struct iobuf *buf = iobuf_get(pool, 300);
    ck_assert_ptr_eq(iobuf_ref(buf), buf);
    iobuf_unref(buf);
    ck_assert_uint_eq(iobuf_pool_bytes_out(pool), 512);
    iobuf_unref(buf);
    ck_assert_uint_eq(iobuf_pool_bytes_out(pool), 0);
    iobuf_pool_drop(pool);
}
END_TEST

START_TEST(kept_memory_is_bounded)
{
    struct iobuf_pool *pool = iobuf_pool_new(1024);
    struct iobuf *a = iobuf_get(pool, 1024), *b = iobuf_get(pool, 1024);
    iobuf_unref(a);
    iobuf_unref(b); /* over the bound: freed */
    a = iobuf_get(pool, 1024);
    b = iobuf_get(pool, 1024);
    ck_assert_uint_eq(iobuf_pool_mallocs(pool), 3);
    iobuf_unref(a);
    iobuf_unref(b);
    iobuf_pool_drop(pool);
}
END_TEST

START_TEST(a_buffer_above_the_largest_class_is_exact_and_not_kept)
{
    struct iobuf_pool *pool = iobuf_pool_new((size_t)1 << 30);
    for (int i = 0; i < 2; i++) {
        struct iobuf *buf = iobuf_get(pool, 3000000);
        ck_assert_uint_eq(buf->cap, 3000000);
        iobuf_unref(buf);
    }
    ck_assert_uint_eq(iobuf_pool_mallocs(pool), 2);
    ck_assert_ptr_null(iobuf_get(pool, (size_t)1 << 32));
    iobuf_pool_drop(pool);
}
END_TEST

START_TEST(buffers_without_a_pool_and_null_work)
{
    struct iobuf *buf = iobuf_get(NULL, 10);
    ck_assert_uint_ge(buf->cap, 10);
    iobuf_unref(buf);
    iobuf_unref(NULL);
    iobuf_pool_drop(NULL);
}
END_TEST

START_TEST(a_buffer_outlives_the_drop_of_its_pool)
{
    struct iobuf_pool *pool = iobuf_pool_new(KEEP_BYTES);
    struct iobuf *a = iobuf_get(pool, 10), *b = iobuf_get(pool, 10);
    iobuf_pool_drop(pool);
    memset(a->data, 1, a->cap);
    iobuf_unref(a);
    memset(b->data, 1, b->cap);
    iobuf_unref(b); /* frees the pool: leak and address checkers watch */
}
END_TEST

static void *unref_all(void *arg)
{
    struct iobuf **bufs = arg;
    for (int i = 0; bufs[i]; i++)
        iobuf_unref(bufs[i]);
    return NULL;
}

START_TEST(a_foreign_threads_last_reference_comes_back_for_reuse)
{
    struct iobuf_pool *pool = iobuf_pool_new(KEEP_BYTES);
    struct iobuf *bufs[9] = {NULL};
    pthread_t thread;
    for (int i = 0; i < 8; i++)
        bufs[i] = iobuf_get(pool, 2000);
    ck_assert_int_eq(pthread_create(&thread, NULL, unref_all, bufs), 0);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(iobuf_pool_bytes_out(pool), 0);
    for (int i = 0; i < 8; i++)
        bufs[i] = iobuf_get(pool, 2000);
    ck_assert_uint_eq(iobuf_pool_mallocs(pool), 8);
    unref_all(bufs);
    iobuf_pool_drop(pool);
}
END_TEST

/* Two threads return buffers while the owner keeps getting and then drops the pool under them. */
START_TEST(returns_race_with_gets_and_with_the_drop)
{
    for (int round = 0; round < 200; round++) {
        struct iobuf_pool *pool = iobuf_pool_new(16384);
        struct iobuf *bufs[2][33] = {{NULL}};
        pthread_t threads[2];
        for (int i = 0; i < 64; i++)
            bufs[i % 2][i / 2] = iobuf_get(pool, 700);
        for (int t = 0; t < 2; t++)
            ck_assert_int_eq(pthread_create(&threads[t], NULL, unref_all, bufs[t]), 0);
        for (int i = 0; i < round; i++)
            iobuf_unref(iobuf_get(pool, 700));
        iobuf_pool_drop(pool);
        for (int t = 0; t < 2; t++)
            pthread_join(threads[t], NULL);
    }
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, caps_are_the_next_power_of_two_from_256_bytes);
    tcase_add_test(tcase, steady_use_goes_to_malloc_once);
    tcase_add_test(tcase, memory_stays_out_until_the_last_reference);
    tcase_add_test(tcase, kept_memory_is_bounded);
    tcase_add_test(tcase, a_buffer_above_the_largest_class_is_exact_and_not_kept);
    tcase_add_test(tcase, buffers_without_a_pool_and_null_work);
    tcase_add_test(tcase, a_buffer_outlives_the_drop_of_its_pool);
    tcase_add_test(tcase, a_foreign_threads_last_reference_comes_back_for_reuse);
    tcase_add_test(tcase, returns_race_with_gets_and_with_the_drop);
}

SLUICE_TEST_MAIN("base_iobuf", add)
