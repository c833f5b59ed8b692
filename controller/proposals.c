/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/proposals.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"

static struct proposal *at(struct proposals *p, uint32_t i)
{
    return &p->ring[(p->head + i) % PROPOSALS_MAX];
}

static bool reserve(struct proposals *p, size_t more)
{
    if (p->ring == NULL)
        p->ring = calloc(PROPOSALS_MAX, sizeof(*p->ring));
    if (p->ring == NULL)
        return false;
    size_t need = p->data_len + more;
    if (need <= p->data_cap)
        return true;
    size_t cap = MAX(need, MAX(4096, p->data_cap * 2));
    uint8_t *grown = realloc(p->data, cap);
    if (grown == NULL)
        return false;
    p->data = grown;
    p->data_cap = cap;
    return true;
}

enum err proposals_add(struct proposals *p, const void *data, size_t len, uint64_t token)
{
    if (p->count == PROPOSALS_MAX || p->data_len + len > PROPOSALS_FRESH_BYTES)
        return ERR_FULL;
    if (!reserve(p, len))
        return ERR_NOMEM;
    if (len > 0)
        memcpy(p->data + p->data_len, data, len);
    p->data_len += len;
    *at(p, p->count) = (struct proposal){.token = token, .len = (uint32_t)len};
    p->count++;
    p->fresh++;
    return OK;
}

struct proposal *proposals_fresh(struct proposals *p, uint32_t i)
{
    ASSERT(i < p->fresh);
    return at(p, p->count - p->fresh + i);
}

void proposals_handed(struct proposals *p)
{
    p->fresh = 0;
    p->data_len = 0;
}

uint64_t proposals_drop_fresh(struct proposals *p)
{
    if (p->fresh == 0)
        return 0;
    p->count--;
    p->fresh--;
    p->data_len -= at(p, p->count)->len;
    return at(p, p->count)->token;
}

uint64_t proposals_applied(struct proposals *p, uint64_t index, uint64_t term)
{
    if (p->count == p->fresh || at(p, 0)->index != index || at(p, 0)->term != term)
        return 0;
    uint64_t token = at(p, 0)->token;
    p->head++;
    p->count--;
    return token;
}

void proposals_clear(struct proposals *p)
{
    p->head += p->count;
    p->count = p->fresh = 0;
    p->data_len = 0;
}

void proposals_free(struct proposals *p)
{
    free(p->ring);
    free(p->data);
    *p = (struct proposals){0};
}
