#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/clock.h"
#include "harness/doctor.h"
#include "harness/process.h"
#include "harness/system_files.h"

#define ANSWER_NS INT64_C(3000000000) /* longest wait for a program's version */

/* First program of that name in PATH. */
static bool find_program(const char *name, char *out, size_t size)
{
    const char *path = getenv("PATH");
    while (path && *path) {
        size_t n = strcspn(path, ":");
        snprintf(out, size, "%.*s/%s", (int)n, path, name);
        if (n && !access(out, X_OK))
            return true;
        path += n + (path[n] == ':');
    }
    return false;
}

/* The first line with a digit that it says when asked. */
static void ask_version(const char *path, const char *option, char *out, size_t size)
{
    char command[1200];
    const char *line;
    size_t length;
    hm_process *process = NULL;
    *out = 0;
    snprintf(command, sizeof command, "exec '%.1000s' %s 2>&1 </dev/null", path, option);
    char *argv[] = {"/bin/sh", "-c", command, NULL};
    if (hm_process_start(&process, argv, NULL))
        return;
    int64_t deadline = hm_clock_now(hm_clock_real()) + ANSWER_NS;
    for (int i = 0; i < 8 && !*out && hm_process_read(process, deadline, NULL, &line, &length) == HM_READ_LINE; i++)
        if (strpbrk(line, "0123456789"))
            snprintf(out, size, "%.*s", (int)(size - 1), line);
    hm_process_end(&process, 0, NULL);
}

static void look_at_program(hm_doctor *d, const char *name, const char *option, const char *use, const char *advice)
{
    char path[1024], version[64] = "";
    bool there = find_program(name, path, sizeof path);
    if (there && option)
        ask_version(path, option, version, sizeof version);
    if (there)
        hm_doctor_add(d, name, HM_FINE, version, NULL, "%s, for %s", path, use);
    else
        hm_doctor_add(d, name, HM_NOTE, NULL, advice, "not found; it is for %s", use);
}

static void look_at_paranoia(hm_doctor *d, const char *root)
{
    int64_t level;
    if (!hm_system_number(root, "proc/sys/kernel", "perf_event_paranoid", &level))
        hm_doctor_add(d, "perf_event_paranoid", HM_NOTE, NULL, NULL, "the kernel does not show it: no performance counters");
    else
        hm_doctor_add(d, "perf_event_paranoid", level > 2 ? HM_NOTE : HM_FINE, NULL,
                      level > 2 ? "`sudo sysctl kernel.perf_event_paranoid=2` lets you count your own processes' events" : NULL, "%lld: %s",
                      (long long)level,
                      level > 2   ? "only root may count"
                      : level > 0 ? "your own processes may be counted"
                                  : "all may be counted");
}

void hm_doctor_tools(hm_doctor *d, const char *root)
{
    d->area = "tools";
    look_at_program(d, "gnuplot", "--version", "hmbench plot and the pictures of hmbench report", "apt install gnuplot-nox");
    look_at_program(d, "perf", "--version", "where CPU time goes", "apt install linux-perf");
    look_at_program(d, "unitrace", "--version", "calls and kernels of Level Zero", "build it from intel/pti-gpu");
    look_at_program(d, "vtune", NULL, "hot spots of Intel CPUs and GPUs", "part of Intel oneAPI");
    look_at_program(d, "intel_gpu_top", NULL, "how busy an Intel GPU is", "apt install intel-gpu-tools");
    look_at_program(d, "xpu-smi", NULL, "clocks, power and memory of Intel data centre GPUs", "part of Intel XPU Manager");
    look_at_program(d, "ocloc", NULL, "compiling kernels for a GPU that is not here", "apt install intel-opencl-icd");
    look_at_program(d, "nsys", "--version", "timelines of NVIDIA GPUs", "part of NVIDIA Nsight Systems");
    look_at_paranoia(d, root);
}
