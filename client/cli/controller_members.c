/* SPDX-License-Identifier: Apache-2.0 */
/* `sluice controller add|remove`: AddRaftVoter and RemoveRaftVoter (KIP-853). Both want the controller's
 * directory id, and the first its address: DescribeQuorum tells, as a controller that wants to join
 * introduces itself to the quorum. */
#include <stdlib.h>
#include <string.h>

#include "client/cli/calls.h"
#include "client/cli/json.h"
#include "client/cli/verbs.h"
#include "common/base/assert.h"
#include "common/env/env.h"
#include "proto/kafka/error.h"

struct change {
    struct cli *cli;
    bool adds;
    int32_t id; /* -1: not given */
    bool found, votes;
    struct uuid directory_id;
    char host[ENV_HOST_MAX];
    uint16_t port;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct change *ch = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        if (ch->id >= 0)
            argp_error(state, "one controller at a time");
        ch->id = (int32_t)cli_number(state, "controller", arg, 0, INT32_MAX);
        return 0;
    case ARGP_KEY_NO_ARGS: argp_error(state, "which controller?"); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* -- who it is -- */

static void look_among(struct change *ch, const struct kafka_describe_quorum_response_replica_state *states,
                       int32_t count, bool votes)
{
    for (int32_t i = 0; i < count; i++) {
        if (states[i].replica_id != ch->id)
            continue;
        ch->found = true;
        ch->votes = votes;
        ch->directory_id = states[i].replica_directory_id;
    }
}

static int on_quorum(void *ctx, const struct client_reply *reply)
{
    struct change *ch = ctx;
    const struct kafka_describe_quorum_response *response = reply->message;
    if (response->error_code != KAFKA_NONE || response->topics_count != 1 ||
        response->topics[0].partitions_count != 1)
        return cli_fail(ch->cli, (struct client_failure){ERR_REJECTED, response->error_code}, NULL,
                        "cannot describe the quorum");
    const struct kafka_describe_quorum_response_partition *p = &response->topics[0].partitions[0];
    look_among(ch, p->observers, p->observers_count, false);
    look_among(ch, p->current_voters, p->current_voters_count, true);
    for (int32_t i = 0; i < response->nodes_count; i++) {
        const struct kafka_describe_quorum_response_node *node = &response->nodes[i];
        if (node->node_id != ch->id || node->listeners_count < 1)
            continue;
        str_copy(node->listeners[0].host, ch->host, sizeof(ch->host));
        ch->port = node->listeners[0].port;
    }
    return EXIT_OK;
}

static int find(struct change *ch, struct session *s)
{
    ch->found = false;
    return calls_describe_quorum(s, on_quorum, ch);
}

/* -- the change -- */

static int say_done(const struct change *ch)
{
    if (ch->cli->output == CLI_TEXT) {
        printf(ch->adds ? "controller %d votes now\n" : "controller %d is no longer of the quorum\n", ch->id);
        return EXIT_OK;
    }
    struct json j = json_to(stdout);
    json_object(&j, NULL);
    json_i64(&j, "controller", ch->id);
    json_bool(&j, "voter", ch->adds);
    json_object_end(&j);
    json_line(&j);
    return EXIT_OK;
}

/* The first try may have been carried out by a leader whose answer was lost. */
static int on_added(void *ctx, const struct client_reply *reply)
{
    struct change *ch = ctx;
    const struct kafka_add_raft_voter_response *response = reply->message;
    if (response->error_code != KAFKA_NONE && response->error_code != KAFKA_DUPLICATE_VOTER)
        return cli_fail_said(ch->cli, response->error_code, response->error_message,
                             "cannot add controller %d", ch->id);
    return say_done(ch);
}

static int on_removed(void *ctx, const struct client_reply *reply)
{
    struct change *ch = ctx;
    const struct kafka_remove_raft_voter_response *response = reply->message;
    if (response->error_code != KAFKA_NONE && response->error_code != KAFKA_VOTER_NOT_FOUND)
        return cli_fail_said(ch->cli, response->error_code, response->error_message,
                             "cannot remove controller %d", ch->id);
    return say_done(ch);
}

static int send_add(struct change *ch, struct session *s)
{
    struct kafka_add_raft_voter_request request;
    struct kafka_add_raft_voter_request_listener listener = {
        .name = STR_LIT("CONTROLLER"), .host = str_from(ch->host), .port = ch->port};
    struct session_call call = {.api_key = KAFKA_API_ADD_RAFT_VOTER,
                                .message = &request,
                                .what = "cannot add the controller",
                                .on_reply = on_added,
                                .ctx = ch};
    kafka_add_raft_voter_request_init(&request);
    request.cluster_id = STR_NULL;
    request.timeout_ms = (int32_t)MIN(ch->cli->timeout_us / 1000 * 3 / 4, (uint64_t)INT32_MAX);
    request.voter_id = ch->id;
    request.voter_directory_id = ch->directory_id;
    request.listeners = &listener;
    request.listeners_count = 1;
    return session_call(s, &call);
}

static int send_remove(struct change *ch, struct session *s)
{
    struct kafka_remove_raft_voter_request request;
    struct session_call call = {.api_key = KAFKA_API_REMOVE_RAFT_VOTER,
                                .message = &request,
                                .what = "cannot remove the controller",
                                .on_reply = on_removed,
                                .ctx = ch};
    kafka_remove_raft_voter_request_init(&request);
    request.cluster_id = STR_NULL;
    request.voter_id = ch->id;
    request.voter_directory_id = ch->directory_id;
    return session_call(s, &call);
}

static int change(struct change *ch, struct session *s)
{
    int code = find(ch, s);
    if (code != EXIT_OK)
        return code;
    if (ch->found && ch->adds && ch->votes)
        return say_done(ch);
    if (ch->found)
        return ch->adds ? send_add(ch, s) : send_remove(ch, s);
    return cli_fail(ch->cli, (struct client_failure){ERR_NOT_FOUND, KAFKA_NONE}, NULL,
                    ch->adds ? "controller %d has not come to the quorum: start it with the addresses of the "
                               "controllers in controller.quorum.voters and an empty metadata.log.dir"
                             : "controller %d is not of the quorum",
                    ch->id);
}

static int run(struct cli *cli, int argc, char **argv, bool adds, const char *doc)
{
    struct change ch = {.cli = cli, .adds = adds, .id = -1};
    struct cli_syntax syntax = {NULL, parse, "ID", doc};
    struct session s = {0};
    cli_parse(cli, &syntax, argc, argv, &ch);
    int code = session_open_plain(&s, cli);
    if (code == EXIT_OK)
        code = change(&ch, &s);
    session_close(&s);
    return code;
}

int cli_controller_add(struct cli *cli, int argc, char **argv)
{
    return run(
        cli, argc, argv, true,
        "Makes a controller that was started beside the quorum one of its voters: it catches up first.");
}

int cli_controller_remove(struct cli *cli, int argc, char **argv)
{
    return run(cli, argc, argv, false,
               "Takes a controller out of the quorum, so that it can be stopped for good.");
}
