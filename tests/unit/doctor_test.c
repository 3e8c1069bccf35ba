/* What the doctor says of machines of several kinds: GPUs as the kernel shows them, permissions, counters. */
#define _GNU_SOURCE
#include "tests/system_tree.h"

#include "harness/doctor.h"
#include "harness/peers.h"

static hm_doctor d;

static void new_machine(void)
{
    char command[128];
    empty_tree();
    snprintf(command, sizeof command, "rm -rf '%s'/dev", tree);
    assert_int_equal(system(command), 0);
    d = (hm_doctor){0};
}

static void put_gpu(const char *node, const char *vendor, const char *uevent, bool opens)
{
    char folder[128];
    snprintf(folder, sizeof folder, "sys/class/drm/%s/device", node);
    put_file(folder, "vendor", vendor);
    put_file(folder, "device", "0x56a0\n");
    put_file(folder, "uevent", uevent);
    if (opens)
        put_file("dev/dri", node, "");
}

static void expect(const char *name, hm_finding_state state, const char *value, const char *advice)
{
    const hm_finding *f = hm_doctor_find(&d, name);
    if (!f)
        fail_msg("nothing about \"%s\"", name);
    else if (f->state != state || !strstr(f->value, value) || !strstr(f->advice, advice) || (!*advice && *f->advice))
        fail_msg("%s: state %d, \"%s\" -> \"%s\"; expected %d, \"%s\" -> \"%s\"", name, (int)f->state, f->value, f->advice, (int)state,
                 value, advice);
}

static void a_machine_without_a_gpu_misses_nothing(void **state)
{
    (void)state;
    new_machine();
    hm_doctor_gpus(&d, tree);
    expect("GPUs", HM_NOTE, "shows none", "");
    assert_null(hm_doctor_find(&d, "NVIDIA driver"));
    assert_false(d.missing);
}

static void an_intel_gpu_with_its_driver_is_fine(void **state)
{
    (void)state;
    new_machine();
    put_gpu("renderD128", "0x8086\n", "DRIVER=i915\nPCI_ID=8086:56A0\n", true);
    put_gpu("renderD129", "0x8086\n", "PCI_ID=8086:E20B\nDRIVER=xe\n", true);
    hm_doctor_gpus(&d, tree);
    expect("renderD128", HM_FINE, "Intel 0x56a0, kernel driver i915, may be opened", "");
    expect("renderD129", HM_FINE, "kernel driver xe", "");
    assert_string_equal(hm_doctor_find(&d, "renderD129")->version, "xe");
    assert_false(d.missing);
}

static void what_keeps_an_intel_gpu_from_working_is_missing_with_what_to_do(void **state)
{
    (void)state;
    new_machine();
    put_gpu("renderD128", "0x8086\n", "PCI_ID=8086:56A0\n", true);
    hm_doctor_gpus(&d, tree);
    expect("renderD128", HM_MISSING, "kernel driver none", "load i915 or xe");
    assert_true(d.missing);
    new_machine();
    put_gpu("renderD128", "0x8086\n", "DRIVER=i915\n", false);
    hm_doctor_gpus(&d, tree);
    expect("renderD128", HM_MISSING, "may not be opened", "usermod -aG render");
    assert_true(d.missing);
}

static void gpus_that_no_backend_here_uses_are_only_told(void **state)
{
    (void)state;
    new_machine();
    put_gpu("renderD128", "0x10de\n", "DRIVER=nvidia\n", false);
    hm_doctor_gpus(&d, tree);
    expect("renderD128", HM_NOTE, "NVIDIA", "");
    expect("NVIDIA driver", HM_NOTE, "its driver is not", "nvidia-smi");
    put_file("proc/driver/nvidia", "version", "NVRM version: 580.1\n");
    d = (hm_doctor){0};
    hm_doctor_gpus(&d, tree);
    expect("NVIDIA driver", HM_NOTE, "580.1", "");
    assert_false(d.missing);
}

static void counters_that_are_refused_come_with_what_to_do(void **state)
{
    (void)state;
    new_machine();
    hm_doctor_tools(&d, tree);
    expect("perf_event_paranoid", HM_NOTE, "does not show it", "");
    d = (hm_doctor){0};
    put_file("proc/sys/kernel", "perf_event_paranoid", "4\n");
    hm_doctor_tools(&d, tree);
    expect("perf_event_paranoid", HM_NOTE, "only root", "sysctl kernel.perf_event_paranoid=2");
    d = (hm_doctor){0};
    put_file("proc/sys/kernel", "perf_event_paranoid", "1\n");
    hm_doctor_tools(&d, tree);
    expect("perf_event_paranoid", HM_FINE, "1: your own", "");
    assert_false(d.missing);
}

static void programs_are_looked_for_in_the_path(void **state)
{
    (void)state;
    char path[128], command[300];
    new_machine();
    put_file("bin", "unitrace", "#!/bin/sh\necho tool for Level Zero\necho \"unitrace 2.3 ($1)\"\n");
    snprintf(command, sizeof command, "chmod +x '%s/bin/unitrace'", tree);
    assert_int_equal(system(command), 0);
    char *before = strdup(getenv("PATH"));
    snprintf(path, sizeof path, "%s/bin", tree);
    setenv("PATH", path, 1);
    hm_doctor_tools(&d, tree);
    setenv("PATH", before, 1);
    free(before);
    expect("unitrace", HM_FINE, "/bin/unitrace", "");
    assert_string_equal(hm_doctor_find(&d, "unitrace")->version, "unitrace 2.3 (--version)");
    expect("vtune", HM_NOTE, "not found", "oneAPI");
}

/* An environment whose Python is a script that does this, made from what is pinned. */
static void put_environment(const char *python)
{
    char command[HM_MODEL_PATH + 400], pinned[HM_MODEL_PATH], text[300];
    assert_int_equal(hm_peer_requirements(hm_peer_find("transformers"), pinned, NULL), HM_OK);
    snprintf(text, sizeof text, "#!/bin/sh\n%s\n", python);
    put_file("cache/peers/torch/bin", "python", text);
    snprintf(command, sizeof command, "chmod +x '%s/cache/peers/torch/bin/python' && cp '%s' '%s/cache/peers/torch/installed.txt'", tree,
             pinned, tree);
    assert_int_equal(system(command), 0);
    d = (hm_doctor){0};
    hm_doctor_peers(&d);
}

static void peers_are_told_with_what_to_do(void **state)
{
    (void)state;
    char path[128];
    new_machine();
    snprintf(path, sizeof path, "%s/cache", tree);
    setenv("HMBENCH_CACHE", path, 1);
    hm_doctor_peers(&d);
    expect("peers: torch", HM_NOTE, "not installed; it is for --arm transformers, qwen-tts", "hmbench peers install transformers");
    put_file("cache/peers/torch", "installed.txt", "torch==0.1\n");
    d = (hm_doctor){0};
    hm_doctor_peers(&d);
    expect("peers: torch", HM_NOTE, "of other versions", "hmbench peers install transformers");
    put_environment("echo '{\"versions\":\"torch 9.9\"}'");
    expect("peers: torch", HM_FINE, "for --arm transformers, qwen-tts", "");
    assert_string_equal(hm_doctor_find(&d, "peers: torch")->version, "torch 9.9");
    put_environment("echo '{\"versions\":\"torch 9.9\",\"remark\":\"no headers\"}'");
    expect("peers: torch", HM_NOTE, "for --arm transformers, qwen-tts", "transformers: no headers");
    put_environment("echo no libpython >&2; exit 3");
    expect("peers: torch", HM_NOTE, "does not work", "hmbench peers install transformers");
    put_environment("echo '[]'");
    expect("peers: torch", HM_NOTE, "is no object", "hmbench peers install transformers");
    expect("peers: faster-whisper", HM_NOTE, "not installed", "hmbench peers install faster-whisper");
    assert_false(d.missing);
    unsetenv("HMBENCH_CACHE");
}

static void the_cpu_computes_what_plain_sums_give(void **state)
{
    (void)state;
    new_machine();
    hm_doctor_cpu(&d);
    expect("backend cpu", HM_FINE, "computes", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_machine_without_a_gpu_misses_nothing),
                                       cmocka_unit_test(an_intel_gpu_with_its_driver_is_fine),
                                       cmocka_unit_test(what_keeps_an_intel_gpu_from_working_is_missing_with_what_to_do),
                                       cmocka_unit_test(gpus_that_no_backend_here_uses_are_only_told),
                                       cmocka_unit_test(counters_that_are_refused_come_with_what_to_do),
                                       cmocka_unit_test(programs_are_looked_for_in_the_path),
                                       cmocka_unit_test(peers_are_told_with_what_to_do),
                                       cmocka_unit_test(the_cpu_computes_what_plain_sums_give)};
    return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
