/* SPDX-License-Identifier: Apache-2.0 */
/* What certificates say: node names, principals. */
#include <stdio.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/tls/internal.h"
#include "tests/lib/test_ca.h"
#include "tests/lib/unit.h"

static void is_node(const char *text, enum tls_role role, int32_t id, const char *cluster)
{
    struct tls_node node;
    ck_assert_msg(tls_node_parse(str_from(text), &node), "%s", text);
    ck_assert_int_eq(node.role, role);
    ck_assert_int_eq(node.id, id);
    ck_assert_str_eq(node.cluster, cluster);
}

START_TEST(names_of_nodes)
{
    is_node("sluice:///broker/1", TLS_ROLE_BROKER, 1, "");
    is_node("sluice:///controller/0", TLS_ROLE_CONTROLLER, 0, "");
    is_node("sluice:///tool/2147483647", TLS_ROLE_TOOL, INT32_MAX, "");
    is_node("sluice://abcdefghijklmnopqrstuv/broker/12", TLS_ROLE_BROKER, 12, "abcdefghijklmnopqrstuv");
    is_node("broker-1", TLS_ROLE_BROKER, 1, "");
    is_node("controller-30", TLS_ROLE_CONTROLLER, 30, "");
}
END_TEST

START_TEST(what_is_no_name_of_a_node)
{
    static const char *const texts[] = {"",
                                        "broker",
                                        "broker-",
                                        "broker-01",
                                        "broker--1",
                                        "broker-1x",
                                        "broker-2147483648",
                                        "broker-99999999999",
                                        "Broker-1",
                                        "xbroker-1",
                                        "-1",
                                        "sluice://",
                                        "sluice:///",
                                        "sluice:///broker",
                                        "sluice:///broker/",
                                        "sluice:///broker/1/",
                                        "sluice:///broker/+1",
                                        "sluice:///gateway/1",
                                        "sluice:///broker-1",
                                        "sluice://abcdefghijklmnopqrstuvw/broker/1",
                                        "https:///broker/1"};
    struct tls_node node;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        ck_assert_msg(!tls_node_parse(str_from(texts[i]), &node), "%s", texts[i]);
    ck_assert(!tls_node_parse(STR_NULL, &node));
}
END_TEST

static char *dir;

static struct tls_peer peer_of(const char *words, const char *name)
{
    mbedtls_x509_crt cert;
    struct tls_peer peer;
    char file[64];
    snprintf(file, sizeof(file), "%s.pem", name);
    test_ca_issue(dir, words);
    mbedtls_x509_crt_init(&cert);
    ck_assert_int_eq(mbedtls_x509_crt_parse_file(&cert, test_ca_path(dir, file)), 0);
    tls_peer_read(&cert, &peer);
    mbedtls_x509_crt_free(&cert);
    return peer;
}

START_TEST(principals_are_written_as_kafka_writes_them)
{
    static const struct {
        const char *subject, *principal;
    } rows[] = {
        {"/O=Sluice test/CN=client", "User:CN=client,O=Sluice test"},
        {"/C=NL/ST=Zuid-Holland/L=Delft/O=Example/OU=Data/CN=kafka.example",
         "User:CN=kafka.example,OU=Data,O=Example,L=Delft,ST=Zuid-Holland,C=NL"},
        {"/O=a, b;d<e>g\"h/CN= lead and tail ", "User:CN=\\ lead and tail\\ ,O=a\\, b\\;d\\<e\\>g\\\"h"},
        {"/CN=#1", "User:CN=\\#1"},
        {"/DC=example/UID=u1/CN=x", "User:CN=x,UID=u1,DC=example"},
        {"/CN=x/emailAddress=a@b", "User:1.2.840.113549.1.9.1=#1603614062,CN=x"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char words[512];
        snprintf(words, sizeof(words), "p --subject '%s'", rows[i].subject);
        ck_assert_str_eq(peer_of(words, "p").principal, rows[i].principal);
    }
}
END_TEST

START_TEST(long_principals_are_cut_and_ended)
{
    char words[1024] = "p --subject '/CN=x";
    for (int i = 0; i < 12; i++)
        strcat(words, "/OU=0123456789012345678901234567890123456789");
    strcat(words, "'");
    struct tls_peer peer = peer_of(words, "p");
    ck_assert_uint_eq(strlen(peer.principal), TLS_PRINCIPAL_MAX - 1);
}
END_TEST

START_TEST(a_certificate_may_name_several_nodes_and_uris_go_before_the_common_name)
{
    struct tls_peer peer = peer_of("broker-7 --node broker/1 --node controller/1", "broker-7");
    ck_assert_uint_eq(peer.node_count, 2);
    ck_assert(tls_peer_is_node(&peer, TLS_ROLE_BROKER, 1, ""));
    ck_assert(tls_peer_is_node(&peer, TLS_ROLE_CONTROLLER, 1, "any"));
    ck_assert(tls_peer_is_node(&peer, TLS_ROLE_ANY, TLS_NODE_ANY, ""));
    ck_assert(!tls_peer_is_node(&peer, TLS_ROLE_BROKER, 7, ""));
    ck_assert(!tls_peer_is_node(&peer, TLS_ROLE_TOOL, 1, ""));
    peer = peer_of("broker-7", "broker-7");
    ck_assert(tls_peer_is_node(&peer, TLS_ROLE_BROKER, 7, ""));
    peer = peer_of("client", "client");
    ck_assert_uint_eq(peer.node_count, 0);
    ck_assert(!tls_peer_is_node(&peer, TLS_ROLE_ANY, TLS_NODE_ANY, ""));
    ck_assert(!tls_peer_is_node(NULL, TLS_ROLE_ANY, TLS_NODE_ANY, ""));
}
END_TEST

START_TEST(a_name_with_a_cluster_is_good_for_that_one)
{
    struct tls_peer peer = {.node_count = 1, .nodes = {{.role = TLS_ROLE_BROKER, .id = 1, .cluster = "one"}}};
    ck_assert(tls_peer_is_node(&peer, TLS_ROLE_BROKER, 1, "one"));
    ck_assert(tls_peer_is_node(&peer, TLS_ROLE_BROKER, 1, ""));
    ck_assert(!tls_peer_is_node(&peer, TLS_ROLE_BROKER, 1, "two"));
}
END_TEST

static void make_dir(void)
{
    dir = test_ca_make("");
}

static void remove_dir(void)
{
    test_ca_remove(dir);
}

static void add(TCase *tcase)
{
    tcase_add_unchecked_fixture(tcase, make_dir, remove_dir);
    tcase_add_test(tcase, names_of_nodes);
    tcase_add_test(tcase, what_is_no_name_of_a_node);
    tcase_add_test(tcase, principals_are_written_as_kafka_writes_them);
    tcase_add_test(tcase, long_principals_are_cut_and_ended);
    tcase_add_test(tcase, a_certificate_may_name_several_nodes_and_uris_go_before_the_common_name);
    tcase_add_test(tcase, a_name_with_a_cluster_is_good_for_that_one);
}

SLUICE_TEST_MAIN("tls_identity", add)
