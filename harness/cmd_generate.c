#include <stdlib.h>
#include <string.h>

#include "harness/commands.h"
#include "harness/deliver.h"
#include "harness/progress.h"
#include "harness/settings.h"
#include "harness/stream_out.h"
#include "harness/text_input.h"

#define FRAME_MS 80

typedef struct generate_args {
    hm_engine_choice engine;
    const char *tags, *lyrics, *intro, *verse, *chorus, *output, *codes, *settings;
    double seconds, cfg, temperature, guidance;
    int64_t topk, seed, steps;
    bool stream, force_length, quiet, json;
} generate_args;

static hm_status parse(const hm_command *self, int argc, char **argv, generate_args *a, bool *helped, hm_error *err)
{
    const hm_option options[] = {
        {"tags", 0, HM_OPT_STRING, &a->tags, "TEXT", "what it should sound like, comma-separated; or a file of it", 0, 0, NULL},
        {"lyrics", 0, HM_OPT_STRING, &a->lyrics, "FILE", "what is sung, with [Verse], [Chorus] ... lines; -: standard input", 0, 0, NULL},
        {"seconds", 's', HM_OPT_DOUBLE, &a->seconds, "N", "length at most", 0.08, 3600, NULL},
        {"output", 'o', HM_OPT_STRING, &a->output, "PATH", "audio: .wav (float32), .flac (24 bit) or .mp3", 0, 0, NULL},
        HM_STREAM_OPTION(&a->stream),
        {"codes", 0, HM_OPT_STRING, &a->codes, "PATH", "also write the codes (safetensors), for hmbench decode", 0, 0, NULL},
        {"seed", 0, HM_OPT_INT, &a->seed, "N", "of all random numbers", 0, HM_OPTION_NO_MAX, NULL},
        {"cfg", 0, HM_OPT_DOUBLE, &a->cfg, "X", "guidance by tags and lyrics; 1: off", 1, 100, NULL},
        {"topk", 0, HM_OPT_INT, &a->topk, "N", "codes to choose among; 1: always the likeliest", 1, 1000000, NULL},
        {"temperature", 0, HM_OPT_DOUBLE, &a->temperature, "X", "of the choice among codes", 0.001, 100, NULL},
        {"steps", 0, HM_OPT_INT, &a->steps, "N", "solver steps of the codec; 0: as the variant says", 0, 100, NULL},
        {"guidance", 0, HM_OPT_DOUBLE, &a->guidance, "X", "guidance of the codec; 1: off", 1, 100, NULL},
        {"intro-style", 0, HM_OPT_STRING, &a->intro, "TEXT", "tags of the [Intro] sections alone", 0, 0, NULL},
        {"verse-style", 0, HM_OPT_STRING, &a->verse, "TEXT", "tags of the [Verse] sections alone", 0, 0, NULL},
        {"chorus-style", 0, HM_OPT_STRING, &a->chorus, "TEXT", "tags of the [Chorus] sections alone", 0, 0, NULL},
        HM_SETTINGS_OPTION(&a->settings),
        {"force-length", 0, HM_OPT_FLAG, &a->force_length, NULL, "go on to the full length even if the song ends before", 0, 0, NULL},
        HM_ENGINE_CHOICE_OPTIONS(a->engine),
        {"json", 0, HM_OPT_FLAG, &a->json, NULL, "the result as one JSON object on standard output", 0, 0, NULL},
        {"quiet", 'q', HM_OPT_FLAG, &a->quiet, NULL, "no progress and no summary", 0, 0, NULL},
        {0},
    };
    hm_status st = hm_options_parse(self, options, argc, argv, NULL, 0, helped, err);
    return st || *helped ? st : hm_engine_choice_settle(&a->engine, err);
}

static hm_status check_args(const generate_args *a, hm_error *err)
{
    if (!a->tags)
        return hm_fail(err, HM_EUSAGE, "generate: --tags is missing: what should it sound like? (hmbench generate --help)");
    if (!a->lyrics)
        return hm_fail(err, HM_EUSAGE, "generate: --lyrics is missing: a file, or - for standard input (hmbench generate --help)");
    if (!a->output && !a->codes)
        return hm_fail(err, HM_EUSAGE,
                       "generate: -o is missing: where should the song go? (song.wav, .flac or .mp3; or --codes FILE alone)");
    return HM_OK;
}

static bool is_blank(const char *text)
{
    return !text[strspn(text, " \t\n")];
}

static hm_status read_texts(const generate_args *a, hm_request *request, char **tags, char **lyrics, hm_error *err)
{
    const char *const styles[] = {a->intro, a->verse, a->chorus};
    hm_status st = hm_text_or_file(tags, a->tags, "tags", err);
    if (!st)
        st = hm_text_read(lyrics, a->lyrics, "lyrics", err);
    for (int i = 0; i < 3 && !st; i++)
        if (styles[i])
            st = hm_text_check(styles[i], strlen(styles[i]), "section style", err);
    if (st)
        return st;
    if (is_blank(*lyrics))
        hm_log_write(hm_log_stderr(false), HM_LOG_WARNING, "the lyrics are empty: the song follows its tags alone");
    request->music.tags = *tags;
    request->music.lyrics = *lyrics;
    return HM_OK;
}

hm_status hm_cmd_generate(const hm_command *self, int argc, char **argv, hm_error *err)
{
    generate_args a = {.engine = {.variant = "best", .model = HM_MODEL_DEFAULT, .backend = "cpu", .need_lm = true},
                       .seconds = 120,
                       .cfg = 1.5,
                       .topk = 50,
                       .temperature = 1,
                       .seed = 1,
                       .guidance = 1.25};
    char *tags = NULL, *lyrics = NULL;
    bool helped;
    const hm_settings *settings = hm_settings_given(argc, argv);
    if (settings) { /* defaults of what is not said */
        a.seconds = settings->seconds;
        a.cfg = settings->cfg;
        a.topk = settings->topk;
        a.temperature = settings->temperature;
    }
    hm_status st = parse(self, argc, argv, &a, &helped, err);
    if (st || helped)
        return st;
    const hm_delivery delivery = {.path = a.output,
                                  .codes_path = a.codes,
                                  .variant = a.engine.variant,
                                  .settings = a.settings,
                                  .stream = a.stream,
                                  .quiet = a.quiet,
                                  .json = a.json};
    st = check_args(&a, err);
    if (!st)
        st = hm_delivery_check(&delivery, "generate", err);
    if (st)
        return st;
    a.engine.need_codec = a.output != NULL;
    hm_request request = {.music.intro_style = a.intro,
                          .music.verse_style = a.verse,
                          .music.chorus_style = a.chorus,
                          /* the first frame comes with the prompt and is not counted, as in the original */
                          .max_frames = (int)((int64_t)(a.seconds * 1000 + 0.5) / FRAME_MS) + 1,
                          .force_length = a.force_length,
                          .music.cfg_scale = a.cfg,
                          .topk = (int)a.topk,
                          .temperature = a.temperature,
                          .seed = (uint64_t)a.seed,
                          .music.flow_steps = (int)a.steps,
                          .music.flow_guidance = a.guidance,
                          .skip_codec = !a.output};
    st = read_texts(&a, &request, &tags, &lyrics, err);
    if (!st)
        st = hm_make(&a.engine, &delivery, &request, err);
    free(tags);
    free(lyrics);
    return st;
}
