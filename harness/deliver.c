#include "harness/deliver.h"

#include <stdio.h>

#include "engine/preset.h"
#include "harness/codes.h"
#include "harness/run_report.h"

static hm_status write_codes(const hm_delivery *d, const hm_engine_opened *o, const hm_request *q, const hm_result *r, hm_error *err)
{
    hm_codes codes = {.frames = r->frames, .codebooks = r->codebooks, .codes = r->codes, .seed = q->seed};
    snprintf(codes.fingerprint, sizeof codes.fingerprint, "%s", o->facts->fingerprint);
    snprintf(codes.variant, sizeof codes.variant, "%s", d->variant);
    if (hm_preset_find(o->model))
        snprintf(codes.model, sizeof codes.model, "%s", o->model);
    return hm_codes_write(d->codes_path, &codes, err);
}

static hm_status write_audio(const hm_delivery *d, const hm_result *r, hm_audio_facts *facts, hm_error *err)
{
    hm_audio_measure(facts, r->audio, r->channels, r->samples, r->sample_rate_hz);
    hm_status st = hm_audio_write(d->path, r->audio, r->channels, r->samples, r->sample_rate_hz, err);
    return st ? st : hm_audio_file_facts(facts, d->path, err);
}

hm_status hm_deliver(const hm_delivery *d, const hm_engine_opened *o, const hm_request *q, const hm_result *r, hm_error *err)
{
    hm_audio_facts facts;
    hm_health health;
    hm_run_report report = {.path = d->path, .codes_path = d->codes_path, .variant = d->variant, .model = o->model, .engine = o->facts,
                            .request = q, .result = r, .audio = d->path ? &facts : NULL, .health = &health, .synthetic = o->synthetic};
    hm_status st = d->codes_path ? write_codes(d, o, q, r, err) : HM_OK;
    if (!st && d->path)
        st = write_audio(d, r, &facts, err);
    if (st)
        return st;
    hm_health_judge(&health, r, report.audio, q, o->facts->frame_seconds, o->synthetic);
    if (!d->quiet)
        hm_run_report_print(&report, stderr);
    return d->json ? hm_json_print(hm_run_report_json(&report), err) : HM_OK;
}
