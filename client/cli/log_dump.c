/* SPDX-License-Identifier: Apache-2.0 */
/* `sluice log dump`: what stands in the files of a partition, as Kafka's kafka-dump-log prints it. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/json.h"
#include "client/cli/log_paths.h"
#include "client/cli/verbs.h"
#include "common/base/assert.h"
#include "common/batch/record.h"
#include "common/logformat/epoch_text.h"
#include "common/logformat/file_name.h"
#include "common/logformat/index_entry.h"
#include "common/logformat/meta_text.h"
#include "common/logformat/snapshot_format.h"
#include "common/logwalk/file_load.h"
#include "common/logwalk/walk.h"
#include "common/obs/text.h"

#define SMALL_FILE_MAX  (512u << 20)
#define PLAIN_BYTES_MAX ((size_t)256 << 20) /* decompressed records of one batch */
#define RATIO_MAX       0

enum { OPTION_DATA = 0x1000, OPTION_DEEP };

struct dump {
    struct cli *cli;
    struct env *env;
    bool deep, data; /* records; with their contents */
    char **paths;
    int paths_count;
    struct batch_scratch scratch;
    const char *path; /* of the file being dumped */
    int code;         /* the worst so far */
};

static const struct argp_option options[] = {
    {"deep-iteration", OPTION_DEEP, NULL, 0, "Also each record: offset, time, sizes", 0},
    {"print-data-log", OPTION_DATA, NULL, 0, "The same with key, value and headers", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct dump *dump = state->input;
    switch (key) {
    case OPTION_DEEP: dump->deep = true; return 0;
    case OPTION_DATA: dump->deep = dump->data = true; return 0;
    case ARGP_KEY_ARGS:
        dump->paths = state->argv + state->next;
        dump->paths_count = state->argc - state->next;
        return 0;
    case ARGP_KEY_NO_ARGS: argp_error(state, "name a file or directory"); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static bool in_json(const struct dump *dump)
{
    return dump->cli->output == CLI_JSON;
}

/* A problem in the file; dumping goes on where it can. position -1: of the file as a whole. */
static void problem(struct dump *dump, int64_t position, const char *reason)
{
    struct json j = json_to(stdout);
    dump->code = EXIT_FAILED;
    if (!in_json(dump)) {
        if (position >= 0)
            printf("PROBLEM position: %" PRId64 " %s\n", position, reason);
        else
            printf("PROBLEM %s\n", reason);
        return;
    }
    json_object(&j, NULL);
    json_z(&j, "type", "problem");
    json_z(&j, "file", dump->path);
    if (position >= 0)
        json_i64(&j, "position", position);
    json_z(&j, "reason", reason);
    json_object_end(&j);
    json_line(&j);
}

/* One line of named numbers, in the words of kafka-dump-log (text) or as one object. */
struct field {
    const char *text, *json;
    int64_t value;
};

static void print_fields(struct dump *dump, const char *type, const struct field *fields, size_t count)
{
    struct json j = json_to(stdout);
    if (in_json(dump)) {
        json_object(&j, NULL);
        json_z(&j, "type", type);
        json_z(&j, "file", dump->path);
    }
    for (size_t i = 0; i < count; i++) {
        if (in_json(dump))
            json_i64(&j, fields[i].json, fields[i].value);
        else
            printf("%s%s: %" PRId64, i ? " " : "", fields[i].text, fields[i].value);
    }
    if (in_json(dump)) {
        json_object_end(&j);
        json_line(&j);
    } else {
        putchar('\n');
    }
}

/* -- .log -- */

static const char *codec_text(const struct batch_header *b)
{
    enum codec codec = (enum codec)(b->attributes & BATCH_CODEC_MASK);
    return codec < CODEC_COUNT ? codec_name(codec) : "unknown";
}

static void print_batch_text(const struct batch_header *b, uint32_t position)
{
    bool append_time = b->attributes & BATCH_APPEND_TIME;
    printf("baseOffset: %" PRId64 " lastOffset: %" PRId64 " count: %" PRId32 " baseSequence: %" PRId32
           " lastSequence: %" PRId32 " producerId: %" PRId64
           " producerEpoch: %d partitionLeaderEpoch: %" PRId32 " isTransactional: %s isControl: %s",
           b->base_offset, b->last_offset, b->record_count, b->base_sequence, b->last_sequence,
           b->producer_id, b->producer_epoch, b->leader_epoch,
           b->attributes & BATCH_TRANSACTIONAL ? "true" : "false",
           b->attributes & BATCH_CONTROL ? "true" : "false");
    if (b->attributes & BATCH_DELETE_HORIZON)
        printf(" deleteHorizonMs: %" PRId64, b->base_timestamp);
    printf(" position: %" PRIu32 " %s: %" PRId64 " size: %zu magic: 2 compresscodec: %s crc: %" PRIu32
           " isvalid: true\n",
           position, append_time ? "LogAppendTime" : "CreateTime", b->max_timestamp, b->size_bytes,
           codec_text(b), b->crc);
}

static void json_batch(struct json *j, const struct batch_header *b, uint32_t position)
{
    json_i64(j, "base_offset", b->base_offset);
    json_i64(j, "last_offset", b->last_offset);
    json_i64(j, "count", b->record_count);
    json_i64(j, "base_sequence", b->base_sequence);
    json_i64(j, "last_sequence", b->last_sequence);
    json_i64(j, "producer_id", b->producer_id);
    json_i64(j, "producer_epoch", b->producer_epoch);
    json_i64(j, "leader_epoch", b->leader_epoch);
    json_bool(j, "transactional", b->attributes & BATCH_TRANSACTIONAL);
    json_bool(j, "control", b->attributes & BATCH_CONTROL);
    json_i64(j, "position", position);
    json_i64(j, "size_bytes", (int64_t)b->size_bytes);
    json_z(j, "codec", codec_text(b));
    json_z(j, "timestamp_type", b->attributes & BATCH_APPEND_TIME ? "LogAppendTime" : "CreateTime");
    json_i64(j, "base_timestamp", b->base_timestamp);
    json_i64(j, "max_timestamp", b->max_timestamp);
    json_i64(j, "crc", b->crc);
}

/* Text as it is; controls, backslashes and what is no UTF-8 as \\xHH: records must not steer a terminal. */
static void print_bytes(struct bytes b)
{
    for (int32_t at = 0; at < b.len;) {
        unsigned n = utf8_next(b.p + at, (size_t)(b.len - at), NULL);
        bool plain = n > 1 || (n == 1 && b.p[at] >= ' ' && b.p[at] != 0x7f && b.p[at] != '\\');
        if (plain)
            fwrite(b.p + at, 1, n, stdout);
        else
            printf("\\x%02x", b.p[at]);
        at += plain ? (int32_t)n : 1;
    }
}

static void print_content(const char *name, struct bytes b)
{
    if (b.len < 0)
        return;
    fputs(name, stdout);
    print_bytes(b);
}

static void print_record_text(const struct batch_header *b, const struct record *rec, bool data)
{
    struct record_header header;
    const char *comma = "";
    printf("| offset: %" PRId64 " %s: %" PRId64 " keySize: %" PRId32 " valueSize: %" PRId32
           " sequence: %" PRId32 " headerKeys: [",
           rec->offset, b->attributes & BATCH_APPEND_TIME ? "LogAppendTime" : "CreateTime", rec->timestamp,
           rec->key.len, rec->value.len,
           b->base_sequence < 0 ? -1 : batch_sequence_add(b->base_sequence, rec->offset_delta));
    for (struct header_iter it = record_headers(rec); header_iter_next(&it, &header); comma = ",") {
        fputs(comma, stdout);
        print_bytes((struct bytes){(const uint8_t *)header.key.p, header.key.len});
    }
    putchar(']');
    print_content(" key: ", data ? rec->key : BYTES_NULL);
    print_content(" payload: ", data ? rec->value : BYTES_NULL);
    putchar('\n');
}

static void json_record(struct json *j, const struct record *rec, bool data)
{
    struct record_header header;
    json_object(j, NULL);
    json_i64(j, "offset", rec->offset);
    json_i64(j, "timestamp", rec->timestamp);
    json_i64(j, "key_size", rec->key.len);
    json_i64(j, "value_size", rec->value.len);
    if (!data) {
        json_object_end(j);
        return;
    }
    json_bytes(j, "key", rec->key);
    json_bytes(j, "value", rec->value);
    json_array(j, "headers");
    for (struct header_iter it = record_headers(rec); header_iter_next(&it, &header);) {
        json_object(j, NULL);
        json_str(j, "key", header.key);
        json_bytes(j, "value", header.value);
        json_object_end(j);
    }
    json_array_end(j);
    json_object_end(j);
}

static void print_records(struct dump *dump, const struct batch_header *b, const uint8_t *bytes,
                          uint32_t position, struct json *j)
{
    struct batch_iter it;
    struct record rec;
    int err = batch_iter_init(&it, bytes, &dump->scratch);
    if (j)
        json_array(j, "records");
    while (err == OK && batch_iter_next(&it, &rec)) {
        if (j)
            json_record(j, &rec, dump->data);
        else
            print_record_text(b, &rec, dump->data);
    }
    if (j) {
        json_array_end(j);
        json_object_end(j);
        json_line(j);
    }
    if (err || it.r.err)
        problem(dump, position, err ? "records cannot be decompressed" : "records are malformed");
}

static void dump_batch(struct dump *dump, const struct batch_header *b, const uint8_t *bytes,
                       uint32_t position)
{
    struct json j = json_to(stdout);
    if (!in_json(dump)) {
        print_batch_text(b, position);
        if (dump->deep)
            print_records(dump, b, bytes, position, NULL);
        return;
    }
    json_object(&j, NULL);
    json_z(&j, "type", "batch");
    json_z(&j, "file", dump->path);
    json_batch(&j, b, position);
    if (dump->deep) {
        print_records(dump, b, bytes, position, &j);
        return;
    }
    json_object_end(&j);
    json_line(&j);
}

static enum err dump_batches(struct dump *dump, struct plog_walk *walk)
{
    struct batch_header b;
    const uint8_t *bytes;
    int64_t after = -1;
    for (;;) {
        uint32_t position = walk->position;
        enum err err = plog_walk_next(walk, &b, &bytes);
        if (err == OK) {
            dump_batch(dump, &b, bytes, position);
            after = b.last_offset;
            continue;
        }
        if (err != ERR_CORRUPT && err != ERR_TRUNCATED)
            return err;
        bool found;
        problem(dump, position, err == ERR_CORRUPT ? "bad batch" : "batch is cut");
        walk->position = position;
        err = plog_walk_search(walk, after, INT64_MAX, &found, &position);
        if (err || !found)
            return err ? err : ERR_NOT_FOUND;
    }
}

static enum err dump_log(struct dump *dump, int64_t base_offset)
{
    struct env_file *file;
    struct plog_walk walk = {0};
    uint64_t size;
    enum err err = env_file_open(dump->env, dump->path, ENV_OPEN_READ, &file);
    if (err)
        return err;
    err = env_file_size(file, &size);
    if (err == OK && size > UINT32_MAX)
        err = ERR_TOO_LARGE;
    if (err == OK)
        err = plog_walk_start(&walk, file, base_offset, 0, (uint32_t)size, true);
    if (err == OK)
        err = dump_batches(dump, &walk);
    plog_walk_end(&walk);
    env_file_close(file);
    return err == ERR_NOT_FOUND ? OK : err;
}

/* -- the files beside it -- */

static void dump_index(struct dump *dump, int64_t base, const uint8_t *p, uint32_t len)
{
    struct offset_entry last = {0, 0};
    for (uint32_t at = 0; at + OFFSET_ENTRY <= len; at += OFFSET_ENTRY) {
        struct offset_entry e = offset_entry_load(p + at);
        if (at > 0 && e.delta == 0 && e.position == 0)
            return; /* room that Kafka took in advance */
        struct field fields[] = {{"offset", "offset", base + e.delta}, {"position", "position", e.position}};
        print_fields(dump, "offset_entry", fields, ARRAY_LEN(fields));
        if (at > 0 && (e.delta <= last.delta || e.position <= last.position))
            problem(dump, at, "index entries do not rise");
        last = e;
    }
    if (len % OFFSET_ENTRY)
        problem(dump, len - len % OFFSET_ENTRY, "size is not a multiple of an entry's");
}

static void dump_timeindex(struct dump *dump, int64_t base, const uint8_t *p, uint32_t len)
{
    struct time_entry last = {0, 0};
    for (uint32_t at = 0; at + TIME_ENTRY <= len; at += TIME_ENTRY) {
        struct time_entry e = time_entry_load(p + at);
        if (e.timestamp == 0 && e.delta == 0)
            return;
        struct field fields[] = {{"timestamp", "timestamp", e.timestamp},
                                 {"offset", "offset", base + e.delta}};
        print_fields(dump, "time_entry", fields, ARRAY_LEN(fields));
        if (at > 0 && (e.timestamp <= last.timestamp || e.delta < last.delta))
            problem(dump, at, "time index entries do not rise");
        last = e;
    }
    if (len % TIME_ENTRY)
        problem(dump, len - len % TIME_ENTRY, "size is not a multiple of an entry's");
}

static void dump_txnindex(struct dump *dump, int64_t base, const uint8_t *p, uint32_t len)
{
    struct txn_entry e;
    for (uint32_t at = 0; at + TXN_ENTRY <= len; at += TXN_ENTRY) {
        if (!txn_entry_load(p + at, &e)) {
            problem(dump, at, "entry with a bad checksum, or of an unknown version");
            continue;
        }
        struct field fields[] = {{"producerId", "producer_id", e.producer_id},
                                 {"firstOffset", "first_offset", e.first_offset},
                                 {"lastOffset", "last_offset", e.last_offset},
                                 {"lastStableOffset", "last_stable_offset", e.last_stable_offset}};
        print_fields(dump, "aborted_transaction", fields, ARRAY_LEN(fields));
    }
    if (len % TXN_ENTRY)
        problem(dump, len - len % TXN_ENTRY, "size is not a multiple of an entry's");
}

static void dump_snapshot(struct dump *dump, int64_t base, const uint8_t *p, uint32_t len)
{
    struct reader r;
    struct snapshot_entry e;
    int32_t count;
    enum err err = snapshot_open(p, len, &r, &count);
    if (err) {
        problem(dump, -1, err == ERR_VERSION ? "unknown version" : "checksum or count is wrong");
        return;
    }
    for (int32_t i = 0; i < count; i++) {
        if (snapshot_entry_get(&r, &e) != OK) {
            problem(dump, SNAPSHOT_HEAD_BYTES + (int64_t)i * SNAPSHOT_ENTRY_BYTES, "malformed entry");
            return;
        }
        struct field fields[] = {{"producerId", "producer_id", e.producer_id},
                                 {"producerEpoch", "producer_epoch", e.producer_epoch},
                                 {"coordinatorEpoch", "coordinator_epoch", e.coordinator_epoch},
                                 {"currentTxnFirstOffset", "txn_first_offset", e.txn_first_offset},
                                 {"lastTimestamp", "timestamp", e.timestamp_ms},
                                 {"lastSequence", "last_sequence", e.last_sequence},
                                 {"lastOffset", "last_offset", e.last_offset},
                                 {"offsetDelta", "offset_delta", e.offset_delta}};
        print_fields(dump, "producer", fields, ARRAY_LEN(fields));
    }
}

static void dump_epochs(struct dump *dump, int64_t base, const uint8_t *p, uint32_t len)
{
    struct epoch_text it;
    enum err err = epoch_text_open((const char *)p, len, &it);
    while (err == OK && (err = epoch_text_next(&it)) == OK) {
        struct field fields[] = {{"epoch", "epoch", it.epoch},
                                 {"startOffset", "start_offset", it.start_offset}};
        print_fields(dump, "leader_epoch", fields, ARRAY_LEN(fields));
    }
    if (err != ERR_NOT_FOUND)
        problem(dump, err == ERR_VERSION ? 0 : it.p - (const char *)p, "not a leader epoch checkpoint");
}

static void dump_meta(struct dump *dump, int64_t base, const uint8_t *p, uint32_t len)
{
    struct json j = json_to(stdout);
    struct uuid id;
    char text[UUID_TEXT_MAX];
    if (meta_text_parse((const char *)p, len, &id) != OK) {
        problem(dump, -1, "not a partition.metadata");
        return;
    }
    uuid_format(id, text);
    if (!in_json(dump)) {
        printf("topicId: %s\n", text);
        return;
    }
    json_object(&j, NULL);
    json_z(&j, "type", "partition_metadata");
    json_z(&j, "file", dump->path);
    json_z(&j, "topic_id", text);
    json_object_end(&j);
    json_line(&j);
}

/* -- which file is what -- */

static const struct {
    const char *suffix; /* behind an offset, or a whole name */
    void (*print)(struct dump *dump, int64_t base, const uint8_t *p, uint32_t len);
} kinds[] = {
    {LOG_SUFFIX_INDEX, dump_index},       {LOG_SUFFIX_TIMEINDEX, dump_timeindex},
    {LOG_SUFFIX_TXNINDEX, dump_txnindex}, {LOG_SUFFIX_SNAPSHOT, dump_snapshot},
    {EPOCH_TEXT_NAME, dump_epochs},       {META_TEXT_NAME, dump_meta},
};

static enum err dump_small(struct dump *dump, const char *name)
{
    uint8_t *p;
    uint32_t len;
    int64_t base = 0;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (strcmp(name, kinds[i].suffix) != 0 && !log_file_name_parse(name, kinds[i].suffix, &base))
            continue;
        enum err err = log_file_load(dump->env, dump->path, SMALL_FILE_MAX, &p, &len);
        if (err)
            return err;
        kinds[i].print(dump, base, p, len);
        free(p);
        return OK;
    }
    return ERR_UNSUPPORTED;
}

static int dump_file(void *ctx, const char *path)
{
    struct dump *dump = ctx;
    const char *name = log_paths_name(path);
    int64_t base;
    dump->path = path;
    if (!in_json(dump))
        printf("Dumping %s\n", path);
    enum err err =
        log_file_name_parse(name, LOG_SUFFIX_LOG, &base) ? dump_log(dump, base) : dump_small(dump, name);
    if (err == ERR_UNSUPPORTED)
        return cli_fail_words(
            dump->cli, EXIT_USAGE, "not a file of a partition directory",
            "name a .log, .index, .timeindex, .txnindex, .snapshot or leader-epoch-checkpoint", "%s", path);
    if (err)
        return cli_fail_words(dump->cli, EXIT_LOCAL_IO, err_text(err), NULL, "cannot read %s", path);
    return EXIT_OK;
}

static int dump_partition(void *ctx, const char *path)
{
    struct dump *dump = ctx;
    struct log_names list;
    int code = EXIT_OK;
    enum err err = log_names_list(dump->env, path, false, log_paths_known, &list);
    if (err)
        return cli_fail_words(dump->cli, EXIT_LOCAL_IO, err_text(err), NULL, "cannot read %s", path);
    for (size_t i = 0; i < list.count; i++) {
        char below[LOG_PATHS_MAX];
        if (!log_paths_join(below, path, list.names[i]))
            continue;
        int now = dump_file(dump, below);
        code = code == EXIT_OK ? now : code;
    }
    log_names_free(&list);
    return code;
}

int cli_log_dump(struct cli *cli, int argc, char **argv)
{
    struct dump dump = {.cli = cli, .code = EXIT_OK};
    struct cli_syntax syntax = {
        options, parse, "PATH...",
        "Prints what stands in the files of partition directories: segments, indexes, producer "
        "snapshots, leader epochs. PATH is a data directory, <topic>-<n>, or one file."};
    cli_parse(cli, &syntax, argc, argv, &dump);
    dump.env = cli->world->env_new();
    if (!dump.env || batch_scratch_init(&dump.scratch, PLAIN_BYTES_MAX, RATIO_MAX) != OK)
        return cli_fail_words(cli, EXIT_LOCAL_IO, "out of memory", NULL, "cannot start");
    struct log_paths paths = {cli, dump.env, dump_partition, dump_file, &dump};
    for (int i = 0; i < dump.paths_count; i++) {
        int now = log_paths_visit(&paths, dump.paths[i]);
        dump.code = now == EXIT_OK ? dump.code : now;
    }
    batch_scratch_free(&dump.scratch);
    cli->world->env_free(dump.env);
    return dump.code;
}
