/* The settings of the default simulation. */
#ifndef HM_HARNESS_GATE_GRID_H
#define HM_HARNESS_GATE_GRID_H

#include "harness/gate_simulation.h"

enum {
    HM_GATE_GRID = 256
}; /* most of them */

/* Of a set, or of all; returns how many. */
int hm_gate_grid(hm_simulation_set set, hm_simulation_setting out[HM_GATE_GRID]);

#endif
