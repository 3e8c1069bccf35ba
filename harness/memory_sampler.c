#include "harness/memory_sampler.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct hm_memory_sampler {
    const hm_clock *clock;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool running, stop;
    int64_t every_ns;
    hm_memory_sample samples[HM_MEMORY_SAMPLES];
    int count;
};

/* Resident bytes of this process, -1 when /proc does not say. */
static int64_t resident_bytes(int file)
{
    char text[128];
    long long pages;
    ssize_t n = pread(file, text, sizeof text - 1, 0);
    if (n <= 0)
        return -1;
    text[n] = 0;
    return sscanf(text, "%*s %lld", &pages) == 1 ? (int64_t)pages * sysconf(_SC_PAGESIZE) : -1;
}

static void add_sample(hm_memory_sampler *m, int file)
{
    int64_t rss_bytes = resident_bytes(file);
    if (rss_bytes < 0)
        return;
    if (m->count == HM_MEMORY_SAMPLES) { /* every other one stays */
        for (int i = 0; i < HM_MEMORY_SAMPLES / 2; i++)
            m->samples[i] = m->samples[2 * i];
        m->count = HM_MEMORY_SAMPLES / 2;
        m->every_ns *= 2;
    }
    m->samples[m->count++] = (hm_memory_sample){hm_clock_now(m->clock), rss_bytes};
}

static void *work(void *self)
{
    hm_memory_sampler *m = self;
    int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    pthread_mutex_lock(&m->lock);
    while (!m->stop) {
        struct timespec until;
        add_sample(m, file);
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += m->every_ns % 1000000000;
        until.tv_sec += m->every_ns / 1000000000 + until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&m->wake, &m->lock, &until);
    }
    add_sample(m, file);
    pthread_mutex_unlock(&m->lock);
    if (file >= 0)
        close(file);
    return NULL;
}

hm_status hm_memory_sampler_open(hm_memory_sampler **out, const hm_clock *clock, hm_error *err)
{
    pthread_condattr_t attributes;
    hm_memory_sampler *m = hm_calloc(1, sizeof *m, "memory sampler", err);
    if (!m)
        return HM_EABSENT;
    m->clock = clock;
    pthread_mutex_init(&m->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&m->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    memset(m->samples, 0xff, sizeof m->samples); /* touched before anything is measured */
    *out = m;
    return HM_OK;
}

void hm_memory_sampler_close(hm_memory_sampler **sampler)
{
    if (!*sampler)
        return;
    hm_memory_sampler_stop(*sampler);
    pthread_cond_destroy(&(*sampler)->wake);
    pthread_mutex_destroy(&(*sampler)->lock);
    free(*sampler);
    *sampler = NULL;
}

hm_status hm_memory_sampler_start(hm_memory_sampler *m, hm_error *err)
{
    hm_memory_sampler_stop(m);
    m->count = 0;
    m->every_ns = HM_MEMORY_SAMPLE_NS;
    m->stop = false;
    int code = pthread_create(&m->thread, NULL, work, m);
    if (code)
        return hm_fail(err, HM_EABSENT, "no thread to watch the memory with: %s", strerror(code));
    m->running = true;
    return HM_OK;
}

void hm_memory_sampler_stop(hm_memory_sampler *m)
{
    if (!m->running)
        return;
    pthread_mutex_lock(&m->lock);
    m->stop = true;
    pthread_cond_signal(&m->wake);
    pthread_mutex_unlock(&m->lock);
    pthread_join(m->thread, NULL);
    m->running = false;
}

const hm_memory_sample *hm_memory_sampler_samples(const hm_memory_sampler *m, int *count)
{
    *count = m->count;
    return m->samples;
}
