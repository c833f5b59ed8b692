/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "client/cli/json.h"
#include "client/cli/session.h"
#include "client/cli/verbs.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"

#define NAMES_MAX              64
#define DELETE_VERSION_BY_NAME 5 /* from 6 on names are nested; all brokers still know 5 */

enum { OPTION_IF_EXISTS = 0x1000 };

struct delete_topics {
    struct cli *cli;
    struct str names[NAMES_MAX];
    int32_t names_count;
    bool if_exists;
};

static const struct argp_option options[] = {
    {"if-exists", OPTION_IF_EXISTS, NULL, 0, "A topic that does not exist is no error", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct delete_topics *d = state->input;
    switch (key) {
    case OPTION_IF_EXISTS: d->if_exists = true; return 0;
    case ARGP_KEY_ARG:
        if (d->names_count == NAMES_MAX)
            argp_error(state, "more than %d topics", NAMES_MAX);
        d->names[d->names_count++] = str_from(arg);
        return 0;
    case ARGP_KEY_NO_ARGS: argp_error(state, "which topic?"); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static int print_one(struct delete_topics *d, struct json *j,
                     const struct kafka_delete_topics_response_response *one)
{
    bool absent = one->error_code == KAFKA_UNKNOWN_TOPIC_OR_PARTITION && d->if_exists;
    if (one->error_code != KAFKA_NONE && !absent)
        return cli_fail(d->cli, (struct client_failure){ERR_REJECTED, one->error_code}, NULL,
                        "cannot delete topic '%.*s'", MAX(one->name.len, 0), one->name.p ? one->name.p : "");
    if (d->cli->output == CLI_TEXT) {
        printf("topic %.*s %s\n", one->name.len, one->name.p, absent ? "does not exist" : "deleted");
        return EXIT_OK;
    }
    json_object(j, NULL);
    json_str(j, "name", one->name);
    json_bool(j, "deleted", !absent);
    json_object_end(j);
    return EXIT_OK;
}

static int on_reply(void *ctx, const struct client_reply *reply)
{
    struct delete_topics *d = ctx;
    const struct kafka_delete_topics_response *response = reply->message;
    struct json j = json_to(stdout);
    int code = EXIT_OK;
    if (d->cli->output == CLI_JSON) {
        json_object(&j, NULL);
        json_array(&j, "topics");
    }
    for (int32_t i = 0; i < response->responses_count; i++) {
        int one = print_one(d, &j, &response->responses[i]);
        code = one != EXIT_OK ? one : code;
    }
    if (d->cli->output == CLI_JSON) {
        json_array_end(&j);
        json_object_end(&j);
        json_line(&j);
    }
    return code;
}

int cli_topic_delete(struct cli *cli, int argc, char **argv)
{
    struct delete_topics d = {.cli = cli};
    struct cli_syntax syntax = {options, parse, "NAME...", "Deletes topics and their data."};
    struct kafka_delete_topics_request request;
    struct session_call call = {.api_key = KAFKA_API_DELETE_TOPICS,
                                .version_max = DELETE_VERSION_BY_NAME,
                                .message = &request,
                                .what = "cannot delete topics",
                                .on_reply = on_reply,
                                .ctx = &d};
    struct session s = {0};
    cli_parse(cli, &syntax, argc, argv, &d);
    kafka_delete_topics_request_init(&request);
    request.topic_names = d.names;
    request.topic_names_count = d.names_count;
    request.timeout_ms = (int32_t)(cli->timeout_us / 1000);
    int code = session_open_plain(&s, cli);
    if (code == EXIT_OK)
        code = session_call(&s, &call);
    session_close(&s);
    return code;
}
