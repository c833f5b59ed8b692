/* SPDX-License-Identifier: Apache-2.0 */
/* When a segment ends, and what of a log is old enough to go. Rolling follows Kafka's LogSegment.shouldRoll;
 * retention its UnifiedLog.deleteOldSegments, with two additions (DESIGN 12): a quiet active segment rolls
 * when its oldest record is past retention.ms, and retention.messages moves the log start to the exact
 * offset. */
#include "broker/log/plog_hooks.h"
#include "broker/log/plog_internal.h"
#include "common/base/assert.h"
#include "common/base/mutant.h"

/* -- times -- */

/* As far as its records tell: the largest timestamp of its first batch, as Kafka takes it; records without
 * one count from when this process wrote them or looked. */
void plog_segment_first_batch(struct plog *log, struct plog_segment *seg, int64_t max_timestamp)
{
    seg->first_timestamp = max_timestamp > 0 ? max_timestamp : env_wall_ms(log->env);
}

enum err plog_segment_first_time(struct plog *log, struct plog_segment *seg, int64_t *ret_ms)
{
    uint8_t header[BATCH_HEADER_BYTES];
    struct env_file *file;
    size_t got = 0, size;
    if (seg->first_timestamp == 0 && seg->size > 0 && log->asides.no_block)
        return plog_aside_begin(log, PLOG_ASIDE_LEARN, seg);
    if (seg->first_timestamp == 0 && seg->size > 0) {
        enum err err = plog_segment_file(log, seg, &file);
        if (err == OK)
            err = env_file_read(file, 0, header, sizeof(header), &got);
        if (err)
            return err;
        bool good = batch_peek(header, got, &size) == OK;
        plog_segment_first_batch(log, seg, good ? batch_max_timestamp(header) : -1);
    }
    *ret_ms = seg->first_timestamp;
    return OK;
}

static int64_t add_ms(int64_t time_ms, int64_t ms)
{
    return ms > INT64_MAX - MAX(time_ms, 0) ? INT64_MAX : time_ms + ms;
}

/* -- rolling -- */

static bool indexes_full(const struct plog *log, const struct plog_segment *seg)
{
    int64_t bytes = log->config.segment_index_bytes;
    if (bytes <= 0)
        return false;
    return seg->index.offsets_count >= MAX(bytes / OFFSET_ENTRY, 1) ||
           (int64_t)seg->index.times_count >= MAX(bytes / TIME_ENTRY - 1, 1);
}

static int64_t largest_time(const uint8_t *batches, uint32_t len)
{
    int64_t largest = -1;
    for (uint32_t at = 0; at < len; at += (uint32_t)batch_size(batches + at))
        largest = MAX(largest, batch_max_timestamp(batches + at));
    return largest;
}

static bool too_old(struct plog *log, struct plog_segment *seg, int64_t newest_ms)
{
    int64_t first_ms;
    if (log->config.segment_ms <= 0 || log->config.segment_ms == INT64_MAX)
        return false;
    if (plog_segment_first_time(log, seg, &first_ms) != OK)
        return false; /* the append will find the same failure; or it is looked up aside */
    int64_t now_ms = newest_ms >= 0 ? newest_ms : env_wall_ms(log->env);
    return now_ms - first_ms > log->config.segment_ms - seg->jitter_ms;
}

bool plog_roll_due(struct plog *log, const uint8_t *batches, uint32_t len, int64_t end)
{
    struct plog_segment *seg = plog_active(log);
    if (seg->size == 0)
        return false;
    return (int64_t)seg->size + len > log->config.segment_bytes || end - seg->base_offset > INT32_MAX ||
           indexes_full(log, seg) || too_old(log, seg, largest_time(batches, len));
}

void plog_segment_began(struct plog *log, struct plog_segment *seg)
{
    uint32_t random = 0;
    int64_t jitter = MIN(log->config.segment_jitter_ms, log->config.segment_ms);
    seg->first_timestamp = 0;
    seg->jitter_ms = 0;
    if (jitter <= 0)
        return;
    env_random(log->env, &random, sizeof(random));
    seg->jitter_ms = (int64_t)(random % (uint64_t)MIN(jitter, UINT32_MAX));
}

enum err plog_roll_now(struct plog *log)
{
    if (log->failed)
        return log->failed;
    if (plog_active(log)->size == 0)
        return OK;
    enum err err = plog_roll(log);
    if (err)
        return plog_fail(log, err);
    plog_sync(log);
    return OK;
}

uint32_t plog_rolls(const struct plog *log)
{
    return log->rolls;
}

int64_t plog_active_base(const struct plog *log)
{
    return log->segments[log->segments_count - 1].base_offset;
}

/* -- retention -- */

/* The active segment ends when its oldest record is due to go, so that a quiet log loses it in time. */
static enum err roll_when_old(struct plog *log, const struct plog_retention *want, int64_t *next_ms)
{
    int64_t first_ms, limit = want->roll_ms;
    if (want->ms >= 0 && (limit < 0 || want->ms < limit))
        limit = want->ms;
    if (limit < 0 || plog_active(log)->size == 0)
        return OK;
    enum err err = plog_segment_first_time(log, plog_active(log), &first_ms);
    if (err)
        return err;
    int64_t due_ms = add_ms(first_ms, limit);
    if (due_ms < want->now_ms)
        return plog_roll_now(log);
    *next_ms = MIN(*next_ms, add_ms(due_ms, 1));
    return OK;
}

/* The segment that holds the log start; those before it only wait to be removed. */
static int32_t first_kept(const struct plog *log)
{
    return plog_segment_find(log, log->start);
}

static bool due(const struct plog_segment *seg, const struct plog_retention *want)
{
    return seg->max_timestamp < 0 || add_ms(seg->max_timestamp, want->ms) < want->now_ms;
}

static enum err start_by_time(struct plog *log, const struct plog_retention *want, int64_t *start,
                              int64_t *next_ms)
{
    if (want->ms < 0)
        return OK;
    for (int32_t i = first_kept(log); i + 1 < log->segments_count; i++) {
        struct plog_segment *seg = &log->segments[i];
        enum err err = plog_segment_times(log, seg);
        if (err)
            return err;
        if (!seg->times_exact && due(seg, want)) /* it goes on the word of its batches only */
            err = plog_rebuild_index(log, seg);
        if (err)
            return err;
        int64_t newest_ms = seg->max_timestamp;
        if (newest_ms < 0)
            err = plog_segment_first_time(log, seg, &newest_ms);
        if (err)
            return err;
        int64_t due_ms = add_ms(newest_ms, want->ms);
        if (due_ms >= want->now_ms) {
            *next_ms = MIN(*next_ms, add_ms(due_ms, 1));
            return OK;
        }
        *start = MAX(*start, plog_segment_end(log, i));
    }
    return OK;
}

static void start_by_size(struct plog *log, const struct plog_retention *want, int64_t *start)
{
    int32_t i = first_kept(log);
    int64_t over = -want->bytes;
    if (want->bytes < 0)
        return;
    for (int32_t j = i; j < log->segments_count; j++)
        over += log->segments[j].size;
    for (; i + 1 < log->segments_count && over >= (int64_t)log->segments[i].size; i++) {
        over -= log->segments[i].size;
        *start = MAX(*start, plog_segment_end(log, i));
    }
}

/* Of what is committed: a reader always finds the newest so many. */
static void start_by_count(struct plog *log, const struct plog_retention *want, int64_t *start)
{
    int64_t end = MUTANT(RETAIN_PAST_HIGH_WATERMARK) ? log->end : want->high_watermark;
    if (want->messages >= 0 && end - log->start > want->messages)
        *start = MAX(*start, end - want->messages);
}

enum err plog_retain(struct plog *log, const struct plog_retention *want, int64_t *ret_start,
                     int64_t *ret_next_ms)
{
    int64_t start = log->start, next_ms = INT64_MAX;
    if (log->failed)
        return log->failed;
    log->asides.no_block = log->learned != NULL;
    enum err err = roll_when_old(log, want, &next_ms);
    if (err == OK)
        err = start_by_time(log, want, &start, &next_ms);
    log->asides.no_block = false;
    if (err)
        return err;
    start_by_size(log, want, &start);
    start_by_count(log, want, &start);
    if (!MUTANT(RETAIN_PAST_HIGH_WATERMARK))
        start = MIN(start, MAX(want->high_watermark, log->start));
    ASSERT(start >= log->start && start <= log->end);
    *ret_start = start;
    *ret_next_ms = next_ms;
    return OK;
}
