/* One run as a line, to paste where people collect them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "reports/journal_parts.h"
#include "reports/report.h"

typedef struct line {
    const hm_journal_session *s;
    const hm_journal_arm *arm;
    const hm_journal_case *kase;
    const hm_journal_result *r;
} line;

static void put_cpu(const line *l, hm_sheet *t)
{
    hm_sheet_cell(t, "%s, %d CPUs", l->s->cpu, l->s->cpus);
}

static void put_system(const line *l, hm_sheet *t)
{
    hm_sheet_string(t, l->s->os);
}

static void put_model(const line *l, hm_sheet *t)
{
    hm_sheet_cell(t, "%s%s", l->s->model, l->s->synthetic ? " (synthetic)" : "");
}

static void put_variant(const line *l, hm_sheet *t)
{
    hm_sheet_string(t, l->arm->name);
}

static void put_precision(const line *l, hm_sheet *t)
{
    hm_sheet_string(t, l->arm->precision);
}

static void put_threads(const line *l, hm_sheet *t)
{
    hm_sheet_number(t, l->arm->threads > 0 ? l->arm->threads : NAN, 0);
}

static void put_isa(const line *l, hm_sheet *t)
{
    hm_sheet_string(t, l->arm->isa);
}

static void put_case(const line *l, hm_sheet *t)
{
    hm_sheet_string(t, l->kase->label);
}

static void put_audio(const line *l, hm_sheet *t)
{
    hm_sheet_number(t, l->r->audio_s, 1);
}

static void put_wall(const line *l, hm_sheet *t)
{
    if (l->r->wall_ms.n > 1)
        hm_sheet_cell(t, "%.2f ±%.2f", l->r->wall_ms.mean / 1e3, l->r->wall_ms.sd / 1e3);
    else
        hm_sheet_number(t, l->r->wall_ms.mean / 1e3, 2);
}

static void put_rtf(const line *l, hm_sheet *t)
{
    hm_sheet_number(t, hm_journal_rtf(l->r), 4);
}

static void put_times(const line *l, hm_sheet *t)
{
    double x = 1 / hm_journal_rtf(l->r);
    hm_sheet_value(t, x, "%.2fx", x);
}

static void put_frame(const line *l, hm_sheet *t)
{
    hm_sheet_number(t, l->r->generate_ms.n && l->r->frames > 0 ? l->r->generate_ms.mean / l->r->frames : NAN, 2);
}

static void put_shares(const line *l, hm_sheet *t)
{
    double p = l->r->prefill_ms.mean, g = l->r->generate_ms.mean, d = l->r->decode_ms.mean, sum = p + g + d;
    if (l->r->generate_ms.n && sum > 0)
        hm_sheet_cell(t, "%.0f/%.0f/%.0f", 100 * p / sum, 100 * g / sum, 100 * d / sum);
    else
        hm_sheet_none(t);
}

static void put_ttfa(const line *l, hm_sheet *t)
{
    hm_sheet_number(t, l->r->ttfa_ms, 0);
}

static void put_load(const line *l, hm_sheet *t)
{
    hm_sheet_number(t, l->r->load_ms.n ? l->r->load_ms.mean / 1e3 : NAN, 2);
}

static void put_memory(const line *l, hm_sheet *t)
{
    hm_sheet_number(t, l->r->mem_mb, 0);
}

static void put_rounds(const line *l, hm_sheet *t)
{
    hm_sheet_cell(t, "%d", l->r->n);
}

static void put_health(const line *l, hm_sheet *t)
{
    hm_sheet_string(t, l->r->health);
}

static void put_build(const line *l, hm_sheet *t)
{
    hm_sheet_cell(t, "%s%s%.10s%s", l->s->version, l->s->commit ? " " : "", l->s->commit ? l->s->commit : "", l->s->dirty ? "+" : "");
}

static const struct column {
    const char *title, *words;
    void (*put)(const line *l, hm_sheet *t);
} columns[] = {
    {"CPU", "processor, and how many logical CPUs the process may use", put_cpu},
    {"System", "operating system", put_system},
    {"Model", "which weights; synthetic: made ones of the right structure, whose speed and memory are real and whose sound is not",
     put_model},
    {"Variant", "how it was computed: a row of `hmbench list variants`", put_variant},
    {"Precision", "of the weights: backbone/decoder/codec", put_precision},
    {">Threads", "of the engine", put_threads},
    {"ISA", "instruction set that was used", put_isa},
    {"Case", "suite and case: `hmbench list suites`", put_case},
    {">Audio (s)", "length of the audio that was made; every variant makes the same", put_audio},
    {">Wall (s)", "from the request to the last sample of audio, loading left out: mean ± standard deviation over n fresh processes",
     put_wall},
    {">RTF", "real-time factor, wall / audio: below 1 is faster than real time, lower is better", put_rtf},
    {">x real time", "the same upside down, audio / wall: above 1 is faster than real time, higher is better; some projects call this RTF",
     put_times},
    {">ms/frame", "time of one step of the language model, which makes 80 ms of audio: for comparing songs of different lengths",
     put_frame},
    {">P/G/D (%)", "shares of reading the prompt (prefill), making codes (generate) and making audio of them (decode)", put_shares},
    {">TTFA (ms)", "streamed: from the request to the first piece of audio that is not silent; a dash when not streamed", put_ttfa},
    {">Load (s)", "opening the model in a fresh process, its files in the page cache", put_load},
    {">Mem (MB)", "largest resident set without mapped pages of model files", put_memory},
    {">n", "rounds, each in a fresh process", put_rounds},
    {"Health", "verdict on the audio itself: ok, suspect or bad; bad audio makes its speed meaningless", put_health},
    {"hmbench", "version and commit, + with changes", put_build},
};
enum {
    COLUMNS = sizeof columns / sizeof *columns
};

hm_status hm_report_line(const hm_journal_session *s, int arm, int kase, bool explain, FILE *file, hm_error *err)
{
    const char *titles[COLUMNS + 1] = {NULL};
    char *text = NULL;
    size_t size = 0;
    line l = {s, &s->arms[arm], &s->cases[kase], hm_journal_at(s, arm, kase)};
    if (!l.r->n)
        return hm_fail(err, HM_EMISSING, "report: %s has no result on %s in session %.8s", l.arm->name, l.kase->label, s->id);
    for (int i = 0; i < COLUMNS; i++)
        titles[i] = columns[i].title;
    hm_sheet *t = hm_sheet_new(titles);
    for (int i = 0; i < COLUMNS; i++)
        columns[i].put(&l, t);
    FILE *memory = open_memstream(&text, &size);
    if (!memory) {
        hm_sheet_free(t);
        return hm_fail(err, HM_EABSENT, "report: no memory for its line");
    }
    hm_status st = hm_sheet_end(t, HM_SHEET_MARKDOWN, memory, err);
    if (fclose(memory) && !st)
        st = hm_fail(err, HM_EABSENT, "report: no memory for its line");
    const char *row = text;
    for (int i = 0; i < 2 && !st && !explain; i++) /* the row alone */
        row = strchr(row, '\n') + 1;
    for (const char *p = row; !st && *p; p++) /* aligned columns are for tables, a line has no need of them */
        if (explain || *p != ' ' || p[1] != ' ')
            fputc(*p, file);
    for (int i = 0; i < COLUMNS && explain && !st; i++)
        fprintf(file, "%s- %s: %s.\n", i ? "" : "\n", columns[i].title + (columns[i].title[0] == '>'), columns[i].words);
    free(text);
    return st;
}
