/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/shard/txn_coordinator.h"

#include <stdlib.h>

#include "broker/config.h"
#include "broker/shard/txn_markers.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"

#define CALL_WAIT_MS 2000 /* the most that a call waits for the transaction before it */

struct txn_core {
    struct core_alloc alloc;
    struct txn_settings settings;
    struct txns *txns;
    struct coordinator *coordinator;
    struct txn_sender *sender;
    uint64_t bytes; /* held by the core */
};

static void *resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
    struct txn_core *core = ctx;
    void *p = NULL;

    if (new_size == 0)
        free(old);
    else
        p = realloc(old, new_size);
    if (p || new_size == 0)
        core->bytes += new_size - old_size;
    return p;
}

static void on_marked(void *ctx, uint64_t token, struct str topic, int32_t index)
{
    struct txn_core *core = ctx;
    int16_t error;

    if (coordinator_enter(core->coordinator, &error) != core)
        return;
    txns_marker_done(core->txns, token, topic, index);
    coordinator_touched(core->coordinator);
}

static void *txn_open(struct shard *shard, struct coordinator *coordinator, int32_t leader_epoch)
{
    const struct broker_config *config = shard->broker->config;
    struct txn_core *core = calloc(1, sizeof(*core));

    if (!core)
        return NULL;
    core->alloc = (struct core_alloc){.ctx = core, .resize = resize};
    core->coordinator = coordinator;
    core->settings = (struct txn_settings){.timeout_max_ms = config->transaction_max_timeout_ms,
                                           .expiration_ms = config->transactional_id_expiration_ms,
                                           .expiry_check_ms = config->transaction_expiry_check_ms,
                                           .wait_ms = CALL_WAIT_MS};
    core->sender = txn_sender_new(shard, leader_epoch, on_marked, core);
    core->txns = core->sender ? txns_new(&core->alloc, &core->settings) : NULL;
    if (!core->txns)
        return NULL;
    txns_set_time(core->txns, env_now_us(shard->env), env_wall_ms(shard->env));
    return core;
}

static struct txns *txns_of(const void *core)
{
    return ((const struct txn_core *)core)->txns;
}

static enum err txn_replay(void *core, const uint8_t *batch, const struct record *record)
{
    return batch_is_control(batch) ? OK : txns_replay(txns_of(core), record->key, record->value);
}

static void txn_loaded(void *core)
{
    txns_loaded(txns_of(core));
}

static void txn_set_time(void *core, uint64_t now_us, int64_t wall_ms)
{
    txns_set_time(txns_of(core), now_us, wall_ms);
}

static void txn_tick(void *core)
{
    txns_tick(txns_of(core));
}

static uint64_t txn_deadline(const void *core)
{
    return txns_deadline(txns_of(core));
}

static bool txn_take_write(void *core, struct coordinator_write *ret)
{
    return txns_take_write(txns_of(core), ret);
}

static void txn_committed(void *core, uint64_t seq)
{
    txns_committed(txns_of(core), seq);
}

static void txn_failed(void *core, uint64_t first, uint64_t last, int16_t error)
{
    txns_failed(txns_of(core), first, last, error);
}

/* -- producer ids: a call that needs one is made again with it -- */

static void on_id(struct producer_id_wait *wait, int16_t error, int64_t id)
{
    struct txn_request *request = CONTAINER_OF(wait, struct txn_request, id_wait);

    request->call.settled = false;
    request->call.fresh_id = id;
    if (error == KAFKA_NONE && txn_submit(request->shard, request->topic_id, request->index, request))
        return;
    if (error != KAFKA_NONE)
        request->call.error = error;
    request->done(request);
}

static void answer(struct txn_request *request)
{
    if (!request->call.needs_id) {
        request->done(request);
        return;
    }
    request->id_wait.done = on_id;
    producer_id_take(request->shard, &request->id_wait);
}

static void txn_deliver(void *ctx)
{
    struct txn_core *core = ctx;
    struct txn_markers markers;
    struct txn_call *call;

    while (txns_take_markers(core->txns, &markers))
        txn_sender_add(core->sender, &markers);
    while ((call = txns_take_settled(core->txns)) != NULL)
        answer(CONTAINER_OF(call, struct txn_request, call));
}

static void txn_close(void *ctx)
{
    struct txn_core *core = ctx;
    struct txn_call *call;

    txn_sender_close(core->sender);
    core->coordinator = NULL;
    txns_end(core->txns);
    while ((call = txns_take_settled(core->txns)) != NULL) {
        struct txn_request *request = CONTAINER_OF(call, struct txn_request, call);
        if (call->needs_id)
            call->error = KAFKA_NOT_COORDINATOR;
        request->done(request);
    }
    txns_free(core->txns);
    ASSERT(core->bytes == 0);
    free(core);
}

const struct coordinator_type txn_coordinator_type = {
    .topic = TXN_TOPIC,
    .open = txn_open,
    .replay = txn_replay,
    .loaded = txn_loaded,
    .set_time = txn_set_time,
    .tick = txn_tick,
    .deadline = txn_deadline,
    .take_write = txn_take_write,
    .committed = txn_committed,
    .failed = txn_failed,
    .deliver = txn_deliver,
    .close = txn_close,
};

/* A deposed leader that does not know it yet must not say that a transaction is open. */
static bool may_answer(const struct shard *shard, const struct txn_call *call)
{
    return call->type != TXN_CALL_VERIFY || broker_session_lives(shard->broker, env_now_us(shard->env));
}

bool txn_submit(struct shard *shard, struct uuid topic_id, int32_t index, struct txn_request *request)
{
    struct coordinator *c = coordinator_find(shard, topic_id, index);
    struct txn_core *core = coordinator_enter(c, &request->call.error);

    if (!core)
        return false;
    if (!may_answer(shard, &request->call)) {
        request->call.error = KAFKA_COORDINATOR_NOT_AVAILABLE;
        return false;
    }
    request->shard = shard;
    request->topic_id = topic_id;
    request->index = index;
    txns_call(core->txns, &request->call);
    coordinator_touched(c);
    return true;
}
