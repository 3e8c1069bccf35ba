/* Mutations of input files, from a fixed seed: what a parser test feeds to a parser, the same bytes in every run.
 *
 *     hm_mutator m;
 *     hm_mutator_open(&m, original, original_size, 1);
 *     for (int i = 0; i < 2000; i++) {
 *         size_t size;
 *         const uint8_t *data = hm_mutate(&m, &size);
 *         ... parse data[0..size); it must load, or fail with a sentence hm_mutate_sentence_ok() accepts ...
 *     }
 *     hm_mutator_close(&m);
 *
 * Each result starts from the original again and takes one to four mutations. It lies in a block of exactly `size` bytes, so that
 * AddressSanitizer sees a read past the end; it has no NUL behind it. hm_mutator.last tells what was done, for the message of a failure. */
#ifndef HM_TESTS_MUTATE_H
#define HM_TESTS_MUTATE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"

typedef enum hm_mutation {
    HM_MUTATE_FLIP,      /* one bit */
    HM_MUTATE_SET,       /* one byte, to a value that formats care about */
    HM_MUTATE_INSERT,    /* one to eight random bytes */
    HM_MUTATE_DELETE,    /* one to 64 bytes */
    HM_MUTATE_DUPLICATE, /* one to 64 bytes, copied elsewhere */
    HM_MUTATE_SWAP,      /* two ranges of equal length change places */
    HM_MUTATE_TRUNCATE,  /* everything after a point */
    HM_MUTATE_NUMBER,    /* a run of decimal digits becomes a hostile number; a flip where there are none */
    HM_MUTATE_BINARY,    /* two, four or eight bytes become a hostile little-endian integer */
    HM_MUTATE_QUOTED,    /* a "quoted" text takes the place of another one; a flip where there are none */
    HM_MUTATE_KINDS
} hm_mutation;

typedef struct hm_mutator {
    const uint8_t *original; /* borrowed */
    size_t original_size;    /* bytes */
    uint8_t *data;           /* the latest result; valid until the next hm_mutate */
    size_t size;             /* of data, bytes */
    uint64_t state;          /* of the generator: splitmix64 */
    char last[256];          /* what was done to get data, in words */
} hm_mutator;

/* splitmix64 (Steele, Lea, Flood: OOPSLA'14). */
static inline uint64_t hm_mutator_random(hm_mutator *m)
{
    uint64_t z = m->state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* 0 .. n-1; 0 when n is 0. */
static inline size_t hm_mutator_below(hm_mutator *m, size_t n)
{
    return n ? (size_t)(hm_mutator_random(m) % n) : 0;
}

static inline void hm_mutator_open(hm_mutator *m, const void *original, size_t size, uint64_t seed)
{
    *m = (hm_mutator){.original = original, .original_size = size, .state = seed};
}

static inline void hm_mutator_close(hm_mutator *m)
{
    free(m->data);
    *m = (hm_mutator){0};
}

/* Replaces data[at, at + cut) by `bytes` new ones, in a block of the exact size. The new bytes may lie in the old block. */
static inline void hm_mutator_splice(hm_mutator *m, size_t at, size_t cut, const void *bytes, size_t count)
{
    size_t size = m->size - cut + count;
    uint8_t *data = malloc(size ? size : 1);
    if (!data)
        abort();
    if (at)
        memcpy(data, m->data, at);
    if (count)
        memcpy(data + at, bytes, count);
    if (m->size - at - cut)
        memcpy(data + at + count, m->data + at + cut, m->size - at - cut);
    free(m->data);
    m->data = data;
    m->size = size;
}

static inline void hm_mutator_flip(hm_mutator *m)
{
    if (m->size)
        m->data[hm_mutator_below(m, m->size)] ^= (uint8_t)(1u << hm_mutator_below(m, 8));
}

static inline void hm_mutator_swap(hm_mutator *m)
{
    size_t n = 1 + hm_mutator_below(m, 64);
    if (m->size < 2 * n)
        return;
    size_t a = hm_mutator_below(m, m->size - 2 * n + 1), b = a + n + hm_mutator_below(m, m->size - a - 2 * n + 1);
    for (size_t i = 0; i < n; i++) {
        uint8_t t = m->data[a + i];
        m->data[a + i] = m->data[b + i];
        m->data[b + i] = t;
    }
}

static inline bool hm_mutator_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static inline void hm_mutator_number(hm_mutator *m)
{
    static const char *const hostile[] = {"-1",
                                          "0",
                                          "1",
                                          "2147483647",
                                          "2147483648",
                                          "4294967295",
                                          "4294967296",
                                          "-2147483649",
                                          "9223372036854775807",
                                          "9223372036854775808",
                                          "-9223372036854775808",
                                          "18446744073709551615",
                                          "65536",
                                          "1000000000",
                                          "0.5",
                                          "-0",
                                          "1e308",
                                          "1e999",
                                          "007",
                                          "null",
                                          "true",
                                          "\"7\"",
                                          "[]",
                                          "{}"};
    size_t from = hm_mutator_below(m, m->size), at = from, end;
    while (at < m->size && !hm_mutator_digit(m->data[at]))
        at++;
    if (at == m->size) {
        at = 0;
        while (at < m->size && !hm_mutator_digit(m->data[at]))
            at++;
    }
    if (at == m->size) {
        hm_mutator_flip(m);
        return;
    }
    for (end = at; end < m->size && hm_mutator_digit(m->data[end]);)
        end++;
    const char *text = hostile[hm_mutator_below(m, sizeof hostile / sizeof *hostile)];
    hm_mutator_splice(m, at, end - at, text, strlen(text));
}

static inline void hm_mutator_binary(hm_mutator *m)
{
    const uint64_t hostile[] = {0,          1,         0x7F,       0x80,           0xFF,       0x7FFF,      0x8000,
                                0xFFFF,     0x10000,   0x7FFFFFFF, 0x80000000,     0xFFFFFFFF, 0x100000000, 0x3FFFFFFFF,
                                1ull << 62, INT64_MAX, 1ull << 63, UINT64_MAX - 7, UINT64_MAX, m->size,     m->size + 1};
    size_t width = (size_t)2 << hm_mutator_below(m, 3);
    if (m->size < width)
        return;
    size_t at = hm_mutator_below(m, m->size - width + 1);
    uint64_t value = hostile[hm_mutator_below(m, sizeof hostile / sizeof *hostile)];
    for (size_t i = 0; i < width; i++)
        m->data[at + i] = (uint8_t)(value >> (8 * i));
}

/* The next "..." at or after a random place, without its quotes; false when there is none there. */
static inline bool hm_mutator_find_quoted(hm_mutator *m, size_t *begin, size_t *end)
{
    size_t at = hm_mutator_below(m, m->size);
    while (at < m->size && m->data[at] != '"')
        at++;
    *begin = ++at;
    while (at < m->size && m->data[at] != '"')
        at++;
    *end = at;
    return at < m->size;
}

static inline void hm_mutator_quoted(hm_mutator *m)
{
    size_t from, from_end, to, to_end;
    if (hm_mutator_find_quoted(m, &from, &from_end) && hm_mutator_find_quoted(m, &to, &to_end))
        hm_mutator_splice(m, to, to_end - to, m->data + from, from_end - from);
    else
        hm_mutator_flip(m);
}

static inline void hm_mutator_apply(hm_mutator *m, hm_mutation kind)
{
    static const uint8_t values[] = {0, 1, 0x7F, 0x80, 0xFF, '"', '\\', '{', '}', '[', ']', ',', ':', '\n', ' ', '-', '0', '9', 0xC0, 0xED};
    uint8_t bytes[8];
    size_t at = hm_mutator_below(m, m->size), n = 1 + hm_mutator_below(m, 64);
    n = n > m->size - at ? m->size - at : n;
    switch (kind) {
    case HM_MUTATE_SET:
        if (m->size)
            m->data[at] = values[hm_mutator_below(m, sizeof values)];
        break;
    case HM_MUTATE_INSERT:
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)hm_mutator_random(m);
        hm_mutator_splice(m, at, 0, bytes, 1 + hm_mutator_below(m, sizeof bytes));
        break;
    case HM_MUTATE_DELETE:
        hm_mutator_splice(m, at, n, NULL, 0);
        break;
    case HM_MUTATE_DUPLICATE:
        hm_mutator_splice(m, hm_mutator_below(m, m->size + 1), 0, m->data + at, n);
        break;
    case HM_MUTATE_SWAP:
        hm_mutator_swap(m);
        break;
    case HM_MUTATE_TRUNCATE:
        hm_mutator_splice(m, at, m->size - at, NULL, 0);
        break;
    case HM_MUTATE_NUMBER:
        hm_mutator_number(m);
        break;
    case HM_MUTATE_BINARY:
        hm_mutator_binary(m);
        break;
    case HM_MUTATE_QUOTED:
        hm_mutator_quoted(m);
        break;
    default:
        hm_mutator_flip(m);
    }
}

/* A new mutation of the original; *size bytes, valid until the next call or close. */
static inline const uint8_t *hm_mutate(hm_mutator *m, size_t *size)
{
    static const char *const names[HM_MUTATE_KINDS] = {"flip", "set",      "insert", "delete", "duplicate",
                                                       "swap", "truncate", "number", "binary", "quoted"};
    m->size = 0;
    hm_mutator_splice(m, 0, 0, m->original, m->original_size);
    int used = snprintf(m->last, sizeof m->last, "state %016llx:", (unsigned long long)m->state);
    for (size_t i = 0, n = 1 + hm_mutator_below(m, 4); i < n; i++) {
        hm_mutation kind = (hm_mutation)hm_mutator_below(m, HM_MUTATE_KINDS);
        if (kind == HM_MUTATE_TRUNCATE && hm_mutator_below(m, 4)) /* rarer: what is cut off hides the other mutations */
            kind = HM_MUTATE_NUMBER;
        hm_mutator_apply(m, kind);
        used += snprintf(m->last + used, sizeof m->last - (size_t)used, " %s", names[kind]);
    }
    *size = m->size;
    return m->data;
}

/* A failure's status is a failure's, it is the one in the error, and the sentence is one line of printable text. */
static inline bool hm_mutate_sentence_ok(hm_status status, const hm_error *err)
{
    if (!status || err->status != status || !err->text[0] || !memchr(err->text, 0, sizeof err->text))
        return false;
    for (const char *c = err->text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7F)
            return false;
    return true;
}

#endif
