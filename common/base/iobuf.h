/* SPDX-License-Identifier: Apache-2.0 */
/* Reference-counted buffers for data in flight: received frames, replies, cached batches. The count is
 * atomic, so a buffer may be shared by shards; the bytes are immutable once it is shared. */
#ifndef SLUICE_BASE_IOBUF_H
#define SLUICE_BASE_IOBUF_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct iobuf_pool;

struct iobuf {
    atomic_uint refs;
    uint32_t cap;            /* bytes at data */
    uint32_t len;            /* bytes in use; the owner's, until shared */
    uint32_t class_index;    /* of the pool; private */
    struct iobuf_pool *pool; /* where it returns to; NULL: free() */
    struct iobuf *next;      /* link for free lists and for the present owner's queue */
    uint8_t data[] __attribute__((aligned(16)));
};

/* A pool keeps freed buffers of power-of-two classes (256 B to 2 MiB) for reuse, at most keep_bytes_max of
 * them. It belongs to one loop: iobuf_get() only there; iobuf_unref() anywhere (a foreign thread's last
 * reference goes back through a lock-free list). The pool lives until its owner has dropped it AND the last
 * buffer is back. */
struct iobuf_pool *iobuf_pool_new(size_t keep_bytes_max);
void iobuf_pool_drop(struct iobuf_pool *pool);

/* Bytes handed out and not yet returned, and the number of calls that had to go to malloc since the start
 * (tests assert it stands still on the steady path). */
size_t iobuf_pool_bytes_out(const struct iobuf_pool *pool);
uint64_t iobuf_pool_mallocs(const struct iobuf_pool *pool);

/* A buffer with cap >= size and one reference, len 0. pool may be NULL (plain malloc). NULL when memory is
 * out. */
struct iobuf *iobuf_get(struct iobuf_pool *pool, size_t size);

/* One more reference, on any thread. Returns buf. */
struct iobuf *iobuf_ref(struct iobuf *buf);

/* Gives one reference back, on any thread; the last one returns the memory. */
void iobuf_unref(struct iobuf *buf); /* NULL is allowed */

#endif
