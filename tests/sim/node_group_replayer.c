/* SPDX-License-Identifier: Apache-2.0 */
/* One who sends requests of the group's members again, some moments or many seconds after them, each over a
 * connection of its own, to whoever coordinates by then, or does not know yet that it does no more. (N6 of
 * the facts: duplicates and late deliveries.) Commits go into the history as commits of their member;
 * heartbeats and SyncGroups with the generation that they name. The judge knows from the members which of
 * these are of the past (stale-generation). */
#include <stdlib.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/base/assert.h"
#include "common/base/frame_in.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"
#include "tests/sim/nodes.h"

#define TICK_US        150000
#define LANES_MAX      6
#define PATIENCE_US    12000000 /* longer than a rebalance */
#define ANYBODY_ONE_IN 8        /* goes to a broker that coordinates nothing */
#define NEWEST_ONE_IN  4
#define ANSWER_MAX     (1u << 20)
#define ARENA_MAX      (1u << 20)

struct replayer {
    struct node *node;
    struct env *env;
    struct env_timer tick;
    struct list lanes;
    uint32_t lane_count;
    uint32_t process, next_call; /* in the history */
    bool ending;
};

/* One request that comes again. */
struct lane {
    struct list link;
    struct replayer *r;
    struct env_conn *conn;
    struct frame_in in;
    struct arena arena;
    struct iobuf *frame; /* request leads into it */
    enum group_replay_kind kind;
    int32_t static_number, broker;
    const struct node *asked;
    struct kafka_request_header header;
    const void *request;
    int32_t generation; /* that it names; of others than commits and heartbeats 0 */
    uint32_t member;    /* in the history */
    uint32_t first_call;
    uint64_t deadline_us;
    bool answered;
};

static struct cluster *cluster_of(const struct replayer *r)
{
    return r->node->cluster;
}

/* -- what was sent -- */

/* Which member, and which generation. */
static void read_names(struct lane *lane)
{
    const void *request = lane->request;
    struct str id = STR_NULL;
    switch (lane->kind) {
    case GROUP_REPLAY_COMMIT:
        id = ((const struct kafka_offset_commit_request *)request)->member_id;
        lane->generation =
            ((const struct kafka_offset_commit_request *)request)->generation_id_or_member_epoch;
        break;
    case GROUP_REPLAY_HEARTBEAT:
        id = ((const struct kafka_heartbeat_request *)request)->member_id;
        lane->generation = ((const struct kafka_heartbeat_request *)request)->generation_id;
        break;
    case GROUP_REPLAY_MEMBER_HEARTBEAT:
        id = ((const struct kafka_consumer_group_heartbeat_request *)request)->member_id;
        lane->generation = ((const struct kafka_consumer_group_heartbeat_request *)request)->member_epoch;
        break;
    case GROUP_REPLAY_SYNC:
        id = ((const struct kafka_sync_group_request *)request)->member_id;
        lane->generation = ((const struct kafka_sync_group_request *)request)->generation_id;
        break;
    case GROUP_REPLAY_JOIN:
    case GROUP_REPLAY_LEAVE:
    case GROUP_REPLAY_KINDS: break;
    }
    lane->member = group_member_number(id);
}

static void read_request(struct lane *lane, const struct group_replay *replay)
{
    lane->frame = iobuf_get(lane->r->env->pool, replay->len);
    ASSERT(lane->frame != NULL);
    memcpy(lane->frame->data, replay->frame, replay->len);
    struct reader r = reader_over(lane->frame->data + sizeof(int32_t), replay->len - sizeof(int32_t));
    enum err err = kafka_request_header_peel(&r, &lane->header);
    ASSERT(err == OK);
    const struct kafka_message_type *type = kafka_message_type(lane->header.api_key, true);
    void *request = arena_calloc(&lane->arena, 1, type->size);
    err = type->decode(&r, &lane->arena, lane->header.api_version, request);
    ASSERT(err == OK);
    lane->request = request;
    read_names(lane);
}

/* -- the history -- */

static struct history_record note(const struct lane *lane, enum history_type type, enum history_op op,
                                  uint32_t call)
{
    struct history_record record = history_record(type, op, lane->r->process, 0);
    record.group = GROUP_NUMBER;
    record.call = call;
    record.arg2 = lane->member;
    return record;
}

static void note_commit(const struct lane *lane, enum history_type type, struct str topic,
                        const struct kafka_offset_commit_request_partition *one, uint32_t call)
{
    struct history_record record = note(lane, type, HISTORY_COMMIT, call);
    ASSERT(topic.len >= 2 && topic.p[0] == 't');
    record.topic = cluster_topic(topic.p[1] - '0');
    record.partition = one->partition_index;
    record.offset = one->committed_offset;
    record.arg = lane->static_number;
    record.epoch = type == HISTORY_INVOKE ? lane->generation
                                          : node_leader_epoch(lane->asked, "__consumer_offsets", GROUP_PLACE);
    cluster_record(cluster_of(lane->r), record);
}

/* Another time it would be the same: nothing has happened. */
static bool is_refusal(int16_t error)
{
    static const int16_t refusals[] = {KAFKA_UNKNOWN_MEMBER_ID,   KAFKA_ILLEGAL_GENERATION,
                                       KAFKA_STALE_MEMBER_EPOCH,  KAFKA_FENCED_MEMBER_EPOCH,
                                       KAFKA_FENCED_INSTANCE_ID,  KAFKA_UNRELEASED_INSTANCE_ID,
                                       KAFKA_GROUP_ID_NOT_FOUND,  KAFKA_REBALANCE_IN_PROGRESS,
                                       KAFKA_UNSUPPORTED_VERSION, KAFKA_INCONSISTENT_GROUP_PROTOCOL};
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++)
        if (refusals[i] == error)
            return true;
    return false;
}

static enum history_type outcome(int16_t error)
{
    return error == KAFKA_NONE ? HISTORY_OK : is_refusal(error) ? HISTORY_FAIL : HISTORY_INFO;
}

static int16_t commit_error(const struct kafka_offset_commit_response *response, struct str topic,
                            int32_t partition)
{
    for (int32_t t = 0; response && t < response->topics_count; t++)
        for (int32_t i = 0; i < response->topics[t].partitions_count; i++)
            if (str_eq(response->topics[t].name, topic) &&
                response->topics[t].partitions[i].partition_index == partition)
                return response->topics[t].partitions[i].error_code;
    return KAFKA_UNKNOWN_SERVER_ERROR;
}

/* Of every partition of a commit; response: NULL when it is only asked for, or not answered. Returns the last
 * partition's error. */
static int16_t note_commits(struct lane *lane, bool asked,
                            const struct kafka_offset_commit_response *response)
{
    const struct kafka_offset_commit_request *request = lane->request;
    uint32_t call = lane->first_call;
    int16_t error = KAFKA_NONE;
    for (int32_t t = 0; t < request->topics_count; t++)
        for (int32_t i = 0; i < request->topics[t].partitions_count; i++) {
            const struct kafka_offset_commit_request_partition *one = &request->topics[t].partitions[i];
            error = commit_error(response, request->topics[t].name, one->partition_index);
            note_commit(lane, asked ? HISTORY_INVOKE : outcome(error), request->topics[t].name, one, call++);
        }
    lane->r->next_call = MAX(lane->r->next_call, call);
    return error;
}

/* Requests of members that name a generation. */
static bool is_beat(const struct lane *lane)
{
    bool beat = lane->kind == GROUP_REPLAY_HEARTBEAT || lane->kind == GROUP_REPLAY_SYNC ||
                lane->kind == GROUP_REPLAY_MEMBER_HEARTBEAT;
    return beat && lane->generation > 0 && lane->member != 0;
}

static void note_beat(struct lane *lane, enum history_type type)
{
    struct history_record record = note(lane, type, HISTORY_BEAT, lane->first_call);
    record.node = lane->broker;
    record.arg = lane->kind == GROUP_REPLAY_MEMBER_HEARTBEAT; /* the answer before may have got lost */
    record.epoch = lane->generation;
    lane->r->next_call = MAX(lane->r->next_call, lane->first_call + 1);
    cluster_record(cluster_of(lane->r), record);
}

/* -- answers -- */

static int16_t leave_error(const struct kafka_leave_group_response *response)
{
    bool one = response->error_code == KAFKA_NONE && response->members_count == 1;
    return one ? response->members[0].error_code : response->error_code;
}

static int16_t error_in(struct lane *lane, const void *response)
{
    switch (lane->kind) {
    case GROUP_REPLAY_COMMIT: return note_commits(lane, false, response);
    case GROUP_REPLAY_HEARTBEAT: return ((const struct kafka_heartbeat_response *)response)->error_code;
    case GROUP_REPLAY_MEMBER_HEARTBEAT:
        return ((const struct kafka_consumer_group_heartbeat_response *)response)->error_code;
    case GROUP_REPLAY_SYNC: return ((const struct kafka_sync_group_response *)response)->error_code;
    case GROUP_REPLAY_JOIN: return ((const struct kafka_join_group_response *)response)->error_code;
    case GROUP_REPLAY_LEAVE: return leave_error(response);
    case GROUP_REPLAY_KINDS: break;
    }
    UNREACHABLE();
}

/* What has met somebody counts: taken as what it repeats, or refused for what it is. */
static void count(const struct lane *lane, int16_t error)
{
    static const struct {
        enum reach taken, refused;
    } reaches[GROUP_REPLAY_KINDS] = {
#define X(name, api) [GROUP_REPLAY_##name] = {REACH_##name##_REPLAYED, REACH_##name##_REPLAY_REFUSED},
        GROUP_REPLAY_TABLE(X)
#undef X
    };
    uint64_t *reached = cluster_of(lane->r)->reached;
    bool taken = error == KAFKA_NONE || error == KAFKA_MEMBER_ID_REQUIRED;
    reached[reaches[lane->kind].taken] += taken;
    reached[reaches[lane->kind].refused] += is_refusal(error);
}

static void on_answer(struct lane *lane, const void *response)
{
    int16_t error = error_in(lane, response);
    if (is_beat(lane))
        note_beat(lane, outcome(error));
    lane->answered = true;
    count(lane, error);
    world_trace(cluster_of(lane->r)->world, "replayed %s of member %u, generation %d, to %d: %d",
                kafka_api_name(lane->header.api_key), lane->member, lane->generation, lane->broker, error);
}

static bool on_frame(void *ctx, const uint8_t *p, uint32_t len, struct iobuf *owner)
{
    struct lane *lane = ctx;
    const struct kafka_message_type *type = kafka_message_type(lane->header.api_key, false);
    struct kafka_response_header header;
    struct reader r = reader_over(p, len);
    void *response = arena_calloc(&lane->arena, 1, type->size);
    enum err err = kafka_response_header_decode(
        &r, kafka_response_header_version(lane->header.api_key, lane->header.api_version), &header);
    if (err == OK)
        err = type->decode(&r, &lane->arena, lane->header.api_version, response);
    ASSERT(err == OK && header.correlation_id == lane->header.correlation_id);
    on_answer(lane, response);
    return false;
}

/* -- a connection -- */

static void on_alloc(void *ctx, void **ret_buf, size_t *ret_len)
{
    struct lane *lane = ctx;
    bool room = frame_in_room(&lane->in, ret_buf, ret_len);
    ASSERT(room);
}

static void on_read(void *ctx, size_t len)
{
    struct lane *lane = ctx;
    enum err err = frame_in_landed(&lane->in, len, on_frame, lane);
    if (err != OK)
        env_conn_close(lane->conn);
}

static void on_closed(void *ctx, enum err why)
{
    struct lane *lane = ctx;
    struct replayer *r = lane->r;
    if (!lane->answered && lane->kind == GROUP_REPLAY_COMMIT)
        note_commits(lane, false, NULL);
    if (!lane->answered && is_beat(lane))
        note_beat(lane, HISTORY_INFO);
    list_remove(&lane->link);
    frame_in_reset(&lane->in);
    arena_free(&lane->arena);
    iobuf_unref(lane->frame);
    free(lane);
    r->lane_count--;
    if (r->ending && r->lane_count == 0)
        node_stopped(r->node);
}

static const struct env_conn_handler conn_handler = {.alloc = on_alloc, .read = on_read, .closed = on_closed};

static void lane_send(struct lane *lane, size_t len)
{
    struct env *env = lane->r->env;
    struct env_addr addr = {.port = BROKER_PORT};
    str_copy(str_from(process_name(lane->asked->process)), addr.host, sizeof(addr.host));
    lane->conn = env_connect(env, &addr, &conn_handler, lane);
    env_conn_write_view(lane->conn, lane->frame, lane->frame->data, len);
}

/* -- what comes again, and where -- */

/* Who coordinates, as it sees itself: there may be two of them. Now and then anybody. NULL: nobody. */
static const struct node *choose_broker(struct replayer *r)
{
    struct cluster *cluster = cluster_of(r);
    struct prng *prng = &r->env->prng;
    const struct node *chosen = NULL;
    uint64_t candidates = 0;
    bool anybody = prng_below(prng, ANYBODY_ONE_IN) == 0;
    for (int i = 0; i < cluster->options.brokers; i++) {
        const struct node *node = cluster_node(cluster, ROLE_BROKER, i);
        if (!anybody && node_leader_epoch(node, "__consumer_offsets", GROUP_PLACE) < 0)
            continue;
        if (prng_below(prng, ++candidates) == 0)
            chosen = node;
    }
    return chosen;
}

static const struct group_replay *choose_replay(struct replayer *r)
{
    static const uint8_t shares[GROUP_REPLAY_KINDS] = {
        [GROUP_REPLAY_COMMIT] = 8, [GROUP_REPLAY_HEARTBEAT] = 4, [GROUP_REPLAY_MEMBER_HEARTBEAT] = 4,
        [GROUP_REPLAY_SYNC] = 2,   [GROUP_REPLAY_JOIN] = 1,      [GROUP_REPLAY_LEAVE] = 1};
    const struct group_replays *replays = &cluster_of(r)->group_replays;
    struct prng *prng = &r->env->prng;
    int64_t dice = (int64_t)prng_below(prng, 20);
    int kind = 0;
    while ((dice -= shares[kind]) >= 0)
        kind++;
    bool newest = prng_below(prng, NEWEST_ONE_IN) == 0 || replays->count[kind] == 0;
    return group_replays_find(replays, (enum group_replay_kind)kind,
                              newest ? GROUP_REPLAY_NEWEST : (int32_t)prng_below(prng, replays->count[kind]));
}

static void replay(struct replayer *r)
{
    const struct group_replay *what = choose_replay(r);
    const struct node *broker = choose_broker(r);
    if (!what || !broker)
        return;
    struct lane *lane = calloc(1, sizeof(*lane));
    ASSERT(lane != NULL);
    lane->r = r;
    lane->kind = what->kind;
    lane->static_number = what->static_number;
    lane->asked = broker;
    lane->broker = broker->id;
    lane->first_call = r->next_call;
    lane->deadline_us = env_now_us(r->env) + PATIENCE_US;
    frame_in_init(&lane->in, r->env->pool, ANSWER_MAX);
    arena_init(&lane->arena, NULL, 0, ARENA_MAX);
    read_request(lane, what);
    list_push_back(&r->lanes, &lane->link);
    r->lane_count++;
    if (lane->kind == GROUP_REPLAY_COMMIT)
        note_commits(lane, true, NULL);
    else if (is_beat(lane))
        note_beat(lane, HISTORY_INVOKE);
    lane_send(lane, what->len);
}

/* -- life -- */

static void on_tick(struct env_timer *timer)
{
    struct replayer *r = CONTAINER_OF(timer, struct replayer, tick);
    uint64_t now_us = env_now_us(r->env);
    list_for_each (it, &r->lanes) {
        struct lane *lane = CONTAINER_OF(it, struct lane, link);
        if (lane->deadline_us <= now_us)
            env_conn_close(lane->conn);
    }
    if (r->lane_count < LANES_MAX && !cluster_of(r)->draining)
        replay(r);
    env_timer_set(r->env, timer, now_us + 1 + prng_below(&r->env->prng, 2ull * TICK_US));
}

static bool replayer_begin(struct node *node, struct env *env)
{
    struct replayer *r = calloc(1, sizeof(*r));
    node->object = r;
    r->node = node;
    r->env = env;
    r->process = node->cluster->next_client++;
    r->next_call = 1;
    list_init(&r->lanes);
    env_timer_init(&r->tick, on_tick);
    on_tick(&r->tick);
    return true;
}

static void replayer_end(struct node *node)
{
    struct replayer *r = node->object;
    r->ending = true;
    env_timer_cancel(r->env, &r->tick);
    if (r->lane_count == 0)
        node_stopped(node);
    list_for_each (it, &r->lanes)
        env_conn_close(CONTAINER_OF(it, struct lane, link)->conn);
}

static void replayer_let_go(struct node *node)
{
    free(node->object);
    node->object = NULL;
}

const struct role_ops role_group_replayer = {
    .name = "group replayer", .begin = replayer_begin, .stop = replayer_end, .free = replayer_let_go};
