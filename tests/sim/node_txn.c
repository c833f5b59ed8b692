/* SPDX-License-Identifier: Apache-2.0 */
/* A transactional producer: transactions of a few records over several partitions, in version 2 of the
 * protocol or in version 1. Half of them are pipes: they read what is committed in the partition of their
 * identity, and commit in the same transaction how far they have come. Rivals share one transactional id and
 * take it from each other; who has lost it may write on for a while without knowing, or without believing it.
 *
 * All that it does goes into the history, and is judged there: its life is not asked whether it was right. */
#include "tests/sim/node_txn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "tests/sim/nodes.h"

#define TICK_US        60000
#define RETRY_US       60000
#define POLLED_MAX     5
#define PIPE_ONE_IN    2
#define ASK_ONE_IN     3 /* pipes that ask where they stand although they know */
#define ABORT_ONE_IN   4
#define LEADERS_ONE_IN 8 /* batches behind which anybody is asked who leads: perhaps one of the past */
#define STALL_ONE_IN   40
#define STALL_US       2000000
#define SLEEP_ONE_IN   500 /* past the time-out of a transaction */
#define SLEEP_US       (TXN_TIMEOUT_MS * 1500)
#define RIVAL_REST_US  2000000
#define POSITION_TRIES 50

static void write_on(struct transactor *x);

static bool dice(struct transactor *x, uint64_t one_in)
{
    return prng_below(&x->c.client.env->prng, one_in) == 0;
}

static bool draining(const struct transactor *x)
{
    return x->c.client.node->cluster->draining;
}

static void rest(struct transactor *x, uint64_t us)
{
    uint64_t now_us = env_now_us(x->c.client.env);
    if (draining(x))
        us = MIN(us, RETRY_US);
    x->rest_until_us = now_us + us;
    env_timer_set(x->c.client.env, &x->again, now_us + us);
}

/* -- the history -- */

static void note_txn(struct transactor *x, enum history_type type, enum history_op op, uint32_t call)
{
    struct history_record record = txn_client_note(&x->c, type, op, -1, call);
    record.txn = x->txn;
    txn_client_record(&x->c, record);
}

static void note_send(struct transactor *x, const struct txn_send *send, enum history_type type,
                      int64_t offset)
{
    struct history_record record = txn_client_note(&x->c, type, HISTORY_PRODUCE, send->partition, 0);
    record.value = send->value;
    record.offset = offset;
    record.txn = x->txn;
    txn_client_record(&x->c, record);
}

static void note_offset(struct transactor *x, enum history_type type, enum history_op op, uint32_t call,
                        int64_t offset)
{
    struct history_record record = txn_client_note(&x->c, type, op, x->identity, call);
    bool epoch_known = (op == HISTORY_COMMITTED) == (type == HISTORY_INVOKE);
    record.group = txn_client_group(x->identity);
    record.offset = offset;
    record.txn = op == HISTORY_COMMIT ? x->txn : 0;
    record.epoch = epoch_known ? txn_client_group_epoch(&x->c, x->identity, x->group_coordinator) : -1;
    txn_client_record(&x->c, record);
}

static void note_poll(struct transactor *x, enum history_type type, uint64_t value, int64_t offset)
{
    struct history_record record = txn_client_note(&x->c, type, HISTORY_POLL, x->identity, x->poll_call);
    record.value = value;
    record.offset = offset;
    record.group = txn_client_group(x->identity);
    record.txn = x->txn;
    txn_client_record(&x->c, record);
}

static void note_seek(struct transactor *x)
{
    struct history_record record = txn_client_note(&x->c, HISTORY_OK, HISTORY_SEEK, x->identity, 0);
    record.offset = x->position;
    txn_client_record(&x->c, record);
}

static enum history_op end_op(const struct transactor *x)
{
    return x->commit ? HISTORY_TXN_COMMIT : HISTORY_TXN_ABORT;
}

/* -- a transaction -- */

static enum txn_step first_write(const struct transactor *x)
{
    return x->v1 ? TXN_STEP_ADD : TXN_STEP_PRODUCE;
}

static void begin(struct transactor *x)
{
    struct prng *prng = &x->c.client.env->prng;
    uint32_t call = x->c.client.next_op++;
    x->txn = history_value(x->c.client.process, ++x->counter);
    x->send_count = 1 + (int)prng_below(prng, TXN_SENDS_MAX);
    for (int i = 0; i < x->send_count; i++)
        x->sends[i] = (struct txn_send){.partition = (int32_t)prng_below(prng, TXN_PARTITIONS),
                                        .value = history_value(x->c.client.process, ++x->counter)};
    x->sent = 0;
    x->commit = !dice(x, ABORT_ONE_IN);
    x->pipe = dice(x, PIPE_ONE_IN);
    x->end_asked = x->fenced = x->doubtful = false;
    x->troubled = false;
    x->offset_call = x->stalls = 0;
    note_txn(x, HISTORY_INVOKE, HISTORY_TXN_BEGIN, call);
    note_txn(x, HISTORY_OK, HISTORY_TXN_BEGIN, call);
    x->step = !x->pipe                                 ? first_write(x)
              : x->position < 0 || dice(x, ASK_ONE_IN) ? TXN_STEP_POSITION
                                                       : TXN_STEP_POLL;
}

/* The transaction goes on, or ends, as another producer: what is open in the history stays open. */
static void start_over(struct transactor *x, bool same_producer)
{
    iobuf_unref(x->batch);
    x->batch = NULL;
    x->reinit = same_producer && x->producer_id >= 0;
    x->step = TXN_STEP_INIT;
    x->position = -1;
    x->txn = 0;
    rest(x, x->rival && !same_producer ? prng_below(&x->c.client.env->prng, RIVAL_REST_US) : RETRY_US);
}

static void send_produce(struct transactor *x)
{
    struct txn_send *send = &x->sends[x->sent];
    if (!send->asked)
        note_send(x, send, HISTORY_INVOKE, -1);
    send->asked = true;
    txn_send_produce(x);
    txn_keep_request(x, TXN_REPLAY_PRODUCE);
}

static void send_end(struct transactor *x)
{
    if (!x->end_asked) {
        x->end_call = x->c.client.next_op++;
        note_txn(x, HISTORY_INVOKE, end_op(x), x->end_call);
    }
    x->end_asked = true;
    txn_keep_request(x, TXN_REPLAY_END);
    txn_send_end(x);
}

/* Kafka's hole, and ours: a coordinator that was deposed and does not know it tells old offsets. A pipe that
 * began with them and commits to the next coordinator would read twice; so it does not. */
static bool position_is_stale(const struct transactor *x)
{
    return x->position_epoch != -1 &&
           x->position_epoch != txn_client_group_epoch(&x->c, x->identity, x->group_coordinator);
}

static void send_offsets(struct transactor *x)
{
    if (position_is_stale(x)) {
        x->commit = x->pipe = false;
        x->position = -1;
        x->step = TXN_STEP_END;
        send_end(x);
        return;
    }
    if (x->offset_call == 0) {
        x->offset_call = x->c.client.next_op++;
        note_offset(x, HISTORY_INVOKE, HISTORY_COMMIT, x->offset_call, x->next_position);
    }
    txn_keep_request(x, TXN_REPLAY_OFFSETS);
    txn_send_offsets(x);
}

static void send_position(struct transactor *x)
{
    x->offset_call = x->c.client.next_op++;
    note_offset(x, HISTORY_INVOKE, HISTORY_COMMITTED, x->offset_call, -1);
    x->position_epoch = txn_client_group_epoch(&x->c, x->identity, x->group_coordinator);
    txn_client_ask_offset(&x->c, x->identity, x->group_coordinator);
}

static void send_poll(struct transactor *x)
{
    x->poll_call = x->c.client.next_op++;
    note_poll(x, HISTORY_INVOKE, 0, -1);
    bool known = txn_client_ask_records(&x->c, x->identity, x->position);
    ASSERT(known);
}

/* -- whom to ask -- */

static bool look_up(struct transactor *x, int32_t *known, const char *key, int8_t type)
{
    if (*known >= 0)
        return false;
    txn_client_ask_coordinator(&x->c, key, type);
    return true;
}

static bool look_up_leader(struct transactor *x, int32_t partition)
{
    if (!x->c.stale && x->c.leaders[partition] >= 0)
        return false;
    txn_client_ask_leaders(&x->c);
    return true;
}

/* True: somebody is asked who has to be asked. */
static bool looks_up(struct transactor *x)
{
    switch (x->step) {
    case TXN_STEP_TOPIC:
    case TXN_STEP_IDLE: return false;
    case TXN_STEP_INIT:
    case TXN_STEP_ADD:
    case TXN_STEP_ADD_OFFSETS:
    case TXN_STEP_END: return look_up(x, &x->coordinator, x->id, 1);
    case TXN_STEP_POSITION:
    case TXN_STEP_OFFSETS: return look_up(x, &x->group_coordinator, x->c.group, 0);
    case TXN_STEP_POLL: return look_up_leader(x, x->identity);
    case TXN_STEP_PRODUCE: return look_up_leader(x, x->sends[x->sent].partition);
    }
    return false;
}

static void write_on(struct transactor *x)
{
    if (x->busy || env_now_us(x->c.client.env) < x->rest_until_us)
        return;
    if (x->step == TXN_STEP_IDLE && !draining(x))
        begin(x);
    x->busy = x->step != TXN_STEP_IDLE;
    if (looks_up(x))
        return;
    switch (x->step) {
    case TXN_STEP_TOPIC: txn_send_create(x); return;
    case TXN_STEP_INIT: txn_send_init(x); return;
    case TXN_STEP_IDLE: return;
    case TXN_STEP_POSITION: send_position(x); return;
    case TXN_STEP_POLL: send_poll(x); return;
    case TXN_STEP_ADD:
        txn_keep_request(x, TXN_REPLAY_ADD);
        txn_send_add(x);
        return;
    case TXN_STEP_PRODUCE: send_produce(x); return;
    case TXN_STEP_ADD_OFFSETS: txn_send_add_offsets(x); return;
    case TXN_STEP_OFFSETS: send_offsets(x); return;
    case TXN_STEP_END: send_end(x); return;
    }
}

/* -- what went well -- */

static void ended(struct transactor *x, const struct kafka_end_txn_response *response)
{
    note_txn(x, HISTORY_OK, end_op(x), x->end_call);
    x->step = TXN_STEP_IDLE;
    x->txn = 0;
    if (!x->v1) {
        x->epoch = response->producer_id == x->producer_id ? response->producer_epoch : x->epoch;
        txn_keep_markers(x);
        x->producer_id = response->producer_id;
        x->epoch = response->producer_epoch;
        memset(x->sequences, 0, sizeof(x->sequences));
    } else if (x->troubled || x->doubtful) { /* what is still under way must not meet the next one */
        x->reinit = true;
        x->step = TXN_STEP_INIT;
    }
    if (x->pipe && x->commit) {
        x->position = x->next_position;
        x->position_epoch = -1;
    } else if (x->pipe && x->position >= 0) {
        note_seek(x);
    }
}

static void sent_one(struct transactor *x)
{
    iobuf_unref(x->batch);
    x->batch = NULL;
    x->c.stale |= dice(x, LEADERS_ONE_IN);
    if (++x->sent == x->send_count)
        x->step = !x->pipe ? TXN_STEP_END : x->v1 ? TXN_STEP_ADD_OFFSETS : TXN_STEP_OFFSETS;
}

static void produced(struct transactor *x, const struct kafka_produce_response *response)
{
    struct txn_send *send = &x->sends[x->sent];
    note_send(x, send, HISTORY_OK, response->topics[0].partitions[0].base_offset);
    send->answered = true;
    x->sequences[send->partition]++;
    sent_one(x);
    if (dice(x, STALL_ONE_IN))
        rest(x, prng_below(&x->c.client.env->prng, STALL_US));
    else if (dice(x, SLEEP_ONE_IN))
        rest(x, SLEEP_US);
}

static void initialized(struct transactor *x, const struct kafka_init_producer_id_response *response)
{
    x->producer_id = response->producer_id;
    x->epoch = response->producer_epoch;
    memset(x->sequences, 0, sizeof(x->sequences));
    x->reinit = false;
    x->step = TXN_STEP_IDLE;
}

static void step_done(struct transactor *x, const struct client_reply *reply)
{
    switch (x->step) {
    case TXN_STEP_TOPIC: x->step = TXN_STEP_INIT; return;
    case TXN_STEP_INIT: initialized(x, reply->message); return;
    case TXN_STEP_ADD: x->step = TXN_STEP_PRODUCE; return;
    case TXN_STEP_PRODUCE: produced(x, reply->message); return;
    case TXN_STEP_ADD_OFFSETS: x->step = TXN_STEP_OFFSETS; return;
    case TXN_STEP_OFFSETS:
        note_offset(x, HISTORY_OK, HISTORY_COMMIT, x->offset_call, x->next_position);
        x->step = TXN_STEP_END;
        return;
    case TXN_STEP_END: ended(x, reply->message); return;
    case TXN_STEP_IDLE:
    case TXN_STEP_POSITION:
    case TXN_STEP_POLL: return;
    }
}

/* -- what did not -- */

static void ask_anew(struct transactor *x, int16_t error)
{
    if (error == KAFKA_CONCURRENT_TRANSACTIONS)
        return;
    if (x->step == TXN_STEP_PRODUCE)
        x->c.stale = true;
    else if (x->step == TXN_STEP_OFFSETS)
        x->group_coordinator = -1;
    else
        x->coordinator = -1;
}

/* Whether its end may have come about all the same: an attempt was not answered, or somebody sent it again.
 */
static bool may_have_ended(const struct transactor *x)
{
    const struct txn_replays *replays = &x->c.client.node->cluster->replays;
    return x->doubtful || (replays->ended_again[x->identity].producer_id == x->producer_id &&
                           replays->ended_again[x->identity].epoch == x->epoch);
}

/* Batches are sent one by one, each until it is answered: unless a leader lost records, none is missing in
 * front of another. */
static void judge_refusal(const struct transactor *x, int16_t error)
{
    struct cluster *cluster = x->c.client.node->cluster;
    if (error == KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER && !x->fenced && !cluster->options.unclean_elections)
        cluster_unhealthy(cluster, x->c.client.node, error, 0);
}

static void refused(struct transactor *x, int16_t error)
{
    judge_refusal(x, error);
    bool disbelieves =
        x->step == TXN_STEP_PRODUCE && txn_error_is_fencing(error) && (x->fenced || dice(x, 2));
    if (disbelieves) { /* a zombie: nothing of the rest may ever be seen, whatever is asked */
        x->fenced = true;
        sent_one(x);
        write_on(x);
    } else if (error == KAFKA_TRANSACTION_ABORTABLE && x->step != TXN_STEP_END && x->step != TXN_STEP_INIT) {
        iobuf_unref(x->batch);
        x->batch = NULL;
        x->commit = false;
        x->step = TXN_STEP_END;
        write_on(x);
    } else {
        if (x->step == TXN_STEP_END)
            note_txn(x, may_have_ended(x) ? HISTORY_INFO : HISTORY_FAIL, end_op(x), x->end_call);
        start_over(x, x->step != TXN_STEP_INIT && !txn_error_is_fencing(error) && dice(x, 2));
    }
}

static void on_write(struct transactor *x, const struct client_reply *reply)
{
    int16_t error = reply->failure.err == OK ? txn_error_in(reply) : KAFKA_REQUEST_TIMED_OUT;
    if (error == KAFKA_NONE) {
        step_done(x, reply);
        if (x->step != TXN_STEP_IDLE)
            write_on(x);
        return;
    }
    world_trace(x->c.client.node->cluster->world, "x%u: %s, transaction %u, step %d: error %d",
                x->c.client.process, x->id, (unsigned)x->txn, (int)x->step, error);
    ask_anew(x, error);
    if (txn_error_is_final(error)) {
        refused(x, error);
        return;
    }
    x->troubled = true;
    x->doubtful |= x->step == TXN_STEP_END;
    rest(x, RETRY_US);
}

/* -- the pipe's reading -- */

static void on_position(struct transactor *x, const struct client_reply *reply)
{
    int64_t offset = -1;
    int16_t error =
        reply->failure.err == OK ? txn_client_offset(reply->message, &offset) : KAFKA_REQUEST_TIMED_OUT;
    if (error != KAFKA_NONE) {
        note_offset(x, HISTORY_FAIL, HISTORY_COMMITTED, x->offset_call, -1);
        if (error != KAFKA_UNSTABLE_OFFSET_COMMIT)
            x->group_coordinator = -1;
        x->pipe = ++x->stalls < POSITION_TRIES;
        x->step = x->pipe ? TXN_STEP_POSITION : first_write(x);
        x->position = -1;
        x->offset_call = 0;
        rest(x, RETRY_US);
        return;
    }
    note_offset(x, HISTORY_OK, HISTORY_COMMITTED, x->offset_call, offset);
    x->offset_call = 0;
    x->position = MAX(offset, 0);
    note_seek(x);
    x->step = TXN_STEP_POLL;
    write_on(x);
}

struct polled {
    struct transactor *x;
    int count;
};

static bool poll_one(void *ctx, const struct record *record, uint64_t value)
{
    struct polled *polled = ctx;
    note_poll(polled->x, HISTORY_OK, value, record->offset);
    return ++polled->count < POLLED_MAX;
}

static void on_poll(struct transactor *x, const struct client_reply *reply)
{
    struct polled polled = {.x = x};
    const struct kafka_fetch_response_partition *in =
        reply->failure.err == OK ? txn_client_records(&x->c, reply->message) : NULL;
    x->c.stale |= in == NULL;
    x->next_position = in ? txn_client_each_record(&x->c, in, x->position, poll_one, &polled) : x->position;
    x->pipe = polled.count > 0;
    x->step = first_write(x);
    write_on(x);
}

/* -- answers -- */

static void on_looked_up(struct transactor *x, const struct client_reply *reply)
{
    bool good = reply->failure.err == OK;
    if (reply->api_key == KAFKA_API_METADATA) {
        x->c.stale = true;
        if (good)
            txn_client_take_leaders(&x->c, reply->message);
    } else {
        int32_t node = good ? txn_client_coordinator(reply->message) : -1;
        good = node >= 0;
        if (x->c.find.key_type == 1)
            x->coordinator = node;
        else
            x->group_coordinator = node;
    }
    rest(x, good ? 1 : RETRY_US);
}

static void on_reply(void *ctx, const struct client_reply *reply)
{
    struct transactor *x = ctx;
    x->busy = false;
    if (reply->api_key == KAFKA_API_METADATA || reply->api_key == KAFKA_API_FIND_COORDINATOR)
        on_looked_up(x, reply);
    else if (x->step == TXN_STEP_POSITION)
        on_position(x, reply);
    else if (x->step == TXN_STEP_POLL)
        on_poll(x, reply);
    else
        on_write(x, reply);
}

static void on_topic(void *ctx, struct client_topic *topic, struct client_failure failure)
{
}

static const struct client_driver_handler handler = {.topic = on_topic, .reply = on_reply};

/* -- life -- */

static void on_again(struct env_timer *timer)
{
    write_on(CONTAINER_OF(timer, struct transactor, again));
}

static void on_tick(struct env_timer *timer)
{
    struct transactor *x = CONTAINER_OF(timer, struct transactor, tick);
    struct env *env = x->c.client.env;
    uint32_t *open = &x->c.client.node->cluster->txns.open, bit = 1u << x->c.client.node->id;
    write_on(x);
    *open = draining(x) && x->step == TXN_STEP_IDLE && !x->busy ? *open & ~bit : *open | bit;
    env_timer_set(env, timer, env_now_us(env) + 1 + prng_below(&env->prng, 2ull * TICK_US));
}

/* Rivals are the first and the last, with the id of the first. */
static void find_identity(struct transactor *x, const struct node *node)
{
    const struct cluster_options *options = &node->cluster->options;
    bool last = node->id == options->transactors;
    x->identity = options->txn_rivals && last ? 0 : node->id - 1;
    x->rival = options->txn_rivals && x->identity == 0;
    x->v1 = (options->txn_v1 >> x->identity & 1) != 0;
    txn_client_id(x->identity, x->id);
    snprintf(x->c.group, sizeof(x->c.group), "tg%d", x->identity);
}

static bool txn_begin(struct node *node, struct env *env)
{
    struct transactor *x = calloc(1, sizeof(*x));
    node->object = x;
    txn_client_open(&x->c, node, env, &handler);
    find_identity(x, node);
    x->coordinator = x->group_coordinator = -1;
    x->producer_id = -1;
    x->position = x->position_epoch = -1;
    env_timer_init(&x->tick, on_tick);
    env_timer_init(&x->again, on_again);
    on_tick(&x->tick);
    return true;
}

static void txn_end(struct node *node)
{
    struct transactor *x = node->object;
    env_timer_cancel(x->c.client.env, &x->tick);
    env_timer_cancel(x->c.client.env, &x->again);
    client_node_close(&x->c.client);
}

static void txn_let_go(struct node *node)
{
    struct transactor *x = node->object;
    iobuf_unref(x->batch);
    txn_client_free(&x->c);
    free(x);
    node->object = NULL;
}

const struct role_ops role_txn = {
    .name = "transactor", .begin = txn_begin, .stop = txn_end, .free = txn_let_go};
