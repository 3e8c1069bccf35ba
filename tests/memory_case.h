/* What is allocated, the most of it while something is made, and estimates held against that. */
#ifndef _GNU_SOURCE
#error "define _GNU_SOURCE before the first include: mallinfo2"
#endif
#ifndef HM_TESTS_MEMORY_CASE_H
#define HM_TESTS_MEMORY_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <malloc.h>

#include "engine/hm_engine.h"

#define BOOKKEEPING_BYTES 1000000 /* names, sizes, tokenizer and configuration of a small model; no part of an estimate */

#if defined(__SANITIZE_ADDRESS__)
size_t __sanitizer_get_current_allocated_bytes(void); /* its header is not installed with every compiler */
#endif

static inline size_t allocated(void)
{
#if defined(__SANITIZE_ADDRESS__)
    return __sanitizer_get_current_allocated_bytes();
#else
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
#endif
}

struct watch {
    size_t most;
};

/* A probe's begin, whose self is a watch. */
static inline void look(void *self, hm_span_kind kind, const char *name, int64_t index)
{
    struct watch *w = self;
    size_t now = allocated();
    (void)kind;
    (void)name;
    (void)index;
    w->most = now > w->most ? now : w->most;
}

/* And its end. */
static inline void look_after(void *self, hm_span_kind kind, const char *name)
{
    look(self, kind, name, -1);
}

/* At most twice what was found; below it by no more than headers of blocks. */
static inline void expect_estimate(const char *set, const char *what, uint64_t estimated, uint64_t found, uint64_t header_bytes)
{
    if (estimated + header_bytes < found || estimated > 2 * found)
        fail_msg("%s: %s: expected an estimate of %llu to %llu bytes, found %llu", set, what, (unsigned long long)found,
                 (unsigned long long)(2 * found), (unsigned long long)estimated);
}

#endif
