/* SPDX-License-Identifier: Apache-2.0 */
/* ListOffsets of one partition. A lookup by time reads the log aside (broker/log/plog_aside.h). Part of
 * partition.h's contract. */
#ifndef SLUICE_BROKER_SHARD_PARTITION_LOOKUP_H
#define SLUICE_BROKER_SHARD_PARTITION_LOOKUP_H

#include "broker/shard/partition.h"

struct plog_aside;

/* One question and its answer. Caller's memory until it is answered or cancelled. */
struct partition_lookup {
    int64_t timestamp; /* or Kafka's specials: -1 latest, -2 earliest, -3 max timestamp, -4, -5 */
    bool read_committed;
    int32_t replica_id;
    int32_t current_leader_epoch;
    /* Called once when partition_list_offset() said so, never from inside it (E2). */
    void (*done)(struct partition_lookup *lookup);
    /* The answer; -1 each when nothing is there. */
    int16_t error;
    int64_t offset, found_timestamp;
    int32_t leader_epoch;
    /* private */
    struct list link; /* partition->lookups */
    struct partition *partition;
    struct plog_aside *aside;
    int32_t tries;
    int64_t from; /* what is below it was looked at */
};

/* True: lookup->done follows, with an error when p leads no more, fails or goes. False: answered. */
bool partition_list_offset(struct partition *p, struct partition_lookup *lookup);

/* done is not called any more. True: it would have been. */
bool partition_lookup_cancel(struct partition_lookup *lookup);

#endif
