/* SPDX-License-Identifier: Apache-2.0 */
/* One write for all that is appended in a turn (DESIGN, Shards): batches whose buffers live on are staged as
 * references, and written together by plog_write_out(), or before anybody looks at the file. Staged bytes are
 * part of the log for those who append to it only. */
#include "broker/log/plog_hooks.h"
#include "broker/log/plog_internal.h"
#include "common/base/assert.h"

/* More than this is written at once: beside copying so much one more call costs nothing, and what was just
 * checked is still in the processor's caches. */
#define STAGED_BYTES_MAX  (512u * 1024)
#define STAGED_PIECES_MAX 64 /* the env writes as many with one call */

/* In a buffer of the loop's pool, as long as several pieces wait. */
struct plog_pieces {
    struct iobuf *memory; /* holds this */
    struct iovec pieces[STAGED_PIECES_MAX];
    struct iobuf *owners[STAGED_PIECES_MAX]; /* one reference each */
};

static void release(struct plog_staged *staged)
{
    struct plog_pieces *several = staged->several;
    if (several == NULL)
        iobuf_unref(staged->owner);
    for (int i = 0; several && i < staged->count; i++)
        iobuf_unref(several->owners[i]);
    if (several)
        iobuf_unref(several->memory);
    staged->count = 0;
    staged->owner = NULL;
    staged->several = NULL;
}

void plog_staged_drop(struct plog *log)
{
    release(&log->staged);
}

int64_t plog_written_end(const struct plog *log)
{
    return log->staged.count > 0 ? log->staged.base_offset : log->end;
}

static enum err write_pieces(struct plog *log, uint64_t position, const struct iovec *pieces, int count)
{
    struct plog_segment *seg = plog_active(log);
    ASSERT(seg->file != NULL && seg->dirty); /* so nobody has closed it for want of descriptors */
    if (log->writes)
        atomic_fetch_add_explicit(log->writes, 1, memory_order_relaxed);
    enum err err = env_file_write(seg->file, position, pieces, count);
    return err ? plog_fail(log, err) : OK;
}

enum err plog_staged_write(struct plog *log)
{
    struct plog_staged *staged = &log->staged;
    if (staged->count == 0)
        return log->failed;
    const struct iovec *pieces = staged->several ? staged->several->pieces : &staged->first;
    enum err err = log->failed ? log->failed : write_pieces(log, staged->position, pieces, staged->count);
    release(staged);
    return err;
}

/* Room for more than one piece. */
static bool make_several(struct plog *log)
{
    struct plog_staged *staged = &log->staged;
    struct iobuf *memory = iobuf_get(log->env->pool, sizeof(struct plog_pieces));
    if (memory == NULL)
        return false;
    staged->several = (struct plog_pieces *)(void *)memory->data;
    staged->several->memory = memory;
    staged->several->pieces[0] = staged->first;
    staged->several->owners[0] = staged->owner;
    staged->owner = NULL;
    return true;
}

static void add(struct plog *log, struct iovec piece, struct iobuf *owner)
{
    struct plog_staged *staged = &log->staged;
    if (owner)
        iobuf_ref(owner);
    if (staged->count == 0) {
        staged->position = plog_active(log)->size;
        staged->base_offset = batch_base_offset(piece.iov_base);
        staged->bytes = 0;
        staged->first = piece;
        staged->owner = owner;
    } else {
        staged->several->pieces[staged->count] = piece;
        staged->several->owners[staged->count] = owner;
    }
    staged->bytes += (uint32_t)piece.iov_len;
    staged->count++;
}

enum err plog_stage(struct plog *log, const uint8_t *batches, uint32_t len, struct iobuf *owner)
{
    struct plog_staged *staged = &log->staged;
    struct plog_segment *seg = plog_active(log);
    struct iovec piece = {(void *)(uintptr_t)batches, len};
    if (log->failed)
        return log->failed;
    ASSERT(staged->count == 0 || staged->position + staged->bytes == seg->size);
    seg->dirty = true;
    if (staged->count == 1 && !staged->several && !make_several(log) && plog_staged_write(log) != OK)
        return log->failed;
    if (staged->count == 0 && (owner == NULL || len >= STAGED_BYTES_MAX)) /* there is nothing to wait for */
        return write_pieces(log, seg->size, &piece, 1);
    add(log, piece, owner);
    bool full = staged->count == STAGED_PIECES_MAX || staged->bytes >= STAGED_BYTES_MAX;
    return owner && !full ? OK : plog_staged_write(log);
}

enum err plog_write_out(struct plog *log)
{
    enum err err = plog_staged_write(log);
    if (err)
        return err;
    err = plog_index_flush(log, plog_active(log), false);
    return err ? plog_fail(log, err) : OK;
}
