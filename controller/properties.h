/* SPDX-License-Identifier: Apache-2.0 */
/* The text of small state files: one "key=value" per line, '#' starts a comment. Kafka's meta.properties has
 * the same form. */
#ifndef SLUICE_CONTROLLER_PROPERTIES_H
#define SLUICE_CONTROLLER_PROPERTIES_H

#include <stdint.h>

#include "common/base/err.h"
#include "common/base/types.h"

#define PROPERTIES_TEXT_MAX 4096

/* Text being built; cut texts are a programmer's error (asserted by properties_text). */
struct properties {
    char text[PROPERTIES_TEXT_MAX];
    uint32_t len;
};

/* Begins an empty text. */
void properties_init(struct properties *p);

/* Append a line. */
void properties_add_u64(struct properties *p, const char *key, uint64_t value);
void properties_add_uuid(struct properties *p, const char *key, struct uuid value);

/* The value of key in text (first one wins), as a view; the null string when it is not there. */
struct str properties_get(struct str text, const char *key);

/* ERR_NOT_FOUND when the key is missing, ERR_MALFORMED when the value is not one. */
enum err properties_get_u64(struct str text, const char *key, uint64_t *ret_value);
enum err properties_get_uuid(struct str text, const char *key, struct uuid *ret_value);

#endif
