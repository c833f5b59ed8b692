/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of the quorum's members on request (AddRaftVoter, RemoveRaftVoter; KIP-853): one at a time, by the
 * active controller. A new controller gets the log as an observer, catches up, and becomes a voter then. A
 * request names a goal; whoever leads looks how far it is and takes the next step, so that a request that is
 * repeated after a change of leader goes on where the last one ended.
 */
#ifndef SLUICE_CONTROLLER_MEMBERSHIP_H
#define SLUICE_CONTROLLER_MEMBERSHIP_H

#include "common/env/env.h"
#include "controller/member.h"

struct controller;
struct session;

struct membership {
    bool active, adds, undoes; /* undoes: the observer did not catch up in time and leaves again */
    struct consensus_member member;
    uint64_t token; /* of who asked */
    int16_t api_version;
    uint64_t deadline_us;
    uint64_t round_target, round_start_us; /* catching up: what the log held when the round began */
    struct env_timer timer;
};

/* Before anything else. */
void membership_init(struct controller *c);

/* Requests; answered later, through drive_reply(). */
void membership_add_voter(struct controller *c, struct session *session, uint32_t correlation,
                          int16_t version, const void *request);
void membership_remove_voter(struct controller *c, struct session *session, uint32_t correlation,
                             int16_t version, const void *request);

/* This node leads no longer: who waits is told to ask the next leader. */
void membership_lost(struct controller *c);

/* Forgets the request under way. */
void membership_stop(struct controller *c);

#endif
