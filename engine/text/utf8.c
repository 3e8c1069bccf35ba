#include <string.h>

#include "engine/text/internal.h"

int32_t hm_utf8_next(const char *text, size_t size, size_t *at)
{
    const uint8_t *p = (const uint8_t *)text + *at, *end = (const uint8_t *)text + size;
    uint8_t low = 0x80, high = 0xBF; /* what the second byte may be: the table of well-formed sequences in Unicode, chapter 3 */
    int more;
    int32_t c = *p++;
    ++*at;
    if (c < 0x80)
        return c;
    if (c < 0xC2 || c > 0xF4)
        return -1;
    if (c < 0xE0) {
        more = 1, c &= 0x1F;
    } else if (c < 0xF0) {
        more = 2;
        low = c == 0xE0 ? 0xA0 : 0x80;  /* overlong below */
        high = c == 0xED ? 0x9F : 0xBF; /* surrogates above */
        c &= 0x0F;
    } else {
        more = 3;
        low = c == 0xF0 ? 0x90 : 0x80;
        high = c == 0xF4 ? 0x8F : 0xBF; /* beyond U+10FFFF above */
        c &= 0x07;
    }
    for (; more; more--, low = 0x80, high = 0xBF) {
        if (p == end || *p < low || *p > high)
            return -1;
        c = c << 6 | (*p++ & 0x3F);
        ++*at;
    }
    return c;
}

hm_status hm_utf8_check(const char *text, size_t size, const char *where, hm_error *err)
{
    if (size > HM_TEXT_MAX_BYTES)
        return hm_fail(err, HM_EFORMAT, "%s: expected at most %zu bytes, found %zu", where, HM_TEXT_MAX_BYTES, size);
    for (size_t at = 0; at < size;) {
        size_t start = at;
        if (hm_utf8_next(text, size, &at) < 0)
            return hm_fail(err, HM_EFORMAT, "%s: byte offset %zu: expected UTF-8, found byte 0x%02X in a broken sequence", where, start,
                           (unsigned)(uint8_t)text[start]);
    }
    return HM_OK;
}

const char *hm_text_quote(char out[HM_QUOTE_BYTES], const char *text, size_t size)
{
    size_t keep = 0;
    if (size < HM_QUOTE_BYTES) {
        keep = size;
    } else {
        for (size_t at = 0; at < HM_QUOTE_BYTES - 4; keep = at <= HM_QUOTE_BYTES - 4 ? at : keep)
            hm_utf8_next(text, size, &at);
    }
    if (keep)
        memcpy(out, text, keep);
    memcpy(out + keep, "...", 4);
    if (keep == size)
        out[keep] = 0;
    return out;
}

int32_t hm_byte_to_symbol(uint8_t b)
{
    if (b <= 0x20)
        return 0x100 + b;
    if (b >= 0x7F && b <= 0xA0)
        return 0x121 + (b - 0x7F);
    return b == 0xAD ? 0x143 : b;
}

int hm_symbol_to_byte(int32_t c)
{
    if (c >= 0x100 && c <= 0x120)
        return c - 0x100;
    if (c >= 0x121 && c <= 0x142)
        return c - 0x121 + 0x7F;
    if (c == 0x143)
        return 0xAD;
    return (c >= 0x21 && c <= 0x7E) || (c >= 0xA1 && c <= 0xFF && c != 0xAD) ? (int)c : -1;
}

size_t hm_bytes_to_symbols(char *out, const char *bytes, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        int32_t c = hm_byte_to_symbol((uint8_t)bytes[i]);
        if (c < 0x80) {
            out[n++] = (char)c;
        } else {
            out[n++] = (char)(0xC0 | c >> 6);
            out[n++] = (char)(0x80 | (c & 0x3F));
        }
    }
    return n;
}
