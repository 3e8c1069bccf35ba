#include "harness/complete.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/probe.h"
#include "engine/synth.h"
#include "harness/commands.h"
#include "harness/metrics.h"
#include "suites/suite.h"
#include "variants/variants.h"

typedef struct sink {
    FILE *file;
    const char *prefix; /* of every word: what is typed before a comma */
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

static void metrics(const sink *to)
{
    for (const hm_metric *m = hm_metrics; m->name; m++)
        emit(to, m->name, m->meaning);
    for (int i = 0; i < HM_COUNTER_COUNT; i++)
        emit(to, hm_counter_name(i), hm_counter_text(i));
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

static void axes(const sink *to)
{
    static const char *const names[] = {"threads=", "flow_steps=", "isa=", "frames=", "model=", NULL};
    for (int i = 0; names[i]; i++)
        emit(to, names[i], "axis: values a,b,c or from:to:step");
}

static void sessions(const sink *to)
{
    emit(to, "last", "the newest session");
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
static const naming option_values[] = {{"variant", variants}, {"model", models}, {"metric", metrics}, {"axis", axes},     {"session", sessions},
                                       {"toggle", toggles},   {"base", variants}, {"suite", suites},  {"case", cases},    {NULL, NULL}};
static const naming first_places[] = {{"suite", suites},  {"batch", suites},     {"gate", suites},     {"calibrate", suites}, {"ablate", suites},
                                      {"profile", cases}, {"help", commands},    {"synth", models},    {"inspect", models},   {NULL, NULL}};

static bool list_named(const naming *list, const char *name, const sink *to)
{
    for (; list->name; list++)
        if (!strcmp(list->name, name)) {
            list->list(to);
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

/* Choices of an option, or the things that its name stands for. True: it takes a value, so nothing else fits. */
static bool put_values(const char *lines, const char *option, const char *typed, sink to)
{
    char name[80], choices[600];
    if (!find_option(lines, option, name, sizeof name, choices, sizeof choices) || !strcmp(choices, "-"))
        return false;
    const char *comma = strrchr(typed, ',');
    to.prefix = typed;
    to.prefix_length = comma ? (int)(comma + 1 - typed) : 0;
    if (list_named(option_values, name, &to))
        return true;
    bool words = strchr(choices, ' ') || (choices[0] >= 'a' && choices[0] <= 'z');
    for (char *save, *p = words ? strtok_r(choices, " ", &save) : NULL; p; p = strtok_r(NULL, " ", &save))
        emit(&to, p, "");
    return true;
}

void hm_complete(char *const *args, int count, FILE *file)
{
    sink to = {.file = file, .prefix = ""};
    if (count < 2) {
        commands(&to);
        return;
    }
    const hm_command *command = hm_command_find(args[0]);
    const char *typed = args[count - 1], *before = args[count - 2];
    if (!command)
        return;
    if (!strcmp(typed, "=")) /* bash makes a word of it */
        typed = "";
    else if (!strcmp(before, "=") && count > 3)
        before = args[count - 3];
    seeking word = {args[1], false};
    hm_usage_words(command, seek_word, &word);
    char *lines = option_lines(command, word.found && count > 2 ? args[1] : NULL);
    if (lines && (count < 3 || !put_values(lines, before, typed, to))) {
        const char *equals = typed[0] == '-' && typed[1] == '-' ? strchr(typed, '=') : NULL;
        if (equals) {
            char option[80];
            snprintf(option, sizeof option, "%.*s", (int)(equals - typed), typed);
            put_values(lines, option, equals + 1, to);
        } else if (*typed == '-')
            put_options(lines, &to);
        else if (!list_named(first_places, command->name, &to) && count == 2)
            hm_usage_words(command, put_word, &to);
    }
    free(lines);
}
