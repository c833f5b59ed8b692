/* SPDX-License-Identifier: Apache-2.0 */
/* Small deterministic generator (xoshiro256**, seeded through splitmix64). Not for secrets. */
#ifndef SLUICE_BASE_PRNG_H
#define SLUICE_BASE_PRNG_H

#include <stdint.h>

struct prng {
    uint64_t s[4];
};

/* Any seed is good, also 0; the same seed gives the same stream on every machine. */
void prng_seed(struct prng *prng, uint64_t seed);

/* The next 64 random bits. */
uint64_t prng_next(struct prng *prng);

/* Uniform in [0, bound); bound > 0. */
uint64_t prng_below(struct prng *prng, uint64_t bound);

#endif
