/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the group core: groups of the consumer protocol (KIP-848).
 *
 * A group with a `consumer` part is one; its classic members list is empty, its offsets are where every
 * group's are. All that the log knows of it changes in rounds: one call (or one silence) at a time is worked
 * out into records, the records are written, and when they are committed they are applied as loading would
 * apply them, and the call is answered. Meanwhile other calls about the group wait (group->waiting). So every
 * decision is made from committed state, and a refused write changes nothing.
 *
 * Group:  EMPTY no members; ASSIGNING epoch > target_epoch; RECONCILING some member is not there yet; STABLE.
 *
 *   member \ event   heartbeat: target ahead     ... gave up what it should   ... partitions came free
 * silence STABLE           -> UNREVOKED, UNRELEASED,   -                            - gone STABLE at
 * target_epoch UNREVOKED        waits                       -> as STABLE                 - gone (also after
 * its rebalance time-out) UNRELEASED       -> as STABLE                -                            takes
 * them                 gone
 *
 * A partition is in the `assigned` or `revoking` set of at most one member, always (checked).
 */
#ifndef SLUICE_BROKER_CORE_GROUP_CONSUMER_H
#define SLUICE_BROKER_CORE_GROUP_CONSUMER_H

#include "broker/core/assignor.h"
#include "broker/core/group_internal.h"

#define CONSUMER_PROTOCOL "consumer"

#define MEMBER_EPOCH_JOIN         0
#define MEMBER_EPOCH_LEAVE        (-1)
#define MEMBER_EPOCH_LEAVE_STATIC (-2)

enum cmember_state {
    CMEMBER_STABLE = 0,
    CMEMBER_UNREVOKED = 1,
    CMEMBER_UNRELEASED = 2
}; /* Kafka's numbers */

/* All memory is the member's own, but for copies made within a round (struct plan). */
struct cmember {
    struct list link; /* cgroup->members, by id */
    struct str id, instance_id, rack_id, client_id, client_host;
    struct str *topics; /* subscribed names, rising */
    int32_t topics_count;
    struct str regex, assignor; /* null: none */
    int32_t rebalance_timeout_ms;
    bool classic; /* speaks the classic protocol; then: */
    int32_t session_timeout_ms;
    struct member_protocol *protocols;
    int32_t protocols_count;
    int32_t epoch, previous_epoch;
    enum cmember_state state;
    struct tp_set assigned, revoking, target;
    /* Not in the log: */
    uint64_t expires_us;    /* without another sign of life */
    uint64_t revoke_due_us; /* UNREVOKED: patience ends; 0: none */
    uint64_t join_due_us;   /* classic, was told to join again, or to sync; 0: none */
};

/* What a regular expression of members stands for. */
struct cregex {
    struct str regex;
    struct str *topics; /* rising */
    int32_t topics_count;
    int64_t version, timestamp_ms;
};

struct cgroup {
    struct list members;
    int32_t members_count;
    int32_t epoch, target_epoch;
    int64_t metadata_hash;
    struct cregex *regexes;
    int32_t regexes_count;
    uint64_t metadata_seen;     /* version of the topics that hash and regexes are of */
    uint64_t regex_resolved_us; /* when they were last resolved here; 0: not yet */
};

/* -- cgroup_table.c -- */
struct cgroup *cgroup_make(struct groups *g, struct group *group); /* there is one afterwards */
void cgroup_drop(struct groups *g, struct group *group);           /* with all members */
struct cmember *cmember_find(const struct cgroup *cg, struct str id);
struct cmember *cmember_find_instance(const struct cgroup *cg, struct str instance_id);
struct cmember *cmember_make(struct groups *g, struct cgroup *cg, struct str id); /* or the one there is */
void cmember_remove(struct groups *g, struct cgroup *cg, struct cmember *member);
void strs_set(struct groups *g, struct str **to, int32_t *count, const struct str *from, int32_t from_count);
void tp_set_store(struct groups *g, struct tp_set *to, const struct tp_set *from);
struct cregex *cregex_find(const struct cgroup *cg, struct str regex);
struct cregex *cregex_make(struct groups *g, struct cgroup *cg, struct str regex);
void cregex_remove(struct groups *g, struct cgroup *cg, struct str regex);
void protocols_set(struct groups *g, struct member_protocol **to, int32_t *count,
                   const struct member_protocol *from, int32_t from_count);
void cmember_alive(struct groups *g, struct group *group, struct cmember *member);
uint64_t cmember_session_us(const struct groups *g, const struct cmember *member);
bool cmember_on_target(const struct cgroup *cg, const struct cmember *member);
const char *cgroup_state_name(const struct cgroup *cg);
void cgroup_check(const struct cgroup *cg);
uint64_t cgroup_digest(const struct group *group);

/* -- cgroup_record.c: making and applying -- */
enum err cgroup_replay(struct groups *g, int16_t type, struct reader *key, struct bytes value);
void write_cgroup_epoch(struct groups *g, const struct group *group, int32_t epoch, int64_t hash);
void write_cgroup_regex(struct groups *g, const struct group *group, const struct cregex *regex);
void write_cgroup_regex_gone(struct groups *g, const struct group *group, struct str regex);
void write_cgroup_target_epoch(struct groups *g, const struct group *group, int32_t epoch);
void write_cmember_metadata(struct groups *g, const struct group *group, const struct cmember *member);
void write_cmember_target(struct groups *g, const struct group *group, struct str id,
                          const struct tp_set *set);
void write_cmember_current(struct groups *g, const struct group *group, const struct cmember *member);
void write_cmember_gone(struct groups *g, const struct group *group, struct str id);
void write_cgroup_gone(struct groups *g, const struct group *group); /* all that there is of it */

/* -- cgroup_round.c -- */
void cgroup_begin_sessions(struct groups *g, struct group *group);
bool group_round_waits(struct groups *g, struct group *group, struct group_call *call);

/* Begins a round that makes way for a call, which is run once that is done; refused with it otherwise. */
void group_round_make_way(struct groups *g, struct group *group, struct group_call *call);
/* Ends the write begun: its records are a round of the group. False: there were none, the call is still open.
 */
bool group_round_begin(struct groups *g, struct group *group, struct group_call *call);
void group_round_over(struct groups *g, struct group *group, int16_t error);
void groups_run_waiting(struct groups *g, struct list *waiting);
void cgroup_tick(struct groups *g, struct group *group);
uint64_t cgroup_next_due(const struct group *group);
void group_call_start(struct groups *g, struct group_call *call);

/* -- cgroup_plan.c -- */

/* A change of one member, worked out: what its records will say. All in g->scratch. */
struct plan_member {
    const struct cmember *member;
    int32_t *topics; /* places in plan.topics */
    int32_t topics_count;
    struct tp_set target;
};

struct plan_topic {
    struct group_topic_view view;
};

struct plan {
    struct groups *g;
    struct group *group;
    struct cgroup *cg;
    const struct cmember *old;      /* NULL: new */
    const struct cmember *replaced; /* the static member whose place it takes; its records go */
    struct cmember next;
    bool subscription_changed;
    const struct tp_set *owned; /* what the member says it owns; NULL: did not say */
    /* Worked out: */
    struct plan_member *members;
    int32_t members_count;
    struct plan_topic *topics; /* by id */
    int32_t topics_count;
    struct cregex *regexes; /* those in use */
    int32_t regexes_count;
    int32_t epoch, target_epoch;
    int64_t hash;
};

/* Works the plan out and writes its records (between write_begin and group_round_begin). KAFKA_NONE, or why
 * the call fails; nothing has happened then. */
int16_t plan_run(struct plan *plan);

/* The member's next step towards its target (pure). False: memory is out. */
bool plan_reconcile(struct plan *plan, const struct tp_set *target);

/* A pattern is sound: KAFKA_NONE, INVALID_REGULAR_EXPRESSION. */
int16_t plan_check_regex(struct groups *g, struct str regex);

/* Whether every partition that the member still waits for is free now. */
bool cmember_may_take_more(struct groups *g, const struct cgroup *cg, const struct cmember *member);

/* -- cgroup_heartbeat.c -- */
void cgroup_heartbeat(struct groups *g, struct group_call *call);
/* Writes what takes these members out of the group, and the next epoch. */
void cgroup_write_fence(struct groups *g, struct group *group, struct cmember *const *gone, int32_t count);
/* Whether a member of this epoch (classic: generation) may commit or fetch. */
int16_t cgroup_check_epoch(struct groups *g, struct group *group, struct str member_id,
                           struct str instance_id, int32_t epoch, int16_t stale_error);

/* -- cgroup_classic.c: members of the classic protocol in such a group -- */
void cgroup_join(struct groups *g, struct group *group, struct group_call *call);
void cgroup_sync(struct groups *g, struct group *group, struct group_call *call);
void cgroup_classic_heartbeat(struct groups *g, struct group *group, struct group_call *call);
void cgroup_leave(struct groups *g, struct group *group, struct group_call *call);

/* -- cgroup_convert.c: between the protocols -- */
/* Makes the classic group with members a consumer group, in a round of its own after which the call runs
 * again. KAFKA_NONE, or why it cannot be. */
int16_t group_upgrade(struct groups *g, struct group *group, struct group_call *call);
/* Only classic members are left: makes it a classic group again. */
bool group_may_downgrade(const struct groups *g, const struct group *group);
void group_downgrade(struct groups *g, struct group *group);
/* After a downgrade was applied. */
void group_downgraded(struct groups *g, struct group *group);

/* -- cgroup_protocol.c: Kafka's consumer protocol, inside of classic members' bytes -- */
bool protocol_read_subscription(struct groups *g, struct bytes metadata, struct str **ret_topics,
                                int32_t *ret_count, struct tp_set *ret_owned);
bool protocol_read_assignment(struct groups *g, struct bytes assignment, struct tp_set *ret);
struct bytes protocol_write_assignment(struct groups *g, struct arena *arena, struct bytes metadata,
                                       const struct tp_set *set);

/* -- cgroup_admin.c -- */
void cgroup_describe(struct groups *g, struct group_call *call);
bool cgroup_subscribes(const struct cgroup *cg, struct str topic);

#endif
