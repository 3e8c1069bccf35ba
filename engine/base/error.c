#include "engine/base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

hm_status hm_fail(hm_error *err, hm_status status, const char *format, ...)
{
    va_list ap;
    if (!err)
        return status;
    err->status = status;
    va_start(ap, format);
    vsnprintf(err->text, sizeof err->text, format, ap);
    va_end(ap);
    for (char *p = err->text; *p; p++) /* text from files may hold anything: keep it one printable line */
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
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
    vsnprintf(prefix, sizeof prefix, format, ap);
    va_end(ap);
    return hm_fail(err, err->status, "%s: %.*s", prefix, (int)(sizeof old - sizeof prefix - 3), old);
}

const char *hm_status_name(hm_status status)
{
    switch (status) {
#define HM_STATUS_NAME(name, code, text)                                                                                         \
    case name:                                                                                                                   \
        return #name;
        HM_STATUS_LIST(HM_STATUS_NAME)
#undef HM_STATUS_NAME
    }
    return "HM_UNKNOWN";
}

const char *hm_status_text(hm_status status)
{
    switch (status) {
#define HM_STATUS_TEXT(name, code, text)                                                                                         \
    case name:                                                                                                                   \
        return text;
        HM_STATUS_LIST(HM_STATUS_TEXT)
#undef HM_STATUS_TEXT
    }
    return "unknown status";
}

void *hm_calloc(size_t count, size_t size, const char *what, hm_error *err)
{
    void *p = calloc(count ? count : 1, size ? size : 1);
    if (!p)
        hm_fail(err, HM_EABSENT, "%s: no memory for %zu x %zu bytes", what, count, size);
    return p;
}
