/* What a model would need of memory at several lengths, from shapes alone, against memory sizes: `hmbench inspect MODEL --memory`. */
#ifndef HM_HARNESS_FORECAST_H
#define HM_HARNESS_FORECAST_H

#include "engine/base/model_kind.h"
#include "harness/options.h"
#include "reports/document.h"

#define HM_FORECAST_LENGTHS 32

typedef struct hm_forecast {
    const char *name, *path; /* as asked for; the folder or file */
    const char *backend;     /* "cpu"; of others also what lies on the device and what in the host's memory */
    hm_model_kind model;
    const hm_strings *variants;
    double seconds[HM_FORECAST_LENGTHS];
    int length_count;
    int batch, prompt_rows;
} hm_forecast;

/* "10,30,60" into out; returns how many, 0 with *err set: not numbers, none or too many, or outside 0.08 to 3600. */
int hm_forecast_lengths(const char *text, double out[HM_FORECAST_LENGTHS], hm_error *err);

/* Of so much audio, at least one. */
int hm_forecast_frames(double seconds);

/* A variant that cannot be estimated fails. The caller frees. */
hm_status hm_forecast_make(hm_document **out, const hm_forecast *forecast, hm_error *err);

#endif
