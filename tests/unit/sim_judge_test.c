/* SPDX-License-Identifier: Apache-2.0 */
/* The checker against hand-made histories: a good one of each kind passes, and for each violation that it can
 * name a bad one is caught, by that name and no other. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "tests/lib/unit.h"
#include "tests/sim/judge/verdict.h"

static struct history history;
static struct check_report report;
static struct check_options options;
static uint64_t clock_us;
static uint32_t next_op;

static void setup(void)
{
    history_init(&history);
    options = (struct check_options){.staleness_max_us = 0};
    clock_us = 0;
    next_op = 1;
}

static void teardown(void)
{
    history_free(&history);
}

static void add_record(struct history_record record)
{
    record.time_us = clock_us += 1000;
    history_add(&history, &record);
}

/* A whole call of process 1: begin and end. */
static void call(enum hist_type end, struct history_record record)
{
    record.op_id = next_op++;
    record.process = record.process != 0 ? record.process : 1;
    struct history_record begin = record;
    begin.type = HIST_INVOKE;
    begin.offset = 0;
    add_record(begin);
    record.type = end;
    add_record(record);
}

static void seen(struct history_record record)
{
    record.type = HIST_OK;
    record.process = record.process != 0 ? record.process : 9;
    add_record(record);
}

static void sent(int64_t offset, uint64_t value)
{
    call(HIST_OK, (struct history_record){.op = HIST_SEND, .key = 1, .offset = offset, .value = value});
}

static void polled(uint32_t poll, int64_t offset, uint64_t value)
{
    seen((struct history_record){
        .op = HIST_POLL, .key = 1, .op_id = poll, .process = 2, .offset = offset, .value = value});
}

static void final_read(int64_t offset, uint64_t value)
{
    seen((struct history_record){.op = HIST_POLL,
                                 .key = 1,
                                 .op_id = 1,
                                 .process = 3,
                                 .offset = offset,
                                 .value = value,
                                 .flags = HIST_F_FINAL});
}

static void txn_send(uint64_t txn, int64_t offset, uint64_t value)
{
    call(HIST_OK,
         (struct history_record){.op = HIST_SEND, .key = 1, .offset = offset, .value = value, .txn = txn});
}

static void txn_end(uint64_t txn, enum hist_type end, uint16_t flags)
{
    call(end, (struct history_record){.op = HIST_TXN_END, .txn = txn, .flags = flags});
}

static void txn_polled(uint64_t reader, int64_t offset, uint64_t value)
{
    seen((struct history_record){.op = HIST_POLL,
                                 .key = 1,
                                 .op_id = next_op++,
                                 .process = 2,
                                 .offset = offset,
                                 .value = value,
                                 .txn = reader,
                                 .flags = HIST_F_COMMITTED});
}

static void expect_good(void)
{
    if (!check_history(&history, &options, &report))
        check_report_print(&report, stderr);
    ck_assert_uint_eq(report.violations, 0);
}

static void expect_only(enum violation violation)
{
    bool good = check_history(&history, &options, &report);
    ck_assert(!good);
    for (int i = 0; i < VIOLATION_COUNT; i++)
        ck_assert_msg((report.counts[i] > 0) == (i == (int)violation), "%s: %llu (%s)", violation_name(i),
                      (unsigned long long)report.counts[i], report.examples[i]);
    ck_assert_uint_gt(strlen(report.examples[violation]), 0);
}

/* -- logs -- */

static void good_log(void)
{
    sent(0, 0xa);
    sent(1, 0xb);
    call(HIST_INFO, (struct history_record){.op = HIST_SEND, .key = 1, .value = 0xc});
    call(HIST_FAIL, (struct history_record){.op = HIST_SEND, .key = 1, .value = 0xd});
    polled(1, 0, 0xa);
    polled(1, 1, 0xb);
    sent(3, 0xe); /* offset 2 is a marker, or the unknown send */
    polled(2, 3, 0xe);
    final_read(0, 0xa);
    final_read(1, 0xb);
    final_read(3, 0xe);
}

START_TEST(good_log_passes)
{
    good_log();
    expect_good();
    ck_assert_uint_eq(report.sends_ok, 3);
    ck_assert_uint_eq(report.sends_info, 1);
    ck_assert_uint_eq(report.sends_fail, 1);
    ck_assert_uint_eq(report.records_polled, 6);
}
END_TEST

START_TEST(unknown_send_may_be_there_or_not)
{
    good_log();
    polled(3, 4, 0xc);
    final_read(4, 0xc);
    expect_good();
}
END_TEST

START_TEST(value_sent_twice_is_a_bad_history)
{
    good_log();
    call(HIST_INFO, (struct history_record){.op = HIST_SEND, .key = 1, .value = 0xa});
    expect_only(VIOLATION_BAD_HISTORY);
}
END_TEST

START_TEST(two_values_at_one_offset)
{
    good_log();
    sent(3, 0xf);
    check_history(&history, &options, &report);
    ck_assert_uint_eq(report.counts[VIOLATION_INCONSISTENT_OFFSETS], 1);
}
END_TEST

START_TEST(acknowledged_and_passed_by_readers)
{
    good_log();
    sent(4, 0xf);
    sent(5, 0x10);
    polled(3, 5, 0x10);
    check_history(&history, &options, &report);
    ck_assert_uint_eq(report.counts[VIOLATION_LOST_WRITE], 1);
    ck_assert_uint_gt(report.counts[VIOLATION_POLL_SKIP], 0); /* the same loss, as the reader saw it */
}
END_TEST

START_TEST(acknowledged_and_never_there)
{
    good_log();
    sent(4, 0xf);
    expect_only(VIOLATION_UNSEEN);
}
END_TEST

START_TEST(weak_sends_may_be_lost)
{
    good_log();
    call(HIST_OK,
         (struct history_record){.op = HIST_SEND, .key = 1, .offset = 4, .value = 0xf, .flags = HIST_F_WEAK});
    expect_good();
}
END_TEST

START_TEST(what_retention_took_is_not_lost)
{
    good_log();
    sent(4, 0xf);
    seen((struct history_record){.op = HIST_SAMPLE, .key = 1, .node = 1, .offset = 5, .value = 5, .aux = 5});
    expect_good();
}
END_TEST

START_TEST(read_once_then_gone)
{
    good_log();
    call(HIST_INFO, (struct history_record){.op = HIST_SEND, .key = 1, .value = 0xf});
    polled(3, 4, 0xf);
    expect_only(VIOLATION_VANISHED_READ);
}
END_TEST

START_TEST(read_and_never_sent)
{
    good_log();
    polled(3, 4, 0x77);
    expect_only(VIOLATION_PHANTOM);
}
END_TEST

START_TEST(one_value_at_two_offsets)
{
    good_log();
    polled(3, 4, 0xe);
    expect_only(VIOLATION_DUPLICATE);
}
END_TEST

START_TEST(value_of_a_refused_send)
{
    good_log();
    polled(3, 4, 0xd);
    final_read(4, 0xd);
    expect_only(VIOLATION_ABORTED_READ);
}
END_TEST

START_TEST(hole_inside_a_poll)
{
    good_log();
    seen((struct history_record){.op = HIST_ASSIGN, .key = 1, .process = 2});
    polled(5, 0, 0xa);
    polled(5, 3, 0xe);
    expect_only(VIOLATION_INT_POLL_SKIP);
}
END_TEST

START_TEST(step_back_inside_a_poll)
{
    good_log();
    seen((struct history_record){.op = HIST_ASSIGN, .key = 1, .process = 2});
    polled(5, 1, 0xb);
    polled(5, 0, 0xa);
    expect_only(VIOLATION_INT_NONMONOTONIC_POLL);
}
END_TEST

START_TEST(hole_between_polls)
{
    good_log();
    seen((struct history_record){.op = HIST_ASSIGN, .key = 1, .process = 2});
    polled(5, 0, 0xa);
    polled(6, 3, 0xe);
    expect_only(VIOLATION_POLL_SKIP);
}
END_TEST

START_TEST(step_back_between_polls)
{
    good_log();
    polled(5, 1, 0xb);
    expect_only(VIOLATION_NONMONOTONIC_POLL);
}
END_TEST

START_TEST(assignment_allows_any_position)
{
    good_log();
    seen((struct history_record){.op = HIST_ASSIGN, .key = 1, .process = 2});
    polled(5, 1, 0xb);
    expect_good();
}
END_TEST

START_TEST(order_of_one_producer)
{
    sent(5, 0xa);
    sent(4, 0xb);
    final_read(4, 0xb);
    final_read(5, 0xa);
    expect_only(VIOLATION_NONMONOTONIC_SEND);
}
END_TEST

START_TEST(reader_at_the_end_misses_an_old_record)
{
    sent(0, 0xa);
    clock_us += 3000000;
    seen((struct history_record){.op = HIST_POLL, .key = 1, .process = 2, .flags = HIST_F_EMPTY});
    options.staleness_max_us = 5000000;
    expect_good();
    ck_assert_uint_ge(report.staleness_us, 3000000);
    options.staleness_max_us = 1000000;
    expect_only(VIOLATION_STALE_READ);
}
END_TEST

START_TEST(nothing_acknowledged_for_long)
{
    sent(0, 0xa);
    clock_us += 7000000;
    sent(1, 0xb);
    options.gap_max_us = 8000000;
    expect_good();
    options.gap_max_us = 5000000;
    expect_only(VIOLATION_GAP);
}
END_TEST

/* -- transactions -- */

START_TEST(good_transactions_pass)
{
    txn_send(1, 0, 0xa);
    txn_send(1, 1, 0xb);
    txn_end(1, HIST_OK, 0);
    txn_send(2, 3, 0xc);
    txn_end(2, HIST_OK, HIST_F_ABORT);
    txn_polled(3, 0, 0xa);
    txn_polled(3, 1, 0xb);
    txn_end(3, HIST_OK, 0);
    expect_good();
}
END_TEST

START_TEST(order_inside_a_transaction)
{
    txn_send(1, 5, 0xa);
    txn_send(1, 4, 0xb);
    expect_only(VIOLATION_INT_NONMONOTONIC_SEND);
}
END_TEST

START_TEST(write_of_an_aborted_transaction)
{
    txn_send(1, 0, 0xa);
    txn_end(1, HIST_OK, HIST_F_ABORT);
    txn_polled(0, 0, 0xa);
    expect_only(VIOLATION_ABORTED_READ);
}
END_TEST

START_TEST(own_write_before_the_commit)
{
    txn_send(1, 0, 0xa);
    txn_polled(1, 0, 0xa);
    txn_end(1, HIST_OK, 0);
    expect_only(VIOLATION_PRECOMMITTED_READ);
}
END_TEST

START_TEST(half_of_a_transaction)
{
    txn_send(1, 0, 0xa);
    txn_send(1, 1, 0xb);
    txn_end(1, HIST_INFO, 0);
    txn_polled(0, 1, 0xb);
    expect_only(VIOLATION_TORN_TXN);
}
END_TEST

START_TEST(circle_of_reads)
{
    txn_send(1, 0, 0xa);
    txn_send(2, 1, 0xb);
    txn_polled(2, 0, 0xa);
    seen((struct history_record){.op = HIST_ASSIGN, .key = 1, .process = 2});
    txn_polled(1, 1, 0xb);
    txn_end(1, HIST_OK, 0);
    txn_end(2, HIST_OK, 0);
    expect_only(VIOLATION_G1C);
}
END_TEST

START_TEST(input_taken_twice)
{
    seen((struct history_record){.op = HIST_CONSUMED, .key = 1, .offset = 7, .aux = 5});
    seen((struct history_record){.op = HIST_CONSUMED, .key = 1, .offset = 7, .aux = 6});
    expect_good();
    seen((struct history_record){.op = HIST_CONSUMED, .key = 1, .offset = 7, .aux = 5});
    expect_only(VIOLATION_CONSUMED_TWICE);
}
END_TEST

/* -- what observers see -- */

static void sample(int32_t epoch, int64_t start, uint64_t high, uint64_t stable)
{
    seen((struct history_record){.op = HIST_SAMPLE,
                                 .key = 1,
                                 .node = 1,
                                 .epoch = epoch,
                                 .offset = start,
                                 .value = high,
                                 .aux = stable});
}

START_TEST(marks_that_go_back)
{
    static const struct {
        int32_t epoch;
        int64_t start;
        uint64_t high, stable;
    } bad[] = {{3, 1, 9, 7}, {3, 1, 10, 6}, {3, 0, 10, 7}, {2, 1, 10, 7}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        setup();
        sample(2, 5, 20, 20);
        sample(3, 1, 10, 7); /* of another epoch: nothing to compare */
        expect_good();
        sample(bad[i].epoch, bad[i].start, bad[i].high, bad[i].stable);
        expect_only(VIOLATION_REGRESS);
        teardown();
    }
    setup();
}
END_TEST

START_TEST(leaders_of_one_epoch)
{
    seen((struct history_record){.op = HIST_LEADER, .key = 1, .epoch = 3, .node = 1});
    seen((struct history_record){.op = HIST_LEADER, .key = 1, .epoch = 4, .node = 2});
    seen((struct history_record){.op = HIST_LEADER, .key = 2, .epoch = 3, .node = 2});
    seen((struct history_record){.op = HIST_LEADER, .key = 1, .epoch = 3, .node = 1});
    expect_good();
    seen((struct history_record){.op = HIST_LEADER, .key = 1, .epoch = 3, .node = 2});
    expect_only(VIOLATION_TWO_LEADERS);
}
END_TEST

START_TEST(leaders_of_one_term)
{
    seen((struct history_record){.op = HIST_TERM, .aux = 3, .node = 1});
    seen((struct history_record){.op = HIST_TERM, .aux = 4, .node = 2});
    expect_good();
    seen((struct history_record){.op = HIST_TERM, .aux = 3, .node = 2});
    expect_only(VIOLATION_TWO_TERM_LEADERS);
}
END_TEST

START_TEST(entries_of_one_index)
{
    seen((struct history_record){.op = HIST_ENTRY, .offset = 3, .aux = 1, .value = 0xaa, .node = 1});
    seen((struct history_record){.op = HIST_ENTRY, .offset = 3, .aux = 1, .value = 0xaa, .node = 2});
    expect_good();
    seen((struct history_record){.op = HIST_ENTRY, .offset = 3, .aux = 2, .value = 0xaa, .node = 3});
    expect_only(VIOLATION_ENTRY_DIVERGENCE);
}
END_TEST

START_TEST(images_of_one_offset)
{
    seen((struct history_record){.op = HIST_IMAGE, .aux = 3, .value = 0xaa, .node = 1});
    seen((struct history_record){.op = HIST_IMAGE, .aux = 4, .value = 0xbb, .node = 1});
    expect_good();
    seen((struct history_record){.op = HIST_IMAGE, .aux = 3, .value = 0xcc, .node = 2});
    expect_only(VIOLATION_IMAGE_DIVERGENCE);
}
END_TEST

START_TEST(strangers_in_sync)
{
    seen((struct history_record){.op = HIST_ISR, .key = 1, .value = 6, .aux = 14});
    expect_good();
    seen((struct history_record){.op = HIST_ISR, .key = 1, .value = 7, .aux = 14});
    expect_only(VIOLATION_ISR_STRANGER);
}
END_TEST

START_TEST(in_sync_before_the_high_watermark)
{
    seen((struct history_record){.op = HIST_ISR_ADD, .key = 1, .node = 2, .offset = 10, .value = 10});
    expect_good();
    seen((struct history_record){.op = HIST_ISR_ADD, .key = 1, .node = 2, .offset = 9, .value = 10});
    expect_only(VIOLATION_ISR_TOO_EARLY);
}
END_TEST

START_TEST(counted_on_and_not_held)
{
    seen((struct history_record){.op = HIST_HELD, .key = 1, .node = 2, .offset = 10, .value = 10});
    expect_good();
    seen((struct history_record){.op = HIST_HELD, .key = 1, .node = 2, .offset = 9, .value = 10});
    expect_only(VIOLATION_NOT_DURABLE);
}
END_TEST

START_TEST(committed_position_that_goes_back)
{
    call(HIST_OK, (struct history_record){.op = HIST_COMMIT, .key = 1, .aux = 5, .offset = 10});
    history.records[history.count - 2].offset = 10;
    call(HIST_OK,
         (struct history_record){.op = HIST_FETCHED, .key = 1, .aux = 5, .offset = 10, .process = 2});
    call(HIST_OK, (struct history_record){.op = HIST_FETCHED, .key = 1, .aux = 6, .offset = 0, .process = 2});
    expect_good();
    call(HIST_OK, (struct history_record){.op = HIST_FETCHED, .key = 1, .aux = 5, .offset = 9, .process = 2});
    expect_only(VIOLATION_LOST_COMMIT);
}
END_TEST

static void owns(uint32_t process, enum hist_type type, uint64_t generation)
{
    add_record((struct history_record){
        .type = (uint8_t)type, .op = HIST_OWN, .key = 1, .aux = 5, .value = generation, .process = process});
}

START_TEST(two_owners_in_one_generation)
{
    owns(1, HIST_INVOKE, 3);
    owns(2, HIST_INVOKE, 4); /* of another generation: the first does not know yet */
    owns(2, HIST_OK, 4);
    owns(3, HIST_INVOKE, 4);
    expect_good();
    owns(4, HIST_INVOKE, 4);
    expect_only(VIOLATION_DOUBLE_OWNER);
}
END_TEST

START_TEST(what_never_may_happen)
{
    seen((struct history_record){.op = HIST_HEALTH, .value = 1});
    expect_only(VIOLATION_UNHEALTHY);
}
END_TEST

START_TEST(queue_past_its_cap)
{
    seen((struct history_record){.op = HIST_QUEUE, .value = 10, .aux = 10});
    expect_good();
    seen((struct history_record){.op = HIST_QUEUE, .value = 11, .aux = 10});
    expect_only(VIOLATION_QUEUE_OVER_CAP);
}
END_TEST

START_TEST(memory_held_after_the_end)
{
    seen((struct history_record){.op = HIST_LEAK, .value = 0});
    expect_good();
    seen((struct history_record){.op = HIST_LEAK, .value = 2});
    expect_only(VIOLATION_LEAK);
}
END_TEST

/* -- replicas -- */

static void replica(int node, int64_t offset, uint64_t value)
{
    seen((struct history_record){
        .op = HIST_REPLICA, .key = 1, .node = node, .offset = offset, .value = value, .epoch = 2, .aux = 7});
}

static void span(int node, int64_t from, uint64_t to)
{
    seen((struct history_record){
        .op = HIST_REPLICA_SPAN, .key = 1, .node = node, .offset = from, .value = to});
}

static void good_replicas(void)
{
    sent(0, 0xa);
    sent(1, 0xb);
    for (int node = 1; node <= 3; node++) {
        span(node, 0, 2);
        replica(node, 0, 0xa);
        replica(node, 1, 0xb);
    }
}

START_TEST(equal_replicas_pass)
{
    good_replicas();
    expect_good();
}
END_TEST

START_TEST(replicas_with_other_bytes)
{
    good_replicas();
    history.records[history.count - 1].aux = 8;
    expect_only(VIOLATION_DIVERGENCE);
}
END_TEST

START_TEST(replica_with_a_hole)
{
    span(1, 0, 3);
    replica(1, 2, 0xc);
    span(2, 0, 3);
    expect_only(VIOLATION_DIVERGENCE);
}
END_TEST

START_TEST(acknowledged_and_missing_on_a_replica)
{
    good_replicas();
    sent(2, 0xc);
    expect_only(VIOLATION_LOST_WRITE);
}
END_TEST

/* -- registers -- */

static void reg(enum hist_op op, uint64_t from_us, uint64_t to_us, enum hist_type end, uint64_t value)
{
    struct history_record record = {.op = (uint8_t)op, .key = 1, .process = next_op, .op_id = next_op};
    next_op++;
    record.type = HIST_INVOKE;
    record.time_us = from_us;
    record.value = op == HIST_WRITE ? value : 0;
    history_add(&history, &record);
    record.type = (uint8_t)end;
    record.time_us = to_us;
    record.value = value;
    history_add(&history, &record);
}

START_TEST(answers_that_fit_some_order_pass)
{
    reg(HIST_WRITE, 0, 100, HIST_OK, 1);
    reg(HIST_READ, 50, 60, HIST_OK, 0);    /* before it */
    reg(HIST_READ, 70, 80, HIST_OK, 1);    /* after it */
    reg(HIST_WRITE, 90, 95, HIST_INFO, 2); /* nobody knows, until ... */
    reg(HIST_READ, 200, 210, HIST_OK, 1);
    reg(HIST_READ, 300, 310, HIST_OK, 2); /* ... now */
    reg(HIST_WRITE, 400, 410, HIST_FAIL, 3);
    reg(HIST_READ, 500, 510, HIST_OK, 2);
    expect_good();
}
END_TEST

START_TEST(answer_from_the_past)
{
    reg(HIST_WRITE, 0, 100, HIST_OK, 1);
    reg(HIST_WRITE, 200, 300, HIST_OK, 2);
    reg(HIST_READ, 400, 500, HIST_OK, 1);
    expect_only(VIOLATION_NOT_LINEARIZABLE);
}
END_TEST

/* -- files -- */

START_TEST(saved_history_is_the_same_when_loaded)
{
    char dir[] = "/tmp/sluice-hist-XXXXXX", path[128];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    good_log();
    struct history loaded;
    history_init(&loaded);
    size_t half = history.count / 2;
    snprintf(path, sizeof(path), "%s/client-2.hist", dir);
    ck_assert_int_eq(history_save(&history, half, history.count, 2, path), OK);
    snprintf(path, sizeof(path), "%s/client-1.hist", dir);
    ck_assert_int_eq(history_save(&history, 0, half, 1, path), OK);
    ck_assert_int_eq(history_load_dir(&loaded, dir), OK);
    ck_assert_uint_eq(loaded.count, history.count);
    ck_assert_mem_eq(loaded.records, history.records, loaded.count * sizeof(loaded.records[0]));
    ck_assert_int_eq(truncate(path, 100), 0);
    ck_assert_int_eq(history_load(&loaded, path), ERR_TRUNCATED);
    ck_assert_int_eq(truncate(path, 20), 0);
    ck_assert_int_eq(history_load(&loaded, path), ERR_MALFORMED);
    unlink(path);
    snprintf(path, sizeof(path), "%s/client-2.hist", dir);
    unlink(path);
    rmdir(dir);
    history_free(&loaded);
}
END_TEST

static void add(TCase *tcase)
{
    static const TTest *const *const tests[] = {&good_log_passes,
                                                &unknown_send_may_be_there_or_not,
                                                &value_sent_twice_is_a_bad_history,
                                                &two_values_at_one_offset,
                                                &acknowledged_and_passed_by_readers,
                                                &acknowledged_and_never_there,
                                                &weak_sends_may_be_lost,
                                                &what_retention_took_is_not_lost,
                                                &read_once_then_gone,
                                                &read_and_never_sent,
                                                &one_value_at_two_offsets,
                                                &value_of_a_refused_send,
                                                &hole_inside_a_poll,
                                                &step_back_inside_a_poll,
                                                &hole_between_polls,
                                                &step_back_between_polls,
                                                &assignment_allows_any_position,
                                                &order_of_one_producer,
                                                &reader_at_the_end_misses_an_old_record,
                                                &nothing_acknowledged_for_long,
                                                &good_transactions_pass,
                                                &order_inside_a_transaction,
                                                &write_of_an_aborted_transaction,
                                                &own_write_before_the_commit,
                                                &half_of_a_transaction,
                                                &circle_of_reads,
                                                &input_taken_twice,
                                                &marks_that_go_back,
                                                &leaders_of_one_epoch,
                                                &leaders_of_one_term,
                                                &entries_of_one_index,
                                                &images_of_one_offset,
                                                &strangers_in_sync,
                                                &in_sync_before_the_high_watermark,
                                                &counted_on_and_not_held,
                                                &committed_position_that_goes_back,
                                                &two_owners_in_one_generation,
                                                &what_never_may_happen,
                                                &queue_past_its_cap,
                                                &memory_held_after_the_end,
                                                &equal_replicas_pass,
                                                &replicas_with_other_bytes,
                                                &replica_with_a_hole,
                                                &acknowledged_and_missing_on_a_replica,
                                                &answers_that_fit_some_order_pass,
                                                &answer_from_the_past,
                                                &saved_history_is_the_same_when_loaded};
    tcase_add_checked_fixture(tcase, setup, teardown);
    for (size_t i = 0; i < ARRAY_LEN(tests); i++)
        tcase_add_test(tcase, *tests[i]);
}

SLUICE_TEST_MAIN("sim_judge", add)
