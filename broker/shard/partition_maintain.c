/* SPDX-License-Identifier: Apache-2.0 */
/* What a partition does by itself as time passes: retention, rolling quiet segments, asking for compaction.
 * One timer per partition, set only while something will fall due (the shard's heap of timers is the list of
 * deadlines); a partition without records, or without limits, costs nothing. */
#include "broker/shard/partition_internal.h"
#include "common/base/assert.h"
#include "common/base/probe.h"

#define SPACING_MAX_US (1000 * 1000)               /* two looks at a busy partition are this far apart */
#define FAR_US         (3650ull * 86400 * 1000000) /* ten years: no timer is set beyond */

static uint64_t interval_us(const struct partition *p)
{
    uint64_t ms = p->host->retention_check_ms;
    return (ms ? ms : PARTITION_CHECK_MS) * 1000;
}

static uint64_t spacing_us(const struct partition *p)
{
    return MIN(interval_us(p), SPACING_MAX_US);
}

void partition_maintain_at(struct partition *p, uint64_t due_us)
{
    if (!env_timer_armed(&p->maintain) || due_us < p->maintain.node.key)
        env_timer_set(p->host->env, &p->maintain, due_us);
}

void partition_maintain_wall(struct partition *p, int64_t due_ms)
{
    struct env *env = p->host->env;
    int64_t wait_ms = MAX(due_ms - env_wall_ms(env), 0);
    uint64_t wait_us = (uint64_t)wait_ms > FAR_US / 1000 ? FAR_US : (uint64_t)wait_ms * 1000;
    if (due_ms < INT64_MAX)
        partition_maintain_at(p, env_now_us(env) + MAX(wait_us, spacing_us(p)));
}

void partition_maintain_soon(struct partition *p)
{
    partition_maintain_at(p, MAX(env_now_us(p->host->env), p->looked_us + spacing_us(p)));
}

void partition_maintain_later(struct partition *p)
{
    uint32_t random;
    env_random(p->host->env, &random, sizeof(random));
    partition_maintain_at(p, env_now_us(p->host->env) + random % MIN(interval_us(p), UINT32_MAX));
}

/* A deadline that stands counts wall time as it was; a partition that waits for none needs no look. */
void partition_clock_jumped(struct partition *p)
{
    if (env_timer_armed(&p->maintain))
        partition_maintain_later(p);
}

/* -- retention -- */

static struct plog_retention limits(const struct partition *p)
{
    const struct partition_config *config = &p->config;
    struct plog_retention want = {.ms = -1,
                                  .bytes = -1,
                                  .messages = -1,
                                  .roll_ms = -1,
                                  .now_ms = env_wall_ms(p->host->env),
                                  .high_watermark = p->core.high_watermark};
    if (config->compacted && config->segment_ms > 0)
        want.roll_ms = MIN(config->segment_ms, MAX(config->max_compaction_lag_ms, 1));
    if (config->deletes && p->core.role == REPLICA_LEADER) { /* followers follow the leader's log start */
        want.ms = config->retention_ms;
        want.bytes = config->retention_bytes;
        want.messages = config->retention_messages;
    }
    return want;
}

static bool timed(const struct plog_retention *want)
{
    return want->ms >= 0 || want->roll_ms >= 0;
}

static void retain(struct partition *p)
{
    struct plog_retention want = limits(p);
    int64_t start = 0, next_ms = INT64_MAX, before = p->core.log_start;
    enum err err = plog_retain(p->log, &want, &start, &next_ms);
    if (err && plog_failed(p->log)) {
        partition_fail(p, err);
        return;
    }
    if (err == ERR_BUSY) {
        p->learning = true;
        return;
    }
    if (err) { /* a segment could not be looked at: another time */
        PARTITION_LOG(p, WARN, "partition.retention_failed", F_ERR("error", err));
        partition_maintain_at(p, env_now_us(p->host->env) + interval_us(p));
        return;
    }
    if (start > before && partition_move_start(p, start) == OK) {
        PROBE(LOG_RETAINED);
        PARTITION_LOG(p, INFO, "partition.retained", F_I64("from", before), F_I64("log_start", start));
        if (p->host->retained)
            p->host->retained(p->host->ctx, p, start - before);
    }
    partition_maintain_wall(p, next_ms);
}

static void look(struct env_timer *timer)
{
    struct partition *p = CONTAINER_OF(timer, struct partition, maintain);
    if (p->core.failed || p->log == NULL)
        return;
    p->looked_us = env_now_us(p->host->env);
    if (p->core.high_watermark >= plog_active_base(p->log))
        p->seen_rolls = plog_rolls(p->log);
    p->learning = false;
    retain(p);
    if (!p->core.failed && !p->learning)
        partition_consider_compaction(p);
}

/* The high watermark moved, or a limit changed: is there something to do that no timer waits for? */
void partition_maintain_moved(struct partition *p)
{
    struct plog_retention want = limits(p);
    bool count = want.messages >= 0 && p->core.high_watermark - p->core.log_start > want.messages;
    bool rolled = plog_rolls(p->log) != p->seen_rolls && (want.bytes >= 0 || p->config.compacted);
    if (count || rolled || (timed(&want) && !env_timer_armed(&p->maintain)))
        partition_maintain_soon(p);
}

void partition_maintain_learned(struct partition *p, enum err err)
{
    if (!p->learning)
        return;
    p->learning = false;
    partition_maintain_at(p, env_now_us(p->host->env) + (err ? interval_us(p) : 0));
}

void partition_maintain_init(struct partition *p)
{
    env_timer_init(&p->maintain, look);
}

/* -- files below the log start -- */

/* They go after file.delete.delay.ms, and only once the manifest has synced the log start; while it
 * fails they stay. */
static void trim_due(struct env_timer *timer)
{
    struct partition *p = CONTAINER_OF(timer, struct partition, trim);
    struct manifest *manifest = p->host->manifest;
    if (p->core.failed)
        return;
    if (manifest && !manifest_reached(manifest, p->trim_mark)) {
        env_timer_set(p->host->env, timer, env_now_us(p->host->env) + PARTITION_TRIM_RETRY_US);
        return;
    }
    enum err err = plog_trim(p->log, p->trim_start);
    if (err)
        partition_fail(p, err);
    else
        partition_trim_later(p);
}

void partition_trim_init(struct partition *p)
{
    env_timer_init(&p->trim, trim_due);
}

void partition_trim_later(struct partition *p)
{
    uint64_t delay_us = (uint64_t)MIN(MAX(p->config.file_delete_delay_ms, 0), INT32_MAX) * 1000;
    if (!plog_can_trim(p->log) || env_timer_armed(&p->trim))
        return;
    p->trim_start = plog_start(p->log);
    p->trim_mark = p->host->manifest ? manifest_mark(p->host->manifest) : 0;
    env_timer_set(p->host->env, &p->trim, env_now_us(p->host->env) + delay_us);
}
