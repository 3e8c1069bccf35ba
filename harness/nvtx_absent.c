/* In a build without NVTX's headers: no profiler is ever attached. */
#include "harness/nvtx.h"

hm_status hm_nvtx_open(hm_nvtx **out, const hm_probe *inner, hm_error *err)
{
    (void)inner;
    (void)err;
    *out = NULL;
    return HM_OK;
}

void hm_nvtx_close(hm_nvtx **nvtx)
{
    *nvtx = NULL;
}

const hm_probe *hm_nvtx_probe(const hm_nvtx *nvtx)
{
    (void)nvtx;
    return NULL;
}
