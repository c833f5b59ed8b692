/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the group core: the bytes of a record on its way to the log. A record is a key part and a value
 * part; between write_begin() and write_end(). */
#ifndef SLUICE_BROKER_CORE_GROUP_WRITE_H
#define SLUICE_BROKER_CORE_GROUP_WRITE_H

#include "broker/core/group_internal.h"

/* Around the bytes of a part. */
static inline size_t write_part_begin(struct groups *g)
{
    size_t at = writer_pos(&g->out);

    writer_i32(&g->out, -1);
    return at;
}

static inline void write_part_end(struct groups *g, size_t at)
{
    if (g->out.err == OK)
        writer_patch_i32(&g->out, at, (int32_t)(writer_pos(&g->out) - at - 4));
}

/* The record is a tombstone. */
static inline void write_no_value(struct groups *g)
{
    writer_i32(&g->out, -1);
    g->out_count++;
}

#endif
