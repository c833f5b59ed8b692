/* SPDX-License-Identifier: Apache-2.0 */
/* When a partition is compacted: enough of it is dirty, or max.compaction.lag.ms is over. Leaders and
 * followers compact for themselves; offsets stay, so that it does not matter who has done how much. */
#include "broker/log/plog_compact.h"

#include "broker/shard/cleaner.h"
#include "broker/shard/partition_internal.h"
#include "common/base/assert.h"

#define RETRY_US (60ull * 1000 * 1000) /* after a failure of the disk */

static struct partition *partition_of(struct list *link)
{
    return CONTAINER_OF(CONTAINER_OF(link, struct partition_cleaning, link), struct partition, cleaning);
}

/* -- one at a time -- */

static void compacted(void *ctx, const struct plog_compacted *result);

static bool begin(struct cleaner *cleaner, struct partition *p)
{
    struct plog_dirt dirt;
    enum err err = plog_dirt(p->log, partition_last_stable(p), p->config.min_compaction_lag_ms, &dirt);
    struct plog_compact_rules rules = {.end = dirt.end,
                                       .delete_retention_ms = p->config.delete_retention_ms,
                                       .map_bytes = cleaner->map_bytes,
                                       .bytes_per_second = cleaner->bytes_per_second,
                                       .batch_bytes_max = cleaner->batch_bytes_max};
    if (err == OK)
        err = plog_compact(p->log, &rules, compacted, p);
    p->learning = p->learning || err == ERR_BUSY;
    if (err && err != ERR_INVALID && err != ERR_BUSY)
        PARTITION_LOG(p, WARN, "partition.compaction_failed", F_ERR("error", err));
    return err == OK;
}

static struct partition *dirtiest(struct cleaner *cleaner)
{
    struct partition *best = NULL;
    list_for_each_safe (it, tmp, &cleaner->waiting) {
        struct partition *p = partition_of(it);
        if (best == NULL || p->cleaning.ratio > best->cleaning.ratio)
            best = p;
    }
    return best;
}

static void start_next(struct env_task *task)
{
    struct cleaner *cleaner = CONTAINER_OF(task, struct cleaner, start);
    struct partition *p;
    while (cleaner->running == NULL && (p = dirtiest(cleaner)) != NULL) {
        list_remove(&p->cleaning.link);
        if (!p->core.failed && begin(cleaner, p))
            cleaner->running = p;
    }
}

static void compacted(void *ctx, const struct plog_compacted *result)
{
    struct partition *p = ctx;
    struct cleaner *cleaner = p->host->cleaner;
    ASSERT(cleaner->running == p);
    cleaner->running = NULL;
    env_defer(cleaner->env, &cleaner->start);
    if (cleaner->ended)
        cleaner->ended(cleaner->ctx, p, result);
    if (plog_failed(p->log))
        return; /* the log tells it by itself */
    if (result->err && result->err != ERR_CANCELED)
        PARTITION_LOG(p, WARN, "partition.compaction_failed", F_ERR("error", result->err));
    if (result->err == ERR_CORRUPT) /* it may be an index that is bad */
        partition_check_index(p);
    else if (result->err == OK)
        PARTITION_LOG(p, INFO, "partition.compacted", F_I64("cleaned_to", result->cleaned_to),
                      F_I64("records_before", (int64_t)result->records_before),
                      F_I64("records_after", (int64_t)result->records_after),
                      F_I64("bytes_read", (int64_t)result->bytes_read),
                      F_I64("bytes_written", (int64_t)result->bytes_written));
    partition_persist(p, p->core.synced_end, false);
    p->cleaning.next_us = env_now_us(p->host->env) +
                          (result->err && result->err != ERR_CANCELED ? RETRY_US : cleaner->backoff_us);
    partition_maintain_at(p, p->cleaning.next_us);
}

void cleaner_init(struct cleaner *cleaner)
{
    list_init(&cleaner->waiting);
    cleaner->running = NULL;
    env_task_init(&cleaner->start, start_next);
}

void cleaner_stop(struct cleaner *cleaner)
{
    env_task_cancel(&cleaner->start);
    while (!list_empty(&cleaner->waiting))
        list_remove(cleaner->waiting.next);
}

/* -- whether -- */

static bool is_due(const struct partition *p, const struct plog_dirt *dirt, double *ret_ratio)
{
    int64_t now_ms = env_wall_ms(p->host->env), lag_ms = p->config.max_compaction_lag_ms;
    double all = (double)dirt->clean_bytes + (double)dirt->dirty_bytes;
    if (dirt->dirty_bytes == 0)
        return false;
    *ret_ratio = (double)dirt->dirty_bytes / all;
    bool overdue = dirt->oldest_ms != INT64_MAX && lag_ms != INT64_MAX && now_ms - dirt->oldest_ms > lag_ms;
    return overdue || *ret_ratio > p->config.min_cleanable_dirty_ratio;
}

/* When there is a reason to look again although nothing is appended. */
static void look_again(struct partition *p, const struct plog_dirt *dirt)
{
    int64_t lag_ms = p->config.max_compaction_lag_ms;
    if (dirt->lag_due_ms != INT64_MAX)
        partition_maintain_wall(p, dirt->lag_due_ms);
    if (dirt->oldest_ms < INT64_MAX - lag_ms && dirt->dirty_bytes > 0)
        partition_maintain_wall(p, dirt->oldest_ms + lag_ms + 1);
    if (dirt->waits)
        partition_maintain_at(p, env_now_us(p->host->env) + p->host->cleaner->backoff_us);
}

void partition_consider_compaction(struct partition *p)
{
    struct cleaner *cleaner = p->host->cleaner;
    struct plog_dirt dirt;
    double ratio = 0;
    uint64_t now_us = env_now_us(p->host->env);
    if (!p->config.compacted || cleaner == NULL || cleaner->running == p || !list_empty(&p->cleaning.link))
        return;
    if (now_us < p->cleaning.next_us) {
        partition_maintain_at(p, p->cleaning.next_us);
        return;
    }
    enum err err = plog_dirt(p->log, partition_last_stable(p), p->config.min_compaction_lag_ms, &dirt);
    if (err == ERR_BUSY) {
        p->learning = true;
        return;
    }
    if (err) {
        PARTITION_LOG(p, WARN, "partition.compaction_failed", F_ERR("error", err));
        return;
    }
    p->cleaning.next_us = now_us + cleaner->backoff_us;
    if (!is_due(p, &dirt, &ratio)) {
        look_again(p, &dirt);
        return;
    }
    p->cleaning.ratio = ratio;
    list_push_back(&cleaner->waiting, &p->cleaning.link);
    env_defer(cleaner->env, &cleaner->start);
}

void partition_forget_compaction(struct partition *p)
{
    struct cleaner *cleaner = p->host->cleaner;
    list_remove(&p->cleaning.link);
    if (cleaner == NULL || cleaner->running != p)
        return;
    cleaner->running = NULL; /* its log ends by itself, without telling */
    env_defer(cleaner->env, &cleaner->start);
}
