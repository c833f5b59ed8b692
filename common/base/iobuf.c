/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/iobuf.h"

#include <stdbool.h>
#include <stdlib.h>

#include "common/base/assert.h"

#if defined(__SANITIZE_ADDRESS__)
#define POISONING 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISONING 1
#endif
#endif

#ifdef POISONING
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

#define CLASS_SHIFT_MIN 8
#define CLASS_SHIFT_MAX 21
#define CLASS_COUNT     (CLASS_SHIFT_MAX - CLASS_SHIFT_MIN + 1)
#define CLASS_NONE      CLASS_COUNT /* larger than every class: never kept */

/* Added to `alive` while the owner holds the pool, so that returns cannot bring it to zero before the drop.
 */
#define ALIVE_BIAS ((int64_t)1 << 48)

STATIC_ASSERT(sizeof(struct iobuf) % 16 == 0, "data must be 16-byte aligned behind malloc's alignment");

struct iobuf_pool {
    /* The owner's side. The counters are atomic only so that others may read them. */
    struct iobuf *free[CLASS_COUNT];
    size_t keep_bytes_max, kept_bytes;
    int64_t out_count; /* handed out minus returned by the owner itself */
    _Atomic size_t out_bytes;
    _Atomic uint64_t mallocs;

    /* Foreign side: buffers returned by other threads wait on a stack that the owner empties with one
     * exchange. */
    _Atomic(const void *)
        owner; /* identity of the thread that calls iobuf_get(); NULL: none yet, or dropped */
    _Atomic(struct iobuf *) returned;
    _Atomic size_t returned_bytes; /* on that stack now */
    _Atomic size_t foreign_bytes;  /* returned by others since the start */
    _Atomic int64_t alive;         /* ALIVE_BIAS - foreign returns; after the drop: buffers still out */
};

/* The address of a thread-local is a cheap identity of the running thread. */
static const void *this_thread(void)
{
    static _Thread_local char marker;
    return &marker;
}

static uint32_t class_for(size_t size)
{
    if (size <= (size_t)1 << CLASS_SHIFT_MIN)
        return 0;
    uint32_t shift = 64 - (uint32_t)__builtin_clzll((uint64_t)size - 1);
    return shift > CLASS_SHIFT_MAX ? CLASS_NONE : shift - CLASS_SHIFT_MIN;
}

struct iobuf_pool *iobuf_pool_new(size_t keep_bytes_max)
{
    struct iobuf_pool *pool = calloc(1, sizeof(*pool));
    if (!pool)
        return NULL;
    pool->keep_bytes_max = keep_bytes_max;
    atomic_init(&pool->alive, ALIVE_BIAS);
    return pool;
}

static void release_memory(struct iobuf *buf)
{
    UNPOISON(buf->data, buf->cap);
    free(buf);
}

static void release_chain(struct iobuf *buf)
{
    while (buf) {
        struct iobuf *next = buf->next;
        release_memory(buf);
        buf = next;
    }
}

static void keep_or_release(struct iobuf_pool *pool, struct iobuf *buf)
{
    if (buf->class_index == CLASS_NONE || pool->kept_bytes + buf->cap > pool->keep_bytes_max) {
        release_memory(buf);
        return;
    }
    POISON(buf->data, buf->cap);
    buf->next = pool->free[buf->class_index];
    pool->free[buf->class_index] = buf;
    pool->kept_bytes += buf->cap;
}

static struct iobuf *take_returned(struct iobuf_pool *pool)
{
    if (atomic_load_explicit(&pool->returned, memory_order_relaxed) == NULL)
        return NULL;
    return atomic_exchange_explicit(&pool->returned, NULL, memory_order_acquire);
}

static void collect_returned(struct iobuf_pool *pool)
{
    struct iobuf *buf = take_returned(pool);
    while (buf) {
        struct iobuf *next = buf->next;
        atomic_fetch_sub_explicit(&pool->returned_bytes, buf->cap, memory_order_relaxed);
        keep_or_release(pool, buf);
        buf = next;
    }
}

/* The last one out: nobody else can reach the pool any more. */
static void destroy(struct iobuf_pool *pool)
{
    release_chain(atomic_exchange_explicit(&pool->returned, NULL, memory_order_acquire));
    free(pool);
}

void iobuf_pool_drop(struct iobuf_pool *pool)
{
    if (!pool)
        return;
    for (int i = 0; i < CLASS_COUNT; i++) {
        release_chain(pool->free[i]);
        pool->free[i] = NULL;
    }
    atomic_store_explicit(&pool->owner, NULL, memory_order_relaxed);
    int64_t change = ALIVE_BIAS - pool->out_count;
    if (atomic_fetch_sub_explicit(&pool->alive, change, memory_order_acq_rel) == change)
        destroy(pool);
}

size_t iobuf_pool_bytes_out(const struct iobuf_pool *pool)
{
    return atomic_load_explicit(&pool->out_bytes, memory_order_relaxed) -
           atomic_load_explicit(&pool->foreign_bytes, memory_order_relaxed);
}

uint64_t iobuf_pool_mallocs(const struct iobuf_pool *pool)
{
    return atomic_load_explicit(&pool->mallocs, memory_order_relaxed);
}

/* One writer only: a plain load and store, no locked instruction. */
static void add_out_bytes(struct iobuf_pool *pool, size_t change)
{
    size_t now = atomic_load_explicit(&pool->out_bytes, memory_order_relaxed);
    atomic_store_explicit(&pool->out_bytes, now + change, memory_order_relaxed);
}

static struct iobuf *new_buffer(struct iobuf_pool *pool, size_t size, uint32_t class_index)
{
    size_t cap = class_index == CLASS_NONE ? size : (size_t)1 << (class_index + CLASS_SHIFT_MIN);
    if (cap > UINT32_MAX)
        return NULL;
    struct iobuf *buf = malloc(sizeof(*buf) + cap);
    if (!buf)
        return NULL;
    buf->cap = (uint32_t)cap;
    buf->class_index = class_index;
    buf->pool = pool;
    return buf;
}

static struct iobuf *start_life(struct iobuf *buf)
{
    atomic_init(&buf->refs, 1);
    buf->len = 0;
    buf->next = NULL;
    return buf;
}

static struct iobuf *take_kept(struct iobuf_pool *pool, uint32_t class_index)
{
    struct iobuf *buf = class_index == CLASS_NONE ? NULL : pool->free[class_index];
    if (!buf)
        return NULL;
    pool->free[class_index] = buf->next;
    pool->kept_bytes -= buf->cap;
    UNPOISON(buf->data, buf->cap);
    return buf;
}

struct iobuf *iobuf_get(struct iobuf_pool *pool, size_t size)
{
    if (!pool) {
        struct iobuf *plain = new_buffer(NULL, size ? size : 1, CLASS_NONE);
        return plain ? start_life(plain) : NULL;
    }
    atomic_store_explicit(&pool->owner, this_thread(), memory_order_relaxed);
    collect_returned(pool);
    uint32_t class_index = class_for(size);
    struct iobuf *buf = take_kept(pool, class_index);
    if (!buf) {
        buf = new_buffer(pool, size, class_index);
        if (!buf)
            return NULL;
        atomic_store_explicit(&pool->mallocs, iobuf_pool_mallocs(pool) + 1, memory_order_relaxed);
    }
    pool->out_count++;
    add_out_bytes(pool, buf->cap);
    return start_life(buf);
}

struct iobuf *iobuf_ref(struct iobuf *buf)
{
    unsigned before = atomic_fetch_add_explicit(&buf->refs, 1, memory_order_relaxed);
    ASSERT(before > 0);
    return buf;
}

/* Too much waiting for an owner that sleeps: release instead of stacking. */
static bool stack_has_room(struct iobuf_pool *pool, const struct iobuf *buf)
{
    if (buf->class_index == CLASS_NONE)
        return false;
    size_t before = atomic_fetch_add_explicit(&pool->returned_bytes, buf->cap, memory_order_relaxed);
    if (before + buf->cap <= pool->keep_bytes_max)
        return true;
    atomic_fetch_sub_explicit(&pool->returned_bytes, buf->cap, memory_order_relaxed);
    return false;
}

static void return_foreign(struct iobuf_pool *pool, struct iobuf *buf)
{
    atomic_fetch_add_explicit(&pool->foreign_bytes, buf->cap, memory_order_relaxed);
    if (stack_has_room(pool, buf)) {
        buf->next = atomic_load_explicit(&pool->returned, memory_order_relaxed);
        while (!atomic_compare_exchange_weak_explicit(&pool->returned, &buf->next, buf, memory_order_release,
                                                      memory_order_relaxed))
            ;
    } else {
        release_memory(buf);
    }
    if (atomic_fetch_sub_explicit(&pool->alive, 1, memory_order_acq_rel) == 1)
        destroy(pool);
}

static void return_own(struct iobuf_pool *pool, struct iobuf *buf)
{
    pool->out_count--;
    add_out_bytes(pool, (size_t)0 - buf->cap);
    keep_or_release(pool, buf);
}

/* True when this was the last reference. A sole holder needs no locked instruction. */
static bool drop_ref(struct iobuf *buf)
{
    unsigned refs = atomic_load_explicit(&buf->refs, memory_order_acquire);
    ASSERT(refs > 0);
    return refs == 1 || atomic_fetch_sub_explicit(&buf->refs, 1, memory_order_acq_rel) == 1;
}

void iobuf_unref(struct iobuf *buf)
{
    if (!buf || !drop_ref(buf))
        return;
    atomic_store_explicit(&buf->refs, 0,
                          memory_order_relaxed); /* a second unref asserts while the memory is kept */
    struct iobuf_pool *pool = buf->pool;
    if (!pool)
        release_memory(buf);
    else if (atomic_load_explicit(&pool->owner, memory_order_relaxed) == this_thread())
        return_own(pool, buf);
    else
        return_foreign(pool, buf);
}
