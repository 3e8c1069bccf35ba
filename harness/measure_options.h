/* Options of a measuring session as the JSON text that the database keeps, so that it can go on with the same words. */
#ifndef HM_HARNESS_MEASURE_OPTIONS_H
#define HM_HARNESS_MEASURE_OPTIONS_H

#include <jansson.h>

#include "harness/measure.h"

/* Everything that decides what is run and how; malloc'ed, NULL without memory. */
char *hm_measure_pack(const hm_measure_options *options, const hm_plan *plan, const char *build_id);

/* Puts what hm_measure_pack wrote into *out; the rest of it stays. Texts stay in o. HM_EIO: incomplete. */
hm_status hm_measure_unpack(const json_t *o, hm_measure_options *out, hm_error *err);

#endif
