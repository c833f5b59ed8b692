/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of the suite. */
#ifndef SLUICE_TESTS_ENV_CONF_LIB_H
#define SLUICE_TESTS_ENV_CONF_LIB_H

#include "tests/env/conformance.h"

#define CONF_TIMEOUT_US 20000000u
#define CONF_BUF_BYTES  16384

extern const struct env_conformance_impl *conf_impl; /* set once, before the run */
extern struct env *conf_env;                         /* the main loop of the running test */
extern _Thread_local int
    conf_inside; /* > 0 while this thread is inside a call into the seam that may not call back (E2) */

/* A call into the seam; a callback during it fails the test. */
#define CONF_CALL(call)                                                                                      \
    do {                                                                                                     \
        conf_inside++;                                                                                       \
        call;                                                                                                \
        conf_inside--;                                                                                       \
    } while (0)

/* Start of every callback. */
#define CONF_CALLED_BACK() ck_assert_int_eq(conf_inside, 0)

/* Runs until the expression-valued predicate holds; fails the test after CONF_TIMEOUT_US. */
void conf_wait(bool (*pred)(void *ctx), void *ctx);
void conf_wait_count(const size_t *count, size_t at_least);
void conf_wait_flag(const bool *flag);

/* Lets the loop run for that long. */
void conf_let_run(uint64_t us);

/* One turn passes, at least. */
void conf_turn(void);

/* One end of a connection that records what happens to it and checks the laws on the way. */
struct conf_end {
    struct env *env;
    struct env_conn *conn; /* NULL once closed */
    uint8_t buf[CONF_BUF_BYTES];
    size_t buf_limit;  /* given to alloc; 0: CONF_BUF_BYTES */
    bool refuse_alloc; /* alloc answers 0 */
    uint8_t *received; /* received_len bytes, kept when keep is set */
    size_t received_len, received_cap;
    bool discard; /* do not keep bytes */
    size_t alloc_count, refused_count, connected_count, drained_count, closed_count;
    enum err why;
    void (*on_read)(struct conf_end *end, const uint8_t *p, size_t len); /* optional */
};

extern const struct env_conn_handler conf_end_handler;

/* A listener and the two ends of one connection made through it. */
struct conf_pair {
    struct env_listener *listener;
    struct env_addr bound;
    struct conf_end server, client;
    size_t accepted_count;
};

/* Listens on a free loopback port; fails the test when it cannot. */
void conf_listen(struct env *env, struct env_listener **ret_listener, struct env_addr *ret_bound,
                 const struct env_listener_handler *handler, void *ctx);
/* Opening and closing; conf_pair_close() closes what is open and waits for closed(). */
void conf_pair_listen(struct conf_pair *pair); /* the listener alone */
void conf_pair_open(struct conf_pair *pair);   /* waits until both ends stand */
void conf_pair_close(struct conf_pair *pair);  /* closes what is open, waits for closed() */
void conf_end_free(struct conf_end *end);
void conf_end_write(struct conf_end *end, const void *p, size_t len); /* copies into a buffer of its own */
void conf_wait_received(const struct conf_end *end, size_t len);

/* A byte that depends on its position only. */
uint8_t conf_pattern(uint64_t at);

/* A path in the scratch directory; static, two may be alive at once. */
const char *conf_path(const char *name);

/* A file of len pattern bytes. */
struct env_file *conf_pattern_file(const char *name, size_t len);

/* env_spawn with a start message that does nothing but count. */
struct env *conf_spawn(void);
void conf_stop_loop(struct env *loop); /* stops it; it ends before destroy */

/* The cases of conf_time.c and so on. */
void conf_add_time(TCase *tcase);
void conf_add_mail(TCase *tcase);
void conf_add_net(TCase *tcase);
void conf_add_flow(TCase *tcase);
void conf_add_file(TCase *tcase);
void conf_add_disk(TCase *tcase);

#endif
