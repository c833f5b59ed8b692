/* SPDX-License-Identifier: Apache-2.0 */
/* The flight recorder of one shard: the last events of its replicas, dumped when an assertion fails on its
 * thread. */
#ifndef SLUICE_BROKER_SHARD_SHARD_FLIGHT_H
#define SLUICE_BROKER_SHARD_SHARD_FLIGHT_H

#include "common/obs/flight.h"

#define SHARD_FLIGHT_EVENTS 256 /* power of two; of all replicas together */

struct shard_flight {
    bool installed;
    struct flight_deck deck;
    struct flight flight; /* code: enum replica_event_type; a: partition, b: the event's offset, c: log end,
                             d: high watermark */
    struct flight_event events[SHARD_FLIGHT_EVENTS];
};

/* A recorder, NULL without memory. install: failed assertions of the calling thread, which is the shard's,
 * are dumped from now on, until it is freed on the same thread. */
struct shard_flight *shard_flight_new(struct logger *logger, bool install);
void shard_flight_free(struct shard_flight *recorder);

#endif
