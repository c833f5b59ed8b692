/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/assert.h"
#include "common/env/env_ops.h"

bool env_base_init(struct env *env, const struct env_ops *ops, uint64_t seed, size_t pool_keep_bytes)
{
    env->ops = ops;
    env->pool = iobuf_pool_new(pool_keep_bytes);
    if (env->pool == NULL)
        return false;
    heap_init(&env->timers);
    list_init(&env->deferred);
    atomic_init(&env->mail, NULL);
    prng_seed(&env->prng, seed);
    env->turn_us = 0;
    return true;
}

void env_base_free(struct env *env)
{
    heap_free(&env->timers);
    iobuf_pool_drop(env->pool);
    env->pool = NULL;
}

/* -- timers -- */

void env_timer_init(struct env_timer *timer, void (*fn)(struct env_timer *timer))
{
    ASSERT(fn != NULL);
    *timer = (struct env_timer){.fn = fn};
}

void env_timer_set(struct env *env, struct env_timer *timer, uint64_t deadline_us)
{
    ASSERT(timer->fn != NULL);
    heap_remove(&env->timers, &timer->node);
    /* Never in the present turn, so that a timer that re-arms itself in the past cannot hold the loop. */
    bool inserted = heap_insert(&env->timers, &timer->node, MAX(deadline_us, env->turn_us + 1));
    ASSERT(inserted);
}

void env_timer_cancel(struct env *env, struct env_timer *timer)
{
    heap_remove(&env->timers, &timer->node);
}

bool env_timer_armed(const struct env_timer *timer)
{
    return timer->node.slot != 0;
}

void env_turn_begin(struct env *env, uint64_t now_us)
{
    ASSERT(now_us >= env->turn_us);
    env->turn_us = now_us;
}

void env_run_timers(struct env *env)
{
    for (;;) {
        struct heap_node *min = heap_min(&env->timers);
        if (min == NULL || min->key > env->turn_us)
            return;
        struct env_timer *timer = CONTAINER_OF(min, struct env_timer, node);
        heap_remove(&env->timers, min);
        timer->fn(timer);
    }
}

uint64_t env_next_deadline_us(const struct env *env)
{
    const struct heap_node *min = heap_min(&env->timers);
    return min != NULL ? min->key : UINT64_MAX;
}

/* -- tasks -- */

void env_task_init(struct env_task *task, void (*fn)(struct env_task *task))
{
    ASSERT(fn != NULL);
    task->fn = fn;
    list_init(&task->link);
}

void env_defer(struct env *env, struct env_task *task)
{
    if (list_empty(&task->link))
        list_push_back(&env->deferred, &task->link);
}

void env_task_cancel(struct env_task *task)
{
    list_remove(&task->link);
}

void env_run_tasks(struct env *env)
{
    while (!list_empty(&env->deferred)) {
        struct env_task *task = CONTAINER_OF(env->deferred.next, struct env_task, link);
        list_remove(&task->link);
        task->fn(task);
    }
}

/* -- mail: a lock-free stack, newest first; who pushes on an empty stack wakes the loop -- */

void env_post(struct env *to, struct env_msg *msg)
{
    ASSERT(msg->fn != NULL);
    const struct env_ops *ops = to->ops; /* once the message is in, its receiver may end */
    struct env_msg *head = atomic_load_explicit(&to->mail, memory_order_relaxed);
    do {
        msg->next = head;
    } while (!atomic_compare_exchange_weak(&to->mail, &head, msg));
    if (head == NULL)
        ops->wake(to);
}

static struct env_msg *mail_take_oldest_first(struct env *env)
{
    struct env_msg *newest = atomic_exchange(&env->mail, NULL);
    struct env_msg *oldest = NULL;
    while (newest != NULL) {
        struct env_msg *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

void env_run_mail(struct env *env)
{
    if (atomic_load_explicit(&env->mail, memory_order_relaxed) == NULL)
        return;
    struct env_msg *msg = mail_take_oldest_first(env);
    while (msg != NULL) {
        struct env_msg *next = msg->next; /* fn may free msg */
        msg->next = NULL;
        msg->fn(msg);
        msg = next;
    }
}

bool env_has_ready(struct env *env)
{
    return !list_empty(&env->deferred) || atomic_load(&env->mail) != NULL ||
           env_next_deadline_us(env) <= env->turn_us + 1;
}
