/* The CPU through OpenCL: one device, one queue, programs from SPIR-V. */
#define _GNU_SOURCE
#include "tests/ze_soft/soft.h"

#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define POCL_ICD "/etc/OpenCL/vendors/pocl.icd"

soft_opencl hm_soft_cl;
extern char **environ;

/* --- opening --- */

static bool choose_device(soft_opencl *c)
{
    cl_platform_id platforms[8];
    cl_uint count = 0;
    if (clGetPlatformIDs(8, platforms, &count))
        return false;
    for (int wanted = 1; wanted >= 0; wanted--) /* PoCL before others */
        for (cl_uint i = 0; i < count && i < 8; i++) {
            char name[256] = "";
            clGetPlatformInfo(platforms[i], CL_PLATFORM_NAME, sizeof name, name, NULL);
            if ((!wanted || strstr(name, "Portable")) && !clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_CPU, 1, &c->device, NULL)) {
                c->platform = platforms[i];
                return true;
            }
        }
    return false;
}

static bool open_once(soft_opencl *c)
{
    const char *cache = getenv("POCL_CACHE_DIR");
    snprintf(c->cache, sizeof c->cache, "%s", cache && *cache ? cache : HM_SOFT_CACHE);
    mkdir(c->cache, 0777);
    setenv("POCL_CACHE_DIR", c->cache, 0);
    if (!access(POCL_ICD, R_OK))
        setenv("OCL_ICD_VENDORS", POCL_ICD, 0); /* others are slow to start, or do not go with sanitizers */
    setenv("POCL_DEVICES", "basic", 0);         /* launches in 1 us instead of 15, and the other cores stay free */
    cl_int st = 0;
    if (!choose_device(c)) {
        fprintf(stderr, "ze_soft: there is no OpenCL device of the CPU; install pocl-opencl-icd\n");
        return false;
    }
    c->context = clCreateContext(NULL, 1, &c->device, NULL, NULL, &st);
    if (!st)
        c->queue = clCreateCommandQueueWithProperties(c->context, c->device, NULL, &st);
    if (st) {
        fprintf(stderr, "ze_soft: OpenCL: no context or queue, error %d\n", st);
        return false;
    }
    char il[256] = "";
    clGetDeviceInfo(c->device, CL_DEVICE_IL_VERSION, sizeof il, il, NULL);
    c->takes_spirv = strstr(il, "SPIR-V") != NULL;
    clGetDeviceInfo(c->device, CL_DEVICE_NAME, sizeof c->name, c->name, NULL);
    return true;
}

bool hm_soft_cl_open(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static int state; /* 0: not tried */
    pthread_mutex_lock(&lock);
    if (!state)
        state = open_once(&hm_soft_cl) ? 1 : -1;
    pthread_mutex_unlock(&lock);
    return state > 0;
}

/* --- SPIR-V to bitcode, for runtimes that read only that --- */

static uint64_t hash(const void *data, size_t bytes, uint64_t seed)
{
    const unsigned char *p = data;
    uint64_t h = 0xcbf29ce484222325u ^ seed;
    for (size_t i = 0; i < bytes; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

static unsigned char *read_all(const char *path, size_t *bytes)
{
    FILE *f = fopen(path, "rb");
    struct stat info;
    unsigned char *data = NULL;
    if (f && !fstat(fileno(f), &info) && info.st_size > 0) {
        *bytes = (size_t)info.st_size;
        data = malloc(*bytes);
        if (data && fread(data, 1, *bytes, f) != *bytes) {
            free(data);
            data = NULL;
        }
    }
    if (f)
        fclose(f);
    return data;
}

static bool write_all(const char *path, const void *data, size_t bytes)
{
    FILE *f = fopen(path, "wb");
    bool good = f && fwrite(data, 1, bytes, f) == bytes;
    return f && !fclose(f) && good;
}

static bool translate(const char *from, const char *to)
{
    pid_t child;
    int status = 0;
    char *const args[] = {HM_SOFT_LLVM_SPIRV, "-r", (char *)from, "-o", (char *)to, NULL};
    if (posix_spawnp(&child, args[0], NULL, NULL, args, environ))
        return false;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) && !WEXITSTATUS(status);
}

/* Kept by the hash of what it was made of. NULL: log_text says why. */
static unsigned char *bitcode(const void *spirv, size_t bytes, size_t *out_bytes, char **log_text)
{
    char kept[600], in[640], out[640];
    snprintf(kept, sizeof kept, "%s/%016llx%016llx.bc", hm_soft_cl.cache, (unsigned long long)hash(spirv, bytes, bytes),
             (unsigned long long)hash(spirv, bytes, ~(uint64_t)0));
    unsigned char *data = read_all(kept, out_bytes);
    if (data)
        return data;
    snprintf(in, sizeof in, "%s.%ld.spv", kept, (long)getpid());
    snprintf(out, sizeof out, "%s.%ld.new", kept, (long)getpid());
    if (write_all(in, spirv, bytes) && translate(in, out) && (data = read_all(out, out_bytes)))
        rename(out, kept);
    else if (asprintf(log_text, "%s -r could not translate the module (folder %s)", HM_SOFT_LLVM_SPIRV, hm_soft_cl.cache) < 0)
        *log_text = NULL;
    unlink(in);
    unlink(out);
    return data;
}

/* --- programs --- */

static char *build_log(cl_program program)
{
    size_t bytes = 0;
    if (!program || clGetProgramBuildInfo(program, hm_soft_cl.device, CL_PROGRAM_BUILD_LOG, 0, NULL, &bytes))
        return NULL;
    char *text = calloc(1, bytes + 1);
    if (text)
        clGetProgramBuildInfo(program, hm_soft_cl.device, CL_PROGRAM_BUILD_LOG, bytes, text, NULL);
    return text;
}

cl_program hm_soft_cl_program(const void *spirv, size_t bytes, char **log_text)
{
    soft_opencl *c = &hm_soft_cl;
    cl_int st = 0;
    cl_program program = NULL;
    *log_text = NULL;
    if (c->takes_spirv) {
        program = clCreateProgramWithIL(c->context, spirv, bytes, &st);
    } else {
        size_t size = 0;
        const unsigned char *data = bitcode(spirv, bytes, &size, log_text);
        if (!data)
            return NULL;
        cl_int loaded = 0;
        program = clCreateProgramWithBinary(c->context, 1, &c->device, &size, &data, &loaded, &st);
        free((void *)data);
    }
    if (!st)
        st = clBuildProgram(program, 1, &c->device, c->takes_spirv ? "" : "-x spir -spir-std=1.2", NULL, NULL);
    *log_text = build_log(program);
    if (!st)
        return program;
    if (program)
        clReleaseProgram(program);
    return NULL;
}
