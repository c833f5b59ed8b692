/* SPDX-License-Identifier: Apache-2.0 */
/* The readable form of a history: one record a line, for hand-made histories and for explanations.
 *
 *     100 p1 invoke produce t1-0 value=1.1
 *     130 p1 ok produce t1-0 value=1.1 offset=0 epoch=3 node=2
 *
 * Time in us, process, type, op; then in any order the key (t<topic>-<partition>), fields by name
 * (value=<writer>.<counter>, offset, epoch, node, call, txn, group, error, arg, arg2) and the words of `what`
 * and of the flags. `#` starts a comment. */
#ifndef SLUICE_TESTS_CHECKER_HISTORY_TEXT_H
#define SLUICE_TESTS_CHECKER_HISTORY_TEXT_H

#include "tests/checker/history.h"

#define HISTORY_LINE_MAX 512 /* bytes of one line with its NUL */

/* Reads one line of len bytes (no newline in it). 1: *ret_record is set; 0: nothing but blanks or a comment;
 * ERR_TOO_LARGE; ERR_MALFORMED. */
int history_parse(const char *line, size_t len, struct history_record *ret_record);

/* Writes a record without a newline, always NUL-terminated; what history_parse() reads back as the same
 * record. Returns the length. */
size_t history_print(char out[HISTORY_LINE_MAX], const struct history_record *record);

#endif
