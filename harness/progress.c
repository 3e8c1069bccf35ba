#include "harness/progress.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/time.h"

#define QUIET_NS ((int64_t)2000000000)
#define REDRAW_NS ((int64_t)100000000)

static volatile sig_atomic_t interrupted, broken_pipe;

void hm_progress_start(hm_progress *progress, const char *title, bool quiet)
{
    const char *forced = getenv("HMBENCH_PROGRESS");
    memset(progress, 0, sizeof *progress);
    progress->enabled = !quiet && (forced && *forced ? !strcmp(forced, "always") : isatty(STDERR_FILENO) == 1);
    snprintf(progress->title, sizeof progress->title, "%s", title ? title : "");
    progress->start_ns = progress->phase_ns = hm_now_ns();
}

const char *hm_duration_text(char *out, int size, double seconds)
{
    int64_t s = seconds < 0 ? 0 : seconds > 360000000 ? 360000000 : (int64_t)(seconds + 0.5);
    if (s >= 3600)
        snprintf(out, (size_t)size, "%lld:%02d:%02d", (long long)(s / 3600), (int)(s / 60 % 60), (int)(s % 60));
    else
        snprintf(out, (size_t)size, "%d:%02d", (int)(s / 60), (int)(s % 60));
    return out;
}

static void draw(const hm_progress *p, int64_t now, int64_t done, int64_t total)
{
    double elapsed = (double)(now - p->phase_ns) * 1e-9, rate = elapsed > 0 ? (double)(done - p->phase_first) / elapsed : 0;
    char eta[32];
    fprintf(stderr, "\r\033[K%s%s%s", p->title, *p->title ? ": " : "", p->phase);
    if (total > 0)
        fprintf(stderr, "  %lld/%lld  %d %%", (long long)done, (long long)total, (int)(100.0 * (double)done / (double)total));
    if (rate > 0 && rate < 1e6)
        fprintf(stderr, "  %.3g/s", rate);
    if (rate > 0 && total > done)
        fprintf(stderr, "  ETA %s", hm_duration_text(eta, sizeof eta, (double)(total - done) / rate));
    fflush(stderr);
}

void hm_progress_update(hm_progress *progress, const char *phase, int64_t done, int64_t total)
{
    int64_t now;
    if (!progress->enabled)
        return;
    now = hm_now_ns();
    if (strncmp(progress->phase, phase, sizeof progress->phase - 1)) {
        snprintf(progress->phase, sizeof progress->phase, "%s", phase);
        progress->phase_ns = now;
        progress->phase_first = done;
    }
    if (now - progress->start_ns < QUIET_NS || now - progress->drawn_ns < REDRAW_NS)
        return;
    draw(progress, now, done, total);
    progress->drawn_ns = now;
    progress->shown = true;
}

void hm_progress_end(hm_progress *progress)
{
    if (progress->shown) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
    }
    progress->shown = progress->enabled = false;
}

int hm_progress_probe(void *progress, const char *phase, int64_t done, int64_t total)
{
    hm_progress_update(progress, phase, done, total);
    return interrupted;
}

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

static void on_pipe(int signal_number)
{
    (void)signal_number;
    broken_pipe = 1;
}

void hm_interrupt_install(void)
{
    struct sigaction stop = {0}, broken = {0};
    stop.sa_handler = on_interrupt;
    stop.sa_flags = (int)SA_RESETHAND;
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    broken.sa_handler = on_pipe; /* a handler, not SIG_IGN: programs that we start get the default back */
    broken.sa_flags = SA_RESTART;
    sigaction(SIGPIPE, &broken, NULL);
}

bool hm_interrupted(void)
{
    return interrupted != 0;
}

bool hm_pipe_broken(void)
{
    return broken_pipe != 0;
}

static void write_line(void *self, hm_log_level level, const char *line)
{
    (void)self;
    fprintf(stderr, "%shmbench: %s%s\n", isatty(STDERR_FILENO) == 1 ? "\r\033[K" : "", level == HM_LOG_WARNING ? "warning: " : "", line);
}

const hm_log *hm_log_stderr(bool verbose)
{
    static const hm_log quiet = {NULL, HM_LOG_WARNING, write_line}, loud = {NULL, HM_LOG_INFO, write_line};
    return verbose ? &loud : &quiet;
}
