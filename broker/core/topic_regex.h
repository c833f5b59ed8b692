/* SPDX-License-Identifier: Apache-2.0 */
/* Regular expressions over topic names (KIP-848): the syntax of RE2 without captures, back references and
 * Unicode classes. Matching takes time proportional to the text's length times the program's, whatever the
 * pattern; the program is bounded. Names are ASCII: a pattern's other characters count byte by byte.
 */
#ifndef SLUICE_BROKER_CORE_TOPIC_REGEX_H
#define SLUICE_BROKER_CORE_TOPIC_REGEX_H

#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/base/types.h"

#define TOPIC_REGEX_STEPS_MAX 4096 /* of a program; RE2's limits for repeats are within it */

struct topic_regex;

/* Compiles into the arena. ERR_INVALID: not a pattern that we know; ERR_TOO_LARGE: its program would be too
 * long; ERR_NOMEM: the arena is full. */
enum err topic_regex_compile(struct arena *arena, struct str pattern, struct topic_regex **ret);

/* Whether the whole text matches. Uses scratch inside of re: one user at a time. */
bool topic_regex_matches(struct topic_regex *re, struct str text);

#endif
