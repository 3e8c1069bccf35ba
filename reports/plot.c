#include "reports/plot.h"

#include <stdlib.h>
#include <string.h>

#include "reports/plot_session.h"

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

int hm_plot_point(int index)
{
    static const int points[] = {7, 5, 9, 13, 11, 6, 4, 8, 12, 10}; /* filled ones first */
    return points[index / 8 % (int)(sizeof points / sizeof *points)];
}

void hm_plot_session_head(const hm_journal_session *s, const char *output, const char *title, const char *detail, int width, int height,
                          FILE *f)
{
    char above[400], where[300], n[32];
    say_n(s, n, sizeof n);
    snprintf(above, sizeof above, "%s: %s%s", title, s->model, s->synthetic ? " (synthetic weights)" : "");
    snprintf(where, sizeof where, "%s, %d CPUs, session %.8s, %s", s->cpu, s->cpus, s->id, n);
    hm_plot_head(f, output, width, height, above, detail);
    fputs("title = title . \"\\n\" . ", f);
    hm_plot_quoted(f, where);
    fputs("\nset title title\nset key outside bottom center horizontal reverse Left samplen 1.5\n"
          "set style fill solid 0.92 border rgb 'white'\n",
          f);
}

void hm_plot_key_below(FILE *f, int entries, int height)
{
    int rows = (entries + 3) / 4;
    fprintf(f, "set key at screen 0.5, screen %.4f center bottom horizontal maxcols 4 reverse Left samplen 1.5\nset bmargin %.1f\n",
            8.0 / height, 4.6 + 1.15 * rows);
}

/* A copy without the arms whose times do not rank, and for a roof, which is the CPU's, without those elsewhere; arms and results are
 * malloc'ed. */
static hm_status hardware_of(const hm_journal_session *s, hm_plot_kind kind, hm_journal_session *out, hm_error *err)
{
    hm_journal_arm *arms = malloc(((size_t)s->arm_count + 1) * sizeof *arms);
    hm_journal_result *results = malloc(((size_t)s->arm_count * (size_t)s->case_count + 1) * sizeof *results);
    int *place = malloc(((size_t)s->arm_count + 1) * sizeof *place);
    *out = *s;
    out->arms = arms;
    out->results = results;
    out->arm_count = 0;
    for (int a = 0; a < s->arm_count && arms && results && place; a++) {
        bool elsewhere = kind == HM_PLOT_ROOFLINE && s->arms[a].device;
        place[a] = s->arms[a].software || elsewhere ? -1 : out->arm_count;
        if (place[a] < 0)
            continue;
        memcpy(&results[out->arm_count * s->case_count], hm_journal_at(s, a, 0), (size_t)s->case_count * sizeof *results);
        arms[out->arm_count] = s->arms[a];
        arms[out->arm_count++].base = s->arms[a].base < 0 ? -1 : place[s->arms[a].base];
    }
    bool whole = arms && results && place;
    free(place);
    if (whole && (out->arm_count || !s->arm_count))
        return HM_OK;
    free(arms);
    free(results);
    return whole ? hm_fail(err, HM_EINVALID, "plot: every arm of session %.8s ran on a %s: there is nothing to draw", s->id,
                           kind == HM_PLOT_ROOFLINE ? "GPU, whose limits are not known"
                                                    : "software device, whose times say nothing about hardware")
                 : hm_fail(err, HM_EABSENT, "plot: no memory");
}

static hm_status write_kind(const hm_journal_session *s, hm_plot_kind kind, const char *output, FILE *script, hm_error *err)
{
    switch (kind) {
    case HM_PLOT_LADDER:
        return hm_plot_ladder(s, output, script, err);
    case HM_PLOT_PHASES:
        return hm_plot_phases(s, output, script, err);
    case HM_PLOT_STEPS:
        return hm_plot_steps(s, output, script, err);
    case HM_PLOT_RATIO:
        return hm_plot_ratio(s, output, script, err);
    case HM_PLOT_ROOFLINE:
        return hm_plot_roofline(s, output, script, err);
    case HM_PLOT_TRADEOFF:
        return hm_plot_tradeoff(s, output, script, err);
    case HM_PLOT_POSITIONS:
        return hm_plot_positions(s, output, script, err);
    }
    return hm_fail(err, HM_EBUG, "plot: no kind %d", (int)kind);
}

hm_status hm_plot_write(const hm_journal_session *s, hm_plot_kind kind, const char *output, FILE *script, hm_error *err)
{
    hm_journal_session hardware;
    hm_status st = hm_plot_check_path(output, err);
    if (!st)
        st = hardware_of(s, kind, &hardware, err);
    if (st)
        return st;
    st = write_kind(&hardware, kind, output, script, err);
    free((void *)(uintptr_t)hardware.arms);
    free((void *)(uintptr_t)hardware.results);
    return st;
}
