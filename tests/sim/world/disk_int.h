/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the simulated disk. Everything exists twice: as processes see it (v: the page cache), and as a
 * power cut would find it (d: the platter). Pages are shared between both until one is written. */
#ifndef SLUICE_SIM_WORLD_DISK_INT_H
#define SLUICE_SIM_WORLD_DISK_INT_H

#include "tests/sim/world/world_int.h"

#define PAGE_BYTES   512u /* of a sector: what a power cut keeps or drops as one */
#define PATH_MAX_LEN 1024

struct page {
    uint32_t refs;
    uint8_t bytes[PAGE_BYTES];
};

struct page_slot {
    struct page *page; /* NULL: zeros */
    uint64_t seq;      /* of the write that made it; v and d agree when it is equal */
};

struct inode;

struct names {
    struct name_entry {
        char *name;
        struct inode *inode; /* one reference */
    } * at;                  /* in byte order of the names */
    uint32_t count, cap;
};

enum page_flag {
    PAGE_DIRTY = 1,  /* is in inode->dirty: the next sync covers it */
    PAGE_ROTTEN = 4, /* a bit flipped: the page comes from the disk, it is not in the cache */
    PAGE_LOST = 2,   /* a failed sync left it marked clean: no later sync covers it */
};

struct inode {
    struct list link; /* disk->inodes */
    struct disk *disk;
    uint32_t refs;
    bool is_dir;
    /* of a file */
    uint64_t v_size, v_size_seq, d_size, d_size_seq;
    uint32_t v_pages; /* slots of v with a page */
    struct page_slot *v, *d;
    uint8_t *flags;
    uint32_t slot_count; /* of v, d and flags */
    uint32_t *dirty;
    uint32_t dirty_count, dirty_cap;
    struct sim_file *locker;
    /* of a directory */
    struct names v_names, d_names;
    uint64_t mark; /* of the last count of what is used */
};

enum dir_op_kind { DIR_LINK, DIR_UNLINK, DIR_RENAME };

/* A change of names that is not durable yet. */
struct dir_op {
    struct list link; /* disk->dir_ops, oldest first */
    enum dir_op_kind kind;
    uint64_t seq;
    struct inode *dir, *to_dir, *inode; /* one reference each; to_dir for renames only */
    char *name, *to_name;
};

/* What a sync under way will make durable of one file. */
struct file_capture {
    struct file_capture *next;
    struct inode *inode; /* one reference */
    uint64_t size, size_seq;
    uint32_t count;
    struct captured_page {
        uint32_t index;
        struct page_slot slot; /* one reference of the page */
    } pages[];
};

struct capture {
    struct list link; /* disk->captures */
    struct file_capture *files;
    bool all_dirs;
    struct inode *dir; /* one reference; NULL: none */
    uint64_t dir_seq;
};

struct disk_fault {
    uint32_t nth, times; /* nth 0: none */
    enum err err;
    char part[64];
};

struct disk {
    struct process *process;
    struct inode *root;
    struct list inodes, dir_ops, captures, handles;
    struct list
        listings; /* struct listing: directories being listed; a process may die in the middle of one */
    uint64_t seq;
    uint64_t capacity;
    uint64_t stalled_until_us;
    uint32_t slowness;
    uint64_t changes;
    uint32_t die_at;
    bool die_after, die_now;
    enum world_death die_how;
    struct disk_fault faults[DISK_ACT_COUNT];
    uint64_t failures[DISK_ACT_COUNT], refusals;
    struct disk_bites bites;
};

struct sim_file {
    struct env_file base; /* first */
    struct list link;     /* disk->handles */
    uint32_t refs;
    struct inode *inode;
    struct process *process;
    struct loop *loop;
    bool writable, locks;
    bool revoked; /* see env_file_revoke() */
    char path[];
};

/* -- inode.c: contents of files -- */
struct inode *inode_new(struct disk *disk, bool is_dir);
struct inode *inode_ref(struct inode *inode);
void inode_unref(struct inode *inode);
size_t inode_read(const struct inode *inode, uint64_t offset, void *buf, size_t len); /* short at the end */
/* ERR_NO_SPACE: a part may have been written. */
enum err inode_write(struct inode *inode, uint64_t offset, const void *p, size_t len);
void inode_truncate(struct inode *inode, uint64_t size);
void inode_write_back(struct inode *inode); /* some dirty pages become durable by themselves */

/* What a sync of one file covers; done: it becomes durable, or (not ok) is lost to every later sync. */
struct file_capture *inode_capture(struct inode *inode);
void file_capture_apply(struct file_capture *capture, bool ok);
void file_capture_free(struct file_capture *capture);
/* Power cut: v and d become one of the states that the disk may be in. */
void inode_settle(struct inode *inode, uint32_t keep_percent);

/* Pages are shared by count; NULL is a page of zeros. */
struct page *page_copy(const struct page *page);
void page_unref(struct page *page);

/* -- names.c: directories -- */
struct inode *names_get(const struct names *names, const char *name);
void names_set(struct names *names, const char *name, struct inode *inode); /* takes a reference of its own */
void names_remove(struct names *names, const char *name);
void names_clear(struct names *names);
void names_copy(struct names *to, const struct names *from);

/* The inode of a path; NULL when missing. */
struct inode *path_find(struct disk *disk, const char *path);
/* The directory that holds (or would hold) path, and its last component in name. NULL when it is missing. */
struct inode *path_parent(struct disk *disk, const char *path, char name[PATH_MAX_LEN]);

/* A change of names waits for a sync of its directory; at a power cut each is kept or not. */
void dir_op_add(struct disk *disk, enum dir_op_kind kind, struct inode *dir, const char *name,
                struct inode *to_dir, const char *to_name, struct inode *inode);
void dir_op_apply(struct dir_op *op); /* makes it durable, and forgets it */
void dir_op_forget(struct dir_op *op);
void dirs_settle(struct disk *disk, uint32_t keep_percent);

/* -- capture.c -- */
struct capture *capture_new(struct disk *disk);
void capture_add_file(struct capture *capture, struct inode *inode);
void capture_add_all(struct capture *capture, struct disk *disk);
void capture_add_dir(struct capture *capture, struct inode *dir);
void capture_finish(struct capture *capture, bool ok); /* frees it */
void capture_drop(struct capture *capture);

/* -- disk.c -- */
/* The error that this act meets, if a fault stands for it. */
enum err disk_meets(struct disk *disk, enum disk_act act, const char *path);
/* Around each change: the process may die here. */
void disk_change_begin(struct disk *disk);
void disk_change_end(struct disk *disk);
/* How long an act of typically base_us takes that starts at at_us. */
uint64_t disk_takes_us(struct disk *disk, uint64_t at_us, uint32_t base_us);
struct disk *disk_of(struct env *env);
void disk_refuse(struct disk *disk); /* counts a write that found it full */

/* -- file.c -- */
enum err sim_file_open(struct env *env, const char *path, int flags, struct env_file **ret_file);
void sim_dir_sync(struct env *env, const char *path, struct env_io *io);
void handles_drop(struct disk *disk);

#endif
