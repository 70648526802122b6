/* SPDX-License-Identifier: Apache-2.0
 *
 * Secret values within a text that came from outside: no form of them is left to read.
 */
#include "lib/base/redact.h"
#include "tests/check.h"

static const struct {
    const char *says;
    const char *text;
    const char *value; /* NULL: shapes only */
    const char *left;
} rows[] = {
    { "as it is", "login: hunter2-hunter2 refused", "hunter2-hunter2",
      "login: [redacted] refused" },
    { "twice", "hunter2-hunter2 hunter2-hunter2", "hunter2-hunter2", "[redacted] [redacted]" },
    { "the front of it", "token hunter2-hun...", "hunter2-hunter2", "token [redacted]..." },
    { "a piece of eight", "x nter2-hu x", "hunter2-hunter2", "x ******** x" },
    { "JSON-escaped", "got ab\\\"cd\\n-ef!", "ab\"cd\n-ef", "got [redacted]!" },
    { "base64", "aHVudGVyMi1odW50ZXIy.", "hunter2-hunter2", "[redacted]." },
    { "base64 of more, one byte before", "cWh1bnRlcjItaHVudGVyMnp6", "hunter2-hunter2",
      "c[redacted]np6" },
    { "base64 of more, two bytes before", "cXFodW50ZXIyLWh1bnRlcjJ6eg==", "hunter2-hunter2",
      "cXF[redacted]J6eg==" },
    { "base64 of URLs", "x=-__--__--__--__-&", "\xfb\xff\xfe\xfb\xff\xfe\xfb\xff\xfe\xfb\xff\xfe",
      "x=[redacted]&" },
    { "hex", "68756e746572322d68756e74657232 x", "hunter2-hunter2", "[redacted] x" },
    { "URL-encoded", "a=p%40ss%2Fword%2B1&b", "p@ss/word+1", "a=[redacted]&b" },
    { "a short value", "pin 1234!", "1234", "pin ****!" },
    { "a value too short to tell apart", "pin 123!", "123", "pin 123!" },
    { "other words stay", "nothing of it", "hunter2-hunter2", "nothing of it" },
    { "a JWT", "bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2ln refused", NULL,
      "bearer [redacted] refused" },
    { "a word that begins like a JWT", "eyJump high", NULL, "eyJump high" },
    { "a PEM block and what follows", "key -----BEGIN RSA PRIVATE KEY----- MIIE", NULL,
      "key [redacted]" },
    { "nothing", "", "hunter2-hunter2", "" },
};

static void no_form_of_a_value_is_left(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[ERROR_TEXT_MAX];
        struct redaction r;

        (void)snprintf(text, sizeof(text), "%s", rows[i].text);
        r = redaction_of(text);
        if (rows[i].value)
            redaction_value(&r, rows[i].value, strlen(rows[i].value));
        redaction_shapes(&r);
        redaction_apply(&r);
        if (strcmp(text, rows[i].left) != 0)
            fail_msg("%s: %s", rows[i].says, text);
    }
}

static const struct {
    const char *text;
    const char *value;
    bool betrayed;
} short_rows[] = {
    { "pin 123!", "123", true },     { "pin 124!", "123", false },
    { "no b2xk here", "old", true }, /* base64 */
    { "at Nw", "7", true },          /* without its end */
    { "at Nw==", "7", true },        /* with it */
    { "at 6f6c64", "old", true },    /* hex */
    { "a=%2F%2F", "//", true },      /* URL-encoded */
    { "a \\\" b", "\"", true },      /* JSON-escaped, and as it is */
    { "pin 1234!", "1234", false },  /* long enough to be blanked */
    { "nothing", "", false },        { "", "1", false },
};

static void a_text_with_a_value_too_short_to_be_blanked_is_known(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(short_rows); i++) {
        char text[ERROR_TEXT_MAX];
        struct redaction r;

        (void)snprintf(text, sizeof(text), "%s", short_rows[i].text);
        r = redaction_of(text);
        if (redaction_betrays(&r, short_rows[i].value, strlen(short_rows[i].value)) !=
            short_rows[i].betrayed)
            fail_msg("%s in %s", short_rows[i].value, text);
    }
}

static void a_value_at_the_end_of_a_full_text_is_hidden(void **state)
{
    char text[ERROR_TEXT_MAX];
    struct redaction r;

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    memcpy(text + sizeof(text) - 16, "hunter2-hunter2", 16);
    r = redaction_of(text);
    redaction_value(&r, "hunter2-hunter2", 15);
    redaction_apply(&r);
    assert_null(strstr(text, "hunt"));
    assert_null(strstr(text, "ter2"));
    assert_non_null(strstr(text, "xxx[redacted]"));
}

static void a_value_over_the_ceiling_is_hidden_by_its_front(void **state)
{
    size_t len = REDACT_VALUE_MAX + 100;
    autofree char *value = xmalloc(len);
    char text[ERROR_TEXT_MAX] = "got hunter2-hunter2";
    struct redaction r = redaction_of(text);

    (void)state;
    memset(value, 'v', len);
    memcpy(value, "hunter2-hunter2", 15);
    redaction_value(&r, value, len);
    redaction_apply(&r);
    assert_string_equal(text, "got [redacted]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_form_of_a_value_is_left),
        cmocka_unit_test(a_text_with_a_value_too_short_to_be_blanked_is_known),
        cmocka_unit_test(a_value_at_the_end_of_a_full_text_is_hidden),
        cmocka_unit_test(a_value_over_the_ceiling_is_hidden_by_its_front),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
