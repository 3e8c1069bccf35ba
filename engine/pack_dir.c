/* Pack files on the disk: opening and checking one, and the folder of all of them. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "engine/pack_impl.h"

#define SAMPLE ((uint64_t)4096)

uint64_t hm_pack_check(const void *data, uint64_t bytes)
{
    return XXH3_64bits(data, (size_t)bytes);
}

uint64_t hm_pack_sample(const uint8_t *panels, uint64_t bytes)
{
    uint64_t take = bytes < SAMPLE ? bytes : SAMPLE, places[3] = {0, (bytes - take) / 2, bytes - take}, sums[3];
    for (int i = 0; i < 3; i++)
        sums[i] = hm_pack_check(panels + places[i], take);
    return hm_pack_check(sums, sizeof sums);
}

uint64_t hm_pack_header_check(const hm_pack_header *header)
{
    return hm_pack_check(header, offsetof(hm_pack_header, check));
}

hm_status hm_pack_path(char out[HM_PACK_PATH], const char *dir, const char *fingerprint, hm_format format, hm_error *err)
{
    int n = snprintf(out, HM_PACK_PATH, "%s/%s-%s-%d" HM_PACK_SUFFIX, dir, fingerprint, hm_format_name(format), HM_PACK_VERSION);
    return n < HM_PACK_PATH ? HM_OK : hm_fail(err, HM_EUSAGE, "packs: the path of their folder is longer than %d bytes", HM_PACK_PATH);
}

/* --- one file --- */

static hm_status check_header(const hm_pack_map *m, const char *path, hm_error *err)
{
    const hm_pack_header *h = m->header;
    if (h->magic != HM_PACK_MAGIC || h->version != HM_PACK_VERSION)
        return hm_fail(err, HM_EFORMAT, "%s: not a pack of version %d", path, HM_PACK_VERSION);
    if (h->check != hm_pack_header_check(h))
        return hm_fail(err, HM_EFORMAT, "%s: the checksum of its header does not fit", path);
    if (h->file_bytes != m->bytes)
        return hm_fail(err, HM_EFORMAT, "%s: expected %llu bytes, found %llu", path, (unsigned long long)h->file_bytes,
                       (unsigned long long)m->bytes);
    if (h->format <= HM_FORMAT_ROWS || h->format >= HM_FORMAT_COUNT || !memchr(h->label, 0, sizeof h->label) ||
        !memchr(h->fingerprint, 0, sizeof h->fingerprint))
        return hm_fail(err, HM_EFORMAT, "%s: its header has an unknown format or unended text", path);
    if (h->table_at % HM_PACK_ALIGN || h->table_at > m->bytes || h->table_bytes > m->bytes - h->table_at ||
        h->table_bytes % sizeof(hm_pack_row) || h->layers != h->table_bytes / sizeof(hm_pack_row))
        return hm_fail(err, HM_EFORMAT, "%s: its table of layers lies outside the file", path);
    if (h->table_check != hm_pack_check(m->data + h->table_at, h->table_bytes))
        return hm_fail(err, HM_EFORMAT, "%s: the checksum of its table does not fit", path);
    return HM_OK;
}

/* Sizes far below what overflows: a panel's bytes are at most 68 times its inputs. */
static bool row_fits(const hm_pack_row *r, const hm_pack_header *h)
{
    return memchr(r->name, 0, sizeof r->name) && r->out > 0 && r->in > 0 && r->taps > 0 && (int64_t)r->in * r->taps <= INT_MAX &&
           r->at >= HM_PACK_ALIGN && r->at % HM_PACK_ALIGN == 0 && r->at <= h->table_at && r->bytes <= h->table_at - r->at &&
           r->bytes == hm_panels_bytes((hm_format)h->format, r->out, r->in, r->taps);
}

static hm_status check_rows(const hm_pack_map *m, const char *path, hm_error *err)
{
    for (uint64_t i = 0; i < m->header->layers; i++)
        if (!row_fits(&m->rows[i], m->header) || (i && strcmp(m->rows[i - 1].name, m->rows[i].name) >= 0))
            return hm_fail(err, HM_EFORMAT, "%s: row %llu of its table does not fit the file", path, (unsigned long long)i);
    return HM_OK;
}

hm_status hm_pack_map_open(hm_pack_map *out, const char *path, hm_error *err)
{
    hm_pack_map m = {.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    struct stat s;
    if (m.fd < 0)
        return hm_fail(err, errno == ENOENT || errno == ENOTDIR ? HM_EMISSING : HM_EIO, "%s: cannot open: %s", path, strerror(errno));
    hm_status st = HM_OK;
    flock(m.fd, LOCK_SH | LOCK_NB); /* against removal only: what is mapped stays */
    if (fstat(m.fd, &s) || !S_ISREG(s.st_mode) || s.st_size < HM_PACK_ALIGN)
        st = hm_fail(err, HM_EFORMAT, "%s: not a pack: expected a file of at least %d bytes", path, HM_PACK_ALIGN);
    if (!st) {
        m.bytes = (uint64_t)s.st_size;
        void *p = mmap(NULL, (size_t)m.bytes, PROT_READ, MAP_SHARED, m.fd, 0);
        if (p == MAP_FAILED)
            st = hm_fail(err, HM_EIO, "%s: cannot map %llu bytes: %s", path, (unsigned long long)m.bytes, strerror(errno));
        else
            m.data = p;
    }
    if (!st) {
        /* All of it at once, before anything is read: what is asked for a layer at a time has small pages at every boundary. */
        madvise((void *)m.data, (size_t)m.bytes, MADV_HUGEPAGE);
        m.header = (const hm_pack_header *)(const void *)m.data;
        st = check_header(&m, path, err);
    }
    if (!st) {
        m.rows = (const hm_pack_row *)(const void *)(m.data + m.header->table_at);
        st = check_rows(&m, path, err);
    }
    if (st)
        hm_pack_map_close(&m);
    *out = m;
    return st;
}

void hm_pack_map_close(hm_pack_map *map)
{
    if (map->data)
        munmap((void *)map->data, (size_t)map->bytes);
    if (map->fd >= 0)
        close(map->fd);
    *map = (hm_pack_map){.fd = -1};
}

/* --- the folder --- */

typedef struct listing {
    hm_pack_file *files;
    int count, room;
} listing;

/* ".pack", or ".pack.part.PID" of one that is being made. */
static bool is_pack_name(const char *name)
{
    const char *at = strstr(name, HM_PACK_SUFFIX);
    size_t n = strlen(HM_PACK_SUFFIX);
    return at && at > name && (!at[n] || !strncmp(at + n, ".part.", 6));
}

/* What a file says of itself; a damaged one has bytes and nothing else. */
static void look_at(hm_pack_file *f)
{
    hm_pack_map map;
    struct stat s = {0};
    int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return;
    if (!fstat(fd, &s)) {
        f->bytes = (uint64_t)s.st_blocks * 512;
        f->used_s = s.st_mtim.tv_sec;
    }
    f->in_use = flock(fd, LOCK_EX | LOCK_NB) != 0;
    close(fd);
    if (hm_pack_map_open(&map, f->path, NULL))
        return;
    f->format = (hm_format)map.header->format;
    f->layers = (int)map.header->layers;
    snprintf(f->label, sizeof f->label, "%s", map.header->label);
    snprintf(f->fingerprint, sizeof f->fingerprint, "%.32s", map.header->fingerprint);
    hm_pack_map_close(&map);
}

static int last_used_first(const void *a, const void *b)
{
    const hm_pack_file *x = a, *y = b;
    return x->used_s != y->used_s ? (x->used_s < y->used_s ? 1 : -1) : strcmp(x->path, y->path);
}

static hm_status add(listing *l, const char *dir, const char *name, hm_error *err)
{
    if (l->count == l->room) {
        int room = l->room ? 2 * l->room : 16;
        hm_pack_file *more = realloc(l->files, (size_t)room * sizeof *more);
        if (!more)
            return hm_fail(err, HM_EABSENT, "packs: no memory for a list of %d", room);
        l->files = more;
        l->room = room;
    }
    hm_pack_file *f = &l->files[l->count];
    *f = (hm_pack_file){0};
    if ((size_t)snprintf(f->path, sizeof f->path, "%s/%s", dir, name) >= sizeof f->path)
        return HM_OK;
    look_at(f);
    l->count++;
    return HM_OK;
}

static hm_status read_folder(listing *l, const char *dir, hm_error *err)
{
    struct dirent *d;
    hm_status st = HM_OK;
    *l = (listing){0};
    DIR *folder = opendir(dir);
    if (!folder)
        return errno == ENOENT ? HM_OK : hm_fail(err, HM_EIO, "packs: folder %s cannot be read: %s", dir, strerror(errno));
    while (!st && (d = readdir(folder)))
        if (is_pack_name(d->d_name))
            st = add(l, dir, d->d_name, err);
    closedir(folder);
    if (l->count)
        qsort(l->files, (size_t)l->count, sizeof *l->files, last_used_first);
    return st;
}

hm_status hm_pack_list(const char *dir, void (*each)(void *self, const hm_pack_file *file), void *self, hm_error *err)
{
    listing l;
    hm_status st = read_folder(&l, dir, err);
    for (int i = 0; i < l.count && !st; i++)
        each(self, &l.files[i]);
    free(l.files);
    return st;
}

/* Under a lock that nobody who uses it holds. False: it is in use, or gone. */
static bool remove_file(const hm_pack_file *f)
{
    int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    bool removed = !flock(fd, LOCK_EX | LOCK_NB) && !unlink(f->path);
    close(fd);
    return removed;
}

hm_status hm_pack_prune(const char *dir, uint64_t bound, void (*removed)(void *self, const hm_pack_file *file), void *self, hm_error *err)
{
    listing l;
    uint64_t total = 0;
    hm_status st = read_folder(&l, dir, err);
    for (int i = 0; i < l.count; i++)
        total += l.files[i].bytes;
    for (int i = l.count - 1; i >= 0 && !st; i--) {
        bool abandoned = strstr(l.files[i].path, HM_PACK_SUFFIX ".part.") != NULL;
        if (!(total > bound || abandoned) || l.files[i].in_use || !remove_file(&l.files[i]))
            continue;
        total -= l.files[i].bytes;
        if (removed)
            removed(self, &l.files[i]);
    }
    free(l.files);
    return st;
}
