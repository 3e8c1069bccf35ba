#include "reports/journal.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "reports/journal_parts.h"
#include "reports/stats.h"

/* ---- cells ---- */

void hm_cell_who(hm_sheet *t, const hm_journal_session *s, int arm, int kase)
{
    hm_sheet_string(t, s->model);
    hm_sheet_string(t, s->arms[arm].name);
    hm_sheet_string(t, s->cases[kase].label);
}

void hm_cell_mean(hm_sheet *t, const hm_journal_stat *stat, int decimals)
{
    hm_sheet_number(t, stat->n ? stat->mean : NAN, decimals);
}

void hm_cell_sd(hm_sheet *t, const hm_journal_stat *stat, int decimals)
{
    hm_sheet_number(t, stat->n > 1 ? stat->sd : NAN, decimals);
}

void hm_cell_percent(hm_sheet *t, double share)
{
    hm_sheet_value(t, 100 * share, "%.0f%%", 100 * share);
}

void hm_cell_decibels(hm_sheet *t, double db)
{
    if (isinf(db) && db > 0)
        hm_sheet_cell(t, "equal");
    else
        hm_sheet_number(t, db, 1);
}

bool hm_journal_bad(const hm_journal_result *r)
{
    return r->health && !strcmp(r->health, "bad");
}

bool hm_journal_ranks(const hm_journal_result *r)
{
    return !r->software && !hm_journal_bad(r);
}

bool hm_journal_arm_is(const hm_journal_arm *arm, const char *name)
{
    size_t n = strlen(name);
    return !strncmp(arm->name, name, n) && (!arm->name[n] || !strcmp(arm->name + n, HM_SOFTWARE_MARK));
}

void hm_cell_rtf(hm_sheet *t, const hm_journal_result *r)
{
    double rtf = hm_journal_rtf(r);
    hm_sheet_value(t, rtf, "%.4f %s", rtf, r->health && *r->health ? r->health : "?");
}

/* "3 of 12064 codes differ, from frame 331 on, logits within 1e-05": what is known of it. */
static void codes_differ(hm_sheet *t, const hm_journal_result *r)
{
    char count[64] = "", where[64] = "", logits[64] = "";
    if (r->differing_codes > 0 && r->frames > 0 && r->codebooks > 0)
        snprintf(count, sizeof count, "%" PRId64 " of %.0f ", r->differing_codes, r->frames * r->codebooks);
    if (r->first_frame >= 0)
        snprintf(where, sizeof where, " from frame %" PRId64, r->first_frame);
    if (isfinite(r->max_logit_difference))
        snprintf(logits, sizeof logits, ", logits within %.0e", r->max_logit_difference);
    hm_sheet_cell(t, "%scodes differ%s%s", count, where, logits);
}

void hm_cell_output(hm_sheet *t, const hm_journal_result *r)
{
    switch (r->output) {
    case HM_OUTPUT_REFERENCE:
        hm_sheet_cell(t, "reference");
        break;
    case HM_OUTPUT_EQUAL:
        hm_sheet_cell(t, "equal");
        break;
    case HM_OUTPUT_CODES:
        hm_sheet_cell(t, "codes equal, audio differs");
        break;
    case HM_OUTPUT_DIFFERENT:
        codes_differ(t, r);
        break;
    case HM_OUTPUT_UNSTABLE:
        hm_sheet_cell(t, "UNSTABLE: rounds disagree");
        break;
    default:
        hm_sheet_none(t);
    }
}

/* "2274.1 ±12.0 ms (94%)" */
static void phase_cell(hm_sheet *t, const hm_journal_result *r, const hm_journal_stat *phase)
{
    double sum = r->prefill_ms.mean + r->generate_ms.mean + r->decode_ms.mean;
    if (!phase->n)
        hm_sheet_none(t);
    else if (phase->n < 2)
        hm_sheet_value(t, phase->mean, "%.1f ms (%.0f%%)", phase->mean, sum > 0 ? 100 * phase->mean / sum : 0);
    else
        hm_sheet_value(t, phase->mean, "%.1f ±%.1f ms (%.0f%%)", phase->mean, phase->sd, sum > 0 ? 100 * phase->mean / sum : 0);
}

double hm_journal_rtf(const hm_journal_result *r)
{
    return r->n && r->audio_s > 0 ? r->wall_ms.mean / 1e3 / r->audio_s : NAN;
}

double hm_journal_tok_s(const hm_journal_result *r)
{
    return r->n && r->wall_ms.mean > 0 ? r->frames * 1e3 / r->wall_ms.mean : NAN;
}

/* ---- the journal table of one arm ---- */

/* "cpu" where every part ran in one place, else each part with its place. */
static void place_cell(hm_sheet *t, const char *places)
{
    const char *first = places ? strchr(places, '=') : NULL;
    size_t n = first ? strcspn(first + 1, ", ") : 0;
    bool one = n > 0;
    for (const char *p = first; one && p; p = strchr(p + 1, '='))
        one = strcspn(p + 1, ", ") == n && !strncmp(p + 1, first + 1, n);
    char device[128];
    snprintf(device, sizeof device, "%.*s", one ? (int)n : 0, one ? first + 1 : "");
    hm_sheet_string(t, one ? device : places);
}

static void arm_sheet(const hm_journal_session *s, int arm, hm_document *d)
{
    hm_sheet *t = hm_sheet_new((const char *const[]){"session|",
                                                     "model|",
                                                     "variant|",
                                                     "case|Label",
                                                     ">words|Words",
                                                     ">n",
                                                     ">wall_ms|Wall (ms)",
                                                     ">wall_sd_ms|±stddev",
                                                     ">audio_s|Audio (s)",
                                                     ">rtf|RTF",
                                                     "health|Health",
                                                     ">tok_s|Tok/s",
                                                     ">mem_mb|Mem (MB)",
                                                     ">prefill_ms|Prefill",
                                                     ">prefill_sd_ms|",
                                                     ">generate_ms|Generate",
                                                     ">generate_sd_ms|",
                                                     ">decode_ms|Decode",
                                                     ">decode_sd_ms|",
                                                     ">other_ms|",
                                                     ">load_ms|",
                                                     ">peak_rss_mb|",
                                                     "output|Output",
                                                     "places|Place",
                                                     NULL});
    for (int c = 0; c < s->case_count; c++) {
        const hm_journal_result *r = hm_journal_at(s, arm, c);
        hm_sheet_string(t, s->id);
        hm_cell_who(t, s, arm, c);
        hm_sheet_number(t, s->cases[c].words > 0 ? s->cases[c].words : NAN, 0); /* a recording has none */
        hm_sheet_cell(t, "%d", r->n);
        hm_cell_mean(t, &r->wall_ms, 1);
        hm_cell_sd(t, &r->wall_ms, 1);
        hm_sheet_number(t, r->n ? r->audio_s : NAN, 2);
        hm_sheet_number(t, hm_journal_rtf(r), 4);
        hm_sheet_string(t, r->health);
        hm_sheet_number(t, hm_journal_tok_s(r), 1);
        hm_sheet_number(t, r->n ? r->mem_mb : NAN, 0);
        phase_cell(t, r, &r->prefill_ms);
        hm_cell_sd(t, &r->prefill_ms, 1);
        phase_cell(t, r, &r->generate_ms);
        hm_cell_sd(t, &r->generate_ms, 1);
        phase_cell(t, r, &r->decode_ms);
        hm_cell_sd(t, &r->decode_ms, 1);
        hm_cell_mean(t, &r->other_ms, 2);
        hm_cell_mean(t, &r->load_ms, 1);
        hm_sheet_number(t, r->n ? r->peak_rss_mb : NAN, 0);
        hm_cell_output(t, r);
        place_cell(t, r->places);
    }
    hm_document_sheet(d, "arms", t);
}

/* 95 % interval of the ratio of all cases together, round by round; false: fewer than six rounds have them all. */
static bool step_interval(const hm_journal_session *s, int base, int arm, double *low, double *high)
{
    enum {
        MOST = 1000,
        LEAST = 6
    };
    double sums[MOST] = {0}; /* not finite: a case has no pair in this round */
    int n = 0, cases = 0, rounds = s->rounds < MOST ? s->rounds : MOST;
    for (int c = 0; c < s->case_count; c++) {
        if (!hm_journal_speed_up(s, base, arm, c).n)
            continue;
        for (int r = 0; r < rounds; r++)
            sums[r] += log(hm_journal_at(s, base, c)->wall_by_round_ms[r] / hm_journal_at(s, arm, c)->wall_by_round_ms[r]);
        cases++;
    }
    for (int r = 0; r < rounds && cases; r++)
        if (isfinite(sums[r]))
            sums[n++] = sums[r] / cases;
    if (n < LEAST)
        return false;
    hm_interval h = hm_hodges_lehmann(sums, n, 0.025);
    *low = exp(h.low);
    *high = exp(h.high);
    return true;
}

/* An arm against the one it differs least from: ratio of walls with its interval, below six rounds its range, over all cases both have. */
static void say_step(const hm_journal_session *s, int arm, hm_document *d)
{
    double sum = 0, low = INFINITY, high = 0;
    int cases = 0, base = s->arms[arm].base;
    for (int c = 0; c < s->case_count; c++) {
        const hm_journal_result *a = hm_journal_at(s, base, c), *b = hm_journal_at(s, arm, c);
        hm_speed_up up = hm_journal_speed_up(s, base, arm, c);
        if (!up.n)
            continue;
        sum += log(up.ratio);
        cases++;
        for (int r = 0; r < s->rounds; r++) {
            double x = a->wall_by_round_ms[r] / b->wall_by_round_ms[r];
            low = x < low ? x : low;
            high = x > high ? x : high;
        }
    }
    if (!cases)
        return;
    double ratio = exp(sum / cases);
    bool sure = step_interval(s, base, arm, &low, &high);
    hm_document_text(d, "%.2fx the speed of %s (%s %.2f to %.2f)%s.", ratio, s->arms[base].name, sure ? "95 % interval" : "single rounds",
                     low, high, low > 1 || high < 1 ? "" : ": within the noise, this step does nothing here that shows");
}

/* What the arm is, in one paragraph. */
static void say_arm(const hm_journal_session *s, int arm, hm_document *d)
{
    const hm_journal_arm *a = &s->arms[arm];
    char same[300] = "", changes[1200] = "";
    if (a->base >= 0 && a->changes && *a->changes)
        snprintf(changes, sizeof changes, "Against %s: `%s`.", s->arms[a->base].name, a->changes);
    if (a->coincides)
        snprintf(same, sizeof same, "The same program as %s.", a->coincides);
    if (a->text)
        hm_document_text(d, "%c%s.%s%s%s%s", *a->text >= 'a' && *a->text <= 'z' ? *a->text - 32 : *a->text, a->text + 1,
                         *changes ? " " : "", changes, *same ? " " : "", same);
    else if (*changes || *same)
        hm_document_text(d, "%s%s%s", changes, *changes && *same ? " " : "", same);
}

void hm_journal_arm_section(const hm_journal_session *s, int arm, const hm_notes *notes, hm_document *d)
{
    const hm_journal_arm *a = &s->arms[arm];
    const char *note = hm_notes_find(notes, a->name);
    hm_document_heading(d, 3, "%s%s", a->name, arm == 0 && s->arm_count > 1 ? " (baseline)" : "");
    say_arm(s, arm, d);
    arm_sheet(s, arm, d);
    if (a->base >= 0)
        say_step(s, arm, d);
    if (note)
        hm_document_text(d, "%s", note);
}

/* ---- baseline -> final ---- */

int hm_journal_final_arm(const hm_journal_session *s)
{
    for (int i = s->arm_count - 1; i > 0; i--)
        if (hm_journal_arm_is(&s->arms[i], "best"))
            return i;
    for (int i = s->arm_count - 1; i >= 0; i--) /* of ours, where there is one */
        if (!s->arms[i].other)
            return i;
    return s->arm_count - 1;
}

/* Rounds that the figures rest on, in words. */
static void say_rounds(const hm_journal_session *s, hm_document *d)
{
    if (s->rounds < 6)
        hm_document_text(d, "n = %d rounds: no interval (from 6 rounds on). Speed-up: ratio of mean walls.", s->rounds);
    else
        hm_document_text(d, "n = %d rounds; speed-up: Hodges-Lehmann estimate over paired rounds with its 95 %% interval.", s->rounds);
}

void hm_journal_summary(const hm_journal_session *s, hm_document *d)
{
    int final = hm_journal_final_arm(s);
    bool bad = false;
    if (s->arm_count < 2 || !final)
        return;
    hm_document_heading(d, 3, "Summary: %s → %s", s->arms[0].name, s->arms[final].name);
    say_rounds(s, d);
    hm_sheet *t = hm_sheet_new((const char *const[]){"model|", "base|", "variant|", "case|Label", ">base_rtf|Baseline RTF",
                                                     ">rtf|Final RTF", ">speed_up|Speed-up", ">95 % interval", ">low|", ">high|",
                                                     ">base_tok_s|Baseline tok/s", ">tok_s|Final tok/s", ">n", "output|Output", NULL});
    for (int c = 0; c < s->case_count; c++) {
        const hm_journal_result *a = hm_journal_at(s, 0, c), *b = hm_journal_at(s, final, c);
        hm_speed_up up = hm_journal_speed_up(s, 0, final, c);
        bad = bad || hm_journal_bad(a) || hm_journal_bad(b);
        hm_sheet_string(t, s->model);
        hm_sheet_string(t, s->arms[0].name);
        hm_sheet_string(t, s->arms[final].name);
        hm_sheet_string(t, s->cases[c].label);
        hm_cell_rtf(t, a);
        hm_cell_rtf(t, b);
        hm_sheet_value(t, up.n ? up.ratio : NAN, "**%.2fx**", up.ratio);
        if (isfinite(up.low))
            hm_sheet_cell(t, "%.2f to %.2f", up.low, up.high);
        else
            hm_sheet_none(t);
        hm_sheet_number(t, up.low, 4);
        hm_sheet_number(t, up.high, 4);
        hm_sheet_number(t, hm_journal_tok_s(a), 1);
        hm_sheet_number(t, hm_journal_tok_s(b), 1);
        hm_sheet_cell(t, "%d", up.n);
        hm_cell_output(t, b);
    }
    hm_document_sheet(d, "summary", t);
    if (bad)
        hm_journal_say_bad(s, d);
}

/* ---- the whole ---- */

void hm_journal_say_synthetic(const hm_journal_session *s, hm_document *d)
{
    if (s->synthetic)
        hm_document_text(d, "**Synthetic weights**: speed, memory and exactness are real, how it sounds is not.");
}

void hm_journal_say_software(const hm_journal_session *s, hm_document *d)
{
    const char *device = NULL;
    for (int a = 0; a < s->arm_count && !device; a++)
        if (s->arms[a].software)
            device = s->arms[a].device ? s->arms[a].device : "a GPU that is a program";
    if (device)
        hm_document_text(
            d,
            "**Software device** (%s): what it takes says nothing about hardware and does not rank; counts, codes and fidelity are sound.",
            device);
}

/* What a user gave, to stand in a span of code: there only a backtick means anything. malloc'ed. */
static char *as_code(const char *text)
{
    char *code = text && *text ? strdup(text) : NULL;
    for (char *p = code; p && *p; p++)
        if ((unsigned char)*p < ' ')
            *p = ' ';
        else if (*p == '`')
            *p = '\'';
    return code;
}

/* Models [0, count) of one session. */
static void session_section(const hm_journal_session *parts, int count, const hm_notes *notes, hm_document *d)
{
    const hm_journal_session *s = parts;
    char short_id[9], models[512] = "", extra[400] = "";
    snprintf(short_id, sizeof short_id, "%s", s->id);
    const char *note = hm_notes_find(notes, s->id);
    note = note ? note : hm_notes_find(notes, short_id);
    for (int i = 0; i < count; i++)
        snprintf(models + strlen(models), sizeof models - strlen(models), "%s, ", parts[i].model);
    char *command = as_code(s->command_line), *tags = as_code(s->tags);
    if (s->dropped)
        snprintf(extra, sizeof extra, " %d runs belong to rounds that were set aside.", s->dropped);
    hm_document_heading(d, 2, "Session %s (%.10s)", short_id, s->created_utc);
    hm_document_text(d, "`%s`: %d round%s, %s; %s%s, %d CPUs.%s%s%s%s", command ? command : "?", s->rounds, s->rounds == 1 ? "" : "s",
                     s->state, models, s->cpu, s->cpus, tags ? " Tags: `" : "", tags ? tags : "", tags ? "`." : "", extra);
    free(command);
    free(tags);
    if (note)
        hm_document_text(d, "%s", note);
    if (count > 1)
        hm_journal_models(parts, count, d);
    for (int i = 0; i < count; i++) {
        s = &parts[i];
        if (count > 1)
            hm_document_heading(d, 2, "%s (session %s)", s->model, short_id);
        hm_journal_say_synthetic(s, d);
        hm_journal_say_software(s, d);
        for (int a = 0; a < s->arm_count; a++)
            hm_journal_arm_section(s, a, notes, d);
        hm_journal_summary(s, d);
        hm_journal_parts(s, d);
    }
}

hm_document *hm_journal_document(const hm_journal *journal, const hm_notes *notes)
{
    const char *note = hm_notes_find(notes, "journal");
    hm_document *d = hm_document_new("journal");
    hm_document_heading(d, 1, "Performance journal");
    if (note)
        hm_document_text(d, "%s", note);
    hm_document_text(
        d,
        "Wall: from the request to the last sample of audio, load excluded. RTF: wall / audio duration (lower is better). Tok/s: frames "
        "per\n"
        "second of wall. Mem: peak resident set without mapped model pages. Percentages: of prefill + generate + decode. Times are means,\n"
        "± their standard deviation, over n rounds; every round runs each arm in a fresh process, in changing order. Every arm computes "
        "the\n"
        "same frames. Output: codes and audio against the baseline's. Beside an RTF stands the verdict on its audio: ok, suspect, bad, or "
        "?\n"
        "where nothing judged it. A dash: not measured.");
    if (!journal->session_count)
        hm_document_text(d, "Nothing has been measured yet.");
    for (int i = 0, next; i < journal->session_count; i = next) {
        for (next = i + 1; next < journal->session_count && !strcmp(journal->sessions[next].id, journal->sessions[i].id);)
            next++;
        session_section(&journal->sessions[i], next - i, notes, d);
    }
    return d;
}

hm_status hm_journal_write(const hm_journal *journal, const hm_notes *notes, FILE *file, hm_error *err)
{
    hm_document *d = hm_journal_document(journal, notes);
    hm_status st = hm_document_write(d, HM_SHEET_MARKDOWN, file, err);
    hm_document_free(&d);
    return st;
}

hm_document *hm_journal_tables(const hm_journal_session *sessions, int count)
{
    hm_document *d = hm_document_new("suite");
    for (int i = 0; i < count; i++) {
        const hm_journal_session *s = &sessions[i];
        hm_document_text(d, "%s", s->model);
        hm_journal_say_synthetic(s, d);
        hm_journal_say_software(s, d);
        for (int a = 0; a < s->arm_count; a++) {
            hm_document_text(d, "%s%s", s->arms[a].name, a == 0 && s->arm_count > 1 ? " (baseline)" : "");
            arm_sheet(s, a, d);
        }
        hm_journal_summary(s, d);
        hm_journal_others(s, d);
        hm_journal_calls(s, d);
    }
    hm_document_text(d, "Times are means over n rounds, ± their standard deviation. RTF: wall / audio duration, lower is better.");
    return d;
}
