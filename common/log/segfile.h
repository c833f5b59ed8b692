/* SPDX-License-Identifier: Apache-2.0 */
/* A segment file: a checksummed header and then framed, checksummed records, only ever appended to. The Raft
 * log, its snapshots and the partition manifest are made of these.
 *
 * Every file carries a random salt that is repeated in each frame, so that bytes of another file (or of a
 * payload) are never taken for a frame of this one. Every frame carries a witness: how far this file was
 * known to be durable when the frame was written. At start the witness tells a torn tail (lost writes that
 * nobody was promised) from damage (bytes that were durable once).
 *
 * Layout, big-endian. Header (64 B): magic "SLSF", u16 version, u16 kind, u32 salt, u32 0, u64 a, u64 b,
 * zeros, u32 crc32c of all before. Frame: u32 crc32c of all after, u32 length of the data, u32 salt, u8
 * version, u8 type, u16 0, u64 a, u64 b, u64 witness, data, zeros to the next multiple of 8.
 */
#ifndef SLUICE_LOG_SEGFILE_H
#define SLUICE_LOG_SEGFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/env/env.h"

#define SEGFILE_HEADER_SIZE  64u
#define SEGFRAME_HEADER_SIZE 40u
#define SEGFRAME_NOTE                                                                                        \
    0xffu /* a frame type of our own: no data, carries a fresh witness; never given to each() */

/* What a file is for; a file of another kind is refused with ERR_MISMATCH. Append only. */
enum segfile_kind {
    SEGFILE_RAFT_LOG = 1,
    SEGFILE_RAFT_SNAPSHOT = 2,
    SEGFILE_MANIFEST = 3,
    SEGFILE_TEST = 999,
};

/* Fixed at creation. a and b are the owner's (for example the first index and a sequence number). */
struct segfile_info {
    enum segfile_kind kind;
    uint64_t a, b;
};

struct segfile_limits {
    uint32_t frame_max; /* largest data of one frame; larger ones are neither written nor believed */
    uint32_t
        allocate_bytes; /* room is made in steps of this size ahead of the writes; 0: the file just grows */
};

struct segfile {
    struct env *env;
    struct env_file *file; /* NULL: closed */
    struct segfile_info info;
    struct segfile_limits limits;
    uint32_t salt;
    uint64_t size;      /* where the next frame goes */
    uint64_t allocated; /* end of the file as the file system sees it, >= size */
    uint64_t witness;   /* everything below is durable, as far as the owner has said (segfile_synced) */
    enum err failed;    /* first failed write; final: every later append gives it again */
};

struct segframe {
    uint8_t type; /* the owner's, not SEGFRAME_NOTE */
    uint64_t a, b;
    const void *data; /* segfile_each: valid during the call */
    uint32_t len;
    uint64_t offset;  /* of the frame in the file; set by append and by reading */
    uint64_t witness; /* reading only */
};

/* Creates path (ERR_EXISTS when it is there) and writes the header. Neither the file nor its directory is
 * synced. */
enum err segfile_create(struct env *env, const char *path, const struct segfile_info *info,
                        const struct segfile_limits *limits, struct segfile *ret_file);

/* Opens path and checks its header. size is the file's size until segfile_scan() has found the true end.
 * ERR_TRUNCATED: the header never became durable (short or all zero), the file holds nothing. ERR_CORRUPT,
 * ERR_VERSION, ERR_MISMATCH (kind), or what env_file_open gives. */
enum err segfile_open(struct env *env, const char *path, bool writable, enum segfile_kind kind,
                      const struct segfile_limits *limits, struct segfile *ret_file);

/* Drops the file; safe on a closed one. Never syncs. */
void segfile_close(struct segfile *sf);

/* Appends count frames with one write; sets their offsets. ERR_TOO_LARGE (nothing written), or the failure of
 * the disk, which is final. */
enum err segfile_append(struct segfile *sf, struct segframe *frames, int count);

/* Bytes that a frame with len bytes of data takes in the file. */
uint64_t segfile_frame_size(uint32_t len);

/* The owner's word that everything below position is durable; later frames carry it. Never goes back. */
void segfile_synced(struct segfile *sf, uint64_t position);

/* Writes an empty frame that carries the present witness, for a file that will be idle from now. Not synced.
 * No-op when the last frame carries it already. */
enum err segfile_note(struct segfile *sf);

enum segfile_tail_kind {
    SEGTAIL_CLEAN, /* frames up to the end, then nothing or only zeros */
    SEGTAIL_TORN, /* the last writes did not reach the disk whole; nothing that was ever durable is missing */
    SEGTAIL_DAMAGED, /* bytes that were durable are wrong: a valid frame follows, or a witness says so */
};

struct segfile_tail {
    enum segfile_tail_kind kind;
    uint64_t end;         /* end of the last good frame */
    uint64_t bad_bytes;   /* from there to the end of the file, zeros at the end not counted */
    uint64_t witness;     /* largest witness of any good frame */
    uint64_t valid_after; /* offset of the first good frame behind the bad place, 0: none */
};

/* Reads every frame from the start in order, calls each(ctx, frame), and judges what follows the last good
 * one. Stops early when each returns an error and gives that error. On OK sf->size is tail.end (unless
 * DAMAGED) and sf->witness is tail.witness. */
enum err segfile_scan(struct segfile *sf, enum err (*each)(void *ctx, const struct segframe *frame),
                      void *ctx, struct segfile_tail *ret_tail);

/* After a scan that found a torn tail: removes the bad bytes and blocks until that is durable. */
enum err segfile_cut_wait(struct segfile *sf);

/* After a scan in a process that has not written the file itself: writes again what no witness covers, and
 * blocks until that is durable. A sync alone proves nothing there: one that failed in a process that died of
 * it may have left bytes in the page cache that the kernel takes for written (ATC'20, fsync failures). On
 * failure sf->failed is set. */
enum err segfile_settle_wait(struct segfile *sf);

/* Reads exactly len bytes at offset; ERR_TRUNCATED when the file is shorter. For ranges that are probably
 * cached. */
enum err segfile_read(const struct segfile *sf, uint64_t offset, void *buf, size_t len);

/* Checks and takes apart the frame at p, of which len bytes are at hand. ret_frame->data points into p.
 * ERR_TRUNCATED when more bytes are needed, ERR_CORRUPT when it is no good frame of this file. *ret_size:
 * bytes it takes. */
enum err segfile_parse(const struct segfile *sf, const void *p, size_t len, struct segframe *ret_frame,
                       uint64_t *ret_size);

#endif
