/* The families of models. Bits, so that a toggle can name several. */
#ifndef HM_ENGINE_BASE_MODEL_KIND_H
#define HM_ENGINE_BASE_MODEL_KIND_H

typedef enum hm_model_kind {
    HM_MODEL_NONE = 0,
    HM_MODEL_HEARTMULA = 1,
    HM_MODEL_QWEN3_TTS = 2,
    HM_MODEL_WHISPER = 4
} hm_model_kind;

#endif
