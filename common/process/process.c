/* SPDX-License-Identifier: Apache-2.0 */
#include "common/process/process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/config/config_argv.h"
#include "common/obs/admin_http.h"
#include "common/tls/tls.h"

#define LINE_MAX_ 1536

void process_say(const char *line)
{
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, line);
}

/* -- settings -- */

bool process_settings(struct process *process, const struct setting_table *table, void *values,
                      struct security_config *security)
{
    process->log.fd = 2; /* until it is opened */
    process->settings = config_new();
    if (!process->settings) {
        process_say("out of memory");
        return false;
    }
    config_add(process->settings, logging_settings(), &process->logging);
    config_add(process->settings, security_settings(), security);
    config_add(process->settings, table, values);
    return true;
}

bool process_settings_hold(const char *problem, int *ret_status)
{
    if (!problem)
        return true;
    process_say(problem);
    *ret_status = CONFIG_EXIT_STATUS;
    return false;
}

/* -- the start -- */

static bool open_log(struct process *process, const char *role, int32_t node_id)
{
    const struct logger_options options = {.level = (enum log_level)process->logging.level,
                                           .format = (enum log_format)process->logging.format,
                                           .file = process->logging.file,
                                           .role = role,
                                           .node_id = node_id};
    char line[LINE_MAX_];
    enum err err = logger_init(&process->log, &options);
    if (err) {
        snprintf(line, sizeof(line), "logging.file: cannot open '%s': %s; check its path and rights",
                 process->logging.file, err_text(err));
        process_say(line);
        return false;
    }
    for (uint32_t i = 0; config_warning(process->settings, i); i++)
        LOG(&process->log, WARN, "config.warning", F_STR("text", config_warning(process->settings, i)));
    return true;
}

static void on_end(void *ctx, int signo)
{
    struct process *process = ctx;
    process->stop(process->ctx);
}

static void on_hangup(void *ctx, int signo)
{
    struct process *process = ctx;
    enum err err = logger_reopen(&process->log, process->logging.file);
    if (err)
        LOG(&process->log, ERROR, "log.reopen_failed", F_STR("file", process->logging.file),
            F_ERR("error", err));
    else
        LOG(&process->log, INFO, "log.reopened");
}

bool process_open(struct process *process, const char *role, int32_t node_id, void (*stop)(void *ctx),
                  void *ctx)
{
    process->status = EXIT_FAILURE;
    process->logging_role = role;
    process->stop = stop;
    process->ctx = ctx;
    if (!open_log(process, role, node_id))
        return false;
    process->metrics = metrics_new();
    process->env = env_uv_main_new();
    if (!process->metrics || !process->env) {
        process_say("out of memory or file descriptors");
        return false;
    }
    metrics_add_process(process->metrics);
    flight_deck_init(&process->deck, &process->log);
    flight_deck_install(&process->deck);
    env_uv_main_on_signal(process->env, SIGTERM, on_end, process);
    env_uv_main_on_signal(process->env, SIGINT, on_end, process);
    env_uv_main_on_signal(process->env, SIGHUP, on_hangup, process);
    return true;
}

bool process_open_tls(struct process *process, const struct security_config *security)
{
    const struct tls_options options = {
        .certificate = security->certificate,
        .key = security->key,
        .ca = security->ca,
        .client_auth = (enum tls_client_auth)security->client_auth,
        .allow_12 = security_allows_12(security),
        .handshake_timeout_ms = (uint32_t)security->handshake_timeout_ms,
        .log = &process->log,
    };
    char text[TLS_TEXT_MAX];
    if (security->certificate[0] == '\0')
        return true;
    if (tls_new(process->env, &options, &process->tls, text) != OK) {
        process_say(text);
        return false;
    }
    tls_add_metrics(process->tls, process->metrics, process->logging_role);
    tls_watch(process->tls, process->env, (uint64_t)security->reload_interval_ms * 1000);
    return true;
}

bool process_start_admin(struct process *process, const struct endpoints *listener,
                         bool (*ready)(void *ctx, char *reason, size_t size), void *ready_ctx)
{
    struct admin_http_options options = {
        .metrics = process->metrics, .logger = &process->log, .ready = ready, .ready_ctx = ready_ctx};
    char line[LINE_MAX_], address[ENV_HOST_MAX + 8];
    struct env_addr bound;
    if (listener->count == 0)
        return true;
    options.addr.port = listener->items[0].port;
    str_copy(str_from(listener->items[0].host), options.addr.host, sizeof(options.addr.host));
    enum err err = admin_http_start(process->env, &options, &process->admin, &bound);
    if (err == OK) {
        LOG(&process->log, INFO, "admin.listening", F_STR("address", env_addr_format(&bound, address)));
        return true;
    }
    snprintf(line, sizeof(line), "admin.listener: cannot listen on %s: %s; free it or change the setting",
             env_addr_format(&options.addr, address), err_text(err));
    process_say(line);
    return false;
}

/* -- the run and its end -- */

void process_run(struct process *process)
{
    process->status = EXIT_SUCCESS;
    env_uv_main_run(process->env);
}

void process_failed(struct process *process, const char *why)
{
    char event[32];
    snprintf(event, sizeof(event), "%s.failed", process->logging_role);
    LOG(&process->log, ERROR, event, F_STR("why", why));
    process_say(why);
    process->status = EXIT_FAILURE;
}

static void on_admin_stopped(void *ctx)
{
    env_uv_main_stop(((struct process *)ctx)->env);
}

void process_finish(struct process *process)
{
    struct admin_http *admin = process->admin;
    process->admin = NULL;
    if (admin)
        admin_http_stop(admin, on_admin_stopped, process);
    else
        env_uv_main_stop(process->env);
}

void process_end_loops(struct process *process)
{
    tls_unwatch(process->tls);
    if (process->env)
        env_uv_main_free(process->env);
    process->env = NULL;
    metrics_free(process->metrics);
    process->metrics = NULL;
    tls_free(process->tls);
    process->tls = NULL;
}

void process_close(struct process *process)
{
    ASSERT(process->env == NULL);
    assert_set_hook(NULL, NULL);
    logger_close(&process->log);
    config_free(process->settings);
}
