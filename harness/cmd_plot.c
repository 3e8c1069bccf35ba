#include <stdio.h>
#include <string.h>

#include "harness/cmd_plot.h"
#include "harness/commands.h"
#include "harness/gnuplot.h"
#include "harness/store_query.h"
#include "reports/plot.h"

#define KINDS "ladder, phases, steps, ratio, roofline, tradeoff, positions, ablation or history"

typedef struct plot_args {
    const char *db, *session, *model, *metric, *margin;
    hm_history_filter history;
    hm_picture picture;
} plot_args;

typedef struct drawing {
    const hm_journal_session *session;
    hm_plot_kind kind;
} drawing;

hm_status hm_picture_make(const hm_picture *picture, hm_status (*write)(void *self, const char *output, FILE *script, hm_error *err),
                          void *self, hm_error *err)
{
    return picture->script ? write(self, picture->output, stdout, err) : hm_gnuplot_draw(picture->output, write, self, err);
}

static hm_status write_script(void *self, const char *output, FILE *script, hm_error *err)
{
    const drawing *d = self;
    return hm_plot_write(d->session, d->kind, output, script, err);
}

/* The one part of the journal that is meant: a session's only model, or the one asked for. */
static hm_status choose(const hm_journal *journal, const plot_args *a, const hm_journal_session **out, hm_error *err)
{
    char models[256] = "";
    *out = NULL;
    for (int i = 0; i < journal->session_count; i++) {
        const hm_journal_session *s = &journal->sessions[i];
        if (strcmp(s->id, journal->sessions[0].id))
            return hm_fail(err, HM_EUSAGE, "plot: --session %s fits several sessions: give more of its letters", a->session);
        size_t n = strlen(models);
        snprintf(models + n, sizeof models - n, "%s%s", n ? ", " : "", s->model);
        if (a->model ? !strcmp(a->model, s->model) : journal->session_count == 1)
            *out = s;
    }
    if (*out)
        return HM_OK;
    return a->model ? hm_fail(err, HM_EUSAGE, "plot: --model %s: the session has %s", a->model, models)
                    : hm_fail(err, HM_EUSAGE, "plot: the session has several models: say which with --model: %s", models);
}

static hm_status plot_session(const plot_args *a, hm_plot_kind kind, hm_error *err)
{
    hm_store *store = NULL;
    hm_journal_data *data = NULL;
    hm_journal_filter filter = {a->session, NULL};
    const hm_journal_session *session = NULL;
    hm_status st = hm_store_open(&store, hm_store_path(a->db), HM_STORE_READ, err);
    if (!st)
        st = hm_store_get_journal(store, &filter, &data, err);
    if (!st)
        st = choose(hm_journal_data_journal(data), a, &session, err);
    if (!st)
        st = hm_picture_make(&a->picture, write_script, &(drawing){session, kind}, err);
    hm_journal_data_free(&data);
    hm_store_close(&store);
    return st;
}

/* What says nothing of this kind of picture. */
static hm_status check_options(const plot_args *a, const char *kind, hm_error *err)
{
    const hm_history_filter *h = &a->history;
    bool history = !strcmp(kind, "history"), ablation = !strcmp(kind, "ablation");
    if (!history && (h->arm || h->since || h->machine || a->margin))
        return hm_fail(err, HM_EUSAGE, "plot %s: --arm, --since, --machine and --margin are for plot history", kind);
    if (!history && !ablation && a->metric)
        return hm_fail(err, HM_EUSAGE, "plot %s: --metric is for plot history and plot ablation", kind);
    if ((history && a->session) || ((history || ablation) && a->model))
        return hm_fail(err, HM_EUSAGE, "plot %s: --%s has no meaning here", kind, a->model ? "model" : "session");
    return HM_OK;
}

static hm_status plot(plot_args *a, const hm_strings *words, hm_error *err)
{
    static const char *const kinds[] = {HM_PLOT_NAMES, "ablation", "history", NULL};
    const char *kind = words->items[0], *metric = a->metric ? a->metric : "wall";
    char near[HM_SUGGESTION];
    int k = 0;
    while (kinds[k] && strcmp(kinds[k], kind))
        k++;
    if (!kinds[k])
        return hm_fail(err, HM_EUSAGE, "plot: unknown kind \"%s\"%s (" KINDS ")", kind, hm_did_you_mean(near, kind, kinds));
    bool history = !strcmp(kind, "history");
    if (words->count != 1 + history)
        return history ? hm_fail(err, HM_EUSAGE, "plot history: of what? one case (short/plain) or suite (short)")
                       : hm_fail(err, HM_EUSAGE, "plot %s: unexpected argument \"%s\" (hmbench plot --help)", kind, words->items[1]);
    hm_status st = check_options(a, kind, err);
    if (!a->session)
        a->session = "last";
    a->history.metric = metric;
    a->history.label = history ? words->items[1] : NULL;
    if (!st && history)
        return hm_plot_history(&a->picture, a->db, &a->history, a->margin ? a->margin : "2%", err);
    if (!st && !strcmp(kind, "ablation"))
        return hm_plot_ablation(&a->picture, a->db, a->session, metric, err);
    return st ? st : plot_session(a, (hm_plot_kind)k, err);
}

hm_status hm_cmd_plot(const hm_command *self, int argc, char **argv, hm_error *err)
{
    plot_args a = {0};
    hm_history_filter *h = &a.history;
    bool helped = false;
    hm_strings words = {.count = 0};
    const hm_option options[] = {
        {"output", 'o', HM_OPT_STRING, &a.picture.output, "FILE", "picture: .svg or .png", 0, 0, NULL},
        {"session", 0, HM_OPT_STRING, &a.session, "ID", "which: its id, the first letters of it, or last (default: last)", 0, 0, NULL},
        {"model", 'm', HM_OPT_STRING, &a.model, "NAME", "which of the session's models, when it has several", 0, 0, NULL},
        {"metric", 0, HM_OPT_STRING, &a.metric, "NAME", "of history and ablation: hmbench list metrics (default: wall)", 0, 0, NULL},
        {"arm", 0, HM_OPT_STRING, &h->arm, "NAME", "of history: an arm or a variant (default: all)", 0, 0, NULL},
        {"since", 0, HM_OPT_STRING, &h->since, "WHEN", "of history: from a UTC date (2006-01-02) or a commit on", 0, 0, NULL},
        {"machine", 0, HM_OPT_STRING, &h->machine, "ID", "of history: first letters of its id (default: that of the newest session)", 0, 0,
         NULL},
        {"margin", 0, HM_OPT_STRING, &a.margin, "PERCENT", "of history: smaller changes are not marked (default: 2%)", 0, 0, NULL},
        {"db", 0, HM_OPT_STRING, &a.db, "FILE", "database ($HMBENCH_DB, else hmbench-out/hmbench.db)", 0, 0, NULL},
        {"script", 0, HM_OPT_FLAG, &a.picture.script, NULL, "print the gnuplot script instead of running it", 0, 0, NULL},
        {0},
    };
    hm_status st = hm_options_parse(self, options, argc, argv, &words, 2, &helped, err);
    if (st || helped)
        return st;
    if (!words.count)
        return hm_fail(err, HM_EUSAGE, "plot: of what? " KINDS " (hmbench plot --help)");
    if (!a.picture.output)
        return hm_fail(err, HM_EUSAGE, "plot: -o is missing: where should the picture go? (%s.svg or .png)", words.items[0]);
    st = hm_plot_check_path(a.picture.output, err);
    return st ? st : plot(&a, &words, err);
}
