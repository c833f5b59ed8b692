/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the core share. A command works in three steps: command_begin (memory for the answer),
 * plan_* (records, tried against the provisional image), command_end (propose and answer at commit, or answer
 * now). */
#ifndef SLUICE_CONTROLLER_CORE_INTERNAL_H
#define SLUICE_CONTROLLER_CORE_INTERNAL_H

#include "common/base/assert.h"
#include "controller/core/core.h"
#include "controller/core/partition_change.h"
#include "proto/kafka/error.h"

/* --- sessions: soft state of one registered broker --- */

#define INDEX_NONE UINT64_MAX /* not committed yet: no metadata index reaches it */

struct session {
    int32_t broker_id;
    int64_t broker_epoch;
    struct heap_node deadline; /* in core->deadlines while the session lives */
    struct list free;          /* link in free_sessions */
    bool contacted;            /* by this incarnation, in this period of leadership */
    bool suspected;            /* its connection closed and it was not heard from since */
    uint64_t suspected_us;
    uint64_t metadata_index;     /* the broker's image, as of its last heartbeat */
    uint64_t registration_index; /* of its registration record, or a later one */
    uint32_t leaves;             /* of in-sync replicas, in quick succession (churn.c) */
    uint64_t left_us;            /* the last one */
    uint64_t shutdown_index;     /* of the record that began its controlled shutdown */
};

struct session *session_find(const struct core *core, int32_t broker_id); /* NULL: none */

/* A fresh session for a registration (replaces an older one). Indexes are INDEX_NONE. NULL when memory is
 * out. */
struct session *session_start(struct core *core, int32_t broker_id, int64_t broker_epoch);
void session_extend(struct core *core, struct session *session); /* a full session from now */
void session_end(struct core *core, struct session *session);    /* the broker is gone; the record stays */
bool session_lives(const struct session *session);
void sessions_clear(struct core *core);
enum err sessions_grant_all(struct core *core); /* on activation */

/* --- churn.c: a replica that leaves the ISR again and again is let in again more and more slowly --- */

/* A leader took one of this broker's replicas out of an ISR, for lagging. */
void churn_left(struct core *core, int32_t broker_id);

/* Whether its replicas may join an ISR now. */
bool churn_may_join(const struct core *core, int32_t broker_id);

/* --- words.c: what replicas say that their logs hold, where nobody leads nor is known to be complete --- */

/* Takes note of a replica's word. Returns whose log is the longest (newest epoch, then highest end) once all
 * replicas have spoken and are there; NODE_NONE before, when it takes a person (disks_gone), or when memory
 * is out (they say it again). */
int32_t words_hear(struct core *core, const struct image *image, const struct image_partition *p,
                   const struct rpc_alter_partition *said, int32_t sender);
void words_clear(struct core *core);

/* --- balance.c: leaders go back to the first replicas --- */

void balance_arm(struct core *core);  /* after each change of the committed image */
void balance_run(struct core *core);  /* when core->balance_us has passed */
void balance_stop(struct core *core); /* leadership is lost */

/* --- effects --- */

/* Starts an event: forgets the last one's effects and memory. */
void event_begin(struct core *core, uint64_t now_us);

/* Room for one more effect, NULL when memory is out. */
struct core_effect *effect_add(struct core *core, enum core_effect_type type, uint64_t token);

/* --- plans: records tried against latest, then proposed --- */

struct plan {
    struct core *core;
    struct image_edit *edit; /* NULL until the first record */
    struct writer writer;    /* the entry being filled */
    int32_t entry_records;   /* in it */
    int32_t records_count;   /* in all entries */
    bool reviewed;           /* plan_review ran: once per plan, it looks at partitions as they were before */
    enum err err;            /* sticky */
};

/* Nothing is allocated until the first record. */
void plan_begin(struct plan *plan, struct core *core);

/* The image with the plan's own records applied; valid until the next record. */
const struct image *plan_image(const struct plan *plan);

/* Adds a record. Failures stick: ERR_NOMEM, ERR_TOO_LARGE. A record that contradicts the image is a
 * programmer's error. */
void plan_record(struct plan *plan, const struct meta_record *record);
void plan_partition(struct plan *plan, const struct meta_partition *record);

/* Adds a partition's next state, and counts and tells what it means: unclean elections, moves that end. */
struct partition_change;
void plan_change(struct plan *plan, const struct partition_change *change);

/* Here the plan may be cut into two entries: what came before stands alone. */
void plan_may_cut(struct plan *plan);

/* Here it is cut: what follows is another entry, and may review again. */
void plan_cut(struct plan *plan);

/* Proposes what was planned (nothing: no effect) and makes it part of latest; or, when the plan failed,
 * forgets it. */
enum err plan_end(struct plan *plan);
void plan_abort(struct plan *plan);

/* Brings every partition into the state the brokers and configs of plan_image allow: leaders and ISR members
 * that are not active go, offline partitions elect. lost_data_id: as in partition_goal. At most once in a
 * plan, which must not have changed partitions before. */
void plan_review(struct plan *plan, int32_t lost_data_id);

/* The same, of a broker that may have lost data at its last stop. */
struct broker_loss {
    int32_t broker_id;  /* NODE_NONE: nobody */
    bool unsynced_only; /* topics whose logs are synced before anything is acknowledged lost nothing */
    bool disk_gone;     /* everything is lost for sure: the broker has another data directory */
};
void plan_review_loss(struct plan *plan, const struct broker_loss *loss);

/* The record that fences, unfences or begins the shutdown of a registered broker, and the review it makes
 * necessary. */
void plan_broker_state(struct plan *plan, const struct image_broker *broker, bool fenced,
                       bool in_controlled_shutdown);

/* --- commands: a request that is being answered --- */

struct command {
    struct core *core;
    struct list link;   /* in core->waiters, then core->done */
    struct arena arena; /* holds this struct and the answer */
    uint64_t token;     /* the caller's */
    uint64_t waits_for; /* core token */
    struct plan plan;
    int32_t broker_id; /* the sender, where `committed` needs it */
    bool proposed;     /* its own records are in flight: the outcome is open until they commit */
    struct core_reply reply;
    void (*committed)(struct command *command, uint64_t index); /* may finish the reply; NULL */
};

/* NULL when the event was answered already: core inactive, too many waiters, no memory. */
struct command *command_begin(struct core *core, uint64_t now_us, uint64_t token, enum core_reply_type type);

/* Ends the plan and answers when everything the answer rests on is committed: now, or later. */
void command_end(struct command *command);

/* Drops the plan and answers with the error at once. */
void command_refuse(struct command *command, int16_t error);

/* A reply's error, leader and index, wherever its type has them. */
void reply_set(const struct core *core, struct core_reply *reply, int16_t error, uint64_t index);

/* --- admin commands: one file each; request and response are the Kafka structs. NOMEM sticks in the plan ---
 */

void *command_alloc(struct command *command, size_t count,
                    size_t size); /* zeroed, of the answer's life; failure sticks in the plan */

/* A copy of the answer's life; null stays null. Requests' strings do not live until the answer. */
struct str command_str(struct command *command, struct str s);

/* Text for error messages: %s struct str, %z C string, %d int64_t. Never null; empty when memory is out. */
struct str command_text(struct command *command, const char *format, ...);

/* Each fills reply.admin.response and plans its records. */
void create_topics(struct command *command, const void *request);
void delete_topics(struct command *command, const void *request);
void create_partitions(struct command *command, const void *request);
void alter_configs(struct command *command, const void *request);
void incremental_alter_configs(struct command *command, const void *request);
void elect_leaders(struct command *command, const void *request);
void alter_reassignments(struct command *command, const void *request);
void list_reassignments(struct command *command, const void *request);
void update_features(struct command *command, const void *request);
void unregister_broker(struct command *command, const void *request);

#endif
