/* SPDX-License-Identifier: Apache-2.0 */
/* Ports for processes that must know each other's before they listen. */
#ifndef SLUICE_TESTS_LIB_FREE_PORTS_H
#define SLUICE_TESTS_LIB_FREE_PORTS_H

#include <arpa/inet.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/assert.h"

#define FREE_PORTS_MAX 16

/* Fills ports with count different ones of loopback that the kernel has just had free. Somebody else may take
 * one before it is listened on. */
static inline void free_ports(uint16_t *ports, int count)
{
    int fds[FREE_PORTS_MAX];
    ASSERT(count <= FREE_PORTS_MAX);
    for (int i = 0; i < count; i++) {
        struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof(addr);
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
        ASSERT(bind(fds[i], (struct sockaddr *)&addr, sizeof(addr)) == 0);
        ASSERT(getsockname(fds[i], (struct sockaddr *)&addr, &len) == 0);
        ports[i] = ntohs(addr.sin_port);
    }
    for (int i = 0; i < count; i++)
        close(fds[i]);
}

#endif
