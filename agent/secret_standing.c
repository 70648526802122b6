/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/secret_standing.h"

#include "agent/kube_retry.h"
#include "lib/base/clock.h"

void secret_standings_done(struct secret_standings *standings)
{
    for (size_t i = 0; i < standings->count; i++) {
        free(standings->list[i].secret);
        free(standings->list[i].told);
    }
    free(standings->list);
    *standings = (struct secret_standings){ 0 };
}

struct secret_standing *secret_standing_of(struct secret_standings *standings, const char *secret)
{
    for (size_t i = 0; i < standings->count; i++)
        if (strcmp(standings->list[i].secret, secret) == 0)
            return &standings->list[i];
    standings->list = xrealloc(standings->list, (standings->count + 1) * sizeof(*standings->list));
    standings->list[standings->count] = (struct secret_standing){ .secret = xstrdup(secret) };
    return &standings->list[standings->count++];
}

void secret_standings_forgive(struct secret_standings *standings)
{
    for (size_t i = 0; i < standings->count; i++) {
        struct secret_standing *st = &standings->list[i];

        free(take(st->told));
        st->failures = 0;
        st->not_before_ms = 0;
    }
}

size_t secret_standings_behind(const struct secret_standings *standings)
{
    size_t count = 0;

    for (size_t i = 0; i < standings->count; i++)
        count += standings->list[i].failures > 0;
    return count;
}

/* --- a try -------------------------------------------------------------------------------------
 */

static int64_t next_ms(const struct secret_standing *st, const struct secret_try *try)
{
    int64_t ms = try->check_ms;

    if (try->err->code && try->unanswered)
        return SECRET_RETRY_MS;
    if (try->err->code && try->result == SECRET_FAILED)
        ms = kube_backoff_ms(SECRET_RETRY_MS, SECRET_RETRY_MAX_MS, st->failures);
    else if (try->err->code)
        ms = kube_backoff_ms(SECRET_DENIED_MS, SECRET_DENIED_MAX_MS, st->failures);
    return kube_retry_ms(ms, try->err);
}

/* For how long no other files are a reason to try again. */
static int64_t held_back_ms(const struct secret_try *try, int64_t next_ms)
{
    bool is_refused = try->err->code && try->result != SECRET_FAILED && !try->is_past;

    return is_refused ? next_ms : kube_told_ms(try->err);
}

/* Is it what people do not know yet? Remembers it. */
static bool is_untold(struct secret_standing *st, const struct error *err)
{
    bool untold = err->code ? !st->told || strcmp(st->told, err->msg) != 0 : st->told != NULL;

    free(take(st->told));
    st->told = err->code ? xstrdup(err->msg) : NULL;
    return untold;
}

int64_t secret_standing_settle(struct secret_standing *standing, const struct secret_try *try,
                               bool *ret_news)
{
    bool failed = try->err->code != CODE_OK;
    bool is_final = failed && try->result != SECRET_FAILED;
    int64_t held_ms;
    int64_t ms;

    standing->owned = !failed;
    standing->failures = failed ? standing->failures + 1 : 0;
    *ret_news = (!failed || is_final || standing->failures > SECRET_QUIET_FAILURES) &&
                is_untold(standing, try->err);
    ms = next_ms(standing, try);
    held_ms = held_back_ms(try, ms);
    standing->not_before_ms = held_ms ? clock_mono_ms() + held_ms : 0;
    return ms;
}
