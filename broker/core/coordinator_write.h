/* SPDX-License-Identifier: Apache-2.0 */
/* What coordinator cores (groups, transactions) have in common. */
#ifndef SLUICE_BROKER_CORE_COORDINATOR_WRITE_H
#define SLUICE_BROKER_CORE_COORDINATOR_WRITE_H

#include <stdint.h>

#include "common/base/types.h"

/* Records to append: all of them or none. */
struct coordinator_write {
    uint64_t seq;     /* rises by one with each write of a core, from 1 */
    const uint8_t *p; /* count times: int32 key length, key, int32 value length (-1 none), value */
    int32_t len, count;
    bool transactional; /* a batch of its own under this producer; else it may share a batch */
    int64_t producer_id;
    int16_t producer_epoch;
};

/* Which partition of count coordinates a group or a transactional id: Kafka's Utils.abs of Java's
 * String.hashCode, modulo count. */
int32_t coordinator_partition_of(struct str key, int32_t count);

#endif
