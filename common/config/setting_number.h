/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers with units, inside this folder. */
#ifndef SLUICE_CONFIG_SETTING_NUMBER_H
#define SLUICE_CONFIG_SETTING_NUMBER_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

/* A unit and how many base units it is; tables end with a NULL name. */
struct number_unit {
    const char *name; /* compared without regard to case */
    int64_t scale;
};

extern const struct number_unit number_size_units[];        /* base: byte */
extern const struct number_unit number_duration_ms_units[]; /* base: millisecond */
extern const struct number_unit number_duration_us_units[]; /* base: microsecond */

/* A whole number without a unit. ERR_INVALID; ERR_OUT_OF_RANGE when int64_t cannot hold it. */
enum err number_parse(const char *text, int64_t *ret_value);

/* A number and one of units. A number alone counts plain_scale base units each; plain_scale 0: only 0 and -1
 * may stand alone. */
enum err number_parse_unit(const char *text, const struct number_unit *units, int64_t plain_scale,
                           int64_t *ret_value);

/* value in the largest unit that divides it: 67108864 gives "64MiB". Returns out. */
char *number_format(int64_t value, const struct number_unit *units, char *out, size_t size);

#endif
