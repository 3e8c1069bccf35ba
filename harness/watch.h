/* Everything that is watched around a timed call: the machine's state, energy, counters. Nothing of it fails a benchmark: what cannot be
 * had is unknown in the sample, with its reason. */
#ifndef HM_HARNESS_WATCH_H
#define HM_HARNESS_WATCH_H

#include "harness/energy.h"
#include "harness/machine_state.h"
#include "harness/perf_counters.h"

typedef struct hm_watch {
    const char *root; /* of /proc and /sys; borrowed */
    hm_energy energy;
    hm_perf_counters perf;
    hm_machine_state before, after;
    int64_t updated_ns;
} hm_watch;

/* Before the engine makes its threads, which are then counted too. */
void hm_watch_open(hm_watch *w, const char *root, const hm_perf_system *perf);
void hm_watch_close(hm_watch *w);

void hm_watch_start(hm_watch *w);
/* While it runs, as often as one likes: keeps wrapping counters in view. now_ns: of hm_clock_real(). */
void hm_watch_update(hm_watch *w, int64_t now_ns);
/* Right after the call; wall_ns of the sample is set. */
void hm_watch_fill(hm_watch *w, hm_sample *sample);

#endif
