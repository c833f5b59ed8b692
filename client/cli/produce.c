/* SPDX-License-Identifier: Apache-2.0 */
/* `sluice produce`: reads ahead on a worker thread, hands records to the client, counts what comes back. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/json.h"
#include "client/cli/produce_input.h"
#include "client/cli/session.h"
#include "client/cli/settings.h"
#include "client/cli/verbs.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"

#define RECORD_BYTES_MAX (64u * 1024 * 1024)
#define PROGRESS_US      200000

enum {
    OPTION_ACKS = 0x1000,
    OPTION_KEY,
    OPTION_KEY_SEPARATOR,
    OPTION_KEY_REGEX,
    OPTION_DELIMITER,
    OPTION_BATCH_SIZE,
    OPTION_LINGER,
    OPTION_DELIVERY_TIMEOUT,
    OPTION_NOT_IDEMPOTENT,
    OPTION_NULL_EMPTY,
    OPTION_AUTO_CREATE,
};

struct produce_options {
    const char *topic, *file;
    int32_t partition;
    struct input_key key;
    struct input_piece delimiter;
    struct settings headers;
    bool null_empty, auto_create, idempotent;
    int16_t acks;
    enum codec codec;
    int64_t batch_bytes;
    uint64_t linger_us, delivery_timeout_us;
};

struct produce_counts {
    uint64_t taken, acknowledged, failed, keyless, bytes;
    uint64_t first_us, last_us; /* first record taken, last acknowledgment */
    uint64_t gap_from_us, longest_gap_us;
    struct client_failure failure; /* of the first batch that failed */
};

struct produce_run {
    struct cli *cli;
    struct produce_options options;
    struct session s;
    struct client_topic *topic;
    struct input_splitter in;
    struct bytes record; /* cut, and not yet taken */
    bool has_record;
    struct record_header headers[SETTINGS_MAX];
    int fd;
    struct env_work read;
    void *read_to;
    size_t read_max;
    ssize_t read_len;
    int read_errno;
    struct env_timer progress;
    struct produce_counts counts;
    bool done;
    int code;
};

/* -- options -- */

static const struct argp_option options[] = {
    {"file", 'f', "FILE", 0, "Read from FILE instead of standard input", 0},
    {"record-delimiter", OPTION_DELIMITER, "TEXT", 0,
     "What ends a record (default \\n; \\n\\n for paragraphs)", 0},
    {"key-separator", OPTION_KEY_SEPARATOR, "TEXT", 0, "A record is key, TEXT, value", 0},
    {"key-regex", OPTION_KEY_REGEX, "REGEX", 0, "The key is the first group of the match, or the match", 0},
    {"key", OPTION_KEY, "KEY", 0, "The same key for all records", 0},
    {"header", 'H', "NAME=VALUE", 0, "A header of all records; may be repeated", 0},
    {"null-empty", OPTION_NULL_EMPTY, NULL, 0, "Empty values become null (tombstones)", 0},
    {"partition", 'p', "N", 0, "This partition (default: by key; without a key spread)", 0},
    {"acks", OPTION_ACKS, "0|1|all", 0, "Who must have the records (default all)", 0},
    {"compression", 'z', "CODEC", 0, "none, gzip, snappy, lz4 or zstd (default none)", 0},
    {"batch-size", OPTION_BATCH_SIZE, "SIZE", 0, "Largest batch before compression (default 256KiB)", 0},
    {"linger", OPTION_LINGER, "DURATION", 0, "How long a batch waits to fill up (default 5ms)", 0},
    {"delivery-timeout", OPTION_DELIVERY_TIMEOUT, "DURATION", 0, "When to give a record up (default 120s)",
     0},
    {"not-idempotent", OPTION_NOT_IDEMPOTENT, NULL, 0, "Allow duplicates when requests are repeated", 0},
    {"auto-create", OPTION_AUTO_CREATE, NULL, 0, "Let the broker make the topic when it is missing", 0},
    {0},
};

static int16_t parse_acks(const struct argp_state *state, const char *arg)
{
    if (strcmp(arg, "all") == 0 || strcmp(arg, "-1") == 0)
        return CLIENT_ACKS_ALL;
    return (int16_t)cli_number(state, "acks", arg, 0, 1);
}

static void parse_piece(const struct argp_state *state, const char *option, const char *arg,
                        struct input_piece *ret)
{
    if (!input_piece_parse(arg, ret))
        argp_error(state, "--%s wants 1 to %d characters (\\n \\t \\r \\0 \\\\ \\xHH), not '%s'", option,
                   INPUT_PIECE_MAX, arg);
}

static void parse_regex(const struct argp_state *state, struct produce_options *o, const char *arg)
{
    char why[256];
    if (!input_key_regex(&o->key, arg, why, sizeof(why)))
        argp_error(state, "--key-regex '%s': %s", arg, why);
}

static bool parse_batching(int key, char *arg, const struct argp_state *state, struct produce_options *o)
{
    switch (key) {
    case OPTION_ACKS: o->acks = parse_acks(state, arg); return true;
    case OPTION_BATCH_SIZE: o->batch_bytes = cli_size(state, "batch-size", arg); return true;
    case OPTION_LINGER: o->linger_us = cli_duration_us(state, "linger", arg); return true;
    case OPTION_DELIVERY_TIMEOUT:
        o->delivery_timeout_us = cli_duration_us(state, "delivery-timeout", arg);
        return true;
    case OPTION_NOT_IDEMPOTENT: o->idempotent = false; return true;
    case OPTION_AUTO_CREATE: o->auto_create = true; return true;
    case 'z':
        if (codec_from_name(str_from(arg), &o->codec) != OK)
            argp_error(state, "--compression wants none, gzip, snappy, lz4 or zstd, not '%s'", arg);
        return true;
    default: return false;
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct produce_options *o = state->input;
    if (parse_batching(key, arg, state, o))
        return 0;
    switch (key) {
    case 'f': o->file = arg; return 0;
    case 'p': o->partition = (int32_t)cli_number(state, "partition", arg, 0, INT32_MAX); return 0;
    case 'H': settings_add(&o->headers, state, "header", arg, true); return 0;
    case OPTION_KEY: o->key.fixed = str_from(arg); return 0;
    case OPTION_KEY_SEPARATOR: parse_piece(state, "key-separator", arg, &o->key.separator); return 0;
    case OPTION_KEY_REGEX: parse_regex(state, o, arg); return 0;
    case OPTION_DELIMITER: parse_piece(state, "record-delimiter", arg, &o->delimiter); return 0;
    case OPTION_NULL_EMPTY: o->null_empty = true; return 0;
    case ARGP_KEY_ARG:
        if (o->topic)
            argp_error(state, "one topic at a time");
        o->topic = arg;
        return 0;
    case ARGP_KEY_END:
        if (!o->topic)
            argp_error(state, "which topic?");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* -- the flow: read, cut, hand over; stop at a full client, go on when it has room -- */

static void read_more(struct produce_run *run);

static void finish(struct produce_run *run, int code)
{
    run->code = run->code != EXIT_OK ? run->code : code;
    run->done = true;
}

static void finish_when_settled(struct produce_run *run)
{
    if (run->in.eof && !run->has_record && client_produce_pending(run->s.client) == 0)
        finish(run, run->counts.failed > 0 ? EXIT_FAILED : EXIT_OK);
}

static enum err hand_over(struct produce_run *run)
{
    struct record_in record = {.timestamp_ms = env_wall_ms(run->s.env),
                               .headers = run->headers,
                               .header_count = run->options.headers.count};
    uint64_t now_us = client_driver_now_us(run->s.driver);
    input_key_split(&run->options.key, run->record, &record.key, &record.value);
    if (run->options.null_empty && record.value.len == 0)
        record.value = BYTES_NULL;
    bool idle = client_produce_pending(run->s.client) == 0;
    enum err err = client_produce(run->s.client, now_us, run->topic, run->options.partition, &record, 0);
    if (err != OK)
        return err;
    struct produce_counts *counts = &run->counts;
    counts->taken++;
    counts->keyless += record.key.len < 0;
    counts->bytes += (uint64_t)(MAX(record.key.len, 0) + MAX(record.value.len, 0));
    if (idle)
        counts->gap_from_us = now_us;
    if (counts->first_us == 0)
        counts->first_us = now_us;
    return OK;
}

/* Hands over what has been read; then reads on. */
static void feed(struct produce_run *run)
{
    while (!run->done && (run->has_record || input_splitter_next(&run->in, &run->record))) {
        run->has_record = true;
        enum err err = hand_over(run);
        if (err == ERR_FULL)
            break;
        run->has_record = false;
        if (err != OK)
            finish(run, cli_fail(run->cli, (struct client_failure){.err = err}, NULL, "record %llu of '%s'",
                                 (unsigned long long)run->counts.taken + 1, run->options.topic));
    }
    client_driver_kick(run->s.driver);
    if (run->done || run->has_record)
        return;
    if (!run->in.eof) {
        read_more(run);
        return;
    }
    client_produce_flush(run->s.client, true);
    finish_when_settled(run);
}

static void read_work(struct env_work *work)
{
    struct produce_run *run = CONTAINER_OF(work, struct produce_run, read);
    do {
        run->read_len = read(run->fd, run->read_to, run->read_max);
    } while (run->read_len < 0 && errno == EINTR);
    run->read_errno = errno;
}

static void read_done(struct env_work *work)
{
    struct produce_run *run = CONTAINER_OF(work, struct produce_run, read);
    if (run->read_len < 0) {
        finish(run, cli_fail_words(run->cli, EXIT_LOCAL_IO, strerror(run->read_errno), NULL, "cannot read %s",
                                   run->options.file ? run->options.file : "standard input"));
        return;
    }
    input_splitter_landed(&run->in, (size_t)run->read_len);
    feed(run);
}

static void read_more(struct produce_run *run)
{
    enum err err = input_splitter_room(&run->in, &run->read_to, &run->read_max);
    if (err != OK) {
        finish(run,
               cli_fail(run->cli, (struct client_failure){.err = err}, NULL,
                        "record %llu: no delimiter in sight", (unsigned long long)run->counts.taken + 1));
        return;
    }
    run->read.work = read_work;
    run->read.done = read_done;
    env_work_submit(run->s.env, &run->read);
}

/* -- what the client tells -- */

static void on_topic(void *ctx, struct client_topic *topic, struct client_failure failure)
{
    struct produce_run *run = ctx;
    if (failure.err != OK) {
        finish(run,
               cli_fail(run->cli, failure, client_trouble(run->s.client), "topic '%s'", run->options.topic));
        return;
    }
    if (run->options.partition >= client_topic_partitions(topic)) {
        finish(run, cli_fail(run->cli, (struct client_failure){.err = ERR_OUT_OF_RANGE}, NULL,
                             "topic '%s' has %d partitions, not one with number %d", run->options.topic,
                             client_topic_partitions(topic), run->options.partition));
        return;
    }
    read_more(run);
}

static void note_ack(struct produce_run *run)
{
    struct produce_counts *counts = &run->counts;
    uint64_t now_us = client_driver_now_us(run->s.driver);
    counts->longest_gap_us = MAX(counts->longest_gap_us, now_us - counts->gap_from_us);
    counts->gap_from_us = counts->last_us = now_us;
}

static void on_delivered(void *ctx, const struct client_delivery *delivery)
{
    struct produce_run *run = ctx;
    struct produce_counts *counts = &run->counts;
    if (delivery->failure.err == OK) {
        counts->acknowledged += (uint64_t)delivery->count;
        note_ack(run);
    } else {
        if (counts->failed == 0)
            counts->failure = delivery->failure;
        counts->failed += (uint64_t)delivery->count;
    }
    finish_when_settled(run);
}

static void on_room(void *ctx)
{
    feed(ctx);
}

static const struct client_driver_handler handler = {
    .topic = on_topic, .delivered = on_delivered, .room = on_room};

/* -- progress and summary -- */

static double seconds_of(const struct produce_counts *counts)
{
    return counts->last_us > counts->first_us ? (double)(counts->last_us - counts->first_us) / 1e6 : 0;
}

static void on_progress(struct env_timer *timer)
{
    struct produce_run *run = CONTAINER_OF(timer, struct produce_run, progress);
    const struct produce_counts *counts = &run->counts;
    fprintf(stderr, "\r%llu acknowledged, %llu waiting, %.1f MB\033[K",
            (unsigned long long)counts->acknowledged,
            (unsigned long long)client_produce_pending(run->s.client), (double)counts->bytes / 1e6);
    env_timer_set(run->s.env, timer, env_now_us(run->s.env) + PROGRESS_US);
}

static void print_json(const struct produce_run *run)
{
    const struct produce_counts *counts = &run->counts;
    double seconds = seconds_of(counts);
    struct json j = json_to(stdout);
    json_object(&j, NULL);
    json_z(&j, "topic", run->options.topic);
    json_i64(&j, "records", (int64_t)counts->acknowledged);
    json_i64(&j, "failed", (int64_t)(counts->taken - counts->acknowledged));
    json_i64(&j, "without_key", (int64_t)counts->keyless);
    json_i64(&j, "bytes", (int64_t)counts->bytes);
    json_f64(&j, "seconds", seconds, 3);
    json_f64(&j, "records_per_second", seconds > 0 ? (double)counts->acknowledged / seconds : 0, 0);
    json_f64(&j, "longest_gap_ms", (double)counts->longest_gap_us / 1000, 1);
    json_object_end(&j);
    json_line(&j);
}

static void print_summary(const struct produce_run *run)
{
    const struct produce_counts *counts = &run->counts;
    double seconds = seconds_of(counts);
    if (counts->failed > 0)
        cli_fail(run->cli, counts->failure, client_trouble(run->s.client),
                 "%llu of %llu records not acknowledged", (unsigned long long)counts->failed,
                 (unsigned long long)counts->taken);
    if (run->cli->output == CLI_JSON)
        print_json(run);
    else if (!run->cli->quiet)
        fprintf(
            stderr, "%llu records, %llu bytes acknowledged in %.3f s (%.0f records/s), longest gap %.1f ms\n",
            (unsigned long long)counts->acknowledged, (unsigned long long)counts->bytes, seconds,
            seconds > 0 ? (double)counts->acknowledged / seconds : 0, (double)counts->longest_gap_us / 1000);
}

/* -- life -- */

static int open_input(struct produce_run *run)
{
    run->fd = run->options.file ? open(run->options.file, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    if (run->fd < 0)
        return cli_fail_words(run->cli, EXIT_LOCAL_IO, strerror(errno), NULL, "cannot open %s",
                              run->options.file);
    return EXIT_OK;
}

static int configure(const struct produce_run *run, struct client_config *config)
{
    const struct produce_options *o = &run->options;
    int code = session_config(run->cli, config);
    config->auto_create_topics = o->auto_create;
    config->producer.acks = o->acks;
    config->producer.idempotent = o->idempotent && o->acks == CLIENT_ACKS_ALL;
    config->producer.codec = o->codec;
    config->producer.batch_bytes = (uint32_t)MIN(MAX(o->batch_bytes, 1024), (int64_t)RECORD_BYTES_MAX);
    config->producer.record_bytes_max = RECORD_BYTES_MAX;
    config->producer.linger_us = o->linger_us;
    config->producer.delivery_timeout_us = o->delivery_timeout_us;
    return code;
}

static void run_all(struct produce_run *run)
{
    bool progress = isatty(STDERR_FILENO) && !run->cli->quiet;
    env_timer_init(&run->progress, on_progress);
    run->topic =
        client_topic_open(run->s.client, client_driver_now_us(run->s.driver), str_from(run->options.topic));
    client_driver_kick(run->s.driver);
    if (progress)
        env_timer_set(run->s.env, &run->progress, env_now_us(run->s.env) + PROGRESS_US);
    session_run(&run->s, &run->done);
    env_timer_cancel(run->s.env, &run->progress);
    if (progress)
        fputs("\r\033[K", stderr);
    if (run->counts.taken > 0 || run->code == EXIT_OK)
        print_summary(run);
    if (run->s.interrupted)
        run->code = EXIT_INTERRUPTED;
}

int cli_produce(struct cli *cli, int argc, char **argv)
{
    static const struct cli_syntax syntax = {options, parse, "TOPIC",
                                             "Writes records from standard input or a file and waits until "
                                             "all are acknowledged. The summary (standard "
                                             "error; one JSON line on standard output with -o json) has "
                                             "records, bytes, seconds and the longest gap "
                                             "between acknowledgments."};
    struct produce_run run = {.cli = cli, .fd = -1};
    struct client_config config;
    run.options = (struct produce_options){.partition = CLIENT_ANY_PARTITION,
                                           .key = {.fixed = STR_NULL},
                                           .delimiter = {.p = "\n", .len = 1},
                                           .idempotent = true,
                                           .acks = CLIENT_ACKS_ALL,
                                           .batch_bytes = 256 * 1024,
                                           .linger_us = 5000,
                                           .delivery_timeout_us = 120000000};
    cli_parse(cli, &syntax, argc, argv, &run.options);
    for (int32_t i = 0; i < run.options.headers.count; i++) {
        struct str value = run.options.headers.items[i].value;
        run.headers[i] =
            (struct record_header){run.options.headers.items[i].name, {(const uint8_t *)value.p, value.len}};
    }
    input_splitter_init(&run.in, &run.options.delimiter, RECORD_BYTES_MAX);
    run.code = open_input(&run);
    if (run.code == EXIT_OK)
        run.code = configure(&run, &config);
    if (run.code == EXIT_OK)
        run.code = session_open(&run.s, cli, &config, &handler, &run);
    if (run.code == EXIT_OK)
        run_all(&run);
    session_close(&run.s);
    if (!run.s.interrupted) {
        input_splitter_free(&run.in);
        input_key_free(&run.options.key);
    }
    return run.code;
}
