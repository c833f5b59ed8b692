/* SPDX-License-Identifier: Apache-2.0 */
/* `sluice bench latency`: one record in flight on one connection, and the same bytes to a bare TCP echo, in
 * turns, so that both meet the same machine. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/bench_socket.h"
#include "client/cli/bench_target.h"
#include "client/cli/verbs.h"
#include "common/base/assert.h"
#include "common/base/wire.h"
#include "proto/kafka/error.h"

#define REPLY_BYTES_MAX 65536
#define ACKS_MAX        3
#define TRY_COUNT       500

enum {
    OPTION_ACKS = 0x1000,
    OPTION_COUNT,
    OPTION_WARMUP,
    OPTION_BLOCK,
    OPTION_SPIN,
    OPTION_PIN,
    OPTION_SERVER_PID,
    OPTION_NO_ECHO,
    OPTION_PARTITION,
    OPTION_TRY
};

struct latency {
    struct cli *cli;
    struct bench_topic topic;
    uint32_t record_bytes;
    int16_t acks[ACKS_MAX];
    int32_t acks_count;
    uint64_t count, warmup, block;
    bool spin, no_echo;
    int32_t partition, tries;
    int cpu, server_cpu; /* -1: any */
    struct bench_pids pids;
    struct bench_server echo;
    int fd, echo_fd;
    struct hist produce, bare;
    uint8_t reply[REPLY_BYTES_MAX];
};

static const struct argp_option options[] = {
    BENCH_TOPIC_OPTIONS,
    {"acks", OPTION_ACKS, "LIST", 0, "0, 1, all (default 1,all)", 0},
    {"record-size", 's', "SIZE", 0, "Bytes of a record's value (default 100)", 0},
    {"count", OPTION_COUNT, "N", 0, "Round trips of each kind (default 20000)", 0},
    {"warm-up", OPTION_WARMUP, "N", 0, "Round trips before them (default 2000)", 0},
    {"block", OPTION_BLOCK, "N", 0, "Round trips before it is the other's turn (default 100)", 0},
    {"spin", OPTION_SPIN, NULL, 0, "Poll the socket instead of sleeping in it", 0},
    {"pin", OPTION_PIN, "CPU,CPU", 0, "Run on the first CPU; echo server (and --server-pid) on the second",
     0},
    {"server-pid", OPTION_SERVER_PID, "PID,...", 0, "Broker processes to pin like the echo server", 0},
    {"partition", OPTION_PARTITION, "N", 0, "The partition that is written to (default 0)", 0},
    {"try", OPTION_TRY, "N", 0,
     "Open N connections and keep the fastest: one that the shard of the partition itself serves (default 1)",
     0},
    {"no-echo", OPTION_NO_ECHO, NULL, 0, "Leave out the comparison", 0},
    {0},
};

static void parse_acks(const struct argp_state *state, struct latency *l, char *arg)
{
    char *save = NULL;
    l->acks_count = 0;
    for (char *one = strtok_r(arg, ",", &save); one; one = strtok_r(NULL, ",", &save)) {
        if (l->acks_count == ACKS_MAX)
            argp_error(state, "--acks: at most %d", ACKS_MAX);
        l->acks[l->acks_count++] =
            strcmp(one, "all") == 0 ? -1 : (int16_t)cli_number(state, "acks", one, -1, 1);
    }
}

static void parse_pin(const struct argp_state *state, struct latency *l, const char *arg)
{
    if (sscanf(arg, "%d,%d", &l->cpu, &l->server_cpu) != 2)
        argp_error(state, "--pin wants two CPU numbers like 0,1, not '%s'", arg);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct latency *l = state->input;
    if (bench_topic_option(key, arg, state, &l->topic))
        return 0;
    switch (key) {
    case OPTION_ACKS: parse_acks(state, l, arg); return 0;
    case 's': l->record_bytes = (uint32_t)cli_size(state, "record-size", arg); return 0;
    case OPTION_COUNT: l->count = (uint64_t)cli_number(state, "count", arg, 1, INT64_MAX); return 0;
    case OPTION_WARMUP: l->warmup = (uint64_t)cli_number(state, "warm-up", arg, 0, INT64_MAX); return 0;
    case OPTION_BLOCK: l->block = (uint64_t)cli_number(state, "block", arg, 1, INT64_MAX); return 0;
    case OPTION_SPIN: l->spin = true; return 0;
    case OPTION_NO_ECHO: l->no_echo = true; return 0;
    case OPTION_PARTITION:
        l->partition = (int32_t)cli_number(state, "partition", arg, 0, INT32_MAX);
        return 0;
    case OPTION_TRY: l->tries = (int32_t)cli_number(state, "try", arg, 1, 64); return 0;
    case OPTION_PIN: parse_pin(state, l, arg); return 0;
    case OPTION_SERVER_PID: bench_pids_parse(&l->pids, state, arg); return 0;
    case ARGP_KEY_ARG: argp_error(state, "unexpected '%s'", arg); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const char *acks_name(int16_t acks)
{
    return acks < 0 ? "all" : acks == 0 ? "0" : "1";
}

/* -- the loops -- */

static int fail_io(const struct latency *l, const char *whom)
{
    return cli_fail(l->cli, (struct client_failure){.err = ERR_CLOSED}, NULL,
                    "the connection to the %s broke", whom);
}

/* With acks 0 there is no answer: the time is that of handing over to the kernel. */
static int produce_block(struct latency *l, struct iobuf *request, bool answered, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        size_t len = 0;
        store_be32(request->data + BENCH_CORRELATION_AT, (uint32_t)i);
        uint64_t from = bench_now_ns();
        if (!bench_send(l->fd, request->data, request->len) ||
            (answered && !bench_recv_frame(l->fd, l->reply, sizeof(l->reply), l->spin, &len)))
            return fail_io(l, "broker");
        hist_add(&l->produce, bench_now_ns() - from);
        int16_t error = answered ? bench_produce_error(l->reply + 4, len) : 0;
        if (error != KAFKA_NONE)
            return cli_fail(l->cli, (struct client_failure){ERR_REJECTED, error}, NULL,
                            "the broker refused a record");
    }
    return EXIT_OK;
}

static int echo_block(struct latency *l, const struct iobuf *request, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        uint64_t from = bench_now_ns();
        if (!bench_send(l->echo_fd, request->data, request->len) ||
            !bench_recv(l->echo_fd, l->reply, request->len, l->spin))
            return fail_io(l, "echo server");
        hist_add(&l->bare, bench_now_ns() - from);
    }
    return EXIT_OK;
}

static int in_turns(struct latency *l, struct iobuf *request, bool answered, uint64_t count)
{
    int code = EXIT_OK;
    hist_reset(&l->produce);
    hist_reset(&l->bare);
    for (uint64_t done = 0; done < count && code == EXIT_OK; done += l->block) {
        uint64_t n = MIN(l->block, count - done);
        code = produce_block(l, request, answered, n);
        if (code == EXIT_OK && !l->no_echo)
            code = echo_block(l, request, n);
    }
    return code;
}

static struct iobuf *make_request(const struct latency *l, int16_t acks)
{
    struct bench_batch batch = {.topic = l->topic.name,
                                .partition = l->partition,
                                .acks = acks,
                                .records = 1,
                                .value_bytes = l->record_bytes};
    struct iobuf *request = bench_produce_request(&batch);
    if (request && request->len <= REPLY_BYTES_MAX)
        return request;
    cli_fail_words(l->cli, EXIT_USAGE, "too large for one round trip", "give a smaller --record-size",
                   "record of %u bytes", l->record_bytes);
    iobuf_unref(request);
    return NULL;
}

static int measure(struct latency *l, int16_t acks)
{
    struct iobuf *request = make_request(l, acks);
    if (!request)
        return EXIT_USAGE;
    int code = in_turns(l, request, acks != 0, l->warmup);
    if (code == EXIT_OK)
        code = in_turns(l, request, acks != 0, l->count);
    iobuf_unref(request);
    return code;
}

/* -- results -- */

static double ratio(const struct latency *l, double q)
{
    uint64_t bare = hist_quantile(&l->bare, q);
    return bare > 0 ? (double)hist_quantile(&l->produce, q) / (double)bare : 0;
}

static void print_json(const struct latency *l, struct json *j, int16_t acks)
{
    json_object(j, NULL);
    json_z(j, "acks", acks_name(acks));
    bench_hist_json(j, "produce", &l->produce);
    if (!l->no_echo) {
        bench_hist_json(j, "echo", &l->bare);
        json_f64(j, "ratio_p50", ratio(l, 0.5), 4);
        json_f64(j, "ratio_p99", ratio(l, 0.99), 4);
    }
    json_object_end(j);
}

static void print_text(const struct latency *l, int16_t acks)
{
    char label[32];
    snprintf(label, sizeof(label), "produce acks=%s", acks_name(acks));
    bench_hist_text(label, &l->produce);
    if (l->no_echo)
        return;
    bench_hist_text("bare TCP echo", &l->bare);
    printf("%-22s p50 %8.2f  p99 %8.2f times the echo\n", "ratio", ratio(l, 0.5), ratio(l, 0.99));
}

static int measure_all(struct latency *l)
{
    struct json j = json_to(stdout);
    bool in_json = l->cli->output == CLI_JSON;
    int code = EXIT_OK;
    if (in_json) {
        json_object(&j, NULL);
        json_i64(&j, "record_bytes", l->record_bytes);
        json_bool(&j, "spin", l->spin);
        json_bool(&j, "pinned", l->cpu >= 0);
        json_array(&j, "runs");
    }
    for (int32_t i = 0; i < l->acks_count && code == EXIT_OK; i++) {
        code = measure(l, l->acks[i]);
        if (code == EXIT_OK && in_json)
            print_json(l, &j, l->acks[i]);
        else if (code == EXIT_OK)
            print_text(l, l->acks[i]);
    }
    if (in_json) {
        json_array_end(&j);
        json_object_end(&j);
        json_line(&j);
    }
    return code;
}

/* -- life -- */

static int pin_all(const struct latency *l)
{
    bool ok = l->cpu < 0 || bench_pin_self(l->cpu);
    for (int32_t i = 0; i < l->pids.count && l->server_cpu >= 0; i++)
        ok &= bench_pin_process(l->pids.pids[i], l->server_cpu);
    return ok ? EXIT_OK
              : cli_fail_words(l->cli, EXIT_LOCAL_IO, "no such CPU or process, or not allowed", NULL,
                               "cannot pin");
}

/* The median of a few round trips on the present connection. */
static int try_connection(struct latency *l, uint64_t *ret_p50)
{
    struct iobuf *request = make_request(l, 1);
    bool no_echo = l->no_echo;
    if (!request)
        return EXIT_USAGE;
    l->no_echo = true;
    int code = in_turns(l, request, true, TRY_COUNT);
    l->no_echo = no_echo;
    iobuf_unref(request);
    *ret_p50 = hist_quantile(&l->produce, 0.5);
    return code;
}

/* Keeps the fastest of several connections: which shard accepts one is chance. */
static int connect_best(struct latency *l, const struct client_address *address)
{
    uint64_t best_p50 = UINT64_MAX, p50 = 0;
    int best = -1, code = EXIT_OK;
    for (int32_t i = 0; i < l->tries && code == EXIT_OK; i++) {
        enum err err = bench_connect(address, &l->fd);
        if (err != OK)
            return cli_fail(l->cli, (struct client_failure){.err = err}, NULL, "cannot connect to %s:%u",
                            address->host, (unsigned)address->port);
        code = l->tries > 1 ? try_connection(l, &p50) : EXIT_OK;
        int worse = p50 < best_p50 ? best : l->fd;
        best = p50 < best_p50 ? l->fd : best;
        best_p50 = MIN(best_p50, p50);
        if (worse >= 0)
            close(worse);
    }
    l->fd = best;
    return code;
}

static int connect_all(struct latency *l)
{
    if (l->partition >= l->topic.count)
        return cli_fail(l->cli, (struct client_failure){.err = ERR_OUT_OF_RANGE}, NULL,
                        "topic '%s' has %d partitions", l->topic.name, l->topic.count);
    if (!l->no_echo && bench_connect(&l->echo.address, &l->echo_fd) != OK)
        return cli_fail_words(l->cli, EXIT_LOCAL_IO, "connection refused", NULL,
                              "cannot reach the echo server");
    return connect_best(l, &l->topic.leaders[l->partition].address);
}

static int run_all(struct latency *l)
{
    if (!l->no_echo && bench_echo_start(&l->echo, l->server_cpu) != OK)
        return cli_fail_words(l->cli, EXIT_LOCAL_IO, "no socket or thread left", NULL,
                              "cannot start the echo server");
    int code = pin_all(l);
    if (code == EXIT_OK)
        code = connect_all(l);
    if (code == EXIT_OK)
        code = measure_all(l);
    if (l->fd >= 0)
        close(l->fd);
    if (l->echo_fd >= 0)
        close(l->echo_fd);
    if (!l->no_echo)
        bench_server_stop(&l->echo);
    return code;
}

int cli_bench_latency(struct cli *cli, int argc, char **argv)
{
    static const struct cli_syntax syntax = {
        options, parse, NULL,
        "Measures the round trip of one record: one thread, one connection to the leader, one request in "
        "flight; "
        "in turns with a bare TCP echo of the same bytes (a thread with plain epoll)."};
    struct latency *l = calloc(1, sizeof(*l));
    if (!l)
        return cli_fail_words(cli, EXIT_LOCAL_IO, "out of memory", NULL, "cannot start");
    l->cli = cli;
    l->topic =
        (struct bench_topic){.name = "sluice-bench-latency", .partitions = 1, .replication_factor = -1};
    l->record_bytes = 100;
    l->acks[0] = 1;
    l->acks[1] = -1;
    l->acks_count = 2;
    l->count = 20000;
    l->warmup = 2000;
    l->block = 100;
    l->tries = 1;
    l->cpu = l->server_cpu = l->fd = l->echo_fd = -1;
    cli_parse(cli, &syntax, argc, argv, l);
    int code = bench_topic_open(cli, &l->topic);
    if (code == EXIT_OK)
        code = run_all(l);
    free(l);
    return code;
}
