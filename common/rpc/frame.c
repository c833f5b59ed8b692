/* SPDX-License-Identifier: Apache-2.0 */
#include "common/rpc/frame.h"

#include <string.h>

#include "common/base/assert.h"
#include "common/base/wire.h"

/* -- framer -- */

void rpc_framer_init(struct rpc_framer *framer, struct iobuf_pool *pool, size_t payload_max)
{
    *framer = (struct rpc_framer){.pool = pool, .payload_max = payload_max};
}

void rpc_framer_free(struct rpc_framer *framer)
{
    iobuf_unref(framer->buf);
    framer->buf = NULL;
    framer->from = 0;
}

static size_t framer_held(const struct rpc_framer *framer)
{
    return framer->buf != NULL ? framer->buf->len - framer->from : 0;
}

/* Bytes of the frame in progress as far as known. */
static size_t framer_wanted(const struct rpc_framer *framer)
{
    if (framer_held(framer) < RPC_HEADER_BYTES)
        return RPC_HEADER_BYTES;
    return RPC_HEADER_BYTES + (size_t)load_be32(framer->buf->data + framer->from + 10);
}

/* Moves what is held to a buffer with room to go on: for the whole frame at best, at most twice what has
 * arrived. */
static enum err framer_move(struct rpc_framer *framer)
{
    size_t held = framer_held(framer), wanted = framer_wanted(framer);
    size_t size = MAX(RPC_READ_CHUNK_BYTES, MIN(wanted, held * 2));
    struct iobuf *buf = iobuf_get(framer->pool, size);
    if (buf == NULL)
        return ERR_NOMEM;
    if (held > 0)
        memcpy(buf->data, framer->buf->data + framer->from, held);
    buf->len = (uint32_t)held;
    iobuf_unref(framer->buf);
    framer->buf = buf;
    framer->from = 0;
    return OK;
}

enum err rpc_framer_space(struct rpc_framer *framer, void **ret_p, size_t *ret_len)
{
    struct iobuf *buf = framer->buf;
    if (buf != NULL && framer->from == buf->len && atomic_load(&buf->refs) == 1) {
        framer->from = 0; /* nobody kept the delivered frames */
        buf->len = 0;
    }
    bool full = buf == NULL || buf->len == buf->cap;
    if (full || (framer->from > 0 && framer_wanted(framer) > buf->cap - framer->from)) {
        enum err err = framer_move(framer);
        if (err != OK)
            return err;
    }
    ASSERT(framer->buf->len < framer->buf->cap);
    *ret_p = framer->buf->data + framer->buf->len;
    *ret_len = framer->buf->cap - framer->buf->len;
    return OK;
}

void rpc_framer_filled(struct rpc_framer *framer, size_t len)
{
    ASSERT(framer->buf != NULL && len <= framer->buf->cap - framer->buf->len);
    framer->buf->len += (uint32_t)len;
}

int rpc_framer_next(struct rpc_framer *framer, struct rpc_frame *ret_frame)
{
    size_t held = framer_held(framer);
    if (held < 4)
        return 0;
    const uint8_t *p = framer->buf->data + framer->from;
    if (load_be32(p) != RPC_MAGIC)
        return ERR_MALFORMED;
    if (held < RPC_HEADER_BYTES)
        return 0;
    size_t len = load_be32(p + 10);
    if (len > framer->payload_max)
        return ERR_TOO_LARGE;
    if (held < RPC_HEADER_BYTES + len)
        return 0;
    *ret_frame = (struct rpc_frame){.type = load_be16(p + 4),
                                    .correlation = load_be32(p + 6),
                                    .payload = p + RPC_HEADER_BYTES,
                                    .len = len};
    framer->from += RPC_HEADER_BYTES + len;
    return 1;
}

void rpc_framer_rest(struct rpc_framer *framer)
{
    if (framer_held(framer) == 0)
        rpc_framer_free(framer);
}

void rpc_header_write(uint8_t out[RPC_HEADER_BYTES], uint16_t type, uint32_t correlation, size_t payload_len)
{
    ASSERT(payload_len <= RPC_PAYLOAD_MAX_BYTES);
    store_be32(out, RPC_MAGIC);
    store_be16(out + 4, type);
    store_be32(out + 6, correlation);
    store_be32(out + 10, (uint32_t)payload_len);
}

/* -- hello -- */

void rpc_hello_write(uint8_t out[RPC_HELLO_BYTES], const struct rpc_peer_info *info)
{
    store_be16(out, RPC_PROTOCOL_VERSION);
    out[2] = info->role;
    out[3] = 0;
    store_be32(out + 4, (uint32_t)info->node_id);
    store_be64(out + 8, info->incarnation);
    memcpy(out + 16, info->cluster_id.b, sizeof(info->cluster_id.b));
}

enum err rpc_hello_read(const uint8_t *p, size_t len, struct rpc_peer_info *ret_info)
{
    if (len < 2)
        return ERR_MALFORMED;
    if (load_be16(p) != RPC_PROTOCOL_VERSION)
        return ERR_VERSION;
    if (len < RPC_HELLO_BYTES || p[2] < RPC_ROLE_CONTROLLER || p[2] > RPC_ROLE_TOOL)
        return ERR_MALFORMED;
    ret_info->role = p[2];
    ret_info->node_id = (int32_t)load_be32(p + 4);
    ret_info->incarnation = load_be64(p + 8);
    memcpy(ret_info->cluster_id.b, p + 16, sizeof(ret_info->cluster_id.b));
    return OK;
}
