/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/consensus.h"

#include <raft.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/base/mutant.h"
#include "common/base/probe.h"
#include "controller/bootstrap.h"
#include "controller/consensus_convert.h"
#include "controller/consensus_internal.h"

/* Later versions change who owns the memory of events (facts): a new one is adopted by hand, not by an
 * upgrade of the package. */
STATIC_ASSERT(RAFT_VERSION_NUMBER == 2201, "written for libraft 0.22.1 exactly");
STATIC_ASSERT(RAFT_COMMAND == QUORUM_ENTRY_COMMAND && RAFT_BARRIER == QUORUM_ENTRY_BARRIER &&
                  RAFT_CHANGE == QUORUM_ENTRY_CHANGE,
              "entry types on disk and wire are libraft's");

#define HAS(update, flag)                                                                                    \
    (((update)->flags & (unsigned)(flag)) != 0) /* libraft's flag macros have no parentheses */

#define MAX_INFLIGHT_ENTRIES 4096
/* libraft stays in its snapshot mode when an acknowledgment past the snapshot came first, until this is over.
 * Asking for the same snapshot again is harmless: the transfer goes on where it was. */
#define INSTALL_TIMEOUT_MS 1000
#define APPLY_BATCH        64      /* entries read from the log at once */
#define APPLY_TURN_US      5000    /* applying goes on in the next turn after this long */
#define NOTE_DELAY_US      50000   /* a log that was idle this long gets a witness */
#define HURRY_TIMEOUT_MS   25      /* election time-out while it is known that nobody leads */
#define HURRY_MAX_US       1000000 /* for this long; then the network may be too slow for it */
#define NOBODY_YET         (-2)

/* The end: nothing is stepped, sent or applied any more. */
void consensus_fail(struct consensus *c, enum err err, const char *what)
{
    if (c->failed)
        return;
    c->failed = true;
    env_timer_cancel(c->env, &c->timer);
    env_timer_cancel(c->env, &c->apply_timer);
    env_timer_cancel(c->env, &c->note_timer);
    env_task_cancel(&c->submit_task);
    c->handler->failed(c->ctx, err, what);
}

/* -- messages out -- */

static void send_one(struct consensus *c, const struct raft_message *in)
{
    struct quorum_message m = {.to = node_id_of(in->server_id)};
    uint64_t term = raft_current_term(&c->raft);
    if (in->type == RAFT_INSTALL_SNAPSHOT) {
        quorum_send_snapshot(&c->out, m.to, term);
        return;
    }
    convert_out(in, term, &m);
    if (in->type == RAFT_APPEND_ENTRIES_RESULT && c->stale_sender)
        m.append_result.last_index = 0; /* libraft leaves it unset */
    /* libraft repeats the asker's term when it denies a pre-vote. One that is behind in terms and ahead in
     * entries would never learn why, and nobody could lead while a third one is away. */
    if (in->type == RAFT_REQUEST_VOTE_RESULT && !m.vote_result.granted)
        m.term = MAX(m.term, term);
    if (in->type != RAFT_APPEND_ENTRIES || in->append_entries.n_entries == 0)
        quorum_send(&c->out, &m);
    else if (quorum_send_entries(&c->out, &m, in->append_entries.n_entries) != OK)
        consensus_fail(c, ERR_IO, "reading the Raft log");
}

/* -- one step and its update -- */

static enum err persist_vote(struct consensus *c)
{
    uint64_t term = raft_current_term(&c->raft);
    uint64_t vote = raft_voted_for(&c->raft);
    if (term == storage_term(c->storage) && vote == storage_vote(c->storage))
        return OK;
    return storage_set_vote_wait(c->storage, term, vote);
}

static enum err persist_entries(struct consensus *c, uint64_t index, const struct raft_entry *batch,
                                uint32_t n)
{
    struct raft_log_entry *entries = malloc(n * sizeof(*entries));
    if (entries == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < n; i++) {
        entries[i].term = batch[i].term;
        entries[i].type = (uint8_t)batch[i].type;
        entries[i].data = batch[i].buf.base;
        entries[i].len = (uint32_t)batch[i].buf.len;
    }
    enum err err = raft_log_append(c->log, index, entries, n);
    free(entries);
    if (err == OK)
        raft_log_sync(c->log);
    return err;
}

static void keep_config(struct consensus *c, uint64_t index, const void *data, size_t len)
{
    struct iobuf *copy = iobuf_get(NULL, len + 1);
    if (copy == NULL) {
        consensus_fail(c, ERR_NOMEM, "copying the configuration");
        return;
    }
    memcpy(copy->data, data, len);
    copy->len = (uint32_t)len;
    iobuf_unref(c->config);
    c->config = copy;
    c->config_index = index;
}

/* The log is void, the snapshot is the state. Raft hears of it in the step that follows. */
static enum err install_snapshot(struct consensus *c, const struct raft_snapshot_metadata *metadata)
{
    const struct snapshot *snapshot = snapshot_newest(storage_snapshots(c->storage));
    PROBE(RAFT_SNAPSHOT_INSTALLED);
    ASSERT(snapshot != NULL && snapshot->id.index == metadata->index && snapshot->id.term == metadata->term);
    enum err err = storage_void_log_wait(c->storage);
    if (err == OK)
        err = c->handler->install(c->ctx, snapshot);
    if (err != OK)
        return err;
    c->applied = snapshot->id.index;
    c->applied_term = snapshot->id.term;
    keep_config(c, snapshot->config_index, snapshot->config->data, snapshot->config->len);
    c->install = *metadata; /* its configuration is handed back to libraft */
    c->has_install = true;
    return OK;
}

static void send_all(struct consensus *c, const struct raft_update *update)
{
    for (unsigned i = 0; i < update->messages.n && !c->failed; i++)
        send_one(c, &update->messages.batch[i]);
}

/* Does what the step asks for, in the order of the contract. What it handed over is freed or passed on in any
 * case. */
static void obey(struct consensus *c, struct raft_update *update)
{
    void *memory = HAS(update, RAFT_UPDATE_ENTRIES) ? update->entries.batch[0].batch : NULL;
    const char *what = "writing quorum-state";
    enum err err = OK;
    bool voted = HAS(update, RAFT_UPDATE_CURRENT_TERM) || HAS(update, RAFT_UPDATE_VOTED_FOR);
    if (MUTANT(SEND_BEFORE_VOTE) ? memory != NULL : voted)
        err = persist_vote(c);
    if (err == OK && memory != NULL) {
        what = "writing the Raft log";
        err = persist_entries(c, update->entries.index, update->entries.batch, update->entries.n);
    }
    if (memory != NULL)
        raft_free(memory);
    if (err == OK && HAS(update, RAFT_UPDATE_SNAPSHOT)) {
        what = "installing a snapshot";
        err = install_snapshot(c, &update->snapshot.metadata);
    }
    if (err != OK) {
        consensus_fail(c, err, what);
        if (HAS(update, RAFT_UPDATE_SNAPSHOT))
            raft_configuration_close(&update->snapshot.metadata.configuration);
        return;
    }
    if (HAS(update, RAFT_UPDATE_MESSAGES))
        send_all(c, update);
}

/* One call of raft_step. Returns libraft's code; anything unexpected ends this node. */
static int step(struct consensus *c, struct raft_event *event)
{
    struct raft_update update;
    memset(&update, 0, sizeof(update));
    event->time = env_now_us(c->env) / 1000;
    int rv = raft_step(&c->raft, event, &update);
    if (rv == 0)
        obey(c, &update);
    else if (rv != RAFT_NOTLEADER && rv != RAFT_NOTFOUND && rv != RAFT_BADID)
        consensus_fail(c, rv == RAFT_NOMEM ? ERR_NOMEM : ERR_CORRUPT, raft_strerror(rv));
    return rv;
}

/* -- applying -- */

/* A committed configuration is fed back to libraft. */
static void apply_config(struct consensus *c, const struct raft_log_entry *entry)
{
    struct raft_event event = consensus_event(RAFT_CONFIGURATION);
    keep_config(c, entry->index, entry->data, entry->len);
    if (c->failed)
        return;
    event.configuration.index = entry->index;
    if (!consensus_decode_config(c->config, &event.configuration.conf)) {
        consensus_fail(c, ERR_CORRUPT, "decoding a committed configuration");
        return;
    }
    step(c, &event);
}

static void apply_entry(struct consensus *c, const struct raft_log_entry *entry)
{
    ASSERT(entry->index == c->applied + 1 && entry->term >= c->applied_term);
    c->applied = entry->index;
    c->applied_term = entry->term;
    struct bytes data = {NULL, 0};
    if (entry->type == RAFT_CHANGE)
        apply_config(c, entry);
    else if (entry->type == RAFT_COMMAND)
        data = (struct bytes){entry->data, (int32_t)entry->len};
    if (!c->failed)
        c->handler->applied(c->ctx, entry->index, entry->term, data,
                            proposals_applied(&c->proposals, entry->index, entry->term));
}

static void apply_some(struct consensus *c, uint64_t until)
{
    struct raft_log_entry entries[APPLY_BATCH];
    struct iobuf *buf;
    uint32_t n;
    uint32_t want = (uint32_t)MIN(until - c->applied, APPLY_BATCH);
    enum err err = raft_log_read(c->log, c->applied + 1, want, QUORUM_APPEND_BYTES, entries, &n, &buf);
    if (err != OK) {
        consensus_fail(c, err, "reading the Raft log");
        return;
    }
    for (uint32_t i = 0; i < n && !c->failed; i++)
        apply_entry(c, &entries[i]);
    iobuf_unref(buf);
}

/* Applies what is committed, for a while; the rest follows in the next turn. */
static void apply_committed(struct consensus *c)
{
    uint64_t start_us = env_now_us(c->env);
    while (!c->failed) {
        uint64_t until = MIN(raft_commit_index(&c->raft), raft_log_last(c->log));
        if (MUTANT(APPLY_UNCOMMITTED))
            until = raft_log_last(c->log);
        if (c->applied >= until)
            return;
        if (env_now_us(c->env) - start_us > APPLY_TURN_US) {
            env_timer_set(c->env, &c->apply_timer, 0);
            return;
        }
        apply_some(c, until);
    }
}

/* -- who leads -- */

static void stop_leading(struct consensus *c)
{
    c->leads = false;
    proposals_clear(&c->proposals);
    quorum_sender_stop(&c->out);
    if (!c->announced)
        return;
    c->announced = false;
    c->handler->lost(c->ctx);
}

/* Elections come quickly for a while. Pre-vote keeps that harmless: nobody who hears a leader listens. */
static void start_hurry(struct consensus *c, int32_t why)
{
    c->gone_node = why;
    c->hurry_end_us = env_now_us(c->env) + HURRY_MAX_US;
    raft_set_election_timeout(&c->raft, MIN(HURRY_TIMEOUT_MS, c->options.election_timeout_ms));
}

/* The normal election time-out is back: somebody else leads, or the leader is alive after all. */
static void end_hurry(struct consensus *c)
{
    if (c->gone_node == -1)
        return;
    c->gone_node = -1;
    raft_set_election_timeout(&c->raft, c->options.election_timeout_ms);
}

static void watch_leadership(struct consensus *c)
{
    uint64_t term = raft_current_term(&c->raft);
    bool leads = raft_state(&c->raft) == RAFT_LEADER;
    if (c->leads && (!leads || c->lead_term != term))
        stop_leading(c);
    if (leads && !c->leads) {
        c->leads = true;
        c->lead_term = term;
        c->ready_index = raft_last_index(&c->raft);
        c->elections++;
    }
    raft_id id = 0;
    const char *address;
    raft_leader(&c->raft, &id, &address);
    if (id != 0 && (leads || node_id_of(id) != c->gone_node))
        end_hurry(c);
    if (node_id_of(id) != c->leader || (id != 0 && term != c->leader_term)) {
        c->leader = node_id_of(id);
        c->leader_term = term;
        c->handler->leader(c->ctx, c->leader, term);
    }
    if (c->leads && !c->announced && !c->failed && c->applied >= c->ready_index) {
        c->announced = true;
        c->handler->gained(c->ctx, term);
    }
}

static void arm_timer(struct consensus *c)
{
    if (raft_state(&c->raft) == RAFT_LEADER && c->raft.configuration.n == 1) {
        env_timer_cancel(c->env, &c->timer); /* alone: nobody to beat for, nobody to lose */
        return;
    }
    uint64_t now_us = env_now_us(c->env);
    env_timer_set(c->env, &c->timer, MAX(raft_timeout(&c->raft) * 1000, now_us + 500));
}

/* A step and everything that follows from it. */
void consensus_drive(struct consensus *c, struct raft_event *event)
{
    ASSERT(!c->stepping); /* no callback of ours leads back here */
    if (c->failed || !c->started)
        return;
    c->stepping = true;
    step(c, event);
    if (c->has_install && !c->failed) {
        struct raft_event installed = consensus_event(RAFT_PERSISTED_SNAPSHOT);
        installed.persisted_snapshot.metadata = c->install;
        installed.persisted_snapshot.last = true;
        c->has_install = false;
        step(c, &installed);
    }
    apply_committed(c);
    if (!c->failed)
        consensus_watch_members(c);
    if (!c->failed)
        watch_leadership(c);
    c->stepping = false;
    if (!c->failed)
        arm_timer(c);
}

/* -- events -- */

static void timer_fired(struct env_timer *timer)
{
    struct consensus *c = CONTAINER_OF(timer, struct consensus, timer);
    struct raft_event event = consensus_event(RAFT_TIMEOUT);
    if (env_now_us(c->env) > c->hurry_end_us)
        end_hurry(c);
    consensus_doubt_leader(c);
    consensus_drive(c, &event);
}

static void apply_timer_fired(struct env_timer *timer)
{
    struct consensus *c = CONTAINER_OF(timer, struct consensus, apply_timer);
    c->stepping = true;
    apply_committed(c);
    if (!c->failed)
        watch_leadership(c);
    c->stepping = false;
    if (!c->failed)
        arm_timer(c);
}

static void note_timer_fired(struct env_timer *timer)
{
    struct consensus *c = CONTAINER_OF(timer, struct consensus, note_timer);
    raft_log_note(c->log);
}

static void log_durable(void *ctx, uint64_t index)
{
    struct consensus *c = ctx;
    struct raft_event event = consensus_event(RAFT_PERSISTED_ENTRIES);
    env_timer_set(c->env, &c->note_timer, env_now_us(c->env) + NOTE_DELAY_US);
    event.persisted_entries.index = MIN(index, raft_last_index(&c->raft));
    if (event.persisted_entries.index > c->raft.last_stored)
        consensus_drive(c, &event);
}

static void log_failed(void *ctx, enum err err)
{
    consensus_fail(ctx, err, "syncing the Raft log");
}

static const struct storage_handler storage_events = {.durable = log_durable, .failed = log_failed};

/* Hands all fresh submissions to Raft as one batch. */
static void submit_fresh(struct consensus *c)
{
    struct proposals *p = &c->proposals;
    uint32_t n = p->fresh;
    struct raft_entry *entries = malloc(n * sizeof(*entries));
    uint8_t *batch = raft_malloc(p->data_len + 8);
    if (entries == NULL || batch == NULL) {
        free(entries);
        raft_free(batch);
        consensus_fail(c, ERR_NOMEM, "submitting entries");
        return;
    }
    if (p->data_len > 0)
        memcpy(batch, p->data, p->data_len);
    size_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct proposal *proposal = proposals_fresh(p, i);
        proposal->index = raft_last_index(&c->raft) + 1 + i;
        proposal->term = raft_current_term(&c->raft);
        entries[i] = (struct raft_entry){
            .term = proposal->term, .type = RAFT_COMMAND, .buf = {batch + at, proposal->len}, .batch = batch};
        at += proposal->len;
    }
    proposals_handed(p);
    struct raft_event event = consensus_event(RAFT_SUBMIT);
    event.submit.entries = entries;
    event.submit.n = n;
    consensus_drive(c, &event);
    free(entries);
}

static void submit_turn(struct env_task *task)
{
    struct consensus *c = CONTAINER_OF(task, struct consensus, submit_task);
    uint64_t token;
    if (c->failed || c->proposals.fresh == 0)
        return;
    if (c->leads && raft_transferee(&c->raft) == 0) {
        submit_fresh(c);
        return;
    }
    /* Raft takes nothing while it hands leadership over. */
    while ((token = proposals_drop_fresh(&c->proposals)) != 0)
        c->handler->dropped(c->ctx, token, ERR_NOT_LEADER);
}

enum err consensus_submit(struct consensus *c, const void *data, size_t len, uint64_t token)
{
    ASSERT(token != 0);
    if (c->failed || !c->announced)
        return ERR_NOT_LEADER;
    if (len > CONSENSUS_RECORDS_MAX)
        return ERR_TOO_LARGE;
    enum err err = proposals_add(&c->proposals, data, len, token);
    if (err == OK)
        env_defer(c->env, &c->submit_task);
    return err;
}

enum err consensus_transfer(struct consensus *c)
{
    struct raft_event event = consensus_event(RAFT_TRANSFER);
    if (c->failed || !c->announced || raft_transferee(&c->raft) != 0)
        return ERR_NOT_LEADER;
    if (c->out.peers_count == 0)
        return ERR_NOT_FOUND;
    consensus_drive(c, &event);
    return OK;
}

void consensus_peer_gone(struct consensus *c, int32_t node_id)
{
    bool follows = !c->failed && c->started && raft_state(&c->raft) == RAFT_FOLLOWER && c->leader == node_id;
    if (!follows || c->gone_node == node_id)
        return;
    start_hurry(c, node_id);
    arm_timer(c);
}

/* -- messages in -- */

static void refuse(struct consensus *c, int32_t from, enum err err, const char *why)
{
    c->handler->refused(c->ctx, from, err, why);
}

/* Feeds a message to libraft, which copies what it keeps, except the memory of entries. */
static void receive(struct consensus *c, int32_t from, struct raft_message *in)
{
    char address[QUORUM_ADDRESS_MAX];
    quorum_address(from, address);
    in->server_id = c->sender_id;
    in->server_address = address;
    struct raft_event event = consensus_event(RAFT_RECEIVE);
    event.receive.message = in;
    consensus_drive(c, &event);
}

/* The entries in memory that libraft may keep: one batch, and an array that stays ours. */
static struct raft_entry *take_entries(const struct quorum_message *m)
{
    size_t total = 8;
    for (uint32_t i = 0; i < m->append.count; i++)
        total += (size_t)m->append.entries[i].data.len;
    uint8_t *batch = raft_malloc(total);
    struct raft_entry *entries = malloc(m->append.count * sizeof(*entries));
    if (batch == NULL || entries == NULL) {
        raft_free(batch);
        free(entries);
        return NULL;
    }
    uint8_t *at = batch;
    for (uint32_t i = 0; i < m->append.count; i++) {
        const struct quorum_entry *entry = &m->append.entries[i];
        entries[i] = (struct raft_entry){.term = entry->term,
                                         .type = (enum raft_entry_type)entry->type,
                                         .buf = {at, (size_t)entry->data.len},
                                         .batch = batch};
        if (entry->data.len > 0)
            memcpy(at, entry->data.p, (size_t)entry->data.len);
        at += entry->data.len;
    }
    return entries;
}

/* What a snapshot of ours covers is committed, so the leader has the same: such entries are taken as
 * received. libraft has forgotten their terms; it would refuse them for ever, or take them for new ones. */
static struct quorum_message skip_covered(const struct consensus *c, const struct quorum_message *m)
{
    struct quorum_message out = *m;
    const struct raft_trail *trail = &c->raft.trail;
    if (m->term < raft_current_term(&c->raft) || m->append.prev_index >= trail->offset)
        return out;
    uint32_t skip = (uint32_t)MIN(trail->snapshot.index - m->append.prev_index, m->append.count);
    out.append.entries += skip;
    out.append.count -= skip;
    out.append.prev_index = trail->snapshot.index;
    out.append.prev_term = trail->snapshot.term;
    return out;
}

/* Entries that begin one configuration at most, and only at the front: libraft takes the first new entry of a
 * message for a configuration's place, wherever in the message that is. */
static void append_part(struct consensus *c, const struct quorum_message *m)
{
    struct raft_message in;
    convert_in(m, &in);
    struct raft_entry *entries = m->append.count > 0 ? take_entries(m) : NULL;
    if (m->append.count > 0 && entries == NULL)
        return; /* out of memory: as if the message were lost */
    in.append_entries.entries = entries;
    c->stale_sender = m->term < raft_current_term(&c->raft);
    receive(c, m->from, &in);
    c->stale_sender = false;
    free(entries);
}

/* How many entries the next part has. */
static uint32_t part_length(const struct quorum_message *m)
{
    uint32_t n = MIN(1, m->append.count);
    while (n < m->append.count && m->append.entries[n].type != QUORUM_ENTRY_CHANGE)
        n++;
    return n;
}

static void on_append(struct consensus *c, const struct quorum_message *message)
{
    struct quorum_message rest = skip_covered(c, message);
    if (raft_state(&c->raft) == RAFT_LEADER && rest.term == raft_current_term(&c->raft)) {
        refuse(c, rest.from, ERR_INVALID, "two leaders of one term");
        return;
    }
    if (rest.from == c->gone_node && rest.term >= raft_current_term(&c->raft))
        end_hurry(c);
    if (rest.term >= raft_current_term(&c->raft))
        c->leader_heard_us = env_now_us(c->env);
    do {
        struct quorum_message part = rest;
        part.append.count = part_length(&rest);
        if (part.append.count > 0 && part.append.entries[0].type == QUORUM_ENTRY_CHANGE &&
            rest.term >= raft_current_term(&c->raft))
            consensus_settle_older(c, part.append.prev_index, part.append.prev_term);
        append_part(c, &part);
        if (part.append.count == 0)
            break;
        rest.append.prev_index += part.append.count;
        rest.append.prev_term = part.append.entries[part.append.count - 1].term;
        rest.append.entries += part.append.count;
        rest.append.count -= part.append.count;
    } while (rest.append.count > 0 && !c->failed);
}

/* A refusal of what the follower has acknowledged since: messages may overtake each other when a connection
 * is replaced. libraft would go back behind what it knows to match, and send nothing for ever. */
static bool is_stale_refusal(const struct consensus *c, const struct quorum_message *m)
{
    raft_index match = 0;
    return m->type == QUORUM_APPEND_RESULT && m->append_result.rejected > 0 &&
           raft_match_index(&c->raft, c->sender_id, &match) == 0 && m->append_result.rejected <= match;
}

/* Results, votes and the call to take over. */
static void on_plain(struct consensus *c, const struct quorum_message *m)
{
    struct raft_message in;
    if (is_stale_refusal(c, m) && m->term == raft_current_term(&c->raft))
        return;
    convert_in(m, &in);
    bool votes = m->type == QUORUM_VOTE && consensus_vote_begin(c);
    if (m->type == QUORUM_VOTE)
        in.request_vote.candidate_id = c->sender_id;
    receive(c, m->from, &in);
    if (votes)
        consensus_vote_over(c);
}

/* A complete snapshot is in the store: Raft decides whether it is news. */
static void offer_snapshot(struct consensus *c, const struct snapshot *snapshot, int32_t from)
{
    raft_id sender_id = 0;
    const char *leader_address;
    raft_leader(&c->raft, &sender_id, &leader_address);
    if (node_id_of(sender_id) != from)
        return; /* it leads no longer; the new leader will send, or ask about, what is missing */
    struct raft_message in = {.type = RAFT_INSTALL_SNAPSHOT};
    if (snapshot->id.index <= c->applied || raft_state(&c->raft) == RAFT_LEADER)
        return;
    in.install_snapshot = (struct raft_install_snapshot){.term = raft_current_term(&c->raft),
                                                         .last_index = snapshot->id.index,
                                                         .last_term = snapshot->id.term,
                                                         .conf_index = snapshot->config_index};
    struct bytes config = {snapshot->config->data, (int32_t)snapshot->config->len};
    if (!quorum_configuration_valid(config) ||
        !consensus_decode_config(snapshot->config, &in.install_snapshot.conf)) {
        refuse(c, from, ERR_CORRUPT, "the configuration in a snapshot does not parse");
        return;
    }
    struct raft_event event = consensus_event(RAFT_RECEIVE);
    char address[QUORUM_ADDRESS_MAX];
    quorum_address(from, address);
    in.server_id = sender_id;
    in.server_address = address;
    event.receive.message = &in;
    consensus_drive(c, &event);
}

static void snapshot_received(void *ctx, struct snapshot *snapshot, int32_t from, enum err err)
{
    struct consensus *c = ctx;
    if (c->failed)
        return;
    if (err != OK)
        refuse(c, from, err, "a snapshot could not be received");
    else
        offer_snapshot(c, snapshot, from);
}

static void on_piece(struct consensus *c, const struct quorum_message *m)
{
    struct quorum_message result = {
        .type = QUORUM_PIECE_RESULT, .to = m->from, .term = raft_current_term(&c->raft)};
    const struct snapshot *newest = snapshot_newest(storage_snapshots(c->storage));
    if (m->term < raft_current_term(&c->raft))
        return;
    if (newest != NULL && newest->id.index >= m->piece.index) {
        /* We have it, perhaps without Raft having heard of it (the leader changed meanwhile). */
        result.piece_result.index = m->piece.index;
        result.piece_result.index_term = m->piece.index_term;
        result.piece_result.wanted = UINT64_MAX;
        quorum_send(&c->out, &result);
        offer_snapshot(c, newest, m->from);
        return;
    }
    if (!c->taking.active && snapshot_receiver_piece(&c->receiver, m, &result))
        quorum_send(&c->out, &result);
}

static void on_piece_result(struct consensus *c, const struct quorum_message *m)
{
    if (c->leads)
        quorum_sent_piece(&c->out, m, raft_current_term(&c->raft));
}

static void (*const on_message[])(struct consensus *c, const struct quorum_message *m) = {
    [QUORUM_APPEND] = on_append,
    [QUORUM_APPEND_RESULT] = on_plain,
    [QUORUM_VOTE] = on_plain,
    [QUORUM_VOTE_RESULT] = on_plain,
    [QUORUM_TIMEOUT_NOW] = on_plain,
    [QUORUM_PIECE] = on_piece,
    [QUORUM_PIECE_RESULT] = on_piece_result,
};

/* Whether the sender is who it says, and still has the disk that it had. */
static bool sender_is_good(struct consensus *c, int32_t from, const struct quorum_message *m)
{
    const char *why;
    if (m->from != from || m->to != c->options.node_id) {
        refuse(c, from, ERR_REJECTED,
               "a Raft message from or to somebody else: check controller.quorum.voters");
        return false;
    }
    enum err err = consensus_sender_good(c, from, m->directory_id, &why);
    if (err != OK) {
        refuse(c, from, err, why);
        return false;
    }
    c->sender_id = consensus_sender_raft_id(c, from, m->directory_id);
    quorum_sender_heard(&c->out, m);
    return true;
}

void consensus_receive(struct consensus *c, int32_t from, const void *p, size_t len)
{
    uint8_t scratch[4096];
    struct arena arena;
    struct quorum_message m;
    if (c->failed || !c->started)
        return;
    struct reader r = reader_over(p, len);
    arena_init(&arena, scratch, sizeof(scratch), 1 << 20);
    enum err err = quorum_message_decode(&r, &arena, &m);
    if (err != OK)
        refuse(c, from, err, "a Raft message that does not parse");
    else if (sender_is_good(c, from, &m))
        on_message[m.type](c, &m);
    arena_free(&arena);
}

/* -- taking a snapshot -- */

static void snapshot_written(void *ctx, struct snapshot *snapshot)
{
    struct consensus *c = ctx;
    struct raft_event event = consensus_event(RAFT_SNAPSHOT);
    event.snapshot.metadata.index = snapshot->id.index;
    event.snapshot.metadata.term = snapshot->id.term;
    event.snapshot.metadata.configuration_index = snapshot->config_index;
    event.snapshot.trailing = c->options.trailing_entries;
    if (!consensus_decode_config(snapshot->config, &event.snapshot.metadata.configuration)) {
        consensus_fail(c, ERR_NOMEM, "decoding the configuration");
        return;
    }
    consensus_drive(c, &event);
    storage_trim(c->storage, c->options.trailing_entries);
}

enum err consensus_take_snapshot(struct consensus *c, const struct consensus_source *source, void *ctx)
{
    const struct snapshot *newest = snapshot_newest(storage_snapshots(c->storage));
    struct snapshot_id id = {.index = c->applied, .term = c->applied_term};
    if (c->failed || snapshot_receiver_busy(&c->receiver, c->applied))
        return ERR_BUSY;
    if (id.index == 0 || c->config == NULL || (newest != NULL && newest->id.index >= id.index))
        return ERR_EXISTS;
    const struct iobuf *members = MUTANT(SNAPSHOT_OLD_MEMBERS) && newest != NULL ? newest->config : c->config;
    struct bytes config = {members->data, (int32_t)members->len};
    return snapshot_task_start(&c->taking, id, c->config_index, config, source, ctx);
}

/* -- life -- */

struct consensus *consensus_new(struct env *env, struct storage *storage,
                                const struct consensus_options *options,
                                const struct consensus_transport *transport, void *transport_ctx,
                                const struct consensus_handler *handler, void *handler_ctx)
{
    struct consensus *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return NULL;
    c->env = env;
    c->storage = storage;
    c->log = storage_log(storage);
    c->options = *options;
    quorum_sender_init(&c->out, env, storage, options->node_id, transport, transport_ctx);
    c->handler = handler;
    c->ctx = handler_ctx;
    c->leader = c->gone_node = -1;
    env_timer_init(&c->timer, timer_fired);
    env_timer_init(&c->apply_timer, apply_timer_fired);
    env_timer_init(&c->note_timer, note_timer_fired);
    snapshot_task_init(&c->taking, env, storage_snapshots(storage), snapshot_written, c);
    env_task_init(&c->submit_task, submit_turn);
    snapshot_receiver_init(&c->receiver, storage_snapshots(storage), snapshot_received, c);
    return c;
}

/* The log as libraft wants it at start: terms and types of all entries, the data of configurations only. */
static enum err start_entries(struct consensus *c, uint64_t first, uint32_t n, struct raft_entry *entries,
                              struct arena *arena)
{
    enum err err = OK;
    for (uint32_t i = 0; i < n && err == OK; i++) {
        entries[i].term = raft_log_term(c->log, first + i);
        entries[i].type = (enum raft_entry_type)raft_log_type(c->log, first + i);
        struct bytes config = {NULL, 0};
        if (entries[i].type == RAFT_CHANGE)
            err = bootstrap_load_config(c->storage, first + i, arena, &config);
        entries[i].buf.base = (void *)(uintptr_t)config.p;
        entries[i].buf.len = (size_t)config.len;
    }
    return err;
}

static enum err start_raft(struct consensus *c, const struct snapshot *snapshot)
{
    struct raft_snapshot_metadata metadata;
    struct raft_event event = consensus_event(RAFT_START);
    uint64_t first = raft_log_first(c->log);
    uint32_t n = (uint32_t)(raft_log_last(c->log) + 1 - first);
    struct arena arena;
    arena_init(&arena, NULL, 0, 1 << 20);
    if (snapshot != NULL) {
        metadata.index = snapshot->id.index;
        metadata.term = snapshot->id.term;
        metadata.configuration_index = snapshot->config_index;
        if (!consensus_decode_config(snapshot->config, &metadata.configuration))
            return ERR_CORRUPT;
        event.start.metadata = &metadata;
    }
    struct raft_entry *entries = calloc(n + 1, sizeof(*entries));
    enum err err = entries == NULL ? ERR_NOMEM : start_entries(c, first, n, entries, &arena);
    if (err == OK) {
        event.start.term = storage_term(c->storage);
        event.start.voted_for = storage_vote(c->storage);
        event.start.start_index = first;
        event.start.entries = n > 0 ? entries : NULL;
        event.start.n_entries = n;
        c->started = true;
        consensus_drive(c, &event);
    }
    arena_free(&arena);
    free(entries);
    return c->failed ? ERR_IO : err;
}

static enum err prepare_raft(struct consensus *c)
{
    char address[QUORUM_ADDRESS_MAX];
    unsigned seed;
    quorum_address(c->options.node_id, address);
    if (raft_init(&c->raft, NULL, NULL, consensus_own_raft_id(c), address) != 0)
        return ERR_NOMEM;
    c->raft.tracer = NULL; /* its tracing formats into static buffers, also when nobody reads them */
    c->has_raft = true;
    env_random(c->env, &seed, sizeof(seed));
    raft_seed(&c->raft, seed);
    start_hurry(c, NOBODY_YET);
    raft_set_heartbeat_timeout(&c->raft, c->options.heartbeat_ms);
    raft_set_pre_vote(&c->raft, true);
    raft_set_install_snapshot_timeout(&c->raft, INSTALL_TIMEOUT_MS);
    raft_set_max_inflight_entries(&c->raft, MAX_INFLIGHT_ENTRIES);
    return OK;
}

enum err consensus_start(struct consensus *c)
{
    ASSERT(!c->started && !c->has_raft);
    if (!bootstrap_options_good(&c->options))
        return ERR_INVALID;
    enum err err = storage_is_new(c->storage) ? bootstrap_wait(c->env, c->storage, &c->options) : OK;
    const struct snapshot *snapshot = snapshot_newest(storage_snapshots(c->storage));
    if (err == OK && snapshot != NULL) {
        err = c->handler->install(c->ctx, snapshot);
        c->applied = snapshot->id.index;
        c->applied_term = snapshot->id.term;
        keep_config(c, snapshot->config_index, snapshot->config->data, snapshot->config->len);
    }
    if (err == OK)
        err = prepare_raft(c);
    storage_set_handler(c->storage, &storage_events, c);
    return err == OK ? start_raft(c, snapshot) : err;
}

void consensus_free(struct consensus *c)
{
    if (c == NULL)
        return;
    c->failed = true; /* callbacks that are still under way find it ended */
    if (c->has_install)
        raft_configuration_close(&c->install.configuration); /* it ended before Raft heard of the snapshot */
    env_timer_cancel(c->env, &c->timer);
    env_timer_cancel(c->env, &c->apply_timer);
    env_timer_cancel(c->env, &c->note_timer);
    env_task_cancel(&c->submit_task);
    storage_set_handler(c->storage, NULL, NULL);
    snapshot_receiver_stop(&c->receiver);
    snapshot_task_stop(&c->taking);
    quorum_sender_stop(&c->out);
    if (c->has_raft)
        raft_close(&c->raft, NULL);
    proposals_free(&c->proposals);
    iobuf_unref(c->config);
    free(c);
}

struct consensus_status consensus_status(const struct consensus *c)
{
    return (struct consensus_status){.leads = c->announced && !c->failed,
                                     .leader = c->leader,
                                     .term = raft_current_term(&c->raft),
                                     .commit_index = raft_commit_index(&c->raft),
                                     .applied_index = c->applied,
                                     .last_index = raft_log_last(c->log),
                                     .elections = c->elections};
}
