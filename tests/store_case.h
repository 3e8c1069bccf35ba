/* A machine, a build, a case and a model: the records that a session in a store needs. */
#ifndef HM_TESTS_STORE_CASE_H
#define HM_TESTS_STORE_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "harness/store.h"

#define GOOD(call)                    \
    do {                              \
        if (call)                     \
            fail_msg("%s", err.text); \
    } while (0)

static const hm_machine_record store_machine = {.id = "m1",
                                                .host_id = "h",
                                                .cpu_model = "A CPU",
                                                .isa = "avx2",
                                                .kernel = "6",
                                                .os = "A System",
                                                .cpus = 2,
                                                .cpus_online = 2,
                                                .smt = -1,
                                                .cpu_quota = NAN,
                                                .memory_bytes = 8000000000,
                                                .memory_limit_bytes = HM_UNKNOWN};

/* lyrics and seed: the case's. */
static inline void put_store_facts(hm_store *store, const char *lyrics, uint64_t seed)
{
    hm_error err = {0};
    hm_build_record build = {
        .id = "b1", .version = "0.1.0", .compiler = "gcc", .flags = "-O2", .build_type = "Release", .binary_hash = "x"};
    hm_case_record c = {.id = "c1",
                        .request_hash = "q1",
                        .suite_hash = "s1",
                        .suite = "short",
                        .name = "plain",
                        .task = "music",
                        .tags = "pop",
                        .lyrics = lyrics,
                        .frames = 125,
                        .topk = 50,
                        .cfg_scale = 1.5,
                        .temperature = 1,
                        .flow_guidance = 1.25,
                        .seed = seed};
    hm_model_record model = {
        .id = "w1", .kind = "heartmula", .name = "mini", .path = "/m", .synthetic = true, .codebooks = 8, .frame_s = 0.08};
    GOOD(hm_store_put_machine(store, &store_machine, &err));
    GOOD(hm_store_put_build(store, &build, &err));
    GOOD(hm_store_put_case(store, &c, &err));
    GOOD(hm_store_put_model(store, &model, &err));
}

#endif
