/* SPDX-License-Identifier: Apache-2.0 */
/* The sparse indexes of a segment, in Kafka's file formats. They are caches: what does not fit the log is
 * dropped and rebuilt. */
#include <stdlib.h>

#include "broker/log/plog_internal.h"
#include "common/base/assert.h"
#include "common/base/wire.h"

#define FLUSH_ENTRIES   64 /* entries are written to the files in groups of at least this many */
#define INDEX_BYTES_MAX (64u << 20)
#define LOOKUP_BLOCK    128u /* entries that a search in a file reads at once */
#define GUESSES_MAX     2

/* -- memory -- */

static enum err grow(void **array, uint32_t *cap, uint32_t need, size_t entry_size)
{
    if (need <= *cap)
        return OK;
    uint32_t next = *cap ? *cap * 2 : 16;
    next = MAX(next, need);
    void *grown = realloc(*array, next * entry_size);
    if (grown == NULL)
        return ERR_NOMEM;
    *array = grown;
    *cap = next;
    return OK;
}

enum err plog_index_reserve(struct plog_segment *seg, uint32_t entries)
{
    struct plog_index *index = &seg->index;
    enum err err = grow((void **)&index->offsets, &index->offsets_cap, index->offsets_count + entries,
                        sizeof(*index->offsets));
    return err ? err
               : grow((void **)&index->times, &index->times_cap, index->times_count + entries,
                      sizeof(*index->times));
}

/* Kafka's maybeAppend: only when the time has moved on. */
static void add_time(struct plog_segment *seg)
{
    struct plog_index *index = &seg->index;
    if (seg->max_timestamp < 0)
        return;
    if (index->times_count > 0 && index->times[index->times_count - 1].timestamp >= seg->max_timestamp)
        return;
    ASSERT(index->times_count < index->times_cap);
    index->times[index->times_count++] =
        (struct time_entry){seg->max_timestamp, (uint32_t)(seg->max_timestamp_offset - seg->base_offset)};
}

void plog_index_batch(struct plog *log, struct plog_segment *seg, const struct batch_header *batch,
                      uint32_t position)
{
    struct plog_index *index = &seg->index;
    ASSERT(index->in_memory);
    if (batch->max_timestamp > seg->max_timestamp) {
        seg->max_timestamp = batch->max_timestamp;
        seg->max_timestamp_offset = batch->last_offset;
    }
    if (seg->since_index > (uint32_t)log->config.index_interval_bytes) {
        ASSERT(index->offsets_count < index->offsets_cap);
        index->offsets[index->offsets_count++] =
            (struct offset_entry){(uint32_t)(batch->last_offset - seg->base_offset), position};
        add_time(seg);
        seg->since_index = 0;
    }
    seg->since_index += (uint32_t)batch->size_bytes;
}

/* -- files -- */

static enum err open_file(struct plog *log, struct plog_segment *seg, const char *suffix, int flags,
                          struct env_file **file)
{
    char path[PLOG_PATH_MAX];
    if (*file != NULL)
        return OK;
    enum err err = plog_handles_use(log, seg);
    if (err)
        return err;
    plog_path(log, seg->base_offset, suffix, path);
    return plog_handles_open(log, path, flags, file);
}

static enum err open_both(struct plog *log, struct plog_segment *seg)
{
    int flags = ENV_OPEN_WRITE | ENV_OPEN_CREATE;
    enum err err = open_file(log, seg, ".index", flags, &seg->index.offset_file);
    return err ? err : open_file(log, seg, ".timeindex", flags, &seg->index.time_file);
}

static enum err write_entries(struct env_file *file, uint64_t at, const uint8_t *p, size_t len)
{
    struct iovec iov = {(void *)(uintptr_t)p, len};
    return env_file_write(file, at, &iov, 1);
}

static enum err flush_offsets(struct plog_index *index)
{
    uint8_t buf[FLUSH_ENTRIES * OFFSET_ENTRY];
    while (index->offsets_flushed < index->offsets_count) {
        uint32_t n = MIN(index->offsets_count - index->offsets_flushed, FLUSH_ENTRIES);
        for (uint32_t i = 0; i < n; i++) {
            offset_entry_store(buf + i * OFFSET_ENTRY, index->offsets[index->offsets_flushed + i]);
        }
        enum err err = write_entries(index->offset_file, (uint64_t)index->offsets_flushed * OFFSET_ENTRY, buf,
                                     (size_t)n * OFFSET_ENTRY);
        if (err)
            return err;
        index->offsets_flushed += n;
    }
    return OK;
}

static enum err flush_times(struct plog_index *index)
{
    uint8_t buf[FLUSH_ENTRIES * TIME_ENTRY];
    while (index->times_flushed < index->times_count) {
        uint32_t n = MIN(index->times_count - index->times_flushed, FLUSH_ENTRIES);
        for (uint32_t i = 0; i < n; i++) {
            time_entry_store(buf + i * TIME_ENTRY, index->times[index->times_flushed + i]);
        }
        enum err err = write_entries(index->time_file, (uint64_t)index->times_flushed * TIME_ENTRY, buf,
                                     (size_t)n * TIME_ENTRY);
        if (err)
            return err;
        index->times_flushed += n;
    }
    return OK;
}

/* What lies behind the entries that memory knows is not to be believed. */
static enum err trim_files(struct plog_index *index)
{
    enum err err = env_file_truncate(index->offset_file, (uint64_t)index->offsets_flushed * OFFSET_ENTRY);
    if (err == OK)
        err = env_file_truncate(index->time_file, (uint64_t)index->times_flushed * TIME_ENTRY);
    index->trim = err != OK;
    return err;
}

/* final: also the last time entry, as at a roll or a clean stop. */
enum err plog_index_flush(struct plog *log, struct plog_segment *seg, bool final)
{
    struct plog_index *index = &seg->index;
    ASSERT(index->in_memory);
    if (!final && index->offsets_count - index->offsets_flushed < FLUSH_ENTRIES)
        return OK;
    enum err err = final ? plog_index_reserve(seg, 1) : OK;
    if (err)
        return err;
    if (final)
        add_time(seg);
    err = open_both(log, seg);
    if (err == OK && index->trim)
        err = trim_files(index);
    if (err == OK)
        err = flush_offsets(index);
    return err ? err : flush_times(index);
}

enum err plog_index_rewrite(struct plog *log, struct plog_segment *seg)
{
    struct plog_index *index = &seg->index;
    enum err err = open_both(log, seg);
    index->offsets_flushed = index->times_flushed = 0;
    index->trim = true;
    return err ? err : plog_index_flush(log, seg, true);
}

void plog_index_drop(struct plog_segment *seg)
{
    struct plog_index *index = &seg->index;
    bool trusted = index->trusted;
    free(index->offsets);
    free(index->times);
    if (index->offset_file)
        env_file_close(index->offset_file);
    if (index->time_file)
        env_file_close(index->time_file);
    *index = (struct plog_index){.trusted = trusted};
}

/* -- loading and cutting -- */

static void take_offsets(struct plog_segment *seg, const uint8_t *p, uint32_t len, int64_t max_offset,
                         uint32_t max_position)
{
    struct plog_index *index = &seg->index;
    for (uint32_t i = 0; i + OFFSET_ENTRY <= len; i += OFFSET_ENTRY) {
        struct offset_entry e = offset_entry_load(p + i);
        const struct offset_entry *last =
            index->offsets_count ? &index->offsets[index->offsets_count - 1] : NULL;
        if (last && (e.delta <= last->delta || e.position <= last->position))
            return;
        if (e.position == 0 || e.position >= max_position || seg->base_offset + e.delta > max_offset)
            return;
        index->offsets[index->offsets_count++] = e;
    }
}

/* Time entries are kept as far as they speak of offsets that the offset index covers. */
static void take_times(struct plog_segment *seg, const uint8_t *p, uint32_t len)
{
    struct plog_index *index = &seg->index;
    uint32_t covered = index->offsets_count ? index->offsets[index->offsets_count - 1].delta : 0;
    for (uint32_t i = 0; i + TIME_ENTRY <= len && index->offsets_count > 0; i += TIME_ENTRY) {
        struct time_entry e = time_entry_load(p + i);
        const struct time_entry *last = index->times_count ? &index->times[index->times_count - 1] : NULL;
        if (e.timestamp < 0 || e.delta > covered)
            return;
        if (last && (e.timestamp <= last->timestamp || e.delta <= last->delta))
            return;
        index->times[index->times_count++] = e;
    }
}

static enum err load_file(struct plog *log, struct plog_segment *seg, const char *suffix, uint8_t **ret_p,
                          uint32_t *ret_len)
{
    char path[PLOG_PATH_MAX];
    plog_path(log, seg->base_offset, suffix, path);
    *ret_p = NULL;
    *ret_len = 0;
    enum err err = log_file_load(log->env, path, INDEX_BYTES_MAX, ret_p, ret_len);
    return err == ERR_NOT_FOUND || err == ERR_TOO_LARGE ? OK : err;
}

enum err plog_index_load(struct plog *log, struct plog_segment *seg, int64_t max_offset,
                         uint32_t max_position)
{
    uint8_t *offsets = NULL, *times = NULL;
    uint32_t offsets_len, times_len;
    plog_index_drop(seg);
    enum err err = load_file(log, seg, ".index", &offsets, &offsets_len);
    if (err == OK)
        err = load_file(log, seg, ".timeindex", &times, &times_len);
    if (err == OK)
        err = plog_index_reserve(seg, MAX(offsets_len / OFFSET_ENTRY, times_len / TIME_ENTRY) + 1);
    if (err == OK) {
        take_offsets(seg, offsets, offsets_len, max_offset, max_position);
        take_times(seg, times, times_len);
        seg->index.in_memory = seg->index.trim = true;
        seg->index.offsets_flushed = seg->index.offsets_count;
        seg->index.times_flushed = seg->index.times_count;
    }
    free(offsets);
    free(times);
    return err;
}

void plog_index_truncate(struct plog_segment *seg, int64_t end_offset, uint32_t size)
{
    struct plog_index *index = &seg->index;
    ASSERT(index->in_memory);
    while (index->offsets_count > 0) {
        const struct offset_entry *e = &index->offsets[index->offsets_count - 1];
        if (e->position < size && seg->base_offset + e->delta < end_offset)
            break;
        index->offsets_count--;
    }
    uint32_t covered = index->offsets_count ? index->offsets[index->offsets_count - 1].delta : 0;
    while (index->times_count > 0 &&
           (index->offsets_count == 0 || index->times[index->times_count - 1].delta > covered))
        index->times_count--;
    index->offsets_flushed = MIN(index->offsets_flushed, index->offsets_count);
    index->times_flushed = MIN(index->times_flushed, index->times_count);
    index->trim = true;
}

/* -- lookup -- */

static enum err offset_at(struct plog_index *index, uint32_t i, struct offset_entry *ret)
{
    uint8_t raw[OFFSET_ENTRY];
    size_t got = 0;
    if (index->in_memory) {
        *ret = index->offsets[i];
        return OK;
    }
    enum err err = env_file_read(index->offset_file, (uint64_t)i * OFFSET_ENTRY, raw, sizeof(raw), &got);
    if (err)
        return err;
    *ret = offset_entry_load(raw);
    return got == sizeof(raw) ? OK : ERR_CORRUPT;
}

static enum err time_at(struct plog_index *index, uint32_t i, struct time_entry *ret)
{
    uint8_t raw[TIME_ENTRY];
    size_t got = 0;
    if (index->in_memory) {
        *ret = index->times[i];
        return OK;
    }
    enum err err = env_file_read(index->time_file, (uint64_t)i * TIME_ENTRY, raw, sizeof(raw), &got);
    if (err)
        return err;
    *ret = time_entry_load(raw);
    return got == sizeof(raw) ? OK : ERR_CORRUPT;
}

/* Opens a closed segment's index files; rebuilds them when one is missing or cannot be one. */
static enum err ready(struct plog *log, struct plog_segment *seg, uint32_t *ret_offsets, uint32_t *ret_times)
{
    struct plog_index *index = &seg->index;
    uint64_t offsets = 1, times = 1;
    *ret_offsets = index->offsets_count;
    *ret_times = index->times_count;
    if (index->in_memory)
        return OK;
    for (int tries = 0; tries < 2; tries++) {
        enum err err = open_file(log, seg, ".index", ENV_OPEN_READ, &index->offset_file);
        if (err == OK)
            err = open_file(log, seg, ".timeindex", ENV_OPEN_READ, &index->time_file);
        if (err == OK)
            err = env_file_size(index->offset_file, &offsets);
        if (err == OK)
            err = env_file_size(index->time_file, &times);
        if (err == OK && offsets % OFFSET_ENTRY == 0 && times % TIME_ENTRY == 0)
            break;
        if (err && err != ERR_NOT_FOUND)
            return err;
        err = plog_rebuild_index(log, seg);
        if (err)
            return err;
    }
    *ret_offsets = (uint32_t)(offsets / OFFSET_ENTRY);
    *ret_times = (uint32_t)(times / TIME_ENTRY);
    return OK;
}

/* What the entry that is looked for has: its position is at most max_position, its offset at most max_offset.
 */
struct wanted {
    uint32_t max_position;
    int64_t max_offset;
};

static bool fits(const struct plog_segment *seg, struct offset_entry e, const struct wanted *wanted)
{
    return e.position <= wanted->max_position && seg->base_offset + e.delta <= wanted->max_offset;
}

/* Entries [first, first + LOOKUP_BLOCK) of the file, as far as they are there. */
static enum err read_block(struct plog_index *index, uint32_t first, uint32_t count, uint8_t *raw)
{
    size_t want = (size_t)count * OFFSET_ENTRY, got = 0;
    enum err err = env_file_read(index->offset_file, (uint64_t)first * OFFSET_ENTRY, raw, want, &got);
    return err == OK && got < want ? ERR_CORRUPT : err;
}

static struct offset_entry entry_of(const uint8_t *raw, uint32_t i)
{
    return offset_entry_load(raw + (size_t)i * OFFSET_ENTRY);
}

static void search_block(const struct plog_segment *seg, const uint8_t *raw, uint32_t count,
                         const struct wanted *wanted, struct offset_entry *best)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        struct offset_entry e = entry_of(raw, mid);
        if (fits(seg, e, wanted)) {
            *best = e;
            low = mid + 1;
        } else {
            high = mid;
        }
    }
}

/* A guess at the entry's place, from where offsets and positions would be if all entries were alike. */
static uint32_t guess(const struct plog_segment *seg, uint32_t low, struct offset_entry at_low, uint32_t high,
                      const struct offset_entry *at_high, const struct wanted *wanted)
{
    int64_t span = (int64_t)at_high->delta - at_low.delta,
            bytes = (int64_t)at_high->position - at_low.position;
    int64_t by_offset = high, by_position = high;
    if (span > 0 && wanted->max_offset - seg->base_offset < at_high->delta)
        by_offset = low + (wanted->max_offset - seg->base_offset - at_low.delta) * (high - low) / span;
    if (bytes > 0 && wanted->max_position < at_high->position)
        by_position = low + ((int64_t)wanted->max_position - at_low.position) * (high - low) / bytes;
    return (uint32_t)MIN(MAX(MIN(by_offset, by_position), low), high - 1);
}

/* In the file, block by block: the first by a guess, after that by halves. Few system calls, whatever the
 * size. Entries before `low` fit, those from `high` on do not. */
static enum err search_file(struct plog_segment *seg, uint32_t count, const struct wanted *wanted,
                            struct offset_entry *best)
{
    uint8_t raw[LOOKUP_BLOCK * OFFSET_ENTRY];
    uint32_t low = 0, high = count, at;
    struct offset_entry last;
    enum err err = offset_at(&seg->index, count - 1, &last);
    for (int tries = 0; err == OK && low < high; tries++) {
        at = tries < GUESSES_MAX ? guess(seg, low, *best, high, &last, wanted) : low + (high - low) / 2;
        at = at > LOOKUP_BLOCK / 2 ? MAX(at - LOOKUP_BLOCK / 2, low) : low;
        uint32_t n = MIN(LOOKUP_BLOCK, high - at);
        err = read_block(&seg->index, at, n, raw);
        if (err)
            break;
        if (!fits(seg, entry_of(raw, 0), wanted)) {
            high = at;
            last = entry_of(raw, 0);
            continue;
        }
        search_block(seg, raw, n, wanted, best);
        low = at + n;
        if (!fits(seg, entry_of(raw, n - 1), wanted))
            break; /* it lies in this block */
    }
    return err;
}

/* How many entries fit: the last of them is the wanted one. */
static uint32_t search_memory(const struct plog_segment *seg, const struct wanted *wanted)
{
    uint32_t low = 0, high = seg->index.offsets_count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (fits(seg, seg->index.offsets[mid], wanted))
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static enum err find_entry(struct plog *log, struct plog_segment *seg, const struct wanted *wanted,
                           struct offset_entry *ret)
{
    uint32_t count, times;
    *ret = (struct offset_entry){0, 0};
    enum err err = ready(log, seg, &count, &times);
    if (err || count == 0)
        return err;
    if (!seg->index.in_memory)
        return search_file(seg, count, wanted, ret);
    uint32_t fitting = search_memory(seg, wanted);
    if (fitting > 0)
        *ret = seg->index.offsets[fitting - 1];
    return OK;
}

void plog_index_forget(struct plog_segment *seg, int64_t offset)
{
    struct plog_index *index = &seg->index;
    ASSERT(index->in_memory);
    uint32_t fitting = search_memory(seg, &(struct wanted){.max_position = UINT32_MAX, .max_offset = offset});
    if (fitting == 0)
        return;
    index->offsets_count--;
    for (uint32_t i = fitting - 1; i < index->offsets_count; i++)
        index->offsets[i] = index->offsets[i + 1];
    index->offsets_flushed = MIN(index->offsets_flushed, fitting - 1);
    index->trim = true;
}

enum err plog_index_check(struct plog *log, struct plog_segment *seg, uint32_t position, int64_t last)
{
    struct plog_walk walk;
    struct batch_header batch;
    enum err err = plog_walk_begin(&walk, log, seg, position, true);
    if (err == OK)
        err = plog_walk_next(&walk, &batch, NULL);
    plog_walk_end(&walk);
    if (err == OK && batch.last_offset != last)
        err = ERR_CORRUPT;
    return err == ERR_TRUNCATED ? ERR_CORRUPT : err;
}

enum err plog_index_lookup(struct plog *log, struct plog_segment *seg, int64_t offset, uint32_t *ret_position)
{
    struct wanted wanted = {.max_position = UINT32_MAX, .max_offset = offset};
    struct offset_entry e;
    enum err err = find_entry(log, seg, &wanted, &e);
    if (err == OK)
        *ret_position = e.position < seg->size ? e.position : 0;
    return err;
}

enum err plog_index_entry(struct plog *log, struct plog_segment *seg, int64_t offset, uint32_t *ret_position,
                          int64_t *ret_last)
{
    struct wanted wanted = {.max_position = UINT32_MAX, .max_offset = offset};
    struct offset_entry e;
    enum err err = find_entry(log, seg, &wanted, &e);
    if (err)
        return err;
    *ret_position = e.position < seg->size ? e.position : 0;
    *ret_last = seg->base_offset + (int64_t)e.delta;
    return OK;
}

enum err plog_index_bound(struct plog *log, struct plog_segment *seg, uint32_t max_position,
                          int64_t end_offset, uint32_t *ret_position)
{
    struct wanted wanted = {.max_position = max_position, .max_offset = end_offset - 1};
    struct offset_entry e;
    enum err err = find_entry(log, seg, &wanted, &e);
    if (err == OK)
        *ret_position = e.position < seg->size ? e.position : 0;
    return err;
}

enum err plog_index_files(struct plog *log, struct plog_segment *seg, struct env_file **ret_file,
                          uint32_t *ret_bytes)
{
    uint32_t offsets, times;
    *ret_file = NULL;
    if (seg->index.in_memory)
        return OK;
    enum err err = ready(log, seg, &offsets, &times);
    if (err == OK && offsets > 0) {
        *ret_file = seg->index.offset_file;
        *ret_bytes = offsets * OFFSET_ENTRY;
    }
    return err;
}

bool plog_index_time(struct plog *log, struct plog_segment *seg, int64_t timestamp,
                     struct time_entry *ret_entry)
{
    uint32_t low = 0, high, offsets;
    struct time_entry e;
    bool found = false;
    if (ready(log, seg, &offsets, &high) != OK)
        return false;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (time_at(&seg->index, mid, &e) != OK)
            return false;
        if (e.timestamp < timestamp) {
            *ret_entry = e;
            found = true;
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return found;
}
