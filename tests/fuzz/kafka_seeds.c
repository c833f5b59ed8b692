/* SPDX-License-Identifier: Apache-2.0 */
/* Prints the first corpus of a Kafka fuzz target (requests, responses or frames): for each API and version a
 * skeleton and a random message. */
#include "proto/kafka/messages.h"
#include "proto/kafka/random.h"

#include "common/base/assert.h"

#include <stdio.h>
#include <string.h>

#define ELEMENTS_MAX 8

static void print_hex(const struct writer *w)
{
    for (size_t i = 0; i < writer_pos(w); i++)
        printf("%02x", w->buf->data[i]);
    printf("\n");
}

static void put_prefix(struct writer *w, const struct kafka_message_type *type, int16_t version,
                       bool is_frame)
{
    if (is_frame) {
        const struct kafka_request_header header = {type->key, version, 7, STR_LIT("seed")};
        kafka_request_header_encode(w, kafka_request_header_version(type->key, version), &header);
        return;
    }
    writer_i8(w, (int8_t)type->key);
    writer_i8(w, (int8_t)version);
}

static void print_seed(size_t index, int16_t version, bool is_skeleton, bool is_frame)
{
    const struct kafka_message_type *type = &kafka_message_types[index];
    struct arena arena;
    struct writer w;
    arena_init(&arena, NULL, 0, 1u << 20);
    writer_init(&w, NULL, 256, 1u << 20);
    struct kafka_random x = {
        .arena = &arena, .elements_left = ELEMENTS_MAX, .skeleton = is_skeleton, .poke = -1};
    prng_seed(&x.prng, index * 100 + (uint64_t)version);
    void *message = arena_calloc(&arena, 1, type->size);
    kafka_message_random[index](&x, version, message);
    put_prefix(&w, type, version, is_frame);
    type->encode(&w, version, message);
    ASSERT(w.err == OK);
    print_hex(&w);
    writer_free(&w);
    arena_free(&arena);
}

int main(int argc, char **argv)
{
    const char *kind = argc == 2 ? argv[1] : "";
    bool is_frame = strcmp(kind, "frames") == 0;
    bool is_request = is_frame || strcmp(kind, "requests") == 0;
    if (!is_request && strcmp(kind, "responses") != 0) {
        fprintf(stderr, "usage: kafka_seeds requests|responses|frames\n");
        return 2;
    }
    for (size_t i = 0; i < kafka_message_types_count; i++) {
        const struct kafka_message_type *type = &kafka_message_types[i];
        for (int16_t version = type->min; type->is_request == is_request && version <= type->max; version++) {
            print_seed(i, version, true, is_frame);
            print_seed(i, version, false, is_frame);
        }
    }
    return 0;
}
