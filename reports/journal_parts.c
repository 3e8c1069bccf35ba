#include "reports/journal_parts.h"

#include <math.h>
#include <string.h>

#define MAX_SHOWN_CASES 24 /* columns of the table of all variants */
#define MAX_SPAN_ARMS 4

static hm_status end(hm_sheet *t, FILE *file, hm_error *err)
{
    hm_status st = hm_sheet_end(t, HM_SHEET_MARKDOWN, file, err);
    fputs("\n", file);
    return st;
}

/* Geometric mean of the speed-ups over the cases both have; NaN when there are none. */
static double mean_speed_up(const hm_journal_session *s, int arm)
{
    double sum = 0;
    int n = 0;
    for (int c = 0; c < s->case_count; c++) {
        hm_speed_up up = hm_journal_speed_up(s, 0, arm, c);
        if (up.n) {
            sum += log(up.ratio);
            n++;
        }
    }
    return n ? exp(sum / n) : NAN;
}

static const char *worst_output(const hm_journal_session *s, int arm)
{
    static const char *const names[] = {"-", "reference", "equal", "codes equal", "codes differ", "UNSTABLE"};
    hm_journal_output worst = HM_OUTPUT_UNKNOWN;
    for (int c = 0; c < s->case_count; c++) {
        hm_journal_output o = hm_journal_at(s, arm, c)->output;
        worst = o > worst ? o : worst;
    }
    return names[worst];
}

static hm_status all_variants(const hm_journal_session *s, FILE *file, hm_error *err)
{
    char titles[MAX_SHOWN_CASES][96], times[96];
    const char *list[MAX_SHOWN_CASES + 6] = {"Variant"};
    int n = 1, shown = s->case_count < MAX_SHOWN_CASES ? s->case_count : MAX_SHOWN_CASES;
    if (s->arm_count < 2)
        return HM_OK;
    for (int c = 0; c < shown; c++) {
        snprintf(titles[c], sizeof titles[c], ">RTF (%.80s)", s->cases[c].label);
        list[n++] = titles[c];
    }
    snprintf(times, sizeof times, ">Speed / %.80s", s->arms[0].name);
    list[n++] = ">Tok/s (mean)";
    list[n++] = ">Mem (MB)";
    list[n++] = times;
    list[n++] = "Output";
    fputs("### All variants\n\n", file);
    hm_sheet *t = hm_sheet_new(list);
    for (int a = 0; a < s->arm_count; a++) {
        double tok = 0, mem = NAN;
        int with = 0;
        hm_sheet_cell(t, "%s", s->arms[a].name);
        for (int c = 0; c < s->case_count; c++) {
            const hm_journal_result *r = hm_journal_at(s, a, c);
            if (c < shown)
                hm_cell_number(t, hm_journal_rtf(r), 4);
            if (!r->n)
                continue;
            tok += hm_journal_tok_s(r);
            with++;
            mem = !(mem >= r->mem_mb) ? r->mem_mb : mem;
        }
        hm_cell_number(t, with ? tok / with : NAN, 1);
        hm_cell_number(t, mem, 0);
        double up = mean_speed_up(s, a);
        if (isfinite(up))
            hm_sheet_cell(t, "%.2fx", up);
        else
            hm_sheet_none(t);
        hm_sheet_cell(t, "%s", worst_output(s, a));
    }
    return end(t, file, err);
}

static void decibels(hm_sheet *t, double db)
{
    if (isinf(db) && db > 0)
        hm_sheet_cell(t, "equal");
    else
        hm_cell_number(t, db, 1);
}

static int arms_by_steps(const hm_journal_session *s, int *order)
{
    int n = 0;
    for (int a = 0; a < s->arm_count; a++) {
        if (s->arms[a].flow_steps <= 0)
            continue;
        int at = n++;
        for (; at > 0 && s->arms[order[at - 1]].flow_steps < s->arms[a].flow_steps; at--)
            order[at] = order[at - 1];
        order[at] = a;
    }
    return n;
}

/* Arms by their number of solver steps, when there is more than one number. */
static hm_status steps(const hm_journal_session *s, FILE *file, hm_error *err)
{
    int order[256], n = s->arm_count <= 256 ? arms_by_steps(s, order) : 0;
    if (n < 2 || s->arms[order[0]].flow_steps == s->arms[order[n - 1]].flow_steps)
        return HM_OK;
    fputs("### Solver steps\n\nSNR: of the audio against that of the first arm, in time and of magnitudes of the spectrum.\n\n", file);
    hm_sheet *t = hm_sheet_new((const char *const[]){">Steps", "Variant", "Label", ">Decode (ms)", ">±stddev", ">RTF", ">SNR (dB)",
                                                     ">Spectral SNR (dB)", "Output", NULL});
    for (int c = 0; c < s->case_count; c++)
        for (int i = 0; i < n; i++) {
            const hm_journal_result *r = hm_journal_at(s, order[i], c);
            hm_sheet_cell(t, "%d", s->cases[c].flow_steps ? s->cases[c].flow_steps : s->arms[order[i]].flow_steps);
            hm_sheet_cell(t, "%s", s->arms[order[i]].name);
            hm_sheet_cell(t, "%s", s->cases[c].label);
            hm_cell_number(t, r->decode_ms.n ? r->decode_ms.mean : NAN, 1);
            hm_cell_number(t, r->decode_ms.n ? r->decode_ms.sd : NAN, 1);
            hm_cell_number(t, hm_journal_rtf(r), 4);
            decibels(t, r->snr_db);
            decibels(t, r->spectral_snr_db);
            hm_cell_output(t, r);
        }
    return end(t, file, err);
}

const hm_journal_span *hm_journal_span_of(const hm_journal_result *r, const char *path)
{
    for (int i = 0; i < r->span_count; i++)
        if (!strcmp(r->spans[i].path, path))
            return &r->spans[i];
    return NULL;
}

const char *hm_journal_part_of_frame(const char *path)
{
    static const char frame[] = "generate/frame/";
    const char *part = path + sizeof frame - 1;
    return !strncmp(path, frame, sizeof frame - 1) && !strchr(part, '/') ? part : NULL;
}

static void span_row(hm_sheet *t, const hm_journal_session *s, const int *arms, int n, int kase, const char *title, const char *path,
                     bool self)
{
    hm_sheet_cell(t, "%s", title);
    for (int i = 0; i < n; i++) {
        const hm_journal_result *r = hm_journal_at(s, arms[i], kase);
        const hm_journal_span *frame = hm_journal_span_of(r, "generate/frame"), *x = hm_journal_span_of(r, path);
        if (!frame || !x || !(frame->count > 0)) {
            hm_sheet_none(t);
            hm_sheet_none(t);
            continue;
        }
        double total_ms = self ? x->self_ms : x->total_ms;
        hm_sheet_cell(t, "%.4f", total_ms / frame->count);
        hm_sheet_cell(t, "%.1f", frame->total_ms > 0 ? 100 * total_ms / frame->total_ms : 0);
    }
}

int hm_journal_longest_case(const hm_journal_session *s)
{
    int kase = 0;
    for (int c = 1; c < s->case_count; c++)
        kase = s->cases[c].frames > s->cases[kase].frames ? c : kase;
    return kase;
}

/* The parts of a frame in the longest case: of all arms when they are few, else of the baseline and the final one. */
static hm_status frames(const hm_journal_session *s, FILE *file, hm_error *err)
{
    int arms[MAX_SPAN_ARMS] = {0, hm_journal_final_arm(s)}, n = s->arm_count < 2 ? 1 : 2, kase = hm_journal_longest_case(s);
    char titles[MAX_SPAN_ARMS][2][96];
    const char *list[2 * MAX_SPAN_ARMS + 2] = {"Span"};
    if (s->arm_count <= MAX_SPAN_ARMS)
        for (n = 0; n < s->arm_count; n++)
            arms[n] = n;
    const hm_journal_result *first = hm_journal_at(s, arms[0], kase);
    if (!hm_journal_span_of(first, "generate/frame"))
        return HM_OK;
    for (int i = 0; i < n; i++) {
        snprintf(titles[i][0], sizeof titles[i][0], ">%.80s (ms)", s->arms[arms[i]].name);
        snprintf(titles[i][1], sizeof titles[i][1], ">%% of frame");
        list[1 + 2 * i] = titles[i][0];
        list[2 + 2 * i] = titles[i][1];
    }
    fprintf(file, "### Frame by frame: %s\n\n", s->cases[kase].label);
    hm_sheet *t = hm_sheet_new(list);
    for (int i = 0; i < first->span_count; i++)
        if (hm_journal_part_of_frame(first->spans[i].path))
            span_row(t, s, arms, n, kase, hm_journal_part_of_frame(first->spans[i].path), first->spans[i].path, false);
    span_row(t, s, arms, n, kase, "in none of them", "generate/frame", true);
    span_row(t, s, arms, n, kase, "**frame**", "generate/frame", false);
    return end(t, file, err);
}

static hm_status memory(const hm_journal_session *s, FILE *file, hm_error *err)
{
    hm_sheet *t = hm_sheet_new(
        (const char *const[]){"Variant", "Label", ">Load (ms)", ">±stddev", ">Other (ms)", ">Mem (MB)", ">Peak RSS (MB)", NULL});
    fputs("### Loading and memory\n\nLoad: opening the model in a fresh process. Other: wall outside of the three phases.\n\n", file);
    for (int c = 0; c < s->case_count; c++)
        for (int a = 0; a < s->arm_count; a++) {
            const hm_journal_result *r = hm_journal_at(s, a, c);
            hm_sheet_cell(t, "%s", s->arms[a].name);
            hm_sheet_cell(t, "%s", s->cases[c].label);
            hm_cell_number(t, r->load_ms.n ? r->load_ms.mean : NAN, 1);
            hm_cell_number(t, r->load_ms.n ? r->load_ms.sd : NAN, 1);
            hm_cell_number(t, r->other_ms.n ? r->other_ms.mean : NAN, 2);
            hm_cell_number(t, r->n ? r->mem_mb : NAN, 0);
            hm_cell_number(t, r->n ? r->peak_rss_mb : NAN, 0);
        }
    return end(t, file, err);
}

static hm_status audio(const hm_journal_session *s, FILE *file, hm_error *err)
{
    hm_sheet *t = hm_sheet_new((const char *const[]){"Label", "Variant", ">Rate (Hz)", ">Channels", ">Bits", ">kbit/s", "Codec",
                                                     ">Duration (s)", ">Peak", ">RMS", ">Silence (%)", "Health", NULL});
    int known = 0;
    for (int c = 0; c < s->case_count; c++)
        for (int a = 0; a < s->arm_count; a++) {
            const hm_journal_result *r = hm_journal_at(s, a, c);
            if (!r->n || r->sample_rate_hz <= 0)
                continue;
            known++;
            hm_sheet_cell(t, "%s", s->cases[c].label);
            hm_sheet_cell(t, "%s", s->arms[a].name);
            hm_sheet_cell(t, "%d", r->sample_rate_hz);
            hm_sheet_cell(t, "%d", r->channels);
            hm_cell_number(t, r->bits > 0 ? r->bits : NAN, 0);
            hm_cell_number(t, r->bit_rate_kbps, 0);
            hm_cell_text(t, r->codec);
            hm_cell_number(t, r->audio_s, 2);
            hm_cell_number(t, r->peak, 4);
            hm_cell_number(t, r->rms, 4);
            hm_cell_number(t, 100 * r->silence_share, 1);
            if (r->health && r->health_reasons && *r->health_reasons)
                hm_sheet_cell(t, "%s: %s", r->health, r->health_reasons);
            else
                hm_cell_text(t, r->health);
        }
    if (!known) {
        hm_sheet_free(t);
        return HM_OK;
    }
    fputs("### Audio\n\n", file);
    return end(t, file, err);
}

static hm_status failures(const hm_journal_session *s, FILE *file, hm_error *err)
{
    if (!s->failure_count)
        return HM_OK;
    fputs("### Runs without a result\n\n", file);
    hm_sheet *t = hm_sheet_new((const char *const[]){"Variant", "Label", ">Round", "Status", "Reason", NULL});
    for (int i = 0; i < s->failure_count; i++) {
        hm_cell_text(t, s->failures[i].arm);
        hm_cell_text(t, s->failures[i].label);
        hm_sheet_cell(t, "%d", s->failures[i].round + 1);
        hm_cell_text(t, s->failures[i].status);
        hm_cell_text(t, s->failures[i].reason);
    }
    return end(t, file, err);
}

static void fact(hm_sheet *t, const char *name, const char *text)
{
    hm_sheet_cell(t, "%s", name);
    hm_cell_text(t, text);
}

static hm_status environment(const hm_journal_session *s, FILE *file, hm_error *err)
{
    hm_sheet *t = hm_sheet_new((const char *const[]){"What", "Value", NULL});
    char text[256];
    fputs("### Environment\n\n", file);
    fact(t, "CPU", s->cpu);
    snprintf(text, sizeof text, "%d", s->cpus);
    fact(t, "CPUs used", text);
    if (s->cores > 0) {
        snprintf(text, sizeof text, "%d%s", s->cores, s->smt == 1 ? ", SMT on" : s->smt == 0 ? ", SMT off" : "");
        fact(t, "cores", text);
    }
    if (isfinite(s->cpu_quota)) {
        snprintf(text, sizeof text, "%.2f CPUs", s->cpu_quota);
        fact(t, "CPU quota", text);
    }
    if (s->arm_count) {
        snprintf(text, sizeof text, "%d", s->arms[0].threads);
        fact(t, "threads", s->arms[0].threads > 0 ? text : NULL);
        fact(t, "instruction set", s->arms[0].isa);
    }
    snprintf(text, sizeof text, "%.1f GB", s->memory_gb);
    fact(t, "memory", isfinite(s->memory_gb) ? text : NULL);
    fact(t, "frequency governor", s->governor);
    fact(t, "system", s->os);
    fact(t, "kernel", s->kernel);
    fact(t, "container", s->container);
    snprintf(text, sizeof text, "%s%s", s->model, s->synthetic ? " (synthetic weights)" : "");
    fact(t, "model", text);
    fact(t, "weights", s->model_ids);
    snprintf(text, sizeof text, "%s%s%s%s", s->version, s->commit ? ", commit " : "", s->commit ? s->commit : "",
             s->dirty ? " with changes" : "");
    fact(t, "hmbench", text);
    snprintf(text, sizeof text, "%s, %s%s%s", s->compiler, s->build_type, s->sanitizer ? ", sanitizer " : "",
             s->sanitizer ? s->sanitizer : "");
    fact(t, "compiler", text);
    fact(t, "flags", s->flags);
    fact(t, "session", s->id);
    fact(t, "started", s->created_utc);
    return end(t, file, err);
}

/* The suite's name of a label "suite/case". */
static size_t suite_length(const char *label)
{
    return strcspn(label, "/");
}

/* Mean RTF and tok/s of the arm over the cases of a suite (NULL: all); NaN when it has none. */
static void mean_over_suite(const hm_journal_session *s, int arm, const char *suite, size_t length, double *rtf, double *tok_s)
{
    int n = 0;
    *rtf = *tok_s = 0;
    for (int c = 0; c < s->case_count; c++) {
        const hm_journal_result *r = hm_journal_at(s, arm, c);
        if (!r->n || (suite && (suite_length(s->cases[c].label) != length || strncmp(s->cases[c].label, suite, length))))
            continue;
        *rtf += hm_journal_rtf(r);
        *tok_s += hm_journal_tok_s(r);
        n++;
    }
    *rtf = n ? *rtf / n : NAN;
    *tok_s = n ? *tok_s / n : NAN;
}

hm_status hm_journal_models(const hm_journal_session *sessions, int count, FILE *file, hm_error *err)
{
    enum { MAX_SUITES = 12 };
    const char *suites[MAX_SUITES], *list[MAX_SUITES + 6] = {"Model", "Variant"};
    char titles[MAX_SUITES][96];
    int suite_count = 0, columns = 2;
    for (int i = 0; i < count; i++)
        for (int c = 0; c < sessions[i].case_count; c++) {
            const char *label = sessions[i].cases[c].label;
            bool known = false;
            for (int k = 0; k < suite_count && !known; k++)
                known = suite_length(label) == suite_length(suites[k]) && !strncmp(label, suites[k], suite_length(label));
            if (!known && suite_count < MAX_SUITES)
                suites[suite_count++] = label;
        }
    for (int k = 0; k < suite_count; k++) {
        snprintf(titles[k], sizeof titles[k], ">RTF (%.*s)", (int)suite_length(suites[k]), suites[k]);
        list[columns++] = titles[k];
    }
    list[columns++] = ">Tok/s (mean)";
    list[columns++] = ">Memory (MB)";
    fputs("### All models\n\nThe final variant of each; means over the cases of a suite.\n\n", file);
    hm_sheet *t = hm_sheet_new(list);
    for (int i = 0; i < count; i++) {
        const hm_journal_session *s = &sessions[i];
        double rtf, tok_s, mem = NAN;
        int arm = hm_journal_final_arm(s);
        if (!s->arm_count)
            continue;
        hm_sheet_cell(t, "%s", s->model);
        hm_sheet_cell(t, "%s", s->arms[arm].name);
        for (int k = 0; k < suite_count; k++) {
            mean_over_suite(s, arm, suites[k], suite_length(suites[k]), &rtf, &tok_s);
            hm_cell_number(t, rtf, 4);
        }
        mean_over_suite(s, arm, NULL, 0, &rtf, &tok_s);
        for (int c = 0; c < s->case_count; c++) {
            double mb = hm_journal_at(s, arm, c)->mem_mb;
            mem = !(mem >= mb) ? mb : mem;
        }
        hm_cell_number(t, tok_s, 1);
        hm_cell_number(t, mem, 0);
    }
    return end(t, file, err);
}

hm_status hm_journal_write_parts(const hm_journal_session *s, FILE *file, hm_error *err)
{
    hm_status (*const parts[])(const hm_journal_session *, FILE *, hm_error *) = {all_variants, steps, frames,   hm_journal_ceiling,
                                                                                  memory,       audio, failures, environment};
    hm_status st = HM_OK;
    for (size_t i = 0; i < sizeof parts / sizeof *parts && !st && s->arm_count; i++)
        st = parts[i](s, file, err);
    return st;
}
