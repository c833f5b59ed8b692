/* SPDX-License-Identifier: Apache-2.0 */
/* A look at, and a hand in, the disk from outside: checkers read files, damage flips bits. */
#include <stdio.h>
#include <string.h>

#include "tests/sim/world/disk_int.h"

enum err disk_peek(struct process *process, const char *path, uint64_t offset, void *buf, size_t cap,
                   size_t *ret_len)
{
    const struct inode *inode = path_find(process->disk, path);
    if (inode == NULL || inode->is_dir)
        return ERR_NOT_FOUND;
    *ret_len = inode_read(inode, offset, buf, cap);
    return OK;
}

uint64_t disk_file_size(struct process *process, const char *path)
{
    const struct inode *inode = path_find(process->disk, path);
    return inode != NULL && !inode->is_dir ? inode->v_size : 0;
}

typedef bool (*walk_fn)(void *ctx, const char *path, uint64_t size);

static bool walk_below(const struct inode *dir, char *path, size_t len, walk_fn each, void *ctx)
{
    for (uint32_t i = 0; i < dir->v_names.count; i++) {
        const struct name_entry *entry = &dir->v_names.at[i];
        int added = snprintf(path + len, PATH_MAX_LEN - len, "/%s", entry->name);
        ASSERT(added > 0 && len + (size_t)added < PATH_MAX_LEN);
        bool go_on = entry->inode->is_dir ? walk_below(entry->inode, path, len + (size_t)added, each, ctx)
                                          : each(ctx, path, entry->inode->v_size);
        path[len] = '\0';
        if (!go_on)
            return false;
    }
    return true;
}

void disk_walk(struct process *process, const char *dir, walk_fn each, void *ctx)
{
    char path[PATH_MAX_LEN];
    const struct inode *inode = path_find(process->disk, dir);
    size_t len = (size_t)snprintf(path, sizeof(path), "%s", strcmp(dir, "/") == 0 ? "" : dir);
    if (inode != NULL && inode->is_dir)
        walk_below(inode, path, len, each, ctx);
}

/* -- damage -- */

struct flip {
    const char *part, *other;
    uint64_t bytes; /* below all matching files */
    uint64_t chosen;
    char path[PATH_MAX_LEN];
};

static bool flip_count(void *ctx, const char *path, uint64_t size)
{
    struct flip *flip = ctx;
    if (strstr(path, flip->part) != NULL && strstr(path, flip->other) != NULL)
        flip->bytes += size;
    return true;
}

static bool flip_find(void *ctx, const char *path, uint64_t size)
{
    struct flip *flip = ctx;
    if ((strstr(path, flip->part) == NULL || strstr(path, flip->other) == NULL))
        return true;
    if (flip->chosen >= size) {
        flip->chosen -= size;
        return true;
    }
    snprintf(flip->path, sizeof(flip->path), "%s", path);
    return false;
}

/* A page of its own, so that no capture changes with it. */
static void slot_flip(struct page_slot *slot, size_t at, uint8_t mask)
{
    struct page *old = slot->page;
    slot->page = page_copy(old);
    slot->page->bytes[at] ^= mask;
    page_unref(old);
}

bool disk_flip_bit(struct process *process, const char *path_part, const char *other_part,
                   bool (*may)(void *ctx, const char *path, uint64_t offset), void *ctx)
{
    struct world *world = process->world;
    struct flip flip = {.part = path_part, .other = other_part};
    disk_walk(process, "/", flip_count, &flip);
    if (flip.bytes == 0)
        return false;
    flip.chosen = world_below(world, flip.bytes);
    disk_walk(process, "/", flip_find, &flip);
    if (may != NULL && !may(ctx, flip.path, flip.chosen))
        return false;
    return disk_flip_at(process, flip.path, flip.chosen, (uint8_t)(1u << world_below(world, 8)));
}

bool disk_flip_at(struct process *process, const char *path, uint64_t offset, uint8_t mask)
{
    struct inode *inode = path_find(process->disk, path);
    uint32_t index = (uint32_t)(offset / PAGE_BYTES);
    if (inode == NULL || inode->is_dir || index >= inode->slot_count || inode->v[index].page == NULL)
        return false; /* a hole: nothing is stored there */
    inode->flags[index] |= PAGE_ROTTEN;
    slot_flip(&inode->v[index], offset % PAGE_BYTES, mask);
    if (inode->d[index].page != NULL)
        slot_flip(&inode->d[index], offset % PAGE_BYTES, mask);
    process->world->bites.bits_flipped++;
    world_trace(process->world, "%s: bit flipped in %s at %llu", process->name, path,
                (unsigned long long)offset);
    return true;
}

struct durable {
    struct process *process;
    const char *part;
    bool yes;
};

static bool is_named_durably(const struct disk *disk, const struct inode *inode)
{
    list_for_each (it, &disk->dir_ops)
        if (CONTAINER_OF(it, struct dir_op, link)->inode == inode)
            return false;
    return true;
}

static bool look_durable(void *ctx, const char *path, uint64_t size)
{
    struct durable *durable = ctx;
    if (strstr(path, durable->part) == NULL)
        return true;
    const struct inode *inode = path_find(durable->process->disk, path);
    durable->yes = inode->d_size == size && is_named_durably(inode->disk, inode);
    for (uint32_t i = 0; i < inode->slot_count && durable->yes; i++)
        durable->yes = inode->v[i].seq == inode->d[i].seq;
    return durable->yes;
}

bool disk_is_durable(struct process *process, const char *path_part)
{
    struct durable durable = {.process = process, .part = path_part, .yes = true};
    disk_walk(process, "/", look_durable, &durable);
    return durable.yes;
}

bool disk_chop(struct process *process, const char *path, uint64_t size)
{
    struct inode *inode = path_find(process->disk, path);
    if (inode == NULL || inode->is_dir || inode->v_size <= size)
        return false;
    inode_truncate(inode, size);
    struct file_capture *capture = inode_capture(inode);
    file_capture_apply(capture, true);
    file_capture_free(capture);
    world_trace(process->world, "%s: %s cut to %llu bytes", process->name, path, (unsigned long long)size);
    return true;
}

bool disk_rename(struct process *process, const char *from, const char *to)
{
    char from_name[PATH_MAX_LEN], to_name[PATH_MAX_LEN];
    struct inode *inode = path_find(process->disk, from);
    struct inode *from_dir = path_parent(process->disk, from, from_name);
    struct inode *to_dir = path_parent(process->disk, to, to_name);
    ASSERT(!process->alive);
    if (inode == NULL || to_dir == NULL)
        return false;
    names_set(&to_dir->v_names, to_name, inode);
    names_set(&to_dir->d_names, to_name, inode);
    names_remove(&from_dir->v_names, from_name);
    names_remove(&from_dir->d_names, from_name);
    return true;
}
