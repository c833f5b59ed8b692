/* SPDX-License-Identifier: Apache-2.0 */
/* Kafka's producer snapshot, version 1 (ProducerStateManager): int16 version, uint32 CRC-32C of all that
 * follows it, int32 count, entries of 46 bytes. What stands behind the entries Kafka ignores; Sluice keeps
 * the older batches of each producer there (broker/core/producer_snapshot.c). */
#ifndef SLUICE_LOGFORMAT_SNAPSHOT_FORMAT_H
#define SLUICE_LOGFORMAT_SNAPSHOT_FORMAT_H

#include "common/base/wire.h"

#define SNAPSHOT_VERSION     1
#define SNAPSHOT_CRC_AT      2
#define SNAPSHOT_COUNT_AT    6  /* the checksum begins here */
#define SNAPSHOT_HEAD_BYTES  10 /* the first entry's place */
#define SNAPSHOT_ENTRY_BYTES 46

/* One producer's newest batch; -1 where there is none. */
struct snapshot_entry {
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t last_sequence;
    int64_t last_offset;
    int32_t offset_delta;
    int64_t timestamp_ms;
    int32_t coordinator_epoch;
    int64_t txn_first_offset; /* of the open transaction */
};

/* Checks version, checksum and count against the bytes there are; *ret_r stands at the first of *ret_count
 * entries, all of which are there. ERR_CORRUPT, ERR_VERSION. */
enum err snapshot_open(const uint8_t *p, uint64_t len, struct reader *ret_r, int32_t *ret_count);

/* The next entry of a reader from snapshot_open(); at most *ret_count times. ERR_CORRUPT: a producer id or a
 * delta below 0. */
enum err snapshot_entry_get(struct reader *r, struct snapshot_entry *ret);

/* Writes one entry; returns the place behind it. */
uint8_t *snapshot_entry_put(uint8_t *p, const struct snapshot_entry *entry);

/* Writes version, count and checksum of a snapshot whose bytes from SNAPSHOT_HEAD_BYTES to len are there. */
void snapshot_seal(uint8_t *p, uint64_t len, uint32_t count);

#endif
