/* The talker and its code predictor against the reference implementation: every greedy case of the small presets, codes exact and tensors
 * within goldens/qwen3-tts/README.md ("rel": largest difference over the largest golden value); where an utterance ends, what is kept from
 * prompt to prompt, what a frame costs. */
#define _GNU_SOURCE
#include "tests/talker_case.h"

static const char *const names[] = {"tiny_a.custom_voice",
                                    "tiny_a.custom_voice_stream",
                                    "tiny_a.voice_design",
                                    "tiny_a.base_xvector",
                                    "tiny_a.base_icl",
                                    "tiny_a.base_icl_nonstream",
                                    "tiny_a.custom_voice_eos",
                                    "tiny_b.custom_voice",
                                    "tiny_b.custom_voice_stream",
                                    "tiny_b.voice_design",
                                    "tiny_b.base_xvector",
                                    "tiny_b.base_icl",
                                    "tiny_b.base_icl_nonstream"};
enum {
    CASES = sizeof names / sizeof *names
};

/* --- goldens --- */

typedef struct watch {
    tts_case *k;
    hm_golden *steps; /* all steps' logits, of one case */
    int compared;
} watch;

static double peak_of(const float *x, int64_t n)
{
    double peak = 0;
    for (int64_t i = 0; i < n; i++)
        peak = fmax(peak, fabs((double)x[i]));
    return peak;
}

static double tolerance_of(const char *name)
{
    static const char *const strict[] = {"prompt_embeds", "trailing_text", "tts_pad_embed", "talker_layer0_out"};
    for (size_t i = 0; i < sizeof strict / sizeof *strict; i++)
        if (!strcmp(name, strict[i]))
            return 1e-5;
    return 1e-4;
}

static void compare_with(hm_golden *golden, const hm_tap_value *v, bool whole, int *compared)
{
    hm_error err = {0};
    const float *expected;
    const float *found = v->data;
    int64_t n, count = v->shape[0] * v->shape[1] * v->shape[2], first = (int64_t)v->batch_row * v->shape[1] * v->shape[2];
    if (hm_golden_need_f32(golden, "", v->name, &expected, &n, &err))
        fail_msg("%s", err.text);
    if (!whole && first + count > n)
        return;
    assert_true(whole ? first == 0 && count == n : first + count <= n);
    double limit = tolerance_of(v->name) * peak_of(expected, n);
    for (int64_t i = 0; i < count; i++)
        if (!(fabs((double)found[i] - (double)expected[first + i]) <= limit))
            fail_msg("%s, row %d: value %lld is %.9g, expected %.9g, at most %.3g away", v->name, v->batch_row, (long long)i,
                     (double)found[i], (double)expected[first + i], limit);
    ++*compared;
}

static void compare_tap(void *self, const hm_tap_value *v)
{
    watch *w = self;
    if (hm_golden_find(&w->k->golden, "", v->name))
        compare_with(&w->k->golden, v, true, &w->compared);
    else if (w->steps && hm_golden_find(w->steps, "", v->name))
        compare_with(w->steps, v, false, &w->compared);
    else
        assert_true(!strcmp(v->name, "talker_logits") || !strcmp(v->name, "cp_logits"));
}

static void expect_golden(const char *name, const hm_toggles *toggles, const char *what)
{
    tts_case *k = open_case(name);
    model *m = open_model(k->preset, k->kind, toggles);
    hm_golden steps = {0};
    watch watching = {.k = k};
    hm_probe probe = {.self = &watching, .tap = compare_tap};
    hm_error err = {0};
    bool has_steps = !strcmp(name, "tiny_b.custom_voice");
    if (has_steps && hm_golden_open(&steps, GOLDENS "tiny_b.custom_voice_steps.safetensors", &err))
        fail_msg("%s", err.text);
    watching.steps = has_steps ? &steps : NULL;
    m->ctx.probe = &probe;
    k->request.surplus = true;
    outcome o = speak(m, &k->request);
    expect_golden_codes(k, &o, what);
    assert_int_equal(watching.compared, 11 + (has_steps ? 41 + 12 : 0));
    drop(&o);
    close_model(m);
    if (has_steps)
        hm_golden_close(&steps);
    close_case(k);
}

static void naive_meets_every_golden(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++)
        expect_golden(names[i], &case_naive, "naive");
}

static void best_meets_every_golden(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++)
        expect_golden(names[i], &case_best, "best");
}

/* --- the end --- */

static void a_forced_length_draws_no_end_and_takes_every_frame(void **state)
{
    tts_case *k = open_case("tiny_a.custom_voice_eos");
    static const hm_toggles *const sets[] = {&case_naive, &case_best};
    (void)state;
    k->request.force_length = true;
    for (int s = 0; s < 2; s++) {
        outcome o = speak_with(k, sets[s], &k->request);
        assert_int_equal(o.frames, k->request.max_frames);
        assert_int_equal(o.surplus, -1);
        assert_memory_equal(o.codes, k->codes, (size_t)(k->frames * o.groups) * sizeof(int32_t));
        for (int f = 0; f < o.frames; f++)
            assert_in_range(o.codes[f * o.groups], 0, 127);
        drop(&o);
    }
    close_case(k);
}

static void the_end_waits_for_the_least_frames(void **state)
{
    tts_case *k = open_case("tiny_a.custom_voice_eos");
    static const hm_toggles *const sets[] = {&case_naive, &case_best};
    (void)state;
    k->request.min_frames = k->frames + 1;
    for (int s = 0; s < 2; s++) {
        outcome o = speak_with(k, sets[s], &k->request);
        assert_true(o.frames > k->frames);
        drop(&o);
    }
    close_case(k);
}

static void stored_codes_go_on_and_draws_are_kept(void **state)
{
    tts_case *k = open_case("tiny_b.custom_voice");
    hm_toggles host = case_best;
    (void)state;
    host.codes = HM_CODES_EACH;
    host.token_forward = HM_TOKEN_HOST;
    host.penalty = HM_PENALTY_HISTORY;
    const hm_toggles *const sets[] = {&case_naive, &case_best, &host};
    hm_talker_request r = k->request;
    r.stored = k->codes;
    r.surplus = true;
    for (int s = 0; s < 3; s++) { /* along its own path nothing changes; along another, draws from it differ from what goes on */
        outcome own = speak_with(k, sets[s], &r);
        expect_golden_codes(k, &own, "stored");
        int32_t *other = malloc((size_t)(k->frames * own.groups) * sizeof *other);
        assert_non_null(other);
        for (int i = 0; i < k->frames * own.groups; i++)
            other[i] = (k->codes[i] + 1) % 64;
        r.stored = other;
        outcome o = speak_with(k, sets[s], &r);
        assert_int_equal(o.frames, k->frames);
        assert_int_equal(o.codes[0], k->codes[0]);
        assert_memory_not_equal(o.codes, own.codes, (size_t)(k->frames * own.groups) * sizeof(int32_t));
        for (int i = 0; i < o.frames * o.groups; i++)
            assert_int_not_equal(o.codes[i] < 0, 1);
        r.stored = k->codes;
        free(other);
        drop(&own);
        drop(&o);
    }
    close_case(k);
}

/* --- what is kept from prompt to prompt --- */

static void an_equal_beginning_is_computed_once(void **state)
{
    tts_case *icl = open_case("tiny_b.base_icl_nonstream"), *vector = open_case("tiny_b.base_xvector");
    hm_toggles kept = case_best, grown = case_naive;
    (void)state;
    kept.prefix = grown.prefix = HM_PREFIX_REUSED;
    const hm_toggles *const sets[] = {&kept, &grown};
    for (int s = 0; s < 2; s++) {
        model *m = open_model("tiny_b", "base", sets[s]);
        hm_talker_work *w = open_work(m, 1, 100, 150);
        const tts_case *order[] = {icl, icl, vector, vector, icl};
        const uint64_t computed[] = {88, 1, 7, 1, 85}; /* rows in front are instruct, role, prefix: the last depends on the language */
        float *voice = malloc((size_t)m->talker.shape.talker.width * sizeof *voice);
        assert_non_null(voice);
        for (int i = 0; i < 5; i++) {
            hm_talker_request r = order[i]->request;
            outcome o = speak_in(m, w, &r);
            assert_memory_equal(o.codes, order[i]->codes, (size_t)(order[i]->frames * o.groups) * sizeof(int32_t));
            assert_int_equal(o.counters.prompt_rows, computed[i]);
            drop(&o);
        }
        hm_talker_request r = icl->request; /* another voice, then another recording */
        memcpy(voice, r.speaker_vector, (size_t)m->talker.shape.talker.width * sizeof *voice);
        voice[3] += 1;
        r.speaker_vector = voice;
        outcome o = speak_in(m, w, &r);
        assert_int_equal(o.counters.prompt_rows, 88 - 6);
        drop(&o);
        int32_t *codes = malloc((size_t)(r.reference_frames * 8) * sizeof *codes);
        assert_non_null(codes);
        memcpy(codes, r.reference_codes, (size_t)(r.reference_frames * 8) * sizeof *codes);
        codes[5 * 8 + 7] = (codes[5 * 8 + 7] + 1) % 64;
        r.reference_codes = codes;
        o = speak_in(m, w, &r);
        assert_int_equal(o.counters.prompt_rows, r.reference_frames - 5);
        drop(&o);
        free(codes);
        free(voice);
        hm_talker_work_close(&m->ctx, &w);
        close_model(m);
    }
    close_case(icl);
    close_case(vector);
}

static void projected_text_is_kept_and_gives_the_same_bytes(void **state)
{
    tts_case *k = open_case("tiny_a.custom_voice_stream");
    model *m = open_model(k->preset, k->kind, &case_best);
    hm_talker_work *w = open_work(m, 1, 100, 150);
    (void)state;
    outcome first = speak_in(m, w, &k->request), second = speak_in(m, w, &k->request);
    expect_same(&first, &second, "again");
    assert_true(first.counters.text_rows > 5 && first.counters.text_rows <= (uint64_t)k->request.text_count);
    assert_int_equal(second.counters.text_rows, 0);
    drop(&second);
    hm_talker_work_close(&m->ctx, &w);
    close_model(m);
    hm_toggles called = case_best;
    called.precompute = HM_PRECOMPUTE_PER_CALL;
    outcome again = speak_with(k, &called, &k->request);
    expect_same(&first, &again, "per call");
    assert_int_equal(again.counters.text_rows, k->request.text_count - 5 + 3);
    drop(&first);
    drop(&again);
    close_case(k);
}

/* A text of more distinct tokens than are kept. */
static void text_longer_than_what_is_kept_is_projected_all_the_same(void **state)
{
    tts_case *k = open_case("tiny_a.base_xvector");
    int n = 3000;
    int32_t *ids = malloc((size_t)n * sizeof *ids);
    hm_toggles called = case_best;
    (void)state;
    called.precompute = HM_PRECOMPUTE_PER_CALL;
    assert_non_null(ids);
    memcpy(ids, k->request.text_ids, 3 * sizeof *ids);
    for (int i = 3; i < n; i++)
        ids[i] = (i * 7919) % 470;
    hm_talker_request r = k->request;
    r.text_ids = ids;
    r.text_count = n;
    r.max_frames = 60;
    outcome expected = speak_with(k, &called, &r);
    model *m = open_model(k->preset, k->kind, &case_best);
    hm_talker_work *w = open_work(m, 1, 100, 200);
    for (int i = 0; i < 2; i++) {
        outcome o = speak_in(m, w, &r);
        expect_same(&expected, &o, "long text");
        assert_true(o.counters.text_rows > 400); /* of 470 ids, fewer are kept */
        drop(&o);
    }
    hm_talker_work_close(&m->ctx, &w);
    close_model(m);
    drop(&expected);
    free(ids);
    close_case(k);
}

/* --- cost, sizes, mistakes --- */

static void estimates_are_what_is_taken(void **state)
{
    static const hm_toggles *const sets[] = {&case_naive, &case_best};
    tts_case *k = open_case("tiny_a.base_icl");
    (void)state;
    for (int s = 0; s < 2; s++) {
        model *m = open_model(k->preset, k->kind, sets[s]);
        uint64_t kv, scratch;
        int rows = hm_talker_prompt_rows(&m->talker.shape, &k->request);
        hm_talker_estimate(&m->ctx, &m->talker.shape, &k->request, 1, 0, &kv, &scratch);
        hm_talker_work *w = open_work(m, 1, rows, rows + k->request.max_frames);
        hm_utterance *u = begin(m, w, &k->request);
        uint64_t taken = hm_talker_work_bytes(w) + hm_utterance_kv_bytes(u);
        if (sets[s] == &case_best)
            assert_int_equal(hm_utterance_kv_bytes(u), kv);
        assert_true(taken <= kv + scratch && taken > scratch / 4);
        hm_utterance_end(&m->ctx, &u);
        hm_talker_work_close(&m->ctx, &w);
        close_model(m);
    }
    close_case(k);
}

/* Spec section 13, "GFLOP/frame" and "bytes/frame", for the shapes of the two released sizes. */
static void a_frame_costs_what_the_shape_says(void **state)
{
    hm_talker_shape *g = calloc(1, sizeof *g);
    (void)state;
    assert_non_null(g);
    g->talker = (hm_tts_stack){.layers = 28, .heads = 16, .kv_heads = 8, .head_dim = 128, .width = 1024, .hidden = 3072};
    g->predictor = (hm_tts_stack){.layers = 5, .heads = 16, .kv_heads = 8, .head_dim = 128, .width = 1024, .hidden = 3072};
    g->code_vocab = 3072;
    g->groups = 16;
    g->codebook = 2048;
    assert_true(fabs(hm_talker_frame_flops(g, 0) / 1e9 - 3.47) < 0.005);
    g->talker.width = 2048;
    g->talker.hidden = 6144;
    assert_true(fabs(hm_talker_frame_flops(g, 0) / 1e9 - 5.48) < 0.005);
    assert_true(fabs(hm_talker_frame_flops(g, 100) - hm_talker_frame_flops(g, 0) - 4.0 * 28 * 2048 * 100) < 1);
    free(g);
    model *m = open_model("tiny_b", "base", &case_best); /* the predictor's weights, 7 times or once */
    uint64_t more = hm_talker_frame_bytes(&m->talker) - hm_talker_distinct_bytes(&m->talker);
    assert_int_equal(more, 6 * (hm_transformer_pass_bytes(&m->talker.predictor) + hm_linear_bytes(&m->talker.projection)));
    close_model(m);
}

static void expect_refused(model *m, hm_talker_work *w, const hm_talker_request *r, const char *text)
{
    hm_utterance *u = NULL;
    hm_error err = {0};
    case_expect_error(hm_utterance_begin(&m->ctx, &u, w, r, &err), &err, HM_EUSAGE, text);
    assert_null(u);
}

static void impossible_requests_are_refused(void **state)
{
    tts_case *k = open_case("tiny_a.base_icl");
    model *m = open_model(k->preset, k->kind, &case_best);
    hm_talker_work *w = open_work(m, 1, 24, 40), *none = NULL;
    const int32_t bad[] = {1, 2, 3, 512, 5, 6, 7, 8, 9, 10};
    int32_t *codes = calloc(16 * 16, sizeof *codes);
    hm_error err = {0};
    (void)state;
    assert_non_null(codes);
    k->request.max_frames = 16;
    hm_talker_request r = k->request;
    r.max_frames = 17;
    expect_refused(m, w, &r, "prompt of 24 rows and 17 frames");
    r = k->request;
    r.streaming_text = false;
    expect_refused(m, w, &r, "expected at most 24 rows");
    r = k->request;
    r.text_count = 8;
    expect_refused(m, w, &r, "text: no tokens");
    r = k->request;
    r.text_ids = bad;
    r.text_count = 10;
    expect_refused(m, w, &r, "text token 3: expected 0 to 511, found 512");
    r = k->request;
    r.reference_codes = NULL;
    expect_refused(m, w, &r, "reference: expected its text and its codes together");
    r = k->request;
    r.repetition_penalty = 0;
    expect_refused(m, w, &r, "repetition penalty");
    r = k->request;
    r.draw.greedy = false;
    expect_refused(m, w, &r, "draw temperature");
    r = k->request;
    r.stored = codes;
    codes[16 + 2] = 128;
    expect_refused(m, w, &r, "stored code of frame 1, group 2: expected 0 to 127, found 128");
    r = k->request;
    r.language = 1152;
    expect_refused(m, w, &r, "language 1152");
    case_expect_error(hm_talker_work_open(&m->ctx, &none, &m->talker, 17, 10, 20, &err), &err, HM_EUSAGE, "expected 1 to 16");
    err = (hm_error){0};
    case_expect_error(hm_talker_work_open(&m->ctx, &none, &m->talker, 1, 10, 1 << 30, &err), &err, HM_EUSAGE, "positions");
    free(codes);
    hm_talker_work_close(&m->ctx, &w);
    close_model(m);
    close_case(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(naive_meets_every_golden),
        cmocka_unit_test(best_meets_every_golden),
        cmocka_unit_test(a_forced_length_draws_no_end_and_takes_every_frame),
        cmocka_unit_test(the_end_waits_for_the_least_frames),
        cmocka_unit_test(stored_codes_go_on_and_draws_are_kept),
        cmocka_unit_test(an_equal_beginning_is_computed_once),
        cmocka_unit_test(projected_text_is_kept_and_gives_the_same_bytes),
        cmocka_unit_test(text_longer_than_what_is_kept_is_projected_all_the_same),
        cmocka_unit_test(estimates_are_what_is_taken),
        cmocka_unit_test(a_frame_costs_what_the_shape_says),
        cmocka_unit_test(impossible_requests_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
