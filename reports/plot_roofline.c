/* Attained operations per second against operations per byte, under what the machine can do (Williams et al. 2009). */
#include <math.h>
#include <string.h>

#include "engine/base/part.h"
#include "reports/plot_session.h"

#define MAX_ARMS 16
#define COLOURS 8 /* from there on they come again, with open marks */
#define HEIGHT 560

typedef struct range {
    double low, high;
} range;

static void widen(range *r, double value)
{
    if (!(value > 0) || !isfinite(value))
        return;
    r->low = !(r->low <= value) ? value : r->low;
    r->high = !(r->high >= value) ? value : r->high;
}

static bool shows(const hm_phase_rate *p)
{
    return p->flops_per_byte > 0 && p->gflop_s > 0 && isfinite(p->flops_per_byte) && isfinite(p->gflop_s);
}

static void put_points(const hm_journal_session *s, int kase, const char *name,
                       hm_phase_rate rate(const hm_journal_session *, const hm_journal_result *), FILE *f)
{
    fprintf(f, "$%s << EOD\n", name);
    for (int a = 0; a < s->arm_count && a < MAX_ARMS; a++) {
        hm_phase_rate p = rate(s, hm_journal_at(s, a, kase));
        if (shows(&p))
            fprintf(f, "%.6g %.6g %d\n", p.flops_per_byte, p.gflop_s, a);
        else
            fprintf(f, "NaN NaN %d\n", a);
    }
    fputs("EOD\n", f);
}

hm_status hm_plot_roofline(const hm_journal_session *s, const char *output, FILE *f, hm_error *err)
{
    int kase = hm_journal_longest_case(s), arms = s->arm_count < MAX_ARMS ? s->arm_count : MAX_ARMS, known = 0;
    range x = {NAN, NAN}, y = {NAN, NAN};
    char title[300];
    if (!isfinite(s->peak_gflop_s) || !isfinite(s->memory_gb_s))
        return hm_fail(err, HM_EMISSING, "plot roofline: session %.8s has no limits of the machine; suites of our own arms measure them",
                       s->id);
    bool integers = false;
    for (int a = 0; a < arms; a++) {
        const hm_journal_result *r = hm_journal_at(s, a, kase);
        for (int i = 0; i < r->part_count; i++)
            integers = integers || hm_part_of_integers(r->parts[i].format);
        const hm_phase_rate rates[] = {hm_journal_prefill_rate(s, r), hm_journal_generate_rate(s, r), hm_journal_decode_rate(s, r)};
        for (int i = 0; i < 3; i++)
            if (shows(&rates[i])) {
                widen(&x, rates[i].flops_per_byte);
                widen(&y, rates[i].gflop_s);
                known++;
            }
    }
    if (!known)
        return hm_fail(err, HM_EMISSING, "plot roofline: session %.8s has no arm that tells its operations and bytes", s->id);
    widen(&x, s->peak_gflop_s / s->memory_gb_s);
    widen(&y, s->peak_gflop_s);
    integers = integers && isfinite(s->peak_int8_gop_s);
    if (integers)
        widen(&y, s->peak_int8_gop_s);
    x = (range){x.low / 3, x.high * 4};
    y = (range){y.low / 3, y.high * 2};
    snprintf(title, sizeof title, "Roofline of %s", s->cases[kase].label);
    hm_plot_session_head(s, output, title, "prefill ■, generate ● and decode ▲, mean over rounds", HM_PLOT_WIDTH, HEIGHT, f);
    fprintf(f,
            "set logscale xy\nset xrange [%.6g:%.6g]\nset yrange [%.6g:%.6g]\nset xlabel 'operations per byte of weights (FLOP/B)'\n"
            "set ylabel 'GFLOP/s'\nset grid xtics ytics lc rgb '#dddddd' lt 1 lw 0.7\nset format '%%g'\n",
            x.low, x.high, y.low, y.high);
    hm_plot_key_below(f, arms + isfinite(s->cache_gb_s), HEIGHT);
    put_points(s, kase, "prefill", hm_journal_prefill_rate, f);
    put_points(s, kase, "generate", hm_journal_generate_rate, f);
    put_points(s, kase, "decode", hm_journal_decode_rate, f);
    double at = sqrt(x.low * s->peak_gflop_s / s->memory_gb_s); /* half way up the slope */
    if (at * s->memory_gb_s < y.low * 1.5)
        at = y.low * 1.5 / s->memory_gb_s;
    fprintf(f, "set label 'memory: %.1f GB/s' at %.6g, %.6g left offset 0.5, -0.9 tc rgb '#222222'\n", s->memory_gb_s, at,
            at * s->memory_gb_s);
    fprintf(f, "set label 'multiply-adds of float32: %.0f GFLOP/s' at graph 0.99, first %.6g right offset 0, 0.7 tc rgb '#222222'\n",
            s->peak_gflop_s, s->peak_gflop_s);
    if (integers)
        fprintf(f, "set label 'of 8-bit integers: %.0f Gop/s' at graph 0.99, first %.6g right offset 0, 0.7 tc rgb '#222222'\n",
                s->peak_int8_gop_s, s->peak_int8_gop_s);
    fprintf(f, "min(a, b) = a < b ? a : b\nplot min(%.6g, x * %.6g) with lines lw 2.5 lc rgb '#222222' notitle", s->peak_gflop_s,
            s->memory_gb_s);
    if (integers)
        fprintf(f, ", min(%.6g, x * %.6g) with lines lw 1.5 lc rgb '#222222' notitle", s->peak_int8_gop_s, s->memory_gb_s);
    if (isfinite(s->cache_gb_s))
        fprintf(f, ", min(%.6g, x * %.6g) with lines lw 1.5 dt 2 lc rgb '#666666' title 'caches: %.0f GB/s'", s->peak_gflop_s,
                s->cache_gb_s, s->cache_gb_s);
    for (int a = 0; a < arms; a++) {
        fprintf(f, ", $generate every ::%d::%d using 1:2 with points pt %d ps 1.5 lc rgb '%s' title ", a, a, a < COLOURS ? 7 : 6,
                hm_plot_colour(a));
        hm_plot_quoted(f, s->arms[a].name);
        fprintf(f, ", $prefill every ::%d::%d using 1:2 with points pt %d ps 1.4 lc rgb '%s' notitle", a, a, a < COLOURS ? 5 : 4,
                hm_plot_colour(a));
        fprintf(f, ", $decode every ::%d::%d using 1:2 with points pt %d ps 1.7 lc rgb '%s' notitle", a, a, a < COLOURS ? 9 : 8,
                hm_plot_colour(a));
    }
    fputc('\n', f);
    return HM_OK;
}
