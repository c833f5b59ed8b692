/* SPDX-License-Identifier: Apache-2.0 */
/* Asynchronous disk requests: E2, E3. */
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "tests/env/conf_lib.h"

struct request {
    struct env_io io;
    size_t done;
    enum err err;
};

static size_t requests_done;

static void request_done(struct env_io *io, enum err err)
{
    struct request *request = CONTAINER_OF(io, struct request, io);
    CONF_CALLED_BACK();
    request->done++;
    ck_assert_uint_eq(request->done, 1);
    request->err = err;
    requests_done++;
}

START_TEST(syncs_of_all_kinds_complete_once)
{
    static struct request requests[3 * 16];
    struct env_file *file = conf_pattern_file("s", 100000);
    for (size_t i = 0; i < ARRAY_LEN(requests); i += 3) {
        CONF_CALL(env_file_sync(file, &requests[i].io, request_done));
        CONF_CALL(
            env_dir_sync(conf_env, conf_impl->scratch_dir(conf_env), &requests[i + 1].io, request_done));
        CONF_CALL(env_fs_sync(file, &requests[i + 2].io, request_done));
    }
    env_file_close(file); /* requests hold the file */
    conf_wait_count(&requests_done, ARRAY_LEN(requests));
    conf_turn();
    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        ck_assert_uint_eq(requests[i].done, 1);
        ck_assert_int_eq(requests[i].err, OK);
    }
}
END_TEST

START_TEST(sync_of_a_missing_directory_fails_through_done)
{
    static struct request request;
    CONF_CALL(env_dir_sync(conf_env, conf_path("no"), &request.io, request_done));
    ck_assert_uint_eq(request.done, 0);
    conf_wait_count(&request.done, 1);
    ck_assert_int_eq(request.err, ERR_NOT_FOUND);
}
END_TEST

START_TEST(async_reads_give_the_bytes_of_their_ranges)
{
    static struct request requests[32];
    static uint8_t bufs[32][5000];
    struct env_file *file = conf_pattern_file("r", 32 * 5000);
    for (size_t i = 0; i < 32; i++)
        CONF_CALL(env_file_read_async(file, i * 5000, bufs[i], 5000, &requests[i].io, request_done));
    env_file_close(file);
    conf_wait_count(&requests_done, 32);
    for (size_t i = 0; i < 32; i++) {
        ck_assert_int_eq(requests[i].err, OK);
        for (size_t k = 0; k < 5000; k++)
            if (bufs[i][k] != conf_pattern(i * 5000 + k))
                ck_abort_msg("byte %zu of read %zu is wrong", k, i);
    }
}
END_TEST

START_TEST(async_read_past_the_end_is_truncated)
{
    static struct request request;
    static uint8_t buf[100];
    struct env_file *file = conf_pattern_file("r", 1000);
    CONF_CALL(env_file_read_async(file, 950, buf, 100, &request.io, request_done));
    conf_wait_count(&request.done, 1);
    ck_assert_int_eq(request.err, ERR_TRUNCATED);
    env_file_close(file);
}
END_TEST

/* A request may be used again as soon as it is done, from inside done. */
static struct env_file *chain_file;

static void chain_done(struct env_io *io, enum err err)
{
    CONF_CALLED_BACK();
    ck_assert_int_eq(err, OK);
    requests_done++;
    if (requests_done < 50)
        CONF_CALL(env_file_sync(chain_file, io, chain_done));
}

START_TEST(request_can_be_used_again_inside_done)
{
    static struct env_io io;
    chain_file = conf_pattern_file("c", 10);
    CONF_CALL(env_file_sync(chain_file, &io, chain_done));
    conf_wait_count(&requests_done, 50);
    env_file_close(chain_file);
}
END_TEST

/* -- on another loop -- */

struct remote {
    struct env_msg go, report;
    struct env *loop;
    struct env_io io;
    struct env_file *file;
    char path[4096];
    enum err open_err, sync_err;
    size_t reports;
};

static void remote_report(struct env_msg *msg)
{
    CONTAINER_OF(msg, struct remote, report)->reports++;
}

static void remote_synced(struct env_io *io, enum err err)
{
    struct remote *remote = CONTAINER_OF(io, struct remote, io);
    remote->sync_err = err;
    env_file_close(remote->file);
    env_post(conf_env, &remote->report);
    env_stop(remote->loop);
}

static void remote_go(struct env_msg *msg)
{
    struct remote *remote = CONTAINER_OF(msg, struct remote, go);
    remote->open_err =
        env_file_open(remote->loop, remote->path, ENV_OPEN_WRITE | ENV_OPEN_CREATE, &remote->file);
    ck_assert_int_eq(remote->open_err, OK);
    env_file_sync(remote->file, &remote->io, remote_synced);
}

START_TEST(each_loop_has_its_own_completions)
{
    static struct remote remotes[3];
    for (size_t i = 0; i < 3; i++) {
        remotes[i].go.fn = remote_go;
        remotes[i].report.fn = remote_report;
        remotes[i].loop = conf_spawn();
        strcpy(remotes[i].path, conf_path("remote"));
        remotes[i].path[strlen(remotes[i].path) - 1] = (char)('0' + i);
        env_post(remotes[i].loop, &remotes[i].go);
    }
    for (size_t i = 0; i < 3; i++) {
        conf_wait_count(&remotes[i].reports, 1);
        ck_assert_int_eq(remotes[i].sync_err, OK);
    }
}
END_TEST

void conf_add_disk(TCase *tcase)
{
    tcase_add_test(tcase, syncs_of_all_kinds_complete_once);
    tcase_add_test(tcase, sync_of_a_missing_directory_fails_through_done);
    tcase_add_test(tcase, async_reads_give_the_bytes_of_their_ranges);
    tcase_add_test(tcase, async_read_past_the_end_is_truncated);
    tcase_add_test(tcase, request_can_be_used_again_inside_done);
    tcase_add_test(tcase, each_loop_has_its_own_completions);
}
