/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/handlers/fetch_sub.h"

#include "common/base/assert.h"
#include "proto/kafka/error.h"

#define ROOM_RETRY_US 5000 /* no room for a cold read, or an index is being made: asked again after this */
#define BUSY_ASKS_MAX 2000 /* so often for an index: some ten seconds */

/* -- on the owner -- */

static void part_missing(struct fetch_part *part)
{
    part->result = (struct partition_read_result){
        .error = KAFKA_NOT_LEADER_OR_FOLLOWER,
        .high_watermark = -1,
        .last_stable_offset = -1,
        .log_start = -1,
        .diverging_epoch = -1,
        .leader = -1,
        .leader_epoch = -1,
    };
}

static int16_t part_tell_position(struct fetch_sub *sub, struct fetch_part *part, struct partition *p)
{
    int16_t error = partition_follower_fetched(
        p, sub->replica_id, sub->replica_epoch, part->read.fetch_offset, part->durable_offset,
        part->read.current_leader_epoch, part->read.last_fetched_epoch);
    if (error == KAFKA_NONE)
        partition_follower_start(p, sub->replica_id, part->log_start);
    return error;
}

/* Whether the leaders' throttle counts for this reader: the follower is named, and not in sync. */
static bool part_is_slowed(const struct fetch_sub *sub, const struct fetch_part *part)
{
    const struct image *image = sub->owner->image;
    return throttle_holds(image, image_topic_by_id(image, part->topic_id), THROTTLE_LEADER_REPLICAS,
                          part->out->partition_index, sub->owner->broker->broker_id, sub->replica_id);
}

/* may_wait: what is cold was read a moment ago. */
static void part_read(struct fetch_sub *sub, struct fetch_part *part, bool may_wait)
{
    struct partition *p = shard_partition(sub->owner, part->topic_id, part->out->partition_index);
    int32_t wanted = part->read.max_bytes;

    part_missing(part);
    if (!p)
        return;
    if (sub->follower && sub->first_read && !may_wait) {
        int16_t error = part_tell_position(sub, part, p);
        part->result.error = error;
        if (error != KAFKA_NONE || sub->report)
            return;
    }
    struct throttle *out = &sub->owner->broker->replication_out;
    bool slowed = sub->follower && atomic_load_explicit(&out->rate, memory_order_relaxed) > 0 && wanted > 0 &&
                  part_is_slowed(sub, part);
    part->throttled = slowed && throttle_wait_until(out, env_now_us(sub->owner->env)) != 0;
    part->read.max_bytes = part->throttled ? 0 : MIN(wanted, MAX(sub->max_bytes - sub->bytes, 0));
    part->read.at_least_one = sub->at_least_one && sub->bytes == 0 && !part->throttled;
    part->read.no_wait = !may_wait;
    part->read.aside = true;
    part->read.ranges_max = sub->ranges_max;
    partition_read(p, &part->read, &part->result);
    part->read.max_bytes = wanted;
    if (slowed)
        throttle_charge(out, env_now_us(sub->owner->env), part->result.bytes);
}

static void sub_read(struct fetch_sub *sub, bool may_wait);
static void sub_return(struct fetch_sub *sub);
static void sub_watch_parts(struct fetch_sub *sub);

/* What came is thrown away: it is in the page cache now, where the second try finds it, checked or sent from
 * there. An error shows there, too. */
static void on_warm(struct env_io *io, enum err err)
{
    struct fetch_sub *sub = CONTAINER_OF(io, struct fetch_sub, io);

    budget_give(&sub->owner->broker->budget, BUDGET_COLD_READS, (size_t)sub->at->result.cold.len);
    iobuf_unref(sub->cold);
    sub->cold = NULL;
    partition_read_release(&sub->at->result);
    sub_read(sub, true);
}

/* Perhaps there is room now. What was cold may be warm, or gone. */
static void on_room(struct env_timer *timer)
{
    sub_read(CONTAINER_OF(timer, struct fetch_sub, room), false);
}

static void ask_again(struct fetch_sub *sub)
{
    struct env *env = sub->owner->env;

    partition_read_release(&sub->at->result);
    env_timer_init(&sub->room, on_room);
    env_timer_set(env, &sub->room, env_now_us(env) + ROOM_RETRY_US);
}

/* False: no memory for it, the loop has to wait. */
static bool warm_up(struct fetch_sub *sub, const struct partition_piece *cold)
{
    struct budget *budget = &sub->owner->broker->budget;

    if (!budget_take(budget, BUDGET_COLD_READS, (size_t)cold->len)) {
        shard_count(sub->owner, fetch_cold_waits, 1);
        ask_again(sub);
        return true;
    }
    sub->cold = iobuf_get(sub->owner->env->pool, (size_t)cold->len);
    if (!sub->cold) {
        budget_give(budget, BUDGET_COLD_READS, (size_t)cold->len);
        return false;
    }
    shard_count(sub->owner, fetch_cold_reads, 1);
    env_file_read_async(cold->file, cold->file_offset, sub->cold->data, (size_t)cold->len, &sub->io, on_warm);
    return true;
}

static void release_parts(struct fetch_sub *sub)
{
    for (struct fetch_part *part = sub->parts; part; part = part->next)
        partition_read_release(&part->result);
}

/* Reads the parts from sub->at on; comes back when the last one is there, or watches them all. */
static void sub_read(struct fetch_sub *sub, bool may_wait)
{
    for (; sub->at; sub->at = sub->at->next) {
        struct fetch_part *part = sub->at;
        part_read(sub, part, may_wait);
        if (part->result.cold.len > 0) {
            if (warm_up(sub, &part->result.cold))
                return;
            partition_read_release(&part->result);
            part_read(sub, part, true);
        }
        if (part->result.busy && sub->busy_asks++ < BUSY_ASKS_MAX) {
            ask_again(sub);
            return;
        }
        if (part->result.busy)
            part->result.error = KAFKA_UNKNOWN_SERVER_ERROR;
        may_wait = false;
        sub->bytes += part->result.bytes;
        sub->answer_now |= part->result.error != KAFKA_NONE || part->result.diverging_epoch >= 0;
    }
    sub->first_read = false;
    if (sub->task == FETCH_AWAIT && sub->bytes == 0 && !sub->answer_now && !sub->called) {
        release_parts(sub);
        sub_watch_parts(sub);
        return;
    }
    sub->fresh = sub->task == FETCH_AWAIT;
    sub_return(sub);
}

static void sub_read_all(struct fetch_sub *sub)
{
    sub->bytes = 0;
    sub->answer_now = false;
    sub->at = sub->parts;
    sub_read(sub, false);
}

static void sub_unwatch(struct fetch_sub *sub)
{
    sub->watching = false;
    env_task_cancel(&sub->wake);
    for (struct fetch_part *part = sub->parts; part; part = part->next)
        partition_watch_cancel(&part->watch);
}

static void come_back(struct env_msg *msg)
{
    struct fetch_sub *sub = CONTAINER_OF(msg, struct fetch_sub, msg);

    sub->out = false;
    sub->back(sub);
}

static void sub_return(struct fetch_sub *sub)
{
    sub->msg.fn = come_back;
    if (sub->owner == sub->home)
        come_back(&sub->msg);
    else
        env_post(sub->home->env, &sub->msg);
}

static void on_wake(struct env_task *task)
{
    struct fetch_sub *sub = CONTAINER_OF(task, struct fetch_sub, wake);

    if (!sub->watching)
        return;
    sub_unwatch(sub);
    if (sub->task == FETCH_AWAIT)
        sub_read_all(sub);
    else
        sub_return(sub);
}

static void on_watch(struct partition_watch *watch)
{
    struct fetch_sub *sub = CONTAINER_OF(watch, struct fetch_part, watch)->sub;

    env_defer(sub->owner->env, &sub->wake);
}

/* Data may have come between READ and WATCH: a first look decides whether to sleep. */
static bool sub_changed(struct fetch_sub *sub)
{
    for (struct fetch_part *part = sub->parts; part; part = part->next) {
        struct partition *p = shard_partition(sub->owner, part->topic_id, part->out->partition_index);
        if (!p || (!part->throttled && partition_available(p, &part->read) > part->result.bytes))
            return true;
    }
    return false;
}

static void sub_watch_parts(struct fetch_sub *sub)
{
    sub->watching = true;
    env_task_init(&sub->wake, on_wake);
    for (struct fetch_part *part = sub->parts; part; part = part->next) {
        struct partition *p = shard_partition(sub->owner, part->topic_id, part->out->partition_index);
        part->watch.fn = on_watch;
        if (p)
            partition_watch(p, &part->watch, sub->follower);
        else
            env_defer(sub->owner->env, &sub->wake);
    }
}

static void sub_watch(struct fetch_sub *sub)
{
    if (sub->owner == sub->home || !sub_changed(sub)) {
        sub_watch_parts(sub);
        return;
    }
    sub->watching = true;
    env_task_init(&sub->wake, on_wake);
    env_defer(sub->owner->env, &sub->wake);
}

static void sub_run(struct env_msg *msg)
{
    struct fetch_sub *sub = CONTAINER_OF(msg, struct fetch_sub, msg);

    sub->called = false;
    if (sub->task == FETCH_WATCH)
        sub_watch(sub);
    else
        sub_read_all(sub);
}

static void cancel_back(struct env_msg *msg)
{
    struct fetch_sub *sub = CONTAINER_OF(msg, struct fetch_sub, cancel);

    sub->cancel_out = false;
    sub->back(sub);
}

static void cancel_run(struct env_msg *msg)
{
    struct fetch_sub *sub = CONTAINER_OF(msg, struct fetch_sub, cancel);

    if (sub->watching) {
        sub_unwatch(sub);
        sub_return(sub);
    } else { /* it is on its way back already, or reads and comes then */
        sub->called = true;
    }
    msg->fn = cancel_back;
    env_post(sub->home->env, msg);
}

/* -- at home -- */

void fetch_sub_send(struct fetch_sub *sub, enum fetch_task task)
{
    ASSERT(!sub->out && !sub->cancel_out);
    sub->out = true;
    sub->fresh = false;
    sub->task = task;
    sub->msg.fn = sub_run;
    if (sub->owner == sub->home) {
        sub_run(&sub->msg);
        return;
    }
    shard_count(sub->home, request_hops, 1);
    env_post(sub->owner->env, &sub->msg);
}

void fetch_sub_cancel(struct fetch_sub *sub)
{
    if (!sub->out || sub->cancel_out)
        return;
    if (sub->owner == sub->home) {
        sub_unwatch(sub);
        sub_return(sub);
        return;
    }
    sub->cancel_out = true;
    sub->cancel.fn = cancel_run;
    env_post(sub->owner->env, &sub->cancel);
}

void fetch_sub_release(struct fetch_sub *sub)
{
    ASSERT(!sub->out);
    release_parts(sub);
    sub->bytes = 0;
    sub->fresh = false;
}
