/* How near audio comes to other audio: for variants that may compute other numbers. */
#ifndef HM_HARNESS_FIDELITY_H
#define HM_HARNESS_FIDELITY_H

#include "harness/store.h"

/* Signal-to-noise ratios in dB of x against the reference r, over all channels; infinite when nothing differs, NaN when r is silent.
 *   time:     10 log10(sum r^2 / sum (x - r)^2)
 *   spectrum: the same of magnitudes |R|, |X| of 1024-point Hann windows, 512 apart: blind to phase, as the ear nearly is */
typedef struct hm_fidelity {
    double snr_db, spectral_snr_db;
} hm_fidelity;

/* planar [channels][samples]; samples of both are compared as far as the shorter one goes. */
hm_fidelity hm_fidelity_compare(const float *reference, int64_t reference_samples, const float *x, int64_t samples, int channels);

/* Compares the kept audio of every arm of a session with that of the first arm of its model, case by case, and stores the figures. What was
 * not kept, or is gone, has none. */
hm_status hm_session_fidelity(hm_store *store, const char *session_id, hm_error *err);

#endif
