/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/kafka/messages.h"

const struct kafka_message_type *kafka_message_type(int16_t key, bool is_request)
{
    for (size_t i = 0; i < kafka_message_types_count; i++) {
        const struct kafka_message_type *type = &kafka_message_types[i];
        if (type->key == key && type->is_request == is_request)
            return type;
    }
    return NULL;
}
