/* SPDX-License-Identifier: Apache-2.0 */
/* Kafka's leader-epoch-checkpoint, version 0: "0\n", the number of entries, then "<epoch> <start offset>" for
 * each, one to a line, both rising. */
#ifndef SLUICE_LOGFORMAT_EPOCH_TEXT_H
#define SLUICE_LOGFORMAT_EPOCH_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"

#define EPOCH_TEXT_NAME      "leader-epoch-checkpoint"
#define EPOCH_TEXT_ENTRY_MAX 33 /* two numbers, space, newline */
#define EPOCH_TEXT_HEAD_MAX  16 /* version and count */

/* A walk over the entries of a text. */
struct epoch_text {
    const char *p, *end;
    int64_t left; /* entries still to come */
    int32_t epoch;
    int64_t start_offset; /* of the last one given */
};

/* ERR_VERSION: not version 0; ERR_MALFORMED: no count, or one that the text cannot hold. */
enum err epoch_text_open(const char *text, uint32_t len, struct epoch_text *ret);

/* OK: the next entry is in it->epoch and it->start_offset. ERR_NOT_FOUND: that was all of it. ERR_MALFORMED:
 * not a number, not rising, or bytes behind the last entry. */
enum err epoch_text_next(struct epoch_text *it);

/* Writes version and count, and one entry; each returns the place behind (at most the maxima above). */
char *epoch_text_put_head(char *out, uint32_t count);
char *epoch_text_put(char *out, int32_t epoch, int64_t start_offset);

#endif
