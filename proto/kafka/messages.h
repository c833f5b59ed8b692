/* SPDX-License-Identifier: Apache-2.0 */
/* Every message, and a table over all of them for tests, fuzzing and tools that loop over the protocol.
 * Handlers include the header of their own API. */
#ifndef SLUICE_PROTO_KAFKA_MESSAGES_H
#define SLUICE_PROTO_KAFKA_MESSAGES_H

#include "proto/kafka/api.h"
#include "proto/kafka/gen/all.h"

/* One API in one direction. The functions are the generated ones behind a void pointer to the message's
 * struct. */
struct kafka_message_type {
    const char *name; /* "fetch_request" */
    int16_t key;
    bool is_request;
    int16_t min, max; /* versions */
    size_t size;      /* of the struct */
    enum err (*decode)(struct reader *r, struct arena *a, int16_t version, void *ret);
    void (*encode)(struct writer *w, int16_t version, const void *m);
    void (*init)(void *m);
};

/* Sorted by key, the request before the response. */
extern const struct kafka_message_type kafka_message_types[];
extern const size_t kafka_message_types_count;

/* NULL for a key without schema. */
const struct kafka_message_type *kafka_message_type(int16_t key, bool is_request);

#endif
