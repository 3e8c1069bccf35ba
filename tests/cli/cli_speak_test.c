#define _GNU_SOURCE
#include <glob.h>
#include <math.h>
#include <sys/stat.h>

#include "engine/audio/audio.h"
#include "harness/codes.h"
#include "tests/cli_case.h"
#include "tests/make_voice.h"

#define RATE 24000

static void assert_spoken(hm_run run)
{
    if (run.code)
        print_error("exit %d: %s", run.code, run.err);
    assert_int_equal(run.code, 0);
    run_free(&run);
}

static void assert_same_speech(const char *one, const char *two)
{
    assert_true(assert_same_file(one, two) > 1000);
}

#define SPEAK_WITH(model, ...) run_program("speak", "--model", (char *)model, __VA_ARGS__)
#define SPEAK(...) SPEAK_WITH("qwen3-tts-tiny", "--speaker", "vivian", __VA_ARGS__)
#define DESIGN(...) SPEAK_WITH("qwen3-tts-tiny-voice-design", __VA_ARGS__)
#define CLONE(...) SPEAK_WITH("qwen3-tts-tiny-base", __VA_ARGS__)
#define TEXT "--text", "One two three."
#define SHORT "--seconds", "0.8", "--force-length", "--seed", "3"
#define OUT in_folder("out.wav")

/* --- what is refused --- */

static void what_is_missing_or_told_twice_is_said(void **state)
{
    (void)state;
    assert_fails(SPEAK("-o", OUT), 64, "--text is missing");
    assert_fails(SPEAK(TEXT, "--text-file", "-", "-o", OUT), 64, "one of them");
    assert_fails(SPEAK(TEXT), 64, "-o is missing");
    assert_fails(SPEAK(TEXT, "-o", OUT, "--streaming-text", "--whole-text"), 64, "one of them");
    assert_fails(SPEAK(TEXT, "-o", OUT, "--design", "deep"), 64, "leave out --speaker");
    assert_fails(CLONE(TEXT, "-o", OUT, "--ref-text", "Hello."), 64, "--ref-audio, which is missing");
    assert_fails(SPEAK(TEXT, "--stream"), 64, "-o is missing");
    assert_fails(SPEAK(TEXT, "--stream", "-o", "-", "--json"), 64, "standard output");
}

static void options_out_of_range_are_refused(void **state)
{
    static const char *const bad[][2] = {{"--seconds", "0"},
                                         {"--seconds", "1e9"},
                                         {"--topk", "-2"},
                                         {"--temperature", "0"},
                                         {"--top-p", "1.5"},
                                         {"--top-p", "0"},
                                         {"--sub-topk", "-2"},
                                         {"--sub-top-p", "2"},
                                         {"--seed", "-1"},
                                         {"--sub-temperature", "0"},
                                         {"--repetition-penalty", "0"},
                                         {"--top-p", "nan"}};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_fails(SPEAK(TEXT, "-o", OUT, (char *)bad[i][0], (char *)bad[i][1]), 64, bad[i][0]);
}

static void names_that_are_not_known_are_answered_with_those_that_are(void **state)
{
    (void)state;
    assert_fails(SPEAK_WITH("qwen3-tts-tiny", TEXT, "-o", OUT), 64, "needs one of");
    assert_fails(SPEAK_WITH("qwen3-tts-tiny", TEXT, "-o", OUT), 64, "vivian");
    for (int i = 0; i < 2; i++)
        assert_fails(SPEAK_WITH("qwen3-tts-tiny", TEXT, "-o", OUT, "--speaker", "nobody"), 64,
                     i ? "vivian" : "speaker \"nobody\" is not one of this model's:");
    assert_fails(SPEAK(TEXT, "-o", OUT, "--language", "klingon"), 64, "language \"klingon\" is not one of this model's:");
    assert_fails(SPEAK(TEXT, "-o", OUT, "--language", "klingon"), 64, "english");
    assert_fails(SPEAK_WITH("qwen3-tts-tinny", TEXT, "-o", OUT), 66, "qwen3-tts-tiny");
    assert_fails(SPEAK_WITH("heartmula-tiny", TEXT, "-o", OUT), 64, "makes music, speech was asked for");
}

static void kinds_say_what_they_have_no_use_for(void **state)
{
    (void)state;
    assert_fails(SPEAK_WITH("qwen3-tts-tiny", TEXT, "-o", OUT, "--design", "an old man"), 64, "custom_voice");
    assert_fails(DESIGN(TEXT, "-o", OUT), 64, "description of the voice");
    assert_fails(DESIGN(TEXT, "-o", OUT, "--speaker", "vivian", "--instruct", "old"), 64, "describe the voice instead");
    assert_fails(CLONE(TEXT, "-o", OUT), 64, "reference audio");
    assert_fails(CLONE(TEXT, "-o", OUT, "--design", "old"), 64, "instruction");
    assert_fails(SPEAK(TEXT, "-o", OUT, "--ref-audio", in_folder("voice.wav")), 64, "clones no voice");
}

static void texts_that_cannot_be_said_are_refused(void **state)
{
    static char longest[60000];
    (void)state;
    put("nul.txt", "a\0b", 3);
    put("latin1.txt", "caf\xE9\n", 5);
    put("empty.txt", "", 0);
    assert_fails(SPEAK("--text", "", "-o", OUT), 64, "text: empty");
    assert_fails(SPEAK("--text-file", in_folder("empty.txt"), "-o", OUT), 64, "text: empty");
    assert_fails(SPEAK("--text-file", in_folder("nul.txt"), "-o", OUT), 65, "NUL");
    assert_fails(SPEAK("--text-file", in_folder("latin1.txt"), "-o", OUT), 65, "byte offset 3");
    assert_fails(SPEAK("--text", "caf\xE9", "-o", OUT), 65, "text");
    assert_fails(SPEAK(TEXT, "--instruct", "\xFF", "-o", OUT), 65, "instruct");
    assert_fails(DESIGN(TEXT, "--design", "\xFF", "-o", OUT), 65, "design");
    assert_fails(CLONE(TEXT, "--ref-audio", in_folder("voice.wav"), "--ref-text", "\xFF", "-o", OUT), 65, "reference text");
    assert_fails(SPEAK("--text-file", in_folder("absent.txt"), "-o", OUT), 66, "absent.txt");
    for (size_t i = 0; i < sizeof longest; i++)
        longest[i] = "x9 ?"[i * 7 % 4];
    put("long.txt", longest, sizeof longest);
    assert_fails(SPEAK("--text-file", in_folder("long.txt"), "-o", OUT), 64, "positions");
    assert_int_equal(files("out.wav"), 0);
}

static void outputs_are_checked_before_anything_is_made(void **state)
{
    (void)state;
    assert_fails(SPEAK(TEXT, "-o", in_folder("speech.ogg")), 64, ".wav, .flac or .mp3");
    assert_fails(SPEAK(TEXT, "-o", "-"), 64, "with --stream only");
    assert_fails(SPEAK(TEXT, "-o", "/nonexistent/speech.wav"), 73, "/nonexistent");
    assert_fails(SPEAK(TEXT, "--stream", "-o", "/nonexistent/speech.wav"), 73, "/nonexistent");
    assert_fails(SPEAK(TEXT, "--stream", "-o", in_folder("speech.ogg")), 64, ".wav, .flac or .mp3");
    assert_fails(SPEAK(TEXT, "--codes", "/nonexistent/c"), 73, "/nonexistent");
    assert_fails(SPEAK(TEXT, "-o", OUT, "--codes", folder), 73, "regular file");
}

static void write_voice(const char *name, const float *samples, int64_t count, int rate_hz)
{
    hm_error err = {0};
    hm_status st = hm_audio_write(in_folder(name), samples, 1, count, rate_hz, &err);
    if (st)
        print_error("%s\n", err.text);
    assert_int_equal(st, HM_OK);
}

/* A float WAV of `count` samples of one value, NaN allowed. */
static void put_wav(const char *name, uint32_t count, float value)
{
    uint32_t bytes = count * 4;
    uint8_t *file = calloc(1, 44 + bytes);
    const uint32_t words[] = {bytes + 36, 16, 1 << 16 | 3, RATE, RATE * 4, 32 << 16 | 4, bytes};
    assert_non_null(file);
    memcpy(file, "RIFF....WAVEfmt ", 16);
    memcpy(file + 4, &words[0], 4);
    memcpy(file + 16, &words[1], 20);
    memcpy(file + 36, "data", 4);
    memcpy(file + 40, &words[6], 4);
    for (uint32_t i = 0; i < count; i++)
        memcpy(file + 44 + 4 * i, &value, 4);
    put(name, (const char *)file, 44 + bytes);
    free(file);
}

static void recordings_that_cannot_be_cloned_are_refused(void **state)
{
    float *hour = calloc(3600, 8000 * sizeof *hour);
    (void)state;
    assert_non_null(hour);
    put_wav("silent.wav", RATE, 0);
    put_wav("short.wav", 50, 0.5f);
    put_wav("nan.wav", RATE, NAN);
    put("noise.wav", "this is no recording at all", 27);
    write_voice("hour.flac", hour, 3600 * 8000, 8000);
    free(hour);
    assert_fails(CLONE(TEXT, "-o", OUT, "--ref-audio", in_folder("absent.wav")), 66, "absent.wav");
    assert_fails(CLONE(TEXT, "-o", OUT, "--ref-audio", folder), 66, "no regular file");
    assert_fails(CLONE(TEXT, "-o", OUT, "--ref-audio", in_folder("silent.wav")), 64, "silent.wav");
    assert_fails(CLONE(TEXT, "-o", OUT, "--ref-audio", in_folder("short.wav")), 64, "short.wav");
    assert_fails(CLONE(TEXT, "-o", OUT, "--ref-audio", in_folder("hour.flac")), 64, "hour.flac");
    assert_fails(CLONE(TEXT, "-o", OUT, "--ref-audio", in_folder("nan.wav")), 65, "nan.wav");
    assert_fails(CLONE(TEXT, "-o", OUT, "--ref-audio", in_folder("noise.wav")), 65, "noise.wav");
    assert_int_equal(files("out.wav"), 0);
}

/* --- what is said --- */

static const char *text_of(json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

/* Mono, 24 kHz, ten frames. */
static void assert_wav(const char *path)
{
    float *audio = NULL;
    int channels, rate;
    int64_t samples;
    hm_error err;
    assert_int_equal(hm_audio_read(path, &audio, &channels, &samples, &rate, &err), HM_OK);
    assert_true(channels == 1 && rate == RATE && samples == 10 * 1920);
    free(audio);
}

static void speech_comes_out_and_decodes_to_the_same_bytes(void **state)
{
    hm_codes codes = {0};
    hm_error err;
    (void)state;
    hm_run run = SPEAK(TEXT, "--language", "English", SHORT, "--json", "-o", in_folder("custom.wav"), "--codes", in_folder("custom.codes"));
    json_t *result = result_of(&run), *voice = json_object_get(result, "voice"), *times = json_object_get(result, "times");
    assert_int_equal(json_integer_value(json_object_get(result, "frames")), 10);
    assert_int_equal(json_integer_value(json_object_get(result, "codebooks")), 16);
    assert_true(json_integer_value(json_object_get(result, "prompt_tokens")) > 0);
    assert_string_equal(text_of(result, "task"), "speech");
    assert_string_equal(text_of(voice, "from"), "speaker");
    assert_string_equal(text_of(voice, "speaker"), "vivian");
    assert_true(json_is_null(json_object_get(result, "stream")));
    assert_true(json_real_value(json_object_get(times, "frame_ms")) > 0 && json_real_value(json_object_get(times, "read_gbps")) > 0);
    assert_true(json_real_value(json_object_get(times, "reference_s")) == 0);
    assert_non_null(strstr(run.err, "an utterance of 10 frames of 16 codes, length forced"));
    assert_non_null(strstr(run.err, "by speaker vivian, language English"));
    assert_non_null(strstr(run.err, "24000 Hz, mono, wav float32"));
    json_decref(result);
    run_free(&run);
    assert_wav(in_folder("custom.wav"));
    assert_int_equal(hm_codes_read(in_folder("custom.codes"), &codes, &err), HM_OK);
    assert_true(codes.frames == 10 && codes.codebooks == 16 && codes.seed == 3);
    assert_string_equal(codes.model, "qwen3-tts-tiny");
    free(codes.codes);
    run = run_program("decode", in_folder("custom.codes"), "-q", "-o", in_folder("again.wav"));
    assert_string_equal(run.err, "");
    assert_spoken(run);
    assert_same_speech(in_folder("custom.wav"), in_folder("again.wav"));
    assert_fails(run_program("decode", in_folder("custom.codes"), "--model", "heartmula-tiny", "-o", OUT), 65, "16 codebooks");
}

static void codes_of_no_preset_ask_for_a_model(void **state)
{
    int32_t none[32] = {0};
    hm_codes c = {.frames = 2, .codebooks = 16, .codes = none};
    hm_error err;
    (void)state;
    assert_int_equal(hm_codes_write(in_folder("nameless"), &c, &err), HM_OK);
    assert_fails(run_program("decode", in_folder("nameless"), "-o", OUT), 64, "give --model");
    assert_spoken(run_program("decode", in_folder("nameless"), "--model", "qwen3-tts-tiny-base", "-q", "-o", in_folder("named.wav")));
}

static void streamed_speech_has_the_bytes_of_the_whole(void **state)
{
    (void)state;
    assert_spoken(SPEAK(TEXT, SHORT, "-q", "-o", in_folder("whole.wav")));
    for (int i = 0; i < 2; i++) {
        hm_run run =
            SPEAK(TEXT, SHORT, "--stream", "--json", "-o", in_folder("streamed.wav"), "--variant", i ? "best:decode=overlap" : "best");
        json_t *result = result_of(&run), *stream = json_object_get(result, "stream");
        assert_int_equal(json_integer_value(json_object_get(stream, "pieces")), 2); /* 3 frames, 7 left over */
        assert_true(json_real_value(json_object_get(stream, "ttfa_raw_s")) > 0);
        assert_true(json_is_number(json_object_get(stream, "buffer_s")));
        assert_non_null(strstr(run.err, "stream"));
        json_decref(result);
        run_free(&run);
        assert_same_speech(in_folder("whole.wav"), in_folder("streamed.wav"));
    }
    assert_fails(SPEAK(TEXT, SHORT, "--stream", "-o", OUT, "--variant", "naive"), 64, "decode=stream");
    assert_int_equal(files("out.wav"), 0);
}

/* Samples of 16 bits, from a program's standard output that began with a WAV header. */
static void assert_wav_stream(const char *bytes, const float *expected, int count)
{
    int16_t sample;
    assert_memory_equal(bytes, "RIFF", 4);
    assert_memory_equal(bytes + 8, "WAVEfmt ", 8);
    assert_memory_equal(bytes + 36, "data", 4);
    for (int i = 0; i < count; i++) {
        float v = expected[i] > 1 ? 1 : expected[i] < -1 ? -1 : expected[i];
        memcpy(&sample, bytes + 44 + 2 * i, 2);
        assert_true(fabsf((float)sample - v * 32767) <= 1.5f);
    }
}

static void standard_output_takes_a_stream_of_16_bits(void **state)
{
    float *audio = NULL;
    int channels, rate;
    int64_t samples;
    hm_error err;
    (void)state;
    assert_spoken(SPEAK(TEXT, SHORT, "-q", "-o", in_folder("whole.wav")));
    hm_run run = SPEAK(TEXT, SHORT, "--stream", "-o", "-");
    assert_int_equal(run.code, 0);
    assert_non_null(strstr(run.err, "standard output: 0.80 s, 24000 Hz, mono, wav 16 bit"));
    assert_int_equal(hm_audio_read(in_folder("whole.wav"), &audio, &channels, &samples, &rate, &err), HM_OK);
    assert_wav_stream(run.out, audio, (int)samples);
    free(audio);
    run_free(&run);
}

/* A folder of the tiny model that says it is of the size whose instructions the original drops. */
static void make_small_model(const char *dir)
{
    char *config = in_folder("0b6/config.json");
    hm_run run = run_program("synth", "qwen3-tts-tiny", (char *)dir);
    assert_spoken(run);
    json_t *root = json_load_file(config, 0, NULL);
    assert_non_null(root);
    assert_int_equal(json_object_set_new(root, "tts_model_size", json_string("0b6")), 0);
    assert_int_equal(json_dump_file(root, config, JSON_INDENT(2)), 0);
    json_decref(root);
}

static void instructions_are_followed_or_said_to_be_ignored(void **state)
{
    (void)state;
    char *small = in_folder("0b6");
    assert_spoken(SPEAK(TEXT, SHORT, "-q", "--codes", in_folder("plain")));
    hm_run run = SPEAK(TEXT, SHORT, "-q", "--instruct", "Sadly.", "--codes", in_folder("sad"));
    assert_string_equal(run.err, "");
    assert_spoken(run);
    hm_codes a = {0}, b = {0};
    hm_error err;
    assert_int_equal(hm_codes_read(in_folder("plain"), &a, &err), HM_OK);
    assert_int_equal(hm_codes_read(in_folder("sad"), &b, &err), HM_OK);
    assert_memory_not_equal(a.codes, b.codes, 10 * 16 * sizeof *a.codes);
    free(a.codes);
    free(b.codes);
    make_small_model(small);
    run = SPEAK_WITH(small, "--speaker", "vivian", TEXT, SHORT, "-q", "--instruct", "Sadly.", "-o", in_folder("small.wav"));
    assert_int_equal(run_lines(run.err), 1);
    assert_non_null(strstr(run.err, "warning: instruction: ignored"));
    assert_spoken(run);
    assert_wav(in_folder("small.wav"));
}

static void voices_are_made_from_descriptions(void **state)
{
    (void)state;
    hm_run run = DESIGN(TEXT, SHORT, "--design", "an old man", "--json", "-o", in_folder("design.wav"));
    json_t *result = result_of(&run), *voice = json_object_get(result, "voice");
    assert_string_equal(text_of(voice, "from"), "description");
    assert_string_equal(text_of(voice, "instruct"), "an old man");
    assert_true(json_is_null(json_object_get(voice, "speaker")));
    json_decref(result);
    run_free(&run);
    assert_wav(in_folder("design.wav"));
}

static void voices_are_cloned_by_timbre_and_in_context(void **state)
{
    static const char *const from[] = {"recording", "recording and its text"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        hm_run run = i ? CLONE(TEXT, SHORT, "--ref-audio", in_folder("voice.wav"), "--ref-text", "Hello there.", "--json", "-o",
                               in_folder("clone.wav"))
                       : CLONE(TEXT, SHORT, "--ref-audio", in_folder("voice.wav"), "--json", "-o", in_folder("clone.wav"), "--codes",
                               in_folder("clone.codes"));
        json_t *result = result_of(&run);
        assert_string_equal(text_of(json_object_get(result, "voice"), "from"), from[i]);
        assert_true(json_real_value(json_object_get(json_object_get(result, "times"), "reference_s")) > 0);
        assert_non_null(strstr(run.err, "for the voice of the recording"));
        json_decref(result);
        run_free(&run);
        assert_wav(in_folder("clone.wav"));
        if (!i) {
            assert_spoken(run_program("decode", in_folder("clone.codes"), "-q", "-o", in_folder("again.wav")));
            assert_same_speech(in_folder("clone.wav"), in_folder("again.wav"));
        }
    }
}

static void the_preset_of_a_kind_is_taken_unless_one_is_named(void **state)
{
    (void)state;
    hm_run runs[] = {
        run_program("speak", TEXT, SHORT, "--speaker", "vivian", "-q", "--json", "--codes", in_folder("kind")),
        run_program("speak", TEXT, SHORT, "--design", "old", "-q", "--json", "--codes", in_folder("kind")),
        run_program("speak", TEXT, SHORT, "--ref-audio", in_folder("voice.wav"), "-q", "--json", "--codes", in_folder("kind"))};
    static const char *const models[] = {"qwen3-tts-mini", "qwen3-tts-mini-voice-design", "qwen3-tts-mini-base"};
    for (int i = 0; i < 3; i++) {
        json_t *result = result_of(&runs[i]);
        assert_string_equal(text_of(result, "model"), models[i]);
        json_decref(result);
        run_free(&runs[i]);
    }
}

static void text_comes_from_standard_input_too(void **state)
{
    (void)state;
    char *const argv[] = {HM_PROGRAM, "speak", "--model", "qwen3-tts-tiny",       "--speaker", "Vivian", "--text-file", "-",
                          SHORT,      "-q",    "-o",      in_folder("piped.wav"), NULL};
    assert_spoken(SPEAK(TEXT, SHORT, "-q", "-o", in_folder("whole.wav")));
    hm_run run = run_command(argv, "One two three.\r\n\n", 300, 0);
    assert_spoken(run);
    assert_same_speech(in_folder("whole.wav"), in_folder("piped.wav"));
}

static int prompt_tokens(const char *text, const char *split)
{
    char *const argv[] = {HM_PROGRAM, "speak", "--model", "qwen3-tts-tiny",       "--speaker",   "vivian", "--text", (char *)text, SHORT,
                          "--json",   "-q",    "-o",      in_folder("split.wav"), (char *)split, NULL};
    hm_run run = run_command(argv, NULL, 300, 0);
    json_t *result = json_loads(run.out, 0, NULL);
    int tokens = (int)json_integer_value(json_object_get(result, "prompt_tokens"));
    assert_int_equal(run.code, 0);
    json_decref(result);
    run_free(&run);
    return tokens;
}

/* As the golden cases have it: "HelloWorld CamelCaseWords" is 7 tokens, or 11 when words end where case changes. */
static void text_is_cut_as_for_local_folders_on_request(void **state)
{
    (void)state;
    assert_int_equal(prompt_tokens("HelloWorld CamelCaseWords", "--local-split") - prompt_tokens("HelloWorld CamelCaseWords", NULL), 4);
    assert_int_equal(prompt_tokens("one two", "--local-split"), prompt_tokens("one two", NULL));
}

static bool audio_is_there(const hm_run *run)
{
    struct stat info;
    glob_t found = {0};
    (void)run;
    bool there = !glob(in_folder("cut.wav*"), 0, NULL, &found) && !stat(found.gl_pathv[0], &info) && info.st_size > 20000;
    globfree(&found);
    return there;
}

static void a_stream_that_is_interrupted_is_kept(void **state)
{
    (void)state;
    char *const argv[] = {HM_PROGRAM,  "speak", "--model",        "qwen3-tts-tiny", "--speaker", "vivian", TEXT,
                          "--seconds", "1200",  "--force-length", "--stream",       "-q",        "-o",     in_folder("cut.wav"),
                          NULL};
    hm_run run = run_interrupted(argv, audio_is_there);
    assert_int_equal(run.code, 130);
    assert_non_null(strstr(run.err, "kept the "));
    assert_null(strstr(run.err, "kept the 0.00"));
    run_free(&run);
    float *audio = NULL;
    int channels, rate;
    int64_t samples;
    hm_error err;
    assert_int_equal(hm_audio_read(in_folder("cut.wav"), &audio, &channels, &samples, &rate, &err), HM_OK);
    assert_true(samples > 0 && samples < 1200 * RATE && samples % 1920 == 0);
    free(audio);
    assert_int_equal(files("cut.wav"), 1);
}

static int make_files(void **state)
{
    (void)state;
    if (make_case_folder())
        return -1;
    float *voice = make_voice(RATE * 3 / 2, RATE, 130, 0.5);
    if (!voice)
        return -1;
    write_voice("voice.wav", voice, RATE * 3 / 2, RATE);
    free(voice);
    static const char *const models[] = {"qwen3-tts-tiny", "qwen3-tts-tiny-voice-design", "qwen3-tts-tiny-base",
                                         "qwen3-tts-mini", "qwen3-tts-mini-voice-design", "qwen3-tts-mini-base",
                                         "heartmula-tiny"};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) { /* making one says so: later runs say one line alone */
        hm_run run = run_command((char *const[]){(char *)HM_PROGRAM, "inspect", (char *)models[i], NULL}, NULL, 300, 0);
        int code = run.code;
        run_free(&run);
        if (code)
            return -1;
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_missing_or_told_twice_is_said),
        cmocka_unit_test(options_out_of_range_are_refused),
        cmocka_unit_test(names_that_are_not_known_are_answered_with_those_that_are),
        cmocka_unit_test(kinds_say_what_they_have_no_use_for),
        cmocka_unit_test(texts_that_cannot_be_said_are_refused),
        cmocka_unit_test(outputs_are_checked_before_anything_is_made),
        cmocka_unit_test(recordings_that_cannot_be_cloned_are_refused),
        cmocka_unit_test(speech_comes_out_and_decodes_to_the_same_bytes),
        cmocka_unit_test(codes_of_no_preset_ask_for_a_model),
        cmocka_unit_test(streamed_speech_has_the_bytes_of_the_whole),
        cmocka_unit_test(standard_output_takes_a_stream_of_16_bits),
        cmocka_unit_test(instructions_are_followed_or_said_to_be_ignored),
        cmocka_unit_test(voices_are_made_from_descriptions),
        cmocka_unit_test(voices_are_cloned_by_timbre_and_in_context),
        cmocka_unit_test(the_preset_of_a_kind_is_taken_unless_one_is_named),
        cmocka_unit_test(text_comes_from_standard_input_too),
        cmocka_unit_test(text_is_cut_as_for_local_folders_on_request),
        cmocka_unit_test(a_stream_that_is_interrupted_is_kept),
    };
    return cmocka_run_group_tests(tests, make_files, remove_folder);
}
