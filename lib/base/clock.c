/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/clock.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

enum { US_PER_S = 1000000, NS_PER_MS = 1000000 };

static int64_t read_us(clockid_t id)
{
    struct timespec now;

    (void)clock_gettime(id, &now);
    return (int64_t)now.tv_sec * US_PER_S + now.tv_nsec / 1000;
}

int64_t clock_mono_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

int64_t clock_mono_ms(void)
{
    return read_us(CLOCK_MONOTONIC) / 1000;
}

int64_t clock_unix_ms(void)
{
    return read_us(CLOCK_REALTIME) / 1000;
}

struct timespec clock_mono_timespec(int64_t mono_ms)
{
    return (struct timespec){
        .tv_sec = (time_t)(mono_ms / MS_PER_S),
        .tv_nsec = (long)(mono_ms % MS_PER_S) * NS_PER_MS,
    };
}

void clock_sleep_ms(int64_t ms)
{
    struct timespec until = clock_mono_timespec(clock_mono_ms() + ms);

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0)
        continue;
}

static const struct {
    const char *name;
    double ms;
} units[] = {
    { "ns", 1e-6 }, { "us", 1e-3 }, { "ms", 1 }, { "s", 1e3 }, { "m", 60e3 }, { "h", 3600e3 },
};

/* Finds the longest unit that text begins with ("ms" before "m"). */
static size_t unit_at(const char *text, double *ret_ms)
{
    size_t best = 0;

    for (size_t i = 0; i < COUNT_OF(units); i++)
        if (str_starts(text, units[i].name) && strlen(units[i].name) > best) {
            best = strlen(units[i].name);
            *ret_ms = units[i].ms;
        }
    return best;
}

int duration_parse(const char *text, int64_t *ret_ms, struct error *err)
{
    static const double most_ms = 100.0 * 365 * 24 * 3600e3; /* a century: int64_t stays safe */
    const char *at = text;
    double total = 0;

    if (strcmp(text, "0") == 0) {
        *ret_ms = 0;
        return 0;
    }
    do {
        double unit_ms = 0;
        char *end = NULL;
        double value = isdigit((unsigned char)*at) || *at == '.' ? strtod(at, &end) : -1;
        size_t len = value >= 0 && end ? unit_at(end, &unit_ms) : 0;

        total += value * unit_ms;
        if (!len || total > most_ms)
            return error_set(err, CODE_INVALID_ARGUMENT,
                             "\"%.64s\" is not a duration: write it like 90s, 2m30s or 1h", text);
        at = end + len;
    } while (*at);
    *ret_ms = (int64_t)total;
    return 0;
}

void duration_format(int64_t ms, char text[CLOCK_STAMP_MAX])
{
    int64_t s = ms / MS_PER_S;

    if (ms % MS_PER_S)
        (void)snprintf(text, CLOCK_STAMP_MAX, "%" PRId64 "ms", ms);
    else if (s < 60)
        (void)snprintf(text, CLOCK_STAMP_MAX, "%" PRId64 "s", s);
    else if (s < 3600)
        (void)snprintf(text, CLOCK_STAMP_MAX, "%" PRId64 "m%" PRId64 "s", s / 60, s % 60);
    else
        (void)snprintf(text, CLOCK_STAMP_MAX, "%" PRId64 "h%" PRId64 "m%" PRId64 "s", s / 3600,
                       s / 60 % 60, s % 60);
}

void stamp_format(int64_t unix_ms, char text[CLOCK_STAMP_MAX])
{
    time_t s = (time_t)(unix_ms / MS_PER_S);
    struct tm utc;
    char head[24];

    (void)gmtime_r(&s, &utc);
    (void)strftime(head, sizeof(head), "%Y-%m-%dT%H:%M:%S", &utc);
    (void)snprintf(text, CLOCK_STAMP_MAX, "%s.%03dZ", head, (int)(unix_ms % MS_PER_S));
}

/* The offset behind a timestamp ("Z", "+01:00") in seconds. */
static bool offset_parse(const char *text, int64_t *ret_s)
{
    int hours = 0;
    int minutes = 0;
    int used = 0;

    *ret_s = 0;
    if (strcmp(text, "Z") == 0 || strcmp(text, "z") == 0)
        return true;
    if ((*text != '+' && *text != '-') ||
        sscanf(text + 1, "%2d:%2d%n", &hours, &minutes, &used) != 2 || text[1 + used])
        return false;
    *ret_s = (hours * 60 + minutes) * 60 * (*text == '-' ? -1 : 1);
    return true;
}

int stamp_parse(const char *text, int64_t *ret_unix_ms, struct error *err)
{
    struct tm utc = { 0 };
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &utc);
    double fraction = 0;
    int64_t offset_s = 0;

    if (rest && *rest == '.') {
        char *end = NULL;

        fraction = strtod(rest, &end);
        rest = end;
    }
    if (!rest || !offset_parse(rest, &offset_s))
        return error_set(err, CODE_INVALID_ARGUMENT, "\"%.64s\" is not an RFC 3339 time", text);
    *ret_unix_ms = ((int64_t)timegm(&utc) - offset_s) * MS_PER_S + (int64_t)(fraction * MS_PER_S);
    return 0;
}
