#include "harness/device_watch.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "harness/gpu_drivers.h"

struct hm_device_watch {
    const hm_gpu_sensors_entries *from;
    hm_gpu_sensors *sensors; /* NULL: note says why */
    char note[sizeof((hm_sample *)0)->device_note];
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool running, stop;
    int64_t every_ns;
    hm_device_reading readings[HM_DEVICE_READINGS];
    int count;
};

/* Of quantities that go into no sample, or come from others as well. */
static bool is_extra(int quantity)
{
    return quantity == HM_GPU_power_w || quantity == HM_GPU_busy_share || quantity == HM_GPU_memory_clock_mhz ||
           quantity == HM_GPU_held_down;
}

/* Counters of which the share or power now does as well. */
static bool is_told_otherwise(const hm_gpu_reading *r, int quantity)
{
    return (quantity == HM_GPU_busy_us && r->of[HM_GPU_busy_share].there) || (quantity == HM_GPU_energy_uj && r->of[HM_GPU_power_w].there);
}

/* "energy_uj, busy_us: the driver has no engine groups" */
static void note_missing(hm_device_watch *w, const hm_gpu_reading *r)
{
    const char *why = NULL;
    size_t used = 0;
    w->note[0] = 0;
    for (int i = 0; i < HM_GPU_QUANTITIES && used < sizeof w->note; i++)
        if (!r->of[i].there && !is_extra(i) && !is_told_otherwise(r, i)) {
            used +=
                (size_t)snprintf(w->note + used, sizeof w->note - used, "%s%s", used ? ", " : "", hm_gpu_quantity_name((hm_gpu_quantity)i));
            why = why ? why : r->of[i].why;
        }
    if (why && used < sizeof w->note)
        snprintf(w->note + used, sizeof w->note - used, ": %s", why);
}

static void read_once(hm_device_watch *w)
{
    hm_gpu_reading r;
    if (w->count == HM_DEVICE_READINGS) { /* every other one stays */
        for (int i = 0; i < HM_DEVICE_READINGS / 2; i++)
            w->readings[i] = w->readings[2 * i];
        w->count = HM_DEVICE_READINGS / 2;
        w->every_ns *= 2;
    }
    w->from->read(w->sensors, &r);
    hm_device_reading *to = &w->readings[w->count++];
    to->at_ns = r.at_ns;
    for (int i = 0; i < HM_GPU_QUANTITIES; i++)
        to->of[i] = r.of[i].there ? r.of[i].value : NAN;
    if (w->count == 1)
        note_missing(w, &r);
}

static void *work(void *self)
{
    hm_device_watch *w = self;
    pthread_mutex_lock(&w->lock);
    while (!w->stop) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += w->every_ns % 1000000000;
        until.tv_sec += w->every_ns / 1000000000 + until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&w->wake, &w->lock, &until);
        read_once(w);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

hm_status hm_device_watch_open(hm_device_watch **out, const char *backend, const char *device, hm_error *err)
{
    pthread_condattr_t attributes;
    hm_error why;
    *out = NULL;
    const hm_gpu_driver *driver = hm_gpu_driver_of(backend);
    if (!driver)
        return HM_OK;
    hm_device_watch *w = hm_calloc(1, sizeof *w, "device watch", err);
    if (!w)
        return HM_EABSENT;
    w->from = driver->sensors;
    if (w->from->open(&w->sensors, device, &why))
        snprintf(w->note, sizeof w->note, "%.199s", why.text);
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    *out = w;
    return HM_OK;
}

void hm_device_watch_close(hm_device_watch **watch)
{
    hm_device_watch *w = *watch;
    if (!w)
        return;
    hm_device_watch_stop(w);
    if (w->sensors)
        w->from->close(&w->sensors);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    free(w);
    *watch = NULL;
}

void hm_device_watch_start(hm_device_watch *w)
{
    if (!w || !w->sensors)
        return;
    hm_device_watch_stop(w);
    w->count = 0;
    w->every_ns = HM_DEVICE_WATCH_NS;
    w->stop = false;
    read_once(w);
    int code = pthread_create(&w->thread, NULL, work, w);
    w->running = !code;
    if (code)
        snprintf(w->note, sizeof w->note, "no thread to read it with: %s", strerror(code));
}

void hm_device_watch_stop(hm_device_watch *w)
{
    if (!w || !w->running)
        return;
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    w->running = false;
}

const hm_device_reading *hm_device_watch_readings(const hm_device_watch *w, int *count)
{
    *count = w ? w->count : 0;
    return w ? w->readings : NULL;
}

/* How much a counter grew; NaN: it was not told at both ends. */
static double grown(const hm_device_watch *w, hm_gpu_quantity q)
{
    return w->count < 2 ? NAN : w->readings[w->count - 1].of[q] - w->readings[0].of[q];
}

static double largest(const hm_device_watch *w, hm_gpu_quantity q)
{
    double most = NAN;
    for (int i = 0; i < w->count; i++)
        most = fmax(most, w->readings[i].of[q]); /* of a number and NaN the number */
    return most;
}

static double mean(const hm_device_watch *w, hm_gpu_quantity q)
{
    double sum = 0;
    int n = 0;
    for (int i = 0; i < w->count; i++)
        if (isfinite(w->readings[i].of[q])) {
            sum += w->readings[i].of[q];
            n++;
        }
    return n ? sum / n : NAN;
}

static double either(double first, double second)
{
    return isfinite(first) ? first : second;
}

/* "clocks were held down by power (3 of 20 readings)" */
static void note_held_down(const hm_device_watch *w, char *out, size_t size)
{
    static const char *const names[] = {"power", "heat", "something else"};
    for (int bit = 0; bit < 3; bit++) {
        int times = 0;
        size_t used = strlen(out);
        for (int i = 0; i < w->count; i++)
            times += isfinite(w->readings[i].of[HM_GPU_held_down]) && (int)w->readings[i].of[HM_GPU_held_down] >> bit & 1;
        if (times)
            snprintf(out + used, size - used, "%sclocks were held down by %s (%d of %d readings)", used ? "; " : "", names[bit], times,
                     w->count);
    }
}

static int64_t whole(double value)
{
    return isfinite(value) && value >= 0 ? (int64_t)value : HM_UNKNOWN;
}

void hm_device_watch_fill(const hm_device_watch *w, hm_sample *s)
{
    if (!w)
        return;
    double seconds = w->count < 2 ? NAN : (double)(w->readings[w->count - 1].at_ns - w->readings[0].at_ns) / 1e9;
    s->device_used_bytes = whole(largest(w, HM_GPU_memory_used_bytes));
    s->device_energy_uj = whole(grown(w, HM_GPU_energy_uj));
    s->device_power_w = either(grown(w, HM_GPU_energy_uj) / 1e6 / seconds, mean(w, HM_GPU_power_w));
    s->device_busy_share = either(grown(w, HM_GPU_busy_us) / 1e6 / seconds, mean(w, HM_GPU_busy_share));
    s->device_clock_mhz = mean(w, HM_GPU_frequency_mhz);
    s->device_temperature_c = largest(w, HM_GPU_temperature_c);
    snprintf(s->device_note, sizeof s->device_note, "%s", w->note);
    note_held_down(w, s->device_note, sizeof s->device_note);
}
