/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/log/plog_torn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/log/plog_internal.h"
#include "common/base/assert.h"

#define SECTOR_BYTES 512u /* the least that a disk writes as one */
#define PIECE_MIN                                                                                            \
    16u /* in so few bytes of a batch zeros prove nothing (the beginning of its base offset)                 \
         */

/* -- torn or whole -- */

static bool is_zero(const uint8_t *p, size_t len)
{
    return p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

/* Whether a header was written at position at all, and where its batch ends: by its length, if that can be;
 * else where the next good batch begins, or the segment ends (`end`). */
static bool batch_end(const uint8_t *header, size_t got, uint32_t position, uint32_t end, uint32_t *ret_end,
                      bool *ret_fits)
{
    if (got < BATCH_HEADER_BYTES || is_zero(header, PIECE_MIN))
        return false;
    size_t size = batch_size(header);
    *ret_fits = size >= BATCH_HEADER_BYTES && size <= end - position;
    *ret_end = *ret_fits ? position + (uint32_t)size : end;
    return true;
}

/* Where the last byte that is not zero ends, from position on. */
static enum err data_end(struct env_file *file, uint32_t position, uint32_t end, uint8_t *buf,
                         uint32_t *ret_end)
{
    size_t got = 1;
    enum err err = OK;
    *ret_end = position;
    while (err == OK && got > 0 && position < end) {
        err = env_file_read(file, position, buf, MIN(PLOG_CHUNK, end - position), &got);
        for (size_t left = err ? 0 : got; left > 0; left--) {
            if (buf[left - 1] == 0)
                continue;
            *ret_end = position + (uint32_t)left;
            break;
        }
        position += (uint32_t)got;
    }
    return err;
}

/* The log's last bytes end in the middle of a sector: a torn write ends where a sector does, so the batch
 * ended there, whatever its length says. */
static bool ends_inside_sector(uint32_t position, uint32_t bytes_end)
{
    uint32_t behind = (SECTOR_BYTES - bytes_end % SECTOR_BYTES) % SECTOR_BYTES;
    return behind >= PIECE_MIN && bytes_end - position >= BATCH_HEADER_BYTES;
}

static bool sectors_hold_data(const uint8_t *p, uint32_t position, uint32_t len)
{
    for (uint32_t at = 0; at < len;) {
        uint32_t piece = MIN(SECTOR_BYTES - (position + at) % SECTOR_BYTES, len - at);
        if (piece >= PIECE_MIN && is_zero(p + at, piece))
            return false;
        at += piece;
    }
    return true;
}

enum err plog_looks_whole(struct plog *log, struct plog_segment *seg, uint32_t position, uint32_t end,
                          bool *ret_whole)
{
    struct env_file *file;
    uint8_t header[BATCH_HEADER_BYTES], *buf = malloc(PLOG_CHUNK);
    size_t got = 0;
    uint32_t stop = end, bytes_end = end;
    ASSERT(position <= end && end <= seg->size);
    enum err err = buf ? plog_segment_file(log, seg, &file) : ERR_NOMEM;
    if (err == OK)
        err = env_file_read(file, position, header, sizeof(header), &got);
    bool fits, whole = err == OK && batch_end(header, got, position, end, &stop, &fits);
    if (whole && end == seg->size)
        err = data_end(file, position, end, buf, &bytes_end);
    if (whole && bytes_end < stop) /* its length is wrong, or its end is missing */
        whole = ends_inside_sector(position, bytes_end);
    else if (whole && !fits && end == seg->size) /* so is the end of the file */
        whole = false;
    stop = MIN(stop, bytes_end);
    while (err == OK && whole && position < stop) {
        uint32_t to_boundary = PLOG_CHUNK - position % SECTOR_BYTES;
        err = env_file_read(file, position, buf, MIN(to_boundary, stop - position), &got);
        whole = err == OK && got > 0 && sectors_hold_data(buf, position, (uint32_t)got);
        position += (uint32_t)got;
    }
    free(buf);
    *ret_whole = whole;
    return err;
}

/* -- the mark -- */

static bool mark_path(const char *data_dir, const char *name, char out[PLOG_PATH_MAX])
{
    int len = snprintf(out, PLOG_PATH_MAX, "%s/%s.doubt", data_dir, name);
    return len > 0 && len < PLOG_PATH_MAX;
}

enum err plog_doubt_note(struct env *env, const char *data_dir, const char *name)
{
    char path[PLOG_PATH_MAX];
    struct env_file *file;
    if (!mark_path(data_dir, name, path))
        return ERR_TOO_LARGE;
    enum err err = env_file_open(env, path, ENV_OPEN_WRITE | ENV_OPEN_CREATE, &file);
    if (err)
        return err;
    env_file_close(file);
    return env_dir_sync_wait(env, data_dir);
}

bool plog_doubt_noted(struct env *env, const char *data_dir, const char *name)
{
    char path[PLOG_PATH_MAX];
    struct env_file *file;
    if (!mark_path(data_dir, name, path) || env_file_open(env, path, 0, &file) != OK)
        return false;
    env_file_close(file);
    return true;
}

void plog_doubt_clear(struct env *env, const char *data_dir, const char *name)
{
    char path[PLOG_PATH_MAX];
    if (mark_path(data_dir, name, path))
        env_unlink(env, path);
}
