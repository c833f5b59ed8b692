/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/log/plog_internal.h"

static uint32_t hop(const void *ctx, int64_t base_offset, uint32_t position)
{
    const struct plog *log = ctx;
    if (plog_is_shadow(&log->asides) && atomic_load(log->asides.stop))
        return UINT32_MAX; /* the end of any segment: nobody waits for the rest */
    return plog_damage_hop(log, base_offset, position);
}

enum err plog_walk_begin(struct plog_walk *walk, struct plog *log, struct plog_segment *seg,
                         uint32_t position, bool check_crc)
{
    struct env_file *file;
    *walk = (struct plog_walk){.position = position};
    enum err err = plog_segment_file(log, seg, &file);
    if (err == OK)
        err = plog_walk_start(walk, file, seg->base_offset, position, seg->size, check_crc);
    if (log->damages_count > 0 || plog_is_shadow(&log->asides))
        walk->hop = hop;
    walk->hop_ctx = log;
    return err;
}
