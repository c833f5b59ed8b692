/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/shard/scrub.h"

#include <stdlib.h>

#include "broker/config.h"
#include "broker/log/plog_scrub.h"
#include "broker/shard/partition_repair.h"
#include "common/base/assert.h"
#include "common/obs/log.h"

#define STEP_MIN_US       1000
#define FIRST_PASS_US     600000000 /* after the start: a broker restarted often is scrubbed, too */
#define BUSY_US           100000    /* while the shard is busy the scrubber looks again after this */
#define BUSY_REQUESTS     50        /* in BUSY_US */
#define BUSY_PAUSES_MAX   10        /* then one step is taken all the same: a busy shard is scrubbed, too */
#define LOGS_PER_STEP_MAX 64        /* empty ones cost a look each */

/* Whose log is read when. */
struct scrub_entry {
    struct uuid topic_id;
    int32_t index;
};

struct scrubber {
    struct shard *shard;
    struct env_timer timer;
    struct env_io io;
    struct iobuf *buf; /* of the read in flight */
    uint32_t len;
    struct scrub_entry *entries; /* of this pass; NULL: none is under way */
    uint32_t entries_count, entries_cap, at;
    struct plog_scrub scrub; /* within entries[at] */
    int64_t alarm;           /* offset of the last bad bytes in that log, -1: none */
    uint64_t next_pass_us, requests_seen;
    uint32_t pauses;
    bool reading, closing;
};

static uint64_t period_us(const struct scrubber *s)
{
    return (uint64_t)s->shard->broker->config->log_scrub_period_ms * 1000;
}

static void sleep_until(struct scrubber *s, uint64_t at_us)
{
    env_timer_set(s->shard->env, &s->timer, at_us);
}

/* -- a pass -- */

static void collect(void *ctx, struct route *route)
{
    struct scrubber *s = ctx;

    if (!route->partition)
        return;
    if (s->entries_count == s->entries_cap) {
        uint32_t cap = s->entries_cap ? s->entries_cap * 2 : 16;
        struct scrub_entry *grown = realloc(s->entries, cap * sizeof(*grown));
        if (!grown)
            return; /* the next pass takes it */
        s->entries = grown;
        s->entries_cap = cap;
    }
    s->entries[s->entries_count++] = (struct scrub_entry){route->topic_id, route->index};
}

static void pass_begin(struct scrubber *s)
{
    s->next_pass_us = env_now_us(s->shard->env) + period_us(s);
    s->entries_count = s->at = 0;
    s->scrub = (struct plog_scrub){0};
    s->alarm = -1;
    route_each(&s->shard->routes, collect, s);
}

static void pass_end(struct scrubber *s)
{
    free(s->entries);
    s->entries = NULL;
    s->entries_count = s->entries_cap = 0;
    shard_count(s->shard, scrub_passes, 1);
    sleep_until(s, s->next_pass_us);
}

static struct partition *current(struct scrubber *s)
{
    return shard_partition(s->shard, s->entries[s->at].topic_id, s->entries[s->at].index);
}

static void next_log(struct scrubber *s)
{
    plog_scrub_end(&s->scrub);
    s->scrub = (struct plog_scrub){0};
    s->alarm = -1;
    s->at++;
}

/* -- a step -- */

static bool busy(struct scrubber *s)
{
    uint64_t requests = atomic_load_explicit(&s->shard->counters.requests, memory_order_relaxed);
    bool many = requests - s->requests_seen > BUSY_REQUESTS;

    s->requests_seen = requests;
    s->pauses = many && s->pauses < BUSY_PAUSES_MAX ? s->pauses + 1 : 0;
    return s->pauses > 0;
}

/* The same place twice: whatever is wrong there, nobody else sees it. */
static void met_damage(struct scrubber *s, struct partition *p, int64_t offset)
{
    enum err err = offset == s->alarm ? ERR_NOT_FOUND : partition_damage_found(p, offset);

    if (err == ERR_BUSY)
        return; /* the next step meets it again */
    s->alarm = offset;
    if (err != OK)
        plog_scrub_skip(&s->scrub);
}

static void scrubber_free(struct scrubber *s)
{
    struct shard *shard = s->shard;

    plog_scrub_end(&s->scrub);
    free(s->entries);
    free(s);
    shard->scrubber = NULL;
    shard_look_idle(shard);
}

static void read_done(struct env_io *io, enum err err)
{
    struct scrubber *s = CONTAINER_OF(io, struct scrubber, io);
    struct partition *p = s->closing ? NULL : current(s);
    int64_t offset;

    s->reading = false;
    if (p && partition_scrub_take(p, &s->scrub, s->buf->data, err == OK ? s->len : 0, &offset) == ERR_CORRUPT)
        met_damage(s, p, offset);
    else if (!p)
        plog_scrub_end(&s->scrub);
    iobuf_unref(s->buf);
    s->buf = NULL;
    if (s->closing) {
        scrubber_free(s);
        return;
    }
    shard_count(s->shard, scrubbed_bytes, s->len);
    uint64_t rate = (uint64_t)s->shard->broker->config->log_scrub_bytes_per_second;
    uint64_t share = MAX(rate / MAX(s->shard->broker->shard_count, 1u), 1u);
    sleep_until(s, env_now_us(s->shard->env) + MAX((uint64_t)s->len * 1000000 / share, STEP_MIN_US));
}

/* False: this log is through. */
static bool read_next(struct scrubber *s, struct partition *p)
{
    uint64_t offset;
    enum err err = partition_scrub_next(p, &s->scrub, &offset, &s->len);

    if (err != OK)
        return false;
    s->buf = iobuf_get(s->shard->env->pool, s->len);
    if (!s->buf)
        return false;
    s->reading = true;
    env_file_read_async(s->scrub.file, offset, s->buf->data, s->len, &s->io, read_done);
    return true;
}

static void on_timer(struct env_timer *timer)
{
    struct scrubber *s = CONTAINER_OF(timer, struct scrubber, timer);

    if (!s->entries)
        pass_begin(s);
    if (busy(s)) {
        sleep_until(s, env_now_us(s->shard->env) + BUSY_US);
        return;
    }
    for (int looks = 0; s->at < s->entries_count; looks++) {
        struct partition *p = current(s);
        if (p && read_next(s, p))
            return;
        next_log(s);
        if (looks == LOGS_PER_STEP_MAX) {
            sleep_until(s, env_now_us(s->shard->env) + STEP_MIN_US);
            return;
        }
    }
    pass_end(s);
}

/* -- life -- */

struct scrubber *scrubber_new(struct shard *shard)
{
    struct scrubber *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->shard = shard;
    env_timer_init(&s->timer, on_timer);
    if (period_us(s) > 0)
        sleep_until(s, env_now_us(shard->env) + MIN(period_us(s), FIRST_PASS_US));
    return s;
}

void scrubber_close(struct scrubber *s)
{
    s->closing = true;
    env_timer_cancel(s->shard->env, &s->timer);
    if (!s->reading)
        scrubber_free(s);
}
