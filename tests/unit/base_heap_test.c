/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/heap.h"

#include "common/base/prng.h"
#include "tests/lib/unit.h"

#define NODES 300

START_TEST(min_comes_out_in_order_of_key)
{
    static const uint64_t keys[] = {5, 1, 4, 2, 3};
    struct heap_node nodes[5] = {{0}};
    struct heap heap;
    heap_init(&heap);
    ck_assert_ptr_null(heap_min(&heap));
    for (int i = 0; i < 5; i++)
        ck_assert(heap_insert(&heap, &nodes[i], keys[i]));
    for (uint64_t want = 1; want <= 5; want++) {
        struct heap_node *min = heap_min(&heap);
        ck_assert_uint_eq(min->key, want);
        heap_remove(&heap, min);
        ck_assert_uint_eq(min->slot, 0);
    }
    ck_assert_ptr_null(heap_min(&heap));
    heap_free(&heap);
}
END_TEST

START_TEST(equal_keys_come_out_in_order_of_insertion)
{
    struct heap_node nodes[100] = {{0}};
    struct heap heap;
    heap_init(&heap);
    for (int i = 0; i < 100; i++)
        ck_assert(heap_insert(&heap, &nodes[i], 7));
    for (int i = 0; i < 100; i++) {
        ck_assert_ptr_eq(heap_min(&heap), &nodes[i]);
        heap_remove(&heap, &nodes[i]);
    }
    heap_free(&heap);
}
END_TEST

START_TEST(removing_a_node_that_is_not_in_the_heap_does_nothing)
{
    struct heap_node in = {0}, out = {0};
    struct heap heap;
    heap_init(&heap);
    ck_assert(heap_insert(&heap, &in, 1));
    heap_remove(&heap, &out);
    ck_assert_uint_eq(heap.count, 1);
    heap_free(&heap);
}
END_TEST

static const struct heap_node *smallest(const struct heap_node *nodes)
{
    const struct heap_node *best = NULL;
    for (int i = 0; i < NODES; i++) {
        const struct heap_node *n = &nodes[i];
        if (n->slot && (!best || n->key < best->key || (n->key == best->key && n->seq < best->seq)))
            best = n;
    }
    return best;
}

START_TEST(random_inserts_and_removals_keep_the_minimum)
{
    struct heap_node nodes[NODES] = {{0}};
    struct heap heap;
    struct prng prng;
    heap_init(&heap);
    prng_seed(&prng, 3);
    for (int step = 0; step < 20000; step++) {
        struct heap_node *node = &nodes[prng_below(&prng, NODES)];
        if (node->slot)
            heap_remove(&heap, node);
        else
            ck_assert(heap_insert(&heap, node, prng_below(&prng, 50)));
        ck_assert_ptr_eq(heap_min(&heap), smallest(nodes));
    }
    heap_free(&heap);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, min_comes_out_in_order_of_key);
    tcase_add_test(tcase, equal_keys_come_out_in_order_of_insertion);
    tcase_add_test(tcase, removing_a_node_that_is_not_in_the_heap_does_nothing);
    tcase_add_test(tcase, random_inserts_and_removals_keep_the_minimum);
}

SLUICE_TEST_MAIN("base_heap", add)
