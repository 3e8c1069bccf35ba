/* A folder that stands for "/", and a sample to fill from it: an hm_sample is too large for a stack. */
#ifndef HM_TESTS_SAMPLE_TREE_H
#define HM_TESTS_SAMPLE_TREE_H

#include "harness/sample.h"
#include "tests/system_tree.h"

static hm_sample *sample;

static inline int make_sample_tree(void **state)
{
    sample = calloc(1, sizeof *sample);
    return !sample || make_tree(state);
}

static inline int remove_sample_tree(void **state)
{
    free(sample);
    return remove_tree(state);
}

#endif
