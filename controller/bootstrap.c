/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/bootstrap.h"

bool bootstrap_options_good(const struct consensus_options *options)
{
    return options->voters_count > 0 && options->voters_count <= CONSENSUS_VOTERS_MAX &&
           options->heartbeat_ms > 0 && options->election_timeout_ms > options->heartbeat_ms;
}

/* Whether this node is one of the first configuration. */
static bool is_first_voter(const struct consensus_options *options)
{
    for (int i = 0; i < options->voters_count; i++) {
        if (options->voters[i] == options->node_id)
            return true;
    }
    return false;
}

enum err bootstrap_wait(struct env *env, struct storage *storage, const struct consensus_options *options)
{
    struct writer w;
    if (storage_joined(storage) || !is_first_voter(options))
        return storage_join_wait(storage);
    writer_init(&w, env->pool, 256, QUORUM_MESSAGE_MAX);
    quorum_configuration_encode(&w, options->voters, options->voters_count);
    struct iobuf *buf = writer_take(&w);
    enum err err = w.err;
    if (err == OK) {
        struct bytes configuration = {buf->data, (int32_t)buf->len};
        err = storage_bootstrap_wait(storage, QUORUM_ENTRY_CHANGE, configuration);
    }
    iobuf_unref(buf);
    writer_free(&w);
    return err;
}

enum err bootstrap_load_config(struct storage *storage, uint64_t index, struct arena *arena,
                               struct bytes *ret_config)
{
    struct raft_log_entry entry;
    struct iobuf *buf;
    uint32_t count;
    enum err err = raft_log_read(storage_log(storage), index, 1, RAFT_LOG_ENTRY_MAX, &entry, &count, &buf);
    if (err != OK)
        return err;
    struct bytes found = {entry.data, (int32_t)entry.len};
    if (quorum_configuration_valid(found)) {
        *ret_config = (struct bytes){arena_copy(arena, entry.data, entry.len), found.len};
        err = ret_config->p == NULL ? ERR_NOMEM : OK;
    } else {
        err = ERR_CORRUPT;
    }
    iobuf_unref(buf);
    return err;
}
