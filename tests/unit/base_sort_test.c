/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/sort.h"

#include <string.h>

#include "common/base/prng.h"
#include "tests/lib/unit.h"

struct item {
    int key;
    char rest[93]; /* no multiple of what is swapped at a time */
};

static int by_key(const void *a, const void *b)
{
    const struct item *x = a, *y = b;

    return x->key - y->key;
}

START_TEST(anything_comes_out_in_order_and_whole)
{
    struct item items[130];
    struct prng prng;

    prng_seed(&prng, 1);
    for (size_t count = 0; count < 130; count++) {
        int64_t sum = 0, after = 0;
        for (size_t i = 0; i < count; i++) {
            items[i].key = (int)prng_below(&prng, 50);
            memset(items[i].rest, items[i].key, sizeof(items[i].rest));
            sum += items[i].key;
        }
        sort_items(items, count, sizeof(*items), by_key);
        for (size_t i = 0; i < count; i++) {
            ck_assert(i == 0 || items[i - 1].key <= items[i].key);
            ck_assert_int_eq(items[i].rest[0], items[i].key);
            ck_assert_int_eq(items[i].rest[92], items[i].key);
            after += items[i].key;
        }
        ck_assert_int_eq(sum, after);
    }
    sort_items(NULL, 0, 4, by_key);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, anything_comes_out_in_order_and_whole);
}

SLUICE_TEST_MAIN("base_sort", add)
