/* SPDX-License-Identifier: Apache-2.0 */
/* One replica of a partition as a pure state machine: leader, follower or offline; high watermark; in-sync
 * replicas (facts, HW / ISR / KIP-966). It knows offsets, epochs and times, not data: the owner appends,
 * syncs and truncates the log and tells it by events. Time is monotonic microseconds, inside the events.
 *
 * "End" of a replica below means what counts for its promise: the durable end where the topic syncs before
 * acknowledging, else the end of its log.
 */
#ifndef SLUICE_BROKER_CORE_REPLICA_H
#define SLUICE_BROKER_CORE_REPLICA_H

#include <stdbool.h>
#include <stdint.h>

#define REPLICA_MEMBERS_MAX                                                                                  \
    64 /* replicas of one partition: the ISR is a 64-bit set of places in the member list */
#define REPLICA_EFFECTS_MAX 4 /* a step gives each kind of effect at most once */
#define REPLICA_NO_DEADLINE UINT64_MAX

enum replica_role {
    REPLICA_OFFLINE, /* no leader known, or the log failed */
    REPLICA_FOLLOWER,
    REPLICA_LEADER,
};

/* What a leader knows of one replica (itself included, at place self). */
struct replica_member {
    int32_t broker_id;
    bool eligible; /* its last fetch came under the epoch it is registered with; may join the ISR (KIP-841,
                      KIP-903) */
    int64_t broker_epoch;  /* -1: not heard of in this leader epoch */
    int64_t asked_epoch;   /* the one that it was proposed under; 0: a proposal that is made again must not
                              let it in */
    int64_t position;      /* its next fetch offset, so its log end; -1: not heard of */
    int64_t durable;       /* its synced end; -1: not told */
    int64_t log_start;     /* where its log begins; -1: not told */
    int64_t mark_end;      /* when its end passes this ... */
    uint64_t mark_us;      /* ... it was caught up at that time */
    uint64_t caught_up_us; /* last time at which its end was our log end */
};

/* The one AlterPartition that may be under way. */
enum replica_alter {
    ALTER_IDLE,
    ALTER_SENT,  /* waits for the answer */
    ALTER_STATE, /* answered; the new state comes with the metadata */
    ALTER_RETRY, /* failed; the same is sent again at alter_at_us */
};

/* A leader that is asked to give way while it lives (preferred election, drain, reassignment): acks=1 is
 * refused until all in-sync replicas have what was there before, then the controllers are told.
 * replica_yield.c
 */
struct replica_yield {
    bool asked;       /* by the metadata */
    bool giving;      /* acks=1 is refused; its records all lie below mark */
    bool told;        /* the proposal under way says that we give way */
    int64_t mark;     /* our log end when giving began */
    uint64_t due_us;  /* giving: when it is given up; else when it begins */
    uint64_t wait_us; /* pause after the next attempt that fails */
};

struct replica {
    int32_t broker_id;
    uint64_t lag_time_max_us;
    enum replica_role role;
    bool failed; /* the log is gone for good: offline whatever the metadata says */
    int32_t leader, leader_epoch, partition_epoch;
    int64_t epoch_start; /* our log end when we became leader in leader_epoch */
    int64_t log_start, log_end, synced_end, high_watermark;
    int32_t min_isr;
    bool sync_before_ack;
    struct replica_member *members; /* owner's memory, members_cap places */
    int32_t members_count, members_cap, self;
    uint64_t isr;     /* committed */
    uint64_t pending; /* proposed; equals isr when alter is ALTER_IDLE */
    enum replica_alter alter;
    bool answer_due;      /* an FX_ALTER has no EV_ALTERED yet, though the state may have moved on: no new one
                             before */
    uint64_t alter_at_us; /* ALTER_RETRY: when; ALTER_IDLE: nothing is proposed before */
    struct replica_yield yield;
};

enum replica_event_type {
    EV_STATE,     /* partition state from the metadata image */
    EV_CONFIG,    /* min.insync.replicas, flush.messages */
    EV_APPENDED,  /* our log grew */
    EV_SYNCED,    /* our log is durable up to offset */
    EV_TRUNCATED, /* our log was cut back, or restarted, at offset */
    EV_LOG_START, /* our log start moved */
    EV_FETCHED,   /* a follower fetched from us; its log is known not to diverge below position */
    EV_LEADER_HW, /* our leader told its high watermark */
    EV_ALTERED,   /* answer to FX_ALTER */
    EV_TICK,      /* the deadline passed */
    EV_FAILED,    /* our log failed */
    EV_COUNT
};

struct replica_event {
    enum replica_event_type type;
    uint64_t now_us; /* when it happened */
    int64_t offset;  /* APPENDED: new log end. SYNCED, TRUNCATED, LOG_START, LEADER_HW: the offset */
    union {
        struct {
            int32_t leader, leader_epoch, partition_epoch;
            const int32_t *replicas, *isr;
            int32_t replicas_count, isr_count; /* replicas_count <= members_cap */
            bool yields;
        } state;
        struct {
            int32_t min_isr;
            bool sync_before_ack;
        } config;
        struct {
            int32_t broker_id;
            int64_t broker_epoch;     /* as the follower says */
            int64_t registered_epoch; /* as the image says, -1: unknown or fenced */
            int64_t position, durable;
            int32_t leader_epoch; /* as the follower says, -1: unchecked */
        } fetched;
        int16_t error; /* ALTERED: Kafka's code */
    };
};

enum replica_effect_type {
    FX_ROLE,           /* role, leader or epoch changed: settle waits, wake watches */
    FX_EPOCH_START,    /* leader: note (epoch, offset) in the epoch cache */
    FX_HIGH_WATERMARK, /* it moved to offset */
    FX_ALTER,          /* propose the members in isr (replica_isr_list) on top of partition_epoch; and that we
                          give way */
};

struct replica_effect {
    enum replica_effect_type type;
    int32_t epoch;
    int64_t offset;
    uint64_t isr;
    bool gives_way;
};

struct replica_effects {
    int32_t count;
    struct replica_effect list[REPLICA_EFFECTS_MAX];
};

/* An offline replica that has heard of no state yet. */
struct replica_setup {
    int32_t broker_id;
    uint64_t lag_time_max_us;
    int64_t log_start, log_end, synced_end,
        high_watermark; /* of the recovered log; the high watermark may be stale (low) */
    bool answer_due; /* an FX_ALTER of the core before this one, of the same partition, has no EV_ALTERED yet
                      */
};
void replica_init(struct replica *core, const struct replica_setup *setup);

/* Gives memory for the member list (contents are moved over). cap <= REPLICA_MEMBERS_MAX, not below
 * members_count. Returns the former memory. */
struct replica_member *replica_give_members(struct replica *core, struct replica_member *members,
                                            int32_t cap);

/* Takes an event; writes what is to be done, in order. Returns Kafka's error for EV_FETCHED (6, 74, 75), else
 * 0. */
int16_t replica_step(struct replica *core, const struct replica_event *event,
                     struct replica_effects *ret_effects);

/* When EV_TICK is due; REPLICA_NO_DEADLINE when nobody lags (idle costs nothing). */
uint64_t replica_deadline(const struct replica *core);

/* Compares a request's current leader epoch (-1: unchecked) with ours: 0, FENCED_LEADER_EPOCH,
 * UNKNOWN_LEADER_EPOCH. */
int16_t replica_check_epoch(const struct replica *core, int32_t current_leader_epoch);

/* Leader: whether what only our own log holds may be acknowledged (acks=1). */
bool replica_takes_own_word(const struct replica *core);

/* Leader: members of the ISR, proposed additions included (the high watermark waits for all of them); and of
 * the committed ISR. */
int32_t replica_maximal_isr_count(const struct replica *core);
int32_t replica_isr_count(const struct replica *core);

/* Leader: a follower's fetch said where its log begins. A stranger's word is ignored. */
void replica_note_start(struct replica *core, int32_t broker_id, int64_t log_start);

/* Where it said so; our own start for ourselves; -1: not told, or we do not lead. */
int64_t replica_start_of(const struct replica *core, int32_t broker_id);

/* Leader: the lowest log start of the in-sync replicas (Kafka: low watermark); -1 when one has not told. */
int64_t replica_low_watermark(const struct replica *core);

/* min.insync.replicas, at most the number of replicas (KIP-966). */
int32_t replica_min_isr(const struct replica *core);

/* Leader: whether nothing from offset on can have been acknowledged by as many as min.insync.replicas asks
 * for, more than one: each other replica has fetched in this leader epoch, and ends there or before. (Who
 * held more and lost its disk does not count.) */
bool replica_holds_alone(const struct replica *core, int64_t offset);

/* Writes ids of the members in set (at most REPLICA_MEMBERS_MAX), and the broker epochs that they are
 * proposed under. Returns how many. */
int32_t replica_isr_list(const struct replica *core, uint64_t set, int32_t *ret_ids, int64_t *ret_epochs);

/* Asserts the invariants. */
void replica_check(const struct replica *core);
uint64_t replica_hash(const struct replica *core);

#endif
