/* The Unicode rules that need tables: ICU does them. */
#include <stdlib.h>
#include <string.h>
#include <unicode/unorm2.h>
#include <unicode/ustring.h>

#include "engine/text/internal.h"

/* UTF-16 of valid UTF-8 (never longer in units than in bytes); malloc'ed. */
static hm_status to_utf16(UChar **out, int32_t *out_count, const char *text, size_t size, const char *where, hm_error *err)
{
    UErrorCode code = U_ZERO_ERROR;
    UChar *wide = hm_calloc(size + 1, sizeof *wide, where, err);
    if (!wide)
        return HM_EABSENT;
    u_strFromUTF8(wide, (int32_t)size + 1, out_count, text, (int32_t)size, &code);
    if (U_FAILURE(code)) {
        free(wide);
        return hm_fail(err, HM_EFORMAT, "%s: ICU cannot convert %zu bytes of text: %s", where, size, u_errorName(code));
    }
    *out = wide;
    return HM_OK;
}

/* NUL-terminated UTF-8, malloc'ed. */
static hm_status to_utf8(char **out, size_t *out_size, const UChar *wide, int32_t count, const char *where, hm_error *err)
{
    UErrorCode code = U_ZERO_ERROR;
    int32_t size = 0, room = 3 * count + 1; /* a unit takes at most three bytes; two units at most four */
    char *text = hm_calloc((size_t)room, 1, where, err);
    if (!text)
        return HM_EABSENT;
    u_strToUTF8(text, room, &size, wide, count, &code);
    if (U_FAILURE(code)) {
        free(text);
        return hm_fail(err, HM_EBUG, "%s: ICU cannot convert %d units of text to UTF-8: %s", where, (int)count, u_errorName(code));
    }
    *out = text;
    *out_size = (size_t)size;
    return HM_OK;
}

/* One ICU transform of UTF-16 to UTF-16; returns the units it needs. */
typedef int32_t transform(UChar *out, int32_t room, const UChar *in, int32_t count, UErrorCode *code);

static int32_t nfc(UChar *out, int32_t room, const UChar *in, int32_t count, UErrorCode *code)
{
    const UNormalizer2 *n = unorm2_getNFCInstance(code);
    return unorm2_normalize(n, in, count, out, room, code);
}

static int32_t lower(UChar *out, int32_t room, const UChar *in, int32_t count, UErrorCode *code)
{
    return u_strToLower(out, room, in, count, "", code); /* "": the root locale, no language's own rules */
}

static hm_status apply(transform *f, char **out, size_t *out_size, const char *text, size_t size, const char *where, hm_error *err)
{
    UChar *in = NULL, *wide = NULL;
    int32_t count = 0, room, need;
    UErrorCode code = U_ZERO_ERROR;
    hm_status st = to_utf16(&in, &count, text, size, where, err);
    if (st)
        return st;
    for (room = count + 1;; room = need + 1) {
        free(wide);
        wide = hm_calloc((size_t)room, sizeof *wide, where, err);
        if (!wide) {
            st = HM_EABSENT;
            goto done;
        }
        code = U_ZERO_ERROR;
        need = f(wide, room, in, count, &code);
        if (code != U_BUFFER_OVERFLOW_ERROR)
            break;
    }
    if (U_FAILURE(code))
        st = hm_fail(err, HM_EBUG, "%s: ICU cannot transform %zu bytes of text: %s", where, size, u_errorName(code));
    else
        st = to_utf8(out, out_size, wide, need, where, err);
done:
    free(wide);
    free(in);
    return st;
}

hm_status hm_text_nfc(char **out, size_t *out_size, const char *text, size_t size, const char *where, hm_error *err)
{
    return apply(nfc, out, out_size, text, size, where, err);
}

hm_status hm_text_lower(char **out, const char *text, size_t size, const char *where, hm_error *err)
{
    size_t out_size;
    hm_status st = hm_utf8_check(text, size, where, err);
    if (st)
        return st;
    const char *nul = size ? memchr(text, 0, size) : NULL;
    if (nul)
        return hm_fail(err, HM_EFORMAT, "%s: byte offset %td: expected text, found a NUL byte", where, nul - text);
    return apply(lower, out, &out_size, text, size, where, err);
}
