/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/raft_log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "controller/raft_log_internal.h"

void raft_log_name(char out[SEGMENT_NAME_MAX], uint64_t sequence)
{
    snprintf(out, SEGMENT_NAME_MAX, "%020" PRIu64 ".log", sequence);
}

struct segment *raft_log_active(const struct raft_log *log)
{
    return log->segments_count > 0 ? log->segments[log->segments_count - 1] : NULL;
}

bool raft_log_reserve_segment(struct raft_log *log)
{
    if (log->segments_count < log->segments_cap)
        return true;
    uint32_t cap = log->segments_cap == 0 ? 8 : log->segments_cap * 2;
    struct segment **grown = realloc(log->segments, cap * sizeof(struct segment *));
    if (grown == NULL)
        return false;
    log->segments = grown;
    log->segments_cap = cap;
    return true;
}

bool raft_log_reserve_slots(struct raft_log *log, uint64_t more)
{
    uint64_t need = log->slots_count + more;
    if (need <= log->slots_cap)
        return true;
    uint64_t cap = MAX(need, MAX(64, log->slots_cap * 2));
    struct slot *grown = realloc(log->slots, cap * sizeof(*grown));
    if (grown == NULL)
        return false;
    log->slots = grown;
    log->slots_cap = cap;
    return true;
}

void raft_log_set_handler(struct raft_log *log, const struct raft_log_handler *handler, void *ctx)
{
    log->handler = handler;
    log->ctx = ctx;
}

uint64_t raft_log_first(const struct raft_log *log)
{
    return log->first;
}

uint64_t raft_log_last(const struct raft_log *log)
{
    return log->first + log->slots_count - 1;
}

uint64_t raft_log_durable(const struct raft_log *log)
{
    return log->durable;
}

uint64_t raft_log_sequence(const struct raft_log *log)
{
    const struct segment *active = raft_log_active(log);
    return active != NULL ? active->sequence : 0;
}

uint64_t raft_log_bytes(const struct raft_log *log)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < log->segments_count; i++)
        bytes += log->segments[i]->sf.size;
    return bytes;
}

static const struct slot *slot_of(const struct raft_log *log, uint64_t index)
{
    if (index < log->first || index - log->first >= log->slots_count)
        return NULL;
    return &log->slots[index - log->first];
}

uint64_t raft_log_term(const struct raft_log *log, uint64_t index)
{
    const struct slot *slot = slot_of(log, index);
    return slot != NULL ? slot->term : 0;
}

uint8_t raft_log_type(const struct raft_log *log, uint64_t index)
{
    const struct slot *slot = slot_of(log, index);
    return slot != NULL ? slot->type : 0;
}

static struct segment *segment_of(const struct raft_log *log, const struct slot *slot)
{
    uint32_t at = slot->sequence - (uint32_t)log->segments[0]->sequence;
    ASSERT(at < log->segments_count);
    return log->segments[at];
}

void raft_log_place(struct raft_log *log, uint64_t index, const struct slot *slot)
{
    ASSERT(index >= log->first && index - log->first <= log->slots_count);
    ASSERT(index - log->first < log->slots_cap);
    log->slots[index - log->first] = *slot;
    log->slots_count = index - log->first + 1;
    if (log->durable >= index)
        log->durable = index - 1;
}

/* -- durability -- */

/* Older segments are durable as a whole; in the newest one entries are up to the synced position. */
static void advance_durable(struct raft_log *log)
{
    const struct segment *active = raft_log_active(log);
    for (;;) {
        const struct slot *slot = slot_of(log, log->durable + 1);
        if (slot == NULL)
            return;
        if (slot->sequence == (uint32_t)active->sequence &&
            slot->offset + segfile_frame_size(slot->len) > active->gs.synced)
            return;
        log->durable++;
    }
}

static void wait_for_sync(struct segment *segment, uint64_t position);

static void segment_synced(struct group_sync_wait *wait, enum err err)
{
    struct segment *segment = CONTAINER_OF(wait, struct segment, wait);
    struct raft_log *log = segment->log;
    segment->waiting = false;
    if (err != OK) {
        if (segment->sf.failed == OK)
            segment->sf.failed = err;
        log->handler->failed(log->ctx, err);
        return;
    }
    segfile_synced(&segment->sf, segment->gs.synced);
    if (segment != raft_log_active(log))
        return;
    advance_durable(log);
    if (log->sync_wanted > segment->gs.synced)
        wait_for_sync(segment, log->sync_wanted);
    log->handler->durable(log->ctx, log->durable);
}

static void wait_for_sync(struct segment *segment, uint64_t position)
{
    segment->waiting = true;
    group_sync_until(&segment->gs, &segment->wait, position, segment_synced);
}

void raft_log_sync(struct raft_log *log)
{
    struct segment *active = raft_log_active(log);
    if (active == NULL)
        return;
    log->sync_wanted = active->sf.size;
    if (!active->waiting && active->gs.synced < active->sf.size)
        wait_for_sync(active, active->sf.size);
}

/* Blocking: the newest segment becomes durable as a whole. */
static enum err sync_segment_wait(struct segment *segment)
{
    if (segment->sf.failed != OK)
        return segment->sf.failed;
    enum err err = env_file_sync_wait(segment->sf.file);
    if (err != OK)
        segment->sf.failed = err;
    else
        segfile_synced(&segment->sf, segment->sf.size);
    return err;
}

enum err raft_log_sync_wait(struct raft_log *log)
{
    struct segment *active = raft_log_active(log);
    if (active == NULL)
        return OK;
    enum err err = sync_segment_wait(active);
    if (err == OK)
        log->durable = raft_log_last(log);
    return err;
}

void raft_log_note(struct raft_log *log)
{
    struct segment *active = raft_log_active(log);
    if (active == NULL || active->gs.synced < active->sf.size || active->sf.failed != OK)
        return;
    segfile_note(&active->sf);
}

/* -- segments -- */

void raft_log_adopt(struct raft_log *log, struct segment *segment)
{
    segment->log = log;
    list_init(&segment->wait.link);
    group_sync_init(&segment->gs, log->env, segment->sf.file, segment->sf.size);
    segfile_synced(&segment->sf, segment->sf.size);
}

static void segment_gone(void *ctx)
{
    struct segment *segment = ctx;
    segfile_close(&segment->sf);
    free(segment);
}

void raft_log_free_segment(struct segment *segment)
{
    if (group_sync_abandon(&segment->gs, segment_gone, segment))
        segment_gone(segment);
}

static enum err create_segment_wait(struct raft_log *log, uint64_t first_index, bool reset,
                                    struct segment *segment)
{
    char name[SEGMENT_NAME_MAX], path[LOG_PATH_MAX];
    segment->sequence = raft_log_sequence(log) + 1;
    segment->last_index = first_index - 1;
    raft_log_name(name, segment->sequence);
    struct segfile_info info = {.kind = SEGFILE_RAFT_LOG,
                                .a = first_index,
                                .b = segment->sequence << 1 | (reset ? SEGMENT_RESET : 0)};
    enum err err = log_path(path, log->dir, name);
    if (err == OK)
        err = segfile_create(log->env, path, &info, &log->limits, &segment->sf);
    if (err == OK)
        err = env_file_sync_wait(segment->sf.file);
    if (err == OK)
        err = env_dir_sync_wait(log->env, log->dir);
    if (err != OK)
        segfile_close(&segment->sf);
    return err;
}

enum err raft_log_add_segment_wait(struct raft_log *log, uint64_t first_index, bool reset)
{
    struct segment *segment = calloc(1, sizeof(*segment));
    if (segment == NULL || !raft_log_reserve_segment(log)) {
        free(segment);
        return ERR_NOMEM;
    }
    enum err err = create_segment_wait(log, first_index, reset, segment);
    if (err != OK) {
        free(segment);
        return err;
    }
    raft_log_adopt(log, segment);
    log->segments[log->segments_count++] = segment;
    log->sync_wanted = segment->sf.size;
    if (log->handler != NULL)
        err = log->handler->rolled(log->ctx, segment->sequence);
    if (err != OK)
        segment->sf.failed = err;
    return err;
}

static enum err roll_wait(struct raft_log *log, uint64_t first_index)
{
    struct segment *old = raft_log_active(log);
    enum err err = sync_segment_wait(old);
    if (err == OK)
        err = raft_log_add_segment_wait(log, first_index, false);
    if (err != OK)
        old->sf.failed = err;
    return err;
}

/* -- appending -- */

static enum err write_entries(struct raft_log *log, struct segment *segment, uint64_t index,
                              const struct raft_log_entry *entries, struct segframe *frames, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        frames[i] = (struct segframe){.type = entries[i].type,
                                      .a = index + i,
                                      .b = entries[i].term,
                                      .data = entries[i].data,
                                      .len = entries[i].len};
    }
    enum err err = segfile_append(&segment->sf, frames, (int)count);
    if (err != OK)
        return err;
    group_sync_wrote(&segment->gs, segment->sf.size);
    for (uint32_t i = 0; i < count; i++) {
        struct slot slot = {.offset = frames[i].offset,
                            .term = entries[i].term,
                            .len = entries[i].len,
                            .sequence = (uint32_t)segment->sequence,
                            .type = entries[i].type};
        raft_log_place(log, index + i, &slot);
    }
    segment->last_index = MAX(segment->last_index, index + count - 1);
    return OK;
}

enum err raft_log_append(struct raft_log *log, uint64_t index, const struct raft_log_entry *entries,
                         uint32_t count)
{
    ASSERT(count > 0);
    ASSERT(index >= log->first && index <= raft_log_last(log) + 1);
    struct segment *active = raft_log_active(log);
    if (active == NULL || active->sf.size >= log->segment_bytes) {
        enum err err = active == NULL ? raft_log_add_segment_wait(log, index, true) : roll_wait(log, index);
        if (err != OK)
            return err;
        active = raft_log_active(log);
    }
    struct segframe *frames = malloc(count * sizeof(*frames));
    if (frames == NULL || !raft_log_reserve_slots(log, count)) {
        free(frames);
        return ERR_NOMEM;
    }
    bool replaces = index <= raft_log_last(log) && log->handler != NULL;
    enum err err = replaces ? log->handler->replaces(log->ctx, index) : OK;
    if (err == OK)
        err = write_entries(log, active, index, entries, frames, count);
    free(frames);
    return err;
}

/* -- reading -- */

/* How many entries from `from` lie one behind the other in one segment and within bytes_max; *ret_bytes is
 * the range. */
static uint32_t read_run(const struct raft_log *log, uint64_t from, uint32_t count_max, uint32_t bytes_max,
                         uint64_t *ret_bytes)
{
    const struct slot *start = slot_of(log, from);
    uint64_t end = start->offset + segfile_frame_size(start->len);
    uint32_t count = 1;
    while (count < count_max) {
        const struct slot *slot = slot_of(log, from + count);
        if (slot == NULL || slot->sequence != start->sequence || slot->offset < end)
            break;
        uint64_t slot_end = slot->offset + segfile_frame_size(slot->len);
        if (slot_end - start->offset > bytes_max)
            break;
        end = slot_end;
        count++;
    }
    *ret_bytes = end - start->offset;
    return count;
}

static enum err take_entries(const struct raft_log *log, const struct segment *segment, uint64_t from,
                             uint32_t count, const struct iobuf *buf, struct raft_log_entry *entries)
{
    uint64_t base = slot_of(log, from)->offset;
    for (uint32_t i = 0; i < count; i++) {
        const struct slot *slot = slot_of(log, from + i);
        struct segframe frame;
        uint64_t size;
        size_t at = (size_t)(slot->offset - base);
        enum err err = segfile_parse(&segment->sf, buf->data + at, buf->len - at, &frame, &size);
        if (err != OK || frame.a != from + i || frame.b != slot->term || frame.len != slot->len)
            return ERR_CORRUPT;
        entries[i] = (struct raft_log_entry){
            .index = frame.a, .term = frame.b, .type = frame.type, .data = frame.data, .len = frame.len};
    }
    return OK;
}

enum err raft_log_read(const struct raft_log *log, uint64_t from, uint32_t count_max, uint32_t bytes_max,
                       struct raft_log_entry *entries, uint32_t *ret_count, struct iobuf **ret_buf)
{
    const struct slot *start = slot_of(log, from);
    if (start == NULL || count_max == 0)
        return ERR_OUT_OF_RANGE;
    const struct segment *segment = segment_of(log, start);
    uint64_t bytes;
    uint32_t count = read_run(log, from, count_max, bytes_max, &bytes);
    struct iobuf *buf = iobuf_get(log->env->pool, (size_t)bytes);
    if (buf == NULL)
        return ERR_NOMEM;
    buf->len = (uint32_t)bytes;
    enum err err = segfile_read(&segment->sf, start->offset, buf->data, (size_t)bytes);
    if (err == OK)
        err = take_entries(log, segment, from, count, buf, entries);
    if (err != OK) {
        iobuf_unref(buf);
        return err == ERR_TRUNCATED ? ERR_CORRUPT : err;
    }
    *ret_count = count;
    *ret_buf = buf;
    return OK;
}

/* -- removing -- */

static void remove_oldest(struct raft_log *log)
{
    char name[SEGMENT_NAME_MAX], path[LOG_PATH_MAX];
    struct segment *segment = log->segments[0];
    raft_log_name(name, segment->sequence);
    if (log_path(path, log->dir, name) == OK)
        env_unlink(log->env, path); /* a file that stays is removed at the next start */
    log->segments_count--;
    memmove(log->segments, log->segments + 1, log->segments_count * sizeof(log->segments[0]));
    raft_log_free_segment(segment);
}

/* Forgets entries below first. */
static void drop_slots(struct raft_log *log, uint64_t first)
{
    uint64_t gone = MIN(first - log->first, log->slots_count);
    log->slots_count -= gone;
    if (log->slots_count > 0)
        memmove(log->slots, log->slots + gone, log->slots_count * sizeof(log->slots[0]));
    log->first = first;
    log->durable = MAX(log->durable, first - 1);
}

void raft_log_trim(struct raft_log *log, uint64_t index)
{
    uint64_t removed_last = 0;
    while (log->segments_count > 1 && log->segments[0]->last_index <= index && !log->segments[0]->waiting) {
        removed_last = MAX(removed_last, log->segments[0]->last_index);
        remove_oldest(log);
    }
    if (removed_last >= log->first) {
        /* An entry up to removed_last may have been written anew to a segment that stays; it is covered all
         * the same. */
        ASSERT(removed_last <= index);
        drop_slots(log, removed_last + 1);
    }
}

enum err raft_log_reset_wait(struct raft_log *log, uint64_t next_index)
{
    /* Forgotten first: what rolled() records of the log's end is what it will be. */
    log->slots_count = 0;
    log->first = next_index;
    log->durable = next_index - 1;
    /* What was written and not synced must not lie torn behind a newer segment, should the removal be lost.
     */
    struct segment *old = raft_log_active(log);
    enum err err = old == NULL ? OK : sync_segment_wait(old);
    if (err == OK)
        err = raft_log_add_segment_wait(log, next_index, true);
    while (err == OK && log->segments_count > 1)
        remove_oldest(log);
    return err;
}

void raft_log_close(struct raft_log *log)
{
    if (log == NULL)
        return;
    for (uint32_t i = 0; i < log->segments_count; i++)
        raft_log_free_segment(log->segments[i]);
    free(log->segments);
    free(log->slots);
    free(log);
}
