/* SPDX-License-Identifier: Apache-2.0 */
/* One shard: a thread, its loop, the connections it accepted and the partitions it owns (DESIGN, Shards). No
 * locks: what another shard needs arrives by mail. */
#ifndef SLUICE_BROKER_SHARD_SHARD_H
#define SLUICE_BROKER_SHARD_SHARD_H

#include "broker/log/plog_handles.h"
#include "broker/log/tail_cache.h"
#include "broker/shard/broker.h"
#include "broker/shard/cleaner.h"
#include "broker/shard/control.h"
#include "broker/shard/partition.h"
#include "broker/shard/route.h"
#include "common/batch/record.h"
#include "common/obs/log.h"
#include "common/tls/tls.h"
#include "proto/cluster/image.h"

struct broker_peers;
struct group_lag;
struct repairer;
struct scrubber;
struct replica_fetchers;
struct request;
struct txn_asks;

/* Counted on the shard's thread, summed by /metrics. X(name, help) */
#define SHARD_COUNTERS(X)                                                                                    \
    X(connections_accepted, "Connections accepted")                                                          \
    X(connections_closed, "Connections closed")                                                              \
    X(connections_refused, "Connections refused: over max.connections")                                      \
    X(frames_refused, "Connections closed for a frame or request that breaks the protocol")                  \
    X(requests, "Requests started")                                                                          \
    X(request_hops, "Requests or parts of requests that went to another shard")                              \
    X(admission_waits, "Times a connection waited for the memory budget")                                    \
    X(slow_readers_closed, "Connections closed because the peer did not read")                               \
    X(produce_batches, "Partition batches accepted by Produce")                                              \
    X(produce_bytes, "Bytes accepted by Produce")                                                            \
    X(log_writes, "Writes of appended batches to partition logs: one for each log and turn of the loop")     \
    X(metadata_held, "Metadata answers that waited for new leaders")                                         \
    X(fetch_cold_reads, "Reads for Fetch that went to a disk thread")                                        \
    X(replica_fetches_refused, "Fetches of followers that are not registered with the epoch they claim")     \
    X(fetch_cold_waits, "Times that such a read waited for room in the memory budget")                       \
    X(fetch_bytes, "Record bytes sent by Fetch")                                                             \
    X(log_cleaner_runs, "Compactions that ended")                                                            \
    X(log_cleaner_failures, "Compactions that failed")                                                       \
    X(log_cleaner_read_bytes, "Bytes read by compaction")                                                    \
    X(log_cleaner_written_bytes, "Bytes written by compaction")                                              \
    X(log_cleaner_removed_records, "Records removed by compaction")                                          \
    X(retained_offsets, "Offsets that retention moved log starts over")                                      \
    X(reopened_logs, "Partition logs opened again after a failed write, read or sync")                       \
    X(scrubbed_bytes, "Bytes of logs that the scrubber has read")                                            \
    X(scrub_passes, "Times that the scrubber has read all logs")                                             \
    X(damaged_ranges_refetched, "Damaged ranges of logs that were mended with a peer's bytes")               \
    X(refetched_bytes, "Bytes of peers that took the place of damaged ranges")                               \
    X(repairs_put_off, "Times that no replica had good bytes for a damaged range")                           \
    X(hot_path_mallocs, "Allocations beyond the pools on the produce and fetch path")

struct shard_counters {
#define X(name, help) _Atomic uint64_t name;
    SHARD_COUNTERS(X)
#undef X
};

/* Partition replicas of a shard in some state; bit (1 << ordinal) of route.counted. X(name, help) */
#define SHARD_GAUGES(X)                                                                                      \
    X(partitions, "Partition replicas on this broker")                                                       \
    X(leaders, "Partitions that this broker leads")                                                          \
    X(under_replicated, "Led partitions whose in-sync replicas are fewer than the replicas")                 \
    X(offline, "Partition replicas whose log failed")

struct shard_gauges {
#define X(name, help) _Atomic int64_t name;
    SHARD_GAUGES(X)
#undef X
};

/* Records that this broker appended as a leader and that are not below the high watermark yet. Measured when
 * somebody asks (shard_measure_lag), since that looks at every partition. */
struct shard_lag {
    struct env_msg msg;
    atomic_bool asked;
    _Atomic uint64_t uncommitted_records;
};

#define shard_count(shard, name, n)                                                                          \
    atomic_fetch_add_explicit(&(shard)->counters.name, (uint64_t)(n), memory_order_relaxed)

#define SHARD_RX_BYTES (64 * 1024) /* shared receive buffer: connections copy what they keep */

/* See producer_ids.h. */
struct producer_ids {
    int64_t next, end;
    bool asking;
    struct control_call call;
    struct list waits;
};

struct shard_listener {
    struct shard *shard;
    const struct listener_info *info;
};

struct shard_flight;

struct shard {
    struct env *env;
    struct tls_loop *tls; /* NULL: plain text everywhere */
    struct broker_shared *broker;
    unsigned index;
    struct image *image;     /* the version that this shard answers from; never NULL after start */
    struct list image_waits; /* of struct image_wait */
    bool serving;            /* metadata has come: requests are read */
    struct route_table routes;
    uint32_t failed_partitions; /* offline for a failed log */
    uint64_t openings;          /* partitions opened so far (route.opening) */
    struct partition_host host;
    struct shard_flight *recorder; /* shard_flight.h */
    struct cleaner cleaner;
    struct replica_fetchers *fetchers;
    struct repairer *repairer;
    struct broker_peers *peers;
    struct txn_asks *txn_asks; /* txn_ask.h */
    struct group_lag *group_lag;
    struct scrubber *scrubber;
    struct plog_handles handles;  /* open files of partition logs */
    struct env_timer clock;       /* looks whether the wall clock has jumped */
    int64_t wall_ahead_ms;        /* of the monotonic clock, when it looked last */
    struct tail_cache tail_cache; /* newest batches of the partitions led here */
    struct list connections;
    uint32_t connections_alive;    /* closed ones with requests in flight, too */
    struct request *free_requests; /* pool, linked by next_free */
    uint32_t free_requests_count;
    struct list admission_queue; /* connections waiting for the budget, oldest first */
    struct env_timer admission_timer;
    struct env_listener *listeners[BROKER_LISTENERS_MAX];
    struct shard_listener listener_of[BROKER_LISTENERS_MAX];
    struct batch_scratch scratch;
    struct producer_ids producer_ids;
    struct list auto_creates; /* topics being created on the side (handlers/auto_create.c) */
    uint32_t auto_creates_count;
    uint8_t *rx;
    struct shard_counters counters;
    struct shard_gauges gauges;
    struct shard_lag lag;
    struct log_limit close_limit;
    bool stopping;
    void (*idle)(struct shard *shard); /* see shard_finish() */
};

/* The partition's replica on this very shard, or NULL (not here, or owned by another shard). */
struct partition *shard_partition(struct shard *shard, struct uuid topic_id, int32_t index);

/* Sets the shard up on env's loop, which must be the calling thread's; listens on nothing yet. ERR_NOMEM. */
enum err shard_init(struct shard *shard, struct broker_shared *broker, unsigned index, struct env *env);

/* Stops listening, closes partitions (cleanly when told so) and connections. What is in flight ends on its
 * own; questions to the controllers end when the control loop is stopped. */
void shard_shutdown(struct shard *shard, bool clean);

/* After shard_shutdown() of all shards and control_stop(): ends what still waits for metadata; idle is called
 * once, from the loop or from inside, when nothing is in flight any more. */
void shard_finish(struct shard *shard, void (*idle)(struct shard *shard));

/* Something ended: was it the last? Called by connections and fetchers. */
void shard_look_idle(struct shard *shard);

/* Frees what an idle shard holds, not the struct itself. */
void shard_free(struct shard *shard);

/* From any thread: lag.uncommitted_records becomes up to date soon. */
void shard_measure_lag(struct shard *shard);

/* Records of partitions led here, with other replicas in sync, that are not below the high watermark yet. */
uint64_t shard_unreplicated(struct shard *shard);

/* The route's replica is among those that are offline for a failed log, or is not any more; said twice, it
 * counts once. */
void shard_note_failed(struct shard *shard, struct route *route, bool failed);

/* The state of a route's partition may have changed: brings the gauges up to date. */
void shard_recount(struct shard *shard, struct route *route);

/* Starts listening on all of the broker's listeners; connections are handed to connection.h. Shards listen
 * one after the other: the first one fixes the ports that the kernel chose (listener_info.bind). */
enum err shard_listen(struct shard *shard);

#endif
