/* Every toggle that says it does something for Whisper: what it promises of the text (the same bytes, the same ids), and the counter that shows
 * it at work. Each alone on the textbook's way. */
#define _GNU_SOURCE
#include "tests/engine_case.h"
#include "tests/whisper_case.h"

enum {
    WINDOWS = 2,
    TOKENS = 12
};

typedef struct outcome {
    hm_whisper_text texts[WINDOWS];
    hm_counters counters;
} outcome;

/* Two windows of B, one with its first second cut off: language, prompt, some tokens in two beams, then greedy. */
static outcome run(const hm_toggles *toggles)
{
    outcome o;
    whisper_audio x = whisper_audio_open("B");
    whisper_model *m = whisper_open(1, false, toggles, 2);
    hm_whisper_work *work = NULL;
    hm_whisper_window windows[WINDOWS];
    hm_whisper_request requests[WINDOWS];
    hm_whisper_text beams[WINDOWS];
    int32_t languages[WINDOWS], prompts[WINDOWS][HM_WHISPER_PROMPT];
    hm_error err = {0};
    for (int i = 0; i < WINDOWS; i++) {
        float *mel;
        if (hm_whisper_mel(&mel, &windows[i].frames, x.mono + 16000 * i, x.count - 16000 * i, HM_WHISPER_WINDOW_SAMPLES, 80, NULL, &err))
            fail_msg("%s", err.text);
        windows[i].mel = mel;
    }
    m->ctx.counters.mask_bytes = 0;
    if (hm_whisper_work_open(&m->ctx, &work, m->whisper, WINDOWS, 2, 32, &err) ||
        hm_whisper_encode(&m->ctx, work, windows, WINDOWS, &err) ||
        hm_whisper_detect(&m->ctx, work, (const int[]){0, 1}, WINDOWS, languages, NULL, &err))
        fail_msg("%s", err.text);
    for (int i = 0; i < WINDOWS; i++) {
        requests[i] = (hm_whisper_request){
            .window = i, .prompt = prompts[i], .max_tokens = TOKENS, .beams = 2, .length_penalty = 1, .no_speech = true};
        requests[i].prompt_count =
            hm_whisper_prompt(hm_whisper_generation_of(m->whisper), languages[i], HM_WHISPER_TRANSCRIBE, false, prompts[i]);
    }
    if (hm_whisper_decode(&m->ctx, work, requests, WINDOWS, beams, &err))
        fail_msg("%s", err.text);
    requests[0].beams = requests[1].beams = 1;
    if (hm_whisper_decode(&m->ctx, work, requests, WINDOWS, o.texts, &err))
        fail_msg("%s", err.text);
    for (int i = 0; i < WINDOWS; i++) {
        o.texts[i].score = beams[i].score; /* of the beams too */
        hm_whisper_text_close(&beams[i]);
        free((void *)(uintptr_t)windows[i].mel);
    }
    o.counters = m->ctx.counters;
    hm_whisper_work_close(&m->ctx, &work);
    whisper_close(m);
    whisper_audio_close(&x);
    return o;
}

static void drop(outcome *o)
{
    for (int i = 0; i < WINDOWS; i++)
        hm_whisper_text_close(&o->texts[i]);
}

static uint64_t count_of(const hm_counters *counters, const char *name)
{
    for (int i = 0; i < HM_COUNTER_COUNT; i++)
        if (!strcmp(hm_counter_name(i), name))
            return ((const uint64_t *)(const void *)counters)[i];
    fail_msg("no counter %s", name);
    return 0;
}

static void expect_promise(const hm_toggle_info *t, int value, const outcome *base, const outcome *o)
{
    if (count_of(&o->counters, t->counter) == count_of(&base->counters, t->counter))
        fail_msg("%s=%d: its counter %s does not show it", t->name, value, t->counter);
    for (int i = 0; i < WINDOWS; i++) {
        const hm_whisper_text *a = &base->texts[i], *b = &o->texts[i];
        if (t->kind == HM_KIND_APPROX)
            continue;
        assert_int_equal(a->count, b->count);
        if (memcmp(a->tokens, b->tokens, (size_t)a->count * sizeof *a->tokens))
            fail_msg("%s=%d: other tokens", t->name, value);
        bool same = !memcmp(a->logits, b->logits, (size_t)a->count * sizeof *a->logits) && !memcmp(&a->score, &b->score, sizeof a->score);
        if (t->kind == HM_KIND_BITWISE && !same)
            fail_msg("%s=%d: other logits, where bytes stay the same", t->name, value);
    }
}

/* Those of the session: they do nothing to a model by itself. */
static bool is_of_the_session(const hm_toggle_info *t)
{
    return !strcmp(t->name, "load") || !strcmp(t->name, "spin");
}

static void toggles_of_whisper_keep_their_promise(void **state)
{
    int count, tried = 0;
    const hm_toggle_info *list = hm_toggle_list(&count);
    (void)state;
    for (int i = 0; i < count; i++) {
        if (!(list[i].models & HM_MODEL_WHISPER) || is_of_the_session(&list[i]) || !strncmp(list[i].name, "precision_", 10))
            continue;
        for (int value = 1; value < hm_toggle_values(&list[i]); value++, tried++) {
            hm_toggles with = case_only(&list[i], value), without = with;
            *case_toggle(&without, list[i].offset) = 0;
            outcome base = run(&without), o = run(&with);
            expect_promise(&list[i], value, &base, &o);
            drop(&base);
            drop(&o);
        }
    }
    assert_in_range(tried, 10, 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(toggles_of_whisper_keep_their_promise)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
