/* Golden computations of one window: inputs given, outputs told through probe->tap. The forwards are those of transcripts. */
#include <stdlib.h>
#include <string.h>

#include "engine/audio/mel.h"
#include "engine/models/whisper_impl.h"
#include "engine/session/whisper.h"

static void tap(hm_ctx *c, const char *name, const void *data, bool is_int, int64_t d0, int64_t d1)
{
    if (hm_tapping(c) && d0 * d1 > 0)
        c->probe->tap(c->probe->self, &(hm_tap_value){.name = name, .data = data, .is_int = is_int, .rank = 2, .shape = {d0, d1, 1}});
}

/* As the reference has it: [mels][frames]. */
static hm_status tap_mel(hm_engine *e, const float *mel, int frames, hm_error *err)
{
    int M = (int)hm_whisper_shape_of(e->whisper)->mels;
    float *turned = hm_calloc((size_t)frames * (size_t)M, sizeof *turned, "mel", err);
    if (!turned)
        return HM_EABSENT;
    for (int f = 0; f < frames; f++)
        for (int m = 0; m < M; m++)
            turned[(size_t)m * (size_t)frames + (size_t)f] = mel[(size_t)f * (size_t)M + (size_t)m];
    tap(&e->ctx, "mel", turned, false, M, frames);
    free(turned);
    return HM_OK;
}

static hm_status run_window(hm_engine *e, const hm_whisper_check *k, hm_whisper_work *work, hm_error *err)
{
    hm_ctx *c = &e->ctx;
    const hm_whisper_generation *g = hm_whisper_generation_of(e->whisper);
    int32_t prompt[HM_WHISPER_PROMPT], language = -1;
    int window = 0;
    float margin = 0;
    hm_whisper_task task = k->task && !strcmp(k->task, "translate") ? HM_WHISPER_TRANSLATE : HM_WHISPER_TRANSCRIBE;
    hm_whisper_text text = {0};
    hm_status st = g->language_count ? hm_whisper_detect(c, work, &window, 1, &language, &margin, err) : HM_OK;
    if (st)
        return st;
    tap(c, "language", &language, true, 1, 1);
    tap(c, "language_margin", &margin, false, 1, 1);
    hm_whisper_request r = {.window = 0,
                            .prompt = prompt,
                            .prompt_count = hm_whisper_prompt(g, language, task, k->timestamps, prompt),
                            .max_tokens = k->max_tokens,
                            .beams = k->beams,
                            .length_penalty = g->length_penalty,
                            .timestamps = k->timestamps,
                            .no_speech = true};
    st = hm_whisper_decode(c, work, &r, 1, &text, err);
    if (!st) {
        const float numbers[] = {(float)text.avg_logprob, (float)text.no_speech_prob, (float)text.score};
        tap(c, "tokens", text.tokens, true, 1, text.count);
        if (text.margins)
            tap(c, "margins", text.margins, false, 1, text.count);
        tap(c, "numbers", numbers, false, 1, 3);
    }
    hm_whisper_text_close(&text);
    return st;
}

static void apply_rules(hm_engine *e, const hm_whisper_check *k)
{
    hm_whisper_generation g = *hm_whisper_generation_of(e->whisper);
    g.suppress_count = g.begin_suppress_count = 0;
    hm_whisper_apply_rules(&(hm_whisper_rules){.g = &g, .V = (int)hm_whisper_shape_of(e->whisper)->vocab, .timestamps = true}, k->scores,
                           k->generated, k->generated_count);
}

hm_status hm_whisper_check_run(hm_engine *e, const hm_check *check, hm_error *err)
{
    const hm_whisper_check *k = check->whisper;
    hm_whisper_work *work = NULL;
    float *mel = NULL;
    int frames = 0;
    if (check->kind != HM_CHECK_WHISPER || !k)
        return hm_fail(err, HM_EUSAGE, "check %d: not one of a Whisper", (int)check->kind);
    if (k->scores) {
        apply_rules(e, k);
        return HM_OK;
    }
    if (k->max_tokens < 1 || k->max_tokens + HM_WHISPER_PROMPT > hm_whisper_shape_of(e->whisper)->target_positions || k->beams < 1 ||
        k->beams > HM_WHISPER_MAX_BEAMS)
        return hm_fail(err, HM_EUSAGE, "check: %d tokens in %d beams do not fit the model", k->max_tokens, k->beams);
    hm_status st = hm_whisper_mel(&mel, &frames, k->audio, k->samples, HM_WHISPER_WINDOW_SAMPLES,
                                  (int)hm_whisper_shape_of(e->whisper)->mels, e->ctx.team, err);
    if (!st)
        st = tap_mel(e, mel, frames, err);
    if (!st)
        st = hm_whisper_work_open(&e->ctx, &work, e->whisper, 1, k->beams, k->max_tokens + HM_WHISPER_PROMPT, err);
    if (!st)
        st = hm_whisper_encode(&e->ctx, work, &(hm_whisper_window){.mel = mel, .frames = frames}, 1, err);
    if (!st)
        st = run_window(e, k, work, err);
    hm_whisper_work_close(&e->ctx, &work);
    free(mel);
    return st ? st : hm_session_status(&e->ctx, err);
}
