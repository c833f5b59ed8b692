/* SPDX-License-Identifier: Apache-2.0 */
/* Writing a snapshot of our own without stopping the loop: a piece of the state each turn, then sync and
 * rename. */
#ifndef SLUICE_CONTROLLER_SNAPSHOT_TASK_H
#define SLUICE_CONTROLLER_SNAPSHOT_TASK_H

#include "controller/consensus.h"

struct snapshot_task {
    struct env *env;
    struct snapshot_store *store;
    struct snapshot_writer *writer; /* NULL: finishing, or idle */
    bool active;
    const struct consensus_source *source;
    void *source_ctx;
    struct env_timer timer;
    /* The snapshot is durable and the newest of the store. Before the source's end(). */
    void (*written)(void *ctx, struct snapshot *snapshot);
    void *ctx;
};

/* An idle task. */
void snapshot_task_init(struct snapshot_task *task, struct env *env, struct snapshot_store *store,
                        void (*written)(void *ctx, struct snapshot *snapshot), void *ctx);

/* Begins; what source gives is the state at id. ERR_BUSY, or a failure of the disk: source is not used then.
 */
enum err snapshot_task_start(struct snapshot_task *task, struct snapshot_id id, uint64_t config_index,
                             struct bytes config, const struct consensus_source *source, void *source_ctx);

/* Gives up what is unfinished; the source ends with ERR_CANCELED. */
void snapshot_task_stop(struct snapshot_task *task);

#endif
