/* SPDX-License-Identifier: Apache-2.0 */
#include "client/core/group_protocol.h"

#include <string.h>

#include "common/base/assert.h"

#define VERSION          0
#define TOPIC_BYTES_MIN  2 /* a name's length */
#define ASSIGN_BYTES_MIN 6 /* and a count */

static void put_str(struct writer *w, struct str s)
{
    writer_i16(w, (int16_t)s.len);
    writer_raw(w, s.p, (size_t)s.len);
}

static struct str get_str(struct reader *r)
{
    int16_t len = reader_i16(r);
    const uint8_t *p = len >= 0 ? reader_raw(r, (size_t)len) : NULL;

    if (len < 0)
        reader_fail(r, ERR_MALFORMED);
    return p ? (struct str){(const char *)p, len} : STR_LIT("");
}

/* A count of things that take at least min bytes each. */
static int32_t get_count(struct reader *r, size_t min)
{
    int32_t count = reader_i32(r);

    if (count < 0 || (size_t)count > reader_left(r) / min) {
        reader_fail(r, ERR_MALFORMED);
        return 0;
    }
    return count;
}

void group_subscription_encode(struct writer *w, const struct str *topics, int32_t count)
{
    writer_i16(w, VERSION);
    writer_i32(w, count);
    for (int32_t i = 0; i < count; i++)
        put_str(w, topics[i]);
    writer_i32(w, -1); /* user data */
}

void group_assignment_encode(struct writer *w, const struct group_assignment *assignment)
{
    writer_i16(w, VERSION);
    writer_i32(w, assignment->topics_count);
    for (int32_t i = 0; i < assignment->topics_count; i++) {
        const struct group_assigned_topic *topic = &assignment->topics[i];
        put_str(w, topic->topic);
        writer_i32(w, topic->partitions_count);
        for (int32_t k = 0; k < topic->partitions_count; k++)
            writer_i32(w, topic->partitions[k]);
    }
    writer_i32(w, -1);
}

enum err group_subscription_decode(struct bytes bytes, struct arena *arena, struct group_subscription *ret)
{
    struct reader r = reader_over(bytes.p, (size_t)MAX(bytes.len, 0));

    *ret = (struct group_subscription){0};
    reader_i16(&r);
    int32_t count = get_count(&r, TOPIC_BYTES_MIN);
    struct str *topics = arena_calloc(arena, (size_t)count, sizeof(*topics));
    if (!topics)
        return ERR_NOMEM;
    for (int32_t i = 0; i < count; i++)
        topics[i] = get_str(&r);
    if (r.err == OK)
        *ret = (struct group_subscription){topics, count};
    return r.err;
}

static void get_assigned(struct reader *r, struct arena *arena, struct group_assigned_topic *topic)
{
    topic->topic = get_str(r);
    topic->partitions_count = get_count(r, sizeof(int32_t));
    topic->partitions = arena_calloc(arena, (size_t)topic->partitions_count, sizeof(int32_t));
    if (!topic->partitions)
        reader_fail(r, ERR_NOMEM);
    for (int32_t i = 0; topic->partitions && i < topic->partitions_count; i++)
        topic->partitions[i] = reader_i32(r);
}

enum err group_assignment_decode(struct bytes bytes, struct arena *arena, struct group_assignment *ret)
{
    struct reader r = reader_over(bytes.p, (size_t)MAX(bytes.len, 0));

    *ret = (struct group_assignment){0};
    if (bytes.len <= 0)
        return OK;
    reader_i16(&r);
    int32_t count = get_count(&r, ASSIGN_BYTES_MIN);
    struct group_assigned_topic *topics = arena_calloc(arena, (size_t)count, sizeof(*topics));
    if (!topics)
        return ERR_NOMEM;
    for (int32_t i = 0; i < count; i++)
        get_assigned(&r, arena, &topics[i]);
    if (r.err == OK)
        *ret = (struct group_assignment){topics, count};
    return r.err;
}

/* -- the range assignor -- */

static void sort_members(struct group_candidate *members, int32_t count)
{
    for (int32_t i = 1; i < count; i++) {
        struct group_candidate member = members[i];
        int32_t at = i;
        for (; at > 0 && str_cmp(members[at - 1].id, member.id) > 0; at--)
            members[at] = members[at - 1];
        members[at] = member;
    }
}

static bool subscribes(const struct group_candidate *member, struct str topic)
{
    for (int32_t i = 0; i < member->subscription.topics_count; i++)
        if (str_eq(member->subscription.topics[i], topic))
            return true;
    return false;
}

/* Whether member `self` is the first to name its topic number `at`. */
static bool first_to_name(const struct group_candidate *members, int32_t self, int32_t at)
{
    struct str topic = members[self].subscription.topics[at];

    for (int32_t i = 0; i < self; i++)
        if (subscribes(&members[i], topic))
            return false;
    for (int32_t i = 0; i < at; i++)
        if (str_eq(members[self].subscription.topics[i], topic))
            return false;
    return true;
}

static enum err give(struct group_candidate *member, struct str topic, int32_t first, int32_t count,
                     struct arena *arena)
{
    struct group_assignment *assignment = &member->assignment;
    int32_t *partitions = arena_calloc(arena, (size_t)count, sizeof(*partitions));

    if (!assignment->topics)
        assignment->topics =
            arena_calloc(arena, (size_t)member->subscription.topics_count, sizeof(*assignment->topics));
    if (!partitions || !assignment->topics)
        return ERR_NOMEM;
    ASSERT(assignment->topics_count < member->subscription.topics_count);
    for (int32_t i = 0; i < count; i++)
        partitions[i] = first + i;
    assignment->topics[assignment->topics_count++] =
        (struct group_assigned_topic){.topic = topic, .partitions = partitions, .partitions_count = count};
    return OK;
}

static enum err assign_topic(struct group_candidate *members, int32_t count, struct str topic,
                             int32_t partitions, struct arena *arena)
{
    int32_t takers = 0, first = 0, taker = 0;
    enum err err = OK;

    for (int32_t i = 0; i < count; i++)
        takers += subscribes(&members[i], topic);
    for (int32_t i = 0; i < count && err == OK; i++) {
        if (!subscribes(&members[i], topic))
            continue;
        int32_t share = partitions / takers + (taker++ < partitions % takers);
        if (share > 0)
            err = give(&members[i], topic, first, share, arena);
        first += share;
    }
    return err;
}

enum err group_assign_range(struct group_candidate *members, int32_t count, group_partitions_fn *partitions,
                            void *ctx, struct arena *arena)
{
    enum err err = OK;

    sort_members(members, count);
    for (int32_t i = 0; i < count; i++)
        members[i].assignment = (struct group_assignment){0};
    for (int32_t i = 0; i < count; i++)
        for (int32_t k = 0; k < members[i].subscription.topics_count && err == OK; k++) {
            struct str topic = members[i].subscription.topics[k];
            if (first_to_name(members, i, k))
                err = assign_topic(members, count, topic, MAX(partitions(ctx, topic), 0), arena);
        }
    return err;
}
