/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates for tests, made by scripts/make-test-ca (openssl) in a folder below /tmp. */
#ifndef SLUICE_TESTS_LIB_TEST_CA_H
#define SLUICE_TESTS_LIB_TEST_CA_H

/* Makes the folder, its CA and what words ask for (of make-test-ca: "broker-1 --node broker/1 old
 * --expired"). Aborts when it cannot. Returns the folder, the caller's to give to test_ca_remove(). */
char *test_ca_make(const char *words);

/* One more run of the script on the folder. */
void test_ca_issue(const char *dir, const char *words);

/* "dir/name", good until the call after the next seven. */
const char *test_ca_path(const char *dir, const char *name);

/* Removes the folder and frees dir. */
void test_ca_remove(char *dir);

#endif
