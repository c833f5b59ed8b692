/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/log/manifest.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "broker/log/disk_guard.h"
#include "common/base/assert.h"
#include "common/base/wire.h"
#include "common/log/log_path.h"
#include "common/log/segfile.h"

#define TEMP_NAME      MANIFEST_NAME ".tmp"
#define KEY_SIZE       20                     /* topic id, index */
#define ENTRY_SIZE_MIN (KEY_SIZE + 3 * 8 + 1) /* without cleaned_to */
#define ENTRY_SIZE     (ENTRY_SIZE_MIN + 8)
#define BOOT_SIZE      37
#define POINTS_LOST    "points-lost-points-lost-points-lost-" /* in place of a boot id */
#define FRAME_MAX      256
#define REWRITE_BYTES  (1u << 20) /* the file is rewritten when it is larger than this ... */
#define REWRITE_FACTOR 4          /* ... and than so many times what its entries need */
#define FLUSH_FRAMES   64
#define HEAL_FIRST_US  (50 * 1000) /* a failed file is replaced after this, then after twice as long, ... */
#define HEAL_MAX_US    (5 * 1000 * 1000)

/* Bits of an entry's last byte before cleaned_to. */
#define ENTRY_CLEAN    1
#define ENTRY_DISTRUST 2
#define ENTRY_GAPS     4
#define ENTRY_POWER    8

/* Frames of the file. */
enum manifest_frame {
    FRAME_ENTRY = 1,
    FRAME_REMOVED = 2,
    FRAME_RUNNING = 3, /* data: boot id. No entry is clean until FRAME_CLEAN_STOP is the last word */
    FRAME_CLEAN_STOP = 4,
};

struct node {
    uint8_t key[KEY_SIZE];
    int64_t recovery_point, high_watermark, log_start, cleaned_to;
    bool gaps, clean, distrust, power_lost, removed; /* removed: goes when that is written */
    bool dirty;
    struct node *next_dirty;
    UT_hash_handle hh;
};

struct manifest {
    struct env *env;
    char dir[LOG_PATH_MAX], path[LOG_PATH_MAX], temp[LOG_PATH_MAX];
    char boot_id[BOOT_SIZE];
    struct segfile file;
    struct segfile next; /* the rewritten file while it is being synced */
    enum rewrite { REWRITE_NONE, REWRITE_SYNCING, REWRITE_RENAMED } rewrite;
    struct env_io rewrite_io, sync_io;
    bool rewrite_busy, syncing; /* the request is under way */
    enum err failed;            /* the file is not to be believed; a new one will take its place */
    struct env_timer heal;      /* when that is tried */
    void (*changed)(void *ctx, enum err err); /* manifest_watch() */
    void *changed_ctx;
    uint64_t heal_wait_us;
    bool heal_due;

    pthread_mutex_t lock; /* of all below; shards update their entries, the owner writes them */
    struct node *nodes;
    struct node *dirty; /* in no order */
    bool want_sync;
    uint64_t wanted_syncs;  /* puts that asked for one */
    uint64_t written_syncs; /* of them in the page cache; owner only */
    uint64_t running_syncs; /* of them covered by the sync under way; owner only */
    uint64_t rewrite_syncs; /* of them in the rewritten file; owner only */
    uint64_t synced;        /* of them durable */
    bool posted;            /* msg is on its way to the owner */
    bool closing;
    struct env_msg msg;
    bool doubted;     /* the last run's end is in doubt, and the controllers have not been told yet */
    bool points_lost; /* so are the recovery points */
    bool trust_due;   /* manifest_trust() waits for a rewrite to end */
};

STATIC_ASSERT(sizeof(POINTS_LOST) == BOOT_SIZE, "as long as a boot id");

static const struct segfile_limits limits = {.frame_max = FRAME_MAX, .allocate_bytes = 0};

/* -- entries (under the lock) -- */

static void make_key(uint8_t key[KEY_SIZE], struct uuid topic_id, int32_t index)
{
    memcpy(key, topic_id.b, sizeof(topic_id.b));
    store_be32(key + sizeof(topic_id.b), (uint32_t)index);
}

static struct node *find(struct manifest *m, const uint8_t key[KEY_SIZE])
{
    struct node *node;
    HASH_FIND(hh, m->nodes, key, KEY_SIZE, node);
    return node;
}

static struct node *find_or_add(struct manifest *m, const uint8_t key[KEY_SIZE])
{
    struct node *node = find(m, key);
    if (node)
        return node;
    node = calloc(1, sizeof(*node));
    if (node == NULL)
        return NULL;
    memcpy(node->key, key, KEY_SIZE);
    HASH_ADD(hh, m->nodes, key, KEY_SIZE, node);
    return node;
}

static void drop(struct manifest *m, struct node *node)
{
    HASH_DEL(m->nodes, node);
    free(node);
}

static void encode(const struct node *node, uint8_t out[ENTRY_SIZE])
{
    memcpy(out, node->key, KEY_SIZE);
    store_be64(out + KEY_SIZE, (uint64_t)node->recovery_point);
    store_be64(out + KEY_SIZE + 8, (uint64_t)node->high_watermark);
    store_be64(out + KEY_SIZE + 16, (uint64_t)node->log_start);
    out[KEY_SIZE + 24] = (uint8_t)((node->clean ? ENTRY_CLEAN : 0) | (node->distrust ? ENTRY_DISTRUST : 0) |
                                   (node->gaps ? ENTRY_GAPS : 0) | (node->power_lost ? ENTRY_POWER : 0));
    store_be64(out + ENTRY_SIZE_MIN, (uint64_t)node->cleaned_to);
}

static void decode(const uint8_t *p, uint32_t len, struct node *node)
{
    node->recovery_point = (int64_t)load_be64(p + KEY_SIZE);
    node->high_watermark = (int64_t)load_be64(p + KEY_SIZE + 8);
    node->log_start = (int64_t)load_be64(p + KEY_SIZE + 16);
    node->clean = p[KEY_SIZE + 24] & ENTRY_CLEAN;
    node->distrust = p[KEY_SIZE + 24] & ENTRY_DISTRUST;
    node->gaps = p[KEY_SIZE + 24] & ENTRY_GAPS;
    node->power_lost = p[KEY_SIZE + 24] & ENTRY_POWER;
    node->cleaned_to = len >= ENTRY_SIZE ? (int64_t)load_be64(p + ENTRY_SIZE_MIN) : 0;
    node->removed = false;
}

static struct segframe frame_of(const struct node *node, uint8_t data[ENTRY_SIZE])
{
    encode(node, data);
    return (struct segframe){.type = node->removed ? FRAME_REMOVED : FRAME_ENTRY,
                             .data = data,
                             .len = node->removed ? KEY_SIZE : ENTRY_SIZE};
}

/* -- rewriting -- */

static void tell(struct manifest *m, enum err err)
{
    if (m->changed)
        m->changed(m->changed_ctx, err);
}

/* Only the owner writes `failed`, so that it may read it without the lock. The failed file is neither written
 * nor believed again: what is in memory goes into a new one, and so on until one is durable. On a full disk
 * that one gets the reserve's room: what retention gives up goes only once the manifest says so. */
static void fail(struct manifest *m, enum err err)
{
    bool first = m->failed == OK;
    if (err == ERR_NO_SPACE)
        disk_reserve_drop(m->env, m->dir);
    pthread_mutex_lock(&m->lock);
    if (first)
        m->failed = err;
    pthread_mutex_unlock(&m->lock);
    if (first)
        tell(m, err);
    if (m->closing || env_timer_armed(&m->heal))
        return;
    env_timer_set(m->env, &m->heal, env_now_us(m->env) + m->heal_wait_us);
    m->heal_wait_us = MIN(m->heal_wait_us * 2, HEAL_MAX_US);
}

/* A new file that holds all entries is durable. */
static void healed(struct manifest *m)
{
    bool was = m->failed != OK;
    pthread_mutex_lock(&m->lock);
    m->failed = OK;
    pthread_mutex_unlock(&m->lock);
    if (was)
        tell(m, OK);
    env_timer_cancel(m->env, &m->heal);
    m->heal_due = false;
    m->heal_wait_us = HEAL_FIRST_US;
}

/* A run that began in doubt (see manifest_trust) does not name its boot: were it to die now, the next one
 * must doubt as well. */
static enum err append_running(struct manifest *m, struct segfile *file)
{
    static const char nobody[BOOT_SIZE];
    const char *boot_id = m->points_lost ? POINTS_LOST : m->doubted ? nobody : m->boot_id;
    struct segframe frame = {.type = FRAME_RUNNING, .data = boot_id, .len = BOOT_SIZE};
    return segfile_append(file, &frame, 1);
}

/* Writes every entry to a new file beside the present one. Under the lock (memory and page cache only). */
static enum err write_all(struct manifest *m, struct segfile *file)
{
    struct segfile_info info = {.kind = SEGFILE_MANIFEST};
    enum err err = env_unlink(m->env, m->temp);
    if (err == OK || err == ERR_NOT_FOUND)
        err = segfile_create(m->env, m->temp, &info, &limits, file);
    if (err)
        return err;
    err = append_running(m, file);
    for (struct node *node = m->nodes; node && err == OK; node = node->hh.next) {
        uint8_t data[ENTRY_SIZE];
        struct segframe frame = frame_of(node, data);
        if (!node->removed)
            err = segfile_append(file, &frame, 1);
    }
    if (err)
        segfile_close(file);
    return err;
}

static void flush(struct manifest *m);
static void note_synced(struct manifest *m, uint64_t count);

static void heal(struct env_timer *timer)
{
    struct manifest *m = CONTAINER_OF(timer, struct manifest, heal);
    m->heal_due = m->failed != OK;
    flush(m);
}

static void take_over(struct manifest *m)
{
    segfile_close(&m->file);
    m->file = m->next;
    m->next.file = NULL;
    segfile_synced(&m->file, m->file.size);
    m->rewrite = REWRITE_NONE;
    if (m->trust_due)
        manifest_trust(m);
}

static void give_up_rewrite(struct manifest *m)
{
    segfile_close(&m->next);
    m->rewrite = REWRITE_NONE;
    if (m->trust_due)
        manifest_trust(m);
}

static void dir_synced(struct env_io *io, enum err err)
{
    struct manifest *m = CONTAINER_OF(io, struct manifest, rewrite_io);
    m->rewrite_busy = false;
    if (err) {
        fail(m, err);
    } else {
        healed(m);
        note_synced(m, m->rewrite_syncs);
    }
    if (m->rewrite == REWRITE_RENAMED)
        take_over(m);
    flush(m);
}

static void rewrite_synced(struct env_io *io, enum err err)
{
    struct manifest *m = CONTAINER_OF(io, struct manifest, rewrite_io);
    m->rewrite_busy = false;
    if (err == OK && m->rewrite == REWRITE_SYNCING)
        err = env_rename(m->env, m->temp, m->path);
    if (err || m->rewrite != REWRITE_SYNCING) { /* else: closing */
        if (err)
            fail(m, err);
        give_up_rewrite(m);
        flush(m);
        return;
    }
    m->rewrite = REWRITE_RENAMED;
    m->rewrite_busy = true;
    env_dir_sync(m->env, m->dir, &m->rewrite_io, dir_synced);
}

static void rewrite_when_due(struct manifest *m)
{
    pthread_mutex_lock(&m->lock);
    uint64_t needed = HASH_COUNT(m->nodes) * segfile_frame_size(ENTRY_SIZE);
    bool grown = m->failed == OK && m->file.size > REWRITE_BYTES && m->file.size > REWRITE_FACTOR * needed;
    bool due = m->rewrite == REWRITE_NONE && !m->closing && (grown || m->heal_due);
    enum err err = due ? write_all(m, &m->next) : OK;
    m->rewrite_syncs = m->wanted_syncs;
    m->heal_due = m->heal_due && !due;
    pthread_mutex_unlock(&m->lock);
    if (err)
        fail(m, err);
    if (!due || err)
        return;
    m->rewrite = REWRITE_SYNCING;
    m->rewrite_busy = true;
    env_file_sync(m->next.file, &m->rewrite_io, rewrite_synced);
}

/* -- writing -- */

/* Takes up to FLUSH_FRAMES dirty entries and writes them. False when there were none. */
static bool flush_some(struct manifest *m)
{
    struct segframe frames[FLUSH_FRAMES];
    uint8_t data[FLUSH_FRAMES][ENTRY_SIZE];
    int count = 0;
    pthread_mutex_lock(&m->lock);
    while (count < FLUSH_FRAMES && m->dirty) {
        struct node *node = m->dirty;
        m->dirty = node->next_dirty;
        node->dirty = false;
        frames[count] = frame_of(node, data[count]);
        count++;
        if (node->removed)
            drop(m, node);
    }
    pthread_mutex_unlock(&m->lock);
    if (count == 0 || m->failed)
        return count > 0;
    enum err err = segfile_append(&m->file, frames, count);
    if (err)
        fail(m, err);
    return true;
}

static void note_synced(struct manifest *m, uint64_t count)
{
    pthread_mutex_lock(&m->lock);
    m->synced = MAX(m->synced, count);
    pthread_mutex_unlock(&m->lock);
}

static void synced(struct env_io *io, enum err err)
{
    struct manifest *m = CONTAINER_OF(io, struct manifest, sync_io);
    m->syncing = false;
    if (err)
        fail(m, err);
    else
        note_synced(m, m->running_syncs);
    flush(m);
}

static void sync_when_wanted(struct manifest *m)
{
    pthread_mutex_lock(&m->lock);
    bool due = m->want_sync && !m->syncing && m->failed == OK;
    if (due)
        m->want_sync = false;
    pthread_mutex_unlock(&m->lock);
    if (!due)
        return;
    m->syncing = true;
    m->running_syncs = m->written_syncs;
    env_file_sync(m->file.file, &m->sync_io, synced);
}

static void free_manifest(struct manifest *m)
{
    struct node *node, *next;
    env_timer_cancel(m->env, &m->heal);
    HASH_ITER(hh, m->nodes, node, next)
    drop(m, node);
    segfile_close(&m->file);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

/* On the owner's loop; nothing is written while a rewritten file is about to take over. */
static void flush(struct manifest *m)
{
    if (m->closing) {
        if (!m->posted && !m->rewrite_busy && !m->syncing)
            free_manifest(m);
        return;
    }
    if (m->rewrite != REWRITE_NONE)
        return;
    pthread_mutex_lock(&m->lock);
    uint64_t wanted = m->wanted_syncs;
    pthread_mutex_unlock(&m->lock);
    while (flush_some(m)) {
    }
    m->written_syncs = wanted;
    sync_when_wanted(m);
    rewrite_when_due(m);
}

static void on_msg(struct env_msg *msg)
{
    struct manifest *m = CONTAINER_OF(msg, struct manifest, msg);
    pthread_mutex_lock(&m->lock);
    m->posted = false;
    pthread_mutex_unlock(&m->lock);
    flush(m);
}

/* Under the lock: puts node on the dirty list; true when the caller must post msg. */
static bool mark_dirty(struct manifest *m, struct node *node)
{
    if (!node->dirty) {
        node->dirty = true;
        node->next_dirty = m->dirty;
        m->dirty = node;
    }
    bool post = !m->posted && !m->closing;
    m->posted = m->posted || post;
    return post;
}

/* -- any thread -- */

bool manifest_get(struct manifest *m, struct uuid topic_id, int32_t index, struct manifest_entry *ret_entry)
{
    uint8_t key[KEY_SIZE];
    make_key(key, topic_id, index);
    pthread_mutex_lock(&m->lock);
    const struct node *node = find(m, key);
    bool known = node && !node->removed;
    if (known)
        *ret_entry = (struct manifest_entry){.topic_id = topic_id,
                                             .index = index,
                                             .recovery_point = node->recovery_point,
                                             .high_watermark = node->high_watermark,
                                             .log_start = node->log_start,
                                             .cleaned_to = node->cleaned_to,
                                             .gaps = node->gaps,
                                             .clean = node->clean,
                                             .distrust = node->distrust,
                                             .power_lost = node->power_lost};
    pthread_mutex_unlock(&m->lock);
    return known;
}

/* Under the lock. */
static void want_sync(struct manifest *m)
{
    m->want_sync = true;
    m->wanted_syncs++;
}

void manifest_put(struct manifest *m, const struct manifest_entry *entry)
{
    uint8_t key[KEY_SIZE];
    bool post = false;
    make_key(key, entry->topic_id, entry->index);
    pthread_mutex_lock(&m->lock);
    struct node *node = find_or_add(m, key);
    if (node) {
        if (node->removed || entry->log_start > node->log_start || (entry->gaps && !node->gaps) ||
            entry->recovery_point < node->recovery_point)
            want_sync(m);
        node->recovery_point = entry->recovery_point;
        node->high_watermark = entry->high_watermark;
        node->log_start = entry->log_start;
        node->cleaned_to = entry->cleaned_to;
        node->gaps = entry->gaps;
        node->clean = entry->clean;
        node->distrust = entry->distrust;
        node->power_lost = entry->power_lost;
        node->removed = false;
        post = mark_dirty(m, node);
    }
    pthread_mutex_unlock(&m->lock);
    if (post)
        env_post(m->env, &m->msg);
}

uint64_t manifest_mark(struct manifest *m)
{
    pthread_mutex_lock(&m->lock);
    uint64_t mark = m->wanted_syncs;
    pthread_mutex_unlock(&m->lock);
    return mark;
}

bool manifest_reached(struct manifest *m, uint64_t mark)
{
    pthread_mutex_lock(&m->lock);
    bool reached = m->failed == OK && m->synced >= mark;
    pthread_mutex_unlock(&m->lock);
    return reached;
}

void manifest_remove(struct manifest *m, struct uuid topic_id, int32_t index)
{
    uint8_t key[KEY_SIZE];
    bool post = false;
    make_key(key, topic_id, index);
    pthread_mutex_lock(&m->lock);
    struct node *node = find(m, key);
    if (node) {
        node->removed = true;
        want_sync(m); /* a replica that comes back here begins with nothing */
        post = mark_dirty(m, node);
    }
    pthread_mutex_unlock(&m->lock);
    if (post)
        env_post(m->env, &m->msg);
}

uint32_t manifest_count(struct manifest *m)
{
    uint32_t count = 0;
    pthread_mutex_lock(&m->lock);
    for (const struct node *node = m->nodes; node; node = node->hh.next)
        count += !node->removed;
    pthread_mutex_unlock(&m->lock);
    return count;
}

void manifest_watch(struct manifest *m, void (*changed)(void *ctx, enum err err), void *ctx)
{
    m->changed = changed;
    m->changed_ctx = ctx;
}

enum err manifest_failed(struct manifest *m)
{
    pthread_mutex_lock(&m->lock);
    enum err err = m->failed;
    pthread_mutex_unlock(&m->lock);
    return err;
}

/* -- life -- */

struct load {
    struct manifest *m;
    bool clean_stop;
    char boot_id[BOOT_SIZE];
};

static enum err load_entry(struct manifest *m, const struct segframe *frame)
{
    if (frame->len < ENTRY_SIZE_MIN)
        return ERR_CORRUPT;
    struct node *node = find_or_add(m, frame->data);
    if (node == NULL)
        return ERR_NOMEM;
    decode(frame->data, frame->len, node);
    return OK;
}

static enum err load_frame(void *ctx, const struct segframe *frame)
{
    struct load *load = ctx;
    struct node *node;
    load->clean_stop = frame->type == FRAME_CLEAN_STOP;
    switch (frame->type) {
    case FRAME_ENTRY: return load_entry(load->m, frame);
    case FRAME_REMOVED:
        node = frame->len < KEY_SIZE ? NULL : find(load->m, frame->data);
        if (node)
            drop(load->m, node);
        return OK;
    case FRAME_RUNNING:
        if (frame->len == BOOT_SIZE)
            memcpy(load->boot_id, frame->data, BOOT_SIZE);
        return OK;
    default: return OK; /* of a later version: not for us */
    }
}

/* What is damaged stays for people to look at; the readable part goes on in a new file. */
static enum err set_aside(struct manifest *m)
{
    char to[LOG_PATH_MAX + 32];
    uint32_t random;
    env_random(m->env, &random, sizeof(random));
    snprintf(to, sizeof(to), "%s.damaged-%08" PRIx32, m->path, random);
    segfile_close(&m->file);
    return env_rename(m->env, m->path, to);
}

static enum err start_file(struct manifest *m)
{
    enum err err = write_all(m, &m->file);
    if (err == OK)
        err = env_file_sync_wait(m->file.file);
    if (err == OK)
        err = env_rename(m->env, m->temp, m->path);
    return err ? err : env_dir_sync_wait(m->env, m->dir);
}

static enum err continue_file(struct manifest *m, const struct segfile_tail *tail)
{
    enum err err = tail->kind == SEGTAIL_TORN ? segfile_cut_wait(&m->file) : OK;
    if (err == OK)
        err = append_running(m, &m->file);
    return err == OK ? segfile_settle_wait(&m->file) : err;
}

static void finish_load(struct manifest *m, const struct load *load, struct manifest_report *report)
{
    report->clean_stop = load->clean_stop && !report->damaged;
    report->same_boot = memcmp(load->boot_id, m->boot_id, BOOT_SIZE) == 0;
    report->partitions = HASH_COUNT(m->nodes);
    bool other_boot = !report->damaged && !report->same_boot;
    for (struct node *node = m->nodes; node; node = node->hh.next) {
        node->clean = node->clean && report->clean_stop;
        node->power_lost = node->power_lost || (other_boot && !node->clean);
    }
    report->points_lost = report->damaged || memcmp(load->boot_id, POINTS_LOST, BOOT_SIZE) == 0;
    m->points_lost = report->points_lost;
    m->doubted = report->points_lost || !(report->clean_stop || report->same_boot);
}

static enum err load_file(struct manifest *m, bool was_there, struct manifest_report *report)
{
    struct load load = {.m = m};
    struct segfile_tail tail;
    enum err err = segfile_open(m->env, m->path, true, SEGFILE_MANIFEST, &limits, &m->file);
    report->created = err == ERR_NOT_FOUND;
    if (err == ERR_NOT_FOUND) {
        m->doubted = m->points_lost = report->points_lost = was_there;
        return start_file(m);
    }
    report->damaged = err == ERR_TRUNCATED || err == ERR_CORRUPT;
    if (err && !report->damaged)
        return err;
    if (!report->damaged) {
        err = segfile_scan(&m->file, load_frame, &load, &tail);
        report->damaged = err == ERR_CORRUPT || (err == OK && tail.kind == SEGTAIL_DAMAGED);
        if (err && !report->damaged)
            return err;
    }
    finish_load(m, &load, report);
    if (!report->damaged)
        return continue_file(m, &tail);
    err = set_aside(m);
    return err ? err : start_file(m);
}

enum err manifest_open_again(struct env *owner, const char *data_dir, bool was_there,
                             struct manifest **ret_manifest, struct manifest_report *ret_report)
{
    struct manifest_report report = {0};
    struct manifest *m = calloc(1, sizeof(*m));
    if (m == NULL)
        return ERR_NOMEM;
    m->env = owner;
    m->msg.fn = on_msg;
    m->heal_wait_us = HEAL_FIRST_US;
    env_timer_init(&m->heal, heal);
    pthread_mutex_init(&m->lock, NULL);
    env_boot_id(owner, m->boot_id);
    enum err err = log_path(m->path, data_dir, MANIFEST_NAME);
    if (err == OK)
        err = log_path(m->temp, data_dir, TEMP_NAME);
    snprintf(m->dir, sizeof(m->dir), "%s", data_dir);
    if (err == OK)
        err = load_file(m, was_there, &report);
    if (err) {
        free_manifest(m);
        return err;
    }
    *ret_manifest = m;
    *ret_report = report;
    return OK;
}

enum err manifest_open(struct env *owner, const char *data_dir, struct manifest **ret_manifest,
                       struct manifest_report *ret_report)
{
    return manifest_open_again(owner, data_dir, false, ret_manifest, ret_report);
}

/* From now on a killed process is followed by one under the same boot: of logs that have not been opened yet
 * that one must know that the power was lost before. */
static void note_unopened(struct manifest *m)
{
    pthread_mutex_lock(&m->lock);
    for (struct node *node = m->nodes; node; node = node->hh.next)
        if (node->power_lost && !node->dirty) {
            node->dirty = true;
            node->next_dirty = m->dirty;
            m->dirty = node;
        }
    pthread_mutex_unlock(&m->lock);
    while (flush_some(m)) {
    }
}

void manifest_trust(struct manifest *m)
{
    m->trust_due = false;
    if (!m->doubted)
        return;
    if (m->rewrite != REWRITE_NONE || m->failed != OK) {
        m->trust_due = true; /* the file that is being written, or will be, says "doubted" */
        return;
    }
    note_unopened(m);
    if (m->failed != OK) {
        m->trust_due = true;
        return;
    }
    m->doubted = m->points_lost = false;
    enum err err = append_running(m, &m->file);
    if (err == OK)
        err = env_file_sync_wait(m->file.file);
    if (err)
        fail(m, err);
    else
        segfile_synced(&m->file, m->file.size);
}

static enum err write_clean_stop(struct manifest *m)
{
    struct segframe frame = {.type = FRAME_CLEAN_STOP};
    enum err err = segfile_append(&m->file, &frame, 1);
    return err ? err : env_file_sync_wait(m->file.file);
}

/* A rewrite under way: the file that has the name by now is the one to finish. */
static void settle_rewrite(struct manifest *m)
{
    if (m->rewrite == REWRITE_RENAMED) {
        enum err err = env_dir_sync_wait(m->env, m->dir);
        if (err)
            fail(m, err);
        take_over(m);
    } else if (m->rewrite == REWRITE_SYNCING) {
        give_up_rewrite(m);
    }
}

/* The last chance to leave what is in memory behind. */
static void heal_now(struct manifest *m)
{
    segfile_close(&m->file);
    if (start_file(m) == OK)
        healed(m);
}

enum err manifest_close(struct manifest *m, bool clean)
{
    settle_rewrite(m);
    while (flush_some(m)) {
    }
    if (m->failed != OK)
        heal_now(m);
    enum err err = clean && !m->doubted && m->failed == OK ? write_clean_stop(m) : OK;
    if (err)
        fail(m, err);
    err = m->failed;
    pthread_mutex_lock(&m->lock);
    m->closing = true;
    bool busy = m->posted || m->syncing || m->rewrite_busy;
    pthread_mutex_unlock(&m->lock);
    if (!busy)
        free_manifest(m);
    return err;
}
