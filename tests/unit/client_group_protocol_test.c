/* SPDX-License-Identifier: Apache-2.0 */
/* What members of a consumer group tell each other, and who gets what. */
#include <stdio.h>
#include <string.h>

#include "client/core/group_protocol.h"
#include "common/base/assert.h"
#include "tests/lib/unit.h"

static struct arena arena;

/* "t3" has three partitions; "none" none. */
static int32_t partitions_of(void *ctx, struct str topic)
{
    return topic.len == 2 ? topic.p[1] - '0' : 0;
}

/* Members with comma-separated subscriptions; the outcome as "id:topic=p,p;..." in order of ids. */
static const char *assigned(int32_t count, const char *const *subscriptions)
{
    static char text[512];
    struct group_candidate members[4] = {{STR_NULL, {0}, {0}}};
    static const char *const ids[] = {"d", "b", "c", "a"};

    for (int32_t i = 0; i < count; i++) {
        struct str *topics = arena_calloc(&arena, 4, sizeof(*topics));
        const char *at = subscriptions[i];
        int32_t n = 0;
        while (*at) {
            size_t len = strcspn(at, ",");
            topics[n++] = (struct str){at, (int32_t)len};
            at += len + (at[len] == ',');
        }
        members[i] = (struct group_candidate){str_from(ids[i]), {topics, n}, {0}};
    }
    ck_assert_int_eq(group_assign_range(members, count, partitions_of, NULL, &arena), OK);
    text[0] = '\0';
    for (int32_t i = 0; i < count; i++) {
        sprintf(text + strlen(text), "%.*s:", members[i].id.len, members[i].id.p);
        for (int32_t t = 0; t < members[i].assignment.topics_count; t++) {
            const struct group_assigned_topic *topic = &members[i].assignment.topics[t];
            sprintf(text + strlen(text), "%.*s=", topic->topic.len, topic->topic.p);
            for (int32_t p = 0; p < topic->partitions_count; p++)
                sprintf(text + strlen(text), "%d", topic->partitions[p]);
        }
        strcat(text, " ");
    }
    return text;
}

START_TEST(range_gives_neighbours_to_members_in_order)
{
    static const struct {
        int32_t count;
        const char *subscriptions[4];
        const char *expected;
    } rows[] = {
        {1, {"t3"}, "d:t3=012 "},
        {2, {"t3", "t3"}, "b:t3=01 d:t3=2 "},
        {4, {"t3", "t3", "t3", "t3"}, "a:t3=0 b:t3=1 c:t3=2 d: "},
        {2, {"t3,t2", "t3"}, "b:t3=01 d:t3=2t2=01 "},
        {2, {"t2", "t3"}, "b:t3=012 d:t2=01 "},
        {2, {"none", ""}, "b: d: "},
        {3, {"t7", "t7", "t7"}, "b:t7=012 c:t7=34 d:t7=56 "},
        {2, {"t3,t3", "t2"}, "b:t2=01 d:t3=012 "},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        arena_init(&arena, NULL, 0, 1 << 20);
        const char *got = assigned(rows[i].count, rows[i].subscriptions);
        ck_assert_msg(strcmp(got, rows[i].expected) == 0, "row %zu: %s", i, got);
        arena_free(&arena);
    }
}
END_TEST

static struct bytes written(struct writer *w)
{
    ck_assert_int_eq(w->err, OK);
    return (struct bytes){w->buf->data, (int32_t)w->buf->len};
}

START_TEST(subscriptions_and_assignments_are_kafkas)
{
    static const uint8_t subscription[] = {0, 0, 0, 0, 0, 1, 0, 2, 't', '3', 255, 255, 255, 255};
    static const uint8_t assignment[] = {0, 0, 0, 0, 0, 1, 0, 2,   't', '3', 0,
                                         0, 0, 1, 0, 0, 0, 2, 255, 255, 255, 255};
    struct str topic = STR_LIT("t3");
    int32_t partition = 2;
    struct group_assigned_topic one = {topic, &partition, 1};
    struct group_assignment made = {&one, 1}, read;
    struct group_subscription subscribed;
    struct writer w;

    arena_init(&arena, NULL, 0, 1 << 20);
    writer_init(&w, NULL, 64, 1024);
    group_subscription_encode(&w, &topic, 1);
    ck_assert_int_eq(written(&w).len, sizeof(subscription));
    ck_assert_mem_eq(written(&w).p, subscription, sizeof(subscription));
    ck_assert_int_eq(group_subscription_decode(written(&w), &arena, &subscribed), OK);
    ck_assert(subscribed.topics_count == 1 && str_eq(subscribed.topics[0], topic));
    writer_free(&w);
    writer_init(&w, NULL, 64, 1024);
    group_assignment_encode(&w, &made);
    ck_assert_int_eq(written(&w).len, sizeof(assignment));
    ck_assert_mem_eq(written(&w).p, assignment, sizeof(assignment));
    ck_assert_int_eq(group_assignment_decode(written(&w), &arena, &read), OK);
    ck_assert(read.topics_count == 1 && read.topics[0].partitions[0] == 2);
    for (int32_t len = 1; len < (int32_t)sizeof(assignment) - 4; len++)
        ck_assert_int_ne(group_assignment_decode((struct bytes){assignment, len}, &arena, &read), OK);
    ck_assert_int_eq(group_assignment_decode(BYTES_NULL, &arena, &read), OK);
    ck_assert_int_eq(read.topics_count, 0);
    writer_free(&w);
    arena_free(&arena);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, range_gives_neighbours_to_members_in_order);
    tcase_add_test(tcase, subscriptions_and_assignments_are_kafkas);
}

SLUICE_TEST_MAIN("client_group_protocol", add)
