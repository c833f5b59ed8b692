/* SPDX-License-Identifier: Apache-2.0 */
/* Which batches go into the next Produce request of a connection. */
#include "client/core/internal.h"
#include "proto/kafka/error.h"

#define PRODUCE_VERSION_MIN     3
#define PRODUCE_VERSION_MAX     12 /* by topic name */
#define PRODUCE_BATCHES_MAX     128
#define PARTITION_IN_FLIGHT_MAX 5 /* batches that a broker remembers for each producer id (KIP-98) */

struct produce_call {
    struct client_call_state call;
    uint32_t count;
    size_t size_bytes;
    struct client_batch *batches[PRODUCE_BATCHES_MAX]; /* NULL: answered */
};

/* -- choosing -- */

static bool is_due(struct client *client, const struct client_batch *batch)
{
    uint64_t due_us = batch->created_us + client->config.producer.linger_us;
    bool pressed = client->room_wanted || client->flush || batch->closed || batch->attempts > 0;
    if (!pressed && due_us > client->now_us)
        client_wake(client, due_us);
    return pressed || due_us <= client->now_us;
}

/* Whether the partition's leader may not know our identity yet. It takes any number as the first one then
 * (as Kafka's does), so that a second batch on its way could be written although the first one was refused.
 */
static bool is_stranger(const struct client *client, const struct client_out *out)
{
    return client->config.producer.idempotent && (!out->known || out->producer_id != client->producer_id);
}

/* Whether the leader might forget the first batch that is not acknowledged if it took this one, too: it
 * remembers the last few only. More than those in flight count, since a new leader may acknowledge later ones
 * while the first hangs at an old one. */
static bool is_too_far(const struct client *client, const struct client_out *out,
                       const struct client_batch *head, const struct client_batch *batch)
{
    uint64_t number = batch->data ? batch->number : out->numbered;
    return client->config.producer.idempotent && batch != head &&
           number - head->number >= PARTITION_IN_FLIGHT_MAX;
}

/* The batch of the partition that may be sent now. While the first one is being repeated, those behind it
 * wait: they would be refused for the gap before them. So does one that was refused for that gap. */
static struct client_batch *next_batch(struct client *client, struct client_partition *partition)
{
    struct client_out *out = &partition->out;
    const struct client_batch *head = CONTAINER_OF(out->batches.next, struct client_batch, link);
    if (out->reset || out->in_flight >= (is_stranger(client, out) ? 1 : PARTITION_IN_FLIGHT_MAX))
        return NULL;
    if (out->retry_at_us > client->now_us) {
        client_wake(client, out->retry_at_us);
        return NULL;
    }
    list_for_each (it, &out->batches) {
        struct client_batch *batch = CONTAINER_OF(it, struct client_batch, link);
        if (batch->sent)
            continue;
        if (batch != head && (head->attempts > 0 || batch->attempts > 0))
            return NULL;
        return !is_too_far(client, out, head, batch) && is_due(client, batch) ? batch : NULL;
    }
    return NULL;
}

static size_t size_of(const struct client_batch *batch)
{
    return batch->data ? batch->data->len : batch_builder_size(&batch->builder);
}

static bool call_takes(const struct client *client, const struct produce_call *call,
                       const struct client_batch *batch)
{
    return call->count == 0 || (call->count < PRODUCE_BATCHES_MAX &&
                                call->size_bytes + size_of(batch) <= client->config.producer.request_bytes);
}

static void call_add(struct client *client, struct produce_call *call, struct client_batch *batch)
{
    enum err err = client_batch_seal(client, batch);
    if (err != OK) {
        client_batch_settle(client, batch, client_failure_of(err, 0), -1);
        return;
    }
    batch->sent = true;
    batch->partition->out.in_flight++;
    call->batches[call->count++] = batch;
    call->size_bytes += batch->data->len;
}

static void collect(struct client *client, int32_t node, struct produce_call *call)
{
    list_for_each_safe (it, tmp, &client->producing) {
        struct client_partition *partition = CONTAINER_OF(it, struct client_partition, out.active);
        struct client_batch *batch = partition->leader == node ? next_batch(client, partition) : NULL;
        if (batch && call_takes(client, call, batch))
            call_add(client, call, batch);
    }
}

static bool anything_due(struct client *client, int32_t node)
{
    list_for_each (it, &client->producing) {
        struct client_partition *partition = CONTAINER_OF(it, struct client_partition, out.active);
        if (partition->leader == node && next_batch(client, partition))
            return true;
    }
    return false;
}

/* -- the request -- */

static struct kafka_produce_request_topic *topic_entry(struct kafka_produce_request *request, struct str name,
                                                       uint32_t count, struct arena *arena)
{
    for (int32_t i = 0; i < request->topics_count; i++)
        if (str_eq(request->topics[i].name, name))
            return &request->topics[i];
    struct kafka_produce_request_topic *topic = &request->topics[request->topics_count++];
    kafka_produce_request_topic_init(topic);
    topic->name = name;
    topic->partitions = arena_calloc(arena, count, sizeof(*topic->partitions));
    return topic->partitions ? topic : NULL;
}

static bool fill_entry(struct kafka_produce_request *request, const struct client_batch *batch,
                       uint32_t count, struct arena *arena)
{
    const struct client_topic *of = batch->partition->topic;
    struct kafka_produce_request_topic *topic =
        topic_entry(request, (struct str){of->name, (int32_t)of->name_len}, count, arena);
    if (!topic)
        return false;
    struct kafka_produce_request_partition *partition = &topic->partitions[topic->partitions_count++];
    kafka_produce_request_partition_init(partition);
    partition->index = batch->partition->index;
    partition->records = (struct kafka_records){
        .p = batch->data->data, .owner = batch->data, .len = (int32_t)batch->data->len};
    return true;
}

static const void *produce_build(struct client *client, struct client_call_state *base, int16_t version,
                                 struct arena *arena)
{
    struct produce_call *call = CONTAINER_OF(base, struct produce_call, call);
    struct kafka_produce_request *request = arena_alloc(arena, sizeof(*request));
    if (!request)
        return NULL;
    kafka_produce_request_init(request);
    request->acks = client->config.producer.acks;
    request->timeout_ms = (int32_t)MIN(client->config.request_timeout_us / 1000, (uint64_t)INT32_MAX);
    request->topics = arena_calloc(arena, call->count, sizeof(*request->topics));
    if (!request->topics)
        return NULL;
    for (uint32_t i = 0; i < call->count; i++)
        if (!fill_entry(request, call->batches[i], call->count, arena))
            return NULL;
    return request;
}

/* -- the answer -- */

static void back_from_wire(struct client_batch *batch)
{
    batch->sent = false;
    batch->partition->out.in_flight--;
}

/* The attempt as a whole failed, or left these batches out of its answer. */
static void fail_rest(struct client *client, struct produce_call *call, enum err err)
{
    bool unsent = err == ERR_UNREACHABLE || err == ERR_VERSION || err == ERR_NOMEM;
    for (uint32_t i = 0; i < call->count; i++) {
        struct client_batch *batch = call->batches[i];
        if (!batch)
            continue;
        back_from_wire(batch);
        if (err == ERR_VERSION)
            client_batch_settle(client, batch, client_failure_of(err, 0), -1);
        else
            client_batch_retry(client, batch, client_failure_of(err, 0), !unsent);
    }
    client_refresh(client);
}

static struct client_batch *take_batch(struct produce_call *call, const struct client_topic *topic,
                                       int32_t index)
{
    for (uint32_t i = 0; i < call->count; i++) {
        struct client_batch *batch = call->batches[i];
        if (!batch || batch->partition->topic != topic || batch->partition->index != index)
            continue;
        call->batches[i] = NULL;
        back_from_wire(batch);
        return batch;
    }
    return NULL;
}

static void answer_partition(struct client *client, struct produce_call *call,
                             const struct client_topic *topic,
                             const struct kafka_produce_response_partition *in)
{
    struct client_batch *batch = take_batch(call, topic, in->index);
    if (!batch)
        return;
    struct client_partition *partition = batch->partition;
    client_produce_answer(client, batch, in->error_code, in->base_offset);
    if (in->error_code != KAFKA_NONE)
        client_learn_leader(client, partition, in->current_leader.leader_id, in->current_leader.leader_epoch);
}

static void produce_answered(struct client *client, struct produce_call *call,
                             const struct kafka_produce_response *response)
{
    for (int32_t i = 0; i < response->node_endpoints_count; i++)
        client_learn_node(client, response->node_endpoints[i].node_id, response->node_endpoints[i].host,
                          response->node_endpoints[i].port);
    for (int32_t i = 0; i < response->topics_count; i++) {
        const struct client_topic *topic = client_topic_by_name(client, response->topics[i].name);
        for (int32_t k = 0; topic && k < response->topics[i].partitions_count; k++)
            answer_partition(client, call, topic, &response->topics[i].partitions[k]);
    }
}

static void produce_unanswered(struct client *client, struct produce_call *call)
{
    for (uint32_t i = 0; i < call->count; i++) {
        struct client_batch *batch = call->batches[i];
        back_from_wire(batch);
        client_batch_settle(client, batch, client_failure_of(OK, 0), -1);
        call->batches[i] = NULL;
    }
}

static void produce_done(struct client *client, struct client_call_state *base,
                         const struct client_answer *answer)
{
    struct produce_call *call = CONTAINER_OF(base, struct produce_call, call);
    bool left = false;
    if (answer->err == OK && answer->message)
        produce_answered(client, call, answer->message);
    else if (answer->err == OK)
        produce_unanswered(client, call);
    for (uint32_t i = 0; i < call->count; i++)
        left |= call->batches[i] != NULL;
    if (left)
        fail_rest(client, call, answer->err == OK ? ERR_MALFORMED : answer->err);
    client_give(client, call, sizeof(*call));
}

/* -- sending -- */

static struct produce_call *call_new(struct client *client)
{
    struct produce_call *call = client_take(client, sizeof(*call));
    if (!call)
        return NULL;
    call->call = (struct client_call_state){.api_key = KAFKA_API_PRODUCE,
                                            .version_min = PRODUCE_VERSION_MIN,
                                            .version_max = PRODUCE_VERSION_MAX,
                                            .no_answer = client->config.producer.acks == CLIENT_ACKS_NONE,
                                            .timeout_us = client->config.request_timeout_us,
                                            .build = produce_build,
                                            .done = produce_done};
    return call;
}

/* True when a request went out. */
static bool send_one(struct client *client, struct client_peer *peer)
{
    struct produce_call *call = call_new(client);
    if (!call) {
        client_wake(client, client->now_us + client->config.backoff_first_us);
        return false;
    }
    collect(client, peer->node, call);
    if (call->count == 0) {
        client_give(client, call, sizeof(*call));
        return false;
    }
    return client_peer_send(client, peer, &call->call);
}

void client_produce_to(struct client *client, struct client_peer *peer)
{
    if (!anything_due(client, peer->node) || !client_peer_ready(client, peer))
        return;
    while (peer->sent_count < client->config.producer.in_flight_max && anything_due(client, peer->node))
        if (!send_one(client, peer))
            break;
}
