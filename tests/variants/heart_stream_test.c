/* Songs decoded while their frames are drawn, between frames or on a thread: the bytes of songs decoded at the end, whatever their length,
 * given to whoever listens in order and in time. */
#define _GNU_SOURCE
#include "engine/base/time.h"
#include "tests/engine_case.h"

#define MOST_FRAMES 692 /* two whole segments of 29.76 s */
#define CHANNELS 2

static char folder[] = "/tmp/hmbench-stream-XXXXXX";
static int32_t *stored;

/* What came out of a sink. */
struct heard {
    float *pcm; /* [CHANNELS][room] */
    int64_t room, samples, last_ns;
    int pieces, stop_after; /* stop_after pieces: 0: never */
};

static int hear(void *self, const float *pcm, int channels, int64_t samples, int64_t at_ns)
{
    struct heard *h = self;
    assert_int_equal(channels, CHANNELS);
    assert_true(samples > 0 && h->samples + samples <= h->room);
    assert_true(at_ns >= h->last_ns && at_ns <= hm_now_ns());
    for (int ch = 0; ch < CHANNELS; ch++)
        memcpy(h->pcm + ch * h->room + h->samples, pcm + ch * samples, (size_t)samples * sizeof *pcm);
    h->samples += samples;
    h->last_ns = at_ns;
    h->pieces++;
    return h->stop_after && h->pieces >= h->stop_after;
}

static struct heard listen(void)
{
    struct heard h = {.room = (MOST_FRAMES + 1) * 24};
    h.pcm = calloc((size_t)(h.room * CHANNELS), sizeof *h.pcm);
    assert_non_null(h.pcm);
    return h;
}

static hm_engine *open_engine(const hm_toggles *toggles, int threads, const hm_probe *probe)
{
    return case_open(
        case_runtime(),
        &(hm_engine_options){
            .source.dir = folder, .threads = threads, .toggles = toggles, .need_lm = true, .need_codec = true, .probe = probe});
}

/* A song that goes along stored codes, so that its codec has something to say. */
static hm_request song_of(int frames)
{
    return (hm_request){.music = {.tags = "pop", .lyrics = "la", .cfg_scale = 1, .flow_steps = 1, .flow_guidance = 1},
                        .max_frames = frames,
                        .force_length = true,
                        .topk = 1,
                        .temperature = 1,
                        .seed = 7,
                        .stored_codes = stored};
}

static void drop(hm_result *r)
{
    case_runtime()->result_free(r);
}

static void expect_same_audio(const hm_result *a, const hm_result *b, const char *what, int frames)
{
    if (a->frames != b->frames || a->samples != b->samples ||
        memcmp(a->audio, b->audio, (size_t)(a->samples * CHANNELS) * sizeof *a->audio))
        fail_msg("%s, %d frames: %d frames and %lld samples; expected the bytes of %d and %lld", what, frames, b->frames,
                 (long long)b->samples, a->frames, (long long)a->samples);
}

static void expect_heard(const struct heard *h, const hm_result *r, const char *what)
{
    if (h->samples != r->samples)
        fail_msg("%s: %lld samples were heard of %lld", what, (long long)h->samples, (long long)r->samples);
    for (int ch = 0; ch < CHANNELS; ch++)
        assert_memory_equal(h->pcm + ch * h->room, r->audio + ch * r->samples, (size_t)r->samples * sizeof *r->audio);
}

/* One way of cutting songs, at the lengths around its segments. Where threads are watched, which takes long, at the first of them. */
static void check_lengths(hm_toggles toggles, const char *what, const int *lengths, int count)
{
#if defined(__SANITIZE_THREAD__)
    count = 1;
#endif
    hm_toggles stream = toggles, overlap = toggles;
    stream.decode = HM_DECODE_STREAM;
    overlap.decode = HM_DECODE_OVERLAP;
    hm_engine *at_end = open_engine(&stream, 1, NULL), *between = open_engine(&stream, 2, NULL), *beside = open_engine(&overlap, 2, NULL);
    for (int i = 0; i < count; i++) {
        hm_request request = song_of(lengths[i]);
        struct heard one = listen(), two = listen();
        hm_result whole = case_generate(case_runtime(), at_end, &request), silent = case_generate(case_runtime(), beside, &request);
        assert_int_equal(whole.overlapped_ns, 0);
        expect_same_audio(&whole, &silent, what, lengths[i]);
        request.sink = &(hm_audio_sink){.self = &one, .write = hear};
        hm_result a = case_generate(case_runtime(), between, &request);
        request.sink = &(hm_audio_sink){.self = &two, .write = hear};
        hm_result b = case_generate(case_runtime(), beside, &request);
        expect_same_audio(&whole, &a, what, lengths[i]);
        expect_same_audio(&whole, &b, what, lengths[i]);
        expect_heard(&one, &a, what);
        expect_heard(&two, &b, what);
        if (lengths[i] >= (toggles.segments == HM_SEGMENTS_SHORT_FIRST ? 93 : 372))
            assert_true(a.overlapped_ns > 0 && one.pieces >= 2);
        assert_int_equal(a.counters.lost_codes, whole.counters.lost_codes);
        assert_int_equal(b.counters.tokens_out_of_range, whole.counters.tokens_out_of_range);
        assert_int_equal(b.counters.solver_frames, whole.counters.solver_frames);
        drop(&whole);
        drop(&silent);
        drop(&a);
        drop(&b);
        free(one.pcm);
        free(two.pcm);
    }
    case_runtime()->close(&at_end);
    case_runtime()->close(&between);
    case_runtime()->close(&beside);
}

static void streamed_songs_have_the_bytes_of_songs_decoded_at_the_end(void **state)
{
    (void)state;
    check_lengths((hm_toggles){HM_BEST}, "chained, tiled", (const int[]){373, 1, 372, 692}, 4);
    check_lengths((hm_toggles){HM_BEST, .codec_len = HM_CODEC_NEEDED}, "chained, needed", (const int[]){424, 372, 373}, 3);
}

static void songs_with_a_short_first_segment_do_too(void **state)
{
    (void)state;
    check_lengths((hm_toggles){HM_BEST, .segments = HM_SEGMENTS_SHORT_FIRST}, "short first, tiled", (const int[]){94, 92, 93, 453}, 4);
    check_lengths((hm_toggles){HM_BEST, .segments = HM_SEGMENTS_SHORT_FIRST, .codec_len = HM_CODEC_NEEDED}, "short first, needed",
                  (const int[]){94, 1, 93, 452}, 4);
}

/* Streamed, segments are solved one by one; at the end, all that are as long as another side by side. */
static void songs_of_segments_that_know_nothing_of_each_other_do_too(void **state)
{
    (void)state;
    check_lengths((hm_toggles){HM_BEST, .segments = HM_SEGMENTS_BATCHED}, "batched, tiled", (const int[]){692, 372, 1}, 3);
    check_lengths((hm_toggles){HM_BEST, .segments = HM_SEGMENTS_BATCHED, .codec_len = HM_CODEC_NEEDED}, "batched, needed",
                  (const int[]){600, 692}, 2);
}

static void songs_that_lose_their_tail_lose_it_streamed_too(void **state)
{
    (void)state;
    check_lengths((hm_toggles){HM_BEST, .tail = HM_TAIL_LOST}, "lost tail", (const int[]){424}, 1);
    check_lengths((hm_toggles){HM_BEST, .tail = HM_TAIL_LOST, .segments = HM_SEGMENTS_SHORT_FIRST}, "lost tail, short first",
                  (const int[]){184, 504}, 2);
}

/* Codes that are drawn, in every way they can come to the host; the song's own end, long before the cap. */
static void drawn_codes_and_songs_that_end_by_themselves_stream(void **state)
{
    static const hm_toggles ways[] = {
        {0}, {.codes = HM_CODES_FRAME, .token_forward = HM_TOKEN_DEVICE, .sampling = HM_SAMPLING_FUSED}, {HM_BEST_BUT_DECODE}};
    (void)state;
    for (int w = 0; w < 3; w++)
        for (int forced = 0; forced < 2; forced++) {
            hm_toggles stream = ways[w], overlap = ways[w], whole = ways[w];
            hm_request request = song_of(forced ? 96 : 200);
            stream.decode = HM_DECODE_STREAM;
            overlap.decode = HM_DECODE_OVERLAP;
            whole.segments = stream.segments = overlap.segments = HM_SEGMENTS_SHORT_FIRST;
            whole.codec_len = stream.codec_len = overlap.codec_len = HM_CODEC_NEEDED;
            hm_engine *engines[] = {open_engine(&whole, 1, NULL), open_engine(&stream, 1, NULL), open_engine(&overlap, 1, NULL)};
            request.stored_codes = NULL;
            request.force_length = forced;
            request.topk = 50;
            hm_result expected = case_generate(case_runtime(), engines[0], &request);
            assert_true(forced || (expected.ended && expected.frames < 200));
            for (int i = 1; i < 3; i++) {
                struct heard h = listen();
                request.sink = &(hm_audio_sink){.self = &h, .write = hear};
                hm_result r = case_generate(case_runtime(), engines[i], &request);
                expect_same_audio(&expected, &r, i == 1 ? "stream" : "overlap", forced);
                assert_memory_equal(expected.codes, r.codes, (size_t)r.frames * CASE_CODEBOOKS * sizeof *r.codes);
                expect_heard(&h, &r, "drawn");
                drop(&r);
                free(h.pcm);
            }
            drop(&expected);
            for (int i = 0; i < 3; i++)
                case_runtime()->close(&engines[i]);
        }
}

static void sound_begins_sooner_with_a_short_first_segment(void **state)
{
    int64_t first[2];
    (void)state;
    for (int s = 0; s < 2; s++) {
        hm_toggles toggles = {HM_BEST, .segments = (uint8_t)s};
        hm_request request = song_of(400);
        struct heard h = listen();
        h.stop_after = 1;
        hm_engine *e = open_engine(&toggles, 1, NULL);
        request.sink = &(hm_audio_sink){.self = &h, .write = hear};
        hm_result r = {0};
        hm_error err = {0};
        case_expect_error(case_runtime()->generate(e, &request, &r, &err), &err, HM_EINTERRUPTED, "samples were written");
        first[s] = h.samples;
        case_runtime()->close(&e);
        free(h.pcm);
    }
    assert_int_equal(first[0], 320 * 24); /* what the overlap with the next leaves of 372 codes */
    assert_int_equal(first[1], 80 * 24);  /* of 93 */
}

static void a_variant_that_decodes_whole_takes_no_listener(void **state)
{
    struct heard h = listen();
    hm_request request = song_of(4);
    hm_engine *e = open_engine(&case_naive, 1, NULL);
    hm_result r = {0};
    hm_error err = {0};
    (void)state;
    request.sink = &(hm_audio_sink){.self = &h, .write = hear};
    case_expect_error(case_runtime()->generate(e, &request, &r, &err), &err, HM_EUSAGE, "decode=stream");
    case_runtime()->close(&e);
    free(h.pcm);
}

/* --- stopping --- */

struct stopper {
    const char *phase;
    int64_t at;
};

static int stop(void *self, const char *phase, int64_t done, int64_t total)
{
    const struct stopper *s = self;
    (void)total;
    return s->phase && !strcmp(phase, s->phase) && done >= s->at;
}

static void expect_stopped(hm_engine *e, const hm_request *request)
{
    hm_result r = {0};
    hm_error err = {0};
    case_expect_error(case_runtime()->generate(e, request, &r, &err), &err, HM_EINTERRUPTED, "interrupted");
    assert_null(r.codes);
    assert_null(r.audio);
}

/* By whoever watches, before, while and after segments are decoded; by whoever listens; each leaves an engine that works. */
static void a_stopped_stream_leaves_nothing_and_the_engine_usable(void **state)
{
    (void)state;
    for (int way = HM_DECODE_STREAM; way <= HM_DECODE_OVERLAP; way++) {
        const hm_toggles toggles = {HM_BEST_BUT_DECODE, .decode = (uint8_t)way, .segments = HM_SEGMENTS_SHORT_FIRST};
        struct stopper stopper = {0};
        hm_probe probe = {.self = &stopper, .progress = stop};
        hm_request request = song_of(180);
        struct heard h = listen();
        hm_audio_sink sink = {.self = &h, .write = hear};
        hm_engine *e = open_engine(&toggles, 2, &probe);
        hm_result whole = case_generate(case_runtime(), e, &request);
        request.sink = &sink;
        for (int64_t at = 0; at < 180; at += 50) {
            stopper = (struct stopper){"generate", at};
            h.samples = 0;
            expect_stopped(e, &request);
        }
        stopper = (struct stopper){"decode", 0};
        h.samples = 0;
        expect_stopped(e, &request);
        stopper = (struct stopper){0};
        for (h.stop_after = 1; h.stop_after <= 2; h.stop_after++) {
            h.samples = h.pieces = 0;
            expect_stopped(e, &request);
            assert_int_equal(h.pieces, h.stop_after);
        }
        h = (struct heard){.pcm = h.pcm, .room = h.room};
        hm_result again = case_generate(case_runtime(), e, &request);
        expect_same_audio(&whole, &again, "after interruptions", 180);
        expect_heard(&h, &again, "after interruptions");
        drop(&whole);
        drop(&again);
        free(h.pcm);
        case_runtime()->close(&e);
    }
}

/* Frames and segments are held at once. */
static void the_estimate_of_a_stream_holds_both(void **state)
{
    hm_toggles overlap = {HM_BEST_BUT_DECODE, .decode = HM_DECODE_OVERLAP}, stream = {HM_BEST};
    hm_request request = song_of(400);
    hm_memory_estimate alone, beside;
    hm_error err = {0};
    hm_engine_options options = {.source.dir = folder, .threads = 1, .toggles = &stream, .need_lm = true, .need_codec = true};
    (void)state;
    request.stored_codes = NULL;
    assert_int_equal(case_runtime()->estimate(&options, &request, &alone, &err), HM_OK);
    options.toggles = &overlap;
    assert_int_equal(case_runtime()->estimate(&options, &request, &beside, &err), HM_OK);
    assert_int_equal(beside.total_bytes, beside.weights_bytes + beside.kv_bytes + beside.scratch_bytes + beside.codec_bytes);
    assert_true(beside.total_bytes > alone.total_bytes);
}

/* The preset's 256 positions hold 20 s: more of them, which only sizes caches. */
static void make_room(void)
{
    char path[512];
    json_error_t at;
    snprintf(path, sizeof path, "%s/%s/config.json", folder, hm_preset_sizes_of(hm_preset_find("heartmula-tiny"))->lm_folder);
    json_t *config = json_load_file(path, 0, &at);
    assert_non_null(config);
    json_t *backbone = json_object_get(config, "backbone");
    assert_int_equal(json_object_set_new(backbone, "max_seq_len", json_integer(MOST_FRAMES + 40)), 0);
    assert_int_equal(json_dump_file(config, path, 0), 0);
    json_decref(config);
}

static int make_model(void **state)
{
    (void)state;
    case_model(folder, "heartmula-tiny");
    make_room();
    stored = case_codes(MOST_FRAMES, 66); /* some outside the codec: clamped */
    return 0;
}

static int remove_model(void **state)
{
    (void)state;
    case_remove(folder);
    free(stored);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streamed_songs_have_the_bytes_of_songs_decoded_at_the_end),
        cmocka_unit_test(songs_with_a_short_first_segment_do_too),
        cmocka_unit_test(songs_of_segments_that_know_nothing_of_each_other_do_too),
        cmocka_unit_test(songs_that_lose_their_tail_lose_it_streamed_too),
        cmocka_unit_test(drawn_codes_and_songs_that_end_by_themselves_stream),
        cmocka_unit_test(sound_begins_sooner_with_a_short_first_segment),
        cmocka_unit_test(a_variant_that_decodes_whole_takes_no_listener),
        cmocka_unit_test(a_stopped_stream_leaves_nothing_and_the_engine_usable),
        cmocka_unit_test(the_estimate_of_a_stream_holds_both),
    };
    return cmocka_run_group_tests(tests, make_model, remove_model);
}
