/* Plans as tasks of a Slurm array, and the script of them. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/measure.h"
#include "harness/slurm_internal.h"

static hm_plan *plan_of(const char *models, const char *variants, const char *filter)
{
    hm_plan_options o = {.suites = {{"short"}, 1}, .model = models, .filter = filter, .backend = "cpu"};
    hm_plan *plan = NULL;
    hm_error err = {0};
    if (variants)
        o.variants = (hm_strings){{variants}, 1};
    if (hm_plan_make(&plan, &o, &err))
        fail_msg("%s", err.text);
    return plan;
}

/* All names and arguments as one text: "name: argument argument; ..." with paths cut to what is behind the last slash. */
static void expect_tasks(const hm_plan *plan, hm_slurm_split split, bool models, const char *wanted)
{
    json_t *tasks = NULL;
    hm_error err = {0};
    char text[4000] = "";
    size_t i, k;
    const json_t *task, *argument;
    assert_int_equal(hm_slurm_split_plan(&tasks, plan, split, models, &err), HM_OK);
    json_array_foreach(tasks, i, task)
    {
        sprintf(text + strlen(text), "%s%s:", i ? "; " : "", json_string_value(json_object_get(task, "name")));
        json_array_foreach(json_object_get(task, "arguments"), k, argument)
        {
            const char *word = json_string_value(argument), *slash = strrchr(word, '/');
            sprintf(text + strlen(text), " %s", *word == '/' && slash ? slash + 1 : word);
        }
    }
    assert_string_equal(text, wanted);
    assert_int_equal((int)json_array_size(tasks), hm_slurm_tasks_of(plan, split));
    json_decref(tasks);
}

static void a_case_gets_the_models_that_make_it(void **state)
{
    (void)state;
    hm_plan *plan = plan_of("qwen3-tts-tiny,heartmula-tiny", NULL, "/(plain|speech)$");
    expect_tasks(plan, HM_SLURM_BY_CASE, true,
                 "short/plain: short.yaml --filter=^short/plain$ --model=heartmula-tiny; "
                 "short/speech: short.yaml --filter=^short/speech$ --model=qwen3-tts-tiny");
    expect_tasks(plan, HM_SLURM_BY_CASE, false,
                 "short/plain: short.yaml --filter=^short/plain$; short/speech: short.yaml --filter=^short/speech$");
    hm_plan_close(&plan);
}

static void an_arm_comes_with_the_first_that_runs_its_cases(void **state)
{
    (void)state;
    hm_plan *plan = plan_of("heartmula-tiny", "naive,best,reference-heartlib", "/plain$");
    expect_tasks(
        plan, HM_SLURM_BY_ARM, false,
        "best: short.yaml --only-arm=naive --only-arm=best; reference-heartlib: short.yaml --only-arm=naive --only-arm=reference-heartlib");
    hm_plan_close(&plan);
}

static void arms_of_other_models_have_another_first(void **state)
{
    (void)state;
    hm_plan *plan = plan_of("heartmula-tiny,qwen3-tts-tiny", "naive,best", "/(plain|speech)$");
    expect_tasks(plan, HM_SLURM_BY_ARM, true,
                 "best model=heartmula-tiny: short.yaml --only-arm=naive model=heartmula-tiny --only-arm=best model=heartmula-tiny; "
                 "best model=qwen3-tts-tiny: short.yaml --only-arm=naive model=qwen3-tts-tiny --only-arm=best model=qwen3-tts-tiny");
    hm_plan_close(&plan);
}

static void an_arm_without_company_is_a_task_all_the_same(void **state)
{
    (void)state;
    hm_plan *plan = plan_of("heartmula-tiny,qwen3-tts-tiny", "best", "/(plain|speech)$");
    expect_tasks(plan, HM_SLURM_BY_ARM, true,
                 "best model=heartmula-tiny: short.yaml --only-arm=best model=heartmula-tiny; "
                 "best model=qwen3-tts-tiny: short.yaml --only-arm=best model=qwen3-tts-tiny");
    hm_plan_close(&plan);
}

static void only_named_arms_are_kept_in_their_order(void **state)
{
    (void)state;
    hm_plan_options o = {
        .suites = {{"short"}, 1}, .model = "heartmula-tiny", .variants = {{"naive,best,reference-heartlib"}, 1}, .backend = "cpu"};
    hm_plan *plan = NULL;
    hm_error err = {0};
    o.only_arms = (hm_strings){{"reference-heartlib", "naive"}, 2};
    assert_int_equal(hm_plan_make(&plan, &o, &err), HM_OK);
    assert_int_equal(plan->arm_count, 2);
    assert_string_equal(plan->arms[0].name, "naive");
    assert_string_equal(plan->arms[1].name, "reference-heartlib");
    hm_plan_close(&plan);
    o.only_arms = (hm_strings){{"referense-heartlib"}, 1};
    assert_int_equal(hm_plan_make(&plan, &o, &err), HM_EUSAGE);
    assert_non_null(strstr(err.text, "did you mean \"reference-heartlib\"?"));
}

static void indices_are_written_as_ranges(void **state)
{
    (void)state;
    static const struct {
        const char *bits, *text;
    } cases[] = {{"1", "0"}, {"111", "0-2"}, {"0110100", "1-2,4"}, {"1011", "0,2-3"}, {"0001", "3"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool wanted[16];
        int n = (int)strlen(cases[i].bits);
        for (int k = 0; k < n; k++)
            wanted[k] = cases[i].bits[k] == '1';
        char *text = hm_slurm_ranges(wanted, n);
        assert_string_equal(text, cases[i].text);
        free(text);
    }
}

/* What bash makes of the words of a script, by a program that prints them. */
static void hostile_words_reach_the_program_as_they_are(void **state)
{
    (void)state;
    static const char *const words[] = {"--a=it's",        "--b=$HOME `x` \\",    "--c=\"two\" words", "--d={x,y}", "--e=~ *?[a]",
                                        "--f=x;y|z&w>v<u", "--g=line\nline\ttab", "--h=#!^",           "",          "--j=\xC3\xA4"};
    enum {
        COUNT = sizeof words / sizeof *words
    };
    char folder[] = "/tmp/hm_split_XXXXXX", path[64], command[400], line[4096];
    json_t *arguments = json_array();
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/it's $x", folder);
    for (int i = 0; i < COUNT; i++)
        json_array_append_new(arguments, json_string(words[i]));
    json_t *plan =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:[{s:s, s:[s]}]}", "program", "/usr/bin/printf", "folder", folder, "tag", "slurm=x'y",
                  "command", "a\nrm -rf /", "directory", folder, "arguments", arguments, "tasks", "name", "x\n) rm", "arguments", "o w'n");
    char *script = hm_slurm_script(plan);
    assert_non_null(script);
    for (int i = 0; i < COUNT; i++) { /* the program is told "suite" first: a format of its own prints each word on a line of its own */
        char *word = malloc(4 * strlen(words[i]) + 3);
        hm_shell_word(word, words[i]);
        assert_non_null(strstr(script, word));
        snprintf(line, sizeof line, "printf %%s %s", word);
        FILE *shell = popen(line, "r");
        char seen[256] = "";
        size_t n = fread(seen, 1, sizeof seen - 1, shell);
        seen[n] = 0;
        pclose(shell);
        assert_string_equal(seen, words[i]);
        free(word);
    }
    assert_null(strstr(script, "\nrm"));
    snprintf(path, sizeof path, "%s/job.sh", folder);
    FILE *f = fopen(path, "w");
    fputs(script, f);
    fclose(f);
    snprintf(command, sizeof command,
             "cd %s && SLURM_ARRAY_TASK_ID=0 bash job.sh >out 2>&1; code=$?; [ \"$(cut -d ' ' -f 1 task-0.exit)\" = $code ] && "
             "SLURM_ARRAY_TASK_ID=7 bash job.sh >>out 2>&1; [ $? = 64 ] && rm -r %s",
             folder, folder);
    assert_int_equal(system(command), 0);
    free(script);
    json_decref(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_case_gets_the_models_that_make_it),        cmocka_unit_test(an_arm_comes_with_the_first_that_runs_its_cases),
        cmocka_unit_test(arms_of_other_models_have_another_first),    cmocka_unit_test(an_arm_without_company_is_a_task_all_the_same),
        cmocka_unit_test(only_named_arms_are_kept_in_their_order),    cmocka_unit_test(indices_are_written_as_ranges),
        cmocka_unit_test(hostile_words_reach_the_program_as_they_are)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
