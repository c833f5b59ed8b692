/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the checker share: events in order of time, and the tables that the checks walk. */
#ifndef SLUICE_TESTS_CHECKER_CHECKER_INT_H
#define SLUICE_TESTS_CHECKER_CHECKER_INT_H

#include "common/base/arena.h"
#include "common/base/assert.h"
#include "common/base/map.h"
#include "tests/checker/checker.h"

/* What an offset of a partition holds, by acknowledgments and polls. */
struct slot {
    int64_t offset;
    struct value *value;
    const struct checker_event *claim;      /* the first that says so */
    const struct checker_event *read;       /* the first poll that returned it */
    const struct checker_event *read_final; /* the same among final reads */
    uint32_t index;                         /* place in the version order of its key */
    int32_t epoch;                          /* of the batch, -1 unknown */
    bool stable;                            /* every reader that passes it must return it, unless trimmed */
};

/* Where one process stands in one partition, as a producer and as a consumer. */
struct cursor {
    const struct checker_event *sent;   /* invoke of the send with the highest acknowledged offset */
    const struct checker_event *polled; /* what put the position where it is; NULL: position unknown */
    uint32_t next;                      /* index in the version order that the next poll must start at */
    uint32_t resets;                    /* the process's resets of all keys when this was set */
    const struct checker_event *call;   /* invoke of the last poll; for realtime-lag */
};

/* From this event on what is below an offset may be gone. */
struct trim {
    const struct checker_event *event;
    int64_t end; /* where the log ended at least when it was written down, while events are gone through */
    struct trim *next;
};

/* One partition. */
struct key {
    uint32_t
        number; /* from 0, in order of first appearance; dense, so that it fits into the keys of other maps */
    uint32_t topic;
    int32_t partition;
    struct map slots;    /* offset -> struct slot */
    struct slot **order; /* the version order: by offset */
    uint32_t slot_count;
    uint32_t *stable_before; /* by index, slot_count + 1 of them: stable slots below it */
    const struct checker_event *
        *known_since; /* by index: the first acknowledgment among it and all above, or NULL */
    const struct slot
        *last_read; /* the highest slot that final polls returned; any polls if there are none */
    int64_t trim;   /* what is below may be gone, in the end */
    struct trim *trims, **trim_tail; /* those that allowed more than those before, in order of time */
    int64_t trimmed;                 /* what is below may be gone, while polls are gone through in order */
    int64_t log_start, end;          /* seen so far, while events are gone through in order */
    const struct checker_event *unclean; /* the first allowed unclean election */
    const struct checker_event *final;   /* the first final poll */
    const struct checker_event *acked;   /* the first acknowledged write that must stay */
    struct key *next;
};

/* One produced value. */
struct value {
    uint64_t id;
    uint32_t number; /* as of keys */
    struct key *key;
    const struct checker_event *invoke; /* NULL: nobody wrote it */
    const struct checker_event *place;  /* the first that says where it stands, with an offset */
    const struct checker_event *read, *read_final;
    struct txn *txn;
    int64_t from;       /* it stands here or above: the log ended there when it was sent */
    int64_t log_start;  /* seen by the time it was acknowledged with an offset */
    bool repeated;      /* a second place was seen */
    bool read_too_soon; /* reported by check_isolation() */
    struct value *next;
};

enum txn_outcome { TXN_UNKNOWN, TXN_COMMITTED, TXN_ABORTED };

struct txn_edge {
    struct txn *from; /* the transaction whose write was read */
    const struct checker_event *read;
    struct txn_edge *next;
};

struct txn {
    uint64_t id;
    const struct checker_event *begin, *commit, *abort; /* invokes */
    const struct checker_event *seen;                   /* a read_committed poll of one of its writes */
    enum txn_outcome outcome;
    struct txn_edge *reads_from;
    uint32_t mark;         /* of the search for circles */
    struct txn_edge *walk; /* the next edge that the search takes */
    struct txn *parent;
    const struct checker_event *parent_read;
    struct txn *next;
};

struct found {
    struct checker_violation kept[CHECKER_KEPT_MAX];
    uint64_t count;
};

struct checker {
    struct checker_options options;
    struct arena arena; /* everything below that is not malloc'd */
    char **sources;     /* malloc'd array */
    uint32_t source_count, source_cap;
    struct checker_event *events; /* malloc'd array, in order of time */
    size_t event_count, event_cap;
    struct map calls;                       /* process, call -> newest invoke */
    struct map keys;                        /* topic, partition -> struct key */
    struct map values;                      /* id -> struct value */
    struct map txns;                        /* id -> struct txn */
    struct map cursors;                     /* key number, process -> struct cursor */
    struct key *key_list, **key_tail;       /* in order of first appearance, so that findings are too */
    struct value *value_list, **value_tail; /* the same */
    struct txn *txn_list, **txn_tail;
    struct found *found; /* by kind */
    struct checker_stats stats;
    bool no_memory; /* sticky */
};

/* Zeroed memory that lives as long as the checker; NULL sets no_memory. */
void *check_alloc(struct checker *c, size_t count, size_t size);

/* map_put that sets no_memory. */
bool check_map_put(struct checker *c, struct map *map, uint64_t key, void *value);

/* Counts a violation and keeps it when there is room. */
void check_report(struct checker *c, const struct checker_violation *violation);

/* The same, or counts it as excused when the key had an allowed unclean election. */
void check_report_in(struct checker *c, const struct key *key, struct checker_violation violation);

/* The key of a record, made when new; NULL when it has none, or memory is out. */
struct key *check_key(struct checker *c, const struct history_record *rec);

/* The value of a record, or NULL when nobody has written or read it. */
struct value *check_value(struct checker *c, const struct history_record *rec);

/* A new value; also for one that was read but never written. NULL when memory is out. */
struct value *check_add_value(struct checker *c, const struct checker_event *e, struct key *key);

/* Reports that a record contradicts the history, or that other record of it (may be NULL). */
void check_bad(struct checker *c, const struct checker_event *e, const struct checker_event *other);

/* The transaction of a record, made when new; NULL when it is in none, or memory is out. */
struct txn *check_txn(struct checker *c, const struct history_record *rec);

/* A cursor, made when new; NULL when memory is out. */
struct cursor *check_cursor(struct checker *c, const struct key *key, uint32_t process);

/* The entry of a map under (high, low), made zeroed with `size` bytes when new; NULL when memory is out. */
void *check_entry(struct checker *c, struct map *map, uint32_t high, uint32_t low, size_t size);

/* The slot of an offset, or NULL. */
struct slot *check_slot(const struct key *key, int64_t offset);

/* A replica that began anew where the leader's log began, or was started again and read its log from there
 * on, knows nothing of producers whose records were all deleted, and lets those that it does not know begin
 * with any number (as in Kafka): a record that was repeated after its deletion may stand twice, the second
 * time behind what was sent after it. `first`: its first place, or one above that; `second`: the other one;
 * log_start: seen by the time of the second. Not one that stood at `second` before anybody asked for the
 * deletion of `first`, and not while another one of its producer is there, unless that was repeated, too. */
bool check_may_stand_again(const struct checker *c, const struct value *value, int64_t log_start,
                           int64_t first, int64_t second);

/* The smallest index of the version order with an offset of at least `offset`. */
uint32_t check_order_find(const struct key *key, int64_t offset);

/* Whether every reader that passes a value must return it: it was acknowledged or read, its transaction (if
 * any) was committed, and its writer was promised that it stays. After index_orders() has found the outcomes.
 */
bool check_stable(const struct value *value);

/* Whether what was told of a write's place holds for ever: no election cuts it off, and nobody writes it
 * twice. In a compacted topic (arg2) it may go, but to a newer one of its key, and its place stays its own.
 */
static inline bool check_keeps_place(const struct history_record *rec)
{
    return !(rec->flags & HISTORY_MAY_BE_LOST) || (rec->arg2 > 0 && !(rec->flags & HISTORY_MAY_REPEAT));
}

/* Whether a call ended in this way. */
static inline bool check_done(const struct checker_event *invoke, enum history_type type)
{
    return invoke && invoke->done && invoke->done->rec.type == type;
}

/* A record's place in a violation: key, value and offset of the record, and the events that show it. */
#define CHECK_FOUND(what, event, ...)                                                                        \
    ((struct checker_violation){.kind = CHECKER_##what,                                                      \
                                .topic = (event)->rec.topic,                                                 \
                                .partition = (event)->rec.partition,                                         \
                                .value = (event)->rec.value,                                                 \
                                .offset = (event)->rec.offset,                                               \
                                .events = {__VA_ARGS__}})

/* Whether a record is the result of a poll that carries a value. */
static inline bool check_is_read(const struct history_record *rec)
{
    return rec->op == HISTORY_POLL && rec->type == HISTORY_OK && rec->value != 0;
}

/* First the tables (in this order), then the checks (in any). */
void index_calls(struct checker *c); /* calls, keys, values, transactions; bad-history */
void index_slots(
    struct checker *c); /* what stands where: inconsistent-offsets, duplicate, phantom-read, wrong-key */
void index_orders(struct checker *c);      /* outcomes of transactions, version orders */
void check_presence(struct checker *c);    /* lost-write, unseen, no-final-read, torn-txn */
void check_compacted(struct checker *c);   /* lost-write */
void check_sends(struct checker *c);       /* nonmonotonic-send */
void check_polls(struct checker *c);       /* poll-skip, nonmonotonic-poll, realtime-lag */
void check_isolation(struct checker *c);   /* G1a, precommitted-read, consume-count */
void check_circles(struct checker *c);     /* G1c */
void check_samples(struct checker *c);     /* regress, early-delete */
void check_groups(struct checker *c);      /* lost-commit, dirty-commit, double-owner, stale-generation */
void check_registers(struct checker *c);   /* not-linearizable */
void check_replicas(struct checker *c);    /* divergence */
void check_metadata(struct checker *c);    /* two-leaders, image-divergence, entry-divergence, isr-foreign,
                                              isr-behind, not-durable */
void check_health(struct checker *c);      /* health, authz */
void check_gaps(struct checker *c);        /* gap */
void check_stable_ends(struct checker *c); /* hanging-txn */

#endif
