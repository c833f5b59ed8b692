/* SPDX-License-Identifier: Apache-2.0 */
/* Small values that travel everywhere: views over memory that somebody else owns, and 128-bit ids. */
#ifndef SLUICE_BASE_TYPES_H
#define SLUICE_BASE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A string view: not terminated by zero, may hold any byte. len -1 is Kafka's null (p is then NULL). */
struct str {
    const char *p;
    int32_t len;
};

/* A byte view. len -1 is null. */
struct bytes {
    const uint8_t *p;
    int32_t len;
};

/* A Kafka UUID (KIP-516): 16 bytes, most significant first. All zero means "none". */
struct uuid {
    uint8_t b[16];
};

#define STR_NULL      ((struct str){NULL, -1})
#define STR_LIT(lit)  ((struct str){(lit), (int32_t)(sizeof(lit) - 1)})
#define BYTES_NULL    ((struct bytes){NULL, -1})
#define UUID_TEXT_MAX 23 /* 22 characters of URL-safe base64 and the zero */

/* View of a C string (NULL gives the null view). The string must outlive the view. */
struct str str_from(const char *z);

/* Equal length and bytes; null equals only null. */
bool str_eq(struct str a, struct str b);
bool str_eq_z(struct str a, const char *z);

/* Byte-wise order, shorter first on a common prefix; null sorts as empty. */
int str_cmp(struct str a, struct str b);

/* Copies into out (size bytes), always terminated, cut when too long. Returns out. */
char *str_copy(struct str s, char *out, size_t size);

/* Equal bytes; and all bytes zero, which means "none". */
bool uuid_eq(struct uuid a, struct uuid b);
bool uuid_is_zero(struct uuid id);

/* Kafka's text form: base64url without padding. out holds UUID_TEXT_MAX bytes. */
void uuid_format(struct uuid id, char *out);

/* Reads Kafka's text form. Returns ERR_MALFORMED (as int) when it is not one. */
int uuid_parse(struct str text, struct uuid *ret_id);

#endif
