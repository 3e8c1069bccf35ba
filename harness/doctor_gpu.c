#include "harness/doctor.h"

#include <grp.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/cpu/cpu.h"
#include "harness/gpu_drivers.h"
#include "harness/model.h"
#include "harness/system_files.h"

/* What is run: rows of a norm, whose sums and roots show whether a device computes. */
enum {
    ROWS = 5,
    WIDTH = 193
};
#define EPS 1e-5f
#define TOLERANCE 1e-5 /* float32 sums of 193 squares in any order */

typedef struct trial {
    float x[ROWS * WIDTH], weight[WIDTH], y[ROWS * WIDTH];
} trial;

static void make_trial(trial *t)
{
    for (int i = 0; i < ROWS * WIDTH; i++)
        t->x[i] = (float)(i * 37 % 101 - 50) / 16;
    for (int i = 0; i < WIDTH; i++)
        t->weight[i] = 1 + (float)(i % 7) / 8;
    memset(t->y, 0, sizeof t->y);
}

/* Largest difference to plain sums, relative to the largest value. */
static double error_of(const trial *t)
{
    double worst = 0, largest = 0;
    for (int r = 0; r < ROWS; r++) {
        double sum = 0;
        for (int i = 0; i < WIDTH; i++)
            sum += (double)t->x[r * WIDTH + i] * t->x[r * WIDTH + i];
        for (int i = 0; i < WIDTH; i++) {
            double wanted = t->x[r * WIDTH + i] / sqrt(sum / WIDTH + EPS) * t->weight[i], off = fabs(wanted - t->y[r * WIDTH + i]);
            worst = off > worst || isnan(off) ? (isnan(off) ? INFINITY : off) : worst;
            largest = fmax(largest, fabs(wanted));
        }
    }
    return worst / largest;
}

void hm_doctor_cpu(hm_doctor *d)
{
    hm_device *dev = NULL;
    hm_ops ops = {0};
    hm_counters count = {0};
    hm_error err = {0};
    trial t;
    make_trial(&t);
    hm_status st = hm_cpu_open(&dev, 0, hm_isa_detect(), &err);
    if (!st) {
        hm_cpu_ops_reference(&ops, dev, &count, NULL, &err);
        ops.rmsnorm(&ops, t.y, t.x, t.weight, ROWS, WIDTH, EPS);
        st = err.status;
        hm_cpu_close(&dev);
    }
    double off = error_of(&t);
    if (st)
        hm_doctor_add(d, "backend cpu", HM_MISSING, NULL, NULL, "%s", err.text);
    else if (!(off <= TOLERANCE))
        hm_doctor_add(d, "backend cpu", HM_MISSING, hm_isa_name(hm_isa_detect()), "measure nothing here: the CPU or the build is broken",
                      "a kernel gave wrong numbers (relative error %.2g)", off);
    else
        hm_doctor_add(d, "backend cpu", HM_FINE, hm_isa_name(hm_isa_detect()), NULL, "computes: a kernel is right within %.1g", off);
}

/* ---- what the kernel shows ---- */

typedef struct nodes {
    const char *root;
    hm_gpu_node *out;
    int room, count;
} nodes;

/* The driver that is bound: DRIVER= of the device's uevent. */
static void bound_driver(const char *root, const char *folder, char *out, size_t size)
{
    char path[512], line[256];
    *out = 0;
    snprintf(path, sizeof path, "%s/%s/uevent", root, folder);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "DRIVER=", 7))
            snprintf(out, size, "%.*s", (int)strcspn(line + 7, "\n"), line + 7);
    if (f)
        fclose(f);
}

static void add_node(void *self, const char *name)
{
    nodes *n = self;
    char folder[256], path[512];
    if (n->count == n->room)
        return;
    hm_gpu_node *g = &n->out[n->count++];
    memset(g, 0, sizeof *g);
    snprintf(g->node, sizeof g->node, "%s", name);
    snprintf(folder, sizeof folder, "sys/class/drm/%.60s/device", name);
    hm_system_text(n->root, folder, "vendor", g->vendor, sizeof g->vendor);
    hm_system_text(n->root, folder, "device", g->device, sizeof g->device);
    bound_driver(n->root, folder, g->driver, sizeof g->driver);
    snprintf(path, sizeof path, "%s/dev/dri/%.60s", n->root, name);
    g->usable = !access(path, R_OK | W_OK);
}

int hm_gpu_nodes(const char *root, hm_gpu_node *out, int room)
{
    nodes n = {.root = root, .out = out, .room = room};
    hm_system_each(root, "sys/class/drm", "renderD", add_node, &n);
    return n.count;
}

static bool is_intel(const hm_gpu_node *g)
{
    return !strcmp(g->vendor, "0x8086");
}

static const char *vendor_name(const hm_gpu_node *g)
{
    static const struct {
        const char *id, *name;
    } vendors[] = {{"0x8086", "Intel"}, {"0x10de", "NVIDIA"}, {"0x1002", "AMD"}};
    for (size_t i = 0; i < sizeof vendors / sizeof *vendors; i++)
        if (!strcmp(vendors[i].id, g->vendor))
            return vendors[i].name;
    return *g->vendor ? g->vendor : "a GPU of an unknown maker";
}

/* Who may open it: the group of the node. */
static const char *group_of(const char *root, const hm_gpu_node *g, char *out, size_t size)
{
    char path[512];
    struct stat info;
    snprintf(path, sizeof path, "%s/dev/dri/%s", root, g->node);
    struct group *entry = !stat(path, &info) ? getgrgid(info.st_gid) : NULL;
    snprintf(out, size, "%s", entry ? entry->gr_name : "render");
    return out;
}

static void tell_node(hm_doctor *d, const char *root, const hm_gpu_node *g)
{
    char advice[200] = "", group[64];
    bool ours = is_intel(g);
    if (ours && !*g->driver)
        snprintf(advice, sizeof advice, "no kernel driver is bound: load i915 or xe (a kernel that knows this GPU)");
    else if (ours && !g->usable)
        snprintf(advice, sizeof advice,
                 "/dev/dri/%s is not yours to open: `sudo usermod -aG %s $USER`, then log in anew; in containers: --device /dev/dri",
                 g->node, group_of(root, g, group, sizeof group));
    hm_doctor_add(d, g->node,
                  *advice ? HM_MISSING
                  : ours  ? HM_FINE
                          : HM_NOTE,
                  *g->driver ? g->driver : NULL, advice, "%s %s, kernel driver %s, %s", vendor_name(g), g->device,
                  *g->driver ? g->driver : "none", g->usable ? "may be opened" : "may not be opened");
}

/* ---- devices of a driver ---- */

static hm_status run_kernel(const hm_gpu_driver *driver, hm_gpu *gpu, trial *t, hm_error *err)
{
    void *x = NULL, *y = NULL, *weight = NULL;
    hm_status st = driver->alloc(gpu, &x, sizeof t->x, HM_GPU_DEVICE, err);
    if (!st)
        st = driver->alloc(gpu, &y, sizeof t->y, HM_GPU_DEVICE, err);
    if (!st)
        st = driver->alloc(gpu, &weight, sizeof t->weight, HM_GPU_DEVICE, err);
    if (!st)
        st = driver->copy(gpu, x, t->x, sizeof t->x, 0, err);
    if (!st)
        st = driver->copy(gpu, weight, t->weight, sizeof t->weight, 0, err);
    const hm_gpu_value values[] = {hm_gpu_pointer(y), hm_gpu_pointer(x), hm_gpu_pointer(weight), hm_gpu_pointer(NULL), hm_gpu_pointer(NULL),
                                   hm_gpu_i32(WIDTH), hm_gpu_i32(1),     hm_gpu_i64(0),          hm_gpu_f32(EPS)};
    const hm_gpu_command command = {
        .kernel = HM_K_rmsnorm, .groups = {ROWS, 1, 1}, .values = values, .count = (int)(sizeof values / sizeof *values)};
    if (!st)
        st = driver->launch(gpu, &command, 0, err);
    if (!st)
        st = driver->copy(gpu, t->y, y, sizeof t->y, 0, err);
    if (!st)
        st = driver->wait(gpu, err);
    void *const all[] = {x, y, weight};
    for (int i = 0; i < 3; i++)
        if (all[i])
            driver->free(gpu, all[i]);
    return st;
}

typedef struct look {
    const hm_gpu_driver *driver;
    const char *interface, *none, *advice; /* "Level Zero", "no Intel GPU"; where there is one and it cannot be used */
} look;

static void try_device(hm_doctor *d, const look *l, const hm_gpu_device *z)
{
    const hm_gpu_facts *f = &z->facts;
    char name[32], index[16], cache[HM_MODEL_PATH];
    bool keeps = !hm_cache_compiled(cache, sizeof cache, NULL) && !hm_make_folders(cache, NULL);
    hm_gpu_options o = {.device = index, .cache = keeps ? cache : NULL};
    hm_gpu *gpu = NULL;
    hm_error err = {0};
    trial t;
    snprintf(index, sizeof index, "%d", z->index);
    snprintf(name, sizeof name, "%s %s", l->driver->backend, index);
    if (!z->gpu) {
        hm_doctor_add(d, name, HM_NOTE, f->driver, NULL, "%.200s: it runs no kernels of ours", f->name);
        return;
    }
    make_trial(&t);
    hm_status st = l->driver->open(&gpu, &o, &err);
    if (!st)
        st = run_kernel(l->driver, gpu, &t, &err);
    if (gpu)
        l->driver->close(&gpu);
    double off = error_of(&t);
    if (st)
        hm_doctor_add(d, name, HM_MISSING, f->driver, NULL, "%.380s", err.text);
    else if (!(off <= TOLERANCE))
        hm_doctor_add(d, name, HM_MISSING, f->driver, "do not use it: update the driver, and report what `hmbench doctor --json` says",
                      "%.160s: a kernel gave wrong numbers (relative error %.2g)", f->name, off);
    else
        hm_doctor_add(d, name, f->software ? HM_NOTE : HM_FINE, f->driver,
                      f->software ? "for tests alone: what it takes says nothing about hardware, and is not ranked" : NULL,
                      "%.160s%s, %.1f GB, %s %s: computes, a kernel is right within %.1g", f->name,
                      f->software && !strstr(f->name, "software device") ? " (software device)" : "", (double)f->memory_bytes * 1e-9,
                      l->interface, f->api, off);
}

static void look_at(hm_doctor *d, const look *l, bool there)
{
    char name[32];
    hm_error err = {0};
    int count = 0;
    hm_gpu_device *list = calloc(HM_GPU_DEVICES, sizeof *list);
    if (!list)
        return;
    snprintf(name, sizeof name, "backend %s", l->driver->backend);
    if (l->driver->list(list, HM_GPU_DEVICES, &count, &err))
        hm_doctor_add(d, name, there ? HM_MISSING : HM_NOTE, NULL, there ? l->advice : NULL, "%s%s%.360s", there ? "" : l->none,
                      there ? "" : " here; ", err.text);
    for (int i = 0; i < count && i < HM_GPU_DEVICES; i++)
        try_device(d, l, &list[i]);
    free(list);
}

/* What the kernel's part of NVIDIA's driver says of itself. */
static void tell_nvidia(hm_doctor *d, const char *root, bool there)
{
    char line[200];
    if (hm_system_text(root, "proc/driver/nvidia", "version", line, sizeof line))
        hm_doctor_add(d, "NVIDIA driver", HM_NOTE, NULL, NULL, "%.160s", line);
    else if (there)
        hm_doctor_add(d, "NVIDIA driver", HM_NOTE, NULL, "install NVIDIA's driver, then `nvidia-smi` shows the GPU",
                      "an NVIDIA GPU is here, its driver is not");
}

void hm_doctor_gpus(hm_doctor *d, const char *root)
{
    hm_gpu_node list[16];
    int count = hm_gpu_nodes(root, list, 16);
    bool intel = false, nvidia = false;
    d->area = "gpu";
    for (int i = 0; i < count; i++) {
        intel = intel || is_intel(&list[i]);
        nvidia = nvidia || !strcmp(list[i].vendor, "0x10de");
        tell_node(d, root, &list[i]);
    }
    if (!count)
        hm_doctor_add(d, "GPUs", HM_NOTE, NULL, NULL, "the kernel shows none (/sys/class/drm/renderD*)");
    tell_nvidia(d, root, nvidia);
    if (strcmp(root, "/") != 0)
        return;
    look_at(
        d, &(look){&hm_ze_driver, "Level Zero", "no Intel GPU", "install Intel's driver: intel-opencl-icd and libze1 (docs/level-zero.md)"},
        intel);
    look_at(d, &(look){&hm_cuda_driver, "CUDA", "no NVIDIA GPU", "install NVIDIA's driver (docs/cuda.md)"}, nvidia);
}
