#include "harness/output_check.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

hm_status hm_output_check(const char *what, const char *path, hm_error *err)
{
    char trial[PATH_MAX];
    struct stat s;
    if ((size_t)snprintf(trial, sizeof trial, "%s.XXXXXX", path) >= sizeof trial)
        return hm_fail(err, HM_ECREATE, "%s: its path is %zu bytes, at most %zu", what, strlen(path), sizeof trial - 8);
    if (!stat(path, &s) && !S_ISREG(s.st_mode))
        return hm_fail(err, HM_ECREATE, "%s %s exists and is no regular file", what, path);
    int fd = mkstemp(trial);
    if (fd < 0)
        return hm_fail(err, HM_ECREATE, "%s %s cannot be made: %s", what, path, strerror(errno));
    close(fd);
    unlink(trial);
    return HM_OK;
}
