/* SPDX-License-Identifier: Apache-2.0 */
/* IncrementalAlterConfigs: sets, deletes, appends to and subtracts from single configs. */
#include "proto/kafka/gen/incremental_alter_configs.h"
#include "controller/core/config_change.h"

static struct config_resource *convert(struct command *command,
                                       const struct kafka_incremental_alter_configs_request *request)
{
    struct config_resource *resources = config_resources(command, request->resources_count);
    for (int32_t i = 0; resources && i < request->resources_count; i++) {
        const struct kafka_incremental_alter_configs_request_resource *from = &request->resources[i];
        resources[i].type = from->resource_type;
        resources[i].name = from->resource_name;
        if (!config_ops(command, &resources[i], from->configs_count))
            return NULL;
        for (int32_t n = 0; n < resources[i].ops_count; n++)
            resources[i].ops[n] = (struct config_op){from->configs[n].name, from->configs[n].value,
                                                     from->configs[n].config_operation};
    }
    return resources;
}

void incremental_alter_configs(struct command *command, const void *request)
{
    const struct kafka_incremental_alter_configs_request *r = request;
    int32_t count = MAX(r->resources_count, 0);
    struct kafka_incremental_alter_configs_response *response = command_alloc(command, 1, sizeof(*response));
    struct kafka_incremental_alter_configs_response_response *results =
        command_alloc(command, (size_t)count, sizeof(*results));
    struct config_resource *resources = convert(command, r);
    if (!response || !results || !resources)
        return; /* out of memory sticks in the plan */
    config_run(command, resources, count, false, r->validate_only);
    for (int32_t i = 0; i < count; i++) {
        results[i].resource_type = resources[i].type;
        results[i].resource_name = command_str(command, resources[i].name);
        results[i].error_code = resources[i].problem.error;
        results[i].error_message = resources[i].problem.message;
    }
    kafka_incremental_alter_configs_response_init(response);
    response->responses = results;
    response->responses_count = count;
    command->reply.admin.response = response;
}
