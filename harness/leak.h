/* Does a process grow from one generation to the next? */
#ifndef HM_HARNESS_LEAK_H
#define HM_HARNESS_LEAK_H

#include <stdbool.h>
#include <stdint.h>

typedef struct hm_leak {
    double bytes_per_generation; /* Theil-Sen slope; NaN below two generations */
    double p;                    /* Mann-Kendall, two-sided: is there a trend at all? */
    bool leaks;                  /* p < 0.01 from 8 generations on, and the slope is a page (4 KiB) or more */
} hm_leak;

/* bytes[n]: held after each generation, all of them of the same request, those that warm up left out. A value below 0 is not known and left
 * out as well: the slope is then per generation that is known. */
hm_leak hm_leak_slope(const int64_t *bytes, int n);

#endif
