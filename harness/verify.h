/* Verification of the engine against a folder of golden files. */
#ifndef HM_HARNESS_VERIFY_H
#define HM_HARNESS_VERIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/hm_engine.h"

typedef enum hm_verify_outcome {
    HM_VERIFY_OK,
    HM_VERIFY_MISS,
    HM_VERIFY_NOTE
} hm_verify_outcome;

/* One line of the report: a golden tensor, a list of codes, or a note. Texts are valid during the call. */
typedef struct hm_verify_row {
    const char *file, *tensor, *shape;
    double max_abs, max_rel, tolerance; /* tolerance < 0: exactness is asked for */
    hm_verify_outcome outcome;
    const char *text; /* "ok", "exact", "differs" ... */
} hm_verify_row;

typedef struct hm_verify {
    const hm_engine_api *api;
    const hm_toggles *toggles;    /* for the runtime build, else NULL */
    const hm_toggles *precision;  /* of the variant, for what its formats lose; NULL: nothing */
    const char *backend, *device; /* NULL: the CPU; the first one */
    const char *driver_cache;     /* folder of what drivers compile; NULL: nothing is kept */
    int threads;
    const char *isa;
    bool run_manifests; /* models whose manifest has no goldens are run once too */
    void *self;
    void (*row)(void *self, const hm_verify_row *row);
    int compared, missed; /* rows so far */
} hm_verify;

/* Everything in dir. HM_EMISSING when there is nothing to verify, HM_EFORMAT for files that are wrong; misses are counted, not
 * failures of this function. */
hm_status hm_verify_folder(hm_verify *verify, const char *dir, hm_error *err);

/* verify_text.c: tokenizer and lower-casing cases of dir, where it has them. */
hm_status hm_verify_text(hm_verify *verify, const char *dir, hm_error *err);

/* Reports one row and counts it. */
void hm_verify_report(hm_verify *verify, const hm_verify_row *row);

#endif
