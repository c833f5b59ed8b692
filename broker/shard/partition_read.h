/* SPDX-License-Identifier: Apache-2.0 */
/* What a Fetch reads of a partition. Part of partition.h; include that. */
#ifndef SLUICE_BROKER_SHARD_PARTITION_READ_H
#define SLUICE_BROKER_SHARD_PARTITION_READ_H

#include <stdbool.h>
#include <stdint.h>

struct env_file;
struct iobuf;
struct partition;

#define PARTITION_READ_PIECES_MAX 8
#define PARTITION_READER_REPAIR   (-2) /* replica_id of a peer that mends its log: see partition_read() */

/* Part of the records of one read: memory (owner referenced, unref it) or a file range (file referenced,
 * env_file_close it). */
struct partition_piece {
    const uint8_t *p;
    struct iobuf *owner;
    struct env_file *file;
    uint64_t file_offset;
    int32_t len;
};

struct partition_read {
    int64_t fetch_offset;
    int32_t max_bytes;
    bool at_least_one;            /* return the first batch whole even above max_bytes (KIP-74) */
    bool read_committed;          /* up to the last stable offset */
    int32_t replica_id;           /* -1 consumer (below the high watermark), >= 0 follower (to the log end),
                                     PARTITION_READER_REPAIR (to the log end, from any replica) */
    int32_t current_leader_epoch; /* -1 unchecked */
    int32_t last_fetched_epoch;   /* -1 unchecked */
    bool no_wait;                 /* for the disk: the result may be cold */
    bool aside;                   /* nor for an index that is made anew: the result may be busy */
    int32_t ranges_max;           /* pieces that may be ranges of files; 0: memory only */
};

/* A transaction that ended with an abort: what its producer wrote from there to the marker is not to be seen.
 */
struct partition_aborted {
    int64_t producer_id, first_offset;
};

struct partition_read_result {
    int16_t error;
    int64_t high_watermark, last_stable_offset, log_start;
    int32_t diverging_epoch; /* -1: none; else no data, follower truncates (KIP-595 style DivergingEpoch) */
    int64_t diverging_end_offset;
    int32_t leader, leader_epoch; /* hint for NOT_LEADER_OR_FOLLOWER / FENCED_LEADER_EPOCH */
    struct partition_piece pieces[PARTITION_READ_PIECES_MAX];
    int32_t pieces_count, bytes;
    /* With read_committed: those that touch what was read, by first offset; malloc'd,
     * partition_read_release() frees it. */
    struct partition_aborted *aborted;
    int32_t aborted_count, aborted_cap;
    /* With no_wait: nothing was read, this range of a file (file referenced) is to be read asynchronously
     * first; then ask again. cold.len 0: not so. */
    struct partition_piece cold;
    /* With aside: nothing was read, what is needed for it is being read aside; ask again soon. */
    bool busy;
};

/* Bytes that partition_read would find from offset on, cheaply (no I/O): for fetch.min.bytes. 0 when it would
 * fail too. */
int64_t partition_available(struct partition *p, const struct partition_read *request);
void partition_read(struct partition *p, const struct partition_read *request,
                    struct partition_read_result *ret);
void partition_read_release(struct partition_read_result *result);

#endif
