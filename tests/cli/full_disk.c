/* Loaded before the C library (LD_PRELOAD): the file system of the folder $HM_FULL_FOLDER has room for $HM_FULL_BYTES more bytes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_long written;

/* Does this write need room that is not there? What overwrites old bytes needs none. */
static int full(int fd, off_t offset, size_t size)
{
    const char *folder = getenv("HM_FULL_FOLDER"), *bytes = getenv("HM_FULL_BYTES");
    char link[64], path[4096];
    struct stat info;
    if (!folder || !bytes)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = 0;
    if (strncmp(path, folder, strlen(folder)) || fstat(fd, &info) || !S_ISREG(info.st_mode))
        return 0;
    off_t end = offset + (off_t)size;
    if (end <= info.st_size)
        return 0;
    return atomic_fetch_add(&written, end - info.st_size) + (end - info.st_size) > atol(bytes);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    ssize_t (*real)(int, const void *, size_t, off64_t);
    *(void **)&real = dlsym(RTLD_NEXT, "pwrite64");
    if (full(fd, offset, size)) {
        errno = ENOSPC;
        return -1;
    }
    return real(fd, data, size, offset);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    return pwrite64(fd, data, size, offset);
}

ssize_t write(int fd, const void *data, size_t size)
{
    ssize_t (*real)(int, const void *, size_t);
    *(void **)&real = dlsym(RTLD_NEXT, "write");
    off_t at = lseek(fd, 0, SEEK_CUR);
    if (at >= 0 && full(fd, at, size)) {
        errno = ENOSPC;
        return -1;
    }
    return real(fd, data, size);
}
