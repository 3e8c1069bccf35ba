/* Suite files: the shipped ones load, wrong ones are refused in one clear sentence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/map.h"
#include "suites/suite.h"
#include "tests/mutate.h"

static void check_song(const hm_suite_case *c, int frames)
{
    assert_string_equal(c->task, "music");
    assert_int_equal(c->frames, frames);
    assert_true(c->cfg_scale == 1.5 && c->topk == 50 && c->temperature == 1 && c->flow_guidance == 1.25 && c->flow_steps == 0);
    assert_non_null(strstr(c->lyrics, "[Verse]\n"));
    assert_non_null(strstr(c->lyrics, "[Chorus]\n"));
    assert_true(c->words > 10 && !c->text[0] && !c->kind[0] && !c->speaker);
}

/* Words are counted as a reader would: by the spaces between them. */
static void check_speech(const hm_suite_case *c, int frames, int words)
{
    int spaces = 0;
    assert_string_equal(c->task, "speech");
    assert_int_equal(c->frames, frames);
    assert_true(c->temperature == 0.9 && c->topk == 50 && c->top_p == 1 && c->repetition_penalty == 1.05);
    assert_true(c->sub_temperature == 0.9 && c->sub_topk == 50 && c->sub_top_p == 1 && c->streaming_text == -1);
    assert_string_equal(c->language, "english");
    assert_true(!c->tags[0] && !c->lyrics[0] && !c->intro_style && !c->reference);
    for (const char *p = c->text; *p; p++) {
        assert_true(*p != '\n' && (*p != ' ' || p[1] != ' '));
        spaces += *p == ' ';
    }
    assert_int_equal(spaces + 1, words);
    assert_int_equal(c->words, words);
}

static void the_shipped_suites_hold_songs_and_speech_side_by_side(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int frames, songs, cases, speech_frames, words;
    } shipped[] = {{"short", 125, 2, 4, 46, 13}, {"medium", 375, 2, 3, 414, 53}, {"long", 750, 1, 2, 754, 115}, {"song", 2250, 2, 2, 0, 0}};
    for (size_t i = 0; i < sizeof shipped / sizeof *shipped; i++) {
        hm_error err = {0};
        hm_suite *suite = NULL;
        if (hm_suite_open(&suite, shipped[i].name, &err))
            fail_msg("%s", err.text);
        assert_string_equal(suite->name, shipped[i].name);
        assert_int_equal(suite->case_count, shipped[i].cases);
        int songs = shipped[i].songs;
        for (int c = 0; c < songs; c++)
            check_song(&suite->cases[c], shipped[i].frames);
        assert_string_equal(suite->cases[0].name, "plain");
        if (songs > 1) {
            assert_string_equal(suite->cases[1].name, "section-styles");
            assert_true(suite->cases[1].intro_style && suite->cases[1].verse_style && suite->cases[1].chorus_style);
            assert_true(suite->cases[0].seed != suite->cases[1].seed);
        }
        if (suite->case_count > songs) {
            check_speech(&suite->cases[songs], shipped[i].speech_frames, shipped[i].words);
            assert_string_equal(suite->cases[songs].name, "speech");
            assert_string_equal(suite->cases[songs].kind, "custom_voice");
            assert_string_equal(suite->cases[songs].speaker, "ryan");
        }
        if (suite->case_count > songs + 1) {
            check_speech(&suite->cases[songs + 1], shipped[i].speech_frames, shipped[i].words);
            assert_string_equal(suite->cases[songs + 1].kind, "voice_design");
            assert_true(!suite->cases[songs + 1].speaker && strlen(suite->cases[songs + 1].instruct) > 10);
        }
        assert_int_equal(strlen(suite->hash), 32);
        hm_suite_close(&suite);
        assert_null(suite);
    }
}

static void count_name(void *self, const char *name)
{
    *(int *)self += !strcmp(name, "short") || !strcmp(name, "song");
}

static void suites_are_listed_by_name(void **state)
{
    (void)state;
    int found = 0;
    hm_error err = {0};
    assert_int_equal(hm_suite_each_name(count_name, &found, &err), HM_OK);
    assert_int_equal(found, 2);
}

#define HEAD "suite: s\ncases:\n  - name: a\n    tags: pop\n    lyrics: la\n"
#define SAY "suite: s\ncases:\n  - name: a\n    task: speech\n    text: hello there\n    frames: 3\n"
#define HEAR "suite: s\ncases:\n  - name: a\n    task: transcript\n"

static hm_status parse(const char *text, hm_error *err)
{
    hm_suite *suite = NULL;
    *err = (hm_error){0};
    hm_status st = hm_suite_parse(&suite, text, strlen(text), "test.yaml", err);
    assert_true(!st == !!suite);
    hm_suite_close(&suite);
    return st;
}

static void wrong_files_are_refused_with_the_place_and_the_key(void **state)
{
    (void)state;
    static const struct {
        const char *text, *wanted;
    } wrong[] = {
        {"", "empty"},
        {"suite: s\n", "cases"},
        {HEAD "    seconds: 10\n    sedonds: 3\n", "line 7"},
        {HEAD "    seconds: 10\n    sedonds: 3\n", "column 5: Invalid key: Unexpected key: sedonds"},
        {HEAD, "seconds"},
        {HEAD "    seconds: 10\n    frames: 3\n", "one of"},
        {HEAD "    seconds: -1\n", "0.08 to 3600"},
        {HEAD "    seconds: nan\n", "seconds"},
        {HEAD "    frames: 0\n", "frames"},
        {HEAD "    frames: 99999999999999999999\n", "line 6"},
        {HEAD "    frames: ten\n", "line 6"},
        {HEAD "    frames: 3\n    topk: 0\n", "topk"},
        {HEAD "    frames: 3\n    temperature: 0\n", "temperature"},
        {HEAD "    frames: 3\n    cfg: -2\n", "cfg"},
        {HEAD "    frames: 3\n    flow_steps: 101\n", "flow_steps"},
        {HEAD "    frames: 3\n    task: song\n", "music, speech or transcript"},
        {HEAD "    frames: 3\n    task: speech\n", "tags: means nothing for speech"},
        {HEAD "    frames: 3\n    text: hello\n", "text: means nothing for music (task: speech)"},
        {HEAD "    frames: 3\n    repetition_penalty: 1\n", "repetition_penalty: means nothing for music"},
        {"suite: s\ncases: [{name: a, task: speech, frames: 3, speaker: ryan}]\n", "text: empty"},
        {SAY, "speaker: missing"},
        {SAY "    speaker: ryan\n    cfg: 1\n", "cfg: means nothing for speech"},
        {SAY "    speaker: ryan\n    flow_steps: 1\n", "flow_steps: means nothing for speech"},
        {SAY "    speaker: ryan\n    kind: custom\n", "custom_voice, voice_design or base"},
        {SAY "    speaker: ryan\n    design: deep\n", "only kind custom_voice"},
        {SAY "    speaker: ryan\n    kind: custom_voice\n    design: deep\n", "design:"},
        {SAY "    kind: voice_design\n", "design:"},
        {SAY "    kind: base\n", "reference:"},
        {SAY "    kind: base\n    reference: v.wav\n    instruct: sadly\n", "only kind custom_voice"},
        {SAY "    speaker: ryan\n    reference_text: hi\n", "reference_text"},
        {SAY "    speaker: ryan\n    temperature: 0\n", "temperature"},
        {SAY "    speaker: ryan\n    sub_temperature: -1\n", "sub_temperature"},
        {SAY "    speaker: ryan\n    topk: -1\n", "topk"},
        {SAY "    speaker: ryan\n    sub_topk: 9999999\n", "sub_topk"},
        {SAY "    speaker: ryan\n    top_p: 0\n", "top_p"},
        {SAY "    speaker: ryan\n    sub_top_p: 1.5\n", "sub_top_p"},
        {SAY "    speaker: ryan\n    repetition_penalty: 0\n", "repetition_penalty"},
        {SAY "    speaker: ryan\n    streaming_text: perhaps\n", "yes or no"},
        {HEAR, "length of its recording"},
        {HEAR "    frames: 3\n", "length of its recording"},
        {HEAR "    seconds: 0.5\n", "1 to 3600"},
        {HEAR "    seconds: 9\n    chunk: 31\n", "chunk: expected 1 to 30"},
        {HEAR "    seconds: 31\n    chunk: 0.5\n", "or 0: one window after the other"},
        {HEAR "    seconds: 30\n    chunk: 0\n", "chunk: 0 takes more than 30 seconds"},
        {HEAR "    seconds: 31\n    chunk: 0\n    batch: 2\n", "no \"batch\""},
        {HEAR "    seconds: 31\n    chunk: 0\n    beams: 2\n", "one of \"beams\""},
        {HEAR "    seconds: 3600\n    chunk: 1\n    tokens: 400\n", "more than 1048576 tokens"},
        {HEAR "    seconds: 9\n    batch: 0\n", "batch"},
        {HEAR "    seconds: 9\n    tokens: 441\n", "1 to 440"},
        {HEAR "    seconds: 9\n    beams: 17\n", "beams"},
        {HEAR "    seconds: 9\n    recording: noise\n", "voice or music"},
        {HEAR "    seconds: 9\n    tags: pop\n", "tags: means nothing for a recording that is no music"},
        {HEAR "    seconds: 9\n    text: hi\n", "text: means nothing for transcript (task: speech)"},
        {HEAR "    seconds: 9\n    recording: music\n    tags: pop\n", "lyrics"},
        {HEAD "    frames: 3\n    batch: 2\n", "batch: means nothing for music (task: transcript)"},
        {HEAD "    frames: 3\n    styles: loud\n", "line 7"},
        {HEAD "    frames: 3\n    styles:\n      outro: loud\n", "outro"},
        {HEAD "    frames: 3\n  - name: a\n    tags: pop\n    lyrics: la\n    frames: 2\n", "two cases"},
        {"suite: s\ncases:\n  - name: ../x\n    tags: pop\n    lyrics: la\n    frames: 3\n", "name"},
        {"suite: s\ncases:\n  - name: a\n    tags: ''\n    lyrics: la\n    frames: 3\n", "tags"},
        {"suite: s\ncases:\n  - name: a\n    tags: pop\n    lyrics: \"  \"\n    frames: 3\n", "lyrics"},
        {"suite: s\ncases: []\n", "line 2"},
        {"suite: [s]\ncases: []\n", "line 1"},
        {"suite: s\ncases: &x [*x]\n", "suite test.yaml"},
        {"\xff\xfe\xfa", "suite test.yaml"},
        {"a: b: c: [", "suite test.yaml"},
    };
    hm_error err;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (parse(wrong[i].text, &err) != HM_EFORMAT || !strstr(err.text, wrong[i].wanted) || !hm_mutate_sentence_ok(err.status, &err))
            fail_msg("case %zu: expected \"%s\", got: %s", i, wrong[i].wanted, err.text);
    }
    assert_int_equal(parse(HEAD "    frames: 3\n    seed: 18446744073709551615\n", &err), HM_OK);
}

static void a_recording_is_as_long_as_its_windows(void **state)
{
    (void)state;
    static const char text[] = "suite: s\ncases:\n"
                               "  - {name: a, task: transcript, seconds: 30}\n"
                               "  - {name: b, task: transcript, seconds: 120, tokens: 10, batch: 4, beams: 3, language: en, seed: 7}\n"
                               "  - {name: c, task: transcript, seconds: 30.1, chunk: 30, tokens: 1}\n"
                               "  - {name: d, task: transcript, seconds: 30, chunk: 12, tokens: 1}\n"
                               "  - {name: e, task: transcript, seconds: 10, recording: music, tags: pop, lyrics: la, topk: 3}\n"
                               "  - {name: f, task: transcript, seconds: 60.1, chunk: 0, tokens: 2}\n";
    hm_error err = {0};
    hm_suite *suite = NULL;
    if (hm_suite_parse(&suite, text, sizeof text - 1, "s.yaml", &err))
        fail_msg("%s", err.text);
    const hm_suite_case *c = suite->cases;
    assert_true(c[0].frames == 96 && c[0].batch == 16 && c[0].beams == 1 && c[0].chunk_s == 30 && c[0].audio_s == 30);
    assert_string_equal(c[0].task, "transcript");
    assert_string_equal(c[0].recording, "voice");
    assert_true(c[1].frames == 60 && c[1].window_tokens == 10 && c[1].batch == 4 && c[1].beams == 3 && c[1].seed == 7);
    assert_string_equal(c[1].language, "en");
    assert_int_equal(c[2].frames, 2);
    assert_int_equal(c[3].frames, 4); /* 0, 8, 16, 24 s */
    assert_string_equal(c[4].recording, "music");
    assert_string_equal(c[4].lyrics, "la");
    assert_int_equal(c[4].topk, 3);
    assert_true(c[5].frames == 6 && c[5].batch == 1 && c[5].chunk_s == 0); /* at least three windows */
    hm_suite_close(&suite);
}

static void speech_cases_say_all_that_speech_can_be_told(void **state)
{
    (void)state;
    static const char text[] =
        "suite: s\ncases:\n"
        "  - {name: a, task: speech, text: one two  three, frames: 3, speaker: vivian, instruct: sadly, temperature: 0.5, topk: 0,\n"
        "     top_p: 0.8, repetition_penalty: 1.1, sub_temperature: 0.7, sub_topk: 5, sub_top_p: 0.9, streaming_text: yes, seed: 7}\n"
        "  - {name: b, task: speech, text: one, seconds: 0.4, design: a deep voice}\n"
        "  - {name: c, task: speech, text: one, frames: 3, reference: v/x.wav, reference_text: said before}\n"
        "  - {name: d, task: speech, text: one, frames: 3, kind: base, reference: /v/x.wav, streaming_text: no}\n";
    hm_error err = {0};
    hm_suite *suite = NULL;
    if (hm_suite_parse(&suite, text, sizeof text - 1, "some/where/s.yaml", &err))
        fail_msg("%s", err.text);
    const hm_suite_case *c = suite->cases;
    assert_string_equal(c[0].kind, "custom_voice");
    assert_string_equal(c[0].speaker, "vivian");
    assert_string_equal(c[0].instruct, "sadly");
    assert_true(c[0].temperature == 0.5 && c[0].top_p == 0.8 && c[0].repetition_penalty == 1.1);
    assert_true(c[0].sub_temperature == 0.7 && c[0].sub_top_p == 0.9);
    assert_true(c[0].topk == 0 && c[0].sub_topk == 5 && c[0].streaming_text == 1 && c[0].words == 3 && c[0].seed == 7);
    assert_null(c[0].language);
    assert_string_equal(c[1].kind, "voice_design");
    assert_string_equal(c[1].instruct, "a deep voice");
    assert_int_equal(c[1].frames, 5);
    assert_string_equal(c[2].kind, "base");
    assert_string_equal(c[2].reference, "some/where/v/x.wav");
    assert_string_equal(c[2].reference_text, "said before");
    assert_string_equal(c[3].reference, "/v/x.wav");
    assert_int_equal(c[3].streaming_text, 0);
    hm_suite_close(&suite);
}

static void words_are_counted_without_names_of_sections(void **state)
{
    (void)state;
    assert_int_equal(hm_count_words(""), 0);
    assert_int_equal(hm_count_words(NULL), 0);
    assert_int_equal(hm_count_words("  one, two\n\tthree-four "), 3);
    assert_int_equal(hm_count_words("[Verse]\nla la\n[Pre Chorus]\nla\n"), 3);
}

static void unknown_suites_name_those_that_exist(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_suite *suite = NULL;
    assert_int_equal(hm_suite_open(&suite, "shrot", &err), HM_EMISSING);
    assert_non_null(strstr(err.text, "short"));
    assert_int_equal(hm_suite_open(&suite, "./nothing/here.yaml", &err), HM_EMISSING);
    assert_int_equal(hm_suite_open(&suite, "/tmp/.yaml/", &err), HM_EMISSING);
    assert_null(suite);
}

static void a_deeply_nested_file_is_refused(void **state)
{
    (void)state;
    enum {
        DEPTH = 20000
    };
    static char text[DEPTH + 64];
    hm_error err;
    int used = snprintf(text, sizeof text, "suite: s\ncases: ");
    memset(text + used, '[', DEPTH);
    assert_int_equal(parse(text, &err), HM_EFORMAT);
}

static void mutated_files_load_or_fail_in_one_sentence(void **state)
{
    (void)state;
    static const char text[] =
        "suite: s\ndescription: \"about\"\ncases:\n  - name: a\n    tags: \"pop, soft\"\n    seconds: 10\n    seed: 3\n"
        "    cfg: 1.5\n    topk: 50\n    temperature: 1.0\n    flow_steps: 10\n    styles: {intro: \"x\", verse: \"y\"}\n"
        "    lyrics: |\n      [Verse]\n      la la\n  - {name: b, tags: t, lyrics: l, frames: 12}\n"
        "  - {name: c, task: speech, text: t, frames: 3, speaker: s, top_p: 0.5, sub_topk: 9, streaming_text: no}\n"
        "  - {name: d, task: speech, text: t, frames: 3, reference: r, reference_text: q}\n";
    hm_mutator m;
    hm_mutator_open(&m, text, sizeof text - 1, 1);
    int good = 0, bad = 0;
    for (int i = 0; i < 4000; i++) {
        size_t size;
        const uint8_t *data = hm_mutate(&m, &size);
        hm_error err = {0};
        hm_suite *suite = NULL;
        hm_status st = hm_suite_parse(&suite, data, size, "mutated.yaml", &err);
        if (st && !hm_mutate_sentence_ok(st, &err))
            fail_msg("%s: %s", m.last, err.text);
        if (!st)
            for (int k = 0; k < suite->case_count; k++)
                assert_true(suite->cases[k].frames >= 1 && !suite->cases[k].lyrics[0] == !!suite->cases[k].text[0]);
        good += !st;
        bad += !!st;
        hm_suite_close(&suite);
    }
    hm_mutator_close(&m);
    assert_true(good > 100 && bad > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_shipped_suites_hold_songs_and_speech_side_by_side),
                                       cmocka_unit_test(suites_are_listed_by_name),
                                       cmocka_unit_test(wrong_files_are_refused_with_the_place_and_the_key),
                                       cmocka_unit_test(a_recording_is_as_long_as_its_windows),
                                       cmocka_unit_test(speech_cases_say_all_that_speech_can_be_told),
                                       cmocka_unit_test(words_are_counted_without_names_of_sections),
                                       cmocka_unit_test(unknown_suites_name_those_that_exist),
                                       cmocka_unit_test(a_deeply_nested_file_is_refused),
                                       cmocka_unit_test(mutated_files_load_or_fail_in_one_sentence)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
