/* Proof of place: where each part of a model ran, as its operations noted it, and what is wrong with that. */
#ifndef HM_HARNESS_PLACES_H
#define HM_HARNESS_PLACES_H

#include <stdbool.h>
#include <stdio.h>

#include "engine/base/place.h"
#include "harness/store.h"

/* "backbone=cpu:avx2,decoder=cpu:avx2", cut at `size`; a part whose operations ran on more than one device has '+' behind the first one.
 * Parts without operations are left out. Returns out. */
const char *hm_places_text(char *out, size_t size, const hm_place *places, int count);

/* One sentence when something is off in such a text: a part on more than one device, parts on unlike devices, a part elsewhere than on the
 * backend that was asked for (NULL or "command": none was). False: nothing is, or nothing is known. */
bool hm_places_remark(const char *places, const char *backend, char *out, size_t size);

/* A line for every arm of a session of which something is off: "naive: asked for cuda, but backbone ran on cpu:avx2". Nothing when all is
 * well. */
hm_status hm_places_report(hm_store *store, const char *session_id, FILE *file, hm_error *err);

#endif
