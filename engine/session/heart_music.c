/* A song from request to audio. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/base/time.h"
#include "engine/session/session.h"

int hm_heart_flow_steps(const hm_ctx *c)
{
    switch (hm_t(c)->flow_steps) {
    case HM_STEPS_50:
        return 50;
    case HM_STEPS_20:
        return 20;
    case HM_STEPS_5:
        return 5;
    case HM_STEPS_2:
        return 2;
    case HM_STEPS_1:
        return 1;
    default:
        return 10;
    }
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

/* --- language model --- */

/* Frames until the end-of-song rule or the cap. */
static int draw_frames(hm_engine *e, hm_mula_song *song, const hm_request *r, bool *ended)
{
    hm_ctx *c = &e->ctx;
    int frames = 0;
    *ended = false;
    for (int f = 0; f < r->max_frames; f++) {
        bool end = false;
        hm_progress(c, "generate", f, r->max_frames);
        if (hm_ops_status(&c->ops))
            break;
        hm_span_begin(c->probe, HM_SPAN_STEP, "frame", f);
        if (f)
            hm_mula_advance(c, song, f - 1);
        hm_mula_frame(c, song, f, &end);
        hm_span_end(c->probe, HM_SPAN_STEP, "frame");
        if (hm_ops_status(&c->ops))
            break;
        if (end && !r->force_length) {
            *ended = true;
            break;
        }
        frames = f + 1;
    }
    return frames;
}

static hm_status run_lm(hm_engine *e, const hm_mula_request *request, const hm_request *r, hm_result *out, hm_error *err)
{
    hm_ctx *c = &e->ctx;
    hm_mula_song song;
    size_t n = (size_t)r->max_frames * (size_t)e->mula.config.codebooks;
    out->codes = hm_calloc(n, sizeof *out->codes, "codes", err);
    out->logits = hm_calloc(n, sizeof *out->logits, "logits", err);
    if (!out->codes || !out->logits)
        return HM_EABSENT;
    hm_status st = hm_mula_begin(c, &song, &e->mula, request, err);
    if (st)
        return st;

    int64_t start = hm_now_ns();
    hm_span_begin(c->probe, HM_SPAN_PHASE, "prefill", -1);
    hm_mula_prefill(c, &song);
    c->ops.sync(&c->ops);
    hm_span_end(c->probe, HM_SPAN_PHASE, "prefill");
    int64_t prefilled = hm_now_ns();
    hm_span_begin(c->probe, HM_SPAN_PHASE, "generate", -1);
    out->frames = draw_frames(e, &song, r, &out->ended);
    hm_mula_collect(c, &song, out->frames, out->codes, out->logits);
    c->ops.sync(&c->ops);
    hm_span_end(c->probe, HM_SPAN_PHASE, "generate");
    out->generate_ns = hm_now_ns() - prefilled;
    out->prefill_ns = prefilled - start;

    out->scratch_bytes = song.scratch_bytes;
    for (int p = 0; p < song.passes; p++)
        out->kv_bytes += song.backbone_kv[p].peak_bytes + song.decoder_kv[p].peak_bytes;
    out->frame_weight_bytes = hm_mula_frame_bytes(&e->mula);
    out->frame_flops = hm_mula_frame_flops(&e->mula.config, song.rows, request->n + out->frames / 2);
    hm_mula_end(c, &song);
    return hm_session_status(c, err);
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

static hm_status run_codec(hm_engine *e, const int32_t *codes, int frames, const hm_request *r, hm_result *out, hm_error *err)
{
    hm_ctx *c = &e->ctx;
    hm_detok d;
    struct noise noise = {r->seed};
    hm_detok_request request = {.codes = codes,
                                .frames = frames,
                                .duration_s = HM_SEGMENT_SECONDS,
                                .steps = r->music.flow_steps ? r->music.flow_steps : hm_heart_flow_steps(c),
                                .guidance = (float)r->music.flow_guidance,
                                .tiled = hm_t(c)->codec_len == HM_CODEC_TILED,
                                .lose_tail = hm_t(c)->tail == HM_TAIL_LOST,
                                .noise = {&noise, philox_noise}};
    int64_t start = hm_now_ns();
    hm_span_begin(c->probe, HM_SPAN_PHASE, "decode", -1);
    hm_status st = hm_detok_begin(c, &d, &e->codec, &request, err);
    if (!st) {
        for (int k = 0; k < d.plan.segments && !hm_ops_status(&c->ops); k++)
            hm_detok_segment(c, &d, k);
        st = hm_session_status(c, err);
        out->channels = 2;
        out->samples = d.samples;
        out->sample_rate_hz = (int)e->codec.shape.sample_rate;
        if (d.samples < d.plan.target) /* the lost tail: channels move together */
            memmove(d.audio + d.samples, d.audio + d.plan.target, (size_t)d.samples * sizeof *d.audio);
        out->audio = d.audio;
        d.audio = NULL;
        out->scratch_bytes = d.scratch_bytes > out->scratch_bytes ? d.scratch_bytes : out->scratch_bytes;
        hm_detok_end(c, &d);
    }
    hm_span_end(c->probe, HM_SPAN_PHASE, "decode");
    out->decode_ns = hm_now_ns() - start;
    for (int64_t i = 0; !st && i < out->samples * out->channels; i++)
        out->non_finite += !isfinite(out->audio[i]);
    if (!st)
        st = hm_session_check_result(out, err);
    return st;
}

/* --- whole calls --- */

hm_status hm_heart_generate(hm_engine *e, const hm_request *r, hm_result *out, hm_error *err)
{
    int64_t start = hm_now_ns();
    int32_t *ids = NULL;
    hm_mula_request request = {.max_frames = r->max_frames, .cfg_scale = r->music.cfg_scale, .topk = r->topk, .temperature = (float)r->temperature,
                               .seed = r->seed, .stored = r->stored_codes};
    hm_session_begin_call(e, out);
    hm_status st = validate(e, r, err);
    if (!st)
        st = hm_heart_prompt(e, r, &ids, &request.n, &request.slot, err);
    request.text_ids = ids;
    out->prompt_tokens = request.n;
    if (!st)
        st = run_lm(e, &request, r, out, err);
    free(ids);
    if (!st)
        st = hm_session_check_result(out, err);
    if (!st && !r->skip_codec && out->frames) /* what goes on to the codec: the stored codes, where there are some */
        st = run_codec(e, r->stored_codes ? r->stored_codes : out->codes, out->frames, r, out, err);
    return hm_session_end_call(e, start, out, st);
}

hm_status hm_heart_decode(hm_engine *e, const int32_t *codes, int frames, const hm_request *r, hm_result *out, hm_error *err)
{
    int64_t start = hm_now_ns();
    hm_session_begin_call(e, out);
    hm_status st = e->has_codec ? HM_OK : hm_fail(err, HM_EBUG, "decode: the engine was opened without a codec");
    out->frames = frames;
    if (!st)
        st = run_codec(e, codes, frames, r, out, err);
    return hm_session_end_call(e, start, out, st);
}
