#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/checkpoint.h"
#include "engine/inspect.h"
#include "harness/commands.h"
#include "harness/engine_open.h"
#include "harness/machine.h"
#include "harness/run_report.h"

#define FRAMES_PER_SECOND 12.5

typedef struct fit {
    const char *variant;
    hm_status status;
    hm_error err;
    hm_memory_estimate need;
} fit;

/* A song or an utterance of so many frames, all settings as the model has them. */
static hm_request request_of(hm_model_kind model, int frames)
{
    if (model == HM_MODEL_QWEN3_TTS)
        return (hm_request){.task = HM_TASK_SPEECH,
                            .max_frames = frames,
                            .topk = -1,
                            .temperature = -1,
                            .speech = {.text = "Hello.",
                                       .streaming_text = -1,
                                       .top_p = -1,
                                       .repetition_penalty = -1,
                                       .sub_temperature = -1,
                                       .sub_top_p = -1,
                                       .sub_topk = -1}};
    return (hm_request){.task = HM_TASK_MUSIC,
                        .max_frames = frames,
                        .topk = 50,
                        .temperature = 1,
                        .music = {.tags = "", .lyrics = "", .cfg_scale = 1.5, .flow_guidance = 1.25}};
}

/* What one variant would need for so many frames, from shapes alone. */
static void estimate(fit *f, const char *path, hm_model_kind model, int frames)
{
    hm_module *module = NULL;
    hm_engine_choice choice = {.variant = f->variant, .backend = "cpu", .need_lm = true, .need_codec = true};
    hm_request request = request_of(model, frames);
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
    char key[HM_VARIANT_SPEC + 32];
    for (int i = 0; i < variants->count; i++) {
        fit f = {.variant = variants->items[i]};
        estimate(&f, path, model, frames);
        snprintf(key, sizeof key, "%s", f.variant);
        json_object_set_new(object, key, json ? fit_json(&f, available) : fit_text(&f, available));
    }
    if (json)
        json_object_set_new(object, "available_bytes", available == HM_UNKNOWN ? json_null() : json_integer(available));
    else if (available != HM_UNKNOWN)
        json_object_set_new(object, "available here", json_sprintf("%.1f MB", (double)available * 1e-6));
    return object;
}

hm_status hm_cmd_inspect(const hm_command *self, int argc, char **argv, hm_error *err)
{
    bool json = false, helped;
    double seconds = 120;
    hm_strings args = {0}, variants = {0};
    const hm_option options[] = {
        {"json", 0, HM_OPT_FLAG, &json, NULL, "the report as one JSON object", 0, 0, NULL},
        {"seconds", 's', HM_OPT_DOUBLE, &seconds, "N", "length of the audio that memory is reckoned for", 0.08, 3600, NULL},
        {"variant", 'V', HM_OPT_LIST, &variants, "NAME", "reckon memory for this one (naive, the reference, best if not given)", 0, 0,
         NULL},
        {0},
    };
    char path[HM_MODEL_PATH];
    json_t *report = NULL;
    hm_status st = hm_options_parse(self, options, argc, argv, &args, 1, &helped, err);
    if (st || helped)
        return st;
    if (!args.count)
        return hm_fail(err, HM_EUSAGE, "inspect: which folder, file or preset? (hmbench inspect --help)");
    for (int i = 0; i < variants.count && !st; i++) {
        hm_toggles toggles;
        st = hm_variant_parse(variants.items[i], &toggles, NULL, err);
    }
    if (!st)
        st = hm_model_resolve(args.items[0], path, NULL, err);
    hm_checkpoint found = {0};
    if (!st)
        st = hm_checkpoint_find(&found, path, err);
    if (st)
        return st;
    hm_model_kind model = found.model;
    hm_checkpoint_close(&found);
    if (!variants.count) {
        const char *reference = model == HM_MODEL_QWEN3_TTS ? "reference-qwen" : "reference-heartlib";
        variants = (hm_strings){.items = {"naive", reference, "best"}, .count = 3};
    }
    json_t *memory = memory_of(path, model, &variants, (int)(seconds * FRAMES_PER_SECOND) + 1, json);
    st = hm_inspect(&report, path, memory, err);
    json_decref(memory);
    if (st)
        return st;
    if (json)
        return hm_json_print(report, err);
    st = hm_inspect_print(report, stdout, err);
    json_decref(report);
    return st;
}
