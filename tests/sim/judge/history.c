/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/judge/history.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"

#define MAGIC        "SLUICEH1"
#define NAMES_MAX    4096
#define PATH_MAX_LEN 4096

STATIC_ASSERT(sizeof(struct history_record) == 64, "the format of the files");
STATIC_ASSERT(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "records are written as they lie in memory");

struct file_header {
    char magic[8];
    uint32_t record_bytes;
    uint32_t client;
    uint8_t reserved[48];
};

STATIC_ASSERT(sizeof(struct file_header) == sizeof(struct history_record), "one record's size");

void history_init(struct history *history)
{
    *history = (struct history){.records = NULL};
}

void history_free(struct history *history)
{
    free(history->records);
    history_init(history);
}

void history_add(struct history *history, const struct history_record *record)
{
    if (history->count == history->cap) {
        history->cap = MAX((size_t)1024, history->cap * 2);
        history->records = realloc(history->records, history->cap * sizeof(*record));
        ASSERT(history->records != NULL);
    }
    history->records[history->count++] = *record;
}

static bool record_is_sane(const struct history_record *record)
{
    return record->type >= HIST_INVOKE && record->type <= HIST_INFO && record->op > 0 &&
           record->op < HIST_OP_COUNT;
}

static enum err load_records(struct history *history, FILE *file)
{
    struct file_header header;
    struct history_record record;
    if (fread(&header, sizeof(header), 1, file) != 1)
        return ferror(file) ? ERR_IO : ERR_MALFORMED;
    if (memcmp(header.magic, MAGIC, 8) != 0 || header.record_bytes != sizeof(record))
        return ERR_MALFORMED;
    for (;;) {
        size_t got = fread(&record, 1, sizeof(record), file);
        if (got == 0)
            return ferror(file) ? ERR_IO : OK;
        if (got < sizeof(record))
            return ERR_TRUNCATED;
        if (!record_is_sane(&record))
            return ERR_MALFORMED;
        history_add(history, &record);
    }
}

enum err history_load(struct history *history, const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return err_from_errno(errno);
    enum err err = load_records(history, file);
    fclose(file);
    return err;
}

enum err history_save(const struct history *history, size_t from, size_t to, uint32_t client,
                      const char *path)
{
    struct file_header header = {
        .magic = MAGIC, .record_bytes = sizeof(struct history_record), .client = client};
    FILE *file = fopen(path, "wb");
    if (file == NULL)
        return err_from_errno(errno);
    bool ok = fwrite(&header, sizeof(header), 1, file) == 1;
    if (to > from)
        ok = ok &&
             fwrite(&history->records[from], sizeof(struct history_record), to - from, file) == to - from;
    return fclose(file) == 0 && ok ? OK : ERR_IO;
}

static int names_order(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool name_is_history(const char *name)
{
    size_t len = strlen(name);
    return len > 5 && strcmp(name + len - 5, ".hist") == 0;
}

enum err history_load_dir(struct history *history, const char *path)
{
    char *names[NAMES_MAX], full[PATH_MAX_LEN];
    size_t count = 0;
    enum err err = OK;
    DIR *dir = opendir(path);
    if (dir == NULL)
        return err_from_errno(errno);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL && count < NAMES_MAX;)
        if (name_is_history(entry->d_name))
            names[count++] = strdup(entry->d_name);
    closedir(dir);
    qsort(names, count, sizeof(names[0]), names_order);
    for (size_t i = 0; i < count; i++) {
        snprintf(full, sizeof(full), "%s/%s", path, names[i]);
        if (err == OK)
            err = history_load(history, full);
        free(names[i]);
    }
    return err == OK && count == 0 ? ERR_NOT_FOUND : err;
}

char *history_format(const struct history_record *r, char *out, size_t size)
{
    static const char *const ops[HIST_OP_COUNT] = {
        "?",       "send", "poll",   "assign", "sample", "leader",  "term", "isr",     "isr-add",
        "replica", "span", "image",  "entry",  "commit", "fetched", "own",  "txn-end", "consumed",
        "write",   "read", "health", "queue",  "leak",   "fault",   "held"};
    static const char *const types[] = {"?", "invoke", "ok", "fail", "info"};
    snprintf(out, size,
             "%llu.%06llu p%u #%u %s %s key=%u offset=%lld value=%llx epoch=%d node=%d txn=%llx aux=%llx",
             (unsigned long long)(r->time_us / 1000000), (unsigned long long)(r->time_us % 1000000),
             r->process, r->op_id, ops[r->op], types[r->type], r->key, (long long)r->offset,
             (unsigned long long)r->value, r->epoch, r->node, (unsigned long long)r->txn,
             (unsigned long long)r->aux);
    return out;
}
