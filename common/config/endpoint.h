/* SPDX-License-Identifier: Apache-2.0 */
/* Network places in settings: listeners, quorum members, bootstrap lists. Text only: names are resolved
 * elsewhere. */
#ifndef SLUICE_CONFIG_ENDPOINT_H
#define SLUICE_CONFIG_ENDPOINT_H

#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/base/types.h"

#define ENDPOINTS_MAX     64  /* items of one list */
#define ENDPOINT_HOST_MAX 255 /* bytes of a host name (RFC 1035) */

enum endpoint_form {
    ENDPOINT_LISTENER, /* NAME://host:port, NAME://:port, NAME://[v6]:port; NAME of letters, digits, '_' and
                          '-' */
    ENDPOINT_NODE,     /* id@host:port, id from 0 to INT32_MAX */
    ENDPOINT_SERVER,   /* host:port, :port */
};

struct endpoint {
    const char *name; /* LISTENER: upper case; otherwise "" */
    int32_t id;       /* NODE; otherwise -1 */
    const char *host; /* without brackets; "" means every local address (NODE: never empty) */
    uint16_t port;    /* 0 only for listeners and servers: the kernel chooses */
};

struct endpoints {
    const struct endpoint *items;
    uint32_t count;
};

/* Parses a comma-separated list; blanks around items are dropped, an empty text gives an empty list. Memory
 * comes from arena. ERR_INVALID: wrong form; ERR_EXISTS: a listener name or node id occurs twice;
 * ERR_TOO_LARGE; ERR_NOMEM. *ret is untouched on failure. */
enum err endpoints_parse(enum endpoint_form form, const char *text, struct arena *arena,
                         struct endpoints *ret);

/* The listener of that name (any case), or NULL. */
const struct endpoint *endpoints_by_name(const struct endpoints *endpoints, const char *name);

/* The node of that id, or NULL. */
const struct endpoint *endpoints_by_id(const struct endpoints *endpoints, int32_t id);

/* "host:port" ("[v6]:port"), as env_addr_parse() takes it. out: size bytes. Returns out. */
char *endpoint_address(const struct endpoint *endpoint, char *out, size_t size);

#endif
