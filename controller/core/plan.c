/* SPDX-License-Identifier: Apache-2.0 */
/* Plans: records are applied to a provisional image as they are made, so that each sees those before it, and
 * are proposed together. */
#include "controller/core/internal.h"
#include "proto/cluster/topic_config.h"

void plan_begin(struct plan *plan, struct core *core)
{
    ASSERT(core->active);
    *plan = (struct plan){.core = core};
}

const struct image *plan_image(const struct plan *plan)
{
    return plan->edit ? image_edit_view(plan->edit) : plan->core->latest;
}

static void fail(struct plan *plan, enum err err)
{
    ASSERT(err != OK);
    if (plan->err == OK)
        plan->err = err;
}

/* The edit and the buffer of the first record. */
static bool open_entry(struct plan *plan)
{
    if (!plan->edit)
        plan->edit = image_edit_begin(plan->core->latest);
    if (!plan->edit) {
        fail(plan, ERR_NOMEM);
        return false;
    }
    if (plan->entry_records == 0)
        writer_init(&plan->writer, NULL, 512, CORE_ENTRY_BYTES_MAX);
    return true;
}

void plan_record(struct plan *plan, const struct meta_record *record)
{
    if (plan->err != OK || !open_entry(plan))
        return;
    ASSERT(record->type != META_UNKNOWN);
    if (plan->entry_records == META_ENTRY_RECORDS_MAX) {
        fail(plan, ERR_TOO_LARGE);
        return;
    }
    meta_record_encode(&plan->writer, record);
    plan->entry_records++;
    plan->records_count++;
    enum err err = plan->writer.err != OK ? plan->writer.err : image_edit_apply(plan->edit, record);
    ASSERT(err != ERR_INVALID); /* the planner contradicts itself */
    if (err != OK)
        fail(plan, err);
}

void plan_partition(struct plan *plan, const struct meta_partition *record)
{
    struct meta_record wrapped = {.type = META_PARTITION, .partition = *record};
    plan_record(plan, &wrapped);
}

void plan_change(struct plan *plan, const struct partition_change *change)
{
    struct core *core = plan->core;
    const struct meta_partition *record = &change->record;
    plan_partition(plan, record);
    if (plan->err != OK)
        return;
    core->counts.moves_ended += change->moved;
    if (!change->unclean)
        return;
    ASSERT(record->recovering && record->leader != NODE_NONE);
    core->counts.unclean_elections++;
    struct core_effect *effect = effect_add(core, FX_UNCLEAN, 0);
    if (!effect)
        return; /* it is counted all the same */
    effect->broker_id = record->leader;
    effect->topic_id = record->topic_id;
    effect->partition = record->index;
}

static bool propose_entry(struct plan *plan)
{
    struct core *core = plan->core;
    ASSERT(plan->writer.err == OK && plan->entry_records <= META_ENTRY_RECORDS_MAX);
    struct core_effect *effect = effect_add(core, FX_PROPOSE, core->proposed_token + 1);
    if (!effect) {
        fail(plan, ERR_NOMEM);
        return false;
    }
    core->proposed_token++;
    effect->records = writer_take(&plan->writer);
    effect->records_count = plan->entry_records;
    writer_free(&plan->writer);
    plan->entry_records = 0;
    return true;
}

/* Makes the edit the latest image; its index is the least the entry can get. */
static void publish(struct plan *plan)
{
    struct core *core = plan->core;
    ASSERT(plan->edit != NULL && plan->entry_records == 0);
    struct image *next = image_edit_commit(plan->edit, image_index(core->latest) + 1, core->term);
    image_unref(core->latest);
    core->latest = next;
    plan->edit = NULL;
}

static void drop_entry(struct plan *plan)
{
    if (plan->entry_records > 0)
        writer_free(&plan->writer);
    image_edit_abort(plan->edit);
    plan->edit = NULL;
    plan->entry_records = 0;
}

static void flush(struct plan *plan)
{
    if (plan->err == OK && plan->entry_records > 0 && propose_entry(plan))
        publish(plan);
}

void plan_may_cut(struct plan *plan)
{
    if (plan->entry_records >= CORE_ENTRY_RECORDS)
        flush(plan);
}

void plan_cut(struct plan *plan)
{
    flush(plan);
    plan->reviewed = false;
}

enum err plan_end(struct plan *plan)
{
    flush(plan);
    drop_entry(plan);
    ASSERT(plan->edit == NULL && plan->entry_records == 0);
    return plan->err;
}

void plan_abort(struct plan *plan)
{
    drop_entry(plan);
}

/* --- reviews --- */

struct review {
    struct plan *plan;
    struct partition_goal goal;
    struct image *base; /* what is walked; the plan's own image moves on meanwhile */
    const struct broker_loss *loss;
    const struct image_topic *rules_of; /* whose rules were read last */
    struct partition_rules rules;
};

/* Cheap test that spares most partitions the full computation. */
static bool all_active(const struct image *brokers, const int32_t *ids, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        if (!broker_is_active(brokers, ids[i]))
            return false;
    }
    return true;
}

static bool is_settled(const struct review *review, const struct image_partition *p)
{
    return p->leader != NODE_NONE && p->isr_count > 0 && p->elr_count == 0 && p->last_known_elr_count == 0 &&
           all_active(plan_image(review->plan), p->isr, p->isr_count) && !p->yields &&
           !broker_is_draining(plan_image(review->plan), p->leader);
}

/* Read only for topics that have something to change. */
static const struct partition_rules *rules_for(struct review *review, const struct image_topic *topic)
{
    if (review->rules_of != topic)
        review->rules = partition_rules_of(plan_image(review->plan), topic);
    review->rules_of = topic;
    return &review->rules;
}

static void review_partition(struct review *review, const struct image_topic *topic,
                             const struct image_partition *p)
{
    struct partition_change change;
    if (is_settled(review, p))
        return;
    const struct partition_rules *rules = rules_for(review, topic);
    if (!partition_change_make(plan_image(review->plan), topic->id, p, rules, &review->goal, &change))
        return;
    plan_change(review->plan, &change);
    plan_may_cut(review->plan);
}

/* A log that is synced before its records are acknowledged keeps them through a power cut (DESIGN, Who may
 * lead after an unclean stop); should it not, its broker says so when it has opened it. */
static bool lost_by(const struct review *review, const struct image_topic *topic)
{
    const struct broker_loss *loss = review->loss;
    if (loss->broker_id == NODE_NONE || loss->disk_gone || !loss->unsynced_only)
        return loss->broker_id != NODE_NONE;
    return topic_config_int(plan_image(review->plan), topic->name, "flush.messages") != 1;
}

static bool review_topic(void *ctx, const struct image_topic *topic)
{
    struct review *review = ctx;
    review->goal.lost_data_id = lost_by(review, topic) ? review->loss->broker_id : NODE_NONE;
    for (int32_t i = 0; i < topic->partitions_count; i++)
        review_partition(review, topic, image_partition(review->base, topic, i));
    return review->plan->err == OK;
}

void plan_review_loss(struct plan *plan, const struct broker_loss *loss)
{
    ASSERT(!plan->reviewed);
    plan->reviewed = true;
    struct review review = {.plan = plan,
                            .goal = {.lost_data_id = loss->broker_id, .disk_gone = loss->disk_gone},
                            .loss = loss,
                            .base = image_ref(plan->core->latest)};
    image_each_topic(review.base, review_topic, &review);
    image_unref(review.base);
}

void plan_review(struct plan *plan, int32_t lost_data_id)
{
    plan_review_loss(plan, &(struct broker_loss){.broker_id = lost_data_id});
}

void plan_broker_state(struct plan *plan, const struct image_broker *broker, bool fenced,
                       bool in_controlled_shutdown)
{
    ASSERT(broker->fenced != fenced || broker->in_controlled_shutdown != in_controlled_shutdown);
    struct meta_record record = {.type = META_BROKER_STATE,
                                 .broker_state = {broker->id, broker->epoch, fenced, in_controlled_shutdown}};
    plan_record(plan, &record);
}
