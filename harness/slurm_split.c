/* A plan as tasks that can be measured apart without taking apart what is compared, and the script that runs them. */
#define _GNU_SOURCE /* environ */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/measure.h"
#include "harness/slurm_internal.h"

const char *const hm_slurm_split_names[] = {"case", "arm", NULL};

static void add_option(json_t *arguments, const char *name, const char *value)
{
    json_array_append_new(arguments, json_sprintf("--%s=%s", name, value));
}

/* A path that is no option. */
static void add_suite(json_t *arguments, const char *path)
{
    json_array_append_new(arguments, json_sprintf("%s%s", *path == '-' ? "./" : "", path));
}

static void add_task(json_t *tasks, const char *name, json_t *arguments)
{
    json_array_append_new(tasks, json_pack("{s:s, s:o}", "name", name, "arguments", arguments));
}

/* ---- by case ---- */

/* The file of a case's suite: several may have one name. */
static const char *file_of(const hm_plan *plan, int c)
{
    for (int i = 0; i < plan->suite_count; i++)
        if (plan->suites[i]->name == plan->cases[c].suite)
            return plan->suites[i]->path;
    return plan->cases[c].suite;
}

/* "^short/plain$" with its dots as they are. */
static void filter_of(const hm_case_record *c, char *out)
{
    char name[160];
    char *o = out;
    snprintf(name, sizeof name, "%s/%s", c->suite, c->name);
    *o++ = '^';
    for (const char *p = name; *p; p++) {
        if (*p == '.')
            *o++ = '\\';
        *o++ = *p;
    }
    strcpy(o, "$");
}

/* Those of the models asked for that make a case: naming others is refused where there is no other case. */
static char *models_of(const hm_plan *plan, int c)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    int n = 0;
    if (!f)
        return NULL;
    for (int i = 0; i < plan->arm_count; i++) {
        bool named = !hm_plan_runs(plan, c, i);
        for (int k = 0; k < i && !named; k++)
            named = hm_plan_runs(plan, c, k) && !strcmp(plan->arms[k].model, plan->arms[i].model);
        if (!named)
            fprintf(f, "%s%s", n++ ? "," : "", plan->arms[i].model);
    }
    return fclose(f) ? NULL : text;
}

static void split_cases(json_t *tasks, const hm_plan *plan, bool models_given)
{
    for (int c = 0; c < plan->case_count; c++) {
        char filter[340];
        char *models = models_given ? models_of(plan, c) : NULL;
        json_t *arguments = json_array();
        add_suite(arguments, file_of(plan, c));
        filter_of(&plan->cases[c], filter);
        add_option(arguments, "filter", filter);
        if (models)
            add_option(arguments, "model", models);
        free(models);
        snprintf(filter, sizeof filter, "%s/%s", plan->cases[c].suite, plan->cases[c].name);
        add_task(tasks, filter, arguments);
    }
}

/* ---- by arm ---- */

/* The arm that others are compared with on a case. */
static int first_arm(const hm_plan *plan, int c)
{
    for (int i = 0; i < plan->arm_count; i++)
        if (hm_plan_runs(plan, c, i))
            return i;
    return -1;
}

/* Whether some other arm runs this case too. */
static bool has_company(const hm_plan *plan, int c)
{
    int n = 0;
    for (int i = 0; i < plan->arm_count; i++)
        n += hm_plan_runs(plan, c, i);
    return n > 1;
}

/* An arm with those it is compared with: one task. An arm that is only compared with needs none of its own, unless a case has no other. */
static void split_arms(json_t *tasks, const hm_plan *plan)
{
    for (int i = 0; i < plan->arm_count; i++) {
        bool wanted = false, beside[HM_PLAN_ARMS] = {0};
        for (int c = 0; c < plan->case_count; c++)
            if (hm_plan_runs(plan, c, i)) {
                beside[first_arm(plan, c)] = true;
                wanted = wanted || first_arm(plan, c) != i || !has_company(plan, c);
            }
        if (!wanted)
            continue;
        json_t *arguments = json_array();
        for (int k = 0; k < plan->suite_count; k++)
            add_suite(arguments, plan->suites[k]->path);
        for (int k = 0; k < plan->arm_count; k++)
            if (beside[k] || k == i)
                add_option(arguments, "only-arm", plan->arms[k].name);
        add_task(tasks, plan->arms[i].name, arguments);
    }
}

hm_status hm_slurm_split_plan(json_t **out, const hm_plan *plan, hm_slurm_split split, bool models_given, hm_error *err)
{
    json_t *tasks = json_array();
    if (split == HM_SLURM_BY_CASE)
        split_cases(tasks, plan, models_given);
    else
        split_arms(tasks, plan);
    *out = tasks;
    if (json_array_size(tasks) <= HM_SLURM_TASKS)
        return HM_OK;
    json_decref(tasks);
    *out = NULL;
    return hm_fail(err, HM_EUSAGE, "--slurm: more than %d tasks: narrow the cases with --filter", HM_SLURM_TASKS);
}

int hm_slurm_tasks_of(const hm_plan *plan, hm_slurm_split split)
{
    json_t *tasks = NULL;
    int n = hm_slurm_split_plan(&tasks, plan, split, false, NULL) ? 0 : (int)json_array_size(tasks);
    json_decref(tasks);
    return n;
}

char *hm_slurm_ranges(const bool *wanted, int count)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    int n = 0;
    if (!f)
        return NULL;
    for (int i = 0, last; i < count; i = last + 1) {
        for (last = i; wanted[i] && last + 1 < count && wanted[last + 1]; last++)
            ;
        if (wanted[i])
            fprintf(f, last > i ? "%s%d-%d" : "%s%d", n++ ? "," : "", i, last);
    }
    return fclose(f) ? NULL : text;
}

/* ---- the script ---- */

static void put_word(FILE *f, const char *text)
{
    char *word = malloc(4 * strlen(text) + 3);
    if (!word)
        return;
    hm_shell_word(word, text);
    fputs(word, f);
    free(word);
}

static void put_words(FILE *f, const json_t *words)
{
    size_t i;
    const json_t *word;
    json_array_foreach(words, i, word)
    {
        fputs(i ? " " : "", f);
        put_word(f, json_string_value(word));
    }
}

/* A text that stays one comment. */
static void put_comment(FILE *f, const char *text)
{
    for (; *text; text++)
        fputc((unsigned char)*text < ' ' || *text == 0x7F ? ' ' : *text, f);
}

static void put_name(FILE *f, const char *name, const json_t *plan, const char *key)
{
    fprintf(f, "%s=", name);
    put_word(f, json_string_value(json_object_get(plan, key)));
    fputc('\n', f);
}

/* What decides where hmbench finds things: a cluster need not hand the environment on. */
static void put_environment(FILE *f)
{
    static const char *const names[] = {"HMBENCH_CACHE", "HMBENCH_MODULES", "HMBENCH_SUITES"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (getenv(names[i])) {
            fprintf(f, "export %s=", names[i]);
            put_word(f, getenv(names[i]));
            fputc('\n', f);
        }
}

static void put_tasks(FILE *f, const json_t *tasks)
{
    size_t i;
    const json_t *task;
    fputs("case $SLURM_ARRAY_TASK_ID in\n", f);
    json_array_foreach(tasks, i, task)
    {
        fprintf(f, "%zu) # ", i);
        put_comment(f, json_string_value(json_object_get(task, "name")));
        fputs("\n    own=(", f);
        put_words(f, json_object_get(task, "arguments"));
        fputs(") ;;\n", f);
    }
    fputs("*) echo \"no task $SLURM_ARRAY_TASK_ID\" >&2; exit 64 ;;\nesac\n", f);
}

static const char script_end[] =
    "\n"
    "task=$folder/task-$SLURM_ARRAY_TASK_ID\n"
    "array=${SLURM_ARRAY_JOB_ID:-0}\n"
    "tags=(--tag \"$tag\" --tag \"slurm_array=$array\" --tag \"slurm_task=$SLURM_ARRAY_TASK_ID\")\n"
    "trap : TERM INT # hmbench gets the signal, too, stores what it has and ends; then its exit code is still written\n"
    "\n"
    "# A session that was interrupted here goes on. 4: not on this machine or with this build; 66: there is nothing to go on with.\n"
    "code=66\n"
    "for db in \"$task\".db \"$task\"-*.db; do\n"
    "    [ -e \"$db\" ] || continue\n"
    "    \"$program\" suite --resume --db \"$db\" \"${common[@]}\" </dev/null\n"
    "    code=$?\n"
    "    case $code in 4 | 65 | 66) ;; *) break ;; esac\n"
    "done\n"
    "case $code in\n"
    "4 | 65 | 66)\n"
    "    db=$task.db\n"
    "    [ ! -e \"$db\" ] || db=$task-$array.db\n"
    "    \"$program\" suite \"${own[@]}\" --db \"$db\" \"${tags[@]}\" \"${common[@]}\" </dev/null\n"
    "    code=$?\n"
    "    ;;\n"
    "esac\n"
    "\n"
    "echo \"$code $(uname -n) ${SLURM_JOB_ID:-0}\" >\"$task.exit.new\" && mv \"$task.exit.new\" \"$task.exit\"\n"
    "exit \"$code\"\n";

char *hm_slurm_script(const json_t *plan)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f)
        return NULL;
    fputs("#!/bin/bash\n# Tasks of: ", f);
    put_comment(f, json_string_value(json_object_get(plan, "command")));
    fputs("\n# Slurm runs this once per task; by hand, where no Slurm is: SLURM_ARRAY_TASK_ID=0 bash job.sh\n\n", f);
    put_name(f, "program", plan, "program");
    put_name(f, "folder", plan, "folder");
    put_name(f, "tag", plan, "tag");
    put_environment(f);
    fputs("cd ", f);
    put_word(f, json_string_value(json_object_get(plan, "directory")));
    fputs(" || exit 74\n\n# what all tasks are given, and what each of them\ncommon=(", f);
    put_words(f, json_object_get(plan, "arguments"));
    fputs(")\n", f);
    put_tasks(f, json_object_get(plan, "tasks"));
    fputs(script_end, f);
    return fclose(f) ? NULL : text;
}
