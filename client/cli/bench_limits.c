/* SPDX-License-Identifier: Apache-2.0 */
/* `sluice bench limits`: the bare machine, for ratios. Nothing of Sluice is on these paths. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "client/cli/bench_socket.h"
#include "client/cli/bench_target.h"
#include "client/cli/verbs.h"
#include "common/base/assert.h"

#define ECHO_WARMUP  2000
#define CHUNK_BYTES  (256 * 1024)
#define FILE_BYTES   (64u * 1024 * 1024)
#define SYNC_BYTES   4096
#define WRITE_BYTES  (64 * 1024)
#define WRITE_PIECES 4
#define SYNC_FILES   3

enum { OPTION_SECONDS = 0x1000, OPTION_DIR, OPTION_PIN, OPTION_SIZE, OPTION_SPIN };

struct limits {
    struct cli *cli;
    double seconds; /* of each measurement */
    const char *dir;
    size_t echo_bytes;
    bool spin;
    int cpu, server_cpu;
    struct hist echo, sync_alone, sync_three;
    double stream_mb_s, sendfile_mb_s, write_mb_s;
    uint8_t *chunk; /* CHUNK_BYTES */
};

static const struct argp_option options[] = {
    {"seconds", OPTION_SECONDS, "S", 0, "Length of each measurement (default 2)", 0},
    {"dir", OPTION_DIR, "DIR", 0, "Where files are written (default: the present folder)", 0},
    {"echo-size", OPTION_SIZE, "SIZE", 0, "Bytes of an echo (default 200)", 0},
    {"spin", OPTION_SPIN, NULL, 0, "Poll the socket instead of sleeping in it", 0},
    {"pin", OPTION_PIN, "CPU,CPU", 0, "Run on the first CPU, the echo server on the second", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct limits *l = state->input;
    switch (key) {
    case OPTION_SECONDS: l->seconds = (double)cli_number(state, "seconds", arg, 1, 3600); return 0;
    case OPTION_DIR: l->dir = arg; return 0;
    case OPTION_SIZE: l->echo_bytes = (size_t)MIN(MAX(cli_size(state, "echo-size", arg), 1), 65536); return 0;
    case OPTION_SPIN: l->spin = true; return 0;
    case OPTION_PIN:
        if (sscanf(arg, "%d,%d", &l->cpu, &l->server_cpu) != 2)
            argp_error(state, "--pin wants two CPU numbers like 0,1, not '%s'", arg);
        return 0;
    case ARGP_KEY_ARG: argp_error(state, "unexpected '%s'", arg); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static int fail_errno(const struct limits *l, const char *what)
{
    return cli_fail_words(l->cli, EXIT_LOCAL_IO, strerror(errno), NULL, "%s", what);
}

static uint64_t end_of(const struct limits *l)
{
    return bench_now_ns() + (uint64_t)(l->seconds * 1e9);
}

/* -- TCP -- */

static int measure_echo(struct limits *l)
{
    struct bench_server server;
    int fd = -1;
    if (bench_echo_start(&server, l->server_cpu) != OK || bench_connect(&server.address, &fd) != OK)
        return fail_errno(l, "echo server");
    uint64_t end = UINT64_MAX;
    bool ok = true;
    for (uint64_t i = 0, now = 0; ok && now < end; i++) {
        uint64_t from = bench_now_ns();
        ok = bench_send(fd, l->chunk, l->echo_bytes) && bench_recv(fd, l->chunk, l->echo_bytes, l->spin);
        now = bench_now_ns();
        if (i == ECHO_WARMUP) {
            hist_reset(&l->echo);
            end = end_of(l);
        }
        hist_add(&l->echo, now - from);
    }
    close(fd);
    bench_server_stop(&server);
    return ok ? EXIT_OK : fail_errno(l, "echo");
}

/* Takes bytes and drops them, as fast as a consumer that only copies them from the kernel. */
static void drain(struct bench_server *server, int fd)
{
    if (recv(fd, server->ctx, CHUNK_BYTES, 0) <= 0)
        close(fd);
}

/* Sends for the time given with `send_some`, and puts MB/s. The last buffers in flight are not counted out:
 * they are few against the rest. */
static int measure_flow(struct limits *l, ssize_t (*send_some)(struct limits *l, int fd, int file), int file,
                        double *ret_mb_s)
{
    struct bench_server server;
    uint8_t *sink = malloc(CHUNK_BYTES);
    int fd = -1;
    if (!sink || bench_server_start(&server, l->server_cpu, drain, sink) != OK ||
        bench_connect(&server.address, &fd) != OK)
        return fail_errno(l, "stream server");
    uint64_t from = bench_now_ns(), end = end_of(l), now = from, bytes = 0;
    ssize_t n = 0;
    while (n >= 0 && now < end) {
        n = send_some(l, fd, file);
        bytes += n > 0 ? (uint64_t)n : 0;
        now = bench_now_ns();
    }
    *ret_mb_s = (double)bytes / 1e6 / ((double)(now - from) / 1e9);
    close(fd);
    bench_server_stop(&server);
    free(sink);
    return n >= 0 ? EXIT_OK : fail_errno(l, "stream");
}

static ssize_t send_chunk(struct limits *l, int fd, int file)
{
    return send(fd, l->chunk, CHUNK_BYTES, MSG_NOSIGNAL);
}

static ssize_t send_file(struct limits *l, int fd, int file)
{
    off_t at = 0;
    return sendfile(fd, file, &at, FILE_BYTES);
}

/* -- files -- */

/* A new file of full length without a name: nothing stays behind. */
static int scratch_file(const struct limits *l)
{
    int fd = open(l->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    for (uint32_t at = 0; at < FILE_BYTES; at += CHUNK_BYTES) {
        if (pwrite(fd, l->chunk, CHUNK_BYTES, at) != CHUNK_BYTES) {
            close(fd);
            return -1;
        }
    }
    if (fdatasync(fd) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static int measure_write(struct limits *l, int file)
{
    struct iovec iov[WRITE_PIECES];
    uint64_t from = bench_now_ns(), end = end_of(l), now = from, bytes = 0;
    for (int i = 0; i < WRITE_PIECES; i++)
        iov[i] = (struct iovec){.iov_base = l->chunk, .iov_len = WRITE_BYTES / WRITE_PIECES};
    while (now < end) {
        ssize_t n = pwritev(file, iov, WRITE_PIECES, (off_t)(bytes % FILE_BYTES));
        if (n != WRITE_BYTES)
            return fail_errno(l, "pwritev");
        bytes += WRITE_BYTES;
        now = bench_now_ns();
    }
    l->write_mb_s = (double)bytes / 1e6 / ((double)(now - from) / 1e9);
    return fdatasync(file) == 0 ? EXIT_OK : fail_errno(l, "fdatasync");
}

struct syncer {
    struct limits *l;
    pthread_t thread;
    int file;
    bool ok;
    struct hist hist;
};

/* As a log does it: a small write, then the wait for the disk. Only the sync is timed. */
static void *sync_main(void *arg)
{
    struct syncer *s = arg;
    uint64_t end = end_of(s->l), now = 0, at = 0;
    s->ok = true;
    while (s->ok && now < end) {
        s->ok = pwrite(s->file, s->l->chunk, SYNC_BYTES, (off_t)(at % FILE_BYTES)) == SYNC_BYTES;
        at += SYNC_BYTES;
        uint64_t from = bench_now_ns();
        s->ok &= fdatasync(s->file) == 0;
        now = bench_now_ns();
        hist_add(&s->hist, now - from);
    }
    return NULL;
}

static int measure_sync(struct limits *l, int files, struct hist *ret)
{
    struct syncer *syncers = calloc((size_t)files, sizeof(*syncers));
    bool ok = syncers != NULL;
    hist_reset(ret);
    for (int i = 0; ok && i < files; i++) {
        hist_reset(&syncers[i].hist);
        syncers[i].l = l;
        syncers[i].file = scratch_file(l);
        ok = syncers[i].file >= 0;
    }
    for (int i = 0; ok && i < files; i++)
        ok = pthread_create(&syncers[i].thread, NULL, sync_main, &syncers[i]) == 0;
    for (int i = 0; ok && i < files; i++) {
        pthread_join(syncers[i].thread, NULL);
        hist_merge(ret, &syncers[i].hist);
    }
    for (int i = 0; ok && i < files; i++) {
        ok &= syncers[i].ok;
        close(syncers[i].file);
    }
    free(syncers);
    return ok ? EXIT_OK : fail_errno(l, "fdatasync");
}

/* -- results -- */

static void print_json(const struct limits *l)
{
    struct json j = json_to(stdout);
    json_object(&j, NULL);
    json_i64(&j, "echo_bytes", (int64_t)l->echo_bytes);
    bench_hist_json(&j, "echo", &l->echo);
    json_f64(&j, "tcp_stream_mb_s", l->stream_mb_s, 1);
    json_f64(&j, "sendfile_mb_s", l->sendfile_mb_s, 1);
    json_f64(&j, "pwritev_mb_s", l->write_mb_s, 1);
    bench_hist_json(&j, "fdatasync", &l->sync_alone);
    bench_hist_json(&j, "fdatasync_three", &l->sync_three);
    json_object_end(&j);
    json_line(&j);
}

static void print_text(const struct limits *l)
{
    bench_hist_text("TCP echo", &l->echo);
    printf("%-22s %8.0f MB/s\n", "TCP stream", l->stream_mb_s);
    printf("%-22s %8.0f MB/s\n", "sendfile", l->sendfile_mb_s);
    printf("%-22s %8.0f MB/s\n", "pwritev, page cache", l->write_mb_s);
    bench_hist_text("fdatasync, 4 KiB", &l->sync_alone);
    bench_hist_text("  three files at once", &l->sync_three);
}

static int measure_all(struct limits *l)
{
    int file = scratch_file(l);
    if (file < 0)
        return cli_fail_words(l->cli, EXIT_LOCAL_IO, strerror(errno), "name another folder with --dir",
                              "cannot write in '%s'", l->dir);
    if (l->cpu >= 0 && !bench_pin_self(l->cpu))
        return fail_errno(l, "cannot pin");
    int code = measure_echo(l);
    if (code == EXIT_OK)
        code = measure_flow(l, send_chunk, -1, &l->stream_mb_s);
    if (code == EXIT_OK)
        code = measure_flow(l, send_file, file, &l->sendfile_mb_s);
    if (code == EXIT_OK)
        code = measure_write(l, file);
    if (code == EXIT_OK)
        code = measure_sync(l, 1, &l->sync_alone);
    if (code == EXIT_OK)
        code = measure_sync(l, SYNC_FILES, &l->sync_three);
    close(file);
    return code;
}

int cli_bench_limits(struct cli *cli, int argc, char **argv)
{
    static const struct cli_syntax syntax = {options, parse, NULL,
                                             "Measures the bare machine: what a broker on it cannot beat."};
    struct limits *l = calloc(1, sizeof(*l));
    uint8_t *chunk = calloc(1, CHUNK_BYTES);
    int code = EXIT_LOCAL_IO;
    if (l && chunk) {
        *l = (struct limits){.cli = cli,
                             .seconds = 2,
                             .dir = ".",
                             .echo_bytes = 200,
                             .cpu = -1,
                             .server_cpu = -1,
                             .chunk = chunk};
        cli_parse(cli, &syntax, argc, argv, l);
        code = measure_all(l);
        if (code == EXIT_OK && cli->output == CLI_JSON)
            print_json(l);
        else if (code == EXIT_OK)
            print_text(l);
    }
    free(chunk);
    free(l);
    return code;
}
