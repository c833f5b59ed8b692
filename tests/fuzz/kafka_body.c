/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/kafka_body.h"

#include "common/base/assert.h"

#include <string.h>

#define ARENA_BYTES  (16u << 20)
#define WRITER_BYTES (64u << 20)

static void *decode(const struct kafka_message_type *type, int16_t version, struct reader *r,
                    struct arena *arena)
{
    void *message = arena_alloc(arena, type->size);
    ASSERT(message);
    enum err err = type->decode(r, arena, version, message);
    ASSERT(err == r->err);
    return message;
}

static void encode(const struct kafka_message_type *type, int16_t version, const void *message,
                   struct writer *w)
{
    writer_init(w, NULL, 256, WRITER_BYTES);
    type->encode(w, version, message);
    ASSERT(w->err == OK);
}

/* A message of defaults, byte for byte. */
static void check_defaults(const struct kafka_message_type *type, const void *message, struct arena *arena)
{
    void *fresh = arena_alloc(arena, type->size);
    if (!fresh)
        return;
    type->init(fresh);
    ASSERT(memcmp(fresh, message, type->size) == 0);
}

static void check_again(const struct kafka_message_type *type, int16_t version, const struct writer *first)
{
    struct arena arena;
    struct writer second;
    arena_init(&arena, NULL, 0, ARENA_BYTES);
    struct reader r = reader_over(first->buf ? first->buf->data : NULL, writer_pos(first));
    void *message = decode(type, version, &r, &arena);
    ASSERT(r.err == OK && reader_left(&r) == 0);
    encode(type, version, message, &second);
    ASSERT(writer_pos(&second) == writer_pos(first));
    ASSERT(writer_pos(first) == 0 || memcmp(second.buf->data, first->buf->data, first->buf->len) == 0);
    writer_free(&second);
    arena_free(&arena);
}

void fuzz_kafka_body(const struct kafka_message_type *type, int16_t version, struct reader *r)
{
    struct arena arena;
    arena_init(&arena, NULL, 0, ARENA_BYTES);
    void *message = decode(type, version, r, &arena);
    if (r->err == OK) {
        struct writer first;
        encode(type, version, message, &first);
        check_again(type, version, &first);
        writer_free(&first);
    } else {
        check_defaults(type, message, &arena);
    }
    arena_free(&arena);
}

void fuzz_kafka_message(bool is_request, const uint8_t *data, size_t size)
{
    if (size < 2)
        return;
    const struct kafka_message_type *type = kafka_message_type(data[0], is_request);
    if (!type || data[1] < type->min || data[1] > type->max)
        return;
    struct reader r = reader_over(data + 2, size - 2);
    fuzz_kafka_body(type, data[1], &r);
}
