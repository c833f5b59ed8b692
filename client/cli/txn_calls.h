/* SPDX-License-Identifier: Apache-2.0 */
/* What the transaction verbs ask of the cluster. Functions return an enum cli_exit and have reported
 * failures. */
#ifndef SLUICE_CLIENT_CLI_TXN_CALLS_H
#define SLUICE_CLIENT_CLI_TXN_CALLS_H

#include "client/cli/session.h"

/* The broker that coordinates the transactional id. */
int txn_find_coordinator(struct session *s, const char *id, int32_t *ret_node);

/* Describes one id; on_state gets its state, which lives during the call. */
int txn_describe_one(
    struct session *s, const char *id,
    int (*on_state)(void *ctx, const struct kafka_describe_transactions_response_transaction_state *state),
    void *ctx);

#endif
