#include "engine/base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of a text of length n without the part of a character (UTF-8) that it may end in. */
static size_t whole_characters(const char *text, size_t n)
{
    size_t start = n;
    while (start && n - start < 3 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
        start--;
    if (!start)
        return n;
    unsigned char lead = (unsigned char)text[--start];
    size_t need = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    return n - start < need ? start : n;
}

/* One printable line, whatever files put into it, cut between characters when it is too long. */
static void write_line(char *text, size_t size, const char *format, va_list ap)
{
    if (vsnprintf(text, size, format, ap) >= (int)size)
        text[whole_characters(text, size - 1)] = 0;
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
}

hm_status hm_fail(hm_error *err, hm_status status, const char *format, ...)
{
    va_list ap;
    if (!err)
        return status;
    err->status = status;
    va_start(ap, format);
    write_line(err->text, sizeof err->text, format, ap);
    va_end(ap);
    return status;
}

hm_status hm_fail_within(hm_error *err, const char *format, ...)
{
    char old[sizeof err->text], prefix[256];
    va_list ap;
    if (!err)
        return HM_EBUG;
    memcpy(old, err->text, sizeof old);
    va_start(ap, format);
    write_line(prefix, sizeof prefix, format, ap);
    va_end(ap);
    return hm_fail(err, err->status, "%s: %s", prefix, old);
}

const char *hm_status_name(hm_status status)
{
    switch (status) {
#define HM_STATUS_NAME(name, code, text) \
    case name:                           \
        return #name;
        HM_STATUS_LIST(HM_STATUS_NAME)
#undef HM_STATUS_NAME
    }
    return "HM_UNKNOWN";
}

const char *hm_status_text(hm_status status)
{
    switch (status) {
#define HM_STATUS_TEXT(name, code, text) \
    case name:                           \
        return text;
        HM_STATUS_LIST(HM_STATUS_TEXT)
#undef HM_STATUS_TEXT
    }
    return "unknown status";
}

void *hm_calloc(size_t count, size_t size, const char *what, hm_error *err)
{
    size_t bytes;
    void *p = __builtin_mul_overflow(count, size, &bytes) ? NULL : calloc(bytes ? bytes : 1, 1);
    if (!p)
        hm_fail(err, HM_EABSENT, "%s: no memory for %zu x %zu bytes", what, count, size);
    return p;
}

hm_status hm_grow(void *array, int *room, int count, size_t size, const char *what, hm_error *err)
{
    void *old, *grown;
    if (count < *room)
        return HM_OK;
    int wanted = *room ? *room * 2 : 64;
    memcpy(&old, array, sizeof old);
    grown = realloc(old, (size_t)wanted * size);
    if (!grown)
        return hm_fail(err, HM_EABSENT, "no memory for %d %s", wanted, what);
    memcpy(array, &grown, sizeof grown);
    *room = wanted;
    return HM_OK;
}
