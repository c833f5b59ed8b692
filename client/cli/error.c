/* SPDX-License-Identifier: Apache-2.0 */
/* Errors for people and for scripts: what, why, and what to do next. */
#include <stdarg.h>
#include <stdio.h>

#include "client/cli/cli.h"
#include "client/cli/json.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"

struct advice {
    int key; /* Kafka's code, or our (negative) error */
    int code;
    const char *next;
};

static const struct advice kafka_advice[] = {
    {KAFKA_UNKNOWN_TOPIC_OR_PARTITION, EXIT_NOT_FOUND,
     "see the names with 'sluice topic list', or make it with 'sluice topic create'"},
    {KAFKA_UNKNOWN_TOPIC_ID, EXIT_NOT_FOUND, "see the names with 'sluice topic list'"},
    {KAFKA_GROUP_ID_NOT_FOUND, EXIT_NOT_FOUND, "see the names with 'sluice group list'"},
    {KAFKA_TRANSACTIONAL_ID_NOT_FOUND, EXIT_NOT_FOUND, "see the ids with 'sluice txn list'"},
    {KAFKA_NON_EMPTY_GROUP, EXIT_FAILED, "stop its members first: 'sluice group describe' shows them"},
    {KAFKA_TOPIC_ALREADY_EXISTS, EXIT_FAILED,
     "look at it with 'sluice topic describe', or pass --if-not-exists"},
    {KAFKA_INVALID_REPLICATION_FACTOR, EXIT_FAILED,
     "see how many brokers are up with 'sluice cluster describe'"},
    {KAFKA_INVALID_PARTITIONS, EXIT_FAILED, "partitions can only be added: see 'sluice topic describe'"},
    {KAFKA_INVALID_CONFIG, EXIT_FAILED, "check name and value of each --config"},
    {KAFKA_NOT_CONTROLLER, EXIT_FAILED, "no controller is active: look at the controllers' logs"},
    {KAFKA_NOT_ENOUGH_REPLICAS, EXIT_FAILED,
     "see the in-sync replicas with 'sluice topic describe'; start the missing brokers or lower "
     "min.insync.replicas"},
    {KAFKA_NOT_ENOUGH_REPLICAS_AFTER_APPEND, EXIT_FAILED,
     "see the in-sync replicas with 'sluice topic describe'; start the missing brokers"},
    {KAFKA_MESSAGE_TOO_LARGE, EXIT_FAILED, "lower --batch-size, or raise the topic's max.message.bytes"},
    {KAFKA_OFFSET_OUT_OF_RANGE, EXIT_NOT_FOUND, "start elsewhere: --from beginning or --from end"},
    {KAFKA_LEADER_NOT_AVAILABLE, EXIT_FAILED, "see which replicas are up with 'sluice topic describe'"},
    {KAFKA_REQUEST_TIMED_OUT, EXIT_TIMED_OUT,
     "it may still happen: look before you repeat it; --timeout waits longer"},
};

static const struct advice own_advice[] = {
    {ERR_UNREACHABLE, EXIT_UNREACHABLE, "is the cluster up? --bootstrap HOST:PORT,... names other brokers"},
    {ERR_TIMED_OUT, EXIT_TIMED_OUT, "look at the brokers' logs; --timeout waits longer"},
    {ERR_UNKNOWN_OUTCOME, EXIT_TIMED_OUT, "it may have happened: look before you repeat it"},
    {ERR_VERSION, EXIT_FAILED, "the broker is too old for this"},
    {ERR_TOO_LARGE, EXIT_FAILED, "split the record"},
    {ERR_OUT_OF_RANGE, EXIT_NOT_FOUND, "see the partitions with 'sluice topic describe'"},
};

static const struct advice *advice_for(struct client_failure failure)
{
    const struct advice *table = failure.err == ERR_REJECTED ? kafka_advice : own_advice;
    size_t count = failure.err == ERR_REJECTED ? ARRAY_LEN(kafka_advice) : ARRAY_LEN(own_advice);
    int key = failure.err == ERR_REJECTED ? failure.kafka_error : (int)failure.err;
    for (size_t i = 0; i < count; i++)
        if (table[i].key == key)
            return &table[i];
    return NULL;
}

const char *cli_failure_name(struct client_failure failure)
{
    return failure.err == ERR_REJECTED ? kafka_error_name(failure.kafka_error) : err_name(failure.err);
}

const char *cli_failure_text(struct client_failure failure)
{
    return failure.err == ERR_REJECTED ? kafka_error_text(failure.kafka_error) : err_text(failure.err);
}

static void report(const struct cli *cli, const char *what, const char *name, const char *cause,
                   const char *next)
{
    fflush(stdout);
    if (cli->output == CLI_JSON) {
        struct json j = json_to(stderr);
        json_object(&j, NULL);
        json_z(&j, "error", name);
        json_z(&j, "what", what);
        json_z(&j, "cause", cause);
        json_z(&j, "next", next);
        json_object_end(&j);
        json_line(&j);
        return;
    }
    fprintf(stderr, "%s: %s: %s\n", cli->name, what, cause);
    if (next)
        fprintf(stderr, "  next: %s\n", next);
}

int cli_fail_words(const struct cli *cli, int code, const char *cause, const char *next, const char *what,
                   ...)
{
    char text[512];
    va_list args;
    va_start(args, what);
    vsnprintf(text, sizeof(text), what, args);
    va_end(args);
    report(cli, text, "FAILED", cause, next);
    return code;
}

/* A time-out while no broker was ever met is a broker that cannot be reached. */
static struct client_failure sharpen(struct client_failure failure, const struct client_trouble *trouble)
{
    if (trouble && trouble->err != OK && (failure.err == ERR_TIMED_OUT || failure.err == ERR_UNREACHABLE))
        failure.err = ERR_UNREACHABLE;
    return failure;
}

int cli_fail(const struct cli *cli, struct client_failure failure, const struct client_trouble *trouble,
             const char *what, ...)
{
    char text[512], cause[512];
    va_list args;
    va_start(args, what);
    vsnprintf(text, sizeof(text), what, args);
    va_end(args);
    failure = sharpen(failure, trouble);
    const struct advice *advice = advice_for(failure);
    if (failure.err == ERR_UNREACHABLE && trouble && trouble->err != OK)
        snprintf(cause, sizeof(cause), "no answer from %s:%u (%s)", trouble->address.host,
                 (unsigned)trouble->address.port, err_text(trouble->err));
    else
        snprintf(cause, sizeof(cause), "%s (%s)", cli_failure_text(failure), cli_failure_name(failure));
    report(cli, text, cli_failure_name(failure), cause, advice ? advice->next : NULL);
    return advice ? advice->code : EXIT_FAILED;
}

int cli_fail_said(const struct cli *cli, int16_t kafka_error, struct str said, const char *what, ...)
{
    char text[512], cause[512];
    struct client_failure failure = {ERR_REJECTED, kafka_error};
    const struct advice *advice = advice_for(failure);
    va_list args;
    va_start(args, what);
    vsnprintf(text, sizeof(text), what, args);
    va_end(args);
    if (said.len > 0)
        snprintf(cause, sizeof(cause), "%.*s (%s)", said.len, said.p, kafka_error_name(kafka_error));
    else
        snprintf(cause, sizeof(cause), "%s (%s)", kafka_error_text(kafka_error),
                 kafka_error_name(kafka_error));
    report(cli, text, kafka_error_name(kafka_error), cause, advice ? advice->next : NULL);
    return advice ? advice->code : EXIT_FAILED;
}
