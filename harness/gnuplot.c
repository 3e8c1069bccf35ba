#include "harness/gnuplot.h"

#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "reports/plot.h"

extern char **environ;

static hm_status absent(hm_error *err)
{
    return hm_fail(err, HM_EABSENT, "gnuplot is not installed; plots need it: apt-get install gnuplot-nox");
}

/* Both ends are files, so that neither side ever waits for the other. */
static hm_status run(FILE *in, FILE *said, hm_error *err)
{
    char *argv[] = {"gnuplot", "-", NULL}, words[300] = "";
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int code = 0;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fileno(in), STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, fileno(said), STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, fileno(said), STDERR_FILENO);
    int failed = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed == ENOENT)
        return absent(err);
    if (failed)
        return hm_fail(err, HM_EABSENT, "gnuplot cannot be started: %s", strerror(failed));
    while (waitpid(pid, &code, 0) < 0)
        if (errno != EINTR)
            return hm_fail(err, HM_EIO, "gnuplot: %s", strerror(errno));
    if (WIFEXITED(code) && WEXITSTATUS(code) == 127)
        return absent(err);
    if (!code)
        return HM_OK;
    rewind(said);
    words[fread(words, 1, sizeof words - 1, said)] = 0;
    return hm_fail(err, HM_EIO, "gnuplot failed: %.280s", words + strspn(words, " \n"));
}

hm_status hm_gnuplot_run(const char *script, size_t size, hm_error *err)
{
    FILE *in = tmpfile(), *said = tmpfile();
    hm_status st = HM_OK;
    if (!in || !said || fwrite(script, 1, size, in) != size || fflush(in) || fseek(in, 0, SEEK_SET))
        st = hm_fail(err, HM_EIO, "gnuplot: its script cannot be written to a temporary file: %s", strerror(errno));
    if (!st)
        st = run(in, said, err);
    if (in)
        fclose(in);
    if (said)
        fclose(said);
    return st;
}

/* The script for `temporary`, run; an empty file is made first, so that a folder that cannot be written is told as such. */
static hm_status draw(const char *temporary, const char *output, const char *script, size_t size, hm_error *err)
{
    FILE *probe = fopen(temporary, "wb");
    if (!probe)
        return hm_fail(err, HM_ECREATE, "%s: cannot be created: %s", output, strerror(errno));
    fclose(probe);
    hm_status st = hm_gnuplot_run(script, size, err);
    if (!st && rename(temporary, output))
        st = hm_fail(err, HM_ECREATE, "%s: cannot be created: %s", output, strerror(errno));
    if (st)
        unlink(temporary);
    return st;
}

hm_status hm_gnuplot_draw(const char *output, hm_status (*write)(void *self, const char *output, FILE *script, hm_error *err), void *self,
                          hm_error *err)
{
    char temporary[PATH_MAX], *script = NULL;
    size_t size = 0;
    hm_status st = hm_plot_check_path(output, err);
    if (st)
        return st;
    if ((size_t)snprintf(temporary, sizeof temporary, "%s.tmp%s", output, strrchr(output, '.')) >= sizeof temporary)
        return hm_fail(err, HM_EUSAGE, "plot: the name of the output is too long");
    FILE *f = open_memstream(&script, &size);
    if (!f)
        return hm_fail(err, HM_EABSENT, "plot: no memory for its script");
    st = write(self, temporary, f, err);
    if (fclose(f) && !st)
        st = hm_fail(err, HM_EABSENT, "plot: no memory for its script");
    if (!st)
        st = draw(temporary, output, script, size, err);
    free(script);
    return st;
}
