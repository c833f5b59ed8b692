/* SPDX-License-Identifier: Apache-2.0 */
/* auto.leader.rebalance.enable: leaders go back to the first replicas once these are in sync again. The image
 * counts the displaced leaders as it changes, so an idle cluster costs nothing, whatever its size: partitions
 * are walked only when some are displaced, leader.imbalance.check.interval.seconds after that began, and not
 * again before the metadata has changed. */
#include "controller/core/internal.h"

/* What one broker should lead, and does not though it could. */
struct share {
    int32_t broker_id;
    uint32_t preferred, displaced;
    bool due;
};

struct balancing {
    struct plan plan;
    struct image *base; /* what is walked; the plan's own moves on */
    struct share *shares;
    int32_t shares_count;
    const struct image_topic *rules_of;
    struct partition_rules rules;
};

void balance_arm(struct core *core)
{
    ASSERT(core->active);
    if (!core->config.auto_rebalance || core->balance_us != UINT64_MAX)
        return;
    if (image_displaced_count(core->latest) > 0 && image_index(core->latest) > core->balance_index)
        core->balance_us = core->now_us + core->config.rebalance_us;
}

void balance_stop(struct core *core)
{
    core->balance_us = UINT64_MAX;
    core->balance_index = 0;
}

/* --- counting --- */

static bool add_share(void *ctx, const struct image_broker *broker)
{
    struct balancing *b = ctx;
    b->shares[b->shares_count++] = (struct share){.broker_id = broker->id};
    return true;
}

static struct share *share_of(const struct balancing *b, int32_t broker_id)
{
    int32_t low = 0, high = b->shares_count; /* image_each_broker gives them in order of id */
    while (low < high) {
        int32_t mid = low + (high - low) / 2;
        if (b->shares[mid].broker_id == broker_id)
            return &b->shares[mid];
        if (b->shares[mid].broker_id < broker_id)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

static bool count_topic(void *ctx, const struct image_topic *topic)
{
    struct balancing *b = ctx;
    for (int32_t i = 0; i < topic->partitions_count; i++) {
        const struct image_partition *p = image_partition(b->base, topic, i);
        struct share *share = share_of(b, p->replicas[0]);
        if (!share)
            continue;
        share->preferred++;
        share->displaced += partition_is_imbalanced(b->base, p);
    }
    return true;
}

/* Kafka's rule: more than the percentage of what the broker should lead is led by others. */
static bool mark_due(struct balancing *b)
{
    bool any = false;
    uint64_t percent = (uint64_t)b->plan.core->config.imbalance_percent;
    for (int32_t i = 0; i < b->shares_count; i++) {
        struct share *share = &b->shares[i];
        ASSERT(share->displaced <= share->preferred);
        share->due = (uint64_t)share->displaced * 100 > percent * share->preferred;
        any |= share->due;
    }
    return any;
}

/* --- elections --- */

static void elect(struct balancing *b, const struct image_topic *topic, const struct image_partition *p)
{
    const struct image *image = plan_image(&b->plan);
    struct partition_goal goal = {.lost_data_id = NODE_NONE, .election = ELECT_PREFERRED};
    struct partition_change change;
    if (b->rules_of != topic)
        b->rules = partition_rules_of(image, topic);
    b->rules_of = topic;
    if (!partition_change_make(image, topic->id, p, &b->rules, &goal, &change))
        return;
    b->plan.core->counts.preferred_elections += change.successor == p->replicas[0];
    plan_change(&b->plan, &change);
    plan_may_cut(&b->plan);
}

static bool elect_topic(void *ctx, const struct image_topic *topic)
{
    struct balancing *b = ctx;
    for (int32_t i = 0; i < topic->partitions_count; i++) {
        const struct image_partition *p = image_partition(b->base, topic, i);
        const struct share *share = share_of(b, p->replicas[0]);
        if (share && share->due && partition_is_imbalanced(b->base, p))
            elect(b, topic, p);
    }
    return b->plan.err == OK;
}

void balance_run(struct core *core)
{
    struct balancing b = {.shares_count = 0};
    ASSERT(core->active && core->config.auto_rebalance);
    core->balance_us = UINT64_MAX;
    plan_begin(&b.plan, core);
    b.base = image_ref(core->latest);
    b.shares = arena_calloc(&core->event, image_broker_count(b.base), sizeof(*b.shares));
    if (b.shares) {
        image_each_broker(b.base, add_share, &b);
        image_each_topic(b.base, count_topic, &b);
        if (mark_due(&b))
            image_each_topic(b.base, elect_topic, &b);
    }
    image_unref(b.base);
    if (plan_end(&b.plan) == OK && b.shares)
        core->balance_index = image_index(core->latest);
    else
        balance_arm(core); /* no memory: later */
}
