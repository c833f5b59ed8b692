/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/calls.h"
#include "client/cli/json.h"
#include "client/cli/verbs.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"

enum { OPTION_STATE = 0x1000, OPTION_LONGER };

struct list_of_txns {
    struct cli *cli;
    struct json j;
    struct str state; /* null: any */
    int64_t longer_ms;
};

static const struct argp_option options[] = {
    {"state", OPTION_STATE, "STATE", 0,
     "Only these: Empty, Ongoing, PrepareCommit, PrepareAbort, CompleteCommit or CompleteAbort", 0},
    {"longer-than", OPTION_LONGER, "MS", 0, "Only transactions that have run for more milliseconds", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct list_of_txns *l = state->input;
    switch (key) {
    case OPTION_STATE: l->state = str_from(arg); return 0;
    case OPTION_LONGER: l->longer_ms = cli_number(state, "longer-than", arg, 0, INT64_MAX); return 0;
    case ARGP_KEY_ARG: argp_error(state, "unexpected '%s'", arg); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static void print_one(struct list_of_txns *l,
                      const struct kafka_list_transactions_response_transaction_state *txn)
{
    if (l->cli->output == CLI_TEXT) {
        printf("%-40.*s %-16.*s producer %lld\n", txn->transactional_id.len, txn->transactional_id.p,
               txn->transaction_state.len, txn->transaction_state.p, (long long)txn->producer_id);
        return;
    }
    json_object(&l->j, NULL);
    json_str(&l->j, "transactional_id", txn->transactional_id);
    json_str(&l->j, "state", txn->transaction_state);
    json_i64(&l->j, "producer_id", txn->producer_id);
    json_object_end(&l->j);
}

static int on_txns(void *ctx, const struct client_reply *reply)
{
    struct list_of_txns *l = ctx;
    const struct kafka_list_transactions_response *response = reply->message;
    if (response->error_code != KAFKA_NONE)
        return cli_fail(l->cli, (struct client_failure){ERR_REJECTED, response->error_code}, NULL,
                        "cannot list transactions");
    if (response->unknown_state_filters_count > 0)
        return cli_fail_words(l->cli, EXIT_USAGE, "no such state", "see --help", "cannot list transactions");
    for (int32_t i = 0; i < response->transaction_states_count; i++)
        print_one(l, &response->transaction_states[i]);
    return EXIT_OK;
}

/* Every broker knows the transactions that it coordinates. */
static int list_all(struct list_of_txns *l, struct session *s)
{
    struct kafka_list_transactions_request request;
    struct session_call txns = {.api_key = KAFKA_API_LIST_TRANSACTIONS,
                                .message = &request,
                                .repeatable = true,
                                .what = "cannot list transactions",
                                .on_reply = on_txns,
                                .ctx = l};
    kafka_list_transactions_request_init(&request);
    request.state_filters = &l->state;
    request.state_filters_count = l->state.len >= 0;
    request.duration_filter = l->longer_ms;
    return calls_every_broker(s, &txns);
}

int cli_txn_list(struct cli *cli, int argc, char **argv)
{
    struct list_of_txns l = {.cli = cli, .j = json_to(stdout), .state = STR_NULL, .longer_ms = -1};
    struct cli_syntax syntax = {options, parse, NULL, "Lists the transactional ids of all brokers."};
    struct session s = {0};
    cli_parse(cli, &syntax, argc, argv, &l);
    int code = session_open_plain(&s, cli);
    if (code == EXIT_OK && cli->output == CLI_JSON) {
        json_object(&l.j, NULL);
        json_array(&l.j, "transactions");
    }
    if (code == EXIT_OK)
        code = list_all(&l, &s);
    if (code == EXIT_OK && cli->output == CLI_JSON) {
        json_array_end(&l.j);
        json_object_end(&l.j);
        json_line(&l.j);
    }
    session_close(&s);
    return code;
}
