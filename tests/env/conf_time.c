/* SPDX-License-Identifier: Apache-2.0 */
/* Clock, timers, tasks: E2, E5. */
#include <string.h>

#include "common/base/assert.h"
#include "tests/env/conf_lib.h"

#define TIMERS 8

static char order[64];
static size_t order_len;

static void note(char c)
{
    CONF_CALLED_BACK();
    ck_assert_uint_lt(order_len, sizeof(order) - 1);
    order[order_len++] = c;
}

struct alarm {
    struct env_timer timer;
    char name;
    uint64_t deadline_us;
    size_t fired;
    struct alarm *cancels; /* cancelled when this one fires */
    uint64_t again_us;     /* re-armed so much after now (0: long past), again_count times */
    size_t again_count;
    struct env_task *defers;
};

static void alarm_fn(struct env_timer *timer)
{
    struct alarm *alarm = CONTAINER_OF(timer, struct alarm, timer);
    note(alarm->name);
    ck_assert(!env_timer_armed(timer));
    ck_assert_uint_ge(env_now_us(conf_env), alarm->deadline_us);
    alarm->fired++;
    if (alarm->cancels != NULL)
        env_timer_cancel(conf_env, &alarm->cancels->timer);
    if (alarm->defers != NULL)
        env_defer(conf_env, alarm->defers);
    if (alarm->again_count > 0) {
        alarm->again_count--;
        uint64_t deadline_us = alarm->again_us > 0 ? env_now_us(conf_env) + alarm->again_us : 1;
        CONF_CALL(env_timer_set(conf_env, timer, deadline_us));
    }
}

static void alarm_set(struct alarm *alarm, char name, uint64_t deadline_us)
{
    if (alarm->timer.fn == NULL)
        env_timer_init(&alarm->timer, alarm_fn);
    alarm->name = name;
    alarm->deadline_us = deadline_us;
    CONF_CALL(env_timer_set(conf_env, &alarm->timer, deadline_us));
    ck_assert(env_timer_armed(&alarm->timer));
}

struct step {
    struct env_task task;
    char name;
    size_t ran;
    struct env_task *defers;
    struct env_task *cancels;
    struct alarm *arms; /* in the past */
};

static void step_fn(struct env_task *task)
{
    struct step *step = CONTAINER_OF(task, struct step, task);
    note(step->name);
    step->ran++;
    if (step->defers != NULL)
        CONF_CALL(env_defer(conf_env, step->defers));
    if (step->cancels != NULL)
        env_task_cancel(step->cancels);
    if (step->arms != NULL)
        alarm_set(step->arms, 't', 0);
}

static void step_init(struct step *step, char name)
{
    *step = (struct step){.name = name};
    env_task_init(&step->task, step_fn);
}

START_TEST(clock_never_goes_back)
{
    uint64_t last = env_now_us(conf_env);
    for (int i = 0; i < 1000; i++) {
        uint64_t now = env_now_us(conf_env);
        ck_assert_uint_ge(now, last);
        last = now;
    }
    conf_let_run(2000);
    ck_assert_uint_ge(env_now_us(conf_env), last + 2000);
    ck_assert_int_gt(env_wall_ms(conf_env), 1500000000000);
}
END_TEST

START_TEST(timers_fire_in_order_of_deadline_and_ties_in_order_of_setting)
{
    struct alarm alarms[TIMERS] = {{.name = 0}};
    static const int after_ms[TIMERS] = {30, 10, 20, 10, 5, 30, 10, 1};
    uint64_t now = env_now_us(conf_env);
    for (int i = 0; i < TIMERS; i++)
        alarm_set(&alarms[i], (char)('a' + i), now + (uint64_t)after_ms[i] * 1000);
    conf_wait_count(&alarms[5].fired, 1);
    ck_assert_str_eq(order, "hebdgcaf");
}
END_TEST

START_TEST(timer_does_not_fire_after_cancel_not_even_when_due_in_the_same_turn)
{
    struct alarm first = {.name = 0}, second = {.name = 0}, third = {.name = 0};
    uint64_t at = env_now_us(conf_env) + 3000;
    first.cancels = &second;
    alarm_set(&first, 'a', at);
    alarm_set(&second, 'b', at);
    alarm_set(&third, 'c', at + 20000);
    env_timer_cancel(conf_env, &third.timer);
    env_timer_cancel(conf_env, &third.timer); /* no-op */
    conf_let_run(40000);
    ck_assert_str_eq(order, "a");
}
END_TEST

START_TEST(timer_set_again_moves_it_both_ways)
{
    struct alarm later = {.name = 0}, earlier = {.name = 0}, middle = {.name = 0};
    uint64_t now = env_now_us(conf_env);
    alarm_set(&later, 'l', now + 5000);
    alarm_set(&earlier, 'e', now + 1000000000);
    alarm_set(&middle, 'm', now + 15000);
    alarm_set(&later, 'l', now + 25000);
    alarm_set(&earlier, 'e', now + 8000);
    conf_wait_count(&later.fired, 1);
    ck_assert_str_eq(order, "eml");
}
END_TEST

START_TEST(timer_that_rearms_itself_in_the_past_runs_once_a_turn)
{
    struct step end;
    struct alarm alarm = {.again_us = 0, .again_count = 3};
    step_init(&end, '.');
    alarm.defers = &end.task;
    alarm_set(&alarm, 't', 0);
    conf_wait_count(&end.ran, 4);
    ck_assert_str_eq(order, "t.t.t.t.");
}
END_TEST

START_TEST(far_timer_does_not_keep_others_from_firing)
{
    struct alarm far = {.name = 0}, near = {.again_us = 1000, .again_count = 4};
    alarm_set(&far, 'f', UINT64_MAX);
    alarm_set(&near, 'n', env_now_us(conf_env) + 1000);
    conf_wait_count(&near.fired, 5);
    ck_assert_uint_eq(far.fired, 0);
    env_timer_cancel(conf_env, &far.timer);
}
END_TEST

START_TEST(task_runs_once_after_the_timers_of_its_turn)
{
    struct alarm first = {.name = 0}, second = {.name = 0};
    struct step step;
    step_init(&step, '.');
    first.defers = second.defers = &step.task;
    alarm_set(&first, 'a', 0);
    alarm_set(&second, 'b', 0);
    conf_wait_count(&step.ran, 1);
    conf_turn();
    ck_assert_str_eq(order, "ab.");
}
END_TEST

START_TEST(task_deferred_by_a_task_runs_in_the_same_turn)
{
    struct step first, second;
    struct alarm alarm = {.name = 0};
    step_init(&first, '1');
    step_init(&second, '2');
    first.defers = &second.task;
    first.arms = &alarm;
    CONF_CALL(env_defer(conf_env, &first.task));
    conf_wait_count(&alarm.fired, 1);
    ck_assert_str_eq(order, "12t");
}
END_TEST

START_TEST(task_can_be_cancelled_and_deferred_again)
{
    struct step first, second;
    step_init(&first, '1');
    step_init(&second, '2');
    first.cancels = &second.task;
    env_defer(conf_env, &first.task);
    env_defer(conf_env, &second.task);
    conf_wait_count(&first.ran, 1);
    conf_turn();
    ck_assert_str_eq(order, "1");
    env_defer(conf_env, &second.task);
    conf_wait_count(&second.ran, 1);
    ck_assert_str_eq(order, "12");
}
END_TEST

START_TEST(random_bytes_differ_and_all_are_written)
{
    uint8_t a[64] = {0}, b[64] = {0}, seen = 0;
    env_random(conf_env, a, sizeof(a));
    env_random(conf_env, b, sizeof(b));
    ck_assert_int_ne(memcmp(a, b, sizeof(a)), 0);
    for (int i = 0; i < 32; i++) { /* a byte that stays zero over 32 fills was not written (chance 2^-256) */
        env_random(conf_env, a, sizeof(a));
        seen |= a[63];
    }
    ck_assert_uint_ne(seen, 0);
}
END_TEST

START_TEST(machine_facts_are_sane)
{
    char first[37], second[37];
    ck_assert_uint_ge(env_cpu_count(conf_env), 1);
    ck_assert_uint_ge(env_files_max(conf_env), 1);
    env_boot_id(conf_env, first);
    env_boot_id(conf_env, second);
    ck_assert_str_eq(first, second);
    ck_assert_uint_gt(strlen(first), 0);
}
END_TEST

void conf_add_time(TCase *tcase)
{
    tcase_add_test(tcase, clock_never_goes_back);
    tcase_add_test(tcase, timers_fire_in_order_of_deadline_and_ties_in_order_of_setting);
    tcase_add_test(tcase, timer_does_not_fire_after_cancel_not_even_when_due_in_the_same_turn);
    tcase_add_test(tcase, timer_set_again_moves_it_both_ways);
    tcase_add_test(tcase, timer_that_rearms_itself_in_the_past_runs_once_a_turn);
    tcase_add_test(tcase, far_timer_does_not_keep_others_from_firing);
    tcase_add_test(tcase, task_runs_once_after_the_timers_of_its_turn);
    tcase_add_test(tcase, task_deferred_by_a_task_runs_in_the_same_turn);
    tcase_add_test(tcase, task_can_be_cancelled_and_deferred_again);
    tcase_add_test(tcase, random_bytes_differ_and_all_are_written);
    tcase_add_test(tcase, machine_facts_are_sane);
}
