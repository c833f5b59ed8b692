/* SPDX-License-Identifier: Apache-2.0 */
/* `sluice bench consume`: reads partitions from their start as fast as they come; batches are counted by
 * their headers and not opened. At the end of a log it starts again. */
#include <stdlib.h>
#include <string.h>

#include "client/cli/bench_flow.h"
#include "client/cli/verbs.h"
#include "common/base/assert.h"
#include "common/batch/batch.h"
#include "proto/kafka/error.h"

#define FETCH_VERSION 12
#define REPLY_ARENA   (1024 * 1024)
#define REPLY_SLACK   (64u * 1024 * 1024) /* one batch above the limits (KIP-74) */
#define MAX_WAIT_MS   100

enum { OPTION_SECONDS = 0x1000, OPTION_FETCH_SIZE, OPTION_SERVER_PID };

struct consume_bench {
    struct cli *cli;
    struct bench_topic topic;
    int64_t fetch_bytes;
    int32_t connections;
    double seconds;
    struct bench_pids pids;
    struct flow flow;
    struct arena arena;
    uint64_t rounds; /* times that the end of a log was reached */
};

static const struct argp_option options[] = {
    BENCH_TOPIC_OPTIONS,
    {"connections", 'c', "N", 0, "Default: one for each partition", 0},
    {"fetch-size", OPTION_FETCH_SIZE, "SIZE", 0, "Bytes asked for at a time (default 4MiB)", 0},
    {"seconds", OPTION_SECONDS, "S", 0, "How long (default 5)", 0},
    {"server-pid", OPTION_SERVER_PID, "PID,...", 0, "Processes whose CPU time is told, too", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct consume_bench *b = state->input;
    if (bench_topic_option(key, arg, state, &b->topic))
        return 0;
    switch (key) {
    case 'c': b->connections = (int32_t)cli_number(state, "connections", arg, 1, FLOW_LINKS_MAX); return 0;
    case OPTION_FETCH_SIZE:
        b->fetch_bytes = MIN(MAX(cli_size(state, "fetch-size", arg), 1024), 512 << 20);
        return 0;
    case OPTION_SECONDS: b->seconds = (double)cli_number(state, "seconds", arg, 1, 86400); return 0;
    case OPTION_SERVER_PID: bench_pids_parse(&b->pids, state, arg); return 0;
    case ARGP_KEY_ARG: argp_error(state, "unexpected '%s'", arg); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* -- requests -- */

static bool prepare(struct consume_bench *b, struct flow_link *link)
{
    struct kafka_fetch_request request;
    struct kafka_fetch_request_topic topic;
    struct kafka_fetch_request_partition partition;
    struct kafka_request_header header = {
        .api_key = KAFKA_API_FETCH, .api_version = FETCH_VERSION, .client_id = STR_LIT("sluice-bench")};
    struct writer w;
    kafka_fetch_request_init(&request);
    kafka_fetch_request_topic_init(&topic);
    kafka_fetch_request_partition_init(&partition);
    partition.partition = link->partition;
    partition.fetch_offset = link->position;
    partition.partition_max_bytes = (int32_t)b->fetch_bytes;
    topic.topic = str_from(b->topic.name);
    topic.partitions = &partition;
    topic.partitions_count = 1;
    request.max_wait_ms = MAX_WAIT_MS;
    request.min_bytes = 1;
    request.max_bytes = (int32_t)b->fetch_bytes;
    request.rack_id = STR_LIT("");
    request.topics = &topic;
    request.topics_count = 1;
    writer_init(&w, NULL, 512, 65536);
    writer_i32(&w, 0);
    kafka_request_header_encode(&w, kafka_request_header_version(KAFKA_API_FETCH, FETCH_VERSION), &header);
    kafka_fetch_request_encode(&w, FETCH_VERSION, &request);
    if (w.err == OK)
        writer_patch_i32(&w, 0, (int32_t)(writer_pos(&w) - 4));
    iobuf_unref(link->request);
    link->request = writer_take(&w);
    writer_free(&w);
    return link->request != NULL;
}

/* -- replies -- */

static void count_batches(struct flow *flow, struct flow_link *link, const uint8_t *p, size_t len)
{
    struct reader r = reader_over(p, len);
    size_t size;
    for (const uint8_t *batch; (batch = batch_next(&r, &size)) != NULL;) {
        flow->records += (uint64_t)MAX(batch_record_count(batch), 0);
        flow->bytes += size;
        link->position = batch_next_offset(batch);
    }
}

static const struct kafka_fetch_response_partition *decode(struct consume_bench *b, const uint8_t *p,
                                                           size_t len, struct kafka_fetch_response *response)
{
    struct reader r = reader_over(p, len);
    struct kafka_response_header header;
    arena_reset(&b->arena);
    kafka_response_header_decode(&r, kafka_response_header_version(KAFKA_API_FETCH, FETCH_VERSION), &header);
    if (kafka_fetch_response_decode(&r, &b->arena, FETCH_VERSION, response) != OK ||
        response->topics_count != 1 || response->topics[0].partitions_count != 1)
        return NULL;
    return &response->topics[0].partitions[0];
}

static int on_reply(struct flow *flow, struct flow_link *link, const uint8_t *p, size_t len)
{
    struct consume_bench *b = flow->ctx;
    struct kafka_fetch_response response;
    const struct kafka_fetch_response_partition *in = decode(b, p, len, &response);
    if (!in)
        return cli_fail(flow->cli, (struct client_failure){.err = ERR_MALFORMED}, NULL,
                        "a fetch was not answered");
    if (in->error_code == KAFKA_OFFSET_OUT_OF_RANGE && in->log_start_offset > link->position)
        link->position = in->log_start_offset;
    else if (in->error_code != KAFKA_NONE)
        return cli_fail(flow->cli, (struct client_failure){ERR_REJECTED, in->error_code}, NULL,
                        "partition %d refused a fetch", link->partition);
    if (in->records.len > 0)
        count_batches(flow, link, in->records.p, (size_t)in->records.len);
    if (in->error_code == KAFKA_NONE && link->position >= in->high_watermark) {
        link->position = MAX(in->log_start_offset, 0);
        b->rounds++;
    }
    return prepare(b, link) ? EXIT_OK
                            : cli_fail(flow->cli, (struct client_failure){.err = ERR_NOMEM}, NULL, "fetch");
}

/* -- results -- */

static void print_results(const struct consume_bench *b, const struct bench_cpu *cpu)
{
    struct json j = json_to(stdout);
    if (b->cli->output == CLI_TEXT) {
        flow_text(&b->flow, "fetched", cpu);
        return;
    }
    json_object(&j, NULL);
    json_i64(&j, "fetch_bytes", b->fetch_bytes);
    json_i64(&j, "rounds", (int64_t)b->rounds);
    flow_json(&b->flow, &j, cpu);
    json_object_end(&j);
    json_line(&j);
}

static int run_all(struct consume_bench *b)
{
    int code = flow_open(&b->flow, b->cli, &b->topic, b->connections > 0 ? b->connections : b->topic.count);
    for (int32_t i = 0; i < b->flow.links_count && code == EXIT_OK; i++)
        if (!prepare(b, &b->flow.links[i]))
            code = EXIT_LOCAL_IO;
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

int cli_bench_consume(struct cli *cli, int argc, char **argv)
{
    static const struct cli_syntax syntax = {
        options, parse, NULL,
        "Measures how fast records are fetched: one thread, one request in flight "
        "on each connection, batches counted but not opened."};
    struct consume_bench *b = calloc(1, sizeof(*b));
    if (!b)
        return cli_fail_words(cli, EXIT_LOCAL_IO, "out of memory", NULL, "cannot start");
    b->cli = cli;
    b->topic =
        (struct bench_topic){.name = "sluice-bench-produce", .partitions = 6, .replication_factor = -1};
    b->fetch_bytes = 4 * 1024 * 1024;
    b->seconds = 5;
    cli_parse(cli, &syntax, argc, argv, b);
    arena_init(&b->arena, NULL, 0, REPLY_ARENA);
    b->flow.in_flight = 1;
    b->flow.answered = true;
    b->flow.reply_bytes_max = (size_t)b->fetch_bytes + REPLY_SLACK;
    b->flow.on_reply = on_reply;
    b->flow.ctx = b;
    int code = bench_topic_open(cli, &b->topic);
    if (code == EXIT_OK)
        code = run_all(b);
    arena_free(&b->arena);
    free(b);
    return code;
}
