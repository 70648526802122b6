/* SPDX-License-Identifier: Apache-2.0
 *
 * Any text as a time and as a duration: what is read is written and read as the same.
 */
/* COVERS: lib/base/clock.c */
#include <assert.h>

#include "lib/base/clock.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void check_stamp(const char *text)
{
    static const int64_t year_0_ms = -62167219200000;
    static const int64_t year_10000_ms = 253402300800000;
    char written[CLOCK_STAMP_MAX];
    int64_t ms = 0;
    int64_t again = 0;

    if (stamp_parse(text, &ms, NULL) < 0)
        return;
    stamp_format(ms, written);
    if (ms < year_0_ms || ms >= year_10000_ms)
        return; /* an offset may lead out of the four digits */
    assert(stamp_parse(written, &again, NULL) == 0 && again == ms);
}

static void check_duration(const char *text)
{
    char written[CLOCK_STAMP_MAX];
    int64_t ms = -1;
    int64_t again = -1;

    if (duration_parse(text, &ms, NULL) < 0)
        return;
    assert(ms >= 0);
    duration_format(ms, written);
    assert(duration_parse(written, &again, NULL) == 0 && again == ms);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    autofree char *text = xstrndup((const char *)bytes, len);
    char written[CLOCK_STAMP_MAX];
    int64_t any = 0;

    check_stamp(text);
    check_duration(text);
    memcpy(&any, bytes, len < sizeof(any) ? len : sizeof(any));
    stamp_format(any, written);
    assert(written[strlen(written) - 1] == 'Z');
    duration_format(any, written);
    return 0;
}
