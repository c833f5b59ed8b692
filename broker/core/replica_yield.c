/* SPDX-License-Identifier: Apache-2.0 */
/* How a leader gives way to another one while it lives. acks=all waits for all in-sync replicas, so whoever
 * of them leads next has what it promised; acks=1 rests on the leader alone. So acks=1 is refused for a
 * moment, the in-sync replicas catch up to where the log ended then, and only now the controllers hear that
 * another one may lead. Should they not catch up soon, acks=1 is taken again and it is tried later. */
#include "broker/core/replica_isr.h"
#include "common/base/assert.h"
#include "common/base/mutant.h"

#define YIELD_MAX_US   300000   /* acks=1 is refused for at most this long before the controllers are told */
#define YIELD_PAUSE_US 1000000  /* until the next attempt; doubles */
#define YIELD_LONG_US  30000000 /* up to this */

bool replica_takes_own_word(const struct replica *core)
{
    return !core->yield.giving;
}

void replica_yield_state(struct replica *core, const struct replica_event *event, bool fresh)
{
    struct replica_yield *yield = &core->yield;
    yield->told = false; /* a proposal under way rests on an older state: it will be refused */
    if (core->role == REPLICA_LEADER && event->state.yields && yield->asked && !fresh)
        return;
    *yield = (struct replica_yield){.asked = core->role == REPLICA_LEADER && event->state.yields,
                                    .due_us = event->now_us,
                                    .wait_us = YIELD_PAUSE_US};
}

static void put_off(struct replica_yield *yield, uint64_t now_us)
{
    yield->giving = yield->told = false;
    yield->due_us = now_us + yield->wait_us;
    yield->wait_us = MIN(2 * yield->wait_us, (uint64_t)YIELD_LONG_US);
}

void replica_yield_refused(struct replica *core, uint64_t now_us)
{
    if (core->yield.told)
        put_off(&core->yield, now_us);
}

static bool others_have(const struct replica *core, int64_t offset)
{
    for (int32_t i = 0; i < core->members_count; i++)
        if (i != core->self && core->isr & replica_bit(i) && replica_counted_end(core, i) < offset)
            return false;
    return true;
}

void replica_yield_step(struct replica *core, uint64_t now_us, struct replica_effects *fx)
{
    struct replica_yield *yield = &core->yield;
    ASSERT(yield->asked && core->role == REPLICA_LEADER);
    bool may = replica_may_propose(core, now_us);
    if (yield->told || (!yield->giving && (!may || now_us < yield->due_us)))
        return;
    if (!yield->giving) {
        yield->giving = true;
        yield->mark = core->log_end;
        yield->due_us = now_us + YIELD_MAX_US;
    }
    if (may && (MUTANT(GIVE_WAY_AT_ONCE) || others_have(core, yield->mark))) {
        yield->told = true;
        replica_propose(core, core->isr, fx);
    } else if (now_us >= yield->due_us) {
        put_off(yield, now_us);
    }
}

uint64_t replica_yield_deadline(const struct replica *core)
{
    const struct replica_yield *yield = &core->yield;
    ASSERT(yield->asked);
    if (yield->told)
        return REPLICA_NO_DEADLINE;
    if (yield->giving)
        return yield->due_us;
    bool busy = core->alter != ALTER_IDLE || core->answer_due; /* its end looks again */
    return busy ? REPLICA_NO_DEADLINE : MAX(yield->due_us, core->alter_at_us);
}
