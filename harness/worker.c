#define _GNU_SOURCE
#include "harness/worker.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/time.h"
#include "harness/case.h"
#include "harness/device_trace.h"
#include "harness/device_watch.h"
#include "harness/engine_open.h"
#include "harness/health.h"
#include "harness/logits.h"
#include "harness/machine.h"
#include "harness/phase_memory.h"
#include "harness/places.h"
#include "harness/player.h"
#include "harness/probe.h"
#include "harness/process.h"
#include "harness/progress.h"
#include "harness/protocol.h"
#include "harness/recording.h"
#include "harness/watch.h"

enum {
    WARMUP_FRAMES = 4,
    PROGRESS_INTERVAL_NS = 200000000,
    DEVICE_COMMANDS = 1 << 20 /* of an untimed run that are looked at */
};

typedef struct worker {
    FILE *in;
    int out;
    bool broken;    /* nobody reads our answers */
    hm_probe inner; /* progress and phases, behind the recorder */
    hm_probe song;  /* progress alone: the phases of music that is transcribed are told apart */
    hm_recorder *recorder;
    hm_engine_opened opened;
    hm_singer singer;                                        /* of music that is transcribed */
    char variant[HM_VARIANT_SPEC], isa[16], device_name[48]; /* of the last open: its own choice of engine */
    bool is_open, skip_codec, encoders;
    char real_path[PATH_MAX];  /* of the model */
    char real_packs[PATH_MAX]; /* of packed weights; "": none */
    int64_t progress_ns;       /* when the last one was sent */
    int64_t call_ns;           /* when the last call began */
    hm_watch watch;
    hm_device_watch *device; /* NULL: no GPU */
    hm_phase_memory memory;
    hm_sample sample;
} worker;

/* One line; takes the reference. */
static void answer(worker *w, json_t *message)
{
    char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
    const char *line = text ? text : "{\"type\":\"error\",\"code\":70,\"text\":\"worker: an answer could not be put into JSON\"}";
    size_t size = strlen(line), done = 0;
    json_decref(message);
    while (done <= size && !w->broken) {
        ssize_t n = done < size ? write(w->out, line + done, size - done) : write(w->out, "\n", 1);
        if (n > 0)
            done += (size_t)n;
        else if (errno != EINTR)
            w->broken = true;
    }
    free(text);
}

static void answer_error(worker *w, const hm_error *err)
{
    answer(w, hm_proto_error(err));
}

static int on_progress(void *self, const char *phase, int64_t done, int64_t total)
{
    worker *w = self;
    int64_t now = hm_clock_now(hm_clock_real());
    hm_watch_update(&w->watch, now);
    if (now - w->progress_ns >= PROGRESS_INTERVAL_NS) {
        w->progress_ns = now;
        answer(w,
               json_pack("{s:s, s:s, s:I, s:I}", "type", "progress", "phase", phase, "done", (json_int_t)done, "total", (json_int_t)total));
    }
    return w->broken || hm_interrupted();
}

static void on_phase_begin(void *self, hm_span_kind kind, const char *name, int64_t index)
{
    (void)kind, (void)index;
    hm_phase_memory_begin(&((worker *)self)->memory, name);
}

static void on_phase_end(void *self, hm_span_kind kind, const char *name)
{
    (void)kind;
    hm_phase_memory_end(&((worker *)self)->memory, name);
}

static void close_engine(worker *w)
{
    hm_device_watch_close(&w->device);
    hm_singer_close(&w->singer);
    if (w->is_open)
        hm_engine_close_chosen(&w->opened);
    w->is_open = false;
}

static hm_engine_choice choice_of(worker *w, const hm_open_order *order)
{
    return (hm_engine_choice){.variant = order->variant,
                              .model = order->model,
                              .backend = order->backend,
                              .isa = order->isa,
                              .device = order->device,
                              .timestamps = order->timestamps,
                              .threads = order->threads,
                              .need_lm = true,
                              .need_codec = !order->skip_codec,
                              .need_encoders = order->encoders,
                              .probe = hm_recorder_probe(w->recorder),
                              .log = hm_log_stderr(false)};
}

/* A recorder that keeps a device's commands, too. */
static hm_status record_device(worker *w, hm_error *err)
{
    hm_recorder_options options = {
        .inner = &w->inner, .kinds = HM_SPAN_PHASE | HM_SPAN_STEP | HM_SPAN_PART | HM_SPAN_DEVICE, .device_capacity = DEVICE_COMMANDS};
    hm_recorder_close(&w->recorder);
    return hm_recorder_open(&w->recorder, &options, err);
}

/* A start that had to pack weights is no start as the next ones are: the engine is opened once more before anything is timed. */
static hm_status open_engine(worker *w, const hm_open_order *order, hm_error *err)
{
    hm_status st = order->timestamps ? record_device(w, err) : HM_OK;
    if (st)
        return st;
    hm_engine_choice choice = choice_of(w, order);
    st = hm_engine_open_chosen(&w->opened, &choice, err);
    if (st || !w->opened.facts->load_counters.packed_bytes)
        return st;
    hm_engine_close_chosen(&w->opened);
    hm_recorder_clear(w->recorder);
    hm_phase_memory_open(&w->memory, "/");
    return hm_engine_open_chosen(&w->opened, &choice, err);
}

static hm_status on_open(worker *w, const json_t *message, hm_error *err)
{
    char packs[HM_MODEL_PATH];
    hm_open_order order;
    hm_opened said = {.stored_codes = true};
    hm_status st = hm_proto_read_open(message, &order, err);
    if (st)
        return st;
    close_engine(w);
    st = open_engine(w, &order, err);
    if (st)
        return st;
    w->is_open = true;
    st = hm_device_watch_open(&w->device, order.backend, order.device, err);
    if (st)
        return st;
    w->skip_codec = order.skip_codec;
    w->encoders = order.encoders;
    snprintf(w->variant, sizeof w->variant, "%s", order.variant);
    snprintf(w->isa, sizeof w->isa, "%s", order.isa ? order.isa : "");
    snprintf(w->device_name, sizeof w->device_name, "%s", order.device ? order.device : "");
    if (!realpath(w->opened.path, w->real_path))
        snprintf(w->real_path, sizeof w->real_path, "%s", w->opened.path);
    if (hm_cache_packs(packs, sizeof packs, NULL) || !realpath(packs, w->real_packs))
        w->real_packs[0] = 0;
    const hm_engine_facts *f = w->opened.facts;
    said.model = (hm_model_record){.synthetic = f->synthetic || w->opened.synthetic,
                                   .codebooks = f->codebooks,
                                   .code_vocabulary = f->code_vocabulary,
                                   .sample_rate_hz = f->sample_rate_hz,
                                   .channels = f->channels,
                                   .max_positions = f->max_positions,
                                   .frame_s = f->frame_seconds};
    snprintf(said.model.id, sizeof said.model.id, "%s", f->fingerprint);
    snprintf(said.model.kind, sizeof said.model.kind, "%s", f->model);
    snprintf(said.model.speech_kind, sizeof said.model.speech_kind, "%s", f->kind);
    snprintf(said.model.size, sizeof said.model.size, "%s", f->size);
    snprintf(said.backend, sizeof said.backend, "%s", f->backend);
    snprintf(said.isa, sizeof said.isa, "%s", f->isa);
    snprintf(said.device, sizeof said.device, "%s", f->device);
    snprintf(said.device_uuid, sizeof said.device_uuid, "%s", f->device_uuid ? f->device_uuid : "");
    snprintf(said.device_driver, sizeof said.device_driver, "%s", f->driver ? f->driver : "");
    said.device_memory_bytes = (int64_t)f->device_memory_bytes;
    said.software = f->software;
    snprintf(said.variant, sizeof said.variant, "%s", order.variant);
    said.threads = f->threads;
    said.load_ns = f->load_ns;
    answer(w, hm_proto_opened(&said));
    return HM_OK;
}

static hm_request request_of(const hm_run_order *order)
{
    hm_request r = hm_case_request(&order->c);
    r.stored_codes = order->codes && order->c.beams <= 1 ? order->codes->codes : NULL; /* several beams follow what they find */
    r.stored_frames = r.stored_codes ? order->codes->frames : 0;
    r.skip_codec = order->skip_codec || r.task == HM_TASK_TRANSCRIPT;
    return r;
}

/* What sings is there for as long as what listens. */
static hm_status add_singer(const hm_engine_choice *listener, const hm_case_record *c, const hm_module *module, hm_memory_estimate *sum,
                            hm_error *err)
{
    char path[HM_MODEL_PATH];
    hm_memory_estimate e = {0};
    hm_engine_choice choice = *listener;
    choice.need_codec = true;
    hm_status st = hm_model_resolve(c->music_model, path, NULL, err);
    if (st)
        return st;
    hm_engine_options options = hm_engine_options_of(&choice, module, path);
    hm_request song = hm_case_song(c);
    st = hm_module_api(module)->estimate(&options, &song, &e, err);
    sum->total_bytes += e.total_bytes;
    sum->weights_bytes += e.weights_bytes;
    sum->mapped_bytes += e.mapped_bytes;
    sum->kv_bytes += e.kv_bytes;
    sum->scratch_bytes += e.scratch_bytes;
    sum->codec_bytes += e.codec_bytes;
    return st;
}

/* From the shapes alone: nothing is loaded. */
static hm_status on_estimate(worker *w, const json_t *message, hm_error *err)
{
    hm_open_order order;
    hm_run_order run = {0};
    hm_module *module = NULL;
    hm_memory_estimate e = {0};
    hm_status st = hm_proto_read_open(message, &order, err);
    if (!st)
        st = hm_proto_read_case(message, &run.c, err);
    if (!st)
        st = hm_module_open(&module, order.variant, err);
    if (st)
        return st;
    hm_engine_choice choice = choice_of(w, &order);
    hm_engine_options options = hm_engine_options_of(&choice, module, order.model);
    run.skip_codec = order.skip_codec;
    hm_request request = request_of(&run);
    st = hm_module_api(module)->estimate(&options, &request, &e, err);
    if (!st && hm_case_is_sung(&run.c))
        st = add_singer(&choice, &run.c, module, &e, err);
    hm_module_close(&module);
    if (!st)
        answer(w,
               json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "type", "estimate", "total_bytes", (json_int_t)e.total_bytes,
                         "weights_bytes", (json_int_t)e.weights_bytes, "mapped_bytes", (json_int_t)e.mapped_bytes, "kv_bytes",
                         (json_int_t)e.kv_bytes, "scratch_bytes", (json_int_t)e.scratch_bytes, "codec_bytes", (json_int_t)e.codec_bytes));
    return st;
}

static void add_counts(hm_sample *s, const hm_counters *counters, bool load)
{
    const uint64_t *values = (const uint64_t *)counters;
    for (int i = 0; i < HM_COUNTER_COUNT; i++) {
        if (load && !values[i])
            continue;
        hm_named_count *c = &s->counts[s->count_count++];
        snprintf(c->name, sizeof c->name, "%s", hm_counter_name(i));
        c->load = load;
        c->value = (int64_t)values[i];
    }
}

/* What goes between host and device while frames are drawn: hm_counters by the name. */
static void add_frame_counts(hm_sample *s, const hm_counters *counters)
{
    static const char *const names[] = {"launches",
                                        "replayed_launches",
                                        "recorded_frames",
                                        "device_waits",
                                        "to_host_transfers",
                                        "to_host_bytes",
                                        "to_device_transfers",
                                        "to_device_bytes",
                                        NULL};
    const uint64_t *values = (const uint64_t *)counters;
    for (int i = 0; i < HM_COUNTER_COUNT; i++) {
        int k = 0;
        while (names[k] && strcmp(names[k], hm_counter_name(i)))
            k++;
        if (!names[k])
            continue;
        hm_named_count *c = &s->counts[s->count_count++];
        *c = (hm_named_count){.value = (int64_t)values[i]};
        snprintf(c->name, sizeof c->name, HM_FRAMES "%s", names[k]);
    }
}

static void fill_audio(hm_sample *s, const hm_audio_facts *a)
{
    s->audio_s = a->duration_s;
    s->sample_rate_hz = a->rate_hz;
    s->channels = a->channels;
    s->bits = a->bits;
    s->bit_rate_kbps = a->bit_rate_kbps;
    snprintf(s->codec, sizeof s->codec, "%s", a->codec);
    s->peak = a->peak;
    s->rms = a->rms;
    s->dc = a->dc;
    s->silence_share = a->silence_share;
    s->clipped_share = a->clipped_share;
    s->non_finite = a->non_finite;
    s->constant = a->constant;
}

/* What a player of the streamed audio would have met. */
static void fill_stream(hm_sample *s, const hm_player *p)
{
    s->pieces = p->chunks;
    if (!p->chunks)
        return;
    s->ttfa_raw_ns = p->ttfa_raw_ns;
    s->ttfa_ns = p->ttfa_ns < 0 ? HM_UNKNOWN : p->ttfa_ns;
    s->stalls = p->stalls;
    s->stall_max_ns = p->stall_max_ns;
    s->stall_total_ns = p->stall_total_ns;
    s->buffer_ns = p->buffer_ns;
}

/* A listener to streamed audio. Sums tell whether the pieces are the whole: of the bits of each sample times an odd number of its place. */
typedef struct listener {
    hm_player player;
    int rate_hz;
    uint64_t sums[HM_AUDIO_MAX_CHANNELS];
    int64_t seams[HM_SEAMS]; /* where pieces begin, the first one left out */
    int seam_count;
} listener;

static uint64_t bits_sum(const float *x, int64_t first, int64_t n)
{
    uint64_t sum = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        sum += bits * (2 * (uint64_t)(first + i) + 1);
    }
    return sum;
}

static int on_audio(void *self, const float *pcm, int channels, int64_t samples, int64_t at_ns)
{
    listener *l = self;
    int64_t before = l->player.samples;
    for (int c = 0; c < channels && c < HM_AUDIO_MAX_CHANNELS; c++)
        l->sums[c] += bits_sum(pcm + c * samples, before, samples);
    if (before && l->seam_count < HM_SEAMS)
        l->seams[l->seam_count++] = before;
    hm_player_chunk(&l->player, at_ns, samples, l->rate_hz, l->player.ttfa_ns >= 0 || hm_player_silent(pcm, channels, samples));
    return 0;
}

static bool pieces_differ(const listener *l, const hm_result *r)
{
    for (int c = 0; r->audio && c < r->channels && c < HM_AUDIO_MAX_CHANNELS; c++)
        if (bits_sum(r->audio + c * r->samples, 0, r->samples) != l->sums[c])
            return true;
    return false;
}

/* How it sounds and whether that can be right. ear: of a stream, or NULL. */
static void fill_health(worker *w, const hm_request *request, const hm_result *r, const hm_audio_facts *audio, const listener *ear)
{
    hm_sample *s = &w->sample;
    hm_health health;
    hm_sound sound;
    hm_sound_measure(&sound, r->audio, r->channels, r->samples, r->sample_rate_hz);
    s->zero_crossings = sound.zero_crossings;
    s->flatness = sound.flatness;
    s->level_drift_db = sound.level_drift_db;
    s->centroid_drift = sound.centroid_drift;
    if (r->audio) {
        double joined = hm_sound_seam_db(r->audio, r->channels, r->samples, r->sample_rate_hz, r->seams, r->seam_count), piecewise = NAN;
        if (ear)
            piecewise = hm_sound_seam_db(r->audio, r->channels, r->samples, r->sample_rate_hz, ear->seams, ear->seam_count);
        s->seam_db = joined >= piecewise || isnan(piecewise) ? joined : piecewise;
    }
    hm_health_case what = {.result = r,
                           .request = request,
                           .facts = audio,
                           .sound = audio ? &sound : NULL,
                           .frame_seconds = w->opened.facts->frame_seconds,
                           .synthetic = w->opened.facts->synthetic || w->opened.synthetic};
    if (ear && ear->player.chunks) {
        what.pieces = ear->player.chunks;
        what.piece_samples = ear->player.samples;
        what.pieces_differ = pieces_differ(ear, r);
    }
    hm_health_judge(&health, &what);
    snprintf(s->health, sizeof s->health, "%s", hm_verdict_name(health.verdict));
    hm_health_text(&health, s->health_reasons, sizeof s->health_reasons);
}

static void fill_parts(hm_sample *s, const hm_parts *parts)
{
    _Static_assert(HM_PARTS <= HM_SAMPLE_PARTS, "a sample has room for all parts");
    for (int i = 0; i < parts->count; i++) {
        const hm_part_weights *from = &parts->items[i];
        hm_sample_part *p = &s->parts[s->part_count++];
        *p = (hm_sample_part){.pass_bytes = (int64_t)from->pass_bytes,
                              .distinct_bytes = (int64_t)from->distinct_bytes,
                              .frame_passes = from->frame_passes > 0 ? from->frame_passes : NAN};
        snprintf(p->part, sizeof p->part, "%s", from->part);
        snprintf(p->span, sizeof p->span, "%s", from->span);
        snprintf(p->format, sizeof p->format, "%s", from->format);
    }
}

/* Within generate, when all its commands are known. That of a transcript is in pieces, between those of its encoder. */
static void fill_device_busy(worker *w, const hm_result *r)
{
    size_t n;
    int64_t busy_ns, from_ns = w->call_ns + r->prefill_ns;
    const hm_device_span *spans = hm_recorder_device_spans(w->recorder, &n);
    if (n && !r->windows && !hm_recorder_dropped(w->recorder) &&
        !hm_device_busy(spans, n, from_ns, from_ns + r->generate_ns, &busy_ns, NULL))
        w->sample.device_busy_ns = busy_ns;
}

static void fill_transcript(hm_sample *s, const hm_result *r, const hm_recording *heard)
{
    s->audio_s = (double)heard->count / HM_TRANSCRIPT_RATE;
    s->audio_ns = heard->audio_ns;
    s->music_ns = heard->frames ? heard->music_ns : HM_UNKNOWN;
    s->mel_ns = r->mel_ns;
    s->encode_ns = r->encode_ns;
    s->windows = r->window_count;
    s->frame_kv_bytes = (int64_t)r->frame_kv_bytes;
    s->wall_ns += heard->audio_ns + heard->music_ns;
    if (!heard->frames)
        return;
    const struct {
        const char *name;
        int64_t ns;
    } phases[] = {{"music", heard->music_ns},
                  {"music/prefill", heard->prefill_ns},
                  {"music/generate", heard->generate_ns},
                  {"music/decode", heard->decode_ns}};
    for (int i = 0; i < 4 && s->span_count < (int)(sizeof s->spans / sizeof *s->spans); i++) {
        hm_span_total *span = &s->spans[s->span_count++];
        *span = (hm_span_total){.count = 1, .total_ns = phases[i].ns, .self_ns = phases[i].ns};
        if (i == 0)
            span->self_ns = heard->music_ns - heard->prefill_ns - heard->generate_ns - heard->decode_ns;
        snprintf(span->name, sizeof span->name, "%s", phases[i].name);
    }
}

static void fill_sample(worker *w, const hm_request *request, const hm_result *r, const hm_audio_facts *audio)
{
    hm_sample *s = &w->sample;
    const hm_engine_facts *f = w->opened.facts;
    size_t bytes = (size_t)r->frames * (size_t)r->codebooks * 4;
    s->load_ns = f->load_ns;
    s->prefill_ns = r->prefill_ns;
    s->generate_ns = r->generate_ns;
    s->decode_ns = r->decode_ns;
    s->frames = r->frames;
    s->codebooks = r->codebooks;
    s->prompt_tokens = r->prompt_tokens;
    s->ended = r->ended;
    s->fed_codes = request->stored_codes != NULL;
    s->held_weight_bytes = (int64_t)r->weight_bytes;
    s->kv_bytes = (int64_t)r->kv_bytes;
    s->scratch_bytes = (int64_t)r->scratch_bytes;
    s->frame_weight_bytes = (int64_t)r->frame_weight_bytes;
    s->distinct_weight_bytes = (int64_t)r->distinct_weight_bytes;
    s->frame_flops = r->frame_flops;
    s->prefill_flops = r->prefill_work.flops ? (int64_t)r->prefill_work.flops : HM_UNKNOWN;
    s->prefill_weight_bytes = r->prefill_work.weight_bytes ? (int64_t)r->prefill_work.weight_bytes : HM_UNKNOWN;
    s->overlapped_ns = r->overlapped_ns;
    s->reference_ns = request->speech.reference ? r->reference_ns : HM_UNKNOWN;
    s->codec_frame_flops = r->codec_frame_flops > 0 ? r->codec_frame_flops : NAN;
    s->codec_bytes = r->codec_bytes ? (int64_t)r->codec_bytes : HM_UNKNOWN;
    hm_memory_of_self(w->real_path, w->real_packs, &s->peak_rss_bytes, &s->mapped_bytes);
    hm_phase_memory_fill(&w->memory, s->mapped_bytes, s);
    if (s->peak_rss_bytes != HM_UNKNOWN && s->mapped_bytes != HM_UNKNOWN)
        s->peak_unmapped_bytes = s->peak_rss_bytes > s->mapped_bytes ? s->peak_rss_bytes - s->mapped_bytes : 0;
    hm_hash_text(s->codes_hash, r->codes, bytes);
    if (r->logits)
        hm_hash_text(s->logits_hash, r->logits, bytes);
    if (r->audio)
        hm_hash_text(s->audio_hash, r->audio, (size_t)r->channels * (size_t)r->samples * sizeof *r->audio);
    if (audio)
        fill_audio(s, audio);
    snprintf(s->device, sizeof s->device, "%s", f->device);
    hm_places_text(s->places, sizeof s->places, r->places, r->place_count);
    int spans = hm_recorder_totals(w->recorder, s->spans, (int)(sizeof s->spans / sizeof *s->spans));
    s->span_count = spans < (int)(sizeof s->spans / sizeof *s->spans) ? spans : (int)(sizeof s->spans / sizeof *s->spans);
    s->frame_time_count = hm_recorder_frame_times(w->recorder, s->frame_times);
    fill_parts(s, &r->parts);
    fill_device_busy(w, r);
    add_counts(s, &r->counters, false);
    add_counts(s, &f->load_counters, true);
    if (r->frames)
        add_frame_counts(s, &r->frame_counters);
}

/* What the shapes alone say of this generation, its prompt being known by now. Unknown when they say nothing. */
static void fill_prediction(worker *w, const hm_request *request)
{
    hm_sample *s = &w->sample;
    hm_memory_estimate e;
    hm_error err;
    const hm_engine_facts *f = w->opened.facts;
    hm_engine_choice choice = {.backend = f->backend,
                               .isa = f->isa,
                               .threads = f->threads,
                               .need_lm = true,
                               .need_codec = !w->skip_codec,
                               .need_encoders = w->encoders};
    hm_engine_options options = hm_engine_options_of(&choice, w->opened.module, w->opened.path);
    hm_request known = *request;
    known.prompt_rows = (int)s->prompt_tokens;
    if (w->opened.api->estimate(&options, &known, &e, &err))
        return;
    s->predicted_weight_bytes = (int64_t)e.weights_bytes;
    s->predicted_kv_bytes = (int64_t)e.kv_bytes;
    s->predicted_scratch_bytes = (int64_t)e.scratch_bytes;
    s->predicted_codec_bytes = (int64_t)e.codec_bytes;
    s->predicted_total_bytes = (int64_t)e.total_bytes;
}

/* Codes, audio and logits are of the last timed generation. */
typedef enum turn_part {
    WARMUP,
    TIMED,
    LAST
} turn_part;

/* Adds what is resident without the result; takes the reference. */
static json_t *with_memory_after(const worker *w, json_t *message)
{
    int64_t rss = hm_resident_bytes("/"), mapped = w->sample.mapped_bytes;
    if (message && rss != HM_UNKNOWN && mapped != HM_UNKNOWN)
        json_object_set_new(message, "rss_after_bytes", json_integer(rss > mapped ? rss - mapped : 0));
    return message;
}

/* What is to be written down; of a warm-up no more than the windows that lie side by side. */
static hm_status listen(worker *w, hm_request *request, hm_recording *heard, turn_part part, const hm_run_order *order, hm_error *err)
{
    const hm_engine_facts *f = w->opened.facts;
    bool first = part == WARMUP && !strcmp(order->warmup, "first");
    const hm_engine_choice choice = {.variant = w->variant,
                                     .backend = f->backend,
                                     .isa = w->isa[0] ? w->isa : NULL,
                                     .device = w->device_name[0] ? w->device_name : NULL,
                                     .threads = f->threads,
                                     .need_lm = true,
                                     .probe = &w->song,
                                     .log = hm_log_stderr(false)};
    hm_status st = hm_case_is_sung(&order->c) ? hm_singer_open(&w->singer, &choice, order->c.music_model, err) : HM_OK;
    if (!st)
        st = hm_recording_open(heard, &order->c, &w->singer, first, err);
    if (st)
        return st;
    const hm_transcript_input *in = &request->transcript;
    double beside_s = in->chunk_s > 0 ? in->chunk_s + (in->batch - 1) * in->chunk_s * 2 / 3 : HM_TRANSCRIPT_WINDOW_S;
    int64_t most = llrint(beside_s * HM_TRANSCRIPT_RATE);
    request->transcript.audio = heard->samples;
    request->transcript.samples = first && heard->count > most ? most : heard->count;
    return HM_OK;
}

/* One generation and its answer. */
static hm_status run_once(worker *w, const hm_request *asked, turn_part part, const hm_run_order *order, hm_error *err)
{
    hm_result r = {0};
    hm_audio_facts facts, *audio = NULL;
    listener ear = {.rate_hz = w->opened.facts->sample_rate_hz};
    hm_audio_sink sink = {.self = &ear, .write = on_audio};
    hm_request with_sink = *asked, *request = &with_sink;
    hm_logits_writer *logits = NULL;
    hm_recording heard = {0};
    with_sink.sink = order->stream && !asked->skip_codec ? &sink : NULL;
    hm_status st = order->logits && part == LAST ? hm_logits_open(&logits, order->logits, order->logit_frames, err) : HM_OK;
    if (st)
        return st;
    with_sink.logits = logits ? hm_logits_sink(logits) : NULL;
    hm_recorder_clear(w->recorder);
    hm_phase_memory_clear(&w->memory);
    hm_sample_init(&w->sample);
    hm_watch_start(&w->watch);
    hm_device_watch_start(w->device);
    hm_player_init(&ear.player, hm_clock_now(hm_clock_real()));
    if (asked->task == HM_TASK_TRANSCRIPT)
        st = listen(w, &with_sink, &heard, part, order, err);
    w->call_ns = hm_now_ns();
    if (!st)
        st = w->opened.api->generate(w->opened.engine, request, &r, err);
    w->sample.wall_ns = r.wall_ns;
    hm_watch_fill(&w->watch, &w->sample);
    hm_device_watch_stop(w->device);
    hm_device_watch_fill(w->device, &w->sample);
    hm_status closed = hm_logits_close(&logits, !st, st ? NULL : err);
    st = st ? st : closed;
    if (!st && r.audio) {
        hm_audio_measure(&facts, r.audio, r.channels, r.samples, r.sample_rate_hz);
        audio = &facts;
    }
    if (!st) /* memory is read before anything else is allocated */
        fill_sample(w, request, &r, audio);
    if (!st && asked->task == HM_TASK_TRANSCRIPT)
        fill_transcript(&w->sample, &r, &heard);
    if (!st && part != WARMUP)
        fill_prediction(w, request);
    if (!st)
        fill_health(w, request, &r, audio, request->sink ? &ear : NULL);
    if (!st && request->sink)
        fill_stream(&w->sample, &ear.player);
    if (!st && order->audio && r.audio && part == LAST) {
        st = hm_audio_write(order->audio, r.audio, r.channels, r.samples, r.sample_rate_hz, err);
        if (!st)
            st = hm_audio_file_facts(&facts, order->audio, err);
        if (!st)
            fill_audio(&w->sample, &facts);
    }
    json_t *message = NULL;
    if (!st) {
        hm_stored_codes codes = {.frames = r.frames, .codebooks = r.codebooks, .codes = r.codes, .logits = r.logits};
        w->sample.warmup = part == WARMUP;
        message = hm_proto_sample(&w->sample, order->want_codes && part == LAST ? &codes : NULL);
    }
    w->opened.api->result_free(&r);
    hm_recording_close(&heard);
    if (!st)
        answer(w, with_memory_after(w, message));
    return st;
}

static hm_status check_order(const worker *w, const hm_run_order *order, hm_error *err)
{
    if (!w->is_open)
        return hm_fail(err, HM_EUSAGE, "worker: \"run\" before \"open\"");
    const hm_engine_facts *f = w->opened.facts;
    if (strcmp(order->c.task, "music") && strcmp(order->c.task, "speech") && strcmp(order->c.task, "transcript"))
        return hm_fail(err, HM_EUSAGE, "worker: task \"%.40s\": expected music, speech or transcript", order->c.task);
    if (hm_case_task(&order->c) != f->task)
        return hm_fail(err, HM_EUSAGE, "worker: the case asks for %s, the model (%s) makes %s", order->c.task, f->model,
                       hm_task_name(f->task));
    if (f->task == HM_TASK_SPEECH && strcmp(order->c.kind, f->kind))
        return hm_fail(err, HM_EUSAGE, "worker: the case takes a model of kind %.40s, this one is %s", order->c.kind, f->kind);
    if (!hm_case_takes(&order->c, order->c.frames))
        return hm_fail(err, HM_EUSAGE, "worker: %d tokens, where %d windows have %d each", order->c.frames,
                       hm_suite_windows(order->c.audio_s, order->c.chunk_s), order->c.window_tokens);
    if (order->codes && order->codes->codebooks != f->codebooks)
        return hm_fail(err, HM_EUSAGE, "worker: codes for %d codebooks, this model has %d", order->codes->codebooks, f->codebooks);
    if (order->skip_codec != w->skip_codec && w->skip_codec)
        return hm_fail(err, HM_EUSAGE, "worker: audio is wanted, the model was opened without its codec");
    if (strcmp(order->warmup, "first") && strcmp(order->warmup, "full") && strcmp(order->warmup, "none"))
        return hm_fail(err, HM_EUSAGE, "worker: warmup \"%.40s\": expected first, full or none", order->warmup);
    return order->audio ? hm_audio_check_path(order->audio, err) : HM_OK;
}

/* The warm-up, then the timed generations. */
static hm_status run_order(worker *w, const hm_run_order *order, const hm_request *request, hm_error *err)
{
    hm_status st = HM_OK;
    if (strcmp(order->warmup, "none")) {
        hm_request warm = *request;
        if (!strcmp(order->warmup, "first")) { /* every part once, at its real size but for the length */
            warm.max_frames = warm.max_frames < WARMUP_FRAMES ? warm.max_frames : WARMUP_FRAMES;
            warm.music.flow_steps = 1;
        }
        st = run_once(w, &warm, WARMUP, order, err);
    }
    for (int i = 1; i <= order->iterations && !st; i++)
        st = run_once(w, request, i == order->iterations ? LAST : TIMED, order, err);
    return st;
}

static hm_status on_run(worker *w, const json_t *message, hm_error *err)
{
    hm_run_order order;
    hm_stored_codes codes;
    float *reference = NULL;
    hm_status st = hm_proto_read_run(message, &order, &codes, err);
    if (!st)
        st = check_order(w, &order, err);
    if (!st) {
        hm_request request = request_of(&order);
        if (order.c.reference)
            st = hm_case_reference(&request, &reference, order.c.reference, w->opened.facts->sample_rate_hz, err);
        if (!st)
            st = run_order(w, &order, &request, err);
    }
    free(reference);
    hm_stored_codes_free(&codes);
    if (!st)
        answer(w, json_pack("{s:s}", "type", "done"));
    return st;
}

static hm_status on_hello(worker *w, const json_t *message, hm_error *err)
{
    json_int_t version = json_integer_value(json_object_get(message, "protocol"));
    if (version != HM_PROTOCOL_VERSION)
        return hm_fail(err, HM_EUSAGE, "worker: speaks protocol %d, was greeted in %lld", HM_PROTOCOL_VERSION, (long long)version);
    hm_build_record build;
    hm_status st = hm_build_read(&build, err);
    if (!st)
        answer(w, json_pack("{s:s, s:i, s:s, s:i, s:[s, s, s], s:o}", "type", "hello", "protocol", HM_PROTOCOL_VERSION, "name",
                            "hmbench " HM_VERSION, "pid", (int)getpid(), "tasks", "music", "speech", "transcript", "build",
                            hm_proto_build(&build)));
    return st;
}

/* False: the end. */
static bool serve_line(worker *w, const char *line, size_t size)
{
    static const struct {
        const char *type;
        hm_status (*run)(worker *w, const json_t *message, hm_error *err);
    } handlers[] = {{"hello", on_hello}, {"open", on_open}, {"estimate", on_estimate}, {"run", on_run}};
    hm_error err = {0};
    json_t *message = NULL;
    hm_status st = hm_proto_parse(&message, line, size, &err);
    const char *type = st ? "" : hm_proto_type(message);
    bool end = !strcmp(type, "close"), known = end;
    for (size_t i = 0; i < sizeof handlers / sizeof *handlers && !st; i++)
        if (!strcmp(type, handlers[i].type)) {
            known = true;
            st = handlers[i].run(w, message, &err);
        }
    if (!st && !known)
        st = hm_fail(&err, HM_EUSAGE, "worker: message \"%.40s\": unknown; expected hello, open, estimate, run or close", type);
    if (st)
        answer_error(w, &err);
    json_decref(message);
    return !end && !w->broken;
}

hm_status hm_worker_serve(int in_fd, int out_fd, hm_error *err)
{
    char *line = NULL;
    size_t room = 0;
    worker *w = hm_calloc(1, sizeof *w, "worker", err);
    if (!w)
        return HM_EABSENT;
    w->in = fdopen(in_fd, "r");
    w->out = out_fd;
    w->inner = (hm_probe){.self = w, .wanted = HM_SPAN_PHASE, .begin = on_phase_begin, .end = on_phase_end, .progress = on_progress};
    w->song = (hm_probe){.self = w, .progress = on_progress};
    hm_watch_open(&w->watch, "/", hm_perf_real());
    hm_phase_memory_open(&w->memory, "/");
    hm_recorder_options options = {.inner = &w->inner};
    hm_status st = w->in ? hm_recorder_open(&w->recorder, &options, err) : hm_fail(err, HM_EIO, "worker: no input: %s", strerror(errno));
    if (!st) {
        for (ssize_t n; (n = getline(&line, &room, w->in)) > 0;) {
            if ((size_t)n > HM_LINE_MAX) {
                st = hm_fail(err, HM_EFORMAT, "worker: was sent a line of %zd bytes, at most %zu are read", n, HM_LINE_MAX);
                break;
            }
            if (!serve_line(w, line, (size_t)n))
                break;
        }
    }
    close_engine(w);
    hm_recorder_close(&w->recorder);
    hm_watch_close(&w->watch);
    free(line);
    if (w->in)
        fclose(w->in);
    free(w);
    return st;
}
