/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test_ca.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"

void test_ca_issue(const char *dir, const char *words)
{
    char command[2048];
    int len = snprintf(command, sizeof(command), "'%s' '%s' %s", MAKE_TEST_CA, dir, words);
    ASSERT(len > 0 && (size_t)len < sizeof(command));
    if (system(command) != 0) {
        fprintf(stderr, "cannot make certificates: %s\n", command);
        abort();
    }
}

char *test_ca_make(const char *words)
{
    char *dir = strdup("/tmp/sluice-ca-XXXXXX");
    ASSERT(dir != NULL && mkdtemp(dir) != NULL);
    test_ca_issue(dir, words);
    return dir;
}

const char *test_ca_path(const char *dir, const char *name)
{
    static char paths[8][256];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
    return path;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    return remove(path);
}

void test_ca_remove(char *dir)
{
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(dir);
}
