/* SPDX-License-Identifier: Apache-2.0 */
/* DeleteTopics, by name or (v6) by id. */
#include "proto/kafka/gen/delete_topics.h"
#include "controller/core/config_change.h"

static int32_t wanted_count(const struct kafka_delete_topics_request *request)
{
    return MAX(request->topics_count > 0 ? request->topics_count : request->topic_names_count, 0);
}

/* The i-th topic of the request, whichever form it has. */
static struct kafka_delete_topics_request_topic wanted_at(const struct kafka_delete_topics_request *request,
                                                          int32_t i)
{
    if (request->topics_count > 0)
        return request->topics[i];
    return (struct kafka_delete_topics_request_topic){.name = request->topic_names[i]};
}

/* Whether another item names the same; a topic named once by name and once by id shows as "gone" the second
 * time. */
static bool is_repeated(const struct kafka_delete_topics_request *request, int32_t at)
{
    struct kafka_delete_topics_request_topic a = wanted_at(request, at);
    for (int32_t i = 0; i < wanted_count(request); i++) {
        struct kafka_delete_topics_request_topic b = wanted_at(request, i);
        if (i != at && str_eq(a.name, b.name) && uuid_eq(a.topic_id, b.topic_id))
            return true;
    }
    return false;
}

static struct problem find(struct command *command, const struct kafka_delete_topics_request *request,
                           int32_t at, const struct image_topic **ret_topic)
{
    struct kafka_delete_topics_request_topic wanted = wanted_at(request, at);
    const struct image *image = plan_image(&command->plan);
    bool by_id = !uuid_is_zero(wanted.topic_id);
    if (by_id == (wanted.name.len >= 0))
        return (struct problem){KAFKA_INVALID_REQUEST,
                                STR_LIT("A topic must be given by its name or by its id.")};
    if (is_repeated(request, at))
        return (struct problem){KAFKA_INVALID_REQUEST, STR_LIT("Duplicate topic.")};
    *ret_topic = by_id ? image_topic_by_id(image, wanted.topic_id) : image_topic_by_name(image, wanted.name);
    if (*ret_topic)
        return NO_PROBLEM;
    return by_id
               ? (struct problem){KAFKA_UNKNOWN_TOPIC_ID, STR_LIT("This server does not host this topic ID.")}
               : (struct problem){KAFKA_UNKNOWN_TOPIC_OR_PARTITION,
                                  STR_LIT("This server does not host this topic-partition.")};
}

static void delete_one(struct command *command, const struct kafka_delete_topics_request *request, int32_t at,
                       struct kafka_delete_topics_response_response *result)
{
    const struct image_topic *topic = NULL;
    struct problem problem = find(command, request, at, &topic);
    result->name = command_str(command, topic ? topic->name : wanted_at(request, at).name);
    result->topic_id = topic ? topic->id : wanted_at(request, at).topic_id;
    result->error_code = problem.error;
    result->error_message = problem.message;
    if (problem.error != KAFKA_NONE)
        return;
    struct meta_record record = {.type = META_TOPIC_REMOVED, .topic_removed.topic_id = topic->id};
    plan_record(&command->plan, &record);
}

void delete_topics(struct command *command, const void *request)
{
    struct kafka_delete_topics_response *response = command_alloc(command, 1, sizeof(*response));
    int32_t count = wanted_count(request);
    if (!response)
        return;
    kafka_delete_topics_response_init(response);
    response->responses = command_alloc(command, (size_t)count, sizeof(*response->responses));
    response->responses_count = response->responses ? count : 0;
    for (int32_t i = 0; i < response->responses_count; i++) {
        kafka_delete_topics_response_response_init(&response->responses[i]);
        delete_one(command, request, i, &response->responses[i]);
    }
    command->reply.admin.response = response;
}
