/* The journal's tables of formats: what each arm costs and loses, what `best` reads, and what serves the weights of each part. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "reports/journal.h"
#include "reports/journal_parts.h"

enum {
    ROUNDS = 6,
    ARMS = 3
};
static const double rounds_stored[] = {1000, 1010, 990, 1005, 995, 1000}, rounds_int8[] = {500, 505, 495, 502, 498, 500};
static const hm_journal_part parts_stored[] = {{"backbone", "talker_step", "bf16", 40, 40, 1},
                                               {"decoder", "code_predictor", "bf16", 60, 60, 15},
                                               {"heads", "code_predictor", "bf16", 2, 30, 15},
                                               {"codec", "vocoder", "f32", 20, 20, 0.25}};
static const hm_journal_part parts_int8[] = {{"backbone", "talker_step", "int8", 21, 21, 1},
                                             {"decoder", "code_predictor", "int8", 8, 8, 15},
                                             {"heads", "code_predictor", "bf16", 1, 15, 15}};
static const hm_journal_span spans_stored[] = {{"prefill/talker_step", 1, 9999, 9999},
                                               {"generate/frame/talker_step", 99, 200, 200},
                                               {"generate/frame/code_predictor", 1500, 4650, 4650},
                                               {"decode/vocoder", 25, 100, 100}};
static const hm_journal_span spans_int8[] = {{"generate/frame/talker_step", 99, 105, 105},
                                             {"generate/frame/code_predictor", 1500, 270, 270}};
static const hm_journal_codebook codebooks[] = {
    {0, 32, 0.97, 0.004, 0.5, 0.01}, {1, 32, 0.95, 0.01, 0.5, 0.02}, {2, 32, 0.96, 0.02, 0.5, 0.02}};
static hm_journal_result results[ARMS];
static hm_journal_arm arms[ARMS];
static hm_journal_case cases[] = {{"short/plain", 27, 100, 0}};

static hm_journal_result result(const double *rounds, double wall_ms, const hm_journal_part *parts, int count, const hm_journal_span *spans,
                                int span_count)
{
    hm_journal_result r = hm_journal_result_none();
    r.n = ROUNDS;
    r.wall_ms = (hm_journal_stat){ROUNDS, wall_ms, 6};
    r.generate_ms = (hm_journal_stat){ROUNDS, wall_ms / 2, 3};
    r.wall_by_round_ms = rounds;
    r.frames = 100;
    r.codebooks = 3;
    r.audio_s = 8;
    r.frame_weight_mb = 90;
    r.distinct_weight_mb = 60;
    r.parts = parts;
    r.part_count = count;
    r.spans = spans;
    r.span_count = span_count;
    r.health = "ok";
    return r;
}

static hm_journal_session session(void)
{
    results[0] = result(rounds_stored, 1000, parts_stored, 4, spans_stored, 4);
    results[1] = result(rounds_int8, 500, parts_int8, 3, spans_int8, 2);
    results[1].top1 = 0.96;
    results[1].relative_rms = 0.0175;
    results[1].mean_kl = 0.011;
    results[1].snr_db = 21.25;
    results[1].log_spectral_db = 1.5;
    results[1].codebook_fidelity = codebooks;
    results[1].codebook_count = 3;
    results[2] = result(rounds_stored, 1100, parts_stored, 4, spans_stored, 4); /* slower, the same formats */
    arms[0] = (hm_journal_arm){.name = "best", .precision = "backbone=stored decoder=stored", .base = -1, .default_formats = true};
    arms[1] = (hm_journal_arm){.name = "best precision=int8", .precision = "backbone=int8 decoder=int8", .base = 0};
    arms[2] = (hm_journal_arm){.name = "naive", .precision = "backbone=stored decoder=stored", .base = 0};
    return (hm_journal_session){.id = "01234567-89ab-4cde-8f01-23456789abcd",
                                .rounds = ROUNDS,
                                .model = "qwen3-tts-mini",
                                .cache_gb_s = 60,
                                .memory_gb_s = 20,
                                .peak_gflop_s = 160,
                                .peak_int8_gop_s = 640,
                                .cache_mb = 16,
                                .arms = arms,
                                .arm_count = ARMS,
                                .cases = cases,
                                .case_count = 1,
                                .results = results};
}

static char *written(const hm_journal_session *s, void (*section)(const hm_journal_session *, hm_document *), hm_sheet_format format)
{
    char *text = NULL;
    size_t size;
    hm_error err;
    hm_document *d = hm_document_new("journal");
    FILE *f = open_memstream(&text, &size);
    section(s, d);
    assert_int_equal(hm_document_write(d, format, f, &err), HM_OK);
    fclose(f);
    hm_document_free(&d);
    return text;
}

static void contains(const char *text, const char *wanted)
{
    if (!strstr(text, wanted))
        fail_msg("no \"%s\" in:\n%s", wanted, text);
}

static void each_format_has_its_price(void **state)
{
    (void)state;
    hm_journal_session s = session();
    char *text = written(&s, hm_journal_precision, HM_SHEET_JSONL);
    contains(text, "\"formats\": \"backbone bf16, decoder bf16, heads bf16, codec f32\", \"default\": \"best\", \"weights_mb\": 90");
    contains(text, "\"variant\": \"best precision=int8\"");
    contains(text, "\"formats\": \"backbone int8, decoder int8, heads bf16\", \"default\": null");
    contains(text, "\"relative_rms\": 0.0175");
    contains(text, "\"backbone_kl\": 0.004, \"decoder_kl\": 0.015"); /* codebook 0; the mean of the others */
    contains(text, "\"frame_ms\": 2.5, \"memory_percent\": 180");    /* 90 MB in 2.5 ms: 36 GB/s of 20 */
    /* 2.5706 (t of 5) * 6 ms / sqrt(6) of 8 s */
    contains(text, "\"rtf_half_width\": 0.00078");
    free(text);
    text = written(&s, hm_journal_precision, HM_SHEET_MARKDOWN);
    contains(text, "### Precision");
    contains(text, "`best` reads backbone bf16, decoder bf16, heads bf16, codec f32, as the file stores them");
    contains(text, "with what each keeps: best precision=int8 2.00x (96.00 % of the likeliest codes, logits 0.018 off).");
    free(text);
    arms[0].default_formats = false;
    arms[1].default_formats = true; /* nothing beats it */
    text = written(&s, hm_journal_precision, HM_SHEET_MARKDOWN);
    contains(text, "formats of its own; what they lose stands in its row.");
    contains(text, "No other formats here are faster on short/plain.");
    free(text);
}

/* Of the phase that they are at work in: here the decoder of sound is not quantised. */
static void products_of_quantised_weights_are_held_against_those_of_integers(void **state)
{
    (void)state;
    hm_journal_session s = session();
    for (int a = 0; a < 2; a++) {
        results[a].frame_gflop = results[a].codec_frame_gflop = 0.25;
        results[a].decode_ms = results[a].generate_ms;
    }
    hm_phase_rate stored = hm_journal_generate_rate(&s, &results[0]), quantised = hm_journal_generate_rate(&s, &results[1]),
                  sound = hm_journal_decode_rate(&s, &results[1]);
    assert_true(stored.gflop_s > 0 && quantised.gflop_s > 0 && sound.gflop_s > 0);
    assert_float_equal(stored.share_flops, stored.gflop_s / 160, 1e-12);
    assert_float_equal(quantised.share_flops, quantised.gflop_s / 640, 1e-12);
    assert_float_equal(sound.share_flops, sound.gflop_s / 160, 1e-12);
    s.peak_int8_gop_s = NAN; /* not measured: those of float32 */
    assert_float_equal(hm_journal_generate_rate(&s, &results[1]).share_flops, quantised.gflop_s / 160, 1e-12);
}

static void arms_of_equal_formats_make_no_table(void **state)
{
    (void)state;
    hm_journal_session s = session();
    arms[1].precision = arms[0].precision;
    char *text = written(&s, hm_journal_precision, HM_SHEET_MARKDOWN);
    assert_string_equal(text, "");
    free(text);
    for (int a = 0; a < ARMS; a++)
        arms[a].precision = NULL; /* other programs */
    text = written(&s, hm_journal_precision, HM_SHEET_MARKDOWN);
    assert_string_equal(text, "");
    free(text);
}

static void weights_are_served_by_what_their_size_and_rate_say(void **state)
{
    (void)state;
    hm_journal_session s = session();
    char *text = written(&s, hm_journal_residency, HM_SHEET_JSONL);
    assert_null(strstr(text, "naive")); /* best reads the same formats, and is faster */
    /* 40 MB a frame in 2 ms: 20 GB/s, larger than the cache */
    contains(text,
             "\"part\": \"backbone\", \"span\": \"talker_step\", \"format\": \"bf16\", \"pass_mb\": 40, \"passes\": 1, \"frame_mb\": 40, "
             "\"frame_ms\": 2, \"gb_s\": 20, \"memory_percent\": 100, \"cache_percent\": 33.3");
    contains(text, "\"served\": \"memory\"");
    contains(
        text,
        "\"part\": \"decoder + heads\", \"span\": \"code_predictor\", \"format\": \"bf16\", \"pass_mb\": 62, \"passes\": 15, \"frame_mb\": 930");
    contains(
        text,
        "\"part\": \"codec\", \"span\": \"vocoder\", \"format\": \"f32\", \"pass_mb\": 20, \"passes\": 0.25, \"frame_mb\": 5, \"frame_ms\": 1, \"gb_s\": 5");
    contains(text, "\"served\": \"fits, no faster than memory\"");
    /* 21 MB fit 32 MiB, at 20 GB/s; 9 MB fifteen times in 2.7 ms: 50 GB/s */
    contains(text, "\"format\": \"mixed\", \"pass_mb\": 9, \"passes\": 15, \"frame_mb\": 135, \"frame_ms\": 2.7, \"gb_s\": 50");
    contains(text, "\"served\": \"cache\"");
    free(text);
    s.cache_gb_s = s.memory_gb_s = s.cache_mb = NAN;
    text = written(&s, hm_journal_residency, HM_SHEET_MARKDOWN);
    contains(text, "limits were not measured");
    assert_null(strstr(text, "nan"));
    free(text);
    for (int a = 0; a < ARMS; a++)
        results[a].part_count = 0; /* an older database */
    text = written(&s, hm_journal_residency, HM_SHEET_MARKDOWN);
    assert_string_equal(text, "");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_format_has_its_price),
        cmocka_unit_test(products_of_quantised_weights_are_held_against_those_of_integers),
        cmocka_unit_test(arms_of_equal_formats_make_no_table),
        cmocka_unit_test(weights_are_served_by_what_their_size_and_rate_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
