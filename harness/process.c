#define _GNU_SOURCE /* pipe2 */
#include "harness/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct hm_process {
    pid_t pid;
    int in, out, err; /* our ends: its stdin, stdout, stderr */
    char *buffer;     /* bytes of stdout not yet given out, from `start` to `used` */
    size_t start, used, room, total;
    bool ended;
    char words[4096]; /* the end of stderr */
    size_t words_used;
    char last[512];
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void child(char *const argv[], const int in[2], const int out[2], const int err[2], pid_t parent)
{
    sigset_t none;
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    dup2(in[0], 0);
    dup2(out[1], 1);
    dup2(err[1], 2);
    execv(argv[0], argv);
    dprintf(2, "cannot run %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

hm_status hm_process_start(hm_process **result, char *const argv[], hm_error *err)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1}, errors[2] = {-1, -1};
    hm_process *p = hm_calloc(1, sizeof *p, "process", err);
    if (!p)
        return HM_EABSENT;
    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(errors, O_CLOEXEC))
        goto fail;
    pid_t parent = getpid();
    p->pid = fork();
    if (p->pid < 0)
        goto fail;
    if (p->pid == 0)
        child(argv, in, out, errors, parent);
    setpgid(p->pid, p->pid); /* whoever is first */
    close(in[0]);
    close(out[1]);
    close(errors[1]);
    p->in = in[1];
    p->out = out[0];
    p->err = errors[0];
    fcntl(p->in, F_SETFL, O_NONBLOCK);
    fcntl(p->out, F_SETFL, O_NONBLOCK);
    fcntl(p->err, F_SETFL, O_NONBLOCK);
    *result = p;
    return HM_OK;
fail:
    hm_fail(err, HM_EIO, "worker: cannot be started: %s", strerror(errno));
    for (int i = 0; i < 2; i++) {
        close_fd(&in[i]);
        close_fd(&out[i]);
        close_fd(&errors[i]);
    }
    free(p);
    return HM_EIO;
}

/* Keeps the last 4 KB of stderr. */
static void read_words(hm_process *p)
{
    char chunk[4096];
    ssize_t n = p->err >= 0 ? read(p->err, chunk, sizeof chunk) : 0;
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        close_fd(&p->err);
    if (n <= 0)
        return;
    if (p->words_used + (size_t)n > sizeof p->words) {
        size_t drop = p->words_used + (size_t)n - sizeof p->words;
        drop = drop < p->words_used ? drop : p->words_used;
        memmove(p->words, p->words + drop, p->words_used - drop);
        p->words_used -= drop;
    }
    memcpy(p->words + p->words_used, chunk, (size_t)n);
    p->words_used += (size_t)n;
}

hm_status hm_process_send(hm_process *p, const char *line, size_t size, hm_error *err)
{
    int64_t deadline = hm_clock_now(hm_clock_real()) + 10000000000;
    for (size_t done = 0; done <= size;) {
        ssize_t n = done < size ? write(p->in, line + done, size - done) : write(p->in, "\n", 1);
        if (n > 0) {
            done += (size_t)n;
            continue;
        }
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return hm_fail(err, HM_EIO, "worker: takes no input: %s", strerror(errno));
        struct pollfd fds[2] = {{p->in, POLLOUT, 0}, {p->err, POLLIN, 0}};
        poll(fds, 2, 100);
        if (fds[1].revents)
            read_words(p);
        if (hm_clock_now(hm_clock_real()) > deadline)
            return hm_fail(err, HM_EIO, "worker: takes no input for 10 s");
    }
    return HM_OK;
}

/* A whole line from the buffer, or NULL. */
static const char *take_line(hm_process *p, size_t searched, size_t *size)
{
    char *newline = p->used > searched ? memchr(p->buffer + searched, '\n', p->used - searched) : NULL;
    if (!newline)
        return NULL;
    const char *line = p->buffer + p->start;
    *newline = 0;
    *size = (size_t)(newline - line);
    p->start += *size + 1;
    return line;
}

static bool make_room(hm_process *p)
{
    if (p->start) {
        memmove(p->buffer, p->buffer + p->start, p->used - p->start);
        p->used -= p->start;
        p->start = 0;
    }
    if (p->used == p->room) {
        size_t room = p->room ? p->room * 2 : 1 << 16;
        char *grown = room <= 2 * HM_LINE_MAX ? realloc(p->buffer, room) : NULL;
        if (!grown)
            return false;
        p->buffer = grown;
        p->room = room;
    }
    return true;
}

hm_read hm_process_read(hm_process *p, int64_t deadline_ns, bool (*stop)(void), const char **line, size_t *size)
{
    size_t searched = p->start;
    for (;;) {
        *line = take_line(p, searched, size);
        if (*line)
            return *size > HM_LINE_MAX ? HM_READ_FLOOD : HM_READ_LINE;
        if (p->ended)
            return HM_READ_END;
        if (p->used - p->start > HM_LINE_MAX || p->total > HM_OUTPUT_MAX || !make_room(p))
            return HM_READ_FLOOD;
        searched = p->used;
        int64_t left = deadline_ns - hm_clock_now(hm_clock_real());
        if (left <= 0)
            return HM_READ_TIMEOUT;
        if (stop && stop())
            return HM_READ_STOPPED;
        struct pollfd fds[2] = {{p->out, POLLIN, 0}, {p->err, POLLIN, 0}};
        poll(fds, 2, left < 100000000 ? (int)(left / 1000000) + 1 : 100);
        if (fds[1].revents)
            read_words(p);
        if (!fds[0].revents)
            continue;
        ssize_t n = read(p->out, p->buffer + p->used, p->room - p->used);
        if (n > 0) {
            p->used += (size_t)n;
            p->total += (size_t)n;
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            p->ended = true;
        }
    }
}

const char *hm_process_last_words(hm_process *p)
{
    for (size_t before = p->words_used + 1; p->err >= 0 && before != p->words_used;) {
        before = p->words_used;
        read_words(p);
    }
    size_t end = p->words_used, begin;
    while (end && (unsigned char)p->words[end - 1] <= ' ')
        end--;
    begin = end;
    while (begin && p->words[begin - 1] != '\n' && end - begin < sizeof p->last - 1)
        begin--;
    memcpy(p->last, p->words + begin, end - begin);
    p->last[end - begin] = 0;
    for (char *c = p->last; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7F)
            *c = ' ';
    return p->last;
}

/* Whether the child is dead; it stays a zombie, so that its group's number is not given to another. */
static bool dead(pid_t pid)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == pid;
}

void hm_process_end(hm_process **process, int64_t grace_ns, int *exit_code)
{
    hm_process *p = *process;
    int status = 0;
    if (!p)
        return;
    int64_t deadline = hm_clock_now(hm_clock_real()) + grace_ns;
    close_fd(&p->in);
    while (!dead(p->pid) && hm_clock_now(hm_clock_real()) < deadline) {
        char spill[4096];
        struct pollfd fds[2] = {{p->out, POLLIN, 0}, {p->err, POLLIN, 0}};
        poll(fds, 2, 5);
        if (fds[0].revents && read(p->out, spill, sizeof spill) == 0)
            close_fd(&p->out);
        if (fds[1].revents)
            read_words(p);
    }
    kill(-p->pid, SIGKILL); /* what it started goes as well */
    kill(p->pid, SIGKILL);  /* before it has its group */
    while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (exit_code)
        *exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    close_fd(&p->out);
    close_fd(&p->err);
    free(p->buffer);
    free(p);
    *process = NULL;
}
