#define _GNU_SOURCE
#include "engine/audio/audio.h"
#include "harness/codes.h"
#include "tests/cli_case.h"

#define GENERATE(...) run_program("generate", "--model", "heartmula-tiny", __VA_ARGS__)
#define OUT in_folder("song.wav")
#define LYRICS in_folder("lyrics.txt")

static void what_is_missing_is_asked_for(void **state)
{
    (void)state;
    assert_fails(GENERATE("--lyrics", LYRICS, "-o", OUT), 64, "--tags is missing");
    assert_fails(GENERATE("--tags", "pop", "-o", OUT), 64, "--lyrics is missing");
    assert_fails(GENERATE("--tags", "pop", "--lyrics", LYRICS), 64, "-o is missing");
    assert_fails(run_program("decode", "-o", OUT), 64, "which file of codes");
    assert_fails(run_program("decode", in_folder("x.codes")), 64, "-o is missing");
}

static void options_out_of_range_are_refused(void **state)
{
    static const char *const bad[][2] = {{"--seconds", "0"},  {"--seconds", "-1"},     {"--seconds", "1e9"},  {"--cfg", "0.5"},
                                         {"--topk", "0"},     {"--temperature", "0"},  {"--steps", "101"},    {"--steps", "-1"},
                                         {"--guidance", "0"}, {"--threads", "-1"},     {"--threads", "5000"}, {"--seed", "-1"},
                                         {"--isa", "sse"},    {"--backend", "abacus"}, {"--topk", "ten"}};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_fails(GENERATE("--tags", "pop", "--lyrics", LYRICS, "-o", OUT, (char *)bad[i][0], (char *)bad[i][1]), 64, bad[i][0]);
}

static void outputs_are_checked_before_anything_is_made(void **state)
{
    (void)state;
    assert_fails(GENERATE("--tags", "pop", "--lyrics", LYRICS, "-o", in_folder("song.ogg")), 64, ".wav, .flac or .mp3");
    assert_fails(GENERATE("--tags", "pop", "--lyrics", LYRICS, "-o", "/nonexistent/song.wav"), 73, "/nonexistent");
    assert_fails(GENERATE("--tags", "pop", "--lyrics", LYRICS, "-o", "/proc/song.wav"), 73, "/proc");
    assert_fails(GENERATE("--tags", "pop", "--lyrics", LYRICS, "--codes", "/nonexistent/c"), 73, "/nonexistent");
    assert_fails(GENERATE("--tags", "pop", "--lyrics", LYRICS, "--codes", folder), 73, "regular file");
}

static void texts_that_are_no_text_are_refused(void **state)
{
    (void)state;
    put("latin1.txt", "caf\xE9\n", 5);
    put("nul.txt", "a\0b", 3);
    assert_fails(GENERATE("--tags", "pop", "--lyrics", in_folder("latin1.txt"), "-o", OUT), 65, "byte offset 3");
    assert_fails(GENERATE("--tags", in_folder("latin1.txt"), "--lyrics", LYRICS, "-o", OUT), 65, "tags");
    assert_fails(GENERATE("--tags", "caf\xE9", "--lyrics", LYRICS, "-o", OUT), 65, "tags");
    assert_fails(GENERATE("--tags", "pop", "--lyrics", LYRICS, "--verse-style", "\xFF", "-o", OUT), 65, "style");
    assert_fails(GENERATE("--tags", "pop", "--lyrics", in_folder("nul.txt"), "-o", OUT), 65, "NUL");
    assert_fails(GENERATE("--tags", "pop", "--lyrics", in_folder("absent.txt"), "-o", OUT), 66, "absent.txt");
    assert_fails(GENERATE("--tags", "pop", "--lyrics", folder, "-o", OUT), 66, folder);
}

static void variants_and_models_are_named_right_or_refused(void **state)
{
    (void)state;
    assert_fails(GENERATE("--tags", "pop", "--lyrics", LYRICS, "-o", OUT, "--variant", "bset"), 64, "did you mean \"best\"");
    assert_fails(GENERATE("--tags", "pop", "--lyrics", LYRICS, "-o", OUT, "--variant", "best:atn=scores"), 64, "did you mean \"attn\"");
    assert_fails(GENERATE("--tags", "pop", "--lyrics", LYRICS, "-o", OUT, "--variant", "best:attn=score"), 64, "scores,all_slots,flash");
    assert_fails(GENERATE("--tags", "pop", "--lyrics", LYRICS, "-o", OUT, "--variant", "naive:attn=flash"), 64, "needs mask=none");
    assert_fails(run_program("generate", "--model", "heartmula-mimi", "--tags", "a", "--lyrics", LYRICS, "-o", OUT), 66, "heartmula-mini");
    assert_fails(run_program("generate", "--model", folder, "--tags", "a", "--lyrics", LYRICS, "-o", OUT), 66, folder);
    assert_int_equal(files("song.wav"), 0);
}

static void files_that_are_no_codes_are_refused(void **state)
{
    static const struct {
        const char *header, *text;
        int data;
    } bad[] = {
        {"{\"x\":{\"dtype\":\"I32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}", "no tensor \"codes\"", 16},
        {"{\"codes\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}", "expected type I32, found F32", 16},
        {"{\"codes\":{\"dtype\":\"I32\",\"shape\":[4],\"data_offsets\":[0,16]}}", "expected [codebooks, frames], found [4]", 16},
        {"{\"codes\":{\"dtype\":\"I32\",\"shape\":[0,4],\"data_offsets\":[0,0]}}", "expected [codebooks, frames]", 0},
        {"{\"codes\":{\"dtype\":\"I32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}", "codes.bad", 8},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char bytes[512] = {(char)strlen(bad[i].header)};
        memcpy(bytes + 8, bad[i].header, strlen(bad[i].header));
        put("codes.bad", bytes, 8 + strlen(bad[i].header) + (size_t)bad[i].data);
        assert_fails(run_program("decode", in_folder("codes.bad"), "-o", OUT), 65, bad[i].text);
    }
    int32_t codes[16] = {0, 1, 2, -5};
    hm_codes c = {.frames = 2, .codebooks = 8, .codes = codes};
    hm_error err;
    assert_int_equal(hm_codes_write(in_folder("codes.bad"), &c, &err), HM_OK);
    assert_fails(run_program("decode", in_folder("codes.bad"), "-o", OUT), 65, "codebook 3, frame 0: expected 0 to 65535, found -5");
    codes[3] = 0;
    c.codebooks = 4;
    c.frames = 4;
    assert_int_equal(hm_codes_write(in_folder("codes.bad"), &c, &err), HM_OK);
    assert_fails(run_program("decode", in_folder("codes.bad"), "--model", "heartmula-tiny", "-o", OUT), 65, "4 codebooks");
    assert_fails(run_program("decode", in_folder("absent"), "-o", OUT), 66, "absent");
    assert_int_equal(files("song.wav"), 0);
}

static void a_song_comes_out_and_decodes_to_the_same_bytes(void **state)
{
    float *audio = NULL;
    int channels, rate;
    int64_t samples;
    hm_error err;
    hm_codes codes = {0};
    (void)state;
    hm_run run = GENERATE("--tags", "pop, warm", "--lyrics", LYRICS, "--seconds", "1", "--force-length", "--steps", "2", "--json", "-o",
                          OUT, "--codes", in_folder("song.codes"));
    json_t *result = result_of(&run);
    assert_int_equal(json_integer_value(json_object_get(result, "frames")), 13); /* 1000 / 80 and the prompt's own */
    assert_string_equal(json_string_value(json_object_get(result, "variant")), "best");
    assert_true(json_is_true(json_object_get(result, "synthetic")));
    assert_string_not_equal(json_string_value(json_object_get(json_object_get(result, "health"), "verdict")), "bad");
    assert_true(json_real_value(json_object_get(json_object_get(result, "times"), "rtf")) > 0);
    assert_non_null(strstr(run.err, "frames/s in generate"));
    json_decref(result);
    run_free(&run);
    assert_int_equal(hm_audio_read(OUT, &audio, &channels, &samples, &rate, &err), HM_OK);
    assert_true(channels == 2 && rate > 0 && samples == (int64_t)(13 / 12.5 * rate));
    free(audio);
    assert_int_equal(hm_codes_read(in_folder("song.codes"), &codes, &err), HM_OK);
    assert_true(codes.frames == 13 && codes.codebooks == 8 && codes.seed == 1);
    free(codes.codes);
    run = run_program("decode", in_folder("song.codes"), "--model", "heartmula-tiny", "--steps", "2", "-q", "-o", in_folder("again.wav"));
    assert_int_equal(run.code, 0);
    assert_string_equal(run.err, "");
    assert_string_equal(run.out, "");
    run_free(&run);
    assert_same_file(OUT, in_folder("again.wav"));
}

static void seeds_and_threads_do_what_they_say(void **state)
{
    (void)state;
    static const char *const names[] = {"one", "same", "other"};
    for (int i = 0; i < 3; i++) {
        hm_run run = GENERATE("--tags", "pop", "--lyrics", LYRICS, "--seconds", "1", "--force-length", "--codes", in_folder(names[i]), "-q",
                              "--seed", i == 2 ? "2" : "1", "--threads", i == 1 ? "2" : "1");
        assert_int_equal(run.code, 0);
        run_free(&run);
    }
    assert_same_file(in_folder("one"), in_folder("same"));
    hm_codes a = {0}, b = {0};
    hm_error err;
    assert_int_equal(hm_codes_read(in_folder("one"), &a, &err), HM_OK);
    assert_int_equal(hm_codes_read(in_folder("other"), &b, &err), HM_OK);
    assert_memory_not_equal(a.codes, b.codes, 13 * 8 * sizeof *a.codes);
    free(a.codes);
    free(b.codes);
}

static void empty_lyrics_are_sung_with_a_warning(void **state)
{
    (void)state;
    hm_run run = GENERATE("--tags", "pop", "--lyrics", "/dev/null", "--seconds", "0.4", "-q", "-o", in_folder("empty.wav"));
    run_free(&run);
    run = run_command((char *const[]){(char *)HM_PROGRAM, (char *)"generate", (char *)"--model", (char *)"heartmula-tiny", (char *)"--tags",
                                      (char *)"pop", (char *)"--lyrics", (char *)"-", (char *)"--seconds", (char *)"0.4", (char *)"-q",
                                      (char *)"-o", in_folder("empty.wav"), NULL},
                      "  \r\n", 60, 0);
    assert_int_equal(run.code, 0);
    assert_int_equal(run_lines(run.err), 1);
    assert_non_null(strstr(run.err, "warning: the lyrics are empty"));
    run_free(&run);
}

static void newlines_of_every_kind_are_one(void **state)
{
    (void)state;
    put("unix.txt", "one\ntwo\n", 8);
    put("dos.txt", "one\r\ntwo\r\n", 10);
    put("mac.txt", "one\rtwo\r", 8);
    static const char *const names[] = {"unix", "dos", "mac"};
    for (int i = 0; i < 3; i++) {
        char text[16], codes[16];
        snprintf(text, sizeof text, "%s.txt", names[i]);
        snprintf(codes, sizeof codes, "%s.codes", names[i]);
        hm_run run =
            GENERATE("--tags", "pop", "--lyrics", in_folder(text), "--seconds", "0.4", "--force-length", "-q", "--codes", in_folder(codes));
        assert_int_equal(run.code, 0);
        run_free(&run);
    }
    assert_same_file(in_folder("unix.codes"), in_folder("dos.codes"));
    assert_same_file(in_folder("unix.codes"), in_folder("mac.codes"));
}

static void a_prompt_longer_than_the_context_is_refused(void **state)
{
    (void)state;
    char text[4000];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = "qz7#"[i % 4];
    put("long.txt", text, sizeof text);
    assert_fails(GENERATE("--tags", "pop", "--lyrics", in_folder("long.txt"), "--seconds", "1", "-o", in_folder("long.wav")), 64,
                 "positions");
    assert_int_equal(files("long.wav"), 0);
}

static void an_interrupted_song_leaves_no_file(void **state)
{
    (void)state;
    hm_run run = run_command((char *const[]){(char *)HM_PROGRAM, (char *)"generate", (char *)"--model", (char *)"heartmula-mini",
                                             (char *)"--tags", (char *)"pop", (char *)"--lyrics", LYRICS, (char *)"--seconds",
                                             (char *)"400", (char *)"--force-length", (char *)"-o", in_folder("stopped.wav"), NULL},
                             NULL, 60, 1.5);
    assert_int_equal(run.code, 130);
    assert_int_equal(run_lines(run.err) <= 2, 1); /* the model may just have been made */
    assert_int_equal(files("stopped"), 0);
    run_free(&run);
}

static int make_folder(void **state)
{
    (void)state;
    if (make_case_folder_and_cache())
        return -1;
    static const char lyrics[] = "[Verse]\nthe morning comes in slowly\n\n[Chorus]\nstay a while\n";
    put("lyrics.txt", lyrics, sizeof lyrics - 1);
    hm_run run = run_program("inspect", "heartmula-tiny"); /* makes it, so that no test sees the line about that */
    int failed = run.code;
    run_free(&run);
    return failed;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_missing_is_asked_for),
        cmocka_unit_test(options_out_of_range_are_refused),
        cmocka_unit_test(outputs_are_checked_before_anything_is_made),
        cmocka_unit_test(texts_that_are_no_text_are_refused),
        cmocka_unit_test(variants_and_models_are_named_right_or_refused),
        cmocka_unit_test(files_that_are_no_codes_are_refused),
        cmocka_unit_test(a_song_comes_out_and_decodes_to_the_same_bytes),
        cmocka_unit_test(seeds_and_threads_do_what_they_say),
        cmocka_unit_test(empty_lyrics_are_sung_with_a_warning),
        cmocka_unit_test(newlines_of_every_kind_are_one),
        cmocka_unit_test(a_prompt_longer_than_the_context_is_refused),
        cmocka_unit_test(an_interrupted_song_leaves_no_file),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
