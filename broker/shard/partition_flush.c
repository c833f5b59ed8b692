/* SPDX-License-Identifier: Apache-2.0 */
/* When what was appended is synced without anybody waiting for it: flush.messages, flush.ms (Kafka's
 * LogConfig). With flush.messages=1 every append asks; else a sync is asked for when so many records wait for
 * one, or the oldest of them has waited for flush.ms. Acknowledgments follow the append then, whatever a sync
 * says, and leader and followers count with the ends of their logs (partition.h, Durability). */
#include "broker/shard/partition_internal.h"
#include "common/base/assert.h"

#define FLUSH_MS_MAX (3650ll * 86400 * 1000) /* ten years: no timer is set beyond */

/* Records that no sync was asked for; the oldest of them begin at flush_asked. */
static int64_t waiting(const struct partition *p)
{
    return p->core.log_end - MAX(p->flush_asked, p->core.synced_end);
}

static void ask_when_due(struct partition *p)
{
    const struct partition_config *config = &p->config;
    int64_t count = waiting(p);
    if (count <= 0 || p->want_sync)
        return;
    p->want_sync = config->sync_before_ack || (config->flush_messages > 0 && count >= config->flush_messages);
    if (p->want_sync)
        partition_settle_soon(p);
    else if (config->flush_ms > 0 && config->flush_ms <= FLUSH_MS_MAX && !env_timer_armed(&p->flush))
        env_timer_set(p->host->env, &p->flush, env_now_us(p->host->env) + (uint64_t)config->flush_ms * 1000);
}

void partition_flush_appended(struct partition *p, int64_t from)
{
    p->flush_asked = MIN(p->flush_asked, from); /* the log may have been cut since */
    ask_when_due(p);
}

void partition_flush_asked(struct partition *p)
{
    env_timer_cancel(p->host->env, &p->flush);
    p->flush_asked = p->core.log_end;
}

void partition_flush_config(struct partition *p)
{
    env_timer_cancel(p->host->env, &p->flush);
    if (p->log && !p->core.failed)
        ask_when_due(p);
}

static void flush_due(struct env_timer *timer)
{
    struct partition *p = CONTAINER_OF(timer, struct partition, flush);
    if (p->core.failed || waiting(p) <= 0)
        return;
    p->want_sync = true;
    partition_settle_soon(p);
}

void partition_flush_init(struct partition *p)
{
    env_timer_init(&p->flush, flush_due);
}
