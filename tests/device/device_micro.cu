/* What a GPU can do at all, before any kernel of ours is judged by it: read rate of device memory against bytes under way, what a launch costs
 * its stream, a recording and one whose kernels begin early, a barrier of all multiprocessors over one counter, read rate of the second-level
 * cache against the size of what is read, and how fast e4m3 becomes float16. Prints one JSON object; exit code 1 with a sentence on stderr when
 * anything fails, 69 where there is no device. Built by target device_micro where nvcc is; needs no other file at run time. */
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <vector>

static void check(cudaError_t result, const char *what)
{
    if (result == cudaSuccess)
        return;
    fprintf(stderr, "device_micro: %s: %s\n", what, cudaGetErrorString(result));
    exit(1);
}
#define CHECK(call) check(call, #call)

static int sms;
static cudaStream_t stream;
static unsigned *sink; /* what is computed goes here, so that nothing is left out */

/* Median ms of `n` runs between events, after two that do not count. */
template <class F> static double median_ms(int n, F run)
{
    std::vector<float> times;
    cudaEvent_t begin, end;
    CHECK(cudaEventCreate(&begin));
    CHECK(cudaEventCreate(&end));
    for (int i = 0; i < n + 2; i++) {
        float ms;
        CHECK(cudaEventRecord(begin, stream));
        run();
        CHECK(cudaEventRecord(end, stream));
        CHECK(cudaEventSynchronize(end));
        CHECK(cudaGetLastError());
        CHECK(cudaEventElapsedTime(&ms, begin, end));
        if (i >= 2)
            times.push_back(ms);
    }
    CHECK(cudaEventDestroy(begin));
    CHECK(cudaEventDestroy(end));
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
}

/* Random numbers: zeros are read and multiplied faster than real data on some chips. */
__global__ void randomise(uint4 *p, size_t n)
{
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n; i += (size_t)gridDim.x * blockDim.x) {
        unsigned x = (unsigned)i * 2654435761u + 12345u;
        for (int r = 0; r < 3; r++)
            x ^= x << 13, x ^= x >> 17, x ^= x << 5;
        p[i] = make_uint4(x, x * 3u + 1u, x * 5u + 7u, x * 9u + 3u);
    }
}

__device__ __forceinline__ uint4 load_once(const uint4 *p)
{
    uint4 v;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
    return v;
}

/* Each thread has DEEP loads of 16 bytes under way; `rounds` passes over n vectors. */
template <int DEEP> __global__ void read_all(const uint4 *p, size_t n, int rounds, unsigned *to)
{
    const size_t step = (size_t)gridDim.x * blockDim.x;
    unsigned all = 0;
    for (int r = 0; r < rounds; r++)
        for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n; i += step * DEEP) {
            uint4 v[DEEP];
#pragma unroll
            for (int u = 0; u < DEEP; u++)
                v[u] = i + u * step < n ? load_once(p + i + u * step) : make_uint4(0, 0, 0, 0);
#pragma unroll
            for (int u = 0; u < DEEP; u++)
                all ^= v[u].x ^ v[u].y ^ v[u].z ^ v[u].w;
        }
    if (all == 0x12345678u)
        *to = all;
}

template <int DEEP> static double read_rate(const uint4 *p, size_t bytes, int blocks, int threads, int rounds)
{
    double ms = median_ms(9, [&] { read_all<DEEP><<<blocks, threads, 0, stream>>>(p, bytes / 16, rounds, sink); });
    return (double)bytes * rounds / (ms * 1e9);
}

static void print_read_rates(const uint4 *p, size_t bytes)
{
    printf("  \"read\": [");
    const char *comma = "";
    for (int threads = 128; threads <= 1024; threads *= 2) {
        const double rates[] = {read_rate<1>(p, bytes, sms, threads, 1), read_rate<2>(p, bytes, sms, threads, 1),
                                read_rate<4>(p, bytes, sms, threads, 1), read_rate<8>(p, bytes, sms, threads, 1)};
        for (int d = 0; d < 4; d++, comma = ",")
            printf("%s\n    {\"bytes_under_way_per_sm\": %d, \"threads\": %d, \"tb_per_s\": %.3f}", comma, threads * 16 << d, threads,
                   rates[d]);
    }
    printf("%s\n    {\"bytes_under_way_per_sm\": %d, \"threads\": %d, \"tb_per_s\": %.3f}\n  ],\n", comma, 2048 * 128, 2048,
           read_rate<8>(p, bytes, sms * 2, 1024, 1));
}

static void print_cache_rates(const uint4 *p)
{
    printf("  \"cache\": [");
    for (int mb = 4, first = 1; mb <= 96; mb += mb < 32 ? 4 : 8, first = 0)
        printf("%s\n    {\"mib\": %d, \"tb_per_s\": %.3f}", first ? "" : ",", mb,
               read_rate<8>(p, (size_t)mb << 20, sms * 2, 1024, 1 + 1024 / mb));
    printf("\n  ],\n");
}

/* --- what a dependency costs --- */

__global__ void nothing(unsigned *to, int early)
{
#if __CUDA_ARCH__ >= 900
    if (early) {
        asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
        asm volatile("griddepcontrol.wait;" ::: "memory");
    }
#endif
    if (to == nullptr && early > 1)
        *to = 0;
}

static void launch_nothing(bool early)
{
    cudaLaunchAttribute attribute = {};
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3((unsigned)sms);
    config.blockDim = dim3(256);
    config.stream = stream;
    config.attrs = &attribute;
    config.numAttrs = early ? 1 : 0;
    CHECK(cudaLaunchKernelEx(&config, nothing, sink, early ? 1 : 0));
}

/* us for each kernel of a chain of `n`. */
static double chain_us(int n, bool recorded, bool early)
{
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    double ms;
    if (!recorded)
        ms = median_ms(15, [&] {
            for (int i = 0; i < n; i++)
                launch_nothing(early);
        });
    else {
        CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
        for (int i = 0; i < n; i++)
            launch_nothing(early);
        CHECK(cudaStreamEndCapture(stream, &graph));
        CHECK(cudaGraphInstantiate(&exec, graph, 0));
        ms = median_ms(15, [&] { CHECK(cudaGraphLaunch(exec, stream)); });
        CHECK(cudaGraphExecDestroy(exec));
        CHECK(cudaGraphDestroy(graph));
    }
    return ms * 1e3 / n;
}

/* A barrier of all blocks, `n` times: one counter that only grows, added to with release and polled with acquire. */
__global__ void barriers(unsigned *counter, int n)
{
    for (int i = 1; i <= n; i++) {
        __syncthreads();
        if (threadIdx.x == 0) {
            unsigned seen, wanted = (unsigned)i * gridDim.x;
            asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(counter) : "memory");
            do
                asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(counter) : "memory");
            while (seen < wanted);
        }
        __syncthreads();
    }
}

static double barrier_us(int n)
{
    int blocks = sms;
    void *arguments[] = {&sink, &n};
    double ms = median_ms(9, [&] {
        CHECK(cudaMemsetAsync(sink, 0, sizeof *sink, stream));
        CHECK(cudaLaunchCooperativeKernel((const void *)barriers, dim3((unsigned)blocks), dim3(256), arguments, 0, stream));
    });
    return ms * 1e3 / n;
}

/* --- e4m3 to float16 --- */

__global__ void convert(unsigned *to, int n)
{
    unsigned words[4] = {threadIdx.x, threadIdx.x * 3u, threadIdx.x * 5u, threadIdx.x * 7u}, all = 0;
    for (int i = 0; i < n; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const __half2_raw pair = __nv_cvt_fp8x2_to_halfraw2((__nv_fp8x2_storage_t)words[j], __NV_E4M3);
            words[j] = words[j] * 5u + pair.x;
            all ^= pair.y;
        }
    if (all == 0x12345678u)
        *to = all;
}

/* Values a second, in billions for a multiprocessor. */
static double conversions(void)
{
    const int n = 4096, blocks = sms * 2, threads = 1024;
    double ms = median_ms(9, [&] { convert<<<blocks, threads, 0, stream>>>(sink, n); });
    return 8.0 * n * blocks * threads / (ms * 1e6) / sms;
}

int main(void)
{
    cudaDeviceProp device;
    int count = 0;
    if (cudaGetDeviceCount(&count) != cudaSuccess || count < 1) {
        fprintf(stderr, "device_micro: no CUDA device or driver\n");
        return 69;
    }
    CHECK(cudaGetDeviceProperties(&device, 0));
    sms = device.multiProcessorCount;
    size_t bytes = std::min(device.totalGlobalMem / 4, (size_t)4 << 30) / 4096 * 4096;
    uint4 *data;
    CHECK(cudaStreamCreate(&stream));
    CHECK(cudaMalloc(&data, bytes));
    CHECK(cudaMalloc(&sink, 256));
    randomise<<<sms * 8, 256, 0, stream>>>(data, bytes / 16);
    CHECK(cudaStreamSynchronize(stream));
    printf("{\n  \"device\": \"%s\", \"compute\": \"%d.%d\", \"sms\": %d, \"l2_bytes\": %d, \"read_bytes\": %zu,\n", device.name, device.major,
           device.minor, sms, device.l2CacheSize, bytes);
    print_read_rates(data, bytes);
    print_cache_rates(data);
    printf("  \"launch_us\": {\"stream\": %.3f, \"recorded\": %.3f", chain_us(512, false, false), chain_us(512, true, false));
    if (device.major >= 9)
        printf(", \"stream_early\": %.3f, \"recorded_early\": %.3f", chain_us(512, false, true), chain_us(512, true, true));
    printf("},\n  \"barrier_us\": %.3f,\n  \"e4m3_per_ns_per_sm\": %.3f\n}\n", barrier_us(1000), conversions());
    return fflush(stdout) || ferror(stdout) ? 1 : 0;
}
