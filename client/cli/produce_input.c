/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/produce_input.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"

#define READ_BYTES     (256 * 1024)
#define REGEX_TEXT_MAX 1024

/* -- escapes -- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that the escape at *text (behind its backslash) means, or -1; moves behind it. */
static int unescape(const char **text)
{
    char c = *(*text)++;
    switch (c) {
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case '0': return 0;
    case '\\': return '\\';
    case 'x': {
        int high = hex_digit((*text)[0]), low = high < 0 ? -1 : hex_digit((*text)[1]);
        *text += low < 0 ? 0 : 2;
        return low < 0 ? -1 : high << 4 | low;
    }
    default: return -1;
    }
}

bool input_piece_parse(const char *text, struct input_piece *ret)
{
    struct input_piece piece = {.len = 0};
    while (*text) {
        int c = (uint8_t)*text++;
        if (c == '\\')
            c = unescape(&text);
        if (c < 0 || piece.len == INPUT_PIECE_MAX)
            return false;
        piece.p[piece.len++] = (uint8_t)c;
    }
    if (piece.len == 0)
        return false;
    *ret = piece;
    return true;
}

/* -- splitting -- */

void input_splitter_init(struct input_splitter *in, const struct input_piece *delimiter,
                         size_t record_bytes_max)
{
    *in = (struct input_splitter){.delimiter = *delimiter, .record_bytes_max = record_bytes_max};
}

void input_splitter_free(struct input_splitter *in)
{
    free(in->buf);
    in->buf = NULL;
}

enum err input_splitter_room(struct input_splitter *in, void **ret_p, size_t *ret_len)
{
    size_t held = in->end - in->start;
    if (held > in->record_bytes_max)
        return ERR_TOO_LARGE;
    if (in->start > 0) {
        memmove(in->buf, in->buf + in->start, held);
        in->scanned -= in->start;
        in->start = 0;
        in->end = held;
    }
    if (in->cap - held < READ_BYTES) {
        size_t cap = MAX(in->cap * 2, held + READ_BYTES);
        uint8_t *buf = realloc(in->buf, cap);
        if (!buf)
            return ERR_NOMEM;
        in->buf = buf;
        in->cap = cap;
    }
    *ret_p = in->buf + in->end;
    *ret_len = in->cap - in->end;
    return OK;
}

void input_splitter_landed(struct input_splitter *in, size_t len)
{
    in->end += len;
    in->eof = len == 0;
}

/* What is left when the input has ended. */
static bool take_rest(struct input_splitter *in, struct bytes *ret_record)
{
    size_t len = in->end - in->start;
    bool by_lines = in->delimiter.p[in->delimiter.len - 1] == '\n';
    const uint8_t *p = in->buf + in->start;
    in->start = in->scanned = in->end;
    if (len > 0 && by_lines && p[len - 1] == '\n')
        len--;
    *ret_record = (struct bytes){p, (int32_t)len};
    return len > 0;
}

bool input_splitter_next(struct input_splitter *in, struct bytes *ret_record)
{
    const struct input_piece *delimiter = &in->delimiter;
    size_t from = MAX(in->scanned, in->start);
    const uint8_t *found =
        in->buf ? memmem(in->buf + from, in->end - from, delimiter->p, delimiter->len) : NULL;
    if (found) {
        *ret_record = (struct bytes){in->buf + in->start, (int32_t)(found - (in->buf + in->start))};
        in->start = (size_t)(found - in->buf) + delimiter->len;
        in->scanned = in->start;
        return true;
    }
    if (in->end - in->start >= delimiter->len)
        in->scanned = MAX(from, in->end - (delimiter->len - 1));
    return in->eof && take_rest(in, ret_record);
}

/* -- keys -- */

/* POSIX knows no \n: put the characters themselves. Other escapes stay as they are. */
static bool expand_pattern(const char *pattern, char *out, size_t size)
{
    size_t n = 0;
    while (*pattern && n + 2 < size) {
        if (pattern[0] == '\\' && (pattern[1] == 'n' || pattern[1] == 't')) {
            out[n++] = pattern[1] == 'n' ? '\n' : '\t';
            pattern += 2;
            continue;
        }
        if (pattern[0] == '\\' && pattern[1])
            out[n++] = *pattern++;
        out[n++] = *pattern++;
    }
    out[n] = '\0';
    return *pattern == '\0';
}

bool input_key_regex(struct input_key *key, const char *pattern, char *ret_error, size_t size)
{
    char text[REGEX_TEXT_MAX];
    if (!expand_pattern(pattern, text, sizeof(text))) {
        str_copy(STR_LIT("too long"), ret_error, size);
        return false;
    }
    int rc = regcomp(&key->regex, text, REG_EXTENDED | REG_NEWLINE);
    if (rc != 0) {
        regerror(rc, &key->regex, ret_error, size);
        return false;
    }
    key->has_regex = true;
    return true;
}

void input_key_free(struct input_key *key)
{
    if (key->has_regex)
        regfree(&key->regex);
    key->has_regex = false;
}

static void split_by_regex(const struct input_key *key, struct bytes record, struct bytes *ret_key)
{
    regmatch_t match[2] = {{.rm_so = 0, .rm_eo = record.len}};
    if (regexec(&key->regex, (const char *)record.p, 2, match, REG_STARTEND) != 0)
        return;
    const regmatch_t *m = match[1].rm_so >= 0 ? &match[1] : &match[0];
    *ret_key = (struct bytes){record.p + m->rm_so, (int32_t)(m->rm_eo - m->rm_so)};
}

void input_key_split(const struct input_key *key, struct bytes record, struct bytes *ret_key,
                     struct bytes *ret_value)
{
    *ret_key = BYTES_NULL;
    *ret_value = record;
    if (key->fixed.len >= 0) {
        *ret_key = (struct bytes){(const uint8_t *)key->fixed.p, key->fixed.len};
    } else if (key->separator.len > 0) {
        const uint8_t *at = memmem(record.p, (size_t)record.len, key->separator.p, key->separator.len);
        if (!at)
            return;
        *ret_key = (struct bytes){record.p, (int32_t)(at - record.p)};
        ret_value->p = at + key->separator.len;
        ret_value->len = record.len - (int32_t)(ret_value->p - record.p);
    } else if (key->has_regex) {
        split_by_regex(key, record, ret_key);
    }
}
