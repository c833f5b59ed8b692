/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of the controllers' quorum. Byte 0 even: a message, odd: a Raft configuration. What decodes obeys
 * the rules that libraft does not check, and encodes to bytes that decode to the same. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "common/base/assert.h"
#include "controller/quorum_message.h"

static void check_append(const struct quorum_message *m)
{
    uint64_t term = m->append.prev_term;
    ASSERT((m->append.prev_index == 0) == (m->append.prev_term == 0));
    ASSERT(m->append.count <= QUORUM_ENTRIES_MAX);
    for (uint32_t i = 0; i < m->append.count; i++) {
        const struct quorum_entry *entry = &m->append.entries[i];
        ASSERT(entry->term > 0 && entry->term >= term && entry->term <= m->term);
        ASSERT(entry->type >= QUORUM_ENTRY_COMMAND && entry->type <= QUORUM_ENTRY_CHANGE);
        ASSERT(entry->type != QUORUM_ENTRY_CHANGE || quorum_configuration_valid(entry->data));
        term = entry->term;
    }
}

/* Flags may be written as any non-zero byte, so the first encoding may differ from the input; the second must
 * not differ from the first. */
static void check_again(const struct quorum_message *m)
{
    struct writer first, second;
    struct quorum_message back;
    struct arena arena;
    writer_init(&first, NULL, 256, QUORUM_MESSAGE_MAX);
    writer_init(&second, NULL, 256, QUORUM_MESSAGE_MAX);
    arena_init(&arena, NULL, 0, 1 << 20);
    quorum_message_encode(&first, m);
    ASSERT(first.err == OK);
    struct reader r = reader_over(first.buf->data, first.buf->len);
    ASSERT(quorum_message_decode(&r, &arena, &back) == OK);
    quorum_message_encode(&second, &back);
    ASSERT(second.err == OK && first.buf->len == second.buf->len);
    ASSERT(memcmp(first.buf->data, second.buf->data, first.buf->len) == 0);
    arena_free(&arena);
    writer_free(&first);
    writer_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct quorum_message m;
    struct arena arena;
    if (size == 0)
        return 0;
    if (data[0] % 2 == 1) {
        quorum_configuration_valid((struct bytes){data + 1, (int32_t)(size - 1)});
        return 0;
    }
    struct reader r = reader_over(data + 1, size - 1);
    arena_init(&arena, NULL, 0, 1 << 20);
    if (quorum_message_decode(&r, &arena, &m) == OK) {
        if (m.type == QUORUM_APPEND)
            check_append(&m);
        check_again(&m);
    }
    arena_free(&arena);
    return 0;
}
