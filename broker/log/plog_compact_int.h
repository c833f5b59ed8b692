/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of compaction. A job belongs to the log's loop between steps and to one worker during a step. */
#ifndef SLUICE_BROKER_PLOG_COMPACT_INT_H
#define SLUICE_BROKER_PLOG_COMPACT_INT_H

#include "broker/log/compact_batch.h"
#include "broker/log/plog_compact.h"
#include "broker/log/plog_internal.h"
#include "broker/log/plog_txnindex.h"

#define COMPACT_STEP_BYTES  (1u << 20) /* read in one step: bounds abort latency and throttling bursts */
#define COMPACT_WRITE_BYTES (256u << 10)

enum compact_stage {
    COMPACT_MAP,      /* worker: keys of the dirty part */
    COMPACT_COPY,     /* worker: batches of the present group */
    COMPACT_SYNC,     /* the new segment is being synced */
    COMPACT_NAMED,    /* it is `.swap`; that name is being synced */
    COMPACT_SWITCHED, /* readers use it; the removal of the old names is being synced */
};

struct compact_source {
    int64_t base_offset, end_offset;
    uint32_t size;
};

/* A producer that is known, and its newest batch among the sources, -1: none was met. What the log has behind
 * them may not be committed, and be cut again: it does not stand for that one. */
struct compact_producer {
    int64_t producer_id, last_offset;
};

/* Open transactions while batches go by in order. */
struct compact_txn {
    int64_t producer_id;
    struct txn_entry aborted;
    bool is_aborted, has_data;
    bool in_log; /* some of the data is not below the log start: the index must know */
};

struct compact_txns {
    struct txn_entry *list; /* of all sources, by first offset */
    uint32_t list_count, list_cap, next;
    struct compact_txn *open;
    uint32_t open_count, open_cap;
    int64_t log_start; /* from where the index was made, or from an earlier one */
    enum err err;
};

struct plog_compaction {
    struct env *env;
    struct plog *log; /* NULL: closed */
    void (*done)(void *ctx, const struct plog_compacted *result);
    void *ctx;
    atomic_bool stop; /* the worker gives up soon */
    bool settled;     /* the swap under way was finished or undone by someone in a hurry */
    struct env_work work;
    struct env_io io;
    struct env_timer pause;
    enum compact_stage stage;
    struct plog_compact_rules rules;
    struct plog_compacted result;
    uint64_t step_bytes; /* read and written since the last pause */

    /* the worker's during a step */
    struct plog shadow; /* directory and settings for what works on a log; never the log itself */
    struct plog_segment in, out;
    struct plog_walk walk;
    bool walking;
    int64_t expected; /* offset of the walk's next batch, or less where some are missing */
    struct compact_source *sources;
    int32_t sources_count, at; /* source being read */
    int64_t *index_bases; /* segments whose .txnindex may speak of the sources: those and all later ones */
    int32_t index_bases_count;
    int32_t group_from, group_to; /* sources of the segment being written */
    int64_t first_dirty, map_end;
    struct offset_map map;
    struct compact_producer *producers; /* by producer id */
    uint32_t producers_count;
    struct compact_txns txns;
    struct compact_filter filter;
    struct batch_scratch scratch;
    struct compact_buffer buffer; /* to be written */
    struct env_file *out_file;
    struct txn_entry *kept_aborted;
    uint32_t kept_aborted_count;
    bool changed; /* the group's bytes differ from its sources' */
    enum err err;
};

/* plog_compact_work.c: one step on a worker. Afterwards stage is MAP or COPY (go on), or SYNC (a segment is
 * complete), or err is set. */
void compact_step(struct plog_compaction *job);
/* The order of `producers`, by producer id: for qsort() and bsearch(). */
int compact_producer_order(const void *a, const void *b);
/* Frees the worker's things. */
void compact_work_free(struct plog_compaction *job);

/* plog_compact_txn.c: called for every batch in order. True: its records do not count. */
enum err compact_txns_load(struct plog_compaction *job);
bool compact_txns_batch(struct plog_compaction *job, const uint8_t *batch);
void compact_txns_restart(struct compact_txns *txns);
void compact_txns_free(struct compact_txns *txns);

#endif
