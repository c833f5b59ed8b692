/* SPDX-License-Identifier: Apache-2.0 */
/* The batches of one segment file, in order. */
#ifndef SLUICE_LOGWALK_WALK_H
#define SLUICE_LOGWALK_WALK_H

#include "common/batch/batch.h"
#include "common/env/env.h"

struct plog_walk {
    struct env_file *file; /* the caller's, open while the walk is used */
    int64_t base_offset;   /* of the segment: no batch may begin below it */
    uint8_t *buf;          /* malloc'd */
    uint32_t cap, have, used;
    uint32_t position; /* of the next batch */
    uint32_t limit;    /* bytes of the file to look at */
    bool check_crc;
    /* NULL, or what steps over bytes that are known to be bad: gives where to go on from position. */
    uint32_t (*hop)(const void *ctx, int64_t base_offset, uint32_t position);
    const void *hop_ctx;
};

/* Starts at a position that is the beginning of a batch, limit <= the file's size. check_crc: whole batches
 * are read and verified; else headers only. ERR_NOMEM. plog_walk_end() must follow, also after a failure. */
enum err plog_walk_start(struct plog_walk *walk, struct env_file *file, int64_t base_offset,
                         uint32_t position, uint32_t limit, bool check_crc);
void plog_walk_end(struct plog_walk *walk);

/* OK: *ret_batch and (with check_crc; else only its header) its bytes, valid until the next call; ret_bytes
 * may be NULL. ERR_NOT_FOUND: clean end. ERR_TRUNCATED, ERR_CORRUPT: bad bytes at walk->position. Else errors
 * of the disk, ERR_NOMEM. */
enum err plog_walk_next(struct plog_walk *walk, struct batch_header *ret_batch, const uint8_t **ret_bytes);

/* Whether a good batch with after < base offset < before begins anywhere behind the bad place; the walk
 * stands on it then, its bytes at buf + used. */
enum err plog_walk_search(struct plog_walk *walk, int64_t after, int64_t before, bool *ret_found,
                          uint32_t *ret_position);

#endif
