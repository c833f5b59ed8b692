/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel closes the descriptors of a killed process one after the other: its connections may be gone
 * while its listener still takes new ones into a queue that nobody will read. So a connection that is made
 * proves nothing until it has lasted; one that ends is tried again. */
#include "controller/probes.h"

#include <stdlib.h>

#include "common/base/assert.h"

struct probe {
    struct probes *owner; /* NULL: answered or dropped; freed when the connection is gone */
    struct list link;
    struct env_addr addr;
    struct env_conn *conn; /* NULL between two attempts */
    struct env_timer deadline, retry;
    uint64_t token;
    uint8_t buf[16]; /* a broker says nothing before it is asked; what comes is not looked at */
};

static void probe_leave(struct probe *probe)
{
    list_remove(&probe->link);
    env_timer_cancel(probe->owner->env, &probe->deadline);
    env_timer_cancel(probe->owner->env, &probe->retry);
    probe->owner = NULL;
    if (probe->conn != NULL)
        env_conn_close(probe->conn);
    else
        free(probe);
}

static void probe_answer(struct probe *probe, bool refused)
{
    struct probes *owner = probe->owner;
    uint64_t token = probe->token;
    probe_leave(probe);
    owner->fn(owner->ctx, token, refused);
}

static void probe_alloc(void *ctx, void **ret_buf, size_t *ret_len)
{
    struct probe *probe = ctx;
    *ret_buf = probe->buf;
    *ret_len = sizeof(probe->buf);
}

static void probe_read(void *ctx, size_t len)
{
}

static void probe_closed(void *ctx, enum err why)
{
    struct probe *probe = ctx;
    struct probes *owner = probe->owner;
    probe->conn = NULL;
    if (owner == NULL)
        free(probe);
    else if (why == ERR_REFUSED)
        probe_answer(probe, true);
    else
        env_timer_set(owner->env, &probe->retry, env_now_us(owner->env) + PROBE_RETRY_US);
}

static const struct env_conn_handler probe_handler = {
    .alloc = probe_alloc, .read = probe_read, .closed = probe_closed};

static void probe_connect(struct probe *probe)
{
    probe->conn = env_connect(probe->owner->env, &probe->addr, &probe_handler, probe);
}

static void retry_fired(struct env_timer *timer)
{
    probe_connect(CONTAINER_OF(timer, struct probe, retry));
}

static void deadline_fired(struct env_timer *timer)
{
    probe_answer(CONTAINER_OF(timer, struct probe, deadline), false);
}

void probes_init(struct probes *probes, struct env *env, probe_fn *fn, void *ctx)
{
    *probes = (struct probes){.env = env, .fn = fn, .ctx = ctx};
    list_init(&probes->list);
}

void probes_ask(struct probes *probes, const struct env_addr *addr, uint64_t token)
{
    struct probe *probe = calloc(1, sizeof(*probe));
    if (probe == NULL)
        return;
    probe->owner = probes;
    probe->addr = *addr;
    probe->token = token;
    list_push_back(&probes->list, &probe->link);
    env_timer_init(&probe->deadline, deadline_fired);
    env_timer_init(&probe->retry, retry_fired);
    env_timer_set(probes->env, &probe->deadline, env_now_us(probes->env) + PROBE_TIMEOUT_US);
    probe_connect(probe);
}

void probes_cancel(struct probes *probes)
{
    while (!list_empty(&probes->list))
        probe_leave(CONTAINER_OF(probes->list.next, struct probe, link));
}
