/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/log_check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/logformat/epoch_text.h"
#include "common/logformat/file_name.h"
#include "common/logformat/index_entry.h"
#include "common/logformat/meta_text.h"
#include "common/logformat/snapshot_format.h"
#include "common/logwalk/file_load.h"
#include "common/logwalk/walk.h"

#define SMALL_FILE_MAX (512u << 20)
#define ZERO_CHUNK     65536

struct epoch_start {
    int32_t epoch;
    int64_t start_offset;
};

/* One index of the segment at hand: its bytes, and how far they were compared. */
struct index_file {
    uint8_t *p;
    uint32_t len, at;
};

struct state {
    const struct log_check *check;
    const char *dir;
    char *path; /* of the file at hand */
    struct log_totals *totals;
    struct epoch_start *epochs;
    uint32_t epochs_count, epochs_at; /* at: entry that holds for the batch at hand */
    bool has_epochs;
    int32_t last_epoch;
    int64_t expected; /* offset of the next batch; -1: not known */
    /* of the segment at hand */
    int64_t base, next_base; /* next_base INT64_MAX: the last segment */
    struct index_file offsets, times;
    int64_t max_timestamp;
};

static void tell(struct state *s, bool note, int64_t position, int64_t offset, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

static void tell(struct state *s, bool note, int64_t position, int64_t offset, const char *format, ...)
{
    char reason[256];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof(reason), format, args);
    va_end(args);
    const struct log_finding finding = {s->path, position, offset, reason, note};
    if (note)
        s->totals->notes++;
    else
        s->totals->problems++;
    s->check->found(s->check->ctx, &finding);
}

#define problem(s, position, offset, ...) tell(s, false, position, offset, __VA_ARGS__)
#define note(s, position, offset, ...)    tell(s, true, position, offset, __VA_ARGS__)

static enum err set_path(struct state *s, const char *name)
{
    return log_paths_join(s->path, s->dir, name) ? OK : ERR_TOO_LARGE;
}

static enum err set_path_of(struct state *s, int64_t offset, const char *suffix)
{
    char name[LOG_FILE_NAME_MAX];
    log_file_name_format(offset, suffix, name);
    return set_path(s, name);
}

/* -- leader epochs -- */

static void take_epochs(struct state *s, const uint8_t *p, uint32_t len)
{
    struct epoch_text it = {0};
    enum err err = epoch_text_open((const char *)p, len, &it);
    while (err == OK && (err = epoch_text_next(&it)) == OK)
        s->epochs[s->epochs_count++] = (struct epoch_start){it.epoch, it.start_offset};
    s->has_epochs = err == ERR_NOT_FOUND;
    if (err == ERR_VERSION)
        problem(s, 0, -1, "unknown version");
    else if (!s->has_epochs)
        problem(s, it.p ? it.p - (const char *)p : 0, -1, "malformed, or epochs do not rise");
}

static enum err load_epochs(struct state *s)
{
    uint8_t *p;
    uint32_t len;
    enum err err = set_path(s, EPOCH_TEXT_NAME);
    if (err == OK)
        err = log_file_load(s->check->env, s->path, SMALL_FILE_MAX, &p, &len);
    if (err)
        return err == ERR_NOT_FOUND ? OK : err;
    s->epochs = malloc(((size_t)len / 4 + 1) * sizeof(*s->epochs)); /* an entry has 4 bytes at least */
    if (s->epochs)
        take_epochs(s, p, len);
    else
        err = ERR_NOMEM;
    free(p);
    return err;
}

/* The batch's epoch against the one before it and against the checkpoint. */
static void check_epoch(struct state *s, const struct batch_header *b, uint32_t position)
{
    if (b->leader_epoch < s->last_epoch)
        problem(s, position, b->base_offset, "leader epoch %" PRId32 " follows %" PRId32, b->leader_epoch,
                s->last_epoch);
    s->last_epoch = MAX(s->last_epoch, b->leader_epoch);
    if (!s->has_epochs || s->epochs_count == 0 || b->base_offset < s->epochs[0].start_offset)
        return;
    while (s->epochs_at + 1 < s->epochs_count && s->epochs[s->epochs_at + 1].start_offset <= b->base_offset)
        s->epochs_at++;
    const struct epoch_start *e = &s->epochs[s->epochs_at];
    if (b->leader_epoch == e->epoch)
        return;
    if (s->epochs_at + 1 == s->epochs_count && b->leader_epoch > e->epoch) {
        note(s, position, b->base_offset, "leader-epoch-checkpoint ends before epoch %" PRId32,
             b->leader_epoch);
        s->has_epochs = false; /* once is enough */
        return;
    }
    problem(s, position, b->base_offset,
            "leader epoch %" PRId32 ", but leader-epoch-checkpoint says %" PRId32, b->leader_epoch, e->epoch);
}

/* -- records -- */

struct records_seen {
    int32_t count, last_delta;
    int64_t max_timestamp;
    bool ordered;
};

static struct records_seen see_records(struct batch_iter *it, const struct batch_header *b)
{
    struct records_seen seen = {.last_delta = -1, .max_timestamp = BATCH_NO_TIMESTAMP, .ordered = true};
    struct record rec;
    while (batch_iter_next(it, &rec)) {
        seen.ordered = seen.ordered && rec.offset_delta > seen.last_delta &&
                       b->base_offset + rec.offset_delta <= b->last_offset;
        seen.last_delta = rec.offset_delta;
        seen.max_timestamp = MAX(seen.max_timestamp, rec.timestamp);
        seen.count++;
    }
    return seen;
}

static void check_records(struct state *s, const struct batch_header *b, const uint8_t *bytes,
                          uint32_t position)
{
    struct batch_iter it;
    s->totals->records += b->record_count;
    if (s->check->shallow || b->record_count == 0)
        return;
    int err = batch_iter_init(&it, bytes, s->check->scratch);
    if (err) {
        problem(s, position, b->base_offset, "records cannot be decompressed: %s", err_text((enum err)err));
        return;
    }
    struct records_seen seen = see_records(&it, b);
    if (it.r.err)
        problem(s, position, b->base_offset, "record %" PRId32 " of %" PRId32 " is malformed", seen.count,
                b->record_count);
    else if (!seen.ordered)
        problem(s, position, b->base_offset, "offsets of the records do not rise within the batch's range");
    else if (seen.max_timestamp != b->max_timestamp)
        problem(s, position, b->base_offset, "largest timestamp is %" PRId64 ", the header says %" PRId64,
                seen.max_timestamp, b->max_timestamp);
}

/* -- indexes, compared while the segment is walked -- */

static enum err load_index(struct state *s, const char *suffix, uint32_t entry, struct index_file *ret)
{
    *ret = (struct index_file){0};
    enum err err = set_path_of(s, s->base, suffix);
    if (err == OK)
        err = log_file_load(s->check->env, s->path, SMALL_FILE_MAX, &ret->p, &ret->len);
    if (err)
        return err == ERR_NOT_FOUND ? OK : err;
    if (ret->len % entry)
        problem(s, ret->len - ret->len % entry, -1, "size is not a multiple of an entry's %u bytes", entry);
    ret->len -= ret->len % entry;
    while (ret->len >= entry) { /* Kafka takes room in advance: zeros behind the last entry */
        uint32_t at = ret->len - entry, i = 0;
        while (i < entry && ret->p[at + i] == 0)
            i++;
        if (i < entry || (at == 0 && ret->len == entry))
            break;
        ret->len = at;
    }
    return OK;
}

/* Tells of the index's file, not the segment's. */
static void index_problem(struct state *s, const char *suffix, int64_t position, int64_t offset,
                          const char *reason)
{
    if (set_path_of(s, s->base, suffix) == OK)
        problem(s, position, offset, "%s", reason);
    set_path_of(s, s->base, LOG_SUFFIX_LOG);
}

static void compare_offsets(struct state *s, const struct batch_header *b, uint32_t position)
{
    struct index_file *f = &s->offsets;
    while (f->at < f->len) {
        struct offset_entry e = offset_entry_load(f->p + f->at);
        if (e.position > position)
            return;
        int64_t offset = s->base + e.delta;
        if (e.position < position)
            index_problem(s, LOG_SUFFIX_INDEX, f->at, offset,
                          f->at ? "entries do not rise, or no batch begins there" : "no batch begins there");
        else if (offset != b->last_offset && !(e.delta == 0 && e.position == 0))
            index_problem(s, LOG_SUFFIX_INDEX, f->at, offset, "the batch there ends at another offset");
        f->at += OFFSET_ENTRY;
    }
}

static void compare_times(struct state *s, const struct batch_header *b)
{
    struct index_file *f = &s->times;
    while (f->at < f->len) {
        struct time_entry e = time_entry_load(f->p + f->at);
        int64_t offset = s->base + e.delta;
        if (offset > b->last_offset)
            return;
        if (offset < b->base_offset && !s->check->allow_gaps)
            index_problem(s, LOG_SUFFIX_TIMEINDEX, f->at, offset,
                          "entries do not rise, or no batch has that offset");
        else if (offset >= b->base_offset &&
                 (e.timestamp != b->max_timestamp || e.timestamp < s->max_timestamp))
            index_problem(s, LOG_SUFFIX_TIMEINDEX, f->at, offset,
                          "timestamp is not the largest so far of the batch with that offset");
        f->at += TIME_ENTRY;
    }
}

static void end_index(struct state *s, const char *suffix, struct index_file *f, bool complete)
{
    bool empty_entry = suffix[1] == 't' && f->at < f->len && time_entry_load(f->p + f->at).delta == 0;
    if (complete && f->at < f->len && !empty_entry)
        index_problem(s, suffix, f->at, -1, "points behind the end of the segment");
    free(f->p);
}

static enum err check_txnindex(struct state *s)
{
    struct index_file f;
    struct txn_entry e;
    int64_t last = -1;
    enum err err = set_path_of(s, s->base, LOG_SUFFIX_TXNINDEX);
    if (err == OK)
        err = log_file_load(s->check->env, s->path, SMALL_FILE_MAX, &f.p, &f.len);
    if (err)
        return err == ERR_NOT_FOUND ? OK : err;
    for (f.at = 0; f.at + TXN_ENTRY <= f.len; f.at += TXN_ENTRY) {
        if (!txn_entry_load(f.p + f.at, &e))
            problem(s, f.at, -1, "bad checksum, or unknown version");
        else if (e.first_offset > e.last_offset || e.last_offset <= last || e.last_offset < s->base ||
                 e.last_offset >= s->next_base)
            problem(s, f.at, e.last_offset, "offsets do not rise, or are not this segment's");
        else
            last = e.last_offset;
    }
    if (f.len % TXN_ENTRY)
        problem(s, f.at, -1, "size is not a multiple of an entry's %d bytes", TXN_ENTRY);
    free(f.p);
    return OK;
}

/* -- segments -- */

static void check_offsets(struct state *s, const struct batch_header *b, uint32_t position)
{
    if (s->expected >= 0 && b->base_offset < s->expected)
        problem(s, position, b->base_offset, "offsets from %" PRId64 " on are here twice", b->base_offset);
    else if (s->expected >= 0 && b->base_offset > s->expected && !s->check->allow_gaps)
        problem(s, position, b->base_offset, "offsets %" PRId64 " to %" PRId64 " are missing", s->expected,
                b->base_offset - 1);
    if (b->last_offset >= s->next_base)
        problem(s, position, b->base_offset, "belongs into a later segment");
    s->expected = b->last_offset + 1;
}

static void check_batch(struct state *s, const struct batch_header *b, const uint8_t *bytes,
                        uint32_t position)
{
    check_offsets(s, b, position);
    check_epoch(s, b, position);
    check_records(s, b, bytes, position);
    compare_offsets(s, b, position);
    compare_times(s, b);
    s->max_timestamp = MAX(s->max_timestamp, b->max_timestamp);
    s->totals->batches++;
    s->totals->bytes += (int64_t)b->size_bytes;
    if (s->totals->first_offset < 0)
        s->totals->first_offset = b->base_offset;
    s->totals->next_offset = b->last_offset + 1;
}

/* True when nothing but zeros stands from position on: room taken in advance. */
static enum err only_zeros(const struct plog_walk *walk, uint32_t position, bool *ret)
{
    uint8_t *buf = malloc(ZERO_CHUNK);
    enum err err = buf ? OK : ERR_NOMEM;
    *ret = true;
    while (err == OK && *ret && position < walk->limit) {
        size_t got = 0;
        err = env_file_read(walk->file, position, buf, MIN(walk->limit - position, ZERO_CHUNK), &got);
        for (size_t i = 0; i < got && *ret; i++)
            *ret = buf[i] == 0;
        position += (uint32_t)got;
        if (got == 0)
            break;
    }
    free(buf);
    return err;
}

/* Bad bytes at position: tells of them and finds the next good batch. ERR_NOT_FOUND: there is none. */
static enum err pass_damage(struct state *s, struct plog_walk *walk, uint32_t position, bool cut)
{
    bool zeros = false, found;
    uint32_t next;
    enum err err = only_zeros(walk, position, &zeros);
    if (err)
        return err;
    if (zeros && s->next_base == INT64_MAX) {
        note(s, position, s->expected, "%" PRIu32 " bytes of zeros behind the last batch",
             walk->limit - position);
        return ERR_NOT_FOUND;
    }
    walk->position = position;
    err = plog_walk_search(walk, s->expected - 1, s->next_base, &found, &next);
    if (err)
        return err;
    uint32_t end = found ? next : walk->limit;
    problem(s, position, s->expected, "%s; %" PRIu32 " bytes are no good batch%s",
            cut ? "batch is cut" : "bad batch", end - position, found ? "" : ", up to the end of the file");
    s->expected = found ? -1 : s->expected; /* what is missing there was told */
    return found ? OK : ERR_NOT_FOUND;
}

static enum err walk_segment(struct state *s, struct plog_walk *walk, bool *ret_complete)
{
    struct batch_header b;
    const uint8_t *bytes;
    enum err err = OK;
    *ret_complete = true;
    while (err == OK) {
        uint32_t position = walk->position;
        err = plog_walk_next(walk, &b, &bytes);
        if (err == OK) {
            check_batch(s, &b, bytes, position);
        } else if (err == ERR_CORRUPT || err == ERR_TRUNCATED) {
            *ret_complete = false;
            err = pass_damage(s, walk, position, err == ERR_TRUNCATED);
        }
    }
    return err == ERR_NOT_FOUND ? OK : err;
}

static enum err check_log(struct state *s, bool *ret_complete)
{
    struct env_file *file;
    struct plog_walk walk = {0};
    uint64_t size;
    enum err err = set_path_of(s, s->base, LOG_SUFFIX_LOG);
    if (err == OK)
        err = env_file_open(s->check->env, s->path, ENV_OPEN_READ, &file);
    if (err)
        return err;
    err = env_file_size(file, &size);
    if (err == OK && size > UINT32_MAX)
        err = ERR_TOO_LARGE;
    if (err == OK)
        err = plog_walk_start(&walk, file, s->base, 0, (uint32_t)size, true);
    if (err == OK)
        err = walk_segment(s, &walk, ret_complete);
    plog_walk_end(&walk);
    env_file_close(file);
    return err;
}

static enum err check_segment(struct state *s, int64_t base, int64_t next_base)
{
    bool complete = false;
    s->base = base;
    s->next_base = next_base;
    s->max_timestamp = -1;
    s->totals->segments++;
    enum err err = load_index(s, LOG_SUFFIX_INDEX, OFFSET_ENTRY, &s->offsets);
    if (err)
        return err;
    err = load_index(s, LOG_SUFFIX_TIMEINDEX, TIME_ENTRY, &s->times);
    if (err == OK)
        err = check_log(s, &complete);
    end_index(s, LOG_SUFFIX_INDEX, &s->offsets, err == OK && complete);
    end_index(s, LOG_SUFFIX_TIMEINDEX, &s->times, err == OK && complete);
    return err ? err : check_txnindex(s);
}

/* -- the directory's other files -- */

static void check_snapshot_bytes(struct state *s, int64_t at_offset, const uint8_t *p, uint32_t len)
{
    struct reader r;
    struct snapshot_entry e;
    int32_t count;
    enum err err = snapshot_open(p, len, &r, &count);
    if (err) {
        problem(s, -1, -1, "%s", err == ERR_VERSION ? "unknown version" : "checksum or count is wrong");
        return;
    }
    for (int32_t i = 0; i < count; i++) {
        int64_t position = SNAPSHOT_HEAD_BYTES + (int64_t)i * SNAPSHOT_ENTRY_BYTES;
        if (snapshot_entry_get(&r, &e) != OK) {
            problem(s, position, -1, "malformed entry");
            return;
        }
        if (e.last_offset >= at_offset)
            problem(s, position, e.last_offset, "producer %" PRId64 " has a batch at or behind the snapshot",
                    e.producer_id);
    }
}

static enum err check_small(struct state *s, const char *name)
{
    uint8_t *p;
    uint32_t len;
    int64_t offset;
    struct uuid id;
    bool snapshot = log_file_name_parse(name, LOG_SUFFIX_SNAPSHOT, &offset);
    if (!snapshot && strcmp(name, META_TEXT_NAME) != 0)
        return OK;
    enum err err = set_path(s, name);
    if (err == OK)
        err = log_file_load(s->check->env, s->path, SMALL_FILE_MAX, &p, &len);
    if (err)
        return err;
    if (snapshot)
        check_snapshot_bytes(s, offset, p, len);
    else if (meta_text_parse((const char *)p, len, &id) != OK)
        problem(s, -1, -1, "not a partition.metadata");
    free(p);
    return OK;
}

static enum err check_files(struct state *s, const struct log_names *list)
{
    int64_t base = -1, next;
    enum err err = OK;
    for (size_t i = 0; i < list->count && err == OK; i++) {
        if (!log_file_name_parse(list->names[i], LOG_SUFFIX_LOG, &next)) {
            err = check_small(s, list->names[i]);
            continue;
        }
        if (base >= 0)
            err = check_segment(s, base, next);
        base = next;
    }
    if (err == OK && base >= 0)
        err = check_segment(s, base, INT64_MAX);
    return err;
}

enum err log_check_partition(const struct log_check *check, const char *path, struct log_totals *ret_totals,
                             char *ret_path)
{
    struct state s = {.check = check,
                      .dir = path,
                      .path = ret_path,
                      .totals = ret_totals,
                      .last_epoch = -1,
                      .expected = -1};
    struct log_names list;
    *ret_totals = (struct log_totals){.first_offset = -1, .next_offset = -1};
    snprintf(ret_path, LOG_PATHS_MAX, "%s", path);
    enum err err = log_names_list(check->env, path, false, log_paths_known, &list);
    if (err)
        return err;
    err = load_epochs(&s);
    if (err == OK)
        err = check_files(&s, &list);
    log_names_free(&list);
    free(s.epochs);
    return err;
}
