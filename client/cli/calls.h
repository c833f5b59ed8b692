/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that several verbs make. */
#ifndef SLUICE_CLIENT_CLI_CALLS_H
#define SLUICE_CLIENT_CLI_CALLS_H

#include "client/cli/session.h"

/* Makes the call at every broker, one after the other; on_reply comes once for each, and its first failure
 * ends it. An enum cli_exit. */
int calls_every_broker(struct session *s, const struct session_call *call);

/* DescribeQuorum of the controllers; on_reply as in session_call. An enum cli_exit. */
int calls_describe_quorum(struct session *s, int (*on_reply)(void *ctx, const struct client_reply *reply),
                          void *ctx);

#endif
