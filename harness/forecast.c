#include "harness/forecast.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/engine_open.h"
#include "harness/forecast_request.h"
#include "suites/suite.h"

#define MOST_SECONDS 3600

static const int sizes_gb[] = {8, 12, 16, 24};
enum {
    SIZES = sizeof sizes_gb / sizeof *sizes_gb
};

typedef struct asker {
    const hm_forecast *f;
    const char *variant;
    hm_module *module;
} asker;

int hm_forecast_lengths(const char *text, double out[HM_FORECAST_LENGTHS], hm_error *err)
{
    int n = 0;
    for (const char *at = text; at; n++) {
        char *end;
        double s = strtod(at, &end);
        if (end == at || (*end && *end != ',') || !(s >= 0.08 && s <= MOST_SECONDS)) {
            hm_fail(err, HM_EUSAGE, "--seconds %s: expected lengths from 0.08 to %d, as in 10,30,60", text, MOST_SECONDS);
            return 0;
        }
        if (n == HM_FORECAST_LENGTHS) {
            hm_fail(err, HM_EUSAGE, "--seconds: at most %d lengths", HM_FORECAST_LENGTHS);
            return 0;
        }
        out[n] = s;
        at = *end ? end + 1 : NULL;
    }
    return n;
}

int hm_forecast_frames(double seconds)
{
    int frames = (int)(seconds * HM_SUITE_FRAMES_PER_SECOND + 0.5);
    return frames > 0 ? frames : 1;
}

static hm_status ask(const asker *a, int frames, hm_memory_estimate *out, hm_error *err)
{
    hm_engine_choice choice = {.variant = a->variant, .backend = a->f->backend, .need_lm = true, .need_codec = true};
    hm_engine_options options = hm_engine_options_of(&choice, a->module, a->f->path);
    hm_request request = hm_forecast_request(a->f->model, frames);
    request.batch = a->f->batch;
    if (a->f->model == HM_MODEL_WHISPER && a->f->batch > 1)
        request.transcript.batch = a->f->batch;
    request.prompt_rows = a->f->prompt_rows;
    return hm_module_api(a->module)->estimate(&options, &request, out, err);
}

static double mb(uint64_t bytes)
{
    return (double)bytes * 1e-6;
}

/* With its mapped weights resident; without them (they are read from disk again and again); not at all. Of a device its own memory. */
static const char *verdict(const hm_memory_estimate *e, double bytes)
{
    if (e->apart)
        return (double)e->device_bytes > bytes ? "no" : "yes";
    if ((double)e->total_bytes > bytes)
        return "no";
    return (double)(e->total_bytes + e->mapped_bytes) > bytes ? "paged" : "yes";
}

/* Most frames that fit so many bytes with mapped weights resident: memory grows with the length. 0: none. */
static hm_status longest(const asker *a, double bytes, int most, int *out, hm_error *err)
{
    int low = 0, high = most;
    while (low < high) {
        hm_memory_estimate e;
        int middle = low + (high - low + 1) / 2;
        hm_status st = ask(a, middle, &e, err);
        if (st)
            return st;
        if (strcmp(verdict(&e, bytes), "yes"))
            high = middle - 1;
        else
            low = middle;
    }
    *out = low;
    return HM_OK;
}

static void ledger_row(hm_sheet *t, const asker *a, double seconds, const hm_memory_estimate *e)
{
    hm_sheet_string(t, a->variant);
    hm_sheet_number(t, seconds, 1);
    hm_sheet_number(t, mb(e->mapped_bytes), 1);
    hm_sheet_number(t, mb(e->weights_bytes), 1);
    hm_sheet_number(t, mb(e->kv_bytes), 1);
    hm_sheet_number(t, mb(e->scratch_bytes), 1);
    hm_sheet_number(t, mb(e->encoder_bytes), 1);
    hm_sheet_number(t, mb(e->latents_bytes), 1);
    hm_sheet_number(t, mb(e->vocoder_bytes), 1);
    hm_sheet_number(t, mb(e->audio_bytes), 1);
}

static void stage_row(hm_sheet *t, const asker *a, double seconds, const hm_memory_estimate *e)
{
    hm_sheet_string(t, a->variant);
    hm_sheet_number(t, seconds, 1);
    hm_sheet_number(t, mb(e->weights_bytes + e->prefill_bytes), 1);
    hm_sheet_number(t, mb(e->weights_bytes + e->generate_bytes), 1);
    hm_sheet_number(t, mb(e->weights_bytes + e->decode_bytes), 1);
    hm_sheet_number(t, mb(e->apart ? e->device_bytes : e->total_bytes), 1);
    hm_sheet_number(t, mb(e->total_bytes + e->mapped_bytes), 1);
    for (int i = 0; i < SIZES; i++)
        hm_sheet_string(t, verdict(e, sizes_gb[i] * 1e9));
}

/* Beyond the model's positions there is nothing to tell. */
static void no_row(hm_sheet *t, const asker *a, double seconds, int cells)
{
    hm_sheet_string(t, a->variant);
    hm_sheet_number(t, seconds, 1);
    for (int i = 0; i < cells; i++)
        hm_sheet_none(t);
}

typedef struct sheets {
    hm_sheet *ledger, *stages, *longest;
} sheets;

static hm_status add_longest(const asker *a, sheets *s, int most, hm_error *err)
{
    hm_status st = HM_OK;
    hm_sheet_string(s->longest, a->variant);
    for (int i = 0; i < SIZES && !st; i++) {
        int frames = 0;
        st = longest(a, sizes_gb[i] * 1e9, most, &frames, err);
        hm_sheet_number(s->longest, frames ? frames / HM_SUITE_FRAMES_PER_SECOND : NAN, 1);
    }
    hm_sheet_number(s->longest, most / HM_SUITE_FRAMES_PER_SECOND, 1);
    return st;
}

static hm_status add_variant(asker *a, sheets *s, hm_error *err)
{
    hm_memory_estimate e;
    hm_status st = hm_module_open(&a->module, a->variant, err);
    if (st)
        return st;
    st = ask(a, 1, &e, err);
    int limit = (int)(MOST_SECONDS * HM_SUITE_FRAMES_PER_SECOND), most = e.most_frames > 0 && e.most_frames < limit ? e.most_frames : limit;
    for (int i = 0; i < a->f->length_count && !st; i++) {
        double seconds = a->f->seconds[i];
        int frames = hm_forecast_frames(seconds);
        if (frames > most) {
            no_row(s->ledger, a, seconds, 8);
            no_row(s->stages, a, seconds, 5 + SIZES);
            continue;
        }
        st = ask(a, frames, &e, err);
        if (!st) {
            ledger_row(s->ledger, a, seconds, &e);
            stage_row(s->stages, a, seconds, &e);
        }
    }
    if (!st)
        st = add_longest(a, s, most, err);
    hm_module_close(&a->module);
    return st;
}

hm_status hm_forecast_make(hm_document **out, const hm_forecast *f, hm_error *err)
{
    bool gpu = strcmp(f->backend, "cpu") != 0;
    sheets s = {
        .ledger = hm_sheet_new((const char *const[]){"variant", ">seconds", ">mapped_mb|weights mapped MB", ">weights_mb|weights copied MB",
                                                     ">kv_mb|KV MB", ">scratch_mb|scratch MB", ">encoder_mb|encoder MB",
                                                     ">latents_mb|flow MB", ">vocoder_mb|vocoder MB", ">audio_mb|audio MB", NULL}),
        .stages = hm_sheet_new((const char *const[]){"variant", ">seconds", ">prefill_mb|prefill MB", ">generate_mb|generate MB",
                                                     ">decode_mb|decode MB", gpu ? ">device_mb|device MB" : ">total_mb|most MB",
                                                     gpu ? ">host_mb|host MB" : ">resident_mb|with mapped MB", "fits_8_gb|8 GB",
                                                     "fits_12_gb|12 GB", "fits_16_gb|16 GB", "fits_24_gb|24 GB", NULL}),
        .longest = hm_sheet_new((const char *const[]){"variant", ">seconds_8_gb|8 GB", ">seconds_12_gb|12 GB", ">seconds_16_gb|16 GB",
                                                      ">seconds_24_gb|24 GB", ">seconds_model|the model's positions", NULL})};
    hm_status st = HM_OK;
    for (int i = 0; i < f->variants->count && !st; i++) {
        asker a = {.f = f, .variant = f->variants->items[i]};
        st = add_variant(&a, &s, err);
    }
    hm_document *d = st ? NULL : hm_document_new("memory");
    if (st) {
        hm_sheet_free(s.ledger);
        hm_sheet_free(s.stages);
        hm_sheet_free(s.longest);
        return st;
    }
    hm_document_text(d, "%s: memory from shapes alone, prompt of %d positions, %d at once. MB are 10^6 bytes.", f->name, f->prompt_rows,
                     f->batch > 1 ? f->batch : 1);
    hm_document_sheet(d, "ledger", s.ledger);
    if (gpu)
        hm_document_text(d,
                         "On %s. All but the audio is in the device's memory; at each stage, at most with what the backend takes for "
                         "itself; and in the host's, without the program. What is freed while it is in use waits: up to 64 MB more, "
                         "in variants that allocate in every frame. Fits: the device's memory.",
                         f->backend);
    else
        hm_document_text(d, "At each stage, mapped weights left out. Fits: yes, with mapped weights resident; paged: only while those are "
                            "read again from disk; no.");
    hm_document_sheet(d, "stages", s.stages);
    hm_document_text(d, "Longest audio that fits%s, seconds.", gpu ? " the device" : " with mapped weights resident");
    hm_document_sheet(d, "longest", s.longest);
    *out = d;
    return HM_OK;
}
