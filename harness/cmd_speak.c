#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/audio/audio.h"
#include "harness/commands.h"
#include "harness/deliver.h"
#include "harness/settings.h"
#include "harness/stream_out.h"
#include "harness/text_input.h"

#define FRAME_MS 80
#define REFERENCE_RATE_HZ 24000 /* of every model's encoders */
#define OWN "; as the model says if not given"

typedef struct speak_args {
    hm_engine_choice engine;
    const char *text, *text_file, *speaker, *language, *instruct, *design, *reference, *reference_text, *output, *codes, *settings;
    double seconds, temperature, top_p, penalty, sub_temperature, sub_top_p; /* NaN: the model's own */
    int64_t topk, sub_topk, seed;                                            /* topk -1: the model's own */
    bool stream, force_length, streaming_text, whole_text, quiet, json;
} speak_args;

static hm_status parse(const hm_command *self, int argc, char **argv, speak_args *a, bool *helped, hm_error *err)
{
    const hm_option options[] = {
        {"text", 0, HM_OPT_STRING, &a->text, "TEXT", "what to say", 0, 0, NULL},
        {"text-file", 0, HM_OPT_STRING, &a->text_file, "FILE", "what to say, as a file; -: standard input", 0, 0, NULL},
        {"speaker", 0, HM_OPT_STRING, &a->speaker, "NAME", "who speaks: a voice of a custom_voice model", 0, 0, NULL},
        {"language", 0, HM_OPT_STRING, &a->language, "NAME", "of the text: english, chinese ...; auto if not given", 0, 0, NULL},
        {"instruct", 0, HM_OPT_STRING, &a->instruct, "TEXT", "how to speak", 0, 0, NULL},
        {"design", 0, HM_OPT_STRING, &a->design, "TEXT", "the voice in words: takes a voice_design model", 0, 0, NULL},
        {"ref-audio", 0, HM_OPT_STRING, &a->reference, "FILE", "recording of a voice to clone: takes a base model", 0, 0, NULL},
        {"ref-text", 0, HM_OPT_STRING, &a->reference_text, "TEXT", "what is said in it, or a file of that: cloned in context", 0, 0, NULL},
        {"seconds", 's', HM_OPT_DOUBLE, &a->seconds, "N", "length at most", 0.08, 3600, NULL},
        {"output", 'o', HM_OPT_STRING, &a->output, "PATH", "audio: .wav (float32), .flac (24 bit) or .mp3", 0, 0, NULL},
        HM_STREAM_OPTION(&a->stream),
        {"codes", 0, HM_OPT_STRING, &a->codes, "PATH", "also write the codes (safetensors), for hmbench decode", 0, 0, NULL},
        {"seed", 0, HM_OPT_INT, &a->seed, "N", "of all random numbers", 0, HM_OPTION_NO_MAX, NULL},
        {"topk", 0, HM_OPT_INT, &a->topk, "N", "codes 0 to choose among; 1: one, 0: all, -1: as the model says", -1, 1000000, NULL},
        {"temperature", 0, HM_OPT_DOUBLE, &a->temperature, "X", "of the choice among codes 0" OWN, 0.001, 100, NULL},
        {"top-p", 0, HM_OPT_DOUBLE, &a->top_p, "X", "share of the probability that codes 0 are chosen from" OWN, 0.001, 1, NULL},
        {"repetition-penalty", 0, HM_OPT_DOUBLE, &a->penalty, "X", "against codes 0 drawn before; 1: off" OWN, 0.001, 100, NULL},
        {"sub-topk", 0, HM_OPT_INT, &a->sub_topk, "N", "as --topk, for a frame's other codes", -1, 1000000, NULL},
        {"sub-temperature", 0, HM_OPT_DOUBLE, &a->sub_temperature, "X", "as --temperature, for a frame's other codes", 0.001, 100, NULL},
        {"sub-top-p", 0, HM_OPT_DOUBLE, &a->sub_top_p, "X", "as --top-p, for a frame's other codes", 0.001, 1, NULL},
        HM_SETTINGS_OPTION(&a->settings),
        {"force-length", 0, HM_OPT_FLAG, &a->force_length, NULL, "go on to the full length even if the speech ends before", 0, 0, NULL},
        {"streaming-text", 0, HM_OPT_FLAG, &a->streaming_text, NULL, "one token of the text a frame: what base models do", 0, 0, NULL},
        {"local-split", 0, HM_OPT_FLAG, &a->engine.local_split, NULL,
         "cut the text as the original does for a model in a local folder, not as the model was trained", 0, 0, NULL},
        {"whole-text", 0, HM_OPT_FLAG, &a->whole_text, NULL, "all of the text before the first frame: what other models do", 0, 0, NULL},
        HM_ENGINE_CHOICE_OPTIONS(a->engine),
        {"json", 0, HM_OPT_FLAG, &a->json, NULL, "the result as one JSON object on standard output", 0, 0, NULL},
        {"quiet", 'q', HM_OPT_FLAG, &a->quiet, NULL, "no progress and no summary", 0, 0, NULL},
        {0},
    };
    hm_status st = hm_options_parse(self, options, argc, argv, NULL, 0, helped, err);
    return st || *helped ? st : hm_engine_choice_settle(&a->engine, err);
}

static hm_status check_args(const speak_args *a, hm_error *err)
{
    if (!a->text && !a->text_file)
        return hm_fail(err, HM_EUSAGE, "speak: --text is missing: what is to be said? (or --text-file FILE; hmbench speak --help)");
    if (a->text && a->text_file)
        return hm_fail(err, HM_EUSAGE, "speak: --text and --text-file: give one of them");
    if (a->streaming_text && a->whole_text)
        return hm_fail(err, HM_EUSAGE, "speak: --streaming-text and --whole-text: give one of them");
    if (a->design && (a->speaker || a->instruct || a->reference))
        return hm_fail(err, HM_EUSAGE, "speak: --design is all that tells the voice; leave out --%s",
                       a->speaker    ? "speaker"
                       : a->instruct ? "instruct"
                                     : "ref-audio");
    if (a->reference_text && !a->reference)
        return hm_fail(err, HM_EUSAGE, "speak: --ref-text is what is said in --ref-audio, which is missing");
    if (!a->output && !a->codes)
        return hm_fail(err, HM_EUSAGE, "speak: -o is missing: where should the speech go? (a .wav, .flac or .mp3; or --codes FILE alone)");
    return HM_OK;
}

/* What the engine borrows. */
typedef struct speak_inputs {
    char *text, *reference_text;
    float *reference;
} speak_inputs;

/* The line breaks a file ends with are not to be said. */
static void trim_end(char *text)
{
    size_t n = text ? strlen(text) : 0;
    while (n && text[n - 1] == '\n')
        text[--n] = 0;
}

static hm_status read_inputs(const speak_args *a, hm_request *request, speak_inputs *in, hm_error *err)
{
    hm_speech_input *s = &request->speech;
    const char *instruct = a->design ? a->design : a->instruct;
    hm_status st;
    if (a->text_file)
        st = hm_text_read(&in->text, a->text_file, "text", err);
    else
        st = hm_text_check(a->text, strlen(a->text), "text", err);
    if (!st && instruct)
        st = hm_text_check(instruct, strlen(instruct), a->design ? "design" : "instruct", err);
    if (!st && a->reference_text)
        st = hm_text_or_file(&in->reference_text, a->reference_text, "reference text", err);
    if (!st && a->reference)
        st = hm_audio_read_reference(&in->reference, &s->reference_samples, a->reference, REFERENCE_RATE_HZ, err);
    trim_end(in->text);
    trim_end(in->reference_text);
    s->text = in->text ? in->text : a->text;
    s->instruct = instruct;
    s->reference = in->reference;
    s->reference_text = in->reference_text;
    return st;
}

static void free_inputs(speak_inputs *in)
{
    free(in->text);
    free(in->reference_text);
    free(in->reference);
}

static double or_own(double value)
{
    return isnan(value) ? -1 : value;
}

static hm_request request_of(const speak_args *a)
{
    return (hm_request){.task = HM_TASK_SPEECH,
                        .speech = {.speaker = a->speaker,
                                   .language = a->language,
                                   .streaming_text = a->streaming_text ? 1
                                                     : a->whole_text   ? 0
                                                                       : -1,
                                   .top_p = or_own(a->top_p),
                                   .repetition_penalty = or_own(a->penalty),
                                   .sub_temperature = or_own(a->sub_temperature),
                                   .sub_top_p = or_own(a->sub_top_p),
                                   .sub_topk = (int)a->sub_topk},
                        .max_frames = (int)((int64_t)(a->seconds * 1000 + 0.5) / FRAME_MS),
                        .force_length = a->force_length,
                        .topk = (int)a->topk,
                        .temperature = or_own(a->temperature),
                        .seed = (uint64_t)a->seed,
                        .skip_codec = !a->output};
}

hm_status hm_cmd_speak(const hm_command *self, int argc, char **argv, hm_error *err)
{
    speak_args a = {.engine = {.variant = "best", .backend = "cpu", .need_lm = true},
                    .seconds = 120,
                    .temperature = NAN,
                    .top_p = NAN,
                    .penalty = NAN,
                    .sub_temperature = NAN,
                    .sub_top_p = NAN,
                    .topk = -1,
                    .sub_topk = -1,
                    .seed = 1};
    speak_inputs in = {0};
    bool helped;
    const hm_settings *settings = hm_settings_given(argc, argv);
    if (settings) /* defaults of what is not said; guidance is of music */
        a.seconds = settings->seconds;
    if (settings && !settings->longest) {
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
        st = hm_delivery_check(&delivery, "speak", err);
    if (st)
        return st;
    if (!a.engine.model)
        a.engine.model = hm_model_default("speech", a.design ? "voice_design" : a.reference ? "base" : "custom_voice");
    a.engine.need_codec = a.output != NULL;
    a.engine.need_encoders = a.reference != NULL;
    hm_request request = request_of(&a);
    st = read_inputs(&a, &request, &in, err);
    if (!st)
        st = hm_make(&a.engine, &delivery, &request, err);
    free_inputs(&in);
    return st;
}
