#include "reports/history.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void hm_history_free(hm_history *history)
{
    for (int i = 0; i < history->count; i++)
        free(history->series[i].points);
    free(history->series);
    *history = (hm_history){0};
}

void hm_history_find_changes(hm_history *history, double least)
{
    for (int i = 0; i < history->count; i++) {
        hm_history_series *s = &history->series[i];
        double *z = s->count ? malloc((size_t)s->count * sizeof *z) : NULL;
        for (int p = 0; z && p < s->count; p++)
            z[p] = log(s->points[p].value); /* not above zero: not finite, and nothing is found */
        s->change_count = z ? hm_change_points(z, s->count, log1p(least), s->changes, HM_HISTORY_CHANGES) : 0;
        free(z);
    }
}

double hm_history_change_percent(const hm_change *change)
{
    return 100 * expm1(change->after - change->before);
}

static bool is_worse(const hm_history_series *s, const hm_change *c)
{
    return (c->after - c->before) * s->direction > 0;
}

int hm_history_worse(const hm_history *history)
{
    int n = 0;
    for (int i = 0; i < history->count; i++)
        for (int c = 0; c < history->series[i].change_count; c++)
            n += is_worse(&history->series[i], &history->series[i].changes[c]);
    return n;
}

static const hm_change *change_at(const hm_history_series *s, int point)
{
    for (int i = 0; i < s->change_count; i++)
        if (s->changes[i].at == point)
            return &s->changes[i];
    return NULL;
}

/* "1a2b3c4d", "1a2b3c4d+" with changes that no commit has. */
static const char *short_commit(const hm_history_point *p, char out[16])
{
    snprintf(out, 16, "%.8s%s", *p->commit ? p->commit : "unknown", p->dirty ? "+" : "");
    return out;
}

static int decimals_of(double value)
{
    value = fabs(value);
    return value >= 100 ? 1 : value >= 10 ? 2 : value >= 1 ? 3 : 4;
}

static hm_sheet *points_sheet(const hm_history *h, const hm_history_series *s)
{
    char title[64], name[16], before[16];
    snprintf(title, sizeof title, ">value|%.30s (%s)", h->metric, s->unit);
    const char *const titles[] = {"case|",
                                  "arm|",
                                  "model|",
                                  "metric|",
                                  "unit|",
                                  "commit|",
                                  "dirty|",
                                  "short_commit|commit",
                                  "first_utc|first session (UTC)",
                                  ">sessions",
                                  ">rounds",
                                  title,
                                  ">change_percent|change",
                                  ">p|p",
                                  "before_commit|since",
                                  NULL};
    hm_sheet *sheet = hm_sheet_new(titles);
    for (int i = 0; i < s->count; i++) {
        const hm_history_point *p = &s->points[i];
        const hm_change *c = change_at(s, i);
        hm_sheet_string(sheet, s->label);
        hm_sheet_string(sheet, s->arm);
        hm_sheet_string(sheet, s->model);
        hm_sheet_string(sheet, h->metric);
        hm_sheet_string(sheet, s->unit);
        hm_sheet_string(sheet, p->commit);
        hm_sheet_cell(sheet, "%d", p->dirty);
        hm_sheet_string(sheet, short_commit(p, name));
        hm_sheet_string(sheet, p->first_utc);
        hm_sheet_cell(sheet, "%d", p->sessions);
        hm_sheet_cell(sheet, "%d", p->rounds);
        hm_sheet_number(sheet, p->value, decimals_of(p->value));
        if (c) {
            hm_sheet_value(sheet, hm_history_change_percent(c), "%+.1f %% %s", hm_history_change_percent(c),
                           is_worse(s, c) ? "worse" : "better");
            hm_sheet_value(sheet, c->p, "%.1g", c->p);
            hm_sheet_string(sheet, short_commit(&s->points[i - 1], before));
        } else {
            hm_sheet_none(sheet);
            hm_sheet_none(sheet);
            hm_sheet_none(sheet);
        }
    }
    return sheet;
}

/* Both commits, and how to find out by paired runs. */
static void tell_change(hm_document *d, const hm_history_series *s, const hm_change *c)
{
    const hm_history_point *before = &s->points[c->at - 1], *after = &s->points[c->at];
    char a[16], b[16], model[1100] = "";
    short_commit(before, a);
    short_commit(after, b);
    hm_document_text(d, "**%s %s at `%s`**: %+.1f %% (median of %s before it and after), the commit before is `%s`.", s->label,
                     is_worse(s, c) ? "got worse" : "got better", b, hm_history_change_percent(c), s->unit, a);
    if (!*before->commit || !*after->commit || before->dirty || after->dirty) {
        hm_document_text(d,
                         "One of them was built from changes that no commit has: build both programs, then `hmbench gate %s --filter "
                         "'^%s$' --variant '%s' --base OLD --cand NEW` confirms it with paired runs.",
                         s->suite, s->label, *s->variant ? s->variant : "best");
        return;
    }
    if (*s->model_path)
        snprintf(model, sizeof model, " --model '%s'", s->model_path);
    hm_document_text(d,
                     "`for c in %s %s; do git worktree add ../hmbench-$c $c && ../hmbench-$c/hmbench suite %s --variant '%s' --dry-run; "
                     "done` builds both; `hmbench gate %s --filter '^%s$' --variant '%s'%s --base ../hmbench-%s/build/hmbench --cand "
                     "../hmbench-%s/build/hmbench` confirms it with paired runs.",
                     a, b, s->suite, *s->variant ? s->variant : "best", s->suite, s->label, *s->variant ? s->variant : "best", model, a, b);
}

hm_document *hm_history_document(const hm_history *h)
{
    hm_document *d = hm_document_new("history");
    hm_document_text(d, "Machine: %s. Changes are hints: sessions lie at different times; the gate confirms them.", h->machine);
    for (int i = 0; i < h->count; i++) {
        const hm_history_series *s = &h->series[i];
        hm_document_heading(d, 2, "%s: %s, %s", s->label, s->arm, s->model);
        hm_document_sheet(d, "history", points_sheet(h, s));
        if (s->count < 6)
            hm_document_text(d, "%d point%s: changes are looked for from 6 on.", s->count, s->count == 1 ? "" : "s");
        else if (!s->change_count)
            hm_document_text(d, "No change found.");
        for (int c = 0; c < s->change_count; c++)
            tell_change(d, s, &s->changes[c]);
    }
    return d;
}
