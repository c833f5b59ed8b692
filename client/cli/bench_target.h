/* SPDX-License-Identifier: Apache-2.0 */
/* What all measurements share: the topic, who leads its partitions, prepared requests, the machine. */
#ifndef SLUICE_CLIENT_CLI_BENCH_TARGET_H
#define SLUICE_CLIENT_CLI_BENCH_TARGET_H

#include "client/cli/json.h"
#include "client/cli/session.h"
#include "client/cli/settings.h"
#include "common/base/hist.h"

#define BENCH_PARTITIONS_MAX 256
#define BENCH_PIDS_MAX       16

/* A topic, made when it is missing. */
struct bench_topic {
    const char *name;
    int32_t partitions;
    int16_t replication_factor;
    struct settings configs; /* of a topic that is made */
    int32_t count;           /* of leaders */
    struct {
        int32_t node;
        struct client_address address;
    } leaders[BENCH_PARTITIONS_MAX]; /* by partition */
};

/* The options of the topic, to stand first in a verb's table; true when `key` was one of them. */
enum { BENCH_OPTION_TOPIC = 0x2000, BENCH_OPTION_CONFIG };
#define BENCH_TOPIC_OPTIONS                                                                                  \
    {"topic", BENCH_OPTION_TOPIC, "NAME", 0, "Made when it is missing (default sluice-bench-...)", 0},       \
        {"partitions", 'p', "N", 0, "Of a topic that is made", 0},                                           \
        {"replication-factor", 'r', "N", 0, "Of a topic that is made (default: the cluster's)", 0},          \
    {                                                                                                        \
        "config", BENCH_OPTION_CONFIG, "NAME=VALUE", 0, "Of a topic that is made; may be repeated", 0        \
    }
bool bench_topic_option(int key, char *arg, const struct argp_state *state, struct bench_topic *topic);

/* Makes the topic unless it exists, and waits until each partition has a leader. An enum cli_exit. */
int bench_topic_open(struct cli *cli, struct bench_topic *topic);

/* A whole Produce request (with its size in front) with one batch of `records` records of value_bytes random
 * bytes each, for one partition. NULL: out of memory or too large. */
struct bench_batch {
    const char *topic;
    int32_t partition;
    int16_t acks;
    int32_t records;
    uint32_t value_bytes;
    enum codec codec;
};
struct iobuf *bench_produce_request(const struct bench_batch *batch);

/* Where the correlation id of a request stands. */
#define BENCH_CORRELATION_AT 8

/* The error code in a Produce reply (without its size) for one partition; -1 when it cannot be read. */
int16_t bench_produce_error(const uint8_t *p, size_t len);

/* Processor time used so far by this process, and by others. */
struct bench_cpu {
    double self_s, others_s;
};
struct bench_pids {
    int32_t pids[BENCH_PIDS_MAX];
    int32_t count;
};
void bench_pids_parse(struct bench_pids *pids, const struct argp_state *state, char *arg);
struct bench_cpu bench_cpu_now(const struct bench_pids *pids);

/* Runs the calling thread, or all threads of another process, on one CPU only. False: not allowed. */
bool bench_pin_self(int cpu);
bool bench_pin_process(int32_t pid, int cpu);

/* Monotonic nanoseconds. */
uint64_t bench_now_ns(void);

/* Count, quantiles and extremes in microseconds, of a histogram of nanoseconds. */
void bench_hist_json(struct json *j, const char *key, const struct hist *hist);
void bench_hist_text(const char *label, const struct hist *hist);

#endif
