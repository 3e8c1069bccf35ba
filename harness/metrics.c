#include "harness/metrics.h"

#include <stddef.h>
#include <string.h>

const hm_metric hm_metrics[] = {
    {"wall", "ms", "lower", "wall_ms", "one generation from request to audio, loading left out"},
    {"load", "ms", "lower", "load_ms", "opening the model: reading, mapping, converting and preparing weights"},
    {"prefill", "ms", "lower", "prefill_ms", "phase: the prompt through the backbone of the language model"},
    {"generate", "ms", "lower", "generate_ms", "phase: all frames, one by one"},
    {"decode", "ms", "lower", "decode_ms", "phase: codes to audio (quantiser, flow matching, waveform decoder)"},
    {"other", "ms", "lower", "other_ms", "wall less prefill, generate and decode"},
    {"reference", "ms", "lower", "reference_ms", "of prefill: encoding the voice to clone"},
    {"frames", "frames", "-", "frames", "time steps of the language model, 80 ms of sound each"},
    {"prompt_tokens", "tokens", "-", "prompt_tokens", "length of the prompt"},
    {"audio", "s", "-", "audio_s", "duration of what was made"},
    {"rtf", "ratio", "lower", "rtf", "wall / audio duration; below 1 is faster than real time"},
    {"x_real_time", "ratio", "higher", "x_real_time", "audio duration / wall: 1 / rtf"},
    {"fps", "frames/s", "higher", "fps", "frames / second of generate; a frame is 80 ms of sound"},
    {"tok_s", "tok/s", "higher", "tok_s", "frames / second of wall, as the published journals count"},
    {"gen_tok_s", "tok/s", "higher", "gen_tok_s", "frames / second of generate"},
    {"codes_s", "codes/s", "higher", "codes_s", "codes (frames x codebooks) / second of generate"},
    {"ms_frame", "ms", "lower", "frame_ms", "generate / frames: what to compare when lengths differ"},
    {"mem", "MB", "lower", "mem_mb", "peak memory: resident set less mapped model pages (GPU: device memory)"},
    {"peak_rss", "MB", "lower", "peak_rss_mb", "largest resident set of the process, mapped pages included"},
    {"weights", "MB", "lower", "weights_mb", "memory: weights in use"},
    {"kv", "MB", "lower", "kv_mb", "memory: caches of keys and values at their largest"},
    {"scratch", "MB", "lower", "scratch_mb", "memory: scratch at its largest"},
    {"load_peak", "MB", "lower", "load_peak_mb", "peak memory while loading, mapped model pages left out"},
    {"prefill_peak", "MB", "lower", "prefill_peak_mb", "peak memory within prefill, mapped model pages left out"},
    {"generate_peak", "MB", "lower", "generate_peak_mb", "peak memory within generate, mapped model pages left out"},
    {"decode_peak", "MB", "lower", "decode_peak_mb", "peak memory within decode, mapped model pages left out"},
    {"gb_s", "GB/s", "higher", "generate_gb_s", "weight bytes that frames had to read / second of generate"},
    {"gflop_s", "GFLOP/s", "higher", "generate_gflop_s", "floating-point operations of frames / second of generate"},
    {"limit_share", "%", "higher", NULL, "of what this machine can do at most: the nearer of bandwidth and arithmetic"},
    {"overlapped", "ms", "higher", "overlapped_ms", "decoding that was done before the last frame was made"},
    {"ttfa_raw", "ms", "lower", "ttfa_raw_ms", "streamed: from the request to the first piece of audio"},
    {"ttfa", "ms", "lower", "ttfa_ms", "streamed: from the request to the first piece that is not silent"},
    {"stall_max", "ms", "lower", "stall_max_ms", "streamed: the longest that a player has to wait for the next piece"},
    {"stall_total", "ms", "lower", "stall_total_ms", "streamed: all waits of a player"},
    {"stalls", "count", "lower", "stalls", "streamed: how often a player has to wait"},
    {"buffer", "ms", "lower", "buffer_ms", "streamed: the shortest wait at the start that leaves no other"},
    {"c50", "0 or 1", "higher", "c50", "streamed: plays without a wait after one of 50 ms at the start"},
    {"c100", "0 or 1", "higher", "c100", "streamed: plays without a wait after one of 100 ms at the start"},
    {"c200", "0 or 1", "higher", "c200", "streamed: plays without a wait after one of 200 ms at the start"},
    {"energy", "J", "lower", "energy_j", "of the timed call, the whole package"},
    {"energy_net", "J", "lower", "energy_net_j", "energy less what the idle machine takes in the same time"},
    {"energy_audio", "J/s", "lower", "energy_audio_j", "energy / audio duration"},
    {"cycles", "count", "lower", "cycles", "CPU cycles of the timed call, all threads"},
    {"instructions", "count", "lower", "instructions", "of the timed call, all threads"},
    {"ipc", "ratio", "higher", "ipc", "instructions / cycles"},
    {"cache_misses", "count", "lower", "cache_misses", "last-level cache misses of the timed call, all threads"},
    {"context_switches", "count", "lower", "context_switches", "of the timed call, all threads"},
    {"page_faults", "count", "lower", "page_faults", "of the timed call, all threads"},
    {"clock", "MHz", "-", "clock_mhz", "CPU clock around the timed call, mean over CPUs"},
    {"temperature", "C", "-", "temperature_c", "of the hottest CPU sensor after the timed call"},
    {"throttled", "count", "-", "throttled", "times that a CPU was throttled during the timed call"},
    {"steal", "ms", "-", "steal_ms", "CPU time that the host gave to others during the timed call"},
    {"cold", "0 or 1", "-", "cold", "the model's files were out of the page cache when loading began"},
    {"codes_hash", "hash", "exact", NULL, "of the codes as drawn: equal means the same audio"},
    {"audio_hash", "hash", "exact", NULL, "of the raw float32 samples"},
    {"codes_equal", "0 or 1", "exact", "codes_equal", "every drawn code is the stored one of the case"},
    {"logit_diff", "logit", "lower", "logit_diff", "largest difference to the stored logits of the case"},
    {"first_diff", "frame", "higher", "first_diff", "first frame whose codes differ from the stored ones"},
    {"snr", "dB", "higher", NULL, "audio against the reference arm's, for approximate variants"},
    {"spectral_snr", "dB", "higher", NULL, "the same of magnitudes of spectra"},
    {"log_spectral", "dB", "lower", NULL, "log-spectral distance to the reference arm's audio"},
    {"seam", "dB", "lower", NULL, "jump at the seams of pieces of audio against that elsewhere"},
    {"top1", "share", "higher", NULL, "of codes whose likeliest choice is the reference arm's, along the stored codes"},
    {"mean_kl", "nat", "lower", NULL, "KL(reference arm, this arm) of the codes' distributions, along the stored codes"},
    {"peak", "full scale", "-", "peak", "largest absolute sample"},
    {"rms", "full scale", "-", "rms", "root mean square of the samples"},
    {"dc", "full scale", "-", "dc", "mean of the samples"},
    {"silence_share", "share", "-", "silence_share", "of 50 ms windows below -60 dBFS"},
    {"clipped_share", "share", "lower", "clipped_share", "of samples at or beyond full scale"},
    {"zero_crossings", "share", "-", "zero_crossings", "of samples at which the sign changes, median of windows"},
    {"flatness", "0 to 1", "-", "flatness", "spectral flatness, 0 tone to 1 noise, median of windows"},
    {"level_drift", "dB", "-", "level_drift_db", "RMS of the last third of the audio against the first"},
    {"ended", "0 or 1", "-", "ended", "by the end-of-song rule, not by the length"},
    {"non_finite", "count", "exact", "non_finite", "samples that are NaN or infinite, before conversion"},
    {"health", "verdict", "-", NULL, "ok, suspect or bad, with reasons: end, silence, repetition, clipping, NaN, length"},
    {NULL, NULL, NULL, NULL, NULL},
};

const hm_metric *hm_metric_find(const char *name)
{
    for (const hm_metric *m = hm_metrics; m->name; m++)
        if (!strcmp(m->name, name))
            return m;
    return NULL;
}

bool hm_metric_timed(const char *name)
{
    static const char *const units[] = {"ms", "frames/s", "tok/s", "codes/s", "GB/s", "GFLOP/s", "%", "J", "J/s", "MHz", "C"};
    static const char *const others[] = {
        "rtf",          "x_real_time",  "stalls",           "c50",         "c100",     "c200", "ipc", "cycles",
        "instructions", "cache_misses", "context_switches", "page_faults", "throttled"};
    const hm_metric *m = hm_metric_find(name);
    for (size_t i = 0; m && i < sizeof units / sizeof *units; i++)
        if (!strcmp(m->unit, units[i]))
            return true;
    for (size_t i = 0; m && i < sizeof others / sizeof *others; i++)
        if (!strcmp(m->name, others[i]))
            return true;
    return false;
}
