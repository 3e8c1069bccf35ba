#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/checkpoint.h"
#include "engine/inspect.h"
#include "engine/synth.h"
#include "harness/commands.h"
#include "harness/engine_open.h"
#include "harness/forecast.h"
#include "harness/forecast_request.h"
#include "harness/machine.h"
#include "harness/output_options.h"
#include "harness/precision.h"
#include "harness/run_report.h"

typedef struct fit {
    const char *variant;
    hm_status status;
    hm_error err;
    hm_memory_estimate need;
} fit;

/* What one variant would need for so many frames, from shapes alone. */
static void estimate(fit *f, const char *path, hm_model_kind model, int frames)
{
    hm_module *module = NULL;
    hm_engine_choice choice = {.variant = f->variant, .backend = "cpu", .need_lm = true, .need_codec = true};
    hm_request request = hm_forecast_request(model, frames);
    f->status = hm_module_open(&module, f->variant, &f->err);
    if (!f->status) {
        hm_engine_options options = hm_engine_options_of(&choice, module, path);
        f->status = hm_module_api(module)->estimate(&options, &request, &f->need, &f->err);
    }
    hm_module_close(&module);
}

static json_t *fit_json(const fit *f, int64_t available)
{
    if (f->status)
        return json_pack("{s:s}", "problem", f->err.text);
    const hm_memory_estimate *m = &f->need;
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "total_bytes", (json_int_t)m->total_bytes, "weights_bytes",
                     (json_int_t)m->weights_bytes, "mapped_bytes", (json_int_t)m->mapped_bytes, "kv_bytes", (json_int_t)m->kv_bytes,
                     "scratch_bytes", (json_int_t)m->scratch_bytes, "codec_bytes", (json_int_t)m->codec_bytes, "fits",
                     (int)(available == HM_UNKNOWN || (int64_t)m->total_bytes <= available));
}

static json_t *fit_text(const fit *f, int64_t available)
{
    char text[640];
    const hm_memory_estimate *m = &f->need;
    bool fits = available == HM_UNKNOWN || (int64_t)m->total_bytes <= available;
    if (f->status)
        snprintf(text, sizeof text, "not known: %s", f->err.text);
    else
        snprintf(text, sizeof text, "%.1f MB (weights %.1f, caches %.1f, scratch %.1f, codec %.1f) and %.1f MB mapped: %s",
                 (double)m->total_bytes * 1e-6, (double)m->weights_bytes * 1e-6, (double)m->kv_bytes * 1e-6,
                 (double)m->scratch_bytes * 1e-6, (double)m->codec_bytes * 1e-6, (double)m->mapped_bytes * 1e-6,
                 fits ? "fits" : "does NOT fit here");
    return json_string(text);
}

/* Object by variant: figures for --json, lines for people. */
static json_t *memory_of(const char *path, hm_model_kind model, const hm_strings *variants, int frames, bool json)
{
    int64_t available = hm_memory_available();
    json_t *object = json_object();
    for (int i = 0; i < variants->count; i++) {
        fit f = {.variant = variants->items[i]};
        estimate(&f, path, model, frames);
        json_object_set_new(object, f.variant, json ? fit_json(&f, available) : fit_text(&f, available));
    }
    if (json)
        json_object_set_new(object, "available_bytes", available == HM_UNKNOWN ? json_null() : json_integer(available));
    else if (available != HM_UNKNOWN)
        json_object_set_new(object, "available here", json_sprintf("%.1f MB", (double)available * 1e-6));
    return object;
}

typedef struct inspect_args {
    bool json, memory;
    const char *seconds, *backend;
    int64_t batch, prompt;
    hm_strings words, variants;
    hm_precision precision;
    hm_output_options output;
    /* worked out of the above */
    double lengths[HM_FORECAST_LENGTHS];
    int length_count;
    char path[HM_MODEL_PATH];
    bool outline; /* path is a folder of ours without weights */
} inspect_args;

static hm_status check_args(inspect_args *a, hm_error *err)
{
    hm_status st = HM_OK;
    if (!a->words.count)
        return hm_fail(err, HM_EUSAGE, "inspect: which folder, file or preset? (hmbench inspect --help)");
    for (int i = 0; i < a->variants.count && !st; i++) {
        hm_toggles toggles;
        st = hm_variant_parse(a->variants.items[i], &toggles, NULL, err);
    }
    if (st)
        return st;
    const char *seconds = a->seconds ? a->seconds : a->memory ? "10,30,60,120,240" : "120";
    a->length_count = hm_forecast_lengths(seconds, a->lengths, err);
    if (!a->length_count)
        return HM_EUSAGE;
    if (a->backend && !a->memory)
        return hm_fail(err, HM_EUSAGE, "inspect: --backend belongs to --memory");
    if (a->memory && a->json)
        return hm_fail(err, HM_EUSAGE, "inspect --memory: its JSON is -o json");
    if (!a->memory && (a->length_count > 1 || a->batch > 1 || strcmp(a->output.format, "md") || a->output.files.count))
        return hm_fail(err, HM_EUSAGE, "inspect: several --seconds, --batch, -o and -O belong to --memory");
    return hm_output_options_check(&a->output, "inspect", err);
}

/* A preset that is not made need not be: its names and shapes are enough here. */
static hm_status find_model(inspect_args *a, hm_error *err)
{
    const char *name = a->words.items[0];
    const hm_preset *preset = a->memory ? hm_preset_find(name) : NULL;
    char made[HM_MODEL_PATH];
    if (!preset || (!hm_model_cache_path(name, made, sizeof made, err) && !access(made, R_OK)))
        return hm_model_resolve(name, a->path, NULL, err);
    const char *folder = getenv("TMPDIR");
    snprintf(a->path, sizeof a->path, "%s/hmbench-shapes-XXXXXX", folder && *folder ? folder : "/tmp");
    if (!mkdtemp(a->path))
        return hm_fail(err, HM_ECREATE, "%s: cannot make a folder for the shapes of %s: %s", a->path, name, strerror(errno));
    a->outline = true;
    return hm_preset_outline(preset, a->path, err);
}

static hm_status print_memory(const inspect_args *a, hm_model_kind model, hm_error *err)
{
    hm_document *d = NULL;
    hm_forecast f = {.name = a->words.items[0],
                     .path = a->path,
                     .backend = a->backend ? a->backend : "cpu",
                     .model = model,
                     .variants = &a->variants,
                     .length_count = a->length_count,
                     .batch = (int)a->batch,
                     .prompt_rows = (int)a->prompt};
    memcpy(f.seconds, a->lengths, sizeof f.seconds);
    hm_status st = hm_forecast_make(&d, &f, err);
    if (!st)
        st = hm_output_write(&a->output, d, err);
    hm_document_free(&d);
    return st;
}

static hm_status print_report(const inspect_args *a, hm_model_kind model, hm_error *err)
{
    json_t *report = NULL, *memory = memory_of(a->path, model, &a->variants, hm_forecast_frames(a->lengths[0]), a->json);
    hm_status st = hm_inspect(&report, a->path, memory, err);
    json_decref(memory);
    if (st)
        return st;
    if (a->json)
        return hm_json_print(report, err);
    st = hm_inspect_print(report, stdout, err);
    json_decref(report);
    return st;
}

static hm_status inspect(inspect_args *a, hm_error *err)
{
    hm_checkpoint found = {0};
    hm_status st = find_model(a, err);
    if (!st)
        st = hm_checkpoint_find(&found, a->path, err);
    if (st)
        return st;
    hm_model_kind model = found.model;
    hm_checkpoint_close(&found);
    if (!a->variants.count)
        a->variants =
            (hm_strings){.items = {"naive", model == HM_MODEL_QWEN3_TTS ? "reference-qwen" : "reference-heartlib", "best"}, .count = 3};
    st = hm_precision_apply_each(&a->precision, &a->variants, err);
    if (st)
        return st;
    return a->memory ? print_memory(a, model, err) : print_report(a, model, err);
}

hm_status hm_cmd_inspect(const hm_command *self, int argc, char **argv, hm_error *err)
{
    bool helped;
    inspect_args a = {.batch = 1, .prompt = 300, .output.format = "md"};
    const hm_option options[] = {
        {"json", 0, HM_OPT_FLAG, &a.json, NULL, "the report as one JSON object", 0, 0, NULL},
        {"memory", 0, HM_OPT_FLAG, &a.memory, NULL, "what is needed at several lengths, stage by stage, and what fits 8 to 24 GB", 0, 0,
         NULL},
        {"seconds", 's', HM_OPT_STRING, &a.seconds, "N,N",
         "length of the audio that memory is reckoned for (120; with --memory several: "
         "10,30,60,120,240)",
         0, 0, NULL},
        {"variant", 'V', HM_OPT_LIST, &a.variants, "NAME", "reckon memory for this one (naive, the reference, best if not given)", 0, 0,
         NULL},
        HM_PRECISION_OPTION(&a.precision),
        {"backend", 0, HM_OPT_STRING, &a.backend, "NAME", "--memory: on a GPU, beside that what of the host is needed (default: cpu)", 0, 0,
         hm_backend_choices},
        {"batch", 0, HM_OPT_INT, &a.batch, "N", "--memory: so many at once", 1, 16, NULL},
        {"prompt", 0, HM_OPT_INT, &a.prompt, "N", "--memory: positions that the prompt takes", 1, 100000, NULL},
        HM_OUTPUT_OPTIONS(a.output),
        {0},
    };
    hm_status st = hm_options_parse(self, options, argc, argv, &a.words, 1, &helped, err);
    if (st || helped)
        return st;
    st = check_args(&a, err);
    if (!st)
        st = inspect(&a, err);
    if (a.outline)
        hm_preset_remove(a.path);
    return st;
}
