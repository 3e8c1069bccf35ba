/* What a source of CUDA C++ is compiled with for the CPU (g++ -x c++ -include tests/cuda_soft/hostcuda.h): HM_HOSTCUDA is defined, and
 * CUDA's words mean what hostcuda.cc does. Every thread of a block that waits for others has a stack of its own; a kernel that waits for
 * nobody is a plain call per thread. Threads of a block run in turn, so atomics within it need nothing; blocks may run on two threads.
 *
 * Shared memory: SHARED(type, name, count) of engine/gpu/compat.inc and DYNAMIC_SHARED(type, name) of engine/cuda/kernel.inc, full of NaN
 * when a block begins; bare __shared__ keeps what the block before left. At kernel scope, as every thread comes by once.
 *
 * Instructions that have no words of CUDA C++ (mma, ldmatrix, copies) are emulated with hc_warp_exchange, barriers of less than a block
 * with hc_barrier, polling with hc_yield. Addresses that PTX would take as numbers are the pointers themselves.
 *
 * A test may also include a kernel's source and run it: hc_launch(kernel, grid, block, shared, arguments...). */
#ifndef HM_TESTS_CUDA_SOFT_HOSTCUDA_H
#define HM_TESTS_CUDA_SOFT_HOSTCUDA_H
#define HM_HOSTCUDA 1

#include <math.h>
#include <stdint.h>
#include <string.h>
#include <type_traits>
#include <utility>
#include <vector_functions.h>
#include <vector_types.h>

#include "tests/cuda_soft/hc.h"

#undef __global__
#undef __device__
#undef __host__
#undef __constant__
#undef __shared__
#undef __forceinline__
#undef __launch_bounds__
#undef __cluster_dims__
#undef __grid_constant__
#define __device__
#define __host__
#define __constant__ static
#define __shared__ static thread_local
#define __forceinline__ inline __attribute__((always_inline))
#define __cluster_dims__(...)
#define __grid_constant__
#ifndef HC_LISTING /* entries.cmake looks for these two words */
#define __global__
#define __launch_bounds__(...)
#endif

/* --- what a thread knows --- */

/* Where every thread finds it: at the foot of its stack, each in lines of the cache of its own. */
#define HC_STACK ((uintptr_t)128 << 10)
struct hc_here {
    uint3 thread_index, block_index, block_size, grid_size;
    unsigned thread; /* of the block: x first */
    struct hc_worker *worker;
};
static inline hc_here *hc_at(uintptr_t stack)
{
    return (hc_here *)(stack + stack / HC_STACK % 32 * 128);
}
static inline hc_here *hc_self(void)
{
    uintptr_t sp;
#ifdef __x86_64__
    __asm__("mov %%rsp, %0" : "=r"(sp));
#else
    __asm__("mov %0, sp" : "=r"(sp));
#endif
    return hc_at(sp & ~(HC_STACK - 1));
}
#define threadIdx (hc_self()->thread_index)
#define blockIdx (hc_self()->block_index)
#define blockDim (hc_self()->block_size)
#define gridDim (hc_self()->grid_size)
static const int warpSize = 32;

static inline unsigned hc_lane(void)
{
    return hc_self()->thread & 31;
}

/* --- waiting: hostcuda.cc --- */

void *hc_shared(size_t bytes); /* the next `bytes` of the block's static shared memory */
void *hc_dynamic_shared(void); /* 16-byte aligned */
uint32_t hc_dynamic_bytes(void);
void hc_barrier(int id, unsigned threads); /* bar.sync: 0 and all threads are __syncthreads */
void hc_yield(void);                       /* others go on first; what polls for ever is told */
void hc_warp_all(unsigned mask, const void *mine, size_t bytes, void *all);
void hc_warp_from(unsigned mask, const void *mine, size_t bytes, unsigned from, void *got);
void hc_warp_wait(unsigned mask);
int hc_vote(int kind, int value); /* over a block: 0 count, 1 and, 2 or */
void hc_trap(const char *why);

/* What all 32 threads of the warp give: all[lane*bytes ...]. 64 bytes each at most. */
static inline void hc_warp_exchange(const void *mine, size_t bytes, void *all)
{
    hc_warp_all(~0u, mine, bytes, all);
}

#undef SHARED
#define SHARED(type, name, count) type(&name)[count] = *(type(*)[count])hc_shared(sizeof(type[count]))
#define DYNAMIC_SHARED(type, name) type *name = (type *)hc_dynamic_shared()

static inline void __syncthreads(void)
{
    hc_barrier(0, blockDim.x * blockDim.y * blockDim.z);
}
static inline int __syncthreads_count(int v)
{
    return hc_vote(0, v);
}
static inline int __syncthreads_and(int v)
{
    return hc_vote(1, v);
}
static inline int __syncthreads_or(int v)
{
    return hc_vote(2, v);
}
static inline void __syncwarp(unsigned mask = ~0u)
{
    hc_warp_wait(mask);
}
static inline void __nanosleep(unsigned)
{
    hc_yield();
}
static inline void __threadfence(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
static inline void __threadfence_block(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
static inline void __threadfence_system(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
static inline void __trap(void)
{
    hc_trap("__trap");
}

/* --- warps --- */

template <class T> static inline T hc_shfl(unsigned mask, T v, unsigned from)
{
    T got;
    hc_warp_from(mask, &v, sizeof v, from, &got);
    return got;
}
template <class T> static inline T __shfl_sync(unsigned mask, T v, int lane, int width = 32)
{
    unsigned l = hc_lane(), first = l & ~(unsigned)(width - 1);
    return hc_shfl(mask, v, first + ((unsigned)lane & (unsigned)(width - 1)));
}
template <class T> static inline T __shfl_xor_sync(unsigned mask, T v, int bits, int width = 32)
{
    unsigned l = hc_lane(), from = l ^ (unsigned)bits, end = (l & ~(unsigned)(width - 1)) + (unsigned)width;
    return hc_shfl(mask, v, from < end ? from : l);
}
template <class T> static inline T __shfl_down_sync(unsigned mask, T v, unsigned by, int width = 32)
{
    unsigned l = hc_lane(), end = (l & ~(unsigned)(width - 1)) + (unsigned)width;
    return hc_shfl(mask, v, l + by < end ? l + by : l);
}
template <class T> static inline T __shfl_up_sync(unsigned mask, T v, unsigned by, int width = 32)
{
    unsigned l = hc_lane(), first = l & ~(unsigned)(width - 1);
    return hc_shfl(mask, v, l >= first + by ? l - by : l);
}
template <class T, class Join> static inline T hc_reduce(unsigned mask, T v, Join join)
{
    T all[32], result = v;
    bool some = false;
    hc_warp_all(mask, &v, sizeof v, all);
    for (int l = 0; l < 32; l++)
        if (mask >> l & 1) {
            result = some ? join(result, all[l]) : all[l];
            some = true;
        }
    return result;
}
template <class T> static inline T __reduce_add_sync(unsigned mask, T v)
{
    return hc_reduce(mask, v, [](T a, T b) { return a + b; });
}
template <class T> static inline T __reduce_min_sync(unsigned mask, T v)
{
    return hc_reduce(mask, v, [](T a, T b) { return a < b ? a : b; });
}
template <class T> static inline T __reduce_max_sync(unsigned mask, T v)
{
    return hc_reduce(mask, v, [](T a, T b) { return a > b ? a : b; });
}
template <class T> static inline T __reduce_and_sync(unsigned mask, T v)
{
    return hc_reduce(mask, v, [](T a, T b) { return a & b; });
}
template <class T> static inline T __reduce_or_sync(unsigned mask, T v)
{
    return hc_reduce(mask, v, [](T a, T b) { return a | b; });
}
static inline unsigned __ballot_sync(unsigned mask, int v)
{
    return __reduce_or_sync(mask, v ? 1u << hc_lane() : 0u);
}
static inline int __any_sync(unsigned mask, int v)
{
    return __ballot_sync(mask, v) != 0;
}
static inline int __all_sync(unsigned mask, int v)
{
    return __ballot_sync(mask, !v) == 0;
}
template <class T> static inline unsigned __match_any_sync(unsigned mask, T v)
{
    T all[32];
    unsigned same = 0;
    hc_warp_all(mask, &v, sizeof v, all);
    for (int l = 0; l < 32; l++)
        same |= (mask >> l & 1) && !memcmp(&all[l], &v, sizeof v) ? 1u << l : 0u;
    return same;
}

/* --- memory --- */

#define HC_LOAD(name)                                   \
    template <class T> static inline T name(const T *p) \
    {                                                   \
        return *p;                                      \
    }
HC_LOAD(__ldg)
HC_LOAD(__ldca)
HC_LOAD(__ldcg)
HC_LOAD(__ldcs)
HC_LOAD(__ldlu)
HC_LOAD(__ldcv)
#define HC_STORE(name)                                    \
    template <class T> static inline void name(T *p, T v) \
    {                                                     \
        *p = v;                                           \
    }
HC_STORE(__stwb)
HC_STORE(__stcg)
HC_STORE(__stcs)
HC_STORE(__stwt)
static inline size_t __cvta_generic_to_shared(const void *p)
{
    return (size_t)p;
}
static inline size_t __cvta_generic_to_global(const void *p)
{
    return (size_t)p;
}

template <class T> struct hc_bits {
    typedef typename std::conditional<sizeof(T) == 8, unsigned long long, unsigned>::type type;
};
template <class T, class Change> static inline T hc_atomic(T *p, Change change)
{
    typedef typename hc_bits<T>::type bits;
    bits old = __atomic_load_n((bits *)p, __ATOMIC_SEQ_CST), next;
    T was;
    do {
        memcpy(&was, &old, sizeof was);
        T is = change(was);
        memcpy(&next, &is, sizeof is);
    } while (!__atomic_compare_exchange_n((bits *)p, &old, next, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    return was;
}
template <class T> struct hc_same {
    typedef T type;
};
#define HC_ATOMIC(name, next)                                                  \
    template <class T> static inline T name(T *p, typename hc_same<T>::type v) \
    {                                                                          \
        return hc_atomic(p, [v](T was) { return (T)(next); });                 \
    }
HC_ATOMIC(atomicAdd, was + v)
HC_ATOMIC(atomicSub, was - v)
HC_ATOMIC(atomicMin, was < v ? was : v)
HC_ATOMIC(atomicMax, was > v ? was : v)
HC_ATOMIC(atomicExch, (void(was), v))
HC_ATOMIC(atomicAnd, was &v)
HC_ATOMIC(atomicOr, was | v)
HC_ATOMIC(atomicXor, was ^ v)
HC_ATOMIC(atomicInc, was >= v ? 0 : was + 1)
HC_ATOMIC(atomicDec, was == 0 || was > v ? v : was - 1)
template <class T> static inline T atomicCAS(T *p, typename hc_same<T>::type old, typename hc_same<T>::type v)
{
    return hc_atomic(p, [old, v](T was) { return was == old ? v : was; });
}

/* --- arithmetic --- */

template <class To, class From> static inline To hc_as(From v)
{
    static_assert(sizeof(To) == sizeof(From), "of one size");
    To to;
    memcpy(&to, &v, sizeof to);
    return to;
}
static inline float __uint_as_float(unsigned v)
{
    return hc_as<float>(v);
}
static inline unsigned __float_as_uint(float v)
{
    return hc_as<unsigned>(v);
}
static inline float __int_as_float(int v)
{
    return hc_as<float>(v);
}
static inline int __float_as_int(float v)
{
    return hc_as<int>(v);
}
static inline long long __double_as_longlong(double v)
{
    return hc_as<long long>(v);
}
static inline double __longlong_as_double(long long v)
{
    return hc_as<double>(v);
}
#define HC_FLOAT1(name, value)        \
    static inline float name(float a) \
    {                                 \
        return value;                 \
    }
#define HC_FLOAT2(name, value)                 \
    static inline float name(float a, float b) \
    {                                          \
        return value;                          \
    }
/* glibc declares some of these names for itself */
#define __expf(a) expf(a)
#define __logf(a) logf(a)
#define __log2f(a) log2f(a)
#define __log10f(a) log10f(a)
#define __sinf(a) sinf(a)
#define __cosf(a) cosf(a)
#define __tanf(a) tanf(a)
#define __powf(a, b) powf(a, b)
#define __exp10f(a) powf(10.0f, a)
HC_FLOAT1(rsqrtf, 1.0f / sqrtf(a))
HC_FLOAT1(__frsqrt_rn, (float)(1.0 / sqrt((double)a)))
HC_FLOAT1(__fsqrt_rn, sqrtf(a))
HC_FLOAT1(__frcp_rn, 1.0f / a)
HC_FLOAT1(__saturatef, a > 0.0f ? a < 1.0f ? a : 1.0f : 0.0f)
HC_FLOAT2(__fdiv_rn, a / b)
HC_FLOAT2(__fdividef, a / b)
HC_FLOAT2(__fmul_rn, a *b)
HC_FLOAT2(__fadd_rn, a + b)
HC_FLOAT2(__fsub_rn, a - b)
static inline float rsqrt(float a)
{
    return rsqrtf(a);
}
static inline float __fmaf_rn(float a, float b, float c)
{
    return fmaf(a, b, c);
}
static inline int __float2int_rn(float a)
{
    return (int)rintf(a);
}
static inline int __float2int_rz(float a)
{
    return (int)a;
}
static inline int __float2int_rd(float a)
{
    return (int)floorf(a);
}
static inline int __float2int_ru(float a)
{
    return (int)ceilf(a);
}
static inline unsigned __float2uint_rn(float a)
{
    return (unsigned)rintf(a);
}
static inline unsigned __float2uint_rz(float a)
{
    return (unsigned)a;
}
static inline float __int2float_rn(int a)
{
    return (float)a;
}
static inline float __uint2float_rn(unsigned a)
{
    return (float)a;
}
static inline int __popc(unsigned v)
{
    return __builtin_popcount(v);
}
static inline int __popcll(unsigned long long v)
{
    return __builtin_popcountll(v);
}
static inline int __clz(int v)
{
    return v ? __builtin_clz((unsigned)v) : 32;
}
static inline int __clzll(long long v)
{
    return v ? __builtin_clzll((unsigned long long)v) : 64;
}
static inline int __ffs(int v)
{
    return __builtin_ffs(v);
}
static inline int __ffsll(long long v)
{
    return __builtin_ffsll(v);
}
static inline unsigned __brev(unsigned v)
{
    unsigned r = 0;
    for (int i = 0; i < 32; i++)
        r |= (v >> i & 1) << (31 - i);
    return r;
}
static inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector)
{
    unsigned long long both = (unsigned long long)b << 32 | a;
    unsigned r = 0;
    for (int i = 0; i < 4; i++) {
        unsigned s = selector >> (4 * i) & 15, byte = (unsigned)(both >> (8 * (s & 7))) & 255;
        r |= (s & 8 ? byte & 128 ? 255u : 0u : byte) << (8 * i);
    }
    return r;
}
static inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned by)
{
    return (unsigned)(((unsigned long long)high << 32 | low) << (by & 31) >> 32);
}
static inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned by)
{
    return (unsigned)(((unsigned long long)high << 32 | low) >> (by & 31));
}
static inline unsigned __umulhi(unsigned a, unsigned b)
{
    return (unsigned)((unsigned long long)a * b >> 32);
}
static inline int __mulhi(int a, int b)
{
    return (int)((long long)a * b >> 32);
}
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}
static inline int __dp4a(int a, int b, int c)
{
    for (int i = 0; i < 4; i++)
        c += (int)(int8_t)(a >> (8 * i)) * (int)(int8_t)(b >> (8 * i));
    return c;
}
#define HC_MOST(type)                      \
    static inline type min(type a, type b) \
    {                                      \
        return a < b ? a : b;              \
    }                                      \
    static inline type max(type a, type b) \
    {                                      \
        return a > b ? a : b;              \
    }
HC_MOST(int)
HC_MOST(unsigned)
HC_MOST(long)
HC_MOST(unsigned long)
HC_MOST(long long)
HC_MOST(unsigned long long)
static inline float min(float a, float b)
{
    return fminf(a, b);
}
static inline float max(float a, float b)
{
    return fmaxf(a, b);
}

/* --- entries --- */

template <class F> struct hc_kernel;
template <class... P> struct hc_kernel<void (*)(P...)> {
    static constexpr uint32_t count = sizeof...(P);
    static constexpr uint32_t sizes[] = {(uint32_t)sizeof(P)..., 0};
    template <void (*K)(P...), size_t... I> static void with(void *const *values, std::index_sequence<I...>)
    {
        K(*(typename std::remove_cv<P>::type *)values[I]...);
    }
    template <void (*K)(P...)> static void call(void *const *values)
    {
        with<K>(values, std::index_sequence_for<P...>{});
    }
    /* of hc_launch: arguments become what the parameters are */
    static int launch(void (*k)(P...), void (*call)(void *const *), hc_size grid, hc_size block, uint32_t shared, char *text, P... args)
    {
        void *values[] = {(void *)&args..., nullptr};
        const hc_entry entry = {"the kernel", call, sizes, count, 0, nullptr};
        (void)k;
        return hc_run(&entry, grid, block, shared, values, 0, text);
    }
};

/* A kernel of this source joins the table; most: what its __launch_bounds__ say, or 0. */
#define HC_ENTRY(kernel, most)                                                       \
    static hc_entry hc_entry_##kernel = {#kernel,                                    \
                                         hc_kernel<decltype(&kernel)>::call<kernel>, \
                                         hc_kernel<decltype(&kernel)>::sizes,        \
                                         hc_kernel<decltype(&kernel)>::count,        \
                                         (uint32_t)(most),                           \
                                         nullptr};                                   \
    __attribute__((constructor)) static void hc_register_##kernel(void)              \
    {                                                                                \
        hc_register(&hc_entry_##kernel);                                             \
    }

/* 0, or -1 with a sentence in text[HC_TEXT]. */
#define hc_launch(kernel, grid, block, shared, text, ...) \
    hc_kernel<decltype(&kernel)>::launch(kernel, hc_kernel<decltype(&kernel)>::call<kernel>, grid, block, shared, text, __VA_ARGS__)

#endif
