/* SPDX-License-Identifier: Apache-2.0 */
/* DeleteTopics, by name or (v6) by id. */
#include "proto/kafka/gen/delete_topics.h"
#include "controller/core/config_change.h"
#include "controller/core/repeats.h"

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

/* A topic named once by name and once by id is not seen as a repetition; it shows as "gone" the second time.
 */
static uint64_t hash_wanted(const void *items, int32_t i, uint64_t seed)
{
    struct kafka_delete_topics_request_topic wanted = wanted_at(items, i);
    uint64_t hash = hash_bytes(wanted.topic_id.b, sizeof(wanted.topic_id.b), seed);
    return hash_bytes(wanted.name.p, (uint64_t)MAX(wanted.name.len, 0), hash);
}

/* What a request is answered with. */
struct deletion {
    struct command *command;
    const struct kafka_delete_topics_request *request;
    const bool *repeated; /* by topic */
};

static struct problem find(const struct deletion *d, int32_t at, const struct image_topic **ret_topic)
{
    struct kafka_delete_topics_request_topic wanted = wanted_at(d->request, at);
    const struct image *image = plan_image(&d->command->plan);
    bool by_id = !uuid_is_zero(wanted.topic_id);
    if (by_id == (wanted.name.len >= 0))
        return (struct problem){KAFKA_INVALID_REQUEST,
                                STR_LIT("A topic must be given by its name or by its id.")};
    if (d->repeated[at])
        return (struct problem){KAFKA_INVALID_REQUEST, STR_LIT("Duplicate topic.")};
    *ret_topic = by_id ? image_topic_by_id(image, wanted.topic_id) : image_topic_by_name(image, wanted.name);
    if (*ret_topic)
        return NO_PROBLEM;
    return by_id
               ? (struct problem){KAFKA_UNKNOWN_TOPIC_ID, STR_LIT("This server does not host this topic ID.")}
               : (struct problem){KAFKA_UNKNOWN_TOPIC_OR_PARTITION,
                                  STR_LIT("This server does not host this topic-partition.")};
}

static void delete_one(const struct deletion *d, int32_t at,
                       struct kafka_delete_topics_response_response *result)
{
    const struct image_topic *topic = NULL;
    struct problem problem = find(d, at, &topic);
    kafka_delete_topics_response_response_init(result);
    result->name = command_str(d->command, topic ? topic->name : wanted_at(d->request, at).name);
    result->topic_id = topic ? topic->id : wanted_at(d->request, at).topic_id;
    result->error_code = problem.error;
    result->error_message = problem.message;
    if (problem.error != KAFKA_NONE)
        return;
    struct meta_record record = {.type = META_TOPIC_REMOVED, .topic_removed.topic_id = topic->id};
    plan_record(&d->command->plan, &record);
    plan_may_cut(&d->command->plan);
}

void delete_topics(struct command *command, const void *request)
{
    struct deletion d = {.command = command, .request = request};
    int32_t count = wanted_count(request);
    struct kafka_delete_topics_response *response = command_alloc(command, 1, sizeof(*response));
    struct kafka_delete_topics_response_response *results =
        command_alloc(command, (size_t)count, sizeof(*results));
    d.repeated = repeats_find(command, request, count, hash_wanted);
    if (!response || !results || !d.repeated)
        return; /* out of memory sticks in the plan */
    for (int32_t i = 0; i < count; i++)
        delete_one(&d, i, &results[i]);
    kafka_delete_topics_response_init(response);
    response->responses = results;
    response->responses_count = count;
    command->reply.admin.response = response;
}
