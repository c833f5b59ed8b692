/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/storage.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/base/mutant.h"
#include "common/log/atomic_file.h"
#include "controller/properties.h"

#define IDENTITY_NAME "meta.properties"
#define STATE_NAME    "quorum-state"
#define PEERS_NAME    "peers"
#define LOCK_NAME     ".lock"
#define PEERS_MAX     64

struct peer_pin {
    int32_t node_id;
    struct uuid directory_id;
};

/* The content of quorum-state. */
struct quorum_state {
    uint64_t term, vote;
    uint64_t log_sequence;        /* newest segment that exists for certain */
    uint64_t log_term, log_index; /* last entry that was durable when this was written */
};

struct storage {
    struct env *env;
    char dir[LOG_PATH_MAX];
    int32_t node_id;
    struct uuid cluster_id, directory_id;
    bool joined;
    struct env_file *lock;
    bool has_state;
    struct quorum_state state;
    struct peer_pin peers[PEERS_MAX];
    int peers_count;
    struct raft_log *log;
    struct snapshot_store *snapshots;
    const struct storage_handler *handler;
    void *ctx;
    char warning[STORAGE_TEXT_MAX];
};

#define SAY(text, ...) snprintf((text), STORAGE_TEXT_MAX, __VA_ARGS__)

/* -- the directory and its lock -- */

static enum err take_lock(struct storage *s, char *text)
{
    char path[LOG_PATH_MAX];
    enum err err = log_dir_make_wait(s->env, s->dir);
    if (err == OK)
        err = log_path(path, s->dir, LOCK_NAME);
    if (err == OK)
        err = env_file_open(s->env, path, ENV_OPEN_WRITE | ENV_OPEN_CREATE | ENV_OPEN_LOCK, &s->lock);
    if (err == ERR_BUSY)
        SAY(text, "%s: in use by another process: stop that one, or set another metadata.log.dir", s->dir);
    else if (err != OK)
        SAY(text, "%s: %s: check that metadata.log.dir names a directory that this user may write", s->dir,
            err_text(err));
    return err == OK ? env_dir_sync_wait(s->env, s->dir)
                     : err; /* names that a killed process left unsynced */
}

/* -- identity -- */

static enum err write_identity_wait(struct storage *s)
{
    struct properties p;
    properties_init(&p);
    properties_add_u64(&p, "version", 1);
    properties_add_u64(&p, "node.id", (uint64_t)s->node_id);
    properties_add_uuid(&p, "directory.id", s->directory_id);
    if (!uuid_is_zero(s->cluster_id))
        properties_add_uuid(&p, "cluster.id", s->cluster_id);
    if (s->joined)
        properties_add_u64(&p, "quorum.joined", 1);
    return atomic_file_write_wait(s->env, s->dir, IDENTITY_NAME, p.text, p.len);
}

static enum err parse_identity(struct storage *s, struct str props, char *text)
{
    uint64_t version = 0, node_id = 0, joined = 0;
    enum err err = properties_get_u64(props, "version", &version);
    if (err == OK)
        err = properties_get_u64(props, "node.id", &node_id);
    if (err == OK)
        err = properties_get_uuid(props, "directory.id", &s->directory_id);
    if (err == OK && properties_get(props, "cluster.id").len >= 0)
        err = properties_get_uuid(props, "cluster.id", &s->cluster_id);
    if (err == OK && properties_get(props, "quorum.joined").len >= 0)
        err = properties_get_u64(props, "quorum.joined", &joined);
    s->joined = joined != 0;
    if (err != OK || version != 1) {
        SAY(text, "%s/%s: not understood: written by another version, or not by Sluice", s->dir,
            IDENTITY_NAME);
        return err != OK ? ERR_CORRUPT : ERR_VERSION;
    }
    if (node_id == (uint64_t)s->node_id)
        return OK;
    SAY(text,
        "%s/%s: belongs to node.id %" PRIu64 ", this process is node.id %d: set another metadata.log.dir",
        s->dir, IDENTITY_NAME, node_id, s->node_id);
    return ERR_MISMATCH;
}

struct foreign {
    bool found;
};

static bool found_entry(void *ctx, const char *name, bool is_dir)
{
    struct foreign *f = ctx;
    f->found |= strcmp(name, LOCK_NAME) != 0 && strcmp(name, IDENTITY_NAME ".tmp") != 0;
    return !f->found;
}

/* A directory without identity must be empty: else it is somebody else's, or lost its identity. */
static enum err new_identity(struct storage *s, char *text)
{
    struct foreign f = {.found = false};
    enum err err = env_dir_list(s->env, s->dir, found_entry, &f);
    if (err == OK && f.found) {
        SAY(text,
            "%s: has files but no %s: it is not this controller's: set metadata.log.dir to an empty "
            "directory",
            s->dir, IDENTITY_NAME);
        return ERR_MISMATCH;
    }
    env_random(s->env, &s->directory_id, sizeof(s->directory_id));
    return err == OK ? write_identity_wait(s) : err;
}

static enum err load_identity(struct storage *s, char *text)
{
    struct iobuf *buf;
    enum err err = atomic_file_read(s->env, s->dir, IDENTITY_NAME, &buf);
    if (err == ERR_NOT_FOUND)
        return new_identity(s, text);
    if (err == ERR_CORRUPT)
        SAY(text, "%s/%s: damaged, or not written by Sluice: set another metadata.log.dir", s->dir,
            IDENTITY_NAME);
    if (err != OK)
        return err;
    err = parse_identity(s, (struct str){(const char *)buf->data, (int32_t)buf->len}, text);
    iobuf_unref(buf);
    return err;
}

struct uuid storage_directory_id(const struct storage *storage)
{
    return storage->directory_id;
}

struct uuid storage_cluster_id(const struct storage *storage)
{
    return storage->cluster_id;
}

enum err storage_set_cluster_id_wait(struct storage *s, struct uuid cluster_id, char text[STORAGE_TEXT_MAX])
{
    ASSERT(!uuid_is_zero(cluster_id));
    if (uuid_eq(s->cluster_id, cluster_id))
        return OK;
    if (!uuid_is_zero(s->cluster_id)) {
        SAY(text,
            "%s/%s: belongs to another cluster: set another metadata.log.dir, or check "
            "controller.quorum.voters",
            s->dir, IDENTITY_NAME);
        return ERR_MISMATCH;
    }
    s->cluster_id = cluster_id;
    enum err err = write_identity_wait(s);
    if (err != OK)
        SAY(text, "%s/%s: %s", s->dir, IDENTITY_NAME, err_text(err));
    return err;
}

/* -- pinned peers -- */

static enum err write_peers_wait(struct storage *s)
{
    struct properties p;
    properties_init(&p);
    properties_add_u64(&p, "version", 1);
    for (int i = 0; i < s->peers_count; i++) {
        char key[32];
        snprintf(key, sizeof(key), "peer.%d", s->peers[i].node_id);
        properties_add_uuid(&p, key, s->peers[i].directory_id);
    }
    return atomic_file_write_wait(s->env, s->dir, PEERS_NAME, p.text, p.len);
}

struct uuid storage_peer_directory(const struct storage *s, int32_t node_id)
{
    for (int i = 0; i < s->peers_count; i++) {
        if (s->peers[i].node_id == node_id)
            return s->peers[i].directory_id;
    }
    return (struct uuid){{0}};
}

enum err storage_check_peer_wait(struct storage *s, int32_t node_id, struct uuid directory_id)
{
    for (int i = 0; i < s->peers_count; i++) {
        if (s->peers[i].node_id == node_id)
            return uuid_eq(s->peers[i].directory_id, directory_id) ? OK : ERR_MISMATCH;
    }
    if (s->peers_count == PEERS_MAX)
        return ERR_FULL;
    s->peers[s->peers_count++] = (struct peer_pin){.node_id = node_id, .directory_id = directory_id};
    enum err err = write_peers_wait(s);
    if (err != OK)
        s->peers_count--;
    return err;
}

static enum err parse_peers(struct storage *s, struct str text)
{
    const char *at = text.p;
    const char *end = text.p + text.len;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        const char *line_end = stop != NULL ? stop : end;
        const char *equals = memchr(at, '=', (size_t)(line_end - at));
        struct peer_pin pin;
        struct str value =
            equals == NULL ? STR_NULL : (struct str){equals + 1, (int32_t)(line_end - equals - 1)};
        if (strncmp(at, "peer.", 5) == 0 && s->peers_count < PEERS_MAX) {
            pin.node_id = (int32_t)strtol(at + 5, NULL, 10);
            if (uuid_parse(value, &pin.directory_id) != OK)
                return ERR_CORRUPT;
            s->peers[s->peers_count++] = pin;
        }
        at = line_end + 1;
    }
    return OK;
}

static enum err load_peers(struct storage *s, char *text)
{
    struct iobuf *buf;
    enum err err = atomic_file_read(s->env, s->dir, PEERS_NAME, &buf);
    if (err == ERR_NOT_FOUND)
        return OK;
    if (err == OK) {
        err = parse_peers(s, (struct str){(const char *)buf->data, (int32_t)buf->len});
        iobuf_unref(buf);
    }
    if (err != OK)
        SAY(text, "%s/%s: damaged: stop all controllers, check their disks, and remove it", s->dir,
            PEERS_NAME);
    return err;
}

/* -- term, vote and the end of the log -- */

/* The last entry that is durable: of the log, or what the newest snapshot covers. */
static void durable_end(const struct storage *s, uint64_t *ret_term, uint64_t *ret_index)
{
    const struct snapshot *snapshot = snapshot_newest(s->snapshots);
    *ret_index = raft_log_durable(s->log);
    *ret_term = raft_log_term(s->log, *ret_index);
    if (snapshot != NULL && (*ret_term == 0 || *ret_index < snapshot->id.index)) {
        *ret_index = snapshot->id.index;
        *ret_term = snapshot->id.term;
    }
}

/* Writes the state as it stands in s->state. */
static enum err write_fields_wait(struct storage *s)
{
    struct properties p;
    properties_init(&p);
    properties_add_u64(&p, "version", 1);
    properties_add_u64(&p, "term", s->state.term);
    properties_add_u64(&p, "vote", MUTANT(FORGET_VOTE) ? 0 : s->state.vote);
    properties_add_u64(&p, "log.sequence", s->state.log_sequence);
    properties_add_u64(&p, "log.term", s->state.log_term);
    properties_add_u64(&p, "log.index", s->state.log_index);
    enum err err = atomic_file_write_wait(s->env, s->dir, STATE_NAME, p.text, p.len);
    s->has_state |= err == OK;
    return err;
}

static enum err write_state_wait(struct storage *s)
{
    durable_end(s, &s->state.log_term, &s->state.log_index);
    return write_fields_wait(s);
}

static enum err parse_state(struct storage *s, struct str text)
{
    uint64_t version = 0;
    enum err err = properties_get_u64(text, "version", &version);
    if (err == OK && version != 1)
        return ERR_VERSION;
    struct {
        const char *key;
        uint64_t *value;
    } fields[] = {{"term", &s->state.term},
                  {"vote", &s->state.vote},
                  {"log.sequence", &s->state.log_sequence},
                  {"log.term", &s->state.log_term},
                  {"log.index", &s->state.log_index}};
    for (size_t i = 0; i < ARRAY_LEN(fields) && err == OK; i++)
        err = properties_get_u64(text, fields[i].key, fields[i].value);
    if (err == OK && s->state.term == 0)
        err = ERR_CORRUPT;
    return err;
}

static enum err load_state(struct storage *s, char *text)
{
    struct iobuf *buf;
    enum err err = atomic_file_read(s->env, s->dir, STATE_NAME, &buf);
    if (err == ERR_NOT_FOUND)
        return OK;
    if (err == OK) {
        err = parse_state(s, (struct str){(const char *)buf->data, (int32_t)buf->len});
        iobuf_unref(buf);
        s->has_state = true;
    }
    if (err != OK)
        SAY(text,
            "%s/%s: %s: this controller's vote is lost and it must not vote again as node.id %d: move the "
            "directory "
            "away and rejoin under a new node.id",
            s->dir, STATE_NAME, err_text(err), s->node_id);
    return err == OK || err == ERR_VERSION ? err : ERR_CORRUPT;
}

/* -- the log and the snapshots against each other -- */

static enum err damaged(struct storage *s, const char *what, char *text)
{
    SAY(text,
        "%s: damaged: %s: this controller must not vote again as node.id %d: move the directory away and "
        "rejoin under "
        "a new node.id",
        s->dir, what, s->node_id);
    return ERR_CORRUPT;
}

/* Before the first quorum-state there can only be the beginning of a bootstrap. */
static enum err check_new(struct storage *s, char *text)
{
    if (snapshot_newest(s->snapshots) != NULL || raft_log_last(s->log) > 1 || raft_log_first(s->log) != 1)
        return damaged(s, "there is a log but no " STATE_NAME, text);
    return OK;
}

enum err storage_void_log_wait(struct storage *s)
{
    const struct snapshot *snapshot = snapshot_newest(s->snapshots);
    ASSERT(snapshot != NULL && s->has_state);
    /* The log may have ended in a later term than the snapshot: that end is no longer expected. */
    s->state.log_term = snapshot->id.term;
    s->state.log_index = snapshot->id.index;
    enum err err = write_fields_wait(s);
    return err == OK ? raft_log_reset_wait(s->log, snapshot->id.index + 1) : err;
}

/* A snapshot that the log does not reach, or contradicts, was installed just before a crash: the log is void
 * (Raft, figure 5.3). */
static enum err adopt_snapshot(struct storage *s)
{
    const struct snapshot *snapshot = snapshot_newest(s->snapshots);
    if (snapshot == NULL)
        return OK;
    uint64_t index = snapshot->id.index;
    uint64_t term = raft_log_term(s->log, index);
    bool reaches = raft_log_last(s->log) >= index && raft_log_sequence(s->log) > 0;
    if (reaches && (term == 0 || term == snapshot->id.term))
        return OK;
    return storage_void_log_wait(s);
}

static enum err check_end(struct storage *s, char *text)
{
    char what[200];
    uint64_t term, index;
    durable_end(s, &term, &index);
    if (term > s->state.term)
        return damaged(s, STATE_NAME " is older than the log", text);
    if (term > s->state.log_term || (term == s->state.log_term && index >= s->state.log_index))
        return OK;
    snprintf(what, sizeof(what),
             "entries up to %" PRIu64 " (term %" PRIu64 ") were durable, the log ends at %" PRIu64
             " (term %" PRIu64 ")",
             s->state.log_index, s->state.log_term, index, term);
    return damaged(s, what, text);
}

static enum err open_log(struct storage *s, const struct storage_options *o, char *text)
{
    char what[LOG_PATH_MAX + 200];
    const struct snapshot *snapshot = snapshot_newest(s->snapshots);
    struct raft_log_options options = {.dir = s->dir,
                                       .segment_bytes = o->segment_bytes,
                                       .allocate_bytes = o->allocate_bytes,
                                       .newest_sequence = s->state.log_sequence,
                                       .covered_index = snapshot != NULL ? snapshot->id.index : 0};
    enum err err = raft_log_open(s->env, &options, &s->log, what, sizeof(what));
    if (err == ERR_CORRUPT)
        return damaged(s, what, text);
    if (err != OK)
        SAY(text, "%s", what);
    return err;
}

static void forward_durable(void *ctx, uint64_t index)
{
    struct storage *s = ctx;
    if (s->handler != NULL)
        s->handler->durable(s->ctx, index);
}

static void forward_failed(void *ctx, enum err err)
{
    struct storage *s = ctx;
    if (s->handler != NULL)
        s->handler->failed(s->ctx, err);
}

static enum err record_roll(void *ctx, uint64_t sequence)
{
    struct storage *s = ctx;
    s->state.log_sequence = sequence;
    return s->has_state ? write_state_wait(s) : OK;
}

/* What replaces a suffix may, at first, end in an older term than that suffix did: a leader of a later term
 * sends entries of older ones before its own. */
static enum err record_replaced(void *ctx, uint64_t index)
{
    struct storage *s = ctx;
    const struct snapshot *snapshot = snapshot_newest(s->snapshots);
    ASSERT(index > 0);
    if (!s->has_state || s->state.log_index < index)
        return OK;
    s->state.log_index = index - 1;
    s->state.log_term = raft_log_term(s->log, index - 1);
    if (s->state.log_term == 0 && snapshot != NULL)
        s->state.log_term = snapshot->id.term;
    return write_fields_wait(s);
}

static const struct raft_log_handler log_handler = {
    .durable = forward_durable, .failed = forward_failed, .rolled = record_roll, .replaces = record_replaced};

static enum err load_log(struct storage *s, const struct storage_options *o, char *text)
{
    enum err err = snapshot_store_open(s->env, s->dir, &s->snapshots, s->warning, sizeof(s->warning));
    if (err == OK)
        err = load_state(s, text);
    if (err == OK)
        err = open_log(s, o, text);
    if (err != OK)
        return err;
    raft_log_set_handler(s->log, &log_handler, s);
    if (!s->has_state)
        return check_new(s, text);
    err = check_end(s, text);
    return err == OK ? adopt_snapshot(s) : err;
}

/* -- life -- */

enum err storage_open(struct env *env, const struct storage_options *options, struct storage **ret_storage,
                      char text[STORAGE_TEXT_MAX])
{
    ASSERT(options->node_id >= 0);
    text[0] = 0;
    struct storage *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return ERR_NOMEM;
    s->env = env;
    s->node_id = options->node_id;
    snprintf(s->dir, sizeof(s->dir), "%s", options->dir);
    enum err err = take_lock(s, text);
    if (err == OK)
        err = load_identity(s, text);
    if (err == OK)
        err = load_peers(s, text);
    if (err == OK)
        err = load_log(s, options, text);
    if (err != OK) {
        if (text[0] == 0)
            SAY(text, "%s: %s", s->dir, err_text(err));
        storage_close(s);
        return err;
    }
    *ret_storage = s;
    return OK;
}

void storage_set_handler(struct storage *storage, const struct storage_handler *handler, void *ctx)
{
    storage->handler = handler;
    storage->ctx = ctx;
}

enum err storage_stop_wait(struct storage *s)
{
    if (!s->has_state)
        return OK;
    enum err err = raft_log_sync_wait(s->log);
    return err == OK ? write_state_wait(s) : err;
}

void storage_close(struct storage *s)
{
    if (s == NULL)
        return;
    raft_log_close(s->log);
    snapshot_store_close(s->snapshots);
    if (s->lock != NULL)
        env_file_close(s->lock);
    free(s);
}

bool storage_is_new(const struct storage *storage)
{
    return !storage->has_state;
}

enum err storage_bootstrap_wait(struct storage *s, uint8_t type, struct bytes configuration)
{
    ASSERT(!s->has_state && configuration.len > 0);
    struct raft_log_entry entry = {
        .term = 1, .type = type, .data = configuration.p, .len = (uint32_t)configuration.len};
    enum err err = raft_log_reset_wait(s->log, 1);
    if (err == OK)
        err = raft_log_append(s->log, 1, &entry, 1);
    if (err == OK)
        err = raft_log_sync_wait(s->log);
    s->state.term = 1;
    return err == OK ? write_state_wait(s) : err;
}

enum err storage_join_wait(struct storage *s)
{
    ASSERT(!s->has_state);
    s->joined = true; /* first: what it is must be known before it has any state */
    enum err err = write_identity_wait(s);
    if (err == OK)
        err = raft_log_reset_wait(s->log, 1);
    s->state.term = 1;
    return err == OK ? write_state_wait(s) : err;
}

bool storage_joined(const struct storage *storage)
{
    return storage->joined;
}

uint64_t storage_term(const struct storage *storage)
{
    return storage->state.term;
}

uint64_t storage_vote(const struct storage *storage)
{
    return storage->state.vote;
}

enum err storage_set_vote_wait(struct storage *s, uint64_t term, uint64_t vote)
{
    ASSERT(s->has_state && term >= s->state.term);
    ASSERT(term > s->state.term || s->state.vote == 0 || s->state.vote == vote);
    s->state.term = term;
    s->state.vote = vote;
    return write_state_wait(s);
}

void storage_trim(struct storage *storage, uint64_t trailing)
{
    const struct snapshot *newest = snapshot_newest(storage->snapshots);
    const struct snapshot *older = snapshot_previous(storage->snapshots);
    if (older == NULL || newest->id.index <= trailing)
        return;
    raft_log_trim(storage->log, MIN(older->id.index, newest->id.index - trailing));
}

struct raft_log *storage_log(const struct storage *storage)
{
    return storage->log;
}

struct snapshot_store *storage_snapshots(const struct storage *storage)
{
    return storage->snapshots;
}

const char *storage_warning(const struct storage *storage)
{
    return storage->warning;
}
