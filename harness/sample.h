/* One timed generation, as a worker reports it and the store keeps it. The same rows make the struct, the keys of the worker
 * protocol's "sample" message (docs/worker-protocol.md) and the columns of the table `sample`. */
#ifndef HM_HARNESS_SAMPLE_H
#define HM_HARNESS_SAMPLE_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/base/probe.h"

/* I(name, required, meaning): int64_t. R(name, meaning): double. T(name, bytes, meaning): text. What is not known is HM_UNKNOWN, NaN
 * or "": NULL in the database. required: a worker has to send it. */
#define HM_SAMPLE_FIELDS(I, R, T)                                                                               \
    I(wall_ns, 1, "the whole call, load excluded")                                                              \
    I(load_ns, 0, "opening the model in this process")                                                          \
    I(prefill_ns, 0, "phase")                                                                                   \
    I(generate_ns, 0, "phase")                                                                                  \
    I(decode_ns, 0, "phase")                                                                                    \
    I(frames, 1, "time steps of the LM")                                                                        \
    I(codebooks, 0, "codes per frame")                                                                          \
    R(audio_s, "audio made, seconds")                                                                           \
    I(prompt_tokens, 0, "tokens of the prompt")                                                                 \
    I(ended, 0, "1: by the end-of-song rule, 0: by the length")                                                 \
    I(fed_codes, 0, "1: stored codes were fed back")                                                            \
    I(peak_rss_bytes, 0, "largest resident set of the process")                                                 \
    I(mapped_bytes, 0, "resident pages of mapped model files")                                                  \
    I(peak_unmapped_bytes, 0, "peak_rss_bytes - mapped_bytes")                                                  \
    I(held_weight_bytes, 0, "weights in use")                                                                   \
    I(kv_bytes, 0, "caches at their largest")                                                                   \
    I(scratch_bytes, 0, "scratch at its largest")                                                               \
    I(frame_weight_bytes, 0, "weights that one frame has to read")                                              \
    I(distinct_weight_bytes, 0, "the same, those that are read again counted once")                             \
    R(frame_flops, "floating-point operations of one frame")                                                    \
    T(codes_hash, 40, "of the codes as drawn")                                                                  \
    T(logits_hash, 40, "of the logits of the codes that went on")                                               \
    T(audio_hash, 40, "of the raw float32 samples")                                                             \
    I(sample_rate_hz, 0, "of the audio")                                                                        \
    I(channels, 0, "of the audio")                                                                              \
    I(bits, 0, "of the audio file, or of the raw samples")                                                      \
    R(bit_rate_kbps, "of the audio file, or of the raw samples")                                                \
    T(codec, 32, "of the audio file, or of the raw samples")                                                    \
    R(peak, "largest absolute sample")                                                                          \
    R(rms, "root mean square of the samples")                                                                   \
    R(dc, "mean of the samples")                                                                                \
    R(silence_share, "of 50 ms windows below -60 dBFS")                                                         \
    R(clipped_share, "of samples at or beyond +-1")                                                             \
    I(non_finite, 0, "samples that are NaN or infinite")                                                        \
    I(constant, 0, "1: all samples are equal")                                                                  \
    T(health, 16, "ok, suspect or bad")                                                                         \
    T(health_reasons, 512, "why it is not ok")                                                                  \
    T(device, 128, "what it ran on")                                                                            \
    I(overlapped_ns, 0, "decoding done before the last frame was made")                                         \
    I(reference_ns, 0, "of prefill: encoding the voice to clone")                                               \
    R(codec_frame_flops, "floating-point operations of decoding one frame")                                     \
    I(codec_bytes, 0, "weights that one call of the decoder reads")                                             \
    I(ttfa_raw_ns, 0, "streamed: from the request to the first piece of audio")                                 \
    I(ttfa_ns, 0, "streamed: from the request to the first piece that is not silent")                           \
    I(stall_max_ns, 0, "streamed: longest wait of a player for the next piece")                                 \
    I(stall_total_ns, 0, "streamed: all waits of a player")                                                     \
    I(stalls, 0, "streamed: how often a player waits")                                                          \
    I(buffer_ns, 0, "streamed: shortest wait at the start that leaves no other")                                \
    I(pieces, 0, "streamed: of audio")                                                                          \
    I(cold, 0, "1: the model's files were out of the page cache when loading began")                            \
    T(cold_note, 160, "why the model's files could not be put out of the page cache")                           \
    I(load_peak_bytes, 0, "largest resident set less mapped model pages while loading")                         \
    I(prefill_peak_bytes, 0, "the same within prefill")                                                         \
    I(generate_peak_bytes, 0, "the same within generate")                                                       \
    I(decode_peak_bytes, 0, "the same within decode")                                                           \
    I(rss_after_bytes, 0, "resident set less mapped model pages after the call, its result freed")              \
    I(energy_uj, 0, "microjoules of the timed call, gross")                                                     \
    I(energy_idle_uj, 0, "microjoules that the idle machine takes in the same time")                            \
    T(energy_source, 160, "what measured the energy, or why nothing did and what to do")                        \
    I(cycles, 0, "CPU cycles of the timed call, all threads")                                                   \
    I(instructions, 0, "instructions of the timed call, all threads")                                           \
    I(cache_misses, 0, "last-level cache misses of the timed call, all threads")                                \
    I(context_switches, 0, "of the timed call, all threads")                                                    \
    I(page_faults, 0, "of the timed call, all threads")                                                         \
    T(counter_note, 160, "which performance counters are missing, why, and what to do")                         \
    I(clock_khz, 0, "CPU clock around the timed call, mean over CPUs")                                          \
    R(temperature_c, "of the hottest CPU sensor after the timed call")                                          \
    I(throttled, 0, "times that a CPU was throttled during the timed call")                                     \
    I(steal_ns, 0, "CPU time that the host gave to others during the timed call")                               \
    R(zero_crossings, "share of samples at which the sign changes, median of windows")                          \
    R(flatness, "spectral flatness, 0 tone to 1 noise, median of windows")                                      \
    R(level_drift_db, "RMS of the last third of the audio against the first")                                   \
    R(centroid_drift, "octaves that the spectrum's centre moved from the first third of the audio to the last") \
    R(seam_db, "jump at the worst seam of pieces or segments against that around it")                           \
    T(places, 256, "where each part ran: part=device, ...")                                                     \
    I(predicted_weight_bytes, 0, "from shapes alone: weights copied to the heap")                               \
    I(predicted_kv_bytes, 0, "from shapes alone: caches at their largest")                                      \
    I(predicted_scratch_bytes, 0, "from shapes alone: scratch at its largest")                                  \
    I(predicted_codec_bytes, 0, "from shapes alone: what decoding takes at most")                               \
    I(predicted_total_bytes, 0, "from shapes alone: largest sum at any time, mapped weights left out")          \
    I(prefill_flops, 0, "floating-point operations of prefill")                                                 \
    I(prefill_weight_bytes, 0, "weights that the operations of prefill read, each pass anew")                   \
    I(device_busy_ns, 0, "within generate: the device had work, by its own timestamps")                         \
    I(device_used_bytes, 0, "most memory of the device in use during the timed call, by whomever")              \
    I(device_energy_uj, 0, "microjoules of the device's card during the timed call")                            \
    R(device_power_w, "of the device's card, mean")                                                             \
    R(device_busy_share, "share of the timed call that the device's engines were busy, as it tells")            \
    R(device_clock_mhz, "of the device, mean of readings")                                                      \
    R(device_temperature_c, "of the device's hottest sensor")                                                   \
    T(device_note, 200, "what the device does not tell, and why")                                               \
    I(audio_ns, 0, "of a transcript: reading the recording, as mono at 16 kHz; of other")                       \
    I(mel_ns, 0, "of prefill: a transcript's log-mel")                                                          \
    I(encode_ns, 0, "of prefill: a transcript's encoder")                                                       \
    I(music_ns, 0, "making the music that is transcribed; of other")                                            \
    I(windows, 0, "of a transcript")                                                                            \
    I(frame_kv_bytes, 0, "of a transcript: keys and values that one token has to read")

#define HM_UNKNOWN INT64_MIN

typedef struct hm_span_total {
    char name[160]; /* a path: "generate/frame/backbone" */
    int64_t count, total_ns, self_ns;
} hm_span_total;

#define HM_FRAMES "frames: "

typedef struct hm_named_count {
    char name[64];
    bool load; /* counted while loading, not in the call; HM_FRAMES before the name: in drawing its frames */
    int64_t value;
} hm_named_count;

/* Time of a stretch of frames: how the speed changes along a song. */
typedef struct hm_frame_time {
    int64_t first_frame, frames, total_ns;
} hm_frame_time;

#define HM_FRAME_TIMES 32 /* stretches of equal length, the last one may be shorter */

/* Weights of a part of the model, as engine/base/part.h has them; frame_passes NaN: not known. */
typedef struct hm_sample_part {
    char part[24], span[24], format[16];
    int64_t pass_bytes, distinct_bytes;
    double frame_passes;
} hm_sample_part;

#define HM_SAMPLE_PARTS 16

/* How an output compares with the stored codes and logits of its case. */
typedef struct hm_output_comparison {
    bool compared;
    int codes_equal;     /* 1, 0 */
    int64_t first_frame; /* that differs; HM_UNKNOWN: none */
    int64_t differing_codes;
    double max_logit_difference; /* NaN: logits not sent */
} hm_output_comparison;

typedef struct hm_sample {
#define HM_SAMPLE_I(name, required, meaning) int64_t name;
#define HM_SAMPLE_R(name, meaning) double name;
#define HM_SAMPLE_T(name, bytes, meaning) char name[bytes];
    HM_SAMPLE_FIELDS(HM_SAMPLE_I, HM_SAMPLE_R, HM_SAMPLE_T)
#undef HM_SAMPLE_I
#undef HM_SAMPLE_R
#undef HM_SAMPLE_T
    bool warmup;
    hm_span_total spans[64];
    int span_count;
    hm_named_count counts[2 * HM_COUNTER_COUNT + 16];
    int count_count;
    hm_frame_time frame_times[HM_FRAME_TIMES];
    int frame_time_count;
    hm_sample_part parts[HM_SAMPLE_PARTS];
    int part_count;
    hm_output_comparison output;
} hm_sample;

/* Everything unknown. */
static inline void hm_sample_init(hm_sample *s)
{
#define HM_SAMPLE_I(name, required, meaning) s->name = HM_UNKNOWN;
#define HM_SAMPLE_R(name, meaning) s->name = NAN;
#define HM_SAMPLE_T(name, bytes, meaning) s->name[0] = 0;
    HM_SAMPLE_FIELDS(HM_SAMPLE_I, HM_SAMPLE_R, HM_SAMPLE_T)
#undef HM_SAMPLE_I
#undef HM_SAMPLE_R
#undef HM_SAMPLE_T
    s->warmup = false;
    s->span_count = s->count_count = s->frame_time_count = s->part_count = 0;
    s->output = (hm_output_comparison){.first_frame = HM_UNKNOWN, .max_logit_difference = NAN};
}

#endif
