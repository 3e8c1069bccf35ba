/* The arms of a plan: variants, times models, instruction sets, threads and toggles, times builds of hmbench; and other programs. */
#ifndef HM_HARNESS_PLAN_ARMS_H
#define HM_HARNESS_PLAN_ARMS_H

#include "harness/plan.h"

/* The plan's cases are there already. */
hm_status hm_plan_make_arms(hm_plan *plan, const hm_plan_options *options, hm_error *err);

/* What a case takes, for people. */
const char *hm_plan_case_needs(const hm_case_record *c);

#endif
