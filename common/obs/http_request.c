/* SPDX-License-Identifier: Apache-2.0 */
#include "common/obs/http_request.h"

#include <string.h>

#include "common/base/assert.h"

static struct http_request *request_of(llhttp_t *parser)
{
    return CONTAINER_OF(parser, struct http_request, parser);
}

/* Stops the parser; feed() reports status. */
static int refuse(struct http_request *request, int status)
{
    request->status = status;
    return HPE_USER;
}

static int count_header(struct http_request *request, size_t len)
{
    request->header_bytes += len;
    return request->header_bytes > HTTP_HEADER_MAX ? refuse(request, 431) : 0;
}

static int on_url(llhttp_t *parser, const char *at, size_t len)
{
    struct http_request *request = request_of(parser);
    if (len > HTTP_TARGET_MAX - request->target_len)
        return refuse(request, 414);
    memcpy(request->target + request->target_len, at, len);
    request->target_len += len;
    request->target[request->target_len] = '\0';
    return count_header(request, len);
}

static int on_header(llhttp_t *parser, const char *at, size_t len)
{
    return count_header(request_of(parser), len);
}

/* An empty line for each header and blanks around values cost the sender bytes too; a header without a name
 * or value must not be free. */
static int on_header_end(llhttp_t *parser)
{
    return count_header(request_of(parser), 2);
}

static int on_headers_complete(llhttp_t *parser)
{
    struct http_request *request = request_of(parser);
    bool has_body = (parser->flags & (F_CHUNKED | F_TRANSFER_ENCODING)) != 0 || parser->content_length > 0;
    if (parser->http_major != 1)
        return refuse(request, 505);
    if (parser->method != HTTP_GET && parser->method != HTTP_HEAD)
        return refuse(request, 405);
    if (has_body)
        return refuse(request, 413);
    request->head = parser->method == HTTP_HEAD;
    request->keep_alive = llhttp_should_keep_alive(parser) && !parser->upgrade;
    return 0;
}

static int on_message_complete(llhttp_t *parser)
{
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_header,
    .on_header_value = on_header,
    .on_header_value_complete = on_header_end,
    .on_headers_complete = on_headers_complete,
    .on_message_complete = on_message_complete,
};

static void clear(struct http_request *request)
{
    request->target[0] = '\0';
    request->target_len = 0;
    request->head = false;
    request->keep_alive = false;
    request->status = 0;
    request->header_bytes = 0;
}

void http_request_init(struct http_request *request)
{
    clear(request);
    llhttp_init(&request->parser, HTTP_REQUEST, &settings);
}

enum http_progress http_request_feed(struct http_request *request, const char *bytes, size_t len,
                                     size_t *ret_used)
{
    llhttp_errno_t result = llhttp_execute(&request->parser, bytes, len);
    *ret_used = len;
    if (result == HPE_OK)
        return REQUEST_MORE;
    if (result == HPE_PAUSED) {
        const char *end = llhttp_get_error_pos(&request->parser);
        ASSERT(end >= bytes && end <= bytes + len);
        *ret_used = (size_t)(end - bytes);
        return REQUEST_DONE;
    }
    if (request->status == 0)
        request->status = result == HPE_INVALID_VERSION ? 505 : 400;
    return REQUEST_REFUSED;
}

void http_request_next(struct http_request *request)
{
    ASSERT(request->keep_alive);
    clear(request);
    llhttp_resume(&request->parser);
}
