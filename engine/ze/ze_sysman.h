/* Readings of a GPU by Level Zero Sysman. */
#ifndef HM_ENGINE_ZE_ZE_SYSMAN_H
#define HM_ENGINE_ZE_ZE_SYSMAN_H

#include "engine/gpu/readings.h"

extern const hm_gpu_sensors_entries hm_ze_sensors;

#endif
