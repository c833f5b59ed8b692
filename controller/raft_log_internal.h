/* SPDX-License-Identifier: Apache-2.0 */
/* What raft_log.c and raft_log_load.c share. */
#ifndef SLUICE_CONTROLLER_RAFT_LOG_INTERNAL_H
#define SLUICE_CONTROLLER_RAFT_LOG_INTERNAL_H

#include "common/log/group_sync.h"
#include "common/log/log_path.h"
#include "common/log/segfile.h"
#include "controller/raft_log.h"

#define SEGMENT_NAME_MAX 32
#define SEGMENT_RESET    1u /* info.b, bit 0: everything in older segments is void */

/* Where one entry lies. */
struct slot {
    uint64_t offset;
    uint64_t term;
    uint32_t len;
    uint32_t sequence; /* of its segment, low bits */
    uint8_t type;
};

struct segment {
    struct raft_log *log;
    uint64_t sequence;
    uint64_t last_index; /* largest index ever written to it */
    struct segfile sf;
    struct group_sync gs;
    struct group_sync_wait wait;
    bool waiting;
};

struct raft_log {
    struct env *env;
    char dir[LOG_PATH_MAX];
    uint64_t segment_bytes;
    struct segfile_limits limits;
    const struct raft_log_handler *handler;
    void *ctx;
    struct segment **segments; /* by sequence, without gaps; the last one is written to */
    uint32_t segments_count, segments_cap;
    struct slot *slots; /* of entry first + i */
    uint64_t slots_count, slots_cap;
    uint64_t first;
    uint64_t durable;
    uint64_t sync_wanted; /* position in the newest segment that somebody asked for */
};

/* "00000000000000000007.log" */
void raft_log_name(char out[SEGMENT_NAME_MAX], uint64_t sequence);
struct segment *raft_log_active(const struct raft_log *log); /* NULL: none yet */

/* Makes room for one more; false when memory is out. */
bool raft_log_reserve_segment(struct raft_log *log);
bool raft_log_reserve_slots(struct raft_log *log, uint64_t more);

/* Prepares group sync; everything in sf is taken as durable. */
void raft_log_adopt(struct raft_log *log, struct segment *segment);
void raft_log_free_segment(struct segment *segment);

/* Creates the segment behind the newest one and blocks until it stands. */
enum err raft_log_add_segment_wait(struct raft_log *log, uint64_t first_index, bool reset);

/* Records an entry in memory; entries from index on are forgotten first. */
void raft_log_place(struct raft_log *log, uint64_t index, const struct slot *slot);

#endif
