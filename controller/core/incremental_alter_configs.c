/* SPDX-License-Identifier: Apache-2.0 */
/* IncrementalAlterConfigs: sets, deletes, appends to and subtracts from single configs. */
#include <string.h>

#include "controller/core/config_change.h"
#include "proto/kafka/gen/incremental_alter_configs.h"

enum operation { OP_SET = 0, OP_DELETE = 1, OP_APPEND = 2, OP_SUBTRACT = 3 };

/* --- lists --- */

/* The next item of a comma-separated list; blanks around items do not count. */
static struct str next_item(struct str *list)
{
    int32_t len = 0;
    while (len < list->len && list->p[len] != ',')
        len++;
    struct str item = {list->p, len};
    int32_t used = MIN(len + 1, list->len);
    list->p += used;
    list->len -= used;
    for (; item.len > 0 && item.p[0] == ' '; item.len--)
        item.p++;
    while (item.len > 0 && item.p[item.len - 1] == ' ')
        item.len--;
    return item;
}

static bool list_has(struct str list, struct str item)
{
    while (list.len > 0) {
        if (str_eq(next_item(&list), item))
            return true;
    }
    return false;
}

static void add_item(struct str item, char *out, int32_t *len)
{
    if (item.len == 0)
        return;
    if (*len > 0)
        out[(*len)++] = ',';
    memcpy(out + *len, item.p, (size_t)item.len);
    *len += item.len;
}

/* now plus the items of change that it lacks, or minus those it has. */
static struct str combine(struct command *command, struct str now, struct str change, bool append)
{
    char *out = command_alloc(command, (size_t)now.len + (size_t)change.len + 2, 1);
    int32_t len = 0;
    if (!out)
        return STR_LIT("");
    for (struct str left = now; left.len > 0;) {
        struct str item = next_item(&left);
        if (append || !list_has(change, item))
            add_item(item, out, &len);
    }
    for (struct str left = change; append && left.len > 0;) {
        struct str item = next_item(&left);
        if (!list_has(now, item))
            add_item(item, out, &len);
    }
    return (struct str){out, len};
}

/* --- one resource --- */

static bool key_is_repeated(const struct kafka_incremental_alter_configs_request_resource *wanted, int32_t at)
{
    for (int32_t i = 0; i < at; i++) {
        if (str_eq(wanted->configs[i].name, wanted->configs[at].name))
            return true;
    }
    return false;
}

static struct problem reduce_one(struct command *command,
                                 const struct kafka_incremental_alter_configs_request_resource *wanted,
                                 int32_t at, struct config_value *item)
{
    const struct kafka_incremental_alter_configs_request_config *config = &wanted->configs[at];
    struct str now;
    *item = (struct config_value){config->name, config->value};
    if (key_is_repeated(wanted, at))
        return (struct problem){KAFKA_INVALID_REQUEST, STR_LIT("Error due to duplicate config keys")};
    if (config->config_operation < OP_SET || config->config_operation > OP_SUBTRACT)
        return (struct problem){KAFKA_INVALID_REQUEST, command_text(command, "Unknown operation type %d",
                                                                    (int64_t)config->config_operation)};
    if (config->config_operation == OP_DELETE) {
        item->value = STR_NULL;
        return NO_PROBLEM;
    }
    if (config->value.len < 0)
        return (struct problem){KAFKA_INVALID_REQUEST,
                                command_text(command, "Null value not supported for %s", config->name)};
    if (config->config_operation == OP_SET)
        return NO_PROBLEM;
    struct problem problem =
        config_list_value(command, wanted->resource_type, wanted->resource_name, config->name, &now);
    if (problem.error == KAFKA_NONE)
        item->value = combine(command, now, config->value, config->config_operation == OP_APPEND);
    return problem;
}

static struct problem reduce(struct command *command,
                             const struct kafka_incremental_alter_configs_request_resource *wanted,
                             struct config_set *set)
{
    set->items = command_alloc(command, (size_t)MAX(wanted->configs_count, 0), sizeof(*set->items));
    if (!set->items)
        return (struct problem){KAFKA_UNKNOWN_SERVER_ERROR, STR_LIT("out of memory")};
    for (int32_t i = 0; i < wanted->configs_count; i++) {
        struct problem problem = reduce_one(command, wanted, i, &set->items[set->count++]);
        if (problem.error != KAFKA_NONE)
            return problem;
    }
    return NO_PROBLEM;
}

/* --- the request --- */

static bool is_repeated(const struct kafka_incremental_alter_configs_request *request, int32_t at)
{
    const struct kafka_incremental_alter_configs_request_resource *a = &request->resources[at];
    for (int32_t i = 0; i < request->resources_count; i++) {
        const struct kafka_incremental_alter_configs_request_resource *b = &request->resources[i];
        if (i != at && a->resource_type == b->resource_type && str_eq(a->resource_name, b->resource_name))
            return true;
    }
    return false;
}

static struct problem alter_one(struct command *command,
                                const struct kafka_incremental_alter_configs_request *request, int32_t at,
                                bool *review)
{
    const struct kafka_incremental_alter_configs_request_resource *wanted = &request->resources[at];
    struct config_set set = {0};
    if (is_repeated(request, at))
        return (struct problem){KAFKA_INVALID_REQUEST, STR_LIT("Each resource must appear at most once.")};
    struct problem problem = reduce(command, wanted, &set);
    if (problem.error == KAFKA_NONE)
        problem = config_check(command, wanted->resource_type, wanted->resource_name, &set);
    if (problem.error == KAFKA_NONE && !request->validate_only)
        *review |= config_plan(command, wanted->resource_type, wanted->resource_name, &set);
    return problem;
}

void incremental_alter_configs(struct command *command, const void *request)
{
    const struct kafka_incremental_alter_configs_request *r = request;
    struct kafka_incremental_alter_configs_response *response = command_alloc(command, 1, sizeof(*response));
    int32_t count = MAX(r->resources_count, 0);
    bool review = false;
    if (!response)
        return;
    kafka_incremental_alter_configs_response_init(response);
    response->responses = command_alloc(command, (size_t)count, sizeof(*response->responses));
    response->responses_count = response->responses ? count : 0;
    for (int32_t i = 0; i < response->responses_count; i++) {
        struct problem problem = alter_one(command, r, i, &review);
        struct kafka_incremental_alter_configs_response_response *result = &response->responses[i];
        kafka_incremental_alter_configs_response_response_init(result);
        result->resource_type = r->resources[i].resource_type;
        result->resource_name = command_str(command, r->resources[i].resource_name);
        result->error_code = problem.error;
        result->error_message = problem.message;
    }
    if (review)
        plan_review(&command->plan, NODE_NONE);
    command->reply.admin.response = response;
}
