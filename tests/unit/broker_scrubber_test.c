/* SPDX-License-Identifier: Apache-2.0 */
/* The scrubber of a shard on real files: it keeps to its rate, and lets a busy shard go first, but not for
 * ever. Only lower bounds of time are checked: a slow machine is no failure. */
#include <string.h>

#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"
#include "tests/lib/broker_rig.h"
#include "tests/lib/unit.h"

#define VALUE_BYTES (200 << 10)
#define BATCHES     4
#define STEP_BYTES  (256 << 10) /* PLOG_SCRUB_BYTES */
#define RATE        (512 << 10)
#define BUSY_US     1000000 /* ten pauses of 100 ms (scrub.c) */

static struct rig rig;
static const char *const sets[] = {"log.scrub.period.ms=1s", "log.scrub.bytes.per.second=512KiB", NULL};

static void produce(struct rig_client *client)
{
    static uint8_t value[VALUE_BYTES];
    const struct record_in record = {
        .timestamp_ms = 1700000000000, .key = BYTES_NULL, .value = {value, sizeof(value)}};
    memset(value, 'x', sizeof(value));
    ck_assert_int_eq(rig_produce(client, 0, &record), KAFKA_NONE);
}

static void begin(void)
{
    rig_start(&rig, 1, sets);
    rig_topic(&rig, "t", 1);
    struct rig_client *client = rig_connect(&rig);
    for (int i = 0; i < BATCHES; i++)
        produce(client);
}

static uint64_t scrubbed(void)
{
    return rig.shards[0].counters.scrubbed_bytes;
}

static bool any(void *ctx)
{
    return scrubbed() > 0;
}

static bool busy_until_any(void *ctx)
{
    rig.shards[0].counters.requests += 1000; /* as if so many had come */
    return scrubbed() > 0;
}

static bool a_pass(void *ctx)
{
    return rig.shards[0].counters.scrub_passes > 0;
}

START_TEST(it_keeps_to_its_rate)
{
    begin();
    rig_until(&rig, any, NULL);
    uint64_t from_us = env_now_us(rig.env), before = scrubbed();
    rig_until(&rig, a_pass, NULL);
    uint64_t bytes = scrubbed() - before, took_us = env_now_us(rig.env) - from_us;
    ck_assert_uint_ge(scrubbed(), BATCHES * VALUE_BYTES);
    ck_assert_uint_ge(took_us, (bytes - MIN(bytes, STEP_BYTES)) * 1000000 / RATE);
    rig_stop(&rig);
}
END_TEST

START_TEST(a_busy_shard_goes_first_but_is_scrubbed_too)
{
    uint64_t from_us;

    begin();
    from_us = env_now_us(rig.env);
    rig_until(&rig, busy_until_any, NULL);
    ck_assert_uint_ge(env_now_us(rig.env) - from_us, BUSY_US);
    rig_stop(&rig);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_set_timeout(tcase, 120); /* the disk may be busy */
    tcase_add_test(tcase, it_keeps_to_its_rate);
    tcase_add_test(tcase, a_busy_shard_goes_first_but_is_scrubbed_too);
}

SLUICE_TEST_MAIN("broker_scrubber", add)
