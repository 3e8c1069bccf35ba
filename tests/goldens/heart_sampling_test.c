/* Draws of the reference implementation with its exponential draws given: the same token, and probabilities within 1e-6. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/map.h"
#include "engine/cpu/cpu.h"
#include "engine/safetensors.h"

typedef struct golden {
    hm_safetensors file;
    hm_map map;
} golden;

/* Tensor "i/what" and, if wanted, its rows and columns; NULL when there is none. */
static const void *values(const golden *g, int i, const char *what, int64_t shape[2])
{
    char name[32];
    snprintf(name, sizeof name, "%d/%s", i, what);
    for (int k = 0; k < g->file.count; k++) {
        const hm_safetensors_entry *e = &g->file.entries[k];
        if (strcmp(e->name, name))
            continue;
        if (shape) {
            assert_int_equal(e->rank, 2);
            shape[0] = e->shape[0];
            shape[1] = e->shape[1];
        }
        return (const char *)g->map.data + e->offset;
    }
    return NULL;
}

static int32_t drawn(hm_isa isa, const hm_sample_input *in, float *scratch)
{
    hm_device *dev;
    assert_int_equal(hm_cpu_open(&dev, 1, isa, NULL), HM_OK);
    int32_t token = hm_cpu_draw(dev, in, scratch, NULL);
    hm_cpu_close(&dev);
    return token;
}

static void check_case(const golden *g, int i)
{
    int64_t shape[2];
    const float *logits = values(g, i, "logits", shape), *q = values(g, i, "q", NULL), *p = values(g, i, "probs", NULL);
    const int32_t *topk = values(g, i, "topk", NULL), *token = values(g, i, "token", NULL);
    const float *temperature = values(g, i, "temperature", NULL);
    const int64_t rows = shape[0], V = shape[1];
    float *scratch = malloc(hm_sample_scratch_floats((int)V) * sizeof *scratch), *probs = malloc((size_t)V * sizeof *probs);
    assert_true(q && p && topk && token && temperature && scratch && probs);
    for (int64_t r = 0; r < rows; r++) {
        hm_sample_input in = {.logits = logits + r * V, .V = (int)V, .topk = *topk, .temperature = *temperature, .q = q + r * V};
        assert_int_equal(hm_sample_reference(&in, probs, scratch, NULL), token[r]);
        for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa = hm_isa_next(isa))
            assert_int_equal(drawn(isa, &in, scratch), token[r]);
        for (int64_t j = 0; j < V; j++)
            if (!(fabsf(probs[j] - p[r * V + j]) <= 1e-6f))
                fail_msg("case %d, row %d: probability %d is %.9g, expected %.9g", i, (int)r, (int)j, (double)probs[j],
                         (double)p[r * V + j]);
    }
    free(scratch);
    free(probs);
}

static void draws_equal_those_of_the_reference(void **state)
{
    const char *path = HM_TEST_DATA "/goldens/heart/sampling.safetensors";
    golden g = {0};
    hm_error err = {0};
    int cases = 0;
    (void)state;
    if (hm_safetensors_open(&g.file, path, &err) || hm_map_open(&g.map, path, &err))
        fail_msg("%s", err.text);
    for (int i = 0; i < 8; i++)
        if (values(&g, i, "logits", NULL)) {
            check_case(&g, i);
            cases++;
        }
    assert_int_equal(cases, 5);
    hm_map_close(&g.map);
    hm_safetensors_close(&g.file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(draws_equal_those_of_the_reference)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
