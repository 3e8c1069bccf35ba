/* A team of threads that runs one function at a time on all of them. The caller is thread 0. */
#ifndef HM_ENGINE_BASE_TEAM_H
#define HM_ENGINE_BASE_TEAM_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/error.h"
#include "engine/base/probe.h"

typedef struct hm_team hm_team;

/* Part `index` of `count` of the work; parts run at the same time. */
typedef void (*hm_team_fn)(void *arg, int index, int count);

/* threads >= 1; 0 means the CPUs this process may use (affinity mask and cgroup quota). Workers are pinned when every one of
 * them can have a CPU of its own. */
hm_status hm_team_open(hm_team **out, int threads, hm_error *err);
/* The same, with workers pinned behind the first `first` CPUs: teams that run at the same time. */
hm_status hm_team_open_at(hm_team **out, int threads, int first, hm_error *err);
void hm_team_close(hm_team **team);
int hm_team_size(const hm_team *team);

/* Runs fn on every thread and returns when all are done. Not reentrant. Waiting threads spin for about 50 us, then sleep. */
void hm_team_run(hm_team *team, hm_team_fn fn, void *arg);
/* The same; a probe that wants HM_SPAN_TEAM is told how long the caller waited for the others ("wait for team"). */
void hm_team_run_told(hm_team *team, hm_team_fn fn, void *arg, const hm_probe *probe);

/* CPUs this process may use: sched_getaffinity bounded by the cgroup v2 quota, at least 1. */
int hm_cpu_available(void);

/* [first, last) of `count` items for part `index` of `parts`, in multiples of `grain`; the same split for the same arguments. */
static inline void hm_team_range(size_t items, size_t grain, int index, int parts, size_t *first, size_t *last)
{
    size_t blocks = (items + grain - 1) / grain;
    size_t lo = blocks * (size_t)index / (size_t)parts * grain, hi = blocks * (size_t)(index + 1) / (size_t)parts * grain;
    *first = lo < items ? lo : items;
    *last = hi < items ? hi : items;
}

#endif
