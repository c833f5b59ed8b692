/* SPDX-License-Identifier: Apache-2.0 */
/* Kafka's consumer protocol (ConsumerProtocolSubscription, ConsumerProtocolAssignment): what classic members'
 * bytes hold. Plain fields of fixed width in all versions; later versions only add at the end. */

#include "broker/core/group_consumer.h"
#include "common/base/sort.h"

#define OWNED_VERSION    1
#define NAME_BYTES_LEAST 2

static struct str read_name(struct reader *r)
{
    int16_t len = reader_i16(r);
    const uint8_t *p = len >= 0 ? reader_raw(r, (size_t)len) : NULL;

    return p ? (struct str){(const char *)p, len} : STR_LIT("");
}

/* A count that the bytes left can hold at so many bytes each; -1: no. */
static int32_t read_count(struct reader *r, size_t least)
{
    int32_t count = reader_i32(r);

    if (r->err != OK || count < 0 || (size_t)count > reader_left(r) / least)
        return -1;
    return count;
}

/* One topic and its partitions, those that exist, into set (which has room for `left` / 4 more). */
static bool read_partitions(struct groups *g, struct reader *r, struct tp_set *set)
{
    const struct group_topics *topics = g->settings->topics;
    struct group_topic_view view;
    bool known = topics->by_name(topics->ctx, read_name(r), &view);
    int32_t count = read_count(r, 4);

    for (int32_t i = 0; i < count; i++) {
        int32_t partition = reader_i32(r);
        if (known && partition >= 0 && partition < view.partitions)
            set->v[set->count++] = (struct tp){view.id, partition};
    }
    return count >= 0 && r->err == OK;
}

static bool read_set(struct groups *g, struct reader *r, struct tp_set *ret)
{
    struct tp_set set = {.v = arena_calloc(&g->scratch, reader_left(r) / 4, sizeof(*set.v))};
    int32_t count = read_count(r, NAME_BYTES_LEAST + 4);

    if (!set.v || count < 0)
        return false;
    for (int32_t i = 0; i < count; i++)
        if (!read_partitions(g, r, &set))
            return false;
    tp_set_form(&set);
    *ret = set;
    return true;
}

static int by_str(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

bool protocol_read_subscription(struct groups *g, struct bytes metadata, struct str **ret_topics,
                                int32_t *ret_count, struct tp_set *ret_owned)
{
    struct reader r = reader_over(metadata.p, (size_t)MAX(metadata.len, 0));
    int16_t version = reader_i16(&r);
    int32_t count = read_count(&r, NAME_BYTES_LEAST);
    struct str *topics = count < 0 ? NULL : arena_calloc(&g->scratch, (size_t)count, sizeof(*topics));

    if (!topics || version < 0)
        return false;
    for (int32_t i = 0; i < count; i++)
        topics[i] = read_name(&r);
    int32_t user_data = reader_i32(&r);
    if (user_data > 0)
        reader_raw(&r, (size_t)user_data);
    *ret_owned = (struct tp_set){NULL, 0};
    if (r.err != OK || (version >= OWNED_VERSION && !read_set(g, &r, ret_owned)))
        return false;
    if (count > 1)
        sort_items(topics, (size_t)count, sizeof(*topics), by_str);
    *ret_topics = topics;
    *ret_count = count;
    return true;
}

bool protocol_read_assignment(struct groups *g, struct bytes assignment, struct tp_set *ret)
{
    struct reader r = reader_over(assignment.p, (size_t)MAX(assignment.len, 0));

    *ret = (struct tp_set){NULL, 0};
    if (assignment.len <= 0)
        return true;
    return reader_i16(&r) >= 0 && read_set(g, &r, ret);
}

static void write_topic(struct writer *w, struct str name, const struct tp_set *set, int32_t from,
                        int32_t end)
{
    writer_i16(w, (int16_t)name.len);
    writer_raw(w, name.p, (size_t)name.len);
    writer_i32(w, end - from);
    for (int32_t i = from; i < end; i++)
        writer_i32(w, set->v[i].partition);
}

/* In the version that the member's subscription has. Topics that are gone are left out. */
struct bytes protocol_write_assignment(struct groups *g, struct arena *arena, struct bytes metadata,
                                       const struct tp_set *set)
{
    const struct group_topics *topics = g->settings->topics;
    struct reader r = reader_over(metadata.p, (size_t)MAX(metadata.len, 0));
    int16_t version = reader_i16(&r);
    struct group_topic_view view;
    struct writer w = {0};
    int32_t written = 0;

    writer_reset(&w, NULL, 256, INT32_MAX);
    writer_i16(&w, r.err == OK ? MAX(version, 0) : 0);
    size_t at = writer_pos(&w);
    writer_i32(&w, 0);
    for (int32_t i = 0, end; i < set->count; i = end) {
        end = tp_set_run(set, i);
        if (!topics->by_id(topics->ctx, set->v[i].topic, &view))
            continue;
        write_topic(&w, view.name, set, i, end);
        written++;
    }
    writer_i32(&w, -1); /* no user data */
    ASSERT(w.err == OK);
    writer_patch_i32(&w, at, written);
    void *copy = arena_copy(arena, w.buf->data, writer_pos(&w));
    struct bytes out = copy ? (struct bytes){copy, (int32_t)writer_pos(&w)} : BYTES_NULL;
    writer_free(&w);
    return out;
}
