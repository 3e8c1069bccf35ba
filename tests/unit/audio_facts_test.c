#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/audio/audio.h"
#include "engine/base/map.h"

#define RATE 48000
#define SECONDS 1

static char folder[] = "/tmp/hmbench-audio-XXXXXX";

/* Two channels of one second: 440 Hz at `level` left, 660 Hz at half of it right. */
static float *tone(float level)
{
    float *x = calloc(2 * RATE * SECONDS, sizeof *x);
    assert_non_null(x);
    for (int i = 0; i < RATE * SECONDS; i++) {
        x[i] = level * (float)sin(2 * M_PI * 440 * i / RATE);
        x[RATE * SECONDS + i] = level / 2 * (float)sin(2 * M_PI * 660 * i / RATE);
    }
    return x;
}

static const char *in_folder(const char *name)
{
    static char path[4][256];
    static int next;
    char *out = path[next++ % 4];
    snprintf(out, sizeof path[0], "%s/%s", folder, name);
    return out;
}

static int files_in_folder(void)
{
    int n = 0;
    DIR *d = opendir(folder);
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

static void a_tone_has_its_facts(void **state)
{
    hm_audio_facts f;
    float *x = tone(0.5f);
    (void)state;
    hm_audio_measure(&f, x, 2, RATE * SECONDS, RATE);
    free(x);
    assert_true(fabs(f.peak - 0.5) < 1e-4);
    assert_true(fabs(f.rms - sqrt((0.125 + 0.03125) / 2)) < 1e-4);
    assert_true(fabs(f.dc) < 1e-6 && f.duration_s == SECONDS && f.silence_share == 0 && f.clipped_share == 0);
    assert_true(!f.constant && f.non_finite == 0 && f.channels == 2 && f.rate_hz == RATE && f.bits == 32);
    assert_true(f.bit_rate_kbps == 3072);
}

static void silence_counts_windows_of_50_ms(void **state)
{
    hm_audio_facts f;
    float *x = tone(0.5f);
    (void)state;
    memset(x, 0, RATE / 2 * sizeof *x);
    memset(x + RATE, 0, RATE / 2 * sizeof *x);
    hm_audio_measure(&f, x, 2, RATE, RATE);
    assert_true(f.silence_share == 0.5);
    x[RATE] = 0.5f; /* one sample of 0.5 in a window of 2400: RMS over both channels 0.0072, above -60 dBFS */
    hm_audio_measure(&f, x, 2, RATE, RATE);
    assert_true(fabs(f.silence_share - 9.0 / 20) < 1e-12);
    free(x);
}

static void what_is_not_finite_is_counted_and_left_out(void **state)
{
    hm_audio_facts f;
    float x[6] = {0.25f, NAN, -0.25f, INFINITY, -INFINITY, 0.25f};
    (void)state;
    hm_audio_measure(&f, x, 1, 6, RATE);
    assert_int_equal(f.non_finite, 3);
    assert_true(f.peak == 0.25 && f.rms == 0.25 && !f.constant);
}

static void a_constant_is_a_constant_in_every_channel(void **state)
{
    hm_audio_facts f;
    float same[4] = {0.5f, 0.5f, -0.25f, -0.25f}, other[4] = {0.5f, 0.5f, -0.25f, -0.26f};
    (void)state;
    hm_audio_measure(&f, same, 2, 2, RATE);
    assert_true(f.constant && f.dc == 0.5);
    hm_audio_measure(&f, other, 2, 2, RATE);
    assert_false(f.constant);
    hm_audio_measure(&f, NULL, 2, 0, RATE);
    assert_true(!f.constant && f.duration_s == 0 && f.rms == 0 && f.silence_share == 0);
}

static void clipping_counts_samples_at_full_scale(void **state)
{
    hm_audio_facts f;
    float x[8] = {0, 1, -1, 1.5f, 0.999f, 0, 0, 0};
    (void)state;
    hm_audio_measure(&f, x, 1, 8, RATE);
    assert_true(f.clipped_share == 3.0 / 8 && f.peak == 1.5);
}

static void wav_keeps_every_bit_and_flac_24_of_them(void **state)
{
    static const struct {
        const char *name, *codec;
        int bits;
        double tolerance;
    } kinds[] = {{"a.wav", "wav float32", 32, 0}, {"a.flac", "flac 24 bit", 24, 1.2e-7}};
    hm_error err = {0};
    float *x = tone(0.5f);
    (void)state;
    for (size_t k = 0; k < 2; k++) {
        float *back = NULL;
        int channels, rate;
        int64_t samples;
        hm_audio_facts f;
        const char *path = in_folder(kinds[k].name);
        assert_int_equal(hm_audio_write(path, x, 2, RATE, RATE, &err), HM_OK);
        assert_int_equal(hm_audio_read(path, &back, &channels, &samples, &rate, &err), HM_OK);
        assert_true(channels == 2 && samples == RATE && rate == RATE);
        for (int i = 0; i < 2 * RATE; i++)
            assert_true(fabs((double)back[i] - x[i]) <= kinds[k].tolerance);
        hm_audio_measure(&f, back, channels, samples, rate);
        assert_int_equal(hm_audio_file_facts(&f, path, &err), HM_OK);
        assert_string_equal(f.codec, kinds[k].codec);
        assert_int_equal(f.bits, kinds[k].bits);
        free(back);
    }
    free(x);
}

static void mp3_sounds_alike(void **state)
{
    hm_error err = {0};
    float *x = tone(0.5f), *back = NULL;
    int channels, rate;
    int64_t samples;
    hm_audio_facts f;
    (void)state;
    assert_int_equal(hm_audio_write(in_folder("a.mp3"), x, 2, RATE, RATE, &err), HM_OK);
    assert_int_equal(hm_audio_read(in_folder("a.mp3"), &back, &channels, &samples, &rate, &err), HM_OK);
    assert_true(channels == 2 && rate == RATE && llabs(samples - RATE) < 4000);
    hm_audio_measure(&f, back, channels, samples, rate);
    assert_int_equal(hm_audio_file_facts(&f, in_folder("a.mp3"), &err), HM_OK);
    assert_string_equal(f.codec, "mp3");
    assert_true(f.rms > 0.2 && f.rms < 0.3 && f.bit_rate_kbps > 16 && f.bit_rate_kbps < 400);
    free(back);
    free(x);
}

static void the_same_signal_gives_the_same_file(void **state)
{
    hm_error err = {0};
    float *x = tone(0.5f);
    (void)state;
    for (int k = 0; k < 3; k++) {
        static const char *const suffix[] = {"wav", "flac", "mp3"};
        char one[32], two[32];
        hm_map a = {0}, b = {0};
        snprintf(one, sizeof one, "1.%s", suffix[k]);
        snprintf(two, sizeof two, "2.%s", suffix[k]);
        assert_int_equal(hm_audio_write(in_folder(one), x, 2, RATE, RATE, &err), HM_OK);
        sleep(k == 0); /* a file that holds the time of day would differ */
        assert_int_equal(hm_audio_write(in_folder(two), x, 2, RATE, RATE, &err), HM_OK);
        assert_int_equal(hm_map_open(&a, in_folder(one), &err), HM_OK);
        assert_int_equal(hm_map_open(&b, in_folder(two), &err), HM_OK);
        assert_true(a.size == b.size && !memcmp(a.data, b.data, a.size));
        hm_map_close(&a);
        hm_map_close(&b);
    }
    free(x);
}

static void fixed_ranges_clip_and_float_does_not(void **state)
{
    hm_error err = {0};
    float x[4] = {2, -2, 0.5f, 0}, *back;
    int channels, rate;
    int64_t samples;
    (void)state;
    assert_int_equal(hm_audio_write(in_folder("c.flac"), x, 1, 4, RATE, &err), HM_OK);
    assert_int_equal(hm_audio_read(in_folder("c.flac"), &back, &channels, &samples, &rate, &err), HM_OK);
    assert_true(back[0] > 0.999f && back[0] <= 1 && back[1] < -0.999f && back[1] >= -1);
    free(back);
    assert_int_equal(hm_audio_write(in_folder("c.wav"), x, 1, 4, RATE, &err), HM_OK);
    assert_int_equal(hm_audio_read(in_folder("c.wav"), &back, &channels, &samples, &rate, &err), HM_OK);
    assert_true(back[0] == 2 && back[1] == -2);
    free(back);
}

static void a_failed_write_leaves_nothing_and_keeps_the_old_file(void **state)
{
    hm_error err = {0};
    float bad[3] = {0, NAN, 0};
    const char *path = in_folder("kept.wav");
    hm_map m = {0};
    (void)state;
    assert_int_equal(hm_file_write(path, "old", 3, &err), HM_OK);
    int before = files_in_folder();
    assert_int_equal(hm_audio_write(path, bad, 1, 3, RATE, &err), HM_EINVALID);
    assert_int_equal(files_in_folder(), before);
    assert_int_equal(hm_map_open(&m, path, &err), HM_OK);
    assert_true(m.size == 3 && !memcmp(m.data, "old", 3));
    hm_map_close(&m);
}

static void paths_are_checked_before_there_is_audio(void **state)
{
    hm_error err = {0};
    (void)state;
    assert_int_equal(hm_audio_check_path(in_folder("ok.WAV"), &err), HM_OK);
    assert_int_equal(hm_audio_check_path(in_folder("no.ogg"), &err), HM_EUSAGE);
    assert_int_equal(hm_audio_check_path(in_folder("nosuffix"), &err), HM_EUSAGE);
    assert_int_equal(hm_audio_check_path("/tmp/dir.wav/nosuffix", &err), HM_EUSAGE);
    assert_int_equal(hm_audio_check_path("/nonexistent/a.wav", &err), HM_ECREATE);
    assert_int_equal(mkdir(in_folder("is.wav"), 0777), 0);
    assert_int_equal(hm_audio_check_path(in_folder("is.wav"), &err), HM_ECREATE);
}

static void what_is_no_audio_is_refused(void **state)
{
    hm_error err = {0};
    float *x = NULL;
    int channels, rate;
    int64_t samples;
    hm_map m = {0};
    (void)state;
    assert_int_equal(hm_audio_read(in_folder("absent.wav"), &x, &channels, &samples, &rate, &err), HM_EMISSING);
    assert_int_equal(hm_audio_read(folder, &x, &channels, &samples, &rate, &err), HM_EMISSING);
    assert_int_equal(hm_file_write(in_folder("text.wav"), "this is no audio", 16, &err), HM_OK);
    assert_int_equal(hm_audio_read(in_folder("text.wav"), &x, &channels, &samples, &rate, &err), HM_EFORMAT);
    /* a WAV that says it is 4 GiB long, and is 200 bytes */
    float few[32] = {0};
    uint8_t bytes[200];
    assert_int_equal(hm_audio_write(in_folder("few.wav"), few, 1, 32, RATE, &err), HM_OK);
    assert_int_equal(hm_map_open(&m, in_folder("few.wav"), &err), HM_OK);
    size_t size = m.size < sizeof bytes ? m.size : sizeof bytes;
    memcpy(bytes, m.data, size);
    hm_map_close(&m);
    for (size_t i = 0; i + 8 < size; i++)
        if (!memcmp(bytes + i, "data", 4))
            memset(bytes + i + 4, 0xFF, 4);
    assert_int_equal(hm_file_write(in_folder("lies.wav"), bytes, size, &err), HM_OK);
    hm_status st = hm_audio_read(in_folder("lies.wav"), &x, &channels, &samples, &rate, &err);
    assert_true(st == HM_EFORMAT || (st == HM_OK && samples <= 50));
    if (!st)
        free(x);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tone_has_its_facts),
        cmocka_unit_test(silence_counts_windows_of_50_ms),
        cmocka_unit_test(what_is_not_finite_is_counted_and_left_out),
        cmocka_unit_test(a_constant_is_a_constant_in_every_channel),
        cmocka_unit_test(clipping_counts_samples_at_full_scale),
        cmocka_unit_test(wav_keeps_every_bit_and_flac_24_of_them),
        cmocka_unit_test(mp3_sounds_alike),
        cmocka_unit_test(the_same_signal_gives_the_same_file),
        cmocka_unit_test(fixed_ranges_clip_and_float_does_not),
        cmocka_unit_test(a_failed_write_leaves_nothing_and_keeps_the_old_file),
        cmocka_unit_test(paths_are_checked_before_there_is_audio),
        cmocka_unit_test(what_is_no_audio_is_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
