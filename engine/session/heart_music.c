/* A song from request to audio. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/base/time.h"
#include "engine/session/codec_thread.h"
#include "engine/session/session.h"

#define CHANNELS 2
#define CODEC_PIECES 64 /* most pieces that the codec's memory is taken in */

hm_detok_request hm_heart_detok_request(const hm_ctx *c, const hm_request *r)
{
    return (hm_detok_request){.frames = r->max_frames,
                              .duration_s = HM_DETOK_SECONDS,
                              .steps = r->music.flow_steps ? r->music.flow_steps : hm_flow_steps(c),
                              .guidance = (float)r->music.flow_guidance,
                              .tiled = hm_t(c)->codec_len == HM_CODEC_TILED,
                              .lose_tail = hm_t(c)->tail == HM_TAIL_LOST,
                              .short_first = hm_t(c)->segments == HM_SEGMENTS_SHORT_FIRST,
                              .side_by_side = hm_t(c)->segments == HM_SEGMENTS_BATCHED};
}

bool hm_heart_streams(const hm_ctx *c, const hm_request *r)
{
    return !r->skip_codec && (hm_t(c)->decode == HM_DECODE_OVERLAP || (hm_t(c)->decode == HM_DECODE_STREAM && r->sink));
}

static hm_status validate(const hm_engine *e, const hm_request *r, hm_error *err)
{
    if (!e->has_lm)
        return hm_fail(err, HM_EBUG, "generate: the engine was opened without a language model");
    if (!r->skip_codec && !e->has_codec)
        return hm_fail(err, HM_EBUG, "generate: audio asked for, but the engine was opened without a codec");
    if (!r->music.tags || !r->music.lyrics)
        return hm_fail(err, HM_EUSAGE, "song: tags and lyrics are needed (they may be empty)");
    if (r->max_frames < 1)
        return hm_fail(err, HM_EUSAGE, "song: expected at least 1 frame (80 ms), found %d", r->max_frames);
    if (!(r->temperature > 0) || !isfinite(r->temperature))
        return hm_fail(err, HM_EUSAGE, "temperature: expected above 0, found %g; for greedy choice use topk 1", r->temperature);
    if (r->topk < 1)
        return hm_fail(err, HM_EUSAGE, "topk: expected at least 1, found %d", r->topk);
    if (r->music.flow_steps < 0 || r->music.flow_steps > HM_CODEC_MAX_STEPS)
        return hm_fail(err, HM_EUSAGE, "solver steps: expected 1 to %d, or 0 for the variant's, found %d", HM_CODEC_MAX_STEPS,
                       r->music.flow_steps);
    if (!isfinite(r->music.cfg_scale) || !isfinite(r->music.flow_guidance))
        return hm_fail(err, HM_EUSAGE, "guidance scales: expected finite numbers");
    return hm_session_check_stored(e, r, e->mula.config.code_vocabulary, err);
}

/* --- codec --- */

struct noise {
    uint64_t seed;
};

static void philox_noise(void *self, int segment, float *z, int64_t count)
{
    const struct noise *n = self;
    float last[4];
    for (int64_t i = 0; i < count; i += 4) {
        hm_draw_normal4(n->seed, (uint32_t)segment, (uint32_t)i, last);
        memcpy(z + i, last, sizeof *z * (size_t)(count - i < 4 ? count - i : 4));
    }
}

/* Codes on their way to audio, and audio on its way to whoever listens. */
struct audio {
    const hm_request *request;
    hm_detok detok;
    struct noise noise;
    int64_t sent;            /* samples per channel that the sink has */
    hm_codec_thread *thread; /* while frames are drawn; NULL: all is decoded afterwards */
    int32_t *drawn;          /* [max_frames][codebooks] fetched for it, when no codes are stored */
    int fetched;             /* frames of them */
    int64_t next, overlapped_ns;
};

static void codec_request(hm_engine *e, struct audio *a, const hm_request *r, hm_detok_request *out)
{
    hm_ctx *c = &e->ctx;
    *out = hm_heart_detok_request(c, r);
    a->noise = (struct noise){r->seed};
    out->noise = (hm_noise_source){&a->noise, philox_noise};
    a->request = r;
}

/* What no later segment changes goes to the sink. */
static void send_audio(struct audio *a, hm_ctx *c)
{
    hm_detok *d = &a->detok;
    const hm_audio_sink *sink = a->request->sink;
    int64_t n = d->final - a->sent;
    if (!sink || n < 1 || hm_ops_status(&c->ops))
        return;
    for (int ch = 0; ch < CHANNELS; ch++)
        memcpy(d->host_pcm + ch * n, d->audio + ch * d->room + a->sent, (size_t)n * sizeof *d->audio);
    for (int64_t i = 0; i < n * CHANNELS; i++)
        if (!isfinite(d->host_pcm[i])) {
            hm_fail(&c->error, HM_EINVALID, "audio: sample %lld is not finite; the weights or a kernel are broken",
                    (long long)(a->sent + i % n));
            return;
        }
    if (sink->write(sink->self, d->host_pcm, CHANNELS, n, hm_now_ns()))
        hm_fail(&c->error, HM_EINTERRUPTED, "decode: interrupted after %lld samples were written", (long long)(a->sent + n));
    a->sent += n;
}

static void decode_piece(void *self, hm_ctx *c, int64_t piece)
{
    struct audio *a = self;
    hm_detok_segment(c, &a->detok, (int)piece);
    send_audio(a, c);
}

/* Frames 0 .. frames-1 are drawn: what they complete can be decoded. */
static void push_frames(hm_ctx *c, struct audio *a, hm_mula_song *song, int frames)
{
    int ready = hm_detok_ready(&a->detok, frames);
    if (ready <= a->next)
        return;
    a->next = ready;
    if (a->drawn) {
        hm_mula_codes(c, song, a->fetched, frames - a->fetched, a->drawn + (size_t)a->fetched * (size_t)song->m->config.codebooks);
        a->fetched = frames;
    }
    hm_codec_thread_push(a->thread, ready);
}

/* Room for the longest song there can be, before its first frame. */
static hm_status begin_stream(hm_engine *e, struct audio *a, const hm_request *r, hm_error *err)
{
    hm_detok_request request;
    codec_request(e, a, r, &request);
    request.frames = r->max_frames;
    request.open = true;
    request.codes = r->stored_codes;
    if (!r->stored_codes)
        request.codes = a->drawn = hm_calloc((size_t)r->max_frames * (size_t)e->facts.codebooks, sizeof *a->drawn, "codes", err);
    return request.codes ? hm_detok_begin(&e->ctx, &a->detok, &e->codec, &request, err) : HM_EABSENT;
}

/* Both ends of every stretch that two segments share. */
static void tell_seams(const hm_detok *d, hm_result *out)
{
    for (int k = 1; k < d->plan.segments; k++) {
        int64_t first, alone;
        hm_detok_seam(d, k, &first, &alone);
        if (first < d->samples)
            hm_session_add_seam(out, first);
        if (alone > first && alone < d->samples)
            hm_session_add_seam(out, alone);
    }
}

/* Segments from `first` on, and the result's part of it. */
static hm_status finish_audio(hm_engine *e, struct audio *a, int first, hm_result *out, hm_error *err)
{
    hm_ctx *c = &e->ctx;
    hm_detok *d = &a->detok;
    send_audio(a, c); /* what was kept for a segment that does not come */
    for (int k = first; k < d->plan.segments && !hm_ops_status(&c->ops); k++)
        decode_piece(a, c, k);
    hm_status st = hm_session_status(c, err);
    tell_seams(d, out);
    out->channels = CHANNELS;
    out->samples = d->samples;
    out->sample_rate_hz = (int)e->codec.shape.sample_rate;
    memmove(d->audio + d->samples, d->audio + d->room, (size_t)d->samples * sizeof *d->audio); /* channels move together */
    out->audio = d->audio;
    d->audio = NULL;
    return st ? st : hm_session_check_result(out, err);
}

/* What decoding the longest song there can be will take, before its first frame; the song's own buffers lie there until then. */
static hm_status reserve_codec(hm_engine *e, const hm_request *r, float **pcm, hm_error *err)
{
    hm_ctx *c = &e->ctx;
    hm_detok_request request = hm_heart_detok_request(c, r);
    hm_detok_memory parts = {0};
    uint64_t bytes = hm_detok_estimate(c, &e->codec, &request, &parts);
    if (!bytes)
        return HM_OK; /* there is no such song: begin says why */
    *pcm = hm_calloc(parts.audio, 1, "audio", err);
    return *pcm ? hm_call_reserve(c, bytes - parts.audio, CODEC_PIECES, err) : HM_EABSENT;
}

/* All of a song's codes to audio, which takes pcm if it is there. */
static hm_status run_codec(hm_engine *e, const int32_t *codes, int frames, const hm_request *r, float *pcm, hm_result *out, hm_error *err)
{
    hm_ctx *c = &e->ctx;
    struct audio a = {0};
    hm_detok_request request;
    int64_t start = hm_now_ns();
    uint64_t flops = c->counters.flops;
    codec_request(e, &a, r, &request);
    request.codes = codes;
    request.frames = frames;
    request.audio = pcm;
    hm_span_begin(c->probe, HM_SPAN_PHASE, "decode", -1);
    hm_status st = hm_session_stage_over(e, err);
    if (st)
        free(pcm);
    else
        st = hm_detok_begin(c, &a.detok, &e->codec, &request, err);
    if (!st) {
        st = finish_audio(e, &a, 0, out, err);
        out->scratch_bytes = a.detok.scratch_bytes > out->scratch_bytes ? a.detok.scratch_bytes : out->scratch_bytes;
        hm_detok_end(c, &a.detok);
    }
    hm_session_spin(c, start);
    hm_span_end(c->probe, HM_SPAN_PHASE, "decode");
    out->decode_ns = hm_now_ns() - start;
    out->codec_frame_flops = (double)(c->counters.flops - flops) / frames;
    return st;
}

/* The rest of a song whose frames are drawn. Its scratch was there beside that of the frames. */
static hm_status end_stream(hm_engine *e, struct audio *a, hm_result *out, hm_status st, hm_error *err)
{
    hm_ctx *c = &e->ctx;
    int64_t start = hm_now_ns(), next = 0;
    hm_span_begin(c->probe, HM_SPAN_PHASE, "decode", -1);
    hm_codec_thread_finish(&a->thread, &next, &out->overlapped_ns);
    if (!st)
        st = hm_session_status(c, err);
    if (!st && out->frames) {
        if (a->drawn)
            memcpy(a->drawn, out->codes, (size_t)out->frames * (size_t)out->codebooks * sizeof *a->drawn);
        hm_detok_length(c, &a->detok, out->frames);
        st = finish_audio(e, a, (int)next, out, err);
    }
    out->scratch_bytes += a->detok.scratch_bytes;
    hm_detok_end(c, &a->detok);
    free(a->drawn);
    hm_session_spin(c, start);
    hm_span_end(c->probe, HM_SPAN_PHASE, "decode");
    out->decode_ns = hm_now_ns() - start;
    return st;
}

/* --- language model --- */

hm_status hm_heart_prompted_open(hm_engine *e, const hm_request *r, hm_heart_prompted *p, hm_error *err)
{
    hm_status st = validate(e, r, err);
    *p = (hm_heart_prompted){.request = {.max_frames = r->max_frames,
                                         .cfg_scale = r->music.cfg_scale,
                                         .topk = r->topk,
                                         .temperature = (float)r->temperature,
                                         .seed = r->seed,
                                         .stored = r->stored_codes,
                                         .forced = r->force_length,
                                         .meanwhile = hm_heart_streams(&e->ctx, r),
                                         .logits = r->logits}};
    if (!st)
        st = hm_heart_prompt(e, r, &p->ids, &p->request.n, &p->request.slot, err);
    p->request.text_ids = p->ids;
    return st;
}

void hm_heart_prompted_close(hm_heart_prompted *p)
{
    free(p->ids);
    *p = (hm_heart_prompted){0};
}

void hm_heart_collect(hm_engine *e, const hm_mula_work *work, hm_mula_song *song, hm_result *out)
{
    hm_mula_collect(&e->ctx, song, out->frames, out->codes, out->logits);
    out->prompt_tokens = song->request.n;
    out->scratch_bytes = work->scratch_bytes + song->bytes;
    out->kv_bytes = hm_mula_kv_bytes(song);
    out->frame_weight_bytes = hm_mula_frame_bytes(&e->mula);
    out->distinct_weight_bytes = hm_mula_distinct_bytes(&e->mula);
    out->frame_flops = hm_mula_frame_flops(&e->mula.config, song->rows, out->prompt_tokens + out->frames / 2);
}

hm_status hm_heart_audio(hm_engine *e, const hm_request *r, float *pcm, hm_result *out, hm_error *err)
{
    if (!out->frames) {
        free(pcm);
        return HM_OK;
    }
    /* what goes on to the codec: the stored codes, where there are some */
    return run_codec(e, r->stored_codes ? r->stored_codes : out->codes, out->frames, r, pcm, out, err);
}

/* --- one song --- */

/* What is at work between request and result. */
struct making {
    const hm_request *r;
    const hm_mula_request *request;
    hm_mula_work work;
    hm_mula_song song;
    struct audio *audio; /* of frames meanwhile; NULL: at the end */
};

/* Frames until the end-of-song rule or the cap. */
static int draw_frames(hm_engine *e, struct making *m, hm_result *out)
{
    hm_ctx *c = &e->ctx;
    hm_mula_song *song = &m->song;
    int frames = 0;
    for (int f = 0; f < m->r->max_frames; f++) {
        bool end = false;
        hm_progress(c, "generate", f, m->r->max_frames);
        if (hm_ops_status(&c->ops))
            break;
        hm_span_begin(c->probe, HM_SPAN_STEP, "frame", f);
        hm_session_count_begin(c, &out->frame_counters);
        hm_mula_frame(c, &m->work, &song, 1, &end);
        hm_session_count_end(c, &out->frame_counters);
        hm_span_end(c->probe, HM_SPAN_STEP, "frame");
        if (hm_ops_status(&c->ops))
            break;
        if (end && !m->r->force_length) {
            out->ended = true;
            return song->frames - 1;
        }
        frames = f + 1;
        if (m->audio)
            push_frames(c, m->audio, song, frames);
    }
    return frames;
}

/* Prompt and frames. */
static hm_status draw_song(hm_engine *e, struct making *m, hm_result *out, hm_error *err)
{
    hm_ctx *c = &e->ctx;
    struct audio *audio = m->audio;
    hm_status st = HM_OK;
    int64_t start = hm_now_ns();
    hm_span_begin(c->probe, HM_SPAN_PHASE, "prefill", -1);
    hm_mula_prefill(c, &m->work, &m->song);
    c->ops.sync(&c->ops);
    out->prefill_work = hm_session_work(c, (hm_work){0});
    hm_session_spin(c, start);
    hm_span_end(c->probe, HM_SPAN_PHASE, "prefill");
    int64_t prefilled = hm_now_ns();
    hm_call_timed(c, true);
    hm_span_begin(c->probe, HM_SPAN_PHASE, "generate", -1);
    if (audio)
        st = hm_codec_thread_start(&audio->thread, c, hm_t(c)->decode == HM_DECODE_OVERLAP, decode_piece, audio, err);
    if (!st)
        out->frames = draw_frames(e, m, out);
    hm_session_count_begin(c, &out->frame_counters);
    hm_heart_collect(e, &m->work, &m->song, out);
    c->ops.sync(&c->ops);
    hm_session_count_end(c, &out->frame_counters);
    out->generate_work = hm_session_work(c, out->prefill_work);
    hm_session_spin(c, prefilled);
    hm_span_end(c->probe, HM_SPAN_PHASE, "generate");
    out->generate_ns = hm_now_ns() - prefilled;
    out->prefill_ns = prefilled - start;
    return st ? st : hm_session_status(c, err);
}

static hm_status run_lm(hm_engine *e, struct making *m, hm_result *out, hm_error *err)
{
    hm_ctx *c = &e->ctx;
    const hm_mula_request *q = m->request;
    hm_status st = hm_session_result_open(e, m->r, out, err);
    if (!st)
        st = hm_mula_work_open(c, &m->work, &e->mula, 1, q->cfg_scale > 1.0, q->n, q->n + q->max_frames, err);
    if (!st)
        st = hm_mula_begin(c, &m->song, &e->mula, q, err);
    if (!st)
        st = draw_song(e, m, out, err);
    hm_mula_end(c, &m->song);
    hm_mula_work_close(c, &m->work);
    return st;
}

/* --- whole calls --- */

static hm_status make_song(hm_engine *e, const hm_mula_request *request, const hm_request *r, hm_result *out, hm_error *err)
{
    struct audio audio = {0};
    bool meanwhile = hm_heart_streams(&e->ctx, r);
    struct making m = {.r = r, .request = request, .audio = meanwhile ? &audio : NULL};
    float *pcm = NULL;
    hm_status st = meanwhile ? begin_stream(e, &audio, r, err) : r->skip_codec ? HM_OK : reserve_codec(e, r, &pcm, err);
    if (!st)
        st = run_lm(e, &m, out, err);
    if (!st)
        st = hm_session_check_result(out, err);
    if (meanwhile)
        return end_stream(e, &audio, out, st, err);
    if (!st && !r->skip_codec)
        return hm_heart_audio(e, r, pcm, out, err);
    free(pcm);
    return st;
}

hm_status hm_heart_generate(hm_engine *e, const hm_request *r, hm_result *out, hm_error *err)
{
    int64_t start = hm_now_ns();
    hm_heart_prompted p = {0};
    hm_session_begin_call(e, out);
    hm_status st = hm_session_stage(e, hm_heart_streams(&e->ctx, r) ? HM_STAGE_BOTH : HM_STAGE_LM, err);
    if (!st)
        st = hm_heart_prompted_open(e, r, &p, err);
    if (!st)
        st = make_song(e, &p.request, r, out, err);
    hm_heart_prompted_close(&p);
    return hm_session_end_call(e, start, out, st);
}

hm_status hm_heart_decode(hm_engine *e, const int32_t *codes, int frames, const hm_request *r, hm_result *out, hm_error *err)
{
    int64_t start = hm_now_ns();
    hm_session_begin_call(e, out);
    hm_status st = e->has_codec ? HM_OK : hm_fail(err, HM_EBUG, "decode: the engine was opened without a codec");
    out->frames = frames;
    if (!st)
        st = run_codec(e, codes, frames, r, NULL, out, err);
    return hm_session_end_call(e, start, out, st);
}
