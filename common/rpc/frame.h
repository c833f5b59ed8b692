/* SPDX-License-Identifier: Apache-2.0 */
/* Frames on the wire, big-endian: magic u32 "SLUC", type u16, correlation u32, payload length u32, payload.
 * And the hello's payload. Pure. */
#ifndef SLUICE_RPC_FRAME_H
#define SLUICE_RPC_FRAME_H

#include "common/rpc/rpc.h"

#define RPC_MAGIC            0x534C5543u
#define RPC_HEADER_BYTES     14
#define RPC_HELLO_MAX_BYTES  256 /* payload before the hello is accepted */
#define RPC_HELLO_BYTES      32
#define RPC_READ_CHUNK_BYTES (16u << 10)

enum rpc_own_type {
    RPC_TYPE_HELLO = RPC_TYPE_RESERVED,
    RPC_TYPE_PING,
    RPC_TYPE_PONG,
};

struct rpc_frame {
    uint16_t type;
    uint32_t correlation;
    const uint8_t *payload;
    size_t len;
};

/* Cuts a byte stream into frames inside refcounted buffers. A buffer grows with the bytes that arrived, never
 * by the length a peer announced. */
struct rpc_framer {
    struct iobuf_pool *pool;
    struct iobuf *buf; /* NULL while nothing is held */
    size_t from;       /* start of what is not delivered yet; buf->len is its end */
    size_t payload_max;
};

/* pool may be NULL. payload_max may be changed later. free gives back the buffer. */
void rpc_framer_init(struct rpc_framer *framer, struct iobuf_pool *pool, size_t payload_max);
void rpc_framer_free(struct rpc_framer *framer);

/* Where the next bytes go; at least one. ERR_NOMEM. */
enum err rpc_framer_space(struct rpc_framer *framer, void **ret_p, size_t *ret_len);

/* len bytes landed there. */
void rpc_framer_filled(struct rpc_framer *framer, size_t len);

/* 1: *ret_frame is the next frame, a view into framer->buf, good until rpc_framer_space(). 0: more bytes are
 * needed. ERR_MALFORMED (magic), ERR_TOO_LARGE: the stream is over. */
int rpc_framer_next(struct rpc_framer *framer, struct rpc_frame *ret_frame);

/* Gives the buffer back when nothing in it waits. */
void rpc_framer_rest(struct rpc_framer *framer);

/* The header of a frame; payload_len is at most RPC_PAYLOAD_MAX_BYTES. */
void rpc_header_write(uint8_t out[RPC_HEADER_BYTES], uint16_t type, uint32_t correlation, size_t payload_len);

/* Payload of the hello: version u16, role u8, zero u8, node id i32, incarnation u64, cluster id 16 B. Later
 * versions may append. */
void rpc_hello_write(uint8_t out[RPC_HELLO_BYTES], const struct rpc_peer_info *info);

/* ERR_MALFORMED, ERR_VERSION (then *ret_info is not set). */
enum err rpc_hello_read(const uint8_t *p, size_t len, struct rpc_peer_info *ret_info);

#endif
