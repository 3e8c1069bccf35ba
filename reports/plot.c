#include "reports/plot.h"

#include <math.h>
#include <string.h>

#include "reports/journal_parts.h"
#include "reports/plot_parts.h"

#define MAX_CASES 8 /* groups of bars that stay readable */
#define MAX_PHASE_CASES 64

static bool ends_in(const char *text, const char *suffix)
{
    size_t n = strlen(text), m = strlen(suffix);
    return n > m && !strcmp(text + n - m, suffix);
}

hm_status hm_plot_check_path(const char *output, hm_error *err)
{
    if (ends_in(output, ".svg") || ends_in(output, ".png"))
        return HM_OK;
    return hm_fail(err, HM_EUSAGE, "plot %s: expected a name that ends in .svg or .png", output);
}

/* Samples per bar, in words: the fewest and the most. */
static void say_n(const hm_journal_session *s, char *out, size_t size)
{
    int low = 0, high = 0;
    for (int i = 0; i < s->arm_count * s->case_count; i++) {
        int n = s->results[i].n;
        low = n && (!low || n < low) ? n : low;
        high = n > high ? n : high;
    }
    if (low == high)
        snprintf(out, size, "n = %d", high);
    else
        snprintf(out, size, "n = %d to %d", low, high);
}

static void head(const hm_journal_session *s, const char *output, const char *title, const char *detail, int width, int height, FILE *f)
{
    char above[256], below[512], n[32];
    say_n(s, n, sizeof n);
    snprintf(above, sizeof above, "%s: %s%s", title, s->model, s->synthetic ? " (synthetic weights)" : "");
    snprintf(below, sizeof below, "%s, %s, %d CPUs, session %.8s, %s", detail, s->cpu, s->cpus, s->id, n);
    hm_plot_head(f, output, width, height, above, below);
    fputs("set key outside bottom center horizontal reverse Left samplen 1.5\nset style fill solid 0.92 border rgb 'white'\n", f);
}

static double rtf_sd(const hm_journal_result *r)
{
    return r->wall_ms.n > 1 && r->audio_s > 0 ? r->wall_ms.sd / 1e3 / r->audio_s : 0;
}

static hm_status ladder(const hm_journal_session *s, const char *output, FILE *f, hm_error *err)
{
    int cases = s->case_count < MAX_CASES ? s->case_count : MAX_CASES, bars = s->arm_count * cases, shown = 0;
    for (int i = 0; i < s->arm_count * s->case_count; i++)
        shown += s->results[i].n > 0;
    if (!shown)
        return hm_fail(err, HM_EMISSING, "plot ladder: session %.8s has no samples", s->id);
    head(s, output, "Real-time factor", "lower is better, ± standard deviation over rounds", 900 + (bars > 24 ? 14 * (bars - 24) : 0), 560,
         f);
    fputs("set ylabel 'RTF = wall / audio duration'\nset yrange [0:*]\nset offsets 0, 0, graph 0.08, 0\nset boxwidth 0.86 relative\n"
          "set style data histograms\nset style histogram errorbars gap 1.2 lw 1.2\nset bars 0.5\nset errorbars lc rgb '#333333'\n",
          f);
    if (s->arm_count > 6)
        fputs("set xtics rotate by 35 right\n", f);
    fputs("$data << EOD\n", f);
    for (int a = 0; a < s->arm_count; a++) {
        hm_plot_quoted(f, s->arms[a].name);
        for (int c = 0; c < cases; c++) {
            const hm_journal_result *r = hm_journal_at(s, a, c);
            if (r->n)
                fprintf(f, " %.6g %.6g", hm_journal_rtf(r), rtf_sd(r));
            else
                fputs(" NaN NaN", f);
        }
        fputc('\n', f);
    }
    fputs("EOD\nplot ", f);
    for (int c = 0; c < cases; c++) {
        fprintf(f, "%s$data using %d:%d%s linecolor rgb '%s' title ", c ? ", " : "", 2 * c + 2, 2 * c + 3, c ? "" : ":xtic(1)",
                hm_plot_colour(c));
        hm_plot_quoted(f, s->cases[c].label);
    }
    fputc('\n', f);
    return HM_OK;
}

/* One bar's row; 0 when there is nothing to show. */
static int phase_bar(const hm_journal_session *s, int arm, int kase, FILE *f)
{
    const hm_journal_result *r = hm_journal_at(s, arm, kase);
    if (!r->n || !r->generate_ms.n)
        return 0;
    hm_plot_quoted(f, s->arms[arm].name);
    fprintf(f, " %.6g %.6g %.6g %.6g\n", r->prefill_ms.mean / 1e3, r->generate_ms.mean / 1e3, r->decode_ms.mean / 1e3,
            r->other_ms.n && r->other_ms.mean > 0 ? r->other_ms.mean / 1e3 : 0);
    return 1;
}

static hm_status phases(const hm_journal_session *s, const char *output, FILE *f, hm_error *err)
{
    static const char *const names[] = {"prefill", "generate", "decode", "other"};
    int bars = 0;
    size_t longest = 0;
    double centre[MAX_PHASE_CASES];
    if (s->case_count > MAX_PHASE_CASES)
        return hm_fail(err, HM_EUSAGE, "plot phases: %d cases in one picture, at most %d can be read", s->case_count, MAX_PHASE_CASES);
    for (int c = 0; c < s->case_count; c++)
        centre[c] = -1;
    for (int i = 0; i < s->arm_count * s->case_count; i++)
        bars += s->results[i].n > 0 && s->results[i].generate_ms.n > 0;
    if (!bars)
        return hm_fail(err, HM_EMISSING, "plot phases: session %.8s has no samples with phases", s->id);
    head(s, output, "Where the time goes", "mean over rounds, load excluded", 900 + (bars > 20 ? 26 * (bars - 20) : 0), 600, f);
    fputs("set ylabel 'wall time (s)'\nset yrange [0:*]\nset offsets 0, 0, graph 0.05, 0\nset style data histograms\nset style histogram "
          "rowstacked\n"
          "set boxwidth 0.75 relative\nset xtics rotate by 35 right scale 0\n",
          f);
    for (int a = 0; a < s->arm_count; a++)
        longest = strlen(s->arms[a].name) > longest ? strlen(s->arms[a].name) : longest;
    fprintf(f, "set bmargin %.1f\n$data << EOD\n", 4.5 + 0.3 * (double)(longest < 30 ? longest : 30));
    int at = 0;
    for (int c = 0; c < s->case_count; c++) {
        int first = at;
        for (int a = 0; a < s->arm_count; a++)
            at += phase_bar(s, a, c, f);
        if (at > first) {
            centre[c] = (first + at - 1) / 2.0;
            at++;
            fputs("\"\" NaN NaN NaN NaN\n", f); /* a gap behind each case */
        }
    }
    fputs("EOD\n", f);
    for (int c = 0; c < s->case_count; c++)
        if (centre[c] >= 0) {
            fputs("set label ", f);
            hm_plot_quoted(f, s->cases[c].label);
            fprintf(f, " at first %.2f, graph 1.0 center offset 0, -0.8 tc rgb '#222222'\n", centre[c]);
        }
    fprintf(f, "set xrange [-0.8:%.1f]\nplot ", at - 1.2);
    for (int i = 0; i < 4; i++)
        fprintf(f, "%s$data using %d%s linecolor rgb '%s' title '%s'", i ? ", " : "", i + 2, i ? "" : ":xtic(1)",
                (const char *const[]){"#56B4E9", "#0072B2", "#E69F00", "#999999"}[i], names[i]);
    fputc('\n', f);
    return HM_OK;
}

/* Points of one case by steps, each number of steps once. Returns how many; *known tells whether any has an SNR. */
static int step_points(const hm_journal_session *s, int kase, FILE *f, bool *known)
{
    int points = 0, last = 0;
    for (;;) { /* the next larger number of steps; the first arm that has it */
        int best = -1;
        for (int a = 0; a < s->arm_count; a++)
            if (s->arms[a].flow_steps > last && hm_journal_at(s, a, kase)->decode_ms.n &&
                (best < 0 || s->arms[a].flow_steps < s->arms[best].flow_steps ||
                 (s->arms[a].flow_steps == s->arms[best].flow_steps && !strcmp(s->arms[a].name, "best"))))
                best = a;
        if (best < 0)
            return points;
        const hm_journal_result *r = hm_journal_at(s, best, kase);
        last = s->arms[best].flow_steps;
        points++;
        *known = *known || isfinite(r->spectral_snr_db);
        if (f)
            fprintf(f, "%d %.6g %.6g ", last, r->decode_ms.mean / 1e3, r->decode_ms.n > 1 ? r->decode_ms.sd / 1e3 : 0);
        if (f && isfinite(r->spectral_snr_db))
            fprintf(f, "%.6g\n", r->spectral_snr_db);
        else if (f)
            fputs("NaN\n", f);
    }
}

static void step_panel(const hm_journal_session *s, int cases, const char *label, const char *range, const char *columns, FILE *f)
{
    fprintf(f, "set ylabel '%s'\n%s\nplot ", label, range);
    for (int c = 0; c < cases; c++) {
        fprintf(f, "%s$case%d using %s lc rgb '%s' title ", c ? ", " : "", c, columns,
                hm_plot_colour(c));
        hm_plot_quoted(f, s->cases[c].label);
    }
    fputc('\n', f);
}

static hm_status steps(const hm_journal_session *s, const char *output, FILE *f, hm_error *err)
{
    int cases = s->case_count < MAX_CASES ? s->case_count : MAX_CASES, points = 0;
    bool known = false;
    for (int c = 0; c < cases; c++) {
        int n = step_points(s, c, NULL, &known);
        points = n > points ? n : points;
    }
    if (points < 2)
        return hm_fail(err, HM_EMISSING,
                       "plot steps: session %.8s has %d number(s) of solver steps; measure some with --variant steps1,steps5,best", s->id,
                       points);
    head(s, output, "Solver steps", "mean ± standard deviation over rounds", known ? 1100 : 800, 520, f);
    fputs("set logscale x 2\nset xtics (1, 2, 5, 10, 20, 50)\nset xlabel 'solver steps'\nset tmargin 3\n"
          "set key inside top left vertical Left reverse\n",
          f);
    for (int c = 0; c < cases; c++) {
        fprintf(f, "$case%d << EOD\n", c);
        step_points(s, c, f, &known);
        fputs("EOD\n", f);
    }
    if (known)
        fputs("set multiplot layout 1,2 title title\nunset title\n", f);
    step_panel(s, cases, "decode time (s)", "set yrange [0:*]\nset offsets graph 0.08, graph 0.08, graph 0.15, 0",
               "1:2:3 with yerrorlines lw 2 pt 7 ps 1", f);
    if (known) {
        step_panel(s, cases, "spectral SNR against the first arm (dB)",
                   "set yrange [*:*]\nset offsets graph 0.08, graph 0.08, graph 0.15, graph 0.08", "1:4 with linespoints lw 2 pt 7 ps 1",
                   f);
        fputs("unset multiplot\n", f);
    }
    return HM_OK;
}

hm_status hm_plot_write(const hm_journal_session *s, hm_plot_kind kind, const char *output, FILE *script, hm_error *err)
{
    hm_status st = hm_plot_check_path(output, err);
    if (st)
        return st;
    return kind == HM_PLOT_LADDER   ? ladder(s, output, script, err)
           : kind == HM_PLOT_PHASES ? phases(s, output, script, err)
                                    : steps(s, output, script, err);
}
