/* Audio files, through libsndfile, and plain facts of a signal. Signals are planar: [channels][samples] of float32, full scale 1. */
#ifndef HM_ENGINE_AUDIO_AUDIO_H
#define HM_ENGINE_AUDIO_AUDIO_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "engine/base/error.h"

#define HM_AUDIO_MAX_CHANNELS 64

typedef struct hm_audio_facts {
    int rate_hz, channels;
    int bits;             /* per sample in the file; 32 for float32; 0: not a fixed number (MP3) */
    double bit_rate_kbps; /* of the file: its size over its duration; of a bare signal: rate x channels x 32 */
    char codec[32];       /* "wav float32", "flac 24 bit", "mp3"; "float32" for a bare signal */
    double duration_s, peak, rms;
    double silence_share; /* of 50 ms windows, those below -60 dBFS (RMS over all channels) */
    double clipped_share; /* of samples at or beyond +-1 */
    double dc;            /* mean of the channel whose mean is largest */
    int64_t non_finite;   /* samples that are NaN or infinite; the other figures leave them out */
    bool constant;        /* every sample of a channel has one value, in all channels */
} hm_audio_facts;

/* Writes path in the container its suffix names: .wav float32 (nothing clipped), .flac 24 bit, .mp3 (both clipped at +-1).
 * Through a temporary file beside it and a rename: never a half-written file. HM_EUSAGE: another suffix; HM_EINVALID: a sample is not
 * finite; HM_ECREATE, HM_EIO; HM_EABSENT: this libsndfile cannot write MP3. */
hm_status hm_audio_write(const char *path, const float *planar, int channels, int64_t samples, int rate_hz, hm_error *err);

/* The same in pieces, while the signal is made. The file is there under its name once it is closed, not before. */
typedef struct hm_audio_writer hm_audio_writer;
hm_status hm_audio_writer_open(hm_audio_writer **out, const char *path, int channels, int rate_hz, hm_error *err);
/* To a pipe or a terminal instead: WAV of 16 bits, clipped, of unknown length, each piece flushed. stream stays the caller's. */
hm_status hm_audio_writer_open_stream(hm_audio_writer **out, FILE *stream, int channels, int rate_hz, hm_error *err);
/* planar [channels][samples]. After a failure only close is left. */
hm_status hm_audio_writer_write(hm_audio_writer *writer, const float *planar, int64_t samples, hm_error *err);
/* Puts the file in place, or, unless `keep`, takes it away. Accepts NULL inside. */
hm_status hm_audio_writer_close(hm_audio_writer **writer, bool keep, hm_error *err);

/* What of the above can be known before there is audio: suffix, encoder, and that a file can be made in the folder. */
hm_status hm_audio_check_path(const char *path, hm_error *err);

/* Any format that libsndfile reads. *planar is malloc'ed, caller frees; NULL when *samples is 0. HM_EMISSING, HM_EFORMAT, HM_EABSENT. */
hm_status hm_audio_read(const char *path, float **planar, int *channels, int64_t *samples, int *rate_hz, hm_error *err);

#define HM_AUDIO_MONO_MAX_S 300

/* A recording as mono at rate_hz: the mean of its channels, resampled as librosa does with soxr_hq. *out [*count] is malloc'ed, caller
 * frees; it may be NULL when *count is 0. HM_EUSAGE: longer than HM_AUDIO_MONO_MAX_S, told from the header where it has a length;
 * HM_EFORMAT: not readable, a rate below 4 or above 768 kHz, or a sample that is not finite; HM_EMISSING, HM_EABSENT. */
hm_status hm_audio_read_mono(float **out, int64_t *count, const char *path, int rate_hz, hm_error *err);

/* Whether a voice can be cloned from mono samples at the codec's rate: HM_EUSAGE when there are fewer than HM_SPEAKER_MIN_SAMPLES or all
 * below -60 dBFS, HM_EFORMAT when they are not finite or far outside -1 .. 1. path: for messages. */
hm_status hm_audio_check_reference(const float *samples, int64_t count, int rate_hz, const char *path, hm_error *err);
/* Both: a recording to clone from. */
hm_status hm_audio_read_reference(float **out, int64_t *count, const char *path, int rate_hz, hm_error *err);

/* One channel at another rate, as torchaudio's `resample` does by default: a Hann-windowed sinc of 6 zero crossings on either side, rolloff
 * 0.99. ceil(count * to / from) samples, malloc'ed. HM_EFORMAT: no samples, or a rate below 4 or above 768 kHz. */
hm_status hm_audio_resample(float **out, int64_t *made, const float *x, int64_t count, int from_hz, int to_hz, hm_error *err);
/* A recording to be written down, as mono at 16 kHz: each channel resampled so, then their mean. planar [channels][samples]; *out is malloc'ed,
 * NULL when *count is 0. */
hm_status hm_audio_mix_recording(float **out, int64_t *count, const float *planar, int channels, int64_t samples, int rate_hz,
                                 hm_error *err);
/* The same of any file that libsndfile reads. HM_EMISSING, HM_EFORMAT (also a sample that is not finite), HM_EABSENT. */
hm_status hm_audio_read_recording(float **out, int64_t *count, const char *path, hm_error *err);

/* Facts of a signal in memory. samples may be 0. */
void hm_audio_measure(hm_audio_facts *out, const float *planar, int channels, int64_t samples, int rate_hz);

/* codec, bits and bit_rate_kbps of a written file, into facts that hm_audio_measure filled. */
hm_status hm_audio_file_facts(hm_audio_facts *facts, const char *path, hm_error *err);

#endif
