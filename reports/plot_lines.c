/* Curves: over the number of solver steps, and along a song. */
#include <math.h>
#include <string.h>

#include "reports/plot_session.h"

#define MAX_CURVES 8
#define POSITIONS_HEIGHT 480

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
        fprintf(f, "%s$case%d using %s lc rgb '%s' title ", c ? ", " : "", c, columns, hm_plot_colour(c));
        hm_plot_quoted(f, s->cases[c].label);
    }
    fputc('\n', f);
}

hm_status hm_plot_steps(const hm_journal_session *s, const char *output, FILE *f, hm_error *err)
{
    int cases = s->case_count < HM_PLOT_CASES ? s->case_count : HM_PLOT_CASES, points = 0;
    bool known = false;
    for (int c = 0; c < cases; c++) {
        int n = step_points(s, c, NULL, &known);
        points = n > points ? n : points;
    }
    if (points < 2)
        return hm_fail(err, HM_EMISSING,
                       "plot steps: session %.8s has %d number(s) of solver steps; measure some with --variant steps1,steps5,best", s->id,
                       points);
    hm_plot_session_head(s, output, "Solver steps", "mean ± standard deviation over rounds", known ? 1100 : 800, 520, f);
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

/* ---- along a song ---- */

hm_status hm_plot_positions(const hm_journal_session *s, const char *output, FILE *f, hm_error *err)
{
    int kase = hm_journal_longest_case(s), arms[MAX_CURVES], n = 0;
    char title[300];
    for (int a = 0; a < s->arm_count && n < MAX_CURVES; a++)
        if (hm_journal_at(s, a, kase)->stretch_count > 1)
            arms[n++] = a;
    if (!n)
        return hm_fail(err, HM_EMISSING,
                       "plot positions: session %.8s has no times of frames along a song; sessions measured now have them", s->id);
    snprintf(title, sizeof title, "A frame's time along %s", s->cases[kase].label);
    hm_plot_session_head(s, output, title, "mean over rounds", HM_PLOT_WIDTH, POSITIONS_HEIGHT, f);
    hm_plot_key_below(f, n, POSITIONS_HEIGHT);
    bool heard = isfinite(hm_journal_at(s, arms[0], kase)->windows); /* of a transcript: its decoder's steps, of all windows side by side */
    fprintf(f, "set xlabel '%s'\nset ylabel 'time per frame (ms)'\nset yrange [0:*]\nset xrange [0:*]\nset offsets 0, 0, graph 0.08, 0\n",
            heard ? "frame: a step of the decoder for all windows side by side" : "position in the audio (s)");
    for (int i = 0; i < n; i++) {
        const hm_journal_result *r = hm_journal_at(s, arms[i], kase);
        double second = heard ? 1 : r->frames > 0 ? r->audio_s / r->frames : NAN;
        fprintf(f, "$arm%d << EOD\n", i);
        for (int k = 0; k < r->stretch_count; k++)
            fprintf(f, "%.6g %.6g\n", ((double)r->stretches[k].first_frame + (double)r->stretches[k].frames / 2) * second,
                    r->stretches[k].frame_ms);
        fputs("EOD\n", f);
    }
    fputs("plot ", f);
    for (int i = 0; i < n; i++) {
        fprintf(f, "%s$arm%d using 1:2 with linespoints lw 2 pt %d ps 0.6 lc rgb '%s' title ", i ? ", " : "", i, hm_plot_point(i),
                hm_plot_colour(i));
        hm_plot_quoted(f, s->arms[arms[i]].name);
    }
    fputc('\n', f);
    return HM_OK;
}
