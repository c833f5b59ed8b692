/* SPDX-License-Identifier: Apache-2.0 */
/* Planted bugs, to prove that the simulator and its judge can see. In objects compiled with SLUICE_MUTANTS
 * (those that sluice-sim links) MUTANT(X) asks whether the run has mutant X; everywhere else it is the
 * constant 0 and leaves nothing behind (the test no_mutants_in_production looks). A mutant is one line where
 * the bug would be; the table says what the judge must call it. */
#ifndef SLUICE_BASE_MUTANT_H
#define SLUICE_BASE_MUTANT_H

/* Names of the judge that count as finding a mutant. One bug shows in several ways: a record that is lost is
 * missing for one reader, replaced for another. */
#define MUTANT_LOSS   "lost-write,unseen,inconsistent-offsets,divergence,not-durable,isr-behind"
#define MUTANT_DIRTY  "lost-write,unseen,inconsistent-offsets,G1a"
#define MUTANT_SKIP   "poll-skip,int-poll-skip,lost-write"
#define MUTANT_TWICE  "duplicate,nonmonotonic-send"
#define MUTANT_QUORUM "two-leaders,image-divergence,entry-divergence"
#define MUTANT_EARLY  "G1a,precommitted-read"
#define MUTANT_TORN   "torn-txn,hanging-txn,lost-write,unseen"
#define MUTANT_STALE  "stale-generation,double-owner,lost-commit"
#define MUTANT_FENCE                                                                                         \
    "duplicate,inconsistent-offsets,nonmonotonic-send,consume-count," MUTANT_EARLY "," MUTANT_TORN

/* X(ID, "name", violations, "what it does") */
#define MUTANT_TABLE(X)                                                                                      \
    X(TRUNCATE_TO_HIGH_WATERMARK, "truncate-to-high-watermark", MUTANT_LOSS,                                 \
      "a follower cuts its log to its high watermark at every change (KIP-101)")                             \
    X(UNKNOWN_EPOCH_ACCEPTED, "unknown-epoch-accepted", MUTANT_LOSS,                                         \
      "a leader serves a follower whose last epoch it does not know (KIP-279)")                              \
    X(NO_DIVERGENCE_CHECK, "no-divergence-check", MUTANT_LOSS,                                               \
      "a leader never compares a follower's last epoch with its own log")                                    \
    X(EXPAND_TOO_EARLY, "expand-too-early", MUTANT_LOSS,                                                     \
      "a replica joins the in-sync replicas with its first fetch")                                           \
    X(IGNORE_A_FOLLOWER, "ignore-a-follower", MUTANT_LOSS,                                                   \
      "the high watermark does not wait for the last replica of the list")                                   \
    X(IGNORE_MIN_ISR, "ignore-min-isr", MUTANT_LOSS, "the leader alone suffices for acks=all")               \
    X(ACK_BEFORE_ISR, "ack-before-isr", MUTANT_LOSS, "acks=all is answered once the leader has written")     \
    X(ALL_AS_ONE, "all-as-one", MUTANT_LOSS, "acks=all is answered once the leader has synced, like acks=1") \
    X(ACK_WHEN_DEPOSED, "ack-when-deposed", MUTANT_LOSS,                                                     \
      "producers that wait are told of success when leadership goes")                                        \
    X(SERVE_PAST_HIGH_WATERMARK, "serve-past-high-watermark", MUTANT_DIRTY,                                  \
      "consumers read up to the log's end")                                                                  \
    X(READ_SKIPS, "read-skips", MUTANT_SKIP,                                                                 \
      "consumers are given what follows the offset that they asked for")                                     \
    X(LOOKUP_MISSES_START, "lookup-misses-start", MUTANT_SKIP,                                               \
      "a lookup by time whose batch fell below the log start meanwhile says that nothing is so late")        \
    X(LOOKUP_PAST_HIGH_WATERMARK, "lookup-past-high-watermark", MUTANT_SKIP,                                 \
      "a lookup by time tells of records that are not committed")                                            \
    X(FOLLOWER_TAKES_WRITES, "follower-takes-writes", MUTANT_LOSS,                                           \
      "a follower appends what producers send it")                                                           \
    X(NO_EPOCH_STAMP, "no-epoch-stamp", MUTANT_LOSS, "a leader stamps its batches with epoch 0")             \
    X(POSITION_AS_DURABLE, "position-as-durable", MUTANT_LOSS,                                               \
      "a leader takes a follower's position for its durable offset")                                         \
    X(ACK_BEFORE_SYNC, "ack-before-sync", MUTANT_LOSS,                                                       \
      "what is written counts as durable, on leaders and followers")                                         \
    X(SYNC_ERROR_IGNORED, "sync-error-ignored", MUTANT_LOSS,                                                 \
      "a failed fsync of a log is taken for a good one")                                                     \
    X(SYNC_NOT_THE_LOG, "sync-not-the-log", MUTANT_LOSS,                                                     \
      "a round of sync covers the epoch checkpoint, not the segment")                                        \
    X(DIRECTORY_NOT_SYNCED, "directory-not-synced", MUTANT_LOSS,                                             \
      "the names of new segments are never synced")                                                          \
    X(COMPACT_PAST_HIGH_WATERMARK, "compact-past-high-watermark", MUTANT_LOSS,                               \
      "compaction takes records that are not committed yet")                                                 \
    X(DROP_TOMBSTONE_EARLY, "drop-tombstone-early", MUTANT_LOSS, "compaction drops tombstones at once")      \
    X(LOSE_LAST_PRODUCER_BATCH, "lose-last-producer-batch", MUTANT_TWICE,                                    \
      "compaction forgets a producer's last batch")                                                          \
    X(SWAP_WITHOUT_SYNC, "swap-without-sync", MUTANT_LOSS,                                                   \
      "a compacted segment is swapped in before it is durable")                                              \
    X(RETAIN_PAST_HIGH_WATERMARK, "retain-past-high-watermark", MUTANT_LOSS ",early-delete",                 \
      "retention takes records that are not committed yet")                                                  \
    X(PARTITION_NAME_NOT_SYNCED, "partition-name-not-synced", MUTANT_LOSS,                                   \
      "the name of a new partition's directory is never synced")                                             \
    X(LOSE_SEGMENT_AT_ROLL, "lose-segment-at-roll", MUTANT_LOSS,                                             \
      "only the newest segment is synced, not what rolled before it")                                        \
    X(REUSE_OFFSETS, "reuse-offsets", MUTANT_LOSS, "after a crash the log is cut to its recovery point")     \
    X(SKIP_CRC, "skip-crc", MUTANT_LOSS, "recovery believes the headers of batches and skips checksums")     \
    X(SERVE_DAMAGED, "serve-damaged", MUTANT_LOSS, "what is read is served whatever its checksum says")      \
    X(REFETCH_UNCHECKED, "refetch-unchecked", MUTANT_LOSS,                                                   \
      "what any replica of any epoch answers takes the place of a damaged range")                            \
    X(DUPLICATES_APPENDED, "duplicates-appended", MUTANT_TWICE, "a duplicate batch is appended again")       \
    X(FORGET_DUPLICATES, "forget-duplicates", MUTANT_TWICE, "a new leader starts without producer state")    \
    X(SEQUENCE_GAPS, "sequence-gaps", MUTANT_TWICE, "a batch out of its producer's order is appended")       \
    X(RECOMPRESS_FORGETS_PRODUCER, "recompress-forgets-producer", MUTANT_TWICE,                              \
      "a batch that is stored with the topic's codec loses its producer id")                                 \
    X(PRODUCERS_LOST_AT_RESTART, "producers-lost-at-restart", MUTANT_TWICE,                                  \
      "a restarted broker starts without producer state")                                                    \
    X(STALE_DUPLICATES, "stale-duplicates", MUTANT_LOSS,                                                     \
      "producer state stays as it was when the log is cut")                                                  \
    X(PRODUCER_IDS_TWICE, "producer-ids-twice", MUTANT_LOSS,                                                 \
      "every broker gets the same block of producer ids")                                                    \
    X(DELETE_UNKNOWN_DIRECTORY, "delete-unknown-directory", MUTANT_LOSS,                                     \
      "a directory that the metadata does not know is removed instead of set aside")                         \
    X(ELECT_OUTSIDE_ISR, "elect-outside-isr", MUTANT_LOSS,                                                   \
      "any live replica leads when no complete one lives")                                                   \
    X(LOSS_IGNORED, "loss-ignored", MUTANT_LOSS,                                                             \
      "a broker that lost its data, or has an empty disk now, may lead on")                                  \
    X(EVERYBODY_ELIGIBLE, "everybody-eligible", MUTANT_LOSS,                                                 \
      "all replicas count as eligible leaders (KIP-966)")                                                    \
    X(LEADER_EPOCH_STAYS, "leader-epoch-stays", MUTANT_QUORUM, "a new leader gets the epoch of the old one") \
    X(ALTER_ANY_EPOCH, "alter-any-epoch", MUTANT_LOSS,                                                       \
      "AlterPartition is accepted with any epochs, from any replica")                                        \
    X(ADDING_IN_SYNC, "adding-in-sync", MUTANT_LOSS,                                                         \
      "a replica that a reassignment adds counts as in sync at once (KIP-455)")                              \
    X(APPLY_STALE_METADATA, "apply-stale-metadata", MUTANT_LOSS,                                             \
      "a restarted broker acts on metadata of its former life, older than its registration")                 \
    X(BELIEVE_OWN_SHRINK, "believe-own-shrink", MUTANT_LOSS,                                                 \
      "a leader that may be one of the past (it slept) counts on its smaller ISR unconfirmed")               \
    X(GIVE_WAY_AT_ONCE, "give-way-at-once", MUTANT_LOSS,                                                     \
      "a leader that is to give way does not wait until the others have its log (acks=1)")                   \
    X(DOUBLE_OWNER, "double-owner", "double-owner", "every member of a group gets its leader's assignment")  \
    X(FORGET_GENERATION, "forget-generation", "double-owner", "a new coordinator counts generations anew")   \
    X(COMMIT_BEFORE_LOG, "commit-before-log", "lost-commit",                                                 \
      "an offset commit is answered before it is in the log")                                                \
    X(LOSE_COMMITS, "lose-commits", "lost-commit", "a new coordinator loads nothing")                        \
    X(HAND_OUT_EARLY, "hand-out-early", "double-owner",                                                      \
      "a coordinator gives a member partitions that another one still has (KIP-848)")                        \
    X(STALE_GENERATION, "stale-generation", MUTANT_STALE,                                                    \
      "commits of members of the group are accepted whatever generation they name")                          \
    X(STALE_HEARTBEAT, "stale-heartbeat", MUTANT_STALE,                                                      \
      "heartbeats of members of the group are answered whatever generation they name")                       \
    X(STALE_SYNC, "stale-sync", MUTANT_STALE, "SyncGroup is answered whatever generation it names")          \
    X(STALE_MEMBER_HEARTBEAT, "stale-member-heartbeat", MUTANT_STALE,                                        \
      "a heartbeat with any older epoch of its member is answered as if the last answer were lost "          \
      "(KIP-848)")                                                                                           \
    X(STALE_MEMBER_EPOCH, "stale-member-epoch", MUTANT_STALE,                                                \
      "commits of members that were fenced, or of an older epoch, are accepted (KIP-848)")                   \
    X(REVIVE_FENCED, "revive-fenced", "double-owner",                                                        \
      "the heartbeat of a member that was fenced brings it back with what it says it owns (KIP-848)")        \
    X(FORGET_MEMBER_EPOCHS, "forget-member-epochs", "double-owner",                                          \
      "a new coordinator counts the epochs of a group anew (KIP-848)")                                       \
    X(UPGRADE_FORGETS_OWNERS, "upgrade-forgets-owners", "double-owner",                                      \
      "classic members own nothing once their group is upgraded (KIP-848)")                                  \
    X(UPGRADE_FORGETS_OFFSETS, "upgrade-forgets-offsets", "lost-commit",                                     \
      "a group that is upgraded begins without offsets (KIP-848)")                                           \
    X(EXPOSE_OPEN_TXN, "expose-open-txn", MUTANT_EARLY,                                                      \
      "readers of committed data read up to the high watermark")                                             \
    X(STABLE_OFFSET_FALLS, "stable-offset-falls", "regress",                                                 \
      "while a transaction is open, the last stable offset is where the log begins")                         \
    X(DROP_FENCING, "drop-fencing", MUTANT_FENCE,                                                            \
      "a transactional producer that comes back does not fence the one before it")                           \
    X(REUSE_EPOCH, "reuse-epoch", MUTANT_FENCE, "a new transaction coordinator counts producer epochs anew") \
    X(MARK_SOME_PARTITIONS, "mark-some-partitions", MUTANT_TORN,                                             \
      "a transaction's first partition gets no marker")                                                      \
    X(END_KEEPS_EPOCH, "end-keeps-epoch", MUTANT_FENCE,                                                      \
      "the end of a transaction does not bump its producer's epoch (KIP-890)")                               \
    X(END_BEFORE_LOG, "end-before-log", MUTANT_TORN, "EndTxn is answered before the outcome is in the log")  \
    X(FORGET_PREPARED, "forget-prepared", MUTANT_TORN,                                                       \
      "a new transaction coordinator takes a prepared commit for an abort")                                  \
    X(FORGET_OPEN_TXN, "forget-open-txn", MUTANT_EARLY,                                                      \
      "a new leader calls stable what stood there before it, open transactions or not")                      \
    X(HIDE_ABORTED, "hide-aborted", MUTANT_EARLY, "a fetch leaves out one of its aborted transactions")      \
    X(LATE_MARKER, "late-marker", MUTANT_EARLY "," MUTANT_TORN,                                              \
      "the marker of a transaction that comes again ends the next one (KIP-1228)")                           \
    X(IGNORE_PENDING_OFFSETS, "ignore-pending-offsets", "lost-commit,consume-count",                         \
      "fetches of offsets do not wait for transactions that are about to commit")                            \
    X(KEEP_ABORTED_OFFSETS, "keep-aborted-offsets", "dirty-commit,poll-skip,lost-write",                     \
      "offsets committed in a transaction count when it is aborted")                                         \
    X(LOSE_PENDING_COMMIT, "lose-pending-commit", "lost-commit,consume-count",                               \
      "offsets committed in a transaction are dropped when it commits")                                      \
    X(FORGET_VOTE, "forget-vote", MUTANT_QUORUM, "the vote is not written down")                             \
    X(SEND_BEFORE_VOTE, "send-before-vote", MUTANT_QUORUM,                                                   \
      "Raft messages leave before term and vote are durable: these go to disk with the next entries")        \
    X(RAFT_LOG_NOT_SYNCED, "raft-log-not-synced", MUTANT_QUORUM,                                             \
      "Raft entries count as durable once they are written")                                                 \
    X(APPLY_UNCOMMITTED, "apply-uncommitted", MUTANT_QUORUM, "a controller applies all that its log holds")  \
    X(SNAPSHOT_INCOMPLETE, "snapshot-incomplete", MUTANT_QUORUM,                                             \
      "a metadata snapshot leaves the producer ids out")                                                     \
    X(EMPTY_DISK_VOTES, "empty-disk-votes", MUTANT_QUORUM,                                                   \
      "a controller whose disk was replaced votes under its old identity")                                   \
    X(TWO_VOTERS_AT_ONCE, "two-voters-at-once", MUTANT_QUORUM,                                               \
      "who takes a voter out of the quorum takes another one out with it")                                   \
    X(MEMBERS_WITHOUT_TERM, "members-without-term", MUTANT_QUORUM,                                           \
      "a leader changes the quorum before it has committed an entry of its term")                            \
    X(SNAPSHOT_OLD_MEMBERS, "snapshot-old-members", MUTANT_QUORUM,                                           \
      "a metadata snapshot names the voters that the snapshot before it named")

#ifdef SLUICE_MUTANTS
enum mutant {
    MUTANT_NONE,
#define X(id, name, violations, what) MUTANT_##id,
    MUTANT_TABLE(X)
#undef X
        MUTANT_COUNT
};

/* The mutant of this process. Whoever links such objects defines it. */
enum mutant mutant_active(void);

#define MUTANT(id) (mutant_active() == MUTANT_##id)
#else
#define MUTANT(id) 0
#endif

#endif
