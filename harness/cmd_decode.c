#include <stdlib.h>

#include "engine/preset.h"
#include "harness/codes.h"
#include "harness/commands.h"
#include "harness/deliver.h"
#include "harness/engine_open.h"
#include "harness/progress.h"

typedef struct decode_args {
    hm_engine_choice engine;
    const char *output;
    double guidance;
    int64_t seed, steps;
    bool quiet, json;
} decode_args;

static hm_status parse(const hm_command *self, int argc, char **argv, decode_args *a, hm_strings *files, bool *helped, hm_error *err)
{
    const hm_option options[] = {
        {"output", 'o', HM_OPT_STRING, &a->output, "PATH", "audio: .wav (float32), .flac (24 bit) or .mp3", 0, 0, NULL},
        {"steps", 0, HM_OPT_INT, &a->steps, "N", "songs: solver steps; 0: as the variant says", 0, 100, NULL},
        {"guidance", 0, HM_OPT_DOUBLE, &a->guidance, "X", "songs: guidance of the codec; 1: off", 1, 100, NULL},
        {"seed", 0, HM_OPT_INT, &a->seed, "N", "songs: of the noise; -1: the one in the file", -1, HM_OPTION_NO_MAX, NULL},
        HM_ENGINE_CHOICE_OPTIONS(a->engine),
        {"json", 0, HM_OPT_FLAG, &a->json, NULL, "the result as one JSON object on standard output", 0, 0, NULL},
        {"quiet", 'q', HM_OPT_FLAG, &a->quiet, NULL, "no progress and no summary", 0, 0, NULL},
        {0},
    };
    hm_status st = hm_options_parse(self, options, argc, argv, files, 1, helped, err);
    return st || *helped ? st : hm_engine_choice_settle(&a->engine, err);
}

/* The model asked for, else the preset that drew the codes. */
static hm_status choose_model(decode_args *a, const hm_codes *codes, const char *path, hm_error *err)
{
    if (!a->engine.model && hm_preset_find(codes->model))
        a->engine.model = codes->model;
    return a->engine.model ? HM_OK : hm_fail(err, HM_EUSAGE, "codes %s: the file names no preset that drew them; give --model", path);
}

static hm_status check_codes(const hm_codes *codes, const char *path, const hm_engine_opened *o, hm_error *err)
{
    if (codes->codebooks != o->facts->codebooks)
        return hm_fail(err, HM_EFORMAT, "codes %s: %d codebooks, but model %s has %d: is it the model that drew them?", path,
                       codes->codebooks, o->path, o->facts->codebooks);
    return HM_OK;
}

static hm_status decode(decode_args *a, const char *path, const hm_codes *codes, hm_error *err)
{
    hm_request request = {.max_frames = codes->frames,
                          .force_length = true,
                          .seed = a->seed < 0 ? codes->seed : (uint64_t)a->seed,
                          .music.flow_steps = (int)a->steps,
                          .music.flow_guidance = a->guidance,
                          .music.cfg_scale = 1,
                          .topk = 1,
                          .temperature = 1};
    hm_progress progress;
    hm_probe probe = {.self = &progress, .progress = hm_progress_probe};
    hm_engine_opened opened = {0};
    hm_result result = {0};
    const hm_delivery delivery = {.path = a->output, .variant = a->engine.variant, .quiet = a->quiet, .json = a->json};
    a->engine.probe = &probe;
    a->engine.log = hm_log_stderr(false);
    hm_progress_start(&progress, "", a->quiet);
    hm_status st = hm_engine_open_chosen(&opened, &a->engine, err);
    if (!st)
        st = check_codes(codes, path, &opened, err);
    request.task = st ? HM_TASK_MUSIC : opened.facts->task;
    if (!st)
        st = opened.api->decode(opened.engine, codes->codes, codes->frames, &request, &result, err);
    hm_progress_end(&progress);
    if (!st)
        st = hm_deliver(&delivery, &opened, &request, &result, NULL, err);
    if (opened.api)
        opened.api->result_free(&result);
    hm_engine_close_chosen(&opened);
    return st;
}

hm_status hm_cmd_decode(const hm_command *self, int argc, char **argv, hm_error *err)
{
    decode_args a = {.engine = {.variant = "best", .backend = "cpu", .need_codec = true}, .guidance = 1.25, .seed = -1};
    hm_strings files = {0};
    hm_codes codes = {0};
    bool helped;
    hm_status st = parse(self, argc, argv, &a, &files, &helped, err);
    if (st || helped)
        return st;
    if (!files.count)
        return hm_fail(err, HM_EUSAGE, "decode: which file of codes? (hmbench decode --help)");
    if (!a.output)
        return hm_fail(err, HM_EUSAGE, "decode: -o is missing: where should the audio go? (a .wav, .flac or .mp3 file)");
    st = hm_delivery_check(&(hm_delivery){.path = a.output}, "decode", err);
    if (!st)
        st = hm_codes_read(files.items[0], &codes, err);
    if (!st)
        st = choose_model(&a, &codes, files.items[0], err);
    if (!st)
        st = decode(&a, files.items[0], &codes, err);
    free(codes.codes);
    return st;
}
