/* Whoever looks at logits sees the same ones whatever way codes are drawn, and changes nothing by looking; and every part that a request
 * needs tells where it ran. */
#define _GNU_SOURCE
#include <math.h>

#include "engine/base/isa.h"
#include "harness/sound.h"
#include "tests/speech_case.h"

static char songs[] = "/tmp/hmbench-logits-XXXXXX";

enum {
    FRAMES = 4,
    TOLD = 3,
    MOST = 4 << 20
};

static const hm_request song = {.music.tags = "pop",
                                .music.lyrics = "la la",
                                .max_frames = FRAMES,
                                .force_length = true,
                                .music.cfg_scale = 1.5,
                                .topk = 50,
                                .temperature = 1,
                                .seed = 7,
                                .music.flow_guidance = 1,
                                .skip_codec = true};

/* Rows one after the other, as they came. */
typedef struct seen {
    float *values;
    int64_t count;
    int rows, codebooks, last_frame, dead;
} seen;

static void see(void *self, int frame, int codebook, const float *logits, int n)
{
    seen *s = self;
    assert_true(s->count + n <= MOST && frame < TOLD);
    assert_int_equal(codebook, s->rows % s->codebooks);
    assert_int_equal(frame, s->rows / s->codebooks);
    memcpy(s->values + s->count, logits, (size_t)n * sizeof *logits);
    for (int j = 0; j < n; j++)
        s->dead += logits[j] == -INFINITY;
    s->count += n;
    s->rows++;
    s->last_frame = frame;
}

static seen look(const char *dir, const hm_toggles *t, const hm_request *base, int codebooks, hm_result *out)
{
    seen s = {.values = malloc(MOST * sizeof(float)), .codebooks = codebooks};
    hm_logit_sink sink = {&s, TOLD, see};
    hm_request r = *base;
    assert_non_null(s.values);
    r.logits = &sink;
    hm_engine *e = case_open_model(dir, t, NULL);
    hm_result looked = case_speak(e, &r), plain = case_speak(e, base);
    assert_int_equal(s.rows, TOLD * codebooks);
    assert_memory_equal(looked.codes, plain.codes, (size_t)(FRAMES * codebooks) * sizeof *plain.codes);
    if (t->prefix == HM_PREFIX_COMPUTED) /* else the second call finds the first one's prompt */
        assert_memory_equal(&looked.counters, &plain.counters, sizeof plain.counters);
    case_drop(&plain);
    case_close(e);
    *out = looked;
    return s;
}

/* Every set draws the same codes by bitwise toggles alone, so it sees the same rows. */
static void compare_ways(const char *dir, const hm_request *request, int codebooks, bool dead)
{
    static const hm_toggles ways[] = {
        {0},
        {.sampling = HM_SAMPLING_FUSED},
        {.sampling = HM_SAMPLING_FUSED, .codes = HM_CODES_FRAME},
        {.sampling = HM_SAMPLING_FUSED, .token_forward = HM_TOKEN_DEVICE},
        {.sampling = HM_SAMPLING_FUSED,
         .token_forward = HM_TOKEN_DEVICE,
         .codes = HM_CODES_DEFERRED,
         .penalty = HM_PENALTY_BITMAP,
         .suppress = HM_SUPPRESS_CONSTANT},
    };
    hm_result first = {0}, r = {0};
    seen reference = look(dir, &ways[0], request, codebooks, &first);
    assert_true(dead == (reference.dead > 0));
    for (size_t i = 1; i < sizeof ways / sizeof *ways; i++) {
        seen s = look(dir, &ways[i], request, codebooks, &r);
        assert_int_equal(s.count, reference.count);
        assert_memory_equal(s.values, reference.values, (size_t)s.count * sizeof *s.values);
        free(s.values);
        case_drop(&r);
    }
    seen best = look(dir, &case_best, request, codebooks, &r); /* other sums, the same dead codes */
    assert_true(best.count == reference.count && best.dead == reference.dead);
    for (int64_t i = 0; i < best.count; i++)
        if (best.values[i] != reference.values[i] && !(fabsf(best.values[i] - reference.values[i]) < 1e-2f))
            fail_msg("value %lld: %g and %g", (long long)i, (double)best.values[i], (double)reference.values[i]);
    free(best.values);
    free(reference.values);
    case_drop(&r);
    case_drop(&first);
}

static void songs_show_the_same_logits_whatever_way_codes_are_drawn(void **state)
{
    (void)state;
    compare_ways(songs, &song, CASE_CODEBOOKS, false);
}

static void speech_shows_the_same_logits_whatever_way_codes_are_drawn(void **state)
{
    hm_request r = case_spoken;
    (void)state;
    r.max_frames = FRAMES;
    compare_ways(case_custom, &r, CASE_GROUPS, true);
}

/* The logit of the code that went on is the one that was told. */
static void the_logits_told_are_those_of_the_result(void **state)
{
    hm_result r = {0};
    (void)state;
    seen s = look(songs, &case_best, &song, CASE_CODEBOOKS, &r);
    int64_t V = s.count / s.rows;
    for (int i = 0; i < s.rows; i++)
        assert_true(s.values[i * V + r.codes[i]] == r.logits[i]);
    free(s.values);
    case_drop(&r);
}

static const hm_place *place_of(const hm_result *r, const char *part)
{
    for (int i = 0; i < r->place_count; i++)
        if (!strcmp(r->places[i].part, part))
            return &r->places[i];
    fail_msg("no place of %s", part);
    return NULL;
}

static void expect_places(const hm_result *r, const char *const *parts, const char *device)
{
    uint64_t operations = 0;
    for (; *parts; parts++) {
        const hm_place *p = place_of(r, *parts);
        if (strcmp(p->device, device) || !p->operations || p->elsewhere)
            fail_msg("%s: on %s, %llu operations, %llu elsewhere", *parts, p->device, (unsigned long long)p->operations,
                     (unsigned long long)p->elsewhere);
    }
    for (int i = 0; i < r->place_count; i++)
        operations += r->places[i].operations;
    assert_int_equal(operations, r->counters.launches); /* every operation is in one part */
}

static void every_part_tells_where_it_ran(void **state)
{
    static const char *const music[] = {"backbone", "decoder", "flow", "vocoder", NULL};
    static const char *const speech[] = {"talker_prefill",  "talker_step", "code_predictor",      "latents",   "vocoder",
                                         "speaker encoder", "seanet",      "encoder transformer", "quantizer", NULL};
    static const char *const isas[] = {"scalar", "avx2"};
    char device[32];
    (void)state;
    for (int i = 0; i < (hm_isa_has(HM_ISA_AVX2) ? 2 : 1); i++)
        for (int k = 0; k < CASE_SETS; k++) {
            hm_request r = song;
            r.skip_codec = false;
            r.music.flow_steps = 1;
            hm_engine_options options = {
                .source.dir = songs, .threads = 2, .isa = isas[i], .toggles = case_sets[k], .need_lm = true, .need_codec = true};
            hm_engine *e = case_open(case_runtime(), &options);
            hm_result out = case_speak(e, &r);
            snprintf(device, sizeof device, "cpu:%s", isas[i]);
            expect_places(&out, music, device);
            assert_true(k == 0 || place_of(&out, "sampling")->operations); /* naive draws on the host: no operation */
            case_drop(&out);
            case_close(e);
            r = case_cloned("what is said");
            r.max_frames = 3;
            r.skip_codec = false;
            options.source.dir = case_base;
            options.need_encoders = true;
            e = case_open(case_runtime(), &options);
            out = case_speak(e, &r);
            expect_places(&out, speech, device);
            case_drop(&out);
            case_close(e);
        }
}

static void several_at_once_tell_of_all_together(void **state)
{
    hm_request requests[2] = {song, song};
    hm_result results[2] = {0};
    hm_error err = {0};
    hm_many many = {.requests = requests, .count = 2, .batch = 2, .results = results};
    (void)state;
    hm_engine *e = case_open_model(songs, &case_best, NULL);
    if (case_runtime()->generate_many(e, &many, &err))
        fail_msg("%s", err.text);
    assert_true(results[0].place_count > 2 && place_of(&results[0], "backbone")->operations > 0);
    assert_memory_equal(results[0].places, results[1].places, sizeof results[0].places);
    case_drop(&results[0]);
    case_drop(&results[1]);
    case_close(e);
}

static hm_result decode(const char *dir, const hm_toggles *t, int codebooks, int frames, const hm_request *request)
{
    int32_t *codes = calloc((size_t)(frames * codebooks), sizeof *codes);
    assert_non_null(codes);
    for (int i = 0; i < frames * codebooks; i++)
        codes[i] = i * 7 % 32;
    hm_engine_options options = {.source.dir = dir, .threads = 2, .toggles = t, .need_codec = true};
    hm_engine *e = case_open(case_runtime(), &options);
    hm_result out = case_decode(case_runtime(), e, codes, frames, request);
    case_close(e);
    free(codes);
    return out;
}

static void segments_and_chunks_tell_where_they_meet(void **state)
{
    hm_request r = song;
    hm_toggles t = case_best, original = {.chunks = HM_CHUNKS_ORIGINAL};
    (void)state;
    t.segments = HM_SEGMENTS_SHORT_FIRST;
    r.music.flow_steps = 1;
    hm_result out = decode(songs, &t, CASE_CODEBOOKS, 120, &r); /* 7.44 s, then the rest */
    assert_int_equal(out.seam_count, 2);
    double rate = out.sample_rate_hz, first = (double)out.seams[0] / rate, alone = (double)out.seams[1] / rate;
    if (!(first > 5 && first < alone && alone < 7.5 && out.seams[1] < out.samples))
        fail_msg("seams at %g s and %g s of %g s", first, alone, (double)out.samples / rate);
    case_drop(&out);
    out = decode(songs, &t, CASE_CODEBOOKS, 20, &r);
    assert_int_equal(out.seam_count, 0);
    case_drop(&out);
    t.segments = HM_SEGMENTS_BATCHED;
    out = decode(songs, &t, CASE_CODEBOOKS, 700, &r); /* three that are crossfaded over 52 codes each time */
    assert_int_equal(out.seam_count, 4);
    assert_true(out.seams[0] == 320 * 24 && out.seams[1] == 372 * 24 && out.seams[2] == 640 * 24 && out.seams[3] == 692 * 24);
    double db = hm_sound_seam_db(out.audio, out.channels, out.samples, out.sample_rate_hz, out.seams, out.seam_count);
    if (!(fabs(db) < 6)) /* no click: what one end of a crossfade has there is silent in the other */
        fail_msg("segments side by side: %g dB more at a seam than around it", db);
    case_drop(&out);
    r = case_spoken;
    out = decode(case_custom, &original, CASE_GROUPS, 301, &r);
    assert_true(out.seam_count == 1 && out.seams[0] == 300 * CASE_RATE && out.samples == 301 * CASE_RATE);
    case_drop(&out);
    out = decode(case_custom, &case_best, CASE_GROUPS, 301, &r); /* carried state: nothing meets */
    assert_int_equal(out.seam_count, 0);
    case_drop(&out);
}

static int make_models(void **state)
{
    case_model(songs, "heartmula-tiny");
    return case_make_models(state);
}

static int remove_models(void **state)
{
    case_remove(songs);
    return case_remove_models(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(songs_show_the_same_logits_whatever_way_codes_are_drawn),
        cmocka_unit_test(speech_shows_the_same_logits_whatever_way_codes_are_drawn),
        cmocka_unit_test(the_logits_told_are_those_of_the_result),
        cmocka_unit_test(every_part_tells_where_it_ran),
        cmocka_unit_test(several_at_once_tell_of_all_together),
        cmocka_unit_test(segments_and_chunks_tell_where_they_meet),
    };
    return cmocka_run_group_tests(tests, make_models, remove_models);
}
