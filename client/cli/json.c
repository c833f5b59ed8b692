/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/json.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "common/obs/text.h"

struct json json_to(FILE *out)
{
    return (struct json){.out = out};
}

void json_line(struct json *j)
{
    putc('\n', j->out);
    j->comma = false;
}

/* -- strings -- */

static void put_escape(FILE *out, uint8_t c)
{
    switch (c) {
    case '"': fputs("\\\"", out); break;
    case '\\': fputs("\\\\", out); break;
    case '\n': fputs("\\n", out); break;
    case '\t': fputs("\\t", out); break;
    case '\r': fputs("\\r", out); break;
    default: fprintf(out, "\\u%04x", c); break;
    }
}

static bool is_plain(uint8_t c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* Plain runs go out in one piece. */
static void put_string(FILE *out, const uint8_t *p, size_t len)
{
    putc('"', out);
    for (size_t i = 0; i < len;) {
        size_t run = i;
        while (run < len && is_plain(p[run]))
            run++;
        fwrite(p + i, 1, run - i, out);
        i = run;
        if (i == len)
            break;
        unsigned n = p[i] < 0x80 ? 0 : utf8_next(p + i, len - i, NULL);
        if (n > 0)
            fwrite(p + i, 1, n, out);
        else if (p[i] < 0x80)
            put_escape(out, p[i]);
        else
            fputs("\xef\xbf\xbd", out);
        i += n > 0 ? n : 1;
    }
    putc('"', out);
}

static bool is_utf8(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len;) {
        unsigned n = p[i] < 0x80 ? 1 : utf8_next(p + i, len - i, NULL);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

static void put_base64(FILE *out, const uint8_t *p, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    putc('"', out);
    for (size_t i = 0; i < len; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < len ? (uint32_t)p[i + 1] << 8 : 0) |
                     (i + 2 < len ? (uint32_t)p[i + 2] : 0);
        putc(digits[v >> 18], out);
        putc(digits[v >> 12 & 63], out);
        putc(i + 1 < len ? digits[v >> 6 & 63] : '=', out);
        putc(i + 2 < len ? digits[v & 63] : '=', out);
    }
    putc('"', out);
}

/* -- values -- */

static void put_key(struct json *j, const char *key, const char *suffix)
{
    if (j->comma)
        putc(',', j->out);
    if (key)
        fprintf(j->out, "\"%s%s\":", key, suffix);
    j->comma = true;
}

static void put_open(struct json *j, const char *key, char c)
{
    put_key(j, key, "");
    putc(c, j->out);
    j->comma = false;
}

static void put_close(struct json *j, char c)
{
    putc(c, j->out);
    j->comma = true;
}

void json_object(struct json *j, const char *key)
{
    put_open(j, key, '{');
}

void json_object_end(struct json *j)
{
    put_close(j, '}');
}

void json_array(struct json *j, const char *key)
{
    put_open(j, key, '[');
}

void json_array_end(struct json *j)
{
    put_close(j, ']');
}

void json_i64(struct json *j, const char *key, int64_t value)
{
    put_key(j, key, "");
    fprintf(j->out, "%" PRId64, value);
}

void json_f64(struct json *j, const char *key, double value, int digits)
{
    put_key(j, key, "");
    if (isfinite(value))
        fprintf(j->out, "%.*f", digits, value);
    else
        fputs("null", j->out);
}

void json_bool(struct json *j, const char *key, bool value)
{
    put_key(j, key, "");
    fputs(value ? "true" : "false", j->out);
}

void json_null(struct json *j, const char *key)
{
    put_key(j, key, "");
    fputs("null", j->out);
}

void json_str(struct json *j, const char *key, struct str value)
{
    if (value.len < 0) {
        json_null(j, key);
        return;
    }
    put_key(j, key, "");
    put_string(j->out, (const uint8_t *)value.p, (size_t)value.len);
}

void json_z(struct json *j, const char *key, const char *value)
{
    json_str(j, key, str_from(value));
}

void json_bytes(struct json *j, const char *key, struct bytes value)
{
    if (value.len < 0 || is_utf8(value.p, (size_t)value.len)) {
        json_str(j, key, (struct str){(const char *)value.p, value.len});
        return;
    }
    put_key(j, key, "_base64");
    put_base64(j->out, value.p, (size_t)value.len);
}

void json_named_str(struct json *j, struct str name, struct str value)
{
    put_key(j, NULL, "");
    put_string(j->out, (const uint8_t *)name.p, name.len > 0 ? (size_t)name.len : 0);
    putc(':', j->out);
    j->comma = false;
    json_str(j, NULL, value);
}
