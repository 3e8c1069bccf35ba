#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness/commands.h"
#include "harness/output_options.h"
#include "harness/table.h"
#include "traces/check.h"
#include "traces/summary.h"

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

/* ---- stats ---- */

static hm_sheet *spans_sheet(const hm_trace_summary *s, int64_t limit)
{
    hm_sheet *t = hm_sheet_new((const char *const[]){"span", "span_kind|kind", ">count", ">total_ms|total ms", ">self_ms|self ms",
                                                     ">self_percent|self %", ">mean_ms|mean ms", ">min_ms|min ms", ">max_ms|max ms",
                                                     ">frame_ms|ms/frame", ">frame_percent|% of frame", NULL});
    for (int i = 0; i < s->count && (!limit || i < limit); i++) {
        const hm_trace_row *x = &s->rows[i];
        hm_sheet_string(t, x->name);
        hm_sheet_string(t, x->category);
        hm_sheet_cell(t, "%" PRId64, x->count);
        hm_sheet_number(t, ms(x->total_ns), 3);
        hm_sheet_number(t, ms(x->self_ns), 3);
        hm_sheet_number(t, percent(x->self_ns, s->total_ns), 1);
        hm_sheet_number(t, ms(x->total_ns) / (double)x->count, 4);
        hm_sheet_number(t, ms(x->min_ns), 4);
        hm_sheet_number(t, ms(x->max_ns), 4);
        /* only the frames that hold such spans count, since fine spans are recorded in a window */
        hm_sheet_number(t, x->frames ? ms(x->in_frames_ns) / (double)x->frames : NAN, 3);
        hm_sheet_number(t, x->frames ? percent(x->in_frames_ns, x->frame_ns) : NAN, 1);
    }
    return t;
}

static bool is_wait(const hm_trace_row *x)
{
    return !strcmp(x->category, "sync");
}

/* Of the frames whose operations are there: nothing else says how often a frame waits. */
static hm_sheet *waits_sheet(const hm_trace_summary *s)
{
    hm_sheet *t = hm_sheet_new((const char *const[]){"wait", ">count", ">total_ms|total ms", ">longest_ms|longest ms",
                                                     ">frame_waits|waits/frame", ">frame_ms|ms/frame", ">frame_percent|% of frame", NULL});
    for (int i = 0; i < s->count; i++) {
        const hm_trace_row *x = &s->rows[i];
        bool known = s->idle.frames && x->in_frames;
        if (!is_wait(x))
            continue;
        hm_sheet_string(t, x->name);
        hm_sheet_cell(t, "%" PRId64, x->count);
        hm_sheet_number(t, ms(x->total_ns), 3);
        hm_sheet_number(t, ms(x->max_ns), 4);
        hm_sheet_number(t, known ? (double)x->in_frames / (double)s->idle.frames : NAN, 1);
        hm_sheet_number(t, known ? ms(x->in_frames_ns) / (double)s->idle.frames : NAN, 4);
        hm_sheet_number(t, known ? percent(x->in_frames_ns, s->idle.frames_ns) : NAN, 1);
    }
    return t;
}

static hm_sheet *idle_sheet(const hm_idle_report *r)
{
    hm_sheet *t = hm_sheet_new((const char *const[]){"track", "cause", ">gaps", ">total_ms|total ms", ">percent|% of track",
                                                     ">longest_ms|longest ms", ">frame_ms|ms/frame", NULL});
    for (int i = 0; i < r->count; i++)
        for (int k = 0; k < HM_IDLE_COUNT; k++) {
            const hm_idle_track *track = &r->tracks[i];
            const hm_idle *x = &track->idle[k];
            if (!x->gaps)
                continue;
            hm_sheet_string(t, track->name);
            hm_sheet_string(t, hm_idle_text((hm_idle_cause)k));
            hm_sheet_cell(t, "%" PRId64, x->gaps);
            hm_sheet_number(t, ms(x->total_ns), 3);
            hm_sheet_number(t, percent(x->total_ns, track->span_ns), 1);
            hm_sheet_number(t, ms(x->longest_ns), 4);
            hm_sheet_number(t, r->frames && x->in_frames_ns ? ms(x->in_frames_ns) / (double)r->frames : NAN, 4);
        }
    return t;
}

static hm_status stats_file(const char *path, int64_t limit, const hm_output_options *output, hm_error *err)
{
    hm_trace_summary s;
    hm_status st = hm_trace_summarise(path, &s, err);
    if (st)
        return st;
    hm_document *d = hm_document_new("trace_stats");
    if (s.frames)
        hm_document_text(d, "%s: %.3f ms in outermost spans, %" PRId64 " frames of %.3f ms", path, ms(s.total_ns), s.frames,
                         ms(s.frames_ns) / (double)s.frames);
    else
        hm_document_text(d, "%s: %.3f ms in outermost spans, no frames", path, ms(s.total_ns));
    hm_document_sheet(d, "spans", spans_sheet(&s, limit));
    hm_document_text(d, "Waits; per frame: of the %" PRId64 " frames whose operations are there.", s.idle.frames);
    hm_document_sheet(d, "waits", waits_sheet(&s));
    hm_document_text(d, "Idle: time of a track in no operation, by cause.");
    hm_document_sheet(d, "idle", idle_sheet(&s.idle));
    st = hm_output_write(output, d, err);
    hm_document_free(&d);
    hm_trace_summary_free(&s);
    return st;
}

/* ---- diff ---- */

static void number_or_none(hm_sheet *t, bool there, double value, int decimals)
{
    hm_sheet_number(t, there ? value : NAN, decimals);
}

/* One row of the difference; a or b is NULL when the name is in one trace only. */
static void diff_row(hm_sheet *t, const hm_trace_row *a, const hm_trace_row *b)
{
    const hm_trace_row *any = a ? a : b;
    bool both = a && b && a->total_ns > 0;
    hm_sheet_string(t, any->name);
    hm_sheet_string(t, any->category);
    number_or_none(t, a, a ? (double)a->count : 0, 0);
    number_or_none(t, b, b ? (double)b->count : 0, 0);
    number_or_none(t, a, a ? ms(a->total_ns) : 0, 3);
    number_or_none(t, b, b ? ms(b->total_ns) : 0, 3);
    double apart = ms((b ? b->total_ns : 0) - (a ? a->total_ns : 0));
    hm_sheet_value(t, apart, "%+.3f", apart);
    number_or_none(t, both, both ? (double)b->total_ns / (double)a->total_ns : 0, 3);
    both = both && a->count && b->count;
    number_or_none(t, both, both ? (double)b->total_ns / (double)b->count / ((double)a->total_ns / (double)a->count) : 0, 3);
}

static hm_sheet *diff_sheet(const hm_trace_summary *a, const hm_trace_summary *b)
{
    hm_sheet *t = hm_sheet_new((const char *const[]){"span", "span_kind|kind", ">count_a|count A", ">count_b|count B", ">total_a_ms|total A ms",
                                                     ">total_b_ms|total B ms", ">apart_ms|B-A ms", ">total_ratio|B/A total",
                                                     ">mean_ratio|B/A mean", NULL});
    for (int i = 0; i < a->count; i++)
        diff_row(t, &a->rows[i], hm_trace_summary_find(b, a->rows[i].name, a->rows[i].category));
    for (int i = 0; i < b->count; i++)
        if (!hm_trace_summary_find(a, b->rows[i].name, b->rows[i].category))
            diff_row(t, NULL, &b->rows[i]);
    return t;
}

/* A cause over all tracks. */
static hm_idle idle_of(const hm_trace_summary *s, int cause)
{
    hm_idle sum = {0};
    for (int i = 0; i < s->idle.count; i++) {
        const hm_idle *x = &s->idle.tracks[i].idle[cause];
        sum.gaps += x->gaps;
        sum.total_ns += x->total_ns;
        sum.in_frames_ns += x->in_frames_ns;
    }
    return sum;
}

static hm_sheet *diff_idle_sheet(const hm_trace_summary *a, const hm_trace_summary *b)
{
    hm_sheet *t =
        hm_sheet_new((const char *const[]){"cause", ">gaps_a|gaps A", ">gaps_b|gaps B", ">total_a_ms|total A ms", ">total_b_ms|total B ms",
                                           ">apart_ms|B-A ms", ">frame_a_ms|A ms/frame", ">frame_b_ms|B ms/frame", NULL});
    for (int k = 0; k < HM_IDLE_COUNT; k++) {
        hm_idle x = idle_of(a, k), y = idle_of(b, k);
        if (!x.gaps && !y.gaps)
            continue;
        hm_sheet_string(t, hm_idle_text((hm_idle_cause)k));
        hm_sheet_cell(t, "%" PRId64, x.gaps);
        hm_sheet_cell(t, "%" PRId64, y.gaps);
        hm_sheet_number(t, ms(x.total_ns), 3);
        hm_sheet_number(t, ms(y.total_ns), 3);
        hm_sheet_value(t, ms(y.total_ns - x.total_ns), "%+.3f", ms(y.total_ns - x.total_ns));
        number_or_none(t, a->idle.frames, a->idle.frames ? ms(x.in_frames_ns) / (double)a->idle.frames : 0, 4);
        number_or_none(t, b->idle.frames, b->idle.frames ? ms(y.in_frames_ns) / (double)b->idle.frames : 0, 4);
    }
    return t;
}

static hm_status diff_files(const char *first, const char *second, const hm_output_options *output, hm_error *err)
{
    hm_trace_summary a, b = {0};
    hm_status st = hm_trace_summarise(first, &a, err);
    if (st)
        return st;
    st = hm_trace_summarise(second, &b, err);
    if (!st) {
        hm_document *d = hm_document_new("trace_diff");
        hm_document_text(d, "A: %s\nB: %s", first, second);
        hm_document_sheet(d, "spans", diff_sheet(&a, &b));
        hm_document_text(
            d, "Idle of all tracks, by cause; per frame: of the %" PRId64 " frames of A and %" PRId64 " of B whose operations are there.",
            a.idle.frames, b.idle.frames);
        hm_document_sheet(d, "idle", diff_idle_sheet(&a, &b));
        st = hm_output_write(output, d, err);
        hm_document_free(&d);
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
    hm_output_options output = {.format = "md"};
    hm_strings words = {.count = 0};
    const hm_option options[] = {
        {"top", 0, HM_OPT_INT, &limit, "N", "stats: the N spans with the most time; 0: all", 0, 1000000, NULL},
        HM_OUTPUT_OPTIONS(output),
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
        char near[HM_SUGGESTION];
        hm_did_you_mean(near, action, actions);
        return hm_fail(err, HM_EUSAGE, "trace: unknown action \"%s\"%s (check, stats or diff)", action, near);
    }
    if (words.count != wanted)
        return hm_fail(err, HM_EUSAGE, "trace %s wants %s, found %d", action, wanted == 3 ? "two files" : "one file", words.count - 1);
    if (!strcmp(action, "check") && (strcmp(output.format, "md") || output.files.count))
        return hm_fail(err, HM_EUSAGE, "trace check prints one table of its own; -o and -O are for stats and diff");
    st = hm_output_options_check(&output, "trace", err);
    if (st)
        return st;
    if (!strcmp(action, "check"))
        return check_file(words.items[1], err);
    return wanted == 3 ? diff_files(words.items[1], words.items[2], &output, err) : stats_file(words.items[1], limit, &output, err);
}
