/* Sessions out of the database into the structs of the journal. Everything is ordered by what is stored, never by chance. */
#include "harness/store_query.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/model.h"
#include "harness/store_reading.h"
#include "suites/suite.h"
#include "variants/variants.h"

struct hm_journal_data {
    hm_journal journal;
    void **blocks; /* everything the structs point at */
    size_t count, room;
    bool failed;
};

/* Times of one generation, ms; NaN: not known. */
enum {
    WALL,
    PREFILL,
    GENERATE,
    DECODE,
    OTHER,
    LOAD,
    TIMES
};
typedef struct generation {
    double ms[TIMES];
} generation;

enum {
    MOST_GENERATIONS = 4096
}; /* of one process */

/* One result while samples are added to it. */
typedef struct gatherer {
    hm_journal_result result;
    double *rounds, *drawing; /* of each: wall, and of it prefill and generate */
    generation *pending;      /* those of one round, [MOST_GENERATIONS] shared by all: a round's samples stand together */
    int pending_count, pending_round;
    char codes[40], audio[40];
    bool unstable, codes_differ, codes_checked;
} gatherer;

/* A session while it is read. */
typedef struct hm_reading {
    hm_journal_data *data;
    hm_store *store;
    hm_error *err;
    hm_journal_session s;
    char (*arm_ids)[HM_UUID_TEXT];
    char (*case_ids)[HM_HASH_TEXT];
    const char **toggles; /* of each arm, as text */
    hm_journal_arm *arms;
    hm_journal_case *cases;
    gatherer *gatherers; /* [arms][cases] */
    const char *model;   /* the arms that have this one */
} reading;

/* ---- memory ---- */

static void *take(hm_journal_data *d, size_t count, size_t size)
{
    if (d->count == d->room) {
        size_t room = d->room ? 2 * d->room : 64;
        void **blocks = realloc(d->blocks, room * sizeof *blocks);
        if (!blocks) {
            d->failed = true;
            return NULL;
        }
        d->blocks = blocks;
        d->room = room;
    }
    void *p = calloc(count ? count : 1, size);
    d->failed = d->failed || !p;
    if (p)
        d->blocks[d->count++] = p;
    return p;
}

/* A copy that lives with the data; NULL stays NULL. */
static const char *keep(hm_journal_data *d, const char *text)
{
    char *copy = text ? take(d, strlen(text) + 1, 1) : NULL;
    if (copy)
        strcpy(copy, text);
    return copy;
}

static const char *keep_or(hm_journal_data *d, const char *text, const char *other)
{
    const char *copy = keep(d, text ? text : other);
    return copy ? copy : other;
}

/* `old` grown to hold `count + 1` elements, counted in powers of two; old blocks stay until the end. */
static void *grown(hm_journal_data *d, void *old, int count, size_t size)
{
    if (count & (count - 1))
        return old;
    void *p = take(d, (size_t)(count ? 2 * count : 1), size);
    if (p && old)
        memcpy(p, old, (size_t)count * size);
    return p;
}

void hm_journal_data_free(hm_journal_data **data)
{
    if (!*data)
        return;
    for (size_t i = 0; i < (*data)->count; i++)
        free((*data)->blocks[i]);
    free((*data)->blocks);
    free(*data);
    *data = NULL;
}

const hm_journal *hm_journal_data_journal(const hm_journal_data *data)
{
    return &data->journal;
}

static hm_status out_of_memory(hm_error *err)
{
    return hm_fail(err, HM_EABSENT, "journal: out of memory");
}

/* ---- texts ---- */

/* Length of the part of a toggles text up to the next comma. */
static size_t part_length(const char *text)
{
    return strcspn(text, ",");
}

/* What of `now` is not in `before`, both as toggle=value with commas between. */
static const char *changed_toggles(hm_journal_data *d, const char *before, const char *now)
{
    char *out = now && before ? take(d, strlen(now) + 1, 1) : NULL;
    if (!out)
        return NULL;
    for (const char *p = now; *p;) {
        size_t n = part_length(p);
        bool same = false;
        for (const char *q = before; *q && !same;) {
            size_t m = part_length(q);
            same = m == n && !strncmp(p, q, n);
            q += m + (q[m] == ',');
        }
        if (!same)
            sprintf(out + strlen(out), "%s%.*s", *out ? "," : "", (int)n, p);
        p += n + (p[n] == ',');
    }
    return out;
}

static int flow_steps_of(const char *toggles)
{
    const char *p = toggles ? strstr(toggles, "flow_steps=") : NULL;
    int steps = p ? atoi(p + strlen("flow_steps=")) : 0;
    return steps > 0 ? steps : -1;
}

/* ---- arms and cases ---- */

static int small(int64_t value)
{
    return value == HM_UNKNOWN || value < 0 || value > INT32_MAX ? 0 : (int)value;
}

/* The earlier arm whose toggles differ least, the latest among equals; -1: none. */
static int nearest_arm(const reading *r, const char *toggles)
{
    int best = -1, least = INT32_MAX;
    for (int i = 0; i < r->s.arm_count && toggles; i++) {
        const char *changes = r->toggles[i] ? changed_toggles(r->data, r->toggles[i], toggles) : NULL;
        int n = changes && *changes ? 1 : 0;
        for (const char *p = changes; p && (p = strchr(p, ',')); p++)
            n++;
        if (changes && n <= least) {
            least = n;
            best = i;
        }
    }
    return best;
}

/* An arm's name without " model=...": here it stands under its model. One whose times do not rank says so. */
static const char *arm_name(hm_journal_data *d, const char *name, bool software)
{
    const char *from = name ? strstr(name, " model=") : NULL, *to = from ? strchr(from + 1, ' ') : NULL;
    const char *mark = software ? HM_SOFTWARE_MARK : "";
    char *copy = name && (from || software) ? take(d, strlen(name) + strlen(mark) + 1, 1) : NULL;
    if (!copy)
        return keep_or(d, name, "?");
    sprintf(copy, "%.*s%s%s", (int)(from ? (size_t)(from - name) : strlen(name)), name, to ? to : "", mark);
    return copy;
}

/* Of a GPU, which has a driver. */
static const char *device_text(hm_journal_data *d, const char *name, const char *driver)
{
    char text[240];
    if (!name || !driver)
        return NULL;
    snprintf(text, sizeof text, "%s, driver %s", name, driver);
    return keep(d, text);
}

/* Whether a variant as text is `best` in what concerns the formats of weights. */
static bool reads_as_best(const char *text)
{
    int n;
    hm_toggles set;
    hm_error ignored;
    const hm_variant_info *best = hm_variant_find("best");
    const hm_toggle_info *list = hm_toggle_list(&n);
    size_t name = text ? strcspn(text, ":") : 0;
    if (!best || name != 4 || strncmp(text, "best", 4) || hm_variant_parse(text, &set, NULL, &ignored))
        return false;
    for (int i = 0; i < n; i++)
        if (!strncmp(list[i].name, "precision_", 10) && hm_toggle_get(&set, &list[i]) != hm_toggle_get(&best->toggles, &list[i]))
            return false;
    return true;
}

static hm_status read_arms(reading *r)
{
    hm_query q;
    hm_query_open(
        &q, r->store,
        "SELECT a.id, a.name, a.variant, a.toggles, a.coincides, a.precision, max(u.threads), max(u.isa), "
        "max(u.software), max(u.device), max(u.device_driver), a.environment, a.backend, b.compiler, b.flags FROM arm a "
        "LEFT JOIN run u ON u.arm_id = a.id LEFT JOIN build b ON b.id = a.build_id WHERE a.session_id = :id AND a.model = :model GROUP BY a.id ORDER BY a.position",
        r->err);
    hm_bind_text(&q, ":id", r->s.id);
    hm_bind_text(&q, ":model", r->model);
    while (hm_query_row(&q) && !r->data->failed) {
        int n = r->s.arm_count;
        r->arms = grown(r->data, r->arms, n, sizeof *r->arms);
        r->arm_ids = grown(r->data, r->arm_ids, n, sizeof *r->arm_ids);
        r->toggles = grown(r->data, r->toggles, n, sizeof *r->toggles);
        if (r->data->failed)
            break;
        const char *toggles = keep(r->data, hm_query_text(&q, 3)), *variant = hm_query_text(&q, 2);
        const hm_variant_info *info = variant ? hm_variant_find(variant) : NULL;
        snprintf(r->arm_ids[n], HM_UUID_TEXT, "%s", hm_query_text(&q, 0));
        bool software = hm_query_int(&q, 8) == 1, other = !strcmp(hm_query_text(&q, 12), "command");
        r->arms[n] =
            (hm_journal_arm){.name = arm_name(r->data, hm_query_text(&q, 1), software),
                             .software = software,
                             .device = device_text(r->data, hm_query_text(&q, 9), hm_query_text(&q, 10)),
                             .environment = hm_query_text(&q, 11) && *hm_query_text(&q, 11) ? keep(r->data, hm_query_text(&q, 11)) : NULL,
                             .text = info ? info->text : NULL,
                             .base = nearest_arm(r, toggles),
                             .default_formats = reads_as_best(variant),
                             .other = other,
                             .libraries = other ? keep(r->data, hm_query_text(&q, 13)) : NULL,
                             .settings = other ? keep(r->data, hm_query_text(&q, 14)) : NULL,
                             .coincides = keep(r->data, hm_query_text(&q, 4)),
                             .precision = keep(r->data, hm_query_text(&q, 5)),
                             .flow_steps = flow_steps_of(toggles),
                             .threads = hm_query_int(&q, 6) > 0 ? (int)hm_query_int(&q, 6) : 0,
                             .isa = keep(r->data, hm_query_text(&q, 7))};
        r->toggles[n] = toggles;
        if (r->arms[n].base >= 0)
            r->arms[n].changes = changed_toggles(r->data, r->toggles[r->arms[n].base], toggles);
        r->s.arm_count++;
    }
    return hm_query_close(&q);
}

static hm_status read_cases(reading *r)
{
    hm_query q;
    hm_query_open(
        &q, r->store,
        "SELECT c.id, c.suite, c.name, c.lyrics, c.frames, c.flow_steps, c.words FROM suite_case c "
        "WHERE c.id IN (SELECT u.case_id FROM run u JOIN arm a ON a.id = u.arm_id WHERE u.session_id = :id AND a.model = :model) ORDER BY c.frames, c.suite, c.name, c.id",
        r->err);
    hm_bind_text(&q, ":id", r->s.id);
    hm_bind_text(&q, ":model", r->model);
    while (hm_query_row(&q) && !r->data->failed) {
        char label[256];
        int n = r->s.case_count;
        r->cases = grown(r->data, r->cases, n, sizeof *r->cases);
        r->case_ids = grown(r->data, r->case_ids, n, sizeof *r->case_ids);
        if (r->data->failed)
            break;
        snprintf(label, sizeof label, "%s/%s", hm_query_text(&q, 1), hm_query_text(&q, 2));
        snprintf(r->case_ids[n], HM_HASH_TEXT, "%s", hm_query_text(&q, 0));
        r->cases[n] = (hm_journal_case){.label = keep_or(r->data, label, "?"),
                                        .words = hm_query_int(&q, 6) == HM_UNKNOWN ? hm_count_words(hm_query_text(&q, 3))
                                                                                   : small(hm_query_int(&q, 6)),
                                        .frames = (int)hm_query_int(&q, 4),
                                        .flow_steps = (int)hm_query_int(&q, 5)};
        r->s.case_count++;
    }
    return hm_query_close(&q);
}

static int arm_index(const reading *r, const char *id)
{
    for (int i = 0; i < r->s.arm_count && id; i++)
        if (!strcmp(r->arm_ids[i], id))
            return i;
    return -1;
}

static int case_index(const reading *r, const char *id)
{
    for (int i = 0; i < r->s.case_count && id; i++)
        if (!strcmp(r->case_ids[i], id))
            return i;
    return -1;
}

static gatherer *gatherer_of(const reading *r, const char *arm_id, const char *case_id)
{
    int a = arm_index(r, arm_id), c = case_index(r, case_id);
    return a < 0 || c < 0 ? NULL : &r->gatherers[a * r->s.case_count + c];
}

/* ---- samples ---- */

/* Running mean; sd holds the sum of squared deviations until all are there (Welford). */
static void add(hm_journal_stat *stat, double value)
{
    if (isnan(value))
        return;
    double off = value - stat->mean;
    stat->n++;
    stat->mean += off / stat->n;
    stat->sd += off * (value - stat->mean);
}

static void finish_stat(hm_journal_stat *stat)
{
    stat->sd = stat->n > 1 ? sqrt(stat->sd / (stat->n - 1)) : NAN;
}

static void largest(double *value, int64_t bytes)
{
    if (bytes != HM_UNKNOWN && !(*value >= (double)bytes / 1e6))
        *value = (double)bytes / 1e6;
}

static void remember_hash(gatherer *g, char known[40], const char *hash)
{
    if (!hash)
        return;
    if (*known && strcmp(known, hash))
        g->unstable = true;
    snprintf(known, 40, "%s", hash);
}

static const char sample_columns[] =
    "SELECT r.arm_id, r.case_id, r.round, s.wall_ns, s.prefill_ns, s.generate_ns, s.decode_ns, s.load_ns, s.frames, s.codebooks, "
    "s.audio_s, "
    "s.frame_weight_bytes, s.frame_flops, s.peak_unmapped_bytes, s.peak_rss_bytes, s.codes_hash, s.audio_hash, s.sample_rate_hz, "
    "s.channels, "
    "s.bits, s.bit_rate_kbps, s.peak, s.rms, s.silence_share, s.codec, s.health, s.health_reasons, o.codes_equal, o.first_frame, "
    "o.differing_codes, o.max_logit_difference, s.codec_frame_flops, s.codec_bytes, s.distinct_weight_bytes, s.overlapped_ns "
    "FROM run r JOIN sample s ON s.run_id = r.id LEFT JOIN output o ON o.sample_id = s.id "
    "WHERE r.session_id = :id AND r.status = 'ok' AND r.dropped_reason IS NULL AND NOT s.warmup AND r.round >= 0 "
    "ORDER BY r.round, r.slot, r.id, s.ordinal";

static double real_of(int64_t value)
{
    return value == HM_UNKNOWN ? NAN : (double)value;
}

static int by_wall(const void *a, const void *b)
{
    double x = ((const generation *)a)->ms[WALL], y = ((const generation *)b)->ms[WALL];
    return (x > y) - (x < y);
}

/* One process is one value, as for verdicts: the generation whose wall is the median, the mean of the middle two where they are even.
 * So its phases and the rest are its wall. */
static void end_round(gatherer *g)
{
    hm_journal_result *x = &g->result;
    hm_journal_stat *const stats[TIMES] = {&x->wall_ms, &x->prefill_ms, &x->generate_ms, &x->decode_ms, &x->other_ms, &x->load_ms};
    int n = g->pending_count;
    g->pending_count = 0;
    if (!n)
        return;
    qsort(g->pending, (size_t)n, sizeof *g->pending, by_wall);
    const generation *low = &g->pending[(n - 1) / 2], *high = &g->pending[n / 2];
    for (int i = 0; i < TIMES; i++)
        add(stats[i], (low->ms[i] + high->ms[i]) / 2);
    x->n++;
    g->rounds[g->pending_round] = (low->ms[WALL] + high->ms[WALL]) / 2;
    g->drawing[g->pending_round] = (low->ms[PREFILL] + high->ms[PREFILL] + low->ms[GENERATE] + high->ms[GENERATE]) / 2;
}

static double ms_of(int64_t ns)
{
    return ns == HM_UNKNOWN ? NAN : (double)ns / 1e6;
}

static void take_times(gatherer *g, hm_query *q)
{
    generation t = {{[WALL] = ms_of(hm_query_int(q, 3)),
                     [PREFILL] = ms_of(hm_query_int(q, 4)),
                     [GENERATE] = ms_of(hm_query_int(q, 5)),
                     [DECODE] = ms_of(hm_query_int(q, 6)),
                     [LOAD] = ms_of(hm_query_int(q, 7))}};
    t.ms[OTHER] = t.ms[WALL] - t.ms[PREFILL] - t.ms[GENERATE] - t.ms[DECODE];
    if (g->pending_count < MOST_GENERATIONS)
        g->pending[g->pending_count++] = t;
}

static int health_rank(const char *health)
{
    return !health ? 0 : !strcmp(health, "ok") ? 1 : !strcmp(health, "suspect") ? 2 : 3;
}

/* The worst stands. */
static void take_health(reading *r, hm_journal_result *x, const char *health, const char *reasons)
{
    if (health_rank(health) <= health_rank(x->health))
        return;
    x->health = keep(r->data, health);
    x->health_reasons = keep(r->data, reasons);
}

/* Facts that are the same in every round: the last one stands. */
static void take_facts(reading *r, gatherer *g, hm_query *q)
{
    hm_journal_result *x = &g->result;
    x->frames = real_of(hm_query_int(q, 8));
    x->codebooks = real_of(hm_query_int(q, 9));
    x->audio_s = hm_query_real(q, 10);
    x->frame_weight_mb = real_of(hm_query_int(q, 11)) / 1e6;
    x->frame_gflop = hm_query_real(q, 12) / 1e9;
    largest(&x->mem_mb, hm_query_int(q, 13));
    largest(&x->peak_rss_mb, hm_query_int(q, 14));
    remember_hash(g, g->codes, hm_query_text(q, 15));
    remember_hash(g, g->audio, hm_query_text(q, 16));
    x->sample_rate_hz = small(hm_query_int(q, 17));
    x->channels = small(hm_query_int(q, 18));
    x->bits = small(hm_query_int(q, 19));
    x->bit_rate_kbps = hm_query_real(q, 20);
    x->peak = hm_query_real(q, 21);
    x->rms = hm_query_real(q, 22);
    x->silence_share = hm_query_real(q, 23);
    x->codec = keep(r->data, hm_query_text(q, 24));
    take_health(r, x, hm_query_text(q, 25), hm_query_text(q, 26));
    x->codec_frame_gflop = hm_query_real(q, 31) / 1e9;
    x->codec_weight_mb = real_of(hm_query_int(q, 32)) / 1e6;
    x->distinct_weight_mb = real_of(hm_query_int(q, 33)) / 1e6;
    x->overlapped_ms = real_of(hm_query_int(q, 34)) / 1e6;
    if (hm_query_int(q, 27) == HM_UNKNOWN)
        return;
    g->codes_checked = true;
    if (!hm_query_int(q, 27)) {
        g->codes_differ = true;
        x->first_frame = hm_query_int(q, 28) == HM_UNKNOWN ? -1 : hm_query_int(q, 28);
        x->differing_codes = hm_query_int(q, 29);
    }
    double difference = hm_query_real(q, 30);
    if (!(x->max_logit_difference >= difference))
        x->max_logit_difference = difference;
}

static hm_status read_samples(reading *r)
{
    hm_query q;
    gatherer *last = NULL;
    generation *pending = take(r->data, MOST_GENERATIONS, sizeof *pending);
    if (!pending)
        return out_of_memory(r->err);
    hm_query_open(&q, r->store, sample_columns, r->err);
    hm_bind_text(&q, ":id", r->s.id);
    while (hm_query_row(&q)) {
        gatherer *g = gatherer_of(r, hm_query_text(&q, 0), hm_query_text(&q, 1));
        int round = small(hm_query_int(&q, 2));
        if (!g || round >= r->s.rounds)
            continue;
        if (last && (last != g || last->pending_round != round))
            end_round(last);
        last = g;
        g->pending = pending;
        g->pending_round = round;
        take_times(g, &q);
        take_facts(r, g, &q);
    }
    if (last)
        end_round(last);
    return hm_query_close(&q);
}

static hm_status read_spans(reading *r)
{
    hm_query q;
    hm_query_open(
        &q, r->store,
        "SELECT r.arm_id, r.case_id, p.name, avg(p.count), avg(p.total_ns), avg(p.self_ns) FROM run r JOIN sample s ON s.run_id = r.id "
        "JOIN span p ON p.sample_id = s.id WHERE r.session_id = :id AND r.status = 'ok' AND r.dropped_reason IS NULL AND NOT s.warmup "
        "GROUP BY r.arm_id, r.case_id, p.name ORDER BY r.arm_id, r.case_id, p.name",
        r->err);
    hm_bind_text(&q, ":id", r->s.id);
    while (hm_query_row(&q) && !r->data->failed) {
        gatherer *g = gatherer_of(r, hm_query_text(&q, 0), hm_query_text(&q, 1));
        if (!g)
            continue;
        hm_journal_span *spans = grown(r->data, (void *)(uintptr_t)g->result.spans, g->result.span_count, sizeof *spans);
        if (!spans)
            break;
        spans[g->result.span_count++] = (hm_journal_span){keep_or(r->data, hm_query_text(&q, 2), "?"), hm_query_real(&q, 3),
                                                          hm_query_real(&q, 4) / 1e6, hm_query_real(&q, 5) / 1e6};
        g->result.spans = spans;
    }
    return hm_query_close(&q);
}

static hm_status read_failures(reading *r)
{
    hm_query q;
    hm_journal_failure *list = NULL;
    hm_query_open(&q, r->store,
                  "SELECT arm_id, case_id, status, reason, round FROM run WHERE session_id = :id AND status <> 'ok' "
                  "ORDER BY round, slot, case_id, id",
                  r->err);
    hm_bind_text(&q, ":id", r->s.id);
    while (hm_query_row(&q) && !r->data->failed) {
        int arm = arm_index(r, hm_query_text(&q, 0)), kase = case_index(r, hm_query_text(&q, 1));
        list = grown(r->data, list, r->s.failure_count, sizeof *list);
        if (!list)
            break;
        if (arm < 0 || kase < 0) /* another model's */
            continue;
        r->gatherers[arm * r->s.case_count + kase].result.failed++;
        list[r->s.failure_count++] = (hm_journal_failure){r->arms[arm].name, r->cases[kase].label, keep(r->data, hm_query_text(&q, 2)),
                                                          keep(r->data, hm_query_text(&q, 3)), (int)hm_query_int(&q, 4)};
    }
    r->s.failures = list;
    return hm_query_close(&q);
}

/* ---- for store_figures.c ---- */

hm_journal_session *hm_reading_session(hm_reading *r)
{
    return &r->s;
}

int hm_reading_arm(const hm_reading *r, const char *id)
{
    return arm_index(r, id);
}

int hm_reading_case(const hm_reading *r, const char *id)
{
    return case_index(r, id);
}

const char *hm_reading_arm_name(const hm_reading *r, int arm)
{
    return r->arms[arm].name;
}

const char *hm_reading_label(const hm_reading *r, int kase)
{
    return r->cases[kase].label;
}

hm_journal_result *hm_reading_result(hm_reading *r, const char *arm_id, const char *case_id)
{
    gatherer *g = gatherer_of(r, arm_id, case_id);
    return g ? &g->result : NULL;
}

const char *hm_reading_keep(hm_reading *r, const char *text)
{
    return keep(r->data, text);
}

void *hm_reading_grown(hm_reading *r, const void *old, int count, size_t size)
{
    return grown(r->data, (void *)(uintptr_t)old, count, size);
}

void hm_reading_ask(hm_reading *r, hm_query *q, const char *sql)
{
    hm_query_open(q, r->store, sql, r->err);
    hm_bind_text(q, ":id", r->s.id);
}

/* ---- a session ---- */

static hm_journal_output judge_output(const gatherer *g, const gatherer *reference)
{
    if (g->unstable)
        return HM_OUTPUT_UNSTABLE;
    if (!g->result.n || !*g->codes)
        return HM_OUTPUT_UNKNOWN;
    if (g == reference)
        return HM_OUTPUT_REFERENCE;
    if (!*reference->codes)
        return !g->codes_checked ? HM_OUTPUT_UNKNOWN : g->codes_differ ? HM_OUTPUT_DIFFERENT : HM_OUTPUT_CODES;
    if (strcmp(g->codes, reference->codes))
        return HM_OUTPUT_DIFFERENT;
    return !strcmp(g->audio, reference->audio) ? HM_OUTPUT_EQUAL : HM_OUTPUT_CODES; /* transcripts have none */
}

static bool open_gatherers(reading *r)
{
    int count = r->s.arm_count * r->s.case_count;
    r->gatherers = take(r->data, (size_t)count, sizeof *r->gatherers);
    for (int i = 0; i < count && !r->data->failed; i++) {
        gatherer *g = &r->gatherers[i];
        g->result = hm_journal_result_none();
        g->rounds = take(r->data, (size_t)r->s.rounds, sizeof *g->rounds);
        g->drawing = take(r->data, (size_t)r->s.rounds, sizeof *g->drawing);
        for (int k = 0; k < r->s.rounds && g->rounds && g->drawing; k++)
            g->rounds[k] = g->drawing[k] = NAN;
    }
    return !r->data->failed;
}

static void finish_results(reading *r)
{
    int count = r->s.arm_count * r->s.case_count;
    hm_journal_result *results = take(r->data, (size_t)count, sizeof *results);
    for (int i = 0; i < count && results; i++) {
        gatherer *g = &r->gatherers[i], *reference = &r->gatherers[i % r->s.case_count];
        hm_journal_stat *const stats[] = {&g->result.wall_ms,   &g->result.prefill_ms, &g->result.generate_ms,
                                          &g->result.decode_ms, &g->result.other_ms,   &g->result.load_ms};
        for (size_t k = 0; k < sizeof stats / sizeof *stats; k++)
            finish_stat(stats[k]);
        g->result.wall_by_round_ms = g->rounds;
        g->result.drawing_by_round_ms = g->drawing;
        g->result.software = r->arms[i / r->s.case_count].software;
        g->result.gpu = r->arms[i / r->s.case_count].device != NULL;
        g->result.output = judge_output(g, reference);
        if (g->result.output == HM_OUTPUT_EQUAL && *g->audio)
            g->result.snr_db = g->result.spectral_snr_db = INFINITY;
        results[i] = g->result;
    }
    r->s.results = results;
    r->s.arms = r->arms;
    r->s.cases = r->cases;
}

/* The folder names the model: made weights may be equal in several. */
static hm_status read_models(reading *r)
{
    char name[256] = "no model", ids[512] = "";
    hm_query q;
    hm_query_open(&q, r->store,
                  "SELECT id, synthetic FROM model WHERE id IN (SELECT u.model_id FROM run u JOIN arm a ON a.id = u.arm_id "
                  "WHERE u.session_id = :id AND a.model = :model) ORDER BY id",
                  r->err);
    hm_bind_text(&q, ":id", r->s.id);
    hm_bind_text(&q, ":model", r->model);
    while (hm_query_row(&q)) {
        hm_model_name(r->model, name, sizeof name);
        snprintf(ids + strlen(ids), sizeof ids - strlen(ids), "%s%s", *ids ? ", " : "", hm_query_text(&q, 0));
        r->s.synthetic = r->s.synthetic || hm_query_int(&q, 1) == 1;
    }
    r->s.model = keep_or(r->data, name, "no model");
    r->s.model_ids = keep_or(r->data, *ids ? ids : "-", "-");
    return hm_query_close(&q);
}

static hm_status read_session(reading *r)
{
    hm_status st = read_models(r);
    if (!st)
        st = read_arms(r);
    if (!st)
        st = read_cases(r);
    if (!st && !open_gatherers(r))
        st = out_of_memory(r->err);
    if (!st)
        st = read_samples(r);
    if (!st)
        st = read_spans(r);
    if (!st)
        st = read_failures(r);
    if (!st)
        st = hm_reading_figures(r);
    if (!st)
        finish_results(r);
    return !st && r->data->failed ? out_of_memory(r->err) : st;
}

/* Everything of the session, its machine and its build that is one row. */
static const char session_columns[] =
    "SELECT s.id, s.created_utc, s.state, s.command_line, s.rounds, m.cpu_model, m.os, m.kernel, m.governor, m.container, m.cpus, m.cores, "
    "m.smt, "
    "m.memory_bytes, m.cpu_quota, b.version, b.git_commit, b.git_dirty, b.compiler, b.flags, b.build_type, b.sanitizer, "
    "(SELECT max(value) FROM machine_figure f WHERE f.session_id = s.id AND f.name = 'cache'), "
    "(SELECT max(value) FROM machine_figure f WHERE f.session_id = s.id AND f.name = 'memory'), "
    "(SELECT max(value) FROM machine_figure f WHERE f.session_id = s.id AND f.name = 'flops' AND f.type = 'f32'), "
    "(SELECT max(block_bytes) FROM machine_figure f WHERE f.session_id = s.id AND f.name = 'cache'), "
    "(SELECT max(value) FROM machine_figure f WHERE f.session_id = s.id AND f.name = 'flops' AND f.type = 'int8') "
    "FROM session s JOIN machine m ON m.id = s.machine_id JOIN build b ON b.id = s.build_id "
    "WHERE (:session IS NULL OR (:key IS NOT NULL AND EXISTS(SELECT 1 FROM session_tag t WHERE t.session_id = s.id AND t.key = :key AND "
    "t.value = :value)) OR (:key IS NULL AND substr(s.id, 1, length(:session)) = :session) OR (:session = 'last' AND s.id = (SELECT id FROM session ORDER BY created_utc "
    "DESC, "
    "id DESC LIMIT 1))) "
    "AND (:since IS NULL OR s.created_utc >= coalesce((SELECT min(created_utc) FROM session WHERE substr(id, 1, length(:since)) = :since), :since)) "
    "ORDER BY s.created_utc, s.id";

static hm_journal_session session_row(hm_journal_data *d, hm_query *q)
{
    int64_t rounds = hm_query_int(q, 4);
    return (hm_journal_session){.id = keep_or(d, hm_query_text(q, 0), "?"),
                                .created_utc = keep_or(d, hm_query_text(q, 1), "?"),
                                .state = keep_or(d, hm_query_text(q, 2), "?"),
                                .command_line = keep_or(d, hm_query_text(q, 3), "?"),
                                .rounds = rounds < 0        ? 0
                                          : rounds > 100000 ? 100000
                                                            : (int)rounds,
                                .cpu = keep_or(d, hm_query_text(q, 5), "?"),
                                .os = keep_or(d, hm_query_text(q, 6), "?"),
                                .kernel = keep_or(d, hm_query_text(q, 7), "?"),
                                .governor = keep(d, hm_query_text(q, 8)),
                                .container = keep(d, hm_query_text(q, 9)),
                                .cpus = small(hm_query_int(q, 10)),
                                .cores = hm_query_int(q, 11) == HM_UNKNOWN ? -1 : small(hm_query_int(q, 11)),
                                .smt = hm_query_int(q, 12) == HM_UNKNOWN ? -1 : small(hm_query_int(q, 12)),
                                .memory_gb = real_of(hm_query_int(q, 13)) / 1e9,
                                .cpu_quota = hm_query_real(q, 14),
                                .cache_gb_s = hm_query_real(q, 22),
                                .memory_gb_s = hm_query_real(q, 23),
                                .peak_gflop_s = hm_query_real(q, 24),
                                .cache_mb = real_of(hm_query_int(q, 25)) / 1e6,
                                .peak_int8_gop_s = hm_query_real(q, 26),
                                .version = keep_or(d, hm_query_text(q, 15), "?"),
                                .commit = keep(d, hm_query_text(q, 16)),
                                .dirty = hm_query_int(q, 17) == 1,
                                .compiler = keep_or(d, hm_query_text(q, 18), "?"),
                                .flags = keep_or(d, hm_query_text(q, 19), "?"),
                                .build_type = keep_or(d, hm_query_text(q, 20), "?"),
                                .sanitizer = keep(d, hm_query_text(q, 21))};
}

/* A row may have gone on with more rounds than it first wanted: the largest there is counts. */
static hm_status count_rounds(hm_store *store, hm_journal_session *s, hm_error *err)
{
    hm_query q;
    hm_query_open(&q, store, "SELECT max(round) + 1 FROM run WHERE session_id = :id", err);
    hm_bind_text(&q, ":id", s->id);
    if (hm_query_row(&q))
        s->rounds = small(hm_query_int(&q, 0)) < 100000 ? small(hm_query_int(&q, 0)) : 100000;
    return hm_query_close(&q);
}

/* The models of a session, in the order of its arms, at most `most`; *count of them. */
static hm_status read_model_list(hm_journal_data *d, hm_store *store, const char *session, const char **models, int most, int *count,
                                 hm_error *err)
{
    hm_query q;
    *count = 0;
    hm_query_open(&q, store, "SELECT model FROM arm WHERE session_id = :id GROUP BY model ORDER BY min(position)", err);
    hm_bind_text(&q, ":id", session);
    while (hm_query_row(&q) && *count < most)
        models[(*count)++] = keep_or(d, hm_query_text(&q, 0), "");
    return hm_query_close(&q);
}

static hm_status read_all(hm_store *store, const hm_journal_filter *filter, hm_journal_data *d, hm_error *err)
{
    enum {
        MAX_MODELS = 64
    };
    const char *models[MAX_MODELS];
    hm_journal_session *rows = NULL, *sessions = NULL;
    hm_query q;
    int row_count = 0, count = 0;
    char key[64];
    const char *equals = filter->session ? strchr(filter->session, '=') : NULL;
    snprintf(key, sizeof key, "%.*s", equals ? (int)(equals - filter->session) : 0, equals ? filter->session : "");
    hm_query_open(&q, store, session_columns, err);
    hm_bind_text(&q, ":session", filter->session);
    hm_bind_text(&q, ":key", equals ? key : NULL);
    hm_bind_text(&q, ":value", equals ? equals + 1 : NULL);
    hm_bind_text(&q, ":since", filter->since);
    while (hm_query_row(&q) && !d->failed) {
        rows = grown(d, rows, row_count, sizeof *rows);
        if (rows)
            rows[row_count++] = session_row(d, &q);
    }
    hm_status st = hm_query_close(&q);
    for (int i = 0; i < row_count && !st; i++) {
        st = count_rounds(store, &rows[i], err);
        if (!st)
            st = read_model_list(d, store, rows[i].id, models, MAX_MODELS, &count, err);
        for (int m = 0; m < count && !st; m++) {
            reading r = {.data = d, .store = store, .err = err, .s = rows[i], .model = models[m]};
            st = read_session(&r);
            sessions = grown(d, sessions, d->journal.session_count, sizeof *sessions);
            if (sessions)
                sessions[d->journal.session_count++] = r.s;
        }
    }
    if (!st && d->failed)
        st = out_of_memory(err);
    d->journal.sessions = sessions;
    if (!st && !d->journal.session_count && (filter->session || filter->since))
        st = hm_fail(err, HM_EMISSING, "database %s: no session %s%s (hmbench db sql 'SELECT id, created_utc FROM session')", store->path,
                     equals            ? "has the tag "
                     : filter->session ? "begins with "
                                       : "since ",
                     filter->session ? filter->session : filter->since);
    return st;
}

hm_status hm_store_get_journal(hm_store *store, const hm_journal_filter *filter, hm_journal_data **out, hm_error *err)
{
    hm_journal_data *d = hm_calloc(1, sizeof *d, "journal", err);
    if (!d)
        return HM_EABSENT;
    hm_status st = read_all(store, filter, d, err);
    if (st)
        hm_journal_data_free(&d);
    *out = d;
    return st;
}
