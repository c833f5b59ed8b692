/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/replica_isr.h"

#include "common/base/assert.h"
#include "common/base/mutant.h"

int64_t replica_counted_end(const struct replica *core, int32_t place)
{
    const struct replica_member *m = &core->members[place];
    if (MUTANT(ACK_BEFORE_SYNC))
        return place == core->self ? core->log_end : m->position;
    if (place == core->self)
        return core->sync_before_ack ? core->synced_end : core->log_end;
    return core->sync_before_ack ? m->durable : m->position;
}

/* Kafka's isCaughtUp: at our end, or it was within the lag time. */
static bool caught_up(const struct replica *core, int32_t place, uint64_t now_us)
{
    const struct replica_member *m = &core->members[place];
    if (replica_counted_end(core, place) >= core->log_end)
        return true;
    return m->caught_up_us != 0 && now_us <= m->caught_up_us + core->lag_time_max_us;
}

/* Whether the high watermark waits for the member: it is in the ISR, proposed for it, or about to qualify (so
 * that it can catch up). */
static bool counts(const struct replica *core, int32_t place, uint64_t now_us)
{
    if (MUTANT(BELIEVE_OWN_SHRINK))
        return place == core->self || (core->pending & replica_bit(place));
    if (place == core->self || ((core->isr | core->pending) & replica_bit(place)))
        return true;
    return core->members[place].eligible && caught_up(core, place, now_us);
}

void replica_advance(struct replica *core, uint64_t now_us, struct replica_effects *fx)
{
    if (core->role != REPLICA_LEADER || replica_isr_count(core) < replica_min_isr(core))
        return;
    int64_t offset = INT64_MAX;
    for (int32_t i = 0; i < core->members_count; i++) {
        int64_t end = replica_counted_end(core, i);
        if (MUTANT(IGNORE_A_FOLLOWER) && i == core->members_count - 1)
            continue;
        if (end < offset && counts(core, i, now_us))
            offset = end;
    }
    ASSERT(offset <= core->log_end);
    if (offset <= core->high_watermark)
        return;
    core->high_watermark = offset;
    replica_emit(fx, (struct replica_effect){.type = FX_HIGH_WATERMARK, .offset = offset});
}

void replica_mark_caught_up(struct replica *core, int64_t log_end, uint64_t now_us)
{
    for (int32_t i = 0; i < core->members_count; i++) {
        struct replica_member *m = &core->members[i];
        if (i == core->self || replica_counted_end(core, i) < core->log_end)
            continue;
        m->caught_up_us = now_us;
        m->mark_end = log_end;
        m->mark_us = now_us;
    }
}

void replica_follow_mark(struct replica *core, struct replica_member *m, uint64_t now_us)
{
    int64_t end = core->sync_before_ack ? m->durable : m->position;
    if (end >= core->log_end) {
        m->caught_up_us = now_us;
    } else if (end >= m->mark_end) {
        if (m->mark_us > m->caught_up_us)
            m->caught_up_us = m->mark_us;
    } else {
        return; /* the mark stands until it is passed */
    }
    m->mark_end = core->log_end;
    m->mark_us = now_us;
}

void replica_propose(struct replica *core, uint64_t set, struct replica_effects *fx)
{
    ASSERT(core->role == REPLICA_LEADER);
    ASSERT(core->alter == ALTER_IDLE || core->alter == ALTER_RETRY);
    ASSERT(set & replica_bit(core->self));
    ASSERT(!core->answer_due);
    for (int32_t i = 0; core->alter == ALTER_IDLE && i < core->members_count; i++)
        core->members[i].asked_epoch = core->members[i].broker_epoch;
    core->pending = set;
    core->alter = ALTER_SENT;
    core->answer_due = true;
    replica_emit(
        fx, (struct replica_effect){
                .type = FX_ALTER, .epoch = core->partition_epoch, .isr = set, .gives_way = core->yield.told});
}

bool replica_may_propose(const struct replica *core, uint64_t now_us)
{
    return core->alter == ALTER_IDLE && !core->answer_due && now_us >= core->alter_at_us;
}

/* KIP-841, KIP-903 and facts ISR: at the high watermark and past the start of our epoch, registered and not
 * fenced. */
static bool may_join(const struct replica *core, int32_t place)
{
    int64_t end = replica_counted_end(core, place);
    if (MUTANT(EXPAND_TOO_EARLY))
        return true;
    return core->members[place].eligible && end >= core->high_watermark && end >= core->epoch_start;
}

/* What is proposed again is what was proposed at first: with the life of a member that was judged then (which
 * the controllers refuse when it has a new one). Its log may also have come back shorter in the same life;
 * for that there is no number, so it is proposed under one that no life has. Either may have been let in all
 * the same, by the first attempt, so it counts until that is known. */
void replica_doubt_proposal(struct replica *core, int32_t place)
{
    uint64_t asked = core->pending & ~core->isr;
    if ((asked & replica_bit(place)) && !may_join(core, place))
        core->members[place].asked_epoch = 0;
}

void replica_expand(struct replica *core, int32_t place, uint64_t now_us, struct replica_effects *fx)
{
    uint64_t bit = replica_bit(place);
    if (!replica_may_propose(core, now_us) || (core->isr & bit) || !may_join(core, place))
        return;
    replica_propose(core, core->isr | bit, fx);
}

/* Those outside the ISR that have lagged for too long no longer hold the high watermark, nor have a deadline.
 */
static void drop_laggards(struct replica *core, uint64_t now_us)
{
    for (int32_t i = 0; i < core->members_count; i++)
        if (i != core->self && !(core->isr & replica_bit(i)) && !caught_up(core, i, now_us))
            core->members[i].caught_up_us = 0;
}

void replica_shrink(struct replica *core, uint64_t now_us, struct replica_effects *fx)
{
    uint64_t lagging = 0;
    drop_laggards(core, now_us);
    if (!replica_may_propose(core, now_us))
        return;
    for (int32_t i = 0; i < core->members_count; i++)
        if (i != core->self && (core->isr & replica_bit(i)) && !caught_up(core, i, now_us))
            lagging |= replica_bit(i);
    if (lagging != 0)
        replica_propose(core, (core->isr & ~lagging) | replica_bit(core->self), fx);
}

uint64_t replica_deadline(const struct replica *core)
{
    uint64_t deadline = REPLICA_NO_DEADLINE;
    if (core->role != REPLICA_LEADER)
        return deadline;
    if (core->alter == ALTER_RETRY)
        return core->alter_at_us;
    if (core->yield.asked)
        deadline = replica_yield_deadline(core);
    for (int32_t i = 0; i < core->members_count; i++) {
        const struct replica_member *m = &core->members[i];
        bool in_isr = core->isr & replica_bit(i);
        if (i == core->self || replica_counted_end(core, i) >= core->log_end)
            continue;
        uint64_t lags_at = m->caught_up_us + core->lag_time_max_us + 1;
        if (in_isr && core->alter == ALTER_IDLE && !core->answer_due) /* shrink */
            deadline = MIN(deadline, MAX(lags_at, core->alter_at_us));
        else if (!in_isr && m->eligible && m->caught_up_us != 0) /* stops holding the high watermark */
            deadline = MIN(deadline, lags_at);
    }
    return deadline;
}
