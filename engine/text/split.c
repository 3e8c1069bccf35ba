/* Splits a text by a pattern written for Oniguruma (as tokenizer.json has it), with PCRE2. The two differ in what \s is: here it is
 * Unicode's White_Space in both. Syntax that both accept with different meanings is refused. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "engine/text/internal.h"

#define MAX_PATTERN_BYTES 65536
/* Backtracking allowed per match: the known patterns need a few steps per byte of a white-space run and next to none elsewhere. */
#define MATCH_STEPS 1000000u
#define MATCH_STEPS_PER_BYTE 16u
#define JIT_STACK_BYTES ((size_t)16 << 20)
#define HEAP_LIMIT_KIB 262144u

struct hm_split {
    pcre2_code *code;
};

struct hm_splitter {
    const pcre2_code *code;
    pcre2_match_data *match;
    pcre2_match_context *limits;
    pcre2_jit_stack *stack;
    const char *text;
    size_t size;
    size_t at;         /* end of the last piece */
    size_t from;       /* where the next search starts */
    size_t begin, end; /* a match not yet given out, when `found` */
    bool found;
};

typedef struct rewriter {
    const char *in;
    size_t at;
    char *out; /* room for the longest replacement of every byte */
    size_t used;
    bool in_class;
    const char *where;
} rewriter;

static void emit(rewriter *r, const char *text, size_t size, size_t consumed)
{
    memcpy(r->out + r->used, text, size);
    r->used += size;
    r->at += consumed;
}

#define SPACE "\\p{White_Space}"
#define NOT_SPACE "\\P{White_Space}"

/* At a backslash. */
static hm_status rewrite_escape(rewriter *r, hm_error *err)
{
    const char *p = r->in + r->at;
    switch (p[1]) {
    case 's':
        emit(r, SPACE, strlen(SPACE), 2);
        return HM_OK;
    case 'S':
        emit(r, NOT_SPACE, strlen(NOT_SPACE), 2);
        return HM_OK;
    case 'h': /* a hex digit in one, horizontal space in the other */
    case 'H':
    case 'Q': /* a quotation in one, a Q in the other */
    case 'E':
        return hm_fail(err, HM_EFORMAT, "%s: split pattern: \\%c at byte %zu is not supported", r->where, p[1], r->at);
    default:
        emit(r, p, p[1] ? 2 : 1, p[1] ? 2 : 1);
        return HM_OK;
    }
}

/* Inside [...]. */
static hm_status rewrite_class(rewriter *r, hm_error *err)
{
    const char *p = r->in + r->at;
    if (!strncmp(p, "[:space:]", 9)) {
        emit(r, SPACE, strlen(SPACE), 9);
    } else if (!strncmp(p, "[:^space:]", 10)) {
        emit(r, NOT_SPACE, strlen(NOT_SPACE), 10);
    } else if (!strncmp(p, "[:", 2)) {
        const char *end = strstr(p, ":]");
        size_t size = end ? (size_t)(end - p) + 2 : 2;
        emit(r, p, size, size);
    } else if (*p == '[' || !strncmp(p, "&&", 2)) {
        return hm_fail(err, HM_EFORMAT, "%s: split pattern: a class within a class (byte %zu) is not supported", r->where, r->at);
    } else {
        r->in_class = *p != ']';
        emit(r, p, 1, 1);
    }
    return HM_OK;
}

static void rewrite_class_start(rewriter *r)
{
    const char *p = r->in + r->at;
    size_t size = p[1] == '^' ? 2 : 1;
    if (p[size] == ']') /* a literal ] */
        size++;
    emit(r, p, size, size);
    r->in_class = true;
}

static hm_status rewrite(char **out, const char *regex, const char *where, hm_error *err)
{
    size_t size = strlen(regex);
    if (size > MAX_PATTERN_BYTES)
        return hm_fail(err, HM_EFORMAT, "%s: split pattern: expected at most %d bytes, found %zu", where, MAX_PATTERN_BYTES, size);
    rewriter r = {.in = regex, .where = where, .out = hm_calloc(size + 1, strlen(SPACE), where, err)};
    if (!r.out)
        return HM_EABSENT;
    while (r.at < size) {
        hm_status st = HM_OK;
        if (regex[r.at] == '\\')
            st = rewrite_escape(&r, err);
        else if (r.in_class)
            st = rewrite_class(&r, err);
        else if (regex[r.at] == '[')
            rewrite_class_start(&r);
        else
            emit(&r, regex + r.at, 1, 1);
        if (st) {
            free(r.out);
            return st;
        }
    }
    r.out[r.used] = 0;
    *out = r.out;
    return HM_OK;
}

hm_status hm_split_open(hm_split **out, const char *regex, const char *where, hm_error *err)
{
    int code;
    char *pattern;
    PCRE2_SIZE at;
    PCRE2_UCHAR text[128];
    hm_status st = rewrite(&pattern, regex, where, err);
    if (st)
        return st;
    hm_split *s = hm_calloc(1, sizeof *s, where, err);
    if (!s) {
        free(pattern);
        return HM_EABSENT;
    }
    s->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code, &at, NULL);
    if (!s->code) {
        char quote[HM_QUOTE_BYTES];
        pcre2_get_error_message(code, text, sizeof text);
        st = hm_fail(err, HM_EFORMAT, "%s: split pattern does not compile: %s near \"%s\"", where, (const char *)text,
                     hm_text_quote(quote, pattern + at, strlen(pattern + at)));
        hm_split_close(&s);
    } else {
        pcre2_jit_compile(s->code, PCRE2_JIT_COMPLETE); /* where there is no compiler the interpreter matches the same */
        *out = s;
    }
    free(pattern);
    return st;
}

void hm_split_close(hm_split **split)
{
    if (!*split)
        return;
    pcre2_code_free((*split)->code);
    free(*split);
    *split = NULL;
}

hm_status hm_splitter_open(hm_splitter **out, const hm_split *split, hm_error *err)
{
    hm_splitter *s = hm_calloc(1, sizeof *s, "split pattern", err);
    if (!s)
        return HM_EABSENT;
    s->code = split->code;
    s->match = pcre2_match_data_create(1, NULL);
    s->limits = pcre2_match_context_create(NULL);
    s->stack = pcre2_jit_stack_create(32768, JIT_STACK_BYTES, NULL); /* NULL without a compiler: not used then */
    if (!s->match || !s->limits) {
        hm_splitter_close(&s);
        return hm_fail(err, HM_EABSENT, "split pattern: no memory for matching");
    }
    pcre2_jit_stack_assign(s->limits, NULL, s->stack);
    pcre2_set_heap_limit(s->limits, HEAP_LIMIT_KIB);
    *out = s;
    return HM_OK;
}

void hm_splitter_close(hm_splitter **splitter)
{
    hm_splitter *s = *splitter;
    if (!s)
        return;
    pcre2_match_data_free(s->match);
    pcre2_match_context_free(s->limits);
    pcre2_jit_stack_free(s->stack);
    free(s);
    *splitter = NULL;
}

void hm_splitter_start(hm_splitter *s, const char *text, size_t size)
{
    s->text = text;
    s->size = size;
    s->at = s->from = 0;
    s->found = false;
    pcre2_set_match_limit(s->limits, MATCH_STEPS + MATCH_STEPS_PER_BYTE * (uint32_t)size);
}

static hm_status find(hm_splitter *s, hm_error *err)
{
    int rc = pcre2_match(s->code, (PCRE2_SPTR)s->text, s->size, s->from, PCRE2_NO_UTF_CHECK, s->match, s->limits);
    if (rc == PCRE2_ERROR_NOMATCH) {
        s->begin = s->end = s->size;
        return HM_OK;
    }
    if (rc < 0) {
        PCRE2_UCHAR text[128];
        pcre2_get_error_message(rc, text, sizeof text);
        return hm_fail(err, HM_EFORMAT,
                       "split pattern: matching stopped at byte %zu of a text of %zu bytes: %s; the pattern backtracks too much", s->from,
                       s->size, (const char *)text);
    }
    const PCRE2_SIZE *span = pcre2_get_ovector_pointer(s->match);
    if (span[0] < s->at || span[1] < span[0])
        return hm_fail(err, HM_EFORMAT, "split pattern: a match from byte %zu to %zu begins before byte %zu, the end of the last one",
                       span[0], span[1], s->at);
    s->begin = span[0];
    s->from = s->end = span[1];
    if (s->begin == s->end && s->from < s->size) /* an empty match: search on from the next code point */
        hm_utf8_next(s->text, s->size, &s->from);
    return HM_OK;
}

hm_status hm_splitter_next(hm_splitter *s, size_t *begin, size_t *end, hm_error *err)
{
    *begin = s->at;
    while (s->at < s->size) {
        hm_status st = s->found ? HM_OK : find(s, err);
        if (st)
            return st;
        s->found = s->begin > s->at; /* first the gap before the match, then the match */
        s->at = s->found ? s->begin : s->end;
        if (s->at > *begin)
            break;
    }
    *end = s->at;
    return HM_OK;
}
