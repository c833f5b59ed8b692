/* SPDX-License-Identifier: Apache-2.0 */
/* AlterPartition: the leader of a partition proposes its in-sync replicas. The order of the checks is Kafka's
 * (ReplicationControlManager.alterPartition). */
#include "common/base/mutant.h"
#include "common/base/probe.h"
#include "controller/core/ids.h"
#include "controller/core/internal.h"

/* Epochs first: a request built on newer metadata than ours means that we are not the controller we think we
 * are. */
static int16_t check_epochs(const struct image_partition *p, const struct rpc_alter_partition *wanted,
                            int32_t sender)
{
    if (MUTANT(ALTER_ANY_EPOCH))
        return KAFKA_NONE;
    if (wanted->leader_epoch > p->leader_epoch || wanted->partition_epoch > p->partition_epoch)
        return KAFKA_NOT_CONTROLLER;
    if (wanted->leader_epoch < p->leader_epoch)
        return KAFKA_FENCED_LEADER_EPOCH;
    if (sender != p->leader)
        return KAFKA_INVALID_REQUEST;
    if (wanted->partition_epoch >= p->partition_epoch)
        return KAFKA_NONE;
    PROBE(ALTER_STALE_REFUSED);
    return KAFKA_INVALID_UPDATE_VERSION;
}

static bool all_replicas(const struct image_partition *p, const struct rpc_alter_partition *wanted)
{
    for (int32_t i = 0; i < wanted->isr_count; i++) {
        if (!ids_contain(p->replicas, p->replicas_count, wanted->isr[i]))
            return false;
    }
    return ids_distinct(wanted->isr, wanted->isr_count);
}

static int16_t check_isr(const struct image_partition *p, const struct rpc_alter_partition *wanted)
{
    if (!all_replicas(p, wanted) || !ids_contain(wanted->isr, wanted->isr_count, p->leader))
        return KAFKA_INVALID_REQUEST;
    if (wanted->recovering && (wanted->isr_count > 1 || !p->recovering))
        return KAFKA_INVALID_REQUEST;
    if (wanted->gives_way && !p->yields)
        return KAFKA_OPERATION_NOT_ATTEMPTED; /* nobody asks for it any more: it leads on */
    return KAFKA_NONE;
}

/* KIP-841, KIP-903: a member must be active, in the incarnation that the leader saw. */
static int16_t check_members(const struct image *image, const struct rpc_alter_partition *wanted)
{
    ASSERT(wanted->isr_count > 0 && wanted->isr_epochs != NULL);
    for (int32_t i = 0; i < wanted->isr_count; i++) {
        const struct image_broker *broker = image_broker(image, wanted->isr[i]);
        int64_t epoch = wanted->isr_epochs[i];
        if (!broker_is_active(image, wanted->isr[i]) || (epoch != -1 && epoch != broker->epoch)) {
            PROBE(ALTER_INELIGIBLE_REFUSED);
            return KAFKA_INELIGIBLE_REPLICA;
        }
    }
    return KAFKA_NONE;
}

static int16_t check(const struct image *image, const struct image_partition *p,
                     const struct rpc_alter_partition *wanted, int32_t sender)
{
    int16_t error = check_epochs(p, wanted, sender);
    if (error == KAFKA_NONE)
        error = check_isr(p, wanted);
    return error == KAFKA_NONE ? check_members(image, wanted) : error;
}

/* What the answer means for how soon a member that left may come back. */
static bool may_join(struct core *core, const struct image_partition *p,
                     const struct rpc_alter_partition *wanted)
{
    for (int32_t i = 0; i < wanted->isr_count; i++) {
        if (!ids_contain(p->isr, p->isr_count, wanted->isr[i]) && !churn_may_join(core, wanted->isr[i])) {
            core->counts.joins_delayed++;
            return false;
        }
    }
    return true;
}

static void note_leavers(struct core *core, const struct image_partition *p,
                         const struct rpc_alter_partition *wanted)
{
    for (int32_t i = 0; i < p->isr_count; i++) {
        if (!ids_contain(wanted->isr, wanted->isr_count, p->isr[i]))
            churn_left(core, p->isr[i]);
    }
}

/* A replica that cannot serve, or lost data, goes out of the ISR; when nobody else may lead it leads on, in a
 * new epoch: it starts over with the log that it has then. */
static int16_t leave_one(struct command *command, const struct image_topic *topic,
                         const struct image_partition *p, const struct rpc_alter_partition *wanted,
                         int32_t sender)
{
    const struct image *image = plan_image(&command->plan);
    int32_t isr[META_REPLICAS_MAX];
    struct partition_rules rules = partition_rules_of(image, topic);
    struct partition_goal goal = {.isr = isr,
                                  .lost_data_id = wanted->lost_data ? sender : NODE_NONE,
                                  .told_loss = wanted->lost_data,
                                  .new_epoch = p->leader == sender};
    struct partition_change change;
    if (wanted->leader_epoch > p->leader_epoch)
        return KAFKA_NOT_CONTROLLER;
    if (wanted->leader_epoch < p->leader_epoch)
        return KAFKA_FENCED_LEADER_EPOCH;
    if (!ids_contain(p->replicas, p->replicas_count, sender))
        return KAFKA_INVALID_REQUEST;
    for (int32_t i = 0; i < p->isr_count; i++)
        if (p->isr[i] != sender)
            isr[goal.isr_count++] = p->isr[i];
    if (goal.isr_count < p->isr_count)
        churn_left(command->core, sender);
    if (partition_change_make(image, topic->id, p, &rules, &goal, &change))
        plan_change(&command->plan, &change);
    return KAFKA_NONE;
}

/* Nobody leads, nobody is known to be complete, and no more will come up once everybody has spoken: who holds
 * most leads. */
static int16_t hear_word(struct command *command, const struct image_topic *topic,
                         const struct image_partition *p, const struct rpc_alter_partition *wanted,
                         int32_t sender)
{
    const struct image *image = plan_image(&command->plan);
    struct partition_change change;
    if (wanted->leader_epoch != p->leader_epoch || p->leader != NODE_NONE ||
        p->isr_count + p->elr_count > 0 || !ids_contain(p->replicas, p->replicas_count, sender))
        return KAFKA_NONE; /* it will see */
    int32_t longest = words_hear(command->core, image, p, wanted, sender);
    if (longest == NODE_NONE)
        return KAFKA_NONE;
    struct partition_rules rules = partition_rules_of(image, topic);
    struct partition_goal goal = {
        .lost_data_id = NODE_NONE, .election = ELECT_LONGEST, .longest_id = longest};
    if (partition_change_make(image, topic->id, p, &rules, &goal, &change))
        plan_change(&command->plan, &change);
    return KAFKA_NONE;
}

static int16_t alter_one(struct command *command, const struct rpc_alter_partition *wanted, int32_t sender)
{
    const struct image *image = plan_image(&command->plan);
    const struct image_topic *topic = image_topic_by_id(image, wanted->topic_id);
    if (!topic)
        return KAFKA_UNKNOWN_TOPIC_ID;
    const struct image_partition *p = image_partition(image, topic, wanted->index);
    if (!p)
        return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    if (wanted->leave && wanted->tells_end)
        return hear_word(command, topic, p, wanted, sender);
    if (wanted->leave)
        return leave_one(command, topic, p, wanted, sender);
    int16_t error = check(image, p, wanted, sender);
    if (error != KAFKA_NONE)
        return error;
    if (!may_join(command->core, p, wanted))
        return KAFKA_INELIGIBLE_REPLICA;
    note_leavers(command->core, p, wanted);
    struct partition_rules rules = partition_rules_of(image, topic);
    struct partition_goal goal = {.isr = wanted->isr,
                                  .isr_count = wanted->isr_count,
                                  .lost_data_id = NODE_NONE,
                                  .recovered = !wanted->recovering,
                                  .gave_way = wanted->gives_way};
    struct partition_change change;
    bool changed = partition_change_make(image, topic->id, p, &rules, &goal, &change);
    if (wanted->gives_way && change.record.leader != p->leader)
        PROBE(GAVE_WAY);
    ASSERT(change.moved || wanted->gives_way ||
           (change.record.leader == p->leader && change.record.isr_count == wanted->isr_count));
    if (changed)
        plan_change(&command->plan, &change);
    return change.record.leader == sender ? KAFKA_NONE : KAFKA_NEW_LEADER_ELECTED;
}

static void alter_all(struct command *command, const struct rpc_alter_partition_request *request)
{
    size_t count = (size_t)request->partitions_count;
    struct rpc_alter_partition_result *results = command_alloc(command, count, sizeof(*results));
    for (size_t i = 0; results && i < count; i++) {
        const struct rpc_alter_partition *wanted = &request->partitions[i];
        results[i] =
            (struct rpc_alter_partition_result){.topic_id = wanted->topic_id, .index = wanted->index};
        results[i].error = alter_one(command, wanted, request->broker_id);
        plan_may_cut(&command->plan);
    }
    command->reply.alter_partition.partitions = results;
    command->reply.alter_partition.partitions_count = results ? request->partitions_count : 0;
}

const struct core_effects *core_alter_partition(struct core *core, uint64_t now_us, uint64_t token,
                                                const struct rpc_alter_partition_request *request)
{
    struct command *command = command_begin(core, now_us, token, CORE_REPLY_ALTER_PARTITION);
    if (!command)
        return &core->effects;
    const struct image_broker *broker = image_broker(plan_image(&command->plan), request->broker_id);
    if (!broker || broker->epoch != request->broker_epoch)
        command->reply.alter_partition.error = KAFKA_STALE_BROKER_EPOCH;
    else
        alter_all(command, request);
    command_end(command);
    return &core->effects;
}
