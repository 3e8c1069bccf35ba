/* cuBLASLt: the library, and a plan (descriptors and the algorithm that its heuristic names first) for each shape. The same plan serves a
 * shape ever after, and ways that add in no fixed order are not asked for: the same inputs give the same bytes. */
#include "engine/cuda/matmul.h"

#include <cublasLt.h>
#include <dlfcn.h>
#include <stdlib.h>

#include "engine/cuda/cuda_impl.h"

#define ALIGNMENT 16u
#define PLANS 256 /* shapes that are remembered; those after them are not done here */

typedef struct plan {
    hm_cuda_matmul_shape shape;
    bool usable;
    cublasLtMatmulDesc_t product;
    cublasLtMatrixLayout_t w, x, y;
    cublasLtMatmulAlgo_t algorithm;
} plan;

struct hm_cuda_matmul {
    void *library; /* NULL: there is none */
    cublasLtHandle_t handle;
#define HM_CUBLAS_ENTRY(name) __typeof__(&name) name;
#include "engine/cuda/matmul_entries.def"
#undef HM_CUBLAS_ENTRY
    plan plans[PLANS];
    int count;
};

/* --- the library --- */

static void *open_library(void)
{
    static const char *const names[] = {"libcublasLt.so.13", "libcublasLt.so.12"};
    void *library = NULL;
    for (size_t i = 0; !library && i < sizeof names / sizeof *names; i++)
        library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    return library;
}

/* The name of an entry that is missing, or NULL. */
static const char *find_entries(hm_cuda_matmul *m)
{
#define HM_CUBLAS_ENTRY(name)                        \
    *(void **)(&m->name) = dlsym(m->library, #name); \
    if (!m->name)                                    \
        return #name;
#include "engine/cuda/matmul_entries.def"
#undef HM_CUBLAS_ENTRY
    return NULL;
}

static void close_library(hm_cuda_matmul *m)
{
    if (m->handle)
        m->cublasLtDestroy(m->handle);
    if (m->library)
        dlclose(m->library);
    m->library = NULL;
    m->handle = NULL;
}

static void open_handle(hm_cuda_matmul *m, const hm_log *log)
{
    const char *missing = NULL;
    cublasStatus_t st = CUBLAS_STATUS_SUCCESS;
    if (!(m->library = open_library())) {
        hm_log_write(log, HM_LOG_INFO, "cuda: no libcublasLt.so.13 or .12: kernels of this program multiply many rows");
        return;
    }
    if ((missing = find_entries(m))) {
        hm_log_write(log, HM_LOG_WARNING, "cuda: libcublasLt has no %s: kernels of this program multiply many rows", missing);
        close_library(m);
        return;
    }
    if ((st = m->cublasLtCreate(&m->handle))) {
        m->handle = NULL;
        hm_log_write(log, HM_LOG_WARNING, "cuda: cuBLASLt cannot be used (%s): kernels of this program multiply many rows",
                     m->cublasLtGetStatusString(st));
        close_library(m);
        return;
    }
    size_t version = m->cublasLtGetVersion();
    hm_log_write(log, HM_LOG_DEBUG, "cuda: cuBLASLt %zu.%zu multiplies many rows where it can", version / 10000, version / 100 % 100);
}

/* --- plans --- */

static void drop_plan(hm_cuda_matmul *m, plan *p)
{
    cublasLtMatrixLayout_t layouts[] = {p->w, p->x, p->y};
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        if (layouts[i])
            m->cublasLtMatrixLayoutDestroy(layouts[i]);
    if (p->product)
        m->cublasLtMatmulDescDestroy(p->product);
    p->w = p->x = p->y = NULL;
    p->product = NULL;
}

static cublasStatus_t prefer(const hm_cuda_matmul *m, cublasLtMatmulPreference_t wish)
{
    static const cublasLtMatmulPreferenceAttributes_t alignments[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    const uint64_t workspace = HM_CUDA_MATMUL_WORKSPACE;
    const uint32_t alignment = ALIGNMENT, schemes = CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    cublasStatus_t st =
        m->cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace);
    if (!st)
        st = m->cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes, sizeof schemes);
    for (size_t i = 0; !st && i < sizeof alignments / sizeof *alignments; i++)
        st = m->cublasLtMatmulPreferenceSetAttribute(wish, alignments[i], &alignment, sizeof alignment);
    return st;
}

/* Matrices of cuBLASLt go down columns: rows of ours are its columns, and y^T = W x^T. W [out][in] is in x out to it, and turned. */
static cublasStatus_t describe(const hm_cuda_matmul *m, plan *p)
{
    const hm_cuda_matmul_shape *s = &p->shape;
    const uint64_t out = (uint64_t)s->out, M = (uint64_t)s->M, in = (uint64_t)s->in;
    const cublasOperation_t turned = CUBLAS_OP_T;
    cublasStatus_t st = m->cublasLtMatmulDescCreate(&p->product, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    if (!st)
        st = m->cublasLtMatmulDescSetAttribute(p->product, CUBLASLT_MATMUL_DESC_TRANSA, &turned, sizeof turned);
    if (!st)
        st = m->cublasLtMatrixLayoutCreate(&p->w, CUDA_R_16BF, in, out, (int64_t)in);
    if (!st)
        st = m->cublasLtMatrixLayoutCreate(&p->x, CUDA_R_16BF, in, M, (int64_t)in);
    return st ? st : m->cublasLtMatrixLayoutCreate(&p->y, CUDA_R_32F, out, M, s->ldy);
}

static void make_plan(hm_cuda_matmul *m, plan *p, const hm_log *log)
{
    cublasLtMatmulPreference_t wish = NULL;
    cublasLtMatmulHeuristicResult_t found = {0};
    int count = 0;
    cublasStatus_t st = describe(m, p);
    if (!st)
        st = m->cublasLtMatmulPreferenceCreate(&wish);
    if (!st)
        st = prefer(m, wish);
    if (!st)
        st = m->cublasLtMatmulAlgoGetHeuristic(m->handle, p->product, p->w, p->x, p->y, p->y, wish, 1, &found, &count);
    if (wish)
        m->cublasLtMatmulPreferenceDestroy(wish);
    p->usable = !st && count == 1 && !found.state && found.workspaceSize <= HM_CUDA_MATMUL_WORKSPACE;
    p->algorithm = found.algo;
    if (p->usable)
        return;
    hm_log_write(log, HM_LOG_INFO, "cuda: cuBLASLt has no way to multiply %d rows by [%d][%d] (%s): a kernel of this program does",
                 p->shape.M, p->shape.out, p->shape.in, m->cublasLtGetStatusString(st ? st : found.state));
    drop_plan(m, p);
}

static bool same_shape(const hm_cuda_matmul_shape *a, const hm_cuda_matmul_shape *b)
{
    return a->out == b->out && a->M == b->M && a->in == b->in && a->ldy == b->ldy;
}

static plan *find_plan(hm_cuda_matmul *m, const hm_cuda_matmul_shape *shape)
{
    for (int i = 0; i < m->count; i++)
        if (same_shape(&m->plans[i].shape, shape))
            return &m->plans[i];
    return NULL;
}

bool hm_cuda_matmul_ready(hm_gpu *gpu, const hm_cuda_matmul_shape *shape)
{
    hm_error ignored = {0};
    if (hm_cuda_alive(gpu, &ignored))
        return false;
    hm_cuda_matmul *m = gpu->matmul;
    if (!m && (m = gpu->matmul = calloc(1, sizeof *m)))
        open_handle(m, gpu->log);
    if (!m || !m->library)
        return false;
    plan *p = find_plan(m, shape);
    if (!p && m->count < PLANS) {
        p = &m->plans[m->count++];
        p->shape = *shape;
        make_plan(m, p, gpu->log);
    }
    return p && p->usable;
}

void hm_cuda_matmul_close(hm_cuda_matmul **m)
{
    if (!*m)
        return;
    for (int i = 0; i < (*m)->count; i++)
        drop_plan(*m, &(*m)->plans[i]);
    close_library(*m);
    free(*m);
    *m = NULL;
}

/* --- the command --- */

hm_status hm_cuda_matmul_call(hm_gpu *gpu, CUstream stream, const hm_gpu_command *c, hm_error *err)
{
    const hm_gpu_value *v = c->values;
    if (c->count != HM_CUDA_MATMUL_VALUES)
        return hm_fail(err, HM_EBUG, "%s: a product of matrices has %d arguments, expected %d", gpu->where, c->count,
                       HM_CUDA_MATMUL_VALUES);
    const hm_cuda_matmul_shape shape = {v[4].i32, v[5].i32, v[6].i32, v[7].i64};
    hm_cuda_matmul *m = gpu->matmul;
    plan *p = m ? find_plan(m, &shape) : NULL;
    if (!p || !p->usable)
        return hm_fail(err, HM_EBUG, "%s: no plan for %d rows by [%d][%d]", gpu->where, shape.M, shape.out, shape.in);
    const float one = 1, add = v[8].i32 ? 1 : 0;
    void *y = (void *)(uintptr_t)v[0].pointer, *workspace = (void *)(uintptr_t)v[3].pointer;
    cublasStatus_t st = m->cublasLtMatmul(m->handle, p->product, &one, v[2].pointer, p->w, v[1].pointer, p->x, &add, y, p->y, y, p->y,
                                          &p->algorithm, workspace, HM_CUDA_MATMUL_WORKSPACE, (cudaStream_t)stream);
    return st ? hm_fail(err, HM_EBUG,
                        "%s: cuBLASLt failed (%s) on %d rows by [%d][%d]; take its library away, and this program's kernels do it",
                        gpu->where, m->cublasLtGetStatusString(st), shape.M, shape.out, shape.in)
              : HM_OK;
}
