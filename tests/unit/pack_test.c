/* Files of packed weights: made once, mapped ever after, never trusted, never in the way. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/pack_impl.h"

#define WEIGHTS (48 * 640)

static const char a_name[] = "layers.0.q", b_name[] = "layers.0.k";
static const char one[] = "0123456789abcdef0123456789abcdef", two[] = "fedcba9876543210fedcba9876543210",
                  three[] = "00000000000000000000000000000003";

static char folder[512];
static float weights[WEIGHTS];
static int lines; /* of the log */
static char last_line[1024];

static void take_line(void *self, hm_log_level level, const char *line)
{
    (void)self;
    (void)level;
    lines++;
    snprintf(last_line, sizeof last_line, "%s", line);
}

static const hm_log log_lines = {.level = HM_LOG_WARNING, .write = take_line};

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/hm_pack_XXXXXX");
    lines = 0;
    for (int i = 0; i < WEIGHTS; i++)
        weights[i] = sinf((float)i) * 0.1f;
    return !mkdtemp(folder);
}

static int files_in_folder(void)
{
    int n = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static int remove_folder(void **state)
{
    char command[600];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static void path_of(char out[HM_PACK_PATH], const char *fingerprint, hm_format format)
{
    assert_int_equal(hm_pack_path(out, folder, fingerprint, format, NULL), HM_OK);
}

static hm_pack *open_in(const char *dir, const char *fingerprint)
{
    hm_pack *p;
    assert_int_equal(hm_pack_open(&p, dir, fingerprint, "model", NULL, &log_lines, NULL), HM_OK);
    return p;
}

static hm_pack_layer layer_of(const char *name, hm_format format)
{
    return (hm_pack_layer){name, format, 48, 640, 1};
}

static hm_status make(hm_pack *p, const void **panels, const char *name, hm_format format, hm_counters *count, hm_error *err)
{
    hm_pack_layer layer = layer_of(name, format);
    hm_panel_source source = {weights, HM_F32, 48, 640, 1, false};
    return hm_pack_make(p, panels, &layer, &source, count, err);
}

static const void *find(hm_pack *p, const char *name, hm_format format)
{
    hm_pack_layer layer = layer_of(name, format);
    return hm_pack_find(p, &layer);
}

static void check_panels(const void *found, hm_format format)
{
    size_t bytes = hm_panels_bytes(format, 48, 640, 1);
    void *expected = aligned_alloc(64, bytes);
    hm_panel_source source = {weights, HM_F32, 48, 640, 1, false};
    int64_t bad;
    assert_non_null(expected);
    assert_non_null(found);
    assert_int_equal((uintptr_t)found % 64, 0);
    assert_true(hm_panels_pack(expected, format, &source, NULL, &bad));
    assert_memory_equal(found, expected, bytes);
    free(expected);
}

/* What a start does: finds each layer or makes it, then finishes. Bytes that had to be packed. */
static uint64_t start(const char *dir, const char *fingerprint, hm_format format, const char *const *names)
{
    hm_counters count = {0};
    hm_pack *p = open_in(dir, fingerprint);
    for (int i = 0; names[i]; i++) {
        const void *panels = find(p, names[i], format);
        if (!panels)
            assert_int_equal(make(p, &panels, names[i], format, &count, NULL), HM_OK);
        check_panels(panels, format);
    }
    assert_int_equal(hm_pack_finish(p, NULL), HM_OK);
    hm_pack_close(&p);
    return count.packed_bytes;
}

static const char *const only_a[] = {a_name, NULL}, *const both[] = {a_name, b_name, NULL};

static void layers_are_packed_once_and_mapped_ever_after(void **state)
{
    (void)state;
    for (int f = HM_FORMAT_F32; f < HM_FORMAT_COUNT; f++) {
        uint64_t bytes = hm_panels_bytes((hm_format)f, 48, 640, 1);
        assert_int_equal(start(folder, one, (hm_format)f, both), 2 * bytes);
        assert_int_equal(start(folder, one, (hm_format)f, both), 0);
    }
    assert_int_equal(files_in_folder(), HM_FORMAT_COUNT - 1);
    assert_int_equal(lines, 0);
}

static void layers_of_a_later_start_join_the_file(void **state)
{
    (void)state;
    uint64_t bytes = hm_panels_bytes(HM_FORMAT_INT8, 48, 640, 1);
    assert_int_equal(start(folder, one, HM_FORMAT_INT8, only_a), bytes);
    assert_int_equal(start(folder, one, HM_FORMAT_INT8, both), bytes);
    assert_int_equal(start(folder, one, HM_FORMAT_INT8, both), 0);
    assert_int_equal(files_in_folder(), 1);
}

static void layers_made_after_finishing_join_too(void **state)
{
    (void)state;
    hm_counters count = {0};
    const void *a, *b;
    hm_pack *p = open_in(folder, one);
    assert_int_equal(make(p, &a, a_name, HM_FORMAT_BF16, &count, NULL), HM_OK);
    assert_int_equal(hm_pack_finish(p, NULL), HM_OK);
    assert_ptr_equal(find(p, a_name, HM_FORMAT_BF16), a);
    assert_int_equal(make(p, &b, b_name, HM_FORMAT_BF16, &count, NULL), HM_OK);
    assert_int_equal(hm_pack_finish(p, NULL), HM_OK);
    assert_int_equal(hm_pack_bytes(p), 2 * hm_panels_bytes(HM_FORMAT_BF16, 48, 640, 1));
    check_panels(a, HM_FORMAT_BF16);
    check_panels(b, HM_FORMAT_BF16);
    hm_pack_close(&p);
    assert_int_equal(start(folder, one, HM_FORMAT_BF16, both), 0);
    assert_int_equal(files_in_folder(), 1);
}

static void a_layer_of_another_shape_is_another_layer(void **state)
{
    (void)state;
    start(folder, one, HM_FORMAT_F16, only_a);
    hm_pack *p = open_in(folder, one);
    hm_pack_layer other = {a_name, HM_FORMAT_F16, 64, 480, 1};
    assert_null(hm_pack_find(p, &other));
    hm_pack_close(&p);
}

static void without_a_folder_panels_stay_in_memory(void **state)
{
    (void)state;
    assert_true(start(NULL, one, HM_FORMAT_INT4, both) > 0);
    assert_true(start(NULL, one, HM_FORMAT_INT4, both) > 0);
    assert_int_equal(files_in_folder(), 0);
}

/* Not a permission, which root would not mind: a path through a file. */
static void a_folder_that_cannot_be_written_is_told_once(void **state)
{
    (void)state;
    char path[600];
    hm_counters count = {0};
    const void *panels;
    snprintf(path, sizeof path, "%s/file", folder);
    fclose(fopen(path, "w"));
    hm_pack *p = open_in(path, one);
    lines = 0;
    assert_int_equal(make(p, &panels, a_name, HM_FORMAT_INT8, &count, NULL), HM_OK);
    check_panels(panels, HM_FORMAT_INT8);
    assert_int_equal(make(p, &panels, b_name, HM_FORMAT_FP4, &count, NULL), HM_OK);
    check_panels(panels, HM_FORMAT_FP4);
    assert_int_equal(hm_pack_finish(p, NULL), HM_OK);
    hm_pack_close(&p);
    assert_int_equal(lines, 1);
    assert_non_null(strstr(last_line, "cannot be kept"));
}

static void a_full_disk_is_one_clear_error(void **state)
{
    (void)state;
    struct rlimit before, small;
    hm_counters count = {0};
    hm_error err = {0};
    const void *panels;
    hm_pack *p = open_in(folder, one);
    getrlimit(RLIMIT_FSIZE, &before);
    small = (struct rlimit){20000, before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    hm_status st = make(p, &panels, a_name, HM_FORMAT_F32, &count, &err);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(st, HM_EABSENT);
    assert_non_null(strstr(err.text, "no room"));
    assert_non_null(strstr(err.text, folder));
    assert_non_null(strstr(err.text, "hmbench cache prune"));
    hm_pack_close(&p);
    assert_int_equal(files_in_folder(), 0); /* nothing half made is left */
}

static void a_weight_that_the_format_cannot_hold_names_its_tensor(void **state)
{
    (void)state;
    hm_counters count = {0};
    hm_error err = {0};
    const void *panels;
    hm_pack *p = open_in(folder, one);
    weights[640 * 3 + 17] = 70000;
    assert_int_equal(make(p, &panels, a_name, HM_FORMAT_F16, &count, &err), HM_EFORMAT);
    assert_non_null(strstr(err.text, "layers.0.q: weight 17 of output 3 is 70000, which f16 cannot hold"));
    assert_int_equal(make(p, &panels, a_name, HM_FORMAT_BF16, &count, &err), HM_OK);
    hm_pack_close(&p);
}

/* --- damage --- */

static void flip(const char *path, long at)
{
    FILE *f = fopen(path, "r+");
    assert_non_null(f);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    int byte = fgetc(f);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    fputc(byte ^ 0x41, f);
    assert_int_equal(fclose(f), 0);
}

static void check_made_anew(const char *path, const char *how, long where)
{
    struct stat before, after;
    lines = 0;
    stat(path, &before);
    uint64_t packed = start(folder, one, HM_FORMAT_INT8, both);
    if (!packed || !lines)
        fail_msg("%s at %ld: %llu bytes packed, %d lines in the log", how, where, (unsigned long long)packed, lines);
    assert_int_equal(start(folder, one, HM_FORMAT_INT8, both), 0);
    assert_true(!stat(path, &after) && after.st_ino != before.st_ino);
}

static void a_flipped_byte_anywhere_that_counts_is_met(void **state)
{
    (void)state;
    char path[HM_PACK_PATH];
    struct stat s;
    path_of(path, one, HM_FORMAT_INT8);
    start(folder, one, HM_FORMAT_INT8, both);
    for (long at = 0; at < (long)sizeof(hm_pack_header); at += 3) {
        flip(path, at);
        check_made_anew(path, "header", at);
    }
    assert_int_equal(stat(path, &s), 0);
    for (long at = s.st_size - 2 * (long)sizeof(hm_pack_row); at < s.st_size; at += 5) {
        flip(path, at);
        check_made_anew(path, "table", at);
    }
    flip(path, HM_PACK_ALIGN + 100); /* of the panels the first, middle and last bytes count */
    check_made_anew(path, "panels", HM_PACK_ALIGN + 100);
}

static void a_cut_file_is_made_anew(void **state)
{
    (void)state;
    char path[HM_PACK_PATH];
    struct stat s;
    path_of(path, one, HM_FORMAT_INT8);
    start(folder, one, HM_FORMAT_INT8, both);
    assert_int_equal(stat(path, &s), 0);
    const long sizes[] = {0, 1, 100, HM_PACK_ALIGN - 1, HM_PACK_ALIGN, HM_PACK_ALIGN + 1, s.st_size / 2, s.st_size - 1};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(truncate(path, sizes[i]), 0);
        check_made_anew(path, "cut", sizes[i]);
    }
}

/* Checksums that fit do not make offsets true. */
static void a_table_that_lies_is_refused(void **state)
{
    (void)state;
    char path[HM_PACK_PATH];
    path_of(path, one, HM_FORMAT_INT8);
    for (int lie = 0; lie < 6; lie++) {
        start(folder, one, HM_FORMAT_INT8, both);
        hm_pack_header h;
        hm_pack_row rows[2];
        int fd = open(path, O_RDWR);
        assert_true(fd >= 0);
        assert_int_equal(pread(fd, &h, sizeof h, 0), sizeof h);
        assert_int_equal(pread(fd, rows, sizeof rows, (off_t)h.table_at), sizeof rows);
        if (lie == 0)
            rows[1].at = h.table_at;
        else if (lie == 1)
            rows[1].at = UINT64_MAX - HM_PACK_ALIGN + 1;
        else if (lie == 2)
            rows[0].bytes *= 2;
        else if (lie == 3)
            rows[0].out = INT32_MAX;
        else if (lie == 4)
            memset(rows[1].name, 'z', sizeof rows[1].name);
        else
            memcpy(rows[1].name, rows[0].name, sizeof rows[1].name);
        assert_int_equal(pwrite(fd, rows, sizeof rows, (off_t)h.table_at), sizeof rows);
        close(fd);
        hm_pack_map map;
        hm_error err = {0};
        assert_int_equal(hm_pack_map_open(&map, path, &err), HM_EFORMAT); /* by its checksum */
        fd = open(path, O_RDWR);
        h.table_check = hm_pack_check(rows, sizeof rows);
        h.check = hm_pack_header_check(&h);
        assert_int_equal(pwrite(fd, &h, sizeof h, 0), sizeof h);
        close(fd);
        err = (hm_error){0};
        assert_int_equal(hm_pack_map_open(&map, path, &err), HM_EFORMAT);
        assert_non_null(strstr(err.text, "of its table does not fit"));
        check_made_anew(path, "lie", lie);
    }
}

static void a_file_under_another_name_is_not_taken(void **state)
{
    (void)state;
    char from[HM_PACK_PATH], to[HM_PACK_PATH];
    start(folder, one, HM_FORMAT_INT8, both);
    path_of(from, one, HM_FORMAT_INT8);
    path_of(to, two, HM_FORMAT_INT8);
    assert_int_equal(rename(from, to), 0);
    assert_true(start(folder, two, HM_FORMAT_INT8, both) > 0);
    assert_int_equal(start(folder, two, HM_FORMAT_INT8, both), 0);
}

/* --- several processes --- */

static void processes_at_once_leave_one_whole_file(void **state)
{
    (void)state;
    pid_t child[4];
    for (int i = 0; i < 4; i++) {
        child[i] = fork();
        if (!child[i]) {
            for (int k = 0; k < 5; k++)
                start(folder, one, HM_FORMAT_INT4, i % 2 ? both : only_a);
            _exit(0);
        }
    }
    for (int i = 0; i < 4; i++) {
        int code;
        assert_int_equal(waitpid(child[i], &code, 0), child[i]);
        assert_int_equal(code, 0);
    }
    assert_int_equal(files_in_folder(), 1);
    start(folder, one, HM_FORMAT_INT4, both);
    assert_int_equal(start(folder, one, HM_FORMAT_INT4, both), 0);
}

/* --- the folder --- */

static void set_used(const char *fingerprint, int64_t seconds)
{
    char path[HM_PACK_PATH];
    const struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};
    path_of(path, fingerprint, HM_FORMAT_F32);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static bool is_there(const char *fingerprint)
{
    char path[HM_PACK_PATH];
    path_of(path, fingerprint, HM_FORMAT_F32);
    return !access(path, F_OK);
}

static void note_file(void *self, const hm_pack_file *f)
{
    char *text = self;
    size_t used = strlen(text);
    snprintf(text + used, 400 - used, "%s %s %d %d%s\n", f->label, f->fingerprint, (int)f->format, f->layers, f->in_use ? " in use" : "");
}

static void the_least_recently_used_packs_go_and_none_in_use(void **state)
{
    (void)state;
    char text[400] = "";
    const char *const all[] = {one, two, three};
    for (int i = 0; i < 3; i++) {
        start(folder, all[i], HM_FORMAT_F32, only_a);
        set_used(all[i], 1000 + i);
    }
    hm_pack *p = open_in(folder, one);
    assert_non_null(find(p, a_name, HM_FORMAT_F32)); /* used now */
    set_used(one, 1000);
    assert_int_equal(hm_pack_list(folder, note_file, text, NULL), HM_OK);
    char expected[400];
    snprintf(expected, sizeof expected, "model %s 1 1\nmodel %s 1 1\nmodel %s 1 1 in use\n", three, two, one);
    assert_string_equal(text, expected);
    uint64_t size = hm_panels_bytes(HM_FORMAT_F32, 48, 640, 1);
    text[0] = 0;
    assert_int_equal(hm_pack_prune(folder, 2 * size + 60000, note_file, text, NULL), HM_OK);
    assert_true(is_there(one) && !is_there(two) && is_there(three));
    snprintf(expected, sizeof expected, "model %s 1 1\n", two);
    assert_string_equal(text, expected);
    assert_int_equal(hm_pack_prune(folder, 0, NULL, NULL, NULL), HM_OK);
    assert_true(is_there(one) && !is_there(three));
    check_panels(find(p, a_name, HM_FORMAT_F32), HM_FORMAT_F32);
    hm_pack_close(&p);
    assert_int_equal(hm_pack_prune(folder, 0, NULL, NULL, NULL), HM_OK);
    assert_int_equal(files_in_folder(), 0);
}

static void use_is_noted(void **state)
{
    (void)state;
    struct stat s;
    char path[HM_PACK_PATH];
    start(folder, one, HM_FORMAT_F32, only_a);
    set_used(one, 1000);
    start(folder, one, HM_FORMAT_F32, only_a);
    path_of(path, one, HM_FORMAT_F32);
    assert_int_equal(stat(path, &s), 0);
    assert_true(s.st_mtime > 1000000);
}

static void what_a_killed_process_left_goes_and_strangers_stay(void **state)
{
    (void)state;
    char path[HM_PACK_PATH + 32], own[HM_PACK_PATH];
    path_of(own, one, HM_FORMAT_F32);
    snprintf(path, sizeof path, "%s.part.99999999", own);
    fclose(fopen(path, "w"));
    snprintf(path, sizeof path, "%s/notes.txt", folder);
    fclose(fopen(path, "w"));
    start(folder, one, HM_FORMAT_F32, only_a);
    assert_int_equal(files_in_folder(), 2);
    assert_true(is_there(one));
    assert_int_equal(hm_pack_prune(folder, 0, NULL, NULL, NULL), HM_OK);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(files_in_folder(), 1);
}

static void no_folder_has_no_packs(void **state)
{
    (void)state;
    char text[400] = "";
    assert_int_equal(hm_pack_list("/nowhere/at/all", note_file, text, NULL), HM_OK);
    assert_string_equal(text, "");
    assert_int_equal(hm_pack_prune("/nowhere/at/all", 0, NULL, NULL, NULL), HM_OK);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(layers_are_packed_once_and_mapped_ever_after),
        CASE(layers_of_a_later_start_join_the_file),
        CASE(layers_made_after_finishing_join_too),
        CASE(a_layer_of_another_shape_is_another_layer),
        CASE(without_a_folder_panels_stay_in_memory),
        CASE(a_folder_that_cannot_be_written_is_told_once),
        CASE(a_full_disk_is_one_clear_error),
        CASE(a_weight_that_the_format_cannot_hold_names_its_tensor),
        CASE(a_flipped_byte_anywhere_that_counts_is_met),
        CASE(a_cut_file_is_made_anew),
        CASE(a_table_that_lies_is_refused),
        CASE(a_file_under_another_name_is_not_taken),
        CASE(processes_at_once_leave_one_whole_file),
        CASE(the_least_recently_used_packs_go_and_none_in_use),
        CASE(use_is_noted),
        CASE(what_a_killed_process_left_goes_and_strangers_stay),
        CASE(no_folder_has_no_packs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
