#include "reports/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "reports/journal_parts.h"
#include "reports/sheet_write.h"

/* Neither style nor script has a character that XML would take for markup. */
static const char style[] =
    ":root{color-scheme:light dark;--ink:#1b1f24;--soft:#57606a;--back:#fff;--card:#f6f8fa;--line:#d0d7de;--link:#0072b2}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa5b1;--back:#0d1117;--card:#161b22;--line:#30363d;--link:#56b4e9}}\n"
    "body{margin:0 auto;padding:1.5rem;max-width:84rem;background:var(--back);color:var(--ink);font:15px/1.5 system-ui,'DejaVu "
    "Sans',sans-serif}\n"
    "h1{font-size:1.6rem;margin:.2rem 0}h2{margin:2.2rem 0 .6rem;border-bottom:1px solid var(--line)}h3{margin:1.6rem 0 .4rem}\n"
    ".result{background:var(--card);border:1px solid var(--line);border-left:5px solid var(--link);padding:.6rem 1rem;font-size:1.15rem}\n"
    ".result p{margin:.3rem 0}nav a{margin-right:.9rem;white-space:nowrap}a{color:var(--link)}\n"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.85rem;margin:.4rem 0}\n"
    "th,td{padding:.25rem .55rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top;white-space:nowrap}"
    ".n{text-align:right;font-variant-numeric:tabular-nums}.w{white-space:normal;min-width:16rem}\n"
    "th{background:var(--card);cursor:pointer;position:sticky;top:0}th[aria-sort=ascending]::after{content:' \\25b2'}"
    "th[aria-sort=descending]::after{content:' \\25bc'}\n"
    "code{background:var(--card);padding:.05rem .25rem;border-radius:3px;overflow-wrap:anywhere}p{max-width:60rem}\n"
    "figure{margin:1rem 0;padding:.5rem;background:#fff;border:1px solid var(--line);max-width:832px}figure "
    "svg{width:100%;height:auto;display:block}\n"
    "figcaption{color:#57606a;font-size:.85rem;padding:.2rem .4rem}.soft{color:var(--soft)}\n";

static const char script[] =
    "for (const th of document.querySelectorAll('th')) {\n"
    "  th.tabIndex = 0;\n"
    "  const sort = () => {\n"
    "    const body = th.closest('table').tBodies[0], at = th.cellIndex, up = th.getAttribute('aria-sort') != 'ascending';\n"
    "    const value = (row) => row.cells[at].dataset.v ? Number(row.cells[at].dataset.v) : row.cells[at].textContent;\n"
    "    const order = (a, b) => a === b ? 0 : typeof a != typeof b ? (typeof a == 'number' ? -1 : 1) : (a > b) == up ? 1 : -1;\n"
    "    for (const other of th.parentNode.cells) other.removeAttribute('aria-sort');\n"
    "    th.setAttribute('aria-sort', up ? 'ascending' : 'descending');\n"
    "    body.append(...[...body.rows].sort((a, b) => order(value(a), value(b))));\n"
    "  };\n"
    "  th.addEventListener('click', sort);\n"
    "  th.addEventListener('keydown', (e) => { if (e.key == 'Enter') sort(); });\n"
    "}\n";

/* ---- pictures ---- */

static bool begins(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}

/* Past an attribute `name="..."` that is left out; NULL: it is another one. */
static const char *past_attribute(const char *p, const char *name)
{
    if (!begins(p, name))
        return NULL;
    const char *end = strchr(p + strlen(name), '"');
    return end ? end + 1 : NULL;
}

char *hm_report_embed_svg(const char *svg, const char *prefix)
{
    const char *p = strstr(svg, "<svg"), *skipped;
    char *text = NULL;
    size_t size = 0;
    FILE *f = p ? open_memstream(&text, &size) : NULL;
    if (!f)
        return NULL;
    while (*p) {
        if ((skipped = past_attribute(p, "xmlns=\"")) || (skipped = past_attribute(p, "xmlns:xlink=\""))) {
            p = skipped;
        } else if (begins(p, " id=\"") || begins(p, " id='")) {
            fprintf(f, " id=%c%s", p[4], prefix);
            p += 5;
        } else if (begins(p, "xlink:href=\"#") || begins(p, "xlink:href='#")) {
            fprintf(f, "href=%c#%s", p[11], prefix);
            p += 13;
        } else if (begins(p, "url(#")) {
            fprintf(f, "url(#%s", prefix);
            p += 5;
        } else {
            fputc(*p++, f);
        }
    }
    return fclose(f) ? (free(text), NULL) : text;
}

/* ---- sections ---- */

typedef struct page {
    const hm_report_artist *artist;
    hm_document *d;
    int pictures;
} page;

static void picture(page *p, const hm_journal_session *s, hm_plot_kind kind, const char *words)
{
    char prefix[16], *svg = p->artist ? p->artist->draw(p->artist->self, s, kind) : NULL, *part = NULL;
    snprintf(prefix, sizeof prefix, "p%d-", ++p->pictures);
    if (svg)
        part = hm_report_embed_svg(svg, prefix);
    if (part)
        hm_document_picture(p->d, part, words);
    free(svg);
    free(part);
}

/* The one sentence that a model's measurements come to. */
static void say_result(const hm_journal_session *s, FILE *f)
{
    int final = hm_journal_final_arm(s), kase = hm_journal_longest_case(s);
    const hm_journal_result *r = s->arm_count && s->case_count ? hm_journal_at(s, final, kase) : NULL;
    char text[900];
    double rtf = r ? hm_journal_rtf(r) : NAN;
    if (!r || !r->n) {
        snprintf(text, sizeof text, "**%s**: nothing was measured.", s->model);
    } else {
        int n =
            snprintf(text, sizeof text, "**%s**, %s on %s: RTF **%.4f** (wall / audio, lower is better), %.1fx real time, audio %s",
                     s->model, s->arms[final].name, s->cases[kase].label, rtf, 1 / rtf, r->health && *r->health ? r->health : "not judged");
        hm_speed_up up = final ? hm_journal_speed_up(s, 0, final, kase) : (hm_speed_up){0, NAN, NAN, NAN};
        if (up.n && isfinite(up.low))
            snprintf(text + n, sizeof text - (size_t)n, "; **%.2fx** the speed of %s (95 %% interval %.2f to %.2f, n = %d).", up.ratio,
                     s->arms[0].name, up.low, up.high, up.n);
        else if (up.n)
            snprintf(text + n, sizeof text - (size_t)n, "; **%.2fx** the speed of %s (n = %d, no interval).", up.ratio, s->arms[0].name,
                     up.n);
        else
            snprintf(text + n, sizeof text - (size_t)n, ".");
    }
    fputs("<p>", f);
    hm_html_put_words(text, f);
    fputs("</p>\n", f);
}

static void model_section(page *p, const hm_journal_session *s)
{
    hm_document *d = p->d;
    hm_document_heading(d, 2, "%s", s->model);
    hm_journal_say_synthetic(s, d);
    hm_journal_say_software(s, d);
    hm_journal_summary(s, d);
    picture(p, s, HM_PLOT_LADDER, "Real-time factor of every arm: lower is better. Bars: mean over rounds, ± standard deviation.");
    picture(p, s, HM_PLOT_RATIO, "Speed against the first arm with its 95 % interval (from six rounds on).");
    hm_journal_verdicts(s, d);
    hm_journal_all_variants(s, d);
    for (int a = 0; a < s->arm_count; a++)
        hm_journal_arm_section(s, a, NULL, d);
    hm_document_heading(d, 3, "Where the time goes");
    picture(p, s, HM_PLOT_PHASES, "Means over rounds, loading left out.");
    hm_journal_transcripts(s, d);
    hm_journal_frames(s, d);
    hm_journal_positions(s, d);
    picture(p, s, HM_PLOT_POSITIONS, "Time of a frame where it stands in the song.");
    hm_journal_ceiling(s, d);
    picture(p, s, HM_PLOT_ROOFLINE, "What is attained, under what the machine can do.");
    hm_journal_fidelity(s, d);
    picture(p, s, HM_PLOT_TRADEOFF, "What speed costs: a point per arm, means over cases.");
    hm_journal_steps(s, d);
    picture(p, s, HM_PLOT_STEPS, "Decode time and distance of the audio over the number of solver steps.");
    hm_journal_cold(s, d);
    hm_journal_calls(s, d);
    hm_journal_loading(s, d);
    hm_journal_ledger(s, d);
    hm_journal_energy(s, d);
    hm_journal_audio(s, d);
    hm_journal_failures(s, d);
    hm_journal_environment(s, d);
}

static void reproduce(const hm_journal_session *s, hm_document *d)
{
    hm_document_heading(d, 2, "How to do it again");
    hm_document_text(d, "`%s --seed %llu`", s->command_line, (unsigned long long)s->order_seed);
    hm_document_text(
        d,
        "with hmbench %s%s%s%s (%s, %s, `%s`). Weights of presets are made from a fixed seed, so they are the same everywhere; the "
        "order of arms comes from the seed above. Raw samples of this session: `hmbench db sql \"SELECT * FROM figure WHERE session_id "
        "= '%s'\"`.",
        s->version, s->commit ? ", commit " : "", s->commit ? s->commit : "", s->dirty ? " with changes" : "", s->compiler, s->build_type,
        s->flags, s->id);
}

static void begin(const hm_journal_session *s, int count, FILE *f)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\" />\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src "
          "'unsafe-inline'\" />\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\" />\n<title>hmbench: session ",
          f);
    fprintf(f, "%.8s", s->id);
    fprintf(f, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<header>\n<h1>hmbench report</h1>\n<p class=\"soft\">session ", style);
    hm_html_put(s->id, f);
    fprintf(f, ", %.10s, %d rounds, ", s->created_utc, s->rounds);
    hm_html_put(s->state, f);
    fputs("; ", f);
    hm_html_put(s->cpu, f);
    fprintf(f, ", %d CPUs</p>\n<div class=\"result\">\n", s->cpus);
    for (int i = 0; i < count; i++)
        say_result(&s[i], f);
    fputs("</div>\n</header>\n<main>\n", f);
}

hm_status hm_report_write(const hm_journal_session *sessions, int count, const hm_report_artist *artist, FILE *file, hm_error *err)
{
    page p = {artist, hm_document_new("report"), 0};
    if (count > 1)
        hm_journal_models(sessions, count, p.d);
    for (int i = 0; i < count; i++)
        model_section(&p, &sessions[i]);
    reproduce(sessions, p.d);
    begin(sessions, count, file);
    hm_status st = hm_document_write(p.d, HM_SHEET_HTML, file, err);
    fprintf(
        file,
        "<p class=\"soft\">A dash: not measured. Beside an RTF stands the verdict on its audio (? where nothing judged it). A click on a "
        "column's title sorts by it.</p>\n</main>\n<script>\n%s</script>\n</body>\n</html>\n",
        script);
    hm_document_free(&p.d);
    return st;
}
