/* Checkpoints that others write and that this engine does not read, told by name. */
#ifndef HM_ENGINE_DIALECT_H
#define HM_ENGINE_DIALECT_H

#include "engine/base/error.h"
#include "engine/weights.h"

/* One row: name, what it is, what to do. */
#define HM_DIALECT_LIST(X)                                                                                                              \
    X(HM_DIALECT_NONE, "safetensors", "nothing: it is read as it is")                                                                   \
    X(HM_DIALECT_GGUF, "GGUF (llama.cpp, audio.cpp)", "take the safetensors folder it was made from")                                   \
    X(HM_DIALECT_PICKLE, "a PyTorch pickle (.bin, .pt, .ckpt)", "convert it to safetensors; a pickle can run code and is never opened") \
    X(HM_DIALECT_ONNX, "ONNX", "take the safetensors folder it was exported from")                                                      \
    X(HM_DIALECT_NUMPY, "a NumPy archive (.npz, MLX)", "take the safetensors folder it was made from")                                  \
    X(HM_DIALECT_MLX_QUANTISED, "quantised MLX (weight, scales, biases)", "take the BF16 or F32 safetensors; quantise here instead")    \
    X(HM_DIALECT_MLX_CODEC, "an MLX codec (weight norm folded, axes permuted)", "take the original HeartCodec-oss folder")              \
    X(HM_DIALECT_MULACOVER, "MuLaCover", "take HeartMuLa-oss-3B; run as HeartMuLa it would be a wrong model")

typedef enum hm_dialect {
#define HM_DIALECT_ENUM(name, text, advice) name,
    HM_DIALECT_LIST(HM_DIALECT_ENUM)
#undef HM_DIALECT_ENUM
} hm_dialect;

const char *hm_dialect_text(hm_dialect dialect);
const char *hm_dialect_advice(hm_dialect dialect);

/* By the suffix of a file name; by its first bytes and suffix (HM_DIALECT_NONE when it cannot be read). */
hm_dialect hm_dialect_of_name(const char *file_name);
hm_dialect hm_dialect_of_file(const char *path);

/* By the names of the tensors and the fields of the config; example names the tensor or field that tells. */
hm_dialect hm_dialect_of_weights(const hm_weights *weights, const char **example);

/* HM_EFORMAT "PATH: DIALECT (EXAMPLE) is not read here: ADVICE". */
hm_status hm_dialect_refuse(hm_dialect dialect, const char *path, const char *example, hm_error *err);

/* hm_weights_open that does not refuse a dialect found by its tensors, but reports it; for those who only look. */
hm_status hm_weights_open_any(hm_weights **out, const char *path, hm_load load, hm_dialect *dialect, hm_error *err);

#endif
