/* SPDX-License-Identifier: Apache-2.0 */
/* The disk of a host: the seam's table for paths, faults, and what remains after a death. The root of the
 * tree exists and is durable. */
#include <stdio.h>
#include <string.h>

#include "tests/sim/world/disk_int.h"

#define ENDLESS_TOTAL (1ull << 40)

struct disk *disk_of(struct env *env)
{
    return loop_of(env)->process->disk;
}

struct disk *disk_new(struct process *process)
{
    struct disk *disk = host_alloc(sizeof(*disk));
    disk->process = process;
    disk->capacity = UINT64_MAX;
    disk->slowness = 1;
    list_init(&disk->inodes);
    list_init(&disk->dir_ops);
    list_init(&disk->captures);
    list_init(&disk->handles);
    list_init(&disk->listings);
    disk->root = inode_new(disk, true);
    return disk;
}

static void captures_drop(struct disk *disk)
{
    while (!list_empty(&disk->captures))
        capture_drop(CONTAINER_OF(disk->captures.next, struct capture, link));
}

/* A copy of a directory's names: each() may change the directory. */
struct listing {
    struct list link;
    struct names names;
};

static void listing_drop(struct listing *listing)
{
    list_remove(&listing->link);
    names_clear(&listing->names);
    host_free(listing);
}

/* What a dead process held. */
static void let_go(struct disk *disk)
{
    handles_drop(disk);
    while (!list_empty(&disk->listings))
        listing_drop(CONTAINER_OF(disk->listings.next, struct listing, link));
}

void disk_free(struct disk *disk)
{
    let_go(disk);
    captures_drop(disk);
    while (!list_empty(&disk->dir_ops))
        dir_op_forget(CONTAINER_OF(disk->dir_ops.next, struct dir_op, link));
    inode_unref(disk->root);
    ASSERT(list_empty(&disk->inodes));
    host_free(disk);
}

/* -- death -- */

/* How much of what was on its way arrives, chosen for each cut: nothing, all, or a part. */
static uint32_t keep_choose(struct world *world)
{
    if (world->cuts_keep_nothing)
        return 0;
    static const uint8_t percents[] = {0, 0, 20, 50, 50, 80, 100};
    return percents[world_below(world, ARRAY_LEN(percents))];
}

/* A sync that was under way has reached a part of its pages. */
static void capture_half_done(struct world *world, struct capture *capture)
{
    for (struct file_capture *file = capture->files; file != NULL; file = file->next)
        if (!world->cuts_keep_nothing && world_below(world, 2) == 0)
            file_capture_apply(file, true);
}

static void disk_settle(struct disk *disk)
{
    struct world *world = disk->process->world;
    uint32_t keep_percent = keep_choose(world);
    list_for_each (it, &disk->captures)
        capture_half_done(world, CONTAINER_OF(it, struct capture, link));
    captures_drop(disk);
    list_for_each (it, &disk->inodes)
        inode_settle(CONTAINER_OF(it, struct inode, link), keep_percent);
    dirs_settle(disk, keep_percent);
    world_trace(world, "%s: disk after the cut, %u %% of what was on its way kept", disk->process->name,
                keep_percent);
}

void disk_process_died(struct disk *disk, enum world_death death)
{
    let_go(disk);
    disk->die_at = 0;
    disk->die_now = false;
    if (death == DEATH_POWER)
        disk_settle(disk);
    else
        captures_drop(disk); /* what they held is still in the page cache, and dirty */
}

void disk_replace(struct process *process)
{
    ASSERT(!process->alive);
    struct disk *old = process->disk;
    process->disk = disk_new(process);
    process->disk->bites = old->bites;
    process->disk->refusals = old->refusals;
    memcpy(process->disk->failures, old->failures, sizeof(old->failures));
    disk_free(old);
    world_trace(process->world, "%s: disk replaced", process->name);
}

/* -- faults -- */

void disk_fail(struct process *process, enum disk_act act, uint32_t nth, uint32_t times, enum err err,
               const char *path_part)
{
    struct disk_fault *fault = &process->disk->faults[act];
    *fault = (struct disk_fault){.nth = nth, .times = times, .err = err};
    snprintf(fault->part, sizeof(fault->part), "%s", path_part != NULL ? path_part : "");
}

void disk_mend(struct process *process)
{
    struct disk *disk = process->disk;
    memset(disk->faults, 0, sizeof(disk->faults));
    disk->die_at = 0;
    disk->slowness = 1;
    disk->stalled_until_us = 0;
    disk->capacity = UINT64_MAX;
}

enum err disk_meets(struct disk *disk, enum disk_act act, const char *path)
{
    struct disk_fault *fault = &disk->faults[act];
    struct world_bites *bites = &disk->process->world->bites;
    uint64_t *const counts[DISK_ACT_COUNT] = {&bites->read_errors, &bites->write_errors, &bites->sync_errors};
    if (fault->nth == 0 || strstr(path, fault->part) == NULL)
        return OK;
    if (fault->nth > 1) {
        fault->nth--;
        return OK;
    }
    if (--fault->times == 0)
        fault->nth = 0;
    (*counts[act])++;
    disk->failures[act]++;
    world_trace(disk->process->world, "%s: %s fails on %s", disk->process->name,
                act == DISK_READ    ? "read"
                : act == DISK_WRITE ? "write"
                                    : "sync",
                path);
    return fault->err;
}

uint64_t disk_failures(const struct process *process, enum disk_act act)
{
    return process->disk->failures[act];
}

uint64_t disk_refusals(const struct process *process)
{
    return process->disk->refusals;
}

void disk_refuse(struct disk *disk)
{
    disk->refusals++;
    disk->process->world->bites.no_space++;
}

const struct disk_bites *disk_bites(const struct process *process)
{
    return &process->disk->bites;
}

void disk_stall(struct process *process, uint64_t for_us)
{
    process->disk->stalled_until_us = process->world->now_us + for_us;
    world_trace(process->world, "%s: disk stalls for %llu us", process->name, (unsigned long long)for_us);
}

void disk_cuts_keep_nothing(struct world *world, bool nothing)
{
    world->cuts_keep_nothing = nothing;
}

void disk_slow(struct process *process, uint32_t factor)
{
    process->disk->slowness = MAX(1u, factor);
}

void disk_set_capacity(struct process *process, uint64_t bytes)
{
    process->disk->capacity = bytes;
}

static uint64_t used_below(struct inode *inode, uint64_t mark)
{
    uint64_t used = 0;
    if (inode->mark == mark)
        return 0;
    inode->mark = mark;
    for (uint32_t i = 0; i < inode->v_names.count; i++)
        used += used_below(inode->v_names.at[i].inode, mark);
    return used + (uint64_t)inode->v_pages * PAGE_BYTES;
}

/* What has a name or is open. */
uint64_t disk_used(const struct process *process)
{
    struct disk *disk = process->disk;
    uint64_t mark = ++disk->seq, used = used_below(disk->root, mark);
    list_for_each (it, &disk->handles)
        used += used_below(CONTAINER_OF(it, struct sim_file, link)->inode, mark);
    return used;
}

uint64_t disk_changes(const struct process *process)
{
    return process->disk->changes;
}

void disk_die_at(struct process *process, uint32_t nth, bool after, int death)
{
    struct disk *disk = process->disk;
    disk->die_at = nth;
    disk->die_after = after;
    disk->die_how = (enum world_death)death;
}

void disk_change_begin(struct disk *disk)
{
    disk->changes++;
    if (disk->die_at == 0 || --disk->die_at > 0 || disk->process->world->inside != disk->process)
        return;
    if (!disk->die_after)
        disk->bites.deaths++;
    if (!disk->die_after)
        process_kill(disk->process, disk->die_how); /* does not return */
    disk->die_now = true;
}

void disk_change_end(struct disk *disk)
{
    if (!disk->die_now || disk->process->world->inside != disk->process)
        return;
    disk->die_now = false;
    disk->bites.deaths++;
    process_kill(disk->process, disk->die_how); /* does not return */
}

uint64_t disk_takes_us(struct disk *disk, uint64_t at_us, uint32_t base_us)
{
    struct world *world = disk->process->world;
    uint64_t takes_us = ((uint64_t)base_us / 2 + world_below(world, base_us + 1)) * disk->slowness;
    disk->bites.slowed += disk->slowness > 1;
    if (world_unlucky(world, 300))
        takes_us *= 10 + world_below(world, 50);
    if (at_us + takes_us < disk->stalled_until_us) {
        world->bites.stalls++;
        disk->bites.stalled++;
        takes_us = disk->stalled_until_us - at_us;
    }
    return takes_us;
}

/* -- the seam's table -- */

static enum err sim_mkdir(struct env *env, const char *path)
{
    char name[PATH_MAX_LEN];
    struct disk *disk = disk_of(env);
    struct inode *dir = path_parent(disk, path, name);
    if (path_find(disk, path) != NULL)
        return ERR_EXISTS;
    if (dir == NULL)
        return ERR_NOT_FOUND;
    disk_change_begin(disk);
    struct inode *made = inode_new(disk, true);
    names_set(&dir->v_names, name, made);
    dir_op_add(disk, DIR_LINK, dir, name, NULL, NULL, made);
    inode_unref(made);
    disk_change_end(disk);
    return OK;
}

static enum err rename_check(const struct inode *from, const struct inode *to)
{
    if (from == NULL)
        return ERR_NOT_FOUND;
    if (to == NULL || to == from)
        return OK;
    if (to->is_dir != from->is_dir)
        return ERR_INVALID;
    return to->is_dir && to->v_names.count > 0 ? ERR_EXISTS : OK;
}

static enum err sim_rename(struct env *env, const char *from_path, const char *to_path)
{
    char from_name[PATH_MAX_LEN], to_name[PATH_MAX_LEN];
    struct disk *disk = disk_of(env);
    struct inode *from_dir = path_parent(disk, from_path, from_name);
    struct inode *to_dir = path_parent(disk, to_path, to_name);
    struct inode *inode = path_find(disk, from_path), *old = path_find(disk, to_path);
    if (from_dir == NULL || to_dir == NULL)
        return ERR_NOT_FOUND;
    enum err err = rename_check(inode, old);
    if (err != OK || inode == old)
        return err;
    disk_change_begin(disk);
    dir_op_add(disk, DIR_RENAME, from_dir, from_name, to_dir, to_name, inode);
    names_set(&to_dir->v_names, to_name, inode);
    names_remove(&from_dir->v_names, from_name);
    disk_change_end(disk);
    return OK;
}

static enum err remove_name(struct disk *disk, const char *path, bool is_dir)
{
    char name[PATH_MAX_LEN];
    struct inode *dir = path_parent(disk, path, name), *inode = path_find(disk, path);
    if (dir == NULL || inode == NULL)
        return ERR_NOT_FOUND;
    if (inode->is_dir != is_dir)
        return ERR_INVALID;
    if (is_dir && inode->v_names.count > 0)
        return ERR_EXISTS;
    disk_change_begin(disk);
    dir_op_add(disk, DIR_UNLINK, dir, name, NULL, NULL, inode);
    names_remove(&dir->v_names, name);
    disk_change_end(disk);
    return OK;
}

static enum err sim_unlink(struct env *env, const char *path)
{
    struct disk *disk = disk_of(env);
    enum err err = remove_name(disk, path, false);
    if (err == OK && strstr(path, ".log") != NULL) /* what matters most */
        world_trace(disk->process->world, "%s: removes %s", disk->process->name, path);
    return err;
}

static enum err sim_rmdir(struct env *env, const char *path)
{
    return remove_name(disk_of(env), path, true);
}

static enum err sim_path_exists(struct env *env, const char *path, bool *ret_is_dir)
{
    const struct inode *inode = path_find(disk_of(env), path);
    if (inode == NULL)
        return ERR_NOT_FOUND;
    *ret_is_dir = inode->is_dir;
    return OK;
}

static enum err sim_dir_list(struct env *env, const char *path,
                             bool (*each)(void *ctx, const char *name, bool is_dir), void *ctx)
{
    struct disk *disk = disk_of(env);
    struct inode *dir = path_find(disk, path);
    if (dir == NULL)
        return ERR_NOT_FOUND;
    if (!dir->is_dir)
        return ERR_INVALID;
    struct listing *copy = host_alloc(sizeof(*copy));
    list_push_back(&disk->listings, &copy->link);
    names_copy(&copy->names, &dir->v_names);
    for (uint32_t i = 0; i < copy->names.count; i++)
        if (!each(ctx, copy->names.at[i].name, copy->names.at[i].inode->is_dir))
            break;
    listing_drop(copy);
    return OK;
}

static enum err sim_disk_space(struct env *env, const char *path, uint64_t *ret_free, uint64_t *ret_total)
{
    const struct disk *disk = disk_of(env);
    if (path_find(disk_of(env), path) == NULL)
        return ERR_NOT_FOUND;
    uint64_t used = disk_used(disk->process);
    *ret_total = disk->capacity == UINT64_MAX ? ENDLESS_TOTAL : disk->capacity;
    *ret_free = *ret_total > used ? *ret_total - used : 0;
    return OK;
}

static enum err sim_dir_sync_wait(struct env *env, const char *path)
{
    struct loop *loop = loop_of(env);
    struct disk *disk = disk_of(env);
    struct inode *dir = path_find(disk, path);
    if (dir == NULL || !dir->is_dir)
        return ERR_NOT_FOUND;
    disk_change_begin(disk);
    enum err err = disk_meets(disk, DISK_SYNC, path);
    loop_spend(loop, disk_takes_us(disk, loop_now(loop), disk->process->world->options.disk_sync_us));
    struct capture *capture = capture_new(disk);
    capture_add_dir(capture, dir);
    capture_finish(capture, err == OK);
    disk_change_end(disk);
    return err;
}

const struct env_disk_ops sim_disk_ops = {
    .file_open = sim_file_open,
    .dir_sync_wait = sim_dir_sync_wait,
    .dir_sync = sim_dir_sync,
    .mkdir = sim_mkdir,
    .rename = sim_rename,
    .unlink = sim_unlink,
    .rmdir = sim_rmdir,
    .path_exists = sim_path_exists,
    .dir_list = sim_dir_list,
    .disk_space = sim_disk_space,
};
