/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of replica: the rules of the high watermark and of the in-sync replicas, apart from the events that
 * trigger them. */
#ifndef SLUICE_BROKER_CORE_REPLICA_ISR_H
#define SLUICE_BROKER_CORE_REPLICA_ISR_H

#include "broker/core/replica.h"

static inline uint64_t replica_bit(int32_t place)
{
    return (uint64_t)1 << place;
}

/* The end of a member that counts for promises: see replica.h. */
int64_t replica_counted_end(const struct replica *core, int32_t place);

/* Whether a proposal may be made now: none is under way, or was refused a moment ago. */
bool replica_may_propose(const struct replica *core, uint64_t now_us);

/* replica_yield.c: a new state came (fresh: we have only just become leader); a proposal was refused for
 * certain; what is to be done now; when it is to be done. */
void replica_yield_state(struct replica *core, const struct replica_event *event, bool fresh);
void replica_yield_refused(struct replica *core, uint64_t now_us);
void replica_yield_step(struct replica *core, uint64_t now_us, struct replica_effects *fx);
uint64_t replica_yield_deadline(const struct replica *core);

/* Adds an effect; a step never gives more than REPLICA_EFFECTS_MAX. */
void replica_emit(struct replica_effects *fx, struct replica_effect effect);

/* Moves a leader's high watermark as far as the rules allow. Not a leader: nothing. */
void replica_advance(struct replica *core, uint64_t now_us, struct replica_effects *fx);

/* The log is about to grow to log_end: members that have all of the present one are caught up now. */
void replica_mark_caught_up(struct replica *core, int64_t log_end, uint64_t now_us);

/* A member told its offsets: see whether it passed its mark, and set a new one. */
void replica_follow_mark(struct replica *core, struct replica_member *m, uint64_t now_us);

/* Proposes to add the member at place if it may join and nothing else is under way. */
void replica_expand(struct replica *core, int32_t place, uint64_t now_us, struct replica_effects *fx);

/* Proposes to drop the members that have lagged for too long. */
void replica_shrink(struct replica *core, uint64_t now_us, struct replica_effects *fx);

/* The member at place told its offsets: where it is being proposed and may not join any more, the proposal
 * must not let it in should it be made again. */
void replica_doubt_proposal(struct replica *core, int32_t place);

/* Sends (or sends again) a proposal of the members in set. */
void replica_propose(struct replica *core, uint64_t set, struct replica_effects *fx);

#endif
