/* Speech from request to audio: cloned voices, the model's own end, several utterances at once, pieces for a listener, interruption. */
#define _GNU_SOURCE
#include "tests/speech_case.h"

#define MANY 5

/* --- cloned voices --- */

static void voices_are_cloned_with_their_text_or_without(void **state)
{
    (void)state;
    for (int s = 0; s < CASE_SETS; s++) {
        hm_engine *e = case_open_model(case_base, case_sets[s], NULL);
        hm_request by_vector = case_cloned(NULL), in_context = case_cloned("What was said."), whole_text = in_context;
        whole_text.speech.streaming_text = 0;
        hm_result a = case_speak(e, &by_vector), b = case_speak(e, &in_context), c = case_speak(e, &whole_text);
        assert_true(a.reference_ns > 0 && a.reference_ns <= a.prefill_ns);
        assert_true(b.prompt_tokens > a.prompt_tokens + CASE_REFERENCE_FRAMES - 1);
        assert_true(c.prompt_tokens > b.prompt_tokens); /* a base model streams its text on its own */
        assert_true(case_first_difference(a.logits, b.logits, 6 * CASE_GROUPS) >= 0);
        case_reference[100] += 0.25f;
        hm_result other = case_speak(e, &by_vector);
        case_reference[100] -= 0.25f;
        assert_true(case_first_difference(a.logits, other.logits, 6 * CASE_GROUPS) >= 0);
        case_drop(&a);
        case_drop(&b);
        case_drop(&c);
        case_drop(&other);
        case_close(e);
    }
}

static int count_samples(void *self, const float *pcm, int channels, int64_t samples, int64_t at_ns)
{
    (void)pcm;
    (void)at_ns;
    *(int64_t *)self += samples * channels;
    return 0;
}

/* The voice to clone is decoded before what is said and cut off: exactly, whatever the way. */
static void a_cloned_utterance_sounds_alike_however_it_is_decoded(void **state)
{
    hm_request request = case_cloned("What was said.");
    hm_result whole = {0};
    (void)state;
    request.skip_codec = false;
    request.max_frames = 11;
    for (int decode = HM_DECODE_WHOLE; decode <= HM_DECODE_OVERLAP; decode++)
        for (int sunk = 0; sunk < (decode == HM_DECODE_WHOLE ? 1 : 2); sunk++) {
            hm_toggles toggles = {HM_BEST_BUT_DECODE, .decode = (uint8_t)decode};
            int64_t heard = 0;
            hm_audio_sink sink = {.self = &heard, .write = count_samples, .first_frames = 2, .next_frames = 3};
            hm_engine *e = case_open_model(case_base, &toggles, NULL);
            request.sink = sunk ? &sink : NULL;
            hm_result r = case_speak(e, &request);
            assert_int_equal(r.samples, 11 * CASE_RATE);
            assert_int_equal(heard, sunk ? r.samples : 0);
            assert_int_equal(r.counters.decoded_frames, CASE_REFERENCE_FRAMES + 11);
            if (decode == HM_DECODE_WHOLE)
                whole = r;
            else {
                case_expect_same(&whole, &r, "in pieces");
                case_drop(&r);
            }
            case_close(e);
        }
    case_drop(&whole);
}

/* The original divides first and truncates: one sample of some references stays. */
static void chunks_as_the_original_cut_as_the_original(void **state)
{
    const hm_toggles toggles = {.chunks = HM_CHUNKS_ORIGINAL};
    hm_request request = case_cloned("What was said.");
    int64_t cut, found_short = 0;
    (void)state;
    request.skip_codec = false;
    hm_engine *e = case_open_model(case_base, &toggles, NULL);
    for (int frames = 2; frames <= 12; frames++) {
        int64_t all = (int64_t)(CASE_REFERENCE_FRAMES + frames) * CASE_RATE;
        request.max_frames = frames;
        hm_result r = case_speak(e, &request);
        cut = (int64_t)((double)CASE_REFERENCE_FRAMES / (CASE_REFERENCE_FRAMES + frames) * (double)all);
        assert_int_equal(r.samples, all - cut);
        found_short += cut < CASE_REFERENCE_FRAMES * CASE_RATE;
        case_drop(&r);
    }
    assert_true(found_short > 0);
    case_close(e);
}

/* --- the model's own end --- */

/* Likely to end by itself, under some seeds. */
static hm_request wild(uint64_t seed)
{
    hm_request r = case_spoken;
    r.force_length = false;
    r.max_frames = 40;
    r.temperature = 3;
    r.topk = 0;
    r.seed = seed;
    return r;
}

static void speech_ends_by_itself_after_two_frames_at_least(void **state)
{
    int ended = 0, capped = 0;
    (void)state;
    for (int s = 0; s < CASE_SETS; s++) {
        hm_engine *e = case_open_model(case_custom, case_sets[s], NULL);
        for (uint64_t seed = 0; seed < 24; seed++) {
            hm_request request = wild(seed);
            request.skip_codec = false;
            hm_result r = case_speak(e, &request);
            assert_true(r.frames >= 2 && r.frames <= 40);
            assert_int_equal(r.samples, (int64_t)r.frames * CASE_RATE);
            assert_true(r.ended == (r.frames < 40));
            for (int i = 0; i < r.frames * CASE_GROUPS; i++)
                assert_in_range(r.codes[i], 0, 127);
            ended += r.ended;
            capped += !r.ended;
            case_drop(&r);
        }
        case_close(e);
    }
    assert_true(ended > 0);
    assert_true(capped > 0);
}

/* --- several at once --- */

static void check_many(const char *dir, const hm_toggles *toggles, const hm_request *requests)
{
    static const int batches[] = {1, 2, 3, 16};
    hm_engine *e = case_open_model(dir, toggles, NULL);
    hm_result alone[MANY], together[MANY];
    hm_error err = {0};
    int64_t frames = 0;
    for (int i = 0; i < MANY; i++) {
        alone[i] = case_speak(e, &requests[i]);
        frames += alone[i].frames + alone[i].ended;
    }
    for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
        hm_many many = {.requests = requests, .count = MANY, .batch = batches[b], .results = together};
        if (case_runtime()->generate_many(e, &many, &err))
            fail_msg("batch of %d: %s", batches[b], err.text);
        assert_int_equal(many.step_rows, frames);
        assert_true(batches[b] == 1 ? many.steps == frames : many.steps < frames);
        assert_true(many.wall_ns > 0);
        for (int i = 0; i < MANY; i++) {
            assert_int_equal(alone[i].frames, together[i].frames);
            assert_int_equal(alone[i].ended, together[i].ended);
            assert_int_equal(alone[i].prompt_tokens, together[i].prompt_tokens);
            case_expect_same(&alone[i], &together[i], "side by side");
            assert_true(together[i].prefill_ns > 0 && together[i].generate_ns > 0);
            assert_true(together[i].prefill_ns + together[i].generate_ns + together[i].decode_ns <= together[i].wall_ns);
            if (batches[b] == 1 && toggles->decode != HM_DECODE_OVERLAP) /* which cuts audio into pieces as it comes */
                assert_int_equal(alone[i].counters.forward_passes, together[i].counters.forward_passes);
            case_drop(&together[i]);
        }
    }
    for (int i = 0; i < MANY; i++)
        case_drop(&alone[i]);
    case_close(e);
}

/* The first seed under which a wild request ends after 5 to 35 frames. */
static uint64_t ending_seed(void)
{
    hm_engine *e = case_open_model(case_custom, &case_best, NULL);
    for (uint64_t seed = 0; seed < 200; seed++) {
        hm_request request = wild(seed);
        hm_result r = case_speak(e, &request);
        bool fits = r.ended && r.frames >= 5 && r.frames <= 35;
        case_drop(&r);
        if (fits) {
            case_close(e);
            return seed;
        }
    }
    fail_msg("no seed below 200 ends within 35 frames");
    return 0;
}

static void utterances_side_by_side_are_those_they_are_alone(void **state)
{
    static const char *const texts[MANY] = {"One.", "One two three four five.", "Six!", "Seven eight nine ten.", "And so on, and so on."};
    hm_request requests[MANY];
    (void)state;
    for (int i = 0; i < MANY; i++) {
        requests[i] = case_spoken;
        requests[i].speech.text = texts[i];
        requests[i].speech.streaming_text = i % 2;
        requests[i].max_frames = 3 + 4 * i;
        requests[i].seed = (uint64_t)i;
        requests[i].skip_codec = i == 2;
    }
    requests[3] = wild(ending_seed());
    for (int s = 0; s < CASE_SETS; s++)
        check_many(case_custom, case_sets[s], requests);
    for (int i = 0; i < MANY; i++) {
        requests[i].speech.speaker = NULL;
        requests[i].speech.reference = case_reference;
        requests[i].speech.reference_samples = CASE_REFERENCE_SAMPLES - 1000 * i;
        requests[i].speech.reference_text = i % 2 ? "What was said." : NULL;
    }
    check_many(case_base, &case_best, requests);
}

static void a_bad_request_among_several_is_named(void **state)
{
    hm_engine *e = case_open_model(case_custom, &case_best, NULL);
    hm_request requests[3] = {case_spoken, case_spoken, case_spoken};
    hm_result results[3] = {0}, nothing = {0};
    hm_error err = {0};
    hm_audio_sink sink = {.write = count_samples};
    hm_many many = {.requests = requests, .count = 3, .batch = 2, .results = results};
    (void)state;
    requests[1].speech.text = "";
    case_expect_error(case_runtime()->generate_many(e, &many, &err), &err, HM_EUSAGE, "request 2: text: empty");
    requests[1] = case_spoken;
    requests[2].sink = &sink;
    case_expect_error(case_runtime()->generate_many(e, &many, &err), &err, HM_EUSAGE, "request 3: several at once");
    requests[2] = case_spoken;
    many.batch = 17;
    case_expect_error(case_runtime()->generate_many(e, &many, &err), &err, HM_EUSAGE, "at most 16");
    many.batch = 0;
    case_expect_error(case_runtime()->generate_many(e, &many, &err), &err, HM_EUSAGE, "at least one");
    for (int i = 0; i < 3; i++)
        assert_memory_equal(&results[i], &nothing, sizeof nothing);
    case_close(e);
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
    bool now = s->phase && !strcmp(phase, s->phase) && done >= s->at;
    s->asked |= now;
    return now;
}

static void an_interrupted_utterance_leaves_nothing_and_the_engine_usable(void **state)
{
    (void)state;
    for (int s = 0; s < CASE_SETS; s++) {
        struct stopper stopper = {0};
        hm_probe probe = {.self = &stopper, .progress = stop};
        hm_request request = case_spoken;
        request.skip_codec = false;
        request.max_frames = 21;
        hm_engine *e = case_open_model(case_custom, case_sets[s], &probe);
        hm_result whole = case_speak(e, &request), results[2] = {0};
        hm_many many = {.requests = (hm_request[]){request, request}, .count = 2, .batch = 1, .results = results};
        hm_error err = {0};
        for (int64_t at = 0; at < 21; at += 6) {
            stopper = (struct stopper){"generate", at, false};
            case_expect_refused(e, &request, HM_EINTERRUPTED, "interrupted at");
            assert_true(stopper.asked);
        }
        stopper = (struct stopper){"decode", 0, false};
        case_expect_refused(e, &request, HM_EINTERRUPTED, "interrupted at");
        assert_true(stopper.asked);
        stopper = (struct stopper){"generate", 1, false};
        case_expect_error(case_runtime()->generate_many(e, &many, &err), &err, HM_EINTERRUPTED, "interrupted at 1 of 2");
        stopper.phase = NULL;
        hm_result again = case_speak(e, &request);
        case_expect_same(&whole, &again, "after interruptions");
        case_drop(&whole);
        case_drop(&again);
        case_close(e);
    }
}

static int refuse_third(void *self, const float *pcm, int channels, int64_t samples, int64_t at_ns)
{
    int *calls = self;
    (void)pcm;
    (void)channels;
    (void)samples;
    (void)at_ns;
    return ++*calls == 3;
}

static void a_listener_that_has_enough_stops_the_engine(void **state)
{
    (void)state;
    for (int s = 0; s < CASE_SETS; s++) {
        int calls = 0;
        hm_audio_sink sink = {.self = &calls, .write = refuse_third, .first_frames = 1, .next_frames = 2};
        hm_request request = case_spoken;
        request.skip_codec = false;
        request.max_frames = 24;
        request.sink = &sink;
        hm_engine *e = case_open_model(case_custom, case_sets[s], NULL);
        if (case_sets[s]->decode == HM_DECODE_WHOLE)
            case_expect_refused(e, &request, HM_EUSAGE, "decode=stream or decode=overlap");
        else {
            case_expect_refused(e, &request, HM_EINTERRUPTED, "interrupted after 9600 samples");
            assert_int_equal(calls, 3);
            request.sink = NULL;
            hm_result r = case_speak(e, &request);
            assert_int_equal(r.samples, 24 * CASE_RATE);
            case_drop(&r);
        }
        case_close(e);
    }
}

static void streaming_that_makes_no_sense_is_refused(void **state)
{
    int64_t heard = 0;
    hm_audio_sink sink = {.self = &heard, .write = count_samples};
    hm_request request = case_spoken;
    hm_engine *e = case_open_model(case_custom, &case_best, NULL);
    (void)state;
    request.sink = &sink;
    case_expect_refused(e, &request, HM_EUSAGE, "no audio to stream");
    request.skip_codec = false;
    sink.next_frames = -1;
    case_expect_refused(e, &request, HM_EUSAGE, "pieces of 0 and -1 frames");
    assert_int_equal(heard, 0);
    case_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(voices_are_cloned_with_their_text_or_without),
        cmocka_unit_test(a_cloned_utterance_sounds_alike_however_it_is_decoded),
        cmocka_unit_test(chunks_as_the_original_cut_as_the_original),
        cmocka_unit_test(speech_ends_by_itself_after_two_frames_at_least),
        cmocka_unit_test(utterances_side_by_side_are_those_they_are_alone),
        cmocka_unit_test(a_bad_request_among_several_is_named),
        cmocka_unit_test(an_interrupted_utterance_leaves_nothing_and_the_engine_usable),
        cmocka_unit_test(a_listener_that_has_enough_stops_the_engine),
        cmocka_unit_test(streaming_that_makes_no_sense_is_refused),
    };
    return cmocka_run_group_tests(tests, case_make_models, case_remove_models);
}
