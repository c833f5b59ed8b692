/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/cluster/pb_table.h"

#include <pb_decode.h>
#include <pb_encode.h>
#include <string.h>

#include "common/base/assert.h"

#define UUID_BYTES 16

/* --- encoding --- */

static bool to_writer(pb_ostream_t *stream, const pb_byte_t *buf, size_t count)
{
    struct writer *w = stream->state;
    writer_raw(w, buf, count);
    return w->err == OK;
}

/* False once the writer has failed, which records the reason itself. */
static bool encode_message(pb_ostream_t *out, const struct pb_table *table, const void *object);

static int64_t load_signed(enum pb_kind kind, const void *at)
{
    switch (kind) {
    case PB_I8: return *(const int8_t *)at;
    case PB_I16: return *(const int16_t *)at;
    case PB_I32: return *(const int32_t *)at;
    default: ASSERT(kind == PB_I64); return *(const int64_t *)at;
    }
}

static uint64_t load_unsigned(enum pb_kind kind, const void *at)
{
    switch (kind) {
    case PB_BOOL: return *(const bool *)at;
    case PB_U16: return *(const uint16_t *)at;
    case PB_U32: return *(const uint32_t *)at;
    default: ASSERT(kind == PB_U64); return *(const uint64_t *)at;
    }
}

static bool encode_signed(pb_ostream_t *out, const struct pb_field *field, const void *at)
{
    int64_t value = load_signed(field->kind, at);
    return value == 0 || (pb_encode_tag(out, PB_WT_VARINT, field->number) && pb_encode_svarint(out, value));
}

static bool encode_unsigned(pb_ostream_t *out, const struct pb_field *field, const void *at)
{
    uint64_t value = load_unsigned(field->kind, at);
    return value == 0 || (pb_encode_tag(out, PB_WT_VARINT, field->number) && pb_encode_varint(out, value));
}

static bool encode_bytes(pb_ostream_t *out, uint32_t number, const void *p, size_t len)
{
    return pb_encode_tag(out, PB_WT_STRING, number) && pb_encode_string(out, p, len);
}

static bool encode_view(pb_ostream_t *out, const struct pb_field *field, const void *at)
{
    if (field->kind == PB_UUID)
        return uuid_is_zero(*(const struct uuid *)at) || encode_bytes(out, field->number, at, UUID_BYTES);
    if (field->kind == PB_VIEW) {
        const struct bytes *view = at;
        return view->len <= 0 || encode_bytes(out, field->number, view->p, (size_t)view->len);
    }
    const struct str *str = at;
    int32_t least = field->kind == PB_STR_NULLABLE ? 0 : 1;
    return str->len < least || encode_bytes(out, field->number, str->p, (size_t)str->len);
}

static int64_t element(const struct pb_field *field, const void *array, int32_t i)
{
    return field->kind == PB_I32_ARRAY ? ((const int32_t *)array)[i] : ((const int64_t *)array)[i];
}

static bool encode_packed(pb_ostream_t *out, const struct pb_field *field, const void *array, int32_t count)
{
    pb_ostream_t sizing = PB_OSTREAM_SIZING;
    for (int32_t i = 0; i < count; i++)
        pb_encode_svarint(&sizing, element(field, array, i));
    if (!pb_encode_tag(out, PB_WT_STRING, field->number) || !pb_encode_varint(out, sizing.bytes_written))
        return false;
    for (int32_t i = 0; i < count; i++) {
        if (!pb_encode_svarint(out, element(field, array, i)))
            return false;
    }
    return true;
}

static bool encode_messages(pb_ostream_t *out, const struct pb_field *field, const uint8_t *array,
                            int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        const void *object = array + (size_t)i * field->sub->size_bytes;
        if (!pb_encode_tag(out, PB_WT_STRING, field->number) ||
            !pb_encode_varint(out, pb_table_size(field->sub, object)) ||
            !encode_message(out, field->sub, object))
            return false;
    }
    return true;
}

static bool encode_array(pb_ostream_t *out, const struct pb_field *field, const uint8_t *object)
{
    int32_t count = *(const int32_t *)(object + field->count_offset);
    const void *array = *(void *const *)(object + field->offset);
    ASSERT(count >= 0 && (count == 0 || array != NULL));
    ASSERT(field->count_max == 0 || (uint32_t)count <= field->count_max);
    if (count == 0)
        return true;
    return field->kind == PB_MSG_ARRAY ? encode_messages(out, field, array, count)
                                       : encode_packed(out, field, array, count);
}

static bool encode_field(pb_ostream_t *out, const struct pb_field *field, const uint8_t *object)
{
    const uint8_t *at = object + field->offset;
    if (field->kind >= PB_I32_ARRAY)
        return encode_array(out, field, object);
    if (field->kind >= PB_UUID)
        return encode_view(out, field, at);
    if (field->kind >= PB_I8 && field->kind <= PB_I64)
        return encode_signed(out, field, at);
    return encode_unsigned(out, field, at);
}

static bool encode_message(pb_ostream_t *out, const struct pb_table *table, const void *object)
{
    ASSERT(table->fields_count <= PB_TABLE_FIELDS_MAX);
    for (size_t i = 0; i < table->fields_count; i++) {
        if (!encode_field(out, &table->fields[i], object))
            return false;
    }
    return true;
}

static pb_ostream_t stream_over(struct writer *w)
{
    return (pb_ostream_t){.callback = to_writer, .state = w, .max_size = SIZE_MAX};
}

void pb_table_write(struct writer *w, const struct pb_table *table, const void *object)
{
    if (w->err != OK)
        return;
    pb_ostream_t out = stream_over(w);
    bool done = encode_message(&out, table, object);
    ASSERT(done == (w->err == OK));
}

size_t pb_table_size(const struct pb_table *table, const void *object)
{
    pb_ostream_t sizing = PB_OSTREAM_SIZING;
    bool done = encode_message(&sizing, table, object);
    ASSERT(done);
    return sizing.bytes_written;
}

void pb_write_envelope(struct writer *w, uint32_t number, size_t len)
{
    if (w->err != OK)
        return;
    pb_ostream_t sizing = PB_OSTREAM_SIZING;
    pb_encode_tag(&sizing, PB_WT_STRING, number);
    pb_encode_varint(&sizing, len);
    pb_ostream_t out = stream_over(w);
    bool done = pb_encode_varint(&out, sizing.bytes_written + len) &&
                pb_encode_tag(&out, PB_WT_STRING, number) && pb_encode_varint(&out, len);
    ASSERT(done == (w->err == OK));
}

/* --- decoding --- */

/* A message being read: nanopb's stream, and where its bytes end, which turns bytes_left into a position. */
struct input {
    pb_istream_t in;
    const uint8_t *end;
};

static struct input input_over(const uint8_t *p, size_t len)
{
    return (struct input){.in = pb_istream_from_buffer(p, len), .end = p + len};
}

/* Next key, or done / malformed. Field number 0 does not exist. */
enum step { STEP_FIELD, STEP_DONE, STEP_BAD };

static enum step next_key(struct input *input, pb_wire_type_t *ret_type, uint32_t *ret_number)
{
    bool eof = false;
    if (!pb_decode_tag(&input->in, ret_type, ret_number, &eof))
        return eof ? STEP_DONE : STEP_BAD;
    return *ret_number == 0 ? STEP_BAD : STEP_FIELD;
}

/* View of a length-delimited field's bytes. */
static bool read_view(struct input *input, struct bytes *ret_view)
{
    uint32_t len;
    if (!pb_decode_varint32(&input->in, &len) || len > input->in.bytes_left || len > INT32_MAX)
        return false;
    *ret_view = (struct bytes){input->end - input->in.bytes_left, (int32_t)len};
    return pb_read(&input->in, NULL, len);
}

static const struct pb_field *find_field(const struct pb_table *table, uint32_t number)
{
    for (size_t i = 0; i < table->fields_count; i++) {
        if (table->fields[i].number == number)
            return &table->fields[i];
    }
    return NULL;
}

static bool is_array(const struct pb_field *field)
{
    return field->kind >= PB_I32_ARRAY;
}

static bool expects_varint(const struct pb_field *field)
{
    return field->kind <= PB_U64;
}

static bool store_signed(enum pb_kind kind, void *at, int64_t value)
{
    switch (kind) {
    case PB_I8: *(int8_t *)at = (int8_t)value; return value == (int8_t)value;
    case PB_I16: *(int16_t *)at = (int16_t)value; return value == (int16_t)value;
    case PB_I32: *(int32_t *)at = (int32_t)value; return value == (int32_t)value;
    default: *(int64_t *)at = value; return true;
    }
}

static bool store_unsigned(enum pb_kind kind, void *at, uint64_t value)
{
    switch (kind) {
    case PB_BOOL: *(bool *)at = value != 0; return true;
    case PB_U16: *(uint16_t *)at = (uint16_t)value; return value <= UINT16_MAX;
    case PB_U32: *(uint32_t *)at = (uint32_t)value; return value <= UINT32_MAX;
    default: *(uint64_t *)at = value; return true;
    }
}

static bool read_number(struct input *input, const struct pb_field *field, uint8_t *at)
{
    if (field->kind >= PB_I8 && field->kind <= PB_I64) {
        int64_t value;
        return pb_decode_svarint(&input->in, &value) && store_signed(field->kind, at, value);
    }
    uint64_t value;
    return pb_decode_varint(&input->in, &value) && store_unsigned(field->kind, at, value);
}

static bool store_view(const struct pb_field *field, uint8_t *at, struct bytes view)
{
    if (field->kind == PB_VIEW) {
        *(struct bytes *)at = view;
        return true;
    }
    if (field->kind != PB_UUID) {
        *(struct str *)at = (struct str){(const char *)view.p, view.len};
        return true;
    }
    if (view.len != UUID_BYTES && view.len != 0)
        return false;
    memset(at, 0, UUID_BYTES);
    memcpy(at, view.p, (size_t)view.len);
    return true;
}

/* --- arrays: counted in a first pass over the message, then allocated, then filled --- */

static uint32_t count_varints(struct bytes view)
{
    uint32_t count = 0;
    for (int32_t i = 0; i < view.len; i++)
        count += view.p[i] < 0x80;
    return count;
}

static enum err count_elements(struct input input, const struct pb_table *table, uint32_t *counts)
{
    pb_wire_type_t type;
    uint32_t number;
    enum step step;
    while ((step = next_key(&input, &type, &number)) == STEP_FIELD) {
        const struct pb_field *field = find_field(table, number);
        if (!field || !is_array(field) || type != PB_WT_STRING) {
            if (field && is_array(field))
                counts[field - table->fields]++; /* an element that is not packed */
            if (!pb_skip_field(&input.in, type))
                return ERR_MALFORMED;
            continue;
        }
        struct bytes view;
        if (!read_view(&input, &view))
            return ERR_MALFORMED;
        counts[field - table->fields] += field->kind == PB_MSG_ARRAY ? 1 : count_varints(view);
    }
    return step == STEP_DONE ? OK : ERR_MALFORMED;
}

static size_t element_size(const struct pb_field *field)
{
    if (field->kind == PB_MSG_ARRAY)
        return field->sub->size_bytes;
    return field->kind == PB_I32_ARRAY ? sizeof(int32_t) : sizeof(int64_t);
}

/* Two arrays that share a counter must agree. */
static enum err allocate_arrays(const struct pb_table *table, const uint32_t *counts, struct arena *arena,
                                uint8_t *object)
{
    for (size_t i = 0; i < table->fields_count; i++) {
        const struct pb_field *field = &table->fields[i];
        if (!is_array(field))
            continue;
        if (field->count_max > 0 && counts[i] > field->count_max)
            return ERR_TOO_LARGE;
        if (i > 0 && is_array(&table->fields[i - 1]) &&
            table->fields[i - 1].count_offset == field->count_offset && counts[i - 1] != counts[i])
            return ERR_MALFORMED;
        *(int32_t *)(object + field->count_offset) = (int32_t)counts[i];
        if (counts[i] == 0)
            continue;
        void *array = arena_calloc(arena, counts[i], element_size(field));
        if (!array)
            return ERR_NOMEM;
        *(void **)(object + field->offset) = array;
    }
    return OK;
}

static bool fill_packed(struct bytes view, const struct pb_field *field, void *array, uint32_t *filled)
{
    struct input input = input_over(view.p, (size_t)view.len);
    while (input.in.bytes_left > 0) {
        int64_t value;
        enum pb_kind kind = field->kind == PB_I32_ARRAY ? PB_I32 : PB_I64;
        uint8_t *at = (uint8_t *)array + *filled * element_size(field);
        if (!pb_decode_svarint(&input.in, &value) || !store_signed(kind, at, value))
            return false;
        (*filled)++;
    }
    return true;
}

static bool fill_single(struct input *input, const struct pb_field *field, void *array, uint32_t *filled)
{
    int64_t value;
    enum pb_kind kind = field->kind == PB_I32_ARRAY ? PB_I32 : PB_I64;
    uint8_t *at = (uint8_t *)array + *filled * element_size(field);
    if (!pb_decode_svarint(&input->in, &value) || !store_signed(kind, at, value))
        return false;
    (*filled)++;
    return true;
}

static enum err fill_array(struct input *input, const struct pb_field *field, pb_wire_type_t type,
                           struct arena *arena, uint8_t *object, uint32_t *filled)
{
    void *array = *(void **)(object + field->offset);
    if (type == PB_WT_VARINT && field->kind != PB_MSG_ARRAY)
        return fill_single(input, field, array, filled) ? OK : ERR_MALFORMED;
    struct bytes view;
    if (type != PB_WT_STRING || !read_view(input, &view))
        return ERR_MALFORMED;
    if (field->kind != PB_MSG_ARRAY)
        return fill_packed(view, field, array, filled) ? OK : ERR_MALFORMED;
    uint8_t *at = (uint8_t *)array + (*filled)++ * field->sub->size_bytes;
    return pb_table_read(view.p, (size_t)view.len, arena, field->sub, at);
}

static enum err read_field(struct input *input, const struct pb_field *field, pb_wire_type_t type,
                           struct arena *arena, uint8_t *object, uint32_t *filled)
{
    if (is_array(field))
        return fill_array(input, field, type, arena, object, filled);
    if (expects_varint(field))
        return type == PB_WT_VARINT && read_number(input, field, object + field->offset) ? OK : ERR_MALFORMED;
    struct bytes view;
    if (type != PB_WT_STRING || !read_view(input, &view))
        return ERR_MALFORMED;
    return store_view(field, object + field->offset, view) ? OK : ERR_MALFORMED;
}

static void set_defaults(const struct pb_table *table, uint8_t *object)
{
    memset(object, 0, table->size_bytes);
    for (size_t i = 0; i < table->fields_count; i++) {
        uint8_t *at = object + table->fields[i].offset;
        if (table->fields[i].kind == PB_STR)
            *(struct str *)at = STR_LIT("");
        else if (table->fields[i].kind == PB_STR_NULLABLE)
            *(struct str *)at = STR_NULL;
        else if (table->fields[i].kind == PB_VIEW)
            *(struct bytes *)at = (struct bytes){(const uint8_t *)"", 0};
    }
}

static bool has_arrays(const struct pb_table *table)
{
    for (size_t i = 0; i < table->fields_count; i++) {
        if (is_array(&table->fields[i]))
            return true;
    }
    return false;
}

enum err pb_table_read(const uint8_t *p, size_t len, struct arena *arena, const struct pb_table *table,
                       void *object)
{
    ASSERT(table->fields_count <= PB_TABLE_FIELDS_MAX);
    uint32_t counts[PB_TABLE_FIELDS_MAX] = {0}, filled[PB_TABLE_FIELDS_MAX] = {0};
    struct input input = input_over(p, len);
    set_defaults(table, object);
    if (has_arrays(table)) {
        enum err err = count_elements(input, table, counts);
        if (err == OK)
            err = allocate_arrays(table, counts, arena, object);
        if (err != OK)
            return err;
    }
    pb_wire_type_t type;
    uint32_t number;
    enum step step;
    while ((step = next_key(&input, &type, &number)) == STEP_FIELD) {
        const struct pb_field *field = find_field(table, number);
        if (!field && !pb_skip_field(&input.in, type))
            return ERR_MALFORMED;
        enum err err =
            field ? read_field(&input, field, type, arena, object, &filled[field - table->fields]) : OK;
        if (err != OK)
            return err;
    }
    return step == STEP_DONE ? OK : ERR_MALFORMED;
}

enum err pb_read_envelope(const uint8_t *p, size_t len, uint32_t *ret_number, struct bytes *ret_body)
{
    struct input input = input_over(p, len);
    uint32_t found = 0;
    struct bytes body = {(const uint8_t *)"", 0};
    pb_wire_type_t type;
    uint32_t number;
    enum step step;
    while ((step = next_key(&input, &type, &number)) == STEP_FIELD) {
        if (type != PB_WT_STRING) {
            if (!pb_skip_field(&input.in, type))
                return ERR_MALFORMED;
        } else if (read_view(&input, &body)) {
            found = number;
        } else {
            return ERR_MALFORMED;
        }
    }
    if (step == STEP_BAD)
        return ERR_MALFORMED;
    *ret_number = found;
    *ret_body = body;
    return OK;
}
