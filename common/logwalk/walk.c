/* SPDX-License-Identifier: Apache-2.0 */
#include "common/logwalk/walk.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/mutant.h"

#define WHOLE_CHUNK   (256 * 1024)
#define HEADERS_CHUNK 4096 /* a walk that needs only headers reads this much at a time */

enum err plog_walk_start(struct plog_walk *walk, struct env_file *file, int64_t base_offset,
                         uint32_t position, uint32_t limit, bool check_crc)
{
    ASSERT(position <= limit);
    *walk = (struct plog_walk){.file = file,
                               .base_offset = base_offset,
                               .position = position,
                               .limit = limit,
                               .check_crc = check_crc,
                               .cap = check_crc ? WHOLE_CHUNK : HEADERS_CHUNK};
    walk->buf = malloc(walk->cap);
    return walk->buf ? OK : ERR_NOMEM;
}

void plog_walk_end(struct plog_walk *walk)
{
    free(walk->buf);
    walk->buf = NULL;
}

/* Makes the buffer hold at least need bytes from position on (fewer at the limit: ERR_TRUNCATED). */
static enum err fill(struct plog_walk *walk, uint32_t need)
{
    uint32_t left = walk->limit - walk->position;
    if (need > left)
        return ERR_TRUNCATED;
    if (walk->used + need <= walk->have)
        return OK;
    if (need > walk->cap) {
        uint8_t *grown = realloc(walk->buf, need);
        if (grown == NULL)
            return ERR_NOMEM;
        walk->buf = grown;
        walk->cap = need;
    }
    size_t got = 0;
    enum err err = env_file_read(walk->file, walk->position, walk->buf, MIN(left, walk->cap), &got);
    walk->used = 0;
    walk->have = err ? 0 : (uint32_t)got;
    if (err)
        return err;
    return walk->have >= need ? OK : ERR_TRUNCATED;
}

/* Steps over size bytes, which may reach past the buffer. */
static void skip(struct plog_walk *walk, uint32_t size)
{
    walk->position += size;
    if (walk->used + size <= walk->have)
        walk->used += size;
    else
        walk->used = walk->have = 0;
}

enum err plog_walk_next(struct plog_walk *walk, struct batch_header *ret_batch, const uint8_t **ret_bytes)
{
    size_t size;
    uint32_t at = walk->hop ? walk->hop(walk->hop_ctx, walk->base_offset, walk->position) : walk->position;
    if (at != walk->position)
        skip(walk, at - walk->position);
    if (walk->position >= walk->limit)
        return ERR_NOT_FOUND;
    enum err err = fill(walk, BATCH_HEADER_BYTES);
    if (err)
        return err;
    if (batch_peek(walk->buf + walk->used, BATCH_HEADER_BYTES, &size) != OK)
        return ERR_CORRUPT;
    if (size > walk->limit - walk->position)
        return ERR_TRUNCATED;
    if (walk->check_crc && !MUTANT(SKIP_CRC)) {
        err = fill(walk, (uint32_t)size);
        if (err)
            return err;
        if (batch_verify(walk->buf + walk->used, size) != OK)
            return ERR_CORRUPT;
    }
    *ret_batch = batch_header_of(walk->buf + walk->used);
    if (ret_bytes)
        *ret_bytes = walk->buf + walk->used;
    if (ret_batch->base_offset < walk->base_offset || ret_batch->last_offset < ret_batch->base_offset ||
        ret_batch->last_offset - walk->base_offset >
            INT32_MAX) /* indexes hold 31 bits: segments end before */
        return ERR_CORRUPT;
    skip(walk, (uint32_t)size);
    return OK;
}

/* A good batch right at the walk's position? Leaves the position. */
static enum err probe(struct plog_walk *walk, int64_t after, int64_t before, bool *ret_found)
{
    size_t size;
    const uint8_t *p = walk->buf + walk->used;
    *ret_found = false;
    if (batch_peek(p, BATCH_HEADER_BYTES, &size) != OK || size > walk->limit - walk->position ||
        batch_base_offset(p) <= after || batch_base_offset(p) >= before)
        return OK;
    enum err err = fill(walk, (uint32_t)size);
    if (err)
        return err;
    *ret_found = batch_verify(walk->buf + walk->used, size) == OK;
    return OK;
}

enum err plog_walk_search(struct plog_walk *walk, int64_t after, int64_t before, bool *ret_found,
                          uint32_t *ret_position)
{
    *ret_found = false;
    walk->used = walk->have = 0;
    while (walk->position + BATCH_HEADER_BYTES < walk->limit) {
        skip(walk, 1);
        enum err err = fill(walk, BATCH_HEADER_BYTES);
        if (err)
            return err;
        if (walk->buf[walk->used + BATCH_AT_MAGIC] != BATCH_MAGIC)
            continue;
        err = probe(walk, after, before, ret_found);
        if (err)
            return err;
        if (*ret_found) {
            *ret_position = walk->position;
            return OK;
        }
    }
    return OK;
}
