/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/log/tail_cache.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/batch/batch.h"

#define CHUNK_FIRST_BYTES 4096u /* of a log that is not busy */

void tail_cache_init(struct tail_cache *cache, struct budget *budget, struct iobuf_pool *pool,
                     size_t cap_bytes)
{
    *cache = (struct tail_cache){.budget = budget, .pool = pool, .cap_bytes = cap_bytes};
    list_init(&cache->entries);
}

/* -- entries -- */

static void uncharge(struct tail_cache *cache, struct tail_entry *entry)
{
    ASSERT(cache->used_bytes >= entry->charged);
    cache->used_bytes -= entry->charged;
    if (cache->budget)
        budget_give(cache->budget, BUDGET_CACHE, entry->charged);
}

/* The first entry of its log goes (the oldest of all logs is always the first of its own). */
static void entry_drop(struct tail_entry *entry)
{
    struct tail *tail = entry->tail;
    struct tail_cache *cache = tail->cache;
    ASSERT(tail->first == entry);
    tail->first = entry->next;
    if (tail->first == NULL)
        tail->last = NULL;
    list_remove(&entry->link);
    uncharge(cache, entry);
    iobuf_unref(entry->buf);
    entry->next = cache->spare;
    cache->spare = entry;
}

void tail_drop(struct tail *tail)
{
    while (tail->first)
        entry_drop(tail->first);
}

void tail_cache_free(struct tail_cache *cache)
{
    while (!list_empty(&cache->entries))
        tail_drop(CONTAINER_OF(cache->entries.next, struct tail_entry, link)->tail);
    while (cache->spare) {
        struct tail_entry *entry = cache->spare;
        cache->spare = entry->next;
        free(entry);
    }
    cache->cap_bytes = 0;
}

/* Makes room, by forgetting what is oldest, and charges it. */
static bool charge(struct tail_cache *cache, uint32_t size)
{
    if (size > cache->cap_bytes)
        return false;
    for (;;) {
        bool fits = cache->used_bytes + size <= cache->cap_bytes;
        if (fits && (cache->budget == NULL || budget_take(cache->budget, BUDGET_CACHE, size)))
            break;
        if (list_empty(&cache->entries))
            return false;
        entry_drop(CONTAINER_OF(cache->entries.next, struct tail_entry, link));
    }
    cache->used_bytes += size;
    return true;
}

static struct tail_entry *entry_new(struct tail_cache *cache)
{
    struct tail_entry *entry = cache->spare;
    if (entry)
        cache->spare = entry->next;
    else
        entry = malloc(sizeof(*entry));
    return entry;
}

/* Takes buf over on success. */
static struct tail_entry *entry_add(struct tail *tail, struct iobuf *buf, bool ours)
{
    struct tail_cache *cache = tail->cache;
    uint32_t size = buf->cap;
    if (!charge(cache, size))
        return NULL;
    struct tail_entry *entry = entry_new(cache);
    if (entry == NULL) {
        cache->used_bytes -= size;
        if (cache->budget)
            budget_give(cache->budget, BUDGET_CACHE, size);
        return NULL;
    }
    *entry = (struct tail_entry){.tail = tail, .buf = buf, .charged = size, .ours = ours};
    list_push_back(&cache->entries, &entry->link);
    if (tail->last)
        tail->last->next = entry;
    else
        tail->first = entry;
    tail->last = entry;
    return entry;
}

/* -- adding -- */

static void extend(struct tail_entry *entry, const uint8_t *batches, uint32_t len, int64_t next_offset)
{
    memcpy(entry->buf->data + entry->at + entry->len, batches, len);
    entry->len += len;
    entry->next_offset = next_offset;
}

/* A buffer for copies: larger when the log has filled one before. */
static struct tail_entry *chunk_add(struct tail *tail, uint32_t len)
{
    const struct tail_entry *last = tail->last;
    uint32_t want = last && last->ours ? MIN(last->buf->cap * 4, TAIL_CHUNK_BYTES) : CHUNK_FIRST_BYTES;
    if (MAX(want, len) > tail->cache->cap_bytes)
        return NULL;
    struct iobuf *buf = iobuf_get(tail->cache->pool, MAX(want, len));
    struct tail_entry *entry = buf ? entry_add(tail, buf, true) : NULL;
    if (entry == NULL)
        iobuf_unref(buf);
    return entry;
}

static struct tail_entry *entry_for(struct tail *tail, const uint8_t *batches, uint32_t len,
                                    struct iobuf *owner)
{
    struct tail_entry *entry;
    if (owner == NULL || len < TAIL_CHUNK_BYTES || len < owner->cap / 2)
        return chunk_add(tail, len);
    entry = entry_add(tail, iobuf_ref(owner), false);
    if (entry == NULL) {
        iobuf_unref(owner);
        return NULL;
    }
    entry->at = (uint32_t)(batches - owner->data);
    return entry;
}

void tail_add(struct tail *tail, const uint8_t *batches, uint32_t len, int64_t base_offset,
              int64_t next_offset, struct iobuf *owner)
{
    struct tail_entry *last = tail->last;
    if (tail->cache == NULL)
        return;
    ASSERT(len > 0 && next_offset > base_offset);
    if (last && last->next_offset != base_offset) {
        tail_drop(tail);
        last = NULL;
    }
    if (last && last->ours && last->buf->cap - last->len >= len) {
        extend(last, batches, len, next_offset);
        return;
    }
    struct tail_entry *entry = entry_for(tail, batches, len, owner);
    if (entry == NULL) {
        tail_drop(tail); /* there would be a gap */
        return;
    }
    entry->base_offset = base_offset;
    if (entry->ours)
        extend(entry, batches, len, next_offset);
    entry->len = len;
    entry->next_offset = next_offset;
}

/* -- reading -- */

static struct tail_entry *find(const struct tail *tail, int64_t offset)
{
    struct tail_entry *entry = tail->last;
    if (entry == NULL || offset < tail->first->base_offset || offset >= entry->next_offset)
        return NULL;
    if (offset >= entry->base_offset)
        return entry;
    for (entry = tail->first; offset >= entry->next_offset;)
        entry = entry->next;
    return entry;
}

/* Where to look for the batch that holds the offset: many small batches share a buffer, and followers go on
 * where they or their like have ended. */
static uint32_t begin_at(const struct tail_entry *entry, int64_t offset)
{
    uint32_t at = 0;
    for (unsigned i = 0; i < TAIL_MARKS; i++)
        if (entry->marks[i].offset <= offset)
            at = MAX(at, entry->marks[i].at);
    return at;
}

static void mark(struct tail_entry *entry, int64_t offset, uint32_t at)
{
    for (unsigned i = 0; i < TAIL_MARKS; i++)
        if (entry->marks[i].at == at)
            return;
    entry->marks[entry->next_mark] = (struct tail_mark){.offset = offset, .at = at};
    entry->next_mark = (entry->next_mark + 1) % TAIL_MARKS;
}

/* From the batch that holds the offset to the last one that is wanted. */
static void take(struct tail_entry *entry, struct tail_read *read)
{
    const uint8_t *first = entry->buf->data + entry->at, *end = first + entry->len;
    const uint8_t *p = first + begin_at(entry, read->offset);
    while (batch_next_offset(p) <= read->offset)
        p += batch_size(p);
    read->p = p;
    for (; p < end && batch_next_offset(p) <= read->end_offset; p += batch_size(p)) {
        uint32_t len = read->len + (uint32_t)batch_size(p);
        if (len > read->max_bytes && !(read->len == 0 && read->at_least_one))
            break;
        read->len = len;
        read->next_offset = batch_next_offset(p);
    }
    if (read->len > 0)
        mark(entry, read->next_offset, (uint32_t)(p - first));
}

bool tail_read(struct tail *tail, struct tail_read *read)
{
    struct tail_entry *entry = find(tail, read->offset);
    read->len = 0;
    read->owner = NULL;
    if (tail->cache)
        entry ? tail->cache->hits++ : tail->cache->misses++;
    if (entry == NULL)
        return false;
    take(entry, read);
    if (read->len > 0)
        read->owner = iobuf_ref(entry->buf);
    return true;
}
