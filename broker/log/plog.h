/* SPDX-License-Identifier: Apache-2.0 */
/* The log of one partition replica: Kafka's directory `<topic>-<n>/` with segments of v2 record batches,
 * sparse offset and time indexes, producer snapshots, leader-epoch-checkpoint and partition.metadata (DESIGN,
 * Data). It owns what is derived from the batches: indexes, epoch cache, producer state.
 *
 * A log runs on one loop. The first failed write or sync is final (plog_failed): every later call gives that
 * error and nothing is believed.
 */
#ifndef SLUICE_BROKER_LOG_PLOG_H
#define SLUICE_BROKER_LOG_PLOG_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/core/epoch_cache.h"
#include "broker/core/producer_state.h"
#include "common/base/types.h"
#include "common/env/env.h"

#define PLOG_DIR_MAX           768       /* path of the directory, with its zero */
#define PLOG_SEGMENT_BYTES_MAX INT32_MAX /* positions in an offset index are 32 bits */
#define PLOG_INDEX_INTERVAL    4096      /* Kafka's index.interval.bytes */
#define PLOG_READ_BYTES_MAX    (2 << 20) /* one read's memory, unless a single batch is larger */
#define PLOG_DAMAGE_TEXT_MAX   160

struct plog;
struct plog_damage;
struct tail_cache;
struct plog_handles;

struct plog_config {
    int64_t segment_bytes;        /* a segment that would grow beyond it is rolled */
    int32_t index_interval_bytes; /* 0: PLOG_INDEX_INTERVAL */
    int32_t segment_index_bytes;  /* a segment whose index would grow beyond it is rolled; 0: no limit */
    int64_t segment_ms;           /* so is one whose records span more time; 0: no limit */
    int64_t segment_jitter_ms;    /* the most that is taken off segment_ms at random, per segment */
    uint64_t producer_expiry_us;
    bool may_have_gaps; /* compacted: offsets may be missing between batches */
};

struct plog_setup {
    struct env *env;
    struct tail_cache *tail_cache; /* may be NULL; outlives the log */
    struct plog_handles *handles;  /* budget of descriptors; may be NULL; outlives the log */
    const char *data_dir;          /* exists; outlives the log */
    const char *name;              /* "<topic>-<n>", below data_dir */
    struct uuid topic_id;
    struct plog_config config;
    /* What the manifest says: the last stop was clean (nothing needs a scan); bytes below recovery_point were
     * synced once; log start. */
    bool clean;
    int64_t recovery_point, log_start;
    /* Not clean, and the machine lost its page cache since: what was not synced reached the disk in any
     * order, so a good batch behind a bad one past the recovery point proves nothing. */
    bool power_lost;
    /* A write or sync of this log failed at recovery_point: no sync of what lies behind it is believed, all
     * of it is checked and written again. So it is after any end that was not clean, if the machine kept its
     * page cache: the process may have died of a failed sync before it could tell. */
    bool sync_failed;
    int64_t cleaned_to; /* compacted below; 0: never */
    /* Segments below log_start stay until plog_trim(): the manifest may not hold log_start for good yet. */
    bool keep_segments;
    /* After each finished sync: everything below synced_end is durable; or the failure, which is final. */
    void (*synced)(void *ctx, int64_t synced_end, enum err err);
    /* Not NULL: once the log is open, calls that say so do not wait for the disk but answer ERR_BUSY; what
     * they need is read aside (plog_aside.h), and learned() tells that it was (err: or why not). */
    void (*learned)(void *ctx, enum err err);
    /* A damaged range was found aside. May be NULL. */
    void (*damaged)(void *ctx, const struct plog_damage *damage);
    void *ctx;
    _Atomic uint64_t *writes; /* writes of appended batches are counted there; may be NULL */
};

/* What opening found. */
struct plog_report {
    bool created;
    int64_t scanned_bytes;
    int64_t cut_bytes;    /* of a torn tail, removed */
    bool cut_good;        /* good batches were among them: written, but not known to be synced */
    bool doubt;           /* they were perhaps synced, now or when the log was opened before: stands until
                             plog_doubt_clear() (plog_torn.h) */
    int64_t missing_from; /* log end when it lies below recovery_point: synced offsets are gone without a
                             trace; else -1 */
    int32_t damages;      /* damaged ranges (plog_damage.h): their synced bytes are bad or missing */
    bool rebuilt_epochs;  /* leader-epoch-checkpoint was unusable */
    char damage[PLOG_DAMAGE_TEXT_MAX]; /* the first damaged range, or ERR_CORRUPT: file, position, reason */
};

/* Opens, creates or recovers. ERR_MISMATCH: the directory is another topic's (its partition.metadata).
 * Bad bytes are cut or become damaged ranges (plog_damage.h; DESIGN, Damage or torn tail). ERR_CORRUPT:
 * segments overlap; nothing was changed, see ret_report->damage. Else errors of the disk, ERR_NOMEM. Blocking
 * reads and writes. */
enum err plog_open(const struct plog_setup *setup, struct plog **ret_log, struct plog_report *ret_report);

/* Writes derived files and blocks until all that cannot be derived again is durable; afterwards the log may
 * be opened as clean. ERR_BUSY: a sync is under way, whose failure nobody would hear of; nothing was done,
 * and what lies above plog_synced_end() is scanned (and written again) at the next start. */
enum err plog_close_clean(struct plog *log);

/* Frees without writing. A sync in flight is waited for in the background: `synced` is not called again. */
void plog_close(struct plog *log);

/* Renames the directory to <name>.deleted-<random>, unlinks its files and frees the log. */
void plog_delete(struct plog *log);

/* -- figures -- */

/* Offsets: the first that is kept, the next to be written, the first that is not known to be durable. */
int64_t plog_start(const struct plog *log);
int64_t plog_end(const struct plog *log);
int64_t plog_synced_end(const struct plog *log);

/* The first failed write or sync; OK: none. */
enum err plog_failed(const struct plog *log);

/* Bytes of batches in all segments. */
uint64_t plog_size_bytes(const struct plog *log);

/* What is derived from the batches; the log's, changed only through it. */
struct epoch_cache *plog_epochs(struct plog *log);
struct producer_state *plog_producers(struct plog *log);

/* The epochs, which no checksum covers, are known to be wrong: made anew from the batches, once in the life
 * of the log. *ret_renewed: it was done now. Reads all headers (blocking). ERR_NOMEM, the disk's errors. */
enum err plog_epochs_renew(struct plog *log, bool *ret_renewed);
/* They may be wrong. Good batches contradict `doubted` (NULL: the log's epochs): if two below limit do, they
 * make them anew; asked once. The rest as above. */
enum err plog_epochs_doubt(struct plog *log, const struct epoch_cache *doubted, int64_t limit,
                           bool *ret_renewed);

/* New settings; they hold from the next append on. */
void plog_set_config(struct plog *log, const struct plog_config *config);

/* -- writing -- */

/* Appends whole, checked batches whose first base offset is >= plog_end (== unless there may be gaps) and
 * rises. One write. Epoch cache and producer state follow. Room for both, and in the file, is made first, so
 * ERR_NOMEM, ERR_NO_SPACE and ERR_FD_LIMIT leave all unchanged (unless plog_failed() says otherwise); a
 * failed write is final. */
enum err plog_append(struct plog *log, const uint8_t *batches, uint32_t len);

/* The same, and keeps them in the tail cache; owner (may be NULL): the buffer that holds them, which is not
 * written to any more. With an owner the batches may wait to be written, with those of later calls and one
 * write; nothing may be said of them before plog_write_out(). Every call that looks at the file or changes it
 * writes them first. A failure is final, whichever call meets it. */
enum err plog_append_kept(struct plog *log, const uint8_t *batches, uint32_t len, struct iobuf *owner);

/* Writes what plog_append_kept() left to be written. Once a turn of the loop is enough. A failure is final;
 * so is an earlier one, which it gives again: OK says that all below plog_end() is written. */
enum err plog_write_out(struct plog *log);

/* A leader's epoch starts here although it has written nothing yet. Durable with the next sync. */
enum err plog_assign_epoch(struct plog *log, int32_t epoch, int64_t start_offset);

/* Removes everything from the batch that holds offset on; *ret_end is the new end (<= offset). Offset below
 * the log start restarts there, empty. May block when whole segments go. */
enum err plog_truncate(struct plog *log, int64_t offset, int64_t *ret_end);

/* Drops everything; the empty log begins at offset. */
enum err plog_restart(struct plog *log, int64_t offset);

/* Moves the log start up (<= end). Files stay until plog_trim(). */
enum err plog_set_start(struct plog *log, int64_t offset);

/* Removes segments that lie wholly below `below` (<= log start). Only when a log start of at least `below` is
 * durable in the manifest: removals reach the disk in any order, and a hole among segments above the known
 * start is damage. */
enum err plog_trim(struct plog *log, int64_t below);
bool plog_can_trim(const struct plog *log);

/* -- retention (plog_retain.c) -- */

/* What may stay. Limits are off below 0. */
struct plog_retention {
    int64_t ms, bytes, messages;
    int64_t roll_ms;        /* the active segment rolls, quiet or not, when its oldest record is older */
    int64_t now_ms;         /* wall clock */
    int64_t high_watermark; /* nothing at or above it goes */
};

/* The log start that retention asks for (>= plog_start; for plog_set_start), and when time makes the next
 * look worth while (wall clock ms; INT64_MAX: only new records do). Rolls the active segment when its oldest
 * record is past its time. ERR_BUSY: a segment is looked at aside first (plog_setup.learned). Errors
 * of the disk, which are final when a roll fails (plog_failed). */
enum err plog_retain(struct plog *log, const struct plog_retention *want, int64_t *ret_start,
                     int64_t *ret_next_ms);

/* Ends the active segment unless it is empty, and starts a sync. A failure is final. */
enum err plog_roll_now(struct plog *log);

/* How often a segment ended since the log was opened, and where the active one begins. */
uint32_t plog_rolls(const struct plog *log);
int64_t plog_active_base(const struct plog *log);

/* Starts a sync of all that was written, or one more after the running one. `synced` follows, always later
 * (E2). */
void plog_sync(struct plog *log);
bool plog_syncing(const struct plog *log);

/* -- reading -- */

/* Consecutive whole batches: memory (owner referenced) or a file range (file referenced). */
struct plog_piece {
    const uint8_t *p;
    struct iobuf *owner;
    struct env_file *file;
    uint64_t file_offset;
    int32_t len;
    int64_t next_offset; /* where the next piece begins */
};

/* What a reader asks. */
struct plog_fetch {
    int64_t offset, end_offset;
    int64_t file_end_offset; /* batches ending at or before it may come as a file range; -1: memory only */
    int32_t max_bytes;
    bool at_least_one; /* the first batch whatever its size */
    bool may_wait;     /* for the disk */
    bool aside;        /* ERR_BUSY where an index is to be made anew (plog_setup.learned) */
};

/* Whole batches from the one that holds offset, all of them ending at or before end_offset, at most max_bytes
 * (at_least_one: the first whatever its size). ret_piece->len 0 when there is none. plog_start <= offset <=
 * plog_end. A file range holds only what this process has appended or checked. ERR_AGAIN (unless may_wait):
 * *ret_piece is the range of a file (referenced) that is to be read asynchronously first; then ask again.
 * ERR_CORRUPT: the first batch is damaged; else disk, memory. */
enum err plog_fetch(struct plog *log, const struct plog_fetch *request, struct plog_piece *ret_piece);

/* The same from memory, waiting for the disk. */
enum err plog_read(struct plog *log, int64_t offset, int64_t end_offset, int32_t max_bytes, bool at_least_one,
                   struct plog_piece *ret_piece);

/* About how many bytes lie in [offset, end_offset), without I/O; at least 1 when the range is not empty,
 * exact near the end of the log. */
int64_t plog_estimate(struct plog *log, int64_t offset, int64_t end_offset);

/* The first batch whose largest timestamp is >= timestamp, to be searched by the caller. ERR_NOT_FOUND: none.
 */
enum err plog_find_time(struct plog *log, int64_t timestamp, int64_t *ret_base_offset);

/* The largest timestamp and the last offset of its batch; ERR_NOT_FOUND on an empty log. */
enum err plog_max_time(struct plog *log, int64_t *ret_timestamp, int64_t *ret_offset);

#endif
