/* SPDX-License-Identifier: Apache-2.0 */
/* Reads what SchemaDump.java had Kafka's classes encode: our decoder must take it all, our encoder must give
 * the same bytes again. For the skeleton entries our own defaults must encode to the same bytes as Kafka's.
 * Exit code 0 only when every entry matched. */
#include "common/base/assert.h"
#include "proto/kafka/messages.h"
#include "proto/kafka/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BYTES  (8u << 20)
#define SHOWN_MAX    20
#define HEADER_BYTES 9
/* Added to 0 request, 1 response. */
#define KIND_SKELETON 2
#define KIND_POKED    4

struct entry {
    int16_t key, version;
    bool is_request, is_skeleton;
    int32_t poke; /* the field set although the version lacks it, or -1 */
    bool refused; /* Kafka does not encode it */
    const uint8_t *p;
    size_t len;
};

struct tally {
    unsigned decoded, skeletons, poked, refused, failed;
    bool seen[256][32][2]; /* key, version, request */
};

static void complain(struct tally *tally, const struct entry *e, const char *name, const char *what)
{
    if (tally->failed++ >= SHOWN_MAX)
        return;
    fprintf(stderr, "%s v%d: %s\n  ", name, e->version, what);
    for (size_t i = 0; i < e->len && i < 200; i++)
        fprintf(stderr, "%02x", e->p[i]);
    fprintf(stderr, "\n");
}

static bool same_bytes(const struct writer *w, const struct entry *e)
{
    return w->err == OK && writer_pos(w) == e->len &&
           (e->len == 0 || memcmp(w->buf->data, e->p, e->len) == 0);
}

static const char *check_decode(const struct kafka_message_type *type, const struct entry *e,
                                struct arena *arena, struct writer *w)
{
    void *message = arena_alloc(arena, type->size);
    struct reader r = reader_over(e->p, e->len);
    if (type->decode(&r, arena, e->version, message) != OK)
        return "does not decode";
    if (reader_left(&r) != 0)
        return "bytes left over";
    type->encode(w, e->version, message);
    return same_bytes(w, e) ? NULL : "encodes to other bytes";
}

static const char *check_skeleton(const struct kafka_message_type *type, const struct entry *e,
                                  struct arena *arena, struct writer *w)
{
    struct kafka_random x = {.arena = arena, .skeleton = true, .poke = e->poke};
    void *message = arena_calloc(arena, 1, type->size);
    kafka_message_random[type - kafka_message_types](&x, e->version, message);
    type->encode(w, e->version, message);
    if (e->poke >= 0 && !x.poked)
        return "Kafka knows a further field that this version lacks";
    if (e->refused)
        return w->err == ERR_INVALID ? NULL : "encodes a field that Kafka refuses in this version";
    return same_bytes(w, e) ? NULL : "defaults encode to other bytes";
}

static void check(struct tally *tally, const struct entry *e)
{
    const struct kafka_message_type *type = kafka_message_type(e->key, e->is_request);
    if (!type || e->version < type->min || e->version > type->max) {
        complain(tally, e, kafka_api_name(e->key), "no schema for this version");
        return;
    }
    struct arena arena;
    struct writer w;
    for (int pass = e->refused ? 1 : 0; pass < (e->is_skeleton ? 2 : 1); pass++) {
        arena_init(&arena, NULL, 0, ARENA_BYTES);
        writer_init(&w, NULL, 256, ARENA_BYTES);
        const char *what = (pass ? check_skeleton : check_decode)(type, e, &arena, &w);
        if (what)
            complain(tally, e, type->name, what);
        writer_free(&w);
        arena_free(&arena);
    }
    tally->decoded++;
    tally->skeletons += e->is_skeleton && e->poke < 0;
    tally->poked += e->poke >= 0;
    tally->refused += e->refused;
    tally->seen[e->key][e->version][e->is_request] = true;
}

static uint8_t *read_all(const char *path, size_t *ret_size)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0)
        return NULL;
    long size = ftell(file);
    rewind(file);
    uint8_t *data = size > 0 ? malloc((size_t)size) : NULL;
    if (data && fread(data, 1, (size_t)size, file) != (size_t)size) {
        free(data);
        data = NULL;
    }
    fclose(file);
    *ret_size = (size_t)MAX(size, 0);
    return data;
}

static bool next_entry(struct reader *r, struct entry *ret)
{
    if (reader_left(r) < HEADER_BYTES)
        return false;
    ret->key = reader_i16(r);
    ret->version = reader_i16(r);
    int8_t kind = reader_i8(r);
    ret->is_request = kind % KIND_SKELETON == 0;
    ret->is_skeleton = kind >= KIND_SKELETON;
    ret->poke = kind >= KIND_POKED ? reader_i16(r) : -1;
    int32_t len = reader_i32(r);
    ret->refused = len < 0;
    ret->len = (size_t)MAX(len, 0);
    ret->p = reader_raw(r, ret->len);
    return r->err == OK && ret->key >= 0 && ret->key < 256 && ret->version >= 0 && ret->version < 32;
}

/* A version that Kafka's classes never produced would go unproved. */
static unsigned count_missing(const struct tally *tally, unsigned *ret_pairs)
{
    unsigned missing = 0;
    *ret_pairs = 0;
    for (size_t i = 0; i < kafka_message_types_count; i++) {
        const struct kafka_message_type *type = &kafka_message_types[i];
        for (int16_t version = type->min; version <= type->max; version++) {
            ++*ret_pairs;
            if (tally->seen[type->key][version][type->is_request])
                continue;
            fprintf(stderr, "%s v%d: not in the file\n", type->name, version);
            missing++;
        }
    }
    return missing;
}

int main(int argc, char **argv)
{
    size_t size = 0;
    uint8_t *data = argc == 2 ? read_all(argv[1], &size) : NULL;
    if (!data) {
        fprintf(stderr, "usage: kafka_schema_check <file written by SchemaDump>\n");
        return 2;
    }
    static struct tally tally;
    struct reader r = reader_over(data, size);
    struct entry entry;
    while (next_entry(&r, &entry))
        check(&tally, &entry);
    bool whole = r.err == OK && reader_left(&r) == 0;
    unsigned pairs, missing = count_missing(&tally, &pairs);
    printf("%u messages of %u message versions (%u skeletons; %u with a field the version lacks, %u of them "
           "refused): "
           "%u failed, %u versions missing%s\n",
           tally.decoded, pairs, tally.skeletons, tally.poked, tally.refused, tally.failed, missing,
           whole ? "" : ", file cut short");
    free(data);
    return tally.decoded > 0 && tally.failed == 0 && missing == 0 && whole ? 0 : 1;
}
