/* What the log-mel front ends share. */
#ifndef HM_ENGINE_AUDIO_MEL_IMPL_H
#define HM_ENGINE_AUDIO_MEL_IMPL_H

/* Corner i, in Hz, of the triangles on Slaney's scale (linear below 1 kHz, 27 steps per factor of 6.4 above): equal steps from 0 to half the
 * rate. */
double hm_mel_corner(int i, int mels, int rate_hz);

#endif
