#include "harness/logits.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char magic[8] = {'H', 'M', 'L', 'O', 'G', 'I', 'T', '1'};

enum {
    MOST_FRAMES = 1 << 20,
    MOST_LOGITS = 1 << 20,
    WORDS = 2 + HM_LOGITS_CODEBOOKS,
    HEADER_BYTES = 8 + 4 * WORDS
};

/* What a file says of itself. */
typedef struct header {
    int frames, codebooks;
    int n[HM_LOGITS_CODEBOOKS];
} header;

struct hm_logits_writer {
    hm_logit_sink sink;
    FILE *file;
    char *path;
    header header;
    int frame, codebook; /* of the row that comes next; frame 0 tells how many codebooks there are */
    hm_error error;      /* first failure */
};

/* --- writing --- */

static void take_row(void *self, int frame, int codebook, const float *logits, int n)
{
    hm_logits_writer *w = self;
    header *h = &w->header;
    if (w->error.status)
        return;
    if (!w->frame && codebook == h->codebooks && !frame && codebook < HM_LOGITS_CODEBOOKS && n <= MOST_LOGITS)
        h->n[h->codebooks++] = n;
    if (w->codebook == h->codebooks) {
        w->frame++;
        w->codebook = 0;
    }
    if (frame != w->frame || codebook != w->codebook || codebook >= h->codebooks || n != h->n[codebook] || n < 1) {
        hm_fail(&w->error, HM_EBUG, "logits %s: a row of frame %d, codebook %d with %d values came; expected frame %d, codebook %d",
                w->path, frame, codebook, n, w->frame, w->codebook);
        return;
    }
    w->codebook++;
    if (fwrite(logits, sizeof *logits, (size_t)n, w->file) != (size_t)n)
        hm_fail(&w->error, HM_EIO, "logits %s: cannot write: %s", w->path, strerror(errno));
}

hm_status hm_logits_open(hm_logits_writer **out, const char *path, int frames, hm_error *err)
{
    hm_logits_writer *w = hm_calloc(1, sizeof *w, "logits", err);
    if (!w)
        return HM_EABSENT;
    w->sink = (hm_logit_sink){w, frames, take_row};
    w->path = strdup(path);
    w->file = w->path ? fopen(path, "wb") : NULL;
    if (!w->file || fseek(w->file, HEADER_BYTES, SEEK_SET)) {
        hm_status st = hm_fail(err, HM_ECREATE, "logits %s: cannot be created: %s", path, strerror(errno));
        if (w->file)
            fclose(w->file);
        free(w->path);
        free(w);
        return st;
    }
    *out = w;
    return HM_OK;
}

const hm_logit_sink *hm_logits_sink(const hm_logits_writer *w)
{
    return &w->sink;
}

static hm_status write_header(hm_logits_writer *w, hm_error *err)
{
    header *h = &w->header;
    uint32_t words[WORDS] = {0};
    h->frames = h->codebooks && w->codebook == h->codebooks ? w->frame + 1 : 0;
    if (!h->frames)
        return hm_fail(err, HM_EINVALID, "logits %s: frame %d is not complete: %d of %d codebooks came", w->path, w->frame, w->codebook,
                       h->codebooks);
    words[0] = (uint32_t)h->frames;
    words[1] = (uint32_t)h->codebooks;
    for (int k = 0; k < h->codebooks; k++)
        words[2 + k] = (uint32_t)h->n[k];
    if (fseek(w->file, sizeof magic, SEEK_SET) || fwrite(words, 4, WORDS, w->file) != WORDS || fflush(w->file) ||
        fseek(w->file, 0, SEEK_SET) || fwrite(magic, 1, sizeof magic, w->file) != sizeof magic)
        return hm_fail(err, HM_EIO, "logits %s: cannot write: %s", w->path, strerror(errno));
    return HM_OK;
}

hm_status hm_logits_close(hm_logits_writer **writer, bool keep, hm_error *err)
{
    hm_logits_writer *w = *writer;
    if (!w)
        return HM_OK;
    hm_status st = w->error.status ? hm_fail(err, w->error.status, "%s", w->error.text) : keep ? write_header(w, err) : HM_OK;
    if (fclose(w->file) && keep && !st)
        st = hm_fail(err, HM_EIO, "logits %s: cannot write: %s", w->path, strerror(errno));
    if (st || !keep)
        unlink(w->path);
    free(w->path);
    free(w);
    *writer = NULL;
    return st;
}

/* --- comparing --- */

/* Of what can be drawn: the greatest, its lowest index, and ln(sum exp(z - greatest)); -1: nothing can be. */
static int summarise(const float *z, int n, double *top, double *log_sum)
{
    int best = -1;
    double sum = 0;
    for (int j = 0; j < n; j++)
        if (z[j] > -INFINITY && (best < 0 || z[j] > z[best]))
            best = j;
    *top = best < 0 ? 0 : (double)z[best];
    for (int j = 0; j < n; j++)
        sum += exp((double)z[j] - *top);
    *log_sum = log(sum);
    return best;
}

hm_logit_row hm_logits_compare_row(const float *r, const float *x, int n)
{
    double top_r, top_x, sum_r, sum_x;
    int best_r = summarise(r, n, &top_r, &sum_r), best_x = summarise(x, n, &top_x, &sum_x);
    hm_logit_row row = {.top1 = best_r == best_x};
    for (int j = 0; j < n; j++) {
        double p = (double)r[j] - top_r - sum_r, q = (double)x[j] - top_x - sum_x, off = fabs((double)r[j] - (double)x[j]);
        if (r[j] == x[j])
            off = 0; /* both -infinity */
        if (isnan(off) || off > row.max_difference)
            row.max_difference = isnan(off) ? INFINITY : off;
        row.off_squares += isfinite(off) ? off * off : INFINITY;
        row.squares += isfinite(r[j]) ? (double)r[j] * (double)r[j] : 0;
        if (isnan(p) || isnan(q))
            row.kl = INFINITY;
        else if (p > -INFINITY)
            row.kl += q > -INFINITY ? exp(p) * (p - q) : INFINITY; /* also where exp(p) is too small to be told from 0 */
    }
    row.kl = row.kl > 0 || isnan(row.kl) ? row.kl : 0; /* rounding of equal distributions */
    return row;
}

/* A file being read. */
typedef struct reader {
    const char *path;
    FILE *file;
    header h;
    float *row; /* [largest n] */
} reader;

static void reader_close(reader *r)
{
    if (r->file)
        fclose(r->file);
    free(r->row);
}

static hm_status check_header(const reader *r, const uint32_t *words, int64_t bytes, hm_error *err)
{
    int64_t values = 0;
    if (words[0] < 1 || words[0] > MOST_FRAMES || words[1] < 1 || words[1] > HM_LOGITS_CODEBOOKS)
        return hm_fail(err, HM_EFORMAT, "logits %s: %u frames of %u codebooks: expected 1 to %d of 1 to %d", r->path, words[0], words[1],
                       MOST_FRAMES, HM_LOGITS_CODEBOOKS);
    for (uint32_t k = 0; k < HM_LOGITS_CODEBOOKS; k++) {
        if (k < words[1] ? words[2 + k] < 1 || words[2 + k] > MOST_LOGITS : words[2 + k] != 0)
            return hm_fail(err, HM_EFORMAT, "logits %s: codebook %u of %u has rows of %u values: expected 1 to %d", r->path, k, words[1],
                           words[2 + k], MOST_LOGITS);
        values += words[2 + k];
    }
    if (bytes != HEADER_BYTES + 4 * values * words[0])
        return hm_fail(err, HM_EFORMAT, "logits %s: %lld bytes, its header says %lld", r->path, (long long)bytes,
                       (long long)(HEADER_BYTES + 4 * values * words[0]));
    return HM_OK;
}

static hm_status reader_open(reader *r, const char *path, hm_error *err)
{
    char begin[sizeof magic];
    uint32_t words[WORDS];
    struct stat info;
    int longest = 0;
    *r = (reader){.path = path, .file = fopen(path, "rb")};
    if (!r->file || fstat(fileno(r->file), &info))
        return hm_fail(err, HM_EMISSING, "logits %s: cannot be read: %s", path, strerror(errno));
    if (fread(begin, 1, sizeof begin, r->file) != sizeof begin || memcmp(begin, magic, sizeof magic) ||
        fread(words, 4, WORDS, r->file) != WORDS)
        return hm_fail(err, HM_EFORMAT, "logits %s: no such file: expected it to begin with \"HMLOGIT1\" and a header of %d bytes", path,
                       HEADER_BYTES);
    hm_status st = check_header(r, words, info.st_size, err);
    if (st)
        return st;
    r->h.frames = (int)words[0];
    r->h.codebooks = (int)words[1];
    for (int k = 0; k < r->h.codebooks; k++) {
        r->h.n[k] = (int)words[2 + k];
        longest = r->h.n[k] > longest ? r->h.n[k] : longest;
    }
    r->row = hm_calloc((size_t)longest, sizeof *r->row, "logits", err);
    return r->row ? HM_OK : HM_EABSENT;
}

static hm_status next_row(reader *r, int n, hm_error *err)
{
    if (fread(r->row, sizeof *r->row, (size_t)n, r->file) == (size_t)n)
        return HM_OK;
    return hm_fail(err, HM_EIO, "logits %s: cannot be read to its end", r->path);
}

/* Sums while rows go by, then means. */
static void add_row(hm_logit_figures *f, const hm_logit_row *row)
{
    f->frames++;
    f->top1 += row->top1;
    f->mean_kl += row->kl;
    f->max_difference = row->max_difference > f->max_difference ? row->max_difference : f->max_difference;
    f->squares += row->squares;
    f->off_squares += row->off_squares;
}

static void finish(hm_logit_figures *f, int frames)
{
    f->top1 /= f->frames;
    f->mean_kl /= f->frames;
    f->relative_rms = f->off_squares > 0 ? sqrt(f->off_squares / f->squares) : 0;
    f->frames = frames;
}

static hm_status compare_files(hm_logit_comparison *out, reader *a, reader *b, hm_error *err)
{
    int frames = a->h.frames < b->h.frames ? a->h.frames : b->h.frames;
    if (a->h.codebooks != b->h.codebooks || memcmp(a->h.n, b->h.n, sizeof a->h.n))
        return hm_fail(err, HM_EFORMAT,
                       "logits %s and %s: rows of %d and %d codebooks with %d and %d values in the first: expected the same", a->path,
                       b->path, a->h.codebooks, b->h.codebooks, a->h.n[0], b->h.n[0]);
    out->codebooks = a->h.codebooks;
    for (int f = 0; f < frames; f++)
        for (int k = 0; k < out->codebooks; k++) {
            hm_status st = next_row(a, a->h.n[k], err);
            if (!st)
                st = next_row(b, a->h.n[k], err);
            if (st)
                return st;
            hm_logit_row row = hm_logits_compare_row(a->row, b->row, a->h.n[k]);
            add_row(&out->of[k], &row);
            add_row(&out->all, &row);
        }
    for (int k = 0; k < out->codebooks; k++)
        finish(&out->of[k], frames);
    finish(&out->all, frames);
    return HM_OK;
}

hm_status hm_logits_compare(hm_logit_comparison *out, const char *reference, const char *path, hm_error *err)
{
    reader a = {0}, b = {0};
    *out = (hm_logit_comparison){0};
    hm_status st = reader_open(&a, reference, err);
    if (!st)
        st = reader_open(&b, path, err);
    if (!st)
        st = compare_files(out, &a, &b, err);
    reader_close(&a);
    reader_close(&b);
    return st;
}
