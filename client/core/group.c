/* SPDX-License-Identifier: Apache-2.0 */
#include "client/core/group.h"

#include <string.h>

#include "client/core/group_protocol.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

#define ARENA_BYTES      (64u << 20)
#define ID_MAX           512
#define CALL_TIMEOUT_US  5000000
#define RETRY_US         200000
#define OLD_NAME_VERSION 9 /* of OffsetCommit and OffsetFetch: the last that goes by names */
#define BYTES_MAX        (16u << 20)

enum state {
    GROUP_FIND, /* the coordinator */
    GROUP_JOIN,
    GROUP_SYNC,
    GROUP_OFFSETS, /* of what was assigned */
    GROUP_MEMBER,
    GROUP_GIVING_UP, /* committing what was read, then JOIN */
    GROUP_LEAVING,   /* committing, then LeaveGroup */
    GROUP_OVER,
};

enum call {
    CALL_FIND,
    CALL_JOIN,
    CALL_SYNC,
    CALL_OFFSETS,
    CALL_HEARTBEAT,
    CALL_COMMIT,
    CALL_LEAVE,
    CALL_COUNT
};
STATIC_ASSERT(CALL_COUNT <= CLIENT_GROUP_TAGS, "a tag for each kind of call");

struct client_group {
    struct client *client;
    struct core_alloc alloc;
    struct client_group_config config;
    struct client_topic **topics;
    int32_t topics_count;
    enum state state;
    bool busy[CALL_COUNT];
    bool leaving;
    uint64_t now_us, due_us, heartbeat_us, commit_us;
    int32_t node, generation;
    char member_id[ID_MAX];
    struct arena round;             /* what lives for one generation */
    struct arena calls[CALL_COUNT]; /* a request until its answer */
    struct client_group_partition *mine;
    int32_t mine_count;
    int64_t *committing; /* positions in the commit on its way, by index of mine; -1: not in it */
    struct client_group_event event;
    bool has_event;
    bool holding; /* the owner has the partitions */
};

void client_group_config_init(struct client_group_config *config)
{
    *config = (struct client_group_config){.group_id = STR_NULL,
                                           .instance_id = STR_NULL,
                                           .session_timeout_ms = 45000,
                                           .rebalance_timeout_ms = 300000,
                                           .heartbeat_ms = 3000,
                                           .commit_ms = 5000};
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
                               .topics = copy,
                               .topics_count = topics_count,
                               .node = -1,
                               .generation = -1};
    arena_init(&g->round, NULL, 0, ARENA_BYTES);
    for (int i = 0; i < CALL_COUNT; i++)
        arena_init(&g->calls[i], NULL, 0, ARENA_BYTES);
    return g;
}

void client_group_free(struct client_group *g)
{
    arena_free(&g->round);
    for (int i = 0; i < CALL_COUNT; i++)
        arena_free(&g->calls[i]);
    core_give(&g->alloc, g->topics, (size_t)g->topics_count * sizeof(*g->topics));
    struct core_alloc alloc = g->alloc;
    core_give(&alloc, g, sizeof(*g));
}

/* -- states -- */

static void tell(struct client_group *g, enum client_group_event_type type)
{
    ASSERT(!g->has_event);
    g->event = (struct client_group_event){
        .type = type, .generation = g->generation, .partitions = g->mine, .partitions_count = g->mine_count};
    g->has_event = true;
}

static void give_up(struct client_group *g, struct client_failure failure)
{
    tell(g, CLIENT_GROUP_FAILED);
    g->event.failure = failure;
    g->state = GROUP_OVER;
    g->holding = false;
}

static void enter(struct client_group *g, enum state state, uint64_t at_us)
{
    g->state = state;
    g->due_us = at_us;
}

/* Partitions are taken back; they may be another member's already when lost. */
static void revoke(struct client_group *g, enum state next)
{
    if (g->holding)
        tell(g, CLIENT_GROUP_REVOKED);
    g->holding = false;
    enter(g, next, g->now_us);
}

/* Nothing of our membership can be used any more but perhaps the id. */
static void lose(struct client_group *g, bool forget_id, enum state next)
{
    if (forget_id)
        g->member_id[0] = '\0';
    for (int32_t i = 0; i < g->mine_count; i++)
        g->mine[i].position = -1; /* must not be committed under another generation */
    if (g->leaving)
        next = GROUP_LEAVING;
    revoke(g, next);
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

/* -- calls -- */

static void *begin(struct client_group *g, enum call call, size_t size)
{
    arena_reset(&g->calls[call]);
    return arena_calloc(&g->calls[call], 1, size);
}

static void start(struct client_group *g, enum call call, int16_t api_key, int16_t version_max,
                  const void *message, uint64_t timeout_us)
{
    struct client_request request = {.api_key = api_key,
                                     .version_max = version_max,
                                     .message = message,
                                     .node = call == CALL_FIND ? CLIENT_ANY_NODE : g->node,
                                     .timeout_us = timeout_us,
                                     .repeatable = call == CALL_FIND || call == CALL_OFFSETS,
                                     .tag = g->config.tag + call};

    ASSERT(!g->busy[call]);
    if (message && client_call(g->client, g->now_us, &request) == OK)
        g->busy[call] = true;
    else
        g->due_us = g->now_us + RETRY_US; /* out of memory: later */
}

static void find(struct client_group *g)
{
    struct kafka_find_coordinator_request *request = begin(g, CALL_FIND, sizeof(*request));
    struct str *key = arena_copy(&g->calls[CALL_FIND], &g->config.group_id, sizeof(*key));

    if (request)
        kafka_find_coordinator_request_init(request);
    if (request && key) {
        request->coordinator_keys = key;
        request->coordinator_keys_count = 1;
    }
    start(g, CALL_FIND, KAFKA_API_FIND_COORDINATOR, 0, key ? request : NULL, 30 * 1000000ull);
}

/* What a writer made, as bytes in the arena. */
static struct bytes keep(struct writer *w, struct arena *arena)
{
    size_t len = writer_pos(w);
    const uint8_t *p = w->err == OK ? arena_copy(arena, w->buf->data, len) : NULL;

    writer_free(w);
    return p ? (struct bytes){p, (int32_t)len} : BYTES_NULL;
}

static struct bytes subscription(struct client_group *g, struct arena *arena)
{
    struct str *names = arena_calloc(arena, (size_t)g->topics_count, sizeof(*names));
    struct writer w;

    if (!names)
        return BYTES_NULL;
    for (int32_t i = 0; i < g->topics_count; i++)
        names[i] = str_from(client_topic_name(g->topics[i]));
    writer_init(&w, NULL, 256, BYTES_MAX);
    group_subscription_encode(&w, names, g->topics_count);
    return keep(&w, arena);
}

static void join(struct client_group *g)
{
    struct arena *arena = &g->calls[CALL_JOIN];
    struct kafka_join_group_request *request = begin(g, CALL_JOIN, sizeof(*request));
    struct kafka_join_group_request_protocol *protocol = arena_calloc(arena, 1, sizeof(*protocol));
    bool ok = request && protocol;

    if (ok) {
        kafka_join_group_request_init(request);
        request->group_id = g->config.group_id;
        request->session_timeout_ms = g->config.session_timeout_ms;
        request->rebalance_timeout_ms = g->config.rebalance_timeout_ms;
        request->member_id = str_from(g->member_id);
        request->group_instance_id = g->config.instance_id;
        request->protocol_type = STR_LIT(GROUP_PROTOCOL_TYPE);
        protocol->name = STR_LIT("range");
        protocol->metadata = subscription(g, arena);
        request->protocols = protocol;
        request->protocols_count = 1;
        ok = protocol->metadata.len >= 0;
    }
    start(g, CALL_JOIN, KAFKA_API_JOIN_GROUP, 0, ok ? request : NULL,
          (uint64_t)g->config.rebalance_timeout_ms * 1000 + CALL_TIMEOUT_US);
}

static void fetch_offsets(struct client_group *g)
{
    struct arena *arena = &g->calls[CALL_OFFSETS];
    struct kafka_offset_fetch_request *request = begin(g, CALL_OFFSETS, sizeof(*request));
    struct kafka_offset_fetch_request_group *group = arena_calloc(arena, 1, sizeof(*group));
    struct kafka_offset_fetch_request_group_topic *topics =
        arena_calloc(arena, (size_t)g->mine_count, sizeof(*topics));
    bool ok = request && group && topics;

    if (ok) {
        kafka_offset_fetch_request_init(request);
        kafka_offset_fetch_request_group_init(group);
        request->groups = group;
        request->groups_count = 1;
        request->require_stable = true;
        group->group_id = g->config.group_id;
        group->topics = topics;
        group->topics_count = g->mine_count;
        for (int32_t i = 0; i < g->mine_count; i++) {
            topics[i].name = str_from(client_topic_name(g->mine[i].topic));
            topics[i].partition_indexes = &g->mine[i].partition;
            topics[i].partition_indexes_count = 1;
        }
    }
    start(g, CALL_OFFSETS, KAFKA_API_OFFSET_FETCH, OLD_NAME_VERSION, ok ? request : NULL, CALL_TIMEOUT_US);
}

static void heartbeat(struct client_group *g)
{
    struct kafka_heartbeat_request *request = begin(g, CALL_HEARTBEAT, sizeof(*request));

    g->heartbeat_us = g->now_us + (uint64_t)g->config.heartbeat_ms * 1000;
    if (!request)
        return;
    request->group_id = g->config.group_id;
    request->generation_id = g->generation;
    request->member_id = str_from(g->member_id);
    request->group_instance_id = g->config.instance_id;
    start(g, CALL_HEARTBEAT, KAFKA_API_HEARTBEAT, 0, request, (uint64_t)g->config.session_timeout_ms * 1000);
}

static bool uncommitted(const struct client_group_partition *one)
{
    return one->position >= 0 && one->position != one->committed;
}

/* False: there is nothing to commit. */
static bool commit(struct client_group *g)
{
    struct arena *arena = &g->calls[CALL_COMMIT];
    size_t count = (size_t)g->mine_count;
    struct kafka_offset_commit_request *request = begin(g, CALL_COMMIT, sizeof(*request));
    struct kafka_offset_commit_request_topic *topics = arena_calloc(arena, count, sizeof(*topics));
    struct kafka_offset_commit_request_partition *partitions =
        arena_calloc(arena, count, sizeof(*partitions));

    g->commit_us = g->now_us + (uint64_t)g->config.commit_ms * 1000;
    g->committing = arena_calloc(arena, count, sizeof(*g->committing));
    if (!request || !topics || !partitions || !g->committing)
        return false;
    kafka_offset_commit_request_init(request);
    request->group_id = g->config.group_id;
    request->generation_id_or_member_epoch = g->generation;
    request->member_id = str_from(g->member_id);
    request->group_instance_id = g->config.instance_id;
    request->topics = topics;
    for (int32_t i = 0; i < g->mine_count; i++) {
        g->committing[i] = uncommitted(&g->mine[i]) ? g->mine[i].position : -1;
        if (g->committing[i] < 0)
            continue;
        kafka_offset_commit_request_partition_init(&partitions[i]);
        partitions[i].partition_index = g->mine[i].partition;
        partitions[i].committed_offset = g->mine[i].position;
        partitions[i].committed_metadata = STR_LIT("");
        struct kafka_offset_commit_request_topic *topic = &topics[request->topics_count++];
        topic->name = str_from(client_topic_name(g->mine[i].topic));
        topic->partitions = &partitions[i];
        topic->partitions_count = 1;
    }
    if (request->topics_count == 0)
        return false;
    start(g, CALL_COMMIT, KAFKA_API_OFFSET_COMMIT, OLD_NAME_VERSION, request, CALL_TIMEOUT_US);
    return true;
}

static void leave(struct client_group *g)
{
    struct kafka_leave_group_request *request = begin(g, CALL_LEAVE, sizeof(*request));
    struct kafka_leave_group_request_member *member = arena_calloc(&g->calls[CALL_LEAVE], 1, sizeof(*member));

    if (g->member_id[0] == '\0' || g->config.instance_id.len >= 0 || !request || !member) {
        tell(g, CLIENT_GROUP_LEFT); /* a static member only stops */
        g->state = GROUP_OVER;
        return;
    }
    kafka_leave_group_request_init(request);
    kafka_leave_group_request_member_init(member);
    request->group_id = g->config.group_id;
    request->members = member;
    request->members_count = 1;
    member->member_id = str_from(g->member_id);
    start(g, CALL_LEAVE, KAFKA_API_LEAVE_GROUP, 0, request, CALL_TIMEOUT_US);
}

/* -- answers -- */

/* What an error means for a member. True: dealt with. */
static bool setback(struct client_group *g, int16_t error)
{
    switch (error) {
    case KAFKA_NONE: return false;
    case KAFKA_UNKNOWN_MEMBER_ID: lose(g, true, GROUP_JOIN); return true;
    case KAFKA_ILLEGAL_GENERATION: lose(g, false, GROUP_JOIN); return true;
    case KAFKA_NOT_COORDINATOR:
    case KAFKA_COORDINATOR_NOT_AVAILABLE:
        if (g->holding) /* still ours: another coordinator knows us */
            enter(g, GROUP_FIND, g->now_us + RETRY_US);
        else
            lose(g, false, GROUP_FIND);
        return true;
    case KAFKA_COORDINATOR_LOAD_IN_PROGRESS: g->due_us = g->now_us + RETRY_US; return true;
    case KAFKA_REBALANCE_IN_PROGRESS:
        revoke(g, g->leaving ? GROUP_LEAVING : g->holding ? GROUP_GIVING_UP : GROUP_JOIN);
        return true;
    default: give_up(g, (struct client_failure){ERR_REJECTED, error}); return true;
    }
}

static void on_find(struct client_group *g, const void *message)
{
    const struct kafka_find_coordinator_response *response = message;
    bool batch = response->coordinators_count > 0;
    int16_t error = batch ? response->coordinators[0].error_code : response->error_code;

    if (error != KAFKA_NONE) {
        give_up(g, (struct client_failure){ERR_REJECTED, error});
        return;
    }
    g->node = batch ? response->coordinators[0].node_id : response->node_id;
    g->heartbeat_us = g->now_us;
    enter(g, g->leaving ? GROUP_LEAVING : g->holding ? GROUP_MEMBER : GROUP_JOIN, g->now_us);
}

static int32_t partitions_of(void *ctx, struct str topic)
{
    const struct client_group *g = ctx;

    for (int32_t i = 0; i < g->topics_count; i++)
        if (str_eq_z(topic, client_topic_name(g->topics[i])))
            return client_topic_partitions(g->topics[i]);
    return 0; /* of another member's wishes: whoever leads and knows it will give it out */
}

static bool decide(struct client_group *g, const struct kafka_join_group_response *joined,
                   struct kafka_sync_group_request *sync, struct arena *arena)
{
    size_t count = (size_t)joined->members_count;
    struct group_candidate *members = arena_calloc(arena, count, sizeof(*members));

    sync->assignments = arena_calloc(arena, count, sizeof(*sync->assignments));
    if (!members || !sync->assignments)
        return false;
    for (size_t i = 0; i < count; i++) {
        const char *id =
            arena_copy(arena, joined->members[i].member_id.p, (size_t)joined->members[i].member_id.len);
        if (!id || group_subscription_decode(joined->members[i].metadata, arena, &members[i].subscription) ==
                       ERR_NOMEM)
            return false;
        members[i].id = (struct str){id, joined->members[i].member_id.len};
    }
    if (group_assign_range(members, joined->members_count, partitions_of, g, arena) != OK)
        return false;
    for (size_t i = 0; i < count; i++) {
        struct writer w;
        writer_init(&w, NULL, 256, BYTES_MAX);
        group_assignment_encode(&w, &members[i].assignment);
        sync->assignments[i].member_id = members[i].id;
        sync->assignments[i].assignment = keep(&w, arena);
        if (sync->assignments[i].assignment.len < 0)
            return false;
    }
    sync->assignments_count = joined->members_count;
    return true;
}

static void sync(struct client_group *g, const struct kafka_join_group_response *joined)
{
    struct kafka_sync_group_request *request = begin(g, CALL_SYNC, sizeof(*request));
    bool ok = request != NULL;

    if (ok) {
        kafka_sync_group_request_init(request);
        request->group_id = g->config.group_id;
        request->generation_id = g->generation;
        request->member_id = str_from(g->member_id);
        request->group_instance_id = g->config.instance_id;
        request->protocol_type = STR_LIT(GROUP_PROTOCOL_TYPE);
        request->protocol_name = STR_LIT("range");
        if (joined->members_count > 0 && !joined->skip_assignment)
            ok = decide(g, joined, request, &g->calls[CALL_SYNC]);
    }
    if (!ok) {
        enter(g, GROUP_JOIN, g->now_us + RETRY_US);
        return;
    }
    enter(g, GROUP_SYNC, CLIENT_NEVER);
    start(g, CALL_SYNC, KAFKA_API_SYNC_GROUP, 0, request,
          (uint64_t)g->config.rebalance_timeout_ms * 1000 + CALL_TIMEOUT_US);
}

static void on_join(struct client_group *g, const void *message)
{
    const struct kafka_join_group_response *response = message;
    bool named = response->error_code == KAFKA_NONE || response->error_code == KAFKA_MEMBER_ID_REQUIRED;

    if (named && response->member_id.len < ID_MAX)
        str_copy(response->member_id, g->member_id, sizeof(g->member_id));
    if (g->leaving) {
        enter(g, GROUP_LEAVING, g->now_us);
    } else if (response->error_code == KAFKA_MEMBER_ID_REQUIRED) {
        enter(g, GROUP_JOIN, g->now_us);
    } else if (!setback(g, response->error_code)) {
        g->generation = response->generation_id;
        sync(g, response);
    }
}

static struct client_topic *topic_of(const struct client_group *g, struct str name)
{
    for (int32_t i = 0; i < g->topics_count; i++)
        if (str_eq_z(name, client_topic_name(g->topics[i])))
            return g->topics[i];
    return NULL;
}

static bool take_assignment(struct client_group *g, struct bytes bytes)
{
    struct group_assignment assignment;
    size_t count = 0;

    arena_reset(&g->round);
    g->mine = NULL;
    g->mine_count = 0;
    if (group_assignment_decode(bytes, &g->round, &assignment) != OK)
        return false;
    for (int32_t t = 0; t < assignment.topics_count; t++)
        count += (size_t)assignment.topics[t].partitions_count;
    g->mine = arena_calloc(&g->round, count, sizeof(*g->mine));
    for (int32_t t = 0; g->mine && t < assignment.topics_count; t++)
        for (int32_t i = 0; i < assignment.topics[t].partitions_count; i++) {
            struct client_topic *topic = topic_of(g, assignment.topics[t].topic);
            if (topic)
                g->mine[g->mine_count++] =
                    (struct client_group_partition){.topic = topic,
                                                    .partition = assignment.topics[t].partitions[i],
                                                    .committed = -1,
                                                    .position = -1};
        }
    return g->mine != NULL;
}

static void on_sync(struct client_group *g, const void *message)
{
    const struct kafka_sync_group_response *response = message;

    if (g->leaving)
        enter(g, GROUP_LEAVING, g->now_us);
    else if (setback(g, response->error_code))
        return;
    else if (!take_assignment(g, response->assignment))
        give_up(g, (struct client_failure){.err = ERR_MALFORMED});
    else
        enter(g, GROUP_OFFSETS, g->now_us);
    g->heartbeat_us = g->now_us + (uint64_t)g->config.heartbeat_ms * 1000;
}

static void note_committed(struct client_group *g, const struct kafka_offset_fetch_response_group *group)
{
    for (int32_t t = 0; t < group->topics_count; t++)
        for (int32_t i = 0; i < group->topics[t].partitions_count; i++)
            for (int32_t k = 0; k < g->mine_count; k++)
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

    if (g->state != GROUP_OFFSETS)
        return;
    if (response->groups_count != 1) {
        give_up(g, (struct client_failure){.err = ERR_MALFORMED});
        return;
    }
    if (setback(g, offsets_error(&response->groups[0])))
        return;
    note_committed(g, &response->groups[0]);
    g->holding = true;
    g->commit_us = g->now_us + (uint64_t)g->config.commit_ms * 1000;
    enter(g, GROUP_MEMBER, g->now_us);
    tell(g, CLIENT_GROUP_ASSIGNED);
}

static void on_heartbeat(struct client_group *g, const void *message)
{
    if (g->state == GROUP_MEMBER || g->state == GROUP_OFFSETS)
        setback(g, ((const struct kafka_heartbeat_response *)message)->error_code);
}

static void on_commit(struct client_group *g, const void *message)
{
    const struct kafka_offset_commit_response *response = message;
    int16_t error = KAFKA_NONE;

    for (int32_t t = 0; t < response->topics_count && error == KAFKA_NONE; t++)
        for (int32_t i = 0; i < response->topics[t].partitions_count && error == KAFKA_NONE; i++)
            error = response->topics[t].partitions[i].error_code;
    for (int32_t i = 0; error == KAFKA_NONE && i < g->mine_count; i++)
        if (g->committing[i] >= 0)
            g->mine[i].committed = g->committing[i];
    if (g->state == GROUP_GIVING_UP)
        enter(g, GROUP_JOIN, g->now_us); /* saved, or not ours any more */
    else if (g->state == GROUP_MEMBER && error != KAFKA_UNKNOWN_TOPIC_OR_PARTITION)
        setback(g, error);
    else if (g->state == GROUP_LEAVING)
        for (int32_t i = 0; i < g->mine_count; i++)
            g->mine[i].position = -1; /* once is enough */
}

static void on_leave(struct client_group *g, const void *message)
{
    tell(g, CLIENT_GROUP_LEFT);
    g->state = GROUP_OVER;
}

/* No answer, or none that can be read: the coordinator may be another one by now. */
static void unanswered(struct client_group *g, enum call call)
{
    if (call == CALL_LEAVE) {
        on_leave(g, NULL);
        return;
    }
    if (call == CALL_COMMIT && g->state == GROUP_GIVING_UP)
        enter(g, GROUP_JOIN, g->now_us);
    if (g->state == GROUP_LEAVING)
        for (int32_t i = 0; i < g->mine_count; i++)
            g->mine[i].position = -1;
    if (g->state == GROUP_SYNC || g->state == GROUP_JOIN || g->state == GROUP_OFFSETS ||
        g->state == GROUP_MEMBER || g->state == GROUP_FIND)
        enter(g, GROUP_FIND, g->now_us + RETRY_US);
}

void client_group_reply(struct client_group *g, uint64_t now_us, const struct client_reply *reply)
{
    static void (*const take[CALL_COUNT])(struct client_group * g, const void *message) = {
        [CALL_FIND] = on_find,       [CALL_JOIN] = on_join,           [CALL_SYNC] = on_sync,
        [CALL_OFFSETS] = on_offsets, [CALL_HEARTBEAT] = on_heartbeat, [CALL_COMMIT] = on_commit,
        [CALL_LEAVE] = on_leave,
    };
    enum call call = (enum call)(reply->tag - g->config.tag);

    ASSERT(client_group_owns(g, reply->tag) && g->busy[call] && !g->has_event);
    g->now_us = now_us;
    g->busy[call] = false;
    if (g->state == GROUP_OVER)
        return;
    if (reply->failure.err != OK)
        unanswered(g, call);
    else
        take[call](g, reply->message);
}

/* -- time -- */

static void act_as_member(struct client_group *g)
{
    if (g->heartbeat_us <= g->now_us && !g->busy[CALL_HEARTBEAT])
        heartbeat(g);
    if (g->config.commit_ms > 0 && g->commit_us <= g->now_us && !g->busy[CALL_COMMIT])
        commit(g);
}

static void go_on(struct client_group *g)
{
    switch (g->state) {
    case GROUP_FIND:
        if (!g->busy[CALL_FIND])
            find(g);
        return;
    case GROUP_JOIN:
        if (!g->busy[CALL_JOIN])
            join(g);
        return;
    case GROUP_OFFSETS:
        if (!g->busy[CALL_OFFSETS])
            fetch_offsets(g);
        return;
    case GROUP_GIVING_UP:
        if (!g->busy[CALL_COMMIT] && !commit(g))
            enter(g, GROUP_JOIN, g->now_us);
        return;
    case GROUP_LEAVING:
        if (!g->busy[CALL_COMMIT] && !g->busy[CALL_LEAVE] && !commit(g))
            leave(g);
        return;
    case GROUP_MEMBER:
    case GROUP_SYNC:
    case GROUP_OVER: return;
    }
}

void client_group_turn(struct client_group *g, uint64_t now_us)
{
    g->now_us = now_us;
    if (g->has_event || g->state == GROUP_OVER)
        return; /* first things first */
    enum state before;
    do {
        before = g->state;
        if (g->due_us <= now_us)
            go_on(g);
    } while (g->state != before && !g->has_event);
    if (g->state == GROUP_MEMBER && !g->has_event)
        act_as_member(g);
}

uint64_t client_group_deadline(const struct client_group *g)
{
    bool waits = g->busy[CALL_FIND] || g->busy[CALL_JOIN] || g->busy[CALL_SYNC] || g->busy[CALL_OFFSETS] ||
                 g->busy[CALL_LEAVE];
    uint64_t due = CLIENT_NEVER;

    if (g->state == GROUP_OVER)
        return CLIENT_NEVER;
    if (g->state != GROUP_MEMBER)
        return waits || g->busy[CALL_COMMIT] ? CLIENT_NEVER : g->due_us;
    if (!g->busy[CALL_HEARTBEAT])
        due = g->heartbeat_us;
    if (g->config.commit_ms > 0 && !g->busy[CALL_COMMIT])
        due = MIN(due, g->commit_us);
    return due;
}

/* -- the owner -- */

static struct client_group_partition *mine_of(const struct client_group *g, const struct client_topic *topic,
                                              int32_t partition)
{
    for (int32_t i = 0; i < g->mine_count; i++)
        if (g->mine[i].topic == topic && g->mine[i].partition == partition)
            return &g->mine[i];
    return NULL;
}

void client_group_position(struct client_group *g, const struct client_topic *topic, int32_t partition,
                           int64_t position)
{
    struct client_group_partition *one = g->holding ? mine_of(g, topic, partition) : NULL;

    if (one)
        one->position = position;
}

int64_t client_group_committed(const struct client_group *g, const struct client_topic *topic,
                               int32_t partition)
{
    const struct client_group_partition *one = mine_of(g, topic, partition);

    return one ? one->committed : -1;
}

void client_group_commit(struct client_group *g, uint64_t now_us)
{
    g->now_us = now_us;
    if (g->state == GROUP_MEMBER && !g->busy[CALL_COMMIT])
        commit(g);
}

void client_group_leave(struct client_group *g, uint64_t now_us)
{
    g->now_us = now_us;
    g->leaving = true;
    if (g->state == GROUP_MEMBER || g->state == GROUP_OFFSETS || g->state == GROUP_GIVING_UP)
        enter(g, GROUP_LEAVING, now_us);
    else if (!g->busy[CALL_JOIN] && !g->busy[CALL_SYNC] && !g->busy[CALL_FIND])
        enter(g, GROUP_LEAVING, now_us);
}

int32_t client_group_coordinator(const struct client_group *g)
{
    return g->node;
}
