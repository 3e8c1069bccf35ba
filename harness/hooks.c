#include "harness/hooks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/clock.h"
#include "harness/process.h"

/* A shell with nothing to read, the environment set before. */
static hm_status start(hm_process **out, const char *command, const char *const *environment, hm_error *err)
{
    char *argv[16] = {"/usr/bin/env"};
    int n = 1;
    for (; environment && *environment && n < 12; environment++)
        argv[n++] = (char *)*environment;
    argv[n++] = "/bin/sh";
    argv[n++] = "-c";
    argv[n++] = "exec </dev/null; eval \"$0\"";
    argv[n++] = (char *)command;
    return hm_process_start(out, argv, err);
}

hm_status hm_hook_run(const char *name, const char *command, const char *const *environment, int64_t timeout_ns, bool quiet,
                      bool (*stop)(void), hm_error *err)
{
    hm_process *process = NULL;
    const char *line;
    char words[300];
    size_t size;
    int code = 0;
    hm_read answer;
    if (!command)
        return HM_OK;
    if (start(&process, command, environment, err))
        return hm_fail_within(err, "--%s", name);
    int64_t deadline = hm_clock_now(hm_clock_real()) + timeout_ns;
    while ((answer = hm_process_read(process, deadline, stop, &line, &size)) == HM_READ_LINE)
        if (!quiet)
            fprintf(stderr, "%s: %s\n", name, line);
    snprintf(words, sizeof words, "%s", hm_process_last_words(process));
    hm_process_end(&process, answer == HM_READ_END ? timeout_ns : 0, &code);
    if (answer == HM_READ_STOPPED)
        return hm_fail(err, HM_EINTERRUPTED, "interrupted");
    if (answer == HM_READ_TIMEOUT)
        return hm_fail(err, HM_EABSENT, "--%s \"%.200s\": did not end within %.0f s (--timeout)", name, command, (double)timeout_ns * 1e-9);
    if (code > 128)
        return hm_fail(err, HM_EABSENT, "--%s \"%.200s\": ended by signal %d%s%s", name, command, code - 128, *words ? ": " : "", words);
    if (code)
        return hm_fail(err, HM_EABSENT, "--%s \"%.200s\": exit code %d%s%s", name, command, code, *words ? ": " : "", words);
    return HM_OK;
}
