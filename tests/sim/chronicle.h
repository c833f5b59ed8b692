/* SPDX-License-Identifier: Apache-2.0 */
/* The history of one run (tests/checker/history.h) as it grows: all that clients and observers saw, in one
 * file's format and in order of virtual time. */
#ifndef SLUICE_SIM_CHRONICLE_H
#define SLUICE_SIM_CHRONICLE_H

#include "tests/checker/history.h"

struct chronicle {
    struct history_header header;
    struct history_writer writer; /* its bytes are ours: the header, then records */
};

/* An empty history of this seed, in memory of the host. */
void chronicle_init(struct chronicle *chronicle, uint64_t seed);
void chronicle_free(struct chronicle *chronicle);

/* Appends a record, whichever heap is the current one; aborts when memory is out. */
void chronicle_add(struct chronicle *chronicle, const struct history_record *record);

/* Writes it to a file for sluice-check. ERR_IO. */
enum err chronicle_save(const struct chronicle *chronicle, const char *path);

#endif
