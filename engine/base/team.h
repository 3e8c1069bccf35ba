/* A team of threads that works through the parts of one job at a time. The caller is thread 0.
 *
 * Parts are taken, not given: a thread that has no CPU at the moment takes none, and the others do not wait for what nobody has begun.
 * Which thread runs which part is chance, so results must not depend on it. Waiting threads spin, as long as that has lately been worth
 * it, at most about 50 us, then sleep. While other programs want the CPUs, so that the team takes longer than its caller alone would, the
 * caller works alone and tries the team again later. */
#ifndef HM_ENGINE_BASE_TEAM_H
#define HM_ENGINE_BASE_TEAM_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/cpus.h"
#include "engine/base/error.h"
#include "engine/base/probe.h"

typedef struct hm_team hm_team;

/* Part `index` of `count` of the work; parts may run at the same time. */
typedef void (*hm_team_fn)(void *arg, int index, int count);
/* The same, told which thread of the team (0 .. size-1) runs it: scratch memory goes with threads. */
typedef void (*hm_team_part_fn)(void *arg, int part, int parts, int thread);

/* threads >= 1; 0 means the CPUs this process may use (affinity mask and cgroup quota). Workers are pinned when every one of
 * them can have a CPU of its own; the caller stays free, but is moved off such a CPU when its worker does not get to run there. */
hm_status hm_team_open(hm_team **out, int threads, hm_error *err);
/* The same, with workers pinned behind the first `first` CPUs: teams that run at the same time. */
hm_status hm_team_open_at(hm_team **out, int threads, int first, hm_error *err);
void hm_team_close(hm_team **team);
int hm_team_size(const hm_team *team);

/* Runs fn once for each part 0 .. parts-1 and returns when all are done. Not reentrant. More parts than threads let fast threads do
 * more; a part should be worth some microseconds. A probe (or NULL) that wants HM_SPAN_TEAM is told how long the caller waited for the
 * others ("wait for team"). */
void hm_team_share(hm_team *team, hm_team_part_fn fn, void *arg, int parts, const hm_probe *probe);

/* As many parts as threads. */
void hm_team_run(hm_team *team, hm_team_fn fn, void *arg);
void hm_team_run_told(hm_team *team, hm_team_fn fn, void *arg, const hm_probe *probe);

/* [first, last) of `count` items for part `index` of `parts`, in multiples of `grain`; the same split for the same arguments. */
static inline void hm_team_range(size_t items, size_t grain, int index, int parts, size_t *first, size_t *last)
{
    size_t blocks = (items + grain - 1) / grain;
    size_t lo = blocks * (size_t)index / (size_t)parts * grain, hi = blocks * (size_t)(index + 1) / (size_t)parts * grain;
    *first = lo < items ? lo : items;
    *last = hi < items ? hi : items;
}

#endif
