/* SPDX-License-Identifier: Apache-2.0 */
/* The table of admin commands: Kafka requests that brokers forward. */
#include "controller/core/internal.h"
#include "proto/kafka/api.h"

static const struct {
    int16_t api_key;
    void (*run)(struct command *command, const void *request);
} commands[] = {
    {KAFKA_API_CREATE_TOPICS, create_topics},
    {KAFKA_API_DELETE_TOPICS, delete_topics},
    {KAFKA_API_ALTER_CONFIGS, alter_configs},
    {KAFKA_API_CREATE_PARTITIONS, create_partitions},
    {KAFKA_API_ELECT_LEADERS, elect_leaders},
    {KAFKA_API_INCREMENTAL_ALTER_CONFIGS, incremental_alter_configs},
    {KAFKA_API_ALTER_PARTITION_REASSIGNMENTS, alter_reassignments},
    {KAFKA_API_LIST_PARTITION_REASSIGNMENTS, list_reassignments},
    {KAFKA_API_UNREGISTER_BROKER, unregister_broker},
    {KAFKA_API_UPDATE_FEATURES, update_features},
};

static int32_t find(int16_t api_key)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (commands[i].api_key == api_key)
            return (int32_t)i;
    }
    return -1;
}

bool core_admin_supports(int16_t api_key)
{
    return find(api_key) >= 0;
}

const struct core_effects *core_admin(struct core *core, uint64_t now_us, uint64_t token, int16_t api_key,
                                      int16_t api_version, const void *request)
{
    struct command *command = command_begin(core, now_us, token, CORE_REPLY_ADMIN);
    if (!command) {
        core->effects.items[0].reply.admin.api_key = api_key;
        core->effects.items[0].reply.admin.api_version = api_version;
        return &core->effects;
    }
    int32_t at = find(api_key);
    command->reply.admin.api_key = api_key;
    command->reply.admin.api_version = api_version;
    if (at < 0)
        command->reply.admin.error = KAFKA_UNSUPPORTED_VERSION;
    else
        commands[at].run(command, request);
    command_end(command);
    return &core->effects;
}
