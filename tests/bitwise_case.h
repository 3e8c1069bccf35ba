/* What toggles promise of any family of models, held against its results: `bitwise` the same codes, logits and samples, to the last bit;
 * `rounding` the same codes and logits close by. And what nothing may change: threads, another run, another instruction set. */
#ifndef _GNU_SOURCE
#error "define _GNU_SOURCE before the first include: nftw"
#endif
#ifndef HM_TESTS_BITWISE_CASE_H
#define HM_TESTS_BITWISE_CASE_H

#include "engine/base/isa.h"
#include "tests/result_case.h"

/* A family of models, one of its models, and the request that its results are of. */
typedef struct case_family {
    const char *folder;
    unsigned models; /* HM_MODEL_... */
    int codebooks;
    hm_request request;  /* of a forced length: the codes are compared to the end */
    const char *backend; /* NULL: the CPU */
} case_family;

typedef struct case_setting {
    int threads;
    const char *isa;
} case_setting;

static inline hm_result case_run_on(const case_family *f, const hm_toggles *toggles, const hm_request *request, case_setting on)
{
    const hm_engine_api *api = case_runtime();
    hm_engine *e = case_open(api, &(hm_engine_options){.source.dir = f->folder,
                                                       .backend = f->backend,
                                                       .threads = on.threads,
                                                       .isa = on.isa,
                                                       .toggles = toggles,
                                                       .need_lm = true,
                                                       .need_codec = !request->skip_codec});
    hm_result r = case_generate(api, e, request);
    assert_int_equal(r.frames, request->max_frames);
    assert_int_equal(r.codebooks, f->codebooks);
    api->close(&e);
    return r;
}

static inline hm_result case_run(const case_family *f, const hm_toggles *toggles, const hm_request *request)
{
    return case_run_on(f, toggles, request, (case_setting){.threads = 1});
}

static inline void case_free(hm_result *result)
{
    case_runtime()->result_free(result);
}

/* --- toggles --- */

static inline bool case_concerns(const case_family *f, const hm_toggle_info *toggle, int kind)
{
    unsigned backend = !f->backend ? HM_BACKEND_CPU : strcmp(f->backend, "cuda") ? HM_BACKEND_ZE : HM_BACKEND_CUDA;
    return (int)toggle->kind == kind && toggle->models & f->models && toggle->backends & backend;
}

/* Every bitwise toggle alone gives the bytes of naive. How many values were checked. */
static inline int case_check_bitwise(const case_family *f)
{
    int count, checked = 0;
    const hm_toggle_info *list = hm_toggle_list(&count);
    hm_result naive = case_run(f, &case_naive, &f->request);
    for (int i = 0; i < count; i++)
        for (int value = 1; case_concerns(f, &list[i], HM_KIND_BITWISE) && value < hm_toggle_values(&list[i]); value++, checked++) {
            hm_toggles with = case_only(&list[i], value);
            assert_int_equal(hm_toggles_distance(&case_naive, &with), HM_KIND_BITWISE);
            hm_result r = case_run(f, &with, &f->request);
            case_expect_same(&naive, &r, case_value_text(&list[i], value));
            case_free(&r);
        }
    case_free(&naive);
    return checked;
}

/* Best without any bitwise toggle gives the same bytes. How many toggles were checked. */
static inline int case_check_without(const case_family *f)
{
    int count, checked = 0;
    const hm_toggle_info *list = hm_toggle_list(&count);
    for (int i = 0; i < count; i++) {
        hm_toggles with, without;
        if (!case_concerns(f, &list[i], HM_KIND_BITWISE) || !hm_toggle_get(&case_best, &list[i]))
            continue;
        case_take_away(&list[i], &with, &without);
        assert_int_equal(hm_toggles_distance(&with, &without), HM_KIND_BITWISE);
        hm_result a = case_run(f, &with, &f->request), b = case_run(f, &without, &f->request);
        case_expect_same(&a, &b, list[i].name);
        case_free(&a);
        case_free(&b);
        checked++;
    }
    return checked;
}

/* Best, and every rounding toggle alone, keep the codes of naive and move logits little. How many values were checked. */
static inline int case_check_rounding(const case_family *f, const hm_request *request)
{
    int count, checked = 0;
    const hm_toggle_info *list = hm_toggle_list(&count);
    hm_result naive = case_run(f, &case_naive, request), best = case_run(f, &case_best, request);
    case_expect_close(&naive, &best, "best");
    for (int i = 0; i < count; i++)
        for (int value = 1; case_concerns(f, &list[i], HM_KIND_ROUNDING) && value < hm_toggle_values(&list[i]); value++, checked++) {
            hm_toggles with = case_only(&list[i], value);
            hm_result r = case_run(f, &with, request);
            case_expect_close(&naive, &r, case_value_text(&list[i], value));
            case_free(&r);
        }
    case_free(&naive);
    case_free(&best);
    return checked;
}

/* --- stored codes --- */

/* Codes of one's own fed back change nothing; fed to `other`, a request that draws other codes, they go on and its draws are kept. */
static inline void case_check_stored_with(const case_family *f, hm_toggles toggles, hm_request other)
{
    hm_request request = f->request;
    int n = request.max_frames * f->codebooks;
    hm_result own = case_run(f, &toggles, &request), fed;
    request.stored_codes = own.codes;
    fed = case_run(f, &toggles, &request);
    case_expect_same(&own, &fed, "its own codes fed back");
    case_free(&fed);

    hm_result free_run = case_run(f, &toggles, &other);
    other.stored_codes = own.codes;
    fed = case_run(f, &toggles, &other);
    assert_int_equal(case_first_difference(fed.logits, own.logits, n), -1); /* the same history: the stored one */
    assert_int_equal(fed.codes[0], free_run.codes[0]);                      /* drawn before anything was fed */
    assert_true(case_first_difference(fed.codes, own.codes, n) >= 0);       /* draws are kept, not what was fed */
    assert_true(case_first_difference(fed.codes, free_run.codes, n) >= 0);
    if (!other.skip_codec) /* what was fed is what is heard */
        assert_int_equal(case_first_difference(fed.audio, own.audio, own.samples * own.channels), -1);
    case_free(&own);
    case_free(&fed);
    case_free(&free_run);
}

static inline void case_check_stored(const case_family *f, hm_request other)
{
    case_check_stored_with(f, case_naive, other);
    case_check_stored_with(f, case_best, other);
    case_check_stored_with(f, (hm_toggles){.sampling = HM_SAMPLING_FUSED}, other);
    case_check_stored_with(f, (hm_toggles){.sampling = HM_SAMPLING_FUSED, .token_forward = HM_TOKEN_DEVICE, .codes = HM_CODES_FRAME},
                           other);
}

/* --- what may not change anything --- */

static inline void case_check_threads(const case_family *f, const hm_toggles *toggles)
{
    hm_result one = case_run(f, toggles, &f->request);
    for (int threads = 2; threads <= 3; threads++) {
        hm_result r = case_run_on(f, toggles, &f->request, (case_setting){.threads = threads});
        case_expect_same(&one, &r, "on threads");
        assert_memory_equal(&one.counters, &r.counters, sizeof one.counters);
        case_free(&r);
    }
    case_free(&one);
}

/* The request, a longer one of another seed, and the request again, of one engine. */
static inline void case_check_again(const case_family *f, const hm_toggles *toggles)
{
    const hm_engine_api *api = case_runtime();
    hm_request longer = f->request;
    hm_engine *e = case_open(api, &(hm_engine_options){.source.dir = f->folder, .toggles = toggles, .need_lm = true, .need_codec = true});
    hm_result first = case_generate(api, e, &f->request);
    longer.max_frames += 3;
    longer.seed = 99;
    hm_result between = case_generate(api, e, &longer), second = case_generate(api, e, &f->request);
    case_expect_same(&first, &second, "a second time");
    assert_true(second.counters.timed_allocations <= first.counters.timed_allocations); /* scratch that has grown stays */
    first.counters.timed_allocations = second.counters.timed_allocations;
    assert_memory_equal(&first.counters, &second.counters, sizeof first.counters);
    assert_true(case_first_difference(first.codes, between.codes, first.frames * f->codebooks) >= 0); /* a seed is a seed */
    case_free(&first);
    case_free(&between);
    case_free(&second);
    api->close(&e);
}

/* Every instruction set of the machine draws the codes of the scalar one. */
static inline void case_check_isa(const case_family *f, const hm_toggles *toggles, const hm_request *greedy)
{
    hm_result scalar = case_run_on(f, toggles, greedy, (case_setting){1, "scalar"});
    for (hm_isa isa = hm_isa_next(HM_ISA_SCALAR); isa < HM_ISA_COUNT; isa = hm_isa_next(isa)) {
        hm_result r = case_run_on(f, toggles, greedy, (case_setting){1, hm_isa_name(isa)});
        case_expect_close(&scalar, &r, hm_isa_name(isa));
        case_free(&r);
    }
    case_free(&scalar);
}

#endif
