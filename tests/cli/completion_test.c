/* Completion: what is offered where, and that a real bash takes it. */
#define _GNU_SOURCE /* pipe2 */
#include "harness/plan.h"
#include "reports/plot.h"
#include "tests/shell_case.h"

/* ---- words ---- */

/* What `completion words` says after the words of a shell's line, the last one as far as typed. */
static hm_run words(const char *line)
{
    char command[1000];
    snprintf(command, sizeof command, "'%s' completion words -- %s", HM_PROGRAM, line);
    hm_run run = run_command((char *const[]){(char *)"/bin/sh", (char *)"-c", command, NULL}, NULL, 60, 0);
    assert_int_equal(run.code, 0);
    return run;
}

static bool offered(const hm_run *run, const char *word)
{
    char row[300];
    snprintf(row, sizeof row, "\n%s\t", word);
    return !strncmp(run->out, row + 1, strlen(row + 1)) || strstr(run->out, row);
}

static void words_are_offered_where_they_fit(void **state)
{
    static const struct {
        const char *line, *word, *not_word;
    } places[] = {
        {"''", "generate", "short"},
        {"db ''", "prune", NULL},
        {"db export -o ''", "jsonl", NULL},
        {"db export --", "--session", "--dropped"},
        {"suite ''", "short", "short/plain"},
        {"profile ''", "short/plain", NULL},
        {"history ''", "short/plain", NULL},
        {"help ''", "decode", NULL},
        {"list ''", "cases", NULL},
        {"inspect ''", "heartmula-mini", NULL},
        {"plot ''", "ladder", "KIND"},
        {"plot history ''", "short/plain", "ladder"},
        {"plot ladder --se", "--session", NULL},
        {"suite short --model ''", "heartmula-tiny", NULL},
        {"suite short --model heartmula-tiny,", "heartmula-tiny,heartmula-mini", NULL},
        {"generate --isa ''", "avx512", NULL},
        {"generate --isa=", "--isa=avx512", "avx512"},
        {"suite -V ''", "naive", "attn="},
        {"suite -V naive,b", "naive,best", "naive,attn="},
        {"suite --variant=naive,b", "--variant=naive,best", NULL},
        {"suite -V best:", "best:attn=", "best:naive"},
        {"suite -V best:at", "best:attn=", NULL},
        {"suite -V best:attn=", "best:attn=flash", "best:attn=concat"},
        {"suite -V best:attn=flash,", "best:attn=flash,kv=", NULL},
        {"suite -V best:attn=flash,n", "best:attn=flash,naive", NULL},
        {"suite -V best:attn=flash,kv=", "best:attn=flash,kv=concat", NULL},
        {"suite -V best:attn=flash,naive,", "best:attn=flash,naive,opt4", "best:attn=flash,naive,kv="},
        {"suite --variant=best:attn=", "--variant=best:attn=flash", NULL},
        {"transcribe x.wav --ta", "--task", "--rounds"},
        {"transcribe x.wav --task ''", "translate", "json"},
        {"transcribe x.wav --format ''", "srt", "transcribe"},
        {"transcribe x.wav --model ''", "whisper-mini", NULL},
        {"suite ''", "transcribe-medium", NULL},
        {"profile ''", "transcribe-short/voice", NULL},
        {"suite short -a ''", "batch-size=", "windows="},
        {"gate short --cand best:kv=", "best:kv=concat", NULL},
        {"suite --precision ''", "heads=", "int8"},
        {"speak --precision lm=in", "lm=int8", "lm=lm="},
        {"generate --precision=lm=int8,c", "--precision=lm=int8,codec=", NULL},
        {"suite -a ''", "threads=", NULL},
        {"suite -a attn=", "attn=flash", NULL},
        {"suite -a isa=scalar,", "isa=scalar,avx2", NULL},
        {"ablate short --toggle ''", "kv", NULL},
        {"peers install ''", "yardstick", "install"},
        {"peers check ''", "heartlib", NULL},
        {"peers list ''", NULL, "yardstick"},
        {"suite short --arm ''", "qwen-tts-compile", NULL},
        {"history --arm ''", NULL, "qwen-tts"},
        {"calibrate --simulate --drift ''", "ramp", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        hm_run run = words(places[i].line);
        if ((places[i].word && !offered(&run, places[i].word)) || (places[i].not_word && offered(&run, places[i].not_word)))
            fail_msg("%s: expected %s and not %s, found:\n%s", places[i].line, places[i].word ? places[i].word : "-",
                     places[i].not_word ? places[i].not_word : "-", run.out);
        run_free(&run);
    }
}

/* The axes that are offered are those that a plan takes, all of them. */
static void offered_axes_are_a_plans(void **state)
{
    hm_run run = words("suite short -a ''");
    int n, count = 0;
    (void)state;
    const hm_toggle_info *toggles = hm_toggle_list(&n);
    for (int i = 0; hm_plan_axes[i]; i++, count++) {
        char word[80];
        snprintf(word, sizeof word, "%s=", hm_plan_axes[i]);
        assert_true(offered(&run, word));
    }
    for (int i = 0; i < n; i++, count++) {
        char word[80];
        snprintf(word, sizeof word, "%s=", toggles[i].name);
        assert_true(offered(&run, word));
    }
    assert_int_equal(run_lines(run.out), count);
    for (char *save, *line = strtok_r(run.out, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char axis[100];
        snprintf(axis, sizeof axis, "%.*snonsense", (int)strcspn(line, "\t"), line);
        hm_run plan = run_program("suite", "short", "-a", axis, "--dry-run");
        if (strstr(plan.err, "there is none of this name")) /* its value is refused, if anything */
            fail_msg("%s is offered: %s", axis, plan.err);
        run_free(&plan);
    }
    run_free(&run);
}

static void offered_pictures_are_all_that_there_are(void **state)
{
    static const char *const kinds[] = {HM_PLOT_NAMES, "ablation", "history"};
    hm_run run = words("plot ''");
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        assert_true(offered(&run, kinds[i]));
    assert_int_equal(run_lines(run.out), sizeof kinds / sizeof *kinds);
    run_free(&run);
}

static void every_command_and_its_options_are_offered(void **state)
{
    hm_run all = words("''");
    (void)state;
    assert_true(run_lines(all.out) > 25);
    for (char *save, *line = strtok_r(all.out, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char text[100];
        line[strcspn(line, "\t")] = 0;
        snprintf(text, sizeof text, "%s --", line);
        hm_run options = words(text);
        if (strcmp(line, "db") && !offered(&options, "--help"))
            fail_msg("no options of %s are offered", line);
        run_free(&options);
    }
    run_free(&all);
}

/* ---- shells ---- */

static void bash_completes_on_a_terminal(void **state)
{
    (void)state;
    check_shell((char *const[]){(char *)"bash", (char *)"--norc", (char *)"-i", NULL}, "source <(hmbench completion bash)\r");
}

/* They run for real in completion_shells_test; whoever has them has at least a script that they can read. */
static void other_shells_can_read_their_scripts(void **state)
{
    (void)state;
    char command[600];
    snprintf(command, sizeof command,
             "for s in bash zsh fish; do '%s' completion $s >'%s' || exit 1; ! command -v $s >/dev/null || $s -n '%s' || exit 1; done",
             HM_PROGRAM, in_folder("script"), in_folder("script"));
    hm_run run = run_command((char *const[]){(char *)"/bin/sh", (char *)"-c", command, NULL}, NULL, 60, 0);
    assert_string_equal(run.err, "");
    assert_int_equal(run.code, 0);
    run_free(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_offered_where_they_fit),
        cmocka_unit_test(offered_axes_are_a_plans),
        cmocka_unit_test(offered_pictures_are_all_that_there_are),
        cmocka_unit_test(every_command_and_its_options_are_offered),
        cmocka_unit_test(bash_completes_on_a_terminal),
        cmocka_unit_test(other_shells_can_read_their_scripts),
    };
    return cmocka_run_group_tests(tests, make_shell_folder, remove_folder);
}
