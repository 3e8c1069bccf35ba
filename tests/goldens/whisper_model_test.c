/* Whisper against the reference implementation, within the tolerances of goldens/whisper/README.md: recordings, resampling, log-mel, pieces of
 * encoder and decoder, and what greedy and beam search find; then what does not depend on how windows are put side by side. */
#include "tests/whisper_case.h"

#include "engine/models/whisper_impl.h"

enum {
    TOKENS = 48,
    MAX_WINDOWS = 6
};

/* --- front end --- */

static void expect_every(const whisper_arrays *a, const char *audio, const char *what, const float *channels, int count, int64_t stride,
                         int64_t step, double tolerance)
{
    char name[64];
    int64_t n;
    snprintf(name, sizeof name, "%s.%s", audio, what);
    const float *expected = whisper_values(a, name, &n);
    int64_t each = n / count;
    for (int64_t i = 0; i < n; i++) {
        float found = channels[i / each * stride + i % each * step];
        if (!(fabs((double)found - (double)expected[i]) <= tolerance))
            fail_msg("%s: value %lld is %.9g, expected %.9g", name, (long long)i, (double)found, (double)expected[i]);
    }
}

static void recordings_by_formula_are_the_golden_ones(void **state)
{
    whisper_arrays a = whisper_arrays_open("frontend");
    char name[16];
    (void)state;
    for (const char *k = "ABC"; *k; k++) {
        char audio[2] = {*k, 0};
        whisper_audio x = whisper_audio_open(audio);
        snprintf(name, sizeof name, "audio.%s", audio);
        expect_every(&a, name, "head", x.planar, x.channels, x.samples, 1, 1e-6);
        expect_every(&a, name, "every997", x.planar, x.channels, x.samples, 997, 1e-6);
        whisper_audio_close(&x);
    }
    whisper_arrays_close(&a);
}

static void recordings_come_to_16_kHz_as_torchaudio_brings_them(void **state)
{
    whisper_arrays a = whisper_arrays_open("frontend");
    whisper_audio b = whisper_audio_open("B"), c = whisper_audio_open("C");
    (void)state;
    assert_int_equal(b.count, 112000);
    assert_int_equal(c.count, 48000);
    whisper_expect(&a, "resampled.B.head", b.mono, 1, 2e-6);
    whisper_expect(&a, "resampled.B.tail", b.mono + b.count - 400, 1, 2e-6);
    whisper_expect(&a, "resampled.B.every37", b.mono, 37, 2e-6);
    whisper_expect(&a, "resampled.C.head", c.mono, 1, 2e-5);
    whisper_expect(&a, "resampled.C.tail", c.mono + c.count - 400, 1, 2e-5);
    whisper_expect(&a, "resampled.C.every37", c.mono, 37, 2e-5);
    whisper_audio_close(&b);
    whisper_audio_close(&c);
    whisper_arrays_close(&a);
}

static void mel_filters_are_the_reference_s(void **state)
{
    whisper_arrays a = whisper_arrays_open("frontend");
    float *bank = calloc(HM_WHISPER_BINS * 80, sizeof *bank);
    hm_error err = {0};
    (void)state;
    assert_non_null(bank);
    assert_int_equal(hm_whisper_mel_filters(bank, 80, &err), HM_OK);
    whisper_expect(&a, "mel_filters", bank, 1, 1e-6);
    free(bank);
    whisper_arrays_close(&a);
}

/* Window i of audio cut into chunks of so many seconds: as section 10 has it. */
static float *window_mel(const whisper_audio *a, int chunk_s, int i, hm_team *team)
{
    int64_t length = (int64_t)chunk_s * HM_WHISPER_RATE, side = llrint(chunk_s / 6.0 * HM_WHISPER_RATE), start = i * (length - 2 * side);
    int64_t n = a->count - start < length ? a->count - start : length;
    float *mel = NULL;
    int frames;
    hm_error err = {0};
    if (hm_whisper_mel(&mel, &frames, a->mono + start, n, HM_WHISPER_WINDOW_SAMPLES, 80, team, &err))
        fail_msg("%s", err.text);
    assert_int_equal(frames, 3000);
    return mel;
}

/* Golden [80][n] of frames first, first + step ... */
static void expect_mel(const whisper_arrays *a, const char *window, const char *what, const float *mel, int first, int step)
{
    char name[64];
    int64_t n;
    snprintf(name, sizeof name, "mel.%s.%s", window, what);
    const float *expected = whisper_values(a, name, &n);
    for (int64_t i = 0; i < n; i++) {
        int64_t m = i / (n / 80), t = first + i % (n / 80) * step;
        if (!(fabs((double)mel[t * 80 + m] - (double)expected[i]) <= 2e-4))
            fail_msg("%s: mel %lld of frame %lld is %.9g, expected %.9g", name, (long long)m, (long long)t, (double)mel[t * 80 + m],
                     (double)expected[i]);
    }
}

static void log_mel_is_the_reference_s_on_any_number_of_threads(void **state)
{
    static const struct {
        const char *audio, *name;
        int window, edge;
    } windows[] = {{"A", "A.c30.0", 0, 2996}, {"A", "A.c30.1", 1, 2096}, {"B", "B.c30.0", 0, 696}};
    whisper_arrays a = whisper_arrays_open("frontend");
    hm_team *team = NULL;
    hm_error err = {0};
    (void)state;
    assert_int_equal(hm_team_open(&team, 3, &err), HM_OK);
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
        whisper_audio x = whisper_audio_open(windows[i].audio);
        float *mel = window_mel(&x, 30, windows[i].window, NULL), *again = window_mel(&x, 30, windows[i].window, team);
        assert_memory_equal(mel, again, 3000 * 80 * sizeof *mel);
        expect_mel(&a, windows[i].name, "first8", mel, 0, 1);
        expect_mel(&a, windows[i].name, "last8", mel, 2992, 1);
        expect_mel(&a, windows[i].name, "every50", mel, 0, 50);
        expect_mel(&a, windows[i].name, "edge", mel, windows[i].edge, 1);
        free(mel);
        free(again);
        whisper_audio_close(&x);
    }
    hm_team_close(&team);
    whisper_arrays_close(&a);
}

static void silence_is_minus_one_and_a_half_everywhere(void **state)
{
    float *mel = NULL;
    int frames;
    hm_error err = {0};
    (void)state;
    assert_int_equal(hm_whisper_mel(&mel, &frames, NULL, 0, HM_WHISPER_WINDOW_SAMPLES, 128, NULL, &err), HM_OK);
    assert_int_equal(frames, 3000);
    for (int i = 0; i < 3000 * 128; i++)
        assert_true(mel[i] == -1.5f);
    free(mel);
}

static void a_signal_too_short_to_be_mirrored_is_refused(void **state)
{
    float *mel = NULL, x[200] = {0};
    int frames;
    hm_error err = {0};
    (void)state;
    assert_int_equal(hm_whisper_mel(&mel, &frames, x, 200, 0, 80, NULL, &err), HM_EUSAGE);
    x[7] = NAN;
    assert_int_equal(hm_whisper_mel(&mel, &frames, x, 200, HM_WHISPER_WINDOW_SAMPLES, 80, NULL, &err), HM_EINVALID);
    assert_non_null(strstr(err.text, "sample 7"));
}

/* --- the model --- */

typedef struct watch {
    const whisper_arrays *golden;
    const char *window;
    int index, compared; /* index: of the window in the work */
} watch;

static void expect_rows(watch *w, const char *name, const hm_tap_value *v, const int *rows, int count)
{
    char full[64];
    int64_t n, width = v->shape[2];
    snprintf(full, sizeof full, "enc.%s.%s", w->window, name);
    if (!json_object_get(w->golden->index, full))
        return;
    const float *expected = whisper_values(w->golden, full, &n);
    assert_int_equal(n, count * width);
    for (int64_t i = 0; i < n; i++) {
        float found = ((const float *)v->data)[rows[i / width] * width + i % width];
        if (!(fabs((double)found - (double)expected[i]) <= 1e-3))
            fail_msg("%s: value %lld is %.9g, expected %.9g", full, (long long)i, (double)found, (double)expected[i]);
    }
    w->compared++;
}

static void watch_tap(void *self, const hm_tap_value *v)
{
    static const int some[] = {0, 1, 700, 1498, 1499}, last[] = {1498, 1499};
    watch *w = self;
    char name[64];
    int every[20];
    for (int i = 0; i < 20; i++)
        every[i] = 75 * i;
    if (v->batch_row != w->index)
        return;
    if (!strcmp(v->name, "enc.embed"))
        expect_rows(w, "embed", v, some, 5);
    else if (!strcmp(v->name, "enc.layer0"))
        expect_rows(w, "layer0", v, some, 5);
    else if (!strcmp(v->name, "enc.out")) {
        expect_rows(w, "out_every75", v, every, 20);
        expect_rows(w, "out_last2", v, last, 2);
    } else if (!strncmp(v->name, "dec.", 4)) {
        snprintf(name, sizeof name, "dec.%s.%s", w->window, v->name + 4);
        if (json_object_get(w->golden->index, name)) {
            whisper_expect(w->golden, name, v->data, 1, 1e-3);
            w->compared++;
        }
    }
}

static void must(hm_status st, const hm_error *err)
{
    if (st)
        fail_msg("%s", err->text);
}

static hm_whisper_work *open_work(whisper_model *m, int windows, int beams)
{
    hm_whisper_work *work = NULL;
    hm_error err = {0};
    must(hm_whisper_work_open(&m->ctx, &work, m->whisper, windows, beams, 448, &err), &err);
    return work;
}

/* A request with the prompt of a language, as the goldens have it. */
static hm_whisper_request request_of(const whisper_model *m, int window, int32_t language, int32_t prompt[HM_WHISPER_PROMPT])
{
    hm_whisper_request r = {.window = window, .prompt = prompt, .max_tokens = TOKENS, .beams = 1, .length_penalty = 1, .no_speech = true};
    r.prompt_count = hm_whisper_prompt(hm_whisper_generation_of(m->whisper), language, HM_WHISPER_TRANSCRIBE, false, prompt);
    return r;
}

static void pieces_meet(int seed, const char *audio, int count, const hm_toggles *toggles)
{
    char golden[32], window[24];
    snprintf(golden, sizeof golden, "model_seed%d", seed);
    whisper_arrays a = whisper_arrays_open(golden);
    whisper_audio x = whisper_audio_open(audio);
    whisper_model *m = whisper_open(seed, false, toggles, 2);
    watch w = {.golden = &a, .window = window};
    hm_probe probe = {.self = &w, .tap = watch_tap};
    hm_error err = {0};
    m->ctx.probe = &probe;
    for (int i = 0; i < count; i++) {
        int32_t language, prompt[HM_WHISPER_PROMPT];
        float *mel = window_mel(&x, 30, i, NULL);
        hm_whisper_work *work = open_work(m, 1, 1);
        hm_whisper_text text;
        w.compared = 0;
        snprintf(window, sizeof window, "%s.c30.%d", audio, i);
        must(hm_whisper_encode(&m->ctx, work, &(hm_whisper_window){mel, 3000}, 1, &err), &err);
        must(hm_whisper_detect(&m->ctx, work, &(int){0}, 1, &language, NULL, &err), &err);
        hm_whisper_request r = request_of(m, 0, language, prompt);
        must(hm_whisper_decode(&m->ctx, work, &r, 1, &text, &err), &err);
        int expected = 0;
        const char *key;
        json_t *entry;
        json_object_foreach(a.index, key, entry) expected += !strncmp(key + 4, window, strlen(window));
        assert_in_range(expected, 1, 9);
        assert_int_equal(w.compared, expected);
        hm_whisper_text_close(&text);
        hm_whisper_work_close(&m->ctx, &work);
        free(mel);
    }
    whisper_close(m);
    whisper_audio_close(&x);
    whisper_arrays_close(&a);
}

static void encoder_and_decoder_are_the_reference_s(void **state)
{
    (void)state;
    for (int seed = 1; seed <= 2; seed++)
        for (int naive = 0; naive < 2; naive++) {
            pieces_meet(seed, "B", 1, naive ? &whisper_naive : &whisper_best);
            if (!naive)
                pieces_meet(seed, "A", 2, &whisper_best);
        }
}

/* --- what is found --- */

static void near(const char *what, const char *window, double found, double expected, double tolerance)
{
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("%s, %s: %.9g, expected %.9g, at most %g away", window, what, found, expected, tolerance);
}

static void expect_text(const char *window, const json_t *golden, const hm_whisper_text *text, bool beams)
{
    const json_t *tokens = json_object_get(golden, "tokens"), *margins = json_object_get(golden, "margins");
    for (int i = 0; i < text->count; i++)
        if (text->tokens[i] != json_integer_value(json_array_get(tokens, (size_t)i)))
            fail_msg("%s: token %d is %d, expected %lld", window, i, text->tokens[i],
                     (long long)json_integer_value(json_array_get(tokens, (size_t)i)));
    int n = (int)json_array_size(tokens);
    assert_true(text->count == n || (text->ended && text->count < n && beams)); /* pads may follow the end */
    near("avg_logprob", window, text->avg_logprob, json_real_value(json_object_get(golden, "avg_logprob")), 1e-3);
    if (beams)
        near("score", window, text->score, json_real_value(json_object_get(golden, "score")), 1e-3);
    for (int i = 0; !beams && i < text->count; i++)
        near("margin", window, (double)text->margins[i], json_number_value(json_array_get(margins, (size_t)i)), 1e-3);
}

/* All windows of a recording side by side: languages, greedy text, and beams where the goldens have some. */
static void windows_meet(int seed, const char *audio, int chunk_s, int count, const hm_toggles *toggles)
{
    whisper_audio x = whisper_audio_open(audio);
    whisper_model *m = whisper_open(seed, false, toggles, 2);
    hm_whisper_work *work = open_work(m, count, 2);
    json_t *expected = whisper_json("expected.json");
    char key[8], name[MAX_WINDOWS][24];
    hm_whisper_window windows[MAX_WINDOWS];
    hm_whisper_request requests[MAX_WINDOWS];
    hm_whisper_text texts[MAX_WINDOWS];
    int32_t languages[MAX_WINDOWS], prompts[MAX_WINDOWS][HM_WHISPER_PROMPT];
    float margins[MAX_WINDOWS];
    hm_error err = {0};
    snprintf(key, sizeof key, "%d", seed);
    const json_t *golden = json_object_get(json_object_get(json_object_get(expected, "seeds"), key), "windows"), *g[MAX_WINDOWS];
    for (int i = 0; i < count; i++) {
        windows[i] = (hm_whisper_window){window_mel(&x, chunk_s, i, NULL), 3000};
        snprintf(name[i], sizeof name[i], "%s.c%d.%d", audio, chunk_s, i);
        g[i] = json_object_get(golden, name[i]);
        assert_non_null(g[i]);
    }
    must(hm_whisper_encode(&m->ctx, work, windows, count, &err), &err);
    must(hm_whisper_detect(&m->ctx, work, (const int[]){0, 1, 2, 3, 4, 5}, count, languages, margins, &err), &err);
    for (int beams = 1; beams <= 2; beams++) {
        if (beams == 2 && !json_object_get(g[0], "beam2"))
            break;
        for (int i = 0; i < count; i++) {
            assert_int_equal(languages[i], json_integer_value(json_object_get(g[i], "lang_id")));
            near("language margin", name[i], (double)margins[i], json_real_value(json_object_get(g[i], "lang_margin")), 1e-3);
            requests[i] = request_of(m, i, languages[i], prompts[i]);
            requests[i].beams = beams;
        }
        must(hm_whisper_decode(&m->ctx, work, requests, count, texts, &err), &err);
        for (int i = 0; i < count; i++) {
            double p = json_real_value(json_object_get(g[i], "no_speech_prob"));
            expect_text(name[i], json_object_get(g[i], beams == 2 ? "beam2" : "greedy"), &texts[i], beams == 2);
            near("no_speech_prob", name[i], texts[i].no_speech_prob, p, 0.01 * p);
            hm_whisper_text_close(&texts[i]);
        }
    }
    for (int i = 0; i < count; i++)
        free((void *)(uintptr_t)windows[i].mel);
    json_decref(expected);
    hm_whisper_work_close(&m->ctx, &work);
    whisper_close(m);
    whisper_audio_close(&x);
}

/* Of a recording cut into 30 s and, when `all`, into 10 s. */
static void texts_meet(const hm_toggles *toggles, bool all)
{
    for (int seed = 1; seed <= 2; seed++) {
        windows_meet(seed, "A", 30, 2, toggles);
        windows_meet(seed, "B", 30, 1, toggles);
    }
    if (all)
        windows_meet(1, "A", 10, 6, toggles);
}

static void best_finds_the_golden_texts(void **state)
{
    (void)state;
    texts_meet(&whisper_best, true);
}

static void naive_finds_the_golden_texts(void **state)
{
    (void)state;
    texts_meet(&whisper_naive, false);
}

static void packed_panels_find_the_golden_texts(void **state)
{
    hm_toggles packed = whisper_best;
    (void)state;
    packed.panels = HM_PANELS_PACKED;
    texts_meet(&packed, false);
}

/* --- rules --- */

static void timestamp_rules_leave_what_the_reference_leaves(void **state)
{
    whisper_model *m = whisper_open(1, true, &whisper_best, 1);
    hm_whisper_generation g = *hm_whisper_generation_of(m->whisper);
    json_t *units = whisper_json("units.json"), *k, *id, *run;
    float *x = malloc(2014 * sizeof *x);
    size_t i, j;
    (void)state;
    assert_non_null(x);
    g.suppress_count = g.begin_suppress_count = 0; /* the cases are of the timestamp rules alone */
    json_array_foreach(json_object_get(units, "ts_rules"), i, k)
    {
        int32_t ids[16];
        int count = 0, at = 0;
        const json_t *bump = json_object_get(k, "bump");
        hm_synth_fill(x, HM_F32, "scores", 1 + i, 0, 2014, 0, 6, NULL);
        if (json_is_array(bump))
            x[json_integer_value(json_array_get(bump, 0))] = (float)json_number_value(json_array_get(bump, 1));
        json_array_foreach(json_object_get(k, "generated"), j, id) ids[count++] = (int32_t)json_integer_value(id);
        hm_whisper_apply_rules(&(hm_whisper_rules){.g = &g, .V = 2014, .timestamps = true}, x, ids, count);
        json_array_foreach(json_object_get(k, "finite_runs_inclusive"), j, run)
        {
            int first = (int)json_integer_value(json_array_get(run, 0)), last = (int)json_integer_value(json_array_get(run, 1));
            for (; at < first; at++)
                if (x[at] != -INFINITY)
                    fail_msg("case %zu: %d may come, which must not", i, at);
            for (; at <= last; at++)
                if (x[at] == -INFINITY)
                    fail_msg("case %zu: %d may not come, which must be able to", i, at);
        }
        for (; at < 2014; at++)
            assert_true(x[at] == -INFINITY);
    }
    free(x);
    json_decref(units);
    whisper_close(m);
}

/* --- side by side --- */

static void expect_same(const hm_whisper_text *a, const hm_whisper_text *b)
{
    assert_int_equal(a->count, b->count);
    assert_memory_equal(a->tokens, b->tokens, (size_t)a->count * sizeof *a->tokens);
    assert_memory_equal(&a->avg_logprob, &b->avg_logprob, sizeof a->avg_logprob);
    assert_memory_equal(&a->no_speech_prob, &b->no_speech_prob, sizeof a->no_speech_prob);
    assert_memory_equal(&a->score, &b->score, sizeof a->score);
}

/* Three windows at once and one after the other, of a kind of request. */
static void expect_alone_is_together(const hm_whisper_request *kind, const hm_toggles *toggles)
{
    whisper_audio x = whisper_audio_open("A");
    whisper_model *m = whisper_open(1, kind->timestamps, toggles, 2);
    hm_whisper_work *together = open_work(m, 3, 4), *alone = open_work(m, 1, 4);
    hm_whisper_window windows[3];
    hm_whisper_request requests[3];
    hm_whisper_text texts[3], one;
    int32_t prompt[HM_WHISPER_PROMPT];
    hm_error err = {0};
    for (int i = 0; i < 3; i++) {
        windows[i] = (hm_whisper_window){window_mel(&x, 10, i, NULL), 3000};
        requests[i] = request_of(m, 2 - i, 506, prompt); /* in any order */
        requests[i].beams = kind->beams;
        requests[i].temperature = kind->temperature;
        requests[i].topk = kind->topk;
        requests[i].force_length = kind->force_length;
        requests[i].timestamps = kind->timestamps;
        requests[i].seed = 5;
        requests[i].stream = (uint32_t)(2 - i);
        requests[i].max_tokens = 20 + i;
    }
    must(hm_whisper_encode(&m->ctx, together, windows, 3, &err), &err);
    must(hm_whisper_decode(&m->ctx, together, requests, 3, texts, &err), &err);
    for (int i = 0; i < 3; i++) {
        hm_whisper_request r = requests[i];
        r.window = 0;
        must(hm_whisper_encode(&m->ctx, alone, &windows[requests[i].window], 1, &err), &err);
        must(hm_whisper_decode(&m->ctx, alone, &r, 1, &one, &err), &err);
        expect_same(&texts[i], &one);
        if (kind->force_length)
            assert_int_equal(one.count, 20 + i);
        hm_whisper_text_close(&one);
        hm_whisper_text_close(&texts[i]);
    }
    for (int i = 0; i < 3; i++)
        free((void *)(uintptr_t)windows[i].mel);
    hm_whisper_work_close(&m->ctx, &together);
    hm_whisper_work_close(&m->ctx, &alone);
    whisper_close(m);
    whisper_audio_close(&x);
}

static void windows_have_the_text_that_each_has_alone(void **state)
{
    static const hm_whisper_request kinds[] = {{.beams = 1},
                                               {.beams = 3},
                                               {.beams = 1, .temperature = 0.8, .topk = 50},
                                               {.beams = 4, .force_length = true},
                                               {.beams = 1, .timestamps = true, .force_length = true}};
    hm_toggles packed = whisper_best;
    (void)state;
    packed.panels = HM_PANELS_PACKED;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        expect_alone_is_together(&kinds[i], i % 2 ? &packed : &whisper_best);
    expect_alone_is_together(&kinds[1], &whisper_naive);
}

static void stored_ids_go_on_and_others_are_told(void **state)
{
    whisper_audio x = whisper_audio_open("B");
    whisper_model *m = whisper_open(1, false, &whisper_best, 1);
    hm_whisper_work *work = open_work(m, 1, 1);
    hm_whisper_window window = {window_mel(&x, 30, 0, NULL), 3000};
    hm_whisper_text free_text, fed;
    int32_t prompt[HM_WHISPER_PROMPT], stored[TOKENS];
    hm_error err = {0};
    (void)state;
    hm_whisper_request r = request_of(m, 0, 506, prompt);
    must(hm_whisper_encode(&m->ctx, work, &window, 1, &err), &err);
    must(hm_whisper_decode(&m->ctx, work, &r, 1, &free_text, &err), &err);
    assert_int_equal(free_text.count, TOKENS);
    memcpy(stored, free_text.tokens, sizeof stored);
    r.stored = stored;
    must(hm_whisper_decode(&m->ctx, work, &r, 1, &fed, &err), &err);
    expect_same(&free_text, &fed); /* its own ids change nothing */
    assert_memory_equal(free_text.logits, fed.logits, sizeof(float) * TOKENS);
    hm_whisper_text_close(&fed);
    stored[3] = 7;
    must(hm_whisper_decode(&m->ctx, work, &r, 1, &fed, &err), &err);
    assert_memory_equal(fed.tokens, free_text.tokens, 4 * sizeof *stored); /* what was drawn for place 3, not what went on */
    assert_true(memcmp(fed.logits + 4, free_text.logits + 4, sizeof(float)) != 0);
    hm_whisper_text_close(&fed);
    stored[5] = 2014;
    assert_int_equal(hm_whisper_decode(&m->ctx, work, &r, 1, &fed, &err), HM_EFORMAT);
    r.stored = NULL;
    r.max_tokens = 445;
    assert_int_equal(hm_whisper_decode(&m->ctx, work, &r, 1, &fed, &err), HM_EUSAGE);
    hm_whisper_text_close(&free_text);
    free((void *)(uintptr_t)window.mel);
    hm_whisper_work_close(&m->ctx, &work);
    whisper_close(m);
    whisper_audio_close(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recordings_by_formula_are_the_golden_ones),
        cmocka_unit_test(recordings_come_to_16_kHz_as_torchaudio_brings_them),
        cmocka_unit_test(mel_filters_are_the_reference_s),
        cmocka_unit_test(log_mel_is_the_reference_s_on_any_number_of_threads),
        cmocka_unit_test(silence_is_minus_one_and_a_half_everywhere),
        cmocka_unit_test(a_signal_too_short_to_be_mirrored_is_refused),
        cmocka_unit_test(encoder_and_decoder_are_the_reference_s),
        cmocka_unit_test(best_finds_the_golden_texts),
        cmocka_unit_test(naive_finds_the_golden_texts),
        cmocka_unit_test(packed_panels_find_the_golden_texts),
        cmocka_unit_test(timestamp_rules_leave_what_the_reference_leaves),
        cmocka_unit_test(windows_have_the_text_that_each_has_alone),
        cmocka_unit_test(stored_ids_go_on_and_others_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
