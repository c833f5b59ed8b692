/* SPDX-License-Identifier: Apache-2.0 */
/* A small codec over nanopb's primitives, driven by tables: one row per field says its number in
 * cluster.proto, its C type and where it lives in the struct. It exists because our structs hold views and
 * arena arrays instead of nanopb's own types: decoding allocates only arrays, and only after counting the
 * elements that really arrived. Internal to proto/cluster; nanopb is included by pb_table.c alone. */
#ifndef SLUICE_PROTO_CLUSTER_PB_TABLE_H
#define SLUICE_PROTO_CLUSTER_PB_TABLE_H

#include "common/base/arena.h"
#include "common/base/types.h"
#include "common/base/wire.h"

#define PB_TABLE_FIELDS_MAX 16

enum pb_kind {
    PB_BOOL,
    PB_I8,
    PB_I16,
    PB_I32,
    PB_I64,
    PB_U16,
    PB_U32,
    PB_U64,
    PB_UUID,         /* 16 bytes; all zero is left out */
    PB_STR,          /* absent: empty */
    PB_STR_NULLABLE, /* absent: null */
    PB_VIEW,         /* bytes; absent: empty */
    PB_I32_ARRAY,    /* packed */
    PB_I64_ARRAY,    /* packed */
    PB_MSG_ARRAY,    /* repeated message */
};

struct pb_table;

struct pb_field {
    uint32_t number;
    enum pb_kind kind;
    size_t offset;       /* of the member, in the struct */
    size_t count_offset; /* arrays: of their int32_t count; two arrays may share one and must then be equally
                            long */
    uint32_t count_max;  /* arrays: 0 no limit but the bytes that arrived */
    const struct pb_table *sub; /* PB_MSG_ARRAY */
};

/* One message. Fields are in rising order of number, at most PB_TABLE_FIELDS_MAX. */
struct pb_table {
    size_t size_bytes; /* of the C struct */
    const struct pb_field *fields;
    size_t fields_count;
};

/* Appends the message (without length). Sticky error in w. */
void pb_table_write(struct writer *w, const struct pb_table *table, const void *object);

/* Bytes that pb_table_write() will append. */
size_t pb_table_size(const struct pb_table *table, const void *object);

/* Fills *object from exactly len bytes: views into p, arrays from arena. OK, ERR_MALFORMED, ERR_TOO_LARGE
 * (count_max), ERR_NOMEM; *object is unspecified on failure. Unknown fields are skipped. */
enum err pb_table_read(const uint8_t *p, size_t len, struct arena *arena, const struct pb_table *table,
                       void *object);

/* One `number: bytes` field after another, for envelopes (MetadataRecord): the key and length in front of a
 * nested message. */
void pb_write_envelope(struct writer *w, uint32_t number, size_t len);

/* Finds the last length-delimited field of a message: its number (0: the message is empty) and its bytes. */
enum err pb_read_envelope(const uint8_t *p, size_t len, uint32_t *ret_number, struct bytes *ret_body);

#define PB_FIELD(type, num, k, member)                                                                       \
    {                                                                                                        \
        .number = (num), .kind = (k), .offset = offsetof(type, member)                                       \
    }
#define PB_ARRAY(type, num, k, member, counter, max, table)                                                  \
    {                                                                                                        \
        .number = (num), .kind = (k), .offset = offsetof(type, member),                                      \
        .count_offset = offsetof(type, counter), .count_max = (max), .sub = (table)                          \
    }
#define PB_TABLE(type, rows)                                                                                 \
    {                                                                                                        \
        .size_bytes = sizeof(type), .fields = (rows), .fields_count = ARRAY_LEN(rows)                        \
    }

#endif
