/* Where parts ran: what operations note, what is told of it, and what is found wrong with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "harness/places.h"

static const char *text_of(const hm_places *p)
{
    static char text[256];
    return hm_places_text(text, sizeof text, p->items, p->count);
}

static void operations_note_their_device_under_the_innermost_part(void **state)
{
    hm_places p = {0};
    (void)state;
    hm_places_note(&p, "cpu:avx2");
    hm_places_begin(&p, "backbone", 0);
    hm_places_note(&p, "cpu:avx2");
    hm_places_begin(&p, "sampling", 0);
    hm_places_note(&p, "cpu:avx2");
    hm_places_end(&p, 0);
    hm_places_note(&p, "cpu:avx2");
    hm_places_end(&p, 0);
    hm_places_begin(&p, "flow", 0); /* nothing runs in it */
    hm_places_end(&p, 0);
    assert_string_equal(text_of(&p), "other=cpu:avx2,backbone=cpu:avx2,sampling=cpu:avx2");
    assert_true(p.items[0].operations == 1 && p.items[1].operations == 2 && p.items[2].operations == 1);
    hm_places_begin(&p, "backbone", 0);
    hm_places_note(&p, "cuda:0");
    hm_places_end(&p, 0);
    assert_true(p.items[1].operations == 3 && p.items[1].elsewhere == 1);
    assert_string_equal(text_of(&p), "other=cpu:avx2,backbone=cpu:avx2+,sampling=cpu:avx2");
    hm_places_note(NULL, "cpu:avx2"); /* nobody asks */
}

static void another_threads_notes_are_added(void **state)
{
    hm_places a = {0}, b = {0};
    (void)state;
    hm_places_begin(&a, "vocoder", 0);
    hm_places_note(&a, "cpu:avx2");
    hm_places_begin(&b, "vocoder", 0);
    hm_places_note(&b, "cpu:scalar");
    hm_places_note(&b, "cpu:scalar");
    hm_places_begin(&b, "flow", 0);
    hm_places_note(&b, "cpu:scalar");
    hm_places_add(&a, &b);
    assert_string_equal(text_of(&a), "vocoder=cpu:avx2+,flow=cpu:scalar");
    assert_true(a.items[0].operations == 3 && a.items[0].elsewhere == 2);
}

static void many_parts_and_deep_ones_stay_within_the_table(void **state)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r"};
    hm_places p = {0};
    char few[20];
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        hm_places_begin(&p, names[i], 0);
        hm_places_note(&p, "cpu:avx2");
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        hm_places_end(&p, 0);
    assert_int_equal(p.depth, 0);
    hm_places_end(&p, 0);
    hm_places_note(&p, "cpu:avx2");
    assert_true(p.count <= HM_PLACE_PARTS);
    hm_places_text(few, sizeof few, p.items, p.count);
    assert_string_equal(few, "a=cpu:avx2"); /* whole entries only */
}

static void expect(const char *places, const char *backend, const char *text)
{
    char remark[256] = "";
    bool found = hm_places_remark(places, backend, remark, sizeof remark);
    if (found != (text != NULL) || (text && strcmp(remark, text)))
        fail_msg("%s on %s: expected %s, found %s", places, backend ? backend : "-", text ? text : "nothing", found ? remark : "nothing");
}

static void what_is_off_is_told_in_a_sentence(void **state)
{
    (void)state;
    expect("backbone=cpu:avx2,decoder=cpu:avx2", "cpu", NULL);
    expect("backbone=cpu:avx2,decoder=cpu:avx2", NULL, NULL);
    expect("backbone=gpu,decoder=gpu", "command", NULL);
    expect("", "cpu", NULL);
    expect(NULL, "cpu", NULL);
    expect("no places at all", "cpu", NULL);
    expect("backbone=cpu:avx2,decoder=cpu:avx2", "cuda", "asked for cuda, but backbone ran on cpu:avx2");
    expect("backbone=cuda:0,vocoder=cpu:avx2", "cuda", "asked for cuda, but vocoder ran on cpu:avx2");
    expect("backbone=cuda:0,vocoder=cpu:avx2", "command", "backbone ran on cuda:0, vocoder on cpu:avx2");
    expect("backbone=cpu:avx2,decoder=cpu:avx", "cpu", "backbone ran on cpu:avx2, decoder on cpu:avx");
    expect("backbone=cpu:avx2,flow=cpu:avx2+", "cpu", "flow ran on cpu:avx2 and on another device");
    expect("backbone=cpux", "cpu", "asked for cpu, but backbone ran on cpux");
}

static void weights_are_read_within_the_parts_that_read_them(void **state)
{
    (void)state;
    hm_places p, other;
    hm_places_clear(&p);
    hm_places_clear(&other);
    hm_places_begin(&p, "decoder", 100);
    hm_places_note(&p, "cpu:avx2");
    hm_places_begin(&p, "sampling", 130);
    hm_places_end(&p, 135);
    hm_places_end(&p, 150);
    hm_places_begin(&p, "decoder", 150);
    hm_places_end(&p, 200);
    assert_string_equal(hm_places_row(&p, "decoder")->part, "decoder");
    assert_true(hm_places_row(&p, "decoder")->weight_bytes == 100 && hm_places_row(&p, "sampling")->weight_bytes == 5);
    hm_places_begin(&other, "decoder", 7);
    hm_places_note(&other, "cpu:avx2");
    hm_places_end(&other, 10);
    hm_places_add(&p, &other);
    assert_true(hm_places_row(&p, "decoder")->weight_bytes == 103);
    for (int i = 0; i < HM_PLACE_DEPTH + 3; i++) /* deeper than there is room for */
        hm_places_begin(&p, "deep", 0);
    for (int i = 0; i < HM_PLACE_DEPTH + 3; i++)
        hm_places_end(&p, 1);
    assert_int_equal(hm_places_row(&p, "deep")->weight_bytes, HM_PLACE_DEPTH);
    hm_places_end(&p, 9); /* one too many */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_are_read_within_the_parts_that_read_them),
        cmocka_unit_test(operations_note_their_device_under_the_innermost_part),
        cmocka_unit_test(another_threads_notes_are_added),
        cmocka_unit_test(many_parts_and_deep_ones_stay_within_the_table),
        cmocka_unit_test(what_is_off_is_told_in_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
