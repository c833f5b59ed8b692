/* SPDX-License-Identifier: Apache-2.0 */
/* What records of the workload look like: a value that is unique in the run, in shapes that clients know
 * (keys, headers, no value, 1 MiB), and content that tells when a byte of it changed. */
#ifndef SLUICE_SIM_PAYLOAD_H
#define SLUICE_SIM_PAYLOAD_H

#include "common/base/prng.h"
#include "common/batch/builder.h"
#include "common/batch/record.h"

#define PAYLOAD_BYTES_MAX   (1u << 20) /* of one record's value */
#define PAYLOAD_HEADERS_MAX 3

/* One record to be sent; its views lead into itself and into bytes. */
struct payload {
    struct record_in record;
    struct record_header headers[PAYLOAD_HEADERS_MAX];
    uint8_t small[64];
};

/* Makes a record of this value (history_value()), about len bytes long, in bytes (len + 16 of them). */
void payload_make(struct payload *payload, struct prng *prng, uint64_t value, size_t len, uint8_t *bytes);

/* The same with a key of its own, for compacted topics; a tombstone tells its value in a header. */
void payload_make_keyed(struct payload *payload, struct prng *prng, uint64_t value, size_t len,
                        uint8_t *bytes, uint32_t key, bool tombstone);

/* The key of a value's record in a compacted topic of so many keys, from 1. */
uint32_t payload_key(uint64_t value, uint32_t keys);

/* The value of a record that came; 0 when its content or key is not what was made for that value. */
uint64_t payload_value(const struct record *record);
uint64_t payload_keyed_value(const struct record *record, uint32_t keys);

#endif
