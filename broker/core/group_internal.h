/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the group core: the tables, and what its files call of each other. */
#ifndef SLUICE_BROKER_CORE_GROUP_INTERNAL_H
#define SLUICE_BROKER_CORE_GROUP_INTERNAL_H

#include "broker/core/group.h"
#include "common/base/assert.h"
#include "common/base/heap.h"
#include "common/base/map.h"
#include "common/base/prng.h"
#include "common/base/wire.h"
#include "proto/kafka/error.h"

#define NEW_MEMBER_WAIT_US (5 * 60 * 1000000ull) /* a first join whose client is gone is not kept longer */

enum group_state { GROUP_EMPTY, GROUP_PREPARING, GROUP_COMPLETING, GROUP_STABLE, GROUP_STATE_COUNT };

struct member_protocol {
    struct str name;
    struct bytes metadata;
};

/* All strings and bytes are the member's own. */
struct member {
    struct list link; /* group->members, in order of joining */
    struct str id, instance_id, client_id, client_host;
    int32_t session_timeout_ms, rebalance_timeout_ms;
    struct member_protocol *protocols;
    int32_t protocols_count;
    struct bytes assignment;
    struct group_call *join, *sync; /* waiting, or NULL */
    uint64_t expires_us;            /* without another sign of life */
    bool is_new;                    /* has never been in a generation */
};

/* An id that was handed out and has not come back (KIP-394). */
struct pending_member {
    struct list link;
    struct str id;
    uint64_t expires_us;
};

struct group_offset {
    int32_t partition, leader_epoch;
    int64_t offset, commit_ms, expire_ms; /* expire_ms -1: by retention */
    struct str metadata;
};

struct group_topic {
    struct str name;
    struct group_offset *offsets; /* by partition */
    int32_t count, cap;
};

struct group {
    struct group *next; /* same hash */
    uint64_t hash;
    struct str id;
    enum group_state state;
    int32_t generation;
    struct str protocol_type, protocol, leader; /* null: none */
    struct list members, pending_members;
    int32_t members_count, joins_waiting;
    bool new_member_added;       /* since the initial delay began */
    bool initial;                /* the first join: waits out its delay whoever has joined */
    uint64_t initial_left_us;    /* by how much the initial delay may still be extended */
    uint64_t join_deadline_us;   /* PREPARING */
    uint64_t sync_deadline_us;   /* COMPLETING */
    int64_t state_ms;            /* wall clock of the last change of state, -1 unknown */
    bool stored;                 /* the log has a record of it */
    uint64_t storing_seq;        /* the leader's assignment on its way to the log; 0: none */
    bool untold;                 /* members' assignments are of a generation that nobody was told of (yet) */
    uint32_t writes;             /* under way */
    uint32_t record_writes;      /* of them WRITE_RECORDS */
    struct cgroup *consumer;     /* group_consumer.h; NULL: a classic group */
    uint64_t round_seq;          /* the write of the round under way (group_consumer.h); 0: none */
    struct list waiting;         /* calls that wait for its end */
    bool upgrading, downgrading; /* what the round is */
    struct heap_node timer;      /* may be early */
    struct group_topic *topics;  /* by name */
    int32_t topics_count, topics_cap;
};

enum write_type {
    WRITE_RECORDS, /* applied by replay when committed */
    WRITE_TXN,     /* the same, pending until a marker comes */
    WRITE_SYNC,    /* a generation's assignment: Stable when committed */
    WRITE_STATE,   /* says what is so already: static member replaced, group empty */
    WRITE_ROUND,   /* applied by replay when committed; the group does nothing else meanwhile */
};

struct write {
    struct list link; /* groups->writes_new, then writes, by seq */
    struct coordinator_write out;
    enum write_type type;
    struct group *group;
    struct group_call *call; /* answered when committed; NULL: nobody, or timed out */
    uint8_t bytes[];
};

struct groups {
    const struct core_alloc *alloc;
    const struct group_settings *settings;
    struct prng prng;
    uint64_t now_us;
    int64_t wall_ms;
    struct map by_hash; /* of struct group, chained by next */
    uint32_t count;
    uint64_t offsets_count;
    struct heap timers;     /* groups by timer */
    struct list writes_new; /* not taken yet */
    struct list writes;     /* taken, not committed yet */
    struct list settled;
    uint64_t last_seq;
    struct writer out; /* the write being made */
    int32_t out_count;
    struct arena replaying; /* decoded records */
    struct arena scratch;   /* of the call at hand */
    struct arena writing;   /* of the record at hand */
    uint64_t retention_due_us;
    struct map pending_txns; /* of struct pending_txn, by producer id (group_txn.c) */
    uint64_t last_order;
    bool loading;
};

/* -- group_table.c: memory and tables. Running out of memory stops the process: a coordinator that forgot
 * something would be worse. -- */
void *group_alloc(struct groups *g, size_t size); /* zeroed */
void group_release(struct groups *g, void *p, size_t size);
void *group_grow(struct groups *g, void *p, int32_t *cap, int32_t need, size_t size);
struct str group_str(struct groups *g, struct str s); /* a copy */
void group_str_drop(struct groups *g, struct str *s); /* becomes null */
void group_str_set(struct groups *g, struct str *to, struct str from);
void group_bytes_set(struct groups *g, struct bytes *to, struct bytes from);
struct group *group_find(const struct groups *g, struct str id);
struct group *group_find_or_make(struct groups *g, struct str id);
/* Drops a group that stands for nothing any more: empty, no offsets, nothing under way. */
void group_drop_if_void(struct groups *g, struct group *group);
void group_drop_all(struct groups *g);
void group_set_state(struct groups *g, struct group *group, enum group_state state);
/* Something about its deadlines changed: looks at it no later than due_us. */
void group_due(struct groups *g, struct group *group, uint64_t due_us);
void groups_each(const struct groups *g, void (*each)(void *ctx, struct group *group), void *ctx);

/* -- group_member.c -- */
struct member *member_find(const struct group *group, struct str id);
struct member *member_find_instance(const struct group *group, struct str instance_id);
struct pending_member *pending_find(const struct group *group, struct str id);
void pending_drop(struct groups *g, struct pending_member *pending);
/* A new id that begins with what the client calls itself, as far as there is room. The caller's copy. */
struct str member_id_make(struct groups *g, struct str prefix);
struct member *member_add(struct groups *g, struct group *group, struct str id, struct str instance_id);
void member_remove(struct groups *g, struct group *group, struct member *member);
void member_set_protocols(struct groups *g, struct member *member, const struct member_protocol *protocols,
                          int32_t count);
struct bytes member_metadata(const struct member *member, struct str protocol);
void member_alive(struct groups *g, struct group *group, struct member *member);
/* KAFKA_NONE and the member; UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID. */
int16_t member_check(const struct group *group, struct str id, struct str instance_id,
                     struct member **ret_member);
void settle(struct groups *g, struct group_call *call, int16_t error);
/* A copy in the call's arena; the null string when that is full (the call then fails). */
struct str call_str(struct group_call *call, struct str s);
struct bytes call_bytes(struct group_call *call, struct bytes b);

/* -- group_join.c -- */
void group_join(struct groups *g, struct group_call *call);
void group_prepare_rebalance(struct groups *g, struct group *group);
void group_try_complete_join(struct groups *g, struct group *group);
void group_join_due(struct groups *g, struct group *group);
/* A member is gone: rebalance, or perhaps the join is complete now. */
void group_member_left(struct groups *g, struct group *group);
bool group_supports(const struct group *group, struct str protocol);

/* -- group_sync.c -- */
void group_sync(struct groups *g, struct group_call *call);
void group_heartbeat(struct groups *g, struct group_call *call);
void group_leave(struct groups *g, struct group_call *call);
void group_sync_stored(struct groups *g, struct group *group, uint64_t seq, int16_t error);
void group_syncs_settle(struct groups *g, struct group *group, int16_t error);
void group_sync_due(struct groups *g, struct group *group);
void group_expire_members(struct groups *g, struct group *group);
uint64_t group_next_due(const struct group *group);

/* -- group_offsets.c -- */
void group_commit(struct groups *g, struct group_call *call);
void group_fetch(struct groups *g, struct group_call *call);
void group_offset_delete(struct groups *g, struct group_call *call);
struct group_topic *group_topic_find(const struct group *group, struct str name);
void group_offset_put(struct groups *g, struct group *group, struct str topic,
                      const struct group_offset *offset);
void group_offset_remove(struct groups *g, struct group *group, struct str topic, int32_t partition);
void group_offsets_clear(struct groups *g, struct group *group);
void groups_expire_offsets(struct groups *g);
/* Whether a member's subscription (Kafka's consumer protocol) names the topic; true when it cannot be read.
 */
bool group_subscribes(const struct group *group, struct str topic);

/* -- group_txn.c -- */
void group_txn_commit(struct groups *g, struct group_call *call);

/* group_offsets.c, for commits in a transaction, too: whether that member of a classic group may commit in
 * this generation (it counts as a sign of life); and one committed offset into the write that was begun (its
 * times are set here), or OFFSET_METADATA_TOO_LARGE, INVALID_COMMIT_OFFSET_SIZE (of the whole write). */
int16_t offsets_check_member(struct groups *g, struct group *group, struct str id, struct str instance_id,
                             int32_t generation);
int16_t offsets_write(struct groups *g, struct group *group, struct str topic, struct group_offset *offset);
void group_txn_apply(struct groups *g, const struct write *write);
/* A commit of the partition's offset without a transaction counts: what is pending is older. */
void group_txn_superseded(struct groups *g, struct str group, struct str topic, int32_t partition);
bool group_txn_pending(const struct groups *g, struct str group, struct str topic, int32_t partition);
void group_txns_drop_all(struct groups *g);
/* Tombstones for what is pending of a topic that was deleted. */
void group_txns_forget_topic(struct groups *g, struct str topic);

/* Nobody is in it, whatever its protocol. */
bool group_has_nobody(const struct group *group);

/* -- cgroup_round.c: calls that wait in group->waiting -- */
/* For the end of a round, or of the writes of offsets; a while at most. */
void group_wait(struct groups *g, struct group *group, struct group_call *call);
/* Answers those that have waited too long. */
void group_give_up_waiting(struct groups *g, struct group *group);
/* A write is over: who waited for that goes on; a group that stands for nothing any more is dropped. */
void group_writes_over(struct groups *g, struct group *group);

/* -- group_admin.c -- */
void group_describe(struct groups *g, struct group_call *call);
void group_delete(struct groups *g, struct group_call *call);
void groups_list(struct groups *g, struct group_call *call);

/* -- group_record.c -- */
void write_begin(struct groups *g);
void write_offset(struct groups *g, const struct group *group, struct str topic,
                  const struct group_offset *offset);
/* Tombstones may be many: what does not fit one batch goes on in the next write, all or nothing no more. */
void write_offset_gone(struct groups *g, struct group *group, struct str topic, int32_t partition);
void write_group(struct groups *g, const struct group *group); /* as it stands */
struct kafka_group_metadata_record_value;
void write_group_value(struct groups *g, const struct group *group,
                       const struct kafka_group_metadata_record_value *value);
void write_group_gone(struct groups *g, const struct group *group);
/* Ends it; the records go to the log. Nothing happens when none was written. Returns its seq, 0 for none. */
uint64_t write_end(struct groups *g, enum write_type type, struct group *group, struct group_call *call);
/* The same as the producer's transaction (WRITE_TXN). */
uint64_t write_end_txn(struct groups *g, struct group *group, struct group_call *call, int64_t producer_id,
                       int16_t producer_epoch);
void write_apply(struct groups *g, const struct write *write);

#endif
