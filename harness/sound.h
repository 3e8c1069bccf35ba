/* What a signal sounds like in figures: windows of its level, its zero crossings and its spectrum, how its end compares with its beginning,
 * and what happens where separately made stretches meet. For verdicts see harness/health.h; docs/health.md has the thresholds. */
#ifndef HM_HARNESS_SOUND_H
#define HM_HARNESS_SOUND_H

#include <stdbool.h>
#include <stdint.h>

#define HM_SOUND_POINTS 1024 /* of a spectrum: Hann windows, half of that apart */
#define HM_SOUND_BINS (HM_SOUND_POINTS / 2 + 1)

/* Power spectra |X|^2 / (sum of the window / 2)^2 of HM_SOUND_POINTS samples at a time: a sine of full scale has power 1 in its bin. */
typedef struct hm_spectrum hm_spectrum;
hm_spectrum *hm_spectrum_open(void); /* NULL without memory */
void hm_spectrum_close(hm_spectrum **s);
/* Of x[0 .. left), zeros beyond; power [HM_SOUND_BINS]. */
void hm_spectrum_of(hm_spectrum *s, const float *x, int64_t left, double *power);

/* All channels together: crossings, levels and spectra are means over channels. NaN: not known (no audio, all of it silent, no memory). */
typedef struct hm_sound {
    double window_s;           /* 10 s, or all of the audio where that is shorter */
    int windows, loud_windows; /* whole ones; those of them above -60 dBFS, which alone count below */
    double zero_crossings;     /* share of samples at which the sign changes: median of windows */
    double flatness;           /* geometric by arithmetic mean of the window's mean power spectrum, 0 tone to 1 noise: median */
    double first_zero_crossings, first_flatness; /* of the first loud window */
    double most_zero_crossings, most_flatness;   /* of the windows after it, the largest */
    double level_drift_db;                       /* RMS of the last third of the audio against that of the first; audio of 3 s at least */
    double centroid_drift;                       /* octaves between the centres of mass of the power spectra of these thirds */
} hm_sound;

/* planar [channels][samples]; samples that are not finite count as 0. */
void hm_sound_measure(hm_sound *out, const float *planar, int channels, int64_t samples, int rate_hz);

/* How much more a signal jumps at its seams than around them, in dB: 10 log10 of the mean square of the second difference
 * x[n-1] - 2 x[n] + x[n+1] in the 8 samples around a seam, by the same in the 50 ms before and after it without them; the largest of all
 * seams and channels. seams: samples at which something new begins. Around 0: nothing shows; a click has tens of dB. NaN: no seam that has
 * sound around it. */
double hm_sound_seam_db(const float *planar, int channels, int64_t samples, int rate_hz, const int64_t *seams, int count);

#endif
