#include "tests/cublas_soft/cublas_soft.h"

#include <cublasLt.h>
#include <cuda.h>
#include <dlfcn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

static cublas_soft_state state;

EXPORT const cublas_soft_state *cublas_soft_look(void);
const cublas_soft_state *cublas_soft_look(void)
{
    return &state;
}

static cublasStatus_t complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (!*state.complaint)
        vsnprintf(state.complaint, sizeof state.complaint, format, args);
    va_end(args);
    return CUBLAS_STATUS_INVALID_VALUE;
}

static bool fails(const char *entry)
{
    const char *wanted = getenv("HM_CUBLAS_FAIL");
    return wanted && !strcmp(wanted, entry);
}
#define ENTER()                                \
    do {                                       \
        if (fails(__func__))                   \
            return CUBLAS_STATUS_ALLOC_FAILED; \
    } while (0)

/* --- the device --- */

/* The software device's own entries, and the kernel there. */
static struct {
    CUresult (*launch)(const CUlaunchConfig *, CUfunction, void **, void **);
    CUresult (*fill)(CUdeviceptr, unsigned, size_t, CUstream);
    CUresult (*unload)(CUmodule);
    CUmodule module;
    CUfunction kernel; /* NULL: not looked for yet */
} device;

static bool find_device(void)
{
    CUresult (*load)(CUmodule *, const void *, unsigned, CUjit_option *, void **);
    CUresult (*find)(CUfunction *, CUmodule, const char *);
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
    if (!library)
        return false;
    *(void **)(&load) = dlsym(library, "cuModuleLoadDataEx");
    *(void **)(&find) = dlsym(library, "cuModuleGetFunction");
    *(void **)(&device.launch) = dlsym(library, "cuLaunchKernelEx");
    *(void **)(&device.fill) = dlsym(library, "cuMemsetD32Async");
    *(void **)(&device.unload) = dlsym(library, "cuModuleUnload");
    bool found = load && find && device.launch && device.fill && device.unload && !load(&device.module, "// of nothing", 0, NULL, NULL) &&
                 !find(&device.kernel, device.module, "hm_cuda_soft_matmul");
    dlclose(library);
    return found;
}

/* --- objects --- */

typedef enum kind {
    HANDLE = 0x71,
    PRODUCT,
    LAYOUT,
    WISH
} kind;

typedef struct object {
    int kind;
    /* product */
    cublasComputeType_t compute;
    cudaDataType_t scale;
    cublasOperation_t turned;
    /* layout */
    cudaDataType_t type;
    uint64_t rows, columns;
    int64_t ld;
    /* wish */
    uint64_t workspace;
    uint32_t schemes, alignments;
} object;

static cublasStatus_t make(void *out, object o)
{
    object *made = malloc(sizeof *made);
    if (!made)
        return CUBLAS_STATUS_ALLOC_FAILED;
    *made = o;
    memcpy(out, &made, sizeof made);
    *(o.kind == HANDLE ? &state.handles : &state.objects) += 1;
    return CUBLAS_STATUS_SUCCESS;
}

static const object *as(const void *handle, kind k)
{
    const object *o = handle;
    if (o && o->kind == (int)k)
        return o;
    complain("an object of kind %d was expected", k);
    return NULL;
}

static cublasStatus_t give_back(void *handle, kind k)
{
    if (!as(handle, k))
        return CUBLAS_STATUS_INVALID_VALUE;
    *(k == HANDLE ? &state.handles : &state.objects) -= 1;
    memset(handle, 0, sizeof(object));
    free(handle);
    return CUBLAS_STATUS_SUCCESS;
}

EXPORT cublasStatus_t cublasLtCreate(cublasLtHandle_t *out)
{
    ENTER();
    return make(out, (object){.kind = HANDLE});
}

EXPORT cublasStatus_t cublasLtDestroy(cublasLtHandle_t h)
{
    if (device.kernel && device.unload(device.module))
        complain("the module of the software library cannot be given back");
    device.kernel = NULL;
    return give_back(h, HANDLE);
}

EXPORT const char *cublasLtGetStatusString(cublasStatus_t st)
{
    return st == CUBLAS_STATUS_NOT_SUPPORTED ? "not supported" : st == CUBLAS_STATUS_ALLOC_FAILED ? "no memory" : "wrong";
}

EXPORT size_t cublasLtGetVersion(void)
{
    return 130000;
}

EXPORT cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *out, cublasComputeType_t compute, cudaDataType_t scale)
{
    ENTER();
    return make(out, (object){.kind = PRODUCT, .compute = compute, .scale = scale, .turned = CUBLAS_OP_N});
}

EXPORT cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d)
{
    return give_back(d, PRODUCT);
}

EXPORT cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t name, const void *value,
                                                     size_t bytes)
{
    ENTER();
    object *o = (object *)(uintptr_t)as(d, PRODUCT);
    if (!o || name != CUBLASLT_MATMUL_DESC_TRANSA || bytes != sizeof o->turned)
        return complain("attribute %d of %zu bytes", name, bytes);
    memcpy(&o->turned, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

EXPORT cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *out, cudaDataType type, uint64_t rows, uint64_t columns,
                                                 int64_t ld)
{
    ENTER();
    if (ld < (int64_t)rows)
        return complain("columns of %llu are %lld apart", (unsigned long long)rows, (long long)ld);
    return make(out, (object){.kind = LAYOUT, .type = type, .rows = rows, .columns = columns, .ld = ld});
}

EXPORT cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l)
{
    return give_back(l, LAYOUT);
}

EXPORT cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *out)
{
    ENTER();
    return make(out, (object){.kind = WISH, .schemes = CUBLASLT_REDUCTION_SCHEME_MASK});
}

EXPORT cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t w)
{
    return give_back(w, WISH);
}

EXPORT cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t w, cublasLtMatmulPreferenceAttributes_t name,
                                                           const void *value, size_t bytes)
{
    ENTER();
    object *o = (object *)(uintptr_t)as(w, WISH);
    uint32_t alignment = 0;
    if (!o || bytes != (name == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES ? 8 : 4))
        return complain("preference %d of %zu bytes", name, bytes);
    if (name == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES)
        memcpy(&o->workspace, value, 8);
    else if (name == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK)
        memcpy(&o->schemes, value, 4);
    else {
        memcpy(&alignment, value, 4);
        o->alignments += alignment == 16;
    }
    return CUBLAS_STATUS_SUCCESS;
}

/* --- products --- */

/* What an algorithm is good for. */
typedef struct signature {
    uint64_t rows, columns, inner, workspace;
    int64_t ld;
} signature;

static cublasStatus_t fit(signature *out, const object *p, const object *a, const object *b, const object *c, const object *d)
{
    if (!p || !a || !b || !c || !d)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (p->compute != CUBLAS_COMPUTE_32F || p->scale != CUDA_R_32F || p->turned != CUBLAS_OP_T || a->type != CUDA_R_16BF ||
        b->type != CUDA_R_16BF || c->type != CUDA_R_32F || d->type != CUDA_R_32F)
        return complain("types or turns that are not the software library's");
    if (a->rows != b->rows || a->columns != d->rows || b->columns != d->columns || memcmp(c, d, sizeof *c))
        return complain("shapes that do not fit each other");
    if (a->ld % 8 || b->ld % 8 || d->ld % 4)
        return complain("columns that do not begin at multiples of 16 bytes");
    *out = (signature){d->rows, d->columns, a->rows, 4096, d->ld};
    return CUBLAS_STATUS_SUCCESS;
}

EXPORT cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t h, cublasLtMatmulDesc_t p, cublasLtMatrixLayout_t a,
                                                     cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                                     cublasLtMatmulPreference_t w, int most, cublasLtMatmulHeuristicResult_t *out,
                                                     int *count)
{
    ENTER();
    signature s;
    const object *wish = as(w, WISH);
    state.heuristics++;
    if (!as(h, HANDLE) || !wish || most != 1)
        return complain("a handle, a preference and one algorithm were expected");
    cublasStatus_t st = fit(&s, as(p, PRODUCT), as(a, LAYOUT), as(b, LAYOUT), as(c, LAYOUT), as(d, LAYOUT));
    if (st)
        return st;
    if (wish->schemes & CUBLASLT_REDUCTION_SCHEME_INPLACE || wish->alignments != 4 || wish->workspace < s.workspace)
        return complain("a fixed order of sums, 16 bytes and %llu of workspace were expected", (unsigned long long)s.workspace);
    *count = 0;
    if (getenv("HM_CUBLAS_REFUSE"))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    memset(out, 0, sizeof *out);
    _Static_assert(sizeof s <= sizeof out->algo, "an algorithm holds a signature");
    memcpy(&out->algo, &s, sizeof s);
    out->workspaceSize = s.workspace;
    *count = 1;
    return CUBLAS_STATUS_SUCCESS;
}

EXPORT cublasStatus_t cublasLtMatmul(cublasLtHandle_t h, cublasLtMatmulDesc_t p, const void *alpha, const void *a,
                                     cublasLtMatrixLayout_t al, const void *b, cublasLtMatrixLayout_t bl, const void *beta, const void *c,
                                     cublasLtMatrixLayout_t cl, void *d, cublasLtMatrixLayout_t dl, const cublasLtMatmulAlgo_t *algo,
                                     void *workspace, size_t bytes, cudaStream_t stream)
{
    ENTER();
    signature s, chosen;
    const object *left = as(al, LAYOUT), *right = as(bl, LAYOUT);
    cublasStatus_t st = as(h, HANDLE) ? fit(&s, as(p, PRODUCT), left, right, as(cl, LAYOUT), as(dl, LAYOUT)) : CUBLAS_STATUS_INVALID_VALUE;
    if (st)
        return st;
    memcpy(&chosen, algo, sizeof chosen);
    if (memcmp(&s, &chosen, sizeof s) || bytes < s.workspace || !workspace || c != d)
        return complain("an algorithm of another shape, a workspace that is too small, or a third matrix");
    if (((uintptr_t)a | (uintptr_t)b | (uintptr_t)d | (uintptr_t)workspace) % 16)
        return complain("a matrix that does not begin at a multiple of 16 bytes");
    if (!device.kernel && !find_device())
        return complain("the software device is not there");
    int rows = (int)s.rows, columns = (int)s.columns, inner = (int)s.inner;
    long ldw = left->ld, ldx = right->ld, ldy = s.ld;
    void *values[] = {&d, &a, &b, &rows, &columns, &inner, &ldw, &ldx, &ldy, (void *)(uintptr_t)alpha, (void *)(uintptr_t)beta};
    CUlaunchConfig config = {.gridDimX = (unsigned)((s.rows * s.columns + 63) / 64),
                             .gridDimY = 1,
                             .gridDimZ = 1,
                             .blockDimX = 64,
                             .blockDimY = 1,
                             .blockDimZ = 1,
                             .hStream = (CUstream)stream};
    state.products++;
    if (device.fill((CUdeviceptr)(uintptr_t)workspace, 0xFFFFFFFFu, bytes / 4, (CUstream)stream) ||
        device.launch(&config, device.kernel, values, NULL))
        return CUBLAS_STATUS_EXECUTION_FAILED;
    return CUBLAS_STATUS_SUCCESS;
}
