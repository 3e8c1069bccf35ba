#include "harness/complete.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/probe.h"
#include "engine/synth.h"
#include "harness/commands.h"
#include "harness/engine_open.h"
#include "harness/env_profile.h"
#include "harness/metrics.h"
#include "harness/peers.h"
#include "harness/plan.h"
#include "harness/precision.h"
#include "suites/suite.h"
#include "variants/variants.h"

typedef struct sink {
    FILE *file;
    const char *prefix; /* of every word: what is typed before it, as in "--variant=naive," */
    int prefix_length;
} sink;

static void emit(const sink *to, const char *word, const char *text)
{
    fprintf(to->file, "%.*s%s\t%s\n", to->prefix_length, to->prefix, word, text ? text : "");
}

int hm_usage_words(const hm_command *command, void (*word)(void *self, const char *text), void *self)
{
    const char *p = command->usage + strcspn(command->usage, " \n");
    p += *p == ' ';
    size_t n = strcspn(p, " \n");
    int count = 0;
    if (!memchr(p, '|', n) || !(*p >= 'a' && *p <= 'z')) /* capitals stand for what users write there */
        return 0;
    for (const char *end = p + n; p < end; count++) {
        char text[64];
        size_t length = strcspn(p, "| \n");
        snprintf(text, sizeof text, "%.*s", (int)length, p);
        word(self, text);
        p += length + 1;
    }
    return count;
}

int hm_list_options(const hm_command *command, const char *word)
{
    hm_error err = {0};
    char *plain[] = {(char *)command->name, (char *)"--list-options", NULL};
    char *within[] = {(char *)command->name, (char *)word, (char *)"--list-options", NULL};
    return !command->run(command, word ? 3 : 2, word ? within : plain, &err);
}

/* Names of things -------------------------------------------------------------------------------------------------------------------- */

static void variants(const sink *to)
{
    int count;
    const hm_variant_info *list = hm_variant_list(&count);
    for (int i = 0; i < count; i++)
        emit(to, list[i].name, list[i].text);
    emit(to, "custom", "the runtime build: any set of toggles");
}

static void toggles(const sink *to)
{
    int count;
    const hm_toggle_info *list = hm_toggle_list(&count);
    for (int i = 0; i < count; i++)
        emit(to, list[i].name, list[i].text);
}

static void models(const sink *to)
{
    for (const hm_preset *p = hm_preset_list(); p->name; p++)
        emit(to, p->name, p->text);
}

static void isas(const sink *to)
{
    for (int i = 0; hm_isa_choices[i]; i++)
        emit(to, hm_isa_choices[i], "instruction set");
}

static void backends(const sink *to)
{
    for (int i = 0; hm_backend_choices[i]; i++)
        emit(to, hm_backend_choices[i], "backend");
}

static void env_profiles(const sink *to)
{
    for (int i = 0; hm_env_profiles[i]; i++)
        emit(to, hm_env_profiles[i], hm_env_profile_text(hm_env_profiles[i]));
}

static void metrics(const sink *to)
{
    for (const hm_metric *m = hm_metrics; m->name; m++)
        emit(to, m->name, m->meaning);
    for (int i = 0; i < HM_COUNTER_COUNT; i++)
        emit(to, hm_counter_name(i), hm_counter_text(i));
}

/* The same with `more` of what is typed before every word. */
static sink after(const sink *to, size_t more)
{
    return (sink){to->file, to->prefix, to->prefix_length + (int)more};
}

static void values_of(const sink *to, const hm_toggle_info *toggle)
{
    for (int i = 0; i < hm_toggle_values(toggle); i++) {
        char name[64];
        hm_toggle_value_name(toggle, i, name, sizeof name);
        emit(to, name, toggle->name);
    }
}

static const hm_toggle_info *find_toggle(const char *name, size_t length)
{
    int count;
    const hm_toggle_info *list = hm_toggle_list(&count);
    for (int i = 0; i < count; i++)
        if (strlen(list[i].name) == length && !strncmp(list[i].name, name, length))
            return &list[i];
    return NULL;
}

static void settings(const sink *to)
{
    int count;
    const hm_toggle_info *list = hm_toggle_list(&count);
    for (int i = 0; i < count; i++) {
        char word[80];
        snprintf(word, sizeof word, "%s=", list[i].name);
        emit(to, word, list[i].text);
    }
}

/* A list of variants as far as it is typed: "naive,best:attn=flash,kv=". */
static void variant_list(const sink *to, const char *typed)
{
    const char *comma = strrchr(typed, ','), *piece = comma ? comma + 1 : typed, *colon = strchr(piece, ':'), *equals = strchr(piece, '=');
    const char *setting = colon ? colon + 1 : piece;
    bool goes_on = false; /* the variant before has settings, so one more may follow */
    for (const char *p = typed; p < piece; p += strcspn(p, ",") + 1) {
        size_t n = strcspn(p, ",");
        goes_on = memchr(p, ':', n) || (goes_on && memchr(p, '=', n));
    }
    if (equals && (colon || goes_on)) {
        const hm_toggle_info *toggle = find_toggle(setting, (size_t)(equals - setting));
        sink values = after(to, (size_t)(equals + 1 - typed));
        if (toggle)
            values_of(&values, toggle);
        return;
    }
    sink words = after(to, (size_t)(setting - typed));
    if (!colon)
        variants(&words);
    if (colon || goes_on)
        settings(&words);
}

/* Formats, parts that want one, and the words for several arms. */
static void precisions(const sink *to)
{
    for (int i = 0; hm_precision_formats[i]; i++)
        emit(to, hm_precision_formats[i], "all parts in this format");
    for (int i = 0; hm_precision_parts[i]; i++) {
        char word[80];
        snprintf(word, sizeof word, "%s=", hm_precision_parts[i]);
        emit(to, word, "a format of this part, others as they are");
    }
    emit(to, "ladder", "stored, bf16, f16, fp8, int8, int4, fp4: an arm each");
    emit(to, "each=", "every part alone in a format: an arm each");
}

/* NAME=VALUE,VALUE of an axis. */
static void axis_list(const sink *to, const char *typed)
{
    const char *equals = strchr(typed, '='), *comma = strrchr(typed, ',');
    if (!equals) {
        for (int i = 0; hm_plan_axes[i]; i++) {
            char word[80];
            snprintf(word, sizeof word, "%s=", hm_plan_axes[i]);
            emit(to, word, "axis: values with commas between, or first:last:step");
        }
        settings(to);
        return;
    }
    const hm_toggle_info *toggle = find_toggle(typed, (size_t)(equals - typed));
    sink values = after(to, (size_t)((comma > equals ? comma : equals) + 1 - typed));
    if (toggle)
        values_of(&values, toggle);
    else if (!strncmp(typed, "isa=", 4))
        isas(&values);
    else if (!strncmp(typed, "model=", 6))
        models(&values);
    else if (!strncmp(typed, "backend=", 8))
        backends(&values);
    else if (!strncmp(typed, "env-profile=", 12))
        env_profiles(&values);
    else if (!strncmp(typed, "precision=", 10))
        precisions(&values);
}

/* PART=FORMAT,PART=FORMAT; "=" closes no word. */
static void precision_list(const sink *to, const char *typed)
{
    const char *comma = strrchr(typed, ','), *piece = comma ? comma + 1 : typed, *equals = strchr(piece, '=');
    sink words = after(to, (size_t)((equals ? equals + 1 : piece) - typed));
    for (int i = 0; equals && hm_precision_formats[i]; i++)
        emit(&words, hm_precision_formats[i], "format of weights");
    for (int i = 0; !equals && hm_precision_parts[i]; i++) {
        char word[40];
        snprintf(word, sizeof word, "%s=", hm_precision_parts[i]);
        emit(&words, word, "part of the model");
    }
}

/* A,B,C of one kind. */
static void comma_list(const sink *to, const char *typed, void (*list)(const sink *to))
{
    const char *comma = strrchr(typed, ',');
    sink words = after(to, comma ? (size_t)(comma + 1 - typed) : 0);
    list(&words);
}

static void emit_suite(void *self, const char *name)
{
    emit(self, name, "suite");
}

static void suites(const sink *to)
{
    hm_error err;
    hm_suite_each_name(emit_suite, (void *)to, &err);
}

static void emit_cases(void *self, const char *name)
{
    hm_suite *suite = NULL;
    hm_error err;
    if (hm_suite_open(&suite, name, &err))
        return;
    for (int i = 0; i < suite->case_count; i++) {
        char text[256];
        snprintf(text, sizeof text, "%s/%s", suite->name, suite->cases[i].name);
        emit(self, text, "case");
    }
    hm_suite_close(&suite);
}

static void cases(const sink *to)
{
    hm_error err;
    suites(to); /* one of a suite's cases can be meant by the suite's name alone */
    hm_suite_each_name(emit_cases, (void *)to, &err);
}

static void sessions(const sink *to)
{
    emit(to, "last", "the newest session");
}

static void peers(const sink *to)
{
    for (const hm_peer *p = hm_peers; p->name; p++)
        emit(to, p->name, p->text);
}

static void commands(const sink *to)
{
    for (const hm_command *c = hm_commands; c->name; c++)
        emit(to, c->name, c->text);
}

/* Places ----------------------------------------------------------------------------------------------------------------------------- */

typedef struct naming {
    const char *name;
    void (*list)(const sink *to);
} naming;

/* Values of options that have this name in every command, and what commands take in their first places. */
static const naming option_values[] = {
    {"model", models}, {"metric", metrics}, {"session", sessions}, {"toggle", toggles},           {"suite", suites},
    {"case", cases},   {"isa", isas},       {"backend", backends}, {"env-profile", env_profiles}, {NULL, NULL}};
static const naming first_places[] = {{"suite", suites},  {"batch", suites},   {"gate", suites},   {"calibrate", suites},
                                      {"ablate", suites}, {"profile", cases},  {"history", cases}, {"help", commands},
                                      {"synth", models},  {"inspect", models}, {NULL, NULL}};

static bool list_named(const naming *list, const char *name, const char *typed, const sink *to)
{
    for (; list->name; list++)
        if (!strcmp(list->name, name)) {
            comma_list(to, typed, list->list);
            return true;
        }
    return false;
}

static void put_word(void *self, const char *word)
{
    emit(self, word, "");
}

typedef struct seeking {
    const char *word;
    bool found;
} seeking;

static void seek_word(void *self, const char *word)
{
    seeking *s = self;
    s->found = s->found || !strcmp(s->word, word);
}

/* The lines of the table that holds where we are; malloc'ed, NULL without memory. */
static char *option_lines(const hm_command *command, const char *word)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f)
        return NULL;
    hm_options_list_to(f, HM_LIST_LINES);
    if (!word || !hm_list_options(command, word))
        hm_list_options(command, NULL);
    hm_options_list_to(NULL, HM_LIST_LINES);
    fclose(f);
    return text;
}

/* What the option `given` ("--name" or "-n") takes: fills name and choices ("-": nothing). */
static bool find_option(const char *lines, const char *given, char *name, size_t name_size, char *choices, size_t choices_size)
{
    for (const char *p = lines; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
        const char *value = strchr(p, '\t'), *text = value ? strchr(value + 1, '\t') : NULL, *letter = text ? strchr(text + 1, '\t') : NULL;
        if (!letter)
            continue;
        bool is_long = !strncmp(given, p, (size_t)(value - p)) && !given[value - p];
        bool is_short = given[0] == '-' && given[1] == letter[1] && letter[1] != ' ' && !given[2];
        if (!is_long && !is_short)
            continue;
        snprintf(name, name_size, "%.*s", (int)(value - p - 2), p + 2);
        snprintf(choices, choices_size, "%.*s", (int)(text - value - 1), value + 1);
        return true;
    }
    return false;
}

static void put_options(const char *lines, const sink *to)
{
    for (const char *p = lines; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
        size_t name = strcspn(p, "\t\n"), value = name + 1 + strcspn(p + name + 1, "\t\n");
        const char *text = p + value + (p[value] == '\t');
        fprintf(to->file, "%.*s\t%.*s\n", (int)name, p, (int)strcspn(text, "\t\n"), text);
    }
}

/* Choices of an option, or the things that its name stands for, behind what `to` has as typed before. True: it takes a value, so nothing
 * else fits. */
static bool put_values(const char *lines, const char *option, const char *typed, const sink *to)
{
    char name[80], choices[600];
    if (!find_option(lines, option, name, sizeof name, choices, sizeof choices) || !strcmp(choices, "-"))
        return false;
    bool words = strchr(choices, ' ') || (choices[0] >= 'a' && choices[0] <= 'z');
    if (!strcmp(name, "variant") || !strcmp(name, "base") || !strcmp(name, "cand"))
        variant_list(to, typed);
    else if (!strcmp(name, "axis"))
        axis_list(to, typed);
    else if (!strcmp(name, "precision"))
        precision_list(to, typed);
    else if (!strcmp(choices, "NAME=CMD"))
        peers(to);
    else if (words)
        for (char *save, *p = strtok_r(choices, " ", &save); p; p = strtok_r(NULL, " ", &save))
            emit(to, p, "");
    else
        list_named(option_values, name, typed, to);
    return true;
}

/* Before a word that is no option's value. */
static void put_place(const hm_command *command, const char *first, const char *lines, const char *typed, int count, const sink *to)
{
    const char *equals = typed[0] == '-' && typed[1] == '-' ? strchr(typed, '=') : NULL;
    if (equals) {
        char option[80];
        sink values = after(to, (size_t)(equals + 1 - typed));
        snprintf(option, sizeof option, "%.*s", (int)(equals - typed), typed);
        put_values(lines, option, equals + 1, &values);
    } else if (*typed == '-') {
        put_options(lines, to);
    } else if (count > 2 && !strcmp(command->name, "plot")) {
        if (!strcmp(first, "history"))
            cases(to);
    } else if (count > 2 && !strcmp(command->name, "peers")) {
        if (!strcmp(first, "install") || !strcmp(first, "check"))
            peers(to);
    } else if (!list_named(first_places, command->name, "", to) && count == 2) {
        hm_usage_words(command, put_word, (void *)to);
    }
}

void hm_complete(char *const *args, int count, FILE *file)
{
    if (count < 2) {
        commands(&(sink){file, "", 0});
        return;
    }
    const hm_command *command = hm_command_find(args[0]);
    const char *typed = args[count - 1];
    sink to = {file, typed, 0};
    if (!command)
        return;
    seeking word = {args[1], false};
    hm_usage_words(command, seek_word, &word);
    char *lines = option_lines(command, word.found && count > 2 ? args[1] : NULL);
    if (lines && (count < 3 || !put_values(lines, args[count - 2], typed, &to)))
        put_place(command, args[1], lines, typed, count, &to);
    free(lines);
}
