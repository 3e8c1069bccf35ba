/* Energy of CPU packages by the counters of the powercap tree (RAPL). */
#ifndef HM_HARNESS_ENERGY_H
#define HM_HARNESS_ENERGY_H

#include "harness/clock.h"
#include "harness/sample.h"

enum {
    HM_ENERGY_DOMAINS = 16
};
#define HM_ENERGY_WINDOW_NS ((int64_t)1000000000) /* of a call or an idle moment at least: counters move in steps of a millisecond */

typedef struct hm_energy {
    const char *root;
    int count; /* packages; 0: nothing to read, source says why */
    struct {
        char folder[48]; /* sys/class/powercap/intel-rapl:0 */
        int64_t range_uj, last_uj;
    } domains[HM_ENERGY_DOMAINS];
    int64_t total_uj; /* since hm_energy_start */
    bool broken;      /* a counter could not be read meanwhile */
    char source[160]; /* "RAPL package-0, package-1", or why there is none and what to do */
} hm_energy;

/* Finds the packages below root ("/"; a folder in tests; borrowed). Without any that can be read, count is 0 and source says why. */
void hm_energy_open(hm_energy *e, const char *root);

/* Counters wrap every few minutes of load: hm_energy_update has to be called within (every HM_ENERGY_UPDATE_NS). */
#define HM_ENERGY_UPDATE_NS ((int64_t)20000000000)
void hm_energy_start(hm_energy *e);
void hm_energy_update(hm_energy *e);

/* What was used since hm_energy_start, into energy_uj and energy_source. A call under a second (wall_ns) gets none: its source says so. */
void hm_energy_fill(hm_energy *e, hm_sample *sample);

/* Watts while nothing runs, over at least a second by the clock; NaN: not readable. */
double hm_energy_idle_w(const char *root, const hm_clock *clock);

/* energy_idle_uj of a sample that has energy_uj. */
void hm_energy_fill_idle(hm_sample *sample, double idle_w);

#endif
