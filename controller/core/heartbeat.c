/* SPDX-License-Identifier: Apache-2.0 */
/* Heartbeat: keeps a session, and moves a broker between fenced, active and shutting down. */
#include "controller/core/internal.h"

static void note(struct core *core, struct session *session, const struct rpc_heartbeat_request *request)
{
    ASSERT(session->broker_id == request->broker_id && session->broker_epoch == request->broker_epoch);
    session->contacted = true;
    session->suspected = false;
    session->metadata_index = MAX(session->metadata_index, request->metadata_index);
    session_extend(core, session);
}

/* A broker that is missing from this controller's sessions but registered is one whose session has ended: it
 * gets a new one. */
static struct session *session_of(struct core *core, const struct rpc_heartbeat_request *request)
{
    struct session *session = session_find(core, request->broker_id);
    return session && session->broker_epoch == request->broker_epoch ? session : NULL;
}

/* --- controlled shutdown: granted when nothing is led any more and every active broker has seen that --- */

struct shutdown_search {
    const struct core *core;
    uint64_t index;
    int32_t leaving;
    bool all_passed;
};

static bool passed(void *ctx, const struct image_broker *broker)
{
    struct shutdown_search *search = ctx;
    const struct session *session = session_find(search->core, broker->id);
    if (broker->id != search->leaving && !broker->fenced && session && session_lives(session))
        search->all_passed = session->metadata_index >= search->index;
    return search->all_passed;
}

static bool may_shut_down(const struct core *core, const struct session *session)
{
    struct shutdown_search search = {core, session->shutdown_index, session->broker_id, true};
    if (session->shutdown_index == INDEX_NONE)
        return false;
    image_each_broker(core->committed, passed, &search);
    return search.all_passed;
}

static void shutdown_begun(struct command *command, uint64_t index)
{
    struct session *session = session_find(command->core, command->broker_id);
    const struct image_broker *broker = image_broker(command->core->committed, command->broker_id);
    if (!session || !broker || broker->epoch != session->broker_epoch)
        return; /* another incarnation registered meanwhile: it was not asked to go */
    ASSERT(broker->in_controlled_shutdown || session->shutdown_index == INDEX_NONE);
    session->shutdown_index = index;
}

static void change_state(struct command *command, const struct image_broker *broker, bool fenced,
                         bool in_shutdown)
{
    plan_broker_state(&command->plan, broker, fenced, in_shutdown);
    plan_review(&command->plan, NODE_NONE);
}

static void step_shutdown(struct command *command, const struct image_broker *broker, struct session *session)
{
    struct rpc_heartbeat_reply *reply = &command->reply.heartbeat;
    reply->fenced = broker->fenced;
    if (broker->fenced) {
        reply->may_shut_down = true;
    } else if (!broker->in_controlled_shutdown) {
        command->broker_id = broker->id;
        command->committed = shutdown_begun;
        change_state(command, broker, false, true);
    } else if (may_shut_down(command->core, session)) {
        reply->fenced = reply->may_shut_down = true;
        change_state(command, broker, true, true);
    }
    if (reply->may_shut_down)
        session_end(command->core, session); /* its next incarnation may register at once */
}

/* --- fencing and unfencing on the broker's own word --- */

static void step_fence(struct command *command, const struct image_broker *broker,
                       const struct session *session, bool want_fence)
{
    struct rpc_heartbeat_reply *reply = &command->reply.heartbeat;
    reply->fenced = broker->fenced;
    if (want_fence && !broker->fenced) {
        reply->fenced = true;
        change_state(command, broker, true, broker->in_controlled_shutdown);
    } else if (!want_fence && broker->fenced && reply->caught_up && session_lives(session)) {
        reply->fenced = false;
        change_state(command, broker, false, false);
    }
}

const struct core_effects *core_heartbeat(struct core *core, uint64_t now_us, uint64_t token,
                                          const struct rpc_heartbeat_request *request)
{
    struct command *command = command_begin(core, now_us, token, CORE_REPLY_HEARTBEAT);
    struct session *session = session_of(core, request);
    if (session)
        note(core, session, request); /* even when the answer has to be refused */
    if (!command)
        return &core->effects;
    const struct image_broker *broker = image_broker(plan_image(&command->plan), request->broker_id);
    if (!broker || !session || broker->epoch != request->broker_epoch) {
        command->reply.heartbeat.error = KAFKA_STALE_BROKER_EPOCH;
        command_end(command);
        return &core->effects;
    }
    command->reply.heartbeat.caught_up = session->metadata_index >= session->registration_index;
    if (request->want_shutdown)
        step_shutdown(command, broker, session);
    else
        step_fence(command, broker, session, request->want_fence);
    command_end(command);
    return &core->effects;
}
