/* The worker protocol: lines of JSON between the harness and a program that generates (docs/worker-protocol.md). Both ends are here. */
#ifndef HM_HARNESS_PROTOCOL_H
#define HM_HARNESS_PROTOCOL_H

#include <jansson.h>

#include "harness/sample.h"
#include "harness/store.h"

#define HM_PROTOCOL_VERSION 2

enum {
    HM_ITERATIONS_MOST = 1000
};

/* What a worker opened. Empty text, 0 or HM_UNKNOWN: it did not say. */
typedef struct hm_opened {
    hm_model_record model; /* id empty: no fingerprint */
    char backend[32], isa[16], device[128], variant[256];
    char device_uuid[48], device_driver[64];
    int64_t device_memory_bytes; /* of its own */
    bool software;               /* a GPU that is a program: what it takes says nothing about hardware */
    int threads;
    int64_t load_ns;
    bool stored_codes; /* it can feed codes back */
} hm_opened;

/* Who answers. Empty: it did not say. */
typedef struct hm_hello {
    char name[128];
    char tasks[64]; /* what it makes, commas between */
    hm_build_record build;
} hm_hello;

/* The case and how to run it, as the "run" message has it. Texts are borrowed. */
typedef struct hm_run_order {
    hm_case_record c;
    const hm_stored_codes *codes; /* fed back, or NULL */
    const char *warmup;           /* first, full, none */
    int iterations;               /* timed generations, one after the other; 0: one */
    const char *audio;            /* file to write, or NULL */
    bool skip_codec;
    bool want_codes;    /* codes and logits come back */
    const char *logits; /* file for the logits of the first logit_frames frames (harness/logits.h), or NULL */
    int logit_frames;
    bool stream;     /* audio is taken piece by piece, as a player does */
    bool timestamps; /* the model is opened for an untimed run that tells how long the device was at work */
} hm_run_order;

/* What a worker is to open. */
typedef struct hm_open_order {
    const char *variant, *model, *backend, *isa; /* isa NULL: the best */
    const char *device;                          /* of the backend; NULL: the first */
    bool timestamps;                             /* operations are timed on the device */
    int threads;
    bool encoders; /* what cloning a voice takes, too */
    bool skip_codec;
} hm_open_order;

/* Harness to worker. New references; NULL without memory. */
json_t *hm_proto_hello(void);
json_t *hm_proto_open(const hm_open_order *order, const char *type, const hm_case_record *c); /* type "open" or "estimate" (with case) */
json_t *hm_proto_run(const hm_run_order *order);

/* Worker's end of the same: borrowed texts live as long as the message; codes is malloc'ed. */
hm_status hm_proto_read_open(const json_t *message, hm_open_order *out, hm_error *err);
hm_status hm_proto_read_case(const json_t *message, hm_case_record *out, hm_error *err);
hm_status hm_proto_read_run(const json_t *message, hm_run_order *out, hm_stored_codes *codes, hm_error *err);

/* Worker to harness. */
json_t *hm_proto_opened(const hm_opened *opened);
json_t *hm_proto_sample(const hm_sample *sample, const hm_stored_codes *codes /* may be NULL */);
json_t *hm_proto_error(const hm_error *error);

/* What a worker was built from, in its "hello". */
json_t *hm_proto_build(const hm_build_record *build);

/* Harness's end: everything is checked, a worker may lie. HM_EFORMAT with what is wrong. */
hm_status hm_proto_read_hello(const json_t *message, hm_hello *out, hm_error *err);
/* Whether it makes such cases; one that does not tell is asked. */
bool hm_hello_knows(const hm_hello *hello, const char *task);
hm_status hm_proto_read_opened(const json_t *message, hm_opened *out, hm_error *err);
/* codes may be NULL; codes->codes stays NULL when the worker sent none. order: what was asked, elapsed_ns: how long it took at most. */
hm_status hm_proto_read_sample(const json_t *message, const hm_run_order *order, int64_t elapsed_ns, hm_sample *out, hm_stored_codes *codes,
                               hm_error *err);

/* Type of a message, "" when it has none. */
const char *hm_proto_type(const json_t *message);

/* Parses one line; nothing but one object is accepted. */
hm_status hm_proto_parse(json_t **out, const char *line, size_t size, hm_error *err);

/* RFC 4648 with padding. malloc'ed; NULL without memory, or for decode when the text is not base64. */
char *hm_base64_encode(const void *data, size_t size);
void *hm_base64_decode(const char *text, size_t *size);

/* Codes, logits of one run against those of the reference: [frames][codebooks] each. */
void hm_output_compare(hm_output_comparison *out, const hm_stored_codes *reference, const hm_stored_codes *made);

#endif
