/* Phases, frames, parts and operations as ranges of NVTX, for profilers that are started around this program (nsys, ncu). Nothing of NVIDIA is
 * linked: the headers look for a profiler when they are first used, and where there is none the engine is asked for nothing. */
#ifndef HM_HARNESS_NVTX_H
#define HM_HARNESS_NVTX_H

#include "engine/base/error.h"
#include "engine/base/probe.h"

/* One engine's ranges. */
typedef struct hm_nvtx hm_nvtx;

/* Passes everything on to `inner` (may be NULL, must live longer). *out is NULL where no profiler is attached, or the build has no NVTX. */
hm_status hm_nvtx_open(hm_nvtx **out, const hm_probe *inner, hm_error *err);
void hm_nvtx_close(hm_nvtx **nvtx);

/* What the engine is given. */
const hm_probe *hm_nvtx_probe(const hm_nvtx *nvtx);

#endif
