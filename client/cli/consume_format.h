/* SPDX-License-Identifier: Apache-2.0 */
/* How a consumed record is printed. */
#ifndef SLUICE_CLIENT_CLI_CONSUME_FORMAT_H
#define SLUICE_CLIENT_CLI_CONSUME_FORMAT_H

#include <stdbool.h>
#include <stdio.h>

#include "common/batch/record.h"

/* Whether every % in a format means something: %t topic, %p partition, %o offset, %T timestamp (ms), %k key,
 * %v value, %h headers, %K %V their lengths (-1: null), %%; \n \t \r \0 \\ \xHH as in C. *ret_bad is the
 * letter that does not. */
bool consume_format_check(const char *format, char *ret_bad);

/* Prints a record as the (checked) format says. */
void consume_format_print(FILE *out, const char *format, const char *topic, int32_t partition,
                          const struct record *record);

/* One line of JSON. */
void consume_json_print(FILE *out, const char *topic, int32_t partition, const struct record *record);

#endif
