/* SPDX-License-Identifier: Apache-2.0 */
/* sluice-broker: one broker in the frame of a process. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/config.h"
#include "common/config/config_argv.h"
#include "common/process/process.h"

#define DOC "Serves Kafka clients: holds partition logs, replicates them, answers produce and fetch."

struct program {
    struct process process;
    struct broker_config config;
    struct broker *broker;
    char host[ENV_HOST_MAX];
};

static void on_stopped(void *ctx)
{
    process_finish(&((struct program *)ctx)->process);
}

static void on_end(void *ctx)
{
    broker_stop(((struct program *)ctx)->broker);
}

static void on_failed(void *ctx, const char *why)
{
    struct program *program = ctx;

    process_failed(&program->process, why);
    broker_stop(program->broker);
}

static bool is_ready(void *ctx, char *reason, size_t size)
{
    return broker_ready(((struct program *)ctx)->broker, reason, size);
}

static bool start(struct program *program)
{
    struct process *process = &program->process;
    const struct broker_options options = {
        .config = &program->config,
        .settings = process->settings,
        .default_host = program->host,
        .log = &process->log,
        .metrics = process->metrics,
        .tls = process->tls,
        .record = true,
        .ctx = program,
        .failed = on_failed,
        .stopped = on_stopped,
    };
    char message[BROKER_MESSAGE_MAX];

    if (gethostname(program->host, sizeof(program->host) - 1) != 0)
        strcpy(program->host, "localhost");
    if (broker_new(process->env, &options, &program->broker, message) != OK) {
        process_say(message);
        return false;
    }
    return process_start_admin(process, &program->config.admin_listener, is_ready, program);
}

/* False: exit with *ret_status. */
static bool load_settings(struct program *program, int argc, char **argv, int *ret_status)
{
    struct process *process = &program->process;

    *ret_status = EXIT_FAILURE;
    return process_settings(process, broker_settings(), &program->config, &program->config.security) &&
           config_start(process->settings, argc, argv, DOC, ret_status) &&
           process_settings_hold(broker_config_problem(&program->config), ret_status);
}

static int run(struct program *program)
{
    struct process *process = &program->process;

    if (process_open(process, "broker", program->config.node_id, on_end, program) &&
        process_open_tls(process, &program->config.security) && start(program)) {
        broker_start(program->broker);
        process_run(process);
    }
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
