/* SPDX-License-Identifier: Apache-2.0 */
#include "common/config/suggest.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/config/setting.h"

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    return MIN(MIN(a, b), c);
}

unsigned name_distance(const char *a, const char *b)
{
    unsigned rows[3][SETTING_NAME_MAX + 1]; /* rows of the classic table: two above, one above, this */
    size_t a_len = strnlen(a, SETTING_NAME_MAX), b_len = strnlen(b, SETTING_NAME_MAX);
    if (a_len == SETTING_NAME_MAX || b_len == SETTING_NAME_MAX)
        return UINT_MAX;
    for (size_t j = 0; j <= b_len; j++)
        rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= a_len; i++) {
        unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_len; j++) {
            unsigned change = a[i - 1] != b[j - 1];
            row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + change);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = MIN(row[j], above2[j - 2] + 1);
        }
    }
    return rows[a_len % 3][b_len];
}

void suggest_init(struct suggest *suggest, const char *name)
{
    *suggest = (struct suggest){.name = name, .best_distance = UINT_MAX};
}

void suggest_offer(struct suggest *suggest, const char *candidate)
{
    size_t near = strnlen(suggest->name, SETTING_NAME_MAX) / 3;
    unsigned distance = name_distance(suggest->name, candidate);
    if (distance > MAX(near, 1) || distance >= suggest->best_distance)
        return;
    suggest->best = candidate;
    suggest->best_distance = distance;
}
