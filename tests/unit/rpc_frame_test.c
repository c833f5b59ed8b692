/* SPDX-License-Identifier: Apache-2.0 */
#include "common/rpc/frame.h"

#include <string.h>

#include "common/base/assert.h"
#include "common/base/wire.h"
#include "tests/lib/unit.h"

#define STREAM_FRAMES 40

static uint8_t stream[1 << 20];
static size_t stream_len;

static void stream_add(uint16_t type, uint32_t correlation, size_t len, uint8_t fill)
{
    rpc_header_write(stream + stream_len, type, correlation, len);
    memset(stream + stream_len + RPC_HEADER_BYTES, fill, len);
    stream_len += RPC_HEADER_BYTES + len;
}

static size_t nth_len(size_t n)
{
    return n % 4 == 3 ? n * 1700 : n;
}

static void stream_fill(void)
{
    stream_len = 0;
    for (size_t n = 0; n < STREAM_FRAMES; n++)
        stream_add((uint16_t)n, (uint32_t)n * 7, nth_len(n), (uint8_t)n);
}

static void check_frame(const struct rpc_frame *frame, size_t n)
{
    ck_assert_uint_eq(frame->type, n);
    ck_assert_uint_eq(frame->correlation, n * 7);
    ck_assert_uint_eq(frame->len, nth_len(n));
    for (size_t i = 0; i < frame->len; i++)
        if (frame->payload[i] != n)
            ck_abort_msg("byte %zu of frame %zu is wrong", i, n);
}

static void feed(struct rpc_framer *framer, const uint8_t *p, size_t len)
{
    while (len > 0) {
        void *room;
        size_t size;
        ck_assert_int_eq(rpc_framer_space(framer, &room, &size), OK);
        size = MIN(size, len);
        memcpy(room, p, size);
        rpc_framer_filled(framer, size);
        p += size;
        len -= size;
    }
}

/* Feeds at most what one space() gives. */
static size_t feed_some(struct rpc_framer *framer, const uint8_t *p, size_t len)
{
    void *room;
    size_t size;
    if (rpc_framer_space(framer, &room, &size) != OK ||
        size == 0) /* ck_assert is slow: once a byte is too often */
        ck_abort_msg("no room");
    size = MIN(size, len);
    memcpy(room, p, size);
    rpc_framer_filled(framer, size);
    return size;
}

START_TEST(frames_come_out_whole_however_the_stream_is_cut)
{
    static const size_t pieces[] = {1, 2, 13, 14, 15, 1000, 16384, 1 << 20};
    stream_fill();
    for (size_t k = 0; k < ARRAY_LEN(pieces); k++) {
        struct rpc_framer framer;
        struct rpc_frame frame;
        size_t n = 0;
        rpc_framer_init(&framer, NULL, RPC_PAYLOAD_MAX_BYTES);
        for (size_t at = 0; at < stream_len;) {
            at += feed_some(&framer, stream + at, MIN(pieces[k], stream_len - at));
            while (rpc_framer_next(&framer, &frame) == 1)
                check_frame(&frame, n++);
            rpc_framer_rest(&framer);
        }
        ck_assert_uint_eq(n, STREAM_FRAMES);
        ck_assert_ptr_null(framer.buf); /* nothing is held when nothing waits */
    }
}
END_TEST

START_TEST(kept_payloads_do_not_change_while_the_stream_goes_on)
{
    struct iobuf *kept[STREAM_FRAMES];
    struct rpc_frame frames[STREAM_FRAMES];
    struct rpc_framer framer;
    size_t n = 0;
    stream_fill();
    rpc_framer_init(&framer, NULL, RPC_PAYLOAD_MAX_BYTES);
    for (size_t at = 0; at < stream_len;) {
        at += feed_some(&framer, stream + at, MIN((size_t)900, stream_len - at));
        while (rpc_framer_next(&framer, &frames[n]) == 1)
            kept[n++] = iobuf_ref(framer.buf);
    }
    rpc_framer_free(&framer);
    ck_assert_uint_eq(n, STREAM_FRAMES);
    for (size_t i = 0; i < n; i++) {
        check_frame(&frames[i], i);
        iobuf_unref(kept[i]);
    }
}
END_TEST

START_TEST(wrong_magic_is_malformed_as_soon_as_it_is_seen)
{
    struct rpc_framer framer;
    struct rpc_frame frame;
    rpc_framer_init(&framer, NULL, RPC_PAYLOAD_MAX_BYTES);
    feed(&framer, (const uint8_t *)"SLU", 3);
    ck_assert_int_eq(rpc_framer_next(&framer, &frame), 0);
    feed(&framer, (const uint8_t *)"D", 1);
    ck_assert_int_eq(rpc_framer_next(&framer, &frame), ERR_MALFORMED);
    rpc_framer_free(&framer);
}
END_TEST

START_TEST(announced_length_is_checked_and_costs_no_memory_before_the_bytes_arrive)
{
    struct iobuf_pool *pool = iobuf_pool_new(0);
    struct rpc_framer framer;
    struct rpc_frame frame;
    uint8_t header[RPC_HEADER_BYTES], byte = 0;
    rpc_framer_init(&framer, pool, RPC_PAYLOAD_MAX_BYTES);
    rpc_header_write(header, 1, 1, RPC_PAYLOAD_MAX_BYTES);
    feed(&framer, header, sizeof(header));
    ck_assert_int_eq(rpc_framer_next(&framer, &frame), 0);
    feed(&framer, &byte, 1);
    ck_assert_uint_le(iobuf_pool_bytes_out(pool), 2 * RPC_READ_CHUNK_BYTES);
    rpc_framer_free(&framer);
    rpc_framer_init(&framer, pool, RPC_HELLO_MAX_BYTES);
    rpc_header_write(header, 1, 1, RPC_HELLO_MAX_BYTES + 1);
    feed(&framer, header, sizeof(header));
    ck_assert_int_eq(rpc_framer_next(&framer, &frame), ERR_TOO_LARGE);
    rpc_framer_free(&framer);
    iobuf_pool_drop(pool);
}
END_TEST

START_TEST(largest_payload_passes)
{
    struct rpc_framer framer;
    struct rpc_frame frame;
    uint8_t header[RPC_HEADER_BYTES];
    static uint8_t piece[1 << 20];
    rpc_framer_init(&framer, NULL, RPC_PAYLOAD_MAX_BYTES);
    rpc_header_write(header, 9, 1, RPC_PAYLOAD_MAX_BYTES);
    feed(&framer, header, sizeof(header));
    for (size_t at = 0; at < RPC_PAYLOAD_MAX_BYTES; at += sizeof(piece)) {
        ck_assert_int_eq(rpc_framer_next(&framer, &frame), 0);
        feed(&framer, piece, sizeof(piece));
    }
    ck_assert_int_eq(rpc_framer_next(&framer, &frame), 1);
    ck_assert_uint_eq(frame.len, RPC_PAYLOAD_MAX_BYTES);
    rpc_framer_free(&framer);
}
END_TEST

START_TEST(hello_survives_the_wire_and_later_versions_may_append)
{
    struct rpc_peer_info info = {.node_id = 1234567,
                                 .role = RPC_ROLE_BROKER,
                                 .incarnation = 0x1122334455667788},
                         got = {.role = 0};
    uint8_t bytes[RPC_HELLO_BYTES + 5] = {0};
    for (int i = 0; i < 16; i++)
        info.cluster_id.b[i] = (uint8_t)(i + 1);
    rpc_hello_write(bytes, &info);
    ck_assert_int_eq(rpc_hello_read(bytes, RPC_HELLO_BYTES, &got), OK);
    ck_assert_int_eq(got.node_id, info.node_id);
    ck_assert_uint_eq(got.role, info.role);
    ck_assert_uint_eq(got.incarnation, info.incarnation);
    ck_assert(uuid_eq(got.cluster_id, info.cluster_id));
    ck_assert_int_eq(rpc_hello_read(bytes, sizeof(bytes), &got), OK);
}
END_TEST

START_TEST(hello_of_another_version_role_or_length_is_refused)
{
    struct rpc_peer_info info = {.node_id = 1, .role = RPC_ROLE_TOOL}, got;
    uint8_t bytes[RPC_HELLO_BYTES];
    rpc_hello_write(bytes, &info);
    for (size_t len = 0; len < RPC_HELLO_BYTES; len++)
        ck_assert_int_eq(rpc_hello_read(bytes, len, &got), ERR_MALFORMED);
    bytes[2] = 0;
    ck_assert_int_eq(rpc_hello_read(bytes, sizeof(bytes), &got), ERR_MALFORMED);
    bytes[2] = RPC_ROLE_TOOL + 1;
    ck_assert_int_eq(rpc_hello_read(bytes, sizeof(bytes), &got), ERR_MALFORMED);
    store_be16(bytes, RPC_PROTOCOL_VERSION + 1);
    ck_assert_int_eq(rpc_hello_read(bytes, 2, &got), ERR_VERSION);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, frames_come_out_whole_however_the_stream_is_cut);
    tcase_add_test(tcase, kept_payloads_do_not_change_while_the_stream_goes_on);
    tcase_add_test(tcase, wrong_magic_is_malformed_as_soon_as_it_is_seen);
    tcase_add_test(tcase, announced_length_is_checked_and_costs_no_memory_before_the_bytes_arrive);
    tcase_add_test(tcase, largest_payload_passes);
    tcase_add_test(tcase, hello_survives_the_wire_and_later_versions_may_append);
    tcase_add_test(tcase, hello_of_another_version_role_or_length_is_refused);
}

SLUICE_TEST_MAIN("rpc_frame", add_tests)
