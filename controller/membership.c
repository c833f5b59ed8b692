/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/membership.h"

#include "common/base/assert.h"
#include "common/base/probe.h"
#include "controller/controller_internal.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

#define LOOK_US    10000 /* how often it is looked whether the next step may be taken */
#define REMOVE_US  30000000
#define UNDO_US    5000000
#define ADD_MAX_US 600000000

/* -- answers -- */

static void tell(struct controller *c, uint64_t token, bool adds, int16_t version, int16_t error,
                 const char *why)
{
    struct kafka_add_raft_voter_response add;
    struct kafka_remove_raft_voter_response remove;
    struct core_reply reply = {.type = CORE_REPLY_ADMIN};
    struct str text = error == KAFKA_NONE ? STR_NULL : str_from(why != NULL ? why : kafka_error_text(error));
    kafka_add_raft_voter_response_init(&add);
    kafka_remove_raft_voter_response_init(&remove);
    add.error_code = remove.error_code = error;
    add.error_message = remove.error_message = text;
    reply.admin.api_key = adds ? KAFKA_API_ADD_RAFT_VOTER : KAFKA_API_REMOVE_RAFT_VOTER;
    reply.admin.api_version = version;
    reply.admin.index = image_index(c->image);
    if (error == KAFKA_NOT_CONTROLLER)
        reply.admin.error = error; /* of the forwarding: the broker asks again */
    else
        reply.admin.response = adds ? (const void *)&add : (const void *)&remove;
    drive_reply(c, token, &reply);
}

static void finish(struct controller *c, int16_t error, const char *why)
{
    struct membership *m = &c->membership;
    m->active = false;
    env_timer_cancel(c->env, &m->timer);
    LOG(c->options.logger, INFO, "quorum.changed", F_STR("what", m->adds ? "add" : "remove"),
        F_I64("controller", m->member.node_id), F_STR("result", why != NULL ? why : kafka_error_text(error)));
    tell(c, m->token, m->adds, m->api_version, error, why);
}

/* -- steps -- */

static const struct consensus_member *find(const struct controller *c, int32_t node_id)
{
    int count;
    const struct consensus_member *members = consensus_members(c->consensus, &count);
    for (int i = 0; i < count; i++) {
        if (members[i].node_id == node_id)
            return &members[i];
    }
    return NULL;
}

/* Rounds (thesis, 4.2.1): one that took less than an election time-out left little to make up for, so the new
 * voter will not hold up commits. */
static bool caught_up(struct controller *c)
{
    struct membership *m = &c->membership;
    struct consensus_voter voter = {.node_id = m->member.node_id};
    uint64_t now_us = env_now_us(c->env);
    if (m->round_target == 0) {
        m->round_target = consensus_status(c->consensus).last_index;
        m->round_start_us = now_us;
    }
    if (consensus_describe(c->consensus, &voter) != OK || voter.last_index < m->round_target)
        return false;
    bool quick = now_us - m->round_start_us < c->options.election_timeout_ms * 1000ull;
    m->round_target = 0;
    return quick;
}

static int16_t error_of(enum err err)
{
    switch (err) {
    case OK:
    case ERR_BUSY: return KAFKA_NONE; /* later */
    case ERR_NOT_LEADER: return KAFKA_NOT_CONTROLLER;
    case ERR_FULL:
    case ERR_INVALID: return KAFKA_INVALID_REQUEST;
    default: return KAFKA_UNKNOWN_SERVER_ERROR;
    }
}

static void change(struct controller *c, enum consensus_change what)
{
    int16_t error = error_of(consensus_change_members(c->consensus, what, &c->membership.member));
    if (error != KAFKA_NONE && c->membership.active)
        finish(c, error,
               error == KAFKA_INVALID_REQUEST ? "the quorum cannot have this number of voters" : NULL);
}

static void step_add(struct controller *c)
{
    struct membership *m = &c->membership;
    const struct consensus_member *present = find(c, m->member.node_id);
    if (present == NULL)
        change(c, CONSENSUS_ADD_OBSERVER);
    else if (!uuid_eq(present->directory_id, m->member.directory_id))
        change(c, CONSENSUS_REMOVE); /* an observer that an earlier request left, with another disk */
    else if (present->voter) {
        PROBE(QUORUM_MEMBER_ADDED);
        finish(c, KAFKA_NONE, NULL);
    } else if (caught_up(c))
        change(c, CONSENSUS_PROMOTE);
}

static void step_remove(struct controller *c)
{
    struct membership *m = &c->membership;
    if (find(c, m->member.node_id) != NULL) {
        change(c, CONSENSUS_REMOVE);
        return;
    }
    if (!m->adds)
        PROBE(QUORUM_MEMBER_REMOVED);
    finish(c, m->adds ? KAFKA_REQUEST_TIMED_OUT : KAFKA_NONE,
           m->adds ? "the new controller did not catch up in time" : NULL);
}

static void look(struct env_timer *timer)
{
    struct controller *c = CONTAINER_OF(timer, struct controller, membership.timer);
    struct membership *m = &c->membership;
    uint64_t now_us = env_now_us(c->env);
    env_timer_set(c->env, timer, now_us + LOOK_US);
    if (now_us >= m->deadline_us && (!m->adds || m->undoes)) {
        finish(c, KAFKA_REQUEST_TIMED_OUT, NULL);
        return;
    }
    if (now_us >= m->deadline_us) {
        m->undoes = true;
        m->deadline_us = now_us + UNDO_US;
    }
    if (!consensus_members_settled(c->consensus))
        return;
    const struct consensus_member *present = find(c, m->member.node_id);
    if (m->adds && !(m->undoes && (present == NULL || !present->voter)))
        step_add(c);
    else
        step_remove(c);
}

/* -- requests -- */

static void begin(struct controller *c, const struct consensus_member *member, bool adds, uint64_t token,
                  int16_t version, uint64_t timeout_us)
{
    struct membership *m = &c->membership;
    if (m->active) {
        tell(c, token, adds, version, KAFKA_REQUEST_TIMED_OUT,
             "another change of the quorum is under way: try again later");
        return;
    }
    m->active = true;
    m->adds = adds;
    m->undoes = false;
    m->member = *member;
    m->token = token;
    m->api_version = version;
    m->round_target = 0;
    m->deadline_us = env_now_us(c->env) + timeout_us;
    env_timer_set(c->env, &m->timer, 0);
}

static int16_t check_add(const struct controller *c, const struct kafka_add_raft_voter_request *q,
                         struct consensus_member *ret_member, const char **ret_why)
{
    struct uuid cluster_id;
    const struct consensus_member *present = find(c, q->voter_id);
    *ret_why = NULL;
    if (q->cluster_id.len >= 0 &&
        (uuid_parse(q->cluster_id, &cluster_id) != OK || !uuid_eq(cluster_id, c->self.cluster_id)))
        return KAFKA_INCONSISTENT_CLUSTER_ID;
    if (present != NULL && present->voter)
        return KAFKA_DUPLICATE_VOTER;
    *ret_why = "that disk was a voter of the first configuration: it comes back with an empty one";
    if (uuid_eq(q->voter_directory_id, storage_peer_directory(c->storage, q->voter_id)) &&
        !uuid_is_zero(q->voter_directory_id))
        return KAFKA_INVALID_REQUEST; /* it would go on under its old identity, which has no vote any more */
    *ret_why = "a voter needs an id, the id of its directory, and a listener";
    if (q->voter_id < 0 || uuid_is_zero(q->voter_directory_id) || q->listeners_count < 1 ||
        q->listeners[0].host.len < 1 || q->listeners[0].host.len >= ENV_HOST_MAX || q->listeners[0].port == 0)
        return KAFKA_INVALID_REQUEST;
    *ret_member = (struct consensus_member){.node_id = q->voter_id, .directory_id = q->voter_directory_id};
    str_copy(q->listeners[0].host, ret_member->addr.host, sizeof(ret_member->addr.host));
    ret_member->addr.port = q->listeners[0].port;
    return KAFKA_NONE;
}

void membership_add_voter(struct controller *c, struct session *session, uint32_t correlation,
                          int16_t version, const void *request)
{
    const struct kafka_add_raft_voter_request *q = request;
    struct consensus_member member;
    const char *why;
    uint64_t token = drive_expect(c, session, CLUSTER_RPC_ADMIN, correlation);
    if (token == 0) {
        requests_refuse(c, session->conn, CLUSTER_RPC_ADMIN, correlation, KAFKA_UNKNOWN_SERVER_ERROR);
        return;
    }
    int16_t error = check_add(c, q, &member, &why);
    uint64_t timeout_us = MIN((uint64_t)MAX(q->timeout_ms, 0) * 1000, ADD_MAX_US);
    if (error != KAFKA_NONE)
        tell(c, token, true, version, error, why);
    else
        begin(c, &member, true, token, version, timeout_us);
}

/* The disk that this member is known by, as DescribeQuorum tells it. */
static struct uuid directory_of(const struct controller *c, const struct consensus_member *member)
{
    if (!uuid_is_zero(member->directory_id))
        return member->directory_id;
    return member->node_id == c->options.node_id ? storage_directory_id(c->storage)
                                                 : storage_peer_directory(c->storage, member->node_id);
}

static int16_t check_remove(const struct controller *c, const struct kafka_remove_raft_voter_request *q,
                            struct consensus_member *ret_member)
{
    struct uuid cluster_id;
    const struct consensus_member *present = find(c, q->voter_id);
    if (q->cluster_id.len >= 0 &&
        (uuid_parse(q->cluster_id, &cluster_id) != OK || !uuid_eq(cluster_id, c->self.cluster_id)))
        return KAFKA_INCONSISTENT_CLUSTER_ID;
    if (present == NULL || !uuid_eq(directory_of(c, present), q->voter_directory_id))
        return KAFKA_VOTER_NOT_FOUND;
    *ret_member = *present;
    return KAFKA_NONE;
}

static int voters_count(const struct controller *c)
{
    int count, voters = 0;
    const struct consensus_member *members = consensus_members(c->consensus, &count);
    for (int i = 0; i < count; i++)
        voters += members[i].voter;
    return voters;
}

void membership_remove_voter(struct controller *c, struct session *session, uint32_t correlation,
                             int16_t version, const void *request)
{
    struct consensus_member member;
    uint64_t token = drive_expect(c, session, CLUSTER_RPC_ADMIN, correlation);
    if (token == 0) {
        requests_refuse(c, session->conn, CLUSTER_RPC_ADMIN, correlation, KAFKA_UNKNOWN_SERVER_ERROR);
        return;
    }
    int16_t error = check_remove(c, request, &member);
    if (error != KAFKA_NONE) {
        tell(c, token, false, version, error, NULL);
    } else if (member.voter && voters_count(c) == 1) {
        tell(c, token, false, version, KAFKA_INVALID_REQUEST, "the last voter cannot be removed");
    } else if (member.node_id == c->options.node_id) {
        /* A leader hands over first: whoever leads next removes it, and nobody waits for a time-out. */
        PROBE(QUORUM_LEADER_REMOVED);
        consensus_transfer(c->consensus);
        tell(c, token, false, version, KAFKA_NOT_CONTROLLER, NULL);
    } else {
        begin(c, &member, false, token, version, REMOVE_US);
    }
}

/* -- life -- */

void membership_init(struct controller *c)
{
    env_timer_init(&c->membership.timer, look);
}

void membership_lost(struct controller *c)
{
    if (c->membership.active)
        finish(c, KAFKA_NOT_CONTROLLER, NULL);
}

void membership_stop(struct controller *c)
{
    c->membership.active = false;
    env_timer_cancel(c->env, &c->membership.timer);
}
