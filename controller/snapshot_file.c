/* SPDX-License-Identifier: Apache-2.0 */
/* One snapshot file: checking and reading. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/base/wire.h"
#include "controller/snapshot_internal.h"

const struct segfile_limits snapshot_limits = {.frame_max = SNAPSHOT_PIECE_SIZE, .allocate_bytes = 0};

STATIC_ASSERT(SNAPSHOT_CONFIG_MAX + 8 <= SNAPSHOT_PIECE_SIZE, "a configuration fits into the HEAD frame");

void snapshot_name(char out[SNAPSHOT_NAME_MAX], struct snapshot_id id)
{
    snprintf(out, SNAPSHOT_NAME_MAX, "%020" PRIu64 "-%020" PRIu64 ".checkpoint", id.index, id.term);
}

static bool parse_number(const char *p, uint64_t *ret_value)
{
    uint64_t n = 0;
    for (int i = 0; i < 20; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(p[i] - '0');
    }
    *ret_value = n;
    return true;
}

bool snapshot_parse_name(const char *name, struct snapshot_id *ret_id)
{
    return strlen(name) == 52 && name[20] == '-' && strcmp(name + 41, ".checkpoint") == 0 &&
           parse_number(name, &ret_id->index) && parse_number(name + 21, &ret_id->term);
}

struct snapshot *snapshot_ref(struct snapshot *snapshot)
{
    snapshot->refs++;
    return snapshot;
}

void snapshot_unref(struct snapshot *snapshot)
{
    if (snapshot == NULL)
        return;
    ASSERT(snapshot->refs > 0);
    if (--snapshot->refs > 0)
        return;
    segfile_close(&snapshot->sf);
    iobuf_unref(snapshot->config);
    free(snapshot);
}

/* -- checking -- */

struct checker {
    struct snapshot *snapshot;
    struct snapshot_id id;
    uint64_t pieces;
    uint32_t last_piece; /* length of the newest one */
    bool head, end;
};

static enum err check_head(struct checker *c, const struct segframe *frame)
{
    struct snapshot *snapshot = c->snapshot;
    if (c->head || frame->a != c->id.index || frame->b != c->id.term || frame->len < 8)
        return ERR_CORRUPT;
    c->head = true;
    snapshot->id = c->id;
    snapshot->config_index = load_be64(frame->data);
    snapshot->config = iobuf_get(NULL, frame->len - 8 + 1);
    if (snapshot->config == NULL)
        return ERR_NOMEM;
    snapshot->config->len = frame->len - 8;
    memcpy(snapshot->config->data, (const uint8_t *)frame->data + 8, frame->len - 8);
    snapshot->data_offset = frame->offset + segfile_frame_size(frame->len);
    return OK;
}

static enum err check_data(struct checker *c, const struct segframe *frame)
{
    bool partial_before = c->pieces > 0 && c->last_piece != SNAPSHOT_PIECE_SIZE;
    if (!c->head || frame->a != c->pieces || frame->len == 0 || partial_before)
        return ERR_CORRUPT;
    c->pieces++;
    c->last_piece = frame->len;
    c->snapshot->stream_size += frame->len;
    return OK;
}

static enum err check_frame(void *ctx, const struct segframe *frame)
{
    struct checker *c = ctx;
    if (c->end)
        return ERR_CORRUPT;
    switch (frame->type) {
    case SNAPSHOT_HEAD: return check_head(c, frame);
    case SNAPSHOT_DATA: return check_data(c, frame);
    case SNAPSHOT_END:
        c->end = c->head && frame->a == c->pieces && frame->b == c->snapshot->stream_size;
        return c->end ? OK : ERR_CORRUPT;
    default: return ERR_CORRUPT;
    }
}

enum err snapshot_open_checked(struct env *env, const char *path, struct snapshot_id id,
                               struct snapshot **ret_snapshot)
{
    struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
    if (snapshot == NULL)
        return ERR_NOMEM;
    struct checker c = {.snapshot = snapshot, .id = id};
    struct segfile_tail tail = {.kind = SEGTAIL_CLEAN};
    snapshot->refs = 1;
    enum err err = segfile_open(env, path, false, SEGFILE_RAFT_SNAPSHOT, &snapshot_limits, &snapshot->sf);
    if (err == OK)
        err = segfile_scan(&snapshot->sf, check_frame, &c, &tail);
    if (err == OK && (!c.end || tail.kind != SEGTAIL_CLEAN))
        err = ERR_CORRUPT;
    if (err != OK) {
        snapshot_unref(snapshot);
        return err == ERR_TRUNCATED ? ERR_CORRUPT : err;
    }
    *ret_snapshot = snapshot;
    return OK;
}

/* -- reading -- */

/* Part of one piece of the stream: the piece is read whole, so that its checksum can be checked. */
static enum err read_piece(const struct snapshot *snapshot, uint64_t offset, uint8_t *piece,
                           struct segframe *ret_frame)
{
    uint64_t number = offset / SNAPSHOT_PIECE_SIZE;
    uint64_t at = snapshot->data_offset + number * segfile_frame_size(SNAPSHOT_PIECE_SIZE);
    uint64_t left = snapshot->stream_size - number * SNAPSHOT_PIECE_SIZE;
    uint64_t size = segfile_frame_size((uint32_t)MIN(left, SNAPSHOT_PIECE_SIZE));
    enum err err = segfile_read(&snapshot->sf, at, piece, size);
    if (err == OK)
        err = segfile_parse(&snapshot->sf, piece, size, ret_frame, &size);
    if (err == OK && (ret_frame->type != SNAPSHOT_DATA || ret_frame->a != number))
        err = ERR_CORRUPT;
    return err;
}

enum err snapshot_read_stream(const struct snapshot *snapshot, uint64_t offset, void *buf, size_t len,
                              size_t *ret_len)
{
    if (offset > snapshot->stream_size)
        return ERR_OUT_OF_RANGE;
    size_t want = (size_t)MIN(len, snapshot->stream_size - offset);
    struct iobuf *piece = iobuf_get(snapshot->sf.env->pool, segfile_frame_size(SNAPSHOT_PIECE_SIZE));
    if (piece == NULL)
        return ERR_NOMEM;
    size_t done = 0;
    enum err err = OK;
    while (done < want && err == OK) {
        struct segframe frame;
        err = read_piece(snapshot, offset + done, piece->data, &frame);
        if (err != OK)
            break;
        size_t skip = (size_t)((offset + done) % SNAPSHOT_PIECE_SIZE);
        size_t take = MIN(frame.len - skip, want - done);
        memcpy((uint8_t *)buf + done, (const uint8_t *)frame.data + skip, take);
        done += take;
    }
    iobuf_unref(piece);
    if (err == OK)
        *ret_len = done;
    return err;
}

enum err snapshot_load(const struct snapshot *snapshot, struct iobuf **ret_buf)
{
    if (snapshot->stream_size > UINT32_MAX - 1)
        return ERR_TOO_LARGE;
    struct iobuf *buf = iobuf_get(NULL, (size_t)snapshot->stream_size + 1);
    if (buf == NULL)
        return ERR_NOMEM;
    size_t len = 0;
    enum err err = snapshot_read_stream(snapshot, 0, buf->data, (size_t)snapshot->stream_size, &len);
    if (err != OK) {
        iobuf_unref(buf);
        return err;
    }
    buf->len = (uint32_t)len;
    *ret_buf = buf;
    return OK;
}

enum err snapshot_read_raw(const struct snapshot *snapshot, uint64_t offset, void *buf, size_t len,
                           size_t *ret_len)
{
    uint64_t size = snapshot_raw_size(snapshot);
    if (offset > size)
        return ERR_OUT_OF_RANGE;
    return env_file_read(snapshot->sf.file, offset, buf, (size_t)MIN(len, size - offset), ret_len);
}

uint64_t snapshot_raw_size(const struct snapshot *snapshot)
{
    return snapshot->sf.size;
}
