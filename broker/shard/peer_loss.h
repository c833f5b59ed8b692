/* SPDX-License-Identifier: Apache-2.0 */
/* Which brokers this one has just lost the connection to, as the replica fetchers of all shards saw it. When
 * a broker dies its clients ask another one for new leaders within a millisecond, before the controllers have
 * elected any. Told the old leader, some wait a second before they ask again (librdkafka); so the answer
 * waits a moment for the metadata instead. Soft knowledge: it delays answers and decides nothing. */
#ifndef SLUICE_BROKER_SHARD_PEER_LOSS_H
#define SLUICE_BROKER_SHARD_PEER_LOSS_H

#include <stdatomic.h>
#include <stdint.h>

struct image;

#define PEER_LOSS_SLOTS 64     /* by id; brokers that share a slot are told apart by the id in it */
#define PEER_LOSS_US    200000 /* a loss is fresh for this long: elections take a tenth of it */

struct peer_loss {
    _Atomic uint64_t newest_us; /* of all slots: the usual answer needs one look */
    struct {
        _Atomic int32_t id;
        _Atomic uint64_t lost_us; /* 0: none */
    } slots[PEER_LOSS_SLOTS];
};

/* From any shard: an established connection to the broker's replication listener broke; or one was made. */
void peer_loss_note(struct peer_loss *losses, int32_t broker_id, uint64_t now_us);
void peer_loss_clear(struct peer_loss *losses, int32_t broker_id);

/* Until when metadata should wait for a new version because one of the brokers that `image` takes for alive
 * was lost a moment ago; 0: no need to wait. */
uint64_t peer_loss_until(const struct peer_loss *losses, const struct image *image, uint64_t now_us);

#endif
