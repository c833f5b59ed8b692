/* SPDX-License-Identifier: Apache-2.0 */
/* Who is in the quorum, and how that changes: one change at a time (thesis, 4.2), through configurations that
 * are entries of the log. Works around what libraft 0.22.1 does not do itself; each place says what.
 */
#include <raft.h>

#include "common/base/assert.h"
#include "common/base/mutant.h"
#include "common/base/probe.h"
#include "controller/consensus_internal.h"

/* -- the members as we see them -- */

static struct consensus_member *find_in(struct consensus_member *members, int count, int32_t node_id)
{
    for (int i = 0; i < count; i++) {
        if (members[i].node_id == node_id)
            return &members[i];
    }
    return NULL;
}

static struct consensus_member *find(const struct consensus *c, int32_t node_id)
{
    return find_in((struct consensus_member *)(uintptr_t)c->members, c->members_count, node_id);
}

static const struct consensus_member *find_guest(const struct consensus *c, int32_t node_id,
                                                 struct uuid directory_id)
{
    const struct consensus_member *guest =
        find_in((struct consensus_member *)(uintptr_t)c->guests, c->guests_count, node_id);
    return guest != NULL && uuid_eq(guest->directory_id, directory_id) ? guest : NULL;
}

static uint64_t raft_id_of(const struct consensus_member *member)
{
    return member_raft_id(member->node_id, member->directory_id);
}

static bool read_members(struct consensus *c)
{
    const struct raft_configuration *conf = &c->raft.configuration;
    c->members_count = 0;
    for (unsigned i = 0; i < conf->n; i++) {
        struct consensus_member *m = &c->members[c->members_count];
        m->voter = conf->servers[i].role == RAFT_VOTER;
        if (i >= CONSENSUS_MEMBERS_MAX || member_parse(conf->servers[i].address, m) != OK ||
            raft_id_of(m) != conf->servers[i].id)
            return false;
        c->members_count++;
    }
    return true;
}

void consensus_watch_members(struct consensus *c)
{
    uint64_t index = c->raft.configuration_uncommitted_index != 0 ? c->raft.configuration_uncommitted_index
                                                                  : c->raft.configuration_committed_index;
    uint64_t term = index == 0 ? 0 : raft_log_term(c->log, index);
    if (index == c->members_index && (term == c->members_term || term == 0))
        return;
    c->members_index = index;
    c->members_term = term;
    if (!read_members(c)) {
        consensus_fail(c, ERR_CORRUPT, "a configuration of the quorum that this version does not understand");
        return;
    }
    quorum_sender_members(&c->out, c->members, c->members_count);
    if (c->handler->members != NULL)
        c->handler->members(c->ctx);
}

const struct consensus_member *consensus_members(const struct consensus *c, int *ret_count)
{
    *ret_count = c->members_count;
    return c->members;
}

bool consensus_members_settled(const struct consensus *c)
{
    return c->raft.configuration_uncommitted_index == 0;
}

enum err consensus_describe(struct consensus *c, struct consensus_voter *voter)
{
    raft_index index = 0;
    if (c->failed || !c->announced ||
        raft_match_index(&c->raft, consensus_member_raft_id(c, voter->node_id), &index) != 0)
        return ERR_NOT_LEADER;
    voter->last_index = index;
    return quorum_sender_describe(&c->out, voter);
}

/* -- who may speak -- */

uint64_t consensus_own_raft_id(const struct consensus *c)
{
    struct uuid none = {{0}};
    return member_raft_id(c->options.node_id,
                          storage_joined(c->storage) ? storage_directory_id(c->storage) : none);
}

uint64_t consensus_member_raft_id(const struct consensus *c, int32_t node_id)
{
    const struct consensus_member *m = find(c, node_id);
    return m == NULL ? 0 : raft_id_of(m);
}

/* Followers of one leader may never have exchanged a message when one of them loses its disk: so the disks of
 * the first voters are pinned when they connect. */
void consensus_introduce(struct consensus *c, const struct consensus_member *guest, bool joined)
{
    if (!joined) {
        storage_check_peer_wait(c->storage, guest->node_id,
                                guest->directory_id); /* messages will be refused */
        return;
    }
    struct consensus_member *known = find_in(c->guests, c->guests_count, guest->node_id);
    if (known == NULL && c->guests_count < CONSENSUS_MEMBERS_MAX)
        known = &c->guests[c->guests_count++];
    if (known != NULL)
        *known = *guest;
}

enum err consensus_sender_good(struct consensus *c, int32_t from, struct uuid directory_id,
                               const char **ret_why)
{
    const struct consensus_member *m = find(c, from);
    enum err err = OK;
    *ret_why = "that controller has another disk than before: it must rejoin under a new identity";
    /* Members may be missing in a log that is behind (thesis, 4.1): who is none counts in no majority of
     * ours. */
    if (m == NULL)
        return OK;
    if (uuid_is_zero(m->directory_id))
        err = storage_check_peer_wait(c->storage, from, directory_id);
    else if (!uuid_eq(m->directory_id, directory_id))
        err = ERR_MISMATCH;
    if (MUTANT(EMPTY_DISK_VOTES))
        err = OK;
    if (err == ERR_MISMATCH && find_guest(c, from, directory_id) != NULL)
        err = OK; /* it joined with that disk, in entries that we lack: another server than the one we know */
    return err;
}

uint64_t consensus_sender_raft_id(const struct consensus *c, int32_t from, struct uuid directory_id)
{
    const struct consensus_member *m = find(c, from);
    bool same = m != NULL && (uuid_is_zero(m->directory_id) ? find_guest(c, from, directory_id) == NULL
                                                            : uuid_eq(m->directory_id, directory_id));
    return same ? raft_id_of(m) : member_raft_id(from, directory_id);
}

/* -- libraft's weak spots -- */

static bool copy_configuration(const struct raft_configuration *from, struct raft_configuration *ret_copy)
{
    raft_configuration_init(ret_copy);
    for (unsigned i = 0; i < from->n; i++) {
        const struct raft_server *s = &from->servers[i];
        if (raft_configuration_add(ret_copy, s->id, s->address, s->role) != 0) {
            raft_configuration_close(ret_copy);
            return false;
        }
    }
    return true;
}

/* A leader proposes a configuration only when the one before it is committed: so that one is, even if this
 * node has not heard how far the log is committed. libraft would lose it if the newer one were rolled back.
 */
void consensus_settle_older(struct consensus *c, uint64_t prev_index, uint64_t prev_term)
{
    struct raft_event event = consensus_event(RAFT_CONFIGURATION);
    uint64_t older = c->raft.configuration_uncommitted_index;
    if (raft_state(&c->raft) != RAFT_FOLLOWER || older == 0 || older > prev_index ||
        raft_log_term(c->log, prev_index) != prev_term)
        return;
    event.configuration.index = older;
    if (!copy_configuration(&c->raft.configuration, &event.configuration.conf)) {
        consensus_fail(c, ERR_NOMEM, "copying the configuration");
        return;
    }
    consensus_drive(c, &event);
}

static struct raft_server *own_server(struct consensus *c)
{
    for (unsigned i = 0; i < c->raft.configuration.n; i++) {
        if (c->raft.configuration.servers[i].id == c->raft.id)
            return &c->raft.configuration.servers[i];
    }
    return NULL;
}

void consensus_doubt_leader(struct consensus *c)
{
    const struct raft_server *own = own_server(c);
    uint64_t silent_us = env_now_us(c->env) - c->leader_heard_us;
    if (raft_state(&c->raft) != RAFT_FOLLOWER || (own != NULL && own->role == RAFT_VOTER) ||
        silent_us < c->options.election_timeout_ms * 1000ull)
        return;
    raft_free(c->raft.follower_state.current_leader.address);
    c->raft.follower_state.current_leader.address = NULL;
    c->raft.follower_state.current_leader.id = 0;
}

/* The candidate's configuration decides whether a vote counts (thesis, 4.1); libraft looks into the voter's.
 * A lone controller that dies while it promotes a second one could never be elected again. */
bool consensus_vote_begin(struct consensus *c)
{
    struct raft_server *own = own_server(c);
    consensus_doubt_leader(c);
    if (own == NULL || own->role != RAFT_STANDBY || raft_state(&c->raft) != RAFT_FOLLOWER)
        return false;
    own->role = RAFT_VOTER;
    return true;
}

void consensus_vote_over(struct consensus *c)
{
    struct raft_server *own = own_server(c);
    ASSERT(own != NULL && own->role == RAFT_VOTER);
    own->role = RAFT_STANDBY;
}

/* -- changes -- */

static void submit_one(struct consensus *c, enum raft_entry_type type, struct raft_buffer buf)
{
    struct raft_entry entry = {
        .term = raft_current_term(&c->raft), .type = type, .buf = buf, .batch = buf.base};
    struct raft_event event = consensus_event(RAFT_SUBMIT);
    event.submit.entries = &entry;
    event.submit.n = 1;
    consensus_drive(c, &event);
}

/* libraft's leader adds no entry of its own term when its log holds nothing uncommitted. Without one a change
 * could be elected away by a change of an earlier term that this leader never saw. */
static void submit_barrier(struct consensus *c)
{
    struct raft_buffer buf = {.base = raft_malloc(8), .len = 8};
    if (buf.base == NULL || c->barrier_term == raft_current_term(&c->raft)) {
        raft_free(buf.base);
        return;
    }
    memset(buf.base, 0, buf.len);
    c->barrier_term = raft_current_term(&c->raft);
    submit_one(c, RAFT_BARRIER, buf);
}

static enum err change_may_begin(struct consensus *c)
{
    if (c->failed || !c->announced)
        return ERR_NOT_LEADER;
    if (raft_transferee(&c->raft) != 0 || !consensus_members_settled(c))
        return ERR_BUSY;
    if (c->applied_term == raft_current_term(&c->raft) || MUTANT(MEMBERS_WITHOUT_TERM))
        return OK;
    submit_barrier(c);
    return ERR_BUSY;
}

static enum err add_server(struct consensus *c, struct raft_configuration *conf,
                           const struct consensus_member *member)
{
    char address[MEMBER_TEXT_MAX];
    ASSERT(!uuid_is_zero(member->directory_id));
    if (find(c, member->node_id) != NULL)
        return ERR_EXISTS;
    if (c->members_count == CONSENSUS_MEMBERS_MAX)
        return ERR_FULL;
    member_format(member, address);
    return raft_configuration_add(conf, raft_id_of(member), address, RAFT_STANDBY) == 0 ? OK : ERR_NOMEM;
}

static int voters_in(const struct consensus *c)
{
    int voters = 0;
    for (int i = 0; i < c->members_count; i++)
        voters += c->members[i].voter;
    return voters;
}

static enum err promote_server(struct consensus *c, struct raft_configuration *conf, int32_t node_id)
{
    const struct consensus_member *m = find(c, node_id);
    if (m == NULL)
        return ERR_NOT_FOUND;
    if (m->voter)
        return ERR_EXISTS;
    if (voters_in(c) >= CONSENSUS_VOTERS_MAX)
        return ERR_FULL;
    raft_index match = 0;
    if (raft_match_index(&c->raft, raft_id_of(m), &match) != 0 || match < c->members_index)
        return ERR_BUSY; /* it does not even know that it is a member: it could not vote */
    for (unsigned i = 0; i < conf->n; i++) {
        if (conf->servers[i].id == raft_id_of(m))
            conf->servers[i].role = RAFT_VOTER; /* in its place: libraft's progress goes by position */
    }
    return OK;
}

static enum err remove_server(struct consensus *c, struct raft_configuration *conf, int32_t node_id)
{
    const struct consensus_member *m = find(c, node_id);
    struct raft_configuration old = *conf;
    enum err err = OK;
    if (m == NULL)
        return ERR_NOT_FOUND;
    if (node_id == c->options.node_id || (m->voter && voters_in(c) == 1))
        return ERR_INVALID;
    raft_configuration_init(conf);
    for (unsigned i = 0; i < old.n; i++) {
        const struct raft_server *s = &old.servers[i];
        if (MUTANT(TWO_VOTERS_AT_ONCE) && i + 1 == old.n && s->id != c->raft.id)
            continue;
        if (s->id != raft_id_of(m) && raft_configuration_add(conf, s->id, s->address, s->role) != 0)
            err = ERR_NOMEM;
    }
    raft_configuration_close(&old);
    return err;
}

static enum err edit(struct consensus *c, struct raft_configuration *conf, enum consensus_change change,
                     const struct consensus_member *member)
{
    switch (change) {
    case CONSENSUS_ADD_OBSERVER: return add_server(c, conf, member);
    case CONSENSUS_PROMOTE: return promote_server(c, conf, member->node_id);
    case CONSENSUS_REMOVE: return remove_server(c, conf, member->node_id);
    default: UNREACHABLE();
    }
}

enum err consensus_change_members(struct consensus *c, enum consensus_change change,
                                  const struct consensus_member *member)
{
    struct raft_configuration conf;
    struct raft_buffer buf = {NULL, 0};
    enum err err = change_may_begin(c);
    if (err != OK)
        return err;
    if (!copy_configuration(&c->raft.configuration, &conf))
        return ERR_NOMEM;
    err = edit(c, &conf, change, member);
    if (err == OK && raft_configuration_encode(&conf, &buf) != 0)
        err = ERR_NOMEM;
    raft_configuration_close(&conf);
    if (err == OK)
        submit_one(c, RAFT_CHANGE, buf);
    return err;
}
