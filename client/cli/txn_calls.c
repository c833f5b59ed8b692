/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/txn_calls.h"

#include "proto/kafka/error.h"

#define KEY_TRANSACTION 1

struct finding {
    struct session *s;
    const char *id;
    int32_t node;
};

static int on_found(void *ctx, const struct client_reply *reply)
{
    struct finding *f = ctx;
    const struct kafka_find_coordinator_response *response = reply->message;
    int16_t error = response->error_code;
    f->node = response->node_id;
    if (response->coordinators_count == 1) {
        error = response->coordinators[0].error_code;
        f->node = response->coordinators[0].node_id;
    }
    if (error == KAFKA_NONE)
        return EXIT_OK;
    return cli_fail(f->s->cli, (struct client_failure){ERR_REJECTED, error}, NULL,
                    "cannot find the coordinator of transactional id '%s'", f->id);
}

int txn_find_coordinator(struct session *s, const char *id, int32_t *ret_node)
{
    struct finding f = {.s = s, .id = id};
    struct str key = str_from(id);
    struct kafka_find_coordinator_request request;
    struct session_call call = {.api_key = KAFKA_API_FIND_COORDINATOR,
                                .message = &request,
                                .repeatable = true,
                                .what = "cannot find the transaction's coordinator",
                                .on_reply = on_found,
                                .ctx = &f};
    kafka_find_coordinator_request_init(&request);
    request.key_type = KEY_TRANSACTION;
    request.coordinator_keys = &key;
    request.coordinator_keys_count = 1;
    int code = session_call(s, &call);
    *ret_node = f.node;
    return code;
}

struct describing {
    struct session *s;
    const char *id;
    int (*on_state)(void *ctx, const struct kafka_describe_transactions_response_transaction_state *state);
    void *ctx;
};

static int on_described(void *ctx, const struct client_reply *reply)
{
    struct describing *d = ctx;
    const struct kafka_describe_transactions_response *response = reply->message;
    int16_t error = response->transaction_states_count == 1 ? response->transaction_states[0].error_code
                                                            : KAFKA_UNKNOWN_SERVER_ERROR;
    if (error != KAFKA_NONE)
        return cli_fail(d->s->cli, (struct client_failure){ERR_REJECTED, error}, NULL,
                        "cannot describe transactional id '%s'", d->id);
    return d->on_state(d->ctx, &response->transaction_states[0]);
}

int txn_describe_one(
    struct session *s, const char *id,
    int (*on_state)(void *ctx, const struct kafka_describe_transactions_response_transaction_state *state),
    void *ctx)
{
    struct describing d = {s, id, on_state, ctx};
    struct str name = str_from(id);
    struct kafka_describe_transactions_request request;
    struct session_call call = {.api_key = KAFKA_API_DESCRIBE_TRANSACTIONS,
                                .message = &request,
                                .repeatable = true,
                                .to_node = true,
                                .what = "cannot describe the transaction",
                                .on_reply = on_described,
                                .ctx = &d};
    kafka_describe_transactions_request_init(&request);
    request.transactional_ids = &name;
    request.transactional_ids_count = 1;
    int code = txn_find_coordinator(s, id, &call.node);
    return code == EXIT_OK ? session_call(s, &call) : code;
}
