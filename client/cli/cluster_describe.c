/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/calls.h"
#include "client/cli/json.h"
#include "client/cli/verbs.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"

enum { OPTION_QUORUM = 0x1000 };

struct describe {
    struct cli *cli;
    bool quorum;
};

static const struct argp_option options[] = {
    {"quorum", OPTION_QUORUM, NULL, 0, "The controllers instead: who leads, who follows how closely", 0},
    {0},
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
    if (key == OPTION_QUORUM) {
        ((struct describe *)state->input)->quorum = true;
        return 0;
    }
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

/* --- controllers --- */

#define SILENT_MS 500 /* a follower is heard of at every heartbeat of the leader */

static void print_controller(struct describe *d, struct json *j,
                             const struct kafka_describe_quorum_response_partition *p, int64_t now_ms,
                             const struct kafka_describe_quorum_response_replica_state *voter, bool votes)
{
    char directory[UUID_TEXT_MAX];
    uuid_format(voter->replica_directory_id, directory);
    int64_t behind = MAX((int64_t)0, p->high_watermark - voter->log_end_offset);
    int64_t silent_ms = voter->last_fetch_timestamp < 0 ? -1 : now_ms - voter->last_fetch_timestamp;
    if (d->cli->output == CLI_JSON) {
        json_object(j, NULL);
        json_i64(j, "id", voter->replica_id);
        json_bool(j, "leads", voter->replica_id == p->leader_id);
        json_i64(j, "entries_behind", behind);
        json_i64(j, "silent_ms", silent_ms);
        json_z(j, "directory_id", directory);
        json_object_end(j);
        return;
    }
    printf("  controller %-3d %s", voter->replica_id,
           !votes                              ? "observes"
           : voter->replica_id == p->leader_id ? "leads"
                                               : "follows");
    if (behind > 0)
        printf(", %lld entries behind", (long long)behind);
    if (silent_ms < 0)
        printf(", not heard of");
    else if (silent_ms > SILENT_MS)
        printf(", silent for %lld ms", (long long)silent_ms);
    putchar('\n');
}

/* The leader's own time stands for now. */
static int64_t newest_ms(const struct kafka_describe_quorum_response_partition *p)
{
    int64_t newest = -1;
    for (int32_t i = 0; i < p->current_voters_count; i++)
        newest = MAX(newest, p->current_voters[i].last_fetch_timestamp);
    return newest;
}

static int on_quorum(void *ctx, const struct client_reply *reply)
{
    struct describe *d = ctx;
    const struct kafka_describe_quorum_response *response = reply->message;
    struct json j = json_to(stdout);
    if (response->topics_count != 1 || response->topics[0].partitions_count != 1)
        return cli_fail(d->cli, (struct client_failure){ERR_REJECTED, response->error_code}, NULL,
                        "cannot describe the quorum");
    const struct kafka_describe_quorum_response_partition *p = &response->topics[0].partitions[0];
    if (d->cli->output == CLI_JSON) {
        json_object(&j, NULL);
        json_i64(&j, "leader", p->leader_id);
        json_i64(&j, "term", p->leader_epoch);
        json_i64(&j, "commit_index", p->high_watermark);
        json_array(&j, "voters");
    } else {
        printf("quorum  term %d  commit index %lld\n", p->leader_epoch, (long long)p->high_watermark);
    }
    for (int32_t i = 0; i < p->current_voters_count; i++)
        print_controller(d, &j, p, newest_ms(p), &p->current_voters[i], true);
    if (d->cli->output == CLI_JSON) {
        json_array_end(&j);
        json_array(&j, "observers");
    }
    for (int32_t i = 0; i < p->observers_count; i++)
        print_controller(d, &j, p, newest_ms(p), &p->observers[i], false);
    if (d->cli->output == CLI_JSON) {
        json_array_end(&j);
        json_object_end(&j);
        json_line(&j);
    }
    return EXIT_OK;
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
    struct cli_syntax syntax = {options, parse, NULL,
                                "Shows the brokers of the cluster, or its controllers."};
    struct session s = {0};
    bool unsupported = false;
    cli_parse(cli, &syntax, argc, argv, &d);
    int code = session_open_plain(&s, cli);
    if (code == EXIT_OK && d.quorum)
        code = calls_describe_quorum(&s, on_quorum, &d);
    else if (code == EXIT_OK)
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
