/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/checker/history_text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"

static const struct {
    const char *text;
    uint8_t bit;
} flags[] = {
#define X(name, bit, text) {text, bit},
    HISTORY_FLAGS(X)
#undef X
};

enum width { WIDTH_U32, WIDTH_I32, WIDTH_I64, WIDTH_U64, WIDTH_VALUE };

/* The fields that are written as name=number, in the order in which they are printed. */
static const struct field {
    const char *name;
    size_t at;
    enum width width;
    int64_t none; /* not printed when it has this value */
} fields[] = {
#define FIELD(name, width, none)                                                                             \
    {                                                                                                        \
#name, offsetof(struct history_record, name), width, none                                            \
    }
    FIELD(value, WIDTH_VALUE, 0), FIELD(offset, WIDTH_I64, -1), FIELD(epoch, WIDTH_I32, -1),
    FIELD(node, WIDTH_I32, -1),   FIELD(call, WIDTH_U32, 0),    FIELD(txn, WIDTH_U64, 0),
    FIELD(group, WIDTH_U32, 0),   FIELD(error, WIDTH_I32, 0),   FIELD(arg, WIDTH_I64, 0),
    FIELD(arg2, WIDTH_I64, 0),
#undef FIELD
};

/* A whole decimal number within bounds. */
static bool parse_i64(const char *text, int64_t min, int64_t max, int64_t *ret)
{
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || v < min || v > max)
        return false;
    *ret = v;
    return true;
}

static bool parse_u32(const char *text, uint32_t *ret)
{
    int64_t v;
    if (!parse_i64(text, 0, UINT32_MAX, &v))
        return false;
    *ret = (uint32_t)v;
    return true;
}

/* Two numbers with a separator between them; text is changed. */
static bool parse_pair(char *text, char separator, uint32_t *ret_a, uint32_t *ret_b)
{
    char *middle = strchr(text, separator);
    if (!middle)
        return false;
    *middle = '\0';
    return parse_u32(text, ret_a) && parse_u32(middle + 1, ret_b);
}

static bool parse_value(char *text, uint64_t *ret)
{
    uint32_t writer, counter;
    if (!parse_pair(text, '.', &writer, &counter) || writer == 0)
        return false;
    *ret = history_value(writer, counter);
    return true;
}

/* Stores a number in its field. */
static bool store(const struct field *field, char *text, struct history_record *r)
{
    uint8_t *at = (uint8_t *)r + field->at;
    int64_t v = 0;
    uint64_t value = 0;
    switch (field->width) {
    case WIDTH_VALUE: return parse_value(text, &value) && memcpy(at, &value, 8);
    case WIDTH_U32: return parse_i64(text, 0, UINT32_MAX, &v) && memcpy(at, &(uint32_t){(uint32_t)v}, 4);
    case WIDTH_I32: return parse_i64(text, INT32_MIN, INT32_MAX, &v) && memcpy(at, &(int32_t){(int32_t)v}, 4);
    case WIDTH_U64: return parse_i64(text, 0, INT64_MAX, &v) && memcpy(at, &v, 8);
    case WIDTH_I64: return parse_i64(text, INT64_MIN, INT64_MAX, &v) && memcpy(at, &v, 8);
    }
    return false;
}

/* name=number */
static bool parse_field(char *word, struct history_record *r)
{
    char *equals = strchr(word, '=');
    *equals = '\0';
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (strcmp(fields[i].name, word) == 0)
            return store(&fields[i], equals + 1, r);
    return false;
}

/* t<topic>-<partition> */
static bool parse_key(char *word, struct history_record *r)
{
    uint32_t partition;
    if (!parse_pair(word + 1, '-', &r->topic, &partition) || r->topic == 0 || partition > INT32_MAX)
        return false;
    r->partition = (int32_t)partition;
    return true;
}

/* A bare word: a flag or a what. */
static bool parse_word(const char *word, struct history_record *r)
{
    for (size_t i = 0; i < ARRAY_LEN(flags); i++)
        if (strcmp(flags[i].text, word) == 0) {
            r->flags |= flags[i].bit;
            return true;
        }
    for (unsigned what = 1; what < HISTORY_WHAT_COUNT; what++)
        if (strcmp(history_what_name(what), word) == 0) {
            r->what = (uint8_t)what;
            return true;
        }
    return false;
}

static bool parse_rest(char *word, struct history_record *r)
{
    if (strchr(word, '='))
        return parse_field(word, r);
    if (word[0] == 't' && word[1] >= '0' && word[1] <= '9')
        return parse_key(word, r);
    return parse_word(word, r);
}

/* The number of a name, or 0. */
static uint8_t number_of(const char *word, const char *(*name)(unsigned), unsigned count)
{
    for (unsigned i = 1; i < count; i++)
        if (strcmp(name(i), word) == 0)
            return (uint8_t)i;
    return 0;
}

/* The four words that every record has: time, process, type, op. */
static bool parse_head(char *words[4], struct history_record *r)
{
    int64_t time_us;
    uint32_t process;
    if (!parse_i64(words[0], 0, INT64_MAX, &time_us) || words[1][0] != 'p' ||
        !parse_u32(words[1] + 1, &process))
        return false;
    uint8_t type = number_of(words[2], history_type_name, HISTORY_TYPE_COUNT);
    uint8_t op = number_of(words[3], history_op_name, HISTORY_OP_COUNT);
    *r = history_record(type, op, process, time_us);
    return type != 0 && op != 0;
}

int history_parse(const char *line, size_t len, struct history_record *ret_record)
{
    char copy[HISTORY_LINE_MAX], *words[4], *state = NULL;
    struct history_record r;
    if (len >= sizeof(copy))
        return ERR_TOO_LARGE;
    memcpy(copy, line, len);
    copy[len] = '\0';
    copy[strcspn(copy, "#\r")] = '\0';
    int count = 0;
    for (char *word = strtok_r(copy, " \t", &state); word; word = strtok_r(NULL, " \t", &state), count++) {
        if (count < 4)
            words[count] = word;
        if (count == 3 && !parse_head(words, &r))
            return ERR_MALFORMED;
        if (count > 3 && !parse_rest(word, &r))
            return ERR_MALFORMED;
    }
    if (count == 0)
        return 0;
    if (count < 4)
        return ERR_MALFORMED;
    *ret_record = r;
    return 1;
}

/* The number in a field; values and other unsigned 64-bit fields by their bits. */
static int64_t load(const struct field *field, const struct history_record *r)
{
    const uint8_t *at = (const uint8_t *)r + field->at;
    int64_t v = 0;
    uint32_t narrow;
    if (field->width == WIDTH_U32 || field->width == WIDTH_I32) {
        memcpy(&narrow, at, 4);
        return field->width == WIDTH_U32 ? (int64_t)narrow : (int64_t)(int32_t)narrow;
    }
    memcpy(&v, at, 8);
    return v;
}

static int print_field(char *out, size_t size, const struct field *field, const struct history_record *r)
{
    int64_t v = load(field, r);
    if (v == field->none)
        return 0;
    if (field->width == WIDTH_VALUE)
        return snprintf(out, size, " value=%" PRIu64 ".%" PRIu64, (uint64_t)v >> 32,
                        (uint64_t)v & UINT32_MAX);
    return snprintf(out, size, " %s=%" PRId64, field->name, v);
}

size_t history_print(char out[HISTORY_LINE_MAX], const struct history_record *r)
{
    size_t size = HISTORY_LINE_MAX, n = 0;
    n += (size_t)snprintf(out, size, "%" PRId64 " p%" PRIu32 " %s %s", r->time_us, r->process,
                          history_type_name(r->type), history_op_name(r->op));
    if (r->topic != 0)
        n += (size_t)snprintf(out + n, size - n, " t%" PRIu32 "-%" PRId32, r->topic, r->partition);
    if (r->what != 0)
        n += (size_t)snprintf(out + n, size - n, " %s", history_what_name(r->what));
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        n += (size_t)print_field(out + n, size - n, &fields[i], r);
    for (size_t i = 0; i < ARRAY_LEN(flags); i++)
        if (r->flags & flags[i].bit)
            n += (size_t)snprintf(out + n, size - n, " %s", flags[i].text);
    ASSERT(n < size);
    return n;
}
