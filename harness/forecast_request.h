/* A request of some length whose settings are the model's own: what memory is reckoned for. */
#ifndef HM_HARNESS_FORECAST_REQUEST_H
#define HM_HARNESS_FORECAST_REQUEST_H

#include "engine/base/model_kind.h"
#include "engine/hm_engine.h"

static inline hm_request hm_forecast_request(hm_model_kind model, int frames)
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
    if (model == HM_MODEL_WHISPER) /* as `hmbench transcribe` does; frames: of 80 ms, of the recording */
        return (hm_request){
            .task = HM_TASK_TRANSCRIPT,
            .max_frames = 256,
            .transcript = {.samples = (int64_t)frames * HM_TRANSCRIPT_RATE * 2 / 25, .chunk_s = 30, .batch = 16, .beams = 2}};
    return (hm_request){.task = HM_TASK_MUSIC,
                        .max_frames = frames,
                        .topk = 50,
                        .temperature = 1,
                        .music = {.tags = "", .lyrics = "", .cfg_scale = 1.5, .flow_guidance = 1.25}};
}

#endif
