/* SPDX-License-Identifier: Apache-2.0 */
/* When metadata answers wait for new leaders, and for how long. */
#include "tests/lib/unit.h"

#include "broker/shard/peer_loss.h"
#include "common/base/assert.h"
#include "proto/cluster/image.h"

#define NOW 5000000u

static struct image *brokers(bool fenced)
{
    struct image *base = image_new();
    struct image_edit *edit = image_edit_begin(base);
    struct meta_endpoint endpoint = {.name = STR_LIT("P"), .host = STR_LIT("h"), .port = 1};
    for (int32_t id = 1; id <= 65; id += 64) { /* two that share a slot */
        struct meta_record record = {.type = META_BROKER,
                                     .broker = {.broker_id = id,
                                                .broker_epoch = id,
                                                .rack = STR_NULL,
                                                .endpoints = &endpoint,
                                                .endpoints_count = 1,
                                                .fenced = fenced}};
        ck_assert_int_eq(image_edit_apply(edit, &record), OK);
    }
    image_unref(base);
    return image_edit_commit(edit, 1, 1);
}

START_TEST(a_fresh_loss_of_a_living_broker_is_waited_for)
{
    static struct peer_loss losses;
    struct image *image = brokers(false);
    losses = (struct peer_loss){0};
    ck_assert_uint_eq(peer_loss_until(&losses, image, NOW), 0);
    peer_loss_note(&losses, 1, NOW);
    ck_assert_uint_eq(peer_loss_until(&losses, image, NOW), NOW + PEER_LOSS_US);
    ck_assert_uint_eq(peer_loss_until(&losses, image, NOW + PEER_LOSS_US - 1), NOW + PEER_LOSS_US);
    ck_assert_uint_eq(peer_loss_until(&losses, image, NOW + PEER_LOSS_US), 0);
    peer_loss_note(&losses, 1, NOW);
    peer_loss_clear(&losses, 65); /* another one in the same slot */
    ck_assert_uint_ne(peer_loss_until(&losses, image, NOW), 0);
    peer_loss_clear(&losses, 1);
    ck_assert_uint_eq(peer_loss_until(&losses, image, NOW), 0);
    image_unref(image);
}
END_TEST

START_TEST(a_fenced_or_unknown_broker_is_not_waited_for)
{
    static struct peer_loss losses;
    struct image *image = brokers(true);
    losses = (struct peer_loss){0};
    peer_loss_note(&losses, 1, NOW);
    peer_loss_note(&losses, 2, NOW);
    ck_assert_uint_eq(peer_loss_until(&losses, image, NOW), 0);
    image_unref(image);
}
END_TEST

static void add(TCase *tc)
{
    tcase_add_test(tc, a_fresh_loss_of_a_living_broker_is_waited_for);
    tcase_add_test(tc, a_fenced_or_unknown_broker_is_not_waited_for);
}

SLUICE_TEST_MAIN("broker_peer_loss", add)
