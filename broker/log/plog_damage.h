/* SPDX-License-Identifier: Apache-2.0 */
/* Damaged ranges of a log: offsets whose batches are bad or missing although they had been synced (DESIGN,
 * Damage or torn tail). The log opens with them, keeps every byte as it is, and serves the rest: plog_read
 * gives ERR_CORRUPT inside a range and stops in front of it, walks step over it. A range goes when good bytes
 * of a peer take its place (plog_replace_range), or when truncation, retention or a restart removes it.
 *
 * Ranges are known from recovery and from plog_damage_search; they are not stored: a log opened again finds
 * them again when it is scanned, read or scrubbed.
 */
#ifndef SLUICE_BROKER_LOG_PLOG_DAMAGE_H
#define SLUICE_BROKER_LOG_PLOG_DAMAGE_H

#include "broker/log/plog.h"

struct plog_damage {
    int64_t offset, end;     /* nothing good is there of [offset, end) */
    int64_t segment;         /* base offset of the segment that holds the bytes */
    uint32_t position, size; /* the bad bytes in its .log file; size 0: they are missing altogether */
};

/* All ranges that reach over the log start, in order of offset, without overlap; *ret_list is the log's and
 * valid until its next change. */
int32_t plog_damages(const struct plog *log, const struct plog_damage **ret_list);

/* The range that holds offset, or the first behind it when there is none and behind is set; NULL: none. Valid
 * until the next change. */
const struct plog_damage *plog_damage_at(const struct plog *log, int64_t offset, bool behind);

/* Someone who read (or scrubbed) met bad bytes at or behind offset, in offset's segment: finds the first bad
 * place there from offset on and adds its range. ERR_NOT_FOUND: every batch of that segment from offset on is
 * good. Reads the segment from there on (blocking); ERR_NOMEM or the disk's errors. */
enum err plog_damage_search(struct plog *log, int64_t offset, struct plog_damage *ret_damage);

/* Puts a peer's good bytes where a range begins. batches are all that the peer holds of [offset, end): whole,
 * in order; offset is the beginning of a range and end at most its end, so that long ranges are mended in
 * pieces. Checked here: checksums, offsets, epochs. On OK they are readable, counted dirty (the next
 * plog_sync makes them durable) and the range is shorter or gone; producer state and epochs follow when the
 * last piece is in. A crash at any point leaves old bytes, new bytes, or a bad batch there: never another
 * answer. Bytes of another length than those they replace cost a rewrite of the segment (blocking).
 * ERR_NOT_FOUND: no range begins at offset. ERR_CORRUPT: bad checksum. ERR_MISMATCH: offsets or epochs do not
 * fit. ERR_TOO_LARGE: the segment would grow beyond PLOG_SEGMENT_BYTES_MAX. ERR_NOMEM. Nothing is changed by
 * these; a failed write is final for the log. */
enum err plog_replace_range(struct plog *log, int64_t offset, int64_t end, const uint8_t *batches,
                            uint32_t len);

#endif
