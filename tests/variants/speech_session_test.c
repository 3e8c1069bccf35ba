/* Requests for speech: what each kind of model takes, what it refuses and how, where settings come from, memory against its estimate. */
#define _GNU_SOURCE
#include "tests/memory_case.h"
#include "tests/speech_case.h"

#define ALLOCATOR_BYTES 65536 /* headers of blocks */

/* --- requests --- */

static void facts_tell_kind_size_and_rate(void **state)
{
    static const char *const kinds[] = {"custom_voice", "voice_design", "base"};
    const char *const dirs[] = {case_custom, case_design, case_base};
    (void)state;
    for (int i = 0; i < 3; i++) {
        hm_engine *e = case_open_model(dirs[i], &case_best, NULL);
        const hm_engine_facts *f = case_runtime()->facts(e);
        assert_int_equal(f->task, HM_TASK_SPEECH);
        assert_string_equal(f->model, "qwen3-tts");
        assert_string_equal(f->kind, kinds[i]);
        assert_string_equal(f->size, "tiny");
        assert_int_equal(f->codebooks, CASE_GROUPS);
        assert_int_equal(f->code_vocabulary, 128);
        assert_int_equal(f->sample_rate_hz, 24000);
        assert_int_equal(f->channels, 1);
        assert_true(fabs(f->frame_seconds - 0.08) < 1e-9);
        assert_int_equal(f->max_positions, 32768);
        assert_true(f->synthetic);
        case_close(e);
    }
}

static void requests_out_of_range_are_refused_in_one_sentence(void **state)
{
    static const double wrong[] = {0, NAN, INFINITY};
    hm_engine *e = case_open_model(case_custom, &case_best, NULL);
    hm_request bad;
    (void)state;
    for (int i = 0; i < 3; i++) {
        bad = case_spoken;
        bad.temperature = wrong[i];
        case_expect_refused(e, &bad, HM_EUSAGE, "temperature");
        bad = case_spoken;
        bad.speech.sub_temperature = wrong[i];
        case_expect_refused(e, &bad, HM_EUSAGE, "sub-talker temperature");
        bad = case_spoken;
        bad.speech.top_p = wrong[i];
        case_expect_refused(e, &bad, HM_EUSAGE, "top_p");
        bad = case_spoken;
        bad.speech.sub_top_p = wrong[i];
        case_expect_refused(e, &bad, HM_EUSAGE, "sub-talker top_p");
        bad = case_spoken;
        bad.speech.repetition_penalty = wrong[i];
        case_expect_refused(e, &bad, HM_EUSAGE, "repetition penalty");
    }
    bad = case_spoken;
    bad.max_frames = 0;
    case_expect_refused(e, &bad, HM_EUSAGE, "at least 1 frame");
    bad.max_frames = INT32_MAX;
    case_expect_refused(e, &bad, HM_EUSAGE, "32768 positions");
    bad = case_spoken;
    bad.task = HM_TASK_MUSIC;
    case_expect_refused(e, &bad, HM_EUSAGE, "makes speech, music was asked for");
    bad = case_spoken;
    bad.speech.text = "";
    case_expect_refused(e, &bad, HM_EUSAGE, "text: empty");
    bad.speech.text = NULL;
    case_expect_refused(e, &bad, HM_EUSAGE, "text: empty");
    bad.speech.text = "a\xff";
    case_expect_refused(e, &bad, HM_EFORMAT, "text: ");
    case_close(e);
}

static void names_are_matched_in_lower_case_and_unknown_ones_list_the_known(void **state)
{
    hm_engine *e = case_open_model(case_custom, &case_best, NULL);
    hm_request a = case_spoken, b = case_spoken;
    hm_result r[2];
    (void)state;
    a.speech.speaker = "bob";
    case_expect_refused(e, &a, HM_EUSAGE, "\"bob\" is not one of this model's: dylan, eric, ryan, vivian");
    a.speech.speaker = NULL;
    case_expect_refused(e, &a, HM_EUSAGE, "needs one of dylan, eric, ryan, vivian");
    a = case_spoken;
    a.speech.language = "Klingon";
    case_expect_refused(e, &a, HM_EUSAGE, "is not one of this model's: chinese, english, german, japanese, spanish");
    a.speech.language = "Auto";
    b.speech.speaker = "vivian";
    for (int i = 0; i < 2; i++)
        r[i] = case_speak(e, i ? &b : &a);
    case_expect_same(&r[0], &r[1], "names in any case, no language");
    a.speech.language = "ENGLISH";
    hm_result english = case_speak(e, &a);
    assert_int_equal(english.prompt_tokens, r[0].prompt_tokens + 1);
    for (int i = 0; i < 2; i++)
        case_drop(&r[i]);
    case_drop(&english);
    case_close(e);
}

/* Without a language, or in Chinese, a speaker of a dialect speaks it. */
static void speakers_of_a_dialect_speak_it(void **state)
{
    static const char *const languages[] = {NULL, "chinese", "sichuan_dialect", "english"};
    hm_engine *e = case_open_model(case_custom, &case_best, NULL);
    hm_request request = case_spoken;
    hm_result r[4];
    (void)state;
    request.speech.speaker = "eric";
    for (int i = 0; i < 4; i++) {
        request.speech.language = languages[i];
        r[i] = case_speak(e, &request);
    }
    case_expect_same(&r[0], &r[2], "no language");
    case_expect_same(&r[1], &r[2], "Chinese");
    assert_true(case_first_difference(r[3].logits, r[2].logits, 6 * CASE_GROUPS) >= 0);
    for (int i = 0; i < 4; i++)
        case_drop(&r[i]);
    case_close(e);
}

static void each_kind_refuses_what_it_has_no_use_for(void **state)
{
    hm_engine *c = case_open_model(case_custom, &case_best, NULL), *d = case_open_model(case_design, &case_best, NULL),
              *b = case_open_model(case_base, &case_best, NULL);
    hm_request r = case_cloned(NULL);
    (void)state;
    r.speech.speaker = "ryan";
    case_expect_refused(c, &r, HM_EUSAGE, "only a base model clones voices");
    case_expect_refused(d, &r, HM_EUSAGE, "only a base model clones voices");
    case_expect_refused(b, &r, HM_EUSAGE, "speaker: a base model");
    r = case_cloned(NULL);
    r.speech.instruct = "slowly";
    case_expect_refused(b, &r, HM_EUSAGE, "instruction: a base model");
    r = case_spoken;
    case_expect_refused(d, &r, HM_EUSAGE, "speaker: a voice_design model");
    r.speech.speaker = NULL;
    case_expect_refused(d, &r, HM_EUSAGE, "needs a description of the voice");
    case_expect_refused(b, &r, HM_EUSAGE, "needs some of the voice to clone");
    r.speech.reference_text = "One.";
    case_expect_refused(b, &r, HM_EUSAGE, "no reference audio");
    case_expect_refused(c, &r, HM_EUSAGE, "no reference audio");
    case_close(c);
    case_close(d);
    case_close(b);
}

static void a_described_voice_speaks(void **state)
{
    hm_engine *e = case_open_model(case_design, &case_best, NULL);
    hm_request request = case_spoken;
    (void)state;
    request.speech.speaker = NULL;
    request.speech.instruct = "A tall woman with a deep, slow voice.";
    hm_result a = case_speak(e, &request);
    request.speech.instruct = "A small man.";
    hm_result b = case_speak(e, &request);
    assert_true(a.prompt_tokens > b.prompt_tokens);
    assert_true(case_first_difference(a.logits, b.logits, 6 * CASE_GROUPS) >= 0);
    case_drop(&a);
    case_drop(&b);
    case_close(e);
}

struct warned {
    int count;
    char line[256];
};

static void take_warning(void *self, hm_log_level level, const char *text)
{
    struct warned *w = self;
    assert_int_equal(level, HM_LOG_WARNING);
    w->count++;
    snprintf(w->line, sizeof w->line, "%s", text);
}

/* The tiny talker under the name of the small one. */
static void a_small_custom_voice_says_that_it_ignores_instructions(void **state)
{
    json_t *manifest = case_manifest("qwen3-tts-tiny", HM_PRESET_LM);
    struct warned warned = {0};
    hm_log log = {.self = &warned, .level = HM_LOG_WARNING, .write = take_warning};
    hm_request with = case_spoken, without = case_spoken;
    (void)state;
    json_object_set_new(json_object_get(manifest, "config"), "tts_model_size", json_string("0b6"));
    hm_engine *e = case_open(case_runtime(), &(hm_engine_options){.source = {.lm_manifest = manifest, .seed = 1, .tokenizer = case_custom},
                                                                  .threads = 1,
                                                                  .toggles = &case_best,
                                                                  .need_lm = true,
                                                                  .log = &log});
    with.speech.instruct = "slowly";
    hm_result a = case_speak(e, &without);
    assert_int_equal(warned.count, 0);
    hm_result b = case_speak(e, &with);
    assert_int_equal(warned.count, 1);
    assert_non_null(strstr(warned.line, "instruction: ignored"));
    case_expect_same(&a, &b, "an ignored instruction");
    case_drop(&a);
    case_drop(&b);
    case_close(e);
    json_decref(manifest);
}

static void streamed_text_is_a_prompt_of_one_word(void **state)
{
    hm_engine *e = case_open_model(case_custom, &case_best, NULL);
    hm_request request = case_spoken;
    (void)state;
    hm_result own = case_speak(e, &request);
    request.speech.streaming_text = 0;
    hm_result whole = case_speak(e, &request);
    request.speech.streaming_text = 1;
    hm_result streamed = case_speak(e, &request);
    case_expect_same(&own, &whole, "custom_voice has the whole text in the prompt");
    assert_true(streamed.prompt_tokens < whole.prompt_tokens);
    case_drop(&own);
    case_drop(&whole);
    case_drop(&streamed);
    case_close(e);
}

/* Settings of generation_config.json hold until the caller gives others. */
static void settings_are_the_callers_then_the_folders_then_the_built_in(void **state)
{
    char path[256];
    hm_request asked = case_spoken;
    (void)state;
    snprintf(path, sizeof path, "%s/generation_config.json", case_custom);
    json_t *before = json_load_file(path, 0, NULL), *other = json_deep_copy(before);
    json_object_set_new(other, "temperature", json_real(0.3));
    json_object_set_new(other, "subtalker_top_k", json_integer(3));
    hm_engine *plain = case_open_model(case_custom, &case_best, NULL);
    assert_int_equal(json_dump_file(other, path, 0), 0);
    hm_engine *changed = case_open_model(case_custom, &case_best, NULL);
    remove(path);
    hm_engine *bare = case_open_model(case_custom, &case_best, NULL); /* the folder's are the built-in ones */
    assert_int_equal(json_dump_file(before, path, 0), 0);
    hm_result a = case_speak(plain, &case_spoken), b = case_speak(changed, &case_spoken), c = case_speak(bare, &case_spoken);
    case_expect_same(&a, &c, "built-in settings");
    assert_true(case_first_difference(a.codes, b.codes, 6 * CASE_GROUPS) >= 0);
    asked.temperature = 0.3;
    asked.speech.sub_topk = 3;
    hm_result d = case_speak(plain, &asked);
    case_expect_same(&b, &d, "the same settings, asked for");
    asked.temperature = 0.9;
    asked.speech.sub_topk = 50;
    hm_result e = case_speak(changed, &asked);
    case_expect_same(&a, &e, "the caller's settings");
    for (hm_result *r[] = {&a, &b, &c, &d, &e}, **at = r; at < r + 5; at++)
        case_drop(*at);
    case_close(plain);
    case_close(changed);
    case_close(bare);
    json_decref(before);
    json_decref(other);
}

static void stored_codes_outside_the_codebook_are_refused(void **state)
{
    hm_engine *e = case_open_model(case_custom, &case_best, NULL);
    int32_t codes[6 * CASE_GROUPS] = {0};
    hm_request request = case_spoken;
    (void)state;
    request.stored_codes = codes;
    codes[2 * CASE_GROUPS + 3] = 128;
    case_expect_refused(e, &request, HM_EFORMAT, "frame 2 codebook 3");
    case_close(e);
}

static void a_request_ends_where_the_positions_do(void **state)
{
    hm_engine *e = case_open_model(case_custom, &case_best, NULL);
    hm_request request = case_spoken;
    (void)state;
    hm_result r = case_speak(e, &request);
    request.max_frames = 32768 - r.prompt_tokens + 1;
    case_expect_refused(e, &request, HM_EUSAGE, "32768 positions");
    case_drop(&r);
    case_close(e);
}

/* --- parts --- */

static void what_the_engine_was_not_opened_for_is_refused(void **state)
{
    hm_engine_options options = {.source.dir = case_custom, .threads = 1, .toggles = &case_best, .need_lm = true};
    int32_t codes[2 * CASE_GROUPS] = {0};
    hm_request whole = case_spoken, voice = case_cloned(NULL);
    hm_result r = {0};
    hm_error err = {0};
    hm_engine *none = NULL;
    (void)state;
    whole.skip_codec = false;
    hm_engine *talker = case_open(case_runtime(), &options);
    options = (hm_engine_options){.source.dir = case_custom, .threads = 1, .toggles = &case_best, .need_codec = true};
    hm_engine *codec = case_open(case_runtime(), &options);
    options = (hm_engine_options){.source.dir = case_base, .threads = 1, .toggles = &case_best, .need_lm = true};
    hm_engine *deaf = case_open(case_runtime(), &options);
    case_expect_refused(talker, &whole, HM_EBUG, "without a speech tokenizer");
    case_expect_refused(codec, &case_spoken, HM_EBUG, "without a talker");
    case_expect_refused(deaf, &voice, HM_EBUG, "without encoders");
    case_expect_error(case_runtime()->decode(talker, codes, 2, &whole, &r, &err), &err, HM_EBUG, "without a speech tokenizer");
    case_expect_error(case_runtime()->decode(codec, codes, 0, &whole, &r, &err), &err, HM_EUSAGE, "at least 1 frame");
    options = (hm_engine_options){.source.dir = case_custom, .threads = 1, .toggles = &case_best, .need_lm = true, .need_encoders = true};
    case_expect_error(case_runtime()->open(&none, &options, &err), &err, HM_EUSAGE, "a custom_voice model has no speaker encoder");
    assert_null(none);
    case_close(talker);
    case_close(codec);
    case_close(deaf);
}

/* --- voices --- */

static void bad_reference_audio_is_refused(void **state)
{
    static float silence[CASE_RATE];
    hm_engine *e = case_open_model(case_base, &case_best, NULL);
    hm_request r = case_cloned("One.");
    float kept = case_reference[77];
    (void)state;
    r.speech.reference_samples = 1279;
    case_expect_refused(e, &r, HM_EUSAGE, "1279 samples");
    r.speech.reference_samples = 301LL * 24000;
    case_expect_refused(e, &r, HM_EUSAGE, "301.0 s");
    r = case_cloned("One.");
    r.speech.reference = silence;
    r.speech.reference_samples = CASE_RATE;
    case_expect_refused(e, &r, HM_EUSAGE, "silence");
    case_reference[77] = NAN;
    case_expect_refused(e, &(hm_request){0}, HM_EUSAGE, "makes speech");
    r = case_cloned(NULL);
    case_expect_refused(e, &r, HM_EUSAGE, "sample 77 is not finite");
    case_reference[77] = kept;
    case_close(e);
}

/* --- memory --- */

/* What is held while an utterance is made, at the begin and end of every operation, against what was foretold. */
static void check_estimate(const char *name, const hm_toggles *toggles)
{
    struct watch watch = {0};
    hm_probe probe = {.self = &watch, .wanted = HM_SPAN_OP | HM_SPAN_PHASE, .begin = look, .end = look_after};
    hm_request request = case_spoken;
    hm_memory_estimate estimate, talker_only;
    hm_error err = {0};
    hm_engine_options options = {
        .source.dir = case_custom, .threads = 1, .toggles = toggles, .need_lm = true, .need_codec = true, .probe = &probe};
    request.speech.text = "The sun creeps in across the floor, and the traffic is heard outside the door.";
    request.max_frames = 200;
    request.skip_codec = false;
    assert_int_equal(case_runtime()->estimate(&options, &request, &estimate, &err), HM_OK);
    options.need_codec = false;
    assert_int_equal(case_runtime()->estimate(&options, &request, &talker_only, &err), HM_OK);
    assert_int_equal(talker_only.codec_bytes, 0);
    assert_true(estimate.codec_bytes > 0);
    assert_int_equal(estimate.mapped_bytes > 0, toggles->load != HM_WEIGHTS_READ);
    options.need_codec = true;

    options.need_lm = options.need_codec = false;
    size_t before = allocated();
    hm_engine *e = case_open(case_runtime(), &options); /* the engine itself: threads and their scratch */
    size_t bare = allocated() - before;
    case_close(e);
    options.need_lm = options.need_codec = true;
    before = allocated();
    e = case_open(case_runtime(), &options);
    size_t opened = allocated(), held = opened - before - bare;
    if (held + BOOKKEEPING_BYTES / 10 < estimate.weights_bytes || held > estimate.weights_bytes + BOOKKEEPING_BYTES)
        fail_msg("%s: weights: expected %llu bytes and names, sizes, tokenizer; found %zu", name,
                 (unsigned long long)estimate.weights_bytes, held);
    request.skip_codec = true;
    watch.most = 0;
    hm_result r = case_speak(e, &request);
    expect_estimate(name, "caches", estimate.kv_bytes, r.kv_bytes, ALLOCATOR_BYTES);
    request.prompt_rows = r.prompt_tokens; /* with the prompt known nothing is guessed */
    request.skip_codec = false;
    assert_int_equal(case_runtime()->estimate(&options, &request, &estimate, &err), HM_OK);
    assert_int_equal(estimate.kv_bytes, r.kv_bytes);
    assert_int_equal(estimate.codec_bytes, estimate.latents_bytes + estimate.vocoder_bytes + estimate.audio_bytes);
    request.skip_codec = true;
    expect_estimate(name, "caches and scratch", estimate.kv_bytes + estimate.scratch_bytes, watch.most - opened, ALLOCATOR_BYTES);
    watch.most = opened = allocated(); /* with that one still held */
    hm_result audio = case_decode(case_runtime(), e, r.codes, r.frames, &request);
    expect_estimate(name, "speech tokenizer", estimate.codec_bytes, watch.most - opened, ALLOCATOR_BYTES);
    assert_true(estimate.total_bytes >= estimate.weights_bytes + estimate.codec_bytes);
    case_drop(&r);
    case_drop(&audio);
    case_close(e);
}

static void the_estimate_is_what_is_held_or_up_to_twice_that(void **state)
{
    const hm_toggles f32 = {HM_BEST, .precision_backbone = HM_BACKBONE_F32, .precision_decoder = HM_DECODER_F32,
                            .precision_codec = HM_CODEC_F32};
    (void)state;
    check_estimate("naive", &case_naive);
    check_estimate("best", &case_best);
    check_estimate("f32", &f32);
}

static int make_models(void **state)
{
    mallopt(M_MMAP_MAX, 0); /* so that mallinfo2 tells what was asked for, not how it was aligned */
    return case_make_models(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(facts_tell_kind_size_and_rate),
        cmocka_unit_test(requests_out_of_range_are_refused_in_one_sentence),
        cmocka_unit_test(names_are_matched_in_lower_case_and_unknown_ones_list_the_known),
        cmocka_unit_test(speakers_of_a_dialect_speak_it),
        cmocka_unit_test(each_kind_refuses_what_it_has_no_use_for),
        cmocka_unit_test(a_described_voice_speaks),
        cmocka_unit_test(a_small_custom_voice_says_that_it_ignores_instructions),
        cmocka_unit_test(streamed_text_is_a_prompt_of_one_word),
        cmocka_unit_test(settings_are_the_callers_then_the_folders_then_the_built_in),
        cmocka_unit_test(stored_codes_outside_the_codebook_are_refused),
        cmocka_unit_test(a_request_ends_where_the_positions_do),
        cmocka_unit_test(what_the_engine_was_not_opened_for_is_refused),
        cmocka_unit_test(bad_reference_audio_is_refused),
        cmocka_unit_test(the_estimate_is_what_is_held_or_up_to_twice_that),
    };
    return cmocka_run_group_tests(tests, make_models, case_remove_models);
}
