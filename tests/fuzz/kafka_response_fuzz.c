/* SPDX-License-Identifier: Apache-2.0 */
/* Every response decoder: byte 0 is the key, byte 1 the version, the rest the body. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/kafka_body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_kafka_message(false, data, size);
    return 0;
}
