/* The safetensors parser: what it accepts, and every way in which a file can lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/make_safetensors.h"

#include "engine/safetensors.h"

static hm_status parse(hm_safetensors *out, const char *header, size_t data_bytes, hm_error *err)
{
    size_t size;
    uint8_t *zeros = calloc(data_bytes + 1, 1), *p = make_safetensors_bytes(header, zeros, data_bytes, &size);
    memset(err, 0, sizeof *err);
    hm_status st = hm_safetensors_parse(out, p, size, size, "a.safetensors", err);
    free(p);
    free(zeros);
    return st;
}

static void a_plain_file_is_read_in_the_order_of_its_places(void **state)
{
    hm_safetensors f;
    hm_error err;
    (void)state;
    assert_int_equal(parse(&f,
                           "{\"__metadata__\":{\"format\":\"pt\"},\"b\":{\"dtype\":\"BF16\",\"shape\":[3],\"data_offsets\":[24,30]},"
                           "\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
                           "\"s\":{\"dtype\":\"BOOL\",\"shape\":[],\"data_offsets\":[30,31]}}   ",
                           31, &err),
                     HM_OK);
    assert_int_equal(f.count, 3);
    assert_string_equal(f.entries[0].name, "a");
    assert_int_equal(f.entries[0].rank, 2);
    assert_int_equal(f.entries[0].shape[1], 3);
    assert_int_equal(f.entries[1].type, HM_BF16);
    assert_int_equal(f.entries[1].offset, f.file_bytes - 31 + 24);
    assert_int_equal(f.entries[2].rank, 0);
    assert_int_equal(f.entries[2].bytes, 1);
    assert_string_equal(json_string_value(json_object_get(f.metadata, "format")), "pt");
    hm_safetensors_close(&f);
}

static void types_without_use_are_listed_by_name(void **state)
{
    hm_safetensors f;
    hm_error err;
    (void)state;
    assert_int_equal(parse(&f,
                           "{\"q\":{\"dtype\":\"F8_E4M3\",\"shape\":[5],\"data_offsets\":[0,5]},"
                           "\"i\":{\"dtype\":\"I16\",\"shape\":[2],\"data_offsets\":[5,9]},"
                           "\"x\":{\"dtype\":\"F4\",\"shape\":[6],\"data_offsets\":[9,12]}}",
                           12, &err),
                     HM_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(f.entries[i].type, HM_DTYPE_COUNT);
    assert_string_equal(f.entries[0].type_name, "F8_E4M3");
    assert_string_equal(f.entries[2].type_name, "F4");
    hm_safetensors_close(&f);
    assert_int_equal(parse(&f, "{\"q\":{\"dtype\":\"I16\",\"shape\":[2],\"data_offsets\":[0,3]}}", 3, &err), HM_EFORMAT);
}

static void gaps_and_empty_tensors_are_accepted(void **state)
{
    hm_safetensors f;
    hm_error err;
    (void)state;
    assert_int_equal(parse(&f,
                           "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
                           "\"none\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[1,1]},"
                           "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[62,64]}}",
                           64, &err),
                     HM_OK);
    assert_int_equal(f.count, 3);
    hm_safetensors_close(&f);
}

#define ONE(dtype, shape, offsets) "{\"t\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static const struct {
    const char *header;
    size_t data_bytes;
    const char *says;
} liars[] = {
    {ONE("\"F32\"", "[2]", "[0,8]"), 7, "truncated"},
    {ONE("\"F32\"", "[2]", "[0,8]"), 9, "1 bytes after the last tensor"},
    {ONE("\"F32\"", "[2]", "[0,4]"), 4, "[2] of F32 takes 8 bytes, its data_offsets span 4"},
    {ONE("\"F32\"", "[2]", "[8,0]"), 8, "0 <= begin <= end"},
    {ONE("\"F32\"", "[2]", "[-8,0]"), 8, "0 <= begin <= end"},
    {ONE("\"F32\"", "[-2]", "[0,8]"), 8, "a negative one"},
    {ONE("\"F32\"", "[2.0]", "[0,8]"), 8, "found a real number"},
    {ONE("\"F32\"", "[\"2\"]", "[0,8]"), 8, "found a string"},
    {ONE("\"F32\"", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "rank 9, expected at most 8"},
    {ONE("\"F32\"", "[4294967296,4294967296]", "[0,4]"), 4, "too large to be true"},
    {ONE("\"F32\"", "[4611686018427387904]", "[0,0]"), 0, "too large to be true"},
    {ONE("\"F32\"", "[0,9223372036854775807]", "[0,0]"), 0, "too large to be true"},
    {ONE("\"F32\"", "[9223372036854775808]", "[0,0]"), 0, "too big integer"},
    {ONE("\"F4\"", "[4294967296,4294967296]", "[0,4]"), 4, "too large to be true"},
    {ONE("\"F32\"", "[1]", "[0,7]"), 4, "truncated"},
    {ONE("\"F32\"", "[1]", "[0]"), 4, "two integers"},
    {ONE("\"F32\"", "[1]", "[0,4,8]"), 4, "two integers"},
    {ONE("\"F32\"", "[1]", "[0,4.0]"), 4, "two integers"},
    {ONE("\"F32\"", "[1]", "4"), 4, "data_offsets"},
    {ONE("32", "[1]", "[0,4]"), 4, "dtype"},
    {ONE("\"F32\"", "1", "[0,4]"), 4, "shape"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "\"data_offsets\" is missing"},
    {"{\"t\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "\"dtype\" is missing"},
    {"{\"t\":7}", 0, "found an integer"},
    {"[]", 0, "expected an object, found an array"},
    {"", 0, "broken JSON"},
    {"{", 0, "broken JSON"},
    {"{} x", 0, "broken JSON"},
    {"{\"\xff\":1}", 0, "broken JSON"},
    {"{\"__metadata__\":[]}", 0, "__metadata__: expected an object"},
    {"{\"__metadata__\":{\"a\":1}}", 0, "expected a string, found an integer"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]}}", 4,
     "duplicate"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]}}", 4,
     "tensors a and b overlap"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]},"
     "\"c\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[3,4]}}",
     4, "overlap"},
};

static void a_file_that_lies_is_refused_with_what_is_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof liars / sizeof *liars; i++) {
        hm_safetensors f;
        hm_error err;
        hm_status st = parse(&f, liars[i].header, liars[i].data_bytes, &err);
        if (st != HM_EFORMAT || err.status != st || !strstr(err.text, liars[i].says) || !strstr(err.text, "a.safetensors"))
            fail_msg("%s: expected \"%s\", found status %d: %s", liars[i].header, liars[i].says, st, err.text);
    }
}

static void deep_nesting_is_refused(void **state)
{
    enum {
        DEPTH = 100000
    };
    hm_safetensors f;
    hm_error err;
    char *header = malloc(DEPTH + 6);
    (void)state;
    assert_non_null(header);
    memcpy(header, "{\"a\":", 5);
    memset(header + 5, '[', DEPTH);
    header[DEPTH + 5] = 0;
    assert_int_equal(parse(&f, header, 0, &err), HM_EFORMAT);
    free(header);
}

static hm_status parse_bytes(const char *bytes, size_t size, uint64_t file_bytes, hm_error *err)
{
    hm_safetensors f;
    return hm_safetensors_parse(&f, bytes, size, file_bytes, "b", err);
}

static void the_header_size_is_checked_against_the_file(void **state)
{
    hm_error err;
    (void)state;
    assert_int_equal(parse_bytes("", 0, 0, &err), HM_EFORMAT);
    assert_int_equal(parse_bytes("\2\0\0\0\0\0\0", 7, 7, &err), HM_EFORMAT);
    assert_int_equal(parse_bytes("\3\0\0\0\0\0\0\0{}", 10, 10, &err), HM_EFORMAT);
    assert_non_null(strstr(err.text, "truncated"));
    assert_int_equal(parse_bytes("\377\377\377\377\377\377\377\377{}", 10, 10, &err), HM_EFORMAT);
    assert_int_equal(parse_bytes("\377\377\377\377\0\0\0\0{}", 10, UINT64_C(1) << 40, &err), HM_EFORMAT);
    assert_non_null(strstr(err.text, "not a safetensors file"));
}

static void a_file_is_opened_by_its_header_alone(void **state)
{
    char folder[PATH_MAX], path[PATH_MAX + 32];
    const make_tensor tensors[] = {{"x", "F16", "[4]", 8, NULL}, {NULL, NULL, NULL, 0, NULL}};
    hm_safetensors f;
    hm_error err;
    (void)state;
    make_folder(folder);
    make_tensors(folder, "x.safetensors", tensors, NULL);
    snprintf(path, sizeof path, "%s/x.safetensors", folder);
    assert_int_equal(hm_safetensors_open(&f, path, &err), HM_OK);
    assert_int_equal(f.count, 1);
    assert_string_equal(f.path, path);
    hm_safetensors_close(&f);
    assert_int_equal(hm_safetensors_open(&f, folder, &err), HM_EMISSING);
    assert_int_equal(truncate(path, 30), 0);
    assert_int_equal(hm_safetensors_open(&f, path, &err), HM_EFORMAT);
    snprintf(path, sizeof path, "%s/absent.safetensors", folder);
    assert_int_equal(hm_safetensors_open(&f, path, &err), HM_EMISSING);
    make_clean(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_file_is_read_in_the_order_of_its_places),
        cmocka_unit_test(types_without_use_are_listed_by_name),
        cmocka_unit_test(gaps_and_empty_tensors_are_accepted),
        cmocka_unit_test(a_file_that_lies_is_refused_with_what_is_wrong),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(the_header_size_is_checked_against_the_file),
        cmocka_unit_test(a_file_is_opened_by_its_header_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
