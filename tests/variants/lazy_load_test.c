/* load=lazy: the weights of one stage at a time are this process's; what is made is the same, and the estimate tells it. */
#define _GNU_SOURCE
#include "tests/speech_case.h"

static char songs[] = "/tmp/hmbench-lazy-XXXXXX", packs[] = "/tmp/hmbench-lazy-packs-XXXXXX";

/* Resident bytes of mappings of files below a folder. */
static long resident_below(const char *folder)
{
    char line[4352];
    long sum = 0, kb;
    bool inside = false;
    FILE *f = fopen("/proc/self/smaps", "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        const char *path = strchr(line, '/');
        if (strstr(line, " r-") || strstr(line, " rw") || strstr(line, " --"))
            inside = path && !strncmp(path, folder, strlen(folder));
        if (inside && sscanf(line, "Rss: %ld kB", &kb) == 1)
            sum += kb * 1024;
    }
    fclose(f);
    return sum;
}

/* The most of each part's files, looked at where phases and operations begin. */
struct watch {
    const char *lm, *codec; /* folders or files of weights */
    long most, most_together;
};

static void look(void *self, hm_span_kind kind, const char *name, int64_t index)
{
    struct watch *w = self;
    (void)kind;
    (void)name;
    (void)index;
    long lm = resident_below(w->lm), codec = resident_below(w->codec), more = lm > codec ? lm : codec, less = lm + codec - more;
    w->most = more > w->most ? more : w->most;
    w->most_together = less > w->most_together ? less : w->most_together;
}

static void look_after(void *self, hm_span_kind kind, const char *name)
{
    look(self, kind, name, -1);
}

static hm_result make(const char *dir, const hm_toggles *toggles, const hm_request *request, const hm_probe *probe)
{
    hm_engine_options options = {.source.dir = dir, .threads = 1, .toggles = toggles, .need_lm = true, .need_codec = true, .probe = probe};
    options.pack_dir = toggles->panels == HM_PANELS_PACKED ? packs : NULL;
    hm_engine *e = case_open(case_runtime(), &options);
    hm_result r = case_generate(case_runtime(), e, request), again = case_generate(case_runtime(), e, request);
    assert_memory_equal(r.codes, again.codes, (size_t)r.frames * (size_t)r.codebooks * sizeof *r.codes);
    assert_int_equal(r.samples, again.samples);
    assert_memory_equal(r.audio, again.audio, (size_t)(r.samples * r.channels) * sizeof *r.audio);
    case_drop(&again);
    case_runtime()->close(&e);
    return r;
}

static void check_lazy(const char *dir, const char *lm, const char *codec, const hm_request *request, hm_toggles toggles)
{
    struct watch watch = {.lm = lm, .codec = codec};
    hm_probe probe = {.self = &watch, .wanted = HM_SPAN_PHASE | HM_SPAN_STEP, .begin = look, .end = look_after};
    toggles.load = HM_WEIGHTS_MMAP;
    hm_result mapped = make(dir, &toggles, request, NULL);
    assert_int_equal(mapped.counters.given_back_bytes, 0);
    toggles.load = HM_WEIGHTS_LAZY;
    hm_result lazy = make(dir, &toggles, request, &probe);
    assert_true(lazy.counters.given_back_bytes > 0);
    assert_memory_equal(mapped.codes, lazy.codes, (size_t)mapped.frames * (size_t)mapped.codebooks * sizeof *mapped.codes);
    assert_int_equal(mapped.samples, lazy.samples);
    assert_memory_equal(mapped.audio, lazy.audio, (size_t)(mapped.samples * mapped.channels) * sizeof *mapped.audio);
    if (toggles.panels != HM_PANELS_PACKED) { /* packs lie elsewhere */
        assert_true(watch.most > 0);
        if (watch.most_together > watch.most / 2) /* opening reads names and vectors of either */
            fail_msg("%s: %ld bytes of one part were there with %ld of the other", dir, watch.most_together, watch.most);
    }
    case_drop(&mapped);
    case_drop(&lazy);
}

static void part_paths(const char *dir, const char *preset, char lm[600], char codec[600])
{
    const hm_preset_sizes *sizes = hm_preset_sizes_of(hm_preset_find(preset));
    snprintf(lm, 600, "%s/%s", dir, sizes->lm_folder);
    snprintf(codec, 600, "%s/%s", dir, sizes->codec_folder);
}

static void a_song_has_one_stage_at_a_time(void **state)
{
    char lm[600], codec[600];
    hm_request r = {.music = {.tags = "pop", .lyrics = "la", .cfg_scale = 1.5, .flow_guidance = 1.25, .flow_steps = 1},
                    .max_frames = 8,
                    .force_length = true,
                    .topk = 50,
                    .temperature = 1,
                    .seed = 3};
    (void)state;
    part_paths(songs, "heartmula-tiny", lm, codec);
    check_lazy(songs, lm, codec, &r, case_best);
    hm_toggles packed = case_best;
    packed.panels = HM_PANELS_PACKED;
    check_lazy(songs, lm, codec, &r, packed); /* the first time they are made, */
    check_lazy(songs, lm, codec, &r, packed); /* then found */
}

static void speech_has_one_stage_at_a_time(void **state)
{
    char lm[600], codec[600];
    hm_request r = case_spoken;
    (void)state;
    r.skip_codec = false;
    snprintf(lm, sizeof lm, "%s/model.safetensors", case_custom);
    snprintf(codec, sizeof codec, "%s/speech_tokenizer", case_custom);
    check_lazy(case_custom, lm, codec, &r, case_best);
}

static void the_estimate_has_the_larger_stage(void **state)
{
    uint64_t parts[2], both[2];
    hm_error err = {0};
    hm_request r = {.music = {.tags = "", .lyrics = ""}, .max_frames = 8, .topk = 1, .temperature = 1};
    (void)state;
    for (int load = HM_WEIGHTS_MMAP; load <= HM_WEIGHTS_LAZY; load++) {
        hm_toggles toggles = case_best;
        toggles.load = (uint8_t)load;
        for (int i = 0; i < 3; i++) {
            hm_memory_estimate m;
            hm_engine_options o = {.source.dir = songs, .toggles = &toggles, .need_lm = i != 1, .need_codec = i != 0};
            assert_int_equal(case_runtime()->estimate(&o, &r, &m, &err), HM_OK);
            *(i < 2 ? &parts[i] : &both[load - HM_WEIGHTS_MMAP]) = m.mapped_bytes;
        }
    }
    assert_int_equal(both[0], parts[0] + parts[1]);
    assert_int_equal(both[1], parts[0] > parts[1] ? parts[0] : parts[1]);
}

static int make_models(void **state)
{
    case_model(songs, "heartmula-tiny");
    return mkdtemp(packs) ? case_make_models(state) : -1;
}

static int remove_models(void **state)
{
    case_remove(songs);
    case_remove(packs);
    return case_remove_models(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_song_has_one_stage_at_a_time),
        cmocka_unit_test(speech_has_one_stage_at_a_time),
        cmocka_unit_test(the_estimate_has_the_larger_stage),
    };
    return cmocka_run_group_tests(tests, make_models, remove_models);
}
