/* SPDX-License-Identifier: Apache-2.0 */
/* Invariants and hash of the core; the numbers are those of README.md. */
#include "controller/core/ids.h"
#include "controller/core/internal.h"

struct walk {
    const struct image *image;
    const struct image_topic *topic;
};

static void check_members(const struct walk *walk, const struct image_partition *p)
{
    ASSERT(ids_distinct(p->replicas, p->replicas_count) && ids_distinct(p->isr, p->isr_count)); /* I1 */
    for (int32_t i = 0; i < p->isr_count; i++) {
        ASSERT(ids_contain(p->replicas, p->replicas_count, p->isr[i])); /* I1 */
        ASSERT(!ids_contain(p->elr, p->elr_count, p->isr[i]));          /* I3 */
        ASSERT(broker_is_active(walk->image, p->isr[i]));               /* I2 */
    }
    for (int32_t i = 0; i < p->elr_count; i++)
        ASSERT(ids_contain(p->replicas, p->replicas_count, p->elr[i])); /* I3 */
}

static void check_move(const struct image_partition *p)
{
    for (int32_t i = 0; i < p->adding_count; i++) {
        ASSERT(ids_contain(p->replicas, p->replicas_count, p->adding[i]));  /* I9 */
        ASSERT(!ids_contain(p->removing, p->removing_count, p->adding[i])); /* I9 */
    }
    for (int32_t i = 0; i < p->removing_count; i++)
        ASSERT(ids_contain(p->replicas, p->replicas_count, p->removing[i])); /* I9 */
    ASSERT(p->removing_count < p->replicas_count);                           /* I9: somebody stays */
}

static bool check_topic(void *ctx, const struct image_topic *topic)
{
    struct walk *walk = ctx;
    struct partition_rules rules = partition_rules_of(walk->image, topic);
    for (int32_t i = 0; i < topic->partitions_count; i++) {
        const struct image_partition *p = image_partition(walk->image, topic, i);
        check_members(walk, p);
        ASSERT(p->leader == NODE_NONE || ids_contain(p->isr, p->isr_count, p->leader));    /* I2 */
        ASSERT(p->elr_count == 0 || p->isr_count < MIN(rules.min_isr, p->replicas_count)); /* I3 */
        ASSERT(p->last_known_elr_count == 0 || (p->isr_count == 0 && p->elr_count == 0));  /* I3 */
        ASSERT(p->leader != NODE_NONE || p->isr_count == 0);                               /* I4 */
        ASSERT(p->leader_epoch <= p->partition_epoch);                                     /* I5 */
        ASSERT(!p->yields || (p->leader != NODE_NONE && p->isr_count > 1));                /* I10 */
        check_move(p);
    }
    return true;
}

static void check_waiters(const struct core *core)
{
    uint64_t last = core->committed_token;
    uint32_t count = 0;
    list_for_each (it, &core->waiters) {
        const struct command *command = CONTAINER_OF(it, struct command, link);
        ASSERT(command->waits_for >= last && command->waits_for > core->committed_token); /* I6 */
        ASSERT(command->waits_for <= core->proposed_token);                               /* I6 */
        last = command->waits_for;
        count++;
    }
    ASSERT(count == core->waiters_count);
}

static bool check_session(void *ctx, const struct image_broker *broker)
{
    const struct core *core = ctx;
    const struct session *session = session_find(core, broker->id);
    ASSERT(session != NULL && session->broker_epoch == broker->epoch); /* I7 */
    ASSERT(broker->fenced || session_lives(session));                  /* I7 */
    return true;
}

void core_check(const struct core *core)
{
    ASSERT(core->active == (core->latest != NULL) && core->active == (core->committed != NULL));
    check_waiters(core);
    if (!core->active)
        return;
    struct walk walk = {.image = core->latest};
    image_each_topic(core->latest, check_topic, &walk);
    image_each_broker(core->latest, check_session, (void *)core);
    ASSERT(core->proposed_token > core->committed_token ||
           image_hash(core->latest) == image_hash(core->committed)); /* I8 */
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
    return hash_bytes(&value, sizeof(value), hash);
}

static uint64_t hash_session(const struct session *session)
{
    uint64_t hash = mix((uint64_t)session->broker_epoch, (uint32_t)session->broker_id);
    hash = mix(hash, session_lives(session) ? session->deadline.key : 0);
    hash = mix(hash, (uint64_t)session->contacted << 1 | session->suspected);
    hash = mix(mix(hash, session->suspected_us), session->metadata_index);
    hash = mix(mix(hash, session->left_us), session->leaves);
    return mix(mix(hash, session->registration_index), session->shutdown_index);
}

uint64_t core_hash(const struct core *core)
{
    uint64_t hash = mix(core->active, core->now_us), sessions = 0, key;
    hash = mix(mix(hash, core->proposed_token), core->committed_token);
    hash = mix(hash, core->prng.s[0]);
    hash = mix(mix(hash, core->balance_us), core->balance_index);
    if (core->active)
        hash = mix(mix(hash, image_hash(core->committed)), image_hash(core->latest));
    uint32_t at = 0;
    void *value;
    while (map_next(&core->sessions, &at, &key, &value))
        sessions += hash_session(value); /* whatever their order in the map */
    list_for_each (it, &core->waiters)
        hash = mix(hash, CONTAINER_OF(it, struct command, link)->token);
    return mix(hash, sessions);
}
