/* SPDX-License-Identifier: Apache-2.0 */
/* The requests of a transaction, in version 1 and version 2 of the protocol (KIP-890): for who makes the
 * transaction (node_txn_send.c), and for who sends them again (node_replayer.c). */
#ifndef SLUICE_SIM_TXN_REQUESTS_H
#define SLUICE_SIM_TXN_REQUESTS_H

#include "tests/sim/txn_client.h"

/* Memory of one request until its answer. */
struct txn_request {
    union {
        struct kafka_add_partitions_to_txn_request add;
        struct kafka_produce_request produce;
        struct kafka_add_offsets_to_txn_request add_offsets;
        struct kafka_txn_offset_commit_request offsets;
        struct kafka_end_txn_request end;
    } message;
    union {
        struct kafka_add_partitions_to_txn_request_topic add;
        struct kafka_produce_request_topic produce;
        struct kafka_txn_offset_commit_request_topic offsets;
    } topic;
    union {
        struct kafka_produce_request_partition produce;
        struct kafka_txn_offset_commit_request_partition offsets;
    } part;
};

/* Whose transaction. */
struct txn_who {
    const char *id; /* transactional id; it stays as long as the request's memory */
    int64_t producer_id;
    int16_t epoch;
    bool v1;
};

/* Each sends one request to a node. What is given by pointer stays the caller's, and unchanged until the
 * answer. */
void txn_request_add(struct txn_client *c, struct txn_request *request, const struct txn_who *who,
                     int32_t *partitions, int32_t count, int32_t node);
void txn_request_produce(struct txn_client *c, struct txn_request *request, const struct txn_who *who,
                         int32_t partition, struct iobuf *batch, int32_t node);
/* Of the group of an input partition (txn_client_group_name()). */
void txn_request_add_offsets(struct txn_client *c, struct txn_request *request, const struct txn_who *who,
                             int32_t input, int32_t node);
void txn_request_offsets(struct txn_client *c, struct txn_request *request, const struct txn_who *who,
                         int32_t input, int64_t offset, int32_t node);
void txn_request_end(struct txn_client *c, struct txn_request *request, const struct txn_who *who,
                     bool commit, int32_t node);

#endif
