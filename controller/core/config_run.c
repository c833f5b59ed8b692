/* SPDX-License-Identifier: Apache-2.0 */
/* What AlterConfigs and IncrementalAlterConfigs do alike: operations are reduced to the values they end in,
 * which are checked and planned as a whole. */
#include <string.h>

#include "controller/core/config_change.h"
#include "controller/core/repeats.h"
#include "proto/cluster/topic_config.h"

static const struct problem out_of_memory = {KAFKA_UNKNOWN_SERVER_ERROR, {"out of memory", 13}};

struct config_resource *config_resources(struct command *command, int32_t count)
{
    return command_alloc(command, (size_t)MAX(count, 0), sizeof(struct config_resource));
}

bool config_ops(struct command *command, struct config_resource *resource, int32_t count)
{
    resource->ops_count = MAX(count, 0);
    resource->ops = command_alloc(command, (size_t)resource->ops_count, sizeof(*resource->ops));
    return resource->ops != NULL;
}

/* --- lists --- */

static bool list_has(struct str list, struct str item)
{
    while (list.len > 0) {
        if (str_eq(config_next_item(&list), item))
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
        struct str item = config_next_item(&left);
        if (append || !list_has(change, item))
            add_item(item, out, &len);
    }
    for (struct str left = change; append && left.len > 0;) {
        struct str item = config_next_item(&left);
        if (!list_has(now, item))
            add_item(item, out, &len);
    }
    ASSERT(len <= now.len + change.len + 1);
    return (struct str){out, len};
}

/* The list that an operation works on, as it is now. */
static struct problem list_value(struct command *command, const struct config_resource *r, struct str key,
                                 struct str *ret_value)
{
    const struct image *image = plan_image(&command->plan);
    bool topic = r->type == CONFIG_RESOURCE_TOPIC;
    const struct topic_config *config = topic ? topic_config_find(key) : topic_config_by_broker_name(key);
    if (!config || config->type != CONFIG_LIST)
        return (struct problem){
            KAFKA_INVALID_CONFIG,
            command_text(command, "Can't append to or subtract from config %s: it is not a list", key)};
    *ret_value = topic ? topic_config_effective(image, r->name, config->name, NULL)
                       : image_config(image, r->type, r->name, key);
    if (ret_value->len < 0)
        *ret_value = str_from(config->default_value);
    return NO_PROBLEM;
}

/* --- reduction --- */

static uint64_t hash_key(const void *items, int32_t i, uint64_t seed)
{
    struct str key = ((const struct config_op *)items)[i].key;
    return hash_bytes(key.p, (uint64_t)MAX(key.len, 0), seed);
}

static struct problem reduce_op(struct command *command, const struct config_resource *r, int32_t at,
                                struct config_value *item)
{
    const struct config_op *op = &r->ops[at];
    struct str now;
    *item = (struct config_value){op->key, op->operation == CONFIG_DELETE ? STR_NULL : op->value};
    if (op->operation < CONFIG_SET || op->operation > CONFIG_SUBTRACT)
        return (struct problem){KAFKA_INVALID_REQUEST,
                                command_text(command, "Unknown operation type %d", (int64_t)op->operation)};
    if (op->operation == CONFIG_DELETE)
        return NO_PROBLEM;
    if (op->value.len < 0)
        return (struct problem){KAFKA_INVALID_REQUEST,
                                command_text(command, "Null value not supported for %s", op->key)};
    if (op->operation == CONFIG_SET)
        return NO_PROBLEM;
    struct problem problem = list_value(command, r, op->key, &now);
    if (problem.error == KAFKA_NONE)
        item->value = combine(command, now, op->value, op->operation == CONFIG_APPEND);
    return problem;
}

/* Configs that the resource has and the request does not name: counted, or collected as removals. */
struct unnamed {
    const struct config_resource *resource;
    struct config_set *set; /* NULL: count only */
    int32_t count;
};

static bool visit_former(void *ctx, struct str key, struct str value)
{
    struct unnamed *unnamed = ctx;
    (void)value;
    for (int32_t i = 0; i < unnamed->resource->ops_count; i++) {
        if (str_eq(unnamed->resource->ops[i].key, key))
            return true;
    }
    if (unnamed->set)
        unnamed->set->items[unnamed->set->count++] = (struct config_value){key, STR_NULL};
    unnamed->count++;
    return true;
}

static int32_t visit_unnamed(struct command *command, const struct config_resource *r, struct config_set *set)
{
    struct unnamed unnamed = {.resource = r, .set = set};
    image_each_config(plan_image(&command->plan), r->type, r->name, visit_former, &unnamed);
    return unnamed.count;
}

static struct problem reduce(struct command *command, const struct config_resource *r, bool replace,
                             struct config_set *set)
{
    size_t count = (size_t)r->ops_count + (size_t)(replace ? visit_unnamed(command, r, NULL) : 0);
    set->items = command_alloc(command, count, sizeof(*set->items));
    const bool *repeated = repeats_find(command, r->ops, r->ops_count, hash_key);
    if (!set->items || !repeated)
        return out_of_memory;
    for (int32_t i = 0; i < r->ops_count; i++) {
        if (repeated[i])
            return (struct problem){KAFKA_INVALID_REQUEST, STR_LIT("Error due to duplicate config keys")};
        struct problem problem = reduce_op(command, r, i, &set->items[set->count++]);
        if (problem.error != KAFKA_NONE)
            return problem;
    }
    if (replace)
        visit_unnamed(command, r, set);
    ASSERT((size_t)set->count == count);
    return NO_PROBLEM;
}

/* --- resources --- */

static struct problem check_exists(struct command *command, const struct config_resource *r)
{
    if (r->type == CONFIG_RESOURCE_BROKER)
        return config_check_broker_name(command, r->name);
    if (r->type != CONFIG_RESOURCE_TOPIC)
        return (struct problem){
            KAFKA_INVALID_REQUEST,
            command_text(command, "Resource type %d has no configs here", (int64_t)r->type)};
    if (!image_topic_by_name(plan_image(&command->plan), r->name))
        return (struct problem){KAFKA_UNKNOWN_TOPIC_OR_PARTITION,
                                command_text(command, "The topic '%s' does not exist.", r->name)};
    return NO_PROBLEM;
}

static uint64_t hash_resource(const void *items, int32_t i, uint64_t seed)
{
    const struct config_resource *r = &((const struct config_resource *)items)[i];
    return hash_bytes(r->name.p, (uint64_t)MAX(r->name.len, 0), seed ^ (uint64_t)(uint8_t)r->type << 32);
}

static struct problem check(struct command *command, const struct config_resource *r, bool replace,
                            struct config_set *set)
{
    struct problem problem = check_exists(command, r);
    if (problem.error == KAFKA_NONE)
        problem = reduce(command, r, replace, set);
    if (problem.error != KAFKA_NONE)
        return problem;
    return r->type == CONFIG_RESOURCE_TOPIC ? config_check_topic(command, r->name, set)
                                            : config_check_broker(command, r->name, set);
}

void config_run(struct command *command, struct config_resource *resources, int32_t count, bool replace,
                bool validate_only)
{
    const bool *repeated = repeats_find(command, resources, count, hash_resource);
    bool review = false;
    for (int32_t i = 0; repeated && i < count; i++) {
        struct config_resource *r = &resources[i];
        struct config_set set = {0};
        r->problem =
            (struct problem){KAFKA_INVALID_REQUEST, STR_LIT("Each resource must appear at most once.")};
        if (!repeated[i])
            r->problem = check(command, r, replace, &set);
        if (r->problem.error == KAFKA_NONE && !validate_only)
            review |= config_plan(command, r->type, r->name, &set);
        plan_may_cut(&command->plan);
    }
    if (review)
        plan_review(&command->plan, NODE_NONE);
}
