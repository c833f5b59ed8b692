/* SPDX-License-Identifier: Apache-2.0 */
/* `sluice txn abort`: the coordinator ends the transaction and fences its producer, as for a producer that
 * comes back under the same id (InitProducerId). */
#include "client/cli/json.h"
#include "client/cli/txn_calls.h"
#include "client/cli/verbs.h"
#include "proto/kafka/error.h"

#define NAMES_MAX      64
#define TXN_TIMEOUT_MS 60000 /* of the id from now on; its next producer sets its own */

struct abort_txns {
    struct cli *cli;
    const char *names[NAMES_MAX];
    int32_t names_count;
    const char *name; /* the present one */
    bool ongoing;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct abort_txns *a = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        if (a->names_count == NAMES_MAX)
            argp_error(state, "more than %d ids", NAMES_MAX);
        a->names[a->names_count++] = arg;
        return 0;
    case ARGP_KEY_NO_ARGS: argp_error(state, "which transactional id?"); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static int on_state(void *ctx, const struct kafka_describe_transactions_response_transaction_state *state)
{
    ((struct abort_txns *)ctx)->ongoing = str_eq_z(state->transaction_state, "Ongoing");
    return EXIT_OK;
}

static int on_reply(void *ctx, const struct client_reply *reply)
{
    struct abort_txns *a = ctx;
    const struct kafka_init_producer_id_response *response = reply->message;
    if (response->error_code != KAFKA_NONE && response->error_code != KAFKA_CONCURRENT_TRANSACTIONS)
        return cli_fail(a->cli, (struct client_failure){ERR_REJECTED, response->error_code}, NULL,
                        "cannot abort the transaction of '%s'", a->name);
    if (a->cli->output == CLI_TEXT) {
        printf("transaction of %s aborted, its producer is fenced\n", a->name);
        return EXIT_OK;
    }
    struct json j = json_to(stdout);
    json_object(&j, NULL);
    json_z(&j, "transactional_id", a->name);
    json_bool(&j, "aborted", true);
    json_object_end(&j);
    json_line(&j);
    return EXIT_OK;
}

static int abort_one(struct abort_txns *a, struct session *s)
{
    struct kafka_init_producer_id_request request;
    struct session_call call = {.api_key = KAFKA_API_INIT_PRODUCER_ID,
                                .version_max = 5,
                                .message = &request,
                                .repeatable = true,
                                .to_node = true,
                                .what = "cannot abort the transaction",
                                .on_reply = on_reply,
                                .ctx = a};
    int code = txn_describe_one(s, a->name, on_state, a);
    if (code != EXIT_OK)
        return code;
    if (!a->ongoing)
        return cli_fail_words(a->cli, EXIT_FAILED, "no transaction is open", NULL,
                              "cannot abort the transaction of '%s'", a->name);
    kafka_init_producer_id_request_init(&request);
    request.transactional_id = str_from(a->name);
    request.transaction_timeout_ms = TXN_TIMEOUT_MS;
    code = txn_find_coordinator(s, a->name, &call.node);
    return code == EXIT_OK ? session_call(s, &call) : code;
}

int cli_txn_abort(struct cli *cli, int argc, char **argv)
{
    struct abort_txns a = {.cli = cli};
    struct cli_syntax syntax = {NULL, parse, "ID...", "Aborts open transactions and fences their producers."};
    struct session s = {0};
    cli_parse(cli, &syntax, argc, argv, &a);
    int code = session_open_plain(&s, cli);
    bool open = code == EXIT_OK;
    for (int32_t i = 0; i < a.names_count && open; i++) {
        a.name = a.names[i];
        int one = abort_one(&a, &s);
        code = one != EXIT_OK ? one : code;
    }
    session_close(&s);
    return code;
}
