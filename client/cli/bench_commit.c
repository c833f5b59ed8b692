/* SPDX-License-Identifier: Apache-2.0 */
/* `sluice bench commit`: offset commits of many groups, each on a connection of its own. */
#include <stdlib.h>
#include <string.h>

#include "client/cli/bench_flow.h"
#include "client/cli/group_calls.h"
#include "client/cli/verbs.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"

#define GROUP_TOPIC     "__consumer_offsets"
#define REPLY_BYTES_MAX (64 * 1024)
#define REQUEST_BYTES   4096
#define VERSION         8
#define NAME_BYTES      32

enum { OPTION_SECONDS = 0x1000, OPTION_IN_FLIGHT, OPTION_SERVER_PID };

struct commit_bench {
    struct cli *cli;
    struct bench_topic target, groups; /* whose offsets; who coordinates */
    int32_t connections;
    uint32_t in_flight;
    double seconds;
    struct bench_pids pids;
    struct flow flow;
};

static const struct argp_option options[] = {
    BENCH_TOPIC_OPTIONS,
    {"connections", 'c', "N", 0, "Groups, each with a connection of its own (default 64)", 0},
    {"in-flight", OPTION_IN_FLIGHT, "N", 0, "Requests in flight on each connection (default 1)", 0},
    {"seconds", OPTION_SECONDS, "S", 0, "How long (default 5)", 0},
    {"server-pid", OPTION_SERVER_PID, "PID,...", 0, "Processes whose CPU time is told, too", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct commit_bench *b = state->input;
    if (bench_topic_option(key, arg, state, &b->target))
        return 0;
    switch (key) {
    case 'c': b->connections = (int32_t)cli_number(state, "connections", arg, 1, FLOW_LINKS_MAX); return 0;
    case OPTION_IN_FLIGHT:
        b->in_flight = (uint32_t)cli_number(state, "in-flight", arg, 1, FLOW_IN_FLIGHT_MAX);
        return 0;
    case OPTION_SECONDS: b->seconds = (double)cli_number(state, "seconds", arg, 1, 86400); return 0;
    case OPTION_SERVER_PID: bench_pids_parse(&b->pids, state, arg); return 0;
    case ARGP_KEY_ARG: argp_error(state, "unexpected '%s'", arg); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* Kafka's choice, for plain ASCII names. */
static int32_t coordinator_of(const char *name, int32_t partitions)
{
    uint32_t hash = 0;
    for (; *name; name++)
        hash = hash * 31 + (uint8_t)*name;
    return hash == 0x80000000u ? 0 : (int32_t)(hash >> 31 ? -hash : hash) % partitions;
}

/* A name that this partition coordinates, another one for each link. */
static void name_group(int32_t link, int32_t partition, int32_t partitions, char *name)
{
    for (int i = 0;; i++) {
        snprintf(name, NAME_BYTES, "bench-%d-%d", link, i);
        if (coordinator_of(name, partitions) == partition)
            return;
    }
}

static struct iobuf *commit_request(const char *group, const char *topic)
{
    struct kafka_request_header header = {
        .api_key = KAFKA_API_OFFSET_COMMIT, .api_version = VERSION, .client_id = STR_LIT("sluice-bench")};
    struct kafka_offset_commit_request request;
    struct kafka_offset_commit_request_topic one;
    struct kafka_offset_commit_request_partition partition;
    struct writer w;
    kafka_offset_commit_request_init(&request);
    kafka_offset_commit_request_topic_init(&one);
    kafka_offset_commit_request_partition_init(&partition);
    partition.committed_offset = 1;
    partition.committed_metadata = STR_LIT("");
    one.name = str_from(topic);
    one.partitions = &partition;
    one.partitions_count = 1;
    request.group_id = str_from(group);
    request.member_id = STR_LIT("");
    request.topics = &one;
    request.topics_count = 1;
    writer_init(&w, NULL, REQUEST_BYTES, REQUEST_BYTES);
    writer_i32(&w, 0);
    kafka_request_header_encode(&w, kafka_request_header_version(header.api_key, VERSION), &header);
    kafka_offset_commit_request_encode(&w, VERSION, &request);
    if (w.err == OK)
        writer_patch_i32(&w, 0, (int32_t)(writer_pos(&w) - 4));
    struct iobuf *made = writer_take(&w);
    writer_free(&w);
    return made;
}

static int on_reply(struct flow *flow, struct flow_link *link, const uint8_t *p, size_t len)
{
    struct kafka_response_header header;
    struct kafka_offset_commit_response response;
    struct reader r = reader_over(p, len);
    uint8_t first[2048];
    struct arena arena;
    int16_t error = KAFKA_UNKNOWN_SERVER_ERROR;
    arena_init(&arena, first, sizeof(first), sizeof(first));
    kafka_response_header_decode(&r, kafka_response_header_version(KAFKA_API_OFFSET_COMMIT, VERSION),
                                 &header);
    if (kafka_offset_commit_response_decode(&r, &arena, VERSION, &response) == OK &&
        response.topics_count == 1 && response.topics[0].partitions_count == 1)
        error = response.topics[0].partitions[0].error_code;
    arena_free(&arena);
    if (error != KAFKA_NONE)
        return cli_fail(flow->cli, (struct client_failure){ERR_REJECTED, error}, NULL,
                        "a commit was refused");
    flow->records++;
    return EXIT_OK;
}

static int prepare(struct commit_bench *b)
{
    char name[NAME_BYTES];
    for (int32_t i = 0; i < b->flow.links_count; i++) {
        name_group(i, b->flow.links[i].partition, b->groups.count, name);
        b->flow.links[i].request = commit_request(name, b->target.name);
        if (!b->flow.links[i].request)
            return cli_fail_words(b->cli, EXIT_LOCAL_IO, "out of memory", NULL, "cannot make the requests");
    }
    return EXIT_OK;
}

static void print_results(const struct commit_bench *b, const struct bench_cpu *cpu)
{
    struct json j = json_to(stdout);
    if (b->cli->output == CLI_TEXT) {
        flow_text(&b->flow, "committed", cpu);
        return;
    }
    json_object(&j, NULL);
    flow_json(&b->flow, &j, cpu);
    json_object_end(&j);
    json_line(&j);
}

static int run_all(struct commit_bench *b)
{
    int code = flow_open(&b->flow, b->cli, &b->groups, b->connections);
    if (code == EXIT_OK)
        code = prepare(b);
    struct bench_cpu before = bench_cpu_now(&b->pids);
    if (code == EXIT_OK)
        code = flow_run(&b->flow, b->seconds);
    struct bench_cpu cpu = bench_cpu_now(&b->pids);
    cpu.self_s -= before.self_s;
    cpu.others_s -= before.others_s;
    if (code == EXIT_OK)
        print_results(b, &cpu);
    flow_close(&b->flow);
    return code;
}

/* Asking for a coordinator makes the topic of all of them. */
static int wake_coordinators(struct cli *cli)
{
    struct session s = {0};
    int32_t node;
    int code = session_open_plain(&s, cli);
    if (code == EXIT_OK)
        code = group_find_coordinator(&s, "bench", &node);
    session_close(&s);
    return code;
}

int cli_bench_commit(struct cli *cli, int argc, char **argv)
{
    static const struct cli_syntax syntax = {
        options, parse, NULL, "Measures how fast groups commit offsets, one partition at a time."};
    struct commit_bench *b = calloc(1, sizeof(*b));
    if (!b)
        return cli_fail_words(cli, EXIT_LOCAL_IO, "out of memory", NULL, "cannot start");
    b->cli = cli;
    b->target =
        (struct bench_topic){.name = "sluice-bench-commit", .partitions = 1, .replication_factor = -1};
    b->groups = (struct bench_topic){.name = GROUP_TOPIC, .partitions = 1, .replication_factor = -1};
    b->connections = 64;
    b->in_flight = 1;
    b->seconds = 5;
    cli_parse(cli, &syntax, argc, argv, b);
    b->flow.in_flight = b->in_flight;
    b->flow.answered = true;
    b->flow.reply_bytes_max = REPLY_BYTES_MAX;
    b->flow.on_reply = on_reply;
    b->flow.ctx = b;
    int code = bench_topic_open(cli, &b->target);
    if (code == EXIT_OK)
        code = wake_coordinators(cli);
    if (code == EXIT_OK)
        code = bench_topic_open(cli, &b->groups);
    if (code == EXIT_OK)
        code = run_all(b);
    free(b);
    return code;
}
