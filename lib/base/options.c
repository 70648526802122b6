/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/options.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/strbuf.h"

static bool takes_no_value(const struct option_row *row)
{
    return row->kind == OPTION_BOOL || row->kind == OPTION_ACCEPTED_BOOL;
}

static const struct option_row *find_row(const struct option_table *table, const char *name,
                                         size_t len)
{
    for (size_t i = 0; i < table->count; i++)
        if (strlen(table->rows[i].name) == len && memcmp(table->rows[i].name, name, len) == 0)
            return &table->rows[i];
    return NULL;
}

static int parse_bool(const char *text, bool *ret)
{
    static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" };
    static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False" };

    for (size_t i = 0; i < COUNT_OF(yes); i++) {
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            *ret = strcmp(text, yes[i]) == 0;
            return 0;
        }
    }
    return -1;
}

static int parse_int(const char *text, int64_t *ret)
{
    char *end = NULL;
    long long value;

    if (isspace((unsigned char)*text))
        return -1;
    errno = 0;
    value = strtoll(text, &end, 10);
    if (errno || end == text || *end)
        return -1;
    *ret = value;
    return 0;
}

int bytes_parse(const char *text, int64_t *ret, struct error *err)
{
    static const struct {
        const char *suffix;
        int64_t factor;
    } units[] = {
        { "", 1 },           { "k", 1000 },       { "M", 1000000 },    { "G", 1000000000 },
        { "Ki", 1LL << 10 }, { "Mi", 1LL << 20 }, { "Gi", 1LL << 30 }, { "Ti", 1LL << 40 },
    };
    char *end = NULL;
    long long value;

    errno = 0;
    value = isdigit((unsigned char)*text) ? strtoll(text, &end, 10) : -1;
    for (size_t i = 0; value >= 0 && !errno && i < COUNT_OF(units); i++)
        if (strcmp(end, units[i].suffix) == 0 && value <= INT64_MAX / units[i].factor) {
            *ret = value * units[i].factor;
            return 0;
        }
    return error_set(err, CODE_INVALID_ARGUMENT,
                     "\"%.64s\" is not a size: write it like 4194304, 500k, 64Mi or 1Gi", text);
}

static void texts_done(struct option_texts *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->texts[i]);
    free(list->texts);
    *list = (struct option_texts){ 0 };
}

static int add_text(struct option_texts *list, const char *text, struct error *err)
{
    if (list->count == OPTION_TEXTS_MAX)
        return error_set(err, CODE_INVALID_ARGUMENT, "given more than %d times", OPTION_TEXTS_MAX);
    list->texts = xrealloc(list->texts, (list->count + 1) * sizeof(*list->texts));
    list->texts[list->count++] = xstrdup(text);
    return 0;
}

static int store(const struct option_row *row, const char *value, void *config, struct error *err)
{
    void *slot = (char *)config + row->offset;

    if (strlen(value) > OPTION_VALUE_MAX)
        return error_set(err, CODE_INVALID_ARGUMENT, "the value has more than %d bytes",
                         OPTION_VALUE_MAX);
    switch (row->kind) {
    case OPTION_TEXT:
        free(*(char **)slot);
        *(char **)slot = xstrdup(value);
        return 0;
    case OPTION_TEXTS:
        return add_text(slot, value, err);
    case OPTION_BOOL:
        return parse_bool(value, slot) == 0
                   ? 0
                   : error_set(err, CODE_INVALID_ARGUMENT, "it must be true or false");
    case OPTION_INT:
        return parse_int(value, slot) == 0
                   ? 0
                   : error_set(err, CODE_INVALID_ARGUMENT, "it must be a whole number");
    case OPTION_DURATION:
        return duration_parse(value, slot, err);
    case OPTION_BYTES:
        return bytes_parse(value, slot, err);
    default:
        return 0;
    }
}

/* Before the first value of a stronger source: a list given there replaces the weaker one's. */
static void drop_list(const struct option_row *row, void *config)
{
    if (row->kind == OPTION_TEXTS)
        texts_done((struct option_texts *)((char *)config + row->offset));
}

static int set_fallbacks(const struct option_table *table, void *config, struct error *err)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct option_row *row = &table->rows[i];

        if (row->fallback && store(row, row->fallback, config, err) < 0)
            return error_within(err, "default of --%s", row->name);
    }
    return 0;
}

static char *environment_name(const char *flag)
{
    char *name = str_printf("LOCKET_%s", flag);

    for (char *c = name; *c; c++)
        *c = (char)(*c == '-' ? '_' : toupper((unsigned char)*c));
    return name;
}

static int set_environment(const struct option_table *table, void *config, struct error *err)
{
    for (size_t i = 0; table->environment && i < table->count; i++) {
        autofree char *name = environment_name(table->rows[i].name);
        const char *value = getenv(name);

        if (!value)
            continue;
        drop_list(&table->rows[i], config);
        if (store(&table->rows[i], value, config, err) < 0)
            return error_within(err, "%s", name);
    }
    return 0;
}

/* One word of argv as a flag: its row, its value, and how many words it takes. */
struct word {
    const struct option_row *row;
    const char *value;
    int used;
};

static int read_word(const struct option_table *table, int left, char **argv, struct word *ret,
                     struct error *err)
{
    const char *name = argv[0] + (argv[0][1] == '-' ? 2 : 1);
    const char *equals = strchr(name, '=');
    size_t len = equals ? (size_t)(equals - name) : strlen(name);

    ret->row = find_row(table, name, len);
    ret->used = 1;
    if (!ret->row)
        return error_set(err, CODE_INVALID_ARGUMENT, "unknown flag %.*s: see --help",
                         (int)(len + (size_t)(name - argv[0])), argv[0]);
    if (equals) {
        ret->value = equals + 1;
    } else if (takes_no_value(ret->row)) {
        ret->value = "true";
    } else if (left > 1) {
        ret->value = argv[1];
        ret->used = 2;
    } else {
        return error_set(err, CODE_INVALID_ARGUMENT, "--%s needs a value: see --help",
                         ret->row->name);
    }
    return 0;
}

static int set_flag(const struct option_table *table, const struct word *word, bool *given,
                    void *config, struct error *err)
{
    size_t i = (size_t)(word->row - table->rows);

    if (!given[i])
        drop_list(word->row, config);
    given[i] = true;
    if (store(word->row, word->value, config, err) < 0)
        return error_within(err, "--%s", word->row->name);
    return 0;
}

/* A pass over argv. */
struct reading {
    const struct option_table *table;
    void *config;
    bool *given;
    char **rest;
    size_t rest_count;
    bool only_words; /* "--" has come */
};

static bool is_flag(const struct reading *r, const char *word)
{
    return !r->only_words && word[0] == '-' && word[1];
}

/* Takes one word, or a flag with its value; *ret_used words. */
static int read_next(struct reading *r, int left, char **argv, int *ret_used, struct error *err)
{
    struct word word = { 0 };

    *ret_used = 1;
    if (!is_flag(r, argv[0])) {
        r->rest[r->rest_count++] = argv[0];
        return 0;
    }
    if (strcmp(argv[0], "--") == 0) {
        r->only_words = true;
        return 0;
    }
    if (read_word(r->table, left, argv, &word, err) < 0 ||
        set_flag(r->table, &word, r->given, r->config, err) < 0)
        return -1;
    *ret_used = word.used;
    return 0;
}

int options_parse(const struct option_table *table, int argc, char **argv, void *config,
                  char ***ret_rest, struct error *err)
{
    autofree char **rest = xcalloc((size_t)argc + 1, sizeof(*rest));
    autofree bool *given = xcalloc(table->count, sizeof(*given));
    struct reading r = { .table = table, .config = config, .given = given, .rest = rest };
    int used = 1;

    if (set_fallbacks(table, config, err) < 0 || set_environment(table, config, err) < 0)
        return -1;
    for (int i = 1; i < argc; i += used)
        if (read_next(&r, argc - i, argv + i, &used, err) < 0)
            return -1;
    if (r.rest_count && !ret_rest)
        return error_set(err, CODE_INVALID_ARGUMENT, "unexpected \"%.64s\": see --help", rest[0]);
    if (ret_rest)
        *ret_rest = take(rest);
    return 0;
}

void options_done(const struct option_table *table, void *config)
{
    for (size_t i = 0; i < table->count; i++) {
        void *slot = (char *)config + table->rows[i].offset;

        if (table->rows[i].kind == OPTION_TEXT) {
            free(*(char **)slot);
            *(char **)slot = NULL;
        } else if (table->rows[i].kind == OPTION_TEXTS) {
            texts_done(slot);
        }
    }
}

bool options_asked_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-help") == 0 ||
            strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

/* Prints text wrapped between two columns, the cursor being at `column`. */
static void print_wrapped(const char *text, int column, int indent)
{
    while (*text) {
        size_t len = strcspn(text, " ");

        if (column + (int)len > 100) {
            (void)printf("\n%*s", indent, "");
            column = indent;
        }
        (void)printf("%.*s%s", (int)len, text, text[len] ? " " : "");
        column += (int)len + 1;
        text += len + (text[len] ? 1 : 0);
    }
    (void)printf("\n");
}

void options_print_help(const struct option_table *table, const char *usage)
{
    enum { INDENT = 42 };

    (void)printf("%s\n\nUsage: %s\n", table->summary, usage);
    if (table->count)
        (void)printf("\nFlags%s:\n",
                     table->environment ? " (or LOCKET_NAME in the environment)" : "");
    for (size_t i = 0; i < table->count; i++) {
        const struct option_row *row = &table->rows[i];
        autofree char *head = str_printf("  --%s%s%s", row->name, row->placeholder ? " " : "",
                                         row->placeholder ? row->placeholder : "");
        autofree char *text = row->fallback && *row->fallback && !takes_no_value(row)
                                  ? str_printf("%s (default %s)", row->help, row->fallback)
                                  : xstrdup(row->help);

        (void)printf("%-*s", INDENT, head);
        if (strlen(head) >= INDENT)
            (void)printf("\n%*s", INDENT, "");
        print_wrapped(text, INDENT, INDENT);
    }
}

void options_each_ignored(const struct option_table *table, int argc, char **argv,
                          void (*say)(void *arg, const char *name, const char *help), void *arg)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0;) {
        struct word word = { .used = 1 };

        if (argv[i][0] == '-' && argv[i][1] &&
            read_word(table, argc - i, argv + i, &word, NULL) == 0 &&
            (word.row->kind == OPTION_ACCEPTED || word.row->kind == OPTION_ACCEPTED_BOOL))
            say(arg, word.row->name, word.row->help);
        i += word.used;
    }
}

/* Ownership: the caller frees. */
static char *value_text(const struct option_row *row, const void *config)
{
    const char *at = (const char *)config + row->offset;
    const struct option_texts *list = (const struct option_texts *)at;
    struct strbuf out CLEANUP(strbuf_done) = { 0 };

    switch (row->kind) {
    case OPTION_TEXT:
        strbuf_add_text(&out, *(char *const *)at ? *(char *const *)at : "");
        break;
    case OPTION_TEXTS:
        for (size_t i = 0; i < list->count; i++)
            strbuf_printf(&out, "%s%s", i ? " " : "", list->texts[i]);
        break;
    case OPTION_BOOL:
        strbuf_add_text(&out, *(const bool *)at ? "true" : "false");
        break;
    case OPTION_DURATION:
        strbuf_printf(&out, "%" PRId64 "ms", *(const int64_t *)at);
        break;
    default:
        strbuf_printf(&out, "%" PRId64, *(const int64_t *)at);
    }
    return xstrdup(strbuf_text(&out));
}

void options_each_value(const struct option_table *table, const void *config,
                        void (*say)(void *arg, const char *name, const char *text), void *arg)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct option_row *row = &table->rows[i];

        if (row->kind != OPTION_ACCEPTED && row->kind != OPTION_ACCEPTED_BOOL) {
            autofree char *text = value_text(row, config);

            say(arg, row->name, text);
        }
    }
}
