/* Whatever name the program refuses, it tells the nearest one that it has. */
#define _GNU_SOURCE /* pipe2 */
#include "tests/cli_case.h"
#include "tests/fake_worker.h"

/* $D: the test's folder; --db is a database with a session of tiny/first by the arm `plain`, kept as the baseline release-x. */
static const struct {
    const char *what, *command, *nearest;
} slips[] = {
    {"command", "generat", "\"generate\""},
    {"command in help", "help generat", "\"generate\""},
    {"option", "suite short --rouns 3", "--rounds"},
    {"sub-word's option", "db prune --droped", "--dropped"},
    {"choice", "suite short --warmup fist", "\"first\""},
    {"choice of a shared option", "generate --isa avx22", "\"avx2\""},
    {"output format", "suite short -o jsno", "\"json\""},
    {"output format of a file", "history tiny/first -O jsno:x --db $D/x.db", "\"json\""},
    {"variant", "inspect heartmula-tiny --variant bset", "\"best\""},
    {"variant in a list", "suite short --variant naive,bset --dry-run", "\"best\""},
    {"baseline of a gate", "gate short --base relase-x --db $D/x.db", "\"release-x\""},
    {"toggle", "inspect heartmula-tiny --variant best:atn=flash", "\"attn\""},
    {"toggle's value", "inspect heartmula-tiny --variant best:attn=flsh", "\"flash\""},
    {"toggle of ablate", "ablate short --toggle kw", "\"kv\""},
    {"part of a precision", "suite short --precision bakbone=int8 --dry-run", "\"backbone\""},
    {"format of a precision", "suite short --precision lm=bf61 --dry-run", "\"bf16\""},
    {"suite", "suite shrt --dry-run", "\"short\""},
    {"suite of a case", "profile shrt/plain --trace x", "\"short\""},
    {"case", "profile short/plian --trace x", "\"plain\""},
    {"case by filter", "suite short --filter short/plian --dry-run", "\"plain\""},
    {"model", "inspect heartmula-mimi", "\"heartmula-mini\""},
    {"preset", "synth heartmula-tinny /tmp/x", "\"heartmula-tiny\""},
    {"metric", "ablate short --metric wal", "\"wall\""},
    {"axis", "suite short -a thread=1 --dry-run", "\"threads\""},
    {"axis' value", "suite short -a attn=flsh --dry-run", "\"flash\""},
    {"axis of instruction sets", "suite short -a isa=avx22 --dry-run", "\"avx2\""},
    {"arm of a plan", "suite short --model heartmula-tiny --only-arm bset --dry-run", "\"best\""},
    {"kind of picture", "plot laddr -o x.svg", "\"ladder\""},
    {"kind of picture of two words", "plot histroy short/plain -o x.svg", "\"history\""},
    {"list", "list varients", "\"variants\""},
    {"action of db", "db chekc", "\"check\""},
    {"action of trace", "trace chekc x.json", "\"check\""},
    {"action of cache", "cache prun", "\"prune\""},
    {"action of baseline", "baseline shw x --db $D/x.db", "\"show\""},
    {"shell", "completion fisch", "\"fish\""},
    {"baseline", "baseline show relase-x --db $D/x.db", "\"release-x\""},
    {"side of a comparison", "compare relase-x last --db $D/x.db", "\"release-x\""},
    {"arm of a comparison", "compare --session last plian other --db $D/x.db", "\"plain\""},
    {"case of a history", "history tiny/frist --db $D/x.db", "\"tiny/first\""},
    {"arm of a history", "history tiny/first --arm plian --db $D/x.db", "\"plain\""},
    {"kind of simulated drift", "calibrate --simulate --drift rmp", "\"ramp\""},
    {"task of a transcript", "transcribe $D/x.wav --task transcrib", "\"transcribe\""},
    {"option of a transcript", "transcribe $D/x.wav --beems 2", "--beams"},
    {"format of a transcript", "transcribe $D/x.wav --format jsn", "\"json\""},
    {"axis of cases", "suite transcribe-short -a bach-size=2 --dry-run", "\"batch-size\""},
    {"suite that transcribes", "suite transcribe-shrt --dry-run", "\"transcribe-short\""},
    {"speaker", "speak --text hi --speaker vivan --model qwen3-tts-tiny -o $D/x.wav", "\"vivian\""},
};

static void every_refused_name_is_told_with_the_nearest(void **state)
{
    int wrong = 0;
    (void)state;
    for (size_t i = 0; i < sizeof slips / sizeof *slips; i++) {
        char command[600], wanted[100];
        snprintf(command, sizeof command, "D='%s'; '%s' %s", folder, HM_PROGRAM, slips[i].command);
        snprintf(wanted, sizeof wanted, "did you mean %s?", slips[i].nearest);
        hm_run run = run_command((char *const[]){(char *)"/bin/sh", (char *)"-c", command, NULL}, NULL, 100, 0);
        if ((run.code != 64 && run.code != 66) || !strstr(run.err, wanted) || *run.out) {
            print_error("%s: hmbench %s\nexpected \"%s\", found %d: %s%s", slips[i].what, slips[i].command, wanted, run.code, run.err,
                        run.out);
            wrong++;
        }
        run_free(&run);
    }
    assert_int_equal(wrong, 0);
}

static int setup(void **state)
{
    (void)state;
    static const char text[] = "suite: tiny\ncases:\n  - {name: first, tags: t, lyrics: l, frames: 10}\n";
    char command[4 * PATH_MAX];
    if (make_case_folder_and_cache())
        return 1;
    put("tiny.yaml", text, sizeof text - 1);
    snprintf(command, sizeof command,
             "'%s' suite '%s' --variant none --arm plain=\"exec '%s' --fake good\" --rounds 1 -q --db '%s' >/dev/null && '%s' baseline set "
             "release-x --db '%s' 2>/dev/null",
             HM_PROGRAM, in_folder("tiny.yaml"), fake_program(), in_folder("x.db"), HM_PROGRAM, in_folder("x.db"));
    return system(command);
}

int main(int argc, char **argv)
{
    if (argc > 2 && !strcmp(argv[1], "--fake"))
        return fake_worker(argv[2]);
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_refused_name_is_told_with_the_nearest)};
    return cmocka_run_group_tests(tests, setup, remove_folder);
}
