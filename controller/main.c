/* SPDX-License-Identifier: Apache-2.0 */
/* sluice-controller: settings, logger, loop, admin port and signals around one controller. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/config/config_argv.h"
#include "common/config/logging_config.h"
#include "common/env_uv/env_uv.h"
#include "common/obs/admin_http.h"
#include "controller/config.h"
#include "controller/controller.h"

#define DOC "Keeps the cluster's metadata: a member of the Raft quorum that brokers register with."

struct process {
    struct config *settings;
    struct controller_config config;
    struct logging_config logging;
    struct logger log;
    struct metrics *metrics;
    struct env *env;
    struct admin_http *admin;
    struct controller *controller;
    bool stopping;
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
    if (process->admin != NULL)
        admin_http_stop(process->admin, on_admin_stopped, process);
    else
        env_uv_main_stop(process->env);
    process->admin = NULL;
}

static void stop(struct process *process)
{
    if (process->stopping)
        return;
    process->stopping = true;
    LOG(&process->log, INFO, "controller.stopping");
    controller_stop(process->controller, on_stopped, process);
}

static void on_failed(void *ctx, const char *what)
{
    struct process *process = ctx;
    say(what);
    process->status = EXIT_FAILURE;
    stop(process);
}

static void on_signal(void *ctx, int signo)
{
    stop(ctx);
}

static bool is_ready(void *ctx, char *reason, size_t size)
{
    return controller_ready(((struct process *)ctx)->controller, reason, size);
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
    if (process->config.admin_listener.count == 0)
        return true;
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

static bool start_controller(struct process *process)
{
    struct controller_options options;
    char text[CONTROLLER_TEXT_MAX], address[ENV_HOST_MAX + 8];
    controller_options_from(&process->config, &options);
    options.logger = &process->log;
    options.metrics = process->metrics;
    options.failed = on_failed;
    options.failed_ctx = process;
    if (controller_new(process->env, &options, &process->controller, text) != OK) {
        say(text);
        return false;
    }
    LOG(&process->log, INFO, "controller.listening",
        F_STR("address", env_addr_format(controller_address(process->controller), address)));
    return start_admin(process) && controller_start(process->controller) == OK;
}

/* False: exit with *ret_status. */
static bool load_settings(struct process *process, int argc, char **argv, int *ret_status)
{
    *ret_status = EXIT_FAILURE;
    process->settings = config_new();
    if (process->settings == NULL)
        return false;
    config_add(process->settings, logging_settings(), &process->logging);
    config_add(process->settings, controller_settings(), &process->config);
    if (!config_start(process->settings, argc, argv, DOC, ret_status))
        return false;
    const char *problem = controller_config_problem(&process->config);
    if (problem != NULL) {
        say(problem);
        *ret_status = CONFIG_EXIT_STATUS;
    }
    return problem == NULL;
}

static bool open_log(struct process *process)
{
    const struct logger_options options = {.level = (enum log_level)process->logging.level,
                                           .format = (enum log_format)process->logging.format,
                                           .file = process->logging.file,
                                           .role = "controller",
                                           .node_id = process->config.node_id};
    enum err err = logger_init(&process->log, &options);
    if (err == OK)
        return true;
    fprintf(stderr, "%s: logging.file: %s: %s\n", program_invocation_short_name, process->logging.file,
            err_text(err));
    return false;
}

static bool open_process(struct process *process)
{
    if (!open_log(process))
        return false;
    for (uint32_t i = 0; config_warning(process->settings, i) != NULL; i++)
        LOG(&process->log, WARN, "config.warning", F_STR("what", config_warning(process->settings, i)));
    process->metrics = metrics_new();
    process->env = env_uv_main_new();
    if (process->metrics == NULL || process->env == NULL) {
        say("out of memory or file descriptors");
        return false;
    }
    metrics_add_process(process->metrics);
    env_uv_main_on_signal(process->env, SIGTERM, on_signal, process);
    env_uv_main_on_signal(process->env, SIGINT, on_signal, process);
    return true;
}

static void close_process(struct process *process)
{
    controller_free(process->controller);
    if (process->env != NULL)
        env_uv_main_free(process->env);
    metrics_free(process->metrics);
    logger_close(&process->log);
    config_free(process->settings);
}

int main(int argc, char **argv)
{
    struct process process = {.log = {.fd = STDERR_FILENO}};
    int status;
    if (!load_settings(&process, argc, argv, &status)) {
        config_free(process.settings);
        return status;
    }
    process.status = EXIT_FAILURE;
    if (open_process(&process) && start_controller(&process)) {
        process.status = EXIT_SUCCESS;
        env_uv_main_run(process.env);
        LOG(&process.log, INFO, "controller.stopped");
    }
    close_process(&process);
    return process.status;
}
