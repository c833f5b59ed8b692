/* SPDX-License-Identifier: Apache-2.0 */
/* Which Kafka APIs the schemas know, in which versions, and the headers in front of every request and
 * response. */
#ifndef SLUICE_PROTO_KAFKA_API_H
#define SLUICE_PROTO_KAFKA_API_H

#include "common/base/wire.h"

#define KAFKA_NEVER INT16_MAX /* "flexible from" of an API that has no flexible version */

#include "proto/kafka/gen/apis.h"

/* KAFKA_API_PRODUCE = 0, KAFKA_API_FETCH = 1, ... */
enum kafka_api {
#define X(name, key, title, min, max, flexible) KAFKA_API_##name = key,
    KAFKA_API_TABLE(X)
#undef X
};

struct kafka_api_info {
    const char *name; /* Kafka's own ("Produce") */
    int16_t key;
    int16_t min_version; /* what the codec can decode and encode; the broker may advertise less, or more at
                            the low end (trap T1) */
    int16_t max_version;
    int16_t flexible_from; /* first version in the compact form, or KAFKA_NEVER */
};

/* NULL for a key that has no schema. */
const struct kafka_api_info *kafka_api_info(int16_t key);

/* The API's name for logs; "Unknown" for a key without schema. Never NULL. */
const char *kafka_api_name(int16_t key);

/* True when requests and responses of this key and version can be decoded and encoded. */
bool kafka_api_has_version(int16_t key, int16_t version);

/* The header's own version: 1, or 2 in flexible versions. The request version may lie outside the valid range
 * (an ApiVersions request from the future must still be answered). -1 for a key without schema. */
int16_t kafka_request_header_version(int16_t key, int16_t version);

/* 0, or 1 in flexible versions; always 0 for ApiVersions (KIP-511). -1 for a key without schema. */
int16_t kafka_response_header_version(int16_t key, int16_t version);

struct kafka_request_header {
    int16_t api_key, api_version;
    int32_t correlation_id;
    struct str client_id; /* nullable; in header version 0 absent, thus null. Never in the compact form. */
};

struct kafka_response_header {
    int32_t correlation_id;
};

/* Header versions 0 to 2 (requests) and 0 to 1 (responses); others are ERR_VERSION. Unknown tagged fields are
 * skipped, none is written. The client id is a view of the reader's memory. */
enum err kafka_request_header_decode(struct reader *r, int16_t header_version,
                                     struct kafka_request_header *ret);
void kafka_request_header_encode(struct writer *w, int16_t header_version,
                                 const struct kafka_request_header *m);
enum err kafka_response_header_decode(struct reader *r, int16_t header_version,
                                      struct kafka_response_header *ret);
void kafka_response_header_encode(struct writer *w, int16_t header_version,
                                  const struct kafka_response_header *m);

/* Decodes a request's header without knowing its version: it follows from the key and version that lead it. A
 * key without schema is ERR_UNSUPPORTED; api_key, api_version and correlation_id are then set as far as they
 * were read. */
enum err kafka_request_header_peel(struct reader *r, struct kafka_request_header *ret);

#endif
