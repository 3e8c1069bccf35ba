#define _GNU_SOURCE /* vasprintf */
#include "harness/plan.h"

#include <math.h>
#include <regex.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "harness/axis.h"
#include "harness/case.h"
#include "harness/plan_arms.h"
#include "harness/recording.h"
#include "harness/settings.h"

hm_status hm_plan_split(const char *list, char **buffer, hm_strings *out, hm_error *err)
{
    enum {
        ROOM = (int)(sizeof out->items / sizeof *out->items)
    };
    char *text = strdup(list), *last = NULL;
    *buffer = NULL;
    out->count = 0;
    if (!text)
        return hm_fail(err, HM_EABSENT, "variants: out of memory");
    for (char *p = text, *next; p; p = next) {
        char *comma = strchr(p, ',');
        next = comma ? comma + 1 : NULL;
        if (comma)
            *comma = 0;
        const char *equals = strchr(p, '='), *colon = strchr(p, ':');
        if (equals && !colon) {
            if (!last || !strchr(last, ':')) {
                hm_status st =
                    hm_fail(err, HM_EUSAGE, "variant list \"%.100s\": \"%.60s\" belongs to no variant; write NAME:%.60s", list, p, p);
                free(text);
                return st;
            }
            p[-1] = ','; /* the comma belongs to the variant before */
            continue;
        }
        if (!*p || out->count == ROOM) {
            hm_status st = *p ? hm_fail(err, HM_EUSAGE, "variant list: more than %d", ROOM)
                              : hm_fail(err, HM_EUSAGE, "variant list \"%.100s\": an empty name between commas", list);
            free(text);
            return st;
        }
        out->items[out->count++] = last = p;
    }
    *buffer = text;
    return HM_OK;
}

bool hm_plan_same_output(const hm_plan_arm *a, const hm_plan_arm *b)
{
    return !a->command && !b->command && !strcmp(a->model, b->model) && !strcmp(a->isa, b->isa) && !strcmp(a->backend, b->backend) &&
           !strcmp(a->device, b->device) && hm_toggles_distance(&a->toggles, &b->toggles) == HM_KIND_BITWISE;
}

bool hm_plan_runs(const hm_plan *plan, int case_index, int arm)
{
    const hm_case_record *c = &plan->cases[case_index];
    const hm_plan_arm *a = &plan->arms[arm];
    return a->any_case || hm_model_makes(&a->look, c->task, c->kind);
}

int hm_plan_pairs(const hm_plan *plan)
{
    int pairs = 0;
    for (int c = 0; c < plan->case_count; c++)
        for (int a = 0; a < plan->arm_count; a++)
            pairs += hm_plan_runs(plan, c, a);
    return pairs;
}

/* Cases that no arm runs go. */
static void leave_out(hm_plan *plan)
{
    int kept = 0, gone = 0;
    char *text = plan->left_out;
    size_t size = sizeof plan->left_out;
    for (int c = 0; c < plan->case_count; c++) {
        const hm_case_record *r = &plan->cases[c];
        bool wanted = false;
        for (int a = 0; a < plan->arm_count && !wanted; a++)
            wanted = hm_plan_runs(plan, c, a);
        if (wanted) {
            plan->cases[kept++] = *r;
            continue;
        }
        if (gone++ < 4)
            snprintf(text + strlen(text), size - strlen(text), "%s%s/%s (%s: --model %s)",
                     gone > 1 ? ", " : "left out, as no model here makes them: ", r->suite, r->name, hm_plan_case_needs(r),
                     hm_model_default(r->task, r->kind));
    }
    if (gone > 4)
        snprintf(text + strlen(text), size - strlen(text), " and %d more", gone - 4);
    plan->case_count = kept;
}

/* Of all arms the named ones, in their order. */
static hm_status keep_arms(hm_plan *plan, const hm_strings *names, hm_error *err)
{
    const char *all[HM_PLAN_ARMS + 1] = {0};
    int kept = 0;
    for (int a = 0; a < plan->arm_count; a++)
        all[a] = plan->arms[a].name;
    for (int i = 0; i < names->count; i++) {
        bool there = false;
        for (int a = 0; a < plan->arm_count && !there; a++)
            there = !strcmp(all[a], names->items[i]);
        char near[HM_SUGGESTION];
        if (!there)
            return hm_fail(err, HM_EUSAGE, "--only-arm \"%.100s\": there is no such arm%s (--dry-run names them)", names->items[i],
                           hm_did_you_mean(near, names->items[i], all));
    }
    for (int a = 0; a < plan->arm_count; a++) {
        bool wanted = !names->count;
        for (int i = 0; i < names->count && !wanted; i++)
            wanted = !strcmp(plan->arms[a].name, names->items[i]);
        if (wanted && kept != a)
            plan->arms[kept] = plan->arms[a];
        kept += wanted;
    }
    plan->arm_count = kept;
    return HM_OK;
}

/* XXH3-128 of a formatted text of any length. */
__attribute__((format(printf, 3, 4))) static hm_status hash_format(char out[HM_HASH_TEXT], hm_error *err, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    if (n < 0)
        return hm_fail(err, HM_EABSENT, "plan: out of memory");
    hm_hash_text(out, text, (size_t)n);
    free(text);
    return HM_OK;
}

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

/* What decides the codes. */
static hm_status hash_music(hm_case_record *c, hm_error *err)
{
    return hash_format(c->request_hash, err, "%s\1%s\1%s\1%s\1%s\1%s\1%d %d %.17g %.17g %llu", c->task, c->tags, c->lyrics,
                       or_empty(c->intro_style), or_empty(c->verse_style), or_empty(c->chorus_style), c->frames, c->topk, c->cfg_scale,
                       c->temperature, (unsigned long long)c->seed);
}

static hm_status hash_speech(hm_case_record *c, hm_error *err)
{
    char reference[HM_HASH_TEXT] = "";
    hm_status st = c->reference ? hm_hash_file(reference, c->reference, err) : HM_OK;
    if (st)
        return hm_fail_within(err, "suite: the reference of a case");
    return hash_format(c->request_hash, err, "%s\1%s\1%s\1%s\1%s\1%s\1%s\1%s\1%d %d %d %d %.17g %.17g %.17g %.17g %.17g %llu", c->task,
                       c->kind, c->text, or_empty(c->speaker), or_empty(c->language), or_empty(c->instruct), reference,
                       or_empty(c->reference_text), c->frames, c->topk, c->sub_topk, c->streaming_text, c->temperature, c->top_p,
                       c->repetition_penalty, c->sub_temperature, c->sub_top_p, (unsigned long long)c->seed);
}

/* How many windows lie side by side changes no token. */
static hm_status hash_transcript(hm_case_record *c, hm_error *err)
{
    char song[HM_HASH_TEXT] = "";
    hm_case_record sung = *c;
    hm_status st = hm_case_is_sung(c) ? hash_music(&sung, err) : HM_OK;
    if (st)
        return st;
    if (hm_case_is_sung(c))
        memcpy(song, sung.request_hash, sizeof song);
    return hash_format(c->request_hash, err, "%s\1%s\1%s\1%s\1%.17g %.17g %d %d %llu", c->task, c->recording, song, or_empty(c->language),
                       c->audio_s, c->chunk_s, c->window_tokens, c->beams, (unsigned long long)c->seed);
}

static hm_status hash_request(hm_case_record *c, hm_error *err)
{
    hm_task task = hm_case_task(c);
    return task == HM_TASK_SPEECH ? hash_speech(c, err) : task == HM_TASK_TRANSCRIPT ? hash_transcript(c, err) : hash_music(c, err);
}

/* What a case is changed to, and the end of its name that tells: "@speed", "@batch-size=4,chunk-length=20". */
typedef struct variation {
    const char *settings;      /* NULL: its own */
    const char *batch, *chunk; /* of transcripts, from axes; NULL: its own */
    char suffix[160];
} variation;

static void name_variation(variation *v)
{
    const char *const values[][2] = {{"", v->settings}, {"batch-size=", v->batch}, {"chunk-length=", v->chunk}};
    size_t used = 0;
    v->suffix[0] = 0;
    for (int i = 0; i < 3; i++)
        if (values[i][1] && used < sizeof v->suffix)
            used += (size_t)snprintf(v->suffix + used, sizeof v->suffix - used, "%c%s%.40s", used ? ',' : '@', values[i][0], values[i][1]);
}

static hm_status read_number(const char *what, const char *text, double least, double most, bool whole, double *out, hm_error *err)
{
    char *end;
    *out = strtod(text, &end);
    if (end == text || *end || !(*out >= least && *out <= most) || (whole && *out != rint(*out)))
        return hm_fail(err, HM_EUSAGE, "--axis %s: \"%.40s\": expected %snumbers from %g to %g", what, text, whole ? "whole " : "", least,
                       most);
    return HM_OK;
}

/* The case under another name, with the settings and with other windows. */
static hm_status vary_case(hm_plan *plan, hm_case_record *r, const variation *v, hm_error *err)
{
    double batch = r->batch;
    const hm_settings *s = hm_settings_find(v->settings);
    char near[HM_SUGGESTION];
    hm_status st = HM_OK;
    if (v->settings && !s)
        return hm_fail(err, HM_EUSAGE, "--settings \"%.40s\": there are none of this name%s (hmbench list settings)", v->settings,
                       hm_did_you_mean(near, v->settings, hm_settings_names));
    if (v->batch)
        st = read_number("batch-size", v->batch, 1, 1024, true, &batch, err);
    if (!st && v->chunk)
        st = read_number("chunk-length", v->chunk, 1, HM_TRANSCRIPT_WINDOW_S, false, &r->chunk_s, err);
    if (!st && r->recording && hm_suite_windows(r->audio_s, r->chunk_s) * r->window_tokens > HM_SUITE_MOST_TOKENS)
        st = hm_fail(err, HM_EUSAGE, "--axis chunk-length: %s: more than %d tokens in all windows", r->name, HM_SUITE_MOST_TOKENS);
    size_t size = strlen(r->name) + strlen(v->suffix) + 1;
    char *name = st ? NULL : hm_calloc(1, size, "plan", err);
    if (!name)
        return st ? st : HM_EABSENT;
    if (s)
        hm_settings_apply(s, r);
    r->batch = (int)batch;
    if (r->recording)
        r->frames = hm_suite_windows(r->audio_s, r->chunk_s) * r->window_tokens;
    snprintf(name, size, "%s%s", r->name, v->suffix);
    r->name = plan->case_names[plan->case_name_count++] = name;
    return HM_OK;
}

/* Where its recording lies; it is made when something runs. */
static hm_status set_recording(hm_plan *plan, hm_case_record *r, hm_error *err)
{
    char path[HM_MODEL_PATH];
    if (plan->recording_count == HM_PLAN_CASES)
        return hm_fail(err, HM_EUSAGE, "more than %d cases: narrow them with --filter", HM_PLAN_CASES);
    hm_status st = hm_recording_path(path, sizeof path, r->audio_s, r->seed, err);
    char *own = st ? NULL : strdup(path);
    if (!st && !own)
        st = hm_fail(err, HM_EABSENT, "plan: out of memory");
    if (!st)
        r->recording_path = plan->recordings[plan->recording_count++] = own;
    return st;
}

static hm_status add_case(hm_plan *plan, const hm_suite *suite, const hm_suite_case *c, const variation *v, hm_error *err)
{
    if (plan->case_count == HM_PLAN_CASES)
        return hm_fail(err, HM_EUSAGE, "more than %d cases: narrow them with --filter", HM_PLAN_CASES);
    hm_case_record *r = &plan->cases[plan->case_count];
    if (plan->case_name_count == HM_PLAN_CASES)
        return hm_fail(err, HM_EUSAGE, "more than %d cases: narrow them with --filter", HM_PLAN_CASES);
    *r = hm_case_of(suite, c);
    hm_status st = *v->suffix ? vary_case(plan, r, v, err) : HM_OK;
    if (st)
        return st;
    st = hash_request(r, err);
    if (!st && r->recording)
        st = hash_format(r->id, err, "%s\1%s\1%s\1%d %d %.17g", suite->name, r->name, r->request_hash, r->batch, c->flow_steps,
                         c->flow_guidance);
    else if (!st)
        st = hash_format(r->id, err, "%s\1%s\1%s\1%d %.17g", suite->name, r->name, r->request_hash, c->flow_steps, c->flow_guidance);
    if (!st && r->recording && !hm_case_is_sung(r))
        st = set_recording(plan, r, err);
    for (int i = 0; i < plan->case_count && !st; i++)
        if (!strcmp(plan->cases[i].id, r->id))
            return HM_OK; /* the same suite was named twice */
    plan->case_count += !st;
    return st;
}

static hm_status nothing_matches(const hm_plan *plan, const hm_plan_options *o, int total, hm_error *err)
{
    const char *names[HM_PLAN_CASES + 1] = {0}; /* without the suite's: that is what people write */
    char near[HM_SUGGESTION];
    int n = 0;
    for (int s = 0; s < plan->suite_count; s++)
        for (int k = 0; k < plan->suites[s]->case_count && n < HM_PLAN_CASES; k++)
            names[n++] = plan->suites[s]->cases[k].name;
    const char *filter = or_empty(o->filter), *slash = strrchr(filter, '/');
    return hm_fail(err, HM_EUSAGE, "--filter \"%.100s\": matches none of %d cases (they are named suite/case)%s", filter, total,
                   hm_did_you_mean(near, slash ? slash + 1 : filter, names));
}

/* Axes of cases: every transcript in each way of cutting it into windows. */
typedef struct sweeps {
    hm_axis batch, chunk;
    bool used;
} sweeps;

bool hm_plan_is_case_axis(const char *text)
{
    return !strncmp(text, "batch-size=", 11) || !strncmp(text, "chunk-length=", 13);
}

static hm_status read_sweeps(sweeps *s, const hm_strings *axes, hm_error *err)
{
    hm_status st = HM_OK;
    for (int i = 0; i < axes->count && !st; i++) {
        const char *text = axes->items[i];
        bool batch = !strncmp(text, "batch", 5);
        hm_axis *axis = batch ? &s->batch : &s->chunk;
        if (!hm_plan_is_case_axis(text))
            continue;
        st = axis->buffer ? hm_fail(err, HM_EUSAGE, "--axis %s: given twice", batch ? "batch-size" : "chunk-length")
                          : hm_axis_parse(axis, batch ? "--axis batch-size" : "--axis chunk-length", strchr(text, '=') + 1, true, err);
    }
    return st;
}

/* The case in all its variations, those that the filter takes; *total: all. */
static hm_status add_variations(hm_plan *plan, const hm_suite *suite, const hm_suite_case *c, const char *settings, sweeps *s,
                                const regex_t *filter, int *total, hm_error *err)
{
    char text[320];
    bool cut = c->recording && c->chunk_s > 0 && (s->batch.count || s->chunk.count);
    int batches = cut && s->batch.count ? s->batch.count : 1, chunks = cut && s->chunk.count ? s->chunk.count : 1;
    hm_status st = HM_OK;
    s->used = s->used || cut;
    for (int i = 0; i < batches * chunks && !st; i++, ++*total) {
        variation v = {.settings = settings,
                       .batch = cut && s->batch.count ? s->batch.items[i / chunks] : NULL,
                       .chunk = cut && s->chunk.count ? s->chunk.items[i % chunks] : NULL};
        name_variation(&v);
        snprintf(text, sizeof text, "%s/%s%s", suite->name, c->name, v.suffix);
        if (!filter || !regexec(filter, text, 0, NULL, 0))
            st = add_case(plan, suite, c, &v, err);
    }
    return st;
}

static hm_status add_suites(hm_plan *plan, const hm_plan_options *o, sweeps *s, const regex_t *filter, int *total, hm_error *err)
{
    hm_status st = read_sweeps(s, &o->axes, err);
    for (int i = 0; i < o->suites.count && !st; i++) {
        if (plan->suite_count == HM_PLAN_SUITES)
            return hm_fail(err, HM_EUSAGE, "more than %d suites", HM_PLAN_SUITES);
        st = hm_suite_open(&plan->suites[plan->suite_count], o->suites.items[i], err);
        const hm_suite *suite = st ? NULL : plan->suites[plan->suite_count++];
        for (int k = 0; suite && k < suite->case_count && !st; k++)
            st = add_variations(plan, suite, &suite->cases[k], o->settings, s, filter, total, err);
    }
    if (!st && (s->batch.count || s->chunk.count) && !s->used)
        st = hm_fail(err, HM_EUSAGE,
                     "--axis %s: no case here transcribes in windows side by side (hmbench suite transcribe-short -a batch-size=1,4)",
                     s->batch.count ? "batch-size" : "chunk-length");
    return st;
}

static hm_status make_cases(hm_plan *plan, const hm_plan_options *o, hm_error *err)
{
    regex_t filter;
    sweeps s = {.used = false};
    char text[256];
    int code = o->filter ? regcomp(&filter, o->filter, REG_EXTENDED | REG_NOSUB) : 0, total = 0;
    if (code) {
        regerror(code, &filter, text, sizeof text);
        return hm_fail(err, HM_EUSAGE, "--filter \"%.100s\": %s", o->filter, text);
    }
    hm_status st = add_suites(plan, o, &s, o->filter ? &filter : NULL, &total, err);
    hm_axis_free(&s.batch);
    hm_axis_free(&s.chunk);
    if (o->filter)
        regfree(&filter);
    return !st && !plan->case_count ? nothing_matches(plan, o, total, err) : st;
}

hm_status hm_plan_make(hm_plan **out, const hm_plan_options *options, hm_error *err)
{
    if (!options->suites.count)
        return hm_fail(err, HM_EUSAGE, "no suite: name one, as in \"hmbench suite short\" (hmbench list suites)");
    hm_plan *plan = hm_calloc(1, sizeof *plan, "plan", err);
    if (!plan)
        return HM_EABSENT;
    hm_status st = make_cases(plan, options, err);
    if (!st)
        st = hm_plan_make_arms(plan, options, err);
    if (!st)
        st = keep_arms(plan, &options->only_arms, err);
    if (!st)
        leave_out(plan);
    if (st) {
        hm_plan_close(&plan);
        return st;
    }
    *out = plan;
    return HM_OK;
}

void hm_plan_close(hm_plan **plan)
{
    if (!*plan)
        return;
    for (int i = 0; i < (*plan)->suite_count; i++)
        hm_suite_close(&(*plan)->suites[i]);
    for (int i = 0; i < (*plan)->case_name_count; i++)
        free((*plan)->case_names[i]);
    for (int i = 0; i < (*plan)->recording_count; i++)
        free((*plan)->recordings[i]);
    for (int i = 0; i < (*plan)->program_count; i++)
        free((*plan)->programs[i]);
    for (int i = 0; i < (*plan)->command_count; i++)
        free((*plan)->commands[i]);
    free(*plan);
    *plan = NULL;
}

json_t *hm_plan_json(const hm_plan *plan)
{
    json_t *cases = json_array(), *arms = json_array();
    for (int i = 0; i < plan->case_count; i++)
        json_array_append_new(cases, json_string(plan->cases[i].id));
    for (int i = 0; i < plan->arm_count; i++) {
        const hm_plan_arm *a = &plan->arms[i];
        json_array_append_new(arms, json_pack("{s:s, s:s, s:s, s:i, s:s, s:s}", "name", a->name, "toggles", a->toggles_text, "isa", a->isa,
                                              "threads", a->threads, "model", a->model, "command", or_empty(a->command)));
        json_object_update_new(json_array_get(arms, (size_t)i), json_pack("{s:s, s:s, s:s}", "backend", a->backend, "device", a->device,
                                                                          "env_profile", or_empty(a->env_profile)));
        if (a->program)
            json_object_set_new(json_array_get(arms, (size_t)i), "program", json_string(a->program));
    }
    return json_pack("{s:o, s:o}", "cases", cases, "arms", arms);
}

static const char *or_null(const char *text)
{
    return text[0] ? text : NULL;
}

void hm_plan_arm_record(const hm_plan_arm *a, int position, hm_arm_record *out)
{
    *out = (hm_arm_record){.position = position,
                           .name = a->name,
                           .variant = or_null(a->variant),
                           .toggles = or_null(a->toggles_text),
                           .coincides = or_null(a->coincides),
                           .backend = a->backend,
                           .isa = or_null(a->isa),
                           .precision = or_null(a->precision),
                           .threads = a->threads,
                           .model = a->model,
                           .command = a->command,
                           .program = a->program,
                           .device = or_null(a->device),
                           .env_profile = a->env_profile,
                           .environment = a->environment};
    memcpy(out->id, a->id, sizeof out->id);
}
