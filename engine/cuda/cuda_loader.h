/* libcuda.so.1, opened at run time, and what its results mean. */
#ifndef HM_ENGINE_CUDA_CUDA_LOADER_H
#define HM_ENGINE_CUDA_CUDA_LOADER_H

#include <cuda.h>
#include <cudaTypedefs.h>

#include <stdbool.h>

#include "engine/base/error.h"

typedef struct hm_cuda_api {
#define HM_CUDA_ENTRY(symbol, type) type symbol;
#define HM_CUDA_NEWER(symbol, type) type symbol;
#include "engine/cuda/entries.def"
#undef HM_CUDA_ENTRY
#undef HM_CUDA_NEWER
} hm_cuda_api;

/* Opens the library and calls cuInit, once per process however often it is asked for. HM_EABSENT in one line: no library, no driver or
 * no device. */
hm_status hm_cuda_load(const hm_cuda_api **out, hm_error *err);

/* Fails with one sentence: where ("cuda 0 (name)"), the call, the result's name, what to do. `result` is no success. */
hm_status hm_cuda_fail(const char *where, CUresult result, const char *call, hm_error *err);

/* Nothing that is asked of the device will succeed any more: it is gone, or a kernel left its context unusable. */
bool hm_cuda_is_lost(CUresult result);

#define HM_CUDA_RESULT_TEXT 64
/* "CUDA_ERROR_OUT_OF_MEMORY", or the number of a result that is not known. Returns out. */
const char *hm_cuda_result_name(char out[HM_CUDA_RESULT_TEXT], CUresult result);

#endif
