/* A database with one session in which everything was measured: four arms, eight rounds, invented figures. */
#ifndef HM_TESTS_PLANTED_CASE_H
#define HM_TESTS_PLANTED_CASE_H

#include <stdio.h>
#include <unistd.h>

#include "harness/store_internal.h"
#include "tests/store_case.h"

#define PLANTED_ROUNDS 8
#define PLANTED_SESSION "9e551000-0000-4000-8000-000000000001"
#define PLANTED_HOSTILE "<script>alert(\"x\")</script>&'|`"

enum {
    PLANTED_NAIVE,
    PLANTED_BEST,
    PLANTED_INT8,
    PLANTED_BROKEN,
    PLANTED_ARMS
};

static inline const char *planted_arm(int arm)
{
    static const char *const ids[] = {"aa000000-0000-4000-8000-000000000000", "aa000000-0000-4000-8000-000000000001",
                                      "aa000000-0000-4000-8000-000000000002", "aa000000-0000-4000-8000-000000000003"};
    return ids[arm];
}

static inline void planted_sample(hm_sample *s, int arm, int round)
{
    static const int64_t wall_ms[] = {4000, 1000, 800, 500};
    int64_t wall = wall_ms[arm] * 1000000 + (round * (arm + 3) % 7) * 1000000;
    hm_sample_init(s);
    s->wall_ns = wall;
    s->load_ns = 40000000;
    s->prefill_ns = wall / 20;
    s->generate_ns = wall / 2;
    s->decode_ns = wall / 5 * 2;
    s->frames = 125;
    s->codebooks = 8;
    s->audio_s = 10;
    s->frame_weight_bytes = s->distinct_weight_bytes = 100000000;
    s->frame_flops = 2e8;
    s->codec_frame_flops = 1e8;
    s->codec_bytes = 50000000;
    s->prefill_flops = 4000000000;
    s->prefill_weight_bytes = 80000000;
    s->peak_rss_bytes = 300000000;
    s->mapped_bytes = 100000000;
    s->peak_unmapped_bytes = 200000000;
    s->held_weight_bytes = 100000000;
    s->kv_bytes = 8000000;
    s->scratch_bytes = 4000000;
    s->load_peak_bytes = 110000000;
    s->prefill_peak_bytes = 120000000;
    s->generate_peak_bytes = 130000000;
    s->decode_peak_bytes = 200000000;
    s->rss_after_bytes = 125000000;
    s->predicted_weight_bytes = 90000000;
    s->predicted_kv_bytes = 8000000;
    s->predicted_scratch_bytes = 5000000;
    s->predicted_codec_bytes = 77000000;
    s->predicted_total_bytes = 180000000;
    s->energy_uj = 50000000;
    s->energy_idle_uj = 20000000;
    s->cycles = 8000000000;
    s->instructions = 12000000000;
    s->context_switches = 42;
    s->clock_khz = 2500000;
    s->steal_ns = 3000000;
    s->sample_rate_hz = 48000;
    s->channels = 2;
    s->bits = 32;
    s->peak = 0.9;
    s->rms = 0.1;
    s->zero_crossings = 0.08;
    s->flatness = 0.2;
    snprintf(s->codec, sizeof s->codec, "pcm_f32le");
    snprintf(s->energy_source, sizeof s->energy_source, "RAPL: package-0");
    snprintf(s->counter_note, sizeof s->counter_note, "cache_misses: no such counter on this machine");
    snprintf(s->places, sizeof s->places, arm == PLANTED_BROKEN ? "backbone=cpu, codec=disk" : "backbone=cpu, codec=cpu");
    snprintf(s->health, sizeof s->health, arm == PLANTED_BROKEN && round == 3 ? "bad" : "ok");
    snprintf(s->health_reasons, sizeof s->health_reasons, arm == PLANTED_BROKEN && round == 3 ? "silence 100 %%" : "");
    snprintf(s->codes_hash, sizeof s->codes_hash, arm < PLANTED_INT8 ? "c0de" : "c0de%d", arm);
    snprintf(s->audio_hash, sizeof s->audio_hash, arm < PLANTED_INT8 ? "wave" : "wave%d", arm);
    s->spans[0] = (hm_span_total){"generate/frame", 125, wall / 2, 1000000};
    s->spans[1] = (hm_span_total){"generate/frame/backbone", 125, wall / 4, wall / 4};
    s->span_count = 2;
    for (int i = 0; i < 5; i++)
        s->frame_times[i] = (hm_frame_time){25 * i, 25, wall / 10 + i * 1000000};
    s->frame_time_count = 5;
    s->output = (hm_output_comparison){.compared = true,
                                       .codes_equal = arm < PLANTED_INT8,
                                       .first_frame = arm < PLANTED_INT8 ? HM_UNKNOWN : 7,
                                       .differing_codes = arm < PLANTED_INT8 ? 0 : 9,
                                       .max_logit_difference = 0.5};
}

static inline void plant_runs(hm_store *store)
{
    static hm_sample samples[2];
    hm_error err = {0};
    for (int round = 0; round < PLANTED_ROUNDS; round++)
        for (int arm = 0; arm < PLANTED_ARMS; arm++) {
            bool cold = !round && arm == PLANTED_BEST;
            planted_sample(&samples[0], arm, round);
            planted_sample(&samples[1], arm, round);
            samples[0].warmup = cold; /* the first call of a process that began coldly is not timed */
            samples[0].cold = cold ? 1 : HM_UNKNOWN;
            samples[0].load_ns = cold ? 400000000 : 40000000;
            hm_run_record run = {.session_id = PLANTED_SESSION,
                                 .arm_id = planted_arm(arm),
                                 .case_id = "c1",
                                 .model_id = "w1",
                                 .round = round,
                                 .slot = arm,
                                 .status = HM_RUN_OK,
                                 .started_utc = "2000-01-01T00:00:00Z",
                                 .duration_ns = 5,
                                 .warmup = "first",
                                 .isa = "avx2",
                                 .threads = 2,
                                 .samples = samples,
                                 .sample_count = 1 + cold};
            hm_uuid_text(run.id);
            GOOD(hm_store_put_run(store, &run, &err));
        }
}

static inline void plant_session(const char *path)
{
    static const char *const names[] = {"naive", "best", "int8", PLANTED_HOSTILE};
    static const char sql[] =
        "INSERT INTO fidelity(session_id, arm_id, case_id, snr_db, spectral_snr_db, log_spectral_db, seam_db, top1, mean_kl, "
        "max_logit_difference) SELECT '" PLANTED_SESSION "', id, 'c1', CASE position WHEN 1 THEN 9e999 ELSE 21.5 END, CASE position WHEN 1 "
        "THEN 9e999 ELSE 23.5 END, 1.25, 0.5, 0.97, CASE position WHEN 1 THEN 0 ELSE 0.0031 END, 0.125 FROM arm WHERE position > 0;"
        "INSERT INTO fidelity_codebook SELECT '" PLANTED_SESSION "', id, 'c1', 3, 125, 0.96, 0.0042, 0.25, 0.01 FROM arm WHERE position = 2;"
        "INSERT INTO verdict SELECT 'v1', '" PLANTED_SESSION "', 'c1', a.id, b.id, 'wall', 8, 1.031, 1.021, 1.042, 0.02, 0.015, 'fail', "
        "'slower than the margin' FROM arm a, arm b WHERE a.position = 0 AND b.position = 2;"
        "INSERT INTO calibration SELECT '" PLANTED_SESSION "', 'c1', id, 8, 0.0125, -0.22314355131420976, 0.44 FROM arm WHERE position = 0;"
        "INSERT INTO machine_figure VALUES('m1', '" PLANTED_SESSION
        "', '2000-01-01T00:00:00Z', 'memory', 'bytes', 'avx2', 2, 20, 536870912, ''),"
        "('m1', '" PLANTED_SESSION "', '2000-01-01T00:00:00Z', 'cache', 'bytes', 'avx2', 2, 80, 8388608, ''),"
        "('m1', '" PLANTED_SESSION "', '2000-01-01T00:00:00Z', 'flops', 'f32', 'avx2', 2, 160, NULL, '');";
    hm_session_record session = {.id = PLANTED_SESSION,
                                 .machine_id = "m1",
                                 .build_id = "b1",
                                 .command_line = "hmbench suite short -V 'a & <b>'",
                                 .options = "{}",
                                 .order_seed = 12345,
                                 .rounds = PLANTED_ROUNDS};
    hm_arm_record arms[PLANTED_ARMS];
    hm_store *store = NULL;
    hm_error err = {0};
    unlink(path);
    GOOD(hm_store_open(&store, path, HM_STORE_CREATE, &err));
    put_store_facts(store, "[Verse]\nPaper boats, along the gutter\n", 1);
    for (int i = 0; i < PLANTED_ARMS; i++) {
        arms[i] = (hm_arm_record){.position = i,
                                  .name = names[i],
                                  .variant = names[i],
                                  .toggles = i ? "kv=prealloc" : "kv=concat",
                                  .backend = "cpu",
                                  .model = "/m"};
        snprintf(arms[i].id, sizeof arms[i].id, "%s", planted_arm(i));
    }
    GOOD(hm_store_put_session(store, &session, arms, PLANTED_ARMS, &err));
    GOOD(hm_store_put_tag(store, PLANTED_SESSION, "branch", "main", &err));
    plant_runs(store);
    GOOD(hm_store_exec(store, sql, &err));
    GOOD(hm_store_end_session(store, PLANTED_SESSION, "done", &err));
    hm_store_close(&store);
}

#endif
