/* SPDX-License-Identifier: Apache-2.0 */
/* A leader's appends are written once a turn: partition_append() leaves batches with the log and marks the
 * partition, and the settle task at the end of the turn writes them all at once and only then tells the
 * replica core of them. The core's log end is the end of what is written, so nothing that looks at it (high
 * watermark, followers, readers, acknowledgments) can be ahead of the file. */
#include "broker/shard/partition_internal.h"
#include "common/base/assert.h"

/* The settle task of this turn waits, or runs: it makes of this what is to be made. */
void partition_write_out(struct partition *p)
{
    struct replica_event event = {.type = EV_APPENDED};
    int64_t from = p->core.log_end;
    if (!p->unwritten)
        return;
    p->unwritten = false;
    if (p->core.failed)
        return;
    enum err err = plog_write_out(p->log);
    if (err) {
        partition_fail(p, err);
        return;
    }
    event.offset = plog_end(p->log);
    ASSERT(event.offset > from);
    partition_step(p, &event);
    if (plog_synced_end(p->log) > p->core.synced_end)
        partition_note_synced(p);
    p->wake[READER_FOLLOWER] = true;
    partition_flush_appended(p, from);
}
