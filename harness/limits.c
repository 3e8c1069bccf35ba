#include "harness/limits.h"

#include "engine/cpu/bench.h"

hm_status hm_limits_measure(hm_limits *out, hm_device *dev, double seconds, hm_progress *progress, hm_error *err)
{
    const size_t blocks[] = {HM_LIMIT_CACHE_BYTES, HM_LIMIT_MEMORY_BYTES};
    double *const rates[] = {&out->cache_gb_s, &out->memory_gb_s};
    hm_status st = HM_OK;
    *out = (hm_limits){.threads = hm_team_size(hm_cpu_team(dev)), .isa = hm_isa_name(hm_cpu_isa(dev))};
    for (int i = 0; i < 2 && !st; i++) {
        st = hm_cpu_measure_bandwidth(dev, blocks[i], seconds, rates[i], err);
        if (progress)
            hm_progress_update(progress, "memory", i + 1, 2);
        if (!st && hm_interrupted())
            st = hm_fail(err, HM_EINTERRUPTED, "limits: interrupted");
    }
    if (!st)
        out->gflop_s = hm_cpu_measure_flops(dev, seconds);
    return st;
}
