/* SPDX-License-Identifier: Apache-2.0 */
/* UpdateFeatures (KIP-584): all of a request or nothing. */
#include "proto/kafka/gen/update_features.h"
#include "controller/core/config_change.h"
#include "proto/cluster/feature_table.h"

enum upgrade_type { UPGRADE = 1, SAFE_DOWNGRADE = 2, UNSAFE_DOWNGRADE = 3 };

static struct problem refuse(struct str message)
{
    return (struct problem){KAFKA_INVALID_UPDATE_VERSION, message};
}

static struct problem check(struct command *command,
                            const struct kafka_update_features_request_feature_update *update)
{
    const struct feature *feature = feature_find(update->feature);
    bool lower = update->allow_downgrade || update->upgrade_type == SAFE_DOWNGRADE;
    if (!feature)
        return refuse(command_text(command, "Unknown feature %s", update->feature));
    if (update->upgrade_type < UPGRADE || update->upgrade_type > UNSAFE_DOWNGRADE)
        return refuse(STR_LIT("The upgrade type must be 1, 2 or 3"));
    if (update->upgrade_type == UNSAFE_DOWNGRADE)
        return refuse(STR_LIT("Unsafe downgrades are not supported"));
    int16_t now = image_feature(plan_image(&command->plan), update->feature);
    const char *why = feature_refusal(feature, now, update->max_version_level, lower);
    return why ? refuse(command_text(command, "%s to %d: %z", update->feature,
                                     (int64_t)update->max_version_level, why))
               : NO_PROBLEM;
}

static void plan_levels(struct command *command, const struct kafka_update_features_request *request)
{
    for (int32_t i = 0; i < request->feature_updates_count; i++) {
        const struct kafka_update_features_request_feature_update *update = &request->feature_updates[i];
        struct meta_record record = {.type = META_FEATURE,
                                     .feature = {update->feature, update->max_version_level}};
        if (image_feature(plan_image(&command->plan), update->feature) != update->max_version_level)
            plan_record(&command->plan, &record);
    }
}

/* Versions before 2 have a result for each feature; since then the answer as a whole is enough. */
static void answer(struct command *command, const struct kafka_update_features_request *request,
                   const struct problem *problems, struct kafka_update_features_response *response)
{
    for (int32_t i = 0; i < request->feature_updates_count; i++) {
        struct kafka_update_features_response_result *result = &response->results[i];
        kafka_update_features_response_result_init(result);
        result->feature = command_str(command, request->feature_updates[i].feature);
        result->error_code = problems[i].error;
        result->error_message = problems[i].message;
        if (problems[i].error != KAFKA_NONE && response->error_code == KAFKA_NONE &&
            command->reply.admin.api_version >= 2) {
            response->error_code = problems[i].error;
            response->error_message = problems[i].message;
        }
    }
    response->results_count = command->reply.admin.api_version >= 2 ? 0 : request->feature_updates_count;
}

void update_features(struct command *command, const void *message)
{
    const struct kafka_update_features_request *request = message;
    size_t count = (size_t)MAX(request->feature_updates_count, 0);
    struct kafka_update_features_response *response = command_alloc(command, 1, sizeof(*response));
    struct problem *problems = command_alloc(command, count, sizeof(*problems));
    bool good = true;
    if (!response || !problems)
        return;
    kafka_update_features_response_init(response);
    response->results = command_alloc(command, count, sizeof(*response->results));
    if (!response->results)
        return;
    for (int32_t i = 0; i < request->feature_updates_count; i++) {
        problems[i] = check(command, &request->feature_updates[i]);
        good &= problems[i].error == KAFKA_NONE;
    }
    if (good && !request->validate_only)
        plan_levels(command, request);
    answer(command, request, problems, response);
    command->reply.admin.response = response;
}
