/* SPDX-License-Identifier: Apache-2.0 */
#include "common/config/endpoint.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/config/setting_number.h"

/* A view of the text that is still to be read. */
struct span {
    const char *p, *end;
};

static struct span span_trim(struct span s)
{
    while (s.p < s.end && isspace((unsigned char)*s.p))
        s.p++;
    while (s.p < s.end && isspace((unsigned char)s.end[-1]))
        s.end--;
    return s;
}

static char *span_dup(struct span s, struct arena *arena)
{
    size_t len = (size_t)(s.end - s.p);
    char *copy = arena_alloc(arena, len + 1);
    if (!copy)
        return NULL;
    memcpy(copy, s.p, len);
    copy[len] = '\0';
    return copy;
}

/* Host names, IPv4, and what else may stand inside brackets (IPv6 with a zone). */
static bool host_is_valid(struct span host, bool bracketed)
{
    if (host.end - host.p > ENDPOINT_HOST_MAX)
        return false;
    for (const char *p = host.p; p < host.end; p++) {
        bool plain = isalnum((unsigned char)*p) || *p == '.' || *p == '-' || *p == '_';
        bool v6 = bracketed && (*p == ':' || *p == '%');
        if (!plain && !v6)
            return false;
    }
    return true;
}

static enum err parse_port(struct span text, uint16_t *ret_port)
{
    uint32_t port = 0;
    if (text.p == text.end || text.end - text.p > 5)
        return ERR_INVALID;
    for (const char *p = text.p; p < text.end; p++) {
        if (!isdigit((unsigned char)*p))
            return ERR_INVALID;
        port = port * 10 + (uint32_t)(*p - '0');
    }
    if (port > UINT16_MAX)
        return ERR_INVALID;
    *ret_port = (uint16_t)port;
    return OK;
}

/* "host:port", "[v6]:port" or ":port" into out's host and port. */
static enum err parse_address(struct span text, struct arena *arena, struct endpoint *out)
{
    const char *colon = memrchr(text.p, ':', (size_t)(text.end - text.p));
    if (!colon)
        return ERR_INVALID;
    struct span host = {text.p, colon};
    bool bracketed = host.end - host.p >= 2 && *host.p == '[' && host.end[-1] == ']';
    if (bracketed) {
        host.p++;
        host.end--;
        if (host.p == host.end)
            return ERR_INVALID;
    }
    if (!host_is_valid(host, bracketed))
        return ERR_INVALID;
    enum err err = parse_port((struct span){colon + 1, text.end}, &out->port);
    if (err)
        return err;
    out->host = span_dup(host, arena);
    return out->host ? OK : ERR_NOMEM;
}

static enum err parse_listener(struct span item, struct arena *arena, struct endpoint *out)
{
    const char *sep = memmem(item.p, (size_t)(item.end - item.p), "://", 3);
    if (!sep || sep == item.p)
        return ERR_INVALID;
    char *name = span_dup((struct span){item.p, sep}, arena);
    if (!name)
        return ERR_NOMEM;
    for (char *p = name; *p; p++) {
        if (!isalnum((unsigned char)*p) && *p != '_' && *p != '-')
            return ERR_INVALID;
        *p = (char)toupper((unsigned char)*p);
    }
    out->name = name;
    return parse_address((struct span){sep + 3, item.end}, arena, out);
}

static enum err parse_node(struct span item, struct arena *arena, struct endpoint *out)
{
    const char *at = memchr(item.p, '@', (size_t)(item.end - item.p));
    char id_text[12];
    int64_t id;
    if (!at || at == item.p || at - item.p >= (long)sizeof(id_text))
        return ERR_INVALID;
    memcpy(id_text, item.p, (size_t)(at - item.p));
    id_text[at - item.p] = '\0';
    if (number_parse(id_text, &id) || id < 0 || id > INT32_MAX)
        return ERR_INVALID;
    out->id = (int32_t)id;
    enum err err = parse_address((struct span){at + 1, item.end}, arena, out);
    if (err)
        return err;
    return out->host[0] == '\0' || out->port == 0 ? ERR_INVALID : OK;
}

static enum err (*const item_parsers[])(struct span item, struct arena *arena, struct endpoint *out) = {
    [ENDPOINT_LISTENER] = parse_listener,
    [ENDPOINT_NODE] = parse_node,
    [ENDPOINT_SERVER] = parse_address,
};

static bool is_repeated(const struct endpoint *items, uint32_t count, const struct endpoint *item)
{
    for (uint32_t i = 0; i < count; i++) {
        if (item->name[0] != '\0' && strcmp(items[i].name, item->name) == 0)
            return true;
        if (item->id >= 0 && items[i].id == item->id)
            return true;
    }
    return false;
}

/* The next item of the list, trimmed; false at its end. */
static bool next_item(struct span *rest, struct span *ret_item)
{
    if (!rest->p)
        return false;
    const char *comma = memchr(rest->p, ',', (size_t)(rest->end - rest->p));
    *ret_item = span_trim((struct span){rest->p, comma ? comma : rest->end});
    rest->p = comma ? comma + 1 : NULL;
    return true;
}

enum err endpoints_parse(enum endpoint_form form, const char *text, struct arena *arena,
                         struct endpoints *ret)
{
    struct span rest = span_trim((struct span){text, text + strlen(text)}), item;
    struct endpoint items[ENDPOINTS_MAX];
    uint32_t count = 0;
    if (rest.p == rest.end)
        rest.p = NULL;
    while (next_item(&rest, &item)) {
        struct endpoint *out = &items[count];
        if (count == ENDPOINTS_MAX)
            return ERR_TOO_LARGE;
        *out = (struct endpoint){.name = "", .id = -1, .host = ""};
        enum err err = item_parsers[form](item, arena, out);
        if (err)
            return err;
        if (is_repeated(items, count, out))
            return ERR_EXISTS;
        count++;
    }
    const struct endpoint *copy = arena_copy(arena, items, count * sizeof(items[0]));
    if (!copy)
        return ERR_NOMEM;
    *ret = (struct endpoints){copy, count};
    return OK;
}

const struct endpoint *endpoints_by_name(const struct endpoints *endpoints, const char *name)
{
    for (uint32_t i = 0; i < endpoints->count; i++)
        if (strcasecmp(endpoints->items[i].name, name) == 0)
            return &endpoints->items[i];
    return NULL;
}

const struct endpoint *endpoints_by_id(const struct endpoints *endpoints, int32_t id)
{
    for (uint32_t i = 0; i < endpoints->count; i++)
        if (endpoints->items[i].id == id)
            return &endpoints->items[i];
    return NULL;
}

char *endpoint_address(const struct endpoint *endpoint, char *out, size_t size)
{

    bool v6 = strchr(endpoint->host, ':') != NULL;
    snprintf(out, size, "%s%s%s:%u", v6 ? "[" : "", endpoint->host, v6 ? "]" : "", (unsigned)endpoint->port);
    return out;
}
