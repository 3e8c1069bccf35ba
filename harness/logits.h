/* Logits of a run in a file, and how two such files compare: for variants that may compute other numbers. Files are read as they were
 * written, row by row, so that the comparison takes the memory of two rows. */
#ifndef HM_HARNESS_LOGITS_H
#define HM_HARNESS_LOGITS_H

#include <stdbool.h>

#include "engine/base/error.h"
#include "engine/base/probe.h"

#define HM_LOGITS_CODEBOOKS 64

/* The file, little-endian: "HMLOGIT1", uint32 frames, codebooks, 64 times n (values in a row of that codebook, 0 beyond the last one); then
 * float32 rows [frames][codebooks][n of the codebook], as hm_logit_sink has them. The first 8 bytes are written last: a file that was not
 * closed is not one. */
typedef struct hm_logits_writer hm_logits_writer;

/* frames: told at most. HM_ECREATE. */
hm_status hm_logits_open(hm_logits_writer **out, const char *path, int frames, hm_error *err);
/* To be given to the engine; lives as long as the writer. */
const hm_logit_sink *hm_logits_sink(const hm_logits_writer *writer);
/* The first failure while rows were written, or HM_EINVALID: rows of a frame are missing. Unless all is well, the file is taken away.
 * keep false: it is taken away in any case. Accepts NULL inside. */
hm_status hm_logits_close(hm_logits_writer **writer, bool keep, hm_error *err);

/* What a row of logits x says against the reference r of the same choice. Probabilities are softmax at temperature 1 over what can be
 * drawn (above -infinity), in double.
 *   top1: the likeliest are the same (the lowest index on ties)
 *   kl:   sum r_j ln(r_j / x_j), in nat; infinite where x excludes what r does not
 *   max_difference: of two finite logits; infinite where one is finite and the other is not, or one is NaN
 *   squares, off_squares: sum r_j^2 and sum (x_j - r_j)^2 over finite r_j; off_squares infinite as max_difference is */
typedef struct hm_logit_row {
    bool top1;
    double kl, max_difference, squares, off_squares;
} hm_logit_row;
hm_logit_row hm_logits_compare_row(const float *r, const float *x, int n);

/* Over frames: of one codebook, or of all. */
typedef struct hm_logit_figures {
    int frames;  /* compared */
    double top1; /* share */
    double mean_kl, max_difference;
    double relative_rms; /* sqrt(sum off_squares / sum squares); NaN: the reference's logits are all 0 and the others are not */
    double squares, off_squares;
} hm_logit_figures;

typedef struct hm_logit_comparison {
    int codebooks;
    hm_logit_figures all, of[HM_LOGITS_CODEBOOKS]; /* all: means over frames and codebooks */
} hm_logit_comparison;

/* As many frames as both have. HM_EFORMAT: not such a file, cut short, or of another shape than the other; HM_EMISSING. */
hm_status hm_logits_compare(hm_logit_comparison *out, const char *reference, const char *path, hm_error *err);

#endif
