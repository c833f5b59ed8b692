/* SPDX-License-Identifier: Apache-2.0 */
/* What a range of seeds has met: turns seen in logs and by observers (REACH_TABLE), and places in production
 * code (common/base/probe.h). A committed list says which of them are demanded. */
#ifndef SLUICE_SIM_REACH_H
#define SLUICE_SIM_REACH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/base/probe.h"

/* X(NAME, "name", "log event that shows it"). NULL: noted by an observer. */
#define REACH_TABLE(X)                                                                                       \
    X(TRUNCATED, "truncated", "partition.truncated")                                                         \
    X(TORN_TAIL_CUT, "torn-tail-cut", "partition.torn_tail_cut")                                             \
    X(DAMAGED, "damage-found", "partition.damaged")                                                          \
    X(REFETCHED, "damage-refetched", "partition.refetched")                                                  \
    X(TAIL_GIVEN_UP, "damaged-tail-given-up", "partition.tail_given_up")                                     \
    X(ISR_CHANGE_REFUSED, "isr-change-refused", "isr.change_refused")                                        \
    X(REGISTRATION_LOST, "registration-lost", "broker.registration_lost")                                    \
    X(REGISTRATION_REFUSED, "registration-refused", "broker.registration_refused")                           \
    X(SNAPSHOT_WRITTEN, "snapshot-written", "snapshot.written")                                              \
    X(SNAPSHOT_LOADED, "snapshot-loaded", "snapshot.loaded")                                                 \
    X(BROKER_SNAPSHOT_LOADED, "broker-snapshot-loaded", "metadata.snapshot_loaded")                          \
    X(LEADER_LOST, "replica-leader-lost", "replica.leader_lost")                                             \
    X(LEADER_SILENT, "replica-leader-silent", "replica.leader_silent")                                       \
    X(CONTROLLER_RESIGNED, "controller-resigned", "controller.resigned")                                     \
    X(LOG_FAILED, "log-failed", "partition.failed")                                                          \
    X(UNKNOWN_DIRECTORY, "unknown-directory-set-aside", "data_dir.quarantined")                              \
    X(ISR_SHRUNK, "isr-shrunk", NULL)                                                                        \
    X(ISR_EXPANDED, "isr-expanded", NULL)                                                                    \
    X(LEADER_CHANGED, "leader-changed", NULL)                                                                \
    X(BROKER_FENCED, "broker-fenced", NULL)                                                                  \
    X(REPLAYED, "txn-request-replayed", NULL)                                                                \
    X(REPLAY_REFUSED, "txn-replay-refused", NULL)                                                            \
    X(MARKER_REPLAYED, "txn-marker-replayed", NULL)                                                          \
    X(MARKER_REPLAY_REFUSED, "txn-marker-replay-refused", NULL)                                              \
    X(COMMIT_REPLAYED, "group-commit-replayed", NULL)                                                        \
    X(COMMIT_REPLAY_REFUSED, "group-commit-replay-refused", NULL)                                            \
    X(HEARTBEAT_REPLAYED, "group-heartbeat-replayed", NULL)                                                  \
    X(HEARTBEAT_REPLAY_REFUSED, "group-heartbeat-replay-refused", NULL)                                      \
    X(MEMBER_HEARTBEAT_REPLAYED, "group-consumer-heartbeat-replayed", NULL)                                  \
    X(MEMBER_HEARTBEAT_REPLAY_REFUSED, "group-consumer-heartbeat-replay-refused", NULL)                      \
    X(SYNC_REPLAYED, "group-sync-replayed", NULL)                                                            \
    X(SYNC_REPLAY_REFUSED, "group-sync-replay-refused", NULL)                                                \
    X(JOIN_REPLAYED, "group-join-replayed", NULL)                                                            \
    X(JOIN_REPLAY_REFUSED, "group-join-replay-refused", NULL)                                                \
    X(LEAVE_REPLAYED, "group-leave-replayed", NULL)                                                          \
    X(LEAVE_REPLAY_REFUSED, "group-leave-replay-refused", NULL)                                              \
    X(ELECTION, "controller-changed", NULL)

enum reach {
#define X(name, text, event) REACH_##name,
    REACH_TABLE(X)
#undef X
        REACH_LOGGED_COUNT
};

/* Both tables as one: probes follow. */
#define REACH_COUNT (REACH_LOGGED_COUNT + PROBE_COUNT)

/* "isr-shrunk" and so on. */
const char *reach_name(int reach);

/* Counts the turns that a line of a log shows. */
void reach_note_line(uint64_t counts[REACH_COUNT], const char *line);

/* Probes met in this program so far, added to counts. */
void reach_add_probes(uint64_t counts[REACH_COUNT]);

/* Reads a list, one name a line (# comments), and says which of them were not met. False: one is missing,
 * unknown, or the list cannot be read. */
bool reach_demanded(const char *path, const uint64_t counts[REACH_COUNT], FILE *out);

#endif
