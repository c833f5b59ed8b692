/* SPDX-License-Identifier: Apache-2.0 */
#include "common/config/setting_number.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* The order matters to number_format(): the last unit that divides is taken, and of equal ones the last name.
 */
const struct number_unit number_size_units[] = {
    {"b", 1},
    {"kb", 1000},
    {"mb", 1000000},
    {"gb", 1000000000},
    {"tb", 1000000000000},
    {"k", 1 << 10},
    {"KiB", 1 << 10},
    {"m", 1 << 20},
    {"MiB", 1 << 20},
    {"g", 1 << 30},
    {"GiB", 1 << 30},
    {"t", INT64_C(1) << 40},
    {"TiB", INT64_C(1) << 40},
    {NULL, 0},
};

const struct number_unit number_duration_ms_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0},
};

const struct number_unit number_duration_us_units[] = {
    {"us", 1},
    {"ms", 1000},
    {"s", 1000000},
    {"m", 60000000},
    {"h", INT64_C(3600000000)},
    {"d", INT64_C(86400000000)},
    {NULL, 0},
};

/* Reads the digits at *text and moves behind them. */
static enum err parse_digits(const char **text, int64_t *ret_value)
{
    const char *p = *text;
    bool negative = *p == '-';
    int64_t value = 0;
    if (negative)
        p++;
    if (*p < '0' || *p > '9')
        return ERR_INVALID;
    for (; *p >= '0' && *p <= '9'; p++) {
        int digit = *p - '0';
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, negative ? -digit : digit, &value))
            return ERR_OUT_OF_RANGE;
    }
    *text = p;
    *ret_value = value;
    return OK;
}

enum err number_parse(const char *text, int64_t *ret_value)
{
    int64_t value;
    enum err err = parse_digits(&text, &value);
    if (err)
        return err;
    if (*text != '\0')
        return ERR_INVALID;
    *ret_value = value;
    return OK;
}

static int64_t unit_scale(const struct number_unit *units, const char *name)
{
    for (; units->name; units++)
        if (strcasecmp(units->name, name) == 0)
            return units->scale;
    return 0;
}

enum err number_parse_unit(const char *text, const struct number_unit *units, int64_t plain_scale,
                           int64_t *ret_value)
{
    int64_t value, scale;
    enum err err = parse_digits(&text, &value);
    if (err)
        return err;
    while (*text == ' ')
        text++;
    if (*text != '\0')
        scale = unit_scale(units, text);
    else if (value == 0 || value == -1)
        scale = 1; /* "none" and Kafka's "no limit" need no unit */
    else
        scale = plain_scale;
    if (scale == 0)
        return ERR_INVALID;
    if (__builtin_mul_overflow(value, scale, &value))
        return ERR_OUT_OF_RANGE;
    *ret_value = value;
    return OK;
}

char *number_format(int64_t value, const struct number_unit *units, char *out, size_t size)
{
    const struct number_unit *best = NULL;
    for (; units->name; units++)
        if (value % units->scale == 0 && (!best || units->scale >= best->scale))
            best = units;
    if (!best || value <= 0 || value == INT64_MAX)
        snprintf(out, size, "%" PRId64, value);
    else if (best->scale == 1 && strcmp(best->name, "b") == 0)
        snprintf(out, size, "%" PRId64, value);
    else
        snprintf(out, size, "%" PRId64 "%s", value / best->scale, best->name);
    return out;
}
