/* SPDX-License-Identifier: Apache-2.0 */
/* `sluice bench txn`: transactions of one record each, by many producers with one request in flight each, in
 * protocol version 2 (Produce adds the partition, EndTxn gives the next epoch). All share this process's
 * connections. */
#include <stdlib.h>
#include <string.h>

#include "client/cli/bench_target.h"
#include "client/cli/txn_calls.h"
#include "client/cli/verbs.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"

#define PRODUCERS_MAX   1024
#define PRODUCE_VERSION 12
#define ID_BYTES        48
#define VALUE_BYTES     100
#define TXN_TIMEOUT_MS  60000
#define RETRY_MAX       1000 /* in a row */

enum { OPTION_SECONDS = 0x1000, OPTION_SERVER_PID };

struct txn_producer {
    struct txn_bench *bench;
    char id[ID_BYTES];
    int32_t node; /* its coordinator */
    int32_t partition;
    int64_t producer_id;
    int16_t epoch;
    struct iobuf *batch;
    uint64_t began_ns;
    uint32_t retries;
    struct kafka_init_producer_id_request init;
    struct kafka_produce_request produce;
    struct kafka_produce_request_topic topic;
    struct kafka_produce_request_partition part;
    struct kafka_end_txn_request end;
};

struct txn_bench {
    struct cli *cli;
    struct session s;
    struct bench_topic target;
    int32_t count;
    double seconds;
    struct bench_pids pids;
    struct txn_producer *producers;
    int32_t running;
    uint64_t end_ns, commits, again;
    struct hist latency;
    bool done;
    int code;
};

static const struct argp_option options[] = {
    BENCH_TOPIC_OPTIONS,
    {"producers", 'c', "N", 0, "Transactional ids, one transaction at a time each (default 64)", 0},
    {"seconds", OPTION_SECONDS, "S", 0, "How long (default 5)", 0},
    {"server-pid", OPTION_SERVER_PID, "PID,...", 0, "Processes whose CPU time is told, too", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct txn_bench *b = state->input;
    if (bench_topic_option(key, arg, state, &b->target))
        return 0;
    switch (key) {
    case 'c': b->count = (int32_t)cli_number(state, "producers", arg, 1, PRODUCERS_MAX); return 0;
    case OPTION_SECONDS: b->seconds = (double)cli_number(state, "seconds", arg, 1, 86400); return 0;
    case OPTION_SERVER_PID: bench_pids_parse(&b->pids, state, arg); return 0;
    case ARGP_KEY_ARG: argp_error(state, "unexpected '%s'", arg); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* -- one producer -- */

static void fail(struct txn_bench *b, int code)
{
    if (b->code == EXIT_OK)
        b->code = code;
    b->done = true;
}

static void call(struct txn_producer *p, int16_t api, int16_t version_max, const void *message, int32_t node)
{
    struct txn_bench *b = p->bench;
    struct client_request request = {.api_key = api,
                                     .version_max = version_max,
                                     .message = message,
                                     .node = node,
                                     .timeout_us = b->cli->timeout_us,
                                     .repeatable = true,
                                     .tag = (uint64_t)(p - b->producers)};
    enum err err = client_call(b->s.client, client_driver_now_us(b->s.driver), &request);
    if (err != OK)
        fail(b, cli_fail(b->cli, (struct client_failure){.err = err}, NULL, "cannot send"));
    client_driver_kick(b->s.driver);
}

static void send_init(struct txn_producer *p)
{
    kafka_init_producer_id_request_init(&p->init);
    p->init.transactional_id = str_from(p->id);
    p->init.transaction_timeout_ms = TXN_TIMEOUT_MS;
    call(p, KAFKA_API_INIT_PRODUCER_ID, 5, &p->init, p->node);
}

static void send_produce(struct txn_producer *p)
{
    struct txn_bench *b = p->bench;
    batch_set_producer(p->batch->data, p->producer_id, p->epoch, 0);
    kafka_produce_request_init(&p->produce);
    p->produce.transactional_id = str_from(p->id);
    p->produce.acks = -1;
    p->produce.timeout_ms = 30000;
    p->produce.topics = &p->topic;
    p->produce.topics_count = 1;
    memset(&p->topic, 0, sizeof(p->topic));
    p->topic.name = str_from(b->target.name);
    p->topic.partitions = &p->part;
    p->topic.partitions_count = 1;
    memset(&p->part, 0, sizeof(p->part));
    p->part.index = p->partition;
    p->part.records =
        (struct kafka_records){.p = p->batch->data, .owner = p->batch, .len = (int32_t)p->batch->len};
    call(p, KAFKA_API_PRODUCE, PRODUCE_VERSION, &p->produce, b->target.leaders[p->partition].node);
}

static void begin(struct txn_producer *p)
{
    struct txn_bench *b = p->bench;
    uint64_t now = bench_now_ns();
    if (now >= b->end_ns) {
        b->done |= --b->running == 0;
        return;
    }
    p->began_ns = now;
    send_produce(p);
}

static void send_end(struct txn_producer *p)
{
    kafka_end_txn_request_init(&p->end);
    p->end.transactional_id = str_from(p->id);
    p->end.producer_id = p->producer_id;
    p->end.producer_epoch = p->epoch;
    p->end.committed = true;
    call(p, KAFKA_API_END_TXN, 5, &p->end, p->node);
}

/* -- answers -- */

static int16_t produce_error(const struct kafka_produce_response *response)
{
    if (response->topics_count != 1 || response->topics[0].partitions_count != 1)
        return KAFKA_UNKNOWN_SERVER_ERROR;
    return response->topics[0].partitions[0].error_code;
}

static bool comes_again(int16_t error)
{
    return error == KAFKA_CONCURRENT_TRANSACTIONS || error == KAFKA_NOT_ENOUGH_REPLICAS ||
           error == KAFKA_COORDINATOR_LOAD_IN_PROGRESS || error == KAFKA_COORDINATOR_NOT_AVAILABLE;
}

static void take_answer(struct txn_producer *p, const struct client_reply *reply)
{
    struct txn_bench *b = p->bench;
    if (reply->api_key == KAFKA_API_END_TXN) {
        const struct kafka_end_txn_response *end = reply->message;
        p->producer_id = end->producer_id;
        p->epoch = end->producer_epoch;
        hist_add(&b->latency, bench_now_ns() - p->began_ns);
        b->commits++;
        begin(p);
    } else if (reply->api_key == KAFKA_API_PRODUCE) {
        send_end(p);
    } else {
        const struct kafka_init_producer_id_response *init = reply->message;
        p->producer_id = init->producer_id;
        p->epoch = init->producer_epoch;
        begin(p);
    }
}

static int16_t error_of(const struct client_reply *reply)
{
    if (reply->api_key == KAFKA_API_END_TXN)
        return ((const struct kafka_end_txn_response *)reply->message)->error_code;
    if (reply->api_key == KAFKA_API_PRODUCE)
        return produce_error(reply->message);
    return ((const struct kafka_init_producer_id_response *)reply->message)->error_code;
}

static void on_reply(void *ctx, const struct client_reply *reply)
{
    struct txn_bench *b = ctx;
    struct txn_producer *p = &b->producers[reply->tag];
    if (reply->failure.err != OK) {
        fail(b, cli_fail(b->cli, reply->failure, client_trouble(b->s.client), "a transaction failed"));
        return;
    }
    int16_t error = error_of(reply);
    if (comes_again(error) && ++p->retries < RETRY_MAX) {
        b->again++;
        if (reply->api_key == KAFKA_API_END_TXN)
            send_end(p);
        else if (reply->api_key == KAFKA_API_PRODUCE)
            send_produce(p);
        else
            send_init(p);
        return;
    }
    if (error != KAFKA_NONE) {
        fail(b, cli_fail(b->cli, (struct client_failure){ERR_REJECTED, error}, NULL,
                         "a transaction was refused"));
        return;
    }
    p->retries = 0;
    take_answer(p, reply);
}

static const struct client_driver_handler handler = {.reply = on_reply};

/* -- the whole -- */

static struct iobuf *make_batch(void)
{
    uint8_t value[VALUE_BYTES];
    struct batch_opts opts = BATCH_OPTS_PLAIN;
    struct batch_builder builder;
    struct iobuf *batch = NULL;
    opts.transactional = true;
    memset(value, 'x', sizeof(value));
    if (batch_builder_init(&builder, &opts, NULL, 512, 4096) != OK)
        return NULL;
    struct record_in record = {
        .timestamp_ms = 1, .key = BYTES_NULL, .value = {value, (int32_t)sizeof(value)}};
    if (batch_builder_add(&builder, &record) != OK || batch_builder_finish(&builder, NULL, &batch) != OK)
        return NULL;
    return batch;
}

/* Coordinators are looked up before the clock runs, and made if there are none. */
static int prepare(struct txn_bench *b)
{
    struct session s = {0};
    int code = session_open_plain(&s, b->cli);
    for (int32_t i = 0; i < b->count && code == EXIT_OK; i++) {
        struct txn_producer *p = &b->producers[i];
        p->bench = b;
        p->partition = i % b->target.count;
        p->batch = make_batch();
        snprintf(p->id, sizeof(p->id), "bench-%d-%lld", i, (long long)bench_now_ns());
        code = txn_find_coordinator(&s, p->id, &p->node);
        if (code == EXIT_OK && !p->batch)
            code = cli_fail_words(b->cli, EXIT_LOCAL_IO, "out of memory", NULL, "cannot make the batches");
    }
    session_close(&s);
    return code;
}

static void print_results(const struct txn_bench *b, double took_s, const struct bench_cpu *cpu)
{
    double rate = (double)b->commits / took_s;
    struct json j = json_to(stdout);
    if (b->cli->output == CLI_TEXT) {
        printf(
            "%llu transactions committed in %.2f s: %.0f/s; %llu repeated; CPU %.2f s here, %.2f s there\n",
            (unsigned long long)b->commits, took_s, rate, (unsigned long long)b->again, cpu->self_s,
            cpu->others_s);
        bench_hist_text("transaction", &b->latency);
        return;
    }
    json_object(&j, NULL);
    json_i64(&j, "committed", (int64_t)b->commits);
    json_f64(&j, "seconds", took_s, 3);
    json_f64(&j, "per_second", rate, 1);
    json_i64(&j, "repeated", (int64_t)b->again);
    json_f64(&j, "cpu_self_s", cpu->self_s, 3);
    json_f64(&j, "cpu_servers_s", cpu->others_s, 3);
    bench_hist_json(&j, "transaction", &b->latency);
    json_object_end(&j);
    json_line(&j);
}

static int run_all(struct txn_bench *b)
{
    struct client_config config;
    int code = session_config(b->cli, &config);
    if (code == EXIT_OK)
        code = session_open(&b->s, b->cli, &config, &handler, b);
    if (code != EXIT_OK)
        return code;
    struct bench_cpu before = bench_cpu_now(&b->pids);
    uint64_t began = bench_now_ns();
    b->end_ns = began + (uint64_t)(b->seconds * 1e9);
    b->running = b->count;
    for (int32_t i = 0; i < b->count; i++)
        send_init(&b->producers[i]);
    session_run(&b->s, &b->done);
    double took_s = (double)(bench_now_ns() - began) / 1e9;
    struct bench_cpu cpu = bench_cpu_now(&b->pids);
    cpu.self_s -= before.self_s;
    cpu.others_s -= before.others_s;
    if (b->code == EXIT_OK && b->done)
        print_results(b, took_s, &cpu);
    return b->s.unreachable ? EXIT_UNREACHABLE : b->s.interrupted ? EXIT_INTERRUPTED : b->code;
}

int cli_bench_txn(struct cli *cli, int argc, char **argv)
{
    static const struct cli_syntax syntax = {options, parse, NULL,
                                             "Measures how fast transactions of one record commit."};
    struct txn_bench *b = calloc(1, sizeof(*b));
    if (!b || !(b->producers = calloc(PRODUCERS_MAX, sizeof(*b->producers)))) {
        free(b);
        return cli_fail_words(cli, EXIT_LOCAL_IO, "out of memory", NULL, "cannot start");
    }
    b->cli = cli;
    b->target = (struct bench_topic){.name = "sluice-bench-txn", .partitions = 6, .replication_factor = -1};
    b->count = 64;
    b->seconds = 5;
    hist_reset(&b->latency);
    cli_parse(cli, &syntax, argc, argv, b);
    int code = bench_topic_open(cli, &b->target);
    if (code == EXIT_OK)
        code = prepare(b);
    if (code == EXIT_OK)
        code = run_all(b);
    session_close(&b->s);
    for (int32_t i = 0; i < b->count; i++)
        iobuf_unref(b->producers[i].batch);
    free(b->producers);
    free(b);
    return code;
}
