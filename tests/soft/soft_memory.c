/* Memory of devices and host: who owns an address, what is left, and, guarded, what touches it when it should not. */
#define _GNU_SOURCE
#include "tests/soft/soft_common.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define POISON 0xa5
#define POISONED ((size_t)1 << 20) /* of an allocation, unless guarded: all of it */

static struct {
    pthread_mutex_t lock;
    soft_memory **sorted; /* by start */
    size_t count, room;
    uint64_t made, most_bytes;
    atomic_ulong freed;
    int open;
    bool held;
} memory = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* --- who owns an address --- */

static size_t place_of(const void *p) /* of the first one that starts behind p */
{
    size_t low = 0, high = memory.count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (memory.sorted[middle]->start <= (const char *)p)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static soft_memory *find(const void *p)
{
    size_t place = place_of(p);
    soft_memory *m = place ? memory.sorted[place - 1] : NULL;
    return m && (const char *)p < m->start + m->bytes ? m : NULL;
}

const soft_memory *hm_soft_memory_find(const void *p)
{
    pthread_mutex_lock(&memory.lock);
    const soft_memory *m = find(p);
    pthread_mutex_unlock(&memory.lock);
    return m;
}

uint64_t hm_soft_most_bytes(void)
{
    pthread_mutex_lock(&memory.lock);
    uint64_t most = memory.most_bytes;
    memory.most_bytes = 0;
    pthread_mutex_unlock(&memory.lock);
    return most;
}

uint64_t hm_soft_memory_freed(void)
{
    return atomic_load_explicit(&memory.freed, memory_order_acquire);
}

uint64_t hm_soft_memory_alive(void)
{
    pthread_mutex_lock(&memory.lock);
    uint64_t count = memory.count;
    pthread_mutex_unlock(&memory.lock);
    return count;
}

/* --- the host's reach --- */

static void reach(int protection)
{
    for (size_t i = 0; i < memory.count; i++)
        if (memory.sorted[i]->type == SOFT_OF_DEVICE)
            mprotect(memory.sorted[i]->map, memory.sorted[i]->map_bytes - SOFT_PAGE, protection);
}

void hm_soft_memory_open(void)
{
    if (!hm_soft_settings.guard)
        return;
    pthread_mutex_lock(&memory.lock);
    if (!memory.open++)
        reach(PROT_READ | PROT_WRITE);
    pthread_mutex_unlock(&memory.lock);
}

void hm_soft_memory_close(void)
{
    if (!hm_soft_settings.guard)
        return;
    pthread_mutex_lock(&memory.lock);
    if (memory.open && !--memory.open)
        reach(PROT_NONE);
    pthread_mutex_unlock(&memory.lock);
}

void hm_soft_memory_hold(void)
{
    if (!hm_soft_settings.guard)
        return;
    pthread_mutex_lock(&memory.lock);
    bool more = !memory.held;
    memory.held = true;
    pthread_mutex_unlock(&memory.lock);
    if (more)
        hm_soft_memory_open();
}

void hm_soft_memory_let_go(void)
{
    if (!hm_soft_settings.guard)
        return;
    pthread_mutex_lock(&memory.lock);
    bool less = memory.held;
    memory.held = false;
    pthread_mutex_unlock(&memory.lock);
    if (less)
        hm_soft_memory_close();
}

/* Says who touched what before the process dies of it. */
static void tell_fault(int signal_number, siginfo_t *info, void *context)
{
    char text[320];
    const char *at = info->si_addr, *running = hm_soft_command_now();
    int n = snprintf(text, sizeof text, "%s: fault at %p, by %s", hm_soft_is.name, (const void *)at, running ? running : "the host");
    for (size_t i = 0; i < memory.count; i++) {
        const soft_memory *m = memory.sorted[i];
        if (at >= m->map && at < m->map + m->map_bytes)
            n = snprintf(text, sizeof text, "%s: fault at byte %ld of allocation %llu of %zu bytes, by %s", hm_soft_is.name,
                         (long)(at - m->start), (unsigned long long)m->id, m->bytes, running ? running : "the host");
    }
    text[n] = '\n';
    ssize_t written = write(STDERR_FILENO, text, (size_t)n + 1);
    (void)written;
    (void)context;
    signal(signal_number, SIG_DFL);
}

void hm_soft_memory_watch(void)
{
    struct sigaction action = {.sa_sigaction = tell_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
}

/* --- allocation --- */

/* The end of what was asked for, rounded up to its alignment, is the end of a page; the next one faults. */
static bool map_it(soft_memory *m, size_t alignment)
{
    size_t aligned = alignment < 64 ? 64 : alignment;
    size_t taken = (m->bytes + aligned - 1) / aligned * aligned, pages = (taken + SOFT_PAGE - 1) / SOFT_PAGE * SOFT_PAGE;
    m->map_bytes = pages + SOFT_PAGE;
    m->map = mmap(NULL, m->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m->map == MAP_FAILED)
        return false;
    mprotect(m->map + pages, SOFT_PAGE, PROT_NONE);
    m->start = m->map + pages - taken;
    memset(m->start, POISON, hm_soft_settings.guard || taken < POISONED ? taken : POISONED);
    memset(m->start + m->bytes, POISON, taken - m->bytes);
    return true;
}

static bool keep(soft_memory *m)
{
    if (memory.count == memory.room) {
        size_t room = memory.room ? memory.room * 2 : 256;
        soft_memory **sorted = realloc(memory.sorted, room * sizeof *sorted);
        if (!sorted)
            return false;
        memory.sorted = sorted;
        memory.room = room;
    }
    size_t place = place_of(m->start);
    memmove(memory.sorted + place + 1, memory.sorted + place, (memory.count - place) * sizeof *memory.sorted);
    memory.sorted[place] = m;
    memory.count++;
    m->id = ++memory.made;
    if (m->type == SOFT_OF_DEVICE && hm_soft_settings.guard && !memory.open)
        mprotect(m->map, m->map_bytes - SOFT_PAGE, PROT_NONE);
    return true;
}

soft_memory *hm_soft_memory_new(soft_memory_type type, size_t bytes, size_t alignment, void *context, uint64_t *used_bytes)
{
    uint64_t limit = hm_soft_settings.memory_bytes;
    soft_memory *m = bytes <= limit ? calloc(1, sizeof *m) : NULL;
    if (!m)
        return NULL;
    *m = (soft_memory){.bytes = bytes, .type = type, .context = context, .used_bytes = used_bytes};
    pthread_mutex_lock(&memory.lock);
    bool fits = !used_bytes || *used_bytes + bytes <= limit;
    bool mapped = fits && map_it(m, alignment), kept = mapped && keep(m);
    if (kept && used_bytes) {
        *used_bytes += bytes;
        memory.most_bytes = *used_bytes > memory.most_bytes ? *used_bytes : memory.most_bytes;
    }
    pthread_mutex_unlock(&memory.lock);
    if (kept)
        return m;
    if (mapped)
        munmap(m->map, m->map_bytes);
    free(m);
    return NULL;
}

/* Whether something wrote behind its end, before the page that faults. */
static void check_end(soft_memory *m)
{
    if (hm_soft_settings.guard && m->type == SOFT_OF_DEVICE)
        mprotect(m->map, m->map_bytes - SOFT_PAGE, PROT_READ);
    const unsigned char *end = (const unsigned char *)m->map + m->map_bytes - SOFT_PAGE;
    for (const unsigned char *at = (const unsigned char *)m->start + m->bytes; at < end; at++)
        if (*at != POISON) {
            hm_soft_misuse("allocation %llu of %zu bytes was written %zu bytes behind its end", (unsigned long long)m->id, m->bytes,
                           (size_t)(at - (const unsigned char *)m->start) - m->bytes + 1);
            return;
        }
}

int hm_soft_memory_free(const void *context, void *p)
{
    pthread_mutex_lock(&memory.lock);
    soft_memory *m = find(p);
    bool whole = m && m->start == p;
    pthread_mutex_unlock(&memory.lock);
    if (!m)
        return hm_soft_misuse("%p lies in no allocation", p);
    if (!whole)
        return hm_soft_misuse("%p lies %zu bytes inside an allocation", p, (size_t)((char *)p - m->start));
    if (m->context != context)
        return hm_soft_misuse("%p is of another context", p);
    hm_soft_lanes_freed(m);
    pthread_mutex_lock(&memory.lock);
    size_t place = place_of(p) - 1;
    memmove(memory.sorted + place, memory.sorted + place + 1, (memory.count - place - 1) * sizeof *memory.sorted);
    memory.count--;
    atomic_fetch_add(&memory.freed, 1);
    if (m->used_bytes)
        *m->used_bytes -= m->bytes;
    pthread_mutex_unlock(&memory.lock);
    check_end(m);
    munmap(m->map, m->map_bytes);
    free(m);
    return 0;
}
