/* SPDX-License-Identifier: Apache-2.0 */
/* I10: no transactions have read from each other in a circle (G1c). Edges go from the reader to the writer.
 * Circles of overwrites (G0) cannot be seen in a log and are allowed in Kafka's model. */
#include "tests/checker/checker_int.h"

enum { WHITE, GREY, BLACK };

/* The polls on the way from `to` down to `txn`, and the one that closes the circle. */
static void report(struct checker *c, const struct txn *txn, const struct txn_edge *closing)
{
    struct checker_violation found = CHECK_FOUND(CIRCULAR, closing->read, closing->read);
    uint32_t count = 1;
    for (; txn != closing->from && count < CHECKER_SLICE_MAX; txn = txn->parent)
        found.events[count++] = txn->parent_read;
    check_report(c, &found);
}

/* Takes the next edge of txn; the transaction to go on with, or NULL at the end of all. */
static struct txn *step(struct checker *c, struct txn *txn)
{
    struct txn_edge *edge = txn->walk;
    if (!edge) {
        txn->mark = BLACK;
        return txn->parent;
    }
    txn->walk = edge->next;
    if (edge->from->mark == GREY)
        report(c, txn, edge);
    if (edge->from->mark != WHITE)
        return txn;
    edge->from->mark = GREY;
    edge->from->walk = edge->from->reads_from;
    edge->from->parent = txn;
    edge->from->parent_read = edge->read;
    return edge->from;
}

void check_circles(struct checker *c)
{
    for (struct txn *root = c->txn_list; root; root = root->next) {
        if (root->mark != WHITE)
            continue;
        root->mark = GREY;
        root->walk = root->reads_from;
        for (struct txn *txn = root; txn;)
            txn = step(c, txn);
    }
}
