/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/bench_target.h"

#include <dirent.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/base/prng.h"
#include "common/batch/builder.h"
#include "proto/kafka/api.h"
#include "proto/kafka/error.h"

#define PRODUCE_VERSION      9 /* the first flexible one: every broker since Kafka 2.4 */
#define REQUEST_BYTES_MAX    (100u * 1024 * 1024)
#define LEADER_TRIES         500
#define LEADER_WAIT_US       10000
#define LIST_OFFSETS_VERSION 5
#define TIMEOUT_MS           30000

/* -- the topic -- */

bool bench_topic_option(int key, char *arg, const struct argp_state *state, struct bench_topic *topic)
{
    switch (key) {
    case BENCH_OPTION_TOPIC: topic->name = arg; return true;
    case BENCH_OPTION_CONFIG: settings_add(&topic->configs, state, "config", arg, true); return true;
    case 'p':
        topic->partitions = (int32_t)cli_number(state, "partitions", arg, 1, BENCH_PARTITIONS_MAX);
        return true;
    case 'r':
        topic->replication_factor = (int16_t)cli_number(state, "replication-factor", arg, 1, INT16_MAX);
        return true;
    default: return false;
    }
}

static int on_created(void *ctx, const struct client_reply *reply)
{
    const struct kafka_create_topics_response *response = reply->message;
    const struct cli *cli = ((struct session *)ctx)->cli;
    int16_t error = response->topics_count == 1 ? response->topics[0].error_code : KAFKA_UNKNOWN_SERVER_ERROR;
    if (error == KAFKA_NONE || error == KAFKA_TOPIC_ALREADY_EXISTS)
        return EXIT_OK;
    return cli_fail(cli, (struct client_failure){ERR_REJECTED, error}, NULL, "cannot create the topic");
}

static int create_topic(struct session *s, const struct bench_topic *topic)
{
    struct kafka_create_topics_request request;
    struct kafka_create_topics_request_topic one;
    struct kafka_create_topics_request_config configs[SETTINGS_MAX];
    struct session_call call = {.api_key = KAFKA_API_CREATE_TOPICS,
                                .message = &request,
                                .repeatable = true,
                                .what = "cannot create the topic",
                                .on_reply = on_created,
                                .ctx = s};
    kafka_create_topics_request_init(&request);
    kafka_create_topics_request_topic_init(&one);
    one.name = str_from(topic->name);
    one.num_partitions = topic->partitions;
    one.replication_factor = topic->replication_factor;
    for (int32_t i = 0; i < topic->configs.count; i++)
        configs[i] = (struct kafka_create_topics_request_config){.name = topic->configs.items[i].name,
                                                                 .value = topic->configs.items[i].value};
    one.configs = configs;
    one.configs_count = topic->configs.count;
    request.topics = &one;
    request.topics_count = 1;
    request.timeout_ms = TIMEOUT_MS;
    return session_call(s, &call);
}

static const struct kafka_metadata_response_broker *broker_of(const struct kafka_metadata_response *response,
                                                              int32_t id)
{
    for (int32_t i = 0; i < response->brokers_count; i++)
        if (response->brokers[i].node_id == id)
            return &response->brokers[i];
    return NULL;
}

static void take_leader(struct bench_topic *topic, const struct kafka_metadata_response *response,
                        const struct kafka_metadata_response_partition *in)
{
    const struct kafka_metadata_response_broker *broker = broker_of(response, in->leader_id);
    if (!broker || in->partition_index < 0 || in->partition_index >= BENCH_PARTITIONS_MAX)
        return;
    topic->leaders[in->partition_index].node = in->leader_id;
    str_copy(broker->host, topic->leaders[in->partition_index].address.host, CLIENT_HOST_MAX);
    topic->leaders[in->partition_index].address.port = (uint16_t)broker->port;
    topic->count++;
}

static int on_leaders(void *ctx, const struct client_reply *reply)
{
    struct bench_topic *topic = ctx;
    const struct kafka_metadata_response *response = reply->message;
    topic->count = 0;
    if (response->topics_count != 1 || response->topics[0].partitions_count == 0)
        return EXIT_OK;
    for (int32_t i = 0; i < response->topics[0].partitions_count; i++)
        take_leader(topic, response, &response->topics[0].partitions[i]);
    if (topic->count < response->topics[0].partitions_count)
        topic->count = 0;
    return EXIT_OK;
}

static int no_leader(const struct session *s, const struct bench_topic *topic)
{
    return cli_fail(s->cli, (struct client_failure){ERR_REJECTED, KAFKA_LEADER_NOT_AVAILABLE}, NULL,
                    "topic '%s'", topic->name);
}

static int find_leaders(struct session *s, struct bench_topic *topic)
{
    struct kafka_metadata_request request;
    struct kafka_metadata_request_topic one;
    struct session_call call = {.api_key = KAFKA_API_METADATA,
                                .message = &request,
                                .repeatable = true,
                                .what = "cannot find the leaders",
                                .on_reply = on_leaders,
                                .ctx = topic};
    kafka_metadata_request_init(&request);
    kafka_metadata_request_topic_init(&one);
    one.name = str_from(topic->name);
    request.topics = &one;
    request.topics_count = 1;
    for (int i = 0; i < LEADER_TRIES; i++) {
        int code = session_call(s, &call);
        if (code != EXIT_OK || topic->count > 0)
            return code;
        usleep(10000);
    }
    return cli_fail(s->cli, (struct client_failure){ERR_REJECTED, KAFKA_LEADER_NOT_AVAILABLE}, NULL,
                    "topic '%s'", topic->name);
}

/* -- a leader that is named may not have heard of it yet -- */

struct question {
    const struct cli *cli;
    bool ready;
};

static int on_end_offset(void *ctx, const struct client_reply *reply)
{
    struct question *question = ctx;
    const struct kafka_list_offsets_response *response = reply->message;
    question->ready = response->topics_count == 1 && response->topics[0].partitions_count == 1 &&
                      response->topics[0].partitions[0].error_code == KAFKA_NONE;
    return EXIT_OK;
}

static int ask_leader(struct session *s, const struct bench_topic *topic, int32_t index, bool *ret_ready)
{
    struct kafka_list_offsets_request request;
    struct kafka_list_offsets_request_topic one;
    struct kafka_list_offsets_request_partition partition;
    struct question question = {.cli = s->cli};
    struct session_call call = {.api_key = KAFKA_API_LIST_OFFSETS,
                                .version_max = LIST_OFFSETS_VERSION,
                                .message = &request,
                                .repeatable = true,
                                .to_node = true,
                                .node = topic->leaders[index].node,
                                .what = "a leader does not answer",
                                .on_reply = on_end_offset,
                                .ctx = &question};
    kafka_list_offsets_request_init(&request);
    kafka_list_offsets_request_topic_init(&one);
    kafka_list_offsets_request_partition_init(&partition);
    partition.partition_index = index;
    partition.timestamp = -1; /* latest */
    one.name = str_from(topic->name);
    one.partitions = &partition;
    one.partitions_count = 1;
    request.replica_id = -1;
    request.topics = &one;
    request.topics_count = 1;
    int code = session_call(s, &call);
    *ret_ready = question.ready;
    return code;
}

static int wait_for_leaders(struct session *s, const struct bench_topic *topic)
{
    int code = EXIT_OK;
    for (int32_t i = 0; i < topic->count; i++) {
        bool ready = false;
        for (int tries = 0; tries < LEADER_TRIES && code == EXIT_OK && !ready; tries++) {
            code = ask_leader(s, topic, i, &ready);
            if (!ready)
                usleep(LEADER_WAIT_US);
        }
        if (code != EXIT_OK || !ready)
            return code != EXIT_OK ? code : no_leader(s, topic);
    }
    return EXIT_OK;
}

int bench_topic_open(struct cli *cli, struct bench_topic *topic)
{
    struct session s = {0};
    int code = session_open_plain(&s, cli);
    if (code == EXIT_OK)
        code = create_topic(&s, topic);
    if (code == EXIT_OK)
        code = find_leaders(&s, topic);
    if (code == EXIT_OK)
        code = wait_for_leaders(&s, topic);
    session_close(&s);
    return code;
}

/* -- requests -- */

static struct iobuf *make_batch(const struct bench_batch *in)
{
    struct batch_opts opts = BATCH_OPTS_PLAIN;
    struct batch_builder builder;
    struct iobuf *batch = NULL;
    uint8_t *value = malloc(in->value_bytes + 8);
    struct compress_ctx *codecs = compress_ctx_new();
    struct prng prng;
    struct timespec now;
    prng_seed(&prng, (uint64_t)in->partition);
    clock_gettime(CLOCK_REALTIME, &now);
    opts.codec = in->codec;
    if (value && codecs && batch_builder_init(&builder, &opts, NULL, 4096, REQUEST_BYTES_MAX) == OK) {
        struct record_in record = {.timestamp_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000,
                                   .key = BYTES_NULL,
                                   .value = {value, (int32_t)in->value_bytes}};
        int err = OK;
        for (int32_t i = 0; i < in->records && err == OK; i++) {
            for (uint32_t k = 0; k < in->value_bytes; k += 8)
                store_be64(value + k, prng_next(&prng));
            err = batch_builder_add(&builder, &record);
        }
        if (err != OK || batch_builder_finish(&builder, codecs, &batch) != OK) {
            batch = NULL;
            batch_builder_free(&builder);
        }
    }
    compress_ctx_free(codecs);
    free(value);
    return batch;
}

struct iobuf *bench_produce_request(const struct bench_batch *in)
{
    struct kafka_produce_request request;
    struct kafka_produce_request_topic topic;
    struct kafka_produce_request_partition partition;
    struct kafka_request_header header = {
        .api_key = KAFKA_API_PRODUCE, .api_version = PRODUCE_VERSION, .client_id = STR_LIT("sluice-bench")};
    struct iobuf *batch = make_batch(in), *frame = NULL;
    struct writer w;
    if (!batch)
        return NULL;
    kafka_produce_request_init(&request);
    kafka_produce_request_topic_init(&topic);
    kafka_produce_request_partition_init(&partition);
    partition.index = in->partition;
    partition.records = (struct kafka_records){.p = batch->data, .len = (int32_t)batch->len};
    topic.name = str_from(in->topic);
    topic.partitions = &partition;
    topic.partitions_count = 1;
    request.acks = in->acks;
    request.timeout_ms = TIMEOUT_MS;
    request.topics = &topic;
    request.topics_count = 1;
    writer_init(&w, NULL, batch->len + 512, REQUEST_BYTES_MAX);
    writer_i32(&w, 0);
    kafka_request_header_encode(&w, kafka_request_header_version(KAFKA_API_PRODUCE, PRODUCE_VERSION),
                                &header);
    kafka_produce_request_encode(&w, PRODUCE_VERSION, &request);
    if (w.err == OK) {
        writer_patch_i32(&w, 0, (int32_t)(writer_pos(&w) - 4));
        frame = writer_take(&w);
    }
    writer_free(&w);
    iobuf_unref(batch);
    return frame;
}

int16_t bench_produce_error(const uint8_t *p, size_t len)
{
    uint8_t memory[4096];
    struct arena arena;
    struct reader r = reader_over(p, len);
    struct kafka_response_header header;
    struct kafka_produce_response response;
    int16_t error = -1;
    arena_init(&arena, memory, sizeof(memory), 64 * 1024);
    kafka_response_header_decode(&r, kafka_response_header_version(KAFKA_API_PRODUCE, PRODUCE_VERSION),
                                 &header);
    if (kafka_produce_response_decode(&r, &arena, PRODUCE_VERSION, &response) == OK &&
        response.topics_count == 1 && response.topics[0].partitions_count == 1)
        error = response.topics[0].partitions[0].error_code;
    arena_free(&arena);
    return error;
}

/* -- the machine -- */

uint64_t bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void bench_pids_parse(struct bench_pids *pids, const struct argp_state *state, char *arg)
{
    char *save = NULL;
    for (char *one = strtok_r(arg, ",", &save); one; one = strtok_r(NULL, ",", &save)) {
        if (pids->count == BENCH_PIDS_MAX)
            argp_error(state, "more than %d processes", BENCH_PIDS_MAX);
        pids->pids[pids->count++] = (int32_t)cli_number(state, "server-pid", one, 1, INT32_MAX);
    }
}

/* utime and stime: the 14th and 15th word; the second one, in parentheses, may hold blanks. */
static double process_cpu_s(int32_t pid)
{
    char path[64], text[1024];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    size_t len = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[len] = '\0';
    const char *rest = strrchr(text, ')');
    if (!rest ||
        sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
        return 0;
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

struct bench_cpu bench_cpu_now(const struct bench_pids *pids)
{
    struct rusage usage;
    struct bench_cpu cpu = {0};
    getrusage(RUSAGE_SELF, &usage);
    cpu.self_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    for (int32_t i = 0; i < pids->count; i++)
        cpu.others_s += process_cpu_s(pids->pids[i]);
    return cpu;
}

static bool pin(pid_t tid, int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return sched_setaffinity(tid, sizeof(set), &set) == 0;
}

bool bench_pin_self(int cpu)
{
    return pin(0, cpu);
}

bool bench_pin_process(int32_t pid, int cpu)
{
    char path[64];
    bool all = true;
    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    DIR *dir = opendir(path);
    if (!dir)
        return false;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.')
            all &= pin((pid_t)atoi(entry->d_name), cpu);
    closedir(dir);
    return all;
}

/* -- printing -- */

static double us(uint64_t ns)
{
    return (double)ns / 1000;
}

void bench_hist_json(struct json *j, const char *key, const struct hist *hist)
{
    json_object(j, key);
    json_i64(j, "count", (int64_t)hist->count);
    json_f64(j, "mean_us", hist->count ? us(hist->sum) / (double)hist->count : 0, 2);
    json_f64(j, "min_us", hist->count ? us(hist->min) : 0, 2);
    json_f64(j, "p50_us", us(hist_quantile(hist, 0.5)), 2);
    json_f64(j, "p90_us", us(hist_quantile(hist, 0.9)), 2);
    json_f64(j, "p99_us", us(hist_quantile(hist, 0.99)), 2);
    json_f64(j, "p999_us", us(hist_quantile(hist, 0.999)), 2);
    json_f64(j, "max_us", us(hist->max), 2);
    json_object_end(j);
}

void bench_hist_text(const char *label, const struct hist *hist)
{
    printf("%-22s p50 %8.1f  p90 %8.1f  p99 %8.1f  p99.9 %8.1f  max %9.1f us  (%llu)\n", label,
           us(hist_quantile(hist, 0.5)), us(hist_quantile(hist, 0.9)), us(hist_quantile(hist, 0.99)),
           us(hist_quantile(hist, 0.999)), us(hist->max), (unsigned long long)hist->count);
}
