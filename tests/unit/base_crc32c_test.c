/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/crc32c.h"

#include <stdbool.h>
#include <string.h>

#include "common/base/prng.h"
#include "tests/lib/unit.h"

/* Bit by bit, straight from the definition: reflected polynomial 0x82f63b78. */
static uint32_t by_definition(const uint8_t *p, size_t len)
{
    uint32_t state = 0xffffffff;
    for (size_t i = 0; i < len; i++) {
        state ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            state = state >> 1 ^ (state & 1 ? 0x82f63b78u : 0);
    }
    return ~state;
}

START_TEST(known_answers_of_rfc_3720)
{
    uint8_t block[32];
    ck_assert_uint_eq(crc32c(0, "123456789", 9), 0xe3069283);
    memset(block, 0, sizeof(block));
    ck_assert_uint_eq(crc32c(0, block, sizeof(block)), 0x8a9136aa);
    memset(block, 0xff, sizeof(block));
    ck_assert_uint_eq(crc32c(0, block, sizeof(block)), 0x62a8ab43);
    for (int i = 0; i < 32; i++)
        block[i] = (uint8_t)i;
    ck_assert_uint_eq(crc32c(0, block, sizeof(block)), 0x46dd794e);
}
END_TEST

START_TEST(empty_input_keeps_the_sum)
{
    ck_assert_uint_eq(crc32c(0, NULL, 0), 0);
    ck_assert_uint_eq(crc32c(0xe3069283, NULL, 0), 0xe3069283);
}
END_TEST

START_TEST(every_length_and_alignment_matches_the_definition)
{
    static uint8_t data[700];
    struct prng prng;
    prng_seed(&prng, 1);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)prng_next(&prng);
    for (size_t len = 0; len < 600; len++)
        ck_assert_uint_eq(crc32c(0, data + len % 9, len), by_definition(data + len % 9, len));
}
END_TEST

START_TEST(chaining_equals_one_call_at_every_split)
{
    uint8_t data[400];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7);
    uint32_t whole = crc32c(0, data, sizeof(data));
    for (size_t at = 0; at <= sizeof(data); at++)
        ck_assert_uint_eq(crc32c(crc32c(0, data, at), data + at, sizeof(data) - at), whole);
}
END_TEST

#if defined(__x86_64__)
#include <cpuid.h>

/* XGETBV with ECX = 1 tells which register parts are in use; bit 2: upper halves of YMM. Returns false when
 * the CPU cannot tell. */
static bool parts_in_use(uint32_t *ret_low)
{
    uint32_t eax, ebx, ecx, edx;
    if (!__builtin_cpu_supports("avx") || !__get_cpuid_count(0xd, 1, &eax, &ebx, &ecx, &edx) || !(eax & 4))
        return false;
    __asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(1));
    *ret_low = eax;
    return true;
}

/* Left in use they slow down all SSE code that this thread runs afterwards (seen: four times). */
START_TEST(upper_halves_of_vector_registers_are_free_after_any_length)
{
    static uint8_t data[70000];
    uint32_t parts;
    for (size_t len = 1; len < sizeof(data); len *= 2) {
        crc32c(0, data, len);
        if (parts_in_use(&parts))
            ck_assert_uint_eq(parts & 4, 0);
    }
}
END_TEST
#endif

static void add(TCase *tcase)
{
    tcase_add_test(tcase, known_answers_of_rfc_3720);
    tcase_add_test(tcase, empty_input_keeps_the_sum);
    tcase_add_test(tcase, every_length_and_alignment_matches_the_definition);
#if defined(__x86_64__)
    tcase_add_test(tcase, upper_halves_of_vector_registers_are_free_after_any_length);
#endif
    tcase_add_test(tcase, chaining_equals_one_call_at_every_split);
}

SLUICE_TEST_MAIN("base_crc32c", add)
