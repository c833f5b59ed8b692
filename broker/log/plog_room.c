/* SPDX-License-Identifier: Apache-2.0 */
/* Room in the active segment's file, made ahead of the writes: a sync of a file that grew also writes its new
 * size, and a full disk is noticed before anything is written. What is left over is given back when the
 * segment or the log ends; a killed process leaves zeros, which recovery takes for room. */
#include "broker/log/plog_internal.h"
#include "common/base/assert.h"

#define ROOM_MIN (64u * 1024)
#define ROOM_MAX (4u * 1024 * 1024)

/* Grows with the segment, so that a small log takes little. */
static uint64_t wanted(const struct plog *log, const struct plog_segment *seg, uint32_t len)
{
    uint64_t end = (uint64_t)seg->size + len;
    uint64_t step = MIN(MAX(seg->size, ROOM_MIN), ROOM_MAX);
    uint64_t limit = MAX((uint64_t)log->config.segment_bytes, end);
    return MIN(MIN((end + step) / ROOM_MIN * ROOM_MIN + ROOM_MIN, limit), PLOG_SEGMENT_BYTES_MAX);
}

enum err plog_make_room(struct plog *log, struct plog_segment *seg, struct env_file *file, uint32_t len)
{
    uint64_t from = MAX(seg->allocated, seg->size), end = (uint64_t)seg->size + len;
    if (end <= from)
        return OK;
    uint64_t to = MAX(wanted(log, seg, len), end);
    enum err err = env_file_allocate(file, from, to - from);
    if (err == ERR_NO_SPACE) /* perhaps there is room for less */
        err = env_file_allocate(file, from, end - from);
    else if (err == OK)
        end = to;
    if (err == OK)
        seg->allocated = (uint32_t)end;
    return err;
}

enum err plog_return_room(struct plog *log, struct plog_segment *seg)
{
    struct env_file *file;
    if (seg->allocated <= seg->size)
        return OK;
    enum err err = plog_segment_file(log, seg, &file);
    if (err == OK)
        err = env_file_truncate(file, seg->size);
    if (err)
        return err;
    seg->allocated = seg->size;
    seg->dirty = true;
    return OK;
}
