/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "common/base/assert.h"
#include "proto/kafka/api.h"
#include "proto/kafka/error.h"
#include "proto/kafka/gen/alter_configs.h"
#include "proto/kafka/gen/alter_partition_reassignments.h"
#include "proto/kafka/gen/create_partitions.h"
#include "proto/kafka/gen/create_topics.h"
#include "proto/kafka/gen/delete_topics.h"
#include "proto/kafka/gen/elect_leaders.h"
#include "proto/kafka/gen/incremental_alter_configs.h"
#include "proto/kafka/gen/list_partition_reassignments.h"
#include "proto/kafka/gen/unregister_broker.h"
#include "proto/kafka/gen/update_features.h"
#include "tests/core/controller_world.h"

#define STR(s) MAX((s).len, 0), (s).p

static const char *topic_name(const struct world *world, struct uuid id)
{
    for (int i = world->topics_count - 1; i >= 0; i--) {
        if (uuid_eq(world->topics[i].id, id))
            return world->topics[i].name;
    }
    return "?";
}

static void print_ids(FILE *out, const char *label, const int32_t *ids, int32_t count)
{
    fprintf(out, " %s=[", label);
    for (int32_t i = 0; i < count; i++)
        fprintf(out, "%s%d", i ? "," : "", ids[i]);
    fputc(']', out);
}

static void print_partition(FILE *out, const char *topic, const struct meta_partition *p)
{
    fprintf(out, "%s-%d leader=%d epoch=%d/%d", topic, p->index, p->leader, p->leader_epoch,
            p->partition_epoch);
    print_ids(out, "replicas", p->replicas, p->replicas_count);
    print_ids(out, "isr", p->isr, p->isr_count);
    if (p->elr_count > 0)
        print_ids(out, "elr", p->elr, p->elr_count);
    if (p->last_known_elr_count > 0)
        print_ids(out, "last", p->last_known_elr, p->last_known_elr_count);
    if (p->adding_count > 0)
        print_ids(out, "adding", p->adding, p->adding_count);
    if (p->removing_count > 0)
        print_ids(out, "removing", p->removing, p->removing_count);
    fprintf(out, "%s%s%s\n", p->recovering ? " recovering" : "", p->disks_gone ? " disks-gone" : "",
            p->yields ? " yields" : "");
}

void print_topic(const struct world *world, const struct image *image, const char *name, FILE *out)
{
    const struct image_topic *topic = image_topic_by_name(image, str_from(name));
    (void)world;
    if (!topic) {
        fprintf(out, "no topic %s\n", name);
        return;
    }
    for (int32_t i = 0; i < topic->partitions_count; i++) {
        const struct image_partition *p = image_partition(image, topic, i);
        struct meta_partition m = {.index = i,
                                   .leader = p->leader,
                                   .leader_epoch = p->leader_epoch,
                                   .partition_epoch = p->partition_epoch,
                                   .recovering = p->recovering,
                                   .disks_gone = p->disks_gone,
                                   .yields = p->yields,
                                   .replicas = (int32_t *)p->replicas,
                                   .replicas_count = p->replicas_count,
                                   .isr = (int32_t *)p->isr,
                                   .isr_count = p->isr_count,
                                   .elr = (int32_t *)p->elr,
                                   .elr_count = p->elr_count,
                                   .last_known_elr = (int32_t *)p->last_known_elr,
                                   .last_known_elr_count = p->last_known_elr_count,
                                   .adding = (int32_t *)p->adding,
                                   .adding_count = p->adding_count,
                                   .removing = (int32_t *)p->removing,
                                   .removing_count = p->removing_count};
        print_partition(out, name, &m);
    }
}

static bool print_broker(void *ctx, const struct image_broker *broker)
{
    fprintf(ctx, "broker %d epoch=%d%s%s\n", broker->id, (int)broker->epoch, broker->fenced ? " fenced" : "",
            broker->in_controlled_shutdown ? " shutting-down" : "");
    return true;
}

void print_brokers(const struct image *image, FILE *out)
{
    image_each_broker(image, print_broker, out);
}

void print_record(const struct world *world, const struct meta_record *r, FILE *out)
{
    switch (r->type) {
    case META_CLUSTER: fprintf(out, "record cluster\n"); break;
    case META_BROKER:
        fprintf(out, "record broker %d epoch=%d%s\n", r->broker.broker_id, (int)r->broker.broker_epoch,
                r->broker.fenced ? " fenced" : "");
        break;
    case META_BROKER_STATE:
        fprintf(out, "record broker-state %d%s%s\n", r->broker_state.broker_id,
                r->broker_state.fenced ? " fenced" : " unfenced",
                r->broker_state.in_controlled_shutdown ? " shutting-down" : "");
        break;
    case META_TOPIC: fprintf(out, "record topic %.*s\n", STR(r->topic.name)); break;
    case META_TOPIC_REMOVED:
        fprintf(out, "record topic-removed %s\n", topic_name(world, r->topic_removed.topic_id));
        break;
    case META_PARTITION:
        fprintf(out, "record partition ");
        print_partition(out, topic_name(world, r->partition.topic_id), &r->partition);
        break;
    case META_CONFIG:
        fprintf(out, "record config %d '%.*s' %.*s=%.*s\n", r->config.resource_type,
                STR(r->config.resource_name), STR(r->config.key),
                r->config.value.len < 0 ? 6 : r->config.value.len,
                r->config.value.len < 0 ? "(none)" : r->config.value.p);
        break;
    case META_PRODUCER_IDS:
        fprintf(out, "record producer-ids next=%d\n", (int)r->producer_ids.next_producer_id);
        break;
    case META_FEATURE:
        fprintf(out, "record feature %.*s=%d\n", STR(r->feature.name), r->feature.level);
        break;
    case META_BROKER_REMOVED: fprintf(out, "record broker-removed %d\n", r->broker_removed.broker_id); break;
    default: fprintf(out, "record type %d\n", r->type); break;
    }
}

/* --- replies --- */

static void print_result(FILE *out, struct str name, int16_t error, struct str message)
{
    fprintf(out, "  %.*s %s", STR(name), kafka_error_name(error));
    fprintf(out, message.len > 0 ? ": %.*s\n" : "%.*s\n", STR(message));
}

static void print_create(const struct kafka_create_topics_response *r, FILE *out)
{
    for (int32_t i = 0; i < r->topics_count; i++) {
        print_result(out, r->topics[i].name, r->topics[i].error_code, r->topics[i].error_message);
        if (r->topics[i].error_code == KAFKA_NONE)
            fprintf(out, "    partitions=%d replicas=%d%s\n", r->topics[i].num_partitions,
                    r->topics[i].replication_factor, uuid_is_zero(r->topics[i].topic_id) ? " no-id" : "");
    }
}

static void print_elections(const struct kafka_elect_leaders_response *r, FILE *out)
{
    for (int32_t i = 0; i < r->replica_election_results_count; i++) {
        for (int32_t n = 0; n < r->replica_election_results[i].partition_result_count; n++)
            fprintf(out, "  %.*s-%d %s\n", STR(r->replica_election_results[i].topic),
                    r->replica_election_results[i].partition_result[n].partition_id,
                    kafka_error_name(r->replica_election_results[i].partition_result[n].error_code));
    }
}

static void print_moved(const struct kafka_alter_partition_reassignments_response *r, FILE *out)
{
    for (int32_t i = 0; i < r->responses_count; i++) {
        for (int32_t n = 0; n < r->responses[i].partitions_count; n++) {
            fprintf(out, "  %.*s-%d", STR(r->responses[i].name),
                    r->responses[i].partitions[n].partition_index);
            print_result(out, STR_LIT(""), r->responses[i].partitions[n].error_code,
                         r->responses[i].partitions[n].error_message);
        }
    }
}

static void print_moves(const struct kafka_list_partition_reassignments_response *r, FILE *out)
{
    for (int32_t i = 0; i < r->topics_count; i++) {
        for (int32_t n = 0; n < r->topics[i].partitions_count; n++) {
            const struct kafka_list_partition_reassignments_response_partition *p =
                &r->topics[i].partitions[n];
            fprintf(out, "  %.*s-%d", STR(r->topics[i].name), p->partition_index);
            print_ids(out, "replicas", p->replicas, p->replicas_count);
            print_ids(out, "adding", p->adding_replicas, p->adding_replicas_count);
            print_ids(out, "removing", p->removing_replicas, p->removing_replicas_count);
            fputc('\n', out);
        }
    }
}

static void print_admin(const struct core_reply *reply, FILE *out)
{
    const void *response = reply->admin.response;
    fprintf(out, " %s %s\n", kafka_api_name(reply->admin.api_key), kafka_error_name(reply->admin.error));
    if (!response)
        return;
    if (reply->admin.api_key == KAFKA_API_CREATE_TOPICS)
        print_create(response, out);
    if (reply->admin.api_key == KAFKA_API_ELECT_LEADERS)
        print_elections(response, out);
    if (reply->admin.api_key == KAFKA_API_ALTER_PARTITION_REASSIGNMENTS)
        print_moved(response, out);
    if (reply->admin.api_key == KAFKA_API_LIST_PARTITION_REASSIGNMENTS)
        print_moves(response, out);
    if (reply->admin.api_key == KAFKA_API_UPDATE_FEATURES) {
        const struct kafka_update_features_response *r = response;
        for (int32_t i = 0; i < r->results_count; i++)
            print_result(out, r->results[i].feature, r->results[i].error_code, r->results[i].error_message);
    }
    if (reply->admin.api_key == KAFKA_API_UNREGISTER_BROKER) {
        const struct kafka_unregister_broker_response *r = response;
        print_result(out, STR_LIT("broker"), r->error_code, r->error_message);
    }
    if (reply->admin.api_key == KAFKA_API_DELETE_TOPICS) {
        const struct kafka_delete_topics_response *r = response;
        for (int32_t i = 0; i < r->responses_count; i++)
            print_result(out, r->responses[i].name, r->responses[i].error_code,
                         r->responses[i].error_message);
    }
    if (reply->admin.api_key == KAFKA_API_CREATE_PARTITIONS) {
        const struct kafka_create_partitions_response *r = response;
        for (int32_t i = 0; i < r->results_count; i++)
            print_result(out, r->results[i].name, r->results[i].error_code, r->results[i].error_message);
    }
    if (reply->admin.api_key == KAFKA_API_ALTER_CONFIGS) {
        const struct kafka_alter_configs_response *r = response;
        for (int32_t i = 0; i < r->responses_count; i++)
            print_result(out, r->responses[i].resource_name, r->responses[i].error_code,
                         r->responses[i].error_message);
    }
    if (reply->admin.api_key == KAFKA_API_INCREMENTAL_ALTER_CONFIGS) {
        const struct kafka_incremental_alter_configs_response *r = response;
        for (int32_t i = 0; i < r->responses_count; i++)
            print_result(out, r->responses[i].resource_name, r->responses[i].error_code,
                         r->responses[i].error_message);
    }
}

static void print_alter(const struct world *world, const struct rpc_alter_partition_reply *r, FILE *out)
{
    fprintf(out, " alter-partition %s\n", kafka_error_name(r->error));
    for (int32_t i = 0; i < r->partitions_count; i++)
        fprintf(out, "  %s-%d %s\n", topic_name(world, r->partitions[i].topic_id), r->partitions[i].index,
                kafka_error_name(r->partitions[i].error));
}

void print_reply(const struct world *world, uint64_t token, const struct core_reply *reply, FILE *out)
{
    const struct rpc_heartbeat_reply *beat = &reply->heartbeat;
    fprintf(out, "reply %d", (int)token);
    switch (reply->type) {
    case CORE_REPLY_REGISTER_BROKER:
        fprintf(out, " register %s epoch=%d\n", kafka_error_name(reply->register_broker.error),
                (int)reply->register_broker.broker_epoch);
        break;
    case CORE_REPLY_HEARTBEAT:
        fprintf(out, " heartbeat %s%s%s%s\n", kafka_error_name(beat->error), beat->fenced ? " fenced" : "",
                beat->caught_up ? " caught-up" : "", beat->may_shut_down ? " may-shut-down" : "");
        break;
    case CORE_REPLY_ALTER_PARTITION: print_alter(world, &reply->alter_partition, out); break;
    case CORE_REPLY_PRODUCER_IDS:
        fprintf(out, " producer-ids %s first=%d count=%d\n", kafka_error_name(reply->producer_ids.error),
                (int)reply->producer_ids.first_id, reply->producer_ids.count);
        break;
    case CORE_REPLY_ADMIN: print_admin(reply, out); break;
    }
}
