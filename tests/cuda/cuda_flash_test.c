/* Attention over many rows on NVIDIA's GPUs (engine/cuda/flash.cu): the cases of the shared kernels, with the bounds they have there. */
#ifndef HM_TEST_CUDA
#define HM_TEST_CUDA
#endif
#define main shared_cases /* those that are not listed below are unused */
int shared_cases(void);
#include "tests/gpu/gpu_attention_test.c"
#undef main

#include "engine/cuda/cuda_many.h"

static int flash_open(void **state)
{
    int st = gpu_case_open(state);
    gpu_case *c = *state;
    hm_cuda_many_ops(&c->gpu.op);
    return st;
}

/* What a window slides over, and what is not causal, has the same bytes however its rows are cut into calls. */
static void pieces_of_a_stream_do_not_change_a_row(void **state)
{
    static const shape ones[] = {{1, 50, 4, 2, 40, 180, 130, true, ROWS, 72}, {2, 31, 2, 2, 64, 70, 0, false, ROWS_SLOT, 0}};
    gpu_case *c = *state;
    for (int i = 0; i < 2 * LAYOUTS; i++) {
        shape s = ones[i % 2];
        problem p;
        s.layout = (layout)(i / 2);
        int row = s.H * s.Dh;
        problem_random(c, &p, &s, 2.0f);
        float *whole = attend(c, &p, 1), *piece = guarded_alloc(p.n_q);
        for (int at = 0, n; at < s.S && s.B == 1; at += n) {
            hm_attention_args part = p.gpu;
            n = at % 3 ? 1 : 22;
            n = n < s.S - at ? n : s.S - at;
            part.q = p.gpu.q + at * row;
            part.out = p.gpu.out + at * row;
            part.S = n;
            part.pos = s.pos + at;
            part.slots = s.pos + at + n;
            hm_gpu_attention_flash(&c->gpu.op, &part);
        }
        for (int b = 0; b < s.B && s.B > 1; b++)
            for (int at = 0, n; at < s.S; at += n) {
                hm_attention_args part = p.gpu;
                n = at % 2 ? 4 : 25;
                n = n < s.S - at ? n : s.S - at;
                part.B = 1;
                part.kv = hm_kv_from(&part.kv, b, 0);
                part.q = p.gpu.q + (b * s.S + at) * row;
                part.out = p.gpu.out + (b * s.S + at) * row;
                part.S = n;
                hm_gpu_attention_flash(&c->gpu.op, &part);
            }
        gpu_get(c, piece, p.gpu.out);
        assert_same_bytes(piece, whole, p.n_q);
        guarded_free(whole, p.n_q);
        guarded_free(piece, p.n_q);
        problem_close(c, &p);
    }
}

/* Heads of all sizes, windows, heads that share, no causality, more slots than a tile. */
static void attention_on_tensor_cores_is_the_cpus(void **state)
{
    static const shape ones[] = {{1, 70, 4, 2, 31, 70, 0, true, ROWS, 0},    {2, 33, 2, 2, 64, 33, 0, false, ROWS, 0},
                                 {1, 40, 5, 1, 33, 130, 90, true, ROWS, 0},  {1, 30, 4, 2, 6, 30, 0, true, ROWS, 7},
                                 {2, 5, 4, 4, 24, 300, 290, true, ROWS, 72}, {1, 66, 4, 1, 128, 150, 84, true, ROWS, 0},
                                 {1, 20, 2, 2, 100, 133, 0, false, ROWS, 0}, {1, 20, 6, 2, 65, 400, 380, true, ROWS, 0}};
    gpu_case *c = *state;
    for (size_t i = 0; i < sizeof ones / sizeof *ones * LAYOUTS; i++) {
        shape s = ones[i / LAYOUTS];
        problem p;
        s.layout = (layout)(i % LAYOUTS);
        problem_random(c, &p, &s, i % 2 ? 6.0f : 1.0f);
        c->gpu.count = c->cpu.count = (hm_counters){0};
        float *expected = attend_here(c, &p, 1), *found = attend(c, &p, 1);
        assert_same_counts(c);
        for (size_t x = 0; x < p.n_q; x++)
            assert_near(found[x], (double)expected[x], p.bound, "streamed", x);
        guarded_free(expected, p.n_q);
        guarded_free(found, p.n_q);
        problem_close(c, &p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_on_tensor_cores_is_the_cpus),
        cmocka_unit_test(windows_do_not_read_blocks_out_of_sight),
        cmocka_unit_test(a_window_of_moved_slots_gives_the_bytes_of_the_whole_pass),
        cmocka_unit_test(expanded_heads_give_the_bytes_of_shared_ones),
        cmocka_unit_test(hostile_scores_stay_finite_and_near),
        cmocka_unit_test(pieces_of_a_stream_do_not_change_a_row),
    };
    return cmocka_run_group_tests(tests, flash_open, gpu_case_close);
}
