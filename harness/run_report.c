#include "harness/run_report.h"

#include <math.h>
#include <string.h>
#include <sys/resource.h>

#include "harness/places.h"

static double seconds(int64_t ns)
{
    return (double)ns * 1e-9;
}

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

static int64_t other_ns(const hm_result *r)
{
    return r->wall_ns - r->prefill_ns - r->generate_ns - r->decode_ns;
}

static double audio_seconds(const hm_run_report *p)
{
    return p->audio ? p->audio->duration_s : p->result->frames * p->engine->frame_seconds;
}

static int64_t peak_rss_bytes(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) ? 0 : (int64_t)usage.ru_maxrss * 1024;
}

static void print_stream(const hm_player *p, FILE *f)
{
    fprintf(f, "  stream    ");
    if (!p->chunks) {
        fprintf(f, "nothing came\n");
        return;
    }
    fprintf(f, "first piece after %.3f s, first sound ", seconds(p->ttfa_raw_ns));
    if (p->ttfa_ns >= 0)
        fprintf(f, "after %.3f s", seconds(p->ttfa_ns));
    else
        fprintf(f, "never");
    fprintf(f, "; %d pieces, ", p->chunks);
    if (p->stalls)
        fprintf(f, "%d gaps, worst %.3f s, %.3f s in all; none with %.3f s of buffer\n", p->stalls, seconds(p->stall_max_ns),
                seconds(p->stall_total_ns), seconds(p->buffer_ns));
    else
        fprintf(f, "no gap\n");
}

static const char *how_it_ended(const hm_run_report *p)
{
    return p->result->ended ? "ended by itself" : p->request->force_length ? "length forced" : "stopped by the cap";
}

/* Of generate: a frame's time, and how fast weights were read for it. */
static double frame_ms(const hm_result *r)
{
    return ratio(seconds(r->generate_ns) * 1e3, r->frames);
}

static double read_gbps(const hm_result *r)
{
    return ratio((double)r->frame_weight_bytes * r->frames * 1e-9, seconds(r->generate_ns));
}

static void print_times(const hm_run_report *p, FILE *f)
{
    const hm_result *r = p->result;
    double phases = seconds(r->prefill_ns + r->generate_ns + r->decode_ns), audio = audio_seconds(p), wall = seconds(r->wall_ns);
    fprintf(f, "  time      %.2f s:", wall);
    if (r->prefill_ns || r->generate_ns)
        fprintf(f, " prefill %.2f s (%.1f %%), generate %.2f s (%.1f %%),", seconds(r->prefill_ns),
                100 * ratio(seconds(r->prefill_ns), phases), seconds(r->generate_ns), 100 * ratio(seconds(r->generate_ns), phases));
    fprintf(f, " decode %.2f s (%.1f %%), other %.2f s; load %.2f s before\n", seconds(r->decode_ns),
            100 * ratio(seconds(r->decode_ns), phases), seconds(other_ns(r)), seconds(p->engine->load_ns));
    if (r->reference_ns)
        fprintf(f, "            of prefill %.2f s for the voice of the recording\n", seconds(r->reference_ns));
    if (r->overlapped_ns)
        fprintf(f, "            %.2f s more of decoding while frames were made\n", seconds(r->overlapped_ns));
    fprintf(f, "  speed     ");
    if (r->generate_ns)
        fprintf(f, "%.1f frames/s in generate (%.1f ms each, weights read at %.1f GB/s), ", ratio(r->frames, seconds(r->generate_ns)),
                frame_ms(r), read_gbps(r));
    fprintf(f, "RTF %.3f (%.2f x real time)\n", ratio(wall, audio), ratio(audio, wall));
}

/* How the voice of an utterance was given. */
static const char *voice_from(const hm_speech_input *s)
{
    return s->reference ? s->reference_text ? "recording and its text" : "recording" : s->speaker ? "speaker" : "description";
}

static void print_voice(const hm_run_report *p, FILE *f)
{
    const hm_speech_input *s = &p->request->speech;
    if (p->engine->task != HM_TASK_SPEECH || !s->text)
        return;
    fprintf(f, "  voice     by %s%s%s, language %s%s\n", voice_from(s), s->speaker ? " " : "", s->speaker ? s->speaker : "",
            s->language ? s->language : "auto", s->speaker && s->instruct ? ", as instructed" : "");
}

static const char *channels_text(int channels, char *out, size_t size)
{
    snprintf(out, size, channels == 1 ? "mono" : "%d channels", channels);
    return out;
}

/* Where it ran, part by part only where that is not one device. */
static void print_places(const hm_run_report *p, FILE *f)
{
    const hm_result *r = p->result;
    char text[512], remark[256];
    hm_places_text(text, sizeof text, r->places, r->place_count);
    if (hm_places_remark(text, p->engine->backend, remark, sizeof remark))
        fprintf(f, "  place     WARNING: %s (%s)\n", remark, text);
    else if (r->place_count)
        fprintf(f, "  place     every part on %s\n", r->places[0].device);
}

/* As they came to be: explicit options win. */
static void print_settings(const hm_run_report *p, FILE *f)
{
    const hm_request *q = p->request;
    fprintf(f, "  settings  %s: ", p->settings);
    if (p->engine->task == HM_TASK_MUSIC)
        fprintf(f, "cfg %g, ", q->music.cfg_scale);
    if (q->topk >= 0)
        fprintf(f, "topk %d, ", q->topk);
    if (q->temperature >= 0)
        fprintf(f, "temperature %g, ", q->temperature);
    fprintf(f, "%.4g s at most\n", q->max_frames * p->engine->frame_seconds);
}

void hm_run_report_print(const hm_run_report *p, FILE *f)
{
    const hm_result *r = p->result;
    char reasons[1024], channels[32];
    if (p->path)
        fprintf(f, "%s: %.2f s, %d Hz, %s, %s, %.0f kbit/s\n", p->path, p->audio->duration_s, p->audio->rate_hz,
                channels_text(p->audio->channels, channels, sizeof channels), p->audio->codec, p->audio->bit_rate_kbps);
    if (p->codes_path)
        fprintf(f, "%s: codes of %d frames\n", p->codes_path, r->frames);
    fprintf(f, "  made      %s%d frames of %d codes", p->engine->task == HM_TASK_SPEECH ? "an utterance of " : "", r->frames, r->codebooks);
    if (r->generate_ns)
        fprintf(f, ", %s; prompt %d tokens", how_it_ended(p), r->prompt_tokens);
    fputc('\n', f);
    print_voice(p, f);
    fprintf(f, "  with      %s, %s on %s (%s, %d threads)%s\n", p->model, p->variant, p->engine->backend, p->engine->isa,
            p->engine->threads, p->synthetic ? ", synthetic weights" : "");
    if (p->settings)
        print_settings(p, f);
    if (p->engine->driver)
        fprintf(f, "  device    %s, driver %s%s\n", p->engine->device, p->engine->driver,
                p->engine->software ? ": a software device, whose times say nothing about hardware" : "");
    print_places(p, f);
    print_times(p, f);
    if (p->player)
        print_stream(p->player, f);
    fprintf(f, "  memory    %.0f MB peak in all; weights %.0f MB, caches %.0f MB, scratch %.0f MB\n", (double)peak_rss_bytes() * 1e-6,
            (double)r->weight_bytes * 1e-6, (double)r->kv_bytes * 1e-6, (double)r->scratch_bytes * 1e-6);
    fprintf(f, "  codes     %llu out of range, clamped\n", (unsigned long long)r->counters.tokens_out_of_range);
    if (p->audio)
        fprintf(f, "  audio     peak %.3f (%.1f dBFS), RMS %.4f, silent %.0f %%, clipped %.2f %%\n", p->audio->peak,
                p->audio->peak > 0 ? 20 * log10(p->audio->peak) : -INFINITY, p->audio->rms, 100 * p->audio->silence_share,
                100 * p->audio->clipped_share);
    fprintf(f, "  health    %s%s%s\n", hm_verdict_name(p->health->verdict), p->health->count ? ": " : "",
            hm_health_text(p->health, reasons, sizeof reasons));
}

static json_t *places_json(const hm_result *r)
{
    json_t *list = json_array();
    for (int i = 0; i < r->place_count; i++)
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:I, s:I}", "part", r->places[i].part, "device", r->places[i].device, "operations",
                                        (json_int_t)r->places[i].operations, "elsewhere", (json_int_t)r->places[i].elsewhere));
    return list;
}

static json_t *real_or_null(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *sound_json(const hm_sound *s)
{
    json_t *o = json_object();
    json_object_set_new(o, "zero_crossings", real_or_null(s->zero_crossings));
    json_object_set_new(o, "flatness", real_or_null(s->flatness));
    json_object_set_new(o, "level_drift_db", real_or_null(s->level_drift_db));
    json_object_set_new(o, "centroid_drift", real_or_null(s->centroid_drift));
    return o;
}

static json_t *counters_json(const hm_counters *counters)
{
    const uint64_t *values = (const uint64_t *)counters;
    json_t *object = json_object();
    for (int i = 0; i < HM_COUNTER_COUNT; i++)
        json_object_set_new(object, hm_counter_name(i), json_integer((json_int_t)values[i]));
    return object;
}

static json_t *audio_json(const hm_audio_facts *a)
{
    if (!a)
        return json_null();
    return json_pack("{s:i, s:i, s:i, s:f, s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:b}", "rate_hz", a->rate_hz, "channels", a->channels,
                     "bits", a->bits, "bit_rate_kbps", a->bit_rate_kbps, "codec", a->codec, "duration_s", a->duration_s, "peak", a->peak,
                     "rms", a->rms, "silence_share", a->silence_share, "clipped_share", a->clipped_share, "dc", a->dc, "non_finite",
                     (json_int_t)a->non_finite, "constant", (int)a->constant);
}

static json_t *health_json(const hm_health *h)
{
    json_t *reasons = json_array();
    for (int i = 0; i < h->count; i++)
        json_array_append_new(reasons, json_string(h->reasons[i]));
    return json_pack("{s:s, s:b, s:b, s:i, s:o}", "verdict", hm_verdict_name(h->verdict), "ended", (int)h->ended, "sound_judged",
                     (int)h->sound_judged, "identical_frames", h->identical_frames, "reasons", reasons);
}

static json_t *stream_json(const hm_player *p)
{
    json_t *o;
    if (!p)
        return json_null(); /* not streamed: no figure, never a good one */
    o = json_object();
    json_object_set_new(o, "ttfa_raw_s", p->ttfa_raw_ns < 0 ? json_null() : json_real(seconds(p->ttfa_raw_ns)));
    json_object_set_new(o, "ttfa_s", p->ttfa_ns < 0 ? json_null() : json_real(seconds(p->ttfa_ns)));
    json_object_set_new(o, "pieces", json_integer(p->chunks));
    json_object_set_new(o, "stalls", json_integer(p->stalls));
    json_object_set_new(o, "stall_max_s", json_real(seconds(p->stall_max_ns)));
    json_object_set_new(o, "stall_total_s", json_real(seconds(p->stall_total_ns)));
    json_object_set_new(o, "buffer_s", json_real(seconds(p->buffer_ns)));
    json_object_set_new(o, "c50", json_boolean(hm_player_smooth(p, 50)));
    json_object_set_new(o, "c100", json_boolean(hm_player_smooth(p, 100)));
    json_object_set_new(o, "c200", json_boolean(hm_player_smooth(p, 200)));
    return o;
}

static json_t *times_json(const hm_run_report *p)
{
    const hm_result *r = p->result;
    double audio = audio_seconds(p), wall = seconds(r->wall_ns);
    json_t *object = json_object();
    json_object_set_new(object, "wall_s", json_real(wall));
    json_object_set_new(object, "prefill_s", json_real(seconds(r->prefill_ns)));
    json_object_set_new(object, "generate_s", json_real(seconds(r->generate_ns)));
    json_object_set_new(object, "decode_s", json_real(seconds(r->decode_ns)));
    json_object_set_new(object, "other_s", json_real(seconds(other_ns(r))));
    json_object_set_new(object, "load_s", json_real(seconds(p->engine->load_ns)));
    json_object_set_new(object, "reference_s", json_real(seconds(r->reference_ns)));
    json_object_set_new(object, "overlapped_s", json_real(seconds(r->overlapped_ns)));
    json_object_set_new(object, "frame_ms", r->generate_ns ? json_real(frame_ms(r)) : json_null());
    json_object_set_new(object, "read_gbps", r->generate_ns ? json_real(read_gbps(r)) : json_null());
    json_object_set_new(object, "fps", r->generate_ns ? json_real(ratio(r->frames, seconds(r->generate_ns))) : json_null());
    json_object_set_new(object, "rtf", json_real(ratio(wall, audio)));
    json_object_set_new(object, "x_real_time", json_real(ratio(audio, wall)));
    return object;
}

static json_t *voice_json(const hm_run_report *p)
{
    const hm_speech_input *s = &p->request->speech;
    if (p->engine->task != HM_TASK_SPEECH || !s->text)
        return json_null();
    return json_pack("{s:s, s:s?, s:s, s:s?}", "from", voice_from(s), "speaker", s->speaker, "language", s->language ? s->language : "auto",
                     "instruct", s->instruct);
}

json_t *hm_run_report_json(const hm_run_report *p)
{
    const hm_result *r = p->result;
    json_t *o = json_object();
    json_object_set_new(o, "audio_path", p->path ? json_string(p->path) : json_null());
    json_object_set_new(o, "codes_path", p->codes_path ? json_string(p->codes_path) : json_null());
    json_object_set_new(o, "task", json_string(hm_task_name(p->engine->task)));
    json_object_set_new(o, "voice", voice_json(p));
    json_object_set_new(o, "model", json_string(p->model));
    json_object_set_new(o, "fingerprint", json_string(p->engine->fingerprint));
    json_object_set_new(o, "synthetic", json_boolean(p->synthetic));
    json_object_set_new(o, "variant", json_string(p->variant));
    json_object_set_new(o, "settings", p->settings ? json_string(p->settings) : json_null());
    json_object_set_new(o, "backend", json_string(p->engine->backend));
    json_object_set_new(o, "isa", json_string(p->engine->isa));
    json_object_set_new(o, "device", json_string(p->engine->device));
    json_object_set_new(o, "device_uuid", p->engine->device_uuid ? json_string(p->engine->device_uuid) : json_null());
    json_object_set_new(o, "driver", p->engine->driver ? json_string(p->engine->driver) : json_null());
    json_object_set_new(o, "software", json_boolean(p->engine->software));
    json_object_set_new(o, "threads", json_integer(p->engine->threads));
    json_object_set_new(o, "seed", json_integer((json_int_t)p->request->seed));
    json_object_set_new(o, "frames", json_integer(r->frames));
    json_object_set_new(o, "codebooks", json_integer(r->codebooks));
    json_object_set_new(o, "prompt_tokens", json_integer(r->prompt_tokens));
    json_object_set_new(o, "ended", json_boolean(r->ended));
    json_object_set_new(o, "tokens_out_of_range", json_integer((json_int_t)r->counters.tokens_out_of_range));
    json_object_set_new(o, "times", times_json(p));
    json_object_set_new(o, "peak_rss_bytes", json_integer(peak_rss_bytes()));
    json_object_set_new(o, "weight_bytes", json_integer((json_int_t)r->weight_bytes));
    json_object_set_new(o, "kv_bytes", json_integer((json_int_t)r->kv_bytes));
    json_object_set_new(o, "scratch_bytes", json_integer((json_int_t)r->scratch_bytes));
    json_object_set_new(o, "stream", stream_json(p->player));
    json_object_set_new(o, "audio", audio_json(p->audio));
    json_object_set_new(o, "sound", sound_json(p->sound));
    json_object_set_new(o, "health", health_json(p->health));
    json_object_set_new(o, "places", places_json(r));
    json_object_set_new(o, "counters", counters_json(&r->counters));
    json_object_set_new(o, "frame_counters", counters_json(&r->frame_counters));
    return o;
}

hm_status hm_json_print(json_t *value, hm_error *err)
{
    if (!value)
        return hm_fail(err, HM_EABSENT, "no memory for the result as JSON");
    int failed = json_dumpf(value, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
    putchar('\n');
    json_decref(value);
    if (failed && !ferror(stdout)) /* what cannot be written is told once, when standard output is closed */
        return hm_fail(err, HM_EBUG, "the result cannot be told as JSON");
    return HM_OK;
}
