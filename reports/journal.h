/* The performance journal: what was measured, per session, as markdown. Everything comes from these structs; nothing is read, asked or
 * dated here, so the same data give the same bytes. NaN and -1: not measured, printed as "-". */
#ifndef HM_REPORTS_JOURNAL_H
#define HM_REPORTS_JOURNAL_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "engine/base/error.h"
#include "reports/document.h"
#include "reports/notes.h"

/* Over the rounds: mean and sample standard deviation (NaN below two). */
typedef struct hm_journal_stat {
    int n;
    double mean, sd;
} hm_journal_stat;

typedef enum hm_journal_output {
    HM_OUTPUT_UNKNOWN,   /* no hashes */
    HM_OUTPUT_REFERENCE, /* this is the arm that others are held against */
    HM_OUTPUT_EQUAL,     /* same codes and same audio */
    HM_OUTPUT_CODES,     /* same codes, other audio */
    HM_OUTPUT_DIFFERENT, /* other codes */
    HM_OUTPUT_UNSTABLE   /* the arm's own rounds disagree */
} hm_journal_output;

/* Mean time of a span, and how often it came, in one run. path: "generate/frame/backbone", or a name alone. */
typedef struct hm_journal_span {
    const char *path;
    double count, total_ms, self_ms;
} hm_journal_span;

/* Agreement of one codebook with the reference arm along the stored codes. */
typedef struct hm_journal_codebook {
    int codebook, frames;
    double top1, mean_kl, max_logit_difference; /* share, nat, logits */
    double relative_rms;                        /* of the logits' difference */
} hm_journal_codebook;

/* Weights of a part, as engine/base/part.h has them. NaN: not known. */
typedef struct hm_journal_part {
    const char *part, *span, *format;
    double pass_mb, distinct_mb, frame_passes;
} hm_journal_part;

/* A stretch of frames: mean ms of each over the samples. */
typedef struct hm_journal_stretch {
    int64_t first_frame, frames;
    double frame_ms;
} hm_journal_stretch;

/* Figures of a result that are plain numbers, NaN where not measured; means over the timed samples unless told otherwise. */
#define HM_JOURNAL_FIGURES(X)                                                                 \
    X(held_weight_mb)      /* weights in use */                                               \
    X(kv_mb)               /* caches at their largest */                                      \
    X(scratch_mb)          /* at its largest */                                               \
    X(load_peak_mb)        /* largest resident set less mapped model pages, within loading */ \
    X(prefill_peak_mb)     /* ... within prefill */                                           \
    X(generate_peak_mb)    /* ... within generate */                                          \
    X(decode_peak_mb)      /* ... within decode */                                            \
    X(after_mb)            /* the same after the call, its result freed */                    \
    X(predicted_weight_mb) /* from shapes alone, and the next four */                         \
    X(predicted_kv_mb)                                                                        \
    X(predicted_scratch_mb)                                                                   \
    X(predicted_codec_mb)                                                                     \
    X(predicted_total_mb)                                                                     \
    X(prefill_gflop)     /* operations of prefill */                                          \
    X(prefill_weight_mb) /* weights they read, each pass anew */                              \
    X(energy_j)          /* of the timed call, gross */                                       \
    X(energy_idle_j)     /* what the idle machine takes meanwhile */                          \
    X(cycles)                                                                                 \
    X(instructions)                                                                           \
    X(cache_misses)                                                                           \
    X(context_switches)                                                                       \
    X(page_faults)                                                                            \
    X(clock_mhz)                                                                              \
    X(temperature_c)                                                                          \
    X(throttled) /* times, largest of the samples */                                          \
    X(steal_ms)                                                                               \
    X(clipped_share)                                                                          \
    X(zero_crossings)                                                                         \
    X(flatness)                                                                               \
    X(level_drift_db)                                                                         \
    X(audio_ms) /* transcripts, as the next five: reading the recording */                    \
    X(mel_ms)                                                                                 \
    X(encode_ms)                                                                              \
    X(music_ms) /* making the music that is transcribed */                                    \
    X(windows)                                                                                \
    X(frame_kv_mb)    /* keys and values that a token reads */                                \
    X(ttfa_ms)        /* streamed: request to first piece that is not silent */               \
    X(stall_max_ms)   /* streamed */                                                          \
    X(cold)           /* 1: files were out of the page cache, 0: they could not be put out */ \
    X(cold_load_ms)   /* loading, in the process that began coldly */                         \
    X(cold_first_ms)  /* wall of its first generation */                                      \
    X(frame_launches) /* of a frame, as are the next six */                                   \
    X(frame_replayed)                                                                         \
    X(frame_waits)                                                                            \
    X(frame_to_host)                                                                          \
    X(frame_to_host_bytes)                                                                    \
    X(frame_to_device)                                                                        \
    X(frame_to_device_bytes)                                                                  \
    X(device_busy) /* share of generate in which the device had work, in an untimed run */

/* One arm on one case. hm_journal_result_none() is one without any figure. */
typedef struct hm_journal_result {
    int n, failed; /* rounds with a sample; runs without */
    hm_journal_stat wall_ms, prefill_ms, generate_ms, decode_ms, other_ms, load_ms;
    const double *wall_by_round_ms;    /* [rounds of the session], NaN: none */
    const double *drawing_by_round_ms; /* prefill and generate of it, likewise */
    double frames, codebooks, audio_s, frame_weight_mb, frame_gflop;
    double codec_frame_gflop, codec_weight_mb, distinct_weight_mb, overlapped_ms; /* NaN: not known */
    double mem_mb, peak_rss_mb;                                                   /* largest of the rounds */
    hm_journal_output output;
    int64_t first_frame, differing_codes; /* against the stored codes; -1: none, or not known */
    double max_logit_difference;          /* of the stored codes */
    double snr_db, spectral_snr_db;       /* of the audio against the reference arm's; infinite: equal */
    double log_spectral_db, seam_db, top1, mean_kl, vocabulary_logit_difference; /* the last three along the stored codes; NaN: not known */
    double relative_rms;                                                         /* likewise */
#define HM_JOURNAL_FIGURE(name) double name;
    HM_JOURNAL_FIGURES(HM_JOURNAL_FIGURE)
#undef HM_JOURNAL_FIGURE
    int sample_rate_hz, channels, bits;
    double bit_rate_kbps, peak, rms, silence_share;
    const char *codec, *health, *health_reasons; /* may be NULL; health: the worst of the samples */
    bool software, gpu;                          /* of its arm: on a software device; not on the CPU whose limits the session tells */
    const char *places, *energy_source, *counter_note, *cold_note; /* may be NULL */
    const hm_journal_span *spans;
    int span_count;
    const hm_journal_codebook *codebook_fidelity;
    int codebook_count;
    const hm_journal_stretch *stretches;
    int stretch_count;
    const hm_journal_part *parts;
    int part_count;
} hm_journal_result;

static inline hm_journal_result hm_journal_result_none(void)
{
    return (hm_journal_result){.first_frame = -1,
                               .differing_codes = -1,
#define HM_JOURNAL_FIGURE(name) .name = NAN,
                               HM_JOURNAL_FIGURES(HM_JOURNAL_FIGURE)
#undef HM_JOURNAL_FIGURE
                                   .max_logit_difference = NAN,
                               .snr_db = NAN,
                               .spectral_snr_db = NAN,
                               .log_spectral_db = NAN,
                               .seam_db = NAN,
                               .top1 = NAN,
                               .mean_kl = NAN,
                               .vocabulary_logit_difference = NAN,
                               .relative_rms = NAN,
                               .frames = NAN,
                               .codebooks = NAN,
                               .audio_s = NAN,
                               .frame_weight_mb = NAN,
                               .frame_gflop = NAN,
                               .codec_frame_gflop = NAN,
                               .codec_weight_mb = NAN,
                               .distinct_weight_mb = NAN,
                               .overlapped_ms = NAN,
                               .mem_mb = NAN,
                               .peak_rss_mb = NAN,
                               .bit_rate_kbps = NAN,
                               .peak = NAN,
                               .rms = NAN,
                               .silence_share = NAN};
}

typedef struct hm_journal_case {
    const char *label; /* "short/plain" */
    int words;         /* of the lyrics, section names left out, or of the text */
    int frames;        /* asked for */
    int flow_steps;    /* 0: as the variant says */
} hm_journal_case;

typedef struct hm_journal_arm {
    const char *name;
    const char *text;            /* what the variant is; may be NULL */
    const char *changes;         /* toggles that differ from the arm `base`; may be NULL */
    const char *coincides;       /* other names of the same program; may be NULL */
    int flow_steps;              /* -1: not known */
    int threads;                 /* used; 0: not known */
    const char *isa, *precision; /* may be NULL */
    int base;                    /* the earlier arm it differs least from; -1: none */
    bool software;               /* on a GPU that is a program: its times do not rank */
    const char *device;          /* its name and driver; NULL: the CPU, or not known */
    const char *environment;     /* variables that were set; NULL: none, or not known */
    bool other;                  /* another program: no variant of ours */
    const char *libraries;       /* of another program: what it is made of, with versions; may be NULL */
    const char *settings;        /* likewise: precision and what was set for it */
    bool default_formats;        /* `best`, or best with settings that leave the formats of its weights as they are */
} hm_journal_arm;

typedef struct hm_journal_failure {
    const char *arm, *label, *status, *reason;
    int round;
} hm_journal_failure;

/* A stored verdict; `label` NULL: all cases together. NaN: not known. */
typedef struct hm_journal_verdict {
    const char *label, *base, *arm, *metric, *verdict, *reason;
    int rounds;
    double ratio, low, high, margin, mde;
} hm_journal_verdict;

typedef struct hm_journal_calibration {
    const char *label, *arm;
    int rounds;
    double sd, bias, drift_p; /* sd, bias: of logarithms */
} hm_journal_calibration;

/* One model of a session; models of one session follow each other. */
typedef struct hm_journal_session {
    const char *id, *created_utc, *state, *command_line;
    const char *kind, *tags; /* "suite"; "key=value, ..." or NULL */
    uint64_t order_seed;
    int rounds, dropped; /* dropped: runs of rounds that were set aside */
    const char *model;   /* "heartmula-mini" */
    bool synthetic;
    const char *model_ids;
    const char *cpu, *os, *kernel, *governor, *container; /* the last two may be NULL */
    int cpus, cores, smt;                                 /* -1: not known */
    double memory_gb, cpu_quota;
    double cache_gb_s, memory_gb_s, peak_gflop_s; /* limits measured with the session: reading caches and memory, multiply-adds; NaN: not */
    double peak_int8_gop_s;                       /* the same of 8-bit integers */
    double cache_mb;                              /* block that was read from caches; NaN: not known */
    const char *version, *commit, *compiler, *flags, *build_type, *sanitizer; /* commit and sanitizer may be NULL */
    bool dirty;
    const hm_journal_arm *arms;
    int arm_count;
    const hm_journal_case *cases;
    int case_count;
    const hm_journal_result *results; /* [arms][cases] */
    const hm_journal_failure *failures;
    int failure_count;
    const hm_journal_verdict *verdicts;
    int verdict_count;
    const hm_journal_calibration *calibrations;
    int calibration_count;
} hm_journal_session;

typedef struct hm_journal {
    const hm_journal_session *sessions; /* in order of time */
    int session_count;
} hm_journal;

/* Behind the name of an arm whose times do not rank. */
#define HM_SOFTWARE_MARK " (software device)"
/* Whether an arm is called so, the mark left out. */
bool hm_journal_arm_is(const hm_journal_arm *arm, const char *name);

/* The result of an arm on a case. */
static inline const hm_journal_result *hm_journal_at(const hm_journal_session *s, int arm, int kase)
{
    return &s->results[arm * s->case_count + kase];
}

/* What the paragraphs of `notes` (may be NULL) are keyed by: "journal" (the beginning), the id of a session or its first 8 letters, and
 * the name of an arm. The whole journal, and the same as a document; NULL without memory. */
hm_status hm_journal_write(const hm_journal *journal, const hm_notes *notes, FILE *file, hm_error *err);
hm_document *hm_journal_document(const hm_journal *journal, const hm_notes *notes);

/* The tables of a session's models alone, as printed when a suite is done: the journal table of each arm and the summary. */
hm_document *hm_journal_tables(const hm_journal_session *sessions, int count);

/* Speed of an arm relative to another on one case: mean wall of base / mean wall of arm (larger is faster), over rounds both have.
 * From six such rounds on also its 95 % interval: the pairs' Hodges-Lehmann estimate by signed ranks; below, low and high are NaN. */
typedef struct hm_speed_up {
    int n;
    double ratio, low, high;
} hm_speed_up; /* n = 0 where an arm's audio was judged bad: it does not rank */
hm_speed_up hm_journal_speed_up(const hm_journal_session *session, int base, int arm, int kase);
/* The same of prefill and generate: beside an arm without a codec. */
hm_speed_up hm_journal_drawing_speed_up(const hm_journal_session *session, int base, int arm, int kase);

#endif
