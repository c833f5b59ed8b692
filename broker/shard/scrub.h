/* SPDX-License-Identifier: Apache-2.0 */
/* The scrubber of a shard: reads every log of it through once in log.scrub.period.ms, at most at its share of
 * log.scrub.bytes.per.second, slower while the shard is busy, and has bad ranges mended (repair.h). One timer
 * and one read in flight, however many partitions there are. */
#ifndef SLUICE_BROKER_SHARD_SCRUB_H
#define SLUICE_BROKER_SHARD_SCRUB_H

#include "broker/shard/shard.h"

struct scrubber;

/* NULL when memory is out. The first pass begins within minutes. */
struct scrubber *scrubber_new(struct shard *shard);

/* Frees itself when the read in flight is back, sets shard->scrubber to NULL and looks whether the shard is
 * idle. */
void scrubber_close(struct scrubber *scrubber);

#endif
