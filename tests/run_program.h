/* Runs the built program and keeps what it said: for tests of the command line. */
#ifndef _GNU_SOURCE
#error "define _GNU_SOURCE before the first include: pipe2"
#endif
#ifndef HM_TESTS_RUN_PROGRAM_H
#define HM_TESTS_RUN_PROGRAM_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HM_RUN_OUTPUT (1 << 20) /* bytes of each stream that are kept */

typedef struct hm_run {
    int code;        /* exit code; 128 + signal when it was killed; -1: it did not start */
    int timed_out;   /* it was killed by us */
    char *out, *err; /* NUL-terminated; run_free */
    double seconds;
} hm_run;

static inline double run_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static inline void run_free(hm_run *run)
{
    free(run->out);
    free(run->err);
    memset(run, 0, sizeof *run);
}

/* Says that the program, which has written this much, is to be interrupted now. */
typedef bool (*run_moment)(const hm_run *run);

/* Reads both pipes until they end or the deadline passes. interrupt_s > 0: SIGINT goes to the child then; or at the moment. */
static inline void run_collect(hm_run *run, pid_t child, int out, int err, double timeout_s, double interrupt_s, run_moment moment)
{
    struct pollfd fds[2] = {{out, POLLIN, 0}, {err, POLLIN, 0}};
    char *text[2] = {run->out, run->err}, spill[4096];
    size_t used[2] = {0, 0};
    double start = run_now();
    int open_count = 2;
    while (open_count > 0) {
        double passed = run_now() - start;
        if ((interrupt_s > 0 && passed >= interrupt_s) || (moment && moment(run))) {
            kill(child, SIGINT);
            interrupt_s = 0;
            moment = NULL;
        }
        if (passed > timeout_s) {
            kill(child, SIGKILL);
            run->timed_out = 1;
            timeout_s = 1e9;
        }
        if (poll(fds, 2, 20) < 0 && errno != EINTR)
            break;
        for (int i = 0; i < 2; i++) {
            if (fds[i].fd < 0 || !(fds[i].revents & (POLLIN | POLLHUP | POLLERR)))
                continue;
            size_t room = HM_RUN_OUTPUT - 1 - used[i];
            ssize_t n = read(fds[i].fd, room ? text[i] + used[i] : spill, room ? room : sizeof spill);
            if (n > 0)
                used[i] += room ? (size_t)n : 0;
            else if (n == 0 || errno != EINTR) {
                fds[i].fd = -1;
                open_count--;
            }
        }
    }
}

static inline hm_run run_start(char *const argv[], const char *input, double timeout_s, double interrupt_s, run_moment moment)
{
    hm_run run = {.code = -1};
    int in[2], out[2], err[2], status = 0;
    double start = run_now();
    run.out = calloc(1, HM_RUN_OUTPUT);
    run.err = calloc(1, HM_RUN_OUTPUT);
    if (!run.out || !run.err || pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
        return run;
    pid_t child = fork();
    if (child == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        dup2(err[1], 2);
        execv(argv[0], argv);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    close(err[1]);
    if (child > 0) {
        if (input) {
            signal(SIGPIPE, SIG_IGN);
            ssize_t written = write(in[1], input, strlen(input));
            (void)written; /* a program that does not read its input is what some tests are about */
        }
        close(in[1]);
        run_collect(&run, child, out[0], err[0], timeout_s, interrupt_s, moment);
        while (waitpid(child, &status, 0) < 0 && errno == EINTR)
            ;
        run.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    } else {
        close(in[1]);
    }
    close(out[0]);
    close(err[0]);
    run.seconds = run_now() - start;
    return run;
}

/* program and arguments, NULL-terminated. input: text for its standard input, or NULL for none. */
static inline hm_run run_command(char *const argv[], const char *input, double timeout_s, double interrupt_s)
{
    return run_start(argv, input, timeout_s, interrupt_s, NULL);
}

/* Interrupted at a moment that does not depend on how fast the machine is. */
static inline hm_run run_interrupted(char *const argv[], run_moment moment)
{
    return run_start(argv, NULL, 300, 0, moment);
}

/* A moment: the first timed turn of a session is over, and told. */
static inline bool run_had_a_turn(const hm_run *run)
{
    return strstr(run->err, "round 1/") != NULL;
}

/* hmbench with these arguments: run_program("list", "variants"). 300 s at most: only a hang takes so long, on any machine. */
#define run_program(...) run_command((char *const[]){(char *)HM_PROGRAM, __VA_ARGS__, NULL}, NULL, 300, 0)

/* With CMocka included before: this code, and the text on standard error (NULL: whatever). The run is freed. */
#define expect_code(run, wanted, in_err)                                                                                          \
    do {                                                                                                                          \
        hm_run *expect_run = (run);                                                                                               \
        const char *expect_err = (in_err);                                                                                        \
        if (expect_run->code != (wanted) || (expect_err && !strstr(expect_run->err, expect_err)))                                 \
            fail_msg("expected exit code %d and \"%s\", got %d:\n%s%s", (wanted), expect_err ? expect_err : "", expect_run->code, \
                     expect_run->out, expect_run->err);                                                                           \
        run_free(expect_run);                                                                                                     \
    } while (0)

/* The database's answer as CSV without the line of names. */
#define expect_sql_of(db, sql, wanted)                                                              \
    do {                                                                                            \
        hm_run answer = run_program("db", "sql", (char *)(sql), "--db", (char *)(db), "-o", "csv"); \
        const char *answer_rows = strstr(answer.out, "\r\n");                                       \
        if (answer.code || !answer_rows)                                                            \
            fail_msg("%s: exit code %d: %s", (sql), answer.code, answer.err);                       \
        if (strcmp(answer_rows + 2, (wanted)))                                                      \
            fail_msg("%s:\nexpected %s\nfound %s", (sql), (wanted), answer_rows + 2);               \
        run_free(&answer);                                                                          \
    } while (0)

/* Lines in text. */
static inline int run_lines(const char *text)
{
    int n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

#endif
