/* SPDX-License-Identifier: Apache-2.0 */
/* sluice-controller: one controller in the frame of a process. */
#include <stdlib.h>

#include "common/config/config_argv.h"
#include "common/process/process.h"
#include "controller/config.h"
#include "controller/controller.h"

#define DOC "Keeps the cluster's metadata: a member of the Raft quorum that brokers register with."

struct program {
    struct process process;
    struct controller_config config;
    struct controller *controller;
    bool stopping;
};

static void on_stopped(void *ctx)
{
    process_finish(&((struct program *)ctx)->process);
}

static void on_end(void *ctx)
{
    struct program *program = ctx;
    if (program->stopping)
        return;
    program->stopping = true;
    LOG(&program->process.log, INFO, "controller.stopping");
    controller_stop(program->controller, on_stopped, program);
}

static void on_failed(void *ctx, const char *what)
{
    struct program *program = ctx;
    process_failed(&program->process, what);
    on_end(program);
}

static bool is_ready(void *ctx, char *reason, size_t size)
{
    return controller_ready(((struct program *)ctx)->controller, reason, size);
}

static bool start(struct program *program)
{
    struct process *process = &program->process;
    struct controller_options options;
    char text[CONTROLLER_TEXT_MAX], address[ENV_HOST_MAX + 8];
    controller_options_from(&program->config, &options);
    options.logger = &process->log;
    options.metrics = process->metrics;
    options.deck = &process->deck;
    options.tls = controller_config_tls(&program->config) ? process->tls : NULL;
    options.failed = on_failed;
    options.failed_ctx = program;
    if (controller_new(process->env, &options, &program->controller, text) != OK) {
        process_say(text);
        return false;
    }
    LOG(&process->log, INFO, "controller.listening",
        F_STR("address", env_addr_format(controller_address(program->controller), address)));
    return process_start_admin(process, &program->config.admin_listener, is_ready, program) &&
           controller_start(program->controller) == OK;
}

/* False: exit with *ret_status. */
static bool load_settings(struct program *program, int argc, char **argv, int *ret_status)
{
    struct process *process = &program->process;
    *ret_status = EXIT_FAILURE;
    return process_settings(process, controller_settings(), &program->config, &program->config.security) &&
           config_start(process->settings, argc, argv, DOC, ret_status) &&
           process_settings_hold(controller_config_problem(&program->config), ret_status);
}

static int run(struct program *program)
{
    struct process *process = &program->process;
    if (process_open(process, "controller", program->config.node_id, on_end, program) &&
        process_open_tls(process, &program->config.security) && start(program)) {
        process_run(process);
        LOG(&process->log, INFO, "controller.stopped");
    }
    controller_free(program->controller);
    process_end_loops(process);
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
