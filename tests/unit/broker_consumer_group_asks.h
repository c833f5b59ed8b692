/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of members that speak the consumer protocol (KIP-848), each sent at once to group "g". */
#ifndef SLUICE_TESTS_UNIT_BROKER_CONSUMER_GROUP_ASKS_H
#define SLUICE_TESTS_UNIT_BROKER_CONSUMER_GROUP_ASKS_H

#include "tests/unit/broker_group_asks.h"

/* What a member would say next; mind what is NULL: not said. */
struct beat {
    const char *id, *instance, *topic, *regex, *assignor;
    int32_t epoch;
    const struct tp_list *owned;
};

/* Partitions of topic 0 .. as (topic place, partition) pairs. */
struct tp_list {
    int count;
    int place[64];
    int32_t partition[64];
};

static void ask_owned(struct ask *ask, const struct tp_list *owned)
{
    struct kafka_consumer_group_heartbeat_request *in = &ask->in.consumer;
    int32_t at = 0;

    in->topic_partitions = ask->part.owned;
    in->topic_partitions_count = 0;
    for (int place = 0; place < 4; place++) {
        struct kafka_consumer_group_heartbeat_request_topic_partition *out =
            &ask->part.owned[in->topic_partitions_count];
        *out = (struct kafka_consumer_group_heartbeat_request_topic_partition){
            .topic_id = world_topic_id(place), .partitions = &ask->owned[at]};
        for (int i = 0; i < owned->count; i++) {
            if (owned->place[i] == place) {
                ask->owned[at++] = owned->partition[i];
                out->partitions_count++;
            }
        }
        in->topic_partitions_count += out->partitions_count > 0;
    }
}

static struct str ask_text(struct ask *ask, int slot, const char *text)
{
    if (!text)
        return STR_NULL;
    str_copy(str_from(text), ask->text[slot], sizeof(ask->text[slot]));
    return str_from(ask->text[slot]);
}

static struct ask *beat_as(struct world *w, struct beat beat)
{
    struct ask *ask = ask_new(w, GROUP_CALL_CONSUMER_HEARTBEAT, 1);
    struct kafka_consumer_group_heartbeat_request *in = &ask->in.consumer;

    ask_name(ask, beat.id);
    kafka_consumer_group_heartbeat_request_init(in);
    kafka_consumer_group_heartbeat_response_init(&ask->out.consumer);
    in->group_id = ask->call.group_id;
    in->member_id = str_from(ask->member_id);
    in->member_epoch = beat.epoch;
    in->instance_id = ask_text(ask, 0, beat.instance);
    in->subscribed_topic_regex = ask_text(ask, 1, beat.regex);
    in->server_assignor = ask_text(ask, 2, beat.assignor);
    in->subscribed_topic_names_count = in->topic_partitions_count = -1;
    if (beat.topic) {
        ask->names[0] = ask_text(ask, 3, beat.topic);
        in->subscribed_topic_names = ask->names;
        in->subscribed_topic_names_count = 1;
    }
    if (beat.epoch == 0)
        in->rebalance_timeout_ms = 20000;
    if (beat.owned)
        ask_owned(ask, beat.owned);
    else if (beat.epoch == 0)
        in->topic_partitions_count = 0;
    return ask_send(w, ask);
}

/* A first heartbeat that subscribes to a topic. */
static inline struct ask *enter_as(struct world *w, const char *id, const char *topic)
{
    return beat_as(w, (struct beat){.id = id, .topic = topic});
}

static inline struct ask *exit_as(struct world *w, const char *id)
{
    return beat_as(w, (struct beat){.id = id, .epoch = -1});
}

static inline int assigned_count(const struct ask *ask)
{
    int count = 0;

    if (!ask->out.consumer.has_assignment)
        return -1;
    for (int32_t i = 0; i < ask->out.consumer.assignment.topic_partitions_count; i++)
        count += ask->out.consumer.assignment.topic_partitions[i].partitions_count;
    return count;
}

/* What the answer assigns, as a list to own. */
static inline void take_assigned(const struct ask *ask, struct tp_list *ret)
{
    const struct kafka_consumer_group_heartbeat_response *out = &ask->out.consumer;

    ret->count = 0;
    for (int32_t i = 0; i < out->assignment.topic_partitions_count; i++) {
        for (int32_t k = 0; k < out->assignment.topic_partitions[i].partitions_count; k++) {
            ret->place[ret->count] = out->assignment.topic_partitions[i].topic_id.b[15];
            ret->partition[ret->count++] = out->assignment.topic_partitions[i].partitions[k];
        }
    }
}

static inline struct ask *describe_consumer_group(struct world *w)
{
    struct ask *ask = ask_new(w, GROUP_CALL_CONSUMER_DESCRIBE, 1);

    kafka_consumer_group_describe_response_group_init(&ask->out.consumer_describe);
    ask_send(w, ask);
    ck_assert(ask->answered);
    return ask;
}

#endif
