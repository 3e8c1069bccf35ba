#define _GNU_SOURCE
#include "harness/page_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum {
    DEPTH = 4,
    FILES_MAX = 10000
};

static void note(hm_page_cache *c, const char *path, const char *what)
{
    size_t n = strlen(path);
    if (!c->note[0])
        snprintf(c->note, sizeof c->note, "%s%.60s: %.90s", n > 60 ? "..." : "", n > 60 ? path + n - 60 : path, what);
}

/* Pages of a mapping that are in memory; -1: the kernel does not tell. */
static int64_t resident_pages(int fd, int64_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = ((size_t)bytes + page - 1) / page;
    unsigned char *in = malloc(pages);
    void *map = in ? mmap(NULL, (size_t)bytes, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    int64_t count = -1;
    if (map != MAP_FAILED && !mincore(map, (size_t)bytes, in)) {
        count = 0;
        for (size_t i = 0; i < pages; i++)
            count += in[i] & 1;
    }
    if (map != MAP_FAILED)
        munmap(map, (size_t)bytes);
    free(in);
    return count;
}

/* mincore tells only the owner and those who may write: to all others every page is in memory. */
static bool may_look(int fd, const struct stat *info)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return !geteuid() || info->st_uid == geteuid() || !access(path, W_OK);
}

static bool keeps_files_in_memory(int fd)
{
    struct statfs fs;
    return !fstatfs(fd, &fs) && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC || fs.f_type == HUGETLBFS_MAGIC);
}

static void empty_file(hm_page_cache *c, const char *path)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &info)) {
        note(c, path, strerror(errno));
    } else if (S_ISREG(info.st_mode) && info.st_size > 0) {
        int64_t page = sysconf(_SC_PAGESIZE), before = resident_pages(fd, info.st_size), after;
        c->files++;
        c->bytes += info.st_size;
        c->pages += (info.st_size + page - 1) / page;
        fdatasync(fd); /* pages that are not written yet cannot be dropped */
        int code = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        after = resident_pages(fd, info.st_size);
        c->resident_before_pages += before > 0 ? before : 0;
        c->resident_pages += after > 0 ? after : 0;
        if (keeps_files_in_memory(fd))
            note(c, path, "on a file system that keeps its files in memory (tmpfs)");
        else if (code)
            note(c, path, strerror(code));
        else if (after < 0)
            note(c, path, "the kernel does not tell which pages are in memory");
        else if (after > 0 && !may_look(fd, &info))
            note(c, path, "the kernel tells only its owner which pages are in memory");
    }
    if (fd >= 0)
        close(fd);
}

static void empty_folder(hm_page_cache *c, const char *folder, int depth)
{
    char path[4096];
    struct dirent *entry;
    DIR *d = opendir(folder);
    if (!d) {
        note(c, folder, strerror(errno));
        return;
    }
    while ((entry = readdir(d)) && c->files < FILES_MAX) {
        struct stat info;
        int n = snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (entry->d_name[0] == '.' || n >= (int)sizeof path) /* .git and the like are no part of a model */
            continue;
        if (stat(path, &info))
            note(c, path, strerror(errno));
        else if (S_ISREG(info.st_mode))
            empty_file(c, path);
        else if (S_ISDIR(info.st_mode) && depth < DEPTH)
            empty_folder(c, path, depth + 1);
        else if (S_ISDIR(info.st_mode))
            note(c, path, "lies deeper than is looked for files of a model");
    }
    if (entry)
        note(c, folder, "holds more files than a model");
    closedir(d);
}

void hm_page_cache_empty(hm_page_cache *c, const char *folder, const char *packs)
{
    *c = (hm_page_cache){0};
    empty_folder(c, folder, 0);
    if (!c->files)
        note(c, folder, "no files of a model");
    if (packs)
        empty_folder(c, packs, 0);
    if ((double)c->resident_pages > HM_PAGE_CACHE_LEFT * (double)c->pages && !c->note[0])
        snprintf(c->note, sizeof c->note, "%.0f %% of %.1f MB stay in memory: another process has them mapped?",
                 100.0 * (double)c->resident_pages / (double)c->pages, (double)c->bytes * 1e-6);
    c->emptied = !c->note[0];
}
