/* SPDX-License-Identifier: Apache-2.0 */
/* AlterPartitionReassignments (KIP-455): other replicas for partitions, or an end to a move under way. */
#include "controller/core/assignment.h"
#include "proto/kafka/gen/alter_partition_reassignments.h"

struct reassigning {
    struct command *command;
    const struct kafka_alter_partition_reassignments_request *request;
};

static struct problem check_target(const struct reassigning *r, const struct image_partition *p,
                                   const struct kafka_alter_partition_reassignments_request_partition *wanted)
{
    int32_t former = p->replicas_count - p->adding_count;
    struct problem problem =
        assignment_check(r->command, p->index, wanted->replicas, wanted->replicas_count, 0);
    if (problem.error == KAFKA_NONE && !r->request->allow_replication_factor_change &&
        former != wanted->replicas_count)
        problem =
            (struct problem){KAFKA_INVALID_REPLICATION_FACTOR,
                             command_text(r->command, "The replication factor would change from %d to %d",
                                          (int64_t)former, (int64_t)wanted->replicas_count)};
    return problem;
}

/* What the request wants as a move. */
static struct problem make_move(const struct reassigning *r, const struct image_partition *p,
                                const struct kafka_alter_partition_reassignments_request_partition *wanted,
                                struct partition_move *ret)
{
    bool cancel = wanted->replicas_count < 0;
    if (cancel && p->adding_count + p->removing_count == 0)
        return (struct problem){KAFKA_NO_REASSIGNMENT_IN_PROGRESS,
                                str_from(kafka_error_text(KAFKA_NO_REASSIGNMENT_IN_PROGRESS))};
    if (cancel) {
        partition_move_cancel(p, ret);
        return NO_PROBLEM;
    }
    struct problem problem = check_target(r, p, wanted);
    if (problem.error == KAFKA_NONE && !partition_move_to(p, wanted->replicas, wanted->replicas_count, ret))
        problem = (struct problem){KAFKA_INVALID_REPLICA_ASSIGNMENT,
                                   STR_LIT("Old and new replicas together are too many")};
    return problem;
}

/* How many are known to hold all records once change is made: those in sync and those eligible to lead. */
static int32_t complete_after(const struct partition_change *change)
{
    return change->unclean ? 0 : change->record.isr_count + change->record.elr_count;
}

/* How many of those that stay must be complete, also while nobody leads: who goes deletes what it holds as
 * soon as it hears of it. What was acknowledged is on min.insync.replicas, and one of the rest may just have
 * died, its disk with it. No more than there are now. */
static int32_t complete_needed(const struct image_partition *p, const struct partition_rules *rules,
                               const struct partition_change *change)
{
    return MIN(MIN(rules->min_isr, change->record.replicas_count), p->isr_count + p->elr_count);
}

static struct problem reassign_one(const struct reassigning *r, struct str topic_name,
                                   const struct kafka_alter_partition_reassignments_request_partition *wanted)
{
    struct plan *plan = &r->command->plan;
    const struct image *image = plan_image(plan);
    const struct image_topic *topic = image_topic_by_name(image, topic_name);
    const struct image_partition *p = topic ? image_partition(image, topic, wanted->partition_index) : NULL;
    struct partition_move move;
    if (!p)
        return (struct problem){KAFKA_UNKNOWN_TOPIC_OR_PARTITION,
                                str_from(kafka_error_text(KAFKA_UNKNOWN_TOPIC_OR_PARTITION))};
    struct problem problem = make_move(r, p, wanted, &move);
    if (problem.error != KAFKA_NONE)
        return problem;
    struct partition_rules rules = partition_rules_of(image, topic);
    struct partition_goal goal = {.lost_data_id = NODE_NONE, .move = &move};
    struct partition_change change;
    bool changed = partition_change_make(image, topic->id, p, &rules, &goal, &change);
    if (p->leader != NODE_NONE && (change.record.leader == NODE_NONE || change.unclean))
        return (struct problem){
            KAFKA_INVALID_REPLICA_ASSIGNMENT,
            STR_LIT("Only replicas that would go are in sync; the partition would lose its leader")};
    if (complete_after(&change) < complete_needed(p, &rules, &change))
        return (struct problem){
            KAFKA_INVALID_REPLICA_ASSIGNMENT,
            command_text(r->command,
                         "Of the replicas that would stay %d are known to hold all records, and "
                         "min.insync.replicas is %d: wait until more are, or let those stay that are now",
                         (int64_t)complete_after(&change), (int64_t)rules.min_isr)};
    if (changed)
        plan_change(plan, &change);
    plan_may_cut(plan);
    return NO_PROBLEM;
}

/* --- the answer --- */

static void answer_topic(const struct reassigning *r,
                         const struct kafka_alter_partition_reassignments_request_topic *wanted,
                         struct kafka_alter_partition_reassignments_response_response *out)
{
    kafka_alter_partition_reassignments_response_response_init(out);
    out->name = command_str(r->command, wanted->name);
    out->partitions =
        command_alloc(r->command, (size_t)MAX(wanted->partitions_count, 0), sizeof(*out->partitions));
    for (int32_t i = 0; out->partitions && i < wanted->partitions_count; i++) {
        struct problem problem = reassign_one(r, wanted->name, &wanted->partitions[i]);
        struct kafka_alter_partition_reassignments_response_partition *result = &out->partitions[i];
        kafka_alter_partition_reassignments_response_partition_init(result);
        result->partition_index = wanted->partitions[i].partition_index;
        result->error_code = problem.error;
        result->error_message = problem.message;
        out->partitions_count++;
    }
}

void alter_reassignments(struct command *command, const void *request)
{
    struct reassigning r = {.command = command, .request = request};
    struct kafka_alter_partition_reassignments_response *response =
        command_alloc(command, 1, sizeof(*response));
    if (!response)
        return;
    kafka_alter_partition_reassignments_response_init(response);
    response->allow_replication_factor_change = r.request->allow_replication_factor_change;
    response->responses =
        command_alloc(command, (size_t)MAX(r.request->topics_count, 0), sizeof(*response->responses));
    if (!response->responses)
        return;
    for (int32_t i = 0; i < r.request->topics_count; i++)
        answer_topic(&r, &r.request->topics[i], &response->responses[response->responses_count++]);
    command->reply.admin.response = response;
}
