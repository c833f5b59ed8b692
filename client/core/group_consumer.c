/* SPDX-License-Identifier: Apache-2.0 */
/* The consumer protocol (KIP-848): heartbeats carry all of it. The coordinator says what it wants the member
 * to have. The member first gives up what is not among it (commits, then tells that it is gone), then takes
 * what is new; it is heard of all the while. A heartbeat whose answer is lost is followed by one that says
 * everything. */
#include "client/core/group_internal.h"

#define EPOCH_JOIN         0
#define EPOCH_LEAVE        (-1)
#define EPOCH_LEAVE_STATIC (-2)
#define UNRELEASED_US      1000000 /* somebody else has our instance's name: until the session of that ends */

static bool joins(const struct client_group *g)
{
    return g->generation == EPOCH_JOIN;
}

/* Where it goes on when nothing is in the way. */
static enum group_state place(const struct client_group *g)
{
    if (g->leaving)
        return GROUP_LEAVING;
    if (joins(g))
        return GROUP_JOIN;
    if (g->giving > 0)
        return GROUP_GIVING_UP;
    return g->adding > 0 ? GROUP_OFFSETS : GROUP_MEMBER;
}

static void go_on_at(struct client_group *g, uint64_t at_us)
{
    client_group_enter(g, place(g), at_us);
}

/* What the owner has is not ours any more, and must not be committed. It joins again under the same id. */
static void lose(struct client_group *g)
{
    int32_t held = g->mine_count - g->giving - g->adding;

    if (held > 0)
        client_group_tell(g, CLIENT_GROUP_REVOKED, 0, held);
    g->mine_count = g->giving = g->adding = g->wanted_count = 0;
    g->generation = EPOCH_JOIN;
    g->life++;
    go_on_at(g, g->now_us);
}

static bool setback(struct client_group *g, int16_t error)
{
    switch (error) {
    case KAFKA_NONE: return false;
    case KAFKA_UNKNOWN_MEMBER_ID:
    case KAFKA_ILLEGAL_GENERATION:
    case KAFKA_FENCED_MEMBER_EPOCH: lose(g); return true;
    case KAFKA_GROUP_ID_NOT_FOUND: /* all its members were given up, or it cannot be one of this protocol */
        if (!joins(g))
            lose(g);
        else
            client_group_give_up(g, (struct client_failure){ERR_REJECTED, error});
        return true;
    case KAFKA_STALE_MEMBER_EPOCH: /* the coordinator is ahead: a heartbeat tells where it is */
        g->full = true;
        g->heartbeat_us = g->now_us;
        g->due_us = g->now_us + GROUP_RETRY_US;
        return true;
    case KAFKA_NOT_COORDINATOR:
    case KAFKA_COORDINATOR_NOT_AVAILABLE:
        g->full = true;
        client_group_enter(g, GROUP_FIND, g->now_us + GROUP_RETRY_US);
        return true;
    case KAFKA_COORDINATOR_LOAD_IN_PROGRESS: g->due_us = g->now_us + GROUP_RETRY_US; return true;
    default: client_group_give_up(g, (struct client_failure){ERR_REJECTED, error}); return true;
    }
}

static void found(struct client_group *g)
{
    g->full = true;
    go_on_at(g, g->now_us);
}

/* -- heartbeats -- */

static bool put_subscription(struct client_group *g, struct kafka_consumer_group_heartbeat_request *request)
{
    struct arena *arena = &g->calls[CALL_HEARTBEAT];
    struct str *names = arena_calloc(arena, (size_t)g->topics_count, sizeof(*names));

    for (int32_t i = 0; names && i < g->topics_count; i++)
        names[i] = str_from(client_topic_name(g->topics[i]));
    request->subscribed_topic_names = names;
    request->subscribed_topic_names_count = g->topics_count;
    request->rebalance_timeout_ms = g->config.rebalance_timeout_ms;
    return names != NULL;
}

/* All that is not told to be gone: what is being given up, and what the owner will get in a moment, too. */
static bool put_owned(struct client_group *g, struct kafka_consumer_group_heartbeat_request *request)
{
    struct arena *arena = &g->calls[CALL_HEARTBEAT];
    int32_t count = g->mine_count;
    int32_t *indexes = arena_calloc(arena, (size_t)count, sizeof(*indexes));

    request->topic_partitions = arena_calloc(arena, (size_t)count, sizeof(*request->topic_partitions));
    if (!indexes || !request->topic_partitions)
        return false;
    for (int32_t i = 0; i < count; i++) {
        kafka_consumer_group_heartbeat_request_topic_partition_init(&request->topic_partitions[i]);
        indexes[i] = g->mine[i].partition;
        request->topic_partitions[i].topic_id = g->mine[i].topic->id;
        request->topic_partitions[i].partitions = &indexes[i];
        request->topic_partitions[i].partitions_count = 1;
    }
    request->topic_partitions_count = count;
    return true;
}

static void heartbeat(struct client_group *g)
{
    struct kafka_consumer_group_heartbeat_request *request =
        client_group_begin(g, CALL_HEARTBEAT, sizeof(*request));
    bool all = g->full || joins(g), ok = request != NULL;

    g->heartbeat_us = g->now_us + (uint64_t)g->config.heartbeat_ms * 1000;
    if (ok) {
        kafka_consumer_group_heartbeat_request_init(request);
        request->group_id = g->config.group_id;
        request->member_id = str_from(g->member_id);
        request->member_epoch = g->generation;
        request->instance_id = g->config.instance_id;
        ok = (!all || put_subscription(g, request)) && (!(all || g->owned_new) || put_owned(g, request));
    }
    if (ok)
        g->full = g->owned_new = false;
    g->beat_life = g->life;
    client_group_start(g, CALL_HEARTBEAT, KAFKA_API_CONSUMER_GROUP_HEARTBEAT, ok ? request : NULL,
                       GROUP_CALL_TIMEOUT_US);
    if (!g->busy[CALL_HEARTBEAT])
        g->full = true; /* what it would have said is not said yet */
}

static bool take_wanted(struct client_group *g,
                        const struct kafka_consumer_group_heartbeat_response_assignment *assignment)
{
    int32_t count = 0;

    for (int32_t t = 0; t < assignment->topic_partitions_count; t++)
        count += assignment->topic_partitions[t].partitions_count;
    arena_reset(&g->wanting);
    g->wanted_count = 0;
    g->wanted = arena_calloc(&g->wanting, (size_t)count, sizeof(*g->wanted));
    for (int32_t t = 0; g->wanted && t < assignment->topic_partitions_count; t++) {
        const struct kafka_consumer_group_heartbeat_response_topic_partitions *one =
            &assignment->topic_partitions[t];
        struct client_topic *topic = client_topic_by_id(g->client, one->topic_id);
        g->full = g->full || !topic; /* our metadata is older: asked for again */
        for (int32_t i = 0; topic && i < one->partitions_count; i++)
            g->wanted[g->wanted_count++] = (struct group_wanted){topic, one->partitions[i]};
    }
    return g->wanted != NULL;
}

/* The first answer, and every later one. */
static void take_answer(struct client_group *g,
                        const struct kafka_consumer_group_heartbeat_response *response)
{
    g->generation = response->member_epoch;
    g->config.heartbeat_ms = MAX(response->heartbeat_interval_ms, 1);
    if (response->has_assignment && !take_wanted(g, &response->assignment)) {
        g->full = true; /* no memory: asked for again */
        return;
    }
    if (g->state == GROUP_JOIN) {
        g->commit_us = g->now_us + (uint64_t)g->config.commit_ms * 1000;
        g->heartbeat_us = g->now_us + (uint64_t)g->config.heartbeat_ms * 1000;
        go_on_at(g, g->now_us);
    }
}

static void on_heartbeat(struct client_group *g, const void *message)
{
    const struct kafka_consumer_group_heartbeat_response *response = message;
    int16_t error = response->error_code;

    if (g->beat_life != g->life)
        return; /* the answer to who we were */
    if (g->state == GROUP_LEAVING || g->state == GROUP_FIND) {
        g->full = true;
        return;
    }
    if (error == KAFKA_UNRELEASED_INSTANCE_ID)
        client_group_enter(g, g->leaving ? GROUP_LEAVING : GROUP_JOIN, g->now_us + UNRELEASED_US);
    else if (error == KAFKA_COORDINATOR_LOAD_IN_PROGRESS) {
        g->full = true;
        g->heartbeat_us = g->due_us = g->now_us + GROUP_RETRY_US;
    } else if (!setback(g, error))
        take_answer(g, response);
}

/* -- towards what is wanted -- */

static bool is_wanted(const struct client_group *g, const struct client_group_partition *one)
{
    for (int32_t i = 0; i < g->wanted_count; i++)
        if (g->wanted[i].topic == one->topic && g->wanted[i].partition == one->partition)
            return true;
    return false;
}

/* Kept ones first, then those to give up. Returns how many these are. */
static int32_t part(struct client_group *g)
{
    int32_t kept = 0;

    for (int32_t i = 0; i < g->mine_count; i++) {
        if (!is_wanted(g, &g->mine[i]))
            continue;
        struct client_group_partition one = g->mine[i];
        g->mine[i] = g->mine[kept];
        g->mine[kept++] = one;
    }
    return g->mine_count - kept;
}

/* False: no memory; later. */
static bool add_new(struct client_group *g)
{
    struct client_group_partition *room = client_group_room(g, g->mine_count + g->wanted_count);
    int32_t before = g->mine_count;

    if (!room)
        return false;
    for (int32_t i = 0; i < g->mine_count; i++)
        room[i] = g->mine[i];
    g->mine = room;
    for (int32_t i = 0; i < g->wanted_count; i++)
        if (!client_group_mine(g, g->wanted[i].topic, g->wanted[i].partition))
            g->mine[g->mine_count++] = (struct client_group_partition){.topic = g->wanted[i].topic,
                                                                       .partition = g->wanted[i].partition,
                                                                       .committed = -1,
                                                                       .position = -1};
    g->adding = g->mine_count - before;
    return true;
}

static bool lacks_some(const struct client_group *g)
{
    for (int32_t i = 0; i < g->wanted_count; i++)
        if (!client_group_mine(g, g->wanted[i].topic, g->wanted[i].partition))
            return true;
    return false;
}

static void member(struct client_group *g)
{
    ASSERT(g->giving == 0 && g->adding == 0);
    g->giving = part(g);
    if (g->giving > 0) {
        client_group_tell(g, CLIENT_GROUP_REVOKED, g->mine_count - g->giving, g->giving);
        go_on_at(g, g->now_us);
    } else if (lacks_some(g)) {
        go_on_at(g, add_new(g) ? g->now_us : g->now_us + GROUP_RETRY_US);
    }
}

/* What is ours has changed: the coordinator hears it now. */
static void tell_owned(struct client_group *g)
{
    g->owned_new = true;
    g->heartbeat_us = g->now_us;
    go_on_at(g, g->now_us);
}

static void give_up(struct client_group *g)
{
    for (int32_t i = g->mine_count - g->giving; i < g->mine_count; i++)
        if (client_group_uncommitted(&g->mine[i])) {
            if (!client_group_commit_now(g))
                g->due_us = g->now_us + GROUP_RETRY_US; /* no memory */
            return;
        }
    g->mine_count -= g->giving;
    g->giving = 0;
    tell_owned(g);
}

static void got_offsets(struct client_group *g)
{
    client_group_tell(g, CLIENT_GROUP_ASSIGNED, g->mine_count - g->adding, g->adding);
    g->adding = 0;
    tell_owned(g);
}

/* What is wrong with a commit by itself stays wrong: nothing waits for it. */
static bool in_vain(int16_t error)
{
    return error == KAFKA_UNKNOWN_TOPIC_OR_PARTITION || error == KAFKA_OFFSET_METADATA_TOO_LARGE ||
           error == KAFKA_INVALID_COMMIT_OFFSET_SIZE;
}

static void committed(struct client_group *g, int16_t error)
{
    if (in_vain(error))
        client_group_forget_positions(g, g->mine_count - g->giving, g->giving);
    else if (g->state != GROUP_FIND)
        setback(g, error);
}

static void unanswered(struct client_group *g, enum group_call call)
{
    if ((call == CALL_HEARTBEAT && g->beat_life != g->life) ||
        (call == CALL_COMMIT && g->committing_life != g->life) ||
        (call == CALL_OFFSETS && g->asking_life != g->life))
        return; /* of who we were */
    g->full = true;
    client_group_enter(g, GROUP_FIND, g->now_us + GROUP_RETRY_US);
}

/* -- leaving -- */

static void leave(struct client_group *g)
{
    if (joins(g)) { /* in nobody's list */
        client_group_left(g);
        return;
    }
    struct kafka_consumer_group_heartbeat_request *request =
        client_group_begin(g, CALL_LEAVE, sizeof(*request));
    if (request) {
        kafka_consumer_group_heartbeat_request_init(request);
        request->group_id = g->config.group_id;
        request->member_id = str_from(g->member_id);
        request->instance_id = g->config.instance_id;
        request->member_epoch = g->config.instance_id.len >= 0 ? EPOCH_LEAVE_STATIC : EPOCH_LEAVE;
    }
    client_group_start(g, CALL_LEAVE, KAFKA_API_CONSUMER_GROUP_HEARTBEAT, request, GROUP_CALL_TIMEOUT_US);
}

const struct group_ways group_consumer_ways = {
    .join = heartbeat,
    .heartbeat = heartbeat,
    .leave = leave,
    .give_up = give_up,
    .member = member,
    .found = found,
    .got_offsets = got_offsets,
    .committed = committed,
    .setback = setback,
    .unanswered = unanswered,
    .on_heartbeat = on_heartbeat,
};
