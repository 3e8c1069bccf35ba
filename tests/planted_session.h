/* Sessions with chosen times in a database, without running anything: for tests of what judges them. */
#ifndef HM_TESTS_PLANTED_SESSION_H
#define HM_TESTS_PLANTED_SESSION_H

#include <string.h>

#include "tests/store_case.h"

enum {
    PLANTED_ARMS = 4
};

typedef struct planted {
    hm_store *store;
    hm_session_record session;
    hm_arm_record arms[PLANTED_ARMS];
} planted;

/* What may be other than usual in a run. */
typedef struct planted_run {
    int arm, round;
    double wall_ms;
    const char *case_id, *model_id, *health, *codes_hash, *warmup; /* NULL: c1, w1, ok, c0de, full */
    hm_run_status status;
    int threads;                 /* 0: 2 */
    int64_t memory_bytes;        /* 0: 1e8 */
    int64_t launches;            /* 0: 42 */
    bool software;               /* on a software device */
    const char *device, *driver; /* NULL: a CPU, without a driver */
} planted_run;

/* arms: toggles[i] as `variant`'s text; names default to the variants. */
static inline void plant_session(planted *p, const char *machine_id, const char *build_id, const char *kind, const char *const *variants,
                                 int arm_count)
{
    hm_error err = {0};
    p->session = (hm_session_record){.command_line = "hmbench suite short", .options = "{}", .order_seed = 7, .rounds = 1, .kind = kind};
    snprintf(p->session.machine_id, sizeof p->session.machine_id, "%s", machine_id);
    snprintf(p->session.build_id, sizeof p->session.build_id, "%s", build_id);
    hm_uuid_text(p->session.id);
    for (int i = 0; i < arm_count; i++) {
        p->arms[i] = (hm_arm_record){.position = i,
                                     .name = variants[i],
                                     .variant = variants[i],
                                     .toggles = strcmp(variants[i], "steps5") ? "kv=concat,flow_steps=10" : "kv=concat,flow_steps=5",
                                     .backend = "cpu",
                                     .model = "/m"};
        hm_uuid_text(p->arms[i].id);
    }
    GOOD(hm_store_put_session(p->store, &p->session, p->arms, arm_count, &err));
    GOOD(hm_store_end_session(p->store, p->session.id, "done", &err));
}

static inline void plant_run(planted *p, planted_run r)
{
    static hm_sample sample;
    hm_error err = {0};
    hm_sample_init(&sample);
    sample.wall_ns = (int64_t)(r.wall_ms * 1e6);
    sample.generate_ns = sample.wall_ns / 2;
    sample.frames = 125;
    sample.codebooks = 8;
    sample.audio_s = 10;
    sample.peak_rss_bytes = sample.peak_unmapped_bytes = r.memory_bytes ? r.memory_bytes : 100000000;
    snprintf(sample.codes_hash, sizeof sample.codes_hash, "%s", r.codes_hash ? r.codes_hash : "c0de");
    snprintf(sample.health, sizeof sample.health, "%s", r.health ? r.health : "ok");
    if (r.health)
        snprintf(sample.health_reasons, sizeof sample.health_reasons, "half of it is silence");
    sample.counts[0] = (hm_named_count){"launches", false, r.launches ? r.launches : 42};
    sample.counts[1] = (hm_named_count){"load_copied_bytes", true, 7};
    sample.counts[2] = (hm_named_count){HM_FRAMES "launches", false, 1250};
    sample.count_count = 3;
    sample.spans[0] = (hm_span_total){"generate/frame", 125, 1000, 900};
    sample.span_count = 1;
    hm_run_record run = {.session_id = p->session.id,
                         .arm_id = p->arms[r.arm].id,
                         .case_id = r.case_id ? r.case_id : "c1",
                         .model_id = r.model_id ? r.model_id : "w1",
                         .round = r.round,
                         .slot = r.arm,
                         .status = r.status,
                         .reason = r.status ? "it fell over" : NULL,
                         .started_utc = "2000-01-01T00:00:00Z",
                         .duration_ns = sample.wall_ns + 5,
                         .warmup = r.warmup ? r.warmup : "full",
                         .isa = "avx2",
                         .threads = r.threads ? r.threads : 2,
                         .memory_available_bytes = 99,
                         .device = r.device     ? r.device
                                   : r.software ? "soft"
                                                : "CPU",
                         .device_driver = r.driver,
                         .software = r.software,
                         .samples = &sample,
                         .sample_count = r.status == HM_RUN_OK};
    hm_uuid_text(run.id);
    GOOD(hm_store_put_run(p->store, &run, &err));
}

/* Rounds of two arms: base_ms and ratio * base_ms, with a repeating wobble of `noise` (a share) that both arms have in other rounds. */
static inline void plant_pairs(planted *p, int rounds, double base_ms, double ratio, double noise)
{
    static const double wobble[] = {0.3, -0.7, 1, -0.2, 0.6, -1, 0.1, -0.4, 0.8, -0.5};
    hm_error err = {0};
    GOOD(hm_store_extend_session(p->store, p->session.id, rounds, &err));
    for (int i = 0; i < rounds; i++) {
        plant_run(p, (planted_run){.arm = 0, .round = i, .wall_ms = base_ms * (1 + noise * wobble[i % 10])});
        plant_run(p, (planted_run){.arm = 1, .round = i, .wall_ms = base_ms * ratio * (1 + noise * wobble[(i + 3) % 10])});
    }
}

#endif
