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
    union {
        struct kafka_produce_request produce;
        struct kafka_add_partitions_to_txn_request add;
        struct kafka_txn_offset_commit_request offsets;
        struct kafka_end_txn_request end;
        struct kafka_write_txn_markers_request markers;
    } write;
    union {
        struct kafka_produce_request_topic produce;
        struct kafka_add_partitions_to_txn_request_topic add;
        struct kafka_txn_offset_commit_request_topic offsets;
        struct kafka_write_txn_markers_request_topic markers;
    } topic;
    union {
        struct kafka_produce_request_partition produce;
        struct kafka_txn_offset_commit_request_partition offsets;
    } part;
    struct kafka_write_txn_markers_request_marker marker;
};

static struct cluster *cluster_of(const struct replayer *r)
{
    return r->c.client.node->cluster;
}

static void send(struct replayer *r, int16_t api, int16_t version, int32_t node)
{
    r->busy = node >= 0;
    if (r->busy)
        txn_client_call(&r->c, api, version, &r->write, node, false);
}

static void send_produce(struct replayer *r)
{
    kafka_produce_request_init(&r->write.produce);
    memset(&r->topic.produce, 0, sizeof(r->topic.produce));
    memset(&r->part.produce, 0, sizeof(r->part.produce));
    r->part.produce.index = r->what.partition;
    iobuf_unref(r->batch);
    r->batch = iobuf_get(r->c.client.env->pool, r->what.len);
    ASSERT(r->batch != NULL);
    memcpy(r->batch->data, r->what.batch, r->what.len);
    r->part.produce.records =
        (struct kafka_records){.p = r->batch->data, .owner = r->batch, .len = (int32_t)r->what.len};
    r->topic.produce.name = STR_LIT(TXN_TOPIC);
    r->topic.produce.partitions = &r->part.produce;
    r->topic.produce.partitions_count = 1;
    r->write.produce.transactional_id = str_from(r->id);
    r->write.produce.acks = -1;
    r->write.produce.timeout_ms = 3000;
    r->write.produce.topics = &r->topic.produce;
    r->write.produce.topics_count = 1;
    send(r, KAFKA_API_PRODUCE, r->what.v1 ? 11 : 12, r->c.leaders[r->what.partition]);
}

static void send_add(struct replayer *r)
{
    kafka_add_partitions_to_txn_request_init(&r->write.add);
    memset(&r->topic.add, 0, sizeof(r->topic.add));
    r->partition = r->what.partition;
    r->topic.add.name = STR_LIT(TXN_TOPIC);
    r->topic.add.partitions = &r->partition;
    r->topic.add.partitions_count = 1;
    r->write.add.v3_and_below_transactional_id = str_from(r->id);
    r->write.add.v3_and_below_producer_id = r->what.producer_id;
    r->write.add.v3_and_below_producer_epoch = r->what.epoch;
    r->write.add.v3_and_below_topics = &r->topic.add;
    r->write.add.v3_and_below_topics_count = 1;
    send(r, KAFKA_API_ADD_PARTITIONS_TO_TXN, 3, cluster_of(r)->replays.coordinator[r->what.identity]);
}

static void send_offsets(struct replayer *r)
{
    kafka_txn_offset_commit_request_init(&r->write.offsets);
    memset(&r->topic.offsets, 0, sizeof(r->topic.offsets));
    memset(&r->part.offsets, 0, sizeof(r->part.offsets));
    r->part.offsets.partition_index = r->what.identity;
    r->part.offsets.committed_offset = r->what.offset;
    r->part.offsets.committed_leader_epoch = -1;
    r->part.offsets.committed_metadata = STR_LIT("");
    r->topic.offsets.name = STR_LIT(TXN_TOPIC);
    r->topic.offsets.partitions = &r->part.offsets;
    r->topic.offsets.partitions_count = 1;
    r->write.offsets.transactional_id = str_from(r->id);
    r->write.offsets.group_id = txn_client_group_name(r->what.identity);
    r->write.offsets.producer_id = r->what.producer_id;
    r->write.offsets.producer_epoch = r->what.epoch;
    r->write.offsets.member_id = STR_LIT("");
    r->write.offsets.topics = &r->topic.offsets;
    r->write.offsets.topics_count = 1;
    send(r, KAFKA_API_TXN_OFFSET_COMMIT, 5, cluster_of(r)->replays.group_coordinator[r->what.identity]);
}

static void send_end(struct replayer *r)
{
    kafka_end_txn_request_init(&r->write.end);
    r->write.end.transactional_id = str_from(r->id);
    r->write.end.producer_id = r->what.producer_id;
    r->write.end.producer_epoch = r->what.epoch;
    r->write.end.committed = r->what.commit;
    send(r, KAFKA_API_END_TXN, 5, cluster_of(r)->replays.coordinator[r->what.identity]);
}

static void send_marker(struct replayer *r)
{
    kafka_write_txn_markers_request_init(&r->write.markers);
    memset(&r->topic.markers, 0, sizeof(r->topic.markers));
    kafka_write_txn_markers_request_marker_init(&r->marker);
    r->partition = r->what.partition;
    r->topic.markers.name = STR_LIT(TXN_TOPIC);
    r->topic.markers.partition_indexes = &r->partition;
    r->topic.markers.partition_indexes_count = 1;
    r->marker.producer_id = r->what.producer_id;
    r->marker.producer_epoch = r->what.epoch;
    r->marker.transaction_result = r->what.commit;
    r->marker.coordinator_epoch = r->what.coordinator_epoch;
    r->marker.transaction_version = MARKER_VERSION;
    r->marker.topics = &r->topic.markers;
    r->marker.topics_count = 1;
    r->write.markers.markers = &r->marker;
    r->write.markers.markers_count = 1;
    send(r, KAFKA_API_WRITE_TXN_MARKERS, MARKER_VERSION, r->c.leaders[r->what.partition]);
}

static void replay(struct replayer *r)
{
    const struct txn_replays *replays = &cluster_of(r)->replays;
    uint64_t kept = MIN(replays->count, TXN_REPLAYS_MAX);
    if (kept == 0)
        return;
    r->what = replays->list[prng_below(&r->c.client.env->prng, kept)];
    txn_client_id(r->what.identity, r->id);
    switch (r->what.kind) {
    case TXN_REPLAY_PRODUCE: send_produce(r); return;
    case TXN_REPLAY_ADD: send_add(r); return;
    case TXN_REPLAY_OFFSETS: send_offsets(r); return;
    case TXN_REPLAY_END: send_end(r); return;
    case TXN_REPLAY_MARKER: send_marker(r); return;
    }
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
