/* SPDX-License-Identifier: Apache-2.0 */
/* `sluice log verify`: is what lies in a data directory whole? The exit status is for scripts. */
#include <inttypes.h>
#include <string.h>

#include "client/cli/json.h"
#include "client/cli/log_check.h"
#include "client/cli/verbs.h"
#include "common/base/assert.h"

#define PLAIN_BYTES_MAX ((size_t)256 << 20) /* decompressed records of one batch */

enum { OPTION_GAPS = 0x1000, OPTION_SHALLOW };

struct verify {
    struct cli *cli;
    struct log_check check;
    bool allow_gaps;
    char **paths;
    int paths_count;
    int64_t partitions;
    struct log_totals all;
};

static const struct argp_option options[] = {
    {"allow-gaps", OPTION_GAPS, NULL, 0, "Offsets may be missing (compacted topics)", 0},
    {"shallow", OPTION_SHALLOW, NULL, 0, "Checksums and headers only, without the records", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct verify *verify = state->input;
    switch (key) {
    case OPTION_GAPS: verify->allow_gaps = true; return 0;
    case OPTION_SHALLOW: verify->check.shallow = true; return 0;
    case ARGP_KEY_ARGS:
        verify->paths = state->argv + state->next;
        verify->paths_count = state->argc - state->next;
        return 0;
    case ARGP_KEY_NO_ARGS: argp_error(state, "name a data directory or a partition directory"); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static void found_json(const struct log_finding *finding)
{
    struct json j = json_to(stdout);
    json_object(&j, NULL);
    json_z(&j, "type", finding->note ? "note" : "problem");
    json_z(&j, "file", finding->file);
    if (finding->position >= 0)
        json_i64(&j, "position", finding->position);
    if (finding->offset >= 0)
        json_i64(&j, "offset", finding->offset);
    json_z(&j, "reason", finding->reason);
    json_object_end(&j);
    json_line(&j);
}

static void found(void *ctx, const struct log_finding *finding)
{
    const struct verify *verify = ctx;
    if (verify->cli->output == CLI_JSON) {
        found_json(finding);
        return;
    }
    printf("%s %s", finding->note ? "note:   " : "PROBLEM:", finding->file);
    if (finding->position >= 0)
        printf(" position %" PRId64, finding->position);
    if (finding->offset >= 0)
        printf(" offset %" PRId64, finding->offset);
    printf(": %s\n", finding->reason);
}

static void json_totals(struct json *j, const struct log_totals *totals)
{
    json_i64(j, "segments", totals->segments);
    json_i64(j, "batches", totals->batches);
    json_i64(j, "records", totals->records);
    json_i64(j, "bytes", totals->bytes);
    json_i64(j, "problems", totals->problems);
    json_i64(j, "notes", totals->notes);
}

static void print_partition(const struct verify *verify, const char *path, const struct log_totals *totals)
{
    struct json j = json_to(stdout);
    if (verify->cli->output != CLI_JSON) {
        printf("%-8s %s: offsets %" PRId64 " to %" PRId64 ", %" PRId64 " segments, %" PRId64
               " batches, %" PRId64 " records, %" PRId64 " bytes\n",
               totals->problems ? "BAD" : "ok", path, totals->first_offset, totals->next_offset,
               totals->segments, totals->batches, totals->records, totals->bytes);
        return;
    }
    json_object(&j, NULL);
    json_z(&j, "type", "partition");
    json_z(&j, "path", path);
    json_i64(&j, "first_offset", totals->first_offset);
    json_i64(&j, "next_offset", totals->next_offset);
    json_totals(&j, totals);
    json_object_end(&j);
    json_line(&j);
}

static void print_summary(const struct verify *verify)
{
    const struct log_totals *all = &verify->all;
    struct json j = json_to(stdout);
    if (verify->cli->output != CLI_JSON) {
        if (!verify->cli->quiet)
            printf("%" PRId64 " partitions, %" PRId64 " segments, %" PRId64 " batches, %" PRId64
                   " records: %" PRId64 " problems, %" PRId64 " notes\n",
                   verify->partitions, all->segments, all->batches, all->records, all->problems, all->notes);
        return;
    }
    json_object(&j, NULL);
    json_z(&j, "type", "summary");
    json_i64(&j, "partitions", verify->partitions);
    json_totals(&j, all);
    json_object_end(&j);
    json_line(&j);
}

/* The coordinators' topics and the share state are always compacted. */
static bool is_compacted(const char *path)
{
    static const char *const topics[] = {"__consumer_offsets-", "__transaction_state-",
                                         "__share_group_state-"};
    const char *name = log_paths_name(path);
    for (size_t i = 0; i < ARRAY_LEN(topics); i++)
        if (strncmp(name, topics[i], strlen(topics[i])) == 0)
            return true;
    return false;
}

static int verify_partition(void *ctx, const char *path)
{
    struct verify *verify = ctx;
    struct log_totals totals, *all = &verify->all;
    char at[LOG_PATHS_MAX];
    verify->check.allow_gaps = verify->allow_gaps || is_compacted(path);
    enum err err = log_check_partition(&verify->check, path, &totals, at);
    verify->partitions++;
    all->segments += totals.segments;
    all->batches += totals.batches;
    all->records += totals.records;
    all->bytes += totals.bytes;
    all->problems += totals.problems;
    all->notes += totals.notes;
    if (err)
        return cli_fail_words(verify->cli, EXIT_LOCAL_IO, err_text(err), NULL, "cannot read %s", at);
    if (totals.problems || !verify->cli->quiet)
        print_partition(verify, path, &totals);
    return EXIT_OK;
}

int cli_log_verify(struct cli *cli, int argc, char **argv)
{
    struct verify verify = {.cli = cli};
    struct batch_scratch scratch;
    struct cli_syntax syntax = {
        options, parse, "PATH...",
        "Checks data directories or single partitions (<topic>-<n>) of a broker that does not "
        "run: checksums, counts, offsets, epochs, indexes, snapshots. Nothing is changed. Exit "
        "status 0: all is well; 1: problems, which are named; 6: something could not be read."};
    cli_parse(cli, &syntax, argc, argv, &verify);
    struct env *env = cli->world->env_new();
    if (!env || batch_scratch_init(&scratch, PLAIN_BYTES_MAX, 0) != OK)
        return cli_fail_words(cli, EXIT_LOCAL_IO, "out of memory", NULL, "cannot start");
    verify.check.env = env;
    verify.check.scratch = &scratch;
    verify.check.found = found;
    verify.check.ctx = &verify;
    struct log_paths paths = {cli, env, verify_partition, NULL, &verify};
    int code = EXIT_OK;
    for (int i = 0; i < verify.paths_count; i++) {
        int now = log_paths_visit(&paths, verify.paths[i]);
        code = code == EXIT_OK ? now : code;
    }
    print_summary(&verify);
    batch_scratch_free(&scratch);
    cli->world->env_free(env);
    return code == EXIT_OK && verify.all.problems > 0 ? EXIT_FAILED : code;
}
