/* The fixed build of every variant and the runtime build given the same toggles are the same program, for songs and for speech: same codes,
 * logits, samples and counts. Needs every engine module. */
#define _GNU_SOURCE
#include "tests/engine_case.h"

#define FRAMES 6

static char music[] = "/tmp/hmbench-fixed-XXXXXX", speech[] = "/tmp/hmbench-fixed-speech-XXXXXX";
static const hm_request song = {.music.tags = "pop",
                                .music.lyrics = "[Verse]\nla la",
                                .max_frames = FRAMES,
                                .force_length = true,
                                .music.cfg_scale = 1.5,
                                .topk = 50,
                                .temperature = 1,
                                .seed = 7,
                                .music.flow_guidance = 1};

static hm_module *open_module(const char *variant)
{
    hm_module *module = NULL;
    hm_error err = {0};
    if (hm_module_open(&module, variant, &err))
        fail_msg("%s", err.text);
    return module;
}

static const hm_request utterance = {.task = HM_TASK_SPEECH,
                                     .speech = {.text = "One two.",
                                                .speaker = "vivian",
                                                .streaming_text = -1,
                                                .top_p = -1,
                                                .repetition_penalty = -1,
                                                .sub_temperature = -1,
                                                .sub_top_p = -1,
                                                .sub_topk = -1},
                                     .max_frames = FRAMES,
                                     .force_length = true,
                                     .topk = -1,
                                     .temperature = -1,
                                     .seed = 7};

/* toggles NULL: a fixed build's own. steps of a song; 0: as the variant says. */
static hm_result run(const hm_engine_api *api, const hm_toggles *toggles, const hm_request *asked, int steps, hm_counters *load)
{
    hm_engine_options options = {.source.dir = asked->task == HM_TASK_SPEECH ? speech : music,
                                 .threads = 1,
                                 .toggles = toggles,
                                 .need_lm = true,
                                 .need_codec = true};
    hm_request request = *asked;
    hm_engine *e = case_open(api, &options);
    request.music.flow_steps = steps;
    hm_result r = case_generate(api, e, &request);
    *load = api->facts(e)->load_counters;
    api->close(&e);
    return r;
}

static void expect_same(const char *name, const hm_result *a, const hm_result *b)
{
    size_t n = (size_t)(a->frames * a->codebooks) * sizeof(int32_t);
    assert_true(a->frames == FRAMES && b->frames == FRAMES && a->codebooks == b->codebooks);
    if (a->samples != b->samples || a->channels != b->channels || memcmp(a->codes, b->codes, n) || memcmp(a->logits, b->logits, n) ||
        memcmp(a->audio, b->audio, (size_t)(a->samples * a->channels) * sizeof *a->audio))
        fail_msg("%s: fixed and runtime build give other codes, logits or samples", name);
    if (memcmp(&a->counters, &b->counters, sizeof a->counters) || a->kv_bytes != b->kv_bytes || a->scratch_bytes != b->scratch_bytes)
        fail_msg("%s: fixed and runtime build count differently", name);
}

static void every_fixed_build_gives_the_bytes_of_the_runtime_build(void **state)
{
    int count;
    const hm_variant_info *list = hm_variant_list(&count);
    const hm_engine_api *runtime = case_runtime();
    (void)state;
    for (int i = 0; i < count; i++) {
        hm_counters fixed_load, runtime_load;
        hm_module *module = open_module(list[i].name);
        const hm_engine_api *api = hm_module_api(module);
        assert_true(api->fixed);
        assert_string_equal(api->variant, list[i].name);
        assert_memory_equal(&api->toggles, &list[i].toggles, sizeof api->toggles);
        assert_null(hm_module_option(module));
        for (int task = 0; task < 2; task++) {
            const hm_request *request = task ? &utterance : &song;
            int steps = list[i].toggles.flow_steps || !strcmp(list[i].name, "best") ? 0 : 1;
            hm_result fixed = run(api, hm_module_option(module), request, steps, &fixed_load);
            hm_result same = run(runtime, &list[i].toggles, request, steps, &runtime_load);
            expect_same(list[i].name, &fixed, &same);
            assert_memory_equal(&fixed_load, &runtime_load, sizeof fixed_load);
            api->result_free(&fixed);
            runtime->result_free(&same);
        }
        hm_module_close(&module);
    }
}

static void a_fixed_build_takes_its_own_toggles_and_no_others(void **state)
{
    static const char *const names[] = {"naive", "best"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        hm_module *module = open_module(names[i]);
        const hm_engine_api *api = hm_module_api(module);
        hm_toggles other = api->toggles;
        hm_engine_options options = {.source.dir = music, .threads = 1, .toggles = &api->toggles, .need_lm = true};
        hm_memory_estimate estimate;
        hm_engine *e = case_open(api, &options);
        hm_error err = {0};
        api->close(&e);
        other.gqa = !other.gqa;
        options.toggles = &other;
        case_expect_error(api->open(&e, &options, &err), &err, HM_EUSAGE, names[i]);
        assert_non_null(strstr(err.text, "custom"));
        assert_null(e);
        case_expect_error(api->estimate(&options, &song, &estimate, &err), &err, HM_EUSAGE, names[i]);
        hm_module_close(&module);
    }
}

static void the_runtime_build_needs_toggles(void **state)
{
    const hm_engine_api *api = case_runtime();
    hm_engine_options options = {.source.dir = music, .threads = 1, .need_lm = true};
    hm_memory_estimate estimate;
    hm_engine *e = NULL;
    hm_error err = {0};
    (void)state;
    assert_false(api->fixed);
    case_expect_error(api->open(&e, &options, &err), &err, HM_EUSAGE, "no toggles");
    assert_null(e);
    case_expect_error(api->estimate(&options, &song, &estimate, &err), &err, HM_EUSAGE, "no toggles");
}

/* Each requirement of the table, broken. */
static void an_impossible_set_opens_no_module(void **state)
{
    int count;
    const hm_toggle_info *list = hm_toggle_list(&count);
    (void)state;
    for (int i = 0; i < CASE_REQUIREMENTS; i++) {
        const case_requirement *r = &case_requirements[i];
        hm_toggles set = case_naive;
        *case_toggle(&set, r->field) = (uint8_t)r->value;
        case_satisfy(&set);
        hm_error err = {0};
        assert_int_equal(hm_toggles_check(&set, &err), HM_OK);
        *case_toggle(&set, r->other) = r->other_value ? 0 : 1;
        assert_int_equal(hm_toggles_check(&set, &err), HM_EUSAGE);

        char text[HM_VARIANT_SPEC] = "custom";
        for (int k = 0; k < count; k++) {
            char value[64];
            size_t used = strlen(text);
            hm_toggle_value_name(&list[k], hm_toggle_get(&set, &list[k]), value, sizeof value);
            int more = snprintf(text + used, sizeof text - used, "%c%s=%s", k ? ',' : ':', list[k].name, value);
            assert_true(used + (size_t)more < sizeof text);
        }
        hm_toggles parsed;
        hm_module *module = NULL;
        case_expect_error(hm_variant_parse(text, &parsed, NULL, &err), &err, HM_EUSAGE, "needs");
        case_expect_error(hm_module_open(&module, text, &err), &err, HM_EUSAGE, "needs");
        assert_null(module);
    }
}

static int make_model(void **state)
{
    (void)state;
    case_model(music, "heartmula-tiny");
    case_model(speech, "qwen3-tts-tiny");
    return 0;
}

static int remove_model(void **state)
{
    (void)state;
    case_remove(music);
    case_remove(speech);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_fixed_build_gives_the_bytes_of_the_runtime_build),
        cmocka_unit_test(a_fixed_build_takes_its_own_toggles_and_no_others),
        cmocka_unit_test(the_runtime_build_needs_toggles),
        cmocka_unit_test(an_impossible_set_opens_no_module),
    };
    return cmocka_run_group_tests(tests, make_model, remove_model);
}
