#include "harness/deliver.h"

#include <stdio.h>

#include "engine/preset.h"
#include "harness/codes.h"
#include "harness/output_check.h"
#include "harness/progress.h"
#include "harness/run_report.h"
#include "harness/stream_out.h"

hm_status hm_delivery_check(const hm_delivery *d, const char *command, hm_error *err)
{
    hm_status st = HM_OK;
    if (d->stream) {
        st = hm_stream_check(command, d->path, d->json, err);
    } else if (d->path && hm_stream_to_stdout(d->path)) {
        st = hm_fail(err, HM_EUSAGE, "%s: -o -: audio goes to standard output with --stream only; expected a .wav, .flac or .mp3 file",
                     command);
    } else if (d->path) {
        st = hm_audio_check_path(d->path, err);
        if (!st)
            st = hm_output_check("output", d->path, err);
    }
    return !st && d->codes_path ? hm_output_check("codes", d->codes_path, err) : st;
}

static hm_status write_codes(const hm_delivery *d, const hm_engine_opened *o, const hm_request *q, const hm_result *r, hm_error *err)
{
    hm_codes codes = {.frames = r->frames, .codebooks = r->codebooks, .codes = r->codes, .seed = q->seed};
    snprintf(codes.fingerprint, sizeof codes.fingerprint, "%s", o->facts->fingerprint);
    snprintf(codes.variant, sizeof codes.variant, "%s", d->variant);
    if (hm_preset_find(o->model))
        snprintf(codes.model, sizeof codes.model, "%s", o->model);
    return hm_codes_write(d->codes_path, &codes, err);
}

/* Facts of the audio, which is written unless it was streamed. */
static hm_status write_audio(const hm_delivery *d, const hm_result *r, hm_audio_facts *facts, hm_error *err)
{
    hm_audio_measure(facts, r->audio, r->channels, r->samples, r->sample_rate_hz);
    hm_status st = d->stream ? HM_OK : hm_audio_write(d->path, r->audio, r->channels, r->samples, r->sample_rate_hz, err);
    if (st || !d->stream || !hm_stream_to_stdout(d->path))
        return st ? st : hm_audio_file_facts(facts, d->path, err);
    facts->bits = 16;
    facts->bit_rate_kbps /= 2;
    snprintf(facts->codec, sizeof facts->codec, "wav 16 bit");
    return HM_OK;
}

hm_status hm_deliver(const hm_delivery *d, const hm_engine_opened *o, const hm_request *q, const hm_result *r, const hm_player *player,
                     hm_error *err)
{
    hm_audio_facts facts;
    hm_health health;
    hm_sound sound;
    bool to_stdout = d->stream && hm_stream_to_stdout(d->path);
    hm_run_report report = {.path = to_stdout ? "standard output" : d->path,
                            .codes_path = d->codes_path,
                            .variant = d->variant,
                            .settings = d->settings,
                            .model = o->model,
                            .engine = o->facts,
                            .request = q,
                            .result = r,
                            .audio = d->path ? &facts : NULL,
                            .health = &health,
                            .sound = &sound,
                            .player = player,
                            .synthetic = o->synthetic};
    hm_status st = d->codes_path ? write_codes(d, o, q, r, err) : HM_OK;
    if (!st && d->path)
        st = write_audio(d, r, &facts, err);
    if (st)
        return st;
    hm_sound_measure(&sound, r->audio, r->channels, r->samples, r->sample_rate_hz);
    hm_health_judge(&health, &(hm_health_case){.result = r,
                                               .request = q,
                                               .facts = report.audio,
                                               .sound = &sound,
                                               .frame_seconds = o->facts->frame_seconds,
                                               .synthetic = o->synthetic,
                                               .pieces = player ? player->chunks : 0,
                                               .piece_samples = player ? player->samples : 0});
    if (!d->quiet)
        hm_run_report_print(&report, stderr);
    return d->json ? hm_json_print(hm_run_report_json(&report), err) : HM_OK;
}

static hm_status make_stream(const hm_delivery *d, const hm_engine_opened *o, hm_request *q, hm_result *r, hm_stream_out *stream,
                             hm_error *err)
{
    hm_status st = hm_stream_open(stream, d->path, o->facts, err);
    if (st)
        return st;
    q->sink = &stream->sink;
    st = o->api->generate(o->engine, q, r, err);
    q->sink = NULL;
    return hm_stream_close(stream, st, err);
}

hm_status hm_make(hm_engine_choice *choice, const hm_delivery *d, hm_request *q, hm_error *err)
{
    hm_progress progress;
    hm_probe probe = {.self = &progress, .progress = hm_progress_probe};
    hm_engine_opened opened = {0};
    hm_stream_out stream;
    hm_result result = {0};
    choice->probe = &probe;
    choice->log = hm_log_stderr(!d->quiet);
    hm_progress_start(&progress, "", d->quiet);
    hm_status st = hm_engine_open_chosen(&opened, choice, err);
    if (!st && d->stream)
        st = make_stream(d, &opened, q, &result, &stream, err);
    else if (!st)
        st = opened.api->generate(opened.engine, q, &result, err);
    hm_progress_end(&progress);
    if (!st)
        st = hm_deliver(d, &opened, q, &result, d->stream ? &stream.player : NULL, err);
    if (opened.api)
        opened.api->result_free(&result);
    hm_engine_close_chosen(&opened);
    return st;
}
