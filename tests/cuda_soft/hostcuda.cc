/* Threads of a block take turns on one thread of the host. One that must wait gives way to the next that can go on, on a stack of its own
 * (a fiber); one that ends leaves its stack to the next that begins, so that kernels that wait for nobody switch nothing. When nobody can
 * go on and not all have ended, the barrier is one that some threads never reach. */
#include "tests/cuda_soft/hostcuda.h"

#include <atomic>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <thread>
#include <time.h>

#define THREADS 1024u /* most of a block */
#define APART 51
#define PAGE ((size_t)4096)
#define STATIC_MOST ((size_t)48 << 10)
#define DYNAMIC_MOST ((size_t)228 << 10)
#define BARRIERS 16
#define YIELDS 20000000u /* polls of all threads in which nothing else happens */
#define ALONE_NS 300000  /* of a launch, after which a second thread of the host helps */
#define NOTHING 0xff     /* bytes of NaN */

namespace
{

enum state : uint8_t {
    UNBORN,
    READY,
    AT_BARRIER,
    AT_WARP,
    DONE
};

struct fiber {
    void *sp;
    char *stack;     /* its foot: a page of what a thread knows, and one that faults */
    uint64_t launch; /* that it is set up for */
};

/* What a lane wants of its warp. */
struct request {
    unsigned mask, from;
    const void *mine;
    void *to;
    uint32_t bytes;
    bool all;
};

struct barrier {
    unsigned arrived, wanted;
};

struct launch {
    const hc_entry *entry;
    hc_size grid, block;
    uint32_t shared, threads;
    void *const *values;
    bool reverse;
    uint64_t number, blocks;
    std::atomic<uint64_t> next;
    std::atomic<bool> failed;
    char *text;
};

} // namespace

/* A thread of the host that runs blocks. */
struct hc_worker {
    launch *run;
    void *home; /* its own stack */
    char *stacks_map, *stacks;
    fiber fibers[THREADS];
    int idle[THREADS], idle_count;
    char *statics, *dynamics; /* shared memory; that of a launch ends where the latter does */
    size_t statics_set;
    uint64_t yields;
    uint3 block;
    unsigned n, born, done, current, warps;
    uint8_t states[THREADS];
    uint8_t barrier_of[THREADS];
    int fiber_of[THREADS];
    size_t statics_of[THREADS];
    request requests[THREADS];
    unsigned waiting[THREADS / 32], ended[THREADS / 32]; /* lanes of a warp */
    barrier barriers[BARRIERS];
    int votes[3], voted[3];
    char why[HC_TEXT];
};

namespace
{

typedef hc_worker worker;
std::atomic<hc_entry *> entries;
worker *workers[2];
uint64_t launches;

} // namespace

/* --- stacks --- */

extern "C" __attribute__((visibility("hidden"))) void hc_switch(void **save, void *to);
#if defined(__x86_64__)
__asm__(".text\n.hidden hc_switch\n.globl hc_switch\n.type hc_switch,@function\nhc_switch:\n"
        "push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\nmov %rsp,(%rdi)\nmov %rsi,%rsp\n"
        "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbp\npop %rbx\npop %rcx\njmp *%rcx\n.size hc_switch,.-hc_switch\n");
static void *stack_begin(char *top, void (*f)(void))
{
    void **sp = (void **)top;
    *--sp = nullptr;
    *--sp = (void *)f;
    for (int i = 0; i < 6; i++)
        *--sp = nullptr;
    return sp;
}
#elif defined(__aarch64__)
__asm__(".text\n.hidden hc_switch\n.globl hc_switch\n.type hc_switch,%function\nhc_switch:\n"
        "stp x19,x20,[sp,#-160]!\nstp x21,x22,[sp,#16]\nstp x23,x24,[sp,#32]\nstp x25,x26,[sp,#48]\nstp x27,x28,[sp,#64]\n"
        "stp x29,x30,[sp,#80]\nstp d8,d9,[sp,#96]\nstp d10,d11,[sp,#112]\nstp d12,d13,[sp,#128]\nstp d14,d15,[sp,#144]\n"
        "mov x9,sp\nstr x9,[x0]\nmov sp,x1\n"
        "ldp x21,x22,[sp,#16]\nldp x23,x24,[sp,#32]\nldp x25,x26,[sp,#48]\nldp x27,x28,[sp,#64]\nldp x29,x30,[sp,#80]\n"
        "ldp d8,d9,[sp,#96]\nldp d10,d11,[sp,#112]\nldp d12,d13,[sp,#128]\nldp d14,d15,[sp,#144]\nldp x19,x20,[sp],#160\nret\n"
        ".size hc_switch,.-hc_switch\n");
static void *stack_begin(char *top, void (*f)(void))
{
    void **sp = (void **)(top - 160);
    memset(sp, 0, 160);
    sp[11] = (void *)f;
    return sp;
}
#else
#error "hostcuda knows how to switch stacks of x86-64 and of arm64 only"
#endif

static void *map(size_t bytes)
{
    void *p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        fprintf(stderr, "hostcuda: no memory for %zu bytes\n", bytes);
        abort();
    }
    return p;
}

static worker *worker_of(int which)
{
    if (!workers[which]) {
        worker *w = (worker *)map(sizeof *w);
        w->statics = (char *)map(STATIC_MOST + PAGE);
        w->dynamics = (char *)map(DYNAMIC_MOST + PAGE);
        w->stacks_map = (char *)map((THREADS + 1) * HC_STACK);
        w->stacks = (char *)(((uintptr_t)w->stacks_map + HC_STACK - 1) & ~(HC_STACK - 1));
        mprotect(w->statics + STATIC_MOST, PAGE, PROT_NONE);
        mprotect(w->dynamics + DYNAMIC_MOST, PAGE, PROT_NONE);
        workers[which] = w;
    }
    return workers[which];
}

__attribute__((destructor)) static void forget()
{
    for (worker *w : workers) {
        if (!w)
            continue;
        munmap(w->stacks_map, (THREADS + 1) * HC_STACK);
        munmap(w->statics, STATIC_MOST + PAGE);
        munmap(w->dynamics, DYNAMIC_MOST + PAGE);
        munmap(w, sizeof *w);
    }
}

/* --- taking turns --- */

static void become(worker *w, unsigned t)
{
    hc_size b = w->run->block, g = w->run->grid;
    hc_here *here = hc_self();
    here->worker = w;
    here->thread = t;
    here->thread_index = b.y == 1 && b.z == 1 ? make_uint3(t, 0, 0) : make_uint3(t % b.x, t / b.x % b.y, t / b.x / b.y);
    here->block_index = w->block;
    here->block_size = make_uint3(b.x, b.y, b.z);
    here->grid_size = make_uint3(g.x, g.y, g.z);
}

static unsigned in_order(const worker *w, unsigned t)
{
    return w->run->reverse ? w->n - 1 - t : t;
}

/* The next thread that can go on, if any: those that have not begun come first. */
static int next_thread(worker *w)
{
    unsigned n = w->n, t = w->current;
    if (w->born < n) {
        t = in_order(w, w->born++);
        w->states[t] = READY;
        return (int)t;
    }
    for (unsigned i = 0; i < n; i++) {
        t = w->run->reverse ? (t ? t - 1 : n - 1) : (t + 1 < n ? t + 1 : 0);
        if (w->states[t] == READY)
            return (int)t;
    }
    return -1;
}

static void fiber_main();

static void *stack_of(worker *w, int t)
{
    if (t < 0)
        return w->home;
    if (w->fiber_of[t] < 0) {
        int f = w->fiber_of[t] = w->idle[--w->idle_count];
        fiber *b = &w->fibers[f];
        if (!b->stack) {
            b->stack = (char *)w->stacks + (size_t)f * HC_STACK;
            mprotect(b->stack + PAGE, PAGE, PROT_NONE);
        }
        if (b->launch != w->run->number) {
            b->sp = stack_begin(b->stack + HC_STACK - (size_t)f % APART * 320, fiber_main); /* in lines of the cache of its own */
            hc_at((uintptr_t)b->stack)->worker = w;
            b->launch = w->run->number;
        }
    }
    return w->fibers[w->fiber_of[t]].sp;
}

static void give_way(worker *w)
{
    unsigned me = w->current;
    int next = next_thread(w);
    if (next == (int)me)
        return;
    void *to = stack_of(w, next);
    w->current = next < 0 ? me : (unsigned)next;
    hc_switch(&w->fibers[w->fiber_of[me]].sp, to);
    w->current = me;
}

/* Nothing of this launch goes on. */
static void __attribute__((noreturn, format(printf, 2, 3))) stop(worker *w, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(w->why, sizeof w->why, format, args);
    va_end(args);
    hc_switch(&w->fibers[w->fiber_of[w->current]].sp, w->home);
    abort();
}

static void lane_ends(worker *w, unsigned t);

static void fiber_main()
{
    worker *w = hc_self()->worker;
    for (;;) {
        unsigned t = w->current;
        int f = w->fiber_of[t];
        become(w, t);
        w->run->entry->call(w->run->values);
        w->states[t] = DONE;
        w->done++;
        w->yields = 0;
        lane_ends(w, t);
        int next = next_thread(w);
        if (next >= 0 && w->fiber_of[next] < 0) {
            w->fiber_of[next] = f;
            w->current = (unsigned)next;
            continue;
        }
        w->idle[w->idle_count++] = f;
        void *to = stack_of(w, next);
        w->current = next < 0 ? t : (unsigned)next;
        hc_switch(&w->fibers[f].sp, to);
    }
}

/* --- what threads wait for --- */

static void release(worker *w, unsigned id)
{
    w->barriers[id] = barrier{0, 0};
    for (unsigned t = 0; t < w->n; t++)
        if (w->states[t] == AT_BARRIER && w->barrier_of[t] == id)
            w->states[t] = READY;
    w->yields = 0;
}

static bool arrive(worker *w, int id, unsigned threads)
{
    if (id < 0 || id >= BARRIERS || threads > w->n)
        stop(w, "barrier %d of %u threads: there are %d, of %u threads at most", id, threads, BARRIERS, w->n);
    barrier *b = &w->barriers[id];
    if (b->arrived && b->wanted != threads)
        stop(w, "barrier %d is of %u threads for one and of %u for another", id, b->wanted, threads);
    b->wanted = threads;
    return ++b->arrived == threads;
}

void hc_barrier(int id, unsigned threads)
{
    worker *w = hc_self()->worker;
    if (arrive(w, id, threads)) {
        release(w, (unsigned)id);
        return;
    }
    w->states[w->current] = AT_BARRIER;
    w->barrier_of[w->current] = (uint8_t)id;
    give_way(w);
}

int hc_vote(int kind, int value)
{
    worker *w = hc_self()->worker;
    w->votes[0] += value != 0;
    w->votes[1] |= value == 0;
    w->votes[2] |= value != 0;
    if (arrive(w, 0, w->n)) {
        w->voted[0] = w->votes[0];
        w->voted[1] = !w->votes[1];
        w->voted[2] = w->votes[2];
        memset(w->votes, 0, sizeof w->votes);
        release(w, 0);
    } else {
        w->states[w->current] = AT_BARRIER;
        w->barrier_of[w->current] = 0;
        give_way(w);
    }
    return w->voted[kind];
}

void hc_yield(void)
{
    worker *w = hc_self()->worker;
    if (++w->yields > YIELDS)
        stop(w, "a thread polls for what never comes; blocks run one after another");
    give_way(w);
}

void hc_trap(const char *why)
{
    stop(hc_self()->worker, "%s", why);
}

/* What every lane of the mask asked for, once all are there. */
static void serve_warp(worker *w, unsigned warp, unsigned lanes)
{
    request *r = &w->requests[warp * 32];
    for (unsigned left = lanes; left; left &= left - 1) {
        const request *a = &r[__builtin_ctz(left)];
        const request *b = &r[a->from & 31];
        if (a->all) {
            for (unsigned l = 0; l < 32; l++)
                if (lanes >> l & 1)
                    memcpy((char *)a->to + l * a->bytes, r[l].mine, a->bytes);
                else
                    memset((char *)a->to + l * a->bytes, NOTHING, a->bytes);
        } else if (a->to && lanes >> (a->from & 31) & 1) {
            if (a->bytes == 4)
                *(uint32_t *)a->to = *(const uint32_t *)b->mine;
            else
                memcpy(a->to, b->mine, a->bytes);
        } else if (a->to)
            memset(a->to, NOTHING, a->bytes);
    }
    for (unsigned left = lanes; left; left &= left - 1)
        w->states[warp * 32 + (unsigned)__builtin_ctz(left)] = READY;
    w->waiting[warp] &= ~lanes;
    w->yields = 0;
}

static unsigned lanes_of(const worker *w, unsigned warp)
{
    unsigned left = w->n - warp * 32;
    return (left < 32 ? (1u << left) - 1 : ~0u) & ~w->ended[warp];
}

/* Whether all that `lane` waits with are there, who are then served. */
static bool meet(worker *w, unsigned warp, unsigned lane)
{
    const request *r = &w->requests[warp * 32];
    unsigned lanes = r[lane].mask & lanes_of(w, warp);
    if ((w->waiting[warp] & lanes) != lanes)
        return false;
    for (unsigned left = lanes; left; left &= left - 1) {
        const request *other = &r[__builtin_ctz(left)];
        if (other->mask != r[lane].mask || other->bytes != r[lane].bytes || other->all != r[lane].all)
            return false;
    }
    serve_warp(w, warp, lanes);
    return true;
}

static void lane_ends(worker *w, unsigned t)
{
    unsigned warp = t / 32, waiting = w->waiting[warp];
    w->ended[warp] |= 1u << t % 32;
    if (waiting)
        meet(w, warp, (unsigned)__builtin_ctz(waiting));
}

static void ask_warp(request r)
{
    worker *w = hc_self()->worker;
    unsigned t = w->current, warp = t / 32, lane = t % 32;
    if (!(r.mask >> lane & 1))
        stop(w, "lane %u is not in its own mask %#x", lane, r.mask);
    w->requests[t] = r;
    w->waiting[warp] |= 1u << lane;
    if (meet(w, warp, lane))
        return;
    w->states[t] = AT_WARP;
    give_way(w);
}

void hc_warp_wait(unsigned mask)
{
    ask_warp(request{mask, 0, nullptr, nullptr, 0, false});
}

void hc_warp_all(unsigned mask, const void *mine, size_t bytes, void *all)
{
    ask_warp(request{mask, 0, mine, all, (uint32_t)bytes, true});
}

void hc_warp_from(unsigned mask, const void *mine, size_t bytes, unsigned from, void *got)
{
    ask_warp(request{mask, from, mine, got, (uint32_t)bytes, false});
}

/* --- shared memory --- */

void *hc_shared(size_t bytes)
{
    worker *w = hc_self()->worker;
    size_t at = (w->statics_of[w->current] + 15) / 16 * 16, end = at + bytes;
    if (end > STATIC_MOST)
        stop(w, "%zu bytes of static shared memory, %zu at most", end, STATIC_MOST);
    w->statics_of[w->current] = end;
    if (end > w->statics_set) {
        memset(w->statics + w->statics_set, NOTHING, end - w->statics_set);
        w->statics_set = end;
    }
    return w->statics + at;
}

static char *dynamic_of(worker *w)
{
    return w->dynamics + DYNAMIC_MOST - (w->run->shared + 15) / 16 * 16;
}

void *hc_dynamic_shared(void)
{
    return dynamic_of(hc_self()->worker);
}

uint32_t hc_dynamic_bytes(void)
{
    return hc_self()->worker->run->shared;
}

/* --- blocks --- */

static void tell_stuck(worker *w)
{
    launch *l = w->run;
    unsigned counts[DONE + 1] = {0}, first = w->n;
    for (unsigned t = 0; t < w->n; t++) {
        counts[w->states[t]]++;
        if (first == w->n && (w->states[t] == AT_BARRIER || w->states[t] == AT_WARP))
            first = t;
    }
    if (l->failed.exchange(true))
        return;
    if (*w->why)
        snprintf(l->text, HC_TEXT, "%s: block (%u, %u, %u), thread %u: %.300s", l->entry->name, w->block.x, w->block.y, w->block.z,
                 w->current, w->why);
    else
        snprintf(l->text, HC_TEXT,
                 "%s: block (%u, %u, %u): threads disagree about a barrier: of %u threads %u wait at a barrier of the block, %u at one of "
                 "their warp, %u have ended; the first that waits is %u",
                 l->entry->name, w->block.x, w->block.y, w->block.z, w->n, counts[AT_BARRIER], counts[AT_WARP], counts[DONE], first);
}

static bool run_block(worker *w, uint64_t number)
{
    launch *l = w->run;
    hc_size g = l->grid;
    w->block = make_uint3((unsigned)(number % g.x), (unsigned)(number / g.x % g.y), (unsigned)(number / g.x / g.y));
    w->born = w->done = 0;
    memset(w->states, UNBORN, w->n);
    memset(w->fiber_of, 0xff, w->n * sizeof *w->fiber_of);
    memset(w->statics_of, 0, w->n * sizeof *w->statics_of);
    memset(w->waiting, 0, w->warps * sizeof *w->waiting);
    memset(w->ended, 0, w->warps * sizeof *w->ended);
    memset(w->barriers, 0, sizeof w->barriers);
    memset(w->votes, 0, sizeof w->votes);
    w->statics_set = 0;
    w->yields = 0;
    *w->why = 0;
    if (l->shared)
        memset(dynamic_of(w), NOTHING, (l->shared + 15) / 16 * 16);
    int first = next_thread(w);
    void *to = stack_of(w, first);
    w->current = (unsigned)first;
    hc_switch(&w->home, to);
    if (w->done == w->n)
        return true;
    tell_stuck(w);
    return false;
}

static int64_t now_ns()
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void work(launch *l, int which)
{
    worker *w = worker_of(which);
    w->run = l;
    w->n = l->threads;
    w->warps = (l->threads + 31) / 32;
    w->idle_count = 0;
    for (int i = (int)w->n; i-- > 0;)
        w->idle[w->idle_count++] = i;
    std::thread helper;
    int64_t begun = which ? 0 : now_ns();
    for (uint64_t b; !l->failed && (b = l->next++) < l->blocks;) {
        if (!run_block(w, b))
            break;
        if (!which && b + 1 < l->blocks && !helper.joinable() && now_ns() - begun > ALONE_NS)
            helper = std::thread(work, l, 1);
    }
    if (helper.joinable())
        helper.join();
}

int hc_run(const hc_entry *entry, hc_size grid, hc_size block, uint32_t shared, void *const *values, int reverse, char text[HC_TEXT])
{
    uint64_t threads = (uint64_t)block.x * block.y * block.z;
    if (!threads || threads > THREADS || !grid.x || !grid.y || !grid.z || shared > DYNAMIC_MOST) {
        snprintf(text, HC_TEXT, "%s: %u x %u x %u blocks of %u x %u x %u threads with %u bytes of shared memory cannot be", entry->name,
                 grid.x, grid.y, grid.z, block.x, block.y, block.z, shared);
        return -1;
    }
    launch l = {entry, grid,    block, shared, (uint32_t)threads, values, reverse != 0, ++launches, (uint64_t)grid.x * grid.y * grid.z,
                {0},   {false}, text};
    work(&l, 0);
    return l.failed ? -1 : 0;
}

/* --- entries --- */

void hc_register(hc_entry *entry)
{
    entry->next = entries;
    entries = entry;
}

const hc_entry *hc_find(const char *name)
{
    for (const hc_entry *e = entries; e; e = e->next)
        if (!strcmp(e->name, name))
            return e;
    return nullptr;
}
