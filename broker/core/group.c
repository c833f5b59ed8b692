/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/group.h"

#include "broker/core/group_consumer.h"
#include "broker/core/group_internal.h"

#define REPLAY_ARENA_BYTES  (256u << 20) /* of one record, which is at most a batch */
#define SCRATCH_ARENA_BYTES (1u << 30)   /* a group's members times what they subscribe to */

struct groups *groups_new(const struct core_alloc *alloc, const struct group_settings *settings,
                          uint64_t seed)
{
    struct groups *g = core_resize(alloc, NULL, 0, sizeof(*g));

    if (!g)
        return NULL;
    *g = (struct groups){.alloc = alloc, .settings = settings, .loading = true};
    g->retention_due_us = GROUPS_NO_DEADLINE;
    prng_seed(&g->prng, seed);
    map_init(&g->by_hash);
    map_init(&g->pending_txns);
    heap_init(&g->timers);
    list_init(&g->writes_new);
    list_init(&g->writes);
    list_init(&g->settled);
    arena_init(&g->replaying, NULL, 0, REPLAY_ARENA_BYTES);
    arena_init(&g->scratch, NULL, 0, SCRATCH_ARENA_BYTES);
    arena_init(&g->writing, NULL, 0, SCRATCH_ARENA_BYTES);
    return g;
}

static void write_free(struct groups *g, struct write *write)
{
    list_remove(&write->link);
    write->group->writes--;
    write->group->record_writes -= write->type == WRITE_RECORDS;
    group_release(g, write, sizeof(*write) + (size_t)write->out.len);
}

void groups_free(struct groups *g)
{
    ASSERT(list_empty(&g->settled));
    ASSERT(list_empty(&g->writes) && list_empty(&g->writes_new));
    group_txns_drop_all(g);
    group_drop_all(g);
    ASSERT(list_empty(&g->settled));
    map_free(&g->by_hash);
    heap_free(&g->timers);
    writer_free(&g->out);
    arena_free(&g->replaying);
    arena_free(&g->scratch);
    arena_free(&g->writing);
    core_resize(g->alloc, g, sizeof(*g), 0);
}

void groups_set_time(struct groups *g, uint64_t now_us, int64_t wall_ms)
{
    ASSERT(now_us >= g->now_us);
    g->now_us = now_us;
    g->wall_ms = wall_ms;
}

static void begin_sessions(void *ctx, struct group *group)
{
    struct groups *g = ctx;

    list_for_each (it, &group->members)
        member_alive(g, group, CONTAINER_OF(it, struct member, link));
    if (group->consumer)
        cgroup_begin_sessions(g, group);
}

void groups_loaded(struct groups *g)
{
    ASSERT(g->loading);
    g->loading = false;
    groups_each(g, begin_sessions, g);
    g->retention_due_us = g->now_us + (uint64_t)g->settings->retention_check_ms * 1000;
}

/* -- calls -- */

static bool needs_name(enum group_call_type type)
{
    return type == GROUP_CALL_JOIN || type == GROUP_CALL_SYNC || type == GROUP_CALL_HEARTBEAT ||
           type == GROUP_CALL_LEAVE;
}

/* These only read what is committed. */
static bool reads_only(enum group_call_type type)
{
    return type == GROUP_CALL_FETCH || type == GROUP_CALL_DESCRIBE || type == GROUP_CALL_LIST ||
           type == GROUP_CALL_CONSUMER_DESCRIBE;
}

void group_call_start(struct groups *g, struct group_call *call)
{
    static void (*const start[GROUP_CALL_COUNT])(struct groups * g, struct group_call * call) = {
        [GROUP_CALL_JOIN] = group_join,
        [GROUP_CALL_SYNC] = group_sync,
        [GROUP_CALL_HEARTBEAT] = group_heartbeat,
        [GROUP_CALL_LEAVE] = group_leave,
        [GROUP_CALL_COMMIT] = group_commit,
        [GROUP_CALL_TXN_COMMIT] = group_txn_commit,
        [GROUP_CALL_FETCH] = group_fetch,
        [GROUP_CALL_OFFSET_DELETE] = group_offset_delete,
        [GROUP_CALL_DESCRIBE] = group_describe,
        [GROUP_CALL_DELETE] = group_delete,
        [GROUP_CALL_LIST] = groups_list,
        [GROUP_CALL_CONSUMER_HEARTBEAT] = cgroup_heartbeat,
        [GROUP_CALL_CONSUMER_DESCRIBE] = cgroup_describe,
    };

    start[call->type](g, call);
}

/* Offsets in a transaction are for this moment: when the round is over, a marker may have ended it, and what
 * was written then would begin one that nobody ends. Clients come again. */
static bool cannot_wait(const struct groups *g, const struct group_call *call)
{
    const struct group *group = call->type == GROUP_CALL_TXN_COMMIT ? group_find(g, call->group_id) : NULL;

    return group && group->round_seq != 0;
}

void groups_call(struct groups *g, struct group_call *call)
{
    ASSERT(!call->settled && call->type < GROUP_CALL_COUNT);
    list_init(&call->link);
    if (g->loading || cannot_wait(g, call))
        settle(g, call, KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
    else if (needs_name(call->type) && call->group_id.len <= 0)
        settle(g, call, KAFKA_INVALID_GROUP_ID);
    else if (reads_only(call->type) || !group_round_waits(g, group_find(g, call->group_id), call))
        group_call_start(g, call);
}

/* -- writes -- */

/* What clients are told when the log refuses a write (Kafka's mapping). */
static int16_t refusal(const struct write *write, int16_t error)
{
    switch (error) {
    case KAFKA_NOT_LEADER_OR_FOLLOWER:
    case KAFKA_KAFKA_STORAGE_ERROR: return KAFKA_NOT_COORDINATOR;
    case KAFKA_NOT_ENOUGH_REPLICAS:
    case KAFKA_NOT_ENOUGH_REPLICAS_AFTER_APPEND:
    case KAFKA_UNKNOWN_TOPIC_OR_PARTITION:
    case KAFKA_REQUEST_TIMED_OUT: return KAFKA_COORDINATOR_NOT_AVAILABLE;
    case KAFKA_MESSAGE_TOO_LARGE:
    case KAFKA_RECORD_LIST_TOO_LARGE:
        return write->type == WRITE_RECORDS || write->type == WRITE_TXN ? KAFKA_INVALID_COMMIT_OFFSET_SIZE
                                                                        : KAFKA_UNKNOWN_SERVER_ERROR;
    default: return error;
    }
}

static void write_over(struct groups *g, struct write *write, int16_t error)
{
    struct group *group = write->group;

    if (write->type == WRITE_SYNC)
        group_sync_stored(g, group, write->out.seq, error);
    if (write->type != WRITE_RECORDS && write->type != WRITE_TXN && write->type != WRITE_ROUND &&
        error == KAFKA_NONE)
        group->stored = true;
    if (write->call)
        settle(g, write->call, error);
    bool round = group->round_seq == write->out.seq;
    write_free(g, write);
    if (round)
        group_round_over(g, group, error);
    else
        group_writes_over(g, group);
}

static struct write *first_write(const struct groups *g)
{
    return list_empty(&g->writes) ? NULL : CONTAINER_OF(g->writes.next, struct write, link);
}

void groups_committed(struct groups *g, uint64_t seq)
{
    struct write *write;

    while ((write = first_write(g)) != NULL && write->out.seq <= seq) {
        if (write->type == WRITE_RECORDS || write->type == WRITE_ROUND)
            write_apply(g, write);
        else if (write->type == WRITE_TXN)
            group_txn_apply(g, write);
        write_over(g, write, KAFKA_NONE);
    }
}

void groups_failed(struct groups *g, uint64_t first, uint64_t last, int16_t error)
{
    ASSERT(first <= last && error != KAFKA_NONE);
    list_for_each_safe (it, tmp, &g->writes) {
        struct write *write = CONTAINER_OF(it, struct write, link);
        if (write->out.seq >= first && write->out.seq <= last)
            write_over(g, write, refusal(write, error));
    }
}

bool groups_take_write(struct groups *g, struct coordinator_write *ret)
{
    if (list_empty(&g->writes_new))
        return false;
    struct write *write = CONTAINER_OF(g->writes_new.next, struct write, link);
    list_remove(&write->link);
    list_push_back(&g->writes, &write->link);
    *ret = write->out;
    return true;
}

struct group_call *groups_take_settled(struct groups *g)
{
    if (list_empty(&g->settled))
        return NULL;
    struct group_call *call = CONTAINER_OF(g->settled.next, struct group_call, link);
    list_remove(&call->link);
    return call;
}

/* -- time -- */

static void give_up_waiting(struct groups *g)
{
    list_for_each (it, &g->writes) {
        struct write *write = CONTAINER_OF(it, struct write, link);
        if (!write->call)
            continue;
        if (write->call->deadline_us > g->now_us)
            return;
        settle(g, write->call,
               KAFKA_COORDINATOR_NOT_AVAILABLE); /* it may still be committed, then it counts */
        write->call = NULL;
    }
}

static uint64_t writes_deadline(const struct groups *g)
{
    list_for_each (it, &g->writes) {
        const struct write *write = CONTAINER_OF(it, struct write, link);
        if (write->call)
            return write->call->deadline_us;
    }
    return GROUPS_NO_DEADLINE;
}

static void group_tick(struct groups *g, struct group *group)
{
    if (group->consumer || group->round_seq != 0) {
        cgroup_tick(g, group);
        return;
    }
    group_give_up_waiting(g, group);
    group_expire_members(g, group);
    if (group->state == GROUP_PREPARING && group->join_deadline_us <= g->now_us)
        group_join_due(g, group);
    else if (group->state == GROUP_COMPLETING && group->storing_seq == 0 &&
             group->sync_deadline_us <= g->now_us)
        group_sync_due(g, group);
    group_due(g, group, group_next_due(group));
    group_drop_if_void(g, group);
}

void groups_tick(struct groups *g)
{
    struct heap_node *node;

    while ((node = heap_min(&g->timers)) != NULL && node->key <= g->now_us) {
        heap_remove(&g->timers, node);
        group_tick(g, CONTAINER_OF(node, struct group, timer));
    }
    give_up_waiting(g);
    if (g->retention_due_us <= g->now_us)
        groups_expire_offsets(g);
}

uint64_t groups_deadline(const struct groups *g)
{
    const struct heap_node *node = heap_min(&g->timers);
    uint64_t due = MIN(g->retention_due_us, writes_deadline(g));

    return node ? MIN(due, node->key) : due;
}

static void end_group(void *ctx, struct group *group)
{
    struct groups *g = ctx;

    list_for_each (it, &group->members) {
        struct member *member = CONTAINER_OF(it, struct member, link);
        if (member->join)
            settle(g, member->join, KAFKA_NOT_COORDINATOR);
        if (member->sync)
            settle(g, member->sync, KAFKA_NOT_COORDINATOR);
        member->join = member->sync = NULL;
    }
    group->joins_waiting = 0;
    while (!list_empty(&group->waiting)) {
        struct group_call *call = CONTAINER_OF(group->waiting.next, struct group_call, link);
        list_remove(&call->link);
        settle(g, call, KAFKA_NOT_COORDINATOR);
    }
    group->round_seq = 0;
}

static void end_writes(struct groups *g, struct list *writes)
{
    while (!list_empty(writes)) {
        struct write *write = CONTAINER_OF(writes->next, struct write, link);
        if (write->call)
            settle(g, write->call, KAFKA_NOT_COORDINATOR);
        write_free(g, write);
    }
}

void groups_end(struct groups *g)
{
    groups_each(g, end_group, g);
    end_writes(g, &g->writes);
    end_writes(g, &g->writes_new);
}

/* -- figures -- */

struct position_walk {
    void (*each)(void *ctx, const struct group_position *position);
    void *ctx;
};

static void each_of_group(void *ctx, struct group *group)
{
    const struct position_walk *walk = ctx;

    for (int32_t i = 0; i < group->topics_count; i++) {
        const struct group_topic *topic = &group->topics[i];
        for (int32_t k = 0; k < topic->count; k++)
            walk->each(walk->ctx, &(struct group_position){.group = group->id,
                                                           .topic = topic->name,
                                                           .partition = topic->offsets[k].partition,
                                                           .offset = topic->offsets[k].offset,
                                                           .commit_ms = topic->offsets[k].commit_ms});
    }
}

void groups_each_position(const struct groups *g,
                          void (*each)(void *ctx, const struct group_position *position), void *ctx)
{
    struct position_walk walk = {each, ctx};

    groups_each(g, each_of_group, &walk);
}

struct checking {
    const struct groups *g;
    uint64_t sum, offsets;
    uint32_t groups;
};

static void check_members(const struct group *group)
{
    int32_t members = 0, joins = 0;

    list_for_each (it, &group->members) {
        const struct member *member = CONTAINER_OF(it, struct member, link);
        members++;
        joins += member->join != NULL;
        ASSERT(!member->join || group->state == GROUP_PREPARING);
        ASSERT(!member->sync || group->state == GROUP_COMPLETING);
    }
    ASSERT(members == group->members_count && joins == group->joins_waiting);
    ASSERT((group->state == GROUP_EMPTY) <= (members == 0));
    ASSERT(group->state != GROUP_STABLE || members > 0);
    ASSERT(group->storing_seq == 0 || group->state == GROUP_COMPLETING);
    ASSERT(group->state != GROUP_STABLE || member_find(group, group->leader));
}

static void check_group(void *ctx, struct group *group)
{
    struct checking *checking = ctx;
    const struct groups *g = checking->g;

    check_members(group);
    if (group->consumer) {
        ASSERT(group->state == GROUP_EMPTY);
        cgroup_check(group->consumer);
        checking->sum += group->consumer->epoch > 0 ? cgroup_digest(group) : 0; /* 0: not written yet */
    }
    ASSERT(group->round_seq != 0 || group->record_writes > 0 || list_empty(&group->waiting));
    checking->groups++;
    for (int32_t i = 0; i < group->topics_count; i++)
        checking->offsets += (uint64_t)group->topics[i].count;
    uint64_t due = group_next_due(group);
    ASSERT(g->loading || due == GROUPS_NO_DEADLINE || (group->timer.slot != 0 && group->timer.key <= due));
}

static void add_position(void *ctx, const struct group_position *position)
{
    struct checking *checking = ctx;
    uint64_t numbers[3] = {hash_bytes(position->group.p, (uint64_t)position->group.len, 1),
                           (uint64_t)(uint32_t)position->partition, (uint64_t)position->offset};

    numbers[0] ^= hash_bytes(position->topic.p, (uint64_t)position->topic.len, 2);
    checking->sum += hash_bytes(numbers, sizeof(numbers), 3);
}

uint64_t groups_check(const struct groups *g)
{
    struct checking checking = {.g = g};

    groups_each(g, check_group, &checking);
    groups_each_position(g, add_position, &checking);
    ASSERT(checking.groups == g->count && checking.offsets == g->offsets_count);
    return checking.sum;
}
