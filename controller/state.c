/* SPDX-License-Identifier: Apache-2.0 */
/* What Raft commits becomes the image; what Raft knows about leadership wakes and rests the core. */
#include <stdio.h>

#include "common/base/assert.h"
#include "controller/controller_internal.h"

void controller_fail(struct controller *c, enum err err, const char *what)
{
    char text[CONTROLLER_TEXT_MAX];
    if (c->failed)
        return;
    c->failed = true;
    LOG(c->options.logger, ERROR, "controller.failed", F_STR("what", what), F_ERR("error", err));
    snprintf(text, sizeof(text), "%s: %s", what, err_text(err));
    if (c->options.failed != NULL)
        c->options.failed(c->options.failed_ctx, text);
}

/* Applies length-delimited records to an edit. */
static enum err apply_records(struct image_edit *edit, struct bytes data)
{
    uint8_t first[4096];
    struct arena arena;
    struct reader r = reader_over(data.p, (size_t)data.len);
    enum err err = OK;
    arena_init(&arena, first, sizeof(first), REQUEST_ARENA_MAX);
    while (reader_left(&r) > 0 && err == OK) {
        struct meta_record record;
        err = meta_record_decode(&r, &arena, &record);
        if (err == OK)
            err = image_edit_apply(edit, &record);
        arena_reset(&arena);
    }
    arena_free(&arena);
    return err;
}

/* A new image with the records applied, in place of the old one. */
static enum err advance_image(struct controller *c, struct image_edit *edit, struct bytes data,
                              uint64_t index, uint64_t term)
{
    enum err err = edit == NULL ? ERR_NOMEM : apply_records(edit, data);
    if (err != OK) {
        if (edit != NULL)
            image_edit_abort(edit);
        return err;
    }
    struct image *image = image_edit_commit(edit, index, term);
    if (image == NULL)
        return ERR_NOMEM;
    image_unref(c->image);
    c->image = image;
    return OK;
}

void controller_learn_cluster(struct controller *c, struct uuid id)
{
    char text[CONTROLLER_TEXT_MAX];
    if (uuid_is_zero(id) || uuid_eq(id, c->self.cluster_id))
        return;
    enum err err = storage_set_cluster_id_wait(c->storage, id, text);
    if (err != OK) {
        controller_fail(c, err, text);
        return;
    }
    char name[UUID_TEXT_MAX];
    uuid_format(id, name);
    c->self.cluster_id = id;
    LOG(c->options.logger, INFO, "cluster.known", F_STR("cluster_id", name));
}

static void on_applied(void *ctx, uint64_t index, uint64_t term, struct bytes data, uint64_t token)
{
    struct controller *c = ctx;
    if (c->failed)
        return;
    enum err err = advance_image(c, image_edit_begin(c->image), data, index, term);
    if (err != OK) {
        controller_fail(c, err, "applying a committed metadata entry");
        return;
    }
    controller_learn_cluster(c, image_cluster_id(c->image));
    c->entries_since_snapshot++;
    c->bytes_since_snapshot += (uint64_t)data.len;
    controller_metrics_commit(c->metrics, (uint64_t)data.len);
    env_defer(c->env, &c->publish_task);
    if (token != 0 && core_is_active(&c->core))
        drive_run(c, core_committed(&c->core, env_now_us(c->env), token, c->image));
}

static enum err on_install(void *ctx, const struct snapshot *snapshot)
{
    struct controller *c = ctx;
    struct iobuf *buf;
    enum err err = snapshot_load(snapshot, &buf);
    if (err != OK)
        return err;
    struct bytes data = {buf->data, (int32_t)buf->len};
    err = advance_image(c, image_edit_begin_empty(), data, snapshot->id.index, snapshot->id.term);
    iobuf_unref(buf);
    if (err != OK)
        return err;
    c->entries_since_snapshot = c->bytes_since_snapshot = 0;
    controller_learn_cluster(c, image_cluster_id(c->image));
    env_defer(c->env, &c->publish_task);
    LOG(c->options.logger, INFO, "snapshot.loaded", F_U64("index", snapshot->id.index),
        F_U64("bytes", snapshot->stream_size));
    return OK;
}

static void on_gained(void *ctx, uint64_t term)
{
    struct controller *c = ctx;
    LOG(c->options.logger, INFO, "controller.active", F_U64("term", term),
        F_U64("index", image_index(c->image)));
    drive_run(c, core_activate(&c->core, env_now_us(c->env), env_wall_ms(c->env), c->image, term));
}

static void on_lost(void *ctx)
{
    struct controller *c = ctx;
    membership_lost(c);
    LOG(c->options.logger, INFO, "controller.resigned", F_U64("index", image_index(c->image)));
    if (core_is_active(&c->core))
        drive_run(c, core_deactivate(&c->core, env_now_us(c->env)));
    env_defer(c->env, &c->publish_task);
    if (c->stopping)
        env_timer_set(c->env, &c->stop_timer, 0);
}

static void on_dropped(void *ctx, uint64_t token, enum err err)
{
    struct controller *c = ctx;
    /* Leadership is on its way to somebody else; nothing more can be planned here (core.h). */
    if (core_is_active(&c->core))
        drive_run(c, core_deactivate(&c->core, env_now_us(c->env)));
    drive_resign(c);
}

static void on_leader(void *ctx, int32_t leader_id, uint64_t term)
{
    struct controller *c = ctx;
    LOG(c->options.logger, INFO, "quorum.leader", F_I64("leader", leader_id), F_U64("term", term));
}

static void on_members(void *ctx)
{
    struct controller *c = ctx;
    env_defer(c->env, &c->members_task);
}

static void on_refused(void *ctx, int32_t from, enum err err, const char *why)
{
    struct controller *c = ctx;
    LOG_LIMITED(c->options.logger, &c->refused_limit, WARN, "quorum.refused", F_I64("peer", from),
                F_ERR("error", err), F_STR("why", why));
}

static void on_failed(void *ctx, enum err err, const char *what)
{
    controller_fail(ctx, err, what);
}

const struct consensus_handler controller_consensus_handler = {.applied = on_applied,
                                                               .install = on_install,
                                                               .gained = on_gained,
                                                               .lost = on_lost,
                                                               .dropped = on_dropped,
                                                               .leader = on_leader,
                                                               .members = on_members,
                                                               .refused = on_refused,
                                                               .failed = on_failed};
