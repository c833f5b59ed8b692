/* SPDX-License-Identifier: Apache-2.0 */
/* Consuming by offset: what each broker is asked for, and what its answers mean. */
#include "client/core/internal.h"
#include "proto/kafka/error.h"

#define FETCH_VERSION_MIN    4
#define FETCH_VERSION_NAMES  12 /* the last one with topic names; later ones have ids */
#define FETCH_VERSION_MAX    17
#define FETCH_PARTITIONS_MAX 1024
#define FETCH_WAIT_SLACK_US  10000000 /* on top of the wait that we asked for */

struct fetch_call {
    struct client_call_state call;
    uint32_t count;
    struct {
        struct client_partition *partition;
        uint32_t generation;
    } items[FETCH_PARTITIONS_MAX];
};

/* -- starting and stopping -- */

static void in_release(struct client_in *in)
{
    in->state = CLIENT_IN_IDLE;
    in->busy = false;
    in->generation++;
    list_remove(&in->link);
}

enum err client_consume(struct client *client, uint64_t now_us, struct client_topic *topic, int32_t partition,
                        struct client_start start)
{
    client_now(client, now_us);
    if (topic->partitions_count == 0)
        return ERR_AGAIN;
    struct client_partition *p = client_partition_of(topic, partition);
    if (!p)
        return ERR_OUT_OF_RANGE;
    in_release(&p->in);
    client_forget_records(client, topic, partition);
    list_push_back(&client->consuming, &p->in.link);
    p->in.start = start;
    p->in.position = start.value;
    p->in.moved_from = -1;
    p->in.last_epoch = -1;
    p->in.stayed = false;
    p->in.retry_at_us = 0;
    p->in.state = start.from == CLIENT_FROM_OFFSET ? CLIENT_IN_FETCH : CLIENT_IN_LOOKUP;
    client_wake(client, client->now_us);
    return OK;
}

void client_consume_stop(struct client *client, struct client_topic *topic, int32_t partition)
{
    struct client_partition *p = client_partition_of(topic, partition);
    if (!p)
        return;
    in_release(&p->in);
    client_forget_records(client, topic, partition);
}

void client_in_retry(struct client *client, struct client_partition *partition)
{
    partition->in.retry_at_us = client_backoff(client, &partition->in.failures);
}

void client_in_fail(struct client *client, struct client_partition *partition, struct client_failure failure)
{
    struct client_effect *effect = client_effect(client, CLIENT_FX_CONSUME_FAILED);
    if (!effect) {
        client_in_retry(client, partition);
        return;
    }
    effect->consume_failed.topic = partition->topic;
    effect->consume_failed.partition = partition->index;
    effect->consume_failed.failure = failure;
    in_release(&partition->in);
}

/* -- asking -- */

static struct kafka_fetch_request_topic *topic_entry(struct kafka_fetch_request *request,
                                                     const struct client_topic *of, uint32_t count,
                                                     struct arena *arena)
{
    struct str name = {of->name, (int32_t)of->name_len};
    for (int32_t i = 0; i < request->topics_count; i++)
        if (str_eq(request->topics[i].topic, name))
            return &request->topics[i];
    struct kafka_fetch_request_topic *topic = &request->topics[request->topics_count++];
    kafka_fetch_request_topic_init(topic);
    topic->topic = name;
    topic->topic_id = of->id;
    topic->partitions = arena_calloc(arena, count, sizeof(*topic->partitions));
    return topic->partitions ? topic : NULL;
}

static bool fill_entry(const struct client *client, struct kafka_fetch_request *request,
                       const struct client_partition *partition, uint32_t count, int16_t version,
                       struct arena *arena)
{
    struct kafka_fetch_request_topic *topic = topic_entry(request, partition->topic, count, arena);
    if (!topic)
        return false;
    struct kafka_fetch_request_partition *in = &topic->partitions[topic->partitions_count++];
    kafka_fetch_request_partition_init(in);
    in->partition = partition->index;
    in->current_leader_epoch = partition->leader_epoch;
    in->fetch_offset = partition->in.position;
    in->last_fetched_epoch = version >= 12 ? partition->in.last_epoch : -1;
    in->partition_max_bytes = client->config.consumer.partition_max_bytes;
    return true;
}

static const void *fetch_build(struct client *client, struct client_call_state *base, int16_t version,
                               struct arena *arena)
{
    const struct fetch_call *call = CONTAINER_OF(base, struct fetch_call, call);
    struct kafka_fetch_request *request = arena_alloc(arena, sizeof(*request));
    if (!request)
        return NULL;
    kafka_fetch_request_init(request);
    request->max_wait_ms = client->config.consumer.max_wait_ms;
    request->min_bytes = client->config.consumer.min_bytes;
    request->max_bytes = client->config.consumer.max_bytes;
    request->rack_id = STR_LIT("");
    request->isolation_level = client->config.consumer.read_committed;
    request->topics = arena_calloc(arena, call->count, sizeof(*request->topics));
    if (!request->topics)
        return NULL;
    for (uint32_t i = 0; i < call->count; i++)
        if (!fill_entry(client, request, call->items[i].partition, call->count, version, arena))
            return NULL;
    return request;
}

/* -- answers -- */

/* The whole, undamaged batches at the start of the bytes; a cut one at the end is left out. */
static enum err whole_batches(struct client_in *in, const uint8_t *p, size_t len, size_t *ret_len)
{
    struct reader r = reader_over(p, len);
    size_t size, done = 0;
    for (const uint8_t *batch; (batch = batch_next(&r, &size)) != NULL; done += size) {
        int err = batch_verify(batch, size);
        if (err != OK)
            return (enum err)err;
        in->position = MAX(in->position, batch_next_offset(batch));
        in->last_epoch = batch_leader_epoch(batch);
    }
    *ret_len = done;
    return r.err == OK || r.err == ERR_TRUNCATED ? OK : r.err;
}

/* False: memory is out. */
static bool take_aborted(struct client *client, const struct kafka_fetch_response_partition *in,
                         struct client_records *records)
{
    int32_t count = MAX(in->aborted_transactions_count, 0);
    struct client_aborted *aborted =
        count > 0 ? arena_calloc(&client->box->arena, (size_t)count, sizeof(*aborted)) : NULL;
    if (count > 0 && !aborted)
        return false;
    for (int32_t i = 0; i < count; i++)
        aborted[i] = (struct client_aborted){in->aborted_transactions[i].producer_id,
                                             in->aborted_transactions[i].first_offset};
    records->aborted = aborted;
    records->aborted_count = count;
    records->high_watermark = in->last_stable_offset;
    return true;
}

static void take_records(struct client *client, struct client_partition *partition,
                         const struct kafka_fetch_response_partition *in, struct iobuf *owner)
{
    int64_t from = partition->in.position;
    int32_t epoch = partition->in.last_epoch;
    size_t len = 0;
    enum err err = in->records.len > 0
                       ? whole_batches(&partition->in, in->records.p, (size_t)in->records.len, &len)
                       : OK;
    bool committed = client->config.consumer.read_committed;
    struct client_records stable = {.high_watermark = in->high_watermark};
    if (err == OK && committed && !take_aborted(client, in, &stable))
        err = ERR_NOMEM;
    struct client_effect *effect = err == OK ? client_effect(client, CLIENT_FX_RECORDS) : NULL;
    if (!effect) { /* damaged on the way, or no memory: once more */
        partition->in.position = from;
        partition->in.last_epoch = epoch;
        client_in_retry(client, partition);
        return;
    }
    partition->in.failures = 0;
    partition->in.stayed = false;
    effect->records = (struct client_records){.topic = partition->topic,
                                              .partition = partition->index,
                                              .p = in->records.p,
                                              .len = len,
                                              .owner = len > 0 ? iobuf_ref(owner) : NULL,
                                              .from = from,
                                              .position = partition->in.position,
                                              .high_watermark = stable.high_watermark,
                                              .aborted = stable.aborted,
                                              .aborted_count = stable.aborted_count,
                                              .log_start = in->log_start_offset,
                                              .moved_from = partition->in.moved_from};
    partition->in.moved_from = -1;
}

static void out_of_range(struct client *client, struct client_partition *partition)
{
    enum client_reset reset = client->config.consumer.reset;
    if (reset == CLIENT_RESET_FAIL) {
        client_in_fail(client, partition, client_failure_of(OK, KAFKA_OFFSET_OUT_OF_RANGE));
        return;
    }
    partition->in.moved_from = partition->in.position;
    partition->in.last_epoch = -1;
    partition->in.start.from = reset == CLIENT_RESET_EARLIEST ? CLIENT_FROM_EARLIEST : CLIENT_FROM_LATEST;
    partition->in.state = CLIENT_IN_LOOKUP;
}

/* The log that we read was cut (KIP-320): go on where both histories agree. */
static void diverged(struct client_partition *partition,
                     const struct kafka_fetch_response_diverging_epoch *diverging)
{
    partition->in.moved_from = partition->in.position;
    partition->in.position = MIN(partition->in.position, diverging->end_offset);
    partition->in.last_epoch = -1;
}

static void answer_partition(struct client *client, struct client_partition *partition,
                             const struct kafka_fetch_response_partition *in, struct iobuf *owner)
{
    partition->in.busy = false;
    if (in->error_code == KAFKA_OFFSET_OUT_OF_RANGE) {
        out_of_range(client, partition);
    } else if (in->error_code != KAFKA_NONE && !kafka_error_retriable(in->error_code)) {
        client_in_fail(client, partition, client_failure_of(OK, in->error_code));
    } else if (in->error_code != KAFKA_NONE) {
        client_in_retry(client, partition);
        client_refresh(client);
        client_learn_leader(client, partition, in->current_leader.leader_id, in->current_leader.leader_epoch);
    } else if (in->diverging_epoch.epoch >= 0) {
        diverged(partition, &in->diverging_epoch);
    } else {
        take_records(client, partition, in, owner);
    }
}

static struct client_partition *asked_for(struct fetch_call *call, const struct client_topic *topic,
                                          int32_t index)
{
    for (uint32_t i = 0; topic && i < call->count; i++) {
        struct client_partition *partition = call->items[i].partition;
        if (!partition || partition->topic != topic || partition->index != index)
            continue;
        call->items[i].partition = NULL;
        bool current = partition->in.generation == call->items[i].generation;
        return current && partition->in.state == CLIENT_IN_FETCH ? partition : NULL;
    }
    return NULL;
}

static void fetch_answered(struct client *client, struct fetch_call *call, const struct client_answer *answer)
{
    const struct kafka_fetch_response *response = answer->message;
    for (int32_t i = 0; i < response->node_endpoints_count; i++)
        client_learn_node(client, response->node_endpoints[i].node_id, response->node_endpoints[i].host,
                          response->node_endpoints[i].port);
    for (int32_t i = 0; i < response->topics_count; i++) {
        const struct kafka_fetch_response_topic *in = &response->topics[i];
        const struct client_topic *topic = answer->version > FETCH_VERSION_NAMES
                                               ? client_topic_by_id(client, in->topic_id)
                                               : client_topic_by_name(client, in->topic);
        for (int32_t k = 0; k < in->partitions_count; k++) {
            struct client_partition *partition = asked_for(call, topic, in->partitions[k].partition_index);
            if (partition)
                answer_partition(client, partition, &in->partitions[k], answer->owner);
        }
    }
}

/* What the answer did not speak about is asked for again. */
static void release_rest(struct client *client, struct fetch_call *call)
{
    for (uint32_t i = 0; i < call->count; i++) {
        struct client_partition *partition = call->items[i].partition;
        if (!partition || partition->in.generation != call->items[i].generation)
            continue;
        partition->in.busy = false;
        client_in_retry(client, partition);
    }
}

static void fetch_done(struct client *client, struct client_call_state *base,
                       const struct client_answer *answer)
{
    struct fetch_call *call = CONTAINER_OF(base, struct fetch_call, call);
    const struct kafka_fetch_response *response = answer->message;
    if (answer->err == OK && response->error_code == KAFKA_NONE)
        fetch_answered(client, call, answer);
    else
        client_refresh(client);
    release_rest(client, call);
    client_give(client, call, sizeof(*call));
}

/* -- turns -- */

static bool may_ask(struct client *client, struct client_partition *partition)
{
    if (partition->in.busy || partition->leader < 0)
        return false;
    if (partition->in.retry_at_us <= client->now_us)
        return true;
    client_wake(client, partition->in.retry_at_us);
    return false;
}

static struct fetch_call *call_new(struct client *client)
{
    struct fetch_call *call = client_take(client, sizeof(*call));
    if (!call)
        return NULL;
    call->call = (struct client_call_state){
        .api_key = KAFKA_API_FETCH,
        .version_min = FETCH_VERSION_MIN,
        .version_max = FETCH_VERSION_MAX,
        .timeout_us = (uint64_t)client->config.consumer.max_wait_ms * 1000 + FETCH_WAIT_SLACK_US,
        .build = fetch_build,
        .done = fetch_done};
    return call;
}

/* Everything that this broker leads and that nobody has asked for yet. */
static void collect(struct client *client, const struct client_peer *peer, struct fetch_call *call)
{
    list_for_each (it, &client->consuming) {
        struct client_partition *partition = CONTAINER_OF(it, struct client_partition, in.link);
        if (partition->in.state != CLIENT_IN_FETCH || partition->leader != peer->node ||
            !may_ask(client, partition) || call->count == FETCH_PARTITIONS_MAX)
            continue;
        if (uuid_is_zero(partition->topic->id))
            call->call.version_max = FETCH_VERSION_NAMES;
        partition->in.busy = true;
        call->items[call->count].partition = partition;
        call->items[call->count++].generation = partition->in.generation;
    }
}

static void fetch_from(struct client *client, struct client_peer *peer)
{
    struct fetch_call *call;
    if (!client_peer_ready(client, peer) || peer->sent_count > 0)
        return;
    call = call_new(client);
    if (!call) {
        client_wake(client, client->now_us + client->config.backoff_first_us);
        return;
    }
    collect(client, peer, call);
    if (call->count > 0)
        client_peer_send(client, peer, &call->call);
    else
        client_give(client, call, sizeof(*call));
}

void client_consumer_turn(struct client *client)
{
    if (list_empty(&client->consuming))
        return;
    list_for_each_safe (it, tmp, &client->consuming) {
        struct client_partition *partition = CONTAINER_OF(it, struct client_partition, in.link);
        if (!may_ask(client, partition))
            continue;
        if (partition->in.state == CLIENT_IN_LOOKUP)
            client_in_lookup(client, partition);
        else
            client_peer_of(client, partition->leader, CLIENT_PEER_FETCH);
    }
    list_for_each (it, &client->peers) {
        struct client_peer *peer = CONTAINER_OF(it, struct client_peer, link);
        if (peer->role == CLIENT_PEER_FETCH && client_node(client, peer->node))
            fetch_from(client, peer);
    }
}
