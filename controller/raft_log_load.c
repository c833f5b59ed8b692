/* SPDX-License-Identifier: Apache-2.0 */
/* Loading the Raft log, and the line between a torn tail and damage. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "controller/raft_log_internal.h"

/* State of one load. */
struct loader {
    struct raft_log *log;
    const struct raft_log_options *options;
    uint64_t *sequences; /* of the files found, rising */
    uint32_t count, cap;
    uint32_t stale; /* leading ones that lie before a gap */
    bool nomem;
    struct segment *segment; /* being scanned */
    uint64_t
        last; /* index of the newest frame; below log->first - 1 while covered entries are written anew */
    char name[SEGMENT_NAME_MAX];
    char *text;
    size_t text_size;
};

static enum err damaged(struct loader *l, const char *what, uint64_t at)
{
    snprintf(l->text, l->text_size, "%s: %s %" PRIu64, l->name, what, at);
    return ERR_CORRUPT;
}

static enum err failed(struct loader *l, enum err err)
{
    if (l->text[0] == 0)
        snprintf(l->text, l->text_size, "%s/%s: %s", l->log->dir, l->name, err_text(err));
    return err;
}

/* -- finding the files -- */

static bool parse_name(const char *name, uint64_t *ret_sequence)
{
    if (strlen(name) != 24 || strcmp(name + 20, ".log") != 0)
        return false;
    uint64_t n = 0;
    for (int i = 0; i < 20; i++) {
        if (name[i] < '0' || name[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(name[i] - '0');
    }
    *ret_sequence = n;
    return n > 0;
}

static bool found_file(void *ctx, const char *name, bool is_dir)
{
    struct loader *l = ctx;
    uint64_t sequence;
    if (is_dir || !parse_name(name, &sequence))
        return true;
    if (l->count == l->cap) {
        uint32_t cap = l->cap == 0 ? 16 : l->cap * 2;
        uint64_t *grown = realloc(l->sequences, cap * sizeof(*grown));
        if (grown == NULL) {
            l->nomem = true;
            return false;
        }
        l->sequences = grown;
        l->cap = cap;
    }
    l->sequences[l->count++] = sequence;
    return true;
}

static void remove_file(struct loader *l, uint64_t sequence)
{
    char path[LOG_PATH_MAX];
    raft_log_name(l->name, sequence);
    if (log_path(path, l->log->dir, l->name) == OK)
        env_unlink(l->log->env, path);
}

/* Removed segments can come back after a crash (their removal was not synced): what lies before a gap is such
 * a leftover, if the rest turns out to be complete without it. */
static void find_gap(struct loader *l)
{
    uint32_t start = l->count;
    while (start > 1 && l->sequences[start - 2] + 1 == l->sequences[start - 1])
        start--;
    l->stale = start > 1 ? start - 1 : 0;
}

/* -- reading one segment -- */

static enum err load_frame(void *ctx, const struct segframe *frame)
{
    struct loader *l = ctx;
    struct raft_log *log = l->log;
    if (frame->type < 1 || frame->type > 3)
        return damaged(l, "unknown entry type at byte", frame->offset);
    if (frame->a == 0 || frame->a > l->last + 1)
        return damaged(l, "an entry is missing before index", frame->a);
    uint64_t before = raft_log_term(log, frame->a - 1);
    if (frame->b == 0 || frame->b < before)
        return damaged(l, "terms go back at index", frame->a);
    l->last = frame->a;
    l->segment->last_index = MAX(l->segment->last_index, frame->a);
    if (frame->a < log->first) {
        log->slots_count = 0;
        return OK;
    }
    if (!raft_log_reserve_slots(log, 1))
        return ERR_NOMEM;
    struct slot slot = {.offset = frame->offset,
                        .term = frame->b,
                        .len = frame->len,
                        .sequence = (uint32_t)l->segment->sequence,
                        .type = frame->type};
    raft_log_place(log, frame->a, &slot);
    return OK;
}

/* The segment's header says where it starts: behind what is known, or anew. */
static enum err start_segment(struct loader *l, const struct segfile_info *info, bool first)
{
    struct raft_log *log = l->log;
    if (info->b >> 1 != l->segment->sequence || info->a == 0)
        return damaged(l, "header names another sequence", info->b >> 1);
    bool reset = (info->b & SEGMENT_RESET) != 0;
    if (first || reset) {
        log->first = info->a;
        log->slots_count = 0;
        log->durable = info->a - 1;
        l->last = info->a - 1;
    }
    if (info->a > l->last + 1)
        return damaged(l, "entries are missing before index", info->a);
    l->segment->last_index = info->a - 1;
    return OK;
}

static enum err judge(struct loader *l, const struct segfile_tail *tail, bool newest)
{
    if (tail->kind == SEGTAIL_DAMAGED)
        return damaged(l, "bytes that were durable are wrong at byte", tail->end);
    if (tail->kind == SEGTAIL_CLEAN)
        return OK;
    if (!newest)
        return damaged(l, "a closed segment ends in the middle at byte", tail->end);
    return segfile_cut_wait(&l->segment->sf);
}

/* What was found may be in the page cache only (a killed process), and clean there although its sync failed:
 * it is believed once it was written again and is durable. */
static enum err settle(struct loader *l, const struct segfile_tail *tail, bool newest)
{
    enum err err = judge(l, tail, newest);
    if (err == OK && newest)
        err = segfile_settle_wait(&l->segment->sf);
    return err;
}

static enum err scan_segment(struct loader *l, bool first, bool newest)
{
    struct segfile_tail tail;
    enum err err = start_segment(l, &l->segment->sf.info, first);
    if (err == OK)
        err = segfile_scan(&l->segment->sf, load_frame, l, &tail);
    if (err == OK)
        err = settle(l, &tail, newest);
    return err;
}

/* The newest file may be one whose creation never became durable; it then holds nothing. */
static bool never_stood(const struct loader *l, enum err err, uint64_t sequence, bool newest)
{
    return newest && err == ERR_TRUNCATED && sequence > l->options->newest_sequence;
}

static enum err load_segment(struct loader *l, uint64_t sequence, bool first, bool newest)
{
    struct raft_log *log = l->log;
    char path[LOG_PATH_MAX];
    struct segment *segment = calloc(1, sizeof(*segment));
    if (segment == NULL || !raft_log_reserve_segment(log)) {
        free(segment);
        return ERR_NOMEM;
    }
    segment->sequence = sequence;
    l->segment = segment;
    raft_log_name(l->name, sequence);
    enum err err = log_path(path, log->dir, l->name);
    if (err == OK)
        err = segfile_open(log->env, path, true, SEGFILE_RAFT_LOG, &log->limits, &segment->sf);
    if (err != OK) {
        free(segment);
        if (never_stood(l, err, sequence, newest)) {
            remove_file(l, sequence);
            return OK;
        }
        return err == ERR_TRUNCATED || err == ERR_CORRUPT ? damaged(l, "header is wrong, byte", 0) : err;
    }
    err = scan_segment(l, first, newest);
    raft_log_adopt(log, segment);
    log->segments[log->segments_count++] = segment;
    return err;
}

/* -- the whole log -- */

/* Segments older than a reset hold nothing that counts. */
static void drop_void_segments(struct raft_log *log)
{
    uint32_t keep = 0;
    for (uint32_t i = 0; i < log->segments_count; i++) {
        if (log->segments[i]->sf.info.b & SEGMENT_RESET)
            keep = i;
    }
    if (keep == 0)
        return;
    for (uint32_t i = 0; i < keep; i++) {
        char name[SEGMENT_NAME_MAX], path[LOG_PATH_MAX];
        raft_log_name(name, log->segments[i]->sequence);
        if (log_path(path, log->dir, name) == OK)
            env_unlink(log->env, path);
        raft_log_free_segment(log->segments[i]);
    }
    log->segments_count -= keep;
    memmove(log->segments, log->segments + keep, log->segments_count * sizeof(log->segments[0]));
}

static enum err check_whole(struct loader *l)
{
    struct raft_log *log = l->log;
    if (raft_log_sequence(log) < l->options->newest_sequence) {
        raft_log_name(l->name, l->options->newest_sequence);
        return damaged(l, "the newest segment is missing, sequence", l->options->newest_sequence);
    }
    if (log->segments_count > 0 && log->first > l->options->covered_index + 1)
        return damaged(l, "neither log nor snapshot holds the entries before index", log->first);
    log->durable = raft_log_last(log);
    return OK;
}

static enum err load(struct loader *l)
{
    enum err err = env_dir_list(l->log->env, l->log->dir, found_file, l);
    if (err == OK && l->nomem)
        err = ERR_NOMEM;
    if (err != OK)
        return err;
    find_gap(l);
    for (uint32_t i = l->stale; i < l->count; i++) {
        err = load_segment(l, l->sequences[i], i == l->stale, i + 1 == l->count);
        if (err != OK)
            return err;
    }
    err = check_whole(l);
    if (err != OK)
        return err;
    drop_void_segments(l->log);
    for (uint32_t i = 0; i < l->stale; i++)
        remove_file(l, l->sequences[i]);
    return OK;
}

enum err raft_log_open(struct env *env, const struct raft_log_options *options, struct raft_log **ret_log,
                       char *text, size_t text_size)
{
    ASSERT(text_size > 0 && options->segment_bytes > 0);
    text[0] = 0;
    struct raft_log *log = calloc(1, sizeof(*log));
    if (log == NULL)
        return ERR_NOMEM;
    log->env = env;
    log->first = options->covered_index + 1;
    log->durable = options->covered_index;
    log->segment_bytes = options->segment_bytes;
    log->limits =
        (struct segfile_limits){.frame_max = RAFT_LOG_ENTRY_MAX, .allocate_bytes = options->allocate_bytes};
    snprintf(log->dir, sizeof(log->dir), "%s", options->dir);
    struct loader l = {.log = log, .options = options, .text = text, .text_size = text_size};
    enum err err = load(&l);
    free(l.sequences);
    if (err != OK) {
        err = failed(&l, err);
        raft_log_close(log);
        return err;
    }
    *ret_log = log;
    return OK;
}
