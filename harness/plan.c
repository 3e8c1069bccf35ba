#define _GNU_SOURCE /* vasprintf */
#include "harness/plan.h"

#include <regex.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/isa.h"
#include "harness/case.h"

hm_status hm_plan_split(const char *list, char **buffer, hm_strings *out, hm_error *err)
{
    enum { ROOM = (int)(sizeof out->items / sizeof *out->items) };
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
           hm_toggles_distance(&a->toggles, &b->toggles) == HM_KIND_BITWISE;
}

/* Toggles that do nothing for this model and backend do not make another program. */
static void zero_without_effect(hm_toggles *set, unsigned model, unsigned backend)
{
    int n;
    const hm_toggle_info *list = hm_toggle_list(&n);
    for (int i = 0; i < n; i++)
        if (!(list[i].models & model) || !(list[i].backends & backend))
            ((uint8_t *)set)[list[i].offset] = 0;
}

static void write_toggles(hm_plan_arm *a)
{
    int n;
    size_t used = 0;
    const hm_toggle_info *list = hm_toggle_list(&n);
    for (int i = 0; i < n; i++) {
        char value[64];
        hm_toggle_value_name(&list[i], hm_toggle_get(&a->toggles, &list[i]), value, sizeof value);
        used += (size_t)snprintf(a->toggles_text + used, sizeof a->toggles_text - used, "%s%s=%s", i ? "," : "", list[i].name, value);
        if (used >= sizeof a->toggles_text)
            used = sizeof a->toggles_text - 1;
        if (!strncmp(list[i].name, "precision_", 10)) {
            size_t at = strlen(a->precision);
            snprintf(a->precision + at, sizeof a->precision - at, "%s%s=%s", at ? " " : "", list[i].name + 10, value);
        }
    }
}

static hm_plan_arm *same_program(hm_plan *plan, const hm_plan_arm *a)
{
    for (int i = 0; i < plan->arm_count; i++) {
        hm_plan_arm *b = &plan->arms[i];
        if (!b->command && !memcmp(&a->toggles, &b->toggles, sizeof a->toggles) && a->threads == b->threads && !strcmp(a->isa, b->isa) &&
            !strcmp(a->model, b->model))
            return b;
    }
    return NULL;
}

static hm_status add_arm(hm_plan *plan, const hm_plan_arm *a, hm_error *err)
{
    hm_plan_arm *twin = a->command ? NULL : same_program(plan, a);
    if (twin) {
        size_t used = strlen(twin->coincides);
        if (strcmp(twin->name, a->name)) /* they have model, threads and the like in common */
            snprintf(twin->coincides + used, sizeof twin->coincides - used, "%s%s", used ? ", " : "", a->variant);
        return HM_OK;
    }
    for (int i = 0; i < plan->arm_count; i++)
        if (!strcmp(plan->arms[i].name, a->name))
            return hm_fail(err, HM_EUSAGE, "two arms have the name \"%s\"", a->name);
    if (plan->arm_count == HM_PLAN_ARMS)
        return hm_fail(err, HM_EUSAGE, "more than %d arms: narrow the variants, threads or models", HM_PLAN_ARMS);
    plan->arms[plan->arm_count] = *a;
    hm_uuid_text(plan->arms[plan->arm_count++].id);
    return HM_OK;
}

/* A comma-separated axis; one item, the default, when text is NULL. */
typedef struct axis {
    char *buffer;
    const char *items[64];
    int count;
} axis;

static hm_status split_axis(axis *a, const char *what, const char *text, const char *fallback, hm_error *err)
{
    *a = (axis){.buffer = strdup(text ? text : fallback)};
    if (!a->buffer)
        return hm_fail(err, HM_EABSENT, "%s: out of memory", what);
    for (char *p = a->buffer, *next; p; p = next) {
        char *comma = strchr(p, ',');
        next = comma ? comma + 1 : NULL;
        if (comma)
            *comma = 0;
        if ((!*p && text) || a->count == 64)
            return hm_fail(err, HM_EUSAGE, "--%s \"%.100s\": expected values with commas between", what, text ? text : fallback);
        a->items[a->count++] = p;
    }
    return HM_OK;
}

/* Adds " key=value" when the axis has several values. */
static void add_to_name(hm_plan_arm *a, const char *key, const char *value, int count)
{
    size_t used = strlen(a->name);
    if (count > 1)
        snprintf(a->name + used, sizeof a->name - used, " %s=%s", key, *value ? value : "best");
}

static hm_status parse_threads(const char *text, int *out, hm_error *err)
{
    char *end;
    long n = strtol(text, &end, 10);
    if (*text && (*end || n < 0 || n > 1024))
        return hm_fail(err, HM_EUSAGE, "--threads \"%.40s\": expected numbers from 1 to 1024 (0: all CPUs), commas between", text);
    *out = *text ? (int)n : 0;
    return HM_OK;
}

/* What multiplies variants into arms. */
typedef struct axes {
    axis model, isa, threads;
    hm_model_look looks[64]; /* of models */
    bool known[64];          /* those that are */
} axes;

static hm_status add_variant(hm_plan *plan, const hm_plan_options *o, const char *text, const axes *x, hm_error *err)
{
    hm_plan_arm a;
    char model[HM_MODEL_PATH];
    hm_toggles set;
    hm_status st = strlen(text) < HM_VARIANT_SPEC
                       ? hm_variant_parse(text, &set, NULL, err)
                       : hm_fail(err, HM_EUSAGE, "variant \"%.60s...\": longer than %d bytes", text, HM_VARIANT_SPEC - 1);
    for (int m = 0; m < x->model.count && !st; m++)
        for (int i = 0; i < x->isa.count && !st; i++)
            for (int t = 0; t < x->threads.count && !st; t++) {
                memset(&a, 0, sizeof a);
                a.toggles = set;
                a.look = x->looks[m];
                zero_without_effect(&a.toggles, a.look.family, HM_BACKEND_CPU);
                a.backend = o->backend ? o->backend : "cpu";
                snprintf(a.variant, sizeof a.variant, "%s", text);
                snprintf(a.name, sizeof a.name, "%.120s", text);
                snprintf(a.model, sizeof a.model, "%s", x->model.items[m]);
                snprintf(a.isa, sizeof a.isa, "%s", x->isa.items[i]);
                if (a.isa[0] && hm_isa_parse(a.isa) < 0)
                    return hm_fail(err, HM_EUSAGE, "--isa \"%.40s\": expected scalar, avx2 or avx512", a.isa);
                st = parse_threads(x->threads.items[t], &a.threads, err);
                hm_model_name(a.model, model, sizeof model);
                add_to_name(&a, "model", model, x->model.count);
                add_to_name(&a, "isa", a.isa, x->isa.count);
                add_to_name(&a, "threads", x->threads.items[t], x->threads.count);
                write_toggles(&a);
                if (!st)
                    st = add_arm(plan, &a, err);
            }
    return st;
}

static hm_status add_list(hm_plan *plan, const hm_plan_options *o, const char *list, const axes *x, hm_error *err)
{
    char *buffer = NULL;
    hm_strings names;
    int n;
    const hm_variant_info *all = hm_variant_list(&n);
    hm_status st = hm_plan_split(list, &buffer, &names, err);
    for (int i = 0; i < names.count && !st; i++) {
        if (!strcmp(names.items[i], "all"))
            for (int v = 0; v < n && !st; v++)
                st = add_variant(plan, o, all[v].name, x, err);
        else if (strcmp(names.items[i], "none"))
            st = add_variant(plan, o, names.items[i], x, err);
    }
    free(buffer);
    return st;
}

/* NAME=COMMAND: another program as an arm, once per model. */
static hm_status add_command(hm_plan *plan, const char *text, const axes *x, hm_error *err)
{
    char model[HM_MODEL_PATH];
    const char *equals = strchr(text, '=');
    hm_status st = HM_OK;
    if (!equals || equals == text || !equals[1] || equals - text > 60)
        return hm_fail(err, HM_EUSAGE, "--arm \"%.80s\": expected NAME=COMMAND", text);
    for (int m = 0; m < x->model.count && !st; m++) {
        hm_plan_arm a = {.backend = "command", .command = equals + 1, .any_case = !x->known[m], .look = x->looks[m]};
        snprintf(a.name, sizeof a.name, "%.*s", (int)(equals - text), text);
        snprintf(a.model, sizeof a.model, "%s", x->model.items[m]);
        hm_model_name(a.model, model, sizeof model);
        add_to_name(&a, "model", model, x->model.count);
        st = add_arm(plan, &a, err);
    }
    return st;
}

/* A model for each task of the cases. Speech in several kinds: the first of them; others are asked for by name. */
static void default_models(const hm_plan *plan, char out[128])
{
    static const char *const wanted[][2] = {{"music", ""}, {"speech", "custom_voice"}, {"speech", "voice_design"}, {"speech", "base"}};
    bool speech = false;
    *out = 0;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted && !speech; i++)
        for (int c = 0; c < plan->case_count; c++) {
            const hm_case_record *r = &plan->cases[c];
            if (strcmp(r->task, wanted[i][0]) || strcmp(r->kind ? r->kind : "", wanted[i][1]))
                continue;
            speech = i > 0;
            snprintf(out + strlen(out), 128 - strlen(out), "%s%s", *out ? "," : "", hm_model_default(r->task, r->kind));
            break;
        }
}

/* What a case takes, for people. */
static const char *case_needs(const hm_case_record *c)
{
    return !strcmp(c->task, "speech") ? c->kind : c->task;
}

/* Looks at the models. One of another program need not be one that we know. */
static hm_status look_at_models(const hm_plan *plan, const hm_plan_options *o, axes *x, hm_error *err)
{
    bool own = !o->variants.count;
    for (int i = 0; i < o->variants.count; i++)
        own = own || strcmp(o->variants.items[i], "none");
    for (int m = 0; m < x->model.count; m++) {
        int makes = 0;
        const hm_model_look *look = &x->looks[m];
        hm_status st = hm_model_look_at(&x->looks[m], x->model.items[m], err);
        if (st && own)
            return st;
        x->known[m] = !st;
        for (int c = 0; c < plan->case_count && !st; c++)
            makes += hm_model_makes(look, plan->cases[c].task, plan->cases[c].kind);
        if (!st && !makes)
            return hm_fail(err, HM_EUSAGE, "--model %.200s: makes %s%s%s, and no case here asks for that (the first asks for %s)",
                           x->model.items[m], look->task, *look->kind ? " of kind " : "", look->kind, case_needs(&plan->cases[0]));
    }
    return HM_OK;
}

static hm_status make_arms(hm_plan *plan, const hm_plan_options *o, hm_error *err)
{
    char models[128];
    axes *x = hm_calloc(1, sizeof *x, "plan", err);
    if (!x)
        return HM_EABSENT;
    default_models(plan, models);
    hm_status st = split_axis(&x->model, "model", o->model, models, err);
    if (!st)
        st = split_axis(&x->isa, "isa", o->isa, "", err);
    if (!st)
        st = split_axis(&x->threads, "threads", o->threads, "", err);
    if (!st)
        st = look_at_models(plan, o, x, err);
    for (int i = 0; i < o->variants.count && !st; i++)
        st = add_list(plan, o, o->variants.items[i], x, err);
    if (!st && !o->variants.count)
        st = add_list(plan, o, "naive,best", x, err);
    for (int i = 0; i < o->commands.count && !st; i++)
        st = add_command(plan, o->commands.items[i], x, err);
    if (!st && !plan->arm_count)
        st = hm_fail(err, HM_EUSAGE, "no arms: name variants with --variant, or programs with --arm");
    free(x->model.buffer);
    free(x->isa.buffer);
    free(x->threads.buffer);
    free(x);
    return st;
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
                     gone > 1 ? ", " : "left out, as no model here makes them: ", r->suite, r->name, case_needs(r),
                     hm_model_default(r->task, r->kind));
    }
    if (gone > 4)
        snprintf(text + strlen(text), size - strlen(text), " and %d more", gone - 4);
    plan->case_count = kept;
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

static hm_status add_case(hm_plan *plan, const hm_suite *suite, const hm_suite_case *c, hm_error *err)
{
    if (plan->case_count == HM_PLAN_CASES)
        return hm_fail(err, HM_EUSAGE, "more than %d cases: narrow them with --filter", HM_PLAN_CASES);
    hm_case_record *r = &plan->cases[plan->case_count];
    *r = hm_case_of(suite, c);
    hm_status st = hm_case_task(r) == HM_TASK_SPEECH ? hash_speech(r, err) : hash_music(r, err);
    if (!st)
        st = hash_format(r->id, err, "%s\1%s\1%s\1%d %.17g", suite->name, c->name, r->request_hash, c->flow_steps, c->flow_guidance);
    for (int i = 0; i < plan->case_count && !st; i++)
        if (!strcmp(plan->cases[i].id, r->id))
            return HM_OK; /* the same suite was named twice */
    plan->case_count += !st;
    return st;
}

static hm_status make_cases(hm_plan *plan, const hm_plan_options *o, hm_error *err)
{
    regex_t filter;
    char text[256];
    hm_status st = HM_OK;
    int code = o->filter ? regcomp(&filter, o->filter, REG_EXTENDED | REG_NOSUB) : 0, total = 0;
    if (code) {
        regerror(code, &filter, text, sizeof text);
        return hm_fail(err, HM_EUSAGE, "--filter \"%.100s\": %s", o->filter, text);
    }
    for (int i = 0; i < o->suites.count && !st; i++) {
        if (plan->suite_count == HM_PLAN_SUITES) {
            st = hm_fail(err, HM_EUSAGE, "more than %d suites", HM_PLAN_SUITES);
            break;
        }
        st = hm_suite_open(&plan->suites[plan->suite_count], o->suites.items[i], err);
        const hm_suite *suite = st ? NULL : plan->suites[plan->suite_count++];
        for (int k = 0; suite && k < suite->case_count && !st; k++, total++) {
            snprintf(text, sizeof text, "%s/%s", suite->name, suite->cases[k].name);
            if (!o->filter || !regexec(&filter, text, 0, NULL, 0))
                st = add_case(plan, suite, &suite->cases[k], err);
        }
    }
    if (o->filter)
        regfree(&filter);
    if (!st && !plan->case_count)
        st = hm_fail(err, HM_EUSAGE, "--filter \"%.100s\": matches none of %d cases (they are named suite/case)", or_empty(o->filter),
                     total);
    return st;
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
        st = make_arms(plan, options, err);
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
                           .command = a->command};
    memcpy(out->id, a->id, sizeof out->id);
}
