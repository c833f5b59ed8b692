/* SPDX-License-Identifier: Apache-2.0 */
/* The main of a fuzz target without libFuzzer. A corpus is a text file with one input per line, in hex ("-"
 * is the empty one, # a comment). <target>_replay <corpus.hex>               runs every input; fails when
 * there is none or a line is no hex <target>_replay --unpack <corpus.hex> DIR  writes them as files into DIR,
 * for libFuzzer to start from <target>_replay --pack FILE...             prints raw inputs as lines of a
 * corpus */
#include "tests/fuzz/fuzz.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct input {
    uint8_t *bytes; /* exactly len bytes, so that the address sanitizer sees any read past the end */
    size_t len;
};

/* False for a line that is no input; exits on one that is broken. */
static int parse(const char *line, size_t chars, struct input *ret)
{
    if (chars == 0 || line[0] == '#')
        return 0;
    if (strcmp(line, "-") == 0)
        chars = 0;
    ret->len = chars / 2;
    ret->bytes = malloc(ret->len ? ret->len : 1);
    for (size_t i = 0; i < chars; i += 2) {
        unsigned byte;
        if (chars % 2 || !isxdigit((unsigned char)line[i]) || sscanf(line + i, "%2x", &byte) != 1) {
            fprintf(stderr, "not hex: %.60s\n", line);
            exit(1);
        }
        ret->bytes[i / 2] = (uint8_t)byte;
    }
    return 1;
}

static void store(const char *folder, unsigned number, const struct input *input)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%06u", folder, number);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(input->bytes, 1, input->len, file) != input->len || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

static FILE *open_or_exit(const char *path, const char *mode)
{
    FILE *file = fopen(path, mode);
    if (!file) {
        perror(path);
        exit(1);
    }
    return file;
}

/* Runs each input, or stores it when a folder is given. Returns how many there were. */
static unsigned walk(const char *corpus, const char *folder)
{
    FILE *file = open_or_exit(corpus, "r");
    char *line = NULL;
    size_t room = 0;
    unsigned count = 0;
    ssize_t chars;
    while ((chars = getline(&line, &room, file)) >= 0) {
        line[strcspn(line, "\n")] = 0;
        struct input input;
        if (!parse(line, strlen(line), &input))
            continue;
        if (folder)
            store(folder, count, &input);
        else
            LLVMFuzzerTestOneInput(input.bytes, input.len);
        free(input.bytes);
        count++;
    }
    free(line);
    fclose(file);
    return count;
}

static void pack(const char *path)
{
    FILE *file = open_or_exit(path, "rb");
    int byte = fgetc(file);
    if (byte == EOF)
        putchar('-');
    for (; byte != EOF; byte = fgetc(file))
        printf("%02x", (unsigned)byte);
    putchar('\n');
    fclose(file);
}

int main(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "--pack") == 0) {
        for (int i = 2; i < argc; i++)
            pack(argv[i]);
        return 0;
    }
    int unpack = argc == 4 && strcmp(argv[1], "--unpack") == 0;
    if (!unpack && argc != 2) {
        fprintf(stderr, "usage: %s [--unpack] <corpus.hex> [folder] | --pack FILE...\n", argv[0]);
        return 2;
    }
    unsigned count = unpack ? walk(argv[2], argv[3]) : walk(argv[1], NULL);
    printf("%u inputs\n", count);
    return count > 0 ? 0 : 1;
}
