/* SPDX-License-Identifier: Apache-2.0 */
/* The broker's table of settings, what contradicts, and how its values are shown to Kafka clients. */
#include <string.h>

#include "broker/config.h"
#include "broker/metadata/static_settings.h"
#include "common/base/assert.h"
#include "common/config/config.h"
#include "tests/lib/unit.h"

static struct config *settings;
static struct broker_config config;

static void load(const char *const *sets)
{
    static const char *const base[] = {"node.id=7", "log.dirs=/d", "controller.quorum.bootstrap.servers=c:1"};

    memset(&config, 0, sizeof(config));
    settings = config_new();
    config_add(settings, broker_settings(), &config);
    for (size_t i = 0; i < ARRAY_LEN(base); i++)
        ck_assert_int_eq(config_apply_set(settings, base[i]), OK);
    for (; sets && *sets; sets++)
        ck_assert_msg(config_apply_set(settings, *sets) == OK, "%s", config_error(settings));
    ck_assert_int_eq(config_finish(settings), OK);
}

START_TEST(the_table_is_sound)
{
    ck_assert_ptr_null(setting_table_check(broker_settings()));
}
END_TEST

START_TEST(defaults_contradict_nothing)
{
    load(NULL);
    ck_assert_ptr_null(broker_config_problem(&config));
    config_free(settings);
}
END_TEST

static void expect_problem(const char *set, const char *setting)
{
    load((const char *const[]){set, NULL});
    const char *problem = broker_config_problem(&config);
    ck_assert_ptr_nonnull(problem);
    ck_assert_msg(strncmp(problem, setting, strlen(setting)) == 0, "%s", problem);
    config_free(settings);
}

START_TEST(contradictions_name_the_setting)
{
    expect_problem("process.roles=controller", "process.roles");
    expect_problem("listeners=PLAINTEXT://:1", "inter.broker.listener.name");
    expect_problem("listeners=REPLICATION://:1", "listeners");
    expect_problem("listeners=", "listeners");
    expect_problem("inter.broker.listener.name=OTHER", "inter.broker.listener.name");
    expect_problem("log.dirs=/a,/b", "log.dirs");
    expect_problem("controller.quorum.bootstrap.servers=", "controller.quorum.bootstrap.servers");
    expect_problem("admin.listener=", "admin.listener");
    expect_problem("broker.heartbeat.interval.ms=1501", "broker.heartbeat.interval.ms");
}
END_TEST

static struct static_setting shown(const char *name, struct arena *arena)
{
    struct static_setting ret;

    ck_assert(static_setting_find(&config, settings, name, arena, &ret));
    return ret;
}

START_TEST(values_are_shown_as_plain_numbers_with_their_source)
{
    struct arena arena;

    arena_init(&arena, NULL, 0, 1 << 20);
    load((const char *const[]){"log.segment.bytes=64MiB", "replica.lag.time.max.ms=2s", NULL});
    ck_assert(str_eq_z(shown("log.segment.bytes", &arena).value, "67108864"));
    ck_assert(shown("log.segment.bytes", &arena).given);
    ck_assert(str_eq_z(shown("replica.lag.time.max.ms", &arena).value, "2000"));
    ck_assert(str_eq_z(shown("node.id", &arena).value, "7"));
    ck_assert(str_eq_z(shown("auto.create.topics.enable", &arena).value, "true"));
    ck_assert(!shown("auto.create.topics.enable", &arena).given);
    ck_assert(str_eq_z(shown("log.dirs", &arena).value, "/d"));
    struct static_setting none;
    ck_assert(!static_setting_find(&config, settings, "no.such.setting", &arena, &none));
    for (uint32_t i = 0; i < static_settings_count(); i++)
        static_setting_at(&config, NULL, i, &arena, &none);
    arena_free(&arena);
    config_free(settings);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, the_table_is_sound);
    tcase_add_test(tcase, defaults_contradict_nothing);
    tcase_add_test(tcase, contradictions_name_the_setting);
    tcase_add_test(tcase, values_are_shown_as_plain_numbers_with_their_source);
}

SLUICE_TEST_MAIN("broker_config", add)
