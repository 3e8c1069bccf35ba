/* Bars: real-time factors side by side, and where the time goes. */
#include <math.h>
#include <string.h>

#include "reports/plot_session.h"

#define MAX_PHASE_CASES 64

/* A text in a block of data, where gnuplot knows no escapes. */
static void put_text(FILE *f, const char *text)
{
    fputc('"', f);
    for (; *text; text++)
        fputc(*text == '"' ? '\'' : (unsigned char)*text < 0x20 ? ' ' : *text, f);
    fputc('"', f);
}

static double rtf_sd(const hm_journal_result *r)
{
    return r->wall_ms.n > 1 && r->audio_s > 0 ? r->wall_ms.sd / 1e3 / r->audio_s : 0;
}

/* Cases that any arm has a result of, at most HM_PLOT_CASES. */
static int shown_cases(const hm_journal_session *s, int *out)
{
    int n = 0;
    for (int c = 0; c < s->case_count && n < HM_PLOT_CASES; c++) {
        bool any = false;
        for (int a = 0; a < s->arm_count; a++)
            any = any || hm_journal_at(s, a, c)->n > 0;
        if (any)
            out[n++] = c;
    }
    return n;
}

hm_status hm_plot_ladder(const hm_journal_session *s, const char *output, FILE *f, hm_error *err)
{
    int shown[HM_PLOT_CASES], cases = shown_cases(s, shown), bars = s->arm_count * cases;
    if (!cases)
        return hm_fail(err, HM_EMISSING, "plot ladder: session %.8s has no samples", s->id);
    hm_plot_session_head(s, output, "Real-time factor", "lower is better, ± standard deviation over rounds",
                         HM_PLOT_WIDTH + (bars > 24 ? 14 * (bars - 24) : 0), 560, f);
    fputs("set ylabel 'RTF = wall / audio duration'\nset yrange [0:*]\nset offsets 0, 0, graph 0.08, 0\nset boxwidth 0.86 relative\n"
          "set style data histograms\nset style histogram errorbars gap 1.2 lw 1.2\nset bars 0.5\nset errorbars lc rgb '#333333'\n",
          f);
    if (s->arm_count > 6)
        fputs("set xtics rotate by 35 right\n", f);
    fputs("$data << EOD\n", f);
    for (int a = 0; a < s->arm_count; a++) {
        put_text(f, s->arms[a].name);
        for (int c = 0; c < cases; c++) {
            const hm_journal_result *r = hm_journal_at(s, a, shown[c]);
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
        hm_plot_quoted(f, s->cases[shown[c]].label);
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
    put_text(f, s->arms[arm].name);
    fprintf(f, " %.6g %.6g %.6g %.6g\n", r->prefill_ms.mean / 1e3, r->generate_ms.mean / 1e3, r->decode_ms.mean / 1e3,
            r->other_ms.n && r->other_ms.mean > 0 ? r->other_ms.mean / 1e3 : 0);
    return 1;
}

hm_status hm_plot_phases(const hm_journal_session *s, const char *output, FILE *f, hm_error *err)
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
    hm_plot_session_head(s, output, "Where the time goes", "mean over rounds, load excluded",
                         HM_PLOT_WIDTH + (bars > 20 ? 26 * (bars - 20) : 0), 600, f);
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
