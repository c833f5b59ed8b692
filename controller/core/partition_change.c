/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/core/partition_change.h"

#include <string.h>

#include "common/base/assert.h"
#include "common/base/mutant.h"
#include "common/base/probe.h"
#include "controller/core/ids.h"
#include "proto/cluster/topic_config.h"

struct partition_rules partition_rules_of(const struct image *image, const struct image_topic *topic)
{
    int8_t source;
    int64_t min_isr = topic_config_int(image, topic->name, "min.insync.replicas");
    topic_config_effective(image, topic->name, "min.insync.replicas", &source);
    if (source == CONFIG_DEFAULT) /* leaders go by their own files then */
        min_isr = image_static_min_isr(image);
    return (struct partition_rules){
        .min_isr = (int32_t)MIN(min_isr, (int64_t)META_REPLICAS_MAX),
        .unclean_allowed = topic_config_bool(image, topic->name, "unclean.leader.election.enable"),
    };
}

bool broker_is_active(const struct image *image, int32_t broker_id)
{
    const struct image_broker *broker = image_broker(image, broker_id);
    return broker && !broker->fenced && !broker->in_controlled_shutdown;
}

bool broker_is_draining(const struct image *image, int32_t broker_id)
{
    char text[12];
    if (!image_has_broker_configs(image))
        return false; /* the usual case costs nothing */
    struct str value = image_config(image, CONFIG_RESOURCE_BROKER, broker_config_name(broker_id, text),
                                    STR_LIT(CONFIG_BROKER_DRAINING));
    bool draining = false;
    return value.len >= 0 && config_parse_bool(value, &draining) && draining;
}

bool partition_is_imbalanced(const struct image *image, const struct image_partition *p)
{
    int32_t preferred = p->replicas[0];
    return p->leader != NODE_NONE && p->leader != preferred && ids_contain(p->isr, p->isr_count, preferred) &&
           !broker_is_draining(image, preferred);
}

/* --- moves --- */

static void add_id(int32_t *ids, int32_t *count, int32_t id)
{
    ASSERT(*count < META_REPLICAS_MAX);
    ids[(*count)++] = id;
}

bool partition_move_to(const struct image_partition *before, const int32_t *target, int32_t target_count,
                       struct partition_move *ret)
{
    struct partition_move move = {.replicas_count = 0};
    if (target_count > META_REPLICAS_MAX)
        return false;
    for (int32_t i = 0; i < target_count; i++) {
        add_id(move.replicas, &move.replicas_count, target[i]);
        if (!ids_contain(before->replicas, before->replicas_count, target[i]) ||
            ids_contain(before->adding, before->adding_count, target[i]))
            add_id(move.adding, &move.adding_count, target[i]);
    }
    for (int32_t i = 0; i < before->replicas_count; i++) {
        int32_t id = before->replicas[i];
        if (ids_contain(target, target_count, id) || ids_contain(before->adding, before->adding_count, id))
            continue;
        if (move.replicas_count == META_REPLICAS_MAX)
            return false;
        add_id(move.replicas, &move.replicas_count, id);
        add_id(move.removing, &move.removing_count, id);
    }
    *ret = move;
    return true;
}

void partition_move_cancel(const struct image_partition *before, struct partition_move *ret)
{
    *ret = (struct partition_move){.replicas_count = 0};
    for (int32_t i = 0; i < before->replicas_count; i++) {
        if (!ids_contain(before->adding, before->adding_count, before->replicas[i]))
            add_id(ret->replicas, &ret->replicas_count, before->replicas[i]);
    }
}

/* Everything the steps below share. */
struct step {
    const struct image *brokers;
    const struct image_partition *before;
    const struct partition_rules *rules;
    const struct partition_goal *goal;
    struct partition_change *change;
    struct meta_partition *next; /* &change->record */
    bool waits;                  /* the move is over as soon as the leader, which goes, has given way */
};

static bool in_isr(const struct step *s, int32_t id)
{
    return ids_contain(s->next->isr, s->next->isr_count, id);
}

static bool in_elr(const struct step *s, int32_t id)
{
    return ids_contain(s->next->elr, s->next->elr_count, id);
}

static bool is_replica(const struct step *s, int32_t id)
{
    return ids_contain(s->next->replicas, s->next->replicas_count, id);
}

static bool isr_suffices(const struct step *s)
{
    return s->next->isr_count >= MIN(s->rules->min_isr, s->next->replicas_count);
}

/* --- ISR and ELR --- */

static void set_isr(struct step *s)
{
    const int32_t *from = s->goal->isr ? s->goal->isr : s->before->isr;
    int32_t count = s->goal->isr ? s->goal->isr_count : s->before->isr_count;
    ASSERT(count <= META_REPLICAS_MAX);
    s->next->isr = s->change->isr;
    s->next->isr_count = 0;
    for (int32_t i = 0; i < count; i++) {
        if (from[i] != s->goal->lost_data_id && is_replica(s, from[i]) &&
            broker_is_active(s->brokers, from[i]))
            s->next->isr[s->next->isr_count++] = from[i];
    }
    ASSERT(s->next->isr_count <= count);
    for (int32_t i = 0; MUTANT(ADDING_IN_SYNC) && i < s->next->adding_count; i++) {
        if (!in_isr(s, s->next->adding[i]) && broker_is_active(s->brokers, s->next->adding[i]))
            s->next->isr[s->next->isr_count++] = s->next->adding[i];
    }
}

/* --- reassignment --- */

static void set_replicas(struct step *s)
{
    const struct partition_move *move = s->goal->move;
    if (!move)
        return;
    s->next->replicas = (int32_t *)move->replicas;
    s->next->replicas_count = move->replicas_count;
    s->next->adding = (int32_t *)move->adding;
    s->next->adding_count = move->adding_count;
    s->next->removing = (int32_t *)move->removing;
    s->next->removing_count = move->removing_count;
}

/* Takes the members of `gone` out of ids. */
static int32_t without(int32_t *ids, int32_t count, const int32_t *gone, int32_t gone_count)
{
    int32_t left = 0;
    for (int32_t i = 0; i < count; i++) {
        if (!ids_contain(gone, gone_count, ids[i]))
            ids[left++] = ids[i];
    }
    return left;
}

static bool target_in_isr(const struct step *s)
{
    for (int32_t i = 0; i < s->next->replicas_count; i++) {
        int32_t id = s->next->replicas[i];
        if (!in_isr(s, id) && !ids_contain(s->next->removing, s->next->removing_count, id))
            return false;
    }
    return true;
}

/* A leader that lives and is told to go hands over first: what it acknowledged on its own word (acks=1) would
 * be lost. */
static bool leader_goes(const struct step *s)
{
    return in_isr(s, s->before->leader) && !s->goal->gave_way && !s->goal->new_epoch &&
           ids_contain(s->next->removing, s->next->removing_count, s->before->leader);
}

/* All replicas that stay are in sync: those that go may go, from the ISR too. */
static void end_move(struct step *s)
{
    if (s->next->adding_count + s->next->removing_count == 0 || !target_in_isr(s))
        return;
    s->waits = leader_goes(s);
    if (s->waits)
        return;
    memcpy(s->change->replicas, s->next->replicas, (size_t)s->next->replicas_count * sizeof(int32_t));
    s->next->replicas = s->change->replicas;
    s->next->replicas_count =
        without(s->next->replicas, s->next->replicas_count, s->next->removing, s->next->removing_count);
    s->next->isr_count =
        without(s->next->isr, s->next->isr_count, s->next->removing, s->next->removing_count);
    s->next->adding_count = s->next->removing_count = 0;
    s->change->moved = true;
    ASSERT(s->next->replicas_count > 0);
}

static void add_eligible(struct step *s, const int32_t *ids, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        if (ids[i] != s->goal->lost_data_id && is_replica(s, ids[i]) && !in_isr(s, ids[i]) &&
            !in_elr(s, ids[i]))
            s->next->elr[s->next->elr_count++] = ids[i];
    }
    ASSERT(s->next->elr_count <= s->next->replicas_count);
}

static void set_elr(struct step *s)
{
    s->next->elr = s->change->elr;
    s->next->elr_count = 0;
    if (isr_suffices(s))
        return;
    add_eligible(s, s->before->elr, s->before->elr_count);
    add_eligible(s, s->before->isr, s->before->isr_count);
    if (MUTANT(EVERYBODY_ELIGIBLE))
        add_eligible(s, s->before->replicas, s->before->replicas_count);
}

static bool was_complete(const struct step *s, int32_t id)
{
    return ids_contain(s->before->isr, s->before->isr_count, id) ||
           ids_contain(s->before->elr, s->before->elr_count, id);
}

/* Remembered only while nobody is known to be complete. */
static void set_last_known(struct step *s)
{
    int32_t last = s->before->leader;
    if (last == NODE_NONE && s->before->last_known_elr_count > 0)
        last = s->before->last_known_elr[0];
    if (last == NODE_NONE && was_complete(s, s->goal->lost_data_id))
        last = s->goal->lost_data_id;
    if ((s->goal->disk_gone || s->goal->told_loss) && last == s->goal->lost_data_id)
        last = NODE_NONE;
    bool remember =
        s->next->isr_count == 0 && s->next->elr_count == 0 && last != NODE_NONE && is_replica(s, last);
    s->next->last_known_elr = s->change->last_known_elr;
    s->next->last_known_elr_count = remember ? 1 : 0;
    s->change->last_known_elr[0] = last;
    if (s->goal->disk_gone && was_complete(s, s->goal->lost_data_id) &&
        s->next->isr_count + s->next->elr_count == 0)
        s->next->disks_gone = true;
}

/* --- election --- */

/* Whether the replica is known to have every acknowledged record, and can serve. */
static bool may_lead(const struct step *s, int32_t id)
{
    if (!broker_is_active(s->brokers, id))
        return false;
    return in_isr(s, id) || (s->next->isr_count == 0 && in_elr(s, id));
}

/* May lead, and nobody wants the broker empty, nor this replica gone. */
static bool should_lead(const struct step *s, int32_t id)
{
    return may_lead(s, id) && !ids_contain(s->next->removing, s->next->removing_count, id) &&
           !broker_is_draining(s->brokers, id);
}

static int32_t first_clean(const struct step *s, bool (*suits)(const struct step *s, int32_t id))
{
    for (int32_t i = 0; i < s->next->replicas_count; i++) {
        if (suits(s, s->next->replicas[i]))
            return s->next->replicas[i];
    }
    return NODE_NONE;
}

static bool other_may_lead(const struct step *s, int32_t id)
{
    return id != s->before->leader && may_lead(s, id);
}

/* Who is to lead in place of a leader that lives: itself where nobody wants it otherwise. */
static int32_t successor_of(const struct step *s, int32_t leader)
{
    int32_t preferred = s->next->replicas[0];
    if (s->goal->election == ELECT_PREFERRED && should_lead(s, preferred))
        return preferred;
    bool asked = s->before->yields && !s->goal->move; /* a move decides anew */
    if (!s->waits && !asked && !broker_is_draining(s->brokers, leader))
        return leader;
    int32_t chosen = first_clean(s, should_lead);
    return chosen == NODE_NONE ? leader : chosen;
}

static int32_t choose_clean(struct step *s)
{
    ASSERT(s->next->replicas_count > 0);
    int32_t former = s->before->leader;
    bool stays = former != NODE_NONE && may_lead(s, former);
    if (stays && !s->goal->new_epoch) {
        s->change->successor = successor_of(s, former);
        s->next->yields = s->change->successor != former && !s->goal->gave_way;
        return s->next->yields ? former : s->change->successor;
    }
    if (s->goal->election == ELECT_PREFERRED && should_lead(s, s->next->replicas[0]))
        return s->next->replicas[0];
    int32_t chosen = first_clean(s, s->goal->new_epoch ? other_may_lead : should_lead);
    if (chosen != NODE_NONE)
        return chosen;
    return stays ? former : first_clean(s, may_lead);
}

/* Nobody is known to be complete: the last known leader (KIP-966, balanced recovery), else anybody if that is
 * allowed. */
static int32_t choose_unclean(const struct step *s)
{
    if (s->next->last_known_elr_count > 0 && broker_is_active(s->brokers, s->next->last_known_elr[0])) {
        PROBE(ELECTED_LAST_KNOWN);
        return s->next->last_known_elr[0];
    }
    if (s->goal->election == ELECT_LONGEST && broker_is_active(s->brokers, s->goal->longest_id)) {
        PROBE(ELECTED_LONGEST);
        return s->goal->longest_id;
    }
    if (!s->rules->unclean_allowed && s->goal->election != ELECT_UNCLEAN && !MUTANT(ELECT_OUTSIDE_ISR))
        return NODE_NONE;
    for (int32_t i = 0; i < s->next->replicas_count; i++) {
        if (broker_is_active(s->brokers, s->next->replicas[i]))
            return s->next->replicas[i];
    }
    return NODE_NONE;
}

/* A leader from outside the ISR starts over with itself; after an unclean election nobody else counts as
 * complete any more. */
static void lead_alone(struct step *s, int32_t leader)
{
    ASSERT(ids_contain(s->next->replicas, s->next->replicas_count, leader));
    ASSERT(s->next->isr_count == 0); /* its members, if any, would have been chosen */
    s->next->isr[0] = leader;
    s->next->isr_count = 1;
    set_elr(s);
    if (s->change->unclean) {
        s->next->elr_count = 0;
        s->next->recovering = true;
    }
}

static void elect(struct step *s)
{
    int32_t leader = choose_clean(s);
    if (leader == NODE_NONE) {
        leader = choose_unclean(s);
        s->change->unclean = leader != NODE_NONE;
    }
    if (leader != NODE_NONE && !in_isr(s, leader)) {
        if (!s->change->unclean)
            PROBE(ELECTED_ELIGIBLE);
        lead_alone(s, leader);
    }
    if (leader != NODE_NONE) {
        s->next->last_known_elr_count = 0;
        s->next->disks_gone = false;
    }
    s->next->leader = leader;
    if (!s->next->yields)
        s->change->successor = leader;
}

/* --- the whole --- */

static bool differs(const struct image_partition *a, const struct meta_partition *b)
{
    return a->leader != b->leader || a->recovering != b->recovering || a->disks_gone != b->disks_gone ||
           a->yields != b->yields || !ids_equal(a->isr, a->isr_count, b->isr, b->isr_count) ||
           !ids_equal(a->replicas, a->replicas_count, b->replicas, b->replicas_count) ||
           !ids_equal(a->adding, a->adding_count, b->adding, b->adding_count) ||
           !ids_equal(a->removing, a->removing_count, b->removing, b->removing_count) ||
           !ids_equal(a->elr, a->elr_count, b->elr, b->elr_count) ||
           !ids_equal(a->last_known_elr, a->last_known_elr_count, b->last_known_elr, b->last_known_elr_count);
}

/* A replica that is moved away deletes what it holds, as soon as it hears of it. Should it be added again,
 * neither its fetches of before nor, where nobody leads, its word of what it holds (words.c) must count: they
 * come in an epoch that is over. */
static bool moves_away(const struct image_partition *before, const struct meta_partition *record)
{
    for (int32_t i = 0; i < before->replicas_count; i++)
        if (!ids_contain(record->replicas, record->replicas_count, before->replicas[i]))
            return true;
    return false;
}

static struct meta_partition unchanged(struct uuid topic_id, const struct image_partition *p)
{
    return (struct meta_partition){
        .topic_id = topic_id,
        .index = p->index,
        .leader = p->leader,
        .leader_epoch = p->leader_epoch,
        .partition_epoch = p->partition_epoch,
        .recovering = p->recovering,
        .disks_gone = p->disks_gone,
        .replicas = (int32_t *)p->replicas,
        .replicas_count = p->replicas_count,
        .adding = (int32_t *)p->adding,
        .adding_count = p->adding_count,
        .removing = (int32_t *)p->removing,
        .removing_count = p->removing_count,
    };
}

bool partition_change_make(const struct image *brokers, struct uuid topic_id,
                           const struct image_partition *before, const struct partition_rules *rules,
                           const struct partition_goal *goal, struct partition_change *ret)
{
    ASSERT(before->replicas_count > 0);
    struct step s = {brokers, before, rules, goal, ret, &ret->record, false};
    ret->unclean = ret->moved = false;
    ret->record = unchanged(topic_id, before);
    if (goal->recovered)
        ret->record.recovering = false;
    set_replicas(&s);
    set_isr(&s);
    end_move(&s);
    set_elr(&s);
    set_last_known(&s);
    elect(&s);
    ASSERT(ret->record.leader == NODE_NONE || in_isr(&s, ret->record.leader));
    bool new_epoch = goal->new_epoch && ret->record.leader != NODE_NONE;
    if (!differs(before, &ret->record) && !new_epoch)
        return false;
    ASSERT(before->partition_epoch < INT32_MAX && before->leader_epoch <= before->partition_epoch);
    ret->record.partition_epoch++;
    new_epoch = new_epoch || ret->record.leader != before->leader || moves_away(before, &ret->record);
    ret->record.leader_epoch += new_epoch && !MUTANT(LEADER_EPOCH_STAYS);
    return true;
}
