/* SPDX-License-Identifier: Apache-2.0 */
/* What a sync covers: exactly what had been written when it was asked for, made durable when it completes. */
#include "tests/sim/world/disk_int.h"

struct capture *capture_new(struct disk *disk)
{
    struct capture *capture = host_alloc(sizeof(*capture));
    list_push_back(&disk->captures, &capture->link);
    return capture;
}

void capture_add_file(struct capture *capture, struct inode *inode)
{
    struct file_capture *file = inode_capture(inode);
    file->next = capture->files;
    capture->files = file;
}

void capture_add_dir(struct capture *capture, struct inode *dir)
{
    capture->dir = inode_ref(dir);
    capture->dir_seq = dir->disk->seq;
}

void capture_add_all(struct capture *capture, struct disk *disk)
{
    list_for_each (it, &disk->inodes) {
        struct inode *inode = CONTAINER_OF(it, struct inode, link);
        if (!inode->is_dir && (inode->dirty_count > 0 || inode->v_size_seq != inode->d_size_seq))
            capture_add_file(capture, inode);
    }
    capture_add_dir(capture, disk->root);
    capture->all_dirs = true;
}

void capture_drop(struct capture *capture)
{
    while (capture->files != NULL) {
        struct file_capture *file = capture->files;
        capture->files = file->next;
        file_capture_free(file);
    }
    inode_unref(capture->dir);
    list_remove(&capture->link);
    host_free(capture);
}

static void names_finish(struct capture *capture, struct disk *disk)
{
    list_for_each_safe (it, tmp, &disk->dir_ops) {
        struct dir_op *op = CONTAINER_OF(it, struct dir_op, link);
        if (op->seq > capture->dir_seq)
            break;
        bool touched = op->dir == capture->dir || (capture->dir != NULL && op->to_dir == capture->dir);
        if (capture->all_dirs || touched)
            dir_op_apply(op);
    }
}

void capture_finish(struct capture *capture, bool ok)
{
    struct disk *disk = NULL;
    for (struct file_capture *file = capture->files; file != NULL; file = file->next) {
        file_capture_apply(file, ok);
        disk = file->inode->disk;
    }
    if (capture->dir != NULL)
        disk = capture->dir->disk;
    if (ok && disk != NULL)
        names_finish(capture, disk);
    capture_drop(capture);
}
