/* What the tests of text share: where the goldens are, the patterns of their tokenizers, files that must open. */
#ifndef HM_TESTS_UNIT_TEXT_CASE_H
#define HM_TESTS_UNIT_TEXT_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/json.h"
#include "engine/text/tokenizer.h"

#define HEART HM_TEST_DATA "/goldens/heart/"
#define QWEN3 HM_TEST_DATA "/goldens/qwen3-tts/"

/* The pattern that the qwen3-tts goldens call compat. */
#define COMPAT_PATTERN                                                                           \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|" \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|" \
    "\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define QWEN2_PATTERN \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static inline hm_tokenizer *open_file(const char *path)
{
    hm_error err = {0};
    hm_tokenizer *t = NULL;
    if (hm_tokenizer_open(&t, path, &err))
        fail_msg("%s", err.text);
    return t;
}

static inline json_t *load(const char *path)
{
    hm_error err = {0};
    json_t *root = NULL;
    if (hm_json_load(&root, path, &err))
        fail_msg("%s", err.text);
    return root;
}

#endif
