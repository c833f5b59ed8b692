/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the transactor (node_txn.c): its state, and its requests (node_txn_send.c). */
#ifndef SLUICE_SIM_NODE_TXN_H
#define SLUICE_SIM_NODE_TXN_H

#include "tests/sim/txn_requests.h"

#define TXN_SENDS_MAX  6
#define TXN_TIMEOUT_MS 8000

/* In the order in which a transaction goes; some are left out. */
enum txn_step {
    TXN_STEP_TOPIC,
    TXN_STEP_INIT,
    TXN_STEP_IDLE,
    TXN_STEP_POSITION,    /* where does the group stand? */
    TXN_STEP_POLL,        /* what a pipe reads */
    TXN_STEP_ADD,         /* version 1: partitions */
    TXN_STEP_PRODUCE,     /* one send after the other */
    TXN_STEP_ADD_OFFSETS, /* version 1: the group */
    TXN_STEP_OFFSETS,
    TXN_STEP_END
};

/* A record of the present transaction. */
struct txn_send {
    int32_t partition;
    uint64_t value;
    bool asked, answered; /* in the history */
};

struct transactor {
    struct txn_client c; /* first */
    struct env_timer tick, again;
    enum txn_step step;
    bool busy;
    uint64_t rest_until_us; /* it does nothing before */
    /* Who it is. */
    int32_t identity; /* number of its transactional id; its input partition */
    bool v1, rival;   /* rival: somebody else uses the same id */
    char id[TXN_ID_MAX];
    int32_t coordinator, group_coordinator;
    int64_t producer_id;
    int16_t epoch;
    bool reinit; /* the next InitProducerId names the producer id and epoch that we have */
    int32_t sequences[TXN_PARTITIONS];
    uint32_t counter; /* of values and transactions */
    /* The transaction. */
    uint64_t txn; /* 0: none */
    struct txn_send sends[TXN_SENDS_MAX];
    int sent, send_count;
    bool commit, pipe, end_asked;
    bool fenced;   /* somebody took over, and it will not hear of it */
    bool doubtful; /* an attempt to end it may have succeeded */
    bool troubled; /* some attempt's outcome is unknown: version 1 needs a new epoch after that */
    uint32_t end_call, offset_call, poll_call, stalls;
    /* The pipe. */
    int64_t position, next_position; /* -1: to be asked for */
    int32_t position_epoch;          /* of the coordinator that told it; -1: we know it ourselves */
    struct iobuf *batch;
    union {
        struct kafka_create_topics_request create;
        struct kafka_init_producer_id_request init;
    } write;
    struct kafka_create_topics_request_topic write_topic;
    int32_t write_parts[TXN_PARTITIONS];
    struct txn_request request; /* of a transaction */
};

/* The request of a step. The coordinators and leaders that they go to are known. */
void txn_send_create(struct transactor *x);
void txn_send_init(struct transactor *x);
void txn_send_add(struct transactor *x);
void txn_send_produce(struct transactor *x);
void txn_send_add_offsets(struct transactor *x);
void txn_send_offsets(struct transactor *x);
void txn_send_end(struct transactor *x);

/* The error in an answer to one of them, KAFKA_UNKNOWN_SERVER_ERROR when it has no place for one. */
int16_t txn_error_in(const struct client_reply *reply);

/* Another time it would be the same. Such an answer excludes that the request was executed. */
bool txn_error_is_final(int16_t error);
/* Such an answer says that another producer has taken over. */
bool txn_error_is_fencing(int16_t error);

/* Keeps the request of the present step for a replayer; of an end that was answered also the markers that the
 * coordinator has sent. */
void txn_keep_request(struct transactor *x, enum txn_replay_kind kind);
void txn_keep_markers(struct transactor *x);

#endif
