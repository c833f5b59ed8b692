/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "common/env/env.h"

/* Decimal, 1 to 5 digits, at most 65535. */
static bool port_parse(const char *text, uint16_t *ret_port)
{
    uint32_t port = 0;
    size_t len = strlen(text);
    if (len == 0 || len > 5)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        port = port * 10 + (uint32_t)(text[i] - '0');
    }
    if (port > UINT16_MAX)
        return false;
    *ret_port = (uint16_t)port;
    return true;
}

/* Splits text into host and the colon before the port. NULL when it has neither form. */
static const char *host_split(const char *text, const char **ret_host, size_t *ret_len)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL)
        return NULL;
    *ret_host = text;
    *ret_len = (size_t)(colon - text);
    if (text[0] == '[') {
        if (colon - text < 3 || colon[-1] != ']')
            return NULL;
        *ret_host = text + 1;
        *ret_len -= 2;
        return strpbrk(text + 1, "[]") == colon - 1 ? colon : NULL;
    }
    return strpbrk(text, ":[] \t") == colon ? colon : NULL;
}

enum err env_addr_parse(const char *text, struct env_addr *ret_addr)
{
    struct env_addr addr;
    const char *host;
    size_t len;
    const char *colon = host_split(text, &host, &len);
    if (colon == NULL || len >= sizeof(addr.host) || !port_parse(colon + 1, &addr.port))
        return ERR_INVALID;
    memcpy(addr.host, host, len);
    addr.host[len] = '\0';
    memcpy(ret_addr->host, addr.host, len + 1);
    ret_addr->port = addr.port;
    return OK;
}

char *env_addr_format(const struct env_addr *addr, char *out)
{
    bool v6 = strchr(addr->host, ':') != NULL;
    snprintf(out, ENV_HOST_MAX + 8, v6 ? "[%s]:%u" : "%s:%u", addr->host, (unsigned)addr->port);
    return out;
}
