/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/json.h"
#include "client/cli/session.h"
#include "client/cli/verbs.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"

struct describe {
    struct cli *cli;
};

/* One broker, from either of the two APIs. */
struct row {
    int32_t id;
    struct str host, rack;
    int32_t port;
    bool fenced;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    if (key != ARGP_KEY_ARG)
        return ARGP_ERR_UNKNOWN;
    argp_error(state, "unexpected '%s'", arg);
    return 0;
}

static void print_row(struct describe *d, struct json *j, const struct row *row)
{
    if (d->cli->output == CLI_JSON) {
        json_object(j, NULL);
        json_i64(j, "id", row->id);
        json_str(j, "host", row->host);
        json_i64(j, "port", row->port);
        json_str(j, "rack", row->rack);
        json_bool(j, "fenced", row->fenced);
        json_object_end(j);
        return;
    }
    printf("  broker %-6d %.*s:%d%s%.*s%s\n", row->id, row->host.len, row->host.p, row->port,
           row->rack.len > 0 ? "  rack " : "", MAX(row->rack.len, 0), row->rack.p ? row->rack.p : "",
           row->fenced ? "  fenced" : "");
}

static void print_head(struct describe *d, struct json *j, struct str cluster_id, int32_t controller,
                       int32_t brokers)
{
    if (d->cli->output == CLI_JSON) {
        json_object(j, NULL);
        json_str(j, "cluster_id", cluster_id);
        json_i64(j, "controller", controller);
        json_array(j, "brokers");
        return;
    }
    printf("cluster %.*s  %d brokers\n", MAX(cluster_id.len, 0), cluster_id.p ? cluster_id.p : "", brokers);
}

static void print_tail(struct describe *d, struct json *j)
{
    if (d->cli->output != CLI_JSON)
        return;
    json_array_end(j);
    json_object_end(j);
    json_line(j);
}

static int on_cluster(void *ctx, const struct client_reply *reply)
{
    struct describe *d = ctx;
    const struct kafka_describe_cluster_response *response = reply->message;
    struct json j = json_to(stdout);
    if (response->error_code != KAFKA_NONE)
        return cli_fail(d->cli, (struct client_failure){ERR_REJECTED, response->error_code}, NULL,
                        "cannot describe the cluster");
    print_head(d, &j, response->cluster_id, response->controller_id, response->brokers_count);
    for (int32_t i = 0; i < response->brokers_count; i++) {
        const struct kafka_describe_cluster_response_broker *broker = &response->brokers[i];
        struct row row = {broker->broker_id, broker->host, broker->rack, broker->port, broker->is_fenced};
        print_row(d, &j, &row);
    }
    print_tail(d, &j);
    return EXIT_OK;
}

static int on_metadata(void *ctx, const struct client_reply *reply)
{
    struct describe *d = ctx;
    const struct kafka_metadata_response *response = reply->message;
    struct json j = json_to(stdout);
    print_head(d, &j, response->cluster_id, response->controller_id, response->brokers_count);
    for (int32_t i = 0; i < response->brokers_count; i++) {
        const struct kafka_metadata_response_broker *broker = &response->brokers[i];
        struct row row = {broker->node_id, broker->host, broker->rack, broker->port, false};
        print_row(d, &j, &row);
    }
    print_tail(d, &j);
    return EXIT_OK;
}

static int describe_cluster(struct describe *d, struct session *s, int16_t version_max, bool fenced,
                            bool *ret_unsupported)
{
    struct kafka_describe_cluster_request request;
    struct session_call call = {.api_key = KAFKA_API_DESCRIBE_CLUSTER,
                                .version_max = version_max,
                                .message = &request,
                                .repeatable = true,
                                .what = "cannot describe the cluster",
                                .on_reply = on_cluster,
                                .ctx = d,
                                .ret_unsupported = ret_unsupported};
    kafka_describe_cluster_request_init(&request);
    request.include_fenced_brokers = fenced;
    return session_call(s, &call);
}

/* Brokers from before DescribeCluster tell the same by Metadata, all but the fenced ones. */
static int describe_by_metadata(struct describe *d, struct session *s)
{
    struct kafka_metadata_request request;
    struct session_call call = {.api_key = KAFKA_API_METADATA,
                                .message = &request,
                                .repeatable = true,
                                .what = "cannot describe the cluster",
                                .on_reply = on_metadata,
                                .ctx = d};
    kafka_metadata_request_init(&request);
    return session_call(s, &call);
}

int cli_cluster_describe(struct cli *cli, int argc, char **argv)
{
    struct describe d = {.cli = cli};
    struct cli_syntax syntax = {NULL, parse, NULL, "Shows the brokers of the cluster."};
    struct session s = {0};
    bool unsupported = false;
    cli_parse(cli, &syntax, argc, argv, &d);
    int code = session_open_plain(&s, cli);
    if (code == EXIT_OK)
        code = describe_cluster(&d, &s, 0, true, &unsupported);
    if (code == EXIT_OK && unsupported) {
        unsupported = false; /* it does not know about fenced brokers */
        code = describe_cluster(&d, &s, 1, false, &unsupported);
    }
    if (code == EXIT_OK && unsupported)
        code = describe_by_metadata(&d, &s);
    session_close(&s);
    return code;
}
