/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/list.h"

#include "common/base/assert.h"
#include "tests/lib/unit.h"

struct item {
    struct list link;
    int value;
};

static int number_of(struct list *head)
{
    int digits = 0;
    list_for_each (it, head)
        digits = digits * 10 + CONTAINER_OF(it, struct item, link)->value;
    return digits;
}

START_TEST(nodes_keep_their_order_at_both_ends)
{
    struct list head;
    struct item a = {.value = 1}, b = {.value = 2}, c = {.value = 3};
    list_init(&head);
    ck_assert(list_empty(&head));
    list_push_back(&head, &b.link);
    list_push_back(&head, &c.link);
    list_push_front(&head, &a.link);
    ck_assert_int_eq(number_of(&head), 123);
}
END_TEST

START_TEST(removing_twice_is_safe_and_iteration_may_remove)
{
    struct list head;
    struct item items[4];
    list_init(&head);
    for (int i = 0; i < 4; i++) {
        items[i].value = i + 1;
        list_push_back(&head, &items[i].link);
    }
    list_remove(&items[1].link);
    list_remove(&items[1].link);
    ck_assert_int_eq(number_of(&head), 134);
    list_for_each_safe (it, tmp, &head)
        list_remove(it);
    ck_assert(list_empty(&head));
}
END_TEST

START_TEST(splice_moves_all_to_the_end)
{
    struct list to, from;
    struct item a = {.value = 1}, b = {.value = 2}, c = {.value = 3};
    list_init(&to);
    list_init(&from);
    list_splice_back(&to, &from);
    ck_assert(list_empty(&to));
    list_push_back(&to, &a.link);
    list_push_back(&from, &b.link);
    list_push_back(&from, &c.link);
    list_splice_back(&to, &from);
    ck_assert_int_eq(number_of(&to), 123);
    ck_assert(list_empty(&from));
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, nodes_keep_their_order_at_both_ends);
    tcase_add_test(tcase, removing_twice_is_safe_and_iteration_may_remove);
    tcase_add_test(tcase, splice_moves_all_to_the_end);
}

SLUICE_TEST_MAIN("base_list", add)
