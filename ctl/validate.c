/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/ctl.h"
#include "ctl/values.h"
#include "lib/base/json.h"
#include "lib/base/yaml.h"
#include "lib/model/class.h"
#include "lib/model/complaints.h"

enum { VALIDATE_FILES_MAX = 10000 };

struct validate_config {
    char *output;
};

static const struct option_row options[] = {
    OPTION_ROW_OUTPUT(validate_config),
};

struct mistake {
    unsigned line;
    unsigned column;
    size_t order; /* as told: keeps mistakes of one place in order */
    char *text;
};

/* One run over all files. */
struct validation {
    const struct ctl *ctl;
    bool json;
    const char *file; /* being looked at */
    const char *source;
    struct mistake *mistakes; /* of this file */
    size_t count;
    size_t classes;    /* in this file */
    struct pairs seen; /* NS/NAME and folder -> where, of all files */
    size_t total;
    size_t bad_files;
};

static void say(void *arg, unsigned line, unsigned column, const char *text)
{
    struct validation *v = arg;

    v->mistakes = xrealloc(v->mistakes, (v->count + 1) * sizeof(*v->mistakes));
    v->mistakes[v->count] = (struct mistake){ line, column, v->count, xstrdup(text) };
    v->count++;
}

static int by_place(const void *a, const void *b)
{
    const struct mistake *left = a;
    const struct mistake *right = b;

    if (left->line != right->line)
        return left->line < right->line ? -1 : 1;
    if (left->column != right->column)
        return left->column < right->column ? -1 : 1;
    return left->order < right->order ? -1 : 1;
}

static void print_json(const struct validation *v, const struct mistake *m)
{
    struct strbuf out CLEANUP(strbuf_done) = { 0 };

    strbuf_add_text(&out, v->total ? ",\n{\"file\":" : "\n{\"file\":");
    json_add_text(&out, v->file, strlen(v->file));
    strbuf_printf(&out, ",\"line\":%u,\"column\":%u,\"text\":", m->line, m->column);
    json_add_text(&out, m->text, strlen(m->text));
    (void)fprintf(v->ctl->out, "%s}", strbuf_text(&out));
}

static void print_text(const struct validation *v, const struct mistake *m)
{
    (void)fprintf(v->ctl->out, "%s%s:%u:%u:%s %s\n", v->ctl->colour ? "\033[1m" : "", v->file,
                  m->line, m->column, v->ctl->colour ? "\033[0m" : "", m->text);
}

/* Prints this file's mistakes by their place and forgets them. */
static void flush(struct validation *v)
{
    if (v->count)
        qsort(v->mistakes, v->count, sizeof(*v->mistakes), by_place);
    for (size_t i = 0; i < v->count; i++) {
        if (v->json)
            print_json(v, &v->mistakes[i]);
        else
            print_text(v, &v->mistakes[i]);
        v->total++;
        free(v->mistakes[i].text);
    }
    v->bad_files += v->count > 0;
    v->count = 0;
}

/* The driver refuses a class that stands in its folder twice. Files of different folders may be
 * for different nodes. */
static void only_once(struct validation *v, const struct tree *t)
{
    const char *ns = class_ns_of(t);
    const char *name = class_name_of(t);
    const char *slash = strrchr(v->file, '/');
    autofree char *key = str_printf("%s/%s in %.*s", ns ? ns : "", name ? name : "",
                                    slash ? (int)(slash - v->file) : 1, slash ? v->file : ".");
    autofree char *here = str_printf("%s:%u", v->file, t->line);
    struct complaints c = { .say = say, .arg = v };
    const char *before = pairs_get(&v->seen, key);

    if (!ns || !name)
        return;
    if (before)
        complain(&c, t, "class %s/%s is at %.200s already; keep one", ns, name, before);
    else
        pairs_set(&v->seen, key, here);
}

static void document(void *arg, const struct tree *t)
{
    struct validation *v = arg;

    if (!class_is_meant(t))
        return;
    v->classes++;
    (void)class_validate(t, v->source, say, v);
    only_once(v, t);
}

static void text(struct validation *v, const struct strbuf *content)
{
    struct complaints c = { .say = say, .arg = v };
    struct tree *all autotree = NULL;
    struct error err = { 0 };
    int parsed;

    v->source = strbuf_text(content);
    v->classes = 0;
    if (str_ends(v->file, ".json"))
        parsed = json_parse(v->source, content->len, &all, &err);
    else
        parsed = yaml_parse_all(v->source, content->len, &all, &err);
    if (parsed < 0) {
        complain_of(&c, "", &err);
        return;
    }
    if (all->kind == TREE_LIST)
        for (const struct tree *t = all->child; t; t = t->next)
            class_each(t, document, v);
    else
        class_each(all, document, v);
    if (!v->classes)
        complain(&c, NULL, "holds no SecretProviderClass");
}

static int file(struct validation *v, struct values *values, struct error *err)
{
    struct strbuf content CLEANUP(strbuf_done) = { 0 };

    if (values_read(values, v->file, &content, err) < 0)
        return -1;
    text(v, &content);
    flush(v);
    return 0;
}

static int files(struct validation *v, char **words, size_t count, struct error *err)
{
    struct values values = { .ctl = v->ctl, .bytes_max = YAML_BYTES_MAX };

    for (size_t i = 0; i < count; i++) {
        v->file = words[i];
        if (file(v, &values, err) < 0)
            return -1;
    }
    return 0;
}

/* "3 files", "1 file". */
static char *counted(size_t count, const char *one, const char *many)
{
    return str_printf("%zu %s", count, count == 1 ? one : many);
}

static int conclude(const struct validation *v, size_t count, struct error *err)
{
    autofree char *all = counted(count, "file", "files");
    autofree char *mistakes = counted(v->total, "mistake", "mistakes");
    autofree char *classes = counted(v->seen.count, "class", "classes");

    if (v->total)
        return error_set(err, CODE_INVALID_ARGUMENT, "%s in %zu of %s", mistakes, v->bad_files,
                         all);
    if (!v->json)
        (void)fprintf(v->ctl->out, "%s in %s: no mistakes\n", classes, all);
    return 0;
}

static int run(const struct ctl *ctl, const void *config, char **words, size_t count,
               struct error *err)
{
    const struct validate_config *c = config;
    struct validation v = { .ctl = ctl };
    int result;

    if (ctl_wants_json(c->output, &v.json, err) < 0)
        return -1;
    if (v.json)
        (void)fputc('[', ctl->out);
    result = files(&v, words, count, err);
    if (v.json)
        (void)fputs(v.total ? "\n]\n" : "]\n", ctl->out);
    if (result == 0)
        result = conclude(&v, count, err);
    free(v.mistakes);
    pairs_done(&v.seen);
    return result;
}

const struct command command_validate = {
    .name = "validate",
    .words = "FILE...",
    .summary = "checks files of classes offline: every mistake with its place and remedy",
    .options = options,
    .option_count = COUNT_OF(options),
    .config_bytes = sizeof(struct validate_config),
    .words_min = 1,
    .words_max = VALIDATE_FILES_MAX,
    .run = run,
};
