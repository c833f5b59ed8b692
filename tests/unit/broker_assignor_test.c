/* SPDX-License-Identifier: Apache-2.0 */
/* The assignors: tables of what they give, and what holds for anything they give. */
#include <stdio.h>
#include <string.h>

#include "broker/core/assignor.h"
#include "common/base/prng.h"
#include "tests/lib/unit.h"

#define MEMBERS_MAX 12
#define TOPICS_MAX  6

struct input {
    struct arena arena;
    struct assign_topic topics[TOPICS_MAX];
    struct assign_member members[MEMBERS_MAX];
    int32_t subscriptions[MEMBERS_MAX][TOPICS_MAX];
    char ids[MEMBERS_MAX][16];
    struct assignment a;
};

static void input_init(struct input *in, int members, int topics, const int32_t *partitions)
{
    memset(in, 0, sizeof(*in));
    arena_init(&in->arena, NULL, 0, 1 << 24);
    for (int t = 0; t < topics; t++)
        in->topics[t] =
            (struct assign_topic){.id = {{[0] = 1, [15] = (uint8_t)t}}, .partitions = partitions[t]};
    for (int m = 0; m < members; m++) {
        snprintf(in->ids[m], sizeof(in->ids[m]), "m%02d", m);
        in->members[m] = (struct assign_member){
            .id = str_from(in->ids[m]), .instance_id = STR_NULL, .topics = in->subscriptions[m]};
    }
    in->a = (struct assignment){&in->arena, in->topics, topics, in->members, members};
}

/* Bit t: subscribes to topic t. */
static void subscribe(struct input *in, int member, unsigned topics)
{
    in->members[member].topics_count = 0;
    for (int t = 0; t < in->a.topics_count; t++)
        if (topics >> t & 1)
            in->subscriptions[member][in->members[member].topics_count++] = t;
}

/* Runs it, writes "m0:0-0,0-1 m1:..." into text, and makes the answer what was before. */
static void run(struct input *in, const char *assignor, char *text, size_t size)
{
    int at = 0;

    ck_assert(assignor_find(str_from(assignor))(&in->a));
    for (int m = 0; m < in->a.members_count; m++) {
        struct assign_member *member = &in->members[m];
        at += snprintf(text + at, size - (size_t)at, "%s%d:", m ? " " : "", m);
        for (int32_t i = 0; i < member->after.count; i++)
            at += snprintf(text + at, size - (size_t)at, "%s%d-%d", i ? "," : "",
                           member->after.v[i].topic.b[15], member->after.v[i].partition);
        member->before = member->after;
    }
}

struct row {
    const char *assignor;
    int members, topics;
    int32_t partitions[TOPICS_MAX];
    unsigned subscriptions[MEMBERS_MAX];
    const char *expect;
};

static const struct row rows[] = {
    {"uniform", 1, 1, {3}, {1}, "0:0-0,0-1,0-2"},
    {"uniform", 2, 1, {3}, {1, 1}, "0:0-0,0-2 1:0-1"},
    {"uniform", 2, 2, {2, 2}, {3, 3}, "0:0-0,0-1 1:1-0,1-1"},
    {"uniform", 3, 1, {2}, {1, 1, 1}, "0:0-0 1:0-1 2:"},
    {"uniform", 2, 1, {0}, {1, 1}, "0: 1:"},
    {"uniform", 2, 2, {2, 2}, {1, 3}, "0:0-0,0-1 1:1-0,1-1"},
    {"uniform", 2, 2, {4, 1}, {1, 2}, "0:0-0,0-1,0-2,0-3 1:1-0"},
    {"uniform", 2, 1, {2}, {0, 1}, "0: 1:0-0,0-1"},
    {"range", 2, 1, {3}, {1, 1}, "0:0-0,0-1 1:0-2"},
    {"range", 2, 2, {3, 3}, {3, 3}, "0:0-0,0-1,1-0,1-1 1:0-2,1-2"},
    {"range", 3, 1, {2}, {1, 1, 1}, "0:0-0 1:0-1 2:"},
    {"range", 3, 2, {4, 4}, {3, 2, 3}, "0:0-0,0-1,1-0,1-1 1:1-2 2:0-2,0-3,1-3"},
    {"range", 1, 1, {0}, {1}, "0:"},
};

START_TEST(assignors_give_what_the_table_says)
{
    char text[512];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct input in;
        input_init(&in, rows[i].members, rows[i].topics, rows[i].partitions);
        for (int m = 0; m < rows[i].members; m++)
            subscribe(&in, m, rows[i].subscriptions[m]);
        run(&in, rows[i].assignor, text, sizeof(text));
        ck_assert_msg(strcmp(text, rows[i].expect) == 0, "row %zu: %s, not %s", i, text, rows[i].expect);
        arena_free(&in.arena);
    }
}
END_TEST

START_TEST(range_goes_by_instance_ids)
{
    struct input in;
    char text[512];

    input_init(&in, 2, 1, (const int32_t[]){3});
    subscribe(&in, 0, 1);
    subscribe(&in, 1, 1);
    in.members[0].instance_id = STR_LIT("z");
    in.members[1].instance_id = STR_LIT("a");
    run(&in, "range", text, sizeof(text));
    ck_assert_str_eq(text, "0:0-2 1:0-0,0-1");
    arena_free(&in.arena);
}
END_TEST

static int owners_of(const struct input *in, int topic, int32_t partition, bool *ret_subscribed)
{
    struct tp tp = {in->topics[topic].id, partition};
    int owners = 0;

    for (int m = 0; m < in->a.members_count; m++) {
        if (!tp_set_has(&in->members[m].after, tp))
            continue;
        owners++;
        *ret_subscribed = false;
        for (int32_t i = 0; i < in->members[m].topics_count; i++)
            *ret_subscribed = *ret_subscribed || in->subscriptions[m][i] == topic;
    }
    return owners;
}

static void check_owners(const struct input *in)
{
    unsigned wanted = 0;

    for (int m = 0; m < in->a.members_count; m++)
        for (int32_t i = 0; i < in->members[m].topics_count; i++)
            wanted |= 1u << in->subscriptions[m][i];
    for (int t = 0; t < in->a.topics_count; t++) {
        for (int32_t p = 0; p < in->topics[t].partitions; p++) {
            bool subscribed = true;
            ck_assert_int_eq(owners_of(in, t, p, &subscribed), wanted >> t & 1);
            ck_assert(subscribed);
        }
    }
}

/* How many partitions changed hands that could have stayed. */
static int moves(const struct assign_member *members, const struct tp_set *before, int count)
{
    int moved = 0;

    for (int m = 0; m < count; m++)
        for (int32_t i = 0; i < before[m].count; i++)
            moved += !tp_set_has(&members[m].after, before[m].v[i]);
    return moved;
}

START_TEST(each_partition_has_one_subscriber_whatever_comes)
{
    struct prng prng;
    char text[8192];

    prng_seed(&prng, 1);
    for (int round = 0; round < 3000; round++) {
        struct input in;
        int32_t partitions[TOPICS_MAX];
        int members = 1 + (int)prng_below(&prng, MEMBERS_MAX),
            topics = (int)prng_below(&prng, TOPICS_MAX + 1);
        for (int t = 0; t < TOPICS_MAX; t++)
            partitions[t] = (int32_t)prng_below(&prng, 9);
        input_init(&in, members, topics, partitions);
        const char *assignor = round & 1 ? "uniform" : "range";
        for (int step = 0; step < 4; step++) { /* subscriptions change, what was before stays where it can */
            for (int m = 0; m < members; m++)
                subscribe(&in, m, (unsigned)prng_below(&prng, 1u << TOPICS_MAX));
            run(&in, assignor, text, sizeof(text));
            check_owners(&in);
        }
        arena_free(&in.arena);
    }
}
END_TEST

/* Everybody subscribes to everything: shares differ by one at most, and a member that comes or goes moves no
 * more than its share. */
START_TEST(uniform_is_even_and_moves_little)
{
    struct prng prng;
    char text[8192];

    prng_seed(&prng, 2);
    for (int round = 0; round < 2000; round++) {
        struct input in;
        struct tp_set before[MEMBERS_MAX];
        int32_t partitions[TOPICS_MAX] = {0}, total = 0;
        int members = 2 + (int)prng_below(&prng, MEMBERS_MAX - 1);
        for (int t = 0; t < TOPICS_MAX; t++)
            total += partitions[t] = (int32_t)prng_below(&prng, 9);
        input_init(&in, members, TOPICS_MAX, partitions);
        for (int m = 0; m < members; m++)
            subscribe(&in, m, (1u << TOPICS_MAX) - 1);
        in.a.members_count = members - 1;
        run(&in, "uniform", text, sizeof(text));
        for (int m = 0; m < members - 1; m++)
            before[m] = in.members[m].before;
        in.a.members_count = members; /* one more */
        run(&in, "uniform", text, sizeof(text));
        for (int m = 0; m < members; m++)
            ck_assert(in.members[m].after.count == total / members ||
                      in.members[m].after.count == total / members + 1);
        ck_assert_int_eq(moves(in.members, before, members - 1), in.members[members - 1].after.count);
        arena_free(&in.arena);
    }
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, assignors_give_what_the_table_says);
    tcase_add_test(tcase, range_goes_by_instance_ids);
    tcase_add_test(tcase, each_partition_has_one_subscriber_whatever_comes);
    tcase_add_test(tcase, uniform_is_even_and_moves_little);
}

SLUICE_TEST_MAIN("broker_assignor", add)
