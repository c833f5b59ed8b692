/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a log through to see whether it is still what was written: checksums, and what they do not cover,
 * continuity of offsets and leader epochs. In steps: the caller reads a range asynchronously and gives the
 * bytes back. What was checked before counts no more once its segment is reached (marks expire with each
 * pass); what is found good is marked anew.
 */
#ifndef SLUICE_BROKER_LOG_PLOG_SCRUB_H
#define SLUICE_BROKER_LOG_PLOG_SCRUB_H

#include "broker/log/plog.h"

#define PLOG_SCRUB_BYTES (256 * 1024) /* one step, unless a batch is larger */

/* Where a pass stands. All zero: at the log's beginning. */
struct plog_scrub {
    bool begun;
    int64_t segment;       /* base offset */
    uint32_t position;     /* of the next batch there */
    int64_t expected;      /* its offset; -1: not known */
    uint32_t need;         /* bytes of the next step, at least */
    struct env_file *file; /* being read; referenced from plog_scrub_next() to plog_scrub_take() */
};

/* The range to read next: *ret_len bytes of scrub->file at *ret_offset (0: the segment ends before the next
 * one begins, and there is nothing to read). ERR_NOT_FOUND: the log is through. Else the disk's errors. */
enum err plog_scrub_next(struct plog *log, struct plog_scrub *scrub, uint64_t *ret_offset, uint32_t *ret_len);

/* The bytes that were read (len 0: the file was shorter, or could not be read). ERR_CORRUPT: bad bytes where
 * *ret_offset should be; the pass goes on behind the range once that is known as damaged. */
enum err plog_scrub_take(struct plog *log, struct plog_scrub *scrub, const uint8_t *bytes, uint32_t len,
                         int64_t *ret_offset);

/* Bad bytes that nobody can make out again: leaves the rest of this segment to the next pass. */
void plog_scrub_skip(struct plog_scrub *scrub);

/* Lets go of what a pass holds. */
void plog_scrub_end(struct plog_scrub *scrub);

#endif
