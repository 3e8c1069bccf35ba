/* Gates on made-up times: the real schedule (harness/rounds.h, on the fake clock) and the real rule (harness/gate.h) over runs whose true
 * slowdown is known, to count how often the verdict is wrong. docs/statistics.md has the results.
 *
 * A run takes e^(noise z / 1.177) of its typical time, z normal; in one run of twenty 3 |z| stands for z: a heavy tail, upward, and 1.177
 * makes `noise` the sd of all runs. The machine's drift multiplies it by what it is at the time the run starts. `slowdown` is planted in one
 * case of `cases`: the hardest place to find it. */
#ifndef HM_HARNESS_GATE_SIMULATION_H
#define HM_HARNESS_GATE_SIMULATION_H

#include <stdint.h>

#include "engine/base/error.h"
#include "reports/document.h"

typedef enum hm_drift {
    HM_DRIFT_NONE,
    HM_DRIFT_RAMP, /* slower by 6 % per stretch of time that the rounds up to the first look take */
    HM_DRIFT_AR,   /* AR(1) of its logarithm: sd 2.5 %, correlation e^-1 after 10 runs */
    HM_DRIFT_STEP, /* 10 % slower for a third of every such stretch, somewhere in it */
    HM_DRIFT_COUNT
} hm_drift;
const char *hm_drift_name(hm_drift drift); /* "none", "ramp", "ar", "step" */

/* What the default grid is made of. */
typedef enum hm_simulation_set {
    HM_SIMULATE_ALL,
    HM_SIMULATE_GOALS,  /* identical arms and +3 %, by noise and drift */
    HM_SIMULATE_NOISE,  /* operating curves: share of FAIL by true slowdown, one curve per noise */
    HM_SIMULATE_MARGIN, /* one per margin */
    HM_SIMULATE_CASES   /* one per number of cases */
} hm_simulation_set;
#define HM_SIMULATION_SETS "all", "goals", "noise", "margin", "cases" /* names in this order */

typedef struct hm_simulation_setting {
    hm_simulation_set set; /* that it belongs to */
    double noise;          /* sd of the logarithms of runs' times, drift left out: 0.015 is 1.5 % */
    hm_drift drift;
    double slowdown; /* true: 0.03 is 3 % */
    double margin;
    int cases;
} hm_simulation_setting;

typedef struct hm_simulation_outcome {
    hm_simulation_setting setting;
    int gates, fail, pass, inconclusive; /* pass: improved ones too */
    int wrong_case;                      /* of fail: a case that is not slower failed */
    double mean_rounds;                  /* until the last case of a gate is decided */
} hm_simulation_outcome;

typedef struct hm_simulation_options { /* 0: what is said */
    hm_simulation_set set;
    const hm_simulation_setting *settings; /* these instead of a set; NULL: the set's */
    int setting_count;
    int gates;                  /* per setting: 1000 */
    uint64_t seed;              /* Philox: the same numbers for any number of threads */
    int threads;                /* all CPUs */
    double alpha;               /* HM_GATE_ALPHA when 0 */
    int min_rounds, max_rounds; /* 10, 40 */
} hm_simulation_options;

typedef struct hm_simulation_result {
    hm_simulation_outcome *rows;
    int count;
} hm_simulation_result;

/* HM_EUSAGE: nonsense numbers, told by name; HM_EINTERRUPTED. */
hm_status hm_gate_simulate(const hm_simulation_options *options, hm_simulation_result *out, hm_error *err);
void hm_simulation_result_free(hm_simulation_result *result);

/* One row per setting: noise, drift, slowdown, margin, cases, gates, fail, pass, inconclusive (%), mean rounds. NULL without memory. */
hm_document *hm_simulation_document(const hm_simulation_result *result);

/* A picture of operating curves, .svg or .png: of `set`, or with HM_SIMULATE_ALL of the first set of curves in the result. HM_EMISSING: it
 * has none. */
hm_status hm_simulation_draw(const hm_simulation_result *result, hm_simulation_set set, const char *output, hm_error *err);

#endif
