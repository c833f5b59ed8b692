/* SPDX-License-Identifier: Apache-2.0 */
/* From a stream of bytes to records: delimiter, key, value. */
#ifndef SLUICE_CLIENT_CLI_PRODUCE_INPUT_H
#define SLUICE_CLIENT_CLI_PRODUCE_INPUT_H

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "common/base/types.h"

#define INPUT_PIECE_MAX 64 /* bytes of a delimiter or separator */

/* A short byte string of the command line, with \n \r \t \0 \\ \xHH understood. */
struct input_piece {
    uint8_t p[INPUT_PIECE_MAX];
    size_t len;
};

/* False: too long, empty, or a wrong escape. */
bool input_piece_parse(const char *text, struct input_piece *ret);

/* Cuts records out of what was read. */
struct input_splitter {
    struct input_piece delimiter;
    uint8_t *buf;
    size_t start, end, cap; /* bytes not yet cut: buf[start..end) */
    size_t scanned;         /* no delimiter begins before this place */
    size_t record_bytes_max;
    bool eof;
};

/* Empty; free gives the buffer back. */
void input_splitter_init(struct input_splitter *in, const struct input_piece *delimiter,
                         size_t record_bytes_max);
void input_splitter_free(struct input_splitter *in);

/* Where the next bytes may go, at least one. ERR_TOO_LARGE: a record passes the limit; ERR_NOMEM. */
enum err input_splitter_room(struct input_splitter *in, void **ret_p, size_t *ret_len);

/* len bytes landed there; 0 ends the input. */
void input_splitter_landed(struct input_splitter *in, size_t len);

/* The next whole record, without its delimiter; a view that is valid until the next room(). At the end of the
 * input the rest is a record, unless it is empty; when the delimiter ends with a newline, the newline that
 * ends the input does not belong to it. */
bool input_splitter_next(struct input_splitter *in, struct bytes *ret_record);

/* How keys are found: all NULL or empty gives records without keys. */
struct input_key {
    struct str fixed;             /* len -1: none */
    struct input_piece separator; /* len 0: none */
    bool has_regex;
    regex_t regex;
};

/* Compiles an extended regular expression in which \n and \t mean what they say, and ^ and $ also match at
 * line breaks. False: *ret_error (size bytes) says why. */
bool input_key_regex(struct input_key *key, const char *pattern, char *ret_error, size_t size);
void input_key_free(struct input_key *key);

/* Splits a record. Without a match the key is null and the value the whole record. */
void input_key_split(const struct input_key *key, struct bytes record, struct bytes *ret_key,
                     struct bytes *ret_value);

#endif
