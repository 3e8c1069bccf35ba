/* One command: whether it can run, and running it. */
#include "tests/ze_soft/soft.h"

#include <stdlib.h>
#include <string.h>

static atomic_ulong run_count; /* copies, fills and launches */
static atomic_bool lost;
static _Atomic(const char *) now;

bool hm_soft_lost(void)
{
    return atomic_load_explicit(&lost, memory_order_relaxed);
}

uint64_t hm_soft_commands_run(void)
{
    return atomic_load(&run_count);
}

void hm_soft_commands_reset(void)
{
    atomic_store(&run_count, 0);
    atomic_store(&lost, false);
}

const char *hm_soft_command_name(const soft_command *c)
{
    static const char *const names[] = {
        [SOFT_COPY] = "copy",         [SOFT_FILL] = "fill",          [SOFT_LAUNCH] = "launch", [SOFT_BARRIER] = "barrier",
        [SOFT_SIGNAL] = "signal",     [SOFT_WAIT] = "wait",          [SOFT_RESET] = "reset",   [SOFT_STAMP] = "timestamp",
        [SOFT_STAMPS] = "timestamps", [SOFT_FENCE_SIGNAL] = "fence",
    };
    return c->what == SOFT_LAUNCH ? c->kernel->entry->name : names[c->what];
}

const char *hm_soft_command_now(void)
{
    return atomic_load(&now);
}

/* --- whether it can run --- */

/* An address right behind an allocation is taken for its: nothing is read there. */
static const soft_memory *owner(const void *p)
{
    const soft_memory *m = hm_soft_memory_find(p);
    return m ? m : hm_soft_memory_find((const char *)p - 1);
}

static ze_result_t check_range(const void *p, size_t bytes, const char *which, bool *ours)
{
    NEED(p);
    const soft_memory *m = hm_soft_memory_find(p);
    *ours = m;
    size_t left = m ? m->bytes - (size_t)((const char *)p - m->start) : bytes;
    return bytes <= left ? ZE_RESULT_SUCCESS
                         : hm_soft_misuse("%zu bytes at the %s, of which %zu are in its allocation", bytes, which, left);
}

static ze_result_t check_argument(const soft_kernel *k, soft_value *v, int index)
{
    if (!v->set) {
        hm_soft_misuse("argument %d of %s is not set", index, k->entry->name);
        return ZE_RESULT_ERROR_INVALID_ARGUMENT;
    }
    uint64_t freed = hm_soft_memory_freed();
    if (k->entry->arguments[index].kind != SOFT_GLOBAL || (v->known && v->freed == freed))
        return ZE_RESULT_SUCCESS;
    const void *p = NULL;
    memcpy(&p, v->data, sizeof p);
    const soft_memory *m = p ? owner(p) : NULL;
    if (p && !m)
        return hm_soft_misuse("argument %d of %s is %p, which lies in no allocation%s", index, k->entry->name, p,
                              v->known ? " any more" : "");
    if (m && hm_soft_device_of(m) && hm_soft_device_of(m) != k->module->device)
        return hm_soft_misuse("argument %d of %s lies on another device", index, k->entry->name);
    v->known = true;
    v->freed = freed;
    return ZE_RESULT_SUCCESS;
}

static ze_result_t check_launch(const soft_command *c)
{
    const soft_kernel *k = c->kernel;
    if (k->module->device != c->device)
        return hm_soft_misuse("%s is of another device", k->entry->name);
    if (k->entry->required[0] && memcmp(k->entry->required, c->group, sizeof c->group))
        return hm_soft_misuse("group %ux%ux%u of %s, which is compiled for %ux%ux%u", c->group[0], c->group[1], c->group[2], k->entry->name,
                              k->entry->required[0], k->entry->required[1], k->entry->required[2]);
    if (!c->groups[0] || !c->groups[1] || !c->groups[2])
        return hm_soft_misuse("%ux%ux%u groups of %s", c->groups[0], c->groups[1], c->groups[2], k->entry->name);
    ze_result_t st = ZE_RESULT_SUCCESS;
    for (int i = 0; i < k->entry->count && !st; i++)
        st = check_argument(k, &c->values[i], i);
    return st;
}

ze_result_t hm_soft_command_check(soft_command *c)
{
    ze_result_t st = ZE_RESULT_SUCCESS;
    switch (c->what) {
    case SOFT_COPY:
        st = check_range(c->to, c->bytes, "destination", &c->to_ours);
        return st ? st : check_range(c->from, c->bytes, "source", &c->from_ours);
    case SOFT_FILL:
        st = check_range(c->to, c->bytes, "destination", &c->to_ours);
        if (!st && (!c->pattern_bytes || c->pattern_bytes & (c->pattern_bytes - 1) || c->pattern_bytes > sizeof c->pattern ||
                    c->bytes % c->pattern_bytes)) {
            hm_soft_misuse("a pattern of %zu bytes for %zu", c->pattern_bytes, c->bytes);
            st = ZE_RESULT_ERROR_UNSUPPORTED_SIZE;
        }
        return st;
    case SOFT_LAUNCH:
        return check_launch(c);
    case SOFT_STAMP:
        return check_range(c->to, sizeof(uint64_t), "destination", &c->to_ours);
    case SOFT_STAMPS:
        return check_range(c->to, c->bytes, "destination", &c->to_ours);
    default:
        return ZE_RESULT_SUCCESS;
    }
}

bool hm_soft_command_ready(const soft_command *c)
{
    for (uint32_t i = 0; i < c->waits; i++)
        if (!atomic_load(&c->wait[i]->signalled))
            return false;
    return true;
}

static bool range_touches(const void *p, size_t bytes, const soft_memory *m)
{
    return p && (const char *)p < m->start + m->bytes && (const char *)p + bytes > m->start;
}

bool hm_soft_command_uses(const soft_command *c, const soft_memory *m, char *what, size_t room)
{
    if (c->what == SOFT_COPY || c->what == SOFT_FILL || c->what == SOFT_STAMP || c->what == SOFT_STAMPS) {
        bool to = range_touches(c->to, c->bytes, m), from = range_touches(c->from, c->bytes, m);
        if (to || from)
            snprintf(what, room, "the %s of a %s", to ? "destination" : "source", hm_soft_command_name(c));
        return to || from;
    }
    if (c->what != SOFT_LAUNCH)
        return false;
    for (int i = 0; i < c->kernel->entry->count; i++) {
        const void *p = NULL;
        if (c->kernel->entry->arguments[i].kind != SOFT_GLOBAL)
            continue;
        memcpy(&p, c->values[i].data, sizeof p);
        if (range_touches(p, 1, m)) {
            snprintf(what, room, "argument %d of %s", i, c->kernel->entry->name);
            return true;
        }
    }
    return false;
}

/* --- keeping --- */

soft_command *hm_soft_command_copy(const soft_command *c)
{
    size_t values = c->what == SOFT_LAUNCH ? (size_t)c->kernel->entry->count * sizeof *c->values : 0;
    size_t waits = c->waits * sizeof *c->wait, stamps = c->stamp_count * sizeof *c->stamps;
    soft_command *copy = malloc(sizeof *copy + values + waits + stamps);
    if (!copy)
        return NULL;
    *copy = *c;
    char *behind = (char *)(copy + 1);
    copy->values = (soft_value *)behind;
    copy->wait = (soft_event **)(behind + values);
    copy->stamps = (soft_event **)(behind + values + waits);
    if (values)
        memcpy(copy->values, c->values, values);
    if (waits)
        memcpy(copy->wait, c->wait, waits);
    if (stamps)
        memcpy(copy->stamps, c->stamps, stamps);
    return copy;
}

void hm_soft_command_pend(const soft_command *c, int by)
{
    if (c->signal)
        atomic_fetch_add(&c->signal->pending, by);
    for (uint32_t i = 0; i < c->waits; i++)
        atomic_fetch_add(&c->wait[i]->pending, by);
    for (uint32_t i = 0; i < c->stamp_count; i++)
        atomic_fetch_add(&c->stamps[i]->pending, by);
    if (c->what == SOFT_LAUNCH)
        atomic_fetch_add(&c->kernel->pending, by);
    if (c->fence)
        atomic_fetch_add(&c->fence->pending, by);
}

/* --- running --- */

static cl_int give_argument(soft_kernel *k, cl_uint index, const soft_value *v)
{
    soft_value *given = &k->given[index];
    soft_argument_kind kind = k->entry->arguments[index].kind;
    if (given->set && given->bytes == v->bytes && (kind == SOFT_LOCAL || !memcmp(given->data, v->data, v->bytes)))
        return CL_SUCCESS;
    cl_int st = CL_SUCCESS;
    if (kind == SOFT_GLOBAL) {
        void *p = NULL;
        memcpy(&p, v->data, sizeof p);
        st = clSetKernelArgSVMPointer(k->kernel, index, p);
    } else {
        st = clSetKernelArg(k->kernel, index, v->bytes, kind == SOFT_LOCAL ? NULL : v->data);
    }
    given->set = !st;
    given->bytes = v->bytes;
    memcpy(given->data, v->data, sizeof given->data);
    return st;
}

static ze_result_t launch(const soft_command *c)
{
    soft_kernel *k = c->kernel;
    size_t local[3], global[3];
    cl_int st = CL_SUCCESS;
    for (int i = 0; i < 3; i++) {
        local[i] = c->group[i];
        global[i] = (size_t)c->group[i] * c->groups[i];
    }
    for (int i = 0; i < k->entry->count && !st; i++)
        st = give_argument(k, (cl_uint)i, &c->values[i]);
    cl_uint dimensions = c->groups[2] * c->group[2] > 1 ? 3 : c->groups[1] * c->group[1] > 1 ? 2 : 1;
    if (!st)
        st = clEnqueueNDRangeKernel(hm_soft_cl.queue, k->kernel, dimensions, NULL, global, local, 0, NULL, NULL);
    if (!st)
        st = clFinish(hm_soft_cl.queue);
    if (!st)
        return ZE_RESULT_SUCCESS;
    fprintf(stderr, "ze_soft: %s could not be launched: OpenCL error %d\n", k->entry->name, st);
    return ZE_RESULT_ERROR_DEVICE_LOST;
}

static void fill(const soft_command *c)
{
    char *to = c->to;
    for (size_t at = 0; at < c->bytes; at += c->pattern_bytes)
        memcpy(to + at, c->pattern, c->pattern_bytes);
}

static void stamps(const soft_command *c)
{
    ze_kernel_timestamp_result_t *to = c->to;
    for (uint32_t i = 0; i < c->stamp_count; i++) {
        const soft_event *e = c->stamps[i];
        ze_kernel_timestamp_data_t t = {hm_soft_ticks(e->begin_ns), hm_soft_ticks(e->end_ns)};
        to[i] = (ze_kernel_timestamp_result_t){t, t};
    }
}

static ze_result_t do_it(const soft_command *c, uint64_t begin_ns)
{
    uint64_t ticks = hm_soft_ticks(begin_ns);
    switch (c->what) {
    case SOFT_COPY:
        memmove(c->to, c->from, c->bytes);
        break;
    case SOFT_FILL:
        fill(c);
        break;
    case SOFT_LAUNCH:
        return launch(c);
    case SOFT_RESET:
        break; /* when it is done */
    case SOFT_STAMP:
        memcpy(c->to, &ticks, sizeof ticks);
        break;
    case SOFT_STAMPS:
        stamps(c);
        break;
    default:
        break;
    }
    return ZE_RESULT_SUCCESS;
}

/* What was there when it was appended must be there now. */
static ze_result_t check_again(const soft_command *c)
{
    bool to = !c->to_ours || hm_soft_memory_find(c->to), from = !c->from_ours || hm_soft_memory_find(c->from);
    if (!to || !from)
        return hm_soft_misuse("the %s of a %s was freed before it ran", to ? "source" : "destination", hm_soft_command_name(c));
    return c->what == SOFT_LAUNCH ? check_launch(c) : ZE_RESULT_SUCCESS;
}

ze_result_t hm_soft_command_run(const soft_command *c)
{
    bool work = c->what == SOFT_COPY || c->what == SOFT_FILL || c->what == SOFT_LAUNCH;
    uint64_t count = work ? atomic_fetch_add(&run_count, 1) + 1 : 0;
    if (work && count == hm_soft_settings.lost_at)
        atomic_store(&lost, true);
    if (hm_soft_lost())
        return ZE_RESULT_ERROR_DEVICE_LOST;
    ze_result_t st = check_again(c);
    bool touches = work || c->what == SOFT_STAMP || c->what == SOFT_STAMPS;
    uint64_t begin_ns = hm_soft_now_ns();
    if (touches) {
        hm_soft_memory_open();
        atomic_store(&now, hm_soft_command_name(c));
    }
    if (!st)
        st = do_it(c, begin_ns);
    if (touches) {
        atomic_store(&now, NULL);
        hm_soft_memory_close();
    }
    uint64_t end_ns = hm_soft_now_ns();
    c->device->busy_ns += end_ns - begin_ns;
    if (c->what == SOFT_LAUNCH && c->kernel->spent) {
        c->kernel->spent->launches++;
        c->kernel->spent->ns += end_ns - begin_ns;
    }
    if (st) {
        atomic_store(&lost, true);
        return ZE_RESULT_ERROR_DEVICE_LOST;
    }
    if (c->signal) {
        c->signal->begin_ns = begin_ns;
        c->signal->end_ns = end_ns;
    }
    return ZE_RESULT_SUCCESS;
}

void hm_soft_command_signal(const soft_command *c)
{
    if (c->what == SOFT_RESET)
        atomic_store(&c->stamps[0]->signalled, false);
    if (c->signal || c->fence)
        hm_soft_memory_let_go(); /* the host looks from here on */
    if (c->signal)
        atomic_store(&c->signal->signalled, true);
    if (c->fence)
        atomic_store(&c->fence->signalled, true);
}
