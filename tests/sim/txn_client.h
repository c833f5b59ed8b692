/* SPDX-License-Identifier: Apache-2.0 */
/* What the transactional clients of the workload share: raw requests to the leaders and coordinators that
 * they look up themselves, and their records in the history. The topic of the transactions is one that the
 * observers watch, too. One request at a time: its memory is here. */
#ifndef SLUICE_SIM_TXN_CLIENT_H
#define SLUICE_SIM_TXN_CLIENT_H

#include "proto/kafka/error.h"
#include "tests/sim/client_node.h"

#define TXN_TOPIC       "tx"
#define TXN_VALUE_BYTES 8
#define TXN_ID_MAX      16

struct txn_client {
    struct client_node client; /* first */
    struct batch_scratch scratch;
    int32_t leaders[TXN_PARTITIONS]; /* -1: nobody, or not known */
    bool stale;                      /* they are to be asked for */
    struct str key;
    char group[8];
    struct kafka_metadata_request metadata;
    struct kafka_metadata_request_topic metadata_topic;
    struct kafka_find_coordinator_request find;
    struct kafka_fetch_request fetch;
    struct kafka_fetch_request_topic fetch_topic;
    struct kafka_fetch_request_partition fetch_part;
    struct kafka_offset_fetch_request asked;
    struct kafka_offset_fetch_request_group asked_group;
    struct kafka_offset_fetch_request_group_topic asked_topic;
    int32_t asked_index;
};

/* Opens the client; leaders are to be asked for. The owner closes client.driver as other clients do, and
 * calls txn_client_free() before it frees its memory. */
void txn_client_open(struct txn_client *c, struct node *node, struct env *env,
                     const struct client_driver_handler *handler);
void txn_client_free(struct txn_client *c);

/* Sends a request; message stays the caller's and unchanged until the reply. Repeatable ones may reach the
 * broker twice without the caller's knowledge. */
void txn_client_call(struct txn_client *c, int16_t api, int16_t version_max, const void *message,
                     int32_t node, bool repeatable);

/* Who leads the partitions. The answer is taken with txn_client_take_metadata(). */
void txn_client_ask_leaders(struct txn_client *c);
void txn_client_take_leaders(struct txn_client *c, const struct kafka_metadata_response *response);

/* Who coordinates a group (type 0) or a transactional id (type 1). key must stay. Of the answer: the node, or
 * -1. */
void txn_client_ask_coordinator(struct txn_client *c, const char *key, int8_t type);
int32_t txn_client_coordinator(const struct kafka_find_coordinator_response *response);

/* Committed records of a partition from an offset on; false: its leader is not known. */
bool txn_client_ask_records(struct txn_client *c, int32_t partition, int64_t from);

/* The partition of an answer, NULL: it says something else, and leaders are to be asked for. */
const struct kafka_fetch_response_partition *txn_client_records(struct txn_client *c,
                                                                const struct kafka_fetch_response *response);

/* Calls each() for the committed records of an answer from `from` on, in order, as long as it returns true.
 * Returns the offset behind the last record or batch that was passed. */
int64_t txn_client_each_record(struct txn_client *c, const struct kafka_fetch_response_partition *in,
                               int64_t from,
                               bool (*each)(void *ctx, const struct record *record, uint64_t value),
                               void *ctx);

/* What the group of an input partition has committed for it, with require_stable, from a coordinator. The
 * group is called "tg<partition>". */
void txn_client_ask_offset(struct txn_client *c, int32_t partition, int32_t coordinator);

/* Kafka's error; *ret_offset: -1 when nothing is committed. */
int16_t txn_client_offset(const struct kafka_offset_fetch_response *response, int64_t *ret_offset);

/* "txn0" or "txn1". */
void txn_client_id(int32_t identity, char out[TXN_ID_MAX]);
/* "tg0" or "tg1": the group of an input partition. */
struct str txn_client_group_name(int32_t partition);

/* The epoch in which a broker, as it sees itself, coordinates a transactional id; -1: it does not. */
int32_t txn_client_txn_epoch(const struct txn_client *c, int32_t identity, int32_t coordinator);

/* Number in the history of the group of an input partition, and the epoch in which its coordinator, as a
 * broker sees itself, leads; -1: it does not. */
uint32_t txn_client_group(int32_t partition);
int32_t txn_client_group_epoch(const struct txn_client *c, int32_t partition, int32_t coordinator);

/* A record about a partition of the topic; partition -1: about none. */
struct history_record txn_client_note(const struct txn_client *c, enum history_type type, enum history_op op,
                                      int32_t partition, uint32_t call);
void txn_client_record(const struct txn_client *c, struct history_record record);

#endif
