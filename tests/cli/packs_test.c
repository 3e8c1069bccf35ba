/* Packed weights through the program: made on the first run, mapped by the next ones, shown, pruned; and formats by --precision. */
#define _GNU_SOURCE
#include <sys/stat.h>

#include "tests/cli_case.h"

#define SPEAK "$P speak -m qwen3-tts-tiny --text 'One two.' --speaker vivian --seconds 0.4 --seed 7 -t 2 "
#define SONG "$P generate -m heartmula-tiny --tags pop --lyrics $D/lyrics.txt --seconds 0.4 --seed 7 -t 2 "

/* A shell command with the program as $P and the test's folder as $D. */
static hm_run shell(const char *command)
{
    return run_command((char *const[]){(char *)"/bin/bash", (char *)"-c", (char *)command, NULL}, NULL, 300, 0);
}

/* What the shell prints on stdout when all goes well, and nothing on stderr. */
static char *output(const char *command)
{
    hm_run run = shell(command);
    if (run.code || run.err[0])
        fail_msg("%s: %d, %s", command, run.code, run.err);
    char *text = strdup(run.out);
    run_free(&run);
    return text;
}

static void expect(const char *command, const char *text)
{
    char *found = output(command);
    if (strcmp(found, text))
        fail_msg("%s: expected \"%s\", found \"%s\"", command, text, found);
    free(found);
}

static void the_first_run_packs_and_the_next_ones_map(void **state)
{
    (void)state;
    free(output(SPEAK "--precision lm=int8 -q -o $D/one.wav "));
    char *first = output("cd $D/cache/packs && stat -c '%n %i %Y' *.pack | cut -d' ' -f1,2");
    assert_non_null(strstr(first, "-int8-"));
    free(output(SPEAK "--precision lm=int8 -q -o $D/two.wav"));
    char *second = output("cd $D/cache/packs && stat -c '%n %i %Y' *.pack | cut -d' ' -f1,2");
    assert_string_equal(first, second); /* the same files: nothing was made */
    expect("cmp $D/one.wav $D/two.wav; ls $D/cache/packs | sed -n /part/p", "");
    free(first);
    free(second);
}

/* The counters of runs in the database are those of a start that found its packs. */
static void a_worker_measures_the_start_after_packing(void **state)
{
    (void)state;
    free(output(
        "cd $D && $P cache prune --packs >/dev/null 2>&1; "
        "$P suite short -m heartmula-tiny -f plain -n 1 -q --variant best --precision lm=int4 --db $D/x.db >/dev/null 2>&1; echo $?"));
    expect(
        "$P db sql --db $D/x.db \"SELECT count(*) FROM count WHERE name = 'packed_bytes' AND value > 0\" -o csv 2>/dev/null | tail -1 | tr -d '\\r'",
        "0\n");
}

static void every_precision_sings_and_speaks(void **state)
{
    (void)state;
    static const char *const formats[] = {"f32", "bf16", "f16", "fp8", "int8", "int4", "fp4"};
    char command[600];
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        snprintf(command, sizeof command, SONG "--precision %s -q -o $D/song-%s.wav && " SPEAK "--precision all=%s -q -o $D/say-%s.wav",
                 formats[i], formats[i], formats[i], formats[i]);
        free(output(command));
    }
}

static void the_cache_shows_packs_and_prunes_them(void **state)
{
    (void)state;
    free(output(SPEAK "--precision lm=int4 -q -o $D/one.wav"));
    char *list = output("$P cache list");
    assert_non_null(strstr(list, "qwen3-tts-tiny"));
    assert_non_null(strstr(list, "  int4  "));
    assert_non_null(strstr(list, "/packs/"));
    free(list);
    expect("$P cache prune --packs --keep 1 2>/dev/null", "");
    hm_run run = shell("$P cache prune --packs");
    assert_int_equal(run.code, 0);
    assert_non_null(strstr(run.out, "removed "));
    assert_non_null(strstr(run.err, "MB are free again"));
    run_free(&run);
    expect("ls $D/cache/packs | wc -l; ls -d $D/cache/models/qwen3-tts-tiny-*[0-9a-f] | wc -l", "0\n1\n");
}

static void a_damaged_pack_is_told_and_made_anew(void **state)
{
    (void)state;
    free(output(SPEAK "--precision lm=int8 -q -o $D/one.wav"));
    hm_run run = shell("for f in $D/cache/packs/*int8*; do truncate -s 5000 $f; done; " SPEAK "--precision lm=int8 -q -o $D/two.wav");
    assert_int_equal(run.code, 0);
    assert_non_null(strstr(run.err, "made anew"));
    run_free(&run);
    expect("cmp $D/one.wav $D/two.wav; " SPEAK "--precision lm=int8 -q -o $D/two.wav; cmp $D/one.wav $D/two.wav", "");
}

static void a_cache_that_cannot_be_written_is_told_once(void **state)
{
    (void)state;
    free(output(SPEAK "--precision lm=int8 -q -o $D/one.wav"));
    hm_run run = shell("rm -r $D/cache/packs; touch $D/cache/packs; " SPEAK "--precision lm=int8 -q -o $D/two.wav; code=$?; "
                       "rm $D/cache/packs; exit $code");
    assert_int_equal(run.code, 0);
    assert_non_null(strstr(run.err, "cannot be kept in"));
    assert_int_equal(run_lines(run.err), 1);
    run_free(&run);
    expect("cmp $D/one.wav $D/two.wav", "");
}

static void what_precision_cannot_mean_is_said(void **state)
{
    (void)state;
    assert_fails(shell(SPEAK "--precision talker=int8 -o $D/x.wav"), 64, "--precision: no part \"talker\"");
    assert_fails(shell(SPEAK "--precision lm=int2 -o $D/x.wav"), 64, "stored, f32, bf16, f16, int8, int4, fp4, fp8");
    assert_fails(shell(SPEAK "--variant best:panels=rows,precision_backbone=int8 -o $D/x.wav"), 64, "needs panels=packed");
    assert_fails(shell("$P suite short --variant all --precision int8 --dry-run"), 64, "name the variants");
}

static int prepare(void **state)
{
    (void)state;
    if (make_case_folder_and_cache() || setenv("P", HM_PROGRAM, 1) || setenv("D", folder, 1))
        return -1;
    put("lyrics.txt", "[Verse]\nla la la\n", 17);
    hm_run run = shell("$P inspect qwen3-tts-tiny >/dev/null && $P inspect heartmula-tiny >/dev/null");
    int code = run.code;
    run_free(&run);
    return code;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_run_packs_and_the_next_ones_map), cmocka_unit_test(a_worker_measures_the_start_after_packing),
        cmocka_unit_test(every_precision_sings_and_speaks),          cmocka_unit_test(the_cache_shows_packs_and_prunes_them),
        cmocka_unit_test(a_damaged_pack_is_told_and_made_anew),      cmocka_unit_test(a_cache_that_cannot_be_written_is_told_once),
        cmocka_unit_test(what_precision_cannot_mean_is_said),
    };
    return cmocka_run_group_tests(tests, prepare, remove_folder);
}
