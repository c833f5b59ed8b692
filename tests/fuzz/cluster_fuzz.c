/* SPDX-License-Identifier: Apache-2.0 */
/* The cluster protocol's decoders: byte 0 chooses a message of the RPC (or, from 16 up, metadata records
 * applied to an image), then its bytes. What decodes must encode, decode again and encode to the same bytes;
 * an image that was built must come back from its snapshot with the same hash. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "proto/cluster/image.h"
#include "proto/cluster/rpc_messages.h"

#define ARENA_CAP  (4u << 20)
#define WRITER_CAP (16u << 20)

union message {
#define X(name) struct rpc_##name name;
    CLUSTER_RPC_MESSAGES(X)
#undef X
};

struct codec {
    enum err (*decode)(struct reader *r, struct arena *arena, union message *ret);
    void (*encode)(struct writer *w, const union message *m);
};

#define X(name)                                                                                              \
    static enum err decode_##name(struct reader *r, struct arena *arena, union message *ret)                 \
    {                                                                                                        \
        return rpc_##name##_decode(r, arena, &ret->name);                                                    \
    }                                                                                                        \
    static void encode_##name(struct writer *w, const union message *m)                                      \
    {                                                                                                        \
        rpc_##name##_encode(w, &m->name);                                                                    \
    }
CLUSTER_RPC_MESSAGES(X)
#undef X

static const struct codec codecs[] = {
#define X(name) {decode_##name, encode_##name},
    CLUSTER_RPC_MESSAGES(X)
#undef X
};

static struct iobuf *encode(const struct codec *codec, const union message *m)
{
    struct writer w;
    writer_init(&w, NULL, 256, WRITER_CAP);
    codec->encode(&w, m);
    ASSERT(w.err == OK);
    struct iobuf *buf = writer_take(&w);
    writer_free(&w);
    return buf;
}

static void run_message(const struct codec *codec, const uint8_t *data, size_t size)
{
    struct arena arena;
    union message m, again;
    struct reader r = reader_over(data, size);
    arena_init(&arena, NULL, 0, ARENA_CAP);
    if (codec->decode(&r, &arena, &m) == OK) {
        struct iobuf *first = encode(codec, &m);
        struct reader back = reader_over(first->data, first->len);
        ASSERT(codec->decode(&back, &arena, &again) == OK);
        struct iobuf *second = encode(codec, &again);
        ASSERT(first->len == second->len && memcmp(first->data, second->data, first->len) == 0);
        iobuf_unref(first);
        iobuf_unref(second);
    }
    arena_free(&arena);
}

/* Applies records until one is refused. NULL when memory is out. */
static struct image *build(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct meta_record record;
    struct reader r = reader_over(data, size);
    struct image_edit *edit = image_edit_begin_empty();
    arena_init(&arena, NULL, 0, ARENA_CAP);
    while (reader_left(&r) > 0 && meta_record_decode(&r, &arena, &record) == OK)
        ASSERT(image_edit_apply(edit, &record) != ERR_NOMEM);
    arena_free(&arena);
    return image_edit_commit(edit, 1, 1);
}

static void run_records(const uint8_t *data, size_t size)
{
    struct image *image = build(data, size);
    struct image_cursor *cursor = image_cursor_new(image);
    struct writer w;
    bool done = false;
    writer_init(&w, NULL, 256, WRITER_CAP);
    while (!done)
        ASSERT(image_cursor_write(cursor, &w, 100, &done) == OK);
    struct image *copy = build(w.buf->data, w.buf->len);
    ASSERT(image_hash(copy) == image_hash(image));
    image_unref(copy);
    image_cursor_free(cursor);
    writer_free(&w);
    image_unref(image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] < ARRAY_LEN(codecs))
        run_message(&codecs[data[0]], data + 1, size - 1);
    else
        run_records(data + 1, size - 1);
    return 0;
}
