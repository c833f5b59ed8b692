/* SPDX-License-Identifier: Apache-2.0 */
/* A loop and its turn: libuv's poll phase delivers I/O; the check phase right after it runs timers,
 * closed()/drained(), mail and tasks and flushes; the prepare phase right before the next poll decides
 * whether and how long to sleep.
 *
 * Who posts to a sleeping loop writes to an eventfd of ours. Not uv_async_send: before libuv 1.46 a loop that
 * was woken spins until the thread that woke it has run on, and that one had to make room for the loop. */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/env_uv/euv.h"

void euv_turn_enter(struct euv_loop *loop)
{
    if (loop->in_turn)
        return;
    loop->in_turn = true;
    atomic_store_explicit(&loop->sleeping, false, memory_order_relaxed);
    env_turn_begin(&loop->env, euv_now_us(&loop->env));
}

static bool loop_has_ready(struct euv_loop *loop)
{
    return !list_empty(&loop->pending) || !list_empty(&loop->dirty) || env_has_ready(&loop->env);
}

static void loop_on_timer(uv_timer_t *timer)
{
    struct euv_loop *loop = timer->data;
    loop->timer_armed_us = UINT64_MAX;
}

/* One uv timer stands for the whole heap. It is only moved when the first deadline got earlier; firing too
 * early costs one empty turn. */
static void loop_arm_timer(struct euv_loop *loop)
{
    uint64_t deadline_us = env_next_deadline_us(&loop->env);
    if (deadline_us >= loop->timer_armed_us)
        return;
    uint64_t due_ms = deadline_us / 1000 + 1; /* libuv's clock is the same, in whole ms: never early */
    uint64_t now_ms = uv_now(&loop->uv);
    uv_timer_start(&loop->timer, loop_on_timer, due_ms > now_ms ? due_ms - now_ms : 0, 0);
    loop->timer_armed_us = deadline_us;
}

static void loop_on_idle(uv_idle_t *idle)
{
    (void)idle;
}

static void loop_on_prepare(uv_prepare_t *prepare)
{
    struct euv_loop *loop = prepare->data;
    loop_arm_timer(loop);
    euv_io_flush(loop); /* what was asked for outside a turn */
    /* Announce the sleep, then look once more: a poster sees either the announcement or an unread box (both
     * sequentially consistent). */
    atomic_store(&loop->sleeping, true);
    if (loop_has_ready(loop)) {
        atomic_store_explicit(&loop->sleeping, false, memory_order_relaxed);
        uv_idle_start(&loop->idle, loop_on_idle);
    }
}

static void loop_on_check(uv_check_t *check)
{
    struct euv_loop *loop = check->data;
    euv_turn_enter(loop);
    uv_idle_stop(&loop->idle);
    env_run_timers(&loop->env);
    euv_conns_run_pending(loop);
    env_run_mail(&loop->env);
    env_run_tasks(&loop->env);
    euv_io_flush(loop);
    euv_conns_flush(loop);
    loop->in_turn = false;
    /* E3: what was accepted completes before the loop ends. */
    if (loop->stopping && loop->inflight == 0 && !loop_has_ready(loop))
        uv_stop(&loop->uv);
}

static void loop_on_wake(uv_poll_t *poll, int status, int events)
{
    struct euv_sock *wake = poll->data;
    eventfd_t times;
    (void)status;
    (void)events;
    eventfd_read(wake->loop->wake_fd, &times);
    euv_turn_enter(wake->loop); /* the mail itself is read by the turn */
}

static void loop_wake(struct env *env)
{
    struct euv_loop *loop = euv_loop_of(env);
    if (atomic_exchange(&loop->sleeping, false))
        eventfd_write(loop->wake_fd, 1); /* cannot fail: the counter is far from its end */
}

static void loop_stop(struct env *env)
{
    struct euv_loop *loop = euv_loop_of(env);
    loop->stopping = true;
    uv_idle_start(&loop->idle, loop_on_idle); /* a call from outside a turn must not be slept over */
}

static const struct env_ops loop_ops = {
    .now_us = euv_now_us,
    .wall_ms = euv_wall_ms,
    .random = euv_random,
    .wake = loop_wake,
    .work_submit = euv_work_submit,
    .spawn = euv_spawn,
    .stop = loop_stop,
    .cpu_count = euv_cpu_count,
    .files_max = euv_files_max,
    .boot_id = euv_boot_id,
    .net = &euv_net_ops,
    .disk = &euv_disk_ops,
};

static void loop_init_handles(struct euv_loop *loop)
{
    uv_prepare_init(&loop->uv, &loop->prepare);
    uv_check_init(&loop->uv, &loop->check);
    uv_idle_init(&loop->uv, &loop->idle);
    uv_timer_init(&loop->uv, &loop->timer);
    loop->prepare.data = loop->check.data = loop->idle.data = loop->timer.data = loop;
    uv_prepare_start(&loop->prepare, loop_on_prepare);
    uv_check_start(&loop->check, loop_on_check);
}

static void loop_close_wake(struct euv_sock *wake)
{
    uv_close((uv_handle_t *)&wake->poll, NULL);
}

/* 0 or a negative errno. */
static int loop_open_wake(struct euv_loop *loop)
{
    struct euv_sock *wake = &loop->wake;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return -errno;
    wake->loop = loop;
    wake->destroy = loop_close_wake;
    wake->poll.data = wake;
    int rc = uv_poll_init(&loop->uv, &wake->poll, fd);
    if (rc != 0) {
        close(fd);
        return rc;
    }
    loop->wake_fd = fd;
    rc = uv_poll_start(&wake->poll, UV_READABLE, loop_on_wake);
    ASSERT(rc == 0); /* it fails for handles that are closing */
    return 0;
}

/* Nothing else is open in it. */
static void loop_uv_close(struct euv_loop *loop)
{
    int rc = uv_loop_close(&loop->uv);
    ASSERT(rc == 0);
}

enum err euv_loop_init(struct euv_loop *loop, struct euv_process *process)
{
    uint64_t seed;
    euv_random(NULL, &seed, sizeof(seed));
    loop->process = process;
    loop->timer_armed_us = UINT64_MAX;
    atomic_init(&loop->sleeping, false);
    list_init(&loop->syncs);
    list_init(&loop->dirty);
    list_init(&loop->pending);
    list_init(&loop->link);
    if (!env_base_init(&loop->env, &loop_ops, seed, EUV_POOL_KEEP_BYTES))
        return ERR_NOMEM;
    int rc = uv_loop_init(&loop->uv);
    if (rc == 0 && (rc = loop_open_wake(loop)) != 0)
        loop_uv_close(loop);
    if (rc != 0) {
        env_base_free(&loop->env);
        return err_from_errno(-rc);
    }
    loop_init_handles(loop);
    return OK;
}

/* Sockets tear themselves down; what else is left belongs to the loop. */
static void loop_close_handle(uv_handle_t *handle, void *arg)
{
    if (uv_is_closing(handle))
        return;
    if (handle->type == UV_POLL) {
        struct euv_sock *sock = handle->data;
        sock->destroy(sock);
    } else {
        uv_close(handle, NULL);
    }
}

void euv_loop_free(struct euv_loop *loop)
{
    euv_conns_forget_ended(loop);
    uv_walk(&loop->uv, loop_close_handle, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    close(loop->wake_fd); /* libuv has let go of it */
    loop_uv_close(loop);
    euv_out_free_all(loop);
    env_base_free(&loop->env);
    free(loop->signals);
    free(loop);
}

void euv_loop_run(struct euv_loop *loop)
{
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}
