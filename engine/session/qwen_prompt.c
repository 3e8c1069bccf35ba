/* From a request to what the talker takes: names to rows, texts to ids, a voice to its vector and codes (qwen3_tts.md section 5). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/words.h"
#include "engine/session/qwen.h"

#define MIN_FRAMES 2 /* the original's min_new_tokens: as many frames come before the end may */

static bool given(const char *text)
{
    return text && *text;
}

/* --- names --- */

/* "ryan, serena, vivian", as many as fit; dialects are spoken by speakers, not chosen. */
static void list_names(char *out, size_t size, const hm_tts_name *names, int count)
{
    size_t used = 0;
    out[0] = 0;
    for (int i = 0; i < count; i++) {
        if (strstr(names[i].name, "dialect"))
            continue;
        if (used + strlen(names[i].name) + 8 > size) {
            snprintf(out + used, size - used, " ...");
            return;
        }
        used += (size_t)snprintf(out + used, size - used, "%s%s", used ? ", " : "", names[i].name);
    }
}

static void suggest(char out[HM_SUGGESTION], const char *word, const hm_tts_name *names, int count)
{
    const char *all[65] = {0};
    for (int i = 0; i < count && i < 64; i++)
        all[i] = names[i].name;
    hm_did_you_mean(out, word, all);
}

static hm_status find_name(const hm_tts_name *names, int count, const char *name, const char *what, const hm_tts_name **out, hm_error *err)
{
    char *lower, list[320], near[HM_SUGGESTION];
    hm_status st = hm_text_lower(&lower, name, strlen(name), what, err);
    if (st)
        return st;
    *out = NULL;
    for (int i = 0; i < count && !*out; i++)
        if (!strcmp(names[i].name, lower))
            *out = &names[i];
    suggest(near, lower, names, count);
    free(lower);
    if (*out)
        return HM_OK;
    list_names(list, sizeof list, names, count);
    return hm_fail(err, HM_EUSAGE, "%s \"%.80s\" is not one of this model's: %s%s", what, name, *list ? list : "it has none", near);
}

static hm_status find_speaker(const hm_talker_shape *g, const char *name, const hm_tts_name **out, hm_error *err)
{
    *out = NULL;
    return given(name) ? find_name(g->speakers, g->speaker_count, name, "speaker", out, err) : HM_OK;
}

hm_status hm_qwen_speaker(const hm_engine *e, const char *name, int *row, hm_error *err)
{
    const hm_tts_name *speaker;
    hm_status st = find_speaker(&e->qwen->talker.shape, name, &speaker, err);
    *row = speaker ? (int)speaker->id : -1;
    return st;
}

hm_status hm_qwen_language(const hm_engine *e, const char *name, const char *speaker_name, int *row, hm_error *err)
{
    const hm_talker_shape *g = &e->qwen->talker.shape;
    const hm_tts_name *speaker, *language = NULL, *dialect;
    char *lower = NULL;
    *row = -1;
    hm_status st = given(name) ? hm_text_lower(&lower, name, strlen(name), "language", err) : HM_OK;
    if (!st && lower && strcmp(lower, "auto"))
        st = find_name(g->languages, g->language_count, lower, "language", &language, err);
    free(lower);
    if (!st)
        st = find_speaker(g, speaker_name, &speaker, err);
    if (st)
        return st;
    if (speaker && given(speaker->dialect) && (!language || !strcmp(language->name, "chinese"))) {
        st = find_name(g->languages, g->language_count, speaker->dialect, "dialect", &dialect, err);
        language = st ? NULL : dialect;
    }
    *row = language ? (int)language->id : -1;
    return st;
}

/* --- texts --- */

hm_status hm_qwen_encode(const hm_engine *e, hm_qwen_template which, const char *text, int32_t **ids, int *count, hm_error *err)
{
    static const struct {
        const char *what, *before, *behind;
    } templates[] = {
        [HM_QWEN_TEXT] = {"text", "<|im_start|>assistant\n", "<|im_end|>\n<|im_start|>assistant\n"},
        [HM_QWEN_INSTRUCT] = {"instruction", "<|im_start|>user\n", "<|im_end|>\n"},
        [HM_QWEN_REFERENCE] = {"reference text", "<|im_start|>assistant\n", "<|im_end|>\n"},
    };
    const char *before = templates[which].before, *behind = templates[which].behind;
    size_t size = strlen(before) + strlen(text) + strlen(behind), n = 0;
    if (!e->tokenizer)
        return hm_fail(err, HM_EMISSING, "%s: the model was opened without a tokenizer", templates[which].what);
    char *whole = hm_calloc(size + 1, 1, templates[which].what, err);
    if (!whole)
        return HM_EABSENT;
    snprintf(whole, size + 1, "%s%s%s", before, text, behind);
    hm_status st = hm_tokenizer_encode(e->tokenizer, whole, size, false, ids, &n, err);
    free(whole);
    if (st)
        return hm_fail_within(err, "%s", templates[which].what);
    *count = (int)n;
    return n <= INT32_MAX / 2 ? HM_OK : hm_fail(err, HM_EUSAGE, "%s: %zu tokens are too many", templates[which].what, n);
}

/* --- what the kinds take --- */

/* The original drops the instruction of a small CustomVoice model without a word: "size is part of '0b6'". */
static bool ignores_instruct(const hm_talker_shape *g)
{
    return g->kind == HM_TTS_CUSTOM_VOICE && strstr("0b6", g->size) != NULL;
}

static hm_status refuse(const hm_talker_shape *g, const char *what, const char *instead, hm_error *err)
{
    return hm_fail(err, HM_EUSAGE, "%s: a %s model has no use for one; %s", what, hm_tts_kind_name(g->kind), instead);
}

static hm_status check_custom_voice(const hm_talker_shape *g, const hm_speech_input *s, hm_error *err)
{
    char list[320];
    list_names(list, sizeof list, g->speakers, g->speaker_count);
    return given(s->speaker) ? HM_OK
                             : hm_fail(err, HM_EUSAGE, "speaker: a custom_voice model needs one of %s", *list ? list : "(it has none)");
}

static hm_status check_voice_design(const hm_talker_shape *g, const hm_speech_input *s, hm_error *err)
{
    if (given(s->speaker))
        return refuse(g, "speaker", "describe the voice instead", err);
    return given(s->instruct) ? HM_OK : hm_fail(err, HM_EUSAGE, "instruction: a voice_design model needs a description of the voice");
}

static hm_status check_base(const hm_engine *e, const hm_talker_shape *g, const hm_speech_input *s, hm_error *err)
{
    if (given(s->speaker))
        return refuse(g, "speaker", "give reference audio of the voice instead", err);
    if (given(s->instruct))
        return refuse(g, "instruction", "leave it out, or take a custom_voice or voice_design model", err);
    if (!s->reference)
        return hm_fail(err, HM_EUSAGE, "reference audio: a base model needs some of the voice to clone");
    if (!e->qwen->speaker_encoder || !e->qwen->speech_encoder)
        return hm_fail(err, HM_EBUG, "generate: a voice to clone, but the engine was opened without encoders");
    return HM_OK;
}

static hm_status check_reference(const hm_engine *e, const hm_speech_input *s, hm_error *err)
{
    float most = 0;
    int64_t rate = e->qwen->codec_shape.sample_rate;
    if (s->reference_samples < HM_SPEAKER_MIN_SAMPLES)
        return hm_fail(err, HM_EUSAGE, "reference audio: %lld samples; expected at least %d", (long long)s->reference_samples,
                       HM_SPEAKER_MIN_SAMPLES);
    if (s->reference_samples > HM_REFERENCE_SECONDS * rate)
        return hm_fail(err, HM_EUSAGE, "reference audio: %.1f s; expected at most %d s of one voice, some seconds are enough",
                       (double)s->reference_samples / (double)rate, HM_REFERENCE_SECONDS);
    for (int64_t i = 0; i < s->reference_samples; i++) {
        if (!isfinite(s->reference[i]))
            return hm_fail(err, HM_EUSAGE, "reference audio: sample %lld is not finite", (long long)i);
        most = fabsf(s->reference[i]) > most ? fabsf(s->reference[i]) : most;
    }
    return most >= HM_REFERENCE_SILENCE ? HM_OK
                                        : hm_fail(err, HM_EUSAGE, "reference audio: silence, the largest sample is %g", (double)most);
}

static hm_status check_kind(const hm_engine *e, const hm_speech_input *s, hm_error *err)
{
    const hm_talker_shape *g = &e->qwen->talker.shape;
    if (s->reference_text && !s->reference)
        return hm_fail(err, HM_EUSAGE, "reference text: there is no reference audio that it would be the text of");
    if (s->reference && g->kind != HM_TTS_BASE)
        return refuse(g, "reference audio", "only a base model clones voices", err);
    if (g->kind == HM_TTS_CUSTOM_VOICE)
        return check_custom_voice(g, s, err);
    if (g->kind == HM_TTS_VOICE_DESIGN)
        return check_voice_design(g, s, err);
    hm_status st = check_base(e, g, s, err);
    return st ? st : check_reference(e, s, err);
}

/* --- how codes are drawn --- */

/* Negative: the model's own. */
static double chosen(double asked, double own)
{
    return asked < 0 ? own : asked;
}

static hm_status check_draw(double temperature, double top_p, const char *prefix, hm_error *err)
{
    if (!(temperature > 0) || !isfinite(temperature))
        return hm_fail(err, HM_EUSAGE,
                       "%stemperature: expected above 0, or negative for the model's own, found %g; for greedy choice use topk 1", prefix,
                       temperature);
    if (!(top_p > 0 && top_p <= 1))
        return hm_fail(err, HM_EUSAGE, "%stop_p: expected above 0 and at most 1, or negative for the model's own, found %g", prefix, top_p);
    return HM_OK;
}

static hm_status settle_draw(const hm_engine *e, const hm_request *r, hm_talker_request *out, hm_error *err)
{
    const hm_tts_generation *own = &e->qwen->generation;
    const hm_speech_input *s = &r->speech;
    double temperature = chosen(r->temperature, own->temperature), top_p = chosen(s->top_p, own->top_p);
    double sub_temperature = chosen(s->sub_temperature, own->sub_temperature), sub_top_p = chosen(s->sub_top_p, own->sub_top_p);
    double penalty = chosen(s->repetition_penalty, own->repetition_penalty);
    int topk = r->topk < 0 ? (int)own->topk : r->topk, sub_topk = s->sub_topk < 0 ? (int)own->sub_topk : s->sub_topk;
    hm_status st = check_draw(temperature, top_p, "", err);
    if (!st)
        st = check_draw(sub_temperature, sub_top_p, "sub-talker ", err);
    if (!st && (!(penalty > 0) || !isfinite(penalty)))
        st = hm_fail(err, HM_EUSAGE, "repetition penalty: expected above 0 (1: off), or negative for the model's own, found %g", penalty);
    out->draw = (hm_talker_draw){
        .greedy = topk == 1 || (r->topk < 0 && own->greedy), .topk = topk, .temperature = (float)temperature, .top_p = (float)top_p};
    out->sub_draw = (hm_talker_draw){.greedy = sub_topk == 1 || (s->sub_topk < 0 && own->sub_greedy),
                                     .topk = sub_topk,
                                     .temperature = (float)sub_temperature,
                                     .top_p = (float)sub_top_p};
    out->repetition_penalty = (float)penalty;
    return st;
}

/* --- the whole --- */

static hm_status validate(const hm_engine *e, const hm_request *r, hm_error *err)
{
    const hm_speech_input *s = &r->speech;
    if (!e->has_lm)
        return hm_fail(err, HM_EBUG, "generate: the engine was opened without a talker");
    if (!r->skip_codec && !e->has_codec)
        return hm_fail(err, HM_EBUG, "generate: audio asked for, but the engine was opened without a speech tokenizer");
    if (r->skip_codec && r->sink)
        return hm_fail(err, HM_EUSAGE, "streaming: codes alone were asked for, there is no audio to stream");
    if (r->sink && (r->sink->first_frames < 0 || r->sink->next_frames < 0))
        return hm_fail(err, HM_EUSAGE, "streaming: pieces of %d and %d frames: expected at least 1, or 0 for the engine's choice",
                       r->sink->first_frames, r->sink->next_frames);
    if (!given(s->text))
        return hm_fail(err, HM_EUSAGE, "text: empty; expected what is to be said");
    if (r->max_frames < 1)
        return hm_fail(err, HM_EUSAGE, "speech: expected at least 1 frame (80 ms), found %d", r->max_frames);
    hm_status st = check_kind(e, s, err);
    if (!st && (r->stored_codes && r->max_frames > e->qwen->talker.shape.talker.positions))
        st = hm_fail(err, HM_EUSAGE, "stored codes: %d frames; expected at most %lld", r->max_frames,
                     (long long)e->qwen->talker.shape.talker.positions);
    return st ? st : hm_session_check_stored(e, r, (int)e->qwen->talker.shape.codebook, err);
}

static hm_status encode_texts(hm_engine *e, const hm_speech_input *s, hm_qwen_prompt *p, hm_error *err)
{
    hm_talker_request *t = &p->request;
    hm_status st = hm_qwen_encode(e, HM_QWEN_TEXT, s->text, &p->text_ids, &t->text_count, err);
    if (!st && given(s->instruct) && ignores_instruct(&e->qwen->talker.shape))
        hm_log_write(e->ctx.log, HM_LOG_WARNING, "instruction: ignored, as in the original: custom_voice models of size %s take none",
                     e->qwen->talker.shape.size);
    else if (!st && given(s->instruct))
        st = hm_qwen_encode(e, HM_QWEN_INSTRUCT, s->instruct, &p->instruct_ids, &t->instruct_count, err);
    if (!st && given(s->reference_text))
        st = hm_qwen_encode(e, HM_QWEN_REFERENCE, s->reference_text, &p->reference_ids, &t->reference_count, err);
    t->text_ids = p->text_ids;
    t->instruct_ids = p->instruct_ids;
    return st;
}

hm_status hm_qwen_prompt_open(hm_engine *e, const hm_request *r, hm_qwen_prompt *out, hm_error *err)
{
    const hm_speech_input *s = &r->speech;
    *out = (hm_qwen_prompt){0};
    hm_talker_request *t = &out->request;
    hm_status st = validate(e, r, err);
    if (!st)
        st = settle_draw(e, r, t, err);
    if (!st)
        st = hm_qwen_speaker(e, s->speaker, &t->speaker, err);
    if (!st)
        st = hm_qwen_language(e, s->language, s->speaker, &t->language, err);
    if (!st)
        st = encode_texts(e, s, out, err);
    t->streaming_text = s->streaming_text < 0 ? e->qwen->talker.shape.kind == HM_TTS_BASE : s->streaming_text > 0;
    t->max_frames = r->max_frames;
    t->force_length = r->force_length;
    t->meanwhile = hm_qwen_streams(&e->ctx, r);
    t->min_frames = MIN_FRAMES;
    t->seed = r->seed;
    t->stored = r->stored_codes;
    t->logits = r->logits;
    if (st)
        hm_qwen_prompt_close(out);
    return st;
}

hm_status hm_qwen_prompt_reference(hm_engine *e, const hm_request *r, hm_qwen_prompt *p, hm_error *err)
{
    const hm_speech_input *s = &r->speech;
    const hm_talker_shape *g = &e->qwen->talker.shape;
    hm_talker_request *t = &p->request;
    float *mel = NULL;
    int frames;
    p->speaker_vector = hm_calloc((size_t)g->talker.width, sizeof *p->speaker_vector, "voice", err);
    hm_status st = p->speaker_vector ? HM_OK : HM_EABSENT;
    if (!st)
        st = hm_speech_mel(&mel, &frames, s->reference, s->reference_samples, (int)g->speaker.mel, (int)g->speaker.sample_rate, err);
    if (!st)
        st = hm_speaker_embed(&e->ctx, e->qwen->speaker_encoder, mel, frames, p->speaker_vector, err);
    free(mel);
    t->speaker_vector = p->speaker_vector;
    if (!st && p->reference_ids) {
        st = hm_speech_encode(&e->ctx, e->qwen->speech_encoder, s->reference, s->reference_samples, &p->reference_codes,
                              &t->reference_frames, err);
        t->reference_ids = p->reference_ids;
        t->reference_codes = p->reference_codes;
    }
    return st;
}

void hm_qwen_prompt_close(hm_qwen_prompt *p)
{
    free(p->text_ids);
    free(p->instruct_ids);
    free(p->reference_ids);
    free(p->reference_codes);
    free(p->speaker_vector);
    *p = (hm_qwen_prompt){0};
}
