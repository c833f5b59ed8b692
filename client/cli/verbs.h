/* SPDX-License-Identifier: Apache-2.0 */
/* X(group, name, function, doc): every verb once; each function lives in the file of its name. */
#ifndef SLUICE_CLIENT_CLI_VERBS_H
#define SLUICE_CLIENT_CLI_VERBS_H

#include "client/cli/cli.h"

/* clang-format off */
#define CLI_VERB_TABLE(X) \
    X("topic", "create", topic_create, "make topics") \
    X("topic", "list", topic_list, "names, partitions and replicas of all topics") \
    X("topic", "describe", topic_describe, "leaders, replicas and settings of topics") \
    X("topic", "delete", topic_delete, "delete topics with their data") \
    X("topic", "alter", topic_alter, "add partitions, change settings") \
    X("produce", NULL, produce, "write records from standard input or a file") \
    X("consume", NULL, consume, "read records and print them") \
    X("group", "list", group_list, "groups, their states and protocols") \
    X("group", "describe", group_describe, "members, committed offsets and lag of a group") \
    X("group", "delete", group_delete, "delete groups that have no members") \
    X("group", "reset-offsets", group_reset_offsets, "set the committed offsets of a group without members") \
    X("txn", "list", txn_list, "transactional ids and their states") \
    X("txn", "describe", txn_describe, "state, producer and partitions of a transactional id") \
    X("txn", "abort", txn_abort, "abort an open transaction and fence its producer") \
    X("partition", "reassign", partition_reassign, "move a partition to other brokers") \
    X("partition", "rebalance", partition_rebalance, "even out replicas over brokers and racks") \
    X("broker", "drain", broker_drain, "take leaders, and new replicas, off a broker") \
    X("broker", "unregister", broker_unregister, "forget a broker that will not come back") \
    X("controller", "add", controller_add, "make a new controller a voter of the quorum") \
    X("controller", "remove", controller_remove, "take a controller out of the quorum") \
    X("cluster", "describe", cluster_describe, "brokers and cluster id") \
    X("log", "dump", log_dump, "print the files of partition directories") \
    X("log", "verify", log_verify, "check the files of partition directories") \
    X("bench", "limits", bench_limits, "what this machine can do: TCP, sendfile, disk") \
    X("bench", "latency", bench_latency, "round trip of one record, beside a bare TCP echo") \
    X("bench", "produce", bench_produce, "produce throughput with prepared batches") \
    X("bench", "consume", bench_consume, "fetch throughput") \
    X("bench", "commit", bench_commit, "offset commits of many groups") \
    X("bench", "txn", bench_txn, "transactions of one record each") \
    X("bench", "failover", bench_failover, "longest gap between acknowledgments while brokers fail")
/* clang-format on */

/* Each runs its verb: see struct cli_verb. */
#define X(group, name, function, doc) int cli_##function(struct cli *cli, int argc, char **argv);
CLI_VERB_TABLE(X)
#undef X

#endif
