/* JSON that may be wrong: what is refused, and that each getter names place, key, expected and found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/base/json.h"
#include "engine/base/map.h"

static const char text[] = "{\"int\": 7, \"neg\": -3, \"real\": 1.5, \"yes\": true, \"no\": false, \"text\": \"t\\u00fc\", \"null\": null,"
                           " \"list\": [1], \"map\": {\"k\": 1}, \"nul\": \"a\\u0000b\", \"great\": 9223372036854775807}";

static json_t *root;

static int parse_root(void **state)
{
    (void)state;
    hm_error err = {0};
    return hm_json_parse(&root, text, strlen(text), "here", &err) == HM_OK ? 0 : -1;
}

static int drop_root(void **state)
{
    (void)state;
    json_decref(root);
    return 0;
}

static void broken_text_is_refused_with_its_place(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "",
        " ",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "{\"a\":1} x",
        "{} {}",
        "{\"a\":1,\"a\":2}",
        "{'a':1}",
        "[01]",
        "[1e999]",
        "[nan]",
        "[99999999999999999999]",
        "[\"\xff\"]",
        "[\"\xc3\"]",
        "[\"\\ud800\"]",
        "{\"a\\u0000b\":1}",
        "\xef\xbb\xbf{}",
        "[\"a\nb\"]",
    };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        json_t *out = NULL;
        hm_error err = {0};
        if (hm_json_parse(&out, broken[i], strlen(broken[i]), "place", &err) != HM_EFORMAT)
            fail_msg("accepted: %s", broken[i]);
        assert_null(out);
        assert_memory_equal(err.text, "place: line ", 12);
    }
    json_t *out = NULL;
    hm_error err = {0};
    assert_int_equal(hm_json_parse(&out, NULL, 0, "place", &err), HM_EFORMAT);
}

static void nesting_beyond_the_limit_is_refused(void **state)
{
    (void)state;
    enum {
        DEPTH = 100000
    };
    json_t *out = NULL;
    hm_error err = {0};
    char *deep = malloc(DEPTH);
    assert_non_null(deep);
    memset(deep, '[', DEPTH);
    assert_int_equal(hm_json_parse(&out, deep, DEPTH, "deep", &err), HM_EFORMAT);
    assert_null(out);
    free(deep);
}

static void only_the_given_bytes_are_read(void **state)
{
    (void)state;
    json_t *out = NULL;
    hm_error err = {0};
    char *exact = malloc(2);
    assert_non_null(exact);
    memcpy(exact, "{}", 2); /* no NUL behind it */
    assert_int_equal(hm_json_parse(&out, exact, 2, "exact", &err), HM_OK);
    assert_true(json_is_object(out));
    json_decref(out);
    free(exact);
}

static void numbers_are_bounded_and_of_their_kind(void **state)
{
    (void)state;
    hm_error err = {0};
    int64_t n = 99;
    double d = 99;
    assert_int_equal(hm_json_int(root, "int", 7, 7, true, &n, "here", &err), HM_OK);
    assert_int_equal(n, 7);
    assert_int_equal(hm_json_int(root, "great", 0, INT64_MAX, true, &n, "here", &err), HM_OK);
    assert_true(n == INT64_MAX);
    assert_int_equal(hm_json_int(root, "neg", 0, 9, true, &n, "here", &err), HM_EFORMAT);
    assert_string_equal(err.text, "here: \"neg\": expected 0 to 9, found -3");
    assert_int_equal(hm_json_int(root, "int", 8, 9, true, &n, "here", &err), HM_EFORMAT);
    assert_int_equal(hm_json_int(root, "real", 0, 9, true, &n, "here", &err), HM_EFORMAT);
    assert_string_equal(err.text, "here: \"real\": expected an integer, found a real number");
    assert_int_equal(hm_json_int(root, "yes", 0, 9, true, &n, "here", &err), HM_EFORMAT);
    assert_true(n == INT64_MAX); /* a failure writes nothing */
    assert_int_equal(hm_json_double(root, "real", true, &d, "here", &err), HM_OK);
    assert_true(d == 1.5);
    assert_int_equal(hm_json_double(root, "int", true, &d, "here", &err), HM_OK);
    assert_true(d == 7);
    assert_int_equal(hm_json_double(root, "text", true, &d, "here", &err), HM_EFORMAT);
    assert_true(d == 7);
}

static void other_values_are_of_their_kind(void **state)
{
    (void)state;
    hm_error err = {0};
    bool b = false;
    const char *s = "old";
    json_t *child = NULL;
    assert_int_equal(hm_json_bool(root, "yes", true, &b, "here", &err), HM_OK);
    assert_true(b);
    assert_int_equal(hm_json_bool(root, "int", true, &b, "here", &err), HM_EFORMAT);
    assert_true(b);
    assert_int_equal(hm_json_bool(root, "no", true, &b, "here", &err), HM_OK);
    assert_false(b);
    assert_int_equal(hm_json_string(root, "text", true, &s, "here", &err), HM_OK);
    assert_string_equal(s, "t\xc3\xbc");
    assert_int_equal(hm_json_string(root, "nul", true, &s, "here", &err), HM_EFORMAT);
    assert_non_null(strstr(err.text, "NUL"));
    assert_int_equal(hm_json_string(root, "list", true, &s, "here", &err), HM_EFORMAT);
    assert_string_equal(err.text, "here: \"list\": expected a string, found an array");
    assert_int_equal(hm_json_child(root, "map", JSON_OBJECT, true, &child, "here", &err), HM_OK);
    assert_true(json_is_object(child));
    assert_int_equal(hm_json_child(root, "map", JSON_ARRAY, true, &child, "here", &err), HM_EFORMAT);
    assert_string_equal(err.text, "here: \"map\": expected an array, found an object");
    assert_true(json_is_object(child));
}

static void absent_and_null_keys_matter_when_required_only(void **state)
{
    (void)state;
    static const char *const keys[] = {"absent", "null"};
    for (int i = 0; i < 2; i++) {
        hm_error err = {0};
        int64_t n = 5;
        double d = 5;
        bool b = true;
        const char *s = "old";
        json_t *child = root;
        assert_int_equal(hm_json_int(root, keys[i], 0, 9, false, &n, "here", &err), HM_OK);
        assert_int_equal(hm_json_double(root, keys[i], false, &d, "here", &err), HM_OK);
        assert_int_equal(hm_json_bool(root, keys[i], false, &b, "here", &err), HM_OK);
        assert_int_equal(hm_json_string(root, keys[i], false, &s, "here", &err), HM_OK);
        assert_int_equal(hm_json_child(root, keys[i], JSON_ARRAY, false, &child, "here", &err), HM_OK);
        assert_true(n == 5 && d == 5 && b && !strcmp(s, "old") && child == root);
        assert_int_equal(hm_json_int(root, keys[i], 0, 9, true, &n, "here", &err), HM_EFORMAT);
        assert_non_null(strstr(err.text, "is missing"));
        assert_int_equal(hm_json_double(root, keys[i], true, &d, "here", &err), HM_EFORMAT);
        assert_int_equal(hm_json_bool(root, keys[i], true, &b, "here", &err), HM_EFORMAT);
        assert_int_equal(hm_json_string(root, keys[i], true, &s, "here", &err), HM_EFORMAT);
        assert_int_equal(hm_json_child(root, keys[i], JSON_ARRAY, true, &child, "here", &err), HM_EFORMAT);
    }
}

static void keys_of_what_is_no_object_are_refused(void **state)
{
    (void)state;
    hm_error err = {0};
    int64_t n = 5;
    assert_int_equal(hm_json_int(json_object_get(root, "list"), "k", 0, 9, false, &n, "here", &err), HM_EFORMAT);
    assert_string_equal(err.text, "here: expected an object holding \"k\", found an array");
    assert_int_equal(hm_json_int(NULL, "k", 0, 9, false, &n, "here", &err), HM_EFORMAT);
    assert_string_equal(hm_json_kind(NULL), "nothing");
    assert_string_equal(hm_json_kind(json_object_get(root, "null")), "null");
}

static void files_are_loaded_and_named_when_wrong(void **state)
{
    (void)state;
    char path[] = "/tmp/hm-base-json-XXXXXX";
    json_t *out = NULL;
    hm_error err = {0};
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(hm_json_load(&out, path, &err), HM_EFORMAT); /* empty */
    assert_non_null(strstr(err.text, path));
    assert_int_equal(hm_file_write(path, text, strlen(text), &err), HM_OK);
    assert_int_equal(hm_json_load(&out, path, &err), HM_OK);
    assert_true(json_equal(out, root));
    json_decref(out);
    unlink(path);
    out = NULL;
    assert_int_equal(hm_json_load(&out, path, &err), HM_EMISSING);
    assert_null(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_text_is_refused_with_its_place), cmocka_unit_test(nesting_beyond_the_limit_is_refused),
        cmocka_unit_test(only_the_given_bytes_are_read),         cmocka_unit_test(numbers_are_bounded_and_of_their_kind),
        cmocka_unit_test(other_values_are_of_their_kind),        cmocka_unit_test(absent_and_null_keys_matter_when_required_only),
        cmocka_unit_test(keys_of_what_is_no_object_are_refused), cmocka_unit_test(files_are_loaded_and_named_when_wrong),
    };
    return cmocka_run_group_tests(tests, parse_root, drop_root);
}
