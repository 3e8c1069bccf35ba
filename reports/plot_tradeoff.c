/* Speed against fidelity: a point per arm, over all cases; the axes and the labels are laid out here, so that no label lies on another. */
#include <math.h>
#include <string.h>

#include "reports/plot_session.h"

#define MAX_ARMS 40
#define HEAD 75    /* pixels of the title */
#define PANEL 400  /* pixels of a panel with the text below its axis */
#define LETTER 7.3 /* pixels of a letter at most, as the fonts of hm_plot_head are */
#define LINE 15.0  /* pixels of a line */

/* In pixels of the picture, y downwards. */
typedef struct box {
    double left, top, right, bottom;
} box;

static const box frame = {75, 10, HM_PLOT_WIDTH - 25, PANEL - 60}; /* of the axes, within the panel */

typedef struct point {
    const char *name;
    double fidelity, speed; /* fidelity: infinite where the output is equal */
    double x, y;            /* pixels */
    box label;
    bool shown;
} point;

typedef struct chart {
    point points[MAX_ARMS];
    int count;
    bool kl;          /* fidelity is a divergence: less is nearer */
    bool equal;       /* some are equal: they stand in a column of their own, on the near side */
    double low, high; /* of the fidelity axis, KL as its logarithm to 10 */
    double slow, fast;
} chart;

/* Of arms that an axis made: what tells it from the first one, "backbone=int8" of "best precision=backbone=int8". */
static const char *short_name(const hm_journal_session *s, int arm)
{
    static const char axis[] = " precision=";
    const char *name = s->arms[arm].name, *at = strstr(name, axis), *first = strstr(s->arms[0].name, axis);
    bool same = at && first && at - name == first - s->arms[0].name && !strncmp(name, s->arms[0].name, (size_t)(at - name));
    return same ? at + sizeof axis - 1 : name;
}

/* Means over the cases that have both; NaN: none. */
static bool take_arm(const hm_journal_session *s, int arm, bool kl, point *out)
{
    double speed = 0, fidelity = 0;
    int n = 0, equal = 0, known = 0;
    for (int c = 0; c < s->case_count; c++) {
        const hm_journal_result *r = hm_journal_at(s, arm, c);
        hm_speed_up up = hm_journal_speed_up(s, 0, arm, c);
        double value = kl ? r->mean_kl : r->spectral_snr_db;
        if (!up.n || isnan(value))
            continue;
        speed += log(up.ratio);
        n++;
        if (kl ? value <= 0 : isinf(value))
            equal++;
        else {
            fidelity += value;
            known++;
        }
    }
    if (!n)
        return false;
    *out = (point){.name = short_name(s, arm), .speed = exp(speed / n), .fidelity = equal == n ? INFINITY : fidelity / known};
    return true;
}

static void take_arms(const hm_journal_session *s, bool kl, chart *out)
{
    memset(out, 0, sizeof *out);
    out->kl = kl;
    out->low = out->slow = INFINITY;
    out->high = out->fast = -INFINITY;
    for (int a = 1; a < s->arm_count && out->count < MAX_ARMS; a++) {
        point *p = &out->points[out->count];
        if (!take_arm(s, a, kl, p))
            continue;
        out->count++;
        out->slow = fmin(out->slow, p->speed);
        out->fast = fmax(out->fast, p->speed);
        out->equal = out->equal || isinf(p->fidelity);
        if (isinf(p->fidelity))
            continue;
        double at = kl ? log10(p->fidelity) : p->fidelity;
        out->low = fmin(out->low, at);
        out->high = fmax(out->high, at);
    }
}

static int different(const chart *c)
{
    int n = 0;
    for (int i = 0; i < c->count; i++)
        n += isfinite(c->points[i].fidelity);
    return n;
}

/* The column of equal arms is a tenth of the axis, on the left: there the output is nearest. */
static double x_of(const chart *c, double fidelity)
{
    double width = frame.right - frame.left, left = frame.left + (c->equal ? 0.16 * width : 0);
    if (isinf(fidelity))
        return frame.left + 0.05 * width;
    double share = ((c->kl ? log10(fidelity) : fidelity) - c->low) / (c->high - c->low);
    return left + (c->kl ? share : 1 - share) * (frame.right - left);
}

static double y_of(const chart *c, double speed)
{
    return frame.bottom - (log(speed) - log(c->slow)) / (log(c->fast) - log(c->slow)) * (frame.bottom - frame.top);
}

static bool apart(const box *a, const box *b)
{
    return a->right <= b->left || b->right <= a->left || a->bottom <= b->top || b->bottom <= a->top;
}

static int letters(const char *text)
{
    int n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

/* Whether a label may lie there: inside of the frame, on no point, on no label of [0, at). */
static bool is_free(const chart *c, int at, const box *b)
{
    if (b->left < frame.left + 2 || b->right > frame.right - 2 || b->top < frame.top + 2 || b->bottom > frame.bottom - 2)
        return false;
    for (int i = 0; i < c->count; i++) {
        const point *p = &c->points[i];
        box mark = {p->x - 7, p->y - 7, p->x + 7, p->y + 7};
        if (!apart(b, &mark) || (i < at && p->shown && !apart(b, &p->label)))
            return false;
    }
    return true;
}

/* The nearest free place in rings around the point; none: the point stays without a label. */
static void place_label(chart *c, int at)
{
    point *p = &c->points[at];
    double width = LETTER * letters(p->name);
    for (double far = 10; far < 200 && !p->shown; far += 8)
        for (int k = 0; k < 16 && !p->shown; k++) {
            static const int order[] = {0, 8, 4, 12, 2, 14, 6, 10, 1, 15, 7, 9, 3, 5, 11, 13}; /* right, left, above, below ... */
            double angle = order[k] * M_PI / 8, x = p->x + far * cos(angle), y = p->y - far * sin(angle);
            double shift = width * (1 - cos(angle)) / 2; /* the side that faces the point is near it */
            p->label = (box){x - shift, y - LINE / 2, x - shift + width, y + LINE / 2};
            p->shown = is_free(c, at, &p->label);
        }
}

/* Tics of the fidelity: powers of ten, with 2 and 5 where there are few; round decibels. */
static void put_fidelity_tics(const chart *c, FILE *f)
{
    double span = c->high - c->low, step = span > 60 ? 20 : span > 25 ? 10 : span > 10 ? 5 : span > 4 ? 2 : 1;
    int put = 0;
    fputs("set xtics (", f);
    if (c->equal)
        fprintf(f, "'equal' %.1f", (put++, x_of(c, INFINITY)));
    for (double v = c->kl ? floor(c->low) : ceil(c->low / step) * step; v <= c->high && different(c);
         v += c->kl ? fmax(1, ceil(span / 8)) : step) {
        static const double within[] = {0, 0.30103, 0.69897};
        for (int k = 0; k < (c->kl && span < 2.5 ? 3 : 1); k++) {
            double at = v + within[k] * c->kl;
            if (at < c->low || at > c->high)
                continue;
            fprintf(f, c->kl ? "%s'%.0e' %.1f" : "%s'%g' %.1f", put++ ? ", " : "", c->kl ? pow(10, at) : at,
                    x_of(c, c->kl ? pow(10, at) : at));
        }
    }
    fputs(")\n", f);
}

static void put_speed_tics(const chart *c, FILE *f)
{
    static const double speeds[] = {0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 7, 10, 15, 20, 30, 50, 100};
    double near = 1e9;
    int put = 0;
    fputs("set ytics (", f);
    for (size_t i = 0; i < sizeof speeds / sizeof *speeds; i++) {
        double y = speeds[i] > c->slow && speeds[i] < c->fast ? y_of(c, speeds[i]) : NAN;
        if (isnan(y) || near - y < 18)
            continue;
        near = y;
        fprintf(f, "%s'%gx' %.1f", put++ ? ", " : "", speeds[i], y);
    }
    fputs(")\n", f);
}

/* Ranges, points and labels of what was taken. */
static void lay_out(chart *c)
{
    if (!different(c))
        c->low = 0, c->high = 1;
    double air = fmax(0.08 * (c->high - c->low), c->kl ? 0.3 : 1.5), wide = fmax(1.04, pow(c->fast / c->slow, 0.10));
    c->low -= air;
    c->high += air;
    c->slow /= wide;
    c->fast *= wide;
    for (int i = 0; i < c->count; i++) {
        c->points[i].x = x_of(c, c->points[i].fidelity);
        c->points[i].y = y_of(c, c->points[i].speed);
    }
    for (int i = 0; i < c->count; i++)
        place_label(c, i);
}

/* The panel whose top is `top` pixels below the picture's, which is `height` high. */
static void put_panel(const chart *c, double top, double height, FILE *f)
{
    fprintf(f, "set lmargin at screen %.4f\nset rmargin at screen %.4f\nset tmargin at screen %.4f\nset bmargin at screen %.4f\n",
            frame.left / HM_PLOT_WIDTH, frame.right / HM_PLOT_WIDTH, 1 - (top + frame.top) / height, 1 - (top + frame.bottom) / height);
    fprintf(f, "unset label\nset xrange [%g:%g]\nset yrange [%g:%g]\n", frame.left, frame.right, frame.bottom, frame.top);
    put_speed_tics(c, f);
    put_fidelity_tics(c, f);
    fprintf(f, "set xlabel '%s'\n$data << EOD\n",
            c->kl ? "mean KL of the codes (nat, logarithmic): left is nearer" : "spectral SNR of the audio (dB): left is nearer");
    for (int i = 0; i < c->count; i++)
        fprintf(f, "%.1f %.1f\n", c->points[i].x, c->points[i].y);
    fputs("EOD\n", f);
    for (int i = 0; i < c->count; i++) {
        const point *p = &c->points[i];
        if (!p->shown)
            continue;
        fputs("set label ", f);
        hm_plot_quoted(f, p->name);
        fprintf(f, " at %.1f, %.1f center tc rgb '#222222' front\n", (p->label.left + p->label.right) / 2,
                (p->label.top + p->label.bottom) / 2);
    }
    fprintf(f, "plot $data using 1:2 with points pt 7 ps 1.2 lc rgb '%s'\n", hm_plot_colour(!c->kl));
}

/* Codes and audio differ for different reasons: a panel for each that differs at all. */
hm_status hm_plot_tradeoff(const hm_journal_session *s, const char *output, FILE *f, hm_error *err)
{
    chart charts[2];
    const chart *shown[2];
    char title[300];
    int panels = 0, known = 0;
    for (int i = 0; i < 2; i++) {
        take_arms(s, !i, &charts[i]);
        known += charts[i].count;
        if (different(&charts[i]))
            shown[panels++] = &charts[i];
    }
    if (!known)
        return hm_fail(err, HM_EMISSING,
                       "plot tradeoff: session %.8s has no arm whose fidelity is known; measure some with --variant naive,best,steps5",
                       s->id);
    if (!panels) /* all equal */
        shown[panels++] = &charts[!charts[0].count];
    for (int i = 0; i < 2; i++)
        if (charts[i].count)
            lay_out(&charts[i]);
    double height = HEAD + PANEL * panels;
    snprintf(title, sizeof title, "Speed and fidelity against %s", s->arms[0].name);
    hm_plot_session_head(s, output, title, "means over cases, along the stored codes", HM_PLOT_WIDTH, (int)height, f);
    fputs("unset key\nset grid xtics ytics lc rgb '#dddddd' lt 1 lw 0.7\nset ylabel ", f);
    snprintf(title, sizeof title, "speed against %s", s->arms[0].name);
    hm_plot_quoted(f, title);
    fputs("\nset multiplot title title\nunset title\n", f);
    for (int i = 0; i < panels; i++)
        put_panel(shown[i], HEAD + PANEL * i, height, f);
    fputs("unset multiplot\n", f);
    return HM_OK;
}
