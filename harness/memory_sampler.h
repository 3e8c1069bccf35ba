/* A thread that writes down the process's resident set while something runs. */
#ifndef HM_HARNESS_MEMORY_SAMPLER_H
#define HM_HARNESS_MEMORY_SAMPLER_H

#include <stdint.h>

#include "engine/base/error.h"
#include "harness/clock.h"

#define HM_MEMORY_SAMPLE_NS 10000000 /* between samples at first; doubled whenever the buffer is full */
#define HM_MEMORY_SAMPLES 8192

typedef struct hm_memory_sample {
    int64_t at_ns, rss_bytes;
} hm_memory_sample;

typedef struct hm_memory_sampler hm_memory_sampler;

/* The clock gives the times (it is not slept on). */
hm_status hm_memory_sampler_open(hm_memory_sampler **out, const hm_clock *clock, hm_error *err);
void hm_memory_sampler_close(hm_memory_sampler **sampler); /* stops it, too */

/* Forgets earlier samples. HM_EABSENT when no thread can be had. */
hm_status hm_memory_sampler_start(hm_memory_sampler *sampler, hm_error *err);
void hm_memory_sampler_stop(hm_memory_sampler *sampler);

/* In order of time; only while it is stopped. */
const hm_memory_sample *hm_memory_sampler_samples(const hm_memory_sampler *sampler, int *count);

#endif
