/* From the first frame to the end of decoding the fast variant takes no memory: counted by the engine, and by this program, whose allocator
 * stands before the C library's. */
#define _GNU_SOURCE
#include "tests/speech_case.h"

#include <stdatomic.h>

static atomic_bool timed;
static atomic_int found;

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define STANDS_BEFORE 1
#pragma GCC visibility push(default) /* shared libraries and modules call these too */
void *memalign(size_t align, size_t size);
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t align, size_t size);

static void note(void)
{
    if (atomic_load_explicit(&timed, memory_order_relaxed))
        atomic_fetch_add(&found, 1);
}

void *malloc(size_t size)
{
    note();
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    note();
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    note();
    return __libc_realloc(old, size);
}

void *memalign(size_t align, size_t size)
{
    note();
    return __libc_memalign(align, size);
}

void *aligned_alloc(size_t align, size_t size)
{
    note();
    return __libc_memalign(align, size);
}

int posix_memalign(void **out, size_t align, size_t size)
{
    note();
    *out = __libc_memalign(align, size);
    return *out ? 0 : 12;
}
#pragma GCC visibility pop
#else
#define STANDS_BEFORE 0
#endif

static char songs[] = "/tmp/hmbench-allocations-XXXXXX";

/* Phases follow each other: generate, then decode. */
static void begin(void *self, hm_span_kind kind, const char *name, int64_t index)
{
    (void)self;
    (void)index;
    if (kind == HM_SPAN_PHASE && !strcmp(name, "generate"))
        atomic_store(&timed, true);
}

static void end(void *self, hm_span_kind kind, const char *name)
{
    (void)self;
    if (kind == HM_SPAN_PHASE && !strcmp(name, "decode"))
        atomic_store(&timed, false);
}

static const hm_probe probe = {.wanted = HM_SPAN_PHASE, .begin = begin, .end = end};

/* What the engine counted, and what was found; the first call of the engine is as good as later ones. */
static void expect_none(const char *what, hm_engine *e, const hm_request *request)
{
    for (int call = 0; call < 2; call++) {
        atomic_store(&found, 0);
        hm_result r = case_generate(case_runtime(), e, request);
        assert_false(atomic_load(&timed));
        assert_true(r.samples > 0 && r.frames > 0);
        if (r.counters.timed_allocations || atomic_load(&found))
            fail_msg("%s, call %d: the engine counted %d allocations, there were %d", what, call, (int)r.counters.timed_allocations,
                     atomic_load(&found));
        case_drop(&r);
    }
}

static hm_request song_request(void)
{
    return (hm_request){.music = {.tags = "pop", .lyrics = "la la la", .cfg_scale = 1.5, .flow_guidance = 1.25, .flow_steps = 2},
                        .max_frames = 20,
                        .force_length = true,
                        .topk = 50,
                        .temperature = 1,
                        .seed = 3};
}

static void a_song_is_drawn_and_decoded_in_memory_that_is_there(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 2; threads++) {
        hm_engine_options options = {
            .source.dir = songs, .threads = threads, .toggles = &case_best, .need_lm = true, .need_codec = true, .probe = &probe};
        hm_engine *e = case_open(case_runtime(), &options);
        hm_request r = song_request();
        expect_none("song", e, &r);
        r.max_frames = 200;
        r.music.cfg_scale = 1;
        expect_none("longer song", e, &r);
        case_close(e);
    }
}

static void speech_is_drawn_and_decoded_in_memory_that_is_there(void **state)
{
    (void)state;
    hm_request r = case_spoken;
    r.skip_codec = false;
    hm_engine *e = case_open_model(case_custom, &case_best, &probe);
    expect_none("speech", e, &r);
    r.max_frames = 40;
    expect_none("longer speech", e, &r);
    case_close(e);
    r = case_cloned("One two.");
    r.skip_codec = false;
    e = case_open_model(case_base, &case_best, &probe);
    expect_none("cloned voice", e, &r);
    case_close(e);
}

/* The count must be able to tell: caches that grow by concatenation take memory in every frame. */
static void growing_caches_are_counted(void **state)
{
    (void)state;
    hm_toggles growing = case_best;
    growing.kv = HM_KV_CONCAT;
    case_withdraw(&growing);
    hm_engine *e = case_open_model(case_custom, &growing, &probe);
    hm_request r = case_spoken;
    r.skip_codec = false;
    atomic_store(&found, 0);
    hm_result result = case_speak(e, &r);
    assert_true(result.counters.timed_allocations > 0);
    assert_true(!STANDS_BEFORE || (uint64_t)atomic_load(&found) >= result.counters.timed_allocations);
    case_drop(&result);
    case_close(e);
}

static int make_models(void **state)
{
    case_model(songs, "heartmula-tiny");
    return case_make_models(state);
}

static int remove_models(void **state)
{
    case_remove(songs);
    return case_remove_models(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_song_is_drawn_and_decoded_in_memory_that_is_there),
        cmocka_unit_test(speech_is_drawn_and_decoded_in_memory_that_is_there),
        cmocka_unit_test(growing_caches_are_counted),
    };
    return cmocka_run_group_tests(tests, make_models, remove_models);
}
