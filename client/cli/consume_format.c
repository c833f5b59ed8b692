/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/consume_format.h"

#include <inttypes.h>
#include <string.h>

#include "client/cli/json.h"
#include "client/cli/produce_input.h"

bool consume_format_check(const char *format, char *ret_bad)
{
    for (const char *p = format; *p; p++) {
        if (*p != '%')
            continue;
        p++;
        if (*p && strchr("tpoTkvhKV%", *p))
            continue;
        *ret_bad = *p;
        return false;
    }
    return true;
}

static void put_bytes(FILE *out, struct bytes bytes)
{
    if (bytes.len > 0)
        fwrite(bytes.p, 1, (size_t)bytes.len, out);
}

static void put_headers(FILE *out, const struct record *record)
{
    struct header_iter it = record_headers(record);
    struct record_header header;
    for (const char *comma = ""; header_iter_next(&it, &header); comma = ",") {
        fputs(comma, out);
        put_bytes(out, (struct bytes){(const uint8_t *)header.key.p, header.key.len});
        putc('=', out);
        put_bytes(out, header.value);
    }
}

static void put_field(FILE *out, char letter, const char *topic, int32_t partition,
                      const struct record *record)
{
    switch (letter) {
    case 't': fputs(topic, out); break;
    case 'p': fprintf(out, "%" PRId32, partition); break;
    case 'o': fprintf(out, "%" PRId64, record->offset); break;
    case 'T': fprintf(out, "%" PRId64, record->timestamp); break;
    case 'k': put_bytes(out, record->key); break;
    case 'v': put_bytes(out, record->value); break;
    case 'h': put_headers(out, record); break;
    case 'K': fprintf(out, "%" PRId32, record->key.len); break;
    case 'V': fprintf(out, "%" PRId32, record->value.len); break;
    default: putc(letter, out); break;
    }
}

/* The byte behind a backslash; an unknown escape stands for itself. */
static const char *put_escape(FILE *out, const char *p)
{
    char text[5] = {'\\', p[0], 0, 0, 0};
    struct input_piece piece;
    if (p[0] == 'x' && p[1] && p[2]) {
        text[2] = p[1];
        text[3] = p[2];
    }
    if (p[0] && input_piece_parse(text, &piece)) {
        fwrite(piece.p, 1, piece.len, out);
        return p + strlen(text) - 1;
    }
    putc('\\', out);
    return p;
}

void consume_format_print(FILE *out, const char *format, const char *topic, int32_t partition,
                          const struct record *record)
{
    const char *p = format;
    while (*p) {
        char c = *p++;
        if (c == '%')
            put_field(out, *p++, topic, partition, record);
        else if (c == '\\')
            p = put_escape(out, p);
        else
            putc(c, out);
    }
}

static void json_headers(struct json *j, const struct record *record)
{
    struct header_iter it = record_headers(record);
    struct record_header header;
    json_array(j, "headers");
    while (header_iter_next(&it, &header)) {
        json_object(j, NULL);
        json_str(j, "key", header.key);
        json_bytes(j, "value", header.value);
        json_object_end(j);
    }
    json_array_end(j);
}

void consume_json_print(FILE *out, const char *topic, int32_t partition, const struct record *record)
{
    struct json j = json_to(out);
    json_object(&j, NULL);
    json_z(&j, "topic", topic);
    json_i64(&j, "partition", partition);
    json_i64(&j, "offset", record->offset);
    json_i64(&j, "timestamp", record->timestamp);
    json_bytes(&j, "key", record->key);
    json_bytes(&j, "value", record->value);
    if (record->header_count > 0)
        json_headers(&j, record);
    json_object_end(&j);
    json_line(&j);
}
