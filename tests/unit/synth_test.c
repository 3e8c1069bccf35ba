/* hmsynth v1 against values that its Python definition gave (tests/goldens/synth). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/json.h"
#include "engine/synth.h"

static json_t *goldens;
static hm_team *team;

static int open_goldens(void **state)
{
    hm_error err;
    (void)state;
    if (hm_json_load(&goldens, HM_TEST_DATA "/goldens/synth/synth_v1.json", &err) || hm_team_open(&team, 2, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return -1;
    }
    return 0;
}

static int close_goldens(void **state)
{
    (void)state;
    json_decref(goldens);
    hm_team_close(&team);
    return 0;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    assert_non_null(s);
    return s;
}

static float number_of(const json_t *object, const char *key)
{
    return (float)json_number_value(json_object_get(object, key));
}

static void check_case(const json_t *row)
{
    const char *name = text_of(row, "name"), *bits = text_of(row, "bits");
    int type = hm_dtype_parse(text_of(row, "dtype"));
    uint64_t seed = strtoull(text_of(row, "seed"), NULL, 10), first = strtoull(text_of(row, "first"), NULL, 10);
    size_t count = (size_t)json_integer_value(json_object_get(row, "count")), size = hm_dtype_bytes((hm_dtype)type);
    uint8_t *out = malloc((count + 1) * size);
    assert_non_null(out);
    memset(out, 0xA5, (count + 1) * size);
    hm_synth_fill(out, (hm_dtype)type, name, seed, first, count, number_of(row, "offset"), number_of(row, "scale"), NULL);
    for (size_t i = 0; i < count; i++) {
        char *end;
        uint32_t want = (uint32_t)strtoul(bits, &end, 16), found = 0;
        memcpy(&found, out + i * size, size);
        if (want != found)
            fail_msg("%s %s element %zu: expected %08x, found %08x", name, hm_dtype_name((hm_dtype)type), i, want, found);
        bits = end;
    }
    assert_true(*bits == 0);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(out[count * size + i], 0xA5);
    free(out);
}

static void values_equal_the_definition_bit_for_bit(void **state)
{
    size_t i;
    json_t *row;
    (void)state;
    assert_true(json_array_size(json_object_get(goldens, "cases")) >= 18);
    json_array_foreach(json_object_get(goldens, "cases"), i, row) check_case(row);
}

static void default_rules_equal_the_definition(void **state)
{
    size_t i;
    json_t *row;
    (void)state;
    assert_true(json_array_size(json_object_get(goldens, "rules")) >= 10);
    json_array_foreach(json_object_get(goldens, "rules"), i, row)
    {
        const json_t *shape = json_object_get(row, "shape");
        int64_t dims[8] = {0};
        float offset, scale;
        for (size_t k = 0; k < json_array_size(shape); k++)
            dims[k] = json_integer_value(json_array_get(shape, k));
        hm_synth_rule(text_of(row, "name"), (int)json_array_size(shape), dims, &offset, &scale);
        assert_true(offset == number_of(row, "offset") && scale == number_of(row, "scale"));
    }
}

/* Any way of cutting a tensor, on any number of threads, gives the same bytes: odd starts, blocks, vector tails. */
static void pieces_and_threads_give_the_same_bytes(void **state)
{
    enum {
        COUNT = 200003
    };
    static const hm_dtype types[] = {HM_F32, HM_BF16, HM_F16};
    (void)state;
    for (int t = 0; t < 3; t++) {
        size_t size = hm_dtype_bytes(types[t]);
        uint8_t *whole = malloc(COUNT * size), *parts = calloc(COUNT, size);
        assert_true(whole && parts);
        hm_synth_fill(whole, types[t], "a.weight", 9, 0, COUNT, 0.5f, 0.3f, team);
        for (size_t at = 0, n = 1; at < COUNT; at += n, n = n * 3 + 1) {
            if (n > COUNT - at)
                n = COUNT - at;
            hm_synth_fill(parts + at * size, types[t], "a.weight", 9, at, n, 0.5f, 0.3f, NULL);
        }
        assert_memory_equal(whole, parts, COUNT * size);
        free(whole);
        free(parts);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_equal_the_definition_bit_for_bit),
        cmocka_unit_test(default_rules_equal_the_definition),
        cmocka_unit_test(pieces_and_threads_give_the_same_bytes),
    };
    return cmocka_run_group_tests(tests, open_goldens, close_goldens);
}
