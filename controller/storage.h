/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that a controller keeps on disk, in one directory:
 *
 *   meta.properties    whose disk this is: cluster id (once known), node id, directory id
 *   quorum-state       term and vote, the newest log segment, and the last entry known durable
 *   peers              directory ids of the other controllers, pinned when first seen
 *   <sequence>.log     Raft log (raft_log.h)
 *   <index>-<term>.checkpoint  snapshots (snapshot_store.h)
 *
 * A directory that lost or changed anything that was durable is refused with ERR_CORRUPT and a line that
 * names the file: a damaged log never votes under its old identity (DESIGN, Metadata). All small files are
 * common/log/atomic_file.
 */
#ifndef SLUICE_CONTROLLER_STORAGE_H
#define SLUICE_CONTROLLER_STORAGE_H

#include "common/base/types.h"
#include "controller/raft_log.h"
#include "controller/snapshot_store.h"

#define STORAGE_TEXT_MAX 2600 /* a line for people: two paths and a sentence */

struct storage;

struct storage_options {
    const char *dir; /* created when missing */
    int32_t node_id;
    uint64_t segment_bytes;  /* of the Raft log (raft_log_options) */
    uint32_t allocate_bytes; /* of the Raft log */
};

struct storage_handler {
    void (*durable)(void *ctx, uint64_t index); /* raft_log_handler */
    void (*failed)(void *ctx, enum err err);    /* the disk failed; final */
};

/* Opens, locks, loads and checks the directory; blocks. On failure text holds one line: ERR_BUSY (another
 * process has it), ERR_MISMATCH (of another node), ERR_CORRUPT (damage), ERR_PERMISSION, ERR_IO ... */
enum err storage_open(struct env *env, const struct storage_options *options, struct storage **ret_storage,
                      char text[STORAGE_TEXT_MAX]);
void storage_set_handler(struct storage *storage, const struct storage_handler *handler, void *ctx);

/* Makes everything durable and records the end of the log, so that the next start can prove that nothing is
 * missing. Blocks. */
enum err storage_stop_wait(struct storage *storage);

/* Lets go of everything without writing anything. NULL is allowed. */
void storage_close(struct storage *storage);

/* True before storage_bootstrap_wait() has ever succeeded: there is no term yet. */
bool storage_is_new(const struct storage *storage);

/* Writes entry 1 (an entry of type `type`, term 1, the first Raft configuration) and term 1. Blocks. */
enum err storage_bootstrap_wait(struct storage *storage, uint8_t type, struct bytes configuration);

/* Instead: this disk joins a quorum that exists. It has an empty log, term 1, and says for ever that it
 * joined. Blocks. */
enum err storage_join_wait(struct storage *storage);
bool storage_joined(const struct storage *storage);

/* As durable now. */
uint64_t storage_term(const struct storage *storage);
uint64_t storage_vote(const struct storage *storage); /* Raft id, 0: none */

/* Durable when it returns. Term never goes back. */
enum err storage_set_vote_wait(struct storage *storage, uint64_t term, uint64_t vote);

/* Of this disk, made at its first start. */
struct uuid storage_directory_id(const struct storage *storage);
struct uuid storage_cluster_id(const struct storage *storage); /* zero: not known yet */

/* Records the cluster's id once it is known. ERR_MISMATCH (with a line in text) when another one is recorded
 * already. */
enum err storage_set_cluster_id_wait(struct storage *storage, struct uuid cluster_id,
                                     char text[STORAGE_TEXT_MAX]);

/* Whether the controller node_id still has the disk that it had when it was first seen (it is pinned then).
 * ERR_MISMATCH when not: it lost its log and must not vote under its old identity. */
enum err storage_check_peer_wait(struct storage *storage, int32_t node_id, struct uuid directory_id);

/* The pinned directory id of a controller, zero when none is. */
struct uuid storage_peer_directory(const struct storage *storage, int32_t node_id);

/* Empties the log: the newest snapshot takes its place, the next entry is the one behind it. Blocks. */
enum err storage_void_log_wait(struct storage *storage);

/* Removes log entries that neither the newest snapshot (less `trailing` entries) nor the one before it needs.
 */
void storage_trim(struct storage *storage, uint64_t trailing);

/* The parts; they live as long as the storage. */
struct raft_log *storage_log(const struct storage *storage);
struct snapshot_store *storage_snapshots(const struct storage *storage);

/* The newest snapshot is used, but a newer one was found damaged: its name, else "". */
const char *storage_warning(const struct storage *storage);

#endif
