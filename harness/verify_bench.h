/* A golden file at work: what the engine tells, tensor by tensor, against what the file has. Inside of verify. */
#ifndef HM_HARNESS_VERIFY_BENCH_H
#define HM_HARNESS_VERIFY_BENCH_H

#include <dirent.h>

#include "harness/golden.h"
#include "harness/verify.h"

typedef struct hm_bench {
    hm_verify *verify;
    hm_golden golden;
    const char *name;      /* of the file */
    const char *prefix;    /* of the group at work, "" for none */
    const char *renamed;   /* golden name that "result" or "probs" stands for, or NULL */
    const json_t *config;  /* of the model's manifest, or NULL */
    hm_golden_diff *diffs; /* per entry of the file */
    hm_error error;        /* first failure inside a tap */
    bool rows;             /* tensors are compared as rows from the first on, of which the file may hold fewer, cut at its width */
    /* absolute tolerance of a float tensor, < 0: exact; what is an input or a fact and no result */
    double (*tolerance)(const hm_safetensors_entry *entry, const hm_golden_diff *diff);
    bool (*is_input)(const char *tensor);
} hm_bench;

hm_status hm_bench_open(hm_bench *b, hm_verify *v, const char *dir, const char *file,
                        double (*tolerance)(const hm_safetensors_entry *entry, const hm_golden_diff *diff),
                        bool (*is_input)(const char *tensor), hm_error *err);
/* Reports every tensor that is no input, if st is HM_OK; the name of the file goes before another's text. Returns st. */
hm_status hm_bench_close(hm_bench *b, hm_status st, hm_error *err);
/* A probe's tap; self is the bench. */
void hm_bench_tap(void *self, const hm_tap_value *value);
hm_status hm_bench_check(hm_bench *b, hm_engine *engine, const hm_check *check, hm_error *err);

bool hm_begins(const char *text, const char *start);
bool hm_ends(const char *text, const char *end);

/* One file of a folder of goldens of either family; files that are none of theirs are passed over. */
hm_status hm_verify_heart_file(hm_verify *v, const char *dir, struct dirent **files, int count, const char *name, hm_error *err);
hm_status hm_verify_tts_file(hm_verify *v, const char *dir, struct dirent **files, int count, const char *name, hm_error *err);

/* Goldens of Whisper are a folder as a whole. */
bool hm_verify_is_whisper(struct dirent **files, int count);
hm_status hm_verify_whisper(hm_verify *v, const char *dir, hm_error *err);

#endif
