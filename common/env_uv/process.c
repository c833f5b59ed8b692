/* SPDX-License-Identifier: Apache-2.0 */
/* The process: its main loop, the loops on threads of their own, signals. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/base/assert.h"
#include "common/env_uv/env_uv.h"
#include "common/env_uv/euv.h"

static struct euv_process *process_new(void)
{
    struct euv_process *process = calloc(1, sizeof(*process));
    if (process == NULL)
        return NULL;
    euv_pool_init(&process->sync, "disk-sync", euv_io_run);
    process->sync.take = euv_sync_take;
    process->sync.run_all = euv_sync_run;
    euv_pool_init(&process->read, "disk-read", euv_io_run);
    euv_pool_init(&process->work, "worker", euv_work_run);
    euv_pool_init(&process->resolve, "resolver", euv_resolve_run);
    pthread_mutex_init(&process->mutex, NULL);
    list_init(&process->loops);
    return process;
}

static void process_free(struct euv_process *process)
{
    euv_pool_free(&process->sync);
    euv_pool_free(&process->read);
    euv_pool_free(&process->work);
    euv_pool_free(&process->resolve);
    euv_fs_free(process);
    pthread_mutex_destroy(&process->mutex);
    free(process);
}

static struct euv_loop *loop_new(struct euv_process *process)
{
    struct euv_loop *loop = calloc(1, sizeof(*loop));
    if (loop == NULL)
        return NULL;
    if (euv_loop_init(loop, process) != OK) {
        free(loop);
        return NULL;
    }
    return loop;
}

static void process_prepare(void)
{
    struct rlimit limit;
    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

struct env *env_uv_main_new(void)
{
    process_prepare();
    struct euv_process *process = process_new();
    if (process == NULL)
        return NULL;
    struct euv_loop *loop = loop_new(process);
    if (loop == NULL) {
        process_free(process);
        return NULL;
    }
    return &loop->env;
}

void env_uv_main_run(struct env *main_env)
{
    euv_loop_run(euv_loop_of(main_env));
}

void env_uv_main_turn(struct env *main_env)
{
    uv_run(&euv_loop_of(main_env)->uv, UV_RUN_ONCE);
}

void env_uv_main_stop(struct env *main_env)
{
    env_stop(main_env);
}

static void process_join_loops(struct euv_process *process)
{
    while (!list_empty(&process->loops)) {
        struct euv_loop *loop = CONTAINER_OF(process->loops.next, struct euv_loop, link);
        list_remove(&loop->link);
        pthread_join(loop->thread, NULL);
        euv_loop_free(loop);
    }
}

void env_uv_main_free(struct env *main_env)
{
    struct euv_loop *loop = euv_loop_of(main_env);
    struct euv_process *process = loop->process;
    while (loop->inflight > 0) /* E3: accepted requests complete */
        env_uv_main_turn(main_env);
    process_join_loops(process);
    process_free(process);
    euv_loop_free(loop);
}

/* -- loops on threads -- */

static void *loop_thread(void *arg)
{
    struct euv_loop *loop = arg;
    pthread_setname_np(pthread_self(), loop->name);
    euv_loop_run(loop);
    return NULL;
}

/* The memory of an ended loop stays until the end of the process object, because others may still hold its
 * address. */
struct env *euv_spawn(struct env *parent, const char *name, struct env_msg *start_msg)
{
    struct euv_process *process = euv_loop_of(parent)->process;
    struct euv_loop *loop = loop_new(process);
    if (loop == NULL)
        return NULL;
    strncpy(loop->name, name, sizeof(loop->name) - 1);
    env_post(&loop->env, start_msg);
    if (euv_thread_start(&loop->thread, 0, loop_thread, loop) != OK) {
        atomic_store(&loop->env.mail, NULL); /* start_msg is the caller's again */
        euv_loop_free(loop);
        return NULL;
    }
    pthread_mutex_lock(&process->mutex);
    list_push_back(&process->loops, &loop->link);
    pthread_mutex_unlock(&process->mutex);
    return &loop->env;
}

/* -- signals -- */

static void process_on_signal(uv_signal_t *handle, int signo)
{
    struct euv_signal *sig = CONTAINER_OF(handle, struct euv_signal, handle);
    euv_turn_enter(handle->data);
    sig->fn(sig->ctx, signo);
}

enum err env_uv_main_on_signal(struct env *main_env, int signo, void (*fn)(void *ctx, int signo), void *ctx)
{
    struct euv_loop *loop = euv_loop_of(main_env);
    if (loop->signal_count == EUV_SIGNALS_MAX)
        return ERR_FULL;
    if (loop->signals == NULL)
        loop->signals = calloc(EUV_SIGNALS_MAX, sizeof(*loop->signals));
    if (loop->signals == NULL)
        return ERR_NOMEM;
    struct euv_signal *sig = &loop->signals[loop->signal_count];
    *sig = (struct euv_signal){.fn = fn, .ctx = ctx};
    if (uv_signal_init(&loop->uv, &sig->handle) != 0)
        return ERR_INVALID;
    sig->handle.data = loop;
    loop->signal_count++; /* the handle is libuv's until the loop ends, whether it starts or not */
    return uv_signal_start(&sig->handle, process_on_signal, signo) == 0 ? OK : ERR_INVALID;
}
