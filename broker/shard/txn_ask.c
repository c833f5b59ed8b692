/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/shard/txn_ask.h"

#include <stdlib.h>

#include "broker/core/coordinator_write.h"
#include "broker/shard/peers.h"
#include "broker/shard/txn_coordinator.h"
#include "common/base/assert.h"
#include "common/base/probe.h"
#include "proto/kafka/api.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

#define ASK_VERSION      5
#define ASKS_PER_CALL    256
#define CALL_ARENA_BYTES (4u << 20)

struct txn_asks {
    struct shard *shard;
    struct list waiting; /* to be sent at the end of the turn */
    struct list sent;    /* first asks; those for the same hang on them */
    struct env_task send;
    bool closing;
};

struct ask_call {
    struct peer_call call;
    struct txn_asks *asks;
    struct arena arena;
    struct txn_ask *list[ASKS_PER_CALL];
    int32_t count;
    struct kafka_add_partitions_to_txn_request request;
};

/* -- answers -- */

/* As Kafka's partition leaders translate them for producers. */
static int16_t for_producer(const struct txn_ask *ask, int16_t error)
{
    switch (error) {
    case KAFKA_CONCURRENT_TRANSACTIONS: return ask->add ? error : KAFKA_NOT_ENOUGH_REPLICAS;
    case KAFKA_NETWORK_EXCEPTION:
    case KAFKA_COORDINATOR_LOAD_IN_PROGRESS:
    case KAFKA_COORDINATOR_NOT_AVAILABLE:
    case KAFKA_NOT_COORDINATOR:
    case KAFKA_OPERATION_NOT_ATTEMPTED:
    case KAFKA_UNKNOWN_TOPIC_OR_PARTITION: return KAFKA_NOT_ENOUGH_REPLICAS; /* whatever it was: try again */
    case KAFKA_PRODUCER_FENCED: return KAFKA_INVALID_PRODUCER_EPOCH;
    default: return error;
    }
}

static void ask_over(struct txn_ask *ask, int16_t error)
{
    struct list same;

    if (error == KAFKA_NONE)
        PROBE(TXN_VERIFIED);
    else
        PROBE(TXN_VERIFY_REFUSED);
    list_init(&same);
    list_splice_back(&same, &ask->same);
    list_remove(&ask->link);
    struct partition_txn_guard guard = ask->guard;
    ask->done(ask, for_producer(ask, error));
    while (!list_empty(&same)) {
        struct txn_ask *next = CONTAINER_OF(same.next, struct txn_ask, link);
        list_remove(&next->link);
        next->guard = guard;
        next->done(next, for_producer(next, error));
    }
}

static int16_t find_error(const struct kafka_add_partitions_to_txn_response_results_by_transaction *result,
                          const struct txn_ask *ask)
{
    for (int32_t t = 0; t < result->topic_results_count; t++) {
        const struct kafka_add_partitions_to_txn_response_topic_result *topic = &result->topic_results[t];
        if (!str_eq(topic->name, ask->topic))
            continue;
        for (int32_t i = 0; i < topic->results_by_partition_count; i++)
            if (topic->results_by_partition[i].partition_index == ask->index)
                return topic->results_by_partition[i].partition_error_code;
    }
    return KAFKA_UNKNOWN_SERVER_ERROR;
}

static int16_t answer_for(const struct kafka_add_partitions_to_txn_response *response,
                          const struct txn_ask *ask)
{
    if (response->error_code != KAFKA_NONE)
        return response->error_code;
    for (int32_t i = 0; i < response->results_by_transaction_count; i++) {
        int16_t error = KAFKA_UNKNOWN_SERVER_ERROR;
        if (str_eq(response->results_by_transaction[i].transactional_id, ask->transactional_id))
            error = find_error(&response->results_by_transaction[i], ask);
        if (error != KAFKA_UNKNOWN_SERVER_ERROR)
            return error;
    }
    return KAFKA_UNKNOWN_SERVER_ERROR;
}

static void on_answer(struct peer_call *call, struct reader *body)
{
    struct ask_call *ac = CONTAINER_OF(call, struct ask_call, call);
    struct kafka_add_partitions_to_txn_response response;
    bool ok =
        body && kafka_add_partitions_to_txn_response_decode(body, &ac->arena, ASK_VERSION, &response) == OK;

    for (int32_t i = 0; i < ac->count; i++)
        ac->list[i]->error = ok ? answer_for(&response, ac->list[i]) : KAFKA_NETWORK_EXCEPTION;
    for (int32_t i = 0; i < ac->count; i++)
        ask_over(ac->list[i], ac->list[i]->error);
    arena_free(&ac->arena);
    free(ac);
}

/* -- questions -- */

static bool same_txn(const struct txn_ask *a, const struct txn_ask *b)
{
    return a->producer_id == b->producer_id && a->producer_epoch == b->producer_epoch && a->add == b->add &&
           str_eq(a->transactional_id, b->transactional_id);
}

/* One transaction of the request: all asks of it, each with a topic of its own. */
static bool fill_txn(struct ask_call *ac, int32_t first, bool *done,
                     struct kafka_add_partitions_to_txn_request_transaction *out)
{
    const struct txn_ask *ask = ac->list[first];

    out->transactional_id = ask->transactional_id;
    out->producer_id = ask->producer_id;
    out->producer_epoch = ask->producer_epoch;
    out->verify_only = !ask->add;
    out->topics = arena_calloc(&ac->arena, (size_t)ac->count, sizeof(*out->topics));
    if (!out->topics)
        return false;
    for (int32_t i = first; i < ac->count; i++) {
        if (done[i] || !same_txn(ask, ac->list[i]))
            continue;
        done[i] = true;
        out->topics[out->topics_count++] = (struct kafka_add_partitions_to_txn_request_topic){
            .name = ac->list[i]->topic, .partitions = &ac->list[i]->index, .partitions_count = 1};
    }
    return true;
}

static bool fill(struct ask_call *ac)
{
    bool done[ASKS_PER_CALL] = {false};

    kafka_add_partitions_to_txn_request_init(&ac->request);
    ac->request.transactions = arena_calloc(&ac->arena, (size_t)ac->count, sizeof(*ac->request.transactions));
    ac->request.transactions_count = 0;
    for (int32_t i = 0; ac->request.transactions && i < ac->count; i++)
        if (!done[i] && !fill_txn(ac, i, done, &ac->request.transactions[ac->request.transactions_count++]))
            return false;
    return ac->request.transactions != NULL;
}

static void encode(struct peer_call *call, struct writer *w)
{
    struct ask_call *ac = CONTAINER_OF(call, struct ask_call, call);

    if (!fill(ac))
        writer_fail(w, ERR_NOMEM);
    else
        kafka_add_partitions_to_txn_request_encode(w, ASK_VERSION, &ac->request);
}

static void start_call(struct txn_asks *asks, int32_t broker_id)
{
    struct ask_call *ac = calloc(1, sizeof(*ac));

    ASSERT(ac);
    ac->asks = asks;
    arena_init(&ac->arena, NULL, 0, CALL_ARENA_BYTES);
    list_for_each_safe (it, tmp, &asks->waiting) {
        struct txn_ask *ask = CONTAINER_OF(it, struct txn_ask, link);
        if (ask->broker_id != broker_id || ac->count == ASKS_PER_CALL)
            continue;
        list_remove(it);
        list_push_back(&asks->sent, it);
        ac->list[ac->count++] = ask;
    }
    ac->call = (struct peer_call){.broker_id = broker_id,
                                  .api_key = KAFKA_API_ADD_PARTITIONS_TO_TXN,
                                  .api_version = ASK_VERSION,
                                  .encode = encode,
                                  .done = on_answer};
    broker_peers_call(asks->shard->peers, &ac->call);
}

/* Which broker coordinates the transaction; -1: nobody just now. */
static int32_t coordinator_of(const struct shard *shard, struct str transactional_id)
{
    const struct image_topic *topic = image_topic_by_name(shard->image, STR_LIT(TXN_TOPIC));
    const struct image_partition *state =
        topic ? image_partition(shard->image, topic,
                                coordinator_partition_of(transactional_id, topic->partitions_count))
              : NULL;

    return state ? state->leader : -1;
}

static void on_send(struct env_task *task)
{
    struct txn_asks *asks = CONTAINER_OF(task, struct txn_asks, send);
    struct list lost;

    list_init(&lost);
    list_for_each_safe (it, tmp, &asks->waiting) {
        struct txn_ask *ask = CONTAINER_OF(it, struct txn_ask, link);
        ask->broker_id = asks->closing ? -1 : coordinator_of(asks->shard, ask->transactional_id);
        if (ask->broker_id >= 0)
            continue;
        list_remove(it);
        list_push_back(&lost, it);
    }
    while (!list_empty(&asks->waiting))
        start_call(asks, CONTAINER_OF(asks->waiting.next, struct txn_ask, link)->broker_id);
    while (!list_empty(&lost))
        ask_over(CONTAINER_OF(lost.next, struct txn_ask, link), KAFKA_COORDINATOR_NOT_AVAILABLE);
}

/* -- life -- */

struct txn_asks *txn_asks_new(struct shard *shard)
{
    struct txn_asks *asks = calloc(1, sizeof(*asks));

    if (!asks)
        return NULL;
    asks->shard = shard;
    list_init(&asks->waiting);
    list_init(&asks->sent);
    env_task_init(&asks->send, on_send);
    return asks;
}

void txn_asks_close(struct txn_asks *asks)
{
    asks->closing = true;
}

void txn_asks_free(struct txn_asks *asks)
{
    if (!asks)
        return;
    ASSERT(list_empty(&asks->waiting) && list_empty(&asks->sent));
    env_task_cancel(&asks->send);
    free(asks);
}

static struct txn_ask *find(const struct list *list, struct str topic, int32_t index, int64_t producer_id)
{
    list_for_each (it, list) {
        struct txn_ask *ask = CONTAINER_OF(it, struct txn_ask, link);
        if (ask->producer_id == producer_id && ask->index == index && str_eq(ask->topic, topic))
            return ask;
    }
    return NULL;
}

static struct txn_ask *find_any(const struct txn_asks *asks, struct str topic, int32_t index,
                                int64_t producer_id)
{
    struct txn_ask *ask = find(&asks->waiting, topic, index, producer_id);

    return ask ? ask : find(&asks->sent, topic, index, producer_id);
}

bool txn_ask_pending(const struct txn_asks *asks, struct str topic, int32_t index, int64_t producer_id)
{
    return find_any(asks, topic, index, producer_id) != NULL;
}

/* Another epoch of the same producer asks on its own: the answer need not be the same. */
void txn_ask_start(struct txn_asks *asks, struct txn_ask *ask)
{
    struct txn_ask *first = find_any(asks, ask->topic, ask->index, ask->producer_id);

    list_init(&ask->same);
    if (first && same_txn(first, ask)) {
        list_push_back(&first->same, &ask->link);
        return;
    }
    list_push_back(&asks->waiting, &ask->link);
    env_defer(asks->shard->env, &asks->send);
}
