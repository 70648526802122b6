/* SPDX-License-Identifier: Apache-2.0
 *
 * Log lines: one event is one line, whatever is in it; as text and as JSON.
 */
#include "lib/base/encode.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "tests/check.h"

static FILE *caught;
static int kept = -1;

static void catch_stderr(void)
{
    caught = tmpfile();
    kept = dup(STDERR_FILENO);
    assert_true(caught && dup2(fileno(caught), STDERR_FILENO) >= 0);
}

/* What was written since. Ownership: the caller frees. */
static char *caught_text(void)
{
    char *text = xcalloc(1, 64 << 10);

    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    (void)close(kept);
    rewind(caught);
    (void)!fread(text, 1, (64 << 10) - 1, caught);
    (void)fclose(caught);
    return text;
}

static void text_lines_have_level_time_thread_message_and_fields(void **state)
{
    autofree char *line = NULL;
    unsigned month_day;
    unsigned hours;
    unsigned minutes;
    double seconds;
    long thread;
    int used = 0;

    (void)state;
    log_setup(LOG_INFO, false);
    catch_stderr();
    log_event(LOG_WARN, "volume \"x\" is busy", WITH_TEXT(KEY_VOLUME, "v\\1"),
              WITH_NUMBER(KEY_TOOK_MS, -3), WITH_TEXT(KEY_POD, NULL));
    line = caught_text();
    assert_int_equal(sscanf(line, "W%4u %2u:%2u:%9lf %ld] %n", &month_day, &hours, &minutes,
                            &seconds, &thread, &used),
                     5);
    assert_int_equal(thread, getpid());
    assert_string_equal(line + used,
                        "\"volume \\\"x\\\" is busy\" volume=\"v\\\\1\" took_ms=-3 pod=\"\"\n");
}

static void json_lines_are_json(void **state)
{
    autofree char *line = NULL;
    struct tree *t autotree = NULL;
    struct error err = { 0 };

    (void)state;
    log_setup(LOG_INFO, true);
    catch_stderr();
    log_event(LOG_ERROR, "a\nb\"c\\d\x7f", WITH_TEXT(KEY_POD, "bad\xff byte \xc3\xa4\x01"),
              WITH_NUMBER(KEY_COUNT, 9007199254740993));
    line = caught_text();
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    if (json_parse(line, strlen(line), &t, &err) < 0)
        fail_msg("%s: %s", err.msg, line);
    assert_string_equal(tree_get_text(t, "level"), "error");
    assert_string_equal(tree_get_text(t, "msg"), "a\nb\"c\\d\x7f");
    assert_string_equal(tree_get_text(t, "pod"), "bad\xef\xbf\xbd byte \xc3\xa4\x01");
    assert_string_equal(tree_get(t, "count")->text, "9007199254740993");
    assert_int_equal(strlen(tree_get_text(t, "ts")), strlen("2026-02-01T15:04:05.123456Z"));
}

/* A peer's endless text neither breaks the line's end nor takes it apart. */
static void a_line_that_is_too_long_is_cut_and_still_ends(void **state)
{
    autofree char *text = xcalloc(1, 20001);

    (void)state;
    for (size_t i = 0; i < 20000; i += 2)
        memcpy(text + i, "\xc3\xa4", 2);
    for (int json = 0; json < 2; json++) {
        autofree char *line = NULL;
        struct tree *t autotree = NULL;

        log_setup(LOG_INFO, json);
        catch_stderr();
        log_event(LOG_INFO, text, WITH_TEXT(KEY_POD, text), WITH_TEXT(KEY_CLASS, text),
                  WITH_TEXT(KEY_ERROR, text), WITH_TEXT(KEY_PATH, text), WITH_TEXT(KEY_PEER, text),
                  WITH_TEXT(KEY_STORE, text), WITH_TEXT(KEY_FLAG, text), WITH_TEXT(KEY_STATE, text),
                  WITH_TEXT(KEY_VOLUME, text), WITH_TEXT(KEY_TARGET, text));
        line = caught_text();
        assert_true(strlen(line) <= 8192);
        assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
        assert_true(utf8_is_valid(line, strlen(line)));
        if (json) {
            assert_int_equal(json_parse(line, strlen(line), &t, NULL), 0);
            assert_true(str_ends(tree_get_text(t, "error"), "\xc3\xa4..."));
        }
    }
}

static void only_levels_asked_for_are_shown(void **state)
{
    autofree char *line = NULL;

    (void)state;
    log_setup(LOG_WARN, false);
    assert_true(log_shows(LOG_ERROR));
    assert_true(log_shows(LOG_WARN));
    assert_false(log_shows(LOG_INFO));
    catch_stderr();
    log_event(LOG_INFO, "unseen", WITH_NUMBER(KEY_COUNT, 1));
    log_event(LOG_WARN, "seen", WITH_NUMBER(KEY_COUNT, 1));
    line = caught_text();
    assert_null(strstr(line, "unseen"));
    assert_non_null(strstr(line, "\"seen\" count=1\n"));
}

static void a_failure_tells_code_reason_and_text(void **state)
{
    autofree char *line = NULL;
    struct error err = { 0 };

    (void)state;
    error_set(&err, CODE_UNAVAILABLE, "store is gone");
    error_reason(&err, "ProviderError");
    log_setup(LOG_INFO, false);
    catch_stderr();
    log_failure(LOG_ERROR, "refresh failed", KEY_VOLUME, "v1", &err);
    line = caught_text();
    assert_true(str_ends(line, "] \"refresh failed\" volume=\"v1\" code=\"UNAVAILABLE\" "
                               "reason=\"ProviderError\" error=\"store is gone\"\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_lines_have_level_time_thread_message_and_fields),
        cmocka_unit_test(json_lines_are_json),
        cmocka_unit_test(a_line_that_is_too_long_is_cut_and_still_ends),
        cmocka_unit_test(only_levels_asked_for_are_shown),
        cmocka_unit_test(a_failure_tells_code_reason_and_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
