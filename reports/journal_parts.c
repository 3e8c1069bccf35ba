#include "reports/journal_parts.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define MAX_SHOWN_CASES 24 /* columns of the table of all variants */
#define MAX_SPAN_ARMS 4

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

/* NULL: nothing was judged. */
static const char *worst_health(const hm_journal_session *s, int arm)
{
    static const char *const order[] = {"ok", "suspect", "bad"};
    int worst = -1;
    for (int c = 0; c < s->case_count; c++)
        for (int i = 0; i < 3; i++) {
            const char *health = hm_journal_at(s, arm, c)->health;
            worst = health && !strcmp(health, order[i]) && i > worst ? i : worst;
        }
    return worst < 0 ? NULL : order[worst];
}

void hm_journal_say_bad(const hm_journal_session *s, hm_document *d)
{
    bool bad = false;
    for (int i = 0; i < s->arm_count * s->case_count; i++)
        bad = bad || hm_journal_bad(&s->results[i]);
    if (bad)
        hm_document_text(d, "An arm whose audio was judged bad does not rank: its time is that of something else.");
}

void hm_journal_all_variants(const hm_journal_session *s, hm_document *d)
{
    char titles[MAX_SHOWN_CASES][192], times[128];
    const char *list[MAX_SHOWN_CASES + 8] = {"model|", "variant|Variant"};
    int n = 2, shown = s->case_count < MAX_SHOWN_CASES ? s->case_count : MAX_SHOWN_CASES;
    if (s->arm_count < 2)
        return;
    for (int c = 0; c < shown; c++) {
        snprintf(titles[c], sizeof titles[c], ">rtf_%d|RTF (%.80s)", c, s->cases[c].label);
        list[n++] = titles[c];
    }
    snprintf(times, sizeof times, ">speed_up|Speed / %.80s", s->arms[0].name);
    list[n++] = ">tok_s|Tok/s (mean)";
    list[n++] = ">mem_mb|Mem (MB)";
    list[n++] = times;
    list[n++] = "output|Output";
    hm_document_heading(d, 3, "All variants");
    hm_sheet *t = hm_sheet_new(list);
    for (int a = 0; a < s->arm_count; a++) {
        double tok = 0, mem = NAN, up = mean_speed_up(s, a);
        int with = 0;
        hm_sheet_string(t, s->model);
        hm_sheet_string(t, s->arms[a].name);
        for (int c = 0; c < s->case_count; c++) {
            const hm_journal_result *r = hm_journal_at(s, a, c);
            if (c < shown)
                hm_cell_rtf(t, r);
            if (!r->n)
                continue;
            tok += hm_journal_tok_s(r);
            with++;
            mem = !(mem >= r->mem_mb) ? r->mem_mb : mem;
        }
        hm_sheet_number(t, with ? tok / with : NAN, 1);
        hm_sheet_number(t, mem, 0);
        hm_sheet_value(t, up, "%.2fx", up);
        hm_sheet_cell(t, "%s", worst_output(s, a));
    }
    char name[160];
    snprintf(name, sizeof name, "variants_%s", s->model); /* its columns are this model's cases */
    hm_document_sheet(d, name, t);
    hm_journal_say_bad(s, d);
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
void hm_journal_steps(const hm_journal_session *s, hm_document *d)
{
    int order[256], n = s->arm_count <= 256 ? arms_by_steps(s, order) : 0;
    if (n < 2 || s->arms[order[0]].flow_steps == s->arms[order[n - 1]].flow_steps)
        return;
    hm_document_heading(d, 3, "Solver steps");
    hm_sheet *t = hm_sheet_new((const char *const[]){"model|", ">steps|Steps", "variant|Variant", "case|Label", ">decode_ms|Decode (ms)",
                                                     ">decode_sd_ms|±stddev", ">rtf|RTF", ">snr_db|SNR (dB)",
                                                     ">spectral_snr_db|Spectral SNR (dB)", "output|Output", NULL});
    for (int c = 0; c < s->case_count; c++)
        for (int i = 0; i < n; i++) {
            const hm_journal_result *r = hm_journal_at(s, order[i], c);
            hm_sheet_string(t, s->model);
            hm_sheet_cell(t, "%d", s->cases[c].flow_steps ? s->cases[c].flow_steps : s->arms[order[i]].flow_steps);
            hm_sheet_string(t, s->arms[order[i]].name);
            hm_sheet_string(t, s->cases[c].label);
            hm_cell_mean(t, &r->decode_ms, 1);
            hm_cell_sd(t, &r->decode_ms, 1);
            hm_cell_rtf(t, r);
            hm_cell_decibels(t, r->snr_db);
            hm_cell_decibels(t, r->spectral_snr_db);
            hm_cell_output(t, r);
        }
    hm_document_sheet(d, "steps", t);
    hm_document_text(d, "Means over rounds, ± their standard deviation. SNR: of the audio against that of the first arm, in time and of "
                        "magnitudes of the spectrum.");
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
        hm_sheet_number(t, total_ms / frame->count, 4);
        hm_sheet_number(t, frame->total_ms > 0 ? 100 * total_ms / frame->total_ms : 0, 1);
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
void hm_journal_frames(const hm_journal_session *s, hm_document *d)
{
    int arms[MAX_SPAN_ARMS] = {0, hm_journal_final_arm(s)}, n = s->arm_count < 2 ? 1 : 2, kase = hm_journal_longest_case(s);
    char titles[MAX_SPAN_ARMS][2][200], name[160];
    const char *list[2 * MAX_SPAN_ARMS + 2] = {"span|Span"};
    if (s->arm_count <= MAX_SPAN_ARMS)
        for (n = 0; n < s->arm_count; n++)
            arms[n] = n;
    const hm_journal_result *first = hm_journal_at(s, arms[0], kase);
    if (!hm_journal_span_of(first, "generate/frame"))
        return;
    for (int i = 0; i < n; i++) {
        snprintf(titles[i][0], sizeof titles[i][0], ">frame_ms_%d|%.80s (ms)", i, s->arms[arms[i]].name);
        snprintf(titles[i][1], sizeof titles[i][1], ">frame_percent_%d|%% of frame", i);
        list[1 + 2 * i] = titles[i][0];
        list[2 + 2 * i] = titles[i][1];
    }
    hm_document_heading(d, 3, "Frame by frame: %s", s->cases[kase].label);
    hm_sheet *t = hm_sheet_new(list);
    for (int i = 0; i < first->span_count; i++)
        if (hm_journal_part_of_frame(first->spans[i].path))
            span_row(t, s, arms, n, kase, hm_journal_part_of_frame(first->spans[i].path), first->spans[i].path, false);
    span_row(t, s, arms, n, kase, "in none of them", "generate/frame", true);
    span_row(t, s, arms, n, kase, "**frame**", "generate/frame", false);
    snprintf(name, sizeof name, "frame_%s", s->model); /* its columns are this model's arms */
    hm_document_sheet(d, name, t);
    if (isfinite(first->windows))
        hm_document_text(d, "Of a transcript a frame is a step of the decoder, for all windows side by side.");
}

void hm_journal_loading(const hm_journal_session *s, hm_document *d)
{
    hm_sheet *t = hm_sheet_new((const char *const[]){HM_CELL_WHO, ">load_ms|Load (ms)", ">load_sd_ms|±stddev", ">other_ms|Other (ms)",
                                                     ">mem_mb|Mem (MB)", ">peak_rss_mb|Peak RSS (MB)", NULL});
    hm_document_heading(d, 3, "Loading and memory");
    for (int c = 0; c < s->case_count; c++)
        for (int a = 0; a < s->arm_count; a++) {
            const hm_journal_result *r = hm_journal_at(s, a, c);
            hm_cell_who(t, s, a, c);
            hm_cell_mean(t, &r->load_ms, 1);
            hm_cell_sd(t, &r->load_ms, 1);
            hm_cell_mean(t, &r->other_ms, 2);
            hm_sheet_number(t, r->n ? r->mem_mb : NAN, 0);
            hm_sheet_number(t, r->n ? r->peak_rss_mb : NAN, 0);
        }
    hm_document_sheet(d, "loading", t);
    hm_document_text(
        d, "Load: opening the model in a fresh process, mean over rounds, ± its standard deviation. Other: wall outside of the three "
           "phases. Memory: the largest of the rounds.");
}

void hm_journal_audio(const hm_journal_session *s, hm_document *d)
{
    hm_sheet *t = hm_sheet_new((const char *const[]){
        "model|", "case|Label", "variant|Variant", ">rate_hz|Rate (Hz)", ">channels|Channels", ">bits|Bits", ">kbit_s|kbit/s",
        "codec|Codec", ">duration_s|Duration (s)", ">peak|Peak", ">rms|RMS", ">silence_percent|Silence (%)", ">clipped_percent|Clipped (%)",
        ">zero_crossings|Zero crossings", ">flatness|Flatness", ">level_drift_db|Drift (dB)", "health|Health", NULL});
    int known = 0;
    for (int c = 0; c < s->case_count; c++)
        for (int a = 0; a < s->arm_count; a++) {
            const hm_journal_result *r = hm_journal_at(s, a, c);
            if (!r->n || r->sample_rate_hz <= 0)
                continue;
            known++;
            hm_sheet_string(t, s->model);
            hm_sheet_string(t, s->cases[c].label);
            hm_sheet_string(t, s->arms[a].name);
            hm_sheet_cell(t, "%d", r->sample_rate_hz);
            hm_sheet_cell(t, "%d", r->channels);
            hm_sheet_number(t, r->bits > 0 ? r->bits : NAN, 0);
            hm_sheet_number(t, r->bit_rate_kbps, 0);
            hm_sheet_string(t, r->codec);
            hm_sheet_number(t, r->audio_s, 2);
            hm_sheet_number(t, r->peak, 4);
            hm_sheet_number(t, r->rms, 4);
            hm_sheet_number(t, 100 * r->silence_share, 1);
            hm_sheet_number(t, 100 * r->clipped_share, 2);
            hm_sheet_number(t, r->zero_crossings, 3);
            hm_sheet_number(t, r->flatness, 3);
            hm_sheet_number(t, r->level_drift_db, 1);
            if (r->health && r->health_reasons && *r->health_reasons)
                hm_sheet_cell(t, "%s: %s", r->health, r->health_reasons);
            else
                hm_sheet_string(t, r->health);
        }
    if (!known) {
        hm_sheet_free(t);
        return;
    }
    hm_document_heading(d, 3, "Audio");
    hm_document_sheet(d, "audio", t);
    hm_document_text(
        d, "Zero crossings: share of samples. Flatness: of the spectrum, 0 a tone to 1 noise. Both medians of windows. Drift: level of "
           "the last third against the first.");
}

void hm_journal_failures(const hm_journal_session *s, hm_document *d)
{
    if (!s->failure_count)
        return;
    hm_document_heading(d, 3, "Runs without a result");
    hm_sheet *t = hm_sheet_new((const char *const[]){HM_CELL_WHO, ">round|Round", "status|Status", "reason|Reason", NULL});
    for (int i = 0; i < s->failure_count; i++) {
        hm_sheet_string(t, s->model);
        hm_sheet_string(t, s->failures[i].arm);
        hm_sheet_string(t, s->failures[i].label);
        hm_sheet_cell(t, "%d", s->failures[i].round + 1);
        hm_sheet_string(t, s->failures[i].status);
        hm_sheet_string(t, s->failures[i].reason);
    }
    hm_document_sheet(d, "failures", t);
}

static void fact(hm_sheet *t, const char *name, const char *text)
{
    hm_sheet_string(t, name);
    hm_sheet_string(t, text);
}

void hm_journal_environment(const hm_journal_session *s, hm_document *d)
{
    hm_sheet *t = hm_sheet_new((const char *const[]){"what|What", "value|Value", NULL});
    char text[256];
    hm_document_heading(d, 3, "Environment");
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
    for (int a = 0; a < s->arm_count; a++) {
        char name[200];
        snprintf(name, sizeof name, "device of %.160s", s->arms[a].name);
        if (s->arms[a].device)
            fact(t, name, s->arms[a].device);
        snprintf(name, sizeof name, "environment of %.160s", s->arms[a].name);
        if (s->arms[a].environment)
            fact(t, name, s->arms[a].environment);
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
    snprintf(text, sizeof text, "%" PRIu64, s->order_seed);
    fact(t, "seed of the order of arms", text);
    hm_document_sheet(d, "environment", t);
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

void hm_journal_models(const hm_journal_session *sessions, int count, hm_document *d)
{
    enum {
        MAX_SUITES = 12
    };
    const char *suites[MAX_SUITES], *list[MAX_SUITES + 6] = {"model|Model", "variant|Variant"};
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
        snprintf(titles[k], sizeof titles[k], ">rtf_%d|RTF (%.*s)", k, (int)suite_length(suites[k]), suites[k]);
        list[columns++] = titles[k];
    }
    list[columns++] = ">tok_s|Tok/s (mean)";
    list[columns++] = ">mem_mb|Memory (MB)";
    list[columns++] = "health|Health";
    hm_document_heading(d, 3, "All models");
    hm_document_text(d, "The final variant of each; means over the cases of a suite. Health: the worst of them.");
    hm_sheet *t = hm_sheet_new(list);
    for (int i = 0; i < count; i++) {
        const hm_journal_session *s = &sessions[i];
        double rtf, tok_s, mem = NAN;
        int arm = hm_journal_final_arm(s);
        if (!s->arm_count)
            continue;
        hm_sheet_string(t, s->model);
        hm_sheet_string(t, s->arms[arm].name);
        for (int k = 0; k < suite_count; k++) {
            mean_over_suite(s, arm, suites[k], suite_length(suites[k]), &rtf, &tok_s);
            hm_sheet_number(t, rtf, 4);
        }
        mean_over_suite(s, arm, NULL, 0, &rtf, &tok_s);
        for (int c = 0; c < s->case_count; c++)
            mem = fmax(mem, hm_journal_at(s, arm, c)->mem_mb); /* NaN: not measured, and left out */
        hm_sheet_number(t, tok_s, 1);
        hm_sheet_number(t, mem, 0);
        hm_sheet_string(t, worst_health(s, arm));
    }
    hm_document_sheet(d, "models", t);
}

void hm_journal_parts(const hm_journal_session *s, hm_document *d)
{
    void (*const parts[])(const hm_journal_session *, hm_document *) = {
        hm_journal_all_variants, hm_journal_others,      hm_journal_verdicts,     hm_journal_steps,     hm_journal_precision,
        hm_journal_fidelity,     hm_journal_transcripts, hm_journal_frames,       hm_journal_positions, hm_journal_ceiling,
        hm_journal_residency,    hm_journal_cold,        hm_journal_before_after, hm_journal_calls,     hm_journal_loading,
        hm_journal_ledger,       hm_journal_energy,      hm_journal_audio,        hm_journal_failures,  hm_journal_environment};
    for (size_t i = 0; i < sizeof parts / sizeof *parts && s->arm_count; i++)
        parts[i](s, d);
}
