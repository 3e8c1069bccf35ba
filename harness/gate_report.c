#include "harness/gate_report.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/map.h"

static bool is(const hm_gate_row *r, const char *verdict)
{
    return !strcmp(r->verdict, verdict);
}

/* ---- document ---- */

static void capitals(char *out, size_t size, const char *text)
{
    size_t i;
    for (i = 0; text[i] && i + 1 < size; i++)
        out[i] = text[i] >= 'a' && text[i] <= 'z' ? (char)(text[i] - 'a' + 'A') : text[i];
    out[i] = 0;
}

static void percent(hm_sheet *s, double share)
{
    if (isfinite(share))
        hm_sheet_value(s, share, "%.1f %%", 100 * share);
    else
        hm_sheet_none(s);
}

static hm_sheet *sheet_of_times(const hm_gate_report *report)
{
    static const char *const titles[] = {"case",    "base",    "cand",     ">ratio",  ">low|95 % low", ">high|95 % high",
                                         ">rounds", ">margin", ">mde|MDE", "verdict", "reason",        NULL};
    hm_sheet *s = hm_sheet_new(titles);
    for (int i = 0; i < report->row_count; i++) {
        const hm_gate_row *r = &report->rows[i];
        char verdict[24];
        capitals(verdict, sizeof verdict, r->verdict);
        hm_sheet_string(s, r->label);
        hm_sheet_string(s, r->base);
        hm_sheet_string(s, r->arm);
        hm_sheet_number(s, r->ratio, 4);
        hm_sheet_number(s, r->low, 4);
        hm_sheet_number(s, r->high, 4);
        hm_sheet_cell(s, "%d", r->rounds);
        percent(s, r->margin);
        percent(s, r->mde);
        hm_sheet_string(s, verdict);
        hm_sheet_string(s, r->reason);
    }
    return s;
}

static hm_sheet *sheet_of_counts(const hm_gate_report *report)
{
    static const char *const titles[] = {"case", "base", "cand", "verdict", "reason", NULL};
    hm_sheet *s = hm_sheet_new(titles);
    for (int i = 0; i < report->row_count; i++) {
        const hm_gate_row *r = &report->rows[i];
        char verdict[24];
        capitals(verdict, sizeof verdict, r->verdict);
        hm_sheet_string(s, r->label);
        hm_sheet_string(s, r->base);
        hm_sheet_string(s, r->arm);
        hm_sheet_string(s, verdict);
        hm_sheet_string(s, r->reason);
    }
    return s;
}

static hm_sheet *sheet_of_moved(const hm_gate_report *report)
{
    static const char *const titles[] = {"case", "figure", ">base", ">cand", ">change", ">tolerance", "verdict", NULL};
    hm_sheet *s = hm_sheet_new(titles);
    for (int i = 0; i < report->moved_count; i++) {
        const hm_gate_moved *m = &report->moved[i];
        hm_sheet_string(s, m->label);
        hm_sheet_string(s, m->name);
        hm_sheet_cell(s, "%lld", (long long)m->base);
        hm_sheet_cell(s, "%lld", (long long)m->arm);
        if (m->base)
            hm_sheet_value(s, (double)(m->arm - m->base) / (double)m->base, "%+.2f %%", 100 * (double)(m->arm - m->base) / (double)m->base);
        else
            hm_sheet_none(s);
        percent(s, m->tolerance);
        hm_sheet_string(s, m->failed ? "FAIL" : m->arm < m->base ? "LESS" : "WITHIN TOLERANCE");
    }
    return s;
}

hm_document *hm_gate_document(const hm_gate_report *report)
{
    hm_document *d = hm_document_new("gate");
    hm_document_text(d, "**%s** %s", report->verdict, report->intro);
    if (report->warning[0])
        hm_document_text(d, "%s", report->warning);
    hm_document_sheet(d, report->counts ? "counts" : "gate", report->counts ? sheet_of_counts(report) : sheet_of_times(report));
    if (report->moved_count) {
        hm_document_text(d, "Exact figures that moved:");
        hm_document_sheet(d, "moved", sheet_of_moved(report));
    }
    return d;
}

void hm_gate_say_next(const hm_gate_report *report, FILE *file)
{
    for (int i = 0; i < report->row_count; i++)
        if (report->rows[i].next[0])
            fprintf(file, "%s: %s; next: %s\n", report->rows[i].label, report->rows[i].reason, report->rows[i].next);
}

/* ---- GitHub ---- */

/* Workflow commands end at a line break; properties at a comma or colon too. */
static void github_text(const char *text, bool property, FILE *file)
{
    for (; *text; text++)
        if (*text == '%' || *text == '\r' || *text == '\n' || (property && (*text == ':' || *text == ',')))
            fprintf(file, "%%%02X", (unsigned char)*text);
        else
            putc(*text, file);
}

void hm_gate_github(const hm_gate_report *report, FILE *file)
{
    for (int i = 0; i < report->row_count; i++) {
        const hm_gate_row *r = &report->rows[i];
        char title[240], verdict[24];
        if (is(r, "pass") || is(r, "improved"))
            continue;
        capitals(verdict, sizeof verdict, r->verdict);
        snprintf(title, sizeof title, "%s %s", r->label, verdict);
        fprintf(file, "::%s title=", is(r, "inconclusive") ? "warning" : "error");
        github_text(title, true, file);
        fputs("::", file);
        github_text(r->reason[0] ? r->reason : "no reason was given", false, file);
        if (r->next[0]) {
            fputs("; next: ", file);
            github_text(r->next, false, file);
        }
        putc('\n', file);
    }
    fflush(file); /* what goes to another stream next must not cut a line of these */
}

hm_status hm_gate_summary(const hm_document *document, hm_error *err)
{
    const char *path = getenv("GITHUB_STEP_SUMMARY");
    if (!path || !*path)
        return HM_OK;
    FILE *file = fopen(path, "a");
    if (!file)
        return hm_fail(err, HM_ECREATE, "%s ($GITHUB_STEP_SUMMARY): cannot be written: %s", path, strerror(errno));
    hm_status st = hm_document_write(document, HM_SHEET_MARKDOWN, file, err);
    bool failed = ferror(file);
    if ((fclose(file) || failed) && !st)
        st = hm_fail(err, HM_EIO, "%s ($GITHUB_STEP_SUMMARY): writing failed", path);
    return st;
}

/* ---- JUnit ---- */

/* Bytes of the well-formed UTF-8 character at p that XML 1.0 may hold; 0: none is there. */
static int xml_character(const unsigned char *p)
{
    if (*p < 0x20)
        return *p == '\t' || *p == '\n' || *p == '\r';
    if (*p < 0x7F)
        return 1;
    int n = *p >= 0xF0 && *p < 0xF5 ? 4 : *p >= 0xE0 ? 3 : *p >= 0xC2 ? 2 : 0;
    if (!n || *p >= 0xF5)
        return 0;
    for (int i = 1; i < n; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    if ((*p == 0xE0 && p[1] < 0xA0) || (*p == 0xED && p[1] > 0x9F) || (*p == 0xF0 && p[1] < 0x90) || (*p == 0xF4 && p[1] > 0x8F))
        return 0;
    return *p == 0xEF && p[1] == 0xBF && p[2] >= 0xBE ? 0 : n; /* U+FFFE, U+FFFF */
}

void hm_xml_text(const char *text, FILE *file)
{
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        int n = xml_character(p);
        if (*p == '&')
            fputs("&amp;", file);
        else if (*p == '<')
            fputs("&lt;", file);
        else if (*p == '>')
            fputs("&gt;", file);
        else if (*p == '"')
            fputs("&quot;", file);
        else if (*p == '\'')
            fputs("&apos;", file);
        else if (n)
            fwrite(p, 1, (size_t)n, file);
        else
            putc('?', file);
        p += n ? n : 1;
    }
}

static void element(const char *name, const char *message, const char *detail, FILE *file)
{
    fprintf(file, "    <%s message=\"", name);
    hm_xml_text(message, file);
    if (*detail) {
        fputs("\">", file);
        hm_xml_text(detail, file);
        fprintf(file, "</%s>\n", name);
    } else {
        fputs("\"/>\n", file);
    }
}

static void testcase(const hm_gate_row *r, FILE *file)
{
    const char *slash = strchr(r->label, '/');
    char suite[200];
    snprintf(suite, sizeof suite, "hmbench.gate.%.*s", slash ? (int)(slash - r->label) : (int)strlen(r->label), r->label);
    fputs("  <testcase classname=\"", file);
    hm_xml_text(suite, file);
    fputs("\" name=\"", file);
    hm_xml_text(slash ? slash + 1 : r->label, file);
    fputs("\">\n", file);
    if (is(r, "fail") || is(r, "differs"))
        element("failure", r->reason, r->next, file);
    else if (is(r, "invalid"))
        element("error", r->reason, r->next, file);
    else if (is(r, "inconclusive"))
        element("skipped", r->reason, "", file);
    fputs("  </testcase>\n", file);
}

hm_status hm_gate_junit(const hm_gate_report *report, const char *path, hm_error *err)
{
    char part[1200];
    int failures = 0, errors = 0, skipped = 0;
    hm_status st = hm_file_replaceable(path, err);
    if (st)
        return st;
    snprintf(part, sizeof part, "%.1100s.part", path);
    FILE *file = fopen(part, "w");
    if (!file)
        return hm_fail(err, HM_ECREATE, "--junit %s: cannot be written: %s", path, strerror(errno));
    for (int i = 0; i < report->row_count; i++) {
        const hm_gate_row *r = &report->rows[i];
        failures += is(r, "fail") || is(r, "differs");
        errors += is(r, "invalid");
        skipped += is(r, "inconclusive");
    }
    fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n", file);
    fprintf(file, "<testsuite name=\"hmbench gate\" tests=\"%d\" failures=\"%d\" errors=\"%d\" skipped=\"%d\">\n", report->row_count,
            failures, errors, skipped);
    for (int i = 0; i < report->row_count; i++)
        testcase(&report->rows[i], file);
    fputs("</testsuite>\n", file);
    bool failed = ferror(file);
    if (fclose(file) || failed || rename(part, path)) {
        remove(part);
        return hm_fail(err, HM_EIO, "--junit %s: writing failed: %s", path, strerror(errno));
    }
    return HM_OK;
}
