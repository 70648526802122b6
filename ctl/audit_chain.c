/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/audit_chain.h"

#include <errno.h>
#include <inttypes.h>

#include "lib/base/json.h"
#include "lib/base/number.h"

/* --- lines of a stream --- */

struct reader {
    FILE *from;
    struct strbuf line; /* without its line break; longer than CHAIN_LINE_MAX when it is too long */
    bool ended;         /* was there a line break? */
};

/* The next line; false at the end. However long a line is, no more of it is kept than shows that.
 */
static bool next_line(struct reader *r)
{
    int c;

    strbuf_reset(&r->line);
    while ((c = getc_unlocked(r->from)) != EOF && c != '\n')
        if (r->line.len <= CHAIN_LINE_MAX)
            strbuf_add_char(&r->line, (char)c);
    r->ended = c == '\n';
    return r->ended || r->line.len > 0;
}

static bool begins_as_ours(const struct strbuf *line)
{
    return line->len >= sizeof(CHAIN_BEGIN) - 1 &&
           memcmp(line->text, CHAIN_BEGIN, sizeof(CHAIN_BEGIN) - 1) == 0;
}

/* --- one line --- */

static int is_bad(struct error *err, const char *what)
{
    return error_set(err, CODE_DATA_LOSS, "%s", what);
}

static int is_whole(const struct reader *r, struct chain_line *ret, struct error *err)
{
    struct error why = { 0 };

    if (r->line.len > CHAIN_LINE_MAX)
        return error_set(err, CODE_DATA_LOSS, "has more than %d bytes", CHAIN_LINE_MAX);
    if (!r->ended)
        return is_bad(err, "has no end: it is being written, or was torn");
    if (!r->line.len || chain_line_read(r->line.text, r->line.len, ret, &why) < 0)
        return is_bad(err, "is no line of an audit chain");
    return 0;
}

static int find_key(const struct audit_chain *c, const struct chain_line *place,
                    const struct chain_key **ret, struct error *err)
{
    *ret = NULL;
    for (size_t i = 0; i < c->key_count; i++)
        if (strcmp(c->keys[i].id, place->key_id) == 0)
            *ret = &c->keys[i];
    if (*ret || (!c->key_count && !*place->key_id))
        return 0;
    if (!*place->key_id)
        return is_bad(err, "has no key: without one anybody can make such a line");
    return error_set(err, CODE_INVALID_ARGUMENT, "was written with key %s: give --key FILE of it",
                     place->key_id);
}

static int is_unchanged(const struct audit_chain *c, const struct reader *r,
                        const struct chain_line *place, struct error *err)
{
    const struct chain_key *key = NULL;
    bool whole = false;

    if (find_key(c, place, &key, err) < 0 ||
        chain_line_check(r->line.text, r->line.len, key, &whole, err) < 0)
        return -1;
    return whole ? 0 : is_bad(err, "was changed after it was written");
}

static int follows(const struct audit_chain *c, const struct chain_line *place, struct error *err)
{
    int64_t seq = place->self.seq;

    if (chain_is_first(place) != (seq == 1))
        return is_bad(err, "is at odds with itself: its number and what it holds on to");
    if (!c->lines)
        return 0;
    if (seq == 1)
        return is_bad(err, "begins a new chain: nothing ties it to the lines before it");
    if (seq <= c->last.seq)
        return error_set(err, CODE_DATA_LOSS,
                         "has number %" PRId64 " after %" PRId64 ": out of order, or put in", seq,
                         c->last.seq);
    if (seq > c->last.seq + 1)
        return error_set(err, CODE_DATA_LOSS,
                         "has number %" PRId64 " after %" PRId64 ": %" PRId64 " missing", seq,
                         c->last.seq, seq - c->last.seq - 1);
    if (strcmp(place->prev, c->last.hash) != 0)
        return is_bad(err, "does not hold on to the line before it: that one, or both, are others");
    return 0;
}

static void count_dropped(struct audit_chain *c, const struct tree *line)
{
    const struct tree *count = tree_get(line, "count");
    int64_t dropped = 0;

    if (count && count->kind == TREE_NUMBER &&
        number_parse(count->text, 0, INT64_MAX - c->dropped, &dropped, NULL) == 0)
        c->dropped += dropped;
}

/* What the line tells of the chain itself. */
static int account(struct audit_chain *c, const struct strbuf *line, struct error *err)
{
    struct tree *t autotree = NULL;
    struct error why = { 0 };
    const char *event;

    if (json_parse(line->text, line->len, &t, &why) < 0)
        return error_set(err, CODE_DATA_LOSS, "is no JSON: %s", why.msg);
    event = tree_get_text(t, "event");
    if (event && strcmp(event, "start") == 0)
        c->starts++;
    else if (event && strcmp(event, "dropped") == 0)
        count_dropped(c, t);
    return 0;
}

static int line(struct audit_chain *c, const struct reader *r, struct error *err)
{
    struct chain_line place;

    if (c->mixed && !begins_as_ours(&r->line)) {
        c->others++;
        return 0;
    }
    if (is_whole(r, &place, err) < 0 || is_unchanged(c, r, &place, err) < 0 ||
        follows(c, &place, err) < 0 || account(c, &r->line, err) < 0)
        return -1;
    if (!c->lines++)
        c->first = place;
    c->last = place.self;
    c->head_found = c->head_found || (c->head && str_starts(place.self.hash, c->head));
    return 0;
}

int audit_chain_read(struct audit_chain *c, FILE *from, const char *name, struct error *err)
{
    struct reader r = { .from = from };
    int result = 0;

    for (c->at = 0; result == 0 && next_line(&r);) {
        c->at++;
        result = line(c, &r, err);
    }
    strbuf_done(&r.line);
    if (result < 0)
        return error_within(err, "%s:%" PRId64, name, c->at);
    if (ferror(from))
        return error_sys(err, errno, "read %s", name);
    return 0;
}

int audit_chain_end(const struct audit_chain *c, struct error *err)
{
    if (!c->lines)
        return is_bad(err, "there is no line of an audit chain");
    if (c->head && !c->head_found)
        return error_set(err, CODE_DATA_LOSS,
                         "no line has the hash %.70s: it was cut off, or made anew", c->head);
    return 0;
}
