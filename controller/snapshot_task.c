/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/snapshot_task.h"

#include "common/base/assert.h"

#define TURN_BYTES     (256u << 10)
#define TURN_BYTES_MAX (16u << 20) /* one record can be larger than a turn's budget, but not this large */

static void end(struct snapshot_task *task, enum err err)
{
    ASSERT(task->active);
    task->active = false;
    task->source->end(task->source_ctx, err);
}

static void file_done(void *ctx, struct snapshot *snapshot, enum err err)
{
    struct snapshot_task *task = ctx;
    if (!task->active)
        return;
    if (err == OK)
        task->written(task->ctx, snapshot);
    end(task, err);
}

static enum err write_some(struct snapshot_task *task, bool *ret_done)
{
    struct writer w;
    writer_init(&w, task->env->pool, TURN_BYTES + 4096, TURN_BYTES_MAX);
    enum err err = task->source->next(task->source_ctx, &w, TURN_BYTES, ret_done);
    if (err == OK)
        err = w.err;
    if (err == OK && w.buf != NULL)
        err = snapshot_write_put(task->writer, w.buf->data, w.buf->len);
    writer_free(&w);
    return err;
}

static void turn(struct env_timer *timer)
{
    struct snapshot_task *task = CONTAINER_OF(timer, struct snapshot_task, timer);
    bool done = false;
    enum err err = write_some(task, &done);
    if (err == OK && !done) {
        env_timer_set(task->env, timer, 0);
        return;
    }
    struct snapshot_writer *writer = task->writer;
    task->writer = NULL;
    if (err == OK) {
        snapshot_write_finish(writer, file_done, task);
        return;
    }
    snapshot_write_abort(writer);
    end(task, err);
}

void snapshot_task_init(struct snapshot_task *task, struct env *env, struct snapshot_store *store,
                        void (*written)(void *ctx, struct snapshot *snapshot), void *ctx)
{
    *task = (struct snapshot_task){.env = env, .store = store, .written = written, .ctx = ctx};
    env_timer_init(&task->timer, turn);
}

enum err snapshot_task_start(struct snapshot_task *task, struct snapshot_id id, uint64_t config_index,
                             struct bytes config, const struct consensus_source *source, void *source_ctx)
{
    if (task->active)
        return ERR_BUSY;
    enum err err = snapshot_write_begin(task->store, id, config_index, config, &task->writer);
    if (err != OK)
        return err;
    task->active = true;
    task->source = source;
    task->source_ctx = source_ctx;
    env_timer_set(task->env, &task->timer, 0);
    return OK;
}

void snapshot_task_stop(struct snapshot_task *task)
{
    env_timer_cancel(task->env, &task->timer);
    if (task->writer != NULL)
        snapshot_write_abort(task->writer);
    task->writer = NULL;
    if (task->active)
        end(task, ERR_CANCELED);
}
