/* SPDX-License-Identifier: Apache-2.0 */
/* Contents of simulated files: pages as seen and as durable, captures of syncs, what a power cut leaves. */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/world/disk_int.h"

/* -- pages -- */

static struct page *page_ref(struct page *page)
{
    if (page != NULL)
        page->refs++;
    return page;
}

void page_unref(struct page *page)
{
    if (page != NULL && --page->refs == 0)
        host_free(page);
}

struct page *page_copy(const struct page *page)
{
    struct page *copy = host_take(sizeof(*copy));
    if (page != NULL)
        memcpy(copy->bytes, page->bytes, PAGE_BYTES);
    else
        memset(copy->bytes, 0, PAGE_BYTES);
    copy->refs = 1;
    return copy;
}

static void *array_grow(void *array, uint32_t count, uint32_t cap, size_t each)
{
    int slot = host_enter();
    uint8_t *grown = realloc(array, cap * each);
    ASSERT(grown != NULL);
    memset(grown + count * each, 0, (cap - count) * each);
    host_leave(slot);
    return grown;
}

static void slots_need(struct inode *inode, uint64_t count)
{
    if (count <= inode->slot_count)
        return;
    ASSERT(count < UINT32_MAX / 2);
    uint32_t cap = MAX((uint32_t)count, inode->slot_count * 2);
    inode->v = array_grow(inode->v, inode->slot_count, cap, sizeof(*inode->v));
    inode->d = array_grow(inode->d, inode->slot_count, cap, sizeof(*inode->d));
    inode->flags = array_grow(inode->flags, inode->slot_count, cap, sizeof(*inode->flags));
    inode->slot_count = cap;
}

static void slot_make_dirty(struct inode *inode, uint32_t index)
{
    inode->v[index].seq = ++inode->disk->seq;
    inode->flags[index] &= (uint8_t)~PAGE_LOST;
    if (inode->flags[index] & PAGE_DIRTY)
        return;
    inode->flags[index] |= PAGE_DIRTY;
    if (inode->dirty_count == inode->dirty_cap) {
        uint32_t cap = MAX(16u, inode->dirty_cap * 2);
        inode->dirty = array_grow(inode->dirty, inode->dirty_cap, cap, sizeof(*inode->dirty));
        inode->dirty_cap = cap;
    }
    inode->dirty[inode->dirty_count++] = index;
}

/* Replaces a slot; takes the reference of page. */
static void slot_set(struct page_slot *slot, struct page *page, uint64_t seq)
{
    struct page *old = slot->page;
    *slot = (struct page_slot){.page = page, .seq = seq};
    page_unref(old);
}

/* -- life -- */

struct inode *inode_new(struct disk *disk, bool is_dir)
{
    struct inode *inode = host_alloc(sizeof(*inode));
    inode->disk = disk;
    inode->refs = 1;
    inode->is_dir = is_dir;
    list_push_back(&disk->inodes, &inode->link);
    return inode;
}

struct inode *inode_ref(struct inode *inode)
{
    inode->refs++;
    return inode;
}

void inode_unref(struct inode *inode)
{
    if (inode == NULL || --inode->refs > 0)
        return;
    for (uint32_t i = 0; i < inode->slot_count; i++) {
        page_unref(inode->v[i].page);
        page_unref(inode->d[i].page);
    }
    host_free(inode->v);
    host_free(inode->d);
    host_free(inode->flags);
    host_free(inode->dirty);
    list_remove(&inode->link);
    names_clear(&inode->v_names);
    names_clear(&inode->d_names);
    host_free(inode);
}

/* -- reading and writing, as processes see it -- */

size_t inode_read(const struct inode *inode, uint64_t offset, void *buf, size_t len)
{
    if (offset >= inode->v_size)
        return 0;
    len = MIN(len, inode->v_size - offset);
    uint8_t *out = buf;
    for (size_t at = 0; at < len;) {
        uint64_t index = (offset + at) / PAGE_BYTES;
        size_t in_page = (offset + at) % PAGE_BYTES, step = MIN(len - at, PAGE_BYTES - in_page);
        const struct page *page = index < inode->slot_count ? inode->v[index].page : NULL;
        if (page != NULL && step == PAGE_BYTES)
            memcpy(out + at, page->bytes, PAGE_BYTES);
        else if (page != NULL)
            memcpy(out + at, page->bytes + in_page, step);
        else
            memset(out + at, 0, step);
        at += step;
    }
    return len;
}

/* The page for changing it: its own, not shared with what is durable or captured. */
static struct page *page_to_write(struct inode *inode, uint32_t index)
{
    struct page_slot *slot = &inode->v[index];
    inode->v_pages += slot->page == NULL;
    if (slot->page == NULL || slot->page->refs > 1)
        slot_set(slot, page_copy(slot->page), slot->seq);
    slot_make_dirty(inode, index);
    return slot->page;
}

static void size_set(struct inode *inode, uint64_t size)
{
    inode->v_size = size;
    inode->v_size_seq = ++inode->disk->seq;
}

enum err inode_write(struct inode *inode, uint64_t offset, const void *p, size_t len)
{
    const uint8_t *in = p;
    struct disk *disk = inode->disk;
    uint64_t room = UINT64_MAX;
    if (disk->capacity != UINT64_MAX) {
        uint64_t used = disk_used(disk->process);
        room = disk->capacity > used ? disk->capacity - used : 0;
    }
    slots_need(inode, (offset + len + PAGE_BYTES - 1) / PAGE_BYTES);
    for (size_t at = 0; at < len;) {
        uint32_t index = (uint32_t)((offset + at) / PAGE_BYTES);
        size_t in_page = (offset + at) % PAGE_BYTES, step = MIN(len - at, PAGE_BYTES - in_page);
        if (inode->v[index].page == NULL && room < PAGE_BYTES)
            return ERR_NO_SPACE;
        room -= inode->v[index].page == NULL ? PAGE_BYTES : 0;
        memcpy(page_to_write(inode, index)->bytes + in_page, in + at, step);
        at += step;
        if (offset + at > inode->v_size)
            size_set(inode, offset + at);
    }
    return OK;
}

void inode_truncate(struct inode *inode, uint64_t size)
{
    uint64_t keep = (size + PAGE_BYTES - 1) / PAGE_BYTES;
    for (uint64_t i = keep; i < inode->slot_count; i++) {
        struct page_slot *slot = &inode->v[i];
        if (slot->page == NULL)
            continue;
        inode->v_pages--;
        slot_set(slot, NULL, slot->seq);
        slot_make_dirty(inode, (uint32_t)i);
    }
    size_t tail = size % PAGE_BYTES;
    if (size < inode->v_size && tail > 0 && keep <= inode->slot_count && inode->v[keep - 1].page != NULL)
        memset(page_to_write(inode, (uint32_t)(keep - 1))->bytes + tail, 0, PAGE_BYTES - tail);
    if (size != inode->v_size)
        size_set(inode, size);
}

/* -- becoming durable -- */

static void dirty_sweep(struct inode *inode)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < inode->dirty_count; i++) {
        uint32_t index = inode->dirty[i];
        if (inode->v[index].seq != inode->d[index].seq && !(inode->flags[index] & PAGE_LOST))
            inode->dirty[kept++] = index;
        else
            inode->flags[index] &= (uint8_t)~PAGE_DIRTY;
    }
    inode->dirty_count = kept;
}

static void slot_make_durable(struct inode *inode, uint32_t index, const struct page_slot *from)
{
    struct page_slot *d = &inode->d[index];
    if (d->seq < from->seq)
        slot_set(d, page_ref(from->page), from->seq);
}

void inode_write_back(struct inode *inode)
{
    struct world *world = inode->disk->process->world;
    for (uint32_t i = 0; i < inode->dirty_count; i++)
        if (world_below(world, 2) == 0)
            slot_make_durable(inode, inode->dirty[i], &inode->v[inode->dirty[i]]);
    if (world_below(world, 2) == 0) {
        inode->d_size = inode->v_size;
        inode->d_size_seq = inode->v_size_seq;
    }
    dirty_sweep(inode);
}

struct file_capture *inode_capture(struct inode *inode)
{
    struct file_capture *capture =
        host_alloc(sizeof(*capture) + inode->dirty_count * sizeof(capture->pages[0]));
    capture->inode = inode_ref(inode);
    capture->size = inode->v_size;
    capture->size_seq = inode->v_size_seq;
    capture->count = inode->dirty_count;
    for (uint32_t i = 0; i < inode->dirty_count; i++) {
        uint32_t index = inode->dirty[i];
        capture->pages[i] = (struct captured_page){
            .index = index, .slot = {.page = page_ref(inode->v[index].page), .seq = inode->v[index].seq}};
    }
    return capture;
}

void file_capture_free(struct file_capture *capture)
{
    for (uint32_t i = 0; i < capture->count; i++)
        page_unref(capture->pages[i].slot.page);
    inode_unref(capture->inode);
    host_free(capture);
}

void file_capture_apply(struct file_capture *capture, bool ok)
{
    struct inode *inode = capture->inode;
    for (uint32_t i = 0; i < capture->count; i++) {
        const struct captured_page *page = &capture->pages[i];
        if (ok)
            slot_make_durable(inode, page->index, &page->slot);
        else if (inode->v[page->index].seq == page->slot.seq)
            inode->flags[page->index] |= PAGE_LOST;
    }
    if (ok && inode->d_size_seq < capture->size_seq) {
        inode->d_size = capture->size;
        inode->d_size_seq = capture->size_seq;
    }
    dirty_sweep(inode);
}

/* -- power cut -- */

struct settled {
    uint32_t kept, dropped;
};

/* A sector that was on its way: it arrived or not. Returns what is there, with a reference. */
static struct page *page_settle(struct world *world, struct page *v, struct page *d, uint32_t keep_percent,
                                struct settled *settled)
{
    static const uint8_t zeros[PAGE_BYTES];
    if (memcmp(v != NULL ? v->bytes : zeros, d != NULL ? d->bytes : zeros, PAGE_BYTES) == 0)
        return page_ref(d);
    bool kept = world_below(world, 100) < keep_percent;
    settled->kept += kept;
    settled->dropped += !kept;
    return page_ref(kept ? v : d);
}

static uint64_t size_settle(struct inode *inode, uint32_t keep_percent)
{
    struct world *world = inode->disk->process->world;
    if (inode->v_size == inode->d_size || world_below(world, 100) < keep_percent)
        return inode->v_size;
    uint64_t low = MIN(inode->v_size, inode->d_size), high = MAX(inode->v_size, inode->d_size);
    if (world_below(world, 2) == 0)
        return inode->d_size;
    return low + world_below(world, high - low + 1);
}

/* v becomes what is durable, cut at size. */
static void inode_adopt(struct inode *inode, uint64_t size)
{
    for (uint32_t i = 0; i < inode->slot_count; i++) {
        struct page_slot *v = &inode->v[i], *d = &inode->d[i];
        inode->v_pages -= v->page != NULL;
        slot_set(v, page_ref(d->page), d->seq);
        inode->v_pages += v->page != NULL;
        inode->flags[i] = 0;
    }
    inode->dirty_count = 0;
    inode->v_size = MAX(size, inode->v_size); /* so that the cut clears what lies above */
    inode_truncate(inode, size);
    for (uint32_t i = 0; i < inode->dirty_count; i++)
        slot_make_durable(inode, inode->dirty[i], &inode->v[inode->dirty[i]]);
    inode->d_size = inode->v_size = size;
    inode->d_size_seq = inode->v_size_seq;
    dirty_sweep(inode);
}

void inode_settle(struct inode *inode, uint32_t keep_percent)
{
    struct world *world = inode->disk->process->world;
    struct settled settled = {.kept = 0};
    if (inode->is_dir)
        return;
    uint64_t size = size_settle(inode, keep_percent);
    for (uint32_t i = 0; i < inode->slot_count; i++) {
        struct page_slot *v = &inode->v[i], *d = &inode->d[i];
        if (v->seq == d->seq)
            continue;
        uint32_t keep = inode->flags[i] & PAGE_LOST ? 0 : keep_percent;
        slot_set(d, page_settle(world, v->page, d->page, keep, &settled), v->seq);
    }
    world->bites.sectors_dropped += settled.dropped;
    world->bites.sectors_torn += settled.kept > 0 && settled.dropped > 0;
    inode_adopt(inode, size);
}
