/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/clock.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/random.h>

enum { US_PER_S = 1000000, NS_PER_MS = 1000000 };

static int64_t read_us(clockid_t id)
{
    struct timespec now;

    (void)clock_gettime(id, &now);
    return (int64_t)now.tv_sec * US_PER_S + now.tv_nsec / 1000;
}

int64_t clock_mono_us(void)
{
    return read_us(CLOCK_BOOTTIME);
}

int64_t clock_mono_ms(void)
{
    return read_us(CLOCK_BOOTTIME) / 1000;
}

int64_t clock_unix_ms(void)
{
    return read_us(CLOCK_REALTIME) / 1000;
}

struct timespec duration_timespec(int64_t ms)
{
    return (struct timespec){
        .tv_sec = (time_t)(ms / MS_PER_S),
        .tv_nsec = (long)(ms % MS_PER_S) * NS_PER_MS,
    };
}

/* CLOCK_MONOTONIC, the only one of these that threads can wait by, stands still while the machine
 * sleeps. */
struct timespec clock_mono_until(int64_t mono_ms)
{
    int64_t slept_ms = (read_us(CLOCK_BOOTTIME) - read_us(CLOCK_MONOTONIC)) / 1000;

    return duration_timespec(mono_ms > slept_ms ? mono_ms - slept_ms : 0);
}

void clock_sleep_ms(int64_t ms)
{
    /* One more than the clock's last whole millisecond: never shorter than asked. */
    struct timespec until = clock_mono_until(clock_mono_ms() + ms + (ms > 0));

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0)
        continue;
}

int64_t clock_jitter_ms(int64_t ms, int percent)
{
    uint32_t random = 0;
    int64_t span = ms * percent / 100;

    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random) || span <= 0)
        return 0;
    return (int64_t)(random % (uint64_t)(2 * span + 1)) - span;
}

static const struct {
    const char *name;
    double ms;
} units[] = {
    { "ns", 1e-6 }, { "us", 1e-3 }, { "ms", 1 }, { "s", 1e3 }, { "m", 60e3 }, { "h", 3600e3 },
};

/* A number as Go's durations have it: digits with at most one point among them. Its end; NULL:
 * there is none. (strtod would take 0x10, 1e3 and inf, too.) */
static const char *number_end(const char *text)
{
    size_t whole = strspn(text, "0123456789");
    size_t part = text[whole] == '.' ? strspn(text + whole + 1, "0123456789") : 0;

    if (!whole && !part)
        return NULL;
    return text + whole + (text[whole] == '.' ? 1 + part : 0);
}

static double number_value(const char *text, const char *end)
{
    double value = 0;
    double weight = 1;

    for (; text < end && *text != '.'; text++)
        value = value * 10 + (*text - '0');
    for (text++; text < end; text++)
        value += (*text - '0') * (weight /= 10);
    return value;
}

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
        const char *end = number_end(at);
        size_t len = end ? unit_at(end, &unit_ms) : 0;

        if (len)
            total += number_value(at, end) * unit_ms;
        if (!len || total > most_ms)
            return error_set(err, CODE_INVALID_ARGUMENT,
                             "\"%.64s\" is not a duration: write it like 90s, 2m30s or 1h", text);
        at = end + len;
    } while (*at);
    *ret_ms = (int64_t)(total + 1e-7); /* 1.001s is 1000.9999... in binary */
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
    int ms = (int)(unix_ms % MS_PER_S);
    time_t s = (time_t)(unix_ms / MS_PER_S) - (ms < 0); /* before 1970, too, it counts upwards */
    struct tm utc;

    (void)gmtime_r(&s, &utc);
    (void)snprintf(text, CLOCK_STAMP_MAX, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", utc.tm_year + 1900,
                   utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                   ms < 0 ? ms + MS_PER_S : ms);
}

/* Exactly `count` digits at *at as a number, which *at then follows; -1: they are not there. */
static int digits_take(const char **at, size_t count)
{
    int value = 0;

    for (size_t i = 0; i < count; i++, (*at)++) {
        if (!isdigit((unsigned char)**at))
            return -1;
        value = value * 10 + (**at - '0');
    }
    return value;
}

/* Fields such as "2006-01-02T15:04:05": two-digit numbers (the first has four) between separators.
 * Stops at the end of `separators`. */
static bool fields_take(const char **at, const char *separators, size_t first, int *fields)
{
    for (size_t i = 0;; i++) {
        fields[i] = digits_take(at, i ? 2 : first);
        if (fields[i] < 0)
            return false;
        if (!separators[i])
            return true;
        if (**at != separators[i])
            return false;
        (*at)++;
    }
}

/* Milliseconds of an optional fraction; digits behind the third count for nothing. */
static bool fraction_take(const char **at, int *ret_ms)
{
    int weight = 100;

    *ret_ms = 0;
    if (**at != '.')
        return true;
    (*at)++;
    if (!isdigit((unsigned char)**at))
        return false;
    for (; isdigit((unsigned char)**at); (*at)++, weight /= 10)
        *ret_ms += (**at - '0') * weight;
    return true;
}

/* The offset behind a timestamp ("Z", "+01:00") in seconds. */
static bool offset_parse(const char *text, int64_t *ret_s)
{
    const char *at = text + 1;
    int fields[2];

    *ret_s = 0;
    if (strcmp(text, "Z") == 0)
        return true;
    if ((*text != '+' && *text != '-') || !fields_take(&at, ":", 2, fields) || *at)
        return false;
    *ret_s = (int64_t)(fields[0] * 60 + fields[1]) * (*text == '-' ? -60 : 60);
    return fields[0] < 24 && fields[1] < 60;
}

/* Seconds since 1970 of a year, month, day, hour, minute and second; false: no such time. */
static bool fields_to_unix(const int fields[6], int64_t *ret_s)
{
    struct tm utc = {
        .tm_year = fields[0] - 1900,
        .tm_mon = fields[1] - 1,
        .tm_mday = fields[2],
        .tm_hour = fields[3],
        .tm_min = fields[4],
        .tm_sec = fields[5],
    };
    struct tm same = utc;

    *ret_s = timegm(&same); /* it turns February 30 into March 2 */
    return same.tm_mon == utc.tm_mon && same.tm_mday == utc.tm_mday &&
           same.tm_hour == utc.tm_hour && same.tm_min == utc.tm_min && same.tm_sec == utc.tm_sec;
}

int stamp_parse(const char *text, int64_t *ret_unix_ms, struct error *err)
{
    const char *at = text;
    int fields[6];
    int64_t unix_s = 0;
    int64_t offset_s = 0;
    int ms = 0;

    if (!fields_take(&at, "--T::", 4, fields) || !fields_to_unix(fields, &unix_s) ||
        !fraction_take(&at, &ms) || !offset_parse(at, &offset_s))
        return error_set(err, CODE_INVALID_ARGUMENT, "\"%.64s\" is not an RFC 3339 time", text);
    *ret_unix_ms = (unix_s - offset_s) * MS_PER_S + ms;
    return 0;
}
