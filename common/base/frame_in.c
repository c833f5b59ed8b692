/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/frame_in.h"

#include <string.h>

#include "common/base/assert.h"
#include "common/base/wire.h"

#define SIZE_BYTES 4

void frame_in_init(struct frame_in *in, struct iobuf_pool *pool, uint32_t max_bytes)
{
    *in = (struct frame_in){.pool = pool, .max_bytes = max_bytes};
}

void frame_in_reset(struct frame_in *in)
{
    iobuf_unref(in->buf);
    in->buf = NULL;
}

/* Bytes that the frame at the front needs in all; SIZE_BYTES while its size has not come. */
static size_t front_bytes(const struct iobuf *buf)
{
    return buf->len < SIZE_BYTES ? SIZE_BYTES : SIZE_BYTES + (size_t)load_be32(buf->data);
}

/* Moves the bytes from off on to a buffer of their own, with room to grow. */
static bool move_rest(struct frame_in *in, size_t off)
{
    struct iobuf *old = in->buf;
    size_t rest = old->len - off;
    size_t want = rest < SIZE_BYTES ? SIZE_BYTES : SIZE_BYTES + (size_t)load_be32(old->data + off);
    size_t cap = MAX(MIN(want, rest * 4), (size_t)FRAME_IN_FIRST_BYTES);
    struct iobuf *buf = iobuf_get(in->pool, cap);

    if (!buf)
        return false;
    memcpy(buf->data, old->data + off, rest);
    buf->len = (uint32_t)rest;
    iobuf_unref(old);
    in->buf = buf;
    return true;
}

bool frame_in_room(struct frame_in *in, void **ret_buf, size_t *ret_len)
{
    if (!in->buf)
        in->buf = iobuf_get(in->pool, FRAME_IN_FIRST_BYTES);
    else if (in->buf->len == in->buf->cap && !move_rest(in, 0))
        return false;
    if (!in->buf)
        return false;
    ASSERT(in->buf->len < in->buf->cap);
    *ret_buf = in->buf->data + in->buf->len;
    *ret_len = in->buf->cap - in->buf->len;
    return true;
}

static enum err check_size(const struct frame_in *in, const uint8_t *p)
{
    int32_t size = (int32_t)load_be32(p);

    if (size < 0)
        return ERR_MALFORMED;
    return (uint32_t)size > in->max_bytes ? ERR_TOO_LARGE : OK;
}

enum err frame_in_landed(struct frame_in *in, size_t len,
                         bool (*each)(void *ctx, const uint8_t *p, uint32_t len, struct iobuf *owner),
                         void *ctx)
{
    struct iobuf *buf = in->buf;
    size_t off = 0;

    ASSERT(buf && len <= buf->cap - buf->len);
    buf->len += (uint32_t)len;
    while (buf->len - off >= SIZE_BYTES) {
        enum err err = check_size(in, buf->data + off);
        if (err != OK)
            return err;
        uint32_t size = load_be32(buf->data + off);
        if (buf->len - off - SIZE_BYTES < size)
            break;
        if (!each(ctx, buf->data + off + SIZE_BYTES, size, buf))
            return ERR_CANCELED;
        off += SIZE_BYTES + size;
    }
    if (off == buf->len)
        frame_in_reset(in);
    else if ((off > 0 || front_bytes(buf) > buf->cap) && !move_rest(in, off))
        return ERR_NOMEM;
    return OK;
}
