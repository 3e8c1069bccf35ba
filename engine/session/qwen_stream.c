/* Audio of an utterance in pieces, while its frames are made. The decoder carries its state, so the bytes are those of one pass at the
 * end. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/time.h"
#include "engine/session/codec_thread.h"
#include "engine/session/qwen.h"

#define FIRST_FRAMES 3 /* a quarter of a second after the first frame there is sound */
#define NEXT_FRAMES 8  /* enough rows at a time for the products of the decoder */

struct hm_qwen_stream {
    hm_engine *e;
    const hm_audio_sink *sink;
    hm_speech_stream *decoder;
    hm_codec_thread *thread;
    int64_t rate;                  /* samples per frame */
    int groups, first, next, room; /* frames of pieces, and of the longest one */
    const int32_t *reference;      /* [reference_frames][groups], decoded as piece 0; NULL: none */
    int reference_frames;
    const int32_t *stored; /* what goes on instead of the drawn ones */
    int32_t *codes;        /* [max_frames][groups] as they go on */
    int known;             /* frames of them */
    int64_t ready;         /* pieces that the thread knows of */
    float *audio;          /* [max_frames*rate] */
    float *dropped;        /* [room*rate] */
};

bool hm_qwen_streams(const hm_ctx *c, const hm_request *r)
{
    return !r->skip_codec && (hm_t(c)->decode == HM_DECODE_OVERLAP || (hm_t(c)->decode == HM_DECODE_STREAM && r->sink));
}

void hm_qwen_pieces(const hm_request *r, int *first, int *next)
{
    *first = r->sink && r->sink->first_frames ? r->sink->first_frames : FIRST_FRAMES;
    *next = r->sink && r->sink->next_frames ? r->sink->next_frames : NEXT_FRAMES;
    *first = *first < r->max_frames ? *first : r->max_frames;
    *next = *next < r->max_frames ? *next : r->max_frames;
}

/* Pieces that are whole when `frames` frames are there, and the first frame of piece `piece`. */
static int64_t pieces_of(const hm_qwen_stream *s, int frames)
{
    int64_t before = s->reference != NULL;
    return frames < s->first ? before : before + 1 + (frames - s->first) / s->next;
}

static int64_t first_frame(const hm_qwen_stream *s, int64_t piece)
{
    int64_t i = piece - (s->reference != NULL);
    return i < 1 ? 0 : s->first + (i - 1) * s->next;
}

static void decode_reference(hm_qwen_stream *s, hm_ctx *c)
{
    for (int at = 0; at < s->reference_frames && !hm_ops_status(&c->ops); at += s->room) {
        int n = s->reference_frames - at < s->room ? s->reference_frames - at : s->room;
        hm_speech_stream_push(c, s->decoder, s->reference + (size_t)at * (size_t)s->groups, n, s->dropped);
    }
}

static void send_samples(hm_qwen_stream *s, hm_ctx *c, int64_t start, int64_t n)
{
    const float *pcm = s->audio + start;
    if (!s->sink || hm_ops_status(&c->ops))
        return;
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(pcm[i])) {
            hm_fail(&c->error, HM_EINVALID, "audio: sample %lld is not finite; the weights or a kernel are broken", (long long)(start + i));
            return;
        }
    if (s->sink->write(s->sink->self, pcm, 1, n, hm_now_ns()))
        hm_fail(&c->error, HM_EINTERRUPTED, "decode: interrupted after %lld samples were written", (long long)(start + n));
}

/* hm_codec_work: any piece but the last, whose end is that of the codes. */
static void decode_piece(void *self, hm_ctx *c, int64_t piece)
{
    hm_qwen_stream *s = self;
    hm_span_begin(c->probe, HM_SPAN_STEP, "piece", piece);
    if (s->reference && !piece)
        decode_reference(s, c);
    else {
        int64_t start = first_frame(s, piece), n = first_frame(s, piece + 1) - start;
        hm_speech_stream_push(c, s->decoder, s->codes + (size_t)start * (size_t)s->groups, (int)n, s->audio + start * s->rate);
        send_samples(s, c, start * s->rate, n * s->rate);
    }
    hm_span_end(c->probe, HM_SPAN_STEP, "piece");
}

hm_status hm_qwen_stream_open(hm_engine *e, hm_qwen_stream **out, const hm_request *r, const hm_qwen_prompt *p, hm_error *err)
{
    hm_qwen *q = e->qwen;
    hm_qwen_stream *s = hm_calloc(1, sizeof *s, "speech stream", err);
    if (!s)
        return HM_EABSENT;
    hm_qwen_pieces(r, &s->first, &s->next);
    s->e = e;
    s->sink = r->sink;
    s->rate = q->codec_shape.decode_rate;
    s->groups = (int)q->codec_shape.groups;
    s->room = s->first > s->next ? s->first : s->next;
    s->reference = p->reference_codes;
    s->reference_frames = p->request.reference_frames;
    s->stored = r->stored_codes;
    s->codes = hm_calloc((size_t)r->max_frames * (size_t)s->groups, sizeof *s->codes, "codes", err);
    s->audio = hm_calloc((size_t)r->max_frames * (size_t)s->rate, sizeof *s->audio, "audio", err);
    s->dropped = s->reference ? hm_calloc((size_t)s->room * (size_t)s->rate, sizeof *s->dropped, "audio", err) : NULL;
    hm_status st = s->codes && s->audio && (!s->reference || s->dropped) ? HM_OK : HM_EABSENT;
    if (!st)
        st = hm_speech_stream_open(&e->ctx, &s->decoder, q->codec, s->room, err);
    if (st) {
        hm_qwen_stream_close(&s);
        return st;
    }
    *out = s;
    return HM_OK;
}

hm_status hm_qwen_stream_start(hm_qwen_stream *s, hm_error *err)
{
    hm_ctx *c = &s->e->ctx;
    hm_status st = hm_codec_thread_start(&s->thread, c, hm_t(c)->decode == HM_DECODE_OVERLAP, decode_piece, s, err);
    s->ready = pieces_of(s, 0);
    if (!st && s->ready)
        hm_codec_thread_push(s->thread, s->ready);
    return st;
}

void hm_qwen_stream_frames(hm_qwen_stream *s, hm_utterance *u, int frames)
{
    int64_t ready = pieces_of(s, frames);
    size_t G = (size_t)s->groups, at = (size_t)s->known * G, n = (size_t)(frames - s->known) * G;
    if (ready <= s->ready)
        return;
    if (s->stored)
        memcpy(s->codes + at, s->stored + at, n * sizeof *s->codes);
    else
        hm_utterance_collect(&s->e->ctx, u, s->known, frames - s->known, s->codes + at, NULL);
    s->known = frames;
    s->ready = ready;
    hm_codec_thread_push(s->thread, ready);
}

/* Pieces that no thread took, and what is left over after whole ones. */
static void decode_rest(hm_qwen_stream *s, int64_t piece, int frames)
{
    hm_ctx *c = &s->e->ctx;
    int64_t start;
    for (; piece < pieces_of(s, frames) && !hm_ops_status(&c->ops); piece++) {
        decode_piece(s, c, piece);
        hm_progress(c, "decode", first_frame(s, piece + 1), frames);
    }
    start = first_frame(s, piece);
    if (start >= frames || hm_ops_status(&c->ops))
        return;
    hm_span_begin(c->probe, HM_SPAN_STEP, "piece", piece);
    hm_speech_stream_push(c, s->decoder, s->codes + (size_t)start * (size_t)s->groups, (int)(frames - start), s->audio + start * s->rate);
    send_samples(s, c, start * s->rate, (frames - start) * s->rate);
    hm_span_end(c->probe, HM_SPAN_STEP, "piece");
    hm_progress(c, "decode", frames, frames);
}

hm_status hm_qwen_stream_finish(hm_qwen_stream *s, hm_result *out, hm_status st, hm_error *err)
{
    hm_ctx *c = &s->e->ctx;
    int64_t start = hm_now_ns(), next = 0;
    size_t G = (size_t)s->groups, at = (size_t)s->known * G;
    hm_span_begin(c->probe, HM_SPAN_PHASE, "decode", -1);
    hm_codec_thread_finish(&s->thread, &next, &out->overlapped_ns);
    if (!st)
        st = hm_session_status(c, err);
    if (!st && out->frames) {
        memcpy(s->codes + at, (s->stored ? s->stored : out->codes) + at,
               (size_t)out->frames * G * sizeof *s->codes - at * sizeof *s->codes);
        decode_rest(s, next, out->frames);
        st = hm_session_status(c, err);
    }
    hm_session_spin(c, start);
    hm_span_end(c->probe, HM_SPAN_PHASE, "decode");
    out->decode_ns = hm_now_ns() - start;
    out->scratch_bytes += hm_speech_stream_bytes(s->decoder);
    if (st || !out->frames)
        return st;
    out->samples = out->frames * s->rate;
    out->audio = s->audio;
    s->audio = NULL;
    return HM_OK;
}

void hm_qwen_stream_close(hm_qwen_stream **stream)
{
    hm_qwen_stream *s = *stream;
    int64_t next, overlapped_ns;
    if (!s)
        return;
    hm_codec_thread_finish(&s->thread, &next, &overlapped_ns);
    hm_speech_stream_close(&s->e->ctx, &s->decoder);
    free(s->codes);
    free(s->audio);
    free(s->dropped);
    free(s);
    *stream = NULL;
}
