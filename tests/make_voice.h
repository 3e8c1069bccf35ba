/* A recording to clone that is nobody's voice: harmonics of a gliding pitch under two moving resonances, in syllables with pauses. The same
 * samples in every run. */
#ifndef HM_TESTS_MAKE_VOICE_H
#define HM_TESTS_MAKE_VOICE_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

/* How strongly a resonance at `center` hertz passes `hz`. */
static inline double make_voice_resonance(double hz, double center, double width)
{
    double x = (hz - center) / width;
    return 1 / (1 + x * x);
}

/* Loudness of time t: four syllables a second, every fifth one silent. */
static inline double make_voice_syllable(double t)
{
    double phase = t * 4 - floor(t * 4);
    return (int64_t)(t * 4) % 5 == 4 ? 0 : sin(M_PI * phase) * sin(M_PI * phase);
}

/* count mono samples at the rate, peak about `peak`; pitch_hz: of the voice. malloc'ed; NULL without memory. */
static inline float *make_voice(int64_t count, int rate_hz, double pitch_hz, double peak)
{
    float *samples = malloc((size_t)count * sizeof *samples + 1);
    double turn = 0, loudest = 0;
    for (int64_t i = 0; samples && i < count; i++) {
        double t = (double)i / rate_hz, pitch = pitch_hz * (1 + 0.1 * sin(2 * M_PI * 1.3 * t)), sum = 0;
        turn = fmod(turn + pitch / rate_hz, 1);
        for (int k = 1; k * pitch < 4000 && k * pitch < rate_hz / 2.0; k++)
            sum += sin(2 * M_PI * k * turn) / k *
                   (make_voice_resonance(k * pitch, 600 + 150 * sin(2 * M_PI * 0.9 * t), 200) +
                    0.5 * make_voice_resonance(k * pitch, 1500 + 500 * sin(2 * M_PI * 0.7 * t), 300));
        samples[i] = (float)(sum * make_voice_syllable(t));
        loudest = fmax(loudest, fabs((double)samples[i]));
    }
    for (int64_t i = 0; samples && loudest > 0 && i < count; i++)
        samples[i] = (float)(samples[i] * peak / loudest);
    return samples;
}

#endif
