/* Figures of sound and fidelity against values that another program computed from the same signals with a plain discrete Fourier
 * transform in double. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "harness/fidelity.h"
#include "harness/sound.h"

static float *signal_of(int n)
{
    float *x = calloc((size_t)n, sizeof *x);
    assert_non_null(x);
    return x;
}

/* -0.5 .. 0.5 */
static double next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 40) / 16777216.0 - 0.5;
}

static void near(double found, double expected, double tolerance)
{
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("expected %.9g within %g, found %.9g", expected, tolerance, found);
}

static void fidelity_is_what_another_program_computes(void **state)
{
    enum {
        N = 3000
    };
    uint64_t one = 1, two = 2;
    float *r = signal_of(N), *x = signal_of(N);
    (void)state;
    for (int i = 0; i < N; i++) {
        r[i] = (float)(0.3 * sin(2 * M_PI * i / 48)) + (float)(0.1 * next_random(&one));
        x[i] = r[i] + (float)(0.02 * next_random(&two));
    }
    hm_fidelity f = hm_fidelity_compare(r, N, x, N, 1);
    near(f.snr_db, 31.430229590, 1e-4);
    near(f.spectral_snr_db, 34.476419211, 1e-3);
    near(f.log_spectral_db, 2.336157362, 1e-3);
    for (int i = 0; i < N; i++)
        x[i] = 0.5f * r[i];
    f = hm_fidelity_compare(r, N, x, N, 1);
    near(f.snr_db, 20 * log10(2), 1e-6);
    near(f.log_spectral_db, 20 * log10(2), 1e-3); /* every bin is as much quieter */
    f = hm_fidelity_compare(r, N, r, N, 1);
    assert_true(isinf(f.snr_db) && isinf(f.spectral_snr_db) && f.log_spectral_db == 0);
    x[3] = NAN; /* is not equal to anything */
    f = hm_fidelity_compare(r, N, x, N, 1);
    assert_true(isnan(f.snr_db) && isnan(f.spectral_snr_db) && isnan(f.log_spectral_db));
    for (int i = 0; i < N; i++)
        r[i] = x[i] = 0;
    x[N / 2] = 1e-7f;
    f = hm_fidelity_compare(r, N, x, N, 1);
    assert_true(isnan(f.snr_db));
    near(f.log_spectral_db, 0, 1e-12); /* both below -100 dB */
    free(r);
    free(x);
}

static void noise_is_flat_and_a_tone_is_not(void **state)
{
    enum {
        N = 16000
    };
    uint64_t three = 3;
    hm_sound s;
    float *x = signal_of(2 * N);
    (void)state;
    for (int i = 0; i < N; i++)
        x[i] = (float)(0.5 * next_random(&three));
    hm_sound_measure(&s, x, 1, N, 16000);
    assert_true(s.windows == 1 && s.loud_windows == 1 && s.window_s == 1);
    near(s.flatness, 0.981390714, 1e-5);
    near(s.zero_crossings, 0.500406275, 1e-8);
    assert_true(isnan(s.most_flatness) && isnan(s.level_drift_db)); /* one window, and too short for thirds */
    for (int i = 0; i < N; i++)
        x[i] = x[N + i] = (float)(0.3 * sin(2 * M_PI * i / 48));
    hm_sound_measure(&s, x, 2, N, 16000);
    assert_true(s.flatness < 1e-6);
    near(s.zero_crossings, 0.041627601, 1e-8);
    free(x);
}

/* 25 s: a tone, a silent window, then noise in the half window that does not count. */
static void windows_are_ten_seconds_and_silent_ones_do_not_count(void **state)
{
    enum {
        RATE = 1000,
        N = 25 * RATE
    };
    uint64_t random = 9;
    hm_sound s;
    float *x = signal_of(N);
    (void)state;
    for (int i = 0; i < 10 * RATE; i++)
        x[i] = (float)(0.3 * sin(2 * M_PI * i / 40));
    for (int i = 20 * RATE; i < N; i++)
        x[i] = (float)next_random(&random);
    hm_sound_measure(&s, x, 1, N, RATE);
    assert_true(s.windows == 2 && s.loud_windows == 1);
    assert_true(s.flatness < 1e-5 && s.first_flatness == s.flatness && isnan(s.most_flatness));
    for (int i = 10 * RATE; i < N; i++)
        x[i] = (float)next_random(&random);
    x[3] = NAN; /* left out, told elsewhere */
    hm_sound_measure(&s, x, 1, N, RATE);
    assert_true(s.loud_windows == 2 && s.first_flatness < 0.01 && s.most_flatness > 0.9 && s.most_zero_crossings > 0.45);
    for (int i = 0; i < N; i++)
        x[i] = 0;
    hm_sound_measure(&s, x, 1, N, RATE);
    assert_true(s.windows == 2 && s.loud_windows == 0 && isnan(s.flatness) && isnan(s.zero_crossings) && isnan(s.level_drift_db));
    hm_sound_measure(&s, NULL, 0, 0, 0);
    assert_true(s.windows == 0 && isnan(s.flatness));
    free(x);
}

static void the_end_is_held_against_the_beginning(void **state)
{
    enum {
        N = 9000
    };
    hm_sound s;
    float *x = signal_of(N);
    (void)state;
    for (int k = 0; k < N; k++)
        x[k] = (float)(k < 6000 ? 0.4 * sin(2 * M_PI * k / 40) : 0.1 * sin(2 * M_PI * k / 20));
    hm_sound_measure(&s, x, 1, N, 1000);
    near(s.level_drift_db, -12.0412, 1e-4);
    near(s.centroid_drift, 1, 1e-4); /* an octave up */
    free(x);
}

static void a_click_shows_at_its_seam_alone(void **state)
{
    enum {
        N = 8000,
        RATE = 8000
    };
    const int64_t seam = 4000, elsewhere[] = {2016, 6048}, edges[] = {0, 1, N - 1, N};
    float *x = signal_of(2 * N);
    (void)state;
    for (int i = 0; i < N; i++)
        x[i] = (float)(0.3 * sin(2 * M_PI * i / 64));
    near(hm_sound_seam_db(x, 1, N, RATE, &seam, 1), -9.96672, 1e-3); /* where the sine is straight */
    for (int i = (int)seam; i < N; i++)
        x[i] += 0.2f;
    near(hm_sound_seam_db(x, 1, N, RATE, &seam, 1), 33.711631, 1e-3);
    assert_true(hm_sound_seam_db(x, 1, N, RATE, elsewhere, 2) < 10);
    assert_true(hm_sound_seam_db(x, 2, N, RATE, &seam, 1) > 33); /* the worst channel; the other one is silent */
    assert_true(isnan(hm_sound_seam_db(x, 1, N, RATE, NULL, 0)));
    assert_true(hm_sound_seam_db(x, 1, N, RATE, edges, 4) < 20); /* nothing beyond the ends is read */
    assert_true(isnan(hm_sound_seam_db(x + N, 1, N, RATE, &seam, 1)));
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fidelity_is_what_another_program_computes),
        cmocka_unit_test(noise_is_flat_and_a_tone_is_not),
        cmocka_unit_test(windows_are_ten_seconds_and_silent_ones_do_not_count),
        cmocka_unit_test(the_end_is_held_against_the_beginning),
        cmocka_unit_test(a_click_shows_at_its_seam_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
