/* SPDX-License-Identifier: Apache-2.0 */
/* What the group verbs ask of the cluster. Functions return an enum cli_exit and have reported failures. */
#ifndef SLUICE_CLIENT_CLI_GROUP_CALLS_H
#define SLUICE_CLIENT_CLI_GROUP_CALLS_H

#include "client/cli/session.h"

#define GROUP_NO_OFFSET (-1)

/* One partition of a group. */
struct group_row {
    char *topic;
    int32_t partition;
    int64_t committed;  /* GROUP_NO_OFFSET: none */
    int64_t start, end; /* of the log; GROUP_NO_OFFSET: unknown */
    int64_t found;      /* of a time, by group_times() */
    char *member;       /* who reads it, NULL: nobody */
};

struct group_rows {
    struct group_row *items;
    int32_t count;
};

/* The row of a partition, made when there is none. NULL: out of memory. */
struct group_row *group_row_of(struct group_rows *rows, struct str topic, int32_t partition);
void group_rows_sort(struct group_rows *rows);
void group_rows_free(struct group_rows *rows);

/* The broker that coordinates the group. */
int group_find_coordinator(struct session *s, const char *group, int32_t *ret_node);

/* Adds all committed offsets. */
int group_committed(struct session *s, int32_t node, const char *group, struct group_rows *rows);

/* Asks leaders for the offsets of a timestamp (or Kafka's -1 latest, -2 earliest) of every row; `field` of
 * each row gets the answer (GROUP_NO_OFFSET: none, no leader, or no such topic). */
int group_times(struct session *s, struct group_rows *rows, int64_t timestamp, size_t field);

#endif
