/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/epoch_cache.h"

#include <string.h>

#include "common/base/assert.h"
#include "common/base/map.h"

#define ENTRY_TEXT_MAX 33 /* -2147483648, space, 20 digits of an offset, newline */
#define HEAD_TEXT_MAX  16

void epoch_cache_init(struct epoch_cache *cache, const struct core_alloc *alloc)
{
    ASSERT(alloc != NULL);
    *cache = (struct epoch_cache){.alloc = alloc};
}

void epoch_cache_free(struct epoch_cache *cache)
{
    cache->entries = core_resize(cache->alloc, cache->entries, cache->cap * sizeof(*cache->entries), 0);
    cache->count = cache->cap = 0;
}

void epoch_cache_clear(struct epoch_cache *cache)
{
    cache->count = 0;
}

enum err epoch_cache_reserve(struct epoch_cache *cache)
{
    ASSERT(cache->count <= cache->cap);
    if (cache->count < cache->cap)
        return OK;
    if (cache->cap >= EPOCH_CACHE_MAX)
        return ERR_FULL;
    uint32_t cap = cache->cap ? cache->cap * 2 : 4;
    void *grown = core_resize(cache->alloc, cache->entries, cache->cap * sizeof(*cache->entries),
                              cap * sizeof(*cache->entries));
    if (grown == NULL)
        return ERR_NOMEM;
    cache->entries = grown;
    cache->cap = cap;
    return OK;
}

static bool known(const struct epoch_cache *cache, int32_t epoch, int64_t start_offset)
{
    if (cache->count == 0)
        return false;
    const struct epoch_entry *last = &cache->entries[cache->count - 1];
    return last->epoch == epoch && last->start_offset <= start_offset;
}

enum err epoch_cache_assign(struct epoch_cache *cache, int32_t epoch, int64_t start_offset, bool *ret_changed)
{
    ASSERT(epoch >= 0);
    ASSERT(start_offset >= 0);
    bool changed = !known(cache, epoch, start_offset);
    if (changed) {
        enum err err = epoch_cache_reserve(cache);
        if (err)
            return err;
        while (cache->count > 0) {
            const struct epoch_entry *last = &cache->entries[cache->count - 1];
            if (last->epoch < epoch && last->start_offset < start_offset)
                break;
            cache->count--;
        }
        cache->entries[cache->count++] = (struct epoch_entry){epoch, start_offset};
    }
    if (ret_changed)
        *ret_changed = changed;
    return OK;
}

bool epoch_cache_truncate_end(struct epoch_cache *cache, int64_t end_offset)
{
    ASSERT(end_offset >= 0);
    uint32_t before = cache->count;
    while (cache->count > 0 && cache->entries[cache->count - 1].start_offset >= end_offset)
        cache->count--;
    return cache->count != before;
}

bool epoch_cache_truncate_start(struct epoch_cache *cache, int64_t start_offset)
{
    ASSERT(start_offset >= 0);
    uint32_t gone = 0;
    while (gone + 1 < cache->count && cache->entries[gone + 1].start_offset <= start_offset)
        gone++;
    if (gone > 0)
        memmove(cache->entries, cache->entries + gone, (cache->count - gone) * sizeof(*cache->entries));
    cache->count -= gone;
    if (cache->count == 0 || cache->entries[0].start_offset >= start_offset)
        return gone > 0;
    cache->entries[0].start_offset = start_offset;
    return true;
}

int32_t epoch_cache_latest(const struct epoch_cache *cache)
{
    return cache->count ? cache->entries[cache->count - 1].epoch : EPOCH_NONE;
}

int32_t epoch_cache_at(const struct epoch_cache *cache, int64_t offset)
{
    for (uint32_t i = cache->count; i > 0; i--)
        if (cache->entries[i - 1].start_offset <= offset)
            return cache->entries[i - 1].epoch;
    return EPOCH_NONE;
}

void epoch_cache_end(const struct epoch_cache *cache, int32_t epoch, int64_t log_end, int32_t *ret_epoch,
                     int64_t *ret_end_offset)
{
    int32_t latest = epoch_cache_latest(cache);
    *ret_epoch = EPOCH_NONE;
    *ret_end_offset = -1;
    if (epoch < 0 || cache->count == 0 || epoch > latest)
        return;
    if (epoch == latest) {
        *ret_epoch = epoch;
        *ret_end_offset = log_end;
        return;
    }
    uint32_t higher = cache->count - 1;
    while (higher > 0 && cache->entries[higher - 1].epoch > epoch)
        higher--;
    *ret_epoch = higher == 0 ? epoch : cache->entries[higher - 1].epoch;
    *ret_end_offset = cache->entries[higher].start_offset;
}

int64_t epoch_cache_divergence(const struct epoch_cache *cache, int32_t epoch, int64_t end_offset,
                               int64_t log_end)
{
    ASSERT(epoch >= 0);
    ASSERT(end_offset >= 0);
    int32_t own_epoch;
    int64_t own_end;
    epoch_cache_end(cache, epoch, log_end, &own_epoch, &own_end);
    if (own_epoch == EPOCH_NONE)
        return end_offset < log_end ? end_offset : log_end;
    if (own_epoch < epoch)
        return own_end < log_end ? own_end : log_end; /* ask again from there */
    int64_t end = own_end < end_offset ? own_end : end_offset;
    return end < log_end ? end : log_end;
}

uint32_t epoch_cache_text_max(const struct epoch_cache *cache)
{
    return HEAD_TEXT_MAX + cache->count * ENTRY_TEXT_MAX;
}

/* Writes v in decimal and the byte `end`. Returns the place behind. */
static char *put_number(char *out, int64_t v, char end)
{
    char digits[20];
    int count = 0;
    ASSERT(v >= 0);
    do {
        digits[count++] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    while (count > 0)
        *out++ = digits[--count];
    *out++ = end;
    return out;
}

uint32_t epoch_cache_format(const struct epoch_cache *cache, char *out)
{
    size_t first = sizeof(EPOCH_CHECKPOINT_FIRST) - 1;
    memcpy(out, EPOCH_CHECKPOINT_FIRST, first);
    char *at = put_number(out + first, cache->count, '\n');
    for (uint32_t i = 0; i < cache->count; i++) {
        at = put_number(at, cache->entries[i].epoch, ' ');
        at = put_number(at, cache->entries[i].start_offset, '\n');
    }
    ASSERT((uint64_t)(at - out) <= epoch_cache_text_max(cache));
    return (uint32_t)(at - out);
}

/* Reads decimal digits up to and including the byte `end`. False when there are none or the value passes max.
 */
static bool parse_number(const char **p, const char *limit, char end, int64_t max, int64_t *ret)
{
    int64_t v = 0;
    const char *at = *p;
    while (at < limit && *at >= '0' && *at <= '9') {
        if (v > (max - (*at - '0')) / 10)
            return false;
        v = v * 10 + (*at++ - '0');
    }
    if (at == *p || at == limit || *at != end)
        return false;
    *p = at + 1;
    *ret = v;
    return true;
}

static enum err parse_entries(struct epoch_cache *cache, const char *p, const char *limit)
{
    int64_t count;
    if (!parse_number(&p, limit, '\n', EPOCH_CACHE_MAX, &count))
        return ERR_MALFORMED;
    for (int64_t i = 0; i < count; i++) {
        int64_t epoch, start;
        if (!parse_number(&p, limit, ' ', INT32_MAX, &epoch) ||
            !parse_number(&p, limit, '\n', INT64_MAX, &start))
            return ERR_MALFORMED;
        if (cache->count > 0) {
            const struct epoch_entry *last = &cache->entries[cache->count - 1];
            if (epoch <= last->epoch || start <= last->start_offset)
                return ERR_MALFORMED;
        }
        enum err err = epoch_cache_assign(cache, (int32_t)epoch, start, NULL);
        if (err)
            return err;
    }
    return p == limit ? OK : ERR_MALFORMED;
}

enum err epoch_cache_parse(struct epoch_cache *cache, const char *text, uint32_t len)
{
    uint32_t first = sizeof(EPOCH_CHECKPOINT_FIRST) - 1;
    epoch_cache_clear(cache);
    if (len < first || memcmp(text, EPOCH_CHECKPOINT_FIRST, first) != 0)
        return ERR_VERSION;
    enum err err = parse_entries(cache, text + first, text + len);
    if (err)
        epoch_cache_clear(cache);
    return err;
}

void epoch_cache_check(const struct epoch_cache *cache)
{
    ASSERT(cache->count <= cache->cap);
    for (uint32_t i = 0; i < cache->count; i++) {
        ASSERT(cache->entries[i].epoch >= 0 && cache->entries[i].start_offset >= 0);
        ASSERT(i == 0 || cache->entries[i].epoch > cache->entries[i - 1].epoch);
        ASSERT(i == 0 || cache->entries[i].start_offset > cache->entries[i - 1].start_offset);
    }
}

uint64_t epoch_cache_hash(const struct epoch_cache *cache)
{
    uint64_t hash = cache->count;
    for (uint32_t i = 0; i < cache->count; i++) {
        int64_t pair[2] = {cache->entries[i].epoch, cache->entries[i].start_offset};
        hash = hash_bytes(pair, sizeof(pair), hash);
    }
    return hash;
}
