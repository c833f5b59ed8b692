/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the transaction core. */
#ifndef SLUICE_BROKER_CORE_TXN_INTERNAL_H
#define SLUICE_BROKER_CORE_TXN_INTERNAL_H

#include "broker/core/txn.h"
#include "common/base/assert.h"
#include "common/base/heap.h"
#include "common/base/map.h"
#include "common/base/wire.h"
#include "proto/kafka/error.h"

#define EPOCH_LAST     INT16_MAX       /* never handed out: left for fencing the one before it */
#define EPOCH_USED_UP  (INT16_MAX - 1) /* a producer at it gets another id next time */
#define NO_ID          (-1)
#define NO_EPOCH       (-1)
#define RETRY_WRITE_US (100 * 1000) /* a write that the log refused and that must come */

/* What the log says of a transactional id: one record. */
struct txn_image {
    int64_t producer_id, previous_id; /* previous_id: before the epochs of it were used up */
    int64_t next_id;                  /* takes over when a transaction completes (version 2); -1: none */
    int16_t epoch;
    enum txn_state state;
    int32_t timeout_ms;
    int64_t start_ms, update_ms;      /* wall clock; start_ms -1: no transaction */
    int16_t client_version;           /* transaction protocol of the client: 0 (also for 1) or 2 */
    struct txn_partition *partitions; /* the txn's own memory, sorted; topics too */
    int32_t partitions_count;
};

struct txn {
    struct txn *next; /* same hash */
    uint64_t hash;
    struct str id;
    bool known; /* the log has a record of it */
    struct txn_image image;
    int16_t last_epoch;        /* the client may repeat what bumped it to image.epoch; NO_EPOCH: not known */
    struct txn_write *pending; /* on its way to the log */
    struct list waiting;       /* calls, in the order they came */
    struct list ready;         /* txns->ready: markers to be taken */
    uint64_t token;            /* of the markers under way; 0: none */
    bool *marked;              /* which partitions have theirs */
    int32_t marked_count;
    uint64_t retry_us; /* a write that failed is to be made again; 0: none */
    struct heap_node timer;
};

struct txn_write {
    struct list link; /* txns->writes_new, then writes, by seq */
    struct coordinator_write out;
    struct txn *txn;
    struct txn_call *call; /* answered when committed, NULL: nobody */
    enum txn_state state;
    int16_t last_epoch;
    uint8_t bytes[];
};

struct txns {
    const struct core_alloc *alloc;
    const struct txn_settings *settings;
    uint64_t now_us;
    int64_t wall_ms;
    struct map by_hash; /* of struct txn, chained by next */
    uint32_t count;
    struct map by_token;
    struct heap timers;
    struct list writes_new, writes, settled, ready;
    uint64_t last_seq, last_token;
    struct writer out;
    struct arena replaying;
    uint64_t expiry_due_us;
    bool loading;
};

/* -- txn_table.c: memory and tables. Running out of memory stops the process: a coordinator that forgot
 * something would be worse. -- */
void *txn_alloc(struct txns *t, size_t size); /* zeroed */
void txn_release(struct txns *t, void *p, size_t size);
struct txn *txn_find(const struct txns *t, struct str id);
struct txn *txn_find_or_make(struct txns *t, struct str id);
void txn_drop(struct txns *t, struct txn *txn); /* nothing is pending, nobody waits */
void txn_each(const struct txns *t, void (*each)(void *ctx, struct txn *txn), void *ctx);
/* Takes copies of the partitions; image.partitions is replaced. */
void txn_set_partitions(struct txns *t, struct txn *txn, const struct txn_partition *partitions,
                        int32_t count);
/* Its place among those of the image; -1: it is not part of the transaction. */
int32_t txn_find_partition(const struct txn *txn, const struct txn_partition *partition);
void txn_sort_partitions(struct txn_partition *p, int32_t count);
int txn_partition_cmp(const struct txn_partition *a, const struct txn_partition *b);

/* -- txn_record.c -- */
/* Writes a record of next for txn: it is pending then. partitions: next's, need not be sorted or its own. */
struct txn_write *txn_write(struct txns *t, struct txn *txn, const struct txn_image *next,
                            struct txn_call *call);
/* The tombstone. */
struct txn_write *txn_write_gone(struct txns *t, struct txn *txn);
void txn_write_apply(struct txns *t, const struct txn_write *write);

/* -- txn_init.c, txn_add.c, txn_finish.c, txn_admin.c: the calls -- */
void txn_init(struct txns *t, struct txn_call *call);
void txn_add(struct txns *t, struct txn_call *call);
void txn_verify(struct txns *t, struct txn_call *call);
void txn_finish(struct txns *t, struct txn_call *call);
void txn_describe(struct txns *t, struct txn_call *call);
void txns_list(struct txns *t, struct txn_call *call);
/* The coordinator itself ends an ongoing transaction and fences its producer. call: who waits for it, or
 * NULL.
 */
void txn_abort(struct txns *t, struct txn *txn, struct txn_call *call);
/* Its markers are to be written (anew, after loading). */
void txn_markers_due(struct txns *t, struct txn *txn);
void txn_complete(struct txns *t, struct txn *txn);

/* Whether the call comes from the producer of the present epoch. EPOCH_LAST was given to nobody. */
static inline bool txn_is_epoch(const struct txn *txn, const struct txn_call *call)
{
    return txn->image.epoch == call->producer_epoch && call->producer_epoch != EPOCH_LAST;
}

/* -- txn.c -- */
void txn_settle(struct txns *t, struct txn_call *call, int16_t error);
/* The call waits for what is under way, then it is made again. */
void txn_wait(struct txns *t, struct txn *txn, struct txn_call *call);
/* Something about its deadlines changed. */
void txn_due(struct txns *t, struct txn *txn);

static inline bool txn_preparing(const struct txn *txn)
{
    return txn->image.state == TXN_PREPARE_COMMIT || txn->image.state == TXN_PREPARE_ABORT;
}

#endif
