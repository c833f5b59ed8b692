/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/bench_flow.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/cli/bench_socket.h"
#include "common/base/assert.h"
#include "common/base/wire.h"

#define REPLY_FIRST_BYTES 65536
#define EVENTS_MAX        64
#define LAST_WAIT_NS      5000000000u /* for what is in flight at the end */

static int broken(const struct flow *flow)
{
    return cli_fail(flow->cli, (struct client_failure){.err = ERR_CLOSED}, NULL, "a connection broke");
}

/* -- life -- */

static int open_link(struct flow *flow, const struct bench_topic *topic, int32_t i)
{
    struct flow_link *link = &flow->links[i];
    link->partition = i % topic->count;
    const struct client_address *address = &topic->leaders[link->partition].address;
    link->reply = malloc(REPLY_FIRST_BYTES);
    link->reply_size = REPLY_FIRST_BYTES;
    enum err err = bench_connect(address, &link->fd);
    if (err != OK || !link->reply)
        return cli_fail(flow->cli, (struct client_failure){.err = err}, NULL, "cannot connect to %s:%u",
                        address->host, (unsigned)address->port);
    fcntl(link->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
    return epoll_ctl(flow->epoll_fd, EPOLL_CTL_ADD, link->fd, &event) == 0 ? EXIT_OK : broken(flow);
}

int flow_open(struct flow *flow, struct cli *cli, const struct bench_topic *topic, int32_t count)
{
    flow->cli = cli;
    flow->links = calloc((size_t)count, sizeof(*flow->links));
    flow->links_count = flow->links ? count : 0;
    flow->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    hist_reset(&flow->times);
    for (int32_t i = 0; i < flow->links_count; i++)
        flow->links[i].fd = -1;
    for (int32_t i = 0; i < flow->links_count; i++) {
        int code = open_link(flow, topic, i);
        if (code != EXIT_OK)
            return code;
    }
    return EXIT_OK;
}

void flow_close(struct flow *flow)
{
    for (int32_t i = 0; i < flow->links_count; i++) {
        if (flow->links[i].fd >= 0)
            close(flow->links[i].fd);
        iobuf_unref(flow->links[i].request);
        free(flow->links[i].reply);
    }
    free(flow->links);
    if (flow->epoll_fd >= 0)
        close(flow->epoll_fd);
}

/* -- sending -- */

static void watch_room(struct flow *flow, struct flow_link *link, bool want)
{
    struct epoll_event event = {.events = EPOLLIN | (want ? EPOLLOUT : 0u),
                                .data.u32 = (uint32_t)(link - flow->links)};
    if (want == link->want_out)
        return;
    link->want_out = want;
    epoll_ctl(flow->epoll_fd, EPOLL_CTL_MOD, link->fd, &event);
}

static void start_request(struct flow *flow, struct flow_link *link)
{
    store_be32(link->request->data + BENCH_CORRELATION_AT, link->correlation++);
    link->sending = true;
    link->sent = 0;
    if (!flow->answered)
        return;
    link->sent_ns[(link->first + link->in_flight) % FLOW_IN_FLIGHT_MAX] = bench_now_ns();
    link->in_flight++;
}

/* As much as the socket takes and the window allows. */
static int send_some(struct flow *flow, struct flow_link *link, uint64_t now_ns)
{
    while (link->sending ||
           ((!flow->answered || link->in_flight < flow->in_flight) && now_ns < flow->end_ns)) {
        if (!link->sending)
            start_request(flow, link);
        ssize_t n =
            send(link->fd, link->request->data + link->sent, link->request->len - link->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            watch_room(flow, link, true);
            return EXIT_OK;
        }
        if (n < 0)
            return broken(flow);
        link->sent += (size_t)n;
        if (link->sent < link->request->len)
            continue;
        link->sending = false;
        if (!flow->answered) {
            flow->on_sent(flow, link);
            now_ns = bench_now_ns();
        }
    }
    watch_room(flow, link, false);
    return EXIT_OK;
}

/* -- receiving -- */

static bool make_room(struct flow *flow, struct flow_link *link)
{
    size_t need = link->have >= 4 ? 4 + (size_t)load_be32(link->reply) : 4;
    if (need > flow->reply_bytes_max)
        return false;
    if (need <= link->reply_size && link->have < link->reply_size)
        return true;
    size_t size = MAX(need, link->reply_size * 2);
    uint8_t *reply = realloc(link->reply, size);
    if (!reply)
        return false;
    link->reply = reply;
    link->reply_size = size;
    return true;
}

static int take_replies(struct flow *flow, struct flow_link *link)
{
    size_t at = 0;
    int code = EXIT_OK;
    while (code == EXIT_OK && link->have - at >= 4 && link->have - at - 4 >= load_be32(link->reply + at)) {
        size_t len = load_be32(link->reply + at);
        if (link->in_flight == 0)
            return broken(flow);
        hist_add(&flow->times, bench_now_ns() - link->sent_ns[link->first]);
        link->first = (link->first + 1) % FLOW_IN_FLIGHT_MAX;
        link->in_flight--;
        flow->requests++;
        code = flow->on_reply(flow, link, link->reply + at + 4, len);
        at += 4 + len;
    }
    memmove(link->reply, link->reply + at, link->have - at);
    link->have -= at;
    return code;
}

static int receive(struct flow *flow, struct flow_link *link)
{
    if (!make_room(flow, link))
        return broken(flow);
    ssize_t n = recv(link->fd, link->reply + link->have, link->reply_size - link->have, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return EXIT_OK;
    if (n <= 0)
        return broken(flow);
    link->have += (size_t)n;
    return take_replies(flow, link);
}

/* -- the loop -- */

static bool anything_left(const struct flow *flow)
{
    for (int32_t i = 0; i < flow->links_count; i++)
        if (flow->links[i].in_flight > 0 || flow->links[i].sending)
            return true;
    return false;
}

static int turn(struct flow *flow)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(flow->epoll_fd, events, EVENTS_MAX, 100), code = EXIT_OK;
    for (int i = 0; i < count && code == EXIT_OK; i++) {
        struct flow_link *link = &flow->links[events[i].data.u32];
        if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            code = receive(flow, link);
        if (code == EXIT_OK)
            code = send_some(flow, link, bench_now_ns());
    }
    return code;
}

int flow_run(struct flow *flow, double seconds)
{
    uint64_t from = bench_now_ns(), now = from;
    int code = EXIT_OK;
    flow->end_ns = from + (uint64_t)(seconds * 1e9);
    for (int32_t i = 0; i < flow->links_count && code == EXIT_OK; i++)
        code = send_some(flow, &flow->links[i], from);
    while (code == EXIT_OK && (now < flow->end_ns || anything_left(flow)) &&
           now < flow->end_ns + LAST_WAIT_NS) {
        code = turn(flow);
        now = bench_now_ns();
    }
    flow->seconds = (double)(now - from) / 1e9;
    return code;
}

/* -- results -- */

void flow_json(const struct flow *flow, struct json *j, const struct bench_cpu *cpu)
{
    json_i64(j, "connections", flow->links_count);
    json_i64(j, "in_flight", flow->in_flight);
    json_f64(j, "seconds", flow->seconds, 3);
    json_i64(j, "records", (int64_t)flow->records);
    json_i64(j, "bytes", (int64_t)flow->bytes);
    json_i64(j, "requests", (int64_t)flow->requests);
    json_f64(j, "records_per_second", (double)flow->records / flow->seconds, 0);
    json_f64(j, "mb_per_second", (double)flow->bytes / 1e6 / flow->seconds, 1);
    json_f64(j, "cpu_seconds", cpu->self_s, 3);
    json_f64(j, "server_cpu_seconds", cpu->others_s, 3);
    json_f64(j, "server_cpu_seconds_per_gb", flow->bytes ? cpu->others_s / ((double)flow->bytes / 1e9) : 0,
             3);
    bench_hist_json(j, "round_trip", &flow->times);
}

void flow_text(const struct flow *flow, const char *verb, const struct bench_cpu *cpu)
{
    printf("%s %.0f records/s, %.1f MB/s: %llu records in %.2f s over %d connections, %u in flight on each\n",
           verb, (double)flow->records / flow->seconds, (double)flow->bytes / 1e6 / flow->seconds,
           (unsigned long long)flow->records, flow->seconds, flow->links_count, flow->in_flight);
    printf("%-22s here %.2f s, servers %.2f s (%.2f s per GB)\n", "CPU", cpu->self_s, cpu->others_s,
           flow->bytes ? cpu->others_s / ((double)flow->bytes / 1e9) : 0);
    bench_hist_text("request round trip", &flow->times);
}
