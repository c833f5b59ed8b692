/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/session.h"

#include <signal.h>

#include "common/base/assert.h"
#include "proto/kafka/error.h"

#define HANDSHAKE_MS 10000
#define REACH_US     5000000 /* how long to look for any broker at all */

/* What a synchronous helper waits for. */
struct waiting {
    struct session *s;
    const struct session_call *call;
    int code;
    bool done;
};

static void on_signal(void *ctx, int signo)
{
    struct session *s = ctx;
    s->interrupted = true;
}

static void on_reach(struct env_timer *timer)
{
    struct session *s = CONTAINER_OF(timer, struct session, reach);
    s->unreachable = !client_met_broker(s->client);
}

int session_config(const struct cli *cli, struct client_config *config)
{
    client_config_init(config);
    config->same_broker = true;
    str_copy(STR_LIT("sluice-cli"), config->client_id, sizeof(config->client_id));
    config->topic_wait_us = cli->topic_wait_us;
    config->request_timeout_us = cli->timeout_us;
    return cli_bootstrap(cli, config);
}

static bool is_given(const char *text)
{
    return text && text[0];
}

/* Reads the certificates that the command line names. */
static int open_tls(struct session *s)
{
    const struct cli_tls *given = &s->cli->tls;
    const struct tls_options options = {.certificate = given->cert,
                                        .key = given->key,
                                        .ca = given->ca,
                                        .allow_12 = true,
                                        .any_host = given->any_host,
                                        .handshake_timeout_ms = HANDSHAKE_MS};
    char text[TLS_TEXT_MAX];
    if (!is_given(given->ca) && (is_given(given->cert) || is_given(given->key)))
        return cli_fail_words(s->cli, EXIT_USAGE, "--tls-cert and --tls-key need --tls-ca",
                              "name the CA that signed the brokers' certificates", "cannot speak TLS");
    if (!is_given(given->ca))
        return EXIT_OK;
    if (tls_new(s->env, &options, &s->tls, text) != OK)
        return cli_fail_words(s->cli, EXIT_LOCAL_IO, text, "check --tls-ca, --tls-cert and --tls-key",
                              "cannot speak TLS");
    s->tls_loop = tls_loop_new(s->env, s->tls);
    client_driver_set_tls(s->driver, s->tls_loop);
    return EXIT_OK;
}

int session_open(struct session *s, struct cli *cli, const struct client_config *config,
                 const struct client_driver_handler *handler, void *ctx)
{
    *s = (struct session){.cli = cli, .env = cli->world->env_new()};
    if (!s->env)
        return cli_fail_words(cli, EXIT_LOCAL_IO, "no event loop: out of memory or descriptors", NULL,
                              "cannot start");
    cli->world->on_signal(s->env, SIGINT, on_signal, s);
    cli->world->on_signal(s->env, SIGTERM, on_signal, s);
    s->driver = client_driver_new(s->env, config, handler, ctx);
    if (!s->driver)
        return cli_fail_words(cli, EXIT_LOCAL_IO, "out of memory", NULL, "cannot start");
    s->client = client_driver_client(s->driver);
    env_timer_init(&s->reach, on_reach);
    int code = open_tls(s);
    if (code != EXIT_OK)
        return code;
    env_timer_set(s->env, &s->reach, env_now_us(s->env) + REACH_US);
    return EXIT_OK;
}

/* -- synchronous helpers -- */

static void plain_topic(void *ctx, struct client_topic *topic, struct client_failure failure)
{
    struct session *s = ctx;
    s->topic_done = true;
    s->topic_failure = failure;
}

static void plain_reply(void *ctx, const struct client_reply *reply)
{
    struct waiting *w = (struct waiting *)(uintptr_t)reply->tag;
    const struct session_call *call = w->call;
    w->done = true;
    if (reply->failure.err == OK)
        w->code = call->on_reply ? call->on_reply(call->ctx, reply) : EXIT_OK;
    else if ((reply->failure.err == ERR_VERSION || reply->failure.err == ERR_INVALID) &&
             call->ret_unsupported)
        *call->ret_unsupported = true;
    else
        w->code = cli_fail(w->s->cli, reply->failure, client_trouble(w->s->client), "%s", call->what);
}

static const struct client_driver_handler plain_handler = {.topic = plain_topic, .reply = plain_reply};

int session_open_plain(struct session *s, struct cli *cli)
{
    struct client_config config;
    int code = session_config(cli, &config);
    return code != EXIT_OK ? code : session_open(s, cli, &config, &plain_handler, s);
}

void session_run(struct session *s, const bool *done)
{
    while (!*done && !s->interrupted && !s->unreachable)
        s->cli->world->env_turn(s->env);
}

static int gave_up(const struct session *s, const char *what)
{
    if (!s->unreachable)
        return EXIT_INTERRUPTED;
    return cli_fail(s->cli, (struct client_failure){.err = ERR_UNREACHABLE}, client_trouble(s->client), "%s",
                    what);
}

int session_call(struct session *s, const struct session_call *call)
{
    struct waiting w = {.s = s, .call = call, .code = EXIT_OK};
    struct client_request request = {.api_key = call->api_key,
                                     .version_max = call->version_max,
                                     .message = call->message,
                                     .node = call->to_node ? call->node : CLIENT_ANY_NODE,
                                     .timeout_us = s->cli->timeout_us,
                                     .repeatable = call->repeatable,
                                     .tag = (uint64_t)(uintptr_t)&w};
    enum err err = client_call(s->client, client_driver_now_us(s->driver), &request);
    if (err != OK)
        return cli_fail(s->cli, (struct client_failure){.err = err}, NULL, "%s", call->what);
    client_driver_kick(s->driver);
    session_run(s, &w.done);
    return w.done ? w.code : gave_up(s, call->what);
}

/* The answer is in topic_failure. */
static int look_up_topic(struct session *s, const char *name, struct client_topic **ret_topic)
{
    s->topic_done = false;
    *ret_topic = client_topic_open(s->client, client_driver_now_us(s->driver), str_from(name));
    if (!*ret_topic)
        return cli_fail(s->cli, (struct client_failure){.err = ERR_NOMEM}, NULL, "topic '%s'", name);
    client_driver_kick(s->driver);
    s->topic_done = client_topic_partitions(*ret_topic) > 0;
    s->topic_failure = (struct client_failure){.err = OK};
    session_run(s, &s->topic_done);
    return s->topic_done ? EXIT_OK : gave_up(s, "cannot look up the topic");
}

static int topic_failed(struct session *s, const char *name)
{
    return cli_fail(s->cli, s->topic_failure, client_trouble(s->client), "topic '%s'", name);
}

int session_topic(struct session *s, const char *name, struct client_topic **ret_topic)
{
    int code = look_up_topic(s, name, ret_topic);

    if (code != EXIT_OK || s->topic_failure.err == OK)
        return code;
    return topic_failed(s, name);
}

int session_topic_if_any(struct session *s, const char *name, struct client_topic **ret_topic)
{
    int code = look_up_topic(s, name, ret_topic);

    if (code != EXIT_OK || s->topic_failure.err == OK)
        return code;
    if (s->topic_failure.err != ERR_REJECTED ||
        s->topic_failure.kafka_error != KAFKA_UNKNOWN_TOPIC_OR_PARTITION)
        return topic_failed(s, name);
    *ret_topic = NULL;
    return EXIT_OK;
}

static void on_driver_closed(void *ctx)
{
    *(bool *)ctx = true;
}

void session_close(struct session *s)
{
    bool closed = false;
    if (!s->env || s->interrupted)
        return;
    if (s->client)
        env_timer_cancel(s->env, &s->reach);
    if (s->driver) {
        client_driver_close(s->driver, on_driver_closed, &closed);
        while (!closed)
            s->cli->world->env_turn(s->env);
    }
    tls_loop_drop(s->tls_loop);
    s->cli->world->env_free(s->env);
    tls_free(s->tls);
}
