/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/replica.h"

#include <string.h>

#include "broker/core/replica_isr.h"
#include "common/base/assert.h"
#include "common/base/map.h"
#include "common/base/mutant.h"
#include "proto/kafka/error.h"

#define ALTER_BACKOFF_US 50000 /* pause before a failed or refused proposal is made again */

STATIC_ASSERT(REPLICA_MEMBERS_MAX <= 64, "isr and pending are 64-bit sets");

/* -- queries -- */

int16_t replica_check_epoch(const struct replica *core, int32_t current_leader_epoch)
{
    if (current_leader_epoch < 0 || current_leader_epoch == core->leader_epoch)
        return KAFKA_NONE;
    return current_leader_epoch < core->leader_epoch ? KAFKA_FENCED_LEADER_EPOCH : KAFKA_UNKNOWN_LEADER_EPOCH;
}

/* By hand: without a POPCNT in the baseline the compiler would call its own library. */
static int32_t set_size(uint64_t set)
{
    int32_t size = 0;
    for (; set != 0; set &= set - 1)
        size++;
    return size;
}

int32_t replica_isr_count(const struct replica *core)
{
    return set_size(core->isr);
}

int32_t replica_maximal_isr_count(const struct replica *core)
{
    return set_size(core->isr | core->pending);
}

int32_t replica_min_isr(const struct replica *core)
{
    return MUTANT(IGNORE_MIN_ISR) ? 1 : MIN(core->min_isr, core->members_count);
}

bool replica_holds_alone(const struct replica *core, int64_t offset)
{
    if (core->role != REPLICA_LEADER || replica_min_isr(core) < 2)
        return false;
    for (int32_t i = 0; i < core->members_count; i++) {
        const struct replica_member *member = &core->members[i];
        if (i != core->self && (member->position < 0 || member->position > offset))
            return false;
    }
    return true;
}

int32_t replica_isr_list(const struct replica *core, uint64_t set, int32_t *ret_ids, int64_t *ret_epochs)
{
    int32_t count = 0;
    for (int32_t i = 0; i < core->members_count; i++) {
        if (!(set & replica_bit(i)))
            continue;
        ret_ids[count] = core->members[i].broker_id;
        ret_epochs[count++] = core->members[i].asked_epoch;
    }
    ASSERT(count == set_size(set));
    return count;
}

static int32_t find_member(const struct replica *core, int32_t broker_id)
{
    for (int32_t i = 0; i < core->members_count; i++)
        if (core->members[i].broker_id == broker_id)
            return i;
    return -1;
}

void replica_emit(struct replica_effects *fx, struct replica_effect effect)
{
    ASSERT(fx->count < REPLICA_EFFECTS_MAX);
    fx->list[fx->count++] = effect;
}

/* -- state from the metadata -- */

static struct replica_member new_member(const struct replica *core, int32_t broker_id)
{
    return (struct replica_member){.broker_id = broker_id,
                                   .broker_epoch = -1,
                                   .asked_epoch = -1,
                                   .position = -1,
                                   .durable = -1,
                                   .log_start = -1,
                                   .mark_end = core->log_end};
}

/* Makes the member list that of the event; what is known of members that stay is kept when keep is set (same
 * leader epoch). */
static void set_members(struct replica *core, const struct replica_event *event, bool keep)
{
    struct replica_member next[REPLICA_MEMBERS_MAX];
    int32_t count = event->state.replicas_count;
    ASSERT(count >= 0 && count <= core->members_cap && count <= REPLICA_MEMBERS_MAX);
    core->isr = 0;
    core->self = -1;
    for (int32_t i = 0; i < count; i++) {
        int32_t id = event->state.replicas[i];
        int32_t was = keep ? find_member(core, id) : -1;
        next[i] = was >= 0 ? core->members[was] : new_member(core, id);
        next[i].mark_us = was >= 0 ? next[i].mark_us : event->now_us;
        if (id == core->broker_id)
            core->self = i;
        for (int32_t k = 0; k < event->state.isr_count; k++)
            core->isr |= event->state.isr[k] == id ? replica_bit(i) : 0;
    }
    if (count > 0)
        memcpy(core->members, next, (size_t)count * sizeof(*next));
    core->members_count = count;
}

static enum replica_role role_of(const struct replica *core, const struct replica_event *event)
{
    if (core->failed || event->state.leader < 0 || core->self < 0)
        return REPLICA_OFFLINE;
    return event->state.leader == core->broker_id ? REPLICA_LEADER : REPLICA_FOLLOWER;
}

/* Members of a new leader's ISR get a whole lag time to show up; others have to be heard of first. */
static void greet_members(struct replica *core, uint64_t now_us, bool new_epoch)
{
    for (int32_t i = 0; i < core->members_count; i++) {
        struct replica_member *m = &core->members[i];
        bool in_isr = core->isr & replica_bit(i);
        if (in_isr && (new_epoch || m->caught_up_us == 0))
            m->caught_up_us = now_us;
        if (!in_isr) { /* out of the ISR: it must fetch again before it counts */
            m->eligible = false;
            m->caught_up_us = 0;
        }
    }
}

static int16_t step_state(struct replica *core, const struct replica_event *event, struct replica_effects *fx)
{
    if (event->state.partition_epoch <= core->partition_epoch ||
        event->state.leader_epoch < core->leader_epoch)
        return KAFKA_NONE;
    bool new_epoch = event->state.leader_epoch > core->leader_epoch;
    enum replica_role was = core->role;
    int32_t leader_was = core->leader;
    set_members(core, event, !new_epoch);
    core->role = role_of(core, event);
    core->leader = event->state.leader;
    core->leader_epoch = event->state.leader_epoch;
    core->partition_epoch = event->state.partition_epoch;
    core->pending = core->isr;
    core->alter = ALTER_IDLE;
    core->alter_at_us = 0;
    replica_yield_state(core, event, new_epoch || was != REPLICA_LEADER);
    if (new_epoch || core->role != was || core->leader != leader_was)
        replica_emit(fx, (struct replica_effect){.type = FX_ROLE, .epoch = core->leader_epoch});
    if (core->role != REPLICA_LEADER)
        return KAFKA_NONE;
    greet_members(core, event->now_us, new_epoch || was != REPLICA_LEADER);
    if (new_epoch || was != REPLICA_LEADER) {
        core->epoch_start = core->log_end;
        replica_emit(fx, (struct replica_effect){.type = FX_EPOCH_START,
                                                 .epoch = core->leader_epoch,
                                                 .offset = core->epoch_start});
    }
    replica_advance(core, event->now_us, fx);
    return KAFKA_NONE;
}

static int16_t step_config(struct replica *core, const struct replica_event *event,
                           struct replica_effects *fx)
{
    ASSERT(event->config.min_isr >= 1);
    core->min_isr = event->config.min_isr;
    core->sync_before_ack = event->config.sync_before_ack;
    replica_advance(core, event->now_us, fx);
    return KAFKA_NONE;
}

/* -- our own log -- */

static int16_t step_appended(struct replica *core, const struct replica_event *event,
                             struct replica_effects *fx)
{
    ASSERT(!core->failed);
    ASSERT(event->offset > core->log_end);
    if (core->role == REPLICA_LEADER)
        replica_mark_caught_up(core, event->offset, event->now_us);
    core->log_end = event->offset;
    replica_advance(core, event->now_us, fx);
    return KAFKA_NONE;
}

static int16_t step_synced(struct replica *core, const struct replica_event *event,
                           struct replica_effects *fx)
{
    ASSERT(event->offset <= core->log_end);
    if (event->offset > core->synced_end)
        core->synced_end = event->offset;
    replica_advance(core, event->now_us, fx);
    return KAFKA_NONE;
}

/* Only a follower's log is ever cut, so the high watermark of a leader never goes back. */
static int16_t step_truncated(struct replica *core, const struct replica_event *event,
                              struct replica_effects *fx)
{
    ASSERT(core->role != REPLICA_LEADER);
    ASSERT(event->offset >= 0);
    core->log_end = event->offset;
    core->log_start = MIN(core->log_start, event->offset);
    core->synced_end = MIN(core->synced_end, event->offset);
    if (core->high_watermark > event->offset) {
        core->high_watermark = event->offset;
        replica_emit(fx, (struct replica_effect){.type = FX_HIGH_WATERMARK, .offset = event->offset});
    }
    return KAFKA_NONE;
}

/* A log start beyond the end restarts an empty log there (a follower far behind). */
static int16_t step_log_start(struct replica *core, const struct replica_event *event,
                              struct replica_effects *fx)
{
    ASSERT(event->offset >= core->log_start);
    ASSERT(core->role != REPLICA_LEADER || event->offset <= core->high_watermark ||
           MUTANT(RETAIN_PAST_HIGH_WATERMARK));
    core->log_start = event->offset;
    core->log_end = MAX(core->log_end, event->offset);
    core->synced_end = MAX(core->synced_end, event->offset);
    if (core->high_watermark < event->offset) {
        core->high_watermark = event->offset;
        replica_emit(fx, (struct replica_effect){.type = FX_HIGH_WATERMARK, .offset = event->offset});
    }
    return KAFKA_NONE;
}

static int16_t step_leader_hw(struct replica *core, const struct replica_event *event,
                              struct replica_effects *fx)
{
    int64_t offset = MIN(event->offset, core->log_end);
    if (core->role != REPLICA_FOLLOWER || offset <= core->high_watermark)
        return KAFKA_NONE;
    core->high_watermark = offset;
    replica_emit(fx, (struct replica_effect){.type = FX_HIGH_WATERMARK, .offset = offset});
    return KAFKA_NONE;
}

static int16_t step_failed(struct replica *core, const struct replica_event *event,
                           struct replica_effects *fx)
{
    core->failed = true;
    core->role = REPLICA_OFFLINE;
    core->alter = ALTER_IDLE;
    core->pending = core->isr;
    core->yield = (struct replica_yield){.asked = false};
    replica_emit(fx, (struct replica_effect){.type = FX_ROLE, .epoch = core->leader_epoch});
    return KAFKA_NONE;
}

/* -- followers and the ISR -- */

static int16_t step_fetched(struct replica *core, const struct replica_event *event,
                            struct replica_effects *fx)
{
    if (core->role != REPLICA_LEADER)
        return KAFKA_NOT_LEADER_OR_FOLLOWER;
    int16_t error = replica_check_epoch(core, event->fetched.leader_epoch);
    if (error != KAFKA_NONE)
        return error;
    int32_t place = find_member(core, event->fetched.broker_id);
    if (place < 0 || place == core->self)
        return KAFKA_NOT_LEADER_OR_FOLLOWER;
    struct replica_member *m = &core->members[place];
    if (event->fetched.broker_epoch < m->broker_epoch) /* a former life of that broker */
        return KAFKA_NOT_LEADER_OR_FOLLOWER;
    ASSERT(event->fetched.position <= core->log_end);
    m->broker_epoch = event->fetched.broker_epoch;
    m->eligible = event->fetched.registered_epoch >= 0 &&
                  event->fetched.broker_epoch == event->fetched.registered_epoch;
    m->position = event->fetched.position;
    m->durable = MIN(event->fetched.durable, event->fetched.position);
    if (MUTANT(POSITION_AS_DURABLE))
        m->durable = m->position;
    replica_follow_mark(core, m, event->now_us);
    replica_doubt_proposal(core, place);
    replica_advance(core, event->now_us, fx);
    replica_expand(core, place, event->now_us, fx);
    return KAFKA_NONE;
}

void replica_note_start(struct replica *core, int32_t broker_id, int64_t log_start)
{
    int32_t place = core->role == REPLICA_LEADER ? find_member(core, broker_id) : -1;
    if (place >= 0 && place != core->self)
        core->members[place].log_start = log_start;
}

int64_t replica_start_of(const struct replica *core, int32_t broker_id)
{
    int32_t place = core->role == REPLICA_LEADER ? find_member(core, broker_id) : -1;
    return place < 0 ? -1 : place == core->self ? core->log_start : core->members[place].log_start;
}

int64_t replica_low_watermark(const struct replica *core)
{
    int64_t low = core->log_start;
    for (int32_t i = 0; i < core->members_count; i++)
        if (i != core->self && core->isr & replica_bit(i))
            low = MIN(low, core->members[i].log_start);
    return low;
}

/* Errors after which only a newer state of the partition helps, as in Kafka's Partition: wait for it. */
static bool waits_for_state(int16_t error)
{
    return error == KAFKA_NONE || error == KAFKA_UNKNOWN_TOPIC_OR_PARTITION ||
           error == KAFKA_UNKNOWN_TOPIC_ID || error == KAFKA_FENCED_LEADER_EPOCH ||
           error == KAFKA_INVALID_UPDATE_VERSION || error == KAFKA_INVALID_REQUEST ||
           error == KAFKA_NEW_LEADER_ELECTED;
}

static int16_t step_altered(struct replica *core, const struct replica_event *event,
                            struct replica_effects *fx)
{
    ASSERT(core->answer_due);
    core->answer_due = false;
    if (core->alter != ALTER_SENT) /* the metadata was faster */
        return KAFKA_NONE;
    ASSERT(core->role == REPLICA_LEADER);
    if (waits_for_state(event->error)) {
        core->alter = ALTER_STATE;
    } else if (event->error == KAFKA_INELIGIBLE_REPLICA || event->error == KAFKA_OPERATION_NOT_ATTEMPTED) {
        core->alter = ALTER_IDLE; /* certainly not done: forget it */
        core->pending = core->isr;
        core->alter_at_us = event->now_us + ALTER_BACKOFF_US;
        replica_yield_refused(core, event->now_us);
        replica_advance(core, event->now_us, fx);
    } else { /* may have been done: what was added still counts until we know */
        core->alter = ALTER_RETRY;
        core->alter_at_us = event->now_us + ALTER_BACKOFF_US;
    }
    return KAFKA_NONE;
}

static int16_t step_tick(struct replica *core, const struct replica_event *event, struct replica_effects *fx)
{
    if (core->role != REPLICA_LEADER)
        return KAFKA_NONE;
    if (core->alter == ALTER_RETRY && event->now_us >= core->alter_at_us)
        replica_propose(core, core->pending, fx);
    replica_shrink(core, event->now_us, fx);
    replica_advance(core, event->now_us, fx);
    return KAFKA_NONE;
}

int16_t replica_step(struct replica *core, const struct replica_event *event,
                     struct replica_effects *ret_effects)
{
    static int16_t (*const steps[EV_COUNT])(struct replica *, const struct replica_event *,
                                            struct replica_effects *) = {
        [EV_STATE] = step_state,     [EV_CONFIG] = step_config,       [EV_APPENDED] = step_appended,
        [EV_SYNCED] = step_synced,   [EV_TRUNCATED] = step_truncated, [EV_LOG_START] = step_log_start,
        [EV_FETCHED] = step_fetched, [EV_LEADER_HW] = step_leader_hw, [EV_ALTERED] = step_altered,
        [EV_TICK] = step_tick,       [EV_FAILED] = step_failed,
    };
    ASSERT(event->type < EV_COUNT);
    ret_effects->count = 0;
    int16_t error = steps[event->type](core, event, ret_effects);
    if (core->yield.asked)
        replica_yield_step(core, event->now_us, ret_effects);
    replica_check(core);
    return error;
}

/* -- life -- */

void replica_init(struct replica *core, const struct replica_setup *setup)
{
    ASSERT(setup->log_start <= setup->log_end);
    ASSERT(setup->synced_end <= setup->log_end);
    int64_t high = MIN(MAX(setup->high_watermark, setup->log_start), setup->log_end);
    *core = (struct replica){.broker_id = setup->broker_id,
                             .lag_time_max_us = setup->lag_time_max_us,
                             .role = REPLICA_OFFLINE,
                             .leader = -1,
                             .leader_epoch = -1,
                             .partition_epoch = -1,
                             .log_start = setup->log_start,
                             .log_end = setup->log_end,
                             .synced_end = setup->synced_end,
                             .high_watermark = high,
                             .min_isr = 1,
                             .sync_before_ack = true,
                             .answer_due = setup->answer_due,
                             .self = -1};
}

struct replica_member *replica_give_members(struct replica *core, struct replica_member *members, int32_t cap)
{
    struct replica_member *former = core->members;
    ASSERT(cap >= core->members_count && cap <= REPLICA_MEMBERS_MAX);
    if (core->members_count > 0)
        memcpy(members, former, (size_t)core->members_count * sizeof(*members));
    core->members = members;
    core->members_cap = cap;
    return former;
}

void replica_check(const struct replica *core)
{
    ASSERT(core->log_start <= core->high_watermark && core->high_watermark <= core->log_end);
    ASSERT(core->synced_end <= core->log_end);
    ASSERT(core->members_count <= core->members_cap);
    ASSERT(!core->failed || core->role == REPLICA_OFFLINE);
    uint64_t all = core->members_count == 64 ? UINT64_MAX : replica_bit(core->members_count) - 1;
    ASSERT((core->isr & ~all) == 0 && (core->pending & ~all) == 0);
    ASSERT(core->alter != ALTER_IDLE || core->pending == core->isr);
    ASSERT(core->alter != ALTER_SENT || core->answer_due);
    ASSERT(!core->yield.asked || core->role == REPLICA_LEADER);
    ASSERT(core->yield.asked || !core->yield.giving);
    ASSERT(!core->yield.told || (core->yield.giving && core->alter != ALTER_IDLE));
    if (core->role != REPLICA_LEADER)
        return;
    ASSERT(core->self >= 0 && core->self < core->members_count);
    ASSERT(core->leader == core->broker_id && core->leader_epoch >= 0);
    ASSERT(core->epoch_start <= core->log_end);
}

uint64_t replica_hash(const struct replica *core)
{
    int64_t head[] = {core->role,
                      core->failed,
                      core->leader,
                      core->leader_epoch,
                      core->partition_epoch,
                      core->log_start,
                      core->log_end,
                      core->synced_end,
                      core->high_watermark,
                      (int64_t)core->isr,
                      core->alter,
                      core->epoch_start,
                      (int64_t)core->pending,
                      core->yield.asked | core->yield.giving << 1 | core->yield.told << 2,
                      core->yield.mark};
    uint64_t hash = hash_bytes(head, sizeof(head), 0);
    for (int32_t i = 0; i < core->members_count; i++) {
        const struct replica_member *m = &core->members[i];
        int64_t words[] = {m->broker_id, m->eligible, m->broker_epoch,         m->asked_epoch,
                           m->position,  m->durable,  (int64_t)m->caught_up_us};
        hash = hash_bytes(words, sizeof(words), hash);
    }
    return hash;
}
