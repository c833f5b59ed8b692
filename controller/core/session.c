/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions of brokers: soft state that may only lead to proposals (DESIGN, Metadata). */
#include "controller/core/internal.h"

struct session *session_find(const struct core *core, int32_t broker_id)
{
    const struct session *session = map_get(&core->sessions, (uint32_t)broker_id);
    ASSERT(session == NULL || session->broker_id == broker_id);
    return (struct session *)session;
}

bool session_lives(const struct session *session)
{
    return session->deadline.slot != 0;
}

static struct session *session_alloc(struct core *core)
{
    if (list_empty(&core->free_sessions))
        return arena_alloc(&core->memory, sizeof(struct session));
    struct session *session = CONTAINER_OF(core->free_sessions.next, struct session, free);
    list_remove(&session->free);
    return session;
}

static struct session *session_add(struct core *core, int32_t broker_id)
{
    struct session *session = session_alloc(core);
    if (!session)
        return NULL;
    *session = (struct session){.broker_id = broker_id};
    list_init(&session->free);
    if (map_put(&core->sessions, (uint32_t)broker_id, session))
        return session;
    list_push_back(&core->free_sessions, &session->free);
    return NULL;
}

struct session *session_start(struct core *core, int32_t broker_id, int64_t broker_epoch)
{
    ASSERT(broker_id >= 0 && broker_epoch >= 0);
    struct session *session = session_find(core, broker_id);
    if (!session)
        session = session_add(core, broker_id);
    if (!session)
        return NULL;
    session_end(core, session);
    *session = (struct session){
        .broker_id = broker_id,
        .broker_epoch = broker_epoch,
        .registration_index = INDEX_NONE,
        .shutdown_index = INDEX_NONE,
    };
    list_init(&session->free);
    session_extend(core, session);
    return session;
}

/* When the heap is out of memory the session keeps its old deadline: at worst a broker is fenced too early,
 * which is safe. */
void session_extend(struct core *core, struct session *session)
{
    heap_remove(&core->deadlines, &session->deadline);
    heap_insert(&core->deadlines, &session->deadline, core->now_us + core->config.session_us);
}

void session_end(struct core *core, struct session *session)
{
    heap_remove(&core->deadlines, &session->deadline);
    ASSERT(!session_lives(session));
    session->contacted = false; /* a close stays on record: it counts among "several at once" */
}

void sessions_clear(struct core *core)
{
    uint32_t at = 0;
    uint64_t key;
    void *value;
    while (map_next(&core->sessions, &at, &key, &value)) {
        struct session *session = value;
        heap_remove(&core->deadlines, &session->deadline);
        list_push_back(&core->free_sessions, &session->free);
    }
    ASSERT(core->deadlines.count == 0);
    map_free(&core->sessions);
    map_init(&core->sessions);
}

struct grant {
    struct core *core;
    enum err err;
};

/* The former controller may have seen this broker a moment ago, or not for hours: it has a full session to
 * show up. */
static bool grant_one(void *ctx, const struct image_broker *broker)
{
    struct grant *grant = ctx;
    struct session *session = session_start(grant->core, broker->id, broker->epoch);
    if (!session) {
        grant->err = ERR_NOMEM;
        return false;
    }
    session->registration_index = image_index(grant->core->committed);
    session->shutdown_index =
        broker->in_controlled_shutdown ? image_index(grant->core->committed) : INDEX_NONE;
    return true;
}

enum err sessions_grant_all(struct core *core)
{
    struct grant grant = {core, OK};
    image_each_broker(core->committed, grant_one, &grant);
    return grant.err;
}

uint32_t core_live_brokers(const struct core *core)
{
    return core->deadlines.count;
}

/* --- the end of a session: fence --- */

/* Adds the fence of a broker to the plan; false when it is fenced (or gone) already. */
static bool plan_fence(struct plan *plan, const struct session *session)
{
    const struct image_broker *broker = image_broker(plan_image(plan), session->broker_id);
    if (!broker || broker->epoch != session->broker_epoch || broker->fenced)
        return false;
    ASSERT(plan->core->active);
    plan_broker_state(plan, broker, true, broker->in_controlled_shutdown);
    return true;
}

/* Gives unfenced brokers whose fence could not be planned (no memory) another session, after which it is
 * tried again. */
static bool restore_one(void *ctx, const struct image_broker *broker)
{
    struct core *core = ctx;
    struct session *session = session_find(core, broker->id);
    if (session && !broker->fenced && !session_lives(session))
        session_extend(core, session);
    return true;
}

/* Ends the plan that fences brokers; `any` is whether it fences one. */
static void end_fencing(struct plan *plan, bool any)
{
    struct core *core = plan->core;
    if (any)
        plan_review(plan, NODE_NONE);
    if (plan_end(plan) != OK)
        image_each_broker(core->latest, restore_one, core);
}

static void fence_expired(struct core *core)
{
    struct plan plan;
    bool any = false;
    plan_begin(&plan, core);
    for (struct heap_node *node = heap_min(&core->deadlines); node && node->key <= core->now_us;
         node = heap_min(&core->deadlines)) {
        struct session *session = CONTAINER_OF(node, struct session, deadline);
        any |= plan_fence(&plan, session);
        session_end(core, session);
    }
    end_fencing(&plan, any);
}

const struct core_effects *core_tick(struct core *core, uint64_t now_us)
{
    event_begin(core, now_us);
    if (core->active)
        fence_expired(core);
    if (core->active && core->now_us >= core->balance_us)
        balance_run(core);
    return &core->effects;
}

uint64_t core_deadline(const struct core *core)
{
    const struct heap_node *node = heap_min(&core->deadlines);
    return node ? MIN(node->key, core->balance_us) : core->balance_us;
}

/* --- suspicion --- */

/* Brokers whose connections closed within the window and that were not heard from since. */
static uint32_t suspects(const struct core *core)
{
    uint32_t at = 0, count = 0;
    uint64_t key;
    void *value;
    while (map_next(&core->sessions, &at, &key, &value)) {
        const struct session *session = value;
        count += session->suspected && core->now_us - session->suspected_us <= core->config.suspect_window_us;
    }
    return count;
}

const struct core_effects *core_connection_closed(struct core *core, uint64_t now_us, int32_t broker_id)
{
    event_begin(core, now_us);
    struct session *session = core->active ? session_find(core, broker_id) : NULL;
    if (!session || !session_lives(session))
        return &core->effects;
    session->suspected = true;
    session->suspected_us = core->now_us;
    struct core_effect *effect = effect_add(core, FX_PROBE, (uint64_t)session->broker_epoch);
    if (effect)
        effect->broker_id = broker_id;
    return &core->effects;
}

static struct session *session_by_epoch(const struct core *core, int64_t broker_epoch)
{
    uint32_t at = 0;
    uint64_t key;
    void *value;
    while (map_next(&core->sessions, &at, &key, &value)) {
        struct session *session = value;
        if (session->broker_epoch == broker_epoch && session_lives(session))
            return session;
    }
    return NULL;
}

const struct core_effects *core_probe_done(struct core *core, uint64_t now_us, uint64_t token, bool refused)
{
    event_begin(core, now_us);
    struct session *session = core->active ? session_by_epoch(core, (int64_t)token) : NULL;
    if (!refused || !session || !session->suspected || suspects(core) > 1)
        return &core->effects; /* no evidence, or the fault may be on our side: the session decides */
    struct plan plan;
    plan_begin(&plan, core);
    bool any = plan_fence(&plan, session);
    session_end(core, session);
    end_fencing(&plan, any);
    return &core->effects;
}
