/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/shard/throttle.h"

#include <stdio.h>
#include <string.h>

#include "common/base/assert.h"
#include "proto/cluster/image.h"

#define RESOURCE_TOPIC  2
#define RESOURCE_BROKER 4

static int64_t rate_of(const struct image *image, const char *key, int32_t broker_id)
{
    char name[16];
    int64_t rate = 0;
    snprintf(name, sizeof(name), "%d", broker_id);
    struct str value = image_config(image, RESOURCE_BROKER, str_from(name), str_from(key));
    if (value.len < 0)
        value = image_config(image, RESOURCE_BROKER, STR_LIT(""), str_from(key));
    for (int32_t i = 0; i < value.len; i++) {
        if (value.p[i] < '0' || value.p[i] > '9' || rate > INT64_MAX / 16)
            return 0; /* the controller lets only whole numbers in */
        rate = rate * 10 + (value.p[i] - '0');
    }
    return rate;
}

void throttles_configure(struct throttle *in, struct throttle *out, const struct image *image,
                         int32_t broker_id)
{
    atomic_store(&in->rate, rate_of(image, "follower.replication.throttled.rate", broker_id));
    atomic_store(&out->rate, rate_of(image, "leader.replication.throttled.rate", broker_id));
}

uint64_t throttle_wait_until(const struct throttle *t, uint64_t now_us)
{
    uint64_t free_us = atomic_load_explicit(&t->free_us, memory_order_relaxed);
    return atomic_load_explicit(&t->rate, memory_order_relaxed) > 0 && free_us > now_us ? free_us : 0;
}

void throttle_charge(struct throttle *t, uint64_t now_us, int64_t bytes)
{
    int64_t rate = atomic_load_explicit(&t->rate, memory_order_relaxed);
    if (rate <= 0 || bytes <= 0)
        return;
    uint64_t cost_us = (uint64_t)((double)bytes * 1e6 / (double)rate);
    uint64_t old = atomic_load_explicit(&t->free_us, memory_order_relaxed);
    while (!atomic_compare_exchange_weak(&t->free_us, &old, MAX(old, now_us) + cost_us))
        ;
}

/* Reads a number; -1 when there is none, or one that is too large. */
static int32_t number(const char **at, const char *end)
{
    int64_t n = -1;
    for (; *at < end && **at >= '0' && **at <= '9' && n <= INT32_MAX; (*at)++)
        n = MAX(n, 0) * 10 + (**at - '0');
    return n > INT32_MAX ? -1 : (int32_t)n;
}

bool throttle_list_has(struct str list, int32_t partition, int32_t broker_id)
{
    const char *at = list.p;
    const char *end = list.len > 0 ? list.p + list.len : list.p;
    while (at < end) {
        if (*at == '*')
            return true;
        int32_t p = number(&at, end);
        bool pair = at < end && *at == ':';
        at += pair;
        if (pair && number(&at, end) == broker_id && p == partition &&
            (at == end || *at == ',' || *at == ' '))
            return true;
        while (at < end && *at != ',')
            at++;
        at += at < end;
        while (at < end && *at == ' ')
            at++;
    }
    return false;
}

bool throttle_holds(const struct image *image, const struct image_topic *topic, const char *key,
                    int32_t partition, int32_t broker_id, int32_t follower_id)
{
    if (topic == NULL || partition >= topic->partitions_count ||
        !throttle_list_has(image_config(image, RESOURCE_TOPIC, topic->name, str_from(key)), partition,
                           broker_id))
        return false;
    const struct image_partition *state = image_partition(image, topic, partition);
    for (int32_t i = 0; state != NULL && i < state->isr_count; i++)
        if (state->isr[i] == follower_id)
            return false;
    return true;
}
