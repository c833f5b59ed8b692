/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of plog: what was appended and waits to be written with what follows it. Included by
 * plog_internal.h. */
#ifndef SLUICE_BROKER_LOG_PLOG_STAGE_INT_H
#define SLUICE_BROKER_LOG_PLOG_STAGE_INT_H

#include <stdint.h>
#include <sys/uio.h>

#include "common/base/err.h"

struct iobuf;
struct plog;
struct plog_pieces;

/* Batches at the end of the active segment that were appended and are not written yet. */
struct plog_staged {
    int count;                   /* of pieces; 0: there are none */
    uint32_t bytes;              /* of all */
    uint64_t position;           /* where they belong in the segment's file */
    int64_t base_offset;         /* of the first batch */
    struct iovec first;          /* the only piece, */
    struct iobuf *owner;         /* and who holds it (referenced); */
    struct plog_pieces *several; /* or all of them */
};

/* Takes whole batches that belong at the active segment's end, and writes them, or keeps them to be written
 * with others (owner NULL: writes them). Whoever looks at the file, or changes it, has what is staged written
 * first: plog_segment_file() does. A failure is final for the log. */
enum err plog_stage(struct plog *log, const uint8_t *batches, uint32_t len, struct iobuf *owner);

/* Writes what is staged. OK: all below plog_end() is written; else the log's failure. */
enum err plog_staged_write(struct plog *log);

/* Forgets it: the log goes away. */
void plog_staged_drop(struct plog *log);

/* Below it all is in the file. */
int64_t plog_written_end(const struct plog *log);

#endif
