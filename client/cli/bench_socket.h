/* SPDX-License-Identifier: Apache-2.0 */
/* Bare sockets: the tightest loop there is, and the echo that it is compared with. */
#ifndef SLUICE_CLIENT_CLI_BENCH_SOCKET_H
#define SLUICE_CLIENT_CLI_BENCH_SOCKET_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/core/config.h"
#include "common/base/err.h"

/* A connected socket without delay. ERR_RESOLVE, ERR_REFUSED ... */
enum err bench_connect(const struct client_address *address, int *ret_fd);

/* Sends all, and receives exactly len. spin: never sleeps in recv. False: the connection broke. */
bool bench_send(int fd, const void *p, size_t len);
bool bench_recv(int fd, void *p, size_t len, bool spin);

/* Receives one frame (size and body) into p; *ret_len is the body's. False: broken, or larger than size. */
bool bench_recv_frame(int fd, uint8_t *p, size_t size, bool spin, size_t *ret_len);

/* A thread with a listening socket on loopback and a plain epoll loop. */
struct bench_server {
    int listener, stop_fd, epoll_fd;
    pthread_t thread;
    int cpu; /* to run on, -1: any */
    struct client_address address;
    void (*serve)(struct bench_server *server, int fd); /* bytes are there to be read on fd */
    void *ctx;
};

/* Starts one that sends back what it gets. ERR_FD_LIMIT, ... */
enum err bench_echo_start(struct bench_server *server, int cpu);

/* The same with another way to serve. */
enum err bench_server_start(struct bench_server *server, int cpu,
                            void (*serve)(struct bench_server *server, int fd), void *ctx);
void bench_server_stop(struct bench_server *server);

#endif
