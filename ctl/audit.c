/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

#include "ctl/audit_chain.h"
#include "ctl/ctl.h"
#include "ctl/grid.h"
#include "ctl/values.h"
#include "lib/base/fs.h"
#include "lib/base/json.h"

enum {
    AUDIT_WORDS_MAX = 1000,
    HEAD_DIGITS_MIN = 13, /* those that the agent's metric has */
};

struct audit_config {
    char *output;
    struct option_texts keys;
    char *head;
    bool mixed;
};

static const struct option_row options[] = {
    OPTION_ROW_OUTPUT(audit_config),
    { .name = "key",
      .kind = OPTION_TEXTS,
      .offset = offsetof(struct audit_config, keys),
      .placeholder = "FILE",
      .help = "the agent's audit key; more than one where it was replaced" },
    { .name = "head",
      .kind = OPTION_TEXT,
      .offset = offsetof(struct audit_config, head),
      .placeholder = "HASH",
      .help = "a hash that was noted elsewhere: a line must have it (13 digits are enough)" },
    { .name = "mixed",
      .kind = OPTION_BOOL,
      .offset = offsetof(struct audit_config, mixed),
      .help = "pass over other lines, as a container's log has them" },
};

/* What the command was given, made ready. */
struct audit_run {
    const struct ctl *ctl;
    const struct audit_config *config;
    bool json;
    struct chain_key *keys;
    char **words; /* after the action's own */
    size_t count;
};

/* --- verify --- */

static void row(struct grid *g, const char *name, const char *text)
{
    grid_add(g, GRID_BOLD, name);
    grid_add(g, GRID_PLAIN, text);
}

static void print_text(const struct audit_run *run, const struct audit_chain *c)
{
    struct grid g CLEANUP(grid_done) = { .columns = 2 };

    grid_add(&g, GRID_BOLD, "lines");
    grid_printf(&g, GRID_PLAIN, "%" PRId64 ", number %" PRId64 " to %" PRId64, c->lines,
                c->first.self.seq, c->last.seq);
    row(&g, "begins after", chain_is_first(&c->first) ? "nothing" : c->first.prev);
    row(&g, "head", c->last.hash);
    row(&g, "key", *c->first.key_id ? "yes" : "none: who may write the file can make it anew");
    grid_add(&g, GRID_BOLD, "starts");
    grid_printf(&g, GRID_PLAIN, "%" PRId64, c->starts);
    grid_add(&g, GRID_BOLD, "dropped");
    grid_printf(&g, c->dropped ? GRID_BAD : GRID_PLAIN, "%" PRId64, c->dropped);
    if (c->mixed) {
        grid_add(&g, GRID_BOLD, "other lines");
        grid_printf(&g, GRID_PLAIN, "%" PRId64, c->others);
    }
    grid_print(&g, run->ctl);
}

/* One object, whether the chain holds or not; bad: the first line that does not, of file. */
static void print_json(const struct audit_run *run, const struct audit_chain *c, const char *file,
                       const struct error *err)
{
    struct strbuf out CLEANUP(strbuf_done) = { 0 };

    strbuf_printf(&out,
                  "{\"whole\":%s,\"lines\":%" PRId64 ",\"first\":%" PRId64 ",\"last\":%" PRId64
                  ",\"after\":\"%s\",\"head\":\"%s\",\"keyed\":%s,\"starts\":%" PRId64
                  ",\"dropped\":%" PRId64 ",\"other_lines\":%" PRId64,
                  err ? "false" : "true", c->lines, c->first.self.seq, c->last.seq, c->first.prev,
                  c->last.hash, *c->first.key_id ? "true" : "false", c->starts, c->dropped,
                  c->others);
    if (file) {
        strbuf_add_text(&out, ",\"bad_file\":");
        json_add_text(&out, file, strlen(file));
        strbuf_printf(&out, ",\"bad_line\":%" PRId64, c->at);
    }
    if (err) {
        strbuf_add_text(&out, ",\"error\":");
        json_add_text(&out, err->msg, strlen(err->msg));
    }
    (void)fprintf(run->ctl->out, "%s}\n", strbuf_text(&out));
}

static int read_one(const struct audit_run *run, struct audit_chain *c, const char *name,
                    struct error *err)
{
    bool input = strcmp(name, "-") == 0;
    FILE *from = input ? run->ctl->in : fopen(name, "re");
    int result;

    c->at = 0;
    if (!from)
        return error_sys(err, errno, "open %s", name);
    result = audit_chain_read(c, from, input ? "standard input" : name, err);
    if (!input)
        (void)fclose(from);
    return result;
}

static int is_hash(const char *text)
{
    size_t digits = strspn(text, "0123456789abcdef");

    return digits >= HEAD_DIGITS_MIN && digits < CHAIN_HASH_TEXT && !text[digits];
}

static int verify(const struct audit_run *run, struct error *err)
{
    const struct audit_config *config = run->config;
    struct audit_chain c = {
        .keys = run->keys,
        .key_count = config->keys.count,
        .head = config->head && *config->head ? config->head : NULL,
        .mixed = config->mixed,
    };
    const char *bad = NULL;
    int result = 0;

    if (c.head && !is_hash(c.head))
        return ctl_usage(err, "--head takes %d to %d hex digits in lower case", HEAD_DIGITS_MIN,
                         CHAIN_HASH_TEXT - 1);
    for (size_t i = 0; result == 0 && i < run->count; i++) {
        result = read_one(run, &c, run->words[i], err);
        bad = result < 0 && c.at ? run->words[i] : NULL;
    }
    if (result == 0)
        result = audit_chain_end(&c, err);
    if (run->json)
        print_json(run, &c, bad, result < 0 ? err : NULL);
    else if (result == 0)
        print_text(run, &c);
    return result;
}

/* --- digest --- */

/* Any bytes, as a value may be: values_read takes text alone. */
static int read_value(const struct audit_run *run, struct secret *ret, struct error *err)
{
    struct strbuf input CLEANUP(strbuf_done) = { .sensitive = true };
    int c;

    if (strcmp(run->words[0], "-") != 0)
        return fs_read(AT_FDCWD, run->words[0], VALUE_BYTES_MAX, true, ret, err);
    while ((c = getc_unlocked(run->ctl->in)) != EOF && input.len <= VALUE_BYTES_MAX)
        strbuf_add_char(&input, (char)c);
    if (ferror(run->ctl->in))
        return error_sys(err, errno, "read standard input");
    if (input.len > VALUE_BYTES_MAX)
        return error_set(err, CODE_INVALID_ARGUMENT, "standard input is larger than %d bytes",
                         VALUE_BYTES_MAX);
    *ret = strbuf_take_secret(&input);
    return 0;
}

static int digest(const struct audit_run *run, struct error *err)
{
    struct secret value CLEANUP(secret_done) = { 0 };
    char text[CHAIN_HASH_TEXT];

    if (run->config->keys.count != 1 || run->count != 1)
        return ctl_usage(err, "digest takes one FILE with the value, and one --key");
    if (read_value(run, &value, err) < 0 ||
        chain_digest(&run->keys[0], value.bytes, value.len, text, err) < 0)
        return -1;
    (void)fprintf(run->ctl->out, run->json ? "{\"digest\":\"%s\"}\n" : "%s\n", text);
    return 0;
}

/* As the agent notes it on a Secret: contents is its .data as sorted JSON without blanks, on a
 * line.
 */
static int contents(const struct audit_run *run, struct error *err)
{
    struct secret data CLEANUP(secret_done) = { 0 };
    char text[CHAIN_HASH_TEXT];
    size_t len;

    if (run->config->keys.count != 1 || run->count != 1)
        return ctl_usage(err, "contents takes one FILE with the data, and one --key");
    if (read_value(run, &data, err) < 0)
        return -1;
    len = data.len && data.bytes[data.len - 1] == '\n' ? data.len - 1 : data.len;
    if (chain_digest_contents(&run->keys[0], data.bytes, len, text, err) < 0)
        return -1;
    (void)fprintf(run->ctl->out, run->json ? "{\"digest\":\"%s:%s\"}\n" : "%s:%s\n",
                  run->keys[0].id, text);
    return 0;
}

/* --- the command --- */

static const struct {
    const char *name;
    int (*run)(const struct audit_run *run, struct error *err);
} actions[] = {
    { "verify", verify },
    { "digest", digest },
    { "contents", contents },
};

static int act(const struct audit_run *run, const char *action, struct error *err)
{
    for (size_t i = 0; i < COUNT_OF(actions); i++)
        if (strcmp(actions[i].name, action) == 0)
            return actions[i].run(run, err);
    return ctl_usage(err, "takes verify, digest or contents, not \"%.40s\"", action);
}

static int run(const struct ctl *ctl, const void *config, char **words, size_t count,
               struct error *err)
{
    const struct audit_config *c = config;
    struct audit_run run = { .ctl = ctl, .config = c, .words = words + 1, .count = count - 1 };
    size_t read = 0;
    int result = ctl_wants_json(c->output, &run.json, err);

    run.keys = xcalloc(c->keys.count + 1, sizeof(*run.keys));
    while (result == 0 && read < c->keys.count) {
        result = chain_key_read(c->keys.texts[read], &run.keys[read], err);
        read += result == 0;
    }
    if (result == 0)
        result = act(&run, words[0], err);
    while (read)
        chain_key_done(&run.keys[--read]);
    free(run.keys);
    return result;
}

const struct command command_audit = {
    .name = "audit",
    .words = "verify|digest|contents FILE...",
    .summary = "checks the agent's audit lines: the first that is not as it was written",
    .options = options,
    .option_count = COUNT_OF(options),
    .config_bytes = sizeof(struct audit_config),
    .words_min = 2,
    .words_max = AUDIT_WORDS_MAX,
    .run = run,
};
