/* SPDX-License-Identifier: Apache-2.0 */
/* A verb's client on its own env, and the loop around it. */
#ifndef SLUICE_CLIENT_CLI_SESSION_H
#define SLUICE_CLIENT_CLI_SESSION_H

#include "client/cli/cli.h"
#include "client/driver.h"

struct session {
    struct cli *cli;
    struct env *env;
    struct tls *tls; /* NULL: plain text */
    struct tls_loop *tls_loop;
    struct client_driver *driver;
    struct client *client;
    bool interrupted; /* SIGINT or SIGTERM came */
    bool unreachable; /* no broker has answered in the first seconds */
    struct env_timer reach;
    bool topic_done; /* of session_topic() */
    struct client_failure topic_failure;
};

/* The client's defaults with the bootstrap addresses and time-outs of the command line. An enum cli_exit. */
int session_config(const struct cli *cli, struct client_config *config);

/* Makes env and client. handler may be NULL. EXIT_OK, or what was reported. */
int session_open(struct session *s, struct cli *cli, const struct client_config *config,
                 const struct client_driver_handler *handler, void *ctx);

/* The same with the defaults, for verbs that only make calls. */
int session_open_plain(struct session *s, struct cli *cli);

/* Turns until *done, an interrupt, or the certainty that nobody is there. */
void session_run(struct session *s, const bool *done);

/* Sends one request (any broker, the command line's time-out) and gives the answer to on_reply, which returns
 * an enum cli_exit. Failures are reported as "what". */
struct session_call {
    int16_t api_key, version_max; /* 0: any */
    const void *message;
    bool repeatable;
    bool to_node; /* to the broker `node`, not just any */
    int32_t node;
    const char *what; /* "cannot list topics" */
    int (*on_reply)(void *ctx, const struct client_reply *reply);
    void *ctx;
    bool *ret_unsupported; /* not NULL: a broker that lacks the API is no failure, but noted here */
};
int session_call(struct session *s, const struct session_call *call);

/* Waits until the topic is known to the client. EXIT_OK, or reported. *ret_topic is borrowed. */
int session_topic(struct session *s, const char *name, struct client_topic **ret_topic);
/* The same; *ret_topic NULL: there is no such topic. */
int session_topic_if_any(struct session *s, const char *name, struct client_topic **ret_topic);

/* Closes everything. After an interrupt it leaves the env to the end of the process (a helper thread may sit
 * in a read that does not return). */
void session_close(struct session *s);

#endif
