/* The talker under toggles: every value keeps the golden codes and shows in its counter, bitwise ones keep every byte; codes are the draws
 * that the rules say; threads change nothing. */
#define _GNU_SOURCE
#include "tests/talker_case.h"

#include "engine/sampling.h"
#include "variants/variants.h"

/* Toggles that change what the talker does. */
static bool concerns_talker(const hm_toggle_info *t)
{
    static const char *const others[] = {"decode", "chunks", "load", "precision_codec", "spin"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (!strcmp(t->name, others[i]))
            return false;
    return (t->models & HM_MODEL_QWEN3_TTS) && (t->backends & HM_BACKEND_CPU);
}

static uint64_t counter(const hm_counters *counters, const char *name)
{
    for (int i = 0; i < HM_COUNTER_COUNT; i++)
        if (!strcmp(hm_counter_name(i), name))
            return ((const uint64_t *)counters)[i];
    fail_msg("no counter %s", name);
    return 0;
}

static void every_toggle_alone_keeps_the_codes_and_shows_in_its_counter(void **state)
{
    static const char *const used[] = {"tiny_a.base_icl", "tiny_b.custom_voice"};
    int count, checked = 0;
    const hm_toggle_info *list = hm_toggle_list(&count);
    (void)state;
    for (size_t j = 0; j < sizeof used / sizeof *used; j++) {
        tts_case *k = open_case(used[j]);
        k->request.surplus = true;
        outcome naive = speak_with(k, &case_naive, &k->request);
        for (int i = 0; i < count; i++)
            for (int value = 1; concerns_talker(&list[i]) && value < hm_toggle_values(&list[i]); value++, checked++) {
                hm_toggles with = case_only(&list[i], value);
                outcome o = speak_with(k, &with, &k->request);
                if (list[i].kind != HM_KIND_APPROX || strstr(case_value_text(&list[i], value), "=f32")) /* others are other numbers */
                    expect_golden_codes(k, &o, case_value_text(&list[i], value));
                if (hm_toggles_distance(&case_naive, &with) == HM_KIND_BITWISE)
                    expect_same(&naive, &o, case_value_text(&list[i], value));
                bool at_load = strstr(list[i].name, "precision") || !strcmp(list[i].name, "panels"),
                     one_prompt = !strcmp(list[i].name, "prefix");
                if (!at_load && !one_prompt && counter(&naive.counters, list[i].counter) == counter(&o.counters, list[i].counter))
                    fail_msg("%s: %s is %llu as without it", case_value_text(&list[i], value), list[i].counter,
                             (unsigned long long)counter(&o.counters, list[i].counter));
                drop(&o);
            }
        drop(&naive);
        close_case(k);
    }
    assert_true(checked >= 2 * 18);
}

static void bitwise_toggles_draw_the_same_bytes_with_and_without_the_others(void **state)
{
    int count, checked = 0;
    const hm_toggle_info *list = hm_toggle_list(&count);
    tts_case *k = open_case("tiny_b.base_xvector");
    hm_talker_request r = drawn(k);
    outcome naive = speak_with(k, &case_naive, &r);
    (void)state;
    for (int i = 0; i < count; i++)
        for (int value = 1; concerns_talker(&list[i]) && list[i].kind == HM_KIND_BITWISE && value < hm_toggle_values(&list[i]);
             value++, checked++) {
            hm_toggles with = case_only(&list[i], value), without, base;
            outcome o = speak_with(k, &with, &r);
            expect_same(&naive, &o, case_value_text(&list[i], value));
            drop(&o);
            case_take_away(&list[i], &base, &without);
            outcome a = speak_with(k, &base, &r), b = speak_with(k, &without, &r);
            expect_same(&a, &b, list[i].name);
            drop(&a);
            drop(&b);
        }
    assert_true(checked >= 11);
    drop(&naive);
    close_case(k);
}

/* Raw logits of a run, as they are told. */
typedef struct told {
    float *talker, *predictor; /* [frames+1][V], [frames][G-1][Vc] */
    int frames;
} told;

static void keep_tap(void *self, const hm_tap_value *v)
{
    told *t = self;
    bool talker = !strcmp(v->name, "talker_logits");
    size_t n = (size_t)(v->shape[0] * v->shape[1] * v->shape[2]);
    if (!talker && strcmp(v->name, "cp_logits"))
        return;
    assert_true(v->batch_row < t->frames + talker);
    memcpy((talker ? t->talker : t->predictor) + (size_t)v->batch_row * n, v->data, n * sizeof(float));
}

static int32_t expected_code(const hm_talker_draw *d, const hm_talker_request *r, const float *logits, int V, int frame, int group,
                             const uint32_t *seen)
{
    float *scratch = malloc(hm_sample_scratch_floats(V) * sizeof *scratch), *z = malloc((size_t)V * sizeof *z);
    assert_true(scratch && z);
    for (int j = 0; j < V; j++) { /* spec section 9, steps 1 to 3 */
        bool penalised = !group && seen[j / 32] >> j % 32 & 1, eos = j == 64 + 102;
        z[j] = !penalised ? logits[j] : logits[j] < 0 ? logits[j] * r->repetition_penalty : logits[j] / r->repetition_penalty;
        if (!group && (eos ? frame < r->min_frames : j >= V - 1024))
            z[j] = -INFINITY;
    }
    int32_t code = hm_sample_reference(&(hm_sample_input){.logits = z,
                                                          .V = V,
                                                          .topk = d->topk,
                                                          .temperature = d->temperature,
                                                          .top_p = d->top_p,
                                                          .seed = r->seed,
                                                          .frame = (uint32_t)frame,
                                                          .codebook = (uint32_t)group},
                                       NULL, scratch, NULL);
    free(scratch);
    free(z);
    return code;
}

/* Each code is the draw of its frame and group from the logits told, by the rules in their order. */
static void codes_are_the_draws_of_their_frame_and_group(void **state)
{
    static const hm_toggles *const sets[] = {&case_naive, &case_best};
    enum {
        V = 64 + 1024,
        Vc = 64,
        G = 8
    };
    tts_case *k = open_case("tiny_b.voice_design");
    hm_talker_request r = drawn(k);
    (void)state;
    for (int s = 0; s < 2; s++) {
        model *m = open_model(k->preset, k->kind, sets[s]);
        told t = {.frames = r.max_frames};
        uint32_t seen[(V + 31) / 32] = {0};
        hm_probe probe = {.self = &t, .tap = keep_tap};
        t.talker = calloc((size_t)(t.frames + 1) * V, sizeof(float));
        t.predictor = calloc((size_t)t.frames * (G - 1) * Vc, sizeof(float));
        assert_true(t.talker && t.predictor);
        m->ctx.probe = &probe;
        outcome o = speak(m, &r);
        assert_true(o.frames > 8);
        for (int f = 0; f < o.frames; f++) {
            int32_t *codes = o.codes + f * G;
            assert_int_equal(codes[0], expected_code(&r.draw, &r, t.talker + (size_t)f * V, V, f, 0, seen));
            assert_true(o.logits[f * G] == t.talker[(size_t)f * V + (size_t)codes[0]]);
            seen[codes[0] / 32] |= 1u << codes[0] % 32;
            for (int g = 1; g < G; g++)
                assert_int_equal(codes[g],
                                 expected_code(&r.sub_draw, &r, t.predictor + ((size_t)f * (G - 1) + (size_t)g - 1) * Vc, Vc, f, g, seen));
        }
        assert_int_equal(o.surplus, expected_code(&r.draw, &r, t.talker + (size_t)o.frames * V, V, o.frames, 0, seen));
        drop(&o);
        free(t.talker);
        free(t.predictor);
        close_model(m);
    }
    close_case(k);
}

static void threads_do_not_change_a_byte(void **state)
{
    tts_case *k = open_case("tiny_b.voice_design");
    hm_talker_request r = drawn(k);
    static const hm_toggles *const sets[] = {&case_naive, &case_best};
    (void)state;
    for (int s = 0; s < 2; s++) {
        outcome one = speak_with(k, sets[s], &r);
        for (int threads = 2; threads < 4; threads++) {
            model *m = open_on(k->preset, k->kind, sets[s], threads);
            outcome o = speak(m, &r);
            expect_same(&one, &o, "threads");
            drop(&o);
            close_model(m);
        }
        drop(&one);
    }
    close_case(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_toggle_alone_keeps_the_codes_and_shows_in_its_counter),
        cmocka_unit_test(bitwise_toggles_draw_the_same_bytes_with_and_without_the_others),
        cmocka_unit_test(codes_are_the_draws_of_their_frame_and_group),
        cmocka_unit_test(threads_do_not_change_a_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
