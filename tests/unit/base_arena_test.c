/* The arena: aligned pieces that do not overlap, an end that is not passed, and marks that give back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/arena.h"

static hm_arena open_arena(size_t size, int prefault)
{
    hm_arena arena = {0};
    hm_error err = {0};
    assert_int_equal(hm_arena_open(&arena, size, prefault, &err), HM_OK);
    assert_true(arena.size >= size);
    assert_int_equal(arena.used, 0);
    return arena;
}

static void pieces_are_aligned_in_order_and_apart(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 63, 64, 65, 4096, 0, 7, 100000};
    hm_arena arena = open_arena(1 << 20, 1);
    uint8_t *end = arena.base;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint8_t *p = hm_arena_take(&arena, sizes[i]);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % HM_ARENA_ALIGN, 0);
        assert_true(p >= end);
        memset(p, (int)i + 1, sizes[i]);
        end = p + sizes[i];
    }
    assert_true(arena.used >= (size_t)(end - arena.base) && arena.used <= arena.size);
    hm_arena_close(&arena);
    assert_null(arena.base);
    hm_arena_close(&arena); /* a closed one may be closed again */
}

static void a_full_arena_gives_nothing_and_stays_as_it_is(void **state)
{
    (void)state;
    hm_arena arena = open_arena(1000, 0);
    assert_null(hm_arena_take(&arena, arena.size + 1));
    assert_null(hm_arena_take(&arena, SIZE_MAX)); /* rounding up would wrap to 0 */
    assert_null(hm_arena_take(&arena, SIZE_MAX - 62));
    assert_null(hm_arena_take(&arena, SIZE_MAX - 127)); /* a multiple of the alignment, near the top */
    assert_int_equal(arena.used, 0);
    uint8_t *p = hm_arena_take(&arena, arena.size);
    assert_ptr_equal(p, arena.base);
    p[arena.size - 1] = 1;
    assert_null(hm_arena_take(&arena, 1));
    assert_int_equal(arena.used, arena.size);
    hm_arena_close(&arena);
}

static void what_a_mark_gives_back_is_taken_again(void **state)
{
    (void)state;
    hm_arena arena = open_arena(10000, 0);
    hm_arena_take(&arena, 100);
    size_t mark = hm_arena_mark(&arena);
    void *first = hm_arena_take(&arena, 5000);
    size_t most = arena.used;
    hm_arena_release(&arena, mark);
    assert_int_equal(arena.used, 128);
    assert_ptr_equal(hm_arena_take(&arena, 64), first);
    assert_int_equal(arena.peak, most); /* the peak remembers */
    hm_arena_close(&arena);
}

static void new_memory_is_zero_when_prefaulted(void **state)
{
    (void)state;
    hm_arena arena = open_arena(100000, 1);
    const uint8_t *p = hm_arena_take(&arena, 100000);
    for (size_t i = 0; i < 100000; i++)
        assert_int_equal(p[i], 0);
    hm_arena_close(&arena);
}

static void sizes_beyond_memory_are_refused_with_their_size(void **state)
{
    (void)state;
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 100, SIZE_MAX / 2, (size_t)1 << 60};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        hm_arena arena = {0};
        hm_error err = {0};
        assert_int_equal(hm_arena_open(&arena, sizes[i], 0, &err), HM_EABSENT);
        assert_non_null(strstr(err.text, "scratch memory"));
        assert_null(strstr(err.text, " 0 MiB")); /* what was asked for, not what it wrapped to */
        assert_null(arena.base);
    }
}

static void an_empty_arena_opens_and_holds_nothing_much(void **state)
{
    (void)state;
    hm_arena arena = open_arena(0, 1);
    assert_non_null(hm_arena_take(&arena, 0));
    assert_null(hm_arena_take(&arena, arena.size + 1));
    hm_arena_close(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_aligned_in_order_and_apart),           cmocka_unit_test(a_full_arena_gives_nothing_and_stays_as_it_is),
        cmocka_unit_test(what_a_mark_gives_back_is_taken_again),           cmocka_unit_test(new_memory_is_zero_when_prefaulted),
        cmocka_unit_test(sizes_beyond_memory_are_refused_with_their_size), cmocka_unit_test(an_empty_arena_opens_and_holds_nothing_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
