/* clock - see clock.h */
#include "base/clock.h"

#include <string.h>
#include <time.h>

static const char day_names[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char month_names[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

int64_t clock_wall_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

uint64_t clock_mono_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Of the second, also before 1970, where a board without a battery clock may start. */
static int microseconds(int64_t wall_us)
{
    int part = (int)(wall_us % 1000000);

    return part < 0 ? part + 1000000 : part;
}

static struct tm local_time(int64_t wall_us)
{
    time_t seconds = (time_t)(wall_us / 1000000 - (wall_us % 1000000 < 0 ? 1 : 0));
    struct tm tm;

    if (!localtime_r(&seconds, &tm))
        memset(&tm, 0, sizeof tm);
    return tm;
}

static int offset_minutes(const struct tm *tm, char *sign_out)
{
    long minutes = tm->tm_gmtoff / 60;

    *sign_out = minutes < 0 ? '-' : '+';
    return (int)(minutes < 0 ? -minutes : minutes);
}

/* Exactly `width` digits and what follows them. By hand: this is in each log line, and by printf()
 * it took a quarter of all instructions per message. */
static void put_digits(struct text *t, int value, size_t width, const char *after)
{
    char digits[8];

    if (value < 0) /* a year before Christ: some clock is broken */
        value = 0;
    for (size_t i = width; i > 0; i--) {
        digits[i - 1] = (char)('0' + value % 10);
        value /= 10;
    }
    text_span(t, span_make(digits, width));
    text_cstr(t, after);
}

void clock_text_rfc3339(struct text *t, int64_t wall_us)
{
    struct tm tm = local_time(wall_us);
    char sign;
    int off = offset_minutes(&tm, &sign);

    put_digits(t, tm.tm_year + 1900, 4, "-");
    put_digits(t, tm.tm_mon + 1, 2, "-");
    put_digits(t, tm.tm_mday, 2, "T");
    put_digits(t, tm.tm_hour, 2, ":");
    put_digits(t, tm.tm_min, 2, ":");
    put_digits(t, tm.tm_sec, 2, ".");
    put_digits(t, microseconds(wall_us), 6, "");
    text_char(t, sign);
    put_digits(t, off / 60, 2, ":");
    put_digits(t, off % 60, 2, "");
}

void clock_text_rfc5322(struct text *t, int64_t wall_us)
{
    struct tm tm = local_time(wall_us);
    char sign;
    int off = offset_minutes(&tm, &sign);

    text_printf(t, "%s, %d %s %04d %02d:%02d:%02d %c%02d%02d", day_names[tm.tm_wday % 7],
                tm.tm_mday, month_names[tm.tm_mon % 12], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
                tm.tm_sec, sign, off / 60, off % 60);
    if (tm.tm_zone && tm.tm_zone[0])
        text_printf(t, " (%s)", tm.tm_zone);
}

void clock_text_asctime(struct text *t, int64_t wall_us)
{
    struct tm tm = local_time(wall_us);

    text_printf(t, "%s %s %2d %02d:%02d:%02d", day_names[tm.tm_wday % 7],
                month_names[tm.tm_mon % 12], tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

void clock_text_asctime_year(struct text *t, int64_t wall_us)
{
    clock_text_asctime(t, wall_us);
    text_printf(t, " %d", local_time(wall_us).tm_year + 1900);
}
