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
    return (hm_request){.task = HM_TASK_MUSIC,
                        .max_frames = frames,
                        .topk = 50,
                        .temperature = 1,
                        .music = {.tags = "", .lyrics = "", .cfg_scale = 1.5, .flow_guidance = 1.25}};
}

#endif
