/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of plog: sparse indexes (plog_index.c). Included by plog_internal.h. */
#ifndef SLUICE_BROKER_LOG_PLOG_INDEX_INT_H
#define SLUICE_BROKER_LOG_PLOG_INDEX_INT_H

#include "broker/log/plog_internal.h"

/* Makes room in memory for so many more entries of both kinds. ERR_NOMEM. */
enum err plog_index_reserve(struct plog_segment *seg, uint32_t entries);
/* A batch of size bytes at position was added to the segment; adds entries when due. Room must be there. */
void plog_index_batch(struct plog *log, struct plog_segment *seg, const struct batch_header *batch,
                      uint32_t position);
/* Writes entries that the files lack; final: also the last time entry, as at a roll or a clean stop. */
enum err plog_index_flush(struct plog *log, struct plog_segment *seg, bool final);
/* Loads both files into memory as far as they are sane below (max_offset, max_position). */
enum err plog_index_load(struct plog *log, struct plog_segment *seg, int64_t max_offset,
                         uint32_t max_position);
void plog_index_drop(struct plog_segment *seg); /* frees memory and closes files */
void plog_index_truncate(struct plog_segment *seg, int64_t end_offset, uint32_t size);
enum err plog_index_rewrite(struct plog *log, struct plog_segment *seg); /* files become what memory says */
/* Position at or before the batch that holds offset. */
enum err plog_index_lookup(struct plog *log, struct plog_segment *seg, int64_t offset,
                           uint32_t *ret_position);
/* The same, and the last offset of the batch that the entry is of (where position is not 0). */
enum err plog_index_entry(struct plog *log, struct plog_segment *seg, int64_t offset, uint32_t *ret_position,
                          int64_t *ret_last);
/* The entry that a lookup of offset finds led to another place: it is forgotten. Only of an index in memory.
 */
void plog_index_forget(struct plog_segment *seg, int64_t offset);
/* Whether a good batch that ends with `last` is at position, as an entry says. ERR_CORRUPT: none; the disk's
 * errors. Reads it (blocking). */
enum err plog_index_check(struct plog *log, struct plog_segment *seg, uint32_t position, int64_t last);
/* The last entry's position <= max_position whose batch's last offset is < end_offset; 0: none. A batch
 * begins there (if the index is right), and all before it end at or before end_offset. */
enum err plog_index_bound(struct plog *log, struct plog_segment *seg, uint32_t max_position,
                          int64_t end_offset, uint32_t *ret_position);
/* The offset index as a file of *ret_bytes that a lookup will read (not referenced); NULL: it is in memory.
 */
enum err plog_index_files(struct plog *log, struct plog_segment *seg, struct env_file **ret_file,
                          uint32_t *ret_bytes);
/* Last time entry with a smaller timestamp: where a search by time begins. False: at the segment's start. */
bool plog_index_time(struct plog *log, struct plog_segment *seg, int64_t timestamp,
                     struct time_entry *ret_entry);

#endif
