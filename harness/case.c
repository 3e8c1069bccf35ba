#include "harness/case.h"

#include <math.h>
#include <string.h>

#include "engine/audio/audio.h"

hm_case_record hm_case_of(const hm_suite *suite, const hm_suite_case *c)
{
    hm_case_record r = {.suite = suite->name,
                        .name = c->name,
                        .task = c->task,
                        .frames = c->frames,
                        .words = c->words,
                        .topk = c->topk,
                        .temperature = c->temperature,
                        .seed = c->seed,
                        .tags = c->tags,
                        .lyrics = c->lyrics,
                        .intro_style = c->intro_style,
                        .verse_style = c->verse_style,
                        .chorus_style = c->chorus_style,
                        .flow_steps = c->flow_steps,
                        .cfg_scale = c->cfg_scale,
                        .flow_guidance = c->flow_guidance,
                        .kind = c->kind,
                        .text = c->text,
                        .speaker = c->speaker,
                        .language = c->language,
                        .instruct = c->instruct,
                        .reference = c->reference,
                        .reference_text = c->reference_text,
                        .streaming_text = c->streaming_text,
                        .sub_topk = c->sub_topk,
                        .top_p = c->top_p,
                        .repetition_penalty = c->repetition_penalty,
                        .sub_temperature = c->sub_temperature,
                        .sub_top_p = c->sub_top_p,
                        .recording = c->recording,
                        .audio_s = c->audio_s,
                        .chunk_s = c->chunk_s,
                        .batch = c->batch,
                        .window_tokens = c->window_tokens,
                        .beams = c->beams};
    memcpy(r.suite_hash, suite->hash, sizeof r.suite_hash);
    return r;
}

hm_task hm_case_task(const hm_case_record *c)
{
    return !strcmp(c->task, "speech") ? HM_TASK_SPEECH : !strcmp(c->task, "transcript") ? HM_TASK_TRANSCRIPT : HM_TASK_MUSIC;
}

bool hm_case_is_sung(const hm_case_record *c)
{
    return c->recording && !strcmp(c->recording, "music");
}

bool hm_case_takes(const hm_case_record *c, int64_t frames)
{
    if (hm_case_task(c) != HM_TASK_TRANSCRIPT)
        return frames == c->frames;
    int64_t least = (int64_t)hm_suite_windows(c->audio_s, c->chunk_s) * c->window_tokens;
    return c->chunk_s > 0 ? frames == least : frames >= least && frames <= HM_SUITE_MOST_TOKENS && frames % c->window_tokens == 0;
}

static hm_music_input music_of(const hm_case_record *c)
{
    return (hm_music_input){.tags = c->tags,
                            .lyrics = c->lyrics,
                            .intro_style = c->intro_style,
                            .verse_style = c->verse_style,
                            .chorus_style = c->chorus_style,
                            .cfg_scale = c->cfg_scale,
                            .flow_steps = c->flow_steps,
                            .flow_guidance = c->flow_guidance};
}

static hm_speech_input speech_of(const hm_case_record *c)
{
    return (hm_speech_input){.text = c->text,
                             .speaker = c->speaker,
                             .language = c->language,
                             .instruct = c->instruct,
                             .reference_text = c->reference_text,
                             .streaming_text = c->streaming_text,
                             .top_p = c->top_p,
                             .repetition_penalty = c->repetition_penalty,
                             .sub_temperature = c->sub_temperature,
                             .sub_top_p = c->sub_top_p,
                             .sub_topk = c->sub_topk};
}

/* Nothing is judged or tried again: the work is the same whatever the text. */
static hm_transcript_input transcript_of(const hm_case_record *c)
{
    return (hm_transcript_input){.samples = llrint(c->audio_s * HM_TRANSCRIPT_RATE),
                                 .chunk_s = c->chunk_s,
                                 .batch = c->batch,
                                 .beams = c->beams,
                                 .language = c->language,
                                 .task = "transcribe",
                                 .ratio_threshold = NAN,
                                 .logprob_threshold = NAN,
                                 .no_speech_threshold = NAN};
}

hm_request hm_case_request(const hm_case_record *c)
{
    hm_request r = {.task = hm_case_task(c),
                    .max_frames = c->frames,
                    .force_length = true,
                    .topk = c->topk,
                    .temperature = c->temperature,
                    .seed = c->seed};
    if (r.task == HM_TASK_TRANSCRIPT) {
        r.transcript = transcript_of(c);
        r.max_frames = c->window_tokens;
        r.skip_codec = true;
    } else if (r.task == HM_TASK_SPEECH)
        r.speech = speech_of(c);
    else
        r.music = music_of(c);
    return r;
}

hm_request hm_case_song(const hm_case_record *c)
{
    return (hm_request){.task = HM_TASK_MUSIC,
                        .music = music_of(c),
                        .max_frames = (int)lrint(c->audio_s * HM_SUITE_FRAMES_PER_SECOND),
                        .force_length = true,
                        .topk = c->topk,
                        .temperature = c->temperature,
                        .seed = c->seed};
}

hm_status hm_case_reference(hm_request *request, float **samples, const char *path, int rate_hz, hm_error *err)
{
    hm_status st = hm_audio_read_reference(samples, &request->speech.reference_samples, path, rate_hz, err);
    if (!st)
        request->speech.reference = *samples;
    return st;
}
