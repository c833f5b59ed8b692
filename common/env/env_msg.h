/* SPDX-License-Identifier: Apache-2.0 */
/* The unit of mail between loops. Part of env.h. */
#ifndef SLUICE_ENV_ENV_MSG_H
#define SLUICE_ENV_ENV_MSG_H

/* A message to a loop: embedded in the sender's object, owned by the receiver from env_post() until fn is
 * called, then by fn. */
struct env_msg {
    struct env_msg *next;
    void (*fn)(struct env_msg *msg);
};

#endif
