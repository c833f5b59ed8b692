/* SPDX-License-Identifier: Apache-2.0 */
/* Submissions between consensus_submit() and their entries being applied: a bounded queue, oldest first. The
 * newest ones are "fresh" until Raft has taken them; their bytes lie one behind the other.
 */
#ifndef SLUICE_CONTROLLER_PROPOSALS_H
#define SLUICE_CONTROLLER_PROPOSALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

#define PROPOSALS_MAX         4096        /* not applied yet */
#define PROPOSALS_FRESH_BYTES (32u << 20) /* not handed to Raft yet */

struct proposal {
    uint64_t index; /* 0: fresh */
    uint64_t term;
    uint64_t token;
    uint32_t len;
};

struct proposals {
    struct proposal *ring; /* PROPOSALS_MAX of them, allocated with the first submission */
    uint32_t head, count;
    uint32_t fresh; /* the newest ones */
    uint8_t *data;  /* of the fresh ones */
    size_t data_len, data_cap;
};

/* Adds a fresh one. ERR_FULL, ERR_NOMEM. */
enum err proposals_add(struct proposals *p, const void *data, size_t len, uint64_t token);

/* The i-th fresh one, oldest first. */
struct proposal *proposals_fresh(struct proposals *p, uint32_t i);

/* The fresh ones were handed to Raft (index and term are set). */
void proposals_handed(struct proposals *p);

/* Takes the newest fresh one back; returns its token, 0 when none is fresh. */
uint64_t proposals_drop_fresh(struct proposals *p);

/* The token of the entry that is being applied, 0 when it is not one of ours. */
uint64_t proposals_applied(struct proposals *p, uint64_t index, uint64_t term);

/* Forgets all. */
void proposals_clear(struct proposals *p);

/* Lets go of the memory. */
void proposals_free(struct proposals *p);

#endif
