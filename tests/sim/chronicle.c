/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/chronicle.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "tests/sim/world/sim_heap.h"

#define FIRST_BYTES (1u << 20)

void chronicle_init(struct chronicle *chronicle, uint64_t seed)
{
    uint8_t *bytes = malloc(FIRST_BYTES);
    ASSERT(bytes != NULL);
    chronicle->header = (struct history_header){.client = 0, .seed = seed};
    history_writer_init(&chronicle->writer, bytes, FIRST_BYTES, &chronicle->header);
}

void chronicle_free(struct chronicle *chronicle)
{
    free(chronicle->writer.bytes);
    chronicle->writer = (struct history_writer){0};
}

static void grow(struct history_writer *writer)
{
    int slot = sim_heap_enter(SIM_HEAP_HOST);
    writer->bytes = realloc(writer->bytes, writer->size * 2);
    ASSERT(writer->bytes != NULL);
    writer->size *= 2;
    sim_heap_enter(slot);
}

void chronicle_add(struct chronicle *chronicle, const struct history_record *record)
{
    if (chronicle->writer.size - chronicle->writer.used < HISTORY_RECORD_BYTES)
        grow(&chronicle->writer);
    bool fits = history_put(&chronicle->writer, record);
    ASSERT(fits);
}

enum err chronicle_save(const struct chronicle *chronicle, const char *path)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL)
        return ERR_IO;
    bool good = fwrite(chronicle->writer.bytes, 1, chronicle->writer.used, file) == chronicle->writer.used;
    return fclose(file) == 0 && good ? OK : ERR_IO;
}
