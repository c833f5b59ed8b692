/* SPDX-License-Identifier: Apache-2.0 */
#include "common/compress/compress.h"

#include <snappy-c.h>
#include <stdio.h>
#include <string.h>
#include <zstd.h>

#include "common/base/assert.h"
#include "common/base/err.h"
#include "common/base/prng.h"
#include "tests/lib/unit.h"

#define CAP_BYTES ((size_t)8 << 20)

static struct compress_ctx *ctx;
static struct compress_buf plain;

static void setup(void)
{
    ctx = compress_ctx_new();
    compress_buf_init(&plain, CAP_BYTES);
}

static void teardown(void)
{
    compress_buf_free(&plain);
    compress_ctx_free(ctx);
}

struct packed {
    uint8_t *p;
    size_t len;
};

static struct packed pack(enum codec codec, int level, const void *in, size_t len)
{
    struct packed out = {.p = malloc(compress_bound(codec, len) + 1)};
    ck_assert_int_eq(compress_into(ctx, codec, level, in, len, out.p, compress_bound(codec, len), &out.len),
                     OK);
    return out;
}

/* Text with repetitions, like log lines: every codec can shrink it. */
static uint8_t *lines(size_t len)
{
    uint8_t *p = malloc(len + 64);
    struct prng prng;
    prng_seed(&prng, len);
    for (size_t at = 0; at < len;)
        at += (size_t)sprintf((char *)p + at, "level=info id=%llu msg=\"hello\"\n",
                              (unsigned long long)prng_below(&prng, 100000));
    return p;
}

static uint8_t *noise(size_t len)
{
    uint8_t *p = malloc(len + 1);
    struct prng prng;
    prng_seed(&prng, len);
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)prng_next(&prng);
    return p;
}

static void check_round_trip(enum codec codec, int level, const uint8_t *in, size_t len)
{
    struct packed out = pack(codec, level, in, len);
    ck_assert_int_eq(decompress_into(ctx, codec, out.p, out.len, 0, &plain), OK);
    ck_assert_uint_eq(plain.len, len);
    ck_assert(len == 0 || memcmp(plain.p, in, len) == 0);
    free(out.p);
}

START_TEST(every_codec_round_trips_every_size_and_content)
{
    static const size_t sizes[] = {0,     1,     2,     15,    100,    4095,    32767,
                                   32768, 32769, 65536, 65537, 200000, 1048576, 3000001};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        uint8_t *text = lines(sizes[i]), *random = noise(sizes[i]);
        check_round_trip((enum codec)_i, COMPRESS_LEVEL_DEFAULT, text, sizes[i]);
        check_round_trip((enum codec)_i, COMPRESS_LEVEL_DEFAULT, random, sizes[i]);
        free(text);
        free(random);
    }
}
END_TEST

START_TEST(levels_are_checked_and_used)
{
    static const struct {
        enum codec codec;
        int low, high;
    } scales[] = {{CODEC_GZIP, 1, 9}, {CODEC_LZ4, 1, 17}, {CODEC_ZSTD, -131072, 22}};
    uint8_t *text = lines(50000), out[16];
    size_t n;
    for (size_t i = 0; i < ARRAY_LEN(scales); i++) {
        check_round_trip(scales[i].codec, scales[i].low, text, 50000);
        check_round_trip(scales[i].codec, scales[i].high, text, 50000);
        ck_assert_int_eq(
            compress_into(ctx, scales[i].codec, scales[i].low - 1, text, 9, out, sizeof(out), &n),
            ERR_INVALID);
        ck_assert_int_eq(
            compress_into(ctx, scales[i].codec, scales[i].high + 1, text, 9, out, sizeof(out), &n),
            ERR_INVALID);
    }
    struct packed fast = pack(CODEC_GZIP, 1, text, 50000), best = pack(CODEC_GZIP, 9, text, 50000);
    ck_assert_uint_lt(best.len, fast.len);
    free(fast.p);
    free(best.p);
    free(text);
}
END_TEST

START_TEST(an_output_that_is_too_small_is_refused)
{
    uint8_t *random = noise(5000), out[5000];
    size_t n = 77;
    for (size_t size = 0; size < sizeof(out); size += 499)
        ck_assert_int_eq(
            compress_into(ctx, (enum codec)_i, COMPRESS_LEVEL_DEFAULT, random, 5000, out, size, &n),
            ERR_TOO_LARGE);
    ck_assert_uint_eq(n, 77);
    free(random);
}
END_TEST

START_TEST(names_map_both_ways)
{
    enum codec codec;
    ck_assert_int_eq(codec_from_name(str_from(codec_name((enum codec)_i)), &codec), OK);
    ck_assert_int_eq(codec, _i);
    ck_assert_int_eq(codec_from_name(STR_LIT("brotli"), &codec), ERR_NOT_FOUND);
}
END_TEST

START_TEST(an_unknown_codec_is_unsupported)
{
    uint8_t byte = 0;
    size_t n;
    ck_assert_int_eq(decompress_into(ctx, (enum codec)5, &byte, 1, 0, &plain), ERR_UNSUPPORTED);
    ck_assert_int_eq(compress_into(ctx, (enum codec)7, 0, &byte, 1, &byte, 1, &n), ERR_UNSUPPORTED);
}
END_TEST

/* Cut at every byte: never a crash, never more than a true beginning of the data, and only snappy (whose
 * framing has no end mark) may call a cut stream complete. */
START_TEST(a_cut_stream_is_refused_at_every_byte)
{
    size_t len = 70000;
    uint8_t *text = lines(len);
    struct packed out = pack((enum codec)_i, COMPRESS_LEVEL_DEFAULT, text, len);
    for (size_t cut = 0; cut < out.len; cut++) {
        uint8_t *exact = malloc(cut + 1); /* so that a read past the cut is seen by the address checker */
        memcpy(exact, out.p, cut);
        int err = decompress_into(ctx, (enum codec)_i, exact, cut, 0, &plain);
        if (err == OK) {
            ck_assert_int_eq(_i, CODEC_SNAPPY);
            ck_assert_uint_lt(plain.len, len);
            ck_assert(plain.len == 0 || memcmp(plain.p, text, plain.len) == 0);
        } else {
            ck_assert_int_eq(err, ERR_MALFORMED);
            ck_assert_uint_eq(plain.len, 0);
        }
        free(exact);
    }
    check_round_trip((enum codec)_i, COMPRESS_LEVEL_DEFAULT, text, len); /* the context survived */
    free(out.p);
    free(text);
}
END_TEST

START_TEST(trailing_bytes_are_refused)
{
    struct packed out = pack((enum codec)_i, COMPRESS_LEVEL_DEFAULT, "some plain bytes", 16);
    out.p[out.len] = 0x55;
    ck_assert_int_eq(decompress_into(ctx, (enum codec)_i, out.p, out.len + 1, 0, &plain), ERR_MALFORMED);
    free(out.p);
}
END_TEST

START_TEST(flipped_bits_never_pass_the_cap_or_crash)
{
    size_t len = 3000;
    uint8_t *text = lines(len);
    struct packed out = pack((enum codec)_i, COMPRESS_LEVEL_DEFAULT, text, len);
    struct compress_buf small;
    compress_buf_init(&small, 5000);
    for (size_t bit = 0; bit < out.len * 8; bit++) {
        out.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
        int err = decompress_into(ctx, (enum codec)_i, out.p, out.len, 0, &small);
        ck_assert(err == OK || err == ERR_MALFORMED || err == ERR_TOO_LARGE);
        ck_assert_uint_le(small.len, 5000);
        out.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    compress_buf_free(&small);
    free(out.p);
    free(text);
}
END_TEST

START_TEST(a_bomb_stops_at_the_cap)
{
    size_t len = (size_t)32 << 20;
    uint8_t *zeros = calloc(1, len);
    struct packed out = pack((enum codec)_i, COMPRESS_LEVEL_DEFAULT, zeros, len);
    struct compress_buf small;
    compress_buf_init(&small, (size_t)1 << 20);
    ck_assert_int_eq(decompress_into(ctx, (enum codec)_i, out.p, out.len, 0, &small), ERR_TOO_LARGE);
    ck_assert_uint_eq(small.len, 0);
    ck_assert_uint_le(small.size, ((size_t)1 << 20) + 4096);
    compress_buf_free(&small);
    free(out.p);
    free(zeros);
}
END_TEST

START_TEST(the_cap_itself_is_allowed_and_one_byte_more_is_not)
{
    size_t len = 200000;
    uint8_t *text = lines(len);
    struct packed out = pack((enum codec)_i, COMPRESS_LEVEL_DEFAULT, text, len);
    struct compress_buf exact, less;
    compress_buf_init(&exact, len);
    compress_buf_init(&less, len - 1);
    ck_assert_int_eq(decompress_into(ctx, (enum codec)_i, out.p, out.len, 0, &exact), OK);
    ck_assert_mem_eq(exact.p, text, len);
    ck_assert_int_eq(decompress_into(ctx, (enum codec)_i, out.p, out.len, 0, &less), ERR_TOO_LARGE);
    compress_buf_free(&exact);
    compress_buf_free(&less);
    free(out.p);
    free(text);
}
END_TEST

START_TEST(the_ratio_caps_large_outputs_and_spares_small_ones)
{
    uint8_t *zeros = calloc(1, 1 << 20);
    struct packed large = pack((enum codec)_i, COMPRESS_LEVEL_DEFAULT, zeros, 1 << 20);
    struct packed small = pack((enum codec)_i, COMPRESS_LEVEL_DEFAULT, zeros, 1 << 16);
    ck_assert_int_eq(decompress_into(ctx, (enum codec)_i, large.p, large.len, 10, &plain), ERR_TOO_LARGE);
    ck_assert_int_eq(decompress_into(ctx, (enum codec)_i, large.p, large.len, 1 << 20, &plain), OK);
    ck_assert_int_eq(decompress_into(ctx, (enum codec)_i, small.p, small.len, 1, &plain), OK);
    free(large.p);
    free(small.p);
    free(zeros);
}
END_TEST

/* A few bytes that claim gigabytes must not make us allocate them. */
START_TEST(sizes_that_lie_take_no_memory)
{
    static const uint8_t snappy_raw[] = {0xff, 0xff, 0xff, 0xff, 0x07, 0x00, 'x'};
    static const uint8_t zstd_huge[] = {0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0x10, 0, 0, 0, 0, 1, 0, 0};
    struct packed gzip = pack(CODEC_GZIP, 6, "x", 1);
    memset(gzip.p + gzip.len - 4, 0x7f, 4);
    ck_assert_int_eq(decompress_into(ctx, CODEC_SNAPPY, snappy_raw, sizeof(snappy_raw), 0, &plain),
                     ERR_MALFORMED);
    ck_assert_int_eq(decompress_into(ctx, CODEC_ZSTD, zstd_huge, sizeof(zstd_huge), 0, &plain),
                     ERR_MALFORMED);
    ck_assert_int_eq(decompress_into(ctx, CODEC_GZIP, gzip.p, gzip.len, 0, &plain), ERR_MALFORMED);
    ck_assert_uint_le(plain.size, 8192);
    free(gzip.p);
}
END_TEST

START_TEST(concatenated_gzip_members_are_one_stream)
{
    uint8_t *text = lines(150000), both[200000];
    struct packed a = pack(CODEC_GZIP, 6, text, 100000), b = pack(CODEC_GZIP, 9, text + 100000, 50000);
    memcpy(both, a.p, a.len);
    memcpy(both + a.len, b.p, b.len);
    ck_assert_int_eq(decompress_into(ctx, CODEC_GZIP, both, a.len + b.len, 0, &plain), OK);
    ck_assert_uint_eq(plain.len, 150000);
    ck_assert_mem_eq(plain.p, text, 150000);
    free(a.p);
    free(b.p);
    free(text);
}
END_TEST

START_TEST(raw_snappy_is_read_too)
{
    uint8_t *text = lines(40000), out[60000];
    size_t n = sizeof(out);
    ck_assert_int_eq(snappy_compress((char *)text, 40000, (char *)out, &n), SNAPPY_OK);
    ck_assert_int_eq(decompress_into(ctx, CODEC_SNAPPY, out, n, 0, &plain), OK);
    ck_assert_uint_eq(plain.len, 40000);
    ck_assert_mem_eq(plain.p, text, 40000);
    free(text);
}
END_TEST

START_TEST(snappy_is_written_in_xerial_framing)
{
    static const uint8_t want[] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0,   0,   1,  0,
                                   0,    0,   1,   0,   0,   0,   5,   3, 8, 'a', 'b', 'c'};
    struct packed out = pack(CODEC_SNAPPY, 0, "abc", 3);
    ck_assert_uint_eq(out.len, sizeof(want));
    ck_assert_mem_eq(out.p, want, sizeof(want));
    free(out.p);
}
END_TEST

START_TEST(lz4_frames_are_what_javas_reader_accepts)
{
    struct packed out = pack(CODEC_LZ4, COMPRESS_LEVEL_DEFAULT, "abc", 3);
    static const uint8_t magic[] = {0x04, 0x22, 0x4d, 0x18};
    ck_assert_mem_eq(out.p, magic, 4);
    ck_assert_uint_eq(out.p[4], 0x60); /* version 1, independent blocks, no checksums, no size */
    ck_assert_uint_eq(out.p[5], 0x40); /* 64 KiB blocks */
    free(out.p);
}
END_TEST

START_TEST(zstd_frames_without_a_size_and_several_frames_are_read)
{
    size_t len = 2000000, n = 0;
    uint8_t *text = lines(len), *out = malloc(compress_bound(CODEC_ZSTD, len) * 2);
    ZSTD_CCtx *cctx = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(cctx, ZSTD_c_checksumFlag, 1);
    for (int part = 0; part < 2; part++) {
        ZSTD_inBuffer in = {text + len / 2 * (size_t)part, len / 2, 0};
        ZSTD_outBuffer to = {out + n, compress_bound(CODEC_ZSTD, len), 0};
        while (in.pos < in.size)
            ZSTD_compressStream2(cctx, &to, &in,
                                 ZSTD_e_continue); /* a first call without end hides the size */
        while (ZSTD_compressStream2(cctx, &to, &in, ZSTD_e_end) != 0)
            ;
        n += to.pos;
    }
    ck_assert_uint_eq(ZSTD_getFrameContentSize(out, n), ZSTD_CONTENTSIZE_UNKNOWN);
    ck_assert_int_eq(decompress_into(ctx, CODEC_ZSTD, out, n, 0, &plain), OK);
    ck_assert_uint_eq(plain.len, len);
    ck_assert_mem_eq(plain.p, text, len);
    ZSTD_freeCCtx(cctx);
    free(out);
    free(text);
}
END_TEST

/* Found by fuzzing: a frame that says it holds nothing, behind others that fill the buffer, was tried for
 * ever.
 */
START_TEST(a_zstd_frame_that_says_it_is_empty_and_is_not_is_refused)
{
    static const uint8_t frames[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x00, 0x30, 0x00, 0x00, 0x28,
                                     0xb5, 0x2f, 0xfd, 0x00, 0x00, 0x01, 0x00, 0x00, 0x28, 0xb5,
                                     0x2f, 0xfd, 0x00, 0x00, 0xd3, 0xff, 0x09, 0x24, 0x28, 0xb5,
                                     0x2f, 0xfd, 0x30, 0x00, 0x93, 0x2f, 0xfd, 0x01};
    struct compress_buf small;
    compress_buf_init(&small, 256 << 10);
    ck_assert_int_ne(decompress_into(ctx, CODEC_ZSTD, frames, sizeof(frames), 0, &small), OK);
    compress_buf_free(&small);
}
END_TEST

START_TEST(trim_gives_back_only_what_is_above_the_bound)
{
    uint8_t *text = lines(100000);
    check_round_trip(CODEC_ZSTD, COMPRESS_LEVEL_DEFAULT, text, 100000);
    compress_buf_trim(&plain, 1 << 20);
    ck_assert_ptr_nonnull(plain.p);
    compress_buf_trim(&plain, 1000);
    ck_assert_ptr_null(plain.p);
    check_round_trip(CODEC_ZSTD, COMPRESS_LEVEL_DEFAULT, text, 100000);
    free(text);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, every_codec_round_trips_every_size_and_content, 0, CODEC_COUNT);
    tcase_add_test(tcase, levels_are_checked_and_used);
    tcase_add_loop_test(tcase, an_output_that_is_too_small_is_refused, 0, CODEC_COUNT);
    tcase_add_loop_test(tcase, names_map_both_ways, 0, CODEC_COUNT);
    tcase_add_test(tcase, an_unknown_codec_is_unsupported);
    tcase_add_loop_test(tcase, a_cut_stream_is_refused_at_every_byte, CODEC_GZIP, CODEC_COUNT);
    tcase_add_loop_test(tcase, trailing_bytes_are_refused, CODEC_GZIP, CODEC_COUNT);
    tcase_add_loop_test(tcase, flipped_bits_never_pass_the_cap_or_crash, CODEC_GZIP, CODEC_COUNT);
    tcase_add_loop_test(tcase, a_bomb_stops_at_the_cap, CODEC_NONE, CODEC_COUNT);
    tcase_add_loop_test(tcase, the_cap_itself_is_allowed_and_one_byte_more_is_not, CODEC_NONE, CODEC_COUNT);
    tcase_add_loop_test(tcase, the_ratio_caps_large_outputs_and_spares_small_ones, CODEC_GZIP, CODEC_COUNT);
    tcase_add_test(tcase, sizes_that_lie_take_no_memory);
    tcase_add_test(tcase, concatenated_gzip_members_are_one_stream);
    tcase_add_test(tcase, raw_snappy_is_read_too);
    tcase_add_test(tcase, snappy_is_written_in_xerial_framing);
    tcase_add_test(tcase, lz4_frames_are_what_javas_reader_accepts);
    tcase_add_test(tcase, zstd_frames_without_a_size_and_several_frames_are_read);
    tcase_add_test(tcase, a_zstd_frame_that_says_it_is_empty_and_is_not_is_refused);
    tcase_add_test(tcase, trim_gives_back_only_what_is_above_the_bound);
}

SLUICE_TEST_MAIN("compress_codecs", add)
