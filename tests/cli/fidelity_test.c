/* What stands beside a time: how near an arm comes to the reference, whether what it made is sound, and where it ran. Real workers on tiny
 * models, and fake ones that are fast and wrong. */
#define _GNU_SOURCE
#include <math.h>
#include <sys/stat.h>

#include "tests/cli_case.h"
#include "tests/fake_worker.h"

static char db[128];

static int setup(void **state)
{
    (void)state;
    static const char text[] = "suite: near\ncases:\n  - {name: song, tags: t, lyrics: l, frames: 8}\n"
                               "  - {name: said, task: speech, text: hello there, speaker: ryan, language: english, frames: 5}\n";
    hm_error err;
    if (make_case_folder_and_cache())
        return 1;
    snprintf(db, sizeof db, "%s", in_folder("near.db"));
    return hm_file_write(in_folder("near.yaml"), text, sizeof text - 1, &err);
}

static void expect(hm_run run, int code, const char *in_out, const char *in_err)
{
    if (run.code != code || (in_out && !strstr(run.out, in_out)) || (in_err && !strstr(run.err, in_err)))
        fail_msg("expected exit code %d, \"%s\", \"%s\"; got %d:\n%s%s", code, in_out ? in_out : "", in_err ? in_err : "", run.code,
                 run.out, run.err);
    run_free(&run);
}

#define expect_sql(sql, wanted) expect_sql_of(db, sql, wanted)

#define SUITE(...) \
    run_program("suite", in_folder("near.yaml"), "--db", db, "-n", "1", "--warmup", "none", "--no-trace", "--no-limits", __VA_ARGS__)

static void arms_are_held_against_the_first_along_the_stored_codes(void **state)
{
    (void)state;
    hm_run run = SUITE("-m", "heartmula-tiny", "--variant",
                       "naive:flow_steps=2,naive:flow_steps=2,kv=prealloc,best:flow_steps=2,best:flow_steps=1", "--logit-frames", "6");
    assert_null(strstr(run.err, "fidelity of naive")); /* equal by promise and by hash: not run again */
    expect(run, 0, NULL,
           "fidelity of best:flow_steps=2 on near/song: along 6 frames 100.00 % of the likeliest codes are those of naive:flow_steps=2, "
           "mean KL");
    /* bitwise: no difference at all; others: another order of sums */
    expect_sql(
        "SELECT a.position, f.top1, f.mean_kl = 0, f.max_logit_difference = 0, f.mean_kl BETWEEN 0 AND 1e-8, f.max_logit_difference < "
        "1e-3 FROM fidelity f JOIN arm a ON a.id = f.arm_id ORDER BY a.position",
        "1,1.0,1,1,1,1\r\n2,1.0,0,0,1,1\r\n3,1.0,0,0,1,1\r\n");
    expect_sql("SELECT a.position, count(*), min(codebook), max(codebook), min(frames), max(frames), min(b.top1) FROM fidelity_codebook b "
               "JOIN arm a ON a.id = b.arm_id GROUP BY a.position",
               "1,8,0,7,6,6,1.0\r\n2,8,0,7,6,6,1.0\r\n3,8,0,7,6,6,1.0\r\n");
    /* other steps: other audio */
    expect_sql("SELECT f.snr_db BETWEEN 0 AND 60, f.spectral_snr_db BETWEEN 0 AND 60, f.log_spectral_db BETWEEN 0.1 AND 30 FROM fidelity f "
               "JOIN arm a ON a.id = f.arm_id WHERE a.position = 3",
               "1,1,1\r\n");
    expect_sql("SELECT f.log_spectral_db = 0 FROM fidelity f JOIN arm a ON a.id = f.arm_id WHERE a.position = 1", "1\r\n");
    assert_int_equal(files("logits-"), 0);
    expect_sql(
        "SELECT count(*), min(places LIKE '%backbone=cpu:%' AND places LIKE '%decoder=cpu:%' AND places LIKE '%flow=cpu:%' AND places "
        "LIKE '%vocoder=cpu:%'), min(zero_crossings > 0), min(flatness > 0) FROM sample",
        "4,1,1,1\r\n");
}

static void other_precisions_differ_a_little(void **state)
{
    (void)state;
    expect(SUITE("-m", "qwen3-tts-tiny", "--variant", "best,best:precision_backbone=f32:precision_decoder=f32", "--logit-frames", "4"), 64,
           NULL, "precision_decoder");
    expect(
        SUITE("-m", "qwen3-tts-tiny", "--variant", "naive,best:precision_backbone=f32,precision_decoder=f32", "--logit-frames", "4", "-q"),
        0, NULL, NULL);
    expect_sql(
        "SELECT count(*), min(b.frames), min(b.mean_kl >= 0 AND b.mean_kl < 1e-3), max(b.max_logit_difference) < 0.5, max(b.mean_kl) > 0 "
        "FROM fidelity_codebook b JOIN arm a ON a.id = b.arm_id WHERE a.name LIKE '%precision%'",
        "16,4,1,1,1\r\n");
    expect_sql("SELECT min(places LIKE '%talker_step=cpu:%' AND places LIKE '%code_predictor=cpu:%' AND places LIKE '%vocoder=cpu:%') FROM "
               "sample s "
               "JOIN run r ON r.id = s.run_id JOIN suite_case c ON c.id = r.case_id WHERE c.name = 'said'",
               "1\r\n");
}

/* Of every part alone: what it is seen by, and by what not. */
static void each_part_in_a_format_of_its_own_is_told_apart(void **state)
{
    (void)state;
    snprintf(db, sizeof db, "%s", in_folder("parts.db"));
    expect(SUITE("-m", "qwen3-tts-tiny", "--variant", "best", "-a", "precision=f32,int8,each=int8", "--logit-frames", "4", "-q"), 0, NULL,
           NULL);
    expect_sql(
        "SELECT a.name, f.relative_rms > 1e-3 AND f.relative_rms < 0.2 FROM fidelity f JOIN arm a ON a.id = f.arm_id WHERE a.name "
        "IN ('best precision=int8', 'best precision=backbone=int8', 'best precision=decoder=int8', 'best precision=heads=int8') ORDER BY "
        "a.position",
        "best precision=int8,1\r\nbest precision=backbone=int8,1\r\nbest precision=decoder=int8,1\r\nbest precision=heads=int8,1\r\n");
    /* a decoder of its own leaves the backbone's codebook alone; a codec of its own all logits, but not the audio */
    expect_sql("SELECT b.codebook > 0, max(b.relative_rms) > 1e-3 FROM fidelity_codebook b JOIN arm a ON a.id = b.arm_id WHERE a.name = "
               "'best precision=decoder=int8' GROUP BY 1 ORDER BY 1",
               "0,0\r\n1,1\r\n");
    expect_sql(
        "SELECT f.relative_rms < 1e-5, f.snr_db > 20 AND f.snr_db < 1e9 FROM fidelity f JOIN arm a ON a.id = f.arm_id WHERE a.name = "
        "'best precision=codec=int8'",
        "1,1\r\n");
    expect_sql(
        "SELECT p.part, p.span, min(p.format), max(p.format), p.frame_passes, min(p.pass_bytes > 0) FROM sample_part p JOIN sample s ON "
        "s.id = p.sample_id JOIN run r ON r.id = s.run_id JOIN arm a ON a.id = r.arm_id WHERE p.part IN ('decoder', 'heads') AND a.name "
        "IN ('best precision=f32', 'best precision=int8') GROUP BY p.part, p.span ORDER BY p.part, p.span",
        "decoder,code_predictor,f32,int8,15.0,1\r\nheads,code_predictor,f32,int8,15.0,1\r\nheads,talker_step,f32,int8,1.0,1\r\n");
    expect(run_program("journal", "--db", db), 0, "### Precision", NULL);
}

static void no_frames_are_compared_where_none_are_asked_for(void **state)
{
    (void)state;
    snprintf(db, sizeof db, "%s", in_folder("none.db"));
    expect(SUITE("-m", "qwen3-tts-tiny", "--variant", "naive,best", "--logit-frames", "0", "-q"), 0, NULL, NULL);
    expect_sql("SELECT count(*), count(top1) FROM fidelity", "1,0\r\n");
}

static void streams_are_the_whole_and_tell_of_their_seams(void **state)
{
    (void)state;
    snprintf(db, sizeof db, "%s", in_folder("stream.db"));
    expect(SUITE("-m", "qwen3-tts-tiny", "--variant", "naive,best", "--stream", "--logit-frames", "0", "-q"), 0, NULL, NULL);
    expect_sql("SELECT a.name, s.pieces > 1, s.seam_db IS NOT NULL, s.health, s.health_reasons LIKE '%pieces%', f.seam_db = s.seam_db FROM "
               "sample s "
               "JOIN run r ON r.id = s.run_id JOIN arm a ON a.id = r.arm_id LEFT JOIN fidelity f ON f.arm_id = a.id ORDER BY a.position",
               "naive,,0,ok,0,\r\nbest,1,1,ok,0,1\r\n");
}

static void a_worker_says_when_it_cannot_write_logits(void **state)
{
    (void)state;
    char *argv[] = {(char *)HM_PROGRAM, "worker", NULL}, input[1024], model[256];
    char *made = in_folder("made");
    expect(run_program("synth", "qwen3-tts-tiny", made), 0, NULL, NULL);
    snprintf(model, sizeof model, "%s", made);
    snprintf(
        input, sizeof input,
        "{\"type\":\"open\",\"model\":\"%s\"}\n{\"type\":\"run\",\"warmup\":\"none\",\"skip_codec\":true,\"logits\":\"/no/such/folder/x\","
        "\"logit_frames\":2,\"case\":{\"task\":\"speech\",\"text\":\"hello\",\"speaker\":\"ryan\",\"frames\":3}}\n"
        "{\"type\":\"run\",\"warmup\":\"none\",\"skip_codec\":true,\"logits\":\"%s\",\"logit_frames\":0,"
        "\"case\":{\"task\":\"speech\",\"text\":\"hello\",\"speaker\":\"ryan\",\"frames\":3}}\n",
        model, in_folder("zero.logits"));
    hm_run run = run_command(argv, input, 300, 0);
    if (!strstr(run.out, "\"code\":73") || !strstr(run.out, "cannot be created") || !strstr(run.out, "logit_frames"))
        fail_msg("expected two refusals, got %s%s", run.out, run.err);
    assert_null(strstr(run.out, "\"type\":\"sample\""));
    assert_int_equal(files("zero"), 0);
    run_free(&run);
}

static void a_fast_arm_whose_audio_is_bad_does_not_rank(void **state)
{
    (void)state;
    snprintf(db, sizeof db, "%s", in_folder("bad.db"));
    hm_run run = SUITE("--variant", "none", "--filter", "song", "--arm", fake_arm("sound", "good"), "--arm", fake_arm("wrong", "broken"),
                       "--rounds", "6");
    assert_null(strstr(run.out, "5.00x")); /* 10 ms against 2 ms */
    assert_non_null(strstr(run.out, "bad"));
    expect(run, 0, "does not rank", "health bad");
    run = run_program("journal", "--db", db, "-o", in_folder("bad.md"));
    expect(run, 0, NULL, NULL);
    char *journal = NULL;
    size_t size;
    FILE *f = fopen(in_folder("bad.md"), "r"), *copy = open_memstream(&journal, &size);
    assert_true(f && copy);
    for (int c; (c = getc(f)) != EOF;)
        putc(c, copy);
    fclose(f);
    fclose(copy);
    assert_null(strstr(journal, "5.00x"));
    assert_non_null(strstr(journal, "every sample is the same value"));
    free(journal);
}

static void an_arm_that_ran_elsewhere_is_marked(void **state)
{
    (void)state;
    static const char script[] = "#!/bin/sh\nexec \"$FAKE_PROGRAM\" --fake elsewhere\n";
    char option[300];
    snprintf(db, sizeof db, "%s", in_folder("place.db"));
    expect(SUITE("--variant", "none", "--filter", "song", "--arm", fake_arm("one", "good"), "--arm", fake_arm("two", "astray")), 0, NULL,
           "two: backbone ran on cuda:0, vocoder on cpu:avx2\n");
    put("hmbench-other", script, sizeof script - 1);
    assert_int_equal(chmod(in_folder("hmbench-other"), 0755), 0);
    setenv("FAKE_PROGRAM", fake_program(), 1);
    snprintf(option, sizeof option, "other=%s", in_folder("hmbench-other"));
    hm_run run =
        SUITE("--variant", "best:flow_steps=1", "-m", "heartmula-tiny", "--filter", "song", "--program", option, "--logit-frames", "0");
    if (!strstr(run.err, ": asked for cpu, but backbone ran on cuda:0\n"))
        fail_msg("expected a mark, got %d:\n%s%s", run.code, run.out, run.err);
    run_free(&run);
}

static void generate_tells_where_each_part_ran(void **state)
{
    (void)state;
    hm_run run = run_program("generate", "--tags", "pop", "--lyrics", in_folder("near.yaml"), "-s", "0.4", "--steps", "1", "-m",
                             "heartmula-tiny", "-o", in_folder("song.wav"), "--json");
    json_error_t e;
    json_t *o = json_loads(run.out, 0, &e), *list = json_object_get(o, "places");
    const char *const parts[] = {"backbone", "decoder", "flow", "vocoder"};
    assert_non_null(strstr(run.err, "every part on cpu:"));
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) {
        size_t i;
        bool found = false;
        json_t *p;
        json_array_foreach(list, i, p) if (!strcmp(json_string_value(json_object_get(p, "part")), parts[k])) found =
            json_integer_value(json_object_get(p, "operations")) > 0 && !json_integer_value(json_object_get(p, "elsewhere")) &&
            !strncmp(json_string_value(json_object_get(p, "device")), "cpu:", 4);
        if (!found)
            fail_msg("%s: no place in %s", parts[k], run.out);
    }
    assert_true(json_is_real(json_object_get(json_object_get(o, "sound"), "flatness")));
    json_decref(o);
    run_free(&run);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arms_are_held_against_the_first_along_the_stored_codes),
        cmocka_unit_test(other_precisions_differ_a_little),
        cmocka_unit_test(each_part_in_a_format_of_its_own_is_told_apart),
        cmocka_unit_test(no_frames_are_compared_where_none_are_asked_for),
        cmocka_unit_test(streams_are_the_whole_and_tell_of_their_seams),
        cmocka_unit_test(a_worker_says_when_it_cannot_write_logits),
        cmocka_unit_test(a_fast_arm_whose_audio_is_bad_does_not_rank),
        cmocka_unit_test(an_arm_that_ran_elsewhere_is_marked),
        cmocka_unit_test(generate_tells_where_each_part_ran),
    };
    if (argc == 3 && !strcmp(argv[1], "--fake"))
        return fake_worker(argv[2]);
    return cmocka_run_group_tests(tests, setup, remove_folder);
}
