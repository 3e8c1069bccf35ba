#include <stdlib.h>
#include <string.h>

#include "harness/leak.h"
#include "harness/store_internal.h"
#include "harness/store_leak.h"
#include "reports/stats.h"

enum {
    GENERATIONS_MOST = 4096,
    PROCESSES_MOST = 1024
};

/* One case and arm: every process has a slope of its own. */
typedef struct growth {
    char run_id[HM_UUID_TEXT], pair[160];
    char suite[64], name[64], arm[256];
    int64_t bytes[GENERATIONS_MOST];
    int count;
    double slopes[PROCESSES_MOST];
    int processes, generations;
    double p;         /* the largest of the processes: growth has to show in each */
    bool leaks, many; /* in each: it grows; enough for a verdict */
} growth;

static void end_process(growth *g)
{
    if (g->count >= HM_LEAK_GENERATIONS && g->processes < PROCESSES_MOST) {
        hm_leak one = hm_leak_slope(g->bytes, g->count);
        if (isfinite(one.bytes_per_generation)) {
            g->p = g->processes && g->p > one.p ? g->p : one.p;
            g->leaks = (!g->processes || g->leaks) && one.leaks;
            g->many = (!g->processes || g->many) && g->count >= HM_LEAK_VERDICT;
            g->slopes[g->processes++] = one.bytes_per_generation;
            g->generations += g->count;
        }
    }
    g->count = 0;
}

static void end_pair(growth *g, hm_sheet *t)
{
    char label[160];
    end_process(g);
    if (g->processes) {
        double slope = hm_median(g->slopes, g->processes);
        snprintf(label, sizeof label, "%s/%s", g->suite, g->name);
        hm_sheet_string(t, g->arm);
        hm_sheet_string(t, label);
        hm_sheet_cell(t, "%d", g->processes);
        hm_sheet_cell(t, "%d", g->generations);
        hm_sheet_value(t, slope, "%.1f", slope / 1024);
        hm_sheet_number(t, g->p, 4);
        hm_sheet_string(t, !g->many ? "too few to tell" : g->leaks ? "grows" : "does not grow");
    }
    g->processes = g->generations = 0;
}

static void copy(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text ? text : "");
}

/* The next generation; another pair of case and arm, or another process, ends the one before. */
static void take(growth *g, hm_query *q, hm_sheet *t)
{
    char pair[160];
    snprintf(pair, sizeof pair, "%s %s", hm_query_text(q, 0), hm_query_text(q, 1));
    if (strcmp(pair, g->pair))
        end_pair(g, t);
    else if (strcmp(hm_query_text(q, 2), g->run_id))
        end_process(g);
    copy(g->pair, sizeof g->pair, pair);
    copy(g->run_id, sizeof g->run_id, hm_query_text(q, 2));
    copy(g->suite, sizeof g->suite, hm_query_text(q, 3));
    copy(g->name, sizeof g->name, hm_query_text(q, 4));
    copy(g->arm, sizeof g->arm, hm_query_text(q, 5));
    if (g->count < GENERATIONS_MOST)
        g->bytes[g->count++] = hm_query_int(q, 6);
}

hm_status hm_leak_report(hm_store *store, const char *session_id, hm_document *document, hm_error *err)
{
    hm_query q;
    growth *g = hm_calloc(1, sizeof *g, "memory of generations", err);
    if (!g)
        return HM_EABSENT;
    hm_sheet *t = hm_sheet_new((const char *const[]){"arm|Variant", "case|Label", ">processes|Processes", ">generations|Generations",
                                                     ">bytes_per_generation|KiB per generation", ">p|p", "verdict|Memory", NULL});
    hm_query_open(&q, store,
                  "SELECT r.case_id, r.arm_id, r.id, c.suite, c.name, a.name, s.rss_after_bytes FROM sample s "
                  "JOIN run r ON r.id = s.run_id JOIN suite_case c ON c.id = r.case_id JOIN arm a ON a.id = r.arm_id "
                  "WHERE r.session_id = :id AND r.status = 'ok' AND NOT s.warmup AND s.rss_after_bytes IS NOT NULL "
                  "ORDER BY c.frames, c.suite, c.name, a.position, r.round, r.id, s.ordinal",
                  err);
    hm_bind_text(&q, ":id", session_id);
    while (hm_query_row(&q))
        take(g, &q, t);
    end_pair(g, t);
    hm_status st = hm_query_close(&q);
    if (!st && hm_sheet_rows(t)) {
        hm_document_heading(document, 3, "Memory over generations");
        hm_document_text(document,
                         "Resident set less mapped model pages after each generation, in processes of %d or more of them: median of the "
                         "processes' slopes (Theil-Sen), the largest of their p (Mann-Kendall). It grows when it does in each; from %d "
                         "generations on that can be told.",
                         HM_LEAK_GENERATIONS, HM_LEAK_VERDICT);
        hm_document_sheet(document, "memory_growth", t);
        t = NULL;
    }
    hm_sheet_free(t);
    free(g);
    return st;
}
