/* Golden files on the software device, in one process of the runtime build, so that what the device compiles is compiled once. */
#ifndef HM_TESTS_GPU_GOLDEN_CASE_H
#define HM_TESTS_GPU_GOLDEN_CASE_H

#include "harness/verify.h"
#include "tests/engine_case.h"
#include "tests/soft_case.h"

#define HEART HM_TEST_DATA "/goldens/heart"
#define SPEECH HM_TEST_DATA "/goldens/qwen3-tts"

static soft_library golden_soft;

static inline void golden_row(void *self, const hm_verify_row *row)
{
    const char *what = self;
    if (row->outcome == HM_VERIFY_MISS)
        fprintf(stderr, "%s: %s: %s: %g apart, expected at most %g (%s)\n", what, row->file, row->tensor, row->max_abs, row->tolerance,
                row->text);
}

/* Every golden of the folder is met. */
static inline void golden_met(const char *variant, const hm_toggles *toggles, const char *folder)
{
    hm_verify v = {
        .api = case_runtime(), .toggles = toggles, .backend = SOFT_BACKEND, .threads = 2, .self = (void *)variant, .row = golden_row};
    hm_error err = {0};
    if (hm_verify_folder(&v, folder, &err))
        fail_msg("%s: %s", variant, err.text);
    assert_true(v.compared > 0);
    assert_int_equal(v.missed, 0);
    soft_clean(&golden_soft);
}

/* A folder of links to some files of another. */
static inline void golden_pick(char *to, const char *from, const char *const *names)
{
    char file[512], link[512];
    assert_non_null(mkdtemp(to));
    for (; *names; names++) {
        snprintf(file, sizeof file, "%s/%s", from, *names);
        snprintf(link, sizeof link, "%s/%s", to, *names);
        assert_int_equal(symlink(file, link), 0);
    }
}

#endif
