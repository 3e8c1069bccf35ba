/* Element types: names and sizes, and every half and bfloat16 value through float32 and back. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/dtype.h"

static float of_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

/* The value of sign, exponent and fraction, computed by the definition. */
static double half_value(uint16_t h, int fraction_bits, int bias)
{
    int exponent = (h & 0x7FFF) >> fraction_bits, fraction = h & ((1 << fraction_bits) - 1), top = 0x7FFF >> fraction_bits;
    double v = exponent == top ? fraction ? NAN : INFINITY
               : exponent      ? ldexp((1 << fraction_bits) + fraction, exponent - bias - fraction_bits)
                               : ldexp(fraction, 1 - bias - fraction_bits);
    return h & 0x8000 ? -v : v;
}

static void check_value(float f, double expected, uint16_t back, uint16_t h)
{
    if (isnan(expected)) {
        assert_true(isnan(f));
        assert_true(!!signbit(f) == h >> 15);
        return;
    }
    assert_true((double)f == expected && !signbit(f) == !signbit(expected));
    assert_int_equal(back, h);
}

static void all_65536_values_of_both_types_round_trip(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 65536; i++) {
        uint16_t h = (uint16_t)i;
        float f = hm_f16_to_f32(h), b = hm_bf16_to_f32(h);
        check_value(f, half_value(h, 10, 15), hm_f32_to_f16(f), h);
        check_value(b, half_value(h, 7, 127), hm_f32_to_bf16(b), h);
        if (isnan(f))
            assert_true(isnan(hm_f16_to_f32(hm_f32_to_f16(f))));
        if (isnan(b))
            assert_true(isnan(hm_bf16_to_f32(hm_f32_to_bf16(b))));
    }
}

/* Between neighbours lo and hi = lo + 1 (as bits, positive): just below the middle rounds down, just above up, the middle to even. */
static void check_between(uint16_t lo, float low, float high, uint16_t (*convert)(float))
{
    float middle = low + (high - low) * 0.5f;
    uint16_t hi = (uint16_t)(lo + 1), even = lo & 1 ? hi : lo;
    assert_int_equal(convert(nextafterf(middle, 0)), lo);
    assert_int_equal(convert(middle), even);
    assert_int_equal(convert(nextafterf(middle, INFINITY)), hi);
    assert_int_equal(convert(-nextafterf(middle, 0)), lo | 0x8000);
    assert_int_equal(convert(-middle), even | 0x8000);
    assert_int_equal(convert(-nextafterf(middle, INFINITY)), hi | 0x8000);
}

static uint16_t to_bf16(float f)
{
    return hm_f32_to_bf16(f);
}

static void rounding_is_to_nearest_even_between_all_neighbours(void **state)
{
    (void)state;
    for (uint16_t h = 0; h < 0x7BFF; h++) /* subnormals too */
        check_between(h, hm_f16_to_f32(h), hm_f16_to_f32((uint16_t)(h + 1)), hm_f32_to_f16);
    for (uint16_t b = 0; b < 0x7F7F; b++)
        check_between(b, hm_bf16_to_f32(b), hm_bf16_to_f32((uint16_t)(b + 1)), to_bf16);
}

static void what_is_too_great_becomes_infinity(void **state)
{
    (void)state;
    assert_int_equal(hm_f32_to_f16(65504.0f), 0x7BFF);
    assert_int_equal(hm_f32_to_f16(65519.996f), 0x7BFF);
    assert_int_equal(hm_f32_to_f16(65520.0f), 0x7C00);
    assert_int_equal(hm_f32_to_f16(-65520.0f), 0xFC00);
    assert_int_equal(hm_f32_to_f16(FLT_MAX), 0x7C00);
    assert_int_equal(hm_f32_to_f16(-INFINITY), 0xFC00);
    assert_int_equal(hm_f32_to_bf16(of_bits(0x7F7F7FFF)), 0x7F7F);
    assert_int_equal(hm_f32_to_bf16(of_bits(0x7F7F8000)), 0x7F80); /* halfway above the greatest */
    assert_int_equal(hm_f32_to_bf16(FLT_MAX), 0x7F80);
    assert_int_equal(hm_f32_to_bf16(-FLT_MAX), 0xFF80);
    assert_int_equal(hm_f32_to_bf16(INFINITY), 0x7F80);
}

/* Without infinities: the greatest exponent has numbers, too, but for the last one. */
static double e4m3_value(uint8_t b)
{
    int exponent = b >> 3 & 15, fraction = b & 7;
    double v = (b & 0x7F) == 0x7F ? NAN : exponent ? ldexp(8 + fraction, exponent - 7 - 3) : ldexp(fraction, 1 - 7 - 3);
    return b & 0x80 ? -v : v;
}

static void all_256_values_of_e4m3_round_trip(void **state)
{
    (void)state;
    for (int i = 0; i < 256; i++) {
        uint8_t b = (uint8_t)i;
        float f = hm_e4m3_to_f32(b);
        if ((i & 0x7F) == 0x7F)
            assert_true(isnan(f));
        else
            assert_true((double)f == e4m3_value(b) && !signbit(f) == !(i & 0x80) && hm_f32_to_e4m3(f) == b);
    }
    assert_int_equal(hm_f32_to_e4m3(NAN) & 0x7F, 0x7F);
    assert_int_equal(hm_f32_to_e4m3(-NAN) & 0x7F, 0x7F);
}

static uint16_t to_e4m3(float f)
{
    uint8_t b = hm_f32_to_e4m3(f);
    return (uint16_t)((b & 0x80) << 8 | (b & 0x7F));
}

static void e4m3_rounds_to_nearest_even_and_keeps_to_448(void **state)
{
    (void)state;
    for (uint16_t b = 0; b < 0x7E; b++) /* subnormals too */
        check_between(b, hm_e4m3_to_f32((uint8_t)b), hm_e4m3_to_f32((uint8_t)(b + 1)), to_e4m3);
    static const float great[] = {448, 463.9f, 464, 480, 65504, FLT_MAX, INFINITY};
    for (size_t i = 0; i < sizeof great / sizeof *great; i++) {
        assert_int_equal(hm_f32_to_e4m3(great[i]), 0x7E);
        assert_int_equal(hm_f32_to_e4m3(-great[i]), 0xFE);
    }
    assert_int_equal(hm_f32_to_e4m3(of_bits(1)), 0);
    assert_int_equal(hm_f32_to_e4m3(-0.0f), 0x80);
}

static void what_is_too_small_becomes_zero_of_its_sign(void **state)
{
    (void)state;
    assert_int_equal(hm_f32_to_f16(0x1p-25f), 0); /* half of the least: to even */
    assert_int_equal(hm_f32_to_f16(nextafterf(0x1p-25f, 1)), 1);
    assert_int_equal(hm_f32_to_f16(-0x1p-26f), 0x8000);
    assert_int_equal(hm_f32_to_f16(of_bits(1)), 0);
    assert_int_equal(hm_f32_to_bf16(of_bits(0x80000001)), 0x8000);
    assert_int_equal(hm_f32_to_bf16(-0.0f), 0x8000);
}

static void not_a_number_stays_one_whatever_its_bits(void **state)
{
    (void)state;
    static const uint32_t bits[] = {0x7F800001, 0x7F80FFFF, 0x7FC00000, 0x7FFFFFFF, 0xFF800001, 0xFFFFFFFF, 0x7FBFFFFF};
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) {
        float f = of_bits(bits[i]);
        assert_true(isnan(hm_f16_to_f32(hm_f32_to_f16(f))));
        assert_true(isnan(hm_bf16_to_f32(hm_f32_to_bf16(f))));
        assert_int_equal(hm_f32_to_f16(f) >> 15, bits[i] >> 31);
        assert_int_equal(hm_f32_to_bf16(f) >> 15, bits[i] >> 31);
    }
}

static void arrays_convert_as_single_values_do(void **state)
{
    (void)state;
    static const uint16_t h[5] = {0x0001, 0x3C00, 0xBF80, 0x7BFF, 0x8000};
    static const float f[5] = {0.1f, -2.0f, 1e-40f, 3e38f, -0.0f};
    float out[6] = {0, 0, 0, 0, 0, 99};
    hm_to_f32(out, h, HM_F16, 5);
    for (int i = 0; i < 5; i++)
        assert_true(out[i] == hm_f16_to_f32(h[i]));
    hm_to_f32(out, h, HM_BF16, 5);
    for (int i = 0; i < 5; i++)
        assert_true(out[i] == hm_bf16_to_f32(h[i]));
    hm_to_f32(out, f, HM_F32, 5);
    assert_memory_equal(out, f, sizeof f);
    hm_to_f32(out, h, HM_F16, 0);
    assert_memory_equal(out, f, sizeof f);
    assert_true(out[5] == 99);
}

static void names_and_sizes_are_those_of_safetensors(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        hm_dtype type;
        size_t bytes;
    } rows[] = {{"F64", HM_F64, 8}, {"F32", HM_F32, 4}, {"F16", HM_F16, 2}, {"BF16", HM_BF16, 2}, {"I64", HM_I64, 8},
                {"I32", HM_I32, 4}, {"U32", HM_U32, 4}, {"I8", HM_I8, 1},   {"U8", HM_U8, 1},     {"BOOL", HM_BOOL, 1}};
    assert_int_equal(sizeof rows / sizeof *rows, HM_DTYPE_COUNT);
    for (size_t i = 0; i < HM_DTYPE_COUNT; i++) {
        assert_int_equal(hm_dtype_parse(rows[i].name), rows[i].type);
        assert_string_equal(hm_dtype_name(rows[i].type), rows[i].name);
        assert_int_equal(hm_dtype_bytes(rows[i].type), rows[i].bytes);
    }
    assert_int_equal(hm_dtype_parse("f32"), -1);
    assert_int_equal(hm_dtype_parse(""), -1);
    assert_int_equal(hm_dtype_bytes(HM_DTYPE_COUNT), 0);
    assert_string_equal(hm_dtype_name(HM_DTYPE_COUNT), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_65536_values_of_both_types_round_trip), cmocka_unit_test(rounding_is_to_nearest_even_between_all_neighbours),
        cmocka_unit_test(what_is_too_great_becomes_infinity),        cmocka_unit_test(what_is_too_small_becomes_zero_of_its_sign),
        cmocka_unit_test(all_256_values_of_e4m3_round_trip),         cmocka_unit_test(e4m3_rounds_to_nearest_even_and_keeps_to_448),
        cmocka_unit_test(not_a_number_stays_one_whatever_its_bits),  cmocka_unit_test(arrays_convert_as_single_values_do),
        cmocka_unit_test(names_and_sizes_are_those_of_safetensors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
