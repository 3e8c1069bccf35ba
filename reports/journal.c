#include "reports/journal.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "reports/journal_parts.h"

/* ---- cells ---- */

void hm_cell_number(hm_sheet *t, double value, int decimals)
{
    if (isfinite(value))
        hm_sheet_cell(t, "%.*f", decimals, value);
    else
        hm_sheet_none(t);
}

void hm_cell_text(hm_sheet *t, const char *text)
{
    if (text && *text)
        hm_sheet_cell(t, "%s", text);
    else
        hm_sheet_none(t);
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

/* "2274 ms (94 %) ±12" */
static void phase_cell(hm_sheet *t, const hm_journal_result *r, const hm_journal_stat *phase)
{
    double sum = r->prefill_ms.mean + r->generate_ms.mean + r->decode_ms.mean;
    if (!phase->n)
        hm_sheet_none(t);
    else if (phase->n < 2)
        hm_sheet_cell(t, "%.1f ms (%.0f%%)", phase->mean, sum > 0 ? 100 * phase->mean / sum : 0);
    else
        hm_sheet_cell(t, "%.1f ±%.1f ms (%.0f%%)", phase->mean, phase->sd, sum > 0 ? 100 * phase->mean / sum : 0);
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

static hm_status arm_table(const hm_journal_session *s, int arm, FILE *file, hm_error *err)
{
    hm_sheet *t = hm_sheet_new((const char *const[]){"Label", ">Words", ">n", ">Wall (ms)", ">±stddev", ">Audio (s)", ">RTF", ">Tok/s",
                                                     ">Mem (MB)", ">Prefill", ">Generate", ">Decode", "Output", NULL});
    for (int c = 0; c < s->case_count; c++) {
        const hm_journal_result *r = hm_journal_at(s, arm, c);
        hm_sheet_cell(t, "%s", s->cases[c].label);
        hm_sheet_cell(t, "%d", s->cases[c].words);
        hm_sheet_cell(t, "%d", r->n);
        hm_cell_number(t, r->n ? r->wall_ms.mean : NAN, 1);
        hm_cell_number(t, r->n ? r->wall_ms.sd : NAN, 1);
        hm_cell_number(t, r->n ? r->audio_s : NAN, 2);
        hm_cell_number(t, hm_journal_rtf(r), 4);
        hm_cell_number(t, hm_journal_tok_s(r), 1);
        hm_cell_number(t, r->n ? r->mem_mb : NAN, 0);
        phase_cell(t, r, &r->prefill_ms);
        phase_cell(t, r, &r->generate_ms);
        phase_cell(t, r, &r->decode_ms);
        hm_cell_output(t, r);
    }
    return hm_sheet_end(t, HM_SHEET_MARKDOWN, file, err);
}

/* An arm against the one it differs least from: ratio of walls and its range, over all cases and rounds both have. */
static void say_step(const hm_journal_session *s, int arm, FILE *file)
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
    fprintf(file, "%.2fx the speed of %s (single rounds %.2f to %.2f)%s.\n\n", ratio, s->arms[base].name, low, high,
            low > 1 || high < 1 ? "" : ": within the noise, this step does nothing here that shows");
}

static hm_status arm_section(const hm_journal_session *s, int arm, const hm_notes *notes, FILE *file, hm_error *err)
{
    const hm_journal_arm *a = &s->arms[arm];
    const char *note = hm_notes_find(notes, a->name);
    fprintf(file, "### %s%s\n\n", a->name, arm == 0 && s->arm_count > 1 ? " (baseline)" : "");
    if (a->text)
        fprintf(file, "%c%s.", *a->text >= 'a' && *a->text <= 'z' ? *a->text - 32 : *a->text, a->text + 1);
    if (a->base >= 0 && a->changes && *a->changes)
        fprintf(file, "%sAgainst %s: `%s`.", a->text ? " " : "", s->arms[a->base].name, a->changes);
    if (a->coincides && *a->coincides)
        fprintf(file, " The same program as %s.", a->coincides);
    fprintf(file, "%s", a->text || a->changes || a->coincides ? "\n\n" : "");
    hm_status st = arm_table(s, arm, file, err);
    fputs("\n", file);
    if (a->base >= 0)
        say_step(s, arm, file);
    if (note)
        fprintf(file, "%s\n\n", note);
    return st;
}

/* ---- baseline -> final ---- */

int hm_journal_final_arm(const hm_journal_session *s)
{
    for (int i = s->arm_count - 1; i > 0; i--)
        if (!strcmp(s->arms[i].name, "best"))
            return i;
    return s->arm_count - 1;
}

/* Rounds that the figures rest on, in words. */
static void say_rounds(const hm_journal_session *s, FILE *file)
{
    if (s->rounds < 6)
        fprintf(file, "n = %d rounds: no interval (from 6 rounds on).", s->rounds);
    else
        fprintf(file, "n = %d rounds; speed-up: Hodges-Lehmann estimate over paired rounds with its 95 %% interval.", s->rounds);
}

hm_status hm_journal_summary(const hm_journal_session *s, FILE *file, hm_error *err)
{
    int final = hm_journal_final_arm(s);
    if (s->arm_count < 2)
        return HM_OK;
    fprintf(file, "### Summary: %s → %s\n\n", s->arms[0].name, s->arms[final].name);
    say_rounds(s, file);
    fputs("\n\n", file);
    hm_sheet *t = hm_sheet_new((const char *const[]){"Label", ">Baseline RTF", ">Final RTF", ">Speed-up", ">95 % interval",
                                                     ">Baseline tok/s", ">Final tok/s", ">n", "Output", NULL});
    for (int c = 0; c < s->case_count; c++) {
        const hm_journal_result *a = hm_journal_at(s, 0, c), *b = hm_journal_at(s, final, c);
        hm_speed_up up = hm_journal_speed_up(s, 0, final, c);
        hm_sheet_cell(t, "%s", s->cases[c].label);
        hm_cell_number(t, hm_journal_rtf(a), 4);
        hm_cell_number(t, hm_journal_rtf(b), 4);
        if (up.n)
            hm_sheet_cell(t, "**%.2fx**", up.ratio);
        else
            hm_sheet_none(t);
        if (isfinite(up.low))
            hm_sheet_cell(t, "%.2f to %.2f", up.low, up.high);
        else
            hm_sheet_none(t);
        hm_cell_number(t, hm_journal_tok_s(a), 1);
        hm_cell_number(t, hm_journal_tok_s(b), 1);
        hm_sheet_cell(t, "%d", up.n);
        hm_cell_output(t, b);
    }
    hm_status st = hm_sheet_end(t, HM_SHEET_MARKDOWN, file, err);
    fputs("\n", file);
    return st;
}

/* ---- the whole ---- */

static void say_synthetic(const hm_journal_session *s, FILE *file)
{
    if (s->synthetic)
        fputs("**Synthetic weights**: speed, memory and exactness are real, how it sounds is not.\n\n", file);
}

/* Models [0, count) of one session. */
static hm_status session_section(const hm_journal_session *parts, int count, const hm_notes *notes, FILE *file, hm_error *err)
{
    const hm_journal_session *s = parts;
    char short_id[9];
    hm_status st = HM_OK;
    snprintf(short_id, sizeof short_id, "%s", s->id);
    const char *note = hm_notes_find(notes, s->id);
    note = note ? note : hm_notes_find(notes, short_id);
    fprintf(file, "## Session %s (%.10s)\n\n", short_id, s->created_utc);
    fprintf(file, "`%s`: %d round%s, %s; ", s->command_line, s->rounds, s->rounds == 1 ? "" : "s", s->state);
    for (int i = 0; i < count; i++)
        fprintf(file, "%s, ", parts[i].model);
    fprintf(file, "%s, %d CPUs.\n\n", s->cpu, s->cpus);
    if (note)
        fprintf(file, "%s\n\n", note);
    if (count > 1)
        st = hm_journal_models(parts, count, file, err);
    for (int i = 0; i < count && !st; i++) {
        s = &parts[i];
        if (count > 1)
            fprintf(file, "## %s (session %s)\n\n", s->model, short_id);
        say_synthetic(s, file);
        for (int a = 0; a < s->arm_count && !st; a++)
            st = arm_section(s, a, notes, file, err);
        if (!st)
            st = hm_journal_summary(s, file, err);
        if (!st)
            st = hm_journal_write_parts(s, file, err);
    }
    return st;
}

hm_status hm_journal_write(const hm_journal *journal, const hm_notes *notes, FILE *file, hm_error *err)
{
    const char *note = hm_notes_find(notes, "journal");
    hm_status st = HM_OK;
    fputs("# Performance journal\n\n", file);
    if (note)
        fprintf(file, "%s\n\n", note);
    fputs("Wall: from the request to the last sample of audio, load excluded. RTF: wall / audio duration (lower is better). Tok/s: frames "
          "per\n"
          "second of wall. Mem: peak resident set without mapped model pages. Percentages: of prefill + generate + decode. ±: standard "
          "deviation\n"
          "over n rounds; every round runs each arm in a fresh process, in changing order. Every arm computes the same frames.\n"
          "Output: codes and audio against the baseline's. A dash: not measured.\n\n",
          file);
    if (!journal->session_count)
        fputs("Nothing has been measured yet.\n", file);
    for (int i = 0, next; i < journal->session_count && !st; i = next) {
        for (next = i + 1; next < journal->session_count && !strcmp(journal->sessions[next].id, journal->sessions[i].id);)
            next++;
        st = session_section(&journal->sessions[i], next - i, notes, file, err);
    }
    return st;
}

hm_status hm_journal_write_tables(const hm_journal_session *s, FILE *file, hm_error *err)
{
    hm_status st = HM_OK;
    fprintf(file, "%s\n\n", s->model);
    say_synthetic(s, file);
    for (int a = 0; a < s->arm_count && !st; a++) {
        fprintf(file, "%s%s\n\n", s->arms[a].name, a == 0 && s->arm_count > 1 ? " (baseline)" : "");
        st = arm_table(s, a, file, err);
        fputs("\n", file);
    }
    return st ? st : hm_journal_summary(s, file, err);
}
