/* SPDX-License-Identifier: Apache-2.0 */
/* Back-pressure: pausing, marks, large amounts, files, and what a steady connection costs. */
#include <string.h>

#include "common/base/assert.h"
#include "tests/env/conf_lib.h"

#define LARGE_BYTES     (8u << 20)
#define PIECE_BYTES     (64u << 10)
#define STUCK_MAX_BYTES (256u << 20)

static struct conf_pair pair;

/* Queues total pattern bytes in pieces, the pattern going on from `from`. */
static void write_pattern_from(struct conf_end *end, size_t from, size_t total)
{
    for (size_t at = from; at < from + total; at += PIECE_BYTES) {
        size_t len = MIN(PIECE_BYTES, from + total - at);
        struct iobuf *buf = iobuf_get(end->env->pool, len);
        for (size_t i = 0; i < len; i++)
            buf->data[i] = conf_pattern(at + i);
        CONF_CALL(env_conn_write(end->conn, buf, 0, len));
        iobuf_unref(buf);
    }
}

static void write_pattern(struct conf_end *end, size_t total)
{
    write_pattern_from(end, 0, total);
}

/* Writes until more than 2 MiB stay queued, however much the kernel buffers. Returns the bytes written. */
static size_t write_until_stuck(struct conf_end *end)
{
    size_t total = 0;
    do {
        ck_assert_uint_lt(total, STUCK_MAX_BYTES);
        write_pattern_from(end, total, LARGE_BYTES);
        total += LARGE_BYTES;
        conf_let_run(20000);
    } while (env_conn_queued(end->conn) <= 2u << 20);
    return total;
}

static void check_pattern(const struct conf_end *end, size_t len)
{
    ck_assert_uint_eq(end->received_len, len);
    for (size_t i = 0; i < len; i++)
        if (end->received[i] != conf_pattern(i))
            ck_abort_msg("byte %zu is wrong", i);
}

START_TEST(alloc_that_gives_nothing_pauses_and_resume_asks_again)
{
    conf_pair_open(&pair);
    pair.server.refuse_alloc = true;
    conf_end_write(&pair.client, "wait", 4);
    conf_wait_count(&pair.server.refused_count, 1);
    conf_let_run(5000);
    ck_assert_uint_eq(pair.server.refused_count, 1);
    ck_assert_uint_eq(pair.server.received_len, 0);
    pair.server.refuse_alloc = false;
    CONF_CALL(env_conn_resume(pair.server.conn));
    conf_wait_received(&pair.server, 4);
    ck_assert_mem_eq(pair.server.received, "wait", 4);
    conf_pair_close(&pair);
}
END_TEST

START_TEST(paused_connection_reads_nothing_and_loses_nothing)
{
    conf_pair_open(&pair);
    CONF_CALL(env_conn_pause(pair.server.conn));
    CONF_CALL(env_conn_pause(pair.server.conn));
    conf_end_write(&pair.client, "one", 3);
    conf_let_run(5000);
    ck_assert_uint_eq(pair.server.received_len, 0);
    conf_end_write(&pair.client, "two", 3);
    conf_let_run(5000);
    CONF_CALL(env_conn_resume(pair.server.conn));
    conf_wait_received(&pair.server, 6);
    CONF_CALL(env_conn_pause(pair.server.conn));
    CONF_CALL(env_conn_resume(pair.server.conn)); /* in one turn */
    conf_end_write(&pair.client, "end", 3);
    conf_wait_received(&pair.server, 9);
    ck_assert_mem_eq(pair.server.received, "onetwoend", 9);
    conf_pair_close(&pair);
}
END_TEST

static void pause_after_each(struct conf_end *end, const uint8_t *p, size_t len)
{
    CONF_CALL(env_conn_pause(end->conn));
}

START_TEST(pause_inside_read_takes_effect_at_once)
{
    pair.server.buf_limit = 2;
    pair.server.on_read = pause_after_each;
    conf_pair_open(&pair);
    conf_end_write(&pair.client, "abcdef", 6);
    for (size_t len = 2; len <= 6; len += 2) {
        conf_wait_received(&pair.server, len);
        conf_let_run(2000);
        ck_assert_uint_eq(pair.server.received_len, len);
        CONF_CALL(env_conn_resume(pair.server.conn));
    }
    conf_pair_close(&pair);
}
END_TEST

START_TEST(small_buffers_get_every_byte_once)
{
    pair.server.buf_limit = 7;
    conf_pair_open(&pair);
    write_pattern(&pair.client, 100000);
    conf_wait_received(&pair.server, 100000);
    check_pattern(&pair.server, 100000);
    conf_pair_close(&pair);
}
END_TEST

START_TEST(slow_reader_fills_the_queue_and_drained_comes_once_at_half)
{
    conf_pair_open(&pair);
    CONF_CALL(env_conn_pause(pair.server.conn));
    env_conn_set_high_mark(pair.client.conn, 1u << 20);
    size_t total = write_until_stuck(&pair.client);
    size_t before =
        pair.client.drained_count; /* more than 0 only where the kernel took the first rounds whole */
    CONF_CALL(env_conn_resume(pair.server.conn));
    conf_wait_count(&pair.client.drained_count, before + 1);
    ck_assert_uint_le(env_conn_queued(pair.client.conn), 1u << 19);
    conf_wait_received(&pair.server, total);
    check_pattern(&pair.server, total);
    conf_end_write(&pair.client, "more", 4); /* far below the mark */
    conf_wait_received(&pair.server, total + 4);
    conf_turn();
    ck_assert_uint_eq(pair.client.drained_count, before + 1);
    conf_pair_close(&pair);
}
END_TEST

START_TEST(drained_is_not_called_below_the_mark)
{
    conf_pair_open(&pair);
    env_conn_set_high_mark(pair.client.conn, 200000);
    write_pattern(&pair.client, 200000);
    conf_wait_received(&pair.server, 200000);
    conf_let_run(2000);
    ck_assert_uint_eq(pair.client.drained_count, 0);
    conf_pair_close(&pair);
}
END_TEST

START_TEST(close_under_back_pressure_ends_both_sides)
{
    conf_pair_open(&pair);
    CONF_CALL(env_conn_pause(pair.server.conn));
    size_t total = write_until_stuck(&pair.client);
    CONF_CALL(env_conn_close(pair.client.conn));
    ck_assert_uint_eq(env_conn_queued(pair.client.conn), 0);
    conf_wait_count(&pair.client.closed_count, 1);
    CONF_CALL(env_conn_resume(pair.server.conn));
    conf_wait_count(&pair.server.closed_count, 1);
    ck_assert_uint_lt(pair.server.received_len, total);
    conf_pair_close(&pair);
}
END_TEST

/* -- files -- */

START_TEST(large_file_range_goes_out_between_memory_pieces)
{
    struct env_file *file = conf_pattern_file("large", LARGE_BYTES);
    conf_pair_open(&pair);
    conf_end_write(&pair.client, "<", 1);
    CONF_CALL(env_conn_write_file(pair.client.conn, file, 0, LARGE_BYTES));
    conf_end_write(&pair.client, ">", 1);
    ck_assert_uint_eq(env_conn_queued(pair.client.conn), LARGE_BYTES + 2);
    env_file_close(file);
    conf_wait_received(&pair.server, LARGE_BYTES + 2);
    ck_assert_uint_eq(pair.server.received[0], '<');
    ck_assert_uint_eq(pair.server.received[LARGE_BYTES + 1], '>');
    for (size_t i = 0; i < LARGE_BYTES; i++)
        if (pair.server.received[i + 1] != conf_pattern(i))
            ck_abort_msg("byte %zu is wrong", i);
    conf_pair_close(&pair);
}
END_TEST

START_TEST(file_that_is_shorter_than_the_range_closes_the_connection)
{
    struct env_file *file = conf_pattern_file("short", 1000);
    conf_pair_open(&pair);
    CONF_CALL(env_conn_write_file(pair.client.conn, file, 500, 501));
    conf_wait_count(&pair.client.closed_count, 1);
    conf_wait_count(&pair.server.closed_count, 1);
    ck_assert_int_eq(pair.client.why, ERR_TRUNCATED);
    ck_assert_uint_le(pair.server.received_len, 500);
    env_file_close(file);
    conf_pair_close(&pair);
}
END_TEST

START_TEST(file_unlinked_while_queued_is_sent_all_the_same)
{
    struct env_file *file = conf_pattern_file("gone", 5000);
    conf_pair_open(&pair);
    CONF_CALL(env_conn_write_file(pair.client.conn, file, 0, 5000));
    env_file_close(file);
    ck_assert_int_eq(env_unlink(conf_env, conf_path("gone")), OK);
    conf_wait_received(&pair.server, 5000);
    check_pattern(&pair.server, 5000);
    conf_pair_close(&pair);
}
END_TEST

START_TEST(revoked_file_is_not_sent_any_more)
{
    struct env_file *file = conf_pattern_file("revoked", 5000);
    conf_pair_open(&pair);
    CONF_CALL(env_conn_write_file(pair.client.conn, file, 0, 5000));
    CONF_CALL(env_file_revoke(file));
    conf_wait_count(&pair.client.closed_count, 1);
    ck_assert_int_eq(pair.client.why, ERR_TRUNCATED);
    conf_wait_count(&pair.server.closed_count, 1);
    ck_assert_uint_eq(pair.server.received_len, 0);
    uint8_t byte;
    size_t got;
    ck_assert_int_eq(env_file_read(file, 7, &byte, 1, &got), OK); /* everything else goes on */
    ck_assert_uint_eq(byte, conf_pattern(7));
    env_file_close(file);
    conf_pair_close(&pair);
}
END_TEST

START_TEST(a_file_is_shared_while_somebody_else_holds_it)
{
    struct env_file *file = conf_pattern_file("shared", 5000);
    ck_assert(!env_file_shared(file));
    env_file_close(env_file_ref(file));
    ck_assert(!env_file_shared(file));
    conf_pair_open(&pair);
    env_conn_pause(pair.server.conn);
    CONF_CALL(env_conn_write_file(pair.client.conn, file, 0, 5000));
    ck_assert(env_file_shared(file)); /* queued: nothing is sent within the call (E2) */
    env_conn_resume(pair.server.conn);
    conf_wait_received(&pair.server, 5000);
    conf_pair_close(&pair);
    ck_assert(!env_file_shared(file));
    env_file_close(file);
}
END_TEST

/* -- the steady path -- */

#define STEADY_ROUNDS 2000

static size_t rounds;

static void bounce(struct conf_end *end, const uint8_t *p, size_t len)
{
    end->received_len = 0;
    rounds++;
    conf_end_write(end, p, len);
}

START_TEST(steady_exchange_takes_no_memory)
{
    pair.server.on_read = pair.client.on_read = bounce;
    pair.server.discard = pair.client.discard = true;
    conf_pair_open(&pair);
    conf_end_write(&pair.client, "ball", 4);
    conf_wait_count(&rounds, 100);
    uint64_t mallocs = iobuf_pool_mallocs(conf_env->pool);
    conf_wait_count(&rounds, 100 + STEADY_ROUNDS);
    ck_assert_uint_eq(iobuf_pool_mallocs(conf_env->pool), mallocs);
    pair.server.on_read = pair.client.on_read = NULL;
    conf_pair_close(&pair);
    ck_assert_uint_eq(iobuf_pool_bytes_out(conf_env->pool), 0);
}
END_TEST

static bool all_buffers_are_back(void *ctx)
{
    return iobuf_pool_bytes_out(conf_env->pool) == 0;
}

START_TEST(buffers_of_a_broken_connection_come_back)
{
    conf_pair_open(&pair);
    CONF_CALL(env_conn_pause(pair.server.conn));
    write_until_stuck(&pair.client);
    ck_assert_uint_gt(iobuf_pool_bytes_out(conf_env->pool), 0);
    CONF_CALL(env_conn_close(pair.server.conn));
    conf_wait_count(&pair.client.closed_count, 1);
    ck_assert_int_eq(pair.client.why, ERR_CLOSED);
    conf_wait(all_buffers_are_back, NULL); /* the other side may still close */
    conf_pair_close(&pair);
}
END_TEST

void conf_add_flow(TCase *tcase)
{
    tcase_add_test(tcase, alloc_that_gives_nothing_pauses_and_resume_asks_again);
    tcase_add_test(tcase, paused_connection_reads_nothing_and_loses_nothing);
    tcase_add_test(tcase, pause_inside_read_takes_effect_at_once);
    tcase_add_test(tcase, small_buffers_get_every_byte_once);
    tcase_add_test(tcase, slow_reader_fills_the_queue_and_drained_comes_once_at_half);
    tcase_add_test(tcase, drained_is_not_called_below_the_mark);
    tcase_add_test(tcase, close_under_back_pressure_ends_both_sides);
    tcase_add_test(tcase, large_file_range_goes_out_between_memory_pieces);
    tcase_add_test(tcase, file_that_is_shorter_than_the_range_closes_the_connection);
    tcase_add_test(tcase, file_unlinked_while_queued_is_sent_all_the_same);
    tcase_add_test(tcase, revoked_file_is_not_sent_any_more);
    tcase_add_test(tcase, a_file_is_shared_while_somebody_else_holds_it);
    tcase_add_test(tcase, steady_exchange_takes_no_memory);
    tcase_add_test(tcase, buffers_of_a_broken_connection_come_back);
}
