/* SPDX-License-Identifier: Apache-2.0 */
/* `sluice consume`: prints records of one topic until told to stop. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/consume_format.h"
#include "client/cli/consume_group.h"
#include "client/cli/json.h"
#include "client/cli/session.h"
#include "client/cli/verbs.h"
#include "common/base/assert.h"

#define PARTITIONS_MAX  1024 /* that may be named */
#define PLAIN_BYTES_MAX (256u * 1024 * 1024)
#define END_WAIT_MS     20 /* how long a broker may wait for more when we want to leave at the end */
#define READER_CHECK_US 250000
#define OUTPUT_BYTES    (256 * 1024)
#define DEFAULT_FORMAT  "%v\\n"

enum {
    OPTION_FROM = 0x1000,
    OPTION_FROM_BEGINNING,
    OPTION_OFFSET,
    OPTION_TIME,
    OPTION_COUNT,
    OPTION_EXIT_AT_END,
    OPTION_ISOLATION,
    OPTION_RESET,
    OPTION_GROUP,
    OPTION_INSTANCE,
    OPTION_PROTOCOL
};

struct consume_options {
    const char *topic, *format, *group, *instance;
    struct client_start start;
    enum client_group_protocol protocol;
    bool has_start, exit_at_end, has_count, read_committed;
    int64_t count;
    enum client_reset reset;
    int32_t partitions[PARTITIONS_MAX];
    int32_t partitions_count; /* 0: all */
};

struct consume_run {
    struct cli *cli;
    struct consume_options options;
    struct session s;
    struct batch_scratch scratch;
    struct client_topic *topic;
    struct consume_group group;
    int64_t
        *ends; /* by partition: where the log ended when we came, -1 unknown, -2 reached or not consumed */
    int32_t ends_count, left;
    uint64_t records, bytes;
    struct env_timer reader; /* looks whether anybody still reads what we print */
    bool done;
    int code;
};

/* -- options -- */

static const struct argp_option options[] = {
    {"from", OPTION_FROM, "WHERE", 0,
     "beginning, end, an offset, or a time like 2026-01-31T12:00:00Z or @MILLISECONDS", 0},
    {"from-beginning", OPTION_FROM_BEGINNING, NULL, 0, "The same as --from beginning", 0},
    {"offset", OPTION_OFFSET, "N", 0, "Start at this offset", 0},
    {"time", OPTION_TIME, "TIME", 0, "Start at the first record that is not older", 0},
    {"partition", 'p', "N,...", 0, "Only these partitions", 0},
    {"count", OPTION_COUNT, "N", 0, "End after N records", 0},
    {"exit-at-end", OPTION_EXIT_AT_END, NULL, 0,
     "End where the log ended when we came; starts at the beginning unless told", 0},
    {"on-out-of-range", OPTION_RESET, "fail|earliest|latest", 0, "When the offset is gone (default fail)", 0},
    {"isolation", OPTION_ISOLATION, "read_committed|read_uncommitted", 0,
     "Whether records of open and aborted transactions are left out (default read_uncommitted)", 0},
    {"group", OPTION_GROUP, "NAME", 0,
     "Share the partitions with the group's other members, and go on where it was", 0},
    {"instance-id", OPTION_INSTANCE, "NAME", 0, "A name that this member keeps over restarts (KIP-345)", 0},
    {"group-protocol", OPTION_PROTOCOL, "classic|consumer", 0,
     "Who gives out the partitions: one of the members, or the coordinator (KIP-848) (default classic)", 0},
    {"format", 'F', "TEXT", 0,
     "%t topic %p partition %o offset %T time %k key %v value %h headers %K %V lengths (default %v\\n)", 0},
    {0},
};

static void start_at(struct consume_options *o, enum client_from from, int64_t value)
{
    o->start = (struct client_start){.from = from, .value = value};
    o->has_start = true;
}

static void parse_from(const struct argp_state *state, struct consume_options *o, const char *arg)
{
    int64_t value;
    if (strcmp(arg, "beginning") == 0)
        start_at(o, CLIENT_FROM_EARLIEST, 0);
    else if (strcmp(arg, "end") == 0)
        start_at(o, CLIENT_FROM_LATEST, 0);
    else if (arg[0] != '@' && !strchr(arg, '-'))
        start_at(o, CLIENT_FROM_OFFSET, cli_number(state, "from", arg, 0, INT64_MAX));
    else if (cli_time_ms(arg, &value))
        start_at(o, CLIENT_FROM_TIME, value);
    else
        argp_error(
            state,
            "'%s' is no place to start: beginning, end, an offset, 2026-01-31T12:00:00Z or @MILLISECONDS",
            arg);
}

static void parse_partitions(const struct argp_state *state, struct consume_options *o, char *arg)
{
    char *save = NULL;
    for (char *one = strtok_r(arg, ",", &save); one; one = strtok_r(NULL, ",", &save)) {
        if (o->partitions_count == PARTITIONS_MAX)
            argp_error(state, "more than %d partitions", PARTITIONS_MAX);
        o->partitions[o->partitions_count++] = (int32_t)cli_number(state, "partition", one, 0, INT32_MAX);
    }
}

static void parse_format(const struct argp_state *state, struct consume_options *o, const char *arg)
{
    char bad;
    if (!consume_format_check(arg, &bad))
        argp_error(state, "--format: '%%%c' means nothing here", bad ? bad : ' ');
    o->format = arg;
}

static void parse_reset(const struct argp_state *state, struct consume_options *o, const char *arg)
{
    if (strcmp(arg, "fail") == 0)
        o->reset = CLIENT_RESET_FAIL;
    else if (strcmp(arg, "earliest") == 0)
        o->reset = CLIENT_RESET_EARLIEST;
    else if (strcmp(arg, "latest") == 0)
        o->reset = CLIENT_RESET_LATEST;
    else
        argp_error(state, "--on-out-of-range wants fail, earliest or latest, not '%s'", arg);
}

static void parse_isolation(const struct argp_state *state, struct consume_options *o, const char *arg)
{
    o->read_committed = strcmp(arg, "read_committed") == 0;
    if (!o->read_committed && strcmp(arg, "read_uncommitted") != 0)
        argp_error(state, "--isolation wants read_committed or read_uncommitted, not '%s'", arg);
}

static void parse_protocol(const struct argp_state *state, struct consume_options *o, const char *arg)
{
    o->protocol = strcmp(arg, "consumer") == 0 ? CLIENT_GROUP_CONSUMER : CLIENT_GROUP_CLASSIC;
    if (o->protocol == CLIENT_GROUP_CLASSIC && strcmp(arg, "classic") != 0)
        argp_error(state, "--group-protocol wants classic or consumer, not '%s'", arg);
}

static void parse_limit(int key, char *arg, const struct argp_state *state, struct consume_options *o)
{
    if (key == OPTION_EXIT_AT_END) {
        o->exit_at_end = true;
        return;
    }
    o->count = cli_number(state, "count", arg, 0, INT64_MAX);
    o->has_count = true;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct consume_options *o = state->input;
    switch (key) {
    case OPTION_FROM: parse_from(state, o, arg); return 0;
    case OPTION_TIME: parse_from(state, o, arg); return 0;
    case OPTION_FROM_BEGINNING: start_at(o, CLIENT_FROM_EARLIEST, 0); return 0;
    case OPTION_OFFSET:
        start_at(o, CLIENT_FROM_OFFSET, cli_number(state, "offset", arg, 0, INT64_MAX));
        return 0;
    case OPTION_COUNT:
    case OPTION_EXIT_AT_END: parse_limit(key, arg, state, o); return 0;
    case OPTION_RESET: parse_reset(state, o, arg); return 0;
    case OPTION_ISOLATION: parse_isolation(state, o, arg); return 0;
    case OPTION_GROUP: o->group = arg; return 0;
    case OPTION_INSTANCE: o->instance = arg; return 0;
    case OPTION_PROTOCOL: parse_protocol(state, o, arg); return 0;
    case 'p': parse_partitions(state, o, arg); return 0;
    case 'F': parse_format(state, o, arg); return 0;
    case ARGP_KEY_ARG:
        if (o->topic)
            argp_error(state, "one topic at a time");
        o->topic = arg;
        return 0;
    case ARGP_KEY_END:
        if (!o->topic)
            argp_error(state, "which topic?");
        if (o->group && o->partitions_count > 0)
            argp_error(state, "--partition and --group: a group gives out its partitions itself");
        if (!o->group && o->instance)
            argp_error(state, "--instance-id is a member's name: it wants --group");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* -- the flow -- */

static void finish(struct consume_run *run, int code)
{
    run->code = run->code != EXIT_OK ? run->code : code;
    run->done = true;
}

static bool start_partition(struct consume_run *run, int32_t partition, struct client_start start)
{
    enum err err =
        client_consume(run->s.client, client_driver_now_us(run->s.driver), run->topic, partition, start);
    if (err != OK) {
        finish(run, cli_fail(run->cli, (struct client_failure){.err = err}, NULL,
                             "partition %d of topic '%s'", partition, run->options.topic));
        return false;
    }
    run->ends[partition] = -1;
    run->left++;
    return true;
}

/* -- a group's partitions -- */

static void on_assigned(void *ctx, const struct client_group_partition *partitions, int32_t count)
{
    struct consume_run *run = ctx;
    for (int32_t i = 0; i < count && !run->done; i++) {
        struct client_start start = run->options.start; /* where the group has never been */
        if (partitions[i].committed >= 0)
            start = (struct client_start){.from = CLIENT_FROM_OFFSET, .value = partitions[i].committed};
        start_partition(run, partitions[i].partition, start);
    }
    if (run->options.exit_at_end && run->left == 0)
        finish(run, EXIT_OK);
    client_driver_kick(run->s.driver);
}

static void on_revoked(void *ctx, const struct client_group_partition *partitions, int32_t count)
{
    struct consume_run *run = ctx;
    for (int32_t i = 0; i < count; i++) {
        if (run->ends[partitions[i].partition] != -2)
            run->left--;
        run->ends[partitions[i].partition] = -2;
        client_consume_stop(run->s.client, run->topic, partitions[i].partition);
    }
}

static void on_group_failed(void *ctx, struct client_failure failure)
{
    struct consume_run *run = ctx;
    finish(run, cli_fail(run->cli, failure, client_trouble(run->s.client), "group '%s'", run->options.group));
}

static void join_group(struct consume_run *run)
{
    run->group.ctx = run;
    run->group.assigned = on_assigned;
    run->group.revoked = on_revoked;
    run->group.failed = on_group_failed;
    if (!consume_group_start(
            &run->group, &run->s,
            &(struct consume_group_name){run->options.group, run->options.instance, run->options.protocol},
            run->topic))
        finish(run, cli_fail(run->cli, (struct client_failure){.err = ERR_NOMEM}, NULL, "group '%s'",
                             run->options.group));
}

static void on_reply(void *ctx, const struct client_reply *reply)
{
    struct consume_run *run = ctx;
    consume_group_reply(&run->group, reply);
}

static void on_topic(void *ctx, struct client_topic *topic, struct client_failure failure)
{
    struct consume_run *run = ctx;
    const struct consume_options *o = &run->options;
    if (failure.err != OK) {
        finish(run, cli_fail(run->cli, failure, client_trouble(run->s.client), "topic '%s'", o->topic));
        return;
    }
    run->topic = topic;
    run->ends_count = client_topic_partitions(topic);
    run->ends = malloc((size_t)run->ends_count * sizeof(*run->ends));
    ASSERT(run->ends != NULL);
    for (int32_t i = 0; i < run->ends_count; i++)
        run->ends[i] = -2;
    if (o->group) {
        join_group(run);
        return;
    }
    int32_t count = o->partitions_count > 0 ? o->partitions_count : run->ends_count;
    for (int32_t i = 0; i < count && !run->done; i++)
        start_partition(run, o->partitions_count > 0 ? o->partitions[i] : i, o->start);
    client_driver_kick(run->s.driver);
}

static void print_record(struct consume_run *run, int32_t partition, const struct record *record)
{
    if (run->cli->output == CLI_JSON)
        consume_json_print(stdout, run->options.topic, partition, record);
    else
        consume_format_print(stdout, run->options.format, run->options.topic, partition, record);
    run->records++;
    run->bytes += (uint64_t)(MAX(record->key.len, 0) + MAX(record->value.len, 0));
}

/* A reader that went away (`| head`) is no failure. */
static void check_output(struct consume_run *run)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return;
    bool gone = errno == EPIPE;
    finish(run,
           gone ? EXIT_OK : cli_fail_words(run->cli, EXIT_LOCAL_IO, strerror(errno), NULL, "cannot write"));
}

static void on_reader(struct env_timer *timer)
{
    struct consume_run *run = CONTAINER_OF(timer, struct consume_run, reader);
    struct pollfd out = {.fd = STDOUT_FILENO};
    if (poll(&out, 1, 0) > 0 && (out.revents & (POLLERR | POLLHUP)))
        finish(run, EXIT_OK);
    env_timer_set(run->s.env, timer, env_now_us(run->s.env) + READER_CHECK_US);
}

static void reached(struct consume_run *run, int32_t partition)
{
    run->ends[partition] = -2;
    client_consume_stop(run->s.client, run->topic, partition);
    if (--run->left == 0)
        finish(run, EXIT_OK);
}

static void print_all(struct consume_run *run, const struct client_records *records)
{
    struct client_records_iter it = client_records_begin(records, &run->scratch);
    struct record record;
    int64_t end = run->options.exit_at_end ? run->ends[records->partition] : INT64_MAX;
    while (!run->done && client_records_next(&it, &record)) {
        if (record.offset >= end)
            break;
        print_record(run, records->partition, &record);
        consume_group_position(&run->group, run->topic, records->partition, record.offset + 1);
        if (run->options.has_count && run->records >= (uint64_t)run->options.count)
            finish(run, EXIT_OK);
    }
    if (it.err == OK && !run->done && records->position <= end)
        consume_group_position(&run->group, run->topic, records->partition, records->position);
    if (it.err != OK)
        finish(run, cli_fail(run->cli, (struct client_failure){.err = it.err}, NULL,
                             "partition %d at offset %lld", records->partition, (long long)records->from));
}

static void on_records(void *ctx, const struct client_records *records)
{
    struct consume_run *run = ctx;
    int64_t *end = &run->ends[records->partition];
    if (run->done || *end == -2)
        return;
    if (*end < 0)
        *end = records->high_watermark;
    if (records->moved_from >= 0 && !run->cli->quiet)
        fprintf(stderr, "%s: partition %d: offset %lld is not there any more, going on at %lld\n",
                run->cli->name, records->partition, (long long)records->moved_from, (long long)records->from);
    print_all(run, records);
    if (records->len > 0)
        check_output(run);
    if (run->options.exit_at_end && records->position >= *end && !run->done)
        reached(run, records->partition);
}

static void on_consume_failed(void *ctx, struct client_topic *topic, int32_t partition,
                              struct client_failure failure)
{
    struct consume_run *run = ctx;
    finish(run,
           cli_fail(run->cli, failure, NULL, "partition %d of topic '%s'", partition, run->options.topic));
}

static const struct client_driver_handler handler = {
    .topic = on_topic, .records = on_records, .consume_failed = on_consume_failed, .reply = on_reply};

/* -- life -- */

static int configure(const struct consume_run *run, struct client_config *config)
{
    int code = session_config(run->cli, config);
    config->consumer.reset = run->options.reset;
    config->consumer.read_committed = run->options.read_committed;
    if (run->options.exit_at_end)
        config->consumer.max_wait_ms = END_WAIT_MS;
    return code;
}

static void run_all(struct consume_run *run)
{
    char *output = malloc(OUTPUT_BYTES); /* stdout's from here on */
    if (output)
        setvbuf(stdout, output, _IOFBF, OUTPUT_BYTES);
    client_topic_open(run->s.client, client_driver_now_us(run->s.driver), str_from(run->options.topic));
    client_driver_kick(run->s.driver);
    run->done = run->options.has_count && run->options.count == 0;
    env_timer_init(&run->reader, on_reader);
    env_timer_set(run->s.env, &run->reader, env_now_us(run->s.env) + READER_CHECK_US);
    session_run(&run->s, &run->done);
    env_timer_cancel(run->s.env, &run->reader);
    run->done = true;
    consume_group_stop(&run->group);
    if (!run->cli->quiet && run->cli->output == CLI_TEXT)
        fprintf(stderr, "%llu records, %llu bytes\n", (unsigned long long)run->records,
                (unsigned long long)run->bytes);
    if (run->s.interrupted)
        run->code = EXIT_INTERRUPTED;
}

int cli_consume(struct cli *cli, int argc, char **argv)
{
    static const struct cli_syntax syntax = {
        options, parse, "TOPIC",
        "Prints the records of a topic; with -o json one object per line (bytes that are not UTF-8 as "
        "key_base64, "
        "value_base64). Starts at the end unless told otherwise, and goes on until interrupted, --count or "
        "--exit-at-end."};
    struct consume_run run = {.cli = cli};
    struct client_config config;
    run.options = (struct consume_options){
        .format = DEFAULT_FORMAT, .reset = CLIENT_RESET_FAIL, .start = {.from = CLIENT_FROM_LATEST}};
    cli_parse(cli, &syntax, argc, argv, &run.options);
    if (run.options.exit_at_end && !run.options.has_start)
        run.options.start.from = CLIENT_FROM_EARLIEST;
    if (batch_scratch_init(&run.scratch, PLAIN_BYTES_MAX, 0) != OK)
        return cli_fail_words(cli, EXIT_LOCAL_IO, "out of memory", NULL, "cannot start");
    run.code = configure(&run, &config);
    if (run.code == EXIT_OK)
        run.code = session_open(&run.s, cli, &config, &handler, &run);
    if (run.code == EXIT_OK)
        run_all(&run);
    session_close(&run.s);
    batch_scratch_free(&run.scratch);
    free(run.ends);
    return run.code;
}
