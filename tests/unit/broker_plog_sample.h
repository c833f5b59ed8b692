/* SPDX-License-Identifier: Apache-2.0 */
/* Thirty known batches in three epochs, and their disk to come back to. */
#ifndef SLUICE_TESTS_UNIT_BROKER_PLOG_SAMPLE_H
#define SLUICE_TESTS_UNIT_BROKER_PLOG_SAMPLE_H

#include "broker/log/plog_damage.h"
#include "tests/unit/broker_plog_fixture.h"

#define BATCHES 30

/* A log of one segment with known batches, closed cleanly, and a copy of its disk. */
struct sample {
    struct plog_fixture f;
    struct mem_disk *disk;
    int64_t end[BATCHES + 1];       /* log end behind each batch */
    uint32_t position[BATCHES + 1]; /* and file size */
};

static inline void sample_start(struct sample *s, int64_t segment_bytes)
{
    memset(s, 0, sizeof(*s));
    fixture_start(&s->f, segment_bytes, 21);
    ck_assert_int_eq(fixture_open(&s->f, false, 0, 0), OK);
    for (int i = 0; i < BATCHES; i++) {
        s->f.epoch = i / 10;
        ck_assert_int_eq(fixture_append(&s->f, 1 + i % 4, 20 + i * 13 % 150), OK);
        s->end[i + 1] = plog_end(s->f.log);
        s->position[i + 1] = (uint32_t)plog_size_bytes(s->f.log);
    }
    fixture_close(&s->f, true);
    s->disk = mem_env_save(s->f.mem);
}

static inline void sample_stop(struct sample *s)
{
    mem_disk_free(s->disk);
    fixture_stop(&s->f);
}

static inline void back(struct sample *s)
{
    fixture_close(&s->f, false);
    mem_env_restore(s->f.mem, s->disk);
}

static inline uint8_t *log_bytes(struct sample *s)
{
    char path[128];
    uint64_t size;
    return mem_env_bytes(s->f.mem, fixture_path(0, ".log", path), &size);
}

/* A peer's bytes of batches [from, to). */
static inline uint8_t *peer_bytes(struct sample *peer, int from, int to, uint32_t *ret_len)
{
    *ret_len = peer->position[to] - peer->position[from];
    uint8_t *p = malloc(*ret_len);
    memcpy(p, log_bytes(peer) + peer->position[from], *ret_len);
    return p;
}

static inline void mend(struct sample *s, struct sample *peer, int from, int to, enum err expected)
{
    uint32_t len;
    uint8_t *p = peer_bytes(peer, from, to, &len);
    ck_assert_int_eq(plog_replace_range(s->f.log, s->end[from], s->end[to], p, len), expected);
    free(p);
}

#endif
