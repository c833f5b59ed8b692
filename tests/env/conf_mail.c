/* SPDX-License-Identifier: Apache-2.0 */
/* Mail, workers, loops: E1, E3, E4. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "tests/env/conf_lib.h"

#define SENDERS 4
#define LETTERS 2000

/* -- order and batches -- */

struct letter {
    struct env_msg msg;
    size_t sender, number;
};

static size_t next_number[SENDERS];
static size_t letters_read;

static void letter_read(struct env_msg *msg)
{
    struct letter *letter = CONTAINER_OF(msg, struct letter, msg);
    CONF_CALLED_BACK();
    ck_assert_uint_eq(letter->number, next_number[letter->sender]);
    next_number[letter->sender]++;
    letters_read++;
    free(letter); /* the receiver's now */
}

struct sender {
    struct env_msg start;
    struct env *loop;
    size_t index;
    struct env *to;
};

static void letter_post(struct env *to, size_t sender, size_t number)
{
    struct letter *letter = calloc(1, sizeof(*letter));
    *letter = (struct letter){.msg.fn = letter_read, .sender = sender, .number = number};
    CONF_CALL(env_post(to, &letter->msg));
}

static void sender_run(struct env_msg *msg)
{
    struct sender *sender = CONTAINER_OF(msg, struct sender, start);
    for (size_t i = 0; i < LETTERS; i++)
        letter_post(sender->to, sender->index, i);
}

START_TEST(mail_of_each_sender_arrives_once_and_in_order)
{
    struct sender senders[SENDERS];
    for (size_t i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){.start.fn = sender_run, .index = i, .to = conf_env};
        senders[i].loop = env_spawn(conf_env, "sender", &senders[i].start);
        ck_assert_ptr_nonnull(senders[i].loop);
    }
    conf_wait_count(&letters_read, SENDERS * LETTERS);
    for (size_t i = 0; i < SENDERS; i++) {
        ck_assert_uint_eq(next_number[i], LETTERS);
        conf_stop_loop(senders[i].loop);
    }
}
END_TEST

static size_t batch_seen;
static struct env_task batch_task;

static void batch_end(struct env_task *task)
{
    (void)task;
    batch_seen = letters_read;
}

static void batch_first(struct env_msg *msg)
{
    (void)msg;
    env_defer(conf_env, &batch_task);
}

START_TEST(mail_that_waits_is_read_in_one_turn)
{
    struct env_msg first = {.fn = batch_first};
    env_task_init(&batch_task, batch_end);
    env_post(conf_env, &first);
    for (size_t i = 0; i < LETTERS; i++)
        letter_post(conf_env, 0, i);
    conf_wait_count(&batch_seen, 1);
    ck_assert_uint_eq(batch_seen, LETTERS);
}
END_TEST

struct repost {
    struct env_msg msg;
    struct env_task task;
    char order[16];
    size_t len;
};

static void repost_task(struct env_task *task)
{
    struct repost *repost = CONTAINER_OF(task, struct repost, task);
    repost->order[repost->len++] = '.';
}

static void repost_msg(struct env_msg *msg)
{
    struct repost *repost = CONTAINER_OF(msg, struct repost, msg);
    CONF_CALLED_BACK();
    repost->order[repost->len++] = 'm';
    env_defer(conf_env, &repost->task);
    if (repost->len < 5)
        CONF_CALL(env_post(conf_env, msg));
}

START_TEST(mail_posted_by_mail_waits_for_the_next_turn)
{
    struct repost repost = {.msg.fn = repost_msg};
    env_task_init(&repost.task, repost_task);
    env_post(conf_env, &repost.msg);
    conf_wait_count(&repost.len, 6);
    ck_assert_str_eq(repost.order, "m.m.m.");
}
END_TEST

/* -- waking -- */

struct pingpong {
    struct env_msg msg;
    struct env *other;
    size_t rounds;
};

static void pingpong_there(struct env_msg *msg);

static void pingpong_here(struct env_msg *msg)
{
    struct pingpong *pp = CONTAINER_OF(msg, struct pingpong, msg);
    pp->rounds++;
    if (pp->rounds == LETTERS)
        return;
    msg->fn = pingpong_there;
    env_post(pp->other, msg);
}

static void pingpong_there(struct env_msg *msg)
{
    msg->fn = pingpong_here;
    env_post(conf_env, msg);
}

START_TEST(no_wake_up_is_lost_between_two_sleeping_loops)
{
    struct pingpong pp = {.msg.fn = pingpong_there, .other = conf_spawn()};
    env_post(pp.other, &pp.msg);
    conf_wait_count(&pp.rounds, LETTERS);
    conf_stop_loop(pp.other);
}
END_TEST

/* -- loops -- */

struct child {
    struct env_msg start, after, result;
    struct env *loop;
    struct env_timer timer;
    struct env_task task;
    char order[8];
    size_t len;
    size_t results;
};

static void child_result(struct env_msg *msg)
{
    CONTAINER_OF(msg, struct child, result)->results++;
}

static void child_task(struct env_task *task)
{
    struct child *child = CONTAINER_OF(task, struct child, task);
    struct env *loop = child->loop;
    child->order[child->len++] = 'd';
    env_post(conf_env, &child->result); /* who gets it may let go of the child at once */
    env_stop(loop);
}

static void child_timer(struct env_timer *timer)
{
    struct child *child = CONTAINER_OF(timer, struct child, timer);
    child->order[child->len++] = 't';
    env_defer(child->loop, &child->task);
}

static void child_start(struct env_msg *msg)
{
    struct child *child = CONTAINER_OF(msg, struct child, start);
    child->order[child->len++] = 's';
    env_timer_init(&child->timer, child_timer);
    env_task_init(&child->task, child_task);
}

/* Carries the loop's address, which the start message cannot know. */
static void child_after(struct env_msg *msg)
{
    struct child *child = CONTAINER_OF(msg, struct child, after);
    child->order[child->len++] = 'a';
    env_timer_set(child->loop, &child->timer, env_now_us(child->loop) + 2000);
}

START_TEST(spawned_loop_has_clock_timers_tasks_and_runs_its_start_message_first)
{
    struct child child = {.start.fn = child_start, .after.fn = child_after, .result.fn = child_result};
    child.loop = env_spawn(conf_env, "child", &child.start);
    ck_assert_ptr_nonnull(child.loop);
    env_post(child.loop, &child.after);
    conf_wait_count(&child.results, 1);
    ck_assert_str_eq(child.order, "satd");
}
END_TEST

START_TEST(loops_come_and_go)
{
    for (int i = 0; i < 8; i++)
        conf_stop_loop(conf_spawn());
}
END_TEST

/* -- workers -- */

struct job {
    struct env_work work;
    uint64_t input, result;
    size_t worked, done;
};

static size_t jobs_done;

static void job_work(struct env_work *w)
{
    struct job *job = CONTAINER_OF(w, struct job, work);
    job->worked++;
    job->result = job->input * job->input;
}

static void job_done(struct env_work *w)
{
    struct job *job = CONTAINER_OF(w, struct job, work);
    CONF_CALLED_BACK();
    ck_assert_uint_eq(job->worked, 1);
    job->done++;
    jobs_done++;
}

START_TEST(every_work_request_is_done_once_on_the_loop)
{
    struct job jobs[64];
    for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
        jobs[i] = (struct job){.work = {.work = job_work, .done = job_done}, .input = i};
        CONF_CALL(env_work_submit(conf_env, &jobs[i].work));
    }
    conf_wait_count(&jobs_done, ARRAY_LEN(jobs));
    conf_turn();
    for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
        ck_assert_uint_eq(jobs[i].done, 1);
        ck_assert_uint_eq(jobs[i].result, i * i);
    }
}
END_TEST

struct stopper {
    struct env_msg msg, report;
    struct env_work work;
    struct env *loop;
    size_t reports;
};

static void stopper_report(struct env_msg *msg)
{
    CONTAINER_OF(msg, struct stopper, report)->reports++;
}

static void stopper_work(struct env_work *w)
{
    (void)w;
}

static void stopper_done(struct env_work *w)
{
    env_post(conf_env, &CONTAINER_OF(w, struct stopper, work)->report);
}

static void stopper_go(struct env_msg *msg)
{
    struct stopper *stopper = CONTAINER_OF(msg, struct stopper, msg);
    env_work_submit(stopper->loop, &stopper->work);
    env_stop(stopper->loop);
}

START_TEST(what_was_accepted_before_the_stop_completes)
{
    struct stopper stopper = {.msg.fn = stopper_go,
                              .report.fn = stopper_report,
                              .work = {.work = stopper_work, .done = stopper_done},
                              .loop = conf_spawn()};
    env_post(stopper.loop, &stopper.msg);
    conf_wait_count(&stopper.reports, 1);
}
END_TEST

void conf_add_mail(TCase *tcase)
{
    tcase_add_test(tcase, mail_of_each_sender_arrives_once_and_in_order);
    tcase_add_test(tcase, mail_that_waits_is_read_in_one_turn);
    tcase_add_test(tcase, mail_posted_by_mail_waits_for_the_next_turn);
    tcase_add_test(tcase, no_wake_up_is_lost_between_two_sleeping_loops);
    tcase_add_test(tcase, spawned_loop_has_clock_timers_tasks_and_runs_its_start_message_first);
    tcase_add_test(tcase, loops_come_and_go);
    tcase_add_test(tcase, every_work_request_is_done_once_on_the_loop);
    tcase_add_test(tcase, what_was_accepted_before_the_stop_completes);
}
