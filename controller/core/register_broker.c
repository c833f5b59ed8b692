/* SPDX-License-Identifier: Apache-2.0 */
/* RegisterBroker: a broker process introduces itself; it starts fenced. */
#include "common/base/mutant.h"
#include "controller/core/internal.h"

/* Whether the former incarnation may still be running. Not so when its session is over; nor when the newcomer
 * holds the same data directory (which a process locks) and the former one has not been heard from in our
 * time, or has lost its connection. */
static bool former_may_live(const struct core *core, const struct image_broker *former,
                            const struct rpc_register_broker_request *request)
{
    const struct session *session = session_find(core, former->id);
    if (!session || !session_lives(session))
        return false;
    bool same_directory = uuid_eq(former->directory_id, request->directory_id);
    return !same_directory || (session->contacted && !session->suspected);
}

static int16_t check(const struct command *command, const struct rpc_register_broker_request *request)
{
    const struct image *image = plan_image(&command->plan);
    if (!uuid_is_zero(request->cluster_id) && !uuid_eq(request->cluster_id, image_cluster_id(image)))
        return KAFKA_INCONSISTENT_CLUSTER_ID;
    if (request->broker_id < 0 || request->endpoints_count <= 0 || uuid_is_zero(request->incarnation_id))
        return KAFKA_INVALID_REGISTRATION;
    const struct image_broker *former = image_broker(image, request->broker_id);
    if (former && !uuid_eq(former->incarnation_id, request->incarnation_id) &&
        former_may_live(command->core, former, request))
        return KAFKA_DUPLICATE_BROKER_REGISTRATION;
    return KAFKA_NONE;
}

/* Rises with each registration, and is at most the index of the entry that holds it. */
static int64_t next_epoch(const struct image *image, const struct image_broker *former)
{
    int64_t epoch = (int64_t)image_index(image) + 1;
    ASSERT(epoch > 0);
    return former ? MAX(epoch, former->epoch + 1) : epoch;
}

/* What the newcomer may have lost since it was last heard of. Its word counts, but not for a disk that is not
 * the one it had. */
static struct broker_loss loss_of(const struct image_broker *former,
                                  const struct rpc_register_broker_request *request)
{
    bool disk_gone = former && !uuid_eq(former->directory_id, request->directory_id);
    bool lost = disk_gone || !request->clean_start;
    return (struct broker_loss){.broker_id = lost && !MUTANT(LOSS_IGNORED) ? request->broker_id : NODE_NONE,
                                .unsynced_only = !disk_gone && request->synced_kept,
                                .disk_gone = disk_gone};
}

/* What the newcomer lost is settled before it is registered: should this controller die in between, the
 * newcomer asks the next one, which looks for what it lost again. Once registered it would be known. */
static void plan_loss(struct plan *plan, const struct broker_loss *loss)
{
    const struct image_broker *former = image_broker(plan_image(plan), loss->broker_id);
    if (loss->broker_id == NODE_NONE)
        return;
    if (former && !former->fenced)
        plan_broker_state(plan, former, true, former->in_controlled_shutdown);
    plan_review_loss(plan, loss);
    plan_cut(plan);
}

static void plan_registration(struct command *command, const struct rpc_register_broker_request *request,
                              int64_t epoch)
{
    struct meta_record record = {.type = META_BROKER,
                                 .broker = {
                                     .broker_id = request->broker_id,
                                     .broker_epoch = epoch,
                                     .incarnation_id = request->incarnation_id,
                                     .directory_id = request->directory_id,
                                     .rack = request->rack,
                                     .endpoints = request->endpoints,
                                     .endpoints_count = request->endpoints_count,
                                     .fenced = true,
                                     .clean_start = request->clean_start,
                                     .min_isr = request->min_isr,
                                 }};
    plan_record(&command->plan, &record);
    plan_review(&command->plan, NODE_NONE);
}

static void registered(struct command *command, uint64_t index)
{
    struct session *session = session_find(command->core, command->broker_id);
    if (!session || session->broker_epoch != command->reply.register_broker.broker_epoch)
        return;                                       /* another incarnation registered meanwhile */
    ASSERT(index >= (uint64_t)session->broker_epoch); /* as promised in records.h */
    session->registration_index = index;
}

const struct core_effects *core_register_broker(struct core *core, uint64_t now_us, uint64_t token,
                                                const struct rpc_register_broker_request *request)
{
    struct command *command = command_begin(core, now_us, token, CORE_REPLY_REGISTER_BROKER);
    if (!command)
        return &core->effects;
    const struct image *image = plan_image(&command->plan);
    command->reply.register_broker.cluster_id = image_cluster_id(image);
    int16_t error = check(command, request);
    if (error != KAFKA_NONE) {
        command->reply.register_broker.error = error;
        command_end(command);
        return &core->effects;
    }
    const struct image_broker *former = image_broker(image, request->broker_id);
    if (former && uuid_eq(former->incarnation_id, request->incarnation_id)) {
        command->reply.register_broker.broker_epoch = former->epoch; /* its first answer was lost */
        command_end(command);
        return &core->effects;
    }
    int64_t epoch = next_epoch(image, former);
    command->reply.register_broker.broker_epoch = epoch;
    command->broker_id = request->broker_id;
    command->committed = registered;
    struct broker_loss loss = loss_of(former, request);
    plan_loss(&command->plan, &loss);
    plan_registration(command, request, epoch);
    if (command->plan.err == OK && !session_start(core, request->broker_id, epoch))
        command_refuse(command, KAFKA_THROTTLING_QUOTA_EXCEEDED);
    else
        command_end(command);
    return &core->effects;
}
