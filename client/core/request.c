/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of the owner: any request to any broker, repeated while that may help. */
#include "client/core/internal.h"
#include "proto/kafka/error.h"

#define INIT_PRODUCER_ID_VERSION_MAX 5 /* 6 is not stable yet */

struct client_pending {
    struct client_call_state call;
    struct list link; /* in client->requests while it waits for an attempt */
    struct client_request request;
    uint64_t deadline_us, retry_at_us;
    uint32_t failures;
    struct client_failure last;
};

static const void *pending_build(struct client *client, struct client_call_state *call, int16_t version,
                                 struct arena *arena)
{
    return CONTAINER_OF(call, struct client_pending, call)->request.message;
}

/* -- the end -- */

static void finish(struct client *client, struct client_pending *pending, struct client_failure failure)
{
    struct client_effect *effect = client_effect(client, CLIENT_FX_REPLY);
    if (!effect) {
        pending->retry_at_us = client_backoff(client, &pending->failures);
        list_push_back(&client->requests, &pending->link);
        return;
    }
    effect->reply = (struct client_reply){
        .tag = pending->request.tag, .failure = failure, .api_key = pending->request.api_key};
    client_give(client, pending, sizeof(*pending));
}

/* The answer is decoded once more, into memory that lives as long as the effect. */
static void finish_with(struct client *client, struct client_pending *pending,
                        const struct client_answer *answer)
{
    const struct kafka_message_type *type = kafka_message_type(pending->request.api_key, false);
    struct reader r = reader_over(answer->body, answer->body_len);
    void *message = arena_alloc(&client->box->arena, type->size);
    struct client_effect *effect;
    if (!message || type->decode(&r, &client->box->arena, answer->version, message) != OK) {
        finish(client, pending, client_failure_of(ERR_NOMEM, 0));
        return;
    }
    effect = client_effect(client, CLIENT_FX_REPLY);
    if (!effect) {
        finish(client, pending, client_failure_of(ERR_NOMEM, 0));
        return;
    }
    effect->reply = (struct client_reply){.tag = pending->request.tag,
                                          .api_key = pending->request.api_key,
                                          .version = answer->version,
                                          .message = message,
                                          .owner = iobuf_ref(answer->owner)};
    client_give(client, pending, sizeof(*pending));
}

/* -- once more? -- */

/* The first error in an answer that a broker which cannot do it now gives for the whole request. */
static int16_t leading_error(int16_t api_key, const void *message)
{
    switch (api_key) {
    case KAFKA_API_CREATE_TOPICS: {
        const struct kafka_create_topics_response *m = message;
        return m->topics_count > 0 ? m->topics[0].error_code : 0;
    }
    case KAFKA_API_DELETE_TOPICS: {
        const struct kafka_delete_topics_response *m = message;
        return m->responses_count > 0 ? m->responses[0].error_code : 0;
    }
    case KAFKA_API_CREATE_PARTITIONS: {
        const struct kafka_create_partitions_response *m = message;
        return m->results_count > 0 ? m->results[0].error_code : 0;
    }
    case KAFKA_API_INCREMENTAL_ALTER_CONFIGS: {
        const struct kafka_incremental_alter_configs_response *m = message;
        return m->responses_count > 0 ? m->responses[0].error_code : 0;
    }
    case KAFKA_API_DESCRIBE_CLUSTER:
        return ((const struct kafka_describe_cluster_response *)message)->error_code;
    case KAFKA_API_FIND_COORDINATOR: {
        const struct kafka_find_coordinator_response *m = message;
        return m->coordinators_count > 0 ? m->coordinators[0].error_code : m->error_code;
    }
    case KAFKA_API_OFFSET_FETCH: {
        const struct kafka_offset_fetch_response *m = message;
        return m->groups_count > 0 ? m->groups[0].error_code : m->error_code;
    }
    case KAFKA_API_DESCRIBE_GROUPS: {
        const struct kafka_describe_groups_response *m = message;
        return m->groups_count > 0 ? m->groups[0].error_code : 0;
    }
    case KAFKA_API_DELETE_GROUPS: {
        const struct kafka_delete_groups_response *m = message;
        return m->results_count > 0 ? m->results[0].error_code : 0;
    }
    case KAFKA_API_LIST_GROUPS: return ((const struct kafka_list_groups_response *)message)->error_code;
    case KAFKA_API_INIT_PRODUCER_ID:
        return ((const struct kafka_init_producer_id_response *)message)->error_code;
    default: return 0;
    }
}

/* Errors that say "nothing happened, and another time it may". */
static bool is_passing(int16_t kafka_error)
{
    static const int16_t passing[] = {KAFKA_NOT_CONTROLLER, KAFKA_BROKER_NOT_AVAILABLE,
                                      KAFKA_COORDINATOR_NOT_AVAILABLE, KAFKA_COORDINATOR_LOAD_IN_PROGRESS,
                                      KAFKA_THROTTLING_QUOTA_EXCEEDED};
    for (size_t i = 0; i < ARRAY_LEN(passing); i++)
        if (passing[i] == kafka_error)
            return true;
    return false;
}

static void again(struct client *client, struct client_pending *pending, struct client_failure failure)
{
    pending->last = failure;
    pending->retry_at_us = client_backoff(client, &pending->failures);
    list_push_back(&client->requests, &pending->link);
}

/* Without an answer. What could not be sent at all, for a reason that stays, is final. */
static void unanswered(struct client *client, struct client_pending *pending, enum err err)
{
    switch (err) {
    case ERR_UNREACHABLE: again(client, pending, client_failure_of(err, 0)); return;
    case ERR_CLOSED:
    case ERR_TIMED_OUT:
    case ERR_MALFORMED:
    case ERR_CANCELED:
        if (pending->request.repeatable)
            again(client, pending, client_failure_of(err, 0));
        else
            finish(client, pending, client_failure_of(ERR_UNKNOWN_OUTCOME, 0));
        return;
    default: finish(client, pending, client_failure_of(err, 0)); return;
    }
}

static void pending_done(struct client *client, struct client_call_state *call,
                         const struct client_answer *answer)
{
    struct client_pending *pending = CONTAINER_OF(call, struct client_pending, call);
    if (answer->err != OK) {
        unanswered(client, pending, answer->err);
        return;
    }
    int16_t error = leading_error(pending->request.api_key, answer->message);
    if (is_passing(error))
        again(client, pending, client_failure_of(OK, error));
    else
        finish_with(client, pending, answer);
}

/* -- attempts -- */

enum err client_call(struct client *client, uint64_t now_us, const struct client_request *request)
{
    ASSERT(kafka_message_type(request->api_key, true) != NULL);
    client_now(client, now_us);
    struct client_pending *pending = client_take(client, sizeof(*pending));
    int16_t version_max = request->version_max > 0 ? request->version_max : INT16_MAX;
    if (!pending)
        return ERR_NOMEM;
    if (request->api_key == KAFKA_API_INIT_PRODUCER_ID)
        version_max = MIN(version_max, INIT_PRODUCER_ID_VERSION_MAX);
    pending->request = *request;
    pending->deadline_us = client->now_us + request->timeout_us;
    pending->call = (struct client_call_state){.api_key = request->api_key,
                                               .version_max = version_max,
                                               .build = pending_build,
                                               .done = pending_done};
    list_init(&pending->call.link);
    list_push_back(&client->requests, &pending->link);
    client_wake(client, client->now_us);
    return OK;
}

static struct client_peer *peer_for(struct client *client, const struct client_pending *pending)
{
    if (pending->request.node == CLIENT_ANY_NODE)
        return client_peer_any(client);
    return client_peer_of(client, pending->request.node, CLIENT_PEER_COMMON);
}

static void attempt(struct client *client, struct client_pending *pending)
{
    struct client_peer *peer;
    if (pending->deadline_us <= client->now_us) {
        list_remove(&pending->link);
        finish(client, pending, client_failure_of(ERR_TIMED_OUT, pending->last.kafka_error));
        return;
    }
    client_wake(client, pending->deadline_us);
    if (pending->retry_at_us > client->now_us) {
        client_wake(client, pending->retry_at_us);
        return;
    }
    peer = peer_for(client, pending);
    if (!peer) {
        pending->retry_at_us = client_backoff(client, &pending->failures);
        return;
    }
    list_remove(&pending->link);
    pending->call.timeout_us = pending->deadline_us - client->now_us;
    client_peer_queue(client, peer, &pending->call);
}

void client_requests_turn(struct client *client)
{
    list_for_each_safe (it, tmp, &client->requests) {
        attempt(client, CONTAINER_OF(it, struct client_pending, link));
    }
}

void client_requests_free(struct client *client)
{
    list_for_each_safe (it, tmp, &client->requests) {
        struct client_pending *pending = CONTAINER_OF(it, struct client_pending, link);
        list_remove(it);
        client_give(client, pending, sizeof(*pending));
    }
}
