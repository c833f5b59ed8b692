/* SPDX-License-Identifier: Apache-2.0 */
/* I17 and I18: nothing happens that never may, and who must be refused is refused. */
#include "tests/checker/checker_int.h"

void check_health(struct checker *c)
{
    for (size_t i = 0; i < c->event_count; i++) {
        const struct checker_event *e = &c->events[i];
        if (e->rec.op == HISTORY_HEALTH && e->rec.arg > e->rec.arg2)
            check_report(c, &CHECK_FOUND(HEALTH, e, e));
        if (e->rec.type == HISTORY_OK && e->invoke && (e->invoke->rec.flags & HISTORY_DENIED))
            check_report(c, &CHECK_FOUND(AUTHZ, e, e->invoke, e));
    }
}
