/* SPDX-License-Identifier: Apache-2.0 */
/* The sending half of a connection; private to broker/shard/connection*.c. */
#ifndef SLUICE_BROKER_SHARD_CONNECTION_SEND_H
#define SLUICE_BROKER_SHARD_CONNECTION_SEND_H

#include "broker/shard/connection.h"

/* Output fell to half of its mark (env_conn_handler.drained). */
void connection_drained(void *ctx);

/* C5: checks that output moves. */
void connection_stalled(struct env_timer *timer);

/* The connection is gone: tells the requests in flight, and frees the connection with the last of them. */
void connection_abandon(struct connection *c);

/* Room has come back: looks at the stash, then reads on. */
void connection_read_on(struct connection *c);

#endif
