/* SPDX-License-Identifier: Apache-2.0 */
/* The metadata image: what the committed records add up to at one index. An immutable value: applying records
 * makes a new version that shares all that did not change (persistent hash tries), so that a version may be
 * held by other threads, by a snapshot being written, or by a request, for as long as they like, and
 * publishing one costs O(change). References are atomic. Built alike on controllers and brokers; image_hash()
 * is equal at equal index.
 */
#ifndef SLUICE_PROTO_CLUSTER_IMAGE_H
#define SLUICE_PROTO_CLUSTER_IMAGE_H

#include "proto/cluster/records.h"

struct image;

/* Objects of an image: valid while a reference to (any) image that holds them is held. Strings are terminated
 * by zero too. */
struct image_partition {
    int32_t index;
    int32_t leader, leader_epoch, partition_epoch;
    bool recovering;
    bool disks_gone;
    bool yields;
    int32_t replicas_count, isr_count, elr_count, last_known_elr_count, adding_count, removing_count;
    const int32_t *replicas, *isr, *elr, *last_known_elr, *adding, *removing;
};

struct image_topic {
    struct uuid id;
    struct str name;
    int32_t partitions_count; /* indexes are dense from 0 */
};

struct image_broker {
    int32_t id;
    int64_t epoch;
    struct uuid incarnation_id, directory_id;
    struct str rack;
    bool fenced, in_controlled_shutdown, clean_start;
    int32_t min_isr; /* see meta_broker */
    int32_t endpoints_count;
    const struct meta_endpoint *endpoints;
};

/* The empty image at index 0, one reference. NULL when memory is out. */
struct image *image_new(void);
struct image *image_ref(struct image *image);
void image_unref(struct image *image);

/* --- building a new version: begin, apply records in order, commit or abort --- */

struct image_edit;
struct image_edit *image_edit_begin(struct image *base); /* takes its own reference on base */
struct image_edit *image_edit_begin_empty(void);         /* for loading a snapshot */

/* OK, ERR_NOMEM, or ERR_INVALID when the record contradicts the image (unknown topic, ...): a programmer's
 * error in the planner or a damaged log. */
enum err image_edit_apply(struct image_edit *edit, const struct meta_record *record);

/* The new version at index/term (one reference); the edit is gone. */
struct image *image_edit_commit(struct image_edit *edit, uint64_t index, uint64_t term);
void image_edit_abort(struct image_edit *edit);

/* What an edit has looked up so far can be read through the same getters on a provisional view (the planner
 * reads its own pending records). The view is valid until the next apply/commit/abort. */
const struct image *image_edit_view(const struct image_edit *edit);

/* --- reading --- */

/* Index and term of the last entry in it; hash of the content, independent of the order of insertion; the
 * cluster's id (zero: none yet); the first producer id that is free. */
uint64_t image_index(const struct image *image);
uint64_t image_term(const struct image *image);
uint64_t image_hash(const struct image *image);
struct uuid image_cluster_id(const struct image *image);
int64_t image_next_producer_id(const struct image *image);

/* Lookups; NULL when there is none. */
const struct image_topic *image_topic_by_name(const struct image *image, struct str name);
const struct image_topic *image_topic_by_id(const struct image *image, struct uuid id);
const struct image_partition *image_partition(const struct image *image, const struct image_topic *topic,
                                              int32_t index);
const struct image_broker *image_broker(const struct image *image, int32_t id);

/* Explicit value of a config, or the null string. */
struct str image_config(const struct image *image, int8_t resource_type, struct str resource_name,
                        struct str key);
int16_t image_feature(const struct image *image, struct str name); /* 0: none */

/* Counts, kept incrementally; partitions of all topics. */
uint32_t image_topic_count(const struct image *image);
uint32_t image_partition_count(const struct image *image);
uint32_t image_broker_count(const struct image *image);

/* The lowest static min.insync.replicas of the registered brokers, at least 1: what every leader of a topic
 * without that setting is sure to ask for. */
int32_t image_static_min_isr(const struct image *image);

/* Whether any single broker has configs of its own. */
bool image_has_broker_configs(const struct image *image);

/* Partitions that their first replica could lead (it is in sync) and another one leads; kept incrementally.
 */
uint32_t image_displaced_count(const struct image *image);

/* Iteration; each returns false to stop. Order is by id / name bytes for brokers and configs, unspecified but
 * stable for topics. */
void image_each_topic(const struct image *image, bool (*each)(void *ctx, const struct image_topic *topic),
                      void *ctx);
void image_each_broker(const struct image *image, bool (*each)(void *ctx, const struct image_broker *broker),
                       void *ctx);
void image_each_config(const struct image *image, int8_t resource_type, struct str resource_name,
                       bool (*each)(void *ctx, struct str key, struct str value), void *ctx);
void image_each_controller(const struct image *image,
                           bool (*each)(void *ctx, const struct meta_controller *controller), void *ctx);

/* Calls each for every partition that differs between two versions (either may lack it: NULL), in time
 * proportional to the difference. The topic is the newer version's when it exists there, else the older
 * one's. This is how a broker learns what to start, stop and change. */
void image_diff_partitions(const struct image *older, const struct image *newer,
                           bool (*each)(void *ctx, const struct image_topic *topic,
                                        const struct image_partition *before,
                                        const struct image_partition *after),
                           void *ctx);

/* --- snapshots: the whole image as a stream of records --- */

struct image_cursor; /* resumable position, so that a large snapshot is produced in pieces between other work
                      */
struct image_cursor *image_cursor_new(struct image *image); /* holds a reference */
void image_cursor_free(struct image_cursor *cursor);

/* Appends records until about budget_bytes were written. *ret_done is set after the last one. */
enum err image_cursor_write(struct image_cursor *cursor, struct writer *w, size_t budget_bytes,
                            bool *ret_done);

#endif
