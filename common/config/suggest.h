/* SPDX-License-Identifier: Apache-2.0 */
/* "did you mean": the nearest known name to a misspelt one. */
#ifndef SLUICE_CONFIG_SUGGEST_H
#define SLUICE_CONFIG_SUGGEST_H

/* Optimal string alignment distance: the least number of inserted, dropped, changed or swapped neighbouring
 * characters that turns a into b. Names of 128 bytes and more are infinitely far (UINT_MAX). */
unsigned name_distance(const char *a, const char *b);

/* The search for the nearest name: candidates are offered one by one. */
struct suggest {
    const char *name; /* as typed */
    const char *best; /* NULL: nothing is near enough (a third of the typed length, at least one edit) */
    unsigned best_distance;
};

/* Starts a search; name outlives it. */
void suggest_init(struct suggest *suggest, const char *name);

/* Takes candidate when it is nearer than the best one so far. It outlives the search. */
void suggest_offer(struct suggest *suggest, const char *candidate);

#endif
