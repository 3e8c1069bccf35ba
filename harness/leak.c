#include "harness/leak.h"

#include <math.h>
#include <stdlib.h>

#include "reports/stats.h"

enum {
    LEAST = 8,
    PAGE_BYTES = 4096
};

static const double LEVEL = 0.01;

hm_leak hm_leak_slope(const int64_t *bytes, int n)
{
    hm_leak out = {NAN, 1, false};
    double *y = n > 0 ? malloc((size_t)n * sizeof *y) : NULL;
    int known = 0;
    for (int i = 0; y && i < n; i++)
        if (bytes[i] >= 0)
            y[known++] = (double)bytes[i];
    if (y) {
        out.bytes_per_generation = hm_theil_sen(y, known);
        out.p = hm_mann_kendall_p(y, known);
    }
    free(y);
    out.leaks = known >= LEAST && out.p < LEVEL && out.bytes_per_generation >= PAGE_BYTES;
    return out;
}
