/* SPDX-License-Identifier: Apache-2.0 */
/* Helper threads: a queue with a mutex and a condition, threads started when a request finds none idle. */
#include <signal.h>

#include "common/base/assert.h"
#include "common/env_uv/euv.h"

#define POOL_STACK_BYTES (1u << 20)

void euv_pool_init(struct euv_pool *pool, const char *name, void (*run)(struct list *node))
{
    pool->name = name;
    pool->run = run;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->cond, NULL);
    list_init(&pool->queue);
}

enum err euv_thread_start(pthread_t *thread, size_t stack_bytes, void *(*fn)(void *), void *arg)
{
    sigset_t all, before;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    if (stack_bytes > 0)
        pthread_attr_setstacksize(&attr, stack_bytes);
    sigfillset(&all); /* signals belong to the main thread */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(thread, &attr, fn, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return err_from_errno(rc);
}

/* The mutex is held, and the queue is not empty. */
static void pool_work(struct euv_pool *pool)
{
    struct list batch;
    list_init(&batch);
    if (pool->take) {
        pool->take(pool, &batch);
    } else {
        struct list *node = pool->queue.next;
        list_remove(node);
        list_push_back(&batch, node);
    }
    if (pool->take && pool->idle > 0 && !list_empty(&pool->queue))
        pthread_cond_signal(&pool->cond);
    pthread_mutex_unlock(&pool->mutex);
    if (pool->run_all) {
        pool->run_all(pool, &batch);
    } else {
        struct list *node = batch.next;
        list_remove(node);
        pool->run(node);
    }
    pthread_mutex_lock(&pool->mutex);
}

static void *pool_thread(void *arg)
{
    struct euv_pool *pool = arg;
    pthread_setname_np(pthread_self(), pool->name);
    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        if (!list_empty(&pool->queue)) {
            pool_work(pool);
        } else if (pool->stopping) {
            break;
        } else {
            pool->idle++;
            pthread_cond_wait(&pool->cond, &pool->mutex);
            pool->idle--;
        }
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

/* Called with the mutex held. False when not one thread can be had. */
static bool pool_grow(struct euv_pool *pool)
{
    if (pool->idle == 0 && pool->started < EUV_POOL_THREADS &&
        euv_thread_start(&pool->threads[pool->started], POOL_STACK_BYTES, pool_thread, pool) == OK)
        pool->started++;
    return pool->started > 0;
}

void euv_pool_submit_all(struct euv_pool *pool, struct list *nodes)
{
    pthread_mutex_lock(&pool->mutex);
    ASSERT(!pool->stopping);
    bool called = false; /* a thread that may take all leaves the rest to another one, or nothing */
    while (!list_empty(nodes) && pool_grow(pool)) {
        struct list *node = nodes->next;
        list_remove(node);
        list_push_back(&pool->queue, node);
        if (!called)
            pthread_cond_signal(&pool->cond);
        called = pool->take != NULL;
    }
    pthread_mutex_unlock(&pool->mutex);
    while (!list_empty(nodes)) { /* no thread can be had */
        struct list *node = nodes->next;
        list_remove(node);
        pool->run(node);
    }
}

void euv_pool_submit(struct euv_pool *pool, struct list *node)
{
    struct list one;
    list_init(&one);
    list_push_back(&one, node);
    euv_pool_submit_all(pool, &one);
}

void euv_pool_free(struct euv_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->cond);
    pthread_mutex_unlock(&pool->mutex);
    for (unsigned i = 0; i < pool->started; i++)
        pthread_join(pool->threads[i], NULL);
    ASSERT(list_empty(&pool->queue));
    pthread_cond_destroy(&pool->cond);
    pthread_mutex_destroy(&pool->mutex);
}
