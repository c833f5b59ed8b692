/* SPDX-License-Identifier: Apache-2.0 */
/* `.txnindex`: the aborted transactions of a segment, in Kafka's format (storage AbortedTxn), for
 * readers that want committed records only and for compaction. An entry is written when the abort marker is
 * appended. The index is derived from the batches, and its entries have a checksum (index_entry.h): one that
 * is bad stays so until the whole index is made anew. */
#ifndef SLUICE_BROKER_PLOG_TXNINDEX_H
#define SLUICE_BROKER_PLOG_TXNINDEX_H

#include "broker/log/plog.h"
#include "common/logformat/index_entry.h"

/* Calls each(ctx, txn) for the aborted transactions that touch [from, end), in the order of their markers.
 * ret_cold not NULL: ERR_AGAIN, *ret_cold is the range of a file (referenced) that is to be read
 * asynchronously first; some may have been told by then. Errors of the disk, ERR_NOMEM. */
enum err plog_aborted_find(struct plog *log, int64_t from, int64_t end,
                           void (*each)(void *ctx, const struct txn_entry *txn), void *ctx,
                           struct plog_piece *ret_cold);

/* Every entry of one index file, in order. A missing file has none. ERR_CORRUPT: one is bad, none was told.
 */
enum err plog_aborted_load(struct env *env, const char *path,
                           bool (*each)(void *ctx, const struct txn_entry *txn), void *ctx);

/* Makes those indexes anew whose entries are bad (plog_remake.c); blocks for as long as it takes to read
 * their segments. ERR_BUSY: batches there are damaged, and must be mended first. */
enum err plog_aborted_check(struct plog *log);
/* How often that has happened since the log was opened. */
uint32_t plog_aborted_remade(const struct plog *log);

#endif
