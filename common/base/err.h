/* SPDX-License-Identifier: Apache-2.0 */
/* Operating errors: everything that can go wrong outside a programmer's control. Programmer errors assert
 * (assert.h). */
#ifndef SLUICE_BASE_ERR_H
#define SLUICE_BASE_ERR_H

/* X(name, text): the one table behind the enum, err_name() and err_text(). Append only; keep texts one line,
 * lower case. */
#define ERR_TABLE(X)                                                                                         \
    X(NOMEM, "out of memory, or over the memory budget")                                                     \
    X(INVALID, "invalid argument or value")                                                                  \
    X(TRUNCATED, "input ends too early")                                                                     \
    X(CORRUPT, "checksum or structure of stored data is wrong")                                              \
    X(MALFORMED, "input breaks the format")                                                                  \
    X(VERSION, "version is not supported")                                                                   \
    X(TOO_LARGE, "larger than the allowed maximum")                                                          \
    X(FULL, "queue or buffer is full")                                                                       \
    X(NOT_FOUND, "not found")                                                                                \
    X(EXISTS, "exists already")                                                                              \
    X(IO, "input or output failed")                                                                          \
    X(NO_SPACE, "no space left on the disk")                                                                 \
    X(PERMISSION, "permission denied")                                                                       \
    X(FD_LIMIT, "no file descriptor left")                                                                   \
    X(BUSY, "busy, or in use by somebody else")                                                              \
    X(CLOSED, "connection or object is closed")                                                              \
    X(REFUSED, "connection refused")                                                                         \
    X(UNREACHABLE, "host or network not reachable")                                                          \
    X(RESOLVE, "host name does not resolve")                                                                 \
    X(TIMED_OUT, "timed out")                                                                                \
    X(CANCELED, "canceled")                                                                                  \
    X(ADDRESS_IN_USE, "address in use")                                                                      \
    X(MISMATCH, "belongs to another cluster, node or directory")                                             \
    X(NOT_LEADER, "not the leader")                                                                          \
    X(STALE, "epoch or version is older than the current one")                                               \
    X(UNSUPPORTED, "not supported")                                                                          \
    X(AGAIN, "not possible now, try again")                                                                  \
    X(UNKNOWN_OUTCOME, "outcome is unknown, it may have happened")                                           \
    X(OUT_OF_RANGE, "offset or index is out of range")                                                       \
    X(DUPLICATE, "was accepted before")                                                                      \
    X(REJECTED, "refused by the peer")                                                                       \
    X(TLS, "no TLS, or broken TLS")                                                                          \
    X(UNTRUSTED, "certificate missing, expired or not trusted")                                              \
    X(IDENTITY, "certificate names another node")

enum err_ordinal {
    ERR_ORDINAL_OK,
#define X(name, text) ERR_ORDINAL_##name,
    ERR_TABLE(X)
#undef X
        ERR_ORDINAL_COUNT
};

/* Zero is success, every error is negative, so a function may return a count or an error in one `int`. */
enum err {
    OK = 0,
#define X(name, text) ERR_##name = -ERR_ORDINAL_##name,
    ERR_TABLE(X)
#undef X
};

/* The name without its prefix, for logs ("TRUNCATED"). Never NULL; unknown values give "UNKNOWN". */
const char *err_name(enum err err);

/* One line for people. Never NULL. */
const char *err_text(enum err err);

/* Maps an errno value (positive) to the nearest error; unknown ones become ERR_IO. errno 0 is OK. */
enum err err_from_errno(int errno_value);

#endif
