/* SPDX-License-Identifier: Apache-2.0 */
/* The classic protocol: members join a generation together, one of them gives out the partitions (range),
 * and all give everything back before the next generation. */
#include <string.h>

#include "client/core/group_internal.h"
#include "client/core/group_protocol.h"

#define BYTES_MAX (16u << 20)

/* Partitions are taken back; they may be another member's already when lost. */
static void revoke(struct client_group *g, enum group_state next)
{
    if (g->holding)
        client_group_tell(g, CLIENT_GROUP_REVOKED, 0, g->mine_count);
    g->holding = false;
    client_group_enter(g, next, g->now_us);
}

/* Nothing of our membership can be used any more but perhaps the id. */
static void lose(struct client_group *g, bool forget_id, enum group_state next)
{
    if (forget_id)
        g->member_id[0] = '\0';
    g->life++;
    client_group_forget_positions(g, 0, g->mine_count); /* not under another generation */
    revoke(g, g->leaving ? GROUP_LEAVING : next);
}

static bool setback(struct client_group *g, int16_t error)
{
    switch (error) {
    case KAFKA_NONE: return false;
    case KAFKA_GROUP_ID_NOT_FOUND: /* a commit, and all members were given up */
    case KAFKA_UNKNOWN_MEMBER_ID: lose(g, true, GROUP_JOIN); return true;
    case KAFKA_ILLEGAL_GENERATION: lose(g, false, GROUP_JOIN); return true;
    case KAFKA_NOT_COORDINATOR:
    case KAFKA_COORDINATOR_NOT_AVAILABLE:
        if (g->holding) /* still ours: another coordinator knows us */
            client_group_enter(g, GROUP_FIND, g->now_us + GROUP_RETRY_US);
        else
            lose(g, false, GROUP_FIND);
        g->due_us = g->now_us + GROUP_RETRY_US; /* it may be the same one, and as little able to */
        return true;
    case KAFKA_COORDINATOR_LOAD_IN_PROGRESS: /* another one than has told our generation */
        client_group_enter(g, g->state == GROUP_SYNC ? GROUP_JOIN : g->state, g->now_us + GROUP_RETRY_US);
        return true;
    case KAFKA_REBALANCE_IN_PROGRESS:
        revoke(g, g->leaving ? GROUP_LEAVING : g->holding ? GROUP_GIVING_UP : GROUP_JOIN);
        return true;
    default: client_group_give_up(g, (struct client_failure){ERR_REJECTED, error}); return true;
    }
}

static void found(struct client_group *g)
{
    client_group_enter(g, g->leaving ? GROUP_LEAVING : g->holding ? GROUP_MEMBER : GROUP_JOIN, g->now_us);
}

/* -- joining -- */

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
    struct kafka_join_group_request *request = client_group_begin(g, CALL_JOIN, sizeof(*request));
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
    client_group_start(g, CALL_JOIN, KAFKA_API_JOIN_GROUP, ok ? request : NULL,
                       (uint64_t)g->config.rebalance_timeout_ms * 1000 + GROUP_CALL_TIMEOUT_US);
}

/* -- leading -- */

static struct client_topic *topic_of(const struct client_group *g, struct str name)
{
    for (int32_t i = 0; i < g->topics_count; i++)
        if (str_eq_z(name, client_topic_name(g->topics[i])))
            return g->topics[i];
    return NULL;
}

/* 0 of another member's wishes: whoever leads and knows the topic will give it out. */
static int32_t partitions_of(void *ctx, struct str name)
{
    const struct client_topic *topic = topic_of(ctx, name);

    return topic ? client_topic_partitions(topic) : 0;
}

static bool read_members(const struct kafka_join_group_response *joined, struct arena *arena,
                         struct group_candidate *members)
{
    for (int32_t i = 0; i < joined->members_count; i++) {
        struct str id = joined->members[i].member_id;
        const char *copy = arena_copy(arena, id.p, (size_t)id.len);
        if (!copy || group_subscription_decode(joined->members[i].metadata, arena,
                                               &members[i].subscription) == ERR_NOMEM)
            return false;
        members[i].id = (struct str){copy, id.len};
    }
    return true;
}

static bool decide(struct client_group *g, const struct kafka_join_group_response *joined,
                   struct kafka_sync_group_request *sync, struct arena *arena)
{
    size_t count = (size_t)joined->members_count;
    struct group_candidate *members = arena_calloc(arena, count, sizeof(*members));

    sync->assignments = arena_calloc(arena, count, sizeof(*sync->assignments));
    if (!members || !sync->assignments || !read_members(joined, arena, members) ||
        group_assign_range(members, joined->members_count, partitions_of, g, arena) != OK)
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
    struct kafka_sync_group_request *request = client_group_begin(g, CALL_SYNC, sizeof(*request));
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
        client_group_enter(g, GROUP_JOIN, g->now_us + GROUP_RETRY_US);
        return;
    }
    client_group_enter(g, GROUP_SYNC, CLIENT_NEVER);
    client_group_start(g, CALL_SYNC, KAFKA_API_SYNC_GROUP, request,
                       (uint64_t)g->config.rebalance_timeout_ms * 1000 + GROUP_CALL_TIMEOUT_US);
    if (!g->busy[CALL_SYNC]) /* no memory for it */
        client_group_enter(g, GROUP_JOIN, g->now_us + GROUP_RETRY_US);
}

/* -- answers -- */

static void on_join(struct client_group *g, const void *message)
{
    const struct kafka_join_group_response *response = message;
    bool named = response->error_code == KAFKA_NONE || response->error_code == KAFKA_MEMBER_ID_REQUIRED;

    if (named && response->member_id.len < GROUP_ID_MAX)
        str_copy(response->member_id, g->member_id, sizeof(g->member_id));
    if (g->leaving) {
        client_group_enter(g, GROUP_LEAVING, g->now_us);
    } else if (response->error_code == KAFKA_MEMBER_ID_REQUIRED) {
        client_group_enter(g, GROUP_JOIN, g->now_us);
    } else if (!setback(g, response->error_code)) {
        g->generation = response->generation_id;
        client_group_forget_positions(g, 0, g->mine_count); /* of the one before: not under this one */
        sync(g, response);
    }
}

static void take_topic(struct client_group *g, const struct group_assigned_topic *assigned)
{
    struct client_topic *topic = topic_of(g, assigned->topic);

    for (int32_t i = 0; topic && i < assigned->partitions_count; i++)
        g->mine[g->mine_count++] = (struct client_group_partition){
            .topic = topic, .partition = assigned->partitions[i], .committed = -1, .position = -1};
}

static bool take_assignment(struct client_group *g, struct bytes bytes)
{
    struct group_assignment assignment;
    int32_t count = 0;

    g->mine_count = 0;
    g->life++;
    arena_reset(&g->wanting);
    if (group_assignment_decode(bytes, &g->wanting, &assignment) != OK)
        return false;
    for (int32_t t = 0; t < assignment.topics_count; t++)
        count += assignment.topics[t].partitions_count;
    g->mine = client_group_room(g, count);
    for (int32_t t = 0; g->mine && t < assignment.topics_count; t++)
        take_topic(g, &assignment.topics[t]);
    return g->mine != NULL;
}

static void on_sync(struct client_group *g, const void *message)
{
    const struct kafka_sync_group_response *response = message;

    if (g->leaving)
        client_group_enter(g, GROUP_LEAVING, g->now_us);
    else if (setback(g, response->error_code))
        return;
    else if (!take_assignment(g, response->assignment))
        client_group_give_up(g, (struct client_failure){.err = ERR_MALFORMED});
    else
        client_group_enter(g, GROUP_OFFSETS, g->now_us);
    g->heartbeat_us = g->now_us + (uint64_t)g->config.heartbeat_ms * 1000;
}

static void got_offsets(struct client_group *g)
{
    g->holding = true;
    client_group_enter(g, GROUP_MEMBER, g->now_us);
    client_group_tell(g, CLIENT_GROUP_ASSIGNED, 0, g->mine_count);
}

/* -- while in a generation -- */

static void heartbeat(struct client_group *g)
{
    struct kafka_heartbeat_request *request = client_group_begin(g, CALL_HEARTBEAT, sizeof(*request));

    g->heartbeat_us = g->now_us + (uint64_t)g->config.heartbeat_ms * 1000;
    if (!request)
        return;
    request->group_id = g->config.group_id;
    request->generation_id = g->generation;
    request->member_id = str_from(g->member_id);
    request->group_instance_id = g->config.instance_id;
    g->beat_life = g->life;
    client_group_start(g, CALL_HEARTBEAT, KAFKA_API_HEARTBEAT, request,
                       (uint64_t)g->config.session_timeout_ms * 1000);
}

static void on_heartbeat(struct client_group *g, const void *message)
{
    if (g->beat_life == g->life && (g->state == GROUP_MEMBER || g->state == GROUP_OFFSETS))
        setback(g, ((const struct kafka_heartbeat_response *)message)->error_code);
}

static void member(struct client_group *g)
{
}

static void give_up(struct client_group *g)
{
    if (!client_group_commit_now(g))
        client_group_enter(g, GROUP_JOIN, g->now_us);
}

static void committed(struct client_group *g, int16_t error)
{
    if (g->state == GROUP_GIVING_UP)
        client_group_enter(g, GROUP_JOIN, g->now_us); /* saved, or not ours any more */
    else if (g->state == GROUP_MEMBER && error != KAFKA_UNKNOWN_TOPIC_OR_PARTITION)
        setback(g, error);
}

/* Calls of a membership that is over, or that nothing waits for, change nothing. */
static bool matters(const struct client_group *g, enum group_call call)
{
    switch (g->state) {
    case GROUP_FIND: return call == CALL_FIND;
    case GROUP_JOIN: return call == CALL_JOIN;
    case GROUP_SYNC: return call == CALL_SYNC;
    case GROUP_GIVING_UP: return call == CALL_COMMIT;
    case GROUP_OFFSETS: return call == CALL_OFFSETS || (call == CALL_HEARTBEAT && g->beat_life == g->life);
    case GROUP_MEMBER:
        return (call == CALL_COMMIT && g->committing_life == g->life) ||
               (call == CALL_HEARTBEAT && g->beat_life == g->life);
    default: return false;
    }
}

static void unanswered(struct client_group *g, enum group_call call)
{
    if (matters(g, call)) /* what could not be saved while giving up is read again */
        client_group_enter(g, GROUP_FIND, g->now_us + GROUP_RETRY_US);
}

static void leave(struct client_group *g)
{
    if (g->member_id[0] == '\0' || g->config.instance_id.len >= 0) {
        client_group_left(g); /* a static member only stops */
        return;
    }
    struct kafka_leave_group_request *request = client_group_begin(g, CALL_LEAVE, sizeof(*request));
    struct kafka_leave_group_request_member *one = arena_calloc(&g->calls[CALL_LEAVE], 1, sizeof(*one));
    if (request && one) {
        kafka_leave_group_request_init(request);
        kafka_leave_group_request_member_init(one);
        request->group_id = g->config.group_id;
        request->members = one;
        request->members_count = 1;
        one->member_id = str_from(g->member_id);
    }
    client_group_start(g, CALL_LEAVE, KAFKA_API_LEAVE_GROUP, one ? request : NULL, GROUP_CALL_TIMEOUT_US);
}

const struct group_ways group_classic_ways = {
    .join = join,
    .heartbeat = heartbeat,
    .leave = leave,
    .give_up = give_up,
    .member = member,
    .found = found,
    .got_offsets = got_offsets,
    .committed = committed,
    .setback = setback,
    .unanswered = unanswered,
    .on_join = on_join,
    .on_sync = on_sync,
    .on_heartbeat = on_heartbeat,
};
