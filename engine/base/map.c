#define _GNU_SOURCE
#include "engine/base/map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static hm_status open_regular(const char *path, int *fd, size_t *size, hm_error *err)
{
    struct stat st;
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe is refused below, not waited for */
    if (*fd < 0)
        return hm_fail(err, errno == ENOENT || errno == ENOTDIR ? HM_EMISSING : HM_EIO, "%s: cannot open: %s", path, strerror(errno));
    if (fstat(*fd, &st) || !S_ISREG(st.st_mode)) {
        close(*fd);
        return hm_fail(err, HM_EMISSING, "%s: expected a regular file, found a folder, pipe or device", path);
    }
    *size = (size_t)st.st_size;
    return HM_OK;
}

hm_status hm_map_open(hm_map *out, const char *path, hm_error *err)
{
    int fd;
    size_t size;
    hm_status st = open_regular(path, &fd, &size, err);
    if (st)
        return st;
    void *data = size ? mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0) : NULL;
    int saved = errno;
    close(fd);
    if (data == MAP_FAILED)
        return hm_fail(err, HM_EIO, "%s: cannot map %zu bytes: %s", path, size, strerror(saved));
    if (data)
        madvise(data, size, MADV_HUGEPAGE); /* what is read through this mapping lies in large pages, where the file system has them */
    *out = (hm_map){.data = data, .size = size, .heap = false};
    return HM_OK;
}

hm_status hm_map_read(hm_map *out, const char *path, size_t max_bytes, hm_error *err)
{
    int fd;
    size_t size, have = 0;
    hm_status st = open_regular(path, &fd, &size, err);
    if (st)
        return st;
    if (size > max_bytes) {
        close(fd);
        return hm_fail(err, HM_EFORMAT, "%s: %zu bytes, expected at most %zu", path, size, max_bytes);
    }
    uint8_t *data = hm_calloc(size + 1, 1, path, err);
    if (!data) {
        close(fd);
        return HM_EABSENT;
    }
    while (have < size) {
        ssize_t n = read(fd, data + have, size - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            st = hm_fail(err, HM_EIO, "%s: read stopped after %zu of %zu bytes: %s", path, have, size, n ? strerror(errno) : "file shrank");
            free(data);
            close(fd);
            return st;
        }
        have += (size_t)n;
    }
    close(fd);
    *out = (hm_map){.data = data, .size = size, .heap = true};
    return HM_OK;
}

void hm_map_close(hm_map *map)
{
    if (map->heap)
        free((void *)map->data);
    else if (map->data)
        munmap((void *)map->data, map->size);
    *map = (hm_map){0};
}

const void *hm_map_at(const hm_map *map, uint64_t offset, uint64_t bytes)
{
    if (offset > map->size || bytes > map->size - offset)
        return NULL;
    return map->data + offset;
}

hm_status hm_file_replaceable(const char *path, hm_error *err)
{
    struct stat info;
    if (!stat(path, &info) && !S_ISREG(info.st_mode))
        return hm_fail(err, HM_ECREATE, "%s: exists and is no regular file", path);
    return HM_OK;
}

hm_status hm_file_write(const char *path, const void *data, size_t size, hm_error *err)
{
    char temp[4096];
    const char *p = data;
    size_t left = size;
    if (snprintf(temp, sizeof temp, "%s.part.%ld", path, (long)getpid()) >= (int)sizeof temp)
        return hm_fail(err, HM_ECREATE, "%s: path too long", path);
    hm_status st = hm_file_replaceable(path, err);
    if (st)
        return st;
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return hm_fail(err, HM_ECREATE, "%s: cannot create: %s", path, strerror(errno));
    while (left) {
        ssize_t n = write(fd, p, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        p += n;
        left -= (size_t)n;
    }
    int bad = left ? errno : 0;
    if (close(fd) && !bad)
        bad = errno;
    if (!bad && rename(temp, path))
        bad = errno;
    if (bad) {
        unlink(temp);
        return hm_fail(err, HM_EIO, "%s: cannot write: %s", path, strerror(bad));
    }
    return HM_OK;
}
