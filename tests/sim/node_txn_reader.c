/* SPDX-License-Identifier: Apache-2.0 */
/* A reader of committed records: all partitions of the transactions' topic in turn while they are written,
 * and now and then from the beginning. At the end, when no transaction is under way any more (or does not
 * come to an end), everything once more, what is stable and what is not, and where the groups stand. */
#include <stdlib.h>

#include "common/base/assert.h"
#include "tests/sim/nodes.h"
#include "tests/sim/observe.h"
#include "tests/sim/txn_client.h"

#define TICK_US      60000
#define AGAIN_ONE_IN 40
#define PATIENCE_US                                                                                          \
    35000000     /* with transactions that do not end, and with logs that are not stable at the end */
#define GROUPS 2 /* of the first input partitions */

struct txn_reader {
    struct txn_client c; /* first */
    struct env_timer tick;
    bool busy, final, offsets; /* offsets: the records are read, the groups are asked for */
    int32_t partition;         /* read at present; in the end the group's */
    int32_t coordinator;
    int64_t positions[TXN_PARTITIONS];
    uint32_t call;
    bool any;
    uint64_t since_us; /* when it began to wait for the end */
};

static struct cluster *cluster_of(const struct txn_reader *r)
{
    return r->c.client.node->cluster;
}

static bool patient(const struct txn_reader *r)
{
    return env_now_us(r->c.client.env) < r->since_us + PATIENCE_US;
}

/* -- the history -- */

static void note_poll(struct txn_reader *r, enum history_type type, uint64_t value, int64_t offset)
{
    struct history_record record = txn_client_note(&r->c, type, HISTORY_POLL, r->partition, r->call);
    record.value = value;
    record.offset = offset;
    record.flags = r->final ? HISTORY_FINAL : 0;
    txn_client_record(&r->c, record);
}

static void note_start(struct txn_reader *r, enum history_op op, int32_t partition)
{
    struct history_record record = txn_client_note(&r->c, HISTORY_OK, op, partition, 0);
    record.offset = 0;
    r->positions[partition] = 0;
    txn_client_record(&r->c, record);
}

/* What the leader says of the end of a log, after everything. */
static void note_end(struct txn_reader *r, enum history_what what, int64_t offset)
{
    struct history_record record =
        txn_client_note(&r->c, HISTORY_INVOKE, HISTORY_SAMPLE, r->partition, r->c.client.next_op++);
    record.what = (uint8_t)what;
    record.flags = HISTORY_FINAL;
    txn_client_record(&r->c, record);
    record.type = HISTORY_OK;
    record.offset = offset;
    txn_client_record(&r->c, record);
}

static void note_committed(struct txn_reader *r, enum history_type type, int64_t offset)
{
    struct history_record record = txn_client_note(&r->c, type, HISTORY_COMMITTED, r->partition, r->call);
    record.group = txn_client_group(r->partition);
    record.offset = offset;
    record.epoch = type == HISTORY_INVOKE ? txn_client_group_epoch(&r->c, r->partition, r->coordinator) : -1;
    txn_client_record(&r->c, record);
}

/* -- records -- */

static bool read_one(void *ctx, const struct record *record, uint64_t value)
{
    struct txn_reader *r = ctx;
    note_poll(r, HISTORY_OK, value, record->offset);
    r->any = true;
    return true;
}

static void next_partition(struct txn_reader *r)
{
    if (++r->partition < TXN_PARTITIONS)
        return;
    r->partition = 0;
    r->offsets = r->final;
}

/* The end of a partition: stable, or given up. */
static bool at_end(const struct txn_reader *r, const struct kafka_fetch_response_partition *in)
{
    int64_t position = r->positions[r->partition];
    if (position < in->last_stable_offset)
        return false;
    /* a new leader does not know yet that all of its log is committed */
    return position == cluster_log_end(cluster_of(r), TXN_TOPIC, r->partition) || !patient(r);
}

static void part_done(struct txn_reader *r, const struct kafka_fetch_response_partition *in)
{
    note_end(r, HISTORY_LAST_STABLE, in->last_stable_offset);
    note_end(r, HISTORY_HIGH_WATERMARK, in->high_watermark);
    cluster_of(r)->ends[CLUSTER_TXN_TOPIC][r->partition] = in->high_watermark;
}

static void on_records(struct txn_reader *r, const struct client_reply *reply)
{
    const struct kafka_fetch_response_partition *in =
        reply->failure.err == OK ? txn_client_records(&r->c, reply->message) : NULL;
    r->c.stale |= in == NULL;
    if (in == NULL)
        return;
    r->any = false;
    r->positions[r->partition] = txn_client_each_record(&r->c, in, r->positions[r->partition], read_one, r);
    if (!r->any && r->positions[r->partition] >= in->last_stable_offset)
        note_poll(r, HISTORY_OK, 0, -1);
    if (r->final && !at_end(r, in))
        return;
    if (r->final)
        part_done(r, in);
    next_partition(r);
}

static void ask_records(struct txn_reader *r)
{
    bool again = !r->final && prng_below(&r->c.client.env->prng, AGAIN_ONE_IN) == 0;
    if (again)
        note_start(r, HISTORY_SEEK, r->partition);
    r->call = r->c.client.next_op++;
    r->busy = txn_client_ask_records(&r->c, r->partition, r->positions[r->partition]);
    if (r->busy)
        note_poll(r, HISTORY_INVOKE, 0, -1);
    r->c.stale |= !r->busy;
}

/* -- groups -- */

static void done(struct txn_reader *r)
{
    cluster_of(r)->txns.judged = true;
}

static void on_offset(struct txn_reader *r, const struct client_reply *reply)
{
    int64_t offset = -1;
    int16_t error =
        reply->failure.err == OK ? txn_client_offset(reply->message, &offset) : KAFKA_REQUEST_TIMED_OUT;
    note_committed(r, error == KAFKA_NONE ? HISTORY_OK : HISTORY_FAIL, offset);
    if (error != KAFKA_NONE && error != KAFKA_UNSTABLE_OFFSET_COMMIT)
        r->coordinator = -1;
    if (error != KAFKA_NONE) /* for ever, if its transaction hangs: the run says so */
        return;
    r->coordinator = -1;
    if (++r->partition == GROUPS)
        done(r);
}

static void ask_offset(struct txn_reader *r)
{
    static const char *const groups[GROUPS] = {"tg0", "tg1"};
    r->busy = true;
    if (r->coordinator < 0) {
        txn_client_ask_coordinator(&r->c, groups[r->partition], 0);
        return;
    }
    r->call = r->c.client.next_op++;
    note_committed(r, HISTORY_INVOKE, -1);
    txn_client_ask_offset(&r->c, r->partition, r->coordinator);
}

/* -- life -- */

static void on_reply(void *ctx, const struct client_reply *reply)
{
    struct txn_reader *r = ctx;
    r->busy = false;
    if (reply->api_key == KAFKA_API_FETCH)
        on_records(r, reply);
    else if (reply->api_key == KAFKA_API_OFFSET_FETCH)
        on_offset(r, reply);
    else if (reply->api_key == KAFKA_API_FIND_COORDINATOR)
        r->coordinator = reply->failure.err == OK ? txn_client_coordinator(reply->message) : -1;
    else if (reply->failure.err == OK)
        txn_client_take_leaders(&r->c, reply->message);
}

static void on_topic(void *ctx, struct client_topic *topic, struct client_failure failure)
{
}

static const struct client_driver_handler handler = {.topic = on_topic, .reply = on_reply};

/* Nothing is under way any more, or for too long. */
static void look_for_end(struct txn_reader *r)
{
    if (!cluster_of(r)->draining || r->final)
        return;
    if (r->since_us == 0)
        r->since_us = env_now_us(r->c.client.env);
    if (cluster_of(r)->txns.open != 0 && patient(r))
        return;
    r->final = true;
    r->since_us = env_now_us(r->c.client.env);
    r->partition = 0;
    for (int32_t p = 0; p < TXN_PARTITIONS; p++)
        note_start(r, HISTORY_SEEK, p);
}

static void read_on(struct txn_reader *r)
{
    if (r->busy || cluster_of(r)->txns.judged)
        return;
    look_for_end(r);
    if (r->offsets) {
        ask_offset(r);
    } else if (r->c.stale) {
        r->busy = true;
        txn_client_ask_leaders(&r->c);
    } else {
        ask_records(r);
    }
}

static void on_tick(struct env_timer *timer)
{
    struct txn_reader *r = CONTAINER_OF(timer, struct txn_reader, tick);
    struct env *env = r->c.client.env;
    read_on(r);
    uint64_t next_us = r->final ? TICK_US / 10 : 1 + prng_below(&env->prng, 2ull * TICK_US);
    env_timer_set(env, timer, env_now_us(env) + next_us);
}

static bool reader_begin(struct node *node, struct env *env)
{
    struct txn_reader *r = calloc(1, sizeof(*r));
    node->object = r;
    txn_client_open(&r->c, node, env, &handler);
    r->coordinator = -1;
    for (int32_t p = 0; p < TXN_PARTITIONS; p++)
        note_start(r, HISTORY_ASSIGN, p);
    env_timer_init(&r->tick, on_tick);
    on_tick(&r->tick);
    return true;
}

static void reader_end(struct node *node)
{
    struct txn_reader *r = node->object;
    env_timer_cancel(r->c.client.env, &r->tick);
    client_node_close(&r->c.client);
}

static void reader_let_go(struct node *node)
{
    struct txn_reader *r = node->object;
    txn_client_free(&r->c);
    free(r);
    node->object = NULL;
}

const struct role_ops role_txn_reader = {
    .name = "reader of transactions", .begin = reader_begin, .stop = reader_end, .free = reader_let_go};
