/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/map.h"

#include <string.h>

#include "common/base/prng.h"
#include "tests/lib/unit.h"

#define KEYS 512

START_TEST(an_empty_map_has_nothing)
{
    struct map map;
    uint32_t pos = 0;
    uint64_t key;
    void *value;
    map_init(&map);
    ck_assert_ptr_null(map_get(&map, 0));
    ck_assert_ptr_null(map_remove(&map, 0));
    ck_assert(!map_next(&map, &pos, &key, &value));
    map_free(&map);
}
END_TEST

START_TEST(put_replaces_and_counts_once)
{
    struct map map;
    int a, b;
    map_init(&map);
    ck_assert(map_put(&map, 7, &a));
    ck_assert(map_put(&map, 7, &b));
    ck_assert_uint_eq(map.count, 1);
    ck_assert_ptr_eq(map_get(&map, 7), &b);
    ck_assert_ptr_eq(map_remove(&map, 7), &b);
    ck_assert_uint_eq(map.count, 0);
    map_free(&map);
}
END_TEST

/* A plain array is the model; thousands of random puts and removals must agree with it at every step. */
START_TEST(random_operations_agree_with_a_model)
{
    static char values[KEYS];
    bool present[KEYS] = {false};
    struct map map;
    struct prng prng;
    map_init(&map);
    prng_seed(&prng, 42);
    for (int step = 0; step < 200000; step++) {
        uint32_t i = (uint32_t)prng_below(&prng, KEYS);
        uint64_t key = (uint64_t)i << (i % 3 * 16); /* patterns that collide in their low bits */
        if (prng_next(&prng) & 1) {
            ck_assert(map_put(&map, key * 3 + i % 3, &values[i]));
            present[i] = true;
        } else {
            ck_assert_ptr_eq(map_remove(&map, key * 3 + i % 3), present[i] ? &values[i] : NULL);
            present[i] = false;
        }
        uint32_t j = (uint32_t)prng_below(&prng, KEYS);
        ck_assert_ptr_eq(map_get(&map, ((uint64_t)j << (j % 3 * 16)) * 3 + j % 3),
                         present[j] ? &values[j] : NULL);
    }
    map_free(&map);
}
END_TEST

START_TEST(iteration_visits_each_entry_once)
{
    static char seen[1000];
    struct map map;
    uint32_t pos = 0, visited = 0;
    uint64_t key;
    void *value;
    map_init(&map);
    for (uint64_t k = 0; k < 1000; k++)
        ck_assert(map_put(&map, k, &seen[k]));
    while (map_next(&map, &pos, &key, &value)) {
        ck_assert_ptr_eq(value, &seen[key]);
        ck_assert_int_eq(seen[key]++, 0);
        visited++;
    }
    ck_assert_uint_eq(visited, 1000);
    map_free(&map);
}
END_TEST

START_TEST(string_hash_depends_on_every_byte_length_and_seed)
{
    uint8_t data[32] = {0};
    uint64_t base = hash_bytes(data, 17, 1);
    ck_assert_uint_eq(hash_bytes(data, 17, 1), base);
    ck_assert_uint_ne(hash_bytes(data, 17, 2), base);
    ck_assert_uint_ne(hash_bytes(data, 16, 1), base);
    for (int i = 0; i < 17; i++) {
        data[i] = 1;
        ck_assert_uint_ne(hash_bytes(data, 17, 1), base);
        data[i] = 0;
    }
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, an_empty_map_has_nothing);
    tcase_add_test(tcase, put_replaces_and_counts_once);
    tcase_add_test(tcase, random_operations_agree_with_a_model);
    tcase_add_test(tcase, iteration_visits_each_entry_once);
    tcase_add_test(tcase, string_hash_depends_on_every_byte_length_and_seed);
}

SLUICE_TEST_MAIN("base_map", add)
