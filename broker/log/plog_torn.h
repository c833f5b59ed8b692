/* SPDX-License-Identifier: Apache-2.0 */
/* Evidence about a bad batch that no durable recovery point speaks of (DESIGN, Damage or torn tail), and the
 * mark that a log may have lost what was synced, which outlives the process until the controllers know. */
#ifndef SLUICE_BROKER_LOG_PLOG_TORN_H
#define SLUICE_BROKER_LOG_PLOG_TORN_H

#include <stdbool.h>

#include "common/env/env.h"

struct plog;
struct plog_segment;

/* A disk keeps or drops sectors as a whole, and what was never written reads as zeros: a write that was torn
 * misses one of its sectors. *ret_whole: the bad batch at position misses none, each of its sectors holds
 * data, so that its bytes were all there once, and were perhaps synced. end: where the next good batch
 * begins, or the segment ends. A length that is flipped does not hide it: the last bytes of a torn write end
 * with a sector. (A batch with sectors of zeros of its own looks torn.) Errors of the disk. */
enum err plog_looks_whole(struct plog *log, struct plog_segment *seg, uint32_t position, uint32_t end,
                          bool *ret_whole);

/* Makes the mark of the log called `name` durable (blocks for one sync of the directory), before what was
 * perhaps promised is cut or set aside. Errors of the disk. */
enum err plog_doubt_note(struct env *env, const char *data_dir, const char *name);
bool plog_doubt_noted(struct env *env, const char *data_dir, const char *name);

/* The controllers know. Not synced: a mark that comes back costs an election. */
void plog_doubt_clear(struct env *env, const char *data_dir, const char *name);

#endif
