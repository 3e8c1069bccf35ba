/* An utterance from request to audio. */
#include <stdlib.h>
#include <string.h>

#include "engine/base/time.h"
#include "engine/session/qwen.h"

#define CODEC_PIECES 16         /* most pieces that the decoder's memory is taken in */
#define CODEC_EXTRA_BYTES 65536 /* what it keeps on the host */
#define KEPT_ROWS 256           /* kept buffers grow by so many rows, so that the next prompt finds room */

/* --- buffers --- */

static int rounded(int64_t n, int64_t most)
{
    n = (n + KEPT_ROWS - 1) / KEPT_ROWS * KEPT_ROWS;
    return (int)(n < most ? n : most);
}

static int larger(int a, int b)
{
    return a > b ? a : b;
}

static bool keeps_work(const hm_engine *e)
{
    return hm_t(&e->ctx)->prefix == HM_PREFIX_REUSED;
}

hm_status hm_qwen_work_take(hm_engine *e, int batch, int rows, int positions, hm_talker_work **out, hm_error *err)
{
    hm_qwen *q = e->qwen;
    int64_t most = q->talker.shape.talker.positions;
    bool fits = q->work && batch <= q->work_batch && rows <= q->work_rows && positions <= q->work_positions;
    if (!keeps_work(e))
        return hm_talker_work_open(&e->ctx, out, &q->talker, batch, rows, positions, err);
    if (fits) {
        *out = q->work;
        q->work = NULL;
        return HM_OK;
    }
    hm_talker_work_close(&e->ctx, &q->work);
    q->work_batch = larger(batch, q->work_batch);
    q->work_rows = larger(rounded(rows, most), q->work_rows);
    q->work_positions = larger(larger(rounded(positions, most), q->work_positions), q->work_rows);
    return hm_talker_work_open(&e->ctx, out, &q->talker, q->work_batch, q->work_rows, q->work_positions, err);
}

void hm_qwen_work_give(hm_engine *e, hm_talker_work **work)
{
    if (!keeps_work(e) || hm_ops_status(&e->ctx.ops)) { /* after a failure nothing in them is sure */
        hm_talker_work_close(&e->ctx, work);
        return;
    }
    e->qwen->work = *work;
    *work = NULL;
}

hm_status hm_qwen_prompt_rows(const hm_engine *e, const hm_talker_request *r, int *rows, hm_error *err)
{
    const hm_talker_shape *g = &e->qwen->talker.shape;
    *rows = hm_talker_prompt_rows(g, r);
    if (!*rows)
        return hm_fail(err, HM_EUSAGE, "text: no tokens between its template; expected at least one word");
    if ((int64_t)*rows + r->max_frames <= g->talker.positions)
        return HM_OK;
    return hm_fail(err, HM_EUSAGE,
                   "speech: a prompt of %d rows and %d frames do not fit the model's %lld positions; shorten the text or the speech", *rows,
                   r->max_frames, (long long)g->talker.positions);
}

void hm_qwen_collect(hm_engine *e, hm_utterance *u, hm_result *out)
{
    const hm_talker *m = &e->qwen->talker;
    out->frames = hm_utterance_frames(u);
    out->prompt_tokens = hm_utterance_prompt_rows(u);
    hm_utterance_collect(&e->ctx, u, 0, out->frames, out->codes, out->logits);
    out->kv_bytes = hm_utterance_kv_bytes(u);
    out->frame_weight_bytes = hm_talker_frame_bytes(m);
    out->distinct_weight_bytes = hm_talker_distinct_bytes(m);
    out->frame_flops = hm_talker_frame_flops(&m->shape, out->prompt_tokens + out->frames / 2);
}

/* --- audio --- */

static void describe_audio(const hm_engine *e, hm_result *out)
{
    const hm_qwen *q = e->qwen;
    out->channels = 1;
    out->sample_rate_hz = (int)q->codec_shape.sample_rate;
    out->codec_frame_flops = hm_speech_codec_frame_flops(&q->codec_shape);
    out->codec_bytes = hm_speech_codec_bytes(q->codec);
}

/* What decoding as many frames as there can be will take, before the first of them; the talker's buffers lie there until then, if they are
 * not kept for the next call. */
static hm_status reserve_codec(hm_engine *e, const hm_talker_request *t, float **pcm, hm_error *err)
{
    hm_ctx *c = &e->ctx;
    const hm_speech_codec_shape *g = &e->qwen->codec_shape;
    int64_t frames = (int64_t)t->reference_frames + t->max_frames, longest = HM_ORIGINAL_CHUNK + HM_ORIGINAL_CONTEXT;
    bool original = hm_t(c)->chunks == HM_CHUNKS_ORIGINAL && longest < frames;
    uint64_t bytes = hm_speech_stream_estimate(c, g, hm_speech_piece_frames(c, g, (int)(original ? longest : frames)));
    *pcm = hm_calloc((size_t)(frames * g->decode_rate), sizeof **pcm, "audio", err);
    if (!*pcm || keeps_work(e))
        return *pcm ? HM_OK : HM_EABSENT;
    bytes += (uint64_t)frames * (uint64_t)g->groups * sizeof(int32_t) + CODEC_EXTRA_BYTES;
    return hm_call_reserve(c, bytes, CODEC_PIECES, err);
}

/* codes [frames][groups] behind `dropped` frames whose audio is not wanted. pcm: room for all of it, or NULL. */
static hm_status run_codec(hm_engine *e, const int32_t *codes, int frames, int dropped, float *pcm, hm_result *out, hm_error *err)
{
    hm_ctx *c = &e->ctx;
    const hm_speech_codec_shape *g = &e->qwen->codec_shape;
    uint64_t scratch = 0;
    int64_t start = hm_now_ns(), samples = frames * g->decode_rate, cut = dropped * g->decode_rate;
    hm_span_begin(c->probe, HM_SPAN_PHASE, "decode", -1);
    out->audio = pcm ? pcm : hm_calloc((size_t)samples, sizeof *out->audio, "audio", err);
    hm_status st = out->audio ? hm_session_stage_over(e, err) : HM_EABSENT;
    if (!st)
        st = hm_speech_decode(c, e->qwen->codec, codes, frames, HM_ORIGINAL_CHUNK, HM_ORIGINAL_CONTEXT, out->audio, &scratch, err);
    hm_session_spin(c, start);
    hm_span_end(c->probe, HM_SPAN_PHASE, "decode");
    if (dropped && hm_t(c)->chunks == HM_CHUNKS_ORIGINAL) /* its rounding leaves one sample of some references */
        cut = hm_speech_reference_cut(dropped, frames, samples);
    if (!st && cut)
        memmove(out->audio, out->audio + cut, (size_t)(samples - cut) * sizeof *out->audio);
    out->samples = samples - cut;
    for (int64_t f = HM_ORIGINAL_CHUNK; hm_t(c)->chunks == HM_CHUNKS_ORIGINAL && f < frames; f += HM_ORIGINAL_CHUNK)
        hm_session_add_seam(out, f * g->decode_rate - cut);
    out->scratch_bytes = scratch > out->scratch_bytes ? scratch : out->scratch_bytes;
    out->decode_ns = hm_now_ns() - start;
    return st;
}

hm_status hm_qwen_audio(hm_engine *e, const hm_qwen_prompt *p, const hm_request *r, float *pcm, hm_result *out, hm_error *err)
{
    const int32_t *codes = r->stored_codes ? r->stored_codes : out->codes; /* what went on */
    int reference = p->request.reference_frames, frames = reference + out->frames;
    size_t G = (size_t)e->facts.codebooks, before = (size_t)reference * G;
    int32_t *joined = NULL;
    describe_audio(e, out);
    if (reference && out->frames)
        joined = hm_call_calloc(&e->ctx, (size_t)frames * G, sizeof *joined, "codes", err);
    if (!out->frames || (reference && !joined)) {
        free(pcm);
        return out->frames ? HM_EABSENT : HM_OK;
    }
    if (reference) {
        memcpy(joined, p->reference_codes, before * sizeof *joined);
        memcpy(joined + before, codes, (size_t)out->frames * G * sizeof *joined);
    }
    hm_status st = run_codec(e, joined ? joined : codes, frames, reference, pcm, out, err);
    hm_call_free(&e->ctx, joined);
    return st ? st : hm_session_check_result(out, err);
}

/* --- one utterance --- */

/* What is at work between request and result. */
struct speech {
    const hm_request *r;
    hm_qwen_prompt prompt;
    hm_talker_work *work;
    hm_utterance *utterance;
    hm_qwen_stream *stream; /* NULL: audio at the end, into */
    float *pcm;
};

/* Where the audio goes. */
static hm_status prepare_audio(hm_engine *e, struct speech *s, hm_error *err)
{
    if (s->r->skip_codec)
        return HM_OK;
    if (hm_qwen_streams(&e->ctx, s->r))
        return hm_qwen_stream_open(e, &s->stream, s->r, &s->prompt, err);
    return reserve_codec(e, &s->prompt.request, &s->pcm, err);
}

static hm_status prefill(hm_engine *e, struct speech *s, hm_result *out, hm_error *err)
{
    hm_ctx *c = &e->ctx;
    int64_t start = hm_now_ns();
    hm_status st = HM_OK;
    hm_span_begin(c->probe, HM_SPAN_PHASE, "prefill", -1);
    if (s->r->speech.reference) {
        hm_span_begin(c->probe, HM_SPAN_STEP, "reference", -1);
        st = hm_qwen_prompt_reference(e, s->r, &s->prompt, err);
        hm_span_end(c->probe, HM_SPAN_STEP, "reference");
        out->reference_ns = hm_now_ns() - start;
        if (!st)
            st = hm_session_stage(e, hm_qwen_streams(c, s->r) ? HM_STAGE_BOTH : HM_STAGE_LM, err);
    }
    const hm_talker_request *t = &s->prompt.request;
    int rows = 0;
    if (!st)
        st = hm_qwen_prompt_rows(e, t, &rows, err);
    if (!st)
        st = hm_session_result_open(e, s->r, out, err);
    if (!st)
        st = prepare_audio(e, s, err);
    if (!st)
        st = hm_qwen_work_take(e, 1, rows, rows + t->max_frames, &s->work, err);
    if (!st)
        st = hm_utterance_begin(c, &s->utterance, s->work, t, err);
    if (!st) {
        hm_utterance_prefill(c, s->work, s->utterance);
        c->ops.sync(&c->ops);
        st = hm_session_status(c, err);
    }
    out->prefill_work = hm_session_work(c, (hm_work){0});
    hm_session_spin(c, start);
    hm_span_end(c->probe, HM_SPAN_PHASE, "prefill");
    out->prefill_ns = hm_now_ns() - start;
    return st;
}

/* Frames until the model ends or the cap. */
static void draw_frames(hm_engine *e, struct speech *s, hm_result *out)
{
    hm_ctx *c = &e->ctx;
    for (int f = 0; f < s->r->max_frames && !out->ended; f++) {
        hm_progress(c, "generate", f, s->r->max_frames);
        if (hm_ops_status(&c->ops))
            return;
        hm_span_begin(c->probe, HM_SPAN_STEP, "frame", f);
        hm_session_count_begin(c, &out->frame_counters);
        hm_talker_frame(c, s->work, &s->utterance, 1, &out->ended);
        hm_session_count_end(c, &out->frame_counters);
        hm_span_end(c->probe, HM_SPAN_STEP, "frame");
        if (s->stream && !out->ended && !hm_ops_status(&c->ops))
            hm_qwen_stream_frames(s->stream, s->utterance, f + 1);
    }
}

static hm_status generate(hm_engine *e, struct speech *s, hm_result *out, hm_error *err)
{
    hm_ctx *c = &e->ctx;
    int64_t start = hm_now_ns();
    hm_span_begin(c->probe, HM_SPAN_PHASE, "generate", -1);
    hm_status st = s->stream ? hm_qwen_stream_start(s->stream, err) : HM_OK;
    if (!st) {
        draw_frames(e, s, out);
        hm_session_count_begin(c, &out->frame_counters);
        hm_qwen_collect(e, s->utterance, out);
        c->ops.sync(&c->ops);
        hm_session_count_end(c, &out->frame_counters);
        out->scratch_bytes = hm_talker_work_bytes(s->work);
        st = hm_session_status(c, err);
    }
    out->generate_work = hm_session_work(c, out->prefill_work);
    hm_session_spin(c, start);
    hm_span_end(c->probe, HM_SPAN_PHASE, "generate");
    out->generate_ns = hm_now_ns() - start;
    return st ? st : hm_session_check_result(out, err);
}

static void end_utterance(hm_engine *e, struct speech *s)
{
    hm_utterance_end(&e->ctx, &s->utterance);
    if (s->work)
        hm_qwen_work_give(e, &s->work);
}

static hm_status speak(hm_engine *e, struct speech *s, hm_result *out, hm_error *err)
{
    hm_status st = prefill(e, s, out, err);
    hm_call_timed(&e->ctx, true);
    if (!st)
        st = generate(e, s, out, err);
    if (s->stream) {
        describe_audio(e, out);
        st = hm_qwen_stream_finish(s->stream, out, st, err);
        end_utterance(e, s);
        return st ? st : hm_session_check_result(out, err);
    }
    end_utterance(e, s); /* its memory is the decoder's now */
    if (!st && !s->r->skip_codec)
        return hm_qwen_audio(e, &s->prompt, s->r, s->pcm, out, err);
    free(s->pcm);
    return st;
}

hm_status hm_qwen_generate(hm_engine *e, const hm_request *r, hm_result *out, hm_error *err)
{
    int64_t start = hm_now_ns();
    struct speech s = {.r = r};
    hm_session_begin_call(e, out);
    hm_status st = hm_session_stage(e, hm_qwen_streams(&e->ctx, r) || r->speech.reference ? HM_STAGE_BOTH : HM_STAGE_LM, err);
    if (!st)
        st = hm_qwen_prompt_open(e, r, &s.prompt, err);
    if (!st)
        st = speak(e, &s, out, err);
    hm_qwen_stream_close(&s.stream);
    hm_qwen_prompt_close(&s.prompt);
    return hm_session_end_call(e, start, out, st);
}

hm_status hm_qwen_decode(hm_engine *e, const int32_t *codes, int frames, const hm_request *r, hm_result *out, hm_error *err)
{
    int64_t start = hm_now_ns();
    (void)r;
    hm_session_begin_call(e, out);
    hm_status st = e->has_codec ? HM_OK : hm_fail(err, HM_EBUG, "decode: the engine was opened without a speech tokenizer");
    if (!st && (frames < 1 || frames > INT32_MAX / e->qwen->codec_shape.decode_rate))
        st = hm_fail(err, HM_EUSAGE, "codes: expected at least 1 frame and at most %lld, found %d",
                     (long long)(INT32_MAX / e->qwen->codec_shape.decode_rate), frames);
    if (!st) {
        describe_audio(e, out);
        out->frames = frames;
        st = run_codec(e, codes, frames, 0, NULL, out, err);
    }
    if (!st)
        st = hm_session_check_result(out, err);
    return hm_session_end_call(e, start, out, st);
}
