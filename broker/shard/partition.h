/* SPDX-License-Identifier: Apache-2.0 */
/* One partition replica on its shard: the pure replica core (broker/core/replica) wired to its log
 * (broker/log/plog). Request handlers and replica fetchers see only this. Everything here runs on the owning
 * shard's loop. Errors are Kafka's codes (int16_t, proto/kafka/error.h).
 *
 * Durability (DESIGN, Durability contract): on a topic with flush.messages=1 (the default) "local" means
 * synced and replicas count with their DurableOffset; on any other topic both follow the append.
 */
#ifndef SLUICE_BROKER_SHARD_PARTITION_H
#define SLUICE_BROKER_SHARD_PARTITION_H

#include "broker/shard/partition_config.h"
#include "broker/shard/partition_read.h"
#include "broker/shard/partition_txn.h"
#include "common/base/types.h"
#include "common/env/env.h"
#include "proto/cluster/image.h"
#include "proto/cluster/rpc_messages.h"

struct partition;
struct manifest;
struct logger;
struct batch_scratch;
struct flight;
struct cleaner;
struct batch_record_error;
struct tail_cache;
struct plog_handles;

/* What a partition needs from its shard. One per shard; outlives its partitions. */
struct partition_host {
    struct env *env;
    int32_t broker_id;
    const char *data_dir;
    struct manifest *manifest;
    struct logger *log;
    bool power_lost; /* the machine lost its page cache since the last run, which had not stopped cleanly */
    struct tail_cache *tail_cache; /* may be NULL */
    struct plog_handles *handles;  /* budget of descriptors for logs; may be NULL */
    _Atomic uint64_t *log_writes;  /* counts writes of appended batches to logs; may be NULL */
    struct flight *flight;         /* events of replicas are noted there; may be NULL */
    struct disk_guard *guard;      /* says when the disk is too full for new records; NULL: nobody looks */
    struct batch_scratch *scratch; /* decompression and validation memory of this shard */
    uint64_t replica_lag_time_max_us;
    uint64_t producer_expiry_us;
    void *ctx;
    /* Sends an AlterPartition for p to the controller; at most one in flight per partition;
     * partition_alter_done() follows exactly once, later. */
    void (*alter_partition)(void *ctx, struct partition *p, const struct rpc_alter_partition *request);
    /* The broker epoch of a live broker as the present image has it, -1 when it is unknown or fenced
     * (KIP-841, KIP-903). */
    int64_t (*broker_epoch)(void *ctx, int32_t broker_id);
    /* p has damaged ranges (partition_repair.h). May be NULL; may be called from inside any call to p. */
    void (*damaged)(void *ctx, struct partition *p);
    /* The log of p failed (first failed write or sync is final): it is offline until `reopened`. */
    void (*failed)(void *ctx, struct partition *p, enum err err);
    /* The log of p is open again, as after an unclean stop: to be given the present state (partition_apply).
     */
    void (*reopened)(void *ctx, struct partition *p);
    /* p is to be given the present state once more, now. NULL: the next one will do. */
    void (*again)(void *ctx, struct partition *p);
    /* Tells the controller that p's replica leaves the ISR (request->leave); partition_leave_done() follows
     * exactly once, later. NULL: nobody to tell. */
    void (*leave)(void *ctx, struct partition *p, const struct rpc_alter_partition *request);
    /* Retention moved the log start over so many offsets; may be NULL. */
    void (*retained)(void *ctx, struct partition *p, int64_t offsets);
    struct cleaner *cleaner;     /* compactions of this shard; NULL: none are made */
    uint64_t retention_check_ms; /* log.retention.check.interval.ms: the most that retention may be late.
                                    Deadlines are timers, so it seldom is; 0: the default */
};

/* Opens (creating or recovering) the local log of topic/index. Blocking disk calls happen here: at start, or
 * once per created partition. */
enum err partition_open(const struct partition_host *host, const struct image_topic *topic, int32_t index,
                        const struct partition_config *config, struct partition **ret_partition);

/* Closes; clean = true writes what a clean shutdown promises (synced log, recovery point, producer snapshot).
 * All waits are answered first. False: that could not be done, and records that count without a sync
 * (flush.messages) may not outlive a loss of power. */
bool partition_close(struct partition *p, bool clean);

/* Removes the partition's files (topic deleted: rename, then unlink). p is gone. */
void partition_delete(struct partition *p);

/* A new state from the image: becomes leader, follower or offline; waits that it settles are answered.
 * Idempotent for an equal partition_epoch. */
void partition_apply(struct partition *p, const struct image_partition *state,
                     const struct partition_config *config);

/* The wall clock was set: what waits for a wall time is looked at again, at some time within the check
 * interval.
 */
void partition_clock_jumped(struct partition *p);

/* Which partition this is; the name lives as long as p. */
struct uuid partition_topic_id(const struct partition *p);
struct str partition_topic(const struct partition *p);
int32_t partition_index(const struct partition *p);

/* Plain figures for handlers, metrics and tests. */
struct partition_view {
    bool is_leader, is_follower, offline;
    int32_t leader, leader_epoch, partition_epoch;
    int64_t log_start, log_end, synced_end, high_watermark, last_stable_offset;
    int32_t isr_count, replicas_count;
    int64_t cut_bytes;   /* of a torn tail, removed when the log was opened */
    bool missing_synced; /* when it was opened, offsets that had been synced were gone or bad, or good batches
                            were cut that may have been: should not lead before it has caught up */
};
void partition_get(const struct partition *p, struct partition_view *ret_view);

/* Bytes of its segments; 0 while the log could not be opened. */
uint64_t partition_size_bytes(const struct partition *p);

/* -- produce -- */

/* One appended batch that waits for its promise, or one deletion. Caller's memory until done or
 * partition_wait_cancel(). */
struct partition_wait {
    struct list link;       /* private */
    int64_t need_offset;    /* private: last offset + 1, or the log start */
    struct env_timer timer; /* private: the request's time-out */
    struct partition *partition;
    /* error: KAFKA_NONE, NOT_LEADER_OR_FOLLOWER, NOT_ENOUGH_REPLICAS_AFTER_APPEND, REQUEST_TIMED_OUT,
     * KAFKA_STORAGE_ERROR. Never from inside partition_append (E2). */
    void (*done)(struct partition_wait *wait, int16_t error);
};

struct partition_append {
    uint8_t *records; /* one or more v2 batches as received; offsets, epoch (and with LogAppendTime time and
                         CRC) are patched in place */
    int32_t len;
    struct iobuf *owner; /* of records; referenced while needed */
    int16_t acks;        /* 0, 1, -1 */
    int32_t timeout_ms;
    int32_t current_leader_epoch;            /* -1: unchecked */
    bool no_zstd;                            /* the request's version is too old for it (KIP-110) */
    bool internal;                           /* a coordinator's own: any sequence, no verification */
    bool in_doubt;                           /* another one may lead by now (broker_may_lead_no_more()) */
    const struct partition_txn_guard *guard; /* from partition_txn_begin(), verified since; or NULL */
};

struct partition_appended {
    int16_t error;
    const char *message; /* static text for ErrorMessage, or NULL */
    /* Each refused record (RecordErrors); valid until the shard's next append. */
    const struct batch_record_error *record_errors;
    int32_t record_errors_count;
    int64_t base_offset;        /* -1 on error; the original one for a duplicate (idempotence) */
    int64_t log_append_time_ms; /* -1 unless LogAppendTime */
    int64_t log_start;
    bool waits; /* wait->done will be called; false: settled now */
};

/* Validates (facts §3), deduplicates (producer state: five-batch window), checks min.insync.replicas for
 * acks=-1, appends, and starts the sync that the promise needs. What a turn of the loop appends is written at
 * its end, with one write, and nobody is told of it before: with acks=0, too, the wait ends then, if there is
 * one. */
void partition_append(struct partition *p, const struct partition_append *request,
                      struct partition_wait *wait, struct partition_appended *ret);
void partition_wait_cancel(struct partition_wait *wait); /* no-op when not waiting */

/* -- transactions: partition_txn.h -- */

/* -- fetch: partition_read.h -- */

/* Called once at the next change that could let a waiting fetch go on: data below the bound it reads to, a
 * new leader or epoch, or the log offline. */
struct partition_watch {
    struct list link;
    void (*fn)(struct partition_watch *watch);
};
void partition_watch(struct partition *p, struct partition_watch *watch, bool follower);
void partition_watch_cancel(struct partition_watch *watch);

/* A follower's fetch arrived (before its read): position, durable position (-1: not told), its broker epoch.
 * May move the high watermark, expand the ISR. last_fetched_epoch as in the request: a position in a log that
 * diverged from ours (or lies outside it) is not counted; the read that follows tells the follower.
 * KAFKA_NONE, NOT_LEADER_OR_FOLLOWER, UNKNOWN/FENCED_LEADER_EPOCH as Kafka. */
int16_t partition_follower_fetched(struct partition *p, int32_t broker_id, int64_t broker_epoch,
                                   int64_t fetch_offset, int64_t durable_offset, int32_t current_leader_epoch,
                                   int32_t last_fetched_epoch);

/* OffsetForLeaderEpoch: largest epoch <= asked and its end offset; -1, -1 when unknown. */
int16_t partition_epoch_end(struct partition *p, int32_t current_leader_epoch, int32_t epoch,
                            int32_t *ret_epoch, int64_t *ret_end_offset);

/* ListOffsets: partition_lookup.h. */

/* DeleteRecords: moves the log start (-1: to the high watermark). */
int16_t partition_delete_records(struct partition *p, int64_t before_offset, int64_t *ret_low_watermark);

/* Whether wait->done follows: when the log of every in-sync replica begins at log_start or later, so that no
 * change of the leader brings the deleted records back; or with an error, as after partition_append. False:
 * it is so already. */
bool partition_await_start(struct partition *p, int64_t log_start, int32_t timeout_ms,
                           struct partition_wait *wait);

/* The fetch of a follower said where its log begins. */
void partition_follower_start(struct partition *p, int32_t broker_id, int64_t log_start);

/* -- following -- */

/* What the next fetch to the leader says. False when p is not a (working) follower. */
struct partition_fetch_state {
    int32_t leader, leader_epoch;
    int64_t fetch_offset, durable_offset, log_start;
    int32_t last_fetched_epoch;
    bool syncing; /* a sync runs: durable_offset will change without new data */
};
bool partition_fetch_state(struct partition *p, struct partition_fetch_state *ret_state);

/* Result of a fetch that was sent with leader_epoch: append, truncate, or restart at the leader's log start.
 * Ignored when the epoch is no longer ours. records may end with an incomplete batch (cut). ERR_CORRUPT: bad
 * CRC on the wire, ask again. */
enum err partition_follower_append(struct partition *p, int32_t leader_epoch, const uint8_t *records,
                                   int32_t len, struct iobuf *owner, int64_t leader_high_watermark,
                                   int64_t leader_log_start);
/* False: the log is cut later, when the manifest holds a lower recovery point for good; ask again soon. */
bool partition_follower_diverged(struct partition *p, int32_t leader_epoch, int32_t epoch,
                                 int64_t end_offset);
bool partition_follower_out_of_range(struct partition *p, int32_t leader_epoch, int64_t leader_log_start,
                                     int64_t leader_log_end);

/* fn is called (E2) when the durable offset moved or p became or ceased to be a follower: the fetcher may
 * have something to tell. One per partition, NULL clears. */
void partition_set_fetch_hook(struct partition *p, void (*fn)(void *ctx, struct partition *p), void *ctx);

/* -- ISR -- */

/* Answer to host->alter_partition. KAFKA_NONE: the new state arrives by partition_apply; errors: facts §5. */
void partition_alter_done(struct partition *p, int16_t error);
/* The same for host->leave. */
void partition_leave_done(struct partition *p, int16_t error);

#endif
