/* SPDX-License-Identifier: Apache-2.0 */
/* One who sends requests of transactions again, some moments or many seconds after their clients: nothing may
 * come of it. (N6 of the facts: duplicates and late deliveries.) What clients see, before and after, is
 * judged as ever. */
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "tests/sim/node_txn.h"
#include "tests/sim/nodes.h"

#define TICK_US        40000
#define MARKER_VERSION 2

struct replayer {
    struct txn_client c; /* first */
    struct env_timer tick;
    bool busy;
    struct txn_replay what;
    char id[TXN_ID_MAX];
    int32_t partition;
    struct iobuf *batch;
    struct txn_request request;
    struct kafka_write_txn_markers_request markers;
    struct kafka_write_txn_markers_request_topic topic;
    struct kafka_write_txn_markers_request_marker marker;
};

static struct cluster *cluster_of(const struct replayer *r)
{
    return r->c.client.node->cluster;
}

static struct txn_who who(const struct replayer *r)
{
    return (struct txn_who){
        .id = r->id, .producer_id = r->what.producer_id, .epoch = r->what.epoch, .v1 = r->what.v1};
}

static void send_produce(struct replayer *r, int32_t node)
{
    struct txn_who sender = who(r);
    iobuf_unref(r->batch);
    r->batch = iobuf_get(r->c.client.env->pool, r->what.len);
    ASSERT(r->batch != NULL);
    r->batch->len = r->what.len;
    memcpy(r->batch->data, r->what.batch, r->what.len);
    txn_request_produce(&r->c, &r->request, &sender, r->what.partition, r->batch, node);
}

static void send_add(struct replayer *r, int32_t node)
{
    struct txn_who sender = who(r);
    r->partition = r->what.partition;
    txn_request_add(&r->c, &r->request, &sender, &r->partition, 1, node);
}

static void send_offsets(struct replayer *r, int32_t node)
{
    struct txn_who sender = who(r);
    txn_request_offsets(&r->c, &r->request, &sender, r->what.identity, r->what.offset, node);
}

/* It may be the one that counts: its client, behind it, may hear that somebody else has gone on since. */
static void note_end(const struct replayer *r)
{
    struct txn_replays *replays = &cluster_of(r)->replays;
    int32_t identity = r->what.identity;
    bool same = replays->ended_again[identity].producer_id == r->what.producer_id;
    if (same && replays->ended_again[identity].epoch > r->what.epoch)
        return;
    replays->ended_again[identity].producer_id = r->what.producer_id;
    replays->ended_again[identity].epoch = r->what.epoch;
}

static void send_end(struct replayer *r, int32_t node)
{
    struct txn_who sender = who(r);
    note_end(r);
    txn_request_end(&r->c, &r->request, &sender, r->what.commit, node);
}

static void send_marker(struct replayer *r, int32_t node)
{
    kafka_write_txn_markers_request_init(&r->markers);
    memset(&r->topic, 0, sizeof(r->topic));
    kafka_write_txn_markers_request_marker_init(&r->marker);
    r->partition = r->what.partition;
    r->topic.name = STR_LIT(TXN_TOPIC);
    r->topic.partition_indexes = &r->partition;
    r->topic.partition_indexes_count = 1;
    r->marker.producer_id = r->what.producer_id;
    r->marker.producer_epoch = r->what.epoch;
    r->marker.transaction_result = r->what.commit;
    r->marker.coordinator_epoch = r->what.coordinator_epoch;
    r->marker.transaction_version = MARKER_VERSION;
    r->marker.topics = &r->topic;
    r->marker.topics_count = 1;
    r->markers.markers = &r->marker;
    r->markers.markers_count = 1;
    txn_client_call(&r->c, KAFKA_API_WRITE_TXN_MARKERS, MARKER_VERSION, &r->markers, node, false);
}

/* To whom it goes now; -1: to nobody that is known. */
static int32_t receiver(const struct replayer *r)
{
    const struct txn_replays *replays = &cluster_of(r)->replays;
    switch (r->what.kind) {
    case TXN_REPLAY_PRODUCE:
    case TXN_REPLAY_MARKER: return r->c.leaders[r->what.partition];
    case TXN_REPLAY_ADD:
    case TXN_REPLAY_END: return replays->coordinator[r->what.identity];
    case TXN_REPLAY_OFFSETS: return replays->group_coordinator[r->what.identity];
    }
    return -1;
}

static void replay(struct replayer *r)
{
    static void (*const sends[])(struct replayer * r, int32_t node) = {[TXN_REPLAY_PRODUCE] = send_produce,
                                                                       [TXN_REPLAY_ADD] = send_add,
                                                                       [TXN_REPLAY_OFFSETS] = send_offsets,
                                                                       [TXN_REPLAY_END] = send_end,
                                                                       [TXN_REPLAY_MARKER] = send_marker};
    const struct txn_replays *replays = &cluster_of(r)->replays;
    uint64_t kept = MIN(replays->count, TXN_REPLAYS_MAX);
    if (kept == 0)
        return;
    r->what = replays->list[prng_below(&r->c.client.env->prng, kept)];
    txn_client_id(r->what.identity, r->id);
    int32_t node = receiver(r);
    r->busy = node >= 0;
    if (r->busy)
        sends[r->what.kind](r, node);
}

/* -- answers -- */

static int16_t error_in_markers(const struct kafka_write_txn_markers_response *response)
{
    bool whole = response->markers_count == 1 && response->markers[0].topics_count == 1 &&
                 response->markers[0].topics[0].partitions_count == 1;
    return whole ? response->markers[0].topics[0].partitions[0].error_code : KAFKA_UNKNOWN_SERVER_ERROR;
}

/* What has met somebody counts: it was refused for what it is, or answered as the repetition that it is. */
static void on_replayed(struct replayer *r, const struct client_reply *reply)
{
    uint64_t *reached = cluster_of(r)->reached;
    int16_t error = reply->api_key == KAFKA_API_WRITE_TXN_MARKERS ? error_in_markers(reply->message)
                                                                  : txn_error_in(reply);
    bool marker = r->what.kind == TXN_REPLAY_MARKER;
    reached[marker ? REACH_MARKER_REPLAYED : REACH_REPLAYED] += error == KAFKA_NONE;
    reached[marker ? REACH_MARKER_REPLAY_REFUSED : REACH_REPLAY_REFUSED] += txn_error_is_final(error);
    r->c.stale |= error == KAFKA_NOT_LEADER_OR_FOLLOWER;
    world_trace(cluster_of(r)->world, "replayed %d of %s, producer %lld epoch %d: %d", (int)r->what.kind,
                r->id, (long long)r->what.producer_id, r->what.epoch, error);
}

static void on_reply(void *ctx, const struct client_reply *reply)
{
    struct replayer *r = ctx;
    r->busy = false;
    if (reply->failure.err != OK)
        r->c.stale = true;
    else if (reply->api_key == KAFKA_API_METADATA)
        txn_client_take_leaders(&r->c, reply->message);
    else
        on_replayed(r, reply);
}

static void on_topic(void *ctx, struct client_topic *topic, struct client_failure failure)
{
}

static const struct client_driver_handler handler = {.topic = on_topic, .reply = on_reply};

/* -- life -- */

static void on_tick(struct env_timer *timer)
{
    struct replayer *r = CONTAINER_OF(timer, struct replayer, tick);
    struct env *env = r->c.client.env;
    if (!r->busy && !cluster_of(r)->draining) {
        if (r->c.stale) {
            r->busy = true;
            txn_client_ask_leaders(&r->c);
        } else {
            replay(r);
        }
    }
    env_timer_set(env, timer, env_now_us(env) + 1 + prng_below(&env->prng, 2ull * TICK_US));
}

static bool replayer_begin(struct node *node, struct env *env)
{
    struct replayer *r = calloc(1, sizeof(*r));
    node->object = r;
    txn_client_open(&r->c, node, env, &handler);
    env_timer_init(&r->tick, on_tick);
    on_tick(&r->tick);
    return true;
}

static void replayer_end(struct node *node)
{
    struct replayer *r = node->object;
    env_timer_cancel(r->c.client.env, &r->tick);
    client_node_close(&r->c.client);
}

static void replayer_let_go(struct node *node)
{
    struct replayer *r = node->object;
    iobuf_unref(r->batch);
    txn_client_free(&r->c);
    free(r);
    node->object = NULL;
}

const struct role_ops role_replayer = {
    .name = "replayer", .begin = replayer_begin, .stop = replayer_end, .free = replayer_let_go};
