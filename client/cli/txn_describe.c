/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/json.h"
#include "client/cli/txn_calls.h"
#include "client/cli/verbs.h"

#define NAMES_MAX 64

struct describe_txns {
    struct cli *cli;
    const char *names[NAMES_MAX];
    int32_t names_count;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct describe_txns *d = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        if (d->names_count == NAMES_MAX)
            argp_error(state, "more than %d ids", NAMES_MAX);
        d->names[d->names_count++] = arg;
        return 0;
    case ARGP_KEY_NO_ARGS: argp_error(state, "which transactional id?"); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static void print_text(const struct kafka_describe_transactions_response_transaction_state *state)
{
    printf("%.*s  state %.*s  producer %lld epoch %d  timeout %d ms  began %lld\n",
           state->transactional_id.len, state->transactional_id.p, state->transaction_state.len,
           state->transaction_state.p, (long long)state->producer_id, state->producer_epoch,
           state->transaction_timeout_ms, (long long)state->transaction_start_time_ms);
    for (int32_t t = 0; t < state->topics_count; t++)
        for (int32_t i = 0; i < state->topics[t].partitions_count; i++)
            printf("  %.*s-%d\n", state->topics[t].topic.len, state->topics[t].topic.p,
                   state->topics[t].partitions[i]);
}

static void print_json(const struct kafka_describe_transactions_response_transaction_state *state)
{
    struct json j = json_to(stdout);
    json_object(&j, NULL);
    json_str(&j, "transactional_id", state->transactional_id);
    json_str(&j, "state", state->transaction_state);
    json_i64(&j, "producer_id", state->producer_id);
    json_i64(&j, "producer_epoch", state->producer_epoch);
    json_i64(&j, "timeout_ms", state->transaction_timeout_ms);
    json_i64(&j, "start_ms", state->transaction_start_time_ms);
    json_array(&j, "partitions");
    for (int32_t t = 0; t < state->topics_count; t++)
        for (int32_t i = 0; i < state->topics[t].partitions_count; i++) {
            json_object(&j, NULL);
            json_str(&j, "topic", state->topics[t].topic);
            json_i64(&j, "partition", state->topics[t].partitions[i]);
            json_object_end(&j);
        }
    json_array_end(&j);
    json_object_end(&j);
    json_line(&j);
}

static int on_state(void *ctx, const struct kafka_describe_transactions_response_transaction_state *state)
{
    const struct describe_txns *d = ctx;
    if (d->cli->output == CLI_TEXT)
        print_text(state);
    else
        print_json(state);
    return EXIT_OK;
}

int cli_txn_describe(struct cli *cli, int argc, char **argv)
{
    struct describe_txns d = {.cli = cli};
    struct cli_syntax syntax = {NULL, parse, "ID...", "State, producer and partitions of transactional ids."};
    struct session s = {0};
    cli_parse(cli, &syntax, argc, argv, &d);
    int code = session_open_plain(&s, cli);
    bool open = code == EXIT_OK;
    for (int32_t i = 0; i < d.names_count && open; i++) {
        int one = txn_describe_one(&s, d.names[i], on_state, &d);
        code = one != EXIT_OK ? one : code;
    }
    session_close(&s);
    return code;
}
