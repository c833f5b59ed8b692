/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a segment file from the start and judging its end. */
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/base/wire.h"
#include "common/log/segfile.h"
#include "common/log/segfile_format.h"

#define SCAN_WINDOW_SIZE  (256u * 1024)
#define SETTLE_CHUNK_SIZE (64u * 1024)

/* A moving window over the file. */
struct window {
    struct segfile *sf;
    uint64_t file_size;
    uint8_t *buf;
    size_t cap;
    uint64_t start; /* file offset of buf[0] */
    size_t len;
};

/* Makes at least `want` bytes at offset available if the file has them. *ret_p, *ret_len: what is there (may
 * be less at the end). */
static enum err window_get(struct window *w, uint64_t offset, size_t want, const uint8_t **ret_p,
                           size_t *ret_len)
{
    want = MIN(want, w->file_size - offset);
    if (offset < w->start || offset + want > w->start + w->len) {
        if (want > w->cap) {
            uint8_t *grown = realloc(w->buf, want);
            if (grown == NULL)
                return ERR_NOMEM;
            w->buf = grown;
            w->cap = want;
        }
        w->start = offset;
        w->len = 0;
        enum err err =
            env_file_read(w->sf->file, offset, w->buf, MIN(w->cap, w->file_size - offset), &w->len);
        if (err != OK)
            return err;
    }
    *ret_p = w->buf + (offset - w->start);
    *ret_len = w->len - (size_t)(offset - w->start);
    return OK;
}

/* The frame at offset: OK, ERR_CORRUPT when there is no good frame there, or a failure to read. */
static enum err frame_at(struct window *w, uint64_t offset, struct segframe *ret_frame, uint64_t *ret_size)
{
    const uint8_t *p;
    size_t len;
    uint64_t size = 0;
    enum err err = window_get(w, offset, SEGFRAME_HEADER_SIZE, &p, &len);
    if (err != OK)
        return err;
    err = segfile_parse(w->sf, p, len, ret_frame, &size);
    if (err == ERR_TRUNCATED && size > 0 && size <= w->file_size - offset) {
        err = window_get(w, offset, size, &p, &len);
        if (err != OK)
            return err;
        err = segfile_parse(w->sf, p, len, ret_frame, &size);
    }
    if (err == ERR_TRUNCATED)
        return ERR_CORRUPT;
    if (err == OK && size > w->file_size - offset) /* the padding after the last frame is missing */
        return ERR_CORRUPT;
    ret_frame->offset = offset;
    *ret_size = size;
    return err;
}

/* End of the last byte of the file that is not zero, at least `from`. */
static enum err content_end(struct window *w, uint64_t from, uint64_t *ret_end)
{
    uint64_t end = from;
    const uint8_t *p;
    size_t len;
    for (uint64_t at = from; at < w->file_size; at += len) {
        enum err err = window_get(w, at, 1, &p, &len);
        if (err != OK)
            return err;
        if (len == 0)
            break;
        for (size_t i = len; i > 0; i--) {
            if (p[i - 1] != 0) {
                end = at + i;
                break;
            }
        }
    }
    *ret_end = end;
    return OK;
}

/* Finds the good frames behind the bad place: the first one's offset and the largest witness of any. */
static enum err look_behind(struct window *w, struct segfile_tail *tail)
{
    uint64_t at = tail->end + SEGFRAME_ALIGN;
    while (at + SEGFRAME_HEADER_SIZE <= w->file_size) {
        struct segframe frame;
        uint64_t size;
        enum err err = frame_at(w, at, &frame, &size);
        if (err == ERR_CORRUPT) {
            at += SEGFRAME_ALIGN;
            continue;
        }
        if (err != OK)
            return err;
        if (tail->valid_after == 0)
            tail->valid_after = at;
        tail->witness = MAX(tail->witness, frame.witness);
        at += size;
    }
    return OK;
}

/* Whether the bad range looks like a write that never arrived: some sector of it is still zero, as the file
 * system made it. */
static enum err sector_missing(struct window *w, uint64_t from, uint64_t to, bool *ret_missing)
{
    static const uint8_t zeros[DISK_SECTOR_SIZE];
    *ret_missing = false;
    for (uint64_t at = from; at < to && !*ret_missing;) {
        uint64_t next = MIN(to, at - at % DISK_SECTOR_SIZE + DISK_SECTOR_SIZE);
        const uint8_t *p;
        size_t len;
        enum err err = window_get(w, at, (size_t)(next - at), &p, &len);
        if (err != OK)
            return err;
        *ret_missing = len >= next - at && memcmp(p, zeros, (size_t)(next - at)) == 0;
        at = next;
    }
    return OK;
}

static enum err judge_tail(struct window *w, struct segfile_tail *tail)
{
    uint64_t content;
    enum err err = content_end(w, tail->end, &content);
    if (err != OK)
        return err;
    tail->bad_bytes = content - tail->end;
    if (tail->bad_bytes > 0)
        err = look_behind(w, tail);
    if (err != OK)
        return err;
    bool missing = true;
    if (tail->valid_after != 0)
        err = sector_missing(w, tail->end, tail->valid_after, &missing);
    if (tail->witness > tail->end || !missing)
        tail->kind = SEGTAIL_DAMAGED;
    else
        tail->kind = tail->bad_bytes > 0 ? SEGTAIL_TORN : SEGTAIL_CLEAN;
    return err;
}

static enum err scan_frames(struct window *w, enum err (*each)(void *ctx, const struct segframe *frame),
                            void *ctx, struct segfile_tail *tail)
{
    tail->end = SEGFILE_HEADER_SIZE;
    for (;;) {
        struct segframe frame;
        uint64_t size;
        enum err err = frame_at(w, tail->end, &frame, &size);
        if (err == ERR_CORRUPT)
            return OK;
        if (err == OK && frame.type != SEGFRAME_NOTE)
            err = each(ctx, &frame);
        if (err != OK)
            return err;
        tail->witness = MAX(tail->witness, frame.witness);
        tail->end += size;
    }
}

enum err segfile_scan(struct segfile *sf, enum err (*each)(void *ctx, const struct segframe *frame),
                      void *ctx, struct segfile_tail *ret_tail)
{
    struct window w = {.sf = sf, .cap = SCAN_WINDOW_SIZE};
    struct segfile_tail tail = {.kind = SEGTAIL_CLEAN};
    enum err err = env_file_size(sf->file, &w.file_size);
    if (err != OK)
        return err;
    w.buf = malloc(w.cap);
    if (w.buf == NULL)
        return ERR_NOMEM;
    err = scan_frames(&w, each, ctx, &tail);
    if (err == OK)
        err = judge_tail(&w, &tail);
    free(w.buf);
    if (err != OK)
        return err;
    if (tail.kind != SEGTAIL_DAMAGED) {
        sf->size = tail.end;
        sf->witness = MIN(tail.witness, tail.end);
    }
    sf->allocated = w.file_size;
    *ret_tail = tail;
    return OK;
}

static enum err write_again(struct segfile *sf, uint64_t from)
{
    uint8_t *buf = malloc(SETTLE_CHUNK_SIZE);
    enum err err = buf != NULL ? OK : ERR_NOMEM;
    while (err == OK && from < sf->size) {
        struct iovec iov = {.iov_base = buf, .iov_len = MIN(SETTLE_CHUNK_SIZE, sf->size - from)};
        err = segfile_read(sf, from, buf, iov.iov_len);
        if (err == OK)
            err = env_file_write(sf->file, from, &iov, 1);
        from += iov.iov_len;
    }
    free(buf);
    return err;
}

enum err segfile_settle_wait(struct segfile *sf)
{
    enum err err = write_again(sf, sf->witness);
    if (err == OK)
        err = env_file_sync_wait(sf->file);
    if (err == OK)
        segfile_synced(sf, sf->size);
    else
        sf->failed = err;
    return err;
}

enum err segfile_cut_wait(struct segfile *sf)
{
    enum err err = env_file_truncate(sf->file, sf->size);
    if (err == OK)
        err = env_file_sync_wait(sf->file);
    if (err == OK)
        sf->allocated = sf->size;
    else
        sf->failed = err;
    return err;
}
