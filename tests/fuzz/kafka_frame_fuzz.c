/* SPDX-License-Identifier: Apache-2.0 */
/* A whole request as it comes from a connection: the header decides which decoder reads the rest. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/kafka_body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader r = reader_over(data, size);
    struct kafka_request_header header;
    if (kafka_request_header_peel(&r, &header) != OK ||
        !kafka_api_has_version(header.api_key, header.api_version))
        return 0;
    fuzz_kafka_body(kafka_message_type(header.api_key, true), header.api_version, &r);
    return 0;
}
