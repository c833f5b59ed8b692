/* SPDX-License-Identifier: Apache-2.0 */
/* sluice-standalone: a controller and a broker in one process, for development, CI and the edge. */
#include <argp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/config.h"
#include "common/config/config_argv.h"
#include "common/config/logging_config.h"
#include "common/env_uv/env_uv.h"
#include "common/obs/admin_http.h"
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

struct process {
    struct arguments arguments;
    struct config *settings;
    struct broker_config config;
    struct logging_config logging;
    struct logger log;
    struct metrics *metrics;
    struct env *env;
    struct admin_http *admin;
    struct controller *controller;
    struct broker *broker;
    struct endpoint controller_endpoint;
    char host[ENV_HOST_MAX];
    int status;
};

static void say(const char *line)
{
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, line);
}

/* -- the end: broker, controller, admin port, loop */

static void on_admin_stopped(void *ctx)
{
    env_uv_main_stop(((struct process *)ctx)->env);
}

static void on_controller_stopped(void *ctx)
{
    struct process *process = ctx;

    if (process->admin)
        admin_http_stop(process->admin, on_admin_stopped, process);
    else
        env_uv_main_stop(process->env);
}

static void on_broker_stopped(void *ctx)
{
    struct process *process = ctx;

    controller_stop(process->controller, on_controller_stopped, process);
}

static void on_failed(void *ctx, const char *why)
{
    struct process *process = ctx;

    LOG(&process->log, ERROR, "standalone.failed", F_STR("why", why));
    say(why);
    process->status = EXIT_FAILURE;
    broker_stop(process->broker);
}

static void on_signal(void *ctx, int signo)
{
    broker_stop(((struct process *)ctx)->broker);
}

/* -- the start */

static bool is_ready(void *ctx, char *reason, size_t size)
{
    return broker_ready(((struct process *)ctx)->broker, reason, size);
}

static bool start_admin(struct process *process)
{
    const struct endpoint *endpoint = &process->config.admin_listener.items[0];
    struct admin_http_options options = {.addr = {.port = endpoint->port},
                                         .metrics = process->metrics,
                                         .logger = &process->log,
                                         .ready = is_ready,
                                         .ready_ctx = process};
    char line[LINE_MAX_], address[ENV_HOST_MAX + 8];
    struct env_addr bound;

    str_copy(str_from(endpoint->host), options.addr.host, sizeof(options.addr.host));
    enum err err = admin_http_start(process->env, &options, &process->admin, &bound);
    if (err == OK) {
        LOG(&process->log, INFO, "admin.listening", F_STR("address", env_addr_format(&bound, address)));
        return true;
    }
    snprintf(line, sizeof(line), "admin.listener: cannot listen on %s: %s; free it or change the setting",
             env_addr_format(&options.addr, address), err_text(err));
    say(line);
    return false;
}

/* The controller talks to nobody but our own broker: on a port of the kernel's choice. */
static bool start_controller(struct process *process)
{
    struct controller_options options = controller_options_defaults();
    char dir[PATH_MAX_], text[CONTROLLER_TEXT_MAX];

    snprintf(dir, sizeof(dir), "%s/controller", process->arguments.data_dir);
    options.node_id = process->config.node_id;
    options.listen = (struct env_addr){.host = LOOPBACK};
    options.voters[0] = (struct controller_voter){options.node_id, options.listen};
    options.voters_count = 1;
    options.metadata_dir = dir;
    options.session_us = (uint64_t)process->config.session_timeout_ms * 1000;
    options.num_partitions = process->config.num_partitions;
    options.default_replication_factor = process->config.default_replication_factor;
    options.logger = &process->log;
    options.metrics = process->metrics;
    options.failed = on_failed;
    options.failed_ctx = process;
    if (controller_new(process->env, &options, &process->controller, text) != OK) {
        say(text);
        return false;
    }
    const struct env_addr *bound = controller_address(process->controller);
    controller_set_voter(process->controller, options.node_id, bound);
    process->controller_endpoint =
        (struct endpoint){.name = "", .id = -1, .host = LOOPBACK, .port = bound->port};
    process->config.controller_bootstrap_servers = (struct endpoints){&process->controller_endpoint, 1};
    return true;
}

static bool make_broker(struct process *process)
{
    const struct broker_options options = {
        .config = &process->config,
        .settings = process->settings,
        .default_host = process->host,
        .log = &process->log,
        .metrics = process->metrics,
        .ctx = process,
        .failed = on_failed,
        .stopped = on_broker_stopped,
    };
    char message[BROKER_MESSAGE_MAX];

    if (gethostname(process->host, sizeof(process->host) - 1) != 0)
        strcpy(process->host, "localhost");
    if (broker_new(process->env, &options, &process->broker, message) == OK)
        return true;
    say(message);
    return false;
}

static bool make_data_dir(struct process *process)
{
    const char *dir = process->arguments.data_dir;
    enum err err = env_mkdir(process->env, dir);
    char line[LINE_MAX_];

    if (err == OK || err == ERR_EXISTS)
        return true;
    snprintf(line, sizeof(line), "%s: cannot make the data directory: %s; give another one with --data-dir",
             dir, err_text(err));
    say(line);
    return false;
}

static bool start(struct process *process)
{
    if (!make_data_dir(process) || !start_controller(process) || !make_broker(process) ||
        !start_admin(process))
        return false;
    if (controller_start(process->controller) != OK) {
        say("cannot start the controller: out of memory");
        return false;
    }
    broker_start(process->broker);
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

static enum err apply_all(struct process *process)
{
    const struct arguments *arguments = &process->arguments;
    struct config *settings = process->settings;
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
    };
    for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]) && !err; i++)
        err = set_default(settings, defaults[i][0], defaults[i][1]);
    return err ? err : config_finish(settings);
}

/* False: exit with *ret_status. */
static bool load_settings(struct process *process, int argc, char **argv, int *ret_status)
{
    const struct argp_child children[] = {{.argp = config_argp()}, {.argp = NULL}};
    const struct argp argp = {.options = options, .parser = on_option, .doc = DOC, .children = children};

    process->arguments = (struct arguments){.data_dir = "sluice-data", .listen = LISTEN_TEXT};
    *ret_status = EXIT_FAILURE;
    process->settings = config_new();
    if (!process->settings || argp_parse(&argp, argc, argv, 0, NULL, &process->arguments) != 0)
        return false;
    config_add(process->settings, logging_settings(), &process->logging);
    config_add(process->settings, broker_settings(), &process->config);
    if (process->arguments.common.help_config) {
        config_print_help(process->settings, stdout);
        *ret_status = EXIT_SUCCESS;
        return false;
    }
    const char *problem =
        apply_all(process) != OK ? config_error(process->settings) : broker_config_problem(&process->config);
    if (problem) {
        say(problem);
        *ret_status = CONFIG_EXIT_STATUS;
    }
    return problem == NULL;
}

static bool open_process(struct process *process)
{
    const struct logger_options log_options = {
        .level = (enum log_level)process->logging.level,
        .format = (enum log_format)process->logging.format,
        .file = process->logging.file,
        .role = "standalone",
        .node_id = process->config.node_id,
    };

    if (logger_init(&process->log, &log_options) != OK) {
        say("logging.file: cannot be opened; check its path and rights");
        return false;
    }
    process->metrics = metrics_new();
    process->env = env_uv_main_new();
    if (!process->metrics || !process->env) {
        say("out of memory or file descriptors");
        return false;
    }
    metrics_add_process(process->metrics);
    return true;
}

static void run(struct process *process)
{
    /* Before the data directory is taken: from then on every end is an orderly one. The loop delivers them.
     */
    env_uv_main_on_signal(process->env, SIGTERM, on_signal, process);
    env_uv_main_on_signal(process->env, SIGINT, on_signal, process);
    if (start(process))
        env_uv_main_run(process->env);
    else
        process->status = EXIT_FAILURE;
}

static void close_process(struct process *process)
{
    controller_free(process->controller);
    if (process->env)
        env_uv_main_free(process->env);
    metrics_free(process->metrics);
    if (process->broker)
        broker_free(process->broker);
    logger_close(&process->log);
}

int main(int argc, char **argv)
{
    static struct process process = {.log = {.fd = STDERR_FILENO}};
    int status;

    if (load_settings(&process, argc, argv, &status)) {
        if (open_process(&process))
            run(&process);
        else
            process.status = EXIT_FAILURE;
        status = process.status;
        close_process(&process);
    }
    config_free(process.settings);
    return status;
}
