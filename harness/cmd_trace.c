#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "harness/commands.h"
#include "harness/table.h"
#include "traces/check.h"
#include "traces/summary.h"

/* Text of a number in a buffer of the row being made; NULL for "not known". */
typedef struct row_text {
    char cells[12][64];
    const char *pointers[13];
    int count;
} row_text;

static void put(row_text *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(row_text *r, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(r->cells[r->count], sizeof r->cells[0], format, ap);
    va_end(ap);
    r->pointers[r->count] = r->cells[r->count];
    r->count++;
}

static void put_none(row_text *r)
{
    r->pointers[r->count++] = NULL;
}

static double ms(int64_t ns)
{
    return (double)ns / 1e6;
}

static double percent(int64_t part, int64_t whole)
{
    return whole > 0 ? 100.0 * (double)part / (double)whole : 0;
}

static hm_status print_check(const char *path, const hm_trace_report *report, hm_error *err)
{
    hm_table *t =
        hm_table_new((const char *const[]){">rule", ">checked", ">errors", ">warnings", "demands; the first that breaks it", NULL});
    char number[HM_TRACE_RULE_END][4][24], text[512];
    for (int i = 1; i < HM_TRACE_RULE_END; i++) {
        const hm_trace_finding *f = &report->rules[i];
        snprintf(number[i][0], 24, "%d", i);
        snprintf(number[i][1], 24, "%" PRId64, f->checked);
        snprintf(number[i][2], 24, "%" PRId64, f->errors);
        snprintf(number[i][3], 24, "%" PRId64, f->warnings);
        if (f->first[0] && f->first_event >= 0)
            snprintf(text, sizeof text, "%s: event %" PRId64 ": %s", f->errors ? "ERROR" : "warning", f->first_event, f->first);
        else if (f->first[0])
            snprintf(text, sizeof text, "%s: %s", f->errors ? "ERROR" : "warning", f->first);
        else
            snprintf(text, sizeof text, "%s", hm_trace_rule_text(i));
        hm_table_row(t, (const char *const[]){number[i][0], number[i][1], number[i][2], number[i][3], text});
    }
    printf("%s: %" PRId64 " events, %" PRId64 " errors, %" PRId64 " warnings\n\n", path, report->events, report->errors, report->warnings);
    return hm_table_end(t, stdout, hm_terminal_width(), err);
}

static hm_status check_file(const char *path, hm_error *err)
{
    hm_trace_report report;
    hm_status st = hm_trace_check(path, &report, err);
    if (!st)
        st = print_check(path, &report, err);
    if (!st && report.errors)
        st = hm_fail(err, HM_EFAILED, "trace %s breaks its rules %" PRId64 " times", path, report.errors);
    return st;
}

/* Figures of one row inside frames: only the frames that hold such spans count, since fine spans are recorded in a window. */
static void put_frame_figures(row_text *r, const hm_trace_row *row)
{
    if (!row->frames) {
        put_none(r);
        put_none(r);
        return;
    }
    put(r, "%.3f", ms(row->in_frames_ns) / (double)row->frames);
    put(r, "%.1f", percent(row->in_frames_ns, row->frame_ns));
}

static hm_status print_stats(const hm_trace_summary *s, int64_t limit, hm_error *err)
{
    hm_table *t = hm_table_new((const char *const[]){"span", "kind", ">count", ">total ms", ">self ms", ">self %", ">mean ms", ">min ms",
                                                     ">max ms", ">ms/frame", ">% of frame", NULL});
    for (int i = 0; i < s->count && (!limit || i < limit); i++) {
        const hm_trace_row *x = &s->rows[i];
        row_text r = {.count = 0};
        put(&r, "%s", x->name);
        put(&r, "%s", x->category);
        put(&r, "%" PRId64, x->count);
        put(&r, "%.3f", ms(x->total_ns));
        put(&r, "%.3f", ms(x->self_ns));
        put(&r, "%.1f", percent(x->self_ns, s->total_ns));
        put(&r, "%.4f", ms(x->total_ns) / (double)x->count);
        put(&r, "%.4f", ms(x->min_ns));
        put(&r, "%.4f", ms(x->max_ns));
        put_frame_figures(&r, x);
        hm_table_row(t, r.pointers);
    }
    return hm_table_end(t, stdout, 0, err);
}

static hm_status stats_file(const char *path, int64_t limit, hm_error *err)
{
    hm_trace_summary s;
    hm_status st = hm_trace_summarise(path, &s, err);
    if (st)
        return st;
    printf("%s: %.3f ms in outermost spans, %" PRId64 " frames", path, ms(s.total_ns), s.frames);
    if (s.frames)
        printf(" of %.3f ms", ms(s.frames_ns) / (double)s.frames);
    printf("\n\n");
    st = print_stats(&s, limit, err);
    hm_trace_summary_free(&s);
    return st;
}

/* One row of the difference; a or b is NULL when the name is in one trace only. */
static void diff_row(hm_table *t, const hm_trace_row *a, const hm_trace_row *b)
{
    row_text r = {.count = 0};
    const hm_trace_row *any = a ? a : b;
    put(&r, "%s", any->name);
    put(&r, "%s", any->category);
    for (int k = 0; k < 2; k++) {
        const hm_trace_row *x = k ? b : a;
        if (x)
            put(&r, "%" PRId64, x->count);
        else
            put_none(&r);
    }
    for (int k = 0; k < 2; k++) {
        const hm_trace_row *x = k ? b : a;
        if (x)
            put(&r, "%.3f", ms(x->total_ns));
        else
            put_none(&r);
    }
    put(&r, "%+.3f", ms((b ? b->total_ns : 0) - (a ? a->total_ns : 0)));
    if (a && b && a->total_ns > 0)
        put(&r, "%.3f", (double)b->total_ns / (double)a->total_ns);
    else
        put_none(&r);
    if (a && b && a->count && a->total_ns > 0 && b->count)
        put(&r, "%.3f", (double)b->total_ns / (double)b->count / ((double)a->total_ns / (double)a->count));
    else
        put_none(&r);
    hm_table_row(t, r.pointers);
}

static hm_status diff_files(const char *first, const char *second, hm_error *err)
{
    hm_trace_summary a, b = {0};
    hm_status st = hm_trace_summarise(first, &a, err);
    if (st)
        return st;
    st = hm_trace_summarise(second, &b, err);
    if (!st) {
        hm_table *t = hm_table_new((const char *const[]){"span", "kind", ">count A", ">count B", ">total A ms", ">total B ms", ">B-A ms",
                                                         ">B/A total", ">B/A mean", NULL});
        for (int i = 0; i < a.count; i++)
            diff_row(t, &a.rows[i], hm_trace_summary_find(&b, a.rows[i].name, a.rows[i].category));
        for (int i = 0; i < b.count; i++)
            if (!hm_trace_summary_find(&a, b.rows[i].name, b.rows[i].category))
                diff_row(t, NULL, &b.rows[i]);
        printf("A: %s\nB: %s\n\n", first, second);
        st = hm_table_end(t, stdout, 0, err);
    }
    hm_trace_summary_free(&a);
    hm_trace_summary_free(&b);
    return st;
}

hm_status hm_cmd_trace(const hm_command *self, int argc, char **argv, hm_error *err)
{
    static const char *const actions[] = {"check", "stats", "diff", NULL};
    int64_t limit = 0;
    bool helped = false;
    hm_strings words = {.count = 0};
    const hm_option options[] = {
        {"top", 0, HM_OPT_INT, &limit, "N", "stats: the N spans with the most time; 0: all", 0, 1000000, NULL},
        {0},
    };
    hm_status st = hm_options_parse(self, options, argc, argv, &words, 3, &helped, err);
    if (st || helped)
        return st;
    if (words.count < 1)
        return hm_fail(err, HM_EUSAGE, "trace: what is to be done? check, stats or diff (hmbench trace --help)");
    const char *action = words.items[0];
    int wanted = !strcmp(action, "diff") ? 3 : 2;
    if (strcmp(action, "check") && strcmp(action, "stats") && strcmp(action, "diff")) {
        const char *near = hm_nearest(action, actions);
        return hm_fail(err, HM_EUSAGE, "trace: unknown action \"%s\"%s%s%s (check, stats or diff)", action, near ? "; did you mean \"" : "",
                       near ? near : "", near ? "\"?" : "");
    }
    if (words.count != wanted)
        return hm_fail(err, HM_EUSAGE, "trace %s wants %s, found %d", action, wanted == 3 ? "two files" : "one file", words.count - 1);
    if (!strcmp(action, "check"))
        return check_file(words.items[1], err);
    return wanted == 3 ? diff_files(words.items[1], words.items[2], err) : stats_file(words.items[1], limit, err);
}
