/* Audio written in pieces: the bytes of audio written at once, in place at the end only; and a stream for players. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/audio/audio.h"
#include "engine/base/map.h"
#include "harness/stream_out.h"
#include "tests/mutate.h"

#define CHANNELS 2
#define SAMPLES 40000
#define RATE 24000

static char folder[] = "/tmp/hmbench-writer-XXXXXX";
static float *signal_of; /* [CHANNELS][SAMPLES] */

static const char *in_folder(const char *name)
{
    static char paths[4][128];
    static int next;
    char *out = paths[next++ % 4];
    snprintf(out, sizeof paths[0], "%s/%s", folder, name);
    return out;
}

/* The signal in pieces of so many samples. */
static hm_status write_pieces(hm_audio_writer *w, int64_t piece, hm_error *err)
{
    float *part = malloc((size_t)(piece * CHANNELS) * sizeof *part);
    hm_status st = HM_OK;
    for (int64_t at = 0; at < SAMPLES && !st; at += piece) {
        int64_t n = SAMPLES - at < piece ? SAMPLES - at : piece;
        for (int ch = 0; ch < CHANNELS; ch++)
            memcpy(part + ch * n, signal_of + (int64_t)ch * SAMPLES + at, (size_t)n * sizeof *part);
        st = hm_audio_writer_write(w, part, n, err);
    }
    free(part);
    return st;
}

static void expect_same_bytes(const char *a, const char *b)
{
    hm_map x = {0}, y = {0};
    hm_error err;
    assert_int_equal(hm_map_open(&x, a, &err), HM_OK);
    assert_int_equal(hm_map_open(&y, b, &err), HM_OK);
    assert_int_equal(x.size, y.size);
    assert_memory_equal(x.data, y.data, x.size);
    hm_map_close(&x);
    hm_map_close(&y);
}

static void pieces_make_the_file_of_the_whole(void **state)
{
    static const char *const names[][2] = {{"whole.wav", "pieces.wav"}, {"whole.flac", "pieces.flac"}};
    static const int64_t pieces[] = {1, 777, 16384, SAMPLES};
    hm_error err = {0};
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(hm_audio_write(in_folder(names[i][0]), signal_of, CHANNELS, SAMPLES, RATE, &err), HM_OK);
        for (int k = 0; k < 4; k++) {
            hm_audio_writer *w = NULL;
            const char *path = in_folder(names[i][1]);
            float *a = NULL, *b = NULL;
            int channels, rate;
            int64_t n, m;
            assert_int_equal(hm_audio_writer_open(&w, path, CHANNELS, RATE, &err), HM_OK);
            assert_int_equal(write_pieces(w, pieces[k], &err), HM_OK);
            assert_int_not_equal(access(path, F_OK), 0); /* not before it is whole */
            assert_int_equal(hm_audio_writer_close(&w, true, &err), HM_OK);
            assert_null(w);
            assert_int_equal(hm_audio_read(in_folder(names[i][0]), &a, &channels, &n, &rate, &err), HM_OK);
            assert_int_equal(hm_audio_read(path, &b, &channels, &m, &rate, &err), HM_OK);
            assert_true(n == m && n == SAMPLES && channels == CHANNELS && rate == RATE);
            assert_memory_equal(a, b, (size_t)(n * CHANNELS) * sizeof *a);
            if (!i) /* FLAC's blocks may follow the calls */
                expect_same_bytes(in_folder(names[i][0]), path);
            free(a);
            free(b);
            unlink(path);
        }
    }
}

static void what_is_not_kept_leaves_nothing(void **state)
{
    hm_audio_writer *w = NULL;
    hm_error err = {0};
    (void)state;
    assert_int_equal(hm_audio_writer_open(&w, in_folder("dropped.wav"), CHANNELS, RATE, &err), HM_OK);
    assert_int_equal(write_pieces(w, 5000, &err), HM_OK);
    assert_int_equal(hm_audio_writer_close(&w, false, &err), HM_OK);
    assert_int_not_equal(access(in_folder("dropped.wav"), F_OK), 0);
    assert_int_equal(hm_audio_writer_close(&w, true, &err), HM_OK); /* nothing open */
}

static void signals_that_cannot_be_written_are_refused(void **state)
{
    hm_audio_writer *w = NULL;
    hm_error err = {0};
    float bad[CHANNELS] = {0.5f, NAN};
    (void)state;
    assert_int_equal(hm_audio_writer_open(&w, in_folder("x.ogg"), CHANNELS, RATE, &err), HM_EUSAGE);
    assert_int_equal(hm_audio_writer_open(&w, in_folder("x.wav"), 0, RATE, &err), HM_EUSAGE);
    assert_int_equal(hm_audio_writer_open(&w, in_folder("x.wav"), CHANNELS, 0, &err), HM_EUSAGE);
    assert_int_equal(hm_audio_writer_open(&w, "/nonexistent/x.wav", CHANNELS, RATE, &err), HM_ECREATE);
    assert_null(w);
    assert_int_equal(hm_audio_writer_open(&w, in_folder("x.wav"), CHANNELS, RATE, &err), HM_OK);
    assert_int_equal(hm_audio_writer_write(w, bad, 1, &err), HM_EINVALID);
    assert_true(hm_mutate_sentence_ok(HM_EINVALID, &err));
    assert_int_equal(hm_audio_writer_close(&w, false, &err), HM_OK);
}

static void a_stream_is_a_wav_of_16_bits_that_clips(void **state)
{
    char *bytes = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&bytes, &size);
    hm_audio_writer *w = NULL;
    hm_error err = {0};
    const float pcm[2][3] = {{0, 1, -1}, {0.5f, 3, -3}};
    static const int16_t expected[] = {0, 16384, 32767, 32767, -32767, -32767};
    (void)state;
    assert_int_equal(hm_audio_writer_open_stream(&w, f, 2, RATE, &err), HM_OK);
    fflush(f);
    assert_int_equal(size, 44);
    assert_int_equal(hm_audio_writer_write(w, pcm[0], 3, &err), HM_OK);
    assert_int_equal(size, 44 + sizeof expected); /* there at once */
    assert_memory_equal(bytes,
                        "RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\1\0\2\0\xc0\x5d\0\0\0\x77\1\0\4\0\x10\0"
                        "data\xff\xff\xff\xff",
                        44);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal((int16_t)((uint8_t)bytes[44 + 2 * i] | (uint8_t)bytes[45 + 2 * i] << 8), expected[i]);
    assert_int_equal(hm_audio_writer_close(&w, true, &err), HM_OK);
    assert_int_equal(fputc('x', f), 'x'); /* stays the caller's */
    fclose(f);
    free(bytes);
}

static void a_stream_nobody_takes_is_told(void **state)
{
    FILE *f = fopen("/dev/full", "w");
    hm_audio_writer *w = NULL;
    hm_error err = {0};
    (void)state;
    assert_non_null(f);
    assert_int_equal(hm_audio_writer_open_stream(&w, f, CHANNELS, RATE, &err), HM_EIO);
    assert_true(hm_mutate_sentence_ok(HM_EIO, &err));
    assert_null(w);
    fclose(f);
}

/* --- what commands do with it --- */

static const hm_engine_facts facts = {.channels = CHANNELS, .sample_rate_hz = RATE};

static void an_interrupted_stream_keeps_what_was_made(void **state)
{
    hm_stream_out out;
    hm_error err = {0};
    float *audio = NULL;
    int channels, rate;
    int64_t n;
    (void)state;
    assert_int_equal(hm_stream_open(&out, in_folder("kept.wav"), &facts, &err), HM_OK);
    assert_int_equal(out.sink.write(out.sink.self, signal_of, CHANNELS, 100, out.player.request_ns + 1000), 0);
    assert_int_equal(hm_stream_close(&out, HM_EINTERRUPTED, &err), HM_EINTERRUPTED);
    assert_int_equal(out.player.ttfa_raw_ns, 1000);
    assert_int_equal(hm_audio_read(in_folder("kept.wav"), &audio, &channels, &n, &rate, &err), HM_OK);
    assert_int_equal(n, 100);
    free(audio);

    assert_int_equal(hm_stream_open(&out, in_folder("none.wav"), &facts, &err), HM_OK);
    assert_int_equal(hm_stream_close(&out, HM_EINTERRUPTED, &err), HM_EINTERRUPTED); /* nothing came */
    assert_int_equal(hm_stream_open(&out, in_folder("none.wav"), &facts, &err), HM_OK);
    assert_int_equal(out.sink.write(out.sink.self, signal_of, CHANNELS, 100, out.player.request_ns), 0);
    assert_int_equal(hm_stream_close(&out, HM_EINVALID, &err), HM_EINVALID); /* broken */
    assert_int_not_equal(access(in_folder("none.wav"), F_OK), 0);
}

static void a_failure_of_writing_stops_the_stream_and_is_what_is_told(void **state)
{
    hm_stream_out out;
    hm_error err = {0};
    float bad[CHANNELS] = {INFINITY, 0};
    (void)state;
    assert_int_equal(hm_stream_open(&out, in_folder("broken.wav"), &facts, &err), HM_OK);
    assert_int_equal(out.sink.write(out.sink.self, bad, CHANNELS, 1, out.player.request_ns), 1);
    hm_fail(&err, HM_EINTERRUPTED, "decode: interrupted after 1 samples were written");
    assert_int_equal(hm_stream_close(&out, HM_EINTERRUPTED, &err), HM_EINVALID);
    assert_non_null(strstr(err.text, "infinite"));
    assert_int_not_equal(access(in_folder("broken.wav"), F_OK), 0);
}

static void a_stream_needs_a_place_of_its_own(void **state)
{
    hm_error err = {0};
    (void)state;
    assert_int_equal(hm_stream_check("speak", NULL, false, &err), HM_EUSAGE);
    assert_int_equal(hm_stream_check("speak", "-", true, &err), HM_EUSAGE);
    assert_non_null(strstr(err.text, "standard output"));
    assert_int_equal(hm_stream_check("speak", "-", false, &err), HM_OK);
    assert_int_equal(hm_stream_check("speak", in_folder("a.ogg"), false, &err), HM_EUSAGE);
    assert_int_equal(hm_stream_check("speak", in_folder("a.wav"), true, &err), HM_OK);
}

static int make(void **state)
{
    (void)state;
    signal_of = malloc(CHANNELS * SAMPLES * sizeof *signal_of);
    for (int i = 0; signal_of && i < CHANNELS * SAMPLES; i++)
        signal_of[i] = sinf((float)i * 0.01f) * 0.8f;
    return !signal_of || !mkdtemp(folder);
}

static int unmake(void **state)
{
    char command[128];
    (void)state;
    free(signal_of);
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_make_the_file_of_the_whole),
        cmocka_unit_test(what_is_not_kept_leaves_nothing),
        cmocka_unit_test(signals_that_cannot_be_written_are_refused),
        cmocka_unit_test(a_stream_is_a_wav_of_16_bits_that_clips),
        cmocka_unit_test(a_stream_nobody_takes_is_told),
        cmocka_unit_test(an_interrupted_stream_keeps_what_was_made),
        cmocka_unit_test(a_failure_of_writing_stops_the_stream_and_is_what_is_told),
        cmocka_unit_test(a_stream_needs_a_place_of_its_own),
    };
    return cmocka_run_group_tests(tests, make, unmake);
}
