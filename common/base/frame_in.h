/* SPDX-License-Identifier: Apache-2.0 */
/* Cuts a byte stream into frames that start with their own size (int32, big-endian), as Kafka's do. For
 * readers of replies: one buffer is filled by each read, frames are views of it, and memory grows only with
 * bytes that have arrived (at most fourfold). Nothing is held while the stream is between frames. */
#ifndef SLUICE_BASE_FRAME_IN_H
#define SLUICE_BASE_FRAME_IN_H

#include <stdbool.h>

#include "common/base/err.h"
#include "common/base/iobuf.h"

#define FRAME_IN_FIRST_BYTES (64 * 1024)

struct frame_in {
    struct iobuf_pool *pool;
    struct iobuf *buf;  /* bytes not yet cut; NULL between frames */
    uint32_t max_bytes; /* of one frame */
};

/* max_bytes: of one frame, without its size field. pool may be NULL. Allocates nothing yet. */
void frame_in_init(struct frame_in *in, struct iobuf_pool *pool, uint32_t max_bytes);

/* Forgets a partial frame; ready for another stream. */
void frame_in_reset(struct frame_in *in);

/* Where the next bytes may go: at least one byte. False: out of memory. */
bool frame_in_room(struct frame_in *in, void **ret_buf, size_t *ret_len);

/* len bytes landed there. Calls each for every complete frame (p: after the size field; owner may be
 * referenced to keep the bytes); each returns false to stop, which ends the call with ERR_CANCELED.
 * ERR_MALFORMED: a size below zero; ERR_TOO_LARGE: above max_bytes; ERR_NOMEM. The stream is of no use after
 * an error. */
enum err frame_in_landed(struct frame_in *in, size_t len,
                         bool (*each)(void *ctx, const uint8_t *p, uint32_t len, struct iobuf *owner),
                         void *ctx);

#endif
