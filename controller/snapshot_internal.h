/* SPDX-License-Identifier: Apache-2.0 */
/* What snapshot_store.c, snapshot_file.c and snapshot_writer.c share. */
#ifndef SLUICE_CONTROLLER_SNAPSHOT_INTERNAL_H
#define SLUICE_CONTROLLER_SNAPSHOT_INTERNAL_H

#include "controller/snapshot_store.h"

#define SNAPSHOT_NAME_MAX 64
#define SNAPSHOT_TEMP     "snapshot.tmp"

enum snapshot_frame {
    SNAPSHOT_HEAD = 1, /* a: index, b: term, data: u64 config_index, configuration */
    SNAPSHOT_DATA = 2, /* a: number from 0, data: piece of the stream */
    SNAPSHOT_END = 3,  /* a: number of DATA frames, b: bytes of the stream */
};

struct snapshot_store {
    struct env *env;
    char dir[LOG_PATH_MAX];
    struct snapshot *kept[SNAPSHOTS_KEPT]; /* newest first, NULL: none */
    struct snapshot_writer *writer;        /* at work, or NULL */
};

extern const struct segfile_limits snapshot_limits;

/* "<index>-<term>.checkpoint" */
void snapshot_name(char out[SNAPSHOT_NAME_MAX], struct snapshot_id id);
bool snapshot_parse_name(const char *name, struct snapshot_id *ret_id);

/* Opens and checks every byte of the file at path. ERR_CORRUPT when it is not a complete snapshot of id. */
enum err snapshot_open_checked(struct env *env, const char *path, struct snapshot_id id,
                               struct snapshot **ret_snapshot);

/* Makes snapshot the newest (takes the reference) and removes what is too many. */
void snapshot_store_add(struct snapshot_store *store, struct snapshot *snapshot);

/* The store goes away: its writer may finish, but tells nobody. */
void snapshot_writer_orphan(struct snapshot_writer *writer);

#endif
