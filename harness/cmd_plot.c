#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/commands.h"
#include "harness/gnuplot.h"
#include "harness/model.h"
#include "harness/store_query.h"
#include "reports/plot.h"

#define KINDS "ladder, phases, steps, ratio, roofline, tradeoff or positions"

typedef struct plot_args {
    const char *kind, *db, *output, *session, *model;
    bool script; /* print it instead of running it */
} plot_args;

typedef struct picture {
    const hm_journal_session *session;
    hm_plot_kind kind;
} picture;

static hm_status write_script(void *self, const char *output, FILE *script, hm_error *err)
{
    const picture *p = self;
    return hm_plot_write(p->session, p->kind, output, script, err);
}

static hm_status draw(const hm_journal_session *session, hm_plot_kind kind, const plot_args *a, hm_error *err)
{
    picture p = {session, kind};
    return a->script ? write_script(&p, a->output, stdout, err) : hm_gnuplot_draw(a->output, write_script, &p, err);
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

static hm_status plot(const plot_args *a, hm_plot_kind kind, hm_error *err)
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
        st = draw(session, kind, a, err);
    hm_journal_data_free(&data);
    hm_store_close(&store);
    return st;
}

hm_status hm_cmd_plot(const hm_command *self, int argc, char **argv, hm_error *err)
{
    static const char *const kinds[] = {HM_PLOT_NAMES, NULL};
    plot_args a = {.session = "last"};
    bool helped = false;
    hm_strings words = {.count = 0};
    const hm_option options[] = {
        {"output", 'o', HM_OPT_STRING, &a.output, "FILE", "picture: .svg or .png", 0, 0, NULL},
        {"session", 0, HM_OPT_STRING, &a.session, "ID", "which: its id, the first letters of it, or last", 0, 0, NULL},
        {"model", 'm', HM_OPT_STRING, &a.model, "NAME", "which of the session's models, when it has several", 0, 0, NULL},
        {"db", 0, HM_OPT_STRING, &a.db, "FILE", "database ($HMBENCH_DB, else hmbench-out/hmbench.db)", 0, 0, NULL},
        {"script", 0, HM_OPT_FLAG, &a.script, NULL, "print the gnuplot script instead of running it", 0, 0, NULL},
        {0},
    };
    hm_status st = hm_options_parse(self, options, argc, argv, &words, 1, &helped, err);
    if (st || helped)
        return st;
    if (!words.count)
        return hm_fail(err, HM_EUSAGE, "plot: of what? " KINDS " (hmbench plot --help)");
    if (!a.output)
        return hm_fail(err, HM_EUSAGE, "plot: -o is missing: where should the picture go? (%s.svg or .png)", words.items[0]);
    st = hm_plot_check_path(a.output, err);
    if (st)
        return st;
    for (int k = 0; kinds[k]; k++)
        if (!strcmp(kinds[k], words.items[0]))
            return plot(&a, (hm_plot_kind)k, err);
    if (!strcmp(words.items[0], "history"))
        return hm_fail(err, HM_EUSAGE, "plot history: a history is of a case, not of a session: hmbench history CASE --plot %s", a.output);
    const char *near = hm_nearest(words.items[0], kinds);
    return hm_fail(err, HM_EUSAGE, "plot: unknown kind \"%s\"%s%s%s (" KINDS ")", words.items[0],
                   near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}
