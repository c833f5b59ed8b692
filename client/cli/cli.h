/* SPDX-License-Identifier: Apache-2.0 */
/* What all verbs of `sluice` share: global options, exit codes, errors that name cause and next step. */
#ifndef SLUICE_CLIENT_CLI_CLI_H
#define SLUICE_CLIENT_CLI_CLI_H

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "client/core/client.h"
#include "common/env/env.h"

/* Scripts may trust these (docs/cli.md). */
enum cli_exit {
    EXIT_OK = 0,
    EXIT_FAILED = 1,      /* the cluster refused it, or records were not acknowledged */
    EXIT_USAGE = 2,       /* wrong words on the command line */
    EXIT_UNREACHABLE = 3, /* no broker answered */
    EXIT_TIMED_OUT = 4,   /* not done in time; it may have happened */
    EXIT_NOT_FOUND = 5,   /* no such topic, partition or broker */
    EXIT_LOCAL_IO = 6,    /* a file or stream of this machine failed */
    EXIT_INTERRUPTED = 130,
};

enum cli_output { CLI_TEXT, CLI_JSON };

/* How main.c lends the verbs a real env (only main.c may know env_uv). */
struct cli_world {
    struct env *(*env_new)(void);
    void (*env_turn)(struct env *env); /* one turn, sleeping until something is due */
    enum err (*on_signal)(struct env *env, int signo, void (*fn)(void *ctx, int signo), void *ctx);
    void (*env_free)(struct env *env);
};

struct cli {
    const struct cli_world *world;
    char name[64]; /* "sluice topic create", for messages */
    const char *bootstrap;
    struct cli_tls {
        bool any_host;
        const char *ca, *cert, *key; /* PEM files; ca NULL: plain text */
    } tls;
    enum cli_output output;
    uint64_t timeout_us;    /* of one operation */
    uint64_t topic_wait_us; /* how long brokers are asked for a topic that they do not know */
    bool quiet;             /* no progress, no summary */
};

/* One verb: words on the command line, and what they run. The function gets the words after the verb behind
 * argv[0], and returns an enum cli_exit. */
struct cli_verb {
    const char *group, *name; /* "topic", "create"; name NULL: the group is the verb */
    const char *doc;
    int (*run)(struct cli *cli, int argc, char **argv);
};

/* Ends with an entry without a group. */
extern const struct cli_verb cli_verbs[];

/* What a verb accepts beside the global options. */
struct cli_syntax {
    const struct argp_option *options;
    argp_parser_t parse;  /* gets `input` */
    const char *args_doc; /* "NAME" */
    const char *doc;
};

/* Parses a verb's words; a mistake is reported, and the process ends with EXIT_USAGE. */
void cli_parse(struct cli *cli, const struct cli_syntax *syntax, int argc, char **argv, void *input);

/* The argp of the global options; its input is a struct cli. */
const struct argp *cli_global_argp(void);

/* Fills in the bootstrap addresses of `config`; EXIT_OK, or reports what is wrong. */
int cli_bootstrap(const struct cli *cli, struct client_config *config);

/* Numbers with units from option texts: "250ms", "2s"; "64KiB". False (reported through argp, which ends the
 * process) never returns. */
uint64_t cli_duration_us(const struct argp_state *state, const char *option, const char *text);
int64_t cli_size(const struct argp_state *state, const char *option, const char *text);
int64_t cli_number(const struct argp_state *state, const char *option, const char *text, int64_t min,
                   int64_t max);

/* Milliseconds since 1970 of "@ms" or of an ISO date in UTC (2026-01-31, 2026-01-31T12:00:00Z). False:
 * neither.
 */
bool cli_time_ms(const char *text, int64_t *ret_ms);

/* -- errors -- */

/* Prints "NAME: what: cause" and the next step (JSON on standard error under -o json); what is a printf
 * format. Returns the exit code that fits the failure. */
int cli_fail(const struct cli *cli, struct client_failure failure, const struct client_trouble *trouble,
             const char *what, ...) __attribute__((format(printf, 4, 5)));

/* A broker's error with the words it said about it (null or empty: our own). */
int cli_fail_said(const struct cli *cli, int16_t kafka_error, struct str said, const char *what, ...)
    __attribute__((format(printf, 4, 5)));

/* The same with a cause and a next step in words (next may be NULL). Returns code. */
int cli_fail_words(const struct cli *cli, int code, const char *cause, const char *next, const char *what,
                   ...) __attribute__((format(printf, 5, 6)));

/* "NOT_LEADER_OR_FOLLOWER" or "TIMED_OUT"; and one line for people. */
const char *cli_failure_name(struct client_failure failure);
const char *cli_failure_text(struct client_failure failure);

#endif
