/* SPDX-License-Identifier: Apache-2.0 */
/* Making text of bytes that may come from anybody: inside this folder. */
#ifndef SLUICE_OBS_TEXT_H
#define SLUICE_OBS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the valid UTF-8 character at p (1 to 4), or 0 when there is none (overlong forms, surrogates and
 * values past U+10FFFF are not valid). *ret_code (may be NULL) is its code point. len > 0. */
unsigned utf8_next(const uint8_t *p, size_t len, uint32_t *ret_code);

/* A text that is being built in memory of fixed size. */
struct text {
    char *p;
    size_t len, size; /* one byte stays free for whoever ends the text */
    bool cut;         /* something did not fit; nothing partial was added */
};

/* Each adds the whole or nothing. */
void text_add(struct text *text, const void *p, size_t len);
void text_add_z(struct text *text, const char *z);

/* Adds len bytes inside a JSON string (the caller adds the quotes): controls and quotes escaped, invalid
 * UTF-8 replaced by U+FFFD. Stops with "..." after out_max bytes of output. */
void text_add_escaped(struct text *text, const char *p, size_t len, size_t out_max);

#endif
