/* SPDX-License-Identifier: Apache-2.0 */
/* What members of both protocols share: life, calls, committed offsets, time, the owner. */
#include "client/core/group.h"

#include <string.h>

#include "client/core/group_internal.h"

#define ARENA_BYTES      (64u << 20)
#define OLD_NAME_VERSION 9 /* of OffsetCommit and OffsetFetch: the last that goes by names */
#define FIND_TIMEOUT_US  30000000

void client_group_config_init(struct client_group_config *config)
{
    *config = (struct client_group_config){.group_id = STR_NULL,
                                           .instance_id = STR_NULL,
                                           .protocol = CLIENT_GROUP_CLASSIC,
                                           .session_timeout_ms = 45000,
                                           .rebalance_timeout_ms = 300000,
                                           .heartbeat_ms = 3000,
                                           .commit_ms = 5000};
}

/* KIP-848: the member makes its own id, and keeps it. */
static void make_member_id(struct client_group *g)
{
    struct uuid id;
    uint64_t halves[2] = {prng_next(&g->client->prng), prng_next(&g->client->prng)};

    STATIC_ASSERT(sizeof(halves) == sizeof(id.b), "two halves");
    memcpy(id.b, halves, sizeof(id.b));
    uuid_format(id, g->member_id);
}

struct client_group *client_group_new(struct client *client, const struct core_alloc *alloc,
                                      const struct client_group_config *config,
                                      struct client_topic *const *topics, int32_t topics_count)
{
    struct client_group *g = core_take(alloc, sizeof(*g));
    size_t size = (size_t)topics_count * sizeof(*g->topics);
    struct client_topic **copy = g ? core_take(alloc, size) : NULL;

    if (!copy) {
        core_give(alloc, g, sizeof(*g));
        return NULL;
    }
    memcpy(copy, topics, size);
    *g = (struct client_group){.client = client,
                               .alloc = *alloc,
                               .config = *config,
                               .ways = config->protocol == CLIENT_GROUP_CONSUMER ? &group_consumer_ways
                                                                                 : &group_classic_ways,
                               .topics = copy,
                               .topics_count = topics_count,
                               .node = -1,
                               .generation = config->protocol == CLIENT_GROUP_CONSUMER ? 0 : -1};
    arena_init(&g->round[0], NULL, 0, ARENA_BYTES);
    arena_init(&g->round[1], NULL, 0, ARENA_BYTES);
    arena_init(&g->wanting, NULL, 0, ARENA_BYTES);
    for (int i = 0; i < CALL_COUNT; i++)
        arena_init(&g->calls[i], NULL, 0, ARENA_BYTES);
    if (config->protocol == CLIENT_GROUP_CONSUMER)
        make_member_id(g);
    return g;
}

void client_group_free(struct client_group *g)
{
    arena_free(&g->round[0]);
    arena_free(&g->round[1]);
    arena_free(&g->wanting);
    for (int i = 0; i < CALL_COUNT; i++)
        arena_free(&g->calls[i]);
    core_give(&g->alloc, g->topics, (size_t)g->topics_count * sizeof(*g->topics));
    struct core_alloc alloc = g->alloc;
    core_give(&alloc, g, sizeof(*g));
}

bool client_group_idle(const struct client_group *g)
{
    for (int i = 0; i < CALL_COUNT; i++)
        if (g->busy[i])
            return false;
    return true;
}

/* -- states -- */

void client_group_tell(struct client_group *g, enum client_group_event_type type, int32_t first,
                       int32_t count)
{
    ASSERT(!g->has_event && first >= 0 && count >= 0 && first + count <= g->mine_count);
    g->event = (struct client_group_event){.type = type,
                                           .generation = g->generation,
                                           .partitions = count > 0 ? &g->mine[first] : NULL,
                                           .partitions_count = count};
    g->has_event = true;
}

void client_group_give_up(struct client_group *g, struct client_failure failure)
{
    client_group_tell(g, CLIENT_GROUP_FAILED, 0, 0);
    g->event.failure = failure;
    g->state = GROUP_OVER;
    g->holding = false;
}

void client_group_left(struct client_group *g)
{
    client_group_tell(g, CLIENT_GROUP_LEFT, 0, 0);
    g->state = GROUP_OVER;
}

void client_group_enter(struct client_group *g, enum group_state state, uint64_t at_us)
{
    g->state = state;
    g->due_us = at_us;
}

void client_group_forget_positions(struct client_group *g, int32_t first, int32_t count)
{
    for (int32_t i = first; i < first + count; i++)
        g->mine[i].position = -1;
}

bool client_group_next(struct client_group *g, struct client_group_event *ret)
{
    if (!g->has_event)
        return false;
    *ret = g->event;
    g->has_event = false;
    return true;
}

bool client_group_owns(const struct client_group *g, uint64_t tag)
{
    return tag >= g->config.tag && tag - g->config.tag < CALL_COUNT;
}

struct client_group_partition *client_group_mine(const struct client_group *g,
                                                 const struct client_topic *topic, int32_t partition)
{
    for (int32_t i = 0; i < g->mine_count; i++)
        if (g->mine[i].topic == topic && g->mine[i].partition == partition)
            return &g->mine[i];
    return NULL;
}

struct client_group_partition *client_group_room(struct client_group *g, int32_t count)
{
    struct arena *other = &g->round[1 - g->round_at];

    arena_reset(other);
    struct client_group_partition *room = arena_calloc(other, (size_t)count, sizeof(*room));
    if (room)
        g->round_at = 1 - g->round_at;
    return room;
}

/* -- calls -- */

void *client_group_begin(struct client_group *g, enum group_call call, size_t size)
{
    ASSERT(!g->busy[call]);
    arena_reset(&g->calls[call]);
    return arena_calloc(&g->calls[call], 1, size);
}

void client_group_start(struct client_group *g, enum group_call call, int16_t api_key, const void *message,
                        uint64_t timeout_us)
{
    bool by_name = call == CALL_OFFSETS || call == CALL_COMMIT;
    struct client_request request = {.api_key = api_key,
                                     .version_max = by_name ? OLD_NAME_VERSION : 0,
                                     .message = message,
                                     .node = call == CALL_FIND ? CLIENT_ANY_NODE : g->node,
                                     .timeout_us = timeout_us,
                                     .repeatable = call == CALL_FIND || call == CALL_OFFSETS,
                                     .tag = g->config.tag + call};

    ASSERT(!g->busy[call]);
    if (message && client_call(g->client, g->now_us, &request) == OK)
        g->busy[call] = true;
    else
        g->due_us = g->now_us + GROUP_RETRY_US; /* out of memory: later */
}

static void find(struct client_group *g)
{
    struct kafka_find_coordinator_request *request = client_group_begin(g, CALL_FIND, sizeof(*request));
    struct str *key = arena_copy(&g->calls[CALL_FIND], &g->config.group_id, sizeof(*key));

    if (request)
        kafka_find_coordinator_request_init(request);
    if (request && key) {
        request->coordinator_keys = key;
        request->coordinator_keys_count = 1;
    }
    client_group_start(g, CALL_FIND, KAFKA_API_FIND_COORDINATOR, key ? request : NULL, FIND_TIMEOUT_US);
}

static void on_find(struct client_group *g, const void *message)
{
    const struct kafka_find_coordinator_response *response = message;
    bool batch = response->coordinators_count > 0;
    int16_t error = batch ? response->coordinators[0].error_code : response->error_code;

    if (g->state != GROUP_FIND)
        return; /* on its way out */
    if (error != KAFKA_NONE) {
        client_group_give_up(g, (struct client_failure){ERR_REJECTED, error});
        return;
    }
    g->node = batch ? response->coordinators[0].node_id : response->node_id;
    g->heartbeat_us = g->now_us;
    g->ways->found(g);
}

/* -- where the group was -- */

/* Those that the owner has not been told of: all of them, or those that came last. */
static int32_t asked_first(const struct client_group *g)
{
    return g->config.protocol == CLIENT_GROUP_CONSUMER ? g->mine_count - g->adding : 0;
}

static void fetch_offsets(struct client_group *g)
{
    struct arena *arena = &g->calls[CALL_OFFSETS];
    struct kafka_offset_fetch_request *request = client_group_begin(g, CALL_OFFSETS, sizeof(*request));
    struct kafka_offset_fetch_request_group *group = arena_calloc(arena, 1, sizeof(*group));
    struct kafka_offset_fetch_request_group_topic *topics =
        arena_calloc(arena, (size_t)g->mine_count, sizeof(*topics));
    bool ok = request && group && topics;
    int32_t first = asked_first(g);

    if (ok) {
        kafka_offset_fetch_request_init(request);
        kafka_offset_fetch_request_group_init(group);
        request->groups = group;
        request->groups_count = 1;
        request->require_stable = true;
        group->group_id = g->config.group_id;
        if (g->config.protocol == CLIENT_GROUP_CONSUMER) {
            group->member_id = str_from(g->member_id);
            group->member_epoch = g->generation;
        }
        group->topics = topics;
        group->topics_count = g->mine_count - first;
    }
    for (int32_t i = 0; ok && i < group->topics_count; i++) {
        int32_t *index = arena_copy(arena, &g->mine[first + i].partition, sizeof(*index));
        topics[i].name = str_from(client_topic_name(g->mine[first + i].topic));
        topics[i].partition_indexes = index;
        topics[i].partition_indexes_count = 1;
        ok = index != NULL;
    }
    g->asking_life = g->life;
    client_group_start(g, CALL_OFFSETS, KAFKA_API_OFFSET_FETCH, ok ? request : NULL, GROUP_CALL_TIMEOUT_US);
}

static void note_committed(struct client_group *g, const struct kafka_offset_fetch_response_group *group)
{
    for (int32_t t = 0; t < group->topics_count; t++)
        for (int32_t i = 0; i < group->topics[t].partitions_count; i++)
            for (int32_t k = asked_first(g); k < g->mine_count; k++)
                if (g->mine[k].partition == group->topics[t].partitions[i].partition_index &&
                    str_eq_z(group->topics[t].name, client_topic_name(g->mine[k].topic)))
                    g->mine[k].committed = group->topics[t].partitions[i].committed_offset;
}

static int16_t offsets_error(const struct kafka_offset_fetch_response_group *group)
{
    for (int32_t t = 0; t < group->topics_count; t++)
        for (int32_t i = 0; i < group->topics[t].partitions_count; i++)
            if (group->topics[t].partitions[i].error_code == KAFKA_UNSTABLE_OFFSET_COMMIT)
                return KAFKA_COORDINATOR_LOAD_IN_PROGRESS; /* a transaction is about to end: again, soon */
    return group->error_code;
}

static void on_offsets(struct client_group *g, const void *message)
{
    const struct kafka_offset_fetch_response *response = message;

    if (g->state != GROUP_OFFSETS || g->asking_life != g->life)
        return;
    if (response->groups_count != 1) {
        client_group_give_up(g, (struct client_failure){.err = ERR_MALFORMED});
        return;
    }
    if (g->ways->setback(g, offsets_error(&response->groups[0])))
        return;
    note_committed(g, &response->groups[0]);
    g->commit_us = MAX(g->commit_us, g->now_us + (uint64_t)g->config.commit_ms * 1000);
    g->ways->got_offsets(g);
}

/* -- committing -- */

bool client_group_uncommitted(const struct client_group_partition *one)
{
    return one->position >= 0 && one->position != one->committed;
}

static void add_position(struct client_group *g, struct kafka_offset_commit_request *request,
                         struct kafka_offset_commit_request_partition *partition,
                         const struct client_group_partition *one)
{
    struct kafka_offset_commit_request_topic *topic = &request->topics[request->topics_count++];

    kafka_offset_commit_request_partition_init(partition);
    partition->partition_index = one->partition;
    partition->committed_offset = one->position;
    partition->committed_metadata = STR_LIT("");
    topic->name = str_from(client_topic_name(one->topic));
    topic->partitions = partition;
    topic->partitions_count = 1;
    g->committing[g->committing_count++] =
        (struct group_committing){one->topic, one->partition, one->position};
}

bool client_group_commit_now(struct client_group *g)
{
    struct arena *arena = &g->calls[CALL_COMMIT];
    size_t count = (size_t)g->mine_count;
    struct kafka_offset_commit_request *request = client_group_begin(g, CALL_COMMIT, sizeof(*request));
    struct kafka_offset_commit_request_topic *topics = arena_calloc(arena, count, sizeof(*topics));
    struct kafka_offset_commit_request_partition *partitions =
        arena_calloc(arena, count, sizeof(*partitions));

    g->commit_us = g->now_us + (uint64_t)g->config.commit_ms * 1000;
    g->committing = arena_calloc(arena, count, sizeof(*g->committing));
    g->committing_count = 0;
    if (!request || !topics || !partitions || !g->committing)
        return false;
    kafka_offset_commit_request_init(request);
    request->group_id = g->config.group_id;
    request->generation_id_or_member_epoch = g->generation;
    request->member_id = str_from(g->member_id);
    request->group_instance_id = g->config.instance_id;
    request->topics = topics;
    for (int32_t i = 0; i < g->mine_count; i++)
        if (client_group_uncommitted(&g->mine[i]))
            add_position(g, request, &partitions[i], &g->mine[i]);
    if (request->topics_count == 0)
        return false;
    g->committing_life = g->life;
    g->committing_generation = g->generation;
    client_group_start(g, CALL_COMMIT, KAFKA_API_OFFSET_COMMIT, request, GROUP_CALL_TIMEOUT_US);
    return true;
}

static int16_t commit_error(const struct kafka_offset_commit_response *response)
{
    for (int32_t t = 0; t < response->topics_count; t++)
        for (int32_t i = 0; i < response->topics[t].partitions_count; i++)
            if (response->topics[t].partitions[i].error_code != KAFKA_NONE)
                return response->topics[t].partitions[i].error_code;
    return KAFKA_NONE;
}

static void on_commit(struct client_group *g, const void *message)
{
    int16_t error = commit_error(message);

    if (g->committing_life != g->life)
        return; /* of a membership that is over; what is ours now was asked for anew */
    for (int32_t i = 0; error == KAFKA_NONE && i < g->committing_count; i++) {
        const struct group_committing *done = &g->committing[i];
        struct client_group_partition *one = client_group_mine(g, done->topic, done->partition);
        if (one)
            one->committed = done->position;
    }
    if (g->state == GROUP_LEAVING)
        client_group_forget_positions(g, 0, g->mine_count); /* once is enough */
    else
        g->ways->committed(g, error);
}

/* -- answers -- */

static void on_leave(struct client_group *g, const void *message)
{
    client_group_left(g);
}

static void on_join(struct client_group *g, const void *message)
{
    g->ways->on_join(g, message);
}

static void on_sync(struct client_group *g, const void *message)
{
    g->ways->on_sync(g, message);
}

static void on_heartbeat(struct client_group *g, const void *message)
{
    g->ways->on_heartbeat(g, message);
}

/* No answer, or none that can be read: the coordinator may be another one by now. */
static void unanswered(struct client_group *g, enum group_call call, enum err err)
{
    if (call == CALL_LEAVE)
        client_group_left(g);
    else if (err == ERR_VERSION)
        client_group_give_up(g, (struct client_failure){.err = err}); /* these brokers cannot */
    else if (g->state == GROUP_LEAVING)
        client_group_forget_positions(g, 0, g->mine_count);
    else
        g->ways->unanswered(g, call);
}

void client_group_reply(struct client_group *g, uint64_t now_us, const struct client_reply *reply)
{
    static void (*const take[CALL_COUNT])(struct client_group * g, const void *message) = {
        [CALL_FIND] = on_find,       [CALL_JOIN] = on_join,           [CALL_SYNC] = on_sync,
        [CALL_OFFSETS] = on_offsets, [CALL_HEARTBEAT] = on_heartbeat, [CALL_COMMIT] = on_commit,
        [CALL_LEAVE] = on_leave,
    };
    enum group_call call = (enum group_call)(reply->tag - g->config.tag);

    ASSERT(client_group_owns(g, reply->tag) && g->busy[call] && !g->has_event);
    g->now_us = now_us;
    g->busy[call] = false;
    if (g->state == GROUP_OVER)
        return;
    if (reply->failure.err != OK)
        unanswered(g, call, reply->failure.err);
    else
        take[call](g, reply->message);
}

/* -- time -- */

/* Whether members of its protocol are heard of in this state. */
static bool beats(const struct client_group *g)
{
    if (g->state == GROUP_MEMBER)
        return true;
    return g->config.protocol == CLIENT_GROUP_CONSUMER &&
           (g->state == GROUP_OFFSETS || g->state == GROUP_GIVING_UP);
}

/* What is due in this state waits for the answer to a call. */
static bool waits(const struct client_group *g)
{
    switch (g->state) {
    case GROUP_FIND: return g->busy[CALL_FIND];
    case GROUP_JOIN: return g->busy[g->config.protocol == CLIENT_GROUP_CONSUMER ? CALL_HEARTBEAT : CALL_JOIN];
    case GROUP_OFFSETS: return g->busy[CALL_OFFSETS];
    case GROUP_GIVING_UP: return g->busy[CALL_COMMIT];
    case GROUP_LEAVING: return g->busy[CALL_COMMIT] || g->busy[CALL_LEAVE];
    case GROUP_MEMBER: return false;
    case GROUP_SYNC:
    case GROUP_OVER: return true;
    }
    UNREACHABLE();
}

static void leave(struct client_group *g)
{
    if (!client_group_commit_now(g))
        g->ways->leave(g);
}

static void go_on(struct client_group *g)
{
    switch (g->state) {
    case GROUP_FIND: find(g); return;
    case GROUP_JOIN: g->ways->join(g); return;
    case GROUP_OFFSETS: fetch_offsets(g); return;
    case GROUP_GIVING_UP: g->ways->give_up(g); return;
    case GROUP_LEAVING: leave(g); return;
    case GROUP_MEMBER: g->ways->member(g); return;
    case GROUP_SYNC:
    case GROUP_OVER: return;
    }
}

void client_group_turn(struct client_group *g, uint64_t now_us)
{
    enum group_state before;

    g->now_us = now_us;
    if (g->has_event || g->state == GROUP_OVER)
        return; /* first things first */
    do {
        before = g->state;
        if (g->due_us <= now_us && !waits(g))
            go_on(g);
    } while (g->state != before && !g->has_event);
    if (g->has_event || !beats(g))
        return;
    if (g->heartbeat_us <= g->now_us && !g->busy[CALL_HEARTBEAT])
        g->ways->heartbeat(g);
    if (g->state == GROUP_MEMBER && g->config.commit_ms > 0 && g->commit_us <= g->now_us &&
        !g->busy[CALL_COMMIT])
        client_group_commit_now(g);
}

uint64_t client_group_deadline(const struct client_group *g)
{
    uint64_t due = CLIENT_NEVER;

    if (g->state != GROUP_MEMBER && !waits(g))
        due = g->due_us;
    if (beats(g) && !g->busy[CALL_HEARTBEAT])
        due = MIN(due, g->heartbeat_us);
    if (g->state == GROUP_MEMBER && g->config.commit_ms > 0 && !g->busy[CALL_COMMIT])
        due = MIN(due, g->commit_us);
    return due;
}

/* -- the owner -- */

void client_group_position(struct client_group *g, const struct client_topic *topic, int32_t partition,
                           int64_t position)
{
    struct client_group_partition *one = client_group_mine(g, topic, partition);
    bool has = g->config.protocol == CLIENT_GROUP_CONSUMER
                   ? one && one - g->mine < g->mine_count - g->giving - g->adding
                   : g->holding;

    if (has && one)
        one->position = position;
}

int64_t client_group_committed(const struct client_group *g, const struct client_topic *topic,
                               int32_t partition)
{
    const struct client_group_partition *one = client_group_mine(g, topic, partition);

    return one ? one->committed : -1;
}

int64_t client_group_committing(const struct client_group *g, const struct client_topic *topic,
                                int32_t partition, int32_t *ret_generation)
{
    for (int32_t i = 0; g->busy[CALL_COMMIT] && i < g->committing_count; i++) {
        const struct group_committing *one = &g->committing[i];
        if (one->topic != topic || one->partition != partition)
            continue;
        *ret_generation = g->committing_generation;
        return one->position;
    }
    return -1;
}

void client_group_commit(struct client_group *g, uint64_t now_us)
{
    g->now_us = now_us;
    if (g->state == GROUP_MEMBER && !g->busy[CALL_COMMIT])
        client_group_commit_now(g);
}

void client_group_leave(struct client_group *g, uint64_t now_us)
{
    bool joining = g->state == GROUP_JOIN && g->busy[CALL_HEARTBEAT];

    g->now_us = now_us;
    g->leaving = true;
    if (g->state == GROUP_OVER)
        return;
    if (g->state == GROUP_MEMBER || g->state == GROUP_OFFSETS || g->state == GROUP_GIVING_UP)
        client_group_enter(g, GROUP_LEAVING, now_us);
    else if (!g->busy[CALL_JOIN] && !g->busy[CALL_SYNC] && !g->busy[CALL_FIND] && !joining)
        client_group_enter(g, GROUP_LEAVING, now_us);
}

int32_t client_group_coordinator(const struct client_group *g)
{
    return g->node;
}

int32_t client_group_generation(const struct client_group *g)
{
    return g->generation;
}

struct str client_group_member_id(const struct client_group *g)
{
    return str_from(g->member_id);
}
