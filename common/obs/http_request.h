/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP/1.x request at a time out of a byte stream: parsing only, no I/O, fixed memory (RFC 9112).
 * Requests without a body, GET and HEAD, are all that the admin server takes; everything else becomes the
 * status to refuse it with. */
#ifndef SLUICE_OBS_HTTP_REQUEST_H
#define SLUICE_OBS_HTTP_REQUEST_H

#include <llhttp.h>
#include <stdbool.h>
#include <stddef.h>

#define HTTP_TARGET_MAX 1024 /* bytes of the request target */
#define HTTP_HEADER_MAX 8192 /* bytes of the target and all header names and values */

enum http_progress {
    REQUEST_MORE,    /* all bytes taken, the request is not complete */
    REQUEST_DONE,    /* one request is complete; call http_request_next() before more bytes */
    REQUEST_REFUSED, /* status says why; no more bytes may be given */
};

struct http_request {
    char target[HTTP_TARGET_MAX + 1]; /* "/metrics?name=x", as sent, ended by a zero */
    size_t target_len;
    bool head;       /* HEAD: the answer goes without its body */
    bool keep_alive; /* the sender wants to go on after the answer */
    int status;      /* of REQUEST_REFUSED: 400, 405, 413, 414, 431 or 505; otherwise 0 */
    size_t header_bytes;
    llhttp_t parser; /* private */
};

/* Starts with a fresh connection. */
void http_request_init(struct http_request *request);

/* Takes bytes up to the end of a request. *ret_used <= len says how many. */
enum http_progress http_request_feed(struct http_request *request, const char *bytes, size_t len,
                                     size_t *ret_used);

/* After REQUEST_DONE: gets ready for the next one on the same connection. Only if keep_alive. */
void http_request_next(struct http_request *request);

#endif
