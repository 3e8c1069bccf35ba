/* Kernels of CUDA on the CPU: entries by name, and one launch. C and C++; kernels themselves see hostcuda.h. */
#ifndef HM_TESTS_CUDA_SOFT_HC_H
#define HM_TESTS_CUDA_SOFT_HC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A kernel of a source that was compiled for the CPU. Registered before main, or when the library is loaded. */
typedef struct hc_entry {
    const char *name;
    void (*call)(void *const *values); /* what one thread does; values: addresses of its arguments */
    const uint32_t *sizes;             /* bytes of each parameter */
    uint32_t count;
    uint32_t most_threads; /* of its __launch_bounds__; 0: it has none */
    struct hc_entry *next;
} hc_entry;

void hc_register(hc_entry *entry);
const hc_entry *hc_find(const char *name); /* NULL: there is none */

typedef struct hc_size {
    uint32_t x, y, z;
} hc_size;

#define HC_TEXT 400

/* Runs all blocks, those of large launches on two threads of the host; shared: bytes of dynamic shared memory. 0; or -1 with a sentence: a
 * barrier that not all threads reach, threads that wait for what never comes. reverse: threads begin with the last one, which shows
 * barriers that are missing. One launch at a time. */
int hc_run(const hc_entry *entry, hc_size grid, hc_size block, uint32_t shared, void *const *values, int reverse, char text[HC_TEXT]);

#ifdef __cplusplus
}
#endif
#endif
