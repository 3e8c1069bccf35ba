/* Songs from request to audio: what is refused and how, the end-of-song rule, section styles, codes outside the codec, the lost tail,
 * memory against its estimate, interruption. */
#define _GNU_SOURCE
#include <math.h>

#include "tests/engine_case.h"
#include "tests/memory_case.h"

#define ALLOCATOR_BYTES 4096 /* headers of blocks */

static char folder[] = "/tmp/hmbench-session-XXXXXX", broken[] = "/tmp/hmbench-broken-XXXXXX";
static const hm_toggles *const sets[] = {&case_naive, &case_best};
enum {
    SETS = 2
};

static const hm_request codes_only = {.music.tags = "pop",
                                      .music.lyrics = "la la",
                                      .max_frames = 4,
                                      .force_length = true,
                                      .music.cfg_scale = 1.5,
                                      .topk = 50,
                                      .temperature = 1,
                                      .seed = 7,
                                      .music.flow_guidance = 1,
                                      .skip_codec = true};

static hm_engine *open_parts(const hm_toggles *toggles, bool lm, bool codec, const hm_probe *probe)
{
    hm_engine_options options = {
        .source.dir = folder, .threads = 1, .toggles = toggles, .need_lm = lm, .need_codec = codec, .probe = probe};
    return case_open(case_runtime(), &options);
}

static void drop(hm_result *result)
{
    case_runtime()->result_free(result);
}

static void close_engine(hm_engine *e)
{
    case_runtime()->close(&e);
}

/* The request is refused, and the result holds nothing. */
static void expect_refused(hm_engine *e, const hm_request *request, hm_status status, const char *text)
{
    hm_result r = {0}, nothing = {0};
    hm_error err = {0};
    case_expect_error(case_runtime()->generate(e, request, &r, &err), &err, status, text);
    assert_memory_equal(&r, &nothing, sizeof r);
}

/* --- requests --- */

static void requests_out_of_range_are_refused_in_one_sentence(void **state)
{
    static const double temperatures[] = {0, -1, NAN, INFINITY};
    static const int counts[] = {0, -1, INT32_MIN}, steps[] = {-1, 101, INT32_MAX};
    hm_engine *e = open_parts(&case_best, true, true, NULL);
    hm_request bad;
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        bad = codes_only;
        bad.temperature = temperatures[i];
        expect_refused(e, &bad, HM_EUSAGE, "temperature");
    }
    for (size_t i = 0; i < 3; i++) {
        bad = codes_only;
        bad.topk = counts[i];
        expect_refused(e, &bad, HM_EUSAGE, "topk");
        bad = codes_only;
        bad.max_frames = counts[i];
        expect_refused(e, &bad, HM_EUSAGE, "frame");
        bad = codes_only;
        bad.skip_codec = false;
        bad.music.flow_steps = steps[i];
        expect_refused(e, &bad, HM_EUSAGE, "solver steps");
    }
    bad = codes_only;
    bad.music.cfg_scale = NAN;
    expect_refused(e, &bad, HM_EUSAGE, "guidance");
    bad = codes_only;
    bad.music.flow_guidance = INFINITY;
    expect_refused(e, &bad, HM_EUSAGE, "guidance");
    bad = codes_only;
    bad.music.lyrics = NULL;
    expect_refused(e, &bad, HM_EUSAGE, "lyrics");
    bad = codes_only;
    bad.music.tags = NULL;
    expect_refused(e, &bad, HM_EUSAGE, "tags");
    close_engine(e);
}

static void topk_beyond_the_vocabulary_keeps_all_of_it(void **state)
{
    (void)state;
    for (int s = 0; s < SETS; s++) {
        hm_engine *e = open_parts(sets[s], true, false, NULL);
        hm_request request = codes_only;
        request.topk = 69;
        hm_result all = case_generate(case_runtime(), e, &request);
        request.topk = INT32_MAX;
        hm_result more = case_generate(case_runtime(), e, &request);
        assert_memory_equal(all.codes, more.codes, 4 * CASE_CODEBOOKS * sizeof(int32_t));
        drop(&all);
        drop(&more);
        close_engine(e);
    }
}

static void a_prompt_and_frames_that_exceed_the_positions_are_refused(void **state)
{
    hm_engine *e = open_parts(&case_best, true, false, NULL);
    hm_request request = codes_only;
    (void)state;
    hm_result r = case_generate(case_runtime(), e, &request);
    int most = 256 - r.prompt_tokens;
    drop(&r);
    request.max_frames = most + 1;
    expect_refused(e, &request, HM_EUSAGE, "256 positions");
    request.max_frames = INT32_MAX;
    expect_refused(e, &request, HM_EUSAGE, "256 positions");
    request.max_frames = most;
    r = case_generate(case_runtime(), e, &request);
    assert_int_equal(r.frames, most);
    drop(&r);
    close_engine(e);
}

static void stored_codes_outside_the_vocabulary_are_refused(void **state)
{
    hm_engine *e = open_parts(&case_best, true, false, NULL);
    int32_t *codes = case_codes(4, 69);
    hm_request request = codes_only;
    (void)state;
    request.stored_codes = codes;
    codes[8 + 3] = 69;
    expect_refused(e, &request, HM_EFORMAT, "frame 1 codebook 3");
    codes[8 + 3] = -1;
    expect_refused(e, &request, HM_EFORMAT, "found -1");
    free(codes);
    close_engine(e);
}

/* --- texts --- */

static void texts_that_are_not_utf_8_are_refused_by_name(void **state)
{
    hm_engine *e = open_parts(&case_best, true, false, NULL);
    hm_request bad = codes_only;
    (void)state;
    bad.music.lyrics = "caf\xE9";
    expect_refused(e, &bad, HM_EFORMAT, "lyrics");
    bad.music.lyrics = "\xED\xA0\x80"; /* half a surrogate pair */
    expect_refused(e, &bad, HM_EFORMAT, "lyrics");
    bad = codes_only;
    bad.music.tags = "\xC0\x80";
    expect_refused(e, &bad, HM_EFORMAT, "tags");
    bad = codes_only;
    bad.music.lyrics = "[Verse]\nla";
    bad.music.verse_style = "\xFF";
    expect_refused(e, &bad, HM_EFORMAT, "lyrics");
    close_engine(e);
}

static void empty_texts_make_a_song(void **state)
{
    (void)state;
    for (int s = 0; s < SETS; s++) {
        hm_engine *e = open_parts(sets[s], true, false, NULL);
        hm_request request = codes_only;
        request.music.lyrics = request.music.tags = "";
        hm_result r = case_generate(case_runtime(), e, &request);
        assert_int_equal(r.frames, 4);
        assert_true(r.prompt_tokens >= 5); /* begin and end of both, and the slot */
        drop(&r);
        close_engine(e);
    }
}

typedef struct styles {
    const char *intro, *verse, *chorus;
} styles;

/* The lyrics with styles make the prompt that the written-out lyrics make. */
static void expect_styled(const char *lyrics, styles s, const char *written)
{
    hm_engine *e = open_parts(&case_best, true, false, NULL);
    hm_request request = codes_only;
    request.music.lyrics = written;
    hm_result plain = case_generate(case_runtime(), e, &request);
    request.music.lyrics = lyrics;
    request.music.intro_style = s.intro;
    request.music.verse_style = s.verse;
    request.music.chorus_style = s.chorus;
    hm_result styled = case_generate(case_runtime(), e, &request);
    size_t n = 4 * CASE_CODEBOOKS;
    if (plain.prompt_tokens != styled.prompt_tokens || memcmp(plain.logits, styled.logits, n * sizeof(float)))
        fail_msg("\"%s\": expected the prompt of \"%s\"", lyrics, written);
    drop(&plain);
    drop(&styled);
    close_engine(e);
}

static void styles_follow_the_lines_of_their_sections(void **state)
{
    styles s = {"Soft", "Whispered", "Loud"};
    (void)state;
    expect_styled("[Intro]\n[Verse]\nla\n[Chorus]\nhey", s, "[Intro]\n(Soft)\n[Verse]\n(Whispered)\nla\n[Chorus]\n(Loud)\nhey");
    expect_styled("[hook]\nhey\n[VERSE 2]\nla", s, "[hook]\n(Loud)\nhey\n[VERSE 2]\n(Whispered)\nla");
    expect_styled("[Verse2]\nla\n[verse: slow]\nlo", s, "[Verse2]\n(Whispered)\nla\n[verse: slow]\n(Whispered)\nlo");
    expect_styled(" \t[ Verse ] \nla", s, " \t[ Verse ] \n(Whispered)\nla");
    expect_styled("la\n[Verse]", s, "la\n[Verse]\n(Whispered)");
    expect_styled("[Verse]\r\nla\r\n", s, "[Verse]\r\n(Whispered)\nla\r\n");
}

static void styles_leave_all_other_lines_alone(void **state)
{
    static const char *const others[] = {"[Pre-Chorus]\nla",      "[Bridge]\nla", "verse\nla",      "[Verse\nla",    "Verse]\nla",
                                         "[Verses]\nla",          "[]\nla",       "[Verse] la\nla", "[2 Verse]\nla", "la [Verse]\n",
                                         "[verse and chorus]\nla"};
    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        expect_styled(others[i], (styles){"Soft", "Whispered", "Loud"}, others[i]);
    expect_styled("[Verse]\nla", (styles){"Soft", NULL, "Loud"}, "[Verse]\nla");
    expect_styled("[Verse]\nla", (styles){"Soft", "", "Loud"}, "[Verse]\nla");
}

static void a_style_with_a_line_break_is_refused(void **state)
{
    hm_engine *e = open_parts(&case_best, true, false, NULL);
    hm_request bad = codes_only;
    (void)state;
    bad.music.verse_style = "soft\n[Chorus]";
    expect_refused(e, &bad, HM_EUSAGE, "verse style");
    bad.music.verse_style = NULL;
    bad.music.chorus_style = "loud\r";
    expect_refused(e, &bad, HM_EUSAGE, "chorus style");
    close_engine(e);
}

/* --- parts --- */

static void expect_no_engine(const char *dir, bool lm, bool codec, hm_status status, const char *text)
{
    hm_engine_options options = {.source.dir = dir, .threads = 1, .toggles = &case_best, .need_lm = lm, .need_codec = codec};
    hm_memory_estimate estimate;
    hm_engine *e = NULL;
    hm_error err = {0};
    case_expect_error(case_runtime()->open(&e, &options, &err), &err, status, text);
    assert_null(e);
    case_expect_error(case_runtime()->estimate(&options, &codes_only, &estimate, &err), &err, status, text);
}

static void remove_part(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", broken, name);
    case_remove(path);
}

static void missing_parts_are_named(void **state)
{
    const hm_preset_sizes *sizes = hm_preset_sizes_of(hm_preset_find("heartmula-tiny"));
    hm_engine_options options = {.source.dir = broken, .threads = 1, .toggles = &case_best, .need_lm = true};
    (void)state;
    case_model(broken, "heartmula-tiny");
    remove_part("tokenizer.json");
    hm_engine *e = case_open(case_runtime(), &options); /* enough for all that needs no text */
    expect_refused(e, &codes_only, HM_EMISSING, "tokenizer.json");
    close_engine(e);
    remove_part(sizes->codec_folder);
    expect_no_engine(broken, true, true, HM_EMISSING, "no codec");
    expect_no_engine(broken, false, true, HM_EMISSING, "no codec");
    remove_part(sizes->lm_folder);
    expect_no_engine(broken, true, false, HM_EMISSING, "no language model");
    case_remove(broken);
    expect_no_engine(broken, true, false, HM_EMISSING, broken);
}

static void what_the_engine_was_not_opened_for_is_refused(void **state)
{
    int32_t *codes = case_codes(4, 64);
    hm_request whole = codes_only;
    hm_result r = {0};
    hm_error err = {0};
    (void)state;
    whole.skip_codec = false;
    hm_engine *lm = open_parts(&case_best, true, false, NULL), *codec = open_parts(&case_best, false, true, NULL);
    expect_refused(lm, &whole, HM_EBUG, "without a codec");
    case_expect_error(case_runtime()->decode(lm, codes, 4, &whole, &r, &err), &err, HM_EBUG, "without a codec");
    expect_refused(codec, &whole, HM_EBUG, "without a language model");
    case_expect_error(case_runtime()->decode(codec, codes, 0, &whole, &r, &err), &err, HM_EUSAGE, "at least 1 frame");
    close_engine(lm);
    close_engine(codec);
    free(codes);
}

/* --- end of song --- */

#define EOS 65 /* of heartmula-tiny: codes 65 to 68 end a song */

static bool frame_ends(const hm_result *r, int frame)
{
    bool any = false;
    for (int k = 0; k < CASE_CODEBOOKS; k++)
        any |= r->codes[frame * CASE_CODEBOOKS + k] >= EOS;
    return any;
}

/* One seed: the song ends before the first frame that has an end code, but for frame 0. Returns what happened as bits. */
static int check_end(hm_engine *e, uint64_t seed, int cap)
{
    hm_request request = codes_only;
    int end = 1;
    request.seed = seed;
    request.max_frames = cap;
    hm_result forced = case_generate(case_runtime(), e, &request);
    request.force_length = false;
    hm_result song = case_generate(case_runtime(), e, &request);
    while (end < cap && !frame_ends(&forced, end))
        end++;
    assert_int_equal(forced.frames, cap);
    assert_false(forced.ended);
    assert_int_equal(song.frames, end);
    assert_int_equal(song.ended, end < cap);
    assert_memory_equal(song.codes, forced.codes, (size_t)end * CASE_CODEBOOKS * sizeof(int32_t));
    int seen = (frame_ends(&forced, 0) ? 1 : 0) | (end < cap ? 2 : 4);
    drop(&forced);
    drop(&song);
    return seen;
}

static void an_end_code_ends_the_song_before_its_frame_but_not_in_frame_0(void **state)
{
    static const hm_toggles by_frame = {.codes = HM_CODES_FRAME, .token_forward = HM_TOKEN_DEVICE, .sampling = HM_SAMPLING_FUSED};
    const hm_toggles *const ways[] = {&case_naive, &by_frame, &case_best};
    (void)state;
    for (int w = 0; w < 3; w++) {
        hm_engine *e = open_parts(ways[w], true, false, NULL);
        int seen = 0;
        for (uint64_t seed = 1; seed <= 12; seed++)
            seen |= check_end(e, seed, 3);
        assert_int_equal(seen, 7); /* an end code in frame 0; an ended song; one that reached the cap */
        close_engine(e);
    }
}

/* --- codec --- */

static void codes_outside_the_codec_are_clamped_and_counted(void **state)
{
    int32_t *codes = case_codes(5, 64), *inside = case_codes(5, 64);
    hm_request request = {.music.flow_steps = 1, .music.flow_guidance = 1};
    (void)state;
    codes[0] = 64;
    codes[17] = 68;
    codes[39] = INT32_MAX;
    inside[0] = inside[17] = inside[39] = 63;
    for (int s = 0; s < SETS; s++) {
        hm_engine *e = open_parts(sets[s], false, true, NULL);
        hm_result r = case_decode(case_runtime(), e, codes, 5, &request), same = case_decode(case_runtime(), e, inside, 5, &request);
        assert_int_equal(r.counters.tokens_out_of_range, 3);
        assert_int_equal(same.counters.tokens_out_of_range, 0);
        assert_int_equal(r.samples, 5 * 24); /* 80 ms at 300 Hz */
        assert_memory_equal(r.audio, same.audio, (size_t)r.samples * 2 * sizeof(float));
        drop(&r);
        drop(&same);
        close_engine(e);
    }
    free(codes);
    free(inside);
}

static void only_songs_104_over_a_multiple_of_320_lose_their_tail(void **state)
{
    static const int frames[] = {423, 424, 425};
    hm_request request = {.music.flow_steps = 1, .music.flow_guidance = 1};
    const hm_toggles lost = {.tail = HM_TAIL_LOST, .precompute = HM_PRECOMPUTE_ONCE}, kept = {.precompute = HM_PRECOMPUTE_ONCE};
    int32_t *codes = case_codes(425, 64);
    hm_engine *loses = open_parts(&lost, false, true, NULL), *keeps = open_parts(&kept, false, true, NULL);
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        int gone = frames[i] == 424 ? 52 : 0;
        hm_result a = case_decode(case_runtime(), loses, codes, frames[i], &request);
        assert_int_equal(a.counters.lost_codes, gone);
        assert_true(llabs(a.samples - (frames[i] - gone) * 24) <= 1); /* float64 frames to samples, rounded down */
        if (gone) {
            hm_result b = case_decode(case_runtime(), keeps, codes, frames[i], &request);
            int64_t apart = 320 * 24; /* crossfaded from there on */
            assert_int_equal(b.counters.lost_codes, 0);
            assert_true(llabs(b.samples - 424 * 24) <= 1);
            assert_memory_equal(a.audio, b.audio, (size_t)apart * sizeof(float)); /* both channels begin alike: */
            assert_memory_equal(a.audio + a.samples, b.audio + b.samples, (size_t)apart * sizeof(float));
            drop(&b);
        }
        drop(&a);
    }
    close_engine(loses);
    close_engine(keeps);
    free(codes);
}

/* --- memory --- */

/* What is held while a song is made, at the begin and end of every operation, against what was foretold. */
static void check_estimate(const char *name, const hm_toggles *toggles)
{
    struct watch watch = {0};
    hm_probe probe = {.self = &watch, .wanted = HM_SPAN_OP | HM_SPAN_PHASE, .begin = look, .end = look_after};
    hm_request request = codes_only;
    hm_memory_estimate estimate, lm_only;
    hm_error err = {0};
    hm_engine_options options = {
        .source.dir = folder, .threads = 1, .toggles = toggles, .need_lm = true, .need_codec = true, .probe = &probe};
    request.music.tags = "pop,piano,happy";
    request.music.lyrics = "[Verse]\nThe sun creeps in across the floor\nI hear the traffic outside the door\n";
    request.max_frames = 100;
    assert_int_equal(case_runtime()->estimate(&options, &request, &estimate, &err), HM_OK);
    options.need_codec = false;
    assert_int_equal(case_runtime()->estimate(&options, &request, &lm_only, &err), HM_OK);
    assert_int_equal(lm_only.codec_bytes, 0);
    assert_true(estimate.codec_bytes > 0);
    options.need_codec = true;

    size_t before = allocated();
    hm_engine *e = open_parts(toggles, false, false, NULL); /* the engine itself: threads and their scratch */
    size_t bare = allocated() - before;
    close_engine(e);
    before = allocated();
    e = case_open(case_runtime(), &options);
    size_t opened = allocated();
    assert_int_equal(estimate.mapped_bytes > 0, toggles->load != HM_WEIGHTS_READ);
    size_t held = opened - before - bare;
    if (held < estimate.weights_bytes || held > estimate.weights_bytes + BOOKKEEPING_BYTES)
        fail_msg("%s: weights: expected %llu bytes and names, sizes, tokenizer; found %zu", name,
                 (unsigned long long)estimate.weights_bytes, held);
    watch.most = 0;
    hm_result song = case_generate(case_runtime(), e, &request);
    expect_estimate(name, "caches", estimate.kv_bytes, song.kv_bytes, ALLOCATOR_BYTES);
    request.prompt_rows = song.prompt_tokens; /* with the prompt known nothing is guessed */
    assert_int_equal(case_runtime()->estimate(&options, &request, &estimate, &err), HM_OK);
    assert_int_equal(estimate.kv_bytes, song.kv_bytes);
    assert_int_equal(estimate.codec_bytes, estimate.latents_bytes + estimate.vocoder_bytes + estimate.audio_bytes);
    expect_estimate(name, "caches and scratch", estimate.kv_bytes + estimate.scratch_bytes, watch.most - opened, ALLOCATOR_BYTES);
    watch.most = opened = allocated(); /* with that song still held */
    hm_result audio = case_decode(case_runtime(), e, song.codes, song.frames, &request);
    expect_estimate(name, "codec", estimate.codec_bytes, watch.most - opened, ALLOCATOR_BYTES);
    assert_true(estimate.total_bytes >= estimate.weights_bytes + estimate.codec_bytes);
    drop(&song);
    drop(&audio);
    close_engine(e);
}

static void the_estimate_is_what_is_held_or_up_to_twice_that(void **state)
{
    const hm_toggles f32 = {HM_BEST, .precision_backbone = HM_BACKBONE_F32, .precision_decoder = HM_DECODER_F32,
                            .precision_codec = HM_CODEC_F32};
    const hm_toggles original = {.kv = HM_KV_PREALLOC, .attn = HM_ATTN_ALL_SLOTS, .cfg = HM_CFG_BATCHED};
    (void)state;
    check_estimate("naive", &case_naive);
    check_estimate("best", &case_best);
    check_estimate("f32", &f32);
    check_estimate("all slots", &original);
}

/* --- interruption --- */

struct stopper {
    const char *phase;
    int64_t at;
    bool asked;
};

static int stop(void *self, const char *phase, int64_t done, int64_t total)
{
    struct stopper *s = self;
    (void)total;
    bool now = s->phase && !strcmp(phase, s->phase) && done == s->at;
    s->asked |= now;
    return now;
}

static void an_interrupted_song_leaves_nothing_and_the_engine_usable(void **state)
{
    (void)state;
    for (int s = 0; s < SETS; s++) {
        struct stopper stopper = {0};
        hm_probe probe = {.self = &stopper, .progress = stop};
        hm_request request = codes_only;
        request.skip_codec = false;
        request.music.flow_steps = 3;
        hm_engine *e = open_parts(sets[s], true, true, &probe);
        hm_result whole = case_generate(case_runtime(), e, &request);
        for (int64_t at = 0; at < 3; at++)
            for (int phase = 0; phase < 2; phase++) {
                stopper = (struct stopper){phase ? "decode" : "generate", at, false};
                expect_refused(e, &request, HM_EINTERRUPTED, "interrupted at");
                assert_true(stopper.asked);
            }
        stopper.phase = NULL;
        hm_result again = case_generate(case_runtime(), e, &request);
        assert_memory_equal(whole.codes, again.codes, 4 * CASE_CODEBOOKS * sizeof(int32_t));
        assert_memory_equal(whole.audio, again.audio, (size_t)whole.samples * 2 * sizeof(float));
        drop(&whole);
        drop(&again);
        close_engine(e);
    }
}

static int make_model(void **state)
{
    (void)state;
    mallopt(M_MMAP_MAX, 0); /* so that mallinfo2 tells what was asked for, not how it was aligned */
    case_model(folder, "heartmula-tiny");
    return 0;
}

static int remove_model(void **state)
{
    (void)state;
    case_remove(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_out_of_range_are_refused_in_one_sentence),
        cmocka_unit_test(topk_beyond_the_vocabulary_keeps_all_of_it),
        cmocka_unit_test(a_prompt_and_frames_that_exceed_the_positions_are_refused),
        cmocka_unit_test(stored_codes_outside_the_vocabulary_are_refused),
        cmocka_unit_test(texts_that_are_not_utf_8_are_refused_by_name),
        cmocka_unit_test(empty_texts_make_a_song),
        cmocka_unit_test(styles_follow_the_lines_of_their_sections),
        cmocka_unit_test(styles_leave_all_other_lines_alone),
        cmocka_unit_test(a_style_with_a_line_break_is_refused),
        cmocka_unit_test(missing_parts_are_named),
        cmocka_unit_test(what_the_engine_was_not_opened_for_is_refused),
        cmocka_unit_test(an_end_code_ends_the_song_before_its_frame_but_not_in_frame_0),
        cmocka_unit_test(codes_outside_the_codec_are_clamped_and_counted),
        cmocka_unit_test(only_songs_104_over_a_multiple_of_320_lose_their_tail),
        cmocka_unit_test(the_estimate_is_what_is_held_or_up_to_twice_that),
        cmocka_unit_test(an_interrupted_song_leaves_nothing_and_the_engine_usable),
    };
    return cmocka_run_group_tests(tests, make_model, remove_model);
}
