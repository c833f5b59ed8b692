/* SPDX-License-Identifier: Apache-2.0 */
/* The data directory as a whole: taken by one process at a time, bound to one cluster, node and directory id
 * by `meta.properties` (Kafka's file), and nothing in it deleted that we do not know. What the last run left
 * behind (clean stop, boot id) is the manifest's to tell. */
#ifndef SLUICE_BROKER_LOG_DATA_DIR_H
#define SLUICE_BROKER_LOG_DATA_DIR_H

#include "broker/log/manifest.h"
#include "common/base/types.h"
#include "common/env/env.h"

#define DATA_DIR_MESSAGE_MAX 512

struct data_dir {
    struct env *env;
    char *path;
    struct env_file *lock;
    int32_t node_id;
    struct uuid directory_id;
    struct uuid cluster_id;    /* zero: not known yet (data_dir_set_cluster) */
    struct manifest *manifest; /* owned by env's loop; closed with the directory */
    struct manifest_report report;
};

/* Makes path when it is missing, locks it, checks or creates meta.properties, opens the manifest. cluster_id
 * zero: not known yet. On failure ret_message (DATA_DIR_MESSAGE_MAX bytes) is one line that names the file
 * and the fix. ERR_BUSY: another process has it. ERR_MISMATCH: it is another node's or cluster's.
 * ERR_PERMISSION ... Blocking: for the start. */
enum err data_dir_open(struct env *env, const char *path, int32_t node_id, struct uuid cluster_id,
                       struct data_dir **ret_dir, char *ret_message);

/* The cluster that the first registration told; durable on return. ERR_MISMATCH when another one is known. */
enum err data_dir_set_cluster(struct data_dir *dir, struct uuid cluster_id);

/* Whether the last run's logs can be believed without a doubt: stopped cleanly, or the page cache survived.
 * For registration (meta_broker.clean_start). */
bool data_dir_clean_start(const struct data_dir *dir);

/* Whether what was synced once is known to be there, as far as a manifest can tell: only what was not synced
 * may be gone. For registration. */
bool data_dir_synced_kept(const struct data_dir *dir);

/* Whether the last run is known to have ended without a clean stop and without its page cache: what it had
 * not synced reached the disk in any order (plog_setup.power_lost). */
bool data_dir_power_lost(const struct data_dir *dir);

/* Calls each(ctx, name, topic_id, index) for every partition directory; known = false sets it aside as
 * <name>.quarantined-<random>. Directories without a readable partition.metadata have a zero topic id. Only
 * with an image at or past our own registration (DESIGN). *ret_quarantined: how many. */
enum err data_dir_sweep(struct data_dir *dir,
                        bool (*known)(void *ctx, const char *name, struct uuid topic_id, int32_t index),
                        void *ctx, uint32_t *ret_quarantined);

/* Closes the manifest (clean: marks a clean stop) and gives the directory free. */
enum err data_dir_close(struct data_dir *dir, bool clean);

#endif
