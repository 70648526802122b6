/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/volume/record.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

#include "driver/volume/publish_request.h"
#include "lib/base/encode.h"
#include "lib/base/number.h"

/* locket-record 1
 * key value            (value percent-escaped)
 * attribute key value
 * object id version
 * crc32 0a1b2c3d       (of all bytes before this line) */
#define HEAD "locket-record 1\n"

enum field_kind { FIELD_TEXT, FIELD_NUMBER };

struct field_row {
    const char *key;
    enum field_kind kind;
    size_t offset;
};

#define TEXT(name)                                                                                 \
    {                                                                                              \
#name, FIELD_TEXT, offsetof(struct record, name)                                           \
    }
#define NUMBER(name)                                                                               \
    {                                                                                              \
#name, FIELD_NUMBER, offsetof(struct record, name)                                         \
    }

static const struct field_row fields[] = {
    TEXT(volume_id),
    TEXT(target),
    TEXT(class_name),
    TEXT(pod_ns),
    TEXT(pod_name),
    TEXT(pod_uid),
    TEXT(service_account),
    TEXT(provider),
    TEXT(mount_flags),
    TEXT(live),
    TEXT(class_stamp),
    NUMBER(phase),
    NUMBER(fs_group),
    NUMBER(had_tokens),
    NUMBER(had_secrets),
    NUMBER(adopted),
    NUMBER(writing),
    NUMBER(made_target),
    NUMBER(size_bytes),
    NUMBER(inodes),
    NUMBER(generation),
    NUMBER(published_at_unix_ms),
    NUMBER(fetched_at_unix_ms),
    NUMBER(changed_at_unix_ms),
};

static void *slot_of(const struct record *r, const struct field_row *row)
{
    return (char *)r + row->offset;
}

static void free_versions(struct record *r)
{
    for (size_t i = 0; i < r->version_count; i++) {
        free(r->versions[i].id);
        free(r->versions[i].version);
    }
    free(r->versions);
    r->versions = NULL;
    r->version_count = 0;
}

void record_done(struct record *r)
{
    for (size_t i = 0; i < COUNT_OF(fields); i++)
        if (fields[i].kind == FIELD_TEXT)
            free(*(char **)slot_of(r, &fields[i]));
    pairs_done(&r->attributes);
    free_versions(r);
    *r = (struct record){ 0 };
}

static void add_version(struct record *r, const char *id, const char *version)
{
    r->versions = xrealloc(r->versions, (r->version_count + 1) * sizeof(*r->versions));
    r->versions[r->version_count++] =
        (struct object_version){ .id = xstrdup(id), .version = xstrdup(version) };
}

void record_set_versions(struct record *r, const struct object_version *versions, size_t count)
{
    free_versions(r);
    for (size_t i = 0; i < count; i++)
        add_version(r, versions[i].id, versions[i].version);
}

static void add_pair(struct strbuf *out, const char *key, const char *a, const char *b)
{
    strbuf_printf(out, "%s ", key);
    url_encode(out, a, true);
    if (b) {
        strbuf_add_char(out, ' ');
        url_encode(out, b, true);
    }
    strbuf_add_char(out, '\n');
}

int record_write(const struct record *r, struct strbuf *out, struct error *err)
{
    strbuf_add_text(out, HEAD);
    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        const char *text = *(char **)slot_of(r, &fields[i]);

        if (fields[i].kind == FIELD_NUMBER)
            strbuf_printf(out, "%s %" PRId64 "\n", fields[i].key,
                          *(int64_t *)slot_of(r, &fields[i]));
        else if (text)
            add_pair(out, fields[i].key, text, NULL);
    }
    for (size_t i = 0; i < r->attributes.count; i++) {
        const struct pair *p = &r->attributes.items[i];

        if (strcmp(p->key, CONTEXT_TOKENS) == 0)
            return error_set(err, CODE_FAILED_PRECONDITION, "a record must not hold tokens");
        add_pair(out, "attribute", p->key, p->value);
    }
    for (size_t i = 0; i < r->version_count; i++)
        add_pair(out, "object", r->versions[i].id, r->versions[i].version);
    strbuf_printf(out, "crc32 %08x\n", crc32_update(0, out->text, out->len));
    return 0;
}

/* Undoes url_encode in place. */
static bool unescape(char *text)
{
    char *to = text;

    for (const char *from = text; *from; from++) {
        unsigned value = 0;

        if (*from != '%') {
            *to++ = *from;
            continue;
        }
        if (!isxdigit((unsigned char)from[1]) || !isxdigit((unsigned char)from[2]) ||
            sscanf(from + 1, "%2x", &value) != 1 || value == 0)
            return false;
        *to++ = (char)value;
        from += 2;
    }
    *to = '\0';
    return true;
}

static bool set_field(struct record *r, const struct field_row *row, char *value)
{
    if (row->kind == FIELD_TEXT) {
        char **slot = slot_of(r, row);

        if (!unescape(value))
            return false;
        free(*slot);
        *slot = xstrdup(value);
        return true;
    }
    return number_parse(value, INT64_MIN, INT64_MAX, (int64_t *)slot_of(r, row), NULL) == 0;
}

static bool read_pair(struct record *r, const char *key, char *value)
{
    char *second = strchr(value, ' ');

    if (!second)
        return false;
    *second++ = '\0';
    if (!unescape(value) || !unescape(second))
        return false;
    if (strcmp(key, "attribute") == 0)
        pairs_set(&r->attributes, value, second);
    else
        add_version(r, value, second);
    return true;
}

static bool read_line(struct record *r, char *line)
{
    char *value = strchr(line, ' ');

    if (!value)
        return false;
    *value++ = '\0';
    if (strcmp(line, "attribute") == 0 || strcmp(line, "object") == 0)
        return read_pair(r, line, value);
    for (size_t i = 0; i < COUNT_OF(fields); i++)
        if (strcmp(fields[i].key, line) == 0)
            return set_field(r, &fields[i], value);
    return true;
}

/* The length of what the checksum covers; 0: the text is torn or not ours. */
static size_t checked_len(const char *text, size_t len)
{
    char last[] = "crc32 00000000\n"; /* a copy: text ends without a NUL */
    const size_t tail = sizeof(last) - 1;
    unsigned crc = 0;

    if (len < sizeof(HEAD) - 1 + tail || memcmp(text, HEAD, sizeof(HEAD) - 1) != 0)
        return 0;
    memcpy(last, text + len - tail, tail);
    if (sscanf(last, "crc32 %8x", &crc) != 1 || last[tail - 1] != '\n' ||
        crc32_update(0, text, len - tail) != crc)
        return 0;
    return len - tail;
}

int record_read(const char *text, size_t len, struct record *ret, struct error *err)
{
    size_t body = checked_len(text, len);
    struct record r CLEANUP(record_done) = { .fs_group = -1 };
    autofree char *copy = NULL;
    char *rest = NULL;
    bool fine = body > 0;

    if (!fine)
        return error_set(err, CODE_INVALID_ARGUMENT, "torn, or not a record of this version");
    copy = xstrndup(text + sizeof(HEAD) - 1, body - (sizeof(HEAD) - 1));
    for (char *line = strtok_r(copy, "\n", &rest); line && fine; line = strtok_r(NULL, "\n", &rest))
        fine = read_line(&r, line);
    if (!fine || !r.volume_id || !r.target)
        return error_set(err, CODE_INVALID_ARGUMENT, "a record with a bad or missing line");
    *ret = r;
    r = (struct record){ 0 };
    return 0;
}
