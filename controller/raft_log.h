/* SPDX-License-Identifier: Apache-2.0 */
/* The log of Raft entries: segment files "<sequence>.log" of common/log/segfile, appended to only. An entry
 * whose index is not past the last one replaces it and all that followed (Raft's suffix truncation): a fact
 * in the log, never an overwrite, so a crash can only lose the newest writes. Only the newest segment may
 * have a torn tail: a roll waits until the older one is durable.
 *
 * Where every entry lies is kept in memory (32 B each); the data is read back from the file. All functions
 * run on the loop's thread.
 */
#ifndef SLUICE_CONTROLLER_RAFT_LOG_H
#define SLUICE_CONTROLLER_RAFT_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/env/env.h"

struct raft_log;

#define RAFT_LOG_ENTRY_MAX (15u << 20) /* data of one entry */

struct raft_log_entry {
    uint64_t index; /* reading only */
    uint64_t term;
    uint8_t type; /* consensus' own: libraft's entry types, 1 to 3 */
    const void *data;
    uint32_t len;
};

struct raft_log_handler {
    /* Everything up to index is durable now (it may go back when a suffix is replaced, without a call). */
    void (*durable)(void *ctx, uint64_t index);
    /* A write or sync failed: the log is offline for good. */
    void (*failed)(void *ctx, enum err err);
    /* A new segment stands and is durable; the owner records its sequence number, blocking. */
    enum err (*rolled)(void *ctx, uint64_t sequence);
    /* Entries from index on are about to be replaced; the owner expects them no longer, blocking. */
    enum err (*replaces)(void *ctx, uint64_t index);
};

struct raft_log_options {
    const char *dir;          /* exists; copied */
    uint64_t segment_bytes;   /* a segment rolls when it has grown past this */
    uint32_t allocate_bytes;  /* room is made in steps of this size (segfile_limits) */
    uint64_t newest_sequence; /* newest segment ever recorded by rolled(), 0: none; a missing one is damage */
    uint64_t covered_index;   /* a snapshot holds everything up to here; 0: none */
};

/* Loads the log. ERR_CORRUPT with a line in text (which file, which byte, what is wrong) when anything that
 * was durable is missing or wrong; a torn tail is cut. handler may be set later with raft_log_set_handler().
 */
enum err raft_log_open(struct env *env, const struct raft_log_options *options, struct raft_log **ret_log,
                       char *text, size_t text_size);
void raft_log_set_handler(struct raft_log *log, const struct raft_log_handler *handler, void *ctx);

/* Lets go of everything. A sync in flight ends by itself; no handler is called any more. NULL is allowed. */
void raft_log_close(struct raft_log *log);

/* First and last index held; last is first - 1 when the log is empty. Last may be one that is not durable
 * yet. */
uint64_t raft_log_first(const struct raft_log *log);
uint64_t raft_log_last(const struct raft_log *log);
uint64_t raft_log_durable(const struct raft_log *log);
uint64_t raft_log_sequence(const struct raft_log *log); /* of the newest segment, 0: none */
uint64_t raft_log_bytes(const struct raft_log *log);    /* in all files */

/* Term and type of an entry; 0 when it is not held. */
uint64_t raft_log_term(const struct raft_log *log, uint64_t index);
uint8_t raft_log_type(const struct raft_log *log, uint64_t index);

/* Appends count entries, the first one with this index (first <= index <= last + 1), in one write; what was
 * there from index on is gone. ERR_TOO_LARGE, or a failure of the disk, which is final. */
enum err raft_log_append(struct raft_log *log, uint64_t index, const struct raft_log_entry *entries,
                         uint32_t count);

/* Asks for all that is appended to become durable; handler->durable() follows. */
void raft_log_sync(struct raft_log *log);

/* Blocks until all that is appended is durable. For start and stop. */
enum err raft_log_sync_wait(struct raft_log *log);

/* Reads entries [from, from + count_max) as far as they fit into bytes_max (at least one) in one go. entries
 * has room for count_max; their data points into *ret_buf (one reference). *ret_count may be less.
 * ERR_OUT_OF_RANGE when from is not held, ERR_CORRUPT when the disk gave something else than was written. */
enum err raft_log_read(const struct raft_log *log, uint64_t from, uint32_t count_max, uint32_t bytes_max,
                       struct raft_log_entry *entries, uint32_t *ret_count, struct iobuf **ret_buf);

/* Removes whole segments that hold nothing past index. Entries up to some earlier index are gone afterwards.
 */
void raft_log_trim(struct raft_log *log, uint64_t index);

/* Throws everything away; the next entry will be next_index. Blocks until durable. For an installed snapshot.
 */
enum err raft_log_reset_wait(struct raft_log *log, uint64_t next_index);

/* For a log that is about to be idle: leaves a witness of what is durable (segfile_note). Not synced. */
void raft_log_note(struct raft_log *log);

#endif
