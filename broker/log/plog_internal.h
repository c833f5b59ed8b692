/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of plog. Offsets are the log's, positions are bytes in a segment's .log file. */
#ifndef SLUICE_BROKER_LOG_PLOG_INTERNAL_H
#define SLUICE_BROKER_LOG_PLOG_INTERNAL_H

#include "broker/log/plog.h"
#include "broker/log/plog_aside_int.h"
#include "broker/log/plog_damage.h"
#include "broker/log/plog_handles.h"
#include "broker/log/plog_ranges.h"
#include "broker/log/plog_stage_int.h"
#include "broker/log/tail_cache.h"
#include "common/batch/batch.h"
#include "common/logformat/file_name.h"
#include "common/logformat/index_entry.h"
#include "common/logwalk/file_load.h"
#include "common/logwalk/walk.h"

#define PLOG_NAME_MAX 32 /* "<20 digits>.timeindex" and its zero, or another file of the directory */
#define PLOG_PATH_MAX 1024
#define PLOG_RECENT   32 /* power of two */
#define PLOG_HINTS    4  /* power of two */
#define PLOG_CHUNK    (256 * 1024)
/* Both indexes of a segment. In memory while the segment is active or being rebuilt; else only the files. */
struct plog_index {
    struct offset_entry *offsets;
    struct time_entry *times;
    uint32_t offsets_count, offsets_cap, offsets_flushed;
    uint32_t times_count, times_cap, times_flushed;
    struct env_file *offset_file, *time_file; /* NULL: not open */
    bool in_memory;
    bool trim;    /* the files may hold more than memory: cut them before the next write */
    bool trusted; /* files were checked or written by this process */
};

struct plog_segment {
    int64_t base_offset;
    uint32_t size;
    uint32_t allocated;          /* the file's size when that is more: zeros, room for what comes */
    uint32_t since_index;        /* bytes since the last index entry */
    uint32_t verified_from;      /* this process appended or checked everything from here on */
    struct plog_ranges verified; /* and these ranges below */
    int64_t max_timestamp;       /* -1: none; of closed segments only when times_known */
    int64_t max_timestamp_offset;
    bool times_known;
    bool times_exact;        /* from the batches, not from an index that a crash may have torn */
    int64_t first_timestamp; /* of the first batch, for rolling by time; 0: not read yet */
    int64_t jitter_ms;       /* taken off segment.ms */
    bool swapping;           /* its file is still called .log.swap (plog_compact.c) */
    bool dirty;              /* has bytes (or a truncation) that no sync covers */
    bool txn_dirty;          /* so has its .txnindex */
    bool txn_none;           /* no transaction was aborted in it: there is no .txnindex to look at */
    struct env_file *file;   /* NULL: not open */
    struct plog_slot *slot;  /* files are open, and counted (plog_handles.h); else NULL */
    struct plog_index index;
};

/* Where recent batches of the active segment begin: exact positions for readers at the tail. */
struct plog_recent {
    int64_t base_offset;
    uint32_t position;
};

/* Where a reader will go on. A guess: what is there is looked at. */
struct plog_hint {
    int64_t base_offset; /* of the segment */
    int64_t offset;
    uint32_t position;
};

/* One sync under way: several files and directories that count as one. */
struct plog_part {
    struct env_io io;
    struct plog_round *round;
    struct env_file *file; /* NULL: a directory */
    bool owned;
};
#define PLOG_PARTS_MAX 6

struct plog_round {
    struct plog *log;
    struct plog_part parts[PLOG_PARTS_MAX];
    int parts_count, parts_left;
    int64_t target; /* synced end on success */
    enum err err;
    bool more; /* another sync was asked for meanwhile */
};

struct plog_compaction;

struct plog {
    struct env *env;
    struct plog_handles *handles; /* NULL: nobody counts */
    struct plog_config config;
    struct core_alloc alloc;
    struct uuid topic_id;
    char *dir;                     /* path of ours */
    const char *data_dir;          /* the setup's */
    struct plog_segment *segments; /* at least one; the last is active */
    int32_t segments_count, segments_cap;
    int64_t start, end, synced_end;
    enum err failed;
    struct epoch_cache epochs;
    struct producer_state producers;
    bool epochs_dirty;   /* checkpoint file is older than the cache */
    bool epochs_renewed; /* from the batches, since the checkpoint was found to be wrong */
    bool epochs_asked;   /* the batches agreed with it */
    bool meta_dirty;     /* partition.metadata and the directory itself are new */
    bool dir_dirty;      /* entries of the directory changed */
    struct plog_recent recent[PLOG_RECENT];
    uint32_t recent_count; /* of all pushes */
    struct plog_hint hints[PLOG_HINTS];
    uint32_t hints_count; /* of all pushes */
    struct tail tail;     /* newest batches in memory */
    struct plog_staged staged;
    _Atomic uint64_t *writes;           /* counts writes of batches; may be NULL */
    uint32_t rolls;                     /* segments ended since opening */
    uint32_t layout;                    /* changes when segments are cut, replaced, mended or removed */
    int64_t cleaned_to;                 /* offsets below it were compacted */
    struct plog_compaction *compaction; /* NULL: none runs */
    struct plog_round *round;           /* NULL: no sync runs */
    struct plog_round *spare;           /* kept for the next */
    struct plog_damage *damages;        /* in order of offset */
    int32_t damages_count, damages_cap;
    struct env_task fail_task; /* tells a failure that was found while starting a sync (E2) */
    bool closing;              /* freed when the running round ends */
    struct plog_asides asides;
    struct plog_remade *remade; /* an index that is made anew; NULL: none */
    uint32_t remade_count;
    void (*synced)(void *ctx, int64_t synced_end, enum err err);
    void (*learned)(void *ctx, enum err err);
    void (*damaged)(void *ctx, const struct plog_damage *damage);
    void *ctx;
};

static inline struct plog_segment *plog_active(struct plog *log)
{
    return &log->segments[log->segments_count - 1];
}

/* First offset behind the segment at place i. */
static inline int64_t plog_segment_end(const struct plog *log, int32_t i)
{
    return i + 1 < log->segments_count ? log->segments[i + 1].base_offset : log->end;
}

/* -- plog.c -- */
/* Notes the first failure and gives it back. */
enum err plog_fail(struct plog *log, enum err err);
void plog_free(struct plog *log);

/* -- plog_room.c -- */
/* Room for len bytes behind the segment's. ERR_NO_SPACE: there is none, and nothing has changed. */
enum err plog_make_room(struct plog *log, struct plog_segment *seg, struct env_file *file, uint32_t len);
enum err plog_return_room(struct plog *log, struct plog_segment *seg);

/* -- plog_sync.c -- */
void plog_sync_init(struct plog *log);

/* -- plog_read.c -- */
/* Makes max_timestamp of a segment known. */
enum err plog_segment_times(struct plog *log, struct plog_segment *seg);

/* -- plog_truncate.c -- */
/* Unlinks the producer snapshots above offset. */
enum err plog_snapshots_drop(struct plog *log, int64_t above);

/* -- plog_files.c: names and small files -- */
/* "<dir>/<20 digits><suffix>" */
void plog_path(const struct plog *log, int64_t offset, const char *suffix, char out[PLOG_PATH_MAX]);
void plog_path_name(const struct plog *log, const char *name, char out[PLOG_PATH_MAX]);
/* Replaces a file through name.tmp and rename; nothing is synced; *ret_file (may be NULL) gets a handle for a
 * later sync. */
enum err plog_file_replace(struct plog *log, const char *name, const void *p, uint32_t len,
                           struct env_file **ret_file);
enum err plog_meta_open(struct plog *log, bool *ret_created);
enum err plog_meta_write(struct plog *log);
enum err plog_meta_file(struct plog *log, struct env_file **ret_file); /* to be synced */
enum err plog_epochs_load(struct plog *log); /* ERR_NOT_FOUND, ERR_MALFORMED ... : rebuild */
enum err plog_epochs_write(struct plog *log, struct env_file **ret_file);
enum err plog_snapshot_write(struct plog *log, struct env_file **ret_file); /* at the log end */
/* Producer state as of the log end: newest usable snapshot, then the batches behind it. */
enum err plog_producers_load(struct plog *log);
/* The same up to the end of the segment at that place, from a snapshot at or below its base. */
enum err plog_producers_replay(struct plog *log, int32_t place);

/* -- plog_segment.c -- */
/* Opens when needed; what is staged for the segment is written first. */
enum err plog_segment_file(struct plog *log, struct plog_segment *seg, struct env_file **ret_file);
/* Of the active segment, to append to it: what is staged may stay so. */
enum err plog_active_file(struct plog *log, struct env_file **ret_file);
enum err plog_segment_add(struct plog *log,
                          int64_t base_offset); /* creates files lazily; becomes the active one */
/* An empty segment before all others. */
enum err plog_segment_insert_first(struct plog *log, int64_t base_offset);
enum err plog_roll(struct plog *log);
void plog_segment_close(struct plog_segment *seg);
enum err plog_segment_unlink(struct plog *log, struct plog_segment *seg);
/* Removes places [from, from + count) from the list, closing and unlinking. */
enum err plog_segments_remove(struct plog *log, int32_t from, int32_t count);
int32_t plog_segment_find(const struct plog *log,
                          int64_t offset); /* place of the segment that holds offset */

/* -- plog_read.c, plog_fetch.c -- */
/* Exact start of the batch that holds offset, when it is among the last few. */
bool plog_recent_position(const struct plog *log, int64_t offset, uint32_t *ret_position);
/* Segments were replaced or cut: what was remembered of places in them is void. */
void plog_forget_places(struct plog *log);
/* Checksum, leader epoch, and offset (expected; -1: any; above it where there may be gaps) are right. */
bool plog_batch_good(struct plog *log, const uint8_t *p, size_t size, int64_t expected);
/* [from, to) was read and found good, next_offset follows: it may leave unread from now on. */
void plog_verified(struct plog *log, struct plog_segment *seg, uint32_t from, uint32_t to,
                   int64_t next_offset);

/* -- plog_walk.c -- */
/* plog_walk_start() on a segment of the log. */
enum err plog_walk_begin(struct plog_walk *walk, struct plog *log, struct plog_segment *seg,
                         uint32_t position, bool check_crc);

/* -- plog_recover.c -- */
enum err plog_recover(struct plog *log, const struct plog_setup *setup, struct plog_report *report);
enum err plog_rebuild_index(struct plog *log, struct plog_segment *seg);
/* The same for any segment, the active one too. */
enum err plog_index_renew(struct plog *log, struct plog_segment *seg);
enum err plog_rebuild_epochs(struct plog *log);
/* Where the epoch of a batch at base_offset began, which is newer than that of the batch before it, which
 * ended at behind: compaction may have taken what it began with. As `said` (NULL: nothing) has it, if that
 * can be. */
int64_t plog_epoch_began(const struct epoch_cache *said, int32_t epoch, int64_t behind, int64_t base_offset,
                         int64_t unsaid);
/* Takes a batch of segment seg into the producer state, and an aborted transaction into the segment's index.
 * bytes: all of a control batch, else not looked at. replayed: the index may have the transaction already. */
enum err plog_take_producer(struct plog *log, struct plog_segment *seg, const struct batch_header *batch,
                            const uint8_t *bytes, bool replayed);

#include "broker/log/plog_damage_int.h"
#include "broker/log/plog_index_int.h"

#endif
