/* How near an arm comes to the reference, the first arm of its model: for variants that may compute other numbers. Of audio here; of
 * logits in harness/logits.h; how they are gathered in harness/fidelity_run.h. */
#ifndef HM_HARNESS_FIDELITY_H
#define HM_HARNESS_FIDELITY_H

#include <stdint.h>

/* Of x against the reference r, in dB, over all channels.
 *   snr:            10 log10(sum r^2 / sum (x - r)^2); infinite: nothing differs, NaN: r is silent
 *   spectral_snr:   the same of magnitudes |R|, |X| of 1024-point Hann windows, 512 apart: blind to phase, as the ear nearly is
 *   log_spectral:   log-spectral distance: mean over these windows of sqrt(mean over bins of (10 log10(P_r / P_x))^2), P = |X|^2 with a
 *                   sine of full scale at 1 and nothing below 1e-10 (-100 dB); 0: nothing differs
 * NaN without memory for spectra, and where a sample is NaN. */
typedef struct hm_fidelity {
    double snr_db, spectral_snr_db, log_spectral_db;
} hm_fidelity;

/* planar [channels][samples]; samples of both are compared as far as the shorter one goes. */
hm_fidelity hm_fidelity_compare(const float *reference, int64_t reference_samples, const float *x, int64_t samples, int channels);

#endif
