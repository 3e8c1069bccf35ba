#define _GNU_SOURCE /* realpath */
#include "harness/plan_arms.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/isa.h"
#include "harness/axis.h"
#include "harness/case.h"
#include "harness/engine_open.h"
#include "harness/env_profile.h"
#include "harness/peers.h"
#include "harness/precision_axis.h"

enum {
    AXES = 8
}; /* of toggles */

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

static bool same_text(const char *a, const char *b)
{
    return !strcmp(a ? a : "", b ? b : "");
}

static hm_plan_arm *same_program(hm_plan *plan, const hm_plan_arm *a)
{
    for (int i = 0; i < plan->arm_count; i++) {
        hm_plan_arm *b = &plan->arms[i];
        if (!b->command && a->program == b->program && !memcmp(&a->toggles, &b->toggles, sizeof a->toggles) && a->threads == b->threads &&
            !strcmp(a->isa, b->isa) && !strcmp(a->model, b->model) && !strcmp(a->backend, b->backend) && !strcmp(a->device, b->device) &&
            same_text(a->env_profile, b->env_profile))
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
    hm_axis model, isa, threads, backend, device, env_profile;
    hm_axis toggle[AXES]; /* settings, those of a range that the toggle does not have left out */
    const char *toggle_name[AXES];
    int toggles;
    hm_precision_axis precision;
    const char *program[HM_PLAN_PROGRAMS + 1], *program_name[HM_PLAN_PROGRAMS + 1]; /* the first is this one: NULL */
    char program_names[HM_PLAN_PROGRAMS][64];
    int programs;
    hm_model_look looks[HM_AXIS_VALUES]; /* of models */
    bool known[HM_AXIS_VALUES];          /* those that are */
} axes;

/* What one arm is made of. */
enum {
    PROGRAM,
    MODEL,
    ISA,
    THREADS,
    BACKEND,
    DEVICE,
    ENVIRONMENT,
    CHOICES
};
typedef struct choice {
    const char *text, *label; /* the variant; as it is named */
    int at[CHOICES];          /* of the axes */
} choice;

/* Backend, its device, environment. What says nothing of a backend is left out: instruction sets of GPUs, devices of the CPU. */
static hm_status choose_device(hm_plan_arm *a, const axes *x, const choice *k, hm_error *err)
{
    const char *device = x->device.items[k->at[DEVICE]], *isa = x->isa.items[k->at[ISA]];
    const char *profile = x->env_profile.items[k->at[ENVIRONMENT]];
    char near[HM_SUGGESTION];
    a->backend = hm_backend_choice(x->backend.items[k->at[BACKEND]], err);
    if (!a->backend)
        return HM_EUSAGE;
    bool cpu = !strcmp(a->backend, "cpu");
    if (strlen(device) >= sizeof a->device)
        return hm_fail(err, HM_EUSAGE, "--device \"%.60s...\": expected an index or a UUID (hmbench list devices)", device);
    snprintf(a->device, sizeof a->device, "%s", cpu ? "" : device);
    if (*isa && hm_isa_parse(isa) < 0)
        return hm_fail(err, HM_EUSAGE, "--isa \"%.40s\": expected " HM_ISA_NAMES "%s", isa, hm_did_you_mean(near, isa, hm_isa_choices));
    snprintf(a->isa, sizeof a->isa, "%s", cpu ? isa : "");
    hm_status st = hm_env_profile_check(profile, err);
    for (int i = 1; hm_env_profiles[i] && !st; i++)
        if (!strcmp(profile, hm_env_profiles[i]))
            a->env_profile = hm_env_profiles[i];
    hm_env_text(a->env_profile, a->environment, sizeof a->environment);
    return st;
}

static void name_arm(hm_plan_arm *a, const axes *x, const choice *k)
{
    char model[HM_MODEL_PATH];
    bool cpu = !strcmp(a->backend, "cpu");
    hm_model_name(a->model, model, sizeof model);
    add_to_name(a, "model", model, x->model.count);
    add_to_name(a, "backend", a->backend, x->backend.count);
    if (!cpu)
        add_to_name(a, "device", *a->device ? a->device : "0", x->device.count);
    else
        add_to_name(a, "isa", a->isa, x->isa.count);
    add_to_name(a, "threads", x->threads.items[k->at[THREADS]], x->threads.count);
    add_to_name(a, "env-profile", a->env_profile ? a->env_profile : hm_env_profiles[0], x->env_profile.count);
    if (a->program)
        add_to_name(a, "program", x->program_name[k->at[PROGRAM]], 2);
}

/* Cases whose task is a model's own; sings: or whose music it makes. */
static bool is_wanted(const hm_plan *plan, const hm_model_look *look, bool sings)
{
    for (int c = 0; c < plan->case_count; c++) {
        const hm_case_record *r = &plan->cases[c];
        if (hm_model_makes(look, r->task, r->kind) || (sings && hm_case_is_sung(r) && !strcmp(look->task, "music")))
            return true;
    }
    return false;
}

static hm_status add_choice(hm_plan *plan, const axes *x, const hm_toggles *set, const choice *k, hm_error *err)
{
    hm_plan_arm a = {.toggles = *set, .look = x->looks[k->at[MODEL]], .program = x->program[k->at[PROGRAM]]};
    size_t length = strlen(k->text);
    if (!is_wanted(plan, &a.look, false)) /* it only sings */
        return HM_OK;
    if (length >= sizeof a.variant)
        return hm_fail(err, HM_EUSAGE, "variant \"%.60s...\": %zu characters; %zu at most", k->text, length, sizeof a.variant - 1);
    memcpy(a.variant, k->text, length + 1);
    snprintf(a.name, sizeof a.name, "%.120s", k->label);
    snprintf(a.model, sizeof a.model, "%s", x->model.items[k->at[MODEL]]);
    hm_status st = choose_device(&a, x, k, err);
    if (!st)
        st = parse_threads(x->threads.items[k->at[THREADS]], &a.threads, err);
    if (st)
        return st;
    zero_without_effect(&a.toggles, a.look.family, hm_backend_bit(a.backend));
    name_arm(&a, x, k);
    write_toggles(&a);
    return st ? st : add_arm(plan, &a, err);
}

/* label: the variant without the settings of axes, and those behind it. */
static hm_status add_variant(hm_plan *plan, const char *text, const char *label, const axes *x, hm_error *err)
{
    /* the last one turns first; programs last, so that a program's arms stand together */
    const int counts[CHOICES] = {x->programs,      x->model.count,  x->isa.count,        x->threads.count,
                                 x->backend.count, x->device.count, x->env_profile.count};
    static const int order[CHOICES] = {PROGRAM, MODEL, BACKEND, DEVICE, ISA, THREADS, ENVIRONMENT};
    choice k = {.text = text, .label = label};
    hm_toggles set;
    hm_status st = strlen(text) < HM_VARIANT_SPEC
                       ? hm_variant_parse(text, &set, NULL, err)
                       : hm_fail(err, HM_EUSAGE, "variant \"%.60s...\": longer than %d bytes", text, HM_VARIANT_SPEC - 1);
    for (int turning = 0; turning >= 0 && !st;) {
        st = add_choice(plan, x, &set, &k, err);
        for (turning = CHOICES - 1; turning >= 0 && ++k.at[order[turning]] == counts[order[turning]]; turning--)
            k.at[order[turning]] = 0;
    }
    return st;
}

/* Value `at` of a toggle's axis, or of the formats of weights, behind a variant and its label. */
static void add_setting(const axes *x, int axis, int at, char spec[2 * HM_VARIANT_SPEC], char label[2 * HM_VARIANT_SPEC])
{
    size_t used = strlen(spec), shown = strlen(label), room = 2 * HM_VARIANT_SPEC;
    char joint = strchr(spec, ':') ? ',' : ':';
    const char *name = x->toggle_name[axis], *value = x->toggle[axis].items[at];
    bool precision = !strcmp(name, "precision");
    if (used < HM_VARIANT_SPEC && precision)
        snprintf(spec + used, room - used, "%c%s", joint, x->precision.settings[at]);
    else if (used < HM_VARIANT_SPEC)
        snprintf(spec + used, room - used, "%c%s=%s", joint, name, value);
    snprintf(label + shown, room - shown, " %s=%s", name, value);
}

/* The variant with every combination of the toggles' values. */
static hm_status add_settings(hm_plan *plan, const char *text, const axes *x, hm_error *err)
{
    int at[AXES] = {0}, turning;
    hm_status st = HM_OK;
    do {
        char spec[2 * HM_VARIANT_SPEC], label[2 * HM_VARIANT_SPEC];
        snprintf(spec, sizeof spec, "%.*s", HM_VARIANT_SPEC, text);
        snprintf(label, sizeof label, "%.*s", HM_VARIANT_SPEC, text);
        for (int i = 0; i < x->toggles; i++)
            add_setting(x, i, at[i], spec, label);
        st = add_variant(plan, spec, label, x, err);
        for (turning = x->toggles - 1; turning >= 0 && ++at[turning] == x->toggle[turning].count; turning--)
            at[turning] = 0;
    } while (turning >= 0 && !st);
    return st;
}

static hm_status add_list(hm_plan *plan, const char *list, const axes *x, hm_error *err)
{
    char *buffer = NULL;
    hm_strings names;
    int n;
    const hm_variant_info *all = hm_variant_list(&n);
    hm_status st = hm_plan_split(list, &buffer, &names, err);
    for (int i = 0; i < names.count && !st; i++) {
        if (!strcmp(names.items[i], "all"))
            for (int v = 0; v < n && !st; v++)
                st = add_settings(plan, all[v].name, x, err);
        else if (strcmp(names.items[i], "none"))
            st = add_settings(plan, names.items[i], x, err);
    }
    free(buffer);
    return st;
}

/* NAME=COMMAND, or a peer: another program as an arm, once per model. */
static hm_status add_command(hm_plan *plan, const char *text, const axes *x, hm_error *err)
{
    char model[HM_MODEL_PATH];
    int profiles = x->env_profile.count;
    size_t name_size;
    char *command = NULL;
    if (plan->command_count == HM_PLAN_ARMS)
        return hm_fail(err, HM_EUSAGE, "more than %d other programs (--arm)", HM_PLAN_ARMS);
    hm_status st = hm_peer_arm(text, &name_size, &command, err);
    if (st)
        return st;
    plan->commands[plan->command_count++] = command;
    for (int i = 0; i < x->model.count * profiles && !st; i++) {
        int m = i / profiles;
        choice k = {.at[ENVIRONMENT] = i % profiles};
        hm_plan_arm a = {.any_case = !x->known[m], .look = x->looks[m]};
        st = choose_device(&a, x, &k, err);
        if (st)
            return st;
        a.backend = "command";
        a.command = command;
        a.isa[0] = a.device[0] = 0;
        snprintf(a.name, sizeof a.name, "%.*s", (int)name_size, text);
        snprintf(a.model, sizeof a.model, "%s", x->model.items[m]);
        hm_model_name(a.model, model, sizeof model);
        add_to_name(&a, "model", model, x->model.count);
        add_to_name(&a, "env-profile", a.env_profile ? a.env_profile : hm_env_profiles[0], profiles);
        st = add_arm(plan, &a, err);
    }
    return st;
}

/* A model for each task of the cases. Speech in several kinds: the first of them; others are asked for by name. */
static void default_models(const hm_plan *plan, char out[128])
{
    static const char *const wanted[][2] = {
        {"transcript", ""}, {"music", ""}, {"speech", "custom_voice"}, {"speech", "voice_design"}, {"speech", "base"}};
    bool speech = false;
    *out = 0;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted && !speech; i++)
        for (int c = 0; c < plan->case_count; c++) {
            const hm_case_record *r = &plan->cases[c];
            if (strcmp(r->task, wanted[i][0]) || strcmp(r->kind ? r->kind : "", wanted[i][1]))
                continue;
            speech = !strcmp(r->task, "speech");
            snprintf(out + strlen(out), 128 - strlen(out), "%s%s", *out ? "," : "", hm_model_default(r->task, r->kind));
            break;
        }
}

/* What a case takes, for people. */
const char *hm_plan_case_needs(const hm_case_record *c)
{
    return !strcmp(c->task, "speech") ? c->kind : c->task;
}

/* Cases that transcribe music get what makes it: the first such model that was named, else the default. */
static void choose_singer(hm_plan *plan, const axes *x)
{
    snprintf(plan->music_model, sizeof plan->music_model, "%s", hm_model_default("music", ""));
    for (int m = x->model.count - 1; m >= 0; m--)
        if (x->known[m] && !strcmp(x->looks[m].task, "music"))
            snprintf(plan->music_model, sizeof plan->music_model, "%s", x->model.items[m]);
    for (int c = 0; c < plan->case_count; c++)
        if (hm_case_is_sung(&plan->cases[c]))
            plan->cases[c].music_model = plan->music_model;
}

/* Looks at the models. One of another program need not be one that we know. */
static hm_status look_at_models(const hm_plan *plan, const hm_plan_options *o, axes *x, hm_error *err)
{
    bool own = !o->variants.count;
    for (int i = 0; i < o->variants.count; i++)
        own = own || strcmp(o->variants.items[i], "none");
    for (int m = 0; m < x->model.count; m++) {
        const hm_model_look *look = &x->looks[m];
        hm_status st = hm_model_look_at(&x->looks[m], x->model.items[m], err);
        if (st && own)
            return st;
        x->known[m] = !st;
        if (!st && !is_wanted(plan, look, true))
            return hm_fail(err, HM_EUSAGE, "--model %.200s: makes %s%s%s, and no case here asks for that (the first asks for %s)",
                           x->model.items[m], look->task, *look->kind ? " of kind " : "", look->kind, hm_plan_case_needs(&plan->cases[0]));
    }
    return HM_OK;
}

static bool has_value(const hm_toggle_info *toggle, const char *wanted)
{
    for (int v = 0; v < hm_toggle_values(toggle); v++) {
        char name[64];
        hm_toggle_value_name(toggle, v, name, sizeof name);
        if (!strcmp(name, wanted))
            return true;
    }
    return false;
}

/* A toggle as an axis: numbers of a range that it does not have are left out, which the plan says; other words have to be there. */
static hm_status keep_values(hm_plan *plan, const hm_toggle_info *toggle, hm_axis *a, hm_error *err)
{
    int kept = 0;
    char near[HM_SUGGESTION];
    for (int i = 0; i < a->count; i++) {
        size_t used = strlen(plan->values_left_out);
        if (has_value(toggle, a->items[i]))
            a->items[kept++] = a->items[i];
        else if (!a->from_range[i])
            return hm_fail(err, HM_EUSAGE, "--axis %s: no value \"%.40s\"%s (one of %s)", toggle->name, a->items[i],
                           hm_toggle_suggest(near, toggle, a->items[i]), toggle->names);
        else
            snprintf(plan->values_left_out + used, sizeof plan->values_left_out - used, "%s%s=%s",
                     used ? ", " : "left out, as there are no such values: ", toggle->name, a->items[i]);
    }
    a->count = kept;
    return kept ? HM_OK : hm_fail(err, HM_EUSAGE, "--axis %s: none of its values is in the range; it has %s", toggle->name, toggle->names);
}

const char *const hm_plan_axes[] = {"threads",     "isa",       "model",      "backend",      "device",
                                    "env-profile", "precision", "batch-size", "chunk-length", NULL};

/* Which axis a name means: *toggle NULL: one of hm_plan_axes, *own (NULL: the formats of weights). */
static hm_status find_axis(axes *x, const char *name, hm_axis **own, const hm_toggle_info **toggle, hm_error *err)
{
    hm_axis *axis[] = {&x->threads,     &x->isa, &x->model, &x->backend, &x->device,
                       &x->env_profile, NULL,    NULL,      NULL}; /* in the order of hm_plan_axes */
    const char *names[128];
    int n, count = 0;
    const hm_toggle_info *list = hm_toggle_list(&n);
    for (int i = 0; hm_plan_axes[i]; i++) {
        names[count++] = hm_plan_axes[i];
        *own = axis[i];
        *toggle = NULL;
        if (!strcmp(name, hm_plan_axes[i]))
            return HM_OK;
    }
    for (int i = 0; i < n && count < 127; i++) {
        names[count++] = list[i].name;
        *toggle = &list[i];
        if (!strcmp(name, list[i].name))
            return HM_OK;
    }
    names[count] = NULL;
    char near[HM_SUGGESTION];
    return hm_fail(
        err, HM_EUSAGE,
        "--axis %.60s: there is none of this name%s (threads, isa, model, backend, device, env-profile, precision, batch-size, chunk-length, or a toggle: hmbench "
        "list toggles)",
        name, hm_did_you_mean(near, name, names));
}

/* The formats of weights as one more axis. */
static hm_status read_precision(axes *x, const char *values, hm_error *err)
{
    hm_axis *own = &x->toggle[x->toggles];
    hm_status st = hm_precision_axis_read(&x->precision, values, err);
    if (st)
        return st;
    own->count = x->precision.count;
    for (int i = 0; i < own->count; i++)
        own->items[i] = x->precision.label[i];
    x->toggle_name[x->toggles++] = "precision";
    return HM_OK;
}

/* NAME=VALUES of --axis. */
static hm_status read_axis(hm_plan *plan, axes *x, const char *text, hm_error *err)
{
    char name[64], what[80];
    hm_axis *own = NULL;
    const hm_toggle_info *toggle;
    const char *equals = strchr(text, '=');
    if (!equals || equals == text || equals - text >= (int)sizeof name || !equals[1])
        return hm_fail(err, HM_EUSAGE, "--axis \"%.80s\": expected NAME=VALUES, as in threads=1,2 or flow_steps=5:20:5", text);
    snprintf(name, sizeof name, "%.*s", (int)(equals - text), text);
    snprintf(what, sizeof what, "--axis %s", name);
    hm_status st = find_axis(x, name, &own, &toggle, err);
    bool listed = toggle || !own; /* stands among the toggles */
    for (int i = 0; listed && i < x->toggles && !st; i++)
        if (!strcmp(x->toggle_name[i], name))
            st = hm_fail(err, HM_EUSAGE, "%s: given twice", what);
    if (!st && listed && x->toggles == AXES)
        st = hm_fail(err, HM_EUSAGE, "--axis: more than %d toggles", AXES);
    if (!st && !listed && own->buffer)
        st = hm_fail(err, HM_EUSAGE, "%s: given twice (--%s is the same)", what, name);
    if (st)
        return st;
    if (!listed)
        return hm_axis_parse(own, what, equals + 1, own == &x->threads, err);
    if (!toggle)
        return read_precision(x, equals + 1, err);
    own = &x->toggle[x->toggles];
    x->toggle_name[x->toggles++] = toggle->name;
    st = hm_axis_parse(own, what, equals + 1, true, err);
    return st ? st : keep_values(plan, toggle, own, err);
}

/* NAME=PATH of another build: its file, or a folder with one. */
static hm_status read_program(hm_plan *plan, axes *x, const char *text, hm_error *err)
{
    char path[HM_MODEL_PATH];
    struct stat info;
    const char *equals = strchr(text, '=');
    if (!equals || equals == text || equals - text > 60 || !equals[1])
        return hm_fail(err, HM_EUSAGE, "--program \"%.80s\": expected NAME=PATH", text);
    if (plan->program_count == HM_PLAN_PROGRAMS)
        return hm_fail(err, HM_EUSAGE, "--program: more than %d", HM_PLAN_PROGRAMS);
    bool folder = !stat(equals + 1, &info) && S_ISDIR(info.st_mode);
    snprintf(path, sizeof path, "%.900s%s", equals + 1, folder ? "/hmbench" : "");
    if (stat(path, &info) || !S_ISREG(info.st_mode) || access(path, X_OK))
        return hm_fail(err, HM_EMISSING, "--program %.60s: %.300s is no program that can be run: build it there first", text, path);
    char *resolved = realpath(path, NULL);
    if (!resolved)
        return hm_fail(err, HM_EMISSING, "--program %.60s: %s", text, strerror(errno));
    plan->programs[plan->program_count] = resolved;
    snprintf(x->program_names[plan->program_count], sizeof x->program_names[0], "%.*s", (int)(equals - text), text);
    x->program_name[x->programs] = x->program_names[plan->program_count];
    x->program[x->programs++] = plan->programs[plan->program_count++];
    return HM_OK;
}

/* A device that no backend here has: the CPU is one. */
static hm_status check_devices(const axes *x, hm_error *err)
{
    bool other = false;
    for (int i = 0; i < x->backend.count; i++)
        other = other || strcmp(x->backend.items[i], "cpu");
    return other || !x->device.buffer ? HM_OK : hm_device_alone(x->device.items[0], err);
}

/* Options of the same meaning, and defaults where there are none. */
static hm_status read_axes(hm_plan *plan, const hm_plan_options *o, axes *x, hm_error *err)
{
    char models[128];
    hm_status st = HM_OK;
    default_models(plan, models);
    const struct {
        hm_axis *axis;
        const char *what, *text, *fallback;
    } own[] = {{&x->model, "--model", o->model, models},     {&x->isa, "--isa", o->isa, NULL},
               {&x->threads, "--threads", o->threads, NULL}, {&x->backend, "--backend", o->backend, "cpu"},
               {&x->device, "--device", o->device, NULL},    {&x->env_profile, "--env-profile", o->env_profile, NULL}};
    const int count = sizeof own / sizeof *own;
    for (int i = 0; i < count && !st; i++)
        if (own[i].text)
            st = hm_axis_parse(own[i].axis, own[i].what, own[i].text, own[i].axis == &x->threads, err);
    for (int i = 0; i < o->axes.count && !st; i++)
        st = hm_plan_is_case_axis(o->axes.items[i]) ? HM_OK : read_axis(plan, x, o->axes.items[i], err);
    for (int i = 0; i < count && !st; i++)
        if (!own[i].axis->buffer && own[i].fallback && *own[i].fallback)
            st = hm_axis_parse(own[i].axis, own[i].what, own[i].fallback, false, err);
        else if (!own[i].axis->buffer)
            *own[i].axis = (hm_axis){.items = {""}, .count = 1};
    if (!st)
        st = check_devices(x, err);
    x->programs = 1;
    for (int i = 0; i < o->programs.count && !st; i++)
        st = read_program(plan, x, o->programs.items[i], err);
    return st;
}

hm_status hm_plan_make_arms(hm_plan *plan, const hm_plan_options *o, hm_error *err)
{
    axes *x = hm_calloc(1, sizeof *x, "plan", err);
    if (!x)
        return HM_EABSENT;
    hm_status st = read_axes(plan, o, x, err);
    if (!st)
        st = look_at_models(plan, o, x, err);
    if (!st)
        choose_singer(plan, x);
    for (int i = 0; i < o->variants.count && !st; i++)
        st = add_list(plan, o->variants.items[i], x, err);
    if (!st && !o->variants.count)
        st = add_list(plan, "naive,best", x, err);
    for (int i = 0; i < o->commands.count && !st; i++)
        st = add_command(plan, o->commands.items[i], x, err);
    if (!st && !plan->arm_count)
        st = hm_fail(err, HM_EUSAGE, "no arms: name variants with --variant, or programs with --arm");
    hm_axis *const own[] = {&x->model, &x->isa, &x->threads, &x->backend, &x->device, &x->env_profile};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        hm_axis_free(own[i]);
    for (int i = 0; i < x->toggles; i++)
        hm_axis_free(&x->toggle[i]);
    free(x);
    return st;
}
