/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots of the metadata on disk: "<index>-<term>.checkpoint", a segment file (common/log/segfile) of one
 * HEAD frame (index, term, Raft configuration), DATA frames that cut the stream of metadata records into
 * pieces of SNAPSHOT_PIECE_SIZE, and one END frame with the totals. A file takes its name only when it is
 * complete and durable. The newest two are kept.
 *
 * Three ways in and out: written piece by piece from an image, received piece by piece from a leader (raw
 * bytes of its file), read by position (raw for other controllers, the record stream for brokers).
 */
#ifndef SLUICE_CONTROLLER_SNAPSHOT_STORE_H
#define SLUICE_CONTROLLER_SNAPSHOT_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/types.h"
#include "common/env/env.h"
#include "common/log/log_path.h"
#include "common/log/segfile.h"

#define SNAPSHOT_PIECE_SIZE (64u << 10) /* of the record stream in one frame */
#define SNAPSHOT_CONFIG_MAX (16u << 10) /* encoded Raft configuration */
#define SNAPSHOT_FILE_MAX   (4ull << 30)
#define SNAPSHOTS_KEPT      2

struct snapshot_id {
    uint64_t index, term; /* of the last entry that it covers; index 0: none */
};

/* An open, checked snapshot file. Reference counted; its file stays readable after it was replaced by newer
 * ones. */
struct snapshot {
    uint32_t refs;
    struct snapshot_id id;
    uint64_t config_index;
    struct iobuf *config; /* encoded configuration at index */
    uint64_t stream_size; /* bytes of the record stream */
    uint64_t data_offset; /* of the first DATA frame in the file */
    struct segfile sf;
};

struct snapshot_store;

/* Looks at the directory, removes unfinished files, opens and fully checks the newest snapshots. A damaged
 * one is skipped (text names it, else it is empty): the caller decides whether log and older snapshot are
 * enough. */
enum err snapshot_store_open(struct env *env, const char *dir, struct snapshot_store **ret_store, char *text,
                             size_t text_size);
void snapshot_store_close(struct snapshot_store *store); /* NULL is allowed */

/* The newest one and the one before it, without a new reference; NULL: none. */
struct snapshot *snapshot_newest(const struct snapshot_store *store);
struct snapshot *snapshot_previous(const struct snapshot_store *store);
struct snapshot *snapshot_ref(struct snapshot *snapshot);
void snapshot_unref(struct snapshot *snapshot); /* NULL is allowed */

/* The whole record stream in memory (one reference in *ret_buf). Blocks; for start and installation. */
enum err snapshot_load(const struct snapshot *snapshot, struct iobuf **ret_buf);

/* Up to len bytes of the record stream from offset; *ret_len is less only at its end. ERR_OUT_OF_RANGE past
 * the end. */
enum err snapshot_read_stream(const struct snapshot *snapshot, uint64_t offset, void *buf, size_t len,
                              size_t *ret_len);

/* Up to len raw bytes of the file from offset; *ret_len 0 at its end. */
enum err snapshot_read_raw(const struct snapshot *snapshot, uint64_t offset, void *buf, size_t len,
                           size_t *ret_len);
uint64_t snapshot_raw_size(const struct snapshot *snapshot);

/* -- making one: begin, put any number of times, finish (or abort); or receive, then finish -- */

struct snapshot_writer;

/* A writer for a snapshot at id. config is copied. One writer at a time per store (ERR_BUSY). */
enum err snapshot_write_begin(struct snapshot_store *store, struct snapshot_id id, uint64_t config_index,
                              struct bytes config, struct snapshot_writer **ret_writer);
enum err snapshot_write_put(struct snapshot_writer *writer, const void *data, size_t len);

/* A writer that takes the raw bytes of a leader's file, in order from offset 0. */
enum err snapshot_receive_begin(struct snapshot_store *store, struct snapshot_id id,
                                struct snapshot_writer **ret_writer);
uint64_t snapshot_receive_offset(const struct snapshot_writer *writer); /* bytes so far */
enum err snapshot_receive_put(struct snapshot_writer *writer, const void *data, size_t len);

/* Syncs, checks a received file, renames, syncs the directory, opens the result as the newest and drops older
 * ones. done is called once from the loop with the snapshot (no new reference) or an error (nothing changed;
 * ERR_CORRUPT when a received file is not a good snapshot of that id); the writer is gone then. */
void snapshot_write_finish(struct snapshot_writer *writer,
                           void (*done)(void *ctx, struct snapshot *snapshot, enum err err), void *ctx);

/* Forgets an unfinished one. Not after finish. */
void snapshot_write_abort(struct snapshot_writer *writer);

#endif
