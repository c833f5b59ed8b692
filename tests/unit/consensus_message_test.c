/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "common/base/assert.h"
#include "controller/quorum_message.h"
#include "tests/lib/unit.h"

static const struct uuid directory = {{1, 2, 3, 4}};

static void encode(struct writer *w, const struct quorum_message *m)
{
    writer_init(w, NULL, 64, QUORUM_MESSAGE_MAX);
    quorum_message_encode(w, m);
    ck_assert_int_eq(w->err, OK);
}

static enum err decode(const void *p, size_t len, struct arena *arena, struct quorum_message *ret)
{
    struct reader r = reader_over(p, len);
    arena_init(arena, NULL, 0, 1 << 20);
    enum err err = quorum_message_decode(&r, arena, ret);
    if (err != OK)
        arena_free(arena);
    return err;
}

static struct quorum_message message(enum quorum_message_type type)
{
    return (struct quorum_message){.type = type, .from = 3, .to = 1, .directory_id = directory, .term = 9};
}

/* A sample of each type; entries and data live in static memory. */
static struct quorum_message sample(enum quorum_message_type type)
{
    static struct quorum_entry entries[3];
    static uint8_t config[256];
    static const int32_t voters[3] = {2, 0, 1};
    struct quorum_message m = message(type);
    struct writer w;
    writer_init(&w, NULL, 64, 256);
    quorum_configuration_encode(&w, voters, 3);
    memcpy(config, w.buf->data, w.buf->len);
    entries[0] =
        (struct quorum_entry){.term = 7, .type = QUORUM_ENTRY_COMMAND, .data = {(const uint8_t *)"abc", 3}};
    entries[1] =
        (struct quorum_entry){.term = 8, .type = QUORUM_ENTRY_BARRIER, .data = {(const uint8_t *)"", 0}};
    entries[2] =
        (struct quorum_entry){.term = 9, .type = QUORUM_ENTRY_CHANGE, .data = {config, (int32_t)w.buf->len}};
    writer_free(&w);
    switch (type) {
    case QUORUM_APPEND:
        m.append.prev_index = 41;
        m.append.prev_term = 7;
        m.append.commit = 40;
        m.append.count = 3;
        m.append.entries = entries;
        break;
    case QUORUM_APPEND_RESULT:
        m.append_result.rejected = 5;
        m.append_result.last_index = 4;
        m.append_result.features = 1;
        m.append_result.capacity = 2;
        break;
    case QUORUM_VOTE:
        m.vote.last_index = 12;
        m.vote.last_term = 8;
        m.vote.pre_vote = true;
        break;
    case QUORUM_VOTE_RESULT: m.vote_result.granted = true; break;
    case QUORUM_TIMEOUT_NOW:
        m.timeout_now.last_index = 77;
        m.timeout_now.last_term = 9;
        break;
    case QUORUM_PIECE:
        m.piece.index = 100;
        m.piece.index_term = 8;
        m.piece.offset = 262144;
        m.piece.last = true;
        m.piece.data = (struct bytes){(const uint8_t *)"piece", 5};
        break;
    case QUORUM_PIECE_RESULT:
        m.piece_result.index = 100;
        m.piece_result.index_term = 8;
        m.piece_result.wanted = UINT64_MAX;
        break;
    }
    return m;
}

START_TEST(every_type_comes_back_as_it_went)
{
    for (int type = QUORUM_APPEND; type <= QUORUM_PIECE_RESULT; type++) {
        struct quorum_message m = sample((enum quorum_message_type)type), back;
        struct writer first, second;
        struct arena arena;
        encode(&first, &m);
        ck_assert_int_eq(decode(first.buf->data, first.buf->len, &arena, &back), OK);
        ck_assert_int_eq(back.type, type);
        ck_assert_int_eq(back.from, 3);
        ck_assert_uint_eq(back.term, 9);
        ck_assert(uuid_eq(back.directory_id, directory));
        encode(&second, &back);
        ck_assert_uint_eq(first.buf->len, second.buf->len);
        ck_assert_int_eq(memcmp(first.buf->data, second.buf->data, first.buf->len), 0);
        writer_free(&first);
        writer_free(&second);
        arena_free(&arena);
    }
}
END_TEST

START_TEST(a_message_cut_short_or_with_a_tail_is_refused)
{
    for (int type = QUORUM_APPEND; type <= QUORUM_PIECE_RESULT; type++) {
        struct quorum_message m = sample((enum quorum_message_type)type), back;
        struct writer w;
        struct arena arena;
        encode(&w, &m);
        for (size_t len = 0; len < w.buf->len; len++)
            ck_assert_int_ne(decode(w.buf->data, len, &arena, &back), OK);
        writer_i8(&w, 0);
        ck_assert_int_eq(decode(w.buf->data, w.buf->len, &arena, &back), ERR_MALFORMED);
        writer_free(&w);
    }
}
END_TEST

/* Changes one thing of an AppendEntries and expects a refusal: libraft would not notice. */
static void refuse(void (*change)(struct quorum_message *m))
{
    struct quorum_message m = sample(QUORUM_APPEND), back;
    struct writer w;
    struct arena arena;
    change(&m);
    encode(&w, &m);
    ck_assert_int_ne(decode(w.buf->data, w.buf->len, &arena, &back), OK);
    writer_free(&w);
}

static void term_goes_back(struct quorum_message *m)
{
    m->append.entries[1].term = 6;
}

static void term_from_the_future(struct quorum_message *m)
{
    m->append.entries[2].term = 10;
}

static void entry_of_no_type(struct quorum_message *m)
{
    m->append.entries[0].type = 4;
}

static void term_without_index(struct quorum_message *m)
{
    m->append.prev_index = 0;
}

static void no_term(struct quorum_message *m)
{
    m->term = 0;
}

static void negative_sender(struct quorum_message *m)
{
    m->from = -1;
}

static void broken_configuration(struct quorum_message *m)
{
    m->append.entries[2].data.len -= 8;
}

START_TEST(what_would_break_raft_is_refused)
{
    refuse(term_goes_back);
    refuse(term_from_the_future);
    refuse(entry_of_no_type);
    refuse(term_without_index);
    refuse(no_term);
    refuse(negative_sender);
    refuse(broken_configuration);
    uint8_t lie[128] = {1, QUORUM_APPEND};
    struct arena arena;
    struct quorum_message back;
    store_be32(lie + 2, 3);
    store_be64(lie + 26, 9);
    store_be32(lie + 58, 0xffffffffu); /* four billion entries */
    ck_assert_int_eq(decode(lie, sizeof(lie), &arena, &back), ERR_TOO_LARGE);
}
END_TEST

START_TEST(configurations_are_equal_whatever_the_order_and_checked_to_the_last_byte)
{
    static const int32_t one[3] = {2, 0, 1}, two[3] = {0, 1, 2};
    struct writer a, b;
    writer_init(&a, NULL, 64, 1024);
    writer_init(&b, NULL, 64, 1024);
    quorum_configuration_encode(&a, one, 3);
    quorum_configuration_encode(&b, two, 3);
    ck_assert_uint_eq(a.buf->len, b.buf->len);
    ck_assert_uint_eq(a.buf->len % 8, 0);
    ck_assert_int_eq(memcmp(a.buf->data, b.buf->data, a.buf->len), 0);
    ck_assert(quorum_configuration_valid((struct bytes){a.buf->data, (int32_t)a.buf->len}));
    uint32_t last = 0;
    for (uint32_t i = 0; i < a.buf->len; i++) {
        if (a.buf->data[i] != 0)
            last = i;
    }
    for (uint32_t len = 0; len <= last; len++)
        ck_assert(!quorum_configuration_valid((struct bytes){a.buf->data, (int32_t)len}));
    a.buf->data[a.buf->len - 1] = 1;
    ck_assert(!quorum_configuration_valid((struct bytes){a.buf->data, (int32_t)a.buf->len}));
    a.buf->data[a.buf->len - 1] = 0;
    a.buf->data[9 + 8 + 7 + 1] = 1; /* the second server has the id of the first */
    ck_assert(!quorum_configuration_valid((struct bytes){a.buf->data, (int32_t)a.buf->len}));
    writer_free(&a);
    writer_free(&b);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, every_type_comes_back_as_it_went);
    tcase_add_test(tcase, a_message_cut_short_or_with_a_tail_is_refused);
    tcase_add_test(tcase, what_would_break_raft_is_refused);
    tcase_add_test(tcase, configurations_are_equal_whatever_the_order_and_checked_to_the_last_byte);
}

SLUICE_TEST_MAIN("consensus_message", add)
