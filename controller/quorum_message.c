/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/quorum_message.h"

#include <stdio.h>
#include <string.h>

#include "common/base/assert.h"

#define MESSAGE_VERSION 1
#define ENTRY_SIZE_MIN  13u /* term, type, length */
#define CONFIG_FORMAT   1   /* first byte of libraft's configuration */
#define CONFIG_ROLES    3   /* stand-by, voter, spare */
#define CONFIG_VOTER    1

static void put_u64(struct writer *w, uint64_t v)
{
    writer_i64(w, (int64_t)v);
}

static uint64_t get_u64(struct reader *r)
{
    return (uint64_t)reader_i64(r);
}

/* -- encoding -- */

static void encode_append(struct writer *w, const struct quorum_message *m)
{
    put_u64(w, m->append.prev_index);
    put_u64(w, m->append.prev_term);
    put_u64(w, m->append.commit);
    writer_u32(w, m->append.count);
    for (uint32_t i = 0; i < m->append.count; i++) {
        const struct quorum_entry *entry = &m->append.entries[i];
        put_u64(w, entry->term);
        writer_i8(w, (int8_t)entry->type);
        writer_i32(w, entry->data.len);
        writer_raw(w, entry->data.p, (size_t)entry->data.len);
    }
}

static void encode_append_result(struct writer *w, const struct quorum_message *m)
{
    put_u64(w, m->append_result.rejected);
    put_u64(w, m->append_result.last_index);
    writer_u16(w, m->append_result.features);
    writer_u16(w, m->append_result.capacity);
}

static void encode_vote(struct writer *w, const struct quorum_message *m)
{
    put_u64(w, m->vote.last_index);
    put_u64(w, m->vote.last_term);
    writer_bool(w, m->vote.disrupt_leader);
    writer_bool(w, m->vote.pre_vote);
}

static void encode_vote_result(struct writer *w, const struct quorum_message *m)
{
    writer_bool(w, m->vote_result.granted);
    writer_bool(w, m->vote_result.pre_vote);
    writer_u16(w, m->vote_result.features);
    writer_u16(w, m->vote_result.capacity);
}

static void encode_timeout_now(struct writer *w, const struct quorum_message *m)
{
    put_u64(w, m->timeout_now.last_index);
    put_u64(w, m->timeout_now.last_term);
}

static void encode_piece(struct writer *w, const struct quorum_message *m)
{
    put_u64(w, m->piece.index);
    put_u64(w, m->piece.index_term);
    put_u64(w, m->piece.offset);
    writer_bool(w, m->piece.last);
    writer_i32(w, m->piece.data.len);
    writer_raw(w, m->piece.data.p, (size_t)m->piece.data.len);
}

static void encode_piece_result(struct writer *w, const struct quorum_message *m)
{
    put_u64(w, m->piece_result.index);
    put_u64(w, m->piece_result.index_term);
    put_u64(w, m->piece_result.wanted);
}

/* -- decoding -- */

static struct bytes get_bytes(struct reader *r)
{
    int32_t len = reader_i32(r);
    if (len < 0 || (size_t)len > reader_left(r)) {
        reader_fail(r, len < 0 ? ERR_MALFORMED : ERR_TRUNCATED);
        return (struct bytes){NULL, 0};
    }
    return (struct bytes){reader_raw(r, (size_t)len), len};
}

static void decode_entry(struct reader *r, struct quorum_entry *entry, uint64_t least_term,
                         uint64_t most_term)
{
    entry->term = get_u64(r);
    entry->type = (uint8_t)reader_i8(r);
    entry->data = get_bytes(r);
    if (r->err != OK)
        return;
    bool good = entry->term >= least_term && entry->term <= most_term &&
                entry->type >= QUORUM_ENTRY_COMMAND && entry->type <= QUORUM_ENTRY_CHANGE;
    if (!good || (entry->type == QUORUM_ENTRY_CHANGE && !quorum_configuration_valid(entry->data)))
        reader_fail(r, ERR_MALFORMED);
}

static void decode_append(struct reader *r, struct arena *arena, struct quorum_message *m)
{
    m->append.prev_index = get_u64(r);
    m->append.prev_term = get_u64(r);
    m->append.commit = get_u64(r);
    uint32_t count = reader_u32(r);
    if ((m->append.prev_index == 0) != (m->append.prev_term == 0) || m->append.prev_term > m->term ||
        m->append.prev_index > UINT64_MAX / 2)
        reader_fail(r, ERR_MALFORMED);
    if (count > QUORUM_ENTRIES_MAX || count > reader_left(r) / ENTRY_SIZE_MIN)
        reader_fail(r, ERR_TOO_LARGE);
    if (r->err != OK || count == 0)
        return;
    struct quorum_entry *entries = arena_calloc(arena, count, sizeof(*entries));
    if (entries == NULL) {
        reader_fail(r, ERR_NOMEM);
        return;
    }
    uint64_t term = MAX(m->append.prev_term, 1);
    for (uint32_t i = 0; i < count && r->err == OK; i++) {
        decode_entry(r, &entries[i], term, m->term);
        term = entries[i].term;
    }
    m->append.entries = entries;
    m->append.count = count;
}

static void decode_append_result(struct reader *r, struct arena *arena, struct quorum_message *m)
{
    m->append_result.rejected = get_u64(r);
    m->append_result.last_index = get_u64(r);
    m->append_result.features = reader_u16(r);
    m->append_result.capacity = reader_u16(r);
    if (m->append_result.rejected > UINT64_MAX / 2 || m->append_result.last_index > UINT64_MAX / 2)
        reader_fail(r, ERR_MALFORMED);
}

static void decode_vote(struct reader *r, struct arena *arena, struct quorum_message *m)
{
    m->vote.last_index = get_u64(r);
    m->vote.last_term = get_u64(r);
    m->vote.disrupt_leader = reader_bool(r);
    m->vote.pre_vote = reader_bool(r);
}

static void decode_vote_result(struct reader *r, struct arena *arena, struct quorum_message *m)
{
    m->vote_result.granted = reader_bool(r);
    m->vote_result.pre_vote = reader_bool(r);
    m->vote_result.features = reader_u16(r);
    m->vote_result.capacity = reader_u16(r);
}

static void decode_timeout_now(struct reader *r, struct arena *arena, struct quorum_message *m)
{
    m->timeout_now.last_index = get_u64(r);
    m->timeout_now.last_term = get_u64(r);
}

static void decode_piece(struct reader *r, struct arena *arena, struct quorum_message *m)
{
    m->piece.index = get_u64(r);
    m->piece.index_term = get_u64(r);
    m->piece.offset = get_u64(r);
    m->piece.last = reader_bool(r);
    m->piece.data = get_bytes(r);
    bool numbers_good = m->piece.index > 0 && m->piece.index <= UINT64_MAX / 2 && m->piece.index_term > 0 &&
                        m->piece.index_term <= m->term && m->piece.offset <= UINT64_MAX / 2;
    if (!numbers_good)
        reader_fail(r, ERR_MALFORMED);
}

static void decode_piece_result(struct reader *r, struct arena *arena, struct quorum_message *m)
{
    m->piece_result.index = get_u64(r);
    m->piece_result.index_term = get_u64(r);
    m->piece_result.wanted = get_u64(r);
}

static const struct codec {
    void (*encode)(struct writer *w, const struct quorum_message *m);
    void (*decode)(struct reader *r, struct arena *arena, struct quorum_message *m);
} codecs[] = {
    [QUORUM_APPEND] = {encode_append, decode_append},
    [QUORUM_APPEND_RESULT] = {encode_append_result, decode_append_result},
    [QUORUM_VOTE] = {encode_vote, decode_vote},
    [QUORUM_VOTE_RESULT] = {encode_vote_result, decode_vote_result},
    [QUORUM_TIMEOUT_NOW] = {encode_timeout_now, decode_timeout_now},
    [QUORUM_PIECE] = {encode_piece, decode_piece},
    [QUORUM_PIECE_RESULT] = {encode_piece_result, decode_piece_result},
};

void quorum_message_encode(struct writer *w, const struct quorum_message *message)
{
    ASSERT(message->type >= QUORUM_APPEND && message->type < ARRAY_LEN(codecs));
    writer_i8(w, MESSAGE_VERSION);
    writer_i8(w, (int8_t)message->type);
    writer_i32(w, message->from);
    writer_i32(w, message->to);
    writer_uuid(w, message->directory_id);
    put_u64(w, message->term);
    codecs[message->type].encode(w, message);
}

enum err quorum_message_decode(struct reader *r, struct arena *arena, struct quorum_message *ret_message)
{
    struct quorum_message m = {.type = QUORUM_APPEND};
    if (reader_left(r) > QUORUM_MESSAGE_MAX)
        return ERR_TOO_LARGE;
    int8_t version = reader_i8(r);
    int8_t type = reader_i8(r);
    m.from = reader_i32(r);
    m.to = reader_i32(r);
    m.directory_id = reader_uuid(r);
    m.term = get_u64(r);
    if (r->err != OK)
        return r->err;
    if (version != MESSAGE_VERSION)
        return ERR_VERSION;
    if (type < QUORUM_APPEND || type >= (int8_t)ARRAY_LEN(codecs) || m.from < 0 || m.to < 0 || m.term == 0 ||
        m.term > UINT64_MAX / 2)
        return ERR_MALFORMED;
    m.type = (enum quorum_message_type)type;
    codecs[m.type].decode(r, arena, &m);
    if (r->err == OK && reader_left(r) > 0)
        return ERR_MALFORMED;
    if (r->err == OK)
        *ret_message = m;
    return r->err;
}

/* -- configurations -- */

static uint64_t load_le64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

/* Steps over one server: u64 id, address with its zero, u8 role. Returns its id, 0 when it is not one. */
static uint64_t skip_server(const uint8_t **at, const uint8_t *end)
{
    if (end - *at < 8)
        return 0;
    uint64_t id = load_le64(*at);
    const uint8_t *address = *at + 8;
    const uint8_t *zero = memchr(address, 0, (size_t)(end - address));
    if (zero == NULL || zero == address || zero + 1 >= end || zero[1] >= CONFIG_ROLES)
        return 0;
    *at = zero + 2;
    return id;
}

bool quorum_configuration_valid(struct bytes data)
{
    uint64_t ids[QUORUM_SERVERS_MAX];
    if (data.len < 9 || data.p[0] != CONFIG_FORMAT)
        return false;
    const uint8_t *at = data.p + 9;
    const uint8_t *end = data.p + data.len;
    uint64_t count = load_le64(data.p + 1);
    if (count == 0 || count > QUORUM_SERVERS_MAX)
        return false;
    for (uint64_t i = 0; i < count; i++) {
        ids[i] = skip_server(&at, end);
        if (ids[i] == 0)
            return false;
        for (uint64_t j = 0; j < i; j++) {
            if (ids[j] == ids[i])
                return false;
        }
    }
    for (; at < end; at++) {
        if (*at != 0)
            return false;
    }
    return true;
}

void quorum_address(int32_t node_id, char out[QUORUM_ADDRESS_MAX])
{
    snprintf(out, QUORUM_ADDRESS_MAX, "node-%d", node_id);
}

static void put_le64(struct writer *w, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        writer_i8(w, (int8_t)(v >> 8 * i));
}

static void put_voter(struct writer *w, int32_t node_id)
{
    char address[QUORUM_ADDRESS_MAX];
    quorum_address(node_id, address);
    put_le64(w, quorum_raft_id(node_id));
    writer_raw(w, address, strlen(address) + 1);
    writer_i8(w, CONFIG_VOTER);
}

void quorum_configuration_encode(struct writer *w, const int32_t *voters, int count)
{
    size_t start = writer_pos(w);
    writer_i8(w, CONFIG_FORMAT);
    put_le64(w, (uint64_t)count);
    for (int64_t done = 0, above = -1; done < count; done++) {
        int32_t next = INT32_MAX;
        for (int i = 0; i < count; i++) {
            if (voters[i] > above && voters[i] < next)
                next = voters[i];
        }
        put_voter(w, next);
        above = next;
    }
    while ((writer_pos(w) - start) % 8 != 0)
        writer_i8(w, 0);
}
