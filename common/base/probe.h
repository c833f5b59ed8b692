/* SPDX-License-Identifier: Apache-2.0 */
/* Rare turns that a range of simulated runs must have met, or it proves little: PROBE(X) at the place where
 * it happens. In objects compiled with SLUICE_MUTANTS (those that sluice-sim links) it counts; everywhere
 * else it is nothing (the test no_mutants_in_production looks). tests/sim/must-reach.txt says which are
 * demanded. */
#ifndef SLUICE_BASE_PROBE_H
#define SLUICE_BASE_PROBE_H

/* X(ID, "name") */
#define PROBE_TABLE(X)                                                                                       \
    X(GROUP_STABLE, "group-stable")                                                                          \
    X(GROUP_MEMBER_SILENT, "group-member-silent")                                                            \
    X(GROUP_STALE_COMMIT, "group-commit-stale")                                                              \
    X(GROUP_STALE_HEARTBEAT, "group-heartbeat-stale")                                                        \
    X(GROUP_STALE_SYNC, "group-sync-stale")                                                                  \
    X(CONSUMER_REVOKED, "consumer-member-revoked")                                                           \
    X(CONSUMER_FENCED, "consumer-member-fenced")                                                             \
    X(CONSUMER_STALE_COMMIT, "consumer-commit-stale")                                                        \
    X(CONSUMER_MEMBER_SILENT, "consumer-member-silent")                                                      \
    X(CONSUMER_ROUND_REFUSED, "consumer-round-refused")                                                      \
    X(GROUP_UPGRADED, "group-upgraded")                                                                      \
    X(GROUP_DOWNGRADED, "group-downgraded")                                                                  \
    X(COORDINATOR_RELOADED, "coordinator-reloaded")                                                          \
    X(COORDINATOR_WRITE_LOST, "coordinator-write-undecided")                                                 \
    X(DUPLICATE_ANSWERED, "duplicate-answered")                                                              \
    X(SEQUENCE_REFUSED, "sequence-refused")                                                                  \
    X(GAP_AWAITED, "sequence-gap-awaited")                                                                   \
    X(PRODUCER_NOT_JUDGED, "producer-not-judged")                                                            \
    X(MIN_ISR_REFUSED, "min-isr-refused")                                                                    \
    X(WAIT_TIMED_OUT, "produce-wait-timed-out")                                                              \
    X(WAIT_DEPOSED, "produce-wait-deposed")                                                                  \
    X(STALE_EPOCH_REFUSED, "stale-leader-epoch-refused")                                                     \
    X(UNKNOWN_EPOCH_REFUSED, "unknown-leader-epoch-refused")                                                 \
    X(NOT_LEADER_REFUSED, "not-leader-refused")                                                              \
    X(OWN_WORD_REFUSED, "own-word-refused")                                                                  \
    X(LOG_DIVERGED, "divergence-told")                                                                       \
    X(EPOCH_NEVER_SEEN, "epoch-never-seen")                                                                  \
    X(ALTER_STALE_REFUSED, "stale-alter-partition-refused")                                                  \
    X(ALTER_INELIGIBLE_REFUSED, "ineligible-replica-refused")                                                \
    X(ELECTED_ELIGIBLE, "eligible-replica-elected")                                                          \
    X(ELECTED_LAST_KNOWN, "last-known-leader-elected")                                                       \
    X(ELECTED_LONGEST, "longest-log-elected")                                                                \
    X(GAVE_WAY, "leader-gave-way")                                                                           \
    X(RAFT_SNAPSHOT_INSTALLED, "raft-snapshot-installed")                                                    \
    X(LOG_RETAINED, "log-retained")                                                                          \
    X(LOG_COMPACTED, "log-compacted")                                                                        \
    X(COMPACTION_STOPPED, "compaction-stopped")                                                              \
    X(TXNINDEX_REMADE, "txnindex-remade")                                                                    \
    X(SWAP_RECOVERED, "swap-recovered")                                                                      \
    X(ASIDE_TAKEN, "aside-read-taken")                                                                       \
    X(ASIDE_OVERTAKEN, "aside-read-overtaken")                                                               \
    X(QUORUM_MEMBER_ADDED, "quorum-member-added")                                                            \
    X(QUORUM_MEMBER_REMOVED, "quorum-member-removed")                                                        \
    X(QUORUM_LEADER_REMOVED, "quorum-leader-removed")                                                        \
    X(MARKER_RETRIED, "txn-marker-retried")                                                                  \
    X(TXN_VERIFIED, "txn-batch-verified")                                                                    \
    X(TXN_VERIFY_REFUSED, "txn-batch-refused")

enum probe {
#define X(id, name) PROBE_##id,
    PROBE_TABLE(X)
#undef X
        PROBE_COUNT
};

#ifdef SLUICE_MUTANTS
/* One more time. Whoever links such objects defines it. */
void probe_met(enum probe probe);

#define PROBE(id) probe_met(PROBE_##id)
#else
#define PROBE(id) ((void)0)
#endif

#endif
