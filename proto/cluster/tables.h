/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of all messages, for the code that shares them and for the tests that prove them against
 * cluster.proto. Internal to proto/cluster. */
#ifndef SLUICE_PROTO_CLUSTER_TABLES_H
#define SLUICE_PROTO_CLUSTER_TABLES_H

#include "proto/cluster/pb_table.h"
#include "proto/cluster/rpc_messages.h"

extern const struct pb_table pb_endpoint_table; /* struct meta_endpoint */

/* Of the body of a record, by enum meta_type; NULL for META_UNKNOWN and beyond. */
const struct pb_table *meta_record_table(uint32_t type);

#define X(name) extern const struct pb_table rpc_##name##_table;
CLUSTER_RPC_MESSAGES(X)
#undef X

#endif
