/* SPDX-License-Identifier: Apache-2.0 */
/* Replica placement: distinct brokers, distinct racks as far as they go, leaders and replicas spread evenly.
 */
#include "tests/lib/unit.h"

#include <string.h>

#include "common/base/assert.h"
#include "controller/core/ids.h"
#include "controller/core/placement.h"

#define BROKERS_MAX    32
#define PARTITIONS_MAX 200

struct placement_case {
    const char *name;
    const char *racks; /* one letter per broker; '-' is none */
    int32_t partitions, replication_factor;
    int32_t racks_min;    /* different racks each partition must reach */
    int64_t leaders_gap;  /* most that brokers may differ in leaders */
    int64_t replicas_gap; /* and in replicas; -1: racks force a difference */
};

static const struct placement_case cases[] = {
    {"one broker", "-", 5, 1, 1, 0, 0},
    {"three brokers, one rack", "---", 6, 3, 1, 0, 0},
    {"three brokers, three racks", "abc", 7, 2, 2, 1, 1},
    {"more brokers than replicas", "------", 50, 3, 1, 1, 1},
    {"two racks, three replicas", "aabb", 40, 3, 2, 1, 1},
    {"three equal racks", "aabbcc", 60, 3, 3, 1, 1},
    {"unequal racks", "abbbb", 20, 2, 2, 1, -1},
    {"some without a rack", "ab--", 20, 3, 3, 1, -1},
    {"many", "aaaabbbbccccdddd", 200, 3, 3, 1, 1},
    {"fewer partitions than brokers", "abcdef", 2, 2, 2, 1, 1},
};

static int32_t make_brokers(const char *racks, struct placement_broker *brokers)
{
    int32_t count = (int32_t)strlen(racks);
    for (int32_t i = 0; i < count; i++)
        brokers[i] = (struct placement_broker){
            .id = i + 1, .rack = racks[i] == '-' ? STR_NULL : (struct str){racks + i, 1}};
    return count;
}

static int32_t racks_reached(const char *racks, const int32_t *ids, int32_t count)
{
    int32_t reached = 0;
    for (int32_t i = 0; i < count; i++) {
        bool first = true;
        for (int32_t n = 0; n < i; n++)
            first &= racks[ids[n] - 1] != racks[ids[i] - 1];
        reached += first;
    }
    return reached;
}

static void check_spread(const struct placement_case *c, const struct placement_broker *brokers,
                         int32_t count)
{
    int64_t leaders_min = INT64_MAX, leaders_max = 0, replicas_min = INT64_MAX, replicas_max = 0, total = 0;
    for (int32_t i = 0; i < count; i++) {
        leaders_min = MIN(leaders_min, brokers[i].leaders);
        leaders_max = MAX(leaders_max, brokers[i].leaders);
        replicas_min = MIN(replicas_min, brokers[i].replicas);
        replicas_max = MAX(replicas_max, brokers[i].replicas);
        total += brokers[i].replicas;
    }
    ck_assert_int_eq(total, (int64_t)c->partitions * c->replication_factor);
    ck_assert_msg(leaders_max - leaders_min <= c->leaders_gap, "%s: leaders %d..%d", c->name,
                  (int)leaders_min, (int)leaders_max);
    if (c->replicas_gap >= 0)
        ck_assert_msg(replicas_max - replicas_min <= c->replicas_gap, "%s: replicas %d..%d", c->name,
                      (int)replicas_min, (int)replicas_max);
}

START_TEST(replicas_are_distinct_spread_and_rack_aware)
{
    static int32_t ids[PARTITIONS_MAX * 3];
    for (size_t n = 0; n < ARRAY_LEN(cases); n++) {
        const struct placement_case *c = &cases[n];
        struct placement_broker brokers[BROKERS_MAX];
        int32_t count = make_brokers(c->racks, brokers);
        ck_assert_int_eq(placement_place(brokers, count, c->partitions, c->replication_factor, ids), OK);
        for (int32_t i = 0; i < c->partitions; i++) {
            const int32_t *replicas = ids + (ptrdiff_t)i * c->replication_factor;
            ck_assert_msg(ids_distinct(replicas, c->replication_factor), "%s: partition %d", c->name, i);
            ck_assert_msg(racks_reached(c->racks, replicas, c->replication_factor) >= c->racks_min,
                          "%s: racks of %d", c->name, i);
        }
        check_spread(c, brokers, count);
    }
}
END_TEST

START_TEST(too_few_brokers_are_refused)
{
    struct placement_broker brokers[BROKERS_MAX];
    int32_t ids[4], count = make_brokers("ab", brokers);
    ck_assert_int_eq(placement_place(brokers, count, 1, 3, ids), ERR_INVALID);
    ck_assert_int_eq(placement_place(brokers, 0, 1, 1, ids), ERR_INVALID);
    ck_assert_int_eq(brokers[0].replicas, 0);
}
END_TEST

START_TEST(a_topic_is_even_within_itself_whatever_brokers_have_already)
{
    struct placement_broker brokers[BROKERS_MAX];
    int32_t ids[18], count = make_brokers("---", brokers);
    brokers[0].leaders = brokers[0].replicas = 100;
    ck_assert_int_eq(placement_place(brokers, count, 6, 2, ids), OK);
    for (int32_t i = 0; i < count; i++) {
        ck_assert_int_eq(brokers[i].topic_leaders, 2);
        ck_assert_int_ge(brokers[i].topic_replicas, 3);
        ck_assert_int_le(brokers[i].topic_replicas, 5);
    }
}
END_TEST

START_TEST(single_partition_topics_go_where_least_is)
{
    struct placement_broker brokers[BROKERS_MAX];
    int32_t count = make_brokers("---", brokers);
    for (int32_t topic = 0; topic < 9; topic++) {
        int32_t ids[2];
        for (int32_t i = 0; i < count; i++)
            brokers[i].topic_leaders = brokers[i].topic_replicas = 0;
        ck_assert_int_eq(placement_place(brokers, count, 1, 2, ids), OK);
    }
    for (int32_t i = 0; i < count; i++) {
        ck_assert_int_eq(brokers[i].leaders, 3);
        ck_assert_int_eq(brokers[i].replicas, 6);
    }
}
END_TEST

START_TEST(the_followers_of_one_leader_differ)
{
    struct placement_broker brokers[BROKERS_MAX];
    int32_t ids[40 * 2], count = make_brokers("-----", brokers);
    bool follows[BROKERS_MAX + 1] = {false};
    int32_t different = 0;
    ck_assert_int_eq(placement_place(brokers, count, 40, 2, ids), OK);
    for (int32_t i = 0; i < 40; i++)
        follows[ids[i * 2 + 1]] |= ids[i * 2] == 1;
    for (int32_t i = 1; i <= count; i++)
        different += follows[i];
    ck_assert_int_ge(different, 3); /* so that its leaderships do not all fall on one broker when it fails */
}
END_TEST

static void add(TCase *tc)
{
    tcase_add_test(tc, replicas_are_distinct_spread_and_rack_aware);
    tcase_add_test(tc, too_few_brokers_are_refused);
    tcase_add_test(tc, a_topic_is_even_within_itself_whatever_brokers_have_already);
    tcase_add_test(tc, single_partition_topics_go_where_least_is);
    tcase_add_test(tc, the_followers_of_one_leader_differ);
}

SLUICE_TEST_MAIN("controller_placement", add)
