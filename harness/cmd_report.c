#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/map.h"
#include "harness/commands.h"
#include "harness/gnuplot.h"
#include "harness/output_check.h"
#include "harness/progress.h"
#include "harness/store_query.h"
#include "reports/journal_parts.h"
#include "reports/report.h"

typedef struct report_args {
    const char *db, *path, *session, *model, *variant, *label;
    bool line, explain;
} report_args;

/* ---- pictures ---- */

typedef struct artist {
    char folder[64];
    hm_error failure; /* the first that kept a picture from being drawn */
} artist;

typedef struct picture {
    const hm_journal_session *session;
    hm_plot_kind kind;
} picture;

static hm_status write_script(void *self, const char *output, FILE *script, hm_error *err)
{
    const picture *p = self;
    return hm_plot_write(p->session, p->kind, output, script, err);
}

/* Too little data for a picture is no failure; a missing gnuplot is told once. */
static char *draw(void *self, const hm_journal_session *session, hm_plot_kind kind)
{
    artist *a = self;
    picture p = {session, kind};
    char path[128], *text = NULL;
    hm_error err = {0};
    hm_map map = {0};
    snprintf(path, sizeof path, "%s/picture.svg", a->folder);
    hm_status st = a->failure.status == HM_EABSENT ? HM_EABSENT : hm_gnuplot_draw(path, write_script, &p, &err);
    if (!st)
        st = hm_map_read(&map, path, 64 << 20, &err);
    if (!st)
        text = strndup((const char *)map.data, map.size);
    hm_map_close(&map);
    unlink(path);
    if (st && st != HM_EMISSING && st != HM_EUSAGE && !a->failure.status)
        a->failure = err;
    return text;
}

static hm_status make_page(const hm_journal *journal, char **text, size_t *size, hm_error *err)
{
    artist a = {.folder = "/tmp/hmbench-report-XXXXXX"};
    hm_report_artist pictures = {draw, &a};
    FILE *file = open_memstream(text, size);
    if (!file)
        return hm_fail(err, HM_EABSENT, "report: no memory for its text");
    bool folder = mkdtemp(a.folder) != NULL;
    hm_status st = hm_report_write(journal->sessions, journal->session_count, folder ? &pictures : NULL, file, err);
    if (folder)
        rmdir(a.folder);
    if (fclose(file) && !st)
        st = hm_fail(err, HM_EABSENT, "report: no memory for its text");
    if (!st && (a.failure.status || !folder))
        hm_log_write(hm_log_stderr(false), HM_LOG_WARNING, "report without pictures: %s",
                     folder ? a.failure.text : "no temporary folder can be made in /tmp");
    return st;
}

/* ---- one line ---- */

/* The arm's place; -1: none of that name. */
static int find_arm(const hm_journal_session *s, const char *name)
{
    for (int a = 0; a < s->arm_count; a++)
        if (hm_journal_arm_is(&s->arms[a], name))
            return a;
    return -1;
}

static hm_status lines_of(const report_args *a, const hm_journal_session *s, bool *explain, int *count, FILE *file, hm_error *err)
{
    hm_status st = HM_OK;
    int arm = a->variant ? find_arm(s, a->variant) : hm_journal_final_arm(s);
    for (int c = 0; c < s->case_count && !st && arm >= 0; c++) {
        if (a->label ? strcmp(a->label, s->cases[c].label) : c != hm_journal_longest_case(s))
            continue;
        if (s->arms[arm].software)
            return hm_fail(err, HM_EINVALID, "report --line: %.80s ran on a software device, whose times say nothing about hardware",
                           s->arms[arm].name);
        st = hm_report_line(s, arm, c, *explain, file, err);
        *explain = false; /* once is enough */
        ++*count;
    }
    return st;
}

static hm_status make_lines(const report_args *a, const hm_journal *journal, char **text, size_t *size, hm_error *err)
{
    bool explain = a->explain;
    int count = 0;
    hm_status st = HM_OK;
    FILE *file = open_memstream(text, size);
    if (!file)
        return hm_fail(err, HM_EABSENT, "report: no memory for its text");
    for (int i = 0; i < journal->session_count && !st; i++)
        if (!a->model || !strcmp(a->model, journal->sessions[i].model))
            st = lines_of(a, &journal->sessions[i], &explain, &count, file, err);
    if (fclose(file) && !st)
        st = hm_fail(err, HM_EABSENT, "report: no memory for its text");
    if (!st && !count)
        st = hm_fail(err, HM_EMISSING,
                     "report --line: session %.8s has no %s%s%s%s; hmbench db sql \"SELECT DISTINCT arm, suite || '/' || case_name "
                     "FROM figure\" tells what there is",
                     journal->sessions[0].id, a->variant ? a->variant : "result", a->label ? " on " : "", a->label ? a->label : "",
                     a->model ? " of that model" : "");
    return st;
}

/* ---- the command ---- */

static hm_status report(const report_args *a, hm_error *err)
{
    hm_store *store = NULL;
    hm_journal_data *data = NULL;
    hm_journal_filter filter = {a->session, NULL};
    char *text = NULL;
    size_t size = 0;
    bool to_file = a->path && strcmp(a->path, "-");
    hm_status st = to_file ? hm_output_check("report", a->path, err) : HM_OK;
    if (!st)
        st = hm_store_open(&store, hm_store_path(a->db), HM_STORE_READ, err);
    if (!st)
        st = hm_store_get_journal(store, &filter, &data, err);
    const hm_journal *journal = st ? NULL : hm_journal_data_journal(data);
    for (int i = 1; !st && i < journal->session_count; i++)
        if (strcmp(journal->sessions[i].id, journal->sessions[0].id))
            st = hm_fail(err, HM_EUSAGE, "report: --session %s fits several sessions: give more of its letters", a->session);
    if (!st)
        st = a->line ? make_lines(a, journal, &text, &size, err) : make_page(journal, &text, &size, err);
    if (!st && to_file)
        st = hm_file_write(a->path, text, size, err);
    else if (!st)
        fwrite(text, 1, size, stdout); /* main looks whether it went well */
    free(text);
    hm_journal_data_free(&data);
    hm_store_close(&store);
    return st;
}

hm_status hm_cmd_report(const hm_command *self, int argc, char **argv, hm_error *err)
{
    report_args a = {.session = "last"};
    bool helped = false;
    const hm_option options[] = {
        {"output", 'o', HM_OPT_STRING, &a.path, "FILE", "where to (standard output if not given)", 0, 0, NULL},
        {"session", 0, HM_OPT_STRING, &a.session, "ID", "which: its id, the first letters of it, or last", 0, 0, NULL},
        {"line", 0, HM_OPT_FLAG, &a.line, NULL, "one run as a line of text instead of a page", 0, 0, NULL},
        {"explain", 0, HM_OPT_FLAG, &a.explain, NULL, "with --line: the head of its table, and what the columns are", 0, 0, NULL},
        {"variant", 'V', HM_OPT_STRING, &a.variant, "NAME", "with --line: which arm (best, or the last)", 0, 0, NULL},
        {"case", 0, HM_OPT_STRING, &a.label, "SUITE/CASE", "with --line: which case (the longest)", 0, 0, NULL},
        {"model", 'm', HM_OPT_STRING, &a.model, "NAME", "with --line: which of the session's models (a line for each)", 0, 0, NULL},
        {"db", 0, HM_OPT_STRING, &a.db, "FILE", "database ($HMBENCH_DB, else hmbench-out/hmbench.db)", 0, 0, NULL},
        {0},
    };
    hm_status st = hm_options_parse(self, options, argc, argv, NULL, 0, &helped, err);
    if (st || helped)
        return st;
    if (!a.line && (a.explain || a.variant || a.label || a.model))
        return hm_fail(err, HM_EUSAGE, "report: --explain, --variant, --case and --model go with --line");
    return report(&a, err);
}
