/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes to and from the kernel. */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/env_uv/euv.h"

#define DISCARD_TRIES_MAX 16
#define DISCARD_BYTES     (64u << 10)

static ssize_t negative_errno(ssize_t n)
{
    return n >= 0 ? n : -(ssize_t)errno;
}

ssize_t euv_transport_recv(struct euv_conn *conn, void *buf, size_t len)
{
    ssize_t n;
    do {
        n = recv(conn->fd, buf, len, 0);
    } while (n < 0 && errno == EINTR);
    return negative_errno(n);
}

ssize_t euv_transport_send(struct euv_conn *conn, struct iovec *iov, int iov_count, bool more)
{
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)iov_count};
    ssize_t n;
    do {
        n = sendmsg(conn->fd, &msg, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
    } while (n < 0 && errno == EINTR);
    return negative_errno(n);
}

ssize_t euv_transport_send_file(struct euv_conn *conn, struct env_file *file, uint64_t offset, size_t len)
{
    off_t at = (off_t)offset;
    ssize_t n;
    if (euv_file_revoked(file))
        return 0; /* what was promised is not there any more */
    do {
        n = sendfile(conn->fd, euv_file_fd(file), &at, len);
    } while (n < 0 && errno == EINTR);
    return negative_errno(n);
}

/* Closing with unread input makes the kernel reset the connection, and a reset can overtake what we sent. So:
 * end our side, throw away what is there. */
void euv_transport_close(struct euv_conn *conn)
{
    shutdown(conn->fd, SHUT_WR);
    for (int i = 0; i < DISCARD_TRIES_MAX; i++)
        if (recv(conn->fd, NULL, DISCARD_BYTES, MSG_TRUNC | MSG_DONTWAIT) <= 0)
            break;
    close(conn->fd);
    conn->fd = -1;
}

void euv_socket_options(int fd)
{
    int on = 1, idle_s = 30, interval_s = 10, probes = 3;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

void euv_sockaddr_format(const struct sockaddr_storage *sa, struct env_addr *ret_addr)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)sa;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)sa;
    ret_addr->host[0] = '\0';
    ret_addr->port = 0;
    if (sa->ss_family == AF_INET) {
        inet_ntop(AF_INET, &v4->sin_addr, ret_addr->host, sizeof(ret_addr->host));
        ret_addr->port = ntohs(v4->sin_port);
    } else if (sa->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
        inet_ntop(AF_INET, v6->sin6_addr.s6_addr + 12, ret_addr->host, sizeof(ret_addr->host));
        ret_addr->port = ntohs(v6->sin6_port);
    } else if (sa->ss_family == AF_INET6) {
        inet_ntop(AF_INET6, &v6->sin6_addr, ret_addr->host, sizeof(ret_addr->host));
        ret_addr->port = ntohs(v6->sin6_port);
    }
}
