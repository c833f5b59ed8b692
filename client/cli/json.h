/* SPDX-License-Identifier: Apache-2.0 */
/* Writes JSON to a stream: compact, one document per line. Keys are literals of ours, values may hold any
 * bytes. */
#ifndef SLUICE_CLIENT_CLI_JSON_H
#define SLUICE_CLIENT_CLI_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/base/types.h"

struct json {
    FILE *out;
    bool comma; /* something stands before in the present object or array */
};

/* A document on `out`; it ends with json_line(), which adds the newline. */
struct json json_to(FILE *out);
void json_line(struct json *j);

/* key NULL: an element of an array, or the document itself. */
void json_object(struct json *j, const char *key);
void json_object_end(struct json *j);
void json_array(struct json *j, const char *key);
void json_array_end(struct json *j);
void json_i64(struct json *j, const char *key, int64_t value);
void json_f64(struct json *j, const char *key, double value, int digits);
void json_bool(struct json *j, const char *key, bool value);
void json_null(struct json *j, const char *key);

/* A string; null for a null view. Bytes that are not UTF-8 become U+FFFD. */
void json_str(struct json *j, const char *key, struct str value);
void json_z(struct json *j, const char *key, const char *value);

/* Bytes as a string when they are UTF-8, otherwise under the name "<key>_base64"; null when null. */
void json_bytes(struct json *j, const char *key, struct bytes value);

/* One member whose name comes from outside. */
void json_named_str(struct json *j, struct str name, struct str value);

#endif
