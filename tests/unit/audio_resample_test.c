/* Recordings as the voice encoders take them: any rate, any channels, to mono at 24 kHz; and what cannot be one is refused in a
 * sentence. */
#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/audio/audio.h"
#include "engine/audio/mel.h"
#include "tests/make_voice.h"

#define RATE 24000

static char folder[] = "audio_resample_XXXXXX", path[64];

static const char *file(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    static const char *const names[] = {"sine.wav",  "voice.flac", "voice.mp3", "text.wav", "long.wav",
                                        "short.wav", "silent.wav", "bad.wav",   "odd.wav"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(file(names[i]));
    return rmdir(folder);
}

/* A sine of `hz` that channel c has `gain[c]` times (NULL: all alike). */
static void write_sine(const char *name, int rate_hz, int channels, double hz, double seconds, double level, const double *gain)
{
    int64_t n = (int64_t)(seconds * rate_hz);
    float *planar = malloc((size_t)n * (size_t)channels * sizeof *planar);
    hm_error err = {0};
    assert_non_null(planar);
    for (int c = 0; c < channels; c++)
        for (int64_t i = 0; i < n; i++)
            planar[c * n + i] = (float)(level * (gain ? gain[c] : 1) * sin(2 * M_PI * hz * (double)i / rate_hz));
    if (hm_audio_write(file(name), planar, channels, n, rate_hz, &err))
        fail_msg("%s", err.text);
    free(planar);
}

static void put(FILE *f, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        fputc((int)(value >> (8 * i) & 255), f);
}

/* A WAV file of mono float32 samples as they are given; then `silence` more, which take no room on the disk. */
static void write_wav(const char *name, uint32_t rate_hz, const float *samples, uint32_t count, uint32_t silence)
{
    FILE *f = fopen(file(name), "wb");
    uint32_t data = 4 * (count + silence);
    assert_non_null(f);
    fputs("RIFF", f);
    put(f, 36 + data, 4);
    fputs("WAVEfmt ", f);
    put(f, 16, 4);
    put(f, 3, 2); /* float */
    put(f, 1, 2); /* channels */
    put(f, rate_hz, 4);
    put(f, 4 * rate_hz, 4);
    put(f, 4, 2);
    put(f, 32, 2);
    fputs("data", f);
    put(f, data, 4);
    assert_int_equal(fwrite(samples, sizeof *samples, count, f), count);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(truncate(path, 44 + (off_t)data), 0);
}

static float *read_mono(const char *name, int64_t *count)
{
    float *samples = NULL;
    hm_error err = {0};
    if (hm_audio_read_mono(&samples, count, file(name), RATE, &err))
        fail_msg("%s", err.text);
    return samples;
}

/* Level of the sine of `hz` in the middle half, by projection, and the RMS of all that is not it. */
static double level_of(const float *x, int64_t n, double hz, double *rest)
{
    int64_t first = n / 4, last = n - n / 4;
    double a = 0, b = 0, energy = 0;
    for (int64_t i = first; i < last; i++) {
        a += 2 * x[i] * sin(2 * M_PI * hz * (double)i / RATE) / (double)(last - first);
        b += 2 * x[i] * cos(2 * M_PI * hz * (double)i / RATE) / (double)(last - first);
    }
    for (int64_t i = first; i < last; i++) {
        double w = 2 * M_PI * hz * (double)i / RATE, left = x[i] - a * sin(w) - b * cos(w);
        energy += left * left;
    }
    *rest = sqrt(energy / (double)(last - first));
    return hypot(a, b);
}

static void a_sine_keeps_its_frequency_and_level(void **state)
{
    const int rates[] = {44100, 48000, 16000, 8000, 24000, 22050, 11025}, channels[] = {1, 2, 6};
    (void)state;
    for (size_t r = 0; r < sizeof rates / sizeof *rates; r++)
        for (size_t c = 0; c < sizeof channels / sizeof *channels; c++)
            for (double hz = 440; hz < 3500; hz += 1500) {
                int64_t n;
                double rest, level;
                write_sine("sine.wav", rates[r], channels[c], hz, 1, 0.5, NULL);
                float *x = read_mono("sine.wav", &n);
                assert_int_equal(n, RATE);
                level = level_of(x, n, hz, &rest);
                if (fabs(level - 0.5) > 5e-4 || rest > 5e-4)
                    fail_msg("%d Hz, %d channels: a sine of %g Hz has level %.6f, expected 0.5, and %.2g besides", rates[r], channels[c],
                             hz, level, rest);
                free(x);
            }
}

static void lengths_round_up(void **state)
{
    float voice[4410] = {0.5f};
    int64_t n;
    (void)state;
    write_wav("odd.wav", 44100, voice, 4409, 0);
    free(read_mono("odd.wav", &n));
    assert_int_equal(n, 2400); /* 2399.46 */
    write_wav("odd.wav", 24000, voice, 4409, 0);
    float *x = read_mono("odd.wav", &n);
    assert_int_equal(n, 4409);
    assert_memory_equal(x, voice, 4409 * sizeof *x); /* nothing to resample: untouched */
    free(x);
}

static void what_is_above_half_the_rate_does_not_come_back_below_it(void **state)
{
    int64_t n;
    double rest;
    (void)state;
    write_sine("sine.wav", 48000, 1, 15000, 1, 0.5, NULL);
    float *x = read_mono("sine.wav", &n);
    assert_true(level_of(x, n, 9000, &rest) < 1e-4);
    assert_true(rest < 1e-4);
    free(x);
}

static void channels_are_averaged(void **state)
{
    const double left_only[] = {1, 0}, opposite[] = {1, -1}, surround[] = {1, 1, 0.5, 0, 0.25, 0.25};
    const struct {
        const double *gain;
        int channels;
        double expected;
    } cases[] = {{left_only, 2, 0.25}, {opposite, 2, 0}, {surround, 6, 0.25}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t n;
        double rest;
        write_sine("sine.wav", 48000, cases[i].channels, 1000, 0.5, 0.5, cases[i].gain);
        float *x = read_mono("sine.wav", &n);
        assert_true(fabs(level_of(x, n, 1000, &rest) - cases[i].expected) < 1e-3);
        free(x);
    }
}

static void flac_and_mp3_are_read_too(void **state)
{
    const char *const names[] = {"voice.flac", "voice.mp3"};
    float *voice = make_voice(2 * 44100, 44100, 120, 0.5);
    (void)state;
    assert_non_null(voice);
    for (int i = 0; i < 2; i++) {
        hm_error err = {0};
        float *x = NULL;
        int64_t n;
        if (hm_audio_check_path(file(names[i]), &err) == HM_EABSENT)
            continue; /* a libsndfile that cannot write it */
        if (hm_audio_write(path, voice, 1, 2 * 44100, 44100, &err) || hm_audio_read_reference(&x, &n, path, RATE, &err))
            fail_msg("%s", err.text);
        assert_true(llabs(n - 2 * RATE) < RATE / 10);
        free(x);
    }
    free(voice);
}

static void expect(const char *name, hm_status status, const char *first, const char *second)
{
    float *x = (float *)&path; /* stays as it is */
    int64_t n = -1;
    hm_error err = {0};
    hm_status st = hm_audio_read_reference(&x, &n, file(name), RATE, &err);
    if (st != status || err.status != status || !strstr(err.text, first) || !strstr(err.text, second) || !strstr(err.text, name))
        fail_msg("%s: expected %s with \"%s\" and \"%s\"; found %s: %s", name, hm_status_name(status), first, second, hm_status_name(st),
                 err.text);
    assert_ptr_equal(x, &path);
    assert_int_equal(n, -1);
}

static void files_that_are_no_audio_are_refused(void **state)
{
    (void)state;
    expect("missing.wav", HM_EMISSING, "No such file", "");
    FILE *f = fopen(file("text.wav"), "w");
    assert_non_null(f);
    fputs("no sound in here, only words\n", f);
    assert_int_equal(fclose(f), 0);
    expect("text.wav", HM_EFORMAT, "WAV, FLAC, Ogg and MP3 files can be read", "ormat");
    f = fopen(file("text.wav"), "w");
    assert_non_null(f);
    assert_int_equal(fclose(f), 0);
    expect("text.wav", HM_EFORMAT, "can be read", "");
}

static void lengths_that_cannot_be_cloned_from_are_refused(void **state)
{
    float voice[HM_SPEAKER_MIN_SAMPLES];
    (void)state;
    for (int i = 0; i < HM_SPEAKER_MIN_SAMPLES; i++)
        voice[i] = i % 7 / 7.0f;
    write_wav("short.wav", RATE, voice, HM_SPEAKER_MIN_SAMPLES - 1, 0);
    expect("short.wav", HM_EUSAGE, "it is 53.3 ms long", "1280 samples at 24000 Hz");
    write_wav("short.wav", RATE, voice, 0, 0);
    expect("short.wav", HM_EUSAGE, "it is 0.0 ms long", "at least 53.3 ms");
    write_wav("short.wav", 48000, voice, HM_SPEAKER_MIN_SAMPLES, 0);
    expect("short.wav", HM_EUSAGE, "it is 26.7 ms long", "at least 53.3 ms");

    write_wav("long.wav", 16000, voice, HM_SPEAKER_MIN_SAMPLES, 16000 * 3600 - HM_SPEAKER_MIN_SAMPLES); /* an hour, told by its header */
    expect("long.wav", HM_EUSAGE, "it is 3600 s long", "at most 300 s");
    write_wav("long.wav", 8000, voice, HM_SPEAKER_MIN_SAMPLES, 8000 * 300 - HM_SPEAKER_MIN_SAMPLES + 1);
    expect("long.wav", HM_EUSAGE, "it is 300.000125 s long", "at most 300 s");
    int64_t n;
    write_wav("long.wav", 8000, voice, HM_SPEAKER_MIN_SAMPLES, 8000 * 300 - HM_SPEAKER_MIN_SAMPLES);
    free(read_mono("long.wav", &n));
    assert_int_equal(n, 300 * RATE);
}

static void samples_that_cannot_be_cloned_from_are_refused(void **state)
{
    const double half[] = {1, -1};
    float voice[4000] = {0};
    (void)state;
    write_wav("silent.wav", RATE, voice, 4000, 0);
    expect("silent.wav", HM_EUSAGE, "is silent", "-60 dBFS");
    for (int i = 0; i < 4000; i++)
        voice[i] = i & 1 ? 9e-4f : -9e-4f;
    write_wav("silent.wav", RATE, voice, 4000, 0);
    expect("silent.wav", HM_EUSAGE, "is silent", "0.0009");
    write_sine("silent.wav", RATE, 2, 440, 0.5, 0.5, half); /* channels that cancel each other */
    expect("silent.wav", HM_EUSAGE, "is silent", "");
    voice[1234] = NAN;
    write_wav("bad.wav", RATE, voice, 4000, 0);
    expect("bad.wav", HM_EFORMAT, "sample 1234 is NaN or infinite", "");
    voice[1234] = -INFINITY;
    write_wav("bad.wav", 16000, voice, 4000, 0);
    expect("bad.wav", HM_EFORMAT, "sample 1234 is NaN or infinite", "");
    voice[1234] = 20000;
    write_wav("bad.wav", RATE, voice, 4000, 0);
    expect("bad.wav", HM_EFORMAT, "loudest sample is 2e+04", "full scale is 1");
    voice[1234] = 0.5f;
    write_wav("bad.wav", 100, voice, 4000, 0);
    expect("bad.wav", HM_EFORMAT, "its rate is 100 Hz", "4000 to 768000");
    write_wav("bad.wav", 2000000000, voice, 4000, 0);
    expect("bad.wav", HM_EFORMAT, "its rate is 2000000000 Hz", "4000 to 768000");
}

static void samples_in_memory_are_held_to_the_same_rules(void **state)
{
    float voice[HM_SPEAKER_MIN_SAMPLES] = {0};
    hm_error err = {0};
    (void)state;
    assert_int_equal(hm_audio_check_reference(voice, HM_SPEAKER_MIN_SAMPLES, RATE, "x", &err), HM_EUSAGE);
    voice[700] = 1.1e-3f;
    assert_int_equal(hm_audio_check_reference(voice, HM_SPEAKER_MIN_SAMPLES, RATE, "x", &err), HM_OK);
    voice[701] = NAN;
    assert_int_equal(hm_audio_check_reference(voice, HM_SPEAKER_MIN_SAMPLES, RATE, "x", &err), HM_EFORMAT);
    assert_non_null(strstr(err.text, "sample 701"));
    assert_int_equal(hm_audio_check_reference(voice, 700, RATE, "x", &err), HM_EUSAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sine_keeps_its_frequency_and_level),
        cmocka_unit_test(lengths_round_up),
        cmocka_unit_test(what_is_above_half_the_rate_does_not_come_back_below_it),
        cmocka_unit_test(channels_are_averaged),
        cmocka_unit_test(flac_and_mp3_are_read_too),
        cmocka_unit_test(files_that_are_no_audio_are_refused),
        cmocka_unit_test(lengths_that_cannot_be_cloned_from_are_refused),
        cmocka_unit_test(samples_that_cannot_be_cloned_from_are_refused),
        cmocka_unit_test(samples_in_memory_are_held_to_the_same_rules),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
