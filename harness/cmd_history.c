/* hmbench history: how a figure went from commit to commit on one machine, and where it changed. Reads what is stored, runs nothing. */
#include <stdlib.h>
#include <string.h>

#include "harness/cmd_plot.h"
#include "harness/commands.h"
#include "harness/output_options.h"
#include "harness/progress.h"
#include "harness/store_history.h"
#include "reports/plot.h"

typedef struct history_args {
    hm_history_filter filter;
    const char *db, *margin;
    hm_picture picture; /* output NULL: none */
    hm_output_options output;
    bool fail;
} history_args;

static hm_status script(void *self, const char *output, FILE *file, hm_error *err)
{
    return hm_history_plot(self, output, file, err);
}

static void tell_what_is_left_out(const hm_history *h)
{
    if (h->other_machines)
        hm_log_write(hm_log_stderr(false), HM_LOG_WARNING, "%d session%s of other machines left out (--machine ID shows them)",
                     h->other_machines, h->other_machines == 1 ? "" : "s");
    if (h->unhealthy)
        hm_log_write(hm_log_stderr(false), HM_LOG_WARNING, "%d result%s left out: bad audio", h->unhealthy, h->unhealthy == 1 ? "" : "s");
    if (h->software)
        hm_log_write(hm_log_stderr(false), HM_LOG_WARNING, "%d result%s left out: of a software device", h->software,
                     h->software == 1 ? "" : "s");
}

/* With its changes of `least` and more. */
static hm_status read_history(const char *db, const hm_history_filter *filter, double least, hm_history *out, hm_error *err)
{
    hm_store *store = NULL;
    hm_status st = hm_store_open(&store, hm_store_path(db), HM_STORE_READ, err);
    if (!st)
        st = hm_store_get_history(store, filter, out, err);
    hm_store_close(&store);
    if (st)
        return st;
    hm_history_find_changes(out, least);
    tell_what_is_left_out(out);
    return HM_OK;
}

static hm_status show(const history_args *a, double least, hm_error *err)
{
    hm_history history = {0};
    hm_document *document = NULL;
    hm_status st = read_history(a->db, &a->filter, least, &history, err);
    if (!st) {
        document = hm_history_document(&history);
        st = hm_output_write(&a->output, document, err);
    }
    if (!st && a->picture.output)
        st = hm_picture_make(&a->picture, script, &history, err);
    int worse = st ? 0 : hm_history_worse(&history);
    if (worse && a->fail)
        st = hm_fail(err, HM_EFAILED, "history: %d change%s to the worse", worse, worse == 1 ? "" : "s");
    hm_document_free(&document);
    hm_history_free(&history);
    return st;
}

hm_status hm_plot_history(const hm_picture *picture, const char *db, const hm_history_filter *filter, const char *margin, hm_error *err)
{
    hm_history history = {0};
    double least = 0;
    hm_status st = hm_option_percent("margin", margin, false, &least, err);
    if (!st)
        st = read_history(db, filter, least, &history, err);
    if (!st)
        st = hm_picture_make(picture, script, &history, err);
    hm_history_free(&history);
    return st;
}

static hm_status check(const history_args *a, int labels, double *least, hm_error *err)
{
    if (labels != 1)
        return hm_fail(err, HM_EUSAGE, "history: one case (short/plain) or suite (short) at a time");
    hm_status st = hm_option_percent("margin", a->margin, false, least, err);
    if (!st)
        st = hm_output_options_check(&a->output, "history", err);
    return !st && a->picture.output ? hm_plot_check_path(a->picture.output, err) : st;
}

hm_status hm_cmd_history(const hm_command *self, int argc, char **argv, hm_error *err)
{
    history_args a = {.filter = {.metric = "wall"}, .margin = "2%", .output = {.format = "md"}};
    hm_strings labels = {0};
    bool helped = false;
    double least = 0;
    const hm_option options[] = {
        {"metric", 0, HM_OPT_STRING, &a.filter.metric, "NAME", "hmbench list metrics", 0, 0, NULL},
        {"arm", 0, HM_OPT_STRING, &a.filter.arm, "NAME", "an arm or a variant (default: all)", 0, 0, NULL},
        {"since", 0, HM_OPT_STRING, &a.filter.since, "WHEN", "from a UTC date (2006-01-02) or a commit on", 0, 0, NULL},
        {"machine", 0, HM_OPT_STRING, &a.filter.machine, "ID", "first letters of its id (default: that of the newest session)", 0, 0, NULL},
        {"margin", 0, HM_OPT_STRING, &a.margin, "PERCENT", "smaller changes are not told", 0, 0, NULL},
        {"fail", 0, HM_OPT_FLAG, &a.fail, NULL, "end with 1 when a change to the worse is found", 0, 0, NULL},
        {"plot", 0, HM_OPT_STRING, &a.picture.output, "FILE", "a picture, .svg or .png", 0, 0, NULL},
        {"db", 0, HM_OPT_STRING, &a.db, "FILE", "database ($HMBENCH_DB, else hmbench-out/hmbench.db)", 0, 0, NULL},
        HM_OUTPUT_OPTIONS(a.output),
        {0}};
    hm_status st = hm_options_parse(self, options, argc, argv, &labels, 1, &helped, err);
    if (st || helped)
        return st;
    st = check(&a, labels.count, &least, err);
    if (st)
        return st;
    a.filter.label = labels.items[0];
    return show(&a, least, err);
}
