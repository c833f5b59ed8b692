/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of partition: the replica core, its log, and who waits. */
#ifndef SLUICE_BROKER_SHARD_PARTITION_INTERNAL_H
#define SLUICE_BROKER_SHARD_PARTITION_INTERNAL_H

#include "broker/core/replica.h"
#include "broker/log/disk_guard.h"
#include "broker/log/manifest.h"
#include "broker/log/plog.h"
#include "broker/shard/partition.h"
#include "common/obs/log.h"

#define PARTITION_TOPIC_MAX     250          /* Kafka: 249 characters */
#define PARTITION_CHECK_MS      (300 * 1000) /* log.retention.check.interval.ms */
#define PARTITION_TRIM_RETRY_US (100 * 1000)
#define PARTITION_PERSIST_US    (5 * 1000 * 1000) /* the high watermark is written down at most this often */

enum partition_reader { READER_CONSUMER, READER_FOLLOWER, READER_COUNT };

/* partition_back.c: a replica on its way back, or in doubt. */
struct partition_back {
    struct env_timer
        timer;          /* the log failed: opens it again; else says again what the controllers must know */
    uint32_t tries;     /* since the log last worked for a while, */
    uint64_t opened_us; /* having been opened again at this time */
    bool told;          /* the controllers were told of this failure */
    bool doubt;         /* does not lead in hold_epoch or before, and tells the controllers */
    bool lost;          /* of what was promised, something is missing */
    bool shorter;       /* synced data among it, so that others may hold more */
    int64_t had_end;    /* lost in this life of the broker: where the log ended before, */
    int32_t had_epoch;  /* and in which epoch that was told to leaders last */
    bool marked;        /* and a mark beside the log says so (plog_torn.h) */
    int64_t keep_end;   /* the log is opened again without what begins here; INT64_MAX: with all of it */
    bool holed;         /* synced data was bad when the log was opened, and is not mended durably */
    bool leaving;
    int32_t leave_epoch; /* that they were told last, */
    int32_t heard_epoch; /* and have confirmed; -1: none */
    int64_t hole;        /* and begins there */
    int32_t hold_epoch;
    int32_t seen_epoch;           /* leader epoch of the last state from the image, -1: none yet */
    bool seen_leads, seen_counts; /* we lead there; we are leader, in sync or eligible there */
    bool seen_nobody;             /* nobody is */
    bool seen_last;               /* and we led last */
    bool seen_headless;           /* nobody leads */
};

/* Waiting to be compacted. */
struct partition_cleaning {
    struct list link; /* in cleaner.waiting */
    double ratio;     /* dirty share */
    uint64_t next_us; /* not considered before */
};

struct partition {
    const struct partition_host *host;
    struct uuid topic_id;
    char *name; /* of the directory: "<topic>-<n>" */
    int32_t topic_len;
    int32_t index;
    struct partition_config config;
    struct plog *log; /* NULL: could not be opened; the core is failed then */
    struct replica core;
    bool
        unwritten; /* batches were appended in this turn that the core does not know of (partition_write.c) */
    struct list waits_written;    /* acks=0, and acks=1 where that suffices, until then; by need_offset */
    struct list waits_synced;     /* acks=1 until our own sync; by need_offset, as appended */
    struct list waits_high;       /* acks=all until the high watermark; the same */
    struct list waits_start;      /* deletions until all in-sync replicas begin there; the same */
    uint64_t await_gaps_until_us; /* partition_await_gaps() */
    uint32_t remade_told;         /* of plog_aborted_remade() */
    struct list lookups;          /* ListOffsets by time that read aside */
    struct list mends;            /* partition_repair.c: what a mend reads is read aside first */
    struct list watches[READER_COUNT];
    bool wake[READER_COUNT]; /* watches of this kind are due */
    bool want_sync;
    bool hook_due;
    bool failed_due; /* tell host->failed */
    enum err failed_err;
    struct env_task settle;    /* end of the turn: start a sync, answer waits, wake watches */
    struct env_timer deadline; /* of the core; may fire early, never late */
    struct env_timer persist;
    struct env_timer flush; /* partition_flush.c: the oldest record that waits for a sync has waited enough */
    int64_t flush_asked;    /* no sync was asked for what lies behind it */
    struct env_timer trim;  /* removes files below the log start, once that is durable */
    int64_t cut_to;         /* the log is about to be cut here: no recovery point above; INT64_MAX: not so */
    uint64_t cut_mark;      /* what the manifest must have synced before */
    int64_t trim_start;     /* the log start it was set for, */
    uint64_t trim_mark;     /* and what the manifest must have synced before */
    struct env_timer maintain; /* partition_maintain.c */
    uint64_t looked_us;        /* last time it ran */
    bool learning;             /* it goes on when something was read aside */
    uint32_t seen_rolls;       /* of the log, then */
    bool gaps;                 /* offsets may be missing: compacted now or once */
    struct partition_cleaning cleaning;
    struct partition_back back;
    int64_t cut_bytes;   /* of a torn tail, at opening */
    bool missing_synced; /* at opening the log ended below its recovery point */
    void (*hook)(void *ctx, struct partition *p);
    void *hook_ctx;
};

/* Steps the core with event (its now_us is filled in) and carries out the effects. Returns the step's error.
 */
int16_t partition_step(struct partition *p, struct replica_event *event);

/* Whether the disk has no room for new records; says so in the log when that changes. */
bool partition_disk_full(struct partition *p);

/* Asks for the settle task of this turn. */
void partition_settle_soon(struct partition *p);

/* The log failed: offline for good. */
void partition_fail(struct partition *p, enum err err);

/* KAFKA_STORAGE_ERROR when the log is gone, NOT_LEADER_OR_FOLLOWER, or what the epoch check says. */
int16_t partition_check_leader(const struct partition *p, int32_t current_leader_epoch);

/* partition_write.c: what was appended in this turn is written and the core is told, before anything else
 * that has to know where the log ends. A failure takes the partition offline. */
void partition_write_out(struct partition *p);
/* Tells the core how far the log is durable, as far as it knows of it. */
void partition_note_synced(struct partition *p);

/* partition_produce.c: answers all waits with error, or those that are settled. */
void partition_waits_fail(struct partition *p, int16_t error);
void partition_waits_settle(struct partition *p);
/* partition_produce.c: from now on, for a while, a gap in a producer's sequence is one that closes by itself,
 * and is answered as such. */
void partition_await_gaps(struct partition *p);

/* partition_offsets.c: the same for lookups. */
void partition_lookups_fail(struct partition *p, int16_t error);

/* partition_repair.c: mends that wait go on. */
void partition_mends_end(struct partition *p);

/* partition_repair.c: plog_setup.damaged and .learned. */
void partition_damaged(void *ctx, const struct plog_damage *damage);
void partition_tell_damage(struct partition *p); /* calls host->damaged where there is damage */
/* Indexes of aborted transactions: what is bad is made anew. Tells of those that were since it was called. */
void partition_check_index(struct partition *p);
void partition_tell_remade(struct partition *p);
void partition_learned(void *ctx, enum err err);

/* partition_txn.c: whether the producer has a transaction open in this epoch. */
bool partition_txn_is_open(struct partition *p, int64_t producer_id, int16_t epoch);

/* Waits for what acks=all promises of everything below need_offset, written before. */
void partition_append_wait(struct partition *p, const struct partition_append *request,
                           struct partition_wait *wait, int64_t need_offset, struct partition_appended *ret);

/* partition_follow.c: whether a follower's log agrees with ours up to fetch_offset; else where it must cut.
 */
bool partition_diverges(struct partition *p, int64_t fetch_offset, int32_t last_fetched_epoch,
                        int32_t *ret_epoch, int64_t *ret_end_offset);

/* Moves log start of log and core (<= log end). A failure takes the partition offline. */
enum err partition_move_start(struct partition *p, int64_t offset);

/* partition_flush.c. Records were appended behind `from`: asks for a sync when flush.messages or flush.ms say
 * so; a sync of everything was asked for; new settings. */
void partition_flush_init(struct partition *p);
void partition_flush_appended(struct partition *p, int64_t from);
void partition_flush_asked(struct partition *p);
void partition_flush_config(struct partition *p);

/* partition_maintain.c: looks after retention and the like as soon as it may, at some time within the check
 * interval, or if the new high watermark gives a reason. */
void partition_maintain_init(struct partition *p);
void partition_maintain_soon(struct partition *p);
void partition_maintain_later(struct partition *p);
void partition_maintain_moved(struct partition *p);
/* What retention or compaction waited for was read aside, or could not be. */
void partition_maintain_learned(struct partition *p, enum err err);
void partition_maintain_at(struct partition *p, uint64_t due_us);
void partition_maintain_wall(struct partition *p, int64_t due_ms);

/* partition_compact.c */
void partition_consider_compaction(struct partition *p);
void partition_forget_compaction(struct partition *p);

/* Removal of files that the moved log start leaves behind. */
void partition_trim_init(struct partition *p);
void partition_trim_later(struct partition *p);

/* partition_back.c. The log failed: the controllers are told, and it is opened again later. */
void partition_back_init(struct partition *p);
void partition_back_later(struct partition *p);
/* The opened log lacks what was promised of it: not to lead as if nothing had happened. */
void partition_back_doubt(struct partition *p);
/* Where a follower's durable log ends: at the first hole that it came back with, so that it is in sync only
 * when that is mended. */
int64_t partition_back_durable(struct partition *p);
/* Takes note of a state from the image; true: it must not be followed yet. */
bool partition_back_holds(struct partition *p, const struct image_partition *state);

/* partition.c: opens the log; makes core and reports of an opened one. */
enum err partition_open_log(struct partition *p, const struct manifest_entry *known,
                            struct plog_report *report);
void partition_start_log(struct partition *p, const struct manifest_entry *known,
                         const struct plog_report *report);

/* Offsets may be missing between batches of this log from now on. */
void partition_expect_gaps(struct partition *p, bool gaps);

/* Writes recovery point, high watermark and log start down. */
void partition_persist(struct partition *p, int64_t recovery_point, bool clean);

#define PARTITION_LOG(p, level, event, ...)                                                                  \
    do {                                                                                                     \
        if ((p)->host->log)                                                                                  \
            LOG((p)->host->log, level, event, F_STR("partition", (p)->name), __VA_ARGS__);                   \
    } while (0)

#endif
