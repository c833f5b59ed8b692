/* SPDX-License-Identifier: Apache-2.0 */
/* Proposals of moves: what they lead to, and why each is made. */
#include "tests/lib/unit.h"

#include <stdlib.h>
#include <string.h>

#include "client/core/rebalance.h"
#include "common/base/assert.h"

#define BROKERS_MAX    8
#define PARTITIONS_MAX 64
#define REPLICAS_MAX   4

struct rebalance_case {
    const char *name;
    const char *racks;  /* one letter per broker, ids from 1; '-': none, '!': not usable */
    const char *before; /* partitions, as 123;231 */
    const char *after;  /* the same, or NULL: only the properties are looked at */
    const char *why;    /* one letter per partition: . L R C F */
    int32_t moves_max;
};

static const struct rebalance_case cases[] = {
    {"nothing to do", "---", "123;231;312", "123;231;312", "...", 100},
    {"a drained broker is left", "--!-", "123;231", "124;241", "LL", 100},
    {"an unknown broker is left", "---", "19;29;39", NULL, "LLL", 100},
    {"nowhere to go", "--!", "123", "213", ".", 100},
    {"racks are spread", "aabb", "12;21;34;43", NULL, "RRRR", 100},
    {"a rack that is used twice though it need not be", "aab", "123;12", NULL, NULL, 100},
    {"a new broker gets its share", "----", "123;123;123;123", NULL, NULL, 100},
    {"first replicas", "---", "123;123;123", NULL, "FF.", 100},
    {"only so many moves", "----", "1;1;1;1", NULL, NULL, 2},
    {"one replica each", "---", "1;1;1;1;1;1", NULL, NULL, 100},
    {"many", "aabbcc--", "123;123;123;123;123;123;123;123;123;123;124;125;126;127;128;312", NULL, NULL, 100},
};

struct fixture {
    struct rebalance_broker brokers[BROKERS_MAX];
    struct rebalance_partition partitions[PARTITIONS_MAX];
    int32_t ids[PARTITIONS_MAX][REPLICAS_MAX];
    int32_t brokers_count, partitions_count;
};

static void make(struct fixture *f, const char *racks, const char *partitions)
{
    memset(f, 0, sizeof(*f));
    for (const char *r = racks; *r; r++) {
        struct str rack = *r == '-' || *r == '!' ? STR_NULL : (struct str){r, 1};
        f->brokers[f->brokers_count] =
            (struct rebalance_broker){.id = f->brokers_count + 1, .rack = rack, .usable = *r != '!'};
        f->brokers_count++;
    }
    struct rebalance_partition *part = &f->partitions[0];
    *part = (struct rebalance_partition){.topic = STR_LIT("t"), .replicas = f->ids[0]};
    f->partitions_count = 1;
    for (const char *c = partitions; *c; c++) {
        if (*c == ';') {
            part = &f->partitions[f->partitions_count];
            *part = (struct rebalance_partition){
                .topic = STR_LIT("t"), .index = f->partitions_count, .replicas = f->ids[f->partitions_count]};
            f->partitions_count++;
        } else {
            part->replicas[part->replicas_count++] = *c - '0';
        }
    }
}

static void check_partition(const struct fixture *f, const struct rebalance_partition *part, const char *name)
{
    for (int32_t i = 0; i < part->replicas_count; i++) {
        for (int32_t n = 0; n < i; n++)
            ck_assert_msg(part->replicas[i] != part->replicas[n], "%s: a broker twice", name);
        if (part->why == REBALANCE_LEAVES)
            ck_assert_msg(part->replicas[i] <= f->brokers_count && f->brokers[part->replicas[i] - 1].usable,
                          "%s: still on a broker that should be left", name);
    }
}

static void check_why(const struct fixture *f, const struct rebalance_case *c)
{
    static const char letters[] = ".LRCF";
    for (int32_t i = 0; c->why && i < f->partitions_count; i++)
        ck_assert_msg(letters[f->partitions[i].why] == c->why[i], "%s: partition %d moves for %c", c->name, i,
                      letters[f->partitions[i].why]);
}

static void check_after(const struct fixture *f, const struct rebalance_case *c)
{
    struct fixture want;
    if (!c->after)
        return;
    make(&want, c->racks, c->after);
    for (int32_t i = 0; i < f->partitions_count; i++) {
        for (int32_t n = 0; n < f->partitions[i].replicas_count; n++) {
            bool there = false;
            for (int32_t k = 0; k < f->partitions[i].replicas_count; k++)
                there |= f->ids[i][k] == want.ids[i][n];
            ck_assert_msg(there, "%s: partition %d is not on broker %d", c->name, i, want.ids[i][n]);
        }
    }
}

START_TEST(proposals_lead_where_the_table_says)
{
    struct fixture f;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        make(&f, cases[i].racks, cases[i].before);
        int32_t moves =
            rebalance_plan(f.brokers, f.brokers_count, f.partitions, f.partitions_count, cases[i].moves_max);
        ck_assert_int_le(moves, cases[i].moves_max);
        for (int32_t p = 0; p < f.partitions_count; p++)
            check_partition(&f, &f.partitions[p], cases[i].name);
        check_why(&f, &cases[i]);
        check_after(&f, &cases[i]);
        if (moves < cases[i].moves_max) /* what was planned needs no second plan */
            ck_assert_msg(rebalance_plan(f.brokers, f.brokers_count, f.partitions, f.partitions_count, 100) ==
                              0,
                          "%s: a second plan changes the first", cases[i].name);
    }
}
END_TEST

START_TEST(the_spread_is_even)
{
    struct fixture f;
    make(&f, "----", "123;123;123;123;123;123;123;123");
    ck_assert_int_gt(rebalance_plan(f.brokers, f.brokers_count, f.partitions, f.partitions_count, 100), 0);
    for (int32_t i = 0; i < f.brokers_count; i++) {
        ck_assert_int_eq(f.brokers[i].replicas, 6);
        ck_assert_int_eq(f.brokers[i].first, 2);
    }
}
END_TEST

START_TEST(racks_are_all_used)
{
    struct fixture f;
    make(&f, "aabbc", "12;34;12;34;12;34;15");
    rebalance_plan(f.brokers, f.brokers_count, f.partitions, f.partitions_count, 100);
    for (int32_t i = 0; i < f.partitions_count; i++) {
        const struct rebalance_broker *a = &f.brokers[f.ids[i][0] - 1], *b = &f.brokers[f.ids[i][1] - 1];
        ck_assert_msg(!str_eq(a->rack, b->rack), "partition %d has both replicas in one rack", i);
    }
}
END_TEST

static void add(TCase *tc)
{
    tcase_add_test(tc, proposals_lead_where_the_table_says);
    tcase_add_test(tc, the_spread_is_even);
    tcase_add_test(tc, racks_are_all_used);
}

SLUICE_TEST_MAIN("client_rebalance", add)
