/* SPDX-License-Identifier: Apache-2.0 */
/* The newest batches of logs in memory, so that readers at the tail need no read (DESIGN, Fetch). One cache
 * per shard with a budget of pinned bytes; what is oldest, of whatever log, goes first. A large part of a
 * buffer is kept by reference; smaller batches are copied, so that they do not pin a receive buffer.
 *
 * The bytes were written to the log before they come here, and are what was validated: they need no check. */
#ifndef SLUICE_BROKER_LOG_TAIL_CACHE_H
#define SLUICE_BROKER_LOG_TAIL_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/budget.h"
#include "common/base/iobuf.h"
#include "common/base/list.h"

#define TAIL_CHUNK_BYTES (64u * 1024) /* copied batches of a busy log share buffers of this size */
#define TAIL_MARKS       4 /* places of a buffer where reads ended lately: the next ones begin there */

struct tail_cache {
    struct budget *budget; /* charged as BUDGET_CACHE; NULL: nobody asks */
    struct iobuf_pool *pool;
    size_t used_bytes, cap_bytes;
    struct list entries; /* of all logs, oldest first */
    struct tail_entry *spare;
    uint64_t hits, misses;
};

/* The batch at that place of an entry, if any, is its first one that ends behind offset. */
struct tail_mark {
    int64_t offset;
    uint32_t at; /* 0: nothing is marked */
};

/* Consecutive batches in one buffer. */
struct tail_entry {
    struct list link; /* cache->entries */
    struct tail *tail;
    struct tail_entry *next; /* of the same log; or of the spare ones */
    int64_t base_offset, next_offset;
    struct iobuf *buf; /* one reference */
    uint32_t at, len;  /* in buf->data */
    uint32_t charged;
    bool ours; /* a buffer of copies: more may follow behind len */
    uint8_t next_mark;
    struct tail_mark marks[TAIL_MARKS]; /* in a ring, newest before next_mark */
};

/* Of one log: entries without a gap between them. All zero: empty. */
struct tail {
    struct tail_cache *cache; /* NULL: nothing is kept */
    struct tail_entry *first, *last;
};

/* Keeps at most cap_bytes. budget may be NULL. Buffers come from pool. */
void tail_cache_init(struct tail_cache *cache, struct budget *budget, struct iobuf_pool *pool,
                     size_t cap_bytes);

/* Drops everything; logs that still use it keep empty tails. */
void tail_cache_free(struct tail_cache *cache);

/* Whole batches [base_offset, next_offset) were appended to the log; bytes lie in owner's data (NULL: copy).
 * They follow what the tail holds, else that is dropped. */
void tail_add(struct tail *tail, const uint8_t *batches, uint32_t len, int64_t base_offset,
              int64_t next_offset, struct iobuf *owner);

/* What is asked and what comes back: consecutive whole batches, len 0: none that fits. */
struct tail_read {
    int64_t offset, end_offset; /* batches from the one that holds offset, ending at or before end_offset */
    uint32_t max_bytes;
    bool at_least_one;
    const uint8_t *p;
    struct iobuf *owner; /* referenced, the caller's */
    uint32_t len;
    int64_t next_offset;
};

/* False: the batch that holds offset is not here. */
bool tail_read(struct tail *tail, struct tail_read *read);

/* The log was cut, or goes: forgets its batches. */
void tail_drop(struct tail *tail);

#endif
