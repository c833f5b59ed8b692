/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/shard/coordinator.h"

#include <stdlib.h>

#include "broker/shard/group_coordinator.h"
#include "broker/shard/txn_coordinator.h"
#include "common/base/assert.h"
#include "common/base/mutant.h"
#include "common/base/probe.h"
#include "common/batch/builder.h"
#include "common/obs/log.h"
#include "proto/kafka/error.h"

#define LOAD_PIECE_BYTES   (1 << 20) /* read per turn, so that others have their turns too */
#define LOAD_RETRY_US      5000 /* no room for a cold read, or an index is being made: asked again after this */
#define LOAD_AGAIN_US      1000000 /* the log cannot be read: asked again after this */
#define WRITE_AGAIN_US     100000 /* what the core writes because the log refused is given to it after this */
#define BATCH_BYTES_WANTED (256 << 10) /* writes share a batch up to this size */
#define BATCH_BYTES_MAX    (256 << 20) /* of one write alone; the topic's own limit refuses long before */
#define NO_TIMEOUT_MS      INT32_MAX   /* the core has time-outs of its own; the log keeps what it took */

enum coordinator_state { COORDINATOR_LOADING, COORDINATOR_READY, COORDINATOR_BROKEN };

struct coordinator {
    struct shard *shard;
    struct partition *p;
    const struct coordinator_type *type;
    void *core; /* NULL when BROKEN */
    enum coordinator_state state;
    int32_t leader_epoch;
    int64_t load_next, load_end; /* the log end when we began to lead */
    uint64_t load_began_us, load_records;
    struct partition_watch watch;
    struct env_timer load_timer, core_timer;
    struct load_read *load_read; /* under way; NULL: none */
    struct env_task turn_end;
    struct list batches; /* of struct flight, oldest first */
    bool refused;        /* a write, when they were given to the log last: the core may have more */
};

/* A batch on its way to the high watermark. */
struct flight {
    struct list link;
    struct coordinator *c;
    struct partition_wait wait;
    uint64_t first, last;              /* writes in it */
    struct coordinator_marker *marker; /* it is this one; NULL: writes of the core */
    bool appended;                     /* the marker is new in the log */
};

/* A batch being filled. */
struct filling {
    struct batch_builder builder;
    bool open;
    uint64_t first, last;
};

static const struct coordinator_type *const types[] = {&group_coordinator_type, &txn_coordinator_type};

static void enter(struct coordinator *c)
{
    c->type->set_time(c->core, env_now_us(c->shard->env), env_wall_ms(c->shard->env));
}

static void core_timer_set(struct coordinator *c)
{
    uint64_t due = c->type->deadline(c->core);

    if (c->refused)
        due = MIN(due, env_now_us(c->shard->env) + WRITE_AGAIN_US);
    if (due == UINT64_MAX)
        env_timer_cancel(c->shard->env, &c->core_timer);
    else if (!env_timer_armed(&c->core_timer) || c->core_timer.node.key != due)
        env_timer_set(c->shard->env, &c->core_timer, due);
}

static void log_event(struct coordinator *c, const char *event, int64_t offset, enum err err)
{
    LOG(c->shard->broker->log, ERROR, event, F_VIEW("topic", partition_topic(c->p)),
        F_I64("partition", partition_index(c->p)), F_I64("offset", offset), F_ERR("error", err));
}

/* -- ending -- */

static void drop_flights(struct coordinator *c)
{
    while (!list_empty(&c->batches)) {
        struct flight *flight = CONTAINER_OF(c->batches.next, struct flight, link);
        PROBE(COORDINATOR_WRITE_LOST);
        partition_wait_cancel(&flight->wait);
        list_remove(&flight->link);
        if (flight->marker)
            flight->marker->done(flight->marker, KAFKA_NOT_LEADER_OR_FOLLOWER);
        free(flight);
    }
}

/* A range of the log that is not in the page cache, read without the loop before the load goes on. It may
 * outlive the coordinator. */
struct load_read {
    struct env_io io;
    struct coordinator *c; /* NULL: gone */
    struct iobuf *buf;     /* charged to the coordinator's budget */
    struct env_file *file;
};

/* Nobody waits for it any more, or it is there. */
static void load_read_end(struct coordinator *c)
{
    budget_give(&c->shard->broker->budget, BUDGET_COLD_READS, c->load_read->buf->cap);
    c->load_read->c = NULL;
    c->load_read = NULL;
}

/* Nothing is known for certain any more: everybody is sent away until a new leader has loaded. */
static void coordinator_break(struct coordinator *c)
{
    drop_flights(c);
    partition_watch_cancel(&c->watch);
    env_timer_cancel(c->shard->env, &c->load_timer);
    if (c->load_read)
        load_read_end(c);
    env_timer_cancel(c->shard->env, &c->core_timer);
    env_task_cancel(&c->turn_end);
    if (c->core)
        c->type->close(c->core);
    c->core = NULL;
    c->state = COORDINATOR_BROKEN;
}

static void coordinator_close(struct coordinator *c)
{
    coordinator_break(c);
    free(c);
}

/* -- writing -- */

static void marker_over(struct flight *flight, int16_t error)
{
    struct coordinator *c = flight->c;
    struct coordinator_marker *marker = flight->marker;
    bool counts =
        flight->appended && (error == KAFKA_NONE || error == KAFKA_NOT_ENOUGH_REPLICAS_AFTER_APPEND);

    bool unknown = flight->appended && !counts;
    list_remove(&flight->link);
    free(flight);
    if (unknown)
        coordinator_break(c); /* it may count one day */
    if (counts) {
        enter(c);
        if (c->type->marked)
            c->type->marked(c->core, marker->marker.producer_id, marker->marker.commit);
        coordinator_touched(c);
    }
    marker->done(marker, error);
}

static void flight_over(struct flight *flight, int16_t error)
{
    struct coordinator *c = flight->c;
    uint64_t last = flight->last;

    if (flight->marker) {
        marker_over(flight, error);
        return;
    }

    list_remove(&flight->link);
    free(flight);
    if (error != KAFKA_NONE && error != KAFKA_NOT_ENOUGH_REPLICAS_AFTER_APPEND) {
        coordinator_break(c); /* written, but who knows what becomes of it */
        return;
    }
    enter(c);
    c->type->committed(c->core, last);
    coordinator_touched(c);
}

static void on_settled(struct partition_wait *wait, int16_t error)
{
    flight_over(CONTAINER_OF(wait, struct flight, wait), error);
}

static int16_t append(struct coordinator *c, struct flight *flight, struct iobuf *batch, bool *ret_waits)
{
    struct partition_append request = {.records = batch->data,
                                       .len = (int32_t)batch->len,
                                       .owner = batch,
                                       .acks = MUTANT(COMMIT_BEFORE_LOG) ? 0 : -1,
                                       .timeout_ms = NO_TIMEOUT_MS,
                                       .current_leader_epoch = c->leader_epoch,
                                       .internal = true};
    struct partition_appended result;

    flight->wait.done = on_settled;
    partition_append(c->p, &request, &flight->wait, &result);
    *ret_waits = result.waits;
    return result.error;
}

/* Ends the batch being filled. Nothing of it is in the log when that fails. */
static void fly(struct coordinator *c, struct filling *filling)
{
    struct flight *flight = calloc(1, sizeof(*flight));
    struct iobuf *batch = NULL;
    int16_t error = KAFKA_COORDINATOR_NOT_AVAILABLE;
    bool waits = false;

    filling->open = false;
    if (flight && batch_builder_finish(&filling->builder, NULL, &batch) == OK) {
        *flight = (struct flight){.c = c, .first = filling->first, .last = filling->last};
        list_push_back(&c->batches, &flight->link);
        error = append(c, flight, batch, &waits);
        iobuf_unref(batch);
    } else if (!flight) {
        batch_builder_free(&filling->builder);
    }
    if (error != KAFKA_NONE) {
        if (flight && batch)
            list_remove(&flight->link);
        free(flight);
        c->refused = true;
        c->type->failed(c->core, filling->first, filling->last, error);
    } else if (!waits) {
        flight_over(flight, KAFKA_NONE);
    }
}

static enum err add_records(struct coordinator *c, struct filling *filling,
                            const struct coordinator_write *write)
{
    struct reader r = reader_over(write->p, (size_t)write->len);
    int64_t now_ms = env_wall_ms(c->shard->env);
    enum err err = OK;

    for (int32_t i = 0; i < write->count && err == OK; i++) {
        struct record_in rec = {.timestamp_ms = now_ms, .value = BYTES_NULL};
        int32_t len = reader_i32(&r);
        rec.key = (struct bytes){reader_raw(&r, (size_t)len), len};
        len = reader_i32(&r);
        if (len >= 0)
            rec.value = (struct bytes){reader_raw(&r, (size_t)len), len};
        ASSERT(r.err == OK);
        err = batch_builder_add(&filling->builder, &rec);
    }
    return err;
}

static enum err open_batch(struct coordinator *c, struct filling *filling,
                           const struct coordinator_write *write)
{
    struct batch_opts opts = BATCH_OPTS_PLAIN;

    if (write->transactional) {
        opts.transactional = true;
        opts.producer_id = write->producer_id;
        opts.producer_epoch = write->producer_epoch;
    }
    filling->first = write->seq;
    enum err err = batch_builder_init(&filling->builder, &opts, c->shard->env->pool,
                                      (size_t)write->len + BATCH_HEADER_BYTES, BATCH_BYTES_MAX);
    filling->open = err == OK;
    return err;
}

static void put_write(struct coordinator *c, struct filling *filling, const struct coordinator_write *write)
{
    bool shares = filling->open && !write->transactional &&
                  batch_builder_size(&filling->builder) + (size_t)write->len <= BATCH_BYTES_WANTED;

    if (filling->open && !shares)
        fly(c, filling);
    enum err err = c->core && !filling->open ? open_batch(c, filling, write) : OK;
    if (!c->core)
        return;
    if (err == OK)
        err = add_records(c, filling, write);
    filling->last = write->seq;
    if (err != OK) { /* out of memory or absurdly large: none of them was written */
        if (filling->open)
            batch_builder_free(&filling->builder);
        filling->open = false;
        c->refused = true;
        c->type->failed(c->core, filling->first, filling->last,
                        err == ERR_TOO_LARGE ? KAFKA_MESSAGE_TOO_LARGE : KAFKA_COORDINATOR_NOT_AVAILABLE);
    } else if (write->transactional) {
        fly(c, filling);
    }
}

/* A refused write makes the core write again, perhaps: a while later, or the log would be asked as fast as it
 * refuses. */
static void write_all(struct coordinator *c)
{
    struct filling filling = {.open = false};
    struct coordinator_write write;

    c->refused = false;
    while (c->core && c->type->take_write(c->core, &write))
        put_write(c, &filling, &write);
    if (c->core && filling.open)
        fly(c, &filling);
    if (c->core && c->refused)
        core_timer_set(c);
}

static void on_turn_end(struct env_task *task)
{
    struct coordinator *c = CONTAINER_OF(task, struct coordinator, turn_end);

    if (!c->core || c->state != COORDINATOR_READY)
        return;
    write_all(c);
    if (!c->core)
        return;
    c->type->deliver(c->core);
    core_timer_set(c);
}

void coordinator_touched(struct coordinator *c)
{
    env_defer(c->shard->env, &c->turn_end);
}

bool coordinator_mark(struct coordinator *c, struct coordinator_marker *marker, int32_t timeout_ms,
                      int16_t *ret_error)
{
    struct partition_appended result;
    struct flight *flight;

    *ret_error = KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
    if (c->state == COORDINATOR_LOADING)
        return false; /* its loading would end before this one */
    if (c->core)
        write_all(c);
    flight = c->core ? calloc(1, sizeof(*flight)) : NULL;
    if (!flight) {
        *ret_error = KAFKA_NOT_LEADER_OR_FOLLOWER; /* asked again, until a new leader has loaded */
        return false;
    }
    *flight = (struct flight){.c = c, .marker = marker};
    flight->wait.done = on_settled;
    list_push_back(&c->batches, &flight->link);
    partition_append_marker(c->p, &marker->marker, NO_TIMEOUT_MS, &flight->wait, &result);
    *ret_error = result.error;
    flight->appended = result.base_offset >= 0;
    if (result.error == KAFKA_NONE && result.waits)
        return true;
    list_remove(&flight->link);
    if (result.error == KAFKA_NONE && flight->appended && c->type->marked) {
        enter(c);
        c->type->marked(c->core, marker->marker.producer_id, marker->marker.commit);
        coordinator_touched(c);
    }
    free(flight);
    return false;
}

static void on_core_due(struct env_timer *timer)
{
    struct coordinator *c = CONTAINER_OF(timer, struct coordinator, core_timer);

    enter(c);
    c->type->tick(c->core);
    coordinator_touched(c);
}

void *coordinator_enter(struct coordinator *c, int16_t *ret_error)
{
    if (!c || c->state == COORDINATOR_BROKEN) {
        *ret_error = KAFKA_NOT_COORDINATOR;
        return NULL;
    }
    if (c->state == COORDINATOR_LOADING) {
        *ret_error = KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
        return NULL;
    }
    enter(c);
    return c->core;
}

void *coordinator_core(struct coordinator *c, const struct coordinator_type *type)
{
    return c->state == COORDINATOR_READY && c->type == type ? c->core : NULL;
}

/* -- loading -- */

static void load_failed(struct coordinator *c, enum err err)
{
    log_event(c, "coordinator.load_failed", c->load_next, err);
    coordinator_break(c);
}

/* A damaged range is mended from another replica; descriptors and memory come back; what was deleted
 * meanwhile is stepped over. If we lead no more, the new state is on its way. */
static void load_refused(struct coordinator *c, const struct partition_read_result *result)
{
    if (result->error == KAFKA_OFFSET_OUT_OF_RANGE)
        c->load_next = MAX(c->load_next, result->log_start);
    if (result->error == KAFKA_CORRUPT_MESSAGE)
        log_event(c, "coordinator.load_waits", c->load_next, ERR_CORRUPT);
    env_timer_set(c->shard->env, &c->load_timer, env_now_us(c->shard->env) + LOAD_AGAIN_US);
}

/* Records of a later version are left alone: another version of the broker wrote them. */
static enum err replay_batch(struct coordinator *c, const uint8_t *batch)
{
    struct batch_iter it;
    struct record record;
    enum err err = batch_iter_init(&it, batch, &c->shard->scratch);

    while (err == OK && batch_iter_next(&it, &record)) {
        err = c->type->replay(c->core, batch, &record);
        c->load_records++;
        if (err == ERR_VERSION)
            err = OK;
    }
    return err == OK ? it.r.err : err;
}

static enum err replay_bytes(struct coordinator *c, const uint8_t *p, size_t len)
{
    struct reader r = reader_over(p, len);
    const uint8_t *batch;
    size_t size;
    enum err err = OK;

    while (err == OK && (batch = batch_next(&r, &size)) != NULL) {
        if (batch_next_offset(batch) > c->load_next)
            err = replay_batch(c, batch);
        c->load_next = MAX(c->load_next, batch_next_offset(batch));
    }
    return err;
}

static enum err replay_piece(struct coordinator *c, const struct partition_piece *piece)
{
    size_t got = 0;

    if (!piece->file)
        return replay_bytes(c, piece->p, (size_t)piece->len);
    struct iobuf *buf = iobuf_get(c->shard->env->pool, (size_t)piece->len);
    enum err err =
        buf ? env_file_read(piece->file, piece->file_offset, buf->data, (size_t)piece->len, &got) : ERR_NOMEM;
    if (err == OK)
        err = replay_bytes(c, buf->data, got);
    iobuf_unref(buf);
    return err;
}

static void load_done(struct coordinator *c)
{
    c->state = COORDINATOR_READY;
    if (c->load_records > 0)
        PROBE(COORDINATOR_RELOADED);
    LOG(c->shard->broker->log, INFO, "coordinator.loaded", F_VIEW("topic", partition_topic(c->p)),
        F_I64("partition", partition_index(c->p)), F_I64("records", (int64_t)c->load_records),
        F_I64("took_us", (int64_t)(env_now_us(c->shard->env) - c->load_began_us)));
    enter(c);
    c->type->loaded(c->core);
    coordinator_touched(c);
}

static void load_again(struct coordinator *c)
{
    env_timer_set(c->shard->env, &c->load_timer, env_now_us(c->shard->env));
}

static void load_piece(struct coordinator *c, bool may_wait);

static void on_warm(struct env_io *io, enum err err)
{
    struct load_read *read = CONTAINER_OF(io, struct load_read, io);
    struct coordinator *c = read->c;

    if (c)
        load_read_end(c);
    iobuf_unref(read->buf);
    env_file_close(read->file);
    free(read);
    if (!c)
        return;
    load_piece(c, true); /* an error shows there */
}

/* False: no room for it now. */
static bool warm_up(struct coordinator *c, const struct partition_piece *cold)
{
    struct budget *budget = &c->shard->broker->budget;
    struct load_read *read = malloc(sizeof(*read));
    struct iobuf *buf = read ? iobuf_get(c->shard->env->pool, (size_t)cold->len) : NULL;

    if (!buf || !budget_take(budget, BUDGET_COLD_READS, buf->cap)) {
        iobuf_unref(buf);
        free(read);
        return false;
    }
    *read = (struct load_read){.c = c, .buf = buf, .file = env_file_ref(cold->file)};
    c->load_read = read;
    env_file_read_async(cold->file, cold->file_offset, buf->data, (size_t)cold->len, &read->io, on_warm);
    return true;
}

static void on_more(struct partition_watch *watch)
{
    load_again(CONTAINER_OF(watch, struct coordinator, watch));
}

/* One piece; what is not below the high watermark yet is waited for. */
static void load_piece(struct coordinator *c, bool may_wait)
{
    struct partition_read read = {.fetch_offset = c->load_next,
                                  .max_bytes = LOAD_PIECE_BYTES,
                                  .at_least_one = true,
                                  .replica_id = -1,
                                  .current_leader_epoch = c->leader_epoch,
                                  .last_fetched_epoch = -1,
                                  .no_wait = !may_wait,
                                  .aside = true};
    struct partition_read_result result;
    enum err err = OK;

    partition_read(c->p, &read, &result);
    bool later = result.busy || (result.cold.len > 0 && !warm_up(c, &result.cold));
    for (int32_t i = 0; i < result.pieces_count && err == OK; i++)
        err = replay_piece(c, &result.pieces[i]);
    bool nothing = result.bytes == 0;
    partition_read_release(&result);
    if (later)
        env_timer_set(c->shard->env, &c->load_timer, env_now_us(c->shard->env) + LOAD_RETRY_US);
    if (later || c->load_read)
        return;
    if (err != OK)
        load_failed(c, err);
    else if (result.error != KAFKA_NONE)
        load_refused(c, &result);
    else if (c->load_next >= c->load_end || (nothing && result.high_watermark >= c->load_end))
        load_done(c);
    else if (nothing)
        partition_watch(c->p, &c->watch, false);
    else
        load_again(c);
}

static void on_load(struct env_timer *timer)
{
    load_piece(CONTAINER_OF(timer, struct coordinator, load_timer), false);
}

/* -- beginning and ending with leadership -- */

static const struct coordinator_type *type_of(struct str topic)
{
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (str_eq_z(topic, types[i]->topic))
            return types[i];
    return NULL;
}

static struct coordinator *coordinator_new(struct shard *shard, struct partition *p,
                                           const struct coordinator_type *type,
                                           const struct partition_view *view)
{
    struct coordinator *c = calloc(1, sizeof(*c));
    void *core = c ? type->open(shard, c, view->leader_epoch) : NULL;

    ASSERT(core); /* without memory for a coordinator its groups would hang for ever */
    *c = (struct coordinator){.shard = shard,
                              .p = p,
                              .type = type,
                              .core = core,
                              .leader_epoch = view->leader_epoch,
                              .load_next = MUTANT(LOSE_COMMITS) ? view->log_end : view->log_start,
                              .load_end = view->log_end,
                              .load_began_us = env_now_us(shard->env)};
    c->watch.fn = on_more;
    list_init(&c->watch.link);
    list_init(&c->batches);
    env_timer_init(&c->load_timer, on_load);
    env_timer_init(&c->core_timer, on_core_due);
    env_task_init(&c->turn_end, on_turn_end);
    load_again(c);
    return c;
}

void coordinator_route_changed(struct shard *shard, struct route *route)
{
    const struct coordinator_type *type =
        route->partition ? type_of(partition_topic(route->partition)) : NULL;
    struct partition_view view;

    if (!type)
        return;
    partition_get(route->partition, &view);
    bool leads = view.is_leader && !view.offline;
    if (route->coordinator && leads && route->coordinator->leader_epoch == view.leader_epoch)
        return;
    coordinator_route_closing(route);
    if (leads)
        route->coordinator = coordinator_new(shard, route->partition, type, &view);
}

void coordinator_topic_gone(struct route *route, struct str topic)
{
    struct coordinator *c = route->coordinator;

    if (!c || c->state != COORDINATOR_READY || !c->type->topic_gone)
        return;
    enter(c);
    c->type->topic_gone(c->core, topic);
    coordinator_touched(c);
}

void coordinator_route_closing(struct route *route)
{
    if (route->coordinator)
        coordinator_close(route->coordinator);
    route->coordinator = NULL;
}

struct coordinator *coordinator_find(struct shard *shard, struct uuid topic_id, int32_t index)
{
    struct route *route = route_find(&shard->routes, topic_id, index);

    return route ? route->coordinator : NULL;
}
