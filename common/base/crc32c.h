/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C (Castagnoli), as record batches use it: isa-l for long runs, the CPU's instruction (or a table) for
 * short ones. */
#ifndef SLUICE_BASE_CRC32C_H
#define SLUICE_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* crc is 0 for a fresh sum, or the result over the bytes before, so that crc32c(crc32c(0, a), b) == crc32c(0,
 * ab). */
uint32_t crc32c(uint32_t crc, const void *p, size_t len);

#endif
