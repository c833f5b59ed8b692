/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/kafka/error.h"

struct entry {
    const char *name, *text;
    bool retriable;
};

/* Codes start at -1. */
static const struct entry entries[] = {
#define X(name_, code, retriable_, text_)                                                                    \
    [code + 1] = {.name = #name_, .text = text_, .retriable = retriable_},
    KAFKA_ERROR_TABLE(X)
#undef X
};

_Static_assert(sizeof entries / sizeof entries[0] == KAFKA_ERROR_LAST + 2,
               "the table has no holes and ends with the last code");

static const struct entry *find(int16_t code)
{
    return &entries[code >= -1 && code <= KAFKA_ERROR_LAST ? code + 1 : 0];
}

const char *kafka_error_name(int16_t code)
{
    return find(code)->name;
}

const char *kafka_error_text(int16_t code)
{
    return find(code)->text;
}

bool kafka_error_retriable(int16_t code)
{
    return find(code)->retriable;
}
