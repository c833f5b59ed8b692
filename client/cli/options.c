/* SPDX-License-Identifier: Apache-2.0 */
/* The global options, and how a verb's words are parsed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/cli/cli.h"
#include "common/base/assert.h"
#include "common/config/setting_number.h"

#define DEFAULT_PORT 9092

enum { OPTION_TIMEOUT = 0x1000, OPTION_TLS_CA, OPTION_TLS_CERT, OPTION_TLS_KEY, OPTION_TLS_ANY_HOST };

static const struct argp_option global_options[] = {
    {"bootstrap", 'b', "HOST:PORT,...", 0,
     "Brokers to start from (default: $SLUICE_BOOTSTRAP, or localhost:9092)", 100},
    {"output", 'o', "text|json", 0, "How results are printed (default text)", 100},
    {"timeout", OPTION_TIMEOUT, "DURATION", 0, "How long an operation may take (default 30s)", 100},
    {"tls-ca", OPTION_TLS_CA, "FILE", 0,
     "Speak TLS to brokers whose certificate these CAs have signed (PEM; default: $SLUICE_TLS_CA)", 100},
    {"tls-cert", OPTION_TLS_CERT, "FILE", 0, "Certificate to show (PEM; default: $SLUICE_TLS_CERT)", 100},
    {"tls-key", OPTION_TLS_KEY, "FILE", 0, "Its key (PEM; default: $SLUICE_TLS_KEY)", 100},
    {"tls-any-host", OPTION_TLS_ANY_HOST, NULL, 0,
     "Do not compare the names in the brokers' certificates with their addresses", 100},
    {"quiet", 'q', NULL, 0, "Neither progress nor summaries", 100},
    {0},
};

uint64_t cli_duration_us(const struct argp_state *state, const char *option, const char *text)
{
    int64_t us;
    if (number_parse_unit(text, number_duration_us_units, 1000, &us) != OK || us < 0)
        argp_error(state, "--%s wants a duration like 250ms or 2s, not '%s'", option, text);
    return (uint64_t)us;
}

int64_t cli_size(const struct argp_state *state, const char *option, const char *text)
{
    int64_t size;
    if (number_parse_unit(text, number_size_units, 1, &size) != OK || size < 0)
        argp_error(state, "--%s wants a size like 100 or 64KiB, not '%s'", option, text);
    return size;
}

int64_t cli_number(const struct argp_state *state, const char *option, const char *text, int64_t min,
                   int64_t max)
{
    int64_t value;
    if (number_parse(text, &value) != OK || value < min || value > max)
        argp_error(state, "--%s wants a number from %lld to %lld, not '%s'", option, (long long)min,
                   (long long)max, text);
    return value;
}

static error_t parse_global(int key, char *arg, struct argp_state *state)
{
    struct cli *cli = state->input;
    switch (key) {
    case 'b': cli->bootstrap = arg; return 0;
    case 'q': cli->quiet = true; return 0;
    case OPTION_TLS_CA: cli->tls.ca = arg; return 0;
    case OPTION_TLS_CERT: cli->tls.cert = arg; return 0;
    case OPTION_TLS_KEY: cli->tls.key = arg; return 0;
    case OPTION_TLS_ANY_HOST: cli->tls.any_host = true; return 0;
    case OPTION_TIMEOUT: cli->timeout_us = cli_duration_us(state, "timeout", arg); return 0;
    case 'o':
        if (strcmp(arg, "json") != 0 && strcmp(arg, "text") != 0)
            argp_error(state, "--output wants text or json, not '%s'", arg);
        cli->output = strcmp(arg, "json") == 0 ? CLI_JSON : CLI_TEXT;
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

const struct argp *cli_global_argp(void)
{
    static const struct argp argp = {.options = global_options, .parser = parse_global};
    return &argp;
}

/* -- a verb's words -- */

struct verb_input {
    struct cli *cli;
    void *own;
};

static error_t parse_verb(int key, char *arg, struct argp_state *state)
{
    struct verb_input *input = state->input;
    if (key != ARGP_KEY_INIT)
        return ARGP_ERR_UNKNOWN;
    state->child_inputs[0] = input->own;
    state->child_inputs[1] = input->cli;
    return 0;
}

void cli_parse(struct cli *cli, const struct cli_syntax *syntax, int argc, char **argv, void *own)
{
    struct argp own_argp = {
        .options = syntax->options, .parser = syntax->parse, .args_doc = syntax->args_doc};
    struct argp_child children[] = {
        {&own_argp, 0, NULL, 0}, {cli_global_argp(), 0, "Global options:", 10}, {0}};
    struct argp argp = {
        .parser = parse_verb, .args_doc = syntax->args_doc, .doc = syntax->doc, .children = children};
    struct verb_input input = {.cli = cli, .own = own};
    own_argp.args_doc = NULL;
    argv[0] = cli->name;
    argp_parse(&argp, argc, argv, 0, NULL, &input);
}

/* -- bootstrap -- */

static enum err parse_address(const char *text, size_t len, struct client_address *ret)
{
    char one[ENV_HOST_MAX + 16];
    struct env_addr addr;
    if (len == 0 || len >= sizeof(one) - 8)
        return ERR_INVALID;
    memcpy(one, text, len);
    one[len] = '\0';
    if (!strchr(one, ':'))
        snprintf(one + len, sizeof(one) - len, ":%d", DEFAULT_PORT);
    enum err err = env_addr_parse(one, &addr);
    if (err != OK || addr.host[0] == '\0' || addr.port == 0)
        return ERR_INVALID;
    memcpy(ret->host, addr.host, sizeof(ret->host));
    ret->port = addr.port;
    return OK;
}

STATIC_ASSERT(sizeof(((struct client_address *)0)->host) == ENV_HOST_MAX, "hosts are copied as they are");

int cli_bootstrap(const struct cli *cli, struct client_config *config)
{
    const char *text = cli->bootstrap ? cli->bootstrap : getenv("SLUICE_BOOTSTRAP");
    if (!text || text[0] == '\0')
        text = "localhost:9092";
    config->bootstrap_count = 0;
    for (const char *p = text; *p && config->bootstrap_count < CLIENT_BOOTSTRAP_MAX;) {
        size_t len = strcspn(p, ",");
        if (parse_address(p, len, &config->bootstrap[config->bootstrap_count++]) != OK)
            return cli_fail_words(cli, EXIT_USAGE, "not of the form HOST:PORT,HOST:PORT",
                                  "give --bootstrap or SLUICE_BOOTSTRAP like 127.0.0.1:9092",
                                  "bootstrap '%s'", text);
        p += len + (p[len] == ',');
    }
    return EXIT_OK;
}

bool cli_time_ms(const char *text, int64_t *ret_ms)
{
    struct tm tm = {0};
    char *end;
    if (text[0] == '@') {
        *ret_ms = strtoll(text + 1, &end, 10);
        return text[1] && !*end;
    }
    const char *rest = strptime(text, "%Y-%m-%d", &tm);
    if (rest && *rest == 'T')
        rest = strptime(rest, "T%H:%M:%S", &tm);
    if (!rest || (*rest && strcmp(rest, "Z") != 0))
        return false;
    *ret_ms = (int64_t)timegm(&tm) * 1000;
    return true;
}
