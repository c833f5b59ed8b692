/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/core/assignment.h"

#include "controller/core/ids.h"

/* --- loads --- */

static bool add_broker(void *ctx, const struct image_broker *broker)
{
    struct assigner *assigner = ctx;
    const struct image *image = plan_image(&assigner->command->plan);
    if (!broker->fenced && !broker->in_controlled_shutdown && !broker_is_draining(image, broker->id))
        assigner->brokers[assigner->brokers_count++] =
            (struct placement_broker){.id = broker->id, .rack = broker->rack};
    return true;
}

static struct placement_broker *find(struct assigner *assigner, int32_t id)
{
    int32_t low = 0, high = assigner->brokers_count; /* image_each_broker gives them in order of id */
    while (low < high) {
        int32_t mid = low + (high - low) / 2;
        if (assigner->brokers[mid].id == id)
            return &assigner->brokers[mid];
        if (assigner->brokers[mid].id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

static void count_partition(struct assigner *assigner, const struct image_partition *p)
{
    for (int32_t i = 0; i < p->replicas_count; i++) {
        struct placement_broker *broker = find(assigner, p->replicas[i]);
        if (!broker)
            continue;
        broker->replicas++;
        broker->leaders += i == 0; /* the preferred leader: where leadership returns to */
    }
}

static bool count_topic(void *ctx, const struct image_topic *topic)
{
    struct assigner *assigner = ctx;
    const struct image *image = plan_image(&assigner->command->plan);
    for (int32_t i = 0; i < topic->partitions_count; i++)
        count_partition(assigner, image_partition(image, topic, i));
    return true;
}

static bool read_loads(struct assigner *assigner)
{
    if (assigner->ready)
        return true;
    const struct image *image = plan_image(&assigner->command->plan);
    assigner->brokers =
        command_alloc(assigner->command, image_broker_count(image), sizeof(*assigner->brokers));
    if (!assigner->brokers)
        return false;
    image_each_broker(image, add_broker, assigner);
    ASSERT(assigner->brokers_count <= (int32_t)image_broker_count(image));
    image_each_topic(image, count_topic, assigner);
    assigner->ready = true;
    return true;
}

static void read_topic_loads(struct assigner *assigner, const struct image_topic *topic)
{
    const struct image *image = plan_image(&assigner->command->plan);
    for (int32_t i = 0; i < assigner->brokers_count; i++)
        assigner->brokers[i].topic_leaders = assigner->brokers[i].topic_replicas = 0;
    for (int32_t i = 0; topic && i < topic->partitions_count; i++) {
        const struct image_partition *p = image_partition(image, topic, i);
        for (int32_t n = 0; n < p->replicas_count; n++) {
            struct placement_broker *broker = find(assigner, p->replicas[n]);
            if (!broker)
                continue;
            broker->topic_replicas++;
            broker->topic_leaders += n == 0;
        }
    }
}

struct problem assign_automatically(struct assigner *assigner, const struct image_topic *topic,
                                    int32_t partitions, int32_t replication_factor, int32_t **ret_ids)
{
    struct command *command = assigner->command;
    int32_t *ids = command_alloc(command, (size_t)partitions * (size_t)replication_factor, sizeof(*ids));
    ASSERT(partitions > 0 && replication_factor > 0);
    if (!ids || !read_loads(assigner))
        return (struct problem){KAFKA_UNKNOWN_SERVER_ERROR, STR_LIT("out of memory")};
    read_topic_loads(assigner, topic);
    if (placement_place(assigner->brokers, assigner->brokers_count, partitions, replication_factor, ids) !=
        OK)
        return (struct problem){
            KAFKA_INVALID_REPLICATION_FACTOR,
            command_text(command, "Replication factor %d is larger than the number of usable brokers (%d)",
                         (int64_t)replication_factor, (int64_t)assigner->brokers_count)};
    *ret_ids = ids;
    return NO_PROBLEM;
}

/* --- named replicas --- */

static bool any_active(const struct image *image, const int32_t *ids, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        if (broker_is_active(image, ids[i]))
            return true;
    }
    return false;
}

static struct problem refuse(struct str message)
{
    return (struct problem){KAFKA_INVALID_REPLICA_ASSIGNMENT, message};
}

struct problem assignment_check(struct command *command, int64_t partition, const int32_t *ids, int32_t count,
                                int32_t replication_factor)
{
    const struct image *image = plan_image(&command->plan);
    if (count <= 0)
        return refuse(command_text(command, "The assignment of partition %d is empty", partition));
    if (count > META_REPLICAS_MAX || !ids_distinct(ids, count))
        return refuse(command_text(
            command, "The assignment of partition %d names a broker twice, or too many", partition));
    if (replication_factor > 0 && count != replication_factor)
        return refuse(command_text(command, "The assignment of partition %d has %d replicas, others have %d",
                                   partition, (int64_t)count, (int64_t)replication_factor));
    for (int32_t i = 0; i < count; i++) {
        if (!image_broker(image, ids[i]))
            return refuse(command_text(
                command, "The assignment of partition %d names broker %d, which is not registered", partition,
                (int64_t)ids[i]));
        if (broker_is_draining(image, ids[i]))
            return refuse(command_text(
                command, "The assignment of partition %d names broker %d, which is being drained", partition,
                (int64_t)ids[i]));
    }
    if (!any_active(image, ids, count))
        return refuse(command_text(
            command, "All brokers in the assignment of partition %d are fenced or shutting down", partition));
    return NO_PROBLEM;
}

void plan_new_partition(struct plan *plan, struct uuid topic_id, int32_t index, int32_t *ids, int32_t count)
{
    int32_t isr[META_REPLICAS_MAX], isr_count = 0;
    ASSERT(count > 0 && count <= META_REPLICAS_MAX);
    for (int32_t i = 0; i < count; i++) {
        if (broker_is_active(plan_image(plan), ids[i]))
            isr[isr_count++] = ids[i];
    }
    ASSERT(isr_count > 0 || plan->err != OK);
    struct meta_partition record = {
        .topic_id = topic_id,
        .index = index,
        .leader = isr_count > 0 ? isr[0] : NODE_NONE,
        .replicas = ids,
        .replicas_count = count,
        .isr = isr,
        .isr_count = isr_count,
    };
    plan_partition(plan, &record);
}
