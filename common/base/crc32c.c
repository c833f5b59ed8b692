/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/crc32c.h"

#include <isa-l/crc.h>
#include <stdbool.h>
#include <string.h>

/* Below this length a call into isa-l (dispatch, folding set-up) costs more than the plain instruction loop.
 */
#define SHORT_MAX 256

/* isa-l takes the length as an int. */
#define CHUNK_MAX ((size_t)1 << 30)

#if defined(__x86_64__)
#include <immintrin.h>

static inline bool have_instruction(void)
{
    return __builtin_cpu_supports("sse4.2");
}

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t state, const uint8_t *p, size_t len)
{
    uint64_t acc = state, word;
    for (; len >= 8; p += 8, len -= 8) {
        memcpy(&word, p, 8);
        acc = _mm_crc32_u64(acc, word);
    }
    uint32_t s = (uint32_t)acc;
    for (; len > 0; p++, len--)
        s = _mm_crc32_u8(s, *p);
    return s;
}

__attribute__((target("avx"))) static void clear_upper_halves(void)
{
    _mm256_zeroupper();
}

/* isa-l's AVX-512 code returns with the upper halves of the vector registers in use. Until they are cleared,
 * every SSE instruction of this thread waits for their merge (measured: validating a small batch took four
 * times as long). */
static inline void after_isal(void)
{
    if (__builtin_cpu_supports("avx"))
        clear_upper_halves();
}
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>

static inline void after_isal(void)
{
}

static inline bool have_instruction(void)
{
    return true;
}

static uint32_t by_instruction(uint32_t state, const uint8_t *p, size_t len)
{
    uint64_t word;
    for (; len >= 8; p += 8, len -= 8) {
        memcpy(&word, p, 8);
        state = __crc32cd(state, word);
    }
    for (; len > 0; p++, len--)
        state = __crc32cb(state, *p);
    return state;
}
#else
/* No instruction known at compile time: isa-l's table code (or its own run-time choice) serves every length.
 */
static inline bool have_instruction(void)
{
    return false;
}

static inline void after_isal(void)
{
}

static uint32_t by_instruction(uint32_t state, const uint8_t *p, size_t len)
{
    return crc32_iscsi((unsigned char *)p, (int)len, state);
}
#endif

uint32_t crc32c(uint32_t crc, const void *p, size_t len)
{
    const uint8_t *at = p;
    uint32_t state = ~crc;
    if (len < SHORT_MAX && have_instruction())
        return ~by_instruction(state, at, len);
    while (len > 0) {
        size_t chunk = len < CHUNK_MAX ? len : CHUNK_MAX;
        state = crc32_iscsi((unsigned char *)at, (int)chunk, state);
        after_isal();
        at += chunk;
        len -= chunk;
    }
    return ~state;
}
