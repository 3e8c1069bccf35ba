/* From the words of the command line to cases and arms. */
#define _GNU_SOURCE /* mkstemps */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/base/map.h"
#include "harness/axis.h"
#include "harness/plan.h"

#define SONGS "plain|styles"

static hm_plan *make_for(const char *model, const char *variants, const char *threads, const char *filter)
{
    hm_error err = {0};
    hm_plan *plan = NULL;
    hm_plan_options o = {.suites = {{"short"}, 1}, .threads = threads, .filter = filter, .backend = "cpu", .model = model};
    if (variants)
        o.variants = (hm_strings){{variants}, 1};
    if (hm_plan_make(&plan, &o, &err))
        fail_msg("%s", err.text);
    return plan;
}

static hm_plan *make(const char *variants, const char *threads, const char *filter)
{
    return make_for(NULL, variants, threads, filter);
}

static hm_status refuse(hm_plan_options o, const char *wanted)
{
    hm_error err = {0};
    hm_plan *plan = NULL;
    hm_status st = hm_plan_make(&plan, &o, &err);
    if (!st || !strstr(err.text, wanted))
        fail_msg("expected \"%s\", got %d: %s", wanted, (int)st, err.text);
    assert_null(plan);
    return st;
}

static void commas_separate_variants_and_settings_as_people_mean_them(void **state)
{
    (void)state;
    static const struct {
        const char *list, *parts[4];
    } cases[] = {{"naive", {"naive"}},
                 {"naive,best", {"naive", "best"}},
                 {"best:attn=scores,kv=concat,naive", {"best:attn=scores,kv=concat", "naive"}},
                 {"naive,best:kv=concat,custom:kv=prealloc,mask=none", {"naive", "best:kv=concat", "custom:kv=prealloc,mask=none"}},
                 {"all", {"all"}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hm_error err = {0};
        hm_strings parts;
        char *buffer;
        assert_int_equal(hm_plan_split(cases[i].list, &buffer, &parts, &err), HM_OK);
        int n = 0;
        for (; n < 4 && cases[i].parts[n]; n++)
            assert_string_equal(parts.items[n], cases[i].parts[n]);
        assert_int_equal(parts.count, n);
        free(buffer);
    }
    static const char *const wrong[] = {"kv=concat", "naive,kv=concat", "naive,,best", "", "naive,"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        hm_error err = {0};
        hm_strings parts;
        char *buffer;
        assert_int_equal(hm_plan_split(wrong[i], &buffer, &parts, &err), HM_EUSAGE);
        assert_null(buffer);
    }
}

static void the_default_is_naive_against_best_on_a_model_for_each_task(void **state)
{
    (void)state;
    static const char *const names[] = {"naive model=heartmula-mini", "naive model=qwen3-tts-mini", "best model=heartmula-mini",
                                        "best model=qwen3-tts-mini"};
    hm_plan *plan = make(NULL, NULL, NULL);
    assert_int_equal(plan->case_count, 3);
    assert_int_equal(plan->arm_count, 4);
    for (int i = 0; i < 4; i++)
        assert_string_equal(plan->arms[i].name, names[i]);
    assert_string_not_equal(plan->arms[0].toggles_text, plan->arms[2].toggles_text);
    assert_string_not_equal(plan->cases[0].id, plan->cases[1].id);
    assert_string_not_equal(plan->cases[0].request_hash, plan->cases[1].request_hash);
    assert_string_equal(plan->cases[2].task, "speech");
    assert_int_equal(plan->cases[2].words, 13);
    for (int c = 0; c < 3; c++)
        for (int a = 0; a < 4; a++)
            assert_int_equal(hm_plan_runs(plan, c, a), (c == 2) == (a % 2 == 1));
    assert_int_equal(hm_plan_pairs(plan), 6);
    assert_non_null(strstr(plan->left_out, "short/speech-design (voice_design: --model qwen3-tts-mini-voice-design)"));
    hm_plan_close(&plan);
}

static void models_and_filters_narrow_a_suite(void **state)
{
    (void)state;
    hm_plan *plan = make(NULL, NULL, SONGS);
    assert_int_equal(plan->arm_count, 2);
    assert_string_equal(plan->arms[0].name, "naive");
    assert_string_equal(plan->arms[0].model, "heartmula-mini");
    assert_string_equal(plan->left_out, "");
    hm_plan_close(&plan);
    plan = make(NULL, NULL, "speech$");
    assert_int_equal(plan->arm_count, 2);
    assert_string_equal(plan->arms[1].model, "qwen3-tts-mini");
    hm_plan_close(&plan);
    plan = make(NULL, NULL, "design$");
    assert_string_equal(plan->arms[1].model, "qwen3-tts-mini-voice-design");
    hm_plan_close(&plan);
    plan = make_for("qwen3-tts-tiny", NULL, NULL, NULL);
    assert_int_equal(plan->case_count, 1);
    assert_int_equal(plan->arm_count, 2);
    assert_string_equal(plan->arms[0].name, "naive");
    assert_non_null(strstr(plan->left_out, "short/plain (music: --model heartmula-mini)"));
    hm_plan_close(&plan);
    plan = make_for("qwen3-tts-0.6b,qwen3-tts-1.7b-voice-design", "best", NULL, NULL);
    assert_int_equal(plan->case_count, 2);
    assert_true(hm_plan_runs(plan, 0, 0) && !hm_plan_runs(plan, 0, 1) && !hm_plan_runs(plan, 1, 0) && hm_plan_runs(plan, 1, 1));
    hm_plan_close(&plan);
}

/* Distinct sets of the toggles that do something for a model here. */
static int distinct_programs(unsigned model)
{
    int count, toggles, distinct = 0;
    const hm_variant_info *all = hm_variant_list(&count);
    const hm_toggle_info *list = hm_toggle_list(&toggles);
    for (int i = 0; i < count; i++) {
        bool first = true;
        for (int k = 0; k < i && first; k++) {
            bool same = true;
            for (int t = 0; t < toggles; t++)
                same = same && (!(list[t].models & model) || !(list[t].backends & HM_BACKEND_CPU) ||
                                hm_toggle_get(&all[i].toggles, &list[t]) == hm_toggle_get(&all[k].toggles, &list[t]));
            first = !same;
        }
        distinct += first;
    }
    return distinct;
}

static void programs_that_coincide_are_run_once_per_model(void **state)
{
    (void)state;
    hm_plan *plan = make("naive,custom,naive:kv=concat,best", NULL, SONGS);
    assert_int_equal(plan->arm_count, 2);
    assert_string_equal(plan->arms[0].name, "naive");
    assert_string_equal(plan->arms[0].coincides, "custom, naive:kv=concat");
    hm_plan_close(&plan);
    plan = make("naive,alone-penalty,alone-cfg", NULL, NULL); /* the one does nothing for songs, the other nothing for speech */
    assert_int_equal(plan->arm_count, 4);
    assert_string_equal(plan->arms[0].coincides, "alone-penalty");
    assert_string_equal(plan->arms[1].coincides, "alone-cfg");
    assert_string_equal(plan->arms[2].name, "alone-penalty model=qwen3-tts-mini");
    assert_string_equal(plan->arms[3].name, "alone-cfg model=heartmula-mini");
    hm_plan_close(&plan);
    int songs = distinct_programs(HM_MODEL_HEARTMULA), speech = distinct_programs(HM_MODEL_QWEN3_TTS);
    plan = make("all", NULL, SONGS);
    assert_int_equal(plan->arm_count, songs);
    hm_plan_close(&plan);
    plan = make("all", NULL, "speech$");
    assert_int_equal(plan->arm_count, speech);
    hm_plan_close(&plan);
    plan = make("all", NULL, NULL);
    assert_int_equal(plan->arm_count, songs + speech);
    hm_plan_close(&plan);
}

static void what_decides_the_codes_decides_the_hash(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "text: two",      "speaker: y",        "language: german", "instruct: sadly",         "frames: 4",   "seed: 2",
        "topk: 3",        "temperature: 0.5",  "top_p: 0.5",       "repetition_penalty: 1.5", "sub_topk: 3", "sub_temperature: 0.5",
        "sub_top_p: 0.5", "streaming_text: no"};
    char path[] = "/tmp/hm_plan_XXXXXX.yaml", text[4096];
    hm_error err = {0};
    int fd = mkstemps(path, 5), used;
    assert_true(fd >= 0);
    close(fd);
    used = snprintf(text, sizeof text, "suite: s\ncases:\n  - {name: c, task: speech, text: one, speaker: x, frames: 3}\n");
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        used += snprintf(text + used, sizeof text - (size_t)used, "  - {name: c%zu, task: speech%s%s%s, %s}\n", i,
                         strncmp(lines[i], "text", 4) ? ", text: one" : "", strncmp(lines[i], "speaker", 7) ? ", speaker: x" : "",
                         strncmp(lines[i], "frames", 6) ? ", frames: 3" : "", lines[i]);
    used += snprintf(text + used, sizeof text - (size_t)used, "  - {name: same, task: speech, text: one, speaker: x, frames: 3}\n");
    assert_int_equal(hm_file_write(path, text, (size_t)used, &err), HM_OK);
    hm_plan *plan = NULL;
    hm_plan_options o = {.suites = {{path}, 1}};
    if (hm_plan_make(&plan, &o, &err))
        fail_msg("%s", err.text);
    unlink(path);
    int last = plan->case_count - 1;
    assert_int_equal(last, sizeof lines / sizeof *lines + 1);
    for (int i = 0; i < last; i++)
        for (int k = 0; k < i; k++)
            assert_string_not_equal(plan->cases[i].request_hash, plan->cases[k].request_hash);
    assert_string_equal(plan->cases[0].request_hash, plan->cases[last].request_hash);
    assert_string_not_equal(plan->cases[0].id, plan->cases[last].id);
    hm_plan_close(&plan);
}

static void other_programs_run_every_model_and_need_none_that_is_known(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_plan *plan = NULL;
    hm_plan_options o = {.suites = {{"short"}, 1}, .variants = {{"none"}, 1}, .commands = {{"x=true"}, 1}};
    assert_int_equal(hm_plan_make(&plan, &o, &err), HM_OK);
    assert_int_equal(plan->arm_count, 2);
    assert_string_equal(plan->arms[1].name, "x model=qwen3-tts-mini");
    assert_int_equal(plan->case_count, 3);
    assert_true(hm_plan_runs(plan, 0, 0) && !hm_plan_runs(plan, 2, 0) && hm_plan_runs(plan, 2, 1));
    hm_plan_close(&plan);
    o.model = "/some/thing/of/its/own";
    assert_int_equal(hm_plan_make(&plan, &o, &err), HM_OK);
    assert_int_equal(plan->arm_count, 1);
    assert_int_equal(plan->case_count, 4); /* nobody knows what it makes: it is asked for everything */
    assert_true(hm_plan_runs(plan, 0, 0) && hm_plan_runs(plan, 3, 0));
    hm_plan_close(&plan);
}

static void axes_multiply_and_name_the_arms(void **state)
{
    (void)state;
    hm_plan *plan = make("naive,best", "1,2", "plain$");
    assert_int_equal(plan->case_count, 1);
    assert_int_equal(plan->arm_count, 4);
    assert_string_equal(plan->arms[0].name, "naive threads=1");
    assert_string_equal(plan->arms[3].name, "best threads=2");
    assert_int_equal(plan->arms[3].threads, 2);
    assert_true(hm_plan_same_output(&plan->arms[0], &plan->arms[1]));
    assert_false(hm_plan_same_output(&plan->arms[0], &plan->arms[2]));
    hm_plan_close(&plan);
}

static void only_bitwise_differences_demand_equal_output(void **state)
{
    (void)state;
    hm_plan *plan = make("naive,alone-kv,alone-rows,alone-sampling,short-codec", NULL, SONGS);
    assert_true(hm_plan_same_output(&plan->arms[0], &plan->arms[1]));
    assert_false(hm_plan_same_output(&plan->arms[0], &plan->arms[2]));
    assert_true(hm_plan_same_output(&plan->arms[1], &plan->arms[3]));
    assert_false(hm_plan_same_output(&plan->arms[0], &plan->arms[4]));
    hm_plan_close(&plan);
}

static void the_same_words_make_the_same_plan(void **state)
{
    (void)state;
    hm_plan *a = make("naive,best", "1", NULL), *b = make("naive,best", "1", NULL), *c = make("naive,best", "2", NULL);
    json_t *ja = hm_plan_json(a), *jb = hm_plan_json(b), *jc = hm_plan_json(c);
    assert_true(json_equal(ja, jb));
    assert_false(json_equal(ja, jc));
    json_decref(ja);
    json_decref(jb);
    json_decref(jc);
    hm_plan_close(&a);
    hm_plan_close(&b);
    hm_plan_close(&c);
}

static void expect_axis(const char *text, bool ranges, const char *const *wanted)
{
    hm_axis axis;
    hm_error err = {0};
    if (hm_axis_parse(&axis, "--axis x", text, ranges, &err))
        fail_msg("%s: %s", text, err.text);
    int n = 0;
    for (; wanted[n]; n++)
        assert_string_equal(n < axis.count ? axis.items[n] : "(none)", wanted[n]);
    assert_int_equal(axis.count, n);
    hm_axis_free(&axis);
}

static void values_are_lists_and_ranges_and_doublings(void **state)
{
    (void)state;
    expect_axis("1,2", true, (const char *const[]){"1", "2", NULL});
    expect_axis("5:20:5", true, (const char *const[]){"5", "10", "15", "20", NULL});
    expect_axis("2:4", true, (const char *const[]){"2", "3", "4", NULL});
    expect_axis("1:16:x2", true, (const char *const[]){"1", "2", "4", "8", "16", NULL});
    expect_axis("3:20:x3,40,a", true, (const char *const[]){"3", "9", "40", "a", NULL});
    expect_axis("a:b,c", false, (const char *const[]){"a:b", "c", NULL});
    static const char *const wrong[] = {
        "1:", "1:2:", "4:2", "1:9:0", "0:9:x2", "1:9:x1", "1:9:y2", "1:2:3:", "a:b", ":2", "1,,2", "", "99999999999999999999:1", "1:65"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        hm_axis axis;
        hm_error err = {0};
        if (hm_axis_parse(&axis, "--axis x", wrong[i], true, &err) != HM_EUSAGE || !strstr(err.text, "--axis x"))
            fail_msg("\"%s\" was taken", wrong[i]);
        hm_axis_free(&axis);
    }
}

static hm_plan *make_axes(const char *variants, hm_strings axes)
{
    hm_error err = {0};
    hm_plan *plan = NULL;
    hm_plan_options o = {.suites = {{"short"}, 1}, .variants = {{variants}, 1}, .axes = axes, .filter = "plain", .backend = "cpu"};
    if (hm_plan_make(&plan, &o, &err))
        fail_msg("%s", err.text);
    return plan;
}

static void axes_of_toggles_multiply_variants(void **state)
{
    (void)state;
    static const char *const names[] = {"best flow_steps=20 kv=concat threads=1", "best flow_steps=20 kv=concat threads=2",
                                        "best flow_steps=5 kv=concat threads=1", "best flow_steps=5 kv=concat threads=2"};
    hm_plan *plan = make_axes("best", (hm_strings){{"threads=1:2", "flow_steps=20,5", "kv=concat"}, 3});
    assert_int_equal(plan->arm_count, 4);
    for (int i = 0; i < 4; i++)
        assert_string_equal(plan->arms[i].name, names[i]);
    assert_string_equal(plan->arms[2].variant, "best:flow_steps=5,kv=concat");
    assert_non_null(strstr(plan->arms[2].toggles_text, "flow_steps=5"));
    assert_non_null(strstr(plan->arms[2].toggles_text, "kv=concat"));
    assert_int_equal(plan->arms[3].threads, 2);
    hm_plan_close(&plan);
    plan = make_axes("naive:kv=prealloc,best", (hm_strings){{"flow_steps=5:20:5"}, 1}); /* 15 is none of its values */
    assert_int_equal(plan->arm_count, 6);
    assert_string_equal(plan->arms[0].variant, "naive:kv=prealloc,flow_steps=5");
    assert_string_equal(plan->values_left_out, "left out, as there are no such values: flow_steps=15");
    hm_plan_close(&plan);
    plan = make_axes("best", (hm_strings){{"model=heartmula-tiny,heartmula-mini"}, 1});
    assert_int_equal(plan->arm_count, 2);
    assert_string_equal(plan->arms[1].name, "best model=heartmula-mini");
    hm_plan_close(&plan);
}

static void backends_devices_and_environments_are_axes(void **state)
{
    (void)state;
    static const char *const names[] = {"best backend=cpu env-profile=none",
                                        "best backend=cpu env-profile=level-zero",
                                        "best backend=ze device=0 env-profile=none",
                                        "best backend=ze device=0 env-profile=level-zero",
                                        "best backend=ze device=8680a056 env-profile=none",
                                        "best backend=ze device=8680a056 env-profile=level-zero"};
    hm_arm_record record;
    hm_plan *plan = NULL;
    hm_error err = {0};
    hm_plan_options o = {.suites = {{"short"}, 1}, .variants = {{"best"}, 1}, .filter = "plain", .backend = "cpu,ze", .isa = "scalar"};
    o.axes = (hm_strings){{"device=0,8680a056", "env-profile=none,level-zero"}, 2};
    if (hm_plan_make(&plan, &o, &err))
        fail_msg("%s", err.text);
    assert_int_equal(plan->arm_count, 6); /* the CPU is one device */
    for (int i = 0; i < 6; i++)
        assert_string_equal(plan->arms[i].name, names[i]);
    assert_string_equal(plan->arms[0].isa, "scalar");
    assert_string_equal(plan->arms[2].isa, "");                       /* of CPUs */
    assert_non_null(strstr(plan->arms[0].toggles_text, "sync=step")); /* a toggle that does nothing there */
    assert_non_null(strstr(plan->arms[2].toggles_text, "sync=ahead"));
    assert_non_null(strstr(plan->arms[3].environment, "ZE_FLAT_DEVICE_HIERARCHY=FLAT"));
    hm_plan_arm_record(&plan->arms[4], 4, &record);
    assert_string_equal(record.backend, "ze");
    assert_string_equal(record.device, "8680a056");
    assert_null(record.env_profile);
    hm_plan_arm_record(&plan->arms[1], 1, &record);
    assert_null(record.device);
    assert_string_equal(record.env_profile, "level-zero");
    assert_false(hm_plan_same_output(&plan->arms[0], &plan->arms[2]));
    assert_false(hm_plan_same_output(&plan->arms[2], &plan->arms[4]));
    assert_true(hm_plan_same_output(&plan->arms[2], &plan->arms[3]));
    hm_plan_close(&plan);
}

static void settings_change_cases_and_their_names(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_plan *plan = NULL, *own = make("naive", NULL, "plain");
    hm_plan_options o = {.suites = {{"short"}, 1}, .variants = {{"naive"}, 1}, .filter = "plain", .settings = "speed"};
    if (hm_plan_make(&plan, &o, &err))
        fail_msg("%s", err.text);
    const hm_case_record *c = &plan->cases[0];
    assert_string_equal(c->name, "plain@speed");
    assert_true(c->cfg_scale == 1 && c->topk == 30 && c->temperature == 0.9);
    assert_int_equal(c->frames, own->cases[0].frames); /* a suite's lengths are its own */
    assert_string_not_equal(c->id, own->cases[0].id);
    hm_plan_close(&plan);
    o.settings = "long";
    o.filter = "plain@long";
    if (hm_plan_make(&plan, &o, &err))
        fail_msg("%s", err.text);
    assert_int_equal(plan->cases[0].frames, 6000);
    assert_int_equal(plan->cases[0].topk, own->cases[0].topk);
    hm_plan_close(&plan);
    hm_plan_close(&own);
    o.settings = "sped";
    o.filter = "plain";
    assert_int_equal(refuse(o, "did you mean \"speed\""), HM_EUSAGE);
}

static void the_axis_of_precisions_makes_a_ladder_and_each_part_alone(void **state)
{
    (void)state;
    static const char *const ladder[] = {"stored", "bf16", "f16", "fp8", "int8", "int4", "fp4"};
    hm_plan *plan = make_axes("best", (hm_strings){{"precision=ladder,int8"}, 1});
    assert_int_equal(plan->arm_count, 7); /* int8 is there already */
    for (int i = 0; i < 7; i++) {
        char name[160];
        snprintf(name, sizeof name, "best precision=%s", ladder[i]);
        assert_string_equal(plan->arms[i].name, name);
        snprintf(name, sizeof name, "backbone=%s decoder=%s heads=%s dit=%s codec=%s", ladder[i], ladder[i], ladder[i], ladder[i],
                 ladder[i]);
        assert_string_equal(plan->arms[i].precision, name);
        assert_true(i == 0 || strstr(plan->arms[i].toggles_text, "panels=packed"));
    }
    hm_plan_close(&plan);
    plan = make_axes("best", (hm_strings){{"precision=stored,each=int4,backbone=int8+heads=f16", "kv=concat"}, 2});
    assert_int_equal(plan->arm_count, 7);
    assert_string_equal(plan->arms[2].name, "best precision=decoder=int4 kv=concat");
    assert_string_equal(plan->arms[2].precision, "backbone=stored decoder=int4 heads=stored dit=stored codec=stored");
    assert_string_equal(plan->arms[4].precision, "backbone=stored decoder=stored heads=stored dit=int4 codec=stored");
    assert_string_equal(plan->arms[6].precision, "backbone=int8 decoder=stored heads=f16 dit=stored codec=stored");
    hm_plan_close(&plan);
    hm_plan_options o = {.suites = {{"short"}, 1}, .axes = {{"precision=int9"}, 1}};
    assert_int_equal(refuse(o, "did you mean \"int8\"?"), HM_EUSAGE);
    o.axes.items[0] = "precision=each=";
    assert_int_equal(refuse(o, "--axis precision"), HM_EUSAGE);
    o.axes.items[0] = "precision=beckbone=int8";
    assert_int_equal(refuse(o, "did you mean \"backbone\"?"), HM_EUSAGE);
    o.axes = (hm_strings){{"precision=int8", "precision=int4"}, 2};
    assert_int_equal(refuse(o, "--axis precision: given twice"), HM_EUSAGE);
}

static void other_builds_run_every_variant_too(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_plan *plan = NULL;
    hm_plan_options o = {.suites = {{"short"}, 1}, .filter = "plain", .backend = "cpu", .programs = {{"main=/bin/sh"}, 1}};
    if (hm_plan_make(&plan, &o, &err))
        fail_msg("%s", err.text);
    assert_int_equal(plan->arm_count, 4);
    assert_string_equal(plan->arms[1].name, "naive program=main");
    assert_string_equal(plan->arms[3].name, "best program=main");
    assert_null(plan->arms[0].program);
    assert_non_null(strstr(plan->arms[3].program, "sh"));
    assert_string_equal(plan->arms[3].toggles_text, plan->arms[2].toggles_text);
    assert_true(hm_plan_same_output(&plan->arms[2], &plan->arms[3]));
    assert_false(hm_plan_same_output(&plan->arms[1], &plan->arms[2])); /* naive and best differ in more than bitwise toggles */
    hm_arm_record record;
    hm_plan_arm_record(&plan->arms[3], 3, &record);
    assert_string_equal(record.program, plan->arms[3].program);
    hm_plan_close(&plan);
}

static void wrong_words_are_refused_with_the_option(void **state)
{
    (void)state;
    hm_plan_options o = {.suites = {{"short"}, 1}};
#define WITH(field, value) (o = (hm_plan_options){.suites = {{"short"}, 1}}, o.field = value, o)
#define LIST(text) ((hm_strings){{text}, 1})
    assert_int_equal(refuse((hm_plan_options){.backend = "cpu"}, "no suite"), HM_EUSAGE);
    assert_int_equal(refuse(WITH(filter, "nothing"), "matches none of 4"), HM_EUSAGE);
    assert_int_equal(refuse(WITH(filter, "("), "--filter"), HM_EUSAGE);
    assert_int_equal(refuse(WITH(threads, "1,x"), "--threads"), HM_EUSAGE);
    assert_int_equal(refuse(WITH(threads, "1,"), "--threads"), HM_EUSAGE);
    assert_int_equal(refuse(WITH(isa, "mmx"), "--isa"), HM_EUSAGE);
    assert_int_equal(refuse(WITH(variants, LIST("bset")), "best"), HM_EUSAGE);
    assert_int_equal(refuse(WITH(variants, LIST("none")), "no arms"), HM_EUSAGE);
    assert_int_equal(refuse(WITH(variants, LIST("custom:attn=flash")), "needs"), HM_EUSAGE);
    assert_int_equal(refuse(WITH(commands, LIST("nameless")), "NAME=COMMAND"), HM_EUSAGE);
    assert_int_equal(refuse(WITH(commands, LIST("naive=true")), "two arms"), HM_EUSAGE);
    assert_int_equal(refuse(WITH(suites, LIST("shrt")), "short"), HM_EMISSING);
    assert_int_equal(refuse(WITH(model, "qwen3-tts-mini-base"), "makes speech of kind base, and no case here asks for that"), HM_EUSAGE);
    assert_int_equal(refuse(WITH(model, "heartmula-mini,qwen3-tts-tiny-base"), "no case here"), HM_EUSAGE);
    assert_int_equal(refuse(WITH(axes, LIST("threads")), "expected NAME=VALUES"), HM_EUSAGE);
    assert_int_equal(refuse(WITH(axes, LIST("thraeds=1")), "did you mean \"threads\"?"), HM_EUSAGE);
    assert_int_equal(refuse(WITH(axes, LIST("flow_steps=15")), "flow_steps: no value \"15\"; did you mean \"10\"? (one of 10,50"),
                     HM_EUSAGE);
    assert_int_equal(refuse(WITH(axes, LIST("flow_steps=11:19")), "none of its values is in the range"), HM_EUSAGE);
    assert_int_equal(refuse(WITH(axes, LIST("isa=mmx")), "mmx"), HM_EUSAGE);
    assert_int_equal(refuse(WITH(axes, ((hm_strings){{"kv=concat", "kv=prealloc"}, 2})), "--axis kv: given twice"), HM_EUSAGE);
    o = (hm_plan_options){.suites = {{"short"}, 1}, .axes = {{"threads=1"}, 1}, .threads = "2"};
    assert_int_equal(refuse(o, "--axis threads: given twice (--threads is the same)"), HM_EUSAGE);
    assert_int_equal(refuse(WITH(programs, LIST("/bin/sh")), "expected NAME=PATH"), HM_EUSAGE);
    assert_int_equal(refuse(WITH(programs, LIST("x=/tmp")), "no program that can be run"), HM_EMISSING);
    o = (hm_plan_options){.suites = {{"short"}, 1}};
    o.filter = "design";
    o.model = "heartmula-tiny";
    assert_int_equal(refuse(o, "--model heartmula-tiny: makes music"), HM_EUSAGE);
    assert_int_equal(refuse(WITH(backend, "npu"), "--backend \"npu\": expected one of cpu, ze"), HM_EUSAGE);
    assert_int_equal(refuse(WITH(device, "1"), "--device 1: the CPU is one device"), HM_EUSAGE);
    assert_int_equal(refuse(WITH(env_profile, "levl-zero"), "did you mean \"level-zero\""), HM_EUSAGE);
    assert_int_equal(refuse(WITH(model, "qwen3-tts-mni"), "did you mean \"qwen3-tts-mini\""), HM_EMISSING);
    assert_int_equal(refuse(WITH(model, "/nowhere"), "/nowhere"), HM_EMISSING);
    assert_int_equal(refuse(WITH(model, "/proc/self"), "neither a HeartMuLa nor a Qwen3-TTS"), HM_EMISSING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(commas_separate_variants_and_settings_as_people_mean_them),
                                       cmocka_unit_test(the_default_is_naive_against_best_on_a_model_for_each_task),
                                       cmocka_unit_test(models_and_filters_narrow_a_suite),
                                       cmocka_unit_test(programs_that_coincide_are_run_once_per_model),
                                       cmocka_unit_test(what_decides_the_codes_decides_the_hash),
                                       cmocka_unit_test(other_programs_run_every_model_and_need_none_that_is_known),
                                       cmocka_unit_test(axes_multiply_and_name_the_arms),
                                       cmocka_unit_test(only_bitwise_differences_demand_equal_output),
                                       cmocka_unit_test(the_same_words_make_the_same_plan),
                                       cmocka_unit_test(values_are_lists_and_ranges_and_doublings),
                                       cmocka_unit_test(axes_of_toggles_multiply_variants),
                                       cmocka_unit_test(backends_devices_and_environments_are_axes),
                                       cmocka_unit_test(settings_change_cases_and_their_names),
                                       cmocka_unit_test(the_axis_of_precisions_makes_a_ladder_and_each_part_alone),
                                       cmocka_unit_test(other_builds_run_every_variant_too),
                                       cmocka_unit_test(wrong_words_are_refused_with_the_option)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
