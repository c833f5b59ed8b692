/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of transactions that were sent once, for one who sends them again (node_replayer.c): a network
 * that delivers twice and late, at the level of requests, where no connection protects from it. Only such as
 * the protocol promises to survive: with version 1 an EndTxn, a TxnOffsetCommit or a marker that comes again
 * means the next transaction (KIP-890), so these are kept of version 2 alone. */
#ifndef SLUICE_SIM_TXN_REPLAYS_H
#define SLUICE_SIM_TXN_REPLAYS_H

#include <stdbool.h>
#include <stdint.h>

#define TXN_REPLAYS_MAX   64
#define TXN_REPLAY_BYTES  192
#define TXN_IDENTITIES    2
#define TXN_NO_EPOCH_KEPT (-1)

enum txn_replay_kind {
    TXN_REPLAY_PRODUCE,
    TXN_REPLAY_ADD,
    TXN_REPLAY_OFFSETS,
    TXN_REPLAY_END,
    TXN_REPLAY_MARKER
};

struct txn_replay {
    enum txn_replay_kind kind;
    int32_t identity;
    bool v1, commit;
    int64_t producer_id;
    int16_t epoch;
    int32_t partition; /* of what is produced or marked */
    int64_t offset;    /* of the group */
    int32_t coordinator_epoch;
    uint32_t len; /* of the batch */
    uint8_t batch[TXN_REPLAY_BYTES];
};

/* The newest of them, and who coordinates now as far as the transactors know. */
struct txn_replays {
    struct txn_replay list[TXN_REPLAYS_MAX];
    uint64_t count; /* ever: the next one's place is count % TXN_REPLAYS_MAX */
    int32_t coordinator[TXN_IDENTITIES], group_coordinator[TXN_IDENTITIES];
    struct { /* the newest EndTxn that was sent again */
        int64_t producer_id;
        int16_t epoch;
    } ended_again[TXN_IDENTITIES];
};

#endif
