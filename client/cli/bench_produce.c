/* SPDX-License-Identifier: Apache-2.0 */
/* `sluice bench produce`: the same prepared batches again and again, so that the broker is measured and not
 * the making of batches. */
#include <stdlib.h>
#include <string.h>

#include "client/cli/bench_flow.h"
#include "client/cli/verbs.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"

#define REPLY_BYTES_MAX (1024 * 1024)

enum { OPTION_ACKS = 0x1000, OPTION_SECONDS, OPTION_BATCH_SIZE, OPTION_IN_FLIGHT, OPTION_SERVER_PID };

struct produce_bench {
    struct cli *cli;
    struct bench_topic topic;
    struct bench_batch batch;
    int64_t batch_bytes;
    int32_t connections;
    uint32_t in_flight;
    double seconds;
    struct bench_pids pids;
    struct flow flow;
};

static const struct argp_option options[] = {
    BENCH_TOPIC_OPTIONS,
    {"acks", OPTION_ACKS, "0|1|all", 0, "Default all", 0},
    {"record-size", 's', "SIZE", 0, "Bytes of a record's value (default 1KiB)", 0},
    {"batch-size", OPTION_BATCH_SIZE, "SIZE", 0,
     "Bytes of records in a batch, one batch in a request (default 256KiB)", 0},
    {"connections", 'c', "N", 0, "Default: one for each partition", 0},
    {"in-flight", OPTION_IN_FLIGHT, "N", 0, "Requests in flight on each connection (default 5)", 0},
    {"compression", 'z', "CODEC", 0, "none, gzip, snappy, lz4 or zstd (default none)", 0},
    {"seconds", OPTION_SECONDS, "S", 0, "How long (default 5)", 0},
    {"server-pid", OPTION_SERVER_PID, "PID,...", 0, "Processes whose CPU time is told, too", 0},
    {0},
};

static bool parse_load(int key, char *arg, const struct argp_state *state, struct produce_bench *b)
{
    switch (key) {
    case OPTION_ACKS:
        b->batch.acks = strcmp(arg, "all") == 0 ? -1 : (int16_t)cli_number(state, "acks", arg, -1, 1);
        return true;
    case 's':
        b->batch.value_bytes = (uint32_t)MIN(cli_size(state, "record-size", arg), 64 << 20);
        return true;
    case OPTION_BATCH_SIZE: b->batch_bytes = cli_size(state, "batch-size", arg); return true;
    case 'z':
        if (codec_from_name(str_from(arg), &b->batch.codec) != OK)
            argp_error(state, "--compression wants none, gzip, snappy, lz4 or zstd, not '%s'", arg);
        return true;
    default: return false;
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct produce_bench *b = state->input;
    if (bench_topic_option(key, arg, state, &b->topic))
        return 0;
    if (parse_load(key, arg, state, b))
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

static void count(struct produce_bench *b)
{
    b->flow.records += (uint64_t)b->batch.records;
    b->flow.bytes += (uint64_t)b->batch.records * b->batch.value_bytes;
}

static int on_reply(struct flow *flow, struct flow_link *link, const uint8_t *p, size_t len)
{
    struct produce_bench *b = flow->ctx;
    int16_t error = bench_produce_error(p, len);
    if (error != KAFKA_NONE)
        return cli_fail(flow->cli, (struct client_failure){ERR_REJECTED, error}, NULL,
                        "partition %d refused a batch", link->partition);
    count(b);
    return EXIT_OK;
}

static void on_sent(struct flow *flow, struct flow_link *link)
{
    flow->requests++;
    count(flow->ctx);
}

static int prepare(struct produce_bench *b)
{
    for (int32_t i = 0; i < b->flow.links_count; i++) {
        b->batch.partition = b->flow.links[i].partition;
        b->flow.links[i].request = bench_produce_request(&b->batch);
        if (!b->flow.links[i].request)
            return cli_fail_words(b->cli, EXIT_USAGE, "out of memory, or larger than a request may be",
                                  "give a smaller --batch-size", "cannot make the batches");
    }
    return EXIT_OK;
}

static void print_results(const struct produce_bench *b, const struct bench_cpu *cpu)
{
    struct json j = json_to(stdout);
    if (b->cli->output == CLI_TEXT) {
        flow_text(&b->flow, "produced", cpu);
        return;
    }
    json_object(&j, NULL);
    json_z(&j, "acks", b->batch.acks < 0 ? "all" : b->batch.acks == 0 ? "0" : "1");
    json_i64(&j, "record_bytes", b->batch.value_bytes);
    json_i64(&j, "batch_records", b->batch.records);
    json_z(&j, "compression", codec_name(b->batch.codec));
    flow_json(&b->flow, &j, cpu);
    json_object_end(&j);
    json_line(&j);
}

static int run_all(struct produce_bench *b)
{
    int code = flow_open(&b->flow, b->cli, &b->topic, b->connections > 0 ? b->connections : b->topic.count);
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

int cli_bench_produce(struct cli *cli, int argc, char **argv)
{
    static const struct cli_syntax syntax = {
        options, parse, NULL,
        "Measures how fast prepared batches are accepted: one thread, several "
        "connections, several requests in flight on each."};
    struct produce_bench *b = calloc(1, sizeof(*b));
    if (!b)
        return cli_fail_words(cli, EXIT_LOCAL_IO, "out of memory", NULL, "cannot start");
    b->cli = cli;
    b->topic =
        (struct bench_topic){.name = "sluice-bench-produce", .partitions = 6, .replication_factor = -1};
    b->batch = (struct bench_batch){.acks = -1, .value_bytes = 1024};
    b->batch_bytes = 256 * 1024;
    b->in_flight = 5;
    b->seconds = 5;
    cli_parse(cli, &syntax, argc, argv, b);
    b->batch.topic = b->topic.name;
    b->batch.records = (int32_t)MAX(b->batch_bytes / MAX((int64_t)b->batch.value_bytes, 1), 1);
    b->flow.in_flight = b->in_flight;
    b->flow.answered = b->batch.acks != 0;
    b->flow.reply_bytes_max = REPLY_BYTES_MAX;
    b->flow.on_reply = on_reply;
    b->flow.on_sent = on_sent;
    b->flow.ctx = b;
    int code = bench_topic_open(cli, &b->topic);
    if (code == EXIT_OK)
        code = run_all(b);
    free(b);
    return code;
}
