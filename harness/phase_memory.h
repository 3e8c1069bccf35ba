/* The most memory that each phase of the engine held: the kernel's high-water mark of the resident set, set back at the beginning of
 * every phase. Costs some 50 us per phase. */
#ifndef HM_HARNESS_PHASE_MEMORY_H
#define HM_HARNESS_PHASE_MEMORY_H

#include <stdbool.h>

#include "harness/sample.h"

enum {
    HM_MEMORY_PHASES = 4
}; /* load, prefill, generate, decode */

typedef struct hm_phase_memory {
    const char *root;   /* borrowed */
    bool set_back;      /* the kernel lets the mark be set back; otherwise only a phase that raises it is known */
    int64_t most_bytes; /* of the whole process so far; HM_UNKNOWN: /proc does not say */
    int64_t at_begin;   /* the mark when the phase began */
    struct {
        int64_t most_bytes, file_bytes; /* the mark, and resident pages of files, both at its end; HM_UNKNOWN: did not run */
    } phases[HM_MEMORY_PHASES];
} hm_phase_memory;

/* Files below root ("/"; a folder in tests). */
void hm_phase_memory_open(hm_phase_memory *m, const char *root);
/* Forgets the phases of a generation, not load. */
void hm_phase_memory_clear(hm_phase_memory *m);
/* name: of a span of kind HM_SPAN_PHASE; others are left alone. A phase that comes twice keeps its larger figure. */
void hm_phase_memory_begin(hm_phase_memory *m, const char *name);
void hm_phase_memory_end(hm_phase_memory *m, const char *name);

/* peak_rss_bytes of the process, and *_peak_bytes less the mapped pages of the model, of which mapped_bytes are resident now. */
void hm_phase_memory_fill(hm_phase_memory *m, int64_t mapped_bytes, hm_sample *sample);

/* Resident set now; HM_UNKNOWN: /proc does not say. */
int64_t hm_resident_bytes(const char *root);

#endif
