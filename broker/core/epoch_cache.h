/* SPDX-License-Identifier: Apache-2.0 */
/* Which leader epoch wrote which offsets of one log (KIP-101, KIP-279): a sorted, sparse list of (epoch,
 * start offset). Pure. */
#ifndef SLUICE_BROKER_CORE_EPOCH_CACHE_H
#define SLUICE_BROKER_CORE_EPOCH_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/alloc.h"
#include "common/base/err.h"

#define EPOCH_NONE      (-1)
#define EPOCH_CACHE_MAX (1u << 20) /* entries; far above what elections can make between two log starts */

struct epoch_entry {
    int32_t epoch;
    int64_t start_offset;
};

struct epoch_cache {
    const struct core_alloc *alloc;
    struct epoch_entry *entries; /* epochs strictly rise, start offsets strictly rise */
    uint32_t count, cap;
};

/* alloc must outlive the cache. */
void epoch_cache_init(struct epoch_cache *cache, const struct core_alloc *alloc);
void epoch_cache_free(struct epoch_cache *cache);
void epoch_cache_clear(struct epoch_cache *cache);

/* Makes room for one more entry, so that a following epoch_cache_assign cannot fail. ERR_NOMEM, ERR_FULL. */
enum err epoch_cache_reserve(struct epoch_cache *cache);

/* Says that `epoch` starts at start_offset. A newer truth wins: entries that contradict it (epoch or start
 * not smaller) go. Nothing changes when it is known already. *ret_changed (may be NULL): the list is
 * different now. ERR_NOMEM, ERR_FULL. */
enum err epoch_cache_assign(struct epoch_cache *cache, int32_t epoch, int64_t start_offset,
                            bool *ret_changed);

/* The log now ends at end_offset: entries that start there or later go. Must be called even when no data was
 * cut, or epochs without data stay for ever (KAFKA-10706). True when something went. */
bool epoch_cache_truncate_end(struct epoch_cache *cache, int64_t end_offset);

/* The log now starts at start_offset: entries wholly before it go, the one that holds it starts there. True
 * when something changed. */
bool epoch_cache_truncate_start(struct epoch_cache *cache, int64_t start_offset);

/* Epoch of the newest entry, EPOCH_NONE when empty. */
int32_t epoch_cache_latest(const struct epoch_cache *cache);

/* Epoch of the oldest entry, EPOCH_NONE when empty. */
int32_t epoch_cache_earliest(const struct epoch_cache *cache);

/* Epoch that wrote offset, EPOCH_NONE when unknown. */
int32_t epoch_cache_at(const struct epoch_cache *cache, int64_t offset);

/* OffsetForLeaderEpoch: the largest epoch <= asked and where it ends; (-1, -1) when the cache is empty or
 * asked is newer than all known; (asked, first start) when all known are newer. */
void epoch_cache_end(const struct epoch_cache *cache, int32_t epoch, int64_t log_end, int32_t *ret_epoch,
                     int64_t *ret_end_offset);

/* Where a follower cuts its log when the leader said that `epoch` ends at end_offset there: the smaller of
 * both logs' ends of it. */
int64_t epoch_cache_divergence(const struct epoch_cache *cache, int32_t epoch, int64_t end_offset,
                               int64_t log_end);

/* Kafka's checkpoint text ("0\n<count>\n<epoch> <start>\n..."). Bytes needed for the present entries, an
 * upper bound. */
uint32_t epoch_cache_text_max(const struct epoch_cache *cache);

/* Writes the text into out (epoch_cache_text_max bytes). Returns its length. */
uint32_t epoch_cache_format(const struct epoch_cache *cache, char *out);

/* Replaces the entries by those of the text. ERR_VERSION, ERR_MALFORMED (also: not rising), ERR_NOMEM; the
 * cache is empty then. */
enum err epoch_cache_parse(struct epoch_cache *cache, const char *text, uint32_t len);

/* Asserts the invariants. */
void epoch_cache_check(const struct epoch_cache *cache);
uint64_t epoch_cache_hash(const struct epoch_cache *cache);

#endif
