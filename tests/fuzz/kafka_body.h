/* SPDX-License-Identifier: Apache-2.0 */
/* What the Kafka fuzz targets share. */
#ifndef SLUICE_TESTS_FUZZ_KAFKA_BODY_H
#define SLUICE_TESTS_FUZZ_KAFKA_BODY_H

#include "proto/kafka/messages.h"

/* Decodes the rest of r. What decodes must encode, decode again, and encode to the same bytes; what does not
 * must leave a message of defaults. */
void fuzz_kafka_body(const struct kafka_message_type *type, int16_t version, struct reader *r);

/* Input form of the per-direction targets: key, version, body. Inputs that name no known message are ignored.
 */
void fuzz_kafka_message(bool is_request, const uint8_t *data, size_t size);

#endif
