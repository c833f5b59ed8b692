/* SPDX-License-Identifier: Apache-2.0 */
/* Group commit of one log. A round makes durable all that was written before it: segments, new small files,
 * directory entries; what is written meanwhile joins the next round (at most one runs). common/log/group_sync
 * does this for one file; a partition log is several. */
#include <stdlib.h>
#include <string.h>

#include "broker/log/plog_hooks.h"
#include "broker/log/plog_internal.h"
#include "common/base/assert.h"
#include "common/base/mutant.h"

STATIC_ASSERT(PLOG_PARTS_MAX == 6, "a segment, its txnindex, metadata, epochs, directory, data directory");

static void round_done(struct plog_round *round);

static void part_done(struct env_io *io, enum err err)
{
    struct plog_part *part = CONTAINER_OF(io, struct plog_part, io);
    struct plog_round *round = part->round;
    if (err && round->err == OK && !MUTANT(SYNC_ERROR_IGNORED))
        round->err = err;
    ASSERT(round->parts_left > 0);
    if (--round->parts_left == 0)
        round_done(round);
}

/* owned: a handle that only this round knows; closed once the sync is submitted (which holds a reference of
 * its own). */
static void add_file(struct plog_round *round, struct env_file *file, bool owned)
{
    ASSERT(round->parts_count < PLOG_PARTS_MAX);
    round->parts[round->parts_count++] = (struct plog_part){.round = round, .file = file, .owned = owned};
}

/* One segment a round, the oldest first: a later one is never durable before those that come before it. */
static enum err add_segment(struct plog *log, struct plog_round *round)
{
    int32_t i = 0;
    struct env_file *file;
    while (i < log->segments_count && !log->segments[i].dirty)
        i++;
    if (MUTANT(LOSE_SEGMENT_AT_ROLL) && i < log->segments_count)
        i = log->segments_count - 1;
    if (i == log->segments_count)
        return OK;
    enum err err = plog_segment_file(log, &log->segments[i], &file);
    if (MUTANT(SYNC_NOT_THE_LOG))
        err = plog_epochs_write(log, &file);
    if (err)
        return err;
    add_file(round, file, MUTANT(SYNC_NOT_THE_LOG));
    if (log->segments[i].txn_dirty) {
        err = plog_aborted_file(log, &log->segments[i], &file);
        if (err)
            return err;
        add_file(round, file, true);
        log->segments[i].txn_dirty = false;
    }
    log->segments[i].dirty = false;
    round->target = plog_segment_end(log, i);
    round->more = i + 1 < log->segments_count;
    return OK;
}

static enum err add_small_files(struct plog *log, struct plog_round *round)
{
    struct env_file *file;
    enum err err = OK;
    if (log->meta_dirty) {
        err = plog_meta_file(log, &file);
        if (err)
            return err;
        add_file(round, file, true);
    }
    if (log->epochs_dirty) {
        err = plog_epochs_write(log, &file);
        if (err)
            return err;
        add_file(round, file, true);
    }
    return OK;
}

static void close_owned(struct plog_round *round)
{
    for (int i = 0; i < round->parts_count; i++)
        if (round->parts[i].owned)
            env_file_close(round->parts[i].file);
}

static void submit(struct plog *log, struct plog_round *round)
{
    bool dir = log->dir_dirty, data_dir = log->meta_dirty;
    int files = round->parts_count;
    if (files > 0) {
        dir = dir && !MUTANT(DIRECTORY_NOT_SYNCED);
        data_dir = data_dir && !MUTANT(PARTITION_NAME_NOT_SYNCED);
    }
    log->dir_dirty = log->meta_dirty = false;
    if (dir)
        add_file(round, NULL, false);
    if (data_dir)
        add_file(round, NULL, false);
    round->parts_left = round->parts_count;
    for (int i = 0; i < files; i++)
        env_file_sync(round->parts[i].file, &round->parts[i].io, part_done);
    if (dir)
        env_dir_sync(log->env, log->dir, &round->parts[files].io, part_done);
    if (data_dir)
        env_dir_sync(log->env, log->data_dir, &round->parts[files + dir].io, part_done);
    close_owned(round);
}

static struct plog_round *take_round(struct plog *log)
{
    struct plog_round *round = log->spare ? log->spare : malloc(sizeof(*round));
    log->spare = NULL;
    if (round == NULL)
        return NULL;
    round->log = log;
    round->parts_count = 0;
    round->target = log->end;
    round->err = OK;
    round->more = false;
    return round;
}

static void report_failure(struct plog *log, enum err err)
{
    plog_fail(log, err);
    log->synced(log->ctx, log->synced_end, err);
}

static void failed_task(struct env_task *task)
{
    struct plog *log = CONTAINER_OF(task, struct plog, fail_task);
    report_failure(log, log->failed);
}

void plog_sync(struct plog *log)
{
    if (log->failed)
        return;
    if (log->round) {
        log->round->more = true;
        return;
    }
    struct plog_round *round = take_round(log);
    enum err err = round ? add_segment(log, round) : ERR_NOMEM;
    if (err == OK)
        err = add_small_files(log, round);
    if (err) {
        if (round)
            close_owned(round);
        log->spare = round;
        plog_fail(log, err);
        env_defer(log->env, &log->fail_task);
        return;
    }
    if (round->parts_count == 0 && !log->dir_dirty && !log->meta_dirty) {
        log->spare = round; /* nothing to do: all is durable */
        log->synced_end = log->end;
        return;
    }
    log->round = round;
    submit(log, round);
}

bool plog_syncing(const struct plog *log)
{
    return log->round != NULL;
}

static void round_done(struct plog_round *round)
{
    struct plog *log = round->log;
    bool more = round->more;
    if (log->closing) {
        plog_free(log);
        return;
    }
    log->round = NULL;
    log->spare = round;
    if (round->err) {
        report_failure(log, round->err);
        return;
    }
    log->synced_end = MAX(log->synced_end, round->target);
    ASSERT(log->synced_end <= log->end);
    plog_handles_settled(log);
    if (more)
        plog_sync(log);
    if (!log->failed)
        log->synced(log->ctx, log->synced_end, OK);
}

void plog_sync_init(struct plog *log)
{
    env_task_init(&log->fail_task, failed_task);
}
