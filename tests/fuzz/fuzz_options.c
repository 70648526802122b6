/* SPDX-License-Identifier: Apache-2.0
 *
 * Any lines as the words of a command line, and as sizes.
 */
/* COVERS: lib/base/options.c */
#include <assert.h>

#include "lib/base/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

struct config {
    char *text;
    struct option_texts texts;
    bool yes;
    int64_t number;
    int64_t wait_ms;
    int64_t size;
};

#define AT(member) offsetof(struct config, member)

static const struct option_row rows[] = {
    { "text", OPTION_TEXT, AT(text), "x", "TEXT", "a text" },
    { "texts", OPTION_TEXTS, AT(texts), "x", "TEXT", "texts" },
    { "yes", OPTION_BOOL, AT(yes), NULL, NULL, "a boolean" },
    { "number", OPTION_INT, AT(number), NULL, "N", "a number" },
    { "wait", OPTION_DURATION, AT(wait_ms), "1s", "DURATION", "a duration" },
    { "size", OPTION_BYTES, AT(size), "1Mi", "BYTES", "a size" },
    { "v", OPTION_ACCEPTED, 0, NULL, "N", "ignored" },
    { "quiet", OPTION_ACCEPTED_BOOL, 0, NULL, NULL, "ignored" },
};

static const struct option_table table = { "fuzz", "Nothing.", rows, COUNT_OF(rows), false };

static void ignored(void *arg, const char *name, const char *help)
{
    (void)arg;
    assert(*name && *help);
}

static void parse(int argc, char **argv, bool words)
{
    struct config c = { 0 };
    autofree char **rest = NULL;
    struct error err = { 0 };

    if (options_parse(&table, argc, argv, &c, words ? &rest : NULL, &err) < 0)
        assert(err.code == CODE_INVALID_ARGUMENT && err.msg[0]);
    else
        assert(c.text && c.texts.count && c.wait_ms >= 0 && c.size >= 0);
    options_done(&table, &c);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    enum { WORDS_MAX = 300 };
    autofree char *text = xstrndup((const char *)bytes, len);
    autofree char **argv = xcalloc(WORDS_MAX + 1, sizeof(*argv));
    char name[] = "fuzz";
    char *rest = NULL;
    int64_t size = 0;
    int argc = 1;

    if (bytes_parse(text, &size, NULL) == 0)
        assert(size >= 0);
    argv[0] = name;
    for (char *word = strtok_r(text, "\n", &rest); word && argc < WORDS_MAX;
         word = strtok_r(NULL, "\n", &rest))
        argv[argc++] = word;
    parse(argc, argv, true);
    parse(argc, argv, false);
    (void)options_asked_help(argc, argv);
    options_each_ignored(&table, argc, argv, ignored, NULL);
    return 0;
}
