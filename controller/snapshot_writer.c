/* SPDX-License-Identifier: Apache-2.0 */
/* Making a snapshot file: from an image, or from the bytes that a leader sends. */
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/base/wire.h"
#include "controller/snapshot_internal.h"

struct snapshot_writer {
    struct snapshot_store *store; /* NULL: it has gone */
    struct env *env;
    struct snapshot_id id;
    bool receiving;
    struct segfile sf;     /* writing */
    struct env_file *file; /* receiving */
    uint64_t received;
    uint8_t *piece; /* SNAPSHOT_PIECE_SIZE, filled to piece_len */
    uint32_t piece_len;
    uint64_t pieces, stream_size;
    struct env_io io;
    struct env_task task; /* reports a failure that was found at once */
    enum err err;
    char dir[LOG_PATH_MAX], temp[LOG_PATH_MAX], path[LOG_PATH_MAX];
    void (*done)(void *ctx, struct snapshot *snapshot, enum err err);
    void *ctx;
};

static void writer_drop_files(struct snapshot_writer *writer)
{
    segfile_close(&writer->sf);
    if (writer->file != NULL)
        env_file_close(writer->file);
    writer->file = NULL;
}

static void writer_destroy(struct snapshot_writer *writer)
{
    writer_drop_files(writer);
    if (writer->store != NULL)
        writer->store->writer = NULL;
    free(writer->piece);
    free(writer);
}

void snapshot_write_abort(struct snapshot_writer *writer)
{
    env_unlink(writer->env, writer->temp); /* a file that stays is removed at the next start */
    writer_destroy(writer);
}

void snapshot_writer_orphan(struct snapshot_writer *writer)
{
    writer->store = NULL;
    if (writer->done == NULL || !list_empty(&writer->task.link)) {
        env_task_cancel(&writer->task);
        writer_destroy(writer);
    }
}

/* Common part of both kinds: an empty object and its names. */
static enum err writer_new(struct snapshot_store *store, struct snapshot_id id,
                           struct snapshot_writer **ret_writer)
{
    char name[SNAPSHOT_NAME_MAX];
    if (store->writer != NULL)
        return ERR_BUSY;
    struct snapshot_writer *writer = calloc(1, sizeof(*writer));
    if (writer == NULL)
        return ERR_NOMEM;
    writer->env = store->env;
    writer->id = id;
    list_init(&writer->task.link);
    snapshot_name(name, id);
    memcpy(writer->dir, store->dir, sizeof(writer->dir));
    enum err err = log_path(writer->temp, store->dir, SNAPSHOT_TEMP);
    if (err == OK)
        err = log_path(writer->path, store->dir, name);
    if (err == OK)
        err = env_unlink(store->env, writer->temp);
    if (err != OK && err != ERR_NOT_FOUND) {
        free(writer);
        return err;
    }
    writer->store = store;
    store->writer = writer;
    *ret_writer = writer;
    return OK;
}

static enum err write_head(struct snapshot_writer *writer, uint64_t config_index, struct bytes config)
{
    if (config.len < 0 || config.len > (int32_t)SNAPSHOT_CONFIG_MAX)
        return ERR_TOO_LARGE;
    writer->piece = malloc(SNAPSHOT_PIECE_SIZE);
    if (writer->piece == NULL)
        return ERR_NOMEM;
    struct segfile_info info = {.kind = SEGFILE_RAFT_SNAPSHOT, .a = writer->id.index, .b = writer->id.term};
    enum err err = segfile_create(writer->env, writer->temp, &info, &snapshot_limits, &writer->sf);
    if (err != OK)
        return err;
    store_be64(writer->piece, config_index);
    memcpy(writer->piece + 8, config.p, (size_t)config.len);
    struct segframe head = {.type = SNAPSHOT_HEAD,
                            .a = writer->id.index,
                            .b = writer->id.term,
                            .data = writer->piece,
                            .len = 8 + (uint32_t)config.len};
    return segfile_append(&writer->sf, &head, 1);
}

enum err snapshot_write_begin(struct snapshot_store *store, struct snapshot_id id, uint64_t config_index,
                              struct bytes config, struct snapshot_writer **ret_writer)
{
    struct snapshot_writer *writer;
    enum err err = writer_new(store, id, &writer);
    if (err != OK)
        return err;
    err = write_head(writer, config_index, config);
    if (err != OK) {
        snapshot_write_abort(writer);
        return err;
    }
    *ret_writer = writer;
    return OK;
}

static enum err flush_piece(struct snapshot_writer *writer)
{
    struct segframe frame = {
        .type = SNAPSHOT_DATA, .a = writer->pieces, .data = writer->piece, .len = writer->piece_len};
    writer->pieces++;
    writer->stream_size += writer->piece_len;
    writer->piece_len = 0;
    return segfile_append(&writer->sf, &frame, 1);
}

enum err snapshot_write_put(struct snapshot_writer *writer, const void *data, size_t len)
{
    ASSERT(!writer->receiving && writer->done == NULL);
    const uint8_t *p = data;
    enum err err = OK;
    while (len > 0 && err == OK) {
        size_t take = MIN(len, SNAPSHOT_PIECE_SIZE - writer->piece_len);
        memcpy(writer->piece + writer->piece_len, p, take);
        writer->piece_len += (uint32_t)take;
        p += take;
        len -= take;
        if (writer->piece_len == SNAPSHOT_PIECE_SIZE)
            err = flush_piece(writer);
    }
    return err;
}

enum err snapshot_receive_begin(struct snapshot_store *store, struct snapshot_id id,
                                struct snapshot_writer **ret_writer)
{
    struct snapshot_writer *writer;
    enum err err = writer_new(store, id, &writer);
    if (err != OK)
        return err;
    writer->receiving = true;
    err = env_file_open(store->env, writer->temp, ENV_OPEN_WRITE | ENV_OPEN_CREATE | ENV_OPEN_EXCLUSIVE,
                        &writer->file);
    if (err != OK) {
        writer_destroy(writer);
        return err;
    }
    *ret_writer = writer;
    return OK;
}

uint64_t snapshot_receive_offset(const struct snapshot_writer *writer)
{
    return writer->received;
}

enum err snapshot_receive_put(struct snapshot_writer *writer, const void *data, size_t len)
{
    ASSERT(writer->receiving && writer->done == NULL);
    if (writer->received + len > SNAPSHOT_FILE_MAX)
        return ERR_TOO_LARGE;
    struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
    enum err err = len > 0 ? env_file_write(writer->file, writer->received, &iov, 1) : OK;
    if (err == OK)
        writer->received += len;
    return err;
}

/* -- finishing -- */

static void report(struct snapshot_writer *writer, struct snapshot *snapshot, enum err err)
{
    void (*done)(void *, struct snapshot *, enum err) = writer->store != NULL ? writer->done : NULL;
    void *ctx = writer->ctx;
    writer_destroy(writer);
    if (done != NULL)
        done(ctx, snapshot, err);
}

static void report_failure(struct env_task *task)
{
    struct snapshot_writer *writer = CONTAINER_OF(task, struct snapshot_writer, task);
    report(writer, NULL, writer->err);
}

static void dir_synced(struct env_io *io, enum err err)
{
    struct snapshot_writer *writer = CONTAINER_OF(io, struct snapshot_writer, io);
    struct snapshot *snapshot = NULL;
    if (err == OK && writer->store != NULL)
        err = snapshot_open_checked(writer->env, writer->path, writer->id, &snapshot);
    if (snapshot != NULL)
        snapshot_store_add(writer->store, snapshot);
    report(writer, snapshot, err);
}

/* A received file is checked before it takes its name. */
static enum err check_received(struct snapshot_writer *writer)
{
    struct snapshot *snapshot;
    if (!writer->receiving)
        return OK;
    enum err err = snapshot_open_checked(writer->env, writer->temp, writer->id, &snapshot);
    if (err == OK)
        snapshot_unref(snapshot);
    return err;
}

static void file_synced(struct env_io *io, enum err err)
{
    struct snapshot_writer *writer = CONTAINER_OF(io, struct snapshot_writer, io);
    writer_drop_files(writer);
    if (err == OK)
        err = check_received(writer);
    if (err == OK)
        err = env_rename(writer->env, writer->temp, writer->path);
    if (err == OK)
        env_dir_sync(writer->env, writer->dir, &writer->io, dir_synced);
    else
        report(writer, NULL, err);
}

static enum err write_end(struct snapshot_writer *writer)
{
    enum err err = writer->piece_len > 0 ? flush_piece(writer) : OK;
    struct segframe end = {.type = SNAPSHOT_END, .a = writer->pieces, .b = writer->stream_size};
    return err == OK ? segfile_append(&writer->sf, &end, 1) : err;
}

void snapshot_write_finish(struct snapshot_writer *writer,
                           void (*done)(void *ctx, struct snapshot *snapshot, enum err err), void *ctx)
{
    ASSERT(done != NULL && writer->done == NULL);
    writer->done = done;
    writer->ctx = ctx;
    env_task_init(&writer->task, report_failure);
    writer->err = writer->receiving ? OK : write_end(writer);
    if (writer->err == OK)
        env_file_sync(writer->receiving ? writer->file : writer->sf.file, &writer->io, file_synced);
    else
        env_defer(writer->env, &writer->task);
}
