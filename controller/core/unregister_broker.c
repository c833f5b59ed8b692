/* SPDX-License-Identifier: Apache-2.0 */
/* UnregisterBroker: forgets a broker that will not come back. Kafka removes a living one too, which then
 * registers anew; here a broker must have been fenced, so that nobody loses a leader by a mistyped number. */
#include "proto/kafka/gen/unregister_broker.h"
#include "controller/core/config_change.h"
#include "proto/cluster/topic_config.h"

static bool forget_config(void *ctx, struct str key, struct str value)
{
    struct command *command = ctx;
    char text[12];
    struct str name = broker_config_name(command->broker_id, text);
    struct meta_record record = {.type = META_CONFIG,
                                 .config = {CONFIG_RESOURCE_BROKER, name, key, STR_NULL}};
    (void)value;
    plan_record(&command->plan, &record);
    return command->plan.err == OK;
}

static struct problem check(struct command *command, const struct image_broker *broker, int32_t id)
{
    const struct session *session = session_find(command->core, id);
    if (!broker)
        return (struct problem){KAFKA_BROKER_ID_NOT_REGISTERED,
                                command_text(command, "No broker with id %d is registered", (int64_t)id)};
    if (!broker->fenced || (session && session_lives(session)))
        return (struct problem){KAFKA_INVALID_REQUEST,
                                command_text(command, "Broker %d is running; stop it first", (int64_t)id)};
    return NO_PROBLEM;
}

static void plan_removal(struct command *command, const struct image_broker *broker)
{
    char text[12];
    struct meta_record record = {.type = META_BROKER_REMOVED,
                                 .broker_removed = {.broker_id = broker->id, .broker_epoch = broker->epoch}};
    /* Who comes under this id later may have another disk, and nobody will know. */
    struct broker_loss loss = {.broker_id = broker->id, .disk_gone = true};
    struct image *base = image_ref(command->core->latest); /* what is walked; the plan's own moves on */
    command->broker_id = broker->id;
    image_each_config(base, CONFIG_RESOURCE_BROKER, broker_config_name(broker->id, text), forget_config,
                      command);
    plan_review_loss(&command->plan, &loss);
    plan_record(&command->plan, &record); /* last: until all is settled it can be asked for again */
    image_unref(base);
}

void unregister_broker(struct command *command, const void *request)
{
    const struct kafka_unregister_broker_request *wanted = request;
    struct kafka_unregister_broker_response *response = command_alloc(command, 1, sizeof(*response));
    if (!response)
        return;
    kafka_unregister_broker_response_init(response);
    const struct image_broker *broker = image_broker(plan_image(&command->plan), wanted->broker_id);
    struct problem problem = check(command, broker, wanted->broker_id);
    response->error_code = problem.error;
    response->error_message = problem.message;
    if (problem.error == KAFKA_NONE)
        plan_removal(command, broker);
    command->reply.admin.response = response;
}
