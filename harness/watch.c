#include "harness/watch.h"

void hm_watch_open(hm_watch *w, const char *root, const hm_perf_system *perf)
{
    *w = (hm_watch){.root = root};
    hm_energy_open(&w->energy, root);
    hm_perf_open(&w->perf, perf);
}

void hm_watch_close(hm_watch *w)
{
    hm_perf_close(&w->perf);
}

void hm_watch_start(hm_watch *w)
{
    hm_machine_state_read(w->root, &w->before);
    w->updated_ns = hm_clock_now(hm_clock_real());
    hm_energy_start(&w->energy);
    hm_perf_start(&w->perf);
}

void hm_watch_update(hm_watch *w, int64_t now_ns)
{
    if (!w->energy.count || now_ns - w->updated_ns < HM_ENERGY_UPDATE_NS)
        return;
    w->updated_ns = now_ns;
    hm_energy_update(&w->energy);
}

void hm_watch_fill(hm_watch *w, hm_sample *sample)
{
    hm_perf_fill(&w->perf, sample); /* first: what follows is not counted */
    hm_energy_fill(&w->energy, sample);
    hm_machine_state_read(w->root, &w->after);
    hm_machine_state_fill(sample, &w->before, &w->after);
}
