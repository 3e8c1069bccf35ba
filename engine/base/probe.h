/* What the engine tells whoever watches: spans in time, exact counts, and named values (taps). All optional. */
#ifndef HM_ENGINE_BASE_PROBE_H
#define HM_ENGINE_BASE_PROBE_H

#include <stdint.h>

/* Exact counts. One row: field, what it counts. They depend on the work and the variant only, never on time or threads. */
#define HM_COUNTER_LIST(X)                                                                                  \
    X(kv_copied_bytes, "bytes of K and V moved because a cache grew")                                       \
    X(kv_written_bytes, "bytes of K and V stored in caches")                                                \
    X(kv_grown, "times a cache was allocated anew to grow")                                                 \
    X(mask_bytes, "bytes of attention mask built")                                                          \
    X(attn_scores, "attention scores computed (query head x slot)")                                         \
    X(score_bytes, "bytes of attention scores kept in memory")                                              \
    X(linear_rows, "rows put through linear layers")                                                        \
    X(head_rows, "rows put through vocabulary heads")                                                       \
    X(embedding_rows, "embedding rows gathered")                                                            \
    X(history_ids, "past codes gathered for the repetition penalty")                                        \
    X(suppress_bytes, "bytes of masks of suppressed codes built")                                           \
    X(prompt_rows, "prompt rows put through the backbone or talker")                                        \
    X(text_rows, "rows put through the text projection")                                                    \
    X(forward_passes, "transformer forward passes")                                                         \
    X(sampling_elements, "vocabulary elements visited while sampling")                                      \
    X(to_host_transfers, "copies from device to host")                                                      \
    X(to_host_bytes, "bytes copied from device to host")                                                    \
    X(to_device_transfers, "copies from host to device")                                                    \
    X(to_device_bytes, "bytes copied from host to device")                                                  \
    X(reset_bytes, "bytes cleared or rebuilt per frame although they do not change")                        \
    X(table_values, "values of tables and folded weights computed")                                         \
    X(launches, "operations started (kernels, parallel regions)")                                           \
    X(weight_bytes, "bytes of weights that operations had to read")                                         \
    X(flops, "floating-point operations of linear layers, convolutions and attention (2 per multiply-add)") \
    X(solver_steps, "flow-matching solver steps (guidance rows and segments side by side together)")        \
    X(solver_frames, "latent frames solved, times steps")                                                   \
    X(decoded_frames, "latent frames decoded to audio")                                                     \
    X(decode_chunks, "chunks that audio was decoded in")                                                    \
    X(load_copied_bytes, "bytes of weights copied while loading")                                           \
    X(converted_bytes, "bytes of weights converted to another type while loading")                          \
    X(tokens_out_of_range, "codes outside the codec's codebooks, clamped")                                  \
    X(lost_codes, "codes at the end of the song that were never synthesised")                               \
    X(packed_bytes, "bytes of weights packed into panels because no file had them")                         \
    X(panel_bytes, "bytes of packed panels that operations had to read")                                    \
    X(given_back_bytes, "bytes of mapped weights given back when their stage was over")                     \
    X(device_waits, "times the host waited for the device")                                                 \
    X(recorded_frames, "frames, or stretches of them, recorded to be replayed")                             \
    X(replayed_launches, "operations done by replaying a recorded frame instead of starting them")          \
    X(timed_allocations, "allocations from the first frame to the end of decoding")                         \
    X(spun_phases, "phases made longer on purpose, for tests of the gate")

typedef struct hm_counters {
#define HM_COUNTER_FIELD(name, text) uint64_t name;
    HM_COUNTER_LIST(HM_COUNTER_FIELD)
#undef HM_COUNTER_FIELD
} hm_counters;

enum {
#define HM_COUNTER_ONE(name, text) +1
    HM_COUNTER_COUNT = 0 HM_COUNTER_LIST(HM_COUNTER_ONE)
#undef HM_COUNTER_ONE
};

/* Name and text of counter i, in the order of the list; the struct is an array of uint64_t in the same order. */
const char *hm_counter_name(int i);
const char *hm_counter_text(int i);

/* Category of a span: how fine it is. A watcher asks for those it wants with `wanted`. */
typedef enum hm_span_kind {
    HM_SPAN_PHASE = 1,   /* load, prefill, generate, decode */
    HM_SPAN_STEP = 2,    /* frame, segment, solver step */
    HM_SPAN_PART = 4,    /* backbone, decoder, sampling, flow, vocoder ... */
    HM_SPAN_OP = 8,      /* one operation of the table */
    HM_SPAN_WAIT = 16,   /* waiting for another thread of ours: decoder, frames to decode */
    HM_SPAN_TEAM = 32,   /* within an operation: done with one's own share, waiting for the others */
    HM_SPAN_DEVICE = 64, /* a command on a device with a clock of its own: told by hm_probe.device, complete, after the host has waited */
    HM_SPAN_ANY = 127
} hm_span_kind;

typedef enum hm_device_span_kind {
    HM_DEVICE_KERNEL,
    HM_DEVICE_COPY,
    HM_DEVICE_FILL,
    HM_DEVICE_WAIT,    /* no command: the host waited for the device, as its driver tells */
    HM_DEVICE_OVERHEAD /* no command: what timing them took */
} hm_device_span_kind;

/* A command on a device. Commands come in the order in which they began on their stream. */
typedef struct hm_device_span {
    const char *name;         /* of the kernel, "copy", "fill"; as long as the device is open */
    int64_t begin_ns, end_ns; /* on the device, in the clock of the host: CLOCK_MONOTONIC */
    int64_t asked_ns; /* when the host asked for it, within the span of an operation or frame; -1: with the one before it (a replay) */
    uint64_t bytes;   /* of copies and fills */
    int stream;       /* queue, from 0 on */
    hm_device_span_kind kind;
} hm_device_span;

/* Named values for verification: a float32 or int32 array on the host, row-major. */
typedef struct hm_tap_value {
    const char *name; /* as in the golden files, without their prefix */
    const void *data; /* valid during the call */
    int is_int;       /* int32 instead of float32 */
    int batch_row;    /* index of the first row along the first dimension, when rows come one by one */
    int rank;         /* 1 to 3 */
    int64_t shape[3]; /* unused dimensions are 1 */
} hm_tap_value;

/* Whoever looks at the logits that codes are drawn from: after guidance, before penalty, temperature and topk. What cannot be drawn at all
 * (dead codes of speech, its end where that is forbidden) is -infinity. Looking changes no count and no code. */
typedef struct hm_logit_sink {
    void *self;
    int frames;                                                                   /* told are the first so many */
    void (*row)(void *self, int frame, int codebook, const float *logits, int n); /* [n], on the host, valid during the call */
} hm_logit_sink;

/* Callbacks; any may be NULL. Called from the thread that runs the engine, never from its workers; `beside` from the decoder's. */
typedef struct hm_probe {
    void *self;
    unsigned wanted;                                                               /* OR of hm_span_kind */
    void (*begin)(void *self, hm_span_kind kind, const char *name, int64_t index); /* name: static text; index: frame, step ... or -1 */
    void (*end)(void *self, hm_span_kind kind, const char *name);
    void (*tap)(void *self, const hm_tap_value *value);
    int (*progress)(void *self, const char *phase, int64_t done, int64_t total); /* non-zero asks the engine to stop (HM_EINTERRUPTED) */
    void (*device)(void *self, const hm_device_span *span);                      /* of HM_SPAN_DEVICE */
    const struct hm_probe
        *beside; /* spans of the thread that decodes while frames are drawn (decode=overlap), used by it alone; may be NULL */
} hm_probe;

static inline void hm_span_begin(const hm_probe *p, hm_span_kind kind, const char *name, int64_t index)
{
    if (p && (p->wanted & kind))
        p->begin(p->self, kind, name, index);
}

static inline void hm_span_end(const hm_probe *p, hm_span_kind kind, const char *name)
{
    if (p && (p->wanted & kind))
        p->end(p->self, kind, name);
}

#endif
