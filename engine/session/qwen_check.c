/* Golden computations: inputs given, outputs told through probe->tap. They run the same forwards as utterances do. */
#include <stdlib.h>
#include <string.h>

#include "engine/models/qwen3_tts_impl.h"
#include "engine/sampling.h"
#include "engine/session/qwen.h"

#define MIN_FRAMES 2

static void tap_values(hm_ctx *c, const char *name, const void *data, bool is_int, int64_t d0, int64_t d1)
{
    if (hm_tapping(c) && d0 * d1 > 0)
        c->probe->tap(c->probe->self, &(hm_tap_value){.name = name, .data = data, .is_int = is_int, .rank = 3, .shape = {d0, 1, d1}});
}

/* --- the talker --- */

/* Ids of a text, told under `name`; those given go on instead. */
static hm_status take_ids(hm_engine *e, hm_qwen_template which, const char *text, const char *name, const int32_t **ids, int *count,
                          int32_t **made, hm_error *err)
{
    int n = 0;
    if (!text || !*text || (!e->tokenizer && *ids))
        return HM_OK;
    hm_status st = hm_qwen_encode(e, which, text, made, &n, err);
    if (st)
        return st;
    tap_values(&e->ctx, name, *made, true, 1, n);
    if (!*ids) {
        *ids = *made;
        *count = n;
    }
    return HM_OK;
}

/* The request of a check; texts become p's. */
static hm_status talk_request(hm_engine *e, const hm_speech_check *k, hm_qwen_prompt *p, hm_error *err)
{
    hm_talker_request *t = &p->request;
    *t = (hm_talker_request){.text_ids = k->text_ids,
                             .text_count = k->text_count,
                             .instruct_ids = k->instruct_ids,
                             .instruct_count = k->instruct_count,
                             .reference_ids = k->reference_ids,
                             .reference_count = k->reference_count,
                             .reference_codes = k->reference_codes,
                             .reference_frames = k->reference_frames,
                             .speaker_vector = k->speaker_embedding,
                             .streaming_text = k->streaming_text,
                             .max_frames = k->frames,
                             .meanwhile = hm_tapping(&e->ctx), /* frames after the end are not told */
                             .min_frames = MIN_FRAMES,
                             .draw = {.greedy = true, .temperature = 1},
                             .sub_draw = {.greedy = true, .temperature = 1},
                             .repetition_penalty = (float)k->repetition_penalty,
                             .stored = k->fed,
                             .surplus = true};
    hm_status st = hm_qwen_speaker(e, k->speaker, &t->speaker, err);
    if (!st)
        st = hm_qwen_language(e, k->language, k->speaker, &t->language, err);
    if (!st)
        st = take_ids(e, HM_QWEN_TEXT, k->text, "input_ids", &t->text_ids, &t->text_count, &p->text_ids, err);
    if (!st)
        st = take_ids(e, HM_QWEN_INSTRUCT, k->instruct, "instruct_ids", &t->instruct_ids, &t->instruct_count, &p->instruct_ids, err);
    if (!st)
        st = take_ids(e, HM_QWEN_REFERENCE, k->reference_text, "ref_ids", &t->reference_ids, &t->reference_count, &p->reference_ids, err);
    if (!st && k->frames < 1)
        st = hm_fail(err, HM_EUSAGE, "check: expected at least 1 frame, found %d", k->frames);
    return st;
}

static hm_status run_talk(hm_engine *e, hm_talker_work *work, hm_utterance *u, const hm_speech_check *k, hm_error *err)
{
    hm_ctx *c = &e->ctx;
    int G = (int)e->qwen->talker.shape.groups, n;
    bool ended = false;
    int32_t *codes = hm_calloc((size_t)k->frames * (size_t)G, sizeof *codes, "codes", err);
    int32_t *sequence = hm_calloc((size_t)k->frames + 1, sizeof *sequence, "codes", err);
    if (codes && sequence) {
        hm_utterance_prefill(c, work, u);
        for (int f = 0; f < k->frames && !ended && !hm_ops_status(&c->ops); f++)
            hm_talker_frame(c, work, &u, 1, &ended);
        n = hm_utterance_frames(u);
        hm_utterance_collect(c, u, 0, n, codes, NULL);
        for (int f = 0; f < n; f++)
            sequence[f] = codes[(size_t)f * (size_t)G];
        sequence[n] = hm_utterance_surplus(c, u);
        if (!hm_ops_status(&c->ops)) {
            tap_values(c, "codes", codes, true, n, G);
            tap_values(c, "sequence_group0", sequence, true, 1, sequence[n] < 0 ? n : n + 1);
        }
    }
    hm_status st = codes && sequence ? hm_session_status(c, err) : HM_EABSENT;
    free(codes);
    free(sequence);
    return st;
}

static hm_status check_talk(hm_engine *e, const hm_speech_check *k, hm_error *err)
{
    hm_ctx *c = &e->ctx;
    hm_qwen_prompt p = {0};
    hm_talker_work *work = NULL;
    hm_utterance *u = NULL;
    hm_status st = talk_request(e, k, &p, err);
    int rows = 0;
    if (!st)
        st = hm_qwen_prompt_rows(e, &p.request, &rows, err);
    if (!st)
        st = hm_qwen_work_take(e, 1, rows, rows + k->frames, &work, err);
    if (!st)
        st = hm_utterance_begin(c, &u, work, &p.request, err);
    if (!st)
        st = run_talk(e, work, u, k, err);
    hm_utterance_end(c, &u);
    if (work)
        hm_qwen_work_give(e, &work);
    hm_qwen_prompt_close(&p);
    return st;
}

/* --- the speech tokenizer --- */

/* Pieces of `chunk` frames, each from a fresh state with `context` frames before it: what chunks=original does, for any variant. */
static hm_status decode_chunks(hm_engine *e, const hm_speech_check *k, float *audio, hm_error *err)
{
    hm_ctx *c = &e->ctx;
    const hm_probe *outer = c->probe;
    int64_t rate = e->qwen->codec_shape.decode_rate;
    size_t G = (size_t)e->qwen->codec_shape.groups;
    hm_status st = HM_OK;
    int chunk = k->chunk < k->frames ? k->chunk : k->frames, context = k->context < k->frames ? k->context : k->frames;
    float *piece = hm_calloc((size_t)(chunk + context) * (size_t)rate, sizeof *piece, "audio", err);
    if (!piece)
        return HM_EABSENT;
    c->probe = NULL; /* the whole is told, not its pieces */
    for (int start = 0; start < k->frames && !st; start += chunk) {
        int before = start > context ? context : start, n = k->frames - start < chunk ? k->frames - start : chunk;
        st = hm_speech_decode(c, e->qwen->codec, k->codes + (size_t)(start - before) * G, before + n, before + n, 0, piece, NULL, err);
        memcpy(audio + start * rate, piece + before * rate, (size_t)(n * rate) * sizeof *audio);
    }
    c->probe = outer;
    free(piece);
    return st;
}

static hm_status check_decode(hm_engine *e, const hm_speech_check *k, hm_error *err)
{
    int64_t rate = e->qwen->codec_shape.decode_rate;
    if (k->frames < 1 || k->frames > INT32_MAX / rate / 2 || k->chunk < 0 || k->context < 0)
        return hm_fail(err, HM_EUSAGE, "check: %d frames in chunks of %d after %d do not make sense", k->frames, k->chunk, k->context);
    float *audio = hm_calloc((size_t)(k->frames * rate), sizeof *audio, "audio", err);
    if (!audio)
        return HM_EABSENT;
    hm_status st = k->chunk ? decode_chunks(e, k, audio, err)
                            : hm_speech_decode(&e->ctx, e->qwen->codec, k->codes, k->frames, k->frames, 0, audio, NULL, err);
    if (!st && k->chunk)
        tap_values(&e->ctx, "waveform", audio, false, 1, k->frames * rate);
    free(audio);
    return st;
}

static hm_status check_encode(hm_engine *e, const hm_speech_check *k, hm_error *err)
{
    int32_t *codes = NULL;
    int frames;
    hm_status st = hm_speech_encode(&e->ctx, e->qwen->speech_encoder, k->audio, k->samples, &codes, &frames, err);
    if (!st)
        tap_values(&e->ctx, "codes", codes, true, frames, e->qwen->codec_shape.groups);
    free(codes);
    return st;
}

/* --- the rest --- */

static hm_status check_speaker(hm_engine *e, const hm_speech_check *k, hm_error *err)
{
    const hm_talker_shape *g = &e->qwen->talker.shape;
    float *mel = NULL, *embedding = hm_calloc((size_t)g->speaker.width, sizeof *embedding, "x-vector", err);
    int frames = k->mel_frames;
    hm_status st = embedding ? HM_OK : HM_EABSENT;
    if (!st && !k->mel)
        st = hm_speech_mel(&mel, &frames, k->audio, k->samples, (int)g->speaker.mel, (int)g->speaker.sample_rate, err);
    if (!st)
        st = hm_speaker_embed(&e->ctx, e->qwen->speaker_encoder, k->mel ? k->mel : mel, frames, embedding, err);
    free(mel);
    free(embedding);
    return st;
}

static hm_status check_sample(hm_engine *e, const hm_speech_check *k, hm_error *err)
{
    int V = k->vocabulary;
    size_t words = ((size_t)V + 31) / 32;
    float *probs = hm_calloc((size_t)V, sizeof *probs, "probabilities", err),
          *scratch = hm_calloc(hm_sample_scratch_floats(V), sizeof *scratch, "sampling", err);
    uint32_t *seen = hm_calloc(words, sizeof *seen, "codes", err);
    hm_status st = probs && scratch && seen ? HM_OK : HM_EABSENT;
    for (int i = 0; i < k->history_count && !st; i++)
        if (k->history[i] < 0 || k->history[i] >= V)
            st = hm_fail(err, HM_EUSAGE, "check: code %d of the history: expected 0 to %d, found %d", i, V - 1, k->history[i]);
        else
            seen[k->history[i] / 32] |= 1u << k->history[i] % 32;
    if (!st) {
        hm_sample_reference(&(hm_sample_input){.logits = k->logits,
                                               .V = V,
                                               .topk = k->topk,
                                               .temperature = (float)k->temperature,
                                               .top_p = (float)k->top_p,
                                               .greedy = k->greedy,
                                               .seen = seen,
                                               .penalty = (float)k->repetition_penalty,
                                               .live = k->suppress ? V - HM_TALKER_SUPPRESSED : V,
                                               .spared = (int)e->qwen->talker.shape.codec_eos,
                                               .forbidden = k->forbidden},
                            probs, scratch, NULL);
        tap_values(&e->ctx, "probs", probs, false, 1, V);
    }
    free(probs);
    free(scratch);
    free(seen);
    return st;
}

static hm_status check_cut(hm_engine *e, const hm_speech_check *k, hm_error *err)
{
    if (k->total_frames < 1 || k->reference_frames < 0 || k->reference_frames > k->total_frames || k->samples < 0 || k->samples > INT32_MAX)
        return hm_fail(err, HM_EUSAGE, "check: %d of %d frames, %lld samples do not make sense", k->reference_frames, k->total_frames,
                       (long long)k->samples);
    int32_t cut = (int32_t)hm_speech_reference_cut(k->reference_frames, k->total_frames, k->samples);
    tap_values(&e->ctx, "cut", &cut, true, 1, 1);
    return HM_OK;
}

hm_status hm_qwen_check(hm_engine *e, const hm_check *k, hm_error *err)
{
    const hm_qwen *q = e->qwen;
    bool absent = (k->kind == HM_CHECK_TALK && !e->has_lm) || (k->kind == HM_CHECK_SPEECH_DECODE && !e->has_codec) ||
                  (k->kind == HM_CHECK_SPEAKER && !q->speaker_encoder) || (k->kind == HM_CHECK_SPEECH_ENCODE && !q->speech_encoder) ||
                  (k->kind == HM_CHECK_SPEECH_SAMPLE && !e->lm_weights);
    if (absent || !k->speech)
        return hm_fail(err, HM_EBUG, "check: the engine was opened without the part it needs");
    switch (k->kind) {
    case HM_CHECK_TALK:
        return check_talk(e, k->speech, err);
    case HM_CHECK_SPEECH_DECODE:
        return check_decode(e, k->speech, err);
    case HM_CHECK_SPEAKER:
        return check_speaker(e, k->speech, err);
    case HM_CHECK_SPEECH_ENCODE:
        return check_encode(e, k->speech, err);
    case HM_CHECK_SPEECH_SAMPLE:
        return check_sample(e, k->speech, err);
    case HM_CHECK_SPEECH_CUT:
        return check_cut(e, k->speech, err);
    default:
        break;
    }
    return hm_fail(err, HM_EUSAGE, "check: kind %d is none of a speech model's", (int)k->kind);
}
