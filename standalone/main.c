/* SPDX-License-Identifier: Apache-2.0 */
/* sluice-standalone: a controller and a broker in one process, for development, CI and the edge. */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/config.h"
#include "common/config/config_argv.h"
#include "common/process/process.h"
#include "controller/controller.h"

#define DOC         "A whole Sluice in one process: one broker and its own controller."
#define PATH_MAX_   1024
#define LINE_MAX_   (PATH_MAX_ + 512)
#define LOOPBACK    "127.0.0.1"
#define KEY_DATA    'd'
#define KEY_LISTEN  'l'
#define LISTEN_TEXT "127.0.0.1:9092"

struct arguments {
    struct config_argv common;
    const char *data_dir, *listen;
};

struct program {
    struct process process;
    struct arguments arguments;
    struct broker_config config;
    struct controller *controller;
    struct broker *broker;
    struct endpoint controller_endpoint;
    char host[ENV_HOST_MAX];
};

/* -- the end: broker, controller, admin port, loop */

static void on_controller_stopped(void *ctx)
{
    process_finish(&((struct program *)ctx)->process);
}

static void on_broker_stopped(void *ctx)
{
    struct program *program = ctx;

    controller_stop(program->controller, on_controller_stopped, program);
}

static void on_failed(void *ctx, const char *why)
{
    struct program *program = ctx;

    process_failed(&program->process, why);
    broker_stop(program->broker);
}

static void on_end(void *ctx)
{
    broker_stop(((struct program *)ctx)->broker);
}

/* -- the start */

static bool is_ready(void *ctx, char *reason, size_t size)
{
    return broker_ready(((struct program *)ctx)->broker, reason, size);
}

/* The controller talks to nobody but our own broker: on a port of the kernel's choice. */
static bool start_controller(struct program *program)
{
    struct controller_options options = controller_options_defaults();
    char dir[PATH_MAX_], text[CONTROLLER_TEXT_MAX];

    snprintf(dir, sizeof(dir), "%s/controller", program->arguments.data_dir);
    options.node_id = program->config.node_id;
    options.listen = (struct env_addr){.host = LOOPBACK};
    options.voters[0] = (struct controller_voter){options.node_id, options.listen};
    options.voters_count = 1;
    options.metadata_dir = dir;
    options.session_us = (uint64_t)program->config.session_timeout_ms * 1000;
    options.num_partitions = program->config.num_partitions;
    options.default_replication_factor = program->config.default_replication_factor;
    options.logger = &program->process.log;
    options.metrics = program->process.metrics;
    options.deck = &program->process.deck;
    if (security_is_ssl(&program->config.security, security_controller_listener(&program->config.security)))
        options.tls = program->process.tls;
    options.failed = on_failed;
    options.failed_ctx = program;
    if (controller_new(program->process.env, &options, &program->controller, text) != OK) {
        process_say(text);
        return false;
    }
    const struct env_addr *bound = controller_address(program->controller);
    controller_set_voter(program->controller, options.node_id, bound);
    program->controller_endpoint =
        (struct endpoint){.name = "", .id = -1, .host = LOOPBACK, .port = bound->port};
    program->config.controller_bootstrap_servers = (struct endpoints){&program->controller_endpoint, 1};
    return true;
}

static bool make_broker(struct program *program)
{
    const struct broker_options options = {
        .config = &program->config,
        .settings = program->process.settings,
        .default_host = program->host,
        .log = &program->process.log,
        .metrics = program->process.metrics,
        .tls = program->process.tls,
        .record = true,
        .ctx = program,
        .failed = on_failed,
        .stopped = on_broker_stopped,
    };
    char message[BROKER_MESSAGE_MAX];

    if (gethostname(program->host, sizeof(program->host) - 1) != 0)
        strcpy(program->host, "localhost");
    if (broker_new(program->process.env, &options, &program->broker, message) == OK)
        return true;
    process_say(message);
    return false;
}

static bool make_data_dir(struct program *program)
{
    const char *dir = program->arguments.data_dir;
    enum err err = env_mkdir(program->process.env, dir);
    char line[LINE_MAX_];

    if (err == OK || err == ERR_EXISTS)
        return true;
    snprintf(line, sizeof(line), "%s: cannot make the data directory: %s; give another one with --data-dir",
             dir, err_text(err));
    process_say(line);
    return false;
}

static bool start(struct program *program)
{
    if (!make_data_dir(program) || !start_controller(program) || !make_broker(program) ||
        !process_start_admin(&program->process, &program->config.admin_listener, is_ready, program))
        return false;
    if (controller_start(program->controller) != OK) {
        process_say("cannot start the controller: out of memory");
        return false;
    }
    broker_start(program->broker);
    return true;
}

/* -- settings */

static const struct argp_option options[] = {
    {"data-dir", KEY_DATA, "DIR", 0, "Where everything is kept (sluice-data)", 0},
    {"listen", KEY_LISTEN, "HOST:PORT", 0, "Where Kafka clients connect (" LISTEN_TEXT ")", 0},
    {0},
};

static error_t on_option(int key, char *arg, struct argp_state *state)
{
    struct arguments *arguments = state->input;

    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &arguments->common; return 0;
    case KEY_DATA: arguments->data_dir = arg; return 0;
    case KEY_LISTEN: arguments->listen = arg; return 0;
    case ARGP_KEY_ARG: argp_error(state, "unexpected argument '%s'", arg); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* Sets what neither file nor environment nor --set gave. */
static enum err set_default(struct config *settings, const char *name, const char *value)
{
    enum config_source source;
    char line[LINE_MAX_];

    if (config_describe(settings, name, &source, NULL) == OK && source != CONFIG_DEFAULT)
        return OK;
    snprintf(line, sizeof(line), "%s=%s", name, value);
    return config_apply_set(settings, line);
}

static enum err apply_all(struct program *program)
{
    const struct arguments *arguments = &program->arguments;
    struct config *settings = program->process.settings;
    char dir[PATH_MAX_], listeners[LINE_MAX_];
    enum err err = arguments->common.file ? config_apply_file(settings, arguments->common.file) : OK;

    if (!err)
        err = config_apply_env(settings, environ);
    for (uint32_t i = 0; i < arguments->common.set_count && !err; i++)
        err = config_apply_set(settings, arguments->common.sets[i]);
    snprintf(dir, sizeof(dir), "%s/broker", arguments->data_dir);
    snprintf(listeners, sizeof(listeners), "PLAINTEXT://%s,REPLICATION://" LOOPBACK ":0", arguments->listen);
    const char *const defaults[][2] = {
        {"node.id", "1"},
        {"log.dirs", dir},
        {"listeners", listeners},
        {"controller.quorum.bootstrap.servers", LOOPBACK ":1"}, /* start_controller() knows */
        {"offsets.topic.replication.factor", "1"},              /* there is one broker */
        {"transaction.state.log.replication.factor", "1"},
        {"transaction.state.log.min.isr", "1"},
    };
    for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]) && !err; i++)
        err = set_default(settings, defaults[i][0], defaults[i][1]);
    return err ? err : config_finish(settings);
}

/* False: exit with *ret_status. */
static bool load_settings(struct program *program, int argc, char **argv, int *ret_status)
{
    const struct argp_child children[] = {{.argp = config_argp()}, {.argp = NULL}};
    const struct argp argp = {.options = options, .parser = on_option, .doc = DOC, .children = children};

    program->arguments = (struct arguments){.data_dir = "sluice-data", .listen = LISTEN_TEXT};
    *ret_status = EXIT_FAILURE;
    if (!process_settings(&program->process, broker_settings(), &program->config,
                          &program->config.security) ||
        argp_parse(&argp, argc, argv, 0, NULL, &program->arguments) != 0)
        return false;
    if (program->arguments.common.help_config) {
        config_print_help(program->process.settings, stdout);
        *ret_status = EXIT_SUCCESS;
        return false;
    }
    return process_settings_hold(apply_all(program) != OK ? config_error(program->process.settings)
                                                          : broker_config_problem(&program->config),
                                 ret_status);
}

static int run(struct program *program)
{
    struct process *process = &program->process;

    if (process_open(process, "standalone", program->config.node_id, on_end, program) &&
        process_open_tls(process, &program->config.security) && start(program))
        process_run(process);
    controller_free(program->controller);
    process_end_loops(process);
    if (program->broker)
        broker_free(program->broker);
    return process->status;
}

int main(int argc, char **argv)
{
    static struct program program;
    int status;

    if (load_settings(&program, argc, argv, &status))
        status = run(&program);
    process_close(&program.process);
    return status;
}
