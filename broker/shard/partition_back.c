/* SPDX-License-Identifier: Apache-2.0 */
/* How a replica comes back: after its log failed it is opened again as after an unclean stop, with back-off;
 * and a replica whose log is not what was promised of it (synced data gone or damaged, unsynced data given
 * up) says so and leads only in an epoch that the controllers began knowing that (DESIGN, Damage or torn
 * tail). */
#include <stdlib.h>

#include "broker/log/plog_compact.h"
#include "broker/log/plog_damage.h"
#include "broker/log/plog_torn.h"
#include "broker/shard/partition_internal.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"

#define BACK_FIRST_US (1000 * 1000)
#define BACK_MAX_US   (30 * 1000 * 1000ull)
#define LEAVE_US      (1000 * 1000) /* a refused or lost word to the controllers is said again after this */

static void arm(struct partition *p, uint64_t wait_us)
{
    env_timer_set(p->host->env, &p->back.timer, env_now_us(p->host->env) + wait_us);
}

/* -- the controllers hear that this replica is not to be counted on -- */

static void leave(struct partition *p)
{
    struct rpc_alter_partition request = {.topic_id = p->topic_id,
                                          .index = p->index,
                                          .leader_epoch = p->back.seen_epoch,
                                          .leave = true,
                                          .lost_data = p->back.lost && !p->core.failed};
    if (p->back.leaving || p->host->leave == NULL || !(p->back.seen_counts || p->back.seen_last))
        return;
    p->back.leaving = p->back.told = true;
    p->back.leave_epoch = request.lost_data ? request.leader_epoch : -1;
    p->host->leave(p->host->ctx, p, &request);
}

/* Nobody leads, and nobody is known to be complete: the controllers are told what this log holds, again and
 * again (they may change), so that the longest leads when all have spoken. */
static void tell_end(struct partition *p)
{
    if (p->back.leaving || p->host->leave == NULL || p->log == NULL)
        return;
    struct rpc_alter_partition request = {.topic_id = p->topic_id,
                                          .index = p->index,
                                          .leader_epoch = p->back.seen_epoch,
                                          .leave = true,
                                          .tells_end = true,
                                          .end_epoch = epoch_cache_latest(plog_epochs(p->log)),
                                          .end_offset = p->core.log_end};
    p->back.leaving = true;
    p->back.leave_epoch = -1;
    p->host->leave(p->host->ctx, p, &request);
}

static bool holds_id(const int32_t *ids, int32_t count, int32_t id)
{
    for (int32_t i = 0; i < count; i++)
        if (ids[i] == id)
            return true;
    return false;
}

static void see(struct partition *p, const struct image_partition *state)
{
    int32_t self = p->host->broker_id;
    p->back.seen_epoch = state->leader_epoch;
    p->back.seen_leads = state->leader == self;
    p->back.seen_headless = state->leader < 0;
    p->back.seen_nobody = state->leader < 0 && state->isr_count + state->elr_count == 0;
    p->back.seen_last =
        p->back.seen_nobody && holds_id(state->last_known_elr, state->last_known_elr_count, self);
    p->back.seen_counts = p->back.seen_leads || holds_id(state->isr, state->isr_count, self) ||
                          holds_id(state->elr, state->elr_count, self);
}

/* Whether nobody can count on what the log held before: a leader may have proposed this replica for what it
 * told of the former log, and that proposal may be under way for long. It is void in another epoch and once
 * this replica was let in and has left again, and true when the log holds all that again. */
static bool nobody_counts_on_more(struct partition *p)
{
    const struct partition_back *back = &p->back;
    if (back->seen_headless)
        return !(back->seen_last && back->shorter);
    int64_t durable = partition_back_durable(p);
    bool durable_counts = p->config.sync_before_ack || back->holed;
    return back->seen_epoch > back->had_epoch || back->heard_epoch >= back->had_epoch ||
           (durable_counts ? durable : p->core.log_end) >= back->had_end;
}

/* Who lost something leads only in an epoch that began after the controllers had confirmed to know it: one
 * that began meanwhile counted on this replica. */
static bool doubt_is_over(struct partition *p)
{
    const struct partition_back *back = &p->back;
    if (p->host->leave == NULL)
        return true;
    if (!back->lost)
        return !back->seen_leads || back->seen_epoch > back->hold_epoch;
    if (!back->seen_counts)
        return nobody_counts_on_more(p);
    return back->seen_leads && back->heard_epoch >= 0 && back->seen_epoch > back->heard_epoch;
}

static void end_doubt(struct partition *p)
{
    if (p->back.marked)
        plog_doubt_clear(p->host->env, p->host->data_dir, p->name);
    p->back.doubt = p->back.lost = p->back.marked = false;
    p->back.had_end = 0;
}

/* What there is to say, now and until it is heard. */
static void speak(struct partition *p)
{
    bool lost = p->back.doubt && p->back.lost && (p->back.seen_counts || p->back.seen_last);
    if (p->back.seen_nobody && !lost)
        tell_end(p);
    else if (p->back.doubt)
        leave(p);
}

void partition_leave_done(struct partition *p, int16_t error)
{
    p->back.leaving = false;
    if (error == KAFKA_NONE)
        p->back.heard_epoch = MAX(p->back.heard_epoch, p->back.leave_epoch);
    bool unsaid = p->back.lost && !p->core.failed && p->back.leave_epoch < 0; /* it was another word */
    bool again = p->back.seen_nobody || (p->back.doubt && (error != KAFKA_NONE || unsaid));
    if (again && !env_timer_armed(&p->back.timer))
        arm(p, LEAVE_US);
    if (p->back.doubt && p->back.lost && !p->core.failed && p->host->again && doubt_is_over(p))
        p->host->again(p->host->ctx, p); /* the epoch that this began came before the answer */
}

bool partition_back_holds(struct partition *p, const struct image_partition *state)
{
    bool doubts = p->back.doubt && !p->core.failed;
    if (doubts && p->back.lost && p->back.hold_epoch >= 0 && !p->back.seen_counts && doubt_is_over(p))
        end_doubt(p); /* whatever this state says of us counts on the log as it is */
    see(p, state);
    if (p->core.failed) {
        if (!p->back.told)
            leave(p);
        return false;
    }
    if (p->back.doubt && p->back.hold_epoch < 0)
        p->back.hold_epoch = p->back.seen_epoch;
    if (p->back.doubt && doubt_is_over(p))
        end_doubt(p);
    speak(p);
    return p->back.doubt && p->back.seen_leads;
}

void partition_back_doubt(struct partition *p)
{
    p->back.doubt = p->back.lost = true;
    p->back.hold_epoch = p->back.heard_epoch = -1;
}

int64_t partition_back_durable(struct partition *p)
{
    const struct plog_damage *list;
    int32_t i = 0, count = p->back.holed ? plog_damages(p->log, &list) : 0;
    if (!p->back.holed)
        return p->core.synced_end;
    while (i < count && list[i].offset < p->core.log_start)
        i++;
    if (i < count)
        p->back.hole = list[i].offset;
    else if (!p->want_sync && !plog_syncing(p->log))
        p->back.holed = false;
    return p->back.holed ? MIN(p->core.synced_end, p->back.hole) : p->core.synced_end;
}

/* -- the disk is full -- */

bool partition_disk_full(struct partition *p)
{
    struct disk_guard *guard = p->host->guard;
    if (guard == NULL)
        return false;
    bool full = disk_guard_full(guard, p->host->env);
    if (disk_guard_changed(guard)) {
        if (full)
            PARTITION_LOG(p, ERROR, "disk.full", F_I64("free_bytes", (int64_t)disk_guard_free_bytes(guard)),
                          F_STR("fix", "new records are refused until there is room: delete topics, shorten "
                                       "retention, or enlarge the disk (log.dir.free.min.bytes)"));
        else
            PARTITION_LOG(p, INFO, "disk.has_room",
                          F_I64("free_bytes", (int64_t)disk_guard_free_bytes(guard)));
    }
    if (full)
        atomic_fetch_add_explicit(&guard->refused, 1, memory_order_relaxed);
    return full;
}

/* -- the log is opened again -- */

static void back_off(struct partition *p)
{
    uint64_t wait_us = BACK_FIRST_US;
    uint32_t random;
    for (uint32_t i = 0; i < p->back.tries && wait_us < BACK_MAX_US; i++)
        wait_us *= 2;
    env_random(p->host->env, &random, sizeof(random));
    arm(p, MIN(wait_us, BACK_MAX_US) + random % (BACK_FIRST_US / 4));
}

void partition_back_later(struct partition *p)
{
    if (env_now_us(p->host->env) - p->back.opened_us > 2 * BACK_MAX_US)
        p->back.tries = 0;
    p->back.doubt = true;
    p->back.told = false;
    p->back.hold_epoch = p->back.seen_epoch;
    leave(p);
    back_off(p);
}

/* What the new log is opened with: the old one's word, or the manifest's when there was none. */
static struct manifest_entry known_of(struct partition *p)
{
    struct manifest_entry known = {.topic_id = p->topic_id, .index = p->index};
    if (p->log == NULL) {
        if (p->host->manifest)
            manifest_get(p->host->manifest, p->topic_id, p->index, &known);
        return known;
    }
    known.recovery_point = plog_synced_end(p->log);
    known.high_watermark = p->core.high_watermark;
    known.log_start = plog_start(p->log);
    known.cleaned_to = plog_cleaned_to(p->log);
    known.gaps = p->gaps;
    known.distrust = plog_failed(p->log) != OK;
    return known;
}

static void forget_core(struct partition *p)
{
    p->core.members_count = 0;
    free(replica_give_members(&p->core, NULL, 0));
}

/* What was acknowledged without a sync and is gone now must not be led without. */
static void judge(struct partition *p, const struct plog_report *report, int64_t had_end)
{
    bool promised = report->cut_bytes > 0 && !p->config.sync_before_ack;
    if (!promised && !p->missing_synced)
        return;
    p->back.had_end = MAX(p->back.had_end, had_end);
    p->back.had_epoch = p->back.hold_epoch;
    partition_back_doubt(p);
}

/* A damaged tail that nobody else has, and which was not acknowledged (partition_repair_give_up()). */
static enum err drop_tail(struct partition *p, struct plog_report *report)
{
    int64_t end = plog_end(p->log);
    if (p->back.keep_end >= end)
        return OK;
    enum err err = plog_truncate(p->log, p->back.keep_end, &end);
    if (err)
        return err;
    report->cut_good = true;
    p->back.keep_end = INT64_MAX;
    return OK;
}

static void reopen(struct partition *p)
{
    struct plog_report report = {0};
    struct manifest_entry known = known_of(p);
    int64_t end = p->core.log_end;
    partition_forget_compaction(p);
    if (p->log)
        plog_close(p->log);
    p->log = NULL;
    p->back.tries++;
    enum err err = partition_open_log(p, &known, &report);
    err = err ? err : drop_tail(p, &report);
    if (err) {
        PARTITION_LOG(p, WARN, "partition.reopen_failed", F_ERR("error", err), F_I64("tries", p->back.tries));
        leave(p); /* others may lead by now, and nobody else says that this one cannot */
        back_off(p);
        return;
    }
    PARTITION_LOG(p, INFO, "partition.reopened", F_I64("tries", p->back.tries), F_I64("log_end_before", end),
                  F_I64("log_end", plog_end(p->log)));
    p->back.opened_us = env_now_us(p->host->env);
    forget_core(p);
    partition_start_log(p, &known, &report);
    partition_trim_later(p);
    judge(p, &report, end);
    if (p->host->reopened)
        p->host->reopened(p->host->ctx, p);
}

/* A leader in whose epoch the log failed would go on with other data under the same epoch: not before the
 * controllers began another one. */
static bool must_wait(const struct partition *p)
{
    return p->host->leave && p->back.seen_leads && p->back.seen_epoch <= p->back.hold_epoch;
}

static void due(struct env_timer *timer)
{
    struct partition *p = CONTAINER_OF(timer, struct partition, back.timer);
    if (!p->core.failed) {
        speak(p);
    } else if (must_wait(p)) {
        leave(p);
        arm(p, LEAVE_US);
    } else {
        reopen(p);
    }
}

void partition_back_init(struct partition *p)
{
    env_timer_init(&p->back.timer, due);
    p->back.seen_epoch = p->back.hold_epoch = p->back.heard_epoch = -1;
    p->back.keep_end = INT64_MAX;
}
