/* SPDX-License-Identifier: Apache-2.0 */
/* The metadata: committed entries tailed from the active controller (a snapshot first when far behind),
 * applied to the image, and each new version mailed to the shards with what it changes for this broker. */
#include <string.h>

#include "broker/shard/control_internal.h"
#include "broker/shard/shard.h"
#include "broker/shard/shard_image.h"
#include "common/base/assert.h"
#include "common/base/mutant.h"
#include "common/obs/log.h"
#include "proto/cluster/topic_config.h"
#include "proto/kafka/error.h"

#define TAIL_BYTES_MAX   (4u * 1024 * 1024)
#define TAIL_WAIT_MS     10000
#define TAIL_TIMEOUT_US  ((TAIL_WAIT_MS + 2000) * 1000ull)
#define PIECE_BYTES_MAX  (1u * 1024 * 1024)
#define RECORD_BYTES_MAX (8u * 1024 * 1024) /* the longest record that may be cut between two pieces */

/* -- placement -- */

struct placing {
    struct control *control;
    struct image_step *step; /* NULL while counting */
    uint32_t count;
    bool leaving; /* those that leave are added, else those that are here */
};

static bool here(const struct control *control, const struct image_partition *state)
{
    for (int32_t i = 0; state && i < state->replicas_count; i++)
        if (state->replicas[i] == control->broker->broker_id)
            return true;
    return false;
}

static bool count_change(void *ctx, const struct image_topic *topic, const struct image_partition *before,
                         const struct image_partition *after)
{
    struct placing *placing = ctx;

    placing->count += here(placing->control, before) || here(placing->control, after);
    return true;
}

static unsigned emptiest_shard(const struct control *control)
{
    unsigned best = 0;

    for (unsigned i = 1; i < control->broker->shard_count; i++)
        if (control->partitions_of[i] < control->partitions_of[best])
            best = i;
    return best;
}

/* Topics that follow each other under one name have the same directories; so has a replica that comes again.
 */
static struct uuid directory_of(const struct image_topic *topic)
{
    uint64_t words[2];
    struct uuid key;

    for (uint64_t i = 0; i < ARRAY_LEN(words); i++)
        words[i] = hash_bytes(topic->name.p, (size_t)topic->name.len, i);
    STATIC_ASSERT(sizeof(words) == sizeof(key), "two words fill a key");
    memcpy(&key, words, sizeof(key));
    return key;
}

/* A directory that a shard may not have given up yet is that shard's next, which does one after the other:
 * another one would open it under the former log, which then takes it away. */
static unsigned choose_shard(const struct control *control, const struct image_topic *topic, int32_t index)
{
    const struct route *left = route_find(&control->left, directory_of(topic), index);

    return left ? left->shard : emptiest_shard(control);
}

static void note_left(struct control *control, const struct image_topic *topic, int32_t index, unsigned shard)
{
    struct route *left = route_put(&control->left, directory_of(topic), index, shard);

    ASSERT(left);
    left->shard = shard;
    control->left_index = image_index(control->image);
}

static void forget_left(struct control *control)
{
    if (control->left.count == 0 || control_applied_min(control) < control->left_index)
        return;
    route_table_free(&control->left);
    route_table_init(&control->left);
}

/* The shard that owns the replica: chosen when it appears, kept while it stays. */
static unsigned place(struct control *control, const struct image_topic *topic, int32_t index, bool stays)
{
    struct route *route = route_find(&control->placement, topic->id, index);

    if (!route) {
        route = route_put(&control->placement, topic->id, index, choose_shard(control, topic, index));
        ASSERT(route);
        control->partitions_of[route->shard]++;
    }
    unsigned shard = route->shard;
    if (!stays) {
        note_left(control, topic, index, shard);
        control->partitions_of[shard]--;
        route_remove(&control->placement, topic->id, index);
    }
    return shard;
}

static bool add_change(void *ctx, const struct image_topic *topic, const struct image_partition *before,
                       const struct image_partition *after)
{
    struct placing *placing = ctx;
    bool stays = here(placing->control, after);
    int32_t index = after ? after->index : before->index;

    placing->step->topics_gone |= !after;
    if (stays == placing->leaving || !(stays || here(placing->control, before)))
        return true;
    placing->step->changes[placing->step->changes_count++] =
        (struct route_change){topic->id, index, place(placing->control, topic, index, stays)};
    return true;
}

/* Calls each for the partitions of topics whose settings changed; those of new topics are new themselves. */
static void config_topics(struct placing *placing, bool (*each)(void *ctx, const struct image_topic *topic,
                                                                const struct image_partition *before,
                                                                const struct image_partition *after))
{
    const struct control *control = placing->control;

    for (uint32_t i = 0; !control->defaults_changed && i < control->config_topics_count; i++) {
        const struct image_topic *topic = image_topic_by_id(control->image, control->config_topics[i]);
        if (!topic || !image_topic_by_id(control->published, topic->id))
            continue;
        for (int32_t p = 0; p < topic->partitions_count; p++)
            each(placing, topic, NULL, image_partition(control->image, topic, p));
    }
}

/* Shards never see metadata older than this broker's registration: it may call them leaders of an epoch that
 * their logs served in a former life, and after a power cut the same offsets of the same epoch would be
 * written twice. Nor do they see any that is older than what they know: a snapshot may be (each controller
 * takes its own, and one settles an image that is damaged), and what was made since would look deleted, with
 * its data. The entries behind the snapshot follow. */
static bool holds_registration(const struct control *control)
{
    const struct image_broker *self = image_broker(control->image, control->broker->broker_id);

    if (MUTANT(APPLY_STALE_METADATA))
        return true;
    return control->registered && self && self->epoch >= control->broker_epoch;
}

void control_publish(struct control *control)
{
    struct placing placing = {.control = control};
    bool older = image_index(control->image) < image_index(control->published);

    if (control->image == control->published || older || !holds_registration(control))
        return;
    image_diff_partitions(control->published, control->image, count_change, &placing);
    config_topics(&placing, count_change);
    placing.step = image_step_new(control->image, placing.count);
    ASSERT(placing.step);
    forget_left(control);
    placing.leaving = true; /* they make room for others of their name */
    image_diff_partitions(control->published, control->image, add_change, &placing);
    placing.leaving = false;
    image_diff_partitions(control->published, control->image, add_change, &placing);
    config_topics(&placing, add_change);
    placing.step->defaults_changed = control->defaults_changed;
    for (unsigned i = 0; i < control->broker->shard_count; i++)
        ASSERT(shard_post_image(control->broker->shards[i], placing.step));
    image_step_unref(placing.step);
    image_unref(control->published);
    control->published = image_ref(control->image);
    control->defaults_changed = false;
    control->config_topics_count = 0;
}

/* Makes the new image the present one, and mails it to the shards as soon as it may be. */
static void take_image(struct control *control, struct image *image)
{
    image_unref(control->image);
    control->image = image;
    control_publish(control);
}

/* -- settings -- */

/* The topic's settings changed, if it is there. Settings of more topics than one remembers are taken for
 * settings of all. */
static void note_topic(struct control *control, const struct image *image, struct str name)
{
    const struct image_topic *topic = image_topic_by_name(image, name);
    uint32_t count = control->config_topics_count;

    if (!topic || (count > 0 && uuid_eq(control->config_topics[count - 1], topic->id)))
        return;
    if (count == CONFIG_TOPICS_MAX)
        control->defaults_changed = true;
    else
        control->config_topics[control->config_topics_count++] = topic->id;
}

static void note_config(struct control *control, const struct image *image, const struct meta_config *config)
{
    if (config->resource_type == CONFIG_RESOURCE_TOPIC)
        note_topic(control, image, config->resource_name);
    else
        control->defaults_changed = true;
}

/* -- entries -- */

/* Applies all records of a run of bytes; whole records only. */
static enum err apply_records(struct control *control, struct image_edit *edit, struct reader *r)
{
    while (reader_left(r) > 0) {
        struct meta_record record;
        enum err err = meta_record_decode(r, &control->arena, &record);
        if (err == OK)
            err = image_edit_apply(edit, &record);
        if (err != OK)
            return err;
        if (record.type == META_CONFIG)
            note_config(control, image_edit_view(edit), &record.config);
    }
    return OK;
}

static enum err apply_entries(struct control *control, const struct rpc_tail_reply *reply)
{
    struct image_edit *edit = image_edit_begin(control->image);
    uint64_t index = image_index(control->image), term = image_term(control->image);
    enum err err = edit ? OK : ERR_NOMEM;

    for (int32_t i = 0; err == OK && i < reply->entries_count; i++) {
        const struct rpc_tail_entry *entry = &reply->entries[i];
        struct reader r = reader_over(entry->records.p, (size_t)MAX(entry->records.len, 0));
        if (entry->index <= index)
            continue; /* told twice */
        err = apply_records(control, edit, &r);
        index = entry->index;
        term = entry->term;
    }
    if (err != OK) {
        if (edit)
            image_edit_abort(edit);
        return err;
    }
    struct image *image = image_edit_commit(edit, index, term);
    if (!image)
        return ERR_NOMEM;
    take_image(control, image);
    return OK;
}

/* Metadata that cannot be applied: our image, or what we were sent, is damaged. The snapshot settles it. */
static void start_over(struct control *control, enum err err)
{
    LOG(control->broker->log, ERROR, "metadata.unreadable", F_U64("index", image_index(control->image)),
        F_ERR("error", err));
    control->snapshot.wanted = true;
    control_retry_soon(control);
}

static void take_tail(struct control *control, unsigned link, const struct rpc_tail_reply *reply)
{
    if (reply->error == KAFKA_NOT_CONTROLLER) {
        control_not_leader(control, link, reply->leader_id);
        return;
    }
    if (reply->error == KAFKA_OFFSET_OUT_OF_RANGE) {
        control->snapshot.wanted = true;
        control_tail(control);
        return;
    }
    if (reply->error != KAFKA_NONE) { /* that controller cannot answer now; our image is as good as before */
        control_not_leader(control, link, -1);
        return;
    }
    enum err err = reply->entries_count > 0 ? apply_entries(control, reply) : OK;
    if (err != OK)
        start_over(control, err);
    else
        control_tail(control);
}

static void on_tail(struct rpc_call *call, enum err err, uint16_t type, const uint8_t *payload, size_t len)
{
    struct control_ask *ask = CONTAINER_OF(call, struct control_ask, call);
    struct control *control = ask->control;
    unsigned link = control_ask_over(ask);
    struct reader r = reader_over(payload, len);
    struct rpc_tail_reply reply;

    arena_reset(&control->arena);
    if (err == ERR_CANCELED)
        return;
    if (err == OK && rpc_tail_reply_decode(&r, &control->arena, &reply) == OK)
        take_tail(control, link, &reply);
    else
        control_not_leader(control, link, -1);
}

/* -- snapshots -- */

static void snapshot_drop(struct snapshot_read *snapshot)
{
    if (snapshot->edit)
        image_edit_abort(snapshot->edit);
    writer_free(&snapshot->rest);
    *snapshot = (struct snapshot_read){.wanted = snapshot->wanted};
}

/* Applies the whole records at the front of the rest, and keeps what is left. The length of a record leads
 * it, so a cut one is told by TRUNCATED. */
static enum err apply_piece(struct control *control, struct snapshot_read *snapshot)
{
    struct reader r = reader_over(snapshot->rest.buf->data, snapshot->rest.buf->len);
    enum err err = OK;

    while (err == OK && reader_left(&r) > 0) {
        struct reader attempt = r;
        struct meta_record record;
        arena_reset(&control->arena);
        err = meta_record_decode(&attempt, &control->arena, &record);
        if (err == OK)
            err = image_edit_apply(snapshot->edit, &record);
        if (err == OK)
            r = attempt;
    }
    struct writer rest;
    writer_init(&rest, control->env->pool, reader_left(&r) + 1, RECORD_BYTES_MAX);
    writer_raw(&rest, r.p, reader_left(&r));
    writer_free(&snapshot->rest);
    snapshot->rest = rest;
    return err == ERR_TRUNCATED ? OK : err;
}

static void snapshot_done(struct control *control, uint64_t term)
{
    struct snapshot_read *snapshot = &control->snapshot;
    bool whole = writer_pos(&snapshot->rest) == 0;
    struct image *image = whole ? image_edit_commit(snapshot->edit, snapshot->index, term) : NULL;

    if (whole)
        snapshot->edit = NULL; /* gone with the commit */
    snapshot_drop(snapshot);
    if (!image) {
        start_over(control, ERR_MALFORMED);
        return;
    }
    snapshot->wanted = false;
    LOG(control->broker->log, INFO, "metadata.snapshot_loaded", F_U64("index", image_index(image)));
    control->defaults_changed = true;
    take_image(control, image);
    control_tail(control);
}

static void take_piece(struct control *control, const struct rpc_snapshot_reply *reply)
{
    struct snapshot_read *snapshot = &control->snapshot;

    if (!snapshot->edit) {
        snapshot->index = reply->snapshot_index;
        snapshot->edit = image_edit_begin_empty();
        writer_init(&snapshot->rest, control->env->pool, PIECE_BYTES_MAX, PIECE_BYTES_MAX + RECORD_BYTES_MAX);
    }
    if (!snapshot->edit || reply->snapshot_index != snapshot->index || reply->offset != snapshot->offset) {
        snapshot_drop(snapshot);
        start_over(control, ERR_MALFORMED);
        return;
    }
    uint64_t term = reply->snapshot_term;
    bool last = reply->last;
    snapshot->offset += (uint64_t)MAX(reply->chunk.len, 0);
    snapshot->rest.cap_bytes = PIECE_BYTES_MAX + RECORD_BYTES_MAX;
    writer_raw(&snapshot->rest, reply->chunk.p, (size_t)MAX(reply->chunk.len, 0));
    enum err err = snapshot->rest.err != OK ? snapshot->rest.err : apply_piece(control, snapshot);
    if (err != OK) {
        snapshot_drop(snapshot);
        start_over(control, err);
    } else if (last) {
        snapshot_done(control, term);
    } else {
        control_tail(control);
    }
}

static void on_piece(struct rpc_call *call, enum err err, uint16_t type, const uint8_t *payload, size_t len)
{
    struct control_ask *ask = CONTAINER_OF(call, struct control_ask, call);
    struct control *control = ask->control;
    unsigned link = control_ask_over(ask);
    struct reader r = reader_over(payload, len);
    struct rpc_snapshot_reply reply = {.error = KAFKA_NONE};

    arena_reset(&control->arena);
    if (err == ERR_CANCELED)
        return;
    if (err == OK && rpc_snapshot_reply_decode(&r, &control->arena, &reply) == OK &&
        reply.error == KAFKA_NONE) {
        take_piece(control, &reply);
        return;
    }
    if (err == OK && reply.error == KAFKA_SNAPSHOT_NOT_FOUND && control->snapshot.offset == 0)
        control->snapshot.wanted = false; /* nobody has trimmed its log so far: the entries are there */
    snapshot_drop(&control->snapshot);    /* another controller has another snapshot: from the start */
    control_not_leader(control, link, -1);
}

void control_tail(struct control *control)
{
    struct control_ask *ask = &control->tail_ask;

    if (ask->under_way || control->stopping)
        return;
    if (control->snapshot.wanted) {
        struct rpc_snapshot_request request = {.snapshot_index = control->snapshot.index,
                                               .offset = control->snapshot.offset,
                                               .max_bytes = PIECE_BYTES_MAX};
        control_ask_send(control, ask, CLUSTER_RPC_SNAPSHOT,
                         control_encode(control, snapshot_request, &request), TAIL_TIMEOUT_US, on_piece);
    } else {
        struct rpc_tail_request request = {.from_index = image_index(control->image) + 1,
                                           .max_bytes = TAIL_BYTES_MAX,
                                           .wait_ms = TAIL_WAIT_MS};
        control_ask_send(control, ask, CLUSTER_RPC_TAIL, control_encode(control, tail_request, &request),
                         TAIL_TIMEOUT_US, on_tail);
    }
}
