/* SPDX-License-Identifier: Apache-2.0 */
/* sluice-broker: settings, logger, loop, admin port and signals around one broker. */
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

#define DOC "Serves Kafka clients: holds partition logs, replicates them, answers produce and fetch."

struct process {
    struct config *settings;
    struct broker_config config;
    struct logging_config logging;
    struct logger log;
    struct metrics *metrics;
    struct env *env;
    struct admin_http *admin;
    struct broker *broker;
    char host[ENV_HOST_MAX];
    int status;
};

static void say(const char *line)
{
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, line);
}

static void on_admin_stopped(void *ctx)
{
    env_uv_main_stop(((struct process *)ctx)->env);
}

static void on_stopped(void *ctx)
{
    struct process *process = ctx;

    if (process->admin)
        admin_http_stop(process->admin, on_admin_stopped, process);
    else
        env_uv_main_stop(process->env);
}

static void on_failed(void *ctx, const char *why)
{
    struct process *process = ctx;

    LOG(&process->log, ERROR, "broker.failed", F_STR("why", why));
    say(why);
    process->status = EXIT_FAILURE;
    broker_stop(process->broker);
}

static void on_signal(void *ctx, int signo)
{
    broker_stop(((struct process *)ctx)->broker);
}

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
    char line[2 * ENV_HOST_MAX], address[ENV_HOST_MAX + 8];
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

static bool start_broker(struct process *process)
{
    const struct broker_options options = {
        .config = &process->config,
        .settings = process->settings,
        .default_host = process->host,
        .log = &process->log,
        .metrics = process->metrics,
        .ctx = process,
        .failed = on_failed,
        .stopped = on_stopped,
    };
    char message[BROKER_MESSAGE_MAX];

    if (gethostname(process->host, sizeof(process->host) - 1) != 0)
        strcpy(process->host, "localhost");
    if (broker_new(process->env, &options, &process->broker, message) != OK) {
        say(message);
        return false;
    }
    if (!start_admin(process)) {
        broker_free(process->broker);
        process->broker = NULL;
        return false;
    }
    broker_start(process->broker);
    return true;
}

/* False: exit with *ret_status. */
static bool load_settings(struct process *process, int argc, char **argv, int *ret_status)
{
    process->settings = config_new();
    if (!process->settings) {
        *ret_status = EXIT_FAILURE;
        return false;
    }
    config_add(process->settings, logging_settings(), &process->logging);
    config_add(process->settings, broker_settings(), &process->config);
    if (!config_start(process->settings, argc, argv, DOC, ret_status))
        return false;
    const char *problem = broker_config_problem(&process->config);
    if (problem) {
        say(problem);
        *ret_status = CONFIG_EXIT_STATUS;
    }
    return problem == NULL;
}

static bool open_log(struct process *process)
{
    const struct logger_options options = {
        .level = (enum log_level)process->logging.level,
        .format = (enum log_format)process->logging.format,
        .file = process->logging.file,
        .role = "broker",
        .node_id = process->config.node_id,
    };
    char line[1024];
    enum err err = logger_init(&process->log, &options);

    if (err != OK) {
        snprintf(line, sizeof(line), "logging.file: cannot open '%s': %s", process->logging.file,
                 err_text(err));
        say(line);
        return false;
    }
    for (uint32_t i = 0; config_warning(process->settings, i); i++)
        LOG(&process->log, WARN, "config.warning", F_STR("text", config_warning(process->settings, i)));
    return true;
}

static int run(struct process *process)
{
    process->env = env_uv_main_new();
    process->metrics = metrics_new();
    if (!process->env || !process->metrics) {
        say("out of memory or file descriptors");
        return EXIT_FAILURE;
    }
    metrics_add_process(process->metrics);
    /* Before the data directory is taken: from then on every end is an orderly one. The loop delivers them.
     */
    env_uv_main_on_signal(process->env, SIGTERM, on_signal, process);
    env_uv_main_on_signal(process->env, SIGINT, on_signal, process);
    if (start_broker(process))
        env_uv_main_run(process->env);
    else
        process->status = EXIT_FAILURE;
    env_uv_main_free(process->env);
    metrics_free(process->metrics);
    if (process->broker)
        broker_free(process->broker);
    return process->status;
}

int main(int argc, char **argv)
{
    static struct process process;
    int status = EXIT_SUCCESS;

    if (load_settings(&process, argc, argv, &status)) {
        status = open_log(&process) ? run(&process) : EXIT_FAILURE;
        logger_close(&process.log);
    }
    config_free(process.settings);
    return status;
}
