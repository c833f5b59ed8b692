/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/epoch_cache.h"

#include <string.h>

#include "common/base/assert.h"
#include "common/base/map.h"
#include "common/logformat/epoch_text.h"

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

int32_t epoch_cache_earliest(const struct epoch_cache *cache)
{
    return cache->count ? cache->entries[0].epoch : EPOCH_NONE;
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
    return EPOCH_TEXT_HEAD_MAX + cache->count * EPOCH_TEXT_ENTRY_MAX;
}

uint32_t epoch_cache_format(const struct epoch_cache *cache, char *out)
{
    char *at = epoch_text_put_head(out, cache->count);
    for (uint32_t i = 0; i < cache->count; i++)
        at = epoch_text_put(at, cache->entries[i].epoch, cache->entries[i].start_offset);
    ASSERT((uint64_t)(at - out) <= epoch_cache_text_max(cache));
    return (uint32_t)(at - out);
}

static enum err parse_entries(struct epoch_cache *cache, struct epoch_text *it)
{
    enum err err;
    while ((err = epoch_text_next(it)) == OK)
        if ((err = epoch_cache_assign(cache, it->epoch, it->start_offset, NULL)) != OK)
            break;
    return err == ERR_NOT_FOUND ? OK : err;
}

enum err epoch_cache_parse(struct epoch_cache *cache, const char *text, uint32_t len)
{
    struct epoch_text it;
    epoch_cache_clear(cache);
    enum err err = epoch_text_open(text, len, &it);
    if (err == OK && it.left > EPOCH_CACHE_MAX)
        err = ERR_MALFORMED;
    if (err == OK)
        err = parse_entries(cache, &it);
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
