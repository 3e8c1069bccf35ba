/* What two results of an engine have in common: what the promises of toggles are held against. */
#ifndef _GNU_SOURCE
#error "define _GNU_SOURCE before the first include: nftw"
#endif
#ifndef HM_TESTS_RESULT_CASE_H
#define HM_TESTS_RESULT_CASE_H

#include "tests/engine_case.h"

#define CASE_LOGIT_BOUND 2e-4f /* what verification allows float32 compute on logits */

/* Index of the first of n values in which they differ, or -1. */
static inline int64_t case_first_difference(const void *a, const void *b, int64_t n)
{
    const uint32_t *x = a, *y = b;
    for (int64_t i = 0; i < n; i++)
        if (x[i] != y[i])
            return i;
    return -1;
}

/* Codes, logits and audio, to the last bit. */
static inline void case_expect_same(const hm_result *a, const hm_result *b, const char *what)
{
    int64_t codes = case_first_difference(a->codes, b->codes, a->frames * a->codebooks);
    int64_t logits = case_first_difference(a->logits, b->logits, a->frames * a->codebooks);
    assert_int_equal(a->samples, b->samples);
    int64_t samples = a->audio ? case_first_difference(a->audio, b->audio, a->samples * a->channels) : -1;
    if (codes >= 0 || logits >= 0 || samples >= 0)
        fail_msg("%s: first differences at code %lld, logit %lld, sample %lld (-1: none)", what, (long long)codes, (long long)logits,
                 (long long)samples);
}

/* The same codes, logits close by. */
static inline void case_expect_close(const hm_result *a, const hm_result *b, const char *what)
{
    int64_t codes = case_first_difference(a->codes, b->codes, a->frames * a->codebooks);
    float most = 0;
    for (int i = 0; i < a->frames * a->codebooks; i++) {
        float apart = a->logits[i] < b->logits[i] ? b->logits[i] - a->logits[i] : a->logits[i] - b->logits[i];
        most = apart > most ? apart : most;
    }
    if (codes >= 0 || !(most <= CASE_LOGIT_BOUND))
        fail_msg("%s: first difference at code %lld (-1: none), logits up to %g apart, expected at most %g", what, (long long)codes,
                 (double)most, (double)CASE_LOGIT_BOUND);
}

/* "kv=prealloc" */
static inline const char *case_value_text(const hm_toggle_info *toggle, int value)
{
    static char text[128];
    char name[64];
    hm_toggle_value_name(toggle, value, name, sizeof name);
    snprintf(text, sizeof text, "%s=%s", toggle->name, name);
    return text;
}

#endif
