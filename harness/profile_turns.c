/* Frames in turn with readings of memory. What memory gives a machine that others use as well changes by the moment, up to twofold: the best
 * moment before and after a run is no limit of its mean. */
#include <math.h>
#include <string.h>

#include "engine/base/time.h"
#include "harness/cpu_choice.h"
#include "harness/profile.h"

#define FIND_SECONDS 0.2 /* the fastest way of reading */

static void on_begin(void *self, hm_span_kind kind, const char *name, int64_t index)
{
    hm_profile_turns *t = self;
    (void)kind, (void)index;
    if (t->reader && !strcmp(name, "frame"))
        t->begun_ns = hm_now_ns();
}

static void on_end(void *self, hm_span_kind kind, const char *name)
{
    hm_profile_turns *t = self;
    (void)kind;
    if (!t->reader || strcmp(name, "frame"))
        return;
    t->frames_ns += hm_now_ns() - t->begun_ns;
    t->frames++;
    t->reads_ns += hm_cpu_reader_read(t->reader);
}

static int on_progress(void *self, const char *phase, int64_t done, int64_t total)
{
    const hm_profile_turns *t = self;
    return hm_progress_probe(t->progress, phase, done, total);
}

void hm_profile_turns_init(hm_profile_turns *t, hm_progress *progress)
{
    *t = (hm_profile_turns){.probe = {.self = t, .wanted = HM_SPAN_STEP, .begin = on_begin, .end = on_end, .progress = on_progress},
                            .progress = progress};
}

bool hm_profile_turns_wanted(const hm_profile *p, const hm_profile_run *run)
{
    return isfinite(p->machine.memory_gb_s) && !run->overlapped_ns && !strcmp(hm_profile_rate_of(p, run, 1).read_limit, "memory");
}

static hm_status generate(hm_profile *p, hm_error *err)
{
    hm_request request = p->request;
    hm_result result = {0};
    if (request.max_frames > HM_PROFILE_TURNS)
        request.max_frames = HM_PROFILE_TURNS;
    hm_recorder_clear(p->recorder);
    hm_recorder_pause(p->recorder, false);
    hm_status st = p->opened.api->generate(p->opened.engine, &request, &result, err);
    hm_recorder_pause(p->recorder, true);
    p->opened.api->result_free(&result);
    return st;
}

hm_status hm_profile_take_turns(hm_profile *p, hm_error *err)
{
    const hm_engine_facts *f = p->opened.facts;
    hm_cpu_choice choice = {.threads = f->threads, .isa = f->isa};
    hm_device *dev = NULL;
    hm_status st = hm_cpu_choice_open(&dev, &choice, err);
    if (!st)
        st = hm_cpu_reader_open(&p->turns.reader, dev, FIND_SECONDS, err);
    if (!st)
        st = generate(p, err);
    hm_cpu_reader_close(&p->turns.reader);
    hm_cpu_close(&dev);
    return st;
}

double hm_profile_turns_gb_s(const hm_profile_turns *t)
{
    return t->frames ? (double)t->frames * (double)HM_CPU_READER_BYTES / (double)t->reads_ns : NAN;
}
