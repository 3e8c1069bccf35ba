/* Formats of weights as people choose between them: what each costs and loses, and which parts of a model stay in the last-level cache. */
#include <math.h>
#include <string.h>

#include "reports/journal_parts.h"
#include "reports/stats.h"

#define MIN_FOR_INTERVAL 6
#define MAX_SHOWN 64        /* arms in the table of parts */
#define MAX_FASTER 8        /* arms that the words below the table name */
#define FASTER_THAN_IT 1.15 /* times the memory's rate: what is read so fast comes from caches */

/* --- formats --- */

/* "backbone int8, heads bf16, decoder int8"; "" where nothing is known. A part that is read within several spans stands once. */
static const char *formats_text(const hm_journal_arm *arm, const hm_journal_result *r, char *out, size_t size)
{
    size_t used = 0;
    snprintf(out, size, "%s", !r->part_count && arm->precision ? arm->precision : "");
    for (int i = 0; i < r->part_count; i++) {
        bool told = false;
        for (int k = 0; k < i; k++)
            told = told || !strcmp(r->parts[k].part, r->parts[i].part);
        if (!told && used < size)
            used += (size_t)snprintf(out + used, size - used, "%s%s %s", used ? ", " : "", r->parts[i].part, r->parts[i].format);
    }
    return out;
}

/* Arms that read weights in different formats. */
static bool has_formats(const hm_journal_session *s)
{
    for (int a = 1; a < s->arm_count; a++) {
        const char *first = s->arms[0].precision, *other = s->arms[a].precision;
        if (first && other && strcmp(first, other))
            return true;
    }
    return false;
}

/* --- the ladder --- */

/* Mean RTF with its 95 % interval (Student) from six rounds on; half: NaN without one. */
static double rtf_half_width(const hm_journal_result *r)
{
    if (r->wall_ms.n < MIN_FOR_INTERVAL || !(r->audio_s > 0))
        return NAN;
    return hm_student_quantile(0.975, r->wall_ms.n - 1) * r->wall_ms.sd / sqrt(r->wall_ms.n) / 1e3 / r->audio_s;
}

/* Mean KL of codebooks [first, end): the first one is drawn by the backbone, all others by the decoder. NaN: not compared. */
static double kl_of(const hm_journal_result *r, int first, int end)
{
    double sum = 0;
    int n = 0;
    for (int i = 0; i < r->codebook_count; i++)
        if (r->codebook_fidelity[i].codebook >= first && r->codebook_fidelity[i].codebook < end) {
            sum += r->codebook_fidelity[i].mean_kl;
            n++;
        }
    return n ? sum / n : NAN;
}

static double frame_ms(const hm_journal_result *r)
{
    return r->generate_ms.n && r->frames > 0 ? r->generate_ms.mean / r->frames : NAN;
}

static void ladder_row(hm_sheet *t, const hm_journal_session *s, int a, int c)
{
    char formats[200];
    const hm_journal_result *r = hm_journal_at(s, a, c);
    hm_phase_rate rate = hm_journal_generate_rate(s, r);
    hm_speed_up up = hm_journal_speed_up(s, 0, a, c);
    double rtf = hm_journal_rtf(r), half = rtf_half_width(r), of_memory = rate.gb_s / s->memory_gb_s;
    hm_cell_who(t, s, a, c);
    hm_sheet_string(t, formats_text(&s->arms[a], r, formats, sizeof formats));
    hm_sheet_string(t, s->arms[a].default_formats ? "best" : NULL);
    hm_sheet_number(t, r->frame_weight_mb, 2);
    hm_sheet_number(t, frame_ms(r), 3);
    hm_cell_percent(t, of_memory);
    hm_sheet_number(t, rtf, 4);
    hm_sheet_value(t, half, "±%.4f", half);
    hm_sheet_value(t, up.n ? up.ratio : NAN, "%.2fx", up.ratio);
    hm_sheet_value(t, r->relative_rms, "%.2g", r->relative_rms);
    hm_sheet_number(t, 100 * r->top1, 2);
    hm_sheet_value(t, kl_of(r, 0, 1), "%.2g", kl_of(r, 0, 1));
    hm_sheet_value(t, kl_of(r, 1, INT32_MAX), "%.2g", kl_of(r, 1, INT32_MAX));
    hm_cell_decibels(t, r->snr_db);
    hm_sheet_number(t, r->log_spectral_db, 2);
}

/* What reads the weights as `best` does; -1: nothing here. */
static int default_arm(const hm_journal_session *s)
{
    for (int a = 0; a < s->arm_count; a++)
        if (s->arms[a].default_formats)
            return a;
    return -1;
}

/* "backbone=stored decoder=stored": nothing else. */
static bool as_stored(const char *precision)
{
    for (const char *p = precision; p && (p = strchr(p, '=')); p++)
        if (strncmp(p + 1, "stored", 6))
            return false;
    return true;
}

/* Arms that beat `base` on a case by other formats, with what they lose; returns how many. */
static int name_faster(const hm_journal_session *s, int base, int kase, char *out, size_t size)
{
    int faster = 0;
    for (int a = 0; a < s->arm_count; a++) {
        const hm_journal_result *r = hm_journal_at(s, a, kase);
        hm_speed_up up = hm_journal_speed_up(s, base, a, kase);
        size_t used = strlen(out);
        const char *mine = s->arms[a].precision, *other = s->arms[base].precision;
        if (!up.n || up.ratio <= 1.02 || !mine || !other || !strcmp(mine, other))
            continue;
        if (faster++ < MAX_FASTER)
            snprintf(out + used, size - used, "%s%.100s %.2fx", used ? "; " : "", s->arms[a].name, up.ratio);
        used = strlen(out);
        if (faster <= MAX_FASTER && isfinite(r->top1))
            snprintf(out + used, size - used, " (%.2f %% of the likeliest codes, logits %.2g off)", 100 * r->top1, r->relative_rms);
    }
    return faster;
}

/* What `best` reads, and what others would win and lose. */
static void say_why(const hm_journal_session *s, hm_document *d)
{
    int base = default_arm(s), kase = hm_journal_longest_case(s);
    char formats[200], others[2000] = "";
    if (base < 0 || !hm_journal_at(s, base, kase)->n)
        return;
    const hm_journal_result *r = hm_journal_at(s, base, kase);
    int faster = name_faster(s, base, kase, others, sizeof others);
    hm_document_text(d, "`best` reads %s, %s", formats_text(&s->arms[base], r, formats, sizeof formats),
                     as_stored(s->arms[base].precision) ? "as the file stores them: it computes what the reference computes."
                                                        : "formats of its own; what they lose stands in its row.");
    if (faster)
        hm_document_text(d, "Faster than that on %s, with what each keeps: %s%s.", s->cases[kase].label, others,
                         faster > MAX_FASTER ? "; and more" : "");
    else
        hm_document_text(d, "No other formats here are faster on %s.", s->cases[kase].label);
}

void hm_journal_precision(const hm_journal_session *s, hm_document *d)
{
    if (!has_formats(s))
        return;
    hm_sheet *t = hm_sheet_new((const char *const[]){
        HM_CELL_WHO, "formats|Formats", "default|Default", ">weights_mb|MB/frame", ">frame_ms|ms/frame", ">memory_percent|% of memory",
        ">rtf|RTF", ">rtf_half_width|95 %", ">speed_up|Speed-up", ">relative_rms|Logits off", ">top1_percent|Top-1 (%)",
        ">backbone_kl|KL backbone", ">decoder_kl|KL decoder", ">snr_db|SNR (dB)", ">log_spectral_db|Log-spectral (dB)", NULL});
    for (int c = 0; c < s->case_count; c++)
        for (int a = 0; a < s->arm_count; a++)
            if (hm_journal_at(s, a, c)->n)
                ladder_row(t, s, a, c);
    hm_document_heading(d, 3, "Precision");
    hm_document_sheet(d, "precision", t);
    hm_document_text(
        d,
        "Formats of the weights that linear layers and convolutions read. MB/frame: at least, by one frame of generate; %% of memory: their "
        "rate against reading memory, above 100 where caches serve them. Against %s, along the stored codes: logits off by their root mean "
        "square over that of the reference; top-1, share of codes whose likeliest choice is the same; KL in nat, of the codebook that the "
        "backbone draws and, in the mean, of those that the decoder draws; SNR and log-spectral distance of the audio. RTF ± 95 %% from six "
        "rounds on.",
        s->arms[0].name);
    say_why(s, d);
}

/* --- what stays in the cache --- */

/* A span, and what is read within it in a frame. */
typedef struct reading {
    char parts[64], format[16];
    double pass_mb;     /* a pass reads */
    double frame_mb;    /* a frame reads */
    double again_mb;    /* read between two readings of the same weights: what a cache has to hold */
    double passes;      /* per frame; NaN: not known */
    double ms;          /* per frame; NaN: not measured */
    const char *served; /* by what, as far as sizes and rates say; NULL: not known */
} reading;

/* All time within spans whose last word is `span`, prefill left out; NaN: none. */
static double span_ms(const hm_journal_result *r, const char *span)
{
    double sum = 0;
    bool found = false;
    for (int i = 0; i < r->span_count; i++) {
        const char *path = r->spans[i].path, *last = strrchr(path, '/');
        if (strcmp(last ? last + 1 : path, span) || !strncmp(path, "prefill", 7))
            continue;
        found = true;
        sum += r->spans[i].total_ms;
    }
    return found ? sum : NAN;
}

/* Bytes of the whole last-level cache; the block that its rate was measured with is half of it. */
static double last_level_mb(const hm_journal_session *s)
{
    return 2 * s->cache_mb;
}

static const char *served_by(const hm_journal_session *s, const reading *g)
{
    double gb_s = g->frame_mb / g->ms;
    bool fits = g->again_mb <= last_level_mb(s), fast = gb_s > FASTER_THAN_IT * s->memory_gb_s;
    if (!isfinite(s->cache_mb))
        return NULL;
    if (!isfinite(gb_s) || !isfinite(s->memory_gb_s))
        return fits ? "fits the cache" : "larger than the cache";
    return fast ? fits ? "cache" : "cache in part" : fits ? "fits, no faster than memory" : "memory";
}

/* What is read within the span of part i; false: it was gathered with an earlier part. */
static bool gather(const hm_journal_session *s, const hm_journal_result *r, int i, reading *g)
{
    const char *span = r->parts[i].span;
    *g = (reading){.passes = r->parts[i].frame_passes, .ms = span_ms(r, span) / r->frames};
    for (int k = 0; k < r->part_count; k++) {
        const hm_journal_part *p = &r->parts[k];
        size_t used = strlen(g->parts);
        if (strcmp(p->span, span))
            continue;
        if (k < i)
            return false;
        snprintf(g->parts + used, sizeof g->parts - used, "%s%s", used ? " + " : "", p->part);
        snprintf(g->format, sizeof g->format, "%s", !*g->format || !strcmp(g->format, p->format) ? p->format : "mixed");
        g->pass_mb += p->pass_mb;
        g->frame_mb += p->pass_mb * p->frame_passes;
        g->again_mb += g->passes > 1 ? p->pass_mb : p->distinct_mb;
    }
    g->served = served_by(s, g);
    return true;
}

static void residency_rows(hm_sheet *t, const hm_journal_session *s, int a, int c)
{
    const hm_journal_result *r = hm_journal_at(s, a, c);
    reading g;
    for (int i = 0; i < r->part_count; i++) {
        if (!gather(s, r, i, &g))
            continue;
        double gb_s = g.frame_mb / g.ms;
        hm_cell_who(t, s, a, c);
        hm_sheet_string(t, g.parts);
        hm_sheet_string(t, r->parts[i].span);
        hm_sheet_string(t, g.format);
        hm_sheet_number(t, g.pass_mb, 2);
        hm_sheet_number(t, g.passes, g.passes == floor(g.passes) ? 0 : 2);
        hm_sheet_number(t, g.frame_mb, 2);
        hm_sheet_number(t, g.ms, 3);
        hm_sheet_number(t, gb_s, 2);
        hm_cell_percent(t, gb_s / s->memory_gb_s);
        hm_cell_percent(t, gb_s / s->cache_gb_s);
        hm_sheet_string(t, g.served);
    }
}

/* Of arms that read the same formats the fastest, in the order of the arms: their indices; returns how many. */
static int arms_by_formats(const hm_journal_session *s, int kase, int *order)
{
    char mine[200], other[200];
    int n = 0;
    for (int a = 0; a < s->arm_count && n < MAX_SHOWN; a++) {
        const hm_journal_result *r = hm_journal_at(s, a, kase);
        bool slower = !r->part_count;
        formats_text(&s->arms[a], r, mine, sizeof mine);
        for (int b = 0; b < s->arm_count && !slower; b++) {
            const hm_journal_result *x = hm_journal_at(s, b, kase);
            formats_text(&s->arms[b], x, other, sizeof other);
            slower =
                b != a && x->part_count && !strcmp(mine, other) && (frame_ms(x) < frame_ms(r) || (frame_ms(x) == frame_ms(r) && b < a));
        }
        if (!slower)
            order[n++] = a;
    }
    return n;
}

void hm_journal_residency(const hm_journal_session *s, hm_document *d)
{
    int kase = hm_journal_longest_case(s), arms[MAX_SHOWN], n = arms_by_formats(s, kase, arms);
    if (!n)
        return;
    hm_sheet *t = hm_sheet_new((const char *const[]){
        HM_CELL_WHO, "part|Part", "span|Within", "format|Format", ">pass_mb|MB/pass", ">passes|Passes/frame", ">frame_mb|MB/frame",
        ">frame_ms|ms/frame", ">gb_s|GB/s", ">memory_percent|% of memory", ">cache_percent|% of caches", "served|Served by", NULL});
    for (int i = 0; i < n; i++)
        residency_rows(t, s, arms[i], kase);
    hm_document_heading(d, 3, "Weights by part: %s", s->cases[kase].label);
    hm_document_sheet(d, "residency", t);
    if (isfinite(s->cache_mb) && isfinite(s->memory_gb_s))
        hm_document_text(
            d,
            "The last-level cache holds %.4g MiB, read at %.1f GB/s; memory is read at %.1f GB/s. What is read between two readings of the "
            "same weights (within a pass where a frame has several, else within a frame) fits it or does not; what is read faster than "
            "%.2f times memory comes from it. Of arms that read the same formats the fastest stands for all.",
            last_level_mb(s) * 1e6 / 1048576, s->cache_gb_s, s->memory_gb_s, FASTER_THAN_IT);
    else
        hm_document_text(d, "The machine's limits were not measured with this session: what serves the weights is not known.");
}
