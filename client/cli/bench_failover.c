/* SPDX-License-Identifier: Apache-2.0 */
/* `sluice bench failover`: a steady stream to every partition with acks=all while somebody kills brokers, and
 * the longest time that any partition went without an acknowledgment. */
#include <stdlib.h>
#include <string.h>

#include "client/cli/bench_target.h"
#include "client/cli/verbs.h"
#include "common/base/assert.h"

#define TICK_US             1000
#define GAP_WORTH_A_LINE_US 100000
#define LAST_WAIT_US        30000000

enum { OPTION_RATE = 0x1000, OPTION_SECONDS };

struct lane {
    uint64_t sent, acknowledged;
    uint64_t waiting_since_us; /* of the present gap; 0: nothing is outstanding */
    uint64_t longest_us;
};

struct failover {
    struct cli *cli;
    struct bench_topic topic;
    uint32_t record_bytes;
    int64_t rate; /* records each second, all partitions together */
    uint64_t duration_us;
    struct session s;
    struct client_topic *handle;
    struct lane lanes[BENCH_PARTITIONS_MAX];
    int32_t next;
    struct env_timer tick;
    uint64_t started_us, sent, acknowledged, failed;
    struct client_failure failure;
    uint8_t *value;
    bool done;
    int code;
};

static const struct argp_option options[] = {
    BENCH_TOPIC_OPTIONS,
    {"rate", OPTION_RATE, "N", 0, "Records each second (default 2000)", 0},
    {"record-size", 's', "SIZE", 0, "Bytes of a record's value (default 100)", 0},
    {"seconds", OPTION_SECONDS, "S", 0, "How long (default 10)", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct failover *f = state->input;
    if (bench_topic_option(key, arg, state, &f->topic))
        return 0;
    switch (key) {
    case OPTION_RATE: f->rate = cli_number(state, "rate", arg, 1, 10000000); return 0;
    case 's': f->record_bytes = (uint32_t)MIN(cli_size(state, "record-size", arg), 1 << 20); return 0;
    case OPTION_SECONDS:
        f->duration_us = (uint64_t)cli_number(state, "seconds", arg, 1, 86400) * 1000000;
        return 0;
    case ARGP_KEY_ARG: argp_error(state, "unexpected '%s'", arg); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static void finish_when_settled(struct failover *f, uint64_t now_us)
{
    if (now_us >= f->started_us + f->duration_us && client_produce_pending(f->s.client) == 0)
        f->done = true;
}

/* False: the client is full, the rest of this tick is left out. */
static bool send_one(struct failover *f, uint64_t now_us)
{
    struct record_in record = {.timestamp_ms = env_wall_ms(f->s.env),
                               .key = BYTES_NULL,
                               .value = {f->value, (int32_t)f->record_bytes}};
    struct lane *lane = &f->lanes[f->next];
    if (client_produce(f->s.client, now_us, f->handle, f->next, &record, 0) != OK)
        return false;
    if (lane->sent == lane->acknowledged)
        lane->waiting_since_us = now_us;
    lane->sent++;
    f->sent++;
    f->next = (f->next + 1) % f->topic.count;
    return true;
}

static void on_tick(struct env_timer *timer)
{
    struct failover *f = CONTAINER_OF(timer, struct failover, tick);
    uint64_t now_us = client_driver_now_us(f->s.driver);
    uint64_t elapsed_us = MIN(now_us - f->started_us, f->duration_us);
    uint64_t due = elapsed_us * (uint64_t)f->rate / 1000000;
    while (f->sent < due && send_one(f, now_us))
        ;
    client_driver_kick(f->s.driver);
    finish_when_settled(f, now_us);
    if (now_us > f->started_us + f->duration_us + LAST_WAIT_US)
        f->done = true;
    env_timer_set(f->s.env, timer, now_us + TICK_US);
}

static void on_topic(void *ctx, struct client_topic *topic, struct client_failure failure)
{
    struct failover *f = ctx;
    if (failure.err != OK) {
        f->code = cli_fail(f->cli, failure, client_trouble(f->s.client), "topic '%s'", f->topic.name);
        f->done = true;
        return;
    }
    f->handle = topic;
    f->started_us = client_driver_now_us(f->s.driver);
    env_timer_set(f->s.env, &f->tick, f->started_us + TICK_US);
}

static void end_gap(struct failover *f, int32_t partition, uint64_t now_us)
{
    struct lane *lane = &f->lanes[partition];
    uint64_t gap_us = now_us - lane->waiting_since_us;
    lane->longest_us = MAX(lane->longest_us, gap_us);
    lane->waiting_since_us = now_us;
    if (gap_us >= GAP_WORTH_A_LINE_US && !f->cli->quiet)
        fprintf(stderr, "%.3f s: partition %d had no acknowledgment for %.0f ms\n",
                (double)(now_us - f->started_us) / 1e6, partition, (double)gap_us / 1000);
}

static void on_delivered(void *ctx, const struct client_delivery *delivery)
{
    struct failover *f = ctx;
    uint64_t now_us = client_driver_now_us(f->s.driver);
    struct lane *lane = &f->lanes[delivery->partition];
    lane->acknowledged += (uint64_t)delivery->count;
    if (delivery->failure.err == OK) {
        f->acknowledged += (uint64_t)delivery->count;
        end_gap(f, delivery->partition, now_us);
    } else {
        f->failure = f->failed == 0 ? delivery->failure : f->failure;
        f->failed += (uint64_t)delivery->count;
    }
    finish_when_settled(f, now_us);
}

static const struct client_driver_handler handler = {.topic = on_topic, .delivered = on_delivered};

static void print_results(const struct failover *f)
{
    struct json j = json_to(stdout);
    uint64_t longest_us = 0;
    int32_t where = 0;
    for (int32_t i = 0; i < f->topic.count; i++) {
        where = f->lanes[i].longest_us > longest_us ? i : where;
        longest_us = MAX(longest_us, f->lanes[i].longest_us);
    }
    if (f->cli->output == CLI_TEXT) {
        printf("longest gap between acknowledgments %.1f ms (partition %d); %llu records sent, %llu "
               "acknowledged, "
               "%llu failed\n",
               (double)longest_us / 1000, where, (unsigned long long)f->sent,
               (unsigned long long)f->acknowledged, (unsigned long long)f->failed);
        return;
    }
    json_object(&j, NULL);
    json_f64(&j, "longest_gap_ms", (double)longest_us / 1000, 1);
    json_i64(&j, "partition", where);
    json_i64(&j, "sent", (int64_t)f->sent);
    json_i64(&j, "acknowledged", (int64_t)f->acknowledged);
    json_i64(&j, "failed", (int64_t)f->failed);
    json_array(&j, "longest_gap_ms_by_partition");
    for (int32_t i = 0; i < f->topic.count; i++)
        json_f64(&j, NULL, (double)f->lanes[i].longest_us / 1000, 1);
    json_array_end(&j);
    json_object_end(&j);
    json_line(&j);
}

static int run_all(struct failover *f)
{
    struct client_config config;
    int code = session_config(f->cli, &config);
    config.producer.linger_us = 0;
    if (code == EXIT_OK)
        code = session_open(&f->s, f->cli, &config, &handler, f);
    if (code != EXIT_OK)
        return code;
    env_timer_init(&f->tick, on_tick);
    client_topic_open(f->s.client, client_driver_now_us(f->s.driver), str_from(f->topic.name));
    client_driver_kick(f->s.driver);
    session_run(&f->s, &f->done);
    env_timer_cancel(f->s.env, &f->tick);
    if (f->code == EXIT_OK)
        print_results(f);
    if (f->failed > 0)
        f->code = cli_fail(f->cli, f->failure, NULL, "%llu records were not acknowledged",
                           (unsigned long long)f->failed);
    return f->s.interrupted ? EXIT_INTERRUPTED : f->code;
}

int cli_bench_failover(struct cli *cli, int argc, char **argv)
{
    static const struct cli_syntax syntax = {
        options, parse, NULL,
        "Produces steadily to every partition (acks=all, idempotent) and tells the longest gap between "
        "acknowledgments of one partition. Kill brokers meanwhile."};
    struct failover *f = calloc(1, sizeof(*f));
    if (!f)
        return cli_fail_words(cli, EXIT_LOCAL_IO, "out of memory", NULL, "cannot start");
    f->cli = cli;
    f->topic =
        (struct bench_topic){.name = "sluice-bench-failover", .partitions = 6, .replication_factor = 3};
    f->record_bytes = 100;
    f->rate = 2000;
    f->duration_us = 10000000;
    cli_parse(cli, &syntax, argc, argv, f);
    f->value = calloc(1, MAX(f->record_bytes, 1u));
    int code = f->value ? bench_topic_open(cli, &f->topic) : EXIT_LOCAL_IO;
    if (code == EXIT_OK)
        code = run_all(f);
    session_close(&f->s);
    free(f->value);
    free(f);
    return code;
}
