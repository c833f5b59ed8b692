/* SPDX-License-Identifier: Apache-2.0 */
/* AlterConfigs (legacy): the configs given replace all that the resource has. */
#include "proto/kafka/gen/alter_configs.h"
#include "controller/core/config_change.h"

struct former {
    const struct kafka_alter_configs_request_resource *wanted;
    struct config_set *set;
    int32_t missing; /* former configs that are not in the request */
    bool collect;
};

static bool visit_former(void *ctx, struct str key, struct str value)
{
    struct former *former = ctx;
    (void)value;
    for (int32_t i = 0; i < former->wanted->configs_count; i++) {
        if (str_eq(former->wanted->configs[i].name, key))
            return true;
    }
    if (former->collect)
        former->set->items[former->set->count++] = (struct config_value){key, STR_NULL};
    former->missing++;
    return true;
}

/* The set that makes the resource's configs equal to the request's. */
static struct problem reduce(struct command *command,
                             const struct kafka_alter_configs_request_resource *wanted,
                             struct config_set *set)
{
    const struct image *image = plan_image(&command->plan);
    struct former former = {.wanted = wanted, .set = set};
    image_each_config(image, wanted->resource_type, wanted->resource_name, visit_former, &former);
    size_t count = (size_t)former.missing + (size_t)MAX(wanted->configs_count, 0);
    set->items = command_alloc(command, count, sizeof(*set->items));
    if (!set->items)
        return (struct problem){KAFKA_UNKNOWN_SERVER_ERROR, STR_LIT("out of memory")};
    for (int32_t i = 0; i < wanted->configs_count; i++) {
        if (wanted->configs[i].value.len < 0)
            return (struct problem){
                KAFKA_INVALID_REQUEST,
                command_text(command, "Null value not supported for %s", wanted->configs[i].name)};
        set->items[set->count++] = (struct config_value){wanted->configs[i].name, wanted->configs[i].value};
    }
    former.collect = true;
    image_each_config(image, wanted->resource_type, wanted->resource_name, visit_former, &former);
    return NO_PROBLEM;
}

static bool is_repeated(const struct kafka_alter_configs_request *request, int32_t at)
{
    const struct kafka_alter_configs_request_resource *a = &request->resources[at];
    for (int32_t i = 0; i < request->resources_count; i++) {
        const struct kafka_alter_configs_request_resource *b = &request->resources[i];
        if (i != at && a->resource_type == b->resource_type && str_eq(a->resource_name, b->resource_name))
            return true;
    }
    return false;
}

static struct problem alter_one(struct command *command, const struct kafka_alter_configs_request *request,
                                int32_t at, bool *review)
{
    const struct kafka_alter_configs_request_resource *wanted = &request->resources[at];
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

void alter_configs(struct command *command, const void *request)
{
    const struct kafka_alter_configs_request *r = request;
    struct kafka_alter_configs_response *response = command_alloc(command, 1, sizeof(*response));
    int32_t count = MAX(r->resources_count, 0);
    bool review = false;
    if (!response)
        return;
    kafka_alter_configs_response_init(response);
    response->responses = command_alloc(command, (size_t)count, sizeof(*response->responses));
    response->responses_count = response->responses ? count : 0;
    for (int32_t i = 0; i < response->responses_count; i++) {
        struct problem problem = alter_one(command, r, i, &review);
        struct kafka_alter_configs_response_response *result = &response->responses[i];
        kafka_alter_configs_response_response_init(result);
        result->resource_type = r->resources[i].resource_type;
        result->resource_name = command_str(command, r->resources[i].resource_name);
        result->error_code = problem.error;
        result->error_message = problem.message;
    }
    if (review)
        plan_review(&command->plan, NODE_NONE);
    command->reply.admin.response = response;
}
