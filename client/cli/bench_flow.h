/* SPDX-License-Identifier: Apache-2.0 */
/* Many connections on one thread, each with several requests in flight: the loop under `bench produce` and
 * `bench consume`. */
#ifndef SLUICE_CLIENT_CLI_BENCH_FLOW_H
#define SLUICE_CLIENT_CLI_BENCH_FLOW_H

#include "client/cli/bench_target.h"

#define FLOW_LINKS_MAX     256
#define FLOW_IN_FLIGHT_MAX 64

struct flow;

/* One connection. */
struct flow_link {
    int fd;
    int32_t partition;
    struct iobuf *request; /* sent again and again; the owner may change it while none is in flight */
    size_t sent;           /* of the request that is on its way out */
    bool sending;
    uint32_t correlation;
    uint32_t in_flight, first; /* ring of the times they were sent */
    uint64_t sent_ns[FLOW_IN_FLIGHT_MAX];
    uint8_t *reply;
    size_t have, reply_size;
    bool want_out;    /* epoll watches for room */
    int64_t position; /* the owner's */
};

struct flow {
    struct cli *cli;
    struct flow_link *links;
    int32_t links_count;
    uint32_t in_flight; /* at most, of each link */
    size_t reply_bytes_max;
    bool answered; /* false: acks 0 */
    uint64_t end_ns;
    /* A whole reply (without its size) came: an enum cli_exit, and what it brought is added to the counts. */
    int (*on_reply)(struct flow *flow, struct flow_link *link, const uint8_t *p, size_t len);
    /* With acks 0: a request went out. */
    void (*on_sent)(struct flow *flow, struct flow_link *link);
    void *ctx;
    uint64_t records, bytes, requests;
    struct hist times; /* from the first byte of a request to the last of its answer */
    double seconds;
    int epoll_fd;
};

/* Connects `count` links; link i goes to the leader of partition i % partitions. Requests are the caller's.
 */
int flow_open(struct flow *flow, struct cli *cli, const struct bench_topic *topic, int32_t count);

/* Until end_ns; then waits for what is in flight. Counts only what was answered by then. */
int flow_run(struct flow *flow, double seconds);
void flow_close(struct flow *flow);

/* The common results as JSON members or lines. cpu: used during the run. */
void flow_json(const struct flow *flow, struct json *j, const struct bench_cpu *cpu);
void flow_text(const struct flow *flow, const char *verb, const struct bench_cpu *cpu);

#endif
