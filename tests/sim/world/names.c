/* SPDX-License-Identifier: Apache-2.0 */
/* Directories: names as seen and as durable, paths, and changes that wait for a sync of their directory. */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/world/disk_int.h"

static char *host_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = host_alloc(size);
    memcpy(copy, text, size);
    return copy;
}

/* -- one table of names -- */

/* The first entry that is not below name; *ret_same: it is name. */
static uint32_t names_place(const struct names *names, const char *name, bool *ret_same)
{
    uint32_t low = 0, high = names->count;
    *ret_same = false;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        int order = strcmp(names->at[mid].name, name);
        *ret_same = *ret_same || order == 0;
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct inode *names_get(const struct names *names, const char *name)
{
    bool same;
    uint32_t at = names_place(names, name, &same);
    return same ? names->at[at].inode : NULL;
}

void names_set(struct names *names, const char *name, struct inode *inode)
{
    bool same;
    uint32_t at = names_place(names, name, &same);
    inode_ref(inode);
    if (same) {
        struct inode *old = names->at[at].inode;
        names->at[at].inode = inode;
        inode_unref(old);
        return;
    }
    if (names->count == names->cap) {
        int slot = host_enter();
        names->cap = MAX(8u, names->cap * 2);
        names->at = realloc(names->at, names->cap * sizeof(names->at[0]));
        ASSERT(names->at != NULL);
        host_leave(slot);
    }
    memmove(&names->at[at + 1], &names->at[at], (names->count - at) * sizeof(names->at[0]));
    names->at[at] = (struct name_entry){.name = host_strdup(name), .inode = inode};
    names->count++;
}

void names_remove(struct names *names, const char *name)
{
    bool same;
    uint32_t at = names_place(names, name, &same);
    if (!same)
        return;
    struct name_entry entry = names->at[at];
    names->count--;
    memmove(&names->at[at], &names->at[at + 1], (names->count - at) * sizeof(names->at[0]));
    host_free(entry.name);
    inode_unref(entry.inode);
}

void names_clear(struct names *names)
{
    for (uint32_t i = 0; i < names->count; i++) {
        host_free(names->at[i].name);
        inode_unref(names->at[i].inode);
    }
    host_free(names->at);
    *names = (struct names){.at = NULL};
}

void names_copy(struct names *to, const struct names *from)
{
    struct names old = *to;
    *to = (struct names){.at = NULL};
    for (uint32_t i = 0; i < from->count; i++)
        names_set(to, from->at[i].name, from->at[i].inode);
    names_clear(&old);
}

/* -- paths -- */

/* Cuts the next component off *path into name. False at the end. */
static bool path_next(const char **path, char name[PATH_MAX_LEN])
{
    for (;;) {
        while (**path == '/')
            (*path)++;
        size_t len = strcspn(*path, "/");
        if (len == 0)
            return false;
        ASSERT(len < PATH_MAX_LEN);
        memcpy(name, *path, len);
        name[len] = '\0';
        *path += len;
        if (strcmp(name, ".") != 0)
            return true;
    }
}

struct inode *path_find(struct disk *disk, const char *path)
{
    char name[PATH_MAX_LEN];
    struct inode *inode = disk->root;
    while (inode != NULL && path_next(&path, name))
        inode = inode->is_dir ? names_get(&inode->v_names, name) : NULL;
    return inode;
}

struct inode *path_parent(struct disk *disk, const char *path, char name[PATH_MAX_LEN])
{
    char next[PATH_MAX_LEN];
    struct inode *dir = disk->root;
    if (!path_next(&path, name))
        return NULL;
    while (dir != NULL && path_next(&path, next)) {
        dir = dir->is_dir ? names_get(&dir->v_names, name) : NULL;
        memcpy(name, next, sizeof(next));
    }
    return dir != NULL && dir->is_dir ? dir : NULL;
}

/* -- changes that are not durable -- */

void dir_op_add(struct disk *disk, enum dir_op_kind kind, struct inode *dir, const char *name,
                struct inode *to_dir, const char *to_name, struct inode *inode)
{
    struct dir_op *op = host_alloc(sizeof(*op));
    op->kind = kind;
    op->seq = ++disk->seq;
    op->dir = inode_ref(dir);
    op->name = host_strdup(name);
    op->inode = inode_ref(inode);
    if (to_dir != NULL) {
        op->to_dir = inode_ref(to_dir);
        op->to_name = host_strdup(to_name);
    }
    list_push_back(&disk->dir_ops, &op->link);
}

void dir_op_forget(struct dir_op *op)
{
    list_remove(&op->link);
    inode_unref(op->dir);
    inode_unref(op->to_dir);
    inode_unref(op->inode);
    host_free(op->name);
    host_free(op->to_name);
    host_free(op);
}

void dir_op_apply(struct dir_op *op)
{
    struct names *names = &op->dir->d_names;
    if (op->kind == DIR_LINK)
        names_set(names, op->name, op->inode);
    else if (names_get(names, op->name) == op->inode)
        names_remove(names, op->name);
    if (op->kind == DIR_RENAME)
        names_set(&op->to_dir->d_names, op->to_name, op->inode);
    dir_op_forget(op);
}

void dirs_settle(struct disk *disk, uint32_t keep_percent)
{
    struct world *world = disk->process->world;
    while (!list_empty(&disk->dir_ops)) {
        struct dir_op *op = CONTAINER_OF(disk->dir_ops.next, struct dir_op, link);
        if (world_below(world, 100) < keep_percent) {
            dir_op_apply(op);
        } else {
            world->bites.names_dropped++;
            dir_op_forget(op);
        }
    }
    /* An inode whose last name goes may take others of the list with it: hold the present one and the next.
     */
    struct inode *inode = inode_ref(disk->root);
    while (inode != NULL) {
        if (inode->is_dir)
            names_copy(&inode->v_names, &inode->d_names);
        bool last = inode->link.next == &disk->inodes;
        struct inode *next = last ? NULL : inode_ref(CONTAINER_OF(inode->link.next, struct inode, link));
        inode_unref(inode);
        inode = next;
    }
}
